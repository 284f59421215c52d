"""Values that no caller should pass and some caller will."""

from __future__ import annotations

import decimal
import enum
import fractions
import functools
import math
import pathlib
import types
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

TEXT_LIMIT = 20_000  # what the tests set the limit of one text to: a real one would cost 64 MiB a call


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    USER = "user"


class OldWord(str, enum.Enum):  # noqa: UP042 - its str() is its name, unlike that of a StrEnum
    USER = "user"


class Text(str):
    """A str that shows itself as another."""

    __slots__ = ()

    def __str__(self):
        return "another text"

    def __repr__(self):
        return "another text"

    def __hash__(self):
        return str.__hash__(self)

    def __eq__(self, other):
        return str.__eq__(self, other)


class Whole(int):
    def __str__(self):
        return "many"


class Real(float):
    def __repr__(self):
        return "some"


def _raise(*_, **__):
    raise RuntimeError("touched")


#: What Python may ask an object on the quiet, as an array does not like to be asked; each answers with an error of its own.
Hostile = type(
    "Hostile",
    (),
    dict.fromkeys(
        ("__str__", "__repr__", "__eq__", "__ne__", "__lt__", "__gt__", "__hash__", "__bool__", "__len__", "__contains__", "__getitem__",
         "__int__", "__float__", "__index__", "__format__", "__bytes__"),
        _raise,
    ),
)  # fmt: skip
HostileText = type("HostileText", (str,), {"__str__": _raise, "__format__": _raise})
HostileNumber = type("HostileNumber", (int,), {"__str__": _raise, "__repr__": _raise, "__format__": _raise})


class Nowhere(tzinfo):
    """A time zone that does not say how far off it is."""

    def utcoffset(self, when):
        return None

    def dst(self, when):
        return None

    def tzname(self, when):
        return "nowhere"


def deep(make, levels=100_000):
    """A value inside a value inside a value ..."""
    value = make(None)
    for _ in range(levels):
        value = make(value)
    return value


@functools.cache
def _lists():
    return deep(lambda inner: [inner])


@functools.cache
def _dicts():
    return deep(lambda inner: {"a": inner})


_TUPLES = deep(lambda inner: (inner,), 201)
DEEP = (_lists, _dicts, lambda: {"a": _lists()})  # for what takes documents; they cost 13 ms to fail to be shown


def _circle():
    value = []
    value.append(value)
    return value


def _ring():
    value = {}
    value["a"] = value
    return value


def _always(value):
    return lambda: value


NUMBERS = (
    math.nan, math.inf, -math.inf, -0.0, 0, 0.0, 1, -1, 0.5, 5e-324, 1e308, -1e308, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63),
    -(2**63) - 1, 2**64, 2**70, 10**400, 10**5000, -(10**5000), True, False, Number.ONE, Whole(3), Real(0.25), 1j,
    decimal.Decimal("1.5"), decimal.Decimal("NaN"), fractions.Fraction(1, 3),
)  # fmt: skip
TEXTS = (
    "", " ", "\n\t", "\u3000", "\0", "a\0b", "\ud800", "a\udfffb", "\ude00\ud83d", "x" * 1000, "x" * 1001, "x" * (TEXT_LIMIT + 1),
    "日" * (TEXT_LIMIT // 3 + 1), "é", "e\u0301", "日本語 🎉", "👩\u200d🚀", "'; DROP TABLE messages; --", '"', "'", "`a`", "[a]", "100%",
    "_", "\\", "a\r\nb", "\ufeffa", "\u202eabc", "\u2028", "\uffff", "\x1b[31m", "NULL", "None", "1", "1e3", "nan", "Infinity", "true",
    "{}", "[]", '{"a":1}', "?", ":a", "$1", "../up", ":memory:", "file:x?mode=memory", "user", "a", "A", "not a word", "audit.prune",
    Text("some text"), Word.USER, OldWord.USER, HostileText("hostile"),
)  # fmt: skip
OTHERS = (
    b"", b"x", b"\xff", bytearray(b"x"), memoryview(b"x"), (), [], {}, [1], ["a"], ["\ud800"], ["a\0"], [["a"]], [None], [math.nan],
    ("a", "b"), {"a": 1}, {"a": (1, 2)}, {"a": math.nan}, {"a": math.inf}, {"a": -0.0}, {"a": 2**70}, {"a": 10**5000}, {"a": {1}},
    {"a": b"x"}, {"a": "\ud800"}, {"\ud800": 1}, {"a\0b": "c\0d"}, {"": ""}, {1: 2}, {1: 1, "1": 2}, {None: 1}, {True: 1, "True": 2},
    {(1, 2): 3}, {"é": 1, "e\u0301": 2}, {"a": Word.USER, "b": Number.ONE, "c": True}, {Word.USER: 1}, {"a": "x" * (TEXT_LIMIT + 1)},
    {"a": Ellipsis}, {"a": datetime(2026, 1, 1, tzinfo=UTC)}, _TUPLES, {1}, frozenset("a"),
    range(3), {"role": "user", "content": "hello"}, types.MappingProxyType({"a": 1}), types.SimpleNamespace(a=1),
)  # fmt: skip
TIMES = (
    datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime(9999, 12, 31, 23, 59, 59, 999999, timezone(timedelta(hours=-12))),
    datetime(2026, 1, 1, tzinfo=Nowhere()), datetime(2026, 10, 25, 2, 30, fold=1), date(2026, 1, 1), timedelta(days=1), -1e18,
    -2208988800.5,
)  # fmt: skip
OBJECTS = (
    None, object(), Ellipsis, NotImplemented, int, str, _raise, types, ValueError("a"), Hostile(), HostileNumber(1), pathlib.Path("a"),
    pathlib.PurePosixPath("\ud800"),
)  # fmt: skip
SPENT = (_circle, _ring, lambda: (item for item in "ab"), lambda: iter(["a", "\ud800"]), lambda: map(int, "12"))

#: A maker of each value, because some are spent by being used.
MAKERS = (*map(_always, (*NUMBERS, *TEXTS, *OTHERS, *TIMES, *OBJECTS)), *SPENT)


def shown(value):
    """A value for the message of a failing test."""
    try:
        return f"{type(value).__name__} {value!r}"[:120]
    except Exception:
        return f"a {type(value).__name__}"
