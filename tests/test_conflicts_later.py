"""What becomes of conflicts when their sides change, when what they are about moves, and when they come from elsewhere."""

from __future__ import annotations

import pytest

from memstore import Invalid, open_store


@pytest.fixture
def store(store_clock):
    """A store in memory alone: what becomes of conflicts has nothing to do with where it lies."""
    with open_store(clock=store_clock) as opened:
        opened.conflicts.rule("editor", editor, kinds=["memory"])
        yield opened


@pytest.fixture
def conflicts(store):
    return store.conflicts


def editor(memory):
    """A rule of the tests: there is one editor that somebody uses."""
    return ("editor", memory.content) if memory.content.startswith("uses") else None


def remember(store, *contents, **more):
    return [store.memories.add("preference", content, **more) for content in contents]


# -- sides that say something else by now -------------------------------------------------------------------------------


def test_what_says_nothing_of_the_slot_any_more_neither_loses_nor_wins(store, conflicts):
    vim, emacs, nano = remember(store, "uses vim", "uses emacs", "uses nano")
    (clash,) = conflicts.find()
    store.memories.update(emacs.id, content="likes green tea")
    with pytest.raises(Invalid, match=f"winner memory {emacs.id} no longer claims the slot; choose another member, or no_action"):
        conflicts.resolve(clash.id, "supersede_others", winner=emacs.id)
    store.memories.update(nano.id, content="likes coffee")
    assert conflicts.suggest(clash.id).winner_id == vim.id
    conflicts.resolve(clash.id, "supersede_others", winner=vim.id)
    assert {store.memories.get(item.id).status for item in (vim, emacs, nano)} == {"active"}


def test_where_nobody_claims_the_slot_any_more_nobody_wins(store, conflicts):
    vim, emacs = remember(store, "uses vim", "uses emacs")
    (clash,) = conflicts.find()
    for item, content in ((vim, "likes tea"), (emacs, "likes coffee")):
        store.memories.update(item.id, content=content)
    assert [member.value_now for member in conflicts.get(clash.id).members] == [None, None]
    assert conflicts.suggest(clash.id).reason == "none of its members claims the slot any more"
    with pytest.raises(Invalid, match="no longer claims the slot"):
        conflicts.resolve(clash.id, "supersede_others", winner=vim.id)


def test_what_has_expired_is_not_suggested_and_is_not_superseded(store, conflicts, store_clock):
    (vim,) = remember(store, "uses vim", confidence=0.5)
    (emacs,) = remember(store, "uses emacs", valid_until=store_clock.now + 10)
    (clash,) = conflicts.find()
    assert conflicts.suggest(clash.id).winner_id == emacs.id
    store_clock.advance(20)
    assert conflicts.suggest(clash.id).winner_id == vim.id
    with pytest.raises(Invalid, match="no longer active"):
        conflicts.resolve(clash.id, "supersede_others", winner=emacs.id)
    conflicts.resolve(clash.id, "supersede_others", winner=vim.id)
    assert store.memories.get(emacs.id).status == "active"


def test_a_member_that_was_named_by_hand_keeps_what_the_rule_has_said_of_it(store, conflicts):
    knowledge = store.knowledge
    part, steel, alu = (knowledge.add_entity(type, name) for type, name in (("Component", "arm"), ("Metal", "steel"), ("Metal", "alu")))
    edges = [knowledge.relate(part.id, "uses_material", metal.id) for metal in (steel, alu)]
    again = conflicts.open("component.material", part.id, members=[("entity", steel.id), ("entity", alu.id)])
    assert [(member.claim, member.claim_value) for member in again.members] == [
        (("relationship", edge.id), metal.id) for edge, metal in zip(edges, (steel, alu), strict=True)
    ]


# -- contradictions -----------------------------------------------------------------------------------------------------


def test_what_two_users_say_is_never_held_against_each_other(store, conflicts):
    (anns,), (bobs,), (nobodys,) = (remember(store, f"uses {user}", user_id=user) for user in ("ann", "bob", None))
    with pytest.raises(Invalid, match="belong to 'ann' and 'bob'"):
        conflicts.contradict(anns.id, bobs.id, kind="memory")
    assert conflicts.contradict(anns.id, nobodys.id, kind="memory").user_id == "ann"
    assert conflicts.find(user_id="zoe") == []


def test_a_contradiction_that_is_named_again_says_what_both_say_now(store, conflicts):
    one, two = remember(store, "tea is green", "tea is black")
    clash = conflicts.contradict(one.id, two.id, kind="memory")
    store.memories.update(one.id, content="tea is white")
    again = conflicts.contradict(two.id, one.id, kind="memory")
    assert (again.id, again.version) == (clash.id, clash.version + 1)
    assert [member.value_snapshot for member in again.members] == ["tea is white", "tea is black"]
    assert conflicts.contradict(one.id, two.id, kind="memory") == again, "nothing has changed"


@pytest.mark.parametrize("action", ["dismiss", "no_action"])
def test_a_contradiction_stays_closed_while_both_say_what_they_said_when_it_was_closed(store, conflicts, action):
    one, two = remember(store, "tea is green", "tea is black")
    clash = conflicts.contradict(one.id, two.id, kind="memory")
    store.memories.update(two.id, content="tea is white")
    closed = conflicts.resolve(clash.id, action)
    assert [member.value_snapshot for member in closed.members] == ["tea is green", "tea is white"]
    assert conflicts.contradict(one.id, two.id, kind="memory") == closed
    store.memories.update(two.id, content="tea is black")
    assert conflicts.contradict(one.id, two.id, kind="memory").id != clash.id


# -- from elsewhere -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["dismiss", "no_action"])
def test_what_was_left_as_it_is_elsewhere_stays_closed_here_while_its_sides_say_the_same(store, conflicts, action):
    knowledge = store.knowledge
    entity = knowledge.add_entity("Component", "arm", properties={"material": "steel"}, project="p")
    members = [
        {"member_kind": "entity", "member_id": entity.id, "value_snapshot": "of steel"},
        {"member_kind": "project_state", "member_id": "s1", "value_snapshot": "of alu"},
    ]
    status = "dismissed" if action == "dismiss" else "resolved"
    closed = conflicts.open("project_state.entity", "arm.material", members=members, project="p", status=status, resolution=action)
    store.memories.add_state("p", "arm.material", "alu", id="s1")
    assert conflicts.find(status="open") == conflicts.detect() == []
    assert [member.value_snapshot for member in conflicts.get(closed.id).members] == ["of steel", "of alu"], "it is history"
    store.memories.set_state("p", "arm.material", "wood")
    assert [item.slot_key for item in conflicts.find(status="open")] == ["arm.material"]
    assert store.check().ok


# -- where a name comes to mean a project --------------------------------------------------------------------------------


def test_the_conflicts_of_everybody_to_whom_a_name_means_the_project_follow_it(store, conflicts):
    for user in ("carol", "ann"):
        remember(store, "uses vim", "uses emacs", project="al", user_id=user)
    store.chat.create_project("al", id="hers", user_id="ann")
    store.chat.create_project("al", id="ours")
    assert {(item.project_id, item.user_id) for item in conflicts.find()} == {("hers", "carol"), ("hers", "ann")}
    assert len(conflicts.detect()) == conflicts.count() == 2, "nothing is opened twice"


def test_what_meets_where_a_name_comes_to_mean_a_project_is_noticed(store, conflicts):
    remember(store, "uses vim", project="apollo")
    remember(store, "uses emacs", project="moon")
    store.chat.create_project("apollo", id="p1")
    assert conflicts.find() == []
    store.chat.alias("apollo", "moon")
    assert [(item.slot_key, item.project_id) for item in conflicts.find()] == [("editor", "p1")]
    assert store.check().ok


# -- how much is looked at ----------------------------------------------------------------------------------------------


def test_a_material_of_many_components_meets_the_other_one_of_each(store, conflicts):
    knowledge = store.knowledge
    steel, alu = knowledge.add_entity("Material", "steel", status="candidate"), knowledge.add_entity("Material", "alu")
    for number in range(25):
        part = knowledge.add_entity("Component", f"part {number}")
        for metal in (steel, alu):
            knowledge.relate(part.id, "uses_material", metal.id)
    assert conflicts.count() == 0
    knowledge.promote(steel.id)
    assert conflicts.count() == 25


def test_conflicts_are_found_by_their_slot(store, conflicts):
    vim, emacs = remember(store, "uses vim", "uses emacs", user_id="ann")
    conflicts.contradict(vim.id, emacs.id, kind="memory")
    (clash,) = conflicts.find(slot_kind="editor", slot_key="editor")
    assert (clash.slot_key, conflicts.count(slot_key="editor"), conflicts.count(slot_key="Editor")) == ("editor", 1, 0)
    with pytest.raises(Invalid, match="slot_key"):
        conflicts.find(slot_key=" ")
