"""How a store leaves as a folder and comes back: `export`, and `import` of what it wrote."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..imports import ORIGINS
from ..kernel import Invalid, values
from ..store import open_store
from ..transfer.folder import MANIFEST, Folder
from ..transfer.out import schema_of
from . import open_for
from .keys import keys
from .terminal import count, one_line, print_json, size
from .views import shown_progress

if TYPE_CHECKING:
    import argparse

    from ..transfer import ImportReport


def export(options: argparse.Namespace) -> int:
    """Write the store, or what belongs to one user, into a new folder."""
    with open_for(options) as store, shown_progress() as progress:
        receipt = store.export(options.target, user_id=options.user, progress=progress)
    if options.json:
        print_json(receipt.to_dict())
    else:
        print(f"{count(sum(receipt.rows.values()), 'row')}, {size(receipt.bytes)}  {one_line(receipt.path)}")
    if options.user is not None and not receipt.rows:
        print(f"nothing in the store belongs to a user {options.user!r}", file=sys.stderr)
        return 1
    return 0


def take_in(options: argparse.Namespace) -> int:
    """Take in an export, or another application's file."""
    if options.origin is not None:
        if options.on_conflict is not None:
            raise Invalid("--on-conflict belongs to a folder that export wrote; with --from what is known stays as it is")
        from .intake import take_in as from_elsewhere

        return from_elsewhere(options)
    if not os.path.exists(os.path.join(options.path, MANIFEST)):
        said = f"{options.path} is no folder that export wrote (it has no {MANIFEST})"
        raise Invalid(f"{said}; if another application did, say whose it is: --from {', '.join(ORIGINS)}")
    if options.conversation is not None:
        raise Invalid("--conversation belongs to --from chat; an export says itself where everything belongs")
    report = _take_back(options)
    if options.json:
        print_json({**report.to_dict(), "store": _target(options)})
    else:
        _print(report, f"{_target(options)} (a trial: nothing was written)" if options.dry_run else _target(options))
    return 0


def _target(options: argparse.Namespace) -> str:
    """The store to import into, which is begun if need be."""
    beside: str = os.path.abspath(options.path) + ".memstore.db"
    return options.db or os.environ.get("MEMSTORE_DB") or beside


def _take_back(options: argparse.Namespace) -> ImportReport:
    place = _target(options)
    if not os.path.exists(place):
        Folder(options.path, schema_of).check()  # what cannot be taken in must not leave an empty store
        place = ":memory:" if options.dry_run else place  # nor a trial
    with open_store(place, **keys(options)) as store, shown_progress() as progress:
        return store.import_(options.path, on_conflict=options.on_conflict or "error", dry_run=options.dry_run, progress=progress)


def _print(report: ImportReport, target: str) -> None:
    parts = [("added", report.added), ("skipped", report.skipped), ("replaced", report.replaced), ("not taken, erased here", report.erased)]
    told = [f"{sum(rows.values()):,} {verb}" for verb, rows in parts if rows]
    print(f"{', '.join(told) or 'nothing to take in'}  {one_line(target)}")
    for line in (*(["the empty store takes over id and log of the exported one"] if report.adopted else []), *report.notes):
        print(one_line(values.one_line(line, 1000)), file=sys.stderr)
