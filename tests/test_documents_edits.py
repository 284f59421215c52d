"""A file is edited and comes in again: what it no longer says is found nowhere, by words, by meaning, in the open or encrypted."""

from __future__ import annotations

import zlib

import pytest
from toy_codec import Toy

from memstore import Embedder, open_store

OLD, NEW = "The zeppelin departs at seven.", "The airship leaves at eight."
TEXT = "# Timetable\n\n## Morning\n\n{}\n\n## Evening\n\nTrains run until midnight, and the buffet stays open.\n"
MODEL, DIMS = "toy", 64


def embed(texts):
    """Vectors in which the same words lie the same way."""
    vectors = []
    for text in texts:
        vector = [0.01] * DIMS
        for word in text.casefold().split():
            vector[zlib.crc32(word.encode()) % DIMS] += 1.0
        vectors.append(vector)
    return vectors


@pytest.fixture(params=["plain", "encrypted"])
def shelf(request, tmp_path):
    """A store, in the open or encrypted, and the file that it has taken in."""
    file, codec = tmp_path / "timetable.md", Toy() if request.param == "encrypted" else None
    file.write_text(TEXT.format(OLD), encoding="utf-8")
    with open_store(tmp_path / "agent.db", codec=codec, embedder=Embedder(MODEL, embed)) as store:
        if codec is not None:
            store.vectors.allow(MODEL)
        store.documents.add_files(file)
        yield store, file


def told(store):
    """All that anybody is told who asks for the old sentence."""
    chunks = {hit.id for hit in store.vectors.nearest(embed([OLD])[0], model=MODEL, kind="chunk", limit=10)}
    return {
        "search": [hit.chunk.content for hit in store.documents.search(OLD)],
        "words": [hit.chunk.content for hit in store.documents.search("zeppelin", lexical_weight=1.0)],
        "vectors": [store.documents.get_chunk(id).content for id in chunks],
        "context": [store.context(OLD).text],
        "keywords": [store.documents.get_chunk(hit.item_id).content for hit in store.keywords.search("zeppelin", kind="chunk")],
        "chunks": [chunk.content for document in store.documents.find() for chunk in store.documents.chunks(document.id)],
        "text": [store.documents.text(document.id) for document in store.documents.find()],
    }


def naming(word, said):
    return {place for place, texts in said.items() if any(word in text for text in texts)}


def test_what_was_edited_out_is_found_nowhere(shelf):
    store, file = shelf
    everywhere = {"search", "words", "vectors", "context", "chunks", "text"}
    assert everywhere <= naming("zeppelin", told(store))
    file.write_text(TEXT.format(NEW), encoding="utf-8")
    assert store.documents.add_files(file).changed == 1
    assert naming("zeppelin", told(store)) == set()
    assert naming("airship", {"search": [hit.chunk.content for hit in store.documents.search("airship")]}) == {"search"}


def test_what_was_not_edited_keeps_its_chunk_and_its_vector(shelf):
    store, file = shelf
    (document,) = store.documents.find()
    before = {chunk.content: chunk.id for chunk in store.documents.chunks(document.id)}
    file.write_text(TEXT.format(NEW), encoding="utf-8")
    store.documents.add_files(file)
    after = {chunk.content: chunk.id for chunk in store.documents.chunks(document.id)}
    assert {content for content in before if after.get(content) == before[content]} == {content for content in before if OLD not in content}
    assert store.vectors.count(kind="chunk") == len(after)


def test_a_file_that_is_gone_is_found_nowhere_and_comes_back(shelf):
    store, file = shelf
    text = file.read_text(encoding="utf-8")
    file.unlink()
    assert store.documents.add_files(file.parent, prune=True).removed == 1
    said = told(store)
    assert naming("zeppelin", {place: said[place] for place in ("search", "words", "context", "chunks", "text")}) == set()
    file.write_text(text, encoding="utf-8")
    store.documents.add_files(file.parent)
    assert {"search", "words", "vectors", "context"} <= naming("zeppelin", told(store))
