"""Questions to the graph, as it is or as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..kernel import Canonical, Recorder, Room
from ..kernel.lifecycle import Believed, History

if TYPE_CHECKING:
    from ..memories import MemoryStore


class KnowledgeView:
    """Everything that can be asked of the graph."""

    def __init__(self, db: Room, canonical: Canonical) -> None:
        self.db = db
        self._canonical = canonical


class Knowing(KnowledgeView):
    """What all parts of the knowledge room share."""

    def __init__(
        self,
        db: Room,
        audit: Recorder,
        canonical: Canonical,
        history: History,
        believed: Believed,
        memories: Callable[[], MemoryStore],
    ) -> None:
        super().__init__(db, canonical)
        self._audit = audit
        self._history = history
        self._believed = believed
        self._memories = memories
