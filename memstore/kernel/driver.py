"""What sqlite3 raises, told apart by result code and given our names."""

from __future__ import annotations

import sqlite3

from .errors import (
    Busy,
    Closed,
    Corrupt,
    DiskFull,
    Exists,
    Invalid,
    NotAStore,
    NotSupported,
    ReadOnly,
    StoreError,
    TransactionAborted,
)
from .values import one_line

#: All that a statement can raise for a reason of its own; MemoryError and KeyboardInterrupt pass.
FAILURES = (sqlite3.Error, OverflowError, UnicodeError)

_UNIQUE = {2067, 1555, 2579}  # SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY, _ROWID
_WRITE_FAILURES = {778, 1034, 1290, 1546, 2570, 4874}  # SQLITE_IOERR_WRITE, _FSYNC, _DIR_FSYNC, _TRUNCATE, _DELETE, _SHMSIZE


def primary_code(error: BaseException) -> int:
    """The primary result code; Python 3.11 knows no names for the newer extended ones."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Whether somebody else is in the way, so that waiting may help."""
    return isinstance(error, Busy) or primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: BaseException) -> StoreError:
    """Return our error for one of the driver's; raise it `from` the original."""
    code = int(getattr(error, "sqlite_errorcode", 0) or 0)
    said = one_line(str(error))  # of a damaged file it may hold a whole statement or text
    if code == 0:
        return _without_code(error, said)
    primary = code & 0xFF
    if code in _UNIQUE:
        return Exists(f"a row with this key exists already ({said})")
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return Invalid(f"the file's own rules refuse this: {said}")
    if primary == sqlite3.SQLITE_IOERR:
        failure = DiskFull if code in _WRITE_FAILURES else Corrupt
        return failure(f"the disk failed ({said}, code {code}); check its free space and health")
    kind, advice = _BY_CODE.get(primary, (Corrupt, "the file is damaged: keep it, and put a snapshot in its place"))
    return kind(f"{said}: {advice}")


def _without_code(error: BaseException, said: str) -> StoreError:
    if isinstance(error, (sqlite3.OperationalError, UnicodeDecodeError)):  # the latter from a damaged name in a message
        return Corrupt(f"stored text is not UTF-8: {said}")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return Closed("the connection was closed under this call; open the store again")
    return Invalid(f"a value cannot be bound: {said}")


def aborted() -> TransactionAborted:
    """The error for a statement whose transaction is gone."""
    return TransactionAborted(
        "SQLite has rolled this transaction back after an earlier error (disk full, I/O, memory); "
        "nothing of it was kept: leave the block and start again"
    )


_BY_CODE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_ERROR: (Corrupt, "the tables are not those of this memstore: open the store again, a newer one may have changed them"),
    sqlite3.SQLITE_BUSY: (Busy, "another connection holds the file; raise timeout= or look for a long transaction()"),
    sqlite3.SQLITE_LOCKED: (Busy, "another connection holds the table"),
    sqlite3.SQLITE_READONLY: (ReadOnly, "the file or its folder cannot be written, or its header is damaged"),
    sqlite3.SQLITE_PERM: (ReadOnly, "access was denied"),
    sqlite3.SQLITE_AUTH: (ReadOnly, "access was denied"),
    sqlite3.SQLITE_INTERRUPT: (TransactionAborted, "the statement was interrupted"),
    sqlite3.SQLITE_FULL: (DiskFull, "free some space; what was written before is intact and can be read"),
    sqlite3.SQLITE_CANTOPEN: (ReadOnly, "the file or one beside it cannot be opened: permissions, too many open files, or no folder"),
    sqlite3.SQLITE_TOOBIG: (Invalid, "the value is larger than SQLite can hold"),
    sqlite3.SQLITE_MISMATCH: (Invalid, "the value has the wrong type"),
    sqlite3.SQLITE_NOLFS: (NotSupported, "the file system cannot hold files of this size"),
    sqlite3.SQLITE_PROTOCOL: (Busy, "the write-ahead log stayed locked; another process may be stuck"),
    sqlite3.SQLITE_NOTADB: (NotAStore, "it was overwritten, or never was an SQLite file"),
}
