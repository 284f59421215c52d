"""A room of the tests' own in real stores, and child processes that use it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
from contextlib import suppress

import memstore
from memstore.kernel import Room, Schema

TESTS = pathlib.Path(__file__).resolve().parents[1]
ROOT = pathlib.Path(memstore.__file__).resolve().parents[1]

SCHEMA = Schema(
    "things",
    version=1,
    ddl="CREATE TABLE things(pk INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT NOT NULL, part INTEGER NOT NULL DEFAULT 0) STRICT;",
)
INSERT = "INSERT INTO things(word, part) VALUES (?, ?)"


class Things:
    """Words in a store."""

    def __init__(self, store):
        self.room = Room(store._database, SCHEMA)

    def add(self, word, part=0):
        with self.room.write() as connection:
            return connection.insert(INSERT, (word, part))

    def words(self):
        return [word for (word,) in self.room.rows("SELECT word FROM things ORDER BY pk")]

    def remove(self, word):
        """Remove a word so that no byte of it is left."""
        with self.room.write() as connection:
            connection.run("DELETE FROM things WHERE word = ?", (word,))
            self.room.scrub()


def at_rest(store):
    """Whether nothing is held: no transaction, no lock, no reader."""
    database = store._database
    writing = database.writer is not None and database.writer.raw.in_transaction
    return (database._owner, database._depth, database._owns(), writing, database._levels, dict(database.lent)) == (
        None,
        0,
        False,
        False,
        [],
        {},
    )


def start(code, *arguments, flags=("-W", "error")):
    """Start a child Python that can import memstore and these helpers."""
    path = os.pathsep.join([str(ROOT), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, *flags, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def finish(child, code=0, timeout=60):
    """Let a child run to its end and return what it has printed and nobody has read yet."""
    # communicate() would lose lines that came together with one that was read before: it asks the pipe, not the text in front of it.
    late = threading.Timer(timeout, child.kill)
    late.start()
    noise = []
    beside = threading.Thread(target=lambda: noise.append(child.stderr.read()))
    beside.start()
    with child:
        with suppress(BrokenPipeError):
            child.stdin.close()
        out = child.stdout.read()
        beside.join()
    (err,) = noise
    in_time = late.is_alive()
    late.cancel()
    late.join()
    assert in_time, f"still running after {timeout} s\n{out}\n{err}"
    assert child.returncode == code, f"exit {child.returncode}\n{out}\n{err}"
    assert code or not err, err
    return out


def run(code, *arguments, **options):
    """Run a child to its end."""
    return finish(start(code, *arguments), **options)


HOLDER = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute(sys.argv[2])
raw.execute("SELECT count(*) FROM sqlite_schema").fetchall()
print("held", flush=True)
sys.stdin.readline()
raw.execute("ROLLBACK")
raw.close()
"""


class Holder:
    """Another process that is inside a transaction of the file."""

    def __init__(self, path, begin="BEGIN IMMEDIATE"):
        self.path, self.begin = path, begin

    def __enter__(self):
        self.child = start(HOLDER, self.path, self.begin)
        assert self.child.stdout.readline() == "held\n", self.child.stderr.read()
        return self

    def __exit__(self, *failure):
        finish(self.child)
