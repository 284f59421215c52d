"""Chunks as the keyword index reads them, in a file that does not use FTS5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..kernel import Cipher, Corrupt, Room, Tampered
from ..kernel.rows import AMONG, listed
from .tables import SCHEMA

if TYPE_CHECKING:
    from ..kernel import Connection

CARRIED = next(each for each in SCHEMA.carried if each.table == "chunks")


class ChunkTexts:
    """The chunks of documents that are not hidden, numbered by their integer keys, which rise in order of arrival."""

    kind = "chunk"

    def __init__(self, db: Room) -> None:
        self.db = db
        self._served: str | None = None  # which index the file uses, once that is committed

    def present(self) -> bool:
        """Whether this file uses the keyword index."""
        served = self._served
        if served is None and self.db.present("documents"):
            served = self.db.value("SELECT kind FROM chunk_index")
            if not self.db.in_transaction:
                self._served = served
        return served == "keywords"

    def last(self, conn: Connection) -> int:
        """The highest number ever given."""
        self.db.attach(conn)
        # In `main`: a connection that cannot see some room has a `sqlite_sequence` of its temporary tables.
        return int(conn.value("SELECT CAST(seq AS INTEGER) FROM main.sqlite_sequence WHERE name = 'chunks'") or 0)

    def texts(self, conn: Connection, after: int, upto: int, limit: int) -> list[tuple[int, str]]:
        """Numbers and texts of the chunks after one number up to another, ascending; a text that cannot be read is empty."""
        self.db.attach(conn)
        rows = conn.rows(
            """
            SELECT chunks.pk, chunks.id, CAST(chunks.content AS BLOB)
            FROM chunks CROSS JOIN documents ON documents.pk = chunks.document
            WHERE chunks.pk > ? AND chunks.pk <= ? AND documents.is_deleted = 0
            ORDER BY chunks.pk LIMIT ?
            """,
            (after, upto, limit),
        )
        return [(pk, _legible(conn.cipher, id, content)) for pk, id, content in rows]

    def items(self, conn: Connection, numbers: Sequence[int]) -> list[tuple[int, str, str | None, str | None, float]]:
        """Number, id, and time of those chunks that still exist; without a conversation, since that of a document may change."""
        self.db.attach(conn)
        return conn.rows(
            f"SELECT pk, id, NULL, NULL, CAST(created_at AS REAL) FROM chunks WHERE pk {AMONG}", (listed(numbers),)
        )

    def number(self, conn: Connection, item_id: str) -> int | None:
        """The number of the chunk with this id, unless it is hidden."""
        self.db.attach(conn)
        found: int | None = conn.value(
            """
            SELECT chunks.pk FROM chunks CROSS JOIN documents ON documents.pk = chunks.document
            WHERE chunks.id = ? AND documents.is_deleted = 0
            """,
            (item_id,),
        )
        return found

    def picked(self, conn: Connection, numbers: Sequence[int]) -> list[tuple[int, str]]:
        """Numbers and texts of some chunks that are not hidden."""
        rows = conn.rows(
            """
            SELECT chunks.pk, chunks.id, CAST(chunks.content AS BLOB)
            FROM json_each(?) AS wanted CROSS JOIN chunks ON chunks.pk = wanted.value
                CROSS JOIN documents ON documents.pk = chunks.document
            WHERE documents.is_deleted = 0
            """,
            (listed(numbers),),
        )
        return [(pk, _legible(conn.cipher, id, content)) for pk, id, content in rows]

    def extent(self, conn: Connection) -> tuple[int, float]:
        """How many chunks are not hidden, and how many characters they have on average."""
        rows = conn.rows(
            """
            SELECT count(*), CAST(ifnull(avg(chunks.char_count), 0) AS REAL)
            FROM documents CROSS JOIN chunks ON chunks.document = documents.pk WHERE documents.is_deleted = 0
            """
        )
        texts, average = rows[0]
        return texts, average or 1.0


def _legible(cipher: Cipher | None, id: str, stored: bytes | None) -> str:
    """A text, as far as it can be read: a damaged one must not hide the sound ones."""
    text = (stored or b"").decode("utf-8", "replace")
    try:
        return text if cipher is None else cipher.unseal_column(CARRIED, "content", (id,), text) or ""
    except (Corrupt, Tampered):
        return ""
