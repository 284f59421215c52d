"""Values: kept exactly or refused, before any SQL."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import threading
import uuid

import pytest

from memstore import Invalid
from memstore.kernel import values


class Colour(str, enum.Enum):  # noqa: UP042  the kind whose str() is its name
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    """A subclass that is no plain str."""


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no repr")


HUGE = 10**5000  # more digits than Python prints
WRONG_TYPES = [None, 1, 1.5, True, b"bytes", ["a"], {"a": 1}, {1}, object(), HUGE, Unshowable()]


def kind(value):
    """A name for a case that pytest cannot print."""
    return type(value).__name__


def refused(check, *arguments, **options):
    """The message of a refusal, which names the argument."""
    with pytest.raises(Invalid) as caught:
        check("field", *arguments, **options)
    message = str(caught.value)
    assert "field" in message
    assert len(message) < 400
    return message


# -- text ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kept",
    [
        "",
        " ",
        "a",
        "é",
        "e\u0301",
        "日本語",
        "\0",
        "a\0b",
        "\n\t\r",
        "🙂",
        "\ufeff",
        "\uffff",
        "x" * 100_000,
        "'; DROP TABLE t; --",
        "%_\\",
    ],
)
def test_text_is_kept_as_it_is(kept):
    assert values.text("field", kept) == kept


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=kind)
def test_text_must_be_text(wrong):
    assert "must be str" in refused(values.text, wrong)
    assert "must be str" in refused(values.key, wrong)


@pytest.mark.parametrize("wrong", ["\ud800", "a\udfff", "ab\udc80c"])
def test_a_lone_surrogate_is_named_with_its_place(wrong):
    place = next(position for position, letter in enumerate(wrong) if "\ud800" <= letter <= "\udfff")
    assert f"character {place}" in refused(values.text, wrong)
    assert "surrogate" in refused(values.key, wrong)


@pytest.mark.parametrize("wrong", ["", " ", "\n\t", "\u00a0", "\u3000"])
def test_blank_text_is_refused_where_text_is_the_point(wrong):
    assert "blank" in refused(values.text, wrong, blank=False)
    assert "blank" in refused(values.key, wrong)
    assert values.text("field", wrong) == wrong


def test_members_of_an_enum_and_subclasses_become_their_plain_text():
    for check in (values.text, values.key):
        assert check("field", Colour.RED) == "red"
        assert type(check("field", Colour.RED)) is str
        assert type(check("field", Text("a"))) is str
    assert type(values.one_of("field", Colour.RED, ("red", "blue"))) is str
    assert values.one_of("field", Colour.RED, ("red", "blue")) == "red"


def test_keys_have_no_nul_and_an_end():
    assert values.key("field", "k" * 1000) == "k" * 1000
    assert "1001 characters" in refused(values.key, "k" * 1001)
    assert "NUL" in refused(values.key, "a\0b")


# -- numbers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 0.0, 1, -1, 0.1, 5e-324, 1.7976931348623157e308, 2**53, -(2**53), 2**60, Level.HIGH])
def test_real_numbers_are_kept_exactly(kept):
    result = values.real("field", kept)
    assert result == kept
    assert type(result) is float


def test_minus_zero_becomes_zero():
    assert math.copysign(1, values.real("field", -0.0)) == 1


@pytest.mark.parametrize("wrong", [None, True, False, "1", b"1", [1], 1j, object(), Unshowable()])
def test_a_real_number_must_be_a_number(wrong):
    assert "must be a number" in refused(values.real, wrong)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_real_number_must_be_finite(wrong):
    assert "finite" in refused(values.real, wrong)
    assert "finite" in refused(values.moment, wrong)


@pytest.mark.parametrize("wrong", [2**53 + 1, -(2**53) - 1, 10**400, HUGE], ids=kind)
def test_an_int_that_a_float_cannot_hold_is_refused(wrong):
    refused(values.real, wrong)


@pytest.mark.parametrize("kept", [0, -1, 2**63 - 1, -(2**63), Level.HIGH])
def test_integers_of_64_bits_are_kept(kept):
    assert values.integer("field", kept) == kept
    assert type(values.integer("field", kept)) is int


@pytest.mark.parametrize("wrong", [2**63, -(2**63) - 1, HUGE], ids=kind)
def test_longer_integers_are_refused(wrong):
    assert "64 bits" in refused(values.integer, wrong)


@pytest.mark.parametrize("wrong", [None, True, 1.0, "1", b"1", Unshowable()])
def test_an_integer_must_be_an_int(wrong):
    assert "must be an int" in refused(values.integer, wrong)


def test_bounds_are_inclusive_and_named():
    assert values.real("field", 0.0, low=0.0, high=1.0) == 0.0
    assert values.real("field", 1, low=0.0, high=1.0) == 1.0
    assert refused(values.real, -0.1, low=0.0, high=1.0) == "field is -0.1; it must be at least 0.0"
    assert refused(values.real, 1.1, low=0.0, high=1.0) == "field is 1.1; it must be at most 1.0"
    assert values.integer("field", 5, low=5, high=5) == 5
    assert refused(values.integer, 4, low=5) == "field is 4; it must be at least 5"


def test_flags_are_true_or_false():
    assert [values.flag("field", value) for value in (True, False, 1, 0)] == [True, False, True, False]
    for wrong in (None, 2, -1, 1.0, "true", "", [], HUGE, Unshowable()):
        assert "must be True or False" in refused(values.flag, wrong)


def test_a_limit_is_no_less_than_zero_and_none_is_no_limit():
    assert [values.limit(value) for value in (None, 0, 1, 2**63 - 1)] == [-1, 0, 1, 2**63 - 1]
    for wrong in (-1, 1.5, True, "10", 2**63):
        with pytest.raises(Invalid, match="limit"):
            values.limit(wrong)
    with pytest.raises(Invalid, match="count"):
        values.limit(-1, "count")


# -- time ---------------------------------------------------------------------------------------------------------------


def test_moments_are_seconds_or_aware():
    assert values.moment("field", 0) == 0.0
    assert values.moment("field", -1.5) == -1.5
    utc = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    assert values.moment("field", utc) == utc.timestamp()
    assert values.moment("field", utc.astimezone(dt.timezone(dt.timedelta(hours=-11)))) == utc.timestamp()
    assert values.moment("field", dt.datetime.max.replace(tzinfo=dt.UTC)) > 2e11


def test_a_day_lasts_until_the_next_one_begins():
    midnight = dt.datetime(2024, 3, 1, tzinfo=dt.UTC).timestamp()
    assert values.until("field", "2024-02-29") == values.until("field", dt.date(2024, 2, 29)) == midnight
    assert values.until("field", dt.datetime(2024, 2, 29, 23, 59, tzinfo=dt.UTC)) == midnight - 60.0
    assert values.until("field", 1.5) == 1.5
    assert values.until("field", dt.date.max) == values.until("field", "9999-12-31") == 253_402_300_800.0
    for wrong in ("2024-02-30", "2024-2-1", "20240201", "2024-W05-4", "soon", "", "\ud800", "2024-02-01 "):
        assert "is no day" in refused(values.until, wrong)
    assert "Unix seconds" in refused(values.until, None)
    assert "no time zone" in refused(values.until, dt.datetime(2024, 1, 1))


@pytest.mark.parametrize("wrong", [None, True, "2024-01-01", dt.date(2024, 1, 1), dt.timedelta(1), Unshowable()])
def test_other_moments_are_refused(wrong):
    assert "Unix seconds or an aware datetime" in refused(values.moment, wrong)


def test_a_naive_datetime_is_refused():
    assert "no time zone" in refused(values.moment, dt.datetime(2024, 1, 1))


# -- words --------------------------------------------------------------------------------------------------------------


def test_a_word_that_is_not_legal_is_told_what_is():
    legal = ("system", "developer", "user", "assistant", "tool", "item")
    assert values.one_of("role", "user", legal) == "user"
    with pytest.raises(Invalid, match="^role 'robot' is none of system, developer, user, assistant, tool, item$"):
        values.one_of("role", "robot", legal)
    with pytest.raises(Invalid, match=r"\(nearest: 'assistant'\)$"):
        values.one_of("role", "asistant", legal)
    for wrong in ("", "USER", *WRONG_TYPES):
        refused(values.one_of, wrong, legal)


def test_strings_are_a_list_of_text():
    assert values.strings("field", ("a", "b")) == ["a", "b"]
    assert values.strings("field", (word for word in "ab")) == ["a", "b"]
    assert values.strings("field", []) == []
    for wrong in ("ab", b"ab", None, 5, Unshowable()):
        assert "must be a list of str" in refused(values.strings, wrong)
    assert "field[1]" in refused(values.strings, ["a", 5])
    assert "field[0]" in refused(values.strings, ["\ud800"])


def test_optional_passes_none_and_checks_the_rest():
    assert values.optional(values.real, "field", None, low=0.0) is None
    assert values.optional(values.real, "field", 0, low=0.0) == 0.0
    assert "at least" in refused(lambda name, value: values.optional(values.real, name, value, low=0.0), -1)


def test_suggestions_name_what_is_near():
    assert values.suggest("support-24", ["support-42", "billing"]) == " (nearest: 'support-42')"
    assert values.suggest("zzz", ["support-42"]) == ""
    assert values.suggest("a", []) == ""
    for odd in (None, 5, HUGE, Unshowable()):
        assert values.suggest(odd, ["a"]) == ""


def test_long_values_are_cut_in_messages():
    assert len(values.shorten("x" * 10_000)) == 60
    assert values.shorten("short") == "'short'"
    assert values.shorten([1] * 1000).endswith("…")
    assert "cannot be shown" in values.shorten(HUGE)


# -- JSON ---------------------------------------------------------------------------------------------------------------


def nested(depth, leaf=None):
    for _ in range(depth):
        leaf = [leaf]
    return leaf


@pytest.mark.parametrize(
    "kept",
    [
        None,
        True,
        0,
        -1,
        2**70,
        0.1,
        -0.0,
        "",
        'é\0\n"\\',
        [],
        {},
        [[], {}],
        {"b": 1, "a": [1, 2.5, None]},
        {"": 0},
        nested(200, 0.5),
        "🙂",
        5e-324,
    ],
)
def test_json_comes_back_the_same(kept):
    text = values.to_json("field", kept)
    back = values.from_json(text)
    assert back == kept
    assert repr(back) == repr(kept) or isinstance(kept, dict)
    assert json.loads(text) == kept


def test_json_is_sorted_compact_and_readable():
    assert values.to_json("field", {"b": "é", "a": (1, 2)}) == '{"a":[1,2],"b":"é"}'
    assert values.to_json("field", {"b": 1, "a": 2}) == values.to_json("field", {"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (float("nan"), "finite"),
        ({"a": [float("inf")]}, "finite"),
        ({1: "a"}, "str keys"),
        ({"a": {None: 1}}, "field.a has the key None"),
        ({True: 1, "true": 2}, "str keys"),
        ({"a", "b"}, "set"),
        ({"a": {"b"}}, "set"),
        (b"bytes", "bytes"),
        (object(), "object"),
        (dt.datetime(2024, 1, 1), "datetime"),
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        (nested(201), "deeper than 200"),
        ([HUGE], "JSON"),
        (Unshowable(), "Unshowable"),
    ],
    ids=kind,
)
def test_what_json_would_change_is_refused(wrong, said):
    assert said in refused(values.to_json, wrong)


def test_what_is_too_deep_for_python_is_refused():
    assert "deeper than 200" in refused(values.to_json, nested(100_000))


def test_a_structure_that_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    assert "deeper than 200" in refused(values.to_json, loop)
    turn = {}
    turn["again"] = turn["and again"] = turn
    assert "deeper than 200" in refused(values.to_json, turn)


# -- ids ----------------------------------------------------------------------------------------------------------------


def test_ids_rise_and_are_uuids_of_version_7():
    ids = [values.new_id() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(identifier).version == 7 and uuid.UUID(identifier).variant == uuid.RFC_4122 for identifier in ids)
    assert all(str(uuid.UUID(identifier)) == identifier for identifier in ids)


def test_ids_rise_while_the_clock_stands_still_or_goes_back(monkeypatch):
    first = values.new_id()
    monkeypatch.setattr(values.time, "time_ns", lambda: 1)
    ids = [first, *(values.new_id() for _ in range(5000))]
    assert ids == sorted(set(ids))


def test_ids_tell_their_time(monkeypatch):
    monkeypatch.setattr(values, "_last_tick", 0)
    monkeypatch.setattr(values.time, "time_ns", lambda: 1_700_000_000_123_456_789)
    assert int(values.new_id().replace("-", "")[:12], 16) == 1_700_000_000_123


def test_ids_of_many_threads_are_unique_and_rise_in_each():
    lists = [[] for _ in range(8)]

    def make(ids):
        for _ in range(3000):
            ids.append(values.new_id())

    threads = [threading.Thread(target=make, args=(ids,)) for ids in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({identifier for ids in lists for identifier in ids}) == 24_000
    assert len({identifier[:18] for ids in lists for identifier in ids}) == 24_000, "no two share a tick"
    assert all(ids == sorted(ids) for ids in lists)


def test_tokens_are_a_quarter_of_the_characters_and_at_least_one():
    assert [values.estimate_tokens(text) for text in ("", "abc", "abcd", "x" * 4003)] == [1, 1, 1, 1000]


def test_a_row_is_called_by_the_singular_of_its_table():
    tables = ("memories", "entities", "conflicts", "project_aliases", "project_state", "audit_log", "model_runs")
    assert [values.singular(table) for table in tables] == [
        "memory", "entity", "conflict", "project_alias", "project_state", "audit_log", "model_run",
    ]  # fmt: skip
