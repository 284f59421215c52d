"""The oldest past on its way out: what entities were, what was retired, superseded artifacts and old deltas.

What is asked of a time before is answered as if it had never been: who prunes says how far back the store can look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..kernel import Prunable
from ..kernel.rows import AMONG, listed
from .derived import renew

if TYPE_CHECKING:
    from ..kernel import Connection

#: A kind that somebody has registered for himself may say as much as any text of his, so it goes with the last that is of it.
UNUSED = f"DELETE FROM relationship_kinds WHERE kind {AMONG} AND kind NOT IN (SELECT kind FROM relationships)"
_VERSIONS = "SELECT count(*) FROM entity_versions"
_OLDEST_VERSIONS = """
SELECT retired_at, pk, 700 + length(canonical_name) + length(description) + length(aliases) + length(properties)
FROM entity_versions
WHERE (retired_at, pk) > (?, ?)
ORDER BY retired_at, pk
LIMIT ?
"""
_CHOSEN_VERSIONS = "SELECT pk, entity FROM entity_versions ORDER BY retired_at, pk LIMIT ?"
_CHOSEN_EDGES = "SELECT pk, kind FROM relationships WHERE retired_at IS NOT NULL ORDER BY retired_at, pk LIMIT ?"
_CHOSEN_NOTES = "SELECT pk FROM observations WHERE retired_at IS NOT NULL ORDER BY retired_at, pk LIMIT ?"
_SUPERSEDED = "SELECT count(*) FROM artifacts WHERE artifact_state = 'superseded'"
_OLDEST_SUPERSEDED = """
SELECT updated_at, pk, 500 + length(title) + length(body) + ifnull(length(metadata), 0)
    + (SELECT ifnull(sum(400 + length(section_title) + length(content)), 0) FROM artifact_sections WHERE artifact = artifacts.pk)
    + (SELECT 400 * count(*) FROM citations WHERE artifact = artifacts.pk)
FROM artifacts
WHERE artifact_state = 'superseded' AND (updated_at, pk) > (?, ?)
ORDER BY updated_at, pk
LIMIT ?
"""
_CHOSEN_SUPERSEDED = "SELECT pk FROM artifacts WHERE artifact_state = 'superseded' ORDER BY updated_at, pk LIMIT ?"
_DELTAS = "SELECT count(*) FROM knowledge_deltas"
_OLDEST_DELTAS = """
SELECT created_at, pk, 300 + length(changes)
FROM knowledge_deltas
WHERE (created_at, pk) > (?, ?)
ORDER BY created_at, pk
LIMIT ?
"""
_CHOSEN_DELTAS = "SELECT pk FROM knowledge_deltas ORDER BY created_at, pk LIMIT ?"


def _remove_versions(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove the oldest states of entities, and the names that they had only then."""
    rows = connection.rows(_CHOSEN_VERSIONS, (count,))
    gone = connection.run(f"DELETE FROM entity_versions WHERE pk {AMONG}", (listed(pk for pk, _ in rows),))
    renew(connection, sorted({entity for _, entity in rows}))
    return {"entity_versions": gone}


def _retired(table: str, term: str, remove: Callable[[Connection, int, Mapping[str, str]], dict[str, int]]) -> Prunable:
    """What was retired, the longest ago first; the term is about how many bytes a row has."""
    where = "retired_at IS NOT NULL"
    return Prunable(
        table,
        f"SELECT count(*) FROM {table} WHERE {where}",
        f"SELECT retired_at, pk, {term} FROM {table} WHERE {where} AND (retired_at, pk) > (?, ?) ORDER BY retired_at, pk LIMIT ?",
        remove,
    )


def _remove_relationships(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    rows = connection.rows(_CHOSEN_EDGES, (count,))
    gone = connection.run(f"DELETE FROM relationships WHERE pk {AMONG}", (listed(pk for pk, _ in rows),))
    return {"relationships": gone, "relationship_kinds": connection.run(UNUSED, (listed({kind for _, kind in rows}),))}


def _remove_observations(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    return {"observations": connection.run(f"DELETE FROM observations WHERE pk IN ({_CHOSEN_NOTES})", (count,))}


def _remove_artifacts(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove those that were superseded first, with their sections and citations."""
    gone = (listed(pk for (pk,) in connection.rows(_CHOSEN_SUPERSEDED, (count,))),)
    return {
        "citations": connection.run(f"DELETE FROM citations WHERE artifact {AMONG}", gone),
        "artifact_sections": connection.run(f"DELETE FROM artifact_sections WHERE artifact {AMONG}", gone),
        "artifacts": connection.run(f"DELETE FROM artifacts WHERE pk {AMONG}", gone),
    }


def _remove_deltas(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    return {"knowledge_deltas": connection.run(f"DELETE FROM knowledge_deltas WHERE pk IN ({_CHOSEN_DELTAS})", (count,))}


PRUNABLE = [
    Prunable("entity_versions", _VERSIONS, _OLDEST_VERSIONS, _remove_versions),
    _retired("relationships", "500 + length(properties)", _remove_relationships),
    _retired("observations", "400 + length(content)", _remove_observations),
    Prunable("artifacts", _SUPERSEDED, _OLDEST_SUPERSEDED, _remove_artifacts),
    Prunable("knowledge_deltas", _DELTAS, _OLDEST_DELTAS, _remove_deltas),
]
