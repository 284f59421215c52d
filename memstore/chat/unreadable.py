"""Messages that cannot be read any more: damaged, or not what their codec has encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

from ..kernel import Connection, Corrupt, Finding, Tampered
from .tables import READ, messages_from

PAGE = 200


def unreadable(conn: Connection) -> Iterator[Finding]:
    """Messages that cannot be read any more; they are looked at one by one only where a page of them cannot."""
    found = conn.rows("SELECT pk, arrival FROM messages ORDER BY pk")
    for at in range(0, len(found), PAGE):
        page = found[at : at + PAGE]
        if _unread(conn, page[0][0], page[-1][0]) is not None:
            broken = ((number, _unread(conn, key, key)) for key, number in page)
            yield from (Finding("damaged", number, why) for number, why in broken if why is not None)


def _unread(conn: Connection, first: int, last: int) -> str | None:
    """Why the messages from one key to another cannot be read, None if they can."""
    try:
        rows = conn.rows(f"SELECT {READ} FROM messages WHERE pk BETWEEN ? AND ?", (first, last))
        messages_from(repeat(""), rows, conn.cipher)
    except (Corrupt, Tampered) as error:
        name = conn.value("SELECT CAST(id AS BLOB) FROM messages WHERE pk = ?", (first,)) or b"?"
        return f"message {name.decode('utf-8', 'replace')} cannot be read: {error}"
    return None
