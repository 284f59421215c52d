"""Walks over 100,000 entities and 500,000 relationships: uniformly random, and with a hundred hubs at a tenth of all ends."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator

from memstore import Store
from memstore.knowledge import KnowledgeStore

from .harness import Bench, Row, at_most

ENTITIES, EDGES, HUBS = 100_000, 500_000, 100
EDGE = "INSERT INTO relationships(id, created_at, source, target, kind) VALUES (?, 0, ?, ?, 'depends_on')"
LIMIT = at_most(20e-3, "s")


def entities(bench: Bench) -> Store:
    store = bench.store("graph")
    with store.transaction():
        for number in range(bench.size(ENTITIES)):
            store.knowledge.add_entity("Component", f"part {number}", id=f"n{number}", created_at=0)
    return store


def wired(bench: Bench, share: float) -> KnowledgeStore:
    """The graph with new edges, of whose ends a share is at hubs; they are written past `relate`, which is not what is measured."""
    room, rng, count = bench.shared(entities).knowledge, random.Random(5), bench.size(ENTITIES)

    def end() -> int:
        return 1 + (rng.randrange(min(HUBS, count)) if rng.random() < share else rng.randrange(count))

    with room.db.write() as connection:
        connection.run("DELETE FROM relationships")
        connection.many(EDGE, ((f"r{number}", end(), end()) for number in range(bench.size(EDGES))))
    bench.shared(entities).optimize()
    return room


def percentiles(bench: Bench, ask: Callable[[str, str], object]) -> tuple[float, float]:
    """p50 and p95 of a question about random entities, each asked twice: the second time tells less of who else has the disk."""
    rng, spent, count = random.Random(7), [], bench.size(ENTITIES)
    for _ in range(bench.size(200)):
        asked, twice = [f"n{rng.randrange(count)}" for _ in range(2)], []
        for _ in range(2):
            begin = bench.clock()
            ask(*asked)
            twice.append(bench.clock() - begin)
        spent.append(min(twice))
    return statistics.median(spent), statistics.quantiles(spent, n=20)[18]


def rows(bench: Bench, kind: str, questions: dict[str, Callable[[str, str], object]]) -> Iterator[Row]:
    for what, ask in questions.items():
        p50, p95 = percentiles(bench, ask)
        yield Row(f"{what} on a {kind} graph, p50", p50, None, None)
        yield Row(f"{what} on a {kind} graph of {bench.size(ENTITIES):,} and {bench.size(EDGES):,}, p95", p95, None, LIMIT)


def uniform(bench: Bench) -> Iterator[Row]:
    room = wired(bench, 0.0)
    questions: dict[str, Callable[[str, str], object]] = {
        "neighbours either way, depth 3": lambda a, _: room.neighbours(a, depth=3),
        "impact, depth 3": lambda a, _: room.impact(a),
        "path of at most 3": lambda a, b: room.path(a, b, max_depth=3),
        "path of at most 6": lambda a, b: room.path(a, b),
    }
    yield from rows(bench, "uniform", questions)


def hubs(bench: Bench) -> Iterator[Row]:
    """Half of such a graph is within three steps of anybody, so that only so many are asked for."""
    room = wired(bench, 0.1)
    questions: dict[str, Callable[[str, str], object]] = {
        "100 nearest neighbours either way, depth 3": lambda a, _: room.neighbours(a, depth=3, limit=100),
        "impact, 100 nearest, depth 3": lambda a, _: room.impact(a, limit=100),
        "path of at most 3": lambda a, b: room.path(a, b, max_depth=3),
        "path of at most 6": lambda a, b: room.path(a, b),
    }
    yield from rows(bench, "hub", questions)


def related(bench: Bench) -> Iterator[Row]:
    """Relationships of one kind as they are added, the first and the last tenth of them: no more is read for the later ones."""
    room, rng, count = bench.store("related").knowledge, random.Random(9), bench.size(EDGES // 10)
    with room.db.write():
        ids = [room.add_entity("Component", f"part {number}").id for number in range(bench.size(ENTITIES // 10))]
    spent = []
    for _ in range(10):
        begin = bench.clock()
        with room.db.write():
            for _ in range(count // 10):
                room.relate(rng.choice(ids), "depends_on", rng.choice(ids))
        spent.append((bench.clock() - begin) / (count // 10))
    yield Row(f"relate, the last of {count:,} of a kind beside the first", spent[-1], spent[0], at_most(2))


CASES = (uniform, hubs, related)
