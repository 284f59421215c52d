"""Every public method, every parameter, every nasty value: kept exactly, or refused by a name of ours with nothing written.

By day each parameter meets every other value, and its neighbour the rest: few functions judge them all. At night it meets each one.
Methods and parameters are found by looking: one that is new and not described in calls.py fails its test.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import inspect
import itertools
import pathlib
import re
from collections.abc import Mapping
from datetime import datetime

import pytest

from memstore import (
    Exists,
    HandoffNote,
    Invalid,
    ModelMismatch,
    NotFound,
    ReadOnly,
    RejectedClaim,
    Store,
    StoreError,
    VersionConflict,
    open_store,
)
from memstore.chat import AgentSession, Message
from memstore.kernel import values
from memstore.store import ROOMS
from memstore.testing import FakeClock

from .calls import CALLS, PASSED_ON, ROOMS_ONLY
from .furnishing import MESSAGE, furnish
from .nasty import DEEP, MAKERS, TEXT_LIMIT, Hostile, shown

#: What a message may call an argument beside its name.
ALSO_CALLED = {
    "after": ("message id",), "at": ("message id",), "before": ("message id", "conversation_id"), "content": ("message",),
    "chunk_size": ("size",), "embedding": ("vector",), "fn": ("embedder",),
    "items": ("message",), "names": ("alias",), "new_codec": ("codec",), "params": ("bindings", "Binding"), "path": ("file",),
    "resume": ("anchor",), "sql": ("SELECT", "SQL"),
}  # fmt: skip
DOCUMENT = re.compile("Any|dict|list|Iterable|Mapping")
CALLED_BACK = ("count", "fn", "function", "progress", "write_note")
REFUSALS = (Invalid, NotFound, Exists, ModelMismatch, ReadOnly, RejectedClaim, VersionConflict)


def rows_of(store):
    """All rows of all tables."""
    run = store._database.writer.raw.execute
    names = [name for (name,) in run("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {name: run(f"SELECT * FROM {name}").fetchall() for name in names}


# -- finding what is to be tried ----------------------------------------------------------------------------------------


def public_methods():
    """Name and function of every public method of the store, its rooms and an agent's session."""
    with open_store() as store:
        owners = {"store": Store, **{room: type(getattr(store, room)) for room in ROOMS}, "session": AgentSession}
    for owner, cls in owners.items():
        for name, function in inspect.getmembers(cls, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{owner}.{name}", function


@functools.cache
def parameters(function):
    return list(inspect.signature(function).parameters.values())[1:]


METHODS = {name: function for name, function in public_methods() if parameters(function)}


def test_every_public_method_is_tried():
    assert set(METHODS) == set(CALLS) | ROOMS_ONLY
    assert len(METHODS) > 70, "they are found"


# -- trying -------------------------------------------------------------------------------------------------------------


class Undo(Exception):
    """Takes back what a call did that went well."""


def call(store, name, given):
    """Call a method by name, with the arguments by name."""
    owner, _, method = name.partition(".")
    target = store if owner == "store" else store.chat.session("sdk") if owner == "session" else getattr(store, owner)
    function = getattr(target, method)
    given, lone = dict(given), []
    for item in parameters(METHODS[name]):
        before_many = name == "chat.alias" and item.name == "project"
        if item.name in given and (before_many or item.kind in (item.POSITIONAL_ONLY, item.VAR_POSITIONAL)):
            lone.append(given.pop(item.name))
    answer = function(*lone, **given)
    if inspect.iscoroutine(answer):
        return driven(answer) if store._database.in_transaction else asyncio.run(answer)
    return answer


def driven(coroutine):
    """The result of a coroutine that never waits, as a session's do inside a transaction; a loop's task would not be inside."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def plain(value):
    """What a value is when it comes back: JSON, Unix seconds, no subclass, and a list for whatever gave its items one by one."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, enum.Enum):
        return value.value
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return {str: str.__str__, bool: bool, int: int.__int__, float: float.__float__}[kind](value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if hasattr(value, "__iter__") and not isinstance(value, bytes) else value


def same(kept, given):
    """Whether what came back is what went in, type by type; a whole number may come back from a REAL column as a float."""
    if isinstance(kept, bool) or isinstance(given, bool):
        return type(kept) is bool and kept == given
    if type(kept) is float and isinstance(given, (int, float)):
        return kept == given
    if type(kept) is not type(given):
        return False
    if isinstance(kept, dict):
        return sorted(kept) == sorted(given) and all(same(kept[key], given[key]) for key in kept)
    if isinstance(kept, list):
        return len(kept) == len(given) and all(map(same, kept, given))
    return kept == given


class Trial:
    """One method and one parameter; `wrong` tells what went wrong."""

    def __init__(self, store, name, sound, parameter):
        self.store, self.name, self.sound, self.parameter = store, name, sound, parameter
        self.before = rows_of(store)
        self.changes = self.counted()
        self.wrong = []
        self.refused = 0

    def counted(self):
        """Rows changed so far, as SQLite counts them; they are only looked at where this has moved."""
        return self.store._database.writer.raw.total_changes

    def fail(self, value, why):
        self.wrong.append(f"{self.name}({self.parameter}={shown(value)}): {why}")

    def untouched(self, value):
        if self.counted() != self.changes and rows_of(self.store) != self.before:
            self.fail(value, "rows have changed")

    def refusal(self, value, error, wrapped):
        if not isinstance(error, REFUSALS):
            self.fail(value, f"{type(error).__name__}: {str(error)[:200]}")
            return
        self.refused += 1
        said = str(error)
        if not said.isprintable() or len(said) > 2500:
            self.fail(value, f"not fit to be printed: {said[:200]!r}")
        names = {self.parameter.rstrip("s"), *ALSO_CALLED.get(self.parameter, ())}
        if type(error) is Invalid and not wrapped and value is not None and not any(name in said for name in names):
            self.fail(value, f"does not name the argument: {said}")

    def kept(self, value, answer):
        """Compare what is stored with what was given; None means not given."""
        if self.parameter in self.sound.unkept or value is None:
            return
        where = self.sound.elsewhere.get(self.parameter)
        found = getattr(self.sound.back(self.store, answer), self.parameter) if where is None else where(self.store, answer)
        if not same(found, plain(value)):
            self.fail(value, f"came back as {shown(found)}")

    def once(self, make, wrapped=False):
        """One call with one value, undone again where it went well."""
        value = make()
        self.changes = self.counted()
        refused = False
        try:
            with contextlib.nullcontext() if self.sound.alone else self.store.transaction():
                try:
                    answer = call(self.store, self.name, {**self.sound.args, self.parameter: value})
                except StoreError as error:
                    refused = True
                    self.refusal(value, error, wrapped)
                    self.untouched(value)
                else:
                    if self.sound.back is None:
                        self.untouched(value)
                    else:
                        self.kept(make(), answer)
                raise Undo
        except Undo:
            pass
        except Exception as error:
            if not (self.parameter in CALLED_BACK and callable(value)):  # whose own errors pass
                self.fail(value, f"{type(error).__name__}: {str(error)[:200]}")
        if refused and self.sound.back is not None:
            self.again(make)

    def again(self, make):
        """The same outside a transaction, where nothing but the call itself could take back what it had begun."""
        try:
            call(self.store, self.name, {**self.sound.args, self.parameter: make()})
        except REFUSALS:
            self.untouched(make())
        else:
            self.fail(make(), "was refused inside a transaction and taken outside")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    with open_store(clock=FakeClock()) as store:
        furnish(store)
        yield store


@pytest.mark.filterwarnings("ignore:chunks are found by their words alone:UserWarning")  # as a vector of another length would be told
@pytest.mark.filterwarnings("ignore:Binding 1:DeprecationWarning")  # of Python's, for a list where the SQL has names
@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_kept_exactly_is_refused_with_nothing_written(furnished, name, tmp_path, monkeypatch, request, rng):
    (tmp_path / "here").mkdir()  # a folder more, so that "../up" is not a file of all these tests
    monkeypatch.chdir(tmp_path / "here")
    pathlib.Path("mcp.jsonl").write_text('{"type": "entity", "name": "Ann", "entityType": "person", "observations": []}\n')
    pathlib.Path("pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    pathlib.Path("library").mkdir()
    pathlib.Path("library/bills.md").write_text("bills are paid")
    if name == "store.import_":
        furnished.export("exported")
    monkeypatch.setattr(values, "TEXT_LIMIT", TEXT_LIMIT)
    wrong, share, turn = [], 1 if request.config.getoption("--nightly") else 4, itertools.count(rng.randrange(4))
    for sound in CALLS[name]:
        for parameter in [item.name for item in parameters(METHODS[name]) if f"{name}.{item.name}" not in PASSED_ON]:
            trial = Trial(furnished, name, sound, parameter)
            makers = (*MAKERS, *(DEEP if DOCUMENT.search(str(METHODS[name].__annotations__[parameter])) else ()))
            for make in makers[next(turn) % share :: share]:
                trial.once(make)
                for wrap in sound.inside.get(parameter, ()):
                    trial.once(lambda make=make, wrap=wrap: wrap(make()), wrapped=True)
            assert rows_of(furnished) == trial.before, "undone, all of it"
            wrong += trial.wrong
            assert trial.refused, f"{parameter} takes everything"
    assert not wrong, "\n".join([f"{len(wrong)} times", *wrong[:100]])


FORM = ("tool_calls", "tool_call_id", "name", "extra")  # seen in to_openai()


# -- what is passed in objects, and what calls back ---------------------------------------------------------------------


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Message)])
def test_a_message_record_of_which_one_field_is_nasty(furnished, field, monkeypatch):
    monkeypatch.setattr(values, "TEXT_LIMIT", TEXT_LIMIT)
    sound = furnished.chat.append("c-1", "assistant", "hello", tool_calls=[{"id": "1"}], metadata={"a": 1})
    before = rows_of(furnished)
    for make in (*MAKERS, *DEEP):
        given = dataclasses.replace(sound, **{"id": None, field: make()})
        if isinstance(getattr(given, field), Hostile):
            continue  # its own form asks it already
        try:
            with furnished.transaction():
                stored = furnished.chat.get_message(furnished.chat.append_many("c-1", [given])[0].id)
                given = dataclasses.replace(sound, **{"id": None, field: make()})
                assert same(stored.to_openai(), plain(given.to_openai()))
                if field not in ("conversation_id", "content", "role", *FORM) and getattr(given, field) is not None:
                    assert same(getattr(stored, field), plain(getattr(given, field))), shown(make())
                raise Undo
        except (Undo, *REFUSALS):
            assert rows_of(furnished) == before


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(HandoffNote)])
def test_a_handoff_note_of_which_one_field_is_nasty(furnished, field, monkeypatch):
    monkeypatch.setattr(values, "TEXT_LIMIT", TEXT_LIMIT)
    for make in MAKERS:
        try:
            note = HandoffNote(**{field: make()})
            saved = furnished.backups.save("c-1", "coder", note)
        except Invalid:
            continue
        assert HandoffNote.parse(furnished.backups.get(saved.id).backup_text) == HandoffNote(**{field: plain(make())})


def test_a_text_may_have_64_mib_and_a_line_of_an_export_more(furnished, tmp_path, monkeypatch):
    assert values.TEXT_LIMIT == 64 * 2**20
    monkeypatch.setattr(values, "TEXT_LIMIT", TEXT_LIMIT)
    before = rows_of(furnished)
    for fits, long in (("x" * TEXT_LIMIT, "x" * (TEXT_LIMIT + 1)), ("é" * (TEXT_LIMIT // 2), "é" * (TEXT_LIMIT // 2) + "x")):
        for refused in (
            lambda long=long: furnished.chat.append("c-1", "assistant", long),
            lambda long=long: furnished.chat.append("c-1", "assistant", [{"text": long[12:]}]),
            lambda long=long: furnished.corrections.add("size", long),
            lambda long=long: furnished.audit.append("query", note=long),
            lambda long=long: furnished.query("SELECT ?", [long]),
        ):
            with pytest.raises(Invalid, match=f"bytes; at most {TEXT_LIMIT} are allowed"):
                refused()
        assert rows_of(furnished) == before
        with pytest.raises(Undo), furnished.transaction():
            for _ in range(2):
                furnished.chat.append("c-1", "assistant", fits)
            assert furnished.chat.messages("c-1", limit=1)[0].content == fits
            assert furnished.chat.export_sft(tmp_path / "rows.jsonl") == 1, "a conversation may be longer than a text"
            raise Undo


def test_a_parameter_of_a_query_is_answered_as_it_was_given(furnished):
    taken = 0
    for make in MAKERS:
        try:
            ((answer,), (named,)) = (
                furnished.query("SELECT ? AS a", [make()])[0].values(),
                furnished.query("SELECT :a AS a", {"a": make()})[0].values(),
            )
        except Invalid:
            continue
        taken += 1
        given = make()
        assert isinstance(given, bool) or given is None or (same(answer, plain(given)) and same(named, plain(given))), shown(given)
    assert taken > 50


@pytest.mark.parametrize("parameter", [name for name in inspect.signature(open_store).parameters if name != "clock"])
def test_opening_with_nasty_options(parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for make in MAKERS:
        try:
            with open_store(**{parameter: make()}) as store:
                store.chat.create_conversation()
        except StoreError as error:
            assert str(error).encode(), "fit to be printed"
            for left in tmp_path.iterdir():
                raise AssertionError(f"{shown(make())} left {left}") from error
        for left in tmp_path.iterdir():
            left.unlink()


def test_a_clock_that_gives_no_time_stops_what_needs_one(furnished, monkeypatch):
    before = rows_of(furnished)
    for make in MAKERS:
        monkeypatch.setattr(furnished._database, "clock", make)
        try:
            with furnished.transaction():
                message = furnished.chat.append("c-1", "user", "hello")
                assert same(furnished.chat.get_message(message.id).created_at, plain(make()))
                raise Undo
        except (Invalid, Undo):
            assert rows_of(furnished) == before


BREAKING = {
    "chat.append_many": lambda store, broken: store.chat.append_many("c-1", broken([MESSAGE, MESSAGE])),
    "audit.append_many": lambda store, broken: store.audit.append_many(broken([{"event_type": "query"}])),
    "chat.append": lambda store, broken: store.chat.append("c-1", "user", "hello", models_used=broken(["a"])),
    "tool_calls": lambda store, broken: store.chat.append("c-1", "user", "hello", tool_calls=broken([{"id": "1"}])),
    "session.add_items": lambda store, broken: asyncio.run(store.chat.session("sdk").add_items(broken([MESSAGE]))),
    "evals.record_run": lambda store, broken: store.evals.record_run("c-1", "coder", corrections_applied=broken(["k-1"])),
    "chat.window": lambda store, broken: store.chat.window("c-1", max_tokens=9, count=lambda text: next(broken([]))),
    "backups.cover": lambda store, broken: store.backups.cover(lambda gap: next(broken([])), min_messages=0),
    "keywords.rebuild": lambda store, broken: store.keywords.rebuild(progress=lambda done, total: next(broken([]))),
}


@pytest.mark.parametrize("name", BREAKING)
def test_an_error_of_the_callers_own_passes_and_leaves_nothing(name):
    class Theirs(Exception):
        pass

    def broken(sound):
        yield from sound
        raise Theirs

    with open_store(clock=FakeClock()) as store:
        furnish(store)
        store.chat.append("c-1", "user", "after the backup")
        before = rows_of(store)
        with pytest.raises(Theirs):
            BREAKING[name](store, broken)
        assert rows_of(store) == before
        assert store.chat.append("c-1", "user", "still well").content == "still well"
