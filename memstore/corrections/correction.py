"""One correction: its tables, what its columns may hold, and what is derived from them."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from ..kernel import Carried, Cipher, Record, Schema, Table, record, values
from ..kernel.words import key_of, tagged, words
from .decay import DECAY_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..kernel import Connection

SCHEMA = Schema(
    "corrections",
    version=1,
    ddl=f"""
CREATE TABLE corrections(
    pk                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT NOT NULL UNIQUE,
    created_at        REAL NOT NULL DEFAULT 0,
    updated_at        REAL NOT NULL DEFAULT 0,
    confirmed_at      REAL NOT NULL DEFAULT 0,                  -- decay counts from here
    subject           TEXT NOT NULL DEFAULT '',
    domain            TEXT NOT NULL DEFAULT 'general',
    scope             TEXT NOT NULL DEFAULT 'global',
    claim             TEXT NOT NULL DEFAULT '',
    rejected          TEXT NOT NULL DEFAULT '',                 -- the latest; all of them are in correction_rejections
    confidence        REAL NOT NULL DEFAULT 0.9 CHECK (confidence BETWEEN 0 AND 1),
    source            TEXT NOT NULL DEFAULT 'manual',
    decay_class       TEXT NOT NULL DEFAULT 'C' CHECK ({values.among("decay_class", DECAY_CLASSES)}),
    why               TEXT NOT NULL DEFAULT '',
    prompt            TEXT,                                     -- what was asked, where it says more than the subject
    user_id           TEXT,                                     -- NULL is everybody's
    conversation_id   TEXT,
    metadata          TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    application_count INTEGER NOT NULL DEFAULT 0,
    last_applied_at   REAL,
    superseded_at     REAL,
    superseded_by     TEXT,                                     -- may outlive the row that it names, which prune can remove
    version           INTEGER NOT NULL DEFAULT 1,
    subject_key       TEXT NOT NULL DEFAULT '',                 -- digest of the normalised text: short, whatever its length
    claim_key         TEXT NOT NULL DEFAULT '',
    subject_words     INTEGER NOT NULL DEFAULT 0                -- how many rows of correction_words are of the subject
) STRICT;
CREATE UNIQUE INDEX corrections__live ON corrections(subject_key, claim_key, domain, scope, COALESCE(user_id, ''))
    WHERE superseded_at IS NULL;
CREATE INDEX corrections__created ON corrections(created_at);
CREATE INDEX corrections__domain ON corrections(domain, created_at);

CREATE TABLE correction_rejections(
    pk           INTEGER PRIMARY KEY AUTOINCREMENT,
    correction   INTEGER NOT NULL DEFAULT 0 REFERENCES corrections(pk) ON DELETE CASCADE,
    subject_key  TEXT NOT NULL DEFAULT '',                      -- the correction's: both keys in one index, whichever is common
    rejected_key TEXT NOT NULL DEFAULT '',
    rejected     TEXT NOT NULL DEFAULT '',
    UNIQUE (correction, rejected_key)
) STRICT;
CREATE INDEX correction_rejections__claim ON correction_rejections(subject_key, rejected_key);

CREATE TABLE correction_words(
    word       TEXT NOT NULL,
    correction INTEGER NOT NULL REFERENCES corrections(pk) ON DELETE CASCADE,
    in_subject INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (word, correction)
) STRICT, WITHOUT ROWID;
CREATE INDEX correction_words__correction ON correction_words(correction);

CREATE TABLE correction_applications(
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    correction      INTEGER NOT NULL DEFAULT 0 REFERENCES corrections(pk) ON DELETE CASCADE,
    conversation_id TEXT,
    applied_at      REAL NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX correction_applications__correction ON correction_applications(correction);
""",
    carried=(
        Carried(
            "corrections",
            ("pk",),
            ("subject", "claim", "rejected", "why", "prompt"),
            ("metadata",),
            derived=("subject_key", "claim_key", "subject_words"),
        ),
        Carried(
            "correction_rejections",
            ("pk",),
            ("rejected",),
            owner=("correction", "rejected_key"),
            derived=("subject_key", "rejected_key"),
        ),
        Carried("correction_applications", ("pk",)),
    ),
)


@record
class Correction(Record):
    """A claim that holds for a subject, and what was believed instead."""

    id: str
    created_at: float
    updated_at: float
    confirmed_at: float
    subject: str
    domain: str
    scope: str
    claim: str
    rejected: str
    confidence: float
    effective_confidence: float
    source: str
    decay_class: str
    why: str
    prompt: str | None
    user_id: str | None
    conversation_id: str | None
    metadata: dict[str, Any] | None
    application_count: int
    last_applied_at: float | None
    superseded_at: float | None
    superseded_by: str | None
    version: int


@record
class ScoredCorrection(Record):
    """A correction and how much it concerns a text, between 0 and 1."""

    correction: Correction
    score: float


@record
class CorrectionApplication(Record):
    """One time that a correction was put before a model."""

    conversation_id: str | None
    applied_at: float


CORRECTIONS = Table(
    Correction,
    "corrections",
    json=("metadata",),
    hidden=("pk", "subject_key", "claim_key", "subject_words"),
    computed={"effective_confidence": "NULL"},
    schema=SCHEMA,
)
REJECTED = "correction_rejections.rejected"  # as what is sealed is bound to it
APPLICATIONS = Table(CorrectionApplication, "correction_applications", hidden=("pk", "correction"))

#: Columns that a caller gives, each with what an argument of `add` is when it is not given; None where it must be.
OPTIONAL: dict[str, Any] = {
    "rejected": "", "confidence": 0.9, "source": "manual", "decay_class": None, "why": "", "prompt": None,
    "conversation_id": None, "metadata": None,
}  # fmt: skip
GIVEN = ("subject", "claim", "domain", "scope", "user_id", *OPTIONAL)


#: How an argument becomes a column.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "subject": partial(values.text, blank=False),
    "claim": partial(values.text, blank=False),
    "rejected": values.text,
    "domain": values.label,
    "scope": values.label,
    "confidence": partial(values.real, low=0.0, high=1.0),
    "source": values.label,
    "decay_class": partial(values.optional, partial(values.one_of, legal=DECAY_CLASSES)),
    "why": values.text,
    "prompt": partial(values.optional, values.text),
    "user_id": partial(values.optional, values.label),
    "conversation_id": partial(values.optional, values.label),
    "metadata": partial(values.optional, values.json_object),
    "id": partial(values.optional, values.key),
    "created_at": partial(values.optional, values.moment),
    "superseded_at": partial(values.optional, values.moment),
    "superseded_by": partial(values.optional, values.key),
}


def checked_pair(pair: dict[str, Any]) -> dict[str, Any]:
    """Columns of an imported pair; without an id it gets one that the same claim always gets, whatever file it is in."""
    unnamed = {"id": None, "scope": "global", "decay_class": None, "why": "", "created_at": None}
    owned = {"user_id": None, "conversation_id": None, "metadata": None, "superseded_at": None, "superseded_by": None}
    given = values.checked(CHECKS, {**unnamed, **pair, **owned})
    if given["id"] is None:
        parts = [key_of(given["subject"]), key_of(given["claim"]), given["domain"], given["scope"]]
        given["id"] = "dpo-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    return given


def postings_of(pk: int, item: Correction, cipher: Cipher | None = None) -> list[tuple[str, int, int]]:
    """The rows of `correction_words` for a live correction."""
    found = words(item.subject)
    subject = set(tagged(found, cipher))
    return [(word, pk, int(word in subject)) for word in tagged(found | words(item.claim, item.why), cipher)]


def line_of(item: Correction) -> str:
    """A correction in one line, whatever line breaks its texts have."""
    rejected = f" (not: {item.rejected})" if item.rejected.strip() else ""
    why = f" Why: {item.why}" if item.why.strip() else ""
    return " ".join(f"{item.subject}: {item.claim}{rejected}{why}".split())


def sealed_rejection(cipher: Cipher | None, pk: int, key: str, rejected: str) -> str:
    """A rejected text as the file has it."""
    return rejected if cipher is None else cipher.seal(REJECTED, (pk, key), rejected)


def unsealed_rejection(cipher: Cipher | None, pk: int, key: str, stored: str) -> str:
    """A rejected text out of the file."""
    return stored if cipher is None else cipher.unseal(REJECTED, (pk, key), stored)


def differences(connection: Connection) -> Iterator[tuple[int, str, str]]:
    """What does not agree with the row that it was derived from, a page of rows at a time."""
    last = 0
    while page := connection.rows("SELECT pk FROM corrections WHERE pk > ? ORDER BY pk LIMIT 1000", (last,)):
        pks = [pk for (pk,) in page]
        last = values.onward(last, pks[-1])
        yield from _page_differences(connection, pks)


def _page_differences(connection: Connection, pks: list[int]) -> Iterator[tuple[int, str, str]]:
    span, cipher = (pks[0], pks[-1]), connection.cipher
    items = CORRECTIONS.find(connection, "WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
    keys = connection.rows("SELECT subject_key, claim_key, subject_words FROM corrections WHERE pk BETWEEN ? AND ? ORDER BY pk", span)
    postings: dict[int, list[tuple[str, int, int]]] = {}
    for posting in connection.rows(
        "SELECT word, correction, in_subject FROM correction_words WHERE correction BETWEEN ? AND ? ORDER BY correction, word", span
    ):
        postings.setdefault(posting[1], []).append(posting)
    rejections: dict[int, list[tuple[str, str, str]]] = {}
    for pk, subject, key, text in connection.rows(
        "SELECT correction, subject_key, rejected_key, rejected FROM correction_rejections WHERE correction BETWEEN ? AND ?", span
    ):
        rejections.setdefault(pk, []).append((subject, key, unsealed_rejection(cipher, pk, key, text)))
    applications: dict[int, int] = dict(
        connection.rows(
            "SELECT correction, COUNT(*) FROM correction_applications WHERE correction BETWEEN ? AND ? GROUP BY correction", span
        )
    )
    for pk, item, found in zip(pks, items, keys, strict=True):
        if found != (key_of(item.subject, cipher), key_of(item.claim, cipher), len(words(item.subject))):
            yield pk, item.id, "its keys are not those of its subject and claim"
        if postings.get(pk, []) != ([] if item.superseded_at is not None else postings_of(pk, item, cipher)):
            yield pk, item.id, "its words in correction_words are not those of its texts"
        rejected = rejections.get(pk, [])
        derived = [(key_of(item.subject, cipher), key_of(text, cipher), text) for _, _, text in rejected]
        latest = key_of(item.rejected, cipher)
        if rejected != derived or (item.rejected.strip() and latest not in [key for _, key, _ in rejected]):
            yield pk, item.id, "correction_rejections does not agree with its rejected text"
        if item.application_count != applications.get(pk, 0):
            yield pk, item.id, f"application_count is {item.application_count}, correction_applications has {applications.get(pk, 0)}"
