"""The kernel: the only part of memstore that knows sqlite3. Rooms use the names below and nothing else."""

from . import values
from .cipher import Cipher
from .connection import Connection
from .errors import (
    Busy,
    Closed,
    Corrupt,
    DiskFull,
    Exists,
    Invalid,
    ModelMismatch,
    NeedsUpgrade,
    NotAStore,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    ReadOnly,
    RejectedClaim,
    Replaced,
    SchemaTooNew,
    StoreError,
    Tampered,
    TransactionAborted,
    VersionConflict,
    WrongKey,
)
from .lines import path_of, write_lines
from .prunable import Prunable
from .room import Canonical, Recorder, Room
from .schema import Carried, Schema, Step
from .table import Record, Table, record
from .values import ADVICE, Finding, estimate_tokens, new_id

__all__ = [
    "ADVICE",
    "Busy",
    "Canonical",
    "Carried",
    "Cipher",
    "Closed",
    "Connection",
    "Corrupt",
    "DiskFull",
    "Exists",
    "Finding",
    "Invalid",
    "ModelMismatch",
    "NeedsUpgrade",
    "NotAStore",
    "NotFound",
    "NotSupported",
    "OutcomeUnknown",
    "Prunable",
    "ReadOnly",
    "Record",
    "Recorder",
    "RejectedClaim",
    "Replaced",
    "Room",
    "Schema",
    "SchemaTooNew",
    "Step",
    "StoreError",
    "Table",
    "Tampered",
    "TransactionAborted",
    "VersionConflict",
    "WrongKey",
    "estimate_tokens",
    "new_id",
    "path_of",
    "record",
    "values",
    "write_lines",
]
