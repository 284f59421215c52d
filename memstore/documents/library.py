"""Documents that are stored: looked up, found, changed, hidden; and the chunks of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Canonical, Exists, Invalid, Recorder, Room, values
from ..kernel.lifecycle import changed, confirm_version, log, shown
from ..kernel.rows import Term, counted, joined, known, newest, scope
from ..kernel.words import text_key
from .filters import Filters, checked, conditions, described
from .fulltext import Text
from .lexical import ChunkIndex
from .tables import CHECKS, CHUNKS, DOCUMENTS, Chunk, Document, IngestionStatus, uri_key

if TYPE_CHECKING:
    from datetime import datetime

    from ..embedder import Embedder
    from ..kernel import Connection
    from ..keywords import KeywordIndex
    from ..vectors import VectorIndex

#: Called with the ids of chunks that are gone, so that evidence which rests on them is marked stale.
Stale = Callable[[Sequence[str]], object]

#: Whose a document is, as the index documents__uri has it; project and user are bound to it, "" for none.
OWNED = "COALESCE(project_id, '') = ? AND COALESCE(user_id, '') = ?"


class Library:
    """The part of the documents room that keeps documents."""

    def __init__(
        self,
        db: Room,
        audit: Recorder,
        canonical: Canonical,
        vectors: Callable[[], VectorIndex],
        keywords: Callable[[], KeywordIndex],
        embedder: Embedder | None,
        stale: Stale,
    ) -> None:
        self.db = db
        self._audit = audit
        self._canonical = canonical
        self._vectors = vectors
        self._embedder = embedder
        self._stale = stale
        self._index = ChunkIndex(db, keywords)
        self._warned: set[str] = set()  # what was warned of

    # -- read -------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Document:
        """Return a document, hidden or not."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return self._known(connection, id)

    def _known(self, connection: Connection, id: str) -> Document:
        return known(connection, DOCUMENTS, "document", id, "store.documents.find()")

    def find(
        self,
        *,
        query: str = "",
        project: str | None = None,
        user_id: str | None = None,
        source_type: str | None = None,
        tags: Iterable[str] | None = None,
        filters: Filters | None = None,
        include_deleted: bool = False,
        limit: int | None = 50,
        before: str | None = None,
    ) -> list[Document]:
        """Return documents, newest first by (created_at, arrival).

        `query` is looked for, whatever its case, in title, display_name, uri, file_path, url, ticket_id, git_repo and extra_text. A
        document must have all of `tags`. `filters` is a dict of columns, each with a value or a list of values it may have, or a list of
        such dicts of which one must hold; "metadata.team" names a member of `metadata`, and so with `extra_json`. A `user_id` finds that
        user's documents and everybody's. `before` is the id of the last document of the page before.
        """
        limit = values.limit(limit)
        terms = self._terms_of(query, project, user_id, filters, source_type=source_type, tags=tags, include_deleted=include_deleted)
        with self.db.read(snapshot=True) as connection:
            return newest(connection, DOCUMENTS, "document", terms(connection), limit, before, "store.documents.find()")

    def count(
        self,
        *,
        query: str = "",
        project: str | None = None,
        user_id: str | None = None,
        source_type: str | None = None,
        tags: Iterable[str] | None = None,
        filters: Filters | None = None,
        include_deleted: bool = False,
    ) -> int:
        """Count what `find` would return."""
        terms = self._terms_of(query, project, user_id, filters, source_type=source_type, tags=tags, include_deleted=include_deleted)
        with self.db.read(snapshot=True) as connection:
            return counted(connection, DOCUMENTS, terms(connection))

    def search_metadata(
        self,
        query: str,
        *,
        project: str | None = None,
        user_id: str | None = None,
        filters: Filters | None = None,
        limit: int | None = 5,
    ) -> list[Document]:
        """Return the documents that `find` would, newest file first; none without a query and without filters."""
        limit = values.limit(limit)
        terms = self._terms_of(query, project, user_id, filters)
        if not query.strip() and not filters:
            return []
        with self.db.read(snapshot=True) as connection:
            clause, params = joined(terms(connection))
            order = "COALESCE(file_modified_at, created_at, ingested_at) DESC, pk DESC"
            return DOCUMENTS.find(connection, f"WHERE {clause} ORDER BY {order} LIMIT ?", (*params, limit))

    def _terms_of(
        self,
        query: str,
        project: str | None,
        user_id: str | None,
        filters: Filters | None,
        *,
        source_type: str | None = None,
        tags: Iterable[str] | None = None,
        include_deleted: bool = False,
    ) -> Callable[[Connection], list[Term]]:
        """Check what a caller asks for; what is returned makes conditions of it, given a connection that can open sealed columns."""
        query = values.text("query", query)
        said: list[Mapping[str, Any]] = [] if source_type is None else [{"source_type": source_type}]
        said += [{"tags": tag} for tag in (() if tags is None else CHECKS["tags"]("tags", tags))]
        wanted = [checked(each) for each in (*said, filters)]
        terms = scope(self._canonical, project, user_id)
        if not values.flag("include_deleted", include_deleted):
            terms.append(("is_deleted = 0",))

        def terms_in(connection: Connection) -> list[Term]:
            found = [*terms, *(term for each in wanted for term in conditions(connection, each))]
            return [*found, described(connection, query, found)] if query.strip() else found

        return terms_in

    def first(
        self,
        *,
        uri: str | None = None,
        content_hash: str | None = None,
        project: str | None = None,
        user_id: str | None = None,
        include_deleted: bool = False,
    ) -> Document | None:
        """Return the newest document with a uri, or of those without one with a content_hash, or None."""
        uri, content_hash = values.optional(values.key, "uri", uri), values.optional(values.key, "content_hash", content_hash)
        if (uri is None) == (content_hash is None):
            raise Invalid("first() needs either a uri or a content_hash; find() lists documents by everything else")
        terms = self._terms_of("", project, user_id, None, include_deleted=include_deleted)
        with self.db.read(snapshot=True) as connection:
            own = ("uri_key = ?", uri_key(uri, content_hash or "", connection.cipher))
            clause, params = joined([*terms(connection), own])
            return DOCUMENTS.first(connection, f"WHERE {clause} ORDER BY created_at DESC, pk DESC LIMIT 1", params)

    def _same(
        self, connection: Connection, uri: str | None, content_hash: str, project_id: str | None, user_id: str | None
    ) -> Document | None:
        """The document with an identity, hidden or not."""
        key = uri_key(uri, content_hash, connection.cipher)
        return DOCUMENTS.first(connection, f"WHERE uri_key = ? AND {OWNED}", (key, project_id or "", user_id or ""))

    # -- chunks -----------------------------------------------------------------------------------------------------

    def chunks(self, document_id: str) -> list[Chunk]:
        """Return the chunks of a document, hidden or not, in their order."""
        document_id = values.key("document_id", document_id)
        with self.db.read(snapshot=True) as connection:
            self._known(connection, document_id)
            return chunks_of(connection, document_id)

    def get_chunk(self, id: str) -> Chunk:
        """Return a chunk, also of a hidden document."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return known(connection, CHUNKS, "chunk", id, "store.documents.chunks()")

    def text(self, document_id: str) -> str:
        """Return the text of a document exactly as it was added, or as much of it as chunks made by `set_chunks` have.

        Raises Invalid where these leave a gap, or differ where they overlap.
        """
        text = ""
        for chunk in self.chunks(document_id):
            if chunk.start_char is None or chunk.start_char > len(text):
                raise Invalid(f"the chunks of document {values.shorten(document_id)} are not all of its text; chunks() has what there is")
            shared = len(text) - chunk.start_char
            if not text.startswith(chunk.content[:shared], chunk.start_char):
                at = f"at character {chunk.start_char}"
                raise Invalid(f"the chunks of document {values.shorten(document_id)} say two things {at}; chunks() has what there is")
            text += chunk.content[shared:]
        return text

    # -- change -----------------------------------------------------------------------------------------------------

    def update(
        self,
        id: str,
        *,
        title: str | None = None,
        display_name: str | None = None,
        source_type: str | None = None,
        tags: Iterable[str] | None = None,
        extra_text: str | None = None,
        content_hash: str | None = None,
        ingestion_status: IngestionStatus | None = None,
        analyzed: bool | None = None,
        uri: str | None = values.KEEP,
        conversation_id: str | None = values.KEEP,
        file_path: str | None = values.KEEP,
        url: str | None = values.KEEP,
        storage_uri: str | None = values.KEEP,
        ticket_id: str | None = values.KEEP,
        git_repo: str | None = values.KEEP,
        git_commit: str | None = values.KEEP,
        suffix: str | None = values.KEEP,
        size_bytes: int | None = values.KEEP,
        mime_type: str | None = values.KEEP,
        original_path: str | None = values.KEEP,
        base_path: str | None = values.KEEP,
        relative_path: str | None = values.KEEP,
        extra_json: dict[str, Any] | None = values.KEEP,
        file_modified_at: float | datetime | None = values.KEEP,
        ingested_at: float | datetime | None = values.KEEP,
        indexed_at: float | datetime | None = values.KEEP,
        last_analyzed_at: float | datetime | None = values.KEEP,
        metadata: dict[str, Any] | None = values.KEEP,
        expected_version: int | None = None,
        actor: str = "",
        note: str = "",
    ) -> Document:
        """Change what is given of a document and return it; its text and chunks stay.

        None clears a column that can be None; for the others it means not given. When nothing differs, nothing is written.
        """
        id = values.key("id", id)
        said = {"title": title, "display_name": display_name, "source_type": source_type, "tags": tags, "extra_text": extra_text,
                "content_hash": content_hash, "ingestion_status": ingestion_status, "analyzed": analyzed}  # fmt: skip
        clearable = {"uri": uri, "conversation_id": conversation_id, "file_path": file_path, "url": url, "storage_uri": storage_uri,
                     "ticket_id": ticket_id, "git_repo": git_repo, "git_commit": git_commit, "suffix": suffix, "size_bytes": size_bytes,
                     "mime_type": mime_type, "original_path": original_path, "base_path": base_path, "relative_path": relative_path,
                     "extra_json": extra_json, "file_modified_at": file_modified_at, "ingested_at": ingested_at, "indexed_at": indexed_at,
                     "last_analyzed_at": last_analyzed_at, "metadata": metadata}  # fmt: skip
        changes = values.changes(CHECKS, said, clearable)
        with self.db.write() as connection:
            old = self._known(connection, id)
            confirm_version(f"document {id}", old, expected_version)
            new = self._change(connection, old, changes)
            names = changed(old, new, changes)
            if names:
                log(self._audit, "document", "update", old, shown(old, names), shown(new, names), actor=actor, note=note)
            return new

    def _change(self, connection: Connection, old: Document, changes: dict[str, Any]) -> Document:
        """Change columns of a document where any differs, and return it as it is then."""
        return self._rewrite(connection, old, changes) if changed(old, replace(old, **changes), changes) else old

    def _rewrite(self, connection: Connection, old: Document, changes: dict[str, Any]) -> Document:
        new = replace(old, **{"updated_at": self.db.now, **changes}, version=old.version + 1)
        twin = self._same(connection, new.uri, new.content_hash, new.project_id, new.user_id)
        if twin is not None and twin.id != old.id:
            same = "says that" if new.uri is None else "has that uri"
            raise Exists(f"document {values.shorten(twin.id)} {same} already; give another one")
        DOCUMENTS.rewrite(connection, new, uri_key=uri_key(new.uri, new.content_hash, connection.cipher))
        return new

    # -- remove -----------------------------------------------------------------------------------------------------

    def remove(self, id: str, *, actor: str = "", note: str = "") -> bool:
        """Hide a document until it is added again; return False where it was hidden already.

        Its chunks and vectors stay, but no search finds them. `add_files` brings a document back whose file still exists.
        """
        id = values.key("id", id)
        with self.db.write() as connection:
            old = self._known(connection, id)
            if old.is_deleted:
                return False
            self._hide(connection, old, actor, note)
            return True

    def _hide(self, connection: Connection, old: Document, actor: str, note: str) -> None:
        self._index.remove(connection, texts_of(connection, old.id))
        hidden = {"is_deleted": True, "deleted_at": self.db.now}
        new = self._change(connection, old, hidden)
        log(self._audit, "document", "remove", old, shown(old, hidden), shown(new, hidden), actor=actor, note=note)


_IN_DOCUMENT = "document = (SELECT pk FROM documents WHERE id = ?)"


def chunks_of(connection: Connection, document_id: str) -> list[Chunk]:
    """The chunks of a document in their order."""
    return CHUNKS.find(connection, f"WHERE {_IN_DOCUMENT} ORDER BY chunk_index", (document_id,))


def keys_of(connection: Connection, document_id: str) -> dict[str, int]:
    """The integer keys of the chunks of a document by their ids, in their order."""
    return dict(connection.rows(f"SELECT id, pk FROM chunks WHERE {_IN_DOCUMENT} ORDER BY chunk_index", (document_id,)))


def texts_of(connection: Connection, document_id: str) -> list[Text]:
    """The keys and contents of a document's chunks, for the index of words."""
    keys = keys_of(connection, document_id)
    return [(keys[chunk.id], chunk.content) for chunk in chunks_of(connection, document_id)]


def tiled(connection: Connection, document_id: str, text: str) -> bool:
    """Whether the chunks of a document tile a text."""
    end = 0
    rows = connection.rows(f"SELECT start_char, end_char, chunk_hash FROM chunks WHERE {_IN_DOCUMENT} ORDER BY chunk_index", (document_id,))
    for start, stop, chunk_hash in rows:
        if start is None or stop is None or start > end or chunk_hash != text_key(text[start:stop], connection.cipher):
            return False
        end = max(end, stop)
    return end == len(text)
