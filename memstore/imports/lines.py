"""Files of JSON lines, read as if each were a table of another application's.

1. A file is read as far as it went when it was opened, so one that grows meanwhile does no harm; `confirm` notices every other change.
2. A line that cannot be read stops nothing: it comes with the reason in place of what it says. A blank line says nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, path_of, values
from ..kernel.files import resolve
from ..kernel.foreign import PAGE, Changed

if TYPE_CHECKING:
    from collections.abc import Mapping


class Line(dict[str, Any]):
    """The object that a line holds, and where it stands; empty, with the reason, where there is none."""

    def __init__(self, place: str, said: Mapping[str, Any], error: Invalid | None = None) -> None:
        super().__init__(said)
        self.place = place
        self.error = error


class LineFiles:
    """Some files, each with a name to be known by; one that ends in .json is one array instead."""

    def __init__(self, place: str, files: Mapping[str, str]) -> None:
        self.place = place
        self._files = dict(files)
        self._states = {name: _state(path) for name, path in files.items()}

    def __enter__(self) -> LineFiles:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open between two pages."""

    def tables(self) -> dict[str, list[str]]:
        """The names of the files; no line says which keys another one has."""
        return {name: [] for name in self._files}

    def count(self, table: str) -> int:
        """How many lines are not blank."""
        return sum(1 for _ in self._contents(table))

    def pages(self, table: str) -> Iterator[list[Line]]:
        """The lines of a file, a page at a time."""
        page: list[Line] = []
        for place, content in self._contents(table):
            page.append(_line(place, content))
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    def confirm(self) -> None:
        """Raise Changed where a file was not only written on."""
        for name, path in self._files.items():
            (changed_at, size, file), (last_changed_at, last_size, last_file) = self._states[name], _state(path)
            if file != last_file or size > last_size or (size == last_size and changed_at != last_changed_at):
                raise Changed(f"{path} was written to while it was read; nothing was taken: do it again")

    def _contents(self, table: str) -> Iterator[tuple[str, Any]]:
        """Each line that is not blank, as bytes, or each item of an array, with its place."""
        path, left = self._files[table], self._states[table][1]
        with _opened(path) as source:
            if path.endswith(".json"):
                for number, item in enumerate(self.items(table, path, _said(path, source.read(left))), 1):
                    yield f"item {number}", item
                return
            for number, content in enumerate(source, 1):
                content = content[:left]
                left -= len(content)
                if content.strip():
                    yield f"line {number}", content
                if not left:
                    return


    def items(self, table: str, path: str, said: Any) -> list[Any]:
        """The rows that the JSON document of a file holds."""
        if not isinstance(said, list):
            raise Invalid(f"{path} is not a JSON array")
        return said


def existing(path: Any) -> str:
    """The resolved path of a file or folder that is there."""
    if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
        return os.fsdecode(os.path.realpath(path))
    place = resolve(path)
    if not os.path.exists(place):
        raise NotFound(f"there is no file {place}; check the path")
    if not os.path.isfile(place):  # a pipe would be waited for without end
        raise Invalid(f"{place} is not a regular file; name the file or the folder that holds it")
    return place


def _opened(path: str) -> Any:
    try:
        return open(path_of(path), "rb")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror or error}") from error


def _state(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, -1, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _line(place: str, content: Any) -> Line:
    try:
        said = _said("it", content) if isinstance(content, bytes) else content
        if not isinstance(said, dict):
            raise Invalid(f"it is not a JSON object but {values.shorten(said)}")
    except Invalid as error:
        return Line(place, {}, error)
    return Line(place, said)


def _said(what: str, content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Invalid(f"{what} is not UTF-8 at byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} is not JSON that can be read: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
