"""Documents that an agent can look things up in, in chunks that are found by their words and their meaning.

1. A document is known by its uri, within a project and for a user, and without one by what it says; the same bytes are no change.
2. The chunks of a text tile it: each is `text[start_char:end_char]` of the source, and `text` gives that back to the last character.
3. A chunk never says anything else: where a document changes, what says the same keeps its id and its vector, the rest are other chunks,
   and evidence that rests on those that are gone is stale.
4. Words and vectors are written in the transaction of the chunks. No search finds what it would not find in the text now.
5. What is removed is hidden until it is added again. Rows go by `erase` and `prune` alone, and where two names turn out to mean one
   project: there of two documents that are one the newer stays.

The trap: a selection that was cleared is not one that says no. Without a row the next tier decides, and in the end all are wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Finding, Prunable, values
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
    """Documents, their chunks, who wants them, and what was noticed about them.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     guide = store.documents.add_text("# Rounding\\n\\nTimeDelta rounds half up.", uri="docs/rounding.md")
    ...     [(hit.chunk.heading_path, hit.chunk.start_char) for hit in store.documents.search("how does timedelta round?")]
    [('Rounding', 0)]
    """

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
            lost = map(values.shorten, removal.lost(self, connection))
            found += [Finding("dangling", None, f"a vector is of chunk {id}, which is not there") for id in lost]
        return [*found, *self._index.check()]
