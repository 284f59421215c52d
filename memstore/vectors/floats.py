"""A single vector: how it is checked, how it is stored, and how near two are.

1. Numbers are stored as float32, little-endian; a float that is not one is rounded to the nearest.
2. A score depends on the two vectors alone, not on how they were found: equal vectors score 1.0, equal pairs score alike.

The trap: |a|^2 + |b|^2 - |a - b|^2 is twice the dot product, and by far the quickest way to it here, but loses digits where the lengths
differ much. So the query is first brought to about the length of each vector, by a power of two, which is exact.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Sequence
from numbers import Real
from typing import Any

from ..kernel import Corrupt, Invalid, values

MOST_DIMS = 65_536
WIDTH = 4  # bytes of a float32
ROOT = math.sqrt(2)


def packed(name: str, vector: Any) -> bytes:
    """A vector as the file has it; Invalid where it cannot be stored, or is zero in all dimensions."""
    blob, length = _held(name, vector)
    if length == 0.0:
        raise Invalid(f"{name} is zero in all of its {len(blob) // WIDTH} dimensions, so it has no direction")
    return blob


def dimensions(name: str, vector: Any) -> int:
    """How many dimensions a vector has, 0 if it is zero in all; Invalid where it cannot be stored."""
    blob, length = _held(name, vector)
    return len(blob) // WIDTH if length > 0.0 else 0


def _held(name: str, vector: Any) -> tuple[bytes, float]:
    """A vector in the form of the file, and its length."""
    given = _given(name, vector)
    if not 1 <= len(given) <= MOST_DIMS:
        raise Invalid(f"{name} has {len(given):,} dimensions; from 1 to {MOST_DIMS:,} are allowed")
    try:
        blob = struct.pack(f"<{len(given)}f", *given)
    except (OverflowError, struct.error):  # which one depends on how far the value is out of range
        place = max(range(len(given)), key=lambda place: abs(given[place]))
        raise Invalid(f"{name}[{place}] is {values.shorten(given[place])}, beyond the range of a float32") from None
    length = norm(blob)
    if not math.isfinite(length):
        place, value = next((place, value) for place, value in enumerate(unpacked(blob)) if not math.isfinite(value))
        raise Invalid(f"{name}[{place}] is {value}; a vector has finite numbers only")
    return blob, length


def _given(name: str, vector: Any) -> Sequence[float]:
    """The numbers of a sequence, or of an array of float32 or float64 such as numpy's, read from its buffer."""
    if isinstance(vector, (list, tuple)) and {float, int}.issuperset(map(type, vector)):
        return vector
    try:
        view = memoryview(vector)
    except (TypeError, ValueError):  # numpy has no buffer for some of its types
        view = None
    if view is not None:
        if view.ndim != 1 or view.format not in ("f", "d") or not view.contiguous:
            shape = f"{view.ndim} dimensions of format {view.format!r}{'' if view.contiguous else ', not contiguous'}"
            raise Invalid(f"{name} must be one contiguous row of float32 or float64, not {type(vector).__name__} with {shape}")
        numbers: Sequence[float] = view.tolist()
        return numbers
    if not isinstance(vector, Sequence) or isinstance(vector, str):
        raise Invalid(f"{name} must be a sequence of numbers or an array of floats, not {type(vector).__name__} {values.shorten(vector)}")
    return [_number(f"{name}[{place}]", each) for place, each in enumerate(vector)]


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise Invalid(f"{name} must be a number, not {type(value).__name__} {values.shorten(value)}")
    try:
        return float(value)
    except OverflowError:
        raise Invalid(f"{name} is {values.shorten(value)}, beyond the range of a float") from None


def unpacked(blob: bytes) -> tuple[float, ...]:
    """The numbers of a stored vector."""
    return struct.unpack(f"<{len(blob) // WIDTH}f", blob)


def sound(vector: object, dims: int) -> bool:
    """Whether a stored value is a vector of so many dimensions."""
    return isinstance(vector, bytes) and 0 < len(vector) == WIDTH * dims and 0.0 < norm(vector) < math.inf


def norm(blob: bytes) -> float:
    """The Euclidean length of a stored vector."""
    return math.hypot(*unpacked(blob))


def unit(blob: bytes, length: float) -> bytes:
    """A stored vector brought to length 1."""
    numbers = array("f", [each / length for each in unpacked(blob)])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _exponent(length: float) -> int:
    """About the binary logarithm; the steps lie away from 1, since many lengths are 1 but for rounding."""
    return math.frexp(length * ROOT)[1]


class Query:
    """A vector that stored ones are compared with."""

    def __init__(self, blob: bytes) -> None:
        self.numbers = unpacked(blob)
        self.norm = math.hypot(*self.numbers)
        self.unit = tuple([each / self.norm for each in self.numbers])
        self._unpack = struct.Struct(f"<{len(self.numbers)}f").unpack
        self._exponent = _exponent(self.norm)
        self._scaled = {self._exponent: (self.numbers, self.norm)}  # by exponent of the length: numbers, length

    def score(self, length: float, blob: bytes) -> float:
        """The cosine of the angle to a stored vector of that length."""
        exponent = _exponent(length)
        numbers, own = self._scaled.get(exponent) or self._scale(exponent)
        try:
            distance = math.dist(numbers, self._unpack(blob))
            cosine = (own * own + length * length - distance * distance) / (2.0 * own * length)
        except (ZeroDivisionError, OverflowError) as error:
            raise Corrupt(f"a stored vector is damaged ({error}); check() says which") from error
        if not abs(cosine) < 1.1:
            raise Corrupt(f"a stored vector is damaged, its cosine comes out as {cosine}; check() says which")
        return max(-1.0, min(1.0, cosine))

    def _scale(self, exponent: int) -> tuple[tuple[float, ...], float]:
        factor = math.ldexp(1.0, exponent - self._exponent)
        scaled = tuple(map(factor.__mul__, self.numbers)), factor * self.norm
        self._scaled[exponent] = scaled
        return scaled
