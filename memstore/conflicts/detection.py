"""Noticing: what has begun to hold may clash with what holds already.

1. Nothing is resolved here, and nothing is refused: a conflict is opened beside the beliefs, in the transaction in which they met.
2. A rule that fails has nothing to say. The call that asked it goes on, and the log says so once for each rule and kind of error.
   What the database itself fails at is no rule's failure and is raised.
3. Where nothing clashes nothing is written, and the room's tables are not made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from ..kernel import (
    Busy,
    Closed,
    Connection,
    Corrupt,
    DiskFull,
    Invalid,
    NeedsUpgrade,
    OutcomeUnknown,
    ReadOnly,
    Record,
    Replaced,
    SchemaTooNew,
    Tampered,
    TransactionAborted,
    WrongKey,
    values,
)
from .deciding import Said
from .rules import Claim, Contest, Rule, Shipped, Standing, answers, contests, described, holds, kind_of
from .slots import Slots
from .tables import MEMBER_KINDS, Conflict

T = TypeVar("T")
PAGE = 500

#: What no rule is to blame for.
NO_RULES_FAILURE = (
    Busy, Closed, Corrupt, DiskFull, MemoryError, NeedsUpgrade, OutcomeUnknown, ReadOnly, Replaced, SchemaTooNew, Tampered,
    TransactionAborted, WrongKey,
)  # fmt: skip


class Detection(Slots):
    """The part of the conflicts room that asks the rules."""

    def __init__(self, *rooms: Any) -> None:
        super().__init__(*rooms)
        shipped = Shipped(self.db.present, self._memories, self._knowledge)
        self._rules = {rule.slot_kind: rule for rule in shipped.rules()}
        self._reported: set[tuple[str, str]] = set()  # rules and the errors of theirs that the log has

    def rule(self, slot_kind: str, fn: Callable[[Any], object], *, kinds: Iterable[str] = MEMBER_KINDS) -> None:
        """Let a function say which records claim a slot: for each record None, a pair (slot_key, value), a `Claim`, or a list of these.

        It is asked for every record of these kinds ("memory", "entity", "atom", "relationship", "project_state") that is active and
        not expired. Records that claim one key within one project with different values, compared exactly, are in conflict. A rule
        lives as long as the store object; one of the same `slot_kind`, shipped ones too, is replaced. After an active add all
        records of its kinds in that project are looked through: keep it quick. One that raises, or answers anything else, blocks
        nothing: that record claims nothing by it, and the log gets one event conflict.rule_failed for each kind of error.
        """
        slot_kind = values.key("slot_kind", slot_kind)
        if not callable(fn):
            raise Invalid(f"fn must be a function of one record, not {values.shorten(fn)}")
        chosen = tuple(values.one_of("kinds", kind, MEMBER_KINDS) for kind in values.strings("kinds", kinds))
        self._rules[slot_kind] = Rule(slot_kind, fn, chosen)
        self._reported = {(name, error) for name, error in self._reported if name != slot_kind}

    def detect(self, *, project: str | None = None) -> list[Conflict]:
        """Ask every rule about everything active, and return the conflicts that hold now, oldest first.

        Those that nobody knew are opened. What a person has dismissed or left as it is stays closed while the members and their
        values are the same.
        """
        project = self._canonical(values.optional(values.key, "project", project))
        with self.db.write():
            found = [self._meet(contest) for contest in self._contested(project)]
        held = {conflict.id: conflict for conflict in found if conflict is not None}
        return [self._today(conflict) for conflict in sorted(held.values(), key=lambda conflict: (conflict.created_at, conflict.id))]

    def notice(self, connection: Connection, item: Record) -> None:
        """Look whether something that holds from now on contradicts what else holds."""
        kind = kind_of(item)
        for rule in [*self._rules.values()]:
            if kind in rule.kinds and holds(item, self.db.now):
                for contest in self._around(rule, item):
                    self._meet(contest)

    def _contested(self, project: str | None) -> list[Contest]:
        """All slots that are contested now."""
        rules = [*self._rules.values()]
        claims: dict[str, list[Standing]] = {rule.slot_kind: [] for rule in rules}
        for kind in MEMBER_KINDS:
            asked = [rule for rule in rules if kind in rule.kinds]
            for item in self._holding(kind, project) if asked else ():
                for rule in asked:
                    claims[rule.slot_kind] += self._claimed(rule, item)
        return [contest for rule in rules for contest in contests(rule, claims[rule.slot_kind])]

    def _around(self, rule: Rule, item: Any) -> list[Contest]:
        """The slots of a rule that a record concerns and that are contested now."""
        near, now = rule.near, self.db.now
        if near is not None:
            records = self._asked(rule, item, lambda: [each for each in near(item) if holds(each, now)])
            return [*contests(rule, [claim for each in records or () for claim in self._claimed(rule, each)])]
        own = {claim.slot_key for claim in self._claimed(rule, item)}
        if not own:
            return []
        records = [each for kind in rule.kinds for each in self._holding(kind, item.project_id) if each.project_id == item.project_id]
        claims = [claim for each in records for claim in self._claimed(rule, each)]
        return [*contests(rule, [claim for claim in claims if claim.slot_key in own])]

    def _claimed(self, rule: Rule, item: Any, *, report: bool = True) -> list[Standing]:
        """What a record claims by a rule."""
        said = self._asked(rule, item, lambda: [self._standing(item, claim) for claim in answers(rule.fn(item))], report=report)
        return [standing for standing in said or () if standing is not None]

    def _standing(self, item: Any, claim: Claim) -> Standing | None:
        """A claim with whose it is; None where its member does not hold."""
        kind = kind_of(item)
        member, shown = claim.member or (kind, item.id), claim.shown or claim.value
        if claim.member is not None:
            target = self._piece(*claim.member)
            if target is None or not holds(target, self.db.now):
                return None
            shown = claim.shown or described(claim.member[0], target)
        age = (item.created_at, item.id)
        return Standing(claim.slot_key, claim.value, shown, member, claim.by, kind, item.project_id, getattr(item, "user_id", None), age)

    # -- what members say now ---------------------------------------------------------------------------------------

    def _today(self, conflict: Conflict) -> Conflict:
        """A conflict for the caller: while it is open its members tell what they say now."""
        if conflict.status != "open":
            return conflict
        said = self._said(conflict, self._claims(conflict))
        sides = [(member, said.get((member.member_kind, member.member_id))) for member in conflict.members]
        return replace(conflict, members=[replace(member, value_now=None if now is None else now.shown) for member, now in sides])

    def _said(self, conflict: Conflict, claims: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Said]:
        """What members say now: by the rule of their slot or, where it knows none of them, by their rows."""
        ruled = self._ruled(conflict, claims)
        if ruled:
            return ruled
        alike, said = Counter(member.claim_value for member in conflict.members), {}
        for member in conflict.members:
            side = kind, id = member.member_kind, member.member_id
            if side in claims:
                shown = described(kind, self._piece(kind, id))
                # Rows that were put into conflict while they read the same never differed by how they read.
                said[side] = Said(shown if alike[member.claim_value] == 1 else f"{kind} {id}", shown)
        return said

    def _ruled(self, conflict: Conflict, claims: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Said]:
        """What members claim now by the rule of their slot; nothing where there is no such rule here."""
        rule = self._rules.get(conflict.slot_kind) if conflict.kind == "slot" else None
        if rule is None:
            return {}
        said = {}
        for side, row in claims.items():
            for item in [row] if kind_of(row) == side[0] else [row, self._piece(*side)]:
                for claim in self._claimed(rule, item, report=False) if kind_of(item) in rule.kinds else ():
                    if (claim.slot_key, claim.member) == (conflict.slot_key, side):
                        said[side] = Said(claim.value, claim.shown)
        return said

    # -- asking -----------------------------------------------------------------------------------------------------

    def _holding(self, kind: str, project: str | None) -> Iterator[Any]:
        """Every record of a kind that holds now."""
        if not self.db.present("memories" if kind in ("memory", "project_state") else "knowledge"):
            return
        records: Iterable[Any]
        if kind == "memory":
            records = _pages(self._memories().find, status="active", project=project)
        elif kind == "project_state":
            records = self._memories().states(project)
        elif kind == "entity":
            records = _pages(self._knowledge().entities, status="active", project=project)
        elif kind == "atom":
            records = _pages(self._knowledge().atoms, status="active", project=project)
        else:
            records = _pages(self._knowledge().relationships, project=project)
        now = self.db.now
        yield from (item for item in records if holds(item, now) and project in (None, item.project_id))

    def _asked(self, rule: Rule, item: Any, question: Callable[[], T], *, report: bool = True) -> T | None:
        """The answer to a question that runs somebody's function; None where that fails, which a reading call leaves unreported."""
        try:
            return question()
        except NO_RULES_FAILURE:
            raise
        except Exception as error:
            if report:
                self._report(rule, item, error)
            return None

    def _report(self, rule: Rule, item: Any, error: Exception) -> None:
        """Say in the log that a rule failed, once for each kind of error."""
        failure = (rule.slot_kind, type(error).__name__)
        if failure in self._reported:
            return
        said = values.one_line(f"{type(error).__name__}: {error}")
        self._audit(  # of the record, and whose it is: the error may quote it, and is forgotten with it
            "conflict.rule_failed", entity_kind=kind_of(item), entity_id=item.id,
            details={"slot_kind": rule.slot_kind, "error": said, "kind": kind_of(item), "id": item.id}, project=item.project_id,
            user_id=getattr(item, "user_id", None), conversation_id=getattr(item, "conversation_id", None),
        )  # fmt: skip
        self._reported.add(failure)
        self.db.on_rollback(lambda: self._reported.discard(failure))


def _pages(find: Callable[..., list[Any]], **chosen: str | None) -> Iterator[Any]:
    """All that is found, a page at a time."""
    last: str | None = None
    while page := find(**chosen, limit=PAGE, before=last):
        yield from page
        last = page[-1].id
