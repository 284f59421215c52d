"""The nine operations of MCP's server-memory over the graph, and its file.

1. There a name is the identity. Here it means the active entities of the given project and user that are called exactly so; what is
   created twice is skipped there and here.
2. A delete there forgets. Here it supersedes an entity and retires relationships and observations, each with its audit event, so
   that the past goes on showing them; whoever must forget uses `Store.erase`.
3. A relation type is free text: one that nobody registered is registered as structural.
4. A user sees, counts as known, and may end what is his and what is everybody's, nothing of others. But an entity that is everybody's
   no user supersedes: others may have noted something of it that he does not see.
5. The file comes in whole or not at all, and the same graph always gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, path_of, values
from ..kernel.rows import joined
from .graph_tables import Entity, Observation, Relationship
from .schema import OBSERVATIONS, RELATIONSHIPS
from .times import VALID

if TYPE_CHECKING:
    import os

    from . import KnowledgeStore

Answer = dict[str, Any]


class _Session:
    """One operation, or one file, for a project and a user."""

    def __init__(self, store: KnowledgeStore, scope: Answer, event: Answer) -> None:
        self.store = store
        self.scope = scope  # project and user_id
        self.event = event  # actor and note

    # -- create -----------------------------------------------------------------------------------------------------

    def create_entities(self, entities: list[Answer]) -> Answer:
        """Add what is not there yet, with its observations, and return that."""
        new = []
        for given in entities:
            name, type, noted = (given["name"], given["entityType"], given["observations"])
            if not self.named(name):
                entity = self.store.add_entity(type, name, **self.scope)
                new.append({"name": name, "entityType": type, "observations": self.noted(entity, noted)})
        return {"entities": new}

    def create_relations(self, relations: list[Answer]) -> Answer:
        """Add what is not there yet between entities that are, and return that."""
        new = []
        for given in relations:
            if not self.between(given):
                ends = [self.only(given[end]) for end in ("from", "to")]
                self.register(given["relationType"])
                self.store.relate(ends[0].id, given["relationType"], ends[1].id, **self.scope)
                new.append(given)
        return {"relations": new}

    def add_observations(self, observations: list[Answer]) -> Answer:
        """Note what was not noted yet about entities that are there, and return that."""
        results = []
        for given in observations:
            added = self.noted(self.only(given["entityName"]), given["contents"])
            results.append({"entityName": given["entityName"], "addedObservations": added})
        return {"results": results}

    def noted(self, entity: Entity, contents: list[str]) -> list[str]:
        """Those of the contents that were not known of an entity, noted now."""
        fresh = [content for content in dict.fromkeys(contents) if not self.saying([entity], content)]
        for content in fresh:
            self.store.observe(entity.id, content, user_id=self.scope["user_id"])
        return fresh

    def take_in(self, item: Answer) -> int:
        """Add what a line says and is not there yet; return how many things that were."""
        if "relationType" in item:
            return len(self.create_relations([item])["relations"])
        created = self.create_entities([item])["entities"]
        return len(created) or len(self.noted(self.only(item["name"]), item["observations"]))

    def register(self, kind: str) -> None:
        """Make sure that a relation type may be used."""
        if kind not in self.store.kinds():
            self.store.register_kind(kind, "structural")

    # -- delete -----------------------------------------------------------------------------------------------------

    def delete_entities(self, entityNames: list[str]) -> Answer:
        """Supersede entities and retire their relationships."""
        for entity in [entity for name in entityNames for entity in self.owned(name)]:
            for relationship in self.store.relationships(entity.id, include_retired=True):
                self.store.retire_relationship(relationship.id, **self.event)
            self.store.supersede(entity.id, **self.event)
        return {}

    def delete_observations(self, deletions: list[Answer]) -> Answer:
        """Retire observations."""
        for given in deletions:
            entities = self.named(given["entityName"])
            for item in [item for content in given["observations"] for item in self.saying(entities, content)]:
                self.store.retire_observation(item.id, **self.event)
        return {}

    def delete_relations(self, relations: list[Answer]) -> Answer:
        """Retire relationships."""
        for relationship in [found for given in relations for found in self.between(given)]:
            self.store.retire_relationship(relationship.id, **self.event)
        return {}

    # -- read -------------------------------------------------------------------------------------------------------

    def read_graph(self) -> Answer:
        """Return everything."""
        return self.shown(self.everything(), self.edges(ALL))

    def search_nodes(self, query: str) -> Answer:
        """Return what has a text in its name, type or observations, without case, and all relations that touch it."""
        sought, entities = query.casefold(), self.everything()
        texts = {item.id: [item.name, item.type] for item in entities}
        for item in self.observed(entities):
            texts[item.entity_id].append(item.content)
        found = [item for item in entities if any(sought in text.casefold() for text in texts[item.id])]
        return self.shown(found, self.touching(found))

    def open_nodes(self, names: list[str]) -> Answer:
        """Return the entities with these names, and all relations that touch them."""
        found = [item for name in dict.fromkeys(names) for item in self.named(name)]
        return self.shown(found, self.touching(found))

    def shown(self, chosen: list[Entity], edges: list[Relationship]) -> Answer:
        """The chosen part of the graph, oldest first; of the relationships those between entities that the user sees."""
        rows = self.store.db.rows(IN_ORDER, (_ids(chosen),))
        contents: dict[str, list[str]] = {id: [] for (id,) in rows}
        for item in self.observed(chosen):
            contents[item.entity_id].append(item.content)
        known = {item.id: item for item in chosen}
        far = {end for edge in edges for end in _ends(edge)} - known.keys()
        names = {**{id: item.name for id, item in known.items()}, **self.far_names(far)}
        return {
            "entities": [{"name": known[id].name, "entityType": known[id].type, "observations": found} for id, found in contents.items()],
            "relations": [_relation(edge, names) for edge in edges if names.keys() >= _ends(edge)],
        }

    # -- what the user sees -----------------------------------------------------------------------------------------

    def everything(self) -> list[Entity]:
        """All active entities."""
        return self.store.entities(status="active", **self.scope)

    def far_names(self, ids: set[str]) -> dict[str, str]:
        """What those of some entities are called that are among `everything`."""
        terms = self.store._terms(status="active", **self.scope)
        known = ("id IN (SELECT value FROM json_each(?))", json.dumps(sorted(ids)))
        where, params = joined([known, *((f"+{term}", *params) for term, *params in terms)])  # looked up by id alone
        with self.store.db.read() as connection:
            return {item.id: item.name for item in self.store._loaded(connection, self.store._chosen(connection, where, params))}

    def observed(self, entities: list[Entity]) -> list[Observation]:
        """What was noted of entities, oldest first."""
        return OBSERVATIONS.find(self.store.db, f"WHERE {OF} AND {HELD}", (_ids(entities), *self.mine))

    def saying(self, entities: list[Entity], content: str) -> list[Observation]:
        """The observations that say just this of entities."""
        params = (_ids(entities), self.store._key(content), *self.mine)
        found = OBSERVATIONS.find(self.store.db, f"WHERE {OF} AND content_key = ? AND {HELD}", params)
        return [item for item in found if item.content == content]

    def touching(self, entities: list[Entity]) -> list[Relationship]:
        """The relationships that begin or end at entities, oldest first."""
        return self.edges(TOUCHING, *[_ids(entities)] * 2)

    def edges(self, clause: str, *params: str) -> list[Relationship]:
        """The relationships that one of the clauses below picks, oldest first."""
        return RELATIONSHIPS.find(self.store.db, clause, (*params, self.store._at, self.store._at, *self.mine))

    @property
    def mine(self) -> tuple[str | None, str | None]:
        """What MINE is asked with."""
        return (self.scope["user_id"], self.scope["user_id"])

    # -- names ------------------------------------------------------------------------------------------------------

    def named(self, name: str) -> list[Entity]:
        """The active entities that are called exactly so, newest first."""
        return [item for item in self.store.entities(name=name, status="active", **self.scope) if item.name == name]

    def only(self, name: str) -> Entity:
        """The newest of them."""
        for entity in self.named(name):
            return entity
        raise NotFound(f"no active entity is called {values.shorten(name)}; create_entities adds it, search_nodes finds others")

    def owned(self, name: str) -> list[Entity]:
        """Those of them that the user may delete."""
        found, user_id = self.named(name), self.scope["user_id"]
        own = [item for item in found if user_id in (None, item.user_id)]
        if found and not own:
            raise Invalid(f"the entity {values.shorten(name)} is everybody's, so no user deletes it alone; delete it without user_id")
        return own

    def between(self, given: Answer) -> list[Relationship]:
        """The relationships that a relation means."""
        ends = [_ids(self.named(given[end])) for end in ("from", "to")]
        return self.edges(BETWEEN, ends[0], given["relationType"], ends[1])


MINE = "(? IS NULL OR user_id IS NULL OR user_id = ?)"
KEYS = "(SELECT pk FROM entities WHERE id IN (SELECT value FROM json_each(?)))"
OF = f"entity IN {KEYS}"
HELD = f"retired_at IS NULL AND {MINE} ORDER BY created_at, pk"
IN_ORDER = f"SELECT id FROM entities WHERE pk IN {KEYS} ORDER BY created_at, pk"
STANDING = f"retired_at IS NULL AND {VALID} AND {MINE} ORDER BY +created_at, pk"  # with a plus, as no index has both ends and it
ALL = f"WHERE {STANDING}"
TOUCHING = f"WHERE (source IN {KEYS} OR target IN {KEYS}) AND {STANDING}"
BETWEEN = f"WHERE source IN {KEYS} AND kind = ? AND target IN {KEYS} AND {STANDING}"


def _ids(entities: list[Entity]) -> str:
    return json.dumps([item.id for item in entities])


def _ends(item: Relationship) -> set[str]:
    return {item.from_id, item.to_id}


def _relation(item: Relationship, names: Mapping[str, str]) -> Answer:
    return {"from": names[item.from_id], "to": names[item.to_id], "relationType": item.kind}


# -- what comes in ------------------------------------------------------------------------------------------------------

_ENTITY = {"name": values.key, "entityType": values.key, "observations": None}
_RELATION = {"from": values.key, "to": values.key, "relationType": values.key}
#: The operations, each with its argument and what the items of that are.
OPERATIONS: dict[str, dict[str, Any]] = {
    "create_entities": {"entities": _ENTITY},
    "create_relations": {"relations": _RELATION},
    "add_observations": {"observations": {"entityName": values.key, "contents": None}},
    "delete_entities": {"entityNames": None},
    "delete_observations": {"deletions": {"entityName": values.key, "observations": None}},
    "delete_relations": {"relations": _RELATION},
    "read_graph": {},
    "search_nodes": {"query": values.text},
    "open_nodes": {"names": None},
}
READING = ("read_graph", "search_nodes", "open_nodes")


def answer(room: KnowledgeStore, operation: str, arguments: Any, scope: Answer, event: Answer) -> Answer:
    """Carry out an operation, all of it or nothing."""
    values.one_of("operation", operation, tuple(OPERATIONS))
    known = {} if arguments is None else values.json_object("arguments", arguments)
    given = _shaped(f"arguments of {operation}", known, OPERATIONS[operation])
    with room.db.read(snapshot=True) if operation in READING else room.db.write():
        result: Answer = getattr(_Session(room, scope, event), operation)(**given)
    return result


def _shaped(where: str, given: Any, shape: Mapping[str, Any]) -> Answer:
    """Arguments in a shape: a check for a text, None for a list of texts, another shape for a list of objects."""
    if not isinstance(given, dict):
        raise Invalid(f"{where} must be an object, not {values.shorten(given)}")
    missing = next((name for name in shape if name not in given), None)
    if missing is not None:
        raise Invalid(f"{where} has no {missing}; it takes {', '.join(shape)}")
    result: Answer = {}
    for name, kind in shape.items():
        here = f"{where}.{name}"
        if kind is None:
            result[name] = [values.text(here, text, blank=False) for text in values.strings(here, given[name])]
        elif callable(kind):
            result[name] = kind(here, given[name])
        elif isinstance(given[name], list):
            result[name] = [_shaped(here, item, kind) for item in given[name]]
        else:
            raise Invalid(f"{here} must be a list, not {values.shorten(given[name])}")
    return result


# -- the file -----------------------------------------------------------------------------------------------------------

_LINES: dict[str, dict[str, Any]] = {"entity": _ENTITY, "relation": _RELATION}


def lines(room: KnowledgeStore, scope: Answer) -> Iterator[str]:
    """The graph as server-memory keeps it, entities first."""
    graph = answer(room, "read_graph", None, scope, {})
    for kind, items in (("entity", graph["entities"]), ("relation", graph["relations"])):
        for item in items:
            yield json.dumps({"type": kind, **item}, ensure_ascii=False, separators=(",", ":"))


def take_in_file(room: KnowledgeStore, path: str | os.PathLike[str], scope: Answer) -> int:
    """Add what a file has and the graph does not, inside the caller's transaction; return how many things that were."""
    session, read, new = _Session(room, scope, {}), list(_read(path_of(path))), 0
    for where, _, item in sorted(read, key=lambda line: line[1]):  # entities before the relations that name them
        try:
            new += session.take_in(item)
        except Invalid as error:
            raise _refused(where, error) from error
        except NotFound as error:  # only a relation names what need not be there
            missing = next(item[end] for end in ("from", "to") if not session.named(item[end]))
            raise Invalid(
                f"{where}: this relation names {values.shorten(missing)}, and no entity of the file or the store is called so; add a line "
                "of type entity for it, or delete this line; nothing was imported"
            ) from error
    return new


def _read(path: str) -> Iterator[tuple[str, str, Answer]]:
    """Place, kind and content of each line; blank ones are passed over, as server-memory does."""
    try:
        with open(path, "rb") as source:
            for number, content in enumerate(source, 1):
                if content.strip():
                    yield f"{path} line {number}", *_line(f"{path} line {number}", content)
    except OSError as error:
        raise Invalid(f"path {values.shorten(path, 200)} cannot be read: {error.strerror or error}") from error


def _line(where: str, content: bytes) -> tuple[str, Answer]:
    try:
        item = values.json_object("line", json.loads(content.decode("utf-8-sig")))
        kind = values.one_of("type", item.get("type"), tuple(_LINES))
        return kind, _shaped(kind, item, _LINES[kind])
    except (ValueError, RecursionError) as error:
        raise _refused(where, error) from error


def _refused(where: str, error: Exception) -> Invalid:
    return Invalid(f"{where}: {error}; correct it, nothing was imported")
