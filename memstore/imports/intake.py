"""Rows of another application on their way into the rooms: each comes in whole, is known already, or is refused with a reason.

1. A row that a room refuses leaves nothing behind and stops nothing; everything else (a full disk, Ctrl-C) stops the import.
2. A row is known by its id; what the store has under it is left as it is.
3. Values are taken out of a row one by one. So what is left at the end is what nobody has asked for, and none of it is lost
   unseen: it goes into `metadata`, or the report counts it.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Exists, Invalid, NotFound, Record, record, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..kernel.foreign import ForeignFile
    from ..store import Store

REFUSALS = (Invalid, Exists, NotFound)


@record
class RefusedRow(Record):
    """A row that was not taken, and why; one without an id is named by its place in the table."""

    table: str
    id: str
    reason: str


@record
class TableImport(Record):
    """What became of the rows of one table; `left_out` counts the values of columns that have no home here."""

    table: str
    rows: int
    new: int
    known: int
    refused: int
    left_out: dict[str, int]


@record
class ImportReport(Record):
    """What an import did; `ok` is False when a row was not taken."""

    ok: bool
    path: str
    tables: list[TableImport]
    refused: list[RefusedRow]
    notes: list[str]

    @property
    def new(self) -> int:
        """How many rows came in."""
        return sum(table.new for table in self.tables)


class Row:
    """One row, its NULLs left out, and what is to be said about it once it is in."""

    def __init__(self, id: str, columns: dict[str, Any], key: str) -> None:
        self.id = id
        self.left = {name: value for name, value in columns.items() if value is not None and name != key}
        self.remarks: list[str] = []

    def need(self, name: str) -> Any:
        """Take out a value that must be there."""
        if name not in self.left:
            raise Invalid(f"{name} is missing")
        return self.left.pop(name)

    def given(self, *names: str) -> dict[str, Any]:
        """Take out what there is of some columns."""
        return {name: self.left.pop(name) for name in names if name in self.left}

    def listed(self, name: str) -> list[Any]:
        """Take out a list that was stored as JSON; [] where there is none."""
        found = parsed(name, self.left.pop(name, "[]"))
        if not isinstance(found, list):
            raise Invalid(f"{name} {values.shorten(found)} is not a JSON list")
        return found

    def metadata(self, origin: str) -> dict[str, Any] | None:
        """Take out all that is left: the row's own metadata and, under the name of its origin, the columns that have no home."""
        own = parsed("metadata", self.left.pop("metadata", "null"))
        rest, self.left = self.left, {}
        if own is not None and (not isinstance(own, dict) or origin in own):
            return {origin: {**rest, "metadata": own}}
        return {**(own or {}), origin: rest} if rest else own


def parsed(name: str, source: Any) -> Any:
    """What a JSON text says."""
    try:
        return json.loads(values.text(name, source))
    except (ValueError, RecursionError) as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(f"{name} {values.shorten(source)} is not JSON that can be read") from None


class Part(NamedTuple):
    """How one table comes in: the room that takes it, the column of its ids, and what takes a page of its new rows."""

    table: str
    room: str
    key: str
    take: Callable[[list[Row]], None]
    born: str | None = "created_at"  # the column of the time that a record cannot be without
    term: str = ""  # what the room's index on ids asks for


class Intake:
    """Takes in table after table, and remembers what became of every row."""

    def __init__(self, store: Store, source: ForeignFile, progress: Callable[[int, int], object] | None = None) -> None:
        self.store = store
        self._source = source
        self._progress = progress
        self._counts: dict[str, int] = {}
        self._reports: list[TableImport] = []
        self._refused: list[RefusedRow] = []
        self._remarks: Counter[str] = Counter()
        self._table = TableImport("", 0, 0, 0, 0, {})

    def expect(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts that the file has rows of; rooms are brought up to date first, which no transaction could do."""
        tables = self._source.tables()
        self._counts = {part.table: self._source.count(part.table) for part in parts if part.table in tables}
        filled = [part for part in parts if self._counts.get(part.table)]
        for room in dict.fromkeys(("audit", *(part.room for part in filled))):
            db = getattr(self.store, room).db
            if db.present(room):
                db.value("SELECT 1")
        return filled

    def take(self, part: Part) -> None:
        """Take in one table."""
        self._table = TableImport(part.table, 0, 0, 0, 0, {})
        self._reports.append(self._table)
        for page in self._source.pages(part.table):
            rows = self._identified(part, page)
            known = self._known(part, [row.id for row in rows])
            fresh = [row for row in rows if row.id not in known]
            self._count("known", len(rows) - len(fresh))
            for row in fresh:
                if part.born is not None and part.born not in row.left:
                    row.remarks.append(f"without {part.born}, got the time of the import")
            part.take(fresh)
            if self._progress is not None:
                self._progress(sum(table.rows for table in self._reports), sum(self._counts.values()))

    def _identified(self, part: Part, page: list[dict[str, Any]]) -> list[Row]:
        """The rows that have an id to be known by; the others are refused."""
        rows = []
        for columns in page:
            self._count("rows", 1)
            try:
                rows.append(Row(values.key(part.key, columns.get(part.key)), columns, part.key))
            except Invalid as error:
                self._refuse(f"row {self._table.rows}", error)
        return rows

    def _known(self, part: Part, ids: list[str]) -> set[str]:
        """Which of the ids the store has."""
        if part.room == "audit":
            return {id for id in ids if self._has_event(id)}
        table, term = part.table, part.term
        found = getattr(self.store, part.room).db.rows(
            f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?)){term}", (values.to_json("ids", ids),)
        )
        return {id for (id,) in found}

    def _has_event(self, id: str) -> bool:
        try:
            self.store.audit.get(id)
        except NotFound:
            return False
        return True

    def each(self, take: Callable[[Row], object]) -> Callable[[list[Row]], None]:
        """What takes a page row by row."""

        def take_page(rows: list[Row]) -> None:
            for row in rows:
                with self._judged(row):
                    take(row)
                    self._done(row)

        return take_page

    def together(self, rows: list[Row], make: Callable[[Row], Any], write: Callable[[list[Any]], object]) -> None:
        """Write what is made of rows in one go; where that is refused, one by one."""
        made = []
        for row in rows:
            with self._judged(row):
                made.append((row, make(row)))
        if not made:
            return
        try:
            write([item for _, item in made])
        except REFUSALS:
            for row, item in made:
                with self._judged(row):
                    write([item])
                    self._done(row)
        else:
            for row, _ in made:
                self._done(row)

    @contextmanager
    def _judged(self, row: Row) -> Iterator[None]:
        try:
            yield
        except REFUSALS as error:
            self._refuse(row.id, error)

    def _refuse(self, id: str, error: Exception) -> None:
        self._count("refused", 1)
        self._refused.append(RefusedRow(self._table.table, id, str(error)))

    def _done(self, row: Row) -> None:
        self._count("new", 1)
        for name in row.left:
            self._table.left_out[name] = self._table.left_out.get(name, 0) + 1
        self._remarks.update(f"{self._table.table}: {remark}" for remark in row.remarks)

    def _count(self, field: str, more: int) -> None:
        setattr(self._table, field, getattr(self._table, field) + more)

    def report(self, notes: Sequence[str] = ()) -> ImportReport:
        """What became of everything."""
        remarks = [f"{remark} (rows: {count:,})" for remark, count in self._remarks.items()]
        return ImportReport(not self._refused, self._source.place, self._reports, self._refused, [*remarks, *notes])
