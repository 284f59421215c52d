"""Many processes and one file: fork, spawn, and processes that were never related."""

from __future__ import annotations

import os

import pytest

from memstore import NotSupported, open_store

from .things import Things, finish, run, start

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PREAMBLE = """
import os, pickle, sys, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what is tried here
from memstore import *
from kernel.things import INSERT, Things, at_rest

path = sys.argv[1]


def fork(function, normal=False):
    # Run a function in a forked child and return its result, or raise its error; `normal` lets the interpreter end there.
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        try:
            outcome = True, function()
        except BaseException as error:
            outcome = False, f"{type(error).__name__}: {error}"
        os.write(into, pickle.dumps(outcome))
        if normal:
            sys.exit(0)
        os._exit(0)
    os.close(into)
    with open(out, "rb") as answer:
        fine, result = pickle.loads(answer.read())
    assert os.waitpid(process, 0)[1] == 0
    if not fine:
        raise RuntimeError(result)
    return result


def refused(function):
    try:
        function()
    except StoreError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("not refused")


def sound(*words):
    # What a new process and a new handle see.
    with open_store(path) as again:
        found = Things(again).words()
        assert again.check().ok, again.check()
    assert found == list(words), found
"""


def script(tmp_path, code):
    """Run a script in a process of its own; forking pytest itself would fork its threads too."""
    assert run(PREAMBLE + code + "\nprint('done')", tmp_path / "agent.db").endswith("done\n")


@pytest.mark.parametrize("normal", [False, True])
def test_a_handle_that_is_idle_works_on_both_sides(tmp_path, normal):
    script(
        tmp_path,
        f"""
store = open_store(path)
things = Things(store)
things.add("parent")

def child():
    things.add("child")
    assert things.words() == ["parent", "child"]
    with store.transaction():
        things.add("more")
    return store.check().ok

assert fork(child, normal={normal})
things.add("after")
assert things.words() == ["parent", "child", "more", "after"]
assert at_rest(store)
store.close()
sound("parent", "child", "more", "after")
""",
    )


def test_a_handle_that_was_never_used_works_on_both_sides(tmp_path):
    script(
        tmp_path,
        """
store = open_store(path)
fork(lambda: Things(store).add("child"), normal=True)
Things(store).add("parent")
store.close()
sound("child", "parent")
""",
    )


def test_the_child_of_a_child_works_too(tmp_path):
    script(
        tmp_path,
        """
store = open_store(path)
things = Things(store)
fork(lambda: (things.add("child"), fork(lambda: things.add("grandchild"))))
assert things.words() == ["child", "grandchild"]
store.close()
""",
    )


@pytest.mark.parametrize("rounds", [8, pytest.param(40, marks=pytest.mark.nightly)])
def test_what_threads_have_been_told_is_written_survives_forks_in_between(tmp_path, rounds):
    script(
        tmp_path,
        f"""
store = open_store(path)
things = Things(store)
things.add("first")
acknowledged, stop = [], threading.Event()

def write(number):
    turn = 0
    while not stop.is_set():
        turn += 1
        things.add(f"{{number}} {{turn}}")
        acknowledged.append(f"{{number}} {{turn}}")
        things.words()

threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
try:
    for turn in range({rounds}):
        fork(lambda: (things.add(f"child {{turn}}"), len(things.words()))[1] >= turn, normal=turn % 2)
        acknowledged.append(f"child {{turn}}")
finally:
    stop.set()
    for thread in threads:
        thread.join()
assert at_rest(store)
words = things.words()
assert set(acknowledged) <= set(words), set(acknowledged) - set(words)
assert len(words) == len(set(words)) == len(acknowledged) + 1
store.close()
sound(*words)
""",
    )


def test_two_threads_may_fork_at_once(tmp_path):
    script(
        tmp_path,
        """
store = open_store(path)
things = Things(store)
things.add("first")
problems = []

def work(number):
    try:
        for turn in range(4):
            fork(lambda: things.add(f"{number} {turn}"))
    except BaseException:
        problems.append(traceback.format_exc())

threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not problems, problems
assert at_rest(store)
assert len(things.words()) == 13
store.close()
""",
    )


@pytest.mark.parametrize("step", ["step_back", "acquire", "drop_connections", "go_on", "release"])
def test_a_signal_handler_may_fork_in_the_middle_of_a_fork(tmp_path, step):
    script(
        tmp_path,
        f"""
import signal
from memstore.kernel.connection import Database

store = open_store(path)
things = Things(store)
things.add("parent")
forks, plain = 0, Database.{step}


def handler(*_):
    global forks
    forks += 1
    fork(lambda: None)


def interrupted(*given):
    Database.{step} = plain
    signal.raise_signal(signal.SIGUSR1)
    result = plain(*given)
    signal.raise_signal(signal.SIGUSR1)
    return result


signal.signal(signal.SIGUSR1, handler)
Database.{step} = interrupted
fork(lambda: None)
assert forks == 2 and at_rest(store)
things.add("after")
told = []
other = threading.Thread(target=lambda: told.append(things.words()))
other.start()
other.join(20)
assert told == [["parent", "after"]], told
assert fork(lambda: (things.add("child"), things.words())[1]) == ["parent", "after", "child"]
sound("parent", "after", "child")
""",
    )


def test_an_interrupt_after_a_fork_leaves_nobody_waiting_and_no_child_with_what_is_its_parents(tmp_path):
    script(
        tmp_path,
        """
from memstore.kernel import forks

store = open_store(path)
things = Things(store)
HOOKS = [getattr(forks, name).__code__ for name in ("_give_back", "_after_in_parent", "_after_in_child")]
sys.unraisablehook = lambda _: None  # which is where Python tells of it


def interrupt(frame, event, _):
    global left
    if frame.f_code in HOOKS or frame.f_back is not None and frame.f_back.f_code in HOOKS:
        left -= 1
        if left == 0:
            raise KeyboardInterrupt


def child():
    sys.setprofile(None)
    try:
        things.add("child")
    except Closed:
        pass


for instant in range(1, 30):
    left = instant
    sys.setprofile(interrupt)
    process = os.fork()
    if process == 0:
        child()
        os._exit(0)
    sys.setprofile(None)
    assert os.waitpid(process, 0)[1] == 0, instant
    told = []
    other = threading.Thread(target=lambda: told.append(things.add("other")))
    other.start()
    other.join(5)
    assert told and at_rest(store), instant
    if left > 0:
        break
assert instant > 10 and store.check().ok
""",
    )


def test_a_reader_of_another_thread_is_waited_for(tmp_path):
    script(
        tmp_path,
        """
from memstore.kernel import forks
store = open_store(path)
things = Things(store)
things.add("a")
lent, waited_for = threading.Event(), threading.Event()
came_back = forks._readers_came_back
forks._readers_came_back = lambda *given: (waited_for.set(), came_back(*given))[1]
problems = []

def read():
    with things.room.read(snapshot=True) as connection:
        connection.rows("SELECT word FROM things")
        lent.set()
        if not waited_for.wait(60) or connection.rows("SELECT word FROM things") != [("a",)]:
            problems.append("the fork did not wait")

thread = threading.Thread(target=read)
thread.start()
lent.wait()
assert fork(things.words) == ["a"]
thread.join()
assert problems == []
things.add("b")
store.close()
sound("a", "b")
""",
    )


@pytest.mark.parametrize("normal", [False, True])
def test_fork_with_ones_own_reader_out_makes_the_childs_handle_unusable(tmp_path, normal):
    script(
        tmp_path,
        f"""
store = open_store(path)
things = Things(store)
things.add("a")
with things.room.read(snapshot=True) as connection:
    assert connection.rows("SELECT word FROM things") == [("a",)]
    told = fork(lambda: (refused(things.words), refused(lambda: open_store(path))), normal={normal})
    assert told[0].startswith("Closed: agent.db was in use when this process was forked"), told
    assert told[1].startswith("Closed:") and "only a fresh process" in told[1], told
    assert connection.rows("SELECT word FROM things") == [("a",)]
things.add("b")
store.close()
sound("a", "b")
""",
    )


@pytest.mark.parametrize("normal", [False, True])
def test_fork_inside_ones_own_transaction_harms_nothing_and_tells_the_child(tmp_path, normal):
    script(
        tmp_path,
        f"""
store = open_store(path)
things = Things(store)
things.add("a")
big = "x" * 3_000_000  # more than the page cache: part of it is in the log already
with store.transaction():
    things.add(big)
    def child():
        told = [refused(call) for call in (things.words, lambda: things.add("no"), store.check, lambda: open_store(path))]
        with open_store(path + ".other") as other:
            Things(other).add("fine")
        store.close()
        return told
    told = fork(child, normal={normal})
    assert all(text.startswith("Closed:") for text in told), told
    assert "fork outside of transaction()" in told[0]
    things.add("b")
assert at_rest(store)
assert things.words() == ["a", big, "b"]
store.close()
sound("a", big, "b")
""",
    )


def test_a_child_that_leaves_the_parents_transaction_block_is_told(tmp_path):
    script(
        tmp_path,
        """
store = open_store(path)
things = Things(store)
things.add("a")
process = None
try:
    with store.transaction():
        things.add("b")
        process = os.fork()
except Closed as error:
    assert process == 0 and "was in use when this process was forked" in str(error)
    os._exit(7)
assert os.waitpid(process, 0)[1] == 7 << 8
store.close()
sound("a", "b")
""",
    )


def test_a_fork_while_another_thread_keeps_writing_too_long_tells_the_child(tmp_path):
    script(
        tmp_path,
        """
from memstore.kernel import forks
forks.PATIENCE = 0.2
store = open_store(path)
things = Things(store)
things.add("a")
inside, go_on = threading.Event(), threading.Event()

def write():
    with store.transaction():
        things.add("b")
        inside.set()
        go_on.wait(10)
        things.add("c")

thread = threading.Thread(target=write)
thread.start()
inside.wait()
told = fork(lambda: refused(things.words), normal=True)
assert told.startswith("Closed:"), told
go_on.set()
thread.join()
assert things.words() == ["a", "b", "c"]
store.close()
sound("a", "b", "c")
""",
    )


def test_a_fork_while_another_thread_migrates_harms_nothing_and_tells_the_child(tmp_path):
    script(
        tmp_path,
        """
from memstore.kernel import Room, Schema, Step, forks
forks.PATIENCE = 0.2
inside, go_on = threading.Event(), threading.Event()
store = open_store(path)
old = Room(store._database, Schema("words", 1, "CREATE TABLE words(pk INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT;"))
with old.write() as connection:
    connection.many("INSERT INTO words(word) VALUES (?)", [("x" * 1000,)] * 5000)

def step(connection):
    connection.run("UPDATE words SET word = word || 'y'")  # more than the page cache holds
    inside.set()
    go_on.wait(10)

new = Schema("words", 2, "CREATE TABLE words(pk INTEGER PRIMARY KEY, word TEXT NOT NULL, extra TEXT) STRICT;", (Step("y", step),))
store.close()
store = open_store(path)
room = Room(store._database, new)
thread = threading.Thread(target=lambda: room.value("SELECT 1"))
thread.start()
inside.wait()
told = fork(lambda: refused(lambda: Things(store).words()), normal=True)
assert told.startswith("Closed:"), told
go_on.set()
thread.join()
assert room.value("SELECT count(*) FROM words WHERE word LIKE '%xy' AND extra IS NULL") == 5000
store.close()
with open_store(path) as again:
    assert again.check().ok
""",
    )


def test_a_memory_store_stays_with_the_parent(tmp_path):
    script(
        tmp_path,
        """
store = open_store()
things = Things(store)
things.add("a")
told = fork(lambda: refused(things.words), normal=True)
assert told.startswith("Closed: a :memory: store stays with the process that opened it"), told
assert things.words() == ["a"]
store.close()
""",
    )


def test_a_child_may_open_other_files_and_close_what_it_inherited(tmp_path):
    script(
        tmp_path,
        """
store = open_store(path)
things = Things(store)
things.add("a")

def child():
    with open_store(path + ".other") as other:
        Things(other).add("b")
    store.close()
    return refused(things.words)

assert fork(child, normal=True).startswith("Closed: agent.db is closed")
things.add("c")
store.close()
sound("a", "c")
""",
    )


def test_worker_threads_are_made_anew_in_the_child(tmp_path):
    script(
        tmp_path,
        """
import asyncio
store = open_store(path)
things = Things(store)
asyncio.run(store.run(things.add, "parent"))
fork(lambda: asyncio.run(store.run(things.add, "child")))
assert things.words() == ["parent", "child"]
store.close()
""",
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_can_use_the_store(tmp_path, method):
    (tmp_path / "main.py").write_text(
        PREAMBLE
        + f"""
import multiprocessing

def work(path, number):
    with open_store(path) as store:
        for turn in range(10):
            Things(store).add(f"{{number}} {{turn}}")
    return number

if __name__ == "__main__":
    with open_store(path) as store, multiprocessing.get_context("{method}").Pool(2) as pool:
        Things(store).add("first")
        assert sorted(pool.starmap(work, [(path, number) for number in range(4)])) == [0, 1, 2, 3]
        pool.close()
        pool.join()
        assert len(set(Things(store).words())) == 41
    print("done")
""",
        encoding="utf-8",
    )
    child = start(
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
        tmp_path / "main.py",
        tmp_path / "a.db",
    )
    assert finish(child) == "done\n"


def test_a_store_cannot_be_pickled(store):
    import copy
    import pickle

    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(NotSupported, match="open the path again"):
            call(store)


OPEN_AND_WRITE = """
import sys
from memstore import open_store
from kernel.things import Things

print("ready", flush=True)
for line in sys.stdin:
    with open_store(line.rstrip("\\n")) as store:
        things = Things(store)
        for turn in range(3):
            things.add(f"{sys.argv[1]} {turn}")
    print("written", flush=True)
"""


@pytest.mark.parametrize("rounds", [20])
def test_six_processes_open_one_fresh_path_at_once_and_write(tmp_path, rounds):
    children = [start(OPEN_AND_WRITE, number) for number in range(6)]
    try:
        for child in children:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
        for turn in range(rounds):
            for child in children:
                child.stdin.write(f"{tmp_path / str(turn)}.db\n")
            for child in children:
                child.stdin.flush()
            for child in children:
                assert child.stdout.readline() == "written\n", child.stderr.read()
            with open_store(tmp_path / f"{turn}.db") as store:
                assert sorted(Things(store).words()) == [f"{number} {part}" for number in range(6) for part in range(3)]
    finally:
        for child in children:
            finish(child)


EIGHT_THREADS = """
import sys, threading
from memstore import open_store
from kernel.things import Things

with open_store(sys.argv[1], timeout=60) as store:
    things = Things(store)
    print("ready", flush=True)
    sys.stdin.readline()

    def work(number):
        for turn in range(int(sys.argv[3])):
            things.add(f"{sys.argv[2]} {number} {turn}")
            things.room.value("SELECT max(pk) FROM things")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_eight_threads_in_each_of_four_processes_lose_nothing(tmp_path):
    each = 300
    path = tmp_path / "agent.db"
    children = [start(EIGHT_THREADS, path, process, each) for process in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        finish(child, timeout=300)
    with open_store(path) as store:
        expected = {f"{process} {number} {turn}" for process in range(4) for number in range(8) for turn in range(each)}
        words = Things(store).words()
        assert len(words) == len(expected)
        assert set(words) == expected


KILLED = """
import sys
from memstore import open_store
from kernel.things import Things

store = open_store(sys.argv[1])
things = Things(store)
turn = 0
while True:
    turn += 1
    with store.transaction():
        things.add(f"{sys.argv[2]} {turn}", 1)
        things.add(f"{sys.argv[2]} {turn}", 2)
    print(turn, flush=True)
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=pytest.mark.nightly)])
def test_what_was_acknowledged_survives_kill_and_nothing_is_torn(tmp_path, rounds):
    path = tmp_path / "agent.db"
    acknowledged = set()
    for turn in range(rounds):
        children = [start(KILLED, path, f"{turn}-{number}") for number in range(3)]
        for number, child in enumerate(children):
            for _ in range(20 + 30 * number):
                acknowledged.add(f"{turn}-{number} {int(child.stdout.readline())}")
        for number, child in enumerate(children):
            with child:
                child.kill()
                acknowledged |= {f"{turn}-{number} {int(line)}" for line in child.stdout.read().split("\n")[:-1]}
        with open_store(path) as store:
            words = Things(store).words()
            assert acknowledged <= set(words)
            assert words[::2] == words[1::2]
