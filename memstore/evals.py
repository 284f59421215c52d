"""Which model is good at what: every run of a specialist, every assertion on an answer, every promotion.

1. Rows are appended; only `Store.prune` and `Store.erase` remove any. A promotion changes once: it is marked when it is rolled back.
2. A run names its conversation, always: without it nothing leads from a conversation to the models that answered it.
3. The active model is what the newest promotion or rollback says. Newest is by arrival, since a clock can step back.
4. What was not measured is NULL and enters no mean and no percentile; 0 is a measurement.

The trap: a rollback undoes the newest promotion that still stands, not the newest one; rolling back twice goes back two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from .kernel import Carried, Exists, Finding, Invalid, NotFound, Prunable, Record, Recorder, Room, Schema, Table, new_id, record, values
from .kernel.carrying import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from .kernel import Connection
    from .kernel.carrying import Intake, Row
    from .kernel.subject import Subject

R = TypeVar("R")

Round = Literal["answer", "peer_review"]
Level = Literal["blocking", "soft", "info"]
PromotionEvent = Literal["promote", "rollback"]
ROUNDS: tuple[str, ...] = get_args(Round)
LEVELS: tuple[str, ...] = get_args(Level)
PROMOTION_EVENTS: tuple[str, ...] = get_args(PromotionEvent)

SCHEMA = Schema(
    "evals",
    version=1,
    ddl=f"""
CREATE TABLE model_runs(
    pk                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    created_at          REAL NOT NULL DEFAULT 0,
    query_id            TEXT,                                   -- what the runs of one query share
    conversation_id     TEXT NOT NULL DEFAULT '',
    specialist          TEXT NOT NULL DEFAULT '',
    round               TEXT NOT NULL DEFAULT 'answer' CHECK ({values.among("round", ROUNDS)}),
    utility_score       REAL,
    confidence_score    REAL,
    vcg_welfare_score   REAL,
    vcg_winner          INTEGER NOT NULL DEFAULT 0 CHECK (vcg_winner IN (0, 1)),
    corrections_applied TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(corrections_applied)),
    latency_ms          REAL,
    domain              TEXT,
    domain_l0           TEXT,
    domain_path         TEXT
) STRICT;
CREATE INDEX model_runs__created ON model_runs(created_at);
CREATE INDEX model_runs__conversation ON model_runs(conversation_id, created_at);
CREATE INDEX model_runs__specialist ON model_runs(specialist, created_at);
CREATE INDEX model_runs__query ON model_runs(query_id, created_at) WHERE query_id IS NOT NULL;

CREATE TABLE assertion_events(
    pk             INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    created_at     REAL NOT NULL DEFAULT 0,
    session_id     TEXT,
    assertion_name TEXT NOT NULL DEFAULT '',
    level          TEXT NOT NULL DEFAULT 'info' CHECK ({values.among("level", LEVELS)}),
    passed         INTEGER NOT NULL DEFAULT 0 CHECK (passed IN (0, 1)),
    bonus_applied  REAL NOT NULL DEFAULT 0,                     -- below 0 it is a penalty
    retries_used   INTEGER NOT NULL DEFAULT 0,
    latency_ms     REAL,
    domain         TEXT,
    policy_name    TEXT
) STRICT;
CREATE INDEX assertion_events__created ON assertion_events(created_at);
CREATE INDEX assertion_events__session ON assertion_events(session_id, created_at);
CREATE INDEX assertion_events__name ON assertion_events(assertion_name, created_at);

CREATE TABLE promotions(
    pk          INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    created_at  REAL NOT NULL DEFAULT 0,
    specialist  TEXT NOT NULL DEFAULT '',
    event       TEXT NOT NULL DEFAULT 'promote' CHECK ({values.among("event", PROMOTION_EVENTS)}),
    from_model  TEXT,                                           -- NULL: there was none before
    to_model    TEXT,                                           -- NULL: rolled back to before the first
    reverted    INTEGER NOT NULL DEFAULT 0 CHECK (reverted IN (0, 1)),
    reverted_at REAL,
    reverts     TEXT REFERENCES promotions(id),                 -- of a rollback: the promotion that it undid
    reason      TEXT NOT NULL DEFAULT '',
    metadata    TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    imported    INTEGER NOT NULL DEFAULT 0 CHECK (imported IN (0, 1)),   -- from elsewhere, where the other half may be missing
    CHECK (reverted = (reverted_at IS NOT NULL))
) STRICT;
CREATE INDEX promotions__specialist ON promotions(specialist);
CREATE UNIQUE INDEX promotions__reverts ON promotions(reverts) WHERE reverts IS NOT NULL;
""",
    carried=(
        Carried("model_runs", ("pk",)),
        Carried("assertion_events", ("pk",)),
        Carried("promotions", ("pk",), ("reason",), ("metadata",)),
    ),
)


#: A promotion that was reverted and whose rollback is not here.
UNDONE_ALONE = """
    SELECT 1 FROM promotions WHERE id = ? AND reverted = 1 AND NOT EXISTS (SELECT 1 FROM promotions WHERE reverts = ?)
"""


@record
class ModelRun(Record):
    """One specialist's run for one query."""

    id: str
    created_at: float
    query_id: str | None
    conversation_id: str
    specialist: str
    round: str
    utility_score: float | None
    confidence_score: float | None
    vcg_welfare_score: float | None
    vcg_winner: bool
    corrections_applied: list[str]
    latency_ms: float | None
    domain: str | None
    domain_l0: str | None
    domain_path: str | None

    @property
    def run_id(self) -> str:
        """The id, by the name that AUA gives it."""
        return self.id


@record
class AssertionEvent(Record):
    """One assertion tried on an answer."""

    id: str
    created_at: float
    session_id: str | None
    assertion_name: str
    level: str
    passed: bool
    bonus_applied: float
    retries_used: int
    latency_ms: float | None
    domain: str | None
    policy_name: str | None


@record
class Promotion(Record):
    """A specialist's change of model: a promotion, or the rollback of one (`reverts` is its id)."""

    id: str
    created_at: float
    specialist: str
    event: str
    from_model: str | None
    to_model: str | None
    reverted: bool
    reverted_at: float | None
    reverts: str | None
    reason: str
    metadata: dict[str, Any] | None


@record
class Reliability(Record):
    """How a specialist did: runs, wins and their share, mean welfare, latency in ms; None where nothing was measured."""

    specialist: str
    runs: int
    wins: int
    win_rate: float
    mean_welfare: float | None
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None


RUNS = Table(ModelRun, "model_runs", json=("corrections_applied",), flags=("vcg_winner",), hidden=("pk",))
ASSERTIONS = Table(AssertionEvent, "assertion_events", flags=("passed",), hidden=("pk",))
PROMOTIONS = Table(Promotion, "promotions", json=("metadata",), flags=("reverted",), hidden=("pk", "imported"), schema=SCHEMA)


class EvalStore:
    """Model runs, assertions and promotions.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     run = store.evals.record_run("chat-1", "swe", vcg_winner=True, latency_ms=840)
    ...     promotion = store.evals.promote("swe", "swe-7b", "swe-8b")
    ...     store.evals.reliability(specialist="swe")[0].win_rate, store.evals.active_model("swe")
    (1.0, 'swe-8b')
    """

    def __init__(self, db: Room, audit: Recorder) -> None:
        self.db = db
        self._audit = audit

    # -- write ------------------------------------------------------------------------------------------------------

    def record_run(
        self,
        conversation_id: str,
        specialist: str,
        *,
        query_id: str | None = None,
        round: Round = "answer",
        utility_score: float | None = None,
        confidence_score: float | None = None,
        vcg_welfare_score: float | None = None,
        vcg_winner: bool = False,
        corrections_applied: Iterable[str] = (),
        latency_ms: float | None = None,
        domain: str | None = None,
        domain_l0: str | None = None,
        domain_path: str | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> ModelRun:
        """Store one run of a specialist in a conversation and return it; `corrections_applied` are ids."""
        columns = {
            "query_id": _optional("query_id", query_id),
            "conversation_id": values.label("conversation_id", conversation_id),
            "specialist": values.label("specialist", specialist),
            "round": values.one_of("round", round, ROUNDS),
            "utility_score": values.optional(values.real, "utility_score", utility_score),
            "confidence_score": values.optional(values.real, "confidence_score", confidence_score),
            "vcg_welfare_score": values.optional(values.real, "vcg_welfare_score", vcg_welfare_score),
            "vcg_winner": values.flag("vcg_winner", vcg_winner),
            "corrections_applied": values.strings("corrections_applied", corrections_applied),
            "latency_ms": values.optional(values.real, "latency_ms", latency_ms, low=0.0),
            "domain": _optional("domain", domain),
            "domain_l0": _optional("domain_l0", domain_l0),
            "domain_path": _optional("domain_path", domain_path),
        }
        return self._append(RUNS, id, created_at, columns)

    def record_assertion(
        self,
        assertion_name: str,
        level: Level,
        passed: bool,
        *,
        session_id: str | None = None,
        bonus_applied: float = 0.0,
        retries_used: int = 0,
        latency_ms: float | None = None,
        domain: str | None = None,
        policy_name: str | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> AssertionEvent:
        """Store the outcome of one assertion and return it; a penalty is a `bonus_applied` below 0."""
        columns = {
            "session_id": _optional("session_id", session_id),
            "assertion_name": values.label("assertion_name", assertion_name),
            "level": values.one_of("level", level, LEVELS),
            "passed": values.flag("passed", passed),
            "bonus_applied": values.real("bonus_applied", bonus_applied),
            "retries_used": values.integer("retries_used", retries_used, low=0),
            "latency_ms": values.optional(values.real, "latency_ms", latency_ms, low=0.0),
            "domain": _optional("domain", domain),
            "policy_name": _optional("policy_name", policy_name),
        }
        return self._append(ASSERTIONS, id, created_at, columns)

    def promote(
        self,
        specialist: str,
        from_model: str | None,
        to_model: str,
        *,
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
        actor: str = "",
        note: str = "",
    ) -> Promotion:
        """Make a model the active one of a specialist and return the event; a first promotion has a `from_model` of None."""
        columns = {
            "specialist": values.label("specialist", specialist),
            "event": "promote",
            "from_model": _optional("from_model", from_model),
            "to_model": values.label("to_model", to_model),
            "reverts": None,
            "reason": values.text("note", note),
            "metadata": values.optional(values.json_object, "metadata", metadata),
        }
        with self.db.write():
            new = self._append(PROMOTIONS, id, created_at, {**columns, "reverted": False, "reverted_at": None})
            self._log(new, actor)
        return new

    def rollback(self, specialist: str, *, reason: str = "", metadata: dict[str, Any] | None = None, actor: str = "") -> Promotion:
        """Undo the newest promotion of a specialist that still stands: mark it, append a rollback event and return that."""
        specialist = values.label("specialist", specialist)
        columns = {"event": "rollback", "reason": values.text("reason", reason), "reverted": False, "reverted_at": None}
        metadata = values.optional(values.json_object, "metadata", metadata)
        with self.db.write() as connection:
            undone = PROMOTIONS.first(
                connection, "WHERE specialist = ? AND event = 'promote' AND reverted = 0 ORDER BY pk DESC LIMIT 1", (specialist,)
            )
            if undone is None:
                known = connection.rows("SELECT DISTINCT specialist FROM promotions WHERE event = 'promote' AND reverted = 0")
                near = values.suggest(specialist, [name for (name,) in known])
                raise NotFound(f"specialist {specialist!r} has no promotion that stands{near}; store.evals.promotions() lists them all")
            connection.run("UPDATE promotions SET reverted = 1, reverted_at = ? WHERE id = ?", (self.db.now, undone.id))
            swapped = {"from_model": undone.to_model, "to_model": undone.from_model, "reverts": undone.id}
            new = self._append(PROMOTIONS, None, None, {**columns, **swapped, "specialist": specialist, "metadata": metadata})
            self._log(new, actor)
        return new

    def record_promotion(
        self,
        specialist: str,
        event: PromotionEvent,
        from_model: str | None,
        to_model: str | None,
        *,
        reverted: bool = False,
        reverted_at: float | datetime | None = None,
        reverts: str | None = None,
        reason: str = "",
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Promotion:
        """Store a promotion or rollback that happened elsewhere and return it; it becomes the newest, and no audit event is written.

        A rollback may name the promotion that it `reverts`, which is marked. A `reverted` one without a time has that of its
        rollback, or its own while there is none.
        """
        reverted = values.flag("reverted", reverted)
        at = values.optional(values.moment, "reverted_at", reverted_at)
        born = values.optional(values.moment, "created_at", created_at)
        columns = {
            "specialist": values.label("specialist", specialist),
            "event": values.one_of("event", event, PROMOTION_EVENTS),
            "from_model": _optional("from_model", from_model),
            "to_model": _optional("to_model", to_model),
            "reverted": reverted,
            "reverts": values.optional(values.key, "reverts", reverts),
            "reason": values.text("reason", reason),
            "metadata": values.optional(values.json_object, "metadata", metadata),
        }
        if at is not None and not reverted:
            raise Invalid("reverted_at needs reverted=True")
        if reverts is not None and event != "rollback":
            raise Invalid(f"only a rollback reverts a promotion, not event {event!r}")
        with self.db.write() as connection:
            born = self.db.now if born is None else born
            if reverted and at is None:
                at = born
            if reverts is not None:
                self._mark(connection, reverts, born)
            return self._append(PROMOTIONS, id, born, {**columns, "reverted_at": at}, imported=1)

    def _mark(self, connection: Connection, id: str, at: float) -> None:
        """Mark the promotion that a rollback from elsewhere undid."""
        if connection.value("SELECT 1 FROM promotions WHERE reverts = ?", (id,)):
            raise Exists(f"promotion {id!r} has its rollback already")
        marked = connection.run(
            "UPDATE promotions"
            " SET reverted = 1, reverted_at = CASE WHEN reverted = 0 OR reverted_at = created_at THEN ? ELSE reverted_at END"
            " WHERE id = ? AND event = 'promote'",
            (at, id),
        )
        if not marked:
            raise NotFound(f"no promotion {id!r}; store.evals.promotions() lists them")

    def _append(
        self, table: Table[R], id: str | None, created_at: float | datetime | None, columns: dict[str, Any], **hidden: int
    ) -> R:
        id = values.optional(values.key, "id", id)
        born = values.optional(values.moment, "created_at", created_at)
        make: Callable[..., R] = table.record
        with self.db.write() as connection:
            if id is not None and connection.value(f"SELECT 1 FROM {table.name} WHERE id = ?", (id,)):
                raise Exists(f"{table.name} has a row {id!r} already; rows are only ever appended")
            item = make(id=new_id() if id is None else id, created_at=self.db.now if born is None else born, **columns)
            table.insert(connection, item, **hidden)
        return item

    def _log(self, item: Promotion, actor: str) -> None:
        self._audit(
            "promotion.promote" if item.event == "promote" else "promotion.rollback",
            entity_kind="promotion", entity_id=item.id, before={"model": item.from_model}, after={"model": item.to_model},
            specialist=item.specialist, actor=actor, note=item.reason,
        )  # fmt: skip

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`; promotions are nobody's."""
        from .kernel.rows import AMONG

        subject.remove(connection, "model_runs", "run", f"conversation_id {AMONG}", subject.conversations)
        subject.remove(connection, "assertion_events", "assertion", f"session_id {AMONG}", {*subject.conversations, *subject.sessions})

    # -- read -------------------------------------------------------------------------------------------------------

    def runs(
        self,
        *,
        conversation_id: str | None = None,
        specialist: str | None = None,
        query_id: str | None = None,
        limit: int | None = None,
    ) -> list[ModelRun]:
        """Return runs, newest first by (created_at, arrival): all of them unless there is a limit."""
        return self._newest(RUNS, limit, conversation_id=conversation_id, specialist=specialist, query_id=query_id)

    def assertions(
        self,
        *,
        session_id: str | None = None,
        assertion_name: str | None = None,
        level: Level | None = None,
        passed: bool | None = None,
        domain: str | None = None,
        policy_name: str | None = None,
        limit: int | None = None,
    ) -> list[AssertionEvent]:
        """Return assertion events, newest first by (created_at, arrival): all of them unless there is a limit."""
        values.optional(values.one_of, "level", level, legal=LEVELS)
        return self._newest(
            ASSERTIONS, limit, session_id=session_id, assertion_name=assertion_name, level=level,
            passed=values.optional(values.flag, "passed", passed), domain=domain, policy_name=policy_name,
        )  # fmt: skip

    def promotions(
        self,
        *,
        specialist: str | None = None,
        event: PromotionEvent | None = None,
        include_reverted: bool = True,
        limit: int | None = None,
    ) -> list[Promotion]:
        """Return promotions and rollbacks, newest first by arrival: all of them unless there is a limit."""
        values.optional(values.one_of, "event", event, legal=PROMOTION_EVENTS)
        reverted = None if values.flag("include_reverted", include_reverted) else False
        return self._newest(PROMOTIONS, limit, order="pk DESC", specialist=specialist, event=event, reverted=reverted)

    def _newest(
        self, table: Table[R], limit: int | None, *, order: str = "created_at DESC, pk DESC", **equal: str | bool | None
    ) -> list[R]:
        """Rows whose columns equal what is not None."""
        given = {name: value for name, value in equal.items() if value is not None}
        wanted = {name: int(value) if isinstance(value, bool) else values.label(name, value) for name, value in given.items()}
        where = " AND ".join(f"{name} = ?" for name in wanted)
        clause = f"{'WHERE ' if where else ''}{where} ORDER BY {order} LIMIT ?"
        return table.find(self.db, clause, (*wanted.values(), values.limit(limit)))

    def active_model(self, specialist: str) -> str | None:
        """Return the model that the newest promotion or rollback of a specialist says; None where there is none."""
        model: str | None = self.db.value(
            "SELECT to_model FROM promotions WHERE specialist = ? ORDER BY pk DESC LIMIT 1", (values.label("specialist", specialist),)
        )
        return model

    def reliability(self, *, specialist: str | None = None, since: float | datetime | None = None) -> list[Reliability]:
        """Sum up the runs of each specialist, in order of their names; `since` is inclusive.

        A percentile is the nearest rank: the smallest measured latency that at least that share of the latencies does not exceed.
        """
        where = "WHERE created_at >= ?"
        params: list[Any] = [-math.inf if since is None else values.moment("since", since)]
        if specialist is not None:
            where += " AND specialist = ?"
            params.append(values.label("specialist", specialist))
        with self.db.read(snapshot=True) as connection:
            totals = connection.rows(
                "SELECT specialist, COUNT(*), SUM(vcg_winner), 1.0 * SUM(vcg_winner) / COUNT(*), AVG(vcg_welfare_score)"
                f" FROM model_runs {where} GROUP BY specialist ORDER BY specialist",
                params,
            )
            # Rank = ceil(total * p / 100), in whole numbers: a float product may lie just above one.
            ranked = connection.rows(
                "SELECT specialist,"
                " MAX(CASE WHEN place = (total * 50 + 99) / 100 THEN latency_ms END),"
                " MAX(CASE WHEN place = (total * 95 + 99) / 100 THEN latency_ms END),"
                " MAX(CASE WHEN place = (total * 99 + 99) / 100 THEN latency_ms END)"
                " FROM (SELECT specialist, latency_ms, ROW_NUMBER() OVER (PARTITION BY specialist ORDER BY latency_ms) AS place,"
                f"  COUNT(*) OVER (PARTITION BY specialist) AS total FROM model_runs {where} AND latency_ms IS NOT NULL)"
                " GROUP BY specialist",
                params,
            )
        latencies = {name: percentiles for name, *percentiles in ranked}
        return [Reliability(*line, *latencies.get(line[0], (None, None, None))) for line in totals]

    # -- remove -----------------------------------------------------------------------------------------------------

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove; promotions are no part of it, for the active model follows from them."""
        return [
            Prunable(
                "model_runs",
                "SELECT count(*) FROM model_runs",
                "SELECT created_at, pk, 300 FROM model_runs WHERE (created_at, pk) > (?, ?) ORDER BY created_at, pk LIMIT ?",
                _remove_runs,
            ),
            Prunable(
                "assertion_events",
                "SELECT count(*) FROM assertion_events",
                "SELECT created_at, pk, 300 FROM assertion_events WHERE (created_at, pk) > (?, ?) ORDER BY created_at, pk LIMIT ?",
                _remove_assertions,
            ),
        ]

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Report promotions that are marked as reverted without a rollback, and rollbacks without the mark; imported ones may lack one."""
        rows = self.db.rows(
            "SELECT p.pk, p.id, p.event, p.reverted, r.id FROM promotions AS p LEFT JOIN promotions AS r ON r.reverts = p.id"
            " WHERE (r.id IS NOT NULL AND (p.event <> 'promote' OR p.reverted = 0))"
            " OR (p.imported = 0 AND (p.reverted > (r.id IS NOT NULL) OR (p.event = 'rollback' AND p.reverts IS NULL)))"
            " ORDER BY p.pk"
        )
        return [
            Finding("derived", pk, f"{event} {id} has reverted = {reverted}, and its rollback is {rollback}")
            for pk, id, event, reverted, rollback in rows
        ]


def take_in(_: EvalStore, intake: Intake) -> None:
    """Take in the room from an export; a rollback goes with the promotion that it undid."""
    for table in ("model_runs", "assertion_events", "promotions"):
        if intake.mode == "adopt":
            intake.adopt(table)
        elif table == "promotions":
            for rows in intake.pages(table):
                _take_promotions(intake, rows)
        else:
            intake.take(table)


def _take_promotions(intake: Intake, rows: list[Row]) -> None:
    known = intake.ids("promotions", [row["id"] for row in rows])
    for row in rows:
        if row["id"] in known:
            if intake.known("promotions", row):
                undone = intake.connection.row("SELECT reverted, reverted_at FROM promotions WHERE id = ? AND reverted = 1", (row["id"],))
                kept = {} if undone is None or row["reverted"] else dict(zip(("reverted", "reverted_at"), undone))
                intake.update("promotions", known[row["id"]], {**row, **kept})
        elif row["reverts"] is None or intake.connection.value(UNDONE_ALONE, (row["reverts"], row["reverts"])) is not None:
            intake.insert("promotions", [{**without(row, "pk"), "imported": 1}])
        else:
            intake.skipped["promotions"] += 1


def _optional(name: str, value: Any) -> str | None:
    return values.optional(values.label, name, value)


def _remove_runs(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    oldest = "DELETE FROM model_runs WHERE pk IN (SELECT pk FROM model_runs ORDER BY created_at, pk LIMIT ?)"
    return {"model_runs": connection.run(oldest, (count,))}


def _remove_assertions(connection: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
    oldest = "DELETE FROM assertion_events WHERE pk IN (SELECT pk FROM assertion_events ORDER BY created_at, pk LIMIT ?)"
    return {"assertion_events": connection.run(oldest, (count,))}
