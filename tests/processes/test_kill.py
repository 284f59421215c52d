"""SIGKILL at random moments: what was acknowledged is there, what was under way is whole or not there, and the others go on.

A worker writes one byte down a pipe after each call that has returned; the pipe outlives it. So when it is killed after n bytes,
the file must show of it what an undisturbed run shows after n calls or, if the last one was just not told of, after n + 1.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import select
import signal
import time

import pytest

from memstore import open_store
from memstore.testing import FakeClock

from .mixed_work import Worker, events, holdings, hurry, undisturbed
from .soundness import assert_sound, ending, fork

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()"),
    pytest.mark.damage,  # the checks after each kill go further than the one at close
]

HERD = 3  # workers at a time
LONE = 3  # kills of one worker while the others go on, before all are killed at once
REOPEN = 30  # calls after which a worker closes the store and opens it again
PATIENCE = 60.0


class Child:
    """A worker in a process of its own."""

    def __init__(self, path, number, seed, durability):
        self.number, self.seed, self.told = number, seed, 0
        self.reader, writer = os.pipe()
        self.pid = fork()
        if self.pid == 0:
            with ending(writer):
                work(path, Worker(number, seed, path.parent), writer, durability)
        os.close(writer)

    def wait(self, calls):
        """Wait until it has told of so many calls."""
        deadline = time.monotonic() + PATIENCE
        while self.told < calls:
            ready, _, _ = select.select([self.reader], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"worker {self.number} has made {self.told} calls and stands still"
            assert self.hear(), f"worker {self.number} ended by itself"

    def hear(self):
        """Take in what it has told; nothing once it is dead and all was heard."""
        said = os.read(self.reader, 1 << 16)
        assert not said.strip(b"."), said.decode(errors="replace")
        self.told += len(said)
        return len(said)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def bury(self):
        """See to it that it was SIGKILL that ended it, and hear its last words."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while self.hear():
            pass
        os.close(self.reader)
        assert status == -signal.SIGKILL, status


def work(path, worker, writer, durability):
    """Make one call after the other until the end comes from outside."""
    hurry()
    while True:
        with open_store(path, clock=FakeClock(), durability=durability, timeout=PATIENCE) as store:
            for _ in range(REOPEN):
                worker.step(store)
                os.write(writer, b".")


class Herd:
    """Workers on one file; a killed one is replaced by another."""

    def __init__(self, folder, rng):
        self.path = folder / "agent.db"
        self.rng, self.seed = rng, rng.randrange(2**32)
        self.durability = rng.choice(("normal", "full"))
        self.living, self.dead = [], []

    def __enter__(self):
        for _ in range(HERD):
            self.add()
        return self

    def __exit__(self, *failure):
        for child in self.living:  # a failed test leaves none behind
            child.kill()
            os.waitpid(child.pid, 0)

    def add(self):
        self.living.append(Child(self.path, len(self.living) + len(self.dead), self.seed, self.durability))

    def wait(self, child):
        """Wait for a random moment in the life of a worker."""
        child.wait(child.told + self.rng.randint(1, 25))
        time.sleep(self.rng.random() * 0.004)

    def kill_one(self):
        """Kill one at a random moment: what it did is there, and the others go on as if nothing had been."""
        victim = self.rng.choice(self.living)
        self.wait(victim)
        victim.kill()
        self.living.remove(victim)
        self.dead.append(victim)
        victim.bury()
        copy = self.path.with_name(f"meanwhile{len(self.dead)}.db")
        with open_store(self.path, clock=FakeClock()) as store:
            account(store, victim)
            store.snapshot(copy)
        assert_sound(copy)
        for child in self.living:
            child.wait(child.told + 3)

    def kill_all(self):
        """Kill all at once and look at what they have left."""
        self.wait(self.rng.choice(self.living))
        for child in self.living:
            child.kill()
        while self.living:
            self.dead.append(self.living.pop())
            self.dead[-1].bury()
        assert_sound(self.path)
        with open_store(self.path, clock=FakeClock()) as store:
            written = [account(store, child) for child in self.dead]
            assert store.audit.head().seq in {sum(one) for one in itertools.product(*written)}, "an event too many or too few"
        for snapshot in self.path.parent.glob("*.snapshot"):
            assert_sound(snapshot)


def account(store, child):
    """Assert that a store holds what a dead worker has done; return how many events it wrote, all numbers that may be right."""
    calm, worker = undisturbed(child.number, child.seed, child.told)
    seen, written, differences = events(store, worker), [], []
    with calm:
        for _ in range(2):
            held = holdings(store, worker) | {"events": seen}
            wanted = holdings(calm, worker) | {"events": events(calm, worker)}
            del wanted["events"][: -len(seen) or None]  # the oldest may have been pruned
            if held == wanted:
                written.append(calm.audit.head().seq)
            differences += [(name, held.get(name), wanted.get(name)) for name in {*held, *wanted} if held.get(name) != wanted.get(name)]
            name = worker.step(calm)
    if not written:
        pytest.fail(f"worker {child.number} told of {child.told} calls, then came {name}; seen and wanted differ:\n{differences}")
    return written


def herds(tmp_path, rng, count):
    """So many files; each sees LONE + HERD kills."""
    for number in range(count):
        folder = pathlib.Path(tmp_path, str(number))
        folder.mkdir()
        with Herd(folder, rng) as herd:
            for _ in range(LONE):
                herd.kill_one()
                herd.add()
            herd.kill_all()


def test_killed_at_random_moments_nothing_told_of_is_lost_and_nothing_is_half_done(tmp_path, rng):
    herds(tmp_path, rng, 1)


@pytest.mark.nightly
def test_killed_at_random_moments_three_hundred_times(tmp_path, rng):
    herds(tmp_path, rng, 52)
