"""Conversations and messages: what is written is read back whole, in order, and nothing wrong gets in."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from memstore import Closed, Exists, Invalid, Message, NotFound, ReadOnly, open_store
from memstore.chat import MESSAGES
from memstore.testing import recorded_statements


@pytest.fixture
def talk(chat):
    """A conversation of ten messages, m0 to m9."""
    conversation = chat.create_conversation(id="talk")
    for number in range(10):
        chat.append(conversation.id, "user", f"text {number}", id=f"m{number}")
    return conversation.id


def ids(records):
    return [record.id for record in records]


def rows_of(store):
    """All rows of chat's tables, to show that a refused call wrote nothing."""
    names = ("projects", "project_aliases", "active_projects", "conversations", "messages", "arrivals", "sessions", "meta")
    return {name: store.query(f"SELECT * FROM {name}") for name in names}


# -- columns ------------------------------------------------------------------------------------------------------------


def test_every_column_of_a_message_is_set_by_append_and_read_back(chat):
    talk = chat.create_conversation()
    call = {"id": "c1", "type": "function", "function": {"name": "größe", "arguments": "{}"}}
    message = chat.append(
        talk.id,
        "assistant",
        "Grüße, 世界",
        id="é-1",
        created_at=0,
        callout_type="disagreement",
        models_used=("swe", "модель"),
        accuracy_level="maximum",
        confidence="Uncertain",
        tool_calls=(call,),
        tool_call_id="x",
        name="",
        metadata={"ключ": [0, "", None, 1.5]},
    )
    assert message == chat.get_message("é-1") == chat.messages(talk.id)[0]
    assert message.to_dict() == {
        "id": "é-1",
        "conversation_id": talk.id,
        "role": "assistant",
        "content": "Grüße, 世界",
        "created_at": 0.0,
        "callout_type": "disagreement",
        "models_used": ["swe", "модель"],
        "accuracy_level": "maximum",
        "confidence": "Uncertain",
        "tool_calls": [call],
        "tool_call_id": "x",
        "name": "",
        "extra": None,
        "metadata": {"ключ": [0, "", None, 1.5]},
    }
    assert message.message_id == message.id


@pytest.mark.parametrize(
    "column",
    [
        {"callout_type": "disagreement"},
        {"models_used": [""]},
        {"accuracy_level": "fast"},
        {"confidence": "High"},
        {"tool_calls": []},
        {"tool_call_id": "c\u2028"},
        {"name": "a\0b\n\"é\"\\"},
        {"metadata": {"numbers": [2**70, 1e-300, -0.5], "": {}}},
    ],
    ids=lambda column: next(iter(column)),
)
def test_a_column_that_is_filled_alone_is_read_back_wherever_messages_are_read(chat, column):
    talk = chat.create_conversation()
    message = chat.append(talk.id, "assistant", "alone", **column)
    assert {name: getattr(message, name) for name in column} == column
    assert chat.get_message(message.id) == message
    assert chat.messages(talk.id) == [message]
    assert chat.window(talk.id, max_tokens=1000) == [message]
    assert [hit.message for hit in chat.search("alone")] == [message]
    copy = chat.messages(chat.fork(talk.id, at=message.id).id)[0]
    assert {name: getattr(copy, name) for name in column} == column
    assert chat.pop(talk.id) == message


def test_a_batch_of_plain_and_other_messages_keeps_its_order(chat):
    talk = chat.create_conversation()
    forms = [{"role": "user", "content": str(n)} if n % 3 else {"role": "tool", "tool_call_id": "c", "content": str(n)} for n in range(20)]
    appended = chat.append_many(talk.id, forms)
    assert [message.to_openai() for message in appended] == forms
    assert chat.messages(talk.id) == appended


def test_what_is_not_said_is_none_and_what_is_empty_is_kept(chat, store_clock):
    talk = chat.create_conversation()
    plain = chat.append(talk.id, "user", "hello")
    assert (plain.callout_type, plain.accuracy_level, plain.confidence, plain.metadata) == (None, None, None, None)
    assert (plain.models_used, plain.tool_calls, plain.name, plain.created_at) == ([], None, None, store_clock.now)
    assert chat.append(talk.id, "tool", "", tool_call_id="c", metadata={}).metadata == {}
    assert chat.append(talk.id, "assistant", None, tool_calls=[]).tool_calls == []


def test_every_column_of_a_conversation_is_an_attribute(chat, store_clock):
    made = chat.create_conversation(id="Ünï", title="", user_id="ana", project="nowhere", metadata={"a": None})
    assert made == chat.get_conversation("Ünï")
    assert (made.conversation_id, made.user_id, made.title, made.project_id) == ("Ünï", "ana", "", "nowhere")
    assert (made.created_at, made.updated_at, made.metadata) == (store_clock.now, store_clock.now, {"a": None})


def test_created_at_takes_an_aware_datetime_and_nothing_that_is_no_moment(chat):
    talk = chat.create_conversation()
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    assert chat.append(talk.id, "user", "x", created_at=moment).created_at == moment.timestamp()
    for wrong in (datetime(2024, 1, 2), float("nan"), float("inf"), "2024-01-02", True):
        with pytest.raises(Invalid, match="created_at"):
            chat.append(talk.id, "user", "x", created_at=wrong)


def test_text_of_any_kind_comes_back_exactly(chat):
    talk = chat.create_conversation()
    for text in ("\0", "a\0b", "'; DROP TABLE messages; --", "é", "e\u0301", "\u202e", "𝔘", "\r\n", "x" * 2_000_000):
        chat.append(talk.id, "assistant", text, id=None)
        assert chat.messages(talk.id, limit=1)[0].content == text


# -- order and pages ----------------------------------------------------------------------------------------------------


def test_messages_come_in_order_of_arrival_whatever_their_time(chat):
    talk = chat.create_conversation()
    for moment in (5.0, 1.0, 5.0, -3.0):
        chat.append(talk.id, "user", str(moment), created_at=moment)
    assert [message.created_at for message in chat.messages(talk.id)] == [5.0, 1.0, 5.0, -3.0]


def test_pages_go_back_and_forth_oldest_first(chat, talk):
    assert ids(chat.messages(talk, limit=3)) == ["m7", "m8", "m9"]
    assert ids(chat.messages(talk, limit=3, before="m7")) == ["m4", "m5", "m6"]
    assert ids(chat.messages(talk, limit=3, before="m0")) == []
    assert ids(chat.messages(talk, limit=3, after="m1")) == ["m2", "m3", "m4"]
    assert ids(chat.messages(talk, after="m9")) == []
    assert ids(chat.messages(talk, after="m1", before="m6", limit=2)) == ["m2", "m3"]
    assert ids(chat.messages(talk, limit=0)) == []
    assert len(chat.messages(talk, limit=None)) == 10


def test_the_default_page_has_fifty(chat):
    talk = chat.create_conversation()
    chat.append_many(talk.id, [{"role": "user", "content": str(number)} for number in range(60)])
    assert [message.content for message in chat.messages(talk.id)] == [str(number) for number in range(10, 60)]


def test_cursors_of_made_ids_and_of_given_ids_work_alike(chat):
    talk = chat.create_conversation()
    made = [chat.append(talk.id, "user", str(number)).id for number in range(5)]
    assert ids(chat.messages(talk.id, before=made[3], limit=2)) == made[1:3]
    assert [chat.get_message(one).content for one in made] == list("01234")


def test_a_page_deep_in_a_conversation_takes_as_many_statements_as_the_first(file_store):
    chat = file_store.chat
    talk = chat.create_conversation()
    stored = chat.append_many(talk.id, [{"role": "user", "content": "x"}] * 3000)
    chat.messages(talk.id)
    for before in (None, stored[100].id):
        with recorded_statements(file_store) as seen:
            chat.messages(talk.id, before=before)
        assert len(seen) <= 3
    plan = file_store.query(f"EXPLAIN QUERY PLAN {MESSAGES.select} WHERE pk > 1 AND pk < 9 ORDER BY pk DESC LIMIT 5")
    assert plan[0]["detail"].startswith("SEARCH messages USING INTEGER PRIMARY KEY")


def test_conversations_run_by_newest_activity_even_when_the_clock_stands_still(chat):
    for name in "abcd":
        chat.create_conversation(id=name)
    assert ids(chat.conversations()) == ["d", "c", "b", "a"]
    chat.append("b", "user", "x")
    assert ids(chat.conversations()) == ["b", "d", "c", "a"]
    chat.rename("a", "A")
    assert ids(chat.conversations()) == ["a", "b", "d", "c"]
    chat.move("c", "somewhere")
    assert ids(chat.conversations(limit=2)) == ["a", "b"]
    assert ids(chat.conversations(limit=2, before="b")) == ["d", "c"]
    assert ids(chat.conversations(before="c")) == []


def test_the_time_of_activity_comes_before_arrival(chat, store_clock):
    chat.create_conversation(id="now")
    store_clock.advance(-100)
    chat.create_conversation(id="clock set back")
    assert ids(chat.conversations()) == ["now", "clock set back"]
    store_clock.advance(200)
    chat.append("clock set back", "user", "x", created_at=1)
    assert ids(chat.conversations()) == ["clock set back", "now"]
    assert chat.get_conversation("clock set back").updated_at == store_clock.now


def test_archived_conversations_are_listed_on_demand(chat, store_clock):
    chat.create_conversation(id="kept")
    chat.create_conversation(id="old")
    assert chat.archive("old").archived_at == store_clock.now
    assert ids(chat.conversations()) == ["kept"]
    assert ids(chat.conversations(archived=True)) == ["old", "kept"]
    assert chat.archive("old", archived=False).archived_at is None
    assert ids(chat.conversations()) == ["old", "kept"]


def test_lists_are_filtered_by_exactly_one_user(chat):
    chat.create_conversation(id="mine")
    chat.create_conversation(id="hers", user_id="ana")
    assert ids(chat.conversations(user_id="ana")) == ["hers"]
    assert ids(chat.conversations(user_id="local")) == ["mine"]
    assert len(chat.conversations()) == 2


# -- ids ----------------------------------------------------------------------------------------------------------------


def test_an_id_is_taken_once_in_the_whole_store(chat, talk):
    other = chat.create_conversation()
    made = chat.append(other.id, "user", "x").id
    for taken in ("m3", made):
        with pytest.raises(Exists, match=taken):
            chat.append(other.id, "user", "again", id=taken)
    assert len(chat.messages(other.id)) == 1
    with pytest.raises(Exists, match="talk"):
        chat.create_conversation(id="talk")
    assert chat.create_conversation(id="talk", exist_ok=True, title="other") == chat.get_conversation("talk")


def test_two_equal_ids_in_one_batch_store_nothing(chat, talk):
    record = Message("twin", talk, "user", "x", 1.0)
    with pytest.raises(Exists):
        chat.append_many(talk, [record, record])
    assert len(chat.messages(talk)) == 10


def test_an_id_that_looks_like_ours_but_is_given_is_found_as_given(chat, talk):
    ours = chat.append(talk, "user", "x").id
    with open_store() as elsewhere:
        copy = elsewhere.chat.create_conversation()
        elsewhere.chat.append_many(copy.id, chat.messages(talk, limit=None))
        assert elsewhere.chat.get_message(ours).content == "x"
        assert ids(elsewhere.chat.messages(copy.id, after="m9")) == [ours]


def test_numbers_are_not_given_again_after_removal_and_reopening(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as store:
        store.chat.create_conversation(id="c")
        store.chat.append("c", "user", "one")
        gone = store.chat.append("c", "user", "two").id
        highest = store.query("SELECT max(arrival) AS n FROM messages")[0]["n"]
        assert store.chat.pop("c").id == gone
    with open_store(path) as store:
        fresh = store.chat.append("c", "user", "three")
        assert store.query("SELECT max(arrival) AS n FROM messages")[0]["n"] > highest
        assert fresh.id != gone
        with pytest.raises(NotFound):
            store.chat.get_message(gone)


def test_a_rolled_back_append_leaves_no_trace(store):
    store.chat.create_conversation(id="c")
    before = rows_of(store)
    with pytest.raises(RuntimeError), store.transaction():
        store.chat.append("c", "user", "lost", id="lost")
        assert store.chat.get_message("lost").content == "lost"
        raise RuntimeError
    assert rows_of(store) == before


# -- bulk ---------------------------------------------------------------------------------------------------------------


def test_append_many_is_all_or_nothing(store, talk):
    before = rows_of(store)
    with pytest.raises(Invalid, match="robot"):
        store.chat.append_many(talk, [{"role": "user", "content": "fine"}, {"role": "robot", "content": "no"}])
    assert rows_of(store) == before
    assert store.chat.append_many(talk, []) == []
    assert store.chat.append_many(talk, iter([{"role": "user", "content": " "}]))[0].content == " "


def test_a_large_batch_is_indexed_and_in_order(file_store):
    talk = file_store.chat.create_conversation()
    stored = file_store.chat.append_many(talk.id, ({"role": "user", "content": f"number{n}"} for n in range(20_000)))
    assert stored == file_store.chat.messages(talk.id, limit=None)
    assert file_store.query("SELECT sum(items) AS n FROM keyword_segments")[0]["n"] > 0
    assert [hit.message.content for hit in file_store.chat.search("number19999")] == ["number19999"]


def test_the_index_is_written_behind_single_appends_too(file_store):
    file_store.chat.create_conversation(id="c")
    with file_store.transaction():
        for number in range(4100):
            file_store.chat.append("c", "user", f"number{number}")
    assert file_store.query("SELECT sum(items) AS n FROM keyword_segments")[0]["n"] > 0


def test_threads_and_handles_lose_nothing(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as one, open_store(path) as two:
        one.chat.create_conversation(id="c")

        def write(store, name):
            for number in range(25):
                store.chat.append("c", "user", f"{name} {number}")

        threads = [threading.Thread(target=write, args=(store, name)) for name, store in enumerate((one, one, two, two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        contents = [message.content for message in two.chat.messages("c", limit=None)]
        assert len(contents) == len(set(contents)) == 100
        for name in range(4):
            assert [text for text in contents if text.startswith(f"{name} ")] == [f"{name} {number}" for number in range(25)]


# -- forks, removal, sessions of queries --------------------------------------------------------------------------------


def test_a_fork_copies_up_to_its_message_and_then_goes_its_own_way(chat, store_clock, talk):
    store_clock.advance(50)
    fork = chat.fork(talk, at="m4")
    assert (fork.forked_from, fork.forked_at, fork.created_at) == (talk, "m4", store_clock.now)
    copies, originals = chat.messages(fork.id), chat.messages(talk)[:5]
    assert [(copy.content, copy.created_at) for copy in copies] == [(one.content, one.created_at) for one in originals]
    assert not set(ids(copies)) & set(ids(originals))
    chat.append(fork.id, "user", "only here")
    assert len(chat.messages(talk)) == 10


def test_a_fork_stays_in_its_project_and_with_its_user(chat):
    chat.create_project("P")
    chat.create_conversation(id="c", user_id="ana", title="t", metadata={"a": 1})
    chat.append("c", "user", "x", id="x")
    chat.activate("P", user_id="ana")
    fork = chat.fork("c", at="x")
    assert (fork.project_id, fork.user_id, fork.title, fork.metadata) == (None, "ana", "t", {"a": 1})


def test_pop_and_clear_remove_from_the_end_and_everything(store, talk):
    chat = store.chat
    assert chat.pop(talk).id == "m9"
    assert ids(chat.messages(talk, limit=1)) == ["m8"]
    assert chat.clear(talk, actor="ana", note="asked") == 9
    assert chat.messages(talk) == [] and chat.pop(talk) is None and chat.clear(talk) == 0
    events = store.audit.find(event_type="conversation.clear")
    assert [(event.entity_id, event.actor, event.note, event.before) for event in events] == [(talk, "ana", "asked", {"messages": 9})]
    assert chat.append(talk, "user", "again", id="m9").content == "again"


def test_what_is_removed_is_not_found(chat, talk):
    assert len(chat.search("text")) == 10
    chat.pop(talk)
    assert [hit.message.id for hit in chat.search("text", limit=1)] == ["m8"]
    chat.clear(talk)
    assert chat.search("text") == []


def test_cleared_text_leaves_the_files(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as store:
        store.chat.create_conversation(id="c")
        store.chat.append("c", "user", "verysecretword")
        store.chat.search("verysecretword")
        store.chat.clear("c")
        assert not any(b"verysecretword" in file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm"))


def test_a_session_counts_its_queries(chat, store_clock):
    first = chat.touch_session("s", domain="")
    assert (first.query_count, first.domain, first.metadata, first.user_id) == (1, "", None, "local")
    store_clock.advance(5)
    second = chat.touch_session("s", metadata={"token_id": "ключ"})
    assert (second.query_count, second.domain, second.metadata) == (2, "", {"token_id": "ключ"})
    assert second.updated_at == second.created_at + 5
    assert chat.touch_session("s", domain="law").domain == "law"
    assert chat.get_session("s").query_count == 3
    made = chat.touch_session()
    assert ids(chat.sessions()) == [made.id, "s"] and ids(chat.sessions(domain="law", limit=1)) == ["s"]
    with pytest.raises(NotFound, match="nosuch"):
        chat.get_session("nosuch")


# -- positions ----------------------------------------------------------------------------------------------------------


def test_a_position_rises_only(chat, talk):
    assert chat.position("nowhere") is None
    assert chat.position(chat.create_conversation(id="empty").id) == 0
    assert chat.position(talk) == 10
    chat.pop(talk)
    assert chat.position(talk) == 10
    assert chat.positions() == [("empty", 0, 0), (talk, 10, 9)]


# -- bad input ----------------------------------------------------------------------------------------------------------


def test_the_message_for_an_unknown_conversation_names_the_nearest(chat):
    chat.create_conversation(id="support-42")
    with pytest.raises(NotFound) as caught:
        chat.messages("support-24")
    assert str(caught.value) == "no conversation 'support-24' (nearest: 'support-42'); store.chat.conversations() lists them"


def test_the_message_for_an_unknown_session_names_the_nearest(chat):
    chat.touch_session("query-42")
    with pytest.raises(NotFound) as caught:
        chat.get_session("query-24")
    assert str(caught.value) == "no session 'query-24' (nearest: 'query-42'); store.chat.sessions() lists them"


def test_the_message_for_an_unknown_role_lists_the_roles(chat, talk):
    with pytest.raises(Invalid) as caught:
        chat.append(talk, "robot", "x")
    assert str(caught.value) == "role 'robot' is none of system, developer, user, assistant, tool, item"


BAD_APPENDS = [
    ({"role": "User"}, "role"),
    ({"role": None}, "role"),
    ({"role": 5}, "role"),
    ({"content": ""}, "blank"),
    ({"content": " \n\t"}, "blank"),
    ({"content": None}, "blank"),
    ({"content": []}, "blank"),
    ({"content": [{"type": "text", "text": " "}]}, "blank"),
    ({"content": 5}, "content"),
    ({"content": b"bytes"}, "content"),
    ({"content": {"a": 1}}, "content"),
    ({"content": "\ud800"}, "surrogate"),
    ({"content": [{"text": "\ud800"}]}, "surrogate"),
    ({"content": [{"a": {1}}]}, "set"),
    ({"id": ""}, "id"),
    ({"id": "a\0b"}, "NUL"),
    ({"id": 5}, "id"),
    ({"id": "x" * 1001}, "1001"),
    ({"callout_type": "Shout!"}, "callout_type"),
    ({"callout_type": ""}, "callout_type"),
    ({"models_used": "swe"}, "models_used"),
    ({"models_used": [1]}, "models_used"),
    ({"models_used": ""}, "models_used"),
    ({"models_used": 0}, "models_used"),
    ({"accuracy_level": "best"}, "fast, balanced, high, maximum"),
    ({"confidence": "high"}, "High, Medium, Uncertain"),
    ({"confidence": 0.5}, "High, Medium, Uncertain"),
    ({"tool_calls": "f"}, "tool_calls"),
    ({"tool_calls": {"id": "1"}}, "tool_calls"),
    ({"tool_calls": [5]}, r"tool_calls\[0\]"),
    ({"tool_calls": [{"a": float("nan")}]}, "nan"),
    ({"tool_call_id": ""}, "tool_call_id"),
    ({"name": 5}, "name"),
    ({"metadata": [1]}, "metadata"),
    ({"metadata": {"a": {1, 2}}}, "set"),
    ({"metadata": {1: 2}}, "key"),
    ({"metadata": {"a": float("inf")}}, "inf"),
    ({"created_at": 2**2000}, "created_at"),
]


@pytest.mark.parametrize(("wrong", "named"), BAD_APPENDS, ids=lambda value: repr(value)[:40])
def test_a_wrong_argument_of_append_is_named_and_nothing_is_written(store, wrong, named):
    store.chat.create_conversation(id="c")
    before = rows_of(store)
    with pytest.raises(Invalid, match=named):
        store.chat.append("c", **{"role": "user", "content": "fine", **wrong})
    assert rows_of(store) == before


class Mirror:
    """An object whose model_dump() gives no mapping, but itself."""

    def model_dump(self):
        return self


def test_wrong_calls_are_refused_by_name(chat, talk):
    other = chat.create_conversation(id="other")
    foreign = chat.append(other.id, "user", "x").id
    for call in (
        lambda: chat.messages(talk, limit=-1),
        lambda: chat.messages(talk, limit=True),
        lambda: chat.messages(talk, limit=1.5),
        lambda: chat.messages(talk, before=foreign),
        lambda: chat.messages(talk, after=foreign),
        lambda: chat.fork(talk, at=foreign),
        lambda: chat.messages(5),
        lambda: chat.messages(""),
        lambda: chat.conversations(limit=2**63),
        lambda: chat.conversations(user_id=5),
        lambda: chat.create_conversation(id=" "),
        lambda: chat.create_conversation(title=None),
        lambda: chat.create_conversation(user_id=""),
        lambda: chat.create_conversation(metadata={"a": object()}),
        lambda: chat.append_message(talk, "text"),
        lambda: chat.append_many(talk, ["text"]),
        lambda: chat.append_many(talk, None),
        lambda: chat.append_many(talk, "text"),
        lambda: chat.append_many(talk, {"role": "user", "content": "x"}),
        lambda: chat.append_many(talk, Message("m10", talk, "user", "x", 0.0)),
        lambda: chat.append_message(talk, Message("m10", talk, "user", "x", 0.0, extra=5)),
        lambda: chat.append_message(talk, Mirror()),
        lambda: chat.append_message(talk, {"role": "user", "content": "x", 5: 6}),
        lambda: chat.rename(talk, 5),
        lambda: chat.touch_session("s", domain=5),
        lambda: chat.archive(talk, archived="yes"),
    ):
        with pytest.raises(Invalid):
            call()
    for call in (
        lambda: chat.messages("nowhere"),
        lambda: chat.messages(talk, before="nowhere"),
        lambda: chat.messages(talk, after="00000000-0000-7000-8000-000000000000"),
        lambda: chat.append("nowhere", "user", "x"),
        lambda: chat.append_many("nowhere", []),
        lambda: chat.get_message("nowhere"),
        lambda: chat.get_conversation("nowhere"),
        lambda: chat.conversations(before="nowhere"),
        lambda: chat.rename("nowhere", "x"),
        lambda: chat.move("nowhere", None),
        lambda: chat.archive("nowhere"),
        lambda: chat.fork(talk, at="nowhere"),
        lambda: chat.fork("nowhere", at="m1"),
        lambda: chat.window("nowhere", max_tokens=5),
        lambda: chat.pop("nowhere"),
        lambda: chat.clear("nowhere"),
    ):
        with pytest.raises(NotFound, match="nowhere|00000000"):
            call()
    assert len(chat.messages(talk, limit=None)) == 10 and len(chat.conversations()) == 2


def test_a_read_only_store_reads_and_refuses_to_write(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path):
        pass
    with open_store(path, read_only=True) as store:
        assert store.chat.conversations() == [] == store.chat.projects() == store.chat.search("x")
        with pytest.raises(NotFound):
            store.chat.messages("c")
    with open_store(path) as store:
        store.chat.create_conversation(id="c")
        store.chat.append("c", "user", "hello")
    with open_store(path, read_only=True) as store:
        assert store.chat.messages("c")[0].content == "hello"
        assert store.chat.search("hel")[0].snippet == "hello"
        with pytest.raises(ReadOnly):
            store.chat.append("c", "user", "more")


def test_a_closed_store_says_so(tmp_path):
    store = open_store(tmp_path / "a.db")
    chat = store.chat
    chat.create_conversation(id="c")
    store.close()
    with pytest.raises(Closed):
        chat.append("c", "user", "x")
    with pytest.raises(Closed):
        chat.messages("c")


@pytest.mark.damage
@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("UPDATE messages SET pk = pk + (99 << 32) WHERE id = 'm5'", "misplaced"),
        ("UPDATE conversations SET last_seq = 3", "misplaced"),
        ("UPDATE messages SET arrival = arrival + 1000 WHERE supplied = 0", "message_id"),
        ("UPDATE messages SET arrival = 4 WHERE id = 'm5'", "arrival"),
        ("UPDATE arrivals SET first = first - 1", "arrival"),
        ("DELETE FROM arrivals", "arrival"),
        ("UPDATE messages SET name = 'n' WHERE id = 'm5'", "plain"),
        ("UPDATE projects SET name = 'b' WHERE name = 'A'", "project_name"),
    ],
)
def test_check_finds_damage(store, talk, damage, kind):
    chat = store.chat
    chat.append(talk, "user", "made id")
    chat.create_project("A")
    chat.create_project("B")
    chat.alias("B", "b")
    assert chat.check() == []
    with chat.db.write() as conn:
        conn.run(damage)
    assert kind in {finding.kind for finding in chat.check()}
