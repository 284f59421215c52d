"""The tables of the documents room and the records that are read from them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..kernel import Carried, Record, Schema, Table, record, values
from ..kernel.words import text_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel import Cipher

IngestionStatus = Literal["pending", "embedding", "embedded", "failed"]
INGESTION_STATUSES: tuple[str, ...] = get_args(IngestionStatus)

SCHEMA = Schema(
    "documents",
    version=1,
    ddl=f"""
CREATE TABLE documents(
    pk               INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    created_at       REAL NOT NULL DEFAULT 0,
    updated_at       REAL NOT NULL DEFAULT 0,
    uri              TEXT,                                      -- NULL: identified by content_hash
    content_hash     TEXT NOT NULL DEFAULT '',                  -- SHA-256 of the text, unless the caller gave another
    title            TEXT NOT NULL DEFAULT '',
    display_name     TEXT NOT NULL DEFAULT '',
    source_type      TEXT NOT NULL DEFAULT 'unknown',           -- open: local_files (of add_files), web, ticket, git ...
    project_id       TEXT,                                      -- NULL: concerns every project
    user_id          TEXT,                                      -- NULL: everybody's
    conversation_id  TEXT,
    file_path        TEXT,
    url              TEXT,
    storage_uri      TEXT,
    ticket_id        TEXT,
    git_repo         TEXT,
    git_commit       TEXT,
    suffix           TEXT,
    size_bytes       INTEGER,
    mime_type        TEXT,
    original_path    TEXT,
    base_path        TEXT,
    relative_path    TEXT,
    tags             TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    extra_json       TEXT CHECK (extra_json IS NULL OR json_valid(extra_json)),
    extra_text       TEXT NOT NULL DEFAULT '',
    file_modified_at REAL,
    ingested_at      REAL,                                      -- when its text was last added or replaced
    indexed_at       REAL,                                      -- when the last of its chunks got its vector
    ingestion_status TEXT NOT NULL DEFAULT 'pending' CHECK ({values.among("ingestion_status", INGESTION_STATUSES)}),
    analyzed         INTEGER NOT NULL DEFAULT 0 CHECK (analyzed IN (0, 1)),
    last_analyzed_at REAL,
    is_deleted       INTEGER NOT NULL DEFAULT 0 CHECK (is_deleted IN (0, 1)),   -- hidden everywhere until added again
    deleted_at       REAL,
    metadata         TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version          INTEGER NOT NULL DEFAULT 1,
    uri_key          TEXT NOT NULL DEFAULT '',                  -- digest of the uri, or of content_hash where there is none
    CHECK (is_deleted = (deleted_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX documents__uri ON documents(uri_key, COALESCE(project_id, ''), COALESCE(user_id, ''));
CREATE INDEX documents__created ON documents(created_at);
CREATE INDEX documents__project ON documents(project_id, created_at);
CREATE INDEX documents__deleted ON documents(deleted_at) WHERE is_deleted = 1;

CREATE TABLE chunks(
    pk             INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    created_at     REAL NOT NULL DEFAULT 0,
    updated_at     REAL NOT NULL DEFAULT 0,
    document       INTEGER NOT NULL DEFAULT 0 REFERENCES documents(pk) ON DELETE CASCADE,
    chunk_index    INTEGER NOT NULL DEFAULT 0,
    content        TEXT NOT NULL DEFAULT '',
    heading_path   TEXT NOT NULL DEFAULT '',                    -- "Install > Linux"
    start_char     INTEGER,                                     -- content is text[start_char:end_char] of the source;
    end_char       INTEGER,                                     -- NULL where the caller who made the chunk gave none
    anchor_type    TEXT NOT NULL DEFAULT 'char',                -- what anchor_start and anchor_end count
    anchor_start   INTEGER,
    anchor_end     INTEGER,
    char_count     INTEGER NOT NULL DEFAULT 0,
    token_count    INTEGER NOT NULL DEFAULT 0,
    chunk_hash     TEXT NOT NULL DEFAULT '',                    -- SHA-256 of the content; under a codec a keyed tag
    sanitized_hash TEXT,                                        -- hash of the content after the caller cleaned it
    metadata       TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version        INTEGER NOT NULL DEFAULT 1,                  -- rises when another chunk takes the id: it says something else
    UNIQUE (document, chunk_index)
) STRICT;

CREATE TABLE annotations(
    pk         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL DEFAULT 0,
    chunk      INTEGER NOT NULL DEFAULT 0 REFERENCES chunks(pk) ON DELETE CASCADE,
    kind       TEXT NOT NULL DEFAULT '',                        -- open: instruction, untrusted, secret ...
    start_char INTEGER,                                         -- within the content of the chunk
    end_char   INTEGER,
    detail     TEXT NOT NULL DEFAULT '',
    confidence REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    source     TEXT NOT NULL DEFAULT 'manual',
    metadata   TEXT CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;
CREATE INDEX annotations__chunk ON annotations(chunk);
CREATE INDEX annotations__kind ON annotations(kind, created_at);

CREATE TABLE selections(                                        -- no row says nothing, which is not the same as enabled = 0
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    created_at      REAL NOT NULL DEFAULT 0,
    updated_at      REAL NOT NULL DEFAULT 0,
    document        INTEGER NOT NULL DEFAULT 0 REFERENCES documents(pk) ON DELETE CASCADE,
    user_id         TEXT,                                       -- either a user's default,
    conversation_id TEXT,                                       -- or a choice for one conversation
    enabled         INTEGER NOT NULL DEFAULT 0 CHECK (enabled IN (0, 1)),
    CHECK ((user_id IS NULL) <> (conversation_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX selections__user ON selections(user_id, document) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX selections__conversation ON selections(conversation_id, document) WHERE conversation_id IS NOT NULL;
CREATE INDEX selections__document ON selections(document);

CREATE TABLE chunk_index(                                       -- which index of words this file uses
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    kind  TEXT NOT NULL DEFAULT 'fts5' CHECK (kind = 'fts5' OR kind = 'keywords'),
    stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)),   -- chunks were written by a Python whose SQLite has no FTS5
    made  INTEGER NOT NULL DEFAULT 1                            -- how often the index was built from nothing
) STRICT;
""",
    carried=(
        Carried(
            "documents",
            ("pk",),
            ("uri", "content_hash", "title", "display_name", "file_path", "url", "storage_uri", "ticket_id", "git_repo", "git_commit",
             "original_path", "base_path", "relative_path", "extra_text"),
            ("tags", "extra_json", "metadata"),
            derived=("uri_key",),
        ),
        Carried("chunks", ("pk",), ("content", "heading_path", "sanitized_hash"), ("metadata",), derived=("chunk_hash",)),
        Carried("annotations", ("pk",), ("detail",), ("metadata",)),
        Carried("selections", ("pk",)),
    ),
)  # fmt: skip


@record
class Document(Record):
    """A source of text: its name, where it comes from, and when its text was added.

    Within a project and for a user `uri` is unique, and so is the content of documents without one. A document that `is_deleted` is
    hidden everywhere until it is added again. `ingestion_status` is about vectors: "pending" while a chunk lacks one (its words are
    found all the same), "embedded" when none does; "embedding" and "failed" are for callers who embed elsewhere.
    """

    id: str
    created_at: float
    updated_at: float
    uri: str | None
    content_hash: str
    title: str
    display_name: str
    source_type: str
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    file_path: str | None
    url: str | None
    storage_uri: str | None
    ticket_id: str | None
    git_repo: str | None
    git_commit: str | None
    suffix: str | None
    size_bytes: int | None
    mime_type: str | None
    original_path: str | None
    base_path: str | None
    relative_path: str | None
    tags: list[str]
    extra_json: dict[str, Any] | None
    extra_text: str
    file_modified_at: float | None
    ingested_at: float | None
    indexed_at: float | None
    ingestion_status: IngestionStatus
    analyzed: bool
    last_analyzed_at: float | None
    is_deleted: bool
    deleted_at: float | None
    metadata: dict[str, Any] | None
    version: int


@record
class Chunk(Record):
    """A piece of a document: `content` is `text[start_char:end_char]` of the text that was added."""

    id: str
    created_at: float
    updated_at: float
    document_id: str
    project_id: str | None
    chunk_index: int
    content: str
    heading_path: str
    start_char: int | None
    end_char: int | None
    anchor_type: str
    anchor_start: int | None
    anchor_end: int | None
    char_count: int
    token_count: int
    chunk_hash: str
    sanitized_hash: str | None
    metadata: dict[str, Any] | None
    version: int


@record
class Annotation(Record):
    """A note on a chunk, or on the characters `start_char` to `end_char` of its content."""

    id: str
    created_at: float
    chunk_id: str
    kind: str
    start_char: int | None
    end_char: int | None
    detail: str
    confidence: float
    source: str
    metadata: dict[str, Any] | None


@record
class Selection(Record):
    """Whether a document is used for a user, or in one conversation."""

    id: str
    created_at: float
    updated_at: float
    document_id: str
    user_id: str | None
    conversation_id: str | None
    enabled: bool


@record
class ChunkHit(Record):
    """A chunk that a search found.

    Hits are ranked by `score`, which combines `lexical`, BM25 divided by that of the best match, and `semantic`, the cosine. A side
    that was not asked is None.
    """

    chunk: Chunk
    document: Document
    score: float
    lexical: float | None
    semantic: float | None
    snippet: str


DOCUMENTS = Table(
    Document,
    "documents",
    json=("tags", "extra_json", "metadata"),
    flags=("analyzed", "is_deleted"),
    hidden=("pk", "uri_key"),
    schema=SCHEMA,
)
CHUNKS = Table(
    Chunk,
    "chunks",
    json=("metadata",),
    hidden=("pk", "document"),
    computed={
        "document_id": "(SELECT id FROM documents WHERE pk = chunks.document)",
        "project_id": "(SELECT project_id FROM documents WHERE pk = chunks.document)",
    },
    schema=SCHEMA,
)
ANNOTATIONS = Table(
    Annotation,
    "annotations",
    json=("metadata",),
    hidden=("pk", "chunk"),
    computed={"chunk_id": "(SELECT id FROM chunks WHERE pk = annotations.chunk)"},
    schema=SCHEMA,
)
SELECTIONS = Table(
    Selection,
    "selections",
    flags=("enabled",),
    hidden=("pk", "document"),
    computed={"document_id": "(SELECT id FROM documents WHERE pk = selections.document)"},
    schema=SCHEMA,
)


def uri_key(uri: str | None, content_hash: str, cipher: Cipher | None) -> str:
    """The identity of a document within a project and for a user: that of its uri, or without one of its content."""
    return text_key(f"hash\n{content_hash}" if uri is None else f"uri\n{uri}", cipher)


_key = partial(values.optional, values.key)
_moment = partial(values.optional, values.moment)
_text = partial(values.optional, values.text)
_count = partial(values.optional, partial(values.integer, low=0))
_object = partial(values.optional, values.json_object)

#: The check of each column that `add_text` and `update` take.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _key,
    "created_at": _moment,
    "updated_at": _moment,
    "uri": _key,
    "content_hash": _key,
    "title": values.text,
    "display_name": values.text,
    "source_type": values.key,
    "user_id": _key,
    "conversation_id": _key,
    **dict.fromkeys(
        ("file_path", "url", "storage_uri", "ticket_id", "git_repo", "git_commit", "suffix", "mime_type", "original_path", "base_path",
         "relative_path"),
        _text,
    ),
    "size_bytes": _count,
    "tags": partial(values.tags, most=100),
    "extra_json": _object,
    "extra_text": values.text,
    **dict.fromkeys(("file_modified_at", "ingested_at", "indexed_at", "last_analyzed_at"), _moment),
    "ingestion_status": partial(values.one_of, legal=INGESTION_STATUSES),
    "analyzed": values.flag,
    "metadata": _object,
}  # fmt: skip

#: The check of each column that `set_chunks` takes.
CHUNK_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _key,
    "created_at": _moment,
    "content": values.text,
    "heading_path": values.text,
    **dict.fromkeys(("start_char", "end_char", "anchor_start", "anchor_end", "token_count"), _count),
    "anchor_type": values.key,
    "sanitized_hash": _text,
    "metadata": _object,
}

#: The check of each column that `annotate` takes.
ANNOTATION_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _key,
    "created_at": _moment,
    "kind": values.key,
    "start_char": _count,
    "end_char": _count,
    "detail": values.text,
    "confidence": partial(values.real, low=0.0, high=1.0),
    "source": values.key,
    "metadata": _object,
}
