"""SIGKILL at every step of every call that writes: the file is as before or as after, it is sound, and the call can be made again.

A case says what is called on which file. It comes through once, which tells its steps; then it is killed at the 1st, 2nd, 3rd ...,
each time on a fresh copy. `some` steps of a quarter of the cases in the fast suite, drawn anew each time, `every` one at night.
A failure names the step.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import exports
import pytest
from aua_files import ONE_OF_EACH, make
from contract.rooms import public_classes
from erasing import Life
from foreign_files import made
from kernel import harness
from kernel.test_migrations import old_file

import memstore.keywords
from memstore import open_store
from memstore.imports import import_aua, import_from
from memstore.kernel import files as paths
from memstore.kernel import wal
from memstore.kernel.room import rooms_in_file
from memstore.knowledge import Section
from memstore.store import ROOMS
from memstore.testing import FakeClock

from .failpoints import copied, cut_at, kill_at, steps_of
from .soundness import assert_sound, contents, elsewhere

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()"),
    pytest.mark.damage,  # the checks after each kill go further than the one at close
]

#: Words that a call must wipe from the file, by the room that has them.
SECRETS = {"chat": "zyzzyva", "corrections": "quokka", "audit": "axolotl", "documents": "tapir", "everywhere": "ann@example.org"}
#: Tables that hold no user's word and no user's count: what they hold may change alone.
BEHIND = {"meta", "maintenance", "schema_version", "schema_steps", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4",
          "keyword_state", "keyword_segments"}  # fmt: skip


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


def detected(store):
    """Ask a rule that nobody had when what clashes was added."""
    store.conflicts.rule("shade", lambda memory: ("shade", memory.content), kinds=["memory"])
    store.conflicts.detect()


def embedded(store):
    """Make the vectors of messages anew, each in a transaction of its own."""
    store.vectors.reembed(lambda texts: [[float(len(text)), 2.0] for text in texts], model="new", kind="message", batch=1)


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


def visible(seen):
    """What users see of it."""
    if seen is None:
        return {}
    shown = {name: rows for name, rows in seen[1].items() if name not in BEHIND}
    shown["keyword_gone"] = [row for row in shown.get("keyword_gone", ()) if row[2]]  # the others wait for a segment to be rewritten
    return {name: rows for name, rows in shown.items() if rows}


def whole(seen):
    """All of it, its schema too."""
    return seen


# -- what is called -----------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A call, the file it is made on and how often that changes what the file shows."""

    call: Callable[..., Any]
    base: str = "filled"
    changes: int = 1
    shows: Callable[..., Any] = visible
    forgets: str | None = None  # the room whose secret must leave the file
    opens: bool = False  # the steps of opening and closing count too; `call` gets the path
    resumes: bool = False  # where it was killed half-way, the same call again does the rest
    key: str | None = None


CASES = {
    "chat.create_conversation": Case(lambda store: store.chat.create_conversation(id="c9", title="new", project="Apollo")),
    "chat.rename": Case(lambda store: store.chat.rename("c1", "another title")),
    "chat.move": Case(lambda store: store.chat.move("c2", "Apollo")),
    "chat.archive": Case(lambda store: store.chat.archive("c1")),
    "chat.fork": Case(lambda store: store.chat.fork("c1", at="m4")),
    "chat.append": Case(lambda store: store.chat.append("c1", "user", "delta words")),
    "chat.append with an id": Case(lambda store: store.chat.append("c1", "user", "delta words", id="m9", metadata={"a": 1})),
    "chat.append_message": Case(lambda store: store.chat.append_message("c1", {"role": "tool", "content": "42", "tool_call_id": "t"})),
    "chat.append_many": Case(lambda store: store.chat.append_many("c1", [{"role": "user", "content": f"delta {n}"} for n in range(5)])),
    "chat.pop": Case(lambda store: store.chat.pop("c1")),
    "chat.clear": Case(lambda store: store.chat.clear("c1", actor="ann"), forgets="chat"),
    "chat.touch_session": Case(lambda store: store.chat.touch_session("s1", domain="go")),
    "chat.touch_session of a new one": Case(lambda store: store.chat.touch_session("s9")),
    "chat.create_project": Case(lambda store: store.chat.create_project("Gemini", id="p9")),
    "chat.update_project": Case(lambda store: store.chat.update_project("Apollo", name="Apollo 11", actor="ann")),
    "chat.alias": Case(lambda store: store.chat.alias("Apollo", "moon", "eagle")),
    "chat.activate": Case(lambda store: store.chat.activate("Apollo")),
    "chat.session add_items": Case(lambda store: asyncio.run(store.chat.session("c9").add_items([{"role": "user", "content": "hi"}] * 3))),
    "chat.session pop_item": Case(lambda store: asyncio.run(store.chat.session("c1").pop_item())),
    "chat.session clear_session": Case(lambda store: asyncio.run(store.chat.session("c1").clear_session()), forgets="chat"),
    "corrections.add": Case(lambda store: store.corrections.add("indent", "four spaces", rejected="tabs", id="k9")),
    "corrections.add again": Case(lambda store: store.corrections.add("rounding", "round half even", rejected="cut", confidence=1.0)),
    "corrections.update": Case(lambda store: store.corrections.update("k1", claim="round half up", rejected="floor", actor="ann")),
    "corrections.supersede": Case(lambda store: store.corrections.supersede("k1", by="k2", actor="ann")),
    "corrections.applied": Case(lambda store: store.corrections.applied("k1", conversation_id="c1")),
    "corrections.prune": Case(lambda store: store.corrections.prune(actor="ann"), forgets="corrections"),
    "corrections.import_dpo": Case(lambda store: store.corrections.import_dpo(pairs(store.path))),
    "backups.track": Case(lambda store: store.backups.track("c1", "coder", "more")),
    "backups.track of a new one": Case(lambda store: store.backups.track("c9", "tester", "more")),
    "backups.add_counter": Case(lambda store: store.backups.add_counter("c9", "tester", token_estimate=7)),
    "backups.save": Case(lambda store: store.backups.save("c1", "coder", "what was said since")),
    "backups.cover": Case(lambda store: store.backups.cover(lambda gap: "what was said", min_messages=0), changes=2),
    "knowledge.add_entity": Case(
        lambda store: store.knowledge.add_entity("Material", "elm wood", aliases=["elm"], project="moon", id="n9"), base="related"
    ),
    "knowledge.update": Case(lambda store: store.knowledge.update("n1", name="elm lamp", actor="ann"), base="related"),
    "knowledge.promote": Case(lambda store: store.knowledge.promote("n2", actor="ann"), base="related"),
    "knowledge.reject": Case(lambda store: store.knowledge.reject("n2", actor="ann"), base="related"),
    "knowledge.supersede": Case(lambda store: store.knowledge.supersede("n1", actor="ann"), base="related"),
    "knowledge.invalidate": Case(lambda store: store.knowledge.invalidate("n1", actor="ann"), base="related"),
    "knowledge.register_kind": Case(lambda store: store.knowledge.register_kind("lights", "structural"), base="related"),
    "knowledge.relate": Case(lambda store: store.knowledge.relate("n2", "contains", "n1", id="l9"), base="related"),
    "knowledge.retire_relationship": Case(lambda store: store.knowledge.retire_relationship("l1", actor="ann"), base="related"),
    "knowledge.observe": Case(lambda store: store.knowledge.observe("n1", "it is out", id="w9"), base="related"),
    "knowledge.retire_observation": Case(lambda store: store.knowledge.retire_observation("w1", actor="ann"), base="related"),
    "knowledge.mcp": Case(lambda store: store.knowledge.mcp("delete_entities", {"entityNames": ["Ann", "amber lamp"]}), base="related"),
    "knowledge.import_mcp": Case(lambda store: store.knowledge.import_mcp(beside(store.path, "memory.jsonl"), actor="ann"), base="related"),
    "store.prune of the past": Case(lambda store: store.prune(room="knowledge", keep_last=0, actor="ann"), base="related"),
    "knowledge.add_atom": Case(
        lambda store: store.knowledge.add_atom("claim", "elm", evidence=[{"chunk_id": "h2"}, {"chunk_id": "h3"}], id="t9"), base="learned"
    ),
    "knowledge.add_atom again": Case(
        lambda store: store.knowledge.add_atom("claim", "AMBER t1", evidence=[{"chunk_id": "h2"}], project="moon"), base="learned"
    ),
    "knowledge.add_evidence": Case(lambda store: store.knowledge.add_evidence("t3", chunk_id="h2"), base="learned"),
    "knowledge.add_claim": Case(lambda store: store.knowledge.add_claim("t2", "lamp", "is old"), base="learned"),
    "knowledge.link": Case(lambda store: store.knowledge.link("t1", "refines", "t2"), base="learned"),
    "knowledge.mention": Case(lambda store: store.knowledge.mention("n1", "t2"), base="learned"),
    "knowledge.update_atom": Case(lambda store: store.knowledge.update_atom("t1", title="elm", tags=["a"], actor="ann"), base="learned"),
    "knowledge.promote_atom": Case(lambda store: store.knowledge.promote_atom("t3", actor="ann"), base="learned"),
    "knowledge.reject_atom": Case(lambda store: store.knowledge.reject_atom("t3", actor="ann"), base="learned"),
    "knowledge.invalidate_atom": Case(lambda store: store.knowledge.invalidate_atom("t1", actor="ann"), base="learned"),
    "knowledge.supersede_atom": Case(lambda store: store.knowledge.supersede_atom("t1", by="t2", actor="ann"), base="learned"),
    "knowledge.merge_atoms": Case(lambda store: store.knowledge.merge_atoms(["t1"], "t2", actor="ann"), base="learned"),
    "knowledge.mark_stale": Case(lambda store: store.knowledge.mark_stale(chunk_id="h1", actor="ann"), base="learned"),
    "knowledge.add_artifact": Case(
        lambda store: store.knowledge.add_artifact("prd", "Elms", sections=[Section("one", atoms=["t1"])], id="w9"), base="learned"
    ),
    "knowledge.regenerate": Case(
        lambda store: store.knowledge.regenerate("w1", [*store.knowledge.sections("w1"), Section("three")], actor="ann"), base="learned"
    ),
    "knowledge.cite_insight": Case(lambda store: store.knowledge.cite_insight("i1", "t1"), base="learned"),
    "knowledge.set_knowledge_state": Case(lambda store: store.knowledge.set_knowledge_state("elms", "so", actor="ann"), base="learned"),
    "knowledge.set_knowledge_state again": Case(
        lambda store: store.knowledge.set_knowledge_state("moon", "so it is", open_questions=["why?"], actor="ann"), base="learned"
    ),
    "knowledge.record_delta": Case(lambda store: store.knowledge.record_delta("moon", "run 2", {"atoms": 1}), base="learned"),
    "knowledge joins a project": Case(lambda store: store.chat.alias("Apollo", "moon"), base="learned"),
    "store.prune of knowledge": Case(lambda store: store.prune(room="knowledge", keep_last=0, actor="ann"), base="learned"),
    "memories.add": Case(
        lambda store: store.memories.add("project", "fennel words", project="Apollo", id="b9", domain_tags=["a"]), base="reflective"
    ),
    "memories.update": Case(lambda store: store.memories.update("b1", content="elm words", actor="ann"), base="reflective"),
    "memories.promote": Case(lambda store: store.memories.promote("b3", actor="ann"), base="reflective"),
    "memories.reject": Case(lambda store: store.memories.reject("b3", actor="ann"), base="reflective"),
    "memories.supersede": Case(lambda store: store.memories.supersede("b1", by="b2", actor="ann"), base="reflective"),
    "memories.invalidate": Case(lambda store: store.memories.invalidate("b1", actor="ann"), base="reflective"),
    "memories.graduate": Case(lambda store: store.memories.graduate("b1", "entity-1", actor="ann"), base="reflective"),
    "memories.merge": Case(lambda store: store.memories.merge(["b1", "b2"], "amber and basalt", id="b9", actor="ann"), base="reflective"),
    "memories.set_state": Case(lambda store: store.memories.set_state("p1", "deadline", "1969", actor="ann"), base="reflective"),
    "memories.set_state again": Case(lambda store: store.memories.set_state("p1", "pilot", "Neil", actor="ann"), base="reflective"),
    "memories.add_state": Case(lambda store: store.memories.add_state("p1", "deadline", "1969", id="s9"), base="reflective"),
    "memories.clear_state": Case(lambda store: store.memories.clear_state("p1", "pilot", actor="ann"), base="reflective"),
    "memories join a project": Case(lambda store: store.chat.alias("Apollo", "moon"), base="reflective"),
    "memories.capture": Case(
        lambda store: store.memories.capture("how?", "like this", memories_used=["b1", "b9"], chunks_used=["x"], id="i9"), base="reflective"
    ),
    "memories.extract_candidates": Case(lambda store: store.memories.extract_candidates("i1", actor="ann"), base="reflective"),
    "memories.reinforce": Case(lambda store: store.memories.reinforce("amber words, said again and again", actor="bot"), base="reflective"),
    "memories.decay": Case(lambda store: store.memories.decay(), base="reflective"),
    "memories.expire": Case(lambda store: store.memories.expire(), base="reflective"),
    "conflicts.open": Case(
        lambda store: store.conflicts.open("colour", "of basalt", members=[("memory", "y0"), ("atom", "t0")]), base="contested"
    ),
    "conflicts.contradict": Case(lambda store: store.conflicts.contradict("y0", "y1", kind="memory"), base="contested"),
    "conflicts.assess": Case(lambda store: store.conflicts.assess("z1", "likely", reason_codes=["a"]), base="contested"),
    "conflicts.detect": Case(lambda store: detected(store), base="contested"),
    "conflicts.resolve": Case(
        lambda store: store.conflicts.resolve("z2", "supersede_others", winner="t1", actor="ann"), base="contested"
    ),
    "documents.add_text": Case(
        lambda store: store.documents.add_text("# Elm\n\nelm words\n\n# Oak\n\noak", uri="file:/e", project="p1", id="q9"), base="shelved"
    ),
    "documents.add_text in place of another": Case(lambda store: store.documents.add_text("elm lamp", uri="file:/a"), base="shelved"),
    "documents.add_text of what is there": Case(
        lambda store: store.documents.add_text("", uri="file:/d", title="elm"), base="shelved"
    ),
    "documents.add_text of what was hidden": Case(lambda store: store.documents.add_text("cedar hidden", uri="file:/b"), base="shelved"),
    "documents.add_files": Case(lambda store: store.documents.add_files(beside(store.path, "folder")), base="shelved"),
    "documents.set_chunks": Case(
        lambda store: store.documents.set_chunks("q3", ["delta 0", "elm", "delta 1"], actor="ann"), base="shelved"
    ),
    "documents.reembed": Case(
        lambda store: store.documents.reembed(lambda texts: [[1.0, float(len(text))] for text in texts], model="toy"),
        base="shelved", changes=2, resumes=True,
    ),
    "documents.update": Case(lambda store: store.documents.update("q1", title="elm", tags=["a"], actor="ann"), base="shelved"),
    "documents.rebuild": Case(lambda store: store.documents.rebuild(), base="shelved"),
    "documents.compact": Case(lambda store: store.documents.compact(), base="shelved"),
    "documents.remove": Case(lambda store: store.documents.remove("q1", actor="ann"), base="shelved"),
    "documents.annotate": Case(lambda store: store.documents.annotate("h0", "elm", start_char=0, end_char=5, id="j9"), base="shelved"),
    "documents.remove_annotation": Case(lambda store: store.documents.remove_annotation("j1", actor="ann"), base="shelved"),
    "documents.select": Case(
        lambda store: store.documents.select(["q1", "q3", "q-moon"], False, user_id="ann", actor="ann"), base="shelved"
    ),
    "documents.select nothing": Case(lambda store: store.documents.select(["q1", "q3"], None, user_id="ann", actor="ann"), base="shelved"),
    "documents join a project": Case(lambda store: store.chat.alias("Apollo", "moon"), base="shelved"),
    "store.prune of documents": Case(lambda store: store.prune(room="documents", keep_last=0, actor="ann"), base="shelved"),
    "store.erase of a document": Case(
        lambda store: store.erase(document_id="q1", actor="ann"), base="shelved", forgets="documents"
    ),
    "evals.record_run": Case(lambda store: store.evals.record_run("c1", "coder", vcg_winner=True)),
    "evals.record_assertion": Case(lambda store: store.evals.record_assertion("polite", "info", False)),
    "evals.promote": Case(lambda store: store.evals.promote("coder", "model-1", "model-2", actor="ann")),
    "evals.rollback": Case(lambda store: store.evals.rollback("coder", actor="ann")),
    "evals.record_promotion": Case(lambda store: store.evals.record_promotion("coder", "rollback", "model-1", None, reverts="o1")),
    "vectors.add": Case(lambda store: store.vectors.add([("v9", [1.0, 2.0]), ("v1", [2.0, 1.0])], model="toy", kind="note")),
    "vectors.allow": Case(lambda store: store.vectors.allow("toy", actor="ann")),
    "vectors.rebuild": Case(lambda store: store.vectors.rebuild(), changes=0),
    "vectors.reembed": Case(lambda store: embedded(store), changes=2, resumes=True),
    "vectors.remove": Case(lambda store: store.vectors.remove("v1", kind="note", actor="ann")),
    "audit.append": Case(lambda store: store.audit.append("query", actor="bob", project="Apollo", details={"tokens": 812})),
    "audit.append_many": Case(lambda store: store.audit.append_many([{"event_type": "query", "actor": "bob"}] * 4)),
    "audit.redact": Case(lambda store: store.audit.redact(5, reason="asked for", actor="ann"), forgets="audit"),
    "audit.prune": Case(lambda store: store.audit.prune(6, reason="age", actor="ann"), forgets="audit"),
    "audit.begin": Case(lambda path: open_store(path, clock=FakeClock(), audit_key="a key").close(), base="bare", opens=True, key="a key"),
    "keywords.add": Case(lambda store: store.keywords.add("n9", "delta note", kind="note")),
    "keywords.add in place of another": Case(lambda store: store.keywords.add("n1", "delta note", kind="note")),
    "keywords.add in place of a message": Case(lambda store: store.keywords.add("m1", "delta message")),
    "keywords.remove": Case(lambda store: store.keywords.remove("n1", kind="note", actor="ann")),
    "keywords.remove of a message": Case(lambda store: store.keywords.remove("m1", actor="ann")),
    "keywords.rebuild": Case(lambda store: store.keywords.rebuild(), changes=0),
    "keywords.compact": Case(lambda store: store.keywords.compact(), base="crowded", changes=0),
    "keywords.catch_up and merge": Case(lambda store: store.keywords.catch_up(), base="crowded", changes=0),
    "keywords.keep_up and merge": Case(lambda store: store.keywords.keep_up(), base="crowded", changes=0),
    "keywords.prepare a search of chat": Case(lambda store: store.keywords.prepare(), base="crowded", changes=0),
    "keywords.search that catches up": Case(lambda store: store.keywords.search("kelp"), base="crowded", changes=0),
    "keywords.complete that catches up": Case(lambda store: store.keywords.complete("kel"), base="crowded", changes=0),
    "store.transaction over all rooms": Case(lambda store: over_all_rooms(store), forgets="chat"),
    "store.transaction with a block rolled back": Case(lambda store: partly_undone(store)),
    "store.erase of a user": Case(
        lambda store: store.erase(user_id=SECRETS["everywhere"], actor="ann"), base="personal", forgets="everywhere"
    ),
    "store.erase of a conversation": Case(lambda store: store.erase(conversation_id="c1", actor="bob"), forgets="chat"),
    "store.erase of a message": Case(lambda store: store.erase(message_id="m3", actor="ann")),
    "store.erase of a memory": Case(lambda store: store.erase(memory_id="y0", actor="ann"), base="contested"),
    "store.erase of a project": Case(lambda store: store.erase(project="Apollo", actor="bob"), forgets="chat"),
    "store.erase of a project with beliefs": Case(lambda store: store.erase(project="Apollo", actor="bob"), base="reflective"),
    "store.prune of beliefs": Case(
        lambda store: store.prune(room="memories", keep_last=0, actor="ann"), base="reflective"
    ),
    "store.erase as a trial": Case(
        lambda store: store.erase(user_id=SECRETS["everywhere"], dry_run=True), base="personal", changes=0
    ),
    "store.optimize": Case(lambda store: store.optimize(), changes=0),
    "store.optimize with VACUUM": Case(lambda store: store.optimize(), base="airy", changes=0),
    "store.prune": Case(lambda store: store.prune(keep_last=1, actor="ann"), forgets="chat"),
    "store.prune of all it may": Case(lambda store: store.prune(max_bytes=0), base="airy", forgets="chat"),
    "store.prune as a trial": Case(lambda store: store.prune(max_bytes=0, dry_run=True), base="airy", changes=0),
    "store.snapshot": Case(lambda store: store.snapshot(beside(store.path, "snapshot.db")), changes=0),
    "store.snapshot over an earlier one": Case(lambda store: snapshot_twice(store), changes=1),
    "store.export": Case(lambda store: store.export(beside(store.path, "export")), changes=0),
    "store.import_ into an empty store": Case(lambda store: store.import_(beside(store.path, "out")), base="emptied"),
    "store.import_ of another store": Case(lambda store: store.import_(beside(store.path, "out"), actor="ann"), base="visited"),
    "store.import_ that replaces": Case(
        lambda store: store.import_(beside(store.path, "later"), on_conflict="replace"), base="visited"
    ),
    "store.import_ of what is there": Case(
        lambda store: [store.import_(beside(store.path, "later"), on_conflict="skip") for _ in range(2)], base="visited"
    ),
    "store.close": Case(lambda path: open_store(path, clock=FakeClock()).close(), changes=0, opens=True),
    "store.close with a long log": Case(lambda path: written_and_closed(path), opens=True),
    "import_aua": Case(lambda store: import_aua(store, beside(store.path, "aua.db")), base="foreign"),
    "import_aua as a trial": Case(lambda store: import_aua(store, beside(store.path, "aua.db"), dry_run=True), base="foreign", changes=0),
    "import_from openai-sessions": Case(
        lambda store: import_from(store, "openai-sessions", beside(store.path, "sessions.db")), base="foreign"
    ),
    "import_from llm": Case(lambda store: import_from(store, "llm", beside(store.path, "logs.db")), base="foreign"),
    "import_from chat": Case(lambda store: import_from(store, "chat", beside(store.path, "talk.jsonl")), base="foreign"),
    "a checkpoint in the middle of work": Case(lambda store: checkpointed(store), changes=2),
    "first open of a fresh file": Case(lambda path: open_store(path, clock=FakeClock()).close(), base="nothing", changes=0, opens=True),
    "open with a log to be emptied": Case(
        lambda path: open_store(path, clock=FakeClock()).close(), base="owing", changes=0, forgets="chat", opens=True
    ),
    "open with a file to be written anew": Case(
        lambda path: open_store(path, clock=FakeClock()).close(), base="indebted", changes=0, forgets="everywhere", opens=True
    ),
    "migration in batches": Case(lambda path: grow_older(path), base="stepped", changes=4, opens=True, resumes=True),
    **{f"first use of {room}": Case(lambda store, room=room: FIRST[room](store), base="bare") for room in ROOMS},
    **{f"migration of {room}": Case(lambda store, room=room: touch(store, room), base=f"old {room}", shows=whole) for room in ROOMS},
}
#: Calls that are killed in the middle of their writes too.
CUT = ("chat.append_many", "audit.redact", "store.erase of a user", "store.snapshot", "store.optimize with VACUUM",
       "a checkpoint in the middle of work", "first open of a fresh file", "migration of chat")  # fmt: skip
TOLD = [{"member_kind": "memory", "member_id": f"y{number}", "value_snapshot": "amber"} for number in range(2)]
FIRST = {
    "chat": lambda store: store.chat.create_conversation(id="c1"),
    "corrections": lambda store: store.corrections.add("naming", "snake case", id="k1"),
    "backups": lambda store: store.backups.track("c1", "coder"),
    "memories": lambda store: store.memories.add("knowledge", "amber", id="b1"),
    "documents": lambda store: store.documents.add_text("amber words", id="q1"),
    "knowledge": lambda store: store.knowledge.add_atom("claim", "amber", id="t1"),
    "audit": lambda store: store.audit.append("query"),
    "conflicts": lambda store: store.conflicts.open("colour", "of amber", members=TOLD, status="dismissed"),
    "vectors": lambda store: store.vectors.add([("v1", [1.0, 2.0])], model="toy"),
    "evals": lambda store: store.evals.record_run("c1", "coder"),
    "keywords": lambda store: store.keywords.add("n1", "amber", kind="note"),
}


def grow_older(path):
    """Bring a file's only room to a schema with a column more, and fill it two rows at a time."""
    with harness.opened(path) as database:
        harness.room(database, harness.NEW, 2, [harness.ageing()[0]]).value("SELECT count(*) FROM children")


def touch(store, room):
    getattr(store, room).db.value("SELECT 1")


def pairs(path):
    source = beside(path, "pairs.jsonl")
    with open(source, "w") as out:
        out.write('{"prompt": "tabs?", "chosen": "four spaces", "rejected": "tabs"}\n{"prompt": "x?", "chosen": "y", "rejected": "z"}\n')
    return source


def beside(path, name):
    return os.path.join(os.path.dirname(path), name)


def snapshot_twice(store):
    store.snapshot(beside(store.path, "snapshot.db"))
    store.chat.append("c1", "user", "said between two snapshots")
    store.snapshot(beside(store.path, "snapshot.db"))


def over_all_rooms(store):
    with store.transaction():
        store.chat.append("c2", "user", "delta words")
        store.corrections.update("k1", claim="round half up", actor="ann")
        with store.transaction():
            store.evals.promote("coder", "model-1", "model-2", actor="ann")
            store.backups.save("c1", "coder", "what was said since")
            store.keywords.add("n9", "delta note", kind="note")
        store.chat.clear("c1", actor="ann")
        store.audit.append("query", actor="bob")


def partly_undone(store):
    with store.transaction():
        store.chat.append("c1", "user", "delta words")
        with contextlib.suppress(KeyError), store.transaction():
            store.corrections.supersede("k1", actor="ann")
            store.keywords.remove("n1", kind="note")
            raise KeyError
        store.corrections.applied("k2")


def written_and_closed(path):
    paths.LOG_KEPT = 1
    with open_store(path, clock=FakeClock()) as store:
        store.chat.append("c1", "user", "delta words")


def checkpointed(store):
    paths.LOG_KEPT, wal.LOOK_EVERY = 1, 1
    store.chat.append("c1", "user", "delta words")
    store.chat.append("c1", "user", "ember words")


def acting(case):
    """What the child does: make the call, its steps counted."""

    def act(path, count):
        memstore.keywords.BATCH = 8
        if case.opens:
            with count():
                case.call(path)
            return
        with open_store(path, clock=FakeClock()) as store:
            for room in rooms_in_file(store._database) if not case.base.startswith("old") else ():
                touch(store, room)
            with count():
                case.call(store)

    return act


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
