"""A conversation as the OpenAI Agents SDK keeps one: an object with four async methods, known by its shape."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..kernel import NotFound, values
from .rows import listed

if TYPE_CHECKING:
    from . import ChatStore

Json = dict[str, Any]


class AgentSession:
    """What the Agents SDK accepts as its session: `Runner.run(agent, text, session=store.chat.session("support-42"))`.

    Items come back as they went in. The conversation comes into being with the first item; its id is the session's.
    """

    def __init__(self, chat: ChatStore, session_id: str, run: Callable[..., Any]) -> None:
        self.session_id = values.key("session_id", session_id)
        self.session_settings: Any = None  # the SDK may set one; its `limit` is the default of get_items
        self._chat = chat
        self._run = run

    async def get_items(self, limit: int | None = None) -> list[Json]:
        """The newest `limit` items, oldest first; all by default, none for 0 and below."""
        if limit is None:
            limit = getattr(self.session_settings, "limit", None)
        if limit is not None:
            limit = max(0, values.integer("limit", limit))
        items: list[Json] = await self._call(self._items, limit)
        return items

    async def add_items(self, items: list[Json]) -> None:
        """Append items, all or none; any JSON object is one."""
        await self._call(self._add, list(listed("items", items)))

    async def pop_item(self) -> Json | None:
        """Remove the newest item and return it; None if there is none."""
        item: Json | None = await self._call(self._pop)
        return item

    async def clear_session(self) -> None:
        """Remove all items, with an audit event; the conversation stays."""
        await self._call(self._clear)

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        # Another thread would wait for the transaction that this task is inside.
        if self._chat.db.in_transaction:
            return function(*args)
        return await self._run(function, *args)

    def _items(self, limit: int | None) -> list[Json]:
        with suppress(NotFound):
            return [message.to_openai() for message in self._chat.messages(self.session_id, limit=limit)]
        return []

    def _add(self, items: list[Json]) -> None:
        if items:
            with self._chat.db.write():
                self._chat.create_conversation(id=self.session_id, exist_ok=True)
                self._chat.append_many(self.session_id, items)

    def _pop(self) -> Json | None:
        with suppress(NotFound):
            newest = self._chat.pop(self.session_id)
            return None if newest is None else newest.to_openai()
        return None

    def _clear(self) -> None:
        with suppress(NotFound):
            self._chat.clear(self.session_id)
