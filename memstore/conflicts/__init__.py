"""Beliefs that cannot be true together: slots that several rows claim, pairs that contradict each other, and what a person decided.

1. A conflict is opened and never decided by itself: `suggest` says who might win and why, `resolve` is a person's word.
2. There is one open conflict of a slot, within a project and for whom it concerns, and one of a pair, whichever way round it is
   named. What clashes there later joins it.
3. Only what is active can be in conflict: a candidate is nobody's belief yet.
4. Whoever loses is superseded by the verbs of its own room, in the transaction that closes the conflict, and is never deleted.
5. What was dismissed, or left as it is, stays closed while its members say what they said; anything new opens a new conflict.

The trap: what stands in a slot need not be what claims it. Two materials of one component clash by two relationships; the loser's
relationship is retired, while the material goes on being what other components are made of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Finding, Invalid, Prunable, new_id, values
from ..kernel.lifecycle import shown
from ..kernel.rows import Term, counted, filters, newest, refuse_taken, scope
from . import deciding, derived, joining, removal
from .detection import Detection
from .rules import Claim, named
from .slots import WHERE, pair_hash
from .tables import (
    ASSESSMENTS,
    CONFLICT_KINDS,
    CONFLICT_STATUSES,
    CONFLICTS,
    RESOLUTIONS,
    SCHEMA,
    Assessment,
    Conflict,
    ConflictKind,
    ConflictMember,
    ConflictStatus,
    Resolution,
    Suggestion,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ..audit import AuditEvent
    from ..kernel import Connection
    from ..kernel.subject import Subject

__all__ = ["SCHEMA", "Assessment", "Claim", "Conflict", "ConflictMember", "ConflictStore", "Suggestion"]

MEMBER = "pk IN (SELECT conflict FROM conflict_members WHERE member_id = ?)"
_CLOSES = {"dismiss": "dismissed", "supersede_others": "resolved", "no_action": "resolved"}


class ConflictStore(Detection):
    """Slots, contradictions and what a person decided.

    Four rules are shipped. By `component.material` and `component.part_of` each `uses_material` and `part_of` of an entity of type
    Component claims that component (the slot is its id); the relationship loses, the entity at its end stays. By `requirement.name`
    every entity of type Requirement claims its name, and loses itself. By `project_state.entity` a state claims its key, an entity
    in the same project its name with `properties["value"]`, or else its description, and `<name>.<property>` with each property;
    the state is cleared or the entity superseded. Types, names and values are compared without case and with single spaces.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     store.conflicts.rule("editor", lambda memory: ("editor", memory.content), kinds=["memory"])
    ...     vim = store.memories.add("preference", "uses vim")
    ...     emacs = store.memories.add("preference", "uses emacs")
    ...     clash = store.conflicts.find(status="open")[0]
    ...     store.conflicts.resolve(clash.id, "supersede_others", winner=emacs.id).status, store.memories.get(vim.id).status
    ('resolved', 'superseded')
    """

    # -- write ------------------------------------------------------------------------------------------------------

    def open(
        self,
        slot_kind: str,
        slot_key: str,
        *,
        members: Iterable[tuple[str, str] | Mapping[str, Any]],
        project: str | None = None,
        user_id: str | None = None,
        severity: str = "medium",
        note: str = "",
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
        status: ConflictStatus = "open",
        resolution: str = "",
        winner: str | tuple[str, str] | None = None,
        resolved_at: float | datetime | None = None,
    ) -> Conflict:
        """Open a conflict between rows that claim one slot, or let them join the one that is open there, and return it.

        `members` are two or more (kind, id), active ones; kinds are memory, entity, atom, relationship and project_state. A dict
        with AtoCore's columns (`member_kind`, `member_id`, `value_snapshot` ...) and a snapshot is a member as it was elsewhere and
        need not be here. One that is not open is history from elsewhere: stored as it is, and nothing joins it.
        """
        columns = {
            "id": new_id() if id is None else values.key("id", id),
            "slot_kind": values.key("slot_kind", slot_kind),
            "slot_key": values.text("slot_key", slot_key, blank=False),
            "user_id": values.optional(values.key, "user_id", user_id),
            "severity": values.key("severity", severity),
            "note": values.text("note", note),
            "metadata": values.optional(values.json_object, "metadata", metadata),
            "status": values.one_of("status", status, CONFLICT_STATUSES),
            "resolution": values.one_of("resolution", resolution, ("", *RESOLUTIONS)),
            "resolved_at": values.optional(values.moment, "resolved_at", resolved_at),
        }
        born = values.optional(values.moment, "created_at", created_at)
        begun = columns["status"] == "open"
        if begun and not (columns["resolution"] == "" and winner is None and resolved_at is None):
            raise Invalid("an open conflict has no resolution, winner or resolved_at; give its status, or leave them to resolve()")
        with self.db.write() as connection:
            now = self.db.now if born is None else born
            closed = None if begun else now if resolved_at is None else columns["resolved_at"]
            columns |= {"created_at": now, "updated_at": now if closed is None else closed, "resolved_at": closed}
            project_id = self._scope(project, user_id)
            new = self._begun(**{**columns, "project_id": project_id, "members": self._members(members)})
            if winner is not None:
                new = deciding.won(new, self._winner(new, winner))
            return self._today(self._open_slot(connection, new))

    def contradict(
        self,
        a_id: str,
        b_id: str,
        *,
        kind: str = "atom",
        severity: str = "medium",
        project: str | None = None,
        note: str = "",
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Conflict:
        """Say that two active rows of one kind contradict each other, and return the conflict.

        One that is open, or that a person left as it is while both said what they say now, is returned as it stands. Without a
        `project` it belongs to that of both.
        """
        id = new_id() if id is None else values.key("id", id)
        said = {
            "severity": values.key("severity", severity),
            "note": values.text("note", note),
            "metadata": values.optional(values.json_object, "metadata", metadata),
        }
        born = values.optional(values.moment, "created_at", created_at)
        sides = {"a_id": named("a_id", (kind, a_id)), "b_id": named("b_id", (kind, b_id))}
        pair = sorted(sides.values())
        if pair[0] == pair[1]:
            raise Invalid(f"{kind} {values.shorten(a_id)} cannot contradict itself; give two ids")
        with self.db.write() as connection:
            now = self.db.now if born is None else born
            found = {side: self._active(name, side) for name, side in sides.items()}
            members, digest = [found[side] for side in pair], pair_hash(kind, a_id, b_id)
            there = self._settled(connection, "pair_hash = ? AND kind = 'contradiction'", (digest,), members)
            if there is not None:
                return self._today(there)
            atoms = dict(zip(("atom_a_id", "atom_b_id"), (row[1] for row in pair))) if kind == "atom" else {}
            whose = self._whose(pair, project)
            new = self._begun(
                id=id, kind="contradiction", pair_hash=digest, created_at=now, updated_at=now, members=members, **said, **atoms, **whose
            )
            return self._today(self._insert(connection, new, ""))

    def _whose(self, pair: list[tuple[str, str]], project: str | None) -> dict[str, str | None]:
        """Project and user of two rows: what both, or the only one that says it, say."""
        rows: list[Any] = [self._piece(*row) for row in pair]
        users = {row.user_id for row in rows if getattr(row, "user_id", None) is not None}
        user_id = users.pop() if len(users) == 1 else None
        projects = {row.project_id for row in rows}
        project_id = self._scope(project, user_id) if project is not None else projects.pop() if len(projects) == 1 else None
        return {"project_id": project_id, "user_id": user_id}

    def _scope(self, project: str | None, user_id: str | None) -> str | None:
        """The id of a project; AtoCore writes "" for none."""
        project = values.optional(values.label, "project", project)
        return None if project in (None, "") else self._canonical(project, user_id)

    def assess(
        self,
        id: str,
        decision: str,
        *,
        decision_confidence: float | None = None,
        reason_codes: Iterable[str] = (),
        assessor: str = "",
        note: str = "",
        assessment_id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Assessment:
        """Store what somebody, or a model, makes of a conflict, and return it; `state` of the conflict is that decision then.

        Assessments are only ever added, also after the conflict was closed, and close nothing.
        """
        id = values.key("id", id)
        new = Assessment(
            id=new_id() if assessment_id is None else values.key("assessment_id", assessment_id),
            conflict_id=id,
            created_at=self.db.now if created_at is None else values.moment("created_at", created_at),
            decision=values.key("decision", decision),
            decision_confidence=values.optional(values.real, "decision_confidence", decision_confidence, low=0.0, high=1.0),
            reason_codes=values.strings("reason_codes", reason_codes),
            assessor=values.label("assessor", assessor),
            note=values.text("note", note),
        )
        with self.db.write() as connection:
            self._known(connection, id)
            refuse_taken(connection, ASSESSMENTS, "an assessment", new.id, "assessments are only ever added")
            pk = connection.value("SELECT pk FROM conflicts WHERE id = ?", (id,))
            ASSESSMENTS.insert(connection, new, conflict=pk)
            connection.run(
                "UPDATE conflicts SET state = ?, updated_at = ?, version = version + 1 WHERE pk = ?", (new.decision, self.db.now, pk)
            )
            return new

    # -- read -------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Conflict:
        """Return a conflict, open or closed, with its members in the order in which they joined.

        A member of an open one says in `value_snapshot` what it said when they met, and in `value_now` what it says now.
        """
        id = values.key("id", id)
        with self.db.read(snapshot=True) as connection:
            return self._today(self._known(connection, id))

    def find(
        self,
        *,
        status: ConflictStatus | None = None,
        kind: ConflictKind | None = None,
        slot_kind: str | None = None,
        project: str | None = None,
        user_id: str | None = None,
        member_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Conflict]:
        """Return conflicts, newest first by (created_at, arrival): all of them unless there is a limit.

        Each filter is exact, but a `user_id` finds that user's and everybody's. `before` is the id of the last one of the page
        before.
        """
        limit = values.limit(limit)
        terms = self._terms(status, kind, slot_kind, project, user_id, member_id)
        with self.db.read(snapshot=True) as connection:
            found = newest(connection, CONFLICTS, "conflict", terms, limit, before, WHERE)
            return [self._today(conflict) for conflict in self._filled(connection, found)]

    def count(
        self,
        *,
        status: ConflictStatus | None = None,
        kind: ConflictKind | None = None,
        slot_kind: str | None = None,
        project: str | None = None,
        user_id: str | None = None,
        member_id: str | None = None,
    ) -> int:
        """Count what `find` would return."""
        terms = self._terms(status, kind, slot_kind, project, user_id, member_id)
        return counted(self.db, CONFLICTS, terms)

    def _terms(
        self, status: object, kind: object, slot_kind: object, project: str | None, user_id: str | None, member_id: object
    ) -> list[Term]:
        """What rows must meet."""
        return [
            *filters(
                ("status = ?", values.optional(values.one_of, "status", status, legal=CONFLICT_STATUSES)),
                ("kind = ?", values.optional(values.one_of, "kind", kind, legal=CONFLICT_KINDS)),
                ("slot_kind = ?", values.optional(values.key, "slot_kind", slot_kind)),
                (MEMBER, values.optional(values.key, "member_id", member_id)),
            ),
            *scope(self._canonical, project, user_id),
        ]

    def assessments(self, id: str) -> list[Assessment]:
        """Return the assessments of a conflict, oldest first by arrival."""
        id = values.key("id", id)
        with self.db.read(snapshot=True) as connection:
            self._known(connection, id)
            return ASSESSMENTS.find(connection, "WHERE conflict = (SELECT pk FROM conflicts WHERE id = ?) ORDER BY pk", (id,))

    def history(self, id: str) -> list[AuditEvent]:
        """Return the audit events of a conflict, oldest first."""
        return self._history("conflict", self.get(id).id)

    def suggest(self, id: str) -> Suggestion:
        """Return the member that might win and why, in words; nothing is applied.

        The most trusted layer wins (project state before entities and relationships before memories and atoms), then the larger
        confidence, then the newer row. Where nothing decides, or they say the same by now, there is no winner.
        """
        conflict = self.get(id)
        if conflict.status != "open":
            return Suggestion(None, None, f"it is closed: {deciding.told(conflict)}")
        claims = self._claims(conflict)
        return deciding.suggest(conflict, claims, self._said(conflict, claims))

    # -- change -----------------------------------------------------------------------------------------------------

    def resolve(
        self, id: str, action: Resolution, *, winner: str | tuple[str, str] | None = None, actor: str = "", note: str = ""
    ) -> Conflict:
        """Close an open conflict as a person has decided, and return it.

        "dismiss": it was none; "no_action": it is one, and stays; "supersede_others": the `winner` (the id of a member, or its
        kind and id) stays active, and all that still claims the slot beside it and says something else is superseded, retired or
        cleared. A `note` takes the place of the conflict's own.
        """
        id, action = values.key("id", id), values.one_of("action", action, RESOLUTIONS)  # type: ignore[assignment]
        actor, note = values.label("actor", actor), values.text("note", note)
        if winner is not None and action != "supersede_others":
            raise Invalid(f"action {action!r} has no winner; supersede_others has one")
        with self.db.write() as connection:
            old = self._known(connection, id)
            if old.status != "open":
                raise Invalid(f"conflict {id} is closed: {deciding.told(old)}; a new clash opens a new one")
            new = replace(old, status=_CLOSES[action], resolution=action, resolved_at=self.db.now)
            lost: list[tuple[str, str]] = []
            if action == "supersede_others":
                won = self._winner(old, winner)
                lost = self._supersede_others(old, won, actor, note)
                new = deciding.won(new, won)
            else:
                self._renew(connection, old)
            self._close(connection, old, new, lost, actor, note)
            return self._known(connection, id)

    def _close(
        self, connection: Connection, old: Conflict, new: Conflict, lost: list[tuple[str, str]], actor: str, note: str
    ) -> None:
        (sealed,) = CONFLICTS.sealed(connection, old.id, note=note or old.note)
        connection.run(
            "UPDATE conflicts SET status = ?, resolution = ?, winner_kind = ?, winner_id = ?, resolution_atom_id = ?, resolved_at = ?,"
            " note = ?, updated_at = ?, version = version + 1 WHERE id = ?",
            (new.status, new.resolution, new.winner_kind, new.winner_id, new.resolution_atom_id, new.resolved_at, sealed, new.resolved_at,
             old.id),
        )  # fmt: skip
        said = ("status", "resolution", "winner_kind", "winner_id")
        self._audit(
            "conflict.resolve", entity_kind="conflict", entity_id=old.id,
            before=shown(old, said), after=shown(new, said),
            details={"superseded": [{"kind": kind, "id": row} for kind, row in lost]},
            actor=actor, note=note, user_id=old.user_id, project=old.project_id,
        )  # fmt: skip

    def _winner(self, conflict: Conflict, winner: object) -> ConflictMember:
        """The member that a winner names."""
        told = ", ".join(f"{member.member_kind} {member.member_id}" for member in conflict.members)
        if winner is None:
            raise Invalid(f"supersede_others needs a winner; the members are {told}")
        pair = named("winner", winner) if isinstance(winner, (tuple, list)) else (None, values.key("winner", winner))
        found = [
            member for member in conflict.members if member.member_id == pair[1] and pair[0] in (None, member.member_kind)
        ]
        if len(found) != 1:
            what = "is no member" if not found else "is the id of several members, give kind and id"
            raise Invalid(f"winner {values.shorten(winner)} {what}; the members are {told}")
        return found[0]

    def _supersede_others(self, conflict: Conflict, won: ConflictMember, actor: str, note: str) -> list[tuple[str, str]]:
        """Take back what claims the slot beside the winner, and return what that was; what no longer holds is passed over."""
        claims = self._claims(conflict)
        said = self._said(conflict, claims)
        if (won.member_kind, won.member_id) not in claims:
            raise Invalid(f"winner {won.member_kind} {won.member_id} is no longer active; choose another member, or no_action")
        lost, kept = {}, said.get((won.member_kind, won.member_id))
        for member in conflict.members:
            side = member.member_kind, member.member_id
            if side in said and member.claim != won.claim and (kept is None or said[side].value != kept.value):
                lost[member.claim] = claims[side]
        return [row for row, claim in lost.items() if self._supersede(conflict, row, claim, won, actor, note)]

    def _renew(self, connection: Connection, conflict: Conflict) -> None:
        """Let members say what they claim now: that is what a person leaves as it is."""
        said = self._ruled(conflict, self._claims(conflict))
        sides = [(member, said.get((member.member_kind, member.member_id))) for member in conflict.members]
        members = [replace(member, value_snapshot=now.shown, claim_value=now.value) for member, now in sides if now is not None]
        self._join(connection, connection.value("SELECT pk FROM conflicts WHERE id = ?", (conflict.id,)), conflict, members)

    def _supersede(
        self, conflict: Conflict, row: tuple[str, str], claim: Any, won: ConflictMember, actor: str, note: str
    ) -> bool:
        """Take back one row by the verb of its room."""
        kind, id = row
        by = won.claim[1] if won.claim[0] == kind else None
        if kind == "memory":
            return self._memories().supersede(id, by=by, actor=actor, note=note)
        if kind == "project_state":
            return self._memories().clear_state(claim.project_id, claim.key, actor=actor, note=note)
        if kind == "relationship":
            return self._knowledge().retire_relationship(id, actor=actor, note=note)
        if kind == "entity":
            return self._knowledge().supersede(id, by=by, actor=actor, note=note)
        if conflict.kind == "contradiction":
            self._knowledge().merge_atoms([id], won.member_id, operation="supersede", actor=actor, note=note)
            return True
        return self._knowledge().supersede_atom(id, by=by, actor=actor, note=note)

    def join_project(self, connection: Connection, name: str, project_id: str, user_id: str) -> None:
        """Let conflicts that carry a name follow it, now that it means a project."""
        joining.join(self, connection, name, project_id, user_id)

    # -- remove -----------------------------------------------------------------------------------------------------

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from . import erasing

        erasing.erase(self, connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: resolved conflicts; one that was left as it is goes on keeping its slot quiet."""
        return [Prunable("conflicts", removal.COUNT, removal.OLDEST, removal.remove_oldest)]

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Recompute what is derived, and report conflicts without two sides and members that are no longer there."""
        with self.db.read(snapshot=True) as connection:
            found = [*derived.differences(connection), *derived.lonely(connection)]
        return [*found, *derived.dangling(self.db, self._piece)]
