"""A process that is interrupted all the time, at random instants, in calls of every room."""

from __future__ import annotations

import contextlib
import gc
import importlib
import pathlib
import pkgutil
import random
import signal
import threading
import time
import warnings

from kernel.things import Things, at_rest

import memstore
from memstore import StoreError, open_store
from memstore.kernel import Room, Schema, Step

OLD = "CREATE TABLE words(pk INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT;"
NEW = "CREATE TABLE words(pk INTEGER PRIMARY KEY, word TEXT NOT NULL, extra TEXT NOT NULL DEFAULT 'none') STRICT;"


class Struck:
    """The store, and what the calls that can be interrupted do with it; each returns nothing and leaves all of its traces or none."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "agent.db"
        self.store = open_store(self.path)
        self.store.chat.create_conversation(id="c")
        self.store.corrections.add("shared", "a list", id="shared", metadata={"seen": []})
        Things(self.store).add("first")

    # -- calls -----------------------------------------------------------------------------------------------------------

    def append(self, word):
        self.store.chat.append("c", "user", word)

    def append_many(self, word):
        self.store.chat.append_many("c", [{"role": "user", "content": word}] * 3)

    def believe(self, word):
        self.store.corrections.add(word, "claim")

    def correct(self, word):
        shared = self.store.corrections.get("shared")
        self.store.corrections.update("shared", metadata={"seen": [*shared.metadata["seen"], word]}, expected_version=shared.version)

    def save(self, word):
        self.store.backups.save("c", "coder", word)

    def log(self, word):
        self.store.audit.append("struck.logged", entity_kind="word", entity_id=word)

    def log_many(self, word):
        self.store.audit.append_many([{"event_type": "struck.logged", "entity_kind": "word", "entity_id": word}] * 3)

    def run_made(self, word):
        self.store.evals.record_run("c", "coder", id=word)

    def index(self, word):
        self.store.keywords.add(word, f"indexed {word}", kind="note")

    def three(self, word):
        with self.store.transaction():
            self.append(word)
            with contextlib.suppress(KeyError), self.store.transaction():
                self.append(f"{word} never")
                raise KeyError
            with self.store.transaction():
                self.believe(word)
            self.log(word)

    def scrub(self, word):
        Things(self.store).remove("no such word")
        self.append(word)

    # -- calls without a trace in the store ------------------------------------------------------------------------------

    def look(self, word):
        self.store.chat.messages("c", limit=20)
        self.store.chat.search("struck", limit=5)
        self.store.corrections.relevant("shared list")
        self.store.keywords.complete("str")
        self.store.audit.verify()

    def tidy(self, word):
        self.store.optimize()
        self.store.stats()
        assert self.store.check().ok

    def reopen(self, word):
        self.store._database.close()
        self.store = open_store(self.path)

    def snapshot(self, word):
        self.store.snapshot(self.folder / f"{word}.copy")

    def begin(self, word):
        """Create a file and touch its rooms for the first time."""
        with contextlib.closing(open_store(self.folder / f"{word}.fresh")) as fresh:
            fresh.corrections.add(word, "claim")
            fresh.backups.track("c", "coder", word)

    def migrate(self, word):
        """Bring an old room to its new schema."""
        with contextlib.closing(open_store(self.folder / f"{word}.old")) as old:
            step = Step("upper", lambda connection: connection.run("UPDATE words SET word = upper(word)"))
            Room(old._database, Schema("words", 2, NEW, (step,))).rows("SELECT word, extra FROM words")

    # -- traces ----------------------------------------------------------------------------------------------------------

    def traces(self):
        """How often each word is found in each place."""
        messages = [message.content for message in self.store.chat.messages("c", limit=None)]
        places = {
            "chat": messages,
            "corrections": [item.subject for item in self.store.corrections.find()],
            "seen": self.store.corrections.get("shared").metadata["seen"],
            "audit": [event.entity_id for event in self.store.audit.find(event_type="struck.logged", limit=None)],
            "backups": [backup.backup_text for backup in self.store.backups.find(limit=None)],
            "evals": [found.id for found in self.store.evals.runs(limit=None)],
            "keywords": [hit.item_id for hit in self.store.keywords.search("indexed", kind="note", limit=None)],
        }
        found = {}
        for place, words in places.items():
            for word in words:
                found.setdefault(word, {}).setdefault(place, 0)
                found[word][place] += 1
        return found


WRITES = {
    "append": {"chat": 1},
    "append_many": {"chat": 3},
    "believe": {"corrections": 1},
    "correct": {"seen": 1},
    "save": {"backups": 1},
    "log": {"audit": 1},
    "log_many": {"audit": 3},
    "run_made": {"evals": 1},
    "index": {"keywords": 1},
    "three": {"chat": 1, "corrections": 1, "audit": 1},
    "scrub": {"chat": 1},
}
OTHERS = ("look", "tidy", "reopen", "snapshot", "begin", "migrate")


def strike(*_):
    raise KeyboardInterrupt


def attempt(function, word, after):
    """Whether a call has returned; one that was interrupted on its way out counts as one that was interrupted."""
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        function(word)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return True
    except KeyboardInterrupt:
        return False


def main(folder, seconds, seed):
    """Strike for so long, then compare what is there with what was told."""
    # An interrupted sqlite3.connect() or event loop leaves its descriptors to the collector, which says so on Python 3.13.
    warnings.simplefilter("ignore", ResourceWarning)
    import_all()
    signal.signal(signal.SIGALRM, strike)
    dice, struck = random.Random(seed), Struck(pathlib.Path(folder))
    returned, raised, end = {}, {}, time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        name, word = dice.choice([*WRITES, *WRITES, *OTHERS]), f"struck{number}"
        if name == "migrate":
            prepare_old(struck.folder / f"{word}.old")
        fine = attempt(getattr(struck, name), word, dice.uniform(0.00002, 0.03 if name in OTHERS else 0.0015))
        (returned if fine else raised)[word] = name
        if struck.store._database.unusable is not None:
            struck.store = open_store(struck.path)
        assert at_rest(struck.store), (name, word, vars(struck.store._database))
        leave(struck, name, word, fine)
    judge(struck, returned, raised)
    kinds = set(raised.values())
    print("rounds", number, "raised", len(raised), "returned", len(returned), "never struck", sorted({*WRITES, *OTHERS} - kinds))


def import_all():
    """Import what calls would import when first made: interrupted there, Python can keep its import lock for ever."""
    for module in pkgutil.walk_packages(memstore.__path__, "memstore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def prepare_old(path):
    with open_store(path) as old:
        with Room(old._database, Schema("words", 1, OLD)).write() as connection:
            connection.many("INSERT INTO words(word) VALUES (?)", [("a",)] * 20)


def leave(struck, name, word, fine):
    """Look at the files that a call has made, and remove them."""
    copy, fresh, old = (struck.folder / f"{word}.{kind}" for kind in ("copy", "fresh", "old"))
    assert name != "snapshot" or copy.exists() or not fine
    if copy.exists():
        with open_store(copy, read_only=True) as store:
            assert store.chat.messages("c", limit=1) is not None and store.check().ok
    if fresh.exists():
        with open_store(fresh) as store:
            assert store.corrections.count() in ([1] if fine else [0, 1])
            store.corrections.add(word, "claim")
            assert store.corrections.count() == 1 and store.check().ok
    if old.exists():
        with open_store(old) as store:
            rows = Room(store._database, Schema("words", 1, OLD)).rows("SELECT word FROM words") if not fine and older(store) else None
            assert rows in (None, [("a",)] * 20)
            struck.migrate(word)
            assert store.query("SELECT word, extra FROM words") == [{"word": "A", "extra": "none"}] * 20
    for file in struck.folder.glob(f"{word}.*"):
        file.unlink()
    assert not list(struck.folder.glob(".*.part")), "half a snapshot"


def older(store):
    return store.query("SELECT version FROM schema_version WHERE room = 'words'") == [{"version": 1}]


def judge(struck, returned, raised):
    """What has returned is there, what has raised is there whole or not at all, and anybody can go on."""
    found = struck.traces()
    found.pop("shared", None)
    for word, name in returned.items():
        assert found.get(word, {}) == WRITES.get(name, {}), (word, name, found.get(word))
    for word, name in raised.items():
        traces = found.get(word, {})
        if name == "scrub":
            assert traces in ({}, WRITES[name]), (word, name, traces)
        assert traces in ({}, WRITES.get(name, {})), (word, name, traces)
    assert set(found) <= {*returned, *raised}, set(found) - {*returned, *raised}
    shared = struck.store.corrections.get("shared")
    updates = struck.store.audit.find(event_type="correction.update", limit=None)
    assert shared.version == 1 + len(shared.metadata["seen"]) == 1 + len(updates)
    thread = threading.Thread(target=Things(struck.store).add, args=("last",))
    thread.start()
    thread.join(60)
    assert Things(struck.store).words()[-1] == "last"
    assert struck.store.audit.verify().ok
    report = struck.store.check(deep=True)
    assert report.ok, report.findings
    struck.store.close()
    gc.collect()  # an interrupted open leaves its connection to the collector
    with open_store(struck.path) as again:
        with contextlib.suppress(StoreError):
            again.optimize()
        assert again.check(deep=True).ok
    left = {file.name for file in struck.folder.iterdir()}
    assert left == {"agent.db"}, left
