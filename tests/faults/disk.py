"""What a disk may hold after the power went: what was synced, and of the rest anything.

Each write that no sync has followed is there whole, or in some of its sectors, or not at all, whatever was written after it. So
is each cut. A file that was made or deleted since its folder was last synced may be there or not; SQLite syncs the folder with
the first sync of a log or journal that it has made, and with a deletion that is to last.
"""

from __future__ import annotations

import random

from .vfs import Event

SECTOR = 512


class Disk:
    """The files of one folder, as the events on a tape leave them."""

    def __init__(self) -> None:
        self._synced: dict[int, bytearray] = {}  # by file, since a name may come to mean another one
        self._waiting: dict[int, list[Event]] = {}
        self._names: dict[str, list[int | None]] = {}  # what the folder may say after a power cut: lasting first, newest last
        self._made: set[int] = set()  # files whose folder was not synced since

    def put(self, name: str) -> int:
        """A new empty file whose name will last."""
        number = len(self._synced)
        self._synced[number], self._waiting[number] = bytearray(), []
        self._names.setdefault(name, []).append(number)
        return number

    def happen(self, event: Event) -> None:
        """Let an event pass."""
        if event.kind == "mark":
            return
        if event.kind == "create":
            self._names.setdefault(event.name, [None])
            self._made.add(self.put(event.name))
            return
        known = self._names.get(event.name)
        number = (known[-1] if known else None) if event.kind == "delete" or known else self.put(event.name)
        if event.kind == "delete":
            self._names.setdefault(event.name, [None]).append(None)
            if event.place:
                self._sync_folder()
            return
        assert number is not None, f"{event.kind} of {event.name}, which is gone"
        if event.kind != "sync":
            self._waiting[number].append(event)
            return
        for waiting in self._waiting[number]:
            _apply(self._synced[number], waiting)
        self._waiting[number] = []
        if number in self._made:
            self._sync_folder()

    def _sync_folder(self) -> None:
        self._made.clear()
        for name, states in self._names.items():
            self._names[name] = states[-1:]

    def after_power_loss(self, rng: random.Random) -> dict[str, bytes]:
        """One of the states in which the files may be found."""
        found = {}
        for name, states in self._names.items():
            number = rng.choice(states)
            if number is not None:
                content = bytearray(self._synced[number])
                for event in self._waiting[number]:
                    for part in _survivors(event, rng):
                        _apply(content, part)
                found[name] = bytes(content)
        return found


def _survivors(event: Event, rng: random.Random) -> list[Event]:
    luck = rng.random()
    if luck < 0.4 or (event.kind == "truncate" and luck < 0.7):
        return []
    if luck >= 0.7 or event.kind == "truncate":
        return [event]
    sectors, start, end = [], event.place, event.place + len(event.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        sectors.append(event._replace(place=start, data=event.data[start - event.place : stop - event.place]))
        start = stop
    return [sector for sector in sectors if rng.random() < 0.5]


def _apply(content: bytearray, event: Event) -> None:
    end = event.place + len(event.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if event.kind == "write":
        content[event.place : end] = event.data
    else:
        del content[event.place :]
