"""fork() in every state that a store can be in: the parent loses nothing, and the child works or is told why not."""

from __future__ import annotations

import os

import pytest
from kernel.things import finish, run, start

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PREAMBLE = """
import contextlib, os, pickle, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what is tried here
from memstore import *
from memstore.kernel import files, forks, wal
from kernel.things import INSERT, Things, at_rest, run

path, ending = sys.argv[1], sys.argv[2]
forking = threading.Event()
os.register_at_fork(before=forking.set)  # runs before the hook of the store, which was registered earlier
store = open_store(path)
things = Things(store)


def fork(function):
    # Run a function in a forked child that ends in the given way, and return its result or the name of its error.
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        try:
            result = function()
        except StoreError as error:
            result = f"{type(error).__name__}: {error}"
        except BaseException as error:
            result = f"not one of ours: {error!r}"
        os.write(into, pickle.dumps(result))
        if ending == "exit":
            sys.exit(0)
        if ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.close(into)
    with open(out, "rb") as answer:
        result = pickle.loads(answer.read())
    assert os.waitpid(process, 0)[1] == (signal.SIGKILL if ending == "kill" else 0)
    return result


@contextlib.contextmanager
def beside(*functions):
    # Other threads that have come as far as `there`, and are through when the block ends.
    problems = []
    def guarded(function, there):
        try:
            function(there)
        except BaseException as error:
            problems.append(repr(error))
            there.set()
    places = [threading.Event() for _ in functions]
    threads = [threading.Thread(target=guarded, args=pair) for pair in zip(functions, places)]
    for thread, there in zip(threads, places):
        thread.start()
        assert there.wait(60)
    yield
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not problems, problems


def child():
    things.add("child")
    assert store.check().ok
    return things.words()


def sound(*words):
    # What this handle, a new process and a new handle see.
    assert at_rest(store), vars(store._database)
    things.add("last")
    assert things.words() == [*words, "last"], things.words()
    store.close()
    with open_store(path) as again:
        assert Things(again).words() == [*words, "last"]
        assert again.check(deep=True).ok
    assert run(f"import sys; from memstore import open_store; from kernel.things import Things\\n"
        "with open_store(sys.argv[1]) as store: print(Things(store).words())", path) == f"{[*words, 'last']}\\n"
"""

STATES = {
    "never used": """
assert fork(child) == ["child"]
sound("child")
""",
    "used": """
things.add("parent")
assert things.words() == ["parent"]
assert fork(child) == ["parent", "child"]
sound("parent", "child")
""",
    "readers of three threads out": """
things.add("parent")
came_back, waiting = forks._readers_came_back, threading.Event()
forks._readers_came_back = lambda *given: (waiting.set(), came_back(*given))[1]

def read(there):
    with things.room.read(snapshot=True) as connection:
        assert connection.rows("SELECT word FROM things") == [("parent",)]
        there.set()
        assert waiting.wait(60)
        assert things.words() == ["parent"], "who has a reader gets another, for the fork waits for him"
        assert connection.rows("SELECT word FROM things") == [("parent",)]

with beside(read, read, read):
    assert fork(child) == ["parent", "child"]
sound("parent", "child")
""",
    "another thread writes": """
things.add("parent")

def write(there):
    with store.transaction():
        things.add("a" * 3_000_000)  # more than the page cache: part of it is in the log already
        there.set()
        assert forking.wait(60)
        for number in range(100):
            things.add(str(number))

with beside(write):
    told = fork(child)
words = ["parent", "a" * 3_000_000, *map(str, range(100)), "child"]
assert told == words, told
sound(*words)
""",
    "another thread checkpoints": """
things.add("parent")
checkpoint, inside = wal.WriteAheadLog.checkpoint, threading.Event()

def slowly(log, writer):
    inside.set()
    assert forking.wait(60)
    return checkpoint(log, writer)

def work(there):
    wal.WriteAheadLog.checkpoint = slowly
    files.LOG_KEPT = 1
    thread = threading.Thread(target=lambda: [things.add(str(number)) for number in range(wal.LOOK_EVERY)])
    thread.start()
    assert inside.wait(60)
    there.set()
    thread.join()

with beside(work):
    told = fork(child)
words = things.words()
assert told == words[: len(told)] and "child" in told
assert sorted(words) == sorted(["parent", "child", *map(str, range(wal.LOOK_EVERY))])
sound(*words)
""",
    "a thread waits for a reader": """
things.add("parent")
came_back, waiting = forks._readers_came_back, threading.Event()
forks._readers_came_back = lambda *given: (waiting.set(), came_back(*given))[1]
asked = threading.Event()

def read(there):
    with things.room.read(snapshot=True) as connection:
        assert connection.rows("SELECT word FROM things") == [("parent",)]
        there.set()
        assert asked.wait(60)

def wait(there):
    there.set()
    assert waiting.wait(60)
    threading.Timer(0.05, asked.set).start()  # while the next line waits
    assert things.words()[0] == "parent"

with beside(read, wait):
    assert fork(child) == ["parent", "child"]
sound("parent", "child")
""",
    "inside a transaction": """
things.add("parent")
with store.transaction():
    things.add("b" * 3_000_000)
    told = fork(child)
    things.add("c")
assert told.startswith("Closed: agent.db was in use when this process was forked"), told
sound("parent", "b" * 3_000_000, "c")
""",
    "inside a nested transaction": """
things.add("parent")
with store.transaction():
    with contextlib.suppress(KeyError), store.transaction():
        things.add("never")
        told = fork(lambda: (store.close(), child()))
        raise KeyError
    things.add("c")
assert told.startswith("Closed:"), told
sound("parent", "c")
""",
    "own reader out": """
things.add("parent")
with things.room.read(snapshot=True) as connection:
    connection.rows("SELECT word FROM things")
    told = fork(child)
    assert connection.rows("SELECT word FROM things") == [("parent",)]
assert told.startswith("Closed:"), told
sound("parent")
""",
    "two stores, one in a transaction": """
things.add("parent")
with open_store(path + ".other") as other:
    Things(other).add("other")
    with other.transaction():
        Things(other).add("more")
        assert fork(child) == ["parent", "child"]
        assert fork(lambda: Things(other).words()).startswith("Closed: agent.db.other")
    assert Things(other).words() == ["other", "more"]
sound("parent", "child")
""",
}


@pytest.mark.drawn(2)
@pytest.mark.parametrize("ending", ["exit", "_exit", "kill"])
@pytest.mark.parametrize("state", STATES)
def test_a_fork_in_any_state_costs_the_parent_nothing_however_the_child_ends(tmp_path, state, ending):
    assert run(PREAMBLE + STATES[state] + "\nprint('done')", tmp_path / "agent.db", ending).endswith("done\n")


FORKS = """
from memstore import open_store

chat = store.chat.create_conversation(id="shared")
acknowledged, stop, problems = [], threading.Event(), []


def write(number):
    turn = 0
    try:
        while not stop.is_set():
            turn += 1
            with store.transaction():
                store.chat.append("shared", "user", f"{number} {turn}")
                store.audit.append("fork.wrote", entity_kind="word", entity_id=f"{number} {turn}")
            acknowledged.append(f"{number} {turn}")
            assert len(store.chat.search(f"{number} {turn}", limit=1)) == 1
    except BaseException as error:
        problems.append(repr(error))


def from_child(turn):
    store.chat.append("shared", "user", f"child {turn}")
    store.audit.append("fork.wrote", entity_kind="word", entity_id=f"child {turn}")
    return len(store.chat.messages("shared", limit=1)), store.audit.verify().ok


threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
try:
    for turn in range(int(sys.argv[3])):
        ending = ("exit", "_exit", "kill")[turn % 3]
        told = fork(lambda: from_child(turn))
        assert told == (1, True), told
        acknowledged.append(f"child {turn}")
finally:
    stop.set()
for thread in threads:
    thread.join(60)
assert not problems, problems
store.close()
with open_store(path) as again:
    found = [message.content for message in again.chat.messages("shared", limit=None)]
    events = again.audit.find(ascending=True, limit=None)
    assert sorted(found) == sorted(acknowledged), set(found) ^ set(acknowledged)
    assert sorted(event.entity_id for event in events) == sorted(acknowledged)
    for number in range(4):
        own = [word for word in found if word.startswith(f"{number} ")]
        assert own == [f"{number} {turn + 1}" for turn in range(len(own))]
    assert again.check(deep=True).ok and again.audit.verify().checked == len(acknowledged)
print("done")
"""


@pytest.mark.parametrize("forks", [12, pytest.param(40, marks=pytest.mark.nightly)])
def test_forks_under_four_writing_threads_lose_nothing(tmp_path, forks):
    assert run(PREAMBLE + FORKS, tmp_path / "agent.db", "", forks, timeout=300) == "done\n"


# -- other ways to begin a process --------------------------------------------------------------------------------------

MULTIPROCESSING = """
import multiprocessing, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from memstore import NotSupported, open_store
from kernel.things import Things


def with_path(path, number, into):
    with open_store(path) as store:
        Things(store).add(f"child {number}")
        into.put(len(Things(store).words()) >= 2)


def with_store(store, into):
    Things(store).add("inherited")
    into.put(True)


if __name__ == "__main__":
    path, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    with open_store(path) as store:
        Things(store).add("parent")
        workers = [context.Process(target=with_path, args=(path, number, answers)) for number in range(3)]
        for worker in workers:
            worker.start()
        assert [answers.get(timeout=60) for _ in workers] == [True] * 3
        refused = context.Process(target=with_store, args=(store, answers))
        try:
            refused.start()
            workers.append(refused)
            assert method == "fork" and answers.get(timeout=60)
        except NotSupported as error:
            assert method != "fork"
            print(error)
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0, worker.exitcode
        words = Things(store).words()
        assert words[0] == "parent"
        assert sorted(words[1:]) == [f"child {number}" for number in range(3)] + ["inherited"] * (method == "fork")
        assert store.check().ok
    print("done")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_path_reaches_any_child_and_a_store_only_one_that_was_forked(tmp_path, method):
    (tmp_path / "main.py").write_text(MULTIPROCESSING, encoding="utf-8")
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    said = finish(start(code, tmp_path / "main.py", tmp_path / "agent.db", method)).splitlines()
    told = [] if method == "fork" else ["a store cannot be pickled; open the path again in the other process"]
    assert said == [*told, "done"]


def test_a_program_started_inside_a_transaction_waits_for_its_end_and_harms_nothing(tmp_path):
    # subprocess runs no hook of fork: the descriptors are closed by exec, and with them no lock may go.
    script = """
import subprocess
other = "import sys; from memstore import open_store; from kernel.things import Things\\n"
busy = other + "from memstore import Busy\\nwith open_store(sys.argv[1], timeout=0.05) as store:\\n"
busy += "    try: Things(store).add('no')\\n    except Busy: print(Things(store).words())"
things.add("parent")
with store.transaction():
    things.add("d" * 3_000_000)
    assert run(busy, path) == "['parent']\\n"
    subprocess.run(["true"], check=True)
    subprocess.run(["true"], check=True, preexec_fn=lambda: None)  # this one does run the hooks
    things.add("after")
assert run(other + "with open_store(sys.argv[1]) as store: Things(store).add('child')", path) == ""
sound("parent", "d" * 3_000_000, "after", "child")
print("done")
"""
    assert run(PREAMBLE + script, tmp_path / "agent.db", "").endswith("done\n")


def test_a_signal_handler_may_fork_in_the_middle_of_any_call(tmp_path):
    script = """
import signal, time
forks = 0
chat = store.chat.create_conversation(id="c").id


def handler(*_):
    global forks
    forks += 1
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


signal.signal(signal.SIGALRM, handler)
returned, end = 0, time.monotonic() + 0.7
while time.monotonic() < end:
    signal.setitimer(signal.ITIMER_REAL, 0.00005 + returned % 23 / 20_000)
    store.chat.append(chat, "user", "hi there")
    store.chat.messages(chat, limit=2)
    returned += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert forks > 10, forks
assert len(store.chat.messages(chat, limit=None)) == returned
assert store.check().ok
print("done")
"""
    assert run(PREAMBLE + script, tmp_path / "agent.db", "") == "done\n"


def test_forked_children_of_few_commits_keep_the_log_short(tmp_path):
    script = """
files.LOG_KEPT = 1 << 20
store.close()
store = open_store(path)
things = Things(store)
things.words()
for number in range(30):
    child = os.fork()
    if child == 0:
        for _ in range(3):
            things.add("x" * 100_000)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert files.wal_size(path) < 4 << 20, files.wal_size(path)
assert len(things.words()) == 90
print("done")
"""
    assert run(PREAMBLE + script, tmp_path / "agent.db", "") == "done\n"
