"""Ctrl-C at every instant at which Python can deliver it."""

from __future__ import annotations

import gc
import signal
import sys
import threading

import pytest

from memstore import TransactionAborted, open_store

from .things import INSERT, Things, at_rest, finish, run, start

# An interrupted sqlite3.connect() leaves its connection to the garbage collector, which says so on Python 3.13.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Interrupt:
    """Raise KeyboardInterrupt at the n-th event where the interpreter looks for signals: entering a function, leaving one in C.

    An exception in a profile function arrives just as one of a signal handler would, and switches profiling off.
    """

    def __init__(self, instant):
        self.left = instant
        self.own = (Interrupt.__enter__.__code__, Interrupt.__exit__.__code__)

    def __call__(self, frame, event, argument):
        if event in ("call", "c_return") and frame.f_code not in self.own:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def __enter__(self):
        sys.setprofile(self)
        return self

    def __exit__(self, *failure):
        sys.setprofile(None)

    @property
    def struck(self):
        """Whether it has happened; if not, the work has come to its end."""
        return self.left <= 0


def nested(things):
    with things.room.write() as connection:
        connection.insert(INSERT, ("a", 0))
        with things.room.write() as inner:
            inner.insert(INSERT, ("b", 0))
        connection.insert(INSERT, ("c", 0))


def public(things):
    with things.store.transaction():
        things.add("a")
        things.add("b")
        things.add("c")


def swallowed(things):
    with things.room.write() as connection:
        connection.insert(INSERT, ("a", 0))
        try:
            with things.room.write() as inner:
                inner.insert(INSERT, ("lost", 0))
                raise KeyError
        except KeyError:
            pass
        connection.insert(INSERT, ("b", 0))
        connection.insert(INSERT, ("c", 0))


def scrubbing(things):
    with things.room.write() as connection:
        connection.many(INSERT, [("a", 0), ("b", 0), ("c", 0)])
        things.room.scrub()


def reading(things):
    with things.room.read(snapshot=True) as connection:
        assert connection.rows("SELECT word FROM things") == connection.rows("SELECT word FROM things")
    things.room.value("SELECT count(*) FROM things")


def asking(things):
    things.store.query("SELECT count(*) AS n FROM things")
    with things.store.transaction():
        things.store.query("SELECT count(*) AS n FROM things")


def tidying(things):
    things.store.optimize()


@pytest.fixture(autouse=True)
def collected():
    """What an interrupted call left to the collector goes before the test ends."""
    yield
    gc.collect()


@pytest.fixture
def things(store):
    """A room that other calls have used already."""
    room = Things(store)
    room.store = store
    assert room.words() == []
    return room


def write_from_both(things):
    """Another thread can write at once, and so can this one."""
    thread = threading.Thread(target=things.add, args=("other",))
    thread.start()
    thread.join()
    things.add("own")
    return {"other", "own"} <= set(things.words())


@pytest.mark.parametrize("work", [nested, public, swallowed, scrubbing, reading, asking, tidying])
def test_work_interrupted_at_any_instant_is_whole_or_undone_and_holds_nothing(things, work):
    whole = {"a", "b", "c"} if work in (nested, public, swallowed, scrubbing) else set()
    outcomes, instant, struck = [], 0, True
    while struck:
        instant += 1
        try:
            with Interrupt(instant) as interrupt:
                work(things)
        except KeyboardInterrupt:
            # We are still handling it: its traceback keeps every frame of the interrupted call alive.
            assert at_rest(things.store), instant
            outcomes.append(set(things.words()))
            assert write_from_both(things), instant
        struck = interrupt.struck
        with things.room.write() as connection:
            connection.run("DELETE FROM things")
        assert at_rest(things.store), instant
    assert all(found in (set(), whole) for found in outcomes), outcomes
    assert set() in outcomes
    assert instant > 15


def test_an_inner_block_interrupted_at_any_instant_is_undone_or_takes_the_outer_one_with_it(things):
    instant, struck, outcomes = 0, True, set()
    while struck:
        instant += 1
        interrupted = False
        try:
            with things.store.transaction():
                things.add("before")
                try:
                    with Interrupt(instant) as interrupt, things.store.transaction():
                        things.add("b")
                        things.add("c")
                except KeyboardInterrupt:
                    interrupted = True
                things.add("after")
        except TransactionAborted:
            assert interrupted
        struck = interrupt.struck
        assert at_rest(things.store), instant
        outcomes.add((interrupted, *things.words()))
        with things.room.write() as connection:
            connection.run("DELETE FROM things")
    assert outcomes <= {(True,), (True, "before", "after"), (True, "before", "b", "c", "after"), (False, "before", "b", "c", "after")}
    assert (True, "before", "after") in outcomes


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.nightly)])
def test_an_interrupted_open_leaves_a_file_that_opens(tmp_path, stride):
    instant, struck = 0, True
    while struck:
        instant += stride
        path = tmp_path / f"{instant}.db"
        try:
            with Interrupt(instant) as interrupt:
                store = open_store(path)
        except KeyboardInterrupt:
            store = open_store(path)
        struck = interrupt.struck
        things = Things(store)
        things.add("a")
        assert things.words() == ["a"]
        store.close()
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name]
        path.unlink()
    assert instant > 50


def test_an_interrupted_close_can_be_repeated(tmp_path):
    instant, struck = 0, True
    while struck:
        instant += 1
        path = tmp_path / f"{instant}.db"
        store = open_store(path)
        Things(store).add("a")
        try:
            with Interrupt(instant) as interrupt:
                store._database.close()
        except KeyboardInterrupt:
            store._database.close()
            assert store._database._depth == 0
        struck = interrupt.struck
        with open_store(path) as again:
            assert Things(again).words() == ["a"]
        path.unlink()
    assert instant > 10


def test_an_interrupted_snapshot_is_whole_or_absent(things, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    things.add("first")
    instant, struck = 0, True
    while struck:
        instant += 1
        path = folder / "copy.db"
        try:
            with Interrupt(instant) as interrupt:
                things.store.snapshot(path, progress=lambda done, total: None)
        except KeyboardInterrupt:
            assert at_rest(things.store), instant
        struck = interrupt.struck
        assert [entry.name for entry in folder.iterdir()] in ([], ["copy.db"]), instant
        if path.exists():
            with open_store(path, read_only=True) as copy:
                assert Things(copy).words() == ["first"]
            path.unlink()
    assert instant > 20


STORM = """
import contextlib, random, signal, sys, threading, time
from memstore import open_store
from kernel.things import INSERT, Things, at_rest

store = open_store(sys.argv[1])
things = Things(store)
things.add("first")
acknowledged, interrupts, number, going = [], 0, 0, True


def strike(*_):
    global interrupts
    interrupts += 1
    raise KeyboardInterrupt


def write():
    # A function, because the jump back of a loop is outside of the `try` around it on some versions of Python.
    global number
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.003))
    while time.monotonic() < end:
        number += 1
        with store.transaction():
            things.add(str(number), 1)
            with contextlib.suppress(KeyError), store.transaction():
                things.add(str(number), 2)
                if number % 5 == 0:
                    raise KeyError
            things.add(str(number), 3)
        acknowledged.append(number)
        with things.room.read(snapshot=True) as connection:
            connection.rows("SELECT count(*) FROM things WHERE pk > ?", (number,))
    signal.setitimer(signal.ITIMER_REAL, 0)


signal.signal(signal.SIGALRM, strike)
end = time.monotonic() + float(sys.argv[2])
while going:
    try:
        write()
        going = False
    except KeyboardInterrupt:
        if not at_rest(store):
            sys.exit(f"interrupt {interrupts} left something behind: {vars(store._database)}")
found = {}
for word, part in things.room.rows("SELECT word, part FROM things WHERE word <> 'first' ORDER BY pk"):
    found.setdefault(int(word), []).append(part)
torn = {number: parts for number, parts in found.items() if parts != ([1, 3] if number % 5 == 0 else [1, 2, 3])}
missing = set(acknowledged) - set(found)
thread = threading.Thread(target=things.add, args=("last",))
thread.start()
thread.join()
print(interrupts > 20, torn, missing, things.words()[-1], store.check().ok)
store.close()
"""


@pytest.mark.parametrize("seconds", [0.7, pytest.param(5, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("place", [":memory:", "agent.db"])
def test_a_storm_of_interrupts_leaves_no_transaction_no_lock_and_nothing_torn(tmp_path, place, seconds):
    path = place if place == ":memory:" else tmp_path / place
    assert run(STORM, path, seconds) == "True {} set() last True\n"


WAITING = """
import os, signal, sys, time
from memstore import open_store
from kernel.things import Things

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
store = open_store(sys.argv[1], timeout=30)
things = Things(store)
begun = time.monotonic()
try:
    print("waiting", flush=True)
    things.add("never")
except KeyboardInterrupt:
    print(time.monotonic() - begun < 10)
store.close()
"""


def test_ctrl_c_ends_the_wait_for_another_writer(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        Things(store).add("a")
        with store.transaction():
            child = start(WAITING, tmp_path / "agent.db")
            assert child.stdout.readline() == "waiting\n"
            child.send_signal(signal.SIGINT)
            assert finish(child) == "True\n"
        assert Things(store).words() == ["a"]
