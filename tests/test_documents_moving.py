"""Documents that move: exported and taken in, erased, pruned, into another project, and under a codec."""

from __future__ import annotations

import pytest
from erasing import rows
from exports import bytes_of, shelved
from toy_codec import Toy

from memstore import Embedder, Exists, NotFound, open_store
from memstore.testing import FakeClock

ANN, BOB = "ann.lovelace@example.org", "bob@example.org"
OURS, THEIRS = "# Lamp\n\nambergris lamp\n\n# Foot\n\ncobalt foot", "# Lamp\n\nambergris lamp\n\n# Foot\n\nduralumin foot"


def found(store, *words, **given):
    """The ids of the documents that each word finds."""
    return [sorted({hit.document.id for hit in store.documents.search(word, limit=None, **given)}) for word in words]


@pytest.fixture
def exported(tmp_path):
    """An export with a document that has a uri, one that has none, a hidden one, and choices about them."""
    with open_store(clock=FakeClock()) as store:
        room = store.documents
        room.add_text(THEIRS, uri="file:/a", id="d1", title="theirs")
        room.add_text("emerald words", id="d2")
        room.remove(room.add_text("fuchsia words", uri="file:/c", id="d3").id)
        room.annotate(room.chunks("d1")[0].id, "secret", id="n1")
        room.select(["d1", "d2"], False, user_id=ANN)
        store.export(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def other():
    """A store that has other words at the same uri, the same bytes without one, and shows what the export has hidden."""
    with open_store(clock=FakeClock()) as store:
        room = store.documents
        room.add_text(OURS, uri="file:/a", id="o1", title="ours")
        room.add_text("emerald words", id="o2")
        room.add_text("fuchsia words", uri="file:/c", id="o3")
        room.select(["o1"], True, user_id=ANN)
        room.select(["o1"], True, user_id=BOB)
        store.knowledge.add_atom("claim", "it is blue", evidence=[{"chunk_id": room.chunks("o1")[-1].id}], id="a1")
        yield store


def counts(told):
    return {table: count for table, count in told.items() if table in ("documents", "chunks", "annotations", "selections")}


@pytest.mark.parametrize("codec", [None, Toy()], ids=["plain", "encrypted"])
def test_what_came_in_hidden_is_found_once_it_is_shown_whatever_is_remembered(exported, codec):
    with open_store(codec=codec, clock=FakeClock()) as copy:
        copy.import_(exported)
        copy.documents.remove("d2")
        assert found(copy, "words") == [[]]
        copy.documents.add_text("fuchsia words", uri="file:/c")
        assert found(copy, "fuchsia") == [["d3"]]


def test_into_an_empty_store_it_comes_with_its_words_and_leaves_with_the_same_bytes(tmp_path, exported):
    with open_store(clock=FakeClock()) as copy:
        copy.import_(exported)
        assert found(copy, "ambergris", "emerald", "fuchsia", "cobalt") == [["d1"], ["d2"], [], []]
        assert copy.documents.text("d1") == THEIRS
        assert [note.id for note in copy.documents.annotations(document_id="d1", kind="secret")] == ["n1"]
        copy.export(tmp_path / "again")
        assert bytes_of(tmp_path / "again") == bytes_of(exported)


def test_what_is_here_under_the_same_uri_stays_with_its_chunks(exported, other):
    report = other.import_(exported, on_conflict="skip")
    assert counts(report.added) == {"selections": 1}
    skipped = counts(report.skipped)
    assert (skipped["documents"], skipped["annotations"], skipped["selections"]) == (3, 1, 1)
    assert found(other, "cobalt", "duralumin", "emerald", "fuchsia") == [["o1"], [], ["o2"], ["o3"]]
    assert {(item.document_id, item.user_id): item.enabled for item in other.documents.selections(user_id=ANN)} == {
        ("o1", ANN): True, ("o2", ANN): False,
    }  # fmt: skip


def test_replaced_it_says_what_the_export_says_and_what_rested_on_its_chunks_is_stale(exported, other):
    report = other.import_(exported, on_conflict="replace")
    assert counts(report.replaced)["documents"] == 3
    assert set(counts(report.added)) == {"selections"}
    assert found(other, "cobalt", "duralumin", "emerald", "fuchsia") == [[], ["o1"], ["o2"], []]
    assert (other.documents.text("o1"), other.documents.get("o1").title) == (THEIRS, "theirs")
    assert other.documents.get("o3").is_deleted
    assert [item.enabled for item in other.documents.selections(user_id=ANN)] == [False, False]
    assert [item.enabled for item in other.documents.selections(user_id=BOB)] == [True], "what only this store has stays"
    assert [proof.stale for proof in other.knowledge.evidence("a1", include_stale=True)] == [True]


def test_as_an_error_it_changes_nothing(exported, other):
    before = rows(other)
    with pytest.raises(Exists, match="the store has 'd1' in documents already"):
        other.import_(exported)
    assert rows(other) == before


def test_a_chunk_that_is_another_document_s_here_is_refused(exported):
    with open_store(clock=FakeClock()) as store, open_store(clock=FakeClock()) as theirs:
        theirs.import_(exported)
        chunk = theirs.documents.chunks("d1")[0].id
        store.documents.add_text("", uri="file:/x", id="x")
        store.documents.set_chunks("x", [{"content": "other words", "id": chunk}])
        with pytest.raises(Exists, match=f"chunk '{chunk}' of the export is one of another document here; nothing was imported"):
            store.import_(exported, on_conflict="skip")
        assert [item.id for item in store.documents.find()] == ["x"]


def test_a_later_export_of_the_same_store_brings_what_was_noticed_since(tmp_path, exported):
    with open_store(clock=FakeClock()) as copy, open_store(clock=FakeClock()) as store:
        copy.import_(exported)
        store.import_(exported)
        store.documents.annotate(store.documents.chunks("d2")[0].id, "untrusted", id="n2")
        store.documents.add_text("garnet words", id="d4")
        store.export(tmp_path / "later")
        report = copy.import_(tmp_path / "later", on_conflict="skip")
        assert counts(report.added) == {"documents": 1, "chunks": 1, "annotations": 1}
        assert shelved(copy) == shelved(store)
        report = copy.import_(tmp_path / "later", on_conflict="replace")
        assert counts(report.added) == {}
        assert shelved(copy) == shelved(store)


def test_a_user_s_export_has_the_documents_of_that_user(tmp_path):
    with open_store(clock=FakeClock()) as store, open_store(clock=FakeClock()) as copy:
        for user in (ANN, BOB, None):
            name = "all" if user is None else user[:3]
            store.documents.add_text(f"words of {name}", user_id=user, id=name)
            store.documents.annotate(store.documents.chunks(name)[0].id, "secret")
        for user in (ANN, BOB):
            store.documents.select([user[:3], "all"], False, user_id=user)
        store.export(tmp_path / "out", user_id=ANN)
        copy.import_(tmp_path / "out")
        assert [item.id for item in copy.documents.find()] == ["ann"]
        assert [(note.chunk_id, note.kind) for note in copy.documents.annotations()] == [(copy.documents.chunks("ann")[0].id, "secret")]
        assert [(item.document_id, item.enabled) for item in copy.documents.selections(user_id=ANN)] == [("ann", False)]


class Shelf:
    """What a store with documents must show: by uri the words of each text, and whether it is hidden."""

    def __init__(self, store):
        self.store = store
        self.texts, self.hidden, self.ids, self.gone = {}, set(), {}, set()

    def live(self, rng):
        for _ in range(12):
            uri = f"file:/{rng.randrange(6)}"
            act = rng.choice([self.add, self.add, self.add, self.remove, self.erase, self.prune])
            act(uri, [f"amber{rng.randrange(9)}x{part}" for part in range(rng.randrange(1, 4))])

    def add(self, uri, words):
        self.ids[uri] = self.store.documents.add_text("\n\n".join(f"# {word}\n\n{word}" for word in words), uri=uri).id
        self.texts[uri] = words
        self.hidden.discard(uri)

    def remove(self, uri, _):
        if uri in self.texts:
            self.store.documents.remove(self.ids[uri])
            self.hidden.add(uri)

    def erase(self, uri, _):
        if uri in self.texts:
            self.store.erase(document_id=self.ids[uri])
            self.gone.add(self.ids[uri])
            self.drop(uri)

    def prune(self, *_):
        self.store.prune(room="documents", keep_last=0)
        for uri in [*self.hidden]:
            self.drop(uri)

    def drop(self, uri):
        del self.texts[uri], self.ids[uri]
        self.hidden.discard(uri)

    def take(self, other, mode, folder):
        other.store.export(folder)
        self.store.import_(folder, on_conflict=mode)
        for uri in other.texts:
            if other.ids[uri] in self.gone or (mode == "skip" and uri in self.texts):
                continue
            self.ids.setdefault(uri, other.ids[uri])
            self.texts[uri] = other.texts[uri]
            (self.hidden.add if uri in other.hidden else self.hidden.discard)(uri)

    def agree(self):
        room = self.store.documents
        documents = room.find(include_deleted=True, limit=None)
        assert {item.uri: (item.id, item.is_deleted) for item in documents} == {
            uri: (self.ids[uri], uri in self.hidden) for uri in self.texts
        }  # fmt: skip
        for item in documents:
            assert room.text(item.id) == "\n\n".join(f"# {word}\n\n{word}" for word in self.texts[item.uri])
        for number in range(9):
            for part in range(3):
                word = f"amber{number}x{part}"
                uris = {hit.document.uri for hit in room.search(word, limit=None)}
                assert uris == {uri for uri in {*self.texts} - self.hidden if word in self.texts[uri]}, word


@pytest.mark.parametrize("codec", [None, Toy()], ids=["plain", "encrypted"])
def test_stores_that_live_erase_prune_and_meet_hold_what_their_twins_do(tmp_path, rng, codec):
    with open_store(clock=FakeClock(), codec=codec) as one, open_store(tmp_path / "two.db", clock=FakeClock(), codec=codec) as two:
        shelves = [Shelf(one), Shelf(two)]
        for store in (one, two):  # so that neither takes over the other
            store.chat.create_conversation()
        for number in range(4):
            for shelf in shelves:
                shelf.live(rng)
                shelf.agree()
            rng.shuffle(shelves)
            shelves[0].take(shelves[1], rng.choice(["skip", "replace"]), tmp_path / f"out{number}")
            shelves[0].agree()
            assert shelves[0].store.check().ok


# -- erased -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(file_store):
    """A store in which everything that can rests on a chunk of one document."""
    store = file_store
    store.documents.add_text("# One\n\nzirconq1 is old", uri="file:/paper-1", id="paper-1", title="zirconq2", metadata={"a": "zirconq3"})
    store.documents.add_text("# One\n\nzirconq4 is new", uri="file:/paper-1", actor="ann", note="zirconq5")
    chunk = store.documents.chunks("paper-1")[0].id
    store.documents.annotate(chunk, "secret", detail="zirconq6", id="note-1")
    store.documents.remove_annotation(store.documents.annotate(chunk, "secret", detail="zirconq7", id="note-2").id)
    store.documents.select(["paper-1"], True, user_id=ANN)
    store.documents.add_text("other words", id="paper-2")
    store.memories.add("knowledge", "it is blue", source_chunk_id=chunk, id="mem-1")
    store.knowledge.add_entity("Mineral", "zircon", id="ent-1", source_refs=[f"chunk:{chunk}", "document:paper-1", "memory:mem-1"])
    proofs = [{"chunk_id": chunk, "snippet": "zirconq8"}, {"source_id": "paper-1", "snippet": "zirconq9"}, {"snippet": "seen"}]
    store.knowledge.add_atom("claim", "it shines", evidence=proofs, id="atom-1")
    store.knowledge.mention("ent-1", "atom-1", chunk_id=chunk, anchor_start=1, anchor_end=2)
    pieces = [{"kind": "chunk", "id": chunk, "text": "zirconq10"}, {"kind": "memory", "id": "mem-1"}]
    pack = {"text": "> zirconq10", "more": ["zirconq10"], "tokens": 7, "pieces": pieces}
    store.memories.capture("what?", context=pack, chunks_used=[chunk], id="asked")
    return store, chunk


def test_a_document_goes_to_the_last_byte_with_what_was_made_from_it(told, searcher):
    store, chunk = told
    words = [f"zirconq{n}" for n in range(1, 11)]
    assert set(words) - {word for _, word in searcher(store, *words)} == set(), "all of them are there to be found"
    receipt = store.erase(document_id="paper-1", reason="asked for", actor="privacy desk")
    assert receipt.scrubbed
    assert searcher(store, *words, chunk, "paper-1", "note-1", "note-2") == []
    assert {name: receipt.counts[name] for name in ("documents", "chunks", "annotations", "selections", "evidence")} == {
        "documents": 1, "chunks": 1, "annotations": 1, "selections": 1, "evidence": 2,
    }  # fmt: skip
    assert store.audit.find(limit=1)[0].event_type == "document.erase"
    assert store.memories.get("mem-1").source_chunk_id is None
    assert store.knowledge.get("ent-1").source_refs == ["memory:mem-1"]
    assert [(mention.chunk_id, mention.anchor_start) for mention in store.knowledge.mentions()] == [(None, None)]
    assert [proof.snippet for proof in store.knowledge.evidence("atom-1")] == ["seen"]
    asked = store.memories.get_interaction("asked")
    assert (asked.chunks_used, asked.context_pack) == ([], {"tokens": 7, "pieces": [{"kind": "memory", "id": "mem-1"}]})
    assert (
        "interactions that were told something that went: 1, kept without it and without the text that it stood in,"
        " though prompt and response may quote it"
    ) in receipt.kept
    assert [item.id for item in store.documents.find()] == ["paper-2"]
    assert found(store, "other") == [["paper-2"]]


def test_one_that_is_not_there_is_named_with_those_like_it(told):
    store, _ = told
    with pytest.raises(NotFound, match="no room holds anything of a document 'paper-3'.*paper-"):
        store.erase(document_id="paper-3")


def test_as_a_trial_it_tells_the_same_and_leaves_all(told):
    store, _ = told
    before = rows(store)
    trial = store.erase(document_id="paper-1", dry_run=True)
    assert rows(store) == before
    assert found(store, "zirconq4") == [["paper-1"]]
    assert trial.counts == store.erase(document_id="paper-1").counts


def test_what_was_erased_does_not_come_back(tmp_path, told):
    store, chunk = told
    store.export(tmp_path / "out")
    store.erase(document_id="paper-1")
    report = store.import_(tmp_path / "out", on_conflict="replace")
    assert counts(report.erased) == {"documents": 1, "chunks": 1, "annotations": 1, "selections": 1}
    assert report.erased["evidence"] == 2
    assert [item.id for item in store.documents.find()] == ["paper-2"]
    assert found(store, "zirconq4", "other") == [[], ["paper-2"]]
    assert store.memories.get_interaction("asked").chunks_used == []


def test_a_conversation_takes_its_documents_and_choices_along(store):
    store.chat.create_conversation(id="talk-1", user_id=ANN)
    store.documents.add_text("heliotrope words", conversation_id="talk-1", id="mine-1")
    store.documents.add_text("indigo words", id="all-1")
    store.documents.select(["all-1"], False, conversation_id="talk-1")
    receipt = store.erase(conversation_id="talk-1")
    assert counts(receipt.counts) == {"documents": 1, "chunks": 1, "selections": 1}
    assert found(store, "heliotrope", "indigo") == [[], ["all-1"]]
    assert "documents of no user, project or conversation: 1, kept, since nothing tells whose they are" in receipt.kept


def test_others_keep_their_documents_when_a_user_goes_with_a_project(store):
    store.chat.create_project("Apollo", id="project-1", user_id=ANN)
    for user in (ANN, BOB, None):
        store.documents.add_text("jasper words", uri="file:/j", project="project-1", user_id=user, id=f"in of {user}")
    store.documents.add_text("opal words", uri="file:/o", project="project-1", user_id=BOB, id="alone")
    store.documents.add_text("jasper words", uri="file:/j", user_id=BOB, id="same of bob", created_at=1.0)
    receipt = store.erase(user_id=ANN)
    assert [(item.uri, item.user_id, item.project_id) for item in store.documents.find()] == [
        ("file:/o", BOB, None), ("file:/j", BOB, None),
    ]  # fmt: skip
    assert "documents of other users in a project that went: 2, kept, in no project" in receipt.kept


@pytest.mark.parametrize("hidden", [False, True])
def test_no_text_of_others_takes_the_place_of_another_when_a_project_goes(store, hidden):
    for place, name in enumerate(("Apollo", "Gemini")):
        store.chat.create_project(name, id=f"project-{place}", user_id=ANN)
        store.documents.add_text(f"jasper {name}", uri="file:/j", project=f"project-{place}", user_id=BOB, id=f"in {name}")
    store.documents.add_text("jasper words", uri="file:/j", user_id=BOB, id="in none")
    if hidden:
        store.documents.remove("in none")
    receipt = store.erase(user_id=ANN)
    left = store.documents.find(include_deleted=True)
    assert {item.id: (item.project_id, store.documents.text(item.id)) for item in left} == {
        "in Apollo": ("project-0", "jasper Apollo"), "in Gemini": ("project-1", "jasper Gemini"), "in none": (None, "jasper words"),
    }  # fmt: skip
    why = "kept under its id, for outside of it their users have other texts with these uris"
    assert f"documents of other users in a project that went: 2, {why}" in receipt.kept
    assert store.check().ok


# -- with vectors -------------------------------------------------------------------------------------------------------


def embed(texts):
    return [[1.0, len(text)] for text in texts]


def test_vectors_of_chunks_that_stay_out_stay_out_too(tmp_path):
    def told(text):
        store = open_store(embedder=Embedder("toy", embed))
        store.documents.add_text(text, uri="file:/a")
        store.documents.add_text(f"only {text}", uri=f"file:/{text}")
        store.vectors.add([("own", [1.0, 1.0])], model="toy")
        return store

    with told("theirs") as store:
        store.export(tmp_path / "out")
    with told("ours") as store:
        report = store.import_(tmp_path / "out", on_conflict="skip")
        assert (report.added["vectors"], report.skipped["vectors"]) == (1, 2), "what no document has is the caller's own"
        kept = {chunk.id for item in store.documents.find() for chunk in store.documents.chunks(item.id)}
        assert len(kept) == 3
        assert {hit.id for hit in store.vectors.nearest([1.0, 0.0], model="toy", limit=None)} == {"own", *kept}


def test_vectors_of_chunks_that_are_gone_are_told_and_let_go(store):
    chunk = store.documents.chunks(store.documents.add_text("jasper words").id)[0]
    store.vectors.add([("nobody", [1.0, 0.0, 0.0])], model="toy")
    (found,) = store.documents.check()
    assert (found.kind, store.check().ok) == ("dangling", True) and "nobody" in found.detail
    assert store.documents.reembed(embed, model="toy") == 1, "whatever dimensions the lost one had"
    assert [hit.id for hit in store.vectors.nearest([1.0, 0.0], model="toy")] == [chunk.id]
    assert store.documents.check() == []


@pytest.mark.parametrize("history", [False, True])
def test_documents_wait_for_vectors_that_had_to_stay_out(tmp_path, history):
    with open_store(embedder=Embedder("toy", embed)) as store:
        store.documents.add_text("jasper words", id="d1")
        assert store.documents.get("d1").ingestion_status == "embedded"
        store.export(tmp_path / "out")
    with open_store(tmp_path / "agent.db", codec=Toy()) as store:
        if history:
            store.documents.add_text("opal words", id="d2", ingestion_status="embedded")
        store.import_(tmp_path / "out")
        item = store.documents.get("d1")
        assert (item.ingestion_status, item.indexed_at, store.vectors.count()) == ("pending", None, 0)
        assert not history or store.documents.get("d2").ingestion_status == "embedded"


# -- pruned -------------------------------------------------------------------------------------------------------------


def test_only_hidden_documents_are_pruned_and_leave_no_byte(file_store, store_clock, searcher):
    store, room = file_store, file_store.documents
    for number in range(3):
        room.add_text(f"kunziteq{number} words", uri=f"file:/{number}", id=f"d{number}")
        chunk = room.chunks(f"d{number}")[0].id
        room.annotate(chunk, "secret")
        room.select([f"d{number}"], True, user_id=ANN)
        store.knowledge.add_atom("claim", f"so it is {number}", evidence=[{"chunk_id": chunk}], id=f"a{number}")
    for number in range(2):
        store_clock.advance(10.0)
        room.remove(f"d{number}")
    one_of_each = {"documents": 1, "chunks": 1, "annotations": 1, "selections": 1}
    assert store.prune(room="documents", max_age=5.0, dry_run=True).removed == one_of_each
    assert len(room.find(include_deleted=True)) == 3
    report = store.prune(room="documents", max_age=5.0)
    assert report.removed == one_of_each
    assert [item.id for item in room.find(include_deleted=True)] == ["d2", "d1"]
    assert [store.knowledge.evidence(f"a{n}", include_stale=True)[0].stale for n in range(3)] == [True, False, False]
    assert searcher(store, "kunziteq0") == []
    room.add_text("kunziteq1 words", uri="file:/1")
    assert found(store, "kunziteq0", "kunziteq1", "kunziteq2") == [[], ["d1"], ["d2"]], "the other can be revived"
    assert store.prune(room="documents", keep_last=0).removed == {}


# -- into another project -----------------------------------------------------------------------------------------------


def test_documents_follow_a_name_to_its_project_and_of_two_at_one_uri_the_newer_stays(store, store_clock):
    room = store.documents
    store.chat.create_project("Apollo", id="p-1")
    for project, text in (("Apollo", "larimar words"), ("moon", "malachite words")):
        store_clock.advance(1.0)
        room.add_text(text, uri="file:/a", project=project, id=f"a of {project}")
    for project, text in (("moon", "nephrite words"), ("Apollo", "obsidian words")):
        store_clock.advance(1.0)
        room.add_text(text, uri="file:/b", project=project, id=f"b of {project}")
    room.add_text("peridot words", project="moon", id="alone")
    room.select(["a of Apollo"], False, user_id=ANN)
    room.select(["a of Apollo", "a of moon"], True, user_id=BOB)
    store.chat.alias("Apollo", "moon")
    assert sorted(item.id for item in room.find(project="p-1", include_deleted=True)) == ["a of moon", "alone", "b of Apollo"]
    assert found(store, "larimar", "malachite", "nephrite", "obsidian", project="moon") == [[], ["a of moon"], [], ["b of Apollo"]]
    assert [(item.document_id, item.enabled) for user in (ANN, BOB) for item in room.selections(user_id=user)] == [
        ("a of moon", False), ("a of moon", True),
    ]  # fmt: skip
    events = store.audit.find(event_type="document.supersede", ascending=True)
    assert [(event.entity_id, event.after, event.actor) for event in events] == [
        ("a of Apollo", {"superseded_by": "a of moon"}, "project-join"), ("b of moon", {"superseded_by": "b of Apollo"}, "project-join"),
    ]  # fmt: skip
    assert {**events[0].before, "content_hash": ""} == {"uri": "file:/a", "content_hash": "", "chunks": 1}


def test_a_hidden_document_gives_way_to_one_that_is_not(store, store_clock):
    store.chat.create_project("Apollo", id="p-1")
    store.documents.add_text("quartz words", uri="file:/a", project="Apollo", id="there")
    store_clock.advance(1.0)
    store.documents.remove(store.documents.add_text("ruby words", uri="file:/a", project="moon", id="hidden").id)
    store.chat.alias("Apollo", "moon")
    assert [(item.id, item.is_deleted) for item in store.documents.find(include_deleted=True)] == [("there", False)]


def test_a_project_that_comes_in_takes_the_documents_that_carry_its_name(tmp_path):
    with open_store(clock=FakeClock()) as store, open_store(clock=FakeClock()) as theirs:
        theirs.chat.create_project("Apollo", id="p-9")
        theirs.documents.add_text("sapphire words", uri="file:/a", project="Apollo", id="theirs")
        theirs.export(tmp_path / "out")
        store.documents.add_text("topaz words", uri="file:/b", project="Apollo", id="ours")
        store.import_(tmp_path / "out")
        assert {item.id: item.project_id for item in store.documents.find()} == {"theirs": "p-9", "ours": "p-9"}


# -- under a codec ------------------------------------------------------------------------------------------------------


def test_with_a_codec_no_word_of_a_document_is_in_the_file_and_all_are_found(tmp_path, searcher):
    words = [f"ulexiteq{n}" for n in range(9)]
    path = tmp_path / "agent.db"
    with open_store(path, codec=Toy(), clock=FakeClock()) as store:
        room = store.documents
        given = {"title": words[1], "uri": f"file:/{words[2]}", "file_path": words[3], "extra_text": words[4], "metadata": {"a": words[5]}}
        item = room.add_text(f"# {words[6]}\n\n{words[0]} shines", id="d1", tags=[words[7]], **given)
        room.annotate(room.chunks("d1")[0].id, "secret", detail=words[8])
        assert room.add_text(f"# {words[6]}\n\n{words[0]} shines", uri=item.uri).id == "d1", "its uri is known by its digest"
        assert found(store, words[0], words[6], "nothingofthekind") == [["d1"], ["d1"], []]
        assert searcher(store, *words) == []
        store.rekey(Toy(b"second"))
        assert found(store, words[0]) == [["d1"]]
        store.export(tmp_path / "out")
    with open_store(tmp_path / "other.db", codec=Toy(), clock=FakeClock()) as copy:
        copy.import_(tmp_path / "out")
        assert shelved(copy)["chunks"][0]["content"].startswith(f"# {words[6]}")
        assert found(copy, words[0], words[6]) == [["d1"], ["d1"]]
        assert searcher(copy, *words) == []
        copy.erase(document_id="d1")
        assert found(copy, words[0]) == [[]]


# -- checked ------------------------------------------------------------------------------------------------------------


@pytest.mark.damage
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("documents SET uri_key = 'x'", "document d1: its key is not that of its uri or content"),
        ("documents SET uri = 'file:/b'", "document d1: its key is not that of its uri or content"),
        ("chunks SET chunk_hash = 'x'", "chunk c0: its hash or length is not that of its content"),
        ("chunks SET char_count = 1", "chunk c0: its hash or length is not that of its content"),
        ("chunks SET chunk_index = 7 WHERE id = 'c1'", "document d1: its chunks are not numbered 0, 1, 2 ..."),
        ("chunks SET chunk_index = -1 WHERE id = 'c0'", "document d1: its chunks are not numbered 0, 1, 2 ..."),
        ("chunks SET end_char = 9 WHERE id = 'c0'", "chunk c0: its content is not as long as from start_char to end_char"),
        ("annotations SET end_char = 99", "annotation n0: start_char and end_char are not within the content of its chunk"),
        ("annotations SET start_char = 6", "annotation n0: start_char and end_char are not within the content of its chunk"),
        ("annotations SET start_char = -1", "annotation n0: start_char and end_char are not within the content of its chunk"),
    ],
)
def test_check_finds_what_is_not_as_it_was_derived(tmp_path, change, said):
    with open_store(tmp_path / "agent.db", clock=FakeClock()) as store:
        store.documents.add_text("", uri="file:/a", id="d1")
        chunks = [{"content": f"vesuvianite {n}", "start_char": 13 * n, "end_char": 13 * n + 13, "id": f"c{n}"} for n in range(2)]
        store.documents.set_chunks("d1", chunks)
        store.documents.annotate("c0", "secret", start_char=0, end_char=3, id="n0")
        assert store.check().ok
        with store.documents.db.write() as connection:
            connection.run(f"UPDATE {change}")
        assert said in [finding.detail for finding in store.check().findings]


def test_a_read_only_store_without_the_room_reads_as_empty(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.chat.create_conversation()
    with open_store(path, read_only=True) as store:
        assert (store.documents.find(), store.documents.annotations(), store.documents.selections(user_id=ANN)) == ([], [], [])
        assert found(store, "word") == [[]]
        assert store.documents.check() == []
        with pytest.raises(NotFound):
            store.documents.chunks("d1")
        assert "documents" not in store.stats().rooms
