"""Memories, interactions and project state of an export on their way in: keys and words are computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..kernel import values
from ..kernel.carrying import BELONGS
from ..kernel.lifecycle import LIVE
from ..kernel.words import normal, statement_key, stems, tagged
from .erasing import homes, referred, without_pieces
from .tables import INTERACTIONS, MEMORIES

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import MemoryStore

TWIN = """
    SELECT pk FROM memories
    WHERE content_key = ? AND memory_type = ? AND COALESCE(project_id, '') = ? AND COALESCE(user_id, '') = ? AND status = ?
      AND (status = 'active' OR status = 'candidate')
"""
ENTRY = "SELECT pk FROM project_state WHERE project_id = ? AND key = ? AND status = 'active' AND ? = 'active'"


def take_in(_: MemoryStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        intake.adopt("memories", lambda rows: _keyed(intake.connection, rows))
        intake.adopt("interactions")
        intake.adopt("interaction_pieces")
        intake.adopt("project_state", _compared)
        for page in intake.pages("memories"):
            _index(intake.connection, [row["pk"] for row in page])
        return
    for page in intake.pages("interactions"):
        _merge_interactions(intake, page)
    for page in intake.pages("memories"):
        _merge_memories(intake, page)
    intake.rename_successors("memories")
    for page in intake.pages("interaction_pieces"):
        _take_pieces(intake, page)
    for page in intake.pages("project_state"):
        _merge_state(intake, page)


def _keyed(connection: Connection, rows: list[Row]) -> list[Row]:
    """Memories with what is derived from them."""
    cipher = connection.cipher
    return [{**row, "content_key": statement_key(row["content"], cipher), "stem_count": len(stems(row["content"]))} for row in rows]


def _compared(rows: list[Row]) -> list[Row]:
    """Entries of project state with what is derived from them."""
    return [{**row, "normal_key": normal(row["key"])} for row in rows]


def _index(connection: Connection, pks: list[int]) -> None:
    """Write the words of live memories."""
    for pk in pks:
        connection.run("DELETE FROM memory_words WHERE memory = ?", (pk,))
        (item,) = MEMORIES.find(connection, "WHERE pk = ?", (pk,))
        found = tagged(stems(item.content), connection.cipher) if item.status in LIVE else ()
        connection.many("INSERT INTO memory_words(word, memory) VALUES (?, ?)", [(word, pk) for word in found])


def _merge_memories(intake: Intake, page: list[Row]) -> None:
    rows = intake.admitted("memories", "memory", page)
    gone = intake.gone(("interaction", row["interaction_id"]) for row in rows)
    known = intake.ids("memories", [row["id"] for row in rows])
    for row in _keyed(intake.connection, rows):
        if ("interaction", row["interaction_id"]) in gone:
            row["interaction_id"] = None
        said = (row["content_key"], row["memory_type"], row["project_id"] or "", row["user_id"] or "", row["status"])
        here, written = intake.settle("memories", row, known.get(row["id"]), intake.connection.value(TWIN, said))
        if written:
            _index(intake.connection, [here])


def _merge_interactions(intake: Intake, page: list[Row]) -> None:
    rows = intake.admitted("interactions", "interaction", page)
    known = intake.ids("interactions", [row["id"] for row in rows])
    for row in rows:
        here, written = intake.settle("interactions", _told_less(intake, row), known.get(row["id"]), None)
        if written:
            intake.connection.run("DELETE FROM interaction_pieces WHERE interaction = ?", (here,))


def _told_less(intake: Intake, row: Row) -> Row:
    """An interaction without the pieces that were erased here."""
    used = {name: INTERACTIONS.decode(name, row[name], row["id"]) for name in ("memories_used", "chunks_used", "context_pack")}
    gone = intake.gone(_pieces(used))
    if not gone:
        return row
    used["memories_used"] = [id for id in used["memories_used"] if ("memory", id) not in gone]
    used["chunks_used"] = [id for id in used["chunks_used"] if ("chunk", id) not in gone]
    used["context_pack"] = without_pieces(used["context_pack"], gone)
    return {**row, **{name: values.to_json(name, left) for name, left in used.items()}}


def _pieces(used: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from (("memory", id) for id in used["memories_used"])
    yield from (("chunk", id) for id in used["chunks_used"])
    yield from (("document", id) for id in homes(used["context_pack"]).values())
    yield from referred(used["context_pack"])
    pieces = used["context_pack"].get("pieces")
    yield from ((each["kind"], each.get("id")) for each in pieces or () if isinstance(each, dict) and isinstance(each.get("kind"), str))


def _take_pieces(intake: Intake, page: list[Row]) -> None:
    gone = intake.gone((row["kind"], row["piece_id"]) for row in page)
    left = [row for row in page if (row["kind"], row["piece_id"]) not in gone]
    intake.erased["interaction_pieces"] += len(page) - len(left)
    intake.follow("interaction_pieces", "interaction", "interactions", left)


def _merge_state(intake: Intake, page: list[Row]) -> None:
    rows = intake.living("project_state", page, "project_state", BELONGS)
    known = intake.ids("project_state", [row["id"] for row in rows])
    for row in _compared(rows):
        live = intake.connection.value(ENTRY, (row["project_id"], row["key"], row["status"]))
        intake.settle("project_state", row, known.get(row["id"]), live)
