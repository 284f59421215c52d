"""The oldest past on its way out: what entities were, and what was retired.

What is asked of a time before is answered as if it had never been: who prunes says how far back the store can look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..kernel import Prunable
from .derived import renew

if TYPE_CHECKING:
    from ..kernel import Connection

_VERSIONS = "SELECT count(*) FROM entity_versions"
_OLDEST_VERSIONS = """
SELECT retired_at, pk, 700 + length(canonical_name) + length(description) + length(aliases) + length(properties)
FROM entity_versions
WHERE (retired_at, pk) > (?, ?)
ORDER BY retired_at, pk
LIMIT ?
"""
_CHOSEN_VERSIONS = "SELECT pk, entity FROM entity_versions ORDER BY retired_at, pk LIMIT ?"


def _remove_versions(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove the oldest states of entities, and the names that they had only then."""
    rows = connection.rows(_CHOSEN_VERSIONS, (count,))
    pks = json.dumps([pk for pk, _ in rows])
    gone = connection.run("DELETE FROM entity_versions WHERE pk IN (SELECT value FROM json_each(?))", (pks,))
    renew(connection, sorted({entity for _, entity in rows}))
    return {"entity_versions": gone}


def _retired(table: str, term: str) -> Prunable:
    """What was retired, the longest ago first; the term is about how many bytes a row has."""
    where = "retired_at IS NOT NULL"
    gone = f"DELETE FROM {table} WHERE pk IN (SELECT pk FROM {table} WHERE {where} ORDER BY retired_at, pk LIMIT ?)"
    return Prunable(
        table,
        f"SELECT count(*) FROM {table} WHERE {where}",
        f"SELECT retired_at, pk, {term} FROM {table} WHERE {where} AND (retired_at, pk) > (?, ?) ORDER BY retired_at, pk LIMIT ?",
        lambda connection, count, _: {table: connection.run(gone, (count,))},
    )


GRAPH_PRUNABLE = [
    Prunable("entity_versions", _VERSIONS, _OLDEST_VERSIONS, _remove_versions),
    _retired("relationships", "500 + length(properties)"),
    _retired("observations", "400 + length(content)"),
]
