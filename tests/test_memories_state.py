"""Project state: set by hand, changed with an audit trail, cleared, brought from elsewhere."""

from __future__ import annotations

import pytest

from memstore import Exists, Invalid, NotFound, VersionConflict, open_store


@pytest.fixture
def memories(store):
    return store.memories


def rows(store):
    present = {row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return {name: store.query(f"SELECT * FROM {name}") for name in ("project_state", "audit_log") if name in present}


#: Every column, with a value that is not its default.
GIVEN = {
    "key": "deadline", "value": "Größe 測る", "source": "meeting", "confidence": 0.5, "status": "superseded", "version": 7, "id": "s1",
    "created_at": 12.5, "updated_at": 13.5,
}  # fmt: skip


def test_every_column_goes_in_and_comes_out_also_of_an_export(store, tmp_path):
    added = store.memories.add_state("apollo", **GIVEN)
    store.export(tmp_path / "out")
    with open_store() as copy:
        copy.import_(tmp_path / "out")
        for where in (store, copy):
            stored = where.memories.get_state("s1")
            assert {name: getattr(stored, name) for name in GIVEN} == GIVEN
            assert (stored.project_id, stored) == ("apollo", added)
    assert store.memories.state_history("apollo", "deadline") == []


def test_what_is_set_is_the_state_and_changes_raise_the_version(memories, store, store_clock):
    first = memories.set_state("p", "language", "Python", actor="ann", note="we agreed")
    assert (first.version, first.source, first.confidence, first.status) == (1, "manual", 1.0, "active")
    store_clock.advance(5)
    second = memories.set_state("p", "language", "Rust", source="meeting", confidence=0.5)
    assert (second.id, second.version, second.created_at, second.updated_at) == (first.id, 2, first.created_at, store_clock.now)
    assert memories.get_state(first.id) == second
    memories.set_state("p", "deadline", "")
    memories.set_state("q", "language", "Go")
    assert list(memories.state("p").items()) == [("deadline", ""), ("language", "Rust")]
    one, two = memories.state_history("p", "language")
    assert (one.event_type, one.actor, one.note, one.before, one.project) == ("project_state.set", "ann", "we agreed", None, "p")
    assert (two.before["value"], two.after) == (
        "Python", {"value": "Rust", "source": "meeting", "confidence": 0.5, "status": "active"}
    )  # fmt: skip


def test_saying_the_same_again_writes_nothing(memories, store):
    first = memories.set_state("p", "k", "v")
    before = rows(store)
    assert memories.set_state("p", "k", "v", actor="somebody else") == first
    assert rows(store) == before
    assert memories.set_state("p", "k", "v", source="meeting").version == 2
    assert memories.set_state("p", "k", "v", source="meeting", confidence=0.5).version == 3


def test_a_version_that_is_not_current_is_refused(memories, store):
    memories.set_state("p", "k", "v", expected_version=0)
    before = rows(store)
    for wrong in (0, 2):
        with pytest.raises(VersionConflict, match=f"'k' of project 'p' is at version 1, not {wrong}") as caught:
            memories.set_state("p", "k", "w", expected_version=wrong)
        assert caught.value.current == memories.states("p")[0]
    with pytest.raises(VersionConflict, match="is at version 0, not 1") as caught:
        memories.set_state("p", "another", "w", expected_version=1)
    assert caught.value.current is None
    assert rows(store) == before


def test_what_was_cleared_holds_no_longer_and_may_be_set_anew(memories):
    first = memories.set_state("p", "k", "v")
    assert memories.clear_state("p", "k", actor="ann", note="over")
    assert memories.clear_state("p", "k") is memories.clear_state("nobody", "k") is False
    assert memories.state("p") == {} and memories.states() == []
    cleared = memories.get_state(first.id)
    assert (cleared.status, cleared.version, cleared.value) == ("invalid", 2, "v")
    again = memories.set_state("p", "k", "w")
    assert (again.id != first.id, again.version) == (True, 1)
    assert memories.states("p", include_cleared=True) == [cleared, again]
    trail = [(event.event_type, event.entity_id, event.actor, event.note) for event in memories.state_history("p", "k")]
    assert trail == [
        ("project_state.set", first.id, "", ""), ("project_state.clear", first.id, "ann", "over"), ("project_state.set", again.id, "", "")
    ]  # fmt: skip


def test_a_name_an_alias_and_an_id_of_a_project_are_one(store, memories):
    store.chat.create_project("Apollo", id="p1")
    store.chat.alias("Apollo", "moon")
    memories.set_state("moon", "k", "v")
    assert memories.state("Apollo") == memories.state("p1") == {"k": "v"}
    assert memories.states("Apollo")[0].project_id == "p1"
    assert memories.clear_state("p1", "k")


def test_of_two_projects_of_one_name_the_one_is_meant_that_is_the_users(store, memories):
    for owner, id in (("ann", "p1"), ("bob", "p2")):
        store.chat.create_project("Apollo", id=id, user_id=owner)
    memories.set_state("Apollo", "k", "hers")
    memories.set_state("Apollo", "k", "his", user_id="bob")
    memories.add_state("Apollo", "l", "his too", user_id="bob")
    assert memories.state("Apollo") == memories.state("Apollo", user_id="ann") == memories.state("p1", user_id="bob") == {"k": "hers"}
    assert memories.state("Apollo", user_id="bob") == memories.state("p2") == {"k": "his", "l": "his too"}
    assert [item.project_id for item in memories.states("Apollo", user_id="bob")] == ["p2", "p2"]
    assert memories.clear_state("Apollo", "k", user_id="bob") and not memories.clear_state("Apollo", "k", user_id="bob")
    assert [event.project for event in memories.state_history("Apollo", "k", user_id="bob")] == ["p2", "p2"]
    assert memories.state("Apollo") == {"k": "hers"}
    with pytest.raises(VersionConflict, match="is at version 0, not 1"):
        memories.set_state("Apollo", "k", "again", expected_version=1, user_id="bob")


def test_an_alias_brings_what_was_set_under_it_along_and_the_newest_wins(store, memories, store_clock):
    store.chat.create_project("Apollo", id="p1")
    older, kept = memories.set_state("p1", "k", "old"), memories.set_state("moon", "alone", "a")
    store_clock.advance(1)
    newer = memories.set_state("moon", "k", "new")
    memories.set_state("moon", "gone", "g")
    memories.clear_state("moon", "gone")
    store.chat.alias("Apollo", "moon")
    assert memories.state("p1") == {"k": "new", "alone": "a"}
    assert [memories.get_state(item.id).project_id for item in (older, kept, newer)] == ["p1"] * 3
    lost = memories.get_state(older.id)
    assert (lost.status, lost.value, lost.version) == ("superseded", "old", 2)
    event = memories.state_history("p1", "k")[-1]
    assert (event.event_type, event.entity_id, event.actor) == ("project_state.supersede", older.id, "project-join")
    assert len(memories.states("p1", include_cleared=True)) == 4


def test_an_entry_from_elsewhere_takes_nobodys_place(memories, store):
    memories.set_state("p", "k", "v")
    before = rows(store)
    with pytest.raises(Exists, match="'k' of project 'p' is 'v' already; set_state.. changes it"):
        memories.add_state("p", "k", "w")
    with pytest.raises(Exists, match="there is an entry"):
        memories.add_state("p", "j", "w", id=memories.states()[0].id)
    assert rows(store) == before
    assert memories.add_state("p", "k", "w", status="invalid").status == "invalid"
    assert memories.state("p") == {"k": "v"}


def test_what_is_no_project_key_or_value_is_refused(memories, store):
    for wrong in ({"project": ""}, {"key": " "}, {"key": "a\0"}, {"value": 1}, {"confidence": 2}, {"confidence": True}):
        with pytest.raises(Invalid):
            memories.set_state(**{"project": "p", "key": "k", "value": "v", **wrong})
    with pytest.raises(NotFound, match="no entry of project state 'x'; store.memories.states.. lists them"):
        memories.get_state("x")
    assert memories.states() == []


def test_nothing_but_a_person_writes_it(memories, store, store_clock):
    memories.set_state("p", "k", "v")
    before = store.query("SELECT * FROM project_state")
    item = memories.add("project", "k is v", project="p", status="candidate")
    memories.promote(item.id)
    memories.merge([item.id, memories.add("project", "k is w", project="p").id], "k is either")
    store_clock.advance(400 * 86_400)
    assert store.query("SELECT * FROM project_state") == before
