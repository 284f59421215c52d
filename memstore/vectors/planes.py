"""Thousands of vectors at once in Python's big integers: one bit of every vector is one integer, a plane.

1. Each dimension is kept as a code of two bits: below, above its mean, and far from it on either side. A block holds, for each
   dimension, the plane of the high bits and that of the low ones; bit i of every plane is of the i-th vector of the block.
2. A query becomes small whole weights, one a dimension. What a vector's codes times these weights add up to is an estimate of its
   cosine; all sums of a block are formed at once, by full adders of five operations on planes (carry-save: B. Parhami, Computer
   Arithmetic, 2nd ed., ch. 8), and come out as planes themselves: plane j has bit j of every sum.
   To sums by a coarse grain the rest of finer weights can be added later.
3. Which vectors have which sums is again a handful of operations, and gives masks. Only those with the highest are compared exactly,
   elsewhere.

The trap: codes are worth something only near the mean and step that they were made with; `Scale` goes with its blocks.
"""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
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
PART = 0.3  # of what dimensions have of a query on average: what differs by less is weighed alike
CHUNK = 2048  # vectors that are taken apart together: what is in the making then stays in the cache of the processor

Counted = defaultdict[int, tuple[list[int], list[int]]]  # by power of two: dimensions whose high plane counts that, and low planes


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

    whole: int  # parts that make up a weight of one
    rest: float  # the variance that weighing so leaves for each dimension, in squares of a part, about

    def weights(self, parts: int) -> tuple[int, int]:
        """What the high and the low bit of a code count; for the price of one plane the high bit alone tells half as much as both."""
        if 5 * parts < 4 * self.whole:
            return int(2 * parts >= self.whole), 0
        weight = max(1, (2 * parts + self.whole) // (2 * self.whole))
        return 2 * weight, weight


COARSE = Grain(6, 2.0)  # what lies in clusters is told apart well enough
FINE = Grain(3, 0.7)  # half the size, so what the coarse one has is doubled, and few planes have to be added to that


class Shares:
    """What each dimension has of a query of length 1, in parts."""

    def __init__(self, query: Sequence[float], scale: Scale) -> None:
        numbers, base = scale.asked(query)
        _, middles, steps, residues = zip(*scale.levels)
        shares = list(map(mul, numbers, steps))
        self.count = len(shares)
        self.part = PART * sum(map(abs, shares)) / len(shares) or 1.0
        self.left = sum(map(mul, map(mul, numbers, numbers), residues))  # the variance that codes leave
        self.middle: float = base + sum(map(mul, numbers, middles))  # the cosine that codes in the middle mean
        self.dims: defaultdict[int, list[int]] = defaultdict(list)
        for dim, parts in enumerate(map(round, map((1.0 / self.part).__mul__, shares))):
            self.dims[parts].append(dim)


class Weights:
    """A query as whole weights, and what sums of codes mean by them; those of a finer grain are added to sums `before`."""

    def __init__(self, shares: Shares, grain: Grain, before: Weights | None = None) -> None:
        self.grain = grain
        self.unit: float = grain.whole * shares.part  # what one more in a sum adds to the estimate
        self.error = math.sqrt(shares.left + grain.rest * shares.count * shares.part**2)  # of an estimate, about
        self._plus: Counted = defaultdict(lambda: ([], []))
        self._minus: Counted = defaultdict(lambda: ([], []))
        for parts, dims in shares.dims.items():
            high, low = grain.weights(abs(parts))
            high_before, low_before = (0, 0) if before is None else before.grain.weights(abs(parts))
            for side, weight in enumerate((high - 2 * high_before, low - 2 * low_before)):
                counted = self._plus if (weight > 0) == (parts > 0) else self._minus
                for bit in range(weight.bit_length()):
                    if abs(weight) >> bit & 1:
                        counted[bit][side].extend(dims)
        plus, minus = _most(self._plus), _most(self._minus)
        middle, most = (0.0, 0) if before is None else (2 * before.middle, 2 * before.most)
        self._bits = max(plus + most, minus).bit_length()
        self.most: int = (2 << self._bits) - 1  # that a sum can be
        # What codes in the middle add up to; minus is subtracted by adding its complement, so all sums are 2**bits - 1 too high.
        self.middle: float = middle + (plus - minus) / 2 + (1 << self._bits) - 1
        self._base = shares.middle - self.unit * self.middle

    def sums(self, block: Block, mask: int, before: Sequence[int] = ()) -> list[int]:
        """The planes of what each vector adds up to, the lowest first; vectors outside the mask have no meaning."""
        plus, minus = _added(block, self._plus, self._bits, [0, *before]), _added(block, self._minus, self._bits, [])
        result, carry = [], 0
        for one, less in zip(plus, minus):
            other = mask ^ less
            either = one ^ other
            result.append(either ^ carry)
            carry = either & carry | one & other
        return [*result, carry]

    def estimate(self, total: float) -> float:
        """The cosine that a sum means."""
        return self._base + self.unit * total


def _most(counted: Counted) -> int:
    """The highest sum that there can be."""
    return sum([len(each) << bit for bit, sides in counted.items() for each in sides])


def _added(block: Block, counted: Counted, bits: int, before: Sequence[int]) -> list[int]:
    """The planes of the weighted sum of codes, on top of a sum from before.

    Each carry is used up as soon as there are two of its kind: few planes are in the making, and they stay in the cache.
    """
    highs, lows = block.highs, block.lows
    result: list[int] = []
    carries: Iterator[int] = iter(())
    for bit, own in zip_longest(range(bits), before, fillvalue=0):
        high, low = counted.get(bit, ((), ()))
        planes = [own, *[highs[dim] for dim in high], *[lows[dim] for dim in low]]
        carries = _column(chain(planes, carries), result)
    for _ in carries:
        pass  # nothing is carried beyond the highest sum
    return result


def _column(planes: Iterator[int], result: list[int]) -> Iterator[int]:
    """Add up planes that count alike: the carries into the next column, and in the end what remains in this."""
    total = next(planes, 0)
    for one, other in zip_longest(planes, planes, fillvalue=0):
        either = total ^ one
        yield either & other | total & one
        total = either ^ other
    result.append(total)


# -- masks --------------------------------------------------------------------------------------------------------------


def descending(blocks: Sequence[tuple[list[int], int]], low: int) -> Iterator[tuple[int, list[int]]]:
    """The vectors of some blocks by their sums, the highest first: each sum without its lowest bits, and a mask for every block.

    A block is given by its sums and the mask of those that count.
    """
    rest = [(len(blocks[0][0]), 0, [mask for _, mask in blocks])]
    while rest:
        bit, total, masks = rest.pop()
        if bit == low:
            yield total, masks
            continue
        bit -= 1
        ones = [mask & sums[bit] for mask, (sums, _) in zip(masks, blocks)]
        zeros = [mask ^ one for mask, one in zip(masks, ones)]
        if any(zeros):
            rest.append((bit, total, zeros))
        if any(ones):
            rest.append((bit, total | 1 << bit, ones))


def places(mask: int) -> Iterator[int]:
    """The places that a mask has, falling."""
    while mask:
        place = mask.bit_length() - 1
        yield place
        mask ^= 1 << place
