"""The knowledge of an export on its way in: keys and names are computed anew, and the past of an entity goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel import values
from ..kernel.carrying import OWNERS, without
from ..kernel.words import key_of
from . import ledger_carrying
from .derived import renew
from .schema import ENTITIES

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import KnowledgeStore

BELONGS = {**OWNERS, "project_id": ("project",)}
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
    rows = intake.same_users("entities", "entity", intake.living("entities", page, "entity", BELONGS))
    known = intake.ids("entities", [row["id"] for row in rows])
    ends: dict[int, Any] = dict.fromkeys((row["pk"] for row in page), "")  # "": what hangs on it does not come in
    pasts: dict[int, Any] = {}
    for row in _keyed(intake.connection, _unlinked(intake, rows)):
        here, written = intake.settle("entities", row, known.get(row["id"]), None)
        ends[row["pk"]] = here
        if written:
            pasts[row["pk"]] = here
            intake.connection.run("DELETE FROM entity_versions WHERE entity = ?", (here,))
    renew(intake.connection, list(pasts.values()))
    intake.remember("entity", ends.items())
    intake.remember("entity with its past", pasts.items())
    intake.remember("replaced entity", [(row["pk"], 1) for row in rows if row["id"] in known])
    kept = {row["pk"] for row in rows}
    intake.remember("erased entity", [(row["pk"], 1) for row in page if row["pk"] not in kept and _is_gone(intake, row)])


def _is_gone(intake: Intake, row: Row) -> bool:
    return bool(intake.gone((kind, row.get(name)) for name, kinds in {**BELONGS, "id": ("entity",)}.items() for kind in kinds))


def _take_versions(intake: Intake, page: list[Row]) -> None:
    """What an entity was comes in with it, or stays out with it: two pasts of one entity are not mixed."""
    named = [row["entity"] for row in page]
    owners, erased = intake.recall("entity with its past", named), intake.recall("erased entity", named)
    kept = [row for row in page if row["entity"] in owners]
    out = sum([row["entity"] in erased for row in page])
    intake.erased["entity_versions"] += out
    intake.skipped["entity_versions"] += len(page) - len(kept) - out
    replaced = intake.recall("replaced entity", (row["entity"] for row in kept))
    again = sum([row["entity"] in replaced for row in kept])
    rows = [{**without(row, "pk"), "entity": owners[row["entity"]]} for row in kept]
    intake.insert("entity_versions", _keyed(intake.connection, _unlinked(intake, rows)))
    intake.added["entity_versions"] -= again  # they count as replaced
    intake.replaced["entity_versions"] += again
    renew(intake.connection, sorted({row["entity"] for row in rows}))


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
    alive = intake.same_users(table, kind, intake.living(table, page, kind, BELONGS))
    named = [row[column] for row in alive for column in columns]
    ends, erased = intake.recall("entity", named), intake.recall("erased entity", named)
    out = [row for row in alive if any(row[column] in erased for column in columns)]
    intake.erased[table] += len(out)
    lost = [row for row in alive if row not in out and any(ends.get(row[column], "") == "" for column in columns)]
    intake.skipped[table] += len(lost)
    kept = [row for row in alive if row not in out and row not in lost]
    rows = [{**row, **{column: ends[row[column]] for column in columns}} for row in _unlinked(intake, kept)]
    known = intake.ids(table, [row["id"] for row in rows])
    for row in _noted(intake.connection, rows) if table == "observations" else rows:
        twin = intake.connection.value(SAME_EDGE, _edge(row)) if table == "relationships" else None
        intake.settle(table, row, known.get(row["id"]), twin)


def _edge(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("source", "kind", "target", "user_id", "valid_from", "valid_until", "retired_at"))
