"""Counters and backups of an export on their way in: a pair has one counter, and a backup is worth the position that it covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..kernel.carrying import without

if TYPE_CHECKING:
    from ..kernel.carrying import Intake, Row
    from . import BackupStore

PAIR = "SELECT pk, thread_number FROM token_counters WHERE conversation_id = ? AND specialist = ?"


def take_in(backups: BackupStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        intake.adopt("token_counters")
        intake.adopt("context_backups")
        return
    for page in intake.pages("token_counters"):
        _take_counters(intake, page)

    def prepare(rows: list[Row]) -> list[Row]:
        for row in rows:
            backups._reach(intake.connection, (row["conversation_id"], row["specialist"]), row["thread_number"], row["created_at"])
        return [_fitted(intake, row, backups.position) for row in rows]

    intake.take("context_backups", "backup", prepare)


def _take_counters(intake: Intake, page: list[Row]) -> None:
    rows = intake.living("token_counters", page, "counter")
    known = intake.ids("token_counters", [row["id"] for row in rows])
    for row in rows:
        there = intake.connection.row(PAIR, (row["conversation_id"], row["specialist"]))
        if there is None and row["id"] not in known:
            intake.insert("token_counters", [without(row, "pk")])
        elif intake.known("token_counters", row):
            pk, thread = there or (known[row["id"]], 0)
            # A backup of ours may close a thread that the export does not know yet.
            intake.update("token_counters", pk, {**row, "thread_number": max(thread, row["thread_number"])})


def _fitted(intake: Intake, row: Row, position: Callable[[str], int | None]) -> Row:
    """A backup from elsewhere, which need not close its thread; where places have shifted it no longer says what it covers."""
    newest = None if row["position"] is None else position(row["conversation_id"])
    lost = row["conversation_id"] in intake.shifted or (newest is not None and row["position"] > newest)
    return {**row, "imported": 1, "position": None if lost else row["position"]}
