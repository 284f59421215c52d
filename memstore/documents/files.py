"""Files and folders: text files become documents, the others are skipped, each with a reason.

1. Whether a file has changed is decided by its bytes, never by its name or time: an unchanged file costs a read and a hash.
2. A bad file does not keep the others out. Each batch is a transaction, so an interrupted call leaves whole files behind.
3. The document of a file that can no longer be taken in is hidden; with `prune` so is that of a file that is gone. A file that could not
   be looked at changes nothing.

The trap: a database of this process may lie in the folder. Opening and closing it would drop the locks of its owner.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Invalid, Record, path_of, record, values
from ..kernel.rows import AMONG, Term, listed
from .adding import DEFAULTS, Adding
from .chunking import SIZE, sizes
from .filters import opened
from .library import OWNED
from .tables import CHECKS, Document, uri_key

if TYPE_CHECKING:
    from mimetypes import MimeTypes

    from ..kernel import Connection

LARGEST = 16 * 2**20  # bytes of a file, unless the caller says otherwise
BATCH_FILES = 256
BATCH_BYTES = 2 * 2**20
SOURCE_TYPE = "local_files"
#: Folders in which nobody writes what is to be read.
LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@record
class IngestReport(Record):
    """What `add_files` did, in numbers of files; `reasons` has the reason for each skipped one, by path."""

    added: int
    changed: int
    unchanged: int
    removed: int
    skipped: int
    reasons: dict[str, str]


class _Refusal(NamedTuple):
    """Why a file is skipped, and whether its present content was `seen` to be the reason."""

    why: str
    seen: bool = False


class _File(NamedTuple):
    """A file that was read."""

    place: str
    base: str  # the folder that the caller named, or the one that a named file is in
    data: bytes
    digest: str
    modified_at: float

    @property
    def uri(self) -> str:
        return _uri(self.place)


@dataclass(slots=True)
class _Call:
    """What a call of `add_files` says about all documents, and what became of the files so far."""

    project: str | None
    user_id: str | None
    cutting: dict[str, int]
    event: dict[str, str]
    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    no_text: list[str] = field(default_factory=list)  # files that were looked at and cannot be taken in

    def refuse(self, place: str, refusal: _Refusal) -> None:
        """Skip a file."""
        self.reasons[place] = refusal.why
        if refusal.seen:
            self.no_text.append(place)


class Files(Adding):
    """The part of the documents room that reads files."""

    def add_files(
        self,
        paths: Paths,
        *,
        project: str | None = None,
        user_id: str | None = None,
        prune: bool = False,
        progress: Callable[[int, int], object] | None = None,
        chunk_size: int = SIZE,
        overlap: int | None = None,
        max_bytes: int = LARGEST,
        actor: str = "",
        note: str = "",
    ) -> IngestReport:
        """Add files, and all files below folders, as documents, and report what became of them.

        Files must be UTF-8. Names that begin with a dot, folders of caches and packages, and links to folders are skipped. The `uri` of
        a document is the absolute path of its file. A document is removed when its file can no longer be taken in, and with `prune`
        when its file in one of the folders is gone; a removed one whose file exists comes back, whoever removed it, and counts as added.
        `progress` is called with the files done and their total. A path that does not exist raises before anything is written.
        """
        roots = _roots(paths)
        prune, max_bytes = values.flag("prune", prune), min(values.integer("max_bytes", max_bytes, low=0), values.TEXT_LIMIT)
        values.listener("progress", progress)
        call = _Call(
            values.optional(values.key, "project", project),
            values.optional(values.key, "user_id", user_id),
            sizes(chunk_size, overlap),
            {"actor": values.label("actor", actor), "note": values.text("note", note)},
        )
        counts, reasons = call.counts, call.reasons
        found = _found(roots, reasons)
        for done, batch in _batches(found, max_bytes, call.refuse):
            self._take(call, batch)
            if progress is not None:
                progress(done, len(found))
        self._hide_no_text(call)
        if prune:
            self._prune(call, [root for root in roots if os.path.isdir(root)])
        return IngestReport(counts["added"], counts["changed"], counts["unchanged"], counts["removed"], len(reasons), reasons)

    def _take(self, call: _Call, files: Sequence[_File]) -> None:
        """Add those of some files that are new or changed, in one transaction."""
        known = self._hashes(call, [file.place for file in files])
        fresh = [file for file in files if known.get(file.uri) != file.digest]
        call.counts["unchanged"] += len(files) - len(fresh)
        items = []
        for file in fresh:
            try:
                columns = {**BARE, **_columns(file), "user_id": call.user_id}
                items.append(self._arrival(_text(file), call.project, columns, call.cutting, content_hash=file.digest))
            except Invalid as error:
                call.refuse(file.place, _Refusal(str(error), seen=True))
        if items:
            call.counts.update(_outcome(new, old) for new, old in self._bring(items, call.event))

    def _hashes(self, call: _Call, places: Sequence[str]) -> dict[str | None, str]:
        """The content hashes of the documents of some files that are not hidden, by uri."""
        with self.db.read(snapshot=True) as connection:
            terms = self._among(connection, call, places)
            return {uri: content_hash for _, (uri, content_hash) in opened(connection, ("uri", "content_hash"), terms)}

    def _among(self, connection: Connection, call: _Call, places: Sequence[str]) -> list[Term]:
        """The conditions on the documents of some files that are not hidden."""
        return [(f"uri_key {AMONG}", listed(uri_key(_uri(place), "", connection.cipher) for place in places)), self._owned(call)]

    def _hide_no_text(self, call: _Call) -> None:
        """Hide the documents of files that can no longer be taken in; mostly there are none, and nothing is written."""
        if call.no_text and self._hashes(call, call.no_text):
            with self.db.write() as connection:
                there = opened(connection, ("uri",), self._among(connection, call, call.no_text))
                self._hide_all(connection, call, [id for id, _ in there])

    def _hide_all(self, connection: Connection, call: _Call, ids: Sequence[str]) -> None:
        for id in ids:
            self._hide(connection, self._known(connection, id), **call.event)
        call.counts["removed"] += len(ids)

    def _prune(self, call: _Call, folders: Sequence[str]) -> None:
        """Hide the documents whose files were in some folders and are gone."""
        inside = tuple(PurePath(folder, "_").as_posix()[:-1] for folder in folders)
        with self.db.write() as connection:
            terms: list[Term] = [("source_type = ?", SOURCE_TYPE), self._owned(call)]
            there = [(id, uri) for id, (uri,) in opened(connection, ("uri",), terms) if uri is not None and uri.startswith(inside)]
            self._hide_all(connection, call, [id for id, uri in there if _is_gone(uri)])

    def _owned(self, call: _Call) -> Term:
        """The condition on documents of the call's project and user that are not hidden."""
        return f"{OWNED} AND is_deleted = 0", self._canonical(call.project, call.user_id) or "", call.user_id or ""


def _outcome(new: Document, old: Document | None) -> str:
    """What became of a file; another process may have brought it since it was looked up."""
    if old is None or old.is_deleted:
        return "added"
    return "unchanged" if old.content_hash == new.content_hash else "changed"


#: The columns of a document at their defaults.
BARE = {name: DEFAULTS.get(name) for name in CHECKS}


def _columns(file: _File) -> dict[str, Any]:
    path = PurePath(file.place)
    relative = path.relative_to(file.base).as_posix()
    return {
        "uri": file.uri,
        "title": relative,
        "display_name": path.name,
        "source_type": SOURCE_TYPE,
        "file_path": file.place,
        "base_path": file.base,
        "relative_path": relative,
        "suffix": path.suffix,
        "size_bytes": len(file.data),
        "mime_type": _types().guess_type(path.name)[0] or "text/plain",
        "file_modified_at": file.modified_at,
    }


@cache
def _types() -> MimeTypes:
    from mimetypes import MimeTypes

    return MimeTypes()  # not the shared map, to which each machine adds types of its own


def _uri(place: str) -> str:
    return PurePath(place).as_posix()


# -- looking at the disk ------------------------------------------------------------------------------------------------


def _roots(paths: Paths) -> list[str]:
    """The files and folders that a caller names, as absolute paths without links."""
    if isinstance(paths, (str, bytes, os.PathLike)):
        paths = [paths]
    if not isinstance(paths, Iterable):
        raise Invalid(f"paths must be a path or a list of paths, not {type(paths).__name__}")
    roots = [os.path.realpath(values.key("paths", path_of(path))) for path in paths]
    for root in roots:
        if not os.path.exists(root):
            raise Invalid(f"paths names {values.one_line(root, 500)}, and there is no such file or folder; nothing was taken in")
    return roots


def _found(roots: Iterable[str], reasons: dict[str, str]) -> dict[str, str]:
    """The files to be read, in the order of their names, each with its base."""
    found: dict[str, str] = {}
    for root in roots:
        if os.path.isdir(root):
            for place in _inside(root, reasons):
                found.setdefault(place, root)
        else:
            found.setdefault(root, os.path.dirname(root))
    return found


def _inside(root: str, reasons: dict[str, str]) -> Iterator[str]:
    """All files below a folder."""
    waiting = [root]
    while waiting:
        place = waiting.pop()
        if not os.path.isdir(place):
            yield place
        elif os.path.islink(place):
            reasons[place] = "it is a link to a folder, which may lead anywhere"
        else:
            try:
                names = sorted(os.listdir(place), reverse=True)
            except OSError as error:
                reasons[place] = f"it cannot be listed: {error.strerror}"
                continue
            waiting += [os.path.join(place, name) for name in names if not name.startswith(".") and name not in LEFT_OUT]


def _batches(
    found: dict[str, str], max_bytes: int, refuse: Callable[[str, _Refusal], None]
) -> Iterator[tuple[int, list[_File]]]:
    """The files that can be read, in batches, each with the number of files looked at by then."""
    batch: list[_File] = []
    size = 0
    for done, (place, base) in enumerate(found.items(), 1):
        file = _read(place, base, max_bytes)
        if isinstance(file, _Refusal):
            refuse(place, file)
        else:
            batch.append(file)
            size += len(file.data)
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield done, batch
            batch, size = [], 0
    yield len(found), batch


def _read(place: str, base: str, max_bytes: int) -> _File | _Refusal:
    """A file, or why it is skipped."""
    try:
        values.key("path", path_of(place))
        if os.path.islink(place):
            path_of(os.path.realpath(place))
        about = os.stat(place)
        if not stat.S_ISREG(about.st_mode):
            return _Refusal("it is not a regular file", seen=True)
        with open(place, "rb") as file:
            data = file.read(max_bytes + 1)
    except Invalid as error:
        return _Refusal(str(error))
    except OSError as error:
        return _Refusal(f"it cannot be read: {error.strerror}")
    if len(data) > max_bytes:
        return _Refusal(f"it has {max(about.st_size, len(data)):,} bytes; at most {max_bytes:,} are taken in", seen=True)
    if b"\0" in data:
        return _Refusal("it is no text: it holds NUL bytes", seen=True)
    return _File(place, base, data, hashlib.sha256(data).hexdigest(), about.st_mtime)


def _text(file: _File) -> str:
    try:
        return file.data.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"it is no text in UTF-8, as its byte {error.start} shows") from None


def refusal(path: str) -> str | None:
    """Why `add_files` would skip a file, or None."""
    file = _read(os.path.realpath(path), "", LARGEST)
    if isinstance(file, _Refusal):
        return file.why
    try:
        _text(file)
    except Invalid as error:
        return str(error)
    return None


def _is_gone(place: str) -> bool:
    """Whether a file does not exist; an error of another kind does not say so."""
    try:
        return not stat.S_ISREG(os.stat(place).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
