"""Forgetting: what a user, a conversation or a project left in this room, and what named things that are gone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import values
from ..kernel.subject import AMONG, Subject, listed
from .joining import move
from .tables import INTERACTIONS, MEMORIES, Interaction

if TYPE_CHECKING:
    from ..kernel import Connection
    from .state import ProjectStates

#: A project that is erased goes with all that is in it; where it goes with its user, others keep what is theirs.
WHOLE = f"project_id {AMONG}"
UNOWNED = f"{WHOLE} AND user_id IS NULL"
OWNED = f"conversation_id {AMONG} OR user_id {AMONG}"
NAMING = f"WHERE kind = ? AND piece_id {AMONG}"
NOBODYS = "SELECT count(*) FROM memories WHERE user_id IS NULL AND project_id IS NULL AND conversation_id IS NULL"


def erase(room: ProjectStates, connection: Connection, subject: Subject) -> None:
    """Remove what is the subject's, and what stays no longer names what is gone."""
    owners = [subject.id] if subject.kind == "user" else []
    projects = {id for kind, id in subject.gone if kind == "project"}
    if subject.kind == "project":
        projects |= {subject.id, *subject.names}
    where = f"{OWNED} OR {WHOLE if subject.kind == 'project' else UNOWNED}"
    lists = (subject.conversations, owners, projects)
    words = f"DELETE FROM memory_words WHERE memory IN (SELECT pk FROM memories WHERE {where})"
    subject.count("memory_words", connection.run(words, [listed(items) for items in lists]))
    subject.remove(connection, "memories", "memory", where, *lists)
    _remove_interactions(connection, subject, f"{where} OR session_id {AMONG}", *lists, {*subject.sessions, *subject.conversations})
    subject.remove(connection, "project_state", "project_state", WHOLE, projects)
    _leave_projects(room, connection, subject, projects)
    _unlink(connection, subject)
    _forget_pieces(connection, subject)
    subject.keep(connection.value(NOBODYS), "memories of no user, project or conversation", "kept, since nothing tells whose they are")
    for noun, table in (("memories", MEMORIES.name), ("interactions", INTERACTIONS.name)):
        quoting = connection.value(f"SELECT count(*) FROM {table} WHERE conversation_id = ?", (subject.home,))
        subject.keep(quoting, f"{noun} from the conversation of the message", "kept, though they may quote it")


def _remove_interactions(connection: Connection, subject: Subject, where: str, *lists: Any) -> None:
    pieces = f"DELETE FROM interaction_pieces WHERE interaction IN (SELECT pk FROM interactions WHERE {where})"
    subject.count("interaction_pieces", connection.run(pieces, [listed(items) for items in lists]))
    subject.remove(connection, "interactions", "interaction", where, *lists)


def _leave_projects(room: ProjectStates, connection: Connection, subject: Subject, projects: set[str]) -> None:
    """Put what other users have in a project that went into none."""
    going = listed(projects)
    left = MEMORIES.find(connection, f"WHERE {WHOLE} ORDER BY pk", (going,))
    move(room, connection, left, None)
    subject.keep(len(left), "memories of other users in a project that went", "kept, in no project")
    told = connection.run(f"UPDATE interactions SET project_id = NULL, project = '' WHERE {WHOLE}", (going,))
    subject.keep(told, "interactions of other users in a project that went", "kept, in no project")


def _unlink(connection: Connection, subject: Subject) -> None:
    """Take the ids of what is gone out of memories that stay."""
    interactions = listed(id for kind, id in subject.gone if kind == "interaction")
    connection.run(f"UPDATE memories SET interaction_id = NULL WHERE interaction_id {AMONG}", (interactions,))
    going = {id for kind, id in subject.gone if kind == "memory"}
    connection.run(f"UPDATE memories SET superseded_by = NULL WHERE superseded_by {AMONG}", (listed(going),))
    merged = f"WHERE EXISTS (SELECT 1 FROM json_each(merged_from) WHERE value {AMONG})"
    for item in MEMORIES.find(connection, merged, (listed(going),)):
        left = [id for id in item.merged_from or () if id not in going]
        stored = values.to_json("merged_from", left) if left else None
        connection.run("UPDATE memories SET merged_from = ? WHERE id = ?", (stored, item.id))


def _forget_pieces(connection: Connection, subject: Subject) -> None:
    """Take what is gone out of what interactions that stay were told; that there was a piece stays, under a name that leads nowhere."""
    by_kind: dict[str, set[str]] = {}
    for kind, id in subject.gone:
        by_kind.setdefault(kind, set()).add(id)
    touched: set[int] = set()
    for kind, ids in by_kind.items():
        told = (kind, listed(ids))
        touched |= {pk for (pk,) in connection.rows(f"SELECT interaction FROM interaction_pieces {NAMING}", told)}
        emptied = connection.run(f"UPDATE interaction_pieces SET piece_id = lower(hex(randomblob(16))) {NAMING}", told)
        subject.count("interaction_pieces", emptied)
    gone = set(subject.gone)
    for item in INTERACTIONS.find(connection, f"WHERE pk {AMONG} ORDER BY pk", (listed(touched),)):
        _tell_less(connection, item, gone)
    subject.keep(len(touched), "interactions that were told something that went", "kept without it, though their texts may quote it")


def _tell_less(connection: Connection, item: Interaction, gone: set[tuple[str, str]]) -> None:
    less = replace(
        item,
        context_pack=without_pieces(item.context_pack, gone),
        memories_used=[id for id in item.memories_used if ("memory", id) not in gone],
        chunks_used=[id for id in item.chunks_used if ("chunk", id) not in gone],
    )
    (pack,) = INTERACTIONS.sealed(connection, item.id, context_pack=values.to_json("context_pack", less.context_pack))
    connection.run(
        "UPDATE interactions SET context_pack = ?, memories_used = ?, chunks_used = ? WHERE id = ?",
        (pack, values.to_json("memories_used", less.memories_used), values.to_json("chunks_used", less.chunks_used), item.id),
    )


def without_pieces(pack: dict[str, Any], gone: set[tuple[str, str]]) -> dict[str, Any]:
    """A context without the pieces that name what is gone."""
    pieces = pack.get("pieces")
    if not isinstance(pieces, list):
        return pack
    return {**pack, "pieces": [each for each in pieces if not (isinstance(each, dict) and (each.get("kind"), each.get("id")) in gone)]}
