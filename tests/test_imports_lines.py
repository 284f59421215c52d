"""Files of lines on their way in: OpenAI messages, and what AUA wrote before it had a database."""

from __future__ import annotations

import json
import os

import pytest
from foreign_files import forms, outcome

from memstore import Invalid, NotFound, open_store
from memstore.imports import import_aua, import_from
from memstore.kernel.foreign import Changed

TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "hi", "id": "m1", "name": "ana", "created_at": 5},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "ök"}]},
    {"role": "user", "content": "hi", "id": "m1", "name": "ana", "created_at": 5},
    {"role": "user", "content": "  "},
    {"type": "function_call", "call_id": "c", "name": "g", "arguments": "{}"},
]
TUNE = [
    {"messages": TALK[:2], "tools": [{"type": "function"}], "metadata": {"n": 1}},
    {"messages": TALK[1:3]},
    {"messages": TALK[1:3]},
    {"messages": []},
]


@pytest.fixture
def store(store_clock):
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


def write(path, *lines, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, mode, encoding="utf-8") as file:
        file.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return path


def take(store, path, **options):
    return import_from(store, "chat", path, **options)


def refused(report):
    return [(row.table, row.id) for row in report.refused]


# -- a message a line ---------------------------------------------------------------------------------------------------


def test_a_message_a_line_is_one_conversation_that_gives_each_line_back(store, tmp_path, store_clock):
    path = write(tmp_path / "my talk.jsonl", *TALK)
    report = take(store, path)
    assert (report.ok, outcome(report), report.notes) == (True, {"my talk.jsonl": (7, 0, 0)}, [])
    assert forms(store, "my talk") == TALK
    talk = store.chat.get_conversation("my talk")
    assert (talk.title, talk.updated_at) == ("my talk", store_clock.now)
    (event,) = store.audit.find()
    assert (event.event_type, event.details["from"]) == ("store.import", "chat")


def test_a_real_transcript_comes_in_whole(store, real_data):
    path = real_data / "transcript-marshmallow-1867.jsonl"
    assert take(store, path).ok
    assert forms(store, path.stem) == [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_that_were_added_come_in_and_the_others_are_known(store, tmp_path):
    path = write(tmp_path / "talk.jsonl", *TALK)
    take(store, path)
    assert take(store, path).new == 0
    write(path, TALK[1], {"role": "user", "content": "new"}, mode="a")
    assert outcome(take(store, path)) == {"talk.jsonl": (2, 7, 0)}
    assert forms(store, "talk") == [*TALK, TALK[1], {"role": "user", "content": "new"}]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{half", "is not JSON"), ("[1]", "not a JSON object but [1]"), ('{"a": NaN}', "NaN is not JSON"), ('{"x": 1}', "is no message"),
        ('{"role": "critic", "content": ""}', "'critic' is none of"), ('{"role": "user", "content": "\\ud800"}', "lone surrogate"),
        ('{"messages": []}', "is no message"), ("[" * 100_000, "is not JSON"), ('{"role": "user", "content": "cut', "is not JSON"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_by_file_and_line_and_the_others_come_in(store, tmp_path, line, why):
    path = write(tmp_path / "talk.jsonl", TALK[0], "", line, TALK[1])
    report = take(store, path)
    assert (report.ok, refused(report), outcome(report)) == (False, [("talk.jsonl", "line 3")], {"talk.jsonl": (2, 0, 1)})
    assert why in report.refused[0].reason
    assert forms(store, "talk") == TALK[:2]


def test_bytes_that_are_no_text_are_refused_and_a_byte_order_mark_is_none(store, tmp_path):
    path = tmp_path / "talk.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"role": "user", "content": "a"}\r\n{"role": "user", "content": "\xff"}\n\r\n{"role": "user", "content": "b"}'
    )
    report = take(store, path)
    assert refused(report) == [("talk.jsonl", "line 2")]
    assert "is not UTF-8 at byte 30" in report.refused[0].reason
    assert [item["content"] for item in forms(store, "talk")] == ["a", "b"]


def test_files_of_one_name_do_not_run_into_one_another(store, tmp_path):
    first, second = write(tmp_path / "a" / "talk.jsonl", TALK[0]), write(tmp_path / "b" / "talk.jsonl", TALK[1])
    store.chat.create_conversation(id="mine")
    take(store, first)
    with pytest.raises(Invalid, match="there is a conversation 'talk' that did not come from .*--conversation"):
        take(store, second)
    with pytest.raises(Invalid, match="'mine' that did not come from"):
        take(store, write(tmp_path / "mine.jsonl", TALK[0]))
    assert take(store, second, conversation="other").ok
    assert (forms(store, "talk"), forms(store, "other")) == (TALK[:1], TALK[1:2])
    os.rename(first, moved := tmp_path / "talk.jsonl")
    assert outcome(take(store, moved, conversation="talk")) == {"talk.jsonl": (0, 1, 0)}
    with pytest.raises(Invalid, match='is for "chat"'):
        import_from(store, "llm", first, conversation="x")


# -- a conversation a line ----------------------------------------------------------------------------------------------


def test_a_conversation_a_line_comes_in_with_what_stands_beside_its_messages(store, tmp_path):
    path = write(tmp_path / "tune.jsonl", *TUNE)
    report = take(store, path)
    assert (report.ok, report.new) == (True, 4)
    talks = {talk.title: talk for talk in store.chat.conversations()}
    assert [forms(store, talks[f"tune, line {number}"].id) for number in (1, 2, 3, 4)] == [row["messages"] for row in TUNE]
    assert talks["tune, line 1"].metadata == {"n": 1, "chat": {"tools": [{"type": "function"}]}}
    write(path, {"messages": TALK[:1]}, mode="a")
    assert outcome(take(store, path)) == {"tune.jsonl": (1, 4, 0)}


def test_of_a_conversation_with_a_bad_message_nothing_comes_in(store, tmp_path):
    bad = [{"messages": [TALK[0], item]} for item in ({"role": "critic", "content": ""}, {"x": 1}, 5)]
    path = write(tmp_path / "tune.jsonl", TUNE[1], *bad, {"messages": {}}, TALK[0])
    report = take(store, path)
    assert refused(report) == [("tune.jsonl", f"line {number}") for number in (2, 3, 4, 5, 6)]
    assert len(store.chat.conversations()) == 1
    with pytest.raises(Invalid, match="holds whole conversations"):
        take(store, path, conversation="x")


# -- the file -----------------------------------------------------------------------------------------------------------


def test_what_is_no_file_of_lines_is_said(store, tmp_path):
    for wrong, error in ((tmp_path / "no.jsonl", NotFound), (tmp_path, Invalid), ("", Invalid), (None, Invalid), ("a\0b", Invalid)):
        with pytest.raises(error):
            take(store, wrong)
    assert take(store, write(tmp_path / "empty.jsonl")).new == 0
    with pytest.raises(Invalid, match="nearest: 'chat'"):
        import_from(store, "chats", tmp_path / "empty.jsonl")
    assert store.chat.conversations() == []


def test_a_file_that_grows_while_it_is_read_is_read_as_it_was_and_a_changed_one_is_noticed(store, tmp_path):
    path = write(tmp_path / "talk.jsonl", *({"role": "user", "content": "x" * 400 + str(number)} for number in range(1200)))
    assert outcome(take(store, path, progress=lambda done, total: write(path, *TALK, mode="a"))) == {"talk.jsonl": (1200, 0, 0)}
    with pytest.raises(Changed, match="nothing was taken"):
        take(store, path, progress=lambda done, total: write(path, TALK[0]))
    assert len(store.chat.messages("talk", limit=None)) == 1200


# -- AUA before its database --------------------------------------------------------------------------------------------

PROMOTED = {"id": "p1", "timestamp": "2025-06-01T10:00:00Z", "specialist": "swe", "from_model": "a", "to_model": "b", "event": "promote",
            "u_delta": 0.25, "reverted": False, "reverted_at": None}  # fmt: skip
AGAIN = {**PROMOTED, "id": None, "timestamp": "2025-06-02T10:00:00", "from_model": "b", "to_model": "c"}
BACK = {**AGAIN, "timestamp": "2025-06-03T10:00:00+02:00", "from_model": "c", "to_model": "b", "event": "rollback"}
PAIR = {"prompt": "tabs?", "chosen": "four spaces", "rejected": "tabs"}
OTHER = {"prompt": "n?", "chosen": "m", "rejected": "", "domain": "law", "confidence": 0.875, "source": "manual", "trace": 1}


@pytest.fixture
def flat(tmp_path):
    """A folder of AUA's with all of them."""
    folder = tmp_path / "project"
    write(folder / ".aua" / "state" / "promotions.jsonl", PROMOTED, "not json", AGAIN)
    write(folder / "results" / "aua_promotions.json", json.dumps([{**PROMOTED, "id": "o1", "specialist": "ops"}, 5]))
    write(folder / "dpo_pairs" / "b.jsonl", PAIR, {"chosen": "m"})
    write(folder / "dpo_pairs" / "a.jsonl", OTHER, PAIR)
    write(folder / "notes.jsonl", {"not": "ours"})
    return folder


def test_flat_files_come_in_by_their_folder_row_by_row(store, flat, store_clock):
    report = import_aua(store, flat)
    assert outcome(report) == {
        ".aua/state/promotions.jsonl": (2, 0, 1), "results/aua_promotions.json": (1, 0, 1), "dpo_pairs/a.jsonl": (2, 0, 0),
        "dpo_pairs/b.jsonl": (0, 1, 1),
    }  # fmt: skip
    assert refused(report) == [
        (".aua/state/promotions.jsonl", "line 2"), ("results/aua_promotions.json", "item 2"), ("dpo_pairs/b.jsonl", "line 2")
    ]  # fmt: skip
    first = next(item for item in store.evals.promotions() if item.id == "p1")
    assert (first.created_at, first.specialist, first.from_model, first.to_model, first.reverted) == (1748772000.0, "swe", "a", "b", False)
    assert first.metadata == {"aua": {"u_delta": 0.25}}
    pair, other = sorted(store.corrections.find(), key=lambda item: item.confidence)
    assert (pair.subject, pair.claim, pair.rejected, pair.domain, pair.confidence, pair.source, pair.created_at) == (
        "tabs?", "four spaces", "tabs", "general", 0.7, "arbiter", store_clock.now
    )  # fmt: skip
    assert (other.domain, other.confidence, other.source, other.metadata) == ("law", 0.875, "manual", {"aua": {"trace": 1}})


def test_flat_files_twice_or_by_another_way_double_nothing(store, flat):
    import_aua(store, flat)
    before = store.evals.promotions(), store.corrections.find(include_superseded=True)
    for path in (flat, flat / "dpo_pairs", flat / ".aua", flat / ".aua" / "state" / "promotions.jsonl", flat / "dpo_pairs" / "a.jsonl"):
        assert import_aua(store, path).new == 0
    assert before == (store.evals.promotions(), store.corrections.find(include_superseded=True))


def test_a_rollback_that_came_after_the_import_undoes_what_is_here(store, flat):
    path = flat / ".aua" / "state" / "promotions.jsonl"
    import_aua(store, path)
    assert store.evals.active_model("swe") == "c"
    write(path, PROMOTED, {**AGAIN, "reverted": True, "reverted_at": "2025-06-03T08:00:00Z"}, BACK)
    report = import_aua(store, path)
    assert outcome(report) == {"promotions.jsonl": (1, 2, 0)}
    undone = next(item for item in store.evals.promotions() if item.to_model == "c")
    assert (undone.reverted, undone.reverted_at, store.evals.active_model("swe")) == (True, 1748937600.0, "b")


def test_a_folder_without_flat_files_is_told_apart(store, tmp_path):
    with pytest.raises(Invalid, match="a folder without AUA's flat files"):
        import_aua(store, tmp_path)
    with pytest.raises(Invalid, match="is not a JSON array"):
        import_aua(store, write(tmp_path / "aua_promotions.json", "{}"))
    assert store.stats().rooms == {}
