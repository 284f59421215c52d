"""The power goes at any moment: what was acknowledged with durability="full" is there, and "normal" loses newest commits only.

A store does mixed work over all rooms while everything that it does to its files is recorded. Then the disk is made as it may
be found after a power cut at some moment, again and again, and the store is opened on it: it must be exactly what it was after
one of the calls.
"""

from __future__ import annotations

import bisect
import hashlib
import shutil
from collections import Counter

import pytest

from memstore import open_store
from memstore.kernel import files, wal
from memstore.testing import FakeClock

from . import work
from .disk import Disk
from .vfs import Event, Layer, needs_layer

pytestmark = needs_layer


def digest(path):
    """What `work.look` sees, in little."""
    return hashlib.sha256(repr(work.look(path)).encode()).hexdigest()


class Recording:
    """A store at work with the tape running; after each call a mark with what the store holds."""

    def __init__(self, folder, durability, rng, calls):
        self.path = folder / "agent.db"
        self.tape: list[Event] = []
        self.rng, self.durability = rng, durability
        with Layer(folder) as self.layer:
            self.layer.tape = self.tape
            self.stores = [self.opened()]
            self.acknowledge()
            self.stores[0].chat.create_conversation(id="talk", title="a talk")
            self.acknowledge()
            for number in range(calls):
                self.step(f"m{number}")
            for store in self.stores:
                store.close()
            self.acknowledge()

    def opened(self):
        return open_store(self.path, durability=self.durability, clock=FakeClock())

    def acknowledge(self):
        self.layer.mark(digest(self.path))

    def step(self, mark):
        """Something that changes the store, or now and then something that only moves it about."""
        store, luck = self.rng.choice(self.stores), self.rng.random()
        if luck < 0.04:
            self.stores.remove(store)
            store.close()
            self.stores = self.stores or [self.opened()]
        elif luck < 0.07:
            self.stores.append(self.opened())
        elif luck < 0.10:
            store.optimize()
        elif luck < 0.13:
            store.snapshot(self.path.with_name("copy.db"))
        elif luck < 0.18 and store._database.writer is not None:
            store._database.wal.checkpoint(store._database.writer)
        else:
            call = self.rng.choice(work.CALLS)
            try:
                call(store, mark)
            except (IndexError, StopIteration):  # nothing there yet to work on
                return
        self.acknowledge()


def crash_points(tape, count, rng):
    """Moments between two events; half of them just before a sync, when most is at stake."""
    syncs = [number for number, event in enumerate(tape) if event.kind == "sync"]
    chosen = [rng.choice(syncs) if rng.random() < 0.5 else rng.randrange(len(tape)) for _ in range(count)]
    return sorted(chosen)


def restored(files, folder):
    """Put what the disk holds into a fresh folder; a snapshot under way is no part of the store."""
    folder.mkdir()
    for name, content in files.items():
        end = name.rpartition("agent.db")[2]
        if "agent.db" in name and end in ("", "-wal", "-journal"):
            (folder / f"agent.db{end}").write_bytes(content)
    return folder / "agent.db"


def lost_calls(recording, crashes, folder, rng):
    """How many acknowledged calls each power cut has cost; anything but a prefix of the history fails."""
    moments = [number for number, event in enumerate(recording.tape) if event.kind == "mark"]
    states = [event.name for event in recording.tape if event.kind == "mark"]
    disk, played, lost = Disk(), 0, []
    disk.put(str(recording.path))  # the store makes the file itself, before SQLite sees it
    for number, crash in enumerate(crash_points(recording.tape, crashes, rng)):
        for event in recording.tape[played:crash]:
            disk.happen(event)
        played = crash
        acknowledged = bisect.bisect_left(moments, crash)
        path = restored(disk.after_power_loss(rng), folder / str(number))
        with open_store(path, clock=FakeClock()) as store:
            held = digest(path)
            assert held in states[: acknowledged + 1], f"power cut at {crash}: no state of the history"
            work.assert_sound(store)
        shutil.rmtree(path.parent)
        newest = max((place for place in range(acknowledged + 1) if states[place] == held), default=0)
        lost.append(max(0, acknowledged - 1 - newest))
    return lost


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Copy the log often, so that the recording is rich in checkpoints and logs begun anew."""
    monkeypatch.setattr(files, "LOG_KEPT", 100_000)
    monkeypatch.setattr(wal, "LOOK_EVERY", 4)


@pytest.mark.parametrize("durability", ["full", "normal"])
@pytest.mark.parametrize("rounds, crashes", [(1, 30), pytest.param(20, 100, marks=pytest.mark.nightly)])
def test_after_a_power_cut_the_store_is_what_it_was_after_a_call(tmp_path, rng, durability, rounds, crashes):
    lost = []
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        recording = Recording(folder, durability, rng, 120)
        kinds = Counter(event.kind for event in recording.tape)
        assert all(kinds[kind] for kind in ("write", "sync", "truncate", "create", "delete")), kinds
        lost += lost_calls(recording, crashes, folder, rng)
    print(f"{durability}: {len(lost)} power cuts, {sum(map(bool, lost))} lost something, at most {max(lost)} calls")
    assert durability == "normal" or max(lost) == 0
