"""How a sound call is written down, what all calls find in a store, and where what they wrote is read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from memstore import HandoffNote, Store
from memstore.knowledge import Section


class Call(NamedTuple):
    """A sound call of a method that takes arguments, and where what it was given can be read back."""

    args: dict[str, Any] = {}
    back: Callable[[Store, Any], Any] | None = None  # from the answer to what is kept; without it the method only reads
    elsewhere: Mapping[str, Callable[[Store, Any], Any]] = {}  # arguments that are kept under another name
    unkept: tuple[str, ...] = ()  # arguments that choose or steer and are kept nowhere
    inside: Mapping[str, tuple[Callable[[Any], Any], ...]] = {}  # what else to make of a value before it is passed
    alone: bool = False  # it cannot be tried inside a transaction


# -- what the calls find, and where what they wrote is read back --------------------------------------------------------


def furnish(store):
    """One thing of each kind, by ids that the calls use."""
    store.chat.create_project("Invoices", id="p-1")
    store.chat.create_conversation(id="c-1", title="first", project="p-1")
    store.chat.append("c-1", "user", "the rounding is off", id="m-1")
    store.chat.append("c-1", "assistant", "it truncates", id="m-2")
    store.chat.create_conversation(id="sdk")
    store.chat.touch_session("s-1")
    store.corrections.add("rounding", "round half up", rejected="truncate", id="k-1")
    store.corrections.add("language", "answer in English", id="k-2")
    store.backups.track("c-1", "coder", "some text")
    store.backups.save("c-1", "coder", HandoffNote(goal="mend it"), id="b-1")
    store.evals.promote("coder", None, "model-1", id="e-1")
    store.evals.record_run("c-1", "coder", id="r-1")
    store.keywords.add("n-1", "invoices are rounded", kind="note")
    store.audit.append("query", id="a-1", details={"tokens": 1})
    store.memories.capture("how is it rounded?", "Decision: round half up", project="p-1", id="i-1", memories_used=["b-9"])
    store.memories.add("knowledge", "invoices are rounded half up", id="mem-1", created_at=1.0)
    store.memories.add("knowledge", "invoices may be rounded", id="mem-2", status="candidate", created_at=1.0)
    store.memories.add("knowledge", "bills are in euros", id="mem-3", created_at=1.0)
    store.memories.set_state("p-1", "currency", "euro")
    furnish_documents(store.documents)
    store.vectors.add([("v-1", [3.0, 4.0]), ("v-2", [0.0, 1.0])], model="toy")
    furnish_graph(store.knowledge)
    furnish_ledger(store.knowledge)
    furnish_conflicts(store)


def furnish_documents(documents):
    documents.add_text("# Rounding\n\nInvoices are rounded half up.", uri="file:/rounding.md", id="doc-1", created_at=1.0)
    documents.add_text("", uri="file:/pieces.md", id="doc-2", created_at=1.0)
    documents.set_chunks("doc-2", [{"content": "a piece of text", "id": "piece-1"}])
    documents.annotate("piece-1", "secret", id="mark-1", created_at=1.0)


def embedded(texts):
    """A vector for each text."""
    return [[float(len(text)), 1.0] for text in texts]


#: Ways to put a value among the vectors of some items.
VECTORS_WITH = (lambda value: [("v-9", value)], lambda value: [("v-9", [value, 1.0])], lambda value: [("v-9", [1.0, 2.0], value)])


def furnish_graph(knowledge):
    knowledge.add_entity("Component", "mirror", id="part-1", created_at=1.0)
    knowledge.add_entity("Component", "cell", id="part-2", created_at=1.0)
    knowledge.add_entity("Component", "truss", id="part-3", status="candidate", created_at=1.0)
    knowledge.relate("part-1", "interfaces_with", "part-2", id="edge-1", created_at=1.0)
    knowledge.observe("part-1", "is flat", id="note-1", created_at=1.0)


def furnish_ledger(knowledge):
    proof = {"chunk_id": "chunk-1", "snippet": "so flat", "id": "proof-1"}
    knowledge.add_atom("claim", "the mirror is flat", id="atom-1", evidence=[proof], verification_status="verified", created_at=1.0)
    knowledge.add_atom("claim", "the mirror is curved", id="atom-2", status="candidate", created_at=1.0)
    knowledge.add_atom("decision", "polish the mirror", id="atom-3", created_at=1.0)
    knowledge.merge_atoms(["atom-1"], operation="obsolete", review_status="pending", id="merge-1")
    knowledge.add_artifact("prd", "Telescope", sections=[SECTION], id="work-1", created_at=1.0)
    knowledge.set_knowledge_state("p-1", "all is well")
    knowledge.record_delta("p-1", "run-1", {"atoms": 3}, id="delta-1")


SECTION = Section("intro", "Introduction", "It is flat.", ["atom-1"], ["conflict-1"])


def in_section(value):
    """A section with the value in each of its places."""
    return [SECTION._replace(**{name: value}) for name in SECTION._fields]


SECTIONS_WITH = tuple(lambda value, place=place: [in_section(value)[place]] for place in range(len(SECTION)))
#: Ways to put a value among the arguments of a piece of evidence.
PROOF_WITH = tuple(
    lambda value, name=name: [{"chunk_id": "chunk-9", "anchor_start": 1, name: value}]
    for name in ("id", "source_id", "chunk_id", "chunk_hash", "anchor_type", "anchor_start", "anchor_end", "snippet", "confidence",
                 "run_id", "metadata", "created_at", "what")
)  # fmt: skip


def furnish_conflicts(store):
    for number, half in enumerate(("down", "even"), 8):
        store.memories.add("preference", f"round half {half}", id=f"mem-{number}", created_at=1.0)
        store.knowledge.add_atom("claim", f"halves go {half}", id=f"atom-{number}")
    store.conflicts.open("rounding", "of halves", members=SIDES, id="x-1")


SIDES = [("memory", "mem-8"), ("memory", "mem-9")]


def itself(store, found):
    return found


def field(name):
    return lambda store, found: getattr(found, name)


def last(table):
    return lambda store, _: SimpleNamespace(**store.query(f"SELECT * FROM {table} ORDER BY pk DESC LIMIT 1")[0])


def event(name):
    return lambda store, _: getattr(store.audit.find(limit=1)[0], name)


AUDITED = {"actor": event("actor"), "note": event("note")}
MESSAGE = {"role": "user", "content": "hello"}
PERSON = {"name": "Ann", "entityType": "person", "observations": ["likes tea"]}


def in_message(value):
    """A message with the value in each of its places."""
    return (
        {**MESSAGE, "content": value},
        {**MESSAGE, "role": value},
        {**MESSAGE, "name": value},
        {**MESSAGE, "more": value},
        {**MESSAGE, "tool_calls": value},
        {**MESSAGE, "tool_call_id": value},
        {"type": value},
        {"a": {"b": [value]}},
    )


MESSAGES_WITH = tuple(lambda value, place=place: in_message(value)[place] for place in range(8))
EVENTS_WITH = tuple(
    lambda value, name=name: [{"event_type": "query", "note": "before"}, {"event_type": "query", name: value}]
    for name in ("event_type", "actor", "entity_id", "details", "before", "note", "id", "project", "u_score")
)


MCP_WITH = (
    lambda value: {"entities": value},
    lambda value: {"entities": [value]},
    *(lambda value, name=name: {"entities": [{**PERSON, name: value}]} for name in PERSON),
)


#: Ways to put a value among the columns of a chunk that is given by hand.
CHUNKS_WITH = tuple(
    lambda value, name=name: [{"content": "a piece", name: value}]
    for name in ("id", "content", "heading_path", "start_char", "end_char", "anchor_type", "anchor_start", "anchor_end", "token_count",
                 "sanitized_hash", "metadata", "created_at", "what")
)  # fmt: skip
MEMBER = ("id", "member_kind", "member_id", "member_layer_trust", "value_snapshot", "claim_kind", "claim_id")


def sides_with(name):
    """Members of a conflict as an import gives them, one column of the second another."""
    other = {"id": "row-9", "member_kind": "memory", "member_id": "mem-9", "member_layer_trust": 7, "value_snapshot": "round half even",
             "claim_kind": "atom", "claim_id": "atom-8"}  # fmt: skip
    return lambda value: [SIDES[0], {**other, name: value}]


def sides_of(conflict):
    """The members of a conflict as `sides_with` gives them."""
    first, second = conflict.members
    return [[first.member_kind, first.member_id], {name: getattr(second, name) for name in MEMBER}]


SIDES_WITH = tuple(map(sides_with, MEMBER))


def one(value):
    return [value]


def keyed(value):
    return {"a": value}


def answering(value):
    return lambda *_: value
