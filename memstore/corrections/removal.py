"""Superseded corrections on their way out, with all that hangs on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..kernel import Connection

COUNT = "SELECT count(*) FROM corrections WHERE superseded_at IS NOT NULL"
OLDEST = """
SELECT superseded_at, pk, 700 + length(subject) + 2 * length(claim) + 2 * length(rejected) + length(why) + ifnull(length(prompt), 0)
FROM corrections
WHERE (superseded_at, pk) > (?, ?)
ORDER BY superseded_at, pk
LIMIT ?
"""
_CHOSEN = "SELECT pk FROM corrections WHERE superseded_at IS NOT NULL ORDER BY superseded_at, pk LIMIT ?"
_REJECTIONS = "DELETE FROM correction_rejections WHERE correction IN (SELECT value FROM json_each(?))"
_APPLICATIONS = "DELETE FROM correction_applications WHERE correction IN (SELECT value FROM json_each(?))"
_CORRECTIONS = "DELETE FROM corrections WHERE pk IN (SELECT value FROM json_each(?))"


def remove_oldest(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    """Remove those that were superseded first; return the rows that went, by table."""
    gone = (json.dumps([row[0] for row in connection.rows(_CHOSEN, (count,))]),)
    return {
        "correction_rejections": connection.run(_REJECTIONS, gone),
        "correction_applications": connection.run(_APPLICATIONS, gone),
        "corrections": connection.run(_CORRECTIONS, gone),
    }
