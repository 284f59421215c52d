"""The nine operations of MCP's server-memory over the graph, and its file.

1. There a name is the identity. Here it means the active entities of the given project and user that are called exactly so; what is
   created twice is skipped there and here.
2. A delete there forgets. Here it supersedes an entity and retires relationships and observations, each with its audit event, so
   that the past goes on showing them; whoever must forget uses `Store.erase`.
3. A relation type is free text: one that nobody registered is registered as structural.
4. The file comes in whole or not at all, and the same graph always gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, path_of, values
from .graph_tables import Entity, Relationship

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
        known = {item.content for item in self.store.observations(entity.id)}
        fresh = [content for content in dict.fromkeys(contents) if content not in known]
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
        for entity in [entity for name in entityNames for entity in self.named(name)]:
            for relationship in self.store.relationships(entity.id, include_retired=True):
                self.store.retire_relationship(relationship.id, **self.event)
            self.store.supersede(entity.id, **self.event)
        return {}

    def delete_observations(self, deletions: list[Answer]) -> Answer:
        """Retire observations."""
        for given in deletions:
            for item in [item for entity in self.named(given["entityName"]) for item in self.store.observations(entity.id)]:
                if item.content in given["observations"]:
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
        return self.shown(lambda entity: True)

    def search_nodes(self, query: str) -> Answer:
        """Return what has a text in its name, type or observations, without case, and all relations that touch it."""
        sought = query.casefold()
        return self.shown(
            lambda entity: any(sought in text.casefold() for text in (entity["name"], entity["entityType"], *entity["observations"]))
        )

    def open_nodes(self, names: list[str]) -> Answer:
        """Return the entities with these names, and all relations that touch them."""
        return self.shown(lambda entity: entity["name"] in names)

    def shown(self, chosen: Callable[[Answer], bool]) -> Answer:
        """The chosen part of the graph, oldest first."""
        entities, noted, edges = self.store._whole(**self.scope)
        ids = {entity.id: entity.name for entity in entities}
        contents: dict[str, list[str]] = {id: [] for id in ids}
        for item in noted:
            contents[item.entity_id].append(item.content)
        nodes = {item.id: {"name": item.name, "entityType": item.type, "observations": contents[item.id]} for item in entities}
        hits = {id: node for id, node in nodes.items() if chosen(node)}
        touching = [edge for edge in edges if edge.from_id in hits or edge.to_id in hits]
        return {"entities": [*hits.values()], "relations": [_relation(edge, ids) for edge in touching]}

    # -- names ------------------------------------------------------------------------------------------------------

    def named(self, name: str) -> list[Entity]:
        """The active entities that are called exactly so, newest first."""
        return [item for item in self.store.entities(name=name, status="active", **self.scope) if item.name == name]

    def only(self, name: str) -> Entity:
        """The newest of them."""
        for entity in self.named(name):
            return entity
        raise NotFound(f"no active entity is called {values.shorten(name)}; create_entities adds it, search_nodes finds others")

    def between(self, given: Answer) -> list[Relationship]:
        """The relationships that a relation means."""
        ends = {item.id for item in self.named(given["to"])}
        leaving = [out for item in self.named(given["from"]) for out in self.store.relationships(item.id, direction="out")]
        return [item for item in leaving if item.to_id in ends and item.kind == given["relationType"]]


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
    with room.db.read() if operation in READING else room.db.write():
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
    graph = _Session(room, scope, {}).read_graph()
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
