"""Checking what is derived from vectors, by computing it anew, and the codes in memory, by those of the table."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from ..kernel import Finding, values
from .floats import WIDTH, norm, sound
from .memory import Space
from .planes import empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..kernel import Connection
    from .memory import Known, Memory
    from .planes import Block, Scale

PAGE = 500
RANGE = 1e-9  # of a length: sums of squares differ in their last digits between versions of Python


def differences(connection: Connection, memory: Memory, text_of: Callable[[str, Sequence[str]], dict[str, str]]) -> Iterator[Finding]:
    """Findings on the rows, the counts and the codes in memory."""
    counted: Counter[tuple[str, str, int]] = Counter()
    last, damaged = 0, False
    select = "SELECT pk, id, kind, model, dims, norm, vector FROM vectors WHERE pk > ? ORDER BY pk LIMIT ?"
    while rows := connection.rows(select, (last, PAGE)):
        for pk, id, kind, model, dims, length, vector in rows:
            counted[model, kind, dims] += 1
            wrong = _wrong(dims, length, vector)
            damaged |= bool(wrong)
            if wrong:
                yield Finding("vector_damaged", pk, f"the vector of {values.shorten(id)} ({values.shorten(kind)}) {wrong}; add it again")
        yield from _dangling([id for _, id, kind, *_ in rows if kind == "memory"], text_of)
        last = values.onward(last, rows[-1][0])
    spaces = connection.rows("SELECT model, kind, dims, vectors FROM vector_spaces")
    for model, kind, dims, vectors in sorted({*spaces} ^ {(*space, many) for space, many in counted.items()}):
        shown = f"{vectors:,} vectors of kind {values.shorten(kind)} by {values.shorten(model)} ({dims:,} dimensions)"
        yield Finding("vector_count", None, f"{shown} are not as counted; store.vectors.rebuild() mends it")
    for (model, kind), known in () if damaged else memory.known.items():
        yield from _misremembered(connection, model, kind, known)


def _wrong(dims: int, length: float, vector: bytes) -> str:
    if not sound(vector, dims):
        return f"is no vector of {dims} dimensions"
    found = norm(vector)
    return "" if math.isclose(found, length, rel_tol=RANGE) else f"has the length {found!r}, not {length!r}"


def _dangling(ids: list[str], text_of: Callable[[str, Sequence[str]], dict[str, str]]) -> Iterator[Finding]:
    there = text_of("memory", ids) if ids else {}
    for id in ids:
        if id not in there:
            yield Finding("dangling", None, f"a vector is of memory {values.shorten(id)}, which is not there")


def _misremembered(connection: Connection, model: str, kind: str, known: Known) -> Iterator[Finding]:
    """Compare codes with those of the rows, unless the snapshot is older than memory."""
    space = Space(connection, model, kind, known.scale.dims, known.living)
    if space.newest() < known.seen:
        return
    wrong = set(space.keys_until(known.seen)).difference(*[block.keys for block in known.blocks])
    for block, alive in zip(known.blocks, known.alive):
        for start in range(0, len(block), PAGE):
            wrong |= _differing(space, block, alive, start, known.scale)
    if wrong:
        which = f"the vectors of kind {values.shorten(kind)} by {values.shorten(model)}"
        detail = f"what is remembered of {which} is not what the table has; open the store again"
        yield Finding("vector_memory", min(wrong), detail)


def _differing(space: Space, block: Block, alive: int, start: int, scale: Scale) -> set[int]:
    """Those of a page of keys whose rows have other codes, or count as gone in memory."""
    keys = list(block.keys[start : start + PAGE])
    rows = {pk: scale.coded(length, vector) for page in space.chosen(keys) for pk, _, length, vector in page}
    none = bytes(WIDTH * len(scale.levels))
    again = empty(len(scale.levels)).extended(keys, [rows.get(key, none) for key in keys], scale)
    differing = ~(alive >> start)
    for planes, others in ((block.highs, again.highs), (block.lows, again.lows)):
        for plane, other in zip(planes, others):
            differing |= plane >> start ^ other
    return {key for place, key in enumerate(keys) if key in rows and differing >> place & 1}


def recount(connection: Connection) -> str:
    """Make the counts anew; where a model has vectors of several dimensions, change nothing and return which."""
    counted = connection.rows("SELECT model, kind, dims, count(*) FROM vectors GROUP BY model, kind, dims")
    sizes: dict[str, int] = {}
    for model, _, dims, _ in counted:
        if sizes.setdefault(model, dims) != dims:
            return f"{values.shorten(model)} of {sizes[model]:,} and of {dims:,} dimensions"
    connection.run("DELETE FROM vector_spaces")
    connection.many("INSERT INTO vector_spaces(model, kind, dims, vectors) VALUES (?, ?, ?, ?)", counted)
    return ""
