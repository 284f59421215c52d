"""Every wait for somebody else ends within the timeout, and Ctrl-C ends it at once."""

from __future__ import annotations

import os
import time

import pytest
from kernel.things import Holder, Things, finish, run, start

from memstore import Busy, open_store

ALONE = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("PRAGMA locking_mode = EXCLUSIVE")
raw.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
raw.execute("ROLLBACK")
raw.close()
"""


class Alone(Holder):
    """Another process that has the file for itself: nobody else can even read it."""

    def __enter__(self):
        self.child = start(ALONE, self.path)
        assert self.child.stdout.readline() == "held\n", self.child.stderr.read()
        return self


@pytest.mark.parametrize("read_only", [False, True])
def test_opening_a_file_that_somebody_has_for_himself_ends_at_the_timeout(tmp_path, read_only):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        Things(store).add("a")
    with Alone(path):
        begun = time.monotonic()
        with pytest.raises(Busy):
            open_store(path, timeout=0.2, read_only=read_only)
        assert 0.2 <= time.monotonic() - begun < 5
    with open_store(path, read_only=read_only) as store:
        assert Things(store).words() == ["a"]


FORKING = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from memstore import *
from memstore.kernel import forks
from kernel.things import Things, at_rest

forks.PATIENCE = 60
store = open_store(sys.argv[1], timeout=0.2)
things = Things(store)
things.add("a")
came_back, forking, let_go, lent = forks._readers_came_back, threading.Event(), threading.Event(), threading.Event()
forks._readers_came_back = lambda *given: (forking.set(), came_back(*given))[1]


def read():
    with things.room.read(snapshot=True) as connection:
        connection.rows("SELECT word FROM things")
        lent.set()
        let_go.wait(60)


def fork():
    process = os.fork()
    if process == 0:
        os._exit(things.words() != ["a"])
    assert os.waitpid(process, 0)[1] == 0


threads = [threading.Thread(target=read), threading.Thread(target=fork)]
threads[0].start()
lent.wait(60)
threads[1].start()
forking.wait(60)
for call in (things.words, lambda: things.add("b"), store.check, lambda: store.chat.messages("c")):
    begun = time.monotonic()
    try:
        call()
        print("not busy")
    except Busy as error:
        print(0.2 <= time.monotonic() - begun < 5, error)
let_go.set()
for thread in threads:
    thread.join()
assert at_rest(store) and things.words() == ["a"]
things.add("b")
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_call_waits_for_the_fork_of_another_thread_no_longer_than_its_timeout(tmp_path):
    said = run(FORKING, tmp_path / "agent.db").splitlines()
    assert said[0] == "True agent.db lends no reader while another thread forks (0.2 s); raise timeout= or fork when nobody reads"
    assert all(line.startswith("True agent.db ") for line in said)
    assert len(said) == 4


STRUCK = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from memstore import *
from memstore.kernel import forks
from kernel.things import Things, at_rest

forks.PATIENCE = 60
path, what = sys.argv[1:]
done, there = threading.Event(), threading.Event()


def strike(*_):
    raise KeyboardInterrupt


def hold_the_lock():
    with store.transaction():
        there.set()
        done.wait(60)


def hold_a_reader():
    with things.room.read(snapshot=True) as connection:
        connection.rows("SELECT word FROM things")
        there.set()
        done.wait(60)


def fork():
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)


threads = []
if what.startswith("open"):
    wait = lambda: open_store(path, timeout=60, read_only=what == "open read-only")
else:
    store = open_store(path, timeout=60)
    things = Things(store)
    things.add("a")
    beside = {"thread": [hold_the_lock], "pinned": [hold_a_reader], "fork": [hold_a_reader, fork]}.get(what, [])
    threads = [threading.Thread(target=function) for function in beside]
    for thread in threads:
        thread.start()
        assert there.wait(60)
    wait = {
        "thread": lambda: things.add("b"),
        "process": lambda: things.add("b"),
        "room": lambda: store.audit.append("never.happens"),
        "optimize": store.optimize,
        "fork": lambda: [things.words() for _ in iter(int, 1)],
        "pinned": lambda: things.remove("a"),
    }[what]
print("ready", flush=True)
sys.stdin.readline()
signal.signal(signal.SIGALRM, strike)
due = time.monotonic() + 0.3
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    wait()
    print("it did not wait")
except KeyboardInterrupt:
    late = time.monotonic() - due
    print("late by", late, flush=True)
sys.stdin.readline()
done.set()
for thread in threads:
    thread.join()
if what.startswith("open"):
    store = open_store(path)
assert at_rest(store)
Things(store).add("after")
print(Things(store).words())
store.close()
"""


@pytest.mark.parametrize(
    ("what", "holder"),
    [
        ("thread", None),
        ("process", Holder),
        ("room", Holder),
        ("optimize", Holder),
        ("fork", None),
        ("pinned", None),
        ("open", Alone),
        ("open read-only", Alone),
    ],
)
def test_ctrl_c_ends_any_wait_at_once(tmp_path, what, holder):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        Things(store).add("first")
    child = start(STRUCK, path, what)

    def strike():
        child.stdin.write("go\n")
        child.stdin.flush()
        said = child.stdout.readline()
        assert said.startswith("late by "), f"{said}{child.stderr.read() if not said else ''}"
        assert float(said.split()[-1]) < 1, said  # some 0.001 on an idle machine
        print(said)

    with child:
        try:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
            if holder is None:
                strike()
            else:
                with holder(path):
                    strike()
            child.stdin.write("go\n")
            child.stdin.flush()
            words = {"pinned": ["first", "after"]}.get(what, ["first", "after"] if what.startswith("open") else ["first", "a", "after"])
            assert finish(child) == f"{words}\n"
        finally:
            child.kill()
