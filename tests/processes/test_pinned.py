"""A reader that stays: what the log cannot do meanwhile is told in words, and done when the reader is gone."""

from __future__ import annotations

import os
import re
import threading

import pytest
from kernel.things import Holder, Things, finish, start

from memstore import open_store
from memstore.kernel import files, wal

SECRET = "correct horse battery staple 7f3a"


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Copy the log sooner, so that the tests need less of it."""
    monkeypatch.setattr(files, "LOG_KEPT", 1 << 20)


class Inside:
    """A thread of this process that is inside a read of one state."""

    def __init__(self, store):
        self.store, self.there, self.go = store, threading.Event(), threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        assert self.there.wait(60)

    def read(self):
        with Things(self.store).room.read(snapshot=True) as connection:
            connection.rows("SELECT count(*) FROM things")
            self.there.set()
            assert self.go.wait(60)

    def __exit__(self, *failure):
        self.go.set()
        self.thread.join()


def pin(store, by):
    return Inside(store) if by == "a thread" else Holder(store.path, "BEGIN")


def grow(store, megabytes):
    for _ in range(megabytes * 5):
        Things(store).add("x" * 200_000)


def kinds(store):
    return {finding.kind for finding in store.check().findings} - {"unknown_room"}


@pytest.mark.parametrize("by", ["a thread", "another process"])
def test_what_keeps_the_log_long_is_told_in_words_and_over_when_the_reader_ends(file_store, by):
    Things(file_store).add("first")
    assert file_store.stats().advice == []
    with pin(file_store, by):
        grow(file_store, 6)
        stats = file_store.stats()
        (told,) = stats.advice
        assert stats.wal_bytes > 5_000_000
        long, pinned = re.findall(r"([0-9.]+) MB", told)
        assert float(long) == round(stats.wal_bytes / 1e6, 1)
        assert abs(float(pinned) - float(long)) < 0.2, "all of it but what the reader can see"
        assert told == (
            f"the write-ahead log has {long} MB, of which {pinned} MB cannot be copied into the file yet: whoever reads an older state"
            f" must end first ({int(by == 'a thread')} reader(s) of this process are out, another process may have more);"
            " it is cut by the first commit at which nobody reads"
        )
        pinned_at = stats.wal_bytes
    grow(file_store, 4)
    assert file_store.stats().wal_bytes < pinned_at / 2
    assert file_store.stats().advice == []


def test_readers_that_relieve_each_other_keep_the_log_from_being_cut_and_that_is_told_too(file_store):
    Things(file_store).add("first")
    reader = Inside(file_store)
    reader.__enter__()
    for _ in range(8):
        grow(file_store, 1)
        follower = Inside(file_store)
        follower.__enter__()
        reader.__exit__()
        reader = follower
    stats = file_store.stats()
    assert stats.wal_bytes > 8_000_000
    assert stats.advice[0].endswith(" MB, all copied into the file; the next commit at which nobody reads cuts it")
    reader.__exit__()
    grow(file_store, 1)
    assert files.wal_size(file_store.path) < 4 * files.LOG_KEPT
    assert file_store.stats().advice == []


def test_a_read_only_store_says_that_the_log_is_long_and_who_can_copy_it(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        Things(store).add("first")
        with pin(store, "another process"):
            grow(store, 3)
            with open_store(store.path, read_only=True) as reading:
                (told,) = reading.stats().advice
        assert told.startswith("the write-ahead log has 3.")
        assert told.endswith(" MB; a store that can write copies it into the file and cuts it")


@pytest.mark.parametrize("by", ["a thread", "another process"])
@pytest.mark.parametrize("room", ["audit", "chat", "things"])
def test_what_was_redacted_under_a_reader_is_owed_told_and_emptied_at_the_next_checkpoint(tmp_path, room, by):
    with open_store(tmp_path / "agent.db", timeout=0.05) as store:
        things = Things(store)
        things.add("first")
        if room == "audit":
            seq = store.audit.append("told.secret", note=SECRET).seq
            delete = lambda: store.audit.redact(seq, reason="it names a person")
        elif room == "chat":
            store.chat.create_conversation(id="c")
            store.chat.append("c", "user", SECRET)
            delete = lambda: store.chat.clear("c")
        else:
            things.add(SECRET)
            delete = lambda: things.remove(SECRET)
        with pin(store, by):
            delete()
            assert kinds(store) - {"unanchored"} == {"scrub_owed"}
            assert store.check().ok, "it is advice"
            stats = store.stats()
            assert stats.scrub_owed
            assert stats.advice[-1].startswith("deleted text may still be in the write-ahead log")
            assert "cannot be copied" in stats.advice[0]
        for number in range(wal.LOOK_EVERY):
            things.add(str(number))
        assert not store.stats().scrub_owed
        assert store.stats().advice == []
        assert "scrub_owed" not in kinds(store)
        assert nowhere(store.path, SECRET)


LOOK = """
import pathlib, sys
path = pathlib.Path(sys.argv[1])
print(any(sys.argv[2].encode() in file.read_bytes() for file in path.parent.glob(path.name + "*") if not file.name.endswith("-shm")))
"""


def nowhere(path, text):
    """Whether no file holds the bytes, seen from another process: to open a store's file here would drop this process's locks."""
    return finish(start(LOOK, path, text)) == "False\n"


DELETE_AND_DIE = """
import os, sys
from memstore import open_store
from kernel.things import Things

store = open_store(sys.argv[1], timeout=0.05)
Things(store).remove(sys.argv[2])
assert store.stats().scrub_owed
print("deleted", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("finished_by", ["a checkpoint", "close"])
def test_what_a_process_that_died_has_left_owed_is_done_by_a_handle_that_was_open_all_along(tmp_path, finished_by):
    path = tmp_path / "agent.db"
    with open_store(path) as keeper, open_store(path) as store:
        Things(store).add("first")
        Things(keeper).add(SECRET)
        with pin(store, "another process"):
            assert finish(start(DELETE_AND_DIE, path, SECRET)) == "deleted\n"
            assert not nowhere(path, SECRET)
        if finished_by == "close":
            store.close()
        else:
            grow(store, 2)
            for number in range(2 * wal.LOOK_EVERY):
                Things(store).add(str(number))
        assert nowhere(path, SECRET)
        assert not keeper.stats().scrub_owed
    assert os.listdir(tmp_path) == ["agent.db"]
