"""Logs of other stores, beside our own: found by their store id, verified as they were at home.

What is emptied in them here, an event of ours names in its body, `"redacts_imported":{"<store_id>":[seq, ...]}`. An imported log may
say the same of a third one, which came to us by way of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ..kernel import Invalid, NotFound, values
from .chain import AuditHead, Chain, Verifier, history

if TYPE_CHECKING:
    from ..kernel import Connection

MEMBER = ',"redacts_imported":{'
OURS = f"SELECT seq, body FROM audit_log WHERE instr(body, '{MEMBER}') > 0"
THEIRS = f"SELECT seq, body FROM audit_imported WHERE instr(body, '{MEMBER}') > 0"


def verifier_of(
    connection: Connection, store_id: str | None, own: Chain, anchors: Sequence[AuditHead], resume: AuditHead | None
) -> Verifier:
    """What verifies the history of a store; it may have our key, or none."""
    found = connection.row("SELECT pk, keyed FROM audit_histories WHERE store_id = ?", (store_id,))
    if found is None:
        known = [row[0] for row in connection.rows("SELECT store_id FROM audit_histories ORDER BY pk")]
        listed = f"it has those of {', '.join(known)}" if known else f"only its own, {own.store_id}"
        raise NotFound(f"this store holds no imported history of store {values.shorten(store_id)}; {listed}")
    pk, keyed = found
    chain = Chain(str(store_id), own.key if keyed else None)
    if keyed and own.key is not None and connection.value("SELECT genesis FROM audit_histories WHERE pk = ?", (pk,)) != chain.genesis:
        raise Invalid(f"the history of store {store_id} was begun with another key than audit_key; verify it in its own store")
    return Verifier(chain, anchors, resume, history(pk), redactions(connection).get(str(store_id), {}))


def redactions(connection: Connection, before: int | None = None) -> dict[str, dict[int, int]]:
    """What of imported logs was redacted, by store id, with the number of the event that says so; or what ours says before an event."""
    rows = connection.rows(f"{OURS} UNION ALL {THEIRS}") if before is None else connection.rows(f"{OURS} AND seq < ?", (before,))
    found: dict[str, dict[int, int]] = {}
    for seq, body in rows:
        try:
            for store_id, numbers in json.loads(body)["redacts_imported"].items():
                found.setdefault(store_id, {}).update({int(number): seq for number in numbers})
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # verify() says of the log that holds it what is damaged
    return found


def redaction_member(emptied: Mapping[str, Collection[int]]) -> str:
    """The same as it lies in a body; "" where there is none."""
    if not emptied:
        return ""
    return f',"redacts_imported":{json.dumps({name: sorted(emptied[name]) for name in sorted(emptied)}, separators=(",", ":"))}'
