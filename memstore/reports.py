"""Reports of a store on itself: findings, sizes, state."""

from __future__ import annotations

from .kernel import Finding, Record, record


@record
class Report(Record):
    """What `check` found; `ok` is False when something is wrong, not when there is only advice.

    As a condition it is `ok`.
    """

    ok: bool
    findings: list[Finding]

    def __bool__(self) -> bool:
        return self.ok


@record
class TableStats(Record):
    """Rows of one table, its bytes with those of its indexes, and how many of them are texts of callers.

    `bytes` is None where this SQLite cannot tell. `text_bytes` counts texts and JSON, in UTF-8 or encrypted; it is 0 for a table
    without any, or with texts that are derived from another table.
    """

    room: str
    table: str
    rows: int
    bytes: int | None
    text_bytes: int


@record
class Stats(Record):
    """Size and state of a store."""

    path: str
    store_id: str
    bytes: int
    wal_bytes: int
    free_bytes: int
    scrub_owed: bool
    sqlite_version: str
    rooms: dict[str, int]
    tables: list[TableStats]
    operation_count: int
    last_vacuum_at: float | None
    last_analyze_at: float | None
    total_vacuums: int
    total_analyzes: int
    advice: list[str]
