"""Atoms: added, found, changed, and brought from one state to another.

1. Of the live atoms (active or candidate) one owner has one for each project, kind and normalised body. Extracting it again adds
   evidence to that atom, and no atom; it changes neither its state nor what a person has set.
2. Nothing is taken for true without evidence: a `verification_status` other than "unverified" needs evidence that is not stale.
3. What was rejected or found invalid does not come back unnoticed, whatever kind it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.lifecycle import LIVE, STATUSES, confirm_version, log, refuse_rejected, shown, turn
from ..kernel.rows import Term, counted, filled, filters, known, newest, scope
from .ledger_checks import ATOM, evidence_columns, pieces_of_evidence
from .ledger_tables import ATOM_KINDS, Atom, AtomKind, Evidence
from .schema import ATOMS, PROOFS
from .view import Knowing

if TYPE_CHECKING:
    from datetime import datetime

    from ..audit import AuditEvent
    from ..kernel import Connection
    from ..kernel.lifecycle import Status

UNVERIFIED = "unverified"
MENTIONING = "EXISTS (SELECT 1 FROM mentions AS m WHERE m.atom = atoms.pk AND m.entity_id = ?)"


class Atoms(Knowing):
    """The part of the knowledge room that deals with atoms and their evidence."""

    # -- atoms: write -----------------------------------------------------------------------------------------------

    def add_atom(
        self,
        kind: AtomKind,
        body: str,
        *,
        title: str = "",
        domain: str = "",
        tags: Iterable[str] = (),
        confidence: float = 1.0,
        status: Status = "active",
        verification_status: str = UNVERIFIED,
        evidence: Iterable[Mapping[str, Any]] = (),
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        run_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        override: bool = False,
        id: str | None = None,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
        superseded_by: str | None = None,
    ) -> Atom:
        """Store an atom with its evidence and return it; the live one that says the same gets the evidence instead.

        The same: kind, project, user and normalised body. It then takes the larger confidence too, and is otherwise left as it is,
        a candidate a candidate. `evidence` holds arguments of `add_evidence`. A body that was rejected or found invalid before
        raises RejectedClaim unless `override`; its project and user are compared where both sides have one. An atom that is
        neither active nor candidate is history from elsewhere: stored as it is, nothing refuses it.
        """
        given = values.checked(
            ATOM,
            {"id": id, "created_at": created_at, "updated_at": updated_at, "kind": kind, "title": title, "body": body,
             "domain": domain, "tags": tags, "confidence": confidence, "status": status,
             "verification_status": verification_status, "user_id": user_id, "conversation_id": conversation_id,
             "run_id": run_id, "superseded_by": superseded_by, "metadata": metadata},
        )  # fmt: skip
        project = values.optional(values.key, "project", project)
        pieces = pieces_of_evidence(evidence)
        override = values.flag("override", override)
        live = given["status"] in LIVE
        if given["superseded_by"] is not None and given["status"] != "superseded":
            raise Invalid(f"superseded_by is of atoms with status 'superseded', and this one is {given['status']!r}")
        if given["verification_status"] != UNVERIFIED and not pieces:
            word = values.shorten(given["verification_status"])
            raise Invalid(f"verification_status {word} needs evidence; give some, or leave it {UNVERIFIED!r}")
        with self.db.write() as connection:
            given["project_id"] = self._canonical(project, user_id)
            twin = self._twin_atom(connection, given) if live else None
            if twin is not None:
                return self._extracted_again(connection, twin, given["confidence"], pieces)
            if live and not override:
                self._refuse_rejected_atom(connection, given)
            return self._insert_atom(connection, given, pieces)

    def _insert_atom(self, connection: Connection, given: dict[str, Any], pieces: list[dict[str, Any]]) -> Atom:
        columns = filled(connection, ATOMS, "an atom", given, self.db.now)
        if columns["updated_at"] is None:
            columns["updated_at"] = columns["created_at"]
        new = Atom(**columns, version=1)
        ATOMS.insert(connection, new, body_key=self._key(new.body))
        for piece in pieces:
            self._support_atom(connection, new.id, piece)
        if new.status == "active":
            self._believed(connection, new)
        return new

    def _twin_atom(self, connection: Connection, said: Mapping[str, Any]) -> Atom | None:
        """The live atom that says the same."""
        return ATOMS.first(
            connection,
            "WHERE body_key = ? AND kind = ? AND COALESCE(project_id, '') = ? AND COALESCE(user_id, '') = ?"  # as its index has it
            " AND (status = 'active' OR status = 'candidate')",
            (self._key(said["body"]), said["kind"], said["project_id"] or "", said["user_id"] or ""),
        )

    def _extracted_again(self, connection: Connection, atom: Atom, confidence: float, pieces: list[dict[str, Any]]) -> Atom:
        """Add what is new about a known atom."""
        for piece in pieces:
            self._support_atom(connection, atom.id, piece)
        if confidence <= atom.confidence:
            return atom
        return self._rewrite_atom(connection, atom, replace(atom, confidence=confidence))

    def _refuse_rejected_atom(self, connection: Connection, said: Mapping[str, Any]) -> None:
        terms = [("body_key = ?", self._key(said["body"]))]
        refuse_rejected(connection, ATOMS, "atom", said["body"], terms, said["project_id"], said["user_id"], "atom_history()")

    def _rewrite_atom(self, connection: Connection, old: Atom, new: Atom) -> Atom:
        """Write what may change of an atom; its body never does."""
        (title,) = ATOMS.sealed(connection, old.id, title=new.title)
        now = self.db.now
        connection.run(
            "UPDATE atoms SET updated_at = ?, title = ?, domain = ?, tags = ?, confidence = ?, verification_status = ?,"
            " version = version + 1 WHERE id = ?",
            (now, title, new.domain, values.to_json("tags", new.tags), new.confidence, new.verification_status, old.id),
        )
        return replace(new, updated_at=now, version=old.version + 1)

    # -- atoms: read ------------------------------------------------------------------------------------------------

    def get_atom(self, id: str) -> Atom:
        """Return an atom in whatever state."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return self._atom(connection, id)

    def _atom(self, connection: Connection, id: str) -> Atom:
        return known(connection, ATOMS, "atom", id, "store.knowledge.atoms()")

    def atoms(
        self,
        *,
        kind: AtomKind | None = None,
        domain: str | None = None,
        tag: str | None = None,
        entity_id: str | None = None,
        status: Status | None = None,
        project: str | None = None,
        user_id: str | None = None,
        include_dismissed: bool = False,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Atom]:
        """Return atoms, newest first by (created_at, arrival): all of them unless there is a limit.

        Those that were rejected or found invalid are left out unless `include_dismissed`, or `status` asks for them. A `user_id`
        finds that user's and everybody's, an `entity_id` those that mention the entity; `before` is the id of the last atom of the
        page before.
        """
        limit = values.limit(limit)
        with self.db.read(snapshot=True) as connection:
            terms = self._atom_terms(
                kind=kind, domain=domain, tag=tag, entity_id=entity_id, status=status, project=project, user_id=user_id,
                include_dismissed=include_dismissed,
            )  # fmt: skip
            return newest(connection, ATOMS, "atom", terms, limit, before, "store.knowledge.atoms()")

    def count_atoms(
        self,
        *,
        kind: AtomKind | None = None,
        domain: str | None = None,
        tag: str | None = None,
        entity_id: str | None = None,
        status: Status | None = None,
        project: str | None = None,
        user_id: str | None = None,
        include_dismissed: bool = False,
    ) -> int:
        """Count what `atoms` would return."""
        terms = self._atom_terms(
            kind=kind, domain=domain, tag=tag, entity_id=entity_id, status=status, project=project, user_id=user_id,
            include_dismissed=include_dismissed,
        )  # fmt: skip
        return counted(self.db, ATOMS, terms)

    def _atom_terms(
        self,
        *,
        kind: str | None,
        domain: str | None,
        tag: str | None,
        entity_id: str | None,
        status: str | None,
        project: str | None,
        user_id: str | None,
        include_dismissed: bool,
    ) -> list[Term]:
        """What rows must meet."""
        tag = None if tag is None else values.key("tag", tag).strip().lower()
        everything = values.flag("include_dismissed", include_dismissed) or status is not None
        return [
            *filters(
                ("kind = ?", values.optional(values.one_of, "kind", kind, legal=ATOM_KINDS)),
                ("domain = ?", values.optional(values.label, "domain", domain)),
                ("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", tag),
                (MENTIONING, values.optional(values.key, "entity_id", entity_id)),
                ("status = ?", values.optional(values.one_of, "status", status, legal=STATUSES)),
                ("status <> ?", None if everything else "invalid"),
            ),
            *scope(self._canonical, project, user_id),
        ]

    def atom_history(self, id: str) -> list[AuditEvent]:
        """Return the audit events of an atom, oldest first, those of the merges that it was in among them."""
        id = values.key("id", id)
        with self.db.read() as connection:
            self._atom(connection, id)
            merges = connection.rows(
                "SELECT m.id, COALESCE(m.into_id, json_extract(m.atom_ids, '$[0]')) FROM merges AS m"
                " WHERE EXISTS (SELECT 1 FROM json_each(m.atom_ids) WHERE value = ?)",
                (id,),
            )
        events = {event.seq: event for event in self._history("atom", id)}
        for merge, owner in merges:
            told = [event for event in self._history("atom", owner) if event.event_type == "atom.merge"]
            events.update((event.seq, event) for event in told if (event.details or {}).get("merge") == merge)
        return [events[seq] for seq in sorted(events)]

    # -- atoms: change ----------------------------------------------------------------------------------------------

    def update_atom(
        self,
        id: str,
        *,
        title: str | None = None,
        domain: str | None = None,
        tags: Iterable[str] | None = None,
        confidence: float | None = None,
        verification_status: str | None = None,
        expected_version: int | None = None,
        actor: str = "",
        note: str = "",
    ) -> Atom:
        """Change what is given of an active atom or a candidate and return it; when nothing differs, nothing is written.

        Its body is what it is known by: another one is another atom. A `verification_status` other than "unverified" is an open
        word, and Invalid where the atom has no evidence that is not stale.
        """
        id = values.key("id", id)
        given = {
            "title": title, "domain": domain, "tags": tags, "confidence": confidence, "verification_status": verification_status
        }  # fmt: skip
        changes = values.changes(ATOM, given)
        with self.db.write() as connection:
            old = self._atom(connection, id)
            confirm_version(f"atom {id}", old, expected_version)
            if old.status not in LIVE:
                raise Invalid(f"atom {values.shorten(id)} is {old.status} and kept as it was; add_atom() what holds now")
            if changes.get("verification_status", UNVERIFIED) != UNVERIFIED and not self._has_evidence(connection, id):
                raise Invalid(f"verification_status: atom {values.shorten(id)} has no evidence that is not stale; add_evidence() first")
            changed = [name for name in changes if getattr(old, name) != changes[name]]
            if not changed:
                return old
            new = self._rewrite_atom(connection, old, replace(old, **changes))
            log(self._audit, "atom", "update", old, shown(old, changed), shown(new, changed), actor=actor, note=note)
            if new.status == "active":
                self._believed(connection, new)
            return new

    def promote_atom(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make a candidate active; False for anything else."""
        with self.db.write() as connection:
            done = self._turn_atom(connection, id, "candidate", "active", actor, note)
            if done:
                self._believed(connection, self._atom(connection, id))
            return done

    def reject_atom(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make a candidate invalid, so that its body does not come back unnoticed; False for anything else."""
        with self.db.write() as connection:
            return self._turn_atom(connection, id, "candidate", "invalid", actor, note)

    def invalidate_atom(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Make an active atom invalid, so that its body does not come back unnoticed; False for anything else."""
        with self.db.write() as connection:
            return self._turn_atom(connection, id, "active", "invalid", actor, note)

    def supersede_atom(self, id: str, *, by: str | None = None, actor: str = "", note: str = "") -> bool:
        """Retire an active atom; False for anything else.

        `by` is the active atom that takes its place.
        """
        id, by = values.key("id", id), values.optional(values.key, "by", by)
        if by == id:
            raise Invalid(f"atom {values.shorten(id)} cannot supersede itself; give the id of another one as by=")
        with self.db.write() as connection:
            if self._atom(connection, id).status == "active" and by is not None:
                self._winning_atom(connection, "by", by)
            return self._turn_atom(connection, id, "active", "superseded", actor, note, superseded_by=by)

    def _winning_atom(self, connection: Connection, name: str, id: str) -> Atom:
        """An atom that may take the place of another."""
        found = self._atom(connection, id)
        if found.status != "active":
            raise Invalid(f"{name}={values.shorten(id)} is an atom that is {found.status}; only an active one can take a place")
        return found

    def _turn_atom(
        self, connection: Connection, id: str, start: str, status: Status, actor: str, note: str, **columns: Any
    ) -> bool:
        old = self._atom(connection, values.key("id", id))
        return old.status == start and turn(
            connection, self._audit, ATOMS, "atom", old, status, self.db.now, actor=actor, note=note, **columns
        )

    # -- evidence ---------------------------------------------------------------------------------------------------

    def add_evidence(
        self,
        atom_id: str,
        *,
        source_id: str | None = None,
        chunk_id: str | None = None,
        chunk_hash: str | None = None,
        anchor_type: str = "",
        anchor_start: int | None = None,
        anchor_end: int | None = None,
        snippet: str = "",
        confidence: float = 1.0,
        run_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Evidence:
        """Store where an atom is said and return that; the same snippet of the same chunk again is returned as it is.

        Said again it is no longer stale, and what is given of `chunk_hash` and anchors takes the place of what was.
        """
        columns = evidence_columns(
            id=id, created_at=created_at, source_id=source_id, chunk_id=chunk_id, chunk_hash=chunk_hash, anchor_type=anchor_type,
            anchor_start=anchor_start, anchor_end=anchor_end, snippet=snippet, confidence=confidence, run_id=run_id,
            metadata=metadata,
        )  # fmt: skip
        with self.db.write() as connection:
            return self._support_atom(connection, self._atom(connection, values.key("atom_id", atom_id)).id, columns)

    def _support_atom(self, connection: Connection, atom_id: str, columns: dict[str, Any]) -> Evidence:
        """Give an atom a piece of evidence."""
        key, atom = self._key(columns["snippet"]), connection.value("SELECT pk FROM atoms WHERE id = ?", (atom_id,))
        twin = PROOFS.first(
            connection,
            "WHERE atom = ? AND snippet_key = ? AND source_id IS ? AND chunk_id IS ? ORDER BY pk LIMIT 1",
            (atom, key, columns["source_id"], columns["chunk_id"]),
        )
        if twin is not None:
            return self._confirm_evidence(connection, twin, columns)
        new = Evidence(**filled(connection, PROOFS, "evidence", columns, self.db.now), atom_id=atom_id, stale=False)
        PROOFS.insert(connection, new, atom=atom, snippet_key=key)
        return new

    def _confirm_evidence(self, connection: Connection, old: Evidence, columns: dict[str, Any]) -> Evidence:
        new = replace(old, stale=False)
        if columns["chunk_hash"] is not None:
            new = replace(new, chunk_hash=columns["chunk_hash"])
        if columns["anchor_start"] is not None:
            new = replace(new, **{name: columns[name] for name in ("anchor_type", "anchor_start", "anchor_end")})
        if new != old:
            connection.run(
                "UPDATE evidence SET stale = 0, chunk_hash = ?, anchor_type = ?, anchor_start = ?, anchor_end = ? WHERE id = ?",
                (new.chunk_hash, new.anchor_type, new.anchor_start, new.anchor_end, old.id),
            )
        return new

    def evidence(self, atom_id: str, *, include_stale: bool = True) -> list[Evidence]:
        """Return the evidence of an atom in order of arrival, oldest first."""
        atom_id, wanted = values.key("atom_id", atom_id), values.flag("include_stale", include_stale)
        with self.db.read(snapshot=True) as connection:
            self._atom(connection, atom_id)
            return PROOFS.find(
                connection, "WHERE atom = (SELECT pk FROM atoms WHERE id = ?) AND stale <= ? ORDER BY pk", (atom_id, int(wanted))
            )

    def mark_stale(
        self,
        *,
        chunk_id: str | None = None,
        source_id: str | None = None,
        chunk_hash: str | None = None,
        actor: str = "",
        note: str = "",
    ) -> list[Atom]:
        """Mark the evidence from a chunk or a source that has changed or gone, and return the live atoms that have no other left.

        With the `chunk_hash` that the chunk has now, evidence of that hash stays. Atoms that are returned are "unverified" again.
        """
        # A source has many chunks: with the plus sign SQLite looks for the chunk where it has both.
        chosen = [("chunk_id = ?", values.optional(values.key, "chunk_id", chunk_id)),
                  ("source_id = ?" if chunk_id is None else "+source_id = ?", values.optional(values.key, "source_id", source_id)),
                  ("chunk_hash IS NOT ?", values.optional(values.key, "chunk_hash", chunk_hash))]  # fmt: skip
        if chunk_id is None and source_id is None:
            raise Invalid("mark_stale() needs a chunk_id or a source_id: whose evidence is it?")
        clause = " AND ".join(term for term, value in chosen if value is not None)
        params = [value for _, value in chosen if value is not None]
        with self.db.write() as connection:
            hit = connection.rows(f"SELECT pk, atom FROM evidence WHERE {clause} AND stale = 0", params)
            connection.many("UPDATE evidence SET stale = 1 WHERE pk = ?", [(pk,) for pk, _ in hit])
            touched = [ATOMS.find(connection, "WHERE pk = ?", (pk,))[0] for pk in sorted({pk for _, pk in hit})]
            left = [self._lose_evidence(connection, atom, actor, note) for atom in touched]
            return [atom for atom in left if atom is not None]

    def _has_evidence(self, connection: Connection, id: str) -> bool:
        """Whether an atom has evidence that is not stale."""
        found = "SELECT 1 FROM evidence WHERE atom = (SELECT pk FROM atoms WHERE id = ?) AND stale = 0 LIMIT 1"
        return connection.value(found, (id,)) is not None

    def _lose_evidence(self, connection: Connection, atom: Atom, actor: str, note: str) -> Atom | None:
        """Take from a live atom without evidence what its evidence had given it, and return it; None for any other."""
        if atom.status not in LIVE or self._has_evidence(connection, atom.id):
            return None
        if atom.verification_status == UNVERIFIED:
            return atom
        new = self._rewrite_atom(connection, atom, replace(atom, verification_status=UNVERIFIED))
        names = ("verification_status",)
        log(self._audit, "atom", "update", atom, shown(atom, names), shown(new, names), actor=actor, note=note)
        return new
