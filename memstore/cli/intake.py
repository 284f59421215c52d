"""What `import` shows: what came in, what did not and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..imports import import_from, open_source
from ..store import open_store
from .keys import keys
from .terminal import Page, count, one_line, print_json
from .views import shown_progress

if TYPE_CHECKING:
    import argparse

    from ..imports import ImportReport


def take_in(options: argparse.Namespace) -> int:
    """Take in another application's file, into a store that is begun if need be."""
    with open_source(options.origin, options.path) as source:  # a file that cannot be taken in must not leave an empty store
        beside = str(Path(source.place).with_suffix(".memstore.db"))
    target = options.db or os.environ.get("MEMSTORE_DB") or beside
    place = ":memory:" if options.dry_run and not os.path.exists(target) else target  # a trial begins no store
    with open_store(place, **keys(options)) as store, shown_progress() as progress:
        report = import_from(
            store, options.origin, options.path, conversation=options.conversation, dry_run=options.dry_run, progress=progress
        )
        place = target if store.path == ":memory:" else store.path
    if options.json:
        print_json({**report.to_dict(), "store": place, "dry_run": options.dry_run})
    else:
        _print(report, f"{place} (a trial: nothing was written)" if options.dry_run else place)
    return 0 if report.ok else 1


def _print(report: ImportReport, target: str) -> None:
    page = Page()
    page.width = None  # what was not taken is said whole
    print(page.bold(one_line(f"{report.path} -> {target}")))
    print(f"{report.new:,} new, {sum(table.known for table in report.tables):,} known, {count(len(report.refused), 'row')} not taken")
    figures = [
        (one_line(table.table), f"{table.new:,} new", f"{table.known:,} known", f"{table.refused:,} not taken") for table in report.tables
    ]
    print(*page.table(figures, indent="  "), sep="\n")
    left_out = [
        f"{table.table}.{name}: has no home here and was left out (rows: {rows:,})"
        for table in report.tables
        for name, rows in table.left_out.items()
    ]
    for line in (*left_out, *report.notes):
        print(page.dim(one_line(line)))
    if report.refused:
        print(page.bad("not taken"))
        rows = [(row.table, one_line(row.id), one_line(row.reason)) for row in report.refused]
        print(*page.table(rows, indent="  "), sep="\n")
