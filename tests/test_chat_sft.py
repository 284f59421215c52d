"""Conversations as training rows: every form of message in the one shape that chat templates take."""

from __future__ import annotations

import json

import pytest

from memstore import open_store


@pytest.fixture
def row(tmp_path):
    """What a conversation of these messages becomes."""

    def export(*messages):
        with open_store() as store:
            store.chat.create_conversation(id="c")
            store.chat.append_many("c", list(messages))
            path = tmp_path / "rows.jsonl"
            assert store.chat.export_sft(path) == 1
            return json.loads(path.read_text("utf-8"))

    return export


def called(arguments):
    function = {"name": "f", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}


def arguments_of(found, place=0):
    return [call["function"]["arguments"] for call in found["messages"][place]["tool_calls"]]


SPOKEN = {"role": "assistant", "content": "done"}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        (" ", {}),
        (None, {}),
        ("{}", {}),
        (f'{{"a": {2**64 - 1}, "b": {-(2**63)}}}', {"a": 2**64 - 1, "b": -(2**63)}),
    ],
)
def test_arguments_are_the_object_that_templates_want(row, given, written):
    assert arguments_of(row(called(given))) == [written]


@pytest.mark.parametrize(
    "given",
    [
        "no json", "3", "[1]", "null", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', '{"\\udc00": 1}', "[" * 100_000,
        '{"a":' * 199 + "1" + "}" * 199, f'{{"a": {2**64}}}', f'{{"a": {-(2**63) - 1}}}', '{"a": ' + "1" * 5000 + "}",
    ],
    ids=range(13),
)  # fmt: skip
def test_arguments_that_no_row_could_hold_stay_the_text_that_they_were(row, given):
    assert arguments_of(row(called(given))) == [given]


def nested(levels):
    deep: dict[str, object] = {}
    for _ in range(levels):
        deep = {"a": deep}
    return deep


def test_arguments_that_came_as_an_object_too_deep_for_a_row_become_its_text(row):
    (written,) = arguments_of(row(called(nested(195))))
    assert json.loads(written) == nested(195)


def test_what_is_too_deep_for_a_row_keeps_no_other_row_from_being_written(row):
    parts = [{"type": "text", "text": "seen"}, {"type": "image", "image": nested(195)}]
    tools = [{"name": "f", "parameters": nested(196)}, {"name": "g"}]
    custom = {"id": "1", "type": "custom", "custom": {"name": "f", "input": nested(193)}}
    found = row(
        {"role": "assistant", "content": parts},
        {"role": "assistant", "content": None, "refusal": nested(195)},
        {"role": "assistant", "content": "x", "tools": tools},
        {"role": "assistant", "content": None, "tool_calls": [custom]},
    )
    assert [message["content"] for message in found["messages"]] == ["seen", "", "x", None]
    assert found["tools"] == [{"type": "function", "function": {"name": "g"}}]
    assert arguments_of(found, 3) == [nested(193)]


def test_a_developer_speaks_as_the_system(row):
    assert row({"role": "developer", "content": "be brief"}, SPOKEN)["messages"][0] == {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": [{"type": "output_text", "text": "a", "annotations": []}], "type": "message"}, "a"),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, "no"),
        ({"content": None, "refusal": "no"}, "no"),
        ({"content": None}, ""),
        ({}, ""),
        ({"content": []}, ""),
    ],
)
def test_a_content_is_one_text(row, message, content):
    assert row({"role": "assistant", **message})["messages"] == [{"role": "assistant", "content": content}]


def test_parts_that_are_no_text_stay_as_they_are(row):
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}]
    assert row({"role": "user", "content": parts}, SPOKEN)["messages"][0]["content"] == parts


def test_a_call_has_the_keys_of_a_template_and_no_other(row):
    custom = {"id": "2", "type": "custom", "custom": {"name": "grep", "input": "x.*"}}
    message = called("{}")
    message["tool_calls"] = [{**message["tool_calls"][0], "index": 0}, custom, "no call"]
    found = row(message, {"role": "tool", "tool_call_id": "1", "name": "f", "content": "out", "unknown": 1})["messages"]
    assert found == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}},
                {"id": "2", "type": "function", "function": {"name": "grep", "arguments": {"input": "x.*"}}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "name": "f", "content": "out"},
    ]


def test_a_text_and_the_calls_after_it_are_one_turn(row):
    found = row(
        {"role": "user", "content": "list"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "local_shell_call", "call_id": "1", "action": {"command": ["ls"]}},
        {"type": "custom_tool_call", "call_id": "2", "name": "grep", "input": "x"},
        {"type": "local_shell_call_output", "call_id": "1", "output": "a.py"},
        {"type": "function_call", "call_id": "3", "name": "f", "arguments": ""},
    )["messages"]
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "assistant"]
    assert (found[1]["content"], found[3]["content"]) == ("I look.", None)
    functions = [call["function"] for message in (found[1], found[3]) for call in message["tool_calls"]]
    assert functions == [
        {"name": "local_shell", "arguments": {"command": ["ls"]}},
        {"name": "grep", "arguments": {"input": "x"}},
        {"name": "f", "arguments": {}},
    ]


def test_tools_that_messages_name_are_a_column_in_one_form(row):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    found = row(
        {"role": "system", "content": "s", "tools": [
            {"type": "function", "function": {"name": "chat", "description": "old", "parameters": schema}},
            {"type": "function", "name": "responses", "parameters": schema, "strict": True},
            {"type": "web_search"}, "none"]},
        {"type": "mcp_list_tools", "server_label": "x", "tools": [{"name": "mcp", "input_schema": schema, "annotations": {}}]},
        {"role": "user", "content": "q", "tools": [{"type": "function", "function": {"name": "chat", "description": "new"}}]},
        SPOKEN,
    )  # fmt: skip
    assert found["tools"] == [
        {"type": "function", "function": {"name": "chat", "description": "new"}},
        {"type": "function", "function": {"name": "responses", "parameters": schema}},
        {"type": "function", "function": {"name": "mcp", "parameters": schema}},
    ]
    assert [set(message) for message in found["messages"]] == [{"role", "content"}] * 3


def test_without_tools_there_is_no_such_column(row):
    assert set(row(SPOKEN)) == {"messages"}
    assert set(row({**SPOKEN, "tools": []})) == {"messages"}
    assert set(row({**SPOKEN, "tools": "none"})) == {"messages"}


def test_a_database_is_never_replaced_by_rows(file_store, tmp_path):
    other = tmp_path / "other.db"
    with open_store(other) as store:
        store.chat.create_conversation(id="kept")
    before = other.read_bytes()
    file_store.chat.create_conversation(id="c")
    for export in (file_store.chat.export_sft, file_store.corrections.export_dpo):
        with pytest.raises(ValueError, match="is a database"):
            export(other)
    assert other.read_bytes() == before
