"""Where each table of AUA's goes.

Names of columns are AUA's; those that a record has under the same name become its attribute. What no record names is kept under
`metadata["aua"]`, and of an audit event under `details["aua"]`.

The trap is the order: a message needs its conversation, a backup the messages that it has seen and a counter to stand behind.
"""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..chat import Message
from ..kernel import Invalid, values
from ..kernel.foreign import ForeignFile
from . import aua_flat
from .intake import Digests, Part, database, event_type, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..corrections import Correction
    from .intake import Intake, Row, Source

ORIGIN = "aua"
NOTE = "imported from AUA; its own hash chain cannot be re-verified"
BESIDE = {"message_keywords": "derived and not taken, the index is made of the messages"}
SUPERSEDED = "superseded"  # AUA deletes a correction by writing this over its scope

#: Tables, each with columns that together nobody else has; any of them makes a file AUA's.
MARKS = {
    "promotions": {"specialist", "from_model", "to_model"},
    "corrections": {"subject", "claim", "domain"},
    "audit_log": {"event_type", "prev_hash", "curr_hash"},
    "assertion_events": {"assertion_name", "level", "passed"},
    "messages": {"message_id", "conversation_id", "role", "content"},
    "model_runs": {"run_id", "conversation_id", "specialist"},
    "token_counters": {"counter_id", "conversation_id", "specialist"},
    "context_backups": {"backup_id", "conversation_id", "backup_text"},
}

EVENT_COLUMNS = (
    "actor", "actor_kind", "entity_kind", "entity_id", "session_id", "conversation_id", "trace_id", "token_id", "user_id",
    "field", "specialist", "u_score", "confidence", "latency_ms",
)  # fmt: skip


def open_source(path: Any, *, shared: bool = False) -> Source:
    """Open a state file, or the flat files that came before it."""
    if (files := aua_flat.found(path)) is not None:
        return files
    return database(path, "an AUA state file", _is_ours, ForeignFile, shared)


def _is_ours(tables: dict[str, list[str]]) -> bool:
    return any(columns <= set(tables.get(table, ())) for table, columns in MARKS.items())


class _SaysTheSame(Exception):
    """A correction strengthened another one in place of being stored; undone, because it shall be kept."""


class Tables:
    """Takes the rows of each table to the room that keeps them."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._store = intake.store
        self._updated: dict[str, Any] = {}  # updated_at of the conversations that came in now: their messages must not move it

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def parts(self) -> list[Part]:
        """The tables, in the order in which they need one another; flat files have rows of two of them."""
        if isinstance(self._intake.source, ForeignFile):
            return self._tables()
        take = {"promotions": ("evals", self._old_promotion), "corrections": ("corrections", self._pair)}
        parts = []
        for name in self._intake.source.tables():
            table = aua_flat.table_of(name)
            room, taking = take[table]
            key = partial(aua_flat.id_of, Digests(ORIGIN, table))  # what another file says again is known, not numbered on
            parts.append(Part(name, room, key, self._intake.each(taking), born="timestamp", into=table))
        return parts

    def _tables(self) -> list[Part]:
        each = self._intake.each
        return [
            Part("projects", "chat", "project_id", each(self._project)),
            Part("conversations", "chat", "conversation_id", each(self._conversation)),
            Part("messages", "chat", "message_id", self._messages, term=" AND supplied = 1"),
            Part("sessions", "chat", "id", each(self._session)),
            Part("corrections", "corrections", "id", each(self._correction)),
            Part("promotions", "evals", "id", each(self._promotion)),
            Part("assertion_events", "evals", "id", each(self._assertion)),
            Part("model_runs", "evals", "run_id", each(self._run)),
            Part("token_counters", "backups", "counter_id", each(self._counter), born="updated_at"),
            Part("context_backups", "backups", "backup_id", each(self._backup)),
            Part("audit_log", "audit", "id", self._events, born=None),
        ]

    # -- chat -------------------------------------------------------------------------------------------------------

    def _project(self, row: Row) -> None:
        self._store.chat.create_project(
            row.need("name"),
            id=row.id,
            **row.given("user_id", "description", "status", "created_at"),
            metadata=row.metadata(ORIGIN),
        )

    def _conversation(self, row: Row) -> None:
        project = row.left.pop("project_id") if row.left.get("project_id", "") != "" else None
        made = self._store.chat.create_conversation(
            id=row.id,
            project=project,
            **row.given("title", "user_id", "created_at", "updated_at"),
            metadata=row.metadata(ORIGIN),
        )
        if project is None and made.project_id is not None:  # its user has an active project here
            self._store.chat.move(made.id, None)
        self._updated[made.id] = made.updated_at

    def _messages(self, rows: list[Row]) -> None:
        for name, group in groupby(rows, lambda row: row.left.get("conversation_id")):
            write = partial(self._store.chat.append_many, name, updated_at=self._updated.get(name))
            self._intake.together(list(group), self._message, write)

    def _message(self, row: Row) -> Message:
        conversation_id = row.need("conversation_id")
        if self._store.chat.position(conversation_id) is None:
            raise Invalid(f"its conversation {values.shorten(conversation_id)} is not in the store")
        return Message(
            row.id,
            conversation_id,
            row.need("role"),
            row.left.pop("content", None),
            row.left.pop("created_at", None),
            models_used=row.listed("models_used"),
            **row.given("callout_type", "accuracy_level", "confidence", "tool_call_id", "name"),
            metadata=row.metadata(ORIGIN),
        )

    def _session(self, row: Row) -> None:
        given = {"query_count": 0, **row.given("query_count", "domain", "user_id", "created_at", "updated_at")}
        self._store.chat.touch_session(row.id, **given, metadata=row.metadata(ORIGIN))

    # -- what v0.7 wrote --------------------------------------------------------------------------------------------

    def _old_promotion(self, row: Row) -> None:
        row.left.pop("id", None)
        row.rename(timestamp="created_at")
        row.left |= row.moments("created_at", "reverted_at")
        self._promotion(row)

    def _pair(self, row: Row) -> None:
        row.left.pop("id", None)
        row.rename(timestamp="created_at", prompt="subject", chosen="claim")
        row.left = {"confidence": 0.7, "source": "arbiter", **row.left, **row.moments("created_at")}
        self._correction(row)

    # -- corrections ------------------------------------------------------------------------------------------------

    def _correction(self, row: Row) -> None:
        if row.left.get("effective_confidence") == row.left.get("confidence"):
            row.left.pop("effective_confidence", None)  # computed here; kept only where it says something else
        said = {"subject": row.need("subject"), "claim": row.need("claim")}
        said |= row.given("domain", "scope", "user_id", "rejected", "confidence", "created_at")
        told = row.given("source", "decay_class", "why", "prompt", "conversation_id")
        told["metadata"] = row.metadata(ORIGIN)
        if said.get("scope") == SUPERSEDED:
            self._retired(row, said, told, None)
            row.remarks.append("superseded nobody knows when, counts as superseded at the import")
            return
        try:
            self._as_it_is(row, said, told)
        except _SaysTheSame as twin:
            self._store.corrections.add(**said, override=True)  # what it rejects and how sure it is count for the twin
            self._retired(row, said, told, str(twin))
            row.remarks.append("says what another one says: that was strengthened, this is kept as superseded by it")

    def _as_it_is(self, row: Row, said: dict[str, Any], told: dict[str, Any]) -> None:
        with self._store.transaction():
            added = self._store.corrections.add(**said, **told, id=row.id, override=True)
            if added.id != row.id:
                raise _SaysTheSame(added.id)

    def _retired(self, row: Row, said: dict[str, Any], told: dict[str, Any], by: str | None) -> Correction:
        corrections = self._store.corrections
        return corrections.add(**said, **told, id=row.id, superseded_at=corrections.db.now, superseded_by=by)

    # -- evals ------------------------------------------------------------------------------------------------------

    def _promotion(self, row: Row) -> None:
        specialist, event = row.need("specialist"), row.need("event")
        models = {"from_model": None, "to_model": None, **row.given("from_model", "to_model")}
        self._store.evals.record_promotion(
            specialist,
            event,
            **models,
            reverts=self._undone(specialist, **models) if event == "rollback" else None,
            **row.given("reverted", "reverted_at", "reason", "created_at"),
            id=row.id,
            metadata=row.metadata(ORIGIN),
        )

    def _undone(self, specialist: str, from_model: Any, to_model: Any) -> str | None:
        """The promotion that a rollback of AUA's undid: the newest that is marked and has no rollback yet.

        One that came in before it was rolled back is not marked; then it is the newest between the same models.
        """
        history = self._store.evals.promotions(specialist=specialist, event="rollback")
        done = {item.reverts for item in history}
        open_ones = [item for item in self._store.evals.promotions(specialist=specialist, event="promote") if item.id not in done]
        marked = (item.id for item in open_ones if item.reverted)
        swapped = (item.id for item in open_ones if (item.from_model, item.to_model) == (to_model, from_model))
        return next(marked, None) or next(swapped, None)

    def _assertion(self, row: Row) -> None:
        self._store.evals.record_assertion(
            row.need("assertion_name"),
            row.need("level"),
            row.need("passed"),
            id=row.id,
            **row.given("session_id", "bonus_applied", "retries_used", "latency_ms", "domain", "policy_name", "created_at"),
        )

    def _run(self, row: Row) -> None:
        scores = row.given("utility_score", "confidence_score", "vcg_welfare_score", "vcg_winner", "latency_ms")
        self._store.evals.record_run(
            row.need("conversation_id"),
            row.need("specialist"),
            id=row.id,
            corrections_applied=row.listed("corrections_applied"),
            **scores,
            **row.given("query_id", "round", "domain", "domain_l0", "domain_path", "created_at"),
        )

    # -- backups ----------------------------------------------------------------------------------------------------

    def _counter(self, row: Row) -> None:
        self._store.backups.add_counter(
            row.need("conversation_id"),
            row.need("specialist"),
            id=row.id,
            **row.given("token_estimate", "message_count", "thread_number", "last_backup_at", "updated_at"),
        )

    def _backup(self, row: Row) -> None:
        backups = self._store.backups
        conversation_id, specialist, text = row.need("conversation_id"), row.need("specialist"), row.need("backup_text")
        backups.save(
            conversation_id,
            specialist,
            text,
            # AUA compares times: a note has seen what is older than itself.
            position=backups.position(conversation_id, before=row.left.get("created_at")),
            **{"thread_number": 1, **row.given("trigger", "thread_number", "token_estimate", "created_at")},
            id=row.id,
            metadata=row.metadata(ORIGIN),
        )

    # -- audit ------------------------------------------------------------------------------------------------------

    def _events(self, rows: list[Row]) -> None:
        self._intake.together(rows, _event, self._store.audit.append_many)


def _event(row: Row) -> dict[str, Any]:
    """An event of AUA's as one of ours: what our chain cannot vouch for, its time and hashes among it, stands in the details."""
    given = row.given(*EVENT_COLUMNS)
    said = row.left.get("event_type", "")
    word = event_type(ORIGIN, said)
    if word == said:
        del row.left["event_type"]
    details = read("details", row.left.pop("details", None))
    rest, row.left = row.left, {}
    return {
        "event_type": word, "id": row.id, "stream": ORIGIN, **given, "details": {ORIGIN: rest, "details": details}, "note": NOTE
    }  # fmt: skip
