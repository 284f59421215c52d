"""How much of what there is fits into a number of tokens.

1. Whatever counts tokens may be slow and need not be additive: that a part fits says nothing of the whole, so it is asked of the text
   that goes out, and never goes by a sum.
2. It is asked for each form of a piece once or twice, and then for the whole some ten times; some forty, where parts tell nothing of
   the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain, tee

from ..kernel import values
from .gathering import Forms
from .pieces import BANDS, ContextPiece, block, written

#: Which bands keep their pieces when the whole is too long, first those that lose theirs last.
KEPT = tuple(band.name for band in BANDS if band.share)
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

    def take(self, piece: ContextPiece) -> bool:
        """Tell one more piece, or one in another form, if the whole fits then."""
        others = [each for each in self.pieces if (each.kind, each.id) != (piece.kind, piece.id)]
        return piece in self.pieces or self._become([*others, piece])

    def take_most(self, more: list[ContextPiece]) -> None:
        """Tell as many more pieces as fit together, the first ones first; of those that do not fit, three are passed over."""
        for _ in range(PATIENCE):
            more = more[self._take_first(more) + 1 :]

    def _take_first(self, more: list[ContextPiece]) -> int:
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
        return low

    def _become(self, pieces: list[ContextPiece]) -> bool:
        pieces = sorted(pieces, key=_place)
        text = written(pieces)
        tokens = self._budget.cost(text)
        if tokens <= self._budget.max_tokens:
            self.pieces, self.text, self.tokens = pieces, text, tokens
        return tokens <= self._budget.max_tokens


class Plan:
    """More pieces that are to be told, by what each costs by itself, the first one of a band with its heading."""

    def __init__(self, told: Told, budget: Budget) -> None:
        self.pieces: list[ContextPiece] = []
        self.left = budget.max_tokens - told.tokens
        self._budget = budget
        self._headed = {piece.band for piece in told.pieces}
        self._told = {(piece.kind, piece.id) for piece in told.pieces}  # or to be told, in whatever form

    def take(self, piece: ContextPiece, most: int) -> bool:
        """Add a piece that by itself costs no more than that, if there is room for it."""
        if piece.tokens > min(most, self.left):
            return False
        price = piece.tokens if piece.band in self._headed else self._budget.cost(written([piece]))
        if price > self.left:
            return False
        self.left -= price
        self._headed.add(piece.band)
        self._told.add((piece.kind, piece.id))
        self.pieces.append(piece)
        return True

    def take_best(self, band: str, forms: Forms) -> None:
        """Add a piece: at length for no more than the share of its band or half of the room, at its shortest for all of it."""
        costed = [self._budget.costed(piece) for piece in forms]
        most = max(self._budget.share(band), self.left // 2)
        if not any(self.take(piece, most) for piece in costed):
            for piece in costed[-1:]:
                self.take(piece, self.left)

    def fill(self, band: str, found: Iterable[Forms], share: int | None = None) -> None:
        """Add pieces of a band that are not told yet, up to its share or as long as there is room."""
        most = self.left if share is None else share - sum(piece.tokens for piece in self.pieces if piece.band == band)

        def taking(piece: ContextPiece) -> bool:
            nonlocal most
            taken = self.take(piece, most)
            most -= piece.tokens if taken else 0
            return taken

        if min(most, self.left) > 0:
            _fill((forms for forms in found if (forms[0].kind, forms[0].id) not in self._told), self._budget, taking)


def fitted(
    found: Mapping[str, Iterable[Forms]], more: Mapping[str, Iterable[Forms]], budget: Budget
) -> tuple[list[ContextPiece], str, int]:
    """The pieces that are told, in their order, with the text and its tokens; `more` follows `found` where there is room.

    First each band has its best piece, which may go over its share, and is filled up to that; then all is cut to what fits, chunks of
    documents take what is left, what they leave goes to the bands again, and a note that was cut is told longer where it can be.
    """
    bands = {name: tee(found.get(name, ()), 3) for name in KEPT}
    told = Told(budget)

    plan = Plan(told, budget)
    for name, (offered, *_) in bands.items():
        plan.take_best(name, next(offered, ()))
    for name, (offered, *_) in bands.items():
        plan.fill(name, offered, budget.share(name))
    told.take_most(sorted(plan.pieces, key=_place))

    plan = Plan(told, budget)
    plan.fill("retrieval", found.get("retrieval", ()))
    told.take_most(plan.pieces)

    plan = Plan(told, budget)
    for name, (_, offered, _) in bands.items() if plan.left * WASTE > budget.max_tokens else ():
        plan.fill(name, chain(offered, more.get(name, ())))
    told.take_most(plan.pieces)

    _fill(bands["backup"][2], budget, told.take)
    return told.pieces, told.text, told.tokens


def _place(piece: ContextPiece) -> int:
    return _PLACES[piece.band]


def _fill(found: Iterable[Forms], budget: Budget, take: Callable[[ContextPiece], bool]) -> None:
    """Offer pieces, each in its longest form that is taken; one that is too long gives way to the next, three in a row end it."""
    missed = 0
    for forms in found:
        missed = 0 if any(take(budget.costed(piece)) for piece in forms) else missed + 1
        if missed == PATIENCE:
            return
