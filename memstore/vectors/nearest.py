"""The nearest vectors: estimates choose candidates, and exact comparison decides.

1. Some candidates with the highest estimates are compared first. They show how far estimates lie from the truth; with that, and with
   how many vectors are estimated how near, follows how deep to go until hardly a better one is expected among the rest.
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
MISSED = {COARSE: 0.01, FINE: 0.05}  # of the hits: how many may be expected to be missed; in clusters estimates err together
BLUNT = 4.5  # standard deviations beyond which no estimate is expected to be wrong
PRIOR = 16  # how many candidates the error that is expected anyway counts for
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
            deep = look.deep_enough()
            if look.count(deep) <= CLOSER[0] + look.everything // CLOSER[1]:
                break
        look.propose(deep)

    def candidates(self, keys: Sequence[int]) -> dict[int, float]:
        """Compare candidates that have not been, and return the scores of all so far, by key; some rows may be gone."""
        for page in self.space.chosen([key for key in keys if key not in self._scores]):
            self._scores.update(zip([row[0] for row in page], self._compare(page)))
        self.gone.update([key for key in keys if key not in self._scores])
        return self._scores

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
        self.everything = sum([block.mask.bit_count() for block in self._blocks])

    def count(self, total: int) -> int:
        """How many reach a sum."""
        return sum([block.reach(total).bit_count() for block in self._blocks])

    def propose(self, total: int) -> None:
        """Compare what reaches a sum."""
        self._search.candidates([block.keys[place] for block in self._blocks for place in places(block.reach(total))])

    def errors(self, total: int) -> list[float]:
        """Compare what reaches a sum, and say by how much the estimates were too low."""
        errors: list[float] = []
        for block in self._blocks:
            chosen = list(places(block.reach(total)))
            keys = [block.keys[place] for place in chosen]
            scores = self._search.candidates(keys)
            sums = totals(block.sums, chosen, len(block.keys))
            errors += [scores[key] - self._weights.estimate(each) for key, each in zip(keys, sums) if key in scores]
        return errors

    def deep_enough(self) -> int:
        """The sum below which as good as no vector is expected to be among the best."""
        wanted, sums = max(FIRST, self._search.limit * 3 // 2), [(block.sums, block.mask) for block in self._blocks]
        errors: list[float] = []
        total = 0
        while wanted < self.everything:
            total = reached(sums, wanted)
            errors = self.errors(total)
            if len(self._search.hits) == self._search.limit and errors:
                return self._expected(total, errors)
            wanted *= 4  # rows are gone: look further
        return 0

    def _expected(self, total: int, errors: list[float]) -> int:
        mean = math.fsum(errors) / len(errors)
        spread = math.sqrt((PRIOR * self._weights.error**2 + math.fsum([(each - mean) ** 2 for each in errors])) / (PRIOR + len(errors)))
        least = -self._search.hits[-1][0] - mean  # the estimate of one that would be as good as the last
        start = self._weights.estimate(total)
        bands = max(0, math.ceil((start - least + BLUNT * spread) / (spread / 2)))
        cuts = [total, *[self._weights.total(start - band * spread / 2) for band in range(1, bands + 1)]]
        counts = [self.count(each) for each in cuts]
        missed = 0.0
        for band in range(bands, 0, -1):
            chance = math.erfc((least - start + (band - 0.5) * spread / 2) / (spread * math.sqrt(2))) / 2
            missed += (counts[band] - counts[band - 1]) * chance
            if missed > self._missed:
                return cuts[band]
        return total


class _Rated:
    """A block with the sums of a query."""

    __slots__ = ("keys", "mask", "sums")

    def __init__(self, keys: Sequence[int], sums: list[int], mask: int) -> None:
        self.keys = keys
        self.sums = sums
        self.mask = mask

    def reach(self, total: int) -> int:
        """The mask of those that reach a sum."""
        return reaching(self.sums, self.mask, total)
