"""One tokenizer for what is indexed and what is asked.

1. Case and accents are folded, so `cafe` finds `Café` in either normal form; marks that make another letter (Thai vowels,
   Devanagari signs, the voicing of kana) stay.
2. A word is a run of letters, digits, marks and `_`; `-` and `.` join two of them. Such an identifier is indexed whole, by
   each part, and by each tail of parts: `fooBar.baz` as `foobar.baz`, `foo`, `bar`, `bar.baz`, `baz`. Search is by prefix, so
   every run of neighbouring parts is found, in order, without ever being listed.
3. Scripts without spaces, and emoji, are indexed as overlapping pairs and the last character: each substring of one or two
   characters is then the beginning of some word, each longer one a chain of pairs.
4. Nothing is left out: no stop words, no shortest length, no most words.

The trap: the question is never split at its capitals. `fooBar` asks for `foobar` and so finds `fooBar` and `FOOBAR` alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TAIL_PARTS = 8  # bounds what base64 with its thousands of capitals adds to the vocabulary; the whole is always a word

_SPACELESS = re.compile(
    "(["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uaa60-\uaa7f"  # Thai, Lao, Myanmar, Khmer
    "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Hangul has spaces, but its particles stick to the word
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
    "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"  # emoji
    "]+)"
)
_BREAK = re.compile(r"[-.]{2,}")
_PART = re.compile(r"[^-._]+?(?=[-._]|\Z|(?<=[a0])A|(?<=A)Aa)")  # over the shape of a token, see _shape
_BETWEEN = "\x1e"  # a space to `split`, so it may stay where it is
_ASCII = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalnum() and chr(code) not in "-._" + _BETWEEN})


def words(text: str) -> set[str]:
    """Every word that a text is found by."""
    return set(chain.from_iterable(map(expand, _fold(text).split())))


def bag(text: str) -> Counter[str]:
    """Every word that a text is found by, and how often."""
    found: Counter[str] = Counter()
    for token, count in Counter(_fold(text).split()).items():
        for word in set(expand(token)):
            found[word] += count
    return found


def asked(query: str) -> list[str]:
    """What a question has in common with the texts that answer it: words, and pairs of scripts without spaces."""
    found = dict.fromkeys(chain(prefixes(query), chain.from_iterable(map(expand, _fold(query).split()))))
    single = {piece[-1] for piece in _SPACELESS.findall(_fold(query)) if len(piece) > 1}  # the last character is in its pair
    return [word for word in found if word not in single]


def is_open(word: str) -> bool:
    """Whether a word is one character of a script without spaces, which stands for every pair that begins with it."""
    return len(word) == 1 and _SPACELESS.match(word) is not None


def tokens(texts: Sequence[str]) -> Iterator[set[str]]:
    """What stands between spaces and signs in each text; `expand` makes words of it."""
    joined = _BETWEEN.join(texts)  # folded in one pass, which takes half as long as text by text
    if joined.isascii() and joined.count(_BETWEEN) == len(texts) - 1:
        return (set(text.split()) for text in _fold(joined).split(_BETWEEN))
    return (set(_fold(text).split()) for text in texts)


def odd(tokens: Iterable[str]) -> list[str]:
    """Those that are not, as they stand, their own only word."""
    return [token for token in tokens if not (token.islower() and token.isalnum() and token.isascii())]


def prefixes(query: str) -> list[str]:
    """What a query asks for: each must begin some word of the text."""
    return list(dict.fromkeys(chain.from_iterable(map(_ask, _fold(query).split()))))


def _fold(text: str) -> str:
    """Leave word characters and joints, everything else a space; case stays, because capitals divide identifiers."""
    if text.isascii():
        return text.translate(_ASCII)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", text).translate(_CLASSES))


class _Classes(dict[int, "int | str | None"]):
    """What becomes of a character: learnt when first met, because the tables of Unicode are too long to walk at import."""

    def __missing__(self, code: int) -> int | str | None:
        self[code] = result = _class_of(chr(code), code)
        return result


def _class_of(character: str, code: int) -> int | str | None:
    category = unicodedata.category(character)
    if category in ("Cf", "Me") or 0xFE00 <= code <= 0xFE0F:  # joiners, soft hyphens, enclosing marks, variation selectors
        return None
    if category == "Mn":
        position = unicodedata.combining(character)
        # Accents stand above, below or through; Hebrew and Arabic points have 10-36. Other classes belong to their letter.
        return None if position == 1 or 10 <= position <= 36 or position >= 200 else code
    if category[0] in "LN" or category == "Mc" or character in "-._":
        return code
    return code if category[0] in "SC" and _SPACELESS.match(character) else " "


_CLASSES = _Classes()


def expand(token: str) -> Iterable[str]:
    """The words of one token, some perhaps twice."""
    bare = token.strip("-.")
    if _is_simple(bare):
        return (bare.lower(),)
    return _parts(token)


def _is_simple(token: str) -> bool:
    """Letters and digits that neither sign nor capital divides."""
    return token.isascii() and token.isalnum() and token[1:] == token[1:].lower()


def _parts(token: str) -> Iterable[str]:
    for position, piece in enumerate(_SPACELESS.split(token)):
        if position % 2:
            yield from (piece[at : at + 2] for at in range(len(piece)))
        else:
            for run in _BREAK.split(piece):
                yield from _identifier(run.strip("-."))


def _identifier(run: str) -> Iterable[str]:
    spans = [part.span() for part in _PART.finditer(_shape(run))]
    if not spans:
        return
    yield run.casefold()
    for number, (start, end) in enumerate(spans):
        yield run[start:end].casefold()
        yield run[start : spans[min(number + TAIL_PARTS, len(spans)) - 1][1]].casefold()


def _shape(run: str) -> str:
    """The token with each capital as A, digit as 0, joint as itself and anything else as a."""
    return "".join(sign if sign in "-._" else "A" if sign.isupper() else "0" if sign.isdigit() else "a" for sign in run)


def _ask(token: str) -> Iterable[str]:
    return (token.lower(),) if _is_simple(token) else _asked_parts(token)


def _asked_parts(token: str) -> Iterable[str]:
    for position, piece in enumerate(_SPACELESS.split(token)):
        if position % 2:
            yield from (piece[at : at + 2] for at in range(max(1, len(piece) - 1)))
        else:
            runs = (run.strip("-.") for run in _BREAK.split(piece))
            yield from (run.casefold() for run in runs if run.strip("_"))
