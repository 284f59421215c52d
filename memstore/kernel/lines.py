"""Files of lines for others to read: training rows, exports. Never a store's own files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from .errors import Invalid
from .files import BESIDE, is_beside, unwritable
from .values import key, new_id


def path_of(path: Any) -> str:
    """A path that may be opened: no database in use, whose locks this process would drop by closing it again."""
    try:
        name = str.__str__(os.fsdecode(os.fspath(path)))  # pathlib would take an enum's member by its name
    except TypeError:
        raise Invalid(f"path must be str or os.PathLike, not {type(path).__name__}") from None
    if any(os.path.exists(key("path", name) + side) for side in BESIDE):
        raise Invalid(f"{name} is a database in use; name another file")
    if is_beside(name):
        raise Invalid(f"{name} is part of a database; name another file")
    return name


def write_lines(path: Any, lines: Iterable[str]) -> int:
    """Write a file that appears whole or not at all, replacing an older one, and return how many lines it has."""
    target = path_of(os.path.realpath(path_of(path)))  # a link stays a link: what is replaced is the file that it names
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.isdir(folder):
        raise Invalid(f"{target} is a folder or in a folder that does not exist; name a file in an existing folder")
    if os.path.exists(target) and not os.path.isfile(target):
        raise Invalid(f"{target} is not a regular file, which is all that can be replaced")
    if _is_database(target):
        raise Invalid(f"{target} is a database, which lines would replace; name another file")
    beside = os.path.join(folder, f".{new_id()}.part")
    count = 0
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="\n") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
    return count


def _is_database(place: str) -> bool:
    """Whether it is an SQLite file; only for one that is not in use, since closing it drops this process's locks."""
    with contextlib.suppress(OSError), open(place, "rb") as file:
        return file.read(16) == b"SQLite format 3\0"
    return False
