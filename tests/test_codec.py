"""A store with a codec: the same answers, and no word of them in the files."""

from __future__ import annotations

import contextlib
import random
import sqlite3

import pytest
from kernel.things import finish, run, start
from toy_codec import Toy

from memstore import Corrupt, HandoffNote, Invalid, StoreError, Tampered, WrongKey, open_store
from memstore.testing import FakeClock, recorded_statements

AMBER = ["amber", "bridges", "carry", "seven", "lanterns"]

#: One word for every place that must be ciphertext, long enough not to come up in random bytes.
SECRETS = (
    "contentquagga", "titleaxolotl", "noteokapibird", "claimnarwhal", "subjectwombat", "rejectedibexes", "whycapybara", "promptserval",
    "metadatacivet", "descriptionlynx", "toolargument", "namedkinkajou", "extrapangolin", "auditaardvark", "byhandtapir", "reasonmarmot",
    "partstarsier", "sessionocelot", "renamedbinturong", "auditnotefossa", "updatedjerboa", "popped_numbat", "openvicuna",
    "believedgibbon", "promptedlemur", "respondedloris", "summedpotto", "toldgalago", "statedcoati",
    "namedaardwolf", "describedgenet", "aliasedmargay", "externaldhole", "propertyjackal", "renamedpangolin", "observedtamandua",
)  # fmt: skip


def fernet():
    pytest.importorskip("cryptography", reason="the package cryptography is not installed: only the toy codec is tried")
    from cryptography.fernet import Fernet

    return Fernet(Fernet.generate_key())


@pytest.fixture(params=["toy", "fernet"])
def codec(request):
    return Toy() if request.param == "toy" else fernet()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


def opened(path, codec=None, **options):
    return open_store(path, codec=codec, clock=options.pop("clock", FakeClock()), **options)


def furnish(store):
    """One of each thing that has a text."""
    store.chat.create_project("Apollo", id="p1", description="descriptionlynx", metadata={"a": "metadatacivet"})
    store.chat.create_conversation(id="c1", title="titleaxolotl", project="Apollo", metadata={"a": "metadatacivet"})
    store.chat.append("c1", "user", "the contentquagga " + " ".join(AMBER), id="m1", metadata={"a": "metadatacivet"})
    store.chat.append("c1", "assistant", None, id="m2", tool_calls=[{"id": "t", "function": {"name": "f", "arguments": "toolargument"}}])
    store.chat.append("c1", "tool", "seven contentquagga", id="m3", tool_call_id="t", name="namedkinkajou")
    store.chat.append_message("c1", {"role": "user", "content": [{"type": "text", "text": "partstarsier"}], "odd": "extrapangolin"})
    store.chat.append("c1", "user", "popped_numbat", id="m5")
    store.chat.pop("c1")
    store.chat.touch_session("s1", domain="rust", metadata={"a": "sessionocelot"})
    store.corrections.add(
        "subjectwombat of lanterns", "claimnarwhal", rejected="rejectedibexes", why="whycapybara", prompt="promptserval",
        metadata={"a": "metadatacivet"}, id="k1",
    )  # fmt: skip
    store.corrections.update("k1", claim="updatedjerboa", note="auditnotefossa")
    store.backups.save("c1", "coder", HandoffNote(goal="noteokapibird"), id="b1", metadata={"a": "metadatacivet"})
    store.evals.promote("coder", None, "model-1", note="reasonmarmot", metadata={"a": "metadatacivet"}, id="e1")
    store.audit.append("query", actor="ann", details={"a": "auditaardvark"}, note="auditnotefossa", id="a1")
    store.keywords.add("n1", "byhandtapir under bridges", kind="note")
    store.memories.add("knowledge", "believedgibbon of lanterns", metadata={"a": "metadatacivet"}, id="y1")
    store.memories.update("y1", content="believedgibbon under bridges", note="auditnotefossa")
    store.memories.capture(
        "promptedlemur", "respondedloris", response_summary="summedpotto", context={"pieces": [], "text": "toldgalago"},
        metadata={"a": "metadatacivet"}, id="i1",
    )  # fmt: skip
    store.memories.set_state("Apollo", "currency", "statedcoati")
    store.knowledge.add_entity(
        "Component", "namedaardwolf mirror", description="describedgenet", aliases=["aliasedmargay"], external_ids={"a": "externaldhole"},
        properties={"a": "propertyjackal"}, metadata={"a": "metadatacivet"}, id="n1",
    )  # fmt: skip
    store.knowledge.update("n1", name="renamedpangolin mirror")
    store.knowledge.relate("n1", "part_of", "n1", properties={"a": "propertyjackal"})
    store.knowledge.observe("n1", "observedtamandua")
    store.chat.rename("c1", "renamedbinturong")


READ = """
import json, pathlib, sys
base = pathlib.Path(sys.argv[1])
held = b"".join(file.read_bytes() for file in base.parent.iterdir() if file.name.startswith(base.name))
print(json.dumps([word for word in sys.argv[2:] if word.encode() in held or word.encode() in held.lower()]))
"""


def leaked(path):
    """Which secrets another process finds in the bytes of the files."""
    found = run(READ, path, *SECRETS)
    return [word for word in SECRETS if f'"{word}"' in found]


# -- what lies on the disk ----------------------------------------------------------------------------------------------


def test_no_word_of_any_text_is_in_the_files(path, codec):
    with opened(path, codec) as store:
        furnish(store)
        assert leaked(path) == []
        with store.transaction():
            store.chat.append_many("c1", [{"role": "user", "content": f"openvicuna {number} " + "x" * 3000} for number in range(900)])
            store.keywords.search("openvicuna")
            store._database.writer.run("PRAGMA cache_spill = ON")
            assert leaked(path) == []
        store.keywords.compact()
        assert leaked(path) == []
        store.optimize()
        assert store.keywords.search("byhandt")[0].item_id == "n1"
        assert store.keywords.complete("openv") == [("openvicuna", 900)]
        assert leaked(path) == []
        store.snapshot(path.with_name("agent.db-copy"))
    assert leaked(path) == []


def test_without_a_codec_the_same_words_are_there(path):
    with opened(path) as store:
        furnish(store)
        store.keywords.compact()
        assert set(SECRETS) - set(leaked(path)) == {"openvicuna"}, "or the test above would find nothing"


def test_ids_and_what_is_filtered_by_stay_plain(path, codec):
    with opened(path, codec) as store:
        furnish(store)
        (message,) = store.query("SELECT id, role, content, tool_call_id FROM messages WHERE id = 'm3'")
        assert (message["id"], message["role"], message["tool_call_id"]) == ("m3", "tool", "t")
        (row,) = store.query("SELECT json_valid(metadata) AS valid, name, description FROM projects")
        assert row["valid"] == 1
        assert row["name"] == "Apollo"


# -- the same answers ---------------------------------------------------------------------------------------------------


def live(store, seed):
    """A random life whose ids are given, so that two stores can live the same."""
    rng = random.Random(seed)
    words = [f"{stem}{ending}" for stem in ("amber", "bridge", "carrot", "delta", "TimeDelta", "café") for ending in ("", "s", "-x", "9")]
    store.chat.create_project("Apollo", id="p1", description="a project")
    for number in range(4):
        store.chat.create_conversation(id=f"c{number}", title=rng.choice(words), project=rng.choice([None, "Apollo"]))
    for number in range(160):
        owner, text = f"c{rng.randrange(4)}", " ".join(rng.choices(words, k=6))
        match rng.randrange(12):
            case 0:
                store.chat.append(owner, "assistant", None, id=f"m{number}", tool_calls=[{"id": f"t{number}", "function": {"name": text}}])
                store.chat.append(owner, "tool", text, id=f"r{number}", tool_call_id=f"t{number}", name="tool")
            case 1:
                store.corrections.add(rng.choice(words), text, rejected=rng.choice(["", text[:9]]), id=f"k{number}", override=True)
            case 2:
                store.keywords.add(f"n{number % 20}", text, kind="note", conversation_id=owner)
            case 3:
                store.audit.append("query", actor="ann", details={"text": text}, conversation_id=owner)
            case 4:
                store.backups.save(owner, "coder", text, id=f"b{number}")
            case 9:
                store.memories.add("knowledge", text, id=f"y{number}", override=True, status=rng.choice(["active", "candidate"]))
            case 10:
                store.memories.capture(text, f"Decision: {text}", id=f"i{number}", context={"text": text})
                store.memories.reinforce(text)
            case 11 if number % 4 == 0:
                for found in store.memories.find(limit=2):
                    store.memories.invalidate(found.id)
            case 5 if number % 3 == 0:
                store.keywords._index_batch(store.chat.texts, 1)
            case 6 if number % 4 == 0:
                store.chat.pop(owner)
            case _:
                store.chat.append(owner, rng.choice(["user", "assistant", "system"]), text, id=f"m{number}", metadata={"a": text})
    store.evals.promote("coder", None, "model-1", note="because", id="e1")
    for found in store.corrections.find(limit=2):
        with contextlib.suppress(StoreError):
            store.corrections.update(found.id, claim="another claim", why="why " + found.subject)
    store.chat.fork("c1", at=store.chat.messages("c1", limit=3)[0].id)
    return words


def named(hit):
    """Whether an id was given; copies of a fork have ids of their own."""
    return hit.message.id[0] in "mr"


def answers(store, words, folder):
    """What a store says when asked everything."""
    folder.mkdir()
    queries = [*words, "amb", "del bri", "caf", "time", "9", "nothing of it"]
    forked = next(chat for chat in store.chat.conversations(limit=None) if chat.forked_from is not None)
    said = {
        "search": [[(hit.message.id, hit.snippet) for hit in store.chat.search(q, limit=None) if named(hit)] for q in queries],
        "keywords": [[hit.to_dict() for hit in store.keywords.search(q, limit=None) if len(hit.item_id) < 9] for q in queries],
        "complete": [store.keywords.complete(q, limit=None) for q in queries],
        "relevant": [[(hit.correction.to_dict(), hit.score) for hit in store.corrections.relevant(q, limit=None)] for q in queries],
        "rejections": [store.corrections.rejections(item.id) for item in store.corrections.find()],
        "prompt": [store.corrections.prompt(q) for q in queries],
        "believed": [[hit.to_dict() for hit in store.memories.search(q, limit=None, status=None)] for q in queries],
        "memories": [item.to_dict() for item in store.memories.find()],
        "interactions": [item.to_dict() for item in store.memories.interactions(limit=None)],
        "messages": [[item.to_dict() for item in store.chat.messages(f"c{number}", limit=None)] for number in range(4)],
        "forked": [item.to_openai() for item in store.chat.messages(forked.id, limit=None)],
        "window": [item.id for item in store.chat.window("c0", max_tokens=300)],
        "resume": [store.backups.resume(f"c{number}", "coder", max_tokens=3000) for number in range(4)],
        "backups": [item.to_dict() for item in store.backups.find(limit=None)],
        "promotions": [item.to_dict() for item in store.evals.promotions()],
        "titles": [item.title for item in store.chat.conversations(limit=None)],
        "projects": [item.to_dict() for item in store.chat.projects()],
        "audit": [(item.seq, item.event_type, item.details, item.before, item.after, item.note) for item in store.audit.find(limit=None)],
        "verified": (store.audit.verify().ok, store.audit.verify().checked),
        "rows": [store.chat.export_sft(folder / "sft.jsonl"), store.corrections.export_dpo(folder / "dpo.jsonl", min_effective=0.0)],
    }
    files = [(folder / name).read_text() for name in ("dpo.jsonl", "sft.jsonl")]
    return {**said, "dpo": files[0], "sft": sorted(files[1].splitlines())}


@pytest.mark.drawn(2)
@pytest.mark.parametrize("seed", [1, 2])
def test_all_answers_are_those_of_a_store_without_a_codec(tmp_path, codec, seed):
    said = []
    for name, given in (("plain", None), ("sealed", codec)):
        with opened(tmp_path / name, given) as store:
            words = live(store, seed)
            said.append(answers(store, words, tmp_path / f"{name}-files"))
    for name in said[0]:
        assert said[0][name] == said[1][name], name
        assert said[0][name], "something is compared"
    with opened(tmp_path / "sealed", codec) as store:  # from the file alone, what was in memory is gone
        store.keywords.compact()
        again = answers(store, words, tmp_path / "again")
        assert again == said[0]
    with opened(tmp_path / "sealed", codec, read_only=True) as store:
        assert answers(store, words, tmp_path / "read-only") == said[0]


def test_what_another_process_writes_is_found_at_once(path):
    with opened(path, Toy()) as store:
        store.chat.create_conversation(id="c1")
        assert store.chat.search("lantern") == []
        run(
            "import sys; from memstore import open_store; from toy_codec import Toy\n"
            "with open_store(sys.argv[1], codec=Toy()) as store: store.chat.append('c1', 'user', 'seven lanterns', id='m1')",
            path,
        )
        assert [hit.message.id for hit in store.chat.search("lantern")] == ["m1"]
        assert store.keywords.complete("lan") == [("lanterns", 1)]


def test_a_store_in_memory_takes_a_codec_too():
    with opened(":memory:", Toy()) as store:
        furnish(store)
        assert "contentquagga" not in str(store.query("SELECT content FROM messages"))
        assert store.chat.get_message("m3").content == "seven contentquagga"
        store.rekey(Toy(b"second"))
        assert store.chat.get_message("m3").content == "seven contentquagga"


# -- whose file it is ---------------------------------------------------------------------------------------------------


def test_without_the_key_or_with_another_an_encrypted_file_is_named_as_such(path):
    with opened(path, Toy()) as store:
        furnish(store)
    for read_only in (False, True):
        with pytest.raises(WrongKey, match=r"is encrypted: open it with open_store\(\.\.\., codec=\.\.\.\)"):
            opened(path, read_only=read_only)
        with pytest.raises(WrongKey, match="another key than that of codec="):
            opened(path, Toy(b"another"), read_only=read_only)
    with opened(path, Toy(), read_only=True) as store:
        assert store.chat.get_message("m3").content == "seven contentquagga"
    assert issubclass(WrongKey, Invalid)


def test_a_plain_store_does_not_become_an_encrypted_one(path):
    with opened(path) as store:
        store.chat.create_conversation(id="c1")
    for read_only in (False, True):
        with pytest.raises(Invalid, match="not encrypted; export it, and import that into a new store opened with codec="):
            opened(path, Toy(), read_only=read_only)
    with opened(path) as store:
        assert store.chat.get_conversation("c1").id == "c1"


def test_opening_and_closing_writes_no_key_and_a_write_taken_back_neither(path):
    opened(path).close()
    with opened(path, Toy()) as store:
        with contextlib.suppress(KeyError), store.transaction():
            store.chat.create_conversation(id="c1")
            raise KeyError
        assert store.query("SELECT key FROM meta WHERE key = 'codec'") == []
    with opened(path, Toy(b"another")) as store:  # so anybody may still begin
        store.chat.create_conversation(id="c1", title="titleaxolotl")
        assert store.query("SELECT key FROM meta WHERE key = 'codec'") == [{"key": "codec"}]
        assert store.chat.get_conversation("c1").title == "titleaxolotl"


def test_two_handles_begin_one_file_and_it_is_never_a_mixed_one(path):
    with opened(path) as plain, opened(path, Toy()) as sealed, opened(path, Toy(b"another")) as other:
        sealed.chat.create_conversation(id="c1", title="titleaxolotl")
        with pytest.raises(WrongKey, match="is encrypted"):
            plain.chat.create_conversation(id="c2")
        with pytest.raises(WrongKey, match="is encrypted"):
            plain.stats()
        with pytest.raises(WrongKey, match="another key"):
            other.chat.create_conversation(id="c2")
        assert [chat.id for chat in sealed.chat.conversations()] == ["c1"]
        for refused in (plain, other):
            refused._database.close()


def test_who_comes_with_a_codec_after_a_plain_room_is_refused(path):
    with opened(path) as plain, opened(path, Toy()) as sealed:
        plain.chat.create_conversation(id="c1")
        with pytest.raises(Invalid, match="not encrypted"):
            sealed.chat.create_conversation(id="c2")
        with pytest.raises(Invalid, match="not encrypted"):
            sealed.chat.conversations()
        sealed._database.close()


BEGIN = """
import sys
from memstore import Invalid, open_store
from toy_codec import Toy
sys.stdin.readline()
try:
    with open_store(sys.argv[1], codec=Toy(sys.argv[2].encode()) if sys.argv[2] else None) as store:
        chat = store.chat.create_conversation(title="amber")
        store.chat.append(chat.id, "user", "seven lanterns")
        store.corrections.add("lanterns of " + chat.id, "seven")
        assert len(store.chat.messages(chat.id)) == 1
        print("did")
except Invalid as error:
    print(type(error).__name__)
"""


def begun(path, keys):
    children = [start(BEGIN, path, key) for key in keys]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    return [finish(child).strip() for child in children]


def test_six_processes_begin_one_encrypted_file(path):
    assert begun(path, ["first"] * 6) == ["did"] * 6
    with opened(path, Toy()) as store:
        assert len(store.chat.search("lantern")) == 6
        assert len(store.corrections.relevant("lanterns", limit=None)) == 6


@pytest.mark.parametrize("turn", range(4))
def test_of_one_with_and_one_without_a_codec_one_begins_the_file(path, turn):
    said = begun(path, ["first", ""] if turn % 2 else ["", "first"])
    assert said.count("did") == 1
    with opened(path, Toy() if said[0 if turn % 2 else 1] == "did" else None) as store:
        assert len(store.chat.search("lantern")) == 1


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        (object(), "encrypt"),
        (type("Half", (), {"encrypt": lambda self, data: data})(), "decrypt"),
        (type("Text", (), {"encrypt": lambda self, data: "text", "decrypt": lambda self, data: data})(), "must return bytes"),
        (type("Lossy", (), {"encrypt": lambda self, data: data, "decrypt": lambda self, data: data[1:]})(), "does not decrypt"),
        (type("Broken", (), {"encrypt": lambda self, data: 1 // 0, "decrypt": lambda self, data: data})(), "ZeroDivisionError"),
    ],
)
def test_what_is_no_codec_is_refused_and_makes_no_file(path, codec, said):
    with pytest.raises(Invalid, match=said):
        opened(path, codec)
    assert not path.exists()


def test_without_a_codec_nothing_is_asked_once_there_is_a_room(path):
    with opened(path) as store:
        store.chat.create_conversation(id="c1")
        store.chat.append("c1", "user", "first")
        with recorded_statements(store) as seen:
            store.chat.append("c1", "user", "second")
            store.chat.messages("c1")
        assert [sql for sql in seen if "FROM meta" in sql or "schema_version" in sql] == []
        assert store._database.guard is None


# -- moved and damaged --------------------------------------------------------------------------------------------------


def by_hand(path, *statements):
    raw = sqlite3.connect(path)
    for sql in statements:
        raw.execute(sql)
    raw.commit()
    raw.close()


SWAPS = {
    "between two rows": ("chat", "UPDATE messages SET content = (SELECT content FROM messages WHERE id = 'm1') WHERE id = 'm3'"),
    "between two columns": ("corrections", "UPDATE corrections SET claim = subject"),
    "between two tables": ("chat", "UPDATE conversations SET title = (SELECT description FROM projects)"),
    "a document for a text": ("chat", "UPDATE projects SET description = trim(metadata, '\"')"),
    "beside a message": ("chat", "UPDATE messages SET metadata = (SELECT metadata FROM projects) WHERE id = 'm1'"),
    "payload": ("audit", "UPDATE audit_log SET payload = (SELECT payload FROM audit_log WHERE payload IS NOT NULL ORDER BY seq DESC)"
                " WHERE seq = 1"),
    "by hand": ("keywords", "UPDATE keyword_items SET text = (SELECT content FROM messages WHERE id = 'm1')"),
    "words": ("keywords", "UPDATE keyword_segments SET words = (SELECT payload FROM audit_log WHERE payload IS NOT NULL)"),
    "rejected": ("corrections", "UPDATE correction_rejections SET rejected = (SELECT rejected FROM corrections)"),
    "a note": ("backups", "UPDATE context_backups SET backup_text = (SELECT title FROM conversations)"),
    "a reason": ("evals", "UPDATE promotions SET reason = (SELECT title FROM conversations)"),
    "a belief": ("memories", "UPDATE memories SET content = (SELECT prompt FROM interactions)"),
    "a state": ("memories", "UPDATE project_state SET value = (SELECT response FROM interactions)"),
    "a session": ("chat", "UPDATE sessions SET metadata = (SELECT metadata FROM conversations)"),
}  # fmt: skip


@pytest.mark.damage
@pytest.mark.parametrize("name", SWAPS)
def test_ciphertext_put_into_another_place_is_found(path, name):
    room, sql = SWAPS[name]
    with opened(path, Toy()) as store:
        furnish(store)
        store.keywords.compact()
    by_hand(path, "INSERT INTO audit_permit(reason) VALUES ('by hand')", sql, "DELETE FROM audit_permit")
    with opened(path, Toy()) as store:
        found = store.check().findings
        assert "sealed" in {finding.kind for finding in found}, found
        assert "was written for another place" in next(finding.detail for finding in found if finding.kind == "sealed")
        assert getattr(store, room) is not None


@pytest.mark.damage
def test_who_reads_what_was_moved_or_altered_hears_of_it(path):
    with opened(path, Toy()) as store:
        furnish(store)
    by_hand(
        path,
        "UPDATE messages SET content = (SELECT content FROM messages WHERE id = 'm1') WHERE id = 'm3'",
        "UPDATE conversations SET title = 'plainly put there'",
        "UPDATE projects SET description = substr(description, 1, 30) || 'AAAA' || substr(description, 35)",
    )
    with opened(path, Toy()) as store:
        with pytest.raises(Tampered, match="content of 'm3' in messages was written for another place"):
            store.chat.get_message("m3")
        with pytest.raises(Corrupt, match="title of 'c1' in conversations does not open"):
            store.chat.get_conversation("c1")
        with pytest.raises(Corrupt, match="description of 'p1' in projects"):
            store.chat.projects()
        assert store.chat.get_message("m1").content.startswith("the contentquagga"), "the rest is read"
        assert {finding.kind for finding in store.check().findings} == {"sealed"}
        assert {finding.kind for finding in store.chat.check()} == {"damaged"}
        assert store.chat.search("contentquagga")[0].message.id == "m1"


@pytest.mark.damage
def test_an_audit_payload_that_was_moved_fails_verification(path):
    with opened(path, Toy()) as store:
        furnish(store)
    room, sql = SWAPS["payload"]
    by_hand(path, "INSERT INTO audit_permit(reason) VALUES ('by hand')", sql, "DELETE FROM audit_permit")
    with opened(path, Toy()) as store:
        verdict = store.audit.verify()
        assert not verdict.ok
        assert "sealed" in {finding.kind for finding in verdict.findings}
        with pytest.raises(Tampered):
            store.audit.get(1)


@pytest.mark.damage
def test_ciphertext_of_another_file_under_the_same_key_is_found_too(tmp_path, path):
    for place, text in ((tmp_path / "other.db", "approve"), (path, "deny")):
        with opened(place, Toy()) as store:
            store.chat.create_conversation(id="c")
            store.chat.append("c", "user", text, id="m")
    by_hand(path, f"ATTACH '{tmp_path / 'other.db'}' AS other", "UPDATE messages SET content = (SELECT content FROM other.messages)")
    with opened(path, Toy()) as store, pytest.raises(Tampered, match="written for another place"):
        store.chat.get_message("m")


# -- a codec that fails -------------------------------------------------------------------------------------------------


class Outage(Toy):
    """A codec that asks a service for its key, which does not answer while `down`."""

    down = False

    def decrypt(self, data):
        if self.down:
            raise OSError("the key service does not answer")
        return super().decrypt(data)


def test_while_a_codec_fails_nothing_is_taken_for_damaged_and_no_word_leaves_the_index(path):
    codec = Outage()
    with opened(path, codec) as store:
        store.chat.create_conversation(id="c")
        store.chat.append_many("c", [{"role": "user", "content": f"lantern {number}"} for number in range(2000)])
        codec.down = True
        store.chat.append_many("c", [{"role": "user", "content": f"lantern {number}"} for number in range(2000, 5000)])
        for ask in (lambda: store.chat.search("lantern"), lambda: store.chat.messages("c"), store.keywords.rebuild):
            with pytest.raises(WrongKey, match="fails even for the key check"):
                ask()
        codec.down = False
        assert len(store.chat.search("lantern", limit=None)) == 5000
        assert store.check().ok
