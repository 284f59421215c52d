"""How much of what there is fits into a number of tokens.

1. Whatever counts tokens may be slow and need not be additive: that a part fits says nothing of the whole, so it is asked of the text
   that goes out, and never goes by a sum.
2. It is asked for each piece once, and then for the whole some ten times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, tee

from ..kernel import values
from .gathering import Forms
from .pieces import BANDS, ContextPiece, block, written

#: Which bands keep their pieces when the whole is too long, first those that lose theirs last.
KEPT = ("project_state", "identity", "preference", "correction", "memory", "entity", "backup")
PATIENCE = 3  # pieces
WASTE = 20  # one token in so many may be left unused before the bands are asked again
_PLACES = {band.name: place for place, band in enumerate(BANDS)}


class Budget:
    """Tokens, and who counts them."""

    def __init__(self, max_tokens: int, count: Callable[[str], int]) -> None:
        self.max_tokens = max_tokens
        self._count = count
        self._costs: dict[str, int] = {}

    def cost(self, text: str) -> int:
        """What a text costs."""
        if text not in self._costs:
            self._costs[text] = values.integer("what count= returned", self._count(text), low=0)
        return self._costs[text]

    def costed(self, piece: ContextPiece) -> ContextPiece:
        """A piece with what it costs by itself."""
        return replace(piece, tokens=self.cost(block(1, piece)))

    def share(self, name: str) -> int:
        """What is meant for a band."""
        return self.max_tokens * BANDS[_PLACES[name]].share // 100


class Told:
    """The pieces that are told so far, in their order, with the text and its tokens; never more than the budget."""

    def __init__(self, budget: Budget) -> None:
        self.pieces: list[ContextPiece] = []
        self.text = ""
        self.tokens = 0
        self._budget = budget

    def names(self, piece: ContextPiece) -> bool:
        """Whether a piece is told, in whatever form."""
        return any((each.kind, each.id) == (piece.kind, piece.id) for each in self.pieces)

    def take(self, piece: ContextPiece) -> bool:
        """Tell one more piece, or one in another form, if the whole fits then."""
        others = [each for each in self.pieces if (each.kind, each.id) != (piece.kind, piece.id)]
        return piece in self.pieces or self._become([*others, piece])

    def take_most(self, more: list[ContextPiece]) -> None:
        """Tell as many more pieces from the front as fit together."""
        before = self.pieces
        low, high = 0, len(more)
        middle = high  # mostly all of them do
        while low < high:
            if self._become([*before, *more[:middle]]):
                low = middle
            else:
                high = middle - 1
            middle = (low + high + 1) // 2

    def _become(self, pieces: list[ContextPiece]) -> bool:
        pieces = sorted(pieces, key=lambda piece: _PLACES[piece.band])
        text = written(pieces)
        tokens = self._budget.cost(text)
        if tokens <= self._budget.max_tokens:
            self.pieces, self.text, self.tokens = pieces, text, tokens
        return tokens <= self._budget.max_tokens


def fitted(
    found: Mapping[str, Iterable[Forms]], more: Mapping[str, Iterable[Forms]], budget: Budget
) -> tuple[list[ContextPiece], str, int]:
    """The pieces that are told, in their order, with the text and its tokens; `more` follows `found` where there is room.

    First each band has its best piece, which may go over its share, and is filled up to that; then all is cut to what fits, chunks of
    documents take what is left, what they leave goes to the bands again, and a note that was cut is told longer where it can be.
    """
    bands = {name: tee(found.get(name, ())) for name in KEPT}
    told = Told(budget)
    told.take_most(_shared({name: iter(offered) for name, (offered, _) in bands.items()}, budget))
    told.take_most(_chosen(found.get("retrieval", ()), budget.max_tokens - told.tokens, budget))
    note = list(bands["backup"][1])
    told.take_most(_rest({name: chain(offered, more.get(name, ())) for name, (_, offered) in bands.items()}, told, budget))
    _fill(note, budget, told.take)
    return told.pieces, told.text, told.tokens


def _shared(bands: Mapping[str, Iterator[Forms]], budget: Budget) -> list[ContextPiece]:
    """The best piece of each band, and what of the others fits into its share."""
    left, firsts = budget.max_tokens, dict[str, list[ContextPiece]]()
    for name in KEPT:
        firsts[name] = _first(next(bands[name], ()), budget.share(name), left, budget)
        left -= _sum(firsts[name])
    pieces = []
    for name in KEPT:
        rest = _chosen(bands[name], min(left, budget.share(name) - _sum(firsts[name])), budget)
        left -= _sum(rest)
        pieces += firsts[name] + rest
    return pieces


def _first(forms: Forms, share: int, left: int, budget: Budget) -> list[ContextPiece]:
    """The best piece of a band: at length it takes no more than its share or half of what is left, at its shortest whatever is left."""
    costed = [budget.costed(piece) for piece in forms]
    fitting = [piece for piece in costed if piece.tokens <= min(left, max(share, left // 2))]
    return fitting[:1] or [piece for piece in costed[-1:] if piece.tokens <= left]


def _rest(bands: Mapping[str, Iterable[Forms]], told: Told, budget: Budget) -> list[ContextPiece]:
    """What of the bands is not told yet and fits into what is left."""
    left, pieces = budget.max_tokens - told.tokens, list[ContextPiece]()
    for name in KEPT if left * WASTE > budget.max_tokens else ():
        chosen = _chosen((forms for forms in bands[name] if not told.names(forms[0])), left, budget)
        left -= _sum(chosen)
        pieces += chosen
    return pieces


def _chosen(found: Iterable[Forms], left: int, budget: Budget) -> list[ContextPiece]:
    """The pieces that fit into so many tokens by what each costs by itself."""
    taken: list[ContextPiece] = []

    def taking(piece: ContextPiece) -> bool:
        nonlocal left
        fits = piece.tokens <= left
        if fits:
            taken.append(piece)
            left -= piece.tokens
        return fits

    _fill(found if left > 0 else (), budget, taking)
    return taken


def _sum(pieces: Iterable[ContextPiece]) -> int:
    return sum(piece.tokens for piece in pieces)


def _fill(found: Iterable[Forms], budget: Budget, take: Callable[[ContextPiece], bool]) -> None:
    """Offer pieces, each in its longest form that is taken; one that is too long gives way to the next, three in a row end it."""
    missed = 0
    for forms in found:
        missed = 0 if any(take(budget.costed(piece)) for piece in forms) else missed + 1
        if missed == PATIENCE:
            return
