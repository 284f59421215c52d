"""Vectors of chunks: asked of the embedder when texts come in, kept with what stays, and made up for later."""

from __future__ import annotations

import hashlib
import warnings

import pytest
from toy_codec import Toy

from memstore import Embedder, Invalid, open_store

TEXT = "# A\n\nalpha\n\n# B\n\nbeta\n\n# A\n\nalpha\n\n"


def vector(text):
    return [byte + 1.0 for byte in hashlib.sha256(text.encode()).digest()[:8]]


class Model:
    """An embedder that notes what it was asked."""

    def __init__(self, name="m1"):
        self.asked = []
        self.store = None
        self.embedder = Embedder(name, self.answer, dims=8)

    def answer(self, texts):
        assert self.store is None or not self.store._database.in_transaction
        self.asked += texts
        return [vector(text) for text in texts]


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def store(model):
    with open_store(embedder=model.embedder) as opened:
        model.store = opened
        yield opened


def has(store, document, model="m1"):
    """For each chunk of a document whether it has its own vector of a model."""
    chunks = store.documents.chunks(document.id)
    lacking = store.vectors.lacking([chunk.id for chunk in chunks], model=model)
    return [chunk.id not in lacking and list(store.vectors.get(chunk.id).values) == vector(chunk.content) for chunk in chunks]


def test_each_text_is_embedded_once_and_outside_of_a_transaction(store, model):
    added = store.documents.add_text(TEXT, uri="a")
    assert model.asked == ["# A\n\nalpha\n\n", "# B\n\nbeta\n\n"]
    assert has(store, added) == [True, True, True]
    assert (added.ingestion_status, added.indexed_at) == ("embedded", added.ingested_at)
    store.documents.add_text(TEXT, uri="a", title="again")
    assert len(model.asked) == 2


def test_what_stays_keeps_its_vector_and_what_goes_loses_it(store, model):
    first = store.documents.add_text(TEXT, uri="a")
    model.asked.clear()
    second = store.documents.add_text("# C\n\ngamma\n\n# A\n\nalpha\n\n", uri="a")
    assert model.asked == ["# C\n\ngamma\n\n"]
    assert (has(store, second), second.ingestion_status, store.vectors.count()) == ([True, True], "embedded", 2)
    store.documents.remove(first.id)
    assert store.vectors.count() == 2
    assert store.documents.add_text("# A\n\nalpha\n\n", uri="a").ingestion_status == "embedded"
    assert store.vectors.count() == 1


def test_files_are_embedded_too(store, model, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.md").write_text(TEXT + name)
    store.documents.add_files(tmp_path)
    assert [has(store, item) for item in store.documents.find()] == [[True] * 3] * 2
    model.asked.clear()
    store.documents.add_files(tmp_path)
    assert model.asked == []


def test_chunks_made_by_hand_bring_vectors_or_get_them(store, model):
    added = store.documents.add_text("", uri="a")
    one, two = store.documents.set_chunks(added.id, [{"content": "alpha", "embedding": vector("alpha")}, "beta"])
    assert (model.asked, has(store, added), store.documents.get(added.id).ingestion_status) == (["beta"], [True, True], "embedded")
    store.documents.set_chunks(added.id, [{"content": "alpha", "embedding": [1.0] * 8}, "beta"])
    assert list(store.vectors.get(one.id, kind="chunk").values) == [1.0] * 8
    store.documents.set_chunks(added.id, [{"content": "alpha", "embedding": vector("alpha")}], model="m2")
    assert [(item.id, item.model) for item in [store.vectors.get(one.id, kind="chunk")]] == [(one.id, "m2")]


@pytest.mark.parametrize("answer", [[], [[1.0]], [[1.0] * 8] * 3, [[1.0] * 7] * 2, [[float("nan")] * 8] * 2])
def test_a_model_that_fails_leaves_nothing_behind(answer):
    with open_store(embedder=Embedder("m", lambda texts: answer, dims=8)) as store:
        with pytest.raises(Invalid):
            store.documents.add_text("# A\n\nalpha\n\n# B\n\nbeta", uri="a")
        assert store.documents.count() == 0


def test_reembed_goes_on_where_it_was_interrupted(store, model, monkeypatch):
    from memstore.documents import embedding

    monkeypatch.setattr(embedding, "BATCH", 1)
    added = store.documents.add_text(TEXT, uri="a")
    calls = []

    def failing(texts):
        calls.append(texts)
        if len(calls) == 2:
            raise OSError("the model is away")
        return [vector(text) for text in texts]

    with pytest.raises(OSError, match="away"):
        store.documents.reembed(failing, model="m2")
    assert has(store, added, "m2") == [True, False, False]
    told = []
    assert store.documents.reembed(failing, model="m2", progress=lambda done, total: told.append((done, total))) == 2
    assert (has(store, added, "m2"), told) == ([True] * 3, [(3, 3)])
    assert store.documents.reembed(failing, model="m2") == 0
    assert len(calls) == 4


def test_what_came_in_without_a_model_is_made_up_for(tmp_path, model):
    with open_store(tmp_path / "agent.db") as store:
        added = store.documents.add_text(TEXT, uri="a")
        hidden = store.documents.add_text("hidden", uri="b")
        store.documents.remove(hidden.id)
        assert added.ingestion_status == "pending"
        with pytest.raises(Invalid, match="embedder"):
            store.documents.reembed()
    with open_store(tmp_path / "agent.db", embedder=model.embedder) as store:
        assert store.documents.reembed() == 4
        now = store.documents.get(added.id)
        assert (now.ingestion_status, now.indexed_at is None) == ("embedded", False)
        assert has(store, added) == [True] * 3 and has(store, hidden) == [True]
        assert store.documents.reembed(model.answer) == store.documents.reembed(model="m1") == 0
        for wrong in ({"model": "m3"}, {"fn": 7, "model": "m"}):
            with pytest.raises(Invalid):
                store.documents.reembed(**wrong)


def test_a_search_says_once_that_nothing_has_a_vector_though_there_is_an_embedder(tmp_path, model):
    with open_store(tmp_path / "agent.db") as store:
        store.documents.add_text(TEXT, uri="a")
        with pytest.raises(Invalid, match="embedder"):
            store.documents.reembed(model.answer)
    with open_store(tmp_path / "agent.db", embedder=model.embedder) as store:
        with pytest.warns(UserWarning, match="no chunk has a vector yet.*reembed"):
            (hit,) = store.documents.search("beta")
        assert (hit.semantic, model.asked) == (None, [])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert store.documents.search("beta") == [hit]
            store.documents.reembed()
            assert store.documents.search("beta", limit=1)[0].semantic is not None


def test_an_encrypted_store_gets_no_vectors_unless_they_are_allowed(model):
    with open_store(codec=Toy(), embedder=model.embedder) as store:
        with pytest.warns(UserWarning, match="allow"):
            first = store.documents.add_text(TEXT, uri="a")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            store.documents.add_text("more", uri="b")
        assert (model.asked, first.ingestion_status) == ([], "pending")
        store.vectors.allow("m1")
        assert store.documents.add_text("still more", uri="c").ingestion_status == "embedded"
        assert store.documents.reembed() == 4


# -- what has no direction ----------------------------------------------------------------------------------------------


class Counter(Model):
    """An embedder that counts four words, so that most texts have no direction for it."""

    def answer(self, texts):
        self.asked += texts
        return [[float(text.count(word)) for word in ("alpha", "beta", "gamma", "delta")] for text in texts]


@pytest.fixture
def counter():
    counter = Counter("words")
    counter.embedder = Embedder("words", counter.answer)
    return counter


def test_what_is_blank_or_has_no_direction_is_found_by_its_words_and_blocks_nothing(counter, tmp_path):
    for name, text in {"a.md": "alpha", "blank.md": " \n\n", "empty.md": "", "z.md": "zebras"}.items():
        (tmp_path / name).write_text(text)
    with open_store(embedder=counter.embedder) as store:
        assert store.documents.add_files(tmp_path).added == 4
        assert (counter.asked, store.vectors.count()) == (["alpha", "zebras"], 1)
        assert {item.ingestion_status for item in store.documents.find()} == {"embedded"}
        assert [hit.chunk.content for hit in store.documents.search("zebras")] == ["zebras"]  # as a question it has none either
        assert store.documents.add_text("alpha\n\n" + "zebras " * 200, uri="b").ingestion_status == "embedded"
        zebras = store.documents.first(uri=(tmp_path / "z.md").resolve().as_posix())
        assert store.documents.set_chunks(zebras.id, ["zebras", "  "])[0].content == "zebras"
        assert store.documents.get(zebras.id).ingestion_status == "embedded"


def test_reembed_ends_also_while_others_add(store):
    store.documents.add_text("first", uri="u")
    calls = []

    def slow(texts):
        calls.append(texts)
        store.documents.add_text(f"another {len(calls)}", uri=f"u{len(calls)}")
        assert len(calls) < 9, "this goes on for ever"
        return [[1.0, 2.0] for _ in texts]

    assert (store.documents.reembed(slow, model="m"), calls) == (1, [["first"]])
    assert store.documents.reembed() == 1 and store.vectors.models()[0].vectors == 2


@pytest.mark.parametrize("room", ["documents", "vectors"])
def test_reembed_leaves_no_vector_of_another_model_where_there_is_none_of_this(counter, store, model, room):
    store.documents.add_text("alpha", uri="a", title="A")
    other = store.documents.add_text("zebras", uri="b")
    blank = store.documents.add_text("", uri="c")
    store.documents.set_chunks(blank.id, [{"content": " ", "embedding": [1.0] * 8}])
    assert store.vectors.count() == 3
    done = getattr(store, room).reembed(counter.answer, model="words")
    assert (done if room == "documents" else done.vectors) == 1
    assert (store.vectors.count(), counter.asked) == (1, ["alpha", "zebras"])
    assert [hit.score for hit in store.vectors.nearest([1.0, 0.0, 0.0, 0.0], model="words")] == [1.0]
    assert store.documents.get(other.id).ingestion_status == "embedded"
    assert store.documents.reembed(counter.answer, model="words") == 0


def test_what_came_in_without_an_embedder_is_done_after_one_reembed(counter, tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        ids = [store.documents.add_text(text).id for text in ("alpha", "zebras", " ")]
    with open_store(tmp_path / "agent.db", embedder=counter.embedder) as store:
        assert store.documents.reembed() == 1
        assert [store.documents.get(id).ingestion_status for id in ids] == ["embedded"] * 3


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([float("nan")] * 8, r"\[0\] is nan"), ([1.0] * 7, "has 7 dimensions, and vectors of 'm' have 8"),
        ("text", " must be a sequence of numbers"), ([1e300] + [0.0] * 7, "beyond the range of a float32"),
    ],
)  # fmt: skip
def test_a_vector_that_cannot_be_used_is_named_by_its_document_and_chunk(wrong, why):
    def answer(texts):
        return [wrong if "beta" in text else [1.0] * 8 for text in texts]

    with open_store(embedder=Embedder("m", answer)) as store:
        with pytest.raises(Invalid, match=f"the vector of chunk 1 of 'notes/a.md'.*{why}"):
            store.documents.add_text(TEXT, uri="notes/a.md")
        assert store.documents.count() == 0
    with open_store() as store:
        item = store.documents.add_text(TEXT, uri="notes/a.md")
        with pytest.raises(Invalid, match=f"the vector of chunk 1 of 'notes/a.md'.*{why}"):
            store.documents.reembed(answer, model="m")
        with pytest.raises(Invalid, match="the vector of chunk '"):
            store.documents.set_chunks(item.id, [{"content": TEXT, "embedding": [1.0] * 8}], model="other")
            store.vectors.reembed(lambda texts: [[float("nan")] * 8], model="m")


def test_an_embedding_of_another_length_is_refused_with_both_lengths(store):
    store.documents.add_text("alpha", uri="a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in (store.documents.search, store.context):
            with pytest.raises(Invalid, match="embedding has 3 dimensions, and vectors of 'm1' have 8"):
                ask("alpha", embedding=[1.0, 0.0, 0.0])
    with pytest.warns(UserWarning, match="words alone"):
        (hit,) = store.documents.search("alpha", embedding=[1.0, 0.0, 0.0], model="m2")
    assert hit.semantic is None


@pytest.mark.parametrize("wrong", [(3, len), ("m", 4), ("", len), ("m", len, 0), ("m", len, "8"), ("m", len, True)])
def test_an_embedder_that_is_none_is_refused_when_it_is_made(wrong):
    with pytest.raises(Invalid, match=r"^(model|fn|dims)\b"):
        Embedder(*wrong)
