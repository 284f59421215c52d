"""What every origin has in common: a trial writes nothing, a killed import leaves nothing, and the command says what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from atocore_files import make as make_atocore
from aua_files import ROWS, make, with_change
from foreign_files import made, outcome

from memstore import Invalid, open_store
from memstore.cli import main
from memstore.imports import import_from

LINES = ['{"role": "user", "content": "hi"}', '{"role": "assistant", "content": "ho"}']
MEM0 = '{"results": [{"id": "1", "memory": "likes cricket", "user_id": "ada"}, {"id": "2", "memory": "likes golf"}]}'
ORIGINS = ["aua", "openai-sessions", "llm", "chat", "aua-flat", "atocore", "mem0", "langgraph"]


def source(origin, folder):
    """A file of that origin, and its name on the command line."""
    if origin == "aua":
        return origin, make(folder / "aua.db", ROWS)
    if origin == "openai-sessions":
        return origin, made("agents", folder / "sessions.db")
    if origin == "llm":
        return origin, made("llm-both", folder / "logs.db")
    if origin == "atocore":
        return origin, make_atocore(folder / "atocore.db")
    if origin == "langgraph":
        return origin, made("langgraph", folder / "store.db")
    if origin == "mem0":
        (folder / "mem0.json").write_text(MEM0)
        return origin, folder / "mem0.json"
    name, lines = ("chat", LINES) if origin == "chat" else ("aua", ['{"prompt": "p", "chosen": "c", "rejected": "r"}'])
    (folder / "some.jsonl").write_text("\n".join(lines))
    return name, folder / "some.jsonl"


@pytest.fixture(params=ORIGINS)
def foreign(request, tmp_path):
    return source(request.param, tmp_path)


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch):
    for name in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def call(capsys, *words):
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rows(store):
    """All rows of all tables of rooms."""
    names = [row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    kept = [name for name in names if name not in ("maintenance", "meta") and not name.startswith(("sqlite_", "schema_"))]
    return {name: found for name in kept if (found := store.query(f"SELECT * FROM {name}"))}


# -- a trial ------------------------------------------------------------------------------------------------------------


def test_a_trial_tells_what_would_come_in_and_leaves_nothing(file_store, foreign):
    trial = import_from(file_store, *foreign, dry_run=True)
    assert rows(file_store) == {}
    assert import_from(file_store, *foreign) == trial
    assert trial.new > 0
    assert import_from(file_store, *foreign, dry_run=True).new == 0


def test_a_trial_inside_a_transaction_undoes_only_itself(file_store, tmp_path):
    with file_store.transaction():
        file_store.chat.create_conversation(id="before")
        assert import_from(file_store, *source("chat", tmp_path), dry_run=True).new == 2
        file_store.chat.create_conversation(id="after")
    assert {talk.id for talk in file_store.chat.conversations()} == {"before", "after"}
    with pytest.raises(Invalid, match="dry_run"):
        import_from(file_store, *source("chat", tmp_path), dry_run="yes")


def test_the_command_tries_without_beginning_a_store(capsys, tmp_path, foreign):
    origin, path = foreign
    before = sorted(os.listdir(tmp_path))
    target = tmp_path / "new.db"
    status, out, err = call(capsys, "import", "--from", origin, path, "--db", target, "--dry-run")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == f"{path} -> {target} (a trial: nothing was written)"
    assert sorted(os.listdir(tmp_path)) == before
    told = out.splitlines()[1:]
    status, out, _ = call(capsys, "import", "--from", origin, path, "--db", target)
    assert (status, out.splitlines()[1:]) == (0, told)


def test_a_trial_ends_as_the_import_would(capsys, tmp_path):
    path = make(tmp_path / "aua.db", with_change("messages", role="critic"))
    open_store(tmp_path / "agent.db").close()
    status, out, _ = call(capsys, "import", "--from", "aua", path, "--db", tmp_path / "agent.db", "--dry-run", "--json")
    told = json.loads(out)
    assert (status, told["ok"], told["dry_run"], told["store"]) == (1, False, True, str(tmp_path / "agent.db"))
    with open_store(tmp_path / "agent.db") as store:
        assert rows(store) == {}


# -- killed -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_after_its_first_rows_it_leaves_a_sound_store_that_takes_all_of_it_the_next_time(tmp_path, foreign):
    target = tmp_path / "agent.db"
    with open_store(target) as store:
        store.chat.create_conversation(id="mine")
    code = (
        "import os, signal, sys\nfrom memstore import open_store\nfrom memstore.imports import import_from\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    import_from(store, sys.argv[2], sys.argv[3], progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, target, *foreign], timeout=60)
    assert done.returncode == -signal.SIGKILL
    with open_store(target) as store:
        assert store.check().ok
        assert [talk.id for talk in store.chat.conversations()] == ["mine"]
        assert store.audit.find() == []
        report = import_from(store, *foreign)
        assert (report.ok, report.new > 0) == (True, True)
        assert len(store.audit.find(event_type="store.import")) == 1
        assert store.check().ok


# -- values that nobody expects -----------------------------------------------------------------------------------------

NASTY = ["NULL", "5", "x'ff00'", "CAST(x'ff' AS TEXT)", "'[]'", "'[5]'", "'{\"a\": 1}'", "'{\"text_ref\": 5}'", "'{\"attachments\": [5]}'"]


@pytest.mark.parametrize(
    ("origin", "name", "least"),
    [("openai-sessions", "agents", 5), ("llm", "llm-0.27", 5), ("llm", "llm-0.36", 5), ("langgraph", "langgraph", 2), ("atocore", None, 5)],
)
def test_whatever_one_value_is_the_others_come_in_and_nothing_breaks(store_clock, rng, tmp_path, origin, name, least):
    path = make_atocore(tmp_path / "some.db") if name is None else made(name, tmp_path / "some.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        tables = [table for (table,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
        places = [(table, row[1]) for table in tables for row in raw.execute(f"PRAGMA table_info({table})")]
    whole = path.read_bytes()
    for (table, column), value in zip(rng.choices(places, k=40), rng.choices(NASTY, k=40), strict=True):
        path.write_bytes(whole)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw, contextlib.suppress(sqlite3.IntegrityError):
            raw.execute(f'UPDATE {table} SET "{column}" = {value} WHERE rowid = (SELECT max(rowid) FROM {table})')
        with open_store(":memory:", clock=store_clock) as store:
            report = import_from(store, origin, path)
            assert sum(table.new + table.known + table.refused for table in report.tables) == sum(table.rows for table in report.tables)
            assert report.new >= least
            assert import_from(store, origin, path).new == 0, (table, column, value)


# -- the command --------------------------------------------------------------------------------------------------------


def test_the_command_takes_in_every_origin_and_knows_it_again(capsys, tmp_path, foreign):
    origin, path = foreign
    status, out, err = call(capsys, "import", "--from", origin, path, "--json")
    first = json.loads(out)
    assert (status, err, first["ok"], first["store"]) == (0, "", True, str(path.with_suffix(".memstore.db")))
    status, out, _ = call(capsys, "import", "--from", origin, path, "--json")
    assert (status, sum(table["new"] for table in json.loads(out)["tables"])) == (0, 0)


def test_a_bad_line_is_shown_by_file_and_line_and_status_is_1(capsys, tmp_path):
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join([*LINES, "{half"]))
    status, out, _ = call(capsys, "import", "--from", "chat", path, "--conversation", "other")
    assert status == 1
    assert out.splitlines()[-1].split()[:3] == ["talk.jsonl", "line", "3"]
    with open_store(tmp_path / "talk.memstore.db") as store:
        assert [talk.id for talk in store.chat.conversations()] == ["other"]


def test_a_file_of_another_origin_is_an_error_and_begins_no_store(capsys, tmp_path):
    _, path = source("llm", tmp_path)
    before = sorted(os.listdir(tmp_path))
    for origin in ("aua", "openai-sessions"):
        status, out, err = call(capsys, "import", "--from", origin, path)
        assert (status, out, err.count("\n")) == (2, "", 1)
    assert sorted(os.listdir(tmp_path)) == before


def test_several_origins_come_into_one_store(file_store, tmp_path):
    for origin in ORIGINS:
        report = import_from(file_store, *source(origin, tmp_path))
        assert (report.ok, report.new > 0) == (True, True)
        assert not any(refused for _, _, refused in outcome(report).values())
    assert [event.details["from"] for event in file_store.audit.find(event_type="store.import", ascending=True)] == [
        "aua", "openai-sessions", "llm", "chat", "aua", "atocore", "mem0", "langgraph"
    ]  # fmt: skip
    assert file_store.audit.verify().ok


def test_what_was_erased_does_not_come_back_with_another_import(store, tmp_path):
    file = tmp_path / "talk.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "call me Ada"}]}\n', encoding="utf-8")
    assert import_from(store, "chat", file).new == 1
    (talk,) = store.chat.conversations()
    store.erase(conversation_id=talk.id)
    again = import_from(store, "chat", file)
    assert again.new == 0 and not again.ok
    assert "erased" in again.refused[0].reason
    assert store.chat.conversations() == []


def test_loose_lines_do_not_bring_an_erased_conversation_back(store, tmp_path):
    file = tmp_path / "talk.jsonl"
    file.write_text('{"role": "user", "content": "call me Ada"}\n', encoding="utf-8")
    import_from(store, "chat", file)
    (talk,) = store.chat.conversations()
    store.erase(conversation_id=talk.id)
    assert "erased" in import_from(store, "chat", file).refused[0].reason
    assert import_from(store, "chat", file, conversation="another").new == 1
