"""The way in for what other applications have kept: their files are read as they lie, and every row is accounted for.

1. An import happens whole or not at all, in one transaction; the other application's file is never changed.
2. Running it again takes only what is new; then nothing is new and nothing is written.
3. Ids and times are kept. A row that cannot be taken is named with its reason, a column that has no home is counted.
4. An import that took something writes one audit event, `store.import`; taking a row writes none.

An origin is a module with `open_source`, which says whether a path is its own; `Tables`, whose `parts` say where the rows go and
whose `notes` say what else there is to know; and `BESIDE`, the tables that are no rows of their own.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.foreign import Changed
from .intake import ImportReport, Intake, RefusedRow, TableImport

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..store import Store
    from .intake import Source

__all__ = ["ImportReport", "RefusedRow", "TableImport", "import_aua", "import_from", "open_source"]

#: Whose files are taken in, and the module that knows them.
ORIGINS = {
    "aua": "aua",
    "openai-sessions": "agents",
    "llm": "llm",
    "chat": "transcripts",
    "atocore": "atocore",
    "mem0": "mem0",
    "langgraph": "langgraph",
}


class _Undone(Exception):
    """Everything was done as a trial."""


def import_from(
    store: Store,
    origin: str,
    path: Any,
    *,
    conversation: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Take in another application's file and say what became of every row.

    `origin` is "aua", "openai-sessions", "llm", "chat", "atocore", "mem0" or "langgraph"; of "chat", `conversation` names the one that
    loose messages go to. A row that the store has is left as it is, but a memory whose row has changed in mem0 or LangGraph since is
    brought up to date. With `dry_run` everything is done and undone again: the report says what would come in.
    `progress` is called with (rows done, rows).
    """
    values.flag("dry_run", dry_run)
    if conversation is not None and origin != "chat":
        raise Invalid(f'conversation={conversation!r} is for "chat"; what comes from {origin!r} says itself where it belongs')
    options = {} if conversation is None else {"conversation": values.key("conversation", conversation)}
    try:
        return _import(store, origin, path, options, dry_run, progress, shared=False)
    except Changed:
        # Somebody is at work. A reader's lock lets it go on and keeps our view still, at the price of log files beside a file at rest.
        return _import(store, origin, path, options, dry_run, progress, shared=True)


def import_aua(store: Store, path: Any, *, dry_run: bool = False, progress: Callable[[int, int], object] | None = None) -> ImportReport:
    """Take in an AUA state file (`aua.db`, v0.8 or newer), or v0.7's flat files by one of them or their folder.

    AUA's audit events are kept as history in the stream "aua", their time and hashes in the details: our chain says when they
    came in, not that they are true.
    """
    return import_from(store, "aua", path, dry_run=dry_run, progress=progress)


def open_source(origin: str, path: Any, *, shared: bool = False) -> Any:
    """Open a file or folder of an origin for reading, or say what it is instead; close it, or use it in a `with` block."""
    return _module(origin).open_source(path, shared=shared)


def _module(origin: str) -> Any:
    return import_module(f"{__name__}.{ORIGINS[values.one_of('origin', origin, tuple(ORIGINS))]}")


def _import(
    store: Store,
    origin: str,
    path: Any,
    options: dict[str, str],
    dry_run: bool,
    progress: Callable[[int, int], object] | None,
    *,
    shared: bool,
) -> ImportReport:
    with open_source(origin, path, shared=shared) as source:
        intake = Intake(store, source, progress)
        tables = _module(origin).Tables(intake, **options)
        parts = intake.expect(tables.parts())
        with suppress(_Undone), store.transaction():
            for part in parts:
                intake.take(part)
            report = intake.report([*_left_alone(source, {part.table for part in parts}, _module(origin).BESIDE), *tables.notes()])
            if report.new:
                counts = {table.table: {"new": table.new, "known": table.known, "refused": table.refused} for table in report.tables}
                store.audit.append("store.import", entity_kind="store", details={"from": origin, "path": intake.place, "tables": counts})
            source.confirm()
            if dry_run:
                raise _Undone
    return report


def _left_alone(source: Source, taken: set[str], beside: dict[str, str]) -> list[str]:
    """A line for each table with rows that no room takes, and one for those of which an origin says the same."""
    counts = {table: source.count(table) for table in source.tables() if table not in taken}
    notes = [
        f"{table}: has no home here and was left out (rows: {count:,})" for table, count in counts.items() if count and table not in beside
    ]
    for what in dict.fromkeys(beside.values()):
        told = {table: count for table, count in counts.items() if count and beside.get(table) == what}
        if told:
            notes.append(f"{', '.join(told)}: {what} (rows: {sum(told.values()):,})")
    return notes
