"""Fixtures for all tests. Every store that a test opens is checked when it closes, or after the test."""

from __future__ import annotations

import gc
import itertools
import os
import pathlib
import random
import shutil
import weakref
import zlib

import pytest
from erasing import ADA, Life, Searcher
from exports import fill
from notes import Notes

from memstore import Store, StoreError, open_store
from memstore.testing import FakeClock

DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
#: A disk in memory. What a test proves about syncs it proves by a layer of its own or by kill; waiting for a real disk adds nothing.
MEMORY_DISK = pathlib.Path("/dev/shm")
FORKING = ("processes", "kernel", "faults")


def pytest_configure(config):
    config.addinivalue_line("markers", "damage: the test damages stores on purpose; they are not checked after it")
    config.addinivalue_line("markers", "nightly: long; runs with --nightly only")
    config.addinivalue_line("markers", "drawn(share): one in so many of its cases runs, another with each seed, and all with --nightly")
    if not config.getoption("--nightly") and MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > 4 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_DISK))


def pytest_addoption(parser):
    parser.addoption("--nightly", action="store_true", help="run the long variants too")
    parser.addoption("--seed", type=int, default=None, help="seed of the randomised tests")


def pytest_collection_modifyitems(config, items):
    # They fork, at a cost that grows with this process: while it is small, and those that fork most before the others.
    items.sort(key=lambda item: next((place for place, name in enumerate(FORKING) if name in item.path.parts), len(FORKING)))
    if not config.getoption("--nightly"):
        for item in items:
            if "nightly" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="long variant: run with --nightly"))
        _draw([item for item in items if "drawn" in item.keywords], _seed(config, getattr(config, "workerinput", {}).get("testrunuid")))


def _draw(items, seed):
    """Skip all but every n-th case of each test, so that what stands together is drawn from evenly; one asked for alone runs."""
    for _, cases in itertools.groupby(items, key=lambda item: (item.path, item.originalname)):
        cases = list(cases)
        share = min(cases[0].get_closest_marker("drawn").args[0], len(cases))
        for number, item in enumerate(cases):
            if number % share != seed % share:
                item.add_marker(pytest.mark.skip(reason=f"not drawn by --seed {seed}: run with --nightly, or alone"))


def _seed(config, run=None):
    """The seed that was given, or a new one; all workers of one run of xdist have the same."""
    seed = config.getoption("--seed")
    if seed is None:
        return random.SystemRandom().randrange(2**32) if run is None else zlib.crc32(run.encode())
    return seed


def pytest_collection_finish(session):
    """What stands until the end is no garbage: a test that asks the collector waits for its own objects only, not for all of pytest's."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # children keep Python's own


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """Children compile a module once a session, and not into the checkout: half of the time that an interpreter takes to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(autouse=True)
def checked(request, monkeypatch):
    """After every test: each store that was opened in it passes its own check."""
    opened = []
    begin, close = Store.__init__, Store.close
    damaged = request.node.get_closest_marker("damage") is not None

    def recording_begin(self, *args):
        begin(self, *args)
        opened.append(weakref.ref(self))

    def checking_close(self):
        if not damaged and self._database.unusable is None and not self._database.in_transaction:
            report = self.check()
            assert report.ok, report.findings
        close(self)

    monkeypatch.setattr(Store, "__init__", recording_begin)
    monkeypatch.setattr(Store, "close", checking_close)
    yield
    for reference in opened:
        store = reference()
        if store is not None:
            try:
                store.close()
            except StoreError:
                if not damaged:
                    raise


@pytest.fixture
def store_clock():
    """The clock of the `store` fixture; it stands still."""
    return FakeClock()


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path, store_clock):
    """A store in memory and one in a file."""
    path = ":memory:" if request.param == "memory" else tmp_path / "agent.db"
    with open_store(path, clock=store_clock) as opened:
        yield opened


@pytest.fixture
def chat(store):
    return store.chat


@pytest.fixture
def notes(store):
    """A source of texts and an index of them."""
    return Notes(store)


@pytest.fixture
def file_store(tmp_path, store_clock):
    """A store in a file."""
    with open_store(tmp_path / "agent.db", clock=store_clock) as opened:
        yield opened


@pytest.fixture(scope="session")
def searcher():
    """Another process that searches the bytes of a store's files, also while the store is open."""
    found = Searcher()
    yield found
    found.close()


@pytest.fixture
def lives(tmp_path):
    """A store in which Ada and Bob have left something in every room, and the two."""
    with open_store(tmp_path / "agent.db") as opened:
        ada, bob = Life("ada", ADA), Life("bob", "bob@example.org")
        bob.live(opened)
        ada.live(opened)
        opened.corrections.add("nobody's", "kept")
        yield opened, ada, bob


@pytest.fixture(scope="session")
def begun(tmp_path_factory):
    """Files of two filled stores, to be copied: filling one takes longer than most of these tests."""
    paths = {tag: tmp_path_factory.mktemp("begun") / "agent.db" for tag in ("", "-b")}
    for tag, path in paths.items():
        with open_store(path, clock=FakeClock()) as store:
            fill(store, tag)
    return paths


@pytest.fixture
def rng(request):
    """A random generator whose seed is shown when the test fails."""
    seed = _seed(request.config)
    print(f"seed {seed} (replay with --seed {seed})")
    return random.Random(seed)


@pytest.fixture
def real_data():
    """The folder of real transcripts, where this machine has it."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA
