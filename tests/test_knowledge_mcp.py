"""MCP's server-memory over the graph: nine operations, and the file."""

from __future__ import annotations

import json

import pytest

from memstore import Invalid, NotFound, open_store
from memstore.knowledge import mcp as mcp_room

ANN = {"name": "Ann", "entityType": "person", "observations": ["likes tea", "speaks Welsh"]}
ACME = {"name": "Acme", "entityType": "company", "observations": []}
WORKS = {"from": "Ann", "to": "Acme", "relationType": "works at"}


@pytest.fixture
def store(store_clock):
    with open_store(clock=store_clock) as opened:
        yield opened


@pytest.fixture
def mcp(store):
    return store.knowledge.mcp


@pytest.fixture
def told(mcp):
    """Ann, who works at Acme."""
    mcp("create_entities", {"entities": [ANN, ACME]})
    mcp("create_relations", {"relations": [WORKS]})
    return mcp


def test_only_what_is_new_is_created_and_returned(mcp):
    assert mcp("create_entities", {"entities": [ANN, ANN]}) == {"entities": [ANN]}
    assert mcp("create_entities", {"entities": [{**ANN, "observations": ["else"]}, ACME]}) == {"entities": [ACME]}
    assert mcp("create_relations", {"relations": [WORKS, WORKS]}) == {"relations": [WORKS]}
    assert mcp("create_relations", {"relations": [WORKS]}) == {"relations": []}
    assert mcp("read_graph") == {"entities": [ANN, ACME], "relations": [WORKS]}


def test_observations_are_added_to_what_is_there(told):
    added = told("add_observations", {"observations": [{"entityName": "Ann", "contents": ["likes tea", "rides", "rides"]}]})
    assert added == {"results": [{"entityName": "Ann", "addedObservations": ["rides"]}]}
    with pytest.raises(NotFound, match="no active entity is called 'Bob'; create_entities adds it"):
        told("add_observations", {"observations": [{"entityName": "Acme", "contents": ["big"]}, {"entityName": "Bob", "contents": ["x"]}]})
    assert told("open_nodes", {"names": ["Acme"]})["entities"] == [ACME], "all of it or nothing"


def test_a_relation_needs_its_ends(told):
    with pytest.raises(NotFound, match="no active entity is called 'Bob'"):
        told("create_relations", {"relations": [{**WORKS, "to": "Bob", "relationType": "knows"}]})


def test_a_relation_type_is_registered(store, told):
    assert store.knowledge.kinds()["works at"] == "structural"
    told("create_relations", {"relations": [{**WORKS, "relationType": "supports"}]})
    assert store.knowledge.kinds()["supports"] == "validation"


def test_what_is_deleted_is_over_and_not_forgotten(store, store_clock, told):
    before = store_clock.now
    store_clock.advance(5)
    assert told("delete_observations", {"deletions": [{"entityName": "Ann", "observations": ["likes tea", "never said"]}]}) == {}
    assert told("open_nodes", {"names": ["Ann"]})["entities"] == [{**ANN, "observations": ["speaks Welsh"]}]
    assert told("delete_entities", {"entityNames": ["Ann"]}, actor="agent", note="left") == {}
    assert told("read_graph") == {"entities": [ACME], "relations": []}
    (ann,) = store.knowledge.entities(name="Ann")
    assert ann.status == "superseded"
    (event,) = store.knowledge.history(ann.id)
    assert (event.event_type, event.actor, event.note) == ("entity.supersede", "agent", "left")
    assert len(store.audit.find(event_type="relationship.retire")) == 1
    then = store.knowledge.as_of(recorded=before)
    assert [near.entity.name for near in then.neighbours(ann.id)] == ["Acme"]
    assert told("create_entities", {"entities": [ANN]}) == {"entities": [ANN]}, "the name is free again"


def test_relations_are_deleted_alone(told):
    assert told("delete_relations", {"relations": [{**WORKS, "relationType": "owns"}, WORKS]}) == {}
    assert told("read_graph") == {"entities": [ANN, ACME], "relations": []}


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("delete_entities", {"entityNames": ["Bob"]}),
        ("delete_observations", {"deletions": [{"entityName": "Bob", "observations": ["x"]}]}),
        ("delete_relations", {"relations": [{"from": "Bob", "to": "Ann", "relationType": "knows"}]}),
        ("open_nodes", {"names": ["Bob", "ann"]}),
        ("search_nodes", {"query": "zebra"}),
    ],
)
def test_names_that_nobody_has_mean_nothing(told, operation, arguments):
    answer = told(operation, arguments)
    assert answer == ({} if operation.startswith("delete") else {"entities": [], "relations": []})
    assert told("read_graph") == {"entities": [ANN, ACME], "relations": [WORKS]}


@pytest.mark.parametrize(("query", "found"), [("TEA", [ANN]), ("PERSON", [ANN]), ("acm", [ACME]), ("", [ANN, ACME]), ("%", [])])
def test_a_search_looks_into_names_types_and_observations(told, query, found):
    assert told("search_nodes", {"query": query}) == {"entities": found, "relations": [WORKS] if found else []}


def test_opening_brings_the_relations_that_touch(told):
    assert told("open_nodes", {"names": ["Acme"]}) == {"entities": [ACME], "relations": [WORKS]}


def test_a_project_and_a_user_have_a_graph_of_their_own(store, mcp):
    for scope in ({}, {"project": "p"}, {"user_id": "ann"}, {"user_id": "bob"}):
        assert mcp("create_entities", {"entities": [{**ACME, "name": f"of {scope}"}]}, **scope)["entities"]
    assert [item["name"] for item in mcp("read_graph", project="p")["entities"]] == ["of {'project': 'p'}"]
    assert len(mcp("read_graph", user_id="ann")["entities"]) == 3, "hers and everybody's"
    assert len(mcp("read_graph")["entities"]) == 4
    told = {"entityName": "of {}", "contents": ["secret"]}
    mcp("add_observations", {"observations": [told]}, user_id="ann")
    assert [item["observations"] for item in mcp("open_nodes", {"names": ["of {}"]}, user_id="bob")["entities"]] == [[]]


@pytest.mark.parametrize(
    ("operation", "arguments", "said"),
    [
        ("create_entity", {}, "nearest: 'create_entities'"),
        ("create_entities", {}, "create_entities has no entities; it takes entities"),
        ("create_entities", {"entities": {}}, "create_entities.entities must be a list"),
        ("create_entities", {"entities": [1]}, "create_entities.entities must be an object, not 1"),
        ("create_entities", {"entities": [{"name": "a", "entityType": "b"}]}, "has no observations"),
        ("create_entities", {"entities": [{**ACME, "name": 5}]}, "create_entities.entities.name must be str"),
        ("create_entities", {"entities": [{**ACME, "observations": "x"}]}, "must be a list of str"),
        ("open_nodes", {"names": None}, "must be a list of str"),
        ("search_nodes", {"query": 1}, "query must be str"),
        ("search_nodes", [], "arguments must be a dict"),
    ],
)
def test_what_is_no_call_is_refused(mcp, operation, arguments, said):
    with pytest.raises(Invalid, match=said):
        mcp(operation, arguments)
    assert mcp("read_graph") == {"entities": [], "relations": []}


# -- the file -----------------------------------------------------------------------------------------------------------


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_file_is_what_server_memory_writes(store, told, tmp_path):
    path = tmp_path / "memory.json"
    assert store.knowledge.export_mcp(path) == 3
    assert lines_of(path) == [{"type": "entity", **ANN}, {"type": "entity", **ACME}, {"type": "relation", **WORKS}]
    assert path.read_text().startswith('{"type":"entity","name":"Ann","entityType":"person","observations":["likes tea",')


def test_a_file_comes_in_once_and_goes_out_the_same(store, told, tmp_path):
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    store.knowledge.export_mcp(first)
    with open_store() as other:
        assert other.knowledge.import_mcp(first, actor="ann", note="moved") == 3
        assert other.knowledge.import_mcp(first) == 0
        (event,) = other.audit.find(event_type="entity.import")
        assert (event.actor, event.note, event.details) == ("ann", "moved", {"count": 3})
        other.knowledge.export_mcp(again)
        assert again.read_bytes() == first.read_bytes()
        first.write_text(json.dumps({"type": "entity", **ANN, "observations": ["likes tea", "rides"]}))
        assert other.knowledge.import_mcp(first) == 1
        assert other.knowledge.mcp("open_nodes", {"names": ["Ann"]})["entities"][0]["observations"] == [*ANN["observations"], "rides"]


def test_relations_may_stand_before_their_entities(store, tmp_path):
    path = tmp_path / "memory.json"
    rows = [{"type": "relation", **WORKS}, {"type": "entity", **ANN}, {"type": "entity", **ACME}]
    path.write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert store.knowledge.import_mcp(path) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: Expecting"),
        ("[]", "line 2: line must be a dict"),
        ('{"type": "node"}', "line 2: type 'node' is none of entity, relation"),
        ('{"type": "entity", "name": "x"}', "line 2: entity has no entityType"),
        (json.dumps({"type": "relation", **WORKS}), "line 2: this relation names 'Acme', and no entity .* delete this line"),
        ('{"type": "entity", "name": "x", "entityType": "y", "observations": [NaN]}', "line 2: .*NaN|line 2: .* nan"),
    ],
)
def test_a_bad_line_is_named_and_nothing_comes_in(store, tmp_path, line, said):
    path = tmp_path / "memory.json"
    path.write_text(json.dumps({"type": "entity", **ANN}) + "\n" + line)
    with pytest.raises(Invalid, match=f"memory.json {said}"):
        store.knowledge.import_mcp(path)
    assert store.knowledge.entities() == []
    with pytest.raises(Invalid, match="cannot be read"):
        store.knowledge.import_mcp(tmp_path / "none.json")


# -- whose it is --------------------------------------------------------------------------------------------------------

COLD = {"entityName": "Ann", "contents": ["is cold"]}
KNOWS = {**WORKS, "relationType": "knows"}


@pytest.fixture
def private(told):
    """What alice has noted for herself about what is everybody's."""
    told("add_observations", {"observations": [COLD]}, user_id="alice")
    told("create_relations", {"relations": [KNOWS]}, user_id="alice")
    return told


def test_what_another_user_has_noted_is_not_known(private):
    added = private("add_observations", {"observations": [COLD]}, user_id="bob")
    assert added == {"results": [{"entityName": "Ann", "addedObservations": ["is cold"]}]}
    assert private("create_relations", {"relations": [KNOWS]}, user_id="bob") == {"relations": [KNOWS]}
    graph = private("read_graph", user_id="bob")
    assert graph["entities"][0]["observations"] == [*ANN["observations"], "is cold"]
    assert graph["relations"] == [WORKS, KNOWS]
    assert private("add_observations", {"observations": [COLD]}) == {"results": [{"entityName": "Ann", "addedObservations": []}]}


def test_what_another_user_has_noted_is_not_ended(private):
    before = private("read_graph", user_id="alice")
    private("delete_observations", {"deletions": [{"entityName": "Ann", "observations": ["is cold"]}]}, user_id="bob")
    private("delete_relations", {"relations": [KNOWS]}, user_id="bob")
    assert private("read_graph", user_id="alice") == before
    private("delete_observations", {"deletions": [{"entityName": "Ann", "observations": ["is cold", "likes tea"]}]}, user_id="alice")
    private("delete_relations", {"relations": [KNOWS, WORKS]}, user_id="alice")
    assert private("read_graph") == {"entities": [{**ANN, "observations": ["speaks Welsh"]}, ACME], "relations": []}


def test_a_user_deletes_his_own_entities_and_no_shared_one(private):
    private("create_entities", {"entities": [{**ACME, "name": "Bob & Sons"}]}, user_id="bob")
    with pytest.raises(Invalid, match="the entity 'Ann' is everybody's, so no user deletes it alone; delete it without user_id"):
        private("delete_entities", {"entityNames": ["Bob & Sons", "Ann"]}, user_id="bob")
    assert len(private("read_graph", user_id="bob")["entities"]) == 3, "all of it or nothing"
    assert private("delete_entities", {"entityNames": ["Bob & Sons"]}, user_id="bob") == {}
    assert private("read_graph", user_id="bob")["entities"] == [ANN, ACME]


def test_what_a_graph_shows_of_a_relation_has_both_ends_in_it(store, told):
    told("create_entities", {"entities": [{**ACME, "name": "Secret"}]}, user_id="alice")
    store.knowledge.relate(store.knowledge.entities(name="Ann")[0].id, "part_of", store.knowledge.entities(name="Secret")[0].id)
    assert told("open_nodes", {"names": ["Ann"]}, user_id="bob")["relations"] == [WORKS]
    assert len(told("open_nodes", {"names": ["Ann", "Secret"]}, user_id="alice")["relations"]) == 2


@pytest.mark.parametrize("clause", [mcp_room.TOUCHING, mcp_room.BETWEEN])
def test_relations_are_looked_up_by_their_ends(store, told, clause):
    sql = f"EXPLAIN QUERY PLAN SELECT * FROM relationships {clause}"
    steps = [row["detail"] for row in store.query(sql, [None] * sql.count("?"))]
    assert any("SEARCH relationships" in step and "source=?" in step for step in steps), steps
    assert not any("SCAN relationships" in step or "relationships__kind" in step for step in steps), steps


def test_observations_are_looked_up_by_what_they_say(store, told):
    sql = f"EXPLAIN QUERY PLAN SELECT * FROM observations WHERE {mcp_room.OF} AND content_key = ? AND {mcp_room.HELD}"
    steps = [row["detail"] for row in store.query(sql, ["[]", "x", None, None])]
    assert any("observations__entity (entity=? AND content_key=?)" in step for step in steps), steps
