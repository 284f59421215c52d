"""The graph of the knowledge room: entities and their life, relationships and observations."""

from __future__ import annotations

import datetime
from functools import partial

import graphs
import pytest
from graphs import chain, names
from plans import ways

from memstore import Exists, Invalid, NotFound, VersionConflict, open_store
from memstore.testing import FakeClock

store, graph = graphs.store, graphs.graph


def verbs(store, kind, id):
    return [event.event_type for event in store.audit.history(kind, id)]


# -- entities -----------------------------------------------------------------------------------------------------------


def test_an_entity_keeps_all_that_it_was_given(graph, store_clock):
    given = {
        "description": "1.2 m", "aliases": ["M1", "mirror"], "external_ids": {"plm": "A-7", "n": 5}, "properties": {"mass": 12.5},
        "user_id": "ann", "conversation_id": "c1", "status": "candidate", "confidence": 0.5, "source_refs": ["memory:m", "chunk:c"],
        "extractor_version": "v0", "valid_from": 5.0, "metadata": {"k": [1, None]}, "id": "e1", "created_at": 7.0, "updated_at": 8.0,
    }  # fmt: skip
    entity = graph.add_entity("Component", "Primary Mirror", project="p", valid_until="2030-01-31", hand_authored=True, **given)
    assert graph.get("e1") == entity
    assert {name: getattr(entity, name) for name in given} == given
    assert (entity.type, entity.name, entity.canonical_name) == ("Component", "Primary Mirror", "Primary Mirror")
    assert (entity.project_id, entity.hand_authored, entity.version, entity.superseded_by) == ("p", True, 1, None)
    assert entity.valid_until == datetime.datetime(2030, 2, 1, tzinfo=datetime.UTC).timestamp(), "the day counts whole"


def test_one_without_a_source_is_made_by_hand(graph):
    assert graph.add_entity("Component", "a").hand_authored
    assert not graph.add_entity("Component", "b", source_refs=["chunk:1"]).hand_authored
    assert not graph.add_entity("Component", "c", hand_authored=False).hand_authored


def test_one_name_may_stand_for_two(graph):
    one, other = graph.add_entity("Requirement", "stiffness"), graph.add_entity("Requirement", "stiffness")
    assert one.id != other.id
    assert [item.id for item in graph.entities(name="  STIFFNESS ")] == [other.id, one.id]


def test_history_from_elsewhere_is_stored_as_it_is(store):
    graph = store.knowledge
    old = graph.add_entity("Decision", "steel", status="superseded", superseded_by="d2", created_at=1.0, updated_at=2.0)
    assert (old.status, old.superseded_by, old.created_at, old.updated_at) == ("superseded", "d2", 1.0, 2.0)
    assert graph.add_entity("Decision", "d2", id="d2").status == "active"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": " "}, "name is blank"),
        ({"type": ""}, "type is blank"),
        ({"source_refs": ["m1"]}, 'must name a kind and an id, as "memory:<id>" does'),
        ({"status": "activ"}, "nearest: 'active'"),
        ({"valid_from": 5, "valid_until": 5}, "must be later than valid_from"),
        ({"superseded_by": "x"}, "superseded_by is of entities with status 'superseded'"),
        ({"confidence": 1.1}, "at most 1.0"),
        ({"aliases": "M1"}, "must be a list of str"),
        ({"properties": [1]}, "must be a dict"),
    ],
)
def test_what_makes_no_sense_is_refused(graph, given, said):
    with pytest.raises(Invalid, match=said):
        graph.add_entity(**{"type": "Component", "name": "a", **given})
    assert graph.entities() == []


def test_an_id_is_taken_once(graph):
    graph.add_entity("Component", "a", id="e1")
    with pytest.raises(Exists, match="there is an entity 'e1' already"):
        graph.add_entity("Component", "b", id="e1")


def test_entities_are_found_by_what_they_are_newest_first(store, store_clock):
    graph = store.knowledge
    store.chat.create_project("Apollo", id="p1")
    graph.add_entity("Component", "a", project="Apollo", id="a")
    store_clock.advance(1)
    graph.add_entity("component", "b", user_id="ann", status="candidate", id="b")
    graph.add_entity("Material", "c", user_id="bob", id="c")
    graph.add_entity("Material", "d", valid_until=store_clock.now, id="d")
    assert names(graph.entities()) == ["c", "b", "a"]
    assert names(graph.entities(include_expired=True)) == ["d", "c", "b", "a"]
    assert names(graph.entities(type="COMPONENT")) == ["b", "a"]
    assert names(graph.entities(status="candidate")) == ["b"]
    assert names(graph.entities(project="Apollo")) == ["a"]
    assert names(graph.entities(user_id="ann")) == ["b", "a"]
    assert names(graph.entities(limit=1)) == ["c"]
    assert names(graph.entities(limit=1, before="c")) == ["b"]
    assert names(graph.entities(name="a")) == ["a"]
    assert (graph.count(), graph.count(type="component", include_expired=True), graph.count(user_id="ann")) == (3, 2, 2)
    with pytest.raises(NotFound, match="no entity 'z'"):
        graph.entities(before="z")


def test_an_update_is_logged_with_what_changed(store, store_clock):
    graph = store.knowledge
    graph.add_entity("Component", "a", id="e1", metadata={"k": 1}, valid_until=store_clock.now + 9)
    store_clock.advance(5)
    new = graph.update("e1", name="b", aliases=["a"], metadata=None, valid_until=None, properties={"x": 1}, actor="ann", note="why")
    assert (new.name, new.aliases, new.metadata, new.valid_until, new.version) == ("b", ["a"], None, None, 2)
    assert new.updated_at == store_clock.now
    assert graph.get("e1") == new
    (event,) = graph.history("e1")
    assert (event.event_type, event.actor, event.note) == ("entity.update", "ann", "why")
    shown = {"canonical_name": "a", "aliases": [], "metadata": {"k": 1}, "valid_until": store_clock.now + 4, "properties": {}}
    assert event.before == shown
    assert event.after["canonical_name"] == "b"
    assert graph.update("e1", name="b", expected_version=2) == new, "nothing differs"
    assert len(graph.history("e1")) == 1
    with pytest.raises(VersionConflict) as caught:
        graph.update("e1", type="Part", expected_version=1)
    assert caught.value.current == new


def test_what_is_over_is_kept_as_it_was(graph):
    graph.add_entity("Component", "a", id="e1")
    assert graph.invalidate("e1")
    with pytest.raises(Invalid, match="is invalid; it is kept as it was"):
        graph.update("e1", name="b")


def test_a_life_goes_one_way_and_each_step_is_logged(store):
    graph = store.knowledge
    graph.add_entity("Component", "a", status="candidate", id="a")
    graph.add_entity("Component", "b", status="candidate", id="b")
    assert not graph.supersede("a")
    assert not graph.invalidate("a"), "a candidate is rejected"
    assert graph.promote("a", actor="ann", note="seen")
    assert not graph.promote("a")
    assert not graph.reject("a"), "an active one is invalidated"
    assert graph.reject("b")
    assert graph.supersede("a", by=graph.add_entity("Component", "c", id="c").id)
    assert not graph.supersede("a")
    assert (graph.get("a").status, graph.get("a").superseded_by, graph.get("b").status) == ("superseded", "c", "invalid")
    assert verbs(store, "entity", "a") == ["entity.promote", "entity.supersede"]
    assert verbs(store, "entity", "b") == ["entity.reject"]
    first = graph.history("a")[0]
    assert (first.actor, first.note, first.before, first.after) == ("ann", "seen", {"status": "candidate"}, {"status": "active"})
    for verb in (graph.promote, graph.reject, graph.supersede, graph.invalidate, graph.history):
        with pytest.raises(NotFound, match="no entity 'x'"):
            verb("x")


def test_it_is_superseded_by_another_active_one_only(graph):
    chain(graph, "a", "b")
    with pytest.raises(Invalid, match="cannot supersede itself"):
        graph.supersede("a", by="a")
    graph.invalidate("b")
    with pytest.raises(Invalid, match="'b' is not active"):
        graph.supersede("a", by="b")
    with pytest.raises(NotFound):
        graph.supersede("a", by="z")
    assert graph.get("a").status == "active"


def test_what_takes_its_place_matters_only_where_it_can_be_superseded(store):
    graph = store.knowledge
    for name, status in (("a", "candidate"), ("b", "candidate"), ("c", "active")):
        graph.add_entity("X", name, status=status, id=name)
    assert not graph.supersede("a", by="b")
    assert not graph.supersede("a", by="nowhere")
    with pytest.raises(NotFound):
        graph.supersede("c", by="nowhere")
    with pytest.raises(NotFound):
        graph.supersede("nowhere", by="b")
    assert verbs(store, "entity", "a") == []


def test_nothing_is_known_before_it_is_there(graph):
    chain(graph, "a", "b")
    for call in (
        lambda: graph.add_entity("X", "c", created_at=500, updated_at=10),
        lambda: graph.observe("a", "blue", created_at=500, retired_at=10),
        lambda: graph.relate("a", "part_of", "b", created_at=500, retired_at=10),
    ):
        with pytest.raises(Invalid, match="must not be earlier than created_at 500"):
            call()


def test_promoting_lets_the_memories_that_it_came_from_graduate(store):
    for id in ("m1", "m2"):
        store.memories.add("knowledge", f"belief {id}", id=id)
    store.memories.supersede("m2")
    references = ["memory:m1", "memory:m2", "memory:gone", "chunk:m1"]
    entity = store.knowledge.add_entity("Decision", "a", status="candidate", source_refs=references)
    assert store.knowledge.promote(entity.id, actor="ann")
    assert [(store.memories.get(id).status, store.memories.get(id).graduated_to_entity_id) for id in ("m1", "m2")] == [
        ("graduated", entity.id), ("superseded", None)]  # fmt: skip
    (event,) = [event for event in store.memories.history("m1") if event.event_type == "memory.graduate"]
    assert event.actor == "ann"
    (advice,) = [finding for finding in store.check().findings if finding.kind == "dangling"]
    assert "comes from memory 'gone', which is not here" in advice.detail


def test_what_begins_to_hold_is_told(store, monkeypatch):
    told, graph = [], store.knowledge
    monkeypatch.setattr(graph, "_believed", lambda connection, item: told.append(item))
    a, b = graph.add_entity("Component", "a"), graph.add_entity("Component", "b", status="candidate")
    graph.update(b.id, name="c")
    graph.promote(b.id)
    graph.update(a.id, name="d")
    edge = graph.relate(a.id, "part_of", b.id)
    assert [getattr(item, "name", item) for item in told] == ["a", "c", "d", edge]


# -- relationships and observations -------------------------------------------------------------------------------------


def test_a_relationship_keeps_all_that_it_was_given(graph, store_clock):
    chain(graph, "a", "b")
    given = {
        "confidence": 0.5, "source_refs": ["chunk:1"], "properties": {"x": 1}, "user_id": "ann", "conversation_id": "c1",
        "valid_from": 5.0, "valid_until": 6.0, "id": "r1", "created_at": 7.0, "retired_at": 8.0,
    }  # fmt: skip
    found = graph.relate("a", "part_of", "b", project="p", **given)
    assert graph.get_relationship("r1") == found
    assert {name: getattr(found, name) for name in given} == given
    assert (found.from_id, found.kind, found.to_id, found.project_id) == ("a", "part_of", "b", "p")


def test_what_holds_already_comes_back_as_it_is(graph):
    chain(graph, "a", "b")
    one = graph.relate("a", "part_of", "b")
    assert graph.relate("a", "part_of", "b", confidence=0.1) == one
    assert graph.relate("b", "part_of", "a") != one
    assert graph.relate("a", "part_of", "b", user_id="ann") != one
    assert graph.relate("a", "part_of", "b", valid_from=5.0) != one, "another time of the world"
    assert graph.retire_relationship(one.id)
    assert graph.relate("a", "part_of", "b").id != one.id


def test_no_relationship_is_looked_for_among_all_of_its_kind(store):
    graph = store.knowledge
    chain(graph, *(str(number) for number in range(200)))
    ends = {"SEARCH relationships USING INDEX relationships__out", "SEARCH relationships USING INDEX relationships__in"}
    for _ in range(2):
        assert ways(store, "relationships", lambda: graph.relate("7", "depends_on", "9")) <= ends
        for direction in ("both", "out", "in"):
            assert ways(store, "relationships", partial(graph.relationships, "7", kind="depends_on", direction=direction)) <= ends
        store.optimize()


def test_a_page_of_relationships_is_read_in_order(store):
    graph = store.knowledge
    chain(graph, *(str(number) for number in range(200)))
    last = graph.relationships(limit=10)[-1].id
    for given, index in (({}, "relationships__created"), ({"kind": "depends_on"}, "relationships__kind")):
        for before in (None, last):
            way = ways(store, "", partial(graph.relationships, limit=10, before=before, **given))
            assert f"SEARCH relationships USING INDEX {index}" in way
            assert not [step for step in way if "TEMP B-TREE" in step], "nothing is sorted"


def test_it_belongs_to_the_project_where_it_begins(graph):
    a, b = graph.add_entity("Component", "a", project="p"), graph.add_entity("Component", "b", project="q")
    assert graph.relate(a.id, "part_of", b.id).project_id == "p"
    assert graph.relate(b.id, "part_of", a.id, project="r").project_id == "r"
    assert [item.kind for item in graph.relationships(project="r")] == ["part_of"]


def test_a_kind_must_be_known_or_registered(graph):
    chain(graph, "a", "b")
    with pytest.raises(Invalid, match=r"'contain' is no kind of relationship \(nearest: 'contains'\); register_kind"):
        graph.relate("a", "contain", "b")
    assert graph.register_kind("glued to", "structural")["glued to"] == "structural"
    assert graph.register_kind("glued to", "structural") == graph.kinds(), "again is nothing new"
    assert graph.relate("a", "glued to", "b").kind == "glued to"
    with pytest.raises(Exists, match="'supports' is validation already"):
        graph.register_kind("supports", "intent")
    with pytest.raises(Invalid, match="family"):
        graph.register_kind("x", "structure")
    families = graph.kinds()
    assert [families[kind] for kind in ("uses_material", "satisfies", "supports", "evidenced_by")] == [
        "structural", "intent", "validation", "provenance"]  # fmt: skip


def test_the_relationships_of_an_entity_by_direction_and_kind(graph):
    chain(graph, "a", "b", "c")
    graph.relate("c", "part_of", "b")
    assert [(item.from_id, item.to_id) for item in graph.relationships("b")] == [("c", "b"), ("b", "c"), ("a", "b")]
    assert [item.to_id for item in graph.relationships("b", direction="out")] == ["c"]
    assert [item.from_id for item in graph.relationships("b", direction="in")] == ["c", "a"]
    assert [item.from_id for item in graph.relationships("b", kind="part_of")] == ["c"]
    first, *rest = graph.relationships()
    assert len(rest) == 2
    assert graph.relationships(limit=1) == [first]
    assert graph.relationships(before=first.id) == rest
    with pytest.raises(NotFound, match="no entity 'z'"):
        graph.relationships("z")
    with pytest.raises(Invalid, match="direction"):
        graph.relationships("a", direction="up")


def test_ends_must_be_there(graph):
    chain(graph, "a")
    with pytest.raises(NotFound, match="no entity 'z'"):
        graph.relate("a", "part_of", "z")
    with pytest.raises(NotFound, match="no relationship 'z'"):
        graph.get_relationship("z")
    with pytest.raises(NotFound, match="no relationship 'z'"):
        graph.retire_relationship("z")


def test_retiring_is_logged_and_done_once(store, store_clock):
    graph = store.knowledge
    chain(graph, "a", "b")
    (edge,) = graph.relationships()
    store_clock.advance(-100)
    assert graph.retire_relationship(edge.id, actor="ann", note="wrong")
    assert not graph.retire_relationship(edge.id)
    retired = graph.get_relationship(edge.id)
    assert retired.retired_at == edge.created_at, "recorded time never runs backwards"
    assert graph.relationships() == []
    assert graph.relationships(include_retired=True) == [retired]
    (event,) = store.audit.history("relationship", edge.id)
    assert (event.event_type, event.actor, event.note) == ("relationship.retire", "ann", "wrong")
    assert event.before == {"from_id": "a", "kind": "depends_on", "to_id": "b", "retired_at": None}
    assert event.after["retired_at"] == retired.retired_at


def test_what_is_noted_twice_is_noted_once(graph):
    chain(graph, "a")
    given = {"source_refs": ["chunk:1"], "user_id": "ann", "conversation_id": "c1", "id": "o1", "created_at": 7.0}
    note = graph.observe("a", "is blue", **given)
    assert {name: getattr(note, name) for name in given} == given
    assert (note.entity_id, note.content, note.retired_at) == ("a", "is blue", None)
    assert graph.observe("a", "is blue", user_id="ann") == note
    other = graph.observe("a", "is blue")
    assert graph.observe("a", "Is blue").id != other.id, "what is spelt differently is kept too"
    assert [item.content for item in graph.observations("a")] == ["is blue", "is blue", "Is blue"]


def test_an_observation_is_retired_with_an_event(store):
    graph = store.knowledge
    chain(graph, "a")
    note = graph.observe("a", "is blue")
    assert graph.retire_observation(note.id, actor="ann", note="it is not")
    assert not graph.retire_observation(note.id)
    assert graph.observations("a") == []
    assert [item.id for item in graph.observations("a", include_retired=True)] == [note.id]
    (event,) = store.audit.history("observation", note.id)
    assert (event.event_type, event.actor, event.before["content"]) == ("observation.retire", "ann", "is blue")
    with pytest.raises(NotFound, match="no observation 'z'"):
        graph.retire_observation("z")
    with pytest.raises(Exists, match="there is an observation"):
        graph.observe("a", "is red", id=note.id)


# -- the house ----------------------------------------------------------------------------------------------------------


def test_a_failed_call_leaves_nothing_behind(store, monkeypatch):
    graph = store.knowledge
    chain(graph, "a", "b")

    def refuse(connection, item):
        raise ZeroDivisionError

    monkeypatch.setattr(graph, "_believed", refuse)
    count = " UNION ALL ".join(f"SELECT count(*) AS n FROM {table}" for table in ("entities", "entity_versions", "relationships"))
    before = store.query(count)
    for call in (lambda: graph.add_entity("X", "c"), lambda: graph.update("a", name="z"), lambda: graph.relate("b", "part_of", "a")):
        with pytest.raises(ZeroDivisionError):
            call()
    assert store.query(count) == before
    assert graph.get("a").name == "a"


def test_a_name_that_comes_to_mean_a_project_takes_its_graph_along(store, store_clock):
    graph = store.knowledge
    graph.add_entity("X", "a", project="moon", id="a")
    graph.add_entity("X", "b", project="moon", user_id="bob", id="b")
    graph.relate("a", "part_of", "b")
    store_clock.advance(1)
    graph.update("a", name="c")
    store.chat.create_project("moon", id="p1")
    assert names(graph.entities(project="moon")) == ["b", "c"], "it means that project to others too"
    assert names(graph.as_of(recorded=store_clock.now - 1).entities(project="moon")) == ["b", "a"]
    assert [item.project_id for item in graph.relationships()] == ["p1"]


@pytest.mark.damage
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE entities SET name_key = 'x' WHERE id = 'a'", "entity a at version 2: its keys are not those"),
        ("UPDATE entity_versions SET type_key = 'x'", "entity a at version 1: its keys are not those"),
        ("DELETE FROM entity_names WHERE entity = 1", "entity a: entity_names and entity_words are not those of its names"),
        ("DELETE FROM entity_words WHERE entity = 2", "entity b: entity_names and entity_words are not those of its names"),
        ("UPDATE entity_versions SET updated_at = 9e9", "entity a: its versions and times do not follow one another"),
        ("UPDATE observations SET content_key = ''", "its key is not that of its content"),
        ("UPDATE relationships SET kind = 'odd'", "have the kind 'odd', which is not registered"),
    ],
)
def test_what_is_derived_is_checked(tmp_path, damage, said):
    with open_store(tmp_path / "agent.db", clock=FakeClock()) as store:
        chain(store.knowledge, "a", "b")
        store.knowledge.update("a", name="c")
        store.knowledge.observe("a", "is blue")
        assert store.check().ok
        with store.transaction():
            store._database.writer.run(damage)
        findings = store.check().findings
        assert any(said in finding.detail for finding in findings), findings


def test_what_superseded_it_may_be_gone(store):
    store.knowledge.add_entity("X", "a", status="superseded", superseded_by="elsewhere")
    report = store.check()
    assert report.ok
    assert any("was superseded by entity 'elsewhere', which is not here" in finding.detail for finding in report.findings)


def test_the_oldest_past_can_be_pruned(store, store_clock):
    graph = store.knowledge
    chain(graph, "a", "b")
    graph.observe("a", "is blue")
    store_clock.advance(10)
    graph.update("a", name="c")
    graph.retire_relationship(graph.relationships()[0].id)
    graph.retire_observation(graph.observations("a")[0].id)
    store_clock.advance(10)
    graph.update("a", name="d")
    report = store.prune(room="knowledge", max_age=5)
    assert report.removed == {"entity_versions": 1, "relationships": 1, "observations": 1}
    assert names(graph.as_of(recorded=store_clock.now - 1).entities(name="c")) == ["c"]
    assert graph.relationships("a", include_retired=True) == []
    assert store.check().ok, "the names of what went are gone too"


def test_a_document_is_compared_as_json_where_true_is_not_1(graph):
    arm = graph.add_entity("Component", "arm", properties={"n": 1})
    assert graph.update(arm.id, properties={"n": True}).properties["n"] is True
    assert graph.get(arm.id).properties["n"] is True


@pytest.mark.parametrize("subject", [{"user_id": "ada.l1"}, {"conversation_id": "chat-71"}, {"project": "moon-71"}])
def test_what_was_pruned_is_erased_from_the_log_too(file_store, searcher, tmp_path, subject):
    graph = file_store.knowledge
    owned = {"conversation_id" if "conversation_id" in subject else next(iter(subject)): next(iter(subject.values()))}
    ann, clinic = graph.add_entity("Person", "Ann", **owned), graph.add_entity("Place", "clinic")
    graph.register_kind("sekretly visits", "structural")
    graph.register_kind("visits", "structural")
    seen, noted = graph.relate(ann.id, "sekretly visits", clinic.id), graph.observe(ann.id, "sekret diagnosis", user_id="bob")
    graph.retire_relationship(seen.id)
    graph.retire_observation(noted.id)
    file_store.export(tmp_path / "before")
    report = file_store.prune(room="knowledge", keep_last=0)
    assert (report.removed["relationships"], report.removed["relationship_kinds"]) == (1, 1)
    assert "visits" in graph.kinds(), "it may be used yet"
    file_store.erase(**subject)
    assert searcher(file_store, "sekret") == []
    file_store.import_(tmp_path / "before", on_conflict="skip")
    assert searcher(file_store, "sekret") == []


def test_an_export_of_a_user_has_all_that_erasing_it_would_remove(store, tmp_path):
    graph, ann = store.knowledge, {"user_id": "ann@example.org"}
    for id, owner in (("kitchen", {}), ("hall", {}), ("hers", ann), ("his", {"user_id": "bob"}), ("other", {}), ("seen", {})):
        graph.add_entity("Place", id, id=id, **owner)
    graph.register_kind("beside", "structural")
    for ends, owner in ((("kitchen", "hall"), ann), (("hers", "kitchen"), {}), (("his", "hers"), {}), (("his", "other"), {})):
        graph.relate(ends[0], "beside", ends[1], **owner)
    for id, owner in (("hall", ann), ("hers", {}), ("hall", {}), ("other", {"user_id": "bob"})):
        graph.observe(id, f"noted by {owner}", **owner)
    graph.add_atom("claim", "it is there", id="a1", **ann)
    graph.mention("seen", "a1")
    receipt = store.export(tmp_path / "out", **ann)
    with open_store() as other:
        other.import_(tmp_path / "out")
        assert [item.id for item in other.knowledge.entities()] == ["seen", "hers", "hall", "kitchen"]
        assert [(item.from_id, item.to_id) for item in other.knowledge.relationships()] == [("hers", "kitchen"), ("kitchen", "hall")]
        assert len(other.knowledge.mentions(entity_id="seen")) == 1
        assert other.check().ok
    gone = store.erase(**ann)
    assert receipt.rows["observations"] == gone.counts["observations"] == 2
    assert receipt.rows["relationships"] == gone.counts["relationships"] - 1 == 2, "but not where another user's entity is one end"
