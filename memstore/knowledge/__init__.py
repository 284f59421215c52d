"""A graph of entities and a ledger of atoms that keep their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Finding, Prunable
from . import ledger_joining, ledger_removal
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

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.subject import Subject

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

    def join_project(self, connection: Connection, name: str, project_id: str, user_id: str) -> None:
        """Let what carries a name follow it to the project that it has come to mean."""
        ledger_joining.join(self, connection, name, project_id, user_id)

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from . import ledger_erasing

        ledger_erasing.erase(self, connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove."""
        return ledger_removal.LEDGER_PRUNABLE

    def check(self) -> list[Finding]:
        """Recompute all that is derived and report what differs."""
        from .ledger_derived import ledger_check

        with self.db.read(snapshot=True) as connection:
            return list(ledger_check(connection))
