"""Importing documents: keys, hashes and words are computed anew, and chunks come in with their document or not at all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..kernel import Exists, values
from ..kernel.rows import AMONG, listed
from ..kernel.words import text_key
from .library import OWNED
from .removal import VISIBLE, forsake, take_chunks
from .tables import uri_key

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import DocumentStore

TWIN = f"SELECT pk FROM documents WHERE uri_key = ? AND {OWNED}"
CHOICE = "SELECT pk FROM selections WHERE document = ? AND user_id IS ? AND conversation_id IS ?"
GONE = "SELECT new FROM temp.carried_keys WHERE kind = 'chunks that were replaced' AND new NOT IN (SELECT id FROM chunks)"

AWAIT = """
    UPDATE documents SET ingestion_status = 'pending', indexed_at = NULL
    WHERE ingestion_status = 'embedded' AND pk IN (
        SELECT document FROM chunks JOIN temp.carried_keys ON new = chunks.id
        WHERE kind = 'chunks without their vectors' AND chunks.id NOT IN (SELECT id FROM vectors WHERE kind = 'chunk')
    )
"""


def take_in(room: DocumentStore, intake: Intake) -> None:
    """Take in the room."""
    connection = intake.connection
    intake.afterwards.append(partial(_await_vectors, intake))
    if intake.mode == "adopt":
        intake.adopt("documents", lambda rows: _keyed(connection, rows))
        intake.adopt("chunks", lambda rows: _hashed(connection, rows))
        intake.adopt("annotations")
        intake.adopt("selections")
        for page in intake.pages("chunks"):
            _index(room, connection, page)
        return
    for page in intake.pages("documents"):
        _merge_documents(room, intake, page)
    for page in intake.pages("chunks"):
        _take_chunks(room, intake, page)
    for page in intake.pages("annotations"):
        _merge_annotations(intake, page)
    for page in intake.pages("selections"):
        _merge_selections(intake, page)
    if intake.replaced["documents"]:
        forsake(room, connection, [id for (id,) in connection.rows(GONE)])


def _await_vectors(intake: Intake) -> None:
    """Mark documents as pending whose vectors in the export could not be imported."""
    if intake.has_noted("chunks without their vectors"):
        intake.connection.run(AWAIT)


def _keyed(connection: Connection, rows: list[Row]) -> list[Row]:
    """Documents with their derived columns."""
    return [{**row, "uri_key": uri_key(row["uri"], row["content_hash"], connection.cipher)} for row in rows]


def _hashed(connection: Connection, rows: list[Row]) -> list[Row]:
    """Chunks with their derived columns."""
    return [{**row, "chunk_hash": text_key(row["content"], connection.cipher)} for row in rows]


def _index(room: DocumentStore, connection: Connection, rows: list[Row]) -> None:
    """Index the words of chunks that have the keys they have in this store, unless their document is hidden."""
    asked = listed({row["document"] for row in rows})
    visible = {pk for (pk,) in connection.rows(f"{VISIBLE} AND pk {AMONG}", (asked,))}
    room._index.add(connection, [(row["pk"], row["content"]) for row in rows if row["document"] in visible])


def _merge_documents(room: DocumentStore, intake: Intake, page: list[Row]) -> None:
    rows = intake.admitted("documents", "document", page)
    known = intake.ids("documents", [row["id"] for row in rows])
    for row in _keyed(intake.connection, rows):
        twin = intake.connection.value(TWIN, (row["uri_key"], row["project_id"] or "", row["user_id"] or ""))
        same = known.get(row["id"])
        if intake.mode == "replace":  # before is_deleted may change, which says whether their words are in the index
            _, gone = take_chunks(room, intake.connection, [pk for pk in (twin if same is None else same,) if pk is not None])
            intake.remember("chunks that were replaced", [(hash(id), id) for id in gone])
        intake.settle("documents", row, same, twin)


def _take_chunks(room: DocumentStore, intake: Intake, page: list[Row]) -> None:
    """Import the chunks whose documents are imported: two states of one text are not mixed."""
    connection, named = intake.connection, {row["document"] for row in page}
    written, erased, replaced = (intake.recall(f"{what} documents", named) for what in ("settled", "erased from", "replaced"))
    come = [row for row in page if row["document"] in written]
    taken = intake.ids("chunks", [row["id"] for row in come])
    if taken:
        raise Exists(f"chunk {values.shorten(min(taken))} of the export is one of another document here; nothing was imported")
    intake.follow("chunks", "document", "documents", page, lambda rows: _hashed(connection, rows))
    here = intake.ids("chunks", [row["id"] for row in page])
    intake.remember("settled chunks", [(row["pk"], here[row["id"]]) for row in come])
    out = [row for row in page if row["document"] not in written]
    intake.remember("kept chunks", [(row["pk"], here[row["id"]]) for row in out if row["id"] in here])
    intake.remember("chunks that stayed out", [(hash(row["id"]), 1) for row in out if row["id"] not in here])
    for what, documents in (("erased from", erased), ("replaced", replaced)):
        intake.remember(f"{what} chunks", [(row["pk"], 1) for row in page if row["document"] in documents])
    _index(room, connection, [{**row, "pk": here[row["id"]], "document": written[row["document"]]} for row in come])


def _merge_annotations(intake: Intake, page: list[Row]) -> None:
    """Import annotations with their chunk; new ones of a chunk that is here already come in alone."""
    here = intake.recall("kept chunks", [row["chunk"] for row in page])
    intake.follow("annotations", "chunk", "chunks", [row for row in page if row["chunk"] not in here])
    known = intake.ids("annotations", [row["id"] for row in page])
    for row in page:
        if row["chunk"] in here:
            intake.settle("annotations", {**row, "chunk": here[row["chunk"]]}, known.get(row["id"]), None)


def _merge_selections(intake: Intake, page: list[Row]) -> None:
    """Import selections wherever their document is here, whether or not it was imported."""
    rows = intake.admitted("selections", "selection", page)
    named = [row["document"] for row in rows]
    here, erased = intake.places("documents", named), intake.recall("erased from documents", named)
    known = intake.ids("selections", [row["id"] for row in rows])
    for row in rows:
        if row["document"] in here:
            moved = {**row, "document": here[row["document"]]}
            twin = intake.connection.value(CHOICE, (moved["document"], row["user_id"], row["conversation_id"]))
            intake.settle("selections", moved, known.get(row["id"]), twin)
        else:
            (intake.erased if row["document"] in erased else intake.skipped)["selections"] += 1
