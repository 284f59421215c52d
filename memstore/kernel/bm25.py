"""BM25 as FTS5 computes it (k1 = 1.2, b = 0.75): the formula, and the best of many texts by upper bounds on their scores.

`rarity` is the inverse document frequency of Robertson and Sparck Jones, never below 1e-6: a word that most texts have barely counts.
What is looked for may have several forms, as a word and its plural: a text then has it as often as it has any of them, and as many
texts have it as have the commonest of them (as Lucene's SynonymQuery counts).
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappush, heapreplace
from itertools import islice
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    Sought = Sequence[Collection[str]]  # what is looked for, each by its forms

K1 = 1.2
B = 0.75
MOST = K1 + 1.0  # what a word of rarity 1 adds to a score, however often it stands in a text, stays below this
PAGE = 16  # texts that are read at a time

Scored = tuple[int, float]  # number of a text, and its score


def rarity(texts: int, holders: int) -> float:
    """The weight of a word that `holders` of `texts` have."""
    return max(log((texts - holders + 0.5) / (holders + 0.5)), 1e-6)


def terms(sought: Sought, words_of: Callable[[str], Sequence[str]], most: int) -> list[list[str]]:
    """What is looked for as terms, at most so many: forms that are one word are together a term, each word of others is one."""
    term_of: dict[str, object] = {}
    for number, forms in enumerate(sought):
        for words in map(words_of, forms):
            for word in words:
                term_of.setdefault(word, number if len(words) == 1 else word)
    found: defaultdict[object, list[str]] = defaultdict(list)
    for word, term in term_of.items():
        found[term].append(word)
    return list(found.values())[:most]


def score(counts: Sequence[int], rarities: Sequence[float], length: float, average: float) -> float:
    """The score of a text that has each word `counts` times; the order of operations, and so the last digit, is that of FTS5."""
    total = 0.0
    for count, weight in zip(counts, rarities, strict=True):
        total += weight * ((count * (K1 + 1.0)) / (count + K1 * (1 - B + B * length / average)))
    return total


def best(bounds: Iterable[Scored], exact: Callable[[list[int]], Iterable[Scored]], count: int) -> list[Scored]:
    """The texts that score highest, best first, ties by number; all for a negative `count`.

    `bounds` are in falling order, each at least the score of its text; `exact` is called with pages of texts as long as one of them
    may be among the best.
    """
    kept: list[tuple[float, int]] = []  # a heap with the worst on top
    waiting = iter(bounds)
    while page := list(islice(waiting, PAGE)):
        if len(kept) == count and (count == 0 or kept[0][0] > page[0][1]):
            break
        for number, found in exact([number for number, _ in page]):
            if len(kept) != count:
                heappush(kept, (found, -number))
            elif (found, -number) > kept[0]:
                heapreplace(kept, (found, -number))
    return [(-number, found) for found, number in sorted(kept, reverse=True)]
