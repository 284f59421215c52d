"""What a response states outright, found by rules: the same text gives the same finds wherever and whenever it is read.

1. A heading (or a label, as in "Decision: ...") names what stands beneath it: each list item and each paragraph is one find, up to
   the next heading. A label with text behind it holds for its own line, and for indented ones that go on with it. Elsewhere a
   sentence says it by its own words, and is one find, by the first rule that fits.
2. A find is whole: a sentence keeps its beginning, for "not" may stand there, and what is too long is left, not cut.
3. Code, quotations and tables are no statements, and neither is a question, nor a sentence that begins with a condition.
4. A prompt is read for one thing, what its author says of himself: "I prefer". All else in it may be pasted from anywhere.

The trap is that a response repeats what the model was told. What is found here is no evidence yet: the room drops what it knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..kernel.words import statement_key, unended

if TYPE_CHECKING:
    from .tables import MemoryType

    Rule = tuple[str, MemoryType, re.Pattern[str]]

EXTRACTOR = "rules-1"  # rises when the same text would give other finds
SHORTEST, LONGEST = 8, 280  # characters

_LABELS: dict[str, MemoryType] = {"decision": "adaptation", "constraint": "project", "requirement": "project", "fact": "knowledge"}
_SENTENCES: tuple[Rule, ...] = (
    ("preference_sentence", "preference", re.compile(r"\bI (?:\w+ly )?prefer\b|\bthe user (?:\w+ly )?prefers\b", re.IGNORECASE)),
    ("decided_to_sentence", "adaptation", re.compile(r"(?<!\bnot )(?<!n't )(?<!n’t )(?<!\bnever )\bdecided (?:not )?to\b", re.IGNORECASE)),
    ("requirement_sentence", "project", re.compile(r"\bthe requirement is\b", re.IGNORECASE)),
)
_OWN_WISHES: tuple[Rule, ...] = (("preference_sentence", "preference", re.compile(r"\bI (?:\w+ly )?prefer\b", re.IGNORECASE)),)

_FENCE = re.compile(r"\s*(```|~~~)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?(?=\S)")
_NO_PROSE = re.compile(r"\s*(?:>|\||<!--|(?:[-*_=]\s*){3,}$)")
_CONDITION = re.compile(r"\W*(?:if|whether|when|unless|should)\b", re.IGNORECASE)
# "Decision 2: text", "**Decisions:** text", "Decision - text", "Decision"
_LABEL = re.compile(
    rf"(?P<bold>\*\*)?(?P<word>{'|'.join(_LABELS)})s?(?: #?\d+)?(?:\*\*)?(?:\s*(?P<colon>:)|\s+[-–—]\s|$)(?:\*\*)?(?P<text>.*)",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?![a-z\s])")  # "e.g. this" goes on


class Found(NamedTuple):
    """A statement, what type of memory it would be, and the rule that found it."""

    memory_type: MemoryType
    content: str
    rule: str


class _Block(NamedTuple):
    kind: str  # heading, item or paragraph
    text: str


def extract(response: str, summary: str = "", prompt: str = "") -> list[Found]:
    """Return what a response, its summary and its prompt state, in order of appearance; each once."""
    found: dict[tuple[str, str], Found] = {}
    for item in (*_statements(response), *_statements(summary), *_own_wishes(prompt)):
        found.setdefault((item.memory_type, statement_key(item.content)), item)
    return list(found.values())


def _statements(text: str) -> Iterator[Found]:
    for label, prose in _under_labels(text):
        stated = _checked(_LABELS[label], prose, f"{label}_heading") if label else None
        if stated is not None:
            yield stated
        else:
            yield from _spoken(prose, _SENTENCES)


def _own_wishes(prompt: str) -> Iterator[Found]:
    for block in _blocks(prompt):
        yield from _spoken(block.text, _OWN_WISHES)


def _spoken(prose: str, rules: tuple[Rule, ...]) -> Iterator[Found]:
    for sentence in _SENTENCE_END.split(prose):
        fitting = next(((memory_type, rule) for rule, memory_type, pattern in rules if pattern.search(sentence)), None)
        if fitting is not None and not _CONDITION.match(sentence):
            stated = _checked(fitting[0], sentence, fitting[1])
            if stated is not None:
                yield stated


def _checked(memory_type: MemoryType, prose: str, rule: str) -> Found | None:
    """The find that a piece of prose makes, if it makes one."""
    flat = " ".join(prose.replace("**", "").split())
    content = unended(flat)
    fits = not flat.endswith(("?", "？")) and SHORTEST <= len(content) <= LONGEST
    return Found(memory_type, content, rule) if fits else None


def _under_labels(text: str) -> Iterator[tuple[str, str]]:
    """Each piece of prose with the label that it stands under, "" where there is none."""
    label, brief, seen = "", False, ""  # a label that is no heading holds for the one paragraph or list that follows it
    for block in _blocks(text):
        named = _named(block.text, heading=block.kind == "heading")
        if named is not None and named[1]:
            yield named
            if brief or block.kind == "heading":
                label = ""  # what follows explains it
        elif named is not None or block.kind == "heading":
            label, brief, seen = "" if named is None else named[0], block.kind != "heading", ""
        else:
            if brief and seen and "paragraph" in (seen, block.kind):
                label = ""
            seen = block.kind
            yield label, block.text


def _named(text: str, *, heading: bool = False) -> tuple[str, str] | None:
    """Label and text of a block that begins with a label; where it is no heading, a colon or bold type says that it is one."""
    match = _LABEL.match(text)
    if match is None:
        return None
    rest = match["text"].strip()
    marked = heading or match["colon"] or (match["bold"] and not rest)
    return (match["word"].lower(), rest) if marked else None


def _blocks(text: str) -> Iterator[_Block]:
    """Headings, list items and paragraphs, with wrapped lines joined again."""
    kind, fence, whole = "", "", False  # whole: a label that has its text
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        mark, heading, item = _FENCE.match(line), _HEADING.match(line), _ITEM.match(line)
        named = _named(line[item.end() :] if item else line.strip())
        begins = "item" if item else "paragraph" if named or (whole and not line[:1].isspace()) else ""
        ends = fence or mark or heading or not line.strip() or _NO_PROSE.match(line)
        if lines and (ends or begins):
            yield _Block(kind, " ".join(lines))
            lines = []
        if mark is not None and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif heading is not None and not fence:
            yield _Block("heading", heading[1].rstrip("# \t"))
        elif not ends:
            kind = begins or (kind if lines else "paragraph")
            whole = whole if lines else named is not None and named[1] != ""
            lines.append(line[item.end() :] if item else line.strip())
