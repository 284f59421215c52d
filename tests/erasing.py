"""What the tests of erasing share: the bytes of a store as another process sees them, and lives that fill every room."""

from __future__ import annotations

import json
import subprocess
import sys

from memstore.knowledge import Section

ADA = "ada.lovelace@example.org"
#: Tables that are derived from others or are the store's own book-keeping.
DERIVED = {"meta", "maintenance", "schema_version", "schema_steps", "sqlite_sequence", "sqlite_stat1", "arrivals", "keyword_state",
           "keyword_gone", "keyword_segments", "audit_state", "audit_log", "audit_places", "audit_erased", "correction_words",
           "memory_words", "entity_names", "entity_words", "vector_spaces", "chunk_index", "chunk_index__terms", "chunk_index__words",
           *(f"chunk_index__words_{part}" for part in ("data", "idx", "content", "docsize", "config"))}  # fmt: skip
SEARCH = """
import json, os, sys
for line in sys.stdin:
    path, words = json.loads(line)
    files = {end: open(path + end, "rb").read() for end in ("", "-wal", "-shm") if os.path.exists(path + end)}
    # Many words begin alike: where their beginning is not there, none of them is looked for.
    heads = {end: {head for head in {word[:4] for word in words} if head.encode() in data} for end, data in files.items()}
    found = [[end, word] for end, data in files.items() for word in words if word[:4] in heads[end] and word.encode() in data]
    print(json.dumps(found), flush=True)
"""


class Searcher:
    """Another process that reads the bytes of a store's files; to open them in this one would drop its locks."""

    def __init__(self):
        self.child = subprocess.Popen([sys.executable, "-c", SEARCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, store, *words):
        """Where words are: the ends of the names of files, each with the word."""
        path = store if isinstance(store, str) else store.path
        self.child.stdin.write(json.dumps([path, list(words)]) + "\n")
        self.child.stdin.flush()
        return [tuple(found) for found in json.loads(self.child.stdout.readline())]

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait(10)


class Life:
    """What somebody leaves in every room: each text is told apart by a word of its own."""

    def __init__(self, name, user_id):
        self.name, self.user_id = name, user_id
        self.words = [user_id]

    @property
    def subjects(self):
        """What may be erased of it, by the argument that names it."""
        return {"conversation_id": self.chat, "project": self.project, "user_id": self.user_id, "message_id": self.message,
                "memory_id": self.memories[0], "document_id": self.document}  # fmt: skip

    def word(self, what):
        """A new word, which stands nowhere else."""
        word = f"{self.name}q{len(self.words)}{what}"
        self.words.append(word)
        return word

    def live(self, store):
        """Fill every text column of every room."""
        say, user = self.word, self.user_id
        self.project = say("project")
        store.chat.create_project(say("named"), id=self.project, user_id=user, description=say("told"), metadata={say("k"): say("v")})
        store.chat.alias(self.project, say("alias"), user_id=user)
        store.chat.activate(self.project, user_id=user)
        self.chat = say("chat")
        store.chat.create_conversation(id=self.chat, title=say("title"), user_id=user, metadata={say("k"): say("v")})
        self.message = say("message")
        calls = [{"id": say("call"), "type": "function", "function": {"name": say("tool"), "arguments": json.dumps({"a": say("arg")})}}]
        said, more = f"{say('first')} {say('second')}", {say("k"): say("v")}
        store.chat.append(self.chat, "user", said, id=self.message, metadata=more, name=say("nick"))
        store.chat.append(self.chat, "assistant", say("answer"), tool_calls=calls, models_used=[say("model")])
        result = {"role": "tool", "content": say("result"), "tool_call_id": say("call"), say("extra"): say("more")}
        store.chat.append_message(self.chat, result)
        store.chat.append_many(self.chat, [{"role": "user", "content": f"{say('many')} {'x' * (n * 37 % 900)}"} for n in range(40)])
        self.fork = store.chat.fork(self.chat, at=self.message).id
        self.session = say("session")
        store.chat.touch_session(self.session, user_id=user, domain=say("domain"), metadata={say("k"): say("v")})
        self.correction = say("correction")
        texts = {name: say(name) for name in ("subject", "claim", "rejected", "domain", "source", "why", "prompt")}
        owned = {"id": self.correction, "user_id": user, "conversation_id": self.chat}
        store.corrections.add(**texts, **owned, metadata={say("k"): say("v")})
        store.corrections.update(self.correction, claim=say("claim"), rejected=say("again"), actor=user)
        store.corrections.applied(self.correction, conversation_id=self.chat)
        self.believe(store)
        self.shelve(store)
        self.learn(store)
        self.contend(store)
        store.backups.track(self.chat, say("specialist"), "some text")
        store.backups.save(self.chat, say("specialist"), say("note"), metadata={say("k"): say("v")})
        fields = {name: say(name) for name in ("query_id", "domain", "domain_l0", "domain_path")}
        store.evals.record_run(self.chat, say("specialist"), corrections_applied=[self.correction], id=say("run"), **fields)
        for session in (self.session, self.chat):
            store.evals.record_assertion(say("asserted"), "info", True, session_id=session, domain=say("domain"), policy_name=say("policy"))
        store.keywords.add(say("item"), f"{say('hand')} {say('indexed')}", kind=say("kind"), conversation_id=self.chat, role=say("role"))
        store.keywords.add(self.message, say("instead"))
        store.keywords.add(user, say("about"), kind="person")
        self.events(store)

    def believe(self, store):
        """Memories in their states, an interaction that was told some of them, and project state.

        What is logged has no project: an event names that in its body, which stays.
        """
        say, room, owned = self.word, store.memories, {"user_id": self.user_id, "conversation_id": self.chat}
        self.interaction = say("interaction")
        found = {name: say(name) for name in ("source_chunk_id", "rule", "extractor_version")}
        given = {**owned, **found, "interaction_id": self.interaction, "domain_tags": [say("tag")]}
        more = {say("k"): say("v")}
        self.memories = [room.add("project", say("believed"), id=say("memory"), metadata=more, **given).id for _ in range(4)]
        room.merge(self.memories[:2], say("merged"), id=say("memory"), actor=self.user_id)
        room.graduate(self.memories[2], say("entity"))
        room.supersede(self.memories[3], by=room.add("project", say("believed"), id=say("memory"), **given).id)
        store.vectors.allow("toy")
        store.vectors.add([(id, [1.0, 2.0]) for id in self.memories], model="toy", kind="memory")
        store.vectors.add([(self.message, [3.0, 4.0])], model="toy", kind="message")
        room.reject(room.add("project", say("refused"), status="candidate", id=say("memory"), **given).id)
        room.add("project", say("believed"), id=say("memory"), project=self.project, **given)
        room.add("project", say("nobody's"), id=say("memory"), project=self.project)
        texts = {name: say(name) for name in ("prompt", "response", "response_summary", "client")}
        pack = {"pieces": [{"kind": say("kind"), "id": say("piece"), "text": say("told")}]}
        used = {"memories_used": self.memories, "chunks_used": [say("chunk")], "session_id": self.session, "project": self.project}
        room.capture(**texts, **used, **owned, context=pack, metadata={say("k"): say("v")}, id=self.interaction)
        for _ in range(2):
            room.add_state(self.project, say("key"), say("value"), id=say("entry"), source=say("source"))

    def shelve(self, store):
        """Documents in their states, chunks made by hand, what was noticed about them, and choices; nothing logged has a project."""
        say, room, owned = self.word, store.documents, {"user_id": self.user_id, "conversation_id": self.chat}
        columns = ("title", "display_name", "source_type", "file_path", "url", "storage_uri", "ticket_id", "git_repo", "git_commit",
                   "suffix", "mime_type", "original_path", "base_path", "relative_path", "extra_text", "content_hash")  # fmt: skip

        def document(text, **given):
            texts = {name: say(name) for name in columns}
            known = {"tags": [say("tag")], "extra_json": {say("k"): say("v")}, "metadata": {say("k"): say("v")}, "id": say("document")}
            return room.add_text(text, uri=say("uri"), **texts, **known, **given)

        self.document = document("what is edited leaves the file by itself", **owned).id
        room.update(self.document, title=say("retitled"), actor=self.user_id)
        room.add_text(f"# {say('heading')}\n\n{say('said')} {say('more')}", uri=room.get(self.document).uri, user_id=self.user_id)
        places = ("id", "content", "heading_path", "anchor_type", "sanitized_hash")
        made = document("which is not what its chunks say", **owned).id
        chunks = [{**{name: say(name) for name in places}, "metadata": {say("k"): say("v")}} for _ in range(2)]
        (self.chunk, *_) = [chunk.id for chunk in room.set_chunks(made, chunks, actor=self.user_id)]
        given = {"source": say("source"), "metadata": {say("k"): say("v")}, "id": say("annotation")}
        room.annotate(self.chunk, say("kind"), detail=say("detail"), **given)
        room.remove_annotation(room.annotate(self.chunk, say("kind"), detail=say("detail")).id, actor=self.user_id)
        room.remove(document(say("hidden"), **owned).id, actor=self.user_id)
        document(say("said"), project=self.project, **owned)
        document(say("said"), project=self.project)
        room.select([made], False, user_id=self.user_id)
        room.select([self.document, made], True, conversation_id=self.chat)

    def learn(self, store):
        """Atoms with all that hangs on them, and what was made from them; what is logged has no project here either."""
        say, room, owned = self.word, store.knowledge, {"user_id": self.user_id, "conversation_id": self.chat}
        more = {"run_id": say("run"), "metadata": {say("k"): say("v")}}
        places = ("id", "source_id", "chunk_id", "chunk_hash", "anchor_type", "snippet", "run_id")
        told = {**owned, **more, "title": say("title"), "domain": say("domain"), "tags": [say("tag")], "verification_status": say("sure")}

        def atom(**given):
            proof = [{**{name: say(name) for name in places}, "metadata": {say("k"): say("v")}}]
            return room.add_atom("claim", say("body"), id=say("atom"), evidence=proof, **given).id

        self.atoms = [atom(**told) for _ in range(3)]
        atom(project=self.project, **told)
        atom(project=self.project)
        room.update_atom(self.atoms[0], title=say("retitled"), actor=self.user_id)
        room.reject_atom(atom(status="candidate", **told))
        room.add_claim(self.atoms[1], say("about"), say("asserts"), domain=say("domain"), strength=say("strength"), id=say("claim"))
        room.link(self.atoms[0], say("relation"), self.atoms[1], id=say("link"))
        room.mention(self.relate(store), self.atoms[1], chunk_id=say("chunk"), id=say("mention"))
        room.merge_atoms([self.atoms[1]], self.atoms[0], id=say("merge"), reviewed_by=say("reviewer"), actor=self.user_id)
        section = Section(say("key"), say("heading"), say("content"), [self.atoms[0]], [say("conflict")], say("rests"))
        artifact = room.add_artifact(say("type"), say("title"), body=say("text"), sections=[section], id=say("artifact"), **owned, **more)
        room.regenerate(artifact.id, [*room.sections(artifact.id), section._replace(key=say("key"))], body=say("again"), **more)
        room.add_artifact(say("type"), say("title"), project=self.project, id=say("artifact"), **owned)
        room.cite_insight(say("insight"), self.atoms[0], relation_type=say("rests"), id=say("citation"))
        room.record_delta(self.project, say("run"), {say("k"): say("v")}, id=say("delta"))

    def relate(self, store):
        """Entities with a past, relationships and observations, of which some hang on an entity that is nobody's."""
        say, room, owned = self.word, store.knowledge, {"user_id": self.user_id, "conversation_id": self.chat}

        def entity(**given):
            known = {name: {say("k"): say("v")} for name in ("external_ids", "properties", "metadata")}
            found = {"aliases": [say("alias")], "source_refs": [f"memory:{say('memory')}"], "extractor_version": say("version")}
            return room.add_entity(say("type"), say("name"), description=say("told"), id=say("entity"), **known, **found, **given).id

        one, other = entity(**owned), entity(**owned)
        room.update(one, name=say("renamed"), actor=self.user_id)
        room.supersede(other, by=one)
        entity(project=self.project, **owned)
        if not room.entities(name="Apollo 11"):
            room.add_entity("Mission", "Apollo 11", id="apollo-11")
        kind = say("flies")
        room.register_kind(kind, "structural")
        for project in (None, self.project):
            edge = {"source_refs": [f"message:{say('message')}"], "properties": {say("k"): say("v")}, "id": say("relationship")}
            room.relate(one, kind, "apollo-11", project=project, valid_from=float(project is None), **edge, **owned)
        room.retire_relationship(room.relationships(one)[-1].id)
        for about in (one, "apollo-11"):
            room.observe(about, say("observed"), source_refs=[f"message:{say('message')}"], id=say("observation"), **owned)
        room.retire_observation(room.observations(one)[0].id)
        return one

    def contend(self, store):
        """Conflicts of its own and of its project, open and closed, with what somebody made of them."""
        say, room, user = self.word, store.conflicts, self.user_id

        def sides():
            columns = ("id", "member_id", "value_snapshot", "claim_id")
            return [{"member_kind": "memory", "claim_kind": "memory", **{name: say(name) for name in columns}} for _ in range(2)]

        closed = {"status": "resolved", "resolution": "supersede_others"}
        for more in ({"user_id": user}, {"project": self.project}, {"user_id": user, **closed}):
            members = sides()
            told = {**{name: say(name) for name in ("slot_kind", "slot_key", "severity")}, "id": say("conflict"), "note": say("remark")}
            winner = members[0]["member_id"] if "status" in more else None
            found = room.open(**told, **more, members=members, metadata={say("k"): say("v")}, winner=winner)
            said = {"reason_codes": [say("code")], "assessor": say("judge"), "note": say("remark"), "assessment_id": say("assessment")}
            room.assess(found.id, say("decision"), **said)
        clash = room.contradict(self.atoms[0], self.atoms[2], id=say("conflict"), note=say("remark"))
        room.resolve(clash.id, "supersede_others", winner=self.atoms[0], actor=user)

    def events(self, store):
        """Events that name somebody in every way that there is."""
        say, user, log = self.word, self.user_id, store.audit
        log.append("query", user_id=user, details={say("k"): [say("v")]}, note=say("note"))
        log.append("query", actor=user, before=say("before"), after=say("after"), trace_id=say("trace"))
        log.append("query", token_id=user, details=say("token"))
        log.append("query", conversation_id=self.chat, session_id=say("elsewhere"), details=say("said"))
        log.append("query", session_id=self.session, details=say("said"))
        log.append("read", entity_kind="message", entity_id=self.message, details=say("said"))
        log.append("read", entity_kind="correction", entity_id=self.correction, details=say("said"))
        log.append("read", actor="clerk", details={"of": {"user_id": user}, "more": say("said")})
        log.append("read", actor="clerk", details={user: say("said")})


def rows(store):
    """All that the store holds, derived tables left out."""
    names = [row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: [tuple(row.values()) for row in store.query(f"SELECT * FROM {name}")] for name in names if name not in DERIVED}


def without(held, words):
    """The rows in which none of the words stands."""
    return {table: [row for row in found if not any(word in repr(row) for word in words)] for table, found in held.items()}
