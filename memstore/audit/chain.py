r"""The byte format of the audit log, and its verification.

Format 1. Every event is a row of `audit_log`: seq 1, 2, 3 ... without gaps; `body`, one JSON text that begins
`{"seq":N,"created_at":T,"event_type":...` and is never written again; `hash`, 32 bytes; and the redactable part: `refs`, one JSON
text `{"salt":"<32 hex digits>","entity_id":...}` of 16 random bytes and the references that were given, and `payload`, one JSON
text of those of after, before, details and note that were given, else NULL. H is SHA-256; in a keyed store (audit_state.keyed = 1) H(x) is
HMAC-SHA256(key, x), except in `digest`, which is always SHA-256. Texts are hashed as they lie, in UTF-8.

    genesis  = H("memstore audit 1 genesis\0" + mode + "\0" + store_id)      mode: sha256 or hmac-sha256
    hash     = H("memstore audit 1 link\0" + hash of the event before + body)     before event 1: genesis
    digest   = SHA-256(refs + "\n" + payload), in lower hex, nothing after the line feed where payload is NULL; it ends the body
               that has one: `,"digest":"<64>"}`

- store_id is `meta.value` of key 'store_id', 32 hex digits; audit_state repeats it beside the genesis.
- All JSON is canonical: names in a fixed order, no white space, no control characters. So `,"user_id":"u-1"` inside refs can only be
  that reference, and nothing can be moved from refs to payload or back. A payload is never ''. The salt, which comes first, keeps
  this digest apart from the other hashes, whose texts begin with their names.
- Where a codec encrypts, payload lies there as bytes; digests are of the text, so another key changes no hash.
- No digest in the body: there was nothing to redact; refs and payload are NULL. Redacted: refs is '' and payload NULL, and a later
  event has `"redacts":[seq, ...]` in its body: `audit.redact`, or `user.erase`, `conversation.erase`, `project.erase` or
  `message.erase`, whose entity_id is a salted digest of what was erased (see erased.py). A part that is empty otherwise is a finding.
- An erasure reaches the logs that came with imports too: `"redacts_imported":{"<store_id>":[seq, ...]}` in the body of our event names
  the events of that store's log in `audit_imported` that were emptied.
- After a prune the first event follows the `"seal":{"first":,"upto":,"count":,"hash":}` of the newest `audit.prune` event: its
  seq is upto + 1 and `hash` (hex) stands in for the event before it. `audit_state.sealed_by` is that event's seq, else 0.
- `"project":P,"project_seq":n` count 1, 2, 3 ... within P; the last n of each is in `audit_projects`.
- An anchor is three lines: `memstore/<store_id>`, seq, the hash of that event in hex (seq 0: the genesis).
- The log of another store that came with an import lies in the same columns in `audit_imported`, its state in `audit_histories`, its
  counts in `audit_imported_projects`. What is redacted of it here, an event of this store names: `"redacts_imported":{"<store_id>":[seq]}`.
- `audit_places` is no part of the chain but an index into it: `reference`, a member of refs or the supplied id of a body as it lies
  there, comma included, stands in an event with seq >> 6 = `page`.

The trap: a chain that verifies proves that nothing *between* two points was changed. That its end, or all of it, is the
original, only an anchor kept elsewhere shows; without one an attacker who knows this page can cut or rebuild an unkeyed log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import ADVICE, Corrupt, Finding, Invalid, Record, Tampered, record, values
from ..kernel.schema import Schema, differences
from .payloads import unsealed

if TYPE_CHECKING:
    from ..kernel import Connection

GENESIS = b"memstore audit 1 genesis\0"
LINK = b"memstore audit 1 link\0"

PAGE_ROWS = 2048
PAGE_BYTES = 4_000_000  # payloads may be large: pages begin small and grow while they are light
#: In all of these {events}, {state} and {projects} stand for where a log lies: see `Log`.
EVENT = "SELECT seq, CASE typeof(body) WHEN 'text' THEN CAST(body AS BLOB) END, hash, refs, payload FROM {events}"
ONE = EVENT + " WHERE seq = ?"
NEXT = EVENT + " WHERE seq > ? ORDER BY seq LIMIT ?"
LEGIBLE = "SELECT CAST(body AS BLOB), CAST(hash AS BLOB), CAST(refs AS BLOB), CAST(payload AS BLOB) FROM {events} WHERE seq = ?"
# A page in one row: fetching its events one by one would cost more than hashing them. The separators, characters 30 and 10, stand in
# no JSON. An event that has a blob where a text was written, or the other way round, is left out, and the count tells.
PAGE = """
    SELECT count(*), CAST(group_concat(body, '\x1e') AS BLOB), CAST(group_concat(hash, '') AS BLOB), count(refs),
        CAST(group_concat(refs || CASE WHEN payload IS NULL THEN '\n' ELSE '\n' || payload END, '\x1e') AS BLOB)
    FROM {events}
    WHERE seq > ? AND seq <= ? AND body < x'' AND hash >= x'' AND length(hash) = 32
        AND (refs IS NULL OR refs < x'') AND (payload IS NULL OR refs IS NOT NULL AND payload > '' AND payload < x'')
"""
EMPTIED = "SELECT seq, refs = '' FROM {events} WHERE seq > ? AND seq <= ? AND refs IS NOT NULL"


class Log(NamedTuple):
    """Where a log lies, as it stands behind a FROM."""

    events: str
    state: str
    projects: str
    history: int | None = None  # of another store: the key that its rows have


OWN = Log("audit_log", "audit_state", "audit_projects")


def history(pk: int) -> Log:
    """The log of another store that came with an import."""
    own = f"history = {int(pk)}"
    return Log(
        f"(SELECT seq, body, hash, refs, payload FROM audit_imported WHERE {own})",
        f"(SELECT store_id, keyed, genesis, sealed_by FROM audit_histories WHERE pk = {int(pk)})",
        f"(SELECT project_id, last_seq FROM audit_imported_projects WHERE {own})",
        int(pk),
    )


_PROJECT = re.compile(rb',"project":("(?:[^"\\]|\\.)*"),"project_seq":(\d{1,18})[,}]')
_MEMBER = re.compile(r',"(?=[a-z])')
_HEAD = re.compile(r"memstore/([0-9a-f]{32})\s*\n\s*(\d{1,18})\s*\n\s*([0-9a-f]{64})")


@record
class AuditHead(Record):
    """The newest event of a log: keep its text outside the store, and `verify(anchors=...)` shows whether history still ends there."""

    store_id: str
    seq: int
    hash: str

    def __str__(self) -> str:
        return f"memstore/{self.store_id}\n{self.seq}\n{self.hash}"

    @classmethod
    def parse(cls, text: AuditHead | str) -> AuditHead:
        """Read the three lines of `str(head)`, with white space around them."""
        if isinstance(text, AuditHead):
            return text
        found = _HEAD.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            shown = values.shorten(text)
            raise Invalid(f"an anchor is three lines, memstore/<store id>, seq and hash in hex, as str(head()) gives; not {shown}")
        return cls(found[1], int(found[2]), found[3])


@record
class Verification(Record):
    """What `verify` found; `ok` is False for findings that are not advice, `checked` counts rows read.

    As a condition it is `ok`. `anchored_to` is the newest anchor that holds: what is older than that is complete, whoever had the
    file.
    """

    ok: bool
    checked: int
    head: AuditHead
    findings: list[Finding]
    anchored_to: AuditHead | None

    def __bool__(self) -> bool:
        return self.ok


class Chain:
    """How the links of one store are made."""

    def __init__(self, store_id: str, key: bytes | None) -> None:
        self.store_id = store_id
        self.key = key
        self.genesis = self._hash(GENESIS + (b"sha256\0" if key is None else b"hmac-sha256\0") + store_id.encode())

    def link(self, before: bytes, body: bytes) -> bytes:
        """The hash of an event from the one before it and its own text."""
        if self.key is None:
            return sha256(LINK + before + body).digest()
        return self._hash(LINK + before + body)

    def links(self, before: bytes, bodies: Sequence[bytes]) -> bytes:
        """The hashes of events that follow each other."""
        if self.key is None:  # without a call for each
            return b"".join([before := sha256(LINK + before + body).digest() for body in bodies])
        return b"".join([before := self.link(before, body) for body in bodies])

    def _hash(self, data: bytes) -> bytes:
        if self.key is None:
            return sha256(data).digest()
        import hmac  # only keyed stores pay for it

        return hmac.digest(self.key, data, "sha256")


def digest(refs: str, payload: str | None) -> str:
    """What a body says of its redactable part."""
    return sha256(f"{refs}\n{payload or ''}".encode()).hexdigest()


def members(named: str) -> list[str]:
    """The references of an event one by one, each with its comma, as it lies there."""
    if ',",' in named or named.endswith(',"'):  # a value ends with a comma, and its quote begins nothing
        return [',"' + member for member in _MEMBER.split(named)[1:]]
    return [',"' + member for member in named[2:].split(',"')] if named else []


class Verifier:
    """One reading of the log, page by page; a page whose hashes all agree is not looked at row by row."""

    def __init__(
        self, chain: Chain, anchors: Sequence[AuditHead], resume: AuditHead | None, log: Log = OWN, redacted: Mapping[int, int] = {}
    ) -> None:
        self.chain = chain
        self.log = log
        self.anchors = [*anchors, resume] if resume is not None else list(anchors)
        self.resume = resume
        self.findings: dict[tuple[str, int | None, str], Finding] = {}
        self.checked = 0
        self.anchored_to: AuditHead | None = None
        self.from_genesis = True  # False when resumed: then what came before counts as verified
        self.blind = False  # links cannot be computed: the key is another one
        self.rows = 8  # of the next page
        self.seq = 0
        self.before: bytes | None = chain.genesis  # hash of the last row; None: unknown, the next link is not checked
        self.at = float("-inf")
        self.first: tuple[int, Any, Any] | None = None
        self.head = AuditHead(chain.store_id, 0, chain.genesis.hex())
        self.illegible: set[int] = set()
        self.emptied: set[int] = set()
        self.redacted = dict(redacted)  # and by which event; of an imported log ours may have done it
        self.seals: list[tuple[int, dict[str, Any]]] = []
        self.projects: dict[bytes, int] = {}

    def _sql(self, statement: str) -> str:
        return statement.format(**self.log._asdict())

    def add(self, kind: str, seq: int | None, detail: str) -> None:
        """Note a finding, once an event and kind."""
        self.findings.setdefault((kind, seq, "" if seq is not None else detail), Finding(kind, seq, detail))

    def misshapen(self, findings: list[Finding]) -> bool:
        """Note what is not as the schema has it; True where a table is gone, which says all about what went with it."""
        gone = [finding for finding in findings if finding.kind == "missing"]
        for finding in gone or findings:
            self.add(*finding)
        return bool(gone)

    def verdict(self) -> Verification:
        """Sum up: what counts first, then advice."""
        if self.anchored_to is None:
            why = "no anchor given holds" if self.anchors else "nothing kept outside the file shows that the log is complete"
            self.add("unanchored", None, f"{why}; keep str(head()) elsewhere")
        findings = sorted(self.findings.values(), key=lambda finding: finding.kind in ADVICE)
        return Verification(all(f.kind in ADVICE for f in findings), self.checked, self.head, findings, self.anchored_to)

    def run(self, connection: Connection, schema: Schema | None) -> None:
        """Read everything within the caller's snapshot; `schema` is None where a read-only file has no log yet."""
        if self._check_schema(connection, schema):
            return
        state = connection.row(self._sql("SELECT store_id, keyed, genesis, CAST(sealed_by AS INTEGER) FROM {state}"))
        self._check_state(connection, state)
        self._resume(connection, 0 if state is None else state[3])
        self._walk(connection)
        if self.first is not None and self.from_genesis:
            self._check_start(*self.first)
        self._check_seals(0 if state is None else state[3])
        for seq in sorted(self.emptied - self.redacted.keys()):
            self.add("hash", seq, f"event {seq} is empty and no redaction names it")
        for seq in sorted(self.redacted.keys() - self.emptied):
            self._check_refilled(connection, seq)
        self._check_projects(connection)
        if connection.row("SELECT 1 FROM audit_permit") is not None:
            self.add("permit", None, "a permit to change the log lies in audit_permit; redact() and prune() never leave one behind")
        self._check_anchors(connection)
        stray = connection.value(self._sql("SELECT seq FROM {events} WHERE seq < 1 LIMIT 1"))
        if stray is not None:
            self.add("hash", stray, f"event {stray} stands before the first, where none was ever written")

    # -- where it begins --------------------------------------------------------------------------------------------

    def _check_schema(self, connection: Connection, schema: Schema | None) -> bool:
        if schema is None:  # what is read then is empty, whatever lies in the file
            if connection.row("SELECT 1 FROM main.sqlite_schema WHERE name = 'audit_log'") is not None:
                self.add("schema", None, "the file has an audit_log that schema_version does not know of")
            return False
        try:
            return self.misshapen(differences(connection.raw, schema))
        except Corrupt as error:
            self.add("corrupt", None, f"the schema of the file cannot be read: {error}")
            return False

    def _check_state(self, connection: Connection, state: tuple[Any, ...] | None) -> None:
        if state is None:
            if connection.row(self._sql("SELECT 1 FROM {events} LIMIT 1")) is not None:
                self.add("store_id", None, "the row of audit_state that binds the log to its store is gone")
            return
        if state[0] != self.chain.store_id:
            self.add("wrong_store", None, f"the log was begun in store {state[0]}, this is {self.chain.store_id}")
        elif state[2] != self.chain.genesis:
            if self.chain.key is None:
                self.add("hash", None, "the genesis in audit_state is not that of this store")
            else:
                self.blind = True
                self.add("mac", None, "the log was begun with another key than audit_key, or without one: no link can be checked")
        elif bool(state[1]) != (self.chain.key is not None):
            self.add("mac", None, "audit_state says of a keyed log that it has no key, or the other way round")

    def _resume(self, connection: Connection, sealed_by: int) -> None:
        point = self.resume
        if point is None or point.seq == 0 or point.store_id != self.chain.store_id:
            return
        found = connection.value(self._sql("SELECT hash FROM {events} WHERE seq = ?"), (point.seq,))
        if isinstance(found, bytes) and found.hex() == point.hash:
            self.from_genesis = False
            self.seq, self.before, self.head = point.seq, found, point
            if 0 < sealed_by <= point.seq:
                body = connection.value(self._sql("SELECT CAST(body AS BLOB) FROM {events} WHERE seq = ?"), (sealed_by,))
                self._claims(sealed_by, body or b"")

    # -- the rows ---------------------------------------------------------------------------------------------------

    def _walk(self, connection: Connection) -> None:
        last = connection.value(self._sql("SELECT max(seq) FROM {events}")) or 0
        while self._intact(connection, last) or self._examine_page(connection):
            pass

    def _intact(self, connection: Connection, last: int) -> bool:
        """Whether the next page holds together, as a whole: this is the path of every healthy event."""
        first = self.seq + 1
        upto = min(self.seq + self.rows, last, 10 ** len(str(first)) - 1)  # numbers of one length: what follows them begins at one place
        if self.first is None or self.before is None or self.blind or upto < first or connection.cipher is not None:
            return False
        try:
            count, text, hashes, named, parts = connection.row(self._sql(PAGE), (self.seq, upto)) or (0, b"", b"", 0, b"")
        except (Corrupt, Invalid):  # a damaged page, or one larger than a value can be
            self.rows = 1
            return False
        begun = [b'{"seq":%d,"created_at":' % seq for seq in range(first, upto + 1)]
        start = len(begun[0])
        bodies = text.split(b"\x1e") if count else ()
        if count != len(begun) or [body[:start] for body in bodies] != begun:
            return False
        if self.chain.links(self.before, bodies) != hashes or not self._whole(connection, upto, bodies, named, parts):
            return False
        times = _times([body[start : start + 25] for body in bodies])
        if times is None or times[0] < self.at:
            return False
        self.at = times[1]
        self._collect(first, bodies, text)
        self._turn(upto, hashes[-32:], count, len(text) + len(parts or b""))
        return True

    def _whole(self, connection: Connection, upto: int, bodies: Sequence[bytes], named: int, parts: bytes | None) -> bool:
        """Whether each body has the digest of its own redactable part, and those without a part have none."""
        filled = parts.split(b"\x1e") if parts is not None else []
        if len(filled) != named:
            return False
        redacted: list[int] = []
        if named < len(bodies) or b"\n" in filled:
            found: dict[int, int] = dict(connection.rows(self._sql(EMPTIED), (self.seq, upto))) if named else {}
            bare = [body for seq, body in enumerate(bodies, self.seq + 1) if seq not in found] if named else bodies
            if b'"digest":"' in [body[-76:-66] for body in bare]:
                return False
            redacted = [seq for seq, emptied in found.items() if emptied]
            filled = [part for part in filled if part != b"\n"]
            bodies = [body for seq, body in enumerate(bodies, self.seq + 1) if found.get(seq) == 0] if named else ()
        written = "".join(['"digest":"' + sha256(part).hexdigest() for part in filled]).encode()
        if written != b"".join([body[-76:-2] for body in bodies]):
            return False
        self.emptied.update(redacted)
        return True

    def _turn(self, seq: int, stored: Any, count: int, weight: int) -> None:
        """Go on behind a page."""
        self.seq = seq
        self.before = stored if isinstance(stored, bytes) else None
        self.head = AuditHead(self.chain.store_id, seq, "" if self.before is None else self.before.hex())
        self.checked += count
        self.rows = max(1, self.rows // 2) if weight > PAGE_BYTES else min(PAGE_ROWS, 2 * self.rows)

    def _examine_page(self, connection: Connection) -> bool:
        """Read a page event by event; False at the end."""
        try:
            rows = connection.rows(self._sql(NEXT), (self.seq, self.rows))
        except Corrupt:
            rows = self._salvage(connection)
        if not rows:
            if max(self.illegible, default=0) <= self.seq:
                return False
            self.seq, self.before = max(self.illegible), None  # a whole page, and more may follow
            return True
        if rows[-1][0] <= self.seq:  # a damaged tree, which would give this page for ever
            self.add("corrupt", self.seq, f"the events after {self.seq} come out of order")
            return False
        if self.first is None:
            begins = min([rows[0][0], *self.illegible])
            self.first = rows[0][:3] if begins == rows[0][0] else (begins, None, None)
            if self.from_genesis and rows[0][0] == begins > 1:
                self.seq, self.before = rows[0][0] - 1, None  # _check_start says whether it may begin here
        for row in rows:
            seq, body, stored, refs, payload = row
            self._examine(seq, body, stored, refs, self._unsealed(connection, seq, payload))
            if row[1] is not None:
                self._collect(row[0], [row[1]], row[1])
        self._turn(rows[-1][0], rows[-1][2], len(rows), sum([len(row[-1]) for row in rows if isinstance(row[-1], (str, bytes))]))
        return True

    def _unsealed(self, connection: Connection, seq: int, payload: Any) -> Any:
        try:
            return unsealed(connection.cipher, payload, seq, self.log.history)
        except (Corrupt, Tampered) as error:
            self.add("sealed", seq, str(error))
            return None

    def _salvage(self, connection: Connection) -> list[tuple[Any, ...]]:
        """Read row by row a page that the driver cannot deliver."""
        rows: list[tuple[Any, ...]] = []
        numbers: Sequence[int]
        try:
            found = connection.rows(self._sql("SELECT seq FROM {events} WHERE seq > ? ORDER BY seq LIMIT ?"), (self.seq, self.rows))
            numbers = [row[0] for row in found]
        except Corrupt as error:  # not even that: try the numbers that may be beyond the damage
            self.add("corrupt", None, f"the log cannot be read after event {self.seq}: {error}")
            last = connection.value(self._sql("SELECT max(seq) FROM {events}")) or 0
            numbers = range(self.seq + 1, min(last, self.seq + PAGE_ROWS) + 1)
        for seq in numbers:
            try:
                rows += connection.rows(self._sql(ONE), (seq,))
            except Corrupt as error:
                self.illegible.add(seq)
                self._illegible(connection, seq, error)
        return rows

    def _illegible(self, connection: Connection, seq: int, error: Corrupt) -> None:
        try:
            connection.row(self._sql(LEGIBLE), (seq,))
            self.add("hash", seq, f"event {seq} holds bytes that are no text any more")
        except Corrupt:
            self.add("corrupt", seq, f"event {seq} cannot be read: {error}")

    def _examine(self, seq: int, body: Any, stored: Any, refs: Any, payload: Any) -> None:
        """Say what is wrong with one row, if anything is."""
        gone = [number for number in range(self.seq + 1, min(seq, self.seq + PAGE_ROWS)) if number not in self.illegible]
        if gone:
            self.add("gap", gone[0], f"event {gone[0]} is gone" if seq - self.seq == 2 else f"events {gone[0]} to {seq - 1} are gone")
        if seq != self.seq + 1:
            self.before = None
        self.seq = seq
        if body is None or not isinstance(stored, bytes) or len(stored) != 32:
            self.add("type", seq, f"event {seq} holds a value of another storage class than it was written with")
            self.before = stored if isinstance(stored, bytes) else None
            return
        known = len(self.findings)
        if self.before is not None and not self.blind and self.chain.link(self.before, body) != stored:
            self._broken_link(seq, self.before, body, stored)
        self.before = stored
        self._check_part(seq, body, refs, payload)
        try:
            at = float(body.split(b",", 2)[1].partition(b":")[2])
        except (ValueError, IndexError):
            self.add("hash", seq, f"event {seq} is no event: its text does not begin as it must")
        if len(self.findings) > known:
            return  # the time of a row that was changed says nothing
        if at < self.at:
            self.add("clock", seq, f"event {seq} is dated {self.at - at:.6g} s before the one that precedes it")
        self.at = at

    def _broken_link(self, seq: int, before: bytes, body: bytes, stored: bytes) -> None:
        unkeyed = Chain(self.chain.store_id, None)  # what a forger can do who has the format but not the key
        if self.chain.key is not None and stored in (unkeyed.link(before, body), unkeyed.link(unkeyed.genesis, body)):
            self.add("mac", seq, f"event {seq} was written without the key")
        else:
            self.add("hash", seq, f"event {seq}, or the link from the one before it, is not as it was written")

    def _check_part(self, seq: int, body: bytes, refs: Any, payload: Any) -> None:
        if not body.startswith(b'{"seq":%d,' % seq):
            self.add("hash", seq, f"event {seq} carries the number of another event in its text")
        said = body[-66:-2].decode(errors="replace") if body[-76:-66] == b'"digest":"' else None
        if not isinstance(refs, (str, type(None))) or not isinstance(payload, (str, type(None))):
            self.add("type", seq, f"event {seq} holds a value of another storage class than it was written with")
        elif refs == "" and payload is None:
            self.emptied.add(seq)
        elif said != (digest(refs, payload) if refs else None) or payload == "" or (payload is not None and not refs):
            self.add("hash", seq, f"event {seq}: its references or its payload are not as they were written")

    def _collect(self, seq: int, bodies: Sequence[bytes], text: bytes) -> None:
        """Remember what events say about others: redactions, seals, the numbering of projects; `text` is all of them.

        What most texts lack is looked for by a single byte first, which takes a hundredth of the time.
        """
        if b"j" in text and b',"project_seq":' in text:
            for number, body in enumerate(bodies, seq):
                found = _PROJECT.search(body)
                if found is not None:
                    self._count(number, found[1], int(found[2]))
        if b"[" in text or text.count(b"{") > len(bodies):
            for number, body in enumerate(bodies, seq):
                if b',"redacts":[' in body or b',"seal":{' in body:
                    self._claims(number, body)

    def _count(self, seq: int, project: bytes, number: int) -> None:
        complete = self.from_genesis and self.first is not None and self.first[0] == 1
        expected = self.projects.get(project, 0 if complete else number - 1) + 1
        if number != expected:
            self.add("gap", seq, f"event {seq} is number {number} of project {project.decode(errors='replace')}, {expected} was due")
        self.projects[project] = number

    def _claims(self, seq: int, body: bytes) -> None:
        try:
            claims = json.loads(body)
            self.redacted.update(dict.fromkeys([int(target) for target in claims.get("redacts", ())], seq))
            if "seal" in claims:
                seal = claims["seal"]
                numbers = {name: int(seal[name]) for name in ("first", "upto", "count")}
                self.seals.append((seq, {"hash": bytes.fromhex(seal["hash"]), **numbers}))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.add("hash", seq, f"event {seq} does not read as an event")

    # -- what must agree in the end ---------------------------------------------------------------------------------

    def _check_start(self, seq: int, body: Any, stored: Any) -> None:
        upto = self.seals[-1][1]["upto"] if self.seals else 0
        if seq <= upto:
            self.add("seal", seq, f"event {seq} is there, but event {self.seals[-1][0]} says that all up to {upto} were pruned")
        elif seq > upto + 1:
            self.add("unsealed_prune", upto + 1, f"events {upto + 1} to {seq - 1} are gone and no seal says so")
        elif seq > 1 and not self.blind and isinstance(body, bytes) and isinstance(stored, bytes):
            before = self.seals[-1][1]["hash"]
            if self.chain.link(before, body) != stored:
                self._broken_link(seq, before, body, stored)

    def _check_seals(self, sealed_by: int) -> None:
        for position, (seq, seal) in enumerate(self.seals):
            follows = self.seals[position - 1][1]["upto"] + 1 if position else seal["first"]
            if seal["first"] != follows or seal["count"] != seal["upto"] - seal["first"] + 1 or not seal["upto"] < seq:
                self.add("seal", seq, f"the seal in event {seq} contradicts itself or the one before it")
        newest = self.seals[-1][0] if self.seals else 0
        if sealed_by > self.head.seq:
            self.add("truncated", sealed_by, f"event {sealed_by} sealed a prune and is gone: the end of the log was cut")
        elif newest != sealed_by:
            self.add("seal", newest or sealed_by, f"audit_state names event {sealed_by} as the newest seal, the log says {newest}")

    def _check_refilled(self, connection: Connection, seq: int) -> None:
        """A redacted event that has its content again, put back by somebody who kept a copy."""
        row = connection.row(self._sql("SELECT CAST(refs AS BLOB) FROM {events} WHERE seq = ?"), (seq,))
        if row is not None and row[0] != b"":
            self.add("hash", seq, f"event {seq} was redacted by event {self.redacted[seq]}, but its content is there")
        elif row is None and self.from_genesis and self.first is not None and seq >= self.first[0] and seq not in self.illegible:
            self.add("gap", seq, f"event {seq} is gone")

    def _check_projects(self, connection: Connection) -> None:
        seen = dict(self.projects)
        complete = self.from_genesis and (self.first is None or self.first[0] == 1)
        for project, last in connection.rows(self._sql("SELECT project_id, last_seq FROM {projects}")):
            number = seen.pop(json.dumps(project, ensure_ascii=False).encode(), 0 if complete else last)
            if number != last:
                self.add("gap", None, f"project {project!r} counted to {last}, its last event is number {number}")
        for name in seen:
            self.add("gap", None, f"the count of project {name.decode(errors='replace')} is gone from audit_projects")

    def _check_anchors(self, connection: Connection) -> None:
        start = self.seals[-1][1] if self.seals else None
        for anchor in sorted(self.anchors, key=lambda head: head.seq):
            if anchor.store_id != self.chain.store_id:
                self.add("wrong_store", anchor.seq, f"an anchor is of store {anchor.store_id}, this is {self.chain.store_id}")
                continue
            found = connection.value(self._sql("SELECT hash FROM {events} WHERE seq = ?"), (anchor.seq,))
            if anchor.seq == 0:
                found = connection.value(self._sql("SELECT genesis FROM {state}")) or self.chain.genesis
            elif found is None and start is not None and anchor.seq == start["upto"]:
                found = start["hash"]
            if anchor.seq > max([self.head.seq, *self.illegible]):
                self.add("truncated", anchor.seq, f"an anchor knows event {anchor.seq}, the log ends at {self.head.seq}")
            elif found is None and start is not None and anchor.seq < start["upto"]:
                self.add("anchor_before_range", anchor.seq, f"event {anchor.seq} of an anchor was pruned; nothing can be said about it")
            elif not isinstance(found, bytes) or found.hex() != anchor.hash:
                self.add("rewritten", anchor.seq, f"event {anchor.seq} is not the one that an anchor knows")
            else:
                self.anchored_to = anchor
        sealed = self.seals[-1][0] if self.seals and self.chain.key is None else 0
        if sealed and (self.anchored_to is None or self.anchored_to.seq < sealed):
            self.add("prune_unanchored", sealed, f"no anchor vouches for event {sealed}, which seals a prune")


def _times(stamps: Sequence[bytes]) -> tuple[float, float] | None:
    """The first and the last of the times that 25 bytes begin with; None where they do not rise."""
    try:
        # From 2001 to 2286, ten digits and a point, texts are in the order of their numbers: the comma behind them is before any
        # digit, and what follows it is the same in all.
        if stamps[0] >= b"1" and {stamp[10] for stamp in stamps} == {ord(".")}:
            rising, ends = sorted(stamps) == stamps, stamps[:: max(1, len(stamps) - 1)]
            times = [float(stamp.partition(b",")[0]) for stamp in ends]
        else:
            times = [float(stamp.partition(b",")[0]) for stamp in stamps]
            rising = sorted(times) == times
    except (ValueError, IndexError):
        return None
    return (times[0], times[-1]) if rising else None
