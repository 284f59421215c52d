"""Cutting a text into pieces that are worth finding: along its structure where it has one, else in overlapping windows.

1. The pieces tile the text: the first begins it, the last ends it, and each begins where the one before ends or sooner. Every
   character, white space too, lies in a piece, and a piece is exactly `text[start:end]`.
2. No piece is longer than `size`. None is blank, unless the text is, or has a run of white space that fills half a piece.
3. A heading begins a piece, and so does a function or a class: a change in one section leaves the pieces of the others as they are.
4. Pieces overlap only where a block longer than `size` was cut into windows.
5. The time is linear in the length of the text, whatever it contains.

Python is read line by line, with strings and comments skipped: `ast` refuses a file with a single mistake, drops comments, and is slower.

The trap: a line that looks like a heading, or like a function, may stand inside a code fence or a string.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from ..kernel import Invalid, values

Kind = Literal["text", "markdown", "python", "code"]

SIZE = 1000  # characters of a piece, unless the caller says otherwise
OVERLAP = 150  # characters that windows of this size share; the same share of other sizes
TITLE = 80  # characters of a heading that a path keeps

_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".qmd", ".rst"), "markdown"),
    **dict.fromkeys((".py", ".pyi", ".pyw"), "python"),
    **dict.fromkeys((".txt", ".text", ".log"), "text"),
}


class Piece(NamedTuple):
    """A piece of a text, `text[start:end]`, and the headings above it, "Install > Linux"."""

    start: int
    end: int
    heading_path: str


class _Block(NamedTuple):
    """A paragraph, a fenced block, or a heading with what follows it; it ends where the next block starts."""

    start: int
    code: bool  # cut at lines rather than at sentences


class _Section(NamedTuple):
    path: str
    blocks: list[_Block]


def kind_of(suffix: str | None) -> Kind:
    """How a file with a suffix is cut; without one like Markdown, whose paragraphs are those of any text."""
    return "markdown" if not suffix else _SUFFIXES.get(suffix.lower(), "code")


def sizes(chunk_size: int, overlap: int | None) -> dict[str, int]:
    """Check the sizes for `pieces`; `overlap` defaults to 150 characters of 1,000."""
    size = values.integer("chunk_size", chunk_size, low=1)
    shared = size * OVERLAP // SIZE if overlap is None else values.integer("overlap", overlap, low=0)
    if 2 * shared >= size:
        raise Invalid(f"overlap is {shared}; it must be less than half of chunk_size, which is {size}")
    return {"size": size, "overlap": shared}


def pieces(text: str, *, size: int = SIZE, overlap: int = OVERLAP, kind: Kind = "text") -> list[Piece]:
    """Cut a text into pieces of at most `size` characters; windows of one long block share about `overlap`."""
    if not text:
        return []
    if kind == "markdown":
        sections = _markdown(text)
    elif kind == "python":
        sections = _python(text, size)
    else:
        sections = [_Section("", _paragraphs(text, 0, len(text), kind == "code"))]
    ends = [*(section.blocks[0].start for section in sections[1:]), len(text)]
    return [
        Piece(start, end, section.path)
        for section, last in zip(sections, ends)
        for start, end in _packed(text, _solid(text, section.blocks, last), last, size, overlap)
    ]


# -- blocks into pieces -------------------------------------------------------------------------------------------------


def _solid(text: str, blocks: list[_Block], last: int) -> list[_Block]:
    """Merge blank blocks into the one before, at the beginning into the one after."""
    ends = [*(block.start for block in blocks[1:]), last]
    said = [block for block, end in zip(blocks, ends) if _SAID.search(text, block.start, end)] or blocks[:1]
    return [said[0]._replace(start=blocks[0].start), *said[1:]]


def _packed(text: str, blocks: list[_Block], last: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Join neighbours as long as they fit; the windows of a block that is too long begin with what was not yet full before it."""
    start = end = blocks[0].start
    for block, after in zip(blocks, [*(block.start for block in blocks[1:]), last]):
        if after - start > size and start < end and after - block.start <= size:
            yield start, end
            start = block.start
        elif after - start > size:
            *windows, (start, end) = _windows(text, start, after, size, overlap, block.code)
            yield from windows
        end = after
    yield start, end


_BLANK_LINE = re.compile(r"(?s:.*)\n[^\S\n]*\n")
_ITEM = re.compile(r"(?s:.*)\n(?=[ \t]*(?:[-*+]\s|\||\d{1,9}[.)]\s))")
_SENTENCE = re.compile(r"(?s:.*)(?:[.!?…][\"'”’)\]]*\s+|[。！？；][\"”’」』）]*\s*)")
_LINE = re.compile(r"(?s:.*)[\n\r\x0b\x0c\x85\u2028\u2029]")
_WORD = re.compile(r"(?s:.*)\s")
_IN_PROSE = (_BLANK_LINE, _ITEM, _SENTENCE, _LINE, _WORD)
_IN_CODE = (_BLANK_LINE, _LINE, _WORD)
_SAID = re.compile(r"\S")
_NEXT_WORD = re.compile(r"\s(?=\S)")


def _windows(text: str, start: int, end: int, size: int, overlap: int, code: bool) -> Iterator[tuple[int, int]]:
    """Cut what is too long into windows, each at the best border in its second half."""
    said, cut = _last_said(text, start, end), start
    while end - start > size:
        cut = _cut(text, start, end, size, said, cut, _IN_CODE if code else _IN_PROSE)
        yield start, cut
        # Where only white space is left, an overlap would repeat text for nothing.
        start = cut if said <= cut else _resumed(text, cut, min(overlap, (cut - start) // 2))
    yield start, end


def _last_said(text: str, start: int, end: int) -> int:
    """The place of the last character that is not white space, or `start`."""
    while end - start > 1:
        page = max(start, end - 4096)
        stripped = len(text[page:end].rstrip())
        if stripped:
            return page + stripped - 1
        end = page
    return start


def _cut(text: str, start: int, end: int, size: int, said: int, past: int, borders: tuple[re.Pattern[str], ...]) -> int:
    """Where a window ends: past the end of the one before and, where possible, with more than white space on both sides."""
    high = start + size
    first = _SAID.search(text, start, high)
    if said < high and end - said <= size and first and first.end() <= said:
        high = said
    low = max(min(start + size // 2, high - 1), first.end() if first else 0, past)
    if low < high:
        for border in borders:
            found = border.match(text, low, high)
            if found is not None:
                return found.end()
    return _untorn(text, high, low)


def _resumed(text: str, cut: int, back: int) -> int:
    """Where the next window begins: at a word, about `back` characters before the end of this one."""
    if not back:
        return cut
    found = _NEXT_WORD.search(text, cut - back - 1, cut)
    return _untorn(text, cut - back, cut - 2 * back) if found is None else found.end()


def _untorn(text: str, place: int, low: int) -> int:
    """A place at or before this one that separates no letter from its accents, and no emoji from its modifiers."""
    for near in range(place, max(low, place - 32), -1):
        if not _bound(text[near - 1], text[near]):
            return near
    return place


def _bound(one: str, other: str) -> bool:
    return (
        unicodedata.category(other)[0] == "M"
        or "\u200d" in (one, other)
        or "\U0001f3fb" <= other <= "\U0001f3ff"
        or "\u1160" <= other <= "\u11ff"
        or ("\U0001f1e6" <= one <= "\U0001f1ff" and "\U0001f1e6" <= other <= "\U0001f1ff")
        or one + other == "\r\n"
    )


# -- texts into blocks --------------------------------------------------------------------------------------------------

_PARAGRAPH = re.compile(r"\n(?:[^\S\n]*+\n)+")


def _paragraphs(text: str, start: int, end: int, code: bool) -> list[_Block]:
    """Blocks between blank lines; these belong to the block before."""
    return [_Block(start, code), *(_Block(gap.end(), code) for gap in _PARAGRAPH.finditer(text, start, end))]


def _lined(text: str) -> str:
    """The text after a line end, which also replaces a byte order mark, so that every line follows a line end."""
    return "\n\n" + text[1:] if text.startswith("\ufeff") else "\n" + text


# Lines are looked for in `_lined(text)`, one character longer: the line end before a line is at the place where it starts in the text.
_MARK = re.compile(
    r"\n(?:[ ]{0,3}(?P<level>\#{1,6})(?=[ \t\r\n]|\Z)(?P<title>[^\n]*)"
    r"|[ ]{0,3}(?P<rule>={2,}+|-{2,}+)[ \t]*+\r?(?=\n|\Z)"
    r"|[ \t>]*+(?P<fence>`{3,}+(?=[^`\n]*+(?:\n|\Z))|~{3,}+)[^\n]*"
    r"|(?P<gap>(?:[^\S\n]*+\n)+))"
)
_FENCE_END = re.compile(r"\n[ \t>]*+(`{3,}+|~{3,}+)[ \t]*+\r?(?=\n|\Z)")
_FRONT_MATTER = re.compile(r"\n---[ \t]*+\r?(?=\n)(?s:.*?)\n(?:---|\.\.\.)[ \t]*+\r?(?=\n|\Z)")
_NO_TITLE = re.compile(r"[ ]{0,3}(?:[-*+>|#]|\d{1,9}[.)]\s)|[ ]{4}|\t")


class _Outline:
    """The sections of a Markdown text as they are found."""

    def __init__(self, source: str) -> None:
        self.sections = [_Section("", [_Block(0, False)])]
        self._source = source
        self._headings: list[tuple[int, str]] = []
        self._body = 0  # where the text under the last heading begins

    def bare(self, place: int) -> bool:
        """Whether there is only white space between the last heading and a place."""
        return _SAID.search(self._source, self._body, place) is None

    def block(self, start: int, code: bool) -> None:
        """Begin a block."""
        self.sections[-1].blocks.append(_Block(start, code))

    def heading(self, start: int, end: int, level: int, title: str) -> None:
        """Begin a section; a heading directly under one of a higher level stays in the section of that."""
        joins = self.bare(start) and (not self._headings or self._headings[-1][0] < level)
        self._body = end
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        self._headings.append((level, values.one_line(title, TITLE)))
        path = " > ".join(name for _, name in self._headings if name)
        if joins:
            self.sections[-1] = _Section(path, self.sections[-1].blocks)
        else:
            self.sections.append(_Section(path, [_Block(start, False)]))


def _markdown(text: str) -> list[_Section]:
    """Sections by headings, underlined ones too; blocks by fences and blank lines."""
    source = _lined(text)
    outline = _Outline(source)
    front = _FRONT_MATTER.match(source, int(text.startswith("\ufeff")))
    place = paragraph = front.end() if front else 0
    while found := _MARK.search(source, place):
        start, place = found.span()
        if found["gap"] is not None:
            place -= 1
            if not outline.bare(place):
                outline.block(place, code=False)
        elif found["fence"] is not None:
            outline.block(start, code=True)
            place = _fence_end(source, place, found["fence"])
            outline.block(place, code=False)
        elif found["level"] is not None:
            outline.heading(start, place, len(found["level"]), _title(found["title"]))
        elif title := _underlined(source, paragraph, start):
            outline.heading(paragraph, place, 1 if found["rule"][0] == "=" else 2, title)
        paragraph = place
    return outline.sections


def _fence_end(source: str, place: int, fence: str) -> int:
    """The end of the line that closes a fence, or of the text where none does."""
    while found := _FENCE_END.search(source, place):
        place = found.end()
        if found[1].startswith(fence):
            return place
    return len(source) - 1


def _title(line: str) -> str:
    """The text of a heading without the # that may close it."""
    title = line.strip()
    opened = title.rstrip("#")
    return title if opened and not opened[-1].isspace() else opened.rstrip()


def _underlined(source: str, paragraph: int, rule: int) -> str | None:
    """The line above a rule, where that is a heading: a paragraph of one line that is not in a list, quotation or table."""
    line = source[paragraph + 1 : rule] if source.find("\n", paragraph + 1, rule) < 0 else ""
    return None if not line.strip() or _NO_TITLE.match(line) else line.strip()


# The part between quotes always matches, so nothing is tried twice. No group is possessive: before Python 3.11.5 those match too little.
_PYTHON = re.compile(
    r"\n(?P<indent>[ \t]*+)"
    r"(?:(?P<kind>(?:async[ \t]+)?def|class)[ \t]+(?P<name>\w+)|(?P<decorator>@)|(?P<comment>\#[^\n]*)|(?=[^\s)\]}]))"
    r'|"""(?:[^"\\]++|\\.|"(?!""))*(?:"""|\\?\Z)'
    r"|'''(?:[^'\\]++|\\.|'(?!''))*(?:'''|\\?\Z)"
    r'|"(?:[^"\\\n]++|\\.)*"?'
    r"|'(?:[^'\\\n]++|\\.)*'?"
    r"|\#[^\n]*",
    re.DOTALL,
)


class _Definition(NamedTuple):
    """Where a function or class begins, at the top or `inside` a class; without a path, where other statements of a module do."""

    start: int
    path: str
    inside: bool


class _Lines:
    """Reads Python line by line, and finds where definitions begin, with the decorators and comments before them."""

    def __init__(self) -> None:
        self.found = [_Definition(0, "", False)]
        self._owner = ""  # the class whose lines these are
        self._depth: int | None = None  # how far its body is indented
        self._lead: tuple[int, int, bool] | None = None  # of decorators and comments: indent, start, whether a decorator is among them

    def read(self, line: re.Match[str]) -> None:
        """Read a line that is not blank and does not begin inside a string."""
        depth = len(line["indent"])
        if depth and self._depth is None:
            self._depth = depth
        if line["decorator"] is None and line["comment"] is None:
            self._statement(line, depth)
        elif self._lead is None or depth < self._lead[0]:
            self._lead = (depth, line.start(), line["decorator"] is not None)
        elif depth == self._lead[0] and line["decorator"] is not None:
            self._lead = (*self._lead[:2], True)

    def _statement(self, line: re.Match[str], depth: int) -> None:
        lead = self._lead
        if lead is not None and lead[2] and depth > lead[0]:
            return  # still inside the decorator
        self._lead = None
        start = lead[1] if lead is not None and lead[0] == depth else line.start()
        name = "" if line["kind"] is None else f"{' '.join(line['kind'].split())} {line['name'][:TITLE]}"
        if depth == 0:
            if name or self.found[-1].path:
                self.found.append(_Definition(start, name, False))
            self._owner, self._depth = (name if name.startswith("class ") else ""), None
        elif name and self._owner and depth == self._depth:
            self.found.append(_Definition(start, f"{self._owner} > {name}", True))


def _python(text: str, size: int) -> list[_Section]:
    """Sections by function and class; a class that does not fit into one piece is cut by method."""
    lines = _Lines()
    source = _lined(text)
    for line in _PYTHON.finditer(source):
        if line["indent"] is not None:
            lines.read(line)
    tops = [found for found in lines.found if not found.inside]
    long = {top.start for top, after in pairwise([*tops, _Definition(len(text), "", False)]) if after.start - top.start > size}
    kept: list[_Definition] = []
    owner = 0
    for found in lines.found:
        owner = owner if found.inside else found.start
        if not found.inside or owner in long:
            kept.append(found)
    if len(kept) > 1 and not _SAID.search(source, 0, kept[1].start + 1):
        kept[:2] = [kept[1]._replace(start=0)]
    ends = [*(found.start for found in kept[1:]), len(text)]
    return [_Section(found.path, _paragraphs(text, found.start, end, True)) for found, end in zip(kept, ends)]
