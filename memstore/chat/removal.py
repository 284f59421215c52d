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
_NUMBERS = """
SELECT arrival
FROM json_each(?) AS gone JOIN messages ON messages.pk > gone.value << 32 AND messages.pk < (gone.value + 1) << 32
"""
_MESSAGES = "DELETE FROM messages WHERE pk > ? << 32 AND pk < (? + 1) << 32"
_RUNS = "DELETE FROM arrivals WHERE pk >> 32 IN (SELECT value FROM json_each(?))"
_SESSIONS = """
DELETE FROM sessions
WHERE id IN (SELECT conversations.id FROM json_each(?) AS gone JOIN conversations ON conversations.pk = gone.value)
"""
_CONVERSATIONS = "DELETE FROM conversations WHERE pk IN (SELECT value FROM json_each(?))"


def remove_conversations(conn: Connection, pks: Sequence[int], forget: Forget) -> dict[str, int]:
    """Remove conversations with their messages and the sessions of their ids; return the rows that went, by table."""
    gone = json.dumps(list(pks))
    # The highest number ever given may be known by a conversation that goes.
    begin_run(conn, last_arrival(conn) + 1, 0)
    forget(conn, [row[0] for row in conn.rows(_NUMBERS, (gone,))])
    messages = conn.many(_MESSAGES, [(pk, pk) for pk in pks])
    conn.run(_RUNS, (gone,))
    sessions = conn.run(_SESSIONS, (gone,))
    return {"conversations": conn.run(_CONVERSATIONS, (gone,)), "messages": messages, "sessions": sessions}


def prunable_conversations(forget: Forget) -> Prunable:
    """All conversations, archived ones too, by their last activity."""
    return Prunable("conversations", _COUNT, _OLDEST, partial(_remove_oldest, forget))


def _remove_oldest(forget: Forget, conn: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    return remove_conversations(conn, [row[0] for row in conn.rows(_CHOSEN, (count,))], forget)
