"""A few vectors to be told apart at sight, any number of others, memories that have some, and how all rank when compared."""

from __future__ import annotations

import math

EAST, NORTH, BETWEEN = [1.0, 0.0], [0.0, 2.0], [3.0, 4.0]


def some(rng, count, dims=8, start=0):
    """Ids with vectors of any direction and length."""
    return [(f"v{start + number}", [rng.gauss(0.0, 1.0) for _ in range(dims)]) for number in range(count)]


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def ranked(items, vector, limit=10):
    """Plainly: all compared, the best first, equal ones by id."""
    scored = sorted((-cosine(stored, vector), id) for id, stored in items.items())
    return [id for _, id in scored[:limit]]


def ids(hits):
    return [hit.id for hit in hits]


def told(store, count=5):
    """Memories with vectors of an old model."""
    made = [store.memories.add("knowledge", f"belief number {'x' * number}", id=f"m{number}").id for number in range(count)]
    store.vectors.add([(id, EAST) for id in made], model="old", kind="memory")
    return made
