"""Mixed work over all rooms, and how to see from outside what has become of it.

Each call of CALLS is one public call that changes the store: it happens whole or not at all. `look` takes everything that such
calls write, by plain SQL; what is left out is derived from it (the keyword index), bookkeeping, or SQLite's own.
"""

from __future__ import annotations

import contextlib
import importlib
import pathlib
import shutil
import sqlite3

from memstore import Store, open_store
from memstore.kernel import schema as schemas
from memstore.store import ROOMS
from memstore.testing import FakeClock

DERIVED = {"keyword_state", "keyword_segments", "keyword_gone", "vector_spaces"}
TABLES = [
    table for room in ROOMS for table in schemas.tables(importlib.import_module(f"memstore.{room}").SCHEMA) if table not in DERIVED
]
LONG = "the whole story of a session, told at length " * 250  # more than two pages


def begin(path: pathlib.Path) -> None:
    """Make a store in which every call of CALLS has something to work on."""
    with open_store(path, clock=FakeClock()) as store:
        fill(store)


def fill(store: Store) -> None:
    """Put something into every room."""
    with store.transaction():
        store.chat.create_conversation(id="talk", title="a talk")
        store.chat.append_many("talk", [{"role": "user", "content": f"word{number} of old"} for number in range(8)])
        for number in range(8):
            store.corrections.add(f"subject {number}", f"claim {number}", rejected=f"not {number}")
            store.audit.append("query", actor="someone", details={"number": number})
            store.keywords.add(f"note {number}", f"some note {number}", kind="note")
        store.backups.track("talk", "coder", tokens=10)
        store.evals.promote("coder", None, "model 0")
        for number in range(8):
            store.memories.add("knowledge", f"belief {number} of old", id=f"belief {number}")
            store.knowledge.add_atom("claim", f"finding {number} of old", id=f"finding {number}")
        store.knowledge.add_entity("person", "someone")
        store.vectors.add([(f"belief {number}", [number, 1.0]) for number in range(8)], model="toy", kind="memory")
        store.conflicts.contradict("finding 0", "finding 1")
        store.documents.add_text("some text of old", uri="file:/old", id="text")


def append(store: Store, mark: str) -> None:
    store.chat.append("talk", "user", f"{mark} asks something")


def append_long(store: Store, mark: str) -> None:
    store.chat.append("talk", "assistant", f"{mark} {LONG}")


def append_many(store: Store, mark: str) -> None:
    store.chat.append_many("talk", [{"role": "user", "content": f"{mark} part{number}"} for number in range(5)])


def pop(store: Store, mark: str) -> None:
    store.chat.pop("talk")


def rename(store: Store, mark: str) -> None:
    store.chat.rename("talk", mark)


def correct(store: Store, mark: str) -> None:
    store.corrections.add(f"subject of {mark}", f"claim of {mark}", rejected=f"error of {mark}")


def revise(store: Store, mark: str) -> None:
    store.corrections.update(store.corrections.find(limit=1)[0].id, claim=f"claim revised by {mark}")


def supersede(store: Store, mark: str) -> None:
    store.corrections.supersede(store.corrections.find(limit=1)[0].id, reason=mark)


def audit(store: Store, mark: str) -> None:
    store.audit.append("query", actor=mark, conversation_id="talk", details={"mark": mark})


def redact(store: Store, mark: str) -> None:
    event = next(event for event in store.audit.find(limit=1000) if event.event_type == "query" and event.actor)
    store.audit.redact(event.seq, reason=mark)


def forget(store: Store, mark: str) -> None:
    with store.transaction():
        store.erase(message_id=store.chat.append("talk", "user", f"{mark} takes it back").id, reason=mark)


def track(store: Store, mark: str) -> None:
    store.backups.track("talk", "coder", mark)


def save(store: Store, mark: str) -> None:
    store.backups.save("talk", "coder", f"note of {mark}")


def judge(store: Store, mark: str) -> None:
    store.evals.record_run("talk", "coder", domain=mark, utility_score=0.5, vcg_winner=True)


def promote(store: Store, mark: str) -> None:
    store.evals.promote("coder", store.evals.active_model("coder"), f"model of {mark}")


def index(store: Store, mark: str) -> None:
    store.keywords.add(f"note of {mark}", f"{mark} noted", kind="note")


def take_out(store: Store, mark: str) -> None:
    store.keywords.remove(store.keywords.search("note", kind="note", limit=1)[0].item_id, kind="note")


def believe(store: Store, mark: str) -> None:
    store.memories.add("knowledge", f"{mark} believes something", status="candidate")


def retire(store: Store, mark: str) -> None:
    with store.transaction():
        store.memories.supersede(store.memories.add("knowledge", f"{mark} believed something").id, note=mark)


def unite(store: Store, mark: str) -> None:
    with store.transaction():
        parts = [store.memories.add("knowledge", f"{mark} believed part{number}").id for number in range(2)]
        store.memories.merge(parts, f"{mark} united")


def settle(store: Store, mark: str) -> None:
    store.memories.set_state("project", "who", mark)


def learn(store: Store, mark: str) -> None:
    store.knowledge.add_atom("claim", f"{mark} finds something", evidence=[{"chunk_id": mark, "snippet": f"{mark} proves it"}])


def meet(store: Store, mark: str) -> None:
    with store.transaction():
        met = store.knowledge.add_entity("person", f"{mark} met")
        store.knowledge.observe(met.id, f"{mark} observes")
        store.knowledge.relate(met.id, "depends_on", store.knowledge.add_entity("person", f"{mark} known").id)


def clash(store: Store, mark: str) -> None:
    with store.transaction():
        sides = [store.knowledge.add_atom("claim", f"{mark} claims part{number}").id for number in range(2)]
        store.conflicts.contradict(*sides, note=mark)


def decide(store: Store, mark: str) -> None:
    with store.transaction():
        sides = [store.knowledge.add_atom("claim", f"{mark} decides part{number}").id for number in range(2)]
        store.conflicts.resolve(store.conflicts.contradict(*sides).id, "supersede_others", winner=sides[0], note=mark)


def read(store: Store, mark: str) -> None:
    store.documents.add_text(f"# Of {mark}\n\n{mark} writes a text", uri="file:/old")


def keep(store: Store, mark: str) -> None:
    with store.transaction():
        store.documents.remove(store.documents.add_text(f"{mark} writes another", user_id=mark).id, note=mark)


def embed(store: Store, mark: str) -> None:
    store.vectors.add([(f"{mark} {number}", [number, 2.0]) for number in range(2)], model="toy", kind="mark")


def several(store: Store, mark: str) -> None:
    """One transaction over four rooms, with a savepoint that is given up."""
    with store.transaction():
        append(store, mark)
        with contextlib.suppress(KeyError), store.transaction():
            correct(store, f"lost {mark}")
            raise KeyError
        correct(store, mark)
        track(store, mark)
        audit(store, mark)


CALLS = (
    append,
    correct,
    audit,
    several,
    append_long,
    track,
    index,
    revise,
    redact,
    append_many,
    save,
    judge,
    supersede,
    pop,
    forget,
    promote,
    take_out,
    rename,
    believe,
    unite,
    settle,
    retire,
    learn,
    meet,
    clash,
    decide,
    read,
    keep,
    embed,
)

Seen = dict[str, list[str]]


def look(path: str | pathlib.Path) -> Seen:
    """All rows that the calls have written; an observer of its own, that leaves no trace."""
    raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return look_through(raw)
    finally:
        raw.close()


def look_through(raw: sqlite3.Connection) -> Seen:
    """The same through a connection that is there, as a store in memory needs it."""
    there = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return {table: [repr(row) for row in raw.execute(f"SELECT * FROM {table}")] if table in there else [] for table in TABLES}


def copied(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The file and its log as a SIGKILL would leave them, in a folder of their own.

    Reading them here drops this process's locks on them, which harms nothing while no other process has them open.
    """
    folder.mkdir(exist_ok=True)
    for end in ("", "-wal", "-shm", "-journal"):
        (folder / (path.name + end)).unlink(missing_ok=True)
        source = path.with_name(path.name + end)
        if end != "-shm" and source.exists():
            shutil.copy(source, folder)
    return folder / path.name


def found_words(store: Store) -> dict[str, list[tuple[str, str]]]:
    """What the index answers: every word of the vocabulary that begins with a letter, and the items that have it."""
    words = [word for letter in "abcdefghijklmnopqrstuvwxyz" for word, _ in store.keywords.complete(letter, limit=None)]
    return {word: [(hit.kind, hit.item_id) for hit in store.keywords.search(word, limit=1000)] for word in words}


def assert_sound(store: Store) -> None:
    """The store says that it is well, the log verifies, and the index answers as one made anew does."""
    report = store.check()
    assert report.ok, report.findings
    verified = store.audit.verify()
    assert verified.ok, verified.findings
    before = found_words(store)
    store.keywords.rebuild()
    after = found_words(store)
    assert before == after
