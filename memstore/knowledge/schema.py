"""The schema of the knowledge room: its graph and its ledger."""

from __future__ import annotations

from ..kernel import Schema, Table
from . import graph_tables, ledger_tables
from .graph_tables import Entity, Observation, Relationship
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

_DOCUMENTS = ("aliases", "external_ids", "properties", "source_refs", "metadata")
_KEYS = ("pk", "name_key", "type_key")
ENTITIES = Table(Entity, "entities", json=_DOCUMENTS, flags=("hand_authored",), hidden=_KEYS, schema=SCHEMA)
VERSIONS = Table(
    Entity, "entity_versions", json=_DOCUMENTS, flags=("hand_authored",), hidden=(*_KEYS, "entity", "retired_at"), schema=SCHEMA
)
RELATIONSHIPS = Table(
    Relationship,
    "relationships",
    json=("source_refs", "properties"),
    hidden=("pk", "source", "target"),
    computed={
        "from_id": "(SELECT id FROM entities WHERE pk = relationships.source)",
        "to_id": "(SELECT id FROM entities WHERE pk = relationships.target)",
    },
    schema=SCHEMA,
)
OBSERVATIONS = Table(
    Observation,
    "observations",
    json=("source_refs",),
    hidden=("pk", "entity", "content_key"),
    computed={"entity_id": "(SELECT id FROM entities WHERE pk = observations.entity)"},
    schema=SCHEMA,
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
