"""Schemas: a room's DDL text is the only truth, and the file is brought to it by difference.

1. The target is what SQLite itself makes of the DDL in a scratch database; nothing here interprets types or constraints.
2. Missing columns are added with the author's own text; what ALTER refuses is rebuilt. SQLite is the judge of what ALTER can
   do, there is no list of rules here.
3. Live columns, indexes, triggers and tables that the DDL does not know are somebody's and stay. Names that begin with
   `table__` are ours: such an index or trigger that the DDL no longer has is dropped. A table of somebody else's under a name
   of ours is never taken over, and one of ours that is gone is never made again: the file remembers which it was given.
4. Changing what a column means (rename, split, fill) is a named Step. A Step runs once; one that works in batches keeps its
   place in the transaction of the batch.
5. All of it is one IMMEDIATE transaction, and after it the plan made again must be empty. (Batched steps follow, each batch in
   a transaction of its own; the room's digest is written when the last one is done.)
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from .driver import FAILURES, primary_code, translate
from .errors import Corrupt, Exists, Invalid, NeedsUpgrade, SchemaTooNew, StoreError
from .values import Finding, from_json

if TYPE_CHECKING:
    from .connection import Connection


@dataclass(frozen=True)
class Step:
    """A change of data that the DDL cannot express; `before` runs ahead of the difference.

    `run(connection)` is called once. With `batched=True` it runs after everything else as `run(connection, place)` with the
    place that it returned last, as text (None at first), again and again until it returns None.
    """

    name: str
    run: Callable[..., Any]
    before: bool = False
    batched: bool = False


@dataclass(frozen=True)
class Carried:
    """How the rows of a table leave the file and come back; a table that no `Carried` names is derived from others."""

    table: str
    key: tuple[str, ...]  # the primary key: rows leave in its order
    sealed: tuple[str, ...] = ()  # texts that a codec encrypts
    documents: tuple[str, ...] = ()  # JSON texts that a codec encrypts
    owner: tuple[str, ...] = ("id",)  # the columns that what is encrypted is bound to
    derived: tuple[str, ...] = ()  # columns that are computed from others
    where: str = "1"  # rows that do not satisfy it are derived
    blobs: tuple[str, ...] = ()  # sealed columns whose ciphertext stays bytes


@dataclass(frozen=True)
class Schema:
    """The tables of one room: `version` rises with every change of the DDL or the steps."""

    name: str
    version: int
    ddl: str
    steps: tuple[Step, ...] = ()
    carried: tuple[Carried, ...] = ()  # in an order in which rows never name one that is yet to come
    derived: tuple[Carried, ...] = ()  # tables that do not leave the file and hold what a codec encrypts

    @cached_property
    def digest(self) -> str:
        """What a file remembers of it; a comment changes nothing."""
        text = "\0".join([normal(self.ddl), *(step.name for step in self.steps)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


KERNEL = Schema(
    "kernel",
    version=1,
    ddl="""
CREATE TABLE meta(
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schema_version(
    room       TEXT PRIMARY KEY,
    version    INTEGER NOT NULL,
    digest     TEXT NOT NULL,            -- of the DDL text; empty while batched steps are still running
    tables     TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tables)),   -- what the room was given: tells a lost table from a new one
    applied_at REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE schema_steps(
    room        TEXT NOT NULL,
    description TEXT NOT NULL,
    version     INTEGER NOT NULL,
    applied_at  REAL,                    -- NULL while a batched step is on its way
    place       TEXT,                    -- where a batched step goes on
    PRIMARY KEY (room, description)
) STRICT, WITHOUT ROWID;

CREATE TABLE maintenance(
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    operation_count INTEGER NOT NULL DEFAULT 0,
    last_vacuum_at  REAL,
    last_analyze_at REAL,
    total_vacuums   INTEGER NOT NULL DEFAULT 0,
    total_analyzes  INTEGER NOT NULL DEFAULT 0
) STRICT;
""",
)


# -- what a schema consists of ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Definition:
    """A CREATE TABLE taken apart at its top-level commas."""

    columns: dict[str, str]  # name -> text
    constraints: list[str]
    options: str

    def same_form(self, other: Definition) -> bool:
        """Whether constraints and options are equal, whatever their order and spelling."""
        return sorted(map(normal, self.constraints)) == sorted(map(normal, other.constraints)) and sorted(
            normal(self.options).split(" , ")
        ) == sorted(normal(other.options).split(" , "))


Objects = dict[tuple[str, str], tuple[str, str]]  # (type, name) -> (table, sql)

_TOKEN = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\s+|\w+|.""", re.S)
_WORD = re.compile(r'\w+|"\w+"|`\w+`|\[\w+\]')
_CONSTRAINT = ("constraint", "primary", "unique", "check", "foreign")
_VALUES = ("null", "true", "false", "current_date", "current_time", "current_timestamp")  # bare they are no names
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}  # SQLite's idea of case


def tokens(sql: str) -> list[str]:
    """Tokens of an SQL text, each comment as one space."""
    return [" " if token.startswith(("--", "/*")) else token for token in _TOKEN.findall(sql)]


def normal(sql: str) -> str:
    """A form in which equal definitions are equal: no comments, one space, no case or quotes where they mean nothing."""
    return " ".join(_plain(token) for token in tokens(sql) if not token.isspace())


def _plain(token: str) -> str:
    name = _name(token)
    return name if _WORD.fullmatch(token) and (name == token.translate(_LOWER) or name not in _VALUES) else token


def _name(token: str) -> str:
    """What SQLite takes a token for where it stands for a name."""
    if token[0] in "\"`'[":
        token = token[1:-1].replace(token[-1] * 2, token[-1])
    return token.translate(_LOWER)


def define(sql: str) -> Definition:
    """Take a CREATE TABLE apart."""
    parts: list[str] = []
    part: list[str] = []
    options: list[str] = []
    depth = 0
    for token in tokens(sql):
        depth -= token == ")"
        if depth == 0:
            if token == ")":
                parts.append("".join(part))
            elif parts:
                options.append(token)
        elif depth == 1 and token == ",":
            parts.append("".join(part))
            part = []
        else:
            part.append(token)
        depth += token == "("
    columns, constraints = {}, []
    for text in (part.strip() for part in parts):
        first = tokens(text)[0]
        if first.lower() in _CONSTRAINT:
            constraints.append(text)
        else:
            columns[_name(first)] = text
    return Definition(columns, constraints, "".join(options).strip())


def objects(raw: sqlite3.Connection) -> Objects:
    """All tables, indexes, triggers and views of a database that somebody has written, their names as SQLite compares them."""
    try:
        rows = raw.execute(
            """
            SELECT type, lower(name), lower(tbl_name), sql FROM sqlite_schema
            WHERE sql IS NOT NULL AND NOT (type = 'table' AND name LIKE 'sqlite\\_%' ESCAPE '\\')
            ORDER BY rowid
            """
        ).fetchall()
    except FAILURES as error:
        raise translate(error) from error
    return {(kind, name): (table, sql) for kind, name, table, sql in rows}


def statements(ddl: str) -> list[str]:
    """Split DDL into statements; SQLite says where one ends, so triggers stay whole."""
    result, pending = [], ""
    for piece in re.split(r"(?<=;)", ddl):
        pending += piece
        if sqlite3.complete_statement(pending):
            result.append(pending.strip())
            pending = ""
    return [*result, pending.strip()] if normal(pending) else result


@cache
def target(schema: Schema) -> Objects:
    """What the DDL makes in an empty database."""
    scratch = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in statements(schema.ddl):
            scratch.execute(statement)
        return objects(scratch)
    finally:
        scratch.close()


def tables(schema: Schema) -> list[str]:
    """Names of a schema's tables."""
    return [name for kind, name in target(schema) if kind == "table"]


# -- the difference -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One thing that has to be done: create, add, rebuild or drop."""

    verb: str
    kind: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        state = {"create": "is gone", "add": f"lacks the column {self.detail}"}.get(self.verb, "is not as it was made")
        return f"{self.kind} {self.name} {state}"


def plan(live: Objects, wanted: Objects) -> list[Change]:
    """List what is to be done so that `live` comes to hold all that is `wanted`; what is to change is dropped, then made anew."""
    changes = []
    for (kind, name), (_, sql) in wanted.items():
        found = live.get((kind, name))
        if found is None:
            changes.append(Change("create", kind, name))
        elif found[1] == sql:  # as it mostly is; to take a text apart costs more than all the rest
            continue
        elif kind == "table":
            changes += _table_changes(name, define(found[1]), define(sql))
        elif normal(found[1]) != normal(sql):
            changes.append(Change("drop", kind, name))
    ours = {name for kind, name in wanted if kind == "table"}
    changes += [
        Change("drop", kind, name)
        for (kind, name), (table, _) in live.items()
        if kind in ("index", "trigger") and table in ours and name.startswith(f"{table}__") and (kind, name) not in wanted
    ]
    return changes


def _table_changes(name: str, live: Definition, wanted: Definition) -> list[Change]:
    same = all(normal(live.columns[column]) == normal(text) for column, text in wanted.columns.items() if column in live.columns)
    if not same or not live.same_form(wanted):
        return [Change("rebuild", "table", name)]
    return [Change("add", "table", name, column) for column in wanted.columns if column not in live.columns]


def differences(raw: sqlite3.Connection, schema: Schema) -> list[Finding]:
    """What in the file is not as the schema has it, hostile triggers included."""
    live, wanted = objects(raw), target(schema)
    changes = plan(live, wanted)
    found = [
        Finding("missing" if (change.verb, change.kind) == ("create", "table") else "schema", None, f"{change} ({schema.name})")
        for change in changes
    ]
    ours = {name for kind, name in wanted if kind in ("table", "view")}
    found += [
        Finding("schema", None, f"{kind} {name} on {table} is not ours ({schema.name})")
        for (kind, name), (table, sql) in live.items()
        # Virtual tables of a room have names that begin with `table__`, and none of them has a trigger.
        if (table in ours or (kind == "trigger" and table.partition("__")[0] in ours))
        and (kind, name) not in wanted
        and Change("drop", kind, name) not in changes
        # Other indexes cost time only; a second UNIQUE on the log would let INSERT OR REPLACE remove rows unseen.
        if kind == "trigger" or (kind == "index" and normal(sql).startswith("create unique "))
    ]
    return found


# -- bringing a file to its schema --------------------------------------------------------------------------------------


def state(connection: Connection, schema: Schema) -> str:
    """How the file stands to the schema: absent, current or older; newer raises SchemaTooNew, lost tables raise Corrupt."""
    row = connection.row(
        """
        SELECT CAST(version AS INTEGER), digest, (
            SELECT value FROM json_each(tables)
            WHERE value NOT IN (SELECT lower(name) FROM sqlite_schema WHERE type = 'table')
        )
        FROM schema_version WHERE room = ?
        """,
        (schema.name,),
    )
    if row is None:
        return "absent"
    version, digest, lost = row
    if version is not None and version > schema.version:  # a lost one is the kernel's finding
        raise SchemaTooNew(
            f"{schema.name} in this file has schema {version}, this memstore knows {schema.version}: upgrade memstore; nothing was touched"
        )
    if lost is not None:
        raise Corrupt(f"{schema.name} has lost its table {lost}; restore a snapshot, or see check()")
    return "current" if digest == schema.digest else "older"


def create(connection: Connection, schema: Schema, now: float) -> None:
    """Make the schema in a file that does not have it."""
    _refuse_taken(connection, schema, ())
    for statement in statements(schema.ddl):
        connection.run(statement)
    for step in schema.steps:  # their work is in the DDL already
        _record_step(connection, schema, step, now)
    _record_version(connection, schema, schema.digest, now)


def migrate(connection: Connection, schema: Schema, now: float) -> None:
    """Bring an older schema up, all but its batched steps; inside one IMMEDIATE transaction with foreign keys off."""
    known = connection.value("SELECT tables FROM schema_version WHERE room = ?", (schema.name,))
    _refuse_taken(connection, schema, from_json(known))
    done = {row[0] for row in connection.rows("SELECT description FROM schema_steps WHERE room = ?", (schema.name,))}
    steps = [step for step in schema.steps if step.name not in done and not step.batched]
    for step in steps:
        if step.before:
            _run_step(connection, schema, step, now)
    _carry_out(connection, schema)
    for step in steps:
        if not step.before:
            _run_step(connection, schema, step, now)
    _verify(connection, schema)
    _record_version(connection, schema, "" if pending(connection, schema) else schema.digest, now)


def pending(connection: Connection, schema: Schema) -> list[Step]:
    """Batched steps that are not finished."""
    rows = connection.rows("SELECT description FROM schema_steps WHERE room = ? AND applied_at IS NOT NULL", (schema.name,))
    done = {row[0] for row in rows}
    return [step for step in schema.steps if step.batched and step.name not in done]


def run_batch(connection: Connection, schema: Schema, now: float) -> bool:
    """Run one batch of the first unfinished step, its new place in the same transaction; False when none is left."""
    steps = pending(connection, schema) if state(connection, schema) == "older" else []
    if not steps:
        return False
    step = steps[0]
    place = connection.value("SELECT place FROM schema_steps WHERE room = ? AND description = ?", (schema.name, step.name))
    place = step.run(connection, place)
    _record_step(connection, schema, step, now if place is None else None, place)
    if place is None and len(steps) == 1:
        _record_version(connection, schema, schema.digest, now)
    return True


def _refuse_taken(connection: Connection, schema: Schema, known: Sequence[str]) -> None:
    live = objects(connection.raw)
    for name in tables(schema):
        if name not in known and (("table", name) in live or ("view", name) in live):
            raise Exists(f"the file has a table {name} that {schema.name} did not make; rename it before using store.{schema.name}")


def _carry_out(connection: Connection, schema: Schema) -> None:
    """Do the first change and plan again, until nothing is left: a rebuild brings several columns, a view takes its triggers away."""
    before: list[Change] = []
    changes = plan(objects(connection.raw), target(schema))
    while changes and changes != before:
        table, sql = target(schema).get((changes[0].kind, changes[0].name), (changes[0].name, ""))
        try:
            _apply(connection, changes[0], sql)
        except StoreError as error:
            if not _declined(error):
                raise
            raise Invalid(f"{table} does not fit schema {schema.version} of {schema.name} ({error}); it needs a named Step") from error
        before, changes = changes, plan(objects(connection.raw), target(schema))


def _apply(connection: Connection, change: Change, sql: str) -> None:
    if change.verb == "create":
        connection.run(sql)
    elif change.verb == "drop":
        connection.run(f"DROP {change.kind} {quote(change.name)}")
    elif change.verb == "add":
        _add(connection, change.name, change.detail, sql)
    else:
        _rebuild(connection, change.name, sql)


def _declined(error: StoreError) -> bool:
    """Whether SQLite understood a statement and refused it, because of the schema or the rows; the rest is the disk's failure."""
    return isinstance(error, (Exists, Invalid)) or primary_code(error.__cause__ or error) == sqlite3.SQLITE_ERROR


def _add(connection: Connection, table: str, column: str, sql: str) -> None:
    try:
        connection.run(f"ALTER TABLE {quote(table)} ADD COLUMN {define(sql).columns[column]}")
    except StoreError:  # if it was the disk, that will stop the rebuild too
        _rebuild(connection, table, sql)


def _rebuild(connection: Connection, table: str, sql: str) -> None:
    """Make the table anew with the author's text and everybody's columns, and move the rows."""
    live = objects(connection.raw)
    text = live["table", table][1]
    old, new = define(text), define(sql)
    if normal(sql).startswith("create virtual"):
        raise Invalid("a virtual table cannot be altered")
    parts = [*new.columns.values(), *(part for name, part in old.columns.items() if name not in new.columns), *new.constraints]
    name, fresh = quote(table), quote(f"memstore_new_{table}")
    connection.run(f"CREATE TABLE {fresh}({', '.join(parts)}) {new.options}")
    columns = ", ".join(map(quote, _movable(connection, name, fresh)))
    connection.run(f"INSERT INTO {fresh}({columns}) SELECT {columns} FROM {name} NOT INDEXED")  # in the order of rowid
    counted = all("autoincrement" in normal(definition) for definition in (text, sql))
    mark = connection.value("SELECT seq FROM sqlite_sequence WHERE lower(name) = ?", (table,)) if counted else None
    connection.run(f"DROP TABLE {name}")
    connection.run(f"ALTER TABLE {fresh} RENAME TO {name}")
    if mark is not None:
        connection.run("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        connection.run("INSERT INTO sqlite_sequence(name, seq) VALUES (?, ?)", (table, mark))
    for (kind, _), (owner, statement) in live.items():
        if kind in ("index", "trigger") and owner == table:
            connection.run(statement)


def _movable(connection: Connection, table: str, fresh: str) -> list[str]:
    """Columns whose values the new table takes over; one that is computed from now on must not have any."""
    stored = _columns(connection, fresh, computed=False)
    for name in _columns(connection, table, computed=False):
        if name not in stored and connection.row(f"SELECT 1 FROM {table} WHERE {quote(name)} IS NOT NULL LIMIT 1") is not None:
            raise Invalid(f"the values of its column {name} would be lost")
    return [name for name in _columns(connection, table) if name in stored]


def _columns(connection: Connection, table: str, *, computed: bool = True) -> list[str]:
    """Columns of a table; table_info would hide computed ones."""
    rows = connection.rows(f"PRAGMA table_xinfo({table})")
    return [_name(row[1]) for row in rows if computed or row[6] == 0]


def _verify(connection: Connection, schema: Schema) -> None:
    """The plan made again must be empty, and no row may name one that does not exist."""
    left = plan(objects(connection.raw), target(schema))
    if left:
        raise Corrupt(f"{schema.name} could not be brought to schema {schema.version}: {left[0]}")
    for table in tables(schema):
        broken = connection.row(f"PRAGMA foreign_key_check({quote(table)})")
        if broken is not None:
            raise Corrupt(f"row {broken[1]} of {table} names a row of {broken[2]} that does not exist; mend it before upgrading")


def _run_step(connection: Connection, schema: Schema, step: Step, now: float) -> None:
    step.run(connection)
    _record_step(connection, schema, step, now)


def _record_step(connection: Connection, schema: Schema, step: Step, now: float | None, place: str | None = None) -> None:
    connection.run(
        """
        INSERT INTO schema_steps(room, description, version, applied_at, place) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT(room, description) DO UPDATE SET applied_at = excluded.applied_at, place = excluded.place
        """,
        (schema.name, step.name, schema.version, now, place),
    )


def _record_version(connection: Connection, schema: Schema, digest: str, now: float) -> None:
    connection.run(
        """
        INSERT INTO schema_version(room, version, digest, tables, applied_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT(room) DO UPDATE
        SET version = excluded.version, digest = excluded.digest, tables = excluded.tables, applied_at = excluded.applied_at
        """,
        (schema.name, schema.version, digest, json.dumps(tables(schema)), now),
    )


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def needs_upgrade(schema: Schema) -> NeedsUpgrade:
    """The error for an older room in a store that may not be written."""
    return NeedsUpgrade(f"{schema.name} has an older schema and the store is read-only; open it once for writing")
