"""The schema of the knowledge room: its graph and its ledger."""

from __future__ import annotations

from ..kernel import Schema, Table
from . import graph_tables, ledger_tables
from .ledger_tables import (
    ARTIFACT_ID,
    ATOM_ID,
    SECTION_ID,
    Artifact,
    ArtifactSection,
    Atom,
    AtomClaim,
    AtomLink,
    Citation,
    Evidence,
    KnowledgeDelta,
    KnowledgeState,
    Mention,
    MergeOperation,
)

SCHEMA = Schema(
    "knowledge",
    version=1,
    ddl=graph_tables.DDL + ledger_tables.DDL,
    carried=(*graph_tables.CARRIED, *ledger_tables.CARRIED),
)

ATOMS = Table(Atom, "atoms", json=("tags", "metadata"), hidden=("pk", "body_key"), schema=SCHEMA)
PROOFS = Table(
    Evidence,
    "evidence",
    json=("metadata",),
    flags=("stale",),
    hidden=("pk", "atom", "snippet_key"),
    computed={"atom_id": ATOM_ID.format("evidence", "atom")},
    schema=SCHEMA,
)
CLAIMS = Table(
    AtomClaim,
    "claims",
    hidden=("pk", "atom", "subject_key", "predicate_key"),
    computed={"atom_id": ATOM_ID.format("claims", "atom")},
    schema=SCHEMA,
)
LINKS = Table(
    AtomLink,
    "links",
    hidden=("pk", "from_atom", "to_atom"),
    computed={"from_atom_id": ATOM_ID.format("links", "from_atom"), "to_atom_id": ATOM_ID.format("links", "to_atom")},
    schema=SCHEMA,
)
MENTIONS = Table(
    Mention, "mentions", hidden=("pk", "atom"), computed={"atom_id": ATOM_ID.format("mentions", "atom")}, schema=SCHEMA
)
MERGES = Table(MergeOperation, "merges", json=("atom_ids",), hidden=("pk",), schema=SCHEMA)
ARTIFACTS = Table(Artifact, "artifacts", json=("metadata",), hidden=("pk",), schema=SCHEMA)
SECTIONS = Table(
    ArtifactSection,
    "artifact_sections",
    hidden=("pk", "artifact"),
    computed={"artifact_id": ARTIFACT_ID.format("artifact_sections")},
    schema=SCHEMA,
)
CITATIONS = Table(
    Citation,
    "citations",
    flags=("supported",),
    hidden=("pk", "artifact", "section", "atom"),
    computed={
        "artifact_id": ARTIFACT_ID.format("citations"),
        "section_id": SECTION_ID,
        "atom_id": ATOM_ID.format("citations", "atom"),
    },
    schema=SCHEMA,
)
KNOWLEDGE_STATES = Table(KnowledgeState, "knowledge_states", json=("open_questions", "evidence_index"), hidden=("pk",), schema=SCHEMA)
DELTAS = Table(KnowledgeDelta, "knowledge_deltas", json=("changes",), hidden=("pk",), schema=SCHEMA)
