"""Searching documents: words and vectors as one list, what narrows it, and what happens where there are no vectors."""

from __future__ import annotations

import warnings

import pytest
from toy_codec import Toy

from memstore import Embedder, Invalid, ModelMismatch, open_store

AXES = ("lamp", "foot", "sail")
EAST, NORTH, UP = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def by_axis(texts):
    """A model that knows three things, and one more by nothing."""
    return [[0.1 + text.lower().count(axis) for axis in AXES] for text in texts]


AXIAL = Embedder("axial", by_axis)


def uris(hits):
    return [hit.document.uri for hit in hits]


@pytest.fixture
def told(store):
    """Four documents in a store without an embedder."""
    for uri, text in (
        ("a", "the lamp is on the table and the table is in the hall"),
        ("b", "a foot of duralumin under the lamp"),
        ("c", "the sail of the ship, seen from the hall"),
        ("d", "nothing of the kind"),
    ):
        store.documents.add_text(text, uri=uri, id=uri)
    return store


def chunk(store, uri):
    return store.documents.chunks(uri)[0].id


@pytest.fixture
def both(told):
    """The same with vectors."""
    told.vectors.add([(chunk(told, "a"), EAST), (chunk(told, "b"), NORTH), (chunk(told, "c"), (0.8, 0.6, 0.0))], model="m")
    return told


def test_words_find_chunks_best_first_between_0_and_1(told):
    hits = told.documents.search("table lamp")
    assert uris(hits) == ["a", "b"]
    assert hits[0].lexical == hits[0].score == 1.0 and 0 < hits[1].lexical == hits[1].score < 1
    assert {hit.semantic for hit in hits} == {None}
    assert hits[0].chunk == told.documents.get_chunk(hits[0].chunk.id) and hits[0].document == told.documents.get("a")


def test_both_sides_are_weighed_and_what_one_has_not_found_counts_nothing_there(both):
    hits = {hit.document.uri: hit for hit in both.documents.search("table lamp", embedding=EAST, lexical_weight=0.4)}
    alone = {hit.document.uri: hit.lexical for hit in both.documents.search("table lamp")}
    assert hits.keys() == {"a", "b", "c"}
    assert {uri: hit.lexical for uri, hit in hits.items()} == {**alone, "c": 0.0}
    assert {uri: pytest.approx(hit.semantic) for uri, hit in hits.items()} == {"a": 1.0, "b": 0.0, "c": 0.8}
    for hit in hits.values():
        assert hit.score == pytest.approx(0.6 * hit.semantic + 0.4 * hit.lexical)


def test_other_words_than_those_of_the_question_may_be_looked_for(both):
    assert uris(both.documents.search("the table", keywords="sail duralumin")) == ["b", "c"]
    assert both.documents.search("the table", keywords=" ") == []
    (hit, *_) = both.documents.search("the table", keywords="", embedding=NORTH)
    assert (hit.document.uri, hit.lexical, hit.score) == ("b", None, pytest.approx(1.0))


def test_ranks_may_be_added_instead_of_scores(both):
    hits = both.documents.search("table lamp", embedding=NORTH, fusion="rrf")
    ranks = {"a": 1 / 61 + 1 / 63, "b": 1 / 62 + 1 / 61, "c": 1 / 62}
    assert {hit.document.uri: hit.score for hit in hits} == {uri: pytest.approx(score) for uri, score in ranks.items()}
    assert uris(hits) == sorted(ranks, key=ranks.get, reverse=True)


def test_equal_scores_are_in_the_order_of_ids(store):
    ids = [store.documents.chunks(store.documents.add_text("same words", uri=uri).id)[0].id for uri in "abcdef"]
    assert [hit.chunk.id for hit in store.documents.search("words")] == sorted(ids)
    assert [hit.chunk.id for hit in store.documents.search("words", limit=3)] == sorted(ids)[:3]


def test_a_side_that_weighs_nothing_is_not_asked(both):
    for hit in both.documents.search("table", embedding=NORTH, lexical_weight=0):
        assert hit.lexical is None and hit.score == hit.semantic
    (hit,) = both.documents.search("table", embedding=NORTH, lexical_weight=1)
    assert hit.semantic is None and hit.score == hit.lexical == 1.0


@pytest.mark.parametrize("query", ["", " \n", "?!", '"'])
def test_a_question_without_a_word_goes_by_its_vector_or_finds_nothing(both, query):
    assert both.documents.search(query) == []
    hits = both.documents.search(query, embedding=NORTH)
    assert uris(hits) == ["b", "c", "a"] and all(hit.lexical is None and hit.score == hit.semantic for hit in hits)


def test_nobody_has_to_name_the_only_model(both):
    assert uris(both.documents.search("", embedding=NORTH, limit=1)) == ["b"]
    both.vectors.add([(chunk(both, "d"), EAST)], model="n")
    with pytest.raises(Invalid, match=r"several models \(m, n\); name that of the embedding"):
        both.documents.search("", embedding=NORTH)
    with pytest.raises(Invalid, match="give both"):
        both.documents.search("", model="m")


@pytest.mark.parametrize("embedding", [[], [float("nan")], "abc", [0.0, 0.0], 7, {}])
@pytest.mark.parametrize("weight", [0.3, 1])
def test_a_bad_vector_is_refused_whether_it_is_used_or_not(store, embedding, weight):
    with pytest.raises(Invalid):
        store.documents.search("lamp", embedding=embedding, lexical_weight=weight)


@pytest.mark.parametrize(
    "given", [{"limit": -1}, {"lexical_weight": 1.5}, {"fusion": "sum"}, {"project": ""}, {"filters": 7}, {"model": 3}], ids=str
)
def test_what_makes_no_sense_is_refused(store, given):
    with pytest.raises(Invalid):
        store.documents.search("lamp", **given)


def test_the_embedder_is_asked_once_outside_of_any_transaction_and_only_where_there_are_vectors():
    asked = []

    def fn(texts):
        assert not store._database.in_transaction
        asked.append(list(texts))
        return by_axis(texts)

    with open_store(embedder=Embedder("axial", fn)) as store:
        assert store.documents.search("lamp") == [] and asked == []
        store.documents.add_text("the lamp", uri="a")
        store.documents.add_text("the sail", uri="b")
        asked.clear()
        assert [hit.semantic is None for hit in store.documents.search("a lamp")] == [False, False]
        store.documents.search("lamp", lexical_weight=1)
        store.documents.search("lamp", embedding=by_axis(["lamp"])[0])
        store.documents.search("")
        assert asked == [["a lamp"]]


def test_vectors_of_another_model_are_left_to_words_and_that_is_told_once(tmp_path):
    with open_store(tmp_path / "agent.db", embedder=AXIAL) as store:
        store.documents.add_text("the lamp", uri="a")
        store.documents.add_text("the sail", uri="b")
        with pytest.raises(ModelMismatch):
            store.vectors.nearest(EAST, model="other")
        assert len(store.documents.search("lamp")) == 2
    newer = Embedder("newer", lambda texts: [[*vector, 1.0] for vector in by_axis(texts)])
    with open_store(tmp_path / "agent.db", embedder=newer) as store:
        with pytest.warns(UserWarning, match=r"by their words alone: .*documents\.reembed\(fn, model='newer'\)") as caught:
            (hit,) = store.documents.search("lamp")
        assert hit.semantic is None and hit.score == hit.lexical == 1.0 and caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(store.documents.search("lamp")) == 1
            store.documents.reembed()
            assert [hit.semantic is None for hit in store.documents.search("lamp")] == [False, False]


def test_an_encrypted_store_goes_by_words_until_a_model_is_allowed():
    with open_store(codec=Toy(), embedder=AXIAL) as store:
        with pytest.warns(UserWarning, match="not allowed"):
            store.documents.add_text("the lamp", uri="a")
        assert [hit.semantic for hit in store.documents.search("lamp")] == [None]
        store.vectors.allow("axial")
        store.documents.reembed()
        assert [hit.semantic is None for hit in store.documents.search("lamp")] == [False]


def test_code_that_has_no_name_may_do_what_is_warned_of():
    with open_store(codec=Toy(), embedder=AXIAL) as store:
        exec("store.documents.add_text('the lamp')", {"__name__": None, "store": store})
        assert store.documents.count() == 1


# -- what narrows it ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["plain", "sealed", "no FTS5"])
def crowd(request, monkeypatch):
    """Thirty documents that say much about lamps, of which every tenth is in a corner that tests look into."""
    if request.param == "no FTS5":
        monkeypatch.setattr("memstore.documents.lexical.has_fts5", lambda connection: False)
    with open_store(codec=Toy() if request.param == "sealed" else None, embedder=AXIAL) as store:
        if request.param == "sealed":
            store.vectors.allow("axial")
        for number in range(30):
            corner = number % 10 == 9
            store.documents.add_text(
                f"lamp number {number}" if corner else f"lamp lamp lamp {number}",
                uri=f"u{number}",
                id=f"d{number}",
                project="corner" if corner else "room",
                user_id="ann" if corner else "bob",
                metadata={"corner": corner},
            )
        yield store


CORNER = ["u19", "u29", "u9"]


@pytest.mark.parametrize(
    "narrow",
    [
        {"project": "corner"},
        {"user_id": "ann"},
        {"filters": {"metadata.corner": True}},
        {"filters": [{"source_type": "x"}, {"uri": ["u9", "u19", "u29"]}]},
    ],
)
@pytest.mark.parametrize("given", [{}, {"lexical_weight": 0}, {"lexical_weight": 1}, {"fusion": "rrf"}])
def test_a_narrowed_search_fills_its_limit_from_what_is_left(crowd, narrow, given):
    assert sorted(uris(crowd.documents.search("lamp", limit=3, **narrow, **given))) == CORNER


@pytest.mark.parametrize("given", [{}, {"lexical_weight": 0}, {"lexical_weight": 1}])
def test_what_is_hidden_or_not_wanted_takes_no_place(crowd, given):
    others = [f"d{number}" for number in range(30) if number % 10 != 9]
    crowd.documents.select(others[1:], False, conversation_id="talk")
    assert sorted(uris(crowd.documents.search("lamp", limit=4, conversation_id="talk", **given))) == ["u0", *CORNER]
    assert len(crowd.documents.search("lamp", limit=4, conversation_id="other", **given)) == 4
    for id in others:
        crowd.documents.remove(id)
    assert sorted(uris(crowd.documents.search("lamp", limit=3, **given))) == CORNER
    assert sorted(uris(crowd.documents.search("lamp", limit=None, **given))) == CORNER


def test_what_is_nobodys_is_found_in_every_project_and_for_everybody(crowd):
    crowd.documents.add_text("lamp of all", uri="all")
    assert sorted(uris(crowd.documents.search("lamp", project="corner", user_id="ann", limit=None))) == sorted([*CORNER, "all"])
    assert uris(crowd.documents.search("lamp", project="elsewhere", user_id="eve", limit=None)) == ["all"]


def test_a_project_is_known_by_its_other_names(store):
    project = store.chat.create_project("house")
    store.chat.alias("house", "home")
    store.documents.add_text("lamp", uri="a", project=project.id)
    assert uris(store.documents.search("lamp", project="home")) == ["a"]
    assert uris(store.documents.search("lamp", project="office")) == []


# -- any text, anywhere -------------------------------------------------------------------------------------------------

NASTY = (
    '"', "a AND", "NEAR(a b", "a*", "-a", "{x}:y", "col:lamp", "^a", "(", "\0lamp\0", "😀", "\U000e0041", "'; DROP TABLE chunks",
    "%_", "\u0301",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "sealed", "no FTS5"])
def test_any_text_is_a_legal_question(kind, monkeypatch):
    if kind == "no FTS5":
        monkeypatch.setattr("memstore.documents.lexical.has_fts5", lambda connection: False)
    with open_store(codec=Toy() if kind == "sealed" else None) as store:
        store.documents.add_text("the lamp and col", uri="a")
        for query in (*NASTY, "lamp " * 200_000, "x" * 1_000_000, " ".join(map(str, range(30_000)))):
            assert uris(store.documents.search(query)) in ([], ["a"])
        assert uris(store.documents.search("\0lamp\0")) == ["a"]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("今天天气很好", "天气"),
        ("今天天气很好", "气"),
        ("東京タワーPython入門", "タワー"),
        ("東京タワーPython入門", "python"),
        ("ภาษาไทยง่ายนิดเดียว", "ไทย"),
        ("Ελλάδα", "ΕΛΛΆΔΑ"),
    ],
)
def test_scripts_without_spaces_are_found_by_their_parts(sealed, text, query):
    with open_store(codec=Toy() if sealed else None) as store:
        store.documents.add_text(text, uri="a")
        store.documents.add_text("something else 明日", uri="b")
        assert uris(store.documents.search(query)) == ["a"]


def test_the_snippet_shows_where_the_words_stand_together(store):
    text = "lamp. " + "word " * 60 + "the brass lamp burned oil through the night " + "word " * 60
    store.documents.add_text(text, uri="a", chunk_size=2000)
    (hit,) = store.documents.search("which lamp burned oil")
    assert "brass lamp burned oil" in hit.snippet and len(hit.snippet) <= 200 and hit.snippet[0] == hit.snippet[-1] == "…"


def test_a_changed_document_is_found_by_what_it_says_now(crowd):
    crowd.documents.add_text("the lighthouse", uri="u0", project="room", user_id="bob")
    assert uris(crowd.documents.search("lighthouse", lexical_weight=1)) == ["u0"]
    assert "u0" not in uris(crowd.documents.search("lamp", lexical_weight=1, limit=None))


def test_a_search_inside_a_transaction_sees_what_it_wrote_and_nothing_of_it_stays(file_store):
    room = file_store.documents
    room.add_text("first lamp", uri="a")
    assert uris(room.search("lamp lighthouse")) == ["a"]
    with pytest.raises(ZeroDivisionError), file_store.transaction():
        room.add_text("lamp and lighthouse", uri="b")
        assert uris(room.search("lighthouse lamp")) == ["b", "a"]
        raise ZeroDivisionError
    assert uris(room.search("lighthouse lamp")) == ["a"]


# -- how many are asked for ---------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(store):
    """Fills a document with chunks."""

    def fill(chunks, uri="u", **given):
        return store.documents.set_chunks(store.documents.add_text("", uri=uri).id, chunks, **given)

    return fill


@pytest.mark.parametrize("fusion", ["weighted", "rrf"])
@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_asked_for_is_the_head_of_what_more_would_be(sealed, fusion, rng):
    words = ["lamp", "foot", "sail", "hall", "table"]
    with open_store(codec=Toy() if sealed else None) as store:
        store.vectors.allow("m")
        chunks = [
            {"content": " ".join(rng.choices(words, k=rng.randint(1, 6))), "embedding": [rng.random() + 0.01, rng.random()]}
            for _ in range(120)
        ]
        store.documents.set_chunks(store.documents.add_text("", uri="u").id, chunks, model="m")
        for given in ({}, {"embedding": [1.0, 0.0]}, {"embedding": [1.0, 0.2], "lexical_weight": 0.0}):
            most = store.documents.search("lamp sail", limit=25, fusion=fusion, **given)
            for limit in (1, 2, 10, 24):
                assert store.documents.search("lamp sail", limit=limit, fusion=fusion, **given) == most[:limit]


def test_what_one_side_has_found_is_asked_of_the_other(store, shelf):
    """More chunks are near than are looked at, and more have the word: each side finds others."""
    near = [{"content": "lamp " + "word " * 60, "embedding": [1.0, 0.0], "id": f"near{number}"} for number in range(60)]
    told = [{"content": "lamp", "embedding": [0.9, 0.1], "id": f"told{number}"} for number in range(60)]
    shelf([*near, *told], model="m")
    hits = {hit.chunk.id[:4]: hit for hit in store.documents.search("lamp", embedding=[1.0, 0.0], limit=40)}
    hits |= {hit.chunk.id[:4]: hit for hit in store.documents.search("lamp", embedding=[1.0, 0.0], limit=50, lexical_weight=0.01)}
    assert hits["near"].semantic == 1.0 and 0 < hits["near"].lexical < 0.5
    hits = store.documents.search("lamp", embedding=[1.0, 0.0], limit=1)
    assert hits[0].chunk.id == "told0" and hits[0].lexical == 1.0 and hits[0].semantic == pytest.approx(0.9 / 0.82**0.5)


@pytest.mark.parametrize("fusion", ["weighted", "rrf"])
def test_equal_words_are_in_order_of_arrival_whatever_the_limit(store, shelf, fusion):
    shelf([{"content": "alpha one", "id": "zz"}, {"content": "alpha two", "id": "aa"}])
    found = [store.documents.search("alpha", limit=limit, fusion=fusion) for limit in (1, 2)]
    assert [[hit.chunk.id for hit in hits] for hits in found] == [["zz"], ["zz", "aa"]]


# -- what nobody hears of -----------------------------------------------------------------------------------------------


def test_vectors_of_hidden_documents_are_of_no_account_whatever_their_model(store, shelf):
    (kept,) = shelf([{"content": "alpha one", "embedding": [1.0, 0.0]}], model="m")
    (other,) = shelf([{"content": "alpha two", "embedding": [1.0, 0.0, 1.0]}], "v", model="n")
    store.documents.remove(other.document_id)
    for given in ({"model": "m"}, {}):
        (hit,) = store.documents.search("alpha", embedding=[1.0, 0.0], **given)
        assert (hit.chunk, hit.semantic) == (kept, 1.0)


def test_near_ones_are_looked_for_further_away_before_all_are_listed(store, shelf, monkeypatch):
    for uri in ("near", "far"):
        chunks = [{"content": uri, "embedding": [1.0, number / 1000 + (uri == "far")]} for number in range(70)]
        shelf(chunks, uri, model="m")
    listed = []
    monkeypatch.setattr("memstore.documents.search._visible", lambda *given: listed.append(given))
    (document,) = store.documents.find(query="near")
    for given in ({"filters": {"uri": "far"}}, {}):
        hits = store.documents.search("", embedding=[1.0, 0.0], limit=3, **given)
        assert hits[0].semantic == pytest.approx(1 / 2**0.5) if given else hits[0].semantic == 1.0
        assert len(hits) == 3
    store.documents.remove(document.id)
    assert uris(store.documents.search("", embedding=[1.0, 0.0], limit=2)) == ["far", "far"]
    assert listed == []


def test_a_filter_may_have_many_values_and_not_many_columns(store):
    store.documents.add_text("alpha", uri="u", metadata={"team": "red"})
    names = [f"x{number}" for number in range(3000)]
    for many in ({"uri": [*names, "u"]}, {"metadata.team": [*names, None, "red"]}, [{"uri": "x"}] * 499 + [{"uri": ["u", "v"]}]):
        assert uris(store.documents.search("alpha", filters=many)) == ["u"]
    assert store.documents.search("alpha", filters={"ticket_id": [*names]}) == []
    assert uris(store.documents.search("alpha", filters={"ticket_id": [None, *names]})) == ["u"]
    with pytest.raises(Invalid, match="asks for 501 columns in 501 dicts, and may for 500 in all"):
        store.documents.search("alpha", filters=[{"uri": "u"}] * 501)
