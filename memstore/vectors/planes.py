"""Thousands of vectors at once in Python's big integers: one bit of every vector is one integer, a plane.

1. Each dimension is kept as a code of two bits: below, above its mean, and far from it on either side. A block holds, for each
   dimension, the plane of the high bits and that of the low ones; bit i of every plane is of the i-th vector of the block.
2. A query becomes small whole weights, one a dimension. What a vector's codes times these weights add up to is an estimate of its
   cosine; all sums of a block are formed at once, by full adders of five operations on planes (carry-save: B. Parhami, Computer
   Arithmetic, 2nd ed., ch. 8), and come out as planes themselves: plane j has bit j of every sum.
3. Which vectors reach a sum is again a handful of operations, and gives a mask. Only those are compared exactly, elsewhere.

The trap: codes are worth something only near the mean and step that they were made with; `Scale` goes with its blocks.
"""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import mul, sub
from sys import getsizeof
from typing import NamedTuple

from ..kernel import Corrupt
from .floats import WIDTH, unit, unpacked

LANE = 2  # bytes in which a number is compared with a threshold: the upper half of a float32
STEP = 0.9957  # in standard deviations: the uniform code of four levels that is best for a normal distribution (J. Max, 1960)
EXPECTED = 0.7979  # of a normal distribution: how far a number is from the mean, in standard deviations
SHARED = 0.25  # length of the mean of all vectors from which on they have much in common
COPIES = 4  # of what a vector has along the mean
SPAN = 2.0  # standard deviations that the codes of a copy are apart
LENGTH_ONE = 1e-3  # how far from 1 the length of a vector may be that is taken for one of length 1
HEAVIEST = 31
CHUNK = 2048  # vectors that are taken apart together: what is in the making then stays in the cache of the processor


class Level(NamedTuple):
    """The codes of one dimension."""

    edges: tuple[float, float, float]  # where they rise to 1, 2 and 3
    middle: float  # what lies in the middle of them
    step: float  # what one more in a code adds
    residue: float  # the variance that they leave

    @classmethod
    def of(cls, column: Sequence[float]) -> Level:
        """The one that fits some numbers, by least squares."""
        ordered, count = sorted(column), len(column)
        mean = math.fsum(ordered) / count
        place = bisect_left(ordered, mean)
        below, above = (reach * STEP / EXPECTED for reach in (mean - _mean(ordered[:place], mean), _mean(ordered[place:], mean) - mean))
        edges = mean - below, mean, mean + above
        tails = [ordered[bisect_left(ordered, edge) :] for edge in edges]
        one, two, three = map(len, tails)
        total = one + two + three
        spread = one + 3 * two + 5 * three - total * total / count
        step = (sum(map(math.fsum, tails)) - total * mean) / spread if spread else 0.0
        residue = max(0.0, math.dist(ordered, (mean,) * count) ** 2 - step * step * spread) / count
        return cls(edges, mean + step * (1.5 - total / count), step, residue)


class Scale(NamedTuple):
    """What vectors are coded by.

    Where all have much in common, codes are of what differs (`common` is taken off), and how far a vector lies along that (`axis`) is
    coded more closely, on its own. For lengths are 1, so this hardly varies, while a query has most of its weight there: codes of the
    single dimensions would say more of their own errors than of what is near.
    """

    common: tuple[float, ...]
    axis: tuple[float, ...]
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, sample: Sequence[tuple[float, bytes]]) -> Scale:
        """The one that fits some vectors, each with its length."""
        columns = list(zip(*[unpacked(directed(*each)) for each in sample]))
        means = [math.fsum(column) / len(sample) for column in columns]
        length = math.hypot(*means)
        if not math.isfinite(length):
            raise Corrupt("a stored vector holds what is no number; check() says which")
        if length < SHARED:
            return cls((), (), tuple(map(Level.of, columns)))
        bare = cls(tuple(means), tuple([each / length for each in means]), ())
        *columns, along = list(zip(*[unpacked(bare.coded(*each)) for each in sample]))[: len(means) + 1]
        return bare._replace(levels=(*map(Level.of, columns), *_closely(along)))

    @property
    def dims(self) -> int:
        """How many numbers the vectors have."""
        return len(self.levels) - (COPIES if self.axis else 0)

    def coded(self, length: float, vector: bytes) -> bytes:
        """The numbers that the codes of a stored vector are of."""
        whole = directed(length, vector)
        if not self.axis:
            return whole
        numbers, own = unpacked(whole), length if whole is vector else 1.0
        along = (own * own + 1.0 - math.dist(numbers, self.axis) ** 2) / (2.0 * own) - math.hypot(*self.common)
        return struct.pack(f"<{len(numbers) + COPIES}f", *map(sub, numbers, self.common), *[along] * COPIES)

    def asked(self, query: Sequence[float]) -> tuple[Sequence[float], float]:
        """What those numbers are multiplied with to give the cosine to a query of length 1, and what is then added."""
        if not self.axis:
            return query, 0.0
        along = math.fsum(map(mul, query, self.axis))
        across = [each - along * axis for each, axis in zip(query, self.axis)]
        return [*across, *[along / COPIES] * COPIES], math.fsum(map(mul, query, self.common))

    def thresholds(self) -> list[list[int]]:
        """Where the code rises to 1, 2 and 3 in each dimension, as `_lane` counts."""
        return [list(map(_lane, edges)) for edges in zip(*[level.edges for level in self.levels])]


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return math.fsum(numbers) / len(numbers) if numbers else otherwise


def _closely(column: Sequence[float]) -> list[Level]:
    """Levels for copies of one number that make one fine code together: their edges lie between each other's."""
    mean = math.fsum(column) / len(column)
    fine = math.dist(column, (mean,) * len(column)) / math.sqrt(len(column)) * SPAN / COPIES
    middles = [mean + (copy - (COPIES - 1) / 2) * fine for copy in range(COPIES)]
    step = COPIES * fine
    return [Level((middle - step, middle, middle + step), middle, step, COPIES * fine * fine / 12) for middle in middles]


def directed(length: float, vector: bytes) -> bytes:
    """A stored vector brought to length 1."""
    return vector if abs(length - 1.0) < LENGTH_ONE else unit(vector, length)


class Block:
    """The codes of some vectors; it is never changed."""

    __slots__ = ("highs", "keys", "lows")

    def __init__(self, keys: array[int], highs: list[int], lows: list[int]) -> None:
        self.keys = keys  # the integer key of each vector in the table, rising
        self.highs = highs
        self.lows = lows

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        """The bytes that it takes of memory."""
        return sum([getsizeof(each) for each in (*self.highs, *self.lows, self.keys)])

    def extended(self, keys: Sequence[int], vectors: Sequence[bytes], scale: Scale) -> Block:
        """This block and some more vectors, as `Scale.coded` gives them."""
        thresholds, highs, lows = scale.thresholds(), self.highs, self.lows
        for start in range(0, len(vectors), CHUNK):
            place = len(self) + start
            more = _planes(vectors[start : start + CHUNK], thresholds)
            highs, lows = ([plane | new << place for plane, new in zip(*pair)] for pair in zip((highs, lows), more))
        return Block(self.keys + array("q", keys), highs, lows)


def empty(dims: int) -> Block:
    """A block without vectors."""
    return Block(array("q"), [0] * dims, [0] * dims)


def _lane(value: float) -> int:
    """The upper half of a float32 as a number of 15 bits that rises with it."""
    half = int.from_bytes(struct.pack("<f", value), "little") >> 16
    return max(1, min(0x7FFF, (half ^ 0xFFFF if half & 0x8000 else half | 0x8000) >> 1))


def _planes(vectors: Sequence[bytes], thresholds: list[list[int]]) -> tuple[list[int], list[int]]:
    """The high and the low planes of some vectors, dimension by dimension.

    Every eighth vector lies in one long integer of 16 bits a number, and all its numbers are compared at once: adding what is missing from
    the threshold to the top bit sets that bit. The eight results, each shifted by one more, make up bytes of eight vectors.
    """
    dims, rows = len(thresholds[0]), -(-len(vectors) // 8)
    padding = [bytes(WIDTH * dims)] * (8 * rows - len(vectors))
    ones = int.from_bytes(b"\1\0" * (rows * dims), "little")
    top = ones << 15
    missing = [int.from_bytes(struct.pack(f"<{dims}H", *[0x8000 - each for each in row]) * rows, "little") for row in thresholds]
    high = low = 0
    for turn in range(8):
        rising = _rising(b"".join([*vectors, *padding][turn::8]), ones, top)
        one, two, three = [(rising + each) & top for each in missing]
        high |= two >> 7 - turn
        low |= (one ^ two ^ three) >> 7 - turn
    both = (high | low >> 8).to_bytes(LANE * rows * dims, "little")
    real = (1 << len(vectors)) - 1
    first, second = (
        [int.from_bytes(both[LANE * dim + side :: LANE * dims], "little") & real for dim in range(dims)] for side in (1, 0)
    )
    return first, second


def _rising(data: bytes, ones: int, top: int) -> int:
    """The upper halves of float32 numbers, one in each 16 bits, as numbers of 15 bits that rise with them."""
    halves = bytearray(len(data) // 2)
    halves[0::2], halves[1::2] = data[2::4], data[3::4]
    lanes = int.from_bytes(halves, "little")
    negative = lanes >> 15 & ones
    return (lanes ^ ((negative << 16) - negative | top)) >> 1 & top - ones


# -- a query ------------------------------------------------------------------------------------------------------------


class Grain(NamedTuple):
    """How closely a query is weighed."""

    unit: float  # of the weights, by their root mean square
    single: int  # up to which weight the high bit alone counts, and one plane is added in place of two
    least: float  # in units: what weighs less is left out


COARSE = Grain(1.0, 1, 0.625)  # half the planes: what lies in clusters is told apart well enough
FINE = Grain(0.5, 0, 0.5)


class Weights:
    """A query of length 1 as whole weights, and what sums of codes mean by them."""

    def __init__(self, query: Sequence[float], scale: Scale, grain: Grain) -> None:
        numbers, base = scale.asked(query)
        shares = [number * level.step for number, level in zip(numbers, scale.levels)]
        power = math.hypot(*shares)
        self.unit = grain.unit * power / math.sqrt(len(shares)) or 1.0  # what one more in a sum adds to the estimate
        left = sum([number * number * level.residue for number, level in zip(numbers, scale.levels)])
        self.error = math.sqrt(left + len(shares) * self.unit * self.unit / 12)  # of an estimate, about
        dims: defaultdict[int, list[int]] = defaultdict(list)
        for dim, weight in enumerate(map(round, map((1.0 / self.unit).__mul__, shares))):
            dims[weight].append(dim)
        for weight in [weight for weight in dims if abs(weight) > HEAVIEST]:
            dims[HEAVIEST if weight > 0 else -HEAVIEST] += dims.pop(weight)
        for sign in (1, -1):
            dims[sign] = [dim for dim in dims[sign] if abs(shares[dim]) > grain.least * self.unit]
        most = {weight: weight * (2 if abs(weight) <= grain.single else 3) * len(each) for weight, each in dims.items()}
        self._plus, self._minus = _levels(dims, 1, grain.single), _levels(dims, -1, grain.single)
        self._bits = sum(map(abs, most.values())).bit_length()
        middle = base + sum([number * level.middle for number, level in zip(numbers, scale.levels)])
        self._base = middle - self.unit * (sum(most.values()) / 2 + (1 << self._bits) - 1)

    def sums(self, block: Block, mask: int) -> list[int]:
        """The planes of what each vector adds up to, the lowest first; vectors outside the mask have no meaning."""
        plus, minus = _added(block, self._plus), _added(block, self._minus)
        result, carry = [], 0
        for level in range(self._bits):  # minus is subtracted by adding its complement, so all sums are 2**bits - 1 too high
            one = plus[level] if level < len(plus) else 0
            other = mask ^ minus[level] if level < len(minus) else mask
            either = one ^ other
            result.append(either ^ carry)
            carry = either & carry | one & other
        return [*result, carry]

    def estimate(self, total: float) -> float:
        """The cosine that a sum means."""
        return float(self._base + self.unit * total)

    def total(self, cosine: float) -> int:
        """The smallest sum that means at least that cosine."""
        return max(0, int(math.ceil((cosine - self._base) / self.unit)))


def _levels(dims: dict[int, list[int]], sign: int, single: int) -> list[tuple[list[int], list[int]]]:
    """For each power of two: the dimensions whose high planes count that much, and those whose low planes do."""
    chosen = [(weight * sign, each) for weight, each in dims.items() if weight * sign > 0]
    bits = range(max([weight.bit_length() for weight, _ in chosen], default=0))
    high = [[dim for weight, each in chosen if weight >> bit & 1 for dim in each] for bit in bits]
    low = [[dim for weight, each in chosen if weight > single and weight >> bit & 1 for dim in each] for bit in bits]
    return list(zip([[], *high], [*low, []]))


def _added(block: Block, levels: list[tuple[list[int], list[int]]]) -> list[int]:
    """The planes of the weighted sum of codes."""
    highs, lows = block.highs, block.lows
    result: list[int] = []
    carries: list[int] = []
    while len(result) < len(levels) or carries:
        planes = carries
        if len(result) < len(levels):
            high, low = levels[len(result)]
            planes = [*carries, *[highs[dim] for dim in high], *[lows[dim] for dim in low]]
        total, carries = _column(planes)
        result.append(total)
    return result


def _column(planes: list[int]) -> tuple[int, list[int]]:
    """Add up planes that count alike: what remains in their column, and the carries into the next."""
    if not planes:
        return 0, []
    pairs = iter(planes[1:] if len(planes) % 2 else [*planes[1:], 0])
    total, carries = planes[0], list[int]()
    carry = carries.append
    for one, other in zip(pairs, pairs):
        either = total ^ one
        carry(either & other | total & one)
        total = either ^ other
    return total, carries


# -- masks --------------------------------------------------------------------------------------------------------------


def reaching(sums: list[int], mask: int, total: int) -> int:
    """Those of the mask whose sum is at least so much."""
    if total >> len(sums):
        return 0
    above, equal = 0, mask
    for bit in range(len(sums) - 1, -1, -1):
        ones = equal & sums[bit]
        if total >> bit & 1:
            equal = ones
        else:
            above |= ones
            equal ^= ones
    return above | equal


def reached(blocks: Sequence[tuple[list[int], int]], count: int) -> int:
    """The highest sum that at least so many reach in all blocks, each given by its sums and its mask."""
    if not blocks:
        return 0
    equal, found, above = [mask for _, mask in blocks], 0, 0
    for bit in range(len(blocks[0][0]) - 1, -1, -1):
        ones = [each & sums[bit] for each, (sums, _) in zip(equal, blocks)]
        many = sum([each.bit_count() for each in ones])
        if above + many >= count:
            equal, found = ones, found | 1 << bit
        else:
            above += many
            equal = [each ^ one for each, one in zip(equal, ones)]
    return found


def places(mask: int) -> Iterator[int]:
    """The places that a mask has, rising."""
    digits = bin(mask)[:1:-1]
    place = digits.find("1")
    while place >= 0:
        yield place
        place = digits.find("1", place + 1)


def totals(sums: list[int], chosen: Sequence[int], size: int) -> list[int]:
    """What the vectors at some places of a block of that size add up to."""
    found = [0] * len(chosen)
    for bit, plane in enumerate(sums):
        digits = plane.to_bytes(size + 7 >> 3, "little")
        found = [total | (digits[place >> 3] >> (place & 7) & 1) << bit for total, place in zip(found, chosen)]
    return found
