"""A folder of 20,000 paragraphs that comes in, again when nothing has changed, and what is told for questions about it.

The words are drawn as running text has them: the commonest is a fifteenth of all, most stand a few times. Beside the chunks the store
that is asked believes some thousand things.
"""

from __future__ import annotations

import hashlib
import itertools
import pathlib
import random
import statistics
from collections.abc import Iterator

from memstore import Store

from .harness import Bench, Row, at_least, at_most

PARAGRAPHS, BELIEFS, ASKED = 20_000, 4_000, 200
A_FILE = 40  # paragraphs, a heading to every four
WORDS = 30_000


class Speaker:
    """Says words of one language, each as often as its rank among them has it; the seed decides which."""

    def __init__(self, seed: int) -> None:
        self.rng, draw = random.Random(seed), random.Random(3).choices
        letters, shares = "etaoinshrdlucmfwypvbgkjqxz", [1 / (place + 3) for place in range(26)]
        drawn = ("".join(draw(letters, shares, k=2 + min(9, rank.bit_length() // 2))) for rank in range(1, WORDS))
        self.words = list(dict.fromkeys(drawn))
        self.often = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(self.words))))

    def say(self, least: int, most: int) -> str:
        return " ".join(self.rng.choices(self.words, cum_weights=self.often, k=self.rng.randint(least, most)))


def folder(bench: Bench) -> pathlib.Path:
    """The files of a folder."""
    speaker, root = Speaker(3), bench.folder / "texts"
    root.mkdir()
    for number in range(0, bench.size(PARAGRAPHS), A_FILE):
        said = [speaker.say(100, 140).capitalize() + "." for _ in range(min(A_FILE, bench.size(PARAGRAPHS) - number))]
        parts = [f"## {speaker.say(2, 4)}\n\n{text}" if place % 4 == 0 else text for place, text in enumerate(said)]
        (root / f"{number:06}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return root


def chunks(store: Store) -> int:
    return int(store.query("SELECT count(*) AS n FROM chunks")[0]["n"])


def ingest(bench: Bench) -> Iterator[Row]:
    """The first time against sqlite3 and FTS5 by hand, which are told where paragraphs end; the second against reading and hashing."""
    root, store = bench.shared(folder), bench.store("asking")
    begin = bench.clock()
    report = store.documents.add_files(root)
    spent = bench.clock() - begin
    made = chunks(store)
    assert report.added == len(list(root.iterdir())) and made >= bench.size(PARAGRAPHS) // 2
    raw = bench.raw("raw", "CREATE TABLE chunks(id INTEGER PRIMARY KEY, file TEXT, content TEXT)",
                    "CREATE VIRTUAL TABLE words USING fts5(content, content='chunks', content_rowid='id')")  # fmt: skip
    begin = bench.clock()
    raw.execute("BEGIN IMMEDIATE")
    for path in sorted(root.iterdir()):
        rows = [(str(path), part) for part in path.read_text(encoding="utf-8").split("\n\n") if not part.startswith("#")]
        raw.executemany("INSERT INTO chunks(file, content) VALUES (?, ?)", rows)
    raw.execute("INSERT INTO words(rowid, content) SELECT id, content FROM chunks")
    raw.execute("COMMIT")
    by_hand = bench.clock() - begin
    yield Row(f"a folder comes in, {made:,} chunks", made / spent, bench.size(PARAGRAPHS) / by_hand, at_least(1500, "/s"), "/s")

    def again() -> None:
        assert store.documents.add_files(root).unchanged == report.added

    def read() -> None:
        for path in sorted(root.iterdir()):
            hashlib.sha256(path.read_bytes()).hexdigest()

    spent = bench.race(again, read, rounds=3)
    yield Row("the same folder once more, nothing changed; raw: read and hash", *spent, None)


def informed(bench: Bench) -> Store:
    """The store with the folder, and with beliefs of all kinds that use the same words."""
    store, speaker = bench.store("informed"), Speaker(3)
    store.documents.add_files(bench.shared(folder))
    with store.transaction():
        store.chat.create_project("bench")
        for number in range(bench.size(BELIEFS)):
            kind = "preference" if number % 50 == 0 else ("project", "knowledge", "episodic")[number % 3]
            store.memories.add(kind, f"{speaker.say(8, 16)} {number}", project="bench")
            if number % 4 == 0:
                store.corrections.add(speaker.say(3, 6), f"{speaker.say(5, 9)} {number}", rejected=speaker.say(4, 6))
                store.knowledge.add_entity("Component", f"{speaker.say(1, 2)} {number}", description=speaker.say(5, 9), project="bench")
            if number % 40 == 0:
                store.memories.set_state("bench", f"k.{number}", speaker.say(3, 6))
    store.optimize()
    return store


def questions(bench: Bench, store: Store) -> Iterator[str]:
    """What somebody asks: some words as they come, and some of the rarer ones of a text that is there."""
    speaker = Speaker(5)
    rank = {word: place for place, word in enumerate(speaker.words)}
    texts = [row["content"] for row in store.query("SELECT content FROM chunks ORDER BY pk")]
    for _ in range(bench.size(ASKED)):
        said = sorted({word for word in speaker.rng.choice(texts).split() if word in rank}, key=rank.__getitem__)
        rare = speaker.rng.sample(said[len(said) // 2 :], min(4, len(said) // 2))
        yield f"{speaker.say(3, 6)} {' '.join(rare)}"


def ask(bench: Bench) -> Iterator[Row]:
    store, spent = bench.shared(informed), []
    for query in questions(bench, store):
        twice = []
        for _ in range(2):  # the second time tells less of who else has the disk
            begin = bench.clock()
            pack = store.context(query, project="bench")
            twice.append(bench.clock() - begin)
        assert pack.tokens <= pack.max_tokens
        spent.append(min(twice))
    beliefs = bench.size(BELIEFS)
    yield Row(f"what is told for a question, beside {beliefs:,} memories, p50", statistics.median(spent), None, None)
    p95 = statistics.quantiles(spent, n=20)[18]
    yield Row(f"what is told for a question, of {chunks(store):,} chunks, p95", p95, None, at_most(30e-3, "s"))


CASES = (ingest, ask)
