"""Memories themselves: added, found, changed, brought from one state to another, merged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Canonical, Exists, Invalid, Record, Recorder, Room, new_id, values
from ..kernel.lifecycle import LIVE, STATUSES, Believed, History, changed, confirm_version, log, refuse_rejected, retire, shown, turn
from ..kernel.rows import AMONG, Term, counted, filters, joined, known, listed, newest, refuse_taken, scope
from ..kernel.words import statement_key, stems, tagged
from .tables import CHECKS, EACH, MEMORIES, MEMORY_TYPES, PERSONAL, SHARING, TAGS, Memory, MemoryHit, MemoryType

if TYPE_CHECKING:
    from datetime import date, datetime

    from ..audit import AuditEvent
    from ..kernel import Connection
    from ..kernel.lifecycle import Status

Piece = Callable[[str, str], Record | None]  # what stands under a kind and an id now

#: Columns that only one state has, and which.
_OF_STATE = {"superseded_by": "superseded", "graduated_to_entity_id": "graduated", "expired_at": "invalid"}


class Beliefs:
    """The part of the memories room that deals with memories."""

    def __init__(
        self, db: Room, audit: Recorder, canonical: Canonical, history: History, believed: Believed, piece: Piece
    ) -> None:
        self.db = db
        self._audit = audit
        self._canonical = canonical
        self._history = history
        self._believed = believed
        self._piece = piece

    # -- write ------------------------------------------------------------------------------------------------------

    def add(
        self,
        memory_type: MemoryType,
        content: str,
        *,
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        confidence: float = 1.0,
        status: Status = "active",
        domain_tags: Iterable[str] = (),
        valid_until: float | datetime | date | str | None = None,
        source_chunk_id: str | None = None,
        interaction_id: str | None = None,
        rule: str | None = None,
        extractor_version: str | None = None,
        metadata: dict[str, Any] | None = None,
        override: bool = False,
        id: str | None = None,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
        reference_count: int = 0,
        last_referenced_at: float | datetime | None = None,
        decayed_at: float | datetime | None = None,
        expired_at: float | datetime | None = None,
        superseded_by: str | None = None,
        graduated_to_entity_id: str | None = None,
    ) -> Memory:
        """Store a memory and return it, or the one in the same state that says the same, as it is.

        The same: type, project, user and content, whatever its case, spaces and the punctuation at its end. A day as `valid_until`
        ("2026-07-01" or a `date`) counts whole, in UTC. What was rejected or found invalid before raises RejectedClaim unless
        `override`; its project and user are compared where both sides have one. A memory that is neither active nor candidate is
        history from elsewhere: stored as it is, nothing refuses it. No day up to `decayed_at` is taken off the confidence.

        The type says what a memory is about: who somebody is, what he prefers, a project, what happened, what is so, or how to work
        (identity, preference, project, episodic, knowledge, adaptation).
        """
        given = values.checked(
            CHECKS,
            {"id": id, "created_at": created_at, "updated_at": updated_at, "memory_type": memory_type, "content": content,
             "user_id": user_id, "conversation_id": conversation_id, "confidence": confidence, "status": status,
             "domain_tags": domain_tags, "valid_until": valid_until, "reference_count": reference_count,
             "last_referenced_at": last_referenced_at, "decayed_at": decayed_at, "expired_at": expired_at,
             "source_chunk_id": source_chunk_id, "interaction_id": interaction_id, "rule": rule, "extractor_version": extractor_version,
             "superseded_by": superseded_by, "graduated_to_entity_id": graduated_to_entity_id, "metadata": metadata},
        )  # fmt: skip
        project = values.optional(values.key, "project", project)
        override = values.flag("override", override)
        _refuse_of_another_state(given)
        with self.db.write() as connection:
            new = self._new(**given, project_id=self._canonical(project, given["user_id"]))
            twin = self._twin(connection, new)
            if twin is not None:
                return twin
            if new.status in LIVE and not override:
                self._refuse_rejected(connection, new)
            self._insert(connection, new)
            return new

    def _new(self, *, id: str | None, created_at: float | None, updated_at: float | None, **columns: Any) -> Memory:
        """A memory with what is not given filled in."""
        born = self.db.now if created_at is None else created_at
        return Memory(
            id=new_id() if id is None else id,
            created_at=born,
            updated_at=born if updated_at is None else updated_at,
            **{"merged_from": None, **columns},
            version=1,
        )

    def _insert(self, connection: Connection, new: Memory) -> None:
        """Write a row with its words, and tell that it holds if it does."""
        refuse_taken(connection, MEMORIES, "a memory", new.id, "update() changes it")
        found = stems(new.content)
        pk = MEMORIES.insert(connection, new, content_key=self._key(new.content), stem_count=len(found))
        if new.status in LIVE:
            self._post(connection, pk, found)
        if new.status == "active":
            self._believed(connection, new)

    def _post(self, connection: Connection, pk: int, found: set[str]) -> None:
        rows = [(word, pk) for word in tagged(found, connection.cipher)]
        connection.many("INSERT INTO memory_words(word, memory) VALUES (?, ?)", rows)

    def _rewrite(self, connection: Connection, old: Memory, new: Memory) -> Memory:
        """Write what may change of a live row, and what is derived from it."""
        metadata = None if new.metadata is None else values.to_json("metadata", new.metadata)
        content, metadata = MEMORIES.sealed(connection, old.id, content=new.content, metadata=metadata)
        found, now = stems(new.content), self.db.now
        connection.run(
            "UPDATE memories SET updated_at = ?, memory_type = ?, content = ?, confidence = ?, domain_tags = ?, valid_until = ?,"
            " metadata = ?, content_key = ?, stem_count = ?, decayed_at = NULL, version = version + 1 WHERE id = ?",
            (now, new.memory_type, content, new.confidence, values.to_json("domain_tags", new.domain_tags), new.valid_until, metadata,
             self._key(new.content), len(found), old.id),
        )  # fmt: skip
        if old.content != new.content:
            pk = connection.value("SELECT pk FROM memories WHERE id = ?", (old.id,))
            connection.run("DELETE FROM memory_words WHERE memory = ?", (pk,))
            self._post(connection, pk, found)
        return replace(new, updated_at=now, decayed_at=None, version=old.version + 1)

    def _key(self, text: str) -> str:
        return statement_key(text, self.db.cipher)

    def _twin(self, connection: Connection, item: Memory) -> Memory | None:
        """Another live row that says the same in the same state."""
        return MEMORIES.first(
            connection,
            # In the words of memories__live, or the planner takes the index of projects.
            "WHERE content_key = ? AND memory_type = ? AND COALESCE(project_id, '') = ? AND COALESCE(user_id, '') = ? AND status = ?"
            " AND (status = 'active' OR status = 'candidate') AND id <> ?",
            (self._key(item.content), item.memory_type, item.project_id or "", item.user_id or "", item.status, item.id),
        )

    def _refuse_twin(self, connection: Connection, item: Memory) -> None:
        twin = self._twin(connection, item)
        if twin is not None:
            raise Exists(f"memory {twin.id} says that already and is {twin.status}; reject or supersede one of the two")

    def _refuse_rejected(self, connection: Connection, item: Memory) -> None:
        """Raise RejectedClaim where a person has said no to the content; what merely expired was never judged."""
        terms = [("content_key = ? AND expired_at IS NULL", self._key(item.content))]
        refuse_rejected(connection, MEMORIES, "memory", item.content, terms, item.project_id, item.user_id, "history()")

    # -- read -------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Memory:
        """Return a memory in whatever state."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return self._known(connection, id)

    def _known(self, connection: Connection, id: str) -> Memory:
        return known(connection, MEMORIES, "memory", id, "store.memories.find()")

    def find(
        self,
        *,
        memory_type: MemoryType | None = None,
        status: Status | None = None,
        project: str | None = None,
        user_id: str | None = None,
        tag: str | None = None,
        include_expired: bool = False,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Memory]:
        """Return memories in whatever state, newest first by (created_at, arrival): all of them unless there is a limit.

        Each filter is exact, but a `user_id` finds that user's and everybody's. Those whose `valid_until` has come are left out
        unless `include_expired`. `before` is the id of the last one of the page before.
        """
        limit = values.limit(limit)
        terms = self._terms(
            memory_type=memory_type, status=status, project=project, user_id=user_id, tag=tag, include_expired=include_expired
        )
        with self.db.read(snapshot=True) as connection:
            return newest(connection, MEMORIES, "memory", terms, limit, before, "store.memories.find()")

    def count(
        self,
        *,
        memory_type: MemoryType | None = None,
        status: Status | None = None,
        project: str | None = None,
        user_id: str | None = None,
        tag: str | None = None,
        include_expired: bool = False,
    ) -> int:
        """Count what `find` would return."""
        terms = self._terms(
            memory_type=memory_type, status=status, project=project, user_id=user_id, tag=tag, include_expired=include_expired
        )
        return counted(self.db, MEMORIES, terms)

    def _terms(
        self,
        *,
        memory_type: str | None = None,
        status: str | None = None,
        project: str | None = None,
        user_id: str | None = None,
        tag: str | None = None,
        include_expired: bool = False,
    ) -> list[Term]:
        """What rows must meet."""
        tag = None if tag is None else values.key("tag", tag).strip().lower()
        return [
            *filters(
                ("memory_type = ?", values.optional(values.one_of, "memory_type", memory_type, legal=MEMORY_TYPES)),
                ("status = ?", values.optional(values.one_of, "status", status, legal=STATUSES)),
                ("EXISTS (SELECT 1 FROM json_each(domain_tags) WHERE value = ?)", tag),
                ("(valid_until IS NULL OR valid_until > ?)", None if values.flag("include_expired", include_expired) else self.db.now),
            ),
            *scope(self._canonical, project, user_id),
        ]

    def search(
        self,
        query: str,
        *,
        project: str | None = None,
        user_id: str | None = None,
        memory_type: MemoryType | None = None,
        status: Status | None = "active",
        limit: int | None = 20,
    ) -> list[MemoryHit]:
        """Return the memories that share words with a text, best first; those whose `valid_until` has come are left out.

        Best: the share of the memory's words that the text has, then how many those are, then a tag that stands in the text, then
        confidence, then the newest. A `project` finds its memories and those of none. Only active memories and candidates have
        words (`status=None` is both): the others are history, which `find` shows.
        """
        query, limit = values.text("query", query), values.limit(limit)
        if status is not None:
            values.one_of("status", status, LIVE)
        terms = self._terms(memory_type=memory_type, status=status, user_id=user_id)
        if project is not None:
            terms.append(("(project_id IS NULL OR project_id = ?)", self._canonical(values.key("project", project), user_id)))
        return self._ranked(query, terms, limit)

    def recall(
        self,
        query: str,
        memory_types: Iterable[MemoryType],
        *,
        project: str | None = None,
        user_id: str | None = None,
        unmatched: bool = False,
        limit: int | None = 20,
    ) -> list[MemoryHit]:
        """Return the active memories of some types that an agent should have before him for a question, in the order of `search`.

        Those of no project, and with a `project` its own; `unmatched` adds those that share no word with the question.
        """
        query, limit, unmatched = values.text("query", query), values.limit(limit), values.flag("unmatched", unmatched)
        types = [values.one_of("memory_types", each, MEMORY_TYPES) for each in values.strings("memory_types", memory_types)]
        project = self._canonical(values.optional(values.key, "project", project), user_id)
        terms: list[Term] = [
            *self._terms(status="active", user_id=user_id),
            (f"memory_type {AMONG}", listed(types)),
            ("(project_id IS NULL OR project_id = ?)", project),
        ]
        if {"identity", "preference"}.issuperset(types):
            terms.append((PERSONAL,))
        return self._ranked(query, terms, limit, unmatched)

    def _ranked(self, query: str, terms: Iterable[Term], limit: int, unmatched: bool = False) -> list[MemoryHit]:
        where, params = joined(terms)
        table = EACH if unmatched else SHARING
        with self.db.read(snapshot=True) as connection:
            asked = json.dumps(tagged(stems(query), connection.cipher))
            # The limit keeps SQLite from counting the hits anew for every place where they are named.
            best = connection.rows(
                "SELECT pk, ifnull(1.0 * hits / stem_count, 0.0) FROM"
                f" (SELECT memories.pk AS pk, stem_count, hits, domain_tags, confidence, created_at FROM {table} WHERE {where} LIMIT -1)"
                " ORDER BY 2 DESC, hits DESC, EXISTS (SELECT 1 FROM json_each(domain_tags) WHERE instr(?, value) > 0) DESC,"
                " confidence DESC, created_at DESC, pk DESC LIMIT ?",
                (asked, *params, query.lower(), limit),
            )
            chosen = json.dumps([pk for pk, _ in best])
            found = MEMORIES.find(
                connection, "JOIN json_each(?) AS place ON place.value = memories.pk ORDER BY place.key", (chosen,)
            )
        return [MemoryHit(item, round(share, 6)) for item, (_, share) in zip(found, best, strict=True)]

    def history(self, id: str) -> list[AuditEvent]:
        """Return the audit events of a memory, oldest first, that of the merge which it went into among them."""
        item = self.get(id)
        events = self._history("memory", item.id)
        if item.superseded_by is not None:
            merges = [event for event in self._history("memory", item.superseded_by) if event.event_type == "memory.merge"]
            events += [event for event in merges if item.id in (event.details or {}).get("merged_from", ())]
        return sorted(events, key=lambda event: event.seq)

    # -- change -----------------------------------------------------------------------------------------------------

    def update(
        self,
        id: str,
        *,
        memory_type: MemoryType | None = None,
        content: str | None = None,
        confidence: float | None = None,
        domain_tags: Iterable[str] | None = None,
        valid_until: float | datetime | date | str | None = values.KEEP,
        metadata: dict[str, Any] | None = values.KEEP,
        expected_version: int | None = None,
        override: bool = False,
        actor: str = "",
        note: str = "",
    ) -> Memory:
        """Change what is given of an active memory or a candidate and return it.

        None clears `valid_until` and `metadata`, elsewhere it means not given. When nothing differs, nothing is written.
        """
        id = values.key("id", id)
        given = {"memory_type": memory_type, "content": content, "confidence": confidence, "domain_tags": domain_tags}
        clearable = {"valid_until": valid_until, "metadata": metadata}
        changes = values.changes(CHECKS, given, clearable)
        override = values.flag("override", override)
        with self.db.write() as connection:
            old = self._known(connection, id)
            confirm_version(f"memory {id}", old, expected_version)
            if old.status not in LIVE:
                raise Invalid(f"memory {values.shorten(id)} is {old.status} and kept as it was; add() what holds now")
            new = replace(old, **changes)
            names = changed(old, new, changes)
            if not names:
                return old
            self._refuse_twin(connection, new)
            if not override and self._key(old.content) != self._key(new.content):
                self._refuse_rejected(connection, new)
            new = self._rewrite(connection, old, new)
            log(self._audit, "memory", "update", old, shown(old, names), shown(new, names), actor=actor, note=note)
            if new.status == "active":
                self._believed(connection, new)
            return new

    def promote(self, id: str, *, override: bool = False, actor: str = "", note: str = "") -> bool:
        """Make a candidate active; False for anything else.

        Where an active memory says the same already it raises Exists; where that was rejected or found invalid meanwhile it raises
        RejectedClaim unless `override`.
        """
        id, override = values.key("id", id), values.flag("override", override)
        with self.db.write() as connection:
            old = self._known(connection, id)
            if old.status != "candidate":
                return False
            self._refuse_twin(connection, replace(old, status="active"))
            if not override:
                self._refuse_rejected(connection, old)
            self._turn(connection, old, "active", actor, note)
            self._believed(connection, self._known(connection, id))
            return True

    def reject(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make a candidate invalid, so that its content does not come back unnoticed; False for anything else."""
        return self._leave(id, "candidate", "invalid", actor, note)

    def invalidate(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make an active memory invalid, so that its content does not come back unnoticed; False for anything else."""
        return self._leave(id, "active", "invalid", actor, note)

    def supersede(self, id: str, *, by: str | None = None, actor: str = "", note: str = "") -> bool:
        """Retire an active memory; False for anything else.

        `by` is the active memory that takes its place.
        """
        id, by = values.key("id", id), values.optional(values.key, "by", by)
        if by == id:
            raise Invalid(f"memory {values.shorten(id)} cannot supersede itself; give the id of another one as by=")
        with self.db.write() as connection:
            old = self._known(connection, id)
            if old.status != "active":
                return False
            if by is not None and (winner := self._known(connection, by)).status != "active":
                raise Invalid(f"by={values.shorten(by)} is a memory that is {winner.status}; only an active one can take a place")
            return self._turn(connection, old, "superseded", actor, note, superseded_by=by)

    def graduate(self, id: str, entity_id: str, *, actor: str = "", note: str = "") -> bool:
        """Let an entity take the place of an active memory, which stays and leads there; False for anything else."""
        return self._leave(id, "active", "graduated", actor, note, graduated_to_entity_id=values.key("entity_id", entity_id))

    def _leave(self, id: str, start: str, status: Status, actor: str, note: str, **columns: Any) -> bool:
        id = values.key("id", id)
        with self.db.write() as connection:
            old = self._known(connection, id)
            return old.status == start and self._turn(connection, old, status, actor, note, **columns)

    def _turn(self, connection: Connection, old: Memory, status: Status, actor: str, note: str, **columns: Any) -> bool:
        """Bring a memory into another state by a way that there is; its words go where it is no longer found by them."""
        if status not in LIVE:
            connection.run("DELETE FROM memory_words WHERE memory = (SELECT pk FROM memories WHERE id = ?)", (old.id,))
        return turn(connection, self._audit, MEMORIES, "memory", old, status, self.db.now, actor=actor, note=note, **columns)

    def merge(
        self,
        ids: Iterable[str],
        content: str,
        *,
        metadata: dict[str, Any] | None = None,
        override: bool = False,
        id: str | None = None,
        created_at: float | datetime | None = None,
        actor: str = "",
        note: str = "",
    ) -> Memory:
        """Put one active memory into the place of two or more of one type, project and user, and return it.

        It has the most common of their tags, the largest confidence, the sum of their references, and holds as long as one of them
        does. The same ids again, in whatever order, return what they were merged into.
        """
        chosen = sorted({values.key("ids", item) for item in values.strings("ids", ids)})
        if len(chosen) < 2:
            raise Invalid(f"ids names {len(chosen)} memories; a merge needs two or more")
        given = values.checked(CHECKS, {"content": content, "metadata": metadata, "id": id, "created_at": created_at})
        override = values.flag("override", override)
        with self.db.write() as connection:
            done = MEMORIES.first(connection, "WHERE merged_from = ? ORDER BY pk DESC", (values.to_json("ids", chosen),))
            if done is not None:
                return done
            sources = [self._known(connection, item) for item in chosen]
            new = self._new(**given, **_merged(sources), updated_at=None, merged_from=chosen)
            if not override:
                self._refuse_rejected(connection, new)
            for old in sources:
                self._retire(connection, old, new.id)
            self._refuse_twin(connection, new)
            self._insert(connection, new)
            log(
                self._audit, "memory", "merge", new, {"status": {old.id: "active" for old in sources}},
                {"status": {**{old.id: "superseded" for old in sources}, new.id: "active"}, "content": new.content},
                actor=actor, note=note, details={"merged_from": chosen},
            )  # fmt: skip
            return new

    def _retire(self, connection: Connection, old: Memory, by: str) -> None:
        """Supersede a row within an event that tells more than that."""
        connection.run("DELETE FROM memory_words WHERE memory = (SELECT pk FROM memories WHERE id = ?)", (old.id,))
        retire(connection, MEMORIES, old, by, self.db.now)


def _refuse_of_another_state(given: Mapping[str, Any]) -> None:
    for name, state in _OF_STATE.items():
        if given[name] is not None and given["status"] != state:
            raise Invalid(f"{name} is of memories with status {state!r}, and this one is {given['status']!r}")


def _merged(sources: Sequence[Memory]) -> dict[str, Any]:
    """Columns of the memory that takes the place of some."""
    for name, said in (("status", "status"), ("memory_type", "type"), ("project_id", "project"), ("user_id", "user")):
        found = {getattr(item, name): item.id for item in sources}
        if len(found) > 1:
            told = ", ".join(f"{values.shorten(id)} has {value!r}" for value, id in found.items())
            raise Invalid(f"ids must be of one {said}, and {told}")
    first = sources[0]
    if first.status != "active":
        raise Invalid(f"ids must be active memories; these are {first.status}")
    tagging = Counter(tag for item in sources for tag in item.domain_tags)
    ends = [item.valid_until for item in sources]
    referenced = [item.last_referenced_at for item in sources if item.last_referenced_at is not None]
    agreed = {name: _agreed([getattr(item, name) for item in sources]) for name in ("conversation_id", "source_chunk_id")}
    return {
        "memory_type": first.memory_type,
        "project_id": first.project_id,
        "user_id": first.user_id,
        "status": "active",
        "confidence": max(item.confidence for item in sources),
        "domain_tags": [tag for tag, _ in tagging.most_common(TAGS)],
        "valid_until": None if None in ends else max(end for end in ends if end is not None),
        "reference_count": sum(item.reference_count for item in sources),
        "last_referenced_at": max(referenced, default=None),
        **agreed,
        **dict.fromkeys(("decayed_at", "expired_at", "superseded_by", "graduated_to_entity_id")),
        **dict.fromkeys(("interaction_id", "rule", "extractor_version")),
    }


def _agreed(found: list[Any]) -> Any:
    return found[0] if all(value == found[0] for value in found) else None
