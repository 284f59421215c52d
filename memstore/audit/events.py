"""One event: what is asked of it, how it is written down, how it is read back.

1. All of an event that does not depend on its place is checked and written down before the transaction begins.
2. The body is canonical: fixed order of names, no white space, absent instead of null. So `,"stream":"x"` inside a body can
   only be that event's stream: a quote inside a value is escaped.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from ..kernel import Canonical, Corrupt, Invalid, Record, record, values
from .chain import NOTHING, PART, digest, part_text


@record
class AuditEvent(Record):
    """One event; `redacted` ones have lost their references, before, after, details and note."""

    seq: int
    id: str
    created_at: float
    event_type: str
    actor: str
    actor_kind: str | None
    entity_kind: str | None
    entity_id: str | None
    before: Any
    after: Any
    session_id: str | None
    conversation_id: str | None
    trace_id: str | None
    token_id: str | None
    user_id: str | None
    project: str | None
    project_seq: int | None
    stream: str | None
    field: str | None
    specialist: str | None
    u_score: float | None
    confidence: float | None
    latency_ms: float | None
    details: Any
    note: str
    redacts: list[int]
    seal: dict[str, Any] | None
    redacted: bool
    prev_hash: str
    curr_hash: str


class Draft(NamedTuple):
    """An event before it has a place: the middle of its body, its project, a supplied id, the end of its body, and the rest."""

    plain: str
    project: str | None
    id: str | None
    signature: str
    salt: bytes | None
    part: tuple[Any, ...]


def draft(given: Mapping[str, Any], canonical: Canonical, claims: str = "") -> Draft:
    """Check an event's arguments and write it down; `claims` is what only the log itself may say."""
    if not isinstance(given, Mapping):
        raise Invalid(f"an event must be a dict of append()'s arguments, not {values.shorten(given)}")
    checked = {}
    for name, value in given.items():
        check = CHECKS.get(name)
        if check is None:
            raise Invalid(f"{values.shorten(name)} is no argument of append(){values.suggest(name, CHECKS)}")
        if value is not None:
            checked[name] = check(name, value)
    if "event_type" not in checked:
        raise Invalid("event_type is missing: what happened? for example 'query' or 'correction.update'")
    if not claims and checked["event_type"] in OWN_TYPES:
        raise Invalid(f"event_type {checked['event_type']!r} is the log's own; use redact() or prune()")
    plain = ",".join([f'"{name}":{_json(checked[name])}' for name in PLAIN if name in checked]) + claims
    project = canonical(checked["project"]) if "project" in checked else None
    payload = ",".join([f'"{name}":{checked[name]}' for name in PAYLOAD if checked.get(name)])
    part = (*[checked.get(name) for name in REFERENCES], f"{{{payload}}}" if payload else None)
    if part == NOTHING:
        return Draft(plain, project, checked.get("id"), "", None, part)
    salt = os.urandom(16)
    return Draft(plain, project, checked.get("id"), f',"digest":"{digest(salt, part_text(part))}"', salt, part)


def read_event(row: tuple[Any, ...], before: str, store_id: str) -> AuditEvent:
    """Make the record of a row of `audit_log`; `before` is the hash of the event before."""
    seq, source, curr, salt, actor, user_id, token_id, session_id, conversation_id, trace_id, entity_id, payload = row
    try:
        body = json.loads(source)
        content = {} if payload is None else json.loads(payload)
        get = body.get
        return AuditEvent(
            seq,
            get("id", f"{store_id}-{seq}"),
            body["created_at"] + 0.0,  # which a text refuses
            body["event_type"],
            actor or "",
            get("actor_kind"),
            get("entity_kind"),
            entity_id,
            content.get("before"),
            content.get("after"),
            session_id,
            conversation_id,
            trace_id,
            token_id,
            user_id,
            get("project"),
            get("project_seq"),
            get("stream"),
            get("field"),
            get("specialist"),
            get("u_score"),
            get("confidence"),
            get("latency_ms"),
            content.get("details"),
            content.get("note", ""),
            get("redacts", []),
            get("seal"),
            salt == b"",
            before,
            curr.hex(),
        )
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Corrupt(f"audit event {seq} is damaged ({error}); verify() lists what else is") from error


def _event_type(name: str, value: Any) -> str:
    if not isinstance(value, str) or _EVENT_TYPE.fullmatch(value) is None:
        raise Invalid(f"{name} {values.shorten(value)} must match [a-z][a-z0-9_.-]*, like 'query' or 'correction.update'")
    return str(value)


def reference(name: str, value: Any) -> str:
    """A key, or "": an empty reference is a value of its own."""
    return "" if value == "" else values.key(name, value)


def _actor(name: str, value: Any) -> str | None:
    return reference(name, value) or None


def _note(name: str, value: Any) -> str:
    """JSON of a note, or "" for an empty one."""
    return quoted(values.text(name, value)) if value != "" else ""


def _json(value: str | float) -> str:
    return repr(value) if isinstance(value, float) else quoted(value)


quoted: Callable[[str], str] = encode_basestring  # json.dumps(x, ensure_ascii=False) without the detour
_EVENT_TYPE = re.compile(rf"[a-z][a-z0-9_.-]{{0,{values.KEY_LENGTH - 1}}}")
OWN_TYPES = ("audit.redact", "audit.prune")
REFERENCES = PART[:-1]
PLAIN = ("event_type", "id", "actor_kind", "entity_kind", "stream", "field", "specialist", "u_score", "confidence", "latency_ms")
PAYLOAD = ("after", "before", "details", "note")
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "event_type": _event_type,
    "id": values.key,
    "project": reference,
    "actor": _actor,
    **dict.fromkeys(("actor_kind", "entity_kind", "stream", "field", "specialist", *REFERENCES[1:]), reference),
    **dict.fromkeys(("u_score", "confidence", "latency_ms"), values.real),
    **dict.fromkeys(("before", "after", "details"), values.to_json),
    "note": _note,
}
