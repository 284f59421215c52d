"""Beliefs that come from one scope into another: their project has got an id, or is gone.

Two live rows that say the same cannot stand in one scope: what was changed last stays, the other is superseded by it, audited.
What a person has rejected in the project that a row comes into does not hold there either: the row is found invalid, audited too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..kernel.lifecycle import LIVE, log
from ..kernel.rows import JOINER, THEIRS, followers
from .tables import MEMORIES, STATES, Memory, ProjectState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..kernel import Connection
    from .state import ProjectStates

R = TypeVar("R", Memory, ProjectState)


def join(room: ProjectStates, connection: Connection, name: str, project_id: str, user_id: str) -> int:
    """Let the rows that carry a name follow it to the project that it means from now on; return how many may clash there."""
    if name == project_id:
        return 0
    theirs = followers(connection, room._canonical, ("memories", "interactions"), name, project_id, user_id)
    items = MEMORIES.find(connection, f"WHERE project_id = ? AND {THEIRS} ORDER BY pk", (name, theirs))
    move(room, connection, items, project_id)
    connection.run(f"UPDATE interactions SET project_id = ? WHERE project_id = ? AND {THEIRS}", (project_id, name, theirs))
    states = STATES.find(connection, "WHERE project_id = ? ORDER BY pk", (name,))
    for item in states:
        _move_state(room, connection, item, project_id)
    return len(items) + len(states)


def move(room: ProjectStates, connection: Connection, items: Iterable[Memory], project_id: str | None) -> None:
    """Bring memories into another project, or into none."""
    for item in sorted(items, key=lambda item: item.status not in LIVE):  # what was rejected under the old name was known there
        moved = replace(item, project_id=project_id)
        twin = room._twin(connection, moved)
        if twin is not None:
            older, newer = _in_order(connection, MEMORIES.name, moved, twin)
            room._retire(connection, older, newer.id)
            change = {"status": older.status, "superseded_by": None}, {"status": "superseded", "superseded_by": newer.id}
            log(room._audit, "memory", "supersede", older, *change, actor=JOINER)
        elif item.status in LIVE:
            _heed(room, connection, moved)
        connection.run("UPDATE memories SET project_id = ? WHERE id = ?", (project_id, item.id))


def _heed(room: ProjectStates, connection: Connection, moved: Memory) -> None:
    """Let what a person has rejected in a project not be believed there because it comes by another way."""
    no = connection.value(
        "SELECT id FROM memories WHERE content_key = ? AND status = 'invalid' AND expired_at IS NULL AND project_id = ?"
        " AND (? IS NULL OR user_id IS NULL OR user_id = ?) ORDER BY pk DESC",
        (room._key(moved.content), moved.project_id, moved.user_id, moved.user_id),
    )
    if no is not None:
        room._turn(connection, moved, "invalid", JOINER, f"was rejected in the project before, as memory {no}")


def _move_state(room: ProjectStates, connection: Connection, item: ProjectState, project_id: str) -> None:
    moved = replace(item, project_id=project_id)
    twin = room._entry(connection, project_id, item.key) if item.status == "active" else None
    if twin is not None:
        older, _ = _in_order(connection, STATES.name, moved, twin)
        new = replace(older, status="superseded", updated_at=room.db.now, version=older.version + 1)
        room._turn_state(connection, new)
        room._log_state("supersede", older, new, JOINER, "")
    connection.run("UPDATE project_state SET project_id = ? WHERE id = ?", (project_id, item.id))


def _in_order(connection: Connection, table: str, one: R, other: R) -> tuple[R, R]:
    """Two rows of a table, the one that was changed last behind the other; of equals the one that came last."""
    later = connection.value(f"SELECT id FROM {table} WHERE id IN (?, ?) ORDER BY updated_at DESC, pk DESC", (one.id, other.id))
    return (one, other) if later == other.id else (other, one)
