"""What is asked of the graph of the knowledge room: walks, and what it said and what held at another time."""

from __future__ import annotations

import datetime

import graphs
import pytest
from graphs import chain, names
from plans import ways

from memstore import Invalid, NotFound

store, graph = graphs.store, graphs.graph


def reached(found):
    return [(near.entity.name, near.depth, near.via) for near in found]


# -- walks --------------------------------------------------------------------------------------------------------------


def test_neighbours_come_nearest_first_then_as_they_arrived(graph):
    chain(graph, "a", "b", "c", "d")
    graph.add_entity("Component", "e", id="e")
    graph.relate("e", "part_of", "a")
    assert reached(graph.neighbours("a")) == [("b", 1, "depends_on"), ("e", 1, "part_of")]
    assert reached(graph.neighbours("a", depth=2)) == [("b", 1, "depends_on"), ("e", 1, "part_of"), ("c", 2, "depends_on")]
    assert reached(graph.neighbours("a", direction="in", depth=9)) == [("e", 1, "part_of")]
    along = graph.neighbours("a", kind="depends_on", depth=9)
    assert reached(along) == [("b", 1, "depends_on"), ("c", 2, "depends_on"), ("d", 3, "depends_on")]
    assert names(near.entity for near in graph.neighbours("a", depth=9, limit=2)) == ["b", "e"]
    assert graph.neighbours("a", depth=0) == []
    with pytest.raises(NotFound, match="no entity 'z'"):
        graph.neighbours("z")


def test_everything_ends_on_a_cycle(graph):
    chain(graph, "a", "b", "c")
    graph.relate("c", "depends_on", "a")
    graph.relate("b", "depends_on", "b")
    assert names(near.entity for near in graph.impact("a", depth=100)) == ["b", "c"]
    assert names(near.entity for near in graph.neighbours("a", depth=100)) == ["b", "c"]
    assert graph.evidence_chain("a") == []
    assert [item.to_id for item in graph.path("a", "c", direction="out")] == ["b", "c"]
    assert graph.path("a", "a") == []


def test_impact_against_the_arrows_is_what_breaks_when_something_fails(graph):
    chain(graph, "app", "service", "disk")
    graph.relate("disk", "depends_on", chain(graph, "power")[0].id)
    assert [(near.depth, near.entity.name) for near in graph.impact("disk", direction="in")] == [(1, "service"), (2, "app")]
    assert names(near.entity for near in graph.impact("disk", 1, direction="in")) == ["service"]
    assert names(near.entity for near in graph.impact("disk")) == ["power"]
    assert names(near.entity for near in graph.as_of().impact("disk", direction="both", limit=2)) == ["service", "power"]
    with pytest.raises(Invalid, match="direction 'up' is none of"):
        graph.impact("disk", direction="up")


def test_a_walk_goes_by_what_is_active_and_valid(graph, store_clock):
    chain(graph, "a", "b", "c")
    chain(graph, "x", "y")
    graph.relate("a", "depends_on", "x", valid_until=store_clock.now + 5)
    graph.relate("a", "depends_on", graph.add_entity("Component", "idea", status="candidate").id)
    assert names(near.entity for near in graph.impact("a")) == ["b", "x", "c", "y"]
    graph.supersede("b")
    assert names(near.entity for near in graph.impact("a")) == ["x", "y"]
    assert names(near.entity for near in graph.impact("b")) == ["c"], "it may begin anywhere"
    store_clock.advance(5)
    assert graph.impact("a") == []


def test_a_path_is_a_shortest_one(graph):
    chain(graph, "a", "b", "c", "d", "e")
    graph.relate("e", "part_of", "b")
    assert [(item.from_id, item.to_id) for item in graph.path("a", "e")] == [("a", "b"), ("e", "b")]
    assert [item.to_id for item in graph.path("a", "e", direction="out")] == ["b", "c", "d", "e"]
    assert [item.from_id for item in graph.path("e", "a", direction="in")] == ["d", "c", "b", "a"]
    assert graph.path("a", "e", direction="out", max_depth=3) is None
    assert graph.path("e", "a", direction="out") is None
    assert graph.path("a", "e", max_depth=0) is None
    assert graph.path("a", graph.add_entity("Component", "alone").id) is None
    graph.invalidate("b")
    assert graph.path("a", "c") is None, "nothing leads through what is wrong"
    assert [item.to_id for item in graph.path("a", "b")] == ["b"], "though to it"


def test_evidence_is_followed_to_where_it_comes_from(graph):
    for name in ("claim", "result", "model", "paper", "other"):
        graph.add_entity("X", name, id=name)
    graph.register_kind("copied_from", "provenance")
    graph.relate("result", "supports", "claim")
    graph.relate("result", "analyzed_by", "model")
    graph.relate("model", "described_by", "paper")
    graph.relate("paper", "copied_from", "other")
    graph.relate("claim", "supports", "other")
    assert reached(graph.evidence_chain("claim")) == [
        ("result", 1, "supports"), ("model", 2, "analyzed_by"), ("paper", 3, "described_by"), ("other", 4, "copied_from")]  # fmt: skip
    assert len(graph.evidence_chain("claim", depth=2)) == 2


def test_behind_an_entity_stands_the_evidence_of_the_atoms_that_mention_what_it_rests_on(graph):
    chain(graph, "result", "claim", kind="supports")
    for name, about in (("of result", "result"), ("of claim", "claim"), ("of nothing", None), ("over", "claim")):
        atom = graph.add_atom("claim", name, evidence=[{"chunk_id": name, "snippet": name}])
        if about is not None:
            graph.mention(about, atom.id)
    assert graph.invalidate_atom(atom.id)
    assert [piece.snippet for piece in graph.grounds("claim")] == ["of result", "of claim"]
    assert [piece.snippet for piece in graph.grounds("result")] == ["of result"]
    graph.mark_stale(chunk_id="of result")
    assert graph.grounds("result") == []
    assert [piece.snippet for piece in graph.grounds("result", include_stale=True)] == ["of result"]
    with pytest.raises(NotFound, match="no entity 'z'"):
        graph.grounds("z")


def test_what_nothing_satisfies_or_supports_is_named(graph):
    for kind, type in (("satisfies", "Requirement"), ("supports", "ValidationClaim")):
        bare, met, over = (graph.add_entity(type.upper(), f"{type} {n}", project="p") for n in range(3))
        part = graph.add_entity("Component", f"what {kind}")
        graph.relate(part.id, kind, met.id)
        graph.relate(bare.id, kind, part.id)
        graph.invalidate(over.id)
        asked = graph.orphans if kind == "satisfies" else graph.unsupported_claims
        assert [item.id for item in asked()] == [bare.id]
        assert [item.id for item in asked(project="p")] == [bare.id]
        assert asked(project="q") == []
        graph.supersede(part.id)
        assert [item.id for item in asked()] == [met.id, bare.id], "what is over supports nothing"


def test_a_decision_on_a_fallen_assumption_is_at_risk(graph):
    fallen = {
        "superseded": graph.supersede,
        "invalid": graph.invalidate,
        "flagged": lambda id: graph.update(id, properties={"flagged": True}),
    }
    for name in [*fallen, "sound"]:
        decision, assumption = graph.add_entity("Decision", name), graph.add_entity("Assumption", f"assumed {name}", id=name)
        graph.relate(decision.id, "based_on_assumption", assumption.id)
    assert graph.risky_decisions() == []
    for name, fell in fallen.items():
        fell(name)
    assert names(graph.risky_decisions()) == ["flagged", "invalid", "superseded"]
    assert graph.risky_decisions(project="p") == []


def test_what_is_missing_and_what_leads_where_is_told_of_the_users_project_too(store, graph):
    given = {}
    for owner, id in (("ann", "p1"), ("bob", "p2")):
        store.chat.create_project("Apollo", id=id, user_id=owner)
        given[owner] = {"project": "Apollo", "user_id": owner}
        for type in ("Requirement", "ValidationClaim", "Decision"):
            graph.add_entity(type, f"{type} of {owner}", **given[owner])
        assumption = graph.add_entity("Assumption", f"assumed by {owner}", properties={"flagged": True}, **given[owner])
        graph.relate(graph.find_entity(f"Decision of {owner}").id, "based_on_assumption", assumption.id)
    for owner, asked in given.items():
        assert names(graph.orphans(**asked)) == [f"Requirement of {owner}"]
        assert names(graph.unsupported_claims(**asked)) == [f"ValidationClaim of {owner}"]
        assert names(graph.risky_decisions(**asked)) == [f"Decision of {owner}"]
        assert [edge.project_id for edge in graph.relationships(**asked)] == [{"ann": "p1", "bob": "p2"}[owner]]
    assert names(graph.orphans(user_id="bob")) == ["Requirement of bob"] and len(graph.orphans()) == 2


# -- the past -----------------------------------------------------------------------------------------------------------


def test_a_view_answers_as_the_store_did_then(store, store_clock):
    graph = store.knowledge
    chain(graph, "a", "b")
    graph.observe("a", "is blue")
    before = store_clock.now
    store_clock.advance(10)
    graph.update("a", name="A2", type="Part")
    graph.supersede("b")
    graph.retire_relationship(graph.relationships("a")[0].id)
    graph.retire_observation(graph.observations("a")[0].id)
    graph.add_entity("Component", "c", id="c")
    then = graph.as_of(recorded=before)
    assert names(then.entities()) == ["b", "a"]
    assert names(then.entities(type="component", status="active", name="A")) == ["a"]
    assert then.count() == 2
    assert (then.get("a").name, then.get("a").version, then.get("b").status) == ("a", 1, "active")
    assert reached(then.neighbours("a")) == [("b", 1, "depends_on")]
    assert len(then.path("a", "b")) == 1
    assert [item.content for item in then.observations("a")] == ["is blue"]
    assert [item.to_id for item in then.relationships("a")] == ["b"]
    with pytest.raises(NotFound, match="'c' was not known at that time"):
        then.get("c")
    assert graph.neighbours("a") == []
    assert graph.as_of().get("a") == graph.get("a")
    assert then.as_of(recorded=store_clock.now).get("c").name == "c"


def test_a_past_is_looked_up_by_an_index(store, store_clock):
    graph = store.knowledge
    chain(graph, *(f"part {number}" for number in range(100)))
    store_clock.advance(5)
    for number in range(100):
        graph.update(f"part {number}", name=f"piece {number}")
    then = graph.as_of(recorded=store_clock.now - 1)

    def ask():
        assert then.get("part 7").name == "part 7"
        assert len(then.neighbours("part 7", depth=3)) == 6
        assert len(then.path("part 7", "part 11")) == 4
        assert then.find_entity("part 7").id == "part 7"
        assert then.find_entity("prat 7").id == "part 7"
        assert then.risky_decisions() == []

    used = {way.removeprefix("SEARCH entity_versions USING INDEX ") for way in ways(store, "entity_versions", ask)}
    assert used == {"entity_versions__entity", "entity_versions__type"}


def test_a_view_of_a_view_keeps_the_time_that_is_not_given(graph, store_clock):
    first = store_clock.now
    graph.add_entity("X", "a", id="a", valid_until=first + 50)
    store_clock.advance(10)
    graph.add_entity("X", "b", id="b", valid_from=first + 100)
    store_clock.advance(100)
    assert names(graph.as_of(recorded=first).as_of(valid=first + 20).entities()) == ["a"], "b was not known"
    assert names(graph.as_of(valid=first + 200).as_of(recorded=first + 10).entities()) == ["b"]
    assert names(graph.as_of(recorded=first).as_of(recorded=first + 10).entities()) == ["a"], "the time of the world goes along"
    assert names(graph.as_of(valid=first).as_of().entities()) == ["a"]


def test_the_later_of_two_changes_at_one_instant_counts(graph, store_clock):
    chain(graph, "a")
    graph.update("a", name="b")
    graph.update("a", name="c")
    assert graph.as_of(recorded=store_clock.now).get("a").name == "c"
    store_clock.advance(-50)
    assert graph.update("a", name="d").updated_at == store_clock.now + 50, "recorded time never runs backwards"


def test_valid_time_is_of_the_world(graph, store_clock):
    for name in ("ann", "acme", "globex"):
        graph.add_entity("X", name, id=name)
    graph.register_kind("works_at", "structural")
    graph.relate("ann", "works_at", "acme", valid_from=100, valid_until=200)
    graph.relate("ann", "works_at", "globex", valid_from=200)
    assert names(near.entity for near in graph.neighbours("ann")) == ["globex"]
    assert [names(near.entity for near in graph.as_of(valid=at).neighbours("ann")) for at in (99, 100, 199.5, 200)] == [
        [], ["acme"], ["acme"], ["globex"]]  # fmt: skip
    assert len(graph.relationships("ann", include_retired=True)) == 2
    then = datetime.datetime.fromtimestamp(150, datetime.UTC)
    assert [item.to_id for item in graph.as_of(valid=then).relationships("ann")] == ["acme"]
    assert graph.as_of(valid=150, recorded=store_clock.now - 1).entities() == [], "nobody knew"
