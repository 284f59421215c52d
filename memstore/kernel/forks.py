"""fork(): SQLite connections must not cross it.

1. POSIX locks are not inherited, but SQLite's memory of holding them is: a child that uses, closes or merely forgets an
   inherited connection can lose acknowledged commits or break the parent's file. So before a fork every store waits until
   nobody writes or reads, closes its connections, and both sides open new ones when next used.
2. A fork in the middle of one's own transaction, or while a reader does not come back within two seconds, cannot do that.
   Then the child's handle is unusable and its connections are leaked on purpose, until the child ends.
3. A signal handler may fork while this thread is forking already: each fork gives back what it took itself.
4. An interrupt ends a hook, at its first instruction even, and Python swallows it. So what is to be done after a fork is done by two
   hooks, of which the second finds what the first has left.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from . import files
from .blocks import Hold
from .errors import StoreError

if TYPE_CHECKING:
    from .connection import Connection, Database

PATIENCE = 2.0  # seconds to wait for others before a fork

_open: weakref.WeakSet[Database] = weakref.WeakSet()
_forks: defaultdict[int, list[_Fork]] = defaultdict(list)  # thread -> what it has under way, each in the middle of the one before


class _Fork(NamedTuple):
    held: list[Hold]  # locks of writers
    torn: set[Database]  # whose connections could not be closed


def watch(database: Database) -> None:
    """Take care of this database at every fork."""
    _open.add(database)


def _before() -> None:
    held, torn = fork = _Fork([], set())
    _forks[threading.get_ident()].append(fork)
    deadline = time.monotonic() + PATIENCE
    for database in list(_open):
        if database.unusable is not None or database.in_memory or database.process != os.getpid():
            continue
        torn.add(database)
        if database.at_work():
            continue  # a signal handler forks, or a transaction: what this thread has or is opening must stay
        hold = Hold(database, deadline)
        held.append(hold)  # first, for an interrupt of this hook is swallowed, and what it holds must be given back
        database.step_back()
        with contextlib.suppress(StoreError):
            database.acquire(hold, deadline)
        if hold.locked and _readers_came_back(database, deadline):
            database.drop_connections()
            torn.discard(database)


def _readers_came_back(database: Database, deadline: float) -> bool:
    while database.lent:
        if threading.get_ident() in list(database.lent.values()) or time.monotonic() >= deadline:
            return False  # our own reader cannot come back while we fork
        time.sleep(0.001)
    return True


def _give_back() -> None:
    own = _forks[threading.get_ident()]  # and stays: a handler between looking for it and adding to it may not take it away
    if own:
        own[-1].torn.clear()
        for hold in own[-1].held:
            hold.database.go_on()
            hold.database.release(hold)


def _after_in_parent() -> None:
    _give_back()
    own = _forks[threading.get_ident()]
    if own:
        own.pop()


def _after_in_child() -> None:
    torn = set().union(*[fork.torn for fork in _forks[threading.get_ident()]])
    for database in [each for each in list(_open) if each.process != os.getpid()]:
        inherited = [*database.idle, *database.lent, *([database.writer] if database.writer is not None else [])]
        _leak(inherited)  # before anything lets go of them
        if database.in_memory:
            database.unusable = "a :memory: store stays with the process that opened it; open a file to share one"
        elif inherited or database in torn:
            database.unusable = (
                f"{database.name} was in use when this process was forked, so the child cannot use it; "
                "fork outside of transaction(), or start the process with the spawn method"
            )
            if database.identity is not None:
                files.unusable_here.add(database.identity)
        database.renew_locks()
        database.process = os.getpid()
    _forks.clear()


def _leak(connections: list[Connection]) -> None:
    """Keep the connections from ever being closed in this process, even when the interpreter ends."""
    if not connections:
        return
    import ctypes

    for connection in connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection.raw))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_give_back, after_in_child=_after_in_child)
    os.register_at_fork(after_in_parent=_after_in_parent, after_in_child=_after_in_child)
