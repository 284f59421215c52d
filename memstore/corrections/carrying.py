"""Corrections of an export on their way in: keys and words are computed anew, and what a correction rejected goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel import Exists
from ..kernel.carrying import OWNERS, without
from ..kernel.words import key_of, words
from .correction import CORRECTIONS, postings_of

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import CorrectionStore

BELONGS = {**OWNERS, "scope": ("project",)}
NAMED = {**BELONGS, "id": ("correction",)}
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
            _index(intake.connection, [row["id"] for row in page])
        return
    for page in intake.pages("corrections"):
        _merge(intake, page)
    for table in CHILDREN:
        for page in intake.pages(table):
            _take_children(intake, table, page)


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


def _index(connection: Connection, ids: list[str]) -> None:
    """Write the words of live corrections."""
    for id in ids:
        pk = connection.value("SELECT pk FROM corrections WHERE id = ? AND superseded_at IS NULL", (id,))
        if pk is not None:
            item = CORRECTIONS.find(connection, "WHERE pk = ?", (pk,))[0]
            postings = postings_of(pk, item, connection.cipher)
            connection.many("INSERT INTO correction_words(word, correction, in_subject) VALUES (?, ?, ?)", postings)


def _merge(intake: Intake, page: list[Row]) -> None:
    living = intake.living("corrections", page, "correction", BELONGS)
    rows = _keyed(intake.connection, living)
    known = intake.ids("corrections", [row["id"] for row in rows])
    noted: dict[int, Any] = dict.fromkeys((row["pk"] for row in page), "")  # "": what goes with it does not come in
    if len(living) < len(page):
        kept = {row["pk"] for row in living}
        lost = [row for row in page if row["pk"] not in kept]
        named = {row["pk"]: {(kind, row.get(name)) for name, kinds in NAMED.items() for kind in kinds} for row in lost}
        gone: set[tuple[str, Any]] = {*intake.gone(pair for pairs in named.values() for pair in pairs)}
        intake.remember("erased correction", [(pk, 1) for pk, pairs in named.items() if pairs & gone])
    for row in rows:
        same, live = known.get(row["id"]), _twin(intake.connection, row)
        here = live if same is None else same
        if here is None:
            intake.insert("corrections", [without(row, "pk")])
            here = intake.ids("corrections", [row["id"]])[row["id"]]
        elif not intake.known("corrections", row):
            continue
        elif live not in (None, here):
            raise Exists(f"correction {row['id']!r} of the export says what another one says here; supersede one of them first")
        else:
            _refuse_other_user(intake.connection, here, row)
            if intake.recall("taken correction", [here]):
                raise Exists(f"correction {row['id']!r} of the export and another one there are one correction here; supersede that first")
            intake.remember("taken correction", [(here, 1)])
            intake.update("corrections", here, row)
            intake.remember("replaced correction", [(row["pk"], 1)])
            for table in ("correction_words", *CHILDREN):
                intake.connection.run(f"DELETE FROM {table} WHERE correction = ?", (here,))
        noted[row["pk"]] = here
        _index(intake.connection, [id for (id,) in intake.connection.rows("SELECT id FROM corrections WHERE pk = ?", (here,))])
    intake.remember("correction", noted.items())


def _refuse_other_user(connection: Connection, pk: int, row: Row) -> None:
    owner = connection.value("SELECT user_id FROM corrections WHERE pk = ?", (pk,))
    if None not in (owner, row["user_id"]) and owner != row["user_id"]:
        raise Exists(f"correction {row['id']!r} of the export belongs to another user here, and is not replaced; nothing was imported")


def _twin(connection: Connection, row: Row) -> int | None:
    """The live correction that says the same."""
    if row["superseded_at"] is not None:
        return None
    said = (row["subject_key"], row["claim_key"], row["domain"], row["scope"], row["user_id"] or "")
    found: int | None = connection.value(TWIN, said)
    return found


def _take_children(intake: Intake, table: str, page: list[Row]) -> None:
    owners = intake.recall("correction", (row["correction"] for row in page))
    kept = [row for row in page if owners.get(row["correction"], "") != ""]
    erased = intake.recall("erased correction", (row["correction"] for row in page))
    out = sum([row["correction"] in erased for row in page])
    intake.erased[table] += out
    intake.skipped[table] += len(page) - len(kept) - out
    replaced = intake.recall("replaced correction", (row["correction"] for row in kept))
    again = sum([row["correction"] in replaced for row in kept])
    rows = [{**without(row, "pk"), "correction": owners[row["correction"]]} for row in kept]
    if table == "correction_rejections":
        rows = _rejecting(intake.connection, rows)
    else:
        owners_named = [("conversation", row["conversation_id"]) for row in rows]
        gone = intake.gone(owners_named) | intake.aside(owners_named)
        rows = [{**row, "conversation_id": None} if ("conversation", row["conversation_id"]) in gone else row for row in rows]
    intake.insert(table, rows)
    intake.added[table] -= again  # they count as replaced
    intake.replaced[table] += again
