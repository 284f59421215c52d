"""Calls that write: what is called on which file, and how often that changes what the file shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernel import harness

import memstore.keywords
from memstore import open_store
from memstore.imports import import_aua, import_from
from memstore.kernel import files as paths
from memstore.kernel import wal
from memstore.kernel.room import rooms_in_file
from memstore.knowledge import Section
from memstore.store import ROOMS
from memstore.testing import FakeClock

from .bases import SECRETS

#: Tables that hold no user's word and no user's count: what they hold may change alone.
BEHIND = {"meta", "maintenance", "schema_version", "schema_steps", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4",
          "keyword_state", "keyword_segments"}  # fmt: skip


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


def detected(store):
    """Ask a rule that nobody had when what clashes was added."""
    store.conflicts.rule("shade", lambda memory: ("shade", memory.content), kinds=["memory"])
    store.conflicts.detect()


def embedded(store):
    """Make the vectors of messages anew, each in a transaction of its own."""
    store.vectors.reembed(lambda texts: [[float(len(text)), 2.0] for text in texts], model="new", kind="message", batch=1)


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
