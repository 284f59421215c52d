"""A sound call of every public method that takes arguments, and where what it was given is read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from memstore import HandoffNote, Store
from memstore.knowledge import Section
from memstore.store import ROOMS


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
    """One thing of each kind, by ids that the calls below use."""
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


# -- how each method is called ------------------------------------------------------------------------------------------

CALLS: dict[str, tuple[Call, ...]] = {
    "store.query": (
        Call({"sql": "SELECT ? AS a", "params": (1,)}, inside={"params": (one, keyed)}),
        Call({"sql": "SELECT :a AS a", "params": {"a": 1}}, inside={"params": (keyed,)}),
    ),
    "store.check": (Call(),),
    "store.context": (
        Call({"query": "rounded?", "project": "p-1", "conversation_id": "c-1", "specialist": "coder"}, inside={"count": (answering,)}),
    ),
    "store.rekey": (Call({"new_codec": None}, alone=True),),
    "store.snapshot": (Call({"path": "copy.db"}, alone=True),),
    "store.erase": tuple(
        Call(
            subject,
            itself,
            {"actor": event("actor"), "reason": event("note")},
            unkept=("conversation_id", "user_id", "project", "message_id", "memory_id", "document_id", "dry_run"),
        )
        for subject in (
            {"conversation_id": "c-1"}, {"user_id": "local"}, {"project": "p-1"}, {"message_id": "m-1"}, {"memory_id": "mem-1"},
            {"document_id": "doc-1"},
        )
    ),
    "store.prune": (Call({"max_age": 1e9, "dry_run": True}, alone=True),),
    "store.export": (Call({"path": "out"}, alone=True),),
    "store.import_": (Call({"path": "exported", "on_conflict": "skip"}, alone=True),),
    "store.run": (Call({"function": len, "args": "a"}, alone=True),),
    # -- chat
    "chat.activate": (Call({"project": "p-1"}, itself, unkept=("project", "user_id")),),
    "chat.active_project": (Call(),),
    "chat.alias": (
        Call(
            {"project": "p-1", "names": "bills"},
            unkept=("project", "user_id"),
            back=itself,
            elsewhere={"names": lambda store, found: next(iter(set(store.chat.get_project("p-1").aliases)), "Invoices")},
        ),
    ),
    "chat.append": (
        Call(
            {"conversation_id": "c-1", "role": "user", "content": "hello"},
            lambda store, found: store.chat.get_message(found.id),
            inside={
                "models_used": (one,),
                "tool_calls": (one,),
                "metadata": (keyed, lambda value: {"a": [{"b": value}]}),
                "content": (one, lambda value: [{"type": "text", "text": value}]),
            },
            elsewhere={"content": lambda store, found: store.chat.get_message(found.id).to_openai()["content"]},
        ),
        Call(
            {"conversation_id": "c-1", "role": "assistant", "content": "hello"},
            itself,
            elsewhere={"content": lambda store, found: found.to_openai()["content"]},
        ),
    ),
    "chat.append_message": (
        Call(
            {"conversation_id": "c-1", "message": MESSAGE},
            lambda store, found: store.chat.get_message(found.id),
            elsewhere={"message": lambda store, found: store.chat.get_message(found.id).to_openai()},
            inside={"message": MESSAGES_WITH},
        ),
    ),
    "chat.append_many": (
        Call(
            {"conversation_id": "c-1", "messages": [MESSAGE]},
            lambda store, found: store.chat.get_conversation("c-1"),
            elsewhere={
                "conversation_id": lambda store, found: found[0].conversation_id,
                "messages": lambda store, found: [store.chat.get_message(item.id).to_openai() for item in found],
            },
            inside={"messages": (one, lambda value: [MESSAGE, value])},
        ),
    ),
    "chat.archive": (
        Call(
            {"conversation_id": "c-1"},
            lambda store, found: store.chat.get_conversation(found.id),
            elsewhere={
                "archived": lambda store, found: store.chat.get_conversation(found.id).archived_at is not None,
                "conversation_id": field("id"),
            },
        ),
    ),
    "chat.canonical": (Call({"project": "p-1"}),),
    "chat.clear": (Call({"conversation_id": "c-1"}, itself, elsewhere={**AUDITED, "conversation_id": event("conversation_id")}),),
    "chat.conversations": (Call(),),
    "chat.create_conversation": (
        Call(
            {},
            lambda store, found: store.chat.get_conversation(found.id),
            unkept=("exist_ok",),
            elsewhere={"project": field("project_id")},
            inside={"metadata": (keyed,)},
        ),
    ),
    "chat.create_project": (
        Call({"name": "another"}, lambda store, found: store.chat.get_project(found.id, user_id=found.user_id), unkept=("exist_ok",)),
    ),
    "chat.export_sft": (Call({"path": "rows.jsonl"}),),
    "chat.fork": (
        Call(
            {"conversation_id": "c-1", "at": "m-1"},
            lambda store, found: store.chat.get_conversation(found.id),
            elsewhere={"conversation_id": field("forked_from"), "at": field("forked_at")},
        ),
    ),
    "chat.get_conversation": (Call({"conversation_id": "c-1"}),),
    "chat.get_message": (Call({"id": "m-1"}),),
    "chat.get_project": (Call({"project": "p-1"}),),
    "chat.get_session": (Call({"session_id": "s-1"}),),
    "chat.messages": (Call({"conversation_id": "c-1"}),),
    "chat.move": (
        Call(
            {"conversation_id": "c-1", "project": None},
            lambda store, found: store.chat.get_conversation(found.id),
            elsewhere={"project": field("project_id"), "conversation_id": field("id")},
        ),
    ),
    "chat.pop": (Call({"conversation_id": "c-1"}, itself),),
    "chat.position": (Call({"conversation_id": "c-1"}),),
    "chat.projects": (Call(),),
    "chat.rename": (
        Call(
            {"conversation_id": "c-1", "title": "a"},
            lambda store, found: store.chat.get_conversation(found.id),
            elsewhere={"conversation_id": field("id")},
        ),
    ),
    "chat.search": (Call({"query": "rounding"}),),
    "chat.session": (Call({"session_id": "s-1"}),),
    "chat.sessions": (Call(),),
    "chat.touch_session": (
        Call({"session_id": "s-2"}, lambda store, found: store.chat.get_session(found.id), elsewhere={"session_id": field("id")}),
        Call({"session_id": "s-1"}, itself, unkept=("session_id", "user_id", "created_at", "query_count")),
    ),
    "chat.update_project": (
        Call(
            {"project": "p-1"},
            lambda store, found: store.chat.get_project(found.id),
            AUDITED,
            unkept=("project", "user_id", "expected_version"),
        ),
    ),
    "chat.window": (Call({"conversation_id": "c-1", "max_tokens": 500}, inside={"count": (answering,)}),),
    # -- the Agents SDK's session
    "session.add_items": (
        Call(
            {"items": [MESSAGE]},
            itself,
            inside={"items": (one, lambda value: [{"a": value}])},
            elsewhere={"items": lambda store, _: [item.to_openai() for item in store.chat.messages("sdk")]},
        ),
    ),
    "session.get_items": (Call(),),
    # -- keywords
    "keywords.add": (Call({"item_id": "n-2", "text": "some words"}, last("keyword_items")),),
    "keywords.complete": (Call({"prefix": "ro"}),),
    "keywords.keywords": (Call({"item_id": "n-1", "kind": "note"}),),
    "keywords.rebuild": (Call({}, itself, unkept=("progress",)),),
    "keywords.remove": (
        Call(
            {"item_id": "n-1", "kind": "note"},
            itself,
            {**AUDITED, "item_id": event("entity_id"), "kind": lambda store, _: store.audit.find(limit=1)[0].before["kind"]},
        ),
    ),
    "keywords.search": (Call({"query": "invoices"}),),
    # -- vectors
    "vectors.add": (
        Call(
            {"items": [("v-9", [1.0, 2.0])], "model": "toy", "kind": "note"},
            last("vectors"),
            inside={"items": (one, lambda value: [(value, [1.0, 2.0])], *VECTORS_WITH)},
            unkept=("items",),
        ),
    ),
    "vectors.allow": (Call({"model": "toy"}, itself, {**AUDITED, "model": event("entity_id")}),),
    "vectors.count": (Call(),),
    "vectors.get": (Call({"id": "v-1"}),),
    "vectors.lacking": (Call({"ids": ["v-1"], "model": "toy"}, inside={"ids": (one,)}),),
    "vectors.nearest": (
        Call({"vector": [1.0, 2.0], "model": "toy"}, inside={"vector": (lambda value: [value, 1.0],), "only": (one,)}),
    ),
    "vectors.permits": (Call({"model": "toy"}),),
    "vectors.reembed": (
        Call(
            {"fn": embedded, "model": "new", "kind": "message"},
            itself,
            unkept=("fn", "model", "kind", "batch"),
            inside={"fn": (answering,)},
        ),
    ),
    "vectors.remove": (
        Call({"id": "v-1"}, itself, AUDITED, unkept=("id", "kind")),
    ),
    # -- corrections
    "corrections.add": (
        Call(
            {"subject": "tests", "claim": "write them first"},
            lambda store, found: store.corrections.get(found.id),
            unkept=("override",),
            inside={"metadata": (keyed,)},
        ),
        Call({"subject": "tests", "claim": "write them first", "superseded_at": 1.0}, itself, unkept=("override",)),
        Call(
            {"subject": "language", "claim": "answer in English"},
            itself,
            unkept=("override", "id", "created_at", "superseded_at", "superseded_by", "user_id", "confidence"),
        ),
    ),
    "corrections.applications": (Call({"id": "k-1"}),),
    "corrections.applied": (Call({"id": "k-1"}, lambda store, found: store.corrections.applications("k-1")[0], {"id": field("id")}),),
    "corrections.count": (Call(),),
    "corrections.export_dpo": (Call({"path": "rows.jsonl"}),),
    "corrections.find": (Call(),),
    "corrections.get": (Call({"id": "k-1"}),),
    "corrections.import_dpo": (Call({"path": "pairs.jsonl"}, itself, AUDITED, unkept=("path", "skip_invalid")),),
    "corrections.prompt": (Call({"text": "rounding"}),),
    "corrections.prune": (Call({"below": 1.0}, itself, {"actor": event("actor"), "reason": event("note")}, unkept=("below", "dry_run")),),
    "corrections.rejections": (Call({"id": "k-1"}),),
    "corrections.relevant": (Call({"text": "rounding"}),),
    "corrections.supersede": (
        Call({"id": "k-1"}, itself, {"actor": event("actor"), "reason": event("note"), "by": field("superseded_by")}),
    ),
    "corrections.update": (
        Call(
            {"id": "k-1", "why": "it was said"},
            lambda store, found: store.corrections.get(found.id),
            AUDITED,
            unkept=("override", "expected_version"),
        ),
    ),
    # -- backups
    "backups.add_counter": (
        Call(
            {"conversation_id": "c-9", "specialist": "coder"},
            lambda store, found: store.backups.counter(found.conversation_id, found.specialist),
        ),
    ),
    "backups.counter": (Call({"conversation_id": "c-1", "specialist": "coder"}),),
    "backups.cover": (
        Call(
            {}, lambda store, found: found[0] if found else None, unkept=("min_messages", "write_note"), inside={"write_note": (answering,)}
        ),
    ),
    "backups.coverage": (Call(),),
    "backups.due": (Call({"conversation_id": "c-1", "specialist": "coder", "window": 100}),),
    "backups.find": (Call(),),
    "backups.get": (Call({"id": "b-1"}),),
    "backups.is_valid": (Call({"conversation_id": "c-1", "specialist": "coder"}),),
    "backups.latest": (Call({"conversation_id": "c-1"}),),
    "backups.position": (Call({"conversation_id": "c-1"}),),
    "backups.resume": (Call({"conversation_id": "c-1", "specialist": "coder", "max_tokens": 500}, inside={"count": (answering,)}),),
    "backups.save": (
        Call(
            {"conversation_id": "c-1", "specialist": "coder", "note": "where we are"},
            lambda store, found: store.backups.get(found.id),
            {"note": lambda store, found: store.backups.get(found.id).backup_text},
        ),
    ),
    "backups.track": (
        Call(
            {"conversation_id": "c-8", "specialist": "coder"},
            lambda store, found: store.backups.counter(found.conversation_id, found.specialist),
            {"tokens": field("token_estimate")},
            unkept=("text",),
        ),
        Call({"conversation_id": "c-1", "specialist": "coder"}, itself, unkept=("tokens", "text")),
    ),
    # -- audit
    "audit.append": (
        Call(
            {"event_type": "query"},
            lambda store, found: store.audit.get(found.seq),
            inside=dict.fromkeys(("before", "after", "details"), (keyed, one)),
        ),
    ),
    "audit.append_many": (Call({"events": [{"event_type": "query"}]}, itself, unkept=("events",), inside={"events": (one, *EVENTS_WITH)}),),
    "audit.find": (Call(),),
    "audit.get": (Call({"seq": 1}),),
    "audit.history": (Call({"entity_kind": "project", "entity_id": "p-1"}),),
    "audit.prune": (
        Call({"before_seq": 2, "reason": "old"}, itself, {"actor": event("actor"), "reason": event("note")}, unkept=("before_seq",)),
    ),
    "audit.redact": (
        Call(
            {"seq": 1, "reason": "asked for"},
            lambda store, found: store.audit.get(found.seq),
            {"reason": event("note"), "seq": lambda store, found: found.redacts[0]},
        ),
    ),
    "audit.verify": (Call(inside={"anchors": (one,)}),),
    # -- memories
    "memories.add": (
        Call(
            {"memory_type": "knowledge", "content": "tests come first"},
            lambda store, found: store.memories.get(found.id),
            unkept=("override", "domain_tags", "valid_until"),
            inside={"domain_tags": (one,), "metadata": (keyed,)},
        ),
        *(
            Call(
                {"memory_type": "knowledge", "content": "tests come first", "status": status},
                itself,
                unkept=("override", "domain_tags", "valid_until"),
            )
            for status in ("superseded", "invalid", "graduated")
        ),
    ),
    "memories.add_state": (
        Call(
            {"project": "p-1", "key": "deadline", "value": "in May"},
            lambda store, found: store.memories.get_state(found.id),
            {"project": field("project_id")},
            unkept=("user_id",),
        ),
    ),
    "memories.clear_state": (Call({"project": "p-1", "key": "currency"}, itself, AUDITED, unkept=("project", "key", "user_id")),),
    "memories.count": (Call(),),
    "memories.find": (Call(),),
    "memories.get": (Call({"id": "mem-1"}),),
    "memories.get_state": (Call({"id": "s-1"}),),
    "memories.graduate": (
        Call(
            {"id": "mem-1", "entity_id": "an entity"},
            itself,
            {**AUDITED, "id": event("entity_id"), "entity_id": lambda store, _: store.memories.get("mem-1").graduated_to_entity_id},
        ),
    ),
    "memories.history": (Call({"id": "mem-1"}),),
    "memories.invalidate": (Call({"id": "mem-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "memories.merge": (
        Call(
            {"ids": ["mem-1", "mem-3"], "content": "bills are rounded"},
            lambda store, found: store.memories.get(found.id),
            AUDITED,
            unkept=("override", "ids"),
            inside={"ids": (one, lambda value: ["mem-1", value]), "metadata": (keyed,)},
        ),
    ),
    "memories.promote": (Call({"id": "mem-2"}, itself, {**AUDITED, "id": event("entity_id")}, unkept=("override",)),),
    "memories.reject": (Call({"id": "mem-2"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "memories.recall": (Call({"query": "rounded bills", "memory_types": ["knowledge"]}, inside={"memory_types": (one,)}),),
    "memories.search": (Call({"query": "rounded bills"}),),
    "memories.set_state": (
        Call(
            {"project": "p-1", "key": "currency", "value": "franc"},
            lambda store, found: store.memories.get_state(found.id),
            {**AUDITED, "project": field("project_id")},
            unkept=("expected_version", "user_id"),
        ),
    ),
    "memories.state": (Call({"project": "p-1"}),),
    "memories.state_history": (Call({"project": "p-1", "key": "currency"}),),
    "memories.states": (Call(),),
    "memories.supersede": (
        Call(
            {"id": "mem-1"},
            itself,
            {**AUDITED, "id": event("entity_id"), "by": lambda store, _: store.memories.get("mem-1").superseded_by},
        ),
    ),
    "memories.update": (
        Call(
            {"id": "mem-1", "confidence": 0.5},
            lambda store, found: store.memories.get(found.id),
            AUDITED,
            unkept=("override", "expected_version", "domain_tags", "valid_until"),
            inside={"domain_tags": (one,), "metadata": (keyed,)},
        ),
    ),
    # -- memories: what follows from interactions
    "memories.capture": (
        Call(
            {"prompt": "how?"},
            lambda store, found: store.memories.get_interaction(found.id),
            {"context": field("context_pack"), "project": lambda store, found: store.memories.get_interaction(found.id).project},
            inside={
                "memories_used": (one,),
                "chunks_used": (one,),
                "metadata": (keyed,),
                "context": (keyed, lambda value: {"pieces": value}, lambda value: {"pieces": [{"kind": value, "id": "x"}]},
                            lambda value: {"pieces": [{"kind": "memory", "id": value, "version": 1}]},
                            lambda value: {"pieces": [{"kind": "memory", "id": "x", "version": value}]}),
            },
        ),
    ),
    "memories.decay": (Call({}, itself, AUDITED, unkept=("now",)),),
    "memories.expire": (Call({}, itself, AUDITED, unkept=("now", "idle_days")),),
    "memories.explain": (Call({"interaction_id": "i-1"}),),
    "memories.extract_candidates": (Call({"interaction_id": "i-1"}, itself, {**AUDITED, "interaction_id": event("entity_id")}),),
    "memories.get_interaction": (Call({"id": "i-1"}),),
    "memories.interactions": (Call(),),
    "memories.reinforce": (Call({"text": "invoices are rounded half up"}, itself, AUDITED, unkept=("text", "project", "user_id")),),
    # -- knowledge: the graph
    "knowledge.add_entity": (
        Call(
            {"type": "Material", "name": "Zerodur"},
            lambda store, found: store.knowledge.get(found.id),
            {"project": field("project_id"), "name": field("name")},
            unkept=("valid_until",),
            inside={"aliases": (one,), "source_refs": (one,), **dict.fromkeys(("external_ids", "properties", "metadata"), (keyed,))},
        ),
        Call(
            {"type": "Material", "name": "steel", "status": "superseded"}, itself, {"project": field("project_id")}, unkept=("valid_until",)
        ),
    ),
    "knowledge.as_of": (Call(),),
    "knowledge.count": (Call(),),
    "knowledge.entities": (Call(),),
    "knowledge.evidence_chain": (Call({"id": "part-1"}),),
    "knowledge.export_mcp": (Call({"path": "memory.json"}),),
    "knowledge.find_entity": (Call({"name": "mirror"}),),
    "knowledge.get": (Call({"id": "part-1"}),),
    "knowledge.mentioned": (Call({"text": "which mirror?"}),),
    "knowledge.get_relationship": (Call({"id": "edge-1"}),),
    "knowledge.grounds": (Call({"id": "part-1"}),),
    "knowledge.history": (Call({"id": "part-1"}),),
    "knowledge.impact": (Call({"id": "part-1"}),),
    "knowledge.import_mcp": (Call({"path": "mcp.jsonl"}, itself, AUDITED, unkept=("path", "project", "user_id")),),
    "knowledge.invalidate": (Call({"id": "part-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.mcp": (
        Call(
            {"operation": "create_entities", "arguments": {"entities": [PERSON]}},
            itself,
            unkept=("operation", "arguments", "project", "user_id", "actor", "note"),
            inside={"arguments": (keyed, *MCP_WITH)},
        ),
        Call({"operation": "open_nodes", "arguments": {"names": ["mirror"]}}, inside={"arguments": (lambda value: {"names": value},)}),
    ),
    "knowledge.neighbours": (Call({"id": "part-1"}),),
    "knowledge.observations": (Call({"entity_id": "part-1"}),),
    "knowledge.get_observation": (Call({"id": "note-1"}),),
    "knowledge.observe": (
        Call(
            {"entity_id": "part-1", "content": "is round"},
            lambda store, found: next(o for o in store.knowledge.observations("part-1", include_retired=True) if o.id == found.id),
            inside={"source_refs": (one,)},
        ),
    ),
    "knowledge.orphans": (Call(),),
    "knowledge.path": (Call({"a": "part-1", "b": "part-2"}),),
    "knowledge.promote": (Call({"id": "part-3"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.register_kind": (Call({"kind": "glued to", "family": "structural"}, itself, {
        "kind": lambda store, _: store.query("SELECT kind FROM relationship_kinds")[0]["kind"],
        "family": lambda store, _: store.query("SELECT family FROM relationship_kinds")[0]["family"],
    }),),
    "knowledge.reject": (Call({"id": "part-3"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.relate": (
        Call(
            {"from_id": "part-1", "kind": "part_of", "to_id": "part-2"},
            lambda store, found: store.knowledge.get_relationship(found.id),
            {"project": field("project_id")},
            unkept=("valid_until",),
            inside={"source_refs": (one,), "properties": (keyed,)},
        ),
    ),
    "knowledge.relationships": (Call(),),
    "knowledge.retire_observation": (Call({"id": "note-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.retire_relationship": (Call({"id": "edge-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.risky_decisions": (Call(),),
    "knowledge.supersede": (
        Call(
            {"id": "part-1", "by": "part-2"},
            itself,
            {**AUDITED, "id": event("entity_id"), "by": lambda store, _: store.knowledge.get("part-1").superseded_by},
        ),
    ),
    "knowledge.unsupported_claims": (Call(),),
    "knowledge.update": (
        Call(
            {"id": "part-1", "description": "ground"},
            lambda store, found: store.knowledge.get(found.id),
            AUDITED,
            unkept=("expected_version", "valid_until"),
            inside={"aliases": (one,), **dict.fromkeys(("external_ids", "properties", "metadata"), (keyed,))},
        ),
    ),
    # -- knowledge: the ledger
    "knowledge.add_atom": (
        Call(
            {"kind": "claim", "body": "the mirror is round", "evidence": [{"chunk_id": "chunk-2"}]},
            lambda store, found: store.knowledge.get_atom(found.id),
            {"project": field("project_id")},
            unkept=("override", "tags", "evidence"),
            inside={"tags": (one,), "metadata": (keyed,), "evidence": (one, *PROOF_WITH)},
        ),
        Call({"kind": "claim", "body": "the mirror was round", "status": "superseded"}, itself, {"project": field("project_id")},
             unkept=("override", "tags", "evidence", "verification_status")),
    ),
    "knowledge.add_artifact": (
        Call(
            {"artifact_type": "prd", "title": "Mirror"},
            lambda store, found: store.knowledge.get_artifact(found.id),
            {"project": field("project_id")},
            unkept=("sections",),
            inside={"metadata": (keyed,), "sections": (one, *SECTIONS_WITH)},
        ),
    ),
    "knowledge.add_claim": (Call({"atom_id": "atom-1", "subject": "mirror", "predicate": "is flat"}, itself),),
    "knowledge.add_evidence": (
        Call({"atom_id": "atom-1", "anchor_start": 1, "snippet": "flat it is"}, itself, inside={"metadata": (keyed,)}),
    ),
    "knowledge.artifacts": (Call(),),
    "knowledge.atom_history": (Call({"id": "atom-1"}),),
    "knowledge.atoms": (Call(),),
    "knowledge.citations": (Call(),),
    "knowledge.cite_insight": (Call({"insight_id": "insight-1", "atom_id": "atom-1"}, itself),),
    "knowledge.claims": (Call(),),
    "knowledge.count_atoms": (Call(),),
    "knowledge.deltas": (Call(),),
    "knowledge.evidence": (Call({"atom_id": "atom-1"}),),
    "knowledge.get_artifact": (Call({"id": "work-1"}),),
    "knowledge.get_atom": (Call({"id": "atom-1"}),),
    "knowledge.invalidate_atom": (Call({"id": "atom-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.knowledge_state": (Call({"project": "p-1"}),),
    "knowledge.link": (Call({"from_atom_id": "atom-1", "relation_type": "refines", "to_atom_id": "atom-2"}, itself),),
    "knowledge.links": (Call(),),
    "knowledge.mark_stale": (Call({"chunk_id": "chunk-1"}, itself, unkept=("chunk_id", "source_id", "chunk_hash", "actor", "note")),),
    "knowledge.mention": (Call({"entity_id": "part-1", "atom_id": "atom-1", "anchor_start": 1}, itself),),
    "knowledge.mentions": (Call(),),
    "knowledge.merge_atoms": (
        Call(
            {"ids": ["atom-3"], "into": "atom-1"},
            lambda store, found: store.knowledge.merges(atom_id="atom-3")[0],
            {**AUDITED, "into": field("into_id")},
            unkept=("ids",),
            inside={"ids": (one,)},
        ),
    ),
    "knowledge.merges": (Call(),),
    "knowledge.promote_atom": (Call({"id": "atom-2"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.record_delta": (
        Call(
            {"project": "p-1", "run_id": "run-2", "changes": {}},
            lambda store, found: store.knowledge.deltas(run_id=found.run_id)[0],
            {"project": field("project_id")},
            unkept=("user_id",),
            inside={"changes": (keyed,)},
        ),
    ),
    "knowledge.regenerate": (
        Call(
            {"id": "work-1", "sections": [SECTION]},
            lambda store, found: store.knowledge.get_artifact(found.id),
            {**AUDITED, "id": field("parent_artifact_id")},
            unkept=("sections",),
            inside={"metadata": (keyed,), "sections": (one, *SECTIONS_WITH)},
        ),
    ),
    "knowledge.reject_atom": (Call({"id": "atom-2"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.sections": (Call({"artifact_id": "work-1"}),),
    "knowledge.set_knowledge_state": (
        Call(
            {"project": "another", "working_summary": "nothing is known"},
            lambda store, found: store.knowledge.knowledge_state(found.project_id),
            {**AUDITED, "project": field("project_id")},
            unkept=("open_questions", "expected_version", "user_id"),
            inside={"open_questions": (one,), "evidence_index": (keyed,)},
        ),
    ),
    "knowledge.stale_sections": (Call({"artifact_id": "work-1"}),),
    "knowledge.supersede_atom": (
        Call(
            {"id": "atom-1"},
            itself,
            {**AUDITED, "id": event("entity_id"), "by": lambda store, _: store.knowledge.get_atom("atom-1").superseded_by},
        ),
    ),
    "knowledge.update_atom": (
        Call(
            {"id": "atom-1", "confidence": 0.5},
            lambda store, found: store.knowledge.get_atom(found.id),
            AUDITED,
            unkept=("expected_version", "tags"),
            inside={"tags": (one,)},
        ),
    ),
    # -- evals
    "evals.active_model": (Call({"specialist": "coder"}),),
    "evals.assertions": (Call(),),
    "evals.promote": (
        Call(
            {"specialist": "coder", "from_model": None, "to_model": "model-2"},
            lambda store, found: next(item for item in store.evals.promotions() if item.id == found.id),
            AUDITED,
        ),
    ),
    "evals.promotions": (Call(),),
    "evals.record_assertion": (
        Call(
            {"assertion_name": "short", "level": "soft", "passed": True},
            lambda store, found: next(item for item in store.evals.assertions() if item.id == found.id),
        ),
    ),
    "evals.record_promotion": (
        Call(
            {"specialist": "coder", "event": "promote", "from_model": None, "to_model": "model-2"},
            lambda store, found: store.evals.promotions(limit=1)[0],
        ),
        Call(
            {"specialist": "coder", "event": "rollback", "from_model": None, "to_model": None, "reverted": True},
            lambda store, found: store.evals.promotions(limit=1)[0],
        ),
    ),
    "evals.record_run": (
        Call(
            {"conversation_id": "c-1", "specialist": "coder"},
            inside={"corrections_applied": (one,)},
            back=lambda store, found: next(item for item in store.evals.runs() if item.id == found.id),
        ),
    ),
    "evals.reliability": (Call(),),
    "evals.rollback": (Call({"specialist": "coder"}, lambda store, found: store.evals.promotions(limit=1)[0], {"actor": event("actor")}),),
    "evals.runs": (Call(),),
    # -- documents
    "documents.add_files": (Call({"paths": "library"}, itself, unkept=(
        "paths", "project", "user_id", "prune", "progress", "chunk_size", "overlap", "max_bytes", "actor", "note",
    )),),
    "documents.add_text": (
        Call(
            {"text": "bills are paid"},
            lambda store, found: store.documents.get(found.id),
            {"project": field("project_id"), "text": lambda store, found: store.documents.text(found.id)},
            unkept=("tags", "chunk_size", "overlap", "actor", "note", "display_name"),
            inside={"tags": (one,), "metadata": (keyed,), "extra_json": (keyed,)},
        ),
        Call(
            {"text": "bills are paid", "uri": "file:/rounding.md"},
            lambda store, found: store.documents.get(found.id),
            {**AUDITED, "project": field("project_id"), "text": lambda store, found: store.documents.text(found.id)},
            unkept=("tags", "chunk_size", "overlap", "id", "created_at", "updated_at"),
        ),
    ),
    "documents.annotate": tuple(
        Call(
            {"chunk_id": "piece-1", "kind": "secret", **span},
            lambda store, found: store.documents.get_annotation(found.id),
            inside={"metadata": (keyed,)},
        )
        for span in ({}, {"start_char": 2, "end_char": 7})
    ),
    "documents.annotations": (Call(),),
    "documents.chunks": (Call({"document_id": "doc-1"}),),
    "documents.count": (Call(),),
    "documents.find": (Call(),),
    "documents.first": (Call({"uri": "file:/rounding.md"}),),
    "documents.flagged": (Call({"chunk_ids": ["piece-1"]}, inside={"chunk_ids": (one,)}),),
    "documents.get": (Call({"id": "doc-1"}),),
    "documents.get_annotation": (Call({"id": "mark-1"}),),
    "documents.get_chunk": (Call({"id": "piece-1"}),),
    "documents.is_selected": (Call({"document_id": "doc-1"}),),
    "documents.reembed": (Call({"fn": embedded, "model": "new"}, itself, unkept=("fn", "model", "progress"), inside={"fn": (answering,)}),),
    "documents.remove": (Call({"id": "doc-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "documents.remove_annotation": (Call({"id": "mark-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "documents.search": (Call({"query": "rounded invoices"}),),
    "documents.search_metadata": (Call({"query": "rounding"}),),
    "documents.select": tuple(
        Call(
            {"document_ids": ["doc-1"], "enabled": False, whose: "ann"},
            lambda store, found: next(iter(store.documents.selections(limit=1)), None),
            AUDITED,
            unkept=("document_ids", "enabled"),
            inside={"document_ids": (one, lambda value: ["doc-1", value])},
        )
        for whose in ("user_id", "conversation_id")
    ),
    "documents.selected": (Call(),),
    "documents.selections": (Call(),),
    "documents.set_chunks": (
        Call(
            {"document_id": "doc-2", "chunks": ["another piece"]},
            itself,
            AUDITED,
            unkept=("document_id", "chunks", "model", "updated_at"),
            inside={"chunks": (one, *CHUNKS_WITH)},
        ),
    ),
    "documents.text": (Call({"document_id": "doc-1"}),),
    "documents.update": (
        Call(
            {"id": "doc-1", "title": "Rounding"},
            lambda store, found: store.documents.get(found.id),
            AUDITED,
            unkept=("expected_version", "tags"),
            inside={"tags": (one,), "metadata": (keyed,), "extra_json": (keyed,)},
        ),
    ),
    # -- conflicts
    "conflicts.assess": (
        Call(
            {"id": "x-1", "decision": "likely"},
            lambda store, found: store.conflicts.assessments("x-1")[-1],
            {"id": field("conflict_id"), "assessment_id": field("id")},
            inside={"reason_codes": (one,)},
        ),
    ),
    "conflicts.assessments": (Call({"id": "x-1"}),),
    "conflicts.contradict": (
        Call(
            {"a_id": "atom-9", "b_id": "atom-8"},
            lambda store, found: store.conflicts.get(found.id),
            {"a_id": field("atom_b_id"), "b_id": field("atom_a_id"), "kind": lambda store, found: found.members[0].member_kind,
             "project": field("project")},
            inside={"metadata": (keyed,)},
        ),
        Call({"a_id": "mem-9", "b_id": "mem-8", "kind": "memory"}, itself, unkept=("a_id", "b_id", "kind", "project")),
    ),
    "conflicts.count": (Call(),),
    "conflicts.detect": (Call({}, itself, unkept=("project",)),),
    "conflicts.find": (Call(),),
    "conflicts.get": (Call({"id": "x-1"}),),
    "conflicts.history": (Call({"id": "x-1"}),),
    "conflicts.open": (
        Call(
            {"slot_kind": "rounding", "slot_key": "of thirds", "members": SIDES},
            lambda store, found: store.conflicts.get(found.id),
            {"project": field("project"), "members": lambda store, found: sides_of(found)},
            inside={
                "metadata": (keyed,), "members": (one, *SIDES_WITH),
                "winner": (lambda value: ("memory", value), lambda value: (value, "mem-8")),
            },
        ),
        Call(
            {"slot_kind": "rounding", "slot_key": "of halves", "members": SIDES, "status": "resolved", "winner": "mem-8"},
            lambda store, found: store.conflicts.get(found.id),
            {"project": field("project"), "winner": field("winner_id")},
            unkept=("members",),
        ),
        Call({"slot_kind": "rounding", "slot_key": "of halves", "members": SIDES}, itself, unkept=(
            "slot_kind", "slot_key", "members", "project", "user_id", "severity", "note", "metadata", "id", "created_at",
        )),
    ),
    "conflicts.resolve": (
        Call({"id": "x-1", "action": "dismiss"}, itself, {**AUDITED, "action": field("resolution")}),
        Call(
            {"id": "x-1", "action": "supersede_others", "winner": "mem-9"},
            lambda store, found: store.conflicts.get("x-1"),
            {**AUDITED, "action": field("resolution"), "winner": field("winner_id")},
        ),
    ),
    "conflicts.rule": (Call({"slot_kind": "said", "fn": len}, inside={"fn": (answering,), "kinds": (one,)}),),
    "conflicts.suggest": (Call({"id": "x-1"}),),
}
PASSED_ON = {"store.run.args", "store.run.kwargs"}  # to the function, as they are
PASSED_ON |= {"store.rekey.actor", "store.rekey.note", "store.rekey.progress"}  # in a store that has a key: see test_codec.py
#: They take a connection, which only a room can have.
ROOMS_ONLY = {"keywords.best", "keywords.numbers", "keywords.discard", "keywords.restore"}
ROOMS_ONLY |= {"vectors.discard", "vectors.dimensions", "vectors.packed"}
ROOMS_ONLY |= {"memories.forget", "conflicts.notice", "conflicts.notice_joined"}
ROOMS_ONLY |= {f"{room}.join_project" for room in ("memories", "knowledge", "conflicts", "documents")} | {f"{room}.erase" for room in ROOMS}
