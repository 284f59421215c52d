"""Where files of OpenAI messages go: a message a line is one conversation, a line `{"messages": [...]}` is one of its own.

1. The first line says which of the two a file is; a line of the other kind is refused.
2. Lines have no ids, so they are known by what they say and how often it was said before: a file may grow at its end, and be read
   again. A line that is changed is a new one.
3. Loose messages go to the conversation that is named, or that has the name of the file.

The trap: two files of the same name would run into one another, so a conversation that came from another path, or from elsewhere,
is gone on with only where it is named.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, values
from .intake import Digests, Part, message
from .lines import LineFiles, existing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..chat import Message
    from .intake import Intake, Row

ORIGIN = "chat"
BESIDE: dict[str, str] = {}


def open_source(path: Any, *, shared: bool = False) -> LineFiles:
    """Open a file of messages or conversations."""
    place = existing(path)
    if not os.path.isfile(place):
        raise Invalid(f"{place} is not a regular file")
    return LineFiles(place, {os.path.basename(place): place})


class Tables:
    """Takes lines to chat."""

    def __init__(self, intake: Intake, conversation: str | None = None) -> None:
        self._intake = intake
        self._chat = intake.store.chat
        (self._file,) = intake.source.tables()
        self._name = os.path.splitext(self._file)[0]
        self._named = conversation is not None
        self._conversation = self._name if conversation is None else conversation

    def parts(self) -> list[Part]:
        """The one file, as messages or as conversations."""
        first = next((line for page in self._intake.source.pages(self._file) for line in page if line), {})
        if _is_conversation(first):
            if self._named:
                raise Invalid(f"{self._file} holds whole conversations; conversation= is for a file of loose messages")
            take = self._intake.each(self._whole)
            return [Part(self._file, "chat", Digests(ORIGIN), take, born=None, into="conversations")]
        digests, home = Digests(ORIGIN, self._conversation), {("conversation", self._conversation)}
        return [
            Part(self._file, "chat", digests, self._loose, None, into="messages", term=" AND supplied = 1", owners=lambda row: home)
        ]

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def _whole(self, row: Row) -> None:
        said = row.need("messages") if _is_conversation(row.left) else None
        if not isinstance(said, list):
            raise Invalid("it is no conversation, which the lines before it are: it has no list of messages")
        for item in said:
            _check(item)
        with self._intake.store.transaction():
            self._chat.create_conversation(id=row.id, title=f"{self._name}, {row.place}", metadata=row.metadata(ORIGIN))
            self._chat.append_many(row.id, said)

    def _loose(self, rows: list[Row]) -> None:
        if rows:
            self._begin()
        self._intake.together(rows, self._message, self._write)

    def _begin(self) -> None:
        """Make the conversation, or go on with it where it came from this file."""
        place = self._intake.place
        try:
            found = self._chat.get_conversation(self._conversation)
        except NotFound:
            return
        if not self._named and (found.metadata or {}).get(ORIGIN) != {"path": place}:
            raise Invalid(
                f"there is a conversation {values.shorten(self._conversation)} that did not come from {place}; "
                "name it to go on with it, or name another one (conversation=, on the command line --conversation)"
            )

    def _message(self, row: Row) -> Message:
        _check(row.columns)
        form, row.left = dict(row.columns), {}
        return message(form, row.id, self._conversation)

    def _write(self, messages: list[Message]) -> None:
        metadata = {ORIGIN: {"path": self._intake.place}}
        with self._intake.store.transaction():
            self._chat.create_conversation(id=self._conversation, exist_ok=True, title=self._name, metadata=metadata)
            self._chat.append_many(self._conversation, messages)


def _is_conversation(line: dict[str, Any]) -> bool:
    return "messages" in line and "role" not in line


def _check(said: Any) -> None:
    """Refuse what is neither a message nor an item; the room would keep any object as an item."""
    if not isinstance(said, dict) or ("role" not in said and "type" not in said):
        raise Invalid(f"{values.shorten(said)} is no message: it has neither a role nor a type")
