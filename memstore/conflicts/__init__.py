"""Beliefs that cannot be true together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..kernel import Canonical, Connection, Record, Recorder, Room
from ..kernel.lifecycle import History
from .tables import SCHEMA

if TYPE_CHECKING:
    from ..knowledge import KnowledgeStore
    from ..memories import MemoryStore

__all__ = ["SCHEMA", "ConflictStore"]


class ConflictStore:
    """Slots, contradictions and what a person decided."""

    def __init__(
        self,
        db: Room,
        audit: Recorder,
        canonical: Canonical,
        history: History,
        memories: Callable[[], MemoryStore],
        knowledge: Callable[[], KnowledgeStore],
    ) -> None:
        self.db = db
        self._audit = audit
        self._canonical = canonical
        self._history = history
        self._memories = memories
        self._knowledge = knowledge

    def notice(self, connection: Connection, item: Record) -> None:
        """Look whether something that holds from now on contradicts what else holds."""
