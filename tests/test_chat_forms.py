"""Forms of messages: what was appended comes out as it came in, and its text is stored once."""

from __future__ import annotations

import json

import pytest

from memstore import Message

FORMS = [
    {"role": "user", "content": "plain"},
    {"role": "user", "content": ""},
    {"role": "user", "content": None},
    {"role": "user"},
    {"role": "system", "content": "s", "name": "n"},
    {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}], "name": None},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "assistant", "tool_calls": [{"id": "1"}], "refusal": None, "audio": None},
    {"role": "assistant", "content": "x", "tool_calls": None},
    {"role": "assistant", "content": "x", "tool_calls": "odd", "tool_call_id": 5, "name": ["odd"]},
    {"role": "assistant", "content": {"odd": 1}, "extra": {"extra": 1}, "metadata": {"m": 1}, "id": "i", "created_at": "never"},
    {"role": "assistant", "content": "", "": "empty key", "ключ": "\0"},
    {"role": "tool", "tool_call_id": "1", "content": "out"},
    {"role": "tool", "tool_call_id": "", "content": ""},
    {"type": "message", "role": "assistant", "id": "msg", "content": [{"type": "output_text", "text": "t", "annotations": []}]},
    {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "id": "fc", "status": "completed"},
    {"type": "function_call_output", "call_id": "1", "output": "out"},
    {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": None},
    {"role": None, "type": "reasoning"},
    {"role": "item", "content": "c"},
    {"big": 2**70, "float": 1e300, "deep": [[[{}]]]},
    {},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: json.dumps(form)[:40])
def test_a_message_comes_out_as_it_came_in(chat, form):
    talk = chat.create_conversation()
    before = json.dumps(form)
    stored = chat.append_message(talk.id, form)
    assert json.dumps(form) == before
    again = chat.get_message(stored.id)
    assert again == stored
    assert again.to_openai() == form
    copy = chat.append_many(talk.id, [again.to_openai()])[0]
    assert copy.to_openai() == form
    assert chat.messages(chat.fork(talk.id, at=copy.id).id)[-1].to_openai() == form


def test_content_is_text_whatever_the_form(chat):
    talk = chat.create_conversation()
    expected = {0: "plain", 2: "", 3: "", 5: "a\nb", 6: "", 15: "t", 17: "out", 18: ""}
    stored = chat.append_many(talk.id, FORMS)
    assert {position: stored[position].content for position in expected} == expected
    assert [stored[position].role for position in (0, 15, 16, 22)] == ["user", "assistant", "item", "item"]


def test_a_text_is_stored_once_and_common_keys_are_columns(store):
    talk = store.chat.create_conversation()
    store.chat.append_many(talk.id, FORMS)
    rows = store.query("SELECT content, tool_calls, tool_call_id, name, extra FROM messages ORDER BY pk")
    assert rows[0] == {"content": "plain", "tool_calls": None, "tool_call_id": None, "name": None, "extra": None}
    assert rows[13] == {"content": "out", "tool_calls": None, "tool_call_id": "1", "name": None, "extra": None}
    assert rows[5]["content"] == "" and "content" in rows[5]["extra"]


def test_an_object_with_model_dump_is_a_message_too(chat):
    class Dumped:
        def __init__(self, value):
            self.value = value

        def model_dump(self):
            return self.value

    talk = chat.create_conversation()
    form = FORMS[7]
    assert chat.append_message(talk.id, Dumped(form)).to_openai() == form
    calls = [Dumped(call) for call in form["tool_calls"]]
    assert chat.append(talk.id, "assistant", None, tool_calls=calls).to_openai() == form


def test_ids_and_times_of_mappings_are_not_the_records(chat, store_clock):
    talk = chat.create_conversation()
    first, second = chat.append_many(talk.id, [{"role": "user", "content": "x", "id": "same", "created_at": 5}] * 2)
    assert first.id != second.id and "same" not in (first.id, second.id)
    assert first.created_at == store_clock.now


def test_records_keep_their_columns_when_appended(chat):
    talk = chat.create_conversation()
    record = Message("imported", "elsewhere", "assistant", "old", 12.5, callout_type="correction", models_used=["a"], metadata={"k": 1})
    assert chat.append_many(talk.id, [record])[0] == chat.get_message("imported")
    read = chat.get_message("imported")
    assert (read.conversation_id, read.created_at, read.callout_type, read.models_used) == (talk.id, 12.5, "correction", ["a"])
