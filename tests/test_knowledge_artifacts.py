"""What is made from atoms: artifacts made anew and never edited, what their sections rest on, and the state of a project."""

from __future__ import annotations

import pytest

from memstore import Exists, Invalid, NotFound, VersionConflict, open_store
from memstore.knowledge import Section


@pytest.fixture
def store(store_clock):
    """In memory alone: that files hold the same is tried elsewhere."""
    with open_store(clock=store_clock) as opened:
        yield opened


@pytest.fixture
def room(store):
    for number in (1, 2, 3):
        proof = [{"chunk_id": f"c{number}", "snippet": "so it is"}]
        store.knowledge.add_atom("claim", f"fact {number}", id=f"a{number}", evidence=proof)
    return store.knowledge


SECTIONS = (
    Section("intro", "Introduction", "about all", ["a1"]),
    Section("body", "Body", "about two", ["a2", "a1", "a2"], ["k1"], "rests on"),
    Section("end", "End", "about nothing"),
)


@pytest.fixture
def artifact(room):
    return room.add_artifact("prd", "Telescope", body="a preface", sections=SECTIONS, project="p")


def keys(sections):
    return [section.section_key for section in sections]


# -- adding --------------------------------------------------------------------------------------------------------------


def test_sections_keep_their_order_and_cite_each_atom_once(room, artifact):
    assert (artifact.artifact_state, artifact.parent_artifact_id, artifact.version) == ("current", None, 1)
    sections = room.sections(artifact.id)
    shown = [(item.section_key, item.section_title, item.content, item.position, item.artifact_id) for item in sections]
    assert shown == [(*given[:3], place, artifact.id) for place, given in enumerate(SECTIONS)]
    cited = [(item.kind, item.section_id, item.atom_id or item.contradiction_id, item.relation_type) for item in room.citations()]
    intro, body, _ = (item.id for item in sections)
    assert cited == [
        ("atom", intro, "a1", "supports"),
        ("atom", body, "a2", "rests on"),
        ("atom", body, "a1", "rests on"),
        ("contradiction", body, "k1", "rests on"),
    ]
    assert {item.artifact_id for item in room.citations()} == {artifact.id}
    assert [(item.atom_version, item.supported) for item in room.citations(atom_id="a2")] == [(1, True)]


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ("intro", "sections must be a list of Section"),
        (SECTIONS[0], "sections must be a list of Section"),
        ([("intro", "", "")], r"sections\[0\] must be a Section"),
        ([Section(" ")], r"sections\[0\].key is blank"),
        ([Section("a"), Section("b"), Section("a")], "sections has the key 'a' twice"),
        ([Section("a", content=5)], r"sections\[0\].content must be str"),
        ([Section("a", atoms="a1")], r"sections\[0\].atoms must be a list of str"),
    ],
)
def test_sections_that_make_no_sense_are_refused(room, sections, why):
    with pytest.raises(Invalid, match=why):
        room.add_artifact("prd", "Telescope", sections=sections)
    assert room.artifacts() == []


def test_what_cites_or_follows_nothing_that_is_there_is_refused_whole(room):
    with pytest.raises(NotFound, match="no atom 'a9'"):
        room.add_artifact("prd", "Telescope", sections=[Section("a", atoms=["a1", "a9"])])
    with pytest.raises(NotFound, match=r"no artifact 'f9'; store.knowledge.artifacts\(\) lists them"):
        room.add_artifact("prd", "Telescope", parent_artifact_id="f9")
    assert (room.artifacts(), room.citations()) == ([], [])


def test_a_section_of_another_artifact_cannot_be_carried_over(room, artifact):
    (section, *_) = room.sections(artifact.id)
    for call in (lambda: room.add_artifact("prd", "Copy", sections=[section]),
                 lambda: room.regenerate(room.add_artifact("prd", "Other").id, [section])):  # fmt: skip
        with pytest.raises(Invalid, match=r"sections\[0\] is no section of the artifact that is regenerated"):
            call()


def test_an_id_is_kept_and_taken_once(room):
    child = room.add_artifact("feature", "Mount", id="f1", parent_artifact_id=room.add_artifact("prd", "All", id="f0").id, created_at=7.0)
    assert room.get_artifact("f1") == child
    assert (child.parent_artifact_id, child.created_at, child.updated_at) == ("f0", 7.0, 7.0)
    with pytest.raises(Exists, match="there is an artifact 'f1' already"):
        room.add_artifact("feature", "Tube", id="f1")


def test_artifacts_come_newest_first_by_what_is_asked(store, room):
    store.chat.create_project("Apollo", id="p1")
    first = room.add_artifact("prd", "first", created_at=3.0)
    second = room.add_artifact("report", "second", created_at=1.0, project="Apollo")
    third = room.add_artifact("prd", "third", created_at=2.0, user_id="ann")
    assert room.artifacts() == [first, third, second]
    assert room.artifacts(limit=1, before=first.id) == [third]
    assert room.artifacts(artifact_type="prd") == [first, third]
    assert room.artifacts(project="Apollo") == room.artifacts(project="p1") == [second]
    assert room.artifacts(user_id="bob") == [first, second]
    new = room.regenerate(first.id, [])
    assert room.artifacts(state="current") == [new, third, second]
    assert [item.id for item in room.artifacts(state="superseded")] == [first.id]


# -- made anew -----------------------------------------------------------------------------------------------------------


def test_what_is_made_anew_takes_the_place_of_what_was(store, room, artifact, store_clock):
    store_clock.advance(60)
    old = room.sections(artifact.id)
    new = room.regenerate(artifact.id, [Section("body", "Body", "about three", ["a3"]), old[0]], actor="ann", note="facts changed")
    assert (new.title, new.body, new.project_id, new.parent_artifact_id) == ("Telescope", "a preface", "p", artifact.id)
    assert (new.artifact_state, new.version, new.created_at) == ("current", 1, artifact.created_at + 60)
    before = room.get_artifact(artifact.id)
    assert (before.artifact_state, before.version, before.updated_at) == ("superseded", 2, new.created_at)
    assert room.sections(artifact.id) == old, "it stays as it was"
    assert [(item.section_key, item.content, item.created_at) for item in room.sections(new.id)] == [
        ("body", "about three", new.created_at),
        ("intro", "about all", artifact.created_at),
    ]
    assert not {item.id for item in room.sections(new.id)} & {item.id for item in old}
    assert [item.atom_id for item in room.citations(artifact_id=new.id)] == ["a3", "a1"]
    (event,) = store.audit.history("artifact", artifact.id)
    assert (event.event_type, event.actor, event.note) == ("artifact.regenerate", "ann", "facts changed")
    assert (event.before, event.after) == ({"artifact_state": "current"}, {"artifact_state": "superseded", "by": new.id})
    assert event.details == {"sections": ["body", "intro"], "dropped": ["end"]}


def test_title_and_body_are_new_where_they_are_given(room, artifact):
    new = room.regenerate(artifact.id, [], title="", body="another", run_id="r1", metadata={"a": 1})
    assert (new.title, new.body, new.run_id, new.metadata) == ("", "another", "r1", {"a": 1})
    assert room.regenerate(new.id, []).metadata is None


def test_what_was_superseded_is_not_made_anew_but_what_took_its_place(room, artifact):
    new = room.regenerate(artifact.id, [])
    with pytest.raises(Invalid, match=f"is superseded; regenerate '{new.id}'"):
        room.regenerate(artifact.id, [])
    assert len(room.artifacts()) == 2


def test_a_section_that_reads_the_same_keeps_the_time_of_its_text_alone(room, artifact, store_clock):
    store_clock.advance(60)
    room.update_atom("a1", title="changed")
    new = room.regenerate(artifact.id, [SECTIONS[0], SECTIONS[1]._replace(content="ABOUT TWO")])
    assert [item.created_at for item in room.sections(new.id)] == [artifact.created_at, new.created_at], "case tells"
    assert room.citations(artifact_id=new.id)[0].atom_version == 2, "it cites anew"


# -- what is stale -------------------------------------------------------------------------------------------------------

CHANGES = {
    "changed": lambda room: room.update_atom("a2", title="changed"),
    "superseded": lambda room: room.supersede_atom("a2"),
    "invalidated": lambda room: room.invalidate_atom("a2"),
    "merged": lambda room: room.merge_atoms(["a2"], "a3"),
    "without evidence": lambda room: room.mark_stale(chunk_id="c2"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_section_is_stale_when_its_atom_is_no_longer_what_was_cited(room, artifact, change):
    assert room.stale_sections(artifact.id) == []
    CHANGES[change](room)
    stale = room.stale_sections(artifact.id)
    assert keys(stale) == ["body"]
    carried = room.regenerate(artifact.id, room.sections(artifact.id))
    assert keys(room.stale_sections(carried.id)) == ["body"], "what is carried over is as stale as it was"
    anew = room.regenerate(carried.id, [*room.sections(carried.id)[:1], SECTIONS[1]])
    assert room.stale_sections(anew.id) == []


def test_more_evidence_and_stale_evidence_beside_other_make_nothing_stale(room, artifact):
    room.add_evidence("a2", chunk_id="c9")
    room.mark_stale(chunk_id="c2")
    assert room.stale_sections(artifact.id) == []


def test_what_had_no_evidence_when_it_was_cited_is_not_stale_for_that(room):
    room.add_atom("claim", "bare", id="a4")
    bare = room.add_artifact("prd", "Bare", sections=[Section("a", atoms=["a4"])])
    assert room.stale_sections(bare.id) == []
    with pytest.raises(NotFound):
        room.stale_sections("nowhere")


# -- insights ------------------------------------------------------------------------------------------------------------


def test_an_insight_cites_an_atom_once_a_relation(room, artifact):
    cited = room.cite_insight("i1", "a1")
    assert room.cite_insight("i1", "a1") == cited
    assert (cited.kind, cited.insight_id, cited.atom_id, cited.relation_type) == ("insight", "i1", "a1", "supports")
    other = room.cite_insight("i1", "a1", relation_type="contradicts", id="x", created_at=5.0)
    assert (other.id, other.created_at) == ("x", 5.0)
    assert room.citations(insight_id="i1") == [cited, other]
    assert [item.kind for item in room.citations(atom_id="a1")] == ["atom", "atom", "insight", "insight"]
    assert room.citations(atom_id="a1", limit=1)[0].kind == "atom"
    with pytest.raises(NotFound):
        room.cite_insight("i1", "a9")


# -- the state of a project ----------------------------------------------------------------------------------------------


def test_the_state_of_a_project_is_made_anew_as_a_whole(store, room, store_clock):
    store.chat.create_project("Apollo", id="p1")
    assert room.knowledge_state("Apollo") is None
    first = room.set_knowledge_state("Apollo", "all is well", open_questions=["why?"], evidence_index={"a1": [1]}, actor="bot")
    store_clock.advance(60)
    second = room.set_knowledge_state("p1", "so it was", updated_by_run_id="r2", actor="bot", note="run 2")
    assert (second.id, second.created_at, second.updated_at) == (first.id, first.created_at, first.updated_at + 60)
    assert (second.open_questions, second.evidence_index, second.updated_by_run_id, second.version) == ([], {}, "r2", 2)
    assert room.knowledge_state("Apollo") == room.knowledge_state("p1") == second
    assert room.set_knowledge_state("p1", "so it was", updated_by_run_id="r2") == second
    events = store.audit.history("knowledge_state", first.id)
    assert [(event.event_type, event.actor, event.note) for event in events] == [
        ("knowledge_state.set", "bot", ""), ("knowledge_state.set", "bot", "run 2")
    ]  # fmt: skip
    assert events[0].before is None
    assert events[1].before == events[0].after
    assert events[1].after["working_summary"] == "so it was"


def test_a_state_that_somebody_else_has_made_anew_is_not_overwritten(room):
    state = room.set_knowledge_state("p", "first", expected_version=0)
    with pytest.raises(VersionConflict, match="is at version 1, not 0") as caught:
        room.set_knowledge_state("p", "second", expected_version=0)
    assert caught.value.current == state
    assert room.set_knowledge_state("p", "second", expected_version=1).version == 2
    with pytest.raises(VersionConflict, match="is at version 0, not 1"):
        room.set_knowledge_state("q", "first", expected_version=1)


def test_what_runs_changed_is_appended_and_read_newest_first(store, room):
    store.chat.create_project("Apollo", id="p1")
    made = [room.record_delta(project, run, {"n": n}) for n, (project, run) in enumerate([("Apollo", "r1"), ("q", "r1"), ("p1", "r2")])]
    assert room.deltas() == made[::-1]
    assert room.deltas("Apollo") == [made[2], made[0]]
    assert room.deltas(run_id="r1") == [made[1], made[0]]
    assert room.deltas(limit=1, before=made[2].id) == [made[1]]
    with pytest.raises(Exists):
        room.record_delta("q", "r3", {}, id=made[0].id)
    assert store.audit.find() == []


def test_what_is_known_is_of_the_users_project_where_two_have_one_name(store, room):
    for owner, id in (("ann", "p1"), ("bob", "p2")):
        store.chat.create_project("Apollo", id=id, user_id=owner)
    hers, his = room.set_knowledge_state("Apollo", "hers"), room.set_knowledge_state("Apollo", "his", user_id="bob")
    assert (hers.project_id, his.project_id) == ("p1", "p2")
    assert room.knowledge_state("Apollo") == room.knowledge_state("Apollo", user_id="ann") == hers
    assert room.knowledge_state("Apollo", user_id="bob") == his
    delta = room.record_delta("Apollo", "r1", {}, user_id="bob")
    assert room.deltas("Apollo", user_id="bob") == room.deltas("p2") == room.deltas(user_id="ann") == [delta]
    assert room.deltas("Apollo") == []
