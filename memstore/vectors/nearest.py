"""The nearest vectors: estimates choose candidates, and exact comparison decides.

1. Some candidates with the highest estimates are compared first. They show how far estimates lie from the truth; with that, and with
   how many vectors are estimated how near, follows how deep to go until hardly a better one is expected among the rest. What is
   compared on the way down says it anew, until there is no need to go deeper; where codes tell too little, that is down to the end.
2. A coarse look comes first. Data in clusters, where the best stand out, take a few dozen comparisons after it. Where it would take
   many, as on data without structure, a closer look costs less than the comparisons that it saves.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from .memory import marked
from .planes import COARSE, FINE, Weights, places, reached, reaching, totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .floats import Query
    from .memory import Known, Row, Space
    from .planes import Grain

FIRST = 16  # candidates that are compared before it is decided how many more
MISSED = {COARSE: 0.01, FINE: 0.02}  # of the hits: how many may be expected to be missed; in clusters estimates err together
BLUNT = 4.5  # standard deviations beyond which no estimate is expected to be wrong
PRIOR = 8  # how many candidates the error that is expected anyway counts for
SHY = 16  # how many estimates that were right count against those that were too high
CLOSER = (40, 400)  # what a closer look costs in comparisons: so many, and one for each so many vectors


class Search:
    """The best hits of one query in one space so far."""

    def __init__(self, space: Space, query: Query, limit: int) -> None:
        self.space = space
        self.query = query
        self.limit = limit
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
        for grain in (COARSE, FINE):
            look = _Look(self, known, masks, grain)
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
        self.hits = heapq.nsmallest(self.limit, self.hits + [(-each, row[1]) for each, row in zip(scores, rows)])
        return scores


class _Look:
    """What a query makes of all codes, as closely as a grain says."""

    def __init__(self, search: Search, known: Known, masks: Sequence[int], grain: Grain) -> None:
        self._search = search
        self._missed = MISSED[grain] * search.limit
        self._weights = Weights(search.query.unit, known.scale, grain)
        self._blocks = [
            _Rated(block.keys, self._weights.sums(block, mask), mask) for block, mask in zip(known.blocks, masks) if mask
        ]
        self._band = max(1, round(self._weights.error / (2 * self._weights.unit)))  # sums that are counted together
        self._counts: dict[int, int] = {}
        self._compared: list[tuple[int, float]] = []  # sums and scores, the lowest sum first
        self.everything = sum([block.mask.bit_count() for block in self._blocks])

    def count(self, total: int) -> int:
        """How many reach a sum."""
        if total not in self._counts:
            self._counts[total] = sum([block.reach(total).bit_count() for block in self._blocks])
        return self._counts[total]

    def _reached(self, count: int) -> int:
        """The highest sum that so many reach."""
        return reached([(block.sums, block.mask) for block in self._blocks], count) if count < self.everything else 0

    def settled(self, most: int) -> bool:
        """Compare what may be among the best; False, before that is done, where it is more than so many.

        How far estimates are off is seen anew with each step down, by those that were last reached: the highest are the highest also for
        being too high, and tell little of the rest.
        """
        cut = self._reached(max(FIRST, self._search.limit * 3 // 2))
        while self.count(cut) <= most:
            errors = self._propose(cut)
            deeper = self._expected(cut, errors) if cut else 0
            if deeper == cut:
                return True
            cut = deeper if self.count(deeper) * 2 < self.everything else 0  # codes that tell so little are not to be trusted at all
        return False

    def _propose(self, cut: int) -> list[float]:
        """Compare what reaches a sum, and return by how much the lowest third of the estimates were too low."""
        new: list[tuple[int, float]] = []
        for block in self._blocks:
            reach = block.reach(cut)
            chosen = list(places(reach & ~block.compared))
            block.compared = reach
            scores = self._search.scored([block.keys[place] for place in chosen])
            new += [(total, score) for score, total in zip(scores, totals(block.sums, chosen, len(block.keys))) if score is not None]
        self._compared = sorted(new) + self._compared
        lowest = self._compared[: max(FIRST, len(self._compared) // 3)]
        return [score - self._weights.estimate(total) for total, score in lowest]

    def _expected(self, total: int, errors: list[float]) -> int:
        """The sum below which as good as no vector is expected to be among the best."""
        if len(self._search.hits) < self._search.limit or not errors:  # rows are gone: look further
            return self._reached(4 * self.count(total))
        mean = math.fsum(errors) / len(errors)
        mean = max(mean, mean * len(errors) / (len(errors) + SHY))  # a few that were too high may have been chosen for that
        above = [each - mean for each in errors if each > mean]  # those that matter, and more spread out where data are skewed
        spread = math.sqrt((PRIOR * self._weights.error**2 + math.fsum([each * each for each in above])) / (PRIOR + len(above)))
        least = -self._search.hits[-1][0] - mean  # the estimate of one that would be as good as the last
        bottom, top, missed = self._weights.total(least - BLUNT * spread) // self._band, -(-total // self._band), 0.0
        for band in range(bottom, top):
            cut, upper = band * self._band, min((band + 1) * self._band, total)
            chance = math.erfc((least - self._weights.estimate((cut + upper) / 2)) / (spread * math.sqrt(2))) / 2
            missed += (self.count(cut) - self.count(upper)) * chance
            if missed > self._missed:
                return cut
        return total


class _Rated:
    """A block with the sums of a query."""

    __slots__ = ("compared", "keys", "mask", "sums")

    def __init__(self, keys: Sequence[int], sums: list[int], mask: int) -> None:
        self.keys = keys
        self.sums = sums
        self.mask = mask
        self.compared = 0  # the mask of those that have been

    def reach(self, total: int) -> int:
        """The mask of those that reach a sum."""
        return reaching(self.sums, self.mask, total)
