"""Forgetting: what a user, a conversation or a project left in the ledger, and what rested on things that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed
from ..kernel.subject import IN_PROJECT, Subject
from .joining import move_atoms
from .schema import ATOMS

if TYPE_CHECKING:
    from ..kernel import Connection
    from .ledger import Ledger

#: What evidence may be taken from.
SOURCES = ("conversation", "session", "message", "memory", "interaction", "document", "chunk")

PLACELESS = "chunk_id = NULL, anchor_start = NULL, anchor_end = NULL"


def erase(room: Ledger, connection: Connection, subject: Subject) -> None:
    """Remove what is the subject's, and what stays no longer names what is gone."""
    where, belongings = subject.belongings()
    lists = [listed(items) for items in belongings]
    _remove_artifacts(connection, subject, where, lists)
    _remove_atoms(connection, subject, where, lists)
    for table in ("knowledge_states", "knowledge_deltas"):
        subject.remove(connection, table, table.removesuffix("s"), IN_PROJECT, subject.projects)
    _leave_projects(room, connection, subject)
    _unlink(connection, subject)
    _forget_sources(room, connection, subject)
    for table in ("atoms", "artifacts"):
        subject.keep_scattered(connection, table)


def _remove_artifacts(connection: Connection, subject: Subject, where: str, lists: list[str]) -> None:
    keys = _chosen(connection, "artifacts", where, lists)
    going = listed(keys)
    for table in ("citations", "artifact_sections"):
        subject.count(table, connection.run(f"DELETE FROM {table} WHERE artifact {AMONG}", (going,)))
    subject.remove(connection, "artifacts", "artifact", f"pk {AMONG}", keys)


def _remove_atoms(connection: Connection, subject: Subject, where: str, lists: list[str]) -> None:
    """Remove atoms with what hangs on them; a section that cited one still says that it did, and is stale."""
    keys = _chosen(connection, "atoms", where, lists)
    going = listed(keys)
    for table in ("evidence", "claims", "mentions"):
        subject.count(table, connection.run(f"DELETE FROM {table} WHERE atom {AMONG}", (going,)))
    ends = f"DELETE FROM links WHERE from_atom {AMONG} OR to_atom {AMONG}"
    subject.count("links", connection.run(ends, (going, going)))
    subject.count("citations", connection.run(f"DELETE FROM citations WHERE kind = 'insight' AND atom {AMONG}", (going,)))
    citing = connection.run(f"UPDATE citations SET atom = NULL WHERE atom {AMONG}", (going,))
    subject.keep(citing, "citations of atoms that went, in artifacts that stay", "kept without them, though the artifacts may quote them")
    subject.remove(connection, "atoms", "atom", f"pk {AMONG}", keys)


def _chosen(connection: Connection, table: str, where: str, lists: list[str]) -> list[int]:
    return [pk for (pk,) in connection.rows(f"SELECT pk FROM {table} WHERE {where}", lists)]


def _leave_projects(room: Ledger, connection: Connection, subject: Subject) -> None:
    """Put what other users have in a project that went into none."""
    going = (listed(subject.projects),)
    left = ATOMS.find(connection, f"WHERE {IN_PROJECT} ORDER BY pk", going)
    move_atoms(room, connection, left, None)
    subject.keep(len(left), "atoms of other users in a project that went", "kept, in no project")
    kept = connection.run(f"UPDATE artifacts SET project_id = NULL WHERE {IN_PROJECT}", going)
    subject.keep(kept, "artifacts of other users in a project that went", "kept, in no project")


def _unlink(connection: Connection, subject: Subject) -> None:
    """Take the ids of what is gone out of rows that stay."""
    atoms, artifacts, entities = (listed(id for kind, id in subject.gone if kind == each) for each in ("atom", "artifact", "entity"))
    subject.count("mentions", connection.run(f"DELETE FROM mentions WHERE entity_id {AMONG}", (entities,)))
    chunks = listed(id for kind, id in subject.gone if kind == "chunk")
    connection.run(f"UPDATE OR REPLACE mentions SET {PLACELESS} WHERE chunk_id {AMONG}", (chunks,))
    connection.run(f"UPDATE atoms SET superseded_by = NULL WHERE superseded_by {AMONG}", (atoms,))
    connection.run(f"UPDATE artifacts SET parent_artifact_id = NULL WHERE parent_artifact_id {AMONG}", (artifacts,))
    where = f"into_id {AMONG} OR EXISTS (SELECT 1 FROM json_each(atom_ids) AS each WHERE each.value {AMONG})"
    subject.count("merges", connection.run(f"DELETE FROM merges WHERE {where}", (atoms, atoms)))
    if subject.kind == "user":
        connection.run("UPDATE merges SET reviewed_by = '' WHERE reviewed_by = ?", (subject.id,))


def _forget_sources(room: Ledger, connection: Connection, subject: Subject) -> None:
    """Remove evidence that was taken from what is gone."""
    gone = listed({id for kind, id in subject.gone if kind in SOURCES} | {*subject.conversations, *subject.sessions})
    where = f"source_id {AMONG} OR chunk_id {AMONG}"
    atoms = listed(atom for (atom,) in connection.rows(f"SELECT DISTINCT atom FROM evidence WHERE {where}", (gone, gone)))
    subject.count("evidence", connection.run(f"DELETE FROM evidence WHERE {where}", (gone, gone)))
    for atom in ATOMS.find(connection, f"WHERE pk {AMONG} ORDER BY pk", (atoms,)):
        room._lose_evidence(connection, atom, "", "")
