"""Forgetting: items that were added by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.rows import AMONG, listed
from ..kernel.subject import Subject

if TYPE_CHECKING:
    from ..kernel import Connection

ABOUT = """
    SELECT item.pk
    FROM json_each(?) AS gone CROSS JOIN keyword_items AS item
        ON item.item_id = json_extract(gone.value, '$[1]') AND item.kind = json_extract(gone.value, '$[0]')
"""


def erase_items(connection: Connection, subject: Subject) -> list[int]:
    """Remove what was added for the subject's conversations, about what went with it or under its own id; return the numbers."""
    owned = f"SELECT pk FROM keyword_items WHERE conversation_id {AMONG} OR item_id = ? AND (kind = ? OR ?)"
    found = connection.rows(owned, (listed(subject.conversations), subject.id, subject.kind, subject.distinct))
    pks = sorted({pk for (pk,) in found + connection.rows(ABOUT, (listed(subject.gone),))})
    rows = connection.rows(f"SELECT item_id FROM keyword_items WHERE pk {AMONG}", (listed(pks),))
    subject.count("keyword_items", connection.run(f"DELETE FROM keyword_items WHERE pk {AMONG}", (listed(pks),)))
    subject.gone += [("keyword", item_id) for (item_id,) in rows]
    return pks
