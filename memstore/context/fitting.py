"""How much of what there is fits into a number of tokens.

1. Whatever counts tokens may be slow and need not be additive: that a part fits says nothing of the whole, so it is asked of the text
   that goes out, and never goes by a sum.
2. It is asked for each piece once, and then for the whole some ten times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ..kernel import values
from .gathering import Forms
from .pieces import BANDS, ContextPiece, block, written

#: Which bands keep their pieces when the whole is too long, first those that lose theirs last.
KEPT = ("project_state", "identity", "preference", "correction", "memory", "entity", "backup")
PATIENCE = 3  # pieces
_PLACES = {band.name: place for place, band in enumerate(BANDS)}


class Budget:
    """Tokens, and who counts them."""

    def __init__(self, max_tokens: int, count: Callable[[str], int]) -> None:
        self.max_tokens = max_tokens
        self._count = count

    def cost(self, text: str) -> int:
        """What a text costs."""
        return values.integer("what count= returned", self._count(text), low=0)

    def costed(self, piece: ContextPiece) -> ContextPiece:
        """A piece with what it costs by itself."""
        return replace(piece, tokens=self.cost(block(1, piece)))


def fitted(found: Mapping[str, Iterable[Forms]], budget: Budget) -> tuple[list[ContextPiece], str, int]:
    """The pieces that are told, in their order, with the text and its tokens.

    Each band is filled up to its share, then all is cut to what fits, then chunks of documents take what is left.
    """
    pieces, text, tokens = _longest([piece for name in KEPT for piece in _share(name, found.get(name, ()), budget)], budget)

    def extended(piece: ContextPiece) -> bool:
        nonlocal pieces, text, tokens
        if tokens + piece.tokens > budget.max_tokens:
            return False
        more = _ordered([*pieces, piece])
        longer = written(more)
        cost = budget.cost(longer)
        if cost <= budget.max_tokens:
            pieces, text, tokens = more, longer, cost
        return cost <= budget.max_tokens

    _fill(found.get("retrieval", ()), budget, extended)
    return pieces, text, tokens


def _share(name: str, found: Iterable[Forms], budget: Budget) -> list[ContextPiece]:
    """The pieces of a band that fit into its share."""
    left = budget.max_tokens * BANDS[_PLACES[name]].share // 100
    taken: list[ContextPiece] = []

    def taking(piece: ContextPiece) -> bool:
        nonlocal left
        if piece.tokens > left:
            return False
        taken.append(piece)
        left -= piece.tokens
        return True

    _fill(found if left else (), budget, taking)
    return taken


def _fill(found: Iterable[Forms], budget: Budget, take: Callable[[ContextPiece], bool]) -> None:
    """Offer pieces, each in its longest form that is taken; one that is too long gives way to the next, three in a row end it."""
    missed = 0
    for forms in found:
        missed = 0 if any(take(budget.costed(piece)) for piece in forms) else missed + 1
        if missed == PATIENCE:
            return


def _longest(chosen: list[ContextPiece], budget: Budget) -> tuple[list[ContextPiece], str, int]:
    """As many pieces from the front as fit together."""
    fits: tuple[list[ContextPiece], str, int] = ([], "", 0)
    low, high = 0, len(chosen)
    middle = high  # mostly all of them do
    while low < high:
        pieces = _ordered(chosen[:middle])
        text = written(pieces)
        tokens = budget.cost(text)
        if tokens <= budget.max_tokens:
            fits, low = (pieces, text, tokens), middle
        else:
            high = middle - 1
        middle = (low + high + 1) // 2
    return fits


def _ordered(pieces: list[ContextPiece]) -> list[ContextPiece]:
    return sorted(pieces, key=lambda piece: _PLACES[piece.band])
