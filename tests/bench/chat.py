"""Conversations: appending one by one and in bulk, reading pages, records against tuples, and what a hundredfold store costs."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from memstore import Message, Store, open_store
from memstore.chat import _ADVANCE, _INSERT, _NEXT

from .harness import INSERT, MESSAGES, Bench, Row, as_messages, at_most, batches, commit_many, connect, texts

INDEX_BATCH = 4096  # messages that the keyword index takes in at once: a round of as many pays for exactly one
PAGE = """
    SELECT id, conversation, role, content, created_at
    FROM messages
    WHERE id BETWEEN ? AND ?
    ORDER BY id DESC
    LIMIT ?
"""


def unindexed(store: Store) -> Store:
    """Leave the keyword index for later.

    What is behind is indexed by the append that makes a batch full, and a store has no setting against it. Its public methods
    do nothing on this one object; search stays complete, and `del store.keywords.catch_up` brings it back.
    """
    store.keywords.catch_up = store.keywords.keep_up = lambda: None
    return store


def begin(store: Store) -> None:
    store.chat.append(store.chat.create_conversation(id="c").id, "user", "first")


class Single:
    """Appends one by one into a store and into a raw database, the same texts."""

    def __init__(self, bench: Bench, name: str, count: int, *, durability: str = "normal") -> None:
        self.store = bench.store(f"{name}-ours", durability=durability)
        self.chat = self.store.chat.create_conversation().id
        self.connection = bench.raw(f"{name}-raw", MESSAGES, synchronous=durability.upper())
        self.texts = texts(count)
        self.raw_id = 0
        self.whole = bench.raw_on_ours(f"{name}-whole", begin)

    def ours(self) -> None:
        append, chat = self.store.chat.append, self.chat
        for content in self.texts:
            append(chat, "user", content)

    def raw(self) -> None:
        run = self.connection.execute
        for content in self.texts:
            self.raw_id += 1
            run("BEGIN IMMEDIATE")
            run(INSERT, (self.raw_id, 1, "user", content, time.time()))
            run("COMMIT")

    def raw_whole(self) -> None:
        """Our own schema and statements by hand, with no check, no record and no promise around them."""
        run = self.whole.execute
        for content in self.texts:
            run("BEGIN IMMEDIATE")
            owner, place, arrival, _ = run(_NEXT, ("c",)).fetchone()
            now, arrival = time.time(), arrival + 1
            run(_INSERT, ((owner << 32) + place + 1, arrival, 0, f"{int(now * 1000):012x}-{arrival:020x}", "user", content, now))
            run(_ADVANCE, (place + 1, now, arrival, owner))
            run("COMMIT")

    def assert_same(self) -> None:
        stored = [message.content for message in self.store.chat.messages(self.chat, limit=None)]
        assert stored == [row[0] for row in self.connection.execute("SELECT content FROM messages ORDER BY id")]


def append(bench: Bench) -> Iterator[Row]:
    count = bench.size(2000)
    work = Single(bench, "append", count)
    unindexed(work.store)
    ours, raw, whole = bench.race(work.ours, work.raw, work.raw_whole, rounds=11, per=count)
    work.assert_same()
    yield Row("append one message, one commit; keyword index left for later", ours, raw, at_most(1.8))
    yield Row("  the same; raw: our own tables and statements, by hand", ours, whole, None)
    yield Row("  by hand alone: our own tables and statements; raw: the bare insert", whole, raw, None)


def append_indexed(bench: Bench) -> Iterator[Row]:
    count = bench.size(INDEX_BATCH)
    work = Single(bench, "indexed", count)
    ours, raw = bench.race(work.ours, work.raw, per=count)
    work.assert_same()
    yield Row("append one message, one commit, with its share of the keyword index; raw: no index", ours, raw, at_most(2.3))


def append_full(bench: Bench) -> Iterator[Row]:
    count = bench.size(300)
    work = Single(bench, "full", count, durability="full")
    ours, raw = bench.race(work.ours, work.raw, per=count)
    work.assert_same()
    yield Row('append one message, one commit, durability="full"; raw: synchronous=FULL', ours, raw, None)


class Bulk:
    """The same messages into a fresh store and a fresh raw database each round, 5,000 a commit."""

    def __init__(self, bench: Bench, *, indexed: bool) -> None:
        self.bench = bench
        self.indexed = indexed
        self.texts = texts(bench.size(100_000))
        self.files = 0
        self.store: Store | None = None
        self.connection: sqlite3.Connection | None = None

    def _path(self) -> str:
        self.files += 1
        return str(self.bench.path(f"bulk-{self.indexed}-{self.files}"))

    def ours(self) -> object:
        if self.store is not None:
            self.store.close()
        store = self.store = open_store(self._path())
        if not self.indexed:
            unindexed(store)
        chat = store.chat.create_conversation(id="c").id
        said = [as_messages(batch) for batch in batches(self.texts)]

        def timed() -> None:
            for messages in said:
                store.chat.append_many(chat, messages)
            store.keywords.catch_up()

        return timed

    def raw(self) -> object:
        if self.connection is not None:
            self.connection.close()
        connection = self.connection = connect(self._path())
        connection.execute(MESSAGES)

        def timed() -> None:
            commit_many(connection, INSERT, [(number, 1, "user", text, time.time()) for number, text in enumerate(self.texts, 1)])

        return timed

    def row(self, work: str, limit: float) -> Row:
        ours, raw = self.bench.race(self.ours, self.raw, rounds=3, fresh=True, per=len(self.texts))
        assert self.store is not None and self.connection is not None
        stored = [message.content for message in self.store.chat.messages("c", limit=None)]
        assert stored == [row[0] for row in self.connection.execute("SELECT content FROM messages ORDER BY id")] == self.texts
        self.store.close()
        self.connection.close()
        return Row(work, ours, raw, at_most(limit))


def append_many(bench: Bench) -> Iterator[Row]:
    for indexed, limit in ((False, 2.0), (True, 5.0)):
        said = "with the keyword index; raw: none" if indexed else "without the keyword index"
        work = Bulk(bench, indexed=indexed)
        yield work.row(f"append_many of {len(work.texts):,} messages, 5,000 a commit, {said}", limit)


class Many(NamedTuple):
    """Conversations of the same length, in a store and in a raw database."""

    store: Store
    connection: sqlite3.Connection
    chats: list[str]
    length: int
    texts: list[str]

    @property
    def size(self) -> int:
        return len(self.chats) * self.length


def filled(bench: Bench, name: str, conversations: int, length: int, contents: list[str]) -> Many:
    store = unindexed(bench.store(f"{name}-ours"))
    connection = bench.raw(f"{name}-raw", MESSAGES)
    chats = [store.chat.create_conversation().id for _ in range(conversations)]
    for place, chat in enumerate(chats):
        said = [contents[(place * length + number) % len(contents)] for number in range(length)]
        store.chat.append_many(chat, as_messages(said))
        commit_many(connection, INSERT, [(place << 32 | number, place, "user", text, 0.0) for number, text in enumerate(said, 1)])
    return Many(store, connection, chats, length, contents)


def million(bench: Bench) -> Many:
    """A million messages in a thousand conversations."""
    return filled(bench, "million", bench.size(1000), bench.size(1000, 60), texts(bench.size(200_000)))


def last_50(bench: Bench) -> Iterator[Row]:
    many = bench.shared(million)
    order = random.Random(1).sample(range(len(many.chats)), len(many.chats))

    def ours(place: int) -> list[Message]:
        return many.store.chat.messages(many.chats[place], limit=50)

    def raw(place: int) -> list[tuple[Any, ...]]:
        rows = many.connection.execute(PAGE, (place << 32, (place << 32) + 0xFFFFFFFF, 50)).fetchall()
        rows.reverse()
        return rows

    for place in order[:20]:
        assert [message.content for message in ours(place)] == [row[3] for row in raw(place)]
    spent = bench.race(lambda: [ours(place) for place in order], lambda: [raw(place) for place in order], rounds=9, per=len(order))
    work = f"last 50 of one of {len(many.chats):,} conversations among {many.size:,} messages, as records; raw: tuples"
    yield Row(work, *spent, at_most(1.3))


def long_chat(bench: Bench) -> Many:
    """One conversation of 100,000 messages."""
    count = bench.size(100_000, 2000)
    return filled(bench, "long", 1, count, texts(count))


def pages(bench: Bench) -> Iterator[Row]:
    many, size = bench.shared(long_chat), 100
    chat, read = many.chats[0], many.store.chat.messages
    walked = [read(chat, limit=size)]
    while page := read(chat, limit=size, before=walked[-1][0].id):
        walked.append(page)
    assert [message.content for page in reversed(walked) for message in page] == many.texts
    cursor = walked[-2][0].id
    repeats = range(bench.size(200))

    def last() -> None:
        for _ in repeats:
            read(chat, limit=size, before=cursor)

    def first() -> None:
        for _ in repeats:
            read(chat, limit=size)

    spent = bench.race(last, first, rounds=11, per=len(repeats))
    yield Row(f"page {len(walked):,} of a conversation of {len(many.texts):,}, {size} a page; raw: our page 1", *spent, at_most(1.1))


def row_to_record(bench: Bench) -> Iterator[Row]:
    many, count = bench.shared(long_chat), bench.size(10_000)
    chat = many.chats[0]

    def ours() -> object:
        return many.store.chat.messages(chat, limit=count)

    def raw() -> list[tuple[Any, ...]]:
        rows = many.connection.execute(PAGE, (0, 0xFFFFFFFF, count)).fetchall()
        rows.reverse()
        return rows

    def raw_records() -> list[Message]:
        return [Message(str(key), chat, role, content, at) for key, _, role, content, at in raw()]

    assert [message.content for message in many.store.chat.messages(chat, limit=count)] == [message.content for message in raw_records()]
    read, fetched, made = bench.race(ours, raw, raw_records, rounds=15, per=count)
    yield Row(f"row to record, {count:,} messages in one read; raw: fetchall of the same five columns", read, fetched, at_most(1.25))
    yield Row("  the same; raw: each row made a record of the same class by hand", read, made, None)


def growth(bench: Bench) -> Iterator[Row]:
    large = bench.shared(million)
    small = filled(bench, "small", bench.size(10, 2), large.length, large.texts)
    count = bench.size(500)

    def append_to(many: Many) -> None:
        for text in large.texts[:count]:
            many.store.chat.append(many.chats[0], "user", text)

    spent = bench.race(partial(append_to, large), partial(append_to, small), rounds=11, per=count)
    yield Row(f"growth: append one message at {large.size:,} rows; raw: ourselves at {small.size:,}", *spent, at_most(1.5))
    for many in (large, small):
        del many.store.keywords.catch_up
        many.store.keywords.catch_up()
    rng = random.Random(5)
    said = large.texts[: small.size]
    asked = [rng.choice(rng.choice(said).split())[: rng.randint(2, 6)] for _ in range(bench.size(1000))]
    times = bench.queries(large.store.keywords.search, small.store.keywords.search, asked)
    work = f"growth: prefix search, 2 to 6 letters, p50, at {large.size:,} rows; raw: ourselves at {small.size:,}"
    yield Row(work, *map(statistics.median, times), at_most(1.5))


CASES = (append, append_indexed, append_full, append_many, last_50, growth, pages, row_to_record)
