"""The tables of the ledger and the records that are read from them: atoms, their evidence, and what is made from them.

Within the ledger rows name each other by integer keys; records show the ids. Entities, which belong to the graph, are named by id.
Fingerprints are properties of the records. What the file has in their place are keys, which are tags where the store has a codec.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, get_args

from ..kernel import Carried, Record, record, values
from ..kernel.lifecycle import STATUSES
from ..kernel.words import key_of

AtomKind = Literal["claim", "decision", "requirement", "risk", "unknown", "action_item", "domain_signal", "entity"]
MergeKind = Literal["merge", "supersede", "obsolete"]
ReviewStatus = Literal["approved", "pending", "rejected"]
ArtifactState = Literal["current", "superseded"]
CitationKind = Literal["atom", "contradiction", "insight"]
ATOM_KINDS: tuple[str, ...] = get_args(AtomKind)
MERGE_KINDS: tuple[str, ...] = get_args(MergeKind)
REVIEW_STATUSES: tuple[str, ...] = get_args(ReviewStatus)
ARTIFACT_STATES: tuple[str, ...] = get_args(ArtifactState)
CITATION_KINDS: tuple[str, ...] = get_args(CitationKind)

DDL = f"""
CREATE TABLE atoms(
    pk                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    created_at          REAL NOT NULL DEFAULT 0,
    updated_at          REAL NOT NULL DEFAULT 0,
    kind                TEXT NOT NULL DEFAULT 'claim' CHECK ({values.among("kind", ATOM_KINDS)}),
    title               TEXT NOT NULL DEFAULT '',
    body                TEXT NOT NULL DEFAULT '',
    domain              TEXT NOT NULL DEFAULT '',
    tags                TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    confidence          REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    status              TEXT NOT NULL DEFAULT 'active' CHECK ({values.among("status", STATUSES)}),
    verification_status TEXT NOT NULL DEFAULT 'unverified',     -- an open word; any other needs live evidence
    project_id          TEXT,
    user_id             TEXT,                                   -- NULL is everybody's
    conversation_id     TEXT,
    run_id              TEXT,                                   -- the extraction that found it first
    superseded_by       TEXT,                                   -- NULL in a superseded one: obsolete, nothing took its place
    metadata            TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version             INTEGER NOT NULL DEFAULT 1,
    body_key            TEXT NOT NULL DEFAULT ''                -- digest of the normalised text: short, whatever its length
) STRICT;
CREATE UNIQUE INDEX atoms__live ON atoms(body_key, kind, COALESCE(project_id, ''), COALESCE(user_id, ''))
    WHERE status = 'active' OR status = 'candidate';
CREATE INDEX atoms__body ON atoms(body_key);
CREATE INDEX atoms__created ON atoms(created_at);
CREATE INDEX atoms__project ON atoms(project_id, created_at);

CREATE TABLE evidence(
    pk           INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    created_at   REAL NOT NULL DEFAULT 0,
    atom         INTEGER NOT NULL DEFAULT 0 REFERENCES atoms(pk) ON DELETE CASCADE,
    source_id    TEXT,
    chunk_id     TEXT,
    chunk_hash   TEXT,                                          -- of the chunk as it was when it said so
    anchor_type  TEXT NOT NULL DEFAULT '',                      -- what the anchors count: lines, characters ...
    anchor_start INTEGER,
    anchor_end   INTEGER,
    snippet      TEXT NOT NULL DEFAULT '',
    confidence   REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    stale        INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)),
    run_id       TEXT,
    metadata     TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    snippet_key  TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX evidence__atom ON evidence(atom, snippet_key);
CREATE INDEX evidence__chunk ON evidence(chunk_id) WHERE chunk_id IS NOT NULL;
CREATE INDEX evidence__source ON evidence(source_id) WHERE source_id IS NOT NULL;

CREATE TABLE claims(
    pk               INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    created_at       REAL NOT NULL DEFAULT 0,
    atom             INTEGER NOT NULL DEFAULT 0 REFERENCES atoms(pk) ON DELETE CASCADE,
    subject          TEXT NOT NULL DEFAULT '',
    predicate        TEXT NOT NULL DEFAULT '',
    domain           TEXT NOT NULL DEFAULT '',
    strength         TEXT NOT NULL DEFAULT '',                  -- an open word: must, should ...
    claim_confidence REAL NOT NULL DEFAULT 1 CHECK (claim_confidence BETWEEN 0 AND 1),
    subject_key      TEXT NOT NULL DEFAULT '',
    predicate_key    TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX claims__said ON claims(atom, subject_key, predicate_key, domain, strength);
CREATE INDEX claims__subject ON claims(subject_key);

CREATE TABLE links(
    pk            INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    created_at    REAL NOT NULL DEFAULT 0,
    from_atom     INTEGER NOT NULL DEFAULT 0 REFERENCES atoms(pk) ON DELETE CASCADE,
    relation_type TEXT NOT NULL DEFAULT '',
    to_atom       INTEGER NOT NULL DEFAULT 0 REFERENCES atoms(pk) ON DELETE CASCADE,
    weight        REAL NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX links__ends ON links(from_atom, to_atom, relation_type);
CREATE INDEX links__to ON links(to_atom);

CREATE TABLE mentions(
    pk           INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    created_at   REAL NOT NULL DEFAULT 0,
    entity_id    TEXT NOT NULL DEFAULT '',
    atom         INTEGER NOT NULL DEFAULT 0 REFERENCES atoms(pk) ON DELETE CASCADE,
    chunk_id     TEXT,
    anchor_start INTEGER,
    anchor_end   INTEGER
) STRICT;
CREATE UNIQUE INDEX mentions__place
    ON mentions(atom, entity_id, COALESCE(chunk_id, ''), COALESCE(anchor_start, -1), COALESCE(anchor_end, -1));
CREATE INDEX mentions__entity ON mentions(entity_id);

CREATE TABLE merges(
    pk            INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    created_at    REAL NOT NULL DEFAULT 0,
    operation     TEXT NOT NULL DEFAULT 'merge' CHECK ({values.among("operation", MERGE_KINDS)}),
    review_status TEXT NOT NULL DEFAULT 'approved' CHECK ({values.among("review_status", REVIEW_STATUSES)}),
    reviewed_by   TEXT NOT NULL DEFAULT '',                     -- who is forgotten is forgotten here too
    atom_ids      TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(atom_ids)),  -- sorted, so that the same is recorded once
    into_id       TEXT                                          -- NULL of an obsolete operation
) STRICT;
CREATE UNIQUE INDEX merges__said ON merges(atom_ids, COALESCE(into_id, ''), operation, review_status);
CREATE TRIGGER merges__no_update BEFORE UPDATE OF pk, id, created_at, operation, review_status, atom_ids, into_id ON merges
BEGIN SELECT RAISE(ABORT, 'a recorded merge is never changed'); END;

CREATE TABLE artifacts(
    pk                 INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    created_at         REAL NOT NULL DEFAULT 0,
    updated_at         REAL NOT NULL DEFAULT 0,                 -- of a superseded one: since when
    artifact_type      TEXT NOT NULL DEFAULT '',                -- an open word: prd, summary, report ...
    artifact_state     TEXT NOT NULL DEFAULT 'current' CHECK ({values.among("artifact_state", ARTIFACT_STATES)}),
    title              TEXT NOT NULL DEFAULT '',
    body               TEXT NOT NULL DEFAULT '',
    parent_artifact_id TEXT,                                    -- may outlive the row that it names, which prune can remove
    project_id         TEXT,
    user_id            TEXT,
    conversation_id    TEXT,
    run_id             TEXT,
    metadata           TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version            INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX artifacts__created ON artifacts(created_at);
CREATE INDEX artifacts__project ON artifacts(project_id, created_at);
CREATE INDEX artifacts__superseded ON artifacts(updated_at) WHERE artifact_state = 'superseded';

CREATE TABLE artifact_sections(
    pk            INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    created_at    REAL NOT NULL DEFAULT 0,                      -- when its text was written, whichever artifact had it first
    artifact      INTEGER NOT NULL DEFAULT 0 REFERENCES artifacts(pk) ON DELETE CASCADE,
    section_key   TEXT NOT NULL DEFAULT '',
    section_title TEXT NOT NULL DEFAULT '',
    position      INTEGER NOT NULL DEFAULT 0,
    content       TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX artifact_sections__key ON artifact_sections(artifact, section_key);

CREATE TABLE citations(
    pk               INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    created_at       REAL NOT NULL DEFAULT 0,
    kind             TEXT NOT NULL DEFAULT 'atom' CHECK ({values.among("kind", CITATION_KINDS)}),
    artifact         INTEGER REFERENCES artifacts(pk) ON DELETE CASCADE,
    section          INTEGER REFERENCES artifact_sections(pk) ON DELETE CASCADE,
    insight_id       TEXT,
    atom             INTEGER REFERENCES atoms(pk) ON DELETE SET NULL,  -- NULL in a citation of one that was erased since
    contradiction_id TEXT,
    relation_type    TEXT NOT NULL DEFAULT '',
    atom_version     INTEGER,                                   -- when it was cited,
    supported        INTEGER CHECK (supported IN (0, 1))        -- and whether it had evidence that was not stale
) STRICT;
CREATE INDEX citations__artifact ON citations(artifact) WHERE artifact IS NOT NULL;
CREATE INDEX citations__section ON citations(section) WHERE section IS NOT NULL;
CREATE INDEX citations__atom ON citations(atom) WHERE atom IS NOT NULL;
CREATE INDEX citations__insight ON citations(insight_id) WHERE insight_id IS NOT NULL;

CREATE TABLE knowledge_states(
    pk                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT NOT NULL UNIQUE,
    created_at        REAL NOT NULL DEFAULT 0,
    updated_at        REAL NOT NULL DEFAULT 0,
    project_id        TEXT NOT NULL DEFAULT '' UNIQUE,
    working_summary   TEXT NOT NULL DEFAULT '',
    open_questions    TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(open_questions)),
    evidence_index    TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(evidence_index)),
    updated_by_run_id TEXT,
    version           INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE knowledge_deltas(
    pk         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL DEFAULT 0,
    project_id TEXT NOT NULL DEFAULT '',
    run_id     TEXT NOT NULL DEFAULT '',
    changes    TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(changes))
) STRICT;
CREATE INDEX knowledge_deltas__created ON knowledge_deltas(created_at);
CREATE INDEX knowledge_deltas__project ON knowledge_deltas(project_id, created_at);
"""
CARRIED: tuple[Carried, ...] = (
    Carried("atoms", ("pk",), ("title", "body"), ("metadata",), derived=("body_key",)),
    Carried("evidence", ("pk",), ("snippet",), ("metadata",), derived=("snippet_key",)),
    Carried("claims", ("pk",), ("subject", "predicate"), derived=("subject_key", "predicate_key")),
    Carried("links", ("pk",)),
    Carried("mentions", ("pk",)),
    Carried("merges", ("pk",)),
    Carried("artifacts", ("pk",), ("title", "body"), ("metadata",)),
    Carried("artifact_sections", ("pk",), ("section_title", "content")),
    Carried("citations", ("pk",)),
    Carried("knowledge_states", ("pk",), ("working_summary",), ("open_questions", "evidence_index")),
    Carried("knowledge_deltas", ("pk",), (), ("changes",)),
)
#: Columns that are keys of texts, by table, and the columns that have the texts.
KEYS = {
    "atoms": {"body_key": "body"},
    "evidence": {"snippet_key": "snippet"},
    "claims": {"subject_key": "subject", "predicate_key": "predicate"},
}
#: Records show ids where the tables have integer keys.
ATOM_ID = "(SELECT a.id FROM atoms AS a WHERE a.pk = {}.{})"
ARTIFACT_ID = "(SELECT f.id FROM artifacts AS f WHERE f.pk = {}.artifact)"
SECTION_ID = "(SELECT s.id FROM artifact_sections AS s WHERE s.pk = citations.section)"
#: What hangs on the atom with an id.
OF_ATOM = "atom = (SELECT a.pk FROM atoms AS a WHERE a.id = ?)"


@record
class Atom(Record):
    """One thing that sources say: a claim, a decision, a risk; what it stands on is its evidence."""

    id: str
    created_at: float
    updated_at: float
    kind: str
    title: str
    body: str
    domain: str
    tags: list[str]
    confidence: float
    status: str
    verification_status: str
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    run_id: str | None
    superseded_by: str | None
    metadata: dict[str, Any] | None
    version: int

    @property
    def atom_fingerprint(self) -> str:
        """What tells a repeat: the digest of the body, whatever its case and spaces."""
        return key_of(self.body)


@record
class Evidence(Record):
    """A place in a source that says what an atom says; stale once that place has changed or gone."""

    id: str
    created_at: float
    atom_id: str
    source_id: str | None
    chunk_id: str | None
    chunk_hash: str | None
    anchor_type: str
    anchor_start: int | None
    anchor_end: int | None
    snippet: str
    confidence: float
    stale: bool
    run_id: str | None
    metadata: dict[str, Any] | None


@record
class AtomClaim(Record):
    """What an atom asserts of a subject."""

    id: str
    created_at: float
    atom_id: str
    subject: str
    predicate: str
    domain: str
    strength: str
    claim_confidence: float

    @property
    def claim_fingerprint(self) -> str:
        """What tells a repeat: the digest of subject, predicate, domain and strength."""
        return digest([key_of(self.subject), key_of(self.predicate), self.domain, self.strength])


@record
class AtomLink(Record):
    """How one atom bears on another."""

    id: str
    created_at: float
    from_atom_id: str
    relation_type: str
    to_atom_id: str
    weight: float


@record
class Mention(Record):
    """A place in an atom, or in the chunk that it came from, where an entity is named."""

    id: str
    created_at: float
    entity_id: str
    atom_id: str
    chunk_id: str | None
    anchor_start: int | None
    anchor_end: int | None


@record
class MergeOperation(Record):
    """What was decided about atoms that say the same, or no longer hold; never changed."""

    id: str
    created_at: float
    operation: str
    review_status: str
    reviewed_by: str
    atom_ids: list[str]
    into_id: str | None


@record
class Artifact(Record):
    """Something made from atoms: a document, a summary, a report."""

    id: str
    created_at: float
    updated_at: float
    artifact_type: str
    artifact_state: str
    title: str
    body: str
    parent_artifact_id: str | None
    project_id: str | None
    user_id: str | None
    conversation_id: str | None
    run_id: str | None
    metadata: dict[str, Any] | None
    version: int


@record
class ArtifactSection(Record):
    """One section of an artifact."""

    id: str
    created_at: float
    artifact_id: str
    section_key: str
    section_title: str
    position: int
    content: str

    @property
    def section_fingerprint(self) -> str:
        """What tells whether two sections read the same: the digest of title and content."""
        return digest([self.section_title, self.content])


@record
class Citation(Record):
    """What a section or an insight rests on, and how that was when it was cited."""

    id: str
    created_at: float
    kind: str
    artifact_id: str | None
    section_id: str | None
    insight_id: str | None
    atom_id: str | None
    contradiction_id: str | None
    relation_type: str
    atom_version: int | None
    supported: bool | None


@record
class KnowledgeState(Record):
    """What is known of a project, summed up; made anew as a whole each time."""

    id: str
    created_at: float
    updated_at: float
    project_id: str
    working_summary: str
    open_questions: list[str]
    evidence_index: dict[str, Any]
    updated_by_run_id: str | None
    version: int


@record
class KnowledgeDelta(Record):
    """What one run changed in the knowledge of a project."""

    id: str
    created_at: float
    project_id: str
    run_id: str
    changes: dict[str, Any]


def digest(parts: list[str]) -> str:
    """Digest of several texts, each as it is; 32 hex digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
