"""Conflicts of an export on their way in: digests are computed anew, and what is open on both sides is one conflict.

A side that was erased here, or that stays another user's, does not come in; a conflict with one side left is none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .slots import SLOT, hash_of

if TYPE_CHECKING:
    from ..kernel.carrying import Intake, Row
    from . import ConflictStore

OPEN_SLOT = f"SELECT pk FROM conflicts WHERE {SLOT} AND status = 'open'"
OPEN_PAIR = "SELECT pk FROM conflicts WHERE pair_hash = ? AND kind = 'contradiction' AND status = 'open'"


def take_in(_: ConflictStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        intake.adopt("conflicts", lambda rows: _hashed(intake, rows))
        intake.adopt("conflict_members")
        intake.adopt("conflict_assessments")
        return
    for page in intake.pages("conflict_members"):
        _count_sides(intake, page)
    for page in intake.pages("conflicts"):
        _merge(intake, page)
    for page in intake.pages("conflict_members"):
        erased, aside = _lost(intake, page)
        intake.erased["conflict_members"] += len(erased)
        intake.skipped["conflict_members"] += len(aside)
        lost = {row["pk"] for row in (*erased, *aside)}
        intake.follow("conflict_members", "conflict", "conflicts", [row for row in page if row["pk"] not in lost])
    for page in intake.pages("conflict_assessments"):
        intake.follow("conflict_assessments", "conflict", "conflicts", page)


def _hashed(intake: Intake, rows: list[Row]) -> list[Row]:
    cipher = intake.connection.cipher
    return [{**row, "slot_hash": hash_of(row["slot_key"], cipher) if row["kind"] == "slot" else ""} for row in rows]


def _count_sides(intake: Intake, page: list[Row]) -> None:
    """Note how many sides of each conflict come in, and which conflicts lose one that was erased here."""
    erased, aside = _lost(intake, page)
    lost = {row["pk"] for row in (*erased, *aside)}
    sides = Counter(row["conflict"] for row in page if row["pk"] not in lost)
    before = intake.recall("sides of conflicts", sides)
    intake.remember("sides of conflicts", [(conflict, count + before.get(conflict, 0)) for conflict, count in sides.items()])
    intake.remember("erased sides of conflicts", [(row["conflict"], 1) for row in erased])


def _lost(intake: Intake, page: list[Row]) -> tuple[list[Row], list[Row]]:
    """The members that were erased here, and the others that are set aside."""
    sides = [{(row["member_kind"], row["member_id"]), (row["claim_kind"], row["claim_id"])} for row in page]
    everything = [side for each in sides for side in each]
    gone, aside = intake.gone(everything), intake.aside(everything)
    erased = [row for row, each in zip(page, sides) if each & gone]
    return erased, [row for row, each in zip(page, sides) if each & aside and not each & gone]


def _merge(intake: Intake, page: list[Row]) -> None:
    rows = _contested(intake, intake.admitted("conflicts", "conflict", page))
    known = intake.ids("conflicts", [row["id"] for row in rows])
    for row in _hashed(intake, rows):
        here, written = intake.settle("conflicts", row, known.get(row["id"]), _twin(intake, row))
        if written:
            intake.connection.run("DELETE FROM conflict_members WHERE conflict = ?", (here,))
            intake.connection.run("DELETE FROM conflict_assessments WHERE conflict = ?", (here,))


def _contested(intake: Intake, rows: list[Row]) -> list[Row]:
    """Conflicts of which two sides come in."""
    sides = intake.recall("sides of conflicts", (row["pk"] for row in rows))
    alone = [row["pk"] for row in rows if sides.get(row["pk"], 0) < 2]
    erased = [*intake.recall("erased sides of conflicts", alone)]
    intake.erased["conflicts"] += len(erased)
    intake.skipped["conflicts"] += len(alone) - len(erased)
    intake.remember("erased from conflicts", [(pk, 1) for pk in erased])
    return [row for row in rows if row["pk"] not in alone]


def _twin(intake: Intake, row: Row) -> int | None:
    """The conflict that is open here in the place of an open one."""
    found: int | None = None
    if row["status"] == "open" and row["kind"] == "slot":
        found = intake.connection.value(OPEN_SLOT, (row["slot_hash"], row["slot_kind"], row["project_id"], row["user_id"]))
    elif row["status"] == "open":
        found = intake.connection.value(OPEN_PAIR, (row["pair_hash"],))
    return found
