"""The ledger on the move: out and in again, into another project, under another key, and gone."""

from __future__ import annotations

import contextlib
import json

import pytest
from exports import fill, learned
from toy_codec import Toy

from memstore import Exists, open_store
from memstore.knowledge import Section
from memstore.testing import FakeClock

DAY = 86_400.0


@pytest.fixture
def store(store_clock, tmp_path):
    with open_store(tmp_path / "agent.db", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def room(store):
    return store.knowledge


@pytest.fixture
def elsewhere(store, tmp_path):
    """A function that gives the room as it came in elsewhere."""
    with contextlib.ExitStack() as stack:

        def there():
            store.export(tmp_path / "out")
            other = stack.enter_context(open_store(tmp_path / "there.db", clock=FakeClock()))
            other.import_(tmp_path / "out")
            return other.knowledge

        yield there


# -- every column of the seed --------------------------------------------------------------------------------------------

CHUNK = {"source_id": "s1", "chunk_id": "c1", "snippet": "it is flat", "confidence": 0.75}


def seen(item, **columns):
    """Assert that a record has these attributes."""
    assert {name: getattr(item, name) for name in columns} == columns


def atom_of(room, **given):
    return room.add_atom("claim", "It is flat", id="a1", evidence=[{**CHUNK, "id": "e1"}], project="p", **given)


def test_ledger_atoms(room, elsewhere):
    made = atom_of(room, title="Shape", confidence=0.5, verification_status="verified", domain="optics", tags=["glass"])
    for found in (made, elsewhere().get_atom("a1")):
        seen(found, id="a1", project_id="p", kind="claim", title="Shape", body="It is flat", status="active", confidence=0.5,
             verification_status="verified", domain="optics", tags=["glass"])  # fmt: skip
        assert found.atom_fingerprint == made.atom_fingerprint != ""


def test_ledger_evidence(room, elsewhere):
    atom_of(room)
    room.mark_stale(chunk_id="c1")
    for where in (room, elsewhere()):
        seen(where.evidence("a1")[0], id="e1", atom_id="a1", stale=True, **CHUNK)


def test_ledger_links(room, elsewhere):
    atom_of(room)
    room.add_atom("claim", "It is round", id="a2")
    room.link("a1", "contradicts", "a2", weight=0.25, id="l1")
    for where in (room, elsewhere()):
        seen(where.links()[0], id="l1", from_atom_id="a1", to_atom_id="a2", relation_type="contradicts", weight=0.25)


def test_ledger_claims(room, elsewhere):
    atom_of(room)
    made = room.add_claim("a1", "mirror", "is flat", domain="optics", strength="must", claim_confidence=0.25, id="l1")
    for where in (room, elsewhere()):
        seen(where.claims(subject="MIRROR")[0], id="l1", atom_id="a1", domain="optics", subject="mirror", predicate="is flat",
             strength="must", claim_confidence=0.25, claim_fingerprint=made.claim_fingerprint)  # fmt: skip


def test_ledger_entity_mentions(room, elsewhere):
    atom_of(room)
    room.add_entity("Component", "mirror", id="n1")
    room.mention("n1", "a1", chunk_id="c1", anchor_start=0, anchor_end=6, id="m1")
    for where in (room, elsewhere()):
        seen(where.mentions()[0], id="m1", entity_id="n1", atom_id="a1", chunk_id="c1", anchor_start=0, anchor_end=6)


def test_merge_ops(room, elsewhere):
    atom_of(room)
    room.merge_atoms(["a1"], operation="obsolete", review_status="rejected", reviewed_by="ann", id="m1")
    for where in (room, elsewhere()):
        seen(where.merges()[0], id="m1", operation="obsolete", review_status="rejected", reviewed_by="ann", atom_ids=["a1"], into_id=None)


def test_derived_artifacts(room, elsewhere):
    room.add_artifact("prd", "All", id="f0")
    room.regenerate(room.add_artifact("prd", "Telescope", body="text", project="p", parent_artifact_id="f0", id="f1").id, [])
    for where in (room, elsewhere()):
        seen(where.get_artifact("f1"), id="f1", project_id="p", artifact_type="prd", artifact_state="superseded", title="Telescope",
             body="text", parent_artifact_id="f0")  # fmt: skip


def test_derived_artifact_sections_and_what_they_rest_on(room, elsewhere):
    atom_of(room)
    room.add_artifact("prd", "Telescope", id="f1", sections=[Section("a", "A", "text", ["a1"], ["k1"], "rests on")])
    (made,) = room.sections("f1")
    for where in (room, elsewhere()):
        seen(where.sections("f1")[0], id=made.id, artifact_id="f1", section_key="a", section_title="A", position=0, content="text",
             section_fingerprint=made.section_fingerprint)  # fmt: skip
        atom, contradiction = where.citations(artifact_id="f1")
        seen(atom, artifact_id="f1", section_id=made.id, atom_id="a1", relation_type="rests on", contradiction_id=None)
        seen(contradiction, artifact_id="f1", section_id=made.id, atom_id=None, relation_type="rests on", contradiction_id="k1")


def test_insight_atom_refs(room, elsewhere):
    atom_of(room)
    room.cite_insight("i1", "a1", relation_type="materializes", id="r1")
    for where in (room, elsewhere()):
        seen(where.citations(insight_id="i1")[0], id="r1", insight_id="i1", atom_id="a1", relation_type="materializes")


def test_knowledge_state(room, elsewhere):
    state = {"working_summary": "so it is", "open_questions": ["why?"], "evidence_index": {"a1": ["e1"]}, "updated_by_run_id": "r1"}
    room.set_knowledge_state("p", **state, id="k1")
    for where in (room, elsewhere()):
        seen(where.knowledge_state("p"), id="k1", project_id="p", **state)


def test_project_knowledge_deltas(room, elsewhere):
    room.record_delta("p", "r1", {"added": ["a1"]}, id="d1")
    for where in (room, elsewhere()):
        seen(where.deltas()[0], id="d1", project_id="p", run_id="r1", changes={"added": ["a1"]})


# -- into a store with a history -----------------------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path):
    """A store that has extracted the same, with other evidence."""
    with open_store(tmp_path / "other.db", clock=FakeClock()) as opened:
        opened.knowledge.add_atom("claim", "it is FLAT", id="b1", evidence=[{"chunk_id": "c2"}], project="p", confidence=0.25)
        opened.knowledge.add_artifact("report", "Own")
        yield opened


def test_an_atom_that_is_here_under_another_id_gets_what_the_export_knows_of_it(store, room, other, tmp_path):
    atom_of(room, confidence=0.5)
    room.add_claim("a1", "mirror", "is flat")
    room.add_artifact("prd", "Telescope", id="f1", sections=[Section("a", atoms=["a1"])])
    store.export(tmp_path / "out")
    with pytest.raises(Exists, match="nothing was imported"):
        other.import_(tmp_path / "out")
    report = other.import_(tmp_path / "out", on_conflict="skip")
    assert (report.skipped["atoms"], report.added["evidence"], report.added["claims"]) == (1, 1, 1)
    assert [item.id for item in other.knowledge.atoms()] == ["b1"]
    assert [item.chunk_id for item in other.knowledge.evidence("b1")] == ["c2", "c1"]
    assert [item.atom_id for item in other.knowledge.citations()] == ["b1"]
    again = other.import_(tmp_path / "out", on_conflict="skip")
    assert again.added == {}
    replaced = other.import_(tmp_path / "out", on_conflict="replace")
    assert replaced.replaced["atoms"] == 1
    assert (other.knowledge.get_atom("b1").confidence, other.knowledge.get_atom("b1").body) == (0.5, "It is flat")


def test_what_was_recorded_or_said_the_same_is_not_doubled(store, room, other, tmp_path):
    atom_of(room)
    room.add_atom("claim", "round", id="a2", project="p")
    room.merge_atoms(["a1"], "a2", id="m1")
    room.set_knowledge_state("p", "theirs")
    room.record_delta("p", "r1", {}, id="d1")
    store.export(tmp_path / "out")
    other.knowledge.set_knowledge_state("p", "ours")
    other.import_(tmp_path / "out", on_conflict="skip")
    assert [item.id for item in other.knowledge.merges()] == ["m1"]
    assert other.knowledge.knowledge_state("p").working_summary == "ours"
    report = other.import_(tmp_path / "out", on_conflict="replace")
    assert report.added == {}
    assert [item.id for item in other.knowledge.merges()] == ["m1"]
    assert other.knowledge.knowledge_state("p").working_summary == "theirs"


def test_a_user_takes_along_what_is_hers_and_nothing_that_hangs_on_others(store, room, tmp_path):
    own = atom_of(room, user_id="ann")
    others = room.add_atom("claim", "round", user_id="bob", evidence=[{"chunk_id": "c2"}])
    room.link(own.id, "contradicts", others.id)
    room.merge_atoms([own.id], others.id, operation="supersede", review_status="pending")
    room.add_artifact("prd", "Hers", user_id="ann", sections=[Section("a", atoms=[own.id, others.id])])
    room.add_artifact("prd", "His", user_id="bob", sections=[Section("a", atoms=[own.id])])
    receipt = store.export(tmp_path / "out", user_id="ann")
    counts = {table: rows for table, rows in receipt.rows.items() if table not in ("audit_log", "meta")}
    assert counts == {"atoms": 1, "evidence": 1, "artifacts": 1, "artifact_sections": 1, "citations": 1}
    with open_store(clock=FakeClock()) as hers:
        hers.import_(tmp_path / "out")
        assert [item.title for item in hers.knowledge.artifacts()] == ["Hers"]
        assert hers.check().ok


# -- into another project ------------------------------------------------------------------------------------------------


def test_what_carries_a_name_follows_it_to_the_project_that_it_comes_to_mean(store, room):
    owned = [room.add_atom("claim", f"by {user}", project="moon", user_id=user) for user in (None, "local", "ann")]
    entity = room.add_entity("Rocket", "Saturn", project="moon", user_id="ann")
    artifact = room.add_artifact("prd", "Moon", project="moon", user_id="ann")
    room.set_knowledge_state("moon", "far")
    room.record_delta("moon", "r1", {})
    store.chat.create_project("Apollo", id="p1")
    store.chat.alias("Apollo", "moon")
    assert [room.get_atom(item.id).project_id for item in owned] == ["p1"] * 3, "it means that project to others too"
    assert [item.id for item in room.entities(project="moon", user_id="ann")] == [entity.id]
    assert room.get_artifact(artifact.id).project_id == room.deltas()[0].project_id == room.knowledge_state("Apollo").project_id == "p1"
    assert {item.id for item in room.atoms(project="moon")} == {item.id for item in owned}


@pytest.mark.parametrize("newer", ["under the name", "in the project"])
def test_where_two_say_the_same_what_was_changed_last_stays(store, room, store_clock, newer):
    store.chat.create_project("Apollo", id="p1")
    made = {}
    for project in ("moon", "p1") if newer == "in the project" else ("p1", "moon"):
        made[project] = room.add_atom("claim", "It is far", project=project, evidence=[{"chunk_id": project}])
        room.set_knowledge_state(project, f"known of {project}")
        store_clock.advance(60)
    store.chat.alias("Apollo", "moon")
    winner, loser = (made["p1"], made["moon"]) if newer == "in the project" else (made["moon"], made["p1"])
    assert [item.id for item in room.atoms(status="active", project="Apollo")] == [winner.id]
    old = room.get_atom(loser.id)
    assert (old.status, old.superseded_by, old.project_id) == ("superseded", winner.id, "p1")
    assert {item.chunk_id for item in room.evidence(winner.id)} == {"moon", "p1"}
    assert [event.event_type for event in room.atom_history(loser.id)] == ["atom.supersede"]
    assert room.knowledge_state("Apollo").working_summary == f"known of {winner.project_id}"
    (event,) = store.audit.find(event_type="knowledge_state.supersede")
    assert event.before["working_summary"] == f"known of {loser.project_id}"


def test_an_active_atom_stays_before_a_candidate_whichever_is_newer(store, room, store_clock):
    store.chat.create_project("Apollo", id="p1")
    active = room.add_atom("claim", "It is far", project="p1")
    store_clock.advance(60)
    candidate = room.add_atom("claim", "It is far", project="moon", status="candidate")
    store.chat.alias("Apollo", "moon")
    assert (room.get_atom(active.id).status, room.get_atom(candidate.id).status) == ("active", "superseded")


# -- gone ----------------------------------------------------------------------------------------------------------------


def test_a_project_goes_with_all_that_is_known_of_it(store, room):
    store.chat.create_project("Apollo", id="p1")
    atom = room.add_atom("claim", "It is far", project="p1", user_id="ann", evidence=[{"chunk_id": "c1"}])
    kept = room.add_atom("claim", "It is near", evidence=[{"chunk_id": "c2"}])
    room.merge_atoms([kept.id], atom.id, operation="supersede", actor="ann")
    room.add_artifact("prd", "Here", project="p1")
    cites = room.add_artifact("prd", "Elsewhere", sections=[Section("a", atoms=[atom.id, kept.id])])
    room.set_knowledge_state("p1", "far")
    room.record_delta("p1", "r1", {})
    receipt = store.erase(project="Apollo")
    expected = {"atoms": 1, "evidence": 1, "artifacts": 1, "knowledge_states": 1, "knowledge_deltas": 1, "merges": 1}
    assert {table: receipt.counts[table] for table in expected} == expected
    assert (room.knowledge_state("p1"), room.deltas(), room.merges()) == (None, [], [])
    assert room.get_atom(kept.id).superseded_by is None
    assert [item.atom_id for item in room.citations(artifact_id=cites.id)] == [None, kept.id]
    assert [item.section_key for item in room.stale_sections(cites.id)] == ["a"]
    assert any(sentence.startswith("citations of atoms that went, in artifacts that stay: 1") for sentence in receipt.kept)


def test_of_a_users_project_others_keep_what_is_theirs(store, room):
    store.chat.create_project("Apollo", id="p1", user_id="ann")
    theirs = room.add_atom("claim", "It is far", project="p1", user_id="bob")
    twin = room.add_atom("claim", "It is far", user_id="bob")
    nobodys = room.add_atom("claim", "It is near", project="p1")
    artifact = room.add_artifact("prd", "His", project="p1", user_id="bob")
    store.erase(user_id="ann")
    assert sorted((room.get_atom(item.id).status, room.get_atom(item.id).project_id) for item in (theirs, twin)) == [
        ("active", None), ("superseded", None)
    ]  # fmt: skip
    assert room.get_artifact(artifact.id).project_id is None
    assert nobodys.id not in [item.id for item in room.atoms(include_dismissed=True)]


def test_evidence_goes_with_the_message_it_was_taken_from(store, room):
    store.chat.create_conversation(id="c1")
    store.chat.append("c1", "user", "it is flat", id="m1")
    proof = {"source_id": "c1", "chunk_id": "m1", "snippet": "it is flat"}
    atom = room.add_atom("claim", "flat", evidence=[proof], verification_status="verified")
    other = room.add_atom("claim", "round", evidence=[proof, {"chunk_id": "m2"}], verification_status="verified")
    receipt = store.erase(message_id="m1")
    assert receipt.counts["evidence"] == 2
    assert room.evidence(atom.id) == []
    assert [room.get_atom(each.id).verification_status for each in (atom, other)] == ["unverified", "verified"]


def test_who_reviewed_a_merge_is_forgotten_and_the_record_stays(store, room):
    room.add_atom("claim", "flat", id="a1", user_id="bob")
    room.merge_atoms(["a1"], operation="obsolete", reviewed_by="ann@example.org", id="m1")
    store.chat.create_conversation(user_id="ann@example.org")
    store.erase(user_id="ann@example.org")
    assert [(item.id, item.reviewed_by) for item in room.merges()] == [("m1", "")]


def test_superseded_artifacts_and_old_deltas_may_be_pruned(store, room, store_clock):
    room.add_atom("claim", "flat", id="a1")
    first = room.add_artifact("prd", "First", id="f1", sections=[Section("a", atoms=["a1"])])
    second = room.regenerate(first.id, room.sections(first.id))
    room.record_delta("p", "r1", {}, id="d1")
    store_clock.advance(10 * DAY)
    third = room.regenerate(second.id, room.sections(second.id))
    room.record_delta("p", "r2", {}, id="d2")
    store.prune(room="knowledge", max_age=5 * DAY)
    assert [item.id for item in room.artifacts()] == [third.id, second.id]
    assert len(room.citations()) == 2
    assert [item.id for item in room.deltas()] == ["d2"]
    store.prune(room="knowledge", keep_last=0)
    assert [item.id for item in room.artifacts()] == [third.id]
    assert (room.deltas(), room.count_atoms()) == ([], 1)
    assert third.parent_artifact_id == second.id


# -- under a key ---------------------------------------------------------------------------------------------------------


def test_no_text_of_an_encrypted_ledger_is_readable_and_all_of_it_is_found(tmp_path, searcher):
    said = [f"quokka{number}" for number in range(12)]
    with open_store(tmp_path / "sealed.db", codec=Toy(), clock=FakeClock()) as store:
        room = store.knowledge
        proof = {"chunk_id": "c1", "snippet": said[2], "metadata": {"a": said[3]}}
        atom = room.add_atom("claim", said[0], title=said[1], evidence=[proof], metadata={"b": said[4]}, id="a1")
        room.add_claim("a1", said[5], said[6])
        room.add_artifact("prd", said[7], body=said[8], sections=[Section("a", said[9], said[10], ["a1"])], metadata={"c": said[11]})
        room.set_knowledge_state("p", said[0], open_questions=[said[1]], evidence_index={said[2]: said[3]})
        room.record_delta("p", "r1", {said[4]: said[5]})
        assert searcher(store, *said) == []
        assert room.add_atom("claim", said[0].upper(), evidence=[proof]).id == "a1"
        assert len(room.evidence("a1")) == len(room.claims(subject=said[5].upper())) == 1
        assert room.update_atom("a1", title=said[11]).title == said[11]
        room.invalidate_atom("a1")
        assert room.set_knowledge_state("p", said[11]).version == 2
        assert atom.atom_fingerprint == room.get_atom("a1").atom_fingerprint
        assert json.dumps(room.sections(room.artifacts()[0].id)[0].to_dict()).count("quokka") == 2
        store.rekey(Toy(b"another"))
        assert room.get_atom("a1").body == said[0]
        assert len(room.claims(subject=said[5])) == 1
        assert searcher(store, *said) == []


def test_an_encrypted_ledger_answers_as_a_plain_one(tmp_path):
    told = []
    for codec in (None, Toy()):
        with open_store(tmp_path / f"{codec is None}.db", codec=codec, clock=FakeClock()) as store:
            fill(store)
            told.append(learned(store))
    assert told[0] == told[1]


# -- names ----------------------------------------------------------------------------------------------------------------


def test_what_was_superseded_elsewhere_names_what_says_the_same_here(room, store, tmp_path):
    with open_store() as other:
        theirs = other.knowledge
        for id, body in (("A1", "The sky is blue"), ("A2", "sky blue")):
            theirs.add_atom("claim", body, id=id)
        theirs.merge_atoms(["A2"], "A1", id="m1")
        other.export(tmp_path / "out")
    room.add_atom("claim", "the sky is BLUE", id="B1")
    store.import_(tmp_path / "out", on_conflict="skip")
    assert room.get_atom("A2").superseded_by == "B1"
    assert [(item.atom_ids, item.into_id) for item in room.merges()] == [(["A2"], "B1")]
    assert store.check().findings == []
