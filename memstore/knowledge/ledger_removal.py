"""Superseded artifacts and old deltas on their way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..kernel import Prunable
from ..kernel.subject import AMONG, listed

if TYPE_CHECKING:
    from ..kernel import Connection

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


LEDGER_PRUNABLE = [
    Prunable("artifacts", _SUPERSEDED, _OLDEST_SUPERSEDED, _remove_artifacts),
    Prunable("knowledge_deltas", _DELTAS, _OLDEST_DELTAS, _remove_deltas),
]
