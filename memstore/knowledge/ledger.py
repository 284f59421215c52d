"""What connects atoms: their claims, links, mentions of entities, and the record of what was merged.

1. A claim, link or mention that is there already is returned as it is.
2. A merge operation is recorded once and never changed, which a trigger sees to. What it did not apply (pending, rejected) is
   decided by another one.
3. What took the place of atoms gets copies of their evidence, claims and mentions: a superseded atom keeps what it stood on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, Record, values
from ..kernel.lifecycle import log, retire, shown
from ..kernel.rows import arrived, filled, filters, newest
from .atoms import Atoms
from .ledger_checks import CLAIM, EVIDENCE, LINK, MENTION, MERGE, span
from .ledger_tables import OF_ATOM, Atom, AtomClaim, AtomLink, Mention, MergeKind, MergeOperation, ReviewStatus
from .schema import ATOMS, CLAIMS, LINKS, MENTIONS, MERGES, PROOFS

if TYPE_CHECKING:
    from datetime import datetime

    from ..kernel import Connection

IN_PROJECT = "? = (SELECT a.project_id FROM atoms AS a WHERE a.id = COALESCE(into_id, json_extract(atom_ids, '$[0]')))"
AT_ATOM = "pk IN (SELECT l.pk FROM atoms AS a JOIN links AS l ON l.from_atom = a.pk OR l.to_atom = a.pk WHERE a.id = ?)"


class Ledger(Atoms):
    """The part of the knowledge room that deals with atoms and what connects them."""

    # -- claims -----------------------------------------------------------------------------------------------------

    def add_claim(
        self,
        atom_id: str,
        subject: str,
        predicate: str,
        *,
        domain: str = "",
        strength: str = "",
        claim_confidence: float = 1.0,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> AtomClaim:
        """Store what an atom asserts of a subject and return it; the same claim of the same atom is returned as it is."""
        columns = values.checked(
            CLAIM,
            {"id": id, "created_at": created_at, "subject": subject, "predicate": predicate, "domain": domain,
             "strength": strength, "claim_confidence": claim_confidence},
        )  # fmt: skip
        with self.db.write() as connection:
            return self._add_claim(connection, self._atom(connection, values.key("atom_id", atom_id)).id, columns)

    def _add_claim(self, connection: Connection, atom_id: str, columns: dict[str, Any]) -> AtomClaim:
        atom = self._atom_key(connection, atom_id)
        subject, predicate = self._key(columns["subject"]), self._key(columns["predicate"])
        twin = CLAIMS.first(
            connection,
            "WHERE atom = ? AND subject_key = ? AND predicate_key = ? AND domain = ? AND strength = ?",
            (atom, subject, predicate, columns["domain"], columns["strength"]),
        )
        if twin is not None:
            return twin
        new = AtomClaim(**filled(connection, CLAIMS, "a claim", columns, self.db.now), atom_id=atom_id)
        CLAIMS.insert(connection, new, atom=atom, subject_key=subject, predicate_key=predicate)
        return new

    def claims(self, atom_id: str | None = None, *, subject: str | None = None, limit: int | None = None) -> list[AtomClaim]:
        """Return claims in order of arrival, oldest first; `subject` is compared without case and spaces."""
        key = None if subject is None else self._key(values.text("subject", subject, blank=False))
        terms = filters((OF_ATOM, values.optional(values.key, "atom_id", atom_id)), ("subject_key = ?", key))
        return arrived(self.db, CLAIMS, terms, limit)

    # -- links ------------------------------------------------------------------------------------------------------

    def link(
        self,
        from_atom_id: str,
        relation_type: str,
        to_atom_id: str,
        *,
        weight: float = 1.0,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> AtomLink:
        """Store how one atom bears on another and return it; the same relation of the same two is returned as it is.

        `relation_type` is an open word.
        """
        columns = values.checked(LINK, {"id": id, "created_at": created_at, "relation_type": relation_type, "weight": weight})
        ends = values.key("from_atom_id", from_atom_id), values.key("to_atom_id", to_atom_id)
        if ends[0] == ends[1]:
            raise Invalid(f"from_atom_id and to_atom_id are both {values.shorten(ends[0])}; an atom has no link to itself")
        with self.db.write() as connection:
            first, second = (self._atom_key(connection, self._atom(connection, end).id) for end in ends)
            there = (first, second, columns["relation_type"])
            twin = LINKS.first(connection, "WHERE from_atom = ? AND to_atom = ? AND relation_type = ?", there)
            if twin is not None:
                return twin
            new = AtomLink(**filled(connection, LINKS, "a link", columns, self.db.now), from_atom_id=ends[0], to_atom_id=ends[1])
            LINKS.insert(connection, new, from_atom=first, to_atom=second)
            return new

    def links(self, atom_id: str | None = None, *, relation_type: str | None = None, limit: int | None = None) -> list[AtomLink]:
        """Return the links from and to an atom, or all of them, in order of arrival, oldest first."""
        terms = filters(
            (AT_ATOM, values.optional(values.key, "atom_id", atom_id)),
            ("relation_type = ?", values.optional(values.key, "relation_type", relation_type)),
        )
        return arrived(self.db, LINKS, terms, limit)

    # -- mentions ---------------------------------------------------------------------------------------------------

    def mention(
        self,
        entity_id: str,
        atom_id: str,
        *,
        chunk_id: str | None = None,
        anchor_start: int | None = None,
        anchor_end: int | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Mention:
        """Store that an atom names an entity, and where, and return it; the same place again is returned as it is."""
        columns = span(
            values.checked(
                MENTION,
                {"id": id, "created_at": created_at, "entity_id": entity_id, "chunk_id": chunk_id, "anchor_start": anchor_start,
                 "anchor_end": anchor_end},
            )
        )  # fmt: skip
        with self.db.write() as connection:
            if connection.value("SELECT 1 FROM entities WHERE id = ?", (columns["entity_id"],)) is None:
                raise NotFound(f"no entity {values.shorten(columns['entity_id'])}; store.knowledge.entities() lists them")
            return self._add_mention(connection, self._atom(connection, values.key("atom_id", atom_id)).id, columns)

    def _add_mention(self, connection: Connection, atom_id: str, columns: dict[str, Any]) -> Mention:
        atom = self._atom_key(connection, atom_id)
        twin = MENTIONS.first(
            connection,
            "WHERE atom = ? AND entity_id = ? AND chunk_id IS ? AND anchor_start IS ? AND anchor_end IS ?",
            (atom, *(columns[name] for name in ("entity_id", "chunk_id", "anchor_start", "anchor_end"))),
        )
        if twin is not None:
            return twin
        new = Mention(**filled(connection, MENTIONS, "a mention", columns, self.db.now), atom_id=atom_id)
        MENTIONS.insert(connection, new, atom=atom)
        return new

    def mentions(
        self, *, entity_id: str | None = None, atom_id: str | None = None, limit: int | None = None
    ) -> list[Mention]:
        """Return mentions in order of arrival, oldest first."""
        terms = filters(
            (OF_ATOM, values.optional(values.key, "atom_id", atom_id)),
            ("entity_id = ?", values.optional(values.key, "entity_id", entity_id)),
        )
        return arrived(self.db, MENTIONS, terms, limit)

    # -- merges -----------------------------------------------------------------------------------------------------

    def merge_atoms(
        self,
        ids: Iterable[str],
        into: str | None = None,
        *,
        operation: MergeKind = "merge",
        review_status: ReviewStatus = "approved",
        reviewed_by: str = "",
        id: str | None = None,
        created_at: float | datetime | None = None,
        actor: str = "",
        note: str = "",
    ) -> MergeOperation:
        """Record what becomes of active atoms, do it if it is approved, and return the record.

        "merge": `into` says the same, and gets copies of what hangs on them and the largest confidence; all must be of one project
        and user. "supersede": `into` holds in their place. "obsolete": nothing takes their place, and `into` is None. They are
        superseded all the same. What was recorded before, in whatever order of ids, is returned as it is.
        """
        columns = values.checked(
            MERGE,
            {"id": id, "created_at": created_at, "operation": operation, "review_status": review_status,
             "reviewed_by": reviewed_by},
        )  # fmt: skip
        into = values.optional(values.key, "into", into)
        chosen = sorted({values.key("ids", item) for item in values.strings("ids", ids)} - {into})
        if not chosen:
            raise Invalid("ids names no atom beside into; name those that it takes the place of")
        if (into is None) != (columns["operation"] == "obsolete"):
            raise Invalid(f"into is {values.shorten(into)}: an obsolete operation has none, merge and supersede need one")
        with self.db.write() as connection:
            said = (values.to_json("ids", chosen), into, columns["operation"], columns["review_status"])
            known = MERGES.first(connection, "WHERE atom_ids = ? AND into_id IS ? AND operation = ? AND review_status = ?", said)
            if known is not None:
                return known
            sources = [self._atom(connection, item) for item in chosen]
            winner = None if into is None else self._winning_atom(connection, "into", into)
            new = MergeOperation(**filled(connection, MERGES, "a merge", columns, self.db.now), atom_ids=chosen, into_id=into)
            MERGES.insert(connection, new)
            self._apply_merge(connection, new, sources, winner, actor, note)
            return new

    def _apply_merge(
        self, connection: Connection, new: MergeOperation, sources: list[Atom], winner: Atom | None, actor: str, note: str
    ) -> None:
        """Do what an approved operation says, and log any."""
        before: dict[str, Any] = {"status": {old.id: old.status for old in sources}}
        after = before
        if new.review_status == "approved":
            for old in sources:
                if old.status != "active":
                    raise Invalid(f"ids must be active atoms, and {values.shorten(old.id)} is {old.status}")
                retire(connection, ATOMS, old, new.into_id, self.db.now)
            after = {"status": {old.id: "superseded" for old in sources}}
            if winner is not None and new.operation == "merge":
                merged = self._absorb_atoms(connection, sources, winner)
                if merged.confidence != winner.confidence:
                    before, after = {**before, "confidence": winner.confidence}, {**after, "confidence": merged.confidence}
        details = {"merge": new.id, "operation": new.operation, "review_status": new.review_status, "atom_ids": new.atom_ids}
        owner = sources[0] if winner is None else winner
        log(self._audit, "atom", "merge", owner, before, after, actor=actor, note=note, details=details)

    def _absorb_atoms(self, connection: Connection, sources: list[Atom], winner: Atom) -> Atom:
        """Give an atom what others stand on."""
        for old in sources:
            if (old.project_id, old.user_id) != (winner.project_id, winner.user_id):
                raise Invalid(f"ids: {values.shorten(old.id)} is of another project or user than {values.shorten(winner.id)}; supersede it")
            self._copy_hanging(connection, old, winner)
        confidence = max(winner.confidence, *(old.confidence for old in sources))
        if confidence == winner.confidence:
            return winner
        return self._rewrite_atom(connection, winner, replace(winner, confidence=confidence))

    def _copy_hanging(self, connection: Connection, old: Atom, new: Atom) -> None:
        """Copy what an atom stands on, claims and mentions to another one."""
        hanging = "WHERE atom = ? ORDER BY pk", (self._atom_key(connection, old.id),)
        for piece in PROOFS.find(connection, *hanging):
            if not piece.stale:
                self._support_atom(connection, new.id, _copied(piece, EVIDENCE))
        for claim in CLAIMS.find(connection, *hanging):
            self._add_claim(connection, new.id, _copied(claim, CLAIM))
        for mention in MENTIONS.find(connection, *hanging):
            self._add_mention(connection, new.id, _copied(mention, MENTION))

    def merges(
        self, *, atom_id: str | None = None, project: str | None = None, limit: int | None = None, before: str | None = None
    ) -> list[MergeOperation]:
        """Return merge operations, newest first by arrival; `project` is that of the atoms."""
        limit = values.limit(limit)
        terms = filters(
            ("? IN (SELECT value FROM json_each(atom_ids) UNION ALL SELECT into_id)", values.optional(values.key, "atom_id", atom_id)),
            (IN_PROJECT, self._canonical(values.optional(values.key, "project", project))),
        )
        with self.db.read(snapshot=True) as connection:
            return newest(connection, MERGES, "merge operation", terms, limit, before, "store.knowledge.merges()")

    # -- what hangs on an atom --------------------------------------------------------------------------------------

    def _atom_key(self, connection: Connection, id: str) -> int:
        """The integer key of an atom that there is."""
        return int(connection.value("SELECT pk FROM atoms WHERE id = ?", (id,)))


def _copied(item: Record, names: Iterable[str]) -> dict[str, Any]:
    """The columns of a row for a row of its own."""
    return {**shown(item, names), "id": None}
