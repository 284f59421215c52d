"""Closed conflicts on their way out, with all that hangs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..kernel import Connection

_OVER = "status <> 'open' AND resolution <> 'dismiss' AND resolution <> 'no_action'"  # the others keep their slot quiet
COUNT = f"SELECT count(*) FROM conflicts WHERE {_OVER}"
OLDEST = f"""
SELECT resolved_at, pk, 800 + length(slot_key) + length(note) + ifnull(length(metadata), 0)
    + ifnull((SELECT sum(300 + length(value_snapshot) + length(ifnull(claim_value, ''))) FROM conflict_members
        WHERE conflict = conflicts.pk), 0)
    + ifnull((SELECT sum(200 + length(reason_codes) + length(note)) FROM conflict_assessments WHERE conflict = conflicts.pk), 0)
FROM conflicts
WHERE {_OVER} AND (resolved_at, pk) > (?, ?)
ORDER BY resolved_at, pk
LIMIT ?
"""
_CHOSEN = f"SELECT pk FROM conflicts WHERE {_OVER} ORDER BY resolved_at, pk LIMIT ?"


def remove_oldest(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove those that were closed first; return the rows that went, by table."""
    return remove(connection, [pk for (pk,) in connection.rows(_CHOSEN, (count,))])


def remove(connection: Connection, keys: list[int]) -> dict[str, int]:
    """Remove conflicts with their members and assessments; return the rows that went, by table."""
    gone = (listed(keys),)
    return {
        "conflict_members": connection.run(f"DELETE FROM conflict_members WHERE conflict {AMONG}", gone),
        "conflict_assessments": connection.run(f"DELETE FROM conflict_assessments WHERE conflict {AMONG}", gone),
        "conflicts": connection.run(f"DELETE FROM conflicts WHERE pk {AMONG}", gone),
    }
