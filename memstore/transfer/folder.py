"""An export as it lies in a folder: what its manifest says, and whether all of it is there as it was written.

Everything is read twice: once to be checked, before anything is written, and once to be taken in; that the second reading finds
the bytes of the first is checked too. Files are opened only under the names that the manifest must have, and only regular ones:
a link to a store's own file would cost this process its locks when it is closed again.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..kernel import Corrupt, Invalid, SchemaTooNew, path_of, values
from ..kernel.carrying import shapes
from . import lines

if TYPE_CHECKING:
    from ..kernel import Carried, Schema
    from ..kernel.carrying import Row

FORMAT = 1
MANIFEST = "manifest.json"
EXCERPT = "audit.excerpt.jsonl"
PAGE_ROWS = 500
PAGE_BYTES = 4_000_000
MANIFEST_BYTES = 4_000_000


class Entry(NamedTuple):
    """A file of an export, as the manifest has it."""

    file: str
    rows: int
    sha256: str


class Manifest(NamedTuple):
    """What an export says of itself."""

    store_id: str
    memstore: str
    rooms: dict[str, int]  # their schema versions
    tables: dict[str, Entry]  # by table, in the order of rooms and keys
    user_id: str | None = None  # of an export of what belongs to one user
    excerpt: Entry | None = None


def manifest_text(manifest: Manifest, rooms: dict[str, Schema]) -> str:
    """The manifest as it is written; its own digest shows whether somebody has changed it."""
    said: dict[str, Any] = {
        "format": FORMAT,
        "memstore": manifest.memstore,
        "store_id": manifest.store_id,
        "rooms": {
            room: {
                "schema": version,
                "tables": {
                    carried.table: manifest.tables[carried.table]._asdict()
                    for carried in rooms[room].carried
                    if carried.table in manifest.tables
                },
            }
            for room, version in manifest.rooms.items()
        },
    }
    if manifest.user_id is not None:
        said["user_id"] = manifest.user_id
    if manifest.excerpt is not None:
        said["excerpt"] = manifest.excerpt._asdict()
    return json.dumps({**said, "sha256": _digest(said)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _digest(said: dict[str, Any]) -> str:
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


class Folder:
    """An export to be read; `check` looks through all of it, `pages` gives the rows of a table."""

    def __init__(self, path: Any, rooms: Callable[[str], Schema | None]) -> None:
        self.place = os.path.abspath(path_of(path))
        if not os.path.isdir(self.place):
            raise Invalid(f"path {values.shorten(self.place)} is no folder; give the one that export() wrote")
        self.manifest = self._read_manifest()
        self.schemas: dict[str, Schema] = {}
        self._tables: dict[str, tuple[Schema, Carried, Entry]] = {}
        for room, version in self.manifest.rooms.items():
            self._know(room, version, rooms(room))
        self._done = 0
        self.progress: Callable[[int, int], object] | None = None

    @property
    def total(self) -> int:
        """How many rows are read, each twice."""
        return 2 * sum(entry.rows for entry in self.manifest.tables.values())

    # -- the manifest -----------------------------------------------------------------------------------------------

    def _read_manifest(self) -> Manifest:
        with self._open(MANIFEST) as file:
            source = file.read(MANIFEST_BYTES)
        try:
            said = json.loads(source)
            if said["format"] != FORMAT and type(said["format"]) is int:
                raise SchemaTooNew(f"{self.place} has export format {said['format']}, this memstore knows {FORMAT}: upgrade memstore")
            if said.pop("sha256") != _digest(said):
                raise ValueError("it is not as it was written")
            tables = [pair for room in said["rooms"].values() for pair in room["tables"].items()]
            return Manifest(
                said["store_id"],
                said["memstore"],
                {room: parts["schema"] for room, parts in said["rooms"].items()},
                {table: Entry(**entry) for table, entry in tables},
                said.get("user_id"),
                Entry(**said["excerpt"]) if "excerpt" in said else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = values.one_line(str(error))
            raise Corrupt(f"{os.path.join(self.place, MANIFEST)} is damaged ({why}); nothing was imported") from error

    def _know(self, room: str, version: int, schema: Schema | None) -> None:
        if schema is None or version > schema.version:
            known = "not at all" if schema is None else f"up to schema {schema.version}"
            raise SchemaTooNew(f"{self.place} has the room {room} with schema {version}, this memstore knows it {known}: upgrade memstore")
        self.schemas[room] = schema
        for carried in schema.carried:
            entry = self.manifest.tables.get(carried.table)
            if entry is not None:
                if entry.file != f"{room}.{carried.table}.jsonl":
                    raise Corrupt(f"{MANIFEST} names {values.shorten(entry.file)} for {carried.table}; nothing was imported")
                self._tables[carried.table] = schema, carried, entry

    # -- the files --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Read all of it, and raise Corrupt where something is not as it was written."""
        named = {entry.file for entry in entries(self.manifest)} | {MANIFEST}
        unknown = [table for table in self.manifest.tables if table not in self._tables]
        if unknown:
            raise Corrupt(f"{MANIFEST} names the table {unknown[0]}, which this memstore does not carry; nothing was imported")
        strays = sorted(set(os.listdir(self.place)) - named)
        if strays:
            raise Corrupt(f"{self.place} holds {values.shorten(strays[0])}, which its manifest does not name; nothing was imported")
        if self.manifest.excerpt is not None:
            for _ in self._lines(self.manifest.excerpt):
                pass
        for table in self.manifest.tables:
            for _ in self.pages(table):
                pass

    def pages(self, table: str) -> Iterator[list[Row]]:
        """The rows of a table, a page at a time, all with the same columns."""
        if table not in self._tables:
            return
        schema, carried, entry = self._tables[table]
        shape = shapes(schema)[table]
        lacking = self.manifest.rooms[schema.name] < schema.version
        page: list[Row] = []
        weight, before = 0, None
        for number, line in self._lines(entry):
            try:
                row = lines.read(line, shape, lacking)
                here = lines.key(row, carried.key)
                if before is not None and here <= before:
                    raise ValueError("it does not come after the line before it")
            except (ValueError, RecursionError, TypeError) as error:
                raise self._damaged(entry, number, str(error)) from error
            weight, before = weight + len(line), here
            if page and (len(page) == PAGE_ROWS or weight > PAGE_BYTES or page[0].keys() != row.keys()):
                yield page
                self._count(len(page))
                page, weight = [], len(line)
            page.append(row)
        if page:
            yield page
            self._count(len(page))

    def _lines(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        seen, number = sha256(), 0
        with self._open(entry.file) as file:
            for number, line in enumerate(file, 1):
                seen.update(line)
                yield number, line
        if number != entry.rows:
            raise self._damaged(entry, number + 1, f"the manifest says that there are {entry.rows} lines")
        if seen.hexdigest() != entry.sha256:
            raise self._damaged(entry, number, "its bytes are not those that were written")

    def _damaged(self, entry: Entry, number: int, what: str) -> Corrupt:
        return Corrupt(f"{os.path.join(self.place, entry.file)}, line {number}: {values.one_line(what)}; nothing was imported")

    def _open(self, name: str) -> BinaryIO:
        place = os.path.join(self.place, name)
        try:
            if not stat.S_ISREG(os.lstat(place).st_mode):
                raise Corrupt(f"{place} is no regular file; nothing was imported")
            return open(place, "rb")
        except FileNotFoundError:
            raise Corrupt(f"{place} is missing: this is no whole export; nothing was imported") from None
        except OSError as error:
            raise Invalid(f"{place} cannot be read: {error.strerror or error}") from error

    def finish(self) -> None:
        """Tell that all is done; not every file is of use to every store."""
        if self.progress is not None and self._done < self.total:
            self.progress(self.total, self.total)

    def _count(self, rows: int) -> None:
        self._done += rows
        if self.progress is not None:
            self.progress(min(self._done, self.total), self.total)  # some parts are read more than once


def entries(manifest: Manifest) -> Iterable[Entry]:
    """Every file that a manifest names."""
    return [*manifest.tables.values(), *([manifest.excerpt] if manifest.excerpt is not None else [])]
