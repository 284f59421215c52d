"""What mem0's get_all() gives on its way in, in the shapes that it has had."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from foreign_files import outcome

from memstore import Invalid, open_store
from memstore.imports import import_from
from memstore.kernel.values import DAY
from memstore.memories.fading import FREE_DAYS, KEPT

#: As mem0ai 2.2.1 formats what its vector store holds.
ITEM = {
    "id": "892db2ae-06d9-49e5-8b3e-585ef9b85b8e",
    "memory": "Likes to play cricket on weekends",
    "hash": "285d07801ae42054732314853e9eadd7",
    "metadata": {"category": "hobbies", "city": "Zürich"},
    "created_at": "2026-07-26T10:29:36.630547-07:00",
    "updated_at": "2026-07-27T10:29:36-07:00",
    "user_id": "alice",
    "agent_id": "coach",
    "run_id": "r-1",
    "actor_id": "alice",
    "role": "user",
}
BARE = {"id": "b", "memory": "Vegetarian", "hash": None, "created_at": None, "updated_at": None, "user_id": "bob"}


@pytest.fixture
def store(store_clock):
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def take(store, tmp_path):
    """Import a document into the store."""

    def from_document(document, name="mem0.json", **options):
        path = tmp_path / name
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return import_from(store, "mem0", path, **options)

    return from_document


def test_a_memory_keeps_id_text_times_user_and_all_that_is_mem0s_own(store, take):
    report = take({"results": [ITEM, BARE]})
    assert (report.ok, outcome(report)) == (True, {"memories": (2, 0, 0)})
    kept = store.memories.get(ITEM["id"])
    assert (kept.content, kept.memory_type, kept.status, kept.user_id) == (ITEM["memory"], "knowledge", "active", "alice")
    assert kept.created_at == datetime.fromisoformat(ITEM["created_at"]).timestamp()
    assert kept.updated_at == datetime.fromisoformat(ITEM["updated_at"]).timestamp()
    assert kept.domain_tags == ["hobbies"]
    own = {name: ITEM[name] for name in ("agent_id", "run_id", "hash", "actor_id", "role", "updated_at", "metadata")}
    assert kept.metadata == {"category": "hobbies", "city": "Zürich", "mem0": own}
    assert report.notes == ["memories: without created_at, got the time of the import (rows: 1)"]
    assert report.tables[0].left_out == {}, "what has no column of its own has a home in the metadata"
    assert store.memories.get("b").user_id == "bob"


@pytest.mark.parametrize(
    "wrap",
    [lambda items: {"results": items, "count": 1}, lambda items: items, lambda items: {"memories": items}],
)
def test_every_shape_that_the_list_has_had_is_read(store, take, wrap):
    assert outcome(take(wrap([ITEM]))) == {"memories": (1, 0, 0)}
    assert outcome(take(wrap([ITEM]))) == {"memories": (0, 1, 0)}


def test_lines_are_read_too(store, tmp_path):
    path = tmp_path / "mem0.jsonl"
    path.write_text("\n".join(map(json.dumps, [ITEM, BARE])))
    assert outcome(import_from(store, "mem0", path)) == {"memories": (2, 0, 0)}


def test_fading_begins_with_the_import_however_old_a_memory_is(store, store_clock, take):
    take([{**ITEM, "created_at": "2020-07-26T10:29:36+00:00", "updated_at": None}])
    store_clock.advance((FREE_DAYS + 0.4) * DAY)
    assert store.memories.decay() == []
    assert store.memories.get(ITEM["id"]).confidence == 1.0
    store_clock.advance(1.2 * DAY)
    assert store.memories.decay() == []
    assert KEPT**2 <= store.memories.get(ITEM["id"]).confidence <= KEPT


def test_relations_of_the_graph_are_counted(take):
    edge = {"source": "alice", "relationship": "likes", "target": "cricket"}
    report = take({"results": [ITEM], "relations": [edge, edge]})
    assert report.notes == ["relations: has no home here and was left out (rows: 2)"]
    assert report.ok


@pytest.mark.parametrize(
    ("more", "memory_type", "tags"),
    [
        ({"metadata": {"category": "Preference"}}, "preference", ["preference"]),
        ({"metadata": {"memory_type": "procedural_memory"}}, "adaptation", []),
        ({"categories": ["food", "user_preferences"]}, "preference", ["food", "user_preferences"]),
        ({"categories": None, "metadata": None}, "knowledge", []),
        ({"categories": [f"c{number}" for number in range(12)]}, "knowledge", [f"c{number}" for number in range(10)]),
        ({"metadata": {"category": 5, "categories": [["x"], " "]}}, "knowledge", []),
    ],
)
def test_the_type_is_the_first_category_that_means_one(store, take, more, memory_type, tags):
    take([{**ITEM, "metadata": {}, **more}])
    kept = store.memories.get(ITEM["id"])
    assert (kept.memory_type, kept.domain_tags) == (memory_type, tags)
    if len(more.get("categories") or ()) > 10:
        assert kept.metadata["mem0"]["categories"] == more["categories"], "tags are ten at most, nothing is lost"


def test_older_names_of_the_text_and_an_expiry_by_the_day(store, take):
    take([{"id": "o1", "text": "from text"}, {"id": "o2", "data": "from data", "expiration_date": "2040-01-31"}])
    assert store.memories.get("o1").content == "from text"
    assert store.memories.get("o2").valid_until == datetime(2040, 2, 1, tzinfo=UTC).timestamp(), "the day counts whole"


def test_what_mem0_has_changed_since_is_changed_here_and_what_was_changed_here_stays(store, take):
    take([ITEM, BARE])
    store.memories.update("b", content="Vegan")
    report = take([{**ITEM, "memory": "Likes golf", "hash": "f00"}, BARE])
    assert outcome(report) == {"memories": (0, 2, 0)}
    assert [note for note in report.notes if "brought up to date" in note] == [
        "memories: has changed in mem0, and was brought up to date (rows: 1)"
    ]
    assert (store.memories.get(ITEM["id"]).content, store.memories.get("b").content) == ("Likes golf", "Vegan")
    assert take([{**BARE, "memory": "Eats fish"}]).ok, "without a hash the text tells"
    assert store.memories.get("b").content == "Eats fish"


def test_two_users_may_be_remembered_to_say_the_same(store, take):
    take([ITEM, {**ITEM, "id": "2", "user_id": "bob"}, {**ITEM, "id": "3", "user_id": ""}])
    assert {memory.id: (memory.status, memory.user_id) for memory in store.memories.find()} == {
        ITEM["id"]: ("active", "alice"), "2": ("active", "bob"), "3": ("active", None),
    }  # fmt: skip


def test_an_entry_that_cannot_be_taken_is_named_by_its_place(take):
    report = take([5, {"memory": "no id"}, {"id": "x"}, {"id": "y", "memory": " "}, {**ITEM, "created_at": "yesterday"}])
    assert outcome(report) == {"memories": (0, 0, 5)}
    assert [row.id for row in report.refused] == ["item 1", "item 2", "item 3", "item 4", "item 5"]
    reasons = [row.reason for row in report.refused]
    for reason, part in zip(reasons, ["not a JSON object", "id must be str", "memory is missing", "blank", "'yesterday'"], strict=True):
        assert part in reason


def test_nobody_who_was_erased_comes_back(store, take):
    take([ITEM, BARE])
    store.erase(user_id="alice")
    report = take([ITEM, {**ITEM, "id": "later"}, BARE])
    assert outcome(report) == {"memories": (0, 1, 2)}
    assert {row.reason for row in report.refused} == {"it belongs to what was erased here, and does not come back"}


@pytest.mark.parametrize(
    ("content", "why"),
    [('{"x": 1}', "neither a list of memories nor an object with results"), ("5", "neither a list"), ("{half", "is not JSON")],
)
def test_another_document_begins_no_store(store, tmp_path, content, why):
    path = tmp_path / "mem0.json"
    path.write_text(content)
    with pytest.raises(Invalid, match=why):
        import_from(store, "mem0", path)
    with pytest.raises(Invalid, match="is a folder"):
        import_from(store, "mem0", tmp_path)
    assert store.stats().rooms == {}


def test_changed_categories_change_tags_and_type_and_changed_metadata_only_what_changed(store, take):
    take([{**ITEM, "metadata": {"city": "Bern", "team": "red", "old": 1}, "categories": ["food"]}])
    mine = store.memories.get(ITEM["id"])
    store.memories.update(mine.id, content="Likes chess", metadata={**mine.metadata, "city": "Basel", "mine": True})
    take([{**ITEM, "metadata": {"city": "Bern", "team": "blue"}, "categories": ["user_preferences"]}])
    kept = store.memories.get(ITEM["id"])
    assert (kept.content, kept.memory_type, kept.domain_tags) == ("Likes chess", "preference", ["user_preferences"])
    assert {name: kept.metadata.get(name) for name in ("city", "team", "old", "mine")} == {
        "city": "Basel", "team": "blue", "old": None, "mine": True
    }  # fmt: skip


def test_of_two_agents_that_share_a_sentence_one_may_change_it(store, take):
    one, other = ({"id": agent, "memory": "be brief", "agent_id": agent} for agent in "AB")
    take([one, other])
    take([{**one, "memory": "be long"}, other])
    assert {memory.content for memory in store.memories.find(status="active")} == {"be brief", "be long"}


@pytest.mark.parametrize("column", ["user_id", "session_id", "conversation_id"])
def test_an_owner_that_is_no_text_stops_no_import(store, take, column):
    store.audit.append("agent.start")
    report = take([BARE, {**ITEM, column: ["l"]}, {**ITEM, "id": "o", column: {"a": 1}}])
    assert (report.ok, outcome(report)) == (column != "user_id", {"memories": (1, 0, 2) if column == "user_id" else (3, 0, 0)})
