"""What is derived from memories, computed anew and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..kernel import Finding, Record, values
from ..kernel.lifecycle import LIVE
from ..kernel.rows import Span, spans
from ..kernel.words import normal, statement_key, stems, tagged
from .tables import MEMORIES

if TYPE_CHECKING:
    from ..kernel import Connection


def differences(connection: Connection) -> Iterator[Finding]:
    """Keys, numbers of words and words that are not those of their memory, a page of rows at a time; keys of project state."""
    for span in spans(connection, MEMORIES):
        yield from _page_differences(connection, span)
    for pk, id, key, kept in connection.rows("SELECT pk, id, key, normal_key FROM project_state ORDER BY pk"):
        if kept != normal(key):
            yield Finding("derived", pk, f"entry {id} of project state: its normal key is not that of its key")


def _page_differences(connection: Connection, span: Span) -> Iterator[Finding]:
    items = MEMORIES.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
    kept = connection.rows("SELECT pk, content_key, stem_count FROM memories WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
    posted: dict[int, list[str]] = {}
    for word, pk in connection.rows("SELECT word, memory FROM memory_words WHERE memory BETWEEN ? AND ? ORDER BY memory, word", span):
        posted.setdefault(pk, []).append(word)
    for item, (pk, key, count) in zip(items, kept, strict=True):
        found = tagged(stems(item.content), connection.cipher)
        if (key, count) != (statement_key(item.content, connection.cipher), len(found)):
            yield Finding("derived", pk, f"memory {item.id}: its key or number of words is not that of its content")
        if posted.get(pk, []) != (found if item.status in LIVE else []):
            yield Finding("derived", pk, f"memory {item.id}: its words in memory_words are not those of its content")


def dangling(connection: Connection, piece: Callable[[str, str], Record | None]) -> Iterator[Finding]:
    """Memories that graduated into an entity that is gone."""
    for pk, id, entity in connection.rows(
        "SELECT pk, id, graduated_to_entity_id FROM memories WHERE graduated_to_entity_id IS NOT NULL ORDER BY pk"
    ):
        if piece("entity", entity) is None:
            yield Finding("dangling", pk, f"memory {id} graduated into entity {values.shorten(entity)}, which is not here")
