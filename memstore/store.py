"""The store: one file, its rooms, and what concerns all of them.

1. `ROOMS` is the one list of rooms. A room's module is imported and its tables are made when it is first touched.
2. Rooms get what they need of each other here, as callables, so that touching one does not touch another.
3. `check` and `stats` walk what the file has, not what this process happens to have touched.
"""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from .embedder import Embedder
from .kernel import (
    ADVICE,
    Busy,
    Closed,
    Finding,
    Invalid,
    NeedsUpgrade,
    NotSupported,
    Record,
    Replaced,
    Room,
    SchemaTooNew,
    StoreError,
    WrongKey,
    sealed,
    upkeep,
    values,
)
from .kernel.blocks import Level
from .kernel.connection import Database
from .kernel.room import check_schema, open_database, rooms_in_file
from .kernel.schema import KERNEL, Schema, tables
from .reports import Report, Stats, TableStats

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import ParamSpec, TypeVar

    from .audit import AuditEvent, AuditLog
    from .backups import BackupStore
    from .chat import ChatStore
    from .conflicts import ConflictStore
    from .context import ContextPack
    from .corrections import CorrectionStore
    from .documents import DocumentStore
    from .erasure import EraseReceipt
    from .evals import EvalStore
    from .kernel import Connection
    from .kernel.table import Table
    from .keywords import KeywordIndex, TextSource
    from .knowledge import KnowledgeStore
    from .memories import MemoryStore
    from .pruning import PruneReport
    from .transfer import ExportReceipt, ImportReport
    from .vectors import VectorIndex

    P = ParamSpec("P")
    T = TypeVar("T")

#: Every room, with the tables that a newcomer wants to see counted; in this order they forget, so what rests on chunks stands after them,
#: and vectors after all that may have one.
ROOMS: dict[str, tuple[str, ...]] = {
    "chat": ("projects", "conversations", "messages"),
    "corrections": ("corrections",),
    "backups": ("context_backups", "token_counters"),
    "documents": ("documents", "chunks"),
    "memories": ("memories", "interactions", "project_state"),
    "knowledge": ("entities", "relationships", "atoms", "artifacts"),
    "conflicts": ("conflicts",),
    "vectors": ("vectors",),
    "audit": ("audit_log",),
    "evals": ("model_runs", "assertion_events", "promotions"),
    "keywords": ("keyword_items",),
}

#: Who answers for a piece of context, by its kind: the room, its table and its method.
PIECES: dict[str, tuple[str, str, str]] = {
    "memory": ("memories", "memories", "get"),
    "project_state": ("memories", "project_state", "get_state"),
    "entity": ("knowledge", "entities", "get"),
    "observation": ("knowledge", "observations", "get_observation"),
    "relationship": ("knowledge", "relationships", "get_relationship"),
    "atom": ("knowledge", "atoms", "get_atom"),
    "correction": ("corrections", "corrections", "get"),
    "message": ("chat", "messages", "get_message"),
    "chunk": ("documents", "chunks", "get_chunk"),
    "document": ("documents", "documents", "get"),
    "backup": ("backups", "context_backups", "get"),
}
#: Of those the ones that are embedded in masses, with what their room calls the table; many are read at once.
EMBEDDED = {"memory": "MEMORIES", "chunk": "CHUNKS"}


def open_store(
    path: str | os.PathLike[str] = ":memory:",
    *,
    read_only: bool = False,
    create: bool = True,
    durability: str = "normal",
    timeout: float = 10.0,
    codec: object = None,
    audit_key: bytes | str | None = None,
    embedder: Embedder | None = None,
    clock: Callable[[], float] = time.time,
) -> Store:
    """Open the store at a path, or begin one.

    With `durability="normal"` a power cut may take the newest commits, never one in the middle; `"full"` takes none. `timeout`
    is in seconds and bounds every wait for somebody else. `":memory:"` lives as long as the store object. With a `codec`, an
    object with `encrypt(bytes) -> bytes` and `decrypt(bytes) -> bytes` such as a `cryptography.fernet.Fernet`, a new store keeps
    its texts as ciphertext (memstore.kernel.cipher says what still shows); it is needed from then on. An `embedder`, such as
    `Embedder("my-model", fn)`, gives chunks of documents their vectors as they come in, and questions theirs; without one, words find.
    `clock` says what time it is, in Unix seconds: with `memstore.testing.FakeClock()` a test lets months pass.
    """
    if not callable(clock):
        raise Invalid(f"clock must be callable and return Unix seconds, not {clock!r}")
    key = values.text("audit_key", audit_key).encode() if isinstance(audit_key, str) else audit_key
    if key is not None and not (isinstance(key, bytes) and key):
        raise Invalid("audit_key must be bytes or str and not empty")
    if embedder is not None and not isinstance(embedder, Embedder):
        raise Invalid(f"embedder must be an Embedder(model, fn, dims=None), not {type(embedder).__name__}")
    database = open_database(
        path,
        read_only=values.flag("read_only", read_only),
        create=values.flag("create", create),
        durability=values.one_of("durability", durability, ("normal", "full")),
        timeout=values.real("timeout", timeout, low=0.0),
        clock=clock,
        new_store_id=lambda: os.urandom(16).hex(),
        codec=codec,
    )
    try:
        store = Store(database, key, embedder)
        if audit_key is not None and not read_only:
            store.audit.begin()
    except BaseException:  # nobody else would close it
        database.close()
        raise
    return store


class Store:
    """One agent memory; its rooms are attributes.

    Threads, processes and asyncio tasks may share one. Use it in a `with` block or call `close()`.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     chat = store.chat.create_conversation(title="Fix #1867")
    ...     message = store.chat.append(chat.id, "user", "TimeDelta serialises 345 ms as 344")
    ...     [hit.snippet for hit in store.chat.search("timedelta")]
    ['TimeDelta serialises 345 ms as 344']
    """

    def __init__(self, database: Database, audit_key: bytes | None, embedder: Embedder | None) -> None:
        self._database = database
        self._audit_key = audit_key
        self.embedder = embedder
        self._hops: tuple[int, Any] = (0, None)  # the process that made the worker threads, and their pool
        self._finalizer = weakref.finalize(self, _dropped, database)

    # -- rooms ------------------------------------------------------------------------------------------------------

    @cached_property
    def audit(self) -> AuditLog:
        """The tamper-evident log of who did what."""
        from .audit import SCHEMA, AuditLog

        return AuditLog(self._room(SCHEMA), self._canonical, self._audit_key)

    @cached_property
    def chat(self) -> ChatStore:
        """Projects, conversations and messages."""
        from .chat import SCHEMA, ChatStore

        return ChatStore(self._room(SCHEMA), self._record, self._joined, lambda: self.keywords, self.run)

    @cached_property
    def keywords(self) -> KeywordIndex:
        """The keyword index behind every search."""
        from .keywords import SCHEMA, KeywordIndex

        return KeywordIndex(self._room(SCHEMA), self._record, self._sources)

    @cached_property
    def corrections(self) -> CorrectionStore:
        """What was wrong, and what is right instead."""
        from .corrections import SCHEMA, CorrectionStore

        return CorrectionStore(self._room(SCHEMA), self._record)

    @cached_property
    def backups(self) -> BackupStore:
        """Token counters and the notes that carry a context into the next window."""
        from .backups import SCHEMA, BackupStore

        return BackupStore(self._room(SCHEMA), lambda: self.chat)

    @cached_property
    def memories(self) -> MemoryStore:
        """What an agent believes, and the interactions that it comes from."""
        from .memories import SCHEMA, MemoryStore

        return MemoryStore(self._room(SCHEMA), self._record, self._canonical, self._history, self._believed, self._piece)

    @cached_property
    def knowledge(self) -> KnowledgeStore:
        """Entities and their relationships; atoms, their evidence, and what was made from them."""
        from .knowledge import SCHEMA, KnowledgeStore

        return KnowledgeStore(self._room(SCHEMA), self._record, self._canonical, self._history, self._believed, lambda: self.memories)

    @cached_property
    def conflicts(self) -> ConflictStore:
        """Beliefs that cannot be true together, and what a person decided."""
        from .conflicts import SCHEMA, ConflictStore

        rooms = (lambda: self.memories, lambda: self.knowledge)
        return ConflictStore(self._room(SCHEMA), self._record, self._canonical, self._history, self._piece, *rooms)

    @cached_property
    def documents(self) -> DocumentStore:
        """Texts to look things up in, in chunks that are found by their words and their meaning."""
        from .documents import SCHEMA, DocumentStore

        rooms = (lambda: self.vectors, lambda: self.keywords)
        return DocumentStore(self._room(SCHEMA), self._record, self._canonical, *rooms, self.embedder, self._stale)

    @cached_property
    def vectors(self) -> VectorIndex:
        """Vectors of whatever has an id, and which are nearest."""
        from .vectors import SCHEMA, VectorIndex

        return VectorIndex(self._room(SCHEMA), self._record, self._text_of)

    @cached_property
    def evals(self) -> EvalStore:
        """Model runs, assertions and promotions: which model is good at what."""
        from .evals import SCHEMA, EvalStore

        return EvalStore(self._room(SCHEMA), self._record)

    def _room(self, schema: Schema) -> Room:
        return Room(self._database, schema)

    def _record(self, event_type: str, **fields: Any) -> object:
        return self.audit.append(event_type, **fields)

    def _history(self, entity_kind: str, entity_id: str) -> list[AuditEvent]:
        return self.audit.history(entity_kind, entity_id)

    def _canonical(self, project: str | None, user_id: str | None = None) -> str | None:
        if project is None or "chat" not in rooms_in_file(self._database):
            return project
        return self.chat.canonical(project, user_id)

    def _joined(self, connection: Connection, name: str, project_id: str, user_id: str) -> None:
        """A name means a project from now on: beliefs that carry it from before follow it, and meet what it has."""
        rooms = [room for room in ("memories", "knowledge", "conflicts", "documents") if room in rooms_in_file(self._database)]
        moved = [getattr(self, room).join_project(connection, name, project_id, user_id) for room in rooms]
        if any(moved):
            self.conflicts.notice_joined(project_id)

    def _believed(self, connection: Connection, item: Record) -> None:
        """Something holds that did not before: it may contradict what else holds."""
        self.conflicts.notice(connection, item)

    def _piece(self, kind: str, id: str) -> Record | None:
        """What an interaction was told, as it stands now; None for what is gone, or of a kind that nobody keeps."""
        room, table, get = PIECES.get(kind, ("", "", ""))
        if not room or room not in rooms_in_file(self._database):
            return None
        keeper = getattr(self, room)
        if keeper.db.value(f"SELECT 1 FROM {table} WHERE id = ?", (id,)) is None:  # NotFound would look for ids like it
            return None
        found: Record = getattr(keeper, get)(id)
        return found

    def _stale(self, chunk_ids: Sequence[str]) -> None:
        """Chunks are gone: what rests on them has to be looked at again."""
        if "knowledge" in rooms_in_file(self._database):
            for chunk_id in chunk_ids:
                self.knowledge.mark_stale(chunk_id=chunk_id)

    def _text_of(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """What items that have vectors say; those that are gone, or of a kind without a text, are left out."""
        room = PIECES[kind][0] if kind in EMBEDDED else ""
        if room not in rooms_in_file(self._database):
            found = {id: self._piece(kind, id) for id in ids}
            return {id: piece.content for id, piece in found.items() if piece is not None and hasattr(piece, "content")}
        table: Table[Any] = getattr(import_module(f".{room}.tables", __package__), EMBEDDED[kind])
        pieces = table.find(getattr(self, room).db, "WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),))
        return {piece.id: piece.content for piece in pieces}

    def _sources(self) -> list[TextSource]:
        """Texts of other rooms that are searched; a room that the file does not have need not be loaded to say so."""
        return [self.chat.texts, *([self.documents.texts] if "documents" in rooms_in_file(self._database) else [])]

    # -- one file ---------------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The resolved path of the file, or ":memory:"."""
        return self._database.place

    @property
    def store_id(self) -> str:
        """The store's identity: 32 hex digits, fixed at its birth, or when the empty store took over an export."""
        return upkeep.store_id(self._database)

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading only."""
        return self._database.read_only

    def transaction(self) -> Transaction:
        """Make everything in the block happen or nothing; blocks may nest.

        The transaction belongs to this thread and task, and others wait for it: keep it short, and never `await` inside.
        """
        return Transaction(self)

    def close(self) -> None:
        """Close the store; calling it again does nothing.

        The last process to close a file empties its write-ahead log into it (two that close at the same instant may both leave it
        to the next one); `snapshot` makes a copy at any time.
        """
        self._database.close()
        self._finalizer.detach()
        process, pool = self._hops
        if process == os.getpid():
            pool.shutdown(wait=False)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise NotSupported("a store cannot be pickled; open the path again in the other process")

    def context(
        self,
        query: str,
        *,
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        specialist: str | None = None,
        max_tokens: int = 2000,
        count: Callable[[str], int] = values.estimate_tokens,
        embedding: Any = None,
    ) -> ContextPack:
        """Put together what an agent should know for a question: what is trusted most first, and never more than `max_tokens`.

        Memories of a `project` are told once it is registered. With a `user_id` his things and nobody's are told; **without one nothing
        is filtered by user**, everybody's things are. `conversation_id` brings its newest handoff note, with `specialist` his, unless
        chat knows it as another user's. `embedding` is the question's vector where the store has no embedder. `count` tells the tokens
        of a text: it is asked for each piece, and some ten times for the whole. The same store and question give the same pack at the
        same time; while others write, inside `transaction()` only do all rooms tell of one state.
        """
        from .context import build

        return build(
            self, rooms_in_file(self._database), query, project=project, user_id=user_id, conversation_id=conversation_id,
            specialist=specialist, max_tokens=max_tokens, count=count, embedding=embedding,
        )  # fmt: skip

    def query(self, sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[dict[str, Any]]:
        """Answer one SELECT with a list of dicts; anything that would write is refused."""
        return upkeep.query(self._database, values.text("sql", sql, blank=False), params)

    def snapshot(self, path: str | os.PathLike[str], *, progress: Callable[[int, int], object] | None = None) -> str:
        """Copy the store as it is now into one file and return its path, while others go on writing.

        The copy appears whole or not at all; an earlier snapshot at that path is replaced, any other file raises Exists.
        `progress` is called with (pages done, pages in all).
        """
        return upkeep.snapshot(self._database, path, progress)

    def rekey(
        self, new_codec: object, *, actor: str = "", note: str = "", progress: Callable[[int, int], object] | None = None
    ) -> int:
        """Bring all that is encrypted under another codec, with an audit event, and return how many values that were.

        Others go on reading and writing until it comes through, then they get WrongKey and open the store again. Interrupted at
        any step it leaves the old key in force; called again with the same codec it goes on. Snapshots made before stay under the
        old key. `progress` is called with (rows done, rows in all).
        """
        from .rekeying import rekey

        return rekey(self, new_codec, ROOMS, actor=actor, note=note, progress=progress)

    def export(
        self, path: str | os.PathLike[str], *, user_id: str | None = None, progress: Callable[[int, int], object] | None = None
    ) -> ExportReceipt:
        """Write the whole store, or what belongs to one user, as lines of JSON into a new folder, while others go on writing.

        The same state gives the same bytes, and what is encrypted in the store is plain text there. Entities that are everybody's go
        with a user where something of his hangs on them. The folder appears whole or
        not at all. `progress` is called with (rows done, rows in all).
        """
        from .transfer import export_store

        return export_store(self, path, user_id, progress)

    def import_(
        self,
        path: str | os.PathLike[str],
        *,
        on_conflict: Literal["error", "skip", "replace"] = "error",
        actor: str = "",
        note: str = "",
        dry_run: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> ImportReport:
        """Take in what `export` wrote, all of it or nothing, and say what became of every row.

        An empty store becomes the exported one: its id, its log, the same bytes when exported again. Into one with a history
        comes what it does not have; of rows that it has, one raises Exists ("error"), all stay as they are ("skip"), or they get
        the export's columns ("replace"); what only this store has stays. Projects of a user with one name are one, and rows that carry
        a name follow it, those here to a project that comes in too: of two that say the same then, the newer stays. The foreign log
        is kept beside ours: `audit.verify(store_id=...)`. What was erased here does not come back. With `dry_run` everything is done
        and undone again: the report says what would come in.
        """
        from .transfer import import_store

        return import_store(self, path, on_conflict, actor, note, dry_run, progress)

    def optimize(self) -> Stats:
        """Merge the indexes of words, give free pages back and refresh the planner's statistics, each where it is due."""
        if "keywords" in rooms_in_file(self._database):
            self.keywords.compact()
        if "documents" in rooms_in_file(self._database):
            self.documents.compact()
        upkeep.optimize(self._database)
        return self.stats()

    def erase(
        self,
        *,
        conversation_id: str | None = None,
        user_id: str | None = None,
        project: str | None = None,
        message_id: str | None = None,
        memory_id: str | None = None,
        document_id: str | None = None,
        reason: str = "",
        actor: str = "",
        dry_run: bool = False,
    ) -> EraseReceipt:
        """Forget one conversation, user, project, message, memory or document in every room, to the last byte, and return the receipt.

        A conversation takes along its messages, counters, notes, runs and corrections, a user or project its conversations, and
        audit events that name any of it lose their references and payload; one event with counts and a salted digest says so. What may
        quote a message or a memory stays, and `kept` names it. The bytes are gone when the call returns, unless a reader or writer
        elsewhere outlasts `timeout`, or this is inside `transaction()`: then `scrubbed` is False and a later commit, open or close
        finishes it. The whole file is written anew, at some 0.4 s for 100 MB, and other writers wait for that. For a user, project
        or conversation whose id is no mere word or number, all texts are looked through for it, which in an encrypted store decrypts
        them. A `dry_run` tells the same and leaves everything as it is.
        """
        from . import erasure

        subject = erasure.subject_of(
            {"conversation_id": conversation_id, "user_id": user_id, "project": project, "message_id": message_id, "memory_id": memory_id,
             "document_id": document_id}
        )  # fmt: skip
        return erasure.erase(self, subject, reason=reason, actor=actor, dry_run=values.flag("dry_run", dry_run))

    def prune(
        self,
        *,
        room: str | None = None,
        keep_last: int | None = None,
        max_age: float | timedelta | None = None,
        max_bytes: int | None = None,
        dry_run: bool = False,
        reason: str = "",
        actor: str = "",
    ) -> PruneReport:
        """Remove what is old from all rooms or one, give its space back to the disk, and tell what went and what stayed.

        Whole conversations go by their last activity, runs and assertions by age, corrections only when superseded, keyword items
        added by hand, and events from the front of the log; each goes if any limit says so: it is not among the newest
        `keep_last` of its kind, it rests for longer than `max_age` (seconds), or it is the oldest while the file (with `room`, the
        room's tables) takes more than `max_bytes`. Backups and promotions stay. With `dry_run` all of it is done and undone again.
        """
        from . import pruning

        limits = pruning.limits(keep_last, max_age, max_bytes, self._database.now)
        event = {"actor": values.label("actor", actor), "note": values.text("reason", reason)}
        room = values.optional(values.text, "room", room)
        return pruning.prune(self, self._database, room, limits, event, values.flag("dry_run", dry_run))

    def check(self, deep: bool = False) -> Report:
        """Look for damage in everything the file has; with `deep` also for what is merely risky.

        Never raises for what it finds: damage is a finding. Raises if the store is closed, or its file is another one or under
        another key now.
        """
        self._database.check_usable()
        findings = list(upkeep.check_file(self._database, deep=values.flag("deep", deep)))
        findings += _careful("kernel", lambda: check_schema(self._database, KERNEL))
        present = _rooms_or_none(self._database)
        for name in present:
            if name in ROOMS:
                findings += _careful(name, partial(self._check_room, name))
            else:
                findings.append(Finding("unknown_room", None, f"{name} was made by a newer memstore; it is left alone"))
        unlisted = [name for name in ROOMS if name not in present]
        findings += _careful("the list of rooms", lambda: upkeep.unlisted(self._database, {name: ROOMS[name] for name in unlisted}))
        return Report(all(finding.kind in ADVICE for finding in findings), findings)

    def _check_room(self, name: str) -> list[Finding]:
        schema: Schema = import_module(f"memstore.{name}").SCHEMA
        found = check_schema(self._database, schema)
        if not any(finding.kind == "missing" for finding in found):
            found += sealed.unopened(self._database, schema)
        if any(finding.kind in ("missing", "sealed") for finding in found):
            return found
        room: Any = getattr(self, name)
        return list(dict.fromkeys([*found, *room.check()]))  # the audit log looks at its schema by itself too

    def stats(self) -> Stats:
        """Count rows, bytes and bytes of text by table, and say in `advice` what keeps the log long and what is owed."""
        rooms = rooms_in_file(self._database)
        pages = upkeep.table_bytes(self._database)
        counted = [line for name in rooms if name in ROOMS for line in self._table_stats(name, pages)]
        sizes = upkeep.file_sizes(self._database)
        advice = upkeep.advice(self._database, sizes[1], sizes[3])
        return Stats(self.path, self.store_id, *sizes, rooms, counted, *upkeep.maintenance(self._database), advice)

    def _table_stats(self, name: str, pages: dict[str, int] | None) -> list[TableStats]:
        schema: Schema = import_module(f"memstore.{name}").SCHEMA
        said = upkeep.text_sizes(self._database, schema)
        return [
            TableStats(name, table, rows, None if pages is None else pages.get(table, 0), said.get(table, 0))
            for table, rows in upkeep.table_rows(self._database, tables(schema))
        ]

    # -- asyncio ----------------------------------------------------------------------------------------------------

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a worker thread and await its result, so that a wait for the file does not stop the loop.

        It takes the function and its arguments: `await store.run(store.chat.append, chat.id, "user", "hello")`. Cancelled before
        it began, it does not happen; cancelled later, its outcome is awaited and stands.
        """
        from .hops import hop

        self._database.check_usable()
        if not callable(function):
            shown = values.shorten(function)
            raise Invalid(f"run() takes a function and its arguments, as in run(store.chat.append, id, role, text), not {shown}")
        process, pool = self._hops
        if process != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            pool = ThreadPoolExecutor(thread_name_prefix="memstore")
            self._hops = (os.getpid(), pool)
        return await hop(pool, partial(function, *args, **kwargs))

    # -- looks ------------------------------------------------------------------------------------------------------

    def _shown(self) -> Iterator[tuple[str, str]]:
        """Rooms that have rows, each with what is in it."""
        present = rooms_in_file(self._database)
        for name, shown in ROOMS.items():
            if name in present:
                counts = upkeep.table_rows(self._database, shown)
                if any(rows for _, rows in counts):
                    yield name, ", ".join(_counted(table, rows) for table, rows in counts if rows)

    def __repr__(self) -> str:
        try:
            rooms = "; ".join(f"{name}: {content}" for name, content in self._shown())
        except StoreError as error:
            rooms = type(error).__name__.lower()
        return f"<Store {self._database.name}{', read-only' if self.read_only else ''} ({rooms or 'empty'})>"

    def _repr_html_(self) -> str:
        from html import escape

        try:
            lines = "".join(f"<tr><th>store.{name}</th><td>{escape(content)}</td></tr>" for name, content in self._shown())
        except StoreError as error:
            lines = f"<tr><td>{type(error).__name__.lower()}</td></tr>"
        return f"<table><caption>{escape(self._database.name)}</caption>{lines or '<tr><td>empty</td></tr>'}</table>"


class Transaction(Level):
    """The block of `Store.transaction()`."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        super().__init__(store._database)
        self._store = store

    def __enter__(self) -> Store:
        self.database.begin(self)
        return self._store


def _counted(table: str, rows: int) -> str:
    plural = {"audit_log": "events", "project_state": "project states"}.get(table, table.replace("_", " "))
    return f"{rows:,} {values.singular(plural) if rows == 1 else plural}"


def _careful(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Turn damage that stops a check into a finding."""
    try:
        return list(check())
    except (Busy, Closed, Replaced, WrongKey):
        raise
    except (NeedsUpgrade, SchemaTooNew) as error:
        return [Finding("other_version", None, str(error))]
    except StoreError as error:
        return [Finding("corrupt", None, f"{name} could not be checked: {error}")]
    except Exception as error:  # a damaged page can give any type and size to a value that a check computes with
        return [Finding("corrupt", None, f"{name} could not be checked: {values.one_line(f'{type(error).__name__}: {error}')}")]


def _rooms_or_none(database: Database) -> list[str]:
    try:
        return list(rooms_in_file(database))
    except StoreError:
        return []  # the finding about the kernel's tables has said why


def _dropped(database: Database) -> None:
    """A store was forgotten without close(), or the interpreter ends."""
    if database.process == os.getpid():
        at_work = threading.main_thread().is_alive()  # it is not when the interpreter ends
        forgotten = database.unusable is None and not database.in_memory and at_work
        database.close()  # first, for a warning may be an error
        if forgotten:
            warnings.warn(f"unclosed store {database.place}; use it in a with block or call close()", ResourceWarning, stacklevel=2)
