"""Whatever is asked, search answers; and what a text says finds it again."""

from __future__ import annotations

import random
import sys
import unicodedata

import pytest

from memstore import Invalid, open_store
from memstore.kernel.words import words as telling
from memstore.keywords.words import prefixes
from memstore.testing import FakeClock

from .nasty import TEXTS

QUERIES = 2000
TEXTS_STORED = 150

#: Where random characters are taken from: scripts with traps of their own, and everything else.
RANGES = (
    (0x20, 0x7E), (0x00, 0x1F), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xEFF),
    (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2160, 0x24FF), (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xADFF),
    (0xE000, 0xE0FF), (0xF900, 0xFB06), (0xFE00, 0xFEFF), (0xFF00, 0xFFEF), (0xFFF0, 0xFFFF), (0x1D400, 0x1D4FF), (0x1F300, 0x1FAFF),
    (0x20000, 0x200FF), (0xE0000, 0xE01EF), (0x80, 0x10FFFF),
)  # fmt: skip
SIGNS = (
    '"',
    "'",
    "*",
    "^",
    "(",
    ")",
    ":",
    "-",
    "+",
    "NEAR(",
    " AND ",
    " OR ",
    " NOT ",
    "%",
    "_",
    "\\",
    "?",
    ";",
    "--",
    "/*",
    "{",
    "}",
    "..",
    "@",
)


def character(rng):
    while True:
        code = rng.randint(*rng.choice(RANGES))
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def word(rng):
    return "".join(character(rng) for _ in range(rng.randint(1, 8)))


def text(rng):
    """Words of any characters, some of one script, with signs that mean something in SQL or FTS."""
    low, high = rng.choice(RANGES[2:-1])
    kinds = (
        lambda: word(rng),
        lambda: "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 10))),
        lambda: rng.choice(SIGNS),
        lambda: rng.choice(("ab", "fooBar", "x-y.z", "1.5")),
    )
    parts = [rng.choice(kinds)() for _ in range(rng.randint(0, 9))]
    return rng.choice((" ", "", "\t", "\u3000")).join(parts)


def storable(value):
    return not any(0xD800 <= ord(sign) < 0xE000 for sign in value)


@pytest.fixture(scope="module")
def filled():
    """A store with random texts in every room that can be searched, some of them in segments of the index."""
    rng = random.Random(7)
    with open_store(clock=FakeClock()) as store:
        store.chat.create_conversation(id="c-1")
        said = [text(rng) for _ in range(TEXTS_STORED)]
        for number, content in enumerate(said):
            store.chat.append("c-1", "assistant", content, id=f"m-{number}")
            store.keywords.add(f"n-{number}", content, kind="note")
            if telling(content):
                store.corrections.add(content, f"claim {number}", override=True, id=f"k-{number}")
            if number == TEXTS_STORED // 2:
                store.keywords.compact()
        yield store, said


ASKED = {
    "chat.search": lambda store, query: store.chat.search(query, limit=3),
    "keywords.search": lambda store, query: store.keywords.search(query, limit=3),
    "keywords.complete": lambda store, query: store.keywords.complete(query, limit=3),
    "corrections.relevant": lambda store, query: store.corrections.relevant(query, limit=3),
    "corrections.prompt": lambda store, query: store.corrections.prompt(query, limit=3, max_tokens=50),
    "store.query": lambda store, query: store.query("SELECT ? AS a", [query]),
    "audit.find": lambda store, query: store.audit.find(actor=query, entity_id=query, stream=query, limit=3),
}


@pytest.mark.parametrize("name", ASKED)
def test_random_questions_are_answered_or_refused_as_invalid(filled, name, rng):
    store, _ = filled
    for number in range(QUERIES):
        query = text(rng)
        if number % 20 == 0:
            query += rng.choice(("\ud800", "\udfff", "\0", "\udc80\ud83d"))
        try:
            answer = ASKED[name](store, query)
        except Invalid as error:
            assert not storable(query) or name == "audit.find", f"{query!r}: {error}"
        else:
            assert storable(query), f"{query!r} was taken"
            assert name != "store.query" or answer == [{"a": query}]


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("query", [item for item in TEXTS if len(item) < 2000], ids=ascii)
def test_nasty_questions_are_answered_or_refused_as_invalid(filled, name, query):
    store, _ = filled
    try:
        ASKED[name](store, query)
    except Invalid:
        assert not storable(query) or name == "audit.find"


def pieces(rng, source):
    """Some of what stands between the spaces of a text, whole, in any order."""
    parts = source.split()
    return " ".join(rng.sample(parts, rng.randint(1, len(parts)))) if parts else ""


def louder(source):
    """In capitals, as far as that is only a matter of case: not the Turkish i, not an accent of which upper() makes a letter."""
    return "".join(
        sign.upper() if sign.upper().casefold() == sign.casefold() and "\u0345" not in unicodedata.normalize("NFD", sign) else sign
        for sign in source
    )


def test_what_a_text_says_finds_it(filled, rng):
    store, said = filled
    for number, content in enumerate(said):
        for query in (content, pieces(rng, content), louder(pieces(rng, content))):
            if prefixes(query):
                for found in (
                    [hit.message.id for hit in store.chat.search(query, limit=None)],
                    [hit.item_id.replace("n-", "m-") for hit in store.keywords.search(query, kind="note", limit=None)],
                ):
                    assert f"m-{number}" in found, f"{query!r} does not find {content!r}"


def test_the_beginning_of_a_word_completes_to_one_that_finds_the_text(filled, rng):
    store, said = filled
    for content in said:
        for part in prefixes(pieces(rng, content))[:3]:
            completed = store.keywords.complete(part[: rng.randint(1, len(part))], limit=None)
            assert completed or prefixes(part[:1]) == [], f"nothing begins with {part!r} of {content!r}"
            for found, count in completed[:3]:
                assert 0 < count <= len(store.keywords.search(found, limit=None))


def test_what_a_subject_says_finds_its_correction(filled, rng):
    store, said = filled
    for number, content in enumerate(said):
        if telling(content):
            query = pieces(rng, content)
            for asked in (content, query):
                if telling(asked) & telling(content):
                    found = [hit.correction.id for hit in store.corrections.relevant(asked, limit=None, min_effective=0.0)]
                    assert f"k-{number}" in found, f"{asked!r} does not find {content!r}"


def test_names_are_found_as_they_were_written(rng):
    """Every way of naming an event finds just the events of that name."""
    with open_store(clock=FakeClock()) as store:
        names = {name: None for name in (text(rng) for _ in range(60)) if name.strip() and "\0" not in name}
        for name in names:
            store.audit.append("query", actor=name, entity_kind=name, entity_id=name, stream=name, project=name, id=name)
        for name in names:
            for option in ("actor", "entity_kind", "entity_id", "stream", "project"):
                assert [event.id for event in store.audit.find(**{option: name})] == [name], option
            assert [event.id for event in store.audit.history(name, name)] == [name]
            assert store.audit.get(name).actor == name


def test_the_questions_are_what_they_are_meant_to_be(rng):
    asked = [text(rng) for _ in range(QUERIES)]
    assert sum(bool(prefixes(query)) for query in asked) > QUERIES / 2
    assert len({ord(sign) >> 8 for query in asked for sign in query}) > 60
    assert max(ord(sign) for query in asked for sign in query) <= sys.maxunicode
