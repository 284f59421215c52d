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
    from ..kernel.bm25 import Scored, Sought
    from .spaces import Space

MOST_TERMS = 1000  # of a question that are looked at
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


def wanted(sought: Sought) -> list[list[str]]:
    """The terms that a question asks for."""
    return bm25.terms(sought, asked, MOST_TERMS)


def best(
    conn: Connection,
    source: RankedSource,
    asked_for: Sequence[Sequence[str]],
    holders: dict[str, set[int]],
    allowed: Container[int] | None,
    count: int,
) -> list[Scored]:
    """The texts that score highest by some terms, best first; all that have any of the words for a negative count."""
    texts, average = source.extent(conn)
    terms = [term for term in asked_for if any(holders[word] for word in term)]
    commonest = [max(len(holders[word]) for word in term) for term in terms]
    rarities = [bm25.rarity(max(texts, each), each) for each in commonest]  # a damaged index may know of more
    bounds: defaultdict[int, float] = defaultdict(float)
    for term, weight in zip(terms, rarities):
        for number in set().union(*[holders[word] for word in term]):
            bounds[number] += bm25.MOST * weight
    ranked = sorted((-bound, number) for number, bound in bounds.items() if allowed is None or number in allowed)

    def exact(numbers: list[int]) -> Iterator[Scored]:
        for number, text in source.picked(conn, numbers):
            counts = bag(text)
            held = [sum([_count(counts, word) for word in term]) for term in terms]
            yield number, bm25.score(held, rarities, len(text), average)

    return bm25.best(((number, -bound) for bound, number in ranked), exact, count)


def _count(counts: Counter[str], word: str) -> int:
    return sum(counts[each] for each in counts if each.startswith(word)) if is_open(word) else counts[word]
