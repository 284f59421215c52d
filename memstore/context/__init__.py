"""The context pack: what an agent should know for one question, within a number of tokens, and why each piece is there.

1. Trust decides the order: what people have set, who somebody is and what he prefers, memories, corrections, entities, then documents,
   which anybody may have written, and the note of an earlier window. Each band has a share of the tokens, which its best piece may
   go over while there is room; what is not needed goes to documents, and what these leave to the bands again.
2. Within a band what says most about the question comes first: by the share of a piece's words that the question has, then by how many
   those are, so that a long overview does not push out the short fact.
3. Never over the budget, by the caller's own count of the whole text. Where it would be, documents go first, then the note, and then what
   is trusted least.
4. The same store and the same question give the same pack at the same time, to the byte. Nothing is written by asking, and no room is made.

The trap: rooms are read one after the other, so a write in between may be seen by the later ones only. Inside `transaction()` all of
them see one state.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, values
from .fitting import Budget, fitted
from .gathering import GATHERERS, Question
from .pieces import BANDS, ContextPack, ContextPiece

if TYPE_CHECKING:
    from collections.abc import Container

    from ..store import Store

__all__ = ["ContextPack", "ContextPiece", "build"]

CANDIDATES = 8  # pieces of a band, and one more for each 20 tokens of its share; where documents leave room, for each 10 of all tokens
SHARE = 8  # percent of the tokens that count for documents here: their chunks are long


def build(
    store: Store,
    rooms: Container[str],
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
    """Build the pack from what some rooms of a store have for a question."""
    query, max_tokens = values.text("query", query), values.integer("max_tokens", max_tokens, low=0)
    user_id = values.optional(values.key, "user_id", user_id)
    if not callable(count):
        raise Invalid(f"count must be a function from a text to its tokens, not {values.shorten(count)}")
    if embedding is not None:
        from ..vectors.floats import packed

        packed("embedding", embedding)  # a bad one is refused even where there is nothing to compare it with
    asked = Question(
        query,
        *_project(store, rooms, values.optional(values.key, "project", project), user_id),
        user_id,
        values.optional(values.key, "conversation_id", conversation_id),
        values.optional(values.label, "specialist", specialist),
        embedding if "vectors" in rooms else None,  # a question must not make the room
    )
    found, more = {}, {}
    for band in BANDS:
        room, gather = GATHERERS[band.name]
        if room in rooms and max_tokens:
            most = CANDIDATES + max_tokens * (band.share or SHARE) // 2000
            found[band.name] = gather(store, asked, most)
            more[band.name] = islice(gather(store, asked, CANDIDATES + max_tokens // 10), most, None)
    pieces, text, tokens = fitted(found, more, Budget(max_tokens, count))
    return ContextPack(query, asked.project, text, tokens, max_tokens, pieces)


def _project(store: Store, rooms: Container[str], project: str | None, user_id: str | None) -> tuple[str | None, bool]:
    """The project that an id, name or alias means, and whether chat knows it."""
    if project is None or "chat" not in rooms:
        return project, False
    meant = store.chat.canonical(project, user_id) or project
    try:
        store.chat.get_project(meant)
    except NotFound:
        return meant, False
    return meant, True
