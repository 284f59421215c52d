"""Superseded memories and old interactions on their way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..kernel import Prunable

if TYPE_CHECKING:
    from ..kernel import Connection

_SUPERSEDED = "SELECT count(*) FROM memories WHERE status = 'superseded'"
_OLDEST_SUPERSEDED = """
SELECT updated_at, pk, 700 + 2 * length(content) + ifnull(length(metadata), 0)
FROM memories
WHERE status = 'superseded' AND (updated_at, pk) > (?, ?)
ORDER BY updated_at, pk
LIMIT ?
"""
_INTERACTIONS = "SELECT count(*) FROM interactions"
_OLDEST_INTERACTIONS = """
SELECT created_at, pk, 500 + length(prompt) + length(response) + length(response_summary) + length(context_pack)
FROM interactions
WHERE (created_at, pk) > (?, ?)
ORDER BY created_at, pk
LIMIT ?
"""


_CHOSEN_SUPERSEDED = "SELECT pk FROM memories WHERE status = 'superseded' ORDER BY updated_at, pk LIMIT ?"
_RETIRED = "SELECT id FROM memories WHERE status = 'superseded' ORDER BY updated_at, pk LIMIT ?"
_CHOSEN_INTERACTIONS = "SELECT pk FROM interactions ORDER BY created_at, pk LIMIT ?"


def _remove_memories(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove those that were superseded first; their words went when they were."""
    return {"memories": connection.run(f"DELETE FROM memories WHERE pk IN ({_CHOSEN_SUPERSEDED})", (count,))}


def _remove_interactions(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    pieces = connection.run(f"DELETE FROM interaction_pieces WHERE interaction IN ({_CHOSEN_INTERACTIONS})", (count,))
    oldest = connection.run(f"DELETE FROM interactions WHERE pk IN ({_CHOSEN_INTERACTIONS})", (count,))
    return {"interaction_pieces": pieces, "interactions": oldest}


PRUNABLE = [
    Prunable("memories", _SUPERSEDED, _OLDEST_SUPERSEDED, _remove_memories, _RETIRED),
    Prunable("interactions", _INTERACTIONS, _OLDEST_INTERACTIONS, _remove_interactions),
]
