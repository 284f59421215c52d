"""What concerns the file as a whole: checking, counting, copying, tidying, and a question in plain SQL."""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import files
from .blocks import Borrow, Hold, Read, Write
from .connection import Connection, Database
from .driver import FAILURES, primary_code, translate
from .errors import Busy, Closed, Invalid, ReadOnly, Replaced, StoreError
from .schema import quote
from .values import Finding, integer, shorten, text

FREE_SHARE = 5  # VACUUM when more than one page in five is free: giving back single pages would fragment the file
READS = ("select", "with", "values", "explain")


def store_id(database: Database) -> str:
    """The store's identity as the file has it: another handle may have given the empty store that of an export."""
    with contextlib.suppress(StoreError), Read(database, False) as connection:  # a closed handle goes by what it knew
        database.store_id = connection.value("SELECT value FROM meta WHERE key = 'store_id'") or database.store_id
    return database.store_id


def query(database: Database, sql: str, params: Any) -> list[dict[str, Any]]:
    """Run one reading statement."""
    bare = re.sub(r"\A(\s+|--[^\n]*\n?|/\*.*?\*/)*", "", sql, flags=re.S)
    if not bare.lower().startswith(READS):
        raise Invalid(f"query() takes one SELECT, not {bare[:40]!r}; rooms have methods for writing")
    given = _bound(params)
    with Read(database, False) as connection:
        writes = connection is database.writer
        try:
            if writes:
                connection.rows("PRAGMA query_only = ON")
            cursor = connection.raw.execute(sql, given)
            rows = cursor.fetchall()  # before anything else: an interrupt would leave a half-read cursor in the traceback
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in rows]
        except FAILURES as error:
            if primary_code(error) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY) or not isinstance(error, sqlite3.OperationalError):
                raise Invalid(f"SQL cannot be answered: {error}") from error
            raise translate(error) from error
        finally:
            if writes:
                connection.raw.execute("PRAGMA query_only = OFF")


def _bound(params: Any) -> Any:
    """Parameters as they can be bound: SQLite would take NaN for NULL, and the driver converts dates in its own way."""
    if isinstance(params, Mapping):
        return {name: _bindable(f"params[{shorten(name)}]", value) for name, value in params.items()}
    if isinstance(params, (str, bytes)) or not isinstance(params, Sequence):
        raise Invalid(f"params must be a list or a dict of values, not {type(params).__name__} {shorten(params)}")
    return [_bindable(f"params[{position}]", value) for position, value in enumerate(params)]


def _bindable(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return text(name, value)
    if isinstance(value, int):
        return integer(name, int(value))
    if value is None or isinstance(value, bytes) or (isinstance(value, float) and not math.isnan(value)):
        return value
    raise Invalid(f"{name} must be a str, a number, bytes or None, not {type(value).__name__} {shorten(value)}")


def snapshot(database: Database, path: Any, progress: Any) -> str:
    """Copy the committed state into a file of its own."""
    if progress is not None and not callable(progress):
        raise Invalid(f"progress must be a function of two numbers, not {type(progress).__name__} {shorten(progress)}")
    if database.in_memory and database.in_transaction:
        raise Invalid("snapshot() of a :memory: store inside transaction() would copy half of it; leave the block first")
    try:
        with Read(database, True) if database.in_memory else Borrow(database) as connection:
            if not database.in_memory:
                connection.raw.execute("BEGIN")
                connection.raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # only the first read fixes the state
            return files.copy(connection.raw, path, progress, origin=database.place, store_id=store_id(database))
    except FAILURES as error:
        raise translate(error) from error


def check_file(database: Database, *, deep: bool) -> Iterator[Finding]:
    """Integrity and foreign keys of the file, and what is owed."""
    try:
        with Read(database, False) as connection:
            lines = [row[0] for row in connection.rows("PRAGMA integrity_check(20)")]
            yield from (Finding("corrupt", None, line) for line in lines if line != "ok")
            for table, row, parent, _ in connection.rows("PRAGMA foreign_key_check"):
                yield Finding("foreign_key", row, f"row {row} of {table} names a row of {parent} that does not exist")
            if connection.value("SELECT 1 FROM meta WHERE key = 'scrub_owed'") is not None:
                yield Finding("scrub_owed", None, "deleted text may still be in the write-ahead log; it is emptied at the next chance")
    except (Busy, Closed, Replaced):
        raise  # no damage
    except StoreError as error:
        yield Finding("corrupt", None, f"the file cannot be read: {error}")
    if deep and sqlite3.sqlite_version_info < (3, 51, 3):
        risk = "can lose commits when other tools checkpoint this file while it is in use; memstore's own checkpoints are guarded"
        yield Finding("sqlite", None, f"SQLite {sqlite3.sqlite_version} {risk}; 3.51.3 or newer cannot")


def unlisted(database: Database, rooms: dict[str, Sequence[str]]) -> list[Finding]:
    """Rooms whose tables are in the file although its list of rooms does not have them."""
    with Read(database, False) as connection:
        names = {row[0] for row in connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return [
        Finding("schema", None, f"{room} has tables in the file but is missing from its list of rooms")
        for room, tables in rooms.items()
        if names.intersection(tables)
    ]


def table_sizes(database: Database, names: Sequence[str], *, sizes: bool = True) -> list[tuple[str, int, int | None]]:
    """Rows and bytes of each table, its indexes included."""
    with Read(database, True) as connection:
        pages = _bytes_by_table(connection) if sizes else None
        return [
            (name, connection.value(f"SELECT count(*) FROM {quote(name)}"), None if pages is None else pages.get(name, 0)) for name in names
        ]


def _bytes_by_table(connection: Connection) -> dict[str, int] | None:
    try:
        rows = connection.rows(
            """
            SELECT coalesce(sqlite_schema.tbl_name, dbstat.name), sum(dbstat.pgsize)
            FROM dbstat LEFT JOIN sqlite_schema ON sqlite_schema.name = dbstat.name
            WHERE dbstat.aggregate
            GROUP BY 1
            """
        )
    except StoreError:
        return None  # dbstat is a build option
    return dict(rows)


def file_sizes(database: Database) -> tuple[int, int, int, bool, str]:
    """Bytes of the file, of its log and of free pages; whether a scrub is owed; the version of SQLite."""
    with Read(database, True) as connection:
        page = connection.value("PRAGMA page_size")
        size = connection.value("PRAGMA page_count") * page
        free = connection.value("PRAGMA freelist_count") * page
        owed = connection.value("SELECT 1 FROM meta WHERE key = 'scrub_owed'") is not None
    log = 0 if database.in_memory else files.wal_size(database.place)
    return size, log, free, owed, sqlite3.sqlite_version


def advice(database: Database, log: int, owed: bool) -> list[str]:
    """What a person should know of a log of that many bytes: what keeps it long, and whether deleted text is still in it."""
    said = []
    pinned = database.wal.pinned() if log > files.LOG_KEPT or owed else 0
    if pinned is None and log > files.LOG_KEPT:
        said.append(f"the write-ahead log has {log / 1e6:.1f} MB; a store that can write copies it into the file and cuts it")
    elif pinned == 0 and log > 2 * files.LOG_KEPT:
        said.append(f"the write-ahead log has {log / 1e6:.1f} MB, all copied into the file; the next commit at which nobody reads cuts it")
    elif pinned:
        said.append(
            f"the write-ahead log has {log / 1e6:.1f} MB, of which {pinned / 1e6:.1f} MB cannot be copied into the file yet:"
            f" whoever reads an older state must end first ({len(database.lent)} reader(s) of this process are out, another process may"
            " have more); it is cut by the first commit at which nobody reads"
        )
    if owed:
        said.append("deleted text may still be in the write-ahead log; the next checkpoint, open or close that no reader pins empties it")
    return said


def maintenance(database: Database) -> tuple[int, float | None, float | None, int, int]:
    """The bookkeeping of `optimize`."""
    with Read(database, False) as connection:
        row = connection.row(
            "SELECT operation_count, last_vacuum_at, last_analyze_at, total_vacuums, total_analyzes FROM maintenance WHERE id = 1"
        )
    operations, vacuumed_at, analyzed_at, vacuums, analyzes = row or (0, None, None, 0, 0)
    return operations, vacuumed_at, analyzed_at, vacuums, analyzes


def optimize(database: Database) -> None:
    """Give free pages back and refresh the planner's statistics, each where it is due."""
    if database.read_only:
        raise ReadOnly(f"{database.name} was opened with read_only=True")
    if database.in_transaction:
        raise Invalid("optimize() cannot run inside transaction(); leave the block first")
    with Read(database, False) as connection:
        pages = connection.value("PRAGMA page_count")
        free = connection.value("PRAGMA freelist_count")
    vacuumed = free * FREE_SHARE > pages and free > 64
    if vacuumed:
        _outside_transaction(database, "VACUUM")
    elif free:
        _outside_transaction(database, "PRAGMA incremental_vacuum")
    with Write(database) as connection:
        connection.rows("PRAGMA analysis_limit = 400")
        connection.run("ANALYZE")
        connection.run(
            """
            UPDATE maintenance
            SET operation_count = operation_count + 1,
                last_vacuum_at = CASE WHEN ? THEN ? ELSE last_vacuum_at END,
                total_vacuums = total_vacuums + ?,
                last_analyze_at = ?,
                total_analyzes = total_analyzes + 1
            WHERE id = 1
            """,
            (vacuumed, database.now, vacuumed, database.now),
        )
    database.wal.flush()


def _outside_transaction(database: Database, sql: str) -> None:
    """Run a statement that cannot run inside a transaction, waiting for others as every write does."""
    deadline = time.monotonic() + database.timeout
    with Hold(database, deadline):
        writer = database.writer or database.open_writer(deadline)
        while True:
            try:
                writer.raw.execute(sql).fetchall()
                return
            except FAILURES as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY:
                    raise translate(error) from error
                if time.monotonic() > deadline:
                    raise Busy(f"{database.name} is held by another writer ({database.timeout:.1f} s); optimize() again later") from error
            time.sleep(0.005)
