"""The audit log: appending events one by one and in bulk, and verifying a million of them."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from memstore.audit import HEAD, INSERT
from memstore.audit.chain import LINK

from .harness import Bench, Row, at_most

LOG = "CREATE TABLE log(seq INTEGER PRIMARY KEY, body TEXT, hash BLOB)"
APPEND = "INSERT INTO log(seq, body, hash) VALUES (?, ?, ?)"
WHOLE_LOG = "CREATE TABLE log(seq INTEGER PRIMARY KEY, body TEXT, hash BLOB, salt BLOB, session_id TEXT, entity_id TEXT, payload TEXT)"
WHOLE_APPEND = "INSERT INTO log(seq, body, hash, salt, session_id, entity_id, payload) VALUES (?, ?, ?, ?, ?, ?, ?)"
INDEXES = ("CREATE INDEX log__session ON log(session_id)", "CREATE INDEX log__entity ON log(entity_id)")

PLAIN: dict[str, Any] = {"event_type": "query"}  # no reference, no payload: nothing of it could be redacted
DETAILS = {"tokens": 812, "model": "m"}
WHOLE = {**PLAIN, "session_id": "s-42", "entity_kind": "correction", "entity_id": "c-1", "details": DETAILS}


class RawLog:
    """A hash chain by hand: the text of each event is hashed with the hash before it. The head stays in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.seq, self.head = 0, bytes(32)

    def row(self) -> tuple[Any, ...]:
        self.seq += 1
        body = f'{{"seq":{self.seq},"created_at":{time.time()!r},"event_type":"query"}}'
        self.head = sha256(self.head + body.encode()).digest()
        return self.seq, body, self.head

    def single(self, count: int) -> None:
        run = self.connection.execute
        for _ in range(count):
            run("BEGIN IMMEDIATE")
            run(self.sql, self.row())
            run("COMMIT")

    def bulk(self, count: int) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self.sql, [self.row() for _ in range(count)])
        self.connection.execute("COMMIT")

    sql = APPEND

    def verify(self) -> None:
        head = bytes(32)
        for body, stored in self.connection.execute("SELECT body, hash FROM log ORDER BY seq"):
            head = sha256(head + body.encode()).digest()
            assert head == stored
        assert head == self.head


class RawWholeLog(RawLog):
    """The same with references and payload in columns of their own, of which the body holds a salted digest."""

    sql = WHOLE_APPEND

    def row(self) -> tuple[Any, ...]:
        self.seq += 1
        salt, session, entity, payload = os.urandom(16), "s-42", "c-1", json.dumps({"details": DETAILS})
        digest = sha256(salt + f"{session}:{entity}:{payload}".encode()).hexdigest()
        body = f'{{"seq":{self.seq},"created_at":{time.time()!r},"event_type":"query","entity_kind":"correction","digest":"{digest}"}}'
        self.head = sha256(self.head + body.encode()).digest()
        return self.seq, body, self.head, salt, session, entity, payload

    def verify_digests(self) -> None:
        head = bytes(32)
        rows = self.connection.execute("SELECT body, hash, salt, session_id, entity_id, payload FROM log ORDER BY seq")
        for body, stored, salt, session, entity, payload in rows:
            head = sha256(head + body.encode()).digest()
            assert head == stored
            assert body.endswith(f'"{sha256(salt + f"{session}:{entity}:{payload}".encode()).hexdigest()}"}}')
        assert head == self.head


class OursByHand:
    """Our own table and statements for a chain alone, with no check, no record and no promise around them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.seq = 0

    def single(self, count: int) -> None:
        run = self.connection.execute
        for _ in range(count):
            run("BEGIN IMMEDIATE")
            seq, head, *_ = run(HEAD).fetchone()
            self.seq = seq + 1
            body = f'{{"seq":{self.seq},"created_at":{time.time()!r},"event_type":"query"}}'
            run(INSERT, (self.seq, body, sha256(LINK + head + body.encode()).digest(), None, None))
            run("COMMIT")


def append_audit(bench: Bench) -> Iterator[Row]:
    """Both kinds of event against the bare chain; the findable ones also against raw with the same columns and indexes."""
    count = bench.size(1000)
    plain, whole = bench.store("single-plain"), bench.store("single-whole")
    raw, raw_whole = RawLog(bench.raw("single-raw", LOG)), RawWholeLog(bench.raw("single-raw-whole", WHOLE_LOG, *INDEXES))

    def ours_plain() -> None:
        for _ in range(count):
            plain.audit.append(**PLAIN)

    def ours_whole() -> None:
        for _ in range(count):
            whole.audit.append(**WHOLE)

    by_hand = OursByHand(bench.raw_on_ours("single-by-hand", lambda store: store.audit.append(**PLAIN)))
    *spent, hand = bench.race(
        ours_plain,
        ours_whole,
        lambda: raw.single(count),
        lambda: raw_whole.single(count),
        lambda: by_hand.single(count),
        rounds=9,
        per=count,
    )
    assert plain.audit.head().seq == whole.audit.head().seq == raw.seq == raw_whole.seq == by_hand.seq - 1
    assert plain.audit.verify().ok and whole.audit.verify().ok
    yield from rows("audit append, one commit", spent, 1.5, 2.3)
    yield Row("  by hand alone: our own tables and statements, chain only; raw: chain only, as above", hand, spent[2], None)


def append_audit_many(bench: Bench) -> Iterator[Row]:
    count = bench.size(5000)
    plain, whole = bench.store("bulk-plain"), bench.store("bulk-whole")
    raw, raw_whole = RawLog(bench.raw("bulk-raw", LOG)), RawWholeLog(bench.raw("bulk-raw-whole", WHOLE_LOG, *INDEXES))
    spent = bench.race(
        lambda: plain.audit.append_many([PLAIN] * count),
        lambda: whole.audit.append_many([WHOLE] * count),
        lambda: raw.bulk(count),
        lambda: raw_whole.bulk(count),
        rounds=11,
        per=count,
    )
    assert plain.audit.head().seq == whole.audit.head().seq == raw.seq == raw_whole.seq
    assert plain.audit.verify().ok and whole.audit.verify().ok
    yield from rows(f"audit append_many, {count:,} a commit", spent, 1.6, 2.2)


def rows(work: str, spent: list[float], plain_limit: float, whole_limit: float) -> Iterator[Row]:
    plain, whole, raw, raw_whole = spent
    findable = "session and entity findable, payload"
    yield Row(f"{work}, chain only; raw: BEGIN IMMEDIATE, insert, sha256, COMMIT", plain, raw, at_most(plain_limit))
    yield Row(f"{work}, {findable}; raw: chain only, as above", whole, raw, at_most(whole_limit))
    yield Row("  the same; raw: with both indexes, payload and its salted digest", whole, raw_whole, None)


def verify(bench: Bench) -> Iterator[Row]:
    count = bench.size(1_000_000)
    store, raw = bench.store("verify-plain"), RawLog(bench.raw("verify-raw", LOG))
    fill(store, raw, PLAIN, count)
    ours, floor = bench.race(lambda: verified(store, count), raw.verify, rounds=2, per=count)
    yield Row(f"audit verify, {count:,} events, bodies and links; raw: streaming text + sha256", ours, floor, at_most(1.5))


def verify_digests(bench: Bench) -> Iterator[Row]:
    count = bench.size(1_000_000)
    store, raw = bench.store("verify-whole"), RawWholeLog(bench.raw("verify-raw-whole", WHOLE_LOG))
    fill(store, raw, WHOLE, count)
    ours, floor, whole = bench.race(lambda: verified(store, count), raw.verify, raw.verify_digests, rounds=2, per=count)
    work = f"audit verify, {count:,} events, with payload digests; raw: streaming text + sha256, bodies only"
    yield Row(work, ours, floor, at_most(2.0))
    yield Row("  the same; raw: with digests too", ours, whole, None)


def fill(store: Any, raw: RawLog, event: dict[str, Any], count: int) -> None:
    for first in range(0, count, 20_000):
        store.audit.append_many([event] * min(20_000, count - first))
        raw.bulk(min(20_000, count - first))


def verified(store: Any, count: int) -> None:
    verdict = store.audit.verify()
    assert verdict.ok and verdict.checked == count, verdict


CASES = (append_audit, append_audit_many, verify, verify_digests)
