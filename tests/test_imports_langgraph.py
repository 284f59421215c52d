"""Files of LangGraph's SqliteStore on their way in: an item is a memory, and follows what is put there later."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime

import pytest
from foreign_files import made, outcome

from memstore import Invalid, open_store
from memstore.imports import import_from
from memstore.kernel.values import DAY
from memstore.memories.fading import FREE_DAYS, KEPT

NOON = datetime(2026, 11, 21, 7, 24, 40, tzinfo=UTC).timestamp()


@pytest.fixture
def store(store_clock):
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def items(tmp_path):
    return made("langgraph", tmp_path / "store.db")


def take(store, path, **options):
    return import_from(store, "langgraph", path, **options)


def put(path, prefix, key, value, **columns):
    """As `BaseStore.put` does: bytes into the place of what was there."""
    row = {"prefix": prefix, "key": key, "value": value if isinstance(value, bytes) else json.dumps(value).encode(), **columns}
    names = ", ".join(row)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute(f"INSERT OR REPLACE INTO store({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        raw.commit()


def by_key(store):
    return {memory.metadata["key"]: memory for memory in store.memories.find(include_expired=True)}


def test_an_item_is_a_memory_with_its_namespace_key_and_value(store, items):
    report = take(store, items)
    assert (report.ok, outcome(report)) == (True, {"store": (3, 0, 0)})
    dark, zurich, page = (by_key(store)[key] for key in ("a1", "a2", "k"))
    assert (dark.content, dark.memory_type, dark.status) == ("prefers dark mode", "knowledge", "active")
    assert (dark.metadata["namespace"], dark.project) == (["memories", "alice"], "memories.alice")
    assert dark.metadata["langgraph"]["value"] == {"memory": "prefers dark mode", "n": 1}
    assert (dark.created_at, dark.updated_at) == (NOON, NOON)
    assert (dark.valid_until, zurich.valid_until) == (NOON + 3600.774932, None)
    assert zurich.content == "lives in Zürich 日本"
    assert json.loads(page.content) == {"title": "t", "pages": [1, 2]}
    assert page.metadata["namespace"] == ["docs"]
    assert report.notes == ["store_migrations: derived and not taken (rows: 5)"]
    assert report.tables[0].left_out == {}
    assert [hit.memory.id for hit in store.memories.search("who lives in Zürich?")] == [zurich.id]


def test_fading_begins_with_the_import_however_old_an_item_is(store, store_clock, items):
    put(items, "docs", "old", {"text": "keep the lid on"}, created_at="2020-01-01 00:00:00", updated_at="2020-01-01 00:00:00")
    take(store, items)
    old = by_key(store)["old"]
    store_clock.advance((FREE_DAYS + 0.4) * DAY)
    assert store.memories.decay() == []
    assert store.memories.get(old.id).confidence == 1.0
    store_clock.advance(1.2 * DAY)
    assert store.memories.decay() == []
    assert KEPT**2 <= store.memories.get(old.id).confidence <= KEPT


def test_a_second_run_adds_nothing_and_another_file_knows_the_same_items(store, items, tmp_path):
    take(store, items)
    before = store.memories.find()
    assert outcome(take(store, items)) == {"store": (0, 3, 0)}
    assert outcome(take(store, made("langgraph", tmp_path / "other.db"))) == {"store": (0, 3, 0)}
    assert store.memories.find() == before
    assert len(store.audit.find(event_type="store.import")) == 1


def test_what_was_put_again_changes_its_memory_with_an_event(store, items):
    take(store, items)
    old = by_key(store)["a1"]
    put(items, "memories.alice", "a1", {"memory": "prefers light mode"}, expires_at="2030-01-01 00:00:00")
    report = take(store, items)
    assert outcome(report) == {"store": (0, 3, 0)}
    assert "store: has changed in langgraph, and was brought up to date (rows: 1)" in report.notes
    new = by_key(store)["a1"]
    assert (new.id, new.content, new.version) == (old.id, "prefers light mode", old.version + 1)
    assert new.valid_until == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert [event.event_type for event in store.memories.history(old.id)] == ["memory.update"]
    assert take(store, items).notes == report.notes[1:], "once"


def test_what_was_changed_only_here_stays(store, items):
    take(store, items)
    dark = by_key(store)["a1"]
    store.memories.update(dark.id, content="prefers dark mode at night")
    take(store, items)
    assert store.memories.get(dark.id).content == "prefers dark mode at night"


def test_what_is_no_longer_believed_here_is_left_and_said(store, items):
    take(store, items)
    dark = by_key(store)["a1"]
    store.memories.invalidate(dark.id)
    put(items, "memories.alice", "a1", {"memory": "prefers light mode"})
    assert "store: has changed in langgraph, and is no longer believed here: left as it is (rows: 1)" in take(store, items).notes
    assert store.memories.get(dark.id).content == "prefers dark mode"


def test_the_same_sentence_in_two_namespaces_is_about_two(store, items):
    put(items, "memories.bob", "b1", {"memory": "prefers dark mode"})
    take(store, items)
    assert [memory.metadata["key"] for memory in store.memories.find(project="memories.bob")] == ["b1"]
    assert {memory.status for memory in store.memories.find(include_expired=True)} == {"active"}


def test_the_same_sentence_under_two_keys_is_one_belief(store, items):
    put(items, "memories.alice", "a9", {"memory": "Prefers  dark mode"}, created_at="2026-12-01 00:00:00")
    report = take(store, items)
    assert outcome(report) == {"store": (4, 0, 0)}
    found = by_key(store)
    assert (found["a9"].status, found["a9"].superseded_by) == ("superseded", found["a1"].id)
    assert any("says what another one says" in note for note in report.notes)
    assert outcome(take(store, items)) == {"store": (0, 4, 0)}


@pytest.mark.parametrize(
    ("value", "memory_type", "content"),
    [
        ({"kind": "Memory", "content": {"content": "deep"}}, "knowledge", "deep"),
        ({"text": "done so", "type": "procedural"}, "adaptation", "done so"),
        ({"data": "it happened", "memory_type": "Episodic "}, "episodic", "it happened"),
        ({"memory": " ", "value": "v"}, "knowledge", "v"),
        ({"a": [1, "ü"]}, "knowledge", '{"a": [1, "ü"]}'),
        ({}, "knowledge", "{}"),
    ],
)
def test_the_text_of_a_value_is_found_where_people_put_it(store, tmp_path, value, memory_type, content):
    path = made("langgraph", tmp_path / "s.db", "DELETE FROM store")
    put(path, "x", "y", value)
    take(store, path)
    (memory,) = store.memories.find()
    assert (memory.memory_type, memory.content) == (memory_type, content)


def test_the_oldest_layout_has_no_expiry(store, tmp_path):
    path = tmp_path / "s.db"
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE store(prefix text, key text, value text, created_at TIMESTAMP, updated_at TIMESTAMP)")
        raw.execute("""INSERT INTO store VALUES ('a', 'b', '{"text": "as text"}', '2026-01-01 00:00:00.5', NULL)""")
        raw.commit()
    take(store, path)
    (memory,) = store.memories.find()
    born = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 0.5
    assert (memory.content, memory.created_at, memory.updated_at) == ("as text", born, born)


def test_a_row_that_cannot_be_taken_is_named(store, items):
    for key, value in (("n1", b"[1]"), ("n2", b"{half"), ("n3", b"\xff"), ("n4", b'{"a": NaN}')):
        put(items, "bad", key, value)
    put(items, "bad", "n5", {"text": "t"}, expires_at="soon")
    report = take(store, items)
    assert (report.ok, outcome(report)) == (False, {"store": (3, 0, 5)})
    reasons = " | ".join(row.reason for row in report.refused)
    for part in ("not a JSON object but [1]", "is not JSON", "not UTF-8 at byte 1", "nan", "expires_at 'soon'"):
        assert part in reasons, reasons


def test_what_was_rejected_here_is_refused(store, items):
    found = store.memories.add("preference", "Prefers dark mode", status="candidate")
    store.memories.reject(found.id)
    report = take(store, items)
    assert outcome(report) == {"store": (2, 0, 1)}
    assert f"was rejected before, as memory {found.id}" in report.refused[0].reason


def test_a_namespace_may_be_named_and_forgotten_like_any_project(store, items):
    alice = store.chat.create_project("Alice")
    store.chat.alias("Alice", "memories.alice")
    take(store, items)
    assert {memory.project_id for memory in store.memories.find(project="Alice")} == {alice.id}
    store.erase(project="Alice")
    report = take(store, items)
    assert outcome(report) == {"store": (0, 1, 2)}
    assert {row.reason for row in report.refused} == {"it belongs to what was erased here, and does not come back"}


def test_another_file_is_told_apart(store, tmp_path):
    with pytest.raises(Invalid, match="is not a SqliteStore file of LangGraph"):
        take(store, made("agents", tmp_path / "s.db"))
    assert store.stats().rooms == {}


def said(store):
    return sorted(memory.content for memory in store.memories.find(status="active"))


@pytest.fixture
def two(tmp_path):
    """A file of two items that say the same."""
    path = made("langgraph", tmp_path / "two.db", "DELETE FROM store")
    put(path, "ns", "a", {"text": "likes tea"})
    put(path, "ns", "b", {"text": "likes tea"})
    return path


@pytest.mark.parametrize("moving", ["a", "b"])
def test_of_two_items_with_one_text_each_may_come_to_say_something_else(store, two, moving):
    take(store, two)
    put(two, "ns", moving, {"text": "likes milk"})
    assert outcome(take(store, two)) == {"store": (0, 2, 0)}
    assert said(store) == ["likes milk", "likes tea"]
    put(two, "ns", moving, {"text": "likes coffee"})
    take(store, two)
    assert said(store) == ["likes coffee", "likes tea"]
    before = store.memories.find()
    take(store, two)
    assert store.memories.find() == before
    assert store.check().ok


def test_two_items_may_swap_their_texts_and_come_to_say_the_same(store, two):
    put(two, "ns", "b", {"text": "likes milk"})
    take(store, two)
    put(two, "ns", "a", {"text": "likes milk"})
    put(two, "ns", "b", {"text": "likes tea"})
    report = take(store, two)
    assert (report.ok, said(store)) == (True, ["likes milk", "likes tea"])
    put(two, "ns", "a", {"text": "likes tea"})
    take(store, two)
    assert said(store) == ["likes tea"]
    before = store.memories.find()
    take(store, two)
    assert store.memories.find() == before
    put(two, "ns", "b", {"text": "likes wine"})
    take(store, two)
    assert said(store) == ["likes tea", "likes wine"]


def test_what_a_person_has_retired_is_not_revived_through_another_item_that_said_it(store, two):
    take(store, two)
    store.memories.invalidate(store.memories.find(status="active")[0].id)
    assert outcome(take(store, two)) == {"store": (0, 2, 0)}
    assert said(store) == []


def test_only_what_has_changed_over_there_changes_here(store, items):
    put(items, "memories.alice", "a1", {"memory": "likes tea"}, expires_at="2030-01-01 00:00:00")
    take(store, items)
    mine = by_key(store)["a1"]
    store.memories.update(mine.id, content="likes GREEN tea", metadata={**mine.metadata, "mine": 1})
    put(items, "memories.alice", "a1", {"memory": "likes tea"}, expires_at="2031-01-01 00:00:00")
    take(store, items)
    kept = by_key(store)["a1"]
    assert (kept.content, kept.metadata["mine"]) == ("likes GREEN tea", 1)
    assert kept.valid_until == datetime(2031, 1, 1, tzinfo=UTC).timestamp()
    put(items, "memories.alice", "a1", {"memory": "likes tea", "kind": "preferences"})
    take(store, items)
    kept = by_key(store)["a1"]
    assert (kept.content, kept.memory_type, kept.valid_until) == ("likes GREEN tea", "preference", None)


def test_what_was_taken_off_its_origin_here_is_followed_no_more(store, items):
    take(store, items)
    mine = by_key(store)["a1"]
    store.memories.update(mine.id, metadata=None)
    put(items, "memories.alice", "a1", {"memory": "likes milk"})
    assert take(store, items).ok
    assert store.memories.get(mine.id).content == mine.content


@pytest.mark.parametrize("depth", [150, 300, 1500, 8000])
def test_an_item_that_nests_too_deep_is_refused_alone(store, items, depth):
    put(items, "bad", "deep", b'{"value":' * depth + b'{"a":1}' + b"}" * depth)
    assert outcome(take(store, items)) == {"store": (4, 0, 0) if depth < 200 else (3, 0, 1)}


def test_what_was_superseded_and_pruned_does_not_come_back(store, store_clock, items):
    take(store, items)
    dark = by_key(store)["a1"]
    store.memories.supersede(dark.id)
    store_clock.advance(40 * DAY)
    assert store.prune(max_age=30 * DAY).removed["memories"] == 1
    put(items, "memories.alice", "a1", {"memory": "prefers no mode"})
    assert outcome(take(store, items)) == {"store": (0, 3, 0)}
    assert "a1" not in by_key(store)
