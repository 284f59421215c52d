"""Values on their way into the file: checked before SQL, kept exactly or refused.

1. What SQLite would change in silence (NaN, -0.0, a bool, a naive time) or refuse in its own words (lone surrogates,
   65 bit integers) never gets that far: every function here returns the value to store or raises Invalid.
2. A message names the argument, the value and what would have been legal.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple, TypeVar

from .errors import Corrupt, Invalid

T = TypeVar("T")

JSON_DEPTH = 200  # far above real data, far below the recursion limit
KEY_LENGTH = 1000
TEXT_LIMIT = 64 * 2**20  # bytes; SQLite stops at 10**9 only, and a row has to fit into memory several times over
INT64 = 2**63
DAY = 86_400.0  # seconds
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class _Keep:
    def __repr__(self) -> str:
        return "KEEP"  # in help() and signatures


KEEP: Any = _Keep()  # of a column that can be NULL: not given, while None clears it


class Finding(NamedTuple):
    """One thing that a check found; `seq` is its number where it has one."""

    kind: str
    seq: int | None
    detail: str


#: Kinds of finding that are worth knowing and do not make a report fail.
ADVICE = frozenset(
    {"unanchored", "clock", "prune_unanchored", "anchor_before_range", "dangling", "scrub_owed", "keyed", "sqlite", "unknown_room"}
)

_last_tick = 0


def new_id() -> str:
    """Return a new time-ordered id in the layout of UUID version 7 (RFC 9562), rising within the process."""
    global _last_tick
    now = time.time_ns() * 4096 // 1_000_000  # 48 bits of milliseconds and 12 bits of their fraction
    # In one breath, without a call in which another thread could take the same tick. A lock held across fork would hang the child.
    _last_tick = tick = now if now > _last_tick else _last_tick + 1
    return uuid7(tick >> 12, tick & 0xFFF, int.from_bytes(os.urandom(8), "big"))


def uuid7(ms: int, high: int, low: int) -> str:
    """Lay out 48 bits of milliseconds, 12 bits and 62 bits as the text of a UUID version 7."""
    digits = f"{(ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low & (1 << 62) - 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def optional(check: Callable[..., T], name: str, value: Any, **options: Any) -> T | None:
    """Pass None through and everything else to `check`."""
    return None if value is None else check(name, value, **options)


def text(name: str, value: Any, *, blank: bool = True) -> str:
    """A str that UTF-8 can hold, of at most 64 MiB; with `blank=False` one that says something."""
    if not isinstance(value, str):
        raise Invalid(f"{name} must be str, not {_kind(value)}")
    size = _size(name, value)
    if size > TEXT_LIMIT:
        raise Invalid(f"{name} has {size} bytes; at most {TEXT_LIMIT} are allowed")
    if not blank and not value.strip():
        raise Invalid(f"{name} is blank; it needs some text")
    return str.__str__(value)  # str() would give the name of an enum's member, not its text


def key(name: str, value: Any) -> str:
    """A str fit to be looked up by: not blank, no NUL, at most 1,000 characters."""
    result = text(name, value, blank=False)
    if "\0" in result:
        raise Invalid(f"{name} {shorten(result)} holds a NUL character, at which text comparison would stop")
    if len(result) > KEY_LENGTH:
        raise Invalid(f"{name} has {len(result)} characters; at most {KEY_LENGTH} are allowed")
    return result


def label(name: str, value: Any) -> str:
    """A text to compare by that, unlike a key, may be empty."""
    return "" if isinstance(value, str) and value == "" else key(name, value)  # an array would compare item by item


def real(name: str, value: Any, *, low: float | None = None, high: float | None = None) -> float:
    """A finite float, within [low, high] where given."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Invalid(f"{name} must be a number, not {_kind(value)}")
    try:
        result = float(value) + 0.0  # -0.0 would come back as 0.0 from a REAL column
    except OverflowError:
        raise Invalid(f"{name} is beyond the range of a float") from None
    if not math.isfinite(result):
        raise Invalid(f"{name} is {result}; only finite numbers can be stored")
    if result != value:
        raise Invalid(f"{name} {value} cannot be held exactly by a float; the nearest is {result!r}")
    _within(name, result, low, high)
    return result


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """An int of 64 bits, within [low, high] where given."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{name} must be an int, not {_kind(value)}")
    if not -INT64 <= value < INT64:
        raise Invalid(f"{name} does not fit into 64 bits")
    _within(name, value, low, high)
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False; 0 and 1 pass for them."""
    if value is True or value is False or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise Invalid(f"{name} must be True or False, not {shorten(value)}")


def listener(name: str, value: Any) -> None:
    """Refuse what cannot be told how far something is; None need not be told."""
    if value is not None and not callable(value):
        raise Invalid(f"{name} must be a function of two numbers, not {shorten(value)}")


def moment(name: str, value: Any) -> float:
    """Unix seconds from a number or an aware datetime."""
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise Invalid(f"{name} {value.isoformat()} has no time zone; use an aware datetime or Unix seconds")
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Invalid(f"{name} must be Unix seconds or an aware datetime, not {_kind(value)}")
    return real(name, value)


def until(name: str, value: Any) -> float:
    """Unix seconds up to which, exclusive, something holds; a day ("YYYY-MM-DD" or a `date`) counts whole, in UTC."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value if _DAY.fullmatch(value) else "")
        except ValueError:
            raise Invalid(f"{name} {shorten(value)} is no day; write it as YYYY-MM-DD, or give an aware datetime or Unix seconds") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        return (value.toordinal() + 1 - date(1970, 1, 1).toordinal()) * DAY
    return moment(name, value)


def one_of(name: str, value: Any, legal: tuple[str, ...]) -> str:
    """One of the legal words."""
    if isinstance(value, str) and value in legal:
        return str.__str__(value)
    raise Invalid(f"{name} {shorten(value)} is none of {', '.join(legal)}{suggest(value, legal)}")


def among(column: str, words: tuple[str, ...]) -> str:
    """The CHECK for a column of `one_of` words; an IN list of three or more would be built anew for each row written."""
    return " OR ".join(f"{column} = '{word}'" for word in words)


def limit(value: Any, name: str = "limit") -> int:
    """A LIMIT for SQLite: 0 or more; None becomes -1, which is no limit."""
    return -1 if value is None else integer(name, value, low=0)


def strings(name: str, value: Any) -> list[str]:
    """A list of str from any iterable but a lone str."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise Invalid(f"{name} must be a list of str, not {_kind(value)}")
    return [text(f"{name}[{position}]", item) for position, item in enumerate(value)]


def checked(checks: Mapping[str, Callable[[str, Any], Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they will be stored, each by the check of its name."""
    return {name: checks[name](name, value) for name, value in given.items()}


def changes(
    checks: Mapping[str, Callable[[str, Any], Any]], given: Mapping[str, Any], clearable: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What an update is to change, each by the check of its name: None is nothing, but clears what is clearable, where KEEP is."""
    named = {name: value for name, value in given.items() if value is not None}
    return checked(checks, named | {name: value for name, value in (clearable or {}).items() if value is not KEEP})


def tags(name: str, value: Any, *, most: int = 10) -> list[str]:
    """Labels as they are compared: lower case, trimmed, each once, in the order in which they were given."""
    given = [key(f"{name}[{place}]", tag) for place, tag in enumerate(strings(name, value))]
    found = list(dict.fromkeys(tag.strip().lower() for tag in given))
    if len(found) > most:
        raise Invalid(f"{name} has {len(found)} tags; at most {most} are allowed")
    return found


def to_json(name: str, value: Any, *, stored: bool = True) -> str:
    """JSON text with sorted keys and readable non-ASCII; refuses what would not come back the same.

    With `stored=False` it may be of any length: a line of a file is no value of a row.
    """
    _walk(name, value, 0)
    try:
        result = _ENCODER.encode(value)
    except ValueError as error:  # an int of more digits than Python prints
        raise Invalid(f"{name} cannot be written as JSON: {error}") from None
    if stored:
        return text(name, result)
    _size(name, result)
    return result


def json_object(name: str, value: Any) -> dict[str, Any]:
    """A dict as it will be read back: a copy that shares nothing with the caller's."""
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be a dict, not {_kind(value)}")
    result: dict[str, Any] = json.loads(to_json(name, value))
    return result


def same(one: Any, other: Any) -> bool:
    """Whether two values are stored alike: in JSON True is not 1, which it is for Python."""
    return bool(one == other and (not isinstance(one, (dict, list)) or to_json("value", one) == to_json("value", other)))


def from_json(source: Any) -> Any:
    """Read stored JSON back; what cannot be read any more is Corrupt."""
    try:
        return _DECODER.decode(source)
    except (ValueError, TypeError, RecursionError) as error:
        raise Corrupt(f"stored JSON is damaged ({error}); check() lists what else is") from error


def onward(last: int, reached: int) -> int:
    """Where the next page begins; a damaged file may give keys out of order, and then one page for ever."""
    if reached <= last:
        raise Corrupt("rows come out of order, the file is damaged; check() says more")
    return reached


def estimate_tokens(source: str) -> int:
    """Estimate the tokens of a text as a quarter of its characters, at least 1, as AUA does."""
    return max(1, len(source) // 4)


def shorten(value: Any, width: int = 60) -> str:
    """Repr of a value, cut for a message."""
    try:
        result = repr(value[: width + 1]) if isinstance(value, str) else repr(value)
    except Exception:  # an int of more digits than Python prints, a list nested too deep, somebody's own mistake
        result = f"a {type(value).__name__} that cannot be shown"
    return result if len(result) <= width else result[: width - 1] + "…"


def one_line(source: str, width: int = 120) -> str:
    """What somebody else has said, for a message: on one line, printable, cut."""
    flat = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(source.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def singular(table: str) -> str:
    """What one row of a table is called."""
    if table.endswith("ies"):
        return f"{table[:-3]}y"
    return table.removesuffix("es" if table.endswith("ses") else "s")


def suggest(value: Any, options: Iterable[str]) -> str:
    """Return " (nearest: 'x')" where one of the options looks like the value, else nothing."""
    legible = [option for option in options if isinstance(option, str)]  # a damaged page can give an id any type
    near = difflib.get_close_matches(value[:KEY_LENGTH] if isinstance(value, str) else "", legible, n=1)
    return f" (nearest: {near[0]!r})" if near else ""


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {shorten(value)}"


def _size(name: str, value: str) -> int:
    """Bytes of a text in UTF-8."""
    try:
        return len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise Invalid(f"{name} holds a lone surrogate at character {error.start}, which UTF-8 cannot store") from None


def _within(name: str, value: float, low: float | None, high: float | None) -> None:
    if low is not None and value < low:
        raise Invalid(f"{name} is {value}; it must be at least {low}")
    if high is not None and value > high:
        raise Invalid(f"{name} is {value}; it must be at most {high}")


def _walk(path: str, value: Any, depth: int) -> None:
    """Refuse what json would write differently from what it was given: NaN, odd keys, objects with a default."""
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, float):
        real(path, value)
    elif depth >= JSON_DEPTH:
        raise Invalid(f"{path[:80]} nests deeper than {JSON_DEPTH} levels")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise Invalid(f"{path} has the key {shorten(name)}; JSON objects have str keys only")
            _walk(f"{path}.{name}" if depth < 4 else path, item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _walk(path, item, depth + 1)
    else:
        raise Invalid(f"{path} holds a {type(value).__name__}, which JSON cannot express: {shorten(value)}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False)
