"""The graph as it is or as it was: what every question to it goes by.

1. Recorded time is when the store knew something, valid time when it was so in the world. `updated_at` of an entity and `created_at`
   of a relationship or observation begin the first, `retired_at` ends it; `valid_from` and `valid_until` bound the second.
2. What is now is the time after everything that was ever recorded: one condition serves both, and for the present it meets what
   nobody has retired. Only for entities, whose earlier states lie in a table of their own, the past takes another source.
3. Who walks asks level by level, from Python: a recursive query that counts its depth meets an entity again by every way that
   leads to it. All levels of one question see one snapshot.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel import Canonical, NotFound, Room, Table, values
from ..kernel.rows import known
from ..kernel.words import key_of
from .graph_tables import Entity
from .schema import ENTITIES, VERSIONS

if TYPE_CHECKING:
    from ..kernel import Connection

_PLAIN = "created_at, type_key, name_key, status, project_id, user_id, valid_from, valid_until"
_THEN = f"""(
    SELECT pk, {_PLAIN} FROM {{now}} WHERE updated_at <= ?
    UNION ALL
    SELECT entity, {_PLAIN} FROM {{before}} WHERE updated_at <= ? AND retired_at > ?
)"""
THEN = _THEN.format(now="entities", before="entity_versions")
# SQLite takes no condition on keys into both halves of a union: who knows the keys asks each half for them.
SOME = "json_each(?) AS asked CROSS JOIN entities ON pk = asked.value"
SOME_BEFORE = "json_each(?) AS asked CROSS JOIN entity_versions ON entity = asked.value"
SOME_THEN = _THEN.format(now=SOME, before=SOME_BEFORE)
VALID = "(valid_from IS NULL OR valid_from <= ?) AND (valid_until IS NULL OR valid_until > ?)"
RECORDED = "created_at <= ? AND (retired_at IS NULL OR retired_at > ?)"
STANDING = f"status = 'active' AND {VALID}"
_NOW = f"SELECT pk, {ENTITIES.columns} FROM {SOME} WHERE updated_at <= ?"
_BEFORE = f"SELECT entity, {VERSIONS.columns} FROM {SOME_BEFORE} WHERE updated_at <= ? AND retired_at > ?"
EDGES = {
    "out": f"""
    SELECT target, pk, kind, source
    FROM json_each(?) AS near CROSS JOIN relationships ON source = near.value
    WHERE {RECORDED} AND {VALID} AND (? IS NULL OR kind IN (SELECT value FROM json_each(?)))""",
    "in": f"""
    SELECT source, pk, kind, target
    FROM json_each(?) AS near CROSS JOIN relationships ON target = near.value
    WHERE {RECORDED} AND {VALID} AND (? IS NULL OR kind IN (SELECT value FROM json_each(?)))""",
}


Edge = tuple[int, int, str, int]  # keys of the far end and of the relationship, its kind, key of the near end


class Times:
    """A time, and the primitives of every question that is asked about it."""

    def __init__(self, db: Room, canonical: Canonical, *, valid: float | None = None, recorded: float = math.inf) -> None:
        self.db = db
        self._canonical = canonical
        self._valid = valid
        self._recorded = recorded

    def _key(self, text: str) -> str:
        return key_of(text, self.db.cipher)

    @property
    def _at(self) -> float:
        """The valid time."""
        if self._valid is not None:
            return self._valid
        return self.db.now if self._recorded == math.inf else self._recorded

    @property
    def _held(self) -> tuple[float, ...]:
        """What RECORDED and VALID are asked with."""
        return (self._recorded, self._recorded, self._at, self._at)

    def _states(self, among: Iterable[int] | None = None) -> tuple[str, tuple[Any, ...]]:
        """Where the states of entities lie, of all or of those with some keys, with the parameters of that."""
        until, asked = self._recorded, () if among is None else (json.dumps(list(among)),)
        if until == math.inf:
            return SOME if asked else "entities", asked
        return SOME_THEN if asked else THEN, (*asked, until, *asked, until, until)

    def _chosen(
        self,
        connection: Connection,
        where: str,
        params: Sequence[Any],
        order: str = "created_at DESC, pk DESC",
        limit: int = -1,
        among: Iterable[int] | None = None,
    ) -> list[int]:
        """Keys of the entities that meet a condition, of all or of those with some keys."""
        table, then = self._states(among)
        rows = connection.rows(f"SELECT pk FROM {table} WHERE {where} ORDER BY {order} LIMIT ?", (*then, *params, limit))
        return [pk for (pk,) in rows]

    def _standing(self, connection: Connection, pks: Iterable[int]) -> list[int]:
        """Those of the entities that are active and valid, in order of arrival: a walk goes by no other."""
        return self._chosen(connection, STANDING, (self._at, self._at), "pk", among=pks)

    def _loaded(self, connection: Connection, pks: Sequence[int]) -> list[Entity]:
        """The entities with these keys as they are or were, in this order; those that were not known then are left out."""
        found = self._read(connection, pks)
        return [found[pk] for pk in pks if pk in found]

    def _read(self, connection: Connection, pks: Iterable[int], where: str = "1", params: Sequence[Any] = ()) -> dict[int, Entity]:
        """The entities with these keys, as far as they meet a condition, by key."""
        asked, until = json.dumps(list(pks)), self._recorded
        found = _keyed(connection, ENTITIES, f"{_NOW} AND {where}", (asked, until, *params))
        if until != math.inf:
            found |= _keyed(connection, VERSIONS, f"{_BEFORE} AND {where}", (asked, until, until, *params))
        return found

    def _entity(self, connection: Connection, id: str) -> tuple[int, Entity]:
        """Key and state of an entity, in whatever status."""
        pk = connection.value("SELECT pk FROM entities WHERE id = ?", (id,))
        found = self._read(connection, [] if pk is None else [pk])
        if found:
            return pk, found[pk]
        known(connection, ENTITIES, "entity", id, "store.knowledge.entities()")
        raise NotFound(f"entity {values.shorten(id)} was not known at that time; get() of the store has it as it is now")

    def _edges(self, connection: Connection, pks: Iterable[int], direction: str, kinds: Sequence[str] | None = None) -> list[Edge]:
        """The relationships that lead out of some entities, into them, or both, each named by the end to which it leads."""
        asked = None if kinds is None else json.dumps(kinds)
        params = (json.dumps(list(pks)), *self._held, asked, asked)
        ways = ("out", "in") if direction == "both" else (direction,)
        return [row for way in ways for row in connection.rows(EDGES[way], params)]


def _keyed(connection: Connection, table: Table[Entity], sql: str, params: Sequence[Any]) -> dict[int, Entity]:
    rows = connection.rows(sql, params)
    return dict(zip([row[0] for row in rows], table.records([row[1:] for row in rows], connection.cipher), strict=True))
