"""One row, one line: canonical JSON, so that equal rows are equal bytes.

Names are sorted, no white space stands between them, non-ASCII is readable; a blob is an object `{"$base64": "..."}`, which no
column holds otherwise, for documents are texts here.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel import Corrupt, values

if TYPE_CHECKING:
    from ..kernel import Carried, Cipher
    from ..kernel.carrying import Row, Shape

INT64 = 2**63
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)


def unsealed(cipher: Cipher | None, carried: Carried, rows: list[Row]) -> list[Row]:
    """Rows of a table as they leave the file: what a codec encrypts there is plain text in an export."""
    return rows if cipher is None else _turned(cipher.unseal_column, carried, rows)


def sealed(cipher: Cipher | None, carried: Carried, rows: list[Row]) -> list[Row]:
    """Rows of an export as they go into the file, bound to the keys that they have there."""
    return rows if cipher is None else _turned(cipher.seal_column, carried, rows)


def _turned(turn: Callable[[Carried, str, tuple[Any, ...], Any], Any], carried: Carried, rows: list[Row]) -> list[Row]:
    encrypted = {*carried.sealed, *carried.documents}
    return [
        {name: turn(carried, name, key(row, carried.owner), value) if name in encrypted else value for name, value in row.items()}
        for row in rows
    ]


def written(row: Row) -> bytes:
    """The line of a row whose names are in order."""
    try:
        plain = {name: {"$base64": b64encode(value).decode()} if type(value) is bytes else value for name, value in row.items()}
        return _ENCODER.encode(plain).encode() + b"\n"
    except ValueError as error:
        shown = values.shorten(row)
        raise Corrupt(f"{shown} holds a value that cannot be exported ({error}); check() lists what else is damaged") from error


def read(line: bytes, shape: Shape, lacking: bool) -> Row:
    """The row of a line, every column of the type that its table has; ValueError says what is wrong with it."""
    if not line.endswith(b"\n"):
        raise ValueError("it is cut off")
    found = _DECODER.decode(line.decode())
    if not isinstance(found, dict):
        raise ValueError("it is no row")
    if b"\\ud" in line:  # we escape no letters; half of a pair could not be stored
        _ENCODER.encode(found).encode()
    if tuple(found) != shape.names:
        _check_names(found, shape, lacking)
    for name, value in found.items():
        if type(value) is dict:
            value = found[name] = _blob(value)
        if type(value) not in shape.types[name] or (type(value) is int and not -INT64 <= value < INT64):
            raise ValueError(f"its {name} cannot be {values.shorten(value)}")
    return found


def _check_names(found: Row, shape: Shape, lacking: bool) -> None:
    for name in found:
        if name not in shape.types:
            raise ValueError(f"it has a column {values.shorten(name)} that the table has not")
    for name in shape.names:
        if name not in found and not (lacking and name in shape.optional):
            raise ValueError(f"it has no {name}")
    if list(found) != sorted(found):
        raise ValueError("its columns are not in order")


def _blob(value: dict[str, Any]) -> Any:
    return b64decode(value["$base64"], validate=True) if list(value) == ["$base64"] and type(value["$base64"]) is str else value


def key(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    """What places a row among those of its table."""
    return tuple([row[name] for name in names])


def _pairs(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has a column twice")
    return found


def _number(source: str) -> float:
    number = float(source)
    if not math.isfinite(number):
        raise ValueError(f"{source} is no number")
    return number


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_number, parse_constant=_constant)
