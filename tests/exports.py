"""A store with a little of everything, and how two exports are compared."""

from __future__ import annotations

import hashlib
import json


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
    store.memories.set_state(f"moon{tag}", "deadline", "1969")
    store.memories.set_state(f"moon{tag}", "pilot", "Neil")
    store.memories.clear_state(f"moon{tag}", "pilot")
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
        "backups": sorted((item.to_dict() for item in store.backups.find(limit=None)), key=str),
        "runs": sorted((item.to_dict() for item in store.evals.runs()), key=str),
        "assertions": sorted((item.to_dict() for item in store.evals.assertions()), key=str),
        "promotions": [item.to_dict() for item in store.evals.promotions()],
        "keywords": [hit.to_dict() for hit in store.keywords.search("d", limit=None)],
    }


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
