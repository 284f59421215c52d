"""The audit log: who did what, in an order that cannot be changed unseen, with content that can still be forgotten.

1. Events are numbered 1, 2, 3 ... without gaps, chained by hash, and written in the transaction of what they report.
2. An event is a body, which stays for ever, and a redactable part: the references that may name a person, and the payload.
   The body holds a salted digest of that part, so `redact` empties it and the chain still verifies.
3. Rows are fixed: triggers refuse UPDATE, DELETE and REPLACE unless a permit stands in `audit_permit`, which `redact`,
   `erase` and `prune` put there and take away within their own transaction. Triggers keep honest programs honest; hashes show the rest.
4. `verify` reads one snapshot in bounded memory and never raises for damage: damage is a finding with a number.
5. What a prune removed is sealed by the event that says so; the chain goes on from the seal.

The trap: order is the sequence, never the time; a clock that runs backwards is advice, not an error. And `audit_log` must never
get a second UNIQUE: with one, INSERT OR REPLACE removes rows without firing a DELETE trigger.
The byte format, exact enough to write a verifier from, is described in `chain.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import ADVICE, Canonical, Corrupt, Exists, Finding, Invalid, NotAStore, NotFound, Prunable, Room, values
from ..kernel.room import check_schema
from .aging import prunable_events
from .chain import AuditHead, Chain, Verification, Verifier, digest, members
from .events import REFERENCES, AuditEvent, Draft, arguments, draft, drafts, quoted, read_event, type_member, writers
from .histories import redaction_member, redactions, verifier_of
from .payloads import sealed, unsealed
from .tables import SCHEMA

if TYPE_CHECKING:
    from datetime import datetime

    from ..kernel import Connection
    from ..kernel.subject import Subject

__all__ = ["SCHEMA", "AuditEvent", "AuditHead", "AuditLog", "Finding", "Verification"]

# Hashes are read with a CAST: a damaged page can give any type to a value, whatever STRICT has seen go in.
SELECT = "SELECT e.seq, e.body, e.hash, e.refs, e.payload, CAST(p.hash AS BLOB)"
BEFORE = "LEFT JOIN audit_log AS p ON p.seq = e.seq - 1"
ALL = f"{SELECT} FROM audit_log AS e {BEFORE} WHERE "
# Pages in order, and in each its events in order: so a LIMIT ends the search.
PLACED = f"""
    {SELECT} FROM audit_places AS i CROSS JOIN audit_log AS e ON e.seq BETWEEN i.page * 64 AND i.page * 64 + 63 {BEFORE}
    WHERE i.reference = ? AND """
ROW = "(?, ?, ?, ?, ?)"
INSERT = f"INSERT INTO audit_log(seq, body, hash, refs, payload) VALUES {ROW}"
SEVERAL = 100  # rows a statement in bulk, which saves a third of the time; SQLite takes 32,766 values
HEAD = """
    SELECT seq, CAST(hash AS BLOB), keyed, CAST(genesis AS BLOB)
    FROM audit_log LEFT JOIN audit_state ON true
    ORDER BY seq DESC LIMIT 1
"""
FORGET = """
    DELETE FROM audit_places
    WHERE reference = ? AND page = ?
        AND NOT EXISTS (SELECT 1 FROM audit_log WHERE seq BETWEEN page * 64 AND page * 64 + 63 AND instr(refs, reference) > 0)
"""
FORGET_BEFORE = """
    DELETE FROM audit_places
    WHERE page < ? OR page = ? AND NOT EXISTS (
        SELECT 1 FROM audit_log
        WHERE seq BETWEEN page * 64 AND page * 64 + 63 AND (instr(refs, reference) > 0 OR instr(body, reference) > 0)
    )
"""
NAMED = """
    SELECT refs, CASE WHEN instr(body, ',"id":"') > 0 THEN json_extract(body, '$.id') END, seq >> 6
    FROM audit_log
    WHERE seq BETWEEN ? AND ?
"""
KNOWN = """
    SELECT count(*)
    FROM json_each(?) AS due CROSS JOIN audit_places AS i
        ON i.reference = json_extract(due.value, '$[0]') AND i.page = json_extract(due.value, '$[1]')
"""
NEEDS_KEY = "the audit log of this store is keyed: open_store(..., audit_key=...) to append or verify; reading works without"
NEWEST = 2**63 - 1
SLACK = 1.0  # seconds: SQLite's reading of a decimal may differ in the last bit from Python's, which decides


class AuditLog:
    """The tamper-evident log of a store.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     event = store.audit.append("query", session_id="s-1", details={"tokens": 812})
    ...     event.seq, store.audit.find(session_id="s-1")[0].details, store.audit.verify().ok
    (1, {'tokens': 812}, True)
    """

    def __init__(self, db: Room, canonical: Canonical, key: bytes | None) -> None:
        self.db = db
        self._write = writers(canonical)
        self._chain = Chain(db.store_id, key)
        self._fixed = False  # the store id, by an event that is there to stay

    # -- write ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Fix that the log is keyed, unless it has begun already; `open_store(audit_key=...)` does it, so that no event comes first.

        The key itself is not compared: a wrong one is a verdict of `verify` and an error of `append`.
        """
        if self.db.value("SELECT 1 FROM audit_state") is None and self.db.value("SELECT 1 FROM audit_log LIMIT 1") is None:
            with self.db.write() as connection:
                self._bind(connection)
                self._begun(connection)

    def append(
        self,
        event_type: str,
        *,
        actor: str = "",
        actor_kind: str | None = None,
        entity_kind: str | None = None,
        entity_id: str | None = None,
        before: Any = None,
        after: Any = None,
        session_id: str | None = None,
        conversation_id: str | None = None,
        trace_id: str | None = None,
        token_id: str | None = None,
        user_id: str | None = None,
        project: str | None = None,
        stream: str | None = None,
        field: str | None = None,
        specialist: str | None = None,
        u_score: float | None = None,
        confidence: float | None = None,
        latency_ms: float | None = None,
        details: Any = None,
        note: str = "",
        id: str | None = None,
    ) -> AuditEvent:
        """Write one event at the end of the chain.

        `event_type` is an open vocabulary of `[a-z][a-z0-9_.-]*`; before, after and details are any JSON. Inside
        `store.transaction()` the event happens if the transaction does.
        """
        given = locals()  # all arguments by name
        del given["self"]
        event = draft(given, self._write)
        with self.db.write() as connection:
            return self._append(connection, event)

    def append_many(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Write events, each a dict of `append`'s arguments, all or none, and return how many."""
        if not isinstance(events, Iterable):
            raise Invalid(f"events must be a list of dicts of append()'s arguments, not {values.shorten(events)}")
        given = list(events)
        try:
            written = drafts(given, self._write)
        except (Invalid, KeyError):  # then it is said of which event
            written = [self._draft(position, event) for position, event in enumerate(given)]
        if written:
            with self.db.write() as connection:
                self._extend(connection, written)
        return len(written)

    def _draft(self, position: int, event: Mapping[str, Any]) -> Draft:
        try:
            return draft(arguments(event), self._write)
        except Invalid as error:
            raise Invalid(f"event {position}: {error}") from None

    def _append(self, connection: Connection, event: Draft) -> AuditEvent:
        before, rows = self._extend(connection, [event])
        return read_event(rows[0], before.hex(), self._chain.store_id)

    def _extend(self, connection: Connection, drafts: Sequence[Draft]) -> tuple[bytes, list[tuple[Any, ...]]]:
        """Chain and insert; returns the hash they were chained to and the rows as they stand."""
        seq, last = self._end(connection)
        self._refuse_taken(connection, [id for _, _, id, _, _ in drafts if id is not None])
        before, at, link = last, repr(self.db.now), self._chain.link
        salts, salt = "", 0
        counts: dict[str, int] = {}
        places: set[tuple[str, int]] = set()
        rows: list[tuple[Any, ...]] = []
        for plain, project, id, named, payload in drafts:
            seq += 1
            refs, digested = None, ""
            if project:
                counts[project] = number = 1 + (counts[project] if project in counts else self._last_of(connection, project))
                plain += f'{project},"project_seq":{number}'
            if id is not None:
                places.add((self._write["id"](id), seq >> 6))
            if named or payload is not None:
                salts = salts or os.urandom(16 * len(drafts)).hex()
                refs = f'{{"salt":"{salts[salt : salt + 32]}"{named}}}'
                digested = f',"digest":"{digest(refs, payload)}"'
                places.add((named, seq >> 6))
                salt += 32
            body = f'{{"seq":{seq},"created_at":{at}{plain}{digested}}}'
            last = link(last, body.encode())
            rows.append((seq, body, last, refs, payload))
        self._insert(connection, rows, places, counts)
        return before, rows

    def _insert(self, connection: Connection, rows: list[tuple[Any, ...]], places: set[tuple[str, int]], counts: dict[str, int]) -> None:
        flattened = itertools.chain.from_iterable
        if connection.cipher is not None:
            rows = [(*row[:4], sealed(connection.cipher, row[4], row[0])) for row in rows]
        together = len(rows) - len(rows) % SEVERAL
        for start in range(0, together, SEVERAL):
            connection.run(INSERT + f", {ROW}" * (SEVERAL - 1), [*flattened(rows[start : start + SEVERAL])])
        if len(rows) == 1:
            connection.run(INSERT, rows[0])
        else:
            connection.many(INSERT, rows[together:])
        if places:
            connection.many(
                "INSERT INTO audit_places(reference, page) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(member, page) for named, page in places for member in members(named)],
            )
        if counts:
            connection.many(
                """
                INSERT INTO audit_projects(project_id, last_seq) VALUES (?, ?)
                ON CONFLICT(project_id) DO UPDATE SET last_seq = excluded.last_seq
                """,
                [(_name(project), number) for project, number in counts.items()],
            )

    def _end(self, connection: Connection) -> tuple[int, bytes]:
        """Number and hash that the next event follows; the first one ever fixes whether the log is keyed."""
        row = connection.row(HEAD)
        if row is None or row[3] != self._chain.genesis:
            self._bind(connection)
        if row is None:
            row = (0, self._chain.genesis, *self._begun(connection))
        seq, last, keyed, genesis = row
        if keyed is None:
            raise Corrupt("the row of audit_state is gone; verify() the log and restore a snapshot")
        if keyed and self._chain.key is None:
            raise Invalid(NEEDS_KEY)
        if not keyed and self._chain.key is not None:
            raise Invalid("audit_key was given, but the audit log of this store was begun without a key; open it without audit_key")
        if genesis != self._chain.genesis:
            if keyed:
                raise Invalid("audit_key is not the key that the audit log of this store was begun with")
            raise Corrupt("the audit log was begun in another store; verify() says more")
        return seq, last

    def _bind(self, connection: Connection) -> None:
        """Follow the store id, which an import into an empty store may change, until the first event fixes it."""
        if self._fixed:
            return
        store_id, fixed = connection.row("SELECT value, EXISTS (SELECT 1 FROM audit_log) FROM meta WHERE key = 'store_id'") or ("", 0)
        if str(store_id) != self._chain.store_id:
            self._chain = Chain(str(store_id), self._chain.key)
        self._fixed = bool(fixed) and not self.db.in_transaction  # a rollback would take the event away

    def _begun(self, connection: Connection) -> tuple[int, bytes]:
        """Whether the log is keyed, and its genesis; fixed here where nothing has fixed it before."""
        state: tuple[int, bytes] | None = connection.row("SELECT keyed, genesis FROM audit_state")
        if state is None:
            state = (int(self._chain.key is not None), self._chain.genesis)
            connection.run("INSERT INTO audit_state(id, store_id, keyed, genesis) VALUES (1, ?, ?, ?)", (self._chain.store_id, *state))
        return state

    def _refuse_taken(self, connection: Connection, ids: list[str]) -> None:
        seen: set[str] = set()
        for id in ids:
            if self._by_id(connection, id) is not None or id in seen or self._own_number(id) is not None:
                raise Exists(f"there is an audit event {id!r} already; leave id out and one is made")
            seen.add(id)

    def _by_id(self, connection: Connection, id: Any) -> tuple[Any, ...] | None:
        member = self._write["id"](id)
        return connection.row(f"{PLACED} instr(e.body, i.reference) > 0", (member,))

    def _last_of(self, connection: Connection, project: str) -> int:
        return connection.value("SELECT last_seq FROM audit_projects WHERE project_id = ?", (_name(project),)) or 0

    # -- read -------------------------------------------------------------------------------------------------------

    def get(self, seq: int | str) -> AuditEvent:
        """Return one event by its number or its id."""
        given = values.key("seq", seq) if isinstance(seq, str) else values.integer("seq", seq)
        with self.db.read(snapshot=True) as connection:
            self._bind(connection)
            number = self._own_number(given) if isinstance(given, str) else given
            by_id = isinstance(seq, str) and number is None
            row = self._by_id(connection, seq) if by_id else connection.row(f"{ALL} e.seq = ?", (number,))
            if row is None:
                raise self._not_found(connection, seq, number)
            return self._event(connection, row)

    def find(
        self,
        *,
        event_type: str | None = None,
        actor: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        conversation_id: str | None = None,
        trace_id: str | None = None,
        token_id: str | None = None,
        project: str | None = None,
        stream: str | None = None,
        entity_kind: str | None = None,
        entity_id: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        after_seq: int | None = None,
        before_seq: int | None = None,
        ascending: bool = False,
        limit: int | None = 100,
    ) -> list[AuditEvent]:
        """Return events newest first, or oldest first with `ascending`.

        `since` is inclusive, `until`, `after_seq` and `before_seq` are exclusive: the last event's seq fetches the next page.
        References and ids are indexed; event_type, project, stream and entity_kind alone are looked for event by event.
        """
        given = locals()
        where, params = [], []
        named = [self._write[name](given[name]) for name in REFERENCES if given[name] is not None]
        for member in filter(None, named):
            where.append("instr(e.refs, ?) > 0")  # canonical text: a quote inside a value is escaped, so this is exact
            params.append(member)
        if "" in named:  # an actor of "" is stored as none
            where.append("instr(ifnull(e.refs, ''), ',\"actor\":') = 0")
        for name in ("event_type", "project", "stream", "entity_kind"):
            if given[name] is not None:
                where.append("instr(e.body, ?) > 0")
                params.append(type_member(given[name]) if name == "event_type" else self._write[name](given[name]))
        low = values.optional(values.moment, "since", since)
        high = values.optional(values.moment, "until", until)
        page = _Page(
            next(filter(None, named), None),
            where,
            params,
            -1 if after_seq is None else values.integer("after_seq", after_seq),
            NEWEST if before_seq is None else values.integer("before_seq", before_seq),
            values.flag("ascending", ascending),
            values.limit(limit),
        )
        with self.db.read(snapshot=True) as connection:
            self._bind(connection)
            return self._find(connection, page, low, high)

    def _find(self, connection: Connection, page: _Page, since: float | None, until: float | None) -> list[AuditEvent]:
        place, where, params, after, before, ascending, limit = page
        if since is not None:
            where.append("json_extract(e.body, '$.created_at') > ?")
            params.append(since - SLACK)
        if until is not None:
            where.append("json_extract(e.body, '$.created_at') < ?")
            params.append(until + SLACK)
        way = "ASC" if ascending else "DESC"
        clauses, order = " AND ".join([*where, "e.seq > ? AND e.seq < ?"]), f"e.seq {way}"
        if place is not None:
            params.insert(0, place)
            clauses, order = f"{clauses} AND i.page >= ? AND i.page <= ?", f"i.page {way}, {order}"
        sql = f"{ALL if place is None else PLACED} {clauses} ORDER BY {order} LIMIT ?"
        found: list[AuditEvent] = []
        while True:
            pages = () if place is None else (after >> 6, before >> 6)
            rows = connection.rows(sql, (*params, after, before, *pages, limit))
            for row in rows:
                event = self._event(connection, row)
                if (since is None or event.created_at >= since) and (until is None or event.created_at < until):
                    found.append(event)
            if limit < 0 or len(rows) < limit or len(found) >= limit:
                return found if limit < 0 else found[:limit]
            if ascending:
                after = values.onward(after, rows[-1][0])
            else:
                before = -values.onward(-before, -rows[-1][0])

    def history(self, entity_kind: str, entity_id: str) -> list[AuditEvent]:
        """Return all that happened to one thing, oldest first."""
        kind, id = values.text("entity_kind", entity_kind), values.text("entity_id", entity_id)
        return self.find(entity_kind=kind, entity_id=id, ascending=True, limit=None)

    def head(self) -> AuditHead:
        """Return the newest event's number and hash; kept outside the file as text it is an anchor for `verify`."""
        with self.db.read(snapshot=True) as connection:
            self._bind(connection)
            row = connection.row(HEAD)
            seq, last = row[:2] if row else (0, connection.value("SELECT CAST(genesis AS BLOB) FROM audit_state") or self._chain.genesis)
        return AuditHead(self._chain.store_id, seq, last.hex())

    def _event(self, connection: Connection, row: tuple[Any, ...]) -> AuditEvent:
        before = row[-1].hex() if row[-1] is not None else self._before(connection, row[0])
        payload = unsealed(connection.cipher, row[4], row[0])
        return read_event((*row[:4], payload), before, self._chain.store_id)

    def _before(self, connection: Connection, seq: int) -> str:
        """Hash before the first event there is: the seal's after a prune, else the genesis."""
        row = connection.row("SELECT CAST(genesis AS BLOB), sealed_by FROM audit_state") or (self._chain.genesis, 0)
        if seq == 1:
            return str(row[0].hex())
        source = connection.value("SELECT body FROM audit_log WHERE seq = ?", (row[1],))
        try:
            seal = json.loads(source or "{}").get("seal", {})
            return str(seal["hash"]) if seal.get("upto") == seq - 1 else ""
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise Corrupt(f"audit event {row[1]}, which seals a prune, is damaged ({error}); verify() lists what else is") from error

    def _own_number(self, id: str) -> int | None:
        """The seq in an id that this log made itself."""
        found = re.fullmatch(r"([0-9a-f]{32})-([1-9]\d{0,17})", id)
        return int(found[2]) if found is not None and found[1] == self._chain.store_id else None

    def _not_found(self, connection: Connection, seq: int | str, number: int | None) -> NotFound:
        # Asked for together, SQLite would read the whole log for them.
        first, last = connection.row("SELECT (SELECT min(seq) FROM audit_log), (SELECT max(seq) FROM audit_log)") or (None, None)
        if first is not None and number is not None and 0 < number < first:
            return NotFound(f"audit event {number} was pruned; the log holds {first} to {last}")
        return NotFound(f"no audit event {seq!r}; " + ("the log is empty" if first is None else f"the log holds {first} to {last}"))

    # -- check ------------------------------------------------------------------------------------------------------

    def verify(
        self, *, anchors: Iterable[AuditHead | str] = (), resume: AuditHead | str | None = None, store_id: str | None = None
    ) -> Verification:
        """Read the log in one snapshot and say whether it is as it was written.

        `anchors` are heads kept outside the file: without one nobody can tell a log that was cut or rebuilt from the original,
        and the report says so (`unanchored`). `resume` is a head verified before: reading starts there, and it is an anchor too.
        """
        if isinstance(anchors, (str, AuditHead)) or not isinstance(anchors, Iterable):
            raise Invalid(f"anchors must be a list of heads, [head], not {values.shorten(anchors)}")
        asked = values.optional(values.text, "store_id", store_id)
        heads = [AuditHead.parse(anchor) for anchor in anchors]
        point = None if resume is None else AuditHead.parse(resume)
        verifier = Verifier(self._chain, heads, point)
        try:
            absent = self.db.read_only and not self.db.present(SCHEMA.name)
            with self.db.read(snapshot=True) as connection:
                self._bind(connection)
                if asked in (None, self._chain.store_id):
                    verifier = Verifier(self._chain, heads, point)
                else:
                    verifier = verifier_of(connection, asked, self._chain, heads, point)
                self._require_key(connection, verifier)
                verifier.run(connection, None if absent else SCHEMA)
        except Exists as error:  # the tables are there, and schema_version does not know of them
            verifier.misshapen([Finding("schema", None, str(error))])
        except (Corrupt, NotAStore) as error:
            verifier.misshapen(check_schema(self.db.database, SCHEMA) or [Finding("corrupt", None, str(error))])
        return verifier.verdict()

    def _require_key(self, connection: Connection, verifier: Verifier) -> None:
        keyed = connection.row(f"SELECT 1 FROM {verifier.log.state} WHERE keyed AND genesis <> ?", (verifier.chain.genesis,))
        if keyed is not None and verifier.chain.key is None:
            raise Invalid(NEEDS_KEY)

    def check(self) -> list[Finding]:
        """Return what `verify` finds wrong, its advice left out, and whether the index leads to every event; a keyed log needs its key.

        Histories that came with imports are verified too.
        """
        findings = self._wrong(None)
        for (store_id,) in self.db.rows("SELECT store_id FROM audit_histories ORDER BY pk"):
            findings += [found._replace(detail=f"history of store {store_id}: {found.detail}") for found in self._wrong(store_id)]
        return findings or self._check_places()

    def _wrong(self, store_id: str | None) -> list[Finding]:
        try:
            return [finding for finding in self.verify(store_id=store_id).findings if finding.kind not in ADVICE]
        except Invalid as error:
            return [Finding("keyed", None, str(error))]

    def _check_places(self) -> list[Finding]:
        """Compare the index with the references and ids of a sound log, some pages at a time."""
        due, known, first = 0, 0, 0
        with self.db.read(snapshot=True) as connection:
            last = connection.value("SELECT max(seq) FROM audit_log") or 0
            while first <= last:
                rows = connection.rows(NAMED, (first, first + 4095))
                named = {(refs[42:-1], page) for refs, _, page in rows if refs}
                named |= {(f',"id":{quoted(id)}', page) for _, id, page in rows if id is not None}
                places = [(member, page) for text, page in named for member in members(text)]
                due += len({*places})
                known += connection.value(KNOWN, (json.dumps([*{*places}]),))
                first += 4096
            if due == known == connection.value("SELECT count(*) FROM audit_places"):
                return []
        return [Finding("index", None, "audit_places is not where references and ids are: find() and get() may miss events")]

    # -- remove -----------------------------------------------------------------------------------------------------

    def redact(self, seq: int, *, reason: str, actor: str = "") -> AuditEvent:
        """Empty an event's redactable part for good and return the `audit.redact` event that says so.

        Its body stays: number, time, type, kinds, project, scores. The row and the log are overwritten with the COMMIT; a copy that
        SQLite left in unused bytes of a page when it moved the row stays until the file is written anew, as `Store.erase` does.
        """
        seq = values.integer("seq", seq)
        values.text("reason", reason, blank=False)
        note = draft({"actor": actor, "note": reason}, self._write, f',"event_type":"audit.redact","redacts":[{seq}]')
        with self.db.write() as connection:
            row = connection.row("SELECT CAST(refs AS BLOB) FROM audit_log WHERE seq = ?", (seq,))
            if row is None:
                raise self._not_found(connection, seq, seq)
            if row[0] == b"":
                raise Invalid(f"audit event {seq} is redacted already")
            event = self._append(connection, note)
            self._permitted(connection, "UPDATE audit_log SET refs = '', payload = NULL WHERE seq = ?", seq)
            connection.many(FORGET, [(member, seq >> 6) for member in members((row[0] or b"").decode(errors="replace")[42:-1])])
            return event

    def prune(self, before_seq: int, *, reason: str, actor: str = "") -> int:
        """Remove all events before a number and return how many; one `audit.prune` event seals what is gone.

        Nothing to remove writes nothing. `before_seq` may be at most the number of the next event, which removes all there are.
        """
        values.integer("before_seq", before_seq, low=1)
        values.text("reason", reason, blank=False)
        with self.db.write() as connection:
            seq, _ = self._end(connection)
            if before_seq > seq + 1:
                raise Invalid(f"before_seq is {before_seq}, but the log ends at {seq}; nothing was pruned")
            first, upto = connection.row("SELECT min(seq), max(seq) FROM audit_log WHERE seq < ?", (before_seq,)) or (None, None)
            if first is None:
                return 0
            count = connection.value("SELECT count(*) FROM audit_log WHERE seq < ?", (before_seq,))
            sealed = connection.value("SELECT CAST(hash AS BLOB) FROM audit_log WHERE seq = ?", (upto,)).hex()
            seal = f'{{"first":{first},"upto":{upto},"count":{count},"hash":"{sealed}"}}'
            kept = redaction_member(redactions(connection, before_seq))  # imported logs outlive the events that say what they lost
            note = draft({"actor": actor, "note": reason}, self._write, f',"event_type":"audit.prune"{kept},"seal":{seal}')
            event = self._append(connection, note)
            connection.run("UPDATE audit_state SET sealed_by = ?", (event.seq,))
            self._permitted(connection, "DELETE FROM audit_log WHERE seq < ?", before_seq)
            connection.run(FORGET_BEFORE, (before_seq >> 6, before_seq >> 6))
            return int(count)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove."""
        return [prunable_events(self.prune)]

    def erase(self, connection: Connection, subject: Subject, *, reason: str = "", actor: str = "") -> tuple[int, bytes] | None:
        """Empty the events that name what the other rooms have removed and say so in one event; None where nothing was to be done.

        For `Store.erase`. Returns the number of that event and the digest by which what was erased is known from now on.
        """
        from ..kernel.rows import listed
        from . import erasing

        names = erasing.Names(subject)
        own = erasing.naming(connection, names)
        imported = {pk: (store_id, erasing.naming(connection, names, pk)) for pk, store_id in erasing.histories(connection)}
        subject.count("audit_log", len(own.emptied))
        subject.count("audit_imported", sum(len(found.emptied) for _, found in imported.values()))
        keeping = own.keeping + sum(found.keeping for _, found in imported.values())
        subject.keep(keeping, "audit events with an id or name of it in their body", "kept, since what is hashed stays as it was written")
        if not subject.counts:
            return None
        known = erasing.remember_all(connection, subject)
        said = {"actor": actor, "note": reason, "entity_kind": subject.kind, "entity_id": known.hex(), "details": subject.counts}
        claims = erasing.claims(own, dict(imported.values()))
        event = self._append(connection, draft(said, self._write, f',"event_type":"{subject.kind}.erase"{claims}'))
        erasing.forget_places(connection, own)
        self._permitted(connection, erasing.EMPTY, listed(own.emptied))
        for pk, (_, found) in imported.items():
            self._permitted(connection, erasing.EMPTY_IMPORTED, pk, listed(found.emptied))
        return event.seq, known

    def _permitted(self, connection: Connection, sql: str, *params: int | str) -> None:
        """Run a statement that the triggers refuse otherwise, and leave no trace of what it removed."""
        connection.run("INSERT INTO audit_permit(reason) VALUES (?)", (sql.split()[0],))
        connection.run(sql, params)
        connection.run("DELETE FROM audit_permit")
        self.db.scrub()


class _Page(NamedTuple):
    """What to select, between two numbers; `place` is a reference whose pages are known."""

    place: str | None
    where: list[str]
    params: list[Any]
    after: int
    before: int
    ascending: bool
    limit: int


def _name(project: str) -> str:
    """The project in a member of a body."""
    return str(json.loads(project.partition(":")[2]))
