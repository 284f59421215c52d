"""A room's door to the file: its schema, ensured on first use, and the reads and writes behind it.

1. A room costs nothing until used; the first use compares one digest and creates or migrates what differs.
2. What a handle believes about the file (`ready`) is believed by all its threads, so it is committed. What a transaction has
   made and not committed (`born`) is known to it alone and dropped by the rollback that undoes it.
3. In a read-only store a room that the file does not have reads as empty: its tables are shadowed by empty temporary ones.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from . import files, forks, sealed
from . import schema as schemas
from .blocks import Hold, Read, Write
from .cipher import Cipher, Unencrypted
from .connection import Connection, Database, Row
from .driver import FAILURES, translate
from .errors import Busy, Corrupt, Invalid, NotAStore, SchemaTooNew
from .schema import KERNEL, Schema
from .values import Finding

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FORMAT = 1  # PRAGMA user_version: rises only if an older memstore could not even look



class Canonical(Protocol):
    """How a room turns the id, name or alias of a project into its id; what nobody registered passes unchanged."""

    def __call__(self, project: str | None, user_id: str | None = None) -> str | None: ...


class Recorder(Protocol):
    """How a room writes its audit event."""

    def __call__(
        self,
        event_type: str,
        *,
        actor: str = "",
        entity_kind: str | None = None,
        entity_id: str | None = None,
        before: Any = None,
        after: Any = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        session_id: str | None = None,
        project: str | None = None,
        specialist: str | None = None,
        details: Any = None,
        note: str = "",
    ) -> object: ...


class Room:
    """One schema in one database."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self.database = database
        self.schema = schema

    def read(self, *, snapshot: bool = False) -> AbstractContextManager[Connection]:
        """Lend a connection for a block; with `snapshot` all its statements see one state."""
        if not self._found:
            return _Ensured(self, snapshot)
        return Read(self.database, snapshot)

    def write(self) -> AbstractContextManager[Connection]:
        """Open a transaction, or a savepoint inside one."""
        if not self._found:
            ensure(self.database, self.schema)
        return Write(self.database)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """All rows of one query."""
        with self.read() as connection:
            return connection.rows(sql, params)

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row of one query, or None."""
        with self.read() as connection:
            return connection.row(sql, params)

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row of one query, or None."""
        with self.read() as connection:
            return connection.value(sql, params)

    def attach(self, connection: Connection) -> None:
        """Make sure that a connection lent by another room can see this room's tables too."""
        if self._found:
            return
        if not self.database.read_only:
            ensure(self.database, self.schema)
        _shadow(self.database, connection, self.schema)

    @property
    def _found(self) -> bool:
        """Whether the room is known to be there, for this thread and task."""
        name, database = self.schema.name, self.database
        return name in database.ready or (name in database.born and database.in_transaction)

    def present(self, name: str) -> bool:
        """Whether the file has that room; never creates it."""
        return name in self.database.ready or name in _rooms(self.database)

    def after_commit(self, action: Callable[[], object]) -> None:
        """Run `action` once the outermost write has committed; a rollback forgets it."""
        self.database.after_commit(action)

    def on_rollback(self, action: Callable[[], object]) -> None:
        """Run `action` if what is being written now is rolled back."""
        self.database.on_rollback(action)

    def scrub(self, *, vacuum: bool = False) -> None:
        """Inside a write that deletes text: see to it that no copy is left in the write-ahead log after COMMIT.

        With `vacuum` also none in the unused bytes of pages, at the price of writing the whole file anew.
        """
        if self.database.writer is not None:
            sealed.forget_copies(self.database.writer)
            self.database.wal.owe(self.database.writer, vacuum=vacuum)

    @property
    def cipher(self) -> Cipher | None:
        """What encrypts in this file, None where nothing does."""
        return self.database.cipher

    @property
    def now(self) -> float:
        """Time of the transaction; the clock outside one."""
        return self.database.now

    @property
    def in_transaction(self) -> bool:
        """Whether this thread and task is inside a write."""
        return self.database.in_transaction

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading only."""
        return self.database.read_only

    @property
    def store_id(self) -> str:
        """The store's identity: 32 hex digits, fixed at its birth."""
        return self.database.store_id


class _Ensured(Read):
    """A read whose room has yet to be found in the file, created or shadowed."""

    __slots__ = ("_room",)

    def __init__(self, room: Room, snapshot: bool) -> None:
        super().__init__(room.database, snapshot)
        self._room = room

    def __enter__(self) -> Connection:
        if not self._room.read_only:
            ensure(self._room.database, self._room.schema)
        connection = super().__enter__()
        try:
            self._room.attach(connection)
        except BaseException:
            self.leave(failed=True)
            raise
        return connection


# -- opening a file -----------------------------------------------------------------------------------------------------


def open_database(
    path: Any,
    *,
    read_only: bool,
    create: bool,
    durability: str,
    timeout: float,
    clock: Callable[[], float],
    new_store_id: Callable[[], str],
    codec: Any = None,
) -> Database:
    """Open or begin a file and make sure that it is one of ours."""
    cipher = None if codec is None else Cipher(codec)
    place = files.locate(path, create=create, read_only=read_only)
    database = Database(place, read_only=read_only, durability=durability, timeout=timeout, clock=clock, cipher=cipher)
    try:
        if read_only:
            _recognise(database)
        else:
            _begin(database, new_store_id)
        with Read(database, True) as connection:
            meta: dict[str, str] = dict(connection.rows("SELECT key, value FROM meta"))
            if cipher is not None or not database.in_memory:
                database.guard = cipher or Unencrypted()
                database.guard.confirm(connection, database, write=False)
        database.store_id = str(meta.get("store_id", ""))
        database.wal.owed = not meta.keys().isdisjoint(("scrub_owed", "vacuum_owed"))
        database.pristine = "snapshot" in meta
        if not read_only:
            _settle(database)
        forks.watch(database)
    except BaseException as error:
        _give_up(database)
        if isinstance(error, Corrupt) and database.place not in str(error):
            raise Corrupt(f"{database.place} cannot be opened: {error}") from error
        if isinstance(error, NotAStore) and database.place not in str(error):
            raise NotAStore(f"{database.place} is not an SQLite file") from error
        raise
    return database


def _settle(database: Database) -> None:
    if database.wal.owed:
        with Hold(database, time.monotonic() + database.timeout):
            database.wal.settle()


def _give_up(database: Database) -> None:
    database.unusable = f"{database.name} could not be opened"
    database.drop_connections()


def _begin(database: Database, new_store_id: Callable[[], str]) -> None:
    """Open for writing; into an empty file whoever of several openers is first writes the kernel's tables."""
    deadline = time.monotonic() + database.timeout
    known = not database.in_memory and _probe(database, deadline)
    with Hold(database, deadline):
        database.open_writer(deadline)
    if not known:
        with Write(database) as writer:
            if not _refuse_foreign(database, writer):
                schemas.create(writer, KERNEL, database.now)
                writer.run("INSERT INTO meta(key, value) VALUES ('store_id', ?), ('secure_delete', 'from birth')", (new_store_id(),))
                writer.run("INSERT INTO maintenance(id) VALUES (1)")
                writer.run(f"PRAGMA application_id = {files.APPLICATION_ID}")
                writer.run(f"PRAGMA user_version = {FORMAT}")
                database.after_commit(database.wal.flush)  # so that the file without its log is still known as ours
    ensure(database, KERNEL)


def _probe(database: Database, deadline: float) -> bool:
    """Look at a file before anything could change it, as setting the journal mode would."""
    while True:
        try:
            return _look(database)
        except Busy:  # somebody has the file for himself; Ctrl-C would not be heard in SQLite's own wait
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.002)


def _look(database: Database) -> bool:
    try:
        raw = files.connect(database.place)
        try:
            return _refuse_foreign(database, Connection(raw))
        finally:
            raw.close()
    except FAILURES as error:
        raise translate(error) from error


def _recognise(database: Database) -> None:
    with Read(database, False) as connection:
        if not _refuse_foreign(database, connection):
            raise NotAStore(f"{database.place} is empty; open it for writing to begin a store in it")
        if schemas.state(connection, KERNEL) == "older":
            raise schemas.needs_upgrade(KERNEL)


def _refuse_foreign(database: Database, connection: Connection) -> bool:
    """True for a store of ours, False for an empty file; anything else raises."""
    # Tables first: a store that somebody begins between the two questions has both, and is not taken for a foreign file.
    names = [name for kind, name in schemas.objects(connection.raw) if kind in ("table", "view")]
    if connection.value("PRAGMA application_id") == files.APPLICATION_ID:
        found = connection.value("PRAGMA user_version")
        if found > FORMAT:
            raise SchemaTooNew(
                f"{database.place} has file format {found}, this memstore knows {FORMAT}: upgrade memstore; nothing was touched"
            )
        return True
    if names:
        raise files.foreign(database.place, names)
    return False


# -- bringing a room to its schema --------------------------------------------------------------------------------------


def ensure(database: Database, schema: Schema) -> None:
    """Create or migrate a room; several threads and processes may do it at once."""
    if database.read_only:
        return
    while (found := _state(database, schema)) != "current":
        if found == "absent":
            _create(database, schema)
        else:
            _migrate(database, schema)
    if database.in_transaction:
        database.born.add(schema.name)
        database.on_rollback(lambda: database.born.discard(schema.name))
        database.after_commit(lambda: database.ready.add(schema.name))
    else:
        database.ready.add(schema.name)


def _state(database: Database, schema: Schema) -> str:
    with Read(database, False) as connection:
        return schemas.state(connection, schema)


def _create(database: Database, schema: Schema) -> None:
    with Write(database) as writer:
        if schemas.state(writer, schema) == "absent":
            schemas.create(writer, schema, database.now)


def _migrate(database: Database, schema: Schema) -> None:
    """Bring a room up on a connection of its own, which an interrupt cannot leave behind without foreign keys."""
    if database.in_transaction:
        raise Invalid(f"{schema.name} needs a migration, which cannot run inside transaction(): touch store.{schema.name} first")
    deadline = time.monotonic() + database.timeout
    try:
        with Hold(database, deadline):
            raw = files.connect(database.place)
            try:
                files.set_up_writer(raw, database.place, database.durability, deadline)
                # Rebuilding drops tables that others reference, and renaming must not rewrite the text of views.
                raw.execute("PRAGMA foreign_keys = OFF")
                raw.execute("PRAGMA legacy_alter_table = ON")
                _migrate_on(Connection(raw), database, schema, deadline)
            finally:
                raw.close()
    except FAILURES as error:
        raise translate(error) from error
    more = any(step.batched for step in schema.steps)
    while more:
        with Write(database) as writer:
            more = schemas.run_batch(writer, schema, database.now)


def _migrate_on(connection: Connection, database: Database, schema: Schema, deadline: float) -> None:
    database.begin_immediate(connection, deadline)
    connection.guarded = True
    if schemas.state(connection, schema) == "older":  # or another process was first
        schemas.migrate(connection, schema, database.now)
    connection.run("COMMIT")


def _rooms(database: Database) -> dict[str, int]:
    """Rooms that the file has, with their versions."""
    with Read(database, False) as connection:
        return dict(connection.rows("SELECT room, version FROM schema_version"))


def rooms_in_file(database: Database) -> dict[str, int]:
    """Rooms that the file has, with their versions, the kernel's own left out."""
    return {room: version for room, version in _rooms(database).items() if room != KERNEL.name}


def become(database: Database, connection: Connection, store_id: str) -> None:
    """Give an empty store the identity of the one whose rows it takes over; inside the transaction that does it."""
    connection.run("UPDATE meta SET value = ? WHERE key = 'store_id'", (store_id,))
    if connection.cipher is not None:
        connection.cipher.moved(connection)
    database.after_commit(lambda: setattr(database, "store_id", store_id))


def check_schema(database: Database, schema: Schema) -> list[Finding]:
    """Compare what the file has with what the DDL says; a room that is merely old is brought up first."""
    try:
        with contextlib.suppress(Corrupt):  # what has been lost is named below
            ensure(database, schema)
            if _state(database, schema) == "older":
                raise schemas.needs_upgrade(schema)
        with Read(database, False) as connection:
            return schemas.differences(connection.raw, schema)
    except Corrupt as error:
        return [Finding("corrupt", None, str(error))]


def _shadow(database: Database, connection: Connection, schema: Schema) -> None:
    """Where a connection cannot see a room, answer for it with empty temporary tables until the connection is given back."""
    if schema.name in connection.shadows:
        return
    found = schemas.state(connection, schema)
    if found == "older" and database.read_only:
        raise schemas.needs_upgrade(schema)
    if found == "older":
        raise Busy(f"{schema.name} was brought to a newer schema while this read was under way; do it again")
    if found == "absent":
        connection.run("PRAGMA query_only = OFF")  # it would refuse temporary tables too
        for statement in schemas.statements(schema.ddl):
            bare = "".join(schemas.tokens(statement)).strip()
            if bare.startswith(("CREATE TABLE ", "CREATE VIEW ")):
                connection.run(bare.replace("CREATE ", "CREATE TEMP ", 1))
        connection.run("PRAGMA query_only = ON")
        connection.shadows.add(schema.name)
    elif database.read_only:
        database.ready.add(schema.name)
