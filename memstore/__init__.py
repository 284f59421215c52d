"""memstore: the memory of an AI agent in one SQLite file.

`open_store` opens or begins one; its rooms are attributes of the store (`store.chat`, `store.audit`, ...). Importing this
package imports nothing else: every name below arrives with its module when it is first asked for.
"""

TYPE_CHECKING = False  # as in typing, whose import would cost more than this whole package
if TYPE_CHECKING:
    from .audit import AuditHead, AuditLog
    from .backups import BackupStore, HandoffNote
    from .chat import ChatStore, Message
    from .conflicts import ConflictStore
    from .context import ContextPack
    from .corrections import CorrectionStore
    from .documents import DocumentStore, IngestReport
    from .embedder import Embedder
    from .erasure import EraseReceipt
    from .evals import EvalStore
    from .kernel.errors import (
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
    from .keywords import KeywordIndex
    from .knowledge import KnowledgeStore
    from .memories import MemoryStore
    from .pruning import PruneReport
    from .store import Store, open_store
    from .transfer import ExportReceipt, ImportReport
    from .vectors import VectorIndex

__version__ = "0.1.0"

_HOMES = {
    "AuditHead": "audit",
    "AuditLog": "audit",
    "BackupStore": "backups",
    "Busy": "kernel.errors",
    "ChatStore": "chat",
    "Closed": "kernel.errors",
    "ConflictStore": "conflicts",
    "ContextPack": "context",
    "CorrectionStore": "corrections",
    "Corrupt": "kernel.errors",
    "DiskFull": "kernel.errors",
    "DocumentStore": "documents",
    "Embedder": "embedder",
    "EraseReceipt": "erasure",
    "EvalStore": "evals",
    "Exists": "kernel.errors",
    "ExportReceipt": "transfer",
    "HandoffNote": "backups",
    "ImportReport": "transfer",
    "IngestReport": "documents",
    "Invalid": "kernel.errors",
    "KeywordIndex": "keywords",
    "KnowledgeStore": "knowledge",
    "MemoryStore": "memories",
    "Message": "chat",
    "ModelMismatch": "kernel.errors",
    "NeedsUpgrade": "kernel.errors",
    "NotAStore": "kernel.errors",
    "NotFound": "kernel.errors",
    "NotSupported": "kernel.errors",
    "OutcomeUnknown": "kernel.errors",
    "PruneReport": "pruning",
    "ReadOnly": "kernel.errors",
    "RejectedClaim": "kernel.errors",
    "Replaced": "kernel.errors",
    "SchemaTooNew": "kernel.errors",
    "Store": "store",
    "StoreError": "kernel.errors",
    "Tampered": "kernel.errors",
    "TransactionAborted": "kernel.errors",
    "VectorIndex": "vectors",
    "VersionConflict": "kernel.errors",
    "WrongKey": "kernel.errors",
    "open_store": "store",
}

__all__ = [
    "AuditHead",
    "AuditLog",
    "BackupStore",
    "Busy",
    "ChatStore",
    "Closed",
    "ConflictStore",
    "ContextPack",
    "CorrectionStore",
    "Corrupt",
    "DiskFull",
    "DocumentStore",
    "Embedder",
    "EraseReceipt",
    "EvalStore",
    "Exists",
    "ExportReceipt",
    "HandoffNote",
    "ImportReport",
    "IngestReport",
    "Invalid",
    "KeywordIndex",
    "KnowledgeStore",
    "MemoryStore",
    "Message",
    "ModelMismatch",
    "NeedsUpgrade",
    "NotAStore",
    "NotFound",
    "NotSupported",
    "OutcomeUnknown",
    "PruneReport",
    "ReadOnly",
    "RejectedClaim",
    "Replaced",
    "SchemaTooNew",
    "Store",
    "StoreError",
    "Tampered",
    "TransactionAborted",
    "VectorIndex",
    "VersionConflict",
    "WrongKey",
    "open_store",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'memstore' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"memstore.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
