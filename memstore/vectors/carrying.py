"""Importing vectors: lengths and counts are computed anew, and an encrypted store takes only those of models that it allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Corrupt, ModelMismatch, values
from ..kernel.carrying import without
from ..kernel.rows import AMONG, listed
from .derived import recount
from .floats import norm, sound

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import VectorIndex

#: By kind, the table whose rows may have other ids here, because one here says the same.
TWINS = {"memory": "memories", "chunk": "chunks"}


def take_in(index: VectorIndex, intake: Intake) -> None:
    """Take in the room; vectors that an encrypted store does not allow are left out, for they can be made again."""
    for page in intake.pages("vector_permits"):
        _permit(intake, page)
    if intake.mode == "adopt":
        used = intake.connection.value("SELECT 1 FROM main.sqlite_sequence WHERE name = 'vectors'") is not None
        given = ("pk",) if used else ()  # keys are not given again: somebody's memory may still have what they stood for
        intake.adopt("vectors", lambda rows: [without(row, *given) for row in _measured(_permitted(index, intake, rows))])
    else:
        for page in intake.pages("vectors"):
            _merge(index, intake, _measured(_permitted(index, intake, page)))
    if intake.added["vectors"] or intake.replaced["vectors"]:
        mixed = recount(intake.connection)
        if mixed:
            raise ModelMismatch(f"with the export there would be vectors of {mixed}; nothing was imported: reembed one side first")


def _permit(intake: Intake, page: list[Row]) -> None:
    permitted = intake.connection.rows(f"SELECT model FROM vector_permits WHERE model {AMONG}", (listed(row["model"] for row in page),))
    known = {model for (model,) in permitted}
    intake.insert("vector_permits", [row for row in page if row["model"] not in known])
    intake.skipped["vector_permits"] += len(known)


def _permitted(index: VectorIndex, intake: Intake, rows: list[Row]) -> list[Row]:
    permits = {model: index.permits(model) for model in {row["model"] for row in rows}}
    kept = [row for row in rows if permits[row["model"]]]
    intake.skipped["vectors"] += len(rows) - len(kept)
    left = [row["id"] for row in rows if row["kind"] == "chunk" and not permits[row["model"]]]
    if left:
        intake.remember("chunks without their vectors", [(hash(id), id) for id in left])
    return kept


def _measured(rows: list[Row]) -> list[Row]:
    """Rows with their lengths."""
    for row in rows:
        if not sound(row["vector"], row["dims"]):
            raise Corrupt(f"the vector of {values.shorten(row['id'])} in the export is damaged; nothing was imported")
    return [{**row, "norm": norm(row["vector"])} for row in rows]


def _merge(index: VectorIndex, intake: Intake, rows: list[Row]) -> None:
    """Put in vectors of items that have none; an item in whose place one here stands keeps the vector of that one."""
    items = [(row["kind"], row["id"]) for row in rows]
    gone, aside = intake.gone(items), intake.aside(items)
    intake.erased["vectors"] += sum(item in gone for item in items)
    intake.skipped["vectors"] += sum(item in aside - gone for item in items)
    rows = _attached(intake, [row for row, item in zip(rows, items) if item not in gone | aside])
    for kind in {row["kind"] for row in rows}:
        ours = [row for row in rows if row["kind"] == kind]
        ids = [str(row["id"]) for row in ours]
        names = intake.renamed(TWINS[kind], ids) if kind in TWINS else {}
        here = _here(intake.connection, kind, [names.get(id, id) for id in ids])
        twins = [row for row in ours if names.get(row["id"]) in here]
        fresh = [row for row in ours if names.get(row["id"], row["id"]) not in here]
        again = [row for row in ours if row not in twins and row["id"] in here and intake.known("vectors", row)]
        intake.skipped["vectors"] += len(twins)
        index.discard(intake.connection, kind, [row["id"] for row in again])
        named = [{**row, "id": names.get(row["id"], row["id"])} for row in fresh] + again
        intake.insert("vectors", [without(row, "pk") for row in sorted(named, key=lambda row: int(row["pk"]))])
        intake.added["vectors"] -= len(again)  # they count as replaced


def _attached(intake: Intake, rows: list[Row]) -> list[Row]:
    """Rows without those of chunks that were not imported: nothing would ever find or remove them."""
    out = intake.recall("chunks that stayed out", [hash(row["id"]) for row in rows if row["kind"] == "chunk"])
    kept = [row for row in rows if row["kind"] != "chunk" or hash(row["id"]) not in out]
    intake.skipped["vectors"] += len(rows) - len(kept)
    return kept


def _here(connection: Connection, kind: str, ids: list[str]) -> set[str]:
    return {id for (id,) in connection.rows(f"SELECT id FROM vectors WHERE id {AMONG} AND kind = ?", (listed(ids), kind))}
