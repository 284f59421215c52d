"""Conversations as training rows: TRL's `{"messages": [...]}`, one conversation a line, and `tools` where they are known.

1. Every message has a role that chat templates know and a content: a text, parts of which one is no text, or None beside calls.
2. A row depends on its messages alone, and no message makes an export fail.

The trap: a model writes what it likes as the arguments of a call. NaN, half of a surrogate pair, an endless number or no JSON at
all must reach the file as the text that it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..kernel import values
from . import forms
from .tables import Message

Json = dict[str, Any]
#: Templates know no developer, and those that do take it for the system.
_ROLES = {"developer": "system"}
#: How calls of different kinds name what they pass.
_PASSED = ("arguments", "action", "operation", "input")


def training_row(messages: Iterable[Message]) -> Json | None:
    """One conversation in TRL's form, or None where no assistant speaks: there is nothing to learn from it."""
    result: list[Json] = []
    tools: dict[str, Json] = {}
    for message in messages:
        form = message.to_openai()
        tools.update(_tools(form.get("tools")))
        if forms.is_call_item(form):
            _add_call(result, form)
        elif message.role != forms.ITEM:
            result.append(_plain(message, form))
        elif forms.is_result(form):
            result.append({"role": "tool", "tool_call_id": forms.result_id(form), "content": message.content})
    if not any(message["role"] == "assistant" for message in result):
        return None
    return {"messages": result, **({"tools": list(tools.values())} if tools else {})}


def _plain(message: Message, form: Json) -> Json:
    row = {"role": _ROLES.get(message.role, message.role), "content": _content(message, form)}
    row.update((key, said) for key in ("name", "tool_call_id") if (said := getattr(message, key)) is not None)
    calls = [_call(call) for call in message.tool_calls or () if isinstance(call, dict)]
    if calls:
        row["tool_calls"] = calls
        row["content"] = row["content"] or None  # as the API writes it: templates ask whether there is a content
    return row


def _content(message: Message, form: Json) -> Any:
    """One text; the parts as they are where one of them is no text, which a trainer of models that see may want."""
    given = form.get("content")
    if not isinstance(given, list):
        refusal = form.get("refusal")
        return message.content or (refusal if isinstance(refusal, str) else "")
    texts: list[Any] = [part.get("text", part.get("refusal")) if isinstance(part, dict) else part for part in given]
    if all(isinstance(text, str) for text in texts):
        return "\n".join(texts)
    return given if _fits({"messages": [{"content": given}]}) else message.content


def _fits(row: Json) -> bool:
    """Whether a row can hold what somebody wrote; a row adds levels to what a message nests."""
    try:
        values.to_json("row", row, stored=False)
    except (ValueError, RecursionError):
        return False
    return True


# -- calls --------------------------------------------------------------------------------------------------------------


def _add_call(result: list[Json], item: Json) -> None:
    """Make a call item a tool call of the assistant's turn; calls in a row, and a text before them, share one."""
    if not (result and result[-1]["role"] == "assistant"):
        result.append({"role": "assistant", "content": None})
    name = item.get("name", str(item.get("type")).removesuffix("_call"))
    result[-1].setdefault("tool_calls", []).append(_function(item["call_id"], name, item))


def _call(call: Json) -> Json:
    function = call.get("function", call.get("custom"))
    function = function if isinstance(function, dict) else {}
    return _function(call.get("id"), function.get("name"), function)


def _function(id: Any, name: Any, call: Json) -> Json:
    given = next((call[key] for key in _PASSED if key in call), None)
    # A custom tool takes a text that was never meant as JSON.
    arguments = {"input": given} if "input" in call and isinstance(given, str) else _arguments(given)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _arguments(given: Any) -> Any:
    """The object that chat templates want, {} where nothing was passed; the text where it is none that a row can hold."""
    text = given if isinstance(given, str) else values.to_json("arguments", {} if given is None else given, stored=False)
    try:
        found = json.loads(text.strip() or "{}", parse_int=_integer)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) and _fits({"messages": [{"tool_calls": [{"function": {"arguments": found}}]}]}) else text


def _integer(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**64:
        raise ValueError("a trainer's loader makes a float of it, or refuses the whole file")
    return number


# -- tools --------------------------------------------------------------------------------------------------------------


def _tools(given: Any) -> Iterator[tuple[str, Json]]:
    """Named tools in the one form that templates take, from those of the Chat and Responses APIs and of MCP."""
    for tool in given if isinstance(given, list) else ():
        said = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(said, dict) or not isinstance(said.get("name"), str):
            continue
        function = {key: said[key] for key in ("name", "description", "parameters") if said.get(key) is not None}
        schema = said.get("input_schema", said.get("inputSchema"))
        function = function if schema is None else {**function, "parameters": schema}
        if _fits({"tools": [{"function": function}]}):
            yield said["name"], {"type": "function", "function": function}
