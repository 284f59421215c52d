"""The nearest vectors: estimates choose candidates, and exact comparison decides.

1. Some candidates with the highest estimates are compared first. They show how far estimates lie from the truth; with that, and with
   how many vectors are estimated how near, follows how deep to go until hardly a better one is expected among the rest.
2. So data in clusters, where the best stand out, take a few dozen comparisons, and data without structure some hundred.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from .memory import marked
from .planes import Weights, places, reached, reaching, totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .floats import Query
    from .memory import Known, Row, Space

FIRST = 24  # candidates that are compared before it is decided how many more
MISSED = 0.01  # of the hits: how many may be expected to be missed
BLUNT = 4.5  # standard deviations beyond which no estimate is expected to be wrong
PRIOR = 8  # how many candidates the error that is expected anyway counts for


class Search:
    """The best hits of one query in one space so far."""

    def __init__(self, space: Space, query: Query, limit: int) -> None:
        self.space = space
        self.query = query
        self.limit = limit
        self.hits: list[tuple[float, str]] = []  # score turned round, so that they sort best first, and id
        self.gone: set[int] = set()  # keys that memory has and the table has not

    def exactly(self, pages: Iterable[list[Row]], only: set[int] | None = None) -> None:
        """Compare rows one by one."""
        for page in pages:
            self._compare(page if only is None else [row for row in page if row[0] in only])

    def among(self, known: Known, only: set[int] | None = None) -> None:
        """Compare those rows that the codes in memory propose, and the tail."""
        self.exactly(self.space.after(known.seen), only)
        weights, blocks = Weights(self.query.unit, known.scale), []
        for block, alive in zip(known.blocks, known.alive):
            mask = alive if only is None else alive & marked(block.keys, only)
            if mask:
                blocks.append(_Rated(block.keys, weights.sums(block, mask), mask))
        wanted, everything = max(FIRST, 2 * self.limit), sum([each.mask.bit_count() for each in blocks])
        sums = [(each.sums, each.mask) for each in blocks]
        total, errors = reached(sums, wanted), []
        errors += self._propose(blocks, total, weights)
        while len(self.hits) < self.limit and wanted < everything:  # rows are gone: look further
            wanted *= 4
            total = reached(sums, wanted)
            errors += self._propose(blocks, total, weights)
        if wanted < everything:
            self._propose(blocks, self._deep_enough(blocks, total, weights, errors), None)

    def _compare(self, rows: Sequence[Row]) -> list[float]:
        """The scores of rows, the best of which are kept."""
        score = self.query.score
        scores = [score(norm, vector) for _, _, norm, vector in rows]
        found = [(-each, row[1]) for each, row in zip(scores, rows)]
        self.hits = heapq.nsmallest(self.limit, self.hits + found)
        return scores

    def _propose(self, blocks: list[_Rated], total: int, weights: Weights | None) -> list[float]:
        """Compare what reaches a sum and has not been compared; with weights, return by how much each estimate was too low."""
        estimates: dict[int, float] = {}
        keys: list[int] = []
        for block in blocks:
            chosen = block.take(total)
            keys += [block.keys[place] for place in chosen]
            if weights is not None:
                rated = totals(block.sums, chosen, len(block.keys))
                estimates.update((block.keys[place], weights.estimate(each)) for place, each in zip(chosen, rated))
        errors: list[float] = []
        found: set[int] = set()
        for page in self.space.chosen(keys):
            scores = self._compare(page)
            found.update([row[0] for row in page])
            errors += [each - estimates[row[0]] for each, row in zip(scores, page)] if weights is not None else []
        self.gone.update(found.symmetric_difference(keys))
        return errors

    def _deep_enough(self, blocks: list[_Rated], total: int, weights: Weights, errors: list[float]) -> int:
        """The sum below which as good as no vector is expected to be among the best."""
        mean = math.fsum(errors) / len(errors)
        spread = math.sqrt((PRIOR * weights.error**2 + math.fsum([(each - mean) ** 2 for each in errors])) / (PRIOR + len(errors)))
        least = -self.hits[-1][0] - mean  # the estimate of one that would be as good as the last
        upper, estimate = [each.count(total) for each in blocks], weights.estimate(total)
        bands: list[tuple[int, float]] = []
        many = sum(upper)
        while estimate > least - BLUNT * spread:
            estimate -= spread / 2
            lower = weights.total(estimate)
            fewer, many = many, sum([each.count(lower) for each in blocks])
            chance = math.erfc((least - estimate - spread / 4) / (spread * math.sqrt(2))) / 2
            bands.append((lower, (many - fewer) * chance))
        missed = 0.0
        while bands and missed + bands[-1][1] <= MISSED * self.limit:
            missed += bands.pop()[1]
        return bands[-1][0] if bands else total


class _Rated:
    """A block with the sums of a query."""

    __slots__ = ("_taken", "keys", "mask", "sums")

    def __init__(self, keys: Sequence[int], sums: list[int], mask: int) -> None:
        self.keys = keys
        self.sums = sums
        self.mask = mask
        self._taken = 0

    def count(self, total: int) -> int:
        """How many reach a sum."""
        return reaching(self.sums, self.mask, total).bit_count()

    def take(self, total: int) -> list[int]:
        """The places that reach a sum and were not taken before."""
        reach = reaching(self.sums, self.mask, total)
        fresh, self._taken = reach ^ self._taken, reach  # what reaches more reaches less
        return list(places(fresh))
