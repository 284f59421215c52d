"""Damaged files: whatever became of the bytes, a call answers or raises a StoreError, and check() tells instead of raising."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memstore import Corrupt, NotAStore, StoreError, open_store
from memstore.backups import HandoffNote
from memstore.cli import main
from memstore.knowledge import Section

pytestmark = pytest.mark.damage

SESSION = Path(__file__).resolve().parent.parent / "examples" / "data" / "session.jsonl"
MESSAGES = [message for message in map(json.loads, SESSION.read_bytes().splitlines()) if "role" in message]


def fill(path):
    """A store with rows in every room."""
    with open_store(path) as store:
        store.chat.create_project("Invoices", metadata={"owner": "Zoë"})
        for title in ("first", "second"):
            chat = store.chat.create_conversation(title=title, metadata={"title": title}, project="Invoices")
            store.chat.append_many(chat.id, MESSAGES)
            store.chat.append(chat.id, "user", "one more", id=f"mine-{title}", metadata={"x": 1}, models_used=["a"], name="Zoë")
            store.chat.touch_session(f"session-{title}", domain="code", metadata={"x": 1})
            store.backups.track(chat.id, "coder", "some text")
            store.backups.save(chat.id, "coder", HandoffNote(goal=title), metadata={"x": 1})
            store.audit.append("query", session_id=title, conversation_id=chat.id, details={"tokens": 812}, note=title)
            store.evals.promote("coder", None, f"model-{title}", metadata={"x": 1})
            store.evals.record_assertion("short", "soft", True)
            store.evals.record_run(chat.id, "coder", corrections_applied=["c-1"])
        store.keywords.compact()
        store.keywords.add("note-1", "invoices are rounded half up", kind="note")
        for subject in ("rounding", "language", "tests"):
            store.corrections.add(subject, f"{subject} as the user said", rejected=f"not {subject}", why="it was so", metadata={"x": [1]})
        for content in ("rounding is half up", "the tests of a language come first"):
            store.memories.add("knowledge", content, domain_tags=["code"], metadata={"x": 1}, valid_until=2e9)
        used = [item.id for item in store.memories.find()]
        store.memories.capture("how?", "so", memories_used=used, context={"pieces": [{"kind": "message", "id": "mine-first"}]}, id="i-1")
        store.memories.set_state("Invoices", "currency", "euro")
        shelve(store)
        store.vectors.add([(f"n-{number}", [number, 1.0, -0.5]) for number in range(300)], model="toy", kind="note")
        learn(store)
        store.audit.redact(1, reason="asked for")


def shelve(store):
    """Documents that are there and hidden, what was noticed about them, and who wants to hear from which."""
    room = store.documents
    for name in ("ledger", "invoice"):
        given = {"tags": ["code"], "metadata": {"x": 1}, "extra_json": {"x": 1}}
        room.add_text(f"# The {name}\n\nThe {name} is rounded.", uri=f"file:/{name}", title=name, id=f"d-{name}", **given)
        room.annotate(room.chunks(f"d-{name}")[0].id, "secret", start_char=0, end_char=3, metadata={"x": 1})
    room.select(["d-ledger", "d-invoice"], True, user_id="Zoë")
    room.remove(room.add_text("no longer rounded", id="d-hidden").id)


def learn(store):
    """Entities and atoms with all that hangs on them, and a conflict between two of them."""
    room = store.knowledge
    for name in ("ledger", "invoice"):
        room.add_entity("Component", name, id=name, aliases=[f"{name} book"], source_refs=["message:mine-first"], metadata={"x": 1})
        proof = [{"chunk_id": "h-1", "snippet": f"the {name} is kept"}]
        room.add_atom("claim", f"the {name} is rounded", id=f"a-{name}", tags=["code"], evidence=proof, metadata={"x": 1})
        room.mention(name, f"a-{name}")
    room.relate("invoice", "part_of", "ledger", properties={"x": 1})
    room.observe("ledger", "it is rounded once")
    room.add_claim("a-ledger", "ledger", "is rounded")
    room.link("a-ledger", "supports", "a-invoice")
    room.merge_atoms([room.add_atom("claim", "it is rounded").id], "a-ledger")
    room.add_artifact("prd", "Rounding", sections=[Section("one", "One", "half up", ["a-ledger"])], id="w-1")
    room.set_knowledge_state("Invoices", "all is rounded", evidence_index={"x": 1})
    room.record_delta("Invoices", "run 1", {"x": 1})
    clash = store.conflicts.contradict("a-ledger", "a-invoice", note="which one is rounded?")
    store.conflicts.assess(clash.id, "both", note="both are")


def uses(store):
    """What a caller may ask of a store, each alone."""
    return (
        lambda: [store.chat.messages(chat.id, limit=None) for chat in store.chat.conversations(limit=None)],
        lambda: [store.chat.window(chat.id, max_tokens=500) for chat in store.chat.conversations(limit=None)],
        lambda: [store.chat.search(query) for query in ("invoice", "a", "rounding test", "nothingofthekind")],
        lambda: store.chat.get_message("mine-first"),
        lambda: (store.chat.projects(), store.chat.sessions()),
        lambda: [store.keywords.search(query) for query in ("invoice", "a", "half up")],
        lambda: store.keywords.complete("in"),
        lambda: store.audit.verify(),
        lambda: store.audit.find(),
        lambda: (store.audit.head(), store.audit.get(2)),
        lambda: store.corrections.relevant("which rounding do the tests of this language want?"),
        lambda: (store.corrections.find(), store.corrections.count(), store.corrections.prompt("rounding")),
        lambda: (store.memories.find(tag="code"), store.memories.count(), store.memories.states()),
        lambda: [store.memories.search(query) for query in ("which rounding?", "tests of the code")],
        lambda: [store.memories.history(item.id) for item in store.memories.find()],
        lambda: (store.memories.interactions(), store.memories.explain("i-1")),
        lambda: [store.documents.search(query) for query in ("which ledger is rounded?", "invoice", "nothingofthekind")],
        lambda: (store.documents.find(tags=["code"]), store.documents.search_metadata("ledger"), store.documents.annotations()),
        lambda: [(store.documents.chunks(item.id), store.documents.text(item.id)) for item in store.documents.find(include_deleted=True)],
        lambda: (store.documents.selections(user_id="Zoë"), store.documents.selected(user_id="Zoë")),
        lambda: [store.documents.get(id) for id in ("d-ledger", "d-lodger")],
        lambda: store.context("which ledger is rounded?", project="Invoices", user_id="Zoë"),
        lambda: (store.knowledge.find_entity("which ledger?"), store.knowledge.entities(), store.knowledge.relationships("ledger")),
        lambda: [store.knowledge.neighbours("ledger"), store.knowledge.observations("ledger"), store.knowledge.history("ledger")],
        lambda: (store.knowledge.atoms(tag="code"), store.knowledge.evidence("a-ledger"), store.knowledge.atom_history("a-ledger")),
        lambda: (store.knowledge.claims(), store.knowledge.links(), store.knowledge.mentions(), store.knowledge.merges()),
        lambda: (store.knowledge.artifacts(), store.knowledge.sections("w-1"), store.knowledge.citations(), store.knowledge.deltas()),
        lambda: [store.conflicts.assessments(clash.id) for clash in store.conflicts.find()],
        lambda: (store.vectors.nearest([1, 2, 3], model="toy"), store.vectors.nearest([1, 2, 3], model="toy", exact=True)),
        lambda: (store.vectors.get("n-7", kind="note"), store.vectors.models(), store.vectors.stats(), store.vectors.count()),
        lambda: store.backups.coverage(),
        lambda: store.backups.find(),
        lambda: (store.evals.runs(), store.evals.assertions(), store.evals.promotions(), store.evals.reliability()),
        store.stats,
        lambda: store.query("SELECT count(*), max(content) FROM messages"),
        lambda: repr(store),
    )


def changes(store):
    """The same for what writes."""
    return (
        lambda: store.chat.append(store.chat.create_conversation().id, "user", "after the damage"),
        lambda: store.corrections.add("rounding", "another claim", why="later"),
        lambda: store.audit.append("query", details={"tokens": 1}),
        lambda: store.memories.add("knowledge", "rounding is half even"),
        lambda: store.memories.reinforce("it is said again that rounding is half up"),
        lambda: store.memories.merge([item.id for item in store.memories.find()], "all of it"),
        lambda: store.memories.set_state("Invoices", "currency", "franc"),
        store.memories.decay,
        lambda: store.knowledge.add_atom("claim", "the ledger is rounded", evidence=[{"chunk_id": "h-1"}]),
        lambda: store.knowledge.update("ledger", name="the great ledger"),
        lambda: store.knowledge.set_knowledge_state("Invoices", "nothing is rounded"),
        lambda: [store.conflicts.resolve(each.id, "supersede_others", winner="a-ledger") for each in store.conflicts.find(status="open")],
        lambda: store.documents.add_text("The ledger is kept.", uri="file:/ledger"),
        lambda: store.documents.remove("d-invoice"),
        lambda: store.erase(document_id="d-ledger"),
        lambda: store.vectors.add([("n-1", [1, 2, 3])], model="toy", kind="note"),
        lambda: store.vectors.remove("n-2", kind="note"),
        lambda: store.evals.promote("coder", None, "model-third"),
        store.optimize,
    )


def survives(path, read_only):
    """Use a damaged file; anything but a StoreError comes out."""
    try:
        store = open_store(path, read_only=read_only, timeout=1.0)
    except StoreError:
        return
    with store:
        try_all(store, uses(store) if read_only else (*uses(store), *changes(store)))


def try_all(store, calls):
    for call in calls:
        try:
            call()
        except StoreError as error:
            assert str(error).isprintable(), f"a message of several lines: {error}"
    report = store.check()
    assert all(isinstance(finding.detail, str) for finding in report.findings), report


def flip(image, rng):
    damaged = bytearray(image)
    for _ in range(rng.randrange(1, 11)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    fill(folder / "agent.db")
    with open_store(folder / "agent.db") as store:
        store.snapshot(folder / "snapshot.db")
    return (folder / "snapshot.db").read_bytes()


@pytest.mark.parametrize("count", [15, pytest.param(600, marks=pytest.mark.nightly)])
def test_flipped_bytes_never_give_anything_but_a_store_error(tmp_path, image, rng, count):
    for _ in range(count):
        seed = rng.randrange(2**32)
        print(f"seed {seed}")
        damaged = flip(image, random.Random(seed))
        for read_only in (True, False):
            path = tmp_path / f"{seed}-{read_only}.db"
            path.write_bytes(damaged)
            survives(path, read_only)
            for left in tmp_path.glob(f"{path.name}*"):
                left.unlink()


# -- one kind of damage at a time ---------------------------------------------------------------------------------------


@pytest.fixture
def damage(tmp_path, image):
    """Write the store with some bytes in place of others, and return its path."""

    def write(*changes):
        damaged = image
        for old, new in changes:
            assert old in damaged and len(old) == len(new)
            damaged = damaged.replace(old, new)
        (tmp_path / "agent.db").write_bytes(damaged)
        return tmp_path / "agent.db"

    return write


@pytest.fixture
def altered(tmp_path, image):
    """Open the store after statements that STRICT and CHECK would refuse, as damage can do to single values."""
    path = tmp_path / "agent.db"

    def change(*statements):
        path.write_bytes(image)
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("PRAGMA writable_schema = ON")
            loose = "replace(replace(replace(sql, ') STRICT', ')'), ' TEXT ', ' BLOB '), ' BLOB NOT NULL', ' BLOB')"
            raw.execute(f"UPDATE sqlite_schema SET sql = {loose} WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:  # which reads the schema as it is now
            raw.execute("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                assert raw.execute(statement).rowcount > 0, statement
        return open_store(path)

    return change


def details(store):
    return [finding.detail for finding in store.check().findings]


@pytest.mark.parametrize("lost", [1000, 4096, 20000])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_lost_its_end_is_checked_and_every_finding_has_words(tmp_path, image, lost, read_only, capsys):
    path = tmp_path / "agent.db"
    path.write_bytes(image[:-lost])
    survives(path, read_only)
    assert main(["check", str(path)]) == 1
    assert "finding" in capsys.readouterr().out


def test_a_message_that_lost_its_id_is_a_finding_with_words(altered):
    with altered("UPDATE messages SET id = NULL, pk = pk + (9 << 32) WHERE arrival = 3") as store:
        found = [finding for finding in store.check().findings if finding.kind == "misplaced"]
        assert [finding.seq for finding in found] == [3]


@pytest.mark.parametrize("column", ["tool_calls", "extra", "metadata", "models_used"])
@pytest.mark.parametrize("value", ["{\\qx\": 1}", "[NaN]", "7"])
def test_a_damaged_document_hides_no_other_message_and_is_named(altered, column, value):
    change = f"UPDATE messages SET {column} = '{value}' WHERE id = 'mine-first'"
    with altered(change, "DELETE FROM keyword_segments", "DELETE FROM keyword_state") as store:
        assert store.chat.search("vat"), "the sound ones are found"
        assert store.keywords.search("nothingofthekind") == []
        first = store.chat.get_conversation(store.query("SELECT id FROM conversations WHERE pk = 1")[0]["id"])
        reads = (
            lambda: store.chat.get_message("mine-first"),
            lambda: store.chat.messages(first.id),
            lambda: store.chat.search("one more", conversation_id=first.id),
        )
        for read in reads:
            with pytest.raises(Corrupt, match=f"{column} of 'mine-first' in messages is damaged"):
                read()
        named = [finding for finding in store.check().findings if finding.kind == "damaged"]
        assert len(named) == 1 and "message mine-first cannot be read" in named[0].detail
        store.optimize()


@pytest.mark.parametrize("value", ["7", "x'ff00'", "CAST(x'ff41' AS TEXT)"])
def test_a_content_that_is_no_text_hides_no_other_message(altered, value):
    change = f"UPDATE messages SET content = {value} WHERE id = 'mine-first'"
    with altered(change, "DELETE FROM keyword_segments", "DELETE FROM keyword_state") as store:
        assert store.chat.search("vat")
        with pytest.raises(Corrupt):
            store.chat.get_message("mine-first")
        assert any("message mine-first cannot be read" in detail for detail in details(store))
        store.optimize()


@pytest.mark.parametrize(
    ("change", "read", "said"),
    [
        ("corrections SET metadata = '{'", lambda store: store.corrections.find(), "metadata of '.*' in corrections is damaged"),
        ("corrections SET claim = x'00'", lambda store: store.corrections.find(), "claim of '.*' in corrections is damaged"),
        ("corrections SET confidence = 'much'", lambda store: store.corrections.find(), "confidence of '.*' in corrections is damaged"),
        ("corrections SET decay_class = 'N'", lambda store: store.corrections.relevant("rounding"), "decay class 'N'"),
        ("conversations SET metadata = '[]'", lambda store: store.chat.conversations(), "metadata of '.*' in conversations is damaged"),
        ("promotions SET reverted = 'no'", lambda store: store.evals.promotions(), "reverted of '.*' in promotions is damaged"),
        ("sessions SET query_count = 'many'", lambda store: store.chat.sessions(), "query_count of '.*' in sessions is damaged"),
    ],
)
def test_a_record_has_the_types_that_it_says_or_names_its_row(altered, change, read, said):
    with altered(f"UPDATE {change}") as store, pytest.raises(Corrupt, match=said):
        read(store)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE chunks SET id = x'ff00' WHERE pk = 1",
        "UPDATE chunks SET id = NULL WHERE pk = 1",
        "UPDATE chunks SET content = NULL",
        "UPDATE chunk_index SET kind = 7",
        "UPDATE chunk_index__words_data SET block = x'0101' WHERE id = 1",
        "UPDATE documents SET id = NULL",
        "UPDATE selections SET id = NULL",
        "DELETE FROM chunks WHERE pk = 1",
        "UPDATE vector_spaces SET dims = 'x'",
        "UPDATE sqlite_sequence SET seq = 'x'",
        "UPDATE sqlite_sequence SET seq = 9e999",
        "UPDATE schema_version SET room = 7 WHERE room = 'backups'",
        "UPDATE meta SET value = NULL WHERE key = 'store_id'",
    ],
)
def test_whatever_a_value_of_these_has_become_nothing_but_a_store_error_comes_out(altered, change):
    with altered(change) as store:
        asked = (
            lambda: store.documents.search("which ledger is rounded?"),
            lambda: store.documents.get("d-lodger"),
            lambda: store.vectors.nearest([1, 2, 3], model="toy"),
            lambda: store.context("which ledger is rounded?", project="Invoices", user_id="Zoë"),
            lambda: store.documents.add_text("The ledger is kept.", uri="file:/ledger"),
            lambda: store.vectors.add([("n-1", [1, 2, 3])], model="toy", kind="note"),
            lambda: store.audit.verify(),
            lambda: store.erase(document_id="d-ledger"),
        )
        try_all(store, [*asked[:3], *asked])


@pytest.mark.parametrize("read_only", [True, False])
def test_a_schema_that_is_no_text_any_more_is_corrupt_however_it_is_opened(damage, read_only, capsys):
    path = damage((b"-- where it is plain text", b"-- wh\xffre it is plain text"))
    with pytest.raises(Corrupt, match="cannot be opened: .*UTF-8") as caught:
        open_store(path, read_only=read_only)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300
    for command in ("info", "check"):
        assert main([command, str(path)]) != 0
        said = "".join(capsys.readouterr())
        assert "UTF-8" in said and "arrival" not in said, "the statement is not spilled"


def test_a_text_file_is_said_to_be_none_of_ours_once(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 100)
    for read_only in (True, False):
        with pytest.raises(NotAStore) as caught:
            open_store(path, read_only=read_only)
        assert str(caught.value) == f"{path} is not an SQLite file"


def test_the_advice_for_a_damaged_file_fits_where_it_is_given(tmp_path, image):
    path = tmp_path / "agent.db"
    path.write_bytes(image[:100] + bytes(4096) + image[4196:])
    with pytest.raises(Corrupt, match="keep it, and put a snapshot in its place") as caught:
        open_store(path)
    assert "check()" not in str(caught.value)


def test_a_file_that_says_it_cannot_be_written_is_not_blamed_on_its_folder_alone(tmp_path, image):
    path = tmp_path / "agent.db"
    path.write_bytes(image[:18] + b"\x07" + image[19:])
    with pytest.raises(StoreError, match="header is damaged"):
        open_store(path)


def test_what_the_audit_log_lost_is_said_once_and_a_report_is_true_only_when_all_is_well(tmp_path, image):
    path = tmp_path / "agent.db"
    path.write_bytes(image)
    with open_store(path) as store:
        assert store.check() and store.audit.verify()
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("DROP TRIGGER audit_log__no_update")
        assert not store.check() and not store.audit.verify()
        assert sum("audit_log__no_update" in detail for detail in details(store)) == 1


def test_rows_out_of_order_end_a_reading_instead_of_repeating_it(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:  # one page, in the middle of which SQLite begins its search and finds the third event
        for number in range(5):
            store.audit.append("query", note=f"question {number}")
    image = path.read_bytes()
    body = image.rindex(b'{"seq":3,')
    told = set()
    for at in range(body - 40, body):  # the number of the row is one of these bytes
        path.write_bytes(image[:at] + b"\x63" + image[at + 1 :])
        with open_store(path, read_only=True) as store:
            told.update(finding.detail for finding in store.audit.verify().findings)
        path.unlink()
    assert any("come out of order" in detail for detail in told)
