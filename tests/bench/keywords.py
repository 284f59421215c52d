"""Keyword search against FTS5 with prefix='2 3 4' over the same messages, what it costs an append, memory and reopening."""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from memstore import Store

from .harness import INSERT, MESSAGES, Bench, Row, as_messages, at_most, batches, child, commit_many, texts

LENGTHS = {2: 1.5, 3: 1.0, 4: 1.0, 5: 1.0, 6: 1.0}  # letters asked for, and the bound on the median
FTS = "CREATE VIRTUAL TABLE found USING fts5(content, content='messages', content_rowid='id', prefix='2 3 4')"
FOUND = """
    SELECT messages.id, messages.conversation, messages.role, messages.created_at
    FROM found JOIN messages ON messages.id = found.rowid
    WHERE found MATCH ?
    ORDER BY found.rowid DESC
    LIMIT 20
"""
FOUND_TEXT = FOUND.replace("messages.role,", "messages.role, messages.content,")
FOUND_SNIPPET = FOUND_TEXT.replace("messages.created_at", "messages.created_at, snippet(found, 0, '', '', '', 16)")


class Corpus(NamedTuple):
    """The same messages in a store and in a raw database; `numbers` has the raw key of each of our ids."""

    store: Store
    connection: sqlite3.Connection
    chat: str
    texts: list[str]
    numbers: dict[str, int]


def corpus(bench: Bench) -> Corpus:
    contents = texts(bench.size(200_000))
    store, connection = bench.store("ours"), bench.raw("raw", MESSAGES)
    chat = store.chat.create_conversation().id
    ids = [message.id for batch in batches(contents) for message in store.chat.append_many(chat, as_messages(batch))]
    store.keywords.catch_up()
    commit_many(connection, INSERT, [(number, 1, "user", text, time.time()) for number, text in enumerate(contents, 1)])
    return Corpus(store, connection, chat, contents, {id: number for number, id in enumerate(ids, 1)})


def fts5(bench: Bench) -> sqlite3.Connection | None:
    """The corpus under FTS5; None where this SQLite has none, and there is nothing to compare with."""
    connection = bench.shared(corpus).connection
    try:
        connection.execute(FTS)
    except sqlite3.OperationalError:
        return None
    connection.execute("INSERT INTO found(found) VALUES ('rebuild')")
    return connection


def prefix(bench: Bench) -> Iterator[Row]:
    """Latency of single queries."""
    held, connection = bench.shared(corpus), bench.shared(fts5)
    if connection is None:
        return
    words = len({word for text in held.texts for word in text.split()})
    among = f"20 newest of {len(held.texts):,}, {words:,} distinct words"
    worst: list[list[float]] = []

    def raw(query: str) -> list[tuple[int, ...]]:
        return connection.execute(FOUND, (f'"{query}"*',)).fetchall()

    for length, limit in LENGTHS.items():
        asked = beginnings(bench, length)
        for query in asked:
            assert [held.numbers[hit.item_id] for hit in held.store.keywords.search(query)] == [row[0] for row in raw(query)], query
        times = bench.queries(held.store.keywords.search, raw, asked)
        worst.append([statistics.quantiles(spent, n=100)[98] for spent in times])
        ours, floor = map(statistics.median, times)
        yield Row(f"prefix search, {length} letters, {among}, p50; raw: FTS5 prefix='2 3 4'", ours, floor, at_most(limit))
    yield Row("prefix search, p99 of the slowest length; raw: FTS5 prefix='2 3 4'", *max(worst), at_most(3e-3, "s"))


def beginnings(bench: Bench, length: int) -> list[str]:
    """Beginnings of words as they occur, common words more often."""
    held, rng, count = bench.shared(corpus), random.Random(length), bench.size(300)
    said = rng.sample(held.texts, min(len(held.texts), count * 3))
    words = [word[:length] for text in said for word in text.split() if len(word) >= length]
    return rng.sample(words, min(count, len(words)))


def with_text(bench: Bench) -> Iterator[Row]:
    held, connection = bench.shared(corpus), bench.shared(fts5)
    if connection is None:
        return
    asked = beginnings(bench, 3)

    def raw(query: str) -> list[tuple[object, ...]]:
        return connection.execute(FOUND_SNIPPET, (f'"{query}"*',)).fetchall()

    for query in asked:
        assert [hit.message.content for hit in held.store.chat.search(query)] == [row[3] for row in raw(query)], query
    ours, floor = map(statistics.median, bench.queries(held.store.chat.search, raw, asked))
    yield Row("chat.search, 3 letters, 20 newest with text and snippet, p50; raw: FTS5 with both", ours, floor, None)


REOPEN = """
import json, sys, time
from memstore import open_store
begin = time.perf_counter(), time.process_time()
with open_store(sys.argv[1]) as store:
    store.keywords.search(sys.argv[2])
    print(json.dumps([time.perf_counter() - begin[0], time.process_time() - begin[1]]))
"""
MEMORY = """
import json, sys, tracemalloc
from memstore import open_store
with open_store(sys.argv[1]) as store:
    store.chat.messages(sys.argv[2], limit=1)
    tracemalloc.start()
    for word in sys.argv[3:]:
        store.keywords.search(word)
    print(json.dumps(tracemalloc.get_traced_memory()[0] / 1e6))
"""


def answer(code: str, *arguments: str) -> object:
    with child("-c", code, *arguments) as process:
        told, _ = process.communicate(timeout=120)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, code)
    return json.loads(told)


def reopen(bench: Bench) -> Iterator[Row]:
    held = bench.shared(corpus)
    spent = []
    for text in held.texts[: bench.rounds(5) + 1]:
        told = answer(REOPEN, str(held.store.path), text.split()[1])
        assert isinstance(told, list)
        spent.append(told[bench.clock is time.process_time])
    work = f"open and first search in a fresh process, {len(held.texts):,} messages"
    yield Row(work, statistics.median(spent[1:]), None, at_most(0.3, "s"))


def memory(bench: Bench) -> Iterator[Row]:
    held = bench.shared(corpus)
    words = sorted({word[:3] for text in held.texts[:: max(1, len(held.texts) // 2000)] for word in text.split()})
    used = answer(MEMORY, str(held.store.path), held.chat, *words)
    assert isinstance(used, float)
    yield Row(f"memory of the index after {len(words):,} searches over {len(held.texts):,} messages", used, None, at_most(60, "MB"), "MB")


def append_and_search(bench: Bench) -> Iterator[Row]:
    """Rounds of 4,000 appends, so that each pays for the batch that the index takes in once in 4,096."""
    held = bench.shared(corpus)
    count, searches = bench.size(400), 10
    contents = held.texts[: count * searches]

    def ours() -> None:
        for batch in batches(contents, count):
            for text in batch:
                held.store.chat.append(held.chat, "user", text)
            assert held.store.keywords.search(batch[-1])

    def raw() -> None:
        run = held.connection.execute
        for text in contents:
            run("BEGIN IMMEDIATE")
            run("INSERT INTO messages(conversation, role, content, created_at) VALUES (?, ?, ?, ?)", (1, "user", text, time.time()))
            run("COMMIT")

    spent = bench.race(ours, raw, rounds=5, per=len(contents))
    assert held.store.chat.search(contents[-1])[0].message.content == contents[-1]
    work = f"{count} appends, one commit each, and one complete search, an append; raw: {count} appends"
    yield Row(work, *spent, at_most(3.0))


CASES = (prefix, with_text, reopen, memory, append_and_search)
