"""What an agent believes, with a life: from a candidate to something that holds, and on to what took its place.

1. A memory goes by `kernel.lifecycle`: candidates are what nothing goes by, no state is left backwards, no row is deleted.
2. Of one type, project, user and normalised content there is one active memory and one candidate at most.
3. What a person has rejected or found invalid does not come back unnoticed: storing it again raises. What merely expired may.
4. The stems of live memories are kept in `memory_words` by the transaction that writes the row.
5. Interactions are kept as they were, with what the model was told; capturing one changes no belief.
6. Project state is the most trusted layer and is set by hand only: nothing fades, merges or promotes anything into it.

The trap: `valid_until` passing changes no row. A memory stays active then, and every read that is to leave it out compares the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Finding, Prunable
from . import joining, removal
from .interactions import ExplainedPiece, Explanation
from .reflection import Reflection
from .state import ProjectStates
from .tables import SCHEMA, Interaction, InteractionPiece, Memory, MemoryHit, ProjectState

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.subject import Subject

__all__ = [
    "SCHEMA",
    "ExplainedPiece",
    "Explanation",
    "Interaction",
    "InteractionPiece",
    "Memory",
    "MemoryHit",
    "MemoryStore",
    "ProjectState",
]


class MemoryStore(Reflection, ProjectStates):
    """Memories, interactions and project state.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     found = store.memories.add("preference", "prefers short answers", status="candidate")
    ...     store.memories.promote(found.id, actor="ann")
    ...     [hit.memory.content for hit in store.memories.search("how long should an answer be?")]
    True
    ['prefers short answers']
    """

    def join_project(self, connection: Connection, name: str, project_id: str, user_id: str) -> int:
        """Let what carries a name follow it to the project that it has come to mean; return how many rows may clash there."""
        return joining.join(self, connection, name, project_id, user_id)

    # -- remove -----------------------------------------------------------------------------------------------------

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from . import erasing

        erasing.erase(self, connection, subject)

    def forget(self, connection: Connection, subject: Subject) -> None:
        """Take what the rooms after this one have removed out of what stays, for `Store.erase`."""
        from . import erasing

        erasing.forget(connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: what was superseded, and interactions; what was rejected stays, so that it does not return."""
        return removal.PRUNABLE

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Recompute all that is derived from memories and report what differs, and which entities they miss."""
        from .derived import dangling, differences

        with self.db.read(snapshot=True) as connection:
            return [*differences(connection), *dangling(connection, self._piece)]
