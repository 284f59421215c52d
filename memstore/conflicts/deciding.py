"""Who might win a conflict, and how the end of one is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .tables import Conflict, ConflictMember, Suggestion


class Said(NamedTuple):
    """What a member says: as it is compared, and for people."""

    value: str
    shown: str


Side = tuple[ConflictMember, Any]  # a member, and the row that makes its claim
#: What decides, in this order.
MEASURES: dict[str, Callable[[Side], float]] = {
    "trust": lambda side: side[0].member_layer_trust,
    "confidence": lambda side: float(side[1].confidence),
    "age": lambda side: float(side[1].created_at),
}


def suggest(conflict: Conflict, claims: dict[tuple[str, str], Any], said: dict[tuple[str, str], Said]) -> Suggestion:
    """The member whose claim is trusted most; `claims` are the rows that still hold, by member, and `said` what they say."""
    leading = [(member, claims[side]) for member in conflict.members if (side := (member.member_kind, member.member_id)) in said]
    if not leading:
        return Suggestion(None, None, "none of its members is active any more")
    if len(leading) == 1:
        return _named(leading[0][0], f"it is the only one that {'is still active' if len(claims) == 1 else 'still claims the slot'}")
    if len({now.value for now in said.values()}) == 1:
        return Suggestion(None, None, "they say the same now: dismiss closes it")
    equal: list[str] = []
    for what, measure in MEASURES.items():
        ranked = sorted(leading, key=measure, reverse=True)
        best, second = measure(ranked[0]), measure(ranked[1])
        if best != second:
            return _named(ranked[0][0], ", ".join([*equal, _told_apart(what, ranked[0], ranked[1])]))
        leading = [side for side in leading if measure(side) == best]
        equal.append(f"equal {what}")
    sides = " and ".join(f"{member.member_kind} {member.member_id}" for member, _ in leading)
    return Suggestion(None, None, f"{', '.join(equal)}: nothing decides between {sides}")


def _told_apart(what: str, first: Side, second: Side) -> str:
    if what == "trust":
        return f"{first[0].member_kind} is trusted more than {second[0].member_kind}"
    if what == "confidence":
        return f"its confidence is larger ({first[1].confidence:g} against {second[1].confidence:g})"
    return "it is newer"


def won(conflict: Conflict, member: ConflictMember) -> Conflict:
    """A conflict with its winner."""
    atom = member.member_id if member.member_kind == "atom" else None
    return replace(conflict, winner_kind=member.member_kind, winner_id=member.member_id, resolution_atom_id=atom)


def told(conflict: Conflict) -> str:
    """How and when a conflict was closed."""
    how = f" ({conflict.resolution})" if conflict.status == "resolved" and conflict.resolution else ""
    winner = "" if conflict.winner_id is None else f", won by {conflict.winner_kind} {conflict.winner_id}"
    return f"{conflict.status}{how} {_moment(conflict.resolved_at or 0.0)}{winner}"


def _moment(seconds: float) -> str:
    try:
        return f"on {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d at %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):  # further away than the calendar reaches
        return f"at {seconds!r} s"


def _named(member: ConflictMember, reason: str) -> Suggestion:
    return Suggestion(member.member_kind, member.member_id, reason)
