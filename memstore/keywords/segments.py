"""Segments: which items hold which word, packed so that a search runs in C and not in Python.

1. A segment never changes. Its items stand in the order of (created_at, number); an item is known inside it by its place, 16
   bits wide, so a segment holds at most 65,536 items.
2. Its words are sorted, the places of each lie behind those of the one before: the items of every word with a prefix are one
   slice of one array.
3. New segments are small, and four of like size become one, so there are about as many as the logarithm of the items.

The trap: `number` says who an item is, its place only where it stands here; places change whenever segments are merged.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from heapq import heappop, heappush
from itertools import accumulate, chain
from math import inf
from operator import itemgetter, le
from typing import TYPE_CHECKING, Any

from .words import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    Hit = tuple[float, int, tuple[str, ...]]  # created_at, number, the word that answered each prefix
    Span = tuple[int, int, int, int]  # places held by the words of a prefix, which prefix, first word, last word + 1

CAPACITY = 1 << 16
BATCH = 4096  # items that a new segment in the file has
FAN = 4  # segments of one size that become one
PORTION = 20  # hits made at a time: a page
SCAN = 4  # places a word that are cheaper to look through than to bisect
LAST = "\U0010ffff"  # after every character that a word can have
LAST_NUMBER = (1 << 63) - 1
WIDTH = array("i").itemsize


class Segment:
    """Items and their words, for good."""

    __slots__ = ("numbers", "places", "starts", "times", "words")

    def __init__(self, numbers: array[int], times: array[float], words: list[str], starts: array[int], places: array[int]) -> None:
        self.numbers = numbers
        self.times = times
        self.words = words
        self.starts = starts  # words[i] is held by the items at places[starts[i]:starts[i + 1]]
        self.places = places

    def __len__(self) -> int:
        return len(self.numbers)

    def pack(self) -> tuple[bytes, ...]:
        """The five columns of a segment in the file."""
        vocabulary = "\n".join(self.words).encode()
        return (_bytes(self.numbers), _bytes(self.times), vocabulary, _bytes(self.starts), _bytes(self.places))

    @classmethod
    def unpack(cls, numbers: bytes, times: bytes, words: bytes, starts: bytes, places: bytes) -> Segment:
        """Take a segment out of the file."""
        vocabulary = words.decode().split("\n") if words else []
        segment = cls(_array("q", numbers), _array("d", times), vocabulary, _array("I", starts), _array("H", places))
        if len(segment.starts) != len(vocabulary) + 1 or segment.starts[-1] != len(segment.places) or len(numbers) != len(times):
            raise ValueError("its parts do not fit together")
        if not _rises(segment.starts) or not _rises(segment.times):  # what its places hold shows when they are used: they are many
            raise ValueError("it is out of order")
        return segment

    def span(self, prefix: str) -> tuple[int, int]:
        """Which of the words begin with the prefix."""
        low = bisect_left(self.words, prefix)
        return low, bisect_left(self.words, prefix + LAST, low)

    def counts(self, prefix: str, gone: Collection[int]) -> Iterator[tuple[str, int]]:
        """Each word with the prefix and how many items have it."""
        low, high = self.span(prefix)
        starts = self.starts
        dead = self.dead(gone) if gone and low < high else ()
        for index in range(low, high):
            begin, end = starts[index], starts[index + 1]
            yield self.words[index], end - begin - (sum(place in dead for place in self.places[begin:end]) if dead else 0)

    def dead(self, gone: Collection[int]) -> set[int]:
        """Places of the items that are gone."""
        return {place for place, number in enumerate(self.numbers) if number in gone}

    def newest(self, prefixes: Sequence[str], before: tuple[float, int] | None = None) -> Iterable[list[Hit]]:
        """Items that have a word for every prefix, newest first, a page at a time."""
        spans: list[Span] = []
        for prefix in prefixes:
            low, high = self.span(prefix)
            if low == high:
                return ()
            spans.append((self.starts[high] - self.starts[low], len(spans), low, high))
        return self._windows(sorted(spans), len(self) if before is None else self._below(before))

    def _windows(self, spans: list[Span], high: int) -> Iterator[list[Hit]]:
        """Look from the newest place down, at first as far as a page of hits needs, were they evenly spread."""
        width = 2 * PORTION * len(self) // spans[0][0] + 1
        while high > 0:
            low = max(0, high - width)
            yield from self._window(spans, low, high)
            high, width = low, width * 4

    def _below(self, before: tuple[float, int]) -> int:
        created_at, number = before
        first, last = bisect_left(self.times, created_at), bisect_right(self.times, created_at)
        return bisect_left(self.numbers, number, first, last)

    def _window(self, spans: list[Span], low: int, high: int) -> Iterator[list[Hit]]:
        found: list[dict[int, int]] = []
        for span in spans:
            entries = self._entries(span, low, high)
            found.append({place: entry for place, entry in entries if place in found[-1]} if found else dict(entries))
            if not found[-1]:
                return
        answers = [(found[index], *spans[index][2:]) for index in sorted(range(len(spans)), key=lambda index: spans[index][1])]
        times, numbers, words, starts = self.times, self.numbers, self.words, self.starts
        places = sorted(found[-1], reverse=True)
        for at in range(0, len(places), PORTION):
            page = places[at : at + PORTION]
            columns = [[words[bisect_right(starts, answer[place], first, last) - 1] for place in page] for answer, first, last in answers]
            yield list(zip([times[place] for place in page], [numbers[place] for place in page], zip(*columns)))

    def _entries(self, span: Span, low: int, high: int) -> Iterable[tuple[int, int]]:
        """(place, position in `places`) within the window, backwards: of several words the first one stays in a dict."""
        starts, places = self.starts, self.places
        _, _, first, last = span
        begin, end = starts[first], starts[last]
        if end - begin <= SCAN * (last - first):
            backwards = zip(reversed(places[begin:end]), range(end - 1, begin - 1, -1))
            return backwards if high - low == len(self) else [entry for entry in backwards if low <= entry[0] < high]
        result: list[tuple[int, int]] = []
        for index in range(last - 1, first - 1, -1):
            begin, end = starts[index], starts[index + 1]
            if places[end - 1] >= low:
                left = bisect_left(places, low, begin, end)
                right = bisect_left(places, high, left, end)
                result.extend(zip(places[left:right], range(left, right)))
        return result


def build(items: Iterable[tuple[float, int, Collection[str]]]) -> Segment:
    """Make a segment of (created_at, number, tokens)."""
    ordered = sorted(items, key=itemgetter(0, 1))
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for place, (_, _, tokens) in enumerate(ordered):
        for token in tokens:
            holders[token].append(place)
    # Tokens become words only here, each once: item by item it would take three times as long.
    postings: dict[str, list[int]] = {}
    shared: set[str] = set()
    for token, places in holders.items():
        for word in expand(token):
            if word in postings:
                postings[word] = postings[word] + places
                shared.add(word)
            else:
                postings[word] = places
    for word in shared:
        postings[word] = sorted(set(postings[word]))
    vocabulary = sorted(postings)
    held = [postings[word] for word in vocabulary]
    return _assemble([item[:2] for item in ordered], vocabulary, map(len, held), chain.from_iterable(held))


def merge(segments: Sequence[Segment], gone: Collection[int] = ()) -> Segment:
    """Make one segment of several, without the items that are gone."""
    order = [
        (created_at, number, which, place)
        for which, segment in enumerate(segments)
        for place, (created_at, number) in enumerate(zip(segment.times, segment.numbers))
        if number not in gone
    ]
    tangled = len(order) < sum(map(len, segments)) or any(later < earlier for earlier, later in zip(order, order[1:]))
    order.sort()
    targets = [array("i", [-1]) * len(segment) for segment in segments]
    for target, (_, _, which, place) in enumerate(order):
        targets[which][place] = target
    pieces: dict[str, bytes] = {}
    for segment, target_of in zip(segments, targets):
        # As bytes, because slicing and joining them costs a third of what lists of int do.
        moved = array("i", map(target_of.__getitem__, segment.places)).tobytes()
        bounds = [WIDTH * start for start in segment.starts]
        for word, begin, end in zip(segment.words, bounds, bounds[1:]):
            pieces[word] = pieces.get(word, b"") + moved[begin:end]
    if tangled:
        alive = ((word, sorted(place for place in _native("i", piece) if place >= 0)) for word, piece in pieces.items())
        pieces = {word: array("i", places).tobytes() for word, places in alive if places}
    vocabulary = sorted(pieces)
    held = [pieces[word] for word in vocabulary]
    return _assemble([item[:2] for item in order], vocabulary, (len(piece) // WIDTH for piece in held), _native("i", b"".join(held)))


def crowd(sizes: Sequence[int]) -> list[int]:
    """Which of the segments with these sizes should become one now; [] for none."""
    levels: defaultdict[int, list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        levels[size.bit_length() // 2].append(index)
    for indexes in levels.values():
        if len(indexes) >= FAN:
            fitting = fill(sizes, indexes)
            if len(fitting) > 1:
                return fitting
    return []


def fill(sizes: Sequence[int], indexes: Iterable[int]) -> list[int]:
    """The smallest segments that together fit into one."""
    chosen: list[int] = []
    room = CAPACITY
    for index in sorted(indexes, key=sizes.__getitem__):
        if sizes[index] > room:
            break
        room -= sizes[index]
        chosen.append(index)
    return chosen


def newest_first(
    segments: Iterable[tuple[float, Callable[[], Segment]]], prefixes: Sequence[str], before: tuple[float, int] | None = None
) -> Iterator[Hit]:
    """Hits of all segments, newest first; a segment is opened when its newest item could be the next hit, not before."""
    waiting = sorted(segments, key=itemgetter(0))
    heads: list[tuple[float, int, list[Hit], Iterator[list[Hit]]]] = []
    while waiting or heads:
        while waiting and (not heads or waiting[-1][0] >= -heads[0][0]):
            _push(heads, iter(waiting.pop()[1]().newest(prefixes, before)))
        if not heads:
            continue
        _, _, portion, portions = heappop(heads)
        edge = max((-heads[0][0], -heads[0][1]) if heads else (-inf, 0), (waiting[-1][0], LAST_NUMBER) if waiting else (-inf, 0))
        sure = len(portion) if portion[-1][:2] > edge else next(at for at, hit in enumerate(portion) if hit[:2] < edge)
        yield from portion[:sure]
        _push(heads, chain([portion[sure:]], portions) if sure < len(portion) else portions)


def _push(heads: list[tuple[float, int, list[Hit], Iterator[list[Hit]]]], portions: Iterator[list[Hit]]) -> None:
    for portion in portions:
        heappush(heads, (-portion[0][0], -portion[0][1], portion, portions))
        break


def _assemble(items: Sequence[tuple[float, int]], words: list[str], lengths: Iterable[int], places: Iterable[int]) -> Segment:
    numbers, times = array("q", map(itemgetter(1), items)), array("d", map(itemgetter(0), items))
    return Segment(numbers, times, words, array("I", accumulate(lengths, initial=0)), array("H", places))


def _rises(values: array[Any]) -> bool:
    return all(map(le, values, values[1:]))


def _bytes(values: array[Any]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _array(code: str, data: bytes) -> array[Any]:
    values = _native(code, data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _native(code: str, data: bytes) -> array[Any]:
    values: array[Any] = array(code)
    values.frombytes(data)
    return values
