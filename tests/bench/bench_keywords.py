"""Keyword search against FTS5 with a prefix index, and what indexing adds to an append.

    python tests/bench/bench_keywords.py [MESSAGES]

`rows()` gives (work, our seconds, raw seconds, note); both sides hold the same messages and return the same rows.
"""

from __future__ import annotations

import pathlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import tracemalloc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from memstore import open_store  # noqa: E402

INSERT = "INSERT INTO messages(id, conversation, role, content, created_at) VALUES (?, ?, ?, ?, ?)"
FOUND = (
    "SELECT messages.id, conversation, role, created_at FROM texts JOIN messages ON messages.id = texts.rowid"
    " WHERE texts MATCH ? ORDER BY texts.rowid DESC LIMIT 20"
)


def texts(count, seed=7):
    """Messages of 12 words; half the words are common, half spread over a vocabulary of half as many words as messages."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weights = [1 / (place + 3) for place in range(26)]
    vocabulary = ["".join(rng.choices(letters, weights, k=rng.randint(3, 9))) for _ in range(max(500, count // 2))]
    common = vocabulary[:500]
    return [" ".join(rng.choice(common if step % 2 else vocabulary) for step in range(12)) for _ in range(count)]


def raw_database(path):
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, conversation INTEGER, role TEXT, content TEXT, created_at REAL)")
    return connection


def insert_raw(connection, contents, first):
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, [(first + place, 1, "user", content, time.time()) for place, content in enumerate(contents)])
    connection.execute("COMMIT")


def timed(work, *arguments):
    begin = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begin


def rows(count=20_000, folder=None):
    """Measure everything; without FTS5 the search rows have no raw side and are left out."""
    with tempfile.TemporaryDirectory() as made:
        place = pathlib.Path(folder or made)
        contents = texts(count)
        raw = raw_database(place / "raw.db")
        with open_store(place / "ours.db") as store:
            chat = store.chat.create_conversation().id
            result = [bulk(store, chat, raw, contents)]
            result += searches(store, raw, contents)
            result.append(append_and_search(store, chat, raw, contents[:400], count))
        raw.close()
        result.append(reopened(place, contents))
        return result


def bulk(store, chat, raw, contents):
    ours = floor = 0.0
    for first in range(0, len(contents), 5000):
        batch = [{"role": "user", "content": content} for content in contents[first : first + 5000]]
        floor += timed(insert_raw, raw, contents[first : first + 5000], first + 1)
        ours += timed(store.chat.append_many, chat, batch)
    ours += timed(store.keywords.catch_up)
    return "append_many with the keyword index, 5,000 a commit", ours, floor, f"{len(contents)} messages"


def searches(store, raw, contents):
    try:
        raw.execute("CREATE VIRTUAL TABLE texts USING fts5(content, content='messages', content_rowid='id', prefix='2 3 4')")
    except sqlite3.OperationalError:
        return []
    raw.execute("INSERT INTO texts(texts) VALUES ('rebuild')")

    def fts(query):
        return raw.execute(FOUND, (f'"{query}"*',)).fetchall()

    result = []
    rng = random.Random(3)
    store.keywords.search("warm")
    for length in (2, 3, 4, 5, 6):
        long_enough = [word for content in rng.choices(contents, k=200) for word in content.split() if len(word) >= length]
        asked = [word[:length] for word in rng.choices(long_enough, k=200)]
        ours, floor = [], []
        for query in asked:
            ours.append(timed(store.keywords.search, query))
            floor.append(timed(fts, query))
            assert len(store.keywords.search(query)) == len(fts(query)), query
        worst = statistics.quantiles(ours, n=100)[98]
        note = f"p99 {worst * 1e3:.2f} ms"
        result.append((f"prefix search, {length} letters, p50", statistics.median(ours), statistics.median(floor), note))
    return result


def append_and_search(store, chat, raw, contents, count):
    def ours():
        for content in contents:
            store.chat.append(chat, "user", content)
        assert store.keywords.search(contents[-1])

    def floor():
        for place, content in enumerate(contents):
            raw.execute("BEGIN IMMEDIATE")
            raw.execute(INSERT, (count + place + 1, 1, "user", content, time.time()))
            raw.execute("COMMIT")

    return "400 appends and one complete search", timed(ours), timed(floor), ""


def reopened(place, contents):
    tracemalloc.start()
    with open_store(place / "ours.db") as store:
        before = tracemalloc.get_traced_memory()[0]
        seconds = timed(store.keywords.search, "zzzz")
        for word in contents[0].split():
            store.keywords.search(word)
        held = (tracemalloc.get_traced_memory()[0] - before) / 1e6
    tracemalloc.stop()
    with open_store(place / "ours.db") as store:
        seconds = timed(store.keywords.search, "zzzz")
    return "reopen and first search", seconds, 0.3, f"against 0.3 s; memory {held:.1f} MB"


if __name__ == "__main__":
    for work, ours, floor, note in rows(*map(int, sys.argv[1:2])):
        print(f"{work:52} {ours * 1e3:10.3f} ms {floor * 1e3:10.3f} ms {ours / floor:7.2f}x  {note}")
