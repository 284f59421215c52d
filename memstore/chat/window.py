"""The newest part of a conversation that fits a budget of tokens and can be sent to a model as it is.

1. A group is a call and what belongs to it: its results, the calls made in parallel with it, the reasoning directly before
   it. Every other message is a group of its own.
2. Groups count as old as their first message. Whole groups are taken from the newest on until one does not fit; system and
   developer messages are in beforehand, whatever their age.
3. Reading goes backwards, so a result comes first and waits for its call. One whose call never comes is an orphan: models
   refuse it, so it is left out and costs nothing.

The trap: call ids repeat within a conversation (`call_0` in every turn), so a result belongs to the nearest call before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..kernel import Invalid, values
from . import forms
from .tables import Message

SYSTEM = ("system", "developer")
Placed = tuple[int, Message]  # a message and its place in the conversation


class Window:
    """A budget, and the groups that have found room in it."""

    def __init__(self, max_tokens: int, count: Callable[[str], int]) -> None:
        if not callable(count):
            raise Invalid(f"count must be a function from a text to its tokens, not {values.shorten(count)}")
        self._left = max_tokens
        self._max_tokens = max_tokens
        self._count = count
        self._taken: list[Placed] = []

    def require(self, messages: list[Placed]) -> None:
        """Take messages that must be in."""
        needed = sum(self._cost(message) for _, message in messages)
        if needed > self._left:
            raise Invalid(f"the system messages alone need {needed} tokens, max_tokens is {self._max_tokens}: raise it or shorten them")
        self._left -= needed
        self._taken += messages

    def fill(self, backwards: Iterable[Placed], after: int = 0) -> None:
        """Take whole groups that reach beyond a place, newest first, until one does not fit."""
        for group in _groups(backwards, after):
            if max(place for place, _ in group) <= after:
                continue
            needed = sum(self._cost(message) for _, message in group)
            if needed > self._left:
                return
            self._left -= needed
            self._taken += group

    def messages(self) -> list[Message]:
        """What was taken, in conversation order."""
        return [message for _, message in sorted(self._taken, key=lambda placed: placed[0])]

    def _cost(self, message: Message) -> int:
        return sum(values.integer("count(text)", self._count(text), low=0) for text in forms.texts(message.to_openai()) or [""])


def _groups(backwards: Iterable[Placed], after: int) -> Iterable[list[Placed]]:
    waiting: dict[str | None, list[Placed]] = {}
    group: list[Placed] = []
    opening = ""  # what the group begins with as far as read: "call" and "reasoning" items may have more before them
    behind = False  # whether the message read last, the next one in the conversation, is that beginning
    for placed in backwards:
        message = placed[1]
        if message.role in SYSTEM:
            behind = False
            continue
        form = message.to_openai()
        if forms.is_result(form):
            waiting.setdefault(forms.result_id(form), []).append(placed)
            behind = False
            continue
        kind = _kind(form)
        if group and not (behind and (kind, opening) in _JOINS):
            yield group
            group = []
        if not group and not waiting and placed[0] <= after:
            return  # what is older is of no interest, and no result waits for its call
        group.append(placed)
        for call_id in forms.call_ids(form):
            group += waiting.pop(call_id, [])
        opening, behind = kind, True
    if group:
        yield group


_JOINS = {("call", "call"), ("reasoning", "call"), ("reasoning", "reasoning")}


def _kind(form: dict[str, Any]) -> str:
    if forms.is_call_item(form):
        return "call"
    return "reasoning" if form.get("type") == "reasoning" else "message"
