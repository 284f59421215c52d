"""Forgetting: corrections of a user, of conversations, of a project's scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed
from ..kernel.subject import Subject

if TYPE_CHECKING:
    from ..kernel import Connection

OWNED = f"conversation_id {AMONG} OR user_id {AMONG} OR scope {AMONG}"
EVERYBODYS = "global"  # the scope of what holds in all projects, whatever a project is called


def erase(connection: Connection, subject: Subject) -> None:
    """Remove the corrections whose provenance names the subject, and its name from where others were applied."""
    users = [subject.id] if subject.kind == "user" else []
    scopes = {subject.id, *subject.names} - {EVERYBODYS} if subject.kind == "project" else set()
    lists = (subject.conversations, users, scopes)
    ids = listed(row[0] for row in connection.rows(f"SELECT id FROM corrections WHERE {OWNED}", [listed(items) for items in lists]))
    for table in ("correction_rejections", "correction_words", "correction_applications"):
        where = f"correction IN (SELECT pk FROM corrections WHERE id {AMONG})"
        subject.count(table, connection.run(f"DELETE FROM {table} WHERE {where}", (ids,)))
    subject.remove(connection, "corrections", "correction", OWNED, *lists)
    connection.run(f"UPDATE corrections SET superseded_by = NULL WHERE superseded_by {AMONG}", (ids,))
    applied = f"UPDATE correction_applications SET conversation_id = NULL WHERE conversation_id {AMONG}"
    connection.run(applied, (listed(subject.conversations),))
    nobodys = connection.value("SELECT count(*) FROM corrections WHERE user_id IS NULL AND conversation_id IS NULL")
    subject.keep(nobodys, "corrections that name neither a user nor a conversation", "kept, since nothing tells whose they are")
    quoting = connection.value("SELECT count(*) FROM corrections WHERE conversation_id = ?", (subject.home,))
    subject.keep(quoting, "corrections from the conversation of the message", "kept, though they may quote it")
