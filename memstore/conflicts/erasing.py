"""Forgetting: conflicts of a user or a project, and the sides of others that were somebody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed
from ..kernel.subject import IN_PROJECT, Subject
from .joining import move
from .removal import remove
from .slots import hash_of
from .tables import CONFLICTS, MEMBER_KINDS

if TYPE_CHECKING:
    from ..kernel import Connection
    from .slots import Slots

OWNED = f"user_id {AMONG} OR slot_hash {AMONG} OR {IN_PROJECT}"
LEAVING = f"""
DELETE FROM conflict_members WHERE member_kind = ? AND member_id {AMONG} OR claim_kind = ? AND claim_id {AMONG}
"""
LONELY = "SELECT pk FROM conflicts WHERE (SELECT count(*) FROM conflict_members WHERE conflict = conflicts.pk) < 2"
WINNERS = "winner_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM conflict_members WHERE conflict = conflicts.pk AND member_id = winner_id)"


def erase(room: Slots, connection: Connection, subject: Subject) -> None:
    """Remove what is the subject's, and from what others are about the sides that are gone; one side alone is no conflict."""
    users = [subject.id] if subject.kind == "user" else []
    slots = [hash_of(id, connection.cipher) for kind, id in subject.gone if kind == "entity"]  # a component is its own slot's key
    lists = [listed(ids) for ids in (users, slots, subject.projects)]
    where = OWNED if subject.kind == "project" else f"{OWNED} AND user_id IS NULL"
    _remove(connection, subject, [pk for (pk,) in connection.rows(f"SELECT pk FROM conflicts WHERE {where}", lists)])
    for kind in MEMBER_KINDS:
        ids = listed(id for each, id in subject.gone if each == kind)
        subject.count("conflict_members", connection.run(LEAVING, (kind, ids, kind, ids)))
    _remove(connection, subject, [pk for (pk,) in connection.rows(LONELY)])
    left = CONFLICTS.find(connection, f"WHERE {IN_PROJECT} ORDER BY pk", (listed(subject.projects),))
    move(room, connection, left, None)
    subject.keep(len(left), "conflicts of other users in a project that went", "kept, in no project")
    connection.run(f"UPDATE conflicts SET winner_kind = NULL, winner_id = NULL, resolution_atom_id = NULL WHERE {WINNERS}")
    nobodys = connection.value("SELECT count(*) FROM conflicts WHERE user_id IS NULL AND project_id IS NULL")
    subject.keep(nobodys, "conflicts that name neither a user nor a project", "kept, since they are between rows that stay")


def _remove(connection: Connection, subject: Subject, keys: list[int]) -> None:
    subject.gone += [("conflict", id) for (id,) in connection.rows(f"SELECT id FROM conflicts WHERE pk {AMONG}", (listed(keys),))]
    for table, rows in remove(connection, keys).items():
        subject.count(table, rows)
