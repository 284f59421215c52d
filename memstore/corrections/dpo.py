"""Preference pairs as lines of JSON: what trainers read (TRL) and what AUA v0.7 wrote.

1. A file appears whole or not at all, and the same rows give the same bytes.
2. A line is understood whole or refused with its file and number; nothing is guessed.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from ..kernel import Invalid, path_of, values

#: What `meta` adds to a row; `read` takes all of it back.
META = ("id", "subject", "domain", "scope", "confidence", "source", "decay_class", "why", "created_at")


def line(prompt: str, chosen: str, rejected: str, extra: dict[str, Any], *, conversational: bool) -> str:
    """Write one pair; a trainer wants these three keys and no other, so `extra` is empty unless asked for."""
    if not conversational:
        return values.to_json("row", {"prompt": prompt, "chosen": chosen, "rejected": rejected, **extra}, stored=False)
    return values.to_json(
        "row",
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
            **extra,
        },
        stored=False,
    )


def read(
    path: str | os.PathLike[str], check: Callable[[dict[str, Any]], dict[str, Any]], *, refused: list[str] | None
) -> list[dict[str, Any]]:
    """Read the pairs of a file, or of every *.jsonl of a folder by name, as checked columns of corrections.

    A line that is no pair raises Invalid; where there is a list `refused` it is named there instead.
    """
    source = pathlib.Path(path_of(path))
    if not os.path.exists(source):  # Path.exists() would raise for a name that is too long
        raise Invalid(f"there is no file or folder {values.shorten(str(source), 200)}")
    files = sorted(source.glob("*.jsonl"), key=lambda file: file.name) if source.is_dir() else [source]
    pairs = []
    for file, number, content in _lines(files):
        try:
            pairs.append(check(_pair(content)))
        except (ValueError, RecursionError) as error:
            what = f"{file} line {number}: {error}"
            if refused is None:
                raise Invalid(f"{what}; correct it or pass skip_invalid=True; nothing was imported") from error
            refused.append(what)
    return pairs


def _lines(files: list[pathlib.Path]) -> Iterator[tuple[pathlib.Path, int, bytes]]:
    for file in files:
        try:
            with open(file, "rb") as source:
                for number, content in enumerate(source, 1):
                    yield file, number, content
        except OSError as error:
            raise Invalid(f"{file} cannot be read: {error.strerror or error}") from error


def _pair(content: bytes) -> dict[str, Any]:
    """Turn one line into arguments; any ValueError says what is wrong with it."""
    text = content.decode("utf-8-sig")
    if not text.strip():
        raise ValueError("the line is blank")
    row = json.loads(text, parse_constant=_no_constant)
    if not isinstance(row, dict):
        raise ValueError(f"a row must be a JSON object, not {type(row).__name__}")
    given = {name: value for name, value in row.items() if value is not None}
    subject, prompt = _subject(given)
    # Only our own export has all of META. Elsewhere "id" or "created_at" is somebody's own key, of any type.
    pair = {name: given[name] for name in META} if given.keys() >= set(META) else {}
    pair.update(
        subject=subject,
        prompt=prompt,
        claim=_text("chosen", given.get("chosen", given.get("claim")), "assistant"),
        rejected=_text("rejected", given.get("rejected", ""), "assistant"),
        domain=given.get("domain", "general"),
        confidence=given.get("confidence", 0.7),
        source=given.get("source", "arbiter"),
    )
    return pair


def _subject(given: dict[str, Any]) -> tuple[str, str | None]:
    """The topic and, where it says more than the topic, the whole prompt."""
    prompt = given.get("prompt", given.get("subject"))
    if isinstance(prompt, list):
        asked = [message for message in prompt if isinstance(message, dict) and message.get("role") == "user"]
        topic = _text("prompt", asked[-1:] or prompt)
    else:
        topic = _text("prompt", prompt)
    whole = _text("prompt", prompt)
    subject = _text("subject", given.get("subject", topic))
    return subject, None if whole == subject else whole


def _text(name: str, value: Any, role: str | None = None) -> str:
    """A text, or the texts of a list of messages (those of `role` where there are any)."""
    if value is None:
        raise ValueError(f"the row has no {name}")
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise ValueError(f"{name} must be a text or a list of messages, not {values.shorten(value)}")
    spoken = [message for message in value if message.get("role") == role] or value
    return "\n".join(text for message in spoken for text in _contents(name, message.get("content")))


def _contents(name: str, content: Any) -> list[str]:
    parts = [{"text": content}] if isinstance(content, str) else content
    if isinstance(parts, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        return [part["text"] for part in parts]
    raise ValueError(f"a message of {name} has no text, but {values.shorten(content)}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
