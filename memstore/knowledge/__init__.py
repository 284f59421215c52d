"""A graph of entities and a ledger of atoms that keep their evidence."""

from __future__ import annotations

from .artifacts import Artifacts, Section
from .graph import Graph
from .graph_tables import Entity, Neighbour, Observation, Relationship
from .ledger import Ledger
from .ledger_tables import (
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
from .schema import SCHEMA
from .view import KnowledgeView

__all__ = [
    "SCHEMA",
    "Artifact",
    "ArtifactSection",
    "Atom",
    "AtomClaim",
    "AtomLink",
    "Citation",
    "Entity",
    "Evidence",
    "KnowledgeDelta",
    "KnowledgeState",
    "KnowledgeStore",
    "KnowledgeView",
    "Mention",
    "MergeOperation",
    "Neighbour",
    "Observation",
    "Relationship",
    "Section",
]


class KnowledgeStore(Graph, Ledger, Artifacts):
    """Entities, atoms and artifacts."""
