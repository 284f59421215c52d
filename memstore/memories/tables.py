"""The tables of the memories room and the records that are read from them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..kernel import Carried, Record, Schema, Table, record, values
from ..kernel.lifecycle import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable

MemoryType = Literal["identity", "preference", "project", "episodic", "knowledge", "adaptation"]
StateStatus = Literal["active", "superseded", "invalid"]
MEMORY_TYPES: tuple[str, ...] = get_args(MemoryType)
STATE_STATUSES: tuple[str, ...] = get_args(StateStatus)
TAGS = 10  # of one memory

SCHEMA = Schema(
    "memories",
    version=1,
    ddl=f"""
CREATE TABLE memories(
    pk                     INTEGER PRIMARY KEY AUTOINCREMENT,
    id                     TEXT NOT NULL UNIQUE,
    created_at             REAL NOT NULL DEFAULT 0,
    updated_at             REAL NOT NULL DEFAULT 0,             -- fading leaves it: idleness counts from here
    memory_type            TEXT NOT NULL DEFAULT 'knowledge' CHECK ({values.among("memory_type", MEMORY_TYPES)}),
    content                TEXT NOT NULL DEFAULT '',
    project_id             TEXT,                                -- NULL holds everywhere
    user_id                TEXT,                                -- NULL is everybody's
    conversation_id        TEXT,
    confidence             REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    status                 TEXT NOT NULL DEFAULT 'active' CHECK ({values.among("status", STATUSES)}),
    domain_tags            TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(domain_tags)),
    valid_until            REAL,                                -- exclusive; the row stays active, reads leave it out
    reference_count        INTEGER NOT NULL DEFAULT 0,
    last_referenced_at     REAL,
    decayed_at             REAL,                                -- the whole days up to here have been taken off the confidence
    expired_at             REAL,                                -- a candidate that nobody wanted: invalid, and yet not rejected
    source_chunk_id        TEXT,
    interaction_id         TEXT,                                -- where a candidate was found,
    rule                   TEXT,                                -- by which rule
    extractor_version      TEXT,                                -- of which extractor
    superseded_by          TEXT,
    graduated_to_entity_id TEXT,
    merged_from            TEXT CHECK (merged_from IS NULL OR json_valid(merged_from)),   -- sorted ids: the same merge is made once
    metadata               TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version                INTEGER NOT NULL DEFAULT 1,
    content_key            TEXT NOT NULL DEFAULT '',            -- digest of the normalised text: short, whatever its length
    stem_count             INTEGER NOT NULL DEFAULT 0           -- how many rows of memory_words it has while it is live
) STRICT;
CREATE UNIQUE INDEX memories__live
    ON memories(content_key, memory_type, COALESCE(project_id, ''), COALESCE(user_id, ''), status)
    WHERE status = 'active' OR status = 'candidate';
CREATE INDEX memories__content ON memories(content_key);
CREATE INDEX memories__created ON memories(created_at);
CREATE INDEX memories__project ON memories(project_id, created_at);
CREATE INDEX memories__personal ON memories(memory_type, user_id)
    WHERE status = 'active' AND (memory_type = 'identity' OR memory_type = 'preference');
CREATE INDEX memories__merged ON memories(merged_from) WHERE merged_from IS NOT NULL;
CREATE INDEX memories__interaction ON memories(interaction_id) WHERE interaction_id IS NOT NULL;

CREATE TABLE memory_words(
    word   TEXT NOT NULL,
    memory INTEGER NOT NULL REFERENCES memories(pk) ON DELETE CASCADE,
    PRIMARY KEY (word, memory)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_words__memory ON memory_words(memory);

CREATE TABLE interactions(
    pk               INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    created_at       REAL NOT NULL DEFAULT 0,
    prompt           TEXT NOT NULL DEFAULT '',
    response         TEXT NOT NULL DEFAULT '',
    response_summary TEXT NOT NULL DEFAULT '',
    context_pack     TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(context_pack)),
    memories_used    TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(memories_used)),
    chunks_used      TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(chunks_used)),
    client           TEXT NOT NULL DEFAULT '',
    session_id       TEXT NOT NULL DEFAULT '',
    project          TEXT NOT NULL DEFAULT '',                  -- as it was given
    project_id       TEXT,                                      -- what that means
    user_id          TEXT,
    conversation_id  TEXT,
    metadata         TEXT CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;
CREATE INDEX interactions__created ON interactions(created_at);
CREATE INDEX interactions__project ON interactions(project_id, created_at);
CREATE INDEX interactions__session ON interactions(session_id, created_at);

CREATE TABLE interaction_pieces(
    pk            INTEGER PRIMARY KEY AUTOINCREMENT,
    interaction   INTEGER NOT NULL DEFAULT 0 REFERENCES interactions(pk) ON DELETE CASCADE,
    kind          TEXT NOT NULL DEFAULT '',                     -- memory, project_state, entity, correction, chunk ...
    piece_id      TEXT NOT NULL DEFAULT '',
    piece_version INTEGER,                                      -- at that time; NULL where it had none, or was gone already
    UNIQUE (interaction, kind, piece_id)
) STRICT;

CREATE TABLE project_state(
    pk         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL DEFAULT 0,
    updated_at REAL NOT NULL DEFAULT 0,
    project_id TEXT NOT NULL DEFAULT '',
    key        TEXT NOT NULL DEFAULT '',
    value      TEXT NOT NULL DEFAULT '',
    source     TEXT NOT NULL DEFAULT 'manual',
    confidence REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    status     TEXT NOT NULL DEFAULT 'active' CHECK ({values.among("status", STATE_STATUSES)}),
    version    INTEGER NOT NULL DEFAULT 1,
    normal_key TEXT NOT NULL DEFAULT ''                         -- the key as it is compared with names of entities
) STRICT;
CREATE UNIQUE INDEX project_state__live ON project_state(project_id, key) WHERE status = 'active';
CREATE INDEX project_state__normal ON project_state(project_id, normal_key) WHERE status = 'active';
""",
    carried=(
        Carried("memories", ("pk",), ("content",), ("metadata",), derived=("content_key", "stem_count")),
        Carried("interactions", ("pk",), ("prompt", "response", "response_summary"), ("context_pack", "metadata")),
        Carried("interaction_pieces", ("pk",)),
        Carried("project_state", ("pk",), ("value",), derived=("normal_key",)),
    ),
)


@record
class Memory(Record):
    """Something that an agent believes, or may come to believe."""

    id: str
    created_at: float
    updated_at: float
    memory_type: str
    content: str
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    confidence: float
    status: str
    domain_tags: list[str]
    valid_until: float | None
    reference_count: int
    last_referenced_at: float | None
    decayed_at: float | None
    expired_at: float | None
    source_chunk_id: str | None
    interaction_id: str | None
    rule: str | None
    extractor_version: str | None
    superseded_by: str | None
    graduated_to_entity_id: str | None
    merged_from: list[str] | None
    metadata: dict[str, Any] | None
    version: int

    @property
    def project(self) -> str:
        """The project's id, "" for none, by the name that AtoCore gives it."""
        return self.project_id or ""


@record
class MemoryHit(Record):
    """A memory and the share of its words that a query has, between 0 and 1."""

    memory: Memory
    score: float


@record
class Interaction(Record):
    """One prompt and its response, with what the model was told."""

    id: str
    created_at: float
    prompt: str
    response: str
    response_summary: str
    context_pack: dict[str, Any]
    memories_used: list[str]
    chunks_used: list[str]
    client: str
    session_id: str
    project: str
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    metadata: dict[str, Any] | None


@record
class InteractionPiece(Record):
    """A piece of context that an interaction was given, and the version that it had."""

    kind: str
    piece_id: str
    piece_version: int | None


@record
class ProjectState(Record):
    """A fact about a project that a person has set by hand."""

    id: str
    created_at: float
    updated_at: float
    project_id: str
    key: str
    value: str
    source: str
    confidence: float
    status: str
    version: int


MEMORIES = Table(
    Memory,
    "memories",
    json=("domain_tags", "merged_from", "metadata"),
    hidden=("pk", "content_key", "stem_count"),
    schema=SCHEMA,
)
INTERACTIONS = Table(
    Interaction, "interactions", json=("context_pack", "memories_used", "chunks_used", "metadata"), hidden=("pk",), schema=SCHEMA
)
PIECES = Table(InteractionPiece, "interaction_pieces", hidden=("pk", "interaction"), schema=SCHEMA)
STATES = Table(ProjectState, "project_state", hidden=("pk", "normal_key"), schema=SCHEMA)

#: The live memories that share stems with a text, whose tagged stems are bound as JSON: it costs the words of the text.
SHARING = """
    (SELECT memory, count(*) AS hits FROM memory_words WHERE word IN (SELECT value FROM json_each(?)) GROUP BY memory) AS hit
    CROSS JOIN memories ON memories.pk = hit.memory
"""
#: Memories whether they share some or not, each looked at by itself: for where few are left.
EACH = """
    (SELECT pk, status, memory_type, project_id, user_id, valid_until, stem_count, domain_tags, confidence, created_at,
        (SELECT count(*) FROM memory_words WHERE memory = memories.pk AND word IN (SELECT value FROM json_each(?))) AS hits
     FROM memories) AS memories
"""
#: In the words of memories__personal, or the planner does not take it.
PERSONAL = "status = 'active' AND (memory_type = 'identity' OR memory_type = 'preference')"


_label = partial(values.optional, values.label)
_key = partial(values.optional, values.key)
_moment = partial(values.optional, values.moment)
_share = partial(values.real, low=0.0, high=1.0)

#: How an argument becomes a column of a memory.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _key,
    "created_at": _moment,
    "updated_at": _moment,
    "memory_type": partial(values.one_of, legal=MEMORY_TYPES),
    "content": partial(values.text, blank=False),
    "user_id": _key,
    "conversation_id": _label,
    "confidence": _share,
    "status": partial(values.one_of, legal=STATUSES),
    "domain_tags": partial(values.tags, most=TAGS),
    "valid_until": partial(values.optional, values.until),
    "reference_count": partial(values.integer, low=0),
    "last_referenced_at": _moment,
    "decayed_at": _moment,
    "expired_at": _moment,
    "source_chunk_id": _label,
    "interaction_id": _label,
    "rule": _label,
    "extractor_version": _label,
    "superseded_by": _key,
    "graduated_to_entity_id": _key,
    "metadata": partial(values.optional, values.json_object),
}
#: The same of an entry of project state.
STATE_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _key,
    "created_at": _moment,
    "updated_at": _moment,
    "project": values.key,
    "key": values.key,
    "value": values.text,
    "source": values.label,
    "confidence": _share,
    "status": partial(values.one_of, legal=STATE_STATUSES),
    "version": partial(values.integer, low=1),
}
