"""Whole conversations on their way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ..kernel import Connection, Prunable
from .places import begin_run, last_arrival

Forget = Callable[[Connection, list[int]], None]  # tells the keyword index of messages, by number

_COUNT = "SELECT count(*) FROM conversations"
_OLDEST = """
SELECT updated_at, activity, 500 + (
    SELECT coalesce(sum(400 + (length(content) + ifnull(length(tool_calls), 0) + ifnull(length(extra), 0)) * 2), 0)
    FROM messages
    WHERE messages.pk > conversations.pk << 32 AND messages.pk < (conversations.pk + 1) << 32
)
FROM conversations
WHERE (updated_at, activity) > (?, ?)
ORDER BY updated_at, activity
LIMIT ?
"""
_CHOSEN = "SELECT pk FROM conversations ORDER BY updated_at, activity LIMIT ?"
_MESSAGES = """
SELECT arrival, messages.id
FROM json_each(?) AS gone JOIN messages ON messages.pk > gone.value << 32 AND messages.pk < (gone.value + 1) << 32
"""
_SESSIONS = """
DELETE FROM sessions
WHERE id IN (SELECT conversations.id FROM json_each(?) AS gone JOIN conversations ON conversations.pk = gone.value)
"""


def remove_conversations(conn: Connection, pks: Sequence[int], forget: Forget) -> list[str]:
    """Remove conversations with their messages and return the ids of those messages."""
    if not pks:
        return []
    gone = json.dumps(list(pks))
    begin_run(conn, last_arrival(conn) + 1, 0)  # the highest number ever given may be known by a conversation that goes
    messages = conn.rows(_MESSAGES, (gone,))
    forget(conn, [number for number, _ in messages])
    conn.many("DELETE FROM messages WHERE pk > ? << 32 AND pk < (? + 1) << 32", [(pk, pk) for pk in pks])
    conn.run("DELETE FROM arrivals WHERE pk >> 32 IN (SELECT value FROM json_each(?))", (gone,))
    conn.run("DELETE FROM conversations WHERE pk IN (SELECT value FROM json_each(?))", (gone,))
    return [id for _, id in messages]


def prunable_conversations(forget: Forget) -> Prunable:
    """All conversations, archived ones too, by their last activity."""
    return Prunable("conversations", _COUNT, _OLDEST, partial(_remove_oldest, forget))


def _remove_oldest(forget: Forget, conn: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    pks = [row[0] for row in conn.rows(_CHOSEN, (count,))]
    sessions = conn.run(_SESSIONS, (json.dumps(pks),))  # their ids are known by the conversations that go
    return {"conversations": len(pks), "messages": len(remove_conversations(conn, pks, forget)), "sessions": sessions}
