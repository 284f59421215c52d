"""The words of chunks: FTS5 where SQLite has it and the file is not encrypted, the keyword index elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..kernel import Finding, Room

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..keywords import KeywordIndex

Text = tuple[int, str]  # the integer key of a chunk, and its content


class ChunkIndex:
    """What finds chunks by their words."""

    def __init__(self, db: Room, keywords: Callable[[], KeywordIndex]) -> None:
        self.db = db
        self._keywords = keywords

    def add(self, connection: Connection, texts: Sequence[Text]) -> None:
        """Index new chunks of documents that are not hidden, in the transaction that writes them."""
        raise NotImplementedError

    def remove(self, connection: Connection, texts: Sequence[Text]) -> None:
        """Take chunks out, with the texts that they were indexed with."""
        raise NotImplementedError

    def wipe(self, connection: Connection) -> None:
        """Leave no byte of what was taken out, for `Store.erase`."""
        raise NotImplementedError

    def rebuild(self, connection: Connection) -> None:
        """Index all chunks of documents that are not hidden anew."""
        raise NotImplementedError

    def check(self) -> list[Finding]:
        """Compare the index with the chunks."""
        raise NotImplementedError
