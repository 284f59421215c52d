"""Another key for a whole store: what `Store.rekey` does, room by room."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .kernel import Invalid, ReadOnly, SchemaTooNew, sealed, values
from .kernel.cipher import PLAIN, working
from .kernel.room import ensure, rooms_in_file
from .kernel.schema import Schema

if TYPE_CHECKING:
    from .store import Store

    Progress = Callable[[int, int], object]


def rekey(store: Store, codec: Any, known: dict[str, Any], *, actor: str, note: str, progress: Progress | None) -> int:
    """Bring everything under another codec; `known` are the rooms of this library."""
    database = store._database
    cipher = database.cipher
    values.label("actor", actor)
    values.text("note", note)
    _refuse(store, codec, progress)
    assert cipher is not None
    schemas = _schemas(store, known)
    tables = sealed.tables(schemas)
    total, done = sealed.count(database, tables), 0
    for rows in sealed.prepare(database, tables, cipher, working(codec)):
        done += rows
        if progress is not None:
            progress(done, max(total, done))
    with store.transaction():
        writer = database.writer
        assert writer is not None
        audited = any(schema.name == "audit" for schema in schemas)
        if audited:
            writer.run("INSERT INTO audit_permit(reason) VALUES ('rekey')")
        changed = sealed.put(writer, tables, cipher, codec)
        if audited:
            writer.run("DELETE FROM audit_permit")
        cipher.turn(codec)
        store.audit.append("store.rekey", entity_kind="store", details={"values": changed}, actor=actor, note=note)
        database.wal.owe(writer, vacuum=True)
    return changed


def _refuse(store: Store, codec: Any, progress: Progress | None) -> None:
    values.listener("progress", progress)
    if store.read_only:
        raise ReadOnly(f"{store._database.name} was opened with read_only=True")
    if store._database.in_transaction:
        raise Invalid("rekey() cannot run inside transaction(); leave the block first")
    if store._database.cipher is None:
        raise Invalid(f"{store._database.name} is not encrypted, so there is no codec to replace; {PLAIN}")
    if codec is None:
        raise Invalid("rekey() needs a codec; to have the store unencrypted, export it, and import that into a new one without codec=")


def _schemas(store: Store, known: dict[str, Any]) -> list[Schema]:
    """The schemas of the file's rooms, each brought up to what this library has."""
    found = rooms_in_file(store._database)
    unknown = [name for name in found if name not in known]
    if unknown:
        raise SchemaTooNew(f"{', '.join(unknown)} was made by a newer memstore, and may hold what is encrypted: upgrade memstore")
    schemas: list[Schema] = [import_module(f"memstore.{name}").SCHEMA for name in found]
    for schema in schemas:
        ensure(store._database, schema)
    return schemas
