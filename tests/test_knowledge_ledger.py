"""Atoms, the evidence that they stand on, what connects them, and how they are merged."""

from __future__ import annotations

import pytest

from memstore import Corrupt, Exists, Invalid, NotFound, RejectedClaim, VersionConflict, open_store
from memstore.kernel.lifecycle import WAYS
from memstore.knowledge.ledger_tables import ATOM_KINDS
from memstore.testing import FakeClock

CHUNK = {"source_id": "s1", "chunk_id": "c1", "chunk_hash": "h1", "snippet": "it is flat"}


@pytest.fixture
def store(store_clock):
    """In memory alone: that files hold the same is tried elsewhere."""
    with open_store(clock=store_clock) as opened:
        yield opened


@pytest.fixture
def room(store):
    return store.knowledge


@pytest.fixture
def atom(room):
    return room.add_atom("claim", "The mirror is flat", evidence=[CHUNK])


def ids(items):
    return [item.id for item in items]


def events(store):
    return [event.event_type for event in store.audit.find(ascending=True, limit=None)]


# -- one atom for what is said, however often --------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["The mirror is flat", "  the MIRROR\nis flat "])
def test_extracting_the_same_again_adds_evidence_and_no_atom(room, atom, again):
    same = room.add_atom("claim", again, title="another", confidence=0.5, evidence=[{"chunk_id": "c2"}, CHUNK])
    assert same == atom
    assert [piece.chunk_id for piece in room.evidence(atom.id)] == ["c1", "c2"]
    assert room.count_atoms() == 1


def test_of_two_confidences_the_larger_one_wins(room):
    first = room.add_atom("claim", "flat", confidence=0.5)
    assert room.add_atom("claim", "flat", confidence=0.75).confidence == 0.75
    assert room.add_atom("claim", "flat", confidence=0.25).confidence == 0.75
    assert room.get_atom(first.id).version == 2


def test_another_kind_project_or_user_is_another_atom(room, atom):
    others = [
        room.add_atom("risk", atom.body),
        room.add_atom("claim", atom.body, project="p"),
        room.add_atom("claim", atom.body, user_id="ann"),
        room.add_atom("claim", atom.body, user_id="bob"),
    ]
    assert len({atom.id, *ids(others)}) == 5


def test_the_same_said_of_a_candidate_leaves_it_one(room):
    candidate = room.add_atom("claim", "flat", status="candidate")
    assert room.add_atom("claim", "flat").status == "candidate"
    room.promote_atom(candidate.id)
    assert room.add_atom("claim", "flat", status="candidate").status == "active"


def test_what_was_retired_may_be_said_again(room, atom):
    room.supersede_atom(atom.id)
    assert room.add_atom("claim", atom.body).id != atom.id


def test_an_id_is_kept_and_taken_once(room, atom):
    assert room.add_atom("claim", "round", id="a1", created_at=5.0).id == "a1"
    assert room.add_atom("claim", "round", id="a1").created_at == 5.0
    with pytest.raises(Exists, match="there is an atom 'a1' already"):
        room.add_atom("claim", "square", id="a1")
    assert room.count_atoms() == 2


def test_every_kind_is_taken_and_no_other(room):
    for kind in ATOM_KINDS:
        assert room.add_atom(kind, "it is so").kind == kind
    with pytest.raises(Invalid, match=r"kind 'clam' is none of .* \(nearest: 'claim'\)"):
        room.add_atom("clam", "it is so")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"body": " "}, "body is blank"),
        ({"confidence": 1.5}, "at most 1"),
        ({"status": "lost"}, "status 'lost' is none of"),
        ({"superseded_by": "x"}, "superseded_by is of atoms with status 'superseded'"),
        ({"verification_status": "verified"}, "needs evidence"),
        ({"evidence": CHUNK}, "evidence must be a list of mappings"),
        ({"evidence": ["c1"]}, r"evidence\[0\] must be a mapping"),
        ({"evidence": [{"chunk": "c1"}]}, r"'chunk', which is none of .* \(nearest: 'chunk_id'\)"),
        ({"evidence": [{"chunk_id": "c1"}, {}]}, "evidence needs a source_id, a chunk_id or a snippet"),
        ({"evidence": [{"chunk_id": "c1", "anchor_start": 5, "anchor_end": 4}]}, "anchor_end is 4"),
        ({"tags": [str(number) for number in range(11)]}, "at most 10"),
    ],
)
def test_what_makes_no_sense_is_refused_with_nothing_written(store, room, given, why):
    with pytest.raises(Invalid, match=why):
        room.add_atom(**{"kind": "claim", "body": "flat", **given})
    assert room.count_atoms() == 0
    assert events(store) == []


# -- what was rejected ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reject", "invalidate"])
def test_what_a_person_said_no_to_does_not_come_back_unnoticed(room, how):
    wrong = room.add_atom("claim", "It is flat", status="candidate" if how == "reject" else "active")
    assert getattr(room, f"{how}_atom")(wrong.id, note="seen from the side")
    with pytest.raises(RejectedClaim, match=f"as atom {wrong.id}, whose") as caught:
        room.add_atom("decision", "it is  FLAT", project="p", user_id="ann")
    assert caught.value.correction == room.get_atom(wrong.id)
    assert room.add_atom("claim", "it is flat", override=True).status == "active"
    assert room.add_atom("claim", "it is flat").status == "active", "what lives again is recognised first"


def test_a_full_stop_makes_no_other_atom(room):
    wrong = room.add_atom("claim", "Never use peat")
    assert room.add_atom("claim", "Never use peat.") == wrong
    room.invalidate_atom(wrong.id)
    with pytest.raises(RejectedClaim):
        room.add_atom("claim", "Never use peat！")
    assert room.add_atom("claim", "Never use pea-t.").atom_fingerprint != wrong.atom_fingerprint
    assert room.check() == []


def test_a_rejection_counts_where_project_and_user_agree_or_are_not_said(room):
    room.invalidate_atom(room.add_atom("claim", "flat", project="p", user_id="ann").id)
    for scope in ({}, {"project": "p"}, {"user_id": "ann"}):
        with pytest.raises(RejectedClaim):
            room.add_atom("claim", "flat", **scope)
    assert room.add_atom("claim", "flat", project="q")
    assert room.add_atom("claim", "flat", user_id="bob")


def test_history_from_elsewhere_is_stored_as_it_is(room, atom):
    room.invalidate_atom(atom.id)
    old = room.add_atom("claim", atom.body, status="invalid", created_at=1.0, updated_at=2.0)
    older = room.add_atom("claim", atom.body, status="superseded", superseded_by="elsewhere")
    assert (old.created_at, old.updated_at, older.superseded_by) == (1.0, 2.0, "elsewhere")


# -- reading -------------------------------------------------------------------------------------------------------------


def test_atoms_come_newest_first_in_pages(room):
    made = [room.add_atom("claim", f"body {number}", created_at=at).id for number, at in enumerate([3.0, 1.0, 2.0, 2.0])]
    newest = [made[0], made[3], made[2], made[1]]
    assert ids(room.atoms()) == newest
    assert ids(room.atoms(limit=2)) == newest[:2]
    assert ids(room.atoms(limit=2, before=newest[1])) == newest[2:]
    assert room.atoms(before=newest[3]) == [] == room.atoms(limit=0)
    with pytest.raises(NotFound, match=r"no atom 'nowhere'; store.knowledge.atoms\(\) lists them"):
        room.atoms(before="nowhere")


def test_each_filter_finds_its_own(store, room):
    store.chat.create_project("Apollo", id="p1")
    entity = room.add_entity("Component", "mirror")
    found = room.add_atom("risk", "it may break", domain="optics", tags=[" Glass ", "glass"], project="Apollo", user_id="ann")
    room.mention(entity.id, found.id)
    room.add_atom("claim", "it is flat", user_id="bob", project="other", domain="heat", tags=["steel"])
    for given in (
        {"kind": "risk"}, {"domain": "optics"}, {"tag": "GLASS"}, {"entity_id": entity.id}, {"project": "Apollo"}, {"project": "p1"},
        {"user_id": "ann"}, {"user_id": "ann", "status": "active"},
    ):  # fmt: skip
        assert ids(room.atoms(**given)) == [found.id], given
        assert room.count_atoms(**given) == 1
    assert room.get_atom(found.id).tags == ["glass"]
    assert room.atoms(entity_id="nobody") == []


def test_a_user_finds_what_is_everybodys_too(room, atom):
    own = room.add_atom("claim", "round", user_id="ann")
    room.add_atom("claim", "square", user_id="bob")
    assert ids(room.atoms(user_id="ann")) == [own.id, atom.id]


def test_what_was_dismissed_is_hidden_unless_asked_for(room, atom):
    room.invalidate_atom(atom.id)
    assert room.atoms() == []
    assert ids(room.atoms(include_dismissed=True)) == ids(room.atoms(status="invalid")) == [atom.id]
    assert room.count_atoms(include_dismissed=True) == 1


# -- changing ------------------------------------------------------------------------------------------------------------


def test_an_update_changes_what_is_given_and_logs_just_that(store, room, atom, store_clock):
    store_clock.advance(60)
    new = room.update_atom(atom.id, title="Shape", tags=["A"], confidence=0.5, actor="ann", note="looked")
    assert (new.title, new.tags, new.confidence, new.body, new.version) == ("Shape", ["a"], 0.5, atom.body, 2)
    assert new.updated_at == atom.updated_at + 60
    assert room.get_atom(atom.id) == new
    (event,) = room.atom_history(atom.id)
    assert (event.event_type, event.actor, event.note) == ("atom.update", "ann", "looked")
    assert event.before == {"title": "", "tags": [], "confidence": 1.0}
    assert event.after == {"title": "Shape", "tags": ["a"], "confidence": 0.5}


def test_an_update_that_changes_nothing_writes_nothing(store, room, atom):
    assert room.update_atom(atom.id, title="", confidence=1.0) == atom == room.update_atom(atom.id)
    assert events(store) == []


def test_an_update_of_a_row_that_somebody_changed_is_refused(room, atom):
    new = room.update_atom(atom.id, title="Shape", expected_version=1)
    with pytest.raises(VersionConflict) as caught:
        room.update_atom(atom.id, title="Form", expected_version=1)
    assert caught.value.current == new


def test_what_is_no_longer_live_is_kept_as_it_was(room, atom):
    room.supersede_atom(atom.id)
    with pytest.raises(Invalid, match="is superseded and kept as it was"):
        room.update_atom(atom.id, title="Shape")


VERBS = {"promote": "active", "reject": "invalid", "supersede": "superseded", "invalidate": "invalid"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", ["candidate", "active", "superseded", "invalid", "graduated"])
def test_a_verb_goes_one_way_and_is_logged_or_does_nothing(store, room, verb, status):
    atom = room.add_atom("claim", "flat", status=status)
    legal = WAYS.get((status, VERBS[verb])) == verb
    assert getattr(room, f"{verb}_atom")(atom.id, actor="ann", note="why") is legal
    assert room.get_atom(atom.id).status == (VERBS[verb] if legal else status)
    history = [(event.event_type, event.actor, event.note, event.before["status"]) for event in room.atom_history(atom.id)]
    assert history == ([(f"atom.{verb}", "ann", "why", status)] if legal else [])


@pytest.mark.parametrize("verb", VERBS)
def test_of_an_atom_that_is_not_there_a_verb_says_so(room, atom, verb):
    with pytest.raises(NotFound, match="no atom"):
        getattr(room, f"{verb}_atom")(atom.id[:-1] + "x")


def test_only_another_active_atom_takes_a_place(room, atom):
    other = room.add_atom("claim", "round", status="candidate")
    for by, why in ((atom.id, "cannot supersede itself"), (other.id, "is candidate; only an active one")):
        with pytest.raises(Invalid, match=why):
            room.supersede_atom(atom.id, by=by)
    with pytest.raises(NotFound):
        room.supersede_atom(atom.id, by="nobody")
    room.promote_atom(other.id)
    assert room.supersede_atom(atom.id, by=other.id)
    assert room.get_atom(atom.id).superseded_by == other.id


@pytest.mark.parametrize("how", ["add", "promote", "update"])
def test_what_begins_to_hold_is_told_in_the_same_transaction(store, room, how, monkeypatch):
    told = []
    atom = room.add_atom("claim", "flat", status="candidate")
    monkeypatch.setattr(room, "_believed", lambda connection, item: told.append((item.body, item.status, store._database.in_transaction)))
    if how == "add":
        room.add_atom("claim", "round")
        room.add_atom("claim", "square", status="candidate")
    elif how == "promote":
        room.promote_atom(atom.id)
    else:
        room.update_atom(atom.id, title="Shape")
        room.promote_atom(atom.id)
        told.clear()
        room.update_atom(atom.id, title="Form")
    assert told == [("round" if how == "add" else "flat", "active", True)]


# -- evidence ------------------------------------------------------------------------------------------------------------


def test_the_same_snippet_of_the_same_chunk_is_one_piece_of_evidence(room, atom):
    (first,) = room.evidence(atom.id)
    assert room.add_evidence(atom.id, **{**CHUNK, "snippet": "IT is  flat", "confidence": 0.5}) == first
    other = room.add_evidence(atom.id, **{**CHUNK, "snippet": "as a table"}, anchor_type="line", anchor_start=3, anchor_end=4)
    assert room.evidence(atom.id) == [first, other]
    assert (other.anchor_type, other.anchor_start, other.anchor_end, other.stale) == ("line", 3, 4, False)


def test_evidence_goes_stale_with_its_chunk_and_the_atom_loses_what_it_gave(store, room, atom):
    room.update_atom(atom.id, verification_status="verified", actor="ann")
    (left,) = room.mark_stale(chunk_id="c1", chunk_hash="h2", actor="indexer", note="chunk has changed")
    assert left == room.get_atom(atom.id)
    assert left.verification_status == "unverified"
    assert [piece.stale for piece in room.evidence(atom.id)] == [True]
    assert room.evidence(atom.id, include_stale=False) == []
    event = room.atom_history(atom.id)[-1]
    assert (event.event_type, event.actor, event.note) == ("atom.update", "indexer", "chunk has changed")
    assert (event.before, event.after) == ({"verification_status": "verified"}, {"verification_status": "unverified"})
    assert room.mark_stale(chunk_id="c1") == [], "it was already"


def test_evidence_of_the_chunk_as_it_is_now_stays(room, atom):
    assert room.mark_stale(chunk_id="c1", chunk_hash="h1") == []
    assert room.mark_stale(source_id="elsewhere") == []
    assert room.mark_stale(chunk_id="c1", source_id="s2") == []
    assert [piece.stale for piece in room.evidence(atom.id)] == [False]
    assert ids(room.mark_stale(source_id="s1")) == [atom.id]


def test_an_atom_with_other_evidence_stays_verified(store, room, atom):
    room.add_evidence(atom.id, chunk_id="c2")
    room.update_atom(atom.id, verification_status="verified")
    assert room.mark_stale(chunk_id="c1") == []
    assert room.get_atom(atom.id).verification_status == "verified"
    assert ids(room.mark_stale(chunk_id="c2")) == [atom.id]


def test_atoms_that_no_longer_live_are_left_as_they_were(room, atom):
    room.update_atom(atom.id, verification_status="verified")
    room.supersede_atom(atom.id)
    assert room.mark_stale(chunk_id="c1") == []
    assert room.get_atom(atom.id).verification_status == "verified"


def test_evidence_that_is_found_again_is_no_longer_stale(room, atom):
    (old,) = room.evidence(atom.id)
    room.mark_stale(chunk_id="c1")
    again = room.add_evidence(atom.id, **{**CHUNK, "chunk_hash": "h2"}, anchor_start=9)
    assert (again.id, again.stale, again.chunk_hash, again.anchor_start) == (old.id, False, "h2", 9)
    assert room.evidence(atom.id) == [again]
    assert room.mark_stale(chunk_id="c1", chunk_hash="h2") == []


def test_without_evidence_nothing_is_verified(room):
    atom = room.add_atom("claim", "flat")
    with pytest.raises(Invalid, match="has no evidence that is not stale"):
        room.update_atom(atom.id, verification_status="verified")
    room.add_evidence(atom.id, snippet="flat as a table")
    assert room.update_atom(atom.id, verification_status="verified by two").verification_status == "verified by two"


def test_stale_evidence_must_be_of_something(room, atom):
    with pytest.raises(Invalid, match="needs a chunk_id or a source_id"):
        room.mark_stale(chunk_hash="h1")
    for call in (room.evidence, room.add_evidence):
        with pytest.raises(NotFound):
            call("nobody", **({"chunk_id": "c1"} if call == room.add_evidence else {}))


# -- claims, links, mentions ---------------------------------------------------------------------------------------------


def test_a_claim_is_found_by_its_subject_and_kept_once(room, atom):
    claim = room.add_claim(atom.id, "The Mirror", "is flat", strength="must")
    assert room.add_claim(atom.id, "the  mirror", "IS flat", strength="must", claim_confidence=0.5) == claim
    weaker = room.add_claim(atom.id, "The Mirror", "is flat", strength="should")
    other = room.add_claim(room.add_atom("claim", "round").id, "lens", "is round")
    assert room.claims(subject="THE mirror") == room.claims(atom.id) == [claim, weaker]
    assert room.claims() == [claim, weaker, other]
    assert room.claims(limit=1) == [claim]
    assert len({item.claim_fingerprint for item in room.claims()}) == 3


def test_a_link_is_kept_once_and_found_from_both_ends(room, atom):
    other = room.add_atom("claim", "round")
    link = room.link(atom.id, "contradicts", other.id, weight=0.5)
    assert room.link(atom.id, "contradicts", other.id) == link
    back = room.link(other.id, "contradicts", atom.id)
    assert room.links(atom.id) == room.links(other.id) == room.links() == [link, back]
    assert room.links(relation_type="refines") == [] == room.links("nobody")
    with pytest.raises(Invalid, match="no link to itself"):
        room.link(atom.id, "contradicts", atom.id)
    with pytest.raises(NotFound):
        room.link(atom.id, "contradicts", "nobody")


def test_a_mention_is_kept_once_a_place(room, atom):
    entity = room.add_entity("Component", "mirror")
    here = room.mention(entity.id, atom.id, chunk_id="c1", anchor_start=1, anchor_end=7)
    assert room.mention(entity.id, atom.id, chunk_id="c1", anchor_start=1, anchor_end=7) == here
    there = room.mention(entity.id, atom.id)
    assert room.mention(entity.id, atom.id) == there
    assert room.mentions(entity_id=entity.id) == room.mentions(atom_id=atom.id) == room.mentions() == [here, there]
    assert room.mentions(entity_id="nobody") == []
    for given in ((entity.id, "nobody"), ("nobody", atom.id)):
        with pytest.raises(NotFound):
            room.mention(*given)


# -- merging -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(room, atom):
    """An atom that says the same as another one in other words, with something of each kind on it."""
    other = room.add_atom("claim", "The mirror has no curve", evidence=[{"chunk_id": "c2"}, {"chunk_id": "c3"}, CHUNK])
    room.mark_stale(chunk_id="c3")
    room.add_claim(other.id, "mirror", "has no curve")
    room.mention(room.add_entity("Component", "mirror").id, other.id)
    return other, room.update_atom(atom.id, confidence=0.5)


def test_a_merge_copies_what_the_sources_stand_on_and_retires_them(store, room, pair):
    source, into = pair
    done = room.merge_atoms([source.id], into.id, reviewed_by="ann", actor="ann", note="the same")
    assert (done.operation, done.review_status, done.reviewed_by) == ("merge", "approved", "ann")
    assert (done.atom_ids, done.into_id) == ([source.id], into.id)
    retired, merged = room.get_atom(source.id), room.get_atom(into.id)
    assert (retired.status, retired.superseded_by, merged.confidence) == ("superseded", into.id, 1.0)
    assert [piece.chunk_id for piece in room.evidence(into.id)] == ["c1", "c2"], "what is stale or there is not copied"
    assert [piece.chunk_id for piece in room.evidence(source.id)] == ["c2", "c3", "c1"], "it keeps what it stood on"
    assert [len(room.claims(each.id)) for each in pair] == [len(room.mentions(atom_id=each.id)) for each in pair] == [1, 1]
    event = room.atom_history(into.id)[-1]
    assert room.atom_history(source.id)[-1] == event
    assert (event.event_type, event.actor, event.note) == ("atom.merge", "ann", "the same")
    assert event.before == {"status": {source.id: "active"}, "confidence": 0.5}
    assert event.after == {"status": {source.id: "superseded"}, "confidence": 1.0}
    assert (event.details["merge"], event.details["atom_ids"]) == (done.id, [source.id])


def test_a_merge_is_recorded_once_in_whatever_order(store, room, atom):
    others = [room.add_atom("claim", body).id for body in ("round", "square")]
    done = room.merge_atoms(others, atom.id)
    before = events(store)
    assert room.merge_atoms([*reversed(others), others[0], atom.id], atom.id) == done
    assert events(store) == before
    assert room.merges() == room.merges(atom_id=others[0]) == room.merges(atom_id=atom.id) == [done]


def test_superseding_moves_nothing_and_may_cross_projects(room, atom):
    other = room.add_atom("claim", "round", project="p", evidence=[{"chunk_id": "c2"}])
    room.merge_atoms([atom.id], other.id, operation="supersede")
    assert room.get_atom(atom.id).superseded_by == other.id
    assert len(room.evidence(other.id)) == 1


def test_what_is_obsolete_has_no_successor_and_may_be_said_again(room, atom):
    done = room.merge_atoms([atom.id], operation="obsolete")
    assert (done.into_id, room.get_atom(atom.id).status, room.get_atom(atom.id).superseded_by) == (None, "superseded", None)
    assert room.atom_history(atom.id)[-1].event_type == "atom.merge"
    assert room.add_atom("claim", atom.body).status == "active"


@pytest.mark.parametrize("review_status", ["pending", "rejected"])
def test_what_was_not_approved_is_recorded_and_not_done(room, pair, review_status):
    source, into = pair
    asked = room.merge_atoms([source.id], into.id, review_status=review_status)
    assert (room.get_atom(source.id), room.get_atom(into.id)) == pair
    assert room.atom_history(source.id)[-1].details["review_status"] == review_status
    done = room.merge_atoms([source.id], into.id)
    assert done.id != asked.id
    assert room.get_atom(source.id).status == "superseded"
    assert room.merges() == [done, asked]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"ids": []}, "ids names no atom beside into"),
        ({"ids": ["into"], "into": "into"}, "ids names no atom beside into"),
        ({"ids": "one"}, "ids must be a list"),
        ({"into": None}, "merge and supersede need one"),
        ({"operation": "obsolete"}, "an obsolete operation has none"),
        ({"operation": "forget"}, "operation 'forget' is none of"),
        ({"ids": ["one", "far"]}, "far' is of another project or user"),
        ({"ids": ["one", "old"]}, "ids must be active atoms, and 'old' is superseded"),
        ({"into": "old"}, "into='old' is an atom that is superseded"),
    ],
)
def test_a_merge_that_makes_no_sense_leaves_all_as_it_was(store, room, given, why):
    room.add_atom("claim", "first", id="one")
    room.add_atom("claim", "second", id="into")
    room.add_atom("claim", "third", id="far", project="p")
    room.add_atom("claim", "fourth", id="old", status="superseded")
    with pytest.raises(Invalid, match=why):
        room.merge_atoms(**{"ids": ["one"], "into": "into", **given})
    assert [room.get_atom(id).version for id in ("one", "into", "far", "old")] == [1] * 4
    assert room.merges() == [] == events(store)


def test_merges_are_found_by_the_project_of_their_atoms_newest_first(store, room):
    made = {}
    for project in ("p", "q"):
        one, two = (room.add_atom("claim", body, project=project).id for body in ("round", "square"))
        made[project] = [room.merge_atoms([one], two, review_status="pending"), room.merge_atoms([one], operation="obsolete")]
    assert room.merges(project="p") == made["p"][::-1]
    assert room.merges(limit=2) == made["q"][::-1]
    assert room.merges(before=made["q"][0].id) == made["p"][::-1]


@pytest.mark.damage
def test_nobody_rewrites_what_was_recorded(store, room, atom):
    done = room.merge_atoms([atom.id], operation="obsolete")
    for change in ("operation = 'merge'", "atom_ids = '[]'", "into_id = 'x'", "review_status = 'rejected'", "created_at = 0"):
        with pytest.raises(Invalid, match="never changed"), room.db.write() as connection:
            connection.run(f"UPDATE merges SET {change}")
    assert room.merges() == [done]


# -- check ---------------------------------------------------------------------------------------------------------------


@pytest.mark.damage
@pytest.mark.parametrize("change", ["atoms SET body_key = 'x'", "evidence SET snippet_key = 'x'", "claims SET subject_key = 'x'"])
def test_a_key_that_is_not_that_of_its_text_is_found(store, room, atom, change):
    room.add_claim(atom.id, "mirror", "is flat")
    with room.db.write() as connection:
        connection.run(f"UPDATE {change}")
    (finding,) = room.check()
    assert (finding.kind, "its keys are not those of its texts" in finding.detail) == ("derived", True)
    assert not store.check().ok


def test_what_names_nothing_or_rests_on_nothing_is_advice(store, room, atom):
    room.update_atom(atom.id, verification_status="verified")
    room.add_atom("claim", "round", status="superseded", superseded_by="elsewhere")
    room.mention(room.add_entity("Component", "mirror", id="e1").id, atom.id)
    with room.db.write() as connection:
        connection.run("DELETE FROM evidence")
        connection.run("UPDATE mentions SET entity_id = 'e2'")
    assert [finding.kind for finding in room.check()] == ["dangling"] * 3
    assert store.check().ok


@pytest.mark.damage
def test_damaged_tags_are_named(tmp_path):
    with open_store(tmp_path / "agent.db", clock=FakeClock()) as store:
        atom = store.knowledge.add_atom("claim", "flat", tags=["a"])
        with store.knowledge.db.write() as connection:
            connection.run("UPDATE atoms SET tags = '{}'")
        with pytest.raises(Corrupt, match="tags of .* in atoms is damaged"):
            store.knowledge.get_atom(atom.id)
