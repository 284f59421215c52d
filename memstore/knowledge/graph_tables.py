"""The tables of the graph, and the records that are read from them: entities and their past, relationships, observations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

from ..kernel import Carried, Invalid, Record, record, values
from ..kernel.lifecycle import STATUSES

Family = Literal["structural", "intent", "validation", "provenance"]
Direction = Literal["both", "out", "in"]
FAMILIES: tuple[str, ...] = get_args(Family)
DIRECTIONS: tuple[str, ...] = get_args(Direction)

#: The kinds of relationship that every store knows, each with its family.
KINDS: dict[str, str] = {
    **dict.fromkeys(("contains", "part_of", "interfaces_with", "uses_material"), "structural"),
    **dict.fromkeys(("satisfies", "constrained_by", "affected_by_decision", "based_on_assumption", "supersedes"), "intent"),
    **dict.fromkeys(("analyzed_by", "validated_by", "supports", "conflicts_with", "depends_on"), "validation"),
    **dict.fromkeys(("described_by", "updated_by_session", "evidenced_by", "summarized_in"), "provenance"),
}

#: What an entity is at one time.
_STATE = f"""
    created_at        REAL NOT NULL DEFAULT 0,
    updated_at        REAL NOT NULL DEFAULT 0,                  -- recorded: since when the store has known it to be so
    canonical_name    TEXT NOT NULL DEFAULT '',
    type              TEXT NOT NULL DEFAULT '',                 -- an open vocabulary
    description       TEXT NOT NULL DEFAULT '',
    aliases           TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(aliases)),
    external_ids      TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(external_ids)),
    properties        TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(properties)),
    status            TEXT NOT NULL DEFAULT 'active' CHECK ({values.among("status", STATUSES)}),
    confidence        REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    source_refs       TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(source_refs)),   -- "memory:<id>", "chunk:<id>", ...
    hand_authored     INTEGER NOT NULL DEFAULT 0 CHECK (hand_authored IN (0, 1)),
    extractor_version TEXT,
    project_id        TEXT,                                     -- NULL is of no project
    user_id           TEXT,                                     -- NULL is everybody's
    conversation_id   TEXT,
    valid_from        REAL,                                     -- valid: when it is so in the world, up to
    valid_until       REAL,                                     -- exclusive
    superseded_by     TEXT,
    metadata          TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version           INTEGER NOT NULL DEFAULT 1,
    name_key          TEXT NOT NULL DEFAULT '',                 -- digest of the normalised name: short, whatever its length
    type_key          TEXT NOT NULL DEFAULT ''                  -- the type without case
"""
DDL = f"""
CREATE TABLE entities(
    pk                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT NOT NULL UNIQUE,{_STATE}) STRICT;
CREATE INDEX entities__created ON entities(created_at);
CREATE INDEX entities__name ON entities(name_key, status);
CREATE INDEX entities__type ON entities(type_key, status, created_at);
CREATE INDEX entities__project ON entities(project_id, status, created_at);

CREATE TABLE entity_versions(
    pk                INTEGER PRIMARY KEY AUTOINCREMENT,
    entity            INTEGER NOT NULL DEFAULT 0 REFERENCES entities(pk) ON DELETE CASCADE,
    retired_at        REAL NOT NULL DEFAULT 0,                  -- recorded: up to then, exclusive, the store knew it to be so
    id                TEXT NOT NULL DEFAULT '',                 -- the entity's{_STATE}) STRICT;
CREATE INDEX entity_versions__entity ON entity_versions(entity, retired_at);
CREATE INDEX entity_versions__retired ON entity_versions(retired_at);
CREATE INDEX entity_versions__type ON entity_versions(type_key, status, created_at);

CREATE TABLE entity_names(
    name_key TEXT NOT NULL,                                     -- of each name, alias and external id that it has or had
    entity   INTEGER NOT NULL REFERENCES entities(pk) ON DELETE CASCADE,
    PRIMARY KEY (name_key, entity)
) STRICT, WITHOUT ROWID;
CREATE INDEX entity_names__entity ON entity_names(entity);

CREATE TABLE entity_words(
    word   TEXT NOT NULL,                                       -- of those names, also with any one letter left out
    entity INTEGER NOT NULL REFERENCES entities(pk) ON DELETE CASCADE,
    PRIMARY KEY (word, entity)
) STRICT, WITHOUT ROWID;
CREATE INDEX entity_words__entity ON entity_words(entity);

CREATE TABLE relationship_kinds(
    kind   TEXT PRIMARY KEY,                                    -- registered here, beside those that every store knows
    family TEXT NOT NULL DEFAULT 'structural' CHECK ({values.among("family", FAMILIES)})
) STRICT, WITHOUT ROWID;

CREATE TABLE relationships(
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    created_at      REAL NOT NULL DEFAULT 0,                    -- recorded
    source          INTEGER NOT NULL DEFAULT 0 REFERENCES entities(pk) ON DELETE CASCADE,
    target          INTEGER NOT NULL DEFAULT 0 REFERENCES entities(pk) ON DELETE CASCADE,
    kind            TEXT NOT NULL DEFAULT '',
    confidence      REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    source_refs     TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(source_refs)),
    properties      TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(properties)),
    project_id      TEXT,
    user_id         TEXT,
    conversation_id TEXT,
    valid_from      REAL,
    valid_until     REAL,
    retired_at      REAL                                        -- recorded: since when the store no longer holds it true
) STRICT;
-- All that a walk asks of an edge, so that it never touches the rows.
CREATE INDEX relationships__out ON relationships(source, kind, target, created_at, retired_at, valid_from, valid_until);
CREATE INDEX relationships__in ON relationships(target, kind, source, created_at, retired_at, valid_from, valid_until);
CREATE INDEX relationships__created ON relationships(created_at);
CREATE INDEX relationships__kind ON relationships(kind, created_at);
CREATE INDEX relationships__user ON relationships(user_id) WHERE user_id IS NOT NULL;
CREATE INDEX relationships__retired ON relationships(retired_at) WHERE retired_at IS NOT NULL;

CREATE TABLE observations(
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    created_at      REAL NOT NULL DEFAULT 0,
    entity          INTEGER NOT NULL DEFAULT 0 REFERENCES entities(pk) ON DELETE CASCADE,
    content         TEXT NOT NULL DEFAULT '',
    source_refs     TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(source_refs)),
    user_id         TEXT,
    conversation_id TEXT,
    retired_at      REAL,
    content_key     TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX observations__entity ON observations(entity, content_key);
CREATE INDEX observations__user ON observations(user_id) WHERE user_id IS NOT NULL;
CREATE INDEX observations__retired ON observations(retired_at) WHERE retired_at IS NOT NULL;
"""
_TEXTS = ("canonical_name", "description")
_DOCUMENTS = ("aliases", "external_ids", "properties", "metadata")
_KEYS = ("name_key", "type_key")
CARRIED: tuple[Carried, ...] = (
    Carried("entities", ("pk",), _TEXTS, _DOCUMENTS, derived=_KEYS),
    Carried("entity_versions", ("pk",), _TEXTS, _DOCUMENTS, derived=_KEYS),
    Carried("relationship_kinds", ("kind",)),
    Carried("relationships", ("pk",), documents=("properties",)),
    Carried("observations", ("pk",), ("content",), derived=("content_key",)),
)


@record
class Entity(Record):
    """A thing that is known by name, as it is or as it was."""

    id: str
    created_at: float
    updated_at: float
    canonical_name: str
    type: str
    description: str
    aliases: list[str]
    external_ids: dict[str, Any]
    properties: dict[str, Any]
    status: str
    confidence: float
    source_refs: list[str]
    hand_authored: bool
    extractor_version: str | None
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    valid_from: float | None
    valid_until: float | None
    superseded_by: str | None
    metadata: dict[str, Any] | None
    version: int

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.canonical_name


@record
class Relationship(Record):
    """How one entity stands to another."""

    id: str
    created_at: float
    from_id: str
    kind: str
    to_id: str
    confidence: float
    source_refs: list[str]
    properties: dict[str, Any]
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    valid_from: float | None
    valid_until: float | None
    retired_at: float | None


@record
class Observation(Record):
    """Something that was noted about an entity."""

    id: str
    created_at: float
    entity_id: str
    content: str
    source_refs: list[str]
    user_id: str | None
    conversation_id: str | None
    retired_at: float | None


@record
class Neighbour(Record):
    """An entity, in how many steps it was reached, and the kind of the relationship of the last one."""

    entity: Entity
    depth: int
    via: str


def references(name: str, value: Any) -> list[str]:
    """Distinct references of the form kind:id, in the order in which they came."""
    found = list(dict.fromkeys(values.strings(name, value)))
    for reference in found:
        if not all(part.strip() for part in values.key(name, reference).partition(":")[::2]):
            raise Invalid(f'{name} {values.shorten(reference)} must name a kind and an id, as "memory:<id>" does')
    return found


def names(name: str, value: Any) -> list[str]:
    """Distinct names, in the order in which they came."""
    return list(dict.fromkeys(values.key(name, each) for each in values.strings(name, value)))


def _object(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else values.json_object(name, value)


_label = partial(values.optional, values.label)
_key = partial(values.optional, values.key)
_moment = partial(values.optional, values.moment)

#: How arguments become columns.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _key,
    "created_at": _moment,
    "updated_at": _moment,
    "canonical_name": values.key,
    "type": values.key,
    "kind": values.key,
    "description": values.text,
    "content": partial(values.text, blank=False),
    "aliases": names,
    "external_ids": _object,
    "properties": _object,
    "status": partial(values.one_of, legal=STATUSES),
    "confidence": partial(values.real, low=0.0, high=1.0),
    "source_refs": references,
    "hand_authored": partial(values.optional, values.flag),
    "extractor_version": _label,
    "user_id": _key,
    "conversation_id": _key,
    "valid_from": _moment,
    "valid_until": partial(values.optional, values.until),
    "retired_at": _moment,
    "superseded_by": _key,
    "metadata": partial(values.optional, values.json_object),
    "version": partial(values.integer, low=1),
}


def in_order(valid_from: float | None, valid_until: float | None) -> None:
    """Refuse what would end before it begins."""
    if valid_from is not None and valid_until is not None and valid_until <= valid_from:
        raise Invalid(f"valid_until {valid_until} must be later than valid_from {valid_from}")


def refuse_before(created_at: float, name: str, moment: float | None) -> None:
    """Refuse what the store would have known before it was there."""
    if moment is not None and moment < created_at:
        raise Invalid(f"{name} {moment} must not be earlier than created_at {created_at}")
