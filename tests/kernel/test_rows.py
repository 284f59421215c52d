"""What rooms ask of their rows: conditions as one, and pages that follow one another."""

from __future__ import annotations

import pytest

from memstore.kernel import NotFound
from memstore.kernel.rows import filters, joined, page_after, spans
from memstore.memories.tables import MEMORIES


def test_filters_that_nobody_gave_are_left_out_and_an_empty_one_is_not():
    assert filters(("a = ?", None), ("b = ?", ""), ("c = ?", 0)) == [("b = ?", ""), ("c = ?", 0)]


def test_conditions_keep_their_parameters_in_order():
    assert joined([("a = ?", 1), ("b IS NULL",), ("c BETWEEN ? AND ?", 2, 3)]) == ("a = ? AND b IS NULL AND c BETWEEN ? AND ?", [1, 2, 3])
    assert joined([]) == ("1", [])


def test_the_page_after_a_row_that_is_not_there_is_no_first_page(store):
    store.memories.add("knowledge", "the mirror is glass", id="mirror")
    with pytest.raises(NotFound, match=r"no memory 'miror' \(nearest: 'mirror'\); look there lists them"):
        page_after(store.memories.db, MEMORIES, "memory", "miror", "look there")
    assert page_after(store.memories.db, MEMORIES, "memory", None, "look there") == []


def test_pages_meet_every_row_once_and_in_order(store):
    with store.transaction():
        for number in range(1001):
            store.memories.add("knowledge", f"part {number}", status="superseded")
    store.memories.add("knowledge", "the last one")
    assert [*spans(store.memories.db, MEMORIES)] == [(1, 1000), (1001, 1002)]
