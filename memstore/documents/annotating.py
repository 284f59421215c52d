"""Annotations: notes on chunks, made by a rule or by a caller.

The rules read a chunk when it is written; one that stays when its document changes keeps its annotations and is not read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.lifecycle import shown
from ..kernel.rows import AMONG, Term, filled, filters, known, listed, newest
from .library import Library
from .tables import ANNOTATION_CHECKS, ANNOTATIONS, CHUNKS, DOCUMENTS, Annotation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

LISTED = "store.documents.annotations()"
_SAID = ("chunk_id", "kind", "start_char", "end_char", "detail", "confidence", "source")


class Annotations(Library):
    """The part of the documents room that keeps annotations."""

    def annotate(
        self,
        chunk_id: str,
        kind: str,
        *,
        start_char: int | None = None,
        end_char: int | None = None,
        detail: str = "",
        confidence: float = 1.0,
        source: str = "manual",
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Annotation:
        """Annotate a chunk, or the characters `start_char` to `end_char` of its content, and return the annotation.

        `kind` is any word; the rules use "instruction" and "hidden-text".
        """
        chunk_id = values.key("chunk_id", chunk_id)
        given = values.checked(
            ANNOTATION_CHECKS,
            {"kind": kind, "start_char": start_char, "end_char": end_char, "detail": detail, "confidence": confidence,
             "source": source, "metadata": metadata, "id": id, "created_at": created_at},
        )  # fmt: skip
        with self.db.write() as connection:
            chunk = known(connection, CHUNKS, "chunk", chunk_id, "store.documents.chunks()")
            _confirm_span(given["start_char"], given["end_char"], len(chunk.content))
            columns = filled(connection, ANNOTATIONS, "an annotation", given, self.db.now)
            new = Annotation(chunk_id=chunk_id, **columns)
            ANNOTATIONS.insert(connection, new, chunk=connection.value("SELECT pk FROM chunks WHERE id = ?", (chunk_id,)))
            return new

    def get_annotation(self, id: str) -> Annotation:
        """Return one annotation."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return known(connection, ANNOTATIONS, "annotation", id, LISTED)

    def annotations(
        self,
        *,
        chunk_id: str | None = None,
        document_id: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Annotation]:
        """Return annotations, newest first by (created_at, arrival): all of them unless there is a limit.

        `before` is the id of the last one of the page before.
        """
        in_document = "chunk IN (SELECT pk FROM chunks WHERE document = (SELECT pk FROM documents WHERE id = ?))"
        terms: list[Term] = filters(
            ("chunk = (SELECT pk FROM chunks WHERE id = ?)", values.optional(values.key, "chunk_id", chunk_id)),
            (in_document, values.optional(values.key, "document_id", document_id)),
            ("kind = ?", values.optional(values.key, "kind", kind)),
        )
        limit = values.limit(limit)
        with self.db.read(snapshot=True) as connection:
            return newest(connection, ANNOTATIONS, "annotation", terms, limit, before, LISTED)

    def flagged(self, chunk_ids: Iterable[str]) -> dict[str, list[Annotation]]:
        """Return the annotations of some chunks by chunk id, in order of arrival; chunks without any are left out."""
        ids = values.strings("chunk_ids", chunk_ids)
        found: dict[str, list[Annotation]] = {}
        clause = f"chunk IN (SELECT pk FROM chunks WHERE id {AMONG})"
        for item in ANNOTATIONS.find(self.db, f"WHERE {clause} ORDER BY pk", (listed(ids),)):
            found.setdefault(item.chunk_id, []).append(item)
        return found

    def remove_annotation(self, id: str, *, actor: str = "", note: str = "") -> None:
        """Remove an annotation, with an audit event."""
        id = values.key("id", id)
        with self.db.write() as connection:
            old = known(connection, ANNOTATIONS, "annotation", id, LISTED)
            (owner,) = DOCUMENTS.find(connection, "WHERE pk = (SELECT document FROM chunks WHERE id = ?)", (old.chunk_id,))
            connection.run("DELETE FROM annotations WHERE id = ?", (id,))
            self._audit(
                "annotation.remove", entity_kind="annotation", entity_id=id, before=shown(old, _SAID), user_id=owner.user_id,
                project=owner.project_id, conversation_id=owner.conversation_id, details={"document_id": owner.id},
                actor=actor, note=note,
            )  # fmt: skip


def _confirm_span(start: int | None, end: int | None, size: int) -> None:
    """Raise Invalid unless both ends are None, or lie in this order within `size` characters."""
    if (start is None) != (end is None):
        raise Invalid("start_char and end_char go together: give both or neither")
    if start is not None and end is not None and not start <= end <= size:
        raise Invalid(f"start_char {start} and end_char {end} do not lie in the chunk, which has {size:,} characters")
