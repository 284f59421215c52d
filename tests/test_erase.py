"""Erasing: a user, a conversation, a project or a message gone from every room, and from the bytes while the store is open."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from erasing import ADA, DERIVED, Life, rows, without
from kernel.things import Things

from memstore import EraseReceipt, Invalid, NotFound, ReadOnly, SchemaTooNew, open_store
from memstore.audit.erased import were_erased

# -- what goes ----------------------------------------------------------------------------------------------------------


def test_the_lives_fill_every_text_column_of_every_room(lives):
    """So that the tests below search for something in each."""
    store, ada, _ = lives
    empty = []
    for table, held in rows(store).items():
        texts = [row["name"] for row in store.query("SELECT name FROM pragma_table_info(?) WHERE type = 'TEXT'", (table,))]
        mine = [row for row in held if any(word in repr(row) for word in ada.words)]
        names = [row["name"] for row in store.query("SELECT name FROM pragma_table_info(?)", (table,))]
        for name in texts:
            values = [row[names.index(name)] for row in mine]
            if mine and not any(word in str(value) for value in values for word in ada.words):
                empty.append(f"{table}.{name}")
    legal = {"messages.role", "messages.accuracy_level", "messages.confidence", "messages.callout_type", "corrections.decay_class",
             "memories.memory_type", "memories.status", "project_state.status", "atoms.kind", "atoms.status", "merges.operation",
             "merges.review_status", "artifacts.artifact_state", "citations.kind", "entities.status", "entity_versions.status",
             "relationship_kinds.family", "vectors.kind", "vectors.model"}  # fmt: skip
    legal |= {"conflicts.kind", "conflicts.status", "conflicts.resolution", "conflicts.winner_kind", "conflict_members.member_kind",
              "conflict_members.claim_kind"}  # fmt: skip
    made = {"corrections.subject_key", "corrections.claim_key", "corrections.superseded_by", "corrections.scope",
            "correction_rejections.subject_key", "correction_rejections.rejected_key", "memories.content_key",
            "entities.name_key", "entity_versions.name_key", "entity_versions.superseded_by", "observations.content_key",
            "atoms.body_key", "evidence.snippet_key", "claims.subject_key", "claims.predicate_key"}  # fmt: skip
    legal |= {"documents.ingestion_status"}
    made |= {"documents.uri_key", "chunks.chunk_hash"}
    made |= {"conflicts.pair_hash", "conflicts.slot_hash", "conflict_members.claim_hash"}
    named = {"projects.status", "model_runs.round", "assertion_events.level", "context_backups.trigger", "entity_versions.project_id"}
    ids = {"token_counters.id", "context_backups.id", "assertion_events.id", "artifact_sections.id", "selections.id"}
    assert set(empty) - legal - made - named - ids == set()


def test_of_a_user_no_byte_is_left_while_the_store_is_open(lives, searcher):
    store, ada, bob = lives
    store.keywords.compact()
    before, anchor = rows(store), store.audit.head()
    assert {word for _, word in searcher(store, *ada.words)} == set(ada.words)
    receipt = store.erase(user_id=ADA, reason="asked for", actor="privacy desk")
    assert receipt.scrubbed
    assert searcher(store, *ada.words) == []
    assert {word for _, word in searcher(store, *bob.words)} == set(bob.words)
    assert rows(store) == without(before, ada.words)
    assert store.audit.verify(anchors=[anchor]).anchored_to == anchor
    assert store.check().ok


def test_the_receipt_counts_what_went(lives):
    store, ada, _ = lives
    before = rows(store)
    receipt = store.erase(user_id=ADA)
    after = rows(store)
    gone = {table: len(held) - len(after[table]) for table, held in before.items() if len(held) != len(after[table])}
    assert {table: count for table, count in receipt.counts.items() if table in before} == gone
    assert isinstance(receipt, EraseReceipt)
    own, changes = 9, {"corrections": 1, "memories": 4, "graph": 4, "atoms": 3, "artifacts": 1, "conflicts": 2, "documents": 7}
    assert receipt.counts["audit_log"] == own + sum(changes.values())


def test_one_event_says_so_with_counts_and_a_digest_and_no_name(lives):
    store, ada, _ = lives
    receipt = store.erase(user_id=ADA, reason="asked for", actor="privacy desk")
    event = store.audit.get(receipt.audit_seq)
    assert (event.event_type, event.entity_kind, event.actor, event.note) == ("user.erase", "user", "privacy desk", "asked for")
    assert event.entity_id == receipt.subject_digest
    assert event.details == receipt.counts
    assert event.created_at == receipt.erased_at
    assert event.redacts == [e.seq for e in store.audit.find(limit=None, ascending=True) if e.redacted]
    assert store.audit.head().seq == receipt.audit_seq
    assert not any(word in repr(store.query("SELECT body, refs, payload FROM audit_log")) for word in ada.words)


@pytest.mark.parametrize("kind", ["conversation_id", "project", "user_id", "message_id", "memory_id", "document_id"])
def test_every_kind_of_subject_takes_what_is_its_own(lives, searcher, kind):
    store, ada, bob = lives
    subject = ada.subjects[kind]
    held, anchor = rows(store), store.audit.head()
    receipt = store.erase(**{kind: subject})
    assert receipt.scrubbed
    assert searcher(store, subject) == []
    assert store.audit.verify(anchors=[anchor]).ok
    kept = {table: [row for row in found if any(word in repr(row) for word in bob.words)] for table, found in held.items()}
    now = rows(store)
    assert all(row in now[table] for table, found in kept.items() for row in found)
    assert store.check().ok


def test_a_conversation_leaves_its_user_and_the_fork(lives, searcher):
    store, ada, _ = lives
    receipt = store.erase(conversation_id=ada.chat)
    assert receipt.forks == [ada.fork]
    assert receipt.counts["messages"] == 43
    fork = store.chat.get_conversation(ada.fork)
    assert (fork.forked_from, fork.forked_at, fork.user_id) == (None, None, ADA)
    assert [message.content for message in store.chat.messages(ada.fork)] != []
    assert store.chat.get_project(ada.project, user_id=ADA).user_id == ADA
    assert store.corrections.count() == 2, "of Bob and of nobody"
    for said in ("many", "answer", "result", "note", "hand", "instead"):
        word = next(word for word in ada.words if word.endswith(said))
        assert searcher(store, word) == [], said


def test_a_memory_goes_alone_and_what_may_say_the_same_is_named(file_store, searcher):
    store, room = file_store, file_store.memories
    store.chat.create_conversation(id="talk", user_id="ann")
    room.capture("how?", "Decision: use amberq1 sand.", id="asked", user_id="ann", conversation_id="talk")
    (found,) = room.extract_candidates("asked")
    room.promote(found.id, actor="ann", note=f"{found.id} is right")
    room.update(found.id, content="use amberq2 sand", metadata={"why": "amberq3"})
    for id, content in (("other-1", "use pots of clay"), ("older-1", "use peat")):
        room.add("adaptation", content, id=id, user_id="ann")
    room.supersede("older-1", by=found.id)
    pack = {"pieces": [{"kind": "memory", "id": found.id, "text": "use amberq2 sand"}, {"kind": "memory", "id": "other-1"}]}
    room.capture("and now?", memories_used=[found.id, "other-1"], context=pack, id="told-1", user_id="ann")
    told = {"source_refs": [f"memory:{found.id}", "memory:other-1"], "user_id": "ann"}
    store.knowledge.add_entity("Material", "Sand", id="sand-1", **told)
    store.knowledge.add_atom("claim", "sand drains", evidence=[{"source_id": found.id, "snippet": "amberq4"}], id="atom-1", user_id="ann")
    sides = [{"member_kind": "memory", "member_id": id, "value_snapshot": text} for id, text in ((found.id, "amberq5"), ("other-1", "b"))]
    opened = store.conflicts.open("said by hand", "sand", members=sides, user_id="ann")
    room.merge([found.id, "other-1"], "use sand and pots", id="merged-1", actor="ann")
    receipt = store.erase(memory_id=found.id, reason="asked for", actor="privacy desk")
    assert receipt.scrubbed
    words = [f"amberq{n}" for n in range(2, 6)]
    assert searcher(store, found.id, *words) == []
    assert [sentence for sentence in receipt.kept if "it" in sentence.partition(":")[0].split()] == [
        "memories that it replaced or was merged into: 2, kept, though they may say what it said",
        "interactions that it was found in: 1, kept, though they may say what it said",
    ]
    assert "interactions that were told something that went: 1" in " ".join(receipt.kept)
    assert receipt.counts["memories"] == receipt.counts["conflicts"] == receipt.counts["evidence"] == 1
    assert {item.id: item.superseded_by for item in room.find()} == {"merged-1": None, "older-1": None, "other-1": "merged-1"}
    assert room.get("merged-1").merged_from == ["other-1"]
    kept = room.get_interaction("told-1")
    assert (kept.memories_used, kept.context_pack) == (["other-1"], {"pieces": [{"kind": "memory", "id": "other-1"}]})
    assert [piece.state for piece in room.explain("told-1").pieces] == ["erased", "superseded"]
    assert store.knowledge.get("sand-1").source_refs == ["memory:other-1"]
    assert store.knowledge.evidence("atom-1") == []
    assert store.conflicts.find() == []
    assert [event.redacted for event in store.audit.find(event_type="memory.merge")] == [True]
    assert store.audit.get(receipt.audit_seq).event_type == "memory.erase"
    assert store.check().ok
    assert opened.id not in repr(store.query("SELECT refs, payload FROM audit_log"))


def test_a_memory_with_an_id_that_could_be_a_word_goes_too_and_what_has_the_id_stays(store):
    for id in ("m", "n"):
        store.memories.add("knowledge", f"amber {id}", id=id, user_id="ann")
        store.memories.update(id, content=f"basalt {id}", actor="m")
    store.chat.create_conversation(id="m", title="m")
    store.chat.append("m", "user", "amber", id="m")
    receipt = store.erase(memory_id="m")
    assert (receipt.counts["memories"], receipt.counts["audit_log"]) == (1, 1)
    assert [item.id for item in store.memories.find()] == ["n"]
    assert store.chat.get_message("m").content == "amber"
    assert [event.redacted for event in store.audit.history("memory", "n")] == [False]


@pytest.mark.parametrize("mode", ["skip", "replace"])
def test_a_memory_that_was_erased_does_not_come_back(tmp_path, mode):
    with open_store(tmp_path / "a.db") as store:
        for id in ("gone-1", "kept-1"):
            store.memories.add("knowledge", f"the memory {id}", id=id)
        store.memories.capture("a", "b", id="told-1", memories_used=["gone-1", "kept-1"])
        store.memories.update("gone-1", content="amber")
        store.export(tmp_path / "out")
        store.erase(memory_id="gone-1")
        with open_store(tmp_path / "b.db") as other:
            other.memories.add("knowledge", "another log")
            other.import_(tmp_path / "out", on_conflict=mode)
            other.erase(memory_id="gone-1")
            for each in (store, other):
                assert each.import_(tmp_path / "out", on_conflict=mode).erased["memories"] == 1
                assert "gone-1" not in [item.id for item in each.memories.find()]
                assert [piece.id for piece in each.memories.explain("told-1").pieces if piece.state != "erased"] == ["kept-1"]
                logs = "SELECT payload, refs FROM audit_log UNION ALL SELECT payload, refs FROM audit_imported"
                assert "gone-1" not in repr(each.query(logs))
                assert each.check().ok


def test_a_message_goes_alone_and_its_copies_are_named(lives, searcher):
    store, ada, _ = lives
    later = store.chat.fork(ada.fork, at=store.chat.messages(ada.fork)[0].id).id
    second = store.chat.messages(ada.chat)[5].id
    receipt = store.erase(message_id=ada.message)
    assert receipt.counts["messages"] == receipt.counts["keyword_items"] == 1
    assert receipt.forks == [ada.fork, later]
    assert [sentence.partition(":")[0] for sentence in receipt.kept] == [
        "corrections that name neither a user nor a conversation",
        "corrections from the conversation of the message",
        "handoff notes about the conversation of the message",
        "documents from the conversation of the message",
        "memories from the conversation of the message",
        "interactions from the conversation of the message",
        "entities of no user, project or conversation",
        "entities from the conversation of the message",
        "observations from the conversation of the message",
        "atoms from the conversation of the message",
        "artifacts from the conversation of the message",
    ]
    assert store.chat.get_conversation(ada.fork).forked_from == ada.chat
    assert store.chat.get_conversation(ada.fork).forked_at is None
    assert len(store.chat.messages(ada.chat, limit=None)) == 42
    assert store.erase(message_id=second).forks == [ada.fork, later], "where the first one was forked is not known any more"
    text = store.chat.messages(ada.chat, limit=1)[0].content.split()[0]
    store.erase(message_id=store.chat.messages(ada.chat, limit=1)[0].id)
    assert searcher(store, text) == []


def test_a_project_is_known_by_each_of_its_names(lives):
    store, ada, _ = lives
    for given in (ada.project, *store.chat.get_project(ada.project, user_id=ADA).aliases, store.chat.get_project(ada.project).name):
        assert store.erase(project=given, dry_run=True).counts["conversations"] == 2
    other = store.chat.create_project("twin", user_id="u1").id, store.chat.create_project("twin", user_id="u2").id
    with pytest.raises(Invalid, match="name of 2 projects; erase one by its id"):
        store.erase(project="twin")
    store.corrections.add("a", "b", scope="twin")
    assert "corrections" not in store.erase(project=other[0]).counts, "which of the two is meant, the scope does not say"
    assert store.erase(project=other[1]).counts["corrections"] == 1


def test_corrections_for_everybody_outlive_a_project_called_global(store):
    store.chat.create_project("global")
    store.corrections.add("a", "b")
    assert "corrections" not in store.erase(project="global").counts
    assert store.corrections.count() == 1


def test_a_name_that_nobody_registered_is_a_project_too(store):
    store.chat.create_conversation(id="c", project="loose")
    store.audit.append("query", project="loose", details="said")
    store.corrections.add("indent", "spaces", rejected="tabs", scope="loose")
    receipt = store.erase(project="loose")
    beside = {"correction_words": 2, "correction_rejections": 1}
    assert receipt.counts == {"conversations": 1, "corrections": 1, "audit_log": 1, **beside}
    assert receipt.kept == ["audit events with an id or name of it in their body: 1, kept, since what is hashed stays as it was written"]


def test_conversations_of_others_in_a_users_project_live_on(store):
    project = store.chat.create_project("shared", user_id="ada")
    store.chat.create_conversation(id="of-bob", user_id="bob", project=project.id)
    store.chat.activate(project.id, user_id="bob")
    receipt = store.erase(user_id="ada")
    assert receipt.counts == {"projects": 1, "active_projects": 1}
    assert receipt.kept[0].startswith("conversations of other users in a project that went: 1")
    assert store.chat.get_conversation("of-bob").project_id is None
    assert [item.id for item in store.chat.conversations(user_id="bob")] == ["of-bob"]


def test_forks_of_forks_are_named_and_those_that_go_along_are_not(store):
    store.chat.create_conversation(id="one", user_id="ada")
    at = store.chat.append("one", "user", "text").id
    two = store.chat.fork("one", at=at).id
    three = store.chat.fork(two, at=store.chat.messages(two)[0].id).id
    assert store.erase(conversation_id="one", dry_run=True).forks == [two, three]
    assert store.erase(user_id="ada", dry_run=True).forks == []
    assert store.erase(conversation_id="one").forks == [two, three]
    assert store.chat.get_conversation(three).forked_from == two


def test_an_application_elsewhere_is_counted_and_no_longer_says_where(store):
    store.corrections.add("a", "b", id="k")
    store.corrections.applied("k", conversation_id="c")
    store.corrections.applied("k", conversation_id="d")
    store.corrections.add("c", "d", id="old", conversation_id="c")
    store.corrections.supersede("k", by="old")
    store.erase(conversation_id="c")
    assert [item.conversation_id for item in store.corrections.applications("k")] == ["d", None]
    assert store.corrections.get("k").application_count == 2
    assert store.corrections.get("k").superseded_by is None


def test_a_conversation_that_only_other_rooms_know_can_be_erased(store):
    store.backups.track("c", "coder", "text")
    store.evals.record_run("c", "coder")
    store.evals.record_assertion("a", "info", True, session_id="c")
    store.audit.append("query", conversation_id="c")
    receipt = store.erase(conversation_id="c")
    assert receipt.counts == {"token_counters": 1, "model_runs": 1, "assertion_events": 1, "audit_log": 1}


def test_words_of_messages_that_were_taken_out_before_go_too(file_store, searcher):
    chat = file_store.chat.create_conversation(id="c-secret").id
    file_store.chat.append(chat, "user", "zyzzyva")
    file_store.keywords.compact()
    file_store.chat.pop(chat)
    assert searcher(file_store, "zyzzyva") != []
    file_store.erase(conversation_id=chat)
    assert searcher(file_store, "zyzzyva", "c-secret") == []


def test_words_of_an_indexed_message_leave_the_index_with_it(file_store, searcher):
    chat = file_store.chat.create_conversation().id
    file_store.chat.append(chat, "user", "zyzzyva common", id="m-secret")
    file_store.chat.append(chat, "user", "common")
    file_store.keywords.compact()
    file_store.erase(message_id="m-secret")
    assert searcher(file_store, "zyzzyva", "m-secret") == []
    assert file_store.keywords.complete("common") == [("common", 1)]
    assert file_store.chat.search("zyzzyva") == []


def test_a_session_of_the_same_id_goes_with_its_conversation(store):
    store.chat.create_conversation(id="c", user_id="ada")
    store.chat.touch_session("c", user_id="somebody")
    store.chat.touch_session("d", user_id="ada")
    assert store.erase(conversation_id="c").counts == {"conversations": 1, "sessions": 1}
    assert [session.id for session in store.chat.sessions()] == ["d"]


def test_what_was_erased_is_remembered_without_its_name(store):
    store.chat.create_project("secret", id="p", user_id="ada")
    store.chat.create_conversation(id="c", user_id="ada")
    store.chat.append("c", "user", "text", id="m")
    store.chat.touch_session("s", user_id="ada")
    store.corrections.add("subject", "claim", user_id="ada", id="k")
    store.chat.create_conversation(id="d")
    store.chat.append("d", "user", "text", id="n")
    receipt = store.erase(user_id="ada")
    store.erase(message_id="n")
    with store.audit.db.read() as connection:
        known = [("user", "ada"), ("project", "p"), ("conversation", "c"), ("session", "s"), ("correction", "k"), ("message", "n")]
        assert were_erased(connection, [*known, ("message", "m"), ("user", "local"), ("conversation", "d")]) == set(known)
        assert connection.value("SELECT 1 FROM audit_erased WHERE digest = ?", (bytes.fromhex(receipt.subject_digest),)) == 1


def test_events_are_emptied_for_what_they_name_and_for_nothing_else(store):
    store.chat.create_conversation(id="c-1815", user_id="ada-1")
    store.chat.append("c-1815", "user", "text", id="m")
    log = store.audit.append
    named = [
        log("a", user_id="ada-1").seq,
        log("a", actor="ada-1").seq,
        log("a", token_id="ada-1").seq,
        log("a", session_id="c-1815").seq,
        log("a", entity_kind="message", entity_id="m").seq,
        log("a", entity_id="m").seq,
        log("a", details={"who": {"user_id": "ada-1"}}).seq,
        log("a", before={"actor": "ada-1", "n": 1}).seq,
        log("a", details={"chat": "c-1815"}).seq,
        log("keyword.remove", entity_kind="keyword", entity_id="m").seq,
    ]
    others = [
        log("a", entity_kind="correction", entity_id="m"),
        log("a", user_id="ada-12", details={"who": "ada-12", "more": 'the "ada-1" language'}),
        log("a", actor="bob", details={"n": 1}),
        log("a", stream="ada-1"),
        log("a", trace_id="c-1815", details=["m"]),
        log("a", details='{"user_id":"ada-1"}'),
    ]
    receipt = store.erase(user_id="ada-1")
    assert store.audit.get(receipt.audit_seq).redacts == named
    assert [store.audit.get(event.seq) for event in others] == others
    assert store.audit.find(user_id="ada-1") == []
    assert store.audit.find(user_id="ada-12") == [others[1]]
    assert receipt.kept == ["audit events with an id or name of it in their body: 1, kept, since what is hashed stays as it was written"]


def test_an_id_that_is_nothing_else_names_its_owner_wherever_it_stands(store):
    store.chat.create_conversation(id="c-1815", user_id=ADA)
    log = store.audit.append
    named = [
        log("a", trace_id=ADA).seq,
        log("a", entity_kind="mailbox", entity_id=ADA).seq,
        log("a", details={"who": [ADA]}).seq,
        log("a", note=ADA).seq,
        log("a", before={ADA: 1}).seq,
    ]
    assert store.audit.get(store.erase(user_id=ADA).audit_seq).redacts == named


@pytest.mark.parametrize("id", ["7", "claim", "tokens", "admin"])
def test_a_word_or_number_as_an_id_names_nothing_of_somebody_else(store, id):
    store.chat.create_conversation(id="x", user_id="other")
    store.chat.append("x", "user", "text", id=id)
    store.chat.create_project("P", id=id, user_id="other")
    store.corrections.add("subject", "first", id=id, user_id="other")
    store.corrections.update(id, claim="second", actor="other")
    log = store.audit.append
    log("read", entity_kind="message", entity_id=id, actor="other", trace_id=id)
    log("query", user_id="other", details={"tokens": 812, "claim": "x", "admin": "y", "7": "z", "level": id, "ids": [id]})
    others = store.audit.find(limit=None)
    mine = [
        log("read", entity_kind="user", entity_id=id).seq,
        log("read", entity_id=id).seq,
        log("read", token_id=id).seq,
        log("read", details={"by": {"user_id": id}}).seq,
    ]
    store.chat.create_conversation(id="own", user_id=id)
    assert store.audit.get(store.erase(user_id=id).audit_seq).redacts == mine
    assert [store.audit.get(event.seq) for event in others] == others


def test_of_a_conversation_or_project_with_a_number_for_an_id_only_what_says_so_counts(store):
    store.chat.create_conversation(id="7", user_id="user-1815")
    store.chat.create_project("named", id="8")
    log = store.audit.append
    chats = [log("a", details={"conversation_id": "7"}).seq, log("a", details={"n": [{"session_id": "7"}]}).seq]
    projects = [log("a", details={"project": "8"}).seq, log("a", after={"project_id": "8", "z": ""}).seq]
    others = [log("a", details={"level": "7", "8": 1}), log("a", details={"user_id": "7", "actor": "8"}), log("a", note="7")]
    assert store.audit.get(store.erase(user_id="user-1815").audit_seq).redacts == chats
    assert store.audit.get(store.erase(project="8").audit_seq).redacts == projects
    assert [store.audit.get(event.seq) for event in others] == others


def test_an_id_that_something_else_has_too_means_that_in_its_own_places(store):
    store.chat.create_conversation(id="7", user_id="bob")
    store.chat.append("7", "user", "text", id="1")
    store.chat.create_conversation(id="of-seven", user_id="7")
    store.keywords.add("7", "seven", kind="number")
    store.keywords.add("1", "one", kind="number")
    store.corrections.add("subject", "claim", conversation_id="7")
    log = store.audit.append
    bobs = [log("a", conversation_id="7").seq, log("a", entity_kind="conversation", entity_id="7").seq]
    own = [log("a", actor="7").seq, log("a", entity_kind="user", entity_id="7").seq, log("a", entity_id="7").seq]
    ones = [log("a", conversation_id="1").seq, log("a", actor="1").seq]
    assert store.audit.get(store.erase(user_id="7").audit_seq).redacts == own
    assert store.audit.get(store.erase(message_id="1").audit_seq).redacts == []
    assert [event.seq for event in store.audit.find(event_type="a", ascending=True) if not event.redacted] == bobs + ones
    assert len(store.keywords.search("seven")) == len(store.keywords.search("one")) == store.corrections.count() == 1


def test_a_project_called_like_an_actor_leaves_the_events_of_that_actor(store):
    store.chat.create_project("coder")
    seq = store.audit.append("query", actor="coder", details={"by": "coder"}).seq
    gone = store.audit.append("query", actor="ann", project="coder").seq
    assert store.audit.get(store.erase(project="coder").audit_seq).redacts == [gone]
    assert store.audit.get(seq).actor == "coder"


def test_events_that_came_with_imports_are_emptied_and_named_with_their_store(store, tmp_path):
    with open_store(tmp_path / "other.db") as other:
        for user in ("ada", "bob", "ada"):
            other.audit.append("query", user_id=user, details={"tokens": 1})
        other.export(tmp_path / "out")
        origin = other.store_id
    store.audit.append("query")
    store.import_(tmp_path / "out")
    receipt = store.erase(user_id="ada")
    assert receipt.counts == {"audit_imported": 2}
    body = store.query("SELECT body FROM audit_log WHERE seq = ?", (receipt.audit_seq,))[0]["body"]
    assert f',"redacts_imported":{{"{origin}":[1,3]}}' in body
    assert '"redacts":' not in body
    left = store.query("SELECT refs = '' AS empty, payload IS NULL AS bare FROM audit_imported ORDER BY seq")
    assert [tuple(row.values()) for row in left] == [(1, 1), (0, 0), (1, 1)]
    assert store.audit.verify().ok
    assert store.audit.verify(store_id=origin).ok


def test_the_log_still_knows_who_erased_and_a_second_erasure_finds_that_person(store):
    store.chat.create_conversation(id="c", user_id="ada")
    first = store.erase(user_id="ada", actor="eve")
    assert store.erase(user_id="eve").counts == {"audit_log": 1}
    assert store.audit.get(first.audit_seq).redacted
    assert store.audit.verify().ok


def test_texts_of_others_that_mention_somebody_are_kept_and_said(store):
    store.chat.create_conversation(id="a", user_id=ADA)
    store.chat.create_conversation(id="b", user_id="bob")
    store.chat.append("b", "user", f"write to {ADA}")
    store.audit.append("query", user_id="bob", details={"text": f"write to {ADA}"})
    assert store.erase(user_id=ADA).kept == [
        "rows of messages with the id inside a text: 1, kept, since the text is about something else",
        "rows of audit_log with the id inside a text: 1, kept, since the text is about something else",
    ]
    store.chat.create_conversation(id="c", user_id="local")
    store.chat.append("b", "user", "a local word")
    assert store.erase(user_id="local").kept == []


def test_ids_and_labels_of_others_that_hold_the_id_are_said_too(store):
    store.chat.create_conversation(id="a", user_id=ADA)
    store.chat.create_conversation(id=f"dm:bob:{ADA}", user_id="bob")
    store.chat.append(f"dm:bob:{ADA}", "user", "hello", id=f"{ADA}-m1")
    store.chat.create_project(f"{ADA}'s things", user_id="bob")
    store.chat.touch_session(f"s:{ADA}", user_id="bob")
    store.corrections.add("s", "c", user_id="bob", source=ADA)
    store.evals.promote(ADA, "m1", "m2")
    store.backups.track("b", ADA, "x")
    store.keywords.add(f"{ADA}/cv", "text", kind="doc")
    store.audit.append("query", trace_id=f"{ADA}!")
    dry = store.erase(user_id=ADA, dry_run=True).kept
    tables = {"projects", "conversations", "messages", "sessions", "corrections", "token_counters", "promotions"}
    what = "with the id inside an id or a label: 1, kept, since it belongs to something else"
    assert dry[0].startswith("audit events with an id or name of it in their body: 1"), "that of the promotion"
    assert {*dry[1:]} == {f"rows of {table} {what}" for table in tables | {"keyword_items", "audit_log"}}
    assert store.erase(user_id=ADA).kept == dry


def test_an_id_with_quotes_is_found_inside_json_where_it_is_escaped(store):
    name = 'o"neill\\x@example.org'
    store.chat.create_conversation(id="b", user_id="bob", metadata={"to": f"see {name}"})
    store.chat.append("b", "user", f"ask {name}")
    store.audit.append("query", actor="bob", details=f"see {name}", trace_id=f"{name}!")
    text = "with the id inside a text: 1, kept, since the text is about something else"
    assert store.erase(user_id=name).kept == [
        f"rows of conversations {text}",
        f"rows of messages {text}",
        f"rows of audit_log {text}",
        "rows of audit_log with the id inside an id or a label: 1, kept, since it belongs to something else",
    ]


def test_a_second_erasure_still_says_who_else_writes_of_somebody(store):
    store.chat.create_conversation(id="a", user_id=ADA)
    store.chat.create_conversation(id="b", user_id="bob")
    store.chat.append("b", "user", f"write to {ADA}")
    first, second = store.erase(user_id=ADA), store.erase(user_id=ADA)
    assert (second.counts, second.audit_seq) == ({}, None)
    assert second.kept == first.kept != []


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_exactly_one_subject_is_named(store):
    with pytest.raises(Invalid, match="none was given"):
        store.erase()
    with pytest.raises(Invalid, match="not conversation_id and user_id given"):
        store.erase(conversation_id="c", user_id="u")
    with pytest.raises(Invalid, match="user_id"):
        store.erase(user_id="")


@pytest.mark.parametrize("kind", ["conversation_id", "project", "message_id", "memory_id", "document_id"])
def test_what_no_room_knows_is_not_found_and_the_nearest_is_named(lives, kind):
    store, ada, _ = lives
    near = ada.subjects[kind]
    before = store.query("SELECT total_changes() AS n"), rows(store), store.audit.head()
    with pytest.raises(NotFound, match=f"nearest: '{near}'.*nothing was erased"):
        store.erase(**{kind: near[:-1]})
    assert (store.query("SELECT total_changes() AS n"), rows(store), store.audit.head()) == before


def test_a_user_who_left_nothing_is_no_error_and_writes_nothing(store):
    receipt = store.erase(user_id="nobody")
    assert (receipt.counts, receipt.audit_seq) == ({}, None)
    assert store.stats().rooms == {}


@pytest.mark.parametrize("said", [{"actor": "ada"}, {"reason": "ada asked"}, {"reason": "asked (ada)"}])
def test_who_is_forgotten_is_not_named_in_what_stays(store, said):
    store.chat.create_conversation(id="c", user_id="ada")
    with pytest.raises(Invalid, match="names what is to be erased"):
        store.erase(user_id="ada", **said)
    assert store.erase(user_id="ada", actor="adam", reason="cadaver").counts == {"conversations": 1}


@pytest.mark.parametrize("said", [{"actor": "Zeppelin Secret"}, {"reason": "Zeppelin Secret is over"}, {"reason": "p-1 is over"}])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_project_is_not_named_by_any_of_its_names_in_what_stays(store, said, dry_run):
    store.chat.create_project("Zeppelin Secret", id="p-1")
    store.chat.alias("p-1", "zepsec")
    with pytest.raises(Invalid, match="names what is to be erased"):
        store.erase(project="zepsec", dry_run=dry_run, **said)
    assert store.chat.get_project("p-1").name == "Zeppelin Secret"


def test_a_receipt_names_the_copies_that_are_out_of_reach(store):
    assert "files that imports came from" in store.erase(user_id="nobody").out_of_reach


def test_a_read_only_store_says_so(tmp_path):
    open_store(tmp_path / "agent.db").close()
    with open_store(tmp_path / "agent.db", read_only=True) as store:
        for dry_run in (False, True):
            with pytest.raises(ReadOnly):
                store.erase(user_id="ada", dry_run=dry_run)


def test_a_room_of_a_newer_memstore_forbids_it(file_store):
    file_store.chat.create_conversation(id="c", user_id="ada")
    Things(file_store).add("something")
    with pytest.raises(SchemaTooNew, match="things.*upgrade memstore"):
        file_store.erase(user_id="ada")
    assert file_store.chat.get_conversation("c").user_id == "ada"


def test_a_keyed_log_needs_its_key(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path, audit_key="secret") as store:
        store.chat.create_conversation(id="c", user_id="ada")
    with open_store(path) as store:
        with pytest.raises(Invalid, match="audit_key"):
            store.erase(user_id="ada")
        assert store.chat.get_conversation("c").user_id == "ada"
    with open_store(path, audit_key="secret") as store:
        store.audit.append("query", user_id="ada")
        store.erase(user_id="ada")
        assert store.audit.verify().ok


# -- a trial, and inside a transaction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["conversation_id", "project", "user_id", "message_id", "memory_id", "document_id"])
def test_a_dry_run_tells_the_same_and_writes_nothing(lives, searcher, kind):
    store, ada, _ = lives
    given = {kind: ada.subjects[kind]}
    before = {table: store.query(f"SELECT * FROM {table}") for table in (*rows(store), *DERIVED) if store.query(
        "SELECT 1 FROM sqlite_schema WHERE name = ?", (table,))}  # fmt: skip
    trial = store.erase(**given, dry_run=True)
    assert trial.dry_run
    assert (trial.audit_seq, trial.scrubbed) == (None, False)
    assert {table: store.query(f"SELECT * FROM {table}") for table in before} == before
    real = store.erase(**given)
    assert (real.counts, real.kept, real.forks) == (trial.counts, trial.kept, trial.forks)


def test_inside_a_transaction_it_happens_with_it_and_the_bytes_go_after_it(lives, searcher):
    store, ada, _ = lives
    with pytest.raises(KeyError), store.transaction():
        store.erase(user_id=ADA)
        raise KeyError
    assert store.chat.get_conversation(ada.chat).user_id == ADA
    with store.transaction():
        assert not store.erase(user_id=ADA).scrubbed
    assert searcher(store, *ada.words) == []
    assert not store.stats().scrub_owed


def test_a_store_in_memory_forgets_too_and_so_do_its_snapshots(tmp_path, searcher):
    with open_store() as store:
        ada = Life("ada", ADA)
        ada.live(store)
        assert store.erase(user_id=ADA).scrubbed
        assert searcher(store.snapshot(tmp_path / "copy.db"), *ada.words) == []


# -- life goes on -------------------------------------------------------------------------------------------------------


def test_numbers_of_arrival_and_places_are_not_given_again(store):
    store.chat.create_conversation(id="c", user_id="ada")
    last = [store.chat.append("c", "user", f"text {n}") for n in range(5)][-1]
    highest = store.query("SELECT max(arrival) AS n FROM messages")[0]["n"]
    store.erase(conversation_id="c")
    store.chat.create_conversation(id="c", user_id="bob")
    message = store.chat.append("c", "user", "text again")
    assert store.query("SELECT arrival FROM messages")[0]["arrival"] > highest
    assert store.chat.search("text")[0].message == message
    with pytest.raises(NotFound):
        store.chat.get_message(last.id)


def test_the_log_verifies_without_memstore_too(lives):
    store, _, _ = lives
    anchor = str(store.audit.head())
    store.erase(user_id=ADA)
    script = os.path.join(os.path.dirname(__file__), "..", "examples", "verify_without_memstore.py")
    done = subprocess.run([sys.executable, script, store.path, anchor], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("no findings\n", 0), done.stderr


def test_append_search_fork_and_erasing_go_on(lives, searcher):
    store, ada, bob = lives
    store.erase(user_id=ADA)
    store.chat.append(bob.chat, "user", "quokka words")
    assert store.chat.search("quokka")[0].message.conversation_id == bob.chat
    assert store.chat.search(ADA) == []
    fork = store.chat.fork(bob.chat, at=bob.message)
    assert store.chat.messages(fork.id)
    store.keywords.rebuild()
    again = Life("ada", ADA)
    again.live(store)
    store.erase(user_id=ADA)
    assert searcher(store, *again.words) == []
