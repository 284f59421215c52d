"""The ledger of an export on its way in: keys are computed anew, and what hangs on an atom or an artifact goes with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..kernel import values
from ..kernel.carrying import BELONGS, without
from ..kernel.words import key_of
from .ledger_erasing import SOURCES
from .ledger_tables import CARRIED, KEYS

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import KnowledgeStore

TWIN = """
    SELECT pk FROM atoms
    WHERE body_key = ? AND kind = ? AND COALESCE(project_id, '') = ? AND COALESCE(user_id, '') = ? AND ? IN ('active', 'candidate')
      AND (status = 'active' OR status = 'candidate')
"""
RECORDED = "SELECT pk FROM merges WHERE atom_ids = ? AND into_id IS ? AND operation = ? AND review_status = ?"


class Hanging(NamedTuple):
    """A table whose rows go with rows of others."""

    owners: dict[str, str]  # columns with integer keys, and whose
    same: tuple[str, ...]  # what two rows agree in that say the same
    optional: tuple[str, ...] = ()  # columns that may be empty


HANGING = {
    "evidence": Hanging({"atom": "atoms"}, ("atom", "snippet_key", "source_id", "chunk_id")),
    "claims": Hanging({"atom": "atoms"}, ("atom", "subject_key", "predicate_key", "domain", "strength")),
    "links": Hanging({"from_atom": "atoms", "to_atom": "atoms"}, ("from_atom", "to_atom", "relation_type")),
    "mentions": Hanging({"atom": "atoms"}, ("atom", "entity_id", "chunk_id", "anchor_start", "anchor_end")),
    "artifact_sections": Hanging({"artifact": "artifacts"}, ("artifact", "section_key")),
    "citations": Hanging(
        {"artifact": "artifacts", "section": "artifact_sections", "atom": "atoms"},
        ("kind", "artifact", "section", "atom", "insight_id", "contradiction_id", "relation_type"),
        ("artifact", "section", "atom"),
    ),
}


def take_in(_: KnowledgeStore, intake: Intake) -> None:
    """Take in the ledger; the graph, whose entities it mentions, has come in."""
    for carried in CARRIED:
        if intake.mode == "adopt":
            intake.adopt(carried.table, partial(_keyed, intake.connection, carried.table))
            continue
        for page in intake.pages(carried.table):
            if carried.table in HANGING:
                _merge_hanging(intake, carried.table, page)
            else:
                MERGING[carried.table](intake, page)


def _keyed(connection: Connection, table: str, rows: list[Row]) -> list[Row]:
    """Rows with what is derived from them."""
    keys = KEYS.get(table, {})
    return [{**row, **{key: key_of(row[text], connection.cipher) for key, text in keys.items()}} for row in rows]


def _merge_atoms(intake: Intake, page: list[Row]) -> None:
    rows = intake.admitted("atoms", "atom", page)
    known = intake.ids("atoms", [row["id"] for row in rows])
    for row in _keyed(intake.connection, "atoms", rows):
        said = (row["body_key"], row["kind"], row["project_id"] or "", row["user_id"] or "", row["status"])
        intake.settle("atoms", row, known.get(row["id"]), intake.connection.value(TWIN, said))


def _merge_artifacts(intake: Intake, page: list[Row]) -> None:
    rows = intake.admitted("artifacts", "artifact", page)
    known = intake.ids("artifacts", [row["id"] for row in rows])
    for row in rows:
        intake.settle("artifacts", row, known.get(row["id"]), None)


def _merge_hanging(intake: Intake, table: str, page: list[Row]) -> None:
    """Rows of a table whose owners are in; what hangs on something that did not come in stays out."""
    shape = HANGING[table]
    here = {owner: _recalled(intake, owner, page, shape) for owner in set(shape.owners.values())}
    known = intake.ids(table, [row["id"] for row in page])
    for row in _keyed(intake.connection, table, page):
        moved = {**row, **{column: here[owner].get(row[column]) for column, owner in shape.owners.items()}}
        lacking = [column for column in shape.owners if moved[column] is None and row[column] is not None]
        if _left_out(intake, table, row, [column for column in lacking if not _may_lack(row, column)]):
            continue
        where = " AND ".join([f"{column} IS ?" for column in shape.same])
        twin = intake.connection.value(f"SELECT pk FROM {table} WHERE {where}", [moved[column] for column in shape.same])
        intake.settle(table, moved, known.get(row["id"]), twin)


def _may_lack(row: Row, column: str) -> bool:
    """Whether a row says something without its owner: that a section cites what is gone makes it stale."""
    return column == "atom" and row.get("kind") == "atom"


def _recalled(intake: Intake, owner: str, page: list[Row], shape: Hanging) -> dict[int, int]:
    asked = [row[column] for row in page for column, each in shape.owners.items() if each == owner and row[column] is not None]
    return intake.places(owner, asked)


def _left_out(intake: Intake, table: str, row: Row, lacking: list[str]) -> bool:
    """Count a row that does not come in."""
    named = [(kind, row.get(column)) for column in ("source_id", "chunk_id") if table == "evidence" for kind in SOURCES]
    named += [("entity", row["entity_id"])] if table == "mentions" else []
    owners = HANGING[table].owners
    if intake.gone(named) or any(intake.recall(f"erased from {owners[column]}", [row[column]]) for column in lacking):
        intake.erased[table] += 1
        return True
    nobody = table == "mentions" and not intake.ids("entities", [row["entity_id"]])
    if lacking or nobody:
        intake.skipped[table] += 1
    return bool(lacking) or nobody


def _merge_merges(intake: Intake, page: list[Row]) -> None:
    known = intake.ids("merges", [row["id"] for row in page])
    for row in page:
        ids = [*values.from_json(row["atom_ids"]), row["into_id"]]
        if intake.gone(("atom", id) for id in ids):
            intake.erased["merges"] += 1
            continue
        if intake.gone([("user", row["reviewed_by"])]):
            row["reviewed_by"] = ""
        said = (row["atom_ids"], row["into_id"], row["operation"], row["review_status"])
        if row["id"] not in known and intake.connection.value(RECORDED, said) is None:
            intake.insert("merges", [without(row, "pk")])
        else:
            intake.known("merges", row)  # what was recorded is never changed


def _merge_states(intake: Intake, page: list[Row]) -> None:
    rows = intake.living("knowledge_states", page, "knowledge_state", BELONGS)
    known = intake.ids("knowledge_states", [row["id"] for row in rows])
    for row in rows:
        live = intake.connection.value("SELECT pk FROM knowledge_states WHERE project_id = ?", (row["project_id"],))
        intake.settle("knowledge_states", row, known.get(row["id"]), live)


def _merge_deltas(intake: Intake, page: list[Row]) -> None:
    rows = intake.living("knowledge_deltas", page, "knowledge_delta", BELONGS)
    known = intake.ids("knowledge_deltas", [row["id"] for row in rows])
    for row in rows:
        intake.settle("knowledge_deltas", row, known.get(row["id"]), None)


MERGING = {
    "atoms": _merge_atoms,
    "artifacts": _merge_artifacts,
    "merges": _merge_merges,
    "knowledge_states": _merge_states,
    "knowledge_deltas": _merge_deltas,
}
