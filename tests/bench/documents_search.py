"""Documents against a plain FTS5 table that orders by bm25(): running text with very common words, and rare words alone.

Plain is asked for the ten best numbers; ours, in the room, for the same ten. A row says what all of `search` takes, with records and lines
to show.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from memstore import Store

from .harness import Bench, Row, at_most, commit_many

CHUNKS, VOCABULARY, SHELF, QUESTIONS = 30_000, 40_000, 2000, 100
PLAIN = "SELECT rowid FROM plain WHERE plain MATCH ? ORDER BY bm25(plain) LIMIT 10"


class Library(NamedTuple):
    """The same texts on both sides, and questions about them."""

    store: Store
    plain: sqlite3.Connection | None
    running: list[str]  # 8 to 20 neighbouring words of a text
    rare: list[str]  # three words that one text in a hundred has, or fewer


def texts(count: int, rng: random.Random) -> list[str]:
    """Texts of 80 to 200 words that are as common as those of a language: the first stands in nearly every text."""
    words = [f"{rng.choice('abcdefghijklmnopqrstuvwxyz')}{number:x}" for number in range(VOCABULARY)]
    weights = list(accumulate(1 / (rank + 2.7) ** 1.05 for rank in range(VOCABULARY)))
    return [" ".join(rng.choices(words, cum_weights=weights, k=rng.randint(80, 200))) for _ in range(count)]


def library(bench: Bench) -> Library:
    rng, store = random.Random(5), bench.store("library")
    said = texts(bench.size(CHUNKS), rng)
    numbered = list(enumerate(said, 1))
    for first in range(0, len(said), SHELF):
        shelf = store.documents.add_text("", uri=f"shelf {first}")
        store.documents.set_chunks(shelf.id, said[first : first + SHELF])
    held: dict[str, int] = {}
    for text in said:
        for word in set(text.split()):
            held[word] = held.get(word, 0) + 1
    seldom = [word for word, count in held.items() if count <= len(said) // 100 + 1]
    running = [excerpt(rng.choice(said).split(), rng) for _ in range(bench.size(QUESTIONS, least=5))]
    rare = [" ".join(rng.sample(seldom, 3)) for _ in running]
    return Library(store, plain(bench, numbered), running, rare)


def excerpt(words: Sequence[str], rng: random.Random) -> str:
    begin = rng.randrange(len(words) - 20)
    return " ".join(dict.fromkeys(words[begin : begin + rng.randint(8, 20)]))


def plain(bench: Bench, numbered: Sequence[tuple[int, str]]) -> sqlite3.Connection | None:
    raw = bench.raw("plain")
    try:
        raw.execute("CREATE VIRTUAL TABLE plain USING fts5(content, content = '')")
    except sqlite3.OperationalError:  # FTS5 is a build option
        return None
    commit_many(raw, "INSERT INTO plain(rowid, content) VALUES (?, ?)", numbered, SHELF)  # as many commits make as many parts
    return raw


def ranked(bench: Bench) -> Iterator[Row]:
    made = bench.shared(library)
    if made.plain is None:
        return
    kinds = {"running text of 8-20 words, very common ones among them": made.running, "three rare words": made.rare}
    for (what, asked), limit in zip(kinds.items(), (0.5, 1.15)):
        ours, raw = answers(made, asked)
        assert ours() == raw()
        spent, peer = bench.race(ours, raw, rounds=3, per=len(asked))
        yield Row(f"ten best of {bench.size(CHUNKS):,} chunks by {what}", spent, peer, at_most(limit))


def answers(made: Library, asked: Sequence[str]) -> tuple[Callable[[], list[list[int]]], Callable[[], list[list[int]]]]:
    room, peer = made.store.documents, made.plain
    assert peer is not None

    def ours() -> list[list[int]]:
        found = []
        for query in asked:
            with room.db.read(snapshot=True) as connection:
                found.append([number for number, _ in room._index.best(connection, [[query]], [], 10)])
        return found

    return ours, lambda: [[number for (number,) in peer.execute(PLAIN, (" OR ".join(query.split()),))] for query in asked]


def searched(bench: Bench) -> Iterator[Row]:
    made = bench.shared(library)
    for what, asked in {"running text": made.running, "three rare words": made.rare}.items():
        begin = bench.clock()
        for query in asked:
            made.store.documents.search(query)
        yield Row(f"documents.search by {what}, records and snippets included", (bench.clock() - begin) / len(asked), None, None)


CASES = (ranked, searched)
