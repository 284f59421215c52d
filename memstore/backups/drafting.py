"""Evidence for a handoff note: which sentences, calls and results of a conversation say what a successor must know.

1. Every piece is a quote, cut but not reworded, with a label of ours at most; nothing is concluded that is not written there.
2. Deterministic: the same messages give the same pieces in the same order.

The trap is noise: a task prompt of a page whose issue is two lines, a shell that repeats its prompt after every command, a
result of a thousand lines with one that matters.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..kernel import Invalid, values

Piece = tuple[int, str]  # (order in the conversation, quote)

READ = 20_000  # characters of one message that are looked at, half from each end
PIECES = 6  # at most so many for a section
STEP = 1000  # pieces of one message are told apart by order * STEP + place

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
#: A full stop, a blank line, or a line that does not go on in lower case (a wrapped sentence does).
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'`(\[]?[A-Z0-9`])|(?<=[。！？])|\n\s*\n|\n(?=\s*[^a-z\s])")
_BULLET = re.compile(r"^(?:[-*#>]+ )+")
_LABEL = re.compile(r"^[ \t]*(?:#+[ \t]*)?([A-Z][A-Z _-]{2,40}):[ \t]*", re.MULTILINE)
_TASK_LABEL = re.compile(r"\b(?:ISSUE|TASK|PROBLEM|BUG|GOAL|REQUEST|QUESTION|FEATURE|OBJECTIVE|DESCRIPTION)\b")
_OPENING = re.compile(r"(?:hi|hello|hey|thanks|thank you|good (?:morning|evening|day)|dear)\b[^.?]{0,30}\Z|you are an? ", re.IGNORECASE)
_SETTLED = re.compile(
    r"\b(?:decid\w+|chose|choos\w+|instead of|rather than|root cause|the (?:fix|cause|problem|reason) is"
    r"|is the (?:fix|cause|problem|reason)|to fix|turns out|conclu\w+|therefore|because|to use|will use|should use|switch(?:ed|ing)? to"
    r"|no longer needed|we must|I would|understood|broke|did(?:n't| not) work|was wrong)\b",
    re.IGNORECASE,
)
_INTENDED = re.compile(r"\b(?:let's|let us|I'll|I will|we'll|we will|going to|we should|we need to|next,)\b", re.IGNORECASE)
_OUTCOME = re.compile(
    r"\b(?:fixed|pass(?:es|ed)?|fail(?:s|ed|ure)?|works?|error|succe\w+|done|complete[ds]?|confirm\w*|verif\w+|updated|changed from"
    r"|returns)\b",
    re.IGNORECASE,
)
_RULE = re.compile(r"\b(?:prefer\w*|always|never|please|don't|do not|must|only)\b", re.IGNORECASE)
_ADVICE = re.compile(r"\b(?:make sure|remember|avoid|cannot|you should)\b", re.IGNORECASE)
_TELLING = re.compile(
    r"^(?!\d+[:|])(?:.*\b(?:\w*error|\w*exception|errors|failed|failures?|passed|not found|denied|warning)\b|[+-](?![+-]))", re.IGNORECASE
)
_CHANGES = re.compile(r"edit|write|create|replace|insert|patch|append|save|update|delete|remove|move|rename", re.IGNORECASE)
_SHELL_CHANGES = re.compile(r"(?:^|[;&|]\s*)(?:sudo |git )?(?:rm|mv|cp|tee|touch|patch|sed -i)\b|(?<![\d=-])>|\b(?:remove|unlink)\(")
_PATH_NAME = re.compile(r"path|file|target|notebook", re.IGNORECASE)
_COMMAND_NAME = re.compile(r"command|cmd|script|shell", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w./:~@+-])(?:~?/|\.{1,2}/)?(?:[\w.@+-]+/)*[\w@+-][\w.@+-]*\.[A-Za-z][A-Za-z0-9]{0,7}(?![\w/(])")
_PATCHED = re.compile(r"^(?:\+\+\+ (?:b/)?|\*\*\* (?:Update|Add|Delete) File: )(\S+)", re.MULTILINE)


class Call(NamedTuple):
    """A tool call: its place, its name and arguments, the files it names, whether it changes them, what came back (None: open)."""

    order: int
    name: str
    arguments: str = ""
    files: tuple[str, ...] = ()
    changes: bool = False
    result: str | None = None


class Turn(NamedTuple):
    """What somebody said: the message's place and role, and its text without code blocks."""

    order: int
    role: str
    text: str


def evidence(messages: Iterable[Any], *, width: int) -> dict[str, list[Piece]]:
    """Collect the pieces for every section of a note, the most telling first, each cut to `width` characters."""
    turns, calls = _read(messages)
    said = [turn for turn in turns if turn.role == "assistant"]
    asked = [turn for turn in turns if turn.role == "user"]
    found = {
        "goal": _goal(asked),
        "decisions": _matching(said, _SETTLED, _INTENDED),
        "status": _status(said, calls),
        "active_file": _files(calls),
        "preferences": _matching(asked, _RULE, _ADVICE),
        "resume": _next(turns, calls),
    }
    return {field: _quotes(pieces, width) for field, pieces in found.items()}


def _quotes(pieces: list[Piece], width: int) -> list[Piece]:
    """The best pieces, cut, each quote once."""
    places: dict[str, int] = {}
    for order, quote in pieces:
        places.setdefault(_cut(quote, width), order)
    return [(order, quote) for quote, order in places.items()][:PIECES]


def _read(messages: Iterable[Any]) -> tuple[list[Turn], list[Call]]:
    """Turns and calls of messages in Chat or Responses form; a result finds the newest open call of its id."""
    if not isinstance(messages, Iterable):
        raise Invalid(f"messages must be a list of messages, not {values.shorten(messages)}")
    turns: list[Turn] = []
    calls: list[Call] = []
    open_calls: dict[str, int] = {}
    for order, message in enumerate(messages):
        body = _mapping(message)
        text = _clip(_text(body.get("content")))
        role = str(body.get("role") or "")
        made = body.get("tool_calls") or ([body] if body.get("type") == "function_call" else [])
        result_of = body.get("tool_call_id") or (body.get("call_id") if body.get("type") == "function_call_output" else None)
        if result_of is not None or role == "tool":
            result = text or _clip(_text(body.get("output")))
            place = open_calls.pop(str(result_of), None)
            if place is not None:
                calls[place] = calls[place]._replace(result=result)
            else:  # its call lies before these messages
                calls.append(Call(order, str(body.get("name") or "tool"), result=result))
        elif text.strip() and role in ("user", "assistant"):
            prose = _FENCE.sub("\n\n", text)
            turns.append(Turn(order, role, prose if prose.strip() else text))
        for call in made if isinstance(made, list) else ():
            if isinstance(call, Mapping):
                open_calls[str(call.get("call_id") or call.get("id"))] = len(calls)
                calls.append(_call(order, call))
    return turns, calls


def _call(order: int, call: Mapping[str, Any]) -> Call:
    """Read one call; only arguments that name files or hold a command are searched for paths, others may be code."""
    function = call["function"] if isinstance(call.get("function"), Mapping) else call
    name = str(function.get("name") or "tool")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = {"": arguments}
    if not isinstance(arguments, Mapping):
        arguments = {} if arguments is None else {"": arguments}
    texts = {str(key): _clip(value if isinstance(value, str) else str(value)) for key, value in arguments.items()}
    commands = [value for key, value in texts.items() if _COMMAND_NAME.search(key)]
    files = [value for key, value in texts.items() if _PATH_NAME.search(key) and value.strip() and "\n" not in value]
    files += [path for value in texts.values() for path in _PATCHED.findall(value)]
    files += [path for value in commands for path in _PATH.findall(value)]
    shown = ", ".join(texts.values() if len(texts) == 1 else (f"{key}={value}" for key, value in texts.items()))
    changes = bool(_CHANGES.search(name)) or any(map(_SHELL_CHANGES.search, commands))
    return Call(order, name, shown, tuple(dict.fromkeys(files)), changes)


def _mapping(message: Any) -> Mapping[str, Any]:
    for method in ("to_openai", "model_dump"):
        if hasattr(message, method):
            message = getattr(message, method)()
    if not isinstance(message, Mapping):
        raise Invalid(f"a message must be a Message or a mapping in OpenAI form, not {values.shorten(message)}")
    return message


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str))
    return ""


def _clip(text: str) -> str:
    return text if len(text) <= READ else f"{text[: READ // 2]}\n{text[-READ // 2 :]}"


def _goal(asked: list[Turn]) -> list[Piece]:
    """The first sentences of the first request; of a long one the part that is labelled as the issue."""
    if not asked:
        return []
    text = asked[0].text
    label = next((found for found in _LABEL.finditer(text) if _TASK_LABEL.search(found[1])), None)
    if label is not None:
        after = _LABEL.search(text, label.end())
        text = text[label.end() : after.start() if after else None]
    sentences = _sentences(text)
    meant = [sentence for sentence in sentences if not _OPENING.match(sentence) and not sentence.endswith(":")]
    return list(enumerate((meant or sentences)[:5]))


def _status(said: list[Turn], calls: list[Call]) -> list[Piece]:
    """What the assistant last said of an outcome, and what the newest finished calls gave back."""
    noise = _noise(calls)
    finished = [call for call in calls if call.result is not None][-3:]
    results = [
        (call.order * STEP + STEP - 1, f"- {call.name}({_cut(call.arguments, 60)}) gave: {_telling(call.result or '', noise)}")
        for call in reversed(finished)
    ]
    told = [piece for piece in _matching(said, _OUTCOME) if not piece[1].endswith("?")]
    if said and (not calls or said[-1].order > calls[-1].order):
        told.insert(0, (said[-1].order * STEP, f"- {' '.join(_sentences(said[-1].text)[:2])}"))
    return [*told[:1], *results[:1], *told[1:2], *results[1:]]


def _files(calls: list[Call]) -> list[Piece]:
    """Files that calls name, or that their results show, edited ones first, then newest first, each with its newest change or mention."""
    newest: dict[str, Call] = {}
    for call in reversed(calls):
        for path in call.files or _shown_files(call.result or ""):
            known = next((other for other in newest if _same_file(other, path)), None)
            if known is None:
                newest[path] = call
            elif call.changes and not newest[known].changes:
                newest[known] = call
    by_worth = sorted(newest.items(), key=lambda item: (not _CHANGES.search(item[1].name), not item[1].changes))
    return [(rank, f"- {path}: {_shown(call)}") for rank, (path, call) in enumerate(by_worth)]


def _next(turns: list[Turn], calls: list[Call]) -> list[Piece]:
    """What is open: calls without a result, a request without an answer, a result nobody spoke of; then the last plan."""
    last_call = calls[-1] if calls else None
    pieces = [(call.order * STEP, f"- Open call: {_shown(call)}") for call in reversed(calls) if call.result is None]
    requests = [turn for turn in turns if turn.role == "user"]
    plans = [turn for turn in turns if turn.role == "assistant"]
    if requests and len(requests) > 1 or requests and not plans:
        answered = bool(plans) and plans[-1].order > requests[-1].order
        label = "Newest request" if answered else "Unanswered request"
        pieces.append((requests[-1].order * STEP, f"- {label}: {' '.join(_sentences(requests[-1].text)[:3])}"))
    if plans:
        pieces.append((plans[-1].order * STEP + 1, f"- Last said: {' '.join(_sentences(plans[-1].text)[-2:])}"))
    if last_call is not None and last_call.result is not None and all(turn.order <= last_call.order for turn in turns):
        pieces.append((last_call.order * STEP + 2, f"- Nothing was said yet about the result of {_shown(last_call)}"))
    return pieces


def _matching(turns: list[Turn], *cues: re.Pattern[str]) -> list[Piece]:
    """Bulleted sentences that hold a cue, each once: those of the first cue before those of the next, the newest first in each."""
    sentences = {sentence: (turn.order, place) for turn in turns for place, sentence in enumerate(_sentences(turn.text))}
    found: dict[str, Piece] = {}
    for cue in cues:
        for sentence in sorted(sentences, key=sentences.__getitem__, reverse=True):
            if sentence not in found and cue.search(sentence):
                order, place = sentences[sentence]
                found[sentence] = (order * STEP + min(place, STEP - 2), f"- {sentence}")
    return list(found.values())


def _sentences(text: str) -> list[str]:
    """Sentences of prose, one line each; a bullet or a line of its own counts as one, so does a text without a letter or digit."""
    parts = [_BULLET.sub("", " ".join(part.split())) for part in _SENTENCE_END.split(text)]
    return [part for part in parts if any(map(str.isalnum, part))] or [" ".join(text.split())]


def _noise(calls: list[Call]) -> set[str]:
    """Lines that most results repeat, such as a shell's prompt: they say nothing about one of them."""
    results = [call.result for call in calls if call.result]
    seen = Counter(line for result in results for line in {line.strip() for line in result.splitlines()})
    return {line for line, times in seen.items() if times >= 3 and times * 2 > len(results)}


def _telling(result: str, noise: set[str]) -> str:
    """The lines of a result that report a failure, a verdict or a change; else its first ones."""
    lines = [line.strip() for line in result.splitlines() if line.strip() and line.strip() not in noise]
    if not lines:
        return "nothing"
    return " | ".join([line for line in lines if _TELLING.match(line)][-4:] or lines[:4])


def _shown_files(result: str) -> list[str]:
    """Files a result is about: those of a patch, else the first path with a folder in it."""
    return list(dict.fromkeys(_PATCHED.findall(result))) or [path for path in _PATH.findall(result) if "/" in path][:1]


def _same_file(one: str, other: str) -> bool:
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")


def _shown(call: Call) -> str:
    return f"{call.name}({_cut(call.arguments, 160)})"


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
