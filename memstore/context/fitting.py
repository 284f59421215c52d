"""Fitting as much as possible of what there is into a number of tokens.

1. The caller's count may be slow and need not be additive. Sums over pieces only propose what to take; the text of the whole decides.
2. It is called once for each piece, and about ten times for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, tee

from ..kernel import values
from .gathering import Forms
from .pieces import BANDS, ContextPiece, block, written

#: The bands besides documents; when the whole is too long, those at the end lose their pieces first.
KEPT = ("project_state", "identity", "preference", "correction", "memory", "entity", "backup")
PATIENCE = 3  # pieces in a row that do not fit, after which no more are tried
WASTE = 20  # one token in so many may stay unused before the bands are offered more
_PLACES = {band.name: place for place, band in enumerate(BANDS)}


class Budget:
    """A number of tokens, and the caller's way to count them, which is asked once for each text."""

    def __init__(self, max_tokens: int, count: Callable[[str], int]) -> None:
        self.max_tokens = max_tokens
        self._count = count
        self._costs: dict[str, int] = {}

    def cost(self, text: str) -> int:
        """The tokens of a text."""
        if text not in self._costs:
            self._costs[text] = values.integer("what count= returned", self._count(text), low=0)
        return self._costs[text]

    def costed(self, piece: ContextPiece) -> ContextPiece:
        """A piece with the tokens of its own block."""
        return replace(piece, tokens=self.cost(block(1, piece)))

    def share(self, name: str) -> int:
        """The tokens that are meant for a band."""
        return self.max_tokens * BANDS[_PLACES[name]].share // 100


class Told:
    """The pieces of the pack so far, in their order, with the text and its tokens, which never exceed the budget."""

    def __init__(self, budget: Budget) -> None:
        self.pieces: list[ContextPiece] = []
        self.text = ""
        self.tokens = 0
        self._budget = budget

    def names(self, piece: ContextPiece) -> bool:
        """Whether a piece is told, in whatever form."""
        return any((each.kind, each.id) == (piece.kind, piece.id) for each in self.pieces)

    def take(self, piece: ContextPiece) -> bool:
        """Add a piece, or put it in place of another form of it, if the whole fits then; return whether the pack has it."""
        others = [each for each in self.pieces if (each.kind, each.id) != (piece.kind, piece.id)]
        return piece in self.pieces or self._become([*others, piece])

    def take_most(self, more: list[ContextPiece]) -> None:
        """Add as many pieces from the front of a list as fit together."""
        before = self.pieces
        low, high = 0, len(more)
        middle = high  # mostly all of them fit
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
    """Choose pieces, and return them in their order, with the text and its tokens; `more` follows `found` where there is room.

    First each band gets its best piece, which may exceed its share, and is filled up to that. What is over the budget is cut, chunks of
    documents take what is left, and what they leave goes to the bands again and to a longer form of the note.
    """
    bands = {name: tee(found.get(name, ())) for name in KEPT}
    told = Told(budget)
    told.take_most(_shared({name: offered for name, (offered, _) in bands.items()}, budget))
    told.take_most(_chosen(found.get("retrieval", ()), budget.max_tokens - told.tokens, budget))
    note = list(bands["backup"][1])
    told.take_most(_rest({name: chain(offered, more.get(name, ())) for name, (_, offered) in bands.items()}, told, budget))
    _fill(note, budget, told.take)
    return told.pieces, told.text, told.tokens


def _shared(bands: Mapping[str, Iterator[Forms]], budget: Budget) -> list[ContextPiece]:
    """The best piece of each band, and those of its others that fit into its share."""
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
    """The best piece of a band: a longer form may take the share, or half of what is left; the shortest one, all that is left."""
    costed = [budget.costed(piece) for piece in forms]
    fitting = [piece for piece in costed if piece.tokens <= min(left, max(share, left // 2))]
    return fitting[:1] or [piece for piece in costed[-1:] if piece.tokens <= left]


def _rest(bands: Mapping[str, Iterable[Forms]], told: Told, budget: Budget) -> list[ContextPiece]:
    """Pieces of the bands that are not in the pack yet and fit into what is left."""
    left, pieces = budget.max_tokens - told.tokens, list[ContextPiece]()
    for name in KEPT if left * WASTE > budget.max_tokens else ():
        chosen = _chosen((forms for forms in bands[name] if not told.names(forms[0])), left, budget)
        left -= _sum(chosen)
        pieces += chosen
    return pieces


def _chosen(found: Iterable[Forms], left: int, budget: Budget) -> list[ContextPiece]:
    """The pieces that fit into `left` tokens, each counted by itself."""
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
    """Offer pieces, each in the longest form that `take` accepts, until PATIENCE of them in a row are refused."""
    missed = 0
    for forms in found:
        missed = 0 if any(take(budget.costed(piece)) for piece in forms) else missed + 1
        if missed == PATIENCE:
            return
