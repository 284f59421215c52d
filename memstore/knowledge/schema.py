"""The schema of the knowledge room: its graph and its ledger."""

from __future__ import annotations

from ..kernel import Schema, Table
from . import graph_tables, ledger_tables
from .graph_tables import Entity, Observation, Relationship

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
