"""Paths, and connections set up the one way we use them.

1. Our own process never opens a store's files itself: closing any descriptor of a file drops this process's POSIX locks on
   it, and another process could then write while we believe we hold the lock. `os.stat` only; SQLite does the rest.
   (The one `os.open` here creates a file that did not exist, so nobody has it open.)
2. A path is resolved once. SQLite gets it as a URI that we build, since some builds read `file:` names even when not asked.
3. Every pragma is set before any transaction (inside one some are ignored in silence) and the important ones are read back.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from typing import Any

from .driver import FAILURES, is_busy
from .errors import Closed, Corrupt, DiskFull, Exists, Invalid, NotAStore, NotFound, NotSupported, ReadOnly, StoreError

APPLICATION_ID = 0x6D656D73  # "mems"
MEMORY = ":memory:"
BESIDE = ("-wal", "-shm", "-journal")
LOG_KEPT = 16 << 20  # bytes of log that are copied at once and kept to be written over; at 4 MB a checkpoint's syncs weigh a seventh
PATH_LIMIT = 500  # SQLite allows 512 bytes and appends "-journal"
#: Files that a child of fork inherited open: SQLite's idea of the locks in this process is wrong for good.
unusable_here: set[tuple[int, int]] = set()


def locate(path: Any, *, create: bool, read_only: bool) -> str:
    """Resolve a path to the file of a store, creating an empty one with mode 0600 where allowed."""
    if isinstance(path, str) and path == MEMORY:
        if read_only:
            raise Invalid("a :memory: store cannot be read-only: there would be nothing to read")
        return MEMORY
    place = resolve(path)
    try:
        status = os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        return _create(place, create=create and not read_only)
    except OSError as error:
        raise ReadOnly(f"{place} cannot be reached: {error.strerror}") from error
    _check_file(place, status)
    if status.st_size == 0 and not create:
        raise NotAStore(f"{place} is empty; open it with create=True to begin a store in it")
    return place


def resolve(path: Any) -> str:
    try:
        name = os.fsdecode(os.fspath(path))
    except TypeError:
        raise Invalid(f"path must be str or os.PathLike, not {type(path).__name__}") from None
    if not name or "\0" in name:
        raise Invalid(f"path {name!r} names no file; use ':memory:' for a store that lives in memory")
    try:
        place = os.path.realpath(name)
    except UnicodeEncodeError:
        raise Invalid(f"path {name!r} holds a lone surrogate, which no file name can") from None
    if len(os.fsencode(place)) > PATH_LIMIT:
        raise Invalid(f"the path has {len(os.fsencode(place))} bytes, SQLite takes at most {PATH_LIMIT}: {place[:80]}…")
    if name.endswith(os.sep) or os.path.isdir(place):
        raise Invalid(f"{name} is a folder; name a file in it, such as {os.path.join(name, 'agent.db')}")
    return place


def _create(place: str, *, create: bool) -> str:
    folder = os.path.dirname(place)
    if not os.path.isdir(folder):
        hint = "; os.path.expanduser() makes a home folder of '~'" if f"{os.sep}~" in folder else "; create it first"
        raise Invalid(f"the folder {folder} does not exist{hint}")
    if wal_size(place) > 0 and not os.path.exists(place):  # in this order: whoever begins a store makes its main file first
        raise Corrupt(f"{place} is gone but {place}-wal is not: restore it from a snapshot, keep the -wal until then")
    if not create:
        raise NotFound(f"there is no store at {place}; open it with create=True and for writing to begin one")
    try:
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except FileExistsError:
        return locate(place, create=True, read_only=False)  # another process was first: that is fine
    except OSError as error:
        raise ReadOnly(f"cannot create {place}: {error.strerror}; choose a folder that can be written") from error
    return place


def _check_file(place: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotAStore(f"{place} is not a regular file")
    if status.st_nlink > 1:
        raise Invalid(f"{place} has {status.st_nlink} hard links; each name would get its own -wal file and they would diverge")
    if 0 < status.st_size < 512:
        raise NotAStore(f"{place} has {status.st_size} bytes, too few for an SQLite file")
    if status.st_size == 0 and wal_size(place) > 0 and _size(place) == 0:  # asked again: since then another may have begun the store
        raise Corrupt(f"{place} is empty but {place}-wal is not: the main file was lost; restore it from a snapshot, keep the -wal")
    if not os.access(place, os.R_OK):
        raise ReadOnly(f"{place} may not be read by this user; change its permissions")
    if (status.st_dev, status.st_ino) in unusable_here:
        raise Closed(f"{place} was open when this process was forked; only a fresh process can open it safely")


def wal_size(place: str) -> int:
    """Size of the write-ahead log, 0 if there is none."""
    return _size(place + "-wal")


def unfinished(place: str) -> str | None:
    """What beside a file is part of its content: "-wal", or the "-journal" of a change that has to be rolled back."""
    return next((side for side in ("-wal", "-journal") if _size(place + side)), None)


def is_beside(place: str) -> bool:
    """Whether a name is that of a log or journal of a file that is there, and so SQLite's to write."""
    return any(place.endswith(side) and os.path.exists(place.removesuffix(side)) for side in BESIDE)


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0


def identity(place: str) -> tuple[int, int] | None:
    """Device and inode of the file now at the path."""
    try:
        status = os.stat(place)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connect(place: str, *, mode: str = "rw", timeout: float = 0.0) -> sqlite3.Connection:
    """Open one connection; `mode` is rw, ro or immutable."""
    if place == MEMORY:
        target = MEMORY
    else:
        quoted = "".join(
            chr(byte) if chr(byte).isalnum() and byte < 128 or byte in b"/-._~" else f"%{byte:02X}" for byte in os.fsencode(place)
        )
        target = f"file:{quoted}?" + ("mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}")
    return sqlite3.connect(
        target,
        uri=place != MEMORY,
        timeout=timeout,
        isolation_level=None,  # we write BEGIN and COMMIT ourselves; the driver's implicit ones differ between versions
        check_same_thread=False,  # the kernel's locks see to it
        cached_statements=512,  # the rooms together have more than the default 128
    )


def set_up_writer(raw: sqlite3.Connection, place: str, durability: str, deadline: float) -> None:
    """Set the pragmas of the connection that writes."""
    if place != MEMORY:
        if patiently(raw, "PRAGMA page_count", deadline) == 0:
            # Only before the first page is written does it count, and later it would wait for whoever writes.
            patiently(raw, "PRAGMA auto_vacuum = INCREMENTAL", deadline)
        mode = patiently(raw, "PRAGMA journal_mode = WAL", deadline)
        if mode != "wal":
            raise NotSupported(f"{place} cannot use a write-ahead log here (journal_mode is {mode}); use a local disk")
        raw.execute("PRAGMA wal_autocheckpoint = 0")  # unguarded checkpoints can lose commits: see wal.py
        raw.execute(f"PRAGMA journal_size_limit = {LOG_KEPT}")  # a log that begins anew is cut to this, which wal.py relies on
        raw.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        if durability == "full":
            raw.execute("PRAGMA fullfsync = 1")  # macOS: without it fsync stops at the drive's cache
            raw.execute("PRAGMA checkpoint_fullfsync = 1")
    raw.execute("PRAGMA foreign_keys = ON")
    patiently(raw, "PRAGMA secure_delete = ON", deadline)
    for name in ("foreign_keys", "secure_delete"):
        if patiently(raw, f"PRAGMA {name}", deadline) != 1:
            raise NotSupported(f"this SQLite {sqlite3.sqlite_version} was built without {name}")


def patiently(raw: sqlite3.Connection, pragma: str, deadline: float) -> Any:
    """Run a pragma and return its value, waiting for others: several may open a fresh file, or close the last handle, just now."""
    while True:
        try:
            row = raw.execute(pragma).fetchone()
            return None if row is None else row[0]
        except sqlite3.OperationalError as error:
            # The switch to the log takes an exclusive lock without asking the busy handler, so we wait ourselves.
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.002)


def set_up_reader(raw: sqlite3.Connection, *, timeout: float, read_only: bool) -> None:
    """Set the pragmas of a connection that is lent to readers."""
    raw.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")  # they wait only while somebody recovers or removes the log
    if not read_only:
        raw.execute("PRAGMA wal_autocheckpoint = 0")
        raw.execute("PRAGMA query_only = ON")


def copy(source: sqlite3.Connection, target: Any, progress: Any, *, origin: str, store_id: str) -> str:
    """Copy a database into a new file, in place only when complete, and return its resolved path."""
    place = resolve(target)
    if place == origin:
        raise Exists(f"{place} is this store itself; name another file for the snapshot")
    folder = os.path.dirname(place)
    if not os.path.isdir(folder):
        raise Invalid(f"the folder {folder} does not exist; create it first")
    _check_target(place, store_id)
    part = os.path.join(folder, f".{os.urandom(3).hex()}.part")  # short: the name of the target may use up what SQLite allows
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _copy_pages(source, part, progress)
        sync(part)
        os.replace(part, place)
        sync(folder)
    except OSError as error:
        raise unwritable(place, error) from error
    finally:
        for left in (part, part + "-journal", part + "-wal", part + "-shm"):  # a failing disk leaves any of them
            if os.path.exists(left):
                os.unlink(left)
    return place


def _check_target(place: str, store_id: str) -> None:
    """Only an earlier snapshot of the same store that nobody has open may be replaced."""
    if is_beside(place):
        raise Exists(f"{place} is the name of a part of another database; choose another name for the snapshot")
    if not os.path.exists(place):
        return
    if unfinished(place) or os.path.exists(place + "-shm"):  # a journal left there would be rolled back into the copy
        raise Exists(f"{place} is a database in use; choose another name for the snapshot")
    meta = _meta(place) if os.path.isfile(place) else {}
    if meta.get("store_id") != store_id:
        raise Exists(f"{place} exists and is no snapshot of this store; choose another name or remove it")
    if "snapshot" not in meta:
        raise Exists(f"{place} is this store itself, or a snapshot that was written to since; choose another name or remove it")


def _meta(place: str) -> dict[str, str]:
    """What a file says of itself, nothing if it is no store."""
    try:
        probe = connect(place, mode="immutable")
        try:
            known = probe.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
            return dict(probe.execute("SELECT key, value FROM meta")) if known else {}
        finally:
            probe.close()
    except FAILURES:
        return {}


def unwritable(place: str, error: OSError) -> StoreError:
    """The error for a file beside the store that the system does not let us write."""
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
    return (DiskFull if full else ReadOnly)(f"{place} cannot be written: {error.strerror or error}")


def _copy_pages(source: sqlite3.Connection, part: str, progress: Any) -> None:
    def report(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    copy_to = connect(part)
    try:
        # In steps, so that Ctrl-C is honoured between them; the caller's read transaction keeps them one state.
        source.backup(copy_to, pages=2048, progress=report, sleep=0)
        # One file, no -wal beside it; the store switches back when opened. SQLite says by the mode alone that it could not.
        if copy_to.execute("PRAGMA journal_mode = DELETE").fetchone() != ("delete",):
            raise DiskFull("the disk failed before the copy was complete; check its free space and health, and copy again")
        (line,) = copy_to.execute("PRAGMA quick_check(1)").fetchone()
        if line != "ok":  # an earlier snapshot may be the last whole copy there is
            found = " ".join(line.split())
            raise Corrupt(f"this store is damaged ({found}); nothing was copied and what was there is as it was: check() says more")
        copy_to.execute("INSERT INTO meta(key, value) VALUES ('snapshot', '1') ON CONFLICT DO NOTHING")  # until it is written to
    finally:
        copy_to.close()


def sync(place: str) -> None:
    """Flush a finished file, or a folder's entry of it, to the disk."""
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except OSError:  # Windows cannot open a folder
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def foreign(place: str, tables: list[str]) -> StoreError:
    """The error for an SQLite file that another application made."""
    if {"meta", "schema_version", "maintenance"} <= set(tables):
        return NotAStore(f"{place} has the tables of a store and the mark of another application: put a snapshot in its place")
    if {"audit_log", "promotions", "corrections", "assertion_events"} <= set(tables):
        from shlex import quote  # of use in this one message

        return NotAStore(f"{place} is an AUA state file; take it in with: python -m memstore import --from aua {quote(place)}")
    shown = ", ".join(tables[:5]) + (", …" if len(tables) > 5 else "")
    return NotAStore(f"{place} belongs to another application (tables: {shown}); choose another path")
