"""Databases as AtoCore makes them, for the tests to take in: the eight tables of its reference, and four whose layout it does not tell."""

from __future__ import annotations

import contextlib
import sqlite3

TIME = "DATETIME DEFAULT CURRENT_TIMESTAMP"
TABLES = {
    "source_documents": "id TEXT PRIMARY KEY, file_path TEXT UNIQUE NOT NULL, file_hash TEXT NOT NULL, title TEXT,"
    f" doc_type TEXT DEFAULT 'markdown', tags TEXT DEFAULT '[]', ingested_at {TIME}, updated_at {TIME}",
    "source_chunks": "id TEXT PRIMARY KEY, document_id TEXT NOT NULL REFERENCES source_documents(id) ON DELETE CASCADE,"
    " chunk_index INTEGER NOT NULL, content TEXT NOT NULL, heading_path TEXT DEFAULT '', char_count INTEGER NOT NULL,"
    f" metadata TEXT DEFAULT '{{}}', created_at {TIME}",
    "memories": "id TEXT PRIMARY KEY, memory_type TEXT NOT NULL, content TEXT NOT NULL, project TEXT DEFAULT '',"
    " source_chunk_id TEXT REFERENCES source_chunks(id), confidence REAL DEFAULT 1.0, status TEXT DEFAULT 'active',"
    f" last_referenced_at DATETIME, reference_count INTEGER DEFAULT 0, created_at {TIME}, updated_at {TIME},"
    " domain_tags TEXT DEFAULT '[]', valid_until DATETIME, graduated_to_entity_id TEXT",
    "projects": "id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, description TEXT DEFAULT '', status TEXT DEFAULT 'active',"
    f" created_at {TIME}, updated_at {TIME}",
    "interactions": "id TEXT PRIMARY KEY, prompt TEXT NOT NULL, context_pack TEXT DEFAULT '{}', response_summary TEXT DEFAULT '',"
    " response TEXT DEFAULT '', memories_used TEXT DEFAULT '[]', chunks_used TEXT DEFAULT '[]', client TEXT DEFAULT '',"
    f" session_id TEXT DEFAULT '', project TEXT DEFAULT '', project_id TEXT REFERENCES projects(id), created_at {TIME}",
    "memory_audit": "id TEXT PRIMARY KEY, memory_id TEXT NOT NULL, action TEXT NOT NULL, actor TEXT DEFAULT 'api',"
    f" before_json TEXT DEFAULT '{{}}', after_json TEXT DEFAULT '{{}}', note TEXT DEFAULT '', timestamp {TIME},"
    " entity_kind TEXT DEFAULT 'memory'",
    "conflicts": "id TEXT PRIMARY KEY, slot_kind TEXT NOT NULL, slot_key TEXT NOT NULL, project TEXT DEFAULT '',"
    f" status TEXT DEFAULT 'open', resolution TEXT DEFAULT '', resolved_at DATETIME, detected_at {TIME}, note TEXT DEFAULT ''",
    "conflict_members": "id TEXT PRIMARY KEY, conflict_id TEXT NOT NULL REFERENCES conflicts(id) ON DELETE CASCADE,"
    " member_kind TEXT NOT NULL, member_id TEXT NOT NULL, member_layer_trust INTEGER DEFAULT 0, value_snapshot TEXT DEFAULT ''",
    "entities": "id TEXT PRIMARY KEY, entity_type TEXT NOT NULL, name TEXT NOT NULL, project TEXT NOT NULL DEFAULT '',"
    " description TEXT DEFAULT '', properties TEXT DEFAULT '{}', status TEXT DEFAULT 'active', confidence REAL DEFAULT 1.0,"
    f" source_refs TEXT DEFAULT '[]', canonical_home TEXT, created_at {TIME}, updated_at {TIME}",
    "relationships": "id TEXT PRIMARY KEY, source_entity_id TEXT NOT NULL, target_entity_id TEXT NOT NULL,"
    f" relationship_type TEXT NOT NULL, confidence REAL DEFAULT 1.0, source_refs TEXT DEFAULT '[]', created_at {TIME}",
    "project_state": "id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id), category TEXT NOT NULL, key TEXT NOT NULL,"
    f" value TEXT NOT NULL, source TEXT DEFAULT '', confidence REAL DEFAULT 1.0, status TEXT DEFAULT 'active', created_at {TIME},"
    f" updated_at {TIME}",
    "project_aliases": "project_id TEXT, alias TEXT",
}

#: A row of each table with all its columns, and more where a second one says something else.
ROWS = {
    "projects": [
        {"id": "p-1", "name": "p04-gigabit", "description": "Größe", "status": "active", "created_at": "2026-01-02 03:04:05",
         "updated_at": "2026-01-03T03:04:05Z"},
    ],
    "project_aliases": [{"project_id": "p-1", "alias": "p04"}],
    "source_documents": [
        {"id": "d1", "file_path": "/p04/größe.md", "file_hash": "ab", "title": "Mirror", "doc_type": "spec", "tags": '["optics", "größe"]',
         "ingested_at": "2026-01-02 03:04:05", "updated_at": "2026-01-05 03:04:05"},
        {"id": "d2", "file_path": "/b.md", "file_hash": "cd", "title": None, "doc_type": "markdown", "tags": "[]",
         "ingested_at": "2026-01-03 03:04:05", "updated_at": "2026-01-03 03:04:05"},
    ],
    "source_chunks": [
        {"id": "k2", "document_id": "d1", "chunk_index": 1, "content": "und kalt", "heading_path": "", "char_count": 8,
         "metadata": "{}", "created_at": "2026-01-02 03:04:06"},
        {"id": "k1", "document_id": "d1", "chunk_index": 0, "content": "the mirror is 1.2 m wide", "heading_path": "A > B",
         "char_count": 24, "metadata": '{"größe": [1]}', "created_at": "2026-01-02 03:04:05"},
        {"id": "k3", "document_id": "d2", "chunk_index": 0, "content": "text", "heading_path": "", "char_count": 4,
         "metadata": "{}", "created_at": "2026-01-03 03:04:05"},
    ],
    "interactions": [
        {"id": "i1", "prompt": "which mirror?", "context_pack": '{"chunks": 2, "größe": [1]}', "response_summary": "the big one",
         "response": "## Decision\\nuse the big one", "memories_used": '["m1"]', "chunks_used": '["k1"]', "client": "claude-code",
         "session_id": "s1", "project": "p04", "project_id": "p-1", "created_at": "2026-02-01 10:00:00"},
        {"id": "i2", "prompt": "and now?", "context_pack": "", "response_summary": "", "response": "", "memories_used": "[]",
         "chunks_used": "[]", "client": "", "session_id": "", "project": "", "project_id": None, "created_at": "2026-02-01T10:00:01+01:00"},
    ],
    "memories": [
        {"id": "m1", "memory_type": "project", "content": "the mirror is 1.2 m wide", "project": "p04", "source_chunk_id": "k1",
         "confidence": 0.8, "status": "active", "last_referenced_at": "2026-02-03 00:00:00", "reference_count": 3,
         "created_at": "2026-02-01 00:00:00", "updated_at": "2026-02-02 00:00:00.5", "domain_tags": '["optics"]',
         "valid_until": "2036-12-31 00:00:00", "graduated_to_entity_id": None},
        {"id": "m2", "memory_type": "preference", "content": "prefers short answers", "project": "", "source_chunk_id": None,
         "confidence": 0.5, "status": "candidate", "last_referenced_at": None, "reference_count": 0,
         "created_at": "2026-02-01 00:00:01", "updated_at": "2026-02-01 00:00:01", "domain_tags": "[]", "valid_until": None,
         "graduated_to_entity_id": None},
        {"id": "m3", "memory_type": "knowledge", "content": "the cell is steel", "project": "p04-gigabit", "source_chunk_id": None,
         "confidence": 1.0, "status": "graduated", "last_referenced_at": None, "reference_count": 0,
         "created_at": "2026-02-01 00:00:02", "updated_at": "2026-02-05 00:00:00", "domain_tags": "[]", "valid_until": None,
         "graduated_to_entity_id": "e1"},
        {"id": "m4", "memory_type": "adaptation", "content": "answer in verse", "project": "elsewhere", "source_chunk_id": None,
         "confidence": 0.4, "status": "invalid", "last_referenced_at": None, "reference_count": 0,
         "created_at": "2026-02-01 00:00:03", "updated_at": "2026-02-06 00:00:00", "domain_tags": "[]", "valid_until": None,
         "graduated_to_entity_id": None},
        {"id": "m5", "memory_type": "episodic", "content": "the pump failed on Monday", "project": "p04", "source_chunk_id": None,
         "confidence": 0.4, "status": "invalid", "last_referenced_at": None, "reference_count": 0,
         "created_at": "2026-02-01 00:00:04", "updated_at": "2026-02-20 00:00:00", "domain_tags": "[]", "valid_until": None,
         "graduated_to_entity_id": None},
    ],
    "entities": [
        {"id": "e1", "entity_type": "Component", "name": "cell", "project": "p04-gigabit", "description": "holds the mirror",
         "properties": '{"mass": 12.5}', "status": "active", "confidence": 0.9, "source_refs": '["memory:m3", "loose"]',
         "canonical_home": "entity", "created_at": "2026-02-05 00:00:00", "updated_at": "2026-02-05 00:00:01"},
        {"id": "e2", "entity_type": "Material", "name": "Stahl", "project": "", "description": "", "properties": "{}",
         "status": "candidate", "confidence": 1.0, "source_refs": "[]", "canonical_home": None, "created_at": "2026-02-05 00:00:00",
         "updated_at": "2026-02-05 00:00:00"},
    ],
    "relationships": [
        {"id": "r1", "source_entity_id": "e1", "target_entity_id": "e2", "relationship_type": "uses_material", "confidence": 0.75,
         "source_refs": '["memory:m3"]', "created_at": "2026-02-05 00:00:02"},
    ],
    "project_state": [
        {"id": "s1", "project_id": "p-1", "category": "status", "key": "phase", "value": "build", "source": "manual",
         "confidence": 1.0, "status": "active", "created_at": "2026-02-06 00:00:00", "updated_at": "2026-02-07 00:00:00"},
    ],
    "conflicts": [
        {"id": "c1", "slot_kind": "component.material", "slot_key": "e1", "project": "p04-gigabit", "status": "resolved",
         "resolution": "no_action", "resolved_at": "2026-02-09 00:00:00", "detected_at": "2026-02-08 00:00:00", "note": "both were meant"},
    ],
    "conflict_members": [
        {"id": "cm1", "conflict_id": "c1", "member_kind": "entity", "member_id": "e2", "member_layer_trust": 2,
         "value_snapshot": "Stahl"},
        {"id": "cm2", "conflict_id": "c1", "member_kind": "memory", "member_id": "m3", "member_layer_trust": 1,
         "value_snapshot": "the cell is steel"},
    ],
    "memory_audit": [
        {"id": "a1", "memory_id": "m3", "action": "graduated", "actor": "human-triage", "before_json": '{"status": "active"}',
         "after_json": '{"status": "graduated"}', "note": "ripe", "timestamp": "2026-02-05 00:00:00", "entity_kind": "memory"},
        {"id": "a2", "memory_id": "m5", "action": "expired", "actor": "candidate-expiry", "before_json": '{"status": "candidate"}',
         "after_json": '{"status": "invalid"}', "note": "", "timestamp": "2026-02-20 00:00:00", "entity_kind": "memory"},
        {"id": "a3", "memory_id": "e1", "action": "Created!", "actor": "api", "before_json": "{}", "after_json": "not json",
         "note": "", "timestamp": "2026-02-05 00:00:00", "entity_kind": "entity"},
    ],
}  # fmt: skip


def make(path, rows=ROWS, *, tables=TABLES, more=()):
    """An AtoCore database with these rows; `more` are statements to run at the end."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        for table, columns in tables.items():
            raw.execute(f"CREATE TABLE {table}({columns})")
        for table, items in rows.items():
            for row in items if table in tables else ():
                names = ", ".join(row)
                raw.execute(f"INSERT INTO {table}({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        for statement in more:
            raw.execute(statement)
        raw.commit()
    return path


def with_change(table, **changes):
    """The rows, with the first of one table changed."""
    return {**ROWS, table: [{**ROWS[table][0], **changes}, *ROWS[table][1:]]}
