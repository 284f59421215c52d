"""SIGKILL at every step of every call that writes: the file is as before or as after, it is sound, and the call can be made again.

A case says what is called on which file. It comes through once, which tells its steps; then it is killed at the 1st, 2nd, 3rd ...,
each time on a fresh copy. `some` steps of a quarter of the cases in the fast suite, drawn anew each time, `every` one at night.
A failure names the step.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import shutil
import sqlite3

import pytest
from contract.rooms import public_classes

from memstore import open_store
from memstore.store import ROOMS

from .bases import BASES, SECRETS, old
from .cases import CASES, CUT, acting
from .failpoints import copied, cut_at, kill_at, steps_of
from .soundness import assert_sound, contents, elsewhere

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()"),
    pytest.mark.damage,  # the checks after each kill go further than the one at close
]


# -- files to begin with ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examined():
    """Contents that were examined and found sound."""
    return set()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files to begin with, by name, made when first asked for."""
    made = {}

    def path(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name.replace(" ", "-")) / "agent.db"
            BASES.get(name.split()[0], old)(made[name], *name.split()[1:])
        return made[name]

    return path


# -- what a file shows --------------------------------------------------------------------------------------------------


def look(path):
    """All that a file holds, without any of our code; None where there is no file yet or an empty one."""
    if not path.exists():
        return None
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        raw.execute("PRAGMA synchronous = OFF")  # a copy that is only looked at need not reach the disk
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        schema, tables = contents(raw)
    finally:
        raw.close()
    if not schema:
        return None
    marks = ("scrub_owed", "vacuum_owed")
    tables["meta"] = [(key, "some" if key in marks else value) for key, value in tables["meta"] if key != "store_id"]
    return schema, tables


# -- what must be -------------------------------------------------------------------------------------------------------


def may_change(point):
    """Whether a file may be another one after this step."""
    return point.startswith("after") and ("COMMIT" in point or "(alone)" in point)


class Verdicts:
    """Looks at what each death has left; what was found sound once, in this case or another, is not examined again."""

    def __init__(self, case, base, folder, examined):
        self.case, self.base, self.folder, self.examined = case, base, folder, examined
        self.shows = case.shows
        for name in ("killed", "looked"):
            (folder / name).mkdir()
        self.states = [look(self.copy(base))]
        self.final = None  # what it shows when nobody was killed, where that is known
        self.turns = []  # the points at which it shows something else
        self.copied = False  # whether there is a snapshot by now

    def copy(self, path):
        return copied(path, self.folder / "looked")

    def fresh(self):
        """A fresh copy for the next one to die on."""
        return copied(self.base, self.folder / "killed")

    def judge(self, point, path, changing):
        """Assert that what a death at this point has left is sound, and that it has changed only where it may."""
        try:
            self._judge(point, path, changing)
        except Exception as error:
            raise AssertionError(f"killed {point}: {error}") from error

    def _judge(self, point, path, changing):
        seen, last = look(self.copy(path)), self.states[-1]
        assert changing or seen == last, "the file changed where nothing was committed"
        if self.shows(seen) != self.shows(last):
            self.turns.append(point)
        first = seen not in self.states[1:]
        self.states.append(seen)
        self._examine(path, seen)
        if self.case.forgets is not None and self.shows(seen) != self.shows(self.states[0]):
            assert_forgotten(path, SECRETS[self.case.forgets])
        snapshot = path.with_name("snapshot.db")
        assert snapshot.exists() or not self.copied, "the earlier snapshot is gone"
        if snapshot.exists():
            self.copied = True
            copied_to = look(self.copy(snapshot))
            assert self.shows(copied_to) in map(self.shows, self.states), "the snapshot holds what the store never did"
            self._examine(snapshot, copied_to)
        if first and self.final is not None and (self.case.resumes or self.shows(seen) == self.shows(self.states[0])):
            steps_of(acting(self.case), path)
            assert self.shows(look(self.copy(path))) == self.final, "the call cannot be made again"

    def _examine(self, path, seen):
        known = (self.case.key, repr(seen))
        if known not in self.examined:
            self.examined.add(known)
            assert_sound(self.copy(path), audit_key=self.case.key)

    def sum_up(self):
        """Assert that it was all or nothing: the file showed a change as often as the call says."""
        assert len(self.turns) == self.case.changes, f"it changed at {self.turns}"
        assert (self.shows(self.states[0]) != self.shows(self.states[-1])) == bool(self.case.changes)


def assert_forgotten(path, secret):
    """Once anybody has opened it, no copy of what was deleted is left in the file or beside it."""
    with contextlib.closing(sqlite3.connect(path)) as other:  # who also has it open: nobody deletes the log
        other.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        open_store(path).close()
        assert elsewhere(remains, path, secret.encode()) == []


def remains(path, secret):
    """Names of the files that hold a text; a process that has the store open must not read them, its locks would go."""
    return [entry.name for entry in path.parent.iterdir() if entry.name.startswith(path.name) and secret in entry.read_bytes()]


# -- the tests ----------------------------------------------------------------------------------------------------------


def killed_at(choose, name, files, folder, examined):
    """Kill a call at chosen steps, each time on a fresh copy, and judge what is left."""
    case = CASES[name]
    verdicts = Verdicts(case, files(case.base), folder, examined)
    names = steps_of(acting(case), path := verdicts.fresh())
    final = shutil.copytree(path.parent, folder / "final") / path.name
    verdicts.final, last = case.shows(look(verdicts.copy(final))), 0
    for number in choose(names):
        point = kill_at(number, acting(case), path := verdicts.fresh())
        assert point == names[number - 1]
        verdicts.judge(point, path, any(map(may_change, names[last:number])))
        last = number
    verdicts.judge("never", final, any(map(may_change, names[last:])))
    verdicts.sum_up()


def every(names):
    return range(1, len(names) + 1)


def some(names):
    """The steps around each COMMIT, the first and one in the middle."""
    share = range(1, len(names) + 1, 1 + len(names) // 2)
    return sorted({*share, *(number for number, name in enumerate(names, 1) if name.endswith("COMMIT"))})


@pytest.mark.drawn(4)
@pytest.mark.parametrize("name", CASES)
def test_killed_at_some_step_a_call_has_happened_or_it_has_not(name, files, tmp_path, examined):
    killed_at(some, name, files, tmp_path, examined)


@pytest.mark.nightly
@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_step_a_call_has_happened_or_it_has_not(name, files, tmp_path, examined):
    killed_at(every, name, files, tmp_path, examined)


def cut(lengths, name, files, folder, examined):
    """Kill a call in the middle of its writes: each time the kernel lets files grow some bytes longer."""
    case = CASES[name]
    verdicts = Verdicts(case, files(case.base), folder, examined)
    for length in lengths:
        alive = not cut_at(length, acting(case), path := verdicts.fresh())
        verdicts.judge(f"where a file passes {length} bytes", path, True)
        if alive:
            break
    verdicts.sum_up()


@pytest.mark.parametrize("name", CUT)
def test_killed_in_the_middle_of_a_write_a_call_has_happened_or_it_has_not(name, files, tmp_path, examined, rng):
    size = sum(entry.stat().st_size for entry in files(CASES[name].base).parent.glob("agent.db"))
    step = 24_001 + size // 8  # of a large file what grows is little
    cut(itertools.count(rng.randrange(1, step), step), name, files, tmp_path, examined)


@pytest.mark.nightly
@pytest.mark.parametrize("name", CUT)
def test_killed_at_any_byte_of_a_write_a_call_has_happened_or_it_has_not(name, files, tmp_path, examined):
    cut(itertools.count(1_499, 1_499), name, files, tmp_path, examined)


def test_every_public_call_that_writes_has_its_case():
    """All but what only other rooms call, within their own writes."""
    tried = {tuple(name.split()[0].split(".")) for name in CASES if "." in name}
    for room in ROOMS:
        inner = {("keywords", "discard"), ("keywords", "restore"), ("backups", "unplace"), (room, "erase"), ("conflicts", "notice"),
                 ("conflicts", "notice_joined"), ("documents", "add"), ("documents", "wipe")}  # fmt: skip
        methods = {(room, method) for store in public_classes(room) for method in writing(store)} - inner
        assert methods <= tried, f"no case yet for {sorted(methods - tried)}"


def writing(store):
    """Public methods that open a write, themselves or by a private one that they call, as their source tells."""
    methods = {name: value for base in store.__mro__ for name, value in vars(base).items() if inspect.isfunction(value)}
    source = {name: inspect.getsource(value) for name, value in methods.items() if not name.startswith("__")}
    writers = {name for name, text in source.items() if "db.write()" in text}
    while more := {name for name, text in source.items() if any(f"self.{writer}(" in text for writer in writers)} - writers:
        writers |= more
    return {name for name in writers if not name.startswith("_")}
