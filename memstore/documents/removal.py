"""Deleting documents for good, with all that belongs to them; and the hidden ones that `prune` deletes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..kernel import Corrupt, Prunable
from ..kernel.rows import AMONG, listed
from .tables import CHUNKS

if TYPE_CHECKING:
    from ..kernel import Connection
    from .library import Library

PAGE = 500  # chunks whose texts are in memory at once
LOST = "SELECT id FROM vectors WHERE kind = 'chunk' AND id NOT IN (SELECT id FROM chunks) ORDER BY id"
VISIBLE = "SELECT pk FROM documents WHERE is_deleted = 0"

_HIDDEN = "SELECT count(*) FROM documents WHERE is_deleted = 1"
_OLDEST_HIDDEN = """
SELECT deleted_at, pk, 900 + ifnull(length(metadata), 0)
    + (SELECT ifnull(sum(500 + 2 * length(content)), 0) FROM chunks WHERE document = documents.pk)
FROM documents
WHERE is_deleted = 1 AND (deleted_at, pk) > (?, ?)
ORDER BY deleted_at, pk
LIMIT ?
"""
_CHOSEN_HIDDEN = "SELECT pk FROM documents WHERE is_deleted = 1 ORDER BY deleted_at, pk LIMIT ?"


def take_chunks(room: Library, connection: Connection, documents: Sequence[int]) -> tuple[Counter[str], list[str]]:
    """Delete the chunks of documents with their words and annotations; return rows by table, and the ids of the chunks.

    Their vectors, and evidence that rests on them, are left to the caller.
    """
    removed, ids = Counter[str](), list[str]()
    found = connection.rows(f"SELECT pk, document IN ({VISIBLE}) FROM chunks WHERE document {AMONG} ORDER BY pk", (listed(documents),))
    for start in range(0, len(found), PAGE):
        page = found[start : start + PAGE]
        going = (listed(pk for pk, _ in page),)
        items = CHUNKS.find(connection, f"WHERE pk {AMONG} ORDER BY pk", going)
        if len(items) != len(page):
            raise Corrupt("chunks of a document stand in an index of the file and not in its tables; check() lists what is damaged")
        room._index.remove(connection, [(pk, item.content) for (pk, visible), item in zip(page, items) if visible])
        removed["annotations"] += connection.run(f"DELETE FROM annotations WHERE chunk {AMONG}", going)
        removed["chunks"] += connection.run(f"DELETE FROM chunks WHERE pk {AMONG}", going)
        ids += [item.id for item in items]
    return removed, ids


def forsake(room: Library, connection: Connection, chunk_ids: Sequence[str]) -> int:
    """Mark evidence that rests on chunks that are gone as stale, and remove their vectors; return how many."""
    room._stale(chunk_ids)
    return room._vectors().discard(connection, "chunk", chunk_ids) if room.db.present("vectors") else 0


def lost(room: Library, connection: Connection) -> list[str]:
    """The ids of chunks that have vectors and no longer exist."""
    return [id for (id,) in connection.rows(LOST)] if room.db.present("vectors") else []


def remove(room: Library, connection: Connection, documents: Sequence[int]) -> dict[str, int]:
    """Delete documents with all that belongs to them; return rows by table."""
    removed, chunk_ids = take_chunks(room, connection, documents)
    removed["vectors"] += forsake(room, connection, chunk_ids)
    going = (listed(documents),)
    removed["selections"] += connection.run(f"DELETE FROM selections WHERE document {AMONG}", going)
    removed["documents"] += connection.run(f"DELETE FROM documents WHERE pk {AMONG}", going)
    return removed


def prunable(room: Library) -> list[Prunable]:
    """The hidden documents, those first that were hidden first."""
    return [Prunable("documents", _HIDDEN, _OLDEST_HIDDEN, partial(_remove_hidden, room))]


def _remove_hidden(room: Library, connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    removed = remove(room, connection, [pk for (pk,) in connection.rows(_CHOSEN_HIDDEN, (count,))])
    room._index.wipe(connection)  # their words left the index when they were hidden, their bytes did not
    return removed
