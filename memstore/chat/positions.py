"""How far conversations have come: what the backups room compares its notes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import values
from .projects import Projects

if TYPE_CHECKING:
    from datetime import datetime


class Positions(Projects):
    """A message's position is its number within its conversation: 1, 2, 3 ... in order of arrival, never given twice."""

    def position(self, conversation_id: str, *, before: float | datetime | None = None) -> int | None:
        """The position of the newest message, 0 before there was one, None for a conversation that is not there.

        Removing messages does not lower it. `before` is a time: up to the first message that is not older.
        """
        values.key("conversation_id", conversation_id)
        end = values.optional(values.moment, "before", before)
        found: int | None = self.db.value(
            """
            SELECT coalesce(
                (
                    SELECT (messages.pk & 4294967295) - 1
                    FROM messages
                    WHERE messages.pk > conversations.pk << 32 AND messages.pk < conversations.pk + 1 << 32 AND messages.created_at >= ?
                    ORDER BY messages.pk
                    LIMIT 1
                ),
                last_seq
            )
            FROM conversations
            WHERE id = ?
            """,
            (end, conversation_id),
        )
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
