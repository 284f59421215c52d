"""Memories themselves: added, found, changed, brought from one state to another, merged."""

from __future__ import annotations

from collections.abc import Callable

from ..kernel import Canonical, Record, Recorder, Room
from ..kernel.lifecycle import Believed, History

Piece = Callable[[str, str], Record | None]  # what stands under a kind and an id now


class Beliefs:
    """The part of the memories room that deals with memories."""

    def __init__(
        self, db: Room, audit: Recorder, canonical: Canonical, history: History, believed: Believed, piece: Piece
    ) -> None:
        self.db = db
        self._audit = audit
        self._canonical = canonical
        self._history = history
        self._believed = believed
        self._piece = piece
