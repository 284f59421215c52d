"""Excerpts: the part of a text to show where it was found by some words."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXCERPT = 160
LOOK_AT = 100_000  # characters in which the words are looked for
MOST_WORDS = 100  # that are looked for


def excerpt(text: str, words: Iterable[str]) -> str:
    """About 160 characters of a text around the first of the words, on one line and cut between words."""
    line = " ".join(text.split())
    return _around(line, _first(line, words))


def densest(text: str, words: Iterable[str]) -> str:
    """About 160 characters of a text where most of the words stand close together, on one line and cut between words."""
    line = " ".join(text.split())
    return _around(line, _densest(line, words))


def stretches(text: str, words: Iterable[str], least: int) -> Iterator[slice]:
    """Where most of the words stand close together in a text: half of it, half of that, and so on, cut between lines or words."""
    size = len(text) // 2
    at = _densest(text, words) if size >= least else 0
    while size >= least:
        start = max(0, min(at - size // 3, len(text) - size))
        end = start + size
        if start > 0:
            start = text.find("\n", start, at) + 1 or text.find(" ", start, at) + 1 or start
        if end < len(text):
            low = max(at, end - size // 3)
            end = max(text.rfind("\n", low, end), 0) or max(text.rfind(" ", low, end), 0) or end
        yield slice(start, end)
        size //= 2


def _around(line: str, at: int) -> str:
    start = max(0, min(at - EXCERPT // 3, len(line) - EXCERPT))
    end = start + EXCERPT
    if start > 0:
        start = line.find(" ", start, at) + 1 or start
    if end < len(line):
        space = line.rfind(" ", at, end + 1)
        end = space if space > end - EXCERPT // 3 else end
    return ("…" if start > 0 else "") + line[start:end] + ("…" if end < len(line) else "")


def _densest(text: str, words: Iterable[str]) -> int:
    """Where the stretch with the most different words begins; 0 where none is found."""
    longest = sorted(sorted(words), key=len, reverse=True)[:MOST_WORDS]  # whichever order a set of them has
    sought = sorted(_plain(longest), key=len, reverse=True)  # of two that begin alike the longer one is to match
    if not sought:
        return 0
    folded, places = _folded(text[:LOOK_AT])
    pattern = re.compile("|".join(re.escape(word) if not word.isascii() else rf"\b{re.escape(word)}" for word in sought))
    stretch: deque[tuple[int, str]] = deque()
    most = best = 0
    for match in pattern.finditer(folded):
        stretch.append((places[match.start()], match.group()))
        while stretch[-1][0] - stretch[0][0] > EXCERPT // 2:
            stretch.popleft()
        found = len({word for _, word in stretch})
        if found > most:
            most, best = found, stretch[0][0]
    return best


def _first(text: str, words: Iterable[str]) -> int:
    """Where the first of the words begins; 0 where none is found."""
    folded, places = _folded(text[:LOOK_AT])
    spots = [_spot(folded, word) for word in _plain(words)]
    return min((places[spot] for spot in spots if spot >= 0), default=0)


def _spot(folded: str, word: str) -> int:
    beginning = re.search(rf"\b{re.escape(word)}", folded)  # "art" is better shown in "artist" than in "start"
    return folded.find(word) if beginning is None else beginning.start()


def _plain(words: Iterable[str]) -> set[str]:
    """The words as they stand in a text without case and accents."""
    return {_folded(word)[0] for word in words} - {""}


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """The text without case and accents, and where each of its characters came from."""
    if text.isascii():
        return text.lower(), range(len(text))
    signs: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(text):
        plain = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part)).casefold()
        signs.append(plain)
        places += [place] * len(plain)
    return "".join(signs), places
