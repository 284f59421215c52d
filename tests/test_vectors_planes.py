"""Planes of bits: what comes out of whole blocks at once is what a loop over the vectors says."""

from __future__ import annotations

import math
import struct

import pytest

from memstore.vectors.planes import COARSE, FINE, Scale, Shares, Weights, descending, empty, places


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


@pytest.mark.parametrize("lean", [0.0, 9.0])
def test_sums_estimate_the_cosine(rng, lean):
    vectors = directions(rng, 500, 64)
    scale, shifted = coded(vectors)
    query = struct.unpack("<64f", directions(rng, 1, 64)[0])
    query = [value + lean * (dim == 3) for dim, value in enumerate(query)]  # one weight is far above the others
    block = empty(len(scale.levels)).extended(range(500), shifted, scale)
    truth = [sum(a * b for a, b in zip(query, struct.unpack("<64f", vector), strict=True)) for vector in vectors]
    shares, before, sums = Shares(query, scale), None, []
    for grain in (COARSE, FINE):
        before = Weights(shares, grain, before)
        sums = before.sums(block, (1 << 500) - 1, sums)
        estimates = [before.estimate(sum(each << bit for bit, each in enumerate(bits(sums, place)))) for place in range(500)]
        wrong = [estimate - real for estimate, real in zip(estimates, truth, strict=True)]
        assert math.sqrt(sum(each * each for each in wrong) / 500) < 2 * before.error


def test_a_finer_look_comes_to_what_its_weights_say(rng):
    vectors = directions(rng, 50, 12)
    scale, shifted = coded(vectors)
    block = empty(len(scale.levels)).extended(range(50), shifted, scale)
    shares = Shares(struct.unpack("<12f", vectors[0]), scale)
    coarse = Weights(shares, COARSE)
    ways = (
        (Weights(shares, FINE), []),
        (Weights(shares, FINE, coarse), coarse.sums(block, (1 << 50) - 1)),
    )
    found = []
    for weights, before in ways:
        sums = weights.sums(block, (1 << 50) - 1, before)
        found.append([weights.estimate(sum(each << bit for bit, each in enumerate(bits(sums, place)))) for place in range(50)])
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("low", [0, 2])
def test_masks_say_who_has_which_sum(rng, low):
    numbers = [rng.randrange(64) for _ in range(200)]
    sums = [sum((number >> bit & 1) << place for place, number in enumerate(numbers)) for bit in range(6)]
    mask = rng.getrandbits(200) | 1
    inside = [place for place in range(200) if mask >> place & 1]
    assert list(places(mask)) == inside[::-1]
    found = list(descending([(sums, mask), (sums, 1)], low))
    assert [total for total, _ in found] == sorted({numbers[place] >> low << low for place in inside}, reverse=True)
    for total, (first, second) in found:
        assert list(places(first)) == [place for place in inside[::-1] if numbers[place] >> low << low == total]
        assert second == (numbers[0] >> low << low == total)
