"""The handoff note: six sections that let a fresh context go on where a full one stopped.

1. `HandoffNote.parse(note.text) == note` for every note, whatever its fields hold.
2. `draft` asks no model: what it says stands in the messages, and a section without evidence says "none".

The trap is a field that looks like the frame: a line "## STATUS" inside a goal, blank lines at an edge. The renderer puts a
backslash before such a line or edge and the parser takes one away, so a text of ordinary lines is written as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..kernel import Invalid, Record, record, values

NONE = "none"
#: Field -> the heading we write, and the words of AUA's headings that we also read.
HEADINGS = {
    "goal": ("GOAL", "GOAL"),
    "decisions": ("DECISIONS", "DECISIONS MADE"),
    "status": ("STATUS", "CURRENT STATUS"),
    "active_file": ("ACTIVE FILE", "ACTIVE FILE / CODE CONTEXT"),
    "preferences": ("PREFERENCES", "USER PREFERENCES LEARNED"),
    "resume": ("RESUME", "RESUME INSTRUCTION"),
}
BY_WORTH = ("goal", "resume", "status", "active_file", "decisions", "preferences")  # what a tight budget keeps first
FIELD_OF = {heading: field for field, headings in HEADINGS.items() for heading in headings}
_WORDS = "|".join(re.escape(heading) for heading in sorted(FIELD_OF, key=len, reverse=True))
#: `## GOAL`, `## Goal`, `**GOAL**`, `1. GOAL`, `GOAL:` with or without text behind: the ways models write a heading.
HEADING = re.compile(
    rf"\s*(?:#{{1,6}}\s*(?:\d[.)]\s*)?(?:\*\*)?(?i:({_WORDS}))|(?:\d[.)]\s*)?(?:\*\*)?({_WORDS}))(?:\*\*)?\s*(?:\Z|:(?:\*\*)?(.*))",
    re.DOTALL,
)


@record
class HandoffNote(Record):
    """What one context window leaves to the next: goal, decisions, status, active file, preferences and how to resume."""

    goal: str = ""
    decisions: str = ""
    status: str = ""
    active_file: str = ""
    preferences: str = ""
    resume: str = ""

    def __post_init__(self) -> None:
        for field in HEADINGS:
            if not isinstance(getattr(self, field), str):
                raise Invalid(f"{field} of a handoff note must be str, not {values.shorten(getattr(self, field))}")

    @property
    def text(self) -> str:
        """The note as text: `## GOAL` and five more headings, always in this order."""
        return "\n\n".join(f"## {heading}\n{_escape(getattr(self, field))}" for field, (heading, _) in HEADINGS.items())

    @classmethod
    def parse(cls, text: str) -> HandoffNote:
        """Read a note back from its text, or from one that a model wrote under these or AUA's headings.

        The sections may come in any order; what stands before the first heading is dropped. A missing or doubled one is Invalid.
        """
        if not isinstance(text, str):
            raise Invalid(f"text must be str, not {values.shorten(text)}")
        sections: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in text.split("\n"):
            heading = HEADING.match(line)
            if heading is None:
                lines.append(line)
                continue
            field = FIELD_OF[(heading[1] or heading[2]).upper()]
            if field in sections:
                raise Invalid(f"the note has two sections {HEADINGS[field][0]}; join them")
            sections[field] = lines = [heading[3] or ""]
        missing = [HEADINGS[field][0] for field in HEADINGS if field not in sections]
        if missing:
            raise Invalid(f"the note has no section {', '.join(missing)}; each stands under a heading such as '## {missing[0]}'")
        return cls(**{field: _unescape("\n".join(lines)) for field, lines in sections.items()})

    @classmethod
    def draft(cls, messages: Iterable[Any], *, max_tokens: int = 900) -> HandoffNote:
        """Draft a note from messages (records or OpenAI mappings), without a model and never over `max_tokens` by `estimate_tokens`.

        Sentences are picked by English cue words and by the shape of tool calls; quotes are cut, never reworded.
        """
        from .drafting import evidence  # its patterns are compiled only where somebody drafts

        budget = values.integer("max_tokens", max_tokens, low=1)
        note = cls(**dict.fromkeys(HEADINGS, NONE))
        if (least := values.estimate_tokens(note.text)) > budget:
            raise Invalid(f"max_tokens is {budget}; even a note that says nothing needs {least}")
        found = evidence(messages, width=max(80, budget // 3))
        chosen: dict[str, list[tuple[int, str]]] = {field: [] for field in HEADINGS}
        # In turns, the best of each section first: a long section cannot starve a short one, whatever the budget.
        for turn in range(max(map(len, found.values()))):
            for field in BY_WORTH:
                for item in found[field][turn : turn + 1]:
                    fuller = cls(**{**note.to_dict(), field: _lines([*chosen[field], item])})
                    if values.estimate_tokens(fuller.text) <= budget:
                        note = fuller
                        chosen[field].append(item)
        return note


def _lines(items: list[tuple[int, str]]) -> str:
    """One piece of evidence a line, in the order of the conversation."""
    return "\n".join(quote for _, quote in sorted(items))


def _escape(body: str) -> str:
    lines = [f"\\{line}" if HEADING.match(line.lstrip("\\")) else line for line in body.split("\n")]
    escaped = "\n".join(lines)
    start = "\\" if re.match(r"\\*\s", escaped) else ""
    end = "\\" if re.search(r"\s\\*\Z", escaped) else ""
    return f"{start}{escaped}{end}"


def _unescape(section: str) -> str:
    body = section.strip()
    if re.match(r"\\+\s", body):
        body = body[1:]
    if re.search(r"\s\\+\Z", body):
        body = body[:-1]
    lines = (line[1:] if line[:1] == "\\" and HEADING.match(line.lstrip("\\")) else line for line in body.split("\n"))
    return "\n".join(lines)
