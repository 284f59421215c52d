"""Documents and their chunks: texts that come in, change, are hidden and come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel import Canonical, Record, Recorder, Room, record
from .lexical import ChunkIndex
from .tables import Chunk, Document

if TYPE_CHECKING:
    import os

    from ..kernel import Connection
    from ..keywords import KeywordIndex
    from ..store import Embedder
    from ..vectors import VectorIndex

#: Tells whoever rests on some chunks, by their ids, that these are gone; a chunk that says something else is another one.
Stale = Callable[["Connection", Sequence[str]], object]


@record
class IngestReport(Record):
    """What `add_files` did with how many files; `reasons` says of each skipped one why."""

    added: int
    changed: int
    unchanged: int
    removed: int
    skipped: int
    reasons: dict[str, str]


class Library:
    """The part of the documents room that keeps texts."""

    def __init__(
        self,
        db: Room,
        audit: Recorder,
        canonical: Canonical,
        vectors: Callable[[], VectorIndex],
        keywords: Callable[[], KeywordIndex],
        embedder: Embedder | None,
        stale: Stale,
    ) -> None:
        self.db = db
        self._audit = audit
        self._canonical = canonical
        self._vectors = vectors
        self._embedder = embedder
        self._stale = stale
        self._index = ChunkIndex(db, keywords)

    def add_text(
        self,
        text: str,
        *,
        uri: str | None = None,
        title: str = "",
        source_type: str = "unknown",
        project: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        **_skeleton: Any,
    ) -> Document:
        raise NotImplementedError

    def add_files(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        project: str | None = None,
        prune: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> IngestReport:
        raise NotImplementedError

    def set_chunks(self, document_id: str, chunks: Iterable[str | Mapping[str, Any]], *, actor: str = "", note: str = "") -> list[Chunk]:
        raise NotImplementedError

    def get(self, id: str) -> Document:
        raise NotImplementedError

    def get_chunk(self, id: str) -> Chunk:
        raise NotImplementedError

    def chunks(self, document_id: str) -> list[Chunk]:
        raise NotImplementedError
