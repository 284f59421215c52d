"""Replacing the chunks of a document, together with their words and vectors.

1. A chunk with the same content as one that the document had is that chunk: id and vector stay, wherever it stands now.
2. Other content is another chunk. The old one goes with its words and its vector, and evidence that rests on it is marked stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Invalid, new_id, values
from ..kernel.lifecycle import changed, log
from ..kernel.rows import refuse_taken
from ..kernel.words import text_key
from .annotating import Annotations
from .drafts import MOVING, Draft, made, matched
from .embedding import Embedding
from .library import chunks_of, keys_of
from .noticing import annotate_noticed
from .removal import forsake
from .tables import CHUNKS, Chunk, Document

if TYPE_CHECKING:
    from datetime import datetime

    from ..kernel import Connection

INSERT = f"INSERT INTO chunks(pk, document, {', '.join(CHUNKS.stored)}) VALUES (?, ?, {', '.join('?' * len(CHUNKS.stored))})"


class Fresh(NamedTuple):
    """A chunk that is about to be written, with the key of its document, and its vector or None."""

    document: int
    chunk: Chunk
    embedding: Any


class Outcome(NamedTuple):
    """What became of the chunks of a document: how many there were and are, which are yet to be written, and whether any changed."""

    before: int
    after: int
    fresh: list[Fresh]
    touched: bool
    embedded: bool  # whether each has a vector of the model


class Replacing(Annotations, Embedding):
    """The part of the documents room that writes chunks."""

    def set_chunks(
        self,
        document_id: str,
        chunks: Iterable[str | Mapping[str, Any]],
        *,
        model: str | None = None,
        updated_at: float | datetime | None = None,
        actor: str = "",
        note: str = "",
    ) -> list[Chunk]:
        """Replace the chunks of a document by these, in their order, and return them; those with the same content as before stay.

        Each is a text, or a dict with `content` and any of id, created_at, heading_path, start_char, end_char, anchor_type,
        anchor_start, anchor_end, token_count, sanitized_hash, metadata and `embedding`, a vector of `model`, by default the embedder's.
        A chunk that is given the id of one with other content replaces it. `updated_at` is set on the document.
        """
        at = values.optional(values.moment, "updated_at", updated_at)
        document_id, model = values.key("document_id", document_id), values.optional(values.key, "model", model)
        drafts = made(chunks)
        if model is None or model == self._model:
            model = self._model
            self._fill(drafts, document_id, document_id)
        if model is None and any(draft.embedding is not None for draft in drafts):
            raise Invalid("chunks have vectors; name the model= that made them")
        with self.db.write() as connection:
            old = self._known(connection, document_id)
            if old.is_deleted:
                raise Invalid(f"document {values.shorten(document_id)} was removed; add_text() brings it back")
            outcome = self._replace(connection, old, drafts, model)
            self._write(connection, outcome.fresh, model)
            if outcome.touched:
                self._rewrite(connection, old, self._progress(outcome.embedded) | ({} if at is None else {"updated_at": at}))
            if outcome.touched and outcome.before:
                before, after = {"chunks": outcome.before}, {"chunks": outcome.after}
                log(self._audit, "document", "update", old, before, after, actor=actor, note=note)
            return chunks_of(connection, document_id)

    def _replace(self, connection: Connection, owner: Document, drafts: Sequence[Draft], model: str | None) -> Outcome:
        """Replace the chunks of a document, but for writing the new ones, which `_write` does for many documents at once."""
        old, keys = chunks_of(connection, owner.id), keys_of(connection, owner.id)
        found = matched(old, drafts, connection.cipher)
        kept = {chunk.id for chunk in found if chunk is not None}
        gone = [chunk for chunk in old if chunk.id not in kept]
        self._drop(connection, gone, keys, hidden=owner.is_deleted)
        if owner.is_deleted:
            self._index.add(connection, [(keys[chunk.id], chunk.content) for chunk in old if chunk.id in kept], again=True)
        moved = self._move(connection, found, drafts, keys)
        again = [(chunk.id, draft.embedding) for chunk, draft in zip(found, drafts) if chunk is not None and draft.embedding is not None]
        if again and model is not None:
            self._vectors().add(again, model=model)
        pk = connection.value("SELECT pk FROM documents WHERE id = ?", (owner.id,))
        new = [(place, draft) for place, (chunk, draft) in enumerate(zip(found, drafts)) if chunk is None]
        fresh = [self._fresh(connection, owner, pk, place, draft) for place, draft in new]
        waiting = [None if chunk is None else chunk.id for chunk, draft in zip(found, drafts) if draft.lacks]
        known = [id for id in waiting if id is not None]
        lacks = model is None or len(known) < len(waiting) or bool(known and self._vectors().lacking(known, model=model))
        return Outcome(len(old), len(drafts), fresh, bool(gone or new or moved or again), not lacks)

    def _progress(self, embedded: bool) -> dict[str, Any]:
        """The columns that say how far a document is whose text was just added."""
        if embedded:
            return {"ingestion_status": "embedded", "indexed_at": self.db.now}
        return {"ingestion_status": "pending", "indexed_at": None}

    def _drop(self, connection: Connection, gone: Sequence[Chunk], keys: dict[str, int], *, hidden: bool) -> None:
        """Delete chunks with their words and vectors, and mark evidence that rests on them as stale."""
        if not gone:
            return
        ids = [chunk.id for chunk in gone]
        if not hidden:
            self._index.remove(connection, [(keys[chunk.id], chunk.content) for chunk in gone])
        connection.many("DELETE FROM chunks WHERE pk = ?", [(keys[id],) for id in ids])
        forsake(self, connection, ids)

    def _move(self, connection: Connection, found: Sequence[Chunk | None], drafts: Sequence[Draft], keys: dict[str, int]) -> bool:
        """Move the chunks that stay to their new places; return whether any changed."""
        now, moved = self.db.now, []
        for place, (chunk, draft) in enumerate(zip(found, drafts)):
            if chunk is None:
                continue
            new = replace(chunk, chunk_index=place, **{name: getattr(draft, name) for name in MOVING})
            if changed(chunk, new, ("chunk_index", *MOVING)):
                moved.append(replace(new, updated_at=now))
        # A place must be free before another chunk takes it.
        connection.many("UPDATE chunks SET chunk_index = -1 - pk WHERE pk = ?", [(keys[chunk.id],) for chunk in moved])
        for chunk in moved:
            CHUNKS.rewrite(connection, chunk)
        return bool(moved)

    def _fresh(self, connection: Connection, owner: Document, document: int, place: int, draft: Draft) -> Fresh:
        if draft.id is not None:
            refuse_taken(connection, CHUNKS, "a chunk", draft.id, "give another id, or none")
        born = self.db.now if draft.created_at is None else draft.created_at
        chunk = Chunk(
            id=new_id() if draft.id is None else draft.id,
            created_at=born,
            updated_at=born,
            document_id=owner.id,
            project_id=owner.project_id,
            chunk_index=place,
            content=draft.content,
            char_count=len(draft.content),
            chunk_hash=text_key(draft.content, connection.cipher),
            version=1 if draft.id is None else owner.version,  # which rises with each change: the id may have been another chunk's before
            **{name: getattr(draft, name) for name in MOVING},
        )
        return Fresh(document, chunk, draft.embedding)

    def _write(self, connection: Connection, fresh: Sequence[Fresh], model: str | None) -> None:
        """Write new chunks, of one document or many, with their words and vectors."""
        if not fresh:
            return
        # The keys that SQLite would give them: inside a transaction nobody else takes any.
        first = 1 + (connection.value("SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = 'chunks'") or 0)
        rows = [(pk, each.document, *CHUNKS.bound(connection, each.chunk)) for pk, each in enumerate(fresh, first)]
        connection.many(INSERT, rows)
        texts = [(pk, each.chunk.content) for pk, each in enumerate(fresh, first)]
        annotate_noticed(connection, self.db.now, texts)
        self._index.add(connection, texts)
        vectors = [(each.chunk.id, each.embedding) for each in fresh if each.embedding is not None]
        if vectors and model is not None:
            self._vectors().add(vectors, model=model)
