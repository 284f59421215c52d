"""Conversations as training rows: TRL's `{"messages": [...]}`, one conversation a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from . import forms
from .tables import Message

Json = dict[str, Any]
_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")


def training_row(messages: Iterable[Message]) -> Json | None:
    """One conversation in TRL's form, or None where no assistant speaks: there is nothing to learn from it."""
    result: list[Json] = []
    for message in messages:
        form = message.to_openai()
        if forms.is_call_item(form):
            _add_call(result, form)
        elif message.role != forms.ITEM:
            result.append(_plain(message, form))
        elif forms.is_result(form):
            result.append({"role": "tool", "tool_call_id": forms.result_id(form), "content": message.content})
    return {"messages": result} if any(message["role"] == "assistant" for message in result) else None


def _plain(message: Message, form: Json) -> Json:
    """The keys that TRL knows, Responses parts as text, arguments as the object that its chat templates want."""
    row = {key: form[key] for key in _KEYS if key in form}
    row.setdefault("content", None)
    if form.get("type") == "message":
        row["content"] = message.content
    if isinstance(row.get("tool_calls"), list):
        row["tool_calls"] = [_call(call) for call in row["tool_calls"]]
    return row


def _add_call(result: list[Json], item: Json) -> None:
    """Turn a call item into the tool call of an assistant message; calls in a row share one."""
    if not (result and result[-1]["role"] == "assistant" and result[-1].get("tool_calls")):
        result.append({"role": "assistant", "content": None, "tool_calls": []})
    function = {"name": item.get("name"), "arguments": item.get("arguments", item.get("input"))}
    result[-1]["tool_calls"].append(_call({"id": item["call_id"], "type": "function", "function": function}))


def _call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call  # models do write arguments that are no JSON; the text is what there is to learn from
    return {**call, "function": {**function, "arguments": arguments}}
