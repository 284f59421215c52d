"""Rules: what the shipped ones and anybody's own find, when they are asked, and what a failing one leaves undisturbed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from memstore import Busy, DiskFull, Invalid, NotFound, OutcomeUnknown, open_store
from memstore.conflicts import Claim
from memstore.kernel.room import rooms_in_file


@pytest.fixture
def store(store_clock):
    """A store in memory alone: what rules find has nothing to do with where it lies."""
    with open_store(clock=store_clock) as opened:
        yield opened


@pytest.fixture
def conflicts(store):
    return store.conflicts


@pytest.fixture
def knowledge(store):
    return store.knowledge


def editor(memory):
    """A rule of the tests: what stands before a colon is the slot, what stands behind it the value."""
    slot, colon, value = memory.content.partition(":")
    return (slot, value.strip()) if colon else None


def found(store, **chosen):
    """What each conflict is about, oldest first."""
    items = store.conflicts.find(**chosen)
    return [(item.slot_kind, item.slot_key, [member.member_id for member in item.members]) for item in reversed(items)]


def failures(store):
    return [event.details for event in store.audit.find(event_type="conflict.rule_failed", ascending=True)]


# -- the shipped ones ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slot_kind", "kind"), [("component.material", "uses_material"), ("component.part_of", "part_of")])
def test_two_relationships_of_a_component_clash_and_the_loser_s_is_retired(store, conflicts, knowledge, slot_kind, kind):
    part = knowledge.add_entity("component", "bracket", project="apollo")
    steel, pla, abs = (knowledge.add_entity("Thing", name, description="of old") for name in ("steel", "PLA", "ABS"))
    knowledge.relate(part.id, "described_by", steel.id)
    kept = knowledge.relate(part.id, kind, steel.id)
    assert rooms_in_file(store._database).keys() == {"knowledge"}, "one claim alone makes nothing"
    lost = knowledge.relate(part.id, kind, pla.id)
    (clash,) = conflicts.find()
    assert (clash.slot_kind, clash.slot_key, clash.project, clash.status) == (slot_kind, part.id, "apollo", "open")
    assert [(member.member_kind, member.member_id, member.value_snapshot, member.claim) for member in clash.members] == [
        ("entity", steel.id, "steel: of old", ("relationship", kept.id)), ("entity", pla.id, "PLA: of old", ("relationship", lost.id)),
    ]  # fmt: skip
    third = knowledge.relate(part.id, kind, abs.id)
    assert [member.member_id for member in conflicts.get(clash.id).members] == [steel.id, pla.id, abs.id]
    knowledge.retire_relationship(third.id)
    conflicts.resolve(clash.id, "supersede_others", winner=steel.id, actor="ann")
    assert knowledge.relationships(part.id, kind=kind) == [kept]
    assert {knowledge.get(item.id).status for item in (steel, pla, abs)} == {"active"}, "others are made of them"
    assert [(event.event_type, event.actor) for event in store.audit.history("relationship", lost.id)] == [("relationship.retire", "ann")]
    assert conflicts.detect() == []


def test_only_a_component_has_one_material_and_only_what_is_active_is_one(store, conflicts, knowledge):
    steel, pla = (knowledge.add_entity("Material", name) for name in ("steel", "PLA"))
    drawer = knowledge.add_entity("Cupboard", "drawer")
    idea = knowledge.add_entity("Component", "idea", status="candidate")
    part = knowledge.add_entity("Component", "bracket")
    oak = knowledge.add_entity("Material", "oak", status="candidate")
    for source, target in ((drawer, steel), (drawer, pla), (idea, steel), (idea, pla), (part, steel), (part, oak)):
        knowledge.relate(source.id, "uses_material", target.id)
    assert conflicts.find() == conflicts.detect() == []
    knowledge.promote(oak.id)
    assert found(store) == [("component.material", part.id, [steel.id, oak.id])]
    knowledge.promote(idea.id)
    assert found(store)[1:] == [("component.material", idea.id, [steel.id, pla.id])]
    knowledge.update(drawer.id, type="Component")
    assert found(store)[2:] == [("component.material", drawer.id, [steel.id, pla.id])]
    assert conflicts.detect() == [*reversed(conflicts.find())]


def test_one_component_may_be_of_two_materials_in_two_projects(conflicts, knowledge):
    part = knowledge.add_entity("Component", "bracket")
    for name in ("steel", "PLA"):
        knowledge.relate(part.id, "uses_material", knowledge.add_entity("Material", name).id, project=f"project {name}")
    assert conflicts.find() == conflicts.detect() == []


def test_two_requirements_of_one_name_clash_in_one_project(store, conflicts, knowledge):
    first = knowledge.add_entity("Requirement", "Max  Load", description="5 kg", project="apollo")
    knowledge.add_entity("Requirement", "max load", project="gemini")
    knowledge.add_entity("Decision", "max load", project="apollo")
    second = knowledge.add_entity("REQUIREMENT", "max load", description="6 kg", project="apollo", status="candidate")
    assert conflicts.find() == conflicts.detect() == []
    knowledge.promote(second.id)
    assert found(store) == [("requirement.name", "max load", [first.id, second.id])]
    assert [member.value_snapshot for member in conflicts.find()[0].members] == ["Max  Load: 5 kg", "max load: 6 kg"]
    conflicts.resolve(conflicts.find()[0].id, "supersede_others", winner=second.id)
    assert (knowledge.get(first.id).status, knowledge.get(first.id).superseded_by) == ("superseded", second.id)


@pytest.mark.parametrize("first", ["state", "entity"])
def test_a_state_and_an_entity_that_say_different_things_clash(store, conflicts, knowledge, first):
    steps = {
        "state": lambda: [store.memories.set_state("apollo", key, value) for key, value in (("Motor", "big"), ("motor.Voltage", "24 V"))],
        "entity": lambda: [knowledge.add_entity("Component", "motor", project="apollo", properties={"value": "small", "voltage": "24  v"})],
    }
    made = {first: steps.pop(first)()}
    assert conflicts.find() == []
    made |= {name: step() for name, step in steps.items()}
    (motor,), (state, _) = made["entity"], made["state"]
    assert [(item[:2], set(item[2])) for item in found(store)] == [(("project_state.entity", "motor"), {motor.id, state.id})]
    assert {member.value_snapshot for member in conflicts.find()[0].members} == {"big", "small"}
    assert conflicts.suggest(conflicts.find()[0].id).reason == "project_state is trusted more than entity"
    knowledge.update(motor.id, properties={"voltage": 12, "value": "BIG"})
    assert [item.slot_key for item in conflicts.detect()] == ["motor.voltage"]
    assert {member.value_snapshot for member in conflicts.detect()[0].members} == {"24 V", "12"}


def test_entities_of_one_name_clash_with_the_state_and_never_with_each_other(store, conflicts, knowledge):
    agreeing = knowledge.add_entity("Component", "motor", project="apollo", description="big")
    differing = knowledge.add_entity("Supplier", "motor", project="apollo", description="somebody")
    knowledge.add_entity("Component", "motor", project="apollo")
    knowledge.add_entity("Component", "motor", description="somebody")
    assert conflicts.detect() == []
    state = store.memories.set_state("apollo", "motor", "big")
    assert [(item[:2], set(item[2])) for item in found(store)] == [(("project_state.entity", "motor"), {state.id, differing.id})]
    conflicts.resolve(conflicts.find()[0].id, "supersede_others", winner=state.id)
    assert [knowledge.get(item.id).status for item in (agreeing, differing)] == ["active", "superseded"]


def test_the_shipped_rules_ask_for_one_slot_and_not_for_all_there_is(store, knowledge, monkeypatch):
    asked = []
    entities = knowledge.entities

    def listening(**chosen):
        asked.append(chosen)
        return entities(**chosen)

    monkeypatch.setattr(knowledge, "entities", listening)
    knowledge.add_entity("Requirement", "motor", project="apollo")
    store.memories.set_state("apollo", "motor.voltage", "24 V")
    store.memories.add("preference", "vim")
    assert [chosen["name"] for chosen in asked] == ["motor", "motor.voltage", "motor"]


# -- anybody's ----------------------------------------------------------------------------------------------------------


def test_a_rule_finds_what_an_add_a_promote_and_an_update_bring(store, conflicts):
    conflicts.rule("said", editor, kinds=["memory"])
    vim = store.memories.add("preference", "editor: vim")
    store.memories.add("preference", "shell: fish")
    again = store.memories.add("knowledge", "editor: vim")
    assert rooms_in_file(store._database).keys() == {"memories"}
    emacs = store.memories.add("preference", "editor: emacs", status="candidate")
    assert conflicts.find() == []
    assert store.memories.promote(emacs.id)
    assert found(store) == [("said", "editor", [vim.id, again.id, emacs.id])]
    assert conflicts.find()[0].members[0].value_snapshot == "vim"
    fish = store.memories.add("preference", "shell: zsh")
    store.memories.update(fish.id, content="prompt: zsh")
    assert found(store, status="open")[1][:2] == ("said", "shell"), "an open one waits for a person, whatever has changed since"
    assert [item.slot_key for item in conflicts.detect()] == ["editor"]
    conflicts.rule("said", lambda memory: None, kinds=["memory"])
    assert conflicts.detect() == []


def test_history_and_what_has_expired_claims_nothing(store, conflicts, store_clock):
    conflicts.rule("said", editor, kinds=["memory"])
    store.memories.add("preference", "editor: vim")
    for status in ("candidate", "superseded", "invalid", "graduated"):
        store.memories.add("preference", f"editor: {status}", status=status)
    store.memories.add("preference", "editor: past", valid_until=store_clock.now)
    assert conflicts.find() == conflicts.detect() == []
    late = store.memories.add("preference", "editor: soon over", valid_until=store_clock.now + 10)
    assert conflicts.find()[0].members[1].member_id == late.id
    store_clock.advance(10)
    assert conflicts.detect() == []


def test_what_is_one_user_s_meets_everybody_s_and_nobody_else_s(store, conflicts):
    conflicts.rule("said", editor, kinds=["memory"])
    ann = store.memories.add("preference", "editor: vim", user_id="ann")
    bob = store.memories.add("preference", "editor: emacs", user_id="bob")
    assert conflicts.find() == conflicts.detect() == []
    nobody = store.memories.add("preference", "editor: vim")
    assert [(item.user_id, item.members[0].member_id) for item in conflicts.find()] == [("bob", bob.id)]
    assert {member.member_id for member in conflicts.find()[0].members} == {bob.id, nobody.id}
    ed = store.memories.add("preference", "editor: ed")
    clashes = {item.user_id: {member.member_id for member in item.members} for item in conflicts.find()}
    assert clashes == {None: {nobody.id, ed.id}, "ann": {ann.id, nobody.id, ed.id}, "bob": {bob.id, nobody.id, ed.id}}
    assert {item.id for item in conflicts.detect()} == {item.id for item in conflicts.find()}


def test_projects_keep_their_slots_apart(store, conflicts):
    store.chat.create_project("Apollo", id="p1")
    conflicts.rule("said", editor, kinds=["memory"])
    for project in ("Apollo", "gemini", None):
        store.memories.add("preference", f"editor: {project}", project=project)
    assert conflicts.detect() == []
    store.memories.add("preference", "editor: other", project="p1")
    store.memories.add("preference", "editor: other")
    assert [item.project for item in conflicts.detect()] == ["p1", ""]
    assert [item.project for item in conflicts.detect(project="Apollo")] == ["p1"]
    assert conflicts.detect(project="gemini") == []


def test_a_rule_may_name_another_member_who_loses_and_what_is_shown(store, conflicts, knowledge):
    entity = knowledge.add_entity("Person", "Ann", description="a person")
    gone = knowledge.add_entity("Person", "Bob", status="candidate")

    def owner(item):
        people = {"ann": entity.id, "bob": gone.id}
        named = [name for name in people if name in item.content]
        return [Claim("owner", name, member=("entity", people[name]), by=("memory", item.id), shown=name.title()) for name in named]

    conflicts.rule("owner", owner, kinds=["memory"])
    conflicts.rule("said", lambda item: ("owner", item.content), kinds=("memory",))
    store.memories.add("knowledge", "it is bob's")
    store.memories.add("knowledge", "it is ann's")
    assert [item.slot_kind for item in conflicts.detect()] == ["said"], "a candidate is nobody's owner"
    knowledge.promote(gone.id)
    clash = conflicts.detect()[1]
    assert [(member.claim[0], member.value_snapshot) for member in clash.members] == [("memory", "Bob"), ("memory", "Ann")]
    conflicts.resolve(clash.id, "supersede_others", winner=entity.id)
    assert (knowledge.get(gone.id).status, store.memories.count(status="superseded")) == ("active", 1)


@pytest.mark.parametrize("action", ["dismiss", "no_action"])
def test_what_was_left_is_opened_again_by_a_new_member_or_another_value_only(store, conflicts, action):
    conflicts.rule("said", editor, kinds=["memory"])
    vim, emacs = (store.memories.add("preference", f"editor: {name}") for name in ("vim", "emacs"))
    first = conflicts.resolve(conflicts.find()[0].id, action)
    assert conflicts.detect() == []
    store.memories.update(vim.id, confidence=0.5, content="editor:  vim")
    assert conflicts.detect() == []
    assert conflicts.find() == [first]
    nano = store.memories.add("preference", "editor: nano")
    (second,) = conflicts.find(status="open")
    assert [member.member_id for member in second.members] == [vim.id, emacs.id, nano.id]
    conflicts.resolve(second.id, action)
    store.memories.supersede(nano.id)
    assert conflicts.detect() == [], "two of the three were left before"
    store.memories.update(emacs.id, content="editor: ed")
    assert [member.value_snapshot for member in conflicts.find(status="open")[0].members] == ["vim", "ed"]


def test_what_an_open_conflict_says_is_what_its_members_say_now(store, conflicts):
    conflicts.rule("said", editor, kinds=["memory"])
    vim, _ = (store.memories.add("preference", f"editor: {name}") for name in ("vim", "emacs"))
    before = conflicts.find()[0]
    store.memories.update(vim.id, content="editor: neovim")
    (after,) = conflicts.find()
    assert [member.value_snapshot for member in after.members] == ["neovim", "emacs"]
    assert [member.id for member in after.members] == [member.id for member in before.members]
    assert (after.id, after.version) == (before.id, 2)
    assert conflicts.detect() == [after]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slot_kind": " "}, "slot_kind is blank"),
        ({"fn": "editor"}, "fn must be a function of one record, not 'editor'"),
        ({"kinds": ["memories"]}, "kinds 'memories' is none of project_state, entity, relationship, memory, atom"),
        ({"kinds": "memory"}, "kinds must be a list of str"),
    ],
)
def test_what_is_no_rule_is_refused(conflicts, given, said):
    with pytest.raises(Invalid, match=said):
        conflicts.rule(**{"slot_kind": "said", "fn": editor, **given})


# -- rules that fail ----------------------------------------------------------------------------------------------------


def broken(memory):
    raise ValueError(f"cannot read\n{memory.content}")


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (broken, "ValueError: cannot read editor: vim"),
        (lambda memory: ("editor",), "Invalid: a rule answers None"),
        (lambda memory: ("editor", 7), "Invalid: value must be str, not int 7"),
        (lambda memory: (" ", "vim"), "Invalid: slot_key is blank"),
        (lambda memory: Claim("editor", "vim", member=("message", "m")), "Invalid: kind of member 'message' is none of"),
        (lambda memory: [("editor", "vim"), None], "Invalid: a rule answers None"),
        (lambda memory: "editor", "Invalid: a rule answers None"),
    ],
)
def test_a_rule_that_fails_blocks_nothing_and_is_reported_once(store, conflicts, rule, error):
    conflicts.rule("said", rule, kinds=["memory"])
    conflicts.rule("sound", editor, kinds=["memory"])
    first = store.memories.add("preference", "editor: vim", user_id="ann", project="apollo")
    assert store.memories.get(first.id).status == "active"
    (failure,) = failures(store)
    assert failure["error"].startswith(error)
    assert {name: failure[name] for name in ("slot_kind", "kind", "id")} == {"slot_kind": "said", "kind": "memory", "id": first.id}
    (event,) = store.audit.find(event_type="conflict.rule_failed")
    assert (event.entity_kind, event.entity_id, event.user_id, event.project) == ("memory", first.id, "ann", "apollo")
    store.memories.add("preference", "editor: emacs", user_id="ann", project="apollo")
    assert [item.slot_kind for item in conflicts.detect()] == ["sound"], "the others go on"
    assert len(failures(store)) == 1
    conflicts.rule("said", rule, kinds=["memory"])
    conflicts.detect()
    assert len(failures(store)) == 2, "whoever registers a rule again hears of it again"


def test_what_a_report_quotes_is_forgotten_with_its_record(store, conflicts):
    conflicts.rule("said", broken, kinds=["memory"])
    store.chat.create_conversation(id="c1-with-ann")
    store.memories.add("preference", "editor: vim", conversation_id="c1-with-ann")
    store.erase(conversation_id="c1-with-ann")
    assert failures(store) == [None]


def test_a_report_that_was_rolled_back_is_made_again(store, conflicts):
    conflicts.rule("said", broken, kinds=["memory"])
    with pytest.raises(KeyError), store.transaction():
        store.memories.add("preference", "editor: vim")
        raise KeyError
    store.memories.add("preference", "editor: emacs")
    assert [failure["error"] for failure in failures(store)] == ["ValueError: cannot read editor: emacs"]


@pytest.mark.parametrize("error", [Busy, DiskFull, OutcomeUnknown, KeyboardInterrupt, MemoryError])
def test_what_the_database_or_the_user_stops_is_no_failure_of_a_rule(store, conflicts, error):
    def rule(memory):
        raise error("stop")

    conflicts.rule("said", rule, kinds=["memory"])
    with pytest.raises(error):
        store.memories.add("preference", "editor: vim")
    assert store.memories.count() == 0
    assert failures(store) == []


def test_a_rule_may_ask_the_store(store, conflicts):
    conflicts.rule("said", lambda memory: ("found", store.memories.get("nowhere").content), kinds=["memory"])
    store.memories.add("preference", "editor: vim")
    assert failures(store)[0]["error"].startswith("NotFound: no memory 'nowhere'")
    conflicts.rule("said", lambda memory: ("all", str(store.memories.count())), kinds=["memory"])
    store.memories.add("preference", "editor: emacs")
    assert conflicts.find() == [], "both see both"


# -- whole or not at all ------------------------------------------------------------------------------------------------


def test_a_conflict_goes_with_the_transaction_that_found_it(store, conflicts):
    conflicts.rule("said", editor, kinds=["memory"])
    store.memories.add("preference", "editor: vim")
    with pytest.raises(KeyError), store.transaction():
        store.memories.add("preference", "editor: emacs")
        assert len(conflicts.find()) == 1
        raise KeyError
    assert "conflicts" not in rooms_in_file(store._database)
    assert conflicts.find() == []
    with store.transaction():
        store.memories.add("preference", "editor: nano")
    assert len(conflicts.find()) == 1


def test_another_handle_sees_it_and_need_not_know_the_rule(file_store, store_clock):
    file_store.conflicts.rule("said", editor, kinds=["memory"])
    with open_store(file_store.path, clock=store_clock) as other:
        other.memories.add("preference", "editor: vim")
        file_store.memories.add("preference", "editor: emacs")
        (seen,) = other.conflicts.find()
        assert [member.value_now for member in seen.members] == ["editor: vim", "editor: emacs"], "without the rule what the rows say"
        file_store_seen = file_store.conflicts.find()[0]
        assert [member.value_now for member in file_store_seen.members] == ["vim", "emacs"]
        assert [replace(member, value_now=None) for member in seen.members] == [
            replace(member, value_now=None) for member in file_store_seen.members
        ]
        assert other.conflicts.detect() == []
        assert other.conflicts.resolve(seen.id, "dismiss").status == "dismissed"
    assert file_store.conflicts.detect() == []


def test_a_read_only_store_is_asked_what_is_known(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        store.conflicts.rule("said", editor, kinds=["memory"])
        vim, _ = (store.memories.add("preference", f"editor: {name}") for name in ("vim", "emacs"))
        (clash,) = store.conflicts.find()
    with open_store(tmp_path / "agent.db", read_only=True) as store:
        store.conflicts.rule("said", editor, kinds=["memory"])
        assert store.conflicts.find() == [clash]
        assert store.conflicts.suggest(clash.id).winner_id != vim.id
        with pytest.raises(NotFound):
            store.conflicts.get("x")


# -- what has changed since ---------------------------------------------------------------------------------------------


@pytest.fixture
def healed(store, conflicts, knowledge):
    """A conflict of a state with an entity, which agree by now."""
    store.memories.set_state("p", "cur", "EUR")
    entity = knowledge.add_entity("Parameter", "cur", project="p", properties={"value": "USD"})
    state = store.memories.set_state("p", "cur", "usd")
    (clash,) = conflicts.find(status="open")
    return clash, state, entity


def test_a_conflict_that_has_healed_stays_open_and_nobody_is_suggested(conflicts, healed):
    clash, state, _ = healed
    assert [(member.value_snapshot, member.value_now) for member in clash.members] == [("EUR", "usd"), ("USD", "USD")]
    assert conflicts.get(clash.id) == clash
    suggestion = conflicts.suggest(clash.id)
    assert (suggestion.winner_kind, suggestion.winner_id, suggestion.reason) == (None, None, "they say the same now: dismiss closes it")
    assert conflicts.detect() == []


def test_who_says_what_the_winner_says_now_does_not_lose(store, conflicts, knowledge, healed):
    clash, state, entity = healed
    other = knowledge.add_entity("Parameter", "cur", project="p", properties={"value": "CHF"})
    assert [member.value_now for member in conflicts.get(clash.id).members] == ["usd", "USD", "CHF"]
    conflicts.resolve(clash.id, "supersede_others", winner=state.id)
    assert [knowledge.get(item.id).status for item in (entity, other)] == ["active", "superseded"]


def test_what_was_dismissed_when_it_had_healed_is_noticed_when_it_is_as_it_was_before(store, conflicts, healed):
    closed = conflicts.resolve(healed[0].id, "dismiss")
    assert [(member.value_snapshot, member.value_now) for member in closed.members] == [("usd", None), ("USD", None)]
    store.memories.set_state("p", "cur", "EUR")
    assert [item.status for item in conflicts.find()] == ["open", "dismissed"]


def test_who_claims_the_slot_no_longer_says_nothing_there_and_keeps_what_it_is(conflicts, knowledge):
    one, two, three = (knowledge.add_entity("Requirement", "R1", description=text) for text in ("a", "b", "c"))
    (clash,) = conflicts.find()
    knowledge.update(one.id, name="R2")
    assert [member.value_now for member in conflicts.get(clash.id).members] == [None, "R1: b", "R1: c"]
    conflicts.resolve(clash.id, "supersede_others", winner=two.id)
    assert [knowledge.get(item.id).status for item in (one, two, three)] == ["active", "active", "superseded"]
    four = knowledge.add_entity("Requirement", "R2")
    knowledge.update(four.id, name="R4")
    (clash,) = conflicts.find(status="open")
    assert conflicts.suggest(clash.id).reason == "it is the only one that still claims the slot"


def test_without_a_rule_rows_agree_when_they_have_come_to_read_the_same(store, conflicts, knowledge):
    one, two = (knowledge.add_entity("Tool", "ed") for _ in range(2))
    twins = conflicts.contradict(one.id, two.id, kind="entity")
    assert "nothing decides between" in conflicts.suggest(twins.id).reason, "they read the same when they were put into conflict"
    vim, emacs = (store.memories.add("preference", text, user_id=text) for text in ("vim", "emacs"))
    clash = conflicts.contradict(vim.id, emacs.id, kind="memory")
    store.memories.update(vim.id, content="emacs")
    assert conflicts.suggest(clash.id).reason == "they say the same now: dismiss closes it"
    conflicts.resolve(clash.id, "supersede_others", winner=emacs.id)
    assert store.memories.get(vim.id).status == "active"


def test_a_rule_that_fails_where_a_conflict_is_read_writes_nothing(store, conflicts):
    conflicts.rule("said", editor, kinds=["memory"])
    for name in ("vim", "emacs"):
        store.memories.add("preference", f"editor: {name}")
    conflicts.rule("said", len, kinds=["memory"])
    (clash,) = conflicts.find()
    assert [member.value_now for member in clash.members] == ["editor: vim", "editor: emacs"]
    assert "nothing decides between" in conflicts.suggest(clash.id).reason
    assert failures(store) == []


# -- any life of beliefs ------------------------------------------------------------------------------------------------


@dataclass
class Belief:
    """A memory as a plain object."""

    slot: str
    value: str
    project: str | None
    user: str | None
    active: bool = True


class Twin:
    """What ought to be found, without a store."""

    def __init__(self):
        self.beliefs, self.open, self.left = {}, set(), []

    def clashes(self):
        """The members of each contested slot, by what it is of."""
        holding = {id: belief for id, belief in self.beliefs.items() if belief.active}
        found = {}
        for place in {(item.project, user, item.slot) for item in holding.values() for user in (None, item.user)}:
            there = {id: item for id, item in holding.items() if (item.project, item.slot) == (place[0], place[2])}
            seen = {id: item for id, item in there.items() if item.user in (None, place[1])}
            if len({item.value for item in seen.values()}) > 1 and any(item.user == place[1] for item in seen.values()):
                found[place] = {(id, item.value) for id, item in seen.items()}
        quiet = {place for place, said in found.items() if any(place == other and said <= them for other, them in self.left)} - self.open
        self.open |= found.keys() - quiet
        return {place: said for place, said in found.items() if place not in quiet}


@pytest.mark.parametrize("which", [1, 2])
def test_any_life_of_beliefs_has_the_conflicts_that_a_plain_comparison_finds(tmp_path, rng, which):
    with open_store(tmp_path / "agent.db") as store:
        live(store, Twin(), rng, 70)


def live(store, twin, rng, steps):
    memories, conflicts = store.memories, store.conflicts
    conflicts.rule("said", editor, kinds=["memory"])
    for _ in range(steps):
        slot, value = f"slot {rng.randrange(2)}", rng.choice("abc")
        choice, active = rng.random(), sorted(id for id, item in twin.beliefs.items() if item.active)
        if choice < 0.5 or not active:
            project, user = rng.choice([None, "p"]), rng.choice([None, None, "ann", "bob"])
            added = memories.add("preference", f"{slot}: {value}", project=project, user_id=user, override=True)
            twin.beliefs.setdefault(added.id, Belief(slot, value, project, user))
        elif choice < 0.6:
            twin.beliefs[active[0]].active = not memories.invalidate(active[0])
        elif choice < 0.7:
            old = twin.beliefs[id := rng.choice(active)]
            said = {(item.slot, item.value, item.project, item.user) for item in twin.beliefs.values() if item.active}
            if (old.slot, value, old.project, old.user) not in said:
                memories.update(id, content=f"{old.slot}: {value}", override=True)
                old.value = value
        elif conflicts.detect():
            clash = rng.choice(conflicts.detect())
            place = (clash.project_id, clash.user_id, clash.slot_key)
            standing = sorted(twin.clashes()[place])
            twin.open.discard(place)
            if choice < 0.9:
                conflicts.resolve(clash.id, rng.choice(["dismiss", "no_action"]))
                twin.left.append((place, {(member.member_id, member.claim_value) for member in clash.members}))
            else:
                winner, value = rng.choice(standing)
                conflicts.resolve(clash.id, "supersede_others", winner=winner)
                for belief in [twin.beliefs[member.member_id] for member in clash.members]:
                    belief.active &= belief.value == value
        expected = twin.clashes()
        now = {(item.project_id, item.user_id, item.slot_key): item for item in conflicts.find(status="open")}
        held = {(item.project_id, item.user_id, item.slot_key): item for item in conflicts.detect()}
        assert held.keys() == expected.keys() <= now.keys(), "everything was noticed when it came to hold"
        for place, said in expected.items():
            assert said <= {(member.member_id, member.claim_value) for member in held[place].members}
        states = {id: memories.get(id).status == "active" for id in twin.beliefs}
        assert states == {id: item.active for id, item in twin.beliefs.items()}
