"""Segments: which items hold which word, packed so that a search runs in C and not in Python.

1. A segment never changes. Its items stand in the order of (created_at, number); an item is known inside it by its place.
2. Its words are sorted, the places of each lie behind those of the one before: the items of every word with a prefix are one
   slice of one array. Places are 16 bits wide where that is enough for the segment, else 32.
3. New segments are small, and four of like size become one, so there are about as many as the logarithm of the items.

The trap: `number` says who an item is, its place only where it stands here; places change whenever segments are merged.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from heapq import heappop, heappush
from itertools import accumulate, chain
from math import inf
from operator import itemgetter, le
from typing import TYPE_CHECKING, Any, NamedTuple

from .items import Items, packed, unpacked
from .words import expand, odd, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from .items import Origin
    from .sources import Item

    Hit = tuple[float, int, tuple[str, ...], str, Origin]  # created_at, number, the word that answered each prefix, item_id, origin
    Span = tuple[int, int, int, int]  # places held by the words of a prefix, which prefix, first word, last word + 1

CAPACITY = 1 << 24  # bytes of a segment's numbers and places: whoever merges as many is held up for half a second
FAN = 4  # segments of one size that become one
PAGE = 500  # most hits made at a time
SEEK = 16  # places that are looked through in the time in which one word's part of a window is found
NARROW = 1 << 16  # items whose places fit into 16 bits
LAST = "\U0010ffff"  # after every character that a word can have
LAST_NUMBER = (1 << 63) - 1
WIDTH = array("i").itemsize


class Asked(NamedTuple):
    """What a search looks for."""

    prefixes: Sequence[str]
    size: int  # hits wanted at first
    conversation_id: str | None = None
    role: str | None = None


class Segment:
    """Items and their words, for good."""

    __slots__ = ("items", "lasts", "origins", "places", "starts", "words")

    def __init__(self, items: Items, words: list[str], starts: array[int], places: array[int]) -> None:
        self.items = items
        self.origins = list(items.origins)
        self.words = words
        self.starts = starts  # words[i] is held by the items at places[starts[i]:starts[i + 1]]
        self.places = places
        self.lasts = array(places.typecode, [places[end - 1] for end in starts[1:]])  # the newest item of each word

    def __len__(self) -> int:
        return len(self.items)

    @property
    def size(self) -> int:
        """Bytes of its numbers and places."""
        return len(self.items.numbers) * self.items.numbers.itemsize + len(self.places) * self.places.itemsize

    def pack(self) -> tuple[bytes | str, ...]:
        """The columns of a segment in the file."""
        return (*self.items.pack(), "\n".join(self.words).encode(), packed(self.starts), packed(self.places))

    @classmethod
    def unpack(cls, columns: Sequence[Any], words: bytes, starts: bytes, places: bytes) -> Segment:
        """Take a segment out of the file; `columns` are those of its items."""
        items = Items.unpack(*columns)
        vocabulary = words.decode().split("\n") if words else []
        begins, held = unpacked("I", starts), unpacked(_code(len(items)), places)
        if len(begins) != len(vocabulary) + 1 or begins[-1] != len(held):
            raise ValueError("its parts do not fit together")
        if not _rises(begins) or not _rises(items.times):  # what its places hold shows when they are used: they are many
            raise ValueError("it is out of order")
        return cls(items, vocabulary, begins, held)

    def span(self, prefix: str) -> tuple[int, int]:
        """Which of the words begin with the prefix."""
        low = bisect_left(self.words, prefix)
        if low == len(self.words) or not self.words[low].startswith(prefix):
            return low, low
        return low, bisect_left(self.words, prefix + LAST, low)

    def counts(self, prefix: str, gone: Collection[int]) -> Iterator[tuple[str, int]]:
        """Each word with the prefix and how many items have it."""
        low, high = self.span(prefix)
        starts = self.starts
        dead = self.dead(gone) if gone and low < high else ()
        for index in range(low, high):
            begin, end = starts[index], starts[index + 1]
            yield self.words[index], end - begin - (sum(place in dead for place in self.places[begin:end]) if dead else 0)

    def holders(self, word: str, begins: bool) -> Iterable[int]:
        """Numbers of the items that have a word, or one that begins with it."""
        low, high = self.span(word)
        if not begins:
            high = low + (low < high and self.words[low] == word)
        return map(self.items.numbers.__getitem__, self.places[self.starts[low] : self.starts[high]])

    def dead(self, gone: Collection[int]) -> set[int]:
        """Places of the items that are gone."""
        return {place for place, number in enumerate(self.items.numbers) if number in gone}

    def newest(self, asked: Asked, before: tuple[float, int] | None = None) -> Iterable[list[Hit]]:
        """Items that have a word for every prefix, newest first: a page of the size asked for, then larger ones."""
        spans: list[Span] = []
        for prefix in asked.prefixes:
            low, high = self.span(prefix)
            if low == high:
                return ()
            spans.append((self.starts[high] - self.starts[low], len(spans), low, high))
        return self._pages(sorted(spans), asked, len(self) if before is None else self._below(before))

    def _pages(self, spans: list[Span], asked: Asked, high: int) -> Iterator[list[Hit]]:
        """Look from the newest place down, at first as far as a page of hits needs, were they evenly spread."""
        allowed = self._allowed(asked)
        size = asked.size
        width = 3 * size * len(self) // (2 * spans[0][0]) + 1
        while high > 0 and (allowed is None or allowed):
            low = max(0, high - width)
            found = self._window(spans, low, high, allowed)
            places = sorted(found[-1], reverse=True)
            at = 0
            while at < len(places):
                yield self._hits(places[at : at + size], spans, found)
                at, size = at + size, min(size * 2, PAGE)
            high, width = low, width * 4

    def _allowed(self, asked: Asked) -> set[int] | None:
        """Numbers of the origins that items may have; None for any."""
        if asked.conversation_id is None and asked.role is None:
            return None
        return {
            which
            for which, (conversation_id, role) in enumerate(self.origins)
            if asked.conversation_id in (None, conversation_id) and asked.role in (None, role)
        }

    def _below(self, before: tuple[float, int]) -> int:
        created_at, number = before
        times = self.items.times
        return bisect_left(self.items.numbers, number, bisect_left(times, created_at), bisect_right(times, created_at))

    def _window(self, spans: list[Span], low: int, high: int, allowed: set[int] | None) -> list[dict[int, int]]:
        """Which places have each prefix as well as those before it, and where in `places` that stands."""
        entries = self._entries(spans[0], low, high)
        if allowed is not None:
            whence = self.items.whence
            entries = [entry for entry in entries if whence[entry[0]] in allowed]
        found = [dict(entries)]
        for span in spans[1:]:
            if not found[-1]:
                break
            low, high = min(found[-1]), max(found[-1]) + 1
            found.append({place: entry for place, entry in self._entries(span, low, high) if place in found[-1]})
        return found

    def _hits(self, places: list[int], spans: list[Span], found: list[dict[int, int]]) -> list[Hit]:
        words, starts, items = self.words, self.starts, self.items
        matched: list[list[str]] = [[]] * len(spans)
        for (_, which, first, last), entries in zip(spans, found):
            matched[which] = [words[bisect_right(starts, entries[place], first, last) - 1] for place in places]
        origins = map(self.origins.__getitem__, map(items.whence.__getitem__, places))
        times, numbers = map(items.times.__getitem__, places), map(items.numbers.__getitem__, places)
        return list(zip(times, numbers, zip(*matched), items.ids_at(places), origins))

    def _entries(self, span: Span, low: int, high: int) -> Iterable[tuple[int, int]]:
        """(place, position in `places`) within the window, backwards: of several words the first one stays in a dict."""
        starts, places = self.starts, self.places
        count, _, first, last = span
        if count <= last - first + SEEK * min(last - first, count * (high - low) // len(self) + 1):
            begin, end = starts[first], starts[last]
            backwards = zip(reversed(places[begin:end]), range(end - 1, begin - 1, -1))
            return backwards if high - low == len(self) else [entry for entry in backwards if low <= entry[0] < high]
        result: list[tuple[int, int]] = []
        reaching = [index for index, newest in enumerate(self.lasts[first:last], first) if newest >= low]
        for index in reversed(reaching):
            end = starts[index + 1]
            left = bisect_left(places, low, starts[index], end)
            right = bisect_left(places, high, left, end)
            result.extend(zip(places[left:right], range(left, right)))
        return result


class Draft:
    """A segment in the making: texts go in, in the order of their numbers."""

    def __init__(self) -> None:
        self.characters = 0
        self._items = Items()
        self._holders: defaultdict[str, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Sequence[Item], texts: Sequence[str]) -> None:
        """Take in more items, each with its text."""
        first = len(self)
        self._items.add(items)
        self.characters += sum(map(len, texts))
        holders = self._holders
        for place, found in enumerate(tokens(texts), first):
            for token in found:
                holders[token].append(place)

    def segment(self) -> Segment:
        """The segment that they make."""
        # Tokens become words only here, each once: item by item it would take three times as long.
        holders = self._holders
        shared: defaultdict[str, list[int]] = defaultdict(list)
        for token in odd(holders):
            places = holders.pop(token)
            for word in expand(token):
                shared[word] += places
        for word, places in shared.items():
            holders[word] = sorted({*places, *holders[word]})
        words = sorted(holders)
        held = list(map(holders.__getitem__, words))
        segment = _assemble(self._items, words, map(len, held), list(chain.from_iterable(held)))
        return segment if _rises(self._items.times) else merge([segment])


def merge(segments: Iterable[Segment], gone: frozenset[int] = frozenset()) -> Segment:
    """Make one segment of several, without the items that are gone."""
    parts = sorted(segments, key=lambda segment: (segment.items.times[:1], segment.items.numbers[:1]))
    items = Items()
    for part in parts:
        items.join(part.items)
    keys = list(zip(items.times, items.numbers))
    targets = array("i", range(len(items)))
    tangled = bool(gone and not gone.isdisjoint(items.numbers)) or not _rises(keys)
    if tangled:
        order = sorted((place for place in targets if items.numbers[place] not in gone), key=keys.__getitem__)
        targets = array("i", [-1]) * len(items)
        for target, place in enumerate(order):
            targets[place] = target
        items = items.picked(order)
    pieces: dict[str, bytes] = {}
    for part in parts:
        # As bytes, because slicing and joining them costs a third of what lists of int do.
        moved = array("i", map(targets.__getitem__, part.places)).tobytes()
        targets = targets[len(part) :]
        bounds = [WIDTH * start for start in part.starts]
        for word, begin, end in zip(part.words, bounds, bounds[1:]):
            pieces[word] = pieces.get(word, b"") + moved[begin:end]
    if tangled:
        alive = ((word, sorted(place for place in array("i", piece) if place >= 0)) for word, piece in pieces.items())
        pieces = {word: array("i", places).tobytes() for word, places in alive if places}
    words = sorted(pieces)
    held = [pieces[word] for word in words]
    return _assemble(items, words, (len(piece) // WIDTH for piece in held), array("i", b"".join(held)))


def crowd(sizes: Sequence[int], room: int = CAPACITY) -> list[int]:
    """Which of the segments with these sizes should become one now, of no more bytes than there is room; [] for none."""
    levels: defaultdict[int, list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        levels[size.bit_length() // 2].append(index)
    for indexes in levels.values():
        if len(indexes) >= FAN:
            fitting = fill(sizes, indexes, room)
            if len(fitting) > 1:
                return fitting
    return []


def fill(sizes: Sequence[int], indexes: Iterable[int], room: int = CAPACITY) -> list[int]:
    """The smallest segments that together fit into one."""
    chosen: list[int] = []
    for index in sorted(indexes, key=sizes.__getitem__):
        if sizes[index] > room:
            break
        room -= sizes[index]
        chosen.append(index)
    return chosen


def newest_first(
    segments: Iterable[tuple[float, Callable[[], Segment]]], asked: Asked, before: tuple[float, int] | None = None
) -> Iterator[list[Hit]]:
    """Hits of all segments, newest first, in pages; a segment is opened when its newest item could be the next hit, not before."""
    waiting = sorted(segments, key=itemgetter(0))
    heads: list[tuple[float, int, list[Hit], Iterator[list[Hit]]]] = []
    while waiting or heads:
        while waiting and (not heads or waiting[-1][0] >= -heads[0][0]):
            _push(heads, iter(waiting.pop()[1]().newest(asked, before)))
        if not heads:
            continue
        _, _, portion, portions = heappop(heads)
        edge = max((-heads[0][0], -heads[0][1]) if heads else (-inf, 0), (waiting[-1][0], LAST_NUMBER) if waiting else (-inf, 0))
        sure = len(portion) if portion[-1][:2] > edge else next(at for at, hit in enumerate(portion) if hit[:2] < edge)
        yield portion[:sure]
        _push(heads, chain([portion[sure:]], portions) if sure < len(portion) else portions)


def _push(heads: list[tuple[float, int, list[Hit], Iterator[list[Hit]]]], portions: Iterator[list[Hit]]) -> None:
    for portion in portions:
        heappush(heads, (-portion[0][0], -portion[0][1], portion, portions))
        break


def _assemble(items: Items, words: list[str], lengths: Iterable[int], places: Iterable[int]) -> Segment:
    return Segment(items, words, array("I", accumulate(lengths, initial=0)), array(_code(len(items)), places))


def _code(items: int) -> str:
    """How the places of so many items are packed."""
    return "H" if items <= NARROW else "I"


def _rises(values: Sequence[Any]) -> bool:
    return all(map(le, values, values[1:]))
