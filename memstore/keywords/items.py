"""What a segment knows of its items, so that a hit is told and filtered without asking their room.

An item is known by its place in every column; equal origins are kept once.
"""

from __future__ import annotations

import json
import sys
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..kernel import values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .sources import Item

    Origin = tuple[str | None, str | None]  # conversation_id, role


class Items:
    """The items of a segment, in the order of their places."""

    __slots__ = ("bounds", "ids", "numbers", "origins", "times", "whence")

    def __init__(self) -> None:
        self.numbers = array("q")
        self.times = array("d")
        self.ids = bytearray()  # one after the other: as strings they take more memory than all the rest
        self.bounds = array("I", [0])  # where in `ids` that of each item begins, and the end
        self.origins: dict[Origin, int] = {}
        self.whence = array("I")  # which of the origins each item has

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, items: Sequence[Item]) -> None:
        """Take in more items."""
        if not items:
            return
        numbers, ids, conversations, roles, times = zip(*items)
        names = list(map(str.encode, ids))
        origins = self.origins
        self.numbers.extend(numbers)
        self.times.extend(times)
        self.bounds.extend(list(accumulate(map(len, names), initial=len(self.ids)))[1:])
        self.ids += b"".join(names)
        self.whence.extend([origins.setdefault(origin, len(origins)) for origin in zip(conversations, roles)])

    def join(self, others: Items) -> None:
        """Take in the items of another segment."""
        base = len(self.ids)
        self.ids += others.ids
        self.bounds.extend([base + end for end in others.bounds[1:]])
        self.numbers += others.numbers
        self.times += others.times
        renumbered = [self.origins.setdefault(origin, len(self.origins)) for origin in others.origins]
        self.whence.extend([renumbered[which] for which in others.whence])

    def picked(self, places: Sequence[int]) -> Items:
        """Those at some places, in that order."""
        origins = list(self.origins)
        chosen = Items()
        chosen.add(
            [
                (self.numbers[place], item_id, *origins[self.whence[place]], self.times[place])
                for place, item_id in zip(places, self.ids_at(places))
            ]
        )
        return chosen

    def ids_at(self, places: Iterable[int]) -> list[str]:
        """The ids of the items at some places."""
        ids, bounds = self.ids, self.bounds
        return [ids[bounds[place] : bounds[place + 1]].decode() for place in places]

    def pack(self) -> tuple[bytes | str, ...]:
        """The columns in the file."""
        origins = values.to_json("origins", list(self.origins))
        return (packed(self.numbers), packed(self.times), bytes(self.ids), packed(self.bounds), origins, packed(self.whence))

    @classmethod
    def unpack(cls, numbers: bytes, times: bytes, ids: bytes, bounds: bytes, origins: str, whence: bytes) -> Items:
        """Take them out of the file."""
        items = cls()
        items.numbers, items.times = unpacked("q", numbers), unpacked("d", times)
        items.ids, items.bounds = bytearray(ids), unpacked("I", bounds)
        items.origins = {(conversation_id, role): index for index, (conversation_id, role) in enumerate(json.loads(origins))}
        items.whence = unpacked("I", whence)
        lengths = {len(items), len(items.times), len(items.bounds) - 1, len(items.whence)}
        if len(lengths) > 1 or items.bounds[-1] != len(ids):
            raise ValueError("its items do not fit together")
        return items


def packed(values: array[Any]) -> bytes:
    """An array as the file has it, little-endian."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def unpacked(code: str, data: bytes) -> array[Any]:
    """An array out of the file."""
    values: array[Any] = array(code)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
