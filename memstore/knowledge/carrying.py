"""The knowledge of an export on its way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ledger_carrying

if TYPE_CHECKING:
    from ..kernel.carrying import Intake
    from . import KnowledgeStore


def take_in(room: KnowledgeStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        for table in ("entities",):
            intake.adopt(table)
    ledger_carrying.take_in(room, intake)
