"""What an entity is found by: its names, and names that are merely alike."""

from __future__ import annotations

import random

import graphs
import pytest
from plans import ways
from toy_codec import Toy

from memstore import open_store
from memstore.knowledge import names

store, graph = graphs.store, graphs.graph


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Primary Mirror", "Primary Mirror"),
        (" primary   MIRROR", "Primary Mirror"),
        ("m1", "Primary Mirror"),
        ("A-7", "Primary Mirror"),
        ("primry miror", "Primary Mirror"),
        ("Mirror, Primary", "Primary Mirror"),
        ("priamry mirror", "Primary Mirror"),
        ("TimeDelta", "time delta"),
        ("pump 13", None),
        ("pump 21", None),
        ("pmp 12", "pump 12"),
        ("secondary mirror", None),
        ("日本語", "日本語"),
        ("?!", None),
    ],
)
def test_an_entity_is_found_by_a_name_like_its_own(graph, asked, found):
    graph.add_entity("Component", "Primary Mirror", aliases=["M1"], external_ids={"plm": "A-7"})
    for name in ("time delta", "pump 12", "日本語", "tertiary baffle"):
        graph.add_entity("Component", name)
    hit = graph.find_entity(asked)
    assert (hit.name if hit is not None else None) == found


def test_a_name_comes_before_an_alias_and_an_alias_before_likeness(graph):
    graph.add_entity("Component", "mirrors", id="like")
    assert graph.find_entity("mirror").id == "like"
    graph.add_entity("Component", "glass", aliases=["mirror"], id="alias")
    assert graph.find_entity("mirror").id == "alias"
    graph.add_entity("Component", "Mirror", id="name")
    graph.add_entity("Component", "looking glass", aliases=["mirror"])
    assert graph.find_entity("mirror").id == "name"


def test_a_name_means_something_active_of_this_project_first(graph):
    for project in (None, "p", "q"):
        graph.add_entity("Component", "frame", project=project, id=str(project))
    graph.add_entity("Component", "frame", project="p", status="candidate")
    graph.add_entity("Material", "frame", user_id="ann", id="hers")
    assert graph.find_entity("frame", project="p").id == "p"
    assert graph.find_entity("frame", project="q").id == "q"
    assert graph.find_entity("frame", project="r").id in ("None", "hers"), "never another project's"
    assert graph.find_entity("frame", user_id="ann", type="material").id == "hers"
    graph.invalidate("p")
    assert graph.find_entity("frame", project="p", type="Component").id == "None"


def test_a_name_that_it_had_finds_it_no_more(graph, store_clock):
    graph.add_entity("Component", "Cassegrain", id="e1", aliases=["tube"])
    store_clock.advance(5)
    graph.update("e1", name="Nasmyth", aliases=[])
    assert graph.find_entity("cassegrain") is None
    assert graph.find_entity("tube") is None
    then = graph.as_of(recorded=store_clock.now - 1)
    assert (then.find_entity("cassegrain").name, then.find_entity("tube").name) == ("Cassegrain", "Cassegrain")
    assert then.find_entity("Nasmyth") is None
    assert then.find_entity("casegrain").id == "e1", "also merely alike"


def test_a_name_is_found_among_very_many_that_are_not_meant(graph, monkeypatch):
    monkeypatch.setattr(names, "_PAGE", 20)
    graph.add_entity("Component", "pump station", project="mine", id="mine")
    for number in range(60):
        graph.add_entity("Component", "pump station", project=f"other {number % 3}")
        graph.supersede(graph.add_entity("Component", "pump station", project="mine").id)
    for common in (names.COMMON, 10):
        monkeypatch.setattr(names, "COMMON", common)
        for asked in ("pmup station", "station pump", "pump stations"):
            assert graph.find_entity(asked, project="mine").id == "mine"
        assert graph.find_entity("pump valve", project="mine") is None


def test_common_pieces_of_words_count_only_where_there_are_no_others(graph, monkeypatch):
    monkeypatch.setattr(names, "COMMON", 10)
    for name in (*(f"part {number}" for number in range(40)), "valve housing", "part housing"):
        graph.add_entity("Component", name)
    for asked, found in (("prat 7", "part 7"), ("part husing", "part housing"), ("housing part", "part housing")):
        assert graph.find_entity(asked).name == found
    for asked in ("parts", "part zzz", "parts 5555555"):
        assert graph.find_entity(asked) is None
    for number in range(20):
        graph.add_entity("Component", f"housing {number}")
    assert graph.find_entity("housing part").name == "part housing", "all that is posted is common"
    assert graph.find_entity("prat hosuing").name == "part housing"


def test_whatever_is_common_the_same_names_are_found(rng, monkeypatch):
    found = []
    seed = rng.random()
    for common in (2, 5, 2000):
        monkeypatch.setattr(names, "COMMON", common)
        again = random.Random(seed)
        with open_store(codec=again.choice([None, Toy()])) as store:
            for number in range(30):
                words = again.sample(["pump", "station", "valve", "housing"], 2)
                store.knowledge.add_entity("Component", f"{' '.join(words)} {number}", id=f"e{number}")
            asked = [f"{' '.join(again.sample(['pmup', 'station', 'vlave', 'housing'], 2))} {again.randrange(30)}" for _ in range(20)]
            hits = [store.knowledge.find_entity(name) for name in asked]
            found.append([None if hit is None else hit.id for hit in hits])
    assert found[0] == found[1] == found[2]


def test_a_name_is_looked_up_by_an_index(store):
    for number in range(300):
        store.knowledge.add_entity("Component", f"part {number} of {number * 7}", project="p")

    def ask():
        for scope in ({}, {"project": "p"}, {"project": "p", "type": "Component"}):
            assert store.knowledge.find_entity("part 200 of 1400", **scope).name == "part 200 of 1400"
            assert store.knowledge.count(name="part 200 of 1400", **scope) == 1

    assert ways(store, "entities", ask) == {
        "SEARCH entities USING INDEX entities__name", "SEARCH entities USING INTEGER PRIMARY KEY"}  # fmt: skip


# -- in a text ----------------------------------------------------------------------------------------------------------


def named(found):
    return [item.name for item in found]


@pytest.mark.parametrize("codec", [None, Toy()])
def test_a_text_mentions_what_it_has_words_of_the_name_of(codec):
    with open_store(codec=codec) as store:
        knowledge = store.knowledge
        for name in ("primary mirror", "mirror", "Mirror cell of steel"):
            knowledge.add_entity("Component", name)
        knowledge.add_entity("Component", "M1", aliases=["the big mirror"])
        knowledge.add_entity("Component", "truss")
        assert named(knowledge.mentioned("Who polished the primary mirrors?")) == ["primary mirror", "mirror", "M1", "Mirror cell of steel"]
        assert named(knowledge.mentioned("the primary mirror", limit=1)) == ["primary mirror"]
        assert named(knowledge.mentioned("a big one")) == ["M1"]
        assert knowledge.mentioned("trusty mirro of") == knowledge.mentioned("") == [], "a letter amiss is another word"
        assert len(knowledge.mentioned("mirror truss", limit=None)) == 5


def test_only_what_stands_for_this_project_and_user_is_mentioned(store, store_clock):
    knowledge, project = store.knowledge, store.chat.create_project("Apollo")
    kept = knowledge.add_entity("Component", "mirror", project="Apollo", user_id="ann")
    renamed = knowledge.add_entity("Component", "mirror")
    end = store_clock.now
    for given in ({"status": "candidate"}, {"status": "invalid"}, {"project": "other"}, {"user_id": "bob"}, {"valid_until": end}):
        knowledge.add_entity("Component", "mirror", **given)

    def ids(view, name="Apollo"):
        return [item.id for item in view.mentioned("mirror", project=name, user_id="ann")]

    assert ids(knowledge) == ids(knowledge, project.id) == [renamed.id, kept.id]
    store_clock.advance(10)
    knowledge.update(renamed.id, name="lens")
    assert ids(knowledge) == [kept.id]
    assert ids(knowledge.as_of(recorded=end)) == [renamed.id, kept.id]


def test_a_word_that_very_many_names_share_mentions_none(store, monkeypatch):
    for number in range(5):
        store.knowledge.add_entity("Component", f"part kind{number}x")
    monkeypatch.setattr(names, "COMMON", 5)
    assert store.knowledge.mentioned("which part?") == []
    assert named(store.knowledge.mentioned("which part is kind3x?")) == ["part kind3x"]
