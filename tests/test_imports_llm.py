"""Logs of llm on their way in, of both its forms: rows that hold question and answer, and chains of messages."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import datetime

import pytest
from foreign_files import forms, made, outcome

from memstore import Invalid, open_store
from memstore.imports import import_from

CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "multiply", "arguments": '{"a": 6, "b": 7}'}},
    {"id": "t2", "type": "function", "function": {"name": "fails", "arguments": "{}"}},
]
PICTURE = [
    {"type": "text", "text": "What is on it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoA"}},
    {"type": "image_url", "image_url": {"url": "http://x.test/y.png"}},
]
TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "What is it?"},
    {"role": "assistant", "content": "345 ms"},
    {"role": "user", "content": "A long\nfragment\nyes"},
    {"role": "assistant", "content": "again"},
]
TOOLS = [
    {"role": "user", "content": "6 times 7?"},
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "t1", "name": "multiply", "content": "42"},
    {"role": "tool", "tool_call_id": "t2", "name": "fails", "content": "Error: no luck"},
    {"role": "assistant", "content": "It is 42."},
]


@pytest.fixture
def store(store_clock):
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


def take(store, path, **options):
    return import_from(store, "llm", path, **options)


def titled(store, title):
    return next(talk.id for talk in store.chat.conversations(limit=None) if talk.title == title)


def answers(store, title):
    return [message for message in store.chat.messages(titled(store, title), limit=None) if message.role == "assistant"]


def rows_of(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.row_factory = sqlite3.Row
        return [dict(row) for row in raw.execute(sql)]


@pytest.fixture(params=["llm-0.27", "llm-0.36"])
def logs(request, tmp_path):
    return made(request.param, tmp_path / "logs.db")


# -- what comes in, in either form --------------------------------------------------------------------------------------


def test_what_was_said_comes_in_whole_and_in_order(store, logs):
    report = take(store, logs)
    assert (report.ok, report.new, [table.left_out for table in report.tables]) == (True, 10, [{}, {}])
    assert forms(store, titled(store, "What is it?")) == TALK
    assert forms(store, titled(store, "6 times 7?")) == TOOLS
    asked, answered = forms(store, titled(store, "What is on it?"))
    assert asked["content"][:3] == PICTURE
    assert asked["content"][3]["file"]["file_data"] == "data:text/plain;base64,cGxhaW4="
    assert answered == {"role": "assistant", "content": "a picture"}
    assert forms(store, titled(store, "sysfrag Only a system prompt."))[0] == {
        "role": "system", "content": "sysfrag\n\nOnly a system prompt."
    }  # fmt: skip
    assert store.chat.search("345 ms")


def test_ids_times_models_and_figures_are_kept(store, logs):
    take(store, logs)
    table = "turns" if rows_of(logs, "SELECT 1 FROM sqlite_schema WHERE name = 'turns'") else "responses"
    for row in rows_of(logs, f"SELECT * FROM {table}"):
        message = store.chat.get_message(row["id"])
        assert (message.role, message.models_used) == ("assistant", [row["model"]])
        assert message.created_at == pytest.approx(_seconds(row["datetime_utc"]))
        kept = message.metadata["llm"]
        for name in ("duration_ms", "input_tokens", "output_tokens", "token_details", "options_json", "response_json", "resolved_model"):
            assert kept.get(name) == row[name]
    first, last = answers(store, "What is it?")
    talk = store.chat.get_conversation(first.conversation_id)
    assert (talk.created_at, talk.updated_at) == (first.created_at, last.created_at)


def _seconds(text):
    return datetime.fromisoformat(text).timestamp()


def test_tools_and_schemas_stand_by_the_answer_that_had_them(store, logs):
    take(store, logs)
    called = answers(store, "6 times 7?")[0].metadata["llm"]
    assert [(tool["name"], tool["description"]) for tool in called["tools"]] == [("multiply", "Multiply two numbers."), ("fails", "Fails.")]
    assert json.loads(called["tools"][0]["input_schema"])["required"] == ["a", "b"]
    assert json.loads(answers(store, "What is on it?")[0].metadata["llm"]["schema"]["content"])["type"] == "object"
    failed = next(message for message in store.chat.messages(titled(store, "6 times 7?")) if message.tool_call_id == "t2")
    assert failed.metadata == {"llm": {"exception": "ValueError: no luck"}}


def test_a_second_time_nothing_is_new_and_nothing_is_written(store, logs):
    take(store, logs)
    before = store.query("SELECT count(*) AS n FROM messages"), len(store.audit.find())
    again = take(store, logs)
    assert (again.ok, again.new) == (True, 0)
    assert before == (store.query("SELECT count(*) AS n FROM messages"), len(store.audit.find()))


def test_what_no_message_uses_is_counted(store, tmp_path, logs):
    with contextlib.closing(sqlite3.connect(logs)) as raw:
        raw.execute("INSERT INTO fragments(id, content) VALUES (99, 'unused')")
        raw.execute("INSERT INTO attachments(id, content) VALUES ('no', x'00')")
        raw.execute("INSERT INTO fragment_aliases(alias, fragment_id) VALUES ('novel', 1)")
        raw.commit()
    notes = take(store, logs).notes
    assert "fragments: used by no message and left out (rows: 1)" in notes
    assert "attachments: used by no message and left out (rows: 1)" in notes
    assert "fragment_aliases: has no home here and was left out (rows: 1)" in notes


# -- rows that hold question and answer ---------------------------------------------------------------------------------


def response(**columns):
    names = ", ".join(columns)
    return f"INSERT INTO responses({names}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values())


def test_a_file_that_has_grown_brings_only_what_is_new(store, tmp_path):
    path = made("llm-0.27", tmp_path / "logs.db")
    take(store, path)
    owner = titled(store, "What is it?")
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute(*response(id="late", conversation_id=owner, prompt="once more", response="there", datetime_utc="2026-11-21T03:00:00"))
        raw.commit()
    assert outcome(take(store, path)) == {"conversations": (0, 4, 0), "responses": (1, 6, 0)}
    assert forms(store, owner) == [*TALK, {"role": "user", "content": "once more"}, {"role": "assistant", "content": "there"}]


def test_a_response_that_cannot_be_taken_is_named_and_costs_only_itself(store, tmp_path):
    path = made(
        "llm-0.27", tmp_path / "logs.db",
        response(id="lost", conversation_id="nowhere", prompt="x", response="y"), response(id="alone", prompt="x", response="y"),
        "UPDATE responses SET datetime_utc = 'soon' WHERE response = '345 ms'",
        "UPDATE conversations SET name = CAST(x'ff' AS TEXT) WHERE name = 'What is on it?'",
    )  # fmt: skip
    report = take(store, path)
    reasons = {row.id: row.reason for row in report.refused}
    assert len(reasons) == 5
    assert "no conversation 'nowhere'" in reasons["lost"]
    assert reasons["alone"] == "conversation_id is missing"
    assert any("'soon' is not a date" in reason for reason in reasons.values())
    assert any("lone surrogate" in reason for reason in reasons.values())
    assert forms(store, titled(store, "6 times 7?")) == TOOLS


def test_fragments_stand_in_the_order_in_which_they_were_given(store, tmp_path):
    link = 'INSERT INTO prompt_fragments(response_id, fragment_id, "order") VALUES (?, ?, ?)'
    path = made(
        "llm-0.27",
        tmp_path / "logs.db",
        "INSERT INTO conversations(id) VALUES ('c')",
        response(id="r", conversation_id="c", prompt="", response="y"),
        (link, ("r", 2, 1)),
        (link, ("r", 1, 0)),
    )
    take(store, path)
    assert forms(store, "c")[0]["content"] == "A long\nfragment\nsysfrag"


def test_an_old_file_without_the_later_tables_and_columns_comes_in(store, tmp_path):
    path = tmp_path / "logs.db"
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            """
            CREATE TABLE conversations(id TEXT PRIMARY KEY, name TEXT, model TEXT);
            CREATE TABLE responses(id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT,
                response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT);
            CREATE TABLE logs(id INTEGER PRIMARY KEY, prompt TEXT);
            INSERT INTO conversations VALUES ('c', 'n', 'm');
            INSERT INTO responses(id, model, prompt, response, conversation_id) VALUES ('r', 'm', 'q', 'a', 'c');
            INSERT INTO logs VALUES (1, 'older still');
            """
        )
    report = take(store, path)
    assert (report.ok, forms(store, "c")) == (True, [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    assert report.notes[-1] == "logs: has no home here and was left out (rows: 1)"


# -- chains of messages -------------------------------------------------------------------------------------------------


def test_a_conversation_that_went_on_after_the_upgrade_is_one_and_says_nothing_twice(store, tmp_path):
    path = made("llm-both", tmp_path / "logs.db")
    assert take(store, path).ok
    said = forms(store, titled(store, "What is it?"))
    assert said == [
        *TALK,
        {"role": "user", "content": "go on"}, {"role": "assistant", "content": "more of it"},
        {"role": "user", "content": "yes"}, {"role": "assistant", "content": "and more"},
        {"role": "user", "content": "and now?"}, {"role": "assistant", "content": "new rules"},
    ]  # fmt: skip
    assert take(store, path).new == 0


def test_turns_that_came_later_add_what_is_theirs_wherever_the_import_stopped(tmp_path, store_clock):
    whole = made("llm-both", tmp_path / "whole.db")
    part = made("llm-both", tmp_path / "part.db", "DELETE FROM turns WHERE rowid > 1")
    with open_store(":memory:", clock=store_clock) as at_once, open_store(":memory:", clock=store_clock) as in_two:
        take(at_once, whole)
        take(in_two, part)
        assert outcome(take(in_two, whole))["turns"] == (2, 1, 0)
        owner = titled(at_once, "What is it?")
        assert forms(in_two, owner) == forms(at_once, owner)
        assert [item.id for item in in_two.chat.messages(owner)] == [item.id for item in at_once.chat.messages(owner)]


def message(hash, parent, role, *parts):
    yield "INSERT INTO messages(hash, parent_hash, role) VALUES (?, ?, ?)", (hash, parent, role)
    for position, (kind, text, payload) in enumerate(parts):
        stored = None if payload is None else json.dumps(payload)
        yield "INSERT INTO parts(message_hash, position, type, text, payload) VALUES (?, ?, ?, ?, ?)", (hash, position, kind, text, stored)


def turn(id, parent, tip, thread="new"):
    sql = "INSERT INTO turns(id, thread_id, parent_message_hash, tip_message_hash, model, datetime_utc) VALUES (?, ?, ?, ?, 'm', ?)"
    return sql, (id, thread, parent, tip, "2026-11-21T03:00:00+00:00")


THREAD = "INSERT INTO threads(id, name) VALUES ('new', 'new')"


def test_history_under_another_system_prompt_is_not_said_again(store, tmp_path):
    plain = [("text", "yes", None)]
    path = made(
        "llm-0.36", tmp_path / "logs.db", THREAD,
        *message("a1", None, "user", *plain), *message("a2", "a1", "assistant", ("text", "so", None)), turn("t1", "a1", "a2"),
        *message("b0", None, "system", ("text", "Be long.", None)), *message("b1", "b0", "user", *plain),
        *message("b2", "b1", "assistant", ("text", "so", None)), *message("b3", "b2", "user", *plain),
        *message("b4", "b3", "assistant", ("text", "so", None)), turn("t2", "b3", "b4"),
    )  # fmt: skip
    assert take(store, path).ok
    assert [(item["role"], item["content"]) for item in forms(store, "new")] == [
        ("user", "yes"), ("assistant", "so"), ("system", "Be long."), ("user", "yes"), ("assistant", "so")
    ]  # fmt: skip


def test_a_question_that_was_answered_twice_is_asked_once(store, tmp_path):
    path = made(
        "llm-0.36",
        tmp_path / "logs.db",
        THREAD,
        *message("a1", None, "user", ("text", "q", None)),
        *message("a2", "a1", "assistant", ("text", "one", None)),
        *message("b2", "a1", "assistant", ("text", "two", None)),
        turn("t1", "a1", "a2"),
        turn("t2", "a1", "b2"),
    )
    assert take(store, path).ok
    assert [item["content"] for item in forms(store, "new")] == ["q", "one", "two"]


def test_parts_that_no_openai_message_has_are_kept_beside(store, tmp_path):
    thinking = ("reasoning", "hm", {"provider_metadata": {"signature": "s"}})
    searched = ("tool_call", None, {"name": "web", "arguments": {"q": "ü"}, "tool_call_id": "w", "server_executed": True})
    found = ("tool_result", None, {"name": "web", "output": "hit", "tool_call_id": "w", "server_executed": True})
    path = made(
        "llm-0.36", tmp_path / "logs.db", THREAD, *message("a1", None, "user", ("text", "q", None)),
        *message("a2", "a1", "assistant", thinking, searched, found, ("text", "one", None), ("text", "two", None)), turn("t1", "a1", "a2"),
    )  # fmt: skip
    assert take(store, path).ok
    _, answer, result = store.chat.messages("new")
    assert answer.to_openai()["content"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert answer.tool_calls[0]["function"]["name"] == "web"
    assert (answer.id, answer.metadata["llm"]["parts"]) == ("t1", [
        {"type": "reasoning", "provider_metadata": {"signature": "s"}, "text": "hm"}, {"type": "tool_call", "server_executed": True}
    ])  # fmt: skip
    assert (result.content, result.metadata) == ("hit", {"llm": {"server_executed": True}})


def test_a_turn_without_an_answer_is_known_the_next_time(store, tmp_path):
    path = made("llm-0.36", tmp_path / "logs.db", THREAD, *message("a1", None, "user", ("text", "q", None)), turn("t1", "a1", "a1"))
    assert take(store, path).ok
    assert forms(store, "new") == [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}]
    assert take(store, path).new == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DELETE FROM messages WHERE hash = 'a1'", "message 'a1' of its chain is not in the file"),
        ("UPDATE messages SET parent_hash = 'a2' WHERE hash = 'a1'", "runs in a circle"),
        ("UPDATE parts SET text = NULL, payload = '{' WHERE message_hash = 'a2'", "is not JSON"),
        ("UPDATE parts SET text = NULL, payload = '[]' WHERE message_hash = 'a2'", "is not a JSON object"),
        ("UPDATE parts SET text = NULL, payload = '{\"text_ref\": [{\"fragment\": 77}]}' WHERE message_hash = 'a2'", "fragment 77"),
        ("UPDATE messages SET role = 'critic' WHERE hash = 'a1'", "'critic' is none of"),
    ],
)  # fmt: skip
def test_a_chain_that_cannot_be_followed_costs_its_turn_only(store, tmp_path, change, why):
    path = made(
        "llm-0.36", tmp_path / "logs.db", THREAD,
        *message("a1", None, "user", ("text", "q", None)), *message("a2", "a1", "assistant", ("text", "a", None)), turn("t1", "a1", "a2"),
        change,
    )  # fmt: skip
    report = take(store, path)
    assert [row.id for row in report.refused] == ["t1"]
    assert why in report.refused[0].reason
    assert outcome(report)["turns"] == (6, 0, 1)


def test_another_file_is_told_apart(store, tmp_path):
    with pytest.raises(Invalid, match=r"is not a logs.db of llm \(tables: agent_messages, agent_sessions\)"):
        take(store, made("agents", tmp_path / "sessions.db"))
