"""Words of a text as rooms compare them, and the key of a text that is to be found again.

1. One function makes the words of both sides, so what is stored can be found.
2. `words` match whole: a prefix or a stem would take "completely" for "complexity"; only a plural counts as its singular.
   `stems` go further and cut -ed and -ing too, for asking how much of one text stands in another.
3. An identifier counts whole and by its parts: `timeDelta`, `time_delta` and `TimeDelta` are the same words.
4. A statement says the same with a full stop and without. A hyphen is no space: "re-sign" is not "re sign".
5. Where the store has a codec, neither words nor keys are readable in the file: they are tags.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from string import whitespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cipher import Cipher

_FUNCTION_WORDS = """
    a about after again all also always an and any are aren as at be because been before being both but by can cannot could
    couldn did didn do does doesn doing don done each either else ever every for from had hadn has hasn have haven having he
    her here hers him his how however i if in into is isn it its itself just let may me might mine more most much must my
    neither never no nor not now of on once only or other our ours out over own please same shall she should shouldn so
    some such than that the their theirs them then there these they this those though to too under until up upon us use
    very was wasn we were weren what when where whether which while who whom whose why will with without won would wouldn yes
    yet you your yours
"""
#: English words that say nothing about what a text is about.
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

_ENDINGS = ".!?…;:,。．｡！？；：，､、"

# It looks behind only where it has found an apostrophe: the other way round it would look behind every character.
_CONTRACTION = re.compile(r"['’](?<=\w['’])(?:s|t|d|m|ll|re|ve)\b", re.IGNORECASE)
# Marks of Indic and Thai script are no \w, yet they stand inside words.
_TOKEN = re.compile(r"[\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INFLECTIONS = ("", "e", "s", "es", "ed", "ing", "ings")
_VOWEL = re.compile("[aeiouy]")
_DOUBLED = re.compile("[aeiou][^aeiouwxy]$")  # as in stop
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words(*texts: str) -> set[str]:
    """Return the distinct words of some texts, function words left out."""
    found: set[str] = set()
    for text in texts:
        found.update(*map(_forms, _TOKEN.findall(_CONTRACTION.sub("", unicodedata.normalize("NFKC", text)))))
    return found


def stems(*texts: str) -> set[str]:
    """Return the distinct stems of some texts: words without -ed, -ing and a last e, where three letters with a vowel stay."""
    return set(map(_stem, words(*texts)))


def inflected(text: str) -> dict[str, set[str]]:
    """Return the words of a text in their order, function words left out, each as it stands there and in the forms of its stem."""
    found: dict[str, set[str]] = {}
    for word in _tokens(text):
        if word not in FUNCTION_WORDS:
            found[word] = {word, *_inflections(_stem(_singular(word)))} if word.isascii() and word.isalpha() else {word}
    for written in _TOKEN.findall(text):
        for word in found.keys() & _tokens("" if written.isascii() else written):
            found[word].add(written)  # for an index that takes neither ß for ss nor a ligature for its letters
    return found


def _tokens(text: str) -> list[str]:
    return [token.casefold() for token in _TOKEN.findall(_CONTRACTION.sub("", unicodedata.normalize("NFKC", text)))]


def normal(text: str) -> str:
    """A text as it is compared: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def unended(text: str) -> str:
    """A text without the punctuation and white space that it ends in, unless it is nothing else."""
    return text.rstrip(_ENDINGS + whitespace) or text


def key_of(text: str, cipher: Cipher | None = None) -> str:
    """Digest of a text, a name say, as it is compared; "" of a blank one."""
    return _key(normal(text), cipher)


def statement_key(text: str, cipher: Cipher | None = None) -> str:
    """Digest of a statement as it is compared, whatever punctuation it ends in; "" of a blank one."""
    return _key(unended(normal(text)), cipher)


def text_key(text: str, cipher: Cipher | None = None) -> str:
    """SHA-256 of a text as it is, to the last space, in hex; under a codec a tag of it."""
    return hashlib.sha256(text.encode()).hexdigest() if cipher is None else cipher.tag("exact", text)


def _key(compared: str, cipher: Cipher | None) -> str:
    if cipher is not None and compared:
        return cipher.tag("text", compared)
    return hashlib.sha256(compared.encode()).hexdigest()[:32] if compared else ""


def tagged(found: Iterable[str], cipher: Cipher | None) -> list[str]:
    """Words as the file has them, sorted."""
    return sorted(found if cipher is None else {cipher.tag("word", word) for word in found})


@lru_cache(maxsize=16384)
def _forms(token: str) -> frozenset[str]:
    pieces = {token.replace("_", "")}
    for part in token.split("_"):
        pieces.update(_HUMP.split(part))
    forms: set[str] = set()
    for piece in pieces:
        folded = piece.casefold()
        for run in UNSPACED.findall(folded):
            forms.update(run[start : start + 2] for start in range(max(1, len(run) - 1)))
        forms.update(_singular(word) for word in UNSPACED.split(folded) if word and word not in FUNCTION_WORDS)
    return frozenset(forms)


def _singular(word: str) -> str:
    """Cut a regular English plural; what merely ends in s (class, status, analysis) stays."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]


@lru_cache(maxsize=4096)
def _inflections(stem: str) -> frozenset[str]:
    """The forms that a regular English word of this stem may have; some of them are no words."""
    bases = [stem, stem + stem[-1]] if _DOUBLED.search(stem) else [stem]
    forms = [base + ending for base in bases for ending in _INFLECTIONS] + [stem[:-1] + "ies"]
    return frozenset(form for form in forms if _stem(_singular(form)) == stem)


@lru_cache(maxsize=16384)
def _stem(word: str) -> str:
    """preferred and preferring are prefer, decide and decided are decid, while red, bus and sing stay what they are."""
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3 and _VOWEL.search(stem):
            doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz"
            return stem[:-1] if doubled else stem
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
