"""Searching messages, and exporting them for training."""

from __future__ import annotations

import json

import pytest

from memstore import Invalid, NotFound, open_store
from memstore.kernel.excerpts import densest, excerpt, stretches
from memstore.kernel.words import words
from memstore.keywords.spaces import BATCH


def found(hits):
    return [hit.message.id for hit in hits]


@pytest.fixture
def talks(chat):
    """Two users' conversations, m0 (oldest) to m5."""
    chat.create_project("P")
    chat.create_conversation(id="a", project="P")
    chat.create_conversation(id="b", user_id="ana")
    said = [("a", "user"), ("b", "user"), ("a", "assistant"), ("b", "assistant"), ("a", "tool"), ("b", "user")]
    for number, (talk, role) in enumerate(said):
        chat.append(talk, role, f"TimeDelta number{number} rounds", id=f"m{number}")
    return chat


def test_every_word_must_begin_a_word_of_the_message_newest_first(talks):
    assert found(talks.search("time round")) == ["m5", "m4", "m3", "m2", "m1", "m0"]
    assert found(talks.search("number2 TIME")) == ["m2"]
    assert talks.search("imedelta") == [] == talks.search("time nothing") == talks.search("") == talks.search("?!")


def test_search_is_filtered_by_what_the_rows_say_now(talks):
    assert found(talks.search("time", conversation_id="a")) == ["m4", "m2", "m0"]
    assert found(talks.search("time", role="user")) == ["m5", "m1", "m0"]
    assert found(talks.search("time", user_id="ana")) == ["m5", "m3", "m1"]
    assert found(talks.search("time", project="P")) == ["m4", "m2", "m0"]
    assert found(talks.search("time", project="P", role="tool", user_id="local", conversation_id="a")) == ["m4"]
    talks.move("a", None)
    assert talks.search("time", project="P") == []


def test_a_page_of_a_search_costs_what_it_shows(chat, monkeypatch):
    talk = chat.create_conversation().id
    chat.append_many(talk, [{"role": "user", "content": f"word {number}"} for number in range(300)])
    shown = []
    monkeypatch.setattr("memstore.chat.excerpt", lambda text, words: shown.append(text) or text)
    assert [hit.snippet for hit in chat.search("word", limit=3)] == ["word 299", "word 298", "word 297"]
    assert len(shown) == 3


def test_a_page_of_a_search_is_filled_from_far_back(chat):
    chat.create_project("P")
    ours, other = chat.create_conversation(project="P").id, chat.create_conversation(project=None).id
    wanted = [chat.append(ours, "user", f"word {number}").id for number in range(3)]
    chat.append_many(other, [{"role": "user", "content": "word"}] * 1000)
    for filters in ({"project": "P"}, {"conversation_id": ours}):
        assert found(chat.search("word", limit=2, **filters)) == wanted[:0:-1]
        assert found(chat.search("word", limit=20, **filters)) == wanted[::-1]


def test_what_was_added_by_hand_is_found_in_the_conversation_of_its_message(store, chat):
    ours, other = chat.create_conversation().id, chat.create_conversation().id
    said = chat.append(ours, "user", "as it was").id
    store.keywords.add(said, "beetroot", conversation_id=other, role="assistant")
    assert found(chat.search("beetroot", conversation_id=ours, role="user")) == [said]
    assert chat.search("beetroot", conversation_id=other) == []


def test_a_backlog_is_indexed_by_the_search_that_meets_it(file_store):
    talk = file_store.chat.create_conversation().id
    file_store.chat.append_many(talk, [{"role": "user", "content": "word"}] * BATCH)
    assert len(file_store.chat.search("word", limit=5)) == 5
    assert file_store.query("SELECT items FROM keyword_segments") == [{"items": BATCH}]


def test_pages_of_a_search_go_on_after_a_message(talks):
    assert found(talks.search("time", limit=2)) == ["m5", "m4"]
    assert found(talks.search("time", limit=2, before="m4")) == ["m3", "m2"]
    assert found(talks.search("time", role="user", limit=1, before="m4")) == ["m1"]
    assert talks.search("time", before="m0") == [] == talks.search("time", limit=0)
    assert len(talks.search("time", limit=None)) == 6


def test_the_newest_is_by_time_also_when_histories_arrive_late(chat):
    chat.create_conversation(id="c")
    for name, moment in (("new", 300), ("old", 100), ("middle", 200), ("middle, later", 200)):
        chat.append("c", "user", f"word {name}", id=name, created_at=moment)
    assert found(chat.search("word")) == ["new", "middle, later", "middle", "old"]
    assert found(chat.search("word", before="middle, later")) == ["middle", "old"]


def test_calls_arguments_outputs_and_parts_are_searched(chat):
    chat.create_conversation(id="c")
    call = {"id": "1", "type": "function", "function": {"name": "open_file", "arguments": '{"path": "fields.py"}'}}
    chat.append("c", "assistant", None, tool_calls=[call], id="call")
    parts = [{"type": "text", "text": "look at this"}, {"type": "image_url", "image_url": {"url": "data:pixels"}}]
    chat.append("c", "user", parts, id="parts")
    item = chat.append_message("c", {"type": "function_call_output", "call_id": "1", "output": "Zeile 1474"})
    assert found(chat.search("open fields")) == ["call"]
    assert found(chat.search("look")) == ["parts"] and chat.search("pixels") == []
    [hit] = chat.search("1474")
    assert (hit.message, hit.snippet) == (item, "Zeile 1474")


def test_an_uncommitted_message_is_found_inside_its_transaction_only(store):
    store.chat.create_conversation(id="c")
    with pytest.raises(RuntimeError), store.transaction():
        store.chat.append("c", "user", "ephemeral", id="e")
        assert found(store.chat.search("ephem")) == ["e"]
        raise RuntimeError
    assert store.chat.search("ephem") == []


def test_what_another_handle_wrote_is_found_at_once(tmp_path):
    with open_store(tmp_path / "a.db") as one, open_store(tmp_path / "a.db") as two:
        one.chat.create_conversation(id="c")
        assert two.chat.search("word") == []
        one.chat.append("c", "user", "word", id="m")
        assert found(two.chat.search("word")) == ["m"]
        one.chat.pop("c")
        assert two.chat.search("word") == []


def test_wrong_searches_are_refused_by_name(talks):
    for call in (
        lambda: talks.search(None),
        lambda: talks.search("x", role="robot"),
        lambda: talks.search("x", limit=-1),
        lambda: talks.search("x", user_id=5),
        lambda: talks.search("x", project=""),
    ):
        with pytest.raises(Invalid):
            call()
    for call in (lambda: talks.search("x", conversation_id="c"), lambda: talks.search("x", before="c")):
        with pytest.raises(NotFound):
            call()


def test_a_search_in_one_conversation_takes_no_cursor_of_another(chat):
    here, there = chat.create_conversation(id="here"), chat.create_conversation(id="there")
    chat.append(here.id, "user", "word", id="h")
    chat.append(there.id, "user", "word", id="t")
    with pytest.raises(Invalid, match="message 't' is in conversation 'there', not in 'here'"):
        chat.search("word", conversation_id="here", before="t")
    assert [hit.message.id for hit in chat.search("word", before="t")] == ["h"]


# -- excerpts -----------------------------------------------------------------------------------------------------------


def test_an_excerpt_is_around_the_first_match_and_cut_between_words():
    text = "lorem " * 100 + "Needle in the\n\nhay " + "ipsum " * 100
    shown = excerpt(text, ["needle"])
    assert shown.startswith("…lorem ") and shown.endswith(" ipsum…") and "Needle in the hay ipsum" in shown
    assert len(shown) <= 162


def test_an_excerpt_of_a_short_text_is_the_text():
    assert excerpt("short\n text", ["text"]) == "short text"
    assert excerpt("", ["x"]) == ""


def test_an_excerpt_finds_what_was_folded():
    text = "é" * 500 + " Straße Cafe\u0301 " + "x" * 500
    assert "Straße" in excerpt(text, ["strasse"])
    assert "Cafe" in excerpt(text, ["cafe"])


@pytest.mark.parametrize("word", ["café", "İstanbul", "서울시", "ガイド"])
def test_a_word_is_shown_whose_accents_or_parts_were_folded(word):
    text = "lorem " * 100 + word + " ipsum" * 100
    parts = [text[part] for part in stretches(text, words(word), 80)]
    for shown in (excerpt(text, [word.casefold()]), densest(text, words(word)), *parts):
        assert word in shown


def test_of_too_many_words_the_same_ones_are_shown_in_whichever_order_they_come():
    asked = [f"word{number}" for number in range(100, 300)]
    text = ("lorem " * 50).join(asked)
    assert densest(text, asked) == densest(text, reversed(asked))


def test_an_excerpt_prefers_the_beginning_of_a_word():
    text = "restart " * 60 + "the artist " + "end " * 60
    assert "artist" in excerpt(text, ["art"])


def test_an_excerpt_of_one_endless_word_is_cut_anywhere():
    shown = excerpt("a" * 1000 + "b" + "c" * 1000, ["b"])
    assert "b" in shown and len(shown) <= 162
    assert len(excerpt("x" * 5_000_000, ["nothing"])) <= 161


# -- training rows ------------------------------------------------------------------------------------------------------


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_conversation_in_which_an_assistant_speaks_is_a_row(talks, tmp_path):
    talks.create_conversation(id="empty")
    talks.create_conversation(id="asked only")
    talks.append("asked only", "user", "hello?")
    path = tmp_path / "sft.jsonl"
    assert talks.export_sft(path) == 2
    first = [[message["role"], message["content"]] for message in rows(path)[0]["messages"]]
    assert first == [["user", "TimeDelta number0 rounds"], ["assistant", "TimeDelta number2 rounds"], ["tool", "TimeDelta number4 rounds"]]
    again = path.read_bytes()
    assert talks.export_sft(path) == 2 and path.read_bytes() == again


def test_the_export_is_filtered(talks, tmp_path, store_clock):
    path = tmp_path / "sft.jsonl"
    assert talks.export_sft(path, user_id="ana") == talks.export_sft(path, project="P") == talks.export_sft(path, conversation_id="b") == 1
    assert rows(path)[0]["messages"][0]["content"] == "TimeDelta number1 rounds"
    store_clock.advance(10)
    talks.append("a", "user", "more")
    assert talks.export_sft(path, since=store_clock.now) == 1 and talks.export_sft(path, since=store_clock.now + 1) == 0
    assert path.read_text() == ""


def test_both_forms_become_what_trl_reads(chat, tmp_path):
    chat.create_conversation(id="c")
    function = {"name": "f", "arguments": '{"a": 1}'}
    call = {"id": "1", "type": "function", "function": function}
    chat_call = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
    chat.append_many(
        "c",
        [
            {"role": "user", "content": "é"},
            chat_call,
            {"role": "tool", "tool_call_id": "1", "content": "out"},
            {"type": "reasoning", "id": "r", "summary": []},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "no json"},
            {"type": "function_call", "call_id": "3", "name": "h", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "2", "output": "two"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
        ],
    )
    path = tmp_path / "sft.jsonl"
    assert chat.export_sft(path) == 1
    assert rows(path)[0]["messages"] == [
        {"role": "user", "content": "é"},
        {"role": "assistant", "content": None, "tool_calls": [{**call, "function": {"name": "f", "arguments": {"a": 1}}}]},
        {"role": "tool", "tool_call_id": "1", "content": "out"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": "no json"}},
                {"id": "3", "type": "function", "function": {"name": "h", "arguments": {}}},
            ],
        },
        {"role": "tool", "tool_call_id": "2", "content": "two"},
        {"role": "assistant", "content": "done"},
    ]
    assert chat.messages("c")[1].to_openai() == chat_call


def test_an_export_never_takes_a_wrong_place(file_store, tmp_path):
    chat = file_store.chat
    chat.create_conversation(id="c")
    for wrong in (tmp_path, tmp_path / "nowhere" / "x.jsonl", file_store.path, 5):
        with pytest.raises(Invalid):
            chat.export_sft(wrong)
    with pytest.raises(NotFound):
        chat.export_sft(tmp_path / "x.jsonl", conversation_id="nowhere")
    assert not any(".jsonl" in file.name for file in tmp_path.iterdir())


def test_a_real_transcript_comes_back_and_exports(chat, tmp_path, real_data):
    lines = (real_data / "transcript-marshmallow-1867.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [json.loads(line) for line in lines]
    chat.create_conversation(id="c")
    assert [message.to_openai() for message in chat.append_many("c", messages)] == messages
    assert "TimeDelta" in chat.search("timedelta round")[0].message.content
    assert chat.export_sft(tmp_path / "x.jsonl") == 1
