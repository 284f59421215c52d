"""The tables of the audit log, those of the logs that came with imports, and the view for people.

The trap: `audit_log` must never get a second UNIQUE, for with one INSERT OR REPLACE removes rows without firing a DELETE trigger.
"""

from __future__ import annotations

from ..kernel import Carried, Schema

SCHEMA = Schema(
    "audit",
    version=2,
    ddl="""
CREATE TABLE audit_log(
    seq     INTEGER PRIMARY KEY,  -- gapless, from 1; the only UNIQUE (see the trap above)
    body    TEXT NOT NULL DEFAULT '',  -- canonical JSON, hashed as it lies
    hash    BLOB NOT NULL DEFAULT x'',  -- 32 bytes; that of the event before is one row up
    refs    TEXT,  -- NULL: nothing to redact; '': redacted; else JSON: a salt, and the references that are given
    payload ANY  -- JSON text of after, before, details, note; bytes where a codec encrypts it
) STRICT;

CREATE TABLE audit_places(
    reference TEXT,  -- ,"session_id":"s-1" as it lies in refs, ,"id":"x" as it lies in a body
    page      INTEGER,  -- of 64 events, seq >> 6, one of which has it: an index on each reference would double an append
    PRIMARY KEY (reference, page)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_state(
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    store_id  TEXT NOT NULL DEFAULT '',
    keyed     INTEGER NOT NULL DEFAULT 0 CHECK (keyed IN (0, 1)),
    genesis   BLOB NOT NULL DEFAULT x'',  -- depends on store_id, keyed and the key
    sealed_by INTEGER NOT NULL DEFAULT 0  -- seq of the newest audit.prune
) STRICT;

CREATE TABLE audit_projects(
    project_id TEXT PRIMARY KEY,
    last_seq   INTEGER NOT NULL DEFAULT 0  -- project_seq of its newest event; outlives a prune
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_permit(
    reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE audit_erased(  -- what was erased, so that no import brings it back
    salt   BLOB NOT NULL,
    digest BLOB NOT NULL,  -- see erased.py
    PRIMARY KEY (salt, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_histories(  -- logs of other stores, each as it came with an import
    pk        INTEGER PRIMARY KEY,
    store_id  TEXT NOT NULL UNIQUE,
    keyed     INTEGER NOT NULL DEFAULT 0 CHECK (keyed IN (0, 1)),
    genesis   BLOB NOT NULL DEFAULT x'',
    sealed_by INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE audit_imported(  -- their events, in columns like those of audit_log
    history INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    body    TEXT NOT NULL DEFAULT '',
    hash    BLOB NOT NULL DEFAULT x'',
    refs    TEXT,
    payload ANY,
    PRIMARY KEY (history, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_imported_projects(
    history    INTEGER NOT NULL,
    project_id TEXT NOT NULL,
    last_seq   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (history, project_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_log__no_update BEFORE UPDATE ON audit_log WHEN NOT EXISTS (SELECT 1 FROM audit_permit)
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
CREATE TRIGGER audit_log__no_delete BEFORE DELETE ON audit_log WHEN NOT EXISTS (SELECT 1 FROM audit_permit)
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
CREATE TRIGGER audit_log__no_replace BEFORE INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM audit_log WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;

CREATE TRIGGER audit_imported__no_update BEFORE UPDATE ON audit_imported WHEN NOT EXISTS (SELECT 1 FROM audit_permit)
BEGIN SELECT RAISE(ABORT, 'audit_imported is append-only'); END;
CREATE TRIGGER audit_imported__no_delete BEFORE DELETE ON audit_imported WHEN NOT EXISTS (SELECT 1 FROM audit_permit)
BEGIN SELECT RAISE(ABORT, 'audit_imported is append-only'); END;
CREATE TRIGGER audit_imported__no_replace BEFORE INSERT ON audit_imported
WHEN EXISTS (SELECT 1 FROM audit_imported WHERE history = NEW.history AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit_imported is append-only'); END;

CREATE VIEW audit_events AS
SELECT seq,
    json_extract(body, '$.created_at') AS created_at,
    datetime(json_extract(body, '$.created_at'), 'unixepoch') AS created_utc,
    json_extract(body, '$.event_type') AS event_type,
    json_extract(nullif(refs, ''), '$.actor') AS actor,
    json_extract(body, '$.actor_kind') AS actor_kind,
    json_extract(body, '$.entity_kind') AS entity_kind,
    json_extract(nullif(refs, ''), '$.entity_id') AS entity_id,
    json_extract(nullif(refs, ''), '$.user_id') AS user_id,
    json_extract(nullif(refs, ''), '$.token_id') AS token_id,
    json_extract(nullif(refs, ''), '$.session_id') AS session_id,
    json_extract(nullif(refs, ''), '$.conversation_id') AS conversation_id,
    json_extract(nullif(refs, ''), '$.trace_id') AS trace_id,
    json_extract(body, '$.project') AS project_id,
    json_extract(body, '$.project_seq') AS project_seq,
    json_extract(body, '$.stream') AS stream,
    json_extract(body, '$.field') AS field,
    json_extract(body, '$.specialist') AS specialist,
    json_extract(body, '$.u_score') AS u_score,
    json_extract(body, '$.confidence') AS confidence,
    json_extract(body, '$.latency_ms') AS latency_ms,
    CASE typeof(payload) WHEN 'text' THEN json_extract(payload, '$.details') END AS details,
    CASE typeof(payload) WHEN 'text' THEN json_extract(payload, '$.before') END AS before,
    CASE typeof(payload) WHEN 'text' THEN json_extract(payload, '$.after') END AS after,
    CASE typeof(payload) WHEN 'text' THEN json_extract(payload, '$.note') END AS note,
    refs IS '' AS redacted,
    lower(hex(hash)) AS curr_hash
FROM audit_log;
""",
    carried=(
        Carried("audit_state", ("id",)),
        Carried("audit_log", ("seq",), ("payload",), owner=("seq",), blobs=("payload",)),
        Carried("audit_projects", ("project_id",)),
        Carried("audit_erased", ("salt", "digest")),
        Carried("audit_histories", ("pk",)),
        Carried("audit_imported", ("history", "seq"), ("payload",), owner=("history", "seq"), blobs=("payload",)),
        Carried("audit_imported_projects", ("history", "project_id")),
    ),
)
