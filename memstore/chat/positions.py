"""How far conversations have come: what the backups room compares its notes with."""

from __future__ import annotations

from ..kernel import values
from .projects import Projects


class Positions(Projects):
    """A message's position is its number within its conversation: 1, 2, 3 ... in order of arrival, never given twice."""

    def position(self, conversation_id: str) -> int | None:
        """The position of the newest message, 0 before there was one, None for a conversation that is not there.

        Removing messages does not lower it.
        """
        values.key("conversation_id", conversation_id)
        found: int | None = self.db.value("SELECT last_seq FROM conversations WHERE id = ?", (conversation_id,))
        return found

    def positions(self) -> list[tuple[str, int, int]]:
        """Id, position and number of messages of every conversation, newest activity first."""
        rows: list[tuple[str, int, int]] = self.db.rows(
            """
            SELECT conversations.id, conversations.last_seq, coalesce(held.messages, 0)
            FROM conversations
            LEFT JOIN (SELECT pk >> 32 AS owner, count(*) AS messages FROM messages GROUP BY pk >> 32) AS held
                ON held.owner = conversations.pk
            ORDER BY conversations.updated_at DESC, conversations.activity DESC
            """
        )
        return rows
