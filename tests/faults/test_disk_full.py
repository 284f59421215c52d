"""No room left, on the disk or in memory: a named error, nothing half done, reading goes on, and writing once there is room."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter

import pytest
from kernel import harness
from kernel.things import Things, at_rest, run

import memstore.chat
import memstore.keywords
from memstore import DiskFull, OutcomeUnknown, TransactionAborted, open_store
from memstore.kernel import files, wal
from memstore.testing import FakeClock

from . import work
from .vfs import FULL, Fault, Layer, needs_layer

ROOM = 1_000_000  # pages, as good as no limit


@pytest.fixture
def limit(monkeypatch):
    """Set how many pages a file may have, for the connections there are and for those to come."""
    connect, made, pages = files.connect, [], [ROOM]

    def limited(*arguments, **options):
        raw = connect(*arguments, **options)
        raw.execute(f"PRAGMA max_page_count = {pages[0]}")
        made.append(raw)
        return raw

    def set_limit(count):
        pages[0] = count
        for raw in made:
            with contextlib.suppress(Exception):  # it was closed meanwhile
                raw.execute(f"PRAGMA max_page_count = {count}")

    monkeypatch.setattr(files, "connect", limited)
    return set_limit


def attempt(call, *arguments):
    """Whether the call happened; if not, it says that the disk is full, or that it went on in a transaction that had died of it."""
    try:
        call(*arguments)
    except (DiskFull, TransactionAborted) as error:
        assert isinstance(error, DiskFull) or call is stubborn
        assert str(error)
        return False
    return True


def stubborn(store, mark):
    """A transaction that goes on after one of its calls has failed: it must not commit what is left of it."""
    with store.transaction():
        work.track(store, mark)
        with contextlib.suppress(DiskFull):
            work.append_long(store, mark)
        work.track(store, mark)


def pages(store):
    return store.query("SELECT page_count FROM pragma_page_count")[0]["page_count"]


# -- pages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["memory", "file"])
def test_at_every_size_each_call_happens_or_raises_disk_full(tmp_path, limit, place):
    calls, outcomes = 2 * (*work.CALLS, stubborn), Counter()
    for spare in range(0, 1000, 4):
        limit(ROOM)
        with open_store(":memory:" if place == "memory" else tmp_path / f"{spare}.db", clock=FakeClock()) as store:
            work.fill(store)
            writer = store._database.writer.raw
            limit(pages(store) + spare)
            full, held = 0, work.look_through(writer)
            for number, call in enumerate(calls):
                happened = attempt(call, store, f"m{number}")
                held, before = work.look_through(writer), held
                assert happened == (held != before), call.__name__
                assert at_rest(store)
                assert len(store.chat.messages("talk", limit=3)) == 3, "reading goes on"
                full += not happened
            limit(ROOM)
            for number, call in enumerate(work.CALLS):
                call(store, f"again {number}")
            work.assert_sound(store)
            outcomes += Counter(happened=len(calls) - full, refused=full, sizes=1)
            if not full:
                print(place, dict(outcomes))
                assert outcomes["refused"] > 10
                return
    raise AssertionError("some call never found room")


def test_a_migration_that_finds_no_room_leaves_the_old_file(tmp_path, limit):
    old, path = tmp_path / "old.db", tmp_path / "agent.db"
    with harness.opened(old) as database, harness.room(database, harness.OLD).write() as connection:
        connection.many("INSERT INTO parents(kind) VALUES (?)", [("a",)] * 3000)
        size = connection.value("PRAGMA page_count")
    before, refused = harness.plain(old), 0
    for spare in range(1000):
        shutil.copy(old, path)
        with harness.opened(path) as database:
            room = harness.room(database, harness.NEW, 2)
            limit(size + spare)
            if attempt(room.value, "SELECT count(*) FROM parents"):
                assert refused > 3
                return
            refused += 1
            assert harness.plain(path) == before
            limit(ROOM)
            assert room.value("SELECT count(*) FROM parents") == 3000
    raise AssertionError("it never found room")


def test_a_snapshot_that_finds_no_room_leaves_no_file(file_store, tmp_path, limit):
    work.fill(file_store)
    held, size = work.look(file_store.path), pages(file_store)
    for spare in (1, size // 2, size - 1):
        limit(spare)
        with pytest.raises(DiskFull):
            file_store.snapshot(tmp_path / "copy.db")
        assert {entry.name for entry in tmp_path.iterdir()} == {"agent.db", "agent.db-wal", "agent.db-shm"}
    limit(ROOM)
    assert work.look(file_store.snapshot(tmp_path / "copy.db")) == held


@pytest.mark.parametrize("place", ["memory", "file"])
def test_an_index_that_finds_no_room_after_the_commit_denies_no_message(tmp_path, limit, monkeypatch, place):
    monkeypatch.setattr(memstore.keywords, "BATCH", 20)
    monkeypatch.setattr(memstore.chat, "INDEX_EVERY", 5)
    with open_store(":memory:" if place == "memory" else tmp_path / "agent.db") as store:
        store.chat.create_conversation(id="talk")
        store.keywords.add("n", "note", kind="note")
        catch_up, tried = memstore.keywords.KeywordIndex._index_batch, []

        def starved(self, source, least):
            limit(pages(store))
            tried.append(source.kind)
            try:
                return catch_up(self, source, least)
            finally:
                limit(ROOM)

        monkeypatch.setattr(memstore.keywords.KeywordIndex, "_index_batch", starved)
        texts = [" ".join(f"word{number}x{place}" for place in range(50)) for number in range(60)]
        made = store.chat.append_many("talk", [{"role": "user", "content": text} for text in texts])
        assert [message.id for message in store.chat.messages("talk", limit=100)][-60:] == [message.id for message in made]
        assert [hit.message.id for hit in store.chat.search("word59")] == [made[-1].id], "search reads what is not indexed"
        assert tried
        assert store.query("SELECT count(*) AS segments FROM keyword_segments") == [{"segments": 0}]
        monkeypatch.undo()
        store.keywords.compact()
        assert [hit.message.id for hit in store.chat.search("word59")] == [made[-1].id]


# -- the disk -----------------------------------------------------------------------------------------------------------


@needs_layer
def test_a_checkpoint_that_finds_no_room_costs_nothing_and_is_done_later(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOG_KEPT", 100_000)
    monkeypatch.setattr(wal, "LOOK_EVERY", 4)
    path = tmp_path / "agent.db"
    with Layer(tmp_path) as layer, open_store(path, timeout=60) as store:
        things = Things(store)
        things.add("first")
        size = os.stat(path).st_size
        layer.fault = fault = Fault(FULL, 1, True, only="agent.db")
        for number in range(40):
            things.add(f"{number} " + "x" * 20_000)
        begun = time.monotonic()
        things.remove("3 " + "x" * 20_000)  # must empty the log, and cannot
        assert time.monotonic() - begun < 30, "for a disk that fails nobody waits until the timeout"
        assert fault.hits > 3
        assert os.stat(path).st_size <= size + 4096
        assert store.stats().scrub_owed
        assert len(things.words()) == 40
        layer.fault = None
        for _ in range(wal.LOOK_EVERY):
            things.add("last")
        assert not store.stats().scrub_owed
        assert files.wal_size(store.path) < 100_000
        assert len(things.words()) == 44


LIMITED = """
import pathlib, resource, shutil, sys
from faults import work
from memstore import DiskFull, OutcomeUnknown, TransactionAborted, open_store
from memstore.testing import FakeClock

folder, hard = pathlib.Path(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
work.begin(folder / "begun.db")
sizes = refused = 0
while True:
    path = folder / f"{sizes}.db"
    shutil.copy(folder / "begun.db", path)
    full = 0
    with open_store(path, clock=FakeClock()) as store:
        work.append(store, "before")
        held = work.look(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000 + sizes * int(sys.argv[2]), hard))
        for number, call in enumerate(work.CALLS):
            happened = True
            try:
                call(store, f"m{number}")
            except DiskFull:
                happened = False
                full += 1
            held, before = work.look(path), held
            assert happened == (held != before), call.__name__
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for number, call in enumerate(work.CALLS):
            call(store, f"again {number}")
        work.assert_sound(store)
    sizes, refused = sizes + 1, refused + full
    if full == 0:
        break
print(sizes, refused)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
@pytest.mark.parametrize("step", [120_000, pytest.param(4_000, marks=pytest.mark.nightly)], ids=["some", "all"])
def test_files_that_may_not_grow_refuse_by_name_and_serve_on(tmp_path, step):
    sizes, refused = map(int, run(LIMITED, tmp_path, step, timeout=600).split())
    print(f"{sizes} limits, {refused} calls refused")
    assert sizes > 2
    assert refused > 10


# -- memory -------------------------------------------------------------------------------------------------------------

STARVED = """
import ctypes, pathlib, sys
from faults import work
from faults.vfs import library
from memstore import OutcomeUnknown, StoreError, open_store
from memstore.testing import FakeClock

sqlite, path, step = library(), pathlib.Path(sys.argv[1]), int(sys.argv[2])
sqlite.sqlite3_memory_used.restype = ctypes.c_int64
sqlite.sqlite3_hard_heap_limit64.argtypes = [ctypes.c_int64]
work.begin(path)
names = {}
with open_store(path, clock=FakeClock()) as store:
    held = work.look(path)
    for spare in range(0, 1_000_000, step):
        failed = 0
        for number, call in enumerate(work.CALLS):
            outcome = "returned"
            sqlite.sqlite3_hard_heap_limit64(max(1, sqlite.sqlite3_memory_used() + spare - 20_000))
            try:
                call(store, f"m{spare}.{number}")
            except OutcomeUnknown:
                outcome = "OutcomeUnknown"
            except (MemoryError, StoreError) as error:
                outcome = type(error).__name__
                error.__traceback__ = None
            finally:
                sqlite.sqlite3_hard_heap_limit64(0)
            names[outcome] = names.get(outcome, 0) + 1
            held, before = work.look(path), held
            if outcome != "OutcomeUnknown":
                assert (outcome == "returned") == (held != before), (call.__name__, outcome, spare)
            failed += outcome != "returned"
        if spare > 50_000 and not failed:
            break
    work.assert_sound(store)
print(names)
"""


@needs_layer
@pytest.mark.parametrize("step", [80_000, pytest.param(1_000, marks=pytest.mark.nightly)], ids=["some", "all"])
def test_without_memory_a_call_raises_and_has_not_happened(tmp_path, step):
    outcomes = eval(run(STARVED, tmp_path / "agent.db", step, timeout=600))
    print(outcomes)
    assert outcomes["returned"] > 0
    assert outcomes["MemoryError"] > 0
    assert set(outcomes) <= {"returned", "MemoryError", "TransactionAborted", "OutcomeUnknown"}


ALLOCATIONS = """
import ctypes, pathlib, shutil, sys
from faults.vfs import library

class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in "malloc free realloc size roundup init shutdown data".split()]

GET, SET = 5, 4  # SQLITE_CONFIG_GETMALLOC, SQLITE_CONFIG_MALLOC
MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int)
REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
sqlite, below, count = library(), Memory(), {"at": 0, "seen": 0, "forever": False}
sqlite.sqlite3_shutdown()
sqlite.sqlite3_config(GET, ctypes.byref(below))
malloc, realloc = MALLOC(below.malloc), REALLOC(below.realloc)

def none_left():
    count["seen"] += count["at"] > 0
    return count["seen"] == count["at"] > 0 or (count["forever"] and count["seen"] > count["at"] > 0)

first = MALLOC(lambda size: None if none_left() else malloc(size))
again = REALLOC(lambda old, size: None if none_left() else realloc(old, size))
table = Memory.from_buffer_copy(below)
table.malloc, table.realloc = ctypes.cast(first, ctypes.c_void_p), ctypes.cast(again, ctypes.c_void_p)
if sqlite.sqlite3_config(SET, ctypes.byref(table)):
    sys.exit("this SQLite does not let its memory be replaced")
sqlite.sqlite3_initialize()

from faults import work
from kernel.things import at_rest
from memstore import OutcomeUnknown, StoreError, open_store
from memstore.testing import FakeClock

folder, step, names = pathlib.Path(sys.argv[1]), int(sys.argv[2]), {}
work.begin(folder / "begun.db")
for call in work.CALLS[int(sys.argv[3]) :: int(sys.argv[4])]:
    path = folder / "agent.db"
    shutil.copy(folder / "begun.db", path)
    held = work.look(path)
    with open_store(path, clock=FakeClock()) as store:
        for forever in (False, True):
            at, failed = 1, True
            while failed:
                count.update(at=at, seen=0, forever=forever)
                try:
                    call(store, f"m{at}{forever}")
                    outcome = "returned"
                except (MemoryError, StoreError) as error:
                    outcome = type(error).__name__
                failed = count["seen"] >= at
                count["at"] = 0
                assert failed or outcome == "returned", (call.__name__, outcome)
                held, before = work.look(path), held
                if outcome != "OutcomeUnknown":
                    assert (outcome == "returned") == (held != before), (call.__name__, outcome, at, forever)
                assert at_rest(store), (call.__name__, outcome, at, forever)
                names[outcome] = names.get(outcome, 0) + 1
                at += step
        call(store, "afterwards")
        work.assert_sound(store)
print(names)
"""


@needs_layer
@pytest.mark.parametrize(("step", "share"), [(2_500, 2), pytest.param(11, 1, marks=pytest.mark.nightly)], ids=["some", "all"])
def test_whichever_allocation_fails_a_call_is_whole_or_has_not_happened(tmp_path, rng, step, share):
    outcomes = eval(run(ALLOCATIONS, tmp_path, step, rng.randrange(share), share, timeout=1800))
    print(outcomes)
    assert outcomes["MemoryError"] > 30
    assert set(outcomes) <= {"returned", "MemoryError", "TransactionAborted", "OutcomeUnknown"}


def test_memory_that_runs_out_after_the_commit_denies_nothing(file_store, monkeypatch):
    things = Things(file_store)

    def exhausted(*arguments):
        raise MemoryError

    with things.room.write():
        things.room.after_commit(exhausted)
        things.add("with work to do behind it")
    monkeypatch.setattr(wal.WriteAheadLog, "copy", exhausted)
    monkeypatch.setattr(files, "LOG_KEPT", 1)
    monkeypatch.setattr(wal, "LOOK_EVERY", 1)
    things.add("with a log to copy")
    things.add("to be removed")
    things.remove("to be removed")
    things.add("with a log to empty")
    assert file_store.stats().scrub_owed
    monkeypatch.undo()
    things.add("last")
    assert things.words() == ["with work to do behind it", "with a log to copy", "with a log to empty", "last"]
    assert at_rest(file_store)


class Exhausted:
    """A connection without memory for one kind of statement; `after` it has happened, or before."""

    def __init__(self, raw, statement, after=False):
        self.raw, self.statement, self.after = raw, statement, after

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def execute(self, sql, *params):
        if sql.startswith(self.statement):
            if self.after:
                self.raw.execute(sql)
            raise MemoryError
        return self.raw.execute(sql, *params)


@pytest.mark.parametrize("happened", [False, True])
def test_memory_that_runs_out_in_the_commit_leaves_the_outcome_unknown_and_the_store_usable(file_store, happened):
    things = Things(file_store)
    things.add("before")
    with pytest.raises(OutcomeUnknown, match="memory ran out"), file_store.transaction():
        things.add("perhaps")
        writer = file_store._database.writer
        writer.raw = Exhausted(writer.raw, "COMMIT", happened)
    assert things.words() == ["before", *["perhaps"] * happened]
    things.add("after")
    assert things.words()[-1] == "after"
    assert at_rest(file_store)


def test_a_store_in_memory_outlives_a_commit_without_memory():
    with open_store() as store:
        things = Things(store)
        things.add("before")
        with pytest.raises(MemoryError), store.transaction():
            things.add("not")
            writer = store._database.writer
            raw, writer.raw = writer.raw, Exhausted(writer.raw, "COMMIT")
        writer.raw = raw
        things.add("after")
        assert things.words() == ["before", "after"]


def test_without_memory_to_give_up_a_savepoint_the_whole_transaction_goes(file_store):
    things = Things(file_store)
    with pytest.raises(TransactionAborted), file_store.transaction():
        things.add("outer")
        with contextlib.suppress(KeyError), file_store.transaction():
            things.add("inner")
            writer = file_store._database.writer
            writer.raw = Exhausted(writer.raw, "ROLLBACK TO")
            raise KeyError
        with pytest.raises(TransactionAborted):
            things.add("alone")
    assert at_rest(file_store)
    things.add("after")
    assert things.words() == ["after"]


def test_without_memory_to_end_a_read_its_connection_is_let_go(file_store):
    things = Things(file_store)
    things.add("a")
    with things.room.read(snapshot=True) as connection:
        connection.rows("SELECT word FROM things")
        connection.raw = Exhausted(connection.raw, "ROLLBACK")
    assert at_rest(file_store)
    things.add("b")
    database = file_store._database
    frames, copied = database.wal.copy(database.writer)
    assert frames == copied, "nobody pins the log any more"
