"""What is derived in the ledger, computed anew and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..kernel import Finding, values
from ..kernel.rows import spans
from ..kernel.words import statement_key
from .atoms import UNVERIFIED
from .ledger_tables import KEYS
from .schema import ATOMS, CLAIMS, PROOFS

if TYPE_CHECKING:
    from ..kernel import Connection, Table

UNSUPPORTED = """
    SELECT pk, id, verification_status FROM atoms AS a
    WHERE verification_status <> ? AND (status = 'active' OR status = 'candidate')
      AND NOT EXISTS (SELECT 1 FROM evidence AS e WHERE e.atom = a.pk AND e.stale = 0)
    ORDER BY pk
"""
UNKNOWN = """
    SELECT pk, id, superseded_by FROM atoms AS a
    WHERE superseded_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM atoms AS b WHERE b.id = a.superseded_by)
    ORDER BY pk
"""
NAMELESS = """
    SELECT pk, id, entity_id FROM mentions AS m WHERE NOT EXISTS (SELECT 1 FROM entities AS e WHERE e.id = m.entity_id) ORDER BY pk
"""


def ledger_check(connection: Connection) -> Iterator[Finding]:
    """Keys that are not those of their texts, and atoms that rest on what is not there."""
    for table in (ATOMS, PROOFS, CLAIMS):
        yield from _differences(connection, table)
    for pk, id, word in connection.rows(UNSUPPORTED, (UNVERIFIED,)):
        yield Finding("dangling", pk, f"atom {id} is {values.shorten(word)}, and has no evidence that is not stale")
    for pk, id, by in connection.rows(UNKNOWN):
        yield Finding("dangling", pk, f"atom {id} was superseded by {values.shorten(by)}, which is not here")
    for pk, id, entity in connection.rows(NAMELESS):
        yield Finding("dangling", pk, f"mention {id} is of entity {values.shorten(entity)}, which is not here")


def _differences(connection: Connection, table: Table[Any]) -> Iterator[Finding]:
    """Rows of a table whose keys are not those of their texts, a page at a time."""
    keys = KEYS[table.name]
    columns = ", ".join(keys)
    for span in spans(connection, table):
        kept = connection.rows(f"SELECT pk, {columns} FROM {table.name} WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        items = table.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for item, (pk, *found) in zip(items, kept, strict=True):
            if found != [statement_key(getattr(item, text), connection.cipher) for text in keys.values()]:
                yield Finding("derived", pk, f"{item.id} of {table.name}: its keys are not those of its texts")
