"""Documents that an agent can look things up in, in chunks that are found by their words and their meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Finding, Prunable
from . import joining, removal
from .files import Files, IngestReport
from .search import Search
from .selection import Selections
from .tables import SCHEMA, Annotation, Chunk, ChunkHit, Document, Selection

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.subject import Subject

__all__ = ["SCHEMA", "Annotation", "Chunk", "ChunkHit", "Document", "DocumentStore", "IngestReport", "Selection"]


class DocumentStore(Search, Selections, Files):
    """Documents, their chunks, who wants them, and what was noticed about them."""

    def join_project(self, connection: Connection, name: str, project_id: str, user_id: str) -> int:
        """Let what carries a name follow it to the project that it has come to mean; return how many rows may clash there."""
        return joining.join(self, connection, name, project_id, user_id)

    # -- remove -----------------------------------------------------------------------------------------------------

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from . import erasing

        erasing.erase(self, connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: documents that are hidden."""
        return removal.prunable(self)

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Recompute all that is derived from documents and chunks, the word index included, and report what differs."""
        from .derived import differences

        with self.db.read(snapshot=True) as connection:
            found = list(differences(connection))
        return [*found, *self._index.check()]
