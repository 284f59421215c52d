"""FTS5: whether this SQLite has it, and how it splits a text into words.

The trap: which characters belong to words, and how their case and accents are folded, depends on SQLite's own tables, which follow
another version of Unicode than Python's. So FTS5 itself is asked, about a block of characters when one of them is first met. It judges
each character alone, and what it drops within a word it skips before one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection

BLOCK = 256  # characters that are asked about together, which takes a millisecond


def has_fts5(connection: Connection) -> bool:
    """Whether the SQLite of this Python has FTS5."""
    return connection.value("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'") is not None


class Folding(dict[int, "str | None"]):
    """For `str.translate`: what FTS5 makes of each character, a space where it divides words, None where it drops it."""

    def __missing__(self, code: int) -> str | None:
        first = code - code % BLOCK
        block = [each for each in range(first, first + BLOCK) if not 0xD800 <= each < 0xE000]  # surrogates are in no stored text
        with contextlib.closing(sqlite3.connect(":memory:")) as scratch:
            scratch.execute("CREATE VIRTUAL TABLE asked USING fts5(text, content = '')")
            scratch.execute("CREATE VIRTUAL TABLE answers USING fts5vocab(asked, 'instance')")
            scratch.executemany("INSERT INTO asked(rowid, text) VALUES (?, ?)", [(each, f"a{chr(each)}b") for each in block])
            found: dict[int, str | None] = dict.fromkeys(block, " ")
            found.update((each, word[1:-1] or None) for each, word in scratch.execute("SELECT doc, term FROM answers") if len(word) > 1)
        self.update(found)
        return found.get(code, " ")


FOLDING = Folding()
