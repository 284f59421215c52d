"""A graph of entities and a ledger of atoms that keep their evidence."""

from __future__ import annotations

from .artifacts import Artifacts
from .graph import Graph
from .ledger import Ledger
from .schema import SCHEMA
from .view import KnowledgeView

__all__ = ["SCHEMA", "KnowledgeStore", "KnowledgeView"]


class KnowledgeStore(Graph, Ledger, Artifacts):
    """Entities, atoms and artifacts."""
