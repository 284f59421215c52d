"""One event: what is asked of it, how it is written down, how it is read back.

1. All of an event that does not depend on its place is checked and written down before the transaction begins.
2. What is written is canonical: fixed order of names, no white space, absent instead of null. So `,"stream":"x"` inside a body
   can only be that event's stream: a quote inside a value is escaped. A member is written with its comma, as it is looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from json.encoder import encode_basestring
from typing import Any

from ..kernel import Canonical, Corrupt, Invalid, Record, record, values

Write = Callable[[Any], str]
#: An event before it has a place: the middle of its body, its project, a supplied id, its references, its payload.
Draft = tuple[str, str, "str | None", str, "str | None"]


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


def draft(given: Mapping[str, Any], write: Mapping[str, Write], opening: str = "") -> Draft:
    """Check an event's arguments and write it down; `opening` is the beginning of a body that only the log itself may write."""
    texts = [""] * len(PLACES)
    texts[0] = opening
    for name, value in given.items():
        if value is not None:
            texts[PLACES[name]] = write[name](value)
    if texts[0] == "":
        raise Invalid("event_type is missing: what happened? for example 'query' or 'correction.update'")
    payload = "".join(texts[REFERENCED:-1])
    named = "".join(texts[DESCRIBED:REFERENCED])
    return "".join(texts[:DESCRIBED]), texts[-1], given.get("id"), named, f"{{{payload[1:]}}}" if payload else None


def arguments(event: Any) -> Mapping[str, Any]:
    """Refuse what is no dict of `append`'s arguments."""
    if not isinstance(event, Mapping):
        raise Invalid(f"an event must be a dict of append()'s arguments, not {values.shorten(event)}")
    for name in event:
        if name not in PLACES:
            raise Invalid(f"{values.shorten(name)} is no argument of append(){values.suggest(name, PLACES)}")
    return event


def drafts(events: list[Mapping[str, Any]], write: Mapping[str, Write]) -> list[Draft]:
    """The same of many, argument by argument, for most values repeat; what is wrong with any of them raises without saying which."""
    if not {*map(type, events)} <= {dict}:
        raise Invalid("events are not plain dicts")
    given = sorted(set().union(*events), key=PLACES.__getitem__)
    columns = {name: _column(name, [event.get(name) for event in events], write[name]) for name in given}
    none = [""] * len(events)
    if "" in columns.get("event_type", none):
        raise Invalid("event_type is missing")

    def together(names: Iterable[str]) -> Iterable[str]:
        return map("".join, zip(*[columns[name] for name in names if name in columns])) if columns.keys() & names else none

    return list(
        zip(
            together(DESCRIPTION),
            columns.get("project", none),
            [event.get("id") for event in events] if "id" in columns else [None] * len(events),
            together(REFERENCES),
            [f"{{{payload[1:]}}}" if payload else None for payload in together(PAYLOAD)],
        )
    )


def _column(name: str, column: list[Any], write: Write) -> list[str]:
    if name in DOCUMENTS:
        return _documents(name, column, write)
    if not {*map(type, column)} <= {str, type(None)}:  # 1, 1.0 and True are one key and not one text, and some things are no keys
        return ["" if value is None else write(value) for value in column]
    known = {value: "" if value is None else write(value) for value in {*column}}
    return [known[value] for value in column]


def _documents(name: str, column: list[Any], write: Write) -> list[str]:
    """Documents as they lie in payloads, written in one go where all are flat dicts."""
    flat = [value for value in column if value is not None]
    plain = (
        {*map(type, flat)} == {dict}
        and {*map(type, chain.from_iterable(flat))} <= {str}
        and {*map(type, chain.from_iterable(map(dict.values, flat)))} <= {str, int, float, bool, type(None)}
    )
    with suppress(ValueError):  # NaN, a lone surrogate: below it is said of which
        whole = _ENCODER.encode(flat) if plain else ""
        texts = whole[2:-2].split("},{")
        if plain and len(texts) == len(flat) and len(whole.encode()) < values.TEXT_LIMIT:  # a text that holds "},{" would make one more
            following = iter(texts)
            return ["" if value is None else f',"{name}":{{{next(following)}}}' for value in column]
    return ["" if value is None else write(value) for value in column]


def read_event(row: tuple[Any, ...], before: str, store_id: str) -> AuditEvent:
    """Make the record of a row of `audit_log`; `before` is the hash of the event before."""
    seq, source, curr, refs, payload = row
    try:
        body = _DECODER.decode(source)
        content = {} if payload is None else _DECODER.decode(payload)
        get, named = body.get, ({} if refs is None or refs == "" else _DECODER.decode(refs)).get
        return AuditEvent(
            seq,
            get("id", f"{store_id}-{seq}"),
            body["created_at"] + 0.0,  # which a text refuses
            body["event_type"],
            named("actor", ""),
            get("actor_kind"),
            get("entity_kind"),
            named("entity_id"),
            content.get("before"),
            content.get("after"),
            named("session_id"),
            named("conversation_id"),
            named("trace_id"),
            named("token_id"),
            named("user_id"),
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
            refs == "",
            before,
            curr.hex(),
        )
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Corrupt(f"audit event {seq} is damaged ({error}); verify() lists what else is") from error


def writers(canonical: Canonical) -> dict[str, Write]:
    """What checks each argument and writes it as it lies in a row, comma first; "" where nothing is to be written."""

    def own(value: Any) -> str:
        member = type_member(value)
        if member in OWN:
            raise Invalid(f"event_type {value!r} is the log's own; use redact() or prune()")
        return member

    def project(value: Any) -> str:
        return f',"project":{quoted(canonical(values.label("project", value)) or "")}'

    checks: dict[str, Callable[[str, Any], str]] = {
        **dict.fromkeys((*DESCRIPTION, *REFERENCES), _label),
        **dict.fromkeys(NUMBERS, _number),
        **dict.fromkeys(DOCUMENTS, values.to_json),
        "id": _id,
    }
    members = {name: partial(_member, name, check) for name, check in checks.items()}
    return {**members, "event_type": own, "actor": _actor, "note": _note, "project": project}


def type_member(value: Any) -> str:
    """The type of an event as it lies in a body."""
    if not isinstance(value, str) or _EVENT_TYPE.fullmatch(value) is None:
        raise Invalid(f"event_type {values.shorten(value)} must match [a-z][a-z0-9_.-]*, like 'query' or 'correction.update'")
    return f',"event_type":"{str.__str__(value)}"'  # format() of an enum's member may be its name


def _member(name: str, check: Callable[[str, Any], str], value: Any) -> str:
    return f',"{name}":{check(name, value)}'


def _label(name: str, value: Any) -> str:
    return quoted(values.label(name, value))


def _id(name: str, value: Any) -> str:
    return quoted(values.key(name, value))


def _actor(value: Any) -> str:
    actor = values.label("actor", value)
    return f',"actor":{quoted(actor)}' if actor else ""


def _note(value: Any) -> str:
    note = values.text("note", value)
    return f',"note":{quoted(note)}' if note else ""


def _number(name: str, value: Any) -> str:
    return repr(values.real(name, value))


quoted: Callable[[str], str] = encode_basestring  # json.dumps(x, ensure_ascii=False) without the detour
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder()
_EVENT_TYPE = re.compile(rf"[a-z][a-z0-9_.-]{{0,{values.KEY_LENGTH - 1}}}")
NUMBERS = ("u_score", "confidence", "latency_ms")
DOCUMENTS = ("after", "before", "details")
DESCRIPTION = ("event_type", "id", "actor_kind", "entity_kind", "stream", "field", "specialist", *NUMBERS)
#: What is found by an index, the narrowest first.
REFERENCES = ("entity_id", "trace_id", "token_id", "session_id", "conversation_id", "user_id", "actor")
PAYLOAD = (*DOCUMENTS, "note")
#: Where in a row each argument is written; the project goes to the end, with its number.
PLACES = {name: place for place, name in enumerate((*DESCRIPTION, *REFERENCES, *PAYLOAD, "project"))}
DESCRIBED = len(DESCRIPTION)
REFERENCED = DESCRIBED + len(REFERENCES)
OWN = (',"event_type":"audit.redact"', ',"event_type":"audit.prune"')
