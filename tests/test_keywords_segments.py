"""Segments of the keyword index: when texts are packed into them, when they become one, and what is said of damaged ones."""

from __future__ import annotations

import pytest
from notes import Notes, ids

from memstore import Corrupt, KeywordIndex
from memstore.keywords.spaces import BATCH


def test_a_backlog_is_indexed_by_the_search_that_meets_it(file_store):
    notes = Notes(file_store)
    notes.append(*[f"word w{number % 7}" for number in range(BATCH - 1)])
    notes.index.search("w3")
    assert notes.db.value("SELECT count(*) FROM keyword_segments") == 0
    notes.append("word w0")
    assert ids(notes.index.search("w0 word", limit=1)) == [f"m{BATCH}"]
    assert notes.db.rows("SELECT items FROM keyword_segments") == [(BATCH,)]
    assert notes.index.complete("word") == [("word", BATCH)]


def test_segments_of_like_size_become_one(file_store):
    notes = Notes(file_store)
    for _ in range(4):
        notes.append(*["word"] * BATCH)
        notes.index.catch_up()
    assert notes.db.rows("SELECT items FROM keyword_segments") == [(4 * BATCH,)]
    assert len(notes.index.search("word", limit=None)) == 4 * BATCH


def left_unmerged(notes, monkeypatch):
    """Four segments that should be one, as appends leave them."""
    monkeypatch.setattr("memstore.keywords.BRIEF", 0)
    for _ in range(4):
        notes.append(*["word"] * BATCH)
        notes.index.keep_up()
    notes.index.keep_up()
    return notes.db.rows("SELECT items FROM keyword_segments")


def test_who_keeps_up_leaves_large_merges_to_whoever_searches(file_store, monkeypatch):
    notes = Notes(file_store)
    assert left_unmerged(notes, monkeypatch) == [(BATCH,)] * 4
    assert len(notes.index.search("word", limit=None)) == 4 * BATCH
    assert notes.db.rows("SELECT items FROM keyword_segments") == [(4 * BATCH,)]


def test_who_keeps_up_does_one_step(file_store, monkeypatch):
    notes = Notes(file_store)
    left_unmerged(notes, monkeypatch)
    monkeypatch.undo()
    notes.append(*["word"] * BATCH)
    notes.index.keep_up()
    assert notes.db.rows("SELECT items FROM keyword_segments ORDER BY pk") == [(4 * BATCH,)]
    notes.index.keep_up()
    assert notes.db.rows("SELECT items FROM keyword_segments ORDER BY pk") == [(4 * BATCH,), (BATCH,)]


def test_catch_up_inside_a_transaction_waits(store, notes):
    notes.index.search("makes the tables")
    with store.transaction():
        notes.append(*["word"] * BATCH)
        notes.index.catch_up()
        assert notes.db.value("SELECT count(*) FROM keyword_segments") == 0
        assert len(notes.index.search("word", limit=None)) == BATCH


@pytest.mark.damage
def test_a_damaged_segment_is_named_and_the_way_out_too(file_store):
    notes = Notes(file_store)
    notes.append("word one")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run("UPDATE keyword_segments SET places = x'00'")
    fresh = KeywordIndex(notes.index.db, lambda *_, **__: None, lambda: [notes])
    with pytest.raises(Corrupt, match="rebuild"):
        fresh.search("word")
    assert [finding.kind for finding in fresh.check()] == ["keyword_damaged", "keyword_missing"]
    fresh.rebuild()
    assert ids(fresh.search("word")) == ["m1"]
    assert fresh.check() == []


@pytest.mark.damage
@pytest.mark.parametrize(
    "damage",
    ["ids = x''", "bounds = x'00'", "whence = x'ffffff7fffffff7f'", "origins = '[[1]]'", "ids = x'ff31ff32'", "words = x'ff'"],
)
def test_damaged_columns_of_items_are_named_too(file_store, damage):
    notes = Notes(file_store)
    notes.append("word one", "word two")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run(f"UPDATE keyword_segments SET {damage}")
    fresh = KeywordIndex(notes.index.db, lambda *_, **__: None, lambda: [notes])
    with pytest.raises(Corrupt, match="rebuild"):
        fresh.search("word")
    assert "keyword_damaged" in {finding.kind for finding in fresh.check()}
    fresh.rebuild()
    assert ids(fresh.search("word")) == ["m2", "m1"]
    assert fresh.check() == []


@pytest.mark.damage
def test_check_names_what_is_missing_and_what_is_too_much(file_store):
    notes = Notes(file_store)
    notes.append("word one", "word two", "word three")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run("DELETE FROM test_notes WHERE pk = 2")
        conn.run("UPDATE test_notes SET text = 'changed' WHERE pk = 3")
        conn.run("UPDATE keyword_state SET upto = 4")
        conn.run("INSERT INTO test_notes(id, text, created_at) VALUES ('m4', 'word', 1)")
    assert sorted((finding.kind, finding.seq) for finding in notes.index.check()) == [
        ("keyword_differs", 3),
        ("keyword_extra", 2),
        ("keyword_missing", 4),
    ]
