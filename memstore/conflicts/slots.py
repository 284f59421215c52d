"""Conflicts as they are kept: opened, joined by further members, found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Canonical, Connection, Invalid, NotFound, Recorder, Room, new_id, values
from ..kernel.lifecycle import History
from ..kernel.rows import known, refuse_taken
from .rules import Contest, described, holds, in_force, named
from .tables import CONFLICTS, MEMBERS, TRUST, Conflict, ConflictMember

if TYPE_CHECKING:
    from ..kernel import Cipher
    from ..kernel.table import Reader
    from ..knowledge import KnowledgeStore
    from ..memories import MemoryStore
    from ..memories.beliefs import Piece

WHERE = "store.conflicts.find()"
#: A member as an import gives it, by the names that AtoCore has for its columns.
MEMBER_COLUMNS = ("id", "member_kind", "member_id", "member_layer_trust", "value_snapshot", "claim_kind", "claim_id")
SLOT = "slot_hash = ? AND slot_kind = ? AND project_id IS ? AND user_id IS ? AND kind = 'slot'"
LEFT = ("dismiss", "no_action")  # what leaves the members as they are


class Slots:
    """The part of the conflicts room that knows how a conflict comes into being."""

    def __init__(
        self,
        db: Room,
        audit: Recorder,
        canonical: Canonical,
        history: History,
        piece: Piece,
        memories: Callable[[], MemoryStore],
        knowledge: Callable[[], KnowledgeStore],
    ) -> None:
        self.db = db
        self._audit = audit
        self._canonical = canonical
        self._history = history
        self._piece = piece
        self._memories = memories
        self._knowledge = knowledge

    # -- opening ----------------------------------------------------------------------------------------------------

    def _open_slot(self, connection: Connection, new: Conflict) -> Conflict:
        """The open conflict of a slot with these members; one that is there is joined by those that it does not have."""
        place = place_of(new, connection.cipher)
        there = connection.row(f"SELECT pk, id FROM conflicts WHERE {SLOT} AND status = 'open'", place)
        if there is None or new.status != "open":
            return self._insert(connection, new, place[0])
        self._join(connection, there[0], self._known(connection, there[1]), new.members)
        return self._known(connection, there[1])

    def _insert(self, connection: Connection, new: Conflict, slot_hash: str) -> Conflict:
        refuse_taken(connection, CONFLICTS, "a conflict", new.id, "resolve() closes it")
        pk = CONFLICTS.insert(connection, new, slot_hash=slot_hash)
        for member in new.members:
            MEMBERS.insert(connection, member, conflict=pk)
        return self._known(connection, new.id)

    def _join(self, connection: Connection, pk: int, there: Conflict, members: list[ConflictMember]) -> None:
        """Add the members that a conflict does not have, and let those that it has say what they say now."""
        old = {(member.member_kind, member.member_id): member for member in there.members}
        changed = False
        for member in members:
            before = old.get((member.member_kind, member.member_id))
            if before is None:
                MEMBERS.insert(connection, member, conflict=pk)
            elif replace(member, id=before.id, conflict_id=before.conflict_id) != before:
                shown, value = MEMBERS.sealed(
                    connection, before.id, value_snapshot=member.value_snapshot, claim_value=member.claim_value
                )
                connection.run(
                    "UPDATE conflict_members SET member_layer_trust = ?, value_snapshot = ?, claim_value = ?, claim_kind = ?, claim_id = ?"
                    " WHERE id = ?",
                    (member.member_layer_trust, shown, value, member.claim_kind, member.claim_id, before.id),
                )
            else:
                continue
            changed = True
        if changed:
            connection.run("UPDATE conflicts SET updated_at = ?, version = version + 1 WHERE pk = ?", (self.db.now, pk))

    def _meet(self, contest: Contest) -> Conflict | None:
        """The open conflict of a contested slot; None where a person has left these very claims as they are."""
        sides = {claim.member: claim for claim in contest.claims}
        members = [
            self._member(*claim.member, shown=claim.shown, value=claim.value, by=claim.by) for claim in sides.values()
        ]
        new = self._begun(
            slot_kind=contest.slot_kind, slot_key=contest.slot_key, project_id=contest.project_id, user_id=contest.user_id, members=members
        )
        with self.db.write() as connection:
            there = self._settled(connection, SLOT, place_of(new, connection.cipher), members)
            return None if there is not None and there.status != "open" else self._open_slot(connection, new)

    def _settled(self, connection: Connection, where: str, params: tuple[Any, ...], members: list[ConflictMember]) -> Conflict | None:
        """The conflict that is open, or that a person has left as it is while the members said what they say now."""
        found = CONFLICTS.find(connection, f"WHERE {where} ORDER BY status = 'open' DESC, pk DESC", params)
        for conflict in self._filled(connection, found):
            if conflict.status == "open" or (conflict.resolution in LEFT and covers(conflict, members)):
                return conflict
        return None

    def _begun(self, **columns: Any) -> Conflict:
        """A new conflict; what is not given is as it is when one has just been noticed."""
        now = self.db.now
        usual: dict[str, Any] = dict.fromkeys((
            "project_id", "user_id", "atom_a_id", "atom_b_id", "pair_hash", "winner_kind", "winner_id", "resolution_atom_id",
            "resolved_at", "metadata",
        ))  # fmt: skip
        usual |= {"id": new_id(), "created_at": now, "updated_at": now, "kind": "slot", "slot_kind": "", "slot_key": "", "status": "open"}
        usual |= {"state": "detected", "severity": "medium", "resolution": "", "note": "", "version": 1}
        return Conflict(**{**usual, **columns})

    # -- members ----------------------------------------------------------------------------------------------------

    def _members(self, given: Iterable[object]) -> list[ConflictMember]:
        """Members as a caller names them: pairs of kind and id, or what an import knows of each."""
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise Invalid(f"members must be a list of (kind, id) pairs, not {values.shorten(given)}")
        found = [
            self._imported(f"members[{place}]", member) if isinstance(member, Mapping) else self._active(f"members[{place}]", member)
            for place, member in enumerate(given)
        ]
        members = {(member.member_kind, member.member_id): member for member in found}
        if len(members) < 2:
            raise Invalid(f"a conflict needs two members or more, and {len(members)} was given: one belief alone contradicts nothing")
        return [*members.values()]

    def _active(self, name: str, given: object) -> ConflictMember:
        """A member that must be there and hold."""
        kind, id = named(name, given)
        item = self._piece(kind, id)
        if item is None:
            raise NotFound(f"{name}: there is no {kind} {values.shorten(id)}")
        if not holds(item, self.db.now):
            state = getattr(item, "status", "active")
            why = f"is {state}" if state != "active" else "does not hold any more, or not yet"
            raise Invalid(f"{name}: {kind} {id} {why}; only what is active can be in conflict")
        return self._member(kind, id, shown=described(kind, item))

    def _imported(self, name: str, given: Mapping[str, Any]) -> ConflictMember:
        """A member as it was elsewhere; without a snapshot it is looked up here."""
        for column in given:
            if column not in MEMBER_COLUMNS:
                raise Invalid(f"{name} has {values.shorten(column)}, which is none of {', '.join(MEMBER_COLUMNS)}")
        kind, id = named(name, (given.get("member_kind"), given.get("member_id")))
        lost = (given.get("claim_kind"), given.get("claim_id"))
        by = None if lost[0] is None and lost[1] is None else named(f"claim of {name}", lost)
        if "value_snapshot" in given:
            member = self._member(kind, id, shown=values.text("value_snapshot", given["value_snapshot"]), by=by)
        else:
            member = self._member(kind, id, shown=self._active(name, (kind, id)).value_snapshot, by=by)
        if "id" in given:
            member = replace(member, id=values.key(f"id of {name}", given["id"]))
        if "member_layer_trust" in given:
            member = replace(member, member_layer_trust=values.integer("member_layer_trust", given["member_layer_trust"]))
        return member

    def _member(
        self, kind: str, id: str, *, shown: str, value: str | None = None, by: tuple[str, str] | None = None
    ) -> ConflictMember:
        loser, its_id = (None, None) if by is None or by == (kind, id) else by
        return ConflictMember(new_id(), "", kind, id, TRUST[kind], shown, shown if value is None else value, loser, its_id, None)

    # -- finding ----------------------------------------------------------------------------------------------------

    def _known(self, reader: Reader, id: str) -> Conflict:
        return self._filled(reader, [known(reader, CONFLICTS, "conflict", id, WHERE)])[0]

    def _filled(self, reader: Reader, found: list[Conflict]) -> list[Conflict]:
        """Conflicts with their members, in the order in which they joined."""
        by_id = {conflict.id: conflict for conflict in found}
        clause = "WHERE conflict IN (SELECT pk FROM conflicts WHERE id IN (SELECT value FROM json_each(?))) ORDER BY pk"
        for member in MEMBERS.find(reader, clause, (json.dumps([*by_id]),)):
            by_id[member.conflict_id].members.append(member)
        return found

    def _claims(self, conflict: Conflict) -> dict[tuple[str, str], Any]:
        """The rows that make a conflict's claims, by member, as far as nobody has taken back the one or the other."""
        found = {}
        for member in conflict.members:
            side = (member.member_kind, member.member_id)
            rows = [self._piece(*row) for row in dict.fromkeys((member.claim, side))]
            if all(row is not None and in_force(row) for row in rows):
                found[side] = rows[0]
        return found


def covers(conflict: Conflict, members: list[ConflictMember]) -> bool:
    """Whether a conflict was about all of these claims."""
    said = {(member.member_kind, member.member_id, member.claim_value) for member in conflict.members}
    return all((member.member_kind, member.member_id, member.claim_value) in said for member in members)


def place_of(conflict: Conflict, cipher: Cipher | None) -> tuple[str, str, str | None, str | None]:
    """What SLOT asks for."""
    return hash_of(conflict.slot_key, cipher), conflict.slot_kind, conflict.project_id, conflict.user_id


def hash_of(slot_key: str, cipher: Cipher | None) -> str:
    """Digest of the key of a slot, which may be somebody's words."""
    if cipher is not None:
        return cipher.tag("slot", slot_key)
    return hashlib.sha256(slot_key.encode()).hexdigest()[:32]


def pair_hash(kind: str, one: str, other: str) -> str:
    """Digest of a pair, the same whichever way round."""
    return hashlib.sha256(json.dumps([kind, *sorted((one, other))]).encode()).hexdigest()[:32]
