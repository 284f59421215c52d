"""Blocks: what a `with` statement takes from a database and gives back, whatever interrupts it.

1. Ctrl-C may strike at any call, and at the first instruction of every Python function: also of `__exit__`, before any `try`.
   A transaction lost there would swallow all later writes of its thread as its own savepoints.
2. So what the statement holds as `__exit__` is an object that nobody else holds. However the statement ends, that object goes
   with it, even while a traceback keeps the block and its frames alive, and its weak reference gives back what is left.
3. A block notes what it takes in the same breath as taking it, with no call in between; giving back may be repeated.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .driver import FAILURES, translate

if TYPE_CHECKING:
    from .connection import Connection, Database


class _Exit:
    """`__exit__` of a block: a new object for each `with` statement."""

    def __get__(self, block: Block | None, owner: type) -> Callable[..., None]:
        if block is None:
            return _leave  # contextlib.ExitStack asks the class
        leave = partial(_leave, block)
        if block.held is None:  # asked for again, by a debugger say, it is not what the statement holds
            block.held = weakref.ref(leave, block.lost)
        return leave


def _leave(block: Block, kind: object, error: object, trace: object) -> None:
    block.leave(failed=kind is not None)
    block.held = None


class Block:
    """What a `with` statement takes from the database; it is given back once, wherever an interrupt arrives."""

    __slots__ = ("database", "held", "locked", "reader")

    def __init__(self, database: Database) -> None:
        self.database = database
        self.held: object = None  # notices the end of the `with` statement
        self.locked = False  # this block is counted in the depth of the writer's lock
        self.reader: Connection | None = None  # lent to this block

    if TYPE_CHECKING:

        def __exit__(self, kind: object, error: object, trace: object) -> None: ...

    else:
        __exit__ = _Exit()

    def leave(self, failed: bool) -> None:
        """Give back what this block has; a second call finds nothing left."""
        self.database.give_back(self)
        self.database.release(self)

    def lost(self, _: object) -> None:
        """The `with` statement is gone, and `leave` was interrupted or never reached."""
        self.held = None
        while True:
            try:
                return self.leave(failed=True)
            except KeyboardInterrupt:  # one is on its way to the caller already
                continue


class Hold(Block):
    """The writer's lock without a transaction, for upkeep."""

    __slots__ = ("_deadline",)

    def __init__(self, database: Database, deadline: float) -> None:
        super().__init__(database)
        self._deadline = deadline

    def __enter__(self) -> None:
        self.database.acquire(self, self._deadline)


class Borrow(Block):
    """A reader from the pool, also while the caller's own write is under way."""

    __slots__ = ()

    def __enter__(self) -> Connection:
        return self.database.borrow(self)


class Read(Block):
    """The block of a read; with `snapshot` its statements see one state."""

    __slots__ = ("_snapshot",)

    def __init__(self, database: Database, snapshot: bool) -> None:
        super().__init__(database)
        self._snapshot = snapshot

    def __enter__(self) -> Connection:
        try:
            connection = self.database.lend(self)
            guard = self.database.guard
            if self.reader is not None and (self._snapshot or connection.cipher is not None):
                connection.raw.execute("BEGIN")
            if guard is not None and not connection.guarded:
                guard.confirm(connection, self.database, write=False)
        except BaseException as error:
            self.leave(failed=True)
            if isinstance(error, FAILURES):
                raise translate(error) from error
            raise
        return connection


class Level(Block):
    """One nesting of transactions: what to do when it commits, what to undo when it rolls back."""

    __slots__ = ("after", "undo")

    after: list[Callable[[], object]]
    undo: list[Callable[[], object]]

    def leave(self, failed: bool) -> None:
        """Commit or roll back."""
        self.database.finish(self, failed)


class Write(Level):
    """The block of a write."""

    __slots__ = ()

    def __enter__(self) -> Connection:
        return self.database.begin(self)
