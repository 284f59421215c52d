"""Documents that an agent can look things up in, cut into chunks that are found by their words and by their meaning.

1. Within a project and for a user, a document is identified by its uri, or by its content where it has none. The same bytes again are
   no change.
2. The chunks cut from a text tile it: each is `text[start_char:end_char]` of the source, and `text` returns the source exactly.
3. The content of a chunk never changes. When a document does, chunks with the same content keep their id and vector, the others are
   replaced, and evidence that rested on them is marked stale.
4. Words and vectors are written in the transaction of the chunks, so a search finds only what the text says now.
5. A removed document is hidden until it is added again. Only `erase` and `prune` delete documents, and a project that gets a second
   name: where both names have the same document, the one changed last stays.

The trap: a selection that was cleared does not say no. Without a row the next tier decides, and in the end every document is wanted.
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
    """Documents, their chunks, annotations of these, and who has selected what.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     guide = store.documents.add_text("# Rounding\\n\\nTimeDelta rounds half up.", uri="docs/rounding.md")
    ...     [(hit.chunk.heading_path, hit.chunk.start_char) for hit in store.documents.search("how does timedelta round?")]
    [('Rounding', 0)]
    """

    def join_project(self, connection: Connection, name: str, project_id: str, user_id: str) -> int:
        """Move documents that carry a name to the project that it now means; return how many beliefs may clash there, which is none."""
        return joining.join(self, connection, name, project_id, user_id)

    # -- remove -----------------------------------------------------------------------------------------------------

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what belongs to the subject, for `Store.erase`."""
        from . import erasing

        erasing.erase(self, connection, subject)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: hidden documents."""
        return removal.prunable(self)

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Recompute what is derived from documents and chunks, including the index of words, and report differences."""
        from .derived import differences

        with self.db.read(snapshot=True) as connection:
            found = list(differences(connection))
            lost = map(values.shorten, removal.lost(self, connection))
            found += [Finding("dangling", None, f"a vector is of chunk {id}, which is not there") for id in lost]
        return [*found, *self._index.check()]
