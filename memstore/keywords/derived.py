"""What is derived from the texts of a source, computed anew and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..kernel import Corrupt, Finding
from .spaces import DAMAGED, read_segment

if TYPE_CHECKING:
    from ..kernel import Connection
    from .segments import Segment
    from .spaces import Memory, Space


def differences(conn: Connection, space: Space, memory: Memory) -> Iterator[Finding]:
    """Compare sums over the hashes of each item's words: a different word in one of them shows, at a few bytes an item."""
    indexed: dict[int, int] = {}
    for pk, _, _ in space.rows:
        try:
            segment = read_segment(conn, pk)
            indexed.update(_sums(segment))
        except (Corrupt, *DAMAGED) as error:
            yield Finding("keyword_damaged", None, str(error))
            continue
        remembered = memory.loaded.get(pk)
        if remembered is not None and remembered.pack() != segment.pack():
            yield Finding("keyword_memory", None, f"segment {pk} in memory is not the one in the file")
    for segment in space.tail():
        indexed.update(_sums(segment))
    name = space.kind or "item added by hand"
    for fresh, _ in space.fresh(0):
        for number, expected in _sums(fresh).items():
            found = indexed.pop(number, None)
            if found is None and number not in space.gone:
                yield Finding("keyword_missing", number, f"{name} {number} is not in the keyword index; rebuild() puts it in")
            elif found not in (None, expected):
                yield Finding("keyword_differs", number, f"{name} {number} is indexed under other words than it has; rebuild() mends it")
    for number in indexed:
        if number not in space.gone:
            yield Finding("keyword_extra", number, f"{name} {number} is in the keyword index and nowhere else; rebuild() takes it out")


def _sums(segment: Segment) -> dict[int, int]:
    items = segment.items
    origins = map(segment.origins.__getitem__, items.whence)
    sums = list(map(hash, zip(items.times, items.ids_at(range(len(items))), origins)))
    for index, word in enumerate(segment.words):
        value = hash(word)
        for place in segment.places[segment.starts[index] : segment.starts[index + 1]]:
            sums[place] += value
    return dict(zip(segment.items.numbers, sums))
