"""Questions to the graph, as it is or as it was.

1. A walk goes over relationships that hold and ends at entities that are active and valid; only what it starts from may be anything.
   A candidate bears no weight, and what was superseded bears none any more.
2. Everything ends on cycles: no entity is met twice. Order is (depth, arrival of the entity).

The trap: an assumption that was given up is no longer active, and exactly then the decision that rests on it is at risk. So
`risky_decisions` looks at the far end of a relationship whatever its state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING

from ..kernel import Room, values
from ..kernel.lifecycle import STATUSES, Believed, History
from ..kernel.rows import Term, filters, joined, known, newest, page_after, scope
from ..kernel.words import words
from . import names
from .graph_tables import DIRECTIONS, KINDS, Entity, Neighbour, Observation, Relationship
from .schema import ENTITIES, OBSERVATIONS, RELATIONSHIPS
from .times import RECORDED, STANDING, VALID, Edge, Times

if TYPE_CHECKING:
    from datetime import datetime

    from ..kernel import Canonical, Connection, Recorder
    from ..kernel.lifecycle import Status
    from ..memories import MemoryStore
    from .graph_tables import Direction

CANDIDATES = 50  # that are compared with a name letter by letter
#: Along which relationships evidence lies: what supports something points at it, everything else it points at itself.
EVIDENCE = {"in": ("supports",), "out": ("analyzed_by", "validated_by", *(kind for kind in KINDS if KINDS[kind] == "provenance"))}


class KnowledgeView(Times):
    """Everything that can be asked of the graph, about one time."""

    def as_of(self, *, valid: float | datetime | None = None, recorded: float | datetime | None = None) -> KnowledgeView:
        """Return the same questions about another time.

        `recorded` is when the store was asked: what was written since is invisible. `valid` is the time in the world that it was
        asked about; not given it is the same time. Without both it is now, and goes on being now. A view's own views keep of its
        times what is not given anew.
        """
        return KnowledgeView(
            self.db,
            self._canonical,
            valid=self._valid if valid is None else values.moment("valid", valid),
            recorded=self._recorded if recorded is None else values.moment("recorded", recorded),
        )

    # -- entities ---------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Entity:
        """Return an entity in whatever status."""
        id = values.key("id", id)
        with self.db.read(snapshot=True) as connection:
            return self._entity(connection, id)[1]

    def entities(
        self,
        *,
        type: str | None = None,
        name: str | None = None,
        status: Status | None = None,
        project: str | None = None,
        user_id: str | None = None,
        include_expired: bool = False,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Entity]:
        """Return entities in whatever status, newest first by (created_at, arrival): all of them unless there is a limit.

        Each filter is exact, but type and name without case, and a `user_id` finds that user's and everybody's. Those that are not
        valid at the time are left out unless `include_expired`. `before` is the id of the last one of the page before.
        """
        limit = values.limit(limit)
        terms = self._terms(type=type, name=name, status=status, project=project, user_id=user_id, include_expired=include_expired)
        with self.db.read(snapshot=True) as connection:
            terms += page_after(connection, ENTITIES, "entity", before, "store.knowledge.entities()")
            return self._loaded(connection, self._chosen(connection, *joined(terms), limit=limit))

    def count(
        self,
        *,
        type: str | None = None,
        name: str | None = None,
        status: Status | None = None,
        project: str | None = None,
        user_id: str | None = None,
        include_expired: bool = False,
    ) -> int:
        """Count what `entities` would return."""
        where, params = joined(
            self._terms(type=type, name=name, status=status, project=project, user_id=user_id, include_expired=include_expired)
        )
        table, then = self._states()
        return int(self.db.value(f"SELECT count(*) FROM {table} WHERE {where}", (*then, *params)))

    def _terms(
        self,
        *,
        type: str | None = None,
        name: str | None = None,
        status: str | None = None,
        project: str | None = None,
        user_id: str | None = None,
        include_expired: bool = False,
    ) -> list[Term]:
        """What entities must meet."""
        terms = filters(
            ("type_key = ?", None if type is None else values.key("type", type).casefold()),
            ("status = ?", values.optional(values.one_of, "status", status, legal=STATUSES)),
        )
        terms += scope(self._canonical, project, user_id)
        if not values.flag("include_expired", include_expired):
            terms.append((VALID, self._at, self._at))
        if name is None:
            return terms
        return _among(("name_key = ?", self._key(values.text("name", name))), terms)

    def find_entity(
        self, name: str, *, type: str | None = None, project: str | None = None, user_id: str | None = None
    ) -> Entity | None:
        """Return the active entity that a name most likely means, or None.

        The one that is called so, else has it as an alias or external id, else the most alike: a letter or two amiss, words in another
        order, but never another number. Of several the first is one of this project and user, then one of none, then the newest.
        With a `project`, one of another project is not meant.
        """
        key = self._key(values.text("name", name, blank=False))
        terms = self._terms(type=type, status="active", user_id=user_id)
        project_id = self._canonical(values.optional(values.key, "project", project), user_id)
        if project_id is not None:
            terms.append(("(project_id IS NULL OR project_id = ?)", project_id))
        where, asked = joined(terms)
        with self.db.read(snapshot=True) as connection:

            def among(pks: Iterable[int]) -> list[int]:
                order = "project_id IS ? DESC, user_id IS ? DESC, created_at DESC, pk DESC"
                return self._chosen(connection, where, (*asked, project_id, user_id), order, among=pks)

            bearers = connection.rows("SELECT entity FROM entity_names WHERE name_key = ?", (key,))
            called = self._loaded(connection, among(pk for (pk,) in bearers))
            ranks = [names.rank(item, key, self.db.cipher) for item in called]
            if min(ranks, default=names.NOT) != names.NOT:
                return called[ranks.index(min(ranks))]
            closest: dict[int, None] = {}
            for shared in names.sharing(connection, name):
                closest |= dict.fromkeys(sorted(among(shared), key=shared.__getitem__, reverse=True))
                if len(closest) >= CANDIDATES:
                    break
            return names.most_alike(name, self._loaded(connection, among(list(closest)[:CANDIDATES])))

    def mentioned(
        self, text: str, *, project: str | None = None, user_id: str | None = None, limit: int | None = 10
    ) -> list[Entity]:
        """Return the active entities of whose names a text has words, best first.

        Best: the share of the name, or of the alias, that the text has, then how many words those are, then confidence, then the newest.
        A word that thousands of names share finds none. With a `project`, those of another project are not meant.
        """
        text, limit = values.text("text", text), values.limit(limit)
        terms = self._terms(status="active", user_id=user_id)
        project_id = self._canonical(values.optional(values.key, "project", project), user_id)
        where, asked = joined([*terms, *filters(("(project_id IS NULL OR project_id = ?)", project_id))])
        most = None if limit < 0 else max(CANDIDATES, 4 * limit)
        with self.db.read(snapshot=True) as connection:
            sharing = [pk for (pk,) in connection.rows(_SHARING, (names.telling(connection, text),))]
            meant = set(self._chosen(connection, where, asked, among=sharing))
            found = self._loaded(connection, [pk for pk in sharing if pk in meant][:most])
        said = words(text)
        ranked = [(names.named(said, item), item) for item in found]
        ranked.sort(key=lambda each: (each[0], each[1].confidence, each[1].created_at), reverse=True)
        best = [item for (share, _), item in ranked if share]
        return best if limit < 0 else best[:limit]

    # -- relationships and observations -----------------------------------------------------------------------------

    def get_relationship(self, id: str) -> Relationship:
        """Return a relationship, retired or not."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return self._relationship(connection, id)

    def _relationship(self, connection: Connection, id: str) -> Relationship:
        return known(connection, RELATIONSHIPS, "relationship", id, "store.knowledge.relationships()")

    def relationships(
        self,
        entity_id: str | None = None,
        *,
        kind: str | None = None,
        direction: Direction = "both",
        project: str | None = None,
        user_id: str | None = None,
        include_retired: bool = False,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Relationship]:
        """Return the relationships that hold, of one entity or all, newest first by (created_at, arrival).

        `direction` is seen from the entity: "out" are those that begin there. With `include_retired` those that hold no longer, or
        are not valid at the time, come too. `before` is the id of the last one of the page before.
        """
        limit, held = values.limit(limit), not values.flag("include_retired", include_retired)
        ends = _ENDS[values.one_of("direction", direction, DIRECTIONS)]
        terms: list[Term] = [("created_at <= ?", self._recorded), *filters(("kind = ?", values.optional(values.key, "kind", kind)))]
        terms += scope(self._canonical, project, user_id)
        if held:
            terms.append((f"{RECORDED} AND {VALID}", *self._held))
        with self.db.read(snapshot=True) as connection:
            if entity_id is not None:
                pk = self._entity(connection, values.key("entity_id", entity_id))[0]
                terms = _among((ends, *[pk] * ends.count("?")), terms)
            return newest(connection, RELATIONSHIPS, "relationship", terms, limit, before, "store.knowledge.relationships()")

    def observations(self, entity_id: str, *, include_retired: bool = False) -> list[Observation]:
        """Return what was noted about an entity, oldest first."""
        held = not values.flag("include_retired", include_retired)
        with self.db.read(snapshot=True) as connection:
            pk = self._entity(connection, values.key("entity_id", entity_id))[0]
            return self._observed(connection, [pk], held)

    def get_observation(self, id: str) -> Observation:
        """Return one observation, retired or not."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return known(connection, OBSERVATIONS, "observation", id, "store.knowledge.observations(entity_id)")

    def _observed(self, connection: Connection, pks: Iterable[int], held: bool = True) -> list[Observation]:
        return OBSERVATIONS.find(
            connection,
            "WHERE entity IN (SELECT value FROM json_each(?)) AND created_at <= ? AND (? = 0 OR retired_at IS NULL OR retired_at > ?)"
            " ORDER BY created_at, pk",
            (json.dumps(list(pks)), self._recorded, int(held), self._recorded),
        )

    def kinds(self) -> dict[str, str]:
        """Return the kinds of relationship that there are, each with its family, those registered here last."""
        return {**KINDS, **dict(self.db.rows("SELECT kind, family FROM relationship_kinds ORDER BY kind"))}

    # -- walks ------------------------------------------------------------------------------------------------------

    def neighbours(
        self, id: str, *, kind: str | None = None, direction: Direction = "both", depth: int = 1, limit: int | None = None
    ) -> list[Neighbour]:
        """Return the entities within some steps of one, nearest first, then in order of arrival, without itself."""
        way = values.one_of("direction", direction, DIRECTIONS)
        kinds = None if kind is None else [values.key("kind", kind)]
        return self._reached(id, depth, limit, lambda connection, pks: self._edges(connection, pks, way, kinds))

    def impact(self, id: str, depth: int = 3, *, direction: Direction = "out", limit: int | None = None) -> list[Neighbour]:
        """Return what an entity bears on: all that its outgoing relationships lead to, nearest first.

        With `direction="in"` it is all that leads to it: where relationships point at what is needed, as depends_on does, that is
        what breaks when it fails.
        """
        way = values.one_of("direction", direction, DIRECTIONS)
        return self._reached(id, depth, limit, lambda connection, pks: self._edges(connection, pks, way))

    def evidence_chain(self, id: str, *, depth: int | None = None, limit: int | None = None) -> list[Neighbour]:
        """Return what an entity rests on, nearest first: what supports it, what it was validated, analysed or evidenced by, and on.

        Of a kind of relationship registered here it follows those of the family provenance.
        """
        own = [kind for kind, family in self.kinds().items() if family == "provenance" and kind not in KINDS]

        def edges(connection: Connection, pks: Iterable[int]) -> list[Edge]:
            asked = list(pks)
            supporting = self._edges(connection, asked, "in", EVIDENCE["in"])
            return supporting + self._edges(connection, asked, "out", [*EVIDENCE["out"], *own])

        return self._reached(id, depth, limit, edges)

    def _reached(
        self, id: str, depth: int | None, limit: int | None, edges: Callable[[Connection, Iterable[int]], list[Edge]]
    ) -> list[Neighbour]:
        """What a walk meets, level by level."""
        id, bound, most = values.key("id", id), values.limit(depth, "depth"), values.limit(limit)
        found: list[Neighbour] = []
        with self.db.read(snapshot=True) as connection:
            start, _ = self._entity(connection, id)
            seen, level, steps = {start}, [start], 0
            while level and steps != bound and (most < 0 or len(found) < most):
                steps += 1
                ways = _first_ways(edges(connection, level), seen)
                met = self._met(connection, ways, most - len(found))
                level = sorted(met)
                seen.update(ways)
                found += [Neighbour(met[pk], steps, ways[pk][2]) for pk in level]
        return found if most < 0 else found[:most]

    def _met(self, connection: Connection, ways: dict[int, Edge], wanted: int) -> dict[int, Entity]:
        """Of the entities to which ways lead those that are active and valid, no fewer of the first of them than are wanted."""
        order, met = sorted(ways), dict[int, Entity]()
        page = len(order) if wanted < 0 else 2 * wanted
        for start in range(0, len(order), max(page, 1)):
            met |= self._read(connection, order[start : start + page], STANDING, (self._at, self._at))
            if len(met) >= wanted >= 0:
                break
        return met

    def path(self, a: str, b: str, *, direction: Direction = "both", max_depth: int = 6) -> list[Relationship] | None:
        """Return the relationships of a shortest way from one entity to another, in its order; None where there is none.

        They may be walked either way unless `direction` is "out", along them, or "in", against them. From an entity to itself: [].
        """
        way = values.one_of("direction", direction, DIRECTIONS)
        a, b, bound = values.key("a", a), values.key("b", b), values.integer("max_depth", max_depth, low=0)
        with self.db.read(snapshot=True) as connection:
            start, goal = (self._entity(connection, id)[0] for id in (a, b))
            steps = [] if start == goal else self._shortest(connection, start, goal, way, bound)
            if steps is None:
                return None
            clause = "JOIN json_each(?) AS place ON place.value = relationships.pk ORDER BY place.key"
            return RELATIONSHIPS.find(connection, clause, (json.dumps(steps),))

    def _shortest(self, connection: Connection, start: int, goal: int, direction: str, bound: int) -> list[int] | None:
        """Keys of the relationships of a way, found by walking from both ends, a level of the smaller side at a time."""
        ways: tuple[dict[int, Edge | None], dict[int, Edge | None]] = ({start: None}, {goal: None})
        levels, directions = [[start], [goal]], (direction, {"out": "in", "in": "out"}.get(direction, direction))
        for _ in range(bound):
            side = 0 if len(levels[0]) <= len(levels[1]) else 1
            mine, other = ways[side], ways[1 - side]
            first = _first_ways(self._edges(connection, levels[side], directions[side]), mine.keys())
            met = sorted(first.keys() & other.keys())
            if met:
                mine[met[0]] = first[met[0]]
                return [*_back(ways[0], met[0])[::-1], *_back(ways[1], met[0])]
            levels[side] = self._standing(connection, first)
            mine.update((pk, first[pk]) for pk in levels[side])
            if not levels[side]:
                return None
        return None

    # -- what is missing --------------------------------------------------------------------------------------------

    def orphans(self, project: str | None = None, *, user_id: str | None = None) -> list[Entity]:
        """Return the active requirements that nothing active satisfies, newest first."""
        return self._without("requirement", "satisfies", project, user_id)

    def unsupported_claims(self, project: str | None = None, *, user_id: str | None = None) -> list[Entity]:
        """Return the active validation claims that nothing active supports, newest first."""
        return self._without("validationclaim", "supports", project, user_id)

    def _without(self, type: str, kind: str, project: str | None, user_id: str | None) -> list[Entity]:
        where, params = joined(self._terms(type=type, status="active", project=project, user_id=user_id))
        with self.db.read(snapshot=True) as connection:
            pks = self._chosen(connection, where, params)
            edges = self._edges(connection, pks, "in", [kind])
            standing = set(self._standing(connection, {far for far, *_ in edges}))
            covered = {near for far, _, _, near in edges if far in standing}
            return self._loaded(connection, [pk for pk in pks if pk not in covered])

    def risky_decisions(self, project: str | None = None, *, user_id: str | None = None) -> list[Entity]:
        """Return the active decisions based on an assumption that is superseded, invalid or flagged, newest first.

        Flagged is one whose `properties` have a true "flagged".
        """
        where, params = joined(self._terms(type="decision", status="active", project=project, user_id=user_id))
        with self.db.read(snapshot=True) as connection:
            pks = self._chosen(connection, where, params)
            edges = self._edges(connection, pks, "out", ["based_on_assumption"])
            assumptions = self._read(connection, {far for far, *_ in edges})
            risky = {near for far, _, _, near in edges if far in assumptions and _fallen(assumptions[far])}
            return self._loaded(connection, [pk for pk in pks if pk in risky])


class Knowing(KnowledgeView):
    """What all parts of the knowledge room share."""

    def __init__(
        self,
        db: Room,
        audit: Recorder,
        canonical: Canonical,
        history: History,
        believed: Believed,
        memories: Callable[[], MemoryStore],
    ) -> None:
        super().__init__(db, canonical)
        self._audit = audit
        self._history = history
        self._believed = believed
        self._memories = memories


_SHARING = """
SELECT entity FROM entity_words WHERE word IN (SELECT value FROM json_each(?))
GROUP BY entity ORDER BY count(*) DESC, entity DESC
"""
_ENDS = {"both": "(source = ? OR target = ?)", "out": "source = ?", "in": "target = ?"}


def _among(few: Term, terms: list[Term]) -> list[Term]:
    """The conditions with one that few rows meet: the plus sign keeps SQLite from going by an index of another."""
    return [few, *((f"+{term}", *params) for term, *params in terms)]


def _first_ways(edges: list[Edge], seen: Container[int]) -> dict[int, Edge]:
    """Of the edges to each entity that was not seen the one that arrived first."""
    found: dict[int, Edge] = {}
    for edge in edges:
        far = edge[0]
        if far not in seen and (far not in found or edge[1] < found[far][1]):
            found[far] = edge
    return found


def _back(ways: dict[int, Edge | None], pk: int) -> list[int]:
    """The relationships from an entity back to where a walk began."""
    found = []
    while (edge := ways[pk]) is not None:
        _, relationship, _, pk = edge
        found.append(relationship)
    return found


def _fallen(assumption: Entity) -> bool:
    return assumption.status in ("superseded", "invalid") or assumption.properties.get("flagged") is True
