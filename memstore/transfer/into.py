"""A store on its way in: everything is checked, then one transaction takes it in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..audit import SCHEMA as AUDIT
from ..audit import carrying
from ..audit.erased import were_erased
from ..kernel import Invalid, ReadOnly, Record, record, values
from ..kernel.blocks import Write
from ..kernel.carrying import Erased, Intake
from ..kernel.room import become, ensure
from ..kernel.schema import quote
from . import lines
from .folder import Folder
from .out import known_rooms, present, schema_of

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Row
    from ..store import Store

#: Who takes in a room, in an order in which each finds what it goes by; the log comes last, for it tells of the import.
TAKERS = {
    "chat": "chat.carrying",
    "corrections": "corrections.carrying",
    "backups": "backups.carrying",
    "documents": "documents.carrying",
    "memories": "memories.carrying",
    "knowledge": "knowledge.carrying",
    "conflicts": "conflicts.carrying",
    "vectors": "vectors.carrying",
    "evals": "evals",
    "keywords": "keywords.carrying",
}


@record
class ImportReport(Record):
    """What an import did, by table; `adopted`: the empty store has become the exported one; `audit_seq`: the event that tells of it."""

    path: str
    store_id: str
    adopted: bool
    added: dict[str, int]
    skipped: dict[str, int]
    replaced: dict[str, int]
    erased: dict[str, int]
    audit_seq: int | None
    notes: list[str]


class _Undone(Exception):
    """Everything was done as a trial."""


def import_store(
    store: Store, path: Any, on_conflict: str, actor: str, note: str, dry_run: bool, progress: Callable[[int, int], object] | None
) -> ImportReport:
    """Take an export into a store."""
    values.flag("dry_run", dry_run)
    values.one_of("on_conflict", on_conflict, ("error", "skip", "replace"))
    values.label("actor", actor)
    values.text("note", note)
    values.listener("progress", progress)
    database = store._database
    if database.read_only:
        raise ReadOnly(f"{database.name} was opened with read_only=True")
    if database.in_transaction:
        raise Invalid("import_() is a transaction of its own and cannot run inside transaction(); leave the block first")
    folder = Folder(path, schema_of, None if database.in_memory else database.place)
    folder.progress = progress
    folder.check()
    for schema in known_rooms(store).values():
        ensure(database, schema)
    with suppress(_Undone), Write(database) as connection:
        report = _Import(store, connection, folder, on_conflict).run(actor, note)
        if dry_run:
            report.audit_seq = None  # type: ignore[misc]
            raise _Undone
    return report


class _Import:
    """One import inside its transaction."""

    def __init__(self, store: Store, connection: Connection, folder: Folder, on_conflict: str) -> None:
        self.store = store
        self.connection = connection
        self.folder = folder
        self.manifest = folder.manifest
        self._here = present(connection)
        self._carried = {carried.table: carried for schema in (*folder.schemas.values(), AUDIT) for carried in schema.carried}
        adopted = self.manifest.user_id is None and self._empty()
        self.intake = Intake(connection, "adopt" if adopted else on_conflict, folder.pages, self._erased(), self._sealed, store._canonical)

    def run(self, actor: str, note: str) -> ImportReport:
        """Take in every room."""
        intake, adopted = self.intake, self.intake.mode == "adopt"
        if adopted:
            become(self.store._database, self.connection, self.manifest.store_id)
        for name, taker in TAKERS.items():
            if name in self.manifest.rooms:
                room: Any = getattr(self.store, name)
                with room.db.write():
                    import_module(f"memstore.{taker}").take_in(room, intake)
        with self.store.chat.db.write():
            for step in intake.afterwards:
                step()
        seq = self._take_log(actor, note)
        self.folder.finish()
        intake.forget()
        if intake.added["messages"] or intake.added["keyword_items"] or intake.added["chunks"] or intake.replaced["messages"]:
            self.store._database.after_commit(self.store.keywords.catch_up)
        counts = [+told for told in (intake.added, intake.skipped, intake.replaced, intake.erased)]  # without the zeros
        added, skipped, replaced, erased = map(dict, counts)
        return ImportReport(self.folder.place, self.manifest.store_id, adopted, added, skipped, replaced, erased, seq, self._notes())

    def _take_log(self, actor: str, note: str) -> int | None:
        intake, log = self.intake, self.store.audit
        if intake.mode == "adopt":
            if "audit" in self.manifest.rooms or "audit" in self._here:
                with log.db.write():
                    carrying.adopt(intake, self.manifest.store_id, self.store._audit_key)
            return None
        if not intake.wrote and "audit" not in self.manifest.rooms:
            return None
        with log.db.write():
            return carrying.merge(log, intake, self.manifest.store_id, self.manifest.user_id, actor, note)

    def _sealed(self, table: str, rows: list[Row]) -> list[Row]:
        return lines.sealed(self.connection.cipher, self._carried[table], rows)

    def _empty(self) -> bool:
        """Whether no room holds anything; that a log is to be keyed is said before its first event."""
        schemas = [schema for schema in self._here.values() if schema is not None]
        tables = [carried for schema in schemas for carried in schema.carried if carried.table != "audit_state"]
        return not any(self.connection.rows(f"SELECT 1 FROM {quote(each.table)} WHERE {each.where} LIMIT 1") for each in tables)

    def _erased(self) -> Callable[[Iterable[Erased]], set[Erased]] | None:
        """What tells whether something was erased; None where nothing was."""
        if "audit" not in self._here or self.connection.row("SELECT 1 FROM audit_erased LIMIT 1") is None:
            return None
        return lambda asked: were_erased(self.connection, asked)

    def _notes(self) -> list[str]:
        intake = self.intake
        notes = list(intake.notes)
        rows = intake.erased.total() - intake.erased["audit_log"]
        if rows:
            notes.append(f"{rows:,} row(s) belong to something that was erased here, and were left out")
        if intake.erased["audit_log"]:
            notes.append(f"{intake.erased['audit_log']:,} event(s) name something that was erased here; their content was left out")
        for kind, ids in intake.others.items():
            more = ", with the messages, backups, runs, corrections and keywords there" if kind == "conversation" else ""
            named, one = _named(kind, ids, intake.other_count[kind]), intake.other_count[kind] == 1
            stays = "belongs to another user here, and stays as it is" if one else "belong to another user here, and stay as they are"
            notes.append(f"{named} {stays}: what the export has under {'that id' if one else 'those ids'} was skipped{more}")
        if intake.shifted:
            named = _named("conversation", sorted(intake.shifted), len(intake.shifted))
            notes.append(
                f"messages of {named} could not keep their places, for this store has other messages there: they stand behind those, and"
                " what imported backups of them cover is unknown"
            )
        if self.manifest.excerpt is not None:
            notes.append("the excerpt of the audit log was not taken in: cut out of its chain, an event proves nothing")
        return notes


def _named(kind: str, ids: list[str], count: int) -> str:
    """Some of several things by their ids."""
    more = f" and {count - 3:,} more" if count > 3 else ""
    return f"{kind}{'' if count == 1 else 's'} {', '.join(map(values.shorten, ids[:3]))}{more}"
