"""What of a room may go when it is old: in which order, and how it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from .connection import Connection

PAGE = 500


class Prunable(NamedTuple):
    """Things of one kind that a prune removes whole, oldest first."""

    table: str  # that has one row for each
    total: str  # SQL: how many there are
    oldest: str  # SQL: of the next after a time and place, at most so many: time, place among equal times, bytes (rather too many)
    remove: Callable[[Connection, int, Mapping[str, str]], dict[str, int]]  # the oldest so many, and why; returns rows by table
    retired: str | None = None  # SQL: ids of the oldest so many, where an import must not take them for new

    def units(self, connection: Connection) -> Iterator[tuple[float, str, int]]:
        """Time, table and bytes of each, oldest first, read a page at a time."""
        at, place = float("-inf"), -1
        while rows := connection.rows(self.oldest, (at, place, PAGE)):
            yield from ((row[0], self.table, row[2]) for row in rows)
            at, place = rows[-1][:2]

    def due(self, connection: Connection, keep_last: int | None, since: float | None) -> int:
        """How many are beyond the newest `keep_last`, or rest since before a time."""
        beyond = 0 if keep_last is None else int(connection.value(self.total)) - keep_last
        stale = 0
        for at, *_ in self.units(connection) if since is not None else ():
            if since is None or at >= since:
                break
            stale += 1
        return max(beyond, stale, 0)
