"""Vectors: the skeleton that the vectors room replaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel import Finding, Prunable, Record, Recorder, Room, Schema, record

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.subject import Subject

SCHEMA = Schema("vectors", version=1, ddl="CREATE TABLE vectors(pk INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL DEFAULT '') STRICT;")
TextOf = Callable[[str, Sequence[str]], dict[str, str]]  # what the items of a kind say, by id; those that are gone are left out


@record
class VectorHit(Record):
    """An item whose vector is near: `score` is the cosine."""

    id: str
    score: float
    kind: str


class VectorIndex:
    """The one place for vectors."""

    def __init__(self, db: Room, audit: Recorder, text_of: TextOf) -> None:
        self.db = db

    def add(self, items: Iterable[tuple[str, Any]], *, model: str, kind: str = "chunk") -> int:
        raise NotImplementedError

    def remove(self, id: str, *, kind: str = "chunk") -> bool:
        raise NotImplementedError

    def nearest(
        self, vector: Any, *, model: str, kind: str | None = None, only: Iterable[str] | None = None, limit: int = 10, exact: bool = False
    ) -> list[VectorHit]:
        raise NotImplementedError

    def lacking(self, kind: str, ids: Sequence[str], *, model: str) -> list[str]:
        """Those of some items that have no vector of a model, in their order."""
        raise NotImplementedError

    def permits(self, model: str) -> bool:
        """Whether vectors of a model may be stored here, which in an encrypted store must have been allowed."""
        raise NotImplementedError

    def discard(self, connection: Connection, kind: str, ids: Iterable[str]) -> int:
        """Take the vectors of items that are gone out, in the transaction that takes the items."""
        raise NotImplementedError

    def erase(self, connection: Connection, subject: Subject) -> None:
        raise NotImplementedError

    @property
    def prunable(self) -> list[Prunable]:
        return []

    def check(self) -> list[Finding]:
        return []
