"""Four processes of two threads each write into one file: how much gets through, and how long the unlucky wait.

Run as `python -m bench.contention KIND PATH SECONDS` it is one of the processes.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from subprocess import PIPE
from typing import NamedTuple

from memstore import open_store

from .harness import MESSAGES, Bench, Row, at_least, at_most, child, connect

PROCESSES, THREADS = 4, 2
CHAT = "shared"
SAID = "re-index the invoices before the nightly run, then tell me what changed"
INSERT = "INSERT INTO messages(conversation, role, content, created_at) VALUES (?, ?, ?, ?)"
INSERT_OURS = INSERT.replace("messages", "bench_messages")
Step = Callable[[], object]


# -- one process --------------------------------------------------------------------------------------------------------


def by_hand(path: str) -> Step:
    """One connection a thread, and SQLite's own busy timeout."""
    own = threading.local()

    def step() -> None:
        if not hasattr(own, "connection"):
            own.connection = connect(path)
        run = own.connection.execute
        run("BEGIN IMMEDIATE")
        try:
            run(INSERT, (1, "user", SAID, time.time()))
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise

    return step


def by_transaction(path: str) -> Step:
    """The same insert on the connection that the transaction has open: what transaction() itself costs, with no room on top."""
    store = open_store(path)
    database = store._database

    def step() -> None:
        with store.transaction():
            assert database.writer is not None
            database.writer.run(INSERT_OURS, (1, "user", SAID, time.time()))

    return step


def by_append(path: str) -> Step:
    store = open_store(path)
    return lambda: store.chat.append(CHAT, "user", SAID)


KINDS: dict[str, Callable[[str], Step]] = {"raw": by_hand, "transaction": by_transaction, "append": by_append}


def write(kind: str, path: str, seconds: float) -> list[tuple[int, float, int]]:
    """What each thread has done in the time: commits, its longest wait for one, errors."""
    step = KINDS[kind](path)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    done: list[tuple[int, float, int]] = []

    def writer() -> None:
        commits, longest, errors = 0, 0.0, 0
        now = time.monotonic()
        while now < end or not commits + errors:  # once at least, however late this thread came to run
            begin = now
            try:
                step()
                commits += 1
            except Exception as error:  # counted and shown, whatever it is
                errors += 1
                print(repr(error), file=sys.stderr)
            now = time.monotonic()
            longest = max(longest, now - begin)
        done.append((commits, longest, errors))

    threads = [threading.Thread(target=writer) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


# -- all of them --------------------------------------------------------------------------------------------------------


class Round(NamedTuple):
    """What eight writers have done together."""

    throughput: float
    longest: float
    fairness: float  # the slowest writer's commits over the fastest one's
    errors: int
    commits: int


def together(kind: str, path: str, seconds: float) -> Round:
    writers = []
    with ExitStack() as stack:
        processes = []
        for _ in range(PROCESSES):
            processes.append(stack.enter_context(child("-m", "bench.contention", kind, path, str(seconds), stdin=PIPE)))
            stack.callback(processes[-1].kill)  # one that has ended does not mind
        for process in processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            told, _ = process.communicate(timeout=60 + seconds)
            writers += json.loads(told)
    commits, longest, errors = zip(*writers)
    return Round(sum(commits) / seconds, max(longest), min(commits) / max(max(commits), 1), sum(errors), sum(commits))


def writers(bench: Bench) -> Iterator[Row]:
    seconds = max(0.05, 1.5 * bench.scale)
    rounds = bench.rounds(4) + 1
    ours = bench.store("ours")
    chat = ours.chat.create_conversation(id=CHAT).id
    with ours.transaction():
        assert ours._database.writer is not None
        ours._database.writer.run(MESSAGES.replace("messages", "bench_messages"))
    bench.raw("raw", MESSAGES)
    paths = {"raw": str(bench.path("raw")), "transaction": ours.path, "append": ours.path}
    done: dict[str, list[Round]] = {kind: [] for kind in KINDS}
    for turn in range(rounds):
        for kind in KINDS if turn % 2 else reversed(KINDS):
            done[kind].append(together(kind, paths[kind], seconds))
    # Raw's rows are not counted: its checkpoints are not guarded, and with many a version of SQLite they may lose some.
    assert ours.query("SELECT count(*) AS n FROM bench_messages")[0]["n"] == sum(each.commits for each in done["transaction"])
    assert len(ours.chat.messages(chat, limit=None)) == sum(each.commits for each in done["append"])
    yield from rows({kind: each[1:] for kind, each in done.items()})


def rows(done: dict[str, list[Round]]) -> Iterator[Row]:
    who = f"{PROCESSES} processes x {THREADS} threads"
    calls = {"transaction": ("transaction() with one insert", 0.65), "append": ("chat.append", 0.30)}
    raw = done["raw"]
    for kind, (call, least) in calls.items():
        ours = done[kind]
        typical = [statistics.median(each.throughput for each in side) for side in (ours, raw)]
        yield Row(f"{who}, {call}, commits; raw: BEGIN IMMEDIATE", *typical, at_least(least), "/s")
        longest = [max(each.longest for each in side) for side in (ours, raw)]
        yield Row(f"{who}, {call}, the longest wait of all", *longest, at_most(0.2, "s"))
        fairness = [statistics.median(each.fairness for each in side) for side in (ours, raw)]
        yield Row(f"{who}, {call}, the slowest writer's commits over the fastest's", *fairness, at_least(1 / 3, ""), "")
    failed = [sum(each.errors for kind in kinds for each in done[kind]) for kinds in (calls, ("raw",))]
    yield Row(f"{who}, errors in {sum(each.commits for kind in calls for each in done[kind]):,} commits", *failed, at_most(0, ""), "")


CASES = (writers,)

if __name__ == "__main__":
    print(json.dumps(write(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
