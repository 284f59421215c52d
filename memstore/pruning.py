"""Making a store smaller: what is old goes, and its space goes back to the disk.

1. What goes, goes whole and oldest first: a conversation with its messages, a run, an event from the front of the log.
2. It goes from all rooms in one transaction, with one event that says so. How far a byte limit reaches is measured inside of it,
   by pages: nothing is estimated but where to look next.
3. A trial is the same transaction rolled back, so it tells what would happen.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .audit.erased import RETIRED, own_salt, remember
from .kernel import Invalid, NotSupported, Prunable, Record, SchemaTooNew, StoreError, record, upkeep, values
from .kernel.blocks import Read
from .kernel.room import ensure, rooms_in_file
from .kernel.schema import Schema, quote, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .kernel import Connection
    from .kernel.connection import Database
    from .store import Store

#: Tables that no prune touches, and why.
APPEND_ONLY = {
    "backups": ("context_backups", "a context resumes from them; erase(conversation_id=...) takes those of a conversation along"),
    "evals": ("promotions", "the active model follows from them"),
}
MARGIN = 4  # pages that the events about the prune may take; a round aims at as many, each that follows at twice as many


@record
class PruneReport(Record):
    """What a prune removed, by table, and what it kept and why; the bytes are of the file, its log left out."""

    removed: dict[str, int]
    kept: list[str]
    bytes_before: int
    bytes_after: int
    dry_run: bool
    audit_seq: int | None


class Limits(NamedTuple):
    """What may stay: how many of each kind, the time from which on, bytes in all."""

    keep_last: int | None
    since: float | None
    max_bytes: int | None


def limits(keep_last: object, max_age: object, max_bytes: object, now: float) -> Limits:
    """The limits that were given, checked; there must be one."""
    if keep_last is None and max_age is None and max_bytes is None:
        raise Invalid("prune() needs to know what may stay: give keep_last=, max_age= in seconds or max_bytes=")
    age = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    since = None if age is None else now - values.real("max_age", age, low=0.0)
    count = values.optional(values.integer, "keep_last", keep_last, low=0)
    return Limits(count, since, values.optional(values.integer, "max_bytes", max_bytes, low=0))


class _Trial(Exception):
    """Raised to undo what was done."""


def prune(store: Store, database: Database, room: str | None, limits: Limits, event: dict[str, Any], dry_run: bool) -> PruneReport:
    """Remove what the limits say, then give its space back."""
    if database.in_transaction:
        raise Invalid("prune() cannot run inside transaction(); leave the block first")
    names = _rooms(database, room)
    for name in names:
        ensure(database, _schema(name))
    work = _Work(store, database, [name for name in names if room is None or name == room], room)
    try:
        with store.transaction():
            report = work.report(limits, event, dry_run)
            if dry_run or not report.removed:
                raise _Trial
    except _Trial:
        pass
    if not dry_run and (report.removed or limits.max_bytes is not None):
        _give_back(database, report)
    return report


def _rooms(database: Database, room: str | None) -> list[str]:
    """The rooms of the file, all of which this version must know, and whether the one that is asked for can be pruned."""
    from .store import ROOMS

    present = rooms_in_file(database)
    newer = next((name for name in present if name not in ROOMS), None)
    if newer is not None:
        raise SchemaTooNew(f"the room {newer} was made by a newer memstore: upgrade memstore; nothing was removed")
    if room is not None and room not in ROOMS:
        raise Invalid(f"there is no room {values.shorten(room)}{values.suggest(room, ROOMS)}; there are {', '.join(ROOMS)}")
    if room == "backups":
        table, why = APPEND_ONLY[room]
        raise Invalid(f"backups cannot be pruned: {table} is only ever appended to, for {why}")
    return [name for name in ROOMS if name in present]


def _schema(name: str) -> Schema:
    schema: Schema = import_module(f"memstore.{name}").SCHEMA
    return schema


class _Work:
    """One prune, inside its transaction."""

    def __init__(self, store: Store, database: Database, names: Sequence[str], room: str | None) -> None:
        self.store = store
        self.database = database
        self.names = names
        self.room = room
        self.removed: Counter[str] = Counter()

    def report(self, limits: Limits, event: dict[str, Any], dry_run: bool) -> PruneReport:
        """Remove, write the event and tell of both."""
        rooms: list[Any] = [getattr(self.store, name) for name in self.names if name != "backups"]
        kinds: list[Prunable] = [kind for room in rooms for kind in room.prunable]
        with Read(self.database, False) as connection:  # inside a transaction it is the writer
            before = connection.value("PRAGMA page_count") * connection.value("PRAGMA page_size")
            self.store.audit.begin()  # its tables take room too
            for kind in kinds:
                self._remove(connection, kind, kind.due(connection, limits.keep_last, limits.since), event)
            kept = [] if limits.max_bytes is None else self._fit(connection, kinds, limits.max_bytes, event)
            kept += self._kept(connection)
            if self.removed["conversations"] and "backups" in rooms_in_file(self.database):
                self.store.backups.unplace()
            seq = self._tell(limits, event) if self.removed else None
            if seq is not None:
                self.database.wal.owe(connection)
            after = upkeep.packed_size(connection)
        return PruneReport(dict(+self.removed), kept, before, after, dry_run, None if dry_run else seq)

    def _remove(self, connection: Connection, kind: Prunable, count: int, event: dict[str, Any]) -> None:
        if count:
            if kind.retired is not None:
                remember(connection, own_salt(connection), ((RETIRED, id) for (id,) in connection.rows(kind.retired, (count,))))
            self.removed.update(kind.remove(connection, count, {"reason": event["note"], "actor": event["actor"]}))

    def _fit(self, connection: Connection, kinds: list[Prunable], max_bytes: int, event: dict[str, Any]) -> list[str]:
        """Remove what is oldest until the rest takes no more than so many bytes."""
        margin = MARGIN * connection.value("PRAGMA page_size")
        aim = margin
        while (size := self._size(connection)) + (margin if self.removed else 0) > max_bytes:
            oldest = _oldest(connection, kinds, max(size + margin - max_bytes, aim))
            if not oldest:
                what = "the file" if self.room is None else self.room
                return [f"{what} takes {size:,} bytes, more than max_bytes: nothing is left in it that prune() removes"]
            for kind in kinds:
                self._remove(connection, kind, oldest[kind.table], event)
            aim *= 2
        return []

    def _size(self, connection: Connection) -> int:
        if self.room is None:
            return upkeep.packed_size(connection)
        sizes = upkeep.table_bytes(self.database)
        if sizes is None:
            raise NotSupported("this SQLite was built without dbstat and cannot tell the bytes of a room; leave room= out, or max_bytes=")
        return sum(sizes.get(table, 0) for name in self.names for table in tables(_schema(name)))

    def _kept(self, connection: Connection) -> list[str]:
        """What is left alone, where there is any of it."""
        said = []
        for table, why in (APPEND_ONLY[name] for name in self.names if name in APPEND_ONLY):
            rows = connection.value(f"SELECT count(*) FROM {quote(table)}")
            if rows:
                said.append(f"{table}: {rows:,} kept, they are only ever appended to: {why}")
        if "corrections" in self.names:
            live = connection.value("SELECT count(*) FROM corrections WHERE superseded_at IS NULL")
            if live:
                said.append(f"corrections: {live:,} live, which stay and fade: corrections.prune() removes what has faded")
        return said

    def _tell(self, limits: Limits, event: dict[str, Any]) -> int:
        limited = {name: value for name, value in limits._asdict().items() if value is not None}
        details = {"removed": dict(+self.removed), "room": self.room, **limited}
        return self.store.audit.append("store.prune", entity_kind="store", details=details, **event).seq


def _oldest(connection: Connection, kinds: Iterable[Prunable], size: int) -> Counter[str]:
    """How many of each kind are the oldest of all that take about so many bytes."""
    chosen: Counter[str] = Counter()
    for _, table, weight in heapq.merge(*(kind.units(connection) for kind in kinds)):
        chosen[table] += 1
        size -= weight
        if size <= 0:
            break
    return chosen


def _give_back(database: Database, report: PruneReport) -> None:
    """The rows are gone whatever happens here, so that no error may say they are not."""
    try:
        upkeep.give_back(database)
    except StoreError as error:
        report.kept.append(f"free pages stay in the file until the next prune() or optimize(): {error}")
    report.bytes_after = upkeep.file_sizes(database)[0]  # type: ignore[misc]
    held = 0 if database.in_memory else os.stat(database.place).st_size - report.bytes_after
    if held > 0:
        report.kept.append(f"the file is {held:,} bytes longer until whoever reads an older state has ended and its log is copied")
