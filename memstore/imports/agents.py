"""Where the sessions of the OpenAI Agents SDK go: a session is a conversation, an item is a message.

`store.chat.session(id).get_items()` gives the items back as the SDK's own SQLiteSession does, and one that it cannot read either is
refused. Tables are known by their columns, because their names are the caller's to choose.
"""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.foreign import ForeignFile
from .intake import Part, database, digest, message, parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..chat import Message
    from .intake import Intake, Row

BESIDE: dict[str, str] = {}
SESSIONS = ["session_id", "created_at", "updated_at"]
ITEMS = {"id", "session_id", "message_data"}


def open_source(path: Any, *, shared: bool = False) -> ForeignFile:
    """Open a file of sessions."""
    return database(path, "a file of Agents SDK sessions", lambda tables: any(map(ITEMS.issubset, tables.values())), ForeignFile, shared)


class Tables:
    """Takes sessions and items to chat."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._chat = intake.store.chat
        self._updated: dict[str, Any] = {}  # of the conversations that came in now: their items must not move it

    def parts(self) -> list[Part]:
        """The sessions first: they know when they began."""
        tables = self._intake.source.tables()
        sessions = [
            Part(name, "chat", "session_id", self._intake.each(self._session), into="conversations")
            for name, columns in tables.items()
            if columns == SESSIONS
        ]
        items = [
            Part(name, "chat", partial(_id, name), self._items, into="messages", term=" AND supplied = 1")
            for name, columns in tables.items()
            if ITEMS.issubset(columns)
        ]
        return sessions + items

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def _session(self, row: Row) -> None:
        times = row.moments("created_at", "updated_at")
        self._updated[row.id] = self._chat.create_conversation(id=row.id, **times).updated_at

    def _items(self, rows: list[Row]) -> None:
        rows.sort(key=lambda row: str(row.left.get("session_id")))  # each session stays in its order
        for session_id, group in groupby(rows, lambda row: row.left.get("session_id")):
            self._intake.together(list(group), self._item, partial(self._write, session_id))

    def _item(self, row: Row) -> Message:
        item = parsed("message_data", row.need("message_data"))
        if not isinstance(item, dict):
            raise Invalid(f"message_data is not a JSON object but {values.shorten(item)}")
        row.left.pop("id", None)
        return message(item, row.id, row.need("session_id"), **row.moments("created_at"))

    def _write(self, session_id: Any, items: list[Message]) -> None:
        with self._intake.store.transaction():  # a session without a row of its own begins with its first item, or not at all
            self._chat.create_conversation(id=session_id, exist_ok=True, created_at=items[0].created_at)
            self._chat.append_many(session_id, items, updated_at=self._updated.get(session_id))


def _id(table: str, columns: dict[str, Any]) -> str:
    """An id over all files: the SDK counts each one's items from 1."""
    told = [columns.get(name) for name in ("session_id", "id", "message_data")]
    return digest(table, *told)
