"""Where indexed text comes from: rooms that own it, and items added by hand.

1. A source gives each text a number that only rises and is never used again. What else it tells of an item never changes.
2. What a source no longer has, its room reports with `KeywordIndex.discard` in the transaction that takes it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..kernel import Corrupt, Tampered, values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel import Cipher, Connection

    Item = tuple[int, str, str | None, str | None, float]  # number, item_id, conversation_id, role, created_at


TEXT = "keyword_items.text"  # as what is sealed is bound to it


class TextSource(Protocol):
    """A room whose texts are searched."""

    kind: str

    def present(self) -> bool:
        """Whether the file has the room's tables."""

    def last(self, conn: Connection) -> int:
        """The highest number ever given out, 0 for none."""

    def texts(self, conn: Connection, after: int, upto: int, limit: int) -> list[tuple[int, str]]:
        """(number, text) with after < number <= upto, ascending, at most `limit`."""

    def items(self, conn: Connection, numbers: Sequence[int]) -> list[Item]:
        """What is known of those numbers that still exist."""

    def number(self, conn: Connection, item_id: str) -> int | None:
        """The number of an item, None if there is none."""


class ByHand:
    """The items of `KeywordIndex.add`, in the form of a source; its kind is '' and each item has its own."""

    kind = ""

    def present(self) -> bool:
        """Always: the table is the index's own."""
        return True

    def last(self, conn: Connection) -> int:
        """The highest number in use."""
        return int(conn.value("SELECT coalesce(max(pk), 0) FROM keyword_items"))

    def texts(self, conn: Connection, after: int, upto: int, limit: int) -> list[tuple[int, str]]:
        """(number, text) with after < number <= upto, ascending, at most `limit`."""
        rows = conn.rows(
            "SELECT pk, CAST(text AS BLOB), kind, item_id FROM keyword_items WHERE pk > ? AND pk <= ? ORDER BY pk LIMIT ?",
            (after, upto, limit),
        )
        return [(pk, _legible(conn.cipher, *owned)) for pk, *owned in rows]

    def items(self, conn: Connection, numbers: Sequence[int]) -> list[Item]:
        """What is known of those numbers that still exist."""
        return [row[:5] for row in self.described(conn, numbers)]

    def number(self, conn: Connection, item_id: str) -> int | None:
        """None: an id alone does not identify what was added by hand."""
        return None

    def described(self, conn: Connection, numbers: Sequence[int]) -> list[tuple[int, str, str | None, str | None, float, str, int]]:
        """The items with kind and arrival."""
        return conn.rows(
            "SELECT pk, item_id, conversation_id, role, CAST(created_at AS REAL), kind, arrival"
            " FROM keyword_items WHERE pk IN (SELECT value FROM json_each(?))",
            (values.to_json("numbers", list(numbers)),),
        )

    def find(self, conn: Connection, kind: str, item_id: str) -> str | None:
        """The text of one item."""
        text: str | None = conn.value("SELECT text FROM keyword_items WHERE item_id = ? AND kind = ?", (item_id, kind))
        return text if text is None or conn.cipher is None else conn.cipher.unseal(TEXT, (kind, item_id), text)

    def taken(self, conn: Connection, kind: str, item_ids: Sequence[str]) -> set[str]:
        """Which of the ids of that kind were added by hand."""
        rows = conn.rows(
            "SELECT item_id FROM keyword_items WHERE kind = ? AND item_id IN (SELECT value FROM json_each(?))",
            (kind, values.to_json("item_ids", list(item_ids))),
        )
        return {row[0] for row in rows}


def _legible(cipher: Cipher | None, stored: bytes, *owner: str) -> str:
    """A text, or what is left of it: a damaged one must not hide the sound ones."""
    text = stored.decode("utf-8", "replace")
    try:
        return text if cipher is None else cipher.unseal(TEXT, owner, text)
    except (Corrupt, Tampered):
        return ""
