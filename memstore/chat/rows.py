"""What callers say, checked, as rows of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..kernel import Cipher, Invalid, values
from . import forms
from .projects import json_text, open_word
from .tables import ACCURACY_LEVELS, CONFIDENCES, CONTENT, NOTHING, Message, sealed_beside, unsealed_beside

NONE: tuple[str, ...] = ()  # there is only one empty tuple, and `==` would ask an array item by item
Row = tuple[Any, ...]  # one message: id (None where one is to be made), role, content, created_at, and the values of BESIDE
#: The same of several messages, a column at a time; None in place of the last where no message has anything in it.
Columns = tuple[Sequence[str | None], Sequence[str], Sequence[str], Sequence[float | None], Sequence[Row] | None]


def check_said(role: Any, content: Any) -> None:
    """Refuse a role that is none, a content that is neither text nor parts, and a user who says nothing."""
    values.one_of("role", role, forms.ROLES)
    if content is not None and not isinstance(content, (str, list)):
        raise Invalid(f"content must be str, a list of parts or None, not {type(content).__name__} {values.shorten(content)}")
    if role == "user" and forms.is_blank(content):
        raise Invalid(f"content {values.shorten(content)} of a user's message is blank; it needs some text (append_many keeps blank ones)")


def tool_calls_of(calls: Any) -> list[Any]:
    """Tool calls as a list of plain dicts."""
    return [forms.mapping(f"tool_calls[{position}]", call) for position, call in enumerate(listed("tool_calls", calls))]


def columns_of(messages: Any) -> Columns:
    """The columns of several messages."""
    given = list(listed("messages", messages))
    return _plain(given) or as_columns([row_of(message) for message in given])


def as_columns(rows: list[Row]) -> Columns:
    """Turn rows into columns."""
    ids, roles, contents, times, beside = zip(*rows) if rows else ((), (), (), (), ())
    return ids, roles, contents, times, None if beside.count(NOTHING) == len(beside) else beside


def copied(cipher: Cipher | None, stored: Sequence[Any]) -> Row:
    """The row of a copy that is yet to get its id, from one in the file."""
    id, role, content, created_at, *beside = stored
    if cipher is None:
        return None, role, content, created_at, tuple(beside)
    return None, role, cipher.unseal(CONTENT, (id,), content), created_at, unsealed_beside(cipher, id, beside)


def sealed_columns(cipher: Cipher, shown: Row, beside: Sequence[Row] | None) -> tuple[Row, list[Row] | None]:
    """Ids, roles, contents and times, and what is beside them, as the file has them."""
    ids, roles, contents, times = shown
    sealed = [cipher.seal(CONTENT, (id,), content) for id, content in zip(ids, contents)]
    more = None if beside is None else [sealed_beside(cipher, id, values) for id, values in zip(ids, beside)]
    return (ids, roles, sealed, times), more


def _plain(messages: list[Any]) -> Columns | None:
    """The columns of messages that are a role and a text, as most are, checked all at once; None if one is something else."""
    if set(map(type, messages)) != {dict} or set(map(len, messages)) != {2}:
        return None
    try:
        roles = [message["role"] for message in messages]
        contents = [message["content"] for message in messages]
        legal = {*map(type, roles), *map(type, contents)} == {str} and forms.SPEAKERS.issuperset(roles)
        if not legal or len("".join(contents).encode()) > values.TEXT_LIMIT:
            return None
    except (KeyError, UnicodeEncodeError):
        return None
    absent = [None] * len(messages)
    return absent, roles, contents, absent, None


def listed(what: str, value: Any) -> Iterable[Any]:
    """Refuse what is no list, and what would fall apart as one: a text, or a single object."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise Invalid(f"{what} must be a list, not {type(value).__name__} {values.shorten(value)}")
    return value


def row(
    form: forms.Json,
    message_id: str | None = None,
    created_at: Any = None,
    callout_type: str | None = None,
    models_used: Iterable[str] | None = None,
    accuracy_level: str | None = None,
    confidence: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Row:
    """A message in OpenAI form and what the room keeps beside it, each value checked."""
    role, content, tool_calls, tool_call_id, name, extra = forms.split(form)
    return (
        None if message_id is None else values.key("id", message_id),
        role,
        values.text("content", content),
        None if created_at is None else values.moment("created_at", created_at),
        (
            None if callout_type is None else open_word("callout_type", callout_type),
            "[]" if models_used is None or models_used is NONE else _models(models_used),
            None if accuracy_level is None else values.one_of("accuracy_level", accuracy_level, ACCURACY_LEVELS),
            None if confidence is None else values.one_of("confidence", confidence, CONFIDENCES),
            None if tool_calls is None else values.to_json("tool_calls", tool_calls),
            None if tool_call_id is None else values.text("tool_call_id", tool_call_id),
            None if name is None else values.text("name", name),
            None if extra is None else json_text("message", extra),
            None if metadata is None else json_text("metadata", metadata),
        ),
    )


def _models(names: Any) -> str:
    return values.to_json("models_used", values.strings("models_used", names))


def row_of(message: Any) -> Row:
    """The row of a record, which keeps its columns, or of a message in OpenAI form, which has a form only."""
    if not isinstance(message, Message):
        return row(forms.mapping("message", message))
    if message.extra is not None:
        forms.mapping("extra", message.extra)
    return row(
        message.to_openai(),
        message.id,
        message.created_at,
        message.callout_type,
        message.models_used,
        message.accuracy_level,
        message.confidence,
        message.metadata,
    )
