"""Forgetting: what a user, a conversation or a project left in the graph, and what named things that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed
from ..kernel.subject import Subject
from .joining import move_graph
from .removal import UNUSED

if TYPE_CHECKING:
    from ..kernel import Connection

REFERRING = f"EXISTS (SELECT 1 FROM json_each(source_refs) WHERE value {AMONG})"
FEWER = f"(SELECT json_group_array(value) FROM json_each(source_refs) WHERE NOT value {AMONG})"


def erase(connection: Connection, subject: Subject) -> None:
    """Remove what is the subject's, and what stays no longer names what is gone."""
    where, lists = subject.belongings()
    rows = connection.rows(f"SELECT pk FROM entities WHERE {where}", [listed(items) for items in lists])
    going = [pk for (pk,) in rows]
    clause = f"{where} OR source {AMONG} OR target {AMONG}"
    ends = [listed(items) for items in (*lists, going, going)]
    kinds = listed(kind for (kind,) in connection.rows(f"SELECT DISTINCT kind FROM relationships WHERE {clause}", ends))
    subject.remove(connection, "relationships", "relationship", clause, *lists, going, going)
    subject.count("relationship_kinds", connection.run(UNUSED, (kinds,)))
    clause = f"conversation_id {AMONG} OR user_id {AMONG} OR entity {AMONG}"
    subject.remove(connection, "observations", "observation", clause, *lists[:2], going)
    for table in ("entity_versions", "entity_names", "entity_words"):
        subject.count(table, connection.run(f"DELETE FROM {table} WHERE entity {AMONG}", (listed(going),)))
    subject.remove(connection, "entities", "entity", f"pk {AMONG}", going)
    _leave_projects(connection, subject)
    _unlink(connection, subject)
    subject.keep_scattered(connection, "entities")
    subject.keep_quoting(connection, "observations")


def _leave_projects(connection: Connection, subject: Subject) -> None:
    """Put what other users have in a project that went into none."""
    left = 0
    for project in sorted(subject.projects):
        left += move_graph(connection, project, None)["entities"]
    subject.keep(left, "entities of other users in a project that went", "kept, in no project")


def _unlink(connection: Connection, subject: Subject) -> None:
    """Take the ids of what is gone out of rows that stay."""
    entities = listed(id for kind, id in subject.gone if kind == "entity")
    references = listed(sorted(f"{kind}:{id}" for kind, id in subject.named))
    for table in ("entities", "entity_versions"):
        connection.run(f"UPDATE {table} SET superseded_by = NULL WHERE superseded_by {AMONG}", (entities,))
    for table in ("entities", "entity_versions", "relationships", "observations"):
        connection.run(f"UPDATE {table} SET source_refs = {FEWER} WHERE {REFERRING}", (references, references))
