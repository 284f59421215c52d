"""Vectors of chunks: asked of the embedder before anything is written, since a model may take its time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..kernel import Invalid, values
from ..kernel.embedding import Fn, embedded
from ..kernel.subject import AMONG, listed
from .drafts import Draft, matched
from .library import Library, chunks_of, keys_of
from .removal import forsake, lost
from .tables import CHUNKS

BATCH = 64  # texts that a model is given at once
PAGE = 1000  # chunks that are looked at at once


class Embedding(Library):
    """The part of the documents room that gets chunks their vectors."""

    _warned = False  # that vectors are not allowed in this store

    @property
    def _model(self) -> str | None:
        return None if self._embedder is None else self._embedder.model

    def reembed(
        self, fn: Fn | None = None, *, model: str | None = None, progress: Callable[[int, int], object] | None = None
    ) -> int:
        """Give all chunks that have none of a model a vector of it, in the place of another model's, and return how many those were.

        `fn` turns a list of texts into as many vectors; it and `model` are the embedder's unless given. Each batch is written by a
        transaction of its own, so what was interrupted goes on where it stopped. `progress` is told how many chunks are done, and of
        how many. Vectors whose chunks are gone are taken out.
        """
        fn, model = self._asked_model(fn, model)
        values.listener("progress", progress)
        self._discard_lost()
        total = self.db.value("SELECT count(*) FROM chunks")
        done = given = last = 0
        while page := self.db.rows("SELECT pk, id FROM chunks WHERE pk > ? ORDER BY pk LIMIT ?", (last, PAGE)):
            last = values.onward(last, page[-1][0])
            lacking = self._vectors().lacking([id for _, id in page], model=model)
            for start in range(0, len(lacking), BATCH):
                given += self._embed_chunks(fn, model, lacking[start : start + BATCH])
            done += len(page)
            if progress is not None:
                progress(done, max(done, total))
        self._note_embedded(model)
        return given

    def _asked_model(self, fn: Fn | None, model: str | None) -> tuple[Fn, str]:
        embedder, model = self._embedder, values.optional(values.key, "model", model)
        if fn is not None and not callable(fn):
            raise Invalid(f"fn must be callable and turn a list of texts into vectors, not {type(fn).__name__}")
        if fn is not None and model is not None:
            return fn, model
        if embedder is None or (fn is not None) != (model is not None):
            raise Invalid("reembed() needs fn and model, or a store that was opened with embedder=Embedder(model, fn)")
        return embedder.fn, embedder.model

    def _discard_lost(self) -> None:
        """Let go of vectors whose chunks are gone: a search would find nothing there, and of another model they would stop it."""
        with self.db.read(snapshot=True) as connection:
            some = lost(self, connection)
        if some:
            with self.db.write() as connection:
                forsake(self, connection, lost(self, connection))

    def _embed_chunks(self, fn: Fn, model: str, ids: Sequence[str]) -> int:
        among = (listed(ids),)
        chunks = CHUNKS.find(self.db, f"WHERE id {AMONG} ORDER BY pk", among)
        vectors = embedded(fn, [chunk.content for chunk in chunks])
        with self.db.write() as connection:
            there = {id for (id,) in connection.rows(f"SELECT id FROM chunks WHERE id {AMONG}", among)}
            items = [(chunk.id, vector) for chunk, vector in zip(chunks, vectors, strict=True) if chunk.id in there]
            return self._vectors().add(items, model=model)

    def _note_embedded(self, model: str) -> None:
        """Say of each document whose chunks have all got their vectors that they have."""
        waiting = [id for (id,) in self.db.rows("SELECT id FROM documents WHERE ingestion_status <> 'embedded' ORDER BY pk")]
        for start in range(0, len(waiting), PAGE):
            with self.db.write() as connection:
                for id in waiting[start : start + PAGE]:
                    chunks = list(keys_of(connection, id))
                    if chunks and not self._vectors().lacking(chunks, model=model):
                        self._change(connection, self._known(connection, id), {"ingestion_status": "embedded", "indexed_at": self.db.now})

    def _fill(self, drafts: Sequence[Draft], document_id: str | None) -> None:
        """Ask the embedder for the vectors of those drafts that will have none, of equal ones once."""
        embedder = self._embedder
        if embedder is None or not drafts or not self._allowed(embedder.model):
            return
        with self.db.read(snapshot=True) as connection:
            old = [] if document_id is None else chunks_of(connection, document_id)
            found = matched(old, drafts, connection.cipher)
        lacking = {*self._vectors().lacking([chunk.id for chunk in old], model=embedder.model)} if old else set()
        staying = [chunk is not None and chunk.id not in lacking for chunk in found]
        wanting = [draft for draft, stays in zip(drafts, staying) if draft.embedding is None and not stays]
        texts = list(dict.fromkeys(draft.content for draft in wanting))
        vectors: dict[str, Any] = {}
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            vectors.update(zip(batch, embedded(embedder.fn, batch, embedder.dims), strict=True))
        for draft in wanting:
            draft.embedding = vectors[draft.content]

    def _allowed(self, model: str) -> bool:
        """Whether vectors of the embedder may be stored; says so once where they may not."""
        allowed = self.db.cipher is None or self._vectors().permits(model)
        if not allowed and not self._warned:
            self._warned = True
            warnings.warn(
                f"vectors of {model!r} are not allowed in this encrypted store, so chunks are found by their words alone;"
                f" store.vectors.allow({model!r}) lets vectors lie in it unencrypted",
                stacklevel=5,
            )
        return allowed
