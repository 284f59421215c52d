"""The tables of the conflicts room and the records that are read from them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from ..kernel import Carried, Record, Schema, Table, record, values

ConflictKind = Literal["slot", "contradiction"]
ConflictStatus = Literal["open", "resolved", "dismissed"]
Resolution = Literal["dismiss", "supersede_others", "no_action"]
CONFLICT_KINDS: tuple[str, ...] = get_args(ConflictKind)
CONFLICT_STATUSES: tuple[str, ...] = get_args(ConflictStatus)
RESOLUTIONS: tuple[str, ...] = get_args(Resolution)

#: What can be a member of a conflict, and how far its layer is trusted.
TRUST = {"project_state": 3, "entity": 2, "relationship": 2, "memory": 1, "atom": 1}
MEMBER_KINDS = tuple(TRUST)

SCHEMA = Schema(
    "conflicts",
    version=1,
    ddl=f"""
CREATE TABLE conflicts(
    pk                 INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    created_at         REAL NOT NULL DEFAULT 0,
    updated_at         REAL NOT NULL DEFAULT 0,                 -- of the newest member, assessment or resolution
    kind               TEXT NOT NULL DEFAULT 'slot' CHECK ({values.among("kind", CONFLICT_KINDS)}),
    slot_kind          TEXT NOT NULL DEFAULT '',                -- of a slot: the rule,
    slot_key           TEXT NOT NULL DEFAULT '',                -- and which of its slots; may be somebody's words
    project_id         TEXT,
    user_id            TEXT,                                    -- who sees the claims; NULL: they are everybody's
    status             TEXT NOT NULL DEFAULT 'open' CHECK ({values.among("status", CONFLICT_STATUSES)}),
    state              TEXT NOT NULL DEFAULT 'detected',        -- what the newest assessment decided
    severity           TEXT NOT NULL DEFAULT 'medium',
    atom_a_id          TEXT,                                    -- of a contradiction between atoms, in order of their ids
    atom_b_id          TEXT,
    pair_hash          TEXT,                                    -- of a contradiction: the same whichever way round
    resolution         TEXT NOT NULL DEFAULT '' CHECK (resolution = '' OR {values.among("resolution", RESOLUTIONS)}),
    winner_kind        TEXT,
    winner_id          TEXT,
    resolution_atom_id TEXT,
    resolved_at        REAL,
    note               TEXT NOT NULL DEFAULT '',
    metadata           TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version            INTEGER NOT NULL DEFAULT 1,
    slot_hash          TEXT NOT NULL DEFAULT '',                -- digest of the key, exactly as it is written
    CHECK ((status = 'open') = (resolved_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX conflicts__open_slot
    ON conflicts(slot_hash, slot_kind, COALESCE(project_id, ''), COALESCE(user_id, ''))
    WHERE status = 'open' AND kind = 'slot';
CREATE UNIQUE INDEX conflicts__open_pair ON conflicts(pair_hash) WHERE status = 'open' AND kind = 'contradiction';
CREATE INDEX conflicts__slot ON conflicts(slot_hash, slot_kind) WHERE kind = 'slot';
CREATE INDEX conflicts__pair ON conflicts(pair_hash) WHERE kind = 'contradiction';
CREATE INDEX conflicts__created ON conflicts(created_at);
CREATE INDEX conflicts__project ON conflicts(project_id, created_at);

CREATE TABLE conflict_members(
    pk                 INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    conflict           INTEGER NOT NULL DEFAULT 0 REFERENCES conflicts(pk) ON DELETE CASCADE,
    member_kind        TEXT NOT NULL DEFAULT 'memory' CHECK ({values.among("member_kind", MEMBER_KINDS)}),
    member_id          TEXT NOT NULL DEFAULT '',
    member_layer_trust INTEGER NOT NULL DEFAULT 0,
    value_snapshot     TEXT NOT NULL DEFAULT '',                -- what it said when it was last looked at, for people,
    claim_value        TEXT NOT NULL DEFAULT '',                -- and what of it is compared
    claim_kind         TEXT,                                    -- the row that loses in place of the member:
    claim_id           TEXT,                                    -- of a component's material the relationship
    UNIQUE (conflict, member_kind, member_id)
) STRICT;
CREATE INDEX conflict_members__member ON conflict_members(member_id);

CREATE TABLE conflict_assessments(
    pk                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    conflict            INTEGER NOT NULL DEFAULT 0 REFERENCES conflicts(pk) ON DELETE CASCADE,
    created_at          REAL NOT NULL DEFAULT 0,
    decision            TEXT NOT NULL DEFAULT '',
    decision_confidence REAL CHECK (decision_confidence BETWEEN 0 AND 1),
    reason_codes        TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(reason_codes)),
    assessor            TEXT NOT NULL DEFAULT '',
    note                TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX conflict_assessments__conflict ON conflict_assessments(conflict);
""",
    carried=(
        Carried("conflicts", ("pk",), ("slot_key", "note"), ("metadata",), derived=("slot_hash",)),
        Carried("conflict_members", ("pk",), ("value_snapshot", "claim_value")),
        Carried("conflict_assessments", ("pk",), ("note",), ("reason_codes",)),
    ),
)


@record
class ConflictMember(Record):
    """One side of a conflict: what claims the slot, how far its layer is trusted, and what it said."""

    id: str
    conflict_id: str
    member_kind: str
    member_id: str
    member_layer_trust: int
    value_snapshot: str
    claim_value: str
    claim_kind: str | None
    claim_id: str | None
    value_now: str | None  # while the conflict is open; None where it claims the slot no longer

    @property
    def claim(self) -> tuple[str, str]:
        """Kind and id of the row that makes the claim, and is superseded if it loses."""
        if self.claim_kind is None or self.claim_id is None:
            return self.member_kind, self.member_id
        return self.claim_kind, self.claim_id


@record
class Conflict(Record):
    """A slot that rows claim with different values, or a pair that contradicts each other."""

    id: str
    created_at: float
    updated_at: float
    kind: str
    slot_kind: str
    slot_key: str
    project_id: str | None
    user_id: str | None
    status: str
    state: str
    severity: str
    atom_a_id: str | None
    atom_b_id: str | None
    pair_hash: str | None
    resolution: str
    winner_kind: str | None
    winner_id: str | None
    resolution_atom_id: str | None
    resolved_at: float | None
    note: str
    metadata: dict[str, Any] | None
    version: int
    members: list[ConflictMember]

    @property
    def project(self) -> str:
        """The project's id, "" for none, by the name that AtoCore gives it."""
        return self.project_id or ""

    @property
    def detected_at(self) -> float:
        """When it was noticed, by the name that AtoCore gives it."""
        return self.created_at


@record
class Assessment(Record):
    """What somebody, or a model, made of a conflict; there may be many, and none is ever changed."""

    id: str
    conflict_id: str
    created_at: float
    decision: str
    decision_confidence: float | None
    reason_codes: list[str]
    assessor: str
    note: str

    @property
    def contradiction_id(self) -> str:
        """The conflict's id, by the name that Aira gives it."""
        return self.conflict_id


@record
class Suggestion(Record):
    """The member that a conflict's winner might be, None where nothing decides, and why.

    `winner_id` is what `resolve(winner=)` takes.
    """

    winner_kind: str | None
    winner_id: str | None
    reason: str


CONFLICTS = Table(
    Conflict,
    "conflicts",
    json=("metadata", "members"),
    hidden=("pk", "slot_hash"),
    computed={"members": "'[]'"},  # filled in from their own table
    schema=SCHEMA,
)
MEMBERS = Table(
    ConflictMember,
    "conflict_members",
    hidden=("pk", "conflict"),
    computed={
        "conflict_id": "(SELECT id FROM conflicts WHERE pk = conflict_members.conflict)",
        "value_now": "NULL",  # filled in by what stands in the other rooms
    },
    schema=SCHEMA,
)
ASSESSMENTS = Table(
    Assessment,
    "conflict_assessments",
    json=("reason_codes",),
    hidden=("pk", "conflict"),
    computed={"conflict_id": "(SELECT id FROM conflicts WHERE pk = conflict_assessments.conflict)"},
    schema=SCHEMA,
)
