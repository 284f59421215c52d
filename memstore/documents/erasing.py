"""Erasing one document, or what belongs to a user, a conversation or a project in this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed
from ..kernel.subject import IN_PROJECT, Subject
from .joining import move
from .removal import take_chunks
from .tables import DOCUMENTS, Document

if TYPE_CHECKING:
    from ..kernel import Connection
    from .library import Library

CHOSEN = f"user_id {AMONG} OR conversation_id {AMONG} OR document {AMONG}"


def erase(room: Library, connection: Connection, subject: Subject) -> None:
    """Remove what belongs to the subject, to the last byte of the index; vectors and evidence are for other rooms to remove."""
    where, belongings = subject.belongings()
    named = [subject.id] if subject.kind == "document" else []
    chosen = [listed(ids) for ids in (*belongings, named)]
    going = [pk for (pk,) in connection.rows(f"SELECT pk FROM documents WHERE {where} OR id {AMONG} ORDER BY pk", chosen)]
    users = [subject.id] if subject.kind == "user" else []
    subject.remove(connection, "selections", "selection", CHOSEN, users, subject.conversations, going)
    _remove_documents(room, connection, subject, going)
    left = DOCUMENTS.find(connection, f"WHERE {IN_PROJECT} ORDER BY pk", (listed(subject.projects),))
    _keep(room, connection, subject, left)
    if subject.kind != "document":
        subject.keep_scattered(connection, "documents")


def _keep(room: Library, connection: Connection, subject: Subject, left: list[Document]) -> None:
    """Move other users' documents out of a project that is erased, except where its user has another text at that uri in no project."""
    what, stayed = "documents of other users in a project that went", 0
    for item in left:
        twin = room._same(connection, item.uri, item.content_hash, None, item.user_id)
        if twin is None or twin.content_hash == item.content_hash:
            move(room, connection, [item], None)
        else:
            stayed += 1
    subject.keep(len(left) - stayed, what, "kept, in no project")
    subject.keep(stayed, what, "kept under its id, for outside of it their users have other texts with these uris")


def _remove_documents(room: Library, connection: Connection, subject: Subject, going: list[int]) -> None:
    noticed = f"SELECT id FROM annotations WHERE chunk IN (SELECT pk FROM chunks WHERE document {AMONG})"
    subject.gone += [("annotation", id) for (id,) in connection.rows(noticed, (listed(going),))]
    removed, chunk_ids = take_chunks(room, connection, going)
    subject.gone += [("chunk", id) for id in chunk_ids]
    for table, rows in removed.items():
        subject.count(table, rows)
    subject.remove(connection, "documents", "document", f"pk {AMONG}", going)
    if going:
        room._index.wipe(connection)
