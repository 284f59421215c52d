"""Every error memstore raises, and the one place where the driver's errors get their names.

1. Everything derives from StoreError, so `except StoreError` is enough.
2. A message says what went wrong, with which value, and what to do next.
3. sqlite3 errors are told apart by their result code, never by their text.
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error of memstore."""


class Invalid(StoreError, ValueError):
    """An argument, a value or a call that the store cannot accept; nothing was written."""


class WrongKey(Invalid):
    """The store is encrypted, and `codec=` is missing or has another key."""


class NotSupported(StoreError):
    """A documented feature that this build, store or platform does not have."""


class NotFound(StoreError, LookupError):
    """There is no such row."""


class Exists(StoreError):
    """The id, name or file is taken already."""


class VersionConflict(StoreError):
    """Somebody else changed the row since it was read; `current` is the row as it stands now."""

    def __init__(self, message: str, current: object = None) -> None:
        super().__init__(message)
        self.current = current


class ModelMismatch(StoreError):
    """Vectors of several models, or of another number of dimensions, were about to be compared: they mean nothing to each other.

    `found` is the message without what to do.
    """

    def __init__(self, found: str, way: str = "") -> None:
        super().__init__(": ".join(filter(None, [found, way])))
        self.found = found


class RejectedClaim(StoreError):
    """The claim was rejected before; `correction` is the row that says so, a Correction, a Memory or an Atom."""

    def __init__(self, message: str, correction: object = None) -> None:
        super().__init__(message)
        self.correction = correction


class Busy(StoreError):
    """Another writer, reader or process held what was needed for longer than `timeout`."""


class Closed(StoreError):
    """The store was closed, or belongs to the process that forked this one."""


class ReadOnly(StoreError):
    """The store, its file or its folder cannot be written."""


class DiskFull(StoreError):
    """No room left; the transaction was rolled back, reading goes on."""


class TransactionAborted(StoreError):
    """SQLite had rolled the whole transaction back before this statement; nothing of it was kept."""


class OutcomeUnknown(StoreError):
    """The disk failed or memory ran out during COMMIT, and the transaction may or may not have happened.

    Read before retrying.
    """


class NotAStore(StoreError):
    """The file is not a memstore file."""


class SchemaTooNew(StoreError):
    """A newer memstore wrote this file or room; nothing was touched."""


class NeedsUpgrade(StoreError):
    """A read-only store has an older schema: open it once for writing."""


class Corrupt(StoreError):
    """The file is damaged, or part of the schema is gone."""


class Replaced(StoreError):
    """The file at the path is no longer the one that was opened."""


class Tampered(StoreError):
    """The audit log does not verify, or what is encrypted was moved to another place; `findings` says where and how."""

    def __init__(self, message: str, findings: object = ()) -> None:
        super().__init__(message)
        self.findings = findings
