"""Vectors of chunks. A model may be slow, so it is asked before the transaction begins."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..kernel import Invalid, values
from ..kernel.embedding import Fn, embedded
from ..kernel.rows import AMONG, listed
from .drafts import Draft, matched
from .library import Library, chunks_of, keys_of
from .removal import forsake, lost
from .tables import CHUNKS, DOCUMENTS

PACKAGE = __name__.removesuffix("documents.embedding")
BATCH = 64  # texts that a model is given at once
PAGE = 1000  # chunks that are looked at at once


class Embedding(Library):
    """The part of the documents room that embeds chunks."""

    @property
    def _model(self) -> str | None:
        return None if self._embedder is None else self._embedder.model

    def reembed(
        self, fn: Fn | None = None, *, model: str | None = None, progress: Callable[[int, int], object] | None = None
    ) -> int:
        """Give every chunk that has no vector of a model one, in place of another model's, and return how many got one.

        `fn` turns a list of texts into as many vectors; it and `model` default to the embedder's. Each batch is a transaction of its own,
        so an interrupted call is finished by calling it again. Chunks that are blank, or of which the model makes only zeros, get no
        vector. Vectors of chunks that no longer exist are removed. `progress` is called with the chunks done and their total.
        """
        fn, model = self._asked_model(fn, model)
        values.listener("progress", progress)
        with self.db.read(snapshot=True) as connection:
            stray = lost(self, connection)
        # Up to there: what comes meanwhile must not keep this going for ever.
        ((total, end),) = self.db.rows("SELECT count(*), coalesce(max(pk), 0) FROM chunks")
        done = given = last = 0
        without: set[str] = set()
        while page := self.db.rows("SELECT pk, id FROM chunks WHERE pk > ? AND pk <= ? ORDER BY pk LIMIT ?", (last, end, PAGE)):
            last = values.onward(last, page[-1][0])
            lacking = self._vectors().lacking([id for _, id in page], model=model)
            for start in range(0, len(lacking), BATCH):
                batch = lacking[start : start + BATCH]
                got = self._embed_chunks(fn, model, batch, bool(stray))
                stray = []
                given += len(got)
                without |= {*batch} - got
            done += len(page)
            if progress is not None:
                progress(done, max(done, total))
        if stray:
            with self.db.write() as connection:
                forsake(self, connection, lost(self, connection))
        self._note_embedded(model, without)
        return given

    def _asked_model(self, fn: Fn | None, model: str | None) -> tuple[Fn, str]:
        embedder, model = self._embedder, values.optional(values.key, "model", model)
        if fn is not None and not callable(fn):
            raise Invalid(f"fn must be callable and turn a list of texts into vectors, not {type(fn).__name__}")
        if model is None:
            if embedder is None:
                raise Invalid("reembed() needs fn and model, or a store that was opened with embedder=Embedder(model, fn)")
            model = embedder.model
        if fn is None:
            if embedder is None or embedder.model != model:
                raise Invalid(f"reembed() needs the fn of {values.shorten(model)}, which is not the model of the store's embedder")
            fn = embedder.fn
        return fn, model

    def _embed_chunks(self, fn: Fn, model: str, ids: Sequence[str], stray: bool) -> set[str]:
        """Replace the vectors of some chunks, take out those of chunks that are gone where there are `stray` ones; return who got one."""
        among = (listed(ids),)
        with self.db.read(snapshot=True) as connection:
            chunks = CHUNKS.find(connection, f"WHERE id {AMONG} ORDER BY pk", among)
            owners = DOCUMENTS.find(connection, f"WHERE id {AMONG}", (listed({chunk.document_id for chunk in chunks}),))
        names = {owner.id: owner.uri or owner.display_name for owner in owners}
        texts = {chunk.content: _named(chunk.chunk_index, names.get(chunk.document_id)) for chunk in chunks}
        vectors = self._vectors_of(texts, fn, model)
        with self.db.write() as connection:
            there = {id for (id,) in connection.rows(f"SELECT id FROM chunks WHERE id {AMONG}", among)}
            items = {chunk.id: vectors[chunk.content] for chunk in chunks if chunk.id in there and chunk.content in vectors}
            if stray:  # first: they may have other dimensions
                forsake(self, connection, lost(self, connection))
            self._vectors().discard(connection, "chunk", there - items.keys())
            self._vectors().add(items.items(), model=model)
        return {*items}

    def _note_embedded(self, model: str, without: set[str]) -> None:
        """Mark the documents as embedded of which no chunk lacks a vector, other than those `without` one for good."""
        waiting = [id for (id,) in self.db.rows("SELECT id FROM documents WHERE ingestion_status <> 'embedded' ORDER BY pk")]
        for start in range(0, len(waiting), PAGE):
            with self.db.write() as connection:
                for id in waiting[start : start + PAGE]:
                    chunks = [chunk for chunk in keys_of(connection, id) if chunk not in without]
                    if not self._vectors().lacking(chunks, model=model):
                        self._change(connection, self._known(connection, id), {"ingestion_status": "embedded", "indexed_at": self.db.now})

    def _fill(self, drafts: Sequence[Draft], document_id: str | None, name: str) -> None:
        """Ask the embedder for the vectors that drafts of a document lack, once for equal texts."""
        embedder = self._embedder
        if embedder is None or not drafts or not self._allowed(embedder.model):
            return
        with self.db.read(snapshot=True) as connection:
            old = [] if document_id is None else chunks_of(connection, document_id)
            found = matched(old, drafts, connection.cipher)
        lacking = {*self._vectors().lacking([chunk.id for chunk in old], model=embedder.model)} if old else set()
        staying = [chunk is not None and chunk.id not in lacking for chunk in found]
        wanting = {place: draft for place, draft in enumerate(drafts) if draft.embedding is None and not staying[place]}
        names = {draft.content: _named(place, name) for place, draft in wanting.items()}
        vectors = self._vectors_of(names, embedder.fn, embedder.model, embedder.dims)
        for draft in wanting.values():
            draft.embedding = vectors.get(draft.content)
            draft.unembedded = draft.embedding is None

    def _vectors_of(self, names: dict[str, str], fn: Fn, model: str, dims: int | None = None) -> dict[str, Any]:
        """The vectors of texts, each with a name for messages; texts that are blank or get a vector of zeros are left out."""
        texts = [text for text in names if text.strip()]
        found: dict[str, Any] = {}
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            for text, vector in zip(batch, embedded(fn, batch), strict=True):
                own = self._dimensions(names[text], vector, model, dims)
                if own:
                    found[text], dims = vector, own
        return found

    def _dimensions(self, name: str, vector: Any, model: str, dims: int | None) -> int:
        """The dimensions of a vector, 0 for one of zeros; Invalid where they are not those of the model's other vectors."""
        own = self._vectors().dimensions(name, vector)
        if own and dims not in (None, own):
            raise Invalid(f"{name} has {own:,} dimensions, and vectors of {values.shorten(model)} have {dims:,}")
        return own

    def _allowed(self, model: str) -> bool:
        """Whether vectors of a model may be stored; where they may not, a warning says so once."""
        allowed = self._vectors().permits(model)
        if not allowed:
            because = f"vectors of {model!r} are not allowed in this encrypted store, so chunks are found by their words alone"
            self._warn_once("ban", f"{because}; store.vectors.allow({model!r}) lets vectors lie in it unencrypted")
        return allowed

    def _warn_once(self, of: str, message: str) -> None:
        """Warn where the package was called from, unless that was done."""
        if of in self._warned:
            return
        self._warned.add(of)
        level, frame = 1, sys._getframe()
        while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(PACKAGE):
            level, frame = level + 1, frame.f_back
        warnings.warn(message, stacklevel=level)


def _named(place: int, document: str | None) -> str:
    """The name of a chunk's vector in a message."""
    return f"the vector of chunk {place} of {values.shorten(document, 200)}"
