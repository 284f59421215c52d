"""What is derived from conflicts, computed anew and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..kernel import Finding, Record, Room, values
from ..kernel.rows import spans
from .slots import claim_hash, hash_of, pair_hash
from .tables import CONFLICTS, MEMBERS

if TYPE_CHECKING:
    from ..kernel import Connection


def differences(connection: Connection) -> Iterator[Finding]:
    """Digests of slots, pairs and claims that are not theirs, a page of rows at a time."""
    for span in spans(connection, CONFLICTS):
        digests = connection.rows("SELECT pk, slot_hash FROM conflicts WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        items = CONFLICTS.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for item, (pk, kept) in zip(items, digests, strict=True):
            if item.kind == "slot" and kept != hash_of(item.slot_key, connection.cipher):
                yield Finding("derived", pk, f"conflict {item.id}: its digest is not that of its slot")
            if item.kind == "contradiction" and item.pair_hash not in _pair(connection, pk):
                yield Finding("derived", pk, f"conflict {item.id}: its digest is not that of its pair")
    for span in spans(connection, MEMBERS):
        digests = connection.rows("SELECT pk, claim_hash FROM conflict_members WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        members = MEMBERS.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for member, (pk, kept) in zip(members, digests, strict=True):
            if kept != claim_hash(member.claim_value, connection.cipher):
                yield Finding("derived", pk, f"member {member.id} of a conflict: its digest is not that of its claim")


def _pair(connection: Connection, pk: int) -> list[str]:
    """The digest of the two members of a contradiction; nothing where they are not two."""
    members = MEMBERS.find(connection, "WHERE conflict = ?", (pk,))
    if len(members) != 2:
        return []
    return [pair_hash(members[0].member_kind, members[0].member_id, members[1].member_id)]


def lonely(connection: Connection) -> Iterator[Finding]:
    """Conflicts without two members."""
    for pk, id, count in connection.rows(
        "SELECT pk, id, (SELECT count(*) FROM conflict_members WHERE conflict = conflicts.pk) AS members FROM conflicts"
        " WHERE members < 2 ORDER BY pk"
    ):
        yield Finding("derived", pk, f"conflict {id} has {count} member(s), and needs two")


def dangling(room: Room, piece: Callable[[str, str], Record | None]) -> Iterator[Finding]:
    """Members of open conflicts that are gone; closed ones are history, which may outlive what it tells of."""
    for pk, conflict, kind, id in room.rows(
        "SELECT m.pk, c.id, m.member_kind, m.member_id FROM conflict_members AS m JOIN conflicts AS c ON c.pk = m.conflict"
        " WHERE c.status = 'open' ORDER BY m.pk"
    ):
        if piece(kind, id) is None:
            yield Finding("dangling", pk, f"conflict {conflict} is about {kind} {values.shorten(id)}, which is not here")
