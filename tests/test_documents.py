"""Documents: added, added again, changed, hidden, brought back, found; and their chunks, also those made by hand."""

from __future__ import annotations

import pytest
from toy_codec import Toy

from memstore import Exists, Invalid, NotFound, VersionConflict, open_store

INSTALL = "# Install\n\nUse the archive.\n\n"
USE = "# Use\n\nOpen a store and ask it.\n\n"
HELP = "# Help\n\nRead this file again.\n"


@pytest.fixture
def documents(store):
    return store.documents


def ids(store, document):
    return {chunk.content: chunk.id for chunk in store.documents.chunks(document.id)}


def events(store):
    return [(event.event_type, event.actor, event.note) for event in store.audit.find(entity_kind="document", ascending=True)]


def words(store, *asked):
    return [len(store.documents.search(word)) for word in asked]


def everything(store):
    names = {row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return {name: store.query(f"SELECT * FROM {name}") for name in ("documents", "chunks", "audit_log") if name in names}


# -- added --------------------------------------------------------------------------------------------------------------


def test_a_text_is_a_document_in_chunks_that_give_it_back(documents, store_clock):
    text = INSTALL + USE + HELP
    added = documents.add_text(text, uri="guide.md", title="Guide", source_type="web", user_id="ann", metadata={"a": [1]})
    assert documents.get(added.id) == added
    assert (added.uri, added.title, added.display_name, added.source_type, added.user_id) == ("guide.md", "Guide", "Guide", "web", "ann")
    assert (added.metadata, added.version, added.is_deleted, added.deleted_at) == ({"a": [1]}, 1, False, None)
    assert added.created_at == added.ingested_at == store_clock.now
    chunks = documents.chunks(added.id)
    assert [chunk.heading_path for chunk in chunks] == ["Install", "Use", "Help"]
    assert all(text[chunk.start_char : chunk.end_char] == chunk.content for chunk in chunks)
    assert [(chunk.chunk_index, chunk.anchor_type, chunk.anchor_start) for chunk in chunks] == [
        (place, "char", chunk.start_char) for place, chunk in enumerate(chunks)
    ]
    assert documents.get_chunk(chunks[1].id) == chunks[1]
    assert documents.text(added.id) == text


def test_the_same_text_again_is_the_same_document_and_writes_nothing(documents, store):
    first = documents.add_text(USE, uri="a")
    before = everything(store)
    assert documents.add_text(USE, uri="a") == first
    assert everything(store) == before


def test_without_a_uri_the_text_is_what_a_document_is_known_by(documents):
    first = documents.add_text(USE)
    assert documents.add_text(USE) == first
    assert documents.add_text(HELP).id != first.id
    assert documents.add_text(USE, uri="a").id != first.id
    assert first.display_name == first.content_hash


def test_projects_and_users_have_documents_of_their_own(documents):
    owners = ({}, {"project": "p"}, {"user_id": "u"}, {"project": "p", "user_id": "u"})
    made = [documents.add_text(USE, uri="a", **whose).id for whose in owners]
    assert len({*made}) == 4
    assert documents.add_text(HELP, uri="a", project="p").id == made[1]


def test_a_project_is_known_by_its_names(store):
    project = store.chat.create_project("Apollo")
    store.chat.alias(project.id, "moon")
    added = store.documents.add_text(USE, uri="a", project="moon")
    assert added.project_id == project.id == store.documents.chunks(added.id)[0].project_id
    assert store.documents.first(uri="a", project="Apollo") == added


def test_columns_given_with_the_same_text_are_taken(documents, store):
    first = documents.add_text(USE, uri="a", title="old", tags=["x"], url="https://a.example")
    again = documents.add_text(USE, uri="a", title="new", actor="ann", note="renamed")
    assert (again.title, again.tags, again.url, again.version) == ("new", ["x"], "https://a.example", 2)
    assert [chunk.version for chunk in documents.chunks(first.id)] == [1]
    (event,) = store.audit.history("document", first.id)
    assert (event.event_type, event.before, event.after) == ("document.update", {"title": "old"}, {"title": "new"})
    assert (event.actor, event.note) == ("ann", "renamed")


def test_nothing_is_a_document_without_chunks_and_blank_text_is_kept(documents):
    assert documents.chunks(documents.add_text("", uri="a").id) == []
    assert documents.text(documents.add_text("", uri="a").id) == ""
    for text in (" \n\t ", "\0", "a\0b", "\ufeffx", "\r\n\r\n", "e\u0301"):
        assert documents.text(documents.add_text(text, uri=repr(text)).id) == text


def test_an_id_is_kept_and_taken_once(documents):
    assert documents.add_text(USE, uri="a", id="d1", created_at=12.5).created_at == 12.5
    assert documents.add_text(USE, uri="a", id="d1").id == "d1"
    with pytest.raises(Exists, match="'d1'"):
        documents.add_text(HELP, uri="b", id="d1")
    assert documents.count() == 1


def test_sizes_are_the_callers(documents):
    text = "".join(f"Sentence number {number} says little. " for number in range(60))
    added = documents.add_text(text, chunk_size=200, overlap=40)
    chunks = documents.chunks(added.id)
    assert max(chunk.char_count for chunk in chunks) <= 200 < chunks[-1].end_char
    assert any(later.start_char < sooner.end_char for sooner, later in zip(chunks, chunks[1:]))
    assert documents.text(added.id) == text
    with pytest.raises(Invalid, match="overlap"):
        documents.add_text("x", chunk_size=100, overlap=90)


# -- changed ------------------------------------------------------------------------------------------------------------


def test_another_text_takes_the_place_of_the_chunks_and_unchanged_ones_stay(documents, store, store_clock):
    first = documents.add_text(INSTALL + USE + HELP, uri="a")
    before = ids(store, first)
    store_clock.advance(5)
    second = documents.add_text("# News\n\nNone yet.\n\n" + INSTALL + HELP, uri="a", actor="ann", note="rewritten")
    assert (second.id, second.version, second.ingested_at) == (first.id, 2, store_clock.now)
    after = ids(store, second)
    assert {content: after[content] for content in (INSTALL, HELP)} == {content: before[content] for content in (INSTALL, HELP)}
    assert before[USE] not in after.values()
    assert [(chunk.chunk_index, chunk.version) for chunk in documents.chunks(first.id)] == [(0, 1), (1, 1), (2, 1)]
    assert words(store, "archive", "ask", "news") == [1, 0, 1]
    with pytest.raises(NotFound):
        documents.get_chunk(before[USE])
    (event,) = store.audit.history("document", first.id)
    assert (event.event_type, event.actor, event.note) == ("document.update", "ann", "rewritten")
    assert (event.before["content_hash"], event.after["content_hash"]) == (first.content_hash, second.content_hash)
    assert (event.before["chunks"], event.after["chunks"]) == (3, 3)


def test_chunks_that_say_the_same_are_matched_in_their_order(documents, store):
    added = documents.add_text("", uri="a")
    one, two, three = documents.set_chunks(added.id, ["same", "same", "other"])
    again = documents.set_chunks(added.id, ["other", "same", "new", "same"])
    assert [chunk.id for chunk in again[:2]] == [three.id, one.id]
    assert again[3].id == two.id
    assert documents.set_chunks(added.id, ["same"])[0].id == one.id


def test_what_rests_on_a_chunk_that_is_gone_is_told(store):
    added = store.documents.add_text(INSTALL + USE, uri="a")
    chunks = ids(store, added)
    atoms = [store.knowledge.add_atom("claim", said, evidence=[{"chunk_id": chunks[said]}]) for said in (INSTALL, USE)]
    store.documents.add_text(INSTALL + HELP, uri="a")
    assert [store.knowledge.evidence(atom.id)[0].stale for atom in atoms] == [False, True]


def test_update_changes_columns_and_leaves_the_text(documents, store):
    first = documents.add_text(USE, uri="a", title="old", url="https://a.example", metadata={"a": 1})
    second = documents.update(first.id, title="new", url=None, tags=["B", "b "], expected_version=1, actor="ann", note="why")
    assert (second.title, second.url, second.tags, second.metadata, second.version) == ("new", None, ["b"], {"a": 1}, 2)
    assert documents.get(first.id) == second
    assert documents.update(first.id, title="new") == second
    (event,) = store.audit.history("document", first.id)
    assert (event.event_type, event.actor, event.note) == ("document.update", "ann", "why")
    assert event.before == {"title": "old", "url": "https://a.example", "tags": []}
    with pytest.raises(VersionConflict) as caught:
        documents.update(first.id, title="x", expected_version=1)
    assert caught.value.current == second
    assert words(store, "ask") == [1]


def test_a_document_moves_to_another_uri_unless_that_is_taken(documents):
    first, second = documents.add_text(USE, uri="a"), documents.add_text(USE, uri="b")
    with pytest.raises(Exists, match=second.id):
        documents.update(first.id, uri="b")
    documents.update(first.id, uri="c")
    assert documents.first(uri="c").id == first.id == documents.add_text(USE, uri="c").id
    assert documents.first(uri="a") is None
    documents.update(first.id, uri=None)
    assert documents.add_text(USE).id == first.id


def test_two_who_change_one_document_both_count(documents):
    added = documents.add_text(USE, uri="a")
    documents.add_text(HELP, uri="a")
    with pytest.raises(VersionConflict):
        documents.update(added.id, title="x", expected_version=added.version)


# -- hidden and brought back --------------------------------------------------------------------------------------------


def test_a_removed_document_is_hidden_and_comes_back_when_it_is_added_again(documents, store):
    first = documents.add_text(INSTALL + USE, uri="a")
    chunks = ids(store, first)
    assert documents.remove(first.id, actor="ann", note="old")
    assert not documents.remove(first.id)
    hidden = documents.get(first.id)
    assert hidden.is_deleted and hidden.deleted_at is not None
    assert (documents.find(), documents.first(uri="a"), words(store, "archive")) == ([], None, [0])
    assert documents.find(include_deleted=True) == [hidden] == [documents.first(uri="a", include_deleted=True)]
    assert ids(store, first) == chunks
    back = documents.add_text(INSTALL + USE, uri="a", actor="bob", note="needed")
    assert (back.id, back.is_deleted, back.deleted_at, back.version) == (first.id, False, None, 3)
    assert (ids(store, back), words(store, "archive")) == (chunks, [1])
    assert events(store) == [("document.remove", "ann", "old"), ("document.restore", "bob", "needed")]


def test_it_comes_back_with_another_text_by_one_event(documents, store):
    first = documents.add_text(INSTALL + USE, uri="a")
    chunks = ids(store, first)
    documents.remove(first.id)
    documents.add_text(INSTALL + HELP, uri="a")
    assert ids(store, first)[INSTALL] == chunks[INSTALL]
    assert words(store, "archive", "ask", "again") == [1, 0, 1]
    _, event = store.audit.find(ascending=True)
    assert (event.event_type, event.before["is_deleted"], event.after["chunks"]) == ("document.restore", True, 2)


# -- found --------------------------------------------------------------------------------------------------------------


def test_documents_are_found_by_what_describes_them_newest_first(documents, store_clock):
    made = {}
    for name, columns in {
        "plain": {}, "title": {"title": "Das große LAMPEN-Buch"}, "url": {"url": "https://lampen.example"},
        "text": {"extra_text": "Lampen"},
        "ticket": {"ticket_id": "lampen-1"}, "path": {"file_path": "/srv/Lampen.txt"}, "git": {"git_repo": "org/lampen"},
        "name": {"display_name": "lampen"},
    }.items():  # fmt: skip
        store_clock.advance(1)
        made[name] = documents.add_text("Text über Lampen", uri=f"doc:{name}", **columns).id
    newest = [id for name, id in reversed(made.items()) if name != "plain"]
    assert [item.id for item in documents.find(query="lamPEN")] == newest
    assert [item.id for item in documents.find(query="GROSSE")] == [made["title"]]
    assert [item.id for item in documents.find(query="doc:plain")] == [made["plain"]]
    assert [item.id for item in documents.find(query="lampen", limit=2, before=newest[1])] == newest[2:4]
    assert documents.count(query="lampen") == 7
    assert [item.id for item in documents.search_metadata("lampen")] == newest[:5]
    with pytest.raises(NotFound):
        documents.find(before="nobody")


def test_a_search_of_metadata_goes_by_the_age_of_the_file(documents):
    old = documents.add_text("1", uri="x1", file_modified_at=10.0)
    new = documents.add_text("2", uri="x2", file_modified_at=20.0)
    older = documents.add_text("3", uri="x3", created_at=5.0)
    assert documents.search_metadata("x") == [new, old, older]
    assert documents.search_metadata(" ") == documents.search_metadata("", filters={}) == documents.search_metadata("", filters=[]) == []
    assert documents.search_metadata("", filters={"uri": "x2"}) == [new]


@pytest.mark.parametrize("encrypted", [False, True])
def test_filters_are_groups_of_which_one_must_hold(encrypted):
    with open_store(codec=Toy() if encrypted else None) as store:
        documents = store.documents
        git = documents.add_text("1", uri="1", source_type="git", git_repo="a/b", tags=["Code"], metadata={"team": "core", "n": 1}).id
        web = documents.add_text("2", uri="2", source_type="web", url="u", size_bytes=7, metadata={"team": "web", "n": True, "x": None}).id
        tagged = documents.add_text("3", uri="3", tags=["code", "x"], extra_json={"team": "core", "list": ["core"]}, analyzed=True).id
        for filters, expected in [
            (None, [git, web, tagged]), ({}, [git, web, tagged]), ([], [git, web, tagged]),
            ({"source_type": "git"}, [git]), ({"source_type": ["git", "web"]}, [git, web]), ({"source_type": []}, []),
            ({"tags": "CODE"}, [git, tagged]), ({"tags": ["x", "y"]}, [tagged]),
            ({"git_repo": "a/b", "tags": "code"}, [git]), ({"git_repo": "a/b", "tags": "x"}, []),
            ([{"git_repo": "a/b"}, {"url": "u"}], [git, web]), ([{"git_repo": "a/b"}, {}], [git, web, tagged]),
            ({"url": None}, [git, tagged]), ({"url": [None, "u"]}, [git, web, tagged]),
            ({"metadata.team": "core"}, [git]), ({"extra_json.team": "core"}, [tagged]), ({"metadata.team": ["core", "web"]}, [git, web]),
            ({"metadata.n": 1}, [git, web]), ({"metadata.x": None}, [web]), ({"extra_json.list": "core"}, []), ({"metadata.none": 1}, []),
            ({"size_bytes": 7}, [web]), ({"analyzed": True}, [tagged]), ({"id": [git, web]}, [git, web]),
            ({"uri": ["2", "3"]}, [web, tagged]),
        ]:  # fmt: skip
            assert sorted(item.id for item in documents.find(filters=filters)) == expected, filters
            assert documents.count(filters=filters) == len(expected)
        assert [item.id for item in documents.find(tags=["code", "x"], source_type="unknown")] == [tagged]
        assert [item.id for item in documents.find(query="A/B")] == [git]


@pytest.mark.parametrize(
    "filters", ["git", 7, [7], ["git"], {"source_typ": "git"}, {"metadata": {}}, {"project_id": "p"}, {"metadata.a": [[1]]}, {7: 1},
                {"title": None}, {"size_bytes": "7"}, {"metadata.a": float("nan")}, {"metadata.": None}, {"metadata.a": 2**63}],
)  # fmt: skip
def test_a_filter_that_nothing_could_meet_is_refused(documents, filters):
    with pytest.raises(Invalid):
        documents.find(filters=filters)


def test_first_wants_one_thing_to_look_for(documents):
    added = documents.add_text(USE)
    assert documents.first(content_hash=added.content_hash) == added
    for asked in ({}, {"uri": "a", "content_hash": "b"}):
        with pytest.raises(Invalid, match="either"):
            documents.first(**asked)


def test_what_is_not_there_is_not_found(documents):
    added = documents.add_text(USE)
    for ask in (documents.get, documents.chunks, documents.text, documents.get_chunk, documents.remove, documents.update):
        with pytest.raises(NotFound, match="find|chunks"):
            ask(added.id[:-1])
    with pytest.raises(NotFound):
        documents.set_chunks("nobody", ["x"])


# -- chunks made by hand ------------------------------------------------------------------------------------------------


def test_chunks_made_by_hand_keep_ids_and_lose_stale_tails(documents, store):
    added = documents.add_text("", uri="a", content_hash="their own", id="d1")
    made = documents.set_chunks("d1", [{"content": "alpha", "id": "c1"}, {"content": "beta", "id": "c2", "metadata": {"p": 1}}, "gamma"])
    assert [chunk.id for chunk in made[:2]] == ["c1", "c2"]
    assert events(store) == []
    again = documents.set_chunks("d1", ["alpha", {"content": "beta", "id": "c2"}], actor="ann", note="shorter")
    assert [(chunk.id, chunk.content, chunk.metadata) for chunk in again] == [("c1", "alpha", None), ("c2", "beta", None)]
    assert words(store, "alpha", "gamma") == [1, 0]
    assert events(store) == [("document.update", "ann", "shorter")]
    version = documents.get("d1").version
    assert documents.set_chunks("d1", ["alpha", "beta"]) == again
    assert (documents.get("d1").version, len(events(store))) == (version, 1)
    assert documents.add_text("", uri="a", content_hash="their own").id == added.id
    assert documents.chunks("d1") == again


def test_an_id_whose_chunk_says_something_else_now_is_a_new_chunk_under_it(documents, store):
    documents.add_text("", id="d1")
    documents.set_chunks("d1", [{"content": "alpha", "id": "c1"}])
    documents.annotate("c1", "note")
    (chunk,) = documents.set_chunks("d1", [{"content": "beta", "id": "c1"}])
    assert (chunk.id, chunk.content, chunk.version) == ("c1", "beta", 2)
    assert documents.annotations(chunk_id="c1") == []
    assert words(store, "alpha", "beta") == [0, 1]


@pytest.mark.parametrize(
    ("chunks", "told"),
    [("text", "list"), (None, "list"), ([7], "content"), ([{}], "content"), ([{"content": "a", "contents": "b"}], "contents"),
     ([{"content": "a", "id": "x"}, {"content": "b", "id": "x"}], "twice"),
     ([{"content": "abc", "start_char": 0, "end_char": 2}], "3 char"),
     ([{"content": "abc", "start_char": 0}], "both"), ([{"content": "abc", "embedding": [1.0]}], "model=")],
)  # fmt: skip
def test_chunks_that_make_no_sense_are_refused(documents, store, chunks, told):
    documents.add_text(USE, id="d1")
    before = everything(store)
    with pytest.raises(Invalid, match=told):
        documents.set_chunks("d1", chunks)
    assert everything(store) == before


def test_a_chunk_of_another_document_is_not_taken_over(documents, store):
    documents.set_chunks(documents.add_text("1", id="d1").id, [{"content": "alpha", "id": "c1"}])
    documents.add_text("2", id="d2")
    before = everything(store)
    with pytest.raises(Exists, match="c1"):
        documents.set_chunks("d2", ["x", {"content": "alpha", "id": "c1"}])
    assert everything(store) == before


def test_a_hidden_document_gets_no_chunks(documents):
    documents.remove(documents.add_text(USE, id="d1").id)
    with pytest.raises(Invalid, match="removed"):
        documents.set_chunks("d1", ["x"])


def test_chunks_that_leave_something_out_are_no_text(documents):
    documents.add_text("", id="d1")
    documents.set_chunks("d1", [{"content": "abc", "start_char": 0, "end_char": 3}, {"content": "cde", "start_char": 2, "end_char": 5}])
    assert documents.text("d1") == "abcde"
    for chunks in (["abc"], [{"content": "abc", "start_char": 1, "end_char": 4}]):
        documents.set_chunks("d1", chunks)
        with pytest.raises(Invalid, match="not all of its text"):
            documents.text("d1")


# -- chunks by hand, and the text again ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks",
    [
        ["something else"],
        [],
        [{"content": USE[:5], "start_char": 0, "end_char": 5}],
        [{"content": USE, "start_char": 1, "end_char": 1 + len(USE)}],
        [{"content": "x" * len(USE), "start_char": 0, "end_char": len(USE)}],
    ],
)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_text_whose_chunks_say_something_else_by_now_comes_in_again(chunks, sealed):
    with open_store(codec=Toy() if sealed else None) as store:
        added = store.documents.add_text(USE, uri="a")
        store.documents.set_chunks(added.id, chunks)
        again = store.documents.add_text(USE, uri="a")
        assert again.id == added.id and again.version > added.version
        assert store.documents.text(added.id) == USE and words(store, "open", "else") == [1, 0]
        assert store.documents.add_text(USE, uri="a", chunk_size=10) == again


def test_chunks_made_by_hand_stay_where_no_text_is_added_or_its_hash_is_somebody_elses(documents):
    for text, given in (("", {}), ("the text", {"content_hash": "theirs"})):
        added = documents.add_text(text, uri=repr(text), **given)
        made = documents.set_chunks(added.id, ["by hand"])
        documents.add_text(text, uri=repr(text), **given)
        assert documents.chunks(added.id) == made


def test_a_text_is_not_given_back_where_its_chunks_contradict_one_another(documents):
    added = documents.add_text("", uri="a")
    first = {"content": "abcdef", "start_char": 0, "end_char": 6}
    for content, start in (("XXXghi", 3), ("X", 2), ("ghi", 7)):
        documents.set_chunks(added.id, [first, {"content": content, "start_char": start, "end_char": start + len(content)}])
        with pytest.raises(Invalid, match="two things at character" if start < 6 else "not all of its text"):
            documents.text(added.id)
    middle, end = {"content": "c", "start_char": 2, "end_char": 3}, {"content": "fg", "start_char": 5, "end_char": 7}
    documents.set_chunks(added.id, [first, middle, end])
    assert documents.text(added.id) == "abcdefg"


def test_what_has_lost_its_vectors_does_not_say_when_it_got_them(documents):
    added = documents.add_text("a", uri="a")
    documents.set_chunks(added.id, [{"content": "a", "embedding": [1.0, 0.0]}], model="m")
    assert documents.get(added.id).indexed_at is not None
    documents.add_text("b", uri="a")
    assert (documents.get(added.id).ingestion_status, documents.get(added.id).indexed_at) == ("pending", None)
