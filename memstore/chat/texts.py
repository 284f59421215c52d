"""What is searchable in messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..kernel import Cipher, Connection, Corrupt, Room, Tampered
from . import forms
from .places import AT_WANTED, find_message, last_arrival
from .tables import CARRIED, MESSAGES


class MessageTexts:
    """The messages of a store as the keyword index reads them: numbered in order of arrival."""

    kind = "message"

    def __init__(self, db: Room) -> None:
        self.db = db

    def present(self) -> bool:
        """Whether the file has a chat room."""
        return self.db.present("chat")

    def last(self, conn: Connection) -> int:
        """The highest number ever given; it rises only."""
        self.db.attach(conn)
        return last_arrival(conn)

    def texts(self, conn: Connection, after: int, upto: int, limit: int) -> list[tuple[int, str]]:
        """Numbers and texts of the messages after one number up to another, ascending.

        What cannot be decoded counts as no text: a damaged row must not hide the sound ones; `check` names it.
        """
        self.db.attach(conn)
        rows = conn.rows(
            """
            SELECT arrival, CAST(role AS BLOB), CAST(content AS BLOB), CAST(tool_calls AS BLOB), CAST(extra AS BLOB),
                iif(?, CAST(id AS BLOB), NULL)
            FROM arrivals AS run CROSS JOIN messages
                ON messages.pk >= run.pk + max(? + 1 - run.first, 0)
                AND messages.pk < run.pk - run.first + coalesce((SELECT min(first) FROM arrivals WHERE first > run.first), ? + 1)
            WHERE run.first >= coalesce((SELECT max(first) FROM arrivals WHERE first <= ? + 1), 0)
              AND run.first <= ?
              AND arrival = run.first + messages.pk - run.pk
              AND arrival <= ?
            ORDER BY run.first, messages.pk
            LIMIT ?
            """,
            (conn.cipher is not None, after, upto, after, upto, upto, limit),
        )
        if conn.cipher is not None:
            return [(arrival, _searchable(*_unsealed(conn.cipher, *parts))) for arrival, *parts in rows]
        return [(arrival, _searchable(*parts)) for arrival, *parts, _ in rows]

    def items(self, conn: Connection, numbers: Sequence[int]) -> list[tuple[int, str, str | None, str | None, float]]:
        """Number, id, conversation, role and time of those messages that still exist."""
        self.db.attach(conn)
        rows: list[Any] = conn.rows(
            f"""
            SELECT messages.arrival, messages.id, conversations.id, messages.role, CAST(messages.created_at AS REAL)
            FROM json_each(?) AS wanted {AT_WANTED} JOIN conversations ON conversations.pk = messages.pk >> 32
            """,
            (json.dumps(list(numbers)),),
        )
        return rows

    def number(self, conn: Connection, item_id: str) -> int | None:
        """The number of the message with this id."""
        self.db.attach(conn)
        found = find_message(conn, item_id)
        return None if found is None else found[1]


def _unsealed(cipher: Cipher, role: bytes | None, *stored: bytes | None) -> tuple[bytes | None, ...]:
    """Role, content, tool calls and extra; what does not open is left out, like all that is damaged."""
    *sealed, id = stored
    opened: list[bytes | None] = [role]
    for name, value in zip(("content", "tool_calls", "extra"), sealed):
        try:
            text = cipher.unseal_column(CARRIED, name, (_text(id),), None if value is None else _text(value))
            opened.append(None if text is None else text.encode())
        except (Corrupt, Tampered):
            opened.append(None)
    return tuple(opened)


def _searchable(role: bytes | None, content: bytes | None, tool_calls: bytes | None, extra: bytes | None) -> str:
    text = _text(content)
    if tool_calls is None and extra is None:
        return text
    form = forms.join(_text(role), text, _document("tool_calls", tool_calls), None, None, _document("extra", extra))
    return "\n".join(forms.texts(form))


def _text(stored: bytes | None) -> str:
    return "" if stored is None else stored.decode("utf-8", "replace")


def _document(field: str, stored: bytes | None) -> Any:
    try:
        return None if stored is None else MESSAGES.decode(field, _text(stored))
    except Corrupt:
        return None
