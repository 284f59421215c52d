"""A store on its way out: one folder of lines that says all there is, and the same store always in the same bytes.

1. All of it is one state: a single snapshot, read in pages by key, so that a million rows take no more memory than a thousand.
2. The folder is written beside its place and renamed when it is complete and on the disk: there is all of it or nothing.
3. What is derived from other rows stays behind, as do times, hosts and paths.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import __version__
from ..kernel import Busy, Carried, Corrupt, Exists, Invalid, Record, Schema, SchemaTooNew, path_of, record, values
from ..kernel.blocks import Read
from ..kernel.carrying import shapes, without
from ..kernel.files import sync, unwritable
from ..kernel.room import ensure
from ..kernel.schema import KERNEL, needs_upgrade, quote, state
from . import lines, owned
from .folder import EXCERPT, MANIFEST, Entry, Manifest, manifest_text

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Row
    from ..store import Store

PAGE_ROWS = 1000
PAGE_BYTES = 1_000_000  # rows may be large: pages begin small and grow while they are light


@record
class ExportReceipt(Record):
    """What was exported: where it lies, of which store, how many rows of each table, and the bytes of all files."""

    path: str
    store_id: str
    rows: dict[str, int]
    bytes: int


def export_store(store: Store, path: Any, user_id: str | None, progress: Callable[[int, int], object] | None) -> ExportReceipt:
    """Write a store, or what belongs to one of its users, into a new folder."""
    values.listener("progress", progress)
    values.optional(values.key, "user_id", user_id)
    target = _free(path)
    database = store._database
    if database.in_transaction:
        raise Invalid("export() inside transaction() would write what may yet be undone; leave the block first")
    for schema in known_rooms(store).values():
        ensure(database, schema)
    part = os.path.join(os.path.dirname(target), f".{os.urandom(3).hex()}.part")
    try:
        os.mkdir(part, 0o700)
        with Read(database, True) as connection:
            writer = Writer(store, connection, part, user_id, progress)
            receipt = writer.write(target, _in_snapshot(connection, database.read_only))
        sync(part)
        if os.path.lexists(target):  # an empty folder would be replaced
            raise Exists(f"{target} has come into being meanwhile; nothing was exported")
        os.rename(part, target)
        sync(os.path.dirname(target))
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return receipt


def _in_snapshot(connection: Connection, read_only: bool) -> dict[str, Schema]:
    """The schemas of the rooms that the snapshot has; others may have changed them since they were looked at."""
    found = present(connection)
    older = [schema for schema in found.values() if schema is not None and state(connection, schema) == "older"]
    if older and read_only:  # nobody has brought it up, and nobody will
        raise needs_upgrade(older[0])
    changed = [room for room, schema in found.items() if schema is None or state(connection, schema) != "current"]
    if changed:
        raise Busy(f"the room {changed[0]} was changed by another version of memstore meanwhile; export again")
    return {room: schema for room, schema in found.items() if schema is not None}


def known_rooms(store: Store) -> dict[str, Schema]:
    """The schemas of the rooms in the file; one of a newer memstore raises, for what it holds would be left out unseen."""
    with Read(store._database, False) as connection:
        found = present(connection)
    for room, schema in found.items():
        if schema is None:
            raise SchemaTooNew(f"a newer memstore made the room {room}, and alone can carry what it holds: upgrade memstore")
    return {room: schema for room, schema in found.items() if schema is not None}


def present(connection: Connection) -> dict[str, Schema | None]:
    """The rooms that a file has, in our order, with their schemas; None for one that this memstore does not know."""
    from ..store import ROOMS

    found = [room for (room,) in connection.rows("SELECT room FROM schema_version ORDER BY room") if room != KERNEL.name]
    ours = {room: schema_of(room) for room in ROOMS if room in found}
    return {**ours, **dict.fromkeys(room for room in found if room not in ours)}


def schema_of(room: str) -> Schema | None:
    """The schema of a room, if it is one of ours."""
    from ..store import ROOMS

    return import_module(f"memstore.{room}").SCHEMA if room in ROOMS else None


def _free(path: Any) -> str:
    """Where a new folder may come into being."""
    target = os.path.abspath(path_of(path))
    if os.path.lexists(target):
        raise Exists(f"{values.shorten(target)} exists already; export() makes a new folder, so name one that is not there yet")
    if not os.path.isdir(os.path.dirname(target)):
        raise Invalid(f"path {values.shorten(target)} is in a folder that does not exist; create that first")
    return os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))


class Writer:
    """One export under way."""

    def __init__(
        self, store: Store, connection: Connection, part: str, user_id: str | None, progress: Callable[[int, int], object] | None
    ) -> None:
        self.store = store
        self.connection = connection
        self.part = part
        self.user_id = user_id
        self.bytes = 0
        self._progress = progress
        self._done = self._total = 0

    def write(self, target: str, schemas: dict[str, Schema]) -> ExportReceipt:
        """Write every file, the manifest last."""
        chosen = {
            carried.table: (room, carried, where)
            for room, schema in schemas.items()
            for carried in schema.carried
            if (where := self._where(carried, schemas)) is not None
        }
        self._total = sum(self._count(carried, where) for _, carried, where in chosen.values())
        tables: dict[str, Entry] = {}
        versions: dict[str, int] = {}
        for table, (room, carried, where) in chosen.items():
            entry = self._file(f"{room}.{table}.jsonl", self._lines(schemas[room], carried, where))
            if entry is not None:
                tables[table] = entry
                versions[room] = schemas[room].version
        store_id = self.connection.value("SELECT value FROM meta WHERE key = 'store_id'")
        manifest = Manifest(store_id, __version__, versions, tables, self.user_id, self._excerpt(schemas))
        with self._create(MANIFEST) as file:
            self.bytes += file.write(manifest_text(manifest, schemas).encode())
        return ExportReceipt(target, store_id, {table: entry.rows for table, entry in tables.items()}, self.bytes)

    def _where(self, carried: Carried, rooms: Container[str]) -> str | None:
        return carried.where if self.user_id is None else owned.own_rows(carried.table, rooms)

    def _given(self, where: str) -> list[Any]:
        return [self.user_id] * where.count("?")

    def _count(self, carried: Carried, where: str) -> int:
        return int(self.connection.value(f"SELECT count(*) FROM {quote(carried.table)} WHERE {where}", self._given(where)))

    def _lines(self, schema: Schema, carried: Carried, where: str) -> Iterator[bytes]:
        names = shapes(schema)[carried.table].names
        owners = () if self.connection.cipher is None else tuple(name for name in carried.owner if name not in names)
        for page in self._pages(carried, (*names, *owners), where):
            opened = lines.unsealed(self.connection.cipher, carried, page)
            yield from map(lines.written, [without(row, *owners) for row in opened] if owners else opened)
            self._done += len(page)
            if self._progress is not None:
                self._progress(self._done, self._total)

    def _pages(self, carried: Carried, names: tuple[str, ...], where: str) -> Iterator[list[Row]]:
        columns, order = ", ".join(map(quote, names)), ", ".join(map(quote, carried.key))
        clause = f"({where}) AND ({order}) > ({', '.join('?' * len(carried.key))})"
        table, given, last, size = quote(carried.table), self._given(where), None, 16
        while True:
            term, params = (f"({where})", given) if last is None else (clause, [*given, *last])
            rows = self.connection.rows(f"SELECT {columns} FROM {table} WHERE {term} ORDER BY {order} LIMIT ?", (*params, size))
            if not rows:
                return
            page = [dict(zip(names, row)) for row in rows]
            yield page
            here = lines.key(page[-1], carried.key)
            if last is not None and here <= last:
                raise Corrupt(f"rows of {carried.table} come out of order, the file is damaged; check() says more")
            last = here
            weight = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
            size = max(1, size // 4) if weight > PAGE_BYTES else min(PAGE_ROWS, size * 2)

    def _excerpt(self, schemas: dict[str, Schema]) -> Entry | None:
        if self.user_id is None or "audit" not in schemas:
            return None
        found = owned.events(self.store.audit, self.connection, self.user_id, "chat" in schemas)
        return self._file(EXCERPT, (values.to_json("event", event, stored=False).encode() + b"\n" for event in found))

    # -- files ------------------------------------------------------------------------------------------------------

    def _file(self, name: str, written: Iterator[bytes]) -> Entry | None:
        """Write a file of lines; none for a table without rows."""
        first = next(written, None)
        if first is None:
            return None
        seen, rows = sha256(), 0
        with self._create(name) as file:
            for line in chain([first], written):
                seen.update(line)
                self.bytes += file.write(line)
                rows += 1
        return Entry(name, rows, seen.hexdigest())

    @contextmanager
    def _create(self, name: str) -> Iterator[BinaryIO]:
        """A new file, which is on the disk when the block has ended."""
        descriptor = os.open(os.path.join(self.part, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb", buffering=1 << 18) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
