"""Moving documents to another project, or to none, when theirs gets an id or is erased.

Where two with the same identity meet, the one changed last stays, as if it had been added in place of the other, and takes over its
selections; a hidden document gives way to one that is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..kernel.rows import JOINER, THEIRS, followers
from .removal import remove
from .tables import DOCUMENTS, Document

if TYPE_CHECKING:
    from ..kernel import Connection
    from .library import Library

#: A selection of the document that goes is dropped where its owner has one of the document that stays.
INHERIT = "UPDATE OR IGNORE selections SET document = ? WHERE document = ?"


def join(room: Library, connection: Connection, name: str, project_id: str, user_id: str) -> int:
    """Move documents that carry a name to the project that it now means; return 0, for documents contradict nothing."""
    if name != project_id:
        theirs = followers(connection, room._canonical, ("documents",), name, project_id, user_id)
        found = DOCUMENTS.find(connection, f"WHERE project_id = ? AND {THEIRS} ORDER BY pk", (name, theirs))
        move(room, connection, found, project_id)
    return 0


def move(room: Library, connection: Connection, items: Iterable[Document], project_id: str | None) -> None:
    """Move documents to another project, or to none."""
    for item in items:
        twin = room._same(connection, item.uri, item.content_hash, project_id, item.user_id)
        older = None
        if twin is not None:
            older, newer = sorted((twin, item), key=lambda each: (not each.is_deleted, each.updated_at))
            _replace(room, connection, older, newer)
        if older is not item:
            connection.run("UPDATE documents SET project_id = ? WHERE id = ?", (project_id, item.id))


def _replace(room: Library, connection: Connection, older: Document, newer: Document) -> None:
    """Remove a document in favour of another one, with an event."""
    pks: dict[str, int] = dict(connection.rows("SELECT id, pk FROM documents WHERE id IN (?, ?)", (older.id, newer.id)))
    connection.run(INHERIT, (pks[newer.id], pks[older.id]))
    removed = remove(room, connection, [pks[older.id]])
    room._audit(
        "document.supersede", entity_kind="document", entity_id=older.id, user_id=older.user_id, project=older.project_id,
        before={"uri": older.uri, "content_hash": older.content_hash, "chunks": removed["chunks"]}, after={"superseded_by": newer.id},
        actor=JOINER,
    )  # fmt: skip
