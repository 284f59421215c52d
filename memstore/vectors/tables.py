"""The tables of the vectors room and the records that are read from them."""

from __future__ import annotations

from ..kernel import Carried, Record, Schema, Table, record

SCHEMA = Schema(
    "vectors",
    version=1,
    ddl="""
CREATE TABLE vectors(                       -- a vector of an item (kind, id) never changes: another one is another row
    pk         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL DEFAULT '',    -- of the item
    kind       TEXT NOT NULL DEFAULT 'chunk',
    model      TEXT NOT NULL DEFAULT '',
    dims       INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL DEFAULT 0,
    norm       REAL NOT NULL DEFAULT 0,     -- Euclidean length
    vector     BLOB NOT NULL DEFAULT x''    -- float32, little-endian
) STRICT;
CREATE UNIQUE INDEX vectors__item ON vectors(id, kind);
CREATE INDEX vectors__space ON vectors(model, kind);

CREATE TABLE vector_spaces(                 -- how many vectors there are of each model and kind
    model   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    dims    INTEGER NOT NULL DEFAULT 0,
    vectors INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (model, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE vector_permits(                -- models whose vectors may lie plain in an encrypted store
    model      TEXT PRIMARY KEY,
    created_at REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
""",
    carried=(
        Carried("vector_permits", ("model",)),
        Carried("vectors", ("pk",), derived=("norm",)),
    ),
)


@record
class Vector(Record):
    """The vector of an item: `values` are float32 numbers, `norm` is its length."""

    id: str
    kind: str
    model: str
    dims: int
    created_at: float
    norm: float
    values: list[float]


@record
class VectorHit(Record):
    """An item whose vector is near: `score` is the cosine."""

    id: str
    score: float
    kind: str


@record
class VectorModel(Record):
    """A model that has vectors here: their dimensions, their number, and their number by kind."""

    model: str
    dims: int
    vectors: int
    kinds: dict[str, int]


@record
class VectorStats(Record):
    """Vectors in the file, and what this process keeps of them: how many have codes in memory, in how many blocks and bytes."""

    vectors: int
    indexed: int
    blocks: int
    bytes: int


@record
class Reembedded(Record):
    """What `reembed` did: how many vectors it replaced, and the (kind, id) of items without a text."""

    vectors: int
    left: list[tuple[str, str]]


@record
class VectorPermit(Record):
    """Permission to store the vectors of a model in an encrypted store."""

    model: str
    created_at: float


PERMITS = Table(VectorPermit, "vector_permits", schema=SCHEMA)
