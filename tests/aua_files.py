"""State files as AUA makes them, for the tests to take in."""

from __future__ import annotations

import sqlite3

TABLES = {
    "promotions": "id TEXT PRIMARY KEY, created_at REAL, specialist TEXT, event TEXT, from_model TEXT, to_model TEXT,"
    " reverted INTEGER DEFAULT 0, metadata TEXT",
    "corrections": "id TEXT PRIMARY KEY, created_at REAL, subject TEXT, domain TEXT, claim TEXT, rejected TEXT, confidence REAL,"
    " source TEXT, effective_confidence REAL, decay_class TEXT, metadata TEXT",
    "sessions": "id TEXT PRIMARY KEY, created_at REAL, updated_at REAL, domain TEXT, query_count INTEGER DEFAULT 0, metadata TEXT",
    "audit_log": "id TEXT PRIMARY KEY, created_at REAL, event_type TEXT, session_id TEXT, trace_id TEXT, token_id TEXT, field TEXT,"
    " specialist TEXT, u_score REAL, confidence REAL, latency_ms REAL, details TEXT, prev_hash TEXT, curr_hash TEXT",
    "assertion_events": "id TEXT PRIMARY KEY, created_at REAL, session_id TEXT, assertion_name TEXT, level TEXT, passed INTEGER,"
    " bonus_applied REAL, retries_used INTEGER, latency_ms REAL, domain TEXT, policy_name TEXT",
    "conversations": "conversation_id TEXT PRIMARY KEY, user_id TEXT DEFAULT 'local', title TEXT, project_id TEXT, created_at REAL,"
    " updated_at REAL",
    "messages": "message_id TEXT PRIMARY KEY, conversation_id TEXT, role TEXT, content TEXT, callout_type TEXT, models_used TEXT,"
    " accuracy_level TEXT, confidence TEXT, created_at REAL",
    "model_runs": "run_id TEXT PRIMARY KEY, query_id TEXT, conversation_id TEXT, specialist TEXT, round TEXT, utility_score REAL,"
    " confidence_score REAL, vcg_welfare_score REAL, vcg_winner INTEGER, corrections_applied TEXT, latency_ms REAL, domain TEXT,"
    " domain_l0 TEXT, domain_path TEXT, created_at REAL",
    "token_counters": "counter_id TEXT PRIMARY KEY, specialist TEXT, conversation_id TEXT, token_estimate INTEGER,"
    " message_count INTEGER, thread_number INTEGER, updated_at REAL",
    "message_keywords": "keyword TEXT, message_id TEXT, conversation_id TEXT, role TEXT, created_at REAL,"
    " PRIMARY KEY (keyword, message_id)",
    "context_backups": "backup_id TEXT PRIMARY KEY, conversation_id TEXT, specialist TEXT, \"trigger\" TEXT, thread_number INTEGER,"
    " backup_text TEXT, token_estimate INTEGER, created_at REAL",
    "projects": "project_id TEXT PRIMARY KEY, user_id TEXT, name TEXT, created_at REAL",
}
CORE = ("promotions", "corrections", "sessions", "audit_log", "assertion_events")
KEYS = {table: columns.split()[0] for table, columns in TABLES.items()}

#: A row of each table with all its columns, and one that is as empty as AUA allows.
ROWS = {
    "projects": [{"project_id": "p1", "user_id": "ana", "name": "Straße", "created_at": 10.25}],
    "conversations": [
        {"conversation_id": "c1", "user_id": "ana", "title": "Émigré", "project_id": "p1", "created_at": 100.5, "updated_at": 400.125},
        {"conversation_id": "c0", "user_id": None, "title": None, "project_id": None, "created_at": 0, "updated_at": 0},
    ],
    "messages": [
        {"message_id": "m1", "conversation_id": "c1", "role": "user", "content": "何を\0数える", "callout_type": None, "models_used": None,
         "accuracy_level": None, "confidence": None, "created_at": 101.5},
        {"message_id": "m2", "conversation_id": "c1", "role": "assistant", "content": "", "callout_type": "disagreement",
         "models_used": '["swe", "ops"]', "accuracy_level": "maximum", "confidence": "Uncertain", "created_at": 101.5},
        {"message_id": "m3", "conversation_id": "c1", "role": "user", "content": "  ", "callout_type": "correction",
         "models_used": "[]", "accuracy_level": "fast", "confidence": "High", "created_at": 90.0},
    ],
    "sessions": [
        {"id": "s1", "created_at": 5.5, "updated_at": 6.5, "domain": "law", "query_count": 17, "metadata": '{"token_id": "t", "n": [1]}'},
        {"id": "c1", "created_at": 7, "updated_at": 7, "domain": None, "query_count": 0, "metadata": None},
    ],
    "corrections": [
        {"id": "k1", "created_at": 20.5, "subject": "rounding", "domain": "software_engineering", "claim": "round", "rejected": "truncate",
         "confidence": 0.75, "source": "arbiter", "effective_confidence": 0.75, "decay_class": "D", "metadata": '{"trace_id": "x"}'},
        {"id": "k2", "created_at": 21.5, "subject": "rounding", "domain": "general", "claim": "truncate", "rejected": "",
         "confidence": 0.0, "source": "implicit_confirmed", "effective_confidence": 0.0, "decay_class": "A", "metadata": None},
    ],
    "promotions": [
        {"id": "r1", "created_at": 30.5, "specialist": "swe", "event": "promote", "from_model": None, "to_model": "m1", "reverted": 0,
         "metadata": '{"score": 0.5}'},
        {"id": "r2", "created_at": 31.5, "specialist": "swe", "event": "promote", "from_model": "m1", "to_model": "m2", "reverted": 1,
         "metadata": None},
        {"id": "r3", "created_at": 32.5, "specialist": "swe", "event": "rollback", "from_model": "m2", "to_model": "m1", "reverted": 0,
         "metadata": '{"u_delta": -0.5}'},
    ],
    "assertion_events": [
        {"id": "a1", "created_at": 40.5, "session_id": "s1", "assertion_name": "logical_consistency", "level": "blocking", "passed": 0,
         "bonus_applied": -0.15, "retries_used": 3, "latency_ms": 12.5, "domain": "law", "policy_name": "strict"},
        {"id": "a2", "created_at": 41.5, "session_id": None, "assertion_name": "", "level": "info", "passed": 1,
         "bonus_applied": 0.0, "retries_used": 0, "latency_ms": None, "domain": None, "policy_name": None},
    ],
    "model_runs": [
        {"run_id": "u1", "query_id": "q", "conversation_id": "c1", "specialist": "swe", "round": "peer_review", "utility_score": 0.5,
         "confidence_score": 0.25, "vcg_welfare_score": -1.5, "vcg_winner": 1, "corrections_applied": '["k1"]', "latency_ms": 840.5,
         "domain": "law", "domain_l0": "society", "domain_path": "society/law", "created_at": 50.5},
        {"run_id": "u2", "query_id": None, "conversation_id": "gone", "specialist": "ops", "round": "answer", "utility_score": 0.0,
         "confidence_score": None, "vcg_welfare_score": None, "vcg_winner": 0, "corrections_applied": None, "latency_ms": 0.0,
         "domain": None, "domain_l0": None, "domain_path": None, "created_at": 51.5},
    ],
    "token_counters": [
        {"counter_id": "n1", "specialist": "swe", "conversation_id": "c1", "token_estimate": 812, "message_count": 3, "thread_number": 2,
         "updated_at": 60.5},
    ],
    "context_backups": [
        {"backup_id": "b1", "conversation_id": "c1", "specialist": "swe", "trigger": "time_gap", "thread_number": 2,
         "backup_text": "GOAL: mend it", "token_estimate": 3, "created_at": 95.0},
        {"backup_id": "b2", "conversation_id": "c1", "specialist": "swe", "trigger": "token_threshold", "thread_number": 1,
         "backup_text": "GOAL: all of it", "token_estimate": 0, "created_at": 500.5},
    ],
    "audit_log": [
        {"id": "e1", "created_at": 70.5, "event_type": "query", "session_id": "s1", "trace_id": "t1", "token_id": "tok", "field": "law",
         "specialist": "swe", "u_score": 0.5, "confidence": 0.25, "latency_ms": 12.5, "details": '{"tokens": 812}',
         "prev_hash": "genesis", "curr_hash": "ab" * 32},
        {"id": "e0", "created_at": 69.5, "event_type": "auth_failure", "session_id": None, "trace_id": None, "token_id": None,
         "field": None, "specialist": None, "u_score": None, "confidence": None, "latency_ms": None, "details": None,
         "prev_hash": "ab" * 32, "curr_hash": "cd" * 32},
    ],
    "message_keywords": [{"keyword": "x", "message_id": "m1", "conversation_id": "c1", "role": "user", "created_at": 101.5}],
}  # fmt: skip
ONE_OF_EACH = {table: [rows[0]] for table, rows in ROWS.items()}


def make(path, rows, *, tables=TABLES, more=(), journal="wal"):
    """An AUA file with these rows; `more` are statements to run at the end."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute(f"PRAGMA journal_mode = {journal}")
    for table, columns in tables.items():
        raw.execute(f"CREATE TABLE {table}({columns})")
    for table, items in rows.items():
        for row in items if table in tables else ():
            insert(raw, table, row)
    for statement in more:
        raw.execute(statement)
    raw.close()
    return path


def insert(raw, table, row):
    names = ", ".join(f'"{name}"' for name in row)
    raw.execute(f"INSERT INTO {table}({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def with_change(table, **changes):
    """One row of each table, that of one table changed."""
    return {**ONE_OF_EACH, table: [{**ROWS[table][0], **changes}]}


LATER = {
    "corrections": {"scope": "project", "tenant_id": "t1", "user_id": "ana"},
    "promotions": {"tenant_id": "t1"},
    "conversations": {"tenant_id": "t1", "deleted": 0},
    "messages": {"tenant_id": "t1", "name": "tool-1"},
    "sessions": {"tenant_id": "t1"},
    "context_backups": {"tenant_id": "t1"},
    "audit_log": {"request_id": "q1", "routing_mode": "single", "tenant_id": "t1", "user_id": "ana"},
    "token_counters": {"last_backup_at": 59.5, "user_id": "ana"},
    "model_runs": {"raw_response": "…", "tenant_id": None},
    "assertion_events": {"message": "why"},
}


def later_file():
    tables = dict(TABLES)
    for table, columns in LATER.items():
        tables[table] = ", ".join([TABLES[table], *columns])
    return {table: [{**rows[0], **LATER.get(table, {})}] for table, rows in ROWS.items()}, tables
