"""Every column of documents and chunks of Archi, AtoCore and Aira goes in by a public method, and comes out of records and exports."""

from __future__ import annotations

import pytest
from toy_codec import Toy

from memstore import open_store

#: Columns as those systems name them, and under which name they are kept here.
ARCHI_DOCUMENTS = {
    "resource_hash": ("content_hash", "f00d"), "file_path": ("file_path", "/srv/guide.md"), "display_name": ("display_name", "Größe 測る"),
    "source_type": ("source_type", "git"), "url": ("url", "https://a.example"), "ticket_id": ("ticket_id", "T-7"),
    "git_repo": ("git_repo", "org/repo"), "git_commit": ("git_commit", "abc123"), "suffix": ("suffix", ".md"),
    "size_bytes": ("size_bytes", 0), "mime_type": ("mime_type", "text/markdown"), "original_path": ("original_path", "/home/a"),
    "base_path": ("base_path", "/srv"), "relative_path": ("relative_path", "guide.md"), "extra_json": ("extra_json", {"k": [1, None]}),
    "extra_text": ("extra_text", "said beside"), "file_modified_at": ("file_modified_at", 1.5), "ingested_at": ("ingested_at", 2.5),
    "indexed_at": ("indexed_at", 3.5), "created_at": ("created_at", 4.5), "ingestion_status": ("ingestion_status", "failed"),
}  # fmt: skip
ATOCORE_SOURCE_DOCUMENTS = {
    "id": ("id", "doc-1"), "file_path": ("uri", "notes/a.md"), "file_hash": ("content_hash", "beef"), "title": ("title", "Notes"),
    "doc_type": ("source_type", "markdown"), "tags": ("tags", ["a", "b"]), "ingested_at": ("ingested_at", 5.5),
    "updated_at": ("updated_at", 6.5),
}  # fmt: skip
AIRA_SOURCES = {
    "id": ("id", "src-1"), "type": ("source_type", "interview"), "title": ("title", "Ada"), "analyzed": ("analyzed", True),
    "content_hash": ("content_hash", "cafe"), "content_type": ("mime_type", "text/plain"), "storage_uri": ("storage_uri", "s3://b/k"),
    "last_analyzed_at": ("last_analyzed_at", 6.5),
}  # fmt: skip
ARCHI_CHUNKS = {
    "chunk_text": ("content", "first piece"), "start_char": ("start_char", 0), "end_char": ("end_char", 11),
    "metadata": ("metadata", {"page": 1}), "created_at": ("created_at", 7.5),
}  # fmt: skip
ATOCORE_SOURCE_CHUNKS = {
    "id": ("id", "chunk-1"), "content": ("content", "piece"), "heading_path": ("heading_path", "A > B"), "metadata": ("metadata", {}),
    "created_at": ("created_at", 8.5),
}  # fmt: skip
AIRA_SOURCE_CHUNKS = {
    "id": ("id", "chunk-2"), "sanitized_hash": ("sanitized_hash", "d00d"), "anchor_type": ("anchor_type", "line"),
    "anchor_start": ("anchor_start", 3), "anchor_end": ("anchor_end", 9), "text_payload": ("content", "payload"),
    "token_count": ("token_count", 0),
}  # fmt: skip


def columns(seed):
    return dict(seed.values())


def shown(item, seed):
    return {name: getattr(item, name) for name, _ in seed.values()}


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def both(request, tmp_path):
    """A store, and what asks it and a store that has taken in its export."""
    codec = Toy() if request.param else None
    with open_store(codec=codec) as store:

        def everywhere():
            yield store
            store.export(tmp_path / "out")
            with open_store(codec=codec) as copy:
                copy.import_(tmp_path / "out")
                yield copy

        yield store, everywhere


@pytest.mark.parametrize("seed", [ARCHI_DOCUMENTS, ATOCORE_SOURCE_DOCUMENTS, AIRA_SOURCES], ids=["archi", "atocore", "aira"])
def test_every_column_of_a_document(both, seed):
    store, everywhere = both
    added = store.documents.add_text("its text", project="p", **columns(seed))
    for each in everywhere():
        stored = each.documents.get(added.id)
        assert shown(stored, seed) == columns(seed)
        assert (stored.project_id, each.documents.text(added.id)) == ("p", "its text")


def test_a_document_that_is_hidden_stays_hidden_elsewhere(both):
    store, everywhere = both
    added = store.documents.add_text("its text")
    store.documents.remove(added.id)
    for each in everywhere():
        stored = each.documents.get(added.id)
        assert stored.is_deleted and stored.deleted_at is not None and stored.updated_at == stored.deleted_at


@pytest.mark.parametrize("seed", [ARCHI_CHUNKS, ATOCORE_SOURCE_CHUNKS, AIRA_SOURCE_CHUNKS], ids=["archi", "atocore", "aira"])
def test_every_column_of_a_chunk(both, seed):
    store, everywhere = both
    owner = store.documents.add_text("", uri="a", project="p")
    chunk, _ = store.documents.set_chunks(owner.id, [columns(seed), "another"], updated_at=owner.updated_at)
    assert store.documents.get(owner.id).updated_at == owner.updated_at
    for each in everywhere():
        stored = each.documents.get_chunk(chunk.id)
        assert shown(stored, seed) == columns(seed)
        assert (stored.document_id, stored.project_id, stored.chunk_index) == (owner.id, "p", 0)
        assert (stored.char_count, stored) == (len(stored.content), chunk if each is store else stored)


def test_what_update_takes_is_what_add_text_takes(store):
    added = store.documents.add_text("its text", project="p", uri="a")
    given = {**columns(ARCHI_DOCUMENTS), **columns(ATOCORE_SOURCE_DOCUMENTS), **columns(AIRA_SOURCES), "metadata": {"a": 1}}
    given = {name: value for name, value in given.items() if name not in ("id", "created_at", "updated_at")}
    assert {name: getattr(store.documents.update(added.id, **given), name) for name in given} == given
    assert {name: getattr(store.documents.get(added.id), name) for name in given} == given
