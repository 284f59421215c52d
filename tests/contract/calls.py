"""A sound call of every public method that takes arguments, and where what it was given is read back."""

from __future__ import annotations

from memstore.store import ROOMS

from . import calls_beliefs
from .furnishing import (
    AUDITED,
    CHUNKS_WITH,
    EVENTS_WITH,
    MESSAGE,
    MESSAGES_WITH,
    VECTORS_WITH,
    Call,
    answering,
    embedded,
    event,
    field,
    itself,
    keyed,
    last,
    one,
)

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
    **calls_beliefs.CALLS,
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
}
PASSED_ON = {"store.run.args", "store.run.kwargs"}  # to the function, as they are
PASSED_ON |= {"store.rekey.actor", "store.rekey.note", "store.rekey.progress"}  # in a store that has a key: see test_codec.py
#: They take a connection, which only a room can have.
ROOMS_ONLY = {"keywords.best", "keywords.numbers", "keywords.discard", "keywords.restore"}
ROOMS_ONLY |= {"vectors.discard", "vectors.dimensions", "vectors.packed"}
ROOMS_ONLY |= {"memories.forget", "conflicts.notice", "conflicts.notice_joined"}
ROOMS_ONLY |= {f"{room}.join_project" for room in ("memories", "knowledge", "conflicts", "documents")} | {f"{room}.erase" for room in ROOMS}
