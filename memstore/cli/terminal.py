"""Lines for people: aligned, cut and coloured for a terminal; whole and plain for everything else.

The trap: what is stored was written by users, models and tools. A control character of theirs must never reach the terminal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ..chat import MessageHit

Style = Callable[[str], str]
JOINERS = "\u200c\u200d"  # within words and emoji; other invisible characters only mislead


class Page:
    """Where output goes: how wide it is (None: a pipe, nothing is cut), and whether it shows colour."""

    def __init__(self, stream: TextIO | None = None) -> None:
        out = sys.stdout if stream is None else stream
        terminal = out.isatty()
        self.width = max(40, shutil.get_terminal_size().columns) if terminal else None
        self.colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and _shows_escapes()

    def bold(self, text: str) -> str:
        """What the eye should find first."""
        return self._styled("1", text)

    def dim(self, text: str) -> str:
        """What stands back."""
        return self._styled("2", text)

    def good(self, text: str) -> str:
        """What was hoped for."""
        return self._styled("32", text)

    def bad(self, text: str) -> str:
        """What is wrong."""
        return self._styled("31", text)

    def found(self, text: str) -> str:
        """What was searched for."""
        return self._styled("1;33", text)

    def _styled(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour and text else text

    def _left(self, used: int) -> int | None:
        return None if self.width is None else max(10, self.width - used)

    def table(
        self, rows: Sequence[Sequence[str]], styles: Sequence[Style | None] = (), *, indent: str = "", found: Sequence[str] | None = None
    ) -> Iterator[str]:
        """Lines of aligned columns, two spaces between them; the last one takes what is left of the line.

        With `found`, what a search asked for, the last column shows the place that answers and marks it.
        """
        widths = [max(map(cells, column)) for column in zip(*rows)][:-1]
        for row in rows:
            shown = [pad(cell, width) for cell, width in zip(row, widths)]
            left = self._left(len(indent) + sum(widths) + 2 * len(widths))
            shown.append(cut(row[-1], left) if found is None else self._mark(around(row[-1], found, left), found))
            for place, style in enumerate(styles):
                shown[place] = shown[place] if style is None else style(shown[place])
            yield (indent + "  ".join(shown)).rstrip()

    def whole(self, rows: Sequence[Sequence[str]], *, indent: str = "") -> Iterator[list[str]]:
        """The same for what is never cut: the lines of each row, the last column going on beneath itself."""
        hang = len(indent) + sum(2 + max(map(cells, column)) for column in list(zip(*rows))[:-1])
        width, self.width = self.width, None
        lines = list(self.table(rows, indent=indent))
        self.width = width
        for line in lines:
            if width is None:
                yield [line]
            else:
                yield textwrap.wrap(line, width, subsequent_indent=" " * min(hang, width // 2), break_on_hyphens=False)

    def _mark(self, text: str, asked: Sequence[str]) -> str:
        if not self.colour:
            return text
        result, done = [], 0
        for start, end in _spans(text, asked):
            result += [text[done:start], self.found(text[start:end])]
            done = end
        return "".join([*result, text[done:]])


def _shows_escapes() -> bool:
    return os.name != "nt" or "WT_SESSION" in os.environ or "ANSICON" in os.environ


# -- text ---------------------------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """The text on one line, and harmless."""
    return "".join(sign if sign.isprintable() or sign in JOINERS else "\ufffd" for sign in " ".join(text.split()))


def excerpt(hit: MessageHit) -> str:
    """The snippet of a hit on one line, with spaces for the line breaks that are escapes in the JSON of a tool call."""
    plain = hit.snippet if hit.message.tool_calls is None else re.sub(r"(?<!\\)\\[nrt]", " ", hit.snippet)
    return one_line(plain)


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(sign) for sign in text)


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or sign in JOINERS or unicodedata.category(sign) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def pad(text: str, width: int) -> str:
    """The text with spaces behind it up to a width."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int | None) -> str:
    """The text, or its beginning and an ellipsis where it is wider."""
    if width is None or cells(text) <= width:
        return text
    room, kept = width - 1, []
    for sign in text:
        room -= _cells(sign)
        if room < 0:
            break
        kept.append(sign)
    return "".join(kept).rstrip() + "…"


def around(text: str, asked: Sequence[str], width: int | None) -> str:
    """The text, or the part of it around the first word that was asked for."""
    if width is None or cells(text) <= width:
        return text
    at = next((start for start, _ in _spans(text, asked)), 0)
    if at <= width * 2 // 3:
        return cut(text, width)
    start = max(0, min(at - width // 3, len(text) - width + 1))
    start = next((spot + 1 for spot in range(start, at) if text[spot] == " "), start)
    return cut("…" + text[start:], width)


def _spans(text: str, asked: Sequence[str]) -> list[tuple[int, int]]:
    """Where words of the text begin as asked, without overlaps."""
    folded = [(part, place) for place, sign in enumerate(text) for part in _folded(sign)]
    plain = "".join(part for part, _ in folded)
    found = []
    for word in asked:
        at = plain.find(word)
        while at >= 0:
            start, end = folded[at][1], folded[at + len(word) - 1][1] + 1
            if _begins(text, start):
                found.append((start, end))
            at = plain.find(word, at + 1)
    result: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if not result or start >= result[-1][1]:
            result.append((start, end))
    return result


def _folded(sign: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part)).casefold()


def _begins(text: str, at: int) -> bool:
    """Whether a word, or a part of an identifier, begins here; in scripts without spaces each character does."""
    if at == 0 or not text[at - 1].isalnum():
        return True
    before, here = text[at - 1], text[at]
    return (here.isupper() and not before.isupper()) or here.isdigit() != before.isdigit() or unicodedata.category(here) == "Lo"


# -- figures ------------------------------------------------------------------------------------------------------------


def count(number: int, thing: str) -> str:
    """`1 message`, `1,200 messages`."""
    if number == 1:
        return f"1 {thing}"
    if thing.endswith("s"):
        return f"{number:,} {thing}es"
    return f"{number:,} {thing[:-1]}ies" if thing.endswith(("ry", "ty")) else f"{number:,} {thing}s"


def size(number: int) -> str:
    """Bytes as people read them."""
    figure = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if figure < 999.5 or unit == "TB":
            break
        figure /= 1000
    return f"{figure:.{int(unit != 'B' and figure < 9.95)}f} {unit}"


def moment(seconds: float) -> str:
    """A time in the zone of whoever looks; a number that no calendar has stays a number."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"


def print_json(document: Any) -> None:
    """Print one JSON document."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"  # what the pipe cannot hold is escaped, not lost
    print(json.dumps(document, ensure_ascii=plain, indent=2))
