"""The ten nearest of 384 dimensions, beside numpy's product with all of them: data in clusters, and data without any structure.

Where numpy is absent there is nothing beside. It takes as many threads as it likes; OPENBLAS_NUM_THREADS=1 in the environment makes
that one. Clusters have a spectrum that falls off, and a query is a noisy copy of a vector, or of nothing where there are no clusters.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from memstore import Store

from .harness import Bench, Row, at_least, at_most

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

MANY, FEW, DIMS, TOPICS, QUERIES = 100_000, 10_000, 384, 200, 100
TIMES = at_most(200e-6, "s")


def clustered(count: int) -> tuple[Sequence[Any], Sequence[Any]]:
    """Vectors around topics, and noisy copies of some."""
    if numpy is None:
        return isotropic(count)
    rng = numpy.random.default_rng(1)
    spectrum = (1 + numpy.arange(DIMS)) ** -0.5
    turn = numpy.linalg.qr(rng.standard_normal((DIMS, DIMS)))[0]
    topics = rng.standard_normal((TOPICS, DIMS)) * spectrum
    found = (topics[rng.integers(0, TOPICS, count)] + 0.6 * rng.standard_normal((count, DIMS)) * spectrum) @ turn
    found = unit(found)
    noise = rng.standard_normal((QUERIES, DIMS)) * 0.3 / DIMS**0.5
    return found, unit(found[rng.integers(0, count, QUERIES)] + noise)


def isotropic(count: int) -> tuple[Sequence[Any], Sequence[Any]]:
    """Vectors of any direction."""
    if numpy is None:
        plain = random.Random(1)
        drawn = [[plain.gauss(0.0, 1.0) for _ in range(DIMS)] for _ in range(min(count, FEW) + QUERIES)]
        return drawn[QUERIES:], drawn[:QUERIES]
    rng = numpy.random.default_rng(1)
    return unit(rng.standard_normal((count, DIMS))), unit(rng.standard_normal((QUERIES, DIMS)))


def unit(rows: Any) -> Any:
    return (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")


def filled(bench: Bench, name: str, rows: Sequence[Any]) -> Store:
    store = bench.store(name)
    store.vectors.add(((str(number), row) for number, row in enumerate(rows)), model="made up")
    return store


def by_numpy(rows: Any) -> Callable[[Any], list[int]]:
    def ten(query: Any) -> list[int]:
        scores = rows @ query
        best = numpy.argpartition(-scores, 10)[:10]
        return [int(place) for place in best[numpy.argsort(-scores[best])]]

    return ten


def raced(bench: Bench, what: str, rows: Sequence[Any], queries: Sequence[Any], times: float, share: float) -> Iterator[Row]:
    room = filled(bench, what, rows).vectors
    begin = bench.clock()
    room.nearest(queries[0], model="made up")
    work = f"nearest 10 of {len(rows):,} {what}"
    yield Row(f"{work}, the first, which makes the codes of all", bench.clock() - begin, None, None)
    asked = queries[: bench.size(QUERIES)]
    beside = by_numpy(rows) if numpy is not None else None
    # All queries of one side, then all of the other: each product streams all vectors through the cache that the other works in.
    sides: list[Callable[[], object]] = [lambda: [room.nearest(query, model="made up") for query in asked]]
    if beside is not None:
        sides.append(lambda: [beside(query) for query in asked])
    spent = bench.race(*sides, rounds=6, per=len(asked))
    found = 0
    for query in asked:
        exact = beside(query) if beside is not None else [int(hit.id) for hit in room.nearest(query, model="made up", exact=True)]
        found += len({int(hit.id) for hit in room.nearest(query, model="made up")} & {*exact})
    raw = spent[1] if beside is not None else None
    yield Row(work, spent[0], raw, at_most(times) if raw is not None else None)
    yield Row(f"{work}, recall", found / len(asked) / 10, None, at_least(share, ""), "")


def many_in_clusters(bench: Bench) -> Iterator[Row]:
    yield from raced(bench, "in clusters", *clustered(bench.size(MANY, 400)), 1.0, 0.99)


def few_in_clusters(bench: Bench) -> Iterator[Row]:
    yield from raced(bench, "in fewer clusters", *clustered(bench.size(FEW, 400)), 3.5, 0.99)


def without_structure(bench: Bench) -> Iterator[Row]:
    yield from raced(bench, "without structure", *isotropic(bench.size(MANY, 400)), 3.0, 0.95)


def added(bench: Bench) -> Iterator[Row]:
    """One vector to a commit."""
    rows, _ = isotropic(bench.size(2_000, 40))
    room, spent = bench.store("added").vectors, []
    for number, row in enumerate(rows):
        begin = bench.clock()
        room.add([(str(number), row)], model="made up")
        spent.append(bench.clock() - begin)
    yield Row("add one vector, one commit", statistics.median(spent), None, TIMES)


CASES = (many_in_clusters, few_in_clusters, without_structure, added)
