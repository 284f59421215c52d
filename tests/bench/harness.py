"""How two sides are raced, and how a row of the table is judged and shown.

1. Absolute times of a shared machine say little. What counts is the ratio of two sides that took turns, each going first as often
   as the other: the median of rounds, the first of which warms up and is not counted.
2. Both sides do the same work on the same texts, and the case asserts that they end up with the same rows.
3. Raw is what a careful person writes with sqlite3 alone: integer keys, statements by hand, and the pragmas that a store sets.
4. The garbage collector runs for both. What setting up has left is frozen first, so that neither side pays for walking it.
"""

from __future__ import annotations

import gc
import os
import pathlib
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar

from memstore import Store, open_store

T = TypeVar("T")
Side = Callable[[], object]

TESTS = pathlib.Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
SCALES = {"full": 1.0, "small": 1 / 20, "tiny": 1 / 1000}

MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, conversation INTEGER, role TEXT, content TEXT, created_at REAL)"
INSERT = "INSERT INTO messages(id, conversation, role, content, created_at) VALUES (?, ?, ?, ?, ?)"


class Target(NamedTuple):
    """A bound on the ratio, or with a unit on our own figure."""

    sign: str
    limit: float
    unit: str | None

    def met(self, row: Row) -> bool:
        value = row.ratio if self.unit is None else row.ours
        assert value is not None
        return value <= self.limit if self.sign == "<=" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}" if self.unit is None else f"{self.sign} {figure(self.limit, self.unit)}"


def at_most(limit: float, unit: str | None = None) -> Target:
    return Target("<=", limit, unit)


def at_least(limit: float, unit: str | None = None) -> Target:
    return Target(">=", limit, unit)


class Row(NamedTuple):
    """One line of the table; without a target it is there to compare with."""

    work: str
    ours: float
    raw: float | None
    target: Target | None
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw and self.unit else None  # the ratio of two shares says nothing

    def cells(self) -> tuple[str, ...]:
        met = "" if self.target is None else "yes" if self.target.met(self) else "NO"
        raw = "" if self.raw is None else figure(self.raw, self.unit)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.work, figure(self.ours, self.unit), raw, ratio, "" if self.target is None else str(self.target), met


def figure(value: float, unit: str) -> str:
    """A figure with its unit, seconds in the size that reads best."""
    if unit == "s":
        for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "us")):
            if value * factor >= 1:
                return f"{value * factor:.3g} {name}"
        return f"{value * 1e6:.2f} us" if value else "0 s"
    shown = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
    return f"{shown} {unit}".rstrip()


class Bench:
    """A folder with stores and raw databases in it, the sizes of the cases, and the clock."""

    def __init__(
        self, folder: pathlib.Path, *, scale: float = 1.0, rounds: int | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.folder = folder
        self.scale = scale
        self.clock = clock
        self._rounds = rounds
        self._open = ExitStack()
        self._shared: dict[Callable[..., Any], Any] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()

    def size(self, full: int, least: int = 20) -> int:
        """How many of something at this scale."""
        return max(least, int(full * self.scale))

    def rounds(self, usual: int) -> int:
        return usual if self._rounds is None else self._rounds

    def shared(self, make: Callable[[Bench], T]) -> T:
        """What several cases of a group need and is dear to build: made once."""
        if make not in self._shared:
            self._shared[make] = make(self)
        return self._shared[make]

    def path(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}.db"

    def store(self, name: str, **options: Any) -> Store:
        return self._open.enter_context(open_store(self.path(name), **options))

    def raw(self, name: str, *ddl: str, synchronous: str = "NORMAL") -> sqlite3.Connection:
        connection = connect(self.path(name), synchronous)
        self._open.callback(connection.close)
        for statement in ddl:
            connection.execute(statement)
        return connection

    def raw_on_ours(self, name: str, begin: Callable[[Store], object]) -> sqlite3.Connection:
        """A plain connection to a file that a store has begun and left."""
        with open_store(self.path(name)) as store:
            begin(store)
        return self.raw(name)

    def race(self, *sides: Side, rounds: int = 7, fresh: bool = False, per: int = 1) -> list[float]:
        """The median seconds of each side, which take turns; with `fresh` a side is called untimed and returns what is timed."""
        times: list[list[float]] = [[] for _ in sides]
        gc.collect()
        gc.freeze()
        try:
            for turn in range(self.rounds(rounds) + 1):
                order = range(len(sides)) if turn % 2 else reversed(range(len(sides)))
                for side in order:
                    work = sides[side]() if fresh else sides[side]
                    assert callable(work)
                    gc.collect()
                    begin = self.clock()
                    work()
                    times[side].append(self.clock() - begin)
        finally:
            gc.unfreeze()
        return [statistics.median(spent[1:]) / per for spent in times]

    def queries(self, ours: Callable[[str], object], raw: Callable[[str], object], asked: Sequence[str]) -> list[list[float]]:
        """The seconds of each single query on either side."""
        times: list[list[float]] = [[], []]
        gc.collect()
        gc.freeze()
        try:
            for turn in range(self.rounds(3) + 1):
                for place, query in enumerate(asked):
                    for side in (0, 1) if (turn + place) % 2 else (1, 0):
                        begin = self.clock()
                        (ours, raw)[side](query)
                        spent = self.clock() - begin
                        if turn:
                            times[side].append(spent)
        finally:
            gc.unfreeze()
        return times


def connect(path: pathlib.Path | str, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """Raw sqlite3 with the pragmas that a store sets."""
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def commit_many(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[Any, ...]], batch: int = 5000) -> None:
    for first in range(0, len(rows), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(sql, rows[first : first + batch])
        connection.execute("COMMIT")


def child(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A fresh Python that can import memstore and this package, and nothing that was set for this one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(TESTS)))}
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment, **options)


def texts(count: int, seed: int = 7) -> list[str]:
    """Messages of 12 words, half of them common, half from a vocabulary of half as many words as there are messages."""
    rng = random.Random(seed)
    letters, weights = "etaoinshrdlucmfwypvbgkjqxz", [1 / (place + 3) for place in range(26)]
    vocabulary: dict[str, None] = {}
    while len(vocabulary) < max(600, count // 2):
        vocabulary["".join(rng.choices(letters, weights, k=rng.randint(3, 9)))] = None
    rare = list(vocabulary)
    drawn = zip(*(rng.choices(rare[:500] if place % 2 else rare, k=count) for place in range(12)))
    return [" ".join(words) for words in drawn]


def as_messages(contents: Sequence[str]) -> list[dict[str, str]]:
    return [{"role": "user", "content": content} for content in contents]


def batches(items: Sequence[T], size: int = 5000) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def machine() -> str:
    """The kind of machine, in words."""
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}"
