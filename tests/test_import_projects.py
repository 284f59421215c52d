"""Imports where the two stores call one project differently: what belongs to it is found in it afterwards, in every room."""

from __future__ import annotations

import pytest

from memstore import Exists, open_store
from memstore.knowledge import Section
from memstore.testing import FakeClock

HOLDING = """
SELECT tables.name
FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND columns.name = 'project_id' AND tables.name NOT LIKE 'audit%'
    AND tables.name NOT IN ('project_aliases', 'active_projects')
ORDER BY tables.name
"""
FULL = ["artifacts", "atoms", "conflicts", "conversations", "entities", "entity_versions", "interactions", "knowledge_deltas",
        "knowledge_states", "memories", "project_state", "relationships"]  # fmt: skip


def plant(store, project, mark, user_id=None):
    """A row of a project in every table that has rows of projects."""
    whose = {"project": project, "user_id": user_id}
    room = store.knowledge
    store.chat.create_conversation(id=f"chat {mark}", project=project, **({} if user_id is None else {"user_id": user_id}))
    store.memories.add("project", f"bed {mark}", id=f"bed {mark}", **whose)
    store.memories.capture(f"which bed {mark}?", id=f"question {mark}", **whose)
    store.memories.set_state(project, f"zone {mark}", "7b", user_id=user_id)
    pump, line = (room.add_entity("Component", f"{name} {mark}", id=f"{name} {mark}", **whose) for name in ("pump", "line"))
    room.update(pump.id, description="blue")
    room.relate(pump.id, "part_of", line.id, **whose)
    atoms = [room.add_atom("claim", f"{mark} is {word}", **whose) for word in ("clay", "sand")]
    room.add_artifact("prd", f"The beds {mark}", sections=[Section("a", "A", "a", [atoms[0].id])], **whose)
    room.set_knowledge_state(project, f"clay {mark}", user_id=user_id)
    room.record_delta(project, f"run {mark}", {"atoms": 2}, user_id=user_id)
    members = [("memory", f"bed {mark}"), ("entity", f"line {mark}")]
    store.conflicts.open("soil", f"bed {mark}", members=members, id=f"clash {mark}", **whose)


def places(store):
    """The projects that rows are in, by table."""
    tables = [row["name"] for row in store.query(HOLDING)]
    return {table: {row["project_id"] for row in store.query(f"SELECT DISTINCT project_id FROM {table}")} for table in tables}


def found(store, project):
    """What a reader finds in a project, by the end of its id."""
    room = store.knowledge
    return {
        "memories": {item.id for item in store.memories.find(project=project)},
        "state": set(store.memories.state(project)),
        "entities": {item.id for item in room.entities(project=project)},
        "edges": {edge.from_id for edge in room.relationships(project=project)},
        "atoms": {atom.body for atom in room.atoms(project=project)},
        "runs": {delta.run_id for delta in room.deltas(project)},
        "conflicts": {conflict.id for conflict in store.conflicts.find(project=project)},
        "chats": {chat.id for chat in store.chat.conversations(project=project)},
    }


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def ours(clock):
    with open_store(clock=clock) as opened:
        yield opened


@pytest.fixture
def theirs(clock):
    with open_store(clock=clock) as opened:
        yield opened


def test_every_table_with_a_project_is_looked_at(theirs):
    plant(theirs, "garden", "b")
    assert [row["name"] for row in theirs.query(HOLDING)] == FULL
    assert places(theirs) == dict.fromkeys(FULL, {"garden"})


@pytest.mark.parametrize(("mode", "name"), [("skip", "garden"), ("replace", "plot")])
def test_a_project_of_one_name_and_another_id_takes_all_that_is_in_theirs(ours, theirs, tmp_path, mode, name):
    mine = ours.chat.create_project("garden")
    ours.chat.alias("garden", "plot")
    plant(ours, "garden", "a")
    their = theirs.chat.create_project(name)
    plant(theirs, name, "b")
    theirs.corrections.add("soil", "clay", scope=their.id, id="by id")
    theirs.corrections.add("water", "little", scope="garden", id="by name")
    theirs.export(tmp_path / "out")
    with pytest.raises(Exists, match='nothing was imported: on_conflict="skip" makes them one, as it is here, "replace" as it is in'):
        ours.import_(tmp_path / "out")
    assert found(ours, "garden")["memories"] == {"bed a"}
    ours.import_(tmp_path / "out", on_conflict=mode)
    assert places(ours) == dict.fromkeys(FULL, {mine.id})
    assert found(ours, mine.id) == found(ours, name) and found(ours, name)["memories"] == {"bed a", "bed b"}
    state = ours.knowledge.knowledge_state(name)
    assert state is not None and state.working_summary == {"skip": "clay a", "replace": "clay b"}[mode]
    assert {item.id: item.scope for item in ours.corrections.find()} == {"by id": mine.id, "by name": "garden"}
    then = ours.knowledge.as_of(recorded=ours.knowledge.get("pump b").created_at)
    assert {item.id for item in then.entities(project=name)} >= {"pump b"}
    ours.erase(project=name)
    assert places(ours) == dict.fromkeys(FULL, set())
    assert [item.id for item in ours.corrections.find()] == []


@pytest.mark.parametrize("mode", ["error", "replace"])
def test_what_carries_only_a_name_goes_to_the_project_that_it_means_here(ours, theirs, tmp_path, mode):
    ours.chat.create_project("garden", id="g")
    ours.chat.create_project("garden", id="h", user_id="bob")
    plant(theirs, "garden", "b")
    plant(theirs, "garden", "c", user_id="bob")
    theirs.export(tmp_path / "out")
    ours.import_(tmp_path / "out", on_conflict=mode)
    assert set().union(*places(ours).values()) == {"g", "h"}
    assert found(ours, "g")["entities"] == {"pump b", "line b"} and found(ours, "g")["memories"] == {"bed b"}
    assert found(ours, "h")["entities"] == {"pump c", "line c"} and found(ours, "h")["chats"] == {"chat c"}
    assert found(ours, "g")["state"] == {"zone b", "zone c"}  # an entry is nobody's


@pytest.mark.parametrize(("mode", "name"), [("error", "garden"), ("skip", "plot")])
def test_what_carries_a_name_here_goes_to_the_project_that_comes_with_it(ours, theirs, tmp_path, mode, name):
    plant(ours, name, "a")
    theirs.chat.create_project("garden", id="g")
    theirs.chat.alias("garden", "plot")
    plant(theirs, "plot", "b")
    theirs.export(tmp_path / "out")
    ours.import_(tmp_path / "out", on_conflict=mode)
    assert places(ours) == dict.fromkeys(FULL, {"g"})
    assert found(ours, "plot")["conflicts"] == {"clash a", "clash b"}
    ours.erase(project="garden")
    assert places(ours) == dict.fromkeys(FULL, set())


@pytest.mark.parametrize("later", ["ours", "theirs"])
def test_of_two_that_say_the_same_where_names_meet_the_newer_one_stays_and_the_log_says_so(ours, theirs, tmp_path, clock, later):
    theirs.chat.create_project("garden", id="g")
    for mark, store in sorted({"ours": ours, "theirs": theirs}.items(), key=lambda pair: pair[0] == later):
        store.memories.set_state("garden", "zone", mark, source=mark)
        store.memories.add("project", "the soil is clay", project="garden", id=mark)
        clock.advance(1)
    theirs.export(tmp_path / "out")
    before = [item.to_dict() for item in ours.memories.states()]
    ours.import_(tmp_path / "out", dry_run=True)
    assert [item.to_dict() for item in ours.memories.states()] == before and ours.audit.verify().ok
    ours.import_(tmp_path / "out")
    assert ours.memories.state("garden") == {"zone": later}
    assert [item.id for item in ours.memories.find(project="g", status="active")] == [later]
    (lost,) = ours.memories.find(status="superseded")
    assert lost.superseded_by == later
    types = [event.event_type for event in ours.audit.find(actor="project-join", ascending=True)]
    assert types == ["memory.supersede", "project_state.supersede"]
    assert ours.audit.verify().ok


def test_a_project_that_gets_another_name_by_replacing_brings_what_carries_it_along(ours, theirs, tmp_path):
    for store, name in ((ours, "yard"), (theirs, "garden")):
        store.chat.create_project(name, id="g")
    plant(ours, "garden", "a")
    theirs.export(tmp_path / "out")
    ours.import_(tmp_path / "out", on_conflict="skip")
    assert places(ours)["memories"] == {"garden"}
    ours.import_(tmp_path / "out", on_conflict="replace")
    assert places(ours) == dict.fromkeys(FULL, {"g"})


@pytest.mark.parametrize("mode", ["skip", "replace"])
def test_two_of_their_projects_may_be_one_here(ours, theirs, tmp_path, mode):
    ours.chat.create_project("garden", id="g")
    ours.chat.alias("garden", "plot")
    for name in ("garden", "plot"):
        theirs.chat.create_project(name)
        theirs.memories.set_state(name, "zone", f"of the {name}")
        theirs.memories.add("project", "the soil is clay", project=name)
    theirs.export(tmp_path / "out")
    ours.import_(tmp_path / "out", on_conflict=mode)
    assert len(ours.memories.find(project="garden")) == len(ours.memories.states("garden")) == 1
    assert places(ours)["memories"] == places(ours)["project_state"] == {"g"}
