"""All that is encrypted in a file, table by table: to try it, and to bring it under another key.

1. At every instant all of a file is under one key. The values for a new one are made beforehand, in batches, in a table beside
   (`rekeyed`), while everybody goes on writing; then one transaction puts them into place together with the key check.
2. A value made beforehand counts as long as what it was made from is there unchanged: its digest says so. What was written since
   is made in that transaction.
3. Whoever dies on the way leaves the old key in force; who comes again with the same new key goes on, with another begins anew.

The trap: the table beside holds copies. `forget_copies` empties it, so that what is deleted for good is not kept in there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .blocks import Read, Write
from .errors import Busy, Corrupt, Invalid, Tampered, WrongKey
from .schema import Carried, Schema, quote
from .values import Finding

if TYPE_CHECKING:
    from .cipher import Cipher
    from .connection import Connection, Database, Row

    Cells = dict[str, Any]  # columns of a row that are not NULL, and what is in them

PAGE = 256  # rows
PAGE_BYTES = 4_000_000
PENDING = "SELECT value FROM meta WHERE key = 'rekey'"
BESIDE = """
CREATE TABLE rekeyed(
    pk    INTEGER PRIMARY KEY,
    place TEXT NOT NULL,  -- table.column
    key   TEXT NOT NULL,  -- of the row, as JSON
    old   BLOB NOT NULL,  -- digest of the value that stands in the table
    value ANY NOT NULL,   -- what takes its place
    UNIQUE (place, key)
) STRICT
"""
KEEP = """
INSERT INTO rekeyed(place, key, old, value) VALUES (?, ?, ?, ?)
ON CONFLICT(place, key) DO UPDATE SET old = excluded.old, value = excluded.value
"""


def tables(schemas: Sequence[Schema]) -> list[Carried]:
    """The tables of some rooms that hold what a codec encrypts."""
    return [each for schema in schemas for each in (*schema.carried, *schema.derived) if each.sealed or each.documents]


def unopened(database: Database, schema: Schema) -> Iterator[Finding]:
    """Values of a room that do not open, or open as those of another row."""
    with Read(database, True) as connection:
        cipher = connection.cipher
        for carried in tables([schema]) if cipher is not None else ():
            for page in _pages(connection, carried):
                for key, owner, cells in page:
                    for column, stored in cells.items():
                        why = _refusal(cipher, carried, column, owner, stored)
                        if why is not None:
                            yield Finding("sealed", key[-1], why)


def _refusal(cipher: Cipher | None, carried: Carried, column: str, owner: Row, stored: Any) -> str | None:
    try:
        if cipher is not None:
            cipher.unseal_column(carried, column, owner, stored)
    except (Corrupt, Tampered) as error:
        return str(error)
    return None


def mentions(connection: Connection, carried: Carried, text: str) -> int:
    """How many rows of a table hold a text within what is, or would be, encrypted; JSON holds it escaped."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    cipher = connection.cipher
    sought = {name: escaped if name in carried.blobs else text for name in carried.sealed} | dict.fromkeys(carried.documents, escaped)
    if not sought:
        return 0
    if cipher is None:
        where = " OR ".join(f"instr({quote(column)}, ?) > 0" for column in sought)
        return int(connection.value(f"SELECT count(*) FROM {quote(carried.table)} WHERE {where}", [*sought.values()]))
    return sum(
        any(sought[column] in (cipher.unseal_column(carried, column, owner, stored) or "") for column, stored in cells.items())
        for page in _pages(connection, carried)
        for _, owner, cells in page
    )


def count(database: Database, sealed: Sequence[Carried]) -> int:
    """How many rows some tables have."""
    with Read(database, True) as connection:
        return sum(connection.value(f"SELECT count(*) FROM {quote(carried.table)}") for carried in sealed)


# -- another key --------------------------------------------------------------------------------------------------------


def prepare(database: Database, sealed: Sequence[Carried], old: Cipher, codec: Any) -> Iterator[int]:
    """Make the values for a new codec, a batch a transaction; yields the rows of each."""
    with Write(database) as connection:
        new = old.successor(codec)
        mine = _begin(connection, new)
    for carried in sealed:
        after: Row | None = None
        while True:
            with Write(database) as connection:
                if connection.value(PENDING) != mine:
                    raise Busy(f"another rekey() of {database.name} has begun, or come through; one at a time")
                page = _page(connection, carried, after)
                for column in (*carried.sealed, *carried.documents):
                    renewed = _renewed(connection, carried, column, page, old, new)
                    place = f"{carried.table}.{column}"
                    rows = [(place, json.dumps(key), digest, value) for key, digest, value, fresh in renewed if fresh]
                    connection.many(KEEP, rows)
            if not page:
                break
            after = page[-1][0]
            yield len(page)


def _begin(connection: Connection, new: Cipher) -> str:
    """The key check that says for which codec the table beside is; one of another codec begins anew."""
    found: str | None = connection.value(PENDING)
    if found is not None and new.opens(connection, found):
        return found
    connection.run("DROP TABLE IF EXISTS rekeyed")
    connection.run(BESIDE)
    check = new.check_of(connection)
    connection.run(
        "INSERT INTO meta(key, value) VALUES ('rekey', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (check,)
    )
    return check


def _renewed(
    connection: Connection, carried: Carried, column: str, page: list[tuple[Row, Row, Cells]], old: Cipher, new: Cipher
) -> Iterator[tuple[Row, bytes, Any, bool]]:
    """Key, digest and new value of each value of a column, and whether it was made just now."""
    made = _made(connection, carried, column, page)
    for key, owner, cells in page:
        stored = cells.get(column)
        if stored is None:
            continue
        digest = _digest(stored)
        since, value = made.get(json.dumps(key), (None, None))
        if since == digest:
            yield key, digest, value, False
        else:
            yield key, digest, _turned(carried, column, owner, stored, old, new), True


def _turned(carried: Carried, column: str, owner: Row, stored: Any, old: Cipher, new: Cipher) -> Any:
    """A value under the new codec, opened once more: when it has taken its place there is no other copy."""
    plain = old.unseal_column(carried, column, owner, stored)
    value = new.seal_column(carried, column, owner, plain)
    with contextlib.suppress(Corrupt, Tampered, WrongKey):
        if new.unseal_column(carried, column, owner, value) == plain:
            return value
    raise Invalid("the new codec does not open what it has just encrypted; the old key stays in force")


def put(connection: Connection, sealed: Sequence[Carried], old: Cipher, codec: Any) -> int:
    """Bring every value under the new codec, and the file with it; returns how many, inside the caller's transaction."""
    new, values = old.successor(codec), 0
    check = _begin(connection, new)
    for carried in sealed:
        for page in _pages(connection, carried):
            for column in (*carried.sealed, *carried.documents):
                rows = [(value, *key) for key, _, value, _ in _renewed(connection, carried, column, page, old, new)]
                where = " AND ".join(f"{quote(name)} = ?" for name in carried.key)
                values += connection.many(f"UPDATE {quote(carried.table)} SET {quote(column)} = ? WHERE {where}", rows) if rows else 0
    connection.run("UPDATE meta SET value = ? WHERE key = 'codec'", (check,))
    connection.run("DELETE FROM meta WHERE key = 'rekey'")
    connection.run("DROP TABLE rekeyed")
    return values


def pending(database: Database) -> bool:
    """Whether a change of keys was begun and has not come through."""
    if database.cipher is None:
        return False
    with Read(database, False) as connection:
        return connection.value(PENDING) is not None


def forget_copies(connection: Connection) -> None:
    """Inside a write that deletes text: leave none of it in the table beside, whose values are then made anew."""
    if connection.cipher is not None and connection.value(PENDING) is not None:
        connection.run("DELETE FROM rekeyed")


def _made(connection: Connection, carried: Carried, column: str, page: list[tuple[Row, Row, Cells]]) -> dict[str, tuple[bytes, Any]]:
    keys = json.dumps([json.dumps(key) for key, _, _ in page])
    rows = connection.rows(
        "SELECT key, old, value FROM rekeyed WHERE place = ? AND key IN (SELECT value FROM json_each(?))",
        (f"{carried.table}.{column}", keys),
    )
    return {key: (old, value) for key, old, value in rows}


def _digest(stored: Any) -> bytes:
    return hashlib.sha256(stored if isinstance(stored, bytes) else str(stored).encode()).digest()


# -- rows ---------------------------------------------------------------------------------------------------------------


def _pages(connection: Connection, carried: Carried) -> Iterator[list[tuple[Row, Row, Cells]]]:
    page = _page(connection, carried, None)
    while page:
        yield page
        page = _page(connection, carried, page[-1][0])


def _page(connection: Connection, carried: Carried, after: Row | None) -> list[tuple[Row, Row, Cells]]:
    """Keys, owners and encrypted values of the rows after a key, not many megabytes of them."""
    sealed = (*carried.sealed, *carried.documents)
    table, order = quote(carried.table), ", ".join(quote(name) for name in carried.key)
    term = " + ".join(f"ifnull(length({quote(name)}), 0)" for name in sealed)
    where = f"({order}) > ({', '.join('?' * len(carried.key))})" if after is not None else "1"
    sizes = connection.rows(f"SELECT {order}, {term} FROM {table} WHERE {where} ORDER BY {order} LIMIT ?", (*(after or ()), PAGE))
    weight, rows = 0, 0
    for row in sizes:
        weight, rows = weight + row[-1], rows + 1
        if weight > PAGE_BYTES:
            break
    columns = ", ".join(quote(name) for name in (*carried.key, *carried.owner, *sealed))
    found = connection.rows(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY {order} LIMIT ?", (*(after or ()), rows))
    key, owner = len(carried.key), len(carried.key) + len(carried.owner)
    return [(row[:key], row[key:owner], {name: cell for name, cell in zip(sealed, row[owner:]) if cell is not None}) for row in found]
