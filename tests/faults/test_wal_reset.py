"""The race of SQLite 3.7.0 to 3.51.2 that loses acknowledged commits: raw checkpoints run into it, ours do not.

A checkpoint reads the log's header; before it goes on, another connection commits, which begins the log anew because all of it
had been copied; the checkpoint then notes the frames of the new log as copied, which they are not. The layer calls us in that
very moment.
"""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from kernel.things import INSERT, Things

from memstore import Busy, open_store

from .vfs import Layer, needs_layer

pytestmark = needs_layer


def loses_commits(version):
    """Whether an SQLite has the race: it was mended in 3.51.3, and in 3.50.7 and 3.44.6 for those who stayed there."""
    mended_before = {(3, 50): 7, (3, 44): 6}
    return (3, 7, 0) <= version < (3, 51, 3) and version[2] < mended_before.get(version[:2], 1000)


def interleave(layer, write, first, second):
    """Let a commit fall into the second of three checkpoints, write on, and return how many rows were acknowledged."""
    in_the_moment = []
    acknowledged = write(400)
    first()
    layer.at_checkpoint = lambda: in_the_moment.append(write(1))
    second()
    assert len(in_the_moment) == 1, "the checkpoint was not seen"
    acknowledged += in_the_moment[0] + write(60)
    second()
    return acknowledged + write(1)


def raw_connection(path):
    raw = sqlite3.connect(path, isolation_level=None, timeout=0.05, check_same_thread=False)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA wal_autocheckpoint = 0")
    raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return raw


@pytest.mark.parametrize(
    "version, has_it",
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_versions_with_the_race_are_known(version, has_it):
    assert loses_commits(version) == has_it


@pytest.mark.skipif(not loses_commits(sqlite3.sqlite_version_info), reason=f"SQLite {sqlite3.sqlite_version} does not have the race")
@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
def test_raw_checkpoints_lose_acknowledged_rows_in_silence(tmp_path, mode):
    """If this one fails, the race that all the care in wal.py is for is gone, or the layer misses its moment."""
    path = tmp_path / "raw.db"
    with Layer(tmp_path) as layer, contextlib.closing(raw_connection(path)) as writer, contextlib.closing(raw_connection(path)) as other:
        writer.execute("CREATE TABLE things(pk INTEGER PRIMARY KEY, word TEXT, part INTEGER)")

        def write(rows):
            if not writer.in_transaction:
                writer.execute("BEGIN IMMEDIATE")
            writer.executemany(INSERT, [("x" * 300, number) for number in range(rows)])
            writer.execute("COMMIT")
            return rows

        def first():
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            writer.execute("BEGIN IMMEDIATE")  # a writer at work: the stronger modes then do what PASSIVE does

        acknowledged = interleave(
            layer,
            write,
            first,
            lambda: other.execute(f"PRAGMA wal_checkpoint({mode})").fetchall(),
        )
    with contextlib.closing(sqlite3.connect(path)) as raw:
        (found,) = raw.execute("SELECT count(*) FROM things").fetchone()
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert acknowledged == 462
    assert found < acknowledged


def test_our_checkpoints_lose_nothing_in_the_same_moment(tmp_path):
    path = tmp_path / "agent.db"
    with Layer(tmp_path) as layer, open_store(path, timeout=0.05) as one, open_store(path, timeout=0.05) as two:
        things = Things(one)
        assert Things(two).words() == []
        busy = []

        def write(rows):
            try:
                with things.room.write() as connection:
                    connection.many(INSERT, [("x" * 300, number) for number in range(rows)])
            except Busy as error:
                busy.append(error)
                return 0
            return rows

        def checkpoint(store):
            with store.transaction():
                pass  # so that it has its writer
            return store._database.wal.copy(store._database.writer)

        acknowledged = interleave(layer, write, lambda: checkpoint(one), lambda: checkpoint(two))
        assert acknowledged == 461
        assert len(busy) == 1, "whoever writes in the moment is kept out, and told"
    with open_store(path) as store:
        assert len(Things(store).words()) == acknowledged
