"""What a fresh process pays for the import, and before its first message is stored."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from .harness import ROOT, Bench, Row, at_most

SEE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
IMPORT = "from time import {clock} as clock; begin = clock(); import memstore; print(clock() - begin)"
WHOLE = """
from memstore import open_store
with open_store({path!r}) as store:
    store.chat.append(store.chat.create_conversation(id='c', exist_ok=True).id, 'user', 'hello world')
"""


def run(code: str) -> str:
    """A fresh interpreter without site-packages: they are not ours."""
    return subprocess.run([sys.executable, "-S", "-E", "-c", SEE + code], check=True, stdout=subprocess.PIPE, text=True).stdout


def seconds(bench: Bench, code: str) -> float:
    """What a whole process takes, its beginning and end included."""
    began, spent = time.perf_counter(), os.times()
    run(code)
    if bench.clock is time.perf_counter:
        return time.perf_counter() - began
    after = os.times()
    return after.children_user + after.children_system - spent.children_user - spent.children_system


def import_memstore(bench: Bench) -> Iterator[Row]:
    """Timed inside the process: it is far less than the difference between two beginnings of an interpreter."""
    code = IMPORT.format(clock=bench.clock.__name__)
    spent = [float(run(code)) for _ in range(bench.rounds(15) + 1)]
    yield Row("import memstore in a fresh process", statistics.median(spent[1:]), None, at_most(3e-3, "s"))


def first_append(bench: Bench) -> Iterator[Row]:
    codes = {"bare": "pass", "fresh": WHOLE, "existing": WHOLE}
    times: dict[str, list[float]] = {name: [] for name in codes}
    for turn in range(bench.rounds(15) + 1):
        for name in codes if turn % 2 else reversed(codes):
            path = str(bench.path(f"fresh{turn}" if name == "fresh" else "existing"))
            times[name].append(seconds(bench, codes[name].format(path=path)))
    bare, fresh, existing = (statistics.median(spent[1:]) for spent in times.values())
    work = "a fresh process opens a file, appends a message and closes, over the bare interpreter"
    yield Row(f"{work}: the file is new", fresh - bare, None, at_most(60e-3, "s"))
    yield Row(f"{work}: it exists", existing - bare, None, at_most(60e-3, "s"))


CASES = (import_memstore, first_append)
