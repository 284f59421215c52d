"""Noticing text that is meant for the model rather than for readers: instructions, and text that people do not see.

1. A rule is a pattern, and hints of which every match contains one, so that a text without them costs no search.
2. Patterns are bounded: no text, whatever it contains, is read more than a few times.
3. Noticing only annotates: the text is stored, found and shown as it is.

The trap: a text *about* such attacks quotes them and is noticed too, and a patient attacker gets past every rule. An annotation is a
reason for care, never a verdict, and its absence promises nothing.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..kernel import new_id
from .tables import ANNOTATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..kernel import Connection

MOST = 20  # notices of each kind in a chunk: a thousand would say no more


class Notice(NamedTuple):
    """What a rule has found in a text, from `start` to `end`."""

    kind: Literal["instruction", "hidden-text"]
    rule: str
    start: int
    end: int
    confidence: float
    detail: str


class _Rule(NamedTuple):
    name: str
    confidence: float
    detail: str
    hints: tuple[str, ...]  # in lower case; each match contains one of them
    pattern: re.Pattern[str]


def _rule(name: str, confidence: float, detail: str, hints: str, pattern: str) -> _Rule:
    return _Rule(name, confidence, detail, tuple(hints.split(", ")), re.compile(pattern, re.IGNORECASE | re.VERBOSE | re.MULTILINE))


_NEAR = r"(?:\W{1,3}\w{1,20}){0,3}?\W{1,3}"  # a few words may stand between
_TOLD = r"(?:instructions?|prompts?|directives?|guidelines|rules|programming|context)\b"
_MODEL = r"(?:an?\ |the\ |any\ |all\ )?(?:ai(?:\ (?:assistant|agent|model|system))?|llm|(?:large\ )?language\ model|chatbot)s?\b(?!-|/)"
_SECRET = r"(?:passwords?|credentials?|api[ _-]?keys?|secrets?|tokens?|conversation|chat\ history|(?:system\ )?prompt|private\ keys?)\b"
_TAGS = r"\U000e0001\U000e0020-\U000e007f"

_INSTRUCTIONS = (
    _rule(
        "override", 0.9, "asks to set earlier instructions aside", "instruction, prompt, directive, guideline, rules, programming, context",
        rf"""\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|overrid(?:e|ing)|bypass(?:ing)?|do\ not\ (?:follow|obey))\b
        (?:{_NEAR}(?:previous|prior|above|earlier|preceding|foregoing|your|system)\b{_NEAR}{_TOLD}
        |\W{{1,3}}(?:all|any|the|these)(?:\ of)?(?:\ the|\ these)?\W{{1,3}}{_TOLD}\W{{1,3}}(?:above|before|given|provided|you)\b
        |\W{{1,3}}(?:all|any)\W{{1,3}}(?:instructions|rules\W{{1,3}}and\W{{1,3}}\w{{1,20}})\b)""",
    ),
    _rule(
        "new-role", 0.7, "tells the model that it is something else", "you are now, you are no longer, from now on, pretend",
        r"""\byou\ are\ (?:now|no\ longer)\ (?:an?\ |the\ |in\ |my\ )?(?:\w{1,20}\ ){0,2}?
        (?:ai|assistant|bot|chatbot|agent|model|dan|hacker|expert|admin|administrator|root|evil|unrestricted|jailbroken|bound|restricted)\b
        |\bfrom\ now\ on,?\ (?:you\ (?:are|will|must|shall)|respond|answer|always|never)\b
        |\bpretend\ (?:that\ )?(?:you\ are|to\ be)\ (?:an?\ |the\ )?(?:\w{1,20}\ ){0,2}?(?:ai|assistant|bot|model|admin|hacker|human)\b""",
    ),
    _rule(
        "jailbreak", 0.8, "names a mode without limits", "mode, do anything now",
        r"\b(?:developer|god|dan|jailbreak)\ mode\ (?:is\ )?(?:now\ )?(?:enabled|activated)\b|\bdo\ anything\ now\b",
    ),
    _rule(
        "reveal-prompt", 0.8, "asks for what the model was told", "prompt, instructions",
        rf"""\b(?:reveal|print|show|repeat|output|leak|display|tell\ me|disclose|recite){_NEAR}
        (?:system|initial|hidden|original|secret|your)\W{{1,3}}(?:\w{{1,20}}\W{{1,3}})?(?:prompts?|instructions)\b""",
    ),
    _rule(
        "concealment", 0.8, "asks to keep something from the user", "the user, the human, the operator, anyone",
        r"""\b(?:(?:do\ not|don['’]t|never)\ (?:tell|inform|mention|reveal|alert|notify)
        |without\ (?:telling|informing|mentioning|revealing|alerting|notifying))
        (?:\ (?:this|it|any\ of\ this|that))?(?:\ to)?\ (?:the\ (?:user|human|operator)|anyone)\b""",
    ),
    _rule(
        "to-the-model", 0.7, "addresses the model that reads it", " ai, llm, language model, chatbot",
        rf"\b(?:if\ you\ are|note\ to|attention|dear|hey|hello|(?:message|instructions?)\ (?:to|for))[,:]?\ {_MODEL}",
    ),
    _rule(
        "exfiltration", 0.8, "asks to send secrets or the conversation away", "://, @",
        rf"""\b(?:send|post|forward|e-?mail|upload|transmit|exfiltrate|leak|append|submit)
        {_NEAR}(?:\w{{1,20}}\W{{1,3}}){{0,3}}?{_SECRET}
        {_NEAR}(?:to|at)\W{{1,3}}(?:\w{{1,20}}\W{{1,3}}){{0,3}}?(?:https?://|[\w.+-]{{1,64}}@)""",
    ),
    _rule(
        "markdown-exfiltration", 0.7, "shows an image whose address takes data along", "](http",
        r"!\[[^\]\n]{0,200}\]\(https?://[^)\s]{1,500}[?&][\w-]{1,40}=(?:\{|\[|<|%7b|\$\{)",
    ),
    _rule(
        "role-marker", 0.8, "imitates the marks between messages", "<|, [inst], [/inst], <<sys>>, system",
        r"""<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\|>|(?-i:\[/?INST\])|<</?SYS>>
        |^[ \t\#>*]{0,8}(?:new\ )?system(?:\ (?:prompt|message|override|instructions?))?[ \t*]{0,4}:[ \t*]{0,4}
        (?:you|ignore|override|disregard|from\ now)\b""",
    ),
    _rule(
        "tool-call", 0.6, "looks like a call of a tool", "<tool_, <function_, <invoke, <function=",
        r"<(?:tool_calls?|tool_use|function_calls?|invoke)(?:\s[^<>\n]{0,200})?>|<function=[\w.]{1,80}>",
    ),
)  # fmt: skip

_STYLE = (
    _rule(
        "invisible-style", 0.5, "is styled so that nobody sees it", "style",
        r"""\bstyle\s{0,3}=\s{0,3}["'][^"'<>]{0,200}?
        (?:display\s{0,3}:\s{0,3}none|visibility\s{0,3}:\s{0,3}hidden|font-size\s{0,3}:\s{0,3}0)\b[^"'<>]{0,200}["']""",
    ),
)  # fmt: skip
_SIGNS = (
    # The flag of a region is a black flag followed by six of the same characters.
    _rule("tag-characters", 0.95, "spells something in invisible characters", "",
          rf"(?<![\U0001f3f4{_TAGS}])[{_TAGS}]+|(?<=\U0001f3f4)[{_TAGS}]{{8,}}"),
    _rule("zero-width", 0.9, "holds a run of characters without width", "", r"[\u200b-\u200d\u2060-\u2064\ufeff]{4,}"),
    _rule("split-words", 0.6, "parts words by characters without width", "", r"(?<=[a-z])[\u200b-\u200d\u2060\ufeff]{1,3}(?=[a-z])"),
    _rule("bidi", 0.7, "turns the direction in which it is shown", "", r"[\u202d\u202e][^\u202c\n]{0,200}\u202c?"),
)  # fmt: skip


def noticed(content: str) -> list[Notice]:
    """What the rules find in a text, in its order; at most 20 of each kind."""
    lowered = content.lower()
    hidden = _STYLE if content.isascii() else (*_STYLE, *_SIGNS)
    found = [*_found(content, lowered, "instruction", _INSTRUCTIONS), *_found(content, lowered, "hidden-text", hidden)]
    return sorted(found, key=lambda notice: (notice.start, notice.end))


def _found(content: str, lowered: str, kind: Literal["instruction", "hidden-text"], rules: Iterable[_Rule]) -> Iterator[Notice]:
    likely = (rule for rule in rules if any(hint in lowered for hint in rule.hints))
    spans = ((rule, match) for rule in likely for match in rule.pattern.finditer(content))
    return (Notice(kind, rule.name, *match.span(), rule.confidence, rule.detail) for rule, match in islice(spans, MOST))


def annotate_noticed(connection: Connection, now: float, texts: Iterable[tuple[int, str]]) -> None:
    """Annotate what the rules find in new chunks, given by key and content, in the transaction that writes them."""
    rows = []
    for chunk, content in texts:
        for notice in noticed(content):
            id = new_id()
            (detail,) = ANNOTATIONS.sealed(connection, id, detail=notice.detail)
            rows.append((id, now, chunk, notice.kind, notice.start, notice.end, detail, notice.confidence, f"rule:{notice.rule}"))
    connection.many(
        "INSERT INTO annotations(id, created_at, chunk, kind, start_char, end_char, detail, confidence, source)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
