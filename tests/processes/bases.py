"""Files that calls are made on, before anybody is killed: what is in them, and what lies beside them."""

from __future__ import annotations

import contextlib
import json
import os

import exports
from aua_files import ONE_OF_EACH, make
from erasing import Life
from foreign_files import made
from kernel import harness
from kernel.test_migrations import old_file

from memstore import open_store
from memstore.kernel import wal
from memstore.knowledge import Section
from memstore.testing import FakeClock

from .soundness import elsewhere

#: Words that a call must wipe from the file, by the room that has them.
SECRETS = {"chat": "zyzzyva", "corrections": "quokka", "audit": "axolotl", "documents": "tapir", "everywhere": "ann@example.org"}


def nothing(path):
    """A folder without a file."""


def bare(path):
    """A store without rooms."""
    open_store(path, clock=FakeClock()).close()


def filled(path):
    """A little of everything."""
    with open_store(path, clock=FakeClock()) as store, store.transaction():
        fill(store)
    with open_store(path, clock=FakeClock()) as store:
        store.keywords.compact()
        store.keywords.add("n2", "amber note after the index was made", kind="note")
        store.chat.append("c2", "user", "amber words that no segment has")


def fill(store):
    store.chat.create_project("Apollo", id="p1")
    store.chat.create_conversation(id="c1", title="first", project="Apollo")
    store.chat.create_conversation(id="c2", title="second")
    for number in range(6):
        store.chat.append("c1", "user", f"amber question {number} {SECRETS['chat']}", id=f"m{number}")
        store.chat.append("c2", "assistant", f"basalt answer {number}")
    store.chat.touch_session("s1", domain="rust")
    store.corrections.add("rounding", "round half even", rejected="truncate", id="k1")
    store.corrections.add("naming", "snake case", rejected="camel case", id="k2")
    store.corrections.add("weather", f"about the {SECRETS['corrections']}", id="faint", confidence=0.01)
    for _ in range(3):
        store.backups.track("c1", "coder", "a text")
    store.backups.save("c1", "coder", "what was said", id="b1")
    store.chat.append("c1", "user", "cedar, which no backup covers")
    store.evals.record_run("c1", "coder", id="r1")
    store.evals.record_assertion("polite", "info", True, id="a1")
    store.evals.promote("coder", None, "model-1", id="o1")
    for number in range(5):
        details = {"text": SECRETS["audit"]} if number == 3 else None
        store.audit.append("query", actor="ann", conversation_id="c1", project="Apollo", details=details, id=f"e{number}")
    store.keywords.add("n1", "amber delta note", kind="note")
    store.vectors.add([("v1", [1.0, 2.0]), ("v2", [0.0, 1.0])], model="toy", kind="note")
    store.vectors.add([("m1", [1.0, 2.0]), ("m2", [0.0, 1.0])], model="toy", kind="message")


def personal(path):
    """A file in which one of two users has left something in every room, under a name that must go."""
    filled(path)
    with open_store(path, clock=FakeClock()) as store:
        Life("ann", SECRETS["everywhere"]).live(store)


def indebted(path):
    """A file that must be written anew, since the process that erased died."""
    personal(path)

    def erase_and_die():
        with open_store(path, clock=FakeClock()) as store:
            wal.WriteAheadLog.scrub = lambda self: os._exit(0)
            store.erase(user_id=SECRETS["everywhere"])

    with contextlib.suppress(EOFError):
        elsewhere(erase_and_die)


def airy(path):
    """A file of which more than a fifth is free pages."""
    filled(path)
    with open_store(path, clock=FakeClock()) as store:
        store.chat.create_conversation(id="big")
        store.chat.append_many("big", [{"role": "user", "content": "x" * 4000} for _ in range(150)])
        store.chat.clear("big")


def crowded(path):
    """A file with four small segments and texts that are in none."""
    filled(path)
    with open_store(path, clock=FakeClock()) as store:
        for part in range(4):
            store.chat.append_many("c1", [{"role": "user", "content": f"juniper {part} {number}"} for number in range(8)])
            while store.keywords._index_batch(store.chat.texts, 1):
                pass
        store.chat.append_many("c1", [{"role": "user", "content": f"kelp {number}"} for number in range(8)])


def owing(path):
    """A file whose log must be emptied, since the process that deleted died."""
    filled(path)

    def delete_and_die():
        with open_store(path, clock=FakeClock()) as store:
            wal.WriteAheadLog.scrub = lambda self: os._exit(0)
            store.chat.clear("c1")

    with contextlib.suppress(EOFError):
        elsewhere(delete_and_die)


def foreign(path):
    """A file, and beside it some to take in."""
    filled(path)
    make(path.with_name("aua.db"), ONE_OF_EACH)
    # Only texts that stand in their column: the check that looks through all of them knows no other place.
    made("agents", path.with_name("sessions.db"), "DELETE FROM agent_messages WHERE message_data NOT LIKE '%\"content\": \"%'")
    made("llm-both", path.with_name("logs.db"), "DELETE FROM tool_calls", "DELETE FROM prompt_attachments")
    path.with_name("talk.jsonl").write_text('{"role": "user", "content": "amber"}\n' * 3)


def learned(path):
    """A file with atoms in three states, what hangs on them, and an artifact made of them."""
    with open_store(path, clock=FakeClock()) as store:
        store.chat.create_project("Apollo", id="p1")
        room = store.knowledge
        room.add_entity("Component", "amber lamp", id="n1")
        for name in ("t1", "t2"):
            proof = [{"chunk_id": "h1", "snippet": f"amber {name}"}]
            room.add_atom("claim", f"amber {name}", evidence=proof, verification_status="verified", id=name, project="moon")
        room.add_atom("claim", "amber t1", id="t0", project="Apollo")
        room.add_atom("risk", "basalt", id="t3", status="candidate")
        room.add_claim("t1", "lamp", "is amber")
        room.mention("n1", "t1", chunk_id="h1")
        sections = [Section("one", "One", "amber", ["t1"]), Section("two", "Two", "basalt", ["t3"], ["f1"])]
        room.add_artifact("prd", "Lamps", sections=sections, id="w1")
        room.regenerate(room.add_artifact("prd", "Old", sections=sections, id="w0").id, sections)
        room.set_knowledge_state("moon", "cedar")
        room.set_knowledge_state("Apollo", "cedar")
        room.record_delta("Apollo", "run 1", {"atoms": 2})


def related(path):
    """A file with a graph: two parts, one of which is a candidate that comes from a memory, what joins them, and a note."""
    with open_store(path, clock=FakeClock()) as store:
        room = store.knowledge
        store.memories.add("knowledge", "basalt words are not", id="b1", created_at=1.0)
        room.add_entity("Component", "amber lamp", id="n1", project="moon")
        room.add_entity("Component", "basalt foot", id="n2", status="candidate", source_refs=["memory:b1"], created_at=1.0)
        room.relate("n1", "part_of", "n2", id="l1")
        room.observe("n1", "it is lit", id="w1")
        room.mcp("create_entities", {"entities": [{"name": "Ann", "entityType": "person", "observations": ["likes tea"]}]})
        room.export_mcp(path.with_name("memory.jsonl"))
        room.update("n1", description="of amber", aliases=["lamp"])
    row = {"type": "entity", "name": "Bob", "entityType": "person", "observations": ["rides", "sings"]}
    with open(path.with_name("memory.jsonl"), "a") as file:
        file.write(json.dumps(row) + "\n" + json.dumps({"type": "relation", "from": "Bob", "to": "Ann", "relationType": "knows"}) + "\n")


def reflective(path):
    """A file with what something follows from: an interaction, a memory that nobody refers to, a candidate that nobody wants."""
    filled(path)
    with open_store(path, clock=FakeClock()) as store:
        store.memories.capture("how?", "## Decision\n- amber mode\n- basalt mode\n\nI prefer cedar.", id="i1", conversation_id="c1")
        store.memories.add("knowledge", "amber words are said again", id="b1", created_at=1.0)
        store.memories.add("knowledge", "basalt words are not", id="b2", created_at=1.0, confidence=0.2)
        store.memories.add("knowledge", "cedar words may be", id="b3", created_at=1.0, status="candidate")
        for project in ("p1", "moon"):
            store.memories.add("project", "delta words are rare", project=project)
            store.memories.set_state(project, "pilot", f"of {project}")


def contested(path):
    """A file of beliefs, two of which contradict each other, and of atoms that do."""
    with open_store(path, clock=FakeClock()) as store, store.transaction():
        for number in range(2):
            store.memories.add("preference", f"amber {number}", id=f"y{number}")
            store.knowledge.add_atom("claim", f"cedar {number}", id=f"t{number}")
        store.conflicts.open("colour", "of amber", members=[("memory", "y0"), ("memory", "y1")], id="z1")
        store.conflicts.contradict("t0", "t1", id="z2")


def shelved(path):
    """A file with documents that are there, that are hidden and that two projects have, chunks of one made by hand, and choices."""
    with open_store(path, clock=FakeClock()) as store, store.transaction():
        store.chat.create_project("Apollo", id="p1")
        room = store.documents
        room.add_text(f"# Lamp\n\namber lamp\n\n# Foot\n\n{SECRETS['documents']} foot", uri="file:/a", id="q1")
        room.remove(room.add_text("cedar hidden", uri="file:/b", id="q2").id)
        for project in ("Apollo", "moon"):
            room.add_text(f"basalt of {project}", uri="file:/c", project=project, id=f"q-{project}")
        room.add_text("", uri="file:/d", id="q3")
        room.set_chunks("q3", [{"content": f"delta {number}", "id": f"h{number}"} for number in range(3)])
        room.annotate("h1", "secret", id="j1")
        room.select(["q1", "q3"], True, user_id="ann")
        store.knowledge.add_atom("claim", "it is delta", evidence=[{"chunk_id": "h2"}], id="t1")
    folder = path.with_name("folder")
    folder.mkdir()
    for name in ("one.md", "two.txt"):
        (folder / name).write_text(f"# {name}\n\namber words of {name}")


def emptied(path):
    """A store without rooms, and beside it an export."""
    bare(path)
    another(path, "")


def visited(path):
    """A file, and beside it exports: of another store, and of itself when it had come further."""
    filled(path)
    another(path, "-b")
    with open_store(path, clock=FakeClock()) as store:
        store.snapshot(path.with_name("later.db"))
    with open_store(path.with_name("later.db"), clock=FakeClock()) as later:
        later.chat.append("c1", "user", "fennel, said later", id="m9")
        later.audit.append("query", actor="ann")
        later.export(path.with_name("later"))
    for side in ("", "-wal", "-shm"):
        path.with_name(f"later.db{side}").unlink(missing_ok=True)


def another(path, tag):
    """An export of another store."""
    with open_store(clock=FakeClock()) as store:
        exports.fill(store, tag)
        store.export(path.with_name("out"))


def stepped(path):
    """A file with the old schema of a room of the tests' own."""
    with harness.opened(path) as database, harness.room(database, harness.OLD).write() as connection:
        connection.run("INSERT INTO parents(id) VALUES (1)")
        connection.run("INSERT INTO children(parent) VALUES (1), (1), (1), (1), (1)")


def old(path, name):
    """A file with an old room."""
    old_file(path, name, 12)


BASES = {
    base.__name__: base
    for base in (
        nothing, bare, filled, personal, indebted, airy, crowded, owing, foreign, learned, related, reflective, contested, shelved,
        emptied, visited, stepped,
    )  # fmt: skip
}
