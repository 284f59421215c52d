"""Rows of another application on their way into the rooms: each comes in whole, is known already, or is refused with a reason.

1. A row that a room refuses leaves nothing behind and stops nothing; everything else (a full disk, Ctrl-C) stops the import.
2. A row is known by its id; what the store has under it is left as it is.
3. Values are taken out of a row one by one. So what is left at the end is what nobody has asked for, and none of it is lost
   unseen: it goes into `metadata`, or the report counts it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..audit.erased import RETIRED, were_erased
from ..chat import Message, forms
from ..kernel import Exists, Invalid, NotFound, Record, RejectedClaim, record, values
from ..kernel.carrying import OWNERS, Erased
from ..kernel.foreign import ForeignFile
from .lines import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..store import Store

REFUSALS = (Invalid, Exists, NotFound, RejectedClaim)
_ILLEGAL = re.compile(r"[^a-z0-9_.-]+")
_LEGAL = re.compile(r"(?!audit\.)[a-z][a-z0-9_.-]{0,199}")  # audit.* is the log's own


class Known(Exception):
    """The store has under another id what the row says."""


@record
class RefusedRow(Record):
    """A row that was not taken, and why; a line, and a row without an id, is named by its place."""

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


class Source(Protocol):
    """Where rows come from: another application's database, or files of lines."""

    place: str

    def tables(self) -> dict[str, list[str]]: ...
    def count(self, table: str) -> int: ...
    def pages(self, table: str) -> Iterator[Sequence[dict[str, Any]]]: ...
    def confirm(self) -> None: ...
    def close(self) -> None: ...


def database(path: Any, what: str, known: Callable[[dict[str, list[str]]], bool], opened: type[ForeignFile], shared: bool) -> ForeignFile:
    """Open an SQLite file whose tables are known to be somebody's, or say what the file is instead."""
    source = opened(path, shared=shared)
    tables = source.tables()
    if known(tables):
        return source
    source.close()
    shown = ", ".join(list(tables)[:5]) + (", …" if len(tables) > 5 else "")
    raise Invalid(f"{source.place} is not {what} (tables: {shown or 'none'})")


class Row:
    """One row, its NULLs left out, and what is to be said about it once it is in."""

    def __init__(self, id: str, columns: dict[str, Any], key: str | None = None) -> None:
        self.id = id
        self.place = columns.place if isinstance(columns, Line) else id
        self.columns = columns
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

    def rename(self, **names: str) -> None:
        """Call columns what their records call them, unless that name is taken."""
        for old, new in names.items():
            if old in self.left and new not in self.left:
                self.left[new] = self.left.pop(old)

    def moments(self, *names: str) -> dict[str, Any]:
        """Take out what there is of some columns of times; a date without a zone is one in UTC."""
        return {name: moment(name, self.left.pop(name)) for name in names if name in self.left}

    def listed(self, name: str) -> list[Any]:
        """Take out a list that was stored as JSON; [] where there is none."""
        found = parsed(name, self.left.pop(name, "[]"))
        if not isinstance(found, list):
            raise Invalid(f"{name} {values.shorten(found)} is not a JSON list")
        return found

    def metadata(self, origin: str) -> dict[str, Any] | None:
        """Take out all that is left: the row's own metadata and, under the name of its origin, the columns that have no home."""
        own = self.left.pop("metadata", None)
        if isinstance(own, (str, bytes)):
            own = parsed("metadata", own)
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


def moment(name: str, said: Any) -> Any:
    """What a date says, in Unix seconds; a number stays one, and the room refuses what is neither."""
    if not isinstance(said, str):
        return said
    try:
        at = datetime.fromisoformat(said.strip())
    except ValueError:
        raise Invalid(f"{name} {values.shorten(said)} is not a date in ISO 8601") from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def read(name: str, source: Any) -> Any:
    """What a JSON text says, or the text itself where it is none."""
    try:
        return None if source is None else parsed(name, source)
    except Invalid:
        return source


def event_type(origin: str, said: Any) -> str:
    """A word of the log's vocabulary for any text."""
    if isinstance(said, str) and _LEGAL.fullmatch(said):
        return said
    word = _ILLEGAL.sub("_", str(said).lower()).strip("_.-")[:190]
    return word if _LEGAL.fullmatch(word) else f"{origin}.{word}".rstrip(".")


def message(form: dict[str, Any], id: str, conversation_id: str, created_at: float | None = None, **beside: Any) -> Message:
    """A message in OpenAI form as a record, which can say when it was and what it is known by."""
    role, content, calls, call_id, name, extra = forms.split(form)
    at: Any = created_at  # None is the time of the import
    return Message(id, conversation_id, role, content, at, tool_calls=calls, tool_call_id=call_id, name=name, extra=extra, **beside)


def digest(*said: Any) -> str:
    """An id made of what is said."""
    return hashlib.sha256(values.to_json("row", said, stored=False).encode()).hexdigest()[:32]


class Digests:
    """Ids for what has none: of what it says and how often that was said before, so that a file read again gives the same."""

    def __init__(self, *scope: str) -> None:
        self._scope = scope
        self._seen: Counter[str] = Counter()

    def __call__(self, said: dict[str, Any]) -> str:
        first = digest(*self._scope, said)
        self._seen[first] += 1
        return first if self._seen[first] == 1 else digest(first, self._seen[first])


class Part(NamedTuple):
    """How one table comes in: the room that takes it, the column of its ids or what makes them, and what takes a page of new rows."""

    table: str
    room: str
    key: str | Callable[[dict[str, Any]], str]
    take: Callable[[list[Row]], None]
    born: str | None = "created_at"  # the column of the time that a record cannot be without
    into: str | None = None  # the table of the room, where it has another name
    term: str = ""  # what the room's index on ids asks for
    again: Callable[[Row], object] | None = None  # what looks at a row that the store has: it may say something else by now;
    last: Callable[[Row], object] | None = None  # and looks once more when all were looked at, where that has returned True
    owners: Callable[[Row], Iterable[Erased]] = lambda row: ()  # what a row belongs to beside what its columns name


class Intake:
    """Takes in table after table, and remembers what became of every row."""

    def __init__(self, store: Store, source: Source, progress: Callable[[int, int], object] | None = None) -> None:
        self.store = store
        self.source = source
        self.place = os.fsencode(source.place).decode("utf-8", "replace")  # as it can be stored, whatever bytes the name has
        self._progress = progress
        self._counts: dict[str, int] = {}
        self._reports: list[TableImport] = []
        self._refused: list[RefusedRow] = []
        self._remarks: Counter[str] = Counter()
        self._table = TableImport("", 0, 0, 0, 0, {})

    def expect(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts that the file has rows of; rooms are brought up to date first, which no transaction could do."""
        tables = self.source.tables()
        self._counts = {part.table: self.source.count(part.table) for part in parts if part.table in tables}
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
        waiting: list[Row] = []
        for page in self.source.pages(part.table):
            rows = self._identified(part, page)
            known = self._known(part, [row.id for row in rows])
            waiting += [_row(part.key, row.columns) for row in rows if row.id in known and self._look_again(row, part.again)]
            fresh = self._living(part, [row for row in rows if row.id not in known])
            for row in fresh:
                if part.born is not None and part.born not in row.left:
                    row.remarks.append(f"without {part.born}, got the time of the import")
            part.take(fresh)
            if self._progress is not None:
                self._progress(sum(table.rows for table in self._reports), sum(self._counts.values()))
        for row in waiting:
            self._look_again(row, part.last)

    def _look_again(self, row: Row, look: Callable[[Row], object] | None) -> bool:
        """Whether a row must wait until all the others were looked at."""
        with self._judged(row):
            if look is not None and look(row) is True:
                return True
            self._count("known", 1)
            self._remember(row)
        return False

    def _identified(self, part: Part, page: Sequence[dict[str, Any]]) -> list[Row]:
        """The rows that have an id to be known by; the others are refused."""
        rows = []
        for columns in page:
            self._count("rows", 1)
            try:
                rows.append(_row(part.key, columns))
            except Invalid as error:
                self._refuse(columns.place if isinstance(columns, Line) else f"row {self._table.rows}", error)
        return rows

    def _known(self, part: Part, ids: list[str]) -> set[str]:
        """Which of the ids the store has."""
        if part.room == "audit":
            return {id for id in ids if self._has_event(id)}
        table, term = part.into or part.table, part.term
        found = getattr(self.store, part.room).db.rows(
            f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?)){term}", (values.to_json("ids", ids),)
        )
        return {id for (id,) in found} | self._retired(ids)

    def _retired(self, ids: list[str]) -> set[str]:
        """Which of the ids were superseded here and pruned."""
        log = self.store.audit.db
        if not log.present("audit"):
            return set()
        with log.read() as connection:
            return {id for _, id in were_erased(connection, [(RETIRED, id) for id in ids])}

    def _living(self, part: Part, rows: list[Row]) -> list[Row]:
        """Those that do not belong to what was erased here; the others are refused, for an old file must not bring it back."""
        log = self.store.audit.db
        if not rows or not log.present("audit"):
            return rows
        owners = [_owners(part, row) for row in rows]
        with log.read() as connection:
            gone = were_erased(connection, set().union(*owners))
        for row, named in zip(rows, owners):
            if not gone.isdisjoint(named):
                self._refuse(row.place, Invalid("it belongs to what was erased here, and does not come back"))
        return [row for row, named in zip(rows, owners) if gone.isdisjoint(named)]

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
        except Known:
            self._count("known", 1)
            self._remember(row)
        except REFUSALS as error:
            self._refuse(row.place, error)

    def _refuse(self, place: str, error: Exception) -> None:
        self._count("refused", 1)
        self._refused.append(RefusedRow(self._table.table, place, str(error)))

    def _done(self, row: Row) -> None:
        self._count("new", 1)
        for name in row.left:
            self._table.left_out[name] = self._table.left_out.get(name, 0) + 1
        self._remember(row)

    def _remember(self, row: Row) -> None:
        self._remarks.update(f"{self._table.table}: {remark}" for remark in row.remarks)

    def _count(self, field: str, more: int) -> None:
        setattr(self._table, field, getattr(self._table, field) + more)

    def report(self, notes: Sequence[str] = ()) -> ImportReport:
        """What became of everything."""
        remarks = [f"{remark} (rows: {count:,})" for remark, count in self._remarks.items()]
        return ImportReport(not self._refused, self.source.place, self._reports, self._refused, [*remarks, *notes])


def _owners(part: Part, row: Row) -> set[Erased]:
    """What a row is, or is of, as it would be remembered if it was erased."""
    named = [(kind, row.columns.get(column)) for column, kinds in OWNERS.items() for kind in kinds]
    named += [(values.singular(part.into or part.table), row.id), *part.owners(row)]
    return {(kind, id) for kind, id in named if isinstance(id, str) and id}


def _row(key: str | Callable[[dict[str, Any]], str], columns: dict[str, Any]) -> Row:
    if isinstance(columns, Line) and columns.error is not None:
        raise columns.error
    if callable(key):
        return Row(values.key("id", key(columns)), columns)
    return Row(values.key(key, columns.get(key)), columns, key)
