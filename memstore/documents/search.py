"""Search: words by BM25, meaning by vectors, and both as one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .library import Library
from .tables import ChunkHit
from .texts import ChunkTexts

Fusion = Literal["weighted", "rrf"]


class Search(Library):
    """The part of the documents room that finds."""

    @property
    def texts(self) -> ChunkTexts:
        """The chunks as the keyword index reads them."""
        return self._index.texts

    def search(
        self,
        query: str,
        *,
        embedding: Any = None,
        limit: int | None = 10,
        project: str | None = None,
        conversation_id: str | None = None,
        user_id: str | None = None,
        filters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        lexical_weight: float = 0.3,
        fusion: Fusion = "weighted",
    ) -> list[ChunkHit]:
        raise NotImplementedError
