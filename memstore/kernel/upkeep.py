"""What concerns the file as a whole: checking, counting, copying, tidying, and a question in plain SQL."""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from . import files, sealed
from .blocks import Borrow, Hold, Read, Write
from .connection import Connection, Database
from .driver import FAILURES, primary_code, translate
from .errors import Busy, Closed, Invalid, ReadOnly, Replaced, StoreError, WrongKey
from .schema import Schema, quote
from .values import Finding, integer, listener, shorten, text
from .wal import OWED

FREE_SHARE = 5  # VACUUM when more than one page in five is free: giving back single pages would fragment the file
STEP = 1000  # pages that are given back in one transaction: some 10 ms
READS = ("select", "with", "values", "explain")


def store_id(database: Database) -> str:
    """The store's identity as the file has it: another handle may have given the empty store that of an export."""
    with contextlib.suppress(StoreError), Read(database, False) as connection:  # a closed handle goes by what it knew
        database.store_id = str(connection.value("SELECT value FROM meta WHERE key = 'store_id'") or database.store_id)
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
    listener("progress", progress)
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
            if connection.value(OWED) is not None:
                yield Finding("scrub_owed", None, f"deleted text may still be in the {_where(connection)}; it goes at the next chance")
    except (Busy, Closed, Replaced, WrongKey):
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


def table_rows(database: Database, names: Sequence[str]) -> list[tuple[str, int]]:
    """Rows of each table."""
    with Read(database, True) as connection:
        return [(name, connection.value(f"SELECT count(*) FROM {quote(name)}")) for name in names]


def table_bytes(database: Database) -> dict[str, int] | None:
    """Bytes of each table of the file, its indexes included; None where dbstat, a build option, is missing."""
    with Read(database, False) as connection:
        try:
            rows = connection.rows(
                """
                WITH sizes(name, bytes) AS (
                    SELECT coalesce(known.tbl_name, size.name), size.pgsize
                    FROM dbstat AS size LEFT JOIN sqlite_schema AS known ON known.name = size.name
                    WHERE size.aggregate = 1
                )
                SELECT iif(instr(name, '__'), substr(name, 1, instr(name, '__') - 1), name), sum(bytes) FROM sizes GROUP BY 1
                """  # what a room keeps in virtual tables has names that begin with `table__`, like its indexes
            )
        except StoreError:
            return None
    return dict(rows)


def text_sizes(database: Database, schema: Schema) -> dict[str, int]:
    """Bytes of the texts and documents that callers have put into each table, as they lie there."""
    result = {}
    with Read(database, True) as connection:
        for carried in schema.carried:
            columns = " + ".join(f"ifnull(length(CAST({quote(name)} AS BLOB)), 0)" for name in (*carried.sealed, *carried.documents))
            if columns:
                table = quote(carried.table)
                result[carried.table] = int(connection.value(f"SELECT coalesce(sum({columns}), 0) FROM {table}"))
    return result


def packed_size(connection: Connection) -> int:
    """Bytes of the file once its free pages are given back, as the transaction under way leaves it."""
    size = int(connection.value("PRAGMA page_size"))
    pages, free = int(connection.value("PRAGMA page_count")), int(connection.value("PRAGMA freelist_count"))
    if connection.value("PRAGMA auto_vacuum") == 0:
        return (pages - free) * size
    mapped = size // 5  # pages that one page of the pointer map tells of; the first stands after page 1
    used = pages - free - math.ceil((pages - 1) / (mapped + 1))
    return (used + math.ceil((used - 1) / mapped)) * size


def give_back(database: Database) -> None:
    """Give free pages back to the disk, in steps between which others write and Ctrl-C is heard; then cut the log."""
    with Read(database, False) as connection:
        whole = connection.value("PRAGMA auto_vacuum") == 0
        free = connection.value("PRAGMA freelist_count")
    if not free:
        return
    while free:
        _outside_transaction(database, database.wal.vacuum if whole else partial(_shrink, pages=STEP))
        with Read(database, False) as connection:
            before, free = free, connection.value("PRAGMA freelist_count")
        if free >= before:
            break  # others free as fast as we give back
    if database.wal.owed:
        database.wal.flush()  # a reader has had its time to end already
    else:
        database.wal.scrub()


def file_sizes(database: Database) -> tuple[int, int, int, bool, str]:
    """Bytes of the file, of its log and of free pages; whether a scrub is owed; the version of SQLite."""
    with Read(database, True) as connection:
        page = connection.value("PRAGMA page_size")
        size = connection.value("PRAGMA page_count") * page
        free = connection.value("PRAGMA freelist_count") * page
        owed = connection.value(OWED) is not None
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
    if sealed.pending(database):
        said.append("a rekey() has not come through; call it again with the same codec, which goes on where it was")
    if owed:
        with Read(database, False) as connection:
            place = _where(connection)
        said.append(f"deleted text may still be in the {place}; the next commits, open or close that meet no reader or writer remove it")
    return said


def _where(connection: Connection) -> str:
    """Where text that was deleted may be left while something is owed."""
    vacuum = connection.value("SELECT 1 FROM meta WHERE key = 'vacuum_owed'") is not None
    return "write-ahead log and in unused bytes of the file" if vacuum else "write-ahead log"


def owes(database: Database) -> bool:
    """Whether what was deleted may have left a trace."""
    with Read(database, False) as connection:
        return connection.value(OWED) is not None


def forget_samples(connection: Connection) -> None:
    """Drop the values that ANALYZE has picked out of indexes, where SQLite was built to keep some."""
    if connection.value("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat4'") is not None:
        connection.run("DELETE FROM sqlite_stat4")


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
        owed = connection.value(OWED) is not None
    vacuumed = free * FREE_SHARE > pages and free > 64
    if vacuumed:
        _outside_transaction(database, database.wal.vacuum)
    elif free:
        _outside_transaction(database, _shrink)
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
    (database.wal.scrub if owed else database.wal.flush)()


def _shrink(writer: Connection, pages: int = 0) -> None:
    """Give back so many free pages, with 0 all of them."""
    writer.raw.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()


def _outside_transaction(database: Database, act: Callable[[Connection], object]) -> None:
    """Do what cannot be done inside a transaction, waiting for others as every write does."""
    deadline = time.monotonic() + database.timeout
    with Hold(database, deadline):
        writer = database.writer or database.open_writer(deadline)
        while True:
            try:
                act(writer)
                return
            except FAILURES as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY:
                    raise translate(error) from error
                if time.monotonic() > deadline:
                    raise Busy(f"{database.name} is held by another writer ({database.timeout:.1f} s); optimize() again later") from error
            time.sleep(0.005)
