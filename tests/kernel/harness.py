"""Files with schemas of the tests' own, and what they look like from outside."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import sqlite3
import subprocess
import sys

from memstore.kernel import Connection, Room, Schema, Step, files
from memstore.kernel import schema as schemas
from memstore.kernel.room import open_database

KERNEL_TABLES = schemas.tables(schemas.KERNEL)

OLD = """
CREATE TABLE parents(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL DEFAULT 'a' CHECK (kind IN ('a', 'b'))) STRICT;
CREATE TABLE children(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parents(id) ON DELETE CASCADE) STRICT;
CREATE INDEX children__of ON children(parent);
"""
NEW = """
CREATE TABLE parents(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL DEFAULT 'a' CHECK (kind IN ('a', 'b', 'c')),
    name TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE children(
    id INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL REFERENCES parents(id) ON DELETE CASCADE,
    age REAL NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX children__parent ON children(parent);
CREATE TRIGGER parents__kept BEFORE UPDATE OF id ON parents BEGIN SELECT RAISE(ABORT, 'ids are fixed'); END;
"""
ROOT = pathlib.Path(__file__).resolve().parents[2]

_in_memory = []


def schema(ddl, version=2, steps=(), name="things"):
    """A schema of the tests' one room."""
    return Schema(name, version, ddl, tuple(steps))


@contextlib.contextmanager
def opened(path, *, read_only=False, timeout=10.0, clock=lambda: 1.0, codec=None):
    """A database without the facade of a store."""
    options = {"read_only": read_only, "timeout": timeout, "clock": clock, "codec": codec}
    database = open_database(path, create=True, durability="normal", new_store_id=lambda: "0" * 32, **options)
    try:
        yield database
    finally:
        database.close()


def room(database, ddl, version=1, steps=(), name="things"):
    """A room of that database, not touched yet."""
    return Room(database, schema(ddl, version, steps, name))


def in_memory():
    """A connection to an empty database in memory; `close_all` closes it."""
    raw = sqlite3.connect(":memory:", isolation_level=None)
    _in_memory.append(raw)
    return Connection(raw)


def close_all():
    """Close what `in_memory` has opened."""
    while _in_memory:
        _in_memory.pop().close()


def begun(ddl, *rows):
    """A connection to a database in memory that has `ddl` as schema 1 of the room, and some rows."""
    connection = in_memory()
    schemas.create(connection, schemas.KERNEL, 0.0)
    schemas.create(connection, schema(ddl, 1), 0.0)
    for statement in rows:
        connection.run(statement)
    return connection


def migrated(connection, target):
    """Migrate as a room does: foreign keys off, one transaction, all or nothing."""
    connection.run("PRAGMA foreign_keys = OFF")
    connection.run("PRAGMA legacy_alter_table = ON")
    connection.run("BEGIN IMMEDIATE")
    connection.guarded = True
    try:
        schemas.migrate(connection, target, 1.0)
        connection.run("COMMIT")
    finally:
        connection.guarded = False
        if connection.raw.in_transaction:
            connection.run("ROLLBACK")


def dump(connection):
    """Everything in a database, so that 'nothing changed' means nothing."""
    names = [name for (name,) in connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    texts = connection.rows("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
    return texts, {name: connection.rows(f'SELECT * FROM "{name}" ORDER BY 1') for name in names}


def plain(path):
    """All of a file, read without any of our code."""
    raw = sqlite3.connect(path)
    try:
        return dump(Connection(raw))
    finally:
        raw.close()


def shape(connection):
    """The structure of a database as SQLite itself describes it, whatever order and spelling made it."""
    names = connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    others = connection.rows("SELECT type, name, sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL")
    return (
        {name.lower(): _table(connection, name) for (name,) in names if name not in KERNEL_TABLES},
        {(kind, name.lower()): _plain(sql) for kind, name, sql in others},
    )


def _table(connection, name):
    columns = {row[1].lower(): (row[2].upper(), row[3], row[4], row[5], row[6]) for row in connection.rows(f'PRAGMA table_xinfo("{name}")')}
    listed = [(row[2], row[4], row[5]) for row in connection.rows(f'PRAGMA table_list("{name}")') if row[0] == "main"]
    indexes = set()
    for _, index, unique, origin, partial in connection.rows(f'PRAGMA index_list("{name}")'):
        parts = tuple((part[2], part[3], part[4]) for part in connection.rows(f'PRAGMA index_xinfo("{index}")') if part[5])
        indexes.add((index.lower() if origin == "c" else origin, unique, partial, parts))
    keys = sorted((row[2].lower(), row[3], row[4], row[5], row[6]) for row in connection.rows(f'PRAGMA foreign_key_list("{name}")'))
    text = connection.value("SELECT sql FROM sqlite_schema WHERE name = ? AND type = 'table'", (name,))
    return columns, listed, indexes, keys, _checks(text), "autoincrement" in text.lower()


def _checks(sql):
    """What no pragma tells: the CHECK and COLLATE clauses and the generating expressions, in any order."""
    plain = _plain(sql)
    found = re.findall(r"\bcollate \w+", plain)
    for clause in re.finditer(r"\b(check|as)\(", plain):
        depth, end = 1, clause.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(plain[end], 0)
            end += 1
        found.append(plain[clause.start() : end])
    return sorted(found)


def _plain(sql):
    """An SQL text in small letters without comments, quotes of names and needless spaces; good enough for the texts of the tests."""
    sql = re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.S)
    parts = re.split(r"('(?:[^']|'')*')", sql)
    parts[::2] = [re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", re.sub(r'["`\[\]]', "", part))).lower() for part in parts[::2]]
    return "".join(parts).strip()


def ageing(stop_after=None):
    """A step that adds a year to two children at a time; it can end its process in the middle of a batch."""
    batches = []

    def run(connection, place):
        rows = connection.rows("SELECT id FROM children WHERE id > ? ORDER BY id LIMIT 2", (int(place or 0),))
        if not rows:
            return None
        connection.many("UPDATE children SET age = age + 1 WHERE id = ?", rows)
        batches.append([number for (number,) in rows])
        if len(batches) == stop_after:
            os._exit(9)
        return rows[-1][0]

    step = Step("age them", run, batched=True)
    return step, batches


def end_at_statement(number):
    """From now on let this process end, as by SIGKILL, when it begins its n-th statement; the list returned counts them."""
    count, connect = [0], files.connect

    def look(_statement):
        count[0] += 1
        if count[0] == number:
            os._exit(9)

    def watched(*arguments, **options):
        raw = connect(*arguments, **options)
        raw.set_trace_callback(look)
        return raw

    files.connect = watched
    return count


def renaming(seen):
    """A step that runs before the difference and one that runs after it; `seen` hears of them."""

    def rename(connection):
        seen.append("before")
        connection.run("ALTER TABLE parents RENAME COLUMN kind TO sort")

    def fill(connection):
        seen.append("after")
        connection.run("UPDATE parents SET name = sort || id")

    return (Step("rename kind to sort", rename, before=True), Step("fill name", fill))


def environment():
    """The environment of a process that has memstore and the tests' helpers at hand."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def run(code, *arguments):
    """Run Python in a process of its own, the tests' helpers at hand."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.stderr == "", done.stderr
    return done
