"""A layer between SQLite and the disk that sees every call, and can refuse, record or interrupt it.

SQLite reaches files through a table of functions, its VFS. The layer is a copy of the platform's table in which some functions
are ours, written with ctypes. While it is in place it is the process's default, so that code under test opens its files as it
always does and needs no door for tests. Only files of one folder are looked at; temporary files without a name belong to it too.

1. It needs the very library that Python's sqlite3 module calls. The module's own shared object is asked for the symbols, which
   finds those of the library it is linked to, and then a database is opened to see whether the calls arrive.
2. A connection keeps the functions it was opened with, so a layer is never freed, not even after its block.
3. An exception in one of these functions would be printed and lost: they only note what they see.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sqlite3
import tempfile
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

#: Result codes by call; what is not named is left alone.
IOERR = {"read": 266, "write": 778, "sync": 1034, "truncate": 1546, "size": 1802, "delete": 2570, "map": 5386}
FULL = {"write": 13}
CANTOPEN = {"open": 14}


class Event(NamedTuple):
    """Something that has happened to a file, in the order of its happening; `name` of a mark is what the test wants to remember."""

    kind: str  # create, write, truncate, sync, delete, mark
    name: Any
    place: int = 0  # where it was written, to what it was cut, whether a deletion was made to last
    data: bytes = b""


@dataclass
class Fault:
    """The n-th call of the named kinds fails, once or from then on; `only` is the end of the names it is about."""

    codes: dict[str, int]
    at: int
    forever: bool
    only: str = ""
    count: int = 0
    hits: int = 0

    def strikes(self, kind: str, name: str | None) -> int:
        """The code to fail with, 0 where the call may go on."""
        if kind not in self.codes or not (name or "").endswith(self.only):
            return 0
        self.count += 1
        if self.count == self.at or (self.forever and self.count > self.at):
            self.hits += 1
            return self.codes[kind]
        return 0


def _pointers(names: str) -> list[tuple[str, Any]]:
    return [(name, c_void_p) for name in names.split()]


class _Vfs(ctypes.Structure):
    """What a VFS is to SQLite."""

    _fields_ = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        *_pointers("xOpen xDelete xAccess xFullPathname xDlOpen xDlError xDlSym xDlClose xRandomness xSleep xCurrentTime"),
        *_pointers("xGetLastError xCurrentTimeInt64 xSetSystemCall xGetSystemCall xNextSystemCall"),
    ]


class _Methods(ctypes.Structure):
    """What can be done with an open file; version 1 ends at xDeviceCharacteristics, version 2 before xFetch."""

    _fields_ = [
        ("iVersion", c_int),
        *_pointers("xClose xRead xWrite xTruncate xSync xFileSize xLock xUnlock xCheckReservedLock xFileControl xSectorSize"),
        *_pointers("xDeviceCharacteristics xShmMap xShmLock xShmBarrier xShmUnmap xFetch xUnfetch"),
    ]


_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_UNFETCH = CFUNCTYPE(c_int, c_void_p, c_int64, c_void_p)
_WRAPPED: list[tuple[str, str, Any]] = [
    ("read", "xRead", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)),
    ("write", "xWrite", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)),
    ("truncate", "xTruncate", CFUNCTYPE(c_int, c_void_p, c_int64)),
    ("sync", "xSync", CFUNCTYPE(c_int, c_void_p, c_int)),
    ("size", "xFileSize", CFUNCTYPE(c_int, c_void_p, c_void_p)),
    ("map", "xShmMap", CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, POINTER(c_void_p))),
]
_kept: list[Layer] = []


def _done(_file: int, _flags: int) -> int:
    """A sync that is not passed on: what it is for is played through on the tape, and waiting for the real disk proves nothing."""
    return 0


class Layer:
    """The layer, in place for a `with` block.

    `fault` makes calls fail, `tape` (a list) is given the events, `at_checkpoint` is called once, in the moment after a
    checkpoint has read the log's header again and before it copies: SQLite calls xUnfetch(0, NULL) there and nowhere else.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.path.realpath(folder)
        self.fault: Fault | None = None
        self.tape: list[Event] | None = None
        self.at_checkpoint: Callable[[], object] | None = None
        self.calls = 0
        self._library = library()
        self._below = _Vfs.from_address(self._library.sqlite3_vfs_find(None))
        self._names: dict[int, str | None] = {}  # of open files, by their address
        self._methods: dict[int, _Methods] = {}
        self._functions: list[Any] = []  # ctypes frees what nobody holds, whoever may still call it
        self._open_below, self._delete_below = _OPEN(self._below.xOpen), _DELETE(self._below.xDelete)
        self.name = f"memstore-test-{len(_kept)}"
        self._table = _Vfs.from_buffer_copy(self._below)
        self._table.zName, self._table.pNext = self.name.encode(), None
        self._table.xOpen, self._table.xDelete = self._given(_OPEN, self._open), self._given(_DELETE, self._delete)
        _kept.append(self)

    def __enter__(self) -> Layer:
        self._library.sqlite3_vfs_register(ctypes.byref(self._table), 1)
        return self

    def __exit__(self, *failure: object) -> None:
        self.fault = self.tape = self.at_checkpoint = None
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._table))
        self._library.sqlite3_vfs_register(ctypes.byref(self._below), 1)

    def mark(self, what: Any) -> None:
        """Put a note of the test's own on the tape."""
        if self.tape is not None:
            self.tape.append(Event("mark", what))

    def _given(self, prototype: Any, function: Callable[..., int]) -> c_void_p:
        callback = prototype(function)
        self._functions.append(callback)
        return ctypes.cast(callback, c_void_p)

    def _watched(self, name: str | None) -> bool:
        return name is None or name.startswith(self.folder)

    def _strikes(self, kind: str, name: str | None) -> int:
        self.calls += 1
        return self.fault.strikes(kind, name) if self.fault is not None and self._watched(name) else 0

    def _note(self, kind: str, name: str | None, place: int = 0, data: bytes = b"") -> None:
        if self.tape is not None and name is not None and self._watched(name):
            self.tape.append(Event(kind, name, place, data))

    def _open(self, _vfs: int, given: int | None, file: int, flags: int, out: Any) -> int:
        name = os.fsdecode(ctypes.string_at(given)) if given else None
        methods = c_void_p.from_address(file)
        if code := self._strikes("open", name):
            methods.value = None  # SQLite would close the file otherwise
            return code
        is_new = name is not None and not os.path.exists(name)
        code = self._open_below(ctypes.addressof(self._below), given, file, flags, out)
        if methods.value:
            self._names[file] = name
            methods.value = ctypes.addressof(self._layered(methods.value))
        if code == 0 and is_new:
            self._note("create", name)
        return int(code)

    def _delete(self, _vfs: int, given: bytes, lasting: int) -> int:
        name = os.fsdecode(given)
        code = self._strikes("delete", name) or self._delete_below(ctypes.addressof(self._below), given, lasting)
        if code == 0:
            self._note("delete", name, lasting)
        return int(code)

    def _layered(self, address: int) -> _Methods:
        """The table of an open file with our functions in it; the platform has a few such tables for all files."""
        if address not in self._methods:
            below = _Methods.from_address(address)
            table = self._methods[address] = _Methods()
            last = {1: "xShmMap", 2: "xFetch"}.get(below.iVersion)
            ctypes.memmove(ctypes.byref(table), address, getattr(_Methods, last).offset if last else ctypes.sizeof(_Methods))
            for kind, field, prototype in _WRAPPED:
                if getattr(table, field):
                    reaching = prototype(getattr(below, field)) if kind != "sync" else _done
                    setattr(table, field, self._given(prototype, self._function(kind, reaching)))
            if table.xUnfetch:
                table.xUnfetch = self._given(_UNFETCH, self._unfetching(_UNFETCH(below.xUnfetch)))
        return self._methods[address]

    def _function(self, kind: str, below: Callable[..., int]) -> Callable[..., int]:
        def call(file: int, *arguments: Any) -> int:
            name = self._names[file]
            if code := self._strikes(kind, name):
                return code
            code = below(file, *arguments)
            if code == 0 and self.tape is not None:
                if kind == "write":
                    self._note(kind, name, arguments[2], ctypes.string_at(arguments[0], arguments[1]))
                elif kind == "truncate":
                    self._note(kind, name, arguments[0])
                elif kind == "sync":
                    self._note(kind, name)
            return code

        return call

    def _unfetching(self, below: Callable[..., int]) -> Callable[..., int]:
        def call(file: int, place: int, pointer: int | None) -> int:
            if place == 0 and not pointer and self.at_checkpoint is not None:
                interrupt, self.at_checkpoint = self.at_checkpoint, None
                interrupt()
            return below(file, place, pointer)

        return call


@functools.cache
def library() -> Any:
    """The SQLite that the sqlite3 module calls."""
    import _sqlite3

    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype, library.sqlite3_vfs_find.argtypes = c_void_p, [c_char_p]
    library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
    library.sqlite3_vfs_unregister.argtypes = [c_void_p]
    return library


@functools.cache
def unavailable() -> str:
    """Why no layer can be put under this Python's SQLite; empty where it can."""
    try:
        with tempfile.TemporaryDirectory() as folder, Layer(folder) as layer:
            raw = sqlite3.connect(os.path.join(folder, "probe.db"))
            raw.execute("CREATE TABLE probe(a)")
            raw.close()
            return "" if layer.calls else "sqlite3 uses another library than the one whose symbols were found"
    except (OSError, AttributeError, ImportError, ValueError) as error:
        return f"SQLite is linked into Python without symbols to call: {error}"


needs_layer = pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "the layer works")
