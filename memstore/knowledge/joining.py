"""The graph where a project has got an id, or is gone; two entities of one name may stand in one project, so nothing collides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..kernel import Connection

THEIRS = "(? IS NULL OR user_id IS NULL OR user_id = ?)"


def move(connection: Connection, project: str, into: str | None, user_id: str | None = None) -> int:
    """Bring what is in a project, of one user and nobody or of all, into another or none; return how many entities that were.

    The past moves along: it is asked about by what the project is called now.
    """
    moved = 0
    for table in ("entity_versions", "relationships", "entities"):  # what is counted comes last
        moved = connection.run(
            f"UPDATE {table} SET project_id = ? WHERE project_id = ? AND {THEIRS}", (into, project, user_id, user_id)
        )
    return moved
