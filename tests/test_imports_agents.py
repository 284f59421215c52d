"""Files of the OpenAI Agents SDK's sessions on their way in: the items come back as the SDK gives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time

import pytest
from foreign_files import made, outcome

from memstore import Invalid, open_store
from memstore.imports import import_from

CALL = {"arguments": '{"ms": 345}', "call_id": "c1", "id": "fc_1", "name": "run", "status": "completed", "type": "function_call"}


@pytest.fixture
def store(store_clock):
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def sessions(tmp_path):
    return made("agents", tmp_path / "sessions.db")


def take(store, path, **options):
    return import_from(store, "openai-sessions", path, **options)


def items(store, session_id, limit=None):
    return asyncio.run(store.chat.session(session_id).get_items(limit))


def theirs(path, session_id):
    """What the SDK's get_items reads."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT message_data FROM agent_messages WHERE session_id = ? ORDER BY id", (session_id,)).fetchall()
    return [json.loads(data) for (data,) in found]


def add(path, session_id, *texts):
    with contextlib.closing(sqlite3.connect(path)) as raw:
        for text in texts:
            raw.execute("INSERT INTO agent_messages(session_id, message_data) VALUES (?, ?)", (session_id, text))
        raw.commit()


def test_a_session_gives_the_items_back_that_the_sdk_put_in(store, sessions):
    report = take(store, sessions)
    assert (report.ok, report.refused, report.notes) == (True, [], [])
    assert outcome(report) == {"agent_sessions": (2, 0, 0), "agent_messages": (7, 0, 0)}
    for session_id in ("support-42", "other"):
        assert items(store, session_id) == theirs(sessions, session_id) != []
    assert items(store, "support-42")[1] == CALL
    assert items(store, "support-42", 2) == theirs(sessions, "support-42")[-2:]


@pytest.fixture
def far_from_utc(monkeypatch):
    if not hasattr(time, "tzset"):
        pytest.skip("needs tzset()")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_times_are_those_of_the_file_in_utc(store, tmp_path, far_from_utc):
    path = made(
        "agents",
        tmp_path / "s.db",
        "UPDATE agent_sessions SET created_at = '2001-09-09 01:46:40', updated_at = '2001-09-09 01:46:42'",
        "UPDATE agent_messages SET created_at = '2001-09-09 01:46:41'",
    )
    take(store, path)
    talk = store.chat.get_conversation("other")
    assert (talk.created_at, talk.updated_at) == (1e9, 1e9 + 2)
    assert {message.created_at for message in store.chat.messages("other")} == {1e9 + 1}


def test_a_file_that_has_grown_brings_only_what_is_new(store, sessions):
    take(store, sessions)
    assert take(store, sessions).new == 0
    assert len(store.audit.find(event_type="store.import")) == 1
    add(sessions, "support-42", '{"role": "user", "content": "more"}')
    assert outcome(take(store, sessions))["agent_messages"] == (1, 7, 0)
    assert items(store, "support-42") == theirs(sessions, "support-42")


def test_two_files_that_count_their_items_alike_do_not_hide_each_other(store, sessions, tmp_path):
    changed = "UPDATE agent_messages SET message_data = replace(message_data, '345', '900')"
    take(store, sessions)
    assert outcome(take(store, made("agents", tmp_path / "b.db", changed))) == {"agent_sessions": (0, 2, 0), "agent_messages": (2, 5, 0)}
    assert [item for item in items(store, "support-42") if "900" in json.dumps(item)]


def test_tables_go_by_their_columns_whatever_they_are_called(store, tmp_path):
    path = made("agents", tmp_path / "s.db", "ALTER TABLE agent_sessions RENAME TO mine", 'ALTER TABLE agent_messages RENAME TO "my items"')
    assert outcome(take(store, path)) == {"mine": (2, 0, 0), "my items": (7, 0, 0)}


def test_a_row_that_the_sdk_cannot_read_either_is_named(store, sessions):
    add(sessions, "support-42", "{half", "[1]", '{"role": "critic", "content": "x"}', '{"a": NaN}', '{"a": "\\ud800"}',
        '{"role": "user", "content": "last"}')  # fmt: skip
    report = take(store, sessions)
    assert not report.ok
    reasons = sorted(row.reason for row in report.refused)
    expected = ["'{half' is not JSON", "[1]", "'critic' is none of", "nan", "lone surrogate"]
    assert all(any(part in reason for reason in reasons) for part in expected), reasons
    assert len(report.refused) == 5
    assert items(store, "support-42")[-1] == {"role": "user", "content": "last"}
    assert len(items(store, "support-42")) == 7


def test_items_without_a_session_row_begin_their_conversation(store, tmp_path):
    path = made("agents", tmp_path / "s.db", "DELETE FROM agent_sessions")
    add(path, "x", '{"role": "assistant", "content": null, "tool_calls": ' + "[" * 250 + "]" * 250 + "}")
    report = take(store, path)
    assert outcome(report)["agent_messages"] == (7, 0, 1)
    assert items(store, "support-42") == theirs(path, "support-42")
    assert "x" not in {talk.id for talk in store.chat.conversations()}, "nothing of it was taken"


def test_a_table_that_only_a_richer_session_has_is_said(store, tmp_path):
    path = made("agents", tmp_path / "s.db", "CREATE TABLE turn_usage(id INTEGER PRIMARY KEY, session_id TEXT, requests INTEGER)",
                "INSERT INTO turn_usage(session_id, requests) VALUES ('other', 3)")  # fmt: skip
    assert take(store, path).notes == ["turn_usage: has no home here and was left out (rows: 1)"]


def test_another_file_is_told_apart(store, tmp_path):
    with pytest.raises(Invalid, match=r"is not a file of Agents SDK sessions \(tables: _llm_migrations, attachments"):
        take(store, made("llm-0.27", tmp_path / "logs.db"))
    assert store.stats().rooms == {}
