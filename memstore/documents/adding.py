"""Texts on their way in: their chunks are compared with those that are there, and written with words and vectors at once.

1. A chunk that says what one of its document's said before is that one: its id and its vector stay, wherever it stands now.
2. One that says something else is another one. What rested on the old one is told, and its words and vector go with it.
3. All that one call changes is one transaction; what takes long, cutting and a model's vectors, is done before it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, new_id, values
from ..kernel.lifecycle import changed, log, shown
from ..kernel.rows import refuse_taken
from ..kernel.words import text_key
from .annotating import Annotations
from .chunking import OVERLAP, SIZE
from .drafts import MOVING, Draft, cut, made, matched
from .embedding import Embedding
from .library import chunks_of, keys_of, texts_of
from .tables import CHECKS, CHUNKS, DOCUMENTS, Chunk, Document, IngestionStatus, uri_key

if TYPE_CHECKING:
    from datetime import datetime

    from ..kernel import Connection


@dataclass(slots=True)
class Arrival:
    """A document as it comes in."""

    project: str | None
    columns: dict[str, Any]
    drafts: list[Draft]


@dataclass(slots=True)
class Fresh:
    """A chunk that is to be written, into the document with a key; its words only where that is not hidden."""

    document: int
    chunk: Chunk


#: What `add_text` is given where nothing is said of a column; None for all others.
_UNSAID = {"title": "", "display_name": "", "source_type": "unknown", "tags": [], "extra_text": "", "analyzed": False}
_BORN = ("id", "created_at")  # only a new row takes them


class Adding(Annotations, Embedding):
    """The part of the documents room that takes texts in."""

    def add_text(
        self,
        text: str,
        *,
        uri: str | None = None,
        title: str = "",
        source_type: str = "unknown",
        project: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        chunk_size: int = SIZE,
        overlap: int = OVERLAP,
        display_name: str = "",
        conversation_id: str | None = None,
        content_hash: str | None = None,
        file_path: str | None = None,
        url: str | None = None,
        storage_uri: str | None = None,
        ticket_id: str | None = None,
        git_repo: str | None = None,
        git_commit: str | None = None,
        suffix: str | None = None,
        size_bytes: int | None = None,
        mime_type: str | None = None,
        original_path: str | None = None,
        base_path: str | None = None,
        relative_path: str | None = None,
        tags: Iterable[str] = (),
        extra_json: dict[str, Any] | None = None,
        extra_text: str = "",
        file_modified_at: float | datetime | None = None,
        ingested_at: float | datetime | None = None,
        indexed_at: float | datetime | None = None,
        ingestion_status: IngestionStatus | None = None,
        analyzed: bool = False,
        last_analyzed_at: float | datetime | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Document:
        """Store a text in chunks and return its document; of one uri, project and user there is one, without a uri one of this text.

        The same text again is that document as it is, with the columns that are given. Another text takes the place of its chunks, and
        those that say the same as before stay. A document that was removed comes back. The same: by `content_hash`, which is the
        SHA-256 of the text unless it is given. Chunks have at most `chunk_size` characters. A text of "" has none.
        """
        given = {
            "uri": uri, "title": title, "source_type": source_type, "user_id": user_id, "metadata": metadata,
            "display_name": display_name, "conversation_id": conversation_id, "file_path": file_path, "url": url,
            "storage_uri": storage_uri, "ticket_id": ticket_id, "git_repo": git_repo, "git_commit": git_commit, "suffix": suffix,
            "size_bytes": size_bytes, "mime_type": mime_type, "original_path": original_path, "base_path": base_path,
            "relative_path": relative_path, "tags": tags, "extra_json": extra_json, "extra_text": extra_text,
            "file_modified_at": file_modified_at, "ingested_at": ingested_at, "indexed_at": indexed_at, "analyzed": analyzed,
            "last_analyzed_at": last_analyzed_at, "id": id, "created_at": created_at,
        }  # fmt: skip
        item = self._arrival(text, project, given, content_hash, ingestion_status, chunk_size, overlap)
        return self._bring([item])[0][0]

    def _arrival(
        self, text: str, project: str | None, given: dict[str, Any], content_hash: str | None, status: str | None, size: int, overlap: int
    ) -> Arrival:
        """A document with all its columns checked, and its text cut."""
        text, columns = values.text("text", text), values.checked(CHECKS, given)
        columns["content_hash"] = text_key(text) if content_hash is None else CHECKS["content_hash"]("content_hash", content_hash)
        columns["ingestion_status"] = values.optional(CHECKS["ingestion_status"], "ingestion_status", status)
        drafts = cut(text, columns, size, overlap, self.db.cipher)
        return Arrival(values.optional(values.key, "project", project), columns, drafts)

    def _bring(self, items: Sequence[Arrival]) -> list[tuple[Document, Document | None]]:
        """Take documents in by one transaction, and return each as it is now and as it was."""
        if self._embedder is not None:
            for item in items:
                with self.db.read() as connection:
                    old = self._here(connection, item)
                if old is None or old.content_hash != item.columns["content_hash"]:
                    self._fill(item.drafts, None if old is None else old.id)
        with self.db.write() as connection:
            fresh: list[Fresh] = []
            found = [self._arrive(connection, item, fresh) for item in items]
            self._write(connection, fresh)
            return found

    def _here(self, connection: Connection, item: Arrival) -> Document | None:
        """The document that a text is the text of, hidden or not."""
        user_id = item.columns["user_id"]
        key = uri_key(item.columns["uri"], item.columns["content_hash"], connection.cipher)
        return self._same(connection, key, self._canonical(item.project, user_id), user_id)
