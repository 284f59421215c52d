"""Messages in the form in which APIs exchange them, and in the parts of which the room keeps them.

1. What came in comes out: `join(*split(message)) == message` for every JSON object, unknown keys included, and None is told
   from absent.
2. Nothing is kept twice: a key is either in its own column or in `extra`.
3. A message with a role is Chat or Responses form; one without is an Agents-SDK item and stays whole in `extra`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..kernel import Invalid, values

ITEM = "item"
ROLES = ("system", "developer", "user", "assistant", "tool", ITEM)
SPEAKERS = frozenset(ROLES) - {ITEM}

Json = dict[str, Any]


class Parts(NamedTuple):
    """One message as the columns hold it."""

    role: str
    content: str
    tool_calls: list[Any] | None
    tool_call_id: str | None
    name: str | None
    extra: Json | None


def mapping(what: str, value: Any) -> Json:
    """Take a mapping or an object with model_dump() as a dict."""
    if type(value) is dict:
        return value
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump) and isinstance(dumped := dump(), Mapping):
        return dict(dumped)
    shown = f"{type(value).__name__} {values.shorten(value)}"
    raise Invalid(f"{what} must be a mapping in OpenAI form or an object with model_dump(), not {shown}")


def split(message: Mapping[str, Any]) -> Parts:
    """Take a message apart into columns and what no column says."""
    role = message.get("role")
    if role is not None:
        role = values.one_of("role", role, ROLES)
    if role is None or role == ITEM:
        return Parts(ITEM, "", None, None, None, dict(message))
    content = message.get("content")
    if len(message) == 2 and isinstance(content, str):
        return Parts(role, content, None, None, None, None)
    rest = dict(message)
    if "content" in rest:
        del rest["role"]  # where there is no content it stays as the mark of that: the key has no other use in `extra`
    if isinstance(content, str):
        del rest["content"]
    else:
        content = ""
    calls = rest.pop("tool_calls") if isinstance(rest.get("tool_calls"), list) else None
    call_id = rest.pop("tool_call_id") if isinstance(rest.get("tool_call_id"), str) else None
    name = rest.pop("name") if isinstance(rest.get("name"), str) else None
    return Parts(role, content, calls, call_id, name, rest or None)


def join(role: str, content: str, tool_calls: list[Any] | None, tool_call_id: str | None, name: str | None, extra: Json | None) -> Json:
    """Put a message together again."""
    if role == ITEM and extra is not None:
        return dict(extra)
    result: Json = {"role": role, "content": content}
    if name is not None:
        result["name"] = name
    if tool_calls is not None:
        result["tool_calls"] = tool_calls
    if tool_call_id is not None:
        result["tool_call_id"] = tool_call_id
    if extra is not None:
        result.update(extra)
        if "role" in extra:
            del result["content"]
    return result


# -- what a message says ------------------------------------------------------------------------------------------------


def body(message: Json) -> str:
    """The text of a message that is no plain string: its text parts, or an item's content or output, a line each."""
    return "\n".join(_bodies(message))


def is_blank(content: Any) -> bool:
    """Whether a content says nothing: no text that is more than white space, and no part of another kind."""
    if isinstance(content, str):
        return not content.strip()
    said = list(_parts(content))
    return not any(map(str.strip, said)) and (not isinstance(content, list) or len(said) == len(content))


def texts(message: Json) -> list[str]:
    """All texts of a message: content or each text part, each call's name and arguments, an item's output."""
    return [*_bodies(message), *(text for call in _calls(message) for text in _said(call))]


def _bodies(message: Json) -> Iterator[str]:
    yield from _parts(message.get("content"))
    if _is_item(message):
        yield from _parts(message.get("output"))


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text


def _calls(message: Json) -> Iterator[Json]:
    """Objects that name what is called: an item that is a call, or the functions of `tool_calls`."""
    if _is_item(message):
        if str(message.get("type")).endswith("_call"):
            yield message
        return
    for call in _listed(message):
        inner = call.get("function", call.get("custom"))
        if isinstance(inner, dict):
            yield inner


def _listed(message: Json) -> Iterator[Json]:
    calls = message.get("tool_calls")
    yield from (call for call in calls if isinstance(call, dict)) if isinstance(calls, list) else ()


def _said(call: Json) -> Iterator[str]:
    for field in ("name", "arguments", "input"):
        value = call.get(field)
        if value is not None:
            yield value if isinstance(value, str) else values.to_json(field, value)


# -- calls and their results --------------------------------------------------------------------------------------------


def is_result(message: Json) -> bool:
    """Whether it answers a call."""
    return message.get("role") == "tool" or (_is_item(message) and str(message.get("type")).endswith("_call_output"))


def result_id(message: Json) -> str | None:
    """The id of the call that a result answers; None where the transcript has no ids."""
    return _text(message.get("tool_call_id" if message.get("role") == "tool" else "call_id"))


def is_call_item(message: Json) -> bool:
    """Whether it is an item that calls a tool and waits for an output."""
    return _is_item(message) and "call_id" in message and not is_result(message)


def call_ids(message: Json) -> set[str | None]:
    """The ids of the calls that a message makes."""
    if is_call_item(message):
        return {_text(message["call_id"])}
    return {_text(call.get("id")) for call in _listed(message)}


def _is_item(message: Json) -> bool:
    return message.get("role") in (None, ITEM)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
