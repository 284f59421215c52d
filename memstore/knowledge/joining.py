"""Knowledge where a project has got an id, or is gone.

Two entities of one name may stand in one project, so of the graph nothing collides. Two live atoms that say the same cannot stand in
one scope: the active one stays, of two the one that was changed last. The other is superseded by it, audited, and what it stands on is
copied to it, as if it had been extracted again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..kernel.lifecycle import LIVE, log, retire, shown
from ..kernel.rows import JOINER, THEIRS, followers
from .artifacts import SUMMED_UP
from .ledger_tables import Atom
from .schema import ATOMS, KNOWLEDGE_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..kernel import Connection
    from .ledger import Ledger

OWNED = ("entities", "entity_versions", "relationships", "atoms", "artifacts")


def join(room: Ledger, connection: Connection, name: str, project_id: str, user_id: str) -> int:
    """Let the rows that carry a name follow it to the project that it means from now on; return how many may clash there."""
    if name == project_id:
        return 0
    theirs = followers(connection, room._canonical, OWNED, name, project_id, user_id)
    moved = move_graph(connection, name, project_id, theirs)
    atoms = ATOMS.find(connection, f"WHERE project_id = ? AND {THEIRS} ORDER BY pk", (name, theirs))
    move_atoms(room, connection, atoms, project_id)
    connection.run(f"UPDATE artifacts SET project_id = ? WHERE project_id = ? AND {THEIRS}", (project_id, name, theirs))
    connection.run("UPDATE knowledge_deltas SET project_id = ? WHERE project_id = ?", (project_id, name))
    _join_states(room, connection, name, project_id)
    return sum(moved.values()) + len(atoms)


def move_graph(connection: Connection, project: str, into: str | None, theirs: str | None = None) -> dict[str, int]:
    """Bring what is in a project, of some and nobody or of all, into another or none; return how many rows that were, by table.

    The past moves along: it is asked about by what the project is called now.
    """
    return {
        table: connection.run(
            f"UPDATE {table} SET project_id = ? WHERE project_id = ? AND (? IS NULL OR {THEIRS})", (into, project, theirs, theirs)
        )
        for table in ("entity_versions", "relationships", "entities")
    }


def move_atoms(room: Ledger, connection: Connection, items: Iterable[Atom], project_id: str | None) -> None:
    """Bring atoms into another project, or into none."""
    for item in items:
        moved = replace(item, project_id=project_id)
        twin = room._twin_atom(connection, shown(moved, ("body", "kind", "project_id", "user_id"))) if item.status in LIVE else None
        if twin is not None:
            older, newer = sorted((twin, moved), key=lambda each: (each.status == "active", each.updated_at))
            retire(connection, ATOMS, older, newer.id, room.db.now)
            room._copy_hanging(connection, older, newer)
            change = {"status": older.status, "superseded_by": None}, {"status": "superseded", "superseded_by": newer.id}
            log(room._audit, "atom", "supersede", older, *change, actor=JOINER)
        connection.run("UPDATE atoms SET project_id = ? WHERE id = ?", (project_id, item.id))


def _join_states(room: Ledger, connection: Connection, name: str, project_id: str) -> None:
    """Of two states of one project the one that was made last stays; the log keeps the other."""
    found = KNOWLEDGE_STATES.find(connection, "WHERE project_id = ? OR project_id = ? ORDER BY updated_at, pk", (name, project_id))
    if len(found) == 2:
        older, newer = found
        connection.run("DELETE FROM knowledge_states WHERE id = ?", (older.id,))
        room._audit(
            "knowledge_state.supersede", entity_kind="knowledge_state", entity_id=older.id, project=project_id,
            before=shown(older, SUMMED_UP), after={"superseded_by": newer.id}, actor=JOINER,
        )  # fmt: skip
    connection.run("UPDATE knowledge_states SET project_id = ? WHERE project_id = ?", (project_id, name))
