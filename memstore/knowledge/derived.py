"""What is derived from entities, observations and the ledger, computed anew and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..kernel import Finding, Record, Table, values
from ..kernel.rows import Span, spans
from ..kernel.words import key_of
from . import names
from .atoms import UNVERIFIED
from .graph_tables import KINDS, Entity
from .ledger_tables import KEYS
from .schema import ATOMS, CLAIMS, ENTITIES, OBSERVATIONS, PROOFS, VERSIONS

if TYPE_CHECKING:
    from ..kernel import Connection

UNSUPPORTED = """
    SELECT pk, id, verification_status FROM atoms AS a
    WHERE verification_status <> ? AND (status = 'active' OR status = 'candidate')
      AND NOT EXISTS (SELECT 1 FROM evidence AS e WHERE e.atom = a.pk AND e.stale = 0)
    ORDER BY pk
"""
UNKNOWN = """
    SELECT pk, id, superseded_by FROM atoms AS a
    WHERE superseded_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM atoms AS b WHERE b.id = a.superseded_by)
    ORDER BY pk
"""
NAMELESS = """
    SELECT pk, id, entity_id FROM mentions AS m WHERE NOT EXISTS (SELECT 1 FROM entities AS e WHERE e.id = m.entity_id) ORDER BY pk
"""


def renew(connection: Connection, pks: Sequence[int]) -> None:
    """Write the names of entities anew."""
    for pk in pks:
        connection.run("DELETE FROM entity_names WHERE entity = ?", (pk,))
        connection.run("DELETE FROM entity_words WHERE entity = ?", (pk,))
        for state in _states(connection, (pk, pk)).get(pk, []):
            names.post(connection, pk, state)


def _states(connection: Connection, span: Span) -> dict[int, list[Entity]]:
    """All states of entities by their keys, the oldest first."""
    versions = "SELECT entity FROM entity_versions WHERE entity BETWEEN ? AND ? ORDER BY entity, version"
    keys = [pk for (pk,) in connection.rows(versions, span)]
    found: dict[int, list[Entity]] = {}
    for pk, state in zip(keys, VERSIONS.find(connection, "WHERE entity BETWEEN ? AND ? ORDER BY entity, version", span), strict=True):
        found.setdefault(pk, []).append(state)
    keys = [pk for (pk,) in connection.rows("SELECT pk FROM entities WHERE pk BETWEEN ? AND ? ORDER BY pk", span)]
    for pk, state in zip(keys, ENTITIES.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span), strict=True):
        found.setdefault(pk, []).append(state)
    return found


def differences(connection: Connection) -> Iterator[Finding]:
    """Keys, names and words that are not those of their rows, a page of rows at a time."""
    yield from _wrong_keys(connection, ENTITIES)
    yield from _wrong_keys(connection, VERSIONS)
    for span in spans(connection, ENTITIES):
        yield from _wrong_names(connection, span)
    for span in spans(connection, OBSERVATIONS):
        keys = connection.rows("SELECT pk, content_key FROM observations WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for (pk, key), item in zip(keys, OBSERVATIONS.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span), strict=True):
            if key != key_of(item.content, connection.cipher):
                yield Finding("derived", pk, f"observation {item.id}: its key is not that of its content")


def _wrong_keys(connection: Connection, table: Table[Entity]) -> Iterator[Finding]:
    for span in spans(connection, table):
        keys = connection.rows(f"SELECT pk, name_key, type_key FROM {table.name} WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for (pk, *found), item in zip(keys, table.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span), strict=True):
            if found != [key_of(item.canonical_name, connection.cipher), item.type.casefold()]:
                yield Finding("derived", pk, f"entity {item.id} at version {item.version}: its keys are not those of its name and type")


def _wrong_names(connection: Connection, span: Span) -> Iterator[Finding]:
    cipher = connection.cipher
    kept = [
        _grouped(connection, f"SELECT entity, {column} FROM {table} WHERE entity BETWEEN ? AND ?", span)
        for table, column in (("entity_names", "name_key"), ("entity_words", "word"))
    ]
    for pk, states in _states(connection, span).items():
        now = states[-1]
        called = {key for state in states for key in names.name_keys(state, cipher)}
        pieces = {key for state in states for key in names.word_keys([state.canonical_name, *state.aliases], cipher)}
        if [found.get(pk, set()) for found in kept] != [called, pieces]:
            yield Finding("derived", pk, f"entity {now.id}: entity_names and entity_words are not those of its names")
        if any(older.updated_at > newer.updated_at or older.version >= newer.version for older, newer in pairwise(states)):
            yield Finding("versions", pk, f"entity {now.id}: its versions and times do not follow one another")


def _grouped(connection: Connection, sql: str, span: Span) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for pk, key in connection.rows(sql, span):
        found.setdefault(pk, set()).add(key)
    return found


def dangling(connection: Connection, memory: Callable[[str], Record | None]) -> Iterator[Finding]:
    """References to memories and entities that are gone, and relationships of a kind that nobody registered."""
    for pk, id, reference in connection.rows(
        "SELECT pk, entities.id, each.value FROM entities JOIN json_each(source_refs) AS each"
        " WHERE each.value LIKE 'memory:%' ORDER BY pk, each.key"
    ):
        name = reference.partition(":")[2]
        if memory(name) is None:
            yield Finding("dangling", pk, f"entity {id} comes from memory {values.shorten(name)}, which is not here")
    for pk, id, by in connection.rows(
        "SELECT pk, id, superseded_by FROM entities WHERE superseded_by IS NOT NULL"
        " AND superseded_by NOT IN (SELECT id FROM entities) ORDER BY pk"
    ):
        yield Finding("dangling", pk, f"entity {id} was superseded by entity {values.shorten(by)}, which is not here")
    registered = {kind for (kind,) in connection.rows("SELECT kind FROM relationship_kinds")}
    for kind, pk in connection.rows("SELECT kind, min(pk) FROM relationships GROUP BY kind ORDER BY kind"):
        if kind not in KINDS and kind not in registered:
            yield Finding("kind", pk, f"relationships have the kind {values.shorten(kind)}, which is not registered")


# -- the ledger ---------------------------------------------------------------------------------------------------------


def ledger_differences(connection: Connection) -> Iterator[Finding]:
    """Keys that are not those of their texts, and atoms that rest on what is not there."""
    for table in (ATOMS, PROOFS, CLAIMS):
        yield from _wrong_text_keys(connection, table)
    for pk, id, word in connection.rows(UNSUPPORTED, (UNVERIFIED,)):
        yield Finding("dangling", pk, f"atom {id} is {values.shorten(word)}, and has no evidence that is not stale")
    for pk, id, by in connection.rows(UNKNOWN):
        yield Finding("dangling", pk, f"atom {id} was superseded by {values.shorten(by)}, which is not here")
    for pk, id, entity in connection.rows(NAMELESS):
        yield Finding("dangling", pk, f"mention {id} is of entity {values.shorten(entity)}, which is not here")


def _wrong_text_keys(connection: Connection, table: Table[Any]) -> Iterator[Finding]:
    """Rows of a table whose keys are not those of their texts, a page at a time."""
    keys = KEYS[table.name]
    columns = ", ".join(keys)
    for span in spans(connection, table):
        kept = connection.rows(f"SELECT pk, {columns} FROM {table.name} WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        items = table.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for item, (pk, *found) in zip(items, kept, strict=True):
            if found != [key_of(getattr(item, text), connection.cipher) for text in keys.values()]:
                yield Finding("derived", pk, f"{item.id} of {table.name}: its keys are not those of its texts")
