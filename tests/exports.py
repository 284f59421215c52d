"""A store with a little of everything, its export, another store to take that in, and how two exports are compared."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from memstore import open_store
from memstore.knowledge import Section
from memstore.testing import FakeClock


def fill(store, tag=""):
    """One thing of each kind at least, with rows that were changed, removed and redacted since."""
    store.chat.create_project(f"Apollo{tag}", id=f"p1{tag}", description="to the moon")
    store.chat.alias(f"Apollo{tag}", f"moon{tag}", f"eagle{tag}")
    store.chat.activate(f"Apollo{tag}", user_id=f"ann{tag}")
    store.chat.create_conversation(id=f"c1{tag}", title="first", project=f"Apollo{tag}", user_id=f"ann{tag}", metadata={"a": [1.5, None]})
    store.chat.create_conversation(id=f"c2{tag}", title="sécond", user_id=f"bob{tag}")
    for number in range(6):
        store.chat.append(f"c1{tag}", "user", f"amber question {number}", id=f"m{number}{tag}")
        store.chat.append(f"c2{tag}", "assistant", f"basalt answer {number}\n日本語", metadata={"n": number})
    store.chat.append_message(f"c1{tag}", {"role": "assistant", "content": None, "tool_calls": [{"id": "t1"}], "odd": {"key": "\x01"}})
    store.chat.pop(f"c2{tag}")
    fork = store.chat.fork(f"c1{tag}", at=f"m3{tag}")
    store.chat.rename(fork.id, "a fork")
    store.chat.touch_session(f"s1{tag}", domain="rust", user_id=f"ann{tag}")
    whose = {"user_id": f"ann{tag}", "conversation_id": f"c1{tag}"}
    store.corrections.add(f"rounding{tag}", "round half even", rejected="truncate", id=f"k1{tag}", **whose)
    store.corrections.update(f"k1{tag}", rejected="floor")
    store.corrections.applied(f"k1{tag}", conversation_id=f"c1{tag}")
    store.corrections.add(f"naming{tag}", "snake case", rejected="camel case", id=f"k2{tag}", metadata={"b": "é"})
    store.corrections.add(f"old{tag}", "was so", id=f"k3{tag}")
    store.corrections.supersede(f"k3{tag}", by=f"k2{tag}")
    about = {**whose, "project": f"moon{tag}", "domain_tags": ["optics"]}
    for number in range(5):
        store.memories.add("project", f"belief {number}{tag} 日本語", id=f"y{number}{tag}", metadata={"d": "é"}, **about)
    store.memories.merge([f"y0{tag}", f"y1{tag}"], f"both beliefs{tag}", id=f"y9{tag}")
    store.memories.add("knowledge", f"belief{tag} that an entity took over", status="graduated", id=f"y7{tag}")
    store.memories.supersede(f"y3{tag}", by=f"y4{tag}")
    store.memories.reject(store.memories.add("knowledge", f"refused{tag}", status="candidate", id=f"y5{tag}").id)
    store.memories.add("knowledge", f"both beliefs{tag}", status="candidate", id=f"y6{tag}", valid_until="2999-12-31")
    used = {"memories_used": [f"y4{tag}", f"y3{tag}"], "context": {"pieces": [{"kind": "message", "id": f"m1{tag}", "text": "amber"}]}}
    store.memories.capture("what is so?", "that is", id=f"i1{tag}", session_id=f"s1{tag}", **used, **whose, project=f"moon{tag}")
    store.memories.capture("and else?", id=f"i2{tag}", client="shell")
    store.memories.set_state(f"moon{tag}", "deadline", "the summer of 1969")
    store.memories.set_state(f"moon{tag}", "pilot", "Neil")
    store.memories.clear_state(f"moon{tag}", "pilot")
    shelve(store, tag, whose)
    store.vectors.allow(f"toy{tag}")
    store.vectors.add([(f"y{number}{tag}", [number + 0.1, 1.0, -2.5]) for number in (2, 4)], model=f"toy{tag}", kind="memory")
    store.vectors.add([(f"h{number}{tag}", [number, 1e-30, 3e38]) for number in range(3)], model=f"toy{tag}")
    store.vectors.remove(f"h1{tag}")
    learn(store, tag, whose)
    clash(store, tag)
    for _ in range(3):
        store.backups.track(f"c1{tag}", "coder", "a text")
    store.backups.save(f"c1{tag}", "coder", "what was said", id=f"b1{tag}", metadata={"c": 1})
    store.evals.record_run(f"c1{tag}", "coder", id=f"r1{tag}", utility_score=0.1 + 0.2)
    store.evals.record_assertion("polite", "info", True, id=f"a1{tag}", session_id=f"s1{tag}")
    store.evals.promote(f"coder{tag}", None, "model-1", id=f"o1{tag}")
    store.evals.promote(f"coder{tag}", "model-1", "model-2", id=f"o2{tag}")
    store.evals.rollback(f"coder{tag}", reason="worse")
    for number in range(5):
        store.audit.append("query", **whose, project=f"Apollo{tag}", details={"n": number}, id=f"e{number}{tag}")
    store.audit.append("query", actor=f"bob{tag}", note="his own")
    store.audit.redact(store.audit.get(f"e1{tag}").seq, reason="asked for")
    store.keywords.add(f"n1{tag}", "amber delta note", kind="note", conversation_id=f"c1{tag}")
    store.keywords.add(f"m1{tag}", "delta instead of a message")
    store.keywords.remove(f"m2{tag}")


def shelve(store, tag, whose):
    """Documents in their states, chunks made by hand, what was noticed about one, and who wants to hear from which."""
    room = store.documents
    given = {"project": f"moon{tag}", "tags": ["optics"], "metadata": {"h": "é"}, "source_type": "web", **whose}
    said = f"# Amber{tag}\n\nmarble é 日本語\n\n# Cedar\n\n" + "delta words " * 120
    room.add_text(said, uri=f"file:/a{tag}", title="é", id=f"q1{tag}", **given)
    for number, text in enumerate((f"as it was{tag}", f"as it is{tag} é")):
        room.add_text(text, uri=f"file:/b{tag}", id=f"q2{tag}" if number == 0 else None)
    room.remove(room.add_text(f"hidden{tag}", id=f"q3{tag}").id)
    room.add_text("", uri=f"file:/c{tag}", id=f"q4{tag}")
    known = {"heading_path": "é", "metadata": {"i": "é"}}
    room.set_chunks(f"q4{tag}", [{"content": f"chunk {number}{tag}", "id": f"h{number}{tag}", **known} for number in range(3)])
    room.annotate(f"h1{tag}", "secret", start_char=1, end_char=3, detail="é", metadata={"j": "é"}, id=f"j1{tag}")
    room.select([f"q1{tag}", f"q2{tag}"], True, user_id=f"ann{tag}")
    room.select([f"q2{tag}"], False, conversation_id=f"c1{tag}")


def shelved(store):
    """What the documents of a store answer to its readers."""
    room = store.documents
    documents = sorted(room.find(include_deleted=True, limit=None), key=lambda item: item.id)
    return {
        "documents": [item.to_dict() for item in documents],
        "chunks": [{**chunk.to_dict(), "chunk_hash": ""} for item in documents for chunk in room.chunks(item.id)],  # a tag under a codec
        "annotations": sorted((note.to_dict() for note in room.annotations(limit=None)), key=str),
        "retrieved": [{hit.chunk.id for hit in room.search(word, limit=None)} for word in ("marble", "chunk", "hidden", "it", "日本")],
    }


def learn(store, tag, whose):
    """Atoms in their states, what hangs on them, and what was made from them."""
    room = store.knowledge
    relate(store, tag, whose)
    for number in range(5):
        proof = [{"chunk_id": f"h{number}{tag}", "chunk_hash": "old", "snippet": f"it says {number} é", "id": f"v{number}{tag}"}]
        given = {"project": f"moon{tag}", "tags": ["optics"], "metadata": {"e": "é"}, "verification_status": "verified", **whose}
        room.add_atom("claim", f"Atom {number}{tag} 日本語", id=f"t{number}{tag}", evidence=proof, **given)
    room.reject_atom(room.add_atom("risk", f"unlikely{tag}", id=f"t5{tag}", status="candidate").id)
    room.add_claim(f"t1{tag}", "the Moon", "is far", strength="must", id=f"l1{tag}")
    room.link(f"t0{tag}", "refines", f"t1{tag}", weight=0.5, id=f"l2{tag}")
    room.mention(f"n1{tag}", f"t1{tag}", chunk_id=f"h1{tag}", anchor_start=3, anchor_end=7, id=f"l3{tag}")
    room.merge_atoms([f"t1{tag}"], f"t0{tag}", reviewed_by=f"ann{tag}", id=f"g1{tag}")
    room.merge_atoms([f"t3{tag}"], operation="obsolete", review_status="pending", id=f"g2{tag}")
    sections = [Section(f"part {number}", "Part", f"text {number}{tag}", [f"t{number}{tag}"], [f"x{tag}"]) for number in (0, 2, 3)]
    room.add_artifact("prd", "To the Moon", body="é", sections=sections, project=f"moon{tag}", id=f"f1{tag}", **whose)
    room.regenerate(f"f1{tag}", [*room.sections(f"f1{tag}")[:2], sections[2]], metadata={"f": 1})
    room.cite_insight(f"o1{tag}", f"t0{tag}", id=f"o2{tag}")
    room.mark_stale(chunk_id=f"h2{tag}", chunk_hash="new")
    room.set_knowledge_state(f"moon{tag}", "all is well é", open_questions=["why?"], evidence_index={"a": [1, "é"]})
    room.record_delta(f"moon{tag}", "run 1", {"atoms": 5, "text": "é"}, id=f"d1{tag}")


def relate(store, tag, whose):
    """Entities with a past, what holds between them and what did, and what was observed."""
    room = store.knowledge
    given = {"aliases": ["eleven é"], "external_ids": {"nssdc": "1969-059A"}, "properties": {"crew": 3}, "metadata": {"e": "é"}}
    room.add_entity("Mission", f"Apollo 11{tag}", id=f"n1{tag}")
    room.add_entity("Craft", f"Eagle{tag} 日本語", id=f"n2{tag}", project=f"moon{tag}", source_refs=[f"memory:y0{tag}"], **given, **whose)
    room.add_entity("Craft", f"Columbia{tag}", id=f"n3{tag}", status="candidate", valid_until="2999-12-31", **whose)
    room.promote(f"n3{tag}")
    room.update(f"n2{tag}", name=f"LM 5{tag}", description="landed é")
    room.supersede(room.add_entity("Craft", f"Snoopy{tag}", id=f"n4{tag}", **whose).id, by=f"n3{tag}")
    room.register_kind(f"flew on{tag}", "structural")
    for number, kind in enumerate(("part_of", f"flew on{tag}", "depends_on")):
        room.relate(f"n2{tag}", kind, f"n3{tag}", id=f"l{number}{tag}", properties={"f": "é"}, **whose)
    room.retire_relationship(f"l2{tag}")
    for number in range(2):
        room.observe(f"n2{tag}", f"it is grey {number} é", id=f"w{number}{tag}", **whose)
    room.retire_observation(f"w1{tag}")


def related(store):
    """What the graph of a store answers to its readers, now and of the past."""
    room = store.knowledge
    entities = sorted(room.entities(include_expired=True), key=lambda item: item.id)
    then = room.as_of(recorded=min([item.updated_at for item in entities], default=0.0))
    return {
        "entities": [item.to_dict() for item in entities],
        "entities then": [item.to_dict() for item in sorted(then.entities(), key=lambda item: item.id)],
        "named": [found.id for found in (room.find_entity(item.name) for item in entities) if found is not None],
        "kinds": room.kinds(),
        "relationships": sorted((item.to_dict() for item in room.relationships(include_retired=True)), key=str),
        "observations": [note.to_dict() for item in entities for note in room.observations(item.id, include_retired=True)],
    }


def clash(store, tag):
    """Conflicts of both kinds, open and closed in each way."""
    pairs, room = [("memory", f"y{number}{tag}") for number in (2, 4, 9)], store.conflicts
    given = {"project": f"moon{tag}", "user_id": f"ann{tag}", "metadata": {"g": "é"}}
    room.open("size.claimed", f"Größe{tag}", members=pairs, note="é 日本語", severity="high", id=f"z1{tag}", **given)
    room.assess(f"z1{tag}", "likely", reason_codes=["é"], decision_confidence=0.5, note="é", assessment_id=f"z2{tag}")
    room.contradict(f"t0{tag}", f"t2{tag}", id=f"z3{tag}")
    for number, action in enumerate(("dismiss", "no_action")):
        room.resolve(room.open("size.claimed", f"size {number}{tag}", members=pairs, id=f"z{number + 4}{tag}").id, action, note="é")
    told = [{"member_kind": "entity", "member_id": f"w{number}{tag}", "value_snapshot": "é", "id": f"w{number}{tag}"} for number in (1, 2)]
    room.open("elsewhere", tag or "x", members=told, status="resolved", resolution="supersede_others", winner=f"w1{tag}", id=f"z6{tag}")


def learned(store):
    """What the ledger of a store answers to its readers, whatever keys and ids of its own its rows have."""
    room, made = store.knowledge, ("id", "artifact_id", "section_id", "parent_artifact_id")
    atoms = sorted(room.atoms(include_dismissed=True), key=lambda atom: atom.id)
    artifacts = room.artifacts()
    found = {
        "atoms": atoms,
        "evidence": [piece for atom in atoms for piece in room.evidence(atom.id)],
        "claims": room.claims(),
        "links": room.links(),
        "mentions": room.mentions(),
        "merges": room.merges(),
        "artifacts": artifacts,
        "sections": [section for item in artifacts for section in room.sections(item.id)],
        "stale": [section for item in artifacts for section in room.stale_sections(item.id)],
        "citations": room.citations(),
        "known": [state for state in map(room.knowledge_state, {str(atom.project_id) for atom in atoms}) if state is not None],
        "deltas": room.deltas(),
    }
    return {
        name: sorted(({field: value for field, value in item.to_dict().items() if field not in made} for item in items), key=str)
        for name, items in found.items()
    }


@pytest.fixture
def source(tmp_path, begun):
    """A filled store."""
    with open_store(shutil.copy(begun[""], tmp_path / "source.db"), clock=FakeClock()) as opened:
        yield opened


@pytest.fixture
def exported(source, tmp_path):
    """Its export."""
    source.export(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def other(tmp_path, begun):
    """Another store with a history."""
    with open_store(shutil.copy(begun["-b"], tmp_path / "other.db"), clock=FakeClock()) as opened:
        yield opened


def rows_of(store):
    """All rows of all tables of users."""
    names = store.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'keyword_se%' ORDER BY name")
    return {row["name"]: store.query(f"SELECT * FROM {row['name']}") for row in names if row["name"] != "maintenance"}


def bytes_of(folder):
    """Every file of an export."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def answers(store):
    """What a store answers to its readers, whatever keys its rows have."""
    conversations = store.chat.conversations(limit=None, archived=True)
    return {
        "projects": sorted((item.to_dict() for item in store.chat.projects()), key=str),
        "conversations": [item.to_dict() for item in conversations],
        "messages": {item.id: [message.to_dict() for message in store.chat.messages(item.id, limit=None)] for item in conversations},
        "sessions": sorted((item.to_dict() for item in store.chat.sessions(limit=None)), key=str),
        "hits": [hit.message.id for hit in store.chat.search("a", limit=None)],
        "corrections": sorted((item.to_dict() for item in store.corrections.find(include_superseded=True)), key=str),
        "relevant": sorted(item.correction.id for item in store.corrections.relevant("rounding naming", limit=None, min_effective=0.0)),
        "memories": sorted((item.to_dict() for item in store.memories.find(include_expired=True)), key=str),
        "believed": sorted(hit.memory.id for hit in store.memories.search("both beliefs", limit=None, status=None)),
        "interactions": sorted((item.to_dict() for item in store.memories.interactions(limit=None)), key=str),
        "explained": sorted((store.memories.explain(item.id).to_dict() for item in store.memories.interactions(limit=None)), key=str),
        "states": sorted((item.to_dict() for item in store.memories.states(include_cleared=True)), key=str),
        **shelved(store),
        **related(store),
        **learned(store),
        "conflicts": sorted((item.to_dict() for item in store.conflicts.find()), key=str),
        "assessed": [each.to_dict() for item in store.conflicts.find() for each in store.conflicts.assessments(item.id)],
        "near": near(store),
        "backups": sorted((item.to_dict() for item in store.backups.find(limit=None)), key=str),
        "runs": sorted((item.to_dict() for item in store.evals.runs()), key=str),
        "assertions": sorted((item.to_dict() for item in store.evals.assertions()), key=str),
        "promotions": [item.to_dict() for item in store.evals.promotions()],
        "keywords": [hit.to_dict() for hit in store.keywords.search("d", limit=None) if hit.kind != "chunk"],  # under a codec
    }


def near(store):
    """What the vectors of a store answer to their readers."""
    room, found = store.vectors, {}
    for model in [each.model for each in room.models()]:
        ids = [row["id"] for row in store.query("SELECT id FROM vectors WHERE model = ?", (model,))]
        hits = room.nearest([1.0, 1.0, 0.0], model=model, only=ids, limit=None)
        found[model] = [(hit.to_dict(), room.get(hit.id, kind=hit.kind).to_dict()) for hit in hits]
    return found


def signed(manifest):
    """A manifest with the digest that belongs to it."""
    said = {name: value for name, value in manifest.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
    return json.dumps({**said, "sha256": digest}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def rewrite(folder, name, change):
    """Change the lines of a file and let the manifest agree, as somebody would who knows the format."""
    path = folder / name
    lines = change(path.read_bytes().splitlines(keepends=True))
    path.write_bytes(b"".join(lines))
    manifest = json.loads((folder / "manifest.json").read_text())
    for room in manifest["rooms"].values():
        for entry in room["tables"].values():
            if entry["file"] == name:
                entry.update(rows=len(lines), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    (folder / "manifest.json").write_text(signed(manifest))
