"""The write-ahead log: short, guarded, and emptied of what was deleted."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from memstore import open_store
from memstore.kernel import files, wal
from memstore.testing import recorded_statements

from .things import INSERT, Holder, Things, finish, run, start

SECRET = "correct horse battery staple 7f3a"

SEARCH = """
import pathlib, sys
path = pathlib.Path(sys.argv[1])
beside = [entry for entry in path.parent.iterdir() if entry.name.startswith(path.name) and not entry.name.endswith("-shm")]
print(sorted(entry.name for entry in beside if sys.argv[2].encode() in entry.read_bytes()))
"""


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Copy the log sooner, so that the tests need less of it."""
    monkeypatch.setattr(files, "LOG_KEPT", 1 << 20)


def found_in(path, text):
    """Files that hold the bytes, seen from another process: to open a store's file here would drop this process's locks."""
    return run(SEARCH, path, text).strip()


def wal_size(store):
    return files.wal_size(store.path)


# -- bounded ------------------------------------------------------------------------------------------------------------


def test_the_log_stays_short_under_continuous_writing(file_store):
    things, longest = Things(file_store), 0
    for _ in range(600):
        things.add("x" * 40_000)
        longest = max(longest, wal_size(file_store))
    assert files.LOG_KEPT < longest < 3 * files.LOG_KEPT
    assert len(things.words()) == 600


def test_one_large_transaction_is_copied_and_its_log_cut(file_store):
    things = Things(file_store)
    with things.room.write() as connection:
        connection.many(INSERT, (("x" * 1000, part) for part in range(20_000)))
    assert wal_size(file_store) > 20_000_000
    things.add("next")
    assert wal_size(file_store) <= files.LOG_KEPT
    assert things.room.value("SELECT count(*) FROM things") == 20_001


def test_the_log_is_copied_again_once_a_reader_that_pinned_it_is_gone(file_store):
    things = Things(file_store)
    things.add("first")
    with things.room.read(snapshot=True) as connection:
        connection.rows("SELECT word FROM things")
        for _ in range(4 * wal.LOOK_EVERY):
            things.add("x" * 200_000)
        pinned = wal_size(file_store)
        assert pinned > 2 * files.LOG_KEPT
    for _ in range(4 * wal.LOOK_EVERY):
        things.add("x" * 200_000)
    things.add("last")
    assert wal_size(file_store) < pinned


def test_handles_of_few_commits_copy_a_long_log_when_they_close(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as other:  # a handle that stays, so that no close is the last
        Things(other).words()
        for _ in range(10):
            with open_store(path) as store:
                for _ in range(3):
                    Things(store).add("x" * 400_000)
        assert wal_size(other) < 3 * files.LOG_KEPT


def test_the_last_close_leaves_one_file(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        Things(store).add("a")
        assert {entry.name for entry in tmp_path.iterdir()} == {"agent.db", "agent.db-wal", "agent.db-shm"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["agent.db"]


# -- guarded ------------------------------------------------------------------------------------------------------------


class Guarded:
    """Watch every statement of every connection; a checkpoint must run while the writer is inside BEGIN IMMEDIATE."""

    def __init__(self, monkeypatch):
        self.checkpoints, self.unguarded, self.autocheckpoints = 0, [], []
        connect = files.connect

        def watched(place, **options):
            raw = connect(place, **options)
            raw.set_trace_callback(self.seen)
            return raw

        monkeypatch.setattr(files, "connect", watched)

    def watch(self, store):
        self.database = store._database
        return store

    def seen(self, sql):
        if "checkpoint" in sql.lower() and "auto" not in sql.lower() and "fullfsync" not in sql.lower():
            self.checkpoints += 1
            writer = self.database.writer
            if writer is None or not writer.raw.in_transaction or "PASSIVE" not in sql:
                self.unguarded.append(sql)


def test_every_checkpoint_runs_under_the_writers_lock(tmp_path, monkeypatch):
    guarded = Guarded(monkeypatch)
    with guarded.watch(open_store(tmp_path / "agent.db")) as store:
        things = Things(store)
        for number in range(3 * wal.LOOK_EVERY):
            things.add("x" * 200_000 + str(number))
        things.remove(things.words()[0])
        store.optimize()
        store.snapshot(tmp_path / "copy.db")
        for _ in range(10):
            things.add("x" * 1_000_000)
    assert guarded.checkpoints > 5
    assert guarded.unguarded == []


def test_no_connection_checkpoints_by_itself(file_store):
    things = Things(file_store)
    things.add("a")
    database = file_store._database
    with things.room.read() as first, things.room.read() as second:
        for connection in (database.writer, first, second):
            assert connection.value("PRAGMA wal_autocheckpoint") == 0
    assert database.writer.value("PRAGMA journal_size_limit") == files.LOG_KEPT
    assert database.writer.value("PRAGMA secure_delete") == 1
    assert database.writer.value("PRAGMA foreign_keys") == 1
    assert database.writer.value("PRAGMA synchronous") == 1
    assert database.writer.value("PRAGMA journal_mode") == "wal"


def test_full_durability_syncs_every_commit(tmp_path):
    with open_store(tmp_path / "agent.db", durability="full") as store:
        Things(store).add("a")
        assert store._database.writer.value("PRAGMA synchronous") == 2


def test_a_checkpoint_while_another_process_writes_is_left_out(file_store):
    things = Things(file_store)
    things.add("a")
    database = file_store._database
    with Holder(file_store.path):
        assert database.wal.checkpoint(database.writer) is None
    frames, copied = database.wal.checkpoint(database.writer)
    assert frames == copied > 0


# -- emptied ------------------------------------------------------------------------------------------------------------


def test_no_byte_of_deleted_text_is_left(file_store):
    things = Things(file_store)
    things.add("kept")
    things.add(SECRET)
    assert found_in(file_store.path, SECRET) == "['agent.db-wal']"
    things.remove(SECRET)
    assert found_in(file_store.path, SECRET) == "[]"
    assert wal_size(file_store) < 20_000
    assert not file_store.stats().scrub_owed
    assert things.words() == ["kept"]
    file_store.close()
    assert found_in(file_store.path, SECRET) == "[]"


def test_no_byte_is_left_where_the_text_had_reached_the_main_file_and_pages_were_freed(file_store):
    things = Things(file_store)
    long = SECRET * 2000  # overflow pages, freed as a whole
    things.add(long)
    things.add(SECRET + " again")
    file_store.optimize()
    assert "'agent.db'" in found_in(file_store.path, SECRET)
    with things.room.write() as connection:
        connection.run("DELETE FROM things")
        things.room.scrub()
        things.room.scrub()
    assert found_in(file_store.path, SECRET) == "[]"


def test_a_deletion_that_rolls_back_owes_nothing(file_store):
    things = Things(file_store)
    things.add(SECRET)
    with pytest.raises(KeyError), file_store.transaction():
        things.remove(SECRET)
        raise KeyError
    assert things.words() == [SECRET]
    assert not file_store.stats().scrub_owed


def test_a_memory_store_has_no_log_to_empty():
    with open_store() as store:
        things = Things(store)
        things.add(SECRET)
        things.remove(SECRET)
        assert things.words() == []


@pytest.mark.parametrize("finished_by", ["commits", "close", "open"])
def test_what_a_pinned_reader_delays_is_owed_told_and_done_later(tmp_path, finished_by):
    path = tmp_path / "agent.db"
    with open_store(path, timeout=0.05) as store:
        things = Things(store)
        things.add(SECRET)
        with Holder(path, "BEGIN"):
            things.remove(SECRET)
            assert store.stats().scrub_owed
            assert "scrub_owed" in {finding.kind for finding in store.check().findings}
            assert store.check().ok, "it is advice"
            assert found_in(path, SECRET) != "[]"
            if finished_by == "open":
                store.close()
                with open_store(path, read_only=True) as reading:
                    assert reading.stats().scrub_owed
        if finished_by == "commits":
            for number in range(wal.LOOK_EVERY):
                things.add(str(number))
        elif finished_by == "close":
            store.close()
            assert found_in(path, SECRET) == "[]"
        else:
            store = open_store(path)
        if finished_by != "close":
            assert found_in(path, SECRET) == "[]"
            assert not store.stats().scrub_owed
            assert {finding.kind for finding in store.check().findings} == {"unknown_room"}
            store.close()


def test_a_reader_of_the_same_thread_is_not_waited_for(file_store):
    things = Things(file_store)
    things.add(SECRET)
    with things.room.read(snapshot=True) as connection:
        connection.rows("SELECT word FROM things")
        things.remove(SECRET)  # would take the ten seconds of the timeout
        assert file_store.stats().scrub_owed
    file_store.close()
    assert found_in(file_store.path, SECRET) == "[]"


def test_a_reader_of_another_thread_is_waited_for(file_store):
    things = Things(file_store)
    things.add(SECRET)
    reading, deleted = threading.Event(), threading.Event()

    def read():
        with things.room.read(snapshot=True) as connection:
            connection.rows("SELECT word FROM things")
            reading.set()
            deleted.wait(0.2)  # until the scrub has met us, at least

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait(10)
    things.remove(SECRET)
    thread.join()
    assert not file_store.stats().scrub_owed
    assert found_in(file_store.path, SECRET) == "[]"


def test_a_log_that_somebody_else_has_begun_anew_uncut_is_emptied_all_the_same(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store, open_store(path) as other:
        Things(other).add("theirs")
        for _ in range(20):
            Things(store).add(SECRET * 200)
        Things(store).add(SECRET)
        wal, calls = store._database.wal, []
        copy = wal.copy

        def meanwhile(writer):
            calls.append(copy(writer))
            if len(calls) == 1:  # all is copied, and the next commit begins the log
                Things(other).add("first of a new log")
            return calls[-1]

        wal.copy = meanwhile
        with Things(store).room.write() as connection:
            connection.run("DELETE FROM things WHERE word <> 'theirs'")
            Things(store).room.scrub()
        wal.copy = copy
        assert len(calls) > 2, "the first round was lost"
        assert not store.stats().scrub_owed
        assert found_in(path, SECRET) == "[]"
        assert Things(store).words() == ["theirs", "first of a new log"]


def test_the_mark_of_somebody_who_deletes_meanwhile_stays(file_store, tmp_path):
    things = Things(file_store)
    things.add("a")
    things.add("b")
    database = file_store._database
    mark, copy, calls = "SELECT value FROM meta WHERE key = 'scrub_owed'", database.wal.copy, []

    def meanwhile(writer):
        result = copy(writer)
        calls.append(result)
        if len(calls) == 2:  # after the first mark was read, before it is taken away
            with sqlite3.connect(file_store.path, isolation_level=None) as other:
                other.execute("UPDATE meta SET value = 'theirs' WHERE key = 'scrub_owed'")
            other.close()
        return result

    database.wal.copy = meanwhile
    things.remove("a")
    database.wal.copy = copy
    assert len(calls) == 2
    assert things.room.value(mark) == "theirs"
    assert file_store.stats().scrub_owed
    things.remove("b")
    assert things.room.value(mark) is None


DELETE_AND_DIE = """
import os, signal, sys
from memstore import open_store
from memstore.kernel.wal import WriteAheadLog
from kernel.things import Things

WriteAheadLog.scrub = lambda self: os.kill(os.getpid(), signal.SIGKILL)
store = open_store(sys.argv[1])
Things(store).remove(sys.argv[2])
"""


def test_a_process_killed_between_deleting_and_emptying_leaves_it_to_the_next_open(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        Things(store).add("kept")
        Things(store).add(SECRET)
    finish(start(DELETE_AND_DIE, path, SECRET), code=-9)
    assert found_in(path, SECRET) != "[]"
    with open_store(path) as store:
        assert found_in(path, SECRET) == "[]"
        assert Things(store).words() == ["kept"]
        assert not store.stats().scrub_owed


def test_a_random_history_of_processes_loses_nothing_whatever_is_checkpointed(tmp_path, rng):
    path = tmp_path / "agent.db"
    expected = []
    stores = [open_store(path) for _ in range(3)]
    for number in range(150):
        turn = rng.randrange(len(stores))
        things, dice = Things(stores[turn]), rng.random()
        if dice < 0.6:
            word = f"{number} " + "x" * rng.randrange(60_000)
            things.add(word)
            expected.append(word)
        elif dice < 0.75 and expected:
            things.remove(expected.pop(rng.randrange(len(expected))))
        elif dice < 0.9:
            database = stores[turn]._database
            database.wal.checkpoint(database.writer)
        else:
            stores[turn].close()
            stores[turn] = open_store(path)
        assert sorted(Things(rng.choice(stores)).words()) == sorted(expected)
    for store in stores:
        store.close()
    with open_store(path) as store:
        assert sorted(Things(store).words()) == sorted(expected)
    assert os.listdir(tmp_path) == ["agent.db"]


def test_statements_are_recorded_on_connections_opened_meanwhile_too(file_store):
    things = Things(file_store)
    things.words()
    with recorded_statements(file_store) as seen:
        with things.room.read(), things.room.read() as second:
            second.rows("SELECT 'from a second reader'")
        things.add("a")
    assert "SELECT 'from a second reader'" in seen
    assert any(statement.startswith("INSERT INTO things") for statement in seen)
    count = len(seen)
    things.add("b")
    assert len(seen) == count
