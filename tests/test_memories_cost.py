"""What the calls of everyday cost does not grow with what is remembered already."""

from __future__ import annotations

import pytest

from memstore import open_store
from memstore.testing import FakeClock, stop_at_step

RESPONSE = "## Decision\n- quartz goes first\n- marble goes second\n\nI prefer slate."
CALLS = {
    "add": lambda memories: memories.add("knowledge", "quartz is a stone"),
    "add of what is known": lambda memories: memories.add("knowledge", "subject3q has colour3q"),
    "update": lambda memories: memories.update("m-3", content="quartz is a stone"),
    "promote": lambda memories: memories.promote("m-candidate"),
    "supersede": lambda memories: memories.supersede("m-3", by="m-4"),
    "search": lambda memories: memories.search("subject3q"),
    "find": lambda memories: memories.find(limit=3),
    "find before": lambda memories: memories.find(limit=3, before="m-9"),
    "capture": lambda memories: memories.capture("how?", RESPONSE, memories_used=["m-1", "m-2"]),
    "extract_candidates": lambda memories: memories.extract_candidates("i-3"),
    "reinforce": lambda memories: memories.reinforce("subject3q has colour3q"),
    "explain": lambda memories: memories.explain("i-3"),
    "interactions": lambda memories: memories.interactions(limit=3),
    "interactions before": lambda memories: memories.interactions(limit=3, before="i-9"),
    "interactions of a session": lambda memories: memories.interactions(session_id="s-3"),
}


@pytest.fixture(scope="module")
def stores():
    """A store with few memories and interactions, and one with many times as many."""
    with open_store(clock=FakeClock()) as few, open_store(clock=FakeClock()) as many:
        for store, count in ((few, 40), (many, 400)):
            with store.transaction():
                for number in range(count):
                    at = {"created_at": float(number)}
                    store.memories.add("knowledge", f"subject{number}q has colour{number}q", id=f"m-{number}", **at)
                    used = {"session_id": f"s-{number}", "memories_used": [f"m-{number}"]}
                    store.memories.capture("how?", RESPONSE, id=f"i-{number}", **used, **at)
                store.memories.add("knowledge", "slate is a stone", id="m-candidate", status="candidate")
        yield few, many


def steps(store, call):
    """Hundreds of steps that SQLite takes for a call, which is taken back."""
    with stop_at_step(store, -1) as count, pytest.raises(ZeroDivisionError), store.transaction():
        call(store.memories)
        raise ZeroDivisionError
    return count[0]


@pytest.mark.parametrize("name", CALLS)
def test_ten_times_as_many_memories_are_not_ten_times_the_work(stores, name):
    few, many = (steps(store, CALLS[name]) for store in stores)
    assert many <= 2 * few + 5
