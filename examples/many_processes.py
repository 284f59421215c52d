"""Several processes write into one file at once; nothing is lost and nobody waits for ever.

    python examples/many_processes.py [PROCESSES] [MESSAGES]
"""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from memstore import open_store  # noqa: E402


def work(path: str, worker: int, count: int) -> None:
    """Open the same file as everybody else and write as fast as the file allows."""
    with open_store(path) as store:
        chat = store.chat.create_conversation(id="shared", exist_ok=True, title="one conversation, many writers")
        for number in range(count):
            store.chat.append(chat.id, "user", f"worker {worker}, message {number}")


def main() -> None:
    given = sys.argv[1:]
    if len(given) > 2 or not all(argument.isdecimal() and int(argument) > 0 for argument in given):
        print(f"PROCESSES and MESSAGES are whole numbers above 0, not {' '.join(given)!r}", file=sys.stderr)
        sys.exit(2)
    processes, count = [*map(int, given), *[4, 200][len(given) :]]
    with tempfile.TemporaryDirectory(prefix="memstore-") as folder:
        path = os.path.join(folder, "shared.db")  # nobody has made it yet: the first to come begins it
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=work, args=(path, worker, count)) for worker in range(processes)]
        begin = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - begin
        with open_store(path, read_only=True) as store:
            written = store.query("SELECT count(*) AS messages, count(DISTINCT arrival) AS places FROM messages")[0]
            report = store.check()
        print(f"{processes} processes wrote {written['messages']:,} messages in {seconds:.1f} s, their start included")
        print(f"lost: {processes * count - written['messages']}, sharing a place: {written['messages'] - written['places']}")
        print(f"the file checks {'clean' if report.ok else report.findings}")
        if written["messages"] != processes * count or not report.ok:
            sys.exit(1)


if __name__ == "__main__":
    main()
