"""How arguments become columns of the ledger, each by the check of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ..kernel import Invalid, values
from ..kernel.lifecycle import STATUSES
from .ledger_tables import ATOM_KINDS, MERGE_KINDS, REVIEW_STATUSES

Check = Callable[[str, Any], Any]

_key = partial(values.optional, values.key)
_label = partial(values.optional, values.label)
_place = partial(values.optional, partial(values.integer, low=0))
_said = partial(values.text, blank=False)
_share = partial(values.real, low=0.0, high=1.0)

_NEW: dict[str, Check] = {"id": _key, "created_at": partial(values.optional, values.moment)}
_OWNED: dict[str, Check] = {
    **_NEW,
    "user_id": _key,
    "conversation_id": _label,
    "run_id": _label,
    "metadata": partial(values.optional, values.json_object),
}
ATOM: dict[str, Check] = {
    **_OWNED,
    "updated_at": partial(values.optional, values.moment),
    "kind": partial(values.one_of, legal=ATOM_KINDS),
    "title": values.text,
    "body": _said,
    "domain": values.label,
    "tags": values.tags,
    "confidence": _share,
    "status": partial(values.one_of, legal=STATUSES),
    "verification_status": values.key,
    "superseded_by": _key,
}
EVIDENCE: dict[str, Check] = {
    **_NEW,
    "source_id": _key,
    "chunk_id": _key,
    "chunk_hash": _key,
    "anchor_type": values.label,
    "anchor_start": _place,
    "anchor_end": _place,
    "snippet": values.text,
    "confidence": _share,
    "run_id": _label,
    "metadata": partial(values.optional, values.json_object),
}
CLAIM: dict[str, Check] = {
    **_NEW,
    "subject": _said,
    "predicate": _said,
    "domain": values.label,
    "strength": values.label,
    "claim_confidence": _share,
}
LINK: dict[str, Check] = {**_NEW, "relation_type": values.key, "weight": values.real}
MENTION: dict[str, Check] = {**_NEW, "entity_id": values.key, "chunk_id": _key, "anchor_start": _place, "anchor_end": _place}
MERGE: dict[str, Check] = {
    **_NEW,
    "operation": partial(values.one_of, legal=MERGE_KINDS),
    "review_status": partial(values.one_of, legal=REVIEW_STATUSES),
    "reviewed_by": values.label,
}
ARTIFACT: dict[str, Check] = {
    **_OWNED,
    "artifact_type": values.key,
    "title": values.text,
    "body": values.text,
    "parent_artifact_id": _key,
}
STATE: dict[str, Check] = {
    **_NEW,
    "working_summary": values.text,
    "open_questions": values.strings,
    "evidence_index": values.json_object,
    "updated_by_run_id": _label,
}
INSIGHT: dict[str, Check] = {**_NEW, "insight_id": values.key, "relation_type": values.key}
DELTA: dict[str, Check] = {**_NEW, "run_id": values.key, "changes": values.json_object}


def pieces_of_evidence(given: Any) -> list[dict[str, Any]]:
    """The columns of several pieces of evidence, each given as a mapping."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise Invalid(f"evidence must be a list of mappings, not {values.shorten(given)}")
    return [_piece(f"evidence[{place}]", item) for place, item in enumerate(given)]


def _piece(name: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Invalid(f"{name} must be a mapping of arguments of add_evidence(), not {values.shorten(given)}")
    for key in given:
        if key not in EVIDENCE:
            raise Invalid(f"{name} has {values.shorten(key)}, which is none of {', '.join(EVIDENCE)}{values.suggest(key, EVIDENCE)}")
    return evidence_columns(**{column: given[column] for column in EVIDENCE if column in given})


def evidence_columns(**given: Any) -> dict[str, Any]:
    """The columns of a piece of evidence, with what is not given filled in."""
    missing: dict[str, Any] = {**dict.fromkeys(EVIDENCE), "anchor_type": "", "snippet": "", "confidence": 1.0}
    columns = values.checked(EVIDENCE, {**missing, **given})
    if columns["source_id"] is None and columns["chunk_id"] is None and not columns["snippet"].strip():
        raise Invalid("evidence needs a source_id, a chunk_id or a snippet: a place where it is said, or what is said there")
    return span(columns)


def span(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns whose anchors must be a start and an end that does not come before it, if they are there."""
    start, end = columns["anchor_start"], columns["anchor_end"]
    if end is not None and (start is None or end < start):
        raise Invalid(f"anchor_end is {end}, and anchor_start {start}; a place ends where it starts or later")
    return columns
