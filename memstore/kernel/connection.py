"""Connections, and transactions that are whole or did not happen.

1. One writer behind a lock that counts per thread; readers are lent, each to one block at a time. Two threads are never inside
   one sqlite3 connection: on Python 3.12 and 3.13 that returns wrong rows in silence.
2. A transaction belongs to a (thread, task). Writing starts with BEGIN IMMEDIATE and our own jittered retry: a deferred
   transaction that upgrades fails at once whatever the timeout, and SQLite's busy handler starves writers.
3. SQLite may roll a transaction back under us (disk full, I/O error, out of memory). Every statement inside a write looks
   first whether the transaction is still there, so that nothing can ever commit alone behind its back.
4. Results are fetched whole inside the block; no cursor leaves it. A cursor left open pins the write-ahead log.
5. An interrupt may arrive anywhere. A block notes what it takes in the same breath as taking it, and giving back may be
   repeated until it is done: see blocks.py.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import files
from .blocks import Block, Hold, Level
from .cipher import Cipher, Unencrypted
from .driver import FAILURES, aborted, primary_code, translate
from .errors import Busy, Closed, Invalid, OutcomeUnknown, ReadOnly, Replaced, StoreError
from .values import real
from .wal import WriteAheadLog

Row = tuple[Any, ...]

FAR = 2**48 / 1000  # seconds: no clock goes beyond, for ids hold its milliseconds in 48 bits


class Connection:
    """A connection inside its block: statements go in, whole results come out."""

    __slots__ = ("cipher", "guarded", "raw", "shadows")

    def __init__(self, raw: sqlite3.Connection, cipher: Cipher | None = None) -> None:
        self.raw = raw
        self.cipher = cipher  # of the file; None where nothing in it is encrypted
        self.guarded = False  # True while a write is open: then no transaction means that SQLite rolled it back
        self.shadows: set[str] = set()  # rooms that this read-only connection answers for with empty tables

    def _execute(self, sql: str, params: Sequence[Any]) -> sqlite3.Cursor:
        if self.guarded and not self.raw.in_transaction:
            raise aborted()
        return self.raw.execute(sql, params)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        try:
            return self._execute(sql, params).fetchall()
        except FAILURES as error:
            raise translate(error) from error

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row of a query, or None."""
        try:
            cursor = self._execute(sql, params)
            try:
                first: Row | None = cursor.fetchone()
            finally:
                cursor.close()  # an interrupt would leave it in the traceback, with the state that it has seen
        except FAILURES as error:
            raise translate(error) from error
        return first

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        first = self.row(sql, params)
        return None if first is None else first[0]

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        try:
            return self._execute(sql, params).rowcount
        except FAILURES as error:
            raise translate(error) from error

    def insert(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run an INSERT and return the integer key of the row."""
        try:
            return self._execute(sql, params).lastrowid or 0
        except FAILURES as error:
            raise translate(error) from error

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run one statement for many rows and return how many it changed."""
        try:
            if self.guarded and not self.raw.in_transaction:
                raise aborted()
            return self.raw.executemany(sql, rows).rowcount
        except FAILURES as error:
            raise translate(error) from error


class Database:
    """One open file: its writer, its readers, its transaction."""

    def __init__(
        self,
        place: str,
        *,
        read_only: bool,
        durability: str,
        timeout: float,
        clock: Callable[[], float],
        cipher: Cipher | None = None,
    ) -> None:
        self.place = place
        self.cipher = cipher
        self.guard: Cipher | Unencrypted | None = None  # asked at the start of every read and write; nothing once all is settled
        self.read_only = read_only
        self.durability = durability
        self.timeout = timeout
        self.clock = clock
        self.in_memory = place == files.MEMORY
        self.name = place if self.in_memory else os.path.basename(place)
        self.ready: set[str] = set()  # rooms whose schema this handle has seen in place
        self.born: set[str] = set()  # rooms that a transaction under way has made: nobody else can see them yet
        self.store_id = ""
        self.identity = None if self.in_memory else files.identity(place)
        self.wal = WriteAheadLog(self)
        self.pristine = False  # the file is a snapshot that nobody has written to: another one may replace it
        self.unusable: str | None = None  # why no call can be answered any more
        self.process = os.getpid()
        self.renew_locks()

    # -- locks and life ---------------------------------------------------------------------------------------------

    def renew_locks(self) -> None:
        """Start with nothing held and nothing open, at birth and in a forked child."""
        # An RLock, because it alone can tell after an interrupt whether its acquire() had happened.
        self._lock = threading.RLock()
        self._owns: Callable[[], bool] = self._lock._is_owned  # type: ignore[attr-defined]
        self._pool = threading.RLock()  # re-entrant for a signal handler that forks
        self._owner: tuple[int, object] | None = None
        self._depth = 0  # blocks that count on the lock; it is acquired by the first and released after the last
        self._levels: list[Level] = []
        self._now: float | None = None
        self.writer: Connection | None = None
        self.idle: dict[Connection, None] = {}
        self.lent: dict[Connection, int] = {}
        self.forking: dict[int, None] = {}  # threads in fork(): no reader is lent until they are through

    def check_usable(self) -> None:
        """Raise where this handle cannot answer: closed, forked, or the file is another one now."""
        if self.unusable is not None:
            raise Closed(self.unusable)
        if self.process != os.getpid():
            raise Closed(f"{self.name} was opened by process {self.process}; open it again in this one")
        if self.identity is not None and files.identity(self.place) != self.identity:
            raise Replaced(f"{self.place} was moved, deleted or replaced while open; close this store and open the path again")

    def acquire(self, block: Block, deadline: float) -> None:
        """Keep every other writer of this handle out until the block releases, or be Busy at the deadline."""
        owner = self._owner
        if owner is not None and owner[0] == threading.get_ident() and owner[1] is not _task():
            raise Invalid("another task of this thread is inside transaction(); leave it before awaiting, or use store.run(function)")
        try:
            if self.forking and not self._owns():
                self._let_fork(deadline)
            if not self._owns() and not self._lock.acquire(blocking=False):
                patience = max(0.0, min(deadline - time.monotonic(), threading.TIMEOUT_MAX))
                if not self._lock.acquire(timeout=patience):
                    raise self._busy()
            self._depth += 1
            block.locked = True
        except BaseException:
            self.release(block)
            raise

    def _let_fork(self, deadline: float) -> None:
        """Step back for a thread that forks: writers who take the lock again at once would keep it waiting for ever."""
        while self.forking and threading.get_ident() not in self.forking:
            if time.monotonic() >= deadline:
                raise self._busy()
            time.sleep(0.0005)

    def release(self, block: Block) -> None:
        """Let writers in again, if the block has kept them out."""
        if block.locked:
            block.locked = False
            self._depth -= 1
        if self._depth == 0 and self._owns():
            self._lock.release()

    def _busy(self) -> Busy:
        return Busy(f"{self.name} is held by another writer ({self.timeout:.1f} s); raise timeout= or look for a long transaction()")

    def close(self) -> None:
        """Close every connection; the last one to leave a file empties its write-ahead log. After an interrupt it may be called again."""
        if self.process != os.getpid() or (self.unusable is not None and self.writer is None and not self.idle):
            return
        if self.in_transaction:
            raise Invalid("close() inside transaction(); leave the block first")
        with Hold(self, time.monotonic() + self.timeout):
            if self.writer is not None and self.unusable is None:
                self.wal.settle()
            with self._pool:
                self.unusable = f"{self.name} is closed; open it again with open_store()"
                self.drop_connections()

    def drop_connections(self) -> None:
        """Close what is not lent; what is lent closes when it comes back."""
        while self.idle:
            self.idle.popitem()[0].raw.close()
        if self.writer is not None:
            writer, self.writer = self.writer, None
            writer.raw.close()

    def step_back(self) -> None:
        """Keep new readers and writers waiting until this thread has forked."""
        with self._pool:  # whoever is in it has his reader, or has yet to ask
            self.forking[threading.get_ident()] = None

    def go_on(self) -> None:
        """Let them in again."""
        self.forking.pop(threading.get_ident(), None)

    # -- who is calling ---------------------------------------------------------------------------------------------

    def at_work(self) -> bool:
        """Whether this thread has the writer's lock or is taking a reader: below a signal handler it may be in the middle of either."""
        return self._owns() or self._pool._is_owned()  # type: ignore[attr-defined]

    @property
    def in_transaction(self) -> bool:
        """Whether this thread and task is inside a write."""
        owner = self._owner
        return owner is not None and owner[0] == threading.get_ident() and owner[1] is _task()

    @property
    def now(self) -> float:
        """Time of the transaction, fixed when first asked for; the clock outside one."""
        if not self.in_transaction:
            return self._tick()
        if self._now is None:
            self._now = self._tick()
        return self._now

    def _tick(self) -> float:
        now = self.clock()
        if type(now) is float and 0.0 < now < FAR:  # as clocks do
            return now
        return real("what the clock= of this store returned", now, low=-FAR, high=FAR)

    # -- writing ----------------------------------------------------------------------------------------------------

    def begin(self, level: Level) -> Connection:
        """Enter a write: BEGIN IMMEDIATE outside, SAVEPOINT inside one's own."""
        if level in self._levels:
            raise Invalid("this transaction() has been entered already; call transaction() again for a block inside it")
        level.after, level.undo = [], []
        if self.in_transaction:
            return self._begin_nested(level)
        if self.read_only:
            raise ReadOnly(f"{self.name} was opened with read_only=True")
        deadline = time.monotonic() + self.timeout
        try:
            self.acquire(level, deadline)
            self.check_usable()
            writer = self.writer or self.open_writer(deadline)
            if writer.raw.in_transaction:
                writer.raw.execute("ROLLBACK")
            self.begin_immediate(writer, deadline)
            writer.guarded = True
            self._now = None
            self._owner = (threading.get_ident(), _task())
            self._levels = [level]
            if self.guard is not None:
                self.guard.confirm(writer, self, write=True)
        except BaseException as error:
            self._abandon(level)
            if isinstance(error, FAILURES):
                raise translate(error) from error
            raise
        return writer

    def begin_immediate(self, writer: Connection, deadline: float) -> None:
        """Begin a write, waiting for other processes."""
        while True:
            try:
                writer.raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY:
                    raise translate(error) from error
                if time.monotonic() >= deadline:
                    raise self._busy() from error
            time.sleep(0.00005 + time.perf_counter_ns() % 950 / 1e6)  # jitter; importing random would cost more than it gives

    def _begin_nested(self, level: Level) -> Connection:
        writer = self.writer
        if writer is None:
            raise aborted()
        writer.run(f"SAVEPOINT level{len(self._levels)}")
        self._levels.append(level)
        return writer

    def finish(self, level: Level, failed: bool) -> None:
        """Leave a write: commit or roll back its level."""
        if level not in self._levels:
            self._abandon(level)  # interrupted on its way in or out
            if not failed:
                self.check_usable()
                raise aborted()
            return
        while self._levels[-1] is not level:
            self._finish_nested(self._levels[-1], failed=True)  # nobody has seen it end: ExitStack interrupted
        if level is not self._levels[0]:
            self._finish_nested(level, failed)
            return
        after: list[Callable[[], object]] = []
        try:
            if not failed:
                self._commit()
                after, self._levels = level.after, []
        finally:
            self._abandon(level)
        for action in dict.fromkeys(after):  # a bound method once, however often it was asked for
            try:
                action()
            except (StoreError, MemoryError):
                # The transaction has happened and an exception would say that it has not. What runs here is derived or
                # remembered as owed in the file, so whoever comes next does it.
                continue

    def _finish_nested(self, level: Level, failed: bool) -> None:
        writer, name = self.writer, f"level{len(self._levels) - 1}"
        alive = writer is not None and writer.raw.in_transaction
        try:
            if writer is not None and alive and failed:
                writer.run(f"ROLLBACK TO {name}")
            if writer is not None and alive:
                writer.run(f"RELEASE {name}")
        except (StoreError, MemoryError):
            # The savepoint went in an interrupted exit, or there is no memory: a level left open would take what is written
            # after it along, so the whole goes.
            self._roll_back()
            alive = False
        if alive and not failed:
            outer = self._levels[-2]
            outer.after += level.after
            outer.undo += level.undo
            del self._levels[-1]
            return
        _undo(level)
        del self._levels[-1]
        if not failed:
            raise aborted()

    def _roll_back(self) -> None:
        """End the transaction, and where even that fails the connection with it."""
        try:
            if self.writer is not None and self.writer.raw.in_transaction:
                self.writer.raw.execute("ROLLBACK")
        except (sqlite3.Error, MemoryError):
            self._discard_writer()

    def _commit(self) -> None:
        writer, deadline = self.writer, None
        while True:
            if writer is None or not writer.raw.in_transaction:
                raise aborted()
            try:
                if self.pristine:
                    writer.raw.execute("DELETE FROM meta WHERE key = 'snapshot'")
                writer.raw.execute("COMMIT")
                break
            except sqlite3.Error as error:
                deadline = time.monotonic() + self.timeout if deadline is None else deadline
                if primary_code(error) == sqlite3.SQLITE_BUSY and time.monotonic() < deadline:
                    time.sleep(0.001)
                    continue
                raise self._failed_commit(error) from error
            except MemoryError as error:
                if self.in_memory:  # there to discard the writer would be to lose the store
                    raise
                raise self._unknown(error) from error  # memory is needed after the commit is written too
        writer.guarded = self.pristine = False
        self.wal.committed(writer)

    def _failed_commit(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF != sqlite3.SQLITE_IOERR:
            return translate(error)
        if code != sqlite3.SQLITE_IOERR_WRITE:
            return self._unknown(error)
        self._discard_writer()
        return translate(error)  # the frame that would have made it a commit is the last one written

    def _unknown(self, error: BaseException) -> OutcomeUnknown:
        self._discard_writer()  # after a failed write the handle's cache may differ from the disk
        what = "memory ran out" if isinstance(error, MemoryError) else f"the disk failed ({error})"
        return OutcomeUnknown(f"{what} while {self.name} was committing; read before retrying")

    def _discard_writer(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.raw.close()

    def _abandon(self, level: Level) -> None:
        """Leave nothing of an outermost level behind, however far it had come."""
        if not level.locked:
            self.release(level)
            return
        levels, self._levels, self._owner = self._levels, [], None
        try:
            if self.writer is not None:
                self.writer.guarded = False
            self._roll_back()
        finally:
            try:
                for undone in reversed(levels):
                    _undo(undone)
            finally:
                self.release(level)

    def after_commit(self, action: Callable[[], object]) -> None:
        """Run `action` once the outermost write has committed; a rollback forgets it."""
        self._levels[-1].after.append(action)

    def on_rollback(self, action: Callable[[], object]) -> None:
        """Run `action` if the level being written now is rolled back."""
        self._levels[-1].undo.append(action)

    # -- reading ----------------------------------------------------------------------------------------------------

    def lend(self, block: Block) -> Connection:
        """Take a reader; inside one's own write, the writer; of a :memory: store, its one connection and the lock."""
        if self.in_transaction:
            if self.writer is None:
                raise aborted()
            return self.writer
        if not self.in_memory:
            return self.borrow(block)
        deadline = time.monotonic() + self.timeout
        self.acquire(block, deadline)
        self.check_usable()
        return self.writer or self.open_writer(deadline)

    def borrow(self, block: Block) -> Connection:
        """Take a reader from the pool, once nobody forks."""
        self.check_usable()
        thread = threading.get_ident()
        deadline = None
        while True:
            with self._pool:
                if self.unusable is not None:
                    raise Closed(self.unusable)
                # A fork waits for a thread that writes or has a reader, so that thread gets another.
                if not self.forking or self._owns() or thread in list(self.lent.values()):
                    if not self.idle:
                        self.idle[self.open_reader()] = None
                    reader = list(self.idle)[-1]  # in one go, for readers come back without the lock
                    # No call between here and the end of the block: an interrupt sees the reader in the pool, or lent.
                    block.reader = reader
                    self.lent[reader] = thread
                    del self.idle[reader]
                    return reader
            # Not inside the lock, which waiters with a shorter time would have to wait for.
            deadline = time.monotonic() + self.timeout if deadline is None else deadline
            if time.monotonic() >= deadline:
                waited = f"{self.name} lends no reader while another thread forks ({self.timeout:.1f} s)"
                raise Busy(f"{waited}; raise timeout= or fork when nobody reads")
            time.sleep(0.0005)

    def give_back(self, block: Block) -> None:
        """Return the reader of a block to the pool."""
        reader = block.reader
        if reader is None or reader not in self.lent:  # in the child of a fork it is the parent's
            return
        spent = self.unusable is not None or bool(reader.shadows)
        try:
            if reader.raw.in_transaction:
                reader.raw.execute("ROLLBACK")
        except (sqlite3.Error, MemoryError):
            spent = True
        if spent:
            reader.raw.close()
        else:
            self.idle[reader] = None  # again no call, and so no lock
        del self.lent[reader]
        block.reader = None

    # -- opening ----------------------------------------------------------------------------------------------------

    def open_writer(self, deadline: float) -> Connection:
        """Connect the writer; the caller holds the lock."""
        if self.in_memory and self.store_id:
            raise Closed("the :memory: store was lost with its connection; nothing of it can be read any more")
        raw: sqlite3.Connection | None = None
        try:
            raw = files.connect(self.place)
            files.set_up_writer(raw, self.place, self.durability, deadline)
        except BaseException as error:
            if raw is not None:
                raw.close()
            if isinstance(error, FAILURES):
                raise translate(error) from error
            raise
        self.wal.look_soon()
        self.writer = Connection(raw, self.cipher)
        return self.writer

    def open_reader(self) -> Connection:
        """Connect one more reader."""
        raw: sqlite3.Connection | None = None
        try:
            raw = files.connect(self.place, mode="ro" if self.read_only else "rw")
            if self.read_only:
                raw = self._readable(raw)
            files.set_up_reader(raw, timeout=min(self.timeout, 60.0), read_only=self.read_only)
        except BaseException as error:
            if raw is not None:
                raw.close()
            if isinstance(error, FAILURES):
                raise translate(error) from error
            raise
        return Connection(raw, self.cipher)

    def _readable(self, raw: sqlite3.Connection) -> sqlite3.Connection:
        """Fall back to immutable in a folder without write permission, where SQLite cannot make its shared memory."""
        try:
            files.patiently(raw, "PRAGMA schema_version", time.monotonic() + self.timeout)
            return raw
        except sqlite3.OperationalError as error:
            if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            raw.close()
            side = files.unfinished(self.place)
            if side is not None:
                # immutable would ignore it: an older state would look like the newest, or half a change like a whole one
                raise ReadOnly(f"{self.place} has a {side} file, which takes writing to be read: open it once without read_only") from error
        return files.connect(self.place, mode="immutable")


def _undo(level: Level) -> None:
    for action in reversed(level.undo):
        action()


def _task() -> object:
    """The current asyncio task, without importing asyncio for those who do not use it."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return None
    loop = tasks.events._get_running_loop()  # current_task() alone would raise where none runs, which takes a microsecond
    return None if loop is None else tasks.current_task(loop)
