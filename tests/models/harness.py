"""One room and its model live the same random life, and whatever either of them says must be the same.

1. A model is the room in plain Python: for each public method of the room it has a twin of the same name and parameters that
   answers with dicts and raises the room's errors. It has no tables, no indexes, no files and nothing to be rolled back: a block
   is undone by putting a copy of the model back.
2. What a store makes up (ids, drafts) a twin takes from `told`, the answer that the store gave to the same call.
3. Arguments are drawn from small pools, so that calls meet: repeats, conflicts and things that are not there are common.
4. Models know nothing of values that no call can take. One of them must raise Invalid, or the error that the call would have
   raised with a legal value in its place.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import math
import random

from memstore import StoreError, open_store
from memstore.kernel import ADVICE
from memstore.testing import FakeClock

REOPEN = 100  # operations between reopenings
COMPARE = 25  # operations between comparisons of everything that can be read
TICKS = (0.0, 0.0, 0.25, 60.0, 90_000.0, 40_000_000.0, -30.0, -90_000.0)


class Undone(Exception):
    """What a block raises to be rolled back."""


class Refused(Exception):
    """What a twin raises where its room raises `error`; `shown` is the row that the error carries."""

    def __init__(self, error, shown=None):
        self.error = error
        self.shown = shown


class Model:
    """What all models share: the time, the answer of the store, and the audit events that the room owes."""

    room = ""
    reads = frozenset()  # methods that change nothing
    beyond = frozenset()  # public methods that have no twin
    undrawn = frozenset()  # optional parameters that are never given
    often = {}  # name of a method -> how often it is called, where that is not 1
    pools = {}  # "parameter" or "method.parameter" -> function of (model, rng) that draws a legal value
    wrong = {}  # the same -> values that no call can take

    def __init__(self):
        self.now = 0.0
        self.told = None
        self.folder = None  # for files
        self.drawn = {}  # the arguments drawn so far, for pools that go by others
        self.events = []

    def log(self, event_type, entity_id=None, actor="", note=""):
        """An audit event that must have been written."""
        self.events.append({"event_type": event_type, "entity_id": entity_id, "actor": actor, "note": note})

    def new_id(self, taken):
        """The id that the store made, which must be nobody's."""
        made = getattr(self.told, "id", "made by the store")
        assert made not in taken, f"the store made the id {made!r} twice"
        return made

    def learn(self, store):
        """Look up what the store made during the call and did not answer."""


def refuse_unless(condition, error, shown=None):
    if not condition:
        raise Refused(error, shown)


def cut(items, limit):
    return items if limit is None else items[:limit]


def plain(value):
    """Records as dicts, messages with their whole form, tuples as lists."""
    if value is None or type(value) in (str, int, float, bool):  # most of what there is
        return value
    if dataclasses.is_dataclass(value):
        shown = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {**shown, "openai": value.to_openai()} if hasattr(value, "to_openai") else shown
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def same(one, other):
    """Equality of what `plain` makes; floats may differ in their last bits, and ... stands for what a model cannot know."""
    if one is ... or other is ...:
        return True
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_") and callable(getattr(cls, name))}


def twins(model):
    """The methods of a model that stand for methods of a store."""
    return public(type(model)) - public(Model)


class Life:
    """A store under two handles and its model; `live` makes them do the same."""

    def __init__(self, model, folder, seed):
        self.model = model
        self.rng = random.Random(seed)
        self.seed = seed
        self.path = folder / "agent.db"
        model.folder = folder
        self.clock = FakeClock()
        self.handles = []
        self.depth = 0
        self.done = 0
        self.trace = []
        names = sorted(twins(model))
        self.reading = [name for name in names if name in model.reads]
        self.writing = [name for name in names if name not in model.reads for _ in range(model.often.get(name, 1))]

    def live(self, operations):
        """Make that many calls, blocks counted by their calls, with reopenings and comparisons between them."""
        try:
            compared = reopened = -1
            while self.done < operations:
                if self.done // REOPEN != reopened:
                    self.reopen()
                    reopened = self.done // REOPEN
                if self.done // COMPARE != compared:
                    self.compare(self.rng.choice(self.handles))
                    compared = self.done // COMPARE
                self.step(self.rng.choice(self.handles))
            self.compare(self.handles[0])
            self.compare(self.handles[1])
            for store in self.handles:
                self.agree([found for found in store.check().findings if found.kind not in ADVICE], [], "what check() finds")
        except Exception as error:
            last = "\n  ".join(self.trace[-25:])
            error.add_note(f"in the life of {self.model.room} with seed {self.seed!r}, after {self.done} operations:\n  {last}")
            raise
        finally:
            self.close()

    def reopen(self):
        self.close()
        self.handles = [open_store(self.path, clock=self.clock) for _ in range(2)]
        for store in self.handles:
            store.keywords.search("touch")  # the first touch of a room makes its tables, which would wait for an open block
            self.compare(store)

    def close(self):
        for store in self.handles:
            store.close()
        self.handles = []

    # -- what happens -------------------------------------------------------------------------------------------------

    def step(self, store):
        chance = self.rng.random()
        if chance < 0.1:
            self.clock.advance(self.rng.choice(TICKS))
        elif chance < 0.2 and self.depth < 3:
            self.block(store)
        else:
            self.call(store, self.rng.choice(self.writing if chance < 0.8 else self.reading))

    def block(self, store):
        """A transaction of some steps, which may hold others; it is rolled back as often as not."""
        kept = copy.deepcopy(vars(self.model))
        undone = self.rng.random() < 0.5
        self.trace.append(f"{'  ' * self.depth}block, to be {'undone' if undone else 'committed'}")
        try:
            with store.transaction():
                if self.depth == 0:
                    self.model.now = self.clock()
                self.depth += 1
                self.model.learn(store)
                store.audit.append("block")  # from here on the time stands still in here, whatever the clock does
                self.model.log("block")
                for _ in range(self.rng.randint(1, 6)):
                    self.step(store)
                if self.depth == 1 and self.rng.random() < 0.3:
                    self.look_from_outside(next(other for other in self.handles if other is not store), kept)
                if undone:
                    self.compare(store)
                    raise Undone
        except Undone:
            vars(self.model).update(kept)
        finally:
            self.depth -= 1
        if undone or self.rng.random() < 0.3:
            self.compare(store)

    def look_from_outside(self, other, before):
        """The other handle sees nothing of an open block."""
        inside, self.depth = dict(vars(self.model)), 0
        vars(self.model).update(copy.deepcopy(before))
        self.compare(other)
        vars(self.model).update(inside)
        self.depth = 1

    def call(self, store, name, share=0.3):
        """Make one call on the store and on the model and compare what they answer."""
        twin = getattr(self.model, name)
        bound, legal = self.arguments(name, twin, share)
        self.done += 1
        if self.depth == 0:
            self.model.now = self.clock()
        shown = ", ".join([*map(repr, bound.args), *(f"{key}={value!r}" for key, value in bound.kwargs.items())])
        self.trace.append(f"{'  ' * self.depth}{name}({shown})")
        told = self.answer(store, name, bound)
        if legal is not None:
            if told[0] != "Invalid":
                kept = copy.deepcopy(vars(self.model))
                expected = self.expect(store, twin, legal, None)[0]
                vars(self.model).update(kept)
                self.agree(told[0], "Invalid" if expected == "returned" else expected, "what they make of a wrong value")
            return
        expected = self.expect(store, twin, bound, told[1] if told[0] == "returned" else None)
        self.agree((told[0], plain(told[1])), expected, "the call above")

    def expect(self, store, twin, bound, told):
        """What the model answers."""
        self.model.told = told
        self.model.learn(store)
        try:
            return "returned", plain(twin(*bound.args, **bound.kwargs))
        except Refused as refused:
            return refused.error.__name__, plain(refused.shown)

    def perform(self, store, name, bound):
        """Call a method of the room; `other__name` is one of another room, `session__name` one of the Agents SDK's session."""
        room, _, method = name.rpartition("__")
        if room != "session":
            return getattr(getattr(store, room or self.model.room), method)(*bound.args, **bound.kwargs)
        coroutine = getattr(store.chat.session(bound.args[0]), method)(*bound.args[1:], **bound.kwargs)
        if self.depth == 0:
            return asyncio.run(coroutine)
        try:
            coroutine.send(None)  # inside a transaction it waits for nothing
        except StopIteration as finished:
            return finished.value
        raise AssertionError("a session waited inside its own transaction")

    def answer(self, store, name, bound):
        """What the store answers, and the row that an error carries."""
        try:
            return "returned", self.perform(store, name, bound)
        except StoreError as error:
            return type(error).__name__, getattr(error, "current", getattr(error, "correction", None))

    # -- arguments ----------------------------------------------------------------------------------------------------

    def arguments(self, name, twin, share):
        """Random arguments, that share of the optional ones; where one is wrong, also those with a legal value in its place."""
        signature = inspect.signature(twin)
        if name in self.model.reads:
            share = min(share, 2 / max(1, len(signature.parameters)))  # with many filters nothing would be found
        self.model.drawn = drawn = {}
        for parameter in signature.parameters.values():
            needed = parameter.default is parameter.empty
            if needed or (parameter.name not in self.model.undrawn and self.rng.random() < share):
                drawn[parameter.name] = lookup(self.model.pools, name, parameter.name)(self.model, self.rng)
        wrong = [(key, values) for key in drawn if (values := lookup(self.model.wrong, name, key))]
        if not wrong or self.rng.random() > 0.06:
            return inspect.BoundArguments(signature, drawn), None
        key, values = self.rng.choice(wrong)
        given = inspect.BoundArguments(signature, {**drawn, key: self.rng.choice(values)})
        return given, inspect.BoundArguments(signature, drawn)

    # -- comparing ----------------------------------------------------------------------------------------------------

    def compare(self, store):
        """Ask for everything that can be read, with and without filters, and for the audit events."""
        for name in self.reading:
            for share in (0.0, 0.3):
                self.call(store, name, share)
                self.done -= 1
        if self.model.events is not None:
            events = store.audit.find(ascending=True, limit=None)
            found = [{name: getattr(event, name) for name in ("event_type", "entity_id", "actor", "note")} for event in events]
            self.agree(found, self.model.events, "the audit log")

    def agree(self, told, expected, what):
        if not same(told, expected):
            raise AssertionError(f"store and model differ in {what}\nstore: {told}\nmodel: {expected}\n{difference(told, expected)}")


def lookup(table, method, parameter):
    return table.get(f"{method}.{parameter}", table.get(parameter))


def difference(told, expected, place="answer"):
    """Where two answers part."""
    if isinstance(told, (list, tuple)) and isinstance(expected, (list, tuple)) and len(told) == len(expected):
        pairs = [(f"{place}[{index}]", *pair) for index, pair in enumerate(zip(told, expected))]
    elif isinstance(told, dict) and isinstance(expected, dict) and told.keys() == expected.keys():
        pairs = [(f"{place}.{name}", told[name], expected[name]) for name in told]
    else:
        return f"{place}: {told!r} is not {expected!r}"
    return "\n".join(difference(one, other, name) for name, one, other in pairs if not same(one, other))


def one_of(*options):
    return lambda model, rng: rng.choice(options)


FLAGS = one_of(True, False)
LIMITS = one_of(None, 0, 1, 2, 3, 5, 50)
NO_KEY = ("", " ", 7, "a\0b", "\ud800")
NO_LABEL = (7, "a\0b", "\ud800", " ")
NO_TEXT = (7, None, "\ud800", b"text")
NO_LIMIT = (-1, "3", True, 1.5)
NO_NUMBER = ("1", float("nan"), float("inf"), True)
NO_FLAG = (None, 2, "yes")
NO_MOMENT = ("now", float("nan"), True)
NO_DICT = ([], "{}", {"a": float("nan")}, {1: 2}, {"a": {1}})


def moments(model, rng):
    """Times around those at which things happen."""
    return 1_700_000_000.0 + rng.choice([-90_000.0, -1.0, 0.0, 0.5, 60.0, 90_000.0, 40_000_000.0])
