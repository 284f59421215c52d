"""Keywords of an export on their way in: what was added by hand, and which messages are to stay away from searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.carrying import OWNERS, without
from .sources import ByHand

BY_HAND = ByHand()

if TYPE_CHECKING:
    from ..kernel.carrying import Intake, Row
    from . import KeywordIndex



def take_in(index: KeywordIndex, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        intake.adopt("keyword_items")
        intake.adopt("keyword_gone")
    for page in intake.pages("keyword_items") if intake.mode != "adopt" else ():
        _take_items(index, intake, page)
    for page in intake.pages("keyword_gone"):
        for kind in dict.fromkeys(row["source"] for row in page):
            _take_marks(index, intake, kind, [row["number"] for row in page if row["source"] == kind])


def _take_marks(index: KeywordIndex, intake: Intake, kind: str, numbers: list[int]) -> None:
    """Keep what the index has forgotten from being found; of other messages than those that have come with the import nothing is known."""
    came = numbers
    if intake.mode != "adopt":
        some = kind == "message" and (intake.added["messages"] or intake.replaced["messages"])  # chunks get other numbers here
        sources = [source for source in index._sources() if source.kind == kind and some]
        shifted = [intake.base + number for number in numbers]
        came = [item[0] for source in sources for item in source.items(intake.connection, shifted)]
        erased = len(intake.recall("erased message", numbers)) if kind == "message" else 0
        intake.erased["keyword_gone"] += erased
        intake.skipped["keyword_gone"] += len(numbers) - len(came) - erased
        intake.added["keyword_gone"] += len(came)
    if came:
        index._mark(intake.connection, kind, came, removed=True)


def _take_items(index: KeywordIndex, intake: Intake, page: list[Row]) -> None:
    messages = intake.living("keyword_items", [row for row in page if row["kind"] == "message"], owners={**OWNERS, "item_id": ("message",)})
    by_id = {**OWNERS, "item_id": ("user", "conversation", "project", "session", "correction", "keyword")}
    rows = [*messages, *intake.living("keyword_items", [row for row in page if row["kind"] != "message"], owners=by_id)]
    for row in sorted(rows, key=lambda row: int(row["pk"])):
        there = BY_HAND.find(intake.connection, row["kind"], row["item_id"])
        if there is None or intake.known("keyword_items", row):
            index._drop_by_hand(intake.connection, row["kind"], row["item_id"])
            index._override(intake.connection, row["kind"], row["item_id"])
            intake.insert("keyword_items", [{**without(row, "pk"), "arrival": intake.base + row["arrival"]}])
            if there is not None:
                intake.added["keyword_items"] -= 1  # it counts as replaced
