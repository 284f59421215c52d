"""Who or what is to be forgotten, and what the rooms of a file tell of it while they forget it.

1. One subject goes from room to room inside one transaction. Chat is asked first: it alone knows which conversations and sessions
   belong to a user or a project, and what it finds is what the other rooms go by.
2. A room removes what is the subject's, counts it, and says in a sentence what it keeps and why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .rows import AMONG, listed

if TYPE_CHECKING:
    from .connection import Connection

DISTINCT = 6  # characters from which on an id is hardly anything else by chance
IN_PROJECT = f"project_id {AMONG}"


@dataclass
class Subject:
    """A user, a conversation, a project, a message, a memory or a document, and what is known of it so far."""

    kind: str
    id: str
    names: set[str] = field(default_factory=set)  # other names of a project, which mean no other one
    others: set[str] = field(default_factory=set)  # kinds of which something else, which stays, has the same id
    home: str | None = None  # the conversation of a message
    conversations: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)  # kind and id of each thing that was removed
    counts: dict[str, int] = field(default_factory=dict)  # table -> rows that were removed or emptied
    kept: list[str] = field(default_factory=list)
    forks: list[str] = field(default_factory=list)

    @property
    def distinct(self) -> bool:
        """Whether the id means the subject wherever it stands."""
        return distinct(self.id)

    @property
    def projects(self) -> set[str]:
        """What the projects that go are called, by id or name, in rows of other rooms."""
        ids = {id for kind, id in self.gone if kind == "project"}
        return ids | {self.id, *self.names} if self.kind == "project" else ids

    @property
    def named(self) -> set[tuple[str, str]]:
        """Kind and id of all that others may name and that is gone."""
        return {*self.gone, *(("conversation", id) for id in self.conversations), *(("session", id) for id in self.sessions)}

    def belongings(self) -> tuple[str, tuple[Iterable[str], Iterable[str], Iterable[str]]]:
        """A condition on conversation, user and project of what goes, and the three lists that it takes.

        A project that is erased goes with all that is in it; where it goes with its user, others keep what is theirs.
        """
        whole = IN_PROJECT if self.kind == "project" else f"{IN_PROJECT} AND user_id IS NULL"
        users = [self.id] if self.kind == "user" else []
        return f"conversation_id {AMONG} OR user_id {AMONG} OR {whole}", (self.conversations, users, self.projects)

    def keep_scattered(self, connection: Connection, table: str) -> None:
        """Say of a table what stays since nothing tells whose it is, or though it may quote a message that went."""
        nobodys = f"SELECT count(*) FROM {table} WHERE user_id IS NULL AND project_id IS NULL AND conversation_id IS NULL"
        self.keep(connection.value(nobodys), f"{table} of no user, project or conversation", "kept, since nothing tells whose they are")
        self.keep_quoting(connection, table)

    def keep_quoting(self, connection: Connection, table: str) -> None:
        """Say of a table what stays though it may quote a message that went."""
        quoting = connection.value(f"SELECT count(*) FROM {table} WHERE conversation_id = ?", (self.home,))
        self.keep(quoting, f"{table} from the conversation of the message", "kept, though they may quote it")

    def count(self, table: str, rows: int) -> None:
        """Add to the rows of a table."""
        if rows:
            self.counts[table] = self.counts.get(table, 0) + rows

    def keep(self, things: int, what: str, why: str) -> None:
        """Say how many of something stay, and why."""
        if things:
            self.kept.append(f"{what}: {things:,}, {why}")

    def remove(self, connection: Connection, table: str, kind: str, clause: str, *ids: Iterable[object]) -> list[int]:
        """Remove the rows that a condition on lists of ids chooses, and return their keys; the table has `pk` and `id`."""
        rows = connection.rows(f"SELECT pk, id FROM {table} WHERE {clause}", [listed(names) for names in ids])
        connection.many(f"DELETE FROM {table} WHERE pk = ?", [(pk,) for pk, _ in rows])
        self.count(table, len(rows))
        self.gone += [(kind, id) for _, id in rows]
        return [pk for pk, _ in rows]


def distinct(id: str) -> bool:
    """Whether an id means one thing wherever it stands, which of a word or a small number nobody can say."""
    return len(id) >= DISTINCT and not id.isalpha()
