"""The n-th call to the disk fails, once or for ever, for every n until a run passes untouched.

Each public call then returns, raises a StoreError (it did not happen), or OutcomeUnknown; never anything of sqlite3. What the
file holds is looked at from outside after each call, so that nothing acknowledged is lost and nothing that raised is there.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter

import pytest
from kernel import harness

from memstore import OutcomeUnknown, StoreError, Tampered, open_store
from memstore.kernel import files, wal
from memstore.kernel.files import wal_size
from memstore.testing import FakeClock

from . import work
from .vfs import CANTOPEN, FULL, IOERR, Fault, Layer, needs_layer

pytestmark = needs_layer

faults = pytest.mark.parametrize("codes", [IOERR, FULL, CANTOPEN], ids=["ioerr", "full", "cantopen"])
lasting = pytest.mark.parametrize("forever", [False, True], ids=["once", "forever"])


#: Every so manieth fault point in the suite, every one at night.
some_or_all = pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["some", "each"])


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Copy the log after every few commits, so that a short run has checkpoints in it."""
    monkeypatch.setattr(files, "LOG_KEPT", 100_000)
    monkeypatch.setattr(wal, "LOOK_EVERY", 4)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A closed store with something in every room."""
    path = tmp_path_factory.mktemp("begun") / "agent.db"
    work.begin(path)
    return path


@pytest.fixture
def layer(tmp_path):
    with Layer(tmp_path) as placed:
        yield placed


def every_fault(layer, codes, forever, step, scenario):
    """Run the scenario with the fault further and further on, until it is not met; the outcomes counted."""
    outcomes: Counter[str] = Counter()
    for at in range(1, 100_000, step):
        fault = Fault(codes, at, forever)
        outcomes.update(scenario(fault))
        layer.fault = None
        if not fault.hits:
            print(f"{(at - 1) // step} fault points: {dict(outcomes)}")
            return outcomes
        outcomes["points"] += 1
    raise AssertionError("the fault was always met")


def attempt(call, *arguments):
    """What became of a call: returned, raised, unknown; any error that is not ours goes through."""
    try:
        call(*arguments)
    except OutcomeUnknown:
        return "unknown"
    except StoreError as error:
        assert str(error)
        return "raised"
    return "returned"


# -- work ---------------------------------------------------------------------------------------------------------------


class Work:
    """All calls in a row on a copy of a store, one of the disk's calls failing."""

    def __init__(self, layer, begun, folder):
        self.layer, self.begun, self.path = layer, begun, folder / "agent.db"
        self.crashed = folder / "crashed"

    def __call__(self, fault):
        shutil.copy(self.begun, self.path)
        with open_store(self.path, clock=FakeClock(), durability="full") as store:
            self.held = work.look(self.path)
            outcomes = [self.call(store, call, f"m{number}", fault) for number, call in enumerate(work.CALLS)]
            work.append(store, "afterwards")
            self.held = work.look(self.path)
            if fault.hits:
                report = store.check()
                assert report.ok, report.findings
        assert work.look(self.path) == self.held
        if fault.hits:
            with open_store(self.path, clock=FakeClock()) as store:
                work.assert_sound(store)
        return outcomes

    def call(self, store, call, mark, fault):
        met, self.layer.fault = fault.hits, fault
        outcome = attempt(call, store, mark)
        self.layer.fault = None
        self.held, before = work.look(self.path), self.held
        if fault.hits == met:
            assert outcome == "returned", f"{call.__name__} failed after the fault had gone"
        elif met == 0:
            found = work.look(work.copied(self.path, self.crashed))
            assert found == self.held or outcome == "unknown", "a crash now would change what is there"
        if outcome != "unknown":
            assert (outcome == "returned") == (self.held != before), f"{call.__name__} {outcome}"
        return outcome


@pytest.mark.drawn(2)  # an even share of an odd number of codes: each is met once or for ever
@faults
@lasting
@some_or_all
def test_each_call_happens_or_raises_and_the_handle_serves_on(layer, tmp_path, begun, codes, forever, every):
    step = 1 if every else 89 if codes is FULL else 307  # most of what the disk is asked is to be read
    outcomes = every_fault(layer, codes, forever, step, Work(layer, begun, tmp_path))
    if codes is not CANTOPEN:  # all files are open by then
        assert outcomes["points"] > 3
        assert outcomes["raised"] > 0


def test_a_commit_that_the_disk_could_not_sync_is_unknown_until_somebody_looks(layer, tmp_path, begun):
    outcomes = every_fault(layer, {"sync": IOERR["sync"]}, False, 7, Work(layer, begun, tmp_path))
    assert outcomes["unknown"] > 3


# -- the life of a file -------------------------------------------------------------------------------------------------


class Scenario:
    """One act under a fault; what came before and what comes after it is whole."""

    STEP = 17  # from one fault point to the next in the suite

    def __init__(self, layer, begun, folder):
        self.layer, self.begun, self.folder = layer, begun, folder
        self.path = folder / "agent.db"

    def under(self, fault, act, *arguments):
        self.layer.fault = fault
        try:
            return attempt(act, *arguments)
        finally:
            self.layer.fault = None

    def opened(self):
        return open_store(self.path, clock=FakeClock())

    def copy_of_begun(self):
        for entry in self.folder.glob("agent.db*"):
            entry.unlink()
        shutil.copy(self.begun, self.path)

    def assert_holds(self, expected):
        """Opened again the store is well and holds what it held."""
        with self.opened() as store:
            work.assert_sound(store)
            assert work.look(self.path) == expected


class FirstOpen(Scenario):
    """A store comes into being, with a first room."""

    def __call__(self, fault):
        for entry in self.folder.glob("agent.db*"):
            entry.unlink()
        outcome = self.under(fault, self.act)
        with self.opened() as store:
            work.append(store, "afterwards") if store.chat.conversations() else store.chat.create_conversation(id="talk")
            work.assert_sound(store)
        return [outcome]

    def act(self):
        with contextlib.closing(self.opened()) as store:
            store.chat.create_conversation(id="talk")


class OpenAfterKill(Scenario):
    """A file whose last writer was killed is opened: SQLite recovers its log."""

    def __init__(self, layer, begun, folder):
        super().__init__(layer, begun, folder)
        shutil.copy(begun, self.path)
        with self.opened() as store:
            for number, call in enumerate(work.CALLS):
                call(store, f"m{number}")
            self.expected = work.look(self.path)
            self.killed = work.copied(self.path, folder / "killed")

    def __call__(self, fault):
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            if end != "-shm":
                shutil.copy(f"{self.killed}{end}", f"{self.path}{end}")
        outcome = self.under(fault, self.act)
        self.assert_holds(self.expected)
        return [outcome]

    def act(self):
        with contextlib.closing(self.opened()) as store:
            assert len(store.chat.messages("talk", limit=3)) == 3


class Close(Scenario):
    """A store is closed whose log is long and must be emptied: nothing is lost, and closing again closes it."""

    def __call__(self, fault):
        self.copy_of_begun()
        store = open_store(self.path, clock=FakeClock(), timeout=0.0)
        with store.chat.db.read(snapshot=True) as connection:
            connection.rows("SELECT pk FROM messages")  # pins the log, so that it stays to be emptied
            for number in range(6):
                work.append_long(store, f"m{number}")
            work.redact(store, "owed")
        assert store.stats().scrub_owed
        expected = work.look(self.path)
        outcome = self.under(fault, store.close)
        store.close()
        self.assert_holds(expected)
        with self.opened() as store:
            assert not store.stats().scrub_owed
            assert wal_size(str(self.path)) < 100_000
        return [outcome]


def verified(store):
    """How many events verify; what verify() could not read it tells as a finding."""
    found = store.audit.verify()
    if not found.ok:
        raise Tampered("the log does not verify", found.findings)
    return found.checked


class Reading(Scenario):
    """Each answer is right or an error, with a cold cache and later."""

    QUESTIONS = (
        lambda store: [message.content for message in store.chat.messages("talk", limit=100)],
        lambda store: [hit.snippet for hit in store.chat.search("word")],
        lambda store: store.keywords.complete("w", limit=None),
        lambda store: [item.claim for item in store.corrections.find(limit=100)],
        lambda store: [item.correction.id for item in store.corrections.relevant("subject 3")],
        lambda store: [event.curr_hash for event in store.audit.find(limit=100)],
        lambda store: (verified(store), store.audit.head().hash),
        lambda store: store.backups.counter("talk", "coder"),
        lambda store: store.evals.active_model("coder"),
        lambda store: store.query("SELECT count(*) AS rows FROM messages"),
        lambda store: store.stats().rooms,
    )

    def __init__(self, layer, begun, folder):
        super().__init__(layer, begun, folder)
        self.copy_of_begun()
        with self.opened() as store:
            self.answers = [question(store) for question in self.QUESTIONS]

    def __call__(self, fault):
        outcomes = []
        with self.opened() as store:
            for question, answer in zip(self.QUESTIONS, self.answers, strict=True):
                heard = []
                outcomes.append(self.under(fault, lambda question=question, heard=heard: heard.append(question(store))))
                assert heard in ([], [answer])
                if outcomes[-1] != "returned":
                    assert question(store) == answer, "the same question afterwards, on the same handle"
        return outcomes


class Upkeep(Scenario):
    """What only moves things about: checkpoint, optimize, rebuild."""

    STEP = 61

    def __call__(self, fault):
        self.copy_of_begun()
        with self.opened() as store:
            database = store._database
            store.chat.append_many("talk", [{"role": "user", "content": f"{number} {work.LONG}"} for number in range(8)])
            store.chat.clear("talk")
            held, outcomes = work.look(self.path), []
            for act in (lambda: database.wal.checkpoint(database.writer), store.keywords.rebuild, store.optimize):
                outcomes.append(self.under(fault, act))
                assert work.look(self.path) == held
        self.assert_holds(held)
        return outcomes


class Snapshot(Scenario):
    """A copy is whole, in one file, or it is not there."""

    STEP = 13

    def __call__(self, fault):
        self.copy_of_begun()
        target = self.folder / "snapshot.db"
        target.unlink(missing_ok=True)
        with self.opened() as store:
            work.append(store, "newest")
            held = work.look(self.path)
            outcome = self.under(fault, store.snapshot, target)
            assert target.exists() == (outcome == "returned")
            assert not list(self.folder.glob(".*.part*")), "something half made is left"
            if outcome == "returned":
                assert work.look(target) == held
            store.snapshot(target)
            assert work.look(target) == held
            assert sorted(entry.name for entry in self.folder.glob("snapshot*")) == ["snapshot.db"]
        return [outcome]


class Migration(Scenario):
    """A room gets a newer schema: the file is the old one or the new one, and the next use brings it up."""

    def __init__(self, layer, begun, folder):
        super().__init__(layer, begun, folder)
        self.old, self.new = folder / "old.db", folder / "new.db"
        with harness.opened(self.old) as database:
            with harness.room(database, harness.OLD).write() as connection:
                connection.many("INSERT INTO parents(kind) VALUES (?)", [("a",)] * 300)
                connection.many("INSERT INTO children(parent) VALUES (?)", [(1 + number,) for number in range(300)])
        shutil.copy(self.old, self.new)
        self.bring_up(self.new)
        self.before, self.after = harness.plain(self.old), harness.plain(self.new)

    def bring_up(self, path):
        with harness.opened(path) as database:
            assert harness.room(database, harness.NEW, 2).value("SELECT count(*) FROM parents") == 300

    def __call__(self, fault):
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        shutil.copy(self.old, self.path)
        outcome = self.under(fault, self.bring_up, self.path)
        found = harness.plain(self.path)
        assert found in (self.before, self.after)
        assert outcome != "returned" or found == self.after
        self.bring_up(self.path)
        assert harness.plain(self.path) == self.after
        return [outcome]


@pytest.mark.damage  # stores are closed under a fault, when check() finds what it should; the scenarios look by themselves
@pytest.mark.drawn(2)
@pytest.mark.parametrize("scenario", [FirstOpen, OpenAfterKill, Close, Reading, Upkeep, Snapshot, Migration])
@faults
@lasting
@some_or_all
def test_what_a_file_lives_through_is_whole_or_did_not_happen(layer, tmp_path, begun, scenario, codes, forever, every):
    outcomes = every_fault(layer, codes, forever, 1 if every else scenario.STEP, scenario(layer, begun, tmp_path))
    assert outcomes["returned"] > 0
