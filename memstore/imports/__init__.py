"""The way in for what other applications have kept: their files are read as they lie, and every row is accounted for.

1. An import happens whole or not at all, in one transaction; the other application's file is never changed.
2. Running it again takes only what is new; then nothing is new and nothing is written.
3. Ids and times are kept. A row that cannot be taken is named with its reason, a column that has no home is counted.
4. An import that took something writes one audit event, `store.import`; taking a row writes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel import Invalid
from ..kernel.foreign import Changed, ForeignFile
from .aua import DERIVED, MARKS, ORIGIN, AuaTables
from .intake import ImportReport, Intake, RefusedRow, TableImport

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..store import Store

__all__ = ["ImportReport", "RefusedRow", "TableImport", "import_aua", "open_aua"]


def import_aua(store: Store, path: Any, *, progress: Callable[[int, int], object] | None = None) -> ImportReport:
    """Take in an AUA state file (`aua.db`, v0.8 or newer) and say what became of every row.

    A row whose id the store has is left as it is. AUA's audit events are kept as history in the stream "aua", their time and
    hashes in the details: our chain says when they came in, not that they are true. `progress` is called with (rows done, rows).
    """
    try:
        return _import_aua(store, path, progress, shared=False)
    except Changed:
        # AUA is at work. A reader's lock lets it go on and keeps our view still, at the price of log files beside a file at rest.
        return _import_aua(store, path, progress, shared=True)


def _import_aua(store: Store, path: Any, progress: Callable[[int, int], object] | None, *, shared: bool) -> ImportReport:
    with open_aua(path, shared=shared) as source:
        intake = Intake(store, source, progress)
        parts = intake.expect(AuaTables(intake).parts())
        with store.transaction():
            for part in parts:
                intake.take(part)
            report = intake.report(_left_alone(source, {part.table for part in parts}))
            if report.new:
                counts = {table.table: {"new": table.new, "known": table.known, "refused": table.refused} for table in report.tables}
                store.audit.append("store.import", entity_kind="store", details={"from": ORIGIN, "path": source.place, "tables": counts})
            source.confirm()
    return report


def open_aua(path: Any, *, shared: bool = False) -> ForeignFile:
    """Open an AUA state file for reading, or say what the file is instead."""
    source = ForeignFile(path, shared=shared)
    tables = source.tables()
    if any(columns <= set(tables.get(table, ())) for table, columns in MARKS.items()):
        return source
    source.close()
    shown = ", ".join(list(tables)[:5]) + (", …" if len(tables) > 5 else "")
    raise Invalid(f"{source.place} is not an AUA state file (tables: {shown or 'none'})")


def _left_alone(source: ForeignFile, taken: set[str]) -> list[str]:
    """A line for each table with rows that no room takes."""
    counts = {table: source.count(table) for table in source.tables() if table not in taken}
    derived = counts.pop(DERIVED, 0)
    notes = [f"{table}: has no home here and was left out (rows: {count:,})" for table, count in counts.items() if count]
    if derived:
        notes.append(f"{DERIVED}: derived and not taken, the index is made of the messages (rows: {derived:,})")
    return notes
