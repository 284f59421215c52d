"""A graph in memory, chains of entities for it, and what is found by name; a module that wants the fixtures binds them to their names."""

from __future__ import annotations

import pytest

from memstore import open_store


@pytest.fixture
def store(store_clock):
    """Where it lies makes no difference to a graph."""
    with open_store(clock=store_clock) as opened:
        yield opened


@pytest.fixture
def graph(store):
    return store.knowledge


def names(found):
    return [item.name for item in found]


def chain(graph, *names, kind="depends_on"):
    """Entities each of which leads to the next, by name."""
    found = [graph.add_entity("Component", name, id=name) for name in names]
    for one, other in zip(found, found[1:]):
        graph.relate(one.id, kind, other.id)
    return found
