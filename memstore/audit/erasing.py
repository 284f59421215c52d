"""Which events name what is erased, in this store's log and in those that came with imports.

1. An event names it by a reference (as actor, user, token, session, conversation, trace or entity) or by a string of its payload.
   For a project the body counts too, which says in which project an event was. Where something that stays has the same id (a
   conversation "7" beside a user "7"), a reference of that kind is taken to mean the other. An id that could be any word or number
   counts only where it is said whose it is: as the entity of a fitting kind, as the user, as the member `user_id` of a payload.
2. All events are read, though `audit_places` would lead to the references: payloads are indexed by nothing, and one reading finds both.
3. What names it loses its references and its payload. A body is hashed as it lies, so what it holds can only be named as kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..kernel import values
from ..kernel.rows import AMONG
from ..kernel.subject import Subject, distinct
from .chain import members
from .erased import own_salt, remember, subject_digest
from .events import REFERENCES, quoted
from .histories import redaction_member
from .payloads import unsealed

if TYPE_CHECKING:
    from ..kernel import Connection

PAGE = 2048
OWN = """
    SELECT seq, CAST(body AS BLOB), CAST(refs AS BLOB), CAST(payload AS BLOB)
    FROM audit_log
    WHERE seq > ? AND ? IS NULL
    ORDER BY seq
    LIMIT ?
"""
IMPORTED = """
    SELECT seq, CAST(body AS BLOB), CAST(refs AS BLOB), CAST(payload AS BLOB)
    FROM audit_imported
    WHERE seq > ? AND history = ?
    ORDER BY seq
    LIMIT ?
"""
EMPTY = f"UPDATE audit_log SET refs = '', payload = NULL WHERE seq {AMONG}"
EMPTY_IMPORTED = f"UPDATE audit_imported SET refs = '', payload = NULL WHERE history = ? AND seq {AMONG}"
TOGETHER = "SELECT seq, CAST(refs AS BLOB) FROM audit_log WHERE seq BETWEEN ? AND ? AND refs > ''"
FORGET = "DELETE FROM audit_places WHERE reference = ? AND page = ?"
REFERENCE_START = 42  # of the first reference in refs, behind the salt
REMEMBERED = (  # beside the subject itself
    "conversation", "project", "session", "correction", "memory", "interaction", "project_state", "atom", "artifact",
    "knowledge_state", "knowledge_delta", "entity", "relationship", "observation", "conflict", "document", "chunk",
)  # fmt: skip

#: References, and members of a payload, that name a thing of a kind whatever its id is.
SAYING = {
    "user": ("user_id", "actor", "token_id"),
    "conversation": ("conversation_id", "session_id"),
    "session": ("conversation_id", "session_id"),
    "project": ("project", "project_id"),
    "message": ("message_id",),
    "memory": ("memory_id",),
    "document": ("document_id",),
    "entity": ("entity_id", "from_id", "to_id"),
}

_TEXT = rb'"(?:[^"\\]|\\.)*"'
_STRING = re.compile(_TEXT)
_MEMBER = re.compile(_TEXT + b"(?::" + _TEXT + b")?")  # or a lone string, so that a match never begins inside of one


class Events(NamedTuple):
    """Events to be emptied, and how many keep something in their body."""

    emptied: list[int]
    keeping: int


class Names:
    """What stands in an event that names the subject, as bytes that lie there."""

    def __init__(self, subject: Subject) -> None:
        owners = {*subject.conversations, *subject.sessions}
        places = {(name, id) for name in SAYING["conversation"] for id in owners}
        if subject.kind == "user":
            places |= {(name, subject.id) for name in SAYING["user"]}
        if subject.distinct:
            others = {*subject.others, *(["entity"] if subject.others else [])}  # of an entity the kind decides then
            places |= {(name, subject.id) for name in REFERENCES if name.removesuffix("_id") not in others}
        self.references = {_member(name, id) for name, id in places}
        self.entities: dict[bytes, set[bytes]] = {}
        for kind, id in [(subject.kind, subject.id), *subject.gone]:
            kinds = self.entities.setdefault(_member("entity_id", id), set())
            kinds.add(_member("entity_kind", kind))
            if kind == "message":
                kinds.add(_member("entity_kind", "keyword"))
        projects = {id for kind, id in subject.gone if kind == "project"}
        named = {(subject.kind, subject.id), *(("session", id) for id in owners)}
        named |= {thing for thing in subject.gone if thing[0] in ("project", "document")}
        self.strings = {quoted(id).encode() for _, id in named if distinct(id)}
        self.members = {_member(name, id)[1:] for kind, id in named if not distinct(id) for name in SAYING[kind]}
        # What was said of an entity may have been pruned, and then only its event tells of which one it was said.
        self.members |= {_member(name, id)[1:] for kind, id in subject.gone if kind == "entity" for name in SAYING[kind]}
        self.bodies = [_member("project", id) for id in (subject.id, *subject.names)] if subject.kind == "project" else []
        self.visible = [quoted(id).encode() for id in {subject.id, *subject.names, *projects}]

    def are_in(self, body: bytes, refs: bytes, payload: bytes | None) -> bool:
        """Whether an event names it."""
        for member in _members(refs):
            if member in self.references or (member in self.entities and self._fits(body, self.entities[member])):
                return True
        if payload is not None and self._are_told(payload):
            return True
        return any(member in body for member in self.bodies)

    def _are_told(self, payload: bytes) -> bool:
        """Whether a string of a payload, or a member that says of what kind the id is, names it."""
        return (bool(self.strings) and not self.strings.isdisjoint(_STRING.findall(payload))) or (
            bool(self.members) and not self.members.isdisjoint(_MEMBER.findall(payload))
        )

    def _fits(self, body: bytes, kinds: set[bytes]) -> bool:
        """Whether an id in an event is that of a thing of one of these kinds, or of nothing in particular."""
        return any(kind in body for kind in kinds) or b',"entity_kind":"' not in body


def naming(connection: Connection, names: Names, history: int | None = None) -> Events:
    """Read a log, ours or an imported one, and tell which events name the subject."""
    emptied: list[int] = []
    keeping = 0
    cipher = connection.cipher
    for seq, body, refs, stored in _all(connection, history):
        payload = stored if cipher is None or stored is None else unsealed(cipher, stored, seq, history).encode()
        keeping += any(name in body for name in names.visible)
        if refs and names.are_in(body, refs, payload):
            emptied.append(seq)
    return Events(emptied, keeping)


def forget_places(connection: Connection, found: Events) -> None:
    """Before events of our log are emptied: take out of the index what leads to them alone."""
    going = set(found.emptied)
    for page in sorted({seq >> 6 for seq in going}):
        gone: set[bytes] = set()
        left: set[bytes] = set()
        for seq, refs in connection.rows(TOGETHER, (page << 6, (page << 6) + 63)):
            (gone if seq in going else left).update(_members(refs))
        connection.many(FORGET, [(member.decode(errors="replace"), page) for member in gone - left])


def histories(connection: Connection) -> list[tuple[int, str]]:
    """Key and store of each imported log."""
    return connection.rows("SELECT pk, store_id FROM audit_histories ORDER BY pk")


def claims(own: Events, imported: Mapping[str, Events]) -> str:
    """What the body of the event says of those that were emptied."""
    said = f',"redacts":{json.dumps([*own.emptied], separators=(",", ":"))}' if own.emptied else ""
    return said + redaction_member({store_id: found.emptied for store_id, found in imported.items() if found.emptied})


def remember_all(connection: Connection, subject: Subject) -> bytes:
    """Write down what no import may bring back, and return the digest of the subject itself."""
    salt = own_salt(connection)
    names = ((subject.kind, name) for name in (subject.id, *subject.names))
    remember(connection, salt, [*names, *(thing for thing in subject.gone if thing[0] in REMEMBERED)])
    return subject_digest(salt, subject.kind, subject.id)


def _all(connection: Connection, history: int | None) -> Iterator[tuple[int, bytes, bytes | None, bytes | None]]:
    last = -1
    while rows := connection.rows(OWN if history is None else IMPORTED, (last, history, PAGE)):
        yield from rows
        last = values.onward(last, rows[-1][0])


def _members(refs: bytes) -> list[bytes]:
    return [member.encode() for member in members(refs[REFERENCE_START:-1].decode(errors="replace"))]


def _member(name: str, value: str) -> bytes:
    return f',"{name}":{quoted(value)}'.encode()
