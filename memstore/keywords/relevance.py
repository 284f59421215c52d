"""Relevance: which texts of a source answer a question best, with BM25 over the words of the keyword index.

The segments say who has a word, not how often: that is read off the texts themselves, in the order of what each could score at
most, until the best that was found beats what is left. The length of a text is counted in characters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from ..kernel import bm25, values
from .sources import TextSource
from .words import asked, bag, is_open

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Container, Sequence

    from ..kernel import Connection
    from ..kernel.bm25 import Scored
    from .spaces import Space

MOST_WORDS = 1000  # of a question that are looked at
PAGE = 500  # texts that are looked through at a time


class RankedSource(TextSource, Protocol):
    """A source whose texts can be ranked."""

    def picked(self, conn: Connection, numbers: Sequence[int]) -> list[tuple[int, str]]:
        """(number, text) of those numbers that may be found."""

    def extent(self, conn: Connection) -> tuple[int, float]:
        """How many texts may be found, and how many characters they have on average."""


def indexed(space: Space, words: Iterable[str]) -> dict[str, set[int]]:
    """Who has each word, by what is indexed and what is not yet."""
    segments = list(space.segments())
    return {word: {number for each in segments for number in each.holders(word, is_open(word))}.difference(space.gone) for word in words}


def scanned(conn: Connection, source: RankedSource, words: Iterable[str]) -> dict[str, set[int]]:
    """Who has each word, by reading all texts."""
    found: dict[str, set[int]] = {word: set() for word in words}
    last = 0
    while page := source.texts(conn, last, source.last(conn), PAGE):
        last = values.onward(last, page[-1][0])
        for number, text in page:
            counts = bag(text)
            for word, holders in found.items():
                if _count(counts, word):
                    holders.add(number)
    return found


def wanted(query: str) -> list[str]:
    """The distinct words that a question asks for."""
    return asked(query)[:MOST_WORDS]


def best(
    conn: Connection, source: RankedSource, holders: dict[str, set[int]], allowed: Container[int] | None, count: int
) -> list[Scored]:
    """The texts that score highest, best first; all that have any of the words for a negative count."""
    texts, average = source.extent(conn)
    words = [word for word, found in holders.items() if found]
    rarities = [bm25.rarity(max(texts, len(holders[word])), len(holders[word])) for word in words]  # a damaged index may know of more
    bounds: defaultdict[int, float] = defaultdict(float)
    for word, weight in zip(words, rarities):
        for number in holders[word]:
            bounds[number] += bm25.MOST * weight
    ranked = sorted((-bound, number) for number, bound in bounds.items() if allowed is None or number in allowed)

    def exact(numbers: list[int]) -> Iterator[Scored]:
        for number, text in source.picked(conn, numbers):
            counts = bag(text)
            yield number, bm25.score([_count(counts, word) for word in words], rarities, len(text), average)

    return bm25.best(((number, -bound) for bound, number in ranked), exact, count)


def _count(counts: Counter[str], word: str) -> int:
    return sum(counts[each] for each in counts if each.startswith(word)) if is_open(word) else counts[word]
