"""Another application's SQLite file: read as it lies, never created, never changed.

1. A file that nobody seems to have open is read as immutable, without locks: an ordinary read-only connection would leave an
   empty -wal and a -shm beside a file in WAL mode. `confirm` says afterwards whether it stayed as it was.
2. A file in use (or with `shared`, any) is read under a reader's lock, through its own log, in one snapshot.
3. Others wrote what is in it. Only tables are read, and bytes that are no UTF-8 come out as lone surrogates, which every room
   refuses, instead of stopping the page.

The trap: to read only the main file of one in use would lose in silence whatever its log still holds.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from .driver import FAILURES, primary_code, translate
from .errors import Busy, Corrupt, Invalid, NotFound
from .files import APPLICATION_ID, BESIDE, connect, patiently, resolve
from .schema import quote
from .values import one_line

PAGE = 500  # rows
TIMEOUT = 10.0  # seconds


class Changed(Busy):
    """The file was written to while it was read without locks."""


class ForeignFile:
    """An SQLite file that is none of ours, open for reading."""

    TOGETHER: Mapping[str, str] = {}  # tables of which a page has all rows or none that say the same in a column

    def __init__(self, path: Any, *, shared: bool = False) -> None:
        self.place = _existing(path)
        self._state = _state(self.place)
        self._still = not shared and not any(os.path.exists(self.place + side) for side in BESIDE)
        try:
            self._raw = connect(self.place, mode="immutable" if self._still else "ro")
        except sqlite3.Error as error:
            raise translate(error) from error
        try:
            with self._reading():
                self._columns = self._begin()
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> ForeignFile:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()

    def _begin(self) -> dict[str, tuple[bool, list[str]]]:
        """Fix the snapshot; returns the tables, each with whether it has a rowid, and its columns."""
        self._raw.text_factory = lambda source: source.decode("utf-8", "surrogateescape")
        self._raw.execute("PRAGMA query_only = ON")
        self._raw.execute("BEGIN")
        patiently(self._raw, "PRAGMA schema_version", time.monotonic() + TIMEOUT)  # SQLite's own wait would not hear Ctrl-C
        names = self._raw.execute(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        ).fetchall()
        if self._raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,):
            raise Invalid(f"{self.place} is a memstore store, not a file of another application; open_store() opens it")
        columns = "SELECT name FROM pragma_table_info(?)"
        return {name: (not wr, [column for (column,) in self._raw.execute(columns, (name,))]) for name, wr in sorted(names)}

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self.confirm()  # where the file changed under us, that is the reason
            if primary_code(error) == sqlite3.SQLITE_NOTADB:
                raise Invalid(f"{self.place} is not an SQLite file") from error
            told = translate(error)
            if isinstance(told, Corrupt):
                raise Corrupt(f"{self.place} is damaged ({one_line(str(error))}); nothing was taken: get another copy of it") from error
            raise told from error

    def tables(self) -> dict[str, list[str]]:
        """The tables and their columns."""
        return {name: columns for name, (_, columns) in self._columns.items()}

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._reading():
            return int(self._raw.execute(f"SELECT count(*) FROM {quote(table)}").fetchone()[0])

    def pages(self, table: str) -> Iterator[list[dict[str, Any]]]:
        """The rows of a table as dicts, a page at a time, in the order in which they were inserted, or in that of what they share."""
        shared = self.TOGETHER.get(table)
        if shared not in self._columns[table][1]:
            yield from self._pages(table)
            return
        page: list[dict[str, Any]] = []
        for _, group in groupby(chain.from_iterable(self._pages(table, shared)), itemgetter(shared)):
            page += group
            if len(page) >= PAGE:
                yield page
                page = []
        if page:
            yield page

    def _pages(self, table: str, *first: str) -> Iterator[list[dict[str, Any]]]:
        ordered, names = self._columns[table]
        columns = ", ".join([quote(name) for name in names])
        order = ", ".join([quote(name) for name in (*first, *(["rowid"] if ordered else []))])
        clause = f"ORDER BY {order}" if order else ""
        with self._reading():
            rows = self._raw.execute(f"SELECT {columns} FROM {quote(table)} {clause}")
        while True:
            with self._reading():
                page = rows.fetchmany(PAGE)
            if not page:
                return
            yield [dict(zip(names, row, strict=True)) for row in page]

    def of(self, table: str, column: str, wanted: Iterable[Any], order: str = "rowid") -> dict[Any, list[dict[str, Any]]]:
        """Rows of a table by one of its columns, in order; of a table that the file does not have there are none."""
        found: dict[Any, list[dict[str, Any]]] = {}
        names = self.tables().get(table, [])
        keys = [key for key in dict.fromkeys(wanted) if isinstance(key, (str, int))]  # nothing belongs to bytes
        if column not in names or not keys:
            return found
        columns = ", ".join([quote(name) for name in names])
        with self._reading():
            rows = self._raw.execute(
                f"""
                SELECT {columns} FROM {quote(table)}
                WHERE {quote(column)} IN (SELECT value FROM json_each(?))
                ORDER BY {quote(order)}
                """,
                (json.dumps(keys),),
            ).fetchall()
        for row in rows:
            said = dict(zip(names, row, strict=True))
            found.setdefault(said[column], []).append(said)
        return found

    def confirm(self) -> None:
        """Raise Changed where the file was read without locks and somebody wrote to it meanwhile."""
        if self._still and _state(self.place) != self._state:
            raise Changed(f"{self.place} was written to while it was read; nothing was taken: do it again")


def _existing(path: Any) -> str:
    place = resolve(path)
    if not os.path.exists(place):
        raise NotFound(f"there is no file {place}; check the path")
    if not os.path.isfile(place):
        raise Invalid(f"{place} is not a regular file")
    return place


def _state(place: str) -> tuple[int, int, int] | None:
    """What changes when somebody writes to the file, None if it is gone."""
    try:
        status = os.stat(place)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
