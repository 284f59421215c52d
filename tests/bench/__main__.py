"""Print the table of speed.

    python3 tests/bench                       everything but the peers, some five minutes
    python3 tests/bench audit last_50         only these groups and rows
    python3 tests/bench --scale small         smaller stores, to look at quickly
    python3 tests/bench --peers               then a second table, against installed peers
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
if not __package__:  # run as a folder, which Python has then put first: its modules would hide those of the same name
    sys.path[:1] = [str(ROOT), str(ROOT / "tests")]

from bench import asking, audit, chat, contention, documents_search, graph, keywords, peers, size, startup, vectors  # noqa: E402
from bench.harness import SCALES, Bench, Row, machine  # noqa: E402

MODULES = (chat, audit, keywords, graph, documents_search, vectors, asking, contention, startup, size)
GROUPS = {module.__name__.rpartition(".")[2]: module.CASES for module in MODULES}
PEERS = {"peers": peers.CASES}
Case = Callable[[Bench], Iterator[Row | str]]
HEADINGS = ("work", "ours", "raw", "ratio", "target", "met")
PEER_HEADINGS = ("the same work by others", "time", "raw", "ratio")
WIDTHS = (112, 10, 10, 7, 10, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    print(f"{machine()}; {'CPU' if options.cpu else 'wall'} time, scale {options.scale}")
    print("Median of interleaved rounds; raw has WAL, synchronous=NORMAL and secure_delete as we do; ratio is ours / raw.", flush=True)
    began = time.monotonic()
    rows = print_table(HEADINGS, measured(GROUPS, options), options.markdown)
    judged = [row.target.met(row) for row in rows if row.target is not None]
    if rows:
        print(f"\n{sum(judged)} of {len(judged)} targets met; {time.monotonic() - began:.0f} s", flush=True)
    if options.peers or not PEERS.keys().isdisjoint(options.names):
        print_table(PEER_HEADINGS, measured(PEERS, options), options.markdown)


def print_table(headings: Sequence[str], rows: Iterable[Row | str], markdown: bool) -> list[Row]:
    """Print rows as they come, and remarks among them."""
    done: list[Row] = []
    for row in rows:
        if isinstance(row, str):
            print(f"\n{row}", flush=True)
            continue
        if not done:
            print("\n" + line(headings, markdown))
            print("|---|" + "--:|" * (len(headings) - 1) if markdown else line(["-" * width for width in WIDTHS[: len(headings)]], False))
        print(line(row.cells()[: len(headings)], markdown), flush=True)
        done.append(row)
    return done


def line(cells: Sequence[str], markdown: bool) -> str:
    if markdown:
        return f"| {' | '.join(cells)} |"
    first, *others = (cell.rjust(width) for cell, width in zip(cells, WIDTHS))
    return "  ".join([cells[0].ljust(len(first)), *others])


def measured(groups: Mapping[str, Sequence[Case]], options: argparse.Namespace) -> Iterator[Row | str]:
    """Run the cases that were asked for, each group in a folder of its own."""
    clock = time.process_time if options.cpu else time.perf_counter
    for group, cases in groups.items():
        wanted = [case for case in cases if not options.names or {group, case.__name__} & set(options.names) or group == "peers"]
        with tempfile.TemporaryDirectory(prefix="memstore-bench-") as folder:
            with Bench(pathlib.Path(folder), scale=SCALES[options.scale], rounds=options.rounds, clock=clock) as bench:
                for case in wanted:
                    yield from case(bench)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = [name for group, cases in {**GROUPS, **PEERS}.items() for name in (group, *(case.__name__ for case in cases))]
    parser = argparse.ArgumentParser(prog="python3 tests/bench", description="Our speed against raw sqlite3 doing the same work.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"groups or rows to run: {', '.join(known)}")
    parser.add_argument("--scale", choices=SCALES, default="full", help="how large the stores are")
    parser.add_argument("--peers", action="store_true", help="compare with installed peers too")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--rounds", type=int, choices=range(1, 100), metavar="N", help="rounds of every race, not each row's own number")
    parser.add_argument("--cpu", action="store_true", help="measure CPU time, which a busy machine disturbs less")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in known:
            parser.error(f"there is no row or group {name!r}; there are {', '.join(known)}")
    return options


if __name__ == "__main__":
    main()
