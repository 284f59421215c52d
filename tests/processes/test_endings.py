"""How a process may end with a store still open, and what its user sees of it."""

from __future__ import annotations

import sys

import pytest
from kernel.things import Things, finish, start

from memstore import open_store

PREAMBLE = """
import atexit, gc, os, sys, threading, weakref
from memstore import *
from kernel.things import Things
path = sys.argv[1]
"""


def ended(tmp_path, code, *, flags=("-W", "error"), exit_code=0):
    """What a process that ran the code has said, on both channels; its file is sound and is read."""
    child = start(PREAMBLE + code, tmp_path / "agent.db", flags=flags)
    out, err = child.communicate(timeout=60)
    assert child.returncode == exit_code, err
    with open_store(tmp_path / "agent.db") as store:
        words = Things(store).words()
        assert store.check(deep=True).ok
    return out, err, words


def test_a_daemon_thread_that_writes_while_the_interpreter_ends_loses_nothing_acknowledged(tmp_path):
    out, err, words = ended(
        tmp_path,
        """
store = open_store(path)
things = Things(store)
enough = threading.Event()

def write():
    number = 0
    while True:
        with store.transaction():
            things.add(str(number))
            things.add(str(number))
        os.write(1, f"{number}\\n".encode())
        number += 1
        if number == 50:
            enough.set()

threading.Thread(target=write, daemon=True).start()
enough.wait(60)
""",
    )
    acknowledged = [int(line) for line in out.splitlines()]
    assert acknowledged == list(range(len(acknowledged)))
    assert len(acknowledged) >= 50
    assert words[::2] == words[1::2] == [str(number) for number in range(len(words) // 2)]
    assert len(acknowledged) <= len(words) // 2 <= len(acknowledged) + 1
    assert err == ""


def test_a_store_left_open_at_the_end_is_closed_quietly_and_leaves_one_file(tmp_path):
    child = start(PREAMBLE + "store = open_store(path)\nThings(store).add('a')", tmp_path / "agent.db")
    assert finish(child) == ""
    assert [file.name for file in tmp_path.iterdir()] == ["agent.db"]


def test_functions_that_run_at_exit_can_use_the_store_if_they_were_registered_after_it_was_opened(tmp_path):
    code = """
def told():
    try:
        things.words()
    except Closed as error:
        print(error)

atexit.register(told)
store = open_store(path)
things = Things(store)
atexit.register(lambda: things.add("at exit"))
"""
    out, err, words = ended(tmp_path, code)
    assert (out, err, words) == ("agent.db is closed; open it again with open_store()\n", "", ["at exit"])


def test_a_transaction_that_is_open_when_the_interpreter_ends_has_not_happened(tmp_path):
    code = """
store = open_store(path)
things = Things(store)
things.add("first")
inside = threading.Event()

def write():
    with store.transaction():
        things.add("never")
        inside.set()
        threading.Event().wait()

threading.Thread(target=write, daemon=True).start()
inside.wait(60)
store._database.timeout = 0.05  # closing would wait for the transaction, which does not end
"""
    out, err, words = ended(tmp_path, code)
    assert words == ["first"]
    assert out == ""


def test_sys_exit_inside_a_transaction_undoes_it(tmp_path):
    code = "store = open_store(path)\nwith store.transaction():\n    Things(store).add('never')\n    sys.exit(3)"
    _, err, words = ended(tmp_path, code, exit_code=3)
    assert (err, words) == ("", [])


def test_a_store_that_is_forgotten_open_is_closed_and_says_so(tmp_path):
    code = """
import warnings
store = open_store(path)
Things(store).add("a")
gone = weakref.ref(store)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    del store
    gc.collect()
assert gone() is None
print([f"{warning.category.__name__}: {warning.message}" for warning in caught])
print(os.listdir(os.path.dirname(path)))
"""
    out, err, words = ended(tmp_path, code)
    told = f"ResourceWarning: unclosed store {tmp_path / 'agent.db'}; use it in a with block or call close()"
    assert out.splitlines() == [repr([told]), "['agent.db']"]
    assert (err, words) == ("", ["a"])


def test_where_warnings_are_errors_a_forgotten_store_is_closed_all_the_same(tmp_path):
    code = """
store = open_store(path)
Things(store).add("a")
del store
gc.collect()
print(os.listdir(os.path.dirname(path)))
"""
    out, err, words = ended(tmp_path, code)
    assert out == "['agent.db']\n"
    assert "ResourceWarning: unclosed store" in err
    assert "in a with block or call close()" in err
    assert words == ["a"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="older Pythons say nothing of it")
def test_python_says_nothing_of_the_connections_of_a_store_that_was_closed(tmp_path):
    code = """
store = open_store(path)
things = Things(store)
with things.room.read() as first, things.room.read() as second:
    things.add("a")
store.close()
del store, things, first, second
gc.collect()
"""
    assert ended(tmp_path, code) == ("", "", ["a"])


def test_a_close_that_was_interrupted_is_finished_by_the_next_one(tmp_path, monkeypatch):
    store = open_store(tmp_path / "agent.db")
    Things(store).add("kept")
    drop = type(store._database).drop_connections

    def interrupted(database):
        monkeypatch.setattr(type(database), "drop_connections", drop)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(store._database), "drop_connections", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.close()
    assert (tmp_path / "agent.db-shm").exists()
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["agent.db"]
