"""What is written about entities, their relationships, and what was observed of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Exists, Invalid, NotFound, new_id, values
from ..kernel.lifecycle import LIVE, WAYS, confirm_version, log, shown, turn
from ..kernel.rows import filled, known, refuse_taken
from . import names
from .graph_tables import CHECKS, FAMILIES, KINDS, Entity, Observation, Relationship, in_order, refuse_before
from .schema import ENTITIES, OBSERVATIONS, RELATIONSHIPS, VERSIONS
from .view import Knowing

if TYPE_CHECKING:
    from datetime import date, datetime

    from ..audit import AuditEvent
    from ..kernel import Connection
    from ..kernel.lifecycle import Status
    from .graph_tables import Family

_SHOWN = (
    "canonical_name", "type", "description", "aliases", "external_ids", "properties", "confidence", "valid_from", "valid_until",
    "metadata",
)  # fmt: skip


class Graph(Knowing):
    """The part of the knowledge room that deals with the graph."""

    # -- entities ---------------------------------------------------------------------------------------------------

    def add_entity(
        self,
        type: str,
        name: str,
        *,
        description: str = "",
        aliases: Iterable[str] = (),
        external_ids: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        status: Status = "active",
        confidence: float = 1.0,
        source_refs: Iterable[str] = (),
        hand_authored: bool | None = None,
        extractor_version: str | None = None,
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | date | str | None = None,
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
        superseded_by: str | None = None,
    ) -> Entity:
        """Store an entity and return it; another one of the same name may be there.

        Two active requirements of one name in one project open a conflict; for other types a name is no slot. `source_refs` are of the
        form "memory:<id>"; one without any is `hand_authored` unless said otherwise. A day as `valid_until` ("2026-07-01" or a `date`)
        counts whole, in UTC. One that is neither active nor candidate is history from elsewhere. The past of an entity begins at
        `updated_at`, which is `created_at` when not given.
        """
        given = values.checked(
            CHECKS,
            {"id": id, "created_at": created_at, "updated_at": updated_at, "canonical_name": name, "type": type,
             "description": description, "aliases": aliases, "external_ids": external_ids, "properties": properties,
             "status": status, "confidence": confidence, "source_refs": source_refs, "hand_authored": hand_authored,
             "extractor_version": extractor_version, "user_id": user_id, "conversation_id": conversation_id,
             "valid_from": valid_from, "valid_until": valid_until, "superseded_by": superseded_by, "metadata": metadata},
        )  # fmt: skip
        project = values.optional(values.key, "project", project)
        in_order(given["valid_from"], given["valid_until"])
        if superseded_by is not None and status != "superseded":
            raise Invalid(f"superseded_by is of entities with status 'superseded', and this one is {status!r}")
        with self.db.write() as connection:
            new = self._new_entity(**given, project_id=self._canonical(project, user_id))
            refuse_before(new.created_at, "updated_at", new.updated_at)
            refuse_taken(connection, ENTITIES, "an entity", new.id, "update() changes it")
            pk = ENTITIES.insert(connection, new, **self._keys(new))
            names.post(connection, pk, new)
            if new.status == "active":
                self._believed(connection, new)
            return new

    def _new_entity(
        self, *, id: str | None, created_at: float | None, updated_at: float | None, hand_authored: bool | None, **columns: Any
    ) -> Entity:
        """An entity with what is not given filled in."""
        born = self.db.now if created_at is None else created_at
        return Entity(
            id=new_id() if id is None else id,
            created_at=born,
            updated_at=born if updated_at is None else updated_at,
            hand_authored=not columns["source_refs"] if hand_authored is None else hand_authored,
            version=1,
            **columns,
        )

    def _keys(self, item: Entity) -> dict[str, str]:
        """The hidden columns of an entity."""
        return {"name_key": self._key(item.canonical_name), "type_key": item.type.casefold()}

    def update(
        self,
        id: str,
        *,
        name: str | None = None,
        type: str | None = None,
        description: str | None = None,
        aliases: Iterable[str] | None = None,
        external_ids: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        confidence: float | None = None,
        valid_from: float | datetime | None = values.KEEP,
        valid_until: float | datetime | date | str | None = values.KEEP,
        metadata: dict[str, Any] | None = values.KEEP,
        expected_version: int | None = None,
        actor: str = "",
        note: str = "",
    ) -> Entity:
        """Change what is given of a candidate or active entity and return it.

        None clears `valid_from`, `valid_until` and `metadata`, elsewhere it means not given; lists and dicts are taken whole. When
        nothing differs, nothing is written.
        """
        id = values.key("id", id)
        given = {"canonical_name": name, "type": type, "description": description, "aliases": aliases, "external_ids": external_ids,
                 "properties": properties, "confidence": confidence}  # fmt: skip
        clearable = {"valid_from": valid_from, "valid_until": valid_until, "metadata": metadata}
        changes = values.changes(CHECKS, given, clearable)
        with self.db.write() as connection:
            old = self._known(connection, id)
            confirm_version(f"entity {id}", old, expected_version)
            if old.status not in LIVE:
                raise Invalid(f"entity {values.shorten(id)} is {old.status}; it is kept as it was")
            new = replace(old, **changes)
            in_order(new.valid_from, new.valid_until)
            changed = [column for column in _SHOWN if getattr(old, column) != getattr(new, column)]
            if not changed:
                return old
            new = self._rewrite(connection, old, new)
            log(self._audit, "entity", "update", new, shown(old, changed), shown(new, changed), actor=actor, note=note)
            if new.status == "active":
                self._believed(connection, new)
            return new

    def _rewrite(self, connection: Connection, old: Entity, new: Entity) -> Entity:
        """Write what may change of an entity, and what is derived from it."""
        pk, now = self._keep_version(connection, old)
        texts = {name: values.to_json(name, getattr(new, name)) for name in ("aliases", "external_ids", "properties")}
        metadata = None if new.metadata is None else values.to_json("metadata", new.metadata)
        sealed = ENTITIES.sealed(
            connection, old.id, canonical_name=new.canonical_name, description=new.description, **texts, metadata=metadata
        )
        connection.run(
            "UPDATE entities SET canonical_name = ?, description = ?, aliases = ?, external_ids = ?, properties = ?, metadata = ?,"
            " type = ?, confidence = ?, valid_from = ?, valid_until = ?, name_key = ?, type_key = ?, updated_at = ?,"
            " version = version + 1 WHERE pk = ?",
            (*sealed, new.type, new.confidence, new.valid_from, new.valid_until, *self._keys(new).values(), now, pk),
        )
        names.post(connection, pk, new)
        return replace(new, updated_at=now, version=old.version + 1)

    def _keep_version(self, connection: Connection, old: Entity) -> tuple[int, float]:
        """Keep what an entity was, and return its key and the recorded time of what it becomes, which never runs backwards."""
        pk, now = connection.value("SELECT pk FROM entities WHERE id = ?", (old.id,)), max(self.db.now, old.updated_at)
        VERSIONS.insert(connection, old, entity=pk, retired_at=now, **self._keys(old))
        return pk, now

    def _known(self, connection: Connection, id: str) -> Entity:
        return known(connection, ENTITIES, "entity", id, "store.knowledge.entities()")

    # -- the life of an entity --------------------------------------------------------------------------------------

    def promote(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make a candidate active and return True; False for any other.

        The active memories that its `source_refs` name ("memory:<id>") graduate into it.
        """
        with self.db.write() as connection:
            done = self._turn(connection, id, "active", actor, note)
            if done:
                new = self._known(connection, id)
                self._graduate(new, actor, note)
                self._believed(connection, new)
            return done

    def _graduate(self, item: Entity, actor: str, note: str) -> None:
        for reference in item.source_refs if self.db.present("memories") else ():
            kind, _, id = reference.partition(":")
            if kind == "memory":
                with suppress(NotFound):  # it is gone, and check() says so
                    self._memories().graduate(id, item.id, actor=actor, note=note)

    def reject(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make a candidate invalid and return True; False for any other."""
        with self.db.write() as connection:
            return self._turn(connection, id, "invalid", actor, note, only="candidate")

    def supersede(self, id: str, *, by: str | None = None, actor: str = "", note: str = "") -> bool:
        """Mark an active entity as superseded, by another active one where that is named, and return True; False for any other."""
        id, by = values.key("id", id), values.optional(values.key, "by", by)
        if by == id:
            raise Invalid(f"entity {values.shorten(id)} cannot supersede itself")
        with self.db.write() as connection:
            old = self._known(connection, id)
            if old.status == "active" and by is not None and self._known(connection, by).status != "active":
                raise Invalid(f"entity {values.shorten(by)} is not active, so it cannot take the place of another")
            return self._turn(connection, id, "superseded", actor, note, superseded_by=by)

    def invalidate(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Mark an active entity as wrong and return True; False for any other."""
        with self.db.write() as connection:
            return self._turn(connection, id, "invalid", actor, note, only="active")

    def _turn(
        self, connection: Connection, id: str, status: Status, actor: str, note: str, *, only: str | None = None, **columns: Any
    ) -> bool:
        old = self._known(connection, values.key("id", id))
        if (old.status, status) not in WAYS or only not in (None, old.status):
            return False
        _, now = self._keep_version(connection, old)
        return turn(connection, self._audit, ENTITIES, "entity", old, status, now, actor=actor, note=note, **columns)

    def history(self, id: str) -> list[AuditEvent]:
        """Return the audit events of an entity, oldest first."""
        id = values.key("id", id)
        with self.db.read() as connection:
            self._known(connection, id)
        return self._history("entity", id)

    # -- relationships ----------------------------------------------------------------------------------------------

    def register_kind(self, kind: str, family: Family) -> dict[str, str]:
        """Let `relate` accept another kind of relationship from now on, and return all kinds with their families."""
        kind, family_ = values.key("kind", kind), values.one_of("family", family, FAMILIES)
        with self.db.write() as connection:
            before = self.kinds().get(kind, family_)
            if before != family_:
                raise Exists(f"the kind {kind!r} is {before} already; name another one")
            if kind not in KINDS:
                connection.run("INSERT OR IGNORE INTO relationship_kinds(kind, family) VALUES (?, ?)", (kind, family_))
            return self.kinds()

    def relate(
        self,
        from_id: str,
        kind: str,
        to_id: str,
        *,
        confidence: float = 1.0,
        source_refs: Iterable[str] = (),
        properties: dict[str, Any] | None = None,
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | date | str | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
        retired_at: float | datetime | None = None,
    ) -> Relationship:
        """Store how one entity stands to another and return it; what holds already comes back as it is.

        It is the same with the same ends, kind, user and validity. The kind is one of `kinds()`, `register_kind` adds one. Without a
        project it belongs to that of the entity where it begins. One with `retired_at` is history from elsewhere.
        """
        given = values.checked(
            CHECKS,
            {"kind": kind, "confidence": confidence, "source_refs": source_refs, "properties": properties, "user_id": user_id,
             "conversation_id": conversation_id, "valid_from": valid_from, "valid_until": valid_until, "id": id,
             "created_at": created_at, "retired_at": retired_at},
        )  # fmt: skip
        ends = values.key("from_id", from_id), values.key("to_id", to_id)
        project = values.optional(values.key, "project", project)
        in_order(given["valid_from"], given["valid_until"])
        with self.db.write() as connection:
            self._refuse_unknown_kind(given["kind"])
            source, target = (self._known(connection, end) for end in ends)
            same = self._same_edge(connection, ends, given) if given["retired_at"] is None else None
            if same is not None:
                return same
            project_id = source.project_id if project is None else self._canonical(project, user_id)
            columns = filled(connection, RELATIONSHIPS, "a relationship", given, self.db.now)
            refuse_before(columns["created_at"], "retired_at", columns["retired_at"])
            new = Relationship(**columns, from_id=source.id, to_id=target.id, project_id=project_id)
            keys = [connection.value("SELECT pk FROM entities WHERE id = ?", (end,)) for end in ends]
            RELATIONSHIPS.insert(connection, new, source=keys[0], target=keys[1])
            if new.retired_at is None:
                self._believed(connection, new)
            return new

    def _refuse_unknown_kind(self, kind: str) -> None:
        kinds = self.kinds()
        if kind not in kinds:
            near = values.suggest(kind, kinds)
            raise Invalid(f"{values.shorten(kind)} is no kind of relationship{near}; register_kind(kind, family) adds one")

    def _same_edge(self, connection: Connection, ends: tuple[str, str], given: dict[str, Any]) -> Relationship | None:
        # The plus sign keeps SQLite from reading all of a kind, or all there are, for the sake of their order.
        return RELATIONSHIPS.first(
            connection,
            "WHERE source = (SELECT pk FROM entities WHERE id = ?) AND kind = ? AND target = (SELECT pk FROM entities WHERE id = ?)"
            " AND retired_at IS NULL AND user_id IS ? AND valid_from IS ? AND valid_until IS ? ORDER BY +pk LIMIT 1",
            (ends[0], given["kind"], ends[1], given["user_id"], given["valid_from"], given["valid_until"]),
        )

    def retire_relationship(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """End a relationship and return True, False where it has ended already; the past goes on showing it."""
        id = values.key("id", id)
        with self.db.write() as connection:
            old = self._relationship(connection, id)
            ended = self._retired(connection, "relationships", old)
            if ended is not None:
                said = shown(old, ("from_id", "kind", "to_id"))
                before, after = {**said, "retired_at": None}, {**said, "retired_at": ended}
                self._log_end("relationship", old, old.project_id, before, after, actor, note)
            return ended is not None

    def _retired(self, connection: Connection, table: str, item: Relationship | Observation) -> float | None:
        """End a row, at a recorded time that does not run backwards; None where it has ended."""
        if item.retired_at is not None:
            return None
        now = max(self.db.now, item.created_at)
        connection.run(f"UPDATE {table} SET retired_at = ? WHERE id = ?", (now, item.id))
        return now

    def _log_end(
        self, kind: str, item: Relationship | Observation, project: str | None, before: Any, after: Any, actor: str, note: str
    ) -> None:
        self._audit(
            f"{kind}.retire", entity_kind=kind, entity_id=item.id, before=before, after=after, actor=actor, note=note,
            user_id=item.user_id, project=project, conversation_id=item.conversation_id,
        )  # fmt: skip

    # -- observations -----------------------------------------------------------------------------------------------

    def observe(
        self,
        entity_id: str,
        content: str,
        *,
        source_refs: Iterable[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
        retired_at: float | datetime | None = None,
    ) -> Observation:
        """Note something about an entity and return it; what the same user has noted already comes back as it is."""
        given = values.checked(
            CHECKS,
            {"content": content, "source_refs": source_refs, "user_id": user_id, "conversation_id": conversation_id, "id": id,
             "created_at": created_at, "retired_at": retired_at},
        )  # fmt: skip
        with self.db.write() as connection:
            entity = self._known(connection, values.key("entity_id", entity_id))
            pk = connection.value("SELECT pk FROM entities WHERE id = ?", (entity.id,))
            key = self._key(given["content"])
            for same in self._noted(connection, pk, key, given["user_id"]) if given["retired_at"] is None else ():
                if same.content == given["content"]:
                    return same
            columns = filled(connection, OBSERVATIONS, "an observation", given, self.db.now)
            refuse_before(columns["created_at"], "retired_at", columns["retired_at"])
            new = Observation(**columns, entity_id=entity.id)
            OBSERVATIONS.insert(connection, new, entity=pk, content_key=key)
            return new

    def _noted(self, connection: Connection, pk: int, key: str, user_id: str | None) -> list[Observation]:
        clause = "WHERE entity = ? AND content_key = ? AND retired_at IS NULL AND user_id IS ? ORDER BY pk"
        return OBSERVATIONS.find(connection, clause, (pk, key, user_id))

    def retire_observation(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """End an observation and return True, False where it has ended already; the past goes on showing it."""
        id = values.key("id", id)
        with self.db.write() as connection:
            old = known(connection, OBSERVATIONS, "observation", id, "store.knowledge.observations(entity_id)")
            ended = self._retired(connection, "observations", old)
            if ended is not None:
                project = connection.value("SELECT project_id FROM entities WHERE id = ?", (old.entity_id,))
                said = shown(old, ("entity_id", "content"))
                before, after = {**said, "retired_at": None}, {**said, "retired_at": ended}
                self._log_end("observation", old, project, before, after, actor, note)
            return ended is not None
