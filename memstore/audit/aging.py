"""How the log takes part when a store is made smaller: from its front, whatever its times say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ..kernel import Connection, Prunable

Prune = Callable[..., int]  # AuditLog.prune

# Events about a prune that come last stay: else each prune would have those of the one before to remove.
TOLD = """
    SELECT seq FROM audit_log
    WHERE json_extract(body, '$.event_type') NOT IN ('audit.prune', 'store.prune')
    ORDER BY seq DESC
    LIMIT 1
"""
TOTAL = f"SELECT count(*) FROM audit_log WHERE seq <= ({TOLD})"
OLDEST = f"""
    SELECT CAST(json_extract(body, '$.created_at') AS REAL), seq,
        100 + length(body) + ifnull(length(refs), 0) + ifnull(length(payload), 0)
    FROM audit_log
    WHERE ? IS NOT NULL AND seq > ? AND seq <= ({TOLD})
    ORDER BY seq
    LIMIT ?
"""


def prunable_events(prune: Prune) -> Prunable:
    """All events but those that come last and tell of a prune."""
    return Prunable("audit_log", TOTAL, OLDEST, partial(_prune_oldest, prune))


def _prune_oldest(prune: Prune, connection: Connection, count: int, why: Mapping[str, str]) -> dict[str, int]:
    upto = connection.value("SELECT seq FROM audit_log ORDER BY seq LIMIT 1 OFFSET ?", (count - 1,))
    return {"audit_log": prune(upto + 1, reason=why["reason"] or "store.prune", actor=why["actor"])}
