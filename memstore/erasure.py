"""Erasing a user, a conversation, a project, a message, a memory or a document from every room of a file at once.

1. One transaction over all rooms that the file has, each through its own Store; a room that this memstore does not know forbids it,
   for nobody could tell what it holds. The audit log comes last: it empties the events that name what the others have removed.
2. Gone means from the bytes. After COMMIT the file is written anew and the log emptied while the store stays open; what a crash or
   somebody else's reader or write delays is owed, and the receipt, `check` and `stats` say so.
3. Whatever stays, the receipt names with the reason.

The trap: the rolled back transaction of a dry run must tell what a real one would, so both are the same code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .kernel import Connection, Corrupt, Invalid, NotFound, Record, SchemaTooNew, record, sealed, upkeep, values
from .kernel.blocks import Write
from .kernel.carrying import Shape, shapes
from .kernel.room import ensure, rooms_in_file
from .kernel.schema import Carried, Schema, quote
from .kernel.subject import Subject

if TYPE_CHECKING:
    from .store import Store

OUT_OF_REACH = (
    "earlier snapshots, exports, files that imports came from and other copies are out of reach: delete them, or make new ones"
)
COUNTED = {"audit_log": "body", "audit_imported": "body"}  # columns in which the log itself has looked
NEAREST = {  # by kind the room that holds such things, and their ids
    "conversation": ("chat", "SELECT id FROM conversations ORDER BY pk DESC LIMIT 1000"),
    "project": ("chat", "SELECT id FROM projects UNION SELECT name FROM projects UNION SELECT alias FROM project_aliases LIMIT 1000"),
    "message": ("chat", "SELECT id FROM messages WHERE supplied = 1 ORDER BY pk DESC LIMIT 1000"),
    "memory": ("memories", "SELECT id FROM memories ORDER BY pk DESC LIMIT 1000"),
    "document": ("documents", "SELECT id FROM documents ORDER BY pk DESC LIMIT 1000"),
}
UNWRITTEN = ("message", "memory", "document")  # kinds whose ids people do not write into texts


@record
class EraseReceipt(Record):
    """What an erasure did: rows a table, the audit event that says so, and whether every byte is gone by now.

    `kept` says what stays and why, `forks` are conversations that hold copies of what was erased. Without anything to erase, and
    after a dry run, there is no event.
    """

    counts: dict[str, int]
    audit_seq: int | None
    erased_at: float
    subject_digest: str
    scrubbed: bool
    kept: list[str]
    forks: list[str]
    out_of_reach: str
    dry_run: bool


class _Undone(Exception):
    """Rolls a transaction back that was to show something, or had nothing to do."""


def subject_of(given: Mapping[str, Any]) -> Subject:
    """The one subject among the arguments of a call."""
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        which = f"not {' and '.join(named)}" if named else "none was"
        raise Invalid(f"give exactly one of {', '.join(given)}: {which} given")
    ((name, value),) = named.items()
    kind = name.removesuffix("_id")
    id = values.key(name, value)
    return Subject(kind, id, conversations=[id] if kind == "conversation" else [])


def erase(store: Store, subject: Subject, *, reason: str, actor: str, dry_run: bool) -> EraseReceipt:
    """Do what `Store.erase` promises."""
    asked = subject.id
    _refuse_to_repeat([asked], reason=values.text("reason", reason), actor=values.label("actor", actor))
    database = store._database
    for name in known_rooms(store):
        ensure(database, import_module(f"memstore.{name}").SCHEMA)
    now, done = database.now, None
    try:
        with Write(database) as connection:
            now = database.now
            done = _erase_everywhere(store, connection, subject, reason, actor)
            if done is None and subject.kind != "user":
                raise _not_found(connection, subject.kind, asked)
            _look_for_mentions(store, connection, subject)
            if done is None or dry_run:
                raise _Undone
            upkeep.forget_samples(connection)
            sealed.forget_copies(connection)
            database.wal.owe(connection, vacuum=True)
    except _Undone:
        pass
    seq, digest = (None, b"") if done is None else done
    written = seq is not None and not dry_run
    scrubbed = not dry_run and not database.in_transaction and not upkeep.owes(database)
    return EraseReceipt(
        subject.counts, seq if written else None, now, digest.hex(), scrubbed, subject.kept, subject.forks, OUT_OF_REACH, dry_run
    )


def known_rooms(store: Store) -> list[str]:
    """The rooms of the file, all of them known."""
    from .store import ROOMS

    present = rooms_in_file(store._database)
    unknown = sorted(map(str, set(present) - set(ROOMS)))
    if unknown:
        raise SchemaTooNew(f"{store.path} has rooms of a newer memstore ({', '.join(unknown)}): upgrade memstore; nothing was touched")
    return [name for name in ROOMS if name in present]


def _erase_everywhere(store: Store, connection: Connection, subject: Subject, reason: str, actor: str) -> tuple[int, bytes] | None:
    for name in known_rooms(store):
        if name != "audit":
            room: Any = getattr(store, name)
            room.erase(connection, subject)
            _refuse_damaged(subject)
    if "memories" in rooms_in_file(store._database):
        store.memories.forget(connection, subject)  # interactions name things of every room
    _refuse_to_repeat([subject.id, *subject.names], reason=reason, actor=actor)  # a project is known by its other names only now
    with store.audit.db.write():  # the file may have no log yet
        return store.audit.erase(connection, subject, reason=reason, actor=actor)


def _refuse_damaged(subject: Subject) -> None:
    """What went is looked for in other rooms by its id, to which a damaged page can give any type."""
    for kind, id in subject.gone:
        if type(id) is not str:
            raise Corrupt(f"the id of a {kind} is damaged, it is {values.shorten(id)}; check() lists what else is; nothing was erased")


def _look_for_mentions(store: Store, connection: Connection, subject: Subject) -> None:
    """Say which texts and labels of others hold the id."""
    if not subject.distinct:
        return
    for name in known_rooms(store):
        schema: Schema = import_module(f"memstore.{name}").SCHEMA
        for carried in schema.carried:
            if subject.kind not in UNWRITTEN:  # all texts would be decrypted
                found = sealed.mentions(connection, carried, subject.id)
                subject.keep(found, f"rows of {carried.table} with the id inside a text", "kept, since the text is about something else")
            labelled = _labelled(connection, carried, shapes(schema)[carried.table], subject.id)
            why = "kept, since it belongs to something else"
            subject.keep(labelled, f"rows of {carried.table} with the id inside an id or a label", why)


def _labelled(connection: Connection, carried: Carried, shape: Shape, id: str) -> int:
    """How many rows of a table hold the id in a column that is never encrypted, as it is or as JSON has it."""
    apart = {*carried.sealed, *carried.documents, COUNTED.get(carried.table)}
    columns = [name for name, types in shape.types.items() if str in types and bytes not in types and name not in apart]
    if not columns:
        return 0
    forms = {id, json.dumps(id, ensure_ascii=False)[1:-1]}
    where = " OR ".join(f"instr({quote(name)}, ?) > 0" for name in columns for _ in forms)
    return int(connection.value(f"SELECT count(*) FROM {quote(carried.table)} WHERE {where}", [*forms] * len(columns)))


def _refuse_to_repeat(ids: Iterable[str], **said: str) -> None:
    """Refuse texts that would bring a name back, into the one event that stays."""
    for name, text in said.items():
        if any(re.search(rf"(?<!\w){re.escape(id)}(?!\w)", text) for id in ids):
            raise Invalid(f"{name} {values.shorten(text)} names what is to be erased, and the event that reports it stays: say it without")


def _not_found(connection: Connection, kind: str, id: str) -> NotFound:
    room, sql = NEAREST[kind]
    near = ""
    if connection.value("SELECT 1 FROM schema_version WHERE room = ?", (room,)) is not None:
        near = values.suggest(id, [row[0] for row in connection.rows(sql)])
    return NotFound(f"no room holds anything of a {kind} {values.shorten(id)}{near}; nothing was erased")
