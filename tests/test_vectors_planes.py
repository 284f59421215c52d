"""Planes of bits: what comes out of whole blocks at once is what a loop over the vectors says."""

from __future__ import annotations

import math
import struct

import pytest

from memstore.vectors.planes import COARSE, FINE, Scale, Weights, empty, places, reached, reaching, totals


def packed(numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


def directions(rng, count, dims):
    made = [[rng.gauss(0.3, 1.0) / (1 + dim) ** 0.5 for dim in range(dims)] for _ in range(count)]
    return [packed([value / math.hypot(*row) for value in row]) for row in made]


def coded(vectors):
    scale = Scale.of([(1.0, vector) for vector in vectors])
    return scale, [scale.coded(1.0, vector) for vector in vectors]


@pytest.fixture
def vectors(rng):
    return directions(rng, rng.choice((1, 7, 8, 300)), rng.choice((1, 3, 40)))


def bits(planes, place):
    return [plane >> place & 1 for plane in planes]


def test_a_code_counts_the_thresholds_that_a_number_reaches(vectors):
    scale, vectors = coded(vectors)
    block = empty(len(scale.levels)).extended(range(len(vectors)), vectors, scale)
    for place, vector in enumerate(vectors):
        numbers = struct.unpack(f"<{len(vector) // 4}f", vector)
        for dim, (high, low) in enumerate(zip(bits(block.highs, place), bits(block.lows, place), strict=True)):
            edges = scale.levels[dim].edges
            if all(abs(numbers[dim] - edge) > abs(edge) / 50 + 1e-30 for edge in edges):  # a threshold is held in 15 bits
                assert 2 * high + low == sum(numbers[dim] >= edge for edge in edges)


def test_vectors_may_come_in_portions(rng, vectors):
    scale, vectors = coded(vectors)
    whole = empty(len(scale.levels)).extended(range(len(vectors)), vectors, scale)
    cut = rng.randrange(len(vectors) + 1)
    first = empty(len(scale.levels)).extended(range(cut), vectors[:cut], scale)
    grown = first.extended(range(cut, len(vectors)), vectors[cut:], scale)
    assert (grown.keys, grown.highs, grown.lows) == (whole.keys, whole.highs, whole.lows)
    assert len(first) == cut, "it is never changed"


@pytest.mark.parametrize("grain", [COARSE, FINE])
def test_sums_estimate_the_cosine(rng, grain):
    vectors = directions(rng, 500, 64)
    (scale, shifted), query = coded(vectors), struct.unpack("<64f", directions(rng, 1, 64)[0])
    block = empty(len(scale.levels)).extended(range(500), shifted, scale)
    weights, everything = Weights(query, scale, grain), (1 << 500) - 1
    sums = weights.sums(block, everything)
    estimates = [weights.estimate(total) for total in totals(sums, range(500), 500)]
    truth = [sum(a * b for a, b in zip(query, struct.unpack("<64f", vector), strict=True)) for vector in vectors]
    wrong = [estimate - real for estimate, real in zip(estimates, truth, strict=True)]
    assert math.sqrt(sum(each * each for each in wrong) / 500) < 2 * weights.error
    for total in (0, 7, max(totals(sums, range(500), 500))):
        assert weights.total(weights.estimate(total) - 1e-9) == total


def test_masks_say_which_reach_a_sum(rng):
    numbers = [rng.randrange(64) for _ in range(200)]
    sums = [sum((number >> bit & 1) << place for place, number in enumerate(numbers)) for bit in range(6)]
    mask = rng.getrandbits(200) | 1
    inside = [place for place in range(200) if mask >> place & 1]
    assert list(places(mask)) == inside
    assert totals(sums, inside, 200) == [numbers[place] for place in inside]
    for total in (0, 1, 31, 63, 64, 1000):
        assert list(places(reaching(sums, mask, total))) == [place for place in inside if numbers[place] >= total]
    for count in (1, 5, len(inside)):
        assert reached([(sums, mask)], count) == sorted((numbers[place] for place in inside), reverse=True)[count - 1]
    assert reached([(sums, mask), (sums, mask)], 2) == max(numbers[place] for place in inside)
    assert reached([(sums, mask)], len(inside) + 1) == 0
