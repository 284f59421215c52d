"""Conflicts of an export on their way in: digests are computed anew, and what is open on both sides is one conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.carrying import OWNERS
from .erasing import LONELY
from .removal import remove
from .slots import SLOT, hash_of

if TYPE_CHECKING:
    from ..kernel.carrying import Intake, Row
    from . import ConflictStore

BELONGS = {**OWNERS, "project_id": ("project",)}
OPEN_SLOT = f"SELECT pk FROM conflicts WHERE {SLOT} AND status = 'open'"
OPEN_PAIR = "SELECT pk FROM conflicts WHERE pair_hash = ? AND kind = 'contradiction' AND status = 'open'"


def take_in(_: ConflictStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        intake.adopt("conflicts", lambda rows: _hashed(intake, rows))
        intake.adopt("conflict_members")
        intake.adopt("conflict_assessments")
        return
    for page in intake.pages("conflicts"):
        _merge(intake, page)
    for page in intake.pages("conflict_members"):
        intake.follow("conflict_members", "conflict", "conflicts", _living(intake, page))
    for page in intake.pages("conflict_assessments"):
        intake.follow("conflict_assessments", "conflict", "conflicts", page)
    _remove_lonely(intake)


def _hashed(intake: Intake, rows: list[Row]) -> list[Row]:
    cipher = intake.connection.cipher
    return [{**row, "slot_hash": hash_of(row["slot_key"], cipher) if row["kind"] == "slot" else ""} for row in rows]


def _merge(intake: Intake, page: list[Row]) -> None:
    rows = intake.same_users("conflicts", "conflict", intake.living("conflicts", page, "conflict", BELONGS))
    known = intake.ids("conflicts", [row["id"] for row in rows])
    for row in _hashed(intake, rows):
        here, written = intake.settle("conflicts", row, known.get(row["id"]), _twin(intake, row))
        if written:
            intake.connection.run("DELETE FROM conflict_members WHERE conflict = ?", (here,))
            intake.connection.run("DELETE FROM conflict_assessments WHERE conflict = ?", (here,))


def _twin(intake: Intake, row: Row) -> int | None:
    """The conflict that is open here in the place of an open one."""
    found: int | None = None
    if row["status"] == "open" and row["kind"] == "slot":
        found = intake.connection.value(OPEN_SLOT, (row["slot_hash"], row["slot_kind"], row["project_id"], row["user_id"]))
    elif row["status"] == "open":
        found = intake.connection.value(OPEN_PAIR, (row["pair_hash"],))
    return found


def _living(intake: Intake, page: list[Row]) -> list[Row]:
    """The members that were not erased here."""
    sides = [{(row["member_kind"], row["member_id"]), (row["claim_kind"], row["claim_id"])} for row in page]
    gone = intake.gone(side for each in sides for side in each)
    kept = [row for row, each in zip(page, sides) if not each & gone]
    intake.erased["conflict_members"] += len(page) - len(kept)
    return kept


def _remove_lonely(intake: Intake) -> None:
    """Conflicts of which one side was erased here."""
    keys = [pk for (pk,) in intake.connection.rows(LONELY)]
    taken = intake.recall("taken conflicts", keys)
    for pk in keys:
        for table, rows in remove(intake.connection, [pk]).items():
            (intake.replaced if pk in taken else intake.added)[table] -= rows
            intake.erased[table] += rows
