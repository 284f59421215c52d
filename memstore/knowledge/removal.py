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
_RELATIONSHIPS = "SELECT count(*) FROM relationships WHERE retired_at IS NOT NULL"
_OLDEST_RELATIONSHIPS = """
SELECT retired_at, pk, 500 + length(properties)
FROM relationships
WHERE retired_at IS NOT NULL AND (retired_at, pk) > (?, ?)
ORDER BY retired_at, pk
LIMIT ?
"""
_CHOSEN_RELATIONSHIPS = "SELECT pk FROM relationships WHERE retired_at IS NOT NULL ORDER BY retired_at, pk LIMIT ?"
_OBSERVATIONS = "SELECT count(*) FROM observations WHERE retired_at IS NOT NULL"
_OLDEST_OBSERVATIONS = """
SELECT retired_at, pk, 400 + length(content)
FROM observations
WHERE retired_at IS NOT NULL AND (retired_at, pk) > (?, ?)
ORDER BY retired_at, pk
LIMIT ?
"""
_CHOSEN_OBSERVATIONS = "SELECT pk FROM observations WHERE retired_at IS NOT NULL ORDER BY retired_at, pk LIMIT ?"


def _remove_versions(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove the oldest states of entities, and the names that they had only then."""
    rows = connection.rows(_CHOSEN_VERSIONS, (count,))
    pks = json.dumps([pk for pk, _ in rows])
    gone = connection.run("DELETE FROM entity_versions WHERE pk IN (SELECT value FROM json_each(?))", (pks,))
    renew(connection, sorted({entity for _, entity in rows}))
    return {"entity_versions": gone}


def _remove_relationships(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    return {"relationships": connection.run(f"DELETE FROM relationships WHERE pk IN ({_CHOSEN_RELATIONSHIPS})", (count,))}


def _remove_observations(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    return {"observations": connection.run(f"DELETE FROM observations WHERE pk IN ({_CHOSEN_OBSERVATIONS})", (count,))}


GRAPH_PRUNABLE = [
    Prunable("entity_versions", _VERSIONS, _OLDEST_VERSIONS, _remove_versions),
    Prunable("relationships", _RELATIONSHIPS, _OLDEST_RELATIONSHIPS, _remove_relationships),
    Prunable("observations", _OBSERVATIONS, _OLDEST_OBSERVATIONS, _remove_observations),
]
