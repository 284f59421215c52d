"""What there is and how it hangs together: a graph of entities, and a ledger of atoms that keep their evidence.

1. Entities go by `kernel.lifecycle`, as memories and atoms do. One name may stand for two of them, which is for a person to judge.
2. Nothing of the graph is overwritten: each change of an entity keeps what it was, relationships and observations are retired. So
   `as_of` answers every question as it was answered then, and as it was true then; `times` says how.
3. No atom is asserted without evidence, and the same body is one atom however often it is extracted.
4. What is made from atoms is made anew, never edited.

The trap: two times. `valid_from` and `valid_until` say when something was so, `created_at`, `updated_at` and `retired_at` when the
store knew it. Who asks what was believed on Monday asks for the second; who asks what was so on Monday, for the first.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..kernel import Finding, NotFound, Prunable, values, write_lines
from . import joining, removal
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
from .schema import PROOFS, SCHEMA
from .view import KnowledgeView

if TYPE_CHECKING:
    import os

    from ..kernel import Connection
    from ..kernel.subject import Subject
    from ..memories import Memory

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
    """A graph of entities, a ledger of atoms, and what was made from them.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     mirror = store.knowledge.add_entity("Component", "primary mirror", aliases=["M1"])
    ...     glass = store.knowledge.add_entity("Material", "Zerodur")
    ...     edge = store.knowledge.relate(mirror.id, "uses_material", glass.id)
    ...     found = store.knowledge.find_entity("primery miror")
    ...     [(near.entity.name, near.via) for near in store.knowledge.neighbours(found.id)]
    [('Zerodur', 'uses_material')]
    """

    # -- from the graph to the ledger -------------------------------------------------------------------------------

    def grounds(self, id: str, *, include_stale: bool = False) -> list[Evidence]:
        """Return the evidence of the active atoms that mention an entity or what is in its `evidence_chain`, oldest first."""
        named = [values.key("id", id), *(near.entity.id for near in self.evidence_chain(id))]
        stale = values.flag("include_stale", include_stale)
        return PROOFS.find(self.db, f"WHERE atom IN ({MENTIONING}) AND (stale = 0 OR ?) ORDER BY pk", (json.dumps(named), int(stale)))

    # -- MCP --------------------------------------------------------------------------------------------------------

    def mcp(
        self,
        operation: str,
        arguments: dict[str, Any] | None = None,
        *,
        project: str | None = None,
        user_id: str | None = None,
        actor: str = "",
        note: str = "",
    ) -> dict[str, Any]:
        """Answer one of the nine operations of MCP's server-memory with what that would return.

        A name there is an active entity of the project and user that is called exactly so. What it deletes is superseded or retired
        here, each with its event, and `as_of` goes on showing it; deletes return {}. Relations need entities that are there; their
        types are free, a new one is registered as structural.
        """
        from . import mcp

        return mcp.answer(self, operation, arguments, _scope(project, user_id), _event(actor, note))

    def export_mcp(self, path: str | os.PathLike[str], *, project: str | None = None, user_id: str | None = None) -> int:
        """Write what is active as the JSONL file of server-memory and return how many lines it has; the same graph, the same bytes."""
        from . import mcp

        return write_lines(path, mcp.lines(self, _scope(project, user_id)))

    def import_mcp(
        self,
        path: str | os.PathLike[str],
        *,
        project: str | None = None,
        user_id: str | None = None,
        actor: str = "",
        note: str = "",
    ) -> int:
        """Take in the JSONL file of server-memory, all or nothing, and return how many entities, relations and observations were new.

        A line that is bad, or names an entity that is nowhere, raises Invalid with file and number. An entity that is there already
        keeps its type and gets the observations that it lacks, which are counted; those of a new one count with it.
        """
        from . import mcp

        scope, event = _scope(project, user_id), _event(actor, note)
        with self.db.write():
            new = mcp.take_in_file(self, path, scope)
            if new:
                self._audit("entity.import", entity_kind="entity", user_id=user_id, project=project, details={"count": new}, **event)
        return new

    # -- remove -----------------------------------------------------------------------------------------------------

    def join_project(self, connection: Connection, name: str, project_id: str, user_id: str) -> None:
        """Let what carries a name follow it to the project that it has come to mean."""
        joining.join(self, connection, name, project_id, user_id)

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from . import erasing, ledger_erasing

        erasing.erase(connection, subject)
        ledger_erasing.erase(self, connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: what entities were, what was retired, and what the ledger can do without."""
        return removal.PRUNABLE

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Recompute all that is derived and report what differs, and which memories entities miss."""
        from .derived import dangling, differences, ledger_differences

        with self.db.read(snapshot=True) as connection:
            return [*differences(connection), *dangling(connection, self._memory), *ledger_differences(connection)]

    def _memory(self, id: str) -> Memory | None:
        if self.db.present("memories"):
            with suppress(NotFound):
                return self._memories().get(id)
        return None


MENTIONING = """
SELECT mentions.atom FROM mentions JOIN atoms ON atoms.pk = mentions.atom
WHERE mentions.entity_id IN (SELECT value FROM json_each(?)) AND atoms.status = 'active'
"""


def _scope(project: str | None, user_id: str | None) -> dict[str, Any]:
    return {
        "project": values.optional(values.key, "project", project),
        "user_id": values.optional(values.key, "user_id", user_id),
    }


def _event(actor: str, note: str) -> dict[str, Any]:
    return {"actor": values.label("actor", actor), "note": values.text("note", note)}
