"""Forgetting: a memory, what a user, a conversation or a project left in this room, and what named things that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import values
from ..kernel.rows import AMONG, listed
from ..kernel.subject import IN_PROJECT, Subject
from .joining import move
from .tables import INTERACTIONS, MEMORIES, Interaction

if TYPE_CHECKING:
    from ..kernel import Connection
    from .state import ProjectStates

QUOTING = "kept, though they may say what it said"
PAGE = 500  # interactions that are held at once
TOLD = "SELECT id FROM interactions WHERE pk IN (SELECT interaction FROM interaction_pieces"
NAMING = f"WHERE kind = ? AND piece_id {AMONG}"


def erase(room: ProjectStates, connection: Connection, subject: Subject) -> None:
    """Remove what is the subject's, and what stays no longer names what is gone."""
    where, lists = subject.belongings()
    if subject.kind == "memory":
        _keep_what_says_it(room, connection, subject)
    _remove_memories(connection, subject, f"{where} OR id {AMONG}", *lists, [subject.id] if subject.kind == "memory" else [])
    _remove_interactions(connection, subject, f"{where} OR session_id {AMONG}", *lists, {*subject.sessions, *subject.conversations})
    subject.remove(connection, "project_state", "project_state", IN_PROJECT, subject.projects)
    _leave_projects(room, connection, subject)
    _unlink(connection, subject)
    subject.keep_scattered(connection, "memories")
    subject.keep_quoting(connection, "interactions")


def _keep_what_says_it(room: ProjectStates, connection: Connection, subject: Subject) -> None:
    """Name what stays though it may say what the memory says."""
    item = MEMORIES.first(connection, "WHERE id = ?", (subject.id,))
    if item is None:
        return
    others = connection.value(
        "SELECT count(*) FROM memories WHERE superseded_by = ? OR EXISTS (SELECT 1 FROM json_each(merged_from) WHERE value = ?)",
        (item.id, item.id),
    )
    subject.keep(others, "memories that it replaced or was merged into", QUOTING)
    found = connection.value("SELECT count(*) FROM interactions WHERE id = ?", (item.interaction_id,))
    subject.keep(found, "interactions that it was found in", QUOTING)
    entity = item.graduated_to_entity_id
    became = entity is not None and room._piece("entity", entity) is not None
    subject.keep(int(became), "entities that it has become", QUOTING)


def _remove_memories(connection: Connection, subject: Subject, where: str, *lists: Any) -> None:
    words = f"DELETE FROM memory_words WHERE memory IN (SELECT pk FROM memories WHERE {where})"
    subject.count("memory_words", connection.run(words, [listed(items) for items in lists]))
    subject.remove(connection, "memories", "memory", where, *lists)


def _remove_interactions(connection: Connection, subject: Subject, where: str, *lists: Any) -> None:
    pieces = f"DELETE FROM interaction_pieces WHERE interaction IN (SELECT pk FROM interactions WHERE {where})"
    subject.count("interaction_pieces", connection.run(pieces, [listed(items) for items in lists]))
    subject.remove(connection, "interactions", "interaction", where, *lists)


def _leave_projects(room: ProjectStates, connection: Connection, subject: Subject) -> None:
    """Put what other users have in a project that went into none."""
    going = listed(subject.projects)
    left = MEMORIES.find(connection, f"WHERE {IN_PROJECT} ORDER BY pk", (going,))
    move(room, connection, left, None)
    subject.keep(len(left), "memories of other users in a project that went", "kept, in no project")
    told = connection.run(f"UPDATE interactions SET project_id = NULL, project = '' WHERE {IN_PROJECT}", (going,))
    subject.keep(told, "interactions of other users in a project that went", "kept, in no project")


def _unlink(connection: Connection, subject: Subject) -> None:
    """Take the ids of what is gone out of memories that stay."""
    interactions = listed(id for kind, id in subject.gone if kind == "interaction")
    connection.run(f"UPDATE memories SET interaction_id = NULL WHERE interaction_id {AMONG}", (interactions,))
    chunks = listed(id for kind, id in subject.gone if kind == "chunk")
    connection.run(f"UPDATE memories SET source_chunk_id = NULL WHERE source_chunk_id {AMONG}", (chunks,))
    going = {id for kind, id in subject.gone if kind == "memory"}
    connection.run(f"UPDATE memories SET superseded_by = NULL WHERE superseded_by {AMONG}", (listed(going),))
    merged = f"WHERE EXISTS (SELECT 1 FROM json_each(merged_from) WHERE value {AMONG})"
    for item in MEMORIES.find(connection, merged, (listed(going),)):
        left = [id for id in item.merged_from or () if id not in going]
        stored = values.to_json("merged_from", left) if left else None
        connection.run("UPDATE memories SET merged_from = ? WHERE id = ?", (stored, item.id))


def forget(connection: Connection, subject: Subject) -> None:
    """Take what is gone from any room out of what stays.

    That an interaction was told a piece stays, under a name that leads nowhere.
    """
    entities = listed(id for kind, id in subject.gone if kind == "entity")
    connection.run(f"UPDATE memories SET graduated_to_entity_id = NULL WHERE graduated_to_entity_id {AMONG}", (entities,))
    by_kind: dict[str, set[str]] = {}
    for kind, id in subject.gone:
        by_kind.setdefault(kind, set()).add(id)
    earlier, touched = _told_of(connection, subject.named)
    if earlier:
        by_kind.setdefault("chunk", set()).update(earlier)
    for kind, ids in by_kind.items():
        told = (kind, listed(ids))
        touched.update(id for (id,) in connection.rows(f"{TOLD} {NAMING})", told))
        emptied = connection.run(f"UPDATE interaction_pieces SET piece_id = lower(hex(randomblob(16))) {NAMING}", told)
        subject.count("interaction_pieces", emptied)
    gone = subject.named | {("chunk", id) for id in earlier}
    for item in _each(connection, touched):
        _tell_less(connection, item, gone)
    subject.keep(
        len(touched),
        "interactions that were told something that went",
        "kept without it and without the text that it stood in, though prompt and response may quote it",
    )


def _told_of(connection: Connection, gone: set[tuple[str, str]]) -> tuple[set[str], set[str]]:
    """Chunks that interactions were told of documents, which may have lost them before they went, and who was told where of what went."""
    chunks, touched = set[str](), set[str]()
    for item in _each(connection, {id for (id,) in connection.rows(f"{TOLD})")}):
        chunks.update(id for id, home in homes(item.context_pack).items() if ("document", home) in gone)
        if not gone.isdisjoint(referred(item.context_pack)):
            touched.add(item.id)
    return chunks, touched


def _each(connection: Connection, ids: set[str]) -> Iterator[Interaction]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), PAGE):
        yield from INTERACTIONS.find(connection, f"WHERE id {AMONG} ORDER BY pk", (listed(ordered[start : start + PAGE]),))


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
    """What stays of a context in which something stood that is gone: the other pieces, and numbers, since any text may quote it."""
    left: dict[str, Any] = {name: value for name, value in pack.items() if value is None or isinstance(value, int | float)}
    if isinstance(pack.get("pieces"), list):
        stay = (each for each in _told(pack) if gone.isdisjoint(_named(each)))
        left["pieces"] = [each if gone.isdisjoint(_refs(each)) else {**each, "source": "", "why": "", "refs": []} for each in stay]
    return left


def homes(pack: dict[str, Any]) -> dict[str, str]:
    """Of the chunks of a context the documents that they were from, where it says so."""
    chunks = (each for each in _told(pack) if each.get("kind") == "chunk" and each.get("document_id"))
    return {str(each.get("id")): str(each["document_id"]) for each in chunks}


def referred(pack: dict[str, Any]) -> set[tuple[str, str]]:
    """Kind and id of what the pieces of a context name as where they are from, where it says so."""
    return set().union(*map(_refs, _told(pack)))


def _told(pack: dict[str, Any]) -> list[dict[str, Any]]:
    pieces = pack.get("pieces")
    return [each for each in pieces if isinstance(each, dict)] if isinstance(pieces, list) else []


def _refs(piece: dict[str, Any]) -> set[tuple[str, str]]:
    refs = piece.get("refs")
    named = [each.partition(":") for each in refs if isinstance(each, str)] if isinstance(refs, list) else []
    return {(kind, id) for kind, _, id in named}


def _named(piece: dict[str, Any]) -> set[tuple[str, str]]:
    return {(str(piece.get("kind")), str(piece.get("id"))), ("document", str(piece.get("document_id") or ""))}
