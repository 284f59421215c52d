"""Corrections of an export on their way in: keys and words are computed anew, and what a correction rejected goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel import Exists
from ..kernel.carrying import OWNERS
from ..kernel.words import key_of, words
from .correction import CORRECTIONS, postings_of

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import CorrectionStore

BELONGS = {**OWNERS, "scope": ("project",)}
CHILDREN = ("correction_rejections", "correction_applications")
TWIN = """
    SELECT pk FROM corrections
    WHERE subject_key = ? AND claim_key = ? AND domain = ? AND scope = ? AND coalesce(user_id, '') = ? AND superseded_at IS NULL
"""


def take_in(_: CorrectionStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        intake.adopt("corrections", lambda rows: _keyed(intake.connection, rows))
        intake.adopt("correction_rejections", lambda rows: _rejecting(intake.connection, rows))
        intake.adopt("correction_applications")
        for page in intake.pages("corrections"):
            for row in page:
                _index(intake.connection, row["pk"])
        return
    for page in intake.pages("corrections"):
        _merge(intake, page)
    for page in intake.pages("correction_rejections"):
        intake.follow("correction_rejections", "correction", "corrections", page, lambda rows: _rejecting(intake.connection, rows))
    for page in intake.pages("correction_applications"):
        intake.follow("correction_applications", "correction", "corrections", page, lambda rows: _apart(intake, rows))


def _keyed(connection: Connection, rows: list[Row]) -> list[Row]:
    """Corrections with what is derived from them."""
    cipher = connection.cipher
    return [
        {
            **row,
            "subject_key": key_of(row["subject"], cipher),
            "claim_key": key_of(row["claim"], cipher),
            "subject_words": len(words(row["subject"])),
        }
        for row in rows
    ]


def _rejecting(connection: Connection, rows: list[Row]) -> list[Row]:
    """Rejections, whose corrections are in, with theirs."""
    cipher, subject = connection.cipher, "SELECT subject_key FROM corrections WHERE pk = ?"
    return [
        {
            **row,
            "subject_key": connection.value(subject, (row["correction"],)) or "",
            "rejected_key": key_of(row["rejected"], cipher),
        }
        for row in rows
    ]


def _index(connection: Connection, pk: int) -> None:
    """Write the words of a live correction."""
    for item in CORRECTIONS.find(connection, "WHERE pk = ? AND superseded_at IS NULL", (pk,)):
        postings = postings_of(pk, item, connection.cipher)
        connection.many("INSERT INTO correction_words(word, correction, in_subject) VALUES (?, ?, ?)", postings)


def _merge(intake: Intake, page: list[Row]) -> None:
    rows = _keyed(intake.connection, intake.living("corrections", page, "correction", BELONGS))
    known = intake.ids("corrections", [row["id"] for row in rows])
    for row in rows:
        row["scope"] = intake.projects.get(row["scope"], row["scope"])  # by id; a name is a word of its own there
        same, live = known.get(row["id"]), _twin(intake.connection, row)
        _refuse_other_user(intake, live if same is None else same, row)
        here, written = intake.settle("corrections", row, same, live)
        if written:
            for table in ("correction_words", *CHILDREN):
                intake.connection.run(f"DELETE FROM {table} WHERE correction = ?", (here,))
            _index(intake.connection, here)


def _refuse_other_user(intake: Intake, pk: int | None, row: Row) -> None:
    owner = intake.connection.value("SELECT user_id FROM corrections WHERE pk = ?", (pk,)) if intake.mode == "replace" else None
    if None not in (owner, row["user_id"]) and owner != row["user_id"]:
        raise Exists(f"correction {row['id']!r} of the export belongs to another user here, and is not replaced; nothing was imported")


def _twin(connection: Connection, row: Row) -> int | None:
    """The live correction that says the same."""
    if row["superseded_at"] is not None:
        return None
    said = (row["subject_key"], row["claim_key"], row["domain"], row["scope"], row["user_id"] or "")
    found: int | None = connection.value(TWIN, said)
    return found


def _apart(intake: Intake, rows: list[Row]) -> list[Row]:
    """Applications without the conversations that were erased here or do not come in."""
    named = [("conversation", row["conversation_id"]) for row in rows]
    gone = intake.gone(named) | intake.aside(named)
    return [{**row, "conversation_id": None} if pair in gone else row for row, pair in zip(rows, named, strict=True)]
