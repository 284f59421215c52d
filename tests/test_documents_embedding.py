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
        for wrong in ({"fn": model.answer}, {"model": "m3"}, {"fn": 7, "model": "m"}):
            with pytest.raises(Invalid):
                store.documents.reembed(**wrong)


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
