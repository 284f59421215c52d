"""Rules: which record claims which slot, with which value, and when claims cannot all hold.

1. A rule looks at one record and says what it claims. Records that claim one slot within one project with different values clash.
   Keys and values are compared exactly as the rule gives them: a rule that does not care for case folds it itself.
2. What one user claims is not held against what another one does, since nobody reads both; what is nobody's meets everybody's.
3. The shipped rules are made as anybody's are. They say besides where to look, so that asking them costs the claims of one slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Invalid, Record, values
from ..kernel.words import normal
from .tables import MEMBER_KINDS

if TYPE_CHECKING:
    from ..knowledge import KnowledgeStore
    from ..memories import MemoryStore

#: Kinds by the names of the classes of their records, which are other rooms'.
KINDS = {"Memory": "memory", "Entity": "entity", "Atom": "atom", "Relationship": "relationship", "ProjectState": "project_state"}
PAGE = 500


class Claim(NamedTuple):
    """What a record says of a slot, where a pair of key and value does not say enough.

    `member` is the (kind, id) that stands in the slot if not the record itself, `by` the row that loses if not the member, and
    `shown` the value for people.
    """

    slot_key: str
    value: str
    member: tuple[str, str] | None = None
    by: tuple[str, str] | None = None
    shown: str = ""


class Rule(NamedTuple):
    """One kind of slot: who claims it, and how."""

    slot_kind: str
    fn: Callable[[Any], object]  # of a record: None, a pair, a Claim, or a list of these
    kinds: tuple[str, ...]
    near: Callable[[Any], Iterable[Record]] | None = None  # which records claim the slots that one concerns; None: any may
    across: bool = False  # records of one kind never clash


class Standing(NamedTuple):
    """A claim that was looked at, and whose it is."""

    slot_key: str
    value: str
    shown: str
    member: tuple[str, str]
    by: tuple[str, str] | None
    kind: str  # of the record
    project_id: str | None
    user_id: str | None
    age: tuple[float, str]


class Contest(NamedTuple):
    """A slot and claims to it that cannot all hold."""

    slot_kind: str
    slot_key: str
    project_id: str | None
    user_id: str | None
    claims: list[Standing]


def answers(said: object) -> list[Claim]:
    """What a rule said, checked."""
    if said is None:
        return []
    return [_claim(one) for one in (said if isinstance(said, list) else [said])]


def _claim(said: object) -> Claim:
    if not isinstance(said, tuple) or not 2 <= len(said) <= len(Claim._fields):
        raise Invalid(f"a rule answers None, (slot_key, value), a Claim or a list of these, not {values.shorten(said)}")
    claim = Claim(*said)
    return Claim(
        values.text("slot_key", claim.slot_key, blank=False),
        values.text("value", claim.value),
        values.optional(named, "member", claim.member),
        values.optional(named, "by", claim.by),
        values.text("shown", claim.shown),
    )


def named(name: str, value: object) -> tuple[str, str]:
    """A pair of kind and id."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Invalid(f"{name} must be a pair of kind and id, not {values.shorten(value)}")
    return values.one_of(f"kind of {name}", value[0], MEMBER_KINDS), values.key(f"id of {name}", value[1])


def kind_of(item: object) -> str:
    """The kind of a record that a member can be; "" of any other."""
    return KINDS.get(type(item).__name__, "")


def holds(item: Any, now: float) -> bool:
    """Whether a record is active, and not expired."""
    begun = getattr(item, "valid_from", None)
    ends = getattr(item, "valid_until", None)
    return in_force(item) and (begun is None or begun <= now) and (ends is None or ends > now)


def in_force(item: Any) -> bool:
    """Whether nobody has taken a record back; relationships have no status, they are retired."""
    return getattr(item, "status", "active") == "active" and getattr(item, "retired_at", None) is None


def described(kind: str, item: Any) -> str:
    """What a record says, for people."""
    if kind == "entity":
        return f"{item.canonical_name}: {item.description}" if item.description.strip() else str(item.canonical_name)
    if kind == "relationship":
        return f"{item.from_id} {item.kind} {item.to_id}"
    return str(getattr(item, {"memory": "content", "atom": "body", "project_state": "value"}[kind]))


def contests(rule: Rule, found: Iterable[Standing]) -> Iterator[Contest]:
    """The slots whose claims clash."""
    slots: dict[tuple[str | None, str], list[Standing]] = {}
    for claim in found:
        slots.setdefault((claim.project_id, claim.slot_key), []).append(claim)
    for (project_id, slot_key), claims in slots.items():
        owned: dict[str | None, list[Standing]] = {None: []}
        for claim in claims:
            owned.setdefault(claim.user_id, []).append(claim)
        for user_id in (None, *sorted(user for user in owned if user is not None)):
            theirs = [] if user_id is None else owned[user_id]
            clashing = _clashing(rule, sorted((*owned[None], *theirs), key=lambda claim: claim.age))
            if any(claim.user_id == user_id for claim in clashing):
                yield Contest(rule.slot_kind, slot_key, project_id, user_id, clashing)


def _clashing(rule: Rule, claims: list[Standing]) -> list[Standing]:
    """Those of the claims to one slot that differ from another one's."""
    said: dict[str, set[str]] = {}
    for claim in claims:
        said.setdefault(claim.kind if rule.across else "", set()).add(claim.value)

    def differs(claim: Standing) -> bool:
        others = [said[kind] for kind in said if not rule.across or kind != claim.kind]
        return any(len(values) > 1 or claim.value not in values for values in others)

    clashing = [claim for claim in claims if differs(claim)]
    return clashing if len({claim.member for claim in clashing}) > 1 else []


# -- the shipped ones ---------------------------------------------------------------------------------------------------


class Shipped:
    """What the shipped rules say, and where they look."""

    def __init__(
        self, present: Callable[[str], bool], memories: Callable[[], MemoryStore], knowledge: Callable[[], KnowledgeStore]
    ) -> None:
        self._present = present
        self._memories = memories
        self._knowledge = knowledge

    def rules(self) -> Iterator[Rule]:
        """All of them."""
        for slot_kind, kind in (("component.material", "uses_material"), ("component.part_of", "part_of")):
            yield Rule(slot_kind, self._edge(kind), ("relationship", "entity"), self._edges(kind))
        yield Rule("requirement.name", self._requirement, ("entity",), self._requirements)
        yield Rule("project_state.entity", self._value, ("project_state", "entity"), self._values, across=True)

    def _edge(self, kind: str) -> Callable[[Any], object]:
        """A component has one material and is part of one thing; the relationship loses, for others may use the material."""

        def claim(item: Any) -> Claim | None:
            if kind_of(item) != "relationship" or item.kind != kind:
                return None
            source = self._knowledge().get(item.from_id)
            if not _is(source, "component") or not in_force(source):
                return None
            return Claim(item.from_id, item.to_id, ("entity", item.to_id), ("relationship", item.id))

        return claim

    def _edges(self, kind: str) -> Callable[[Any], Iterable[Record]]:
        """All such relationships of the component whose relationship, type or material has come to hold."""

        def near(item: Any) -> Iterator[Record]:
            knowledge = self._knowledge()
            if kind_of(item) == "relationship":
                sources = [item.from_id] if item.kind == kind else []
            elif item.version == 1:  # it has just been added: nothing can name it yet
                sources = []
            else:
                users = pages(partial(knowledge.relationships, item.id, kind=kind, direction="in"))
                sources = [*([item.id] if _is(item, "component") else []), *(edge.from_id for edge in users)]
            for source in dict.fromkeys(sources):
                edges = knowledge.relationships(source, kind=kind, direction="out")
                yield from edges if len(edges) > 1 else ()  # one claim alone clashes with none

        return near

    def _requirement(self, item: Any) -> Claim | None:
        """Two requirements of one name are never one: the value is the requirement itself."""
        if not _is(item, "requirement"):
            return None
        return Claim(normal(item.canonical_name), item.id, shown=described("entity", item))

    def _requirements(self, item: Any) -> Iterable[Record]:
        if not _is(item, "requirement"):
            return []
        return self._named(item.canonical_name)

    def _value(self, item: Any) -> list[Claim]:
        """A state by its key, an entity by its name and by `name.property`; what belongs to no project has no state to meet."""
        if kind_of(item) == "project_state":
            return [Claim(normal(item.key), normal(item.value), shown=item.value)] if normal(item.key) else []
        name = normal(item.canonical_name)
        if item.project_id is None or not name:
            return []
        said = {name: item.properties.get("value", item.description)}
        said |= {f"{name}.{normal(key)}": value for key, value in item.properties.items() if normal(key)}
        texts = {key: value if isinstance(value, str) else values.to_json("value", value) for key, value in said.items()}
        return [Claim(key, normal(text), shown=text) for key, text in texts.items() if text.strip()]

    def _values(self, item: Any) -> Iterator[Record]:
        if item.project_id is None:
            return
        if kind_of(item) == "project_state":
            yield item
            if self._present("knowledge"):
                parts = item.key.split(".")
                for name in dict.fromkeys(normal(".".join(parts[:length])) for length in range(len(parts), 0, -1)):
                    if name:
                        yield from self._named(name)
        elif self._present("memories"):
            states = self._memories().states(item.project_id, keys=sorted({claim.slot_key for claim in self._value(item)}))
            yield from states
            if states:
                yield item

    def _named(self, name: str) -> Iterable[Record]:
        """Active entities of one name, by the index of names alone: with a project SQLite would read all that is active in it."""
        return self._knowledge().entities(name=name, status="active")


def pages(find: Callable[..., list[Any]], **chosen: str | None) -> Iterator[Any]:
    """All that is found, a page at a time."""
    last: str | None = None
    while page := find(**chosen, limit=PAGE, before=last):
        yield from page
        last = page[-1].id


def _is(item: Any, type: str) -> bool:
    return str(getattr(item, "type", "")).casefold() == type
