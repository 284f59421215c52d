"""Rows of an export on their way into the rooms: what all rooms do alike.

1. Into an empty store rows go in as they are, integer keys included. Into a store with a history they are told apart by what
   identifies them, and get integer keys of their own: keys are never used again.
2. What stands there already is an error, stays, or is replaced, as the caller chose; each room says what else goes with a row.
3. What belongs to somebody or something that was erased does not come back, and that is no error.
4. Pages are small and what must be remembered between them lies in a temporary table: memory is bounded whatever comes in.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import Corrupt, Exists, Invalid
from .schema import Carried, Schema, quote, statements
from .values import shorten

if TYPE_CHECKING:
    from .connection import Connection

Row = dict[str, Any]
Erased = tuple[str, str]  # kind and id

#: Columns that name the owner of a row, and what kinds of thing they may name.
OWNERS: dict[str, tuple[str, ...]] = {
    "user_id": ("user",),
    "conversation_id": ("conversation",),
    "session_id": ("session", "conversation"),
}
#: The same of rows that belong to a project by its id.
BELONGS = {**OWNERS, "project_id": ("project",)}
_KINDS: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "REAL": (float,),
    "TEXT": (str,),
    "BLOB": (bytes,),
    "ANY": (int, float, str, bytes),
}


class Shape(NamedTuple):
    """The columns in which the rows of a table travel: names in order, the types of their values, those that may be missing."""

    names: tuple[str, ...]
    types: dict[str, frozenset[type]]
    optional: frozenset[str]  # they have a default, should an older memstore not have known them


@cache
def shapes(schema: Schema) -> dict[str, Shape]:
    """The shape of every table of a schema that is carried, as SQLite understands the DDL."""
    scratch = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in statements(schema.ddl):
            scratch.execute(statement)
        return {carried.table: _shape(scratch, carried) for carried in schema.carried}
    finally:
        scratch.close()


def _shape(scratch: sqlite3.Connection, carried: Carried) -> Shape:
    types, optional = {}, set()
    for _, name, kind, needed, default, in_key, *_ in scratch.execute(f"PRAGMA table_xinfo({quote(carried.table)})"):
        if name not in carried.derived:
            types[name] = frozenset(_KINDS[kind] if needed or in_key else (*_KINDS[kind], type(None)))
            if not in_key and (default is not None or not needed):
                optional.add(name)
    return Shape(tuple(sorted(types)), types, frozenset(optional))


class Intake:
    """What an export brings, how it is to be taken in, and what became of it."""

    def __init__(
        self,
        connection: Connection,
        mode: str,
        pages: Callable[[str], Iterator[list[Row]]],
        were_erased: Callable[[Iterable[Erased]], set[Erased]] | None,
        seal: Callable[[str, list[Row]], list[Row]],
        canonical: Callable[[str | None, str | None], str | None],
    ) -> None:
        self.connection = connection
        self.mode = mode  # adopt, error, skip or replace
        self.pages = pages  # of the rows of a table
        self.added: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.replaced: Counter[str] = Counter()
        self.erased: Counter[str] = Counter()
        self.notes: list[str] = []
        self.base = 0  # what is added to numbers of arrival
        self.shifted: set[str] = set()  # conversations whose messages could not keep their places
        self.others: dict[str, list[str]] = {}  # by kind, the first ids that belong to another user here,
        self.other_count: Counter[str] = Counter()  # and how many do
        self.projects: dict[str, str] = {}  # ids of projects of the export -> those here
        self.afterwards: list[Callable[[], object]] = []  # what is to be done when everything is in
        self._were_erased = were_erased
        self._seal = seal  # rows of a table as they go into the file, bound to the keys that they have here
        self._canonical = canonical  # the id of the project that a name means to a user
        self._noted = False

    @property
    def wrote(self) -> bool:
        """Whether anything has changed."""
        return bool(self.added.total() or self.replaced.total())

    # -- into an empty store ----------------------------------------------------------------------------------------

    def adopt(self, table: str, prepare: Callable[[list[Row]], list[Row]] | None = None) -> None:
        """Put in the rows of a table as they are; `prepare` adds what is derived from them."""
        for rows in self.pages(table):
            try:
                self.insert(table, rows if prepare is None else prepare(rows))
            except Exists as error:
                raise Corrupt(f"{table} of the export holds two rows with one identity ({error}); nothing was imported") from error

    def insert(self, table: str, rows: list[Row]) -> None:
        """Write new rows, all with the same columns."""
        if rows:
            with _lawful(table):
                self.connection.many(_insertion(table, tuple(rows[0])), [tuple(row.values()) for row in self._seal(table, rows)])
            self.added[table] += len(rows)

    # -- into a store with a history --------------------------------------------------------------------------------

    def take(self, table: str, kind: str = "", prepare: Callable[[list[Row]], list[Row]] | None = None) -> None:
        """Take in a table whose rows are known by their ids and that nothing else goes with."""
        for rows in self.pages(table):
            rows = self.living(table, rows, kind)
            known = self.ids(table, [row["id"] for row in rows])
            if rows and "user_id" in rows[0]:
                rows = self.same_users(table, kind, rows)
            fresh = [row for row in rows if row["id"] not in known]
            twins = [row for row in rows if row["id"] in known and self.known(table, row)]
            self.insert(table, [without(row, "pk") for row in (fresh if prepare is None else prepare(fresh))])
            for row in twins:
                self.update(table, known[row["id"]], row)

    def living(self, table: str, rows: list[Row], kind: str = "", owners: dict[str, tuple[str, ...]] = OWNERS) -> list[Row]:
        """Those of the rows that do not belong to what was erased or set aside, in the projects that are theirs here.

        `kind` is what the ids of the table are remembered as.
        """
        named = {**owners, "id": (kind,)} if kind else owners
        rows = self._not_aside(table, rows, owners, kind)
        if self._were_erased is None:
            return self.placed(table, rows)
        gone = self.gone((each, row[column]) for row in rows for column, kinds in named.items() if column in row for each in kinds)
        if not gone:
            return self.placed(table, rows)
        kept = [
            row for row in rows if not any((each, row.get(column)) in gone for column, kinds in named.items() for each in kinds)
        ]
        self.erased[table] += len(rows) - len(kept)
        left = {row["pk"] for row in kept if "pk" in row}
        self.remember(f"erased from {table}", [(row["pk"], 1) for row in rows if "pk" in row and row["pk"] not in left])
        if kind:
            self.leave_out(kind, {row["id"] for row in rows} - {row["id"] for row in kept})
        return self.placed(table, kept)

    def placed(self, table: str, rows: list[Row]) -> list[Row]:
        """Rows with the projects that theirs are here, by id or else by name."""
        if not rows or "project_id" not in rows[0]:
            return rows
        named = [(row["project_id"], row.get("user_id")) for row in rows]
        with _lawful(table):
            meant = {(name, owner): self.projects.get(name) or self._canonical(name, owner) for name, owner in {*named} if name}
        return [{**row, "project_id": meant.get(each, each[0])} for row, each in zip(rows, named, strict=True)]

    def admitted(self, table: str, kind: str, page: list[Row]) -> list[Row]:
        """Those of the rows, known by their ids and of users and projects, that come in."""
        return self.same_users(table, kind, self.living(table, page, kind, BELONGS))

    def leave_out(self, kind: str, ids: Iterable[str]) -> None:
        """Note what does not come in, being an erased one's, so that nothing comes that names it."""
        self.remember("left out", [(hash((kind, id)), 1) for id in ids])

    def same_users(self, table: str, kind: str, rows: list[Row]) -> list[Row]:
        """Those of the rows that are not another user's here: what is stays as it is, and nothing is mixed into it."""
        asked = json.dumps([row["id"] for row in rows])
        found = self.connection.rows(f"SELECT id, user_id FROM {quote(table)} WHERE id IN (SELECT value FROM json_each(?))", (asked,))
        owners: dict[str, str] = dict(found)
        others = {row["id"] for row in rows if owners.get(row["id"], row["user_id"]) != row["user_id"]}
        if not others or self.mode == "error":
            return rows
        if self.mode == "replace":
            shown = shorten(min(others))
            raise Exists(f"{kind} {shown} of the export belongs to another user here, and is not replaced; nothing was imported")
        self.set_aside(kind, others)
        self.others[kind] = [*self.others.get(kind, ()), *sorted(others)][:3]
        self.other_count[kind] += len(others)
        self.skipped[table] += len(others)
        return [row for row in rows if row["id"] not in others]

    def set_aside(self, kind: str, ids: Iterable[str]) -> None:
        """Note what is skipped with all that goes with it."""
        self.remember("set aside", [(hash((kind, id)), 1) for id in ids])

    def aside(self, asked: Iterable[tuple[str, str | None]]) -> set[Erased]:
        """Which of these were set aside."""
        if not self.others:
            return set()
        pairs = {(kind, id) for kind, id in asked if isinstance(id, str) and id}
        out = self.recall("set aside", map(hash, pairs))
        return {pair for pair in pairs if hash(pair) in out}

    def _not_aside(self, table: str, rows: list[Row], owners: dict[str, tuple[str, ...]], kind: str) -> list[Row]:
        out = self.aside((each, row[column]) for row in rows for column, kinds in owners.items() if column in row for each in kinds)
        kept = [row for row in rows if not any((each, row.get(column)) in out for column, kinds in owners.items() for each in kinds)]
        self.skipped[table] += len(rows) - len(kept)
        if kind and len(kept) < len(rows):
            self.set_aside(kind, {row["id"] for row in rows} - {row["id"] for row in kept})
        return kept

    def gone(self, asked: Iterable[tuple[str, str | None]]) -> set[Erased]:
        """Which of these were erased once, or belong to something that was."""
        if self._were_erased is None:
            return set()
        pairs = {(kind, id) for kind, id in asked if isinstance(id, str) and id}
        out = self.recall("left out", map(hash, pairs))
        return self._were_erased(pairs) | {pair for pair in pairs if hash(pair) in out}

    def ids(self, table: str, ids: Sequence[str]) -> dict[str, int]:
        """Integer keys of the rows that have one of the ids."""
        found = self.connection.rows(f"SELECT id, pk FROM {quote(table)} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
        return dict(found)

    def known(self, table: str, row: Row) -> bool:
        """Judge a row that the store has already: True where it is to be replaced."""
        if self.mode == "error":
            shown = next((shorten(row[name]) for name in ("id", "item_id", "alias", "user_id") if name in row), "a row")
            ways = 'on_conflict="skip" keeps it, "replace" takes the columns of the export'
            raise Exists(f"the store has {shown} in {table} already; nothing was imported: {ways}")
        (self.replaced if self.mode == "replace" else self.skipped)[table] += 1
        return self.mode == "replace"

    def settle(self, table: str, row: Row, same: int | None, live: int | None) -> tuple[int, bool]:
        """Put in a row, or give its columns to the one here that has its id, or else to the one that says the same.

        Returns the integer key that it has here, and whether anything was written; `follow` goes by both.
        """
        here = live if same is None else same
        if same is None and live is not None:
            name = self.connection.value(f"SELECT id FROM {quote(table)} WHERE pk = ?", (live,))
            self.remember(f"twins in {table}", [(hash(row["id"]), name)])
        if here is None:
            self.insert(table, [without(row, "pk")])
            here = self.ids(table, [row["id"]])[row["id"]]
        elif not self.known(table, row):
            self.remember(f"kept {table}", [(row["pk"], here)])
            return here, False
        elif live not in (None, here) or self.recall(f"taken {table}", [here]):
            shown = shorten(row["id"])
            raise Exists(f"{shown} of {table} in the export says what another one says here; supersede or close one of the two first")
        else:
            self.update(table, here, row)
            self.remember(f"taken {table}", [(here, 1)])
            self.remember(f"replaced {table}", [(row["pk"], 1)])
        self.remember(f"settled {table}", [(row["pk"], here)])
        return here, True

    def renamed(self, table: str, ids: Iterable[str | None]) -> dict[str, str]:
        """What those of some rows are called here in whose place one stands that says the same."""
        asked = {hash(id): id for id in ids if id is not None}
        return {asked[found]: name for found, name in self.recall(f"twins in {table}", asked).items()}

    def rename_successors(self, table: str) -> None:
        """When all rows of a table are in: let those that were superseded name what stands here in the place of their successors."""
        for page in self.pages(table) if self.has_noted(f"twins in {table}") else ():
            names = self.renamed(table, [row["superseded_by"] for row in page])
            rows = {row["pk"]: names[row["superseded_by"]] for row in page if row["superseded_by"] in names}
            written = self.recall(f"settled {table}", rows)
            update = f"UPDATE {quote(table)} SET superseded_by = ? WHERE pk = ?"
            self.connection.many(update, [(rows[pk], here) for pk, here in written.items()])

    def places(self, table: str, keys: Iterable[int]) -> dict[int, int]:
        """The integer keys here of rows that `settle` was asked for, written or not."""
        keys = list(keys)
        return {**self.recall(f"settled {table}", keys), **self.recall(f"kept {table}", keys)}

    def update(self, table: str, pk: int, row: Row) -> None:
        """Give a row with an id the columns of the export; its keys stay."""
        id = self.connection.value(f"SELECT id FROM {quote(table)} WHERE pk = ?", (pk,))
        (stored,) = self._seal(table, [{**row, "id": id}])
        changed = without(stored, "pk", "id")
        with _lawful(table):
            self.connection.run(_update(table, tuple(changed)), (*changed.values(), pk))

    def follow(
        self,
        table: str,
        column: str,
        parent: str,
        rows: list[Row],
        prepare: Callable[[list[Row]], list[Row]] | None = None,
    ) -> None:
        """Put in the rows whose `column` names a row of `parent` that was settled; the others are counted as that one was."""
        named = {row[column] for row in rows}
        places, erased, replaced = (self.recall(f"{what} {parent}", named) for what in ("settled", "erased from", "replaced"))
        kept = [row for row in rows if row[column] in places]
        out = sum([row[column] in erased for row in rows])
        again = sum([row[column] in replaced for row in kept])
        self.erased[table] += out
        self.skipped[table] += len(rows) - len(kept) - out
        moved = [{**without(row, "pk"), column: places[row[column]]} for row in kept]
        self.insert(table, moved if prepare is None else prepare(moved))
        self.added[table] -= again  # they count as replaced
        self.replaced[table] += again

    # -- what is remembered between pages ---------------------------------------------------------------------------

    def remember(self, kind: str, pairs: Iterable[tuple[int, Any]]) -> None:
        """Note what became of integer keys of the export."""
        if not self._noted:
            self.connection.run("CREATE TEMP TABLE IF NOT EXISTS carried_keys(kind TEXT, old INTEGER, new ANY, PRIMARY KEY (kind, old))")
            self.connection.run("DELETE FROM temp.carried_keys")
            self._noted = True
        self.connection.many("INSERT OR REPLACE INTO temp.carried_keys(kind, old, new) VALUES (?, ?, ?)", [(kind, *pair) for pair in pairs])

    def recall(self, kind: str, keys: Iterable[int]) -> dict[int, Any]:
        """What was noted of keys."""
        if not self._noted:
            return {}
        return dict(
            self.connection.rows(
                "SELECT old, new FROM temp.carried_keys WHERE kind = ? AND old IN (SELECT value FROM json_each(?))",
                (kind, json.dumps(sorted({*keys}))),
            )
        )

    def has_noted(self, kind: str) -> bool:
        """Whether anything of a kind was noted."""
        some = "SELECT 1 FROM temp.carried_keys WHERE kind = ? LIMIT 1"
        return self._noted and self.connection.value(some, (kind,)) is not None

    def forget(self) -> None:
        """Drop what was noted."""
        if self._noted:
            self.connection.run("DROP TABLE temp.carried_keys")


def take_in(schema: Schema, intake: Intake) -> None:
    """Take in a room in which nothing is derived and nothing goes with a row."""
    for carried in schema.carried:
        if intake.mode == "adopt":
            intake.adopt(carried.table)
        else:
            intake.take(carried.table)


def without(row: Row, *names: str) -> Row:
    """A row without some of its columns."""
    return {name: value for name, value in row.items() if name not in names}


@contextmanager
def _lawful(table: str) -> Iterator[None]:
    """Name the table of a row that breaks its rules: its types and keys are sound by now, so the export is not."""
    try:
        yield
    except Invalid as error:
        raise Corrupt(f"a row of {table} in the export breaks the rules of its table ({error}); nothing was imported") from error


@cache
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {quote(table)}({', '.join(map(quote, columns))}) VALUES ({', '.join('?' * len(columns))})"


@cache
def _update(table: str, columns: tuple[str, ...]) -> str:
    return f"UPDATE {quote(table)} SET {', '.join([f'{quote(name)} = ?' for name in columns])} WHERE pk = ?"
