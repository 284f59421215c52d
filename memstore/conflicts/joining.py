"""Conflicts that come from one scope into another: their project has got an id, or is gone.

Of two that are open on one slot then, the newer one stays and is joined by the members of the other, which is closed, audited.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..kernel import new_id
from ..kernel.rows import THEIRS, followers
from .slots import SLOT, place_of
from .tables import CONFLICTS, Conflict

if TYPE_CHECKING:
    from ..kernel import Connection
    from .slots import Slots


def join(room: Slots, connection: Connection, name: str, project_id: str, user_id: str) -> None:
    """Let the conflicts that carry a name follow it to the project that it means from now on."""
    theirs = followers(connection, room._canonical, ("conflicts",), name, project_id, user_id)
    move(room, connection, CONFLICTS.find(connection, f"WHERE project_id = ? AND {THEIRS} ORDER BY pk", (name, theirs)), project_id)


def move(room: Slots, connection: Connection, items: list[Conflict], project_id: str | None) -> None:
    """Bring conflicts into a project, or into none."""
    for item in room._filled(connection, items):
        place = place_of(replace(item, project_id=project_id), connection.cipher)
        twin = CONFLICTS.first(connection, f"WHERE {SLOT} AND status = 'open'", place) if item.status == "open" else None
        if twin is not None and item.kind == "slot":
            older, newer = sorted((item, *room._filled(connection, [twin])), key=lambda each: each.created_at)
            _absorb(room, connection, older, newer, project_id)
        connection.run(
            "UPDATE conflicts SET project_id = ?, updated_at = ?, version = version + 1 WHERE id = ?", (project_id, room.db.now, item.id)
        )


def _absorb(room: Slots, connection: Connection, older: Conflict, newer: Conflict, project_id: str | None) -> None:
    """Close one conflict and let its members join another one."""
    there = {(member.member_kind, member.member_id) for member in newer.members}
    more = [replace(each, id=new_id()) for each in older.members if (each.member_kind, each.member_id) not in there]
    connection.run(
        "UPDATE conflicts SET status = 'resolved', resolved_at = ?, updated_at = ?, version = version + 1 WHERE id = ?",
        (room.db.now, room.db.now, older.id),
    )
    pk = connection.value("SELECT pk FROM conflicts WHERE id = ?", (newer.id,))
    room._join(connection, pk, newer, more)
    room._audit(
        "conflict.merge", entity_kind="conflict", entity_id=older.id, before={"status": "open"},
        after={"status": "resolved", "into": newer.id}, user_id=older.user_id, project=project_id,
    )  # fmt: skip
