"""Death by SIGKILL at a chosen step of a call: before and after its n-th statement, and at each system call that files.py makes.

Steps are seen from outside: in a forked child `sqlite3.connect` makes connections that tell of each statement. The product knows
nothing of it. To a store a killed child and a killed process are the same, and a fork costs a tenth of a new interpreter.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import time

from memstore.kernel import values

from .soundness import lived

CALLS = ("fsync", "replace", "unlink", "open")  # what files.py asks of the system by itself


class Steps:
    """The steps of this process, numbered; at one of them it dies."""

    def __init__(self, last, pipe):
        self.last, self.pipe = last, pipe
        self.names = []
        self.counting = False

    @contextlib.contextmanager
    def count(self):
        """Steps count inside this block."""
        self.counting = True
        yield
        self.counting = False

    def around(self, name, function, *arguments):
        """Call a function between two steps."""
        self.reach(f"before {name}")
        result = function(*arguments)
        self.reach(f"after {name}")
        return result

    def reach(self, name):
        if not self.counting:
            return
        self.names.append(name)
        if len(self.names) == self.last:
            os.write(self.pipe, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def _mortal(steps):
    """A class of connections whose statements are steps."""

    def named(raw, sql):
        alone = not raw.in_transaction and sql.lstrip().startswith(("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER"))
        return " ".join(sql.split())[:60] + (" (alone)" if alone else "")

    class Mortal(sqlite3.Connection):
        def execute(self, sql, *parameters):
            return steps.around(named(self, sql), super().execute, sql, *parameters)

        def executemany(self, sql, rows):
            return steps.around(named(self, sql), super().executemany, sql, rows)

        def backup(self, target, *, progress, **options):
            def page(*numbers):
                steps.reach("between two pages of the copy")
                progress(*numbers)

            steps.reach("before the copy")
            super().backup(target, progress=page, **options)
            steps.reach("after the copy")

        def close(self):
            steps.around("close of a connection", super().close)

    return Mortal


def arm(steps):
    """Make steps of what this process does from now on; it is a child that ends soon anyway."""
    connect, mortal = sqlite3.connect, _mortal(steps)

    def connect_mortal(target, **options):
        return connect(target, **options) if target == ":memory:" else connect(target, factory=mortal, **options)

    sqlite3.connect = connect_mortal
    for name in CALLS:
        setattr(os, name, _step(steps, name, getattr(os, name)))


def _step(steps, name, function):
    return lambda *arguments: steps.around(f"os.{name}", function, *arguments)


def settle_chance():
    """Let ids and salts be the same in every child."""
    chance = itertools.count(1)
    values._last_tick = 0
    os.urandom = lambda length: (next(chance) << 3).to_bytes(length, "big")
    time.time_ns = time.perf_counter_ns = lambda: 1_700_000_001_000_000_000


def copied(base, folder):
    """A fresh copy of a file and what lies beside it; the path in the new place."""
    for entry in os.scandir(folder):
        (shutil.rmtree if entry.is_dir() else os.unlink)(entry.path)
    for entry in os.scandir(base.parent):
        if entry.is_dir():
            shutil.copytree(entry, folder / entry.name)
        else:
            shutil.copy(entry, folder)
    return folder / base.name


def steps_of(act, path):
    """Let a child come through and return the names of all its steps.

    In the child `act(path, count)` is called; the steps inside `with count():` count.
    """
    code, told = _lived(act, path, 0)
    assert code == 0, told
    return told.splitlines()


def kill_at(number, act, path):
    """Kill a child at its n-th step and return the name of the step."""
    code, told = _lived(act, path, number)
    assert code == -signal.SIGKILL, f"it has no step {number}: {told}"
    return told


def _lived(act, path, number):
    def life(pipe):
        steps = Steps(number, pipe)
        arm(steps)
        settle_chance()
        act(path, steps.count)
        os.write(pipe, "\n".join(steps.names).encode())

    code, told = lived(life)
    return code, told.decode(errors="replace")


def cut_at(length, act, path):
    """Kill a child in the middle of a write, by the kernel: where a file would pass this length; False when it came through."""

    def life(_):
        settle_chance()
        act(path, lambda: _limited(length))

    code, told = lived(life)
    assert code in (0, -signal.SIGXFSZ), told.decode(errors="replace")
    return code != 0


@contextlib.contextmanager
def _limited(length):
    import resource  # there is none on Windows, where none of this runs

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and then it is an error of the disk
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, length))
    yield
