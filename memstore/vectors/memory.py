"""What is remembered of the vectors of one model and kind.

1. The table is the truth. Memory holds codes of committed rows up to a key (`seen`); rows after it, the tail, are read each time and
   compared one by one. A long tail is taken in, unless a transaction is open: what that has seen must not outlive it.
2. A row that memory proposes and the table no longer has is passed over. It is struck out only if the snapshot is at least as new as
   memory is, for an older one does not have the newest rows yet. Many such rows, and memory is compared with the table.
3. Everything here is replaced whole, never changed, so threads share it without a lock; two that miss the same rows read them twice.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ..kernel import Corrupt, values
from .floats import WIDTH
from .planes import CHUNK, Block, Scale, empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..kernel import Connection

    Row = tuple[int, str, float, bytes]  # key, id, length, numbers

WORTH = 256  # vectors from which on codes pay
LONG = 64  # rows of a tail that are better taken in than read by every search
CAPACITY = 65_536  # vectors of a block
SAMPLE = 512  # vectors that a scale is made from
SETTLED = 16_384  # vectors for which a scale may stay for good
PAGE = 500  # rows read at a time
FEW = 8  # times as many keys as are looked for, from which on each of those is looked up
DIGITS = bytes.maketrans(b"\0\1", b"01")
LAST = 2**63 - 1  # no key is higher


class Known(NamedTuple):
    """Codes of the rows up to a key."""

    seen: int
    scale: Scale
    fitted: int  # how many vectors there were when the scale was made
    blocks: tuple[Block, ...]
    alive: tuple[int, ...]  # for each block, the places whose rows the table has, as far as is known
    living: int  # how many those are

    def without(self, gone: set[int]) -> Known:
        """The same after rows have turned out to be gone."""
        return self._living([each & ~marked(block.keys, gone) for block, each in zip(self.blocks, self.alive)])

    def only(self, keys: set[int]) -> Known:
        """The same with those rows alone."""
        return self._living([each & marked(block.keys, keys) for block, each in zip(self.blocks, self.alive)])

    def _living(self, alive: list[int]) -> Known:
        return self._replace(alive=tuple(alive), living=sum([each.bit_count() for each in alive]))


def marked(keys: array[int], wanted: set[int]) -> int:
    """The mask of the places that have one of some keys."""
    if len(wanted) * FEW > len(keys):
        digits = bytes(map(wanted.__contains__, keys)).translate(DIGITS)
        return int(digits[::-1] or b"0", 2)
    mask = bytearray(len(keys) + 7 >> 3)
    for key in wanted:
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            mask[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(mask, "little")


# -- rows ---------------------------------------------------------------------------------------------------------------


class Space:
    """The vectors of one model and kind in one snapshot."""

    def __init__(self, connection: Connection, model: str, kind: str, dims: int, vectors: int) -> None:
        self.connection = connection
        self.model = model
        self.kind = kind
        self.dims = dims
        self.vectors = vectors  # how many the table has

    def all(self) -> Iterator[list[Row]]:
        """Key, id, length and numbers of each, in pages."""
        return self.after(0)

    def after(self, key: int) -> Iterator[list[Row]]:
        """Those after a key, in pages."""
        while rows := self.connection.rows(
            "SELECT pk, id, norm, vector FROM vectors WHERE model = ? AND kind = ? AND pk > ? ORDER BY pk LIMIT ?",
            (self.model, self.kind, key, PAGE),
        ):
            yield self._sound(rows)
            key = values.onward(key, rows[-1][0])

    def chosen(self, keys: Sequence[int]) -> Iterator[list[Row]]:
        """Those of some keys that the table has, in pages."""
        for start in range(0, len(keys), PAGE):
            asked = json.dumps(keys[start : start + PAGE])
            select = "SELECT pk, item.id, norm, vector FROM json_each(?) AS asked CROSS JOIN vectors AS item ON item.pk = asked.value"
            yield self._sound(self.connection.rows(select, (asked,)))

    def _sound(self, rows: list[Row]) -> list[Row]:
        """The rows, if they hold what the rest computes with: a damaged page can give any type and size to a value."""
        size = WIDTH * self.dims
        for pk, id, length, vector in rows:
            if type(vector) is not bytes or len(vector) != size or type(length) is not float or type(id) is not str:
                which = f"vector {pk} of kind {values.shorten(self.kind)} by {values.shorten(self.model)}"
                raise Corrupt(f"{which} is damaged; check() lists what else is")
        return rows

    def newest(self) -> int:
        """The highest key ever given, which says how new the snapshot is; that of a row may be gone."""
        return int(self.connection.value("SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = 'vectors'") or 0)

    def keys_until(self, last: int) -> list[int]:
        """The keys of all up to one, rising."""
        select = "SELECT pk FROM vectors WHERE model = ? AND kind = ? AND pk <= ? ORDER BY pk"
        return [pk for (pk,) in self.connection.rows(select, (self.model, self.kind, last))]

    def keys(self, ids: Iterable[str]) -> list[int]:
        """The keys of the items with some ids, whose vectors have to be of this model."""
        select = "SELECT item.pk FROM json_each(?) AS asked CROSS JOIN vectors AS item ON item.id = asked.value AND item.kind = ?"
        return [pk for (pk,) in self.connection.rows(select, (json.dumps(sorted(ids)), self.kind))]


# -- keeping in step ----------------------------------------------------------------------------------------------------


class Memory:
    """What is kept between calls, for one open store."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Known] = {}

    def of(self, space: Space, keep: bool) -> Known | None:
        """What is known of a space, brought up to the snapshot where it may be kept; None where codes do not pay."""
        known = self.known.get((space.model, space.kind))
        if not keep or (known is not None and space.newest() < known.seen):
            return known  # a snapshot from before, or one that may be undone
        fresh = known
        if known is not None:
            fresh = self._fitting(space, known)
        if fresh is None and space.vectors >= WORTH:
            fresh = _begun(space)
        if fresh is not known:
            self._put(space, fresh)
        return fresh

    def strike(self, space: Space, known: Known, gone: set[int]) -> None:
        """Remember that rows are gone, if nothing newer is known meanwhile."""
        if space.newest() >= known.seen and self.known.get((space.model, space.kind)) is known:
            self._put(space, known.without(gone))

    def _put(self, space: Space, known: Known | None) -> None:
        others = {key: each for key, each in self.known.items() if key != (space.model, space.kind)}
        self.known = others if known is None else {**others, (space.model, space.kind): known}

    def _fitting(self, space: Space, known: Known) -> Known | None:
        """What is known with a long tail taken in and what is gone left out; None where it has to be made anew."""
        if known.scale.dims != space.dims:
            return None
        tail = space.connection.value(
            "SELECT count(*) FROM (SELECT 1 FROM vectors WHERE model = ? AND kind = ? AND pk > ? LIMIT ?)",
            (space.model, space.kind, known.seen, space.vectors + 1),
        )
        stale = known.living - (space.vectors - tail)
        if stale < 0 or stale > max(LONG, known.living // 8):
            keys = set(space.keys_until(known.seen))
            known = known.only(keys)
            if known.living != len(keys) or known.living * 2 < sum(map(len, known.blocks)):
                return None
        if tail < LONG:
            return known
        if known.fitted < SETTLED and known.living + tail >= 4 * known.fitted:
            return None
        return _extended(space, known)


def _begun(space: Space) -> Known | None:
    """Codes of all rows, by a scale that is made from some all over the table."""
    keys = space.keys_until(LAST)
    if not keys:
        return None
    sample = [(norm, vector) for page in space.chosen(keys[:: 1 + len(keys) // SAMPLE]) for _, _, norm, vector in page]
    known = Known(0, Scale.of(sample), len(keys), (), (), 0)
    return _extended(space, known)


def _extended(space: Space, known: Known) -> Known:
    """What is known with all rows that came since."""
    blocks, alive, seen = list(known.blocks), list(known.alive), known.seen
    rows = ((pk, known.scale.coded(norm, vector)) for page in space.after(known.seen) for pk, _, norm, vector in page)
    while True:
        if not blocks or len(blocks[-1]) == CAPACITY:
            blocks.append(empty(len(known.scale.levels)))
            alive.append(0)
        place = len(blocks[-1])
        portion = list(islice(rows, min(CAPACITY - place, CHUNK)))
        if not portion:
            break
        keys, vectors = zip(*portion)
        blocks[-1] = blocks[-1].extended(keys, vectors, known.scale)
        alive[-1] |= (1 << len(keys)) - 1 << place
        seen = keys[-1]
    return known._replace(seen=seen, blocks=tuple(blocks), alive=tuple(alive), living=sum([each.bit_count() for each in alive]))
