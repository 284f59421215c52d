"""A session from a file: OpenAI-format messages, one JSON object a line, or one JSON array of them.

A line {"type": "correction", "subject": ..., "claim": ..., "rejected": ..., "why": ..., "domain": ...} is no message: it says what
the user taught the agent. Whatever cannot be stored is refused with its file and line before any store is made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..kernel import Invalid, NotFound, StoreError, values
from ..store import open_store

Json = dict[str, Any]
TAUGHT = ("subject", "claim", "rejected", "why", "domain")
OF_OURS = Path(__file__).resolve().parents[2] / "examples" / "data" / "session.jsonl"
PACKAGED = Path(__file__).resolve().with_name("session.jsonl")  # the same file, for a package that lives without its checkout


class Transcript(NamedTuple):
    """What a file says: where it is, its SHA-256, messages as they stand there, corrections as arguments of `corrections.add`."""

    path: str
    sha256: str
    messages: list[Json]
    corrections: list[Json]


def read(path: str | None, correction: list[str] | None) -> Transcript:
    """Read and rehearse a file, ours without a path; a correction from elsewhere comes last."""
    source = str(OF_OURS if OF_OURS.is_file() else PACKAGED) if path is None else path
    if path is None and not os.path.isfile(source):
        raise NotFound("the session of our own is not part of this copy; name a file of OpenAI-format messages: demo TRANSCRIPT.jsonl")
    with open(source, "rb") as file:
        content = file.read()
    result = Transcript(source, hashlib.sha256(content).hexdigest(), [], [])
    with open_store() as rehearsal:
        chat = rehearsal.chat.create_conversation()
        for where, entry in _entries(source, content):
            try:
                if _is_correction(entry):
                    result.corrections.append(_correction(entry))
                    rehearsal.corrections.add(**result.corrections[-1])
                else:
                    result.messages.append(_message(entry))
                    rehearsal.chat.append_many(chat.id, [entry])
            except StoreError as error:
                raise Invalid(f"{source}, {where}: {error}") from error
        if correction is not None:
            result.corrections.append(dict(zip(TAUGHT, correction)))
            rehearsal.corrections.add(**result.corrections[-1])
    if not result.messages:
        raise Invalid(f"{source} holds no message; every line should be one, such as {{\"role\": \"user\", \"content\": \"...\"}}")
    return result


def _entries(source: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """Every entry with its place in the file."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        entries = _parsed(source, "line 1", content)
        yield from ((f"item {number}", entry) for number, entry in enumerate(entries, 1))
        return
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip(b"\xef\xbb\xbf \t\r"):
            yield f"line {number}", _parsed(source, f"line {number}", line)


def _parsed(source: str, where: str, text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) and error.lineno > 1 else where
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise Invalid(f"{source}, {place}: no JSON ({reason}): {values.shorten(text.decode('utf-8', 'replace').strip())}") from None


def _is_correction(entry: Any) -> bool:
    return isinstance(entry, dict) and "role" not in entry and entry.get("type") == "correction"


def _correction(entry: Json) -> Json:
    unknown = next((name for name in entry if name not in TAUGHT and name != "type"), None)
    missing = next((name for name in TAUGHT[:2] if name not in entry), None)
    if unknown is not None:
        raise Invalid(f"a correction has no {unknown!r}, only {', '.join(TAUGHT)}")
    if missing is not None:
        raise Invalid(f"the correction has no {missing}")
    return {name: entry[name] for name in TAUGHT if name in entry}


def _message(entry: Any) -> Json:
    if not isinstance(entry, dict):
        raise Invalid(f"a message is a JSON object, not {values.shorten(entry)}")
    if not ("role" in entry or "type" in entry):
        raise Invalid(f"neither a role nor a type, so no message: {values.shorten(entry)}")
    return entry
