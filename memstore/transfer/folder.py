"""An export as it lies in a folder: what its manifest says, and whether all of it is there as it was written.

Everything is read twice: once to be checked, before anything is written, and once to be taken in; that the second reading finds
the bytes of the first is checked too. Files are opened only under the names that the manifest must have, and only regular ones:
a link to a store's own file would cost this process its locks when it is closed again.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..kernel import Corrupt, Invalid, SchemaTooNew, path_of, values
from ..kernel.carrying import shapes
from ..kernel.files import BESIDE
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
#: Beyond these, keys and numbers would leave no room for more; an id of a message holds 42 bits of its number of arrival.
MOST = {
    **dict.fromkeys(("pk", "seq", "last_seq", "number", "thread_number"), 1 << 62),
    **dict.fromkeys(("arrival", "activity", "first"), 1 << 41),
}


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


def _understood(said: dict[str, Any]) -> Manifest:
    """A manifest as JSON; ValueError says what of it cannot be."""
    tables: dict[str, Entry] = {}
    for room, parts in said["rooms"].items():
        _must(type(parts["schema"]) is int and parts["schema"] >= 1, f"schema of {room}", parts["schema"])
        for table, given in parts["tables"].items():
            tables[table] = _entry(given, f"{room}.{table}.jsonl")  # a table of another room is found by its file
    names = [table for parts in said["rooms"].values() for table in parts["tables"]]
    _must(len(names) == len(tables), "tables", names)
    store_id, version, user_id = said["store_id"], said["memstore"], said.get("user_id")
    _must(isinstance(store_id, str) and re.fullmatch("[0-9a-f]{32}", store_id) is not None, "store_id", store_id)
    _must(isinstance(version, str), "memstore", version)
    _must("user_id" not in said or (isinstance(user_id, str) and user_id.strip() != ""), "user_id", user_id)
    _must("excerpt" not in said or user_id is not None, "excerpt", "that of no user")
    excerpt = _entry(said["excerpt"], EXCERPT) if "excerpt" in said else None
    return Manifest(store_id, version, {room: parts["schema"] for room, parts in said["rooms"].items()}, tables, user_id, excerpt)


def _entry(given: dict[str, Any], name: str) -> Entry:
    entry = Entry(**given)
    _must(entry.file == name, f"file of {name}", entry.file)
    _must(type(entry.rows) is int and entry.rows >= 1, f"rows of {name}", entry.rows)
    _must(isinstance(entry.sha256, str) and re.fullmatch("[0-9a-f]{64}", entry.sha256) is not None, f"sha256 of {name}", entry.sha256)
    return entry


def _must(sound: bool, what: str, found: Any) -> None:
    if not sound:
        raise ValueError(f"its {what} cannot be {values.shorten(found)}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has a name twice")
    return found


def _check_numbers(row: Row) -> None:
    """Refuse numbers after which there could be no other, and those below the first."""
    for name in MOST.keys() & row.keys():
        least = 1 if name == "arrival" and "supplied" in row else 0  # keywords may be older than any message
        if row[name] > MOST[name] or (row[name] < least and name != "seq"):  # of a log verify() says what is wrong
            raise ValueError(f"its {name} cannot be {row[name]}")


def _digest(said: dict[str, Any]) -> str:
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


class Folder:
    """An export to be read; `check` looks through all of it, `pages` gives the rows of a table."""

    def __init__(self, path: Any, rooms: Callable[[str], Schema | None], store: str | None = None) -> None:
        self.place = os.path.abspath(path_of(path))
        self._store = store  # the path of the store's own file
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
            said = json.loads(source, object_pairs_hook=_once)
            _must(type(said["format"]) is int and said["format"] >= 1, "format", said["format"])
            if said["format"] != FORMAT:
                raise SchemaTooNew(f"{self.place} has export format {said['format']}, this memstore knows {FORMAT}: upgrade memstore")
            if said.pop("sha256") != _digest(said):
                raise ValueError("it is not as it was written")
            return _understood(said)
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
                _check_numbers(row)
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
            found = os.lstat(place)
            if not stat.S_ISREG(found.st_mode):
                raise Corrupt(f"{place} is no regular file; nothing was imported")
            if (found.st_dev, found.st_ino) in self._own_files():
                raise Corrupt(f"{place} is a link to a file of this store itself; nothing was imported")
            return open(place, "rb")
        except FileNotFoundError:
            raise Corrupt(f"{place} is missing: this is no whole export; nothing was imported") from None
        except OSError as error:
            raise Invalid(f"{place} cannot be read: {error.strerror or error}") from error

    def _own_files(self) -> set[tuple[int, int]]:
        """The files that this process has locks on, which it would lose by closing another name of them."""
        places = [] if self._store is None else [self._store + side for side in ("", *BESIDE)]
        found = [os.stat(place) for place in places if os.path.exists(place)]
        return {(each.st_dev, each.st_ino) for each in found}

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
