"""The nearest vectors: estimates choose candidates, and exact comparison decides.

1. Some candidates with the highest estimates are compared first. They show how far estimates lie from the truth; with that, and with
   how many vectors are estimated how near, follows how deep to go until hardly a better one is expected among the rest. What is
   compared on the way down says it anew, until there is no need to go deeper; where codes tell too little, that is down to the end.
2. A coarse look comes first. Data in clusters, where the best stand out, take a few dozen comparisons after it. Where it would take
   many, as on data without structure, a closer look, which adds to the first, costs less than the comparisons that it saves.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from .memory import marked
from .planes import COARSE, FINE, Shares, Weights, descending, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .floats import Query
    from .memory import Known, Row, Space

FEWEST = 10  # hits that are searched for even where fewer are wanted: from one alone too little is seen of how far estimates are off
FIRST = 24  # candidates that are compared before it is decided how many more
MISSED = 0.005  # of the hits: how many may be expected to be missed; in clusters estimates err together, and more are
GROWTH = 3  # times as many as have been, which may be compared before it is asked anew how many there are to be
BLUNT = 4.5  # standard deviations beyond which no estimate is expected to be wrong
BANDS = 3  # into at least how many the error of an estimate is divided, by sums
PRIOR = 8  # how many candidates the error that is expected anyway counts for
CLOSER = (40, 400)  # what a closer look costs in comparisons: so many, and one for each so many vectors


class Search:
    """The best hits of one query in one space so far, at times a few more than wanted."""

    def __init__(self, space: Space, query: Query, limit: int) -> None:
        self.space = space
        self.query = query
        self.limit = max(limit, FEWEST)
        self.hits: list[tuple[float, str]] = []  # score turned round, so that they sort best first, and id
        self.gone: set[int] = set()  # keys that memory has and the table has not
        self._scores: dict[int, float] = {}  # of the candidates, by key

    def exactly(self, pages: Iterable[list[Row]], only: set[int] | None = None) -> None:
        """Compare rows one by one."""
        for page in pages:
            self._compare(page if only is None else [row for row in page if row[0] in only])

    def among(self, known: Known, only: set[int] | None = None) -> None:
        """Compare those rows that the codes in memory propose, and the tail."""
        self.exactly(self.space.after(known.seen), only)
        masks = [alive if only is None else alive & marked(block.keys, only) for block, alive in zip(known.blocks, known.alive)]
        blocks = [(block, mask) for block, mask in zip(known.blocks, masks) if mask]
        shares, weights = Shares(self.query.unit, known.scale), None
        sums: list[list[int]] = [[] for _ in blocks]
        for grain in (COARSE, FINE) if blocks else ():
            weights = Weights(shares, grain, weights)
            sums = [weights.sums(block, mask, before) for (block, mask), before in zip(blocks, sums)]
            look = _Look(self, weights, [_Rated(block.keys, mask, each) for (block, mask), each in zip(blocks, sums)])
            if look.settled(look.everything if grain is FINE else CLOSER[0] + look.everything // CLOSER[1]):
                break

    def scored(self, keys: Sequence[int]) -> list[float | None]:
        """Compare candidates that have not been, and return the scores of all, None for those whose rows are gone."""
        for page in self.space.chosen([key for key in keys if key not in self._scores]):
            self._scores.update(zip([row[0] for row in page], self._compare(page)))
        self.gone.update([key for key in keys if key not in self._scores])
        return [self._scores.get(key) for key in keys]

    def _compare(self, rows: Sequence[Row]) -> list[float]:
        score = self.query.score
        scores = [score(norm, vector) for _, _, norm, vector in rows]
        least = -self.hits[-1][0] if len(self.hits) >= self.limit else -1.0
        self.hits = sorted(self.hits + [(-each, row[1]) for each, row in zip(scores, rows) if each >= least])[: self.limit]
        return scores


class _Look:
    """What a query makes of all codes, as closely as its weights say."""

    def __init__(self, search: Search, weights: Weights, blocks: Sequence[_Rated]) -> None:
        self._search = search
        self._weights = weights
        self._blocks = blocks
        self._missed = MISSED * search.limit
        low = int(weights.error / (BANDS * weights.unit)).bit_length() - 1
        low = max(0, min(low, len(blocks[0].sums)))  # codes of which none tells anything make sums that are shorter than their error
        self._middle = ((1 << low) - 1) / 2
        self._deeper = descending([(block.sums, block.mask) for block in blocks], low)
        self._bands: list[_Band] = []  # those that were looked at so far
        self._compared = 0  # how many of those bands have been
        self._errors: list[float] = []  # by how much estimates were too low, the highest estimates first
        self.everything = sum([block.mask.bit_count() for block in blocks])

    def settled(self, most: int) -> bool:
        """Compare what may be among the best; False, before that is done, where it is more than so many.

        How far estimates are off is seen anew with each step down, by those that were last reached: the highest are the highest also for
        being too high, and tell little of the rest.
        """
        cut = self._holding(max(FIRST, self._search.limit * 3 // 2))
        deepest = cut
        while self._reach(deepest) <= most:
            self._propose(cut)
            deepest = self._expected(cut)
            if deepest == cut:
                return True
            if self._reach(deepest) * 2 >= self.everything:
                deepest = cut = self._holding(self.everything)  # codes that tell so little are not to be trusted at all
            else:
                cut = min(deepest, self._holding(GROWTH * self._reach(cut)))
        return False

    def _reach(self, cut: int) -> int:
        """How many lie in so many bands."""
        return self._bands[cut - 1].reach if cut else 0

    def _holding(self, count: int) -> int:
        """In how many bands so many lie."""
        count = min(count, self.everything)
        while self._reach(len(self._bands)) < count:
            self._look()
        return bisect_left(self._bands, count, key=attrgetter("reach")) + 1

    def _look(self) -> bool:
        """Look at one more band, if there is one."""
        for total, masks in self._deeper:
            size = sum([mask.bit_count() for mask in masks])
            estimate = self._weights.estimate(total + self._middle)
            self._bands.append(_Band(estimate, size, self._reach(len(self._bands)) + size, masks))
            return True
        return False

    def _propose(self, cut: int) -> None:
        """Compare what lies in so many bands."""
        found = [
            (band.estimate, block.keys[place])
            for band in self._bands[self._compared : cut]
            for block, mask in zip(self._blocks, band.masks)
            for place in places(mask)
        ]
        scores = self._search.scored([key for _, key in found])
        self._errors += [score - estimate for (estimate, _), score in zip(found, scores) if score is not None]
        self._compared = cut

    def _expected(self, cut: int) -> int:
        """How many bands there are in which one of the best is expected at all."""
        errors = self._errors[-max(FIRST, len(self._errors) // 3) :]
        if len(self._search.hits) < self._search.limit or not errors:  # rows are gone: look further
            return self._holding(4 * self._reach(cut))
        mean = max(0.0, math.fsum(errors) / len(errors))  # that these were too high does not say it of the rest: they were chosen for it
        above = [each - mean for each in errors if each > mean]  # those that matter, and more spread out where data are skewed
        spread = math.sqrt((PRIOR * self._weights.error**2 + math.fsum([each * each for each in above])) / (PRIOR + len(above)))
        least = -self._search.hits[-1][0] - mean  # the estimate of one that would be as good as the last
        while self._bands[-1].estimate > least - BLUNT * spread and self._look():
            pass
        missed = 0.0
        for place in range(len(self._bands) - 1, cut - 1, -1):
            band = self._bands[place]
            missed += band.size * math.erfc((least - band.estimate) / (spread * math.sqrt(2))) / 2
            if missed > self._missed:
                return place + 1
        return cut


class _Rated(NamedTuple):
    """A block with the sums of a query."""

    keys: Sequence[int]
    mask: int
    sums: list[int]


class _Band(NamedTuple):
    """Those whose sums are about the same."""

    estimate: float
    size: int
    reach: int  # how many are in it and in higher ones
    masks: list[int]
