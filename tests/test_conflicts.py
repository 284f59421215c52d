"""Conflicts: opened, contradicted, assessed, found, suggested, resolved, and what is left when a call fails."""

from __future__ import annotations

import threading

import pytest

from memstore import Exists, Invalid, NotFound, open_store
from memstore.kernel.room import rooms_in_file

#: The columns of AtoCore's and Aira's tables, by their own names.
SEEDS = {
    "conflict": "id slot_kind slot_key project status resolution resolved_at detected_at note",
    "contradiction": "id project_id atom_a_id atom_b_id severity status state pair_hash resolution_atom_id",
    "member": "id conflict_id member_kind member_id member_layer_trust value_snapshot",
    "assessment": "id contradiction_id decision decision_confidence reason_codes",
}


@pytest.fixture
def conflicts(store):
    return store.conflicts


def remember(store, *contents, **more):
    """Active memories, and the pairs that name them."""
    added = [store.memories.add("preference", content, **more) for content in contents]
    return added, [("memory", item.id) for item in added]


def told(store, id):
    return [(event.event_type, event.actor, event.note) for event in store.conflicts.history(id)]


def tables(store):
    """All rows, to see that a failed call left nothing."""
    names = [row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: store.query(f"SELECT * FROM {name}") for name in names if name not in ("schema_version", "sqlite_sequence")}


def sides(conflict):
    return [(member.member_kind, member.member_id, member.value_snapshot) for member in conflict.members]


# -- open ---------------------------------------------------------------------------------------------------------------


def test_a_conflict_tells_what_its_members_said_and_how_far_each_is_trusted(store, conflicts, store_clock):
    (vim, _), pairs = remember(store, "vim", "emacs")
    state = store.memories.set_state("apollo", "editor", "nano")
    entity = store.knowledge.add_entity("Tool", "ed", description="the standard editor")
    atom = store.knowledge.add_atom("claim", "ed is the editor")
    edge = store.knowledge.relate(entity.id, "part_of", store.knowledge.add_entity("System", "unix").id)
    others = [("project_state", state.id), ("entity", entity.id), ("atom", atom.id), ("relationship", edge.id)]
    opened = conflicts.open("editor", "of choice", members=[*pairs, *others], note="ask her")
    assert sides(opened) == [
        ("memory", vim.id, "vim"), (*pairs[1], "emacs"), ("project_state", state.id, "nano"),
        ("entity", entity.id, "ed: the standard editor"), ("atom", atom.id, "ed is the editor"),
        ("relationship", edge.id, f"{edge.from_id} part_of {edge.to_id}"),
    ]  # fmt: skip
    assert [member.member_layer_trust for member in opened.members] == [1, 1, 3, 2, 1, 2]
    assert (opened.kind, opened.status, opened.state, opened.severity, opened.note) == ("slot", "open", "detected", "medium", "ask her")
    assert (opened.detected_at, opened.project, opened.user_id, opened.version) == (store_clock.now, "", None, 1)
    assert {member.conflict_id for member in opened.members} == {opened.id}
    assert conflicts.get(opened.id) == opened
    assert conflicts.history(opened.id) == []


def test_an_open_conflict_is_joined_and_nothing_is_doubled(store, conflicts):
    _, pairs = remember(store, "vim", "emacs", "nano")
    first = conflicts.open("editor", "her", members=pairs[:2])
    assert conflicts.open("editor", "her", members=pairs[:2], id="another", note="again") == first
    joined = conflicts.open("editor", "her", members=pairs[1:])
    assert (joined.id, joined.version) == (first.id, 2)
    assert [member.member_id for member in joined.members] == [id for _, id in pairs]
    assert joined.members[:2] == first.members
    for other in ({"slot_key": "Her"}, {"slot_kind": "shell"}, {"project": "apollo"}, {"user_id": "ann"}):
        assert conflicts.open(**{"slot_kind": "editor", "slot_key": "her", "members": pairs, **other}).id != first.id
    assert conflicts.count(status="open") == 5
    conflicts.resolve(first.id, "no_action")
    assert conflicts.open("editor", "her", members=pairs).id != first.id, "a person's word opens it again"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "a conflict needs two members or more, and 0 was given"),
        ([("memory", "a"), ("memory", "a")], "a conflict needs two members or more, and 1 was given"),
        ([("memory", "a"), ("memory", "candidate")], r"members\[1\]: memory candidate is candidate; only what is active"),
        ([("memory", "a"), ("memory", "late")], r"members\[1\]: memory late does not hold any more, or not yet"),
        ([("memory", "a"), ("message", "m")], r"kind of members\[1\] 'message' is none of project_state"),
        ([("memory", "a"), "memory"], r"members\[1\] must be a pair of kind and id, not 'memory'"),
        ([("memory", "a"), {"member_kind": "memory", "id": "b"}], r"id of members\[1\] must be str, not None"),
        ([("memory", "a"), {"member": "memory"}], r"members\[1\] has 'member', which is none of id, member_kind"),
        ({"memory": "a"}, r"members must be a list of \(kind, id\) pairs"),
    ],
)
def test_what_is_no_conflict_is_refused_and_leaves_nothing(store, conflicts, members, said):
    store.memories.add("preference", "vim", id="a")
    store.memories.add("preference", "emacs", id="candidate", status="candidate")
    store.memories.add("preference", "nano", id="late", valid_until=1.0)
    conflicts.count()
    before = tables(store)
    with pytest.raises(Invalid, match=said):
        conflicts.open("editor", "her", members=members)
    assert tables(store) == before


@pytest.mark.parametrize(
    "member", [("memory", "nowhere"), ("entity", "a"), ("project_state", "a"), {"member_kind": "atom", "member_id": "a"}]
)
def test_a_member_that_is_not_here_is_not_found(store, conflicts, member):
    store.memories.add("preference", "vim", id="a")
    with pytest.raises(NotFound, match=r"members\[1\]: there is no "):
        conflicts.open("editor", "her", members=[("memory", "a"), member])
    assert conflicts.count() == 0
    assert set(rooms_in_file(store._database)) == {"memories", "conflicts"}, "asking makes no room"


def test_an_id_that_is_taken_is_not_taken_again(store, conflicts):
    _, pairs = remember(store, "vim", "emacs")
    conflicts.open("editor", "her", members=pairs, id="c1")
    with pytest.raises(Exists, match="there is a conflict 'c1' already"):
        conflicts.open("editor", "his", members=pairs, id="c1")
    with pytest.raises(Exists, match="there is a conflict 'c1' already"):
        conflicts.contradict(pairs[0][1], pairs[1][1], kind="memory", id="c1")


def test_two_threads_that_open_one_slot_get_one_conflict(file_store):
    _, pairs = remember(file_store, *(f"editor {n}" for n in range(8)))
    found, barrier = [], threading.Barrier(4)

    def work(number):
        barrier.wait()
        found.append(file_store.conflicts.open("editor", "her", members=pairs[number * 2 : number * 2 + 2]).id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(file_store.conflicts.get(found[0]).members) == 8


# -- every column -------------------------------------------------------------------------------------------------------


def test_every_column_of_atocore_goes_in_and_comes_out_also_of_an_export(store, conflicts, tmp_path):
    given = {
        "id": "c1", "slot_kind": "component.material", "slot_key": "Größe 測る", "project": "apollo", "status": "resolved",
        "resolution": "supersede_others", "resolved_at": 20.5, "created_at": 12.5, "note": "né", "user_id": "ann",
        "severity": "critical", "metadata": {"a": [1, None]},
    }  # fmt: skip
    members = [
        {"id": f"r{n}", "member_kind": kind, "member_id": f"gone {n}", "member_layer_trust": 7 + n, "value_snapshot": f"välue {n}",
         "claim_kind": "relationship", "claim_id": f"edge {n}"}
        for n, kind in enumerate(("memory", "entity"))
    ]  # fmt: skip
    stored = conflicts.open(**given, members=members, winner="gone 1")
    silent = [{name: each[name] for name in ("member_kind", "member_id")} | {"value_snapshot": ""} for each in members]
    conflicts.open("empty", "defaults", members=silent, status="dismissed", id="c2")
    store.export(tmp_path / "out")
    with open_store() as copy:
        copy.import_(tmp_path / "out")
        for where in (store, copy):
            found = where.conflicts.get("c1")
            assert found == stored
            assert {name: getattr(found, name) for name in given} == given
            assert (found.detected_at, found.winner_kind, found.winner_id) == (12.5, "entity", "gone 1")
            assert all(hasattr(found, name) for name in SEEDS["conflict"].split())
            for member, each in zip(found.members, members, strict=True):
                assert {name: getattr(member, name) for name in each} == each
                assert all(hasattr(member, name) for name in SEEDS["member"].split())
            assert where.conflicts.get("c2").resolved_at == where.conflicts.get("c2").created_at
    assert conflicts.find(status="open") == []


def test_every_column_of_aira_goes_in_and_comes_out_also_of_an_export(store, conflicts, tmp_path):
    a, b = (store.knowledge.add_atom("claim", body, project="apollo", id=id) for body, id in (("it is so", "b"), ("it is not", "a")))
    opened = conflicts.contradict(a.id, b.id, severity="high", note="né", metadata={"run": 7}, id="x1", created_at=12.5)
    given = {"decision": "contradicts", "decision_confidence": 0.75, "reason_codes": ["negation", "né"], "assessor": "judge", "note": "ü"}
    first = conflicts.assess("x1", **given, assessment_id="s1", created_at=13.5)
    second = conflicts.assess("x1", "compatible")
    resolved = conflicts.resolve("x1", "supersede_others", winner="b")
    store.export(tmp_path / "out")
    with open_store() as copy:
        copy.import_(tmp_path / "out")
        for where in (store, copy):
            found = where.conflicts.get("x1")
            assert found == resolved
            assert all(hasattr(found, name) for name in SEEDS["contradiction"].split())
            assert (found.atom_a_id, found.atom_b_id, found.severity, found.state) == ("a", "b", "high", "compatible")
            assert (found.pair_hash, found.resolution_atom_id, found.project_id) == (opened.pair_hash, "b", "apollo")
            assert where.conflicts.assessments("x1") == [first, second]
            assert {name: getattr(first, name) for name in given} == given
            assert all(hasattr(first, name) for name in SEEDS["assessment"].split())
            assert (first.id, first.contradiction_id, first.created_at) == ("s1", "x1", 13.5)


@pytest.mark.parametrize("given", [{"resolution": "dismiss"}, {"resolved_at": 1.0}, {"winner": "a"}])
def test_an_open_one_has_no_resolution(store, conflicts, given):
    _, pairs = remember(store, "vim", "emacs")
    with pytest.raises(Invalid, match="an open conflict has no resolution, winner or resolved_at"):
        conflicts.open("editor", "her", members=pairs, **given)


# -- contradict and assess ----------------------------------------------------------------------------------------------


def test_a_pair_is_one_whichever_way_round(store, conflicts):
    a, b = (store.knowledge.add_atom("claim", body, project="apollo", user_id=user) for body, user in (("so", "ann"), ("not so", None)))
    opened = conflicts.contradict(a.id, b.id)
    assert conflicts.contradict(b.id, a.id, severity="low") == opened
    assert (opened.kind, opened.project_id, opened.user_id) == ("contradiction", "apollo", "ann")
    assert sorted((a.id, b.id)) == [opened.atom_a_id, opened.atom_b_id] == [member.member_id for member in opened.members]
    with pytest.raises(Invalid, match="cannot contradict itself"):
        conflicts.contradict(a.id, a.id)
    with pytest.raises(NotFound, match="b_id: there is no atom 'nowhere'"):
        conflicts.contradict(a.id, "nowhere")


def test_memories_contradict_each_other_too(store, conflicts):
    (vim, emacs), pairs = remember(store, "vim", "emacs", project="apollo")
    opened = conflicts.contradict(vim.id, emacs.id, kind="memory")
    assert (opened.atom_a_id, opened.atom_b_id, opened.project) == (None, None, "apollo")
    assert [(member.member_kind, member.member_id) for member in opened.members] == sorted(pairs)


@pytest.mark.parametrize("action", ["dismiss", "no_action"])
def test_a_contradiction_that_was_left_stays_closed_while_both_say_the_same(store, conflicts, action):
    (vim, emacs), _ = remember(store, "vim", "emacs")
    left = conflicts.resolve(conflicts.contradict(vim.id, emacs.id, kind="memory").id, action)
    assert conflicts.contradict(emacs.id, vim.id, kind="memory") == left
    store.memories.update(vim.id, content="vim, always")
    assert conflicts.contradict(emacs.id, vim.id, kind="memory").status == "open"


def test_assessments_are_added_and_the_newest_is_the_state(store, conflicts, store_clock):
    _, pairs = remember(store, "vim", "emacs")
    opened = conflicts.open("editor", "her", members=pairs)
    store_clock.advance(5)
    first = conflicts.assess(opened.id, "likely", reason_codes=("a", "b"), decision_confidence=0, assessor="model")
    assert (first.decision_confidence, first.reason_codes, first.created_at) == (0.0, ["a", "b"], store_clock.now)
    second = conflicts.assess(opened.id, "sure")
    assert conflicts.assessments(opened.id) == [first, second]
    after = conflicts.get(opened.id)
    assert (after.state, after.status, after.version, after.updated_at) == ("sure", "open", 3, store_clock.now)
    with pytest.raises(NotFound, match="no conflict 'nowhere'"):
        conflicts.assess("nowhere", "sure")
    with pytest.raises(Exists, match="there is an assessment"):
        conflicts.assess(opened.id, "sure", assessment_id=first.id)
    with pytest.raises(Invalid, match="decision_confidence is 2.0; it must be at most 1.0"):
        conflicts.assess(opened.id, "sure", decision_confidence=2)
    assert conflicts.assess(conflicts.resolve(opened.id, "dismiss").id, "late").decision == "late"


# -- find ---------------------------------------------------------------------------------------------------------------


def test_conflicts_are_found_newest_first_by_what_they_are(store, conflicts, store_clock):
    store.chat.create_project("Apollo", id="p1")
    (vim, emacs), pairs = remember(store, "vim", "emacs")
    opened = []
    for number, more in enumerate(({"project": "Apollo"}, {"user_id": "ann"}, {"user_id": "bob"}, {})):
        opened.insert(0, conflicts.open("editor", f"of {number}", members=pairs, **more))
        store_clock.advance(number % 2)
    opened.insert(0, conflicts.contradict(vim.id, emacs.id, kind="memory"))
    opened[1] = conflicts.resolve(opened[1].id, "dismiss")
    assert conflicts.find() == opened
    for chosen, found in (
        ({"status": "open"}, [opened[0], *opened[2:]]), ({"status": "dismissed"}, opened[1:2]), ({"kind": "contradiction"}, opened[:1]),
        ({"slot_kind": "editor"}, opened[1:]), ({"project": "Apollo"}, opened[4:]), ({"project": "p1"}, opened[4:]),
        ({"user_id": "ann"}, [*opened[:2], *opened[3:]]), ({"member_id": vim.id}, opened), ({"member_id": "x"}, []), ({"project": "x"}, []),
    ):  # fmt: skip
        assert conflicts.find(**chosen) == found, chosen
        assert conflicts.count(**chosen) == len(found), chosen
    assert conflicts.find(limit=2) + conflicts.find(limit=9, before=opened[1].id) == opened
    with pytest.raises(NotFound, match="no conflict 'x'"):
        conflicts.find(before="x")
    for read in (conflicts.get, conflicts.history, conflicts.assessments, conflicts.suggest):
        with pytest.raises(NotFound, match=r"no conflict 'x'; store.conflicts.find\(\) lists them"):
            read("x")


# -- resolve ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "status"), [("dismiss", "dismissed"), ("no_action", "resolved")])
def test_left_as_it_is_everything_stays_active(store, conflicts, store_clock, action, status):
    memories, pairs = remember(store, "vim", "emacs", user_id="ann", project="apollo")
    opened = conflicts.open("editor", "her", members=pairs, user_id="ann", project="apollo", note="ask her")
    store_clock.advance(5)
    closed = conflicts.resolve(opened.id, action, actor="ann")
    assert (closed.status, closed.resolution, closed.resolved_at, closed.winner_id) == (status, action, store_clock.now, None)
    assert (closed.note, closed.version) == ("ask her", 2)
    assert [store.memories.get(item.id) for item in memories] == memories
    (event,) = conflicts.history(opened.id)
    assert (event.event_type, event.actor, event.user_id, event.project) == ("conflict.resolve", "ann", "ann", "apollo")
    assert event.before == {"status": "open", "resolution": "", "winner_kind": None, "winner_id": None}
    assert event.after == {"status": status, "resolution": action, "winner_kind": None, "winner_id": None}


def test_the_winner_stays_and_the_others_are_superseded_by_it(store, conflicts):
    (vim, emacs, nano), pairs = remember(store, "vim", "emacs", "nano")
    opened = conflicts.open("editor", "her", members=pairs)
    closed = conflicts.resolve(opened.id, "supersede_others", winner=emacs.id, actor="ann", note="she said so")
    assert (closed.winner_kind, closed.winner_id, closed.note) == ("memory", emacs.id, "she said so")
    assert store.memories.get(emacs.id) == emacs
    for loser in (vim, nano):
        assert (store.memories.get(loser.id).status, store.memories.get(loser.id).superseded_by) == ("superseded", emacs.id)
        assert [(event.event_type, event.actor, event.note) for event in store.memories.history(loser.id)] == [
            ("memory.supersede", "ann", "she said so")
        ]
    assert told(store, opened.id) == [("conflict.resolve", "ann", "she said so")]
    assert conflicts.history(opened.id)[0].details == {"superseded": [{"kind": "memory", "id": vim.id}, {"kind": "memory", "id": nano.id}]}


def test_each_kind_loses_by_the_verb_of_its_room(store, conflicts):
    (winner, loser), pairs = remember(store, "nano", "vim")
    state = store.memories.set_state("apollo", "editor", "ed")
    tool, system = store.knowledge.add_entity("Tool", "sed"), store.knowledge.add_entity("System", "unix")
    edge = store.knowledge.relate(tool.id, "part_of", system.id)
    atom = store.knowledge.add_atom("claim", "awk is an editor")
    kinds = [("project_state", state.id), ("entity", tool.id), ("relationship", edge.id), ("atom", atom.id)]
    opened = conflicts.open("editor", "her", members=[*pairs, *kinds])
    conflicts.resolve(opened.id, "supersede_others", winner=winner.id, actor="ann")
    assert store.memories.get(loser.id).superseded_by == winner.id
    assert store.memories.state("apollo") == {}
    assert (store.knowledge.get(tool.id).status, store.knowledge.get(tool.id).superseded_by) == ("superseded", None)
    assert store.knowledge.get_relationship(edge.id).retired_at is not None
    assert store.knowledge.get_atom(atom.id).status == "superseded"
    verbs = {(event.event_type, event.actor) for event in store.audit.find() if event.entity_id in {id for _, id in [*pairs, *kinds]}}
    assert verbs >= {(f"{kind}.supersede", "ann") for kind in ("memory", "entity", "atom")}
    assert verbs >= {("project_state.clear", "ann"), ("relationship.retire", "ann")}
    assert conflicts.history(opened.id)[0].details["superseded"] == [{"kind": kind, "id": id} for kind, id in [pairs[1], *kinds]]


def test_the_loser_of_a_contradiction_is_superseded_by_a_merge_operation(store, conflicts):
    a, b = (store.knowledge.add_atom("claim", body) for body in ("so", "not so"))
    closed = conflicts.resolve(conflicts.contradict(a.id, b.id).id, "supersede_others", winner=b.id)
    (operation,) = store.knowledge.merges()
    assert (operation.operation, operation.atom_ids, operation.into_id) == ("supersede", [a.id], b.id)
    assert (closed.resolution_atom_id, store.knowledge.get_atom(a.id).status) == (b.id, "superseded")


def test_what_holds_no_longer_is_passed_over(store, conflicts):
    (vim, emacs, nano), pairs = remember(store, "vim", "emacs", "nano")
    opened = conflicts.open("editor", "her", members=pairs)
    store.memories.invalidate(vim.id)
    closed = conflicts.resolve(opened.id, "supersede_others", winner=nano.id)
    assert closed.status == "resolved"
    assert [store.memories.get(item.id).status for item in (vim, emacs, nano)] == ["invalid", "superseded", "active"]


@pytest.mark.parametrize(
    ("action", "winner", "said"),
    [
        ("supersede_others", None, "supersede_others needs a winner; the members are memory a, memory b"),
        ("supersede_others", "c", "winner 'c' is no member; the members are memory a, memory b"),
        ("supersede_others", ("entity", "a"), r"winner \('entity', 'a'\) is no member"),
        ("supersede_others", "b", "winner memory b is no longer active; choose another member, or no_action"),
        ("dismiss", "a", "action 'dismiss' has no winner"),
        ("no_action", "a", "action 'no_action' has no winner"),
        ("supersede", "a", "nearest: 'supersede_others'"),
    ],
)
def test_what_cannot_be_resolved_so_stays_open(store, conflicts, action, winner, said):
    for id in ("a", "b"):
        store.memories.add("preference", f"editor {id}", id=id)
    conflicts.open("editor", "her", members=[("memory", "a"), ("memory", "b")], id="c1")
    store.memories.supersede("b")
    before = tables(store)
    with pytest.raises(Invalid, match=said):
        conflicts.resolve("c1", action, winner=winner)
    assert tables(store) == before


def test_a_closed_one_says_when_and_how_it_was_closed(store, conflicts):
    (vim, _), pairs = remember(store, "vim", "emacs")
    first = conflicts.open("editor", "her", members=pairs)
    conflicts.resolve(first.id, "supersede_others", winner=("memory", vim.id))
    with pytest.raises(Invalid, match=rf"is closed: resolved \(supersede_others\) on \d{{4}}-.* UTC, won by memory {vim.id}; a new clash"):
        conflicts.resolve(first.id, "dismiss")
    assert conflicts.suggest(first.id).winner_id is None
    with pytest.raises(NotFound, match="no conflict 'x'"):
        conflicts.resolve("x", "dismiss")


def test_a_resolution_that_fails_half_way_takes_nothing_back(store, conflicts, monkeypatch):
    (vim, emacs, nano), pairs = remember(store, "vim", "emacs", "nano")
    opened = conflicts.open("editor", "her", members=pairs)
    before = tables(store)
    supersede = store.memories.supersede

    def failing(id, **more):
        if id == nano.id:
            raise KeyboardInterrupt
        return supersede(id, **more)

    monkeypatch.setattr(store.memories, "supersede", failing)
    with pytest.raises(KeyboardInterrupt):
        conflicts.resolve(opened.id, "supersede_others", winner=vim.id)
    assert tables(store) == before
    assert store.memories.get(emacs.id).status == "active"


# -- suggest ------------------------------------------------------------------------------------------------------------


def test_trust_decides_then_confidence_then_age(store, conflicts, store_clock):
    old = store.memories.add("preference", "vim", confidence=0.5)
    sure = store.memories.add("preference", "emacs", confidence=0.9)
    store_clock.advance(9)
    new = store.memories.add("preference", "nano", confidence=0.5)
    twin = store.memories.add("preference", "pico", confidence=0.5)
    entity = store.knowledge.add_entity("Tool", "ed", confidence=0.1)
    state = store.memories.set_state("apollo", "editor", "sed", confidence=0.1)

    def suggested(*members):
        opened = conflicts.open("editor", "her", members=members)
        before = tables(store)
        found = conflicts.suggest(opened.id)
        assert tables(store) == before, "nothing is applied"
        conflicts.resolve(opened.id, "no_action")
        return found.winner_kind, found.winner_id, found.reason

    m = [("memory", item.id) for item in (old, sure, new, twin)]
    assert suggested(*m, ("entity", entity.id)) == ("entity", entity.id, "entity is trusted more than memory")
    assert suggested(("entity", entity.id), ("project_state", state.id), m[0])[:2] == ("project_state", state.id)
    assert suggested(*m) == (*m[1], "equal trust, its confidence is larger (0.9 against 0.5)")
    assert suggested(m[0], m[2]) == (*m[2], "equal trust, equal confidence, it is newer")
    nothing = f"equal trust, equal confidence, equal age: nothing decides between memory {new.id} and memory {twin.id}"
    assert suggested(m[0], m[2], m[3]) == (None, None, nothing)


def test_what_holds_no_longer_is_not_suggested(store, conflicts):
    (vim, emacs), pairs = remember(store, "vim", "emacs", confidence=0.5)
    opened = conflicts.open("editor", "her", members=pairs)
    store.memories.supersede(vim.id)
    assert conflicts.suggest(opened.id).reason == "it is the only one that is still active"
    assert conflicts.suggest(opened.id).winner_id == emacs.id
    store.memories.invalidate(emacs.id)
    assert (conflicts.suggest(opened.id).winner_id, conflicts.suggest(opened.id).reason) == (None, "none of its members is active any more")


# -- a name comes to mean a project -------------------------------------------------------------------------------------


def test_conflicts_follow_the_name_of_their_project(store, conflicts):
    _, pairs = remember(store, "vim", "emacs", "nano")
    first = conflicts.open("editor", "her", members=pairs[:2], project="Apollo")
    second = conflicts.open("editor", "her", members=pairs[:2], project="Apollo", user_id="bob")
    other = conflicts.open("editor", "her", members=pairs[:2], project="Apollo", user_id="ann")
    store.chat.create_project("Apollo", id="p2", user_id="ann")
    store.chat.create_project("Apollo", id="p1", user_id="bob")
    assert [item.id for item in conflicts.find(project="p2")] == [other.id, second.id, first.id], "who has none of that name means hers"
    assert [member.member_id for member in conflicts.get(first.id).members] == [id for _, id in pairs[:2]]


def test_two_open_conflicts_of_one_slot_become_the_newer_one(store, conflicts, store_clock):
    _, pairs = remember(store, "vim", "emacs", "nano")
    store.chat.create_project("Apollo", id="p1")
    older = conflicts.open("editor", "her", members=pairs[:2], project="p1")
    store_clock.advance(5)
    newer = conflicts.open("editor", "her", members=pairs[1:], project="moon")
    store.chat.alias("Apollo", "moon")
    assert [member.member_id for member in conflicts.get(newer.id).members] == [pairs[1][1], pairs[2][1], pairs[0][1]]
    assert (conflicts.get(newer.id).project, conflicts.get(newer.id).status) == ("p1", "open")
    assert (conflicts.get(older.id).status, conflicts.get(older.id).resolution) == ("resolved", "")
    (event,) = conflicts.history(older.id)
    assert (event.event_type, event.after) == ("conflict.merge", {"status": "resolved", "into": newer.id})


# -- forget, prune, check -----------------------------------------------------------------------------------------------


def test_what_is_erased_leaves_its_conflicts_and_one_side_alone_is_none(store, conflicts):
    (vim,), ann = remember(store, "vim", user_id="ann.lovelace@example.org")
    others, pairs = remember(store, "emacs", "nano")
    two = conflicts.open("editor", "two", members=[*ann, pairs[0]], id="two")
    three = conflicts.open("editor", "three", members=[*ann, *pairs], id="three")
    conflicts.resolve(three.id, "no_action")
    own = conflicts.open("editor", "own", members=pairs, user_id="ann.lovelace@example.org", id="own")
    conflicts.assess(own.id, "sure")
    receipt = store.erase(user_id="ann.lovelace@example.org")
    assert [item.id for item in conflicts.find()] == ["three"]
    assert sides(conflicts.get("three")) == [(*pairs[0], "emacs"), (*pairs[1], "nano")]
    assert {name: receipt.counts[name] for name in ("conflicts", "conflict_members", "conflict_assessments")} == {
        "conflicts": 2, "conflict_members": 5, "conflict_assessments": 1,
    }  # fmt: skip
    assert any(said.startswith("conflicts that name neither a user nor a project: 1") for said in receipt.kept)
    assert two.id not in {item.id for item in conflicts.find()}


def test_a_winner_that_is_erased_is_not_named_any_more(store, conflicts):
    (vim,), ann = remember(store, "vim", user_id="ann.lovelace@example.org")
    _, pairs = remember(store, "emacs", "nano")
    closed = conflicts.open("editor", "her", members=[*ann, *pairs], status="resolved", resolution="supersede_others", winner=vim.id)
    assert closed.winner_id == vim.id
    store.erase(user_id="ann.lovelace@example.org")
    assert (conflicts.get(closed.id).winner_kind, conflicts.get(closed.id).winner_id) == (None, None)


def test_conflicts_of_a_project_go_with_it(store, conflicts):
    store.chat.create_project("Apollo", id="p1-apollo")
    _, pairs = remember(store, "vim", "emacs")
    conflicts.open("editor", "her", members=pairs, project="Apollo")
    kept = conflicts.open("editor", "her", members=pairs)
    store.erase(project="Apollo")
    assert conflicts.find() == [kept]


def test_what_others_have_in_a_project_that_goes_with_its_user_is_in_none_then(store, conflicts, store_clock):
    store.chat.create_project("Apollo", id="p1-apollo", user_id="ann-lovelace")
    _, pairs = remember(store, "vim", "emacs", "nano")
    own = conflicts.open("editor", "her", members=pairs[:2], user_id="bob")
    store_clock.advance(5)
    theirs = conflicts.open("editor", "her", members=pairs[1:], user_id="bob", project="p1-apollo")
    conflicts.open("editor", "nobody's", members=pairs, project="p1-apollo")
    receipt = store.erase(user_id="ann-lovelace")
    assert {item.id: (item.project, item.status) for item in conflicts.find()} == {own.id: ("", "resolved"), theirs.id: ("", "open")}
    assert len(conflicts.get(theirs.id).members) == 3
    assert "conflicts of other users in a project that went: 1, kept, in no project" in receipt.kept
    assert [event.project for event in conflicts.history(own.id)] == [None]


def test_resolved_ones_are_pruned_and_those_that_were_left_keep_their_slot_quiet(store, conflicts, store_clock):
    (vim, *_), pairs = remember(store, "vim", "emacs", "nano")
    for number, (action, winner) in enumerate((("dismiss", None), ("no_action", None), ("supersede_others", vim.id))):
        opened = conflicts.open("editor", f"of {number}", members=pairs, id=action)
        conflicts.assess(opened.id, "sure")
        conflicts.resolve(opened.id, action, winner=winner)
    conflicts.open("editor", "open", members=[*pairs[:1], ("entity", store.knowledge.add_entity("Tool", "ed").id)], id="open")
    store_clock.advance(100)
    report = store.prune(room="conflicts", max_age=50)
    assert {name: report.removed[name] for name in report.removed if name.startswith("conflict")} == {
        "conflicts": 1, "conflict_members": 3, "conflict_assessments": 1,
    }  # fmt: skip
    assert {item.id for item in conflicts.find()} == {"dismiss", "no_action", "open"}


def test_a_member_that_is_gone_is_advice(store, conflicts):
    conflicts.open("editor", "her", members=[{"member_kind": "memory", "member_id": id, "value_snapshot": id} for id in ("a", "b")])
    report = store.check()
    assert report.ok
    assert [finding.kind for finding in report.findings] == ["dangling", "dangling"]
    assert "is about memory 'a', which is not here" in report.findings[0].detail


@pytest.mark.damage
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE conflicts SET slot_hash = 'x' WHERE kind = 'slot'", "its digest is not that of its slot"),
        ("UPDATE conflict_members SET claim_hash = 'x' WHERE pk = 1", "its digest is not that of its claim"),
        ("UPDATE conflicts SET pair_hash = 'x' WHERE kind = 'contradiction'", "its digest is not that of its pair"),
        ("DELETE FROM conflict_members WHERE pk = 1", "has 1 member(s), and needs two"),
    ],
)
def test_what_was_changed_behind_our_back_is_found(store, conflicts, sql, said):
    (vim, emacs), pairs = remember(store, "vim", "emacs")
    conflicts.open("editor", "her", members=pairs)
    conflicts.contradict(vim.id, emacs.id, kind="memory")
    assert conflicts.check() == []
    with conflicts.db.write() as connection:
        connection.run(sql)
    (finding,) = conflicts.check()
    assert finding.kind == "derived"
    assert said in finding.detail
