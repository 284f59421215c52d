"""Helpers for tests of code that uses memstore, and of memstore itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from .kernel import files
from .store import Store, open_store


class FakeClock:
    """A clock that stands still until told to move; give it to `open_store(clock=...)`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Move the clock, backwards too, and return the new time."""
        self.now += seconds
        return self.now


@contextlib.contextmanager
def temporary_store(**options: Any) -> Iterator[Store]:
    """Open a store in a folder of its own that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="memstore-") as folder, open_store(os.path.join(folder, "agent.db"), **options) as store:
        yield store


@contextlib.contextmanager
def recorded_statements(store: Store) -> Iterator[list[str]]:
    """Collect every SQL statement that the store runs inside the block, also on connections that it opens for it."""
    database = store._database
    seen: list[str] = []
    traced = [connection.raw for connection in (database.writer, *database.idle) if connection is not None]
    connect = files.connect

    def tracing_connect(place: str, **options: Any) -> Any:
        raw = connect(place, **options)
        if place == database.place:
            traced.append(raw)
            raw.set_trace_callback(seen.append)
        return raw

    for raw in traced:
        raw.set_trace_callback(seen.append)
    files.connect = tracing_connect
    try:
        yield seen
    finally:
        files.connect = connect
        for raw in traced:
            with contextlib.suppress(Exception):  # it was closed meanwhile
                raw.set_trace_callback(None)


@contextlib.contextmanager
def stop_at_step(store: Store, step: int) -> Iterator[list[int]]:
    """Interrupt the writer's work at its n-th hundred of SQLite's own steps; the yielded list counts those that ran.

    SQLite answers with an interrupt, as it would for Ctrl-C in a long statement: what was under way must not have happened.
    """
    with store.transaction():
        writer = store._database.writer
    assert writer is not None
    count = [0]

    def tick() -> int:
        count[0] += 1
        return int(count[0] == step)

    writer.raw.set_progress_handler(tick, 100)
    try:
        yield count
    finally:
        writer.raw.set_progress_handler(None, 0)
