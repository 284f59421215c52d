"""What belongs to one user: the rows of each table that an export of that user takes.

The events of the log that name it come as an excerpt to be read: cut out of its chain, an event proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from ..kernel import values

if TYPE_CHECKING:
    from ..audit import AuditLog
    from ..kernel import Connection

CONVERSATIONS = "SELECT id FROM conversations WHERE user_id = ?"
KEYS = "SELECT pk FROM conversations WHERE user_id = ?"
MESSAGES = f"SELECT id FROM messages WHERE pk >> 32 IN ({KEYS})"
PROJECTS = "SELECT id FROM projects WHERE user_id = ?"
CORRECTIONS = "SELECT pk FROM corrections WHERE user_id = ?"
ENTITIES = "SELECT pk FROM entities WHERE user_id = ?"
ATOMS = "SELECT pk FROM atoms WHERE user_id = ?"
ARTIFACTS = "SELECT pk FROM artifacts WHERE user_id = ?"
CONFLICTS = "SELECT pk FROM conflicts WHERE user_id = ?"
DOCUMENTS = "SELECT pk FROM documents WHERE user_id = ?"
ATOM_IDS = "SELECT id FROM atoms WHERE user_id = ?"
#: What is nobody's and hangs on an entity of a user's goes with it.
EDGES = f"user_id = ? OR user_id IS NULL AND (source IN ({ENTITIES}) OR target IN ({ENTITIES}))"
NOTED = f"user_id = ? OR user_id IS NULL AND entity IN ({ENTITIES})"
#: And so that what is a user's finds what it hangs on, entities that are everybody's come along.
NEEDED = f"""user_id = ? OR user_id IS NULL AND (
    pk IN (SELECT source FROM relationships WHERE {EDGES}) OR pk IN (SELECT target FROM relationships WHERE {EDGES})
    OR pk IN (SELECT entity FROM observations WHERE user_id = ?) OR id IN (SELECT entity_id FROM mentions WHERE atom IN ({ATOMS})))"""
ENDS = f"SELECT pk FROM entities WHERE {NEEDED}"

#: What picks a user's rows of a table; a table that is not here has none.
OWN: dict[str, str] = {
    "projects": "user_id = ?",
    "project_aliases": f"project_id IN ({PROJECTS})",
    "active_projects": f"user_id = ? AND project_id IN ({PROJECTS})",
    "conversations": "user_id = ?",
    "messages": f"pk >> 32 IN ({KEYS})",
    "sessions": "user_id = ?",
    "corrections": "user_id = ?",
    "correction_rejections": f"correction IN ({CORRECTIONS})",
    "correction_applications": f"correction IN ({CORRECTIONS})",
    "memories": "user_id = ?",
    "interactions": "user_id = ?",
    "interaction_pieces": "interaction IN (SELECT pk FROM interactions WHERE user_id = ?)",
    "project_state": f"project_id IN ({PROJECTS})",
    "entities": NEEDED,
    "entity_versions": f"entity IN ({ENTITIES})",
    "relationship_kinds": f"kind IN (SELECT kind FROM relationships WHERE {EDGES})",
    "relationships": f"({EDGES}) AND source IN ({ENDS}) AND target IN ({ENDS})",
    "observations": f"({NOTED}) AND entity IN ({ENDS})",
    "atoms": "user_id = ?",
    "evidence": f"atom IN ({ATOMS})",
    "claims": f"atom IN ({ATOMS})",
    "links": f"from_atom IN ({ATOMS}) AND to_atom IN ({ATOMS})",
    "mentions": f"atom IN ({ATOMS}) AND entity_id IN (SELECT id FROM entities WHERE {NEEDED})",
    "merges": f"NOT EXISTS (SELECT 1 FROM json_each(atom_ids) AS each WHERE each.value NOT IN ({ATOM_IDS}))"
    f" AND (into_id IS NULL OR into_id IN ({ATOM_IDS}))",
    "artifacts": "user_id = ?",
    "artifact_sections": f"artifact IN ({ARTIFACTS})",
    "citations": f"(artifact IS NULL OR artifact IN ({ARTIFACTS})) AND (atom IS NULL OR atom IN ({ATOMS}))",
    "knowledge_states": f"project_id IN ({PROJECTS})",
    "knowledge_deltas": f"project_id IN ({PROJECTS})",
    "documents": "user_id = ?",
    "chunks": f"document IN ({DOCUMENTS})",
    "annotations": f"chunk IN (SELECT pk FROM chunks WHERE document IN ({DOCUMENTS}))",
    "selections": f"document IN ({DOCUMENTS}) AND (user_id IS NULL OR user_id = ?)",
    "conflicts": "user_id = ?",
    "conflict_members": f"conflict IN ({CONFLICTS})",
    "conflict_assessments": f"conflict IN ({CONFLICTS})",
    "token_counters": f"conversation_id IN ({CONVERSATIONS})",
    "context_backups": f"conversation_id IN ({CONVERSATIONS})",
    "model_runs": f"conversation_id IN ({CONVERSATIONS})",
    "assertion_events": f"session_id IN (SELECT id FROM sessions WHERE user_id = ? UNION {CONVERSATIONS})",
    "keyword_items": f"conversation_id IN ({CONVERSATIONS}) OR kind = 'message' AND item_id IN ({MESSAGES})",
    "keyword_gone": f"removed = 1 AND source = 'message' AND number IN (SELECT arrival FROM messages WHERE pk >> 32 IN ({KEYS}))",
}
#: What picks a user's vectors, by the room of what they are of.
VECTORS = {
    "memories": "kind = 'memory' AND id IN (SELECT id FROM memories WHERE user_id = ?)",
    "documents": "kind = 'chunk' AND id IN (SELECT id FROM chunks WHERE document IN (SELECT pk FROM documents WHERE user_id = ?))",
}
#: Tables of other rooms that a choice asks.
CHAT = ("FROM conversations ", "FROM sessions ", "FROM messages ", "FROM projects ")


def own_rows(table: str, rooms: Container[str]) -> str | None:
    """What picks a user's rows of a table in a file with some rooms; None where it has none: without a chat nobody has a conversation."""
    if table == "vectors":
        return " OR ".join([f"({where})" for room, where in VECTORS.items() if room in rooms]) or None
    where = OWN.get(table)
    asks_chat = where is not None and any(other in where for other in CHAT)
    return None if where is None or (asks_chat and "chat" not in rooms) else where


def events(audit: AuditLog, connection: Connection, user_id: str, chat: bool) -> Iterator[dict[str, Any]]:
    """The events that name a user, or a conversation or session of its own, oldest first."""
    names = {user_id}
    if chat:
        own = connection.rows(f"{CONVERSATIONS} UNION SELECT id FROM sessions WHERE user_id = ?", (user_id, user_id))
        names.update(id for (id,) in own)
    last = 0
    while rows := connection.rows("SELECT seq, refs FROM audit_log WHERE seq > ? ORDER BY seq LIMIT 500", (last,)):
        for seq, refs in rows:
            if refs and not names.isdisjoint(map(str, _references(refs))):
                yield audit.get(seq).to_dict()
        last = values.onward(last, rows[-1][0])


def _references(refs: str) -> list[Any]:
    try:
        found = json.loads(refs)
        return [value for name, value in found.items() if name != "salt"]
    except (ValueError, AttributeError):
        return []  # verify() says what is damaged
