"""The knowledge of an export on its way in: keys and names are computed anew, and the past of an entity goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel import values
from ..kernel.words import key_of
from . import ledger_carrying
from .derived import renew
from .schema import ENTITIES

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import KnowledgeStore

SAME_EDGE = """
    SELECT pk FROM relationships
    WHERE source = ? AND kind = ? AND target = ? AND user_id IS ? AND valid_from IS ? AND valid_until IS ?
      AND retired_at IS NULL AND ? IS NULL
"""


def take_in(room: KnowledgeStore, intake: Intake) -> None:
    """Take in the room: the graph, then the ledger, whose atoms mention entities."""
    if intake.mode == "adopt":
        _adopt(intake)
    else:
        _merge(intake)
    ledger_carrying.take_in(room, intake)


def _adopt(intake: Intake) -> None:
    connection = intake.connection
    intake.adopt("entities", lambda rows: _keyed(connection, rows))
    intake.adopt("entity_versions", lambda rows: _keyed(connection, rows))
    intake.adopt("relationship_kinds")
    intake.adopt("relationships")
    intake.adopt("observations", lambda rows: _noted(connection, rows))
    for page in intake.pages("entities"):
        renew(connection, [row["pk"] for row in page])


def _merge(intake: Intake) -> None:
    for page in intake.pages("entities"):
        _merge_entities(intake, page)
    for page in intake.pages("entity_versions"):
        _take_versions(intake, page)
    for page in intake.pages("relationship_kinds"):
        _merge_kinds(intake, page)
    for page in intake.pages("relationships"):
        _merge_hanging(intake, "relationships", "relationship", page, ("source", "target"))
    for page in intake.pages("observations"):
        _merge_hanging(intake, "observations", "observation", page, ("entity",))


def _keyed(connection: Connection, rows: list[Row]) -> list[Row]:
    """States of entities with what is derived from them."""
    cipher = connection.cipher
    return [{**row, "name_key": key_of(row["canonical_name"], cipher), "type_key": row["type"].casefold()} for row in rows]


def _noted(connection: Connection, rows: list[Row]) -> list[Row]:
    """Observations with their keys."""
    return [{**row, "content_key": key_of(row["content"], connection.cipher)} for row in rows]


def _unlinked(intake: Intake, rows: list[Row]) -> list[Row]:
    """Rows that no longer name what was erased here or does not come in."""
    references = [ENTITIES.decode("source_refs", row["source_refs"], row["id"]) for row in rows]
    named = {reference: (kind, id) for found in references for reference in found for kind, _, id in [reference.partition(":")]}
    successors = [("entity", row.get("superseded_by")) for row in rows]
    asked = [*named.values(), *successors]
    gone = intake.gone(asked) | intake.aside(asked)
    for row, found, successor in zip(rows, references, successors, strict=True) if gone else ():
        row["source_refs"] = values.to_json("source_refs", [reference for reference in found if named[reference] not in gone])
        if successor in gone:
            row["superseded_by"] = None
    return rows


def _merge_entities(intake: Intake, page: list[Row]) -> None:
    rows = intake.admitted("entities", "entity", page)
    known = intake.ids("entities", [row["id"] for row in rows])
    renewed = []
    for row in _keyed(intake.connection, _unlinked(intake, rows)):
        here, written = intake.settle("entities", row, known.get(row["id"]), None)
        if written:
            intake.connection.run("DELETE FROM entity_versions WHERE entity = ?", (here,))
            renewed.append(here)
    renew(intake.connection, renewed)


def _take_versions(intake: Intake, page: list[Row]) -> None:
    """What an entity was comes in with it, or stays out with it: two pasts of one entity are not mixed."""
    connection, page = intake.connection, intake.placed("entity_versions", page)
    intake.follow("entity_versions", "entity", "entities", page, lambda rows: _keyed(connection, _unlinked(intake, rows)))
    renew(connection, sorted(intake.recall("settled entities", (row["entity"] for row in page)).values()))


def _merge_kinds(intake: Intake, page: list[Row]) -> None:
    for row in page:
        family = intake.connection.value("SELECT family FROM relationship_kinds WHERE kind = ?", (row["kind"],))
        if family is None:
            intake.insert("relationship_kinds", [row])
        elif family == row["family"]:
            intake.skipped["relationship_kinds"] += 1
        elif intake.known("relationship_kinds", {"id": row["kind"]}):
            intake.connection.run("UPDATE relationship_kinds SET family = ? WHERE kind = ?", (row["family"], row["kind"]))


def _merge_hanging(intake: Intake, table: str, kind: str, page: list[Row], columns: tuple[str, ...]) -> None:
    """Take in rows that hang on entities, where those are here."""
    alive = intake.admitted(table, kind, page)
    named = [row[column] for row in alive for column in columns]
    ends, erased = intake.places("entities", named), intake.recall("erased from entities", named)
    out = [row for row in alive if any(row[column] in erased for column in columns)]
    intake.erased[table] += len(out)
    lost = [row for row in alive if row not in out and any(row[column] not in ends for column in columns)]
    intake.skipped[table] += len(lost)
    kept = [row for row in alive if row not in out and row not in lost]
    rows = [{**row, **{column: ends[row[column]] for column in columns}} for row in _unlinked(intake, kept)]
    known = intake.ids(table, [row["id"] for row in rows])
    for row in _noted(intake.connection, rows) if table == "observations" else rows:
        twin = intake.connection.value(SAME_EDGE, _edge(row)) if table == "relationships" else None
        intake.settle(table, row, known.get(row["id"]), twin)


def _edge(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("source", "kind", "target", "user_id", "valid_from", "valid_until", "retired_at"))
