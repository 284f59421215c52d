"""Adding texts, as new documents or as the new text of a known one.

A call is one transaction; what takes long, cutting and embedding, is done before it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..kernel import new_id, values
from ..kernel.lifecycle import changed, log, shown
from ..kernel.rows import refuse_taken
from ..kernel.words import text_key
from .chunking import SIZE, sizes
from .drafts import Draft, cut
from .library import texts_of, tiled
from .replacing import Fresh, Replacing
from .tables import CHECKS, DOCUMENTS, Document, IngestionStatus, uri_key

if TYPE_CHECKING:
    from datetime import datetime

    from ..kernel import Connection

#: The defaults of `add_text` that are not None: a column at its default counts as not given.
DEFAULTS = {"title": "", "source_type": "unknown", "tags": [], "extra_text": "", "analyzed": False}
_BORN = ("id", "created_at", "updated_at")  # only a new row takes them
#: As `CHECKS`, with None for columns that are made up where they are not given.
_CHECKS = CHECKS | {name: partial(values.optional, CHECKS[name]) for name in ("display_name", "ingestion_status")}


@dataclass(slots=True)
class Arrival:
    """A document that is about to be added."""

    project: str | None
    text: str | None  # None where the caller gave a content_hash of his own
    columns: dict[str, Any]
    drafts: list[Draft]


class Adding(Replacing):
    """The part of the documents room that adds texts."""

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
        overlap: int | None = None,
        display_name: str | None = None,
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
        updated_at: float | datetime | None = None,
        actor: str = "",
        note: str = "",
    ) -> Document:
        """Store a text in chunks and return its document, the one that is known by `uri` in the project and for the user, if there is.

        Without a `uri` a document is known by its `content_hash`, the SHA-256 of the text unless given. The same text again changes only
        the columns that are given; chunks that `set_chunks` made stay if they are all of the text, or it is empty. Another text replaces
        the chunks, except those with the same content. A removed document comes back. Chunks have at most `chunk_size` characters.
        """
        given = {
            "uri": uri, "title": title, "source_type": source_type, "user_id": user_id, "metadata": metadata, "updated_at": updated_at,
            "display_name": display_name, "conversation_id": conversation_id, "file_path": file_path, "url": url,
            "storage_uri": storage_uri, "ticket_id": ticket_id, "git_repo": git_repo, "git_commit": git_commit, "suffix": suffix,
            "size_bytes": size_bytes, "mime_type": mime_type, "original_path": original_path, "base_path": base_path,
            "relative_path": relative_path, "tags": tags, "extra_json": extra_json, "extra_text": extra_text,
            "file_modified_at": file_modified_at, "ingested_at": ingested_at, "indexed_at": indexed_at, "analyzed": analyzed,
            "ingestion_status": ingestion_status, "last_analyzed_at": last_analyzed_at, "id": id, "created_at": created_at,
        }  # fmt: skip
        item = self._arrival(text, project, given, sizes(chunk_size, overlap), content_hash=content_hash)
        event = {"actor": values.label("actor", actor), "note": values.text("note", note)}
        return self._bring([item], event)[0][0]

    def _arrival(
        self, text: str, project: str | None, given: dict[str, Any], cutting: dict[str, int], *, content_hash: str | None
    ) -> Arrival:
        """Check all columns of a document, and cut its text."""
        text, project = values.text("text", text), values.optional(values.key, "project", project)
        said = {**given, "content_hash": text_key(text) if content_hash is None else content_hash}
        columns = values.checked(_CHECKS, said)
        return Arrival(project, text if content_hash is None else None, columns, cut(text, columns, **cutting))

    def _bring(self, items: Sequence[Arrival], event: dict[str, str]) -> list[tuple[Document, Document | None]]:
        """Add documents in one transaction, and return each as it is now and as it was."""
        for item in items if self._embedder is not None else ():
            with self.db.read(snapshot=True) as connection:
                old = self._here(connection, item)
                same = old is not None and _says(connection, old, item)
            if not same:
                self._fill(item.drafts, None if old is None else old.id, item.columns["uri"] or item.columns["title"])
        with self.db.write() as connection:
            arrived = [self._arrive(connection, item, event) for item in items]
            self._write(connection, [each for *_, fresh in arrived for each in fresh], self._model)
            return [(new, old) for new, old, _ in arrived]

    def _here(self, connection: Connection, item: Arrival) -> Document | None:
        """The document that has the identity of the one that is added, hidden or not."""
        columns, user_id = item.columns, item.columns["user_id"]
        return self._same(connection, columns["uri"], columns["content_hash"], self._canonical(item.project, user_id), user_id)

    def _arrive(
        self, connection: Connection, item: Arrival, event: dict[str, str]
    ) -> tuple[Document, Document | None, Sequence[Fresh]]:
        """Add one document, and return it as it is and as it was, with its new chunks, which are yet to be written."""
        old = self._here(connection, item)
        if old is None:
            return self._begin(connection, item)
        given = {name: value for name, value in item.columns.items() if name not in _BORN and value is not None}
        changes = {name: value for name, value in given.items() if not values.same(value, DEFAULTS.get(name))}
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        fresh: Sequence[Fresh] = ()
        if not _says(connection, old, item):
            outcome = self._replace(connection, old, item.drafts, self._model)
            before["chunks"], after["chunks"], fresh = outcome.before, outcome.after, outcome.fresh
            changes = {"ingested_at": self.db.now, **self._progress(outcome.embedded), **changes}
        elif old.is_deleted:
            self._index.add(connection, texts_of(connection, old.id), again=True)
        if old.is_deleted:
            changes.update(is_deleted=False, deleted_at=None)
        new = self._change(connection, old, changes)
        if new is not old:
            names = changed(old, new, changes)
            verb = "restore" if old.is_deleted else "update"
            was, now = shown(old, names) | before, shown(new, names) | after
            log(self._audit, "document", verb, old, was, now, **event)
        return new, old, fresh

    def _begin(self, connection: Connection, item: Arrival) -> tuple[Document, None, list[Fresh]]:
        """Write the row of a new document."""
        columns, now = item.columns, self.db.now
        if columns["id"] is not None:
            refuse_taken(connection, DOCUMENTS, "a document", columns["id"], "give another id, or the uri of that one")
        unsaid = {
            "id": new_id(),
            "created_at": now,
            "ingested_at": now,
            "display_name": columns["title"] or columns["uri"] or columns["content_hash"],
            **self._progress(self._model is not None and not any(draft.lacks for draft in item.drafts)),
        }
        filled = columns | {name: value for name, value in unsaid.items() if columns[name] is None}
        project_id = self._canonical(item.project, columns["user_id"])
        filled["updated_at"] = filled["created_at"] if columns["updated_at"] is None else columns["updated_at"]
        new = Document(**filled, project_id=project_id, is_deleted=False, deleted_at=None, version=1)
        pk = DOCUMENTS.insert(connection, new, uri_key=uri_key(new.uri, new.content_hash, connection.cipher))
        return new, None, [self._fresh(connection, new, pk, place, draft) for place, draft in enumerate(item.drafts)]


def _says(connection: Connection, document: Document, item: Arrival) -> bool:
    """Whether a document has the text that is added, and its chunks all of it."""
    same = document.content_hash == item.columns["content_hash"]
    return same and (not item.text or tiled(connection, document.id, item.text))
