"""How large a file is for what was said in it, and how `stats` shows it."""

from __future__ import annotations

import os

import pytest
from bench import size

from memstore import Invalid, open_store


def assert_small(path, turns):
    with open_store(path) as store:
        said = size.lived(store, turns, size.words())
        searched, whole = size.measured(said)
        stats = store.stats()
        assert {table.table: table.text_bytes for table in stats.tables}["messages"] == said.size
        if searched:  # SQLite can tell of single tables
            assert searched <= 2.0, f"messages and keywords take {searched:.2f} bytes a byte that was said"
            counted = sum(table.bytes for table in stats.tables)
            assert 0.98 * stats.bytes < counted + stats.free_bytes <= stats.bytes == os.stat(path).st_size
        assert whole <= 3.0, f"the file takes {whole:.2f} bytes a byte that was said"


@pytest.mark.parametrize("turns", [2400, pytest.param(size.TURNS, marks=pytest.mark.nightly)])
def test_turns_of_real_words_take_little_more_than_their_text(tmp_path, real_data, turns):
    assert_small(tmp_path / "agent.db", turns)


def test_turns_of_made_up_words_take_little_more_than_their_text(tmp_path, monkeypatch):
    monkeypatch.setattr(size, "DATA", tmp_path / "nothing")
    assert_small(tmp_path / "agent.db", 2400)


def test_stats_give_bytes_by_table_wherever_sqlite_can_tell(store):
    store.chat.append(store.chat.create_conversation(title="Grüße").id, "user", "zwölf")
    store.keywords.add("n1", "note", kind="note")
    try:
        store.query("SELECT count(*) FROM dbstat")
    except Invalid:
        pytest.skip("this SQLite was built without dbstat")
    tables = {table.table: table for table in store.stats().tables}
    page = 4096
    assert (tables["messages"].bytes, tables["keyword_items"].bytes) == (3 * page, 2 * page), "a table and its indexes"
    assert {name: table.text_bytes for name, table in tables.items() if table.text_bytes} == {
        "conversations": len("Grüße".encode()), "messages": len("zwölf".encode()), "keyword_items": 4,
    }  # fmt: skip
