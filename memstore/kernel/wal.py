"""The write-ahead log: kept short without losing a commit, emptied when text must leave no trace.

1. SQLite 3.7.0 to 3.51.2 can lose acknowledged commits when one connection checkpoints while another resets the log. So
   nothing checkpoints by itself (`wal_autocheckpoint = 0`), and ours is guarded: the writer holds BEGIN IMMEDIATE, which a
   reset would need, while a sibling connection runs a PASSIVE checkpoint.
2. The first commit after a whole checkpoint starts the log anew and cuts the file to `LOG_KEPT`, which later commits write over:
   growing a file costs an eighth of an append. A longer file is one that has more to copy. TRUNCATE is not used: under the
   guard it is busy, without the guard it is the race of 1. Emptying is: guarded checkpoint until every frame is copied, then
   commit one small row with `journal_size_limit = 0`.
3. What must be emptied is marked in the file in the transaction that deletes, so that a crash or a reader that pins the log
   only delays it: a later commit, open or close tries again, and `check()` and `stats()` say what is owed.
4. `secure_delete` overwrites a row where it lies, not the copies that SQLite left in the unused bytes of a page when it moved the
   row to another. What must be gone altogether also owes a VACUUM, which writes every page anew; the log is emptied after it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from . import files
from .blocks import Borrow, Hold
from .driver import FAILURES, is_busy
from .errors import StoreError

if TYPE_CHECKING:
    from .connection import Connection, Database

LOOK_EVERY = 16  # commits between two looks at the file's size
LOOK_ROWS = 1000  # or rows changed
FRAME_HEADER = 24
LOG_HEADER = 32
OWED = "SELECT 1 FROM meta WHERE key IN ('scrub_owed', 'vacuum_owed')"


class WriteAheadLog:
    """Checkpoints and the emptying of one database's log; all of it runs while the writer's lock is held."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits = 0
        self._changes = 0
        self._size = 0  # of a file that the last checkpoint has left too long; 0 at first, so that one found long is soon copied
        self.owed = False  # learnt from the file at open

    def committed(self, writer: Connection) -> None:
        """Count a commit and checkpoint when it is time; a failure is left for the next one, the commit stands."""
        if self._database.in_memory:
            return
        self._commits += 1
        if self._commits % LOOK_EVERY and writer.raw.total_changes - self._changes < LOOK_ROWS:
            return
        self._changes = writer.raw.total_changes
        size = files.wal_size(self._database.place)
        if size < self._size:
            self._size = 0  # it has begun anew since
        if self.owed:
            self._empty(writer, time.monotonic())
        elif size - self._size > files.LOG_KEPT:
            self.checkpoint(writer)
            self.owed = self._marked(writer)  # by a process that has gone: emptied at the next look

    def look_soon(self) -> None:
        """Look at the first commit of a new writer: a forked child may end without closing, before it has made `LOOK_EVERY`."""
        self._commits = -1
        self._changes = 0  # of the new connection

    def checkpoint(self, writer: Connection) -> tuple[int, int] | None:
        """Copy as `copy` does, or return None: the log still holds every commit, and whoever has committed need not hear of it."""
        try:
            return self.copy(writer)
        except (StoreError, MemoryError, *FAILURES):
            return None

    def copy(self, writer: Connection) -> tuple[int, int]:
        """Copy what the readers allow from the log into the file; (frames, copied). Raises where somebody else writes."""
        try:
            with Borrow(self._database) as sibling:
                try:
                    writer.raw.execute("BEGIN IMMEDIATE")
                    _, frames, copied = sibling.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                finally:
                    if writer.raw.in_transaction:
                        writer.raw.execute("ROLLBACK")
        finally:
            size = files.wal_size(self._database.place)
            self._size = size if size > files.LOG_KEPT else 0
        return frames, copied

    def flush(self) -> None:
        """Checkpoint from outside of a write."""
        database = self._database
        if database.in_memory:
            return
        deadline = time.monotonic() + database.timeout
        with Hold(database, deadline):
            self.checkpoint(database.writer or database.open_writer(deadline))

    def pinned(self) -> int | None:
        """Bytes of the log that readers keep from being copied; None where that cannot be tried now."""
        database, now = self._database, time.monotonic()
        if database.read_only or database.in_transaction:
            return None
        try:
            with Hold(database, now):
                writer = database.writer or database.open_writer(now)
                frames, copied = self.copy(writer)
                return (frames - copied) * (FRAME_HEADER + int(writer.value("PRAGMA page_size")))
        except (StoreError, MemoryError, *FAILURES):
            return None

    # -- emptying ---------------------------------------------------------------------------------------------------

    def owe(self, connection: Connection, *, vacuum: bool = False) -> None:
        """Mark, inside the transaction that deletes, that the log must be emptied after it, with `vacuum` the unused bytes of pages too."""
        if vacuum or not self._database.in_memory:  # in memory there is no log, but a snapshot copies whole pages
            connection.many(
                """
                INSERT INTO meta(key, value) VALUES (?, hex(randomblob(8)))
                ON CONFLICT(key) DO UPDATE SET value = excluded.value
                """,
                [("scrub_owed",), ("vacuum_owed",)] if vacuum else [("scrub_owed",)],
            )
            self._database.after_commit(self.scrub)

    def scrub(self) -> None:
        """Empty the log within the store's timeout, or leave it owed."""
        database = self._database
        deadline = time.monotonic() + database.timeout
        with Hold(database, deadline):
            self._empty(database.writer or database.open_writer(deadline), deadline)

    def vacuum(self, writer: Connection) -> None:
        """Write all that the file holds into new pages. Raises where somebody else writes."""
        mark = writer.raw.execute("SELECT value FROM meta WHERE key = 'vacuum_owed'").fetchone()
        writer.raw.execute("VACUUM")
        if mark is not None:  # never that of somebody who has erased since; the log is still owed
            writer.raw.execute("DELETE FROM meta WHERE key = 'vacuum_owed' AND value = ?", mark)

    def settle(self) -> None:
        """Finish what is owed without waiting, at open and before close; a handle of few commits copies a long log here."""
        database = self._database
        if database.in_memory or database.read_only:
            return
        if self.owed or (database.writer is not None and self._marked(database.writer)):
            self._empty(database.writer or database.open_writer(time.monotonic()), time.monotonic())
        elif database.writer is not None and files.wal_size(database.place) > files.LOG_KEPT:
            self.checkpoint(database.writer)

    def _marked(self, writer: Connection) -> bool:
        try:
            return writer.value(OWED) is not None
        except StoreError:
            return self.owed

    def _empty(self, writer: Connection, deadline: float) -> None:
        self.owed = True
        while True:
            try:
                if self._restart(writer):
                    self.owed = False
                    return
            except (StoreError, MemoryError, *FAILURES) as error:
                if not is_busy(error):
                    return  # a failing disk does not get well by waiting; the mark in the file stays
            if time.monotonic() >= deadline or threading.get_ident() in self._database.lent.values():
                return  # a reader of this very thread would pin the log for as long as we wait
            time.sleep(0.005)

    def _restart(self, writer: Connection) -> bool:
        """One round: copy every frame, then commit a row that makes the log begin anew, cut to what it holds."""
        mark = writer.raw.execute("SELECT value FROM meta WHERE key = 'scrub_owed'").fetchone()
        # Asked second: whoever owes both has written both at once, so the log's mark cannot go while this one is overlooked.
        if writer.raw.execute("SELECT 1 FROM meta WHERE key = 'vacuum_owed'").fetchone() is not None:
            self.vacuum(writer)
        if self._database.in_memory:
            writer.raw.execute("DELETE FROM meta WHERE key = 'scrub_owed'")
            return True
        before = self.copy(writer)
        if before[0] != before[1]:
            return False
        try:
            writer.raw.execute("PRAGMA journal_size_limit = 0").fetchall()
            writer.raw.execute("BEGIN IMMEDIATE")
            writer.raw.execute("INSERT INTO meta(key, value) VALUES ('scrubs', '1') ON CONFLICT(key) DO UPDATE SET value = value + 1")
            writer.raw.execute("COMMIT")
        finally:
            if writer.raw.in_transaction:
                writer.raw.execute("ROLLBACK")
            writer.raw.execute(f"PRAGMA journal_size_limit = {files.LOG_KEPT}").fetchall()
        after = self.copy(writer)
        page = writer.raw.execute("PRAGMA page_size").fetchone()[0]
        # Had the log not begun anew, the commit would have made it longer; and where we began it, it is cut to its own frames.
        # Where another process was first, it is not: then the next round empties what that one has written.
        began = after[0] <= max(before[0], 1)
        cut = files.wal_size(self._database.place) <= LOG_HEADER + after[0] * (FRAME_HEADER + page)
        if began and cut and mark is not None:
            # Only now, for a crash before must leave it owed, and never the mark of somebody who has deleted since.
            writer.raw.execute("DELETE FROM meta WHERE key = 'scrub_owed' AND value = ?", mark)
        return began and cut
