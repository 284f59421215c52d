"""Memories that are erased, pruned, exported and taken in: what goes along, what stays, and what no longer names what is gone."""

from __future__ import annotations

import pytest

from memstore import Exists, open_store
from memstore.testing import FakeClock


@pytest.fixture
def memories(store):
    return store.memories


def ids(items):
    return sorted(item.id for item in items)


def sentences(receipt):
    return [sentence.partition(",")[0] for sentence in receipt.kept]


# -- erasing ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(store):
    """A project of Ann's in which Bob and nobody in particular have left something too."""
    store.chat.create_project("Apollo", id="apollo-1", user_id="ann")
    for owner in ("ann", "bob", None):
        store.memories.add("project", "it flies", project="apollo-1", user_id=owner, id=f"of {owner}")
        store.memories.capture("does it?", "it does", project="Apollo", user_id=owner, id=f"asked by {owner}")
    store.memories.set_state("apollo-1", "pilot", "Neil")
    return store


def test_with_a_user_goes_its_project_and_others_keep_what_is_theirs_in_none(shared):
    receipt = shared.erase(user_id="ann")
    (kept,) = shared.memories.find()
    assert (kept.id, kept.project_id, kept.status) == ("of bob", None, "active")
    (asked,) = shared.memories.interactions()
    assert (asked.id, asked.project_id, asked.project) == ("asked by bob", None, "")
    assert shared.memories.states(include_cleared=True) == []
    told = {name: receipt.counts[name] for name in ("memories", "memory_words", "interactions", "project_state")}
    assert told == {"memories": 2, "memory_words": 2, "interactions": 2, "project_state": 1}
    assert "memories of other users in a project that went: 1" in sentences(receipt)
    assert "interactions of other users in a project that went: 1" in sentences(receipt)


def test_what_bob_says_elsewhere_too_is_not_said_twice_then(shared, store_clock):
    store_clock.advance(1)
    shared.memories.add("project", "it flies", user_id="bob", id="the newer one")
    shared.erase(user_id="ann")
    assert {item.id: (item.status, item.superseded_by) for item in shared.memories.find()} == {
        "the newer one": ("active", None), "of bob": ("superseded", "the newer one"),
    }  # fmt: skip


def test_a_project_takes_all_that_is_in_it_whosever_it_is(shared):
    shared.memories.add("project", "it flies", project="another", id="elsewhere")
    shared.erase(project="Apollo")
    assert ids(shared.memories.find()) == ["elsewhere"]
    assert shared.memories.interactions() == shared.memories.states() == []


def test_a_project_that_nobody_registered_can_be_erased_by_what_it_was_called(store, memories):
    memories.add("project", "it flies", project="a mere name")
    assert store.erase(project="a mere name").counts["memories"] == 1
    assert memories.find() == []


def test_a_conversation_takes_its_memories_and_what_stays_forgets_them(store, memories):
    store.chat.create_conversation(id="talk-1")
    memories.capture("a", "b", id="asked", session_id="talk-1", project="p")
    for name in ("gone", "also"):
        memories.add("knowledge", f"{name} it is", conversation_id="talk-1", id=name)
    memories.add("knowledge", "it stays", id="stays", interaction_id="asked")
    memories.add("knowledge", "an older one", id="older")
    memories.supersede("older", by="gone")
    memories.merge(["stays", memories.add("knowledge", "as well", id="well").id], "they stay", id="merged")
    memories.merge(["merged", memories.add("knowledge", "from the talk", conversation_id="talk-1", id="source").id], "all", id="all")
    pack = {"pieces": [{"kind": "memory", "id": "gone", "text": "gone it is"}, {"kind": "memory", "id": "merged"}], "more": 1}
    memories.capture("c", "d", id="told", memories_used=["gone", "stays"], context=pack)
    receipt = store.erase(conversation_id="talk-1")
    assert ids(memories.find()) == ["all", "merged", "older", "stays", "well"]
    assert memories.get("stays").interaction_id is None
    assert memories.get("older").superseded_by is None
    assert memories.get("all").merged_from == ["merged"]
    assert memories.get("merged").merged_from == ["stays", "well"]
    told = memories.get_interaction("told")
    assert told.memories_used == ["stays"]
    assert told.context_pack == {"pieces": [{"kind": "memory", "id": "merged"}], "more": 1}
    gone, *stay = memories.explain("told").pieces
    assert (gone.kind, gone.state, gone.version_then, gone.now) == ("memory", "erased", 1, None)
    assert "gone" not in gone.id
    assert [(piece.kind, piece.id) for piece in stay] == [("memory", "merged"), ("memory", "stays")]
    assert receipt.counts["interaction_pieces"] == 1
    assert "interactions that were told something that went: 1" in sentences(receipt)


def test_what_an_interaction_was_told_from_another_room_goes_too(store, memories):
    store.chat.create_conversation(id="talk-1")
    store.chat.append("talk-1", "user", "amber", id="message-1")
    memories.capture("a", context={"pieces": [{"kind": "message", "id": "message-1", "text": "amber"}]}, id="told")
    store.erase(message_id="message-1")
    assert memories.get_interaction("told").context_pack == {"pieces": []}
    assert [(piece.kind, piece.state) for piece in memories.explain("told").pieces] == [("message", "unknown")]
    assert store.query("SELECT * FROM interaction_pieces WHERE piece_id = 'message-1'") == []


def test_what_a_later_room_has_removed_is_forgotten_too(store, memories):
    entity = store.knowledge.add_entity("Component", "Mirror", user_id="ann-1", id="ann's mirror")
    memories.add("knowledge", "the mirror is round", id="became")
    memories.graduate("became", entity.id)
    memories.capture("a", context={"pieces": [{"kind": "entity", "id": entity.id, "text": "round"}]}, id="told")
    store.erase(user_id="ann-1")
    assert (memories.get("became").status, memories.get("became").graduated_to_entity_id) == ("graduated", None)
    assert memories.get_interaction("told").context_pack == {"pieces": []}
    assert [(piece.kind, piece.state) for piece in memories.explain("told").pieces] == [("entity", "erased")]
    assert store.check().findings == []


# -- pruning ------------------------------------------------------------------------------------------------------------


def test_a_prune_takes_what_was_superseded_first_and_old_interactions_and_nothing_else(tmp_path):
    clock = FakeClock()
    with open_store(tmp_path / "agent.db", clock=clock) as store:
        memories = store.memories
        for status in ("candidate", "active", "invalid", "graduated"):
            memories.add("knowledge", f"it is {status}", status=status, id=status)
        for number in range(4):
            clock.advance(10)
            memories.add("knowledge", f"version {number}", id=f"v{number}")
            memories.supersede(f"v{number}")
            memories.capture(f"{number}?", id=f"i{number}", memories_used=[f"v{number}"])
        assert store.prune(room="memories", keep_last=3, dry_run=True).removed == {
            "memories": 1, "interactions": 1, "interaction_pieces": 1
        }  # fmt: skip
        store.prune(room="memories", max_age=15)
        assert ids(memories.find()) == ["active", "candidate", "graduated", "invalid", "v2", "v3"]
        assert ids(memories.interactions()) == ["i2", "i3"]
        store.prune(max_bytes=0)
        assert ids(memories.find()) == ["active", "candidate", "graduated", "invalid"]
        assert memories.interactions() == [] and store.query("SELECT * FROM interaction_pieces") == []
        assert store.check().ok


# -- exports ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path):
    """An export with one of each, of which a store has some already."""
    with open_store(clock=FakeClock()) as store:
        store.memories.add("knowledge", "water is wet", id="y1", confidence=0.9)
        store.memories.add("knowledge", "only there", id="y2")
        store.memories.capture("a", "b", id="i1", memories_used=["y1", "y2"], context={"pieces": [{"kind": "atom", "id": "x"}]})
        store.memories.set_state("p", "k", "there")
        store.memories.set_state("p", "only", "there")
        store.export(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def known(store):
    """A store that says the same by other ids."""
    store.memories.add("knowledge", "Water  IS wet", id="mine", confidence=0.1)
    store.memories.capture("a", "mine", id="i1", memories_used=["mine"])
    store.memories.set_state("p", "k", "here")
    return store


def pieces(store):
    return [(piece.kind, piece.id) for piece in store.memories.explain("i1").pieces]


def test_what_is_said_here_already_stays_where_it_is_skipped(known, exported):
    report = known.import_(exported, on_conflict="skip")
    assert {item.id: item.confidence for item in known.memories.find()} == {"mine": 0.1, "y2": 1.0}
    assert known.memories.state("p") == {"k": "here", "only": "there"}
    assert (known.memories.get_interaction("i1").response, pieces(known)) == ("mine", [("memory", "mine")])
    assert {name: report.added[name] for name in ("memories", "project_state")} == {"memories": 1, "project_state": 1}
    skipped = {"memories": 1, "interactions": 1, "interaction_pieces": 3, "project_state": 1}
    assert {name: report.skipped[name] for name in skipped} == skipped


def test_what_is_said_here_already_takes_the_columns_of_the_export_where_it_is_replaced(known, exported):
    report = known.import_(exported, on_conflict="replace")
    assert {item.id: item.confidence for item in known.memories.find()} == {"mine": 0.9, "y2": 1.0}
    assert known.memories.state("p") == {"k": "there", "only": "there"}
    assert known.memories.get_interaction("i1").response == "b"
    assert pieces(known) == [("atom", "x"), ("memory", "y1"), ("memory", "y2")]
    replaced = {"memories": 1, "interactions": 1, "interaction_pieces": 3, "project_state": 1}
    assert {name: report.replaced[name] for name in replaced} == replaced
    assert [hit.memory.id for hit in known.memories.search("wet")] == ["mine"]


def test_what_is_said_here_already_is_an_error_where_nothing_else_was_asked_for(known, exported):
    before = known.query("SELECT * FROM memories")
    with pytest.raises(Exists, match="in interactions already; nothing was imported"):
        known.import_(exported)
    assert known.query("SELECT * FROM memories") == before


def test_one_row_there_that_is_two_here_is_not_replaced_silently(store, exported):
    store.memories.add("knowledge", "Water is wet", id="mine")
    store.memories.add("knowledge", "another", id="y1")
    with pytest.raises(Exists, match="'y1' of memories in the export says what another one says here"):
        store.import_(exported, on_conflict="replace")
    assert store.memories.get("y1").content == "another"


def test_an_export_of_a_user_has_what_is_its_own(shared, tmp_path):
    shared.memories.capture("a", id="more", user_id="ann", memories_used=["of ann"])
    shared.export(tmp_path / "ann", user_id="ann")
    with open_store() as copy:
        copy.import_(tmp_path / "ann")
        assert ids(copy.memories.find()) == ["of ann"]
        assert ids(copy.memories.interactions()) == ["asked by ann", "more"]
        assert copy.memories.state("Apollo") == {"pilot": "Neil"}
        assert [piece.id for piece in copy.memories.explain("more").pieces] == ["of ann"]


@pytest.mark.parametrize("subject", [{"user_id": "ann-1"}, {"project": "apollo-1"}, {"conversation_id": "talk-1"}])
def test_what_was_erased_here_does_not_come_back(tmp_path, subject):
    with open_store(tmp_path / "a.db", clock=FakeClock()) as store:
        owned = {"user_id": "ann-1", "project": "apollo-1", "conversation_id": "talk-1"}
        store.memories.add("knowledge", "water is wet", id="y1", **owned)
        store.memories.capture("a", "b", id="i1", memories_used=["y1"], **owned)
        store.memories.set_state("apollo-1", "k", "v")
        store.memories.add("knowledge", "it stays", id="y2", interaction_id="i1")
        store.memories.capture("c", "d", id="i2", memories_used=["y1", "y2"], context={"pieces": [{"kind": "interaction", "id": "i1"}]})
        store.export(tmp_path / "out")
        store.erase(**subject)
        report = store.import_(tmp_path / "out", on_conflict="replace")
        assert (report.erased["memories"], report.erased["interactions"]) == (1, 1)
        assert ids(store.memories.find()) == ["y2"]
        assert store.memories.get("y2").interaction_id is None
        assert ids(store.memories.interactions()) == ["i2"]
        told = store.memories.get_interaction("i2")
        assert (told.memories_used, told.context_pack) == (["y2"], {"pieces": []})
        assert [piece.id for piece in store.memories.explain("i2").pieces] == ["y2"]
        assert bool(store.memories.states()) == ("project" not in subject)
        assert store.check().ok


def test_a_successor_that_is_here_under_another_id_is_named_by_that(store, memories, tmp_path):
    with open_store() as other:
        for id, content in (("m1", "it flies high"), ("m2", "it flies")):
            other.memories.add("project", content, id=id)
        other.memories.supersede("m2", by="m1")
        other.export(tmp_path / "out")
    memories.add("project", "it flies HIGH", id="here")
    store.import_(tmp_path / "out", on_conflict="skip")
    assert memories.get("m2").superseded_by == "here"
    assert store.check().findings == []
