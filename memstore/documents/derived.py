"""Checking what is derived from documents and chunks, by computing it anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..kernel import Finding
from ..kernel.rows import Span, spans
from ..kernel.words import text_key
from .tables import ANNOTATIONS, CHUNKS, DOCUMENTS, uri_key

if TYPE_CHECKING:
    from ..kernel import Connection

GAPS = """
    SELECT documents.pk, documents.id FROM documents JOIN chunks ON chunks.document = documents.pk
    GROUP BY documents.pk HAVING min(chunk_index) <> 0 OR max(chunk_index) <> count(*) - 1
    ORDER BY documents.pk
"""


def differences(connection: Connection) -> Iterator[Finding]:
    """Findings for keys, hashes, lengths and places that differ from those of the texts."""
    for span in spans(connection, DOCUMENTS):
        keys = connection.rows("SELECT pk, uri_key FROM documents WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
        for (pk, key), item in zip(keys, DOCUMENTS.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span), strict=True):
            if key != uri_key(item.uri, item.content_hash, connection.cipher):
                yield Finding("derived", pk, f"document {item.id}: its key is not that of its uri or content")
    for pk, id in connection.rows(GAPS):
        yield Finding("places", pk, f"document {id}: its chunks are not numbered 0, 1, 2 ...")
    for span in spans(connection, CHUNKS):
        yield from _wrong_chunks(connection, span)


def _wrong_chunks(connection: Connection, span: Span) -> Iterator[Finding]:
    lengths = {}
    pks = connection.rows("SELECT pk FROM chunks WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
    for (pk,), item in zip(pks, CHUNKS.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span), strict=True):
        lengths[item.id] = length = len(item.content)
        if (item.chunk_hash, item.char_count) != (text_key(item.content, connection.cipher), length):
            yield Finding("derived", pk, f"chunk {item.id}: its hash or length is not that of its content")
        if item.start_char is not None and item.end_char is not None and item.end_char - item.start_char != length:
            yield Finding("places", pk, f"chunk {item.id}: its content is not as long as from start_char to end_char")
    for note in ANNOTATIONS.find(connection, "WHERE chunk BETWEEN ? AND ? ORDER BY pk", span):
        length = lengths.get(note.chunk_id, 0)  # a chunk that is not there is a finding of foreign keys
        start, end = note.start_char or 0, length if note.end_char is None else note.end_char
        if note.chunk_id in lengths and not 0 <= start <= end <= length:
            yield Finding("places", None, f"annotation {note.id}: start_char and end_char are not within the content of its chunk")
