"""Old files of ours: every room's schema, aged, comes up with all rows and with everything that the user has added.

Today's schema is the only one there has been. So a file of today is filled and then made old by plain SQL: the biggest table of
the room loses three columns from its middle with the indexes and views over them, one CHECK becomes narrower, an index has another name,
and a user adds a column, an index, a view and a table. (The audit log and vectors have one column to
lose, the log no index, vectors no word that is checked.)
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sqlite3

import pytest

from memstore import NeedsUpgrade, open_store
from memstore.kernel import schema as schemas
from memstore.store import ROOMS
from memstore.testing import FakeClock

from .harness import run

MANY = 10_000


# -- files of today -----------------------------------------------------------------------------------------------------


def fill_audit(store, rows):
    events = ({"event_type": "query", "specialist": f"agent {number % 7}", "latency_ms": number} for number in range(rows))
    store.audit.append_many(events)


def fill_chat(store, rows):
    conversation = store.chat.create_conversation(id="support-42", title="Größe")
    store.chat.append_many(
        conversation.id,
        [{"role": ("user", "assistant")[number % 2], "content": f"message {number} says: naïve 日本"} for number in range(rows)],
    )


def fill_corrections(store, rows):
    for number in range(rows):
        store.corrections.add(f"subject {number}", f"claim {number}", rejected=f"not {number}")


def fill_backups(store, rows):
    for number in range(rows):
        store.backups.save(f"conversation {number}", "coder", f"{number}")


def fill_memories(store, rows):
    for number in range(rows):
        store.memories.add("knowledge", f"belief {number}", created_at=0)


def fill_knowledge(store, rows):
    for number in range(rows):
        store.knowledge.add_entity("Component", f"part {number}", id=f"n{number}", created_at=0)
        store.knowledge.relate(f"n{number}", "part_of", f"n{number // 2}", created_at=0)


def fill_conflicts(store, rows):
    sides = [{"member_kind": "memory", "member_id": f"memory {number}", "value_snapshot": "so"} for number in range(2)]
    with store.transaction():
        for number in range(rows):
            store.conflicts.open("belief", f"of {number}", members=sides, status="resolved", created_at=0)


def fill_documents(store, rows):
    with store.transaction():
        for number in range(0, rows, 100):
            store.documents.add_text("", uri=f"file:/{number}", id=f"q{number}", created_at=0)
            store.documents.set_chunks(f"q{number}", [f"chunk {part} of {number}" for part in range(100)])


def fill_vectors(store, rows):
    store.vectors.add([(f"item {number}", [number + 1.0, 1.0]) for number in range(rows)], model="toy", kind="note", created_at=0)


def fill_evals(store, rows):
    for number in range(rows):
        store.evals.record_run(f"conversation {number % 50}", "coder", utility_score=number / 7, vcg_winner=number % 3 == 0)


def fill_keywords(store, rows):
    for number in range(rows):
        store.keywords.add(f"item {number}", f"note fooBar{number % 100} and more", kind="note", created_at=0)


FILLERS = {
    "audit": fill_audit,
    "chat": fill_chat,
    "corrections": fill_corrections,
    "backups": fill_backups,
    "memories": fill_memories,
    "knowledge": fill_knowledge,
    "conflicts": fill_conflicts,
    "documents": fill_documents,
    "evals": fill_evals,
    "vectors": fill_vectors,
    "keywords": fill_keywords,
}


def schema_of(room):
    return importlib.import_module(f"memstore.{room}").SCHEMA


def plain(path):
    """A connection without any of our code."""
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


def columns(raw, table):
    return [row[1] for row in raw.execute(f"PRAGMA table_xinfo({table})")]


def contents(path, room):
    """All rows of a room's tables, by the columns that its schema names."""
    with plain(path) as raw:
        result = {}
        for (kind, name), (_, sql) in schemas.target(schema_of(room)).items():
            if kind == "table":
                result[name] = raw.execute(f"SELECT {', '.join(schemas.define(sql).columns)} FROM {name} ORDER BY 1").fetchall()
        return result


# -- made old -----------------------------------------------------------------------------------------------------------


def ours(raw, kind, tables):
    """Indexes, triggers or views that a schema has made on some tables."""
    return [
        (name, sql)
        for name, table, sql in raw.execute("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL", (kind,))
        if table in tables or kind == "view"
    ]


def drop_columns(raw, table, tables, keep):
    """Take three columns from the middle, whose values a default can give back, and what depends on them."""
    facts = raw.execute(f"PRAGMA table_xinfo({table})").fetchall()
    dropped = []
    for _, name, _, needed, default, key, hidden in facts[1:-1]:
        values = raw.execute(f"SELECT count(*) FROM {table} WHERE {name} IS NOT {default or 'NULL'}").fetchone()[0]
        if len(dropped) == 3 or f"{table}.{name}" == keep or key or hidden or values or (needed and default is None):
            continue
        raw.execute("SAVEPOINT attempt")
        for kind in ("index", "trigger", "view"):
            for item, sql in ours(raw, kind, tables):
                if re.search(rf"\b{name}\b", sql):
                    raw.execute(f"DROP {kind} {item}")
        try:
            raw.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
            dropped.append(name)
        except sqlite3.OperationalError:  # it is part of a constraint
            raw.execute("ROLLBACK TO attempt")
        raw.execute("RELEASE attempt")
    return dropped


def narrow_a_check(raw, tables):
    """Leave one legal word, that no row has, out of a list; SQLite has no statement for that."""
    for table in tables:
        (sql,) = raw.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        for found in (*re.finditer(r"(\w+) IN \([^()]*(, ?([^,()]+))\)", sql), *re.finditer(r"(\w+) = '\w+'( OR \1 = ('\w+'))\)", sql)):
            if raw.execute(f"SELECT count(*) FROM {table} WHERE {found[1]} = {found[3]}").fetchone()[0] == 0:
                narrow = sql[: found.start(2)] + sql[found.end(2) :]
                raw.execute("PRAGMA writable_schema = ON")
                raw.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (narrow, table))
                raw.execute("PRAGMA writable_schema = RESET")
                return f"{table}.{found[1]}"
    return None


def rename_an_index(raw, tables):
    for name, sql in ours(raw, "index", tables):
        raw.execute(f"DROP INDEX {name}")
        raw.execute(re.sub(rf"\b{name}\b", f"{name}_was", sql, count=1))
        return name
    return None


def add_the_users_own(raw, table):
    triggers = ours(raw, "trigger", [table])
    for name, _ in triggers:
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute(f"ALTER TABLE {table} ADD COLUMN my_column TEXT NOT NULL DEFAULT 'mine'")
    raw.execute(f"UPDATE {table} SET my_column = 'mine ' || {columns(raw, table)[0]}")
    for _, sql in triggers:
        raw.execute(sql)
    raw.execute(f"CREATE INDEX my_index ON {table}(my_column)")
    raw.execute("CREATE TABLE my_table(note TEXT)")
    raw.execute("INSERT INTO my_table VALUES ('remember the milk')")
    raw.execute(f"CREATE VIEW my_view AS SELECT my_column FROM {table}")


def users_own(path, table):
    with plain(path) as raw:
        return (
            raw.execute(f"SELECT {columns(raw, table)[0]}, my_column FROM {table} ORDER BY 1").fetchall(),
            raw.execute("SELECT note FROM my_table").fetchall(),
            raw.execute("SELECT count(*), min(my_column) FROM my_view").fetchall(),
            raw.execute("SELECT type, name, sql FROM sqlite_schema WHERE name LIKE 'my\\_%' ESCAPE '\\' ORDER BY name").fetchall(),
            [row[2] for row in raw.execute("PRAGMA index_info(my_index)")],
        )


def age(path, room, rows):
    """Make a file old; return its biggest table and what was done to it."""
    tables = schemas.tables(schema_of(room))
    with plain(path) as raw:
        raw.execute("PRAGMA legacy_alter_table = ON")
        filled = [table for table in tables if raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= rows]
        biggest = max(filled, key=lambda table: len(columns(raw, table)))
        first = [biggest, *(table for table in tables if table != biggest)]
        narrowed = narrow_a_check(raw, first)
        changed = narrowed, drop_columns(raw, biggest, tables, keep=narrowed), rename_an_index(raw, first)
        add_the_users_own(raw, biggest)
        raw.execute("UPDATE schema_version SET version = 0, digest = 'of an older text' WHERE room = ?", (room,))
    return biggest, changed


def old_file(path, room, rows):
    """A file with one old room; its contents before it was made old, its biggest table, and what was changed."""
    if room not in FILLERS:
        pytest.fail(f"write a filler for the room {room}")
    with open_store(path, clock=FakeClock()) as store:
        with store.transaction():
            FILLERS[room](store, rows)
    before = contents(path, room)
    return before, *age(path, room, rows)


# -- the tests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("rows", [MANY // 10, pytest.param(MANY, marks=pytest.mark.nightly)])
def test_an_old_file_comes_up_with_all_rows_and_all_that_the_user_added(room, rows, tmp_path):
    path = tmp_path / "old.db"
    before, table, (narrowed, dropped, renamed) = old_file(path, room, rows)
    mine = users_own(path, table)
    assert len(before[table]) >= rows
    assert len(mine[0]) == len(before[table])
    assert len(dropped) == (1 if room in ("audit", "vectors") else 3), f"{table} has only {dropped} to lose"
    assert narrowed is not None or room == "vectors"
    assert renamed is not None or room == "audit"
    with open_store(path, clock=FakeClock()) as store:
        assert getattr(store, room).db.value(f"SELECT count(*) FROM {table}") == len(before[table])
        report = store.check()
        assert report.ok, report.findings
        assert [finding for finding in report.findings if finding.kind in ("schema", "missing")] == []
    assert contents(path, room) == before
    assert users_own(path, table) == mine


@pytest.mark.damage
@pytest.mark.parametrize("room", ROOMS)
def test_an_old_file_opened_for_reading_only_asks_for_an_upgrade_and_stays_as_it_is(room, tmp_path):
    path = tmp_path / "old.db"
    old_file(path, room, 20)
    image = path.read_bytes()
    with open_store(path, read_only=True) as store:
        with pytest.raises(NeedsUpgrade, match=f"{room} has an older schema and the store is read-only; open it once for writing"):
            getattr(store, room).db.value("SELECT 1")
        assert [finding.detail for finding in store.check().findings if room in finding.detail and "older schema" in finding.detail]
    assert path.read_bytes() == image


@pytest.mark.parametrize("room", ROOMS)
def test_the_first_check_of_an_old_file_brings_it_up_and_finds_nothing(room, tmp_path):
    path = tmp_path / "old.db"
    before = old_file(path, room, 20)[0]
    with open_store(path, clock=FakeClock()) as store:
        report = store.check()
        assert report.ok, report.findings
    assert contents(path, room) == before


KILLED = """
import os, shutil, sys
from kernel.harness import end_at_statement, plain
from memstore import open_store
from memstore.testing import FakeClock

room, old, copy, step = sys.argv[1:]

def bring_up(path):
    with open_store(path, clock=FakeClock()) as store:
        getattr(store, room).db.value("SELECT 1")

before = plain(old)
shutil.copy(old, copy)
bring_up(copy)
after = plain(copy)
outcomes = []
for number in range(1, 1000, int(step)):
    for end in ("", "-wal", "-shm"):
        if os.path.exists(copy + end):
            os.unlink(copy + end)
    shutil.copy(old, copy)
    child = os.fork()
    if child == 0:
        end_at_statement(number)
        bring_up(copy)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = plain(copy)
    if found not in (before, after):
        sys.exit(f"killed at statement {number} it is neither the old nor the new one")
    outcomes.append("old" if found == before else "new")
    if ended == 0:
        break
    if number % 2 == 0:
        bring_up(copy)
        if plain(copy) != after:
            sys.exit(f"killed at statement {number} it cannot be brought up again")
print(*outcomes)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.drawn(2)
@pytest.mark.parametrize("room", ROOMS)
def test_killed_at_every_third_statement_an_old_file_is_the_old_or_the_new_one(room, tmp_path):
    killed_at_statements(room, tmp_path, rows=40, step=3)


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.parametrize("room", ROOMS)
def test_killed_at_any_statement_a_large_old_file_is_the_old_or_the_new_one(room, tmp_path):
    killed_at_statements(room, tmp_path, rows=MANY, step=1)


def killed_at_statements(room, tmp_path, rows, step):
    path = tmp_path / "old.db"
    old_file(path, room, rows)
    done = run(KILLED, room, path, tmp_path / "copy.db", step)
    assert done.returncode == 0, done.stdout
    outcomes = done.stdout.split()
    assert outcomes == sorted(outcomes, reverse=True), "old up to one statement, new from there on"
    assert outcomes.count("old") > 20 // step and "new" in outcomes, outcomes
