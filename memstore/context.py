"""The context pack: what an agent should know for one question, within a number of tokens, and why each piece is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .kernel import Record, record

if TYPE_CHECKING:
    from .store import Store


@record
class ContextPiece(Record):
    """One thing that is told: what it is (`kind`, `id`), from where, and why."""

    kind: str
    id: str
    band: str
    text: str
    source: str
    score: float
    why: str
    version: int | None
    tokens: int


@record
class ContextPack(Record):
    """What an agent is told for one question; `text` is ready for a prompt, `tokens` what it counts."""

    query: str
    project: str | None
    text: str
    tokens: int
    max_tokens: int
    pieces: list[ContextPiece]


def build(
    store: Store,
    query: str,
    *,
    project: str | None,
    user_id: str | None,
    conversation_id: str | None,
    specialist: str | None,
    max_tokens: int,
    count: Callable[[str], int],
    embedding: Any,
) -> ContextPack:
    """Put together what the rooms of a store have for a question."""
    raise NotImplementedError
