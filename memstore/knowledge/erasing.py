"""Forgetting: what a user, a conversation or a project left in the graph, and what named things that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.subject import AMONG, Subject, listed
from .joining import move

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..kernel import Connection

#: A project that is erased goes with all that is in it; where it goes with its user, others keep what is theirs.
WHOLE = f"project_id {AMONG}"
UNOWNED = f"{WHOLE} AND user_id IS NULL"
OWNED = f"conversation_id {AMONG} OR user_id {AMONG}"
NOBODYS = "SELECT count(*) FROM entities WHERE user_id IS NULL AND project_id IS NULL AND conversation_id IS NULL"
#: A kind that somebody has registered for himself may say as much as any text of his.
UNUSED = f"DELETE FROM relationship_kinds WHERE kind {AMONG} AND kind NOT IN (SELECT kind FROM relationships)"
REFERRING = f"EXISTS (SELECT 1 FROM json_each(source_refs) WHERE value {AMONG})"
FEWER = f"(SELECT json_group_array(value) FROM json_each(source_refs) WHERE NOT value {AMONG})"


def erase(connection: Connection, subject: Subject) -> None:
    """Remove what is the subject's, and what stays no longer names what is gone."""
    owners = [subject.id] if subject.kind == "user" else []
    projects = {id for kind, id in subject.gone if kind == "project"}
    if subject.kind == "project":
        projects |= {subject.id, *subject.names}
    where = f"{OWNED} OR {WHOLE if subject.kind == 'project' else UNOWNED}"
    lists = (subject.conversations, owners, projects)
    rows = connection.rows(f"SELECT pk FROM entities WHERE {where}", [listed(items) for items in lists])
    going = [pk for (pk,) in rows]
    clause = f"{where} OR source {AMONG} OR target {AMONG}"
    ends = [listed(items) for items in (*lists, going, going)]
    kinds = listed(kind for (kind,) in connection.rows(f"SELECT DISTINCT kind FROM relationships WHERE {clause}", ends))
    subject.remove(connection, "relationships", "relationship", clause, *lists, going, going)
    subject.count("relationship_kinds", connection.run(UNUSED, (kinds,)))
    subject.remove(connection, "observations", "observation", f"{OWNED} OR entity {AMONG}", *lists[:2], going)
    for table in ("entity_versions", "entity_names", "entity_words"):
        subject.count(table, connection.run(f"DELETE FROM {table} WHERE entity {AMONG}", (listed(going),)))
    subject.remove(connection, "entities", "entity", f"pk {AMONG}", going)
    _leave_projects(connection, subject, projects)
    _unlink(connection, subject)
    subject.keep(connection.value(NOBODYS), "entities of no user, project or conversation", "kept, since nothing tells whose they are")
    for table in ("entities", "observations"):
        quoting = connection.value(f"SELECT count(*) FROM {table} WHERE conversation_id = ?", (subject.home,))
        subject.keep(quoting, f"{table} from the conversation of the message", "kept, though they may quote it")


def _leave_projects(connection: Connection, subject: Subject, projects: Iterable[str]) -> None:
    """Put what other users have in a project that went into none."""
    left = 0
    for project in sorted(projects):
        left += move(connection, project, None)
    subject.keep(left, "entities of other users in a project that went", "kept, in no project")


def _unlink(connection: Connection, subject: Subject) -> None:
    """Take the ids of what is gone out of rows that stay."""
    entities = listed(id for kind, id in subject.gone if kind == "entity")
    named = {*subject.gone, *(("conversation", id) for id in subject.conversations), *(("session", id) for id in subject.sessions)}
    references = listed(sorted(f"{kind}:{id}" for kind, id in named))
    for table in ("entities", "entity_versions"):
        connection.run(f"UPDATE {table} SET superseded_by = NULL WHERE superseded_by {AMONG}", (entities,))
    for table in ("entities", "entity_versions", "relationships", "observations"):
        connection.run(f"UPDATE {table} SET source_refs = {FEWER} WHERE {REFERRING}", (references, references))
