"""The audit log: what is written, read, forgotten, pruned and verified when nobody tampers."""

from __future__ import annotations

import contextlib
import inspect
import pathlib
import sqlite3
import subprocess
import sys
import threading

import pytest

from memstore import AuditHead, Exists, Invalid, NotFound, ReadOnly, open_store
from memstore.audit import AuditEvent, AuditLog, Verification
from memstore.audit.chain import Verifier
from memstore.kernel import Corrupt
from memstore.testing import FakeClock

TEXTS = ("actor", "actor_kind", "entity_kind", "entity_id", "session_id", "conversation_id", "trace_id", "token_id", "user_id", "project",
         "stream", "field", "specialist")  # fmt: skip
NUMBERS = ("u_score", "confidence", "latency_ms")
REFERENCES = ("actor", "user_id", "token_id", "session_id", "conversation_id", "trace_id", "entity_id")
FULL = {
    "actor": "ada", "actor_kind": "person", "entity_kind": "correction", "entity_id": "c-1", "before": {"claim": "cut"},
    "after": {"claim": "round"}, "session_id": "s", "conversation_id": "c", "trace_id": "t", "token_id": "k", "user_id": "u",
    "project": "p", "stream": "main", "field": "physics", "specialist": "coder", "u_score": 0.5, "confidence": 0.25,
    "latency_ms": 12.5, "details": {"tokens": 812}, "note": "why not", "id": "my-id",
}  # fmt: skip

ROOT = pathlib.Path(__file__).resolve().parents[1]


def kinds(report):
    return [finding.kind for finding in report.findings]


def rows(store):
    return len(store.audit.find(limit=None))


# -- write and read back ------------------------------------------------------------------------------------------------


def test_every_argument_comes_back_as_an_attribute(store):
    event = store.audit.append("correction.update", **FULL)
    assert {name: getattr(event, name) for name in FULL} == FULL
    assert (event.seq, event.project_seq, event.created_at) == (1, 1, 1_700_000_000.0)
    assert (event.redacts, event.seal, event.redacted) == ([], None, False)
    assert store.audit.get(1) == store.audit.get("my-id") == store.audit.find()[0] == event


def test_the_seed_columns_of_aua_are_attributes():
    names = "id created_at event_type session_id trace_id token_id field specialist u_score confidence latency_ms details"
    assert {*names.split(), "prev_hash", "curr_hash"} <= set(AuditEvent.__slots__)
    taken = set(inspect.signature(AuditLog.append).parameters) - {"self"}
    assert taken <= set(AuditEvent.__slots__)


@pytest.mark.parametrize("value", [None, "", "plain", "żółw 亀 🐢", "it's \"quoted\" \\ and\nbroken"])
@pytest.mark.parametrize("name", TEXTS)
def test_each_text_is_kept_exactly_and_found_again(store, name, value):
    store.audit.append("other", **{name: "something else"})
    event = store.audit.append("query", **{name: value})
    expected = "" if name == "actor" and value is None else value
    assert getattr(event, name) == getattr(store.audit.get(event.seq), name) == expected
    if value is not None and name in inspect.signature(store.audit.find).parameters:
        assert [found.seq for found in store.audit.find(**{name: value})] == [event.seq]


@pytest.mark.parametrize("value", [None, 0, 0.0, -0.0, 1, 1e-300, 1e300, 0.1 + 0.2, -5])
@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_is_kept_exactly(store, name, value):
    event = store.audit.append("query", **{name: value})
    assert getattr(store.audit.get(event.seq), name) == value
    assert getattr(event, name) is None if value is None else isinstance(getattr(event, name), float)


@pytest.mark.parametrize("value", [None, {}, [], 0, 0.0, "", False, {"ü": [1, None, {"\0": "\0"}]}, "text", 2**80, (1, 2)])
@pytest.mark.parametrize("name", ["details", "before", "after"])
def test_each_payload_is_kept(store, name, value):
    event = store.audit.append("query", **{name: value})
    expected = [1, 2] if value == (1, 2) else value
    assert getattr(store.audit.get(event.seq), name) == getattr(event, name) == expected
    assert store.audit.verify().ok


def test_an_omitted_id_is_made_of_store_and_number(store):
    first, second = store.audit.append("query"), store.audit.append("query")
    assert (first.id, second.id) == (f"{store.store_id}-1", f"{store.store_id}-2")
    assert store.audit.get(second.id) == second


def test_the_chain_runs_from_the_genesis_through_every_event(store):
    genesis = store.audit.head()
    events = [store.audit.append("query") for _ in range(3)]
    assert [event.prev_hash for event in events] == [genesis.hash, events[0].curr_hash, events[1].curr_hash]
    assert store.audit.head() == AuditHead(store.store_id, 3, events[2].curr_hash)
    assert all(len(event.curr_hash) == 64 for event in events)


def test_two_stores_with_the_same_events_have_different_hashes(store):
    with open_store(clock=FakeClock()) as other:
        assert other.audit.append("query").curr_hash != store.audit.append("query").curr_hash


def test_project_numbers_run_within_each_project(store):
    numbers = [store.audit.append("query", project=name).project_seq for name in ("a", "b", None, "a", "", "b", "a", "")]
    assert numbers == [1, 1, None, 2, 1, 2, 3, 2]
    store.audit.append_many([{"event_type": "query", "project": name} for name in "aba"])
    assert [event.project_seq for event in store.audit.find(project="a", ascending=True)] == [1, 2, 3, 4, 5]


def test_append_many_writes_all_and_counts(store):
    assert store.audit.append_many([]) == 0
    assert store.audit.append_many({"event_type": "query", "field": str(n), "note": "x" * (n % 2)} for n in range(1300)) == 1300
    assert [event.field for event in store.audit.find(limit=2)] == ["1299", "1298"]
    assert store.audit.verify().checked == 1300
    store.audit.append_many([{**FULL, "event_type": "query"}])
    assert {name: getattr(store.audit.get("my-id"), name) for name in FULL} == FULL


VARIED = (
    {}, {"note": "x,\n\x1e}"}, {"details": {"a": "},{"}}, {"details": {}}, {"details": {"x": 1.5, "y": None, "ż": True}}, {"details": [1]},
    {"details": 0}, {"before": {"a": {"b": 1}}}, {"after": {"big": 2**80}}, {"session_id": "s"}, {"session_id": "", "actor": ""},
    {"user_id": 'a","b":"c'}, {"project": "j"}, {"project": ""}, {"u_score": 1}, {"u_score": 1.0, "latency_ms": 0}, FULL | {"id": None},
)  # fmt: skip


@pytest.mark.parametrize("count", [1, 99, 250])
def test_append_many_writes_what_append_writes(store, rng, count):
    events = [{"event_type": rng.choice(["query", "a.b"]), **rng.choice(VARIED)} for _ in range(count)]
    for event in events:
        store.audit.append(**event)
    assert store.audit.append_many(events) == count
    first, second = store.audit.find(ascending=True, limit=count), store.audit.find(ascending=True, after_seq=count, limit=None)
    own = ("seq", "id", "prev_hash", "curr_hash", "project_seq")

    def said(event):
        return {name: value for name, value in event.to_dict().items() if name not in own}

    assert [said(event) for event in first] == [said(event) for event in second]
    kept = store.query("SELECT refs, payload FROM audit_log ORDER BY seq")
    alike = [(row["refs"] and row["refs"][42:], row["payload"]) for row in kept]
    assert alike[:count] == alike[count:], "byte for byte, the salts apart"
    assert store.audit.check() == []


def test_documents_written_in_one_go_are_each_kept(store):
    documents = [{"a": "},{"}, {"b": 1}, {}, {"c": 'x"},{"y'}, None, {"d": None, "ż": False}, {"e": 1e300}]
    for given in (documents, [{"a": 1}, None, {}, {"ż": 1.5, "b": "}"}]):
        store.audit.append_many([{"event_type": "query", "details": value, "after": {"n": 1}} for value in given])
        kept = store.audit.find(limit=len(given))[::-1]
        assert [(event.details, event.after) for event in kept] == [(value, {"n": 1}) for value in given]
    assert store.audit.verify().ok


@pytest.mark.parametrize("wrong", [{"u_score": True}, {"details": {"a": float("nan")}}, {"details": {"a": "\ud800"}}, {"details": {1: 2}}])
def test_what_is_wrong_is_seen_beside_what_is_alike_and_right(store, wrong):
    (name,) = wrong
    right = {"event_type": "query", name: 1 if name == "u_score" else {"1": 2}}
    with pytest.raises(Invalid, match=f"event 2: {name}"):
        store.audit.append_many([right, right, {**right, **wrong}, right])
    assert rows(store) == 0


@pytest.mark.parametrize("start", [1_700_000_000.1234567, 0.0, -1_700_000_000.1234567, 123_456_789.5])
def test_a_sound_log_is_verified_page_by_page_whatever_it_holds(store, store_clock, rng, monkeypatch, start):
    store_clock.now = start
    while store.audit.head().seq < 3000:
        store_clock.advance(rng.choice([0, 0.1, 1 / 3, 7]))
        store.audit.append_many([{"event_type": "query", **rng.choice(VARIED)} for _ in range(rng.randrange(1, 90))])
        if rng.random() < 0.2:
            with contextlib.suppress(Invalid):  # the same one again
                store.audit.redact(rng.randrange(1, store.audit.head().seq + 1), reason="r")
    examined = []
    one_by_one = Verifier._examine
    monkeypatch.setattr(Verifier, "_examine", lambda self, *row: (examined.append(row[0]), one_by_one(self, *row)))
    assert kinds(store.audit.verify()) == ["unanchored"]
    assert len(examined) == 8, "the first page alone"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"event_type": "Query"}, "event_type 'Query' must match"),
        ({"event_type": ""}, "must match"),
        ({"event_type": "query\n"}, "must match"),
        ({"event_type": 5}, "must match"),
        ({"event_type": "audit.redact"}, "redact"),
        ({"event_type": "audit.prune"}, "prune"),
        ({"event_type": "query", "session_id": " "}, "session_id"),
        ({"event_type": "query", "user_id": "a\0b"}, "user_id"),
        ({"event_type": "query", "field": "\ud800"}, "field"),
        ({"event_type": "query", "entity_id": 5}, "entity_id"),
        ({"event_type": "query", "u_score": float("nan")}, "u_score"),
        ({"event_type": "query", "latency_ms": "fast"}, "latency_ms"),
        ({"event_type": "query", "confidence": True}, "confidence"),
        ({"event_type": "query", "details": {"a": {1}}}, "details"),
        ({"event_type": "query", "before": {"a": float("inf")}}, "before"),
        ({"event_type": "query", "after": {1: 2}}, "after"),
        ({"event_type": "query", "note": "\udfff"}, "note"),
        ({"event_type": "query", "id": ""}, "id"),
    ],
)
def test_bad_input_is_named_and_writes_nothing(store, given, message):
    with pytest.raises(Invalid, match=message):
        store.audit.append(**given)
    with pytest.raises(Invalid, match=f"event 1: .*{message}"):
        store.audit.append_many([{"event_type": "fine", "project": "p"}, given])
    assert rows(store) == 0
    assert store.audit.append("query", project="p").project_seq == 1


def test_append_many_names_what_it_does_not_know(store):
    with pytest.raises(Invalid, match="event 0: 'sesion_id' is no argument .*nearest: 'session_id'"):
        store.audit.append_many([{"event_type": "query", "sesion_id": "s"}])
    with pytest.raises(Invalid, match="event_type is missing"):
        store.audit.append_many([{"details": {}}])
    with pytest.raises(Invalid, match="must be a dict"):
        store.audit.append_many(["query"])
    with pytest.raises(Invalid, match="'bogus' is no argument"):
        store.audit.append_many([{"event_type": "query"}, {"event_type": "query", "bogus": None}])
    with pytest.raises(Invalid, match="events must be a list"):
        store.audit.append_many(None)
    assert rows(store) == 0


def test_an_event_type_has_room_for_any_name(store):
    assert store.audit.append("x" * 1000).event_type == "x" * 1000
    with pytest.raises(Invalid, match="event_type"):
        store.audit.append("x" * 1001)


def test_a_taken_id_is_refused(store):
    store.audit.append("query", id="a")
    for ids in (["a"], ["b", "b"], [f"{store.store_id}-7"]):
        with pytest.raises(Exists, match="already"):
            store.audit.append_many([{"event_type": "query", "id": id} for id in ids])
    assert rows(store) == 1
    assert store.audit.append("query", id=f"{'0' * 32}-7").seq == 2


def test_get_says_what_there_is(store):
    with pytest.raises(NotFound, match="the log is empty"):
        store.audit.get(1)
    store.audit.append("query")
    for seq in (0, 2, -1, "no such", f"{store.store_id}-2"):
        with pytest.raises(NotFound, match="the log holds 1 to 1"):
            store.audit.get(seq)
    for seq in (True, None, 1.0, ""):
        with pytest.raises(Invalid):
            store.audit.get(seq)


# -- transactions, processes, files -------------------------------------------------------------------------------------


def test_an_event_happens_if_its_transaction_does(store):
    store.audit.append("query", project="p")
    head = store.audit.head()
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        event = store.audit.append("query", project="p")
        assert (event.seq, store.audit.verify().checked) == (2, 2)
        raise ZeroDivisionError
    assert store.audit.head() == head
    with store.transaction():
        assert store.audit.append("query", project="p").project_seq == 2
        with contextlib.suppress(ZeroDivisionError), store.transaction():
            store.audit.append("query")
            raise ZeroDivisionError
        store.audit.append("query")
    assert store.audit.verify().checked == 3


def test_the_first_event_rolled_back_leaves_an_unbegun_log(store):
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        store.audit.append("query")
        raise ZeroDivisionError
    assert store.audit.verify().checked == 0
    assert store.audit.append("query").seq == 1


def test_threads_and_handles_make_one_chain(tmp_path):
    def work(name):
        with open_store(tmp_path / "a.db") as store:
            for _ in range(25):
                store.audit.append("query", actor=name, project="p")

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_store(tmp_path / "a.db") as store:
        report = store.audit.verify()
        assert (report.ok, report.checked) == (True, 100)
        assert [event.project_seq for event in store.audit.find(limit=None, ascending=True)] == list(range(1, 101))


def test_another_process_continues_the_chain(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        head = store.audit.append("query").curr_hash
        code = "import sys; from memstore import open_store; print(open_store(sys.argv[1]).audit.append('query').prev_hash)"
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], cwd=ROOT, capture_output=True, text=True)
        assert (done.stdout.strip(), done.stderr) == (head, "")
        assert store.audit.append("query").seq == 3


def test_verify_reads_one_snapshot_while_others_append(tmp_path):
    with open_store(tmp_path / "a.db") as store, open_store(tmp_path / "a.db") as other:
        store.audit.append_many([{"event_type": "query", "note": "x"}] * 1000)
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                other.audit.append("query", project="p", note="y")

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(5):
                report = store.audit.verify()
                assert report.ok, report.findings
                assert report.head.seq == report.checked >= 1000
        finally:
            stop.set()
            thread.join()


def test_a_reopened_file_verifies_and_a_read_only_one_can_only_be_read(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        event = store.audit.append("query", **FULL)
        head = store.audit.head()
    with open_store(tmp_path / "a.db", read_only=True) as store:
        assert store.audit.get(1) == event
        assert store.audit.verify(anchors=[head]).anchored_to == head
        audit = store.audit
        for call in (lambda: audit.append("query"), lambda: audit.redact(1, reason="r"), lambda: audit.prune(1, reason="r")):
            with pytest.raises(ReadOnly):
                call()


def test_a_read_only_store_without_a_log_reads_as_empty(tmp_path):
    with open_store(tmp_path / "a.db"):
        pass
    with open_store(tmp_path / "a.db", read_only=True) as store:
        assert store.audit.find() == []
        assert store.audit.head().seq == 0
        report = store.audit.verify()
        assert (report.ok, report.checked) == (True, 0)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_log SET refs = 'eve'",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log(seq, body, hash) VALUES (1, '{}', x'00')",
        "REPLACE INTO audit_log(seq, body, hash) VALUES (1, '{}', x'00')",
        "INSERT INTO audit_log(seq, body, hash) VALUES (1, '{}', x'00') ON CONFLICT(seq) DO UPDATE SET body = '{}'",
    ],
)
def test_plain_sql_cannot_change_the_log(tmp_path, sql):
    with open_store(tmp_path / "a.db") as store:
        store.audit.append("query")
    db = sqlite3.connect(tmp_path / "a.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), db:
        db.execute(sql)
    db.close()
    with open_store(tmp_path / "a.db") as store:
        assert store.audit.verify().ok


# -- anchors and resuming -----------------------------------------------------------------------------------------------


def test_a_head_survives_as_text(store):
    store.audit.append("query")
    head = store.audit.head()
    assert str(head) == f"memstore/{store.store_id}\n1\n{head.hash}"
    for text in (str(head), f"{head}\n", f"  {head}\r\n\n", str(head).replace("\n", "\r\n")):
        assert AuditHead.parse(text) == head
    assert AuditHead.parse(str(head)).to_dict() == {"store_id": store.store_id, "seq": 1, "hash": head.hash}


@pytest.mark.parametrize(
    "text", ["", "memstore/x\n1\n2", "a\nb", None, 5, f"memstore/{'0' * 32}\n-1\n{'0' * 64}", f"memstore/{'0' * 32}\n1\n{'0' * 63}"]
)
def test_what_is_no_anchor_is_refused(store, text):
    with pytest.raises(Invalid, match="an anchor is three lines"):
        AuditHead.parse(text)
    with pytest.raises(Invalid, match="an anchor is three lines"):
        store.audit.verify(anchors=[text])


def test_one_head_is_not_a_list_of_anchors(store):
    for anchors in (str(store.audit.head()), store.audit.head(), None, 5):
        with pytest.raises(Invalid, match="anchors must be a list"):
            store.audit.verify(anchors=anchors)


def test_the_newest_anchor_that_holds_is_named(store):
    genesis = store.audit.head()
    heads = [genesis]
    for _ in range(3):
        store.audit.append("query")
        heads.append(store.audit.head())
    assert store.audit.verify(anchors=[heads[2], str(heads[1])]).anchored_to == heads[2]
    assert store.audit.verify(anchors=[genesis]).anchored_to == genesis
    report = store.audit.verify()
    assert isinstance(report, Verification)
    assert (report.anchored_to, kinds(report), report.head) == (None, ["unanchored"], heads[3])


def test_anchors_that_do_not_hold_have_their_kinds(store):
    store.audit.append("query")
    ahead = AuditHead(store.store_id, 2, "0" * 64)
    wrong = AuditHead(store.store_id, 1, "0" * 64)
    foreign = AuditHead("0" * 32, 1, store.audit.head().hash)
    for anchor, kind in ((ahead, "truncated"), (wrong, "rewritten"), (foreign, "wrong_store")):
        report = store.audit.verify(anchors=[anchor, store.audit.head()])
        assert (report.ok, kinds(report)) == (False, [kind])


def test_resuming_reads_only_what_is_new(store):
    store.audit.append_many([{"event_type": "query", "project": "p"}] * 50)
    head = store.audit.head()
    assert store.audit.verify(resume=head).checked == 0
    store.audit.append_many([{"event_type": "query", "project": "p", "note": "n"}] * 5)
    store.audit.redact(10, reason="old")
    report = store.audit.verify(resume=str(head))
    assert (report.ok, report.checked, report.anchored_to, report.head) == (True, 6, head, store.audit.head())


def test_resuming_from_a_head_that_does_not_hold_reads_everything(store):
    store.audit.append_many([{"event_type": "query"}] * 5)
    report = store.audit.verify(resume=AuditHead(store.store_id, 3, "0" * 64))
    assert (report.ok, report.checked, kinds(report)) == (False, 5, ["rewritten", "unanchored"])
    report = store.audit.verify(resume=AuditHead("0" * 32, 3, "0" * 64))
    assert (report.checked, kinds(report)) == (5, ["wrong_store", "unanchored"])


def test_history_of_another_store_is_not_there(store):
    assert store.audit.verify(store_id=store.store_id).ok
    with pytest.raises(NotFound, match="imported"):
        store.audit.verify(store_id="0" * 32)


# -- redaction ----------------------------------------------------------------------------------------------------------


def test_a_redacted_event_keeps_its_body_and_the_chain_holds(store):
    before = store.audit.append("correction.update", **FULL)
    done = store.audit.redact(1, reason="she asked", actor="desk")
    after = store.audit.get("my-id")
    assert (done.event_type, done.redacts, done.note, done.actor, done.seq) == ("audit.redact", [1], "she asked", "desk", 2)
    assert after.redacted and not before.redacted
    for name in (*REFERENCES[1:], "before", "after", "details"):
        assert getattr(after, name) is None
    assert (after.actor, after.note) == ("", "")
    for name in ("curr_hash", "field", "u_score", "entity_kind", "project_seq", "created_at"):
        assert getattr(after, name) == getattr(before, name)
    assert store.audit.find(user_id="u") == []
    assert kinds(store.audit.verify()) == ["unanchored"]


def test_redaction_leaves_no_byte_in_the_files(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        store.audit.append("query", user_id="ada-lovelace-1815", details={"secret": "analytical-engine"})
        store.audit.append("query", note="stays-in-place")
        store.audit.redact(1, reason="r")
        raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"ada-lovelace" not in raw and b"analytical-engine" not in raw
        assert b"stays-in-place" in raw


def test_an_event_without_content_can_be_redacted_once_too(store):
    store.audit.append("query")
    store.audit.redact(1, reason="r")
    assert store.audit.get(1).redacted
    with pytest.raises(Invalid, match="redacted already"):
        store.audit.redact(1, reason="r")
    assert rows(store) == 2


def test_a_redaction_can_be_redacted(store):
    store.audit.append("query", note="n")
    store.audit.redact(1, reason="names somebody")
    store.audit.redact(2, reason="so did the reason")
    assert (store.audit.get(2).note, store.audit.get(2).redacts) == ("", [1])
    assert store.audit.verify().ok


def test_redaction_of_nothing_is_refused_and_writes_nothing(store):
    store.audit.append("query", note="n")
    with pytest.raises(NotFound, match="no audit event 5"):
        store.audit.redact(5, reason="r")
    for bad in ({"seq": "1", "reason": "r"}, {"seq": 1, "reason": " "}, {"seq": True, "reason": "r"}, {"seq": 1, "reason": None}):
        with pytest.raises(Invalid):
            store.audit.redact(**bad)
    assert rows(store) == 1
    assert not store.audit.get(1).redacted


def test_a_redaction_rolled_back_has_not_happened(store):
    store.audit.append("query", note="n")
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        store.audit.redact(1, reason="r")
        raise ZeroDivisionError
    assert store.audit.get(1).note == "n"
    assert store.audit.verify().ok


# -- prune --------------------------------------------------------------------------------------------------------------


def test_a_prune_seals_what_it_removes(store):
    events = [store.audit.append("query", project="p", note=str(number)) for number in range(10)]
    assert store.audit.prune(7, reason="a year old", actor="cron") == 6
    seal = store.audit.find(limit=1)[0]
    assert (seal.event_type, seal.note, seal.actor) == ("audit.prune", "a year old", "cron")
    assert seal.seal == {"first": 1, "upto": 6, "count": 6, "hash": events[5].curr_hash}
    assert store.audit.get(7).prev_hash == events[5].curr_hash
    with pytest.raises(NotFound, match="was pruned; the log holds 7 to 11"):
        store.audit.get(3)
    with pytest.raises(NotFound, match="was pruned"):
        store.audit.redact(3, reason="r")
    report = store.audit.verify()
    assert (report.ok, report.checked, kinds(report)) == (True, 5, ["prune_unanchored", "unanchored"])
    assert store.audit.append("query", project="p").project_seq == 11


def test_pruning_again_and_pruning_everything_verifies(store):
    anchors = []
    for _ in range(4):
        store.audit.append_many([{"event_type": "query", "project": "p", "note": "n"}] * 5)
        store.audit.redact(store.audit.head().seq - 1, reason="r")
        store.audit.prune(store.audit.head().seq - 3, reason="r")
        anchors.append(store.audit.head())
        assert store.audit.verify(anchors=anchors).anchored_to == anchors[-1]
    everything = rows(store)
    assert store.audit.prune(store.audit.head().seq + 1, reason="r") == everything
    assert rows(store) == 1
    report = store.audit.verify(anchors=anchors)
    assert report.ok and "anchor_before_range" in kinds(report)
    assert report.anchored_to == anchors[-1]  # it is what the seal says was cut
    assert store.audit.append("query", project="p").project_seq == 21


def test_an_anchor_after_the_seal_vouches_for_it(store):
    store.audit.append_many([{"event_type": "query"}] * 5)
    store.audit.prune(4, reason="r")
    assert kinds(store.audit.verify(anchors=[store.audit.head()])) == []
    store.audit.append("query")
    assert kinds(store.audit.verify(resume=store.audit.head())) == []


def test_pruning_nothing_writes_nothing(store):
    assert store.audit.prune(1, reason="r") == 0
    store.audit.append_many([{"event_type": "query"}] * 3)
    assert store.audit.prune(1, reason="r") == 0
    for before_seq, reason in ((5, "r"), (0, "r"), (2, ""), (1.5, "r"), (True, "r"), (2, None)):
        with pytest.raises(Invalid):
            store.audit.prune(before_seq, reason=reason)
    assert rows(store) == 3
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        store.audit.prune(3, reason="r")
        raise ZeroDivisionError
    assert rows(store) == 3


# -- keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["secret", b"secret", "schlüssel" * 20])
def test_a_keyed_log_needs_its_key_to_write_and_verify(tmp_path, key):
    with open_store(tmp_path / "a.db", audit_key=key) as store:
        store.audit.append("query", note="n")
        store.audit.redact(1, reason="r")
        assert store.audit.verify().ok
        head = store.audit.head()
    with open_store(tmp_path / "a.db") as store:
        assert store.audit.get(2).note == "r"
        assert store.audit.head() == head
        calls = (
            lambda: store.audit.append("query"),
            lambda: store.audit.verify(),
            lambda: store.audit.redact(2, reason="r"),
            lambda: store.audit.prune(2, reason="r"),
        )
        for call in calls:
            with pytest.raises(Invalid, match="audit_key"):
                call()
        assert [finding.kind for finding in store.audit.check()] == ["keyed"]
        assert store.check().ok
    with open_store(tmp_path / "a.db", audit_key=key if isinstance(key, bytes) else key.encode()) as store:
        assert store.audit.append("query").seq == 3
        assert store.audit.verify(anchors=[head]).ok


@pytest.mark.damage
def test_a_log_begun_without_a_key_refuses_one(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        store.audit.append("query")
    with open_store(tmp_path / "a.db", audit_key="k") as store:
        with pytest.raises(Invalid, match="audit_key"):
            store.audit.append("query")
        assert [finding.kind for finding in store.audit.check()] == ["mac"]
        assert len(store.audit.find()) == 1


# -- damage met while reading and writing -------------------------------------------------------------------------------


@pytest.mark.damage
def test_reading_a_damaged_event_names_it(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        store.audit.append("query")
    db = sqlite3.connect(tmp_path / "a.db")
    with db:
        db.execute("INSERT INTO audit_permit(reason) VALUES ('mine')")
        db.execute("UPDATE audit_log SET body = 'no json'")
        db.execute("DELETE FROM audit_state")
    db.close()
    with open_store(tmp_path / "a.db") as store:
        with pytest.raises(Corrupt, match=r"audit event 1 is damaged .*verify\(\)"):
            store.audit.get(1)
        with pytest.raises(Corrupt, match=r"verify\(\)"):
            store.audit.append("query")
        assert {finding.kind for finding in store.audit.check()} == {"hash", "store_id", "permit"}


def test_a_long_log_is_verified_page_by_page(store):
    store.audit.append_many([{"event_type": "query", "project": f"p{n % 3}", "note": "x" * (n % 3)} for n in range(1500)])
    for seq in (1, 512, 513, 1024, 1025, 1500):
        store.audit.redact(seq, reason="r")
    report = store.audit.verify(anchors=[store.audit.head()])
    assert (report.ok, report.checked, report.findings) == (True, 1506, [])


def test_large_payloads_are_verified_in_bounded_memory(store):
    import tracemalloc

    store.audit.append_many([{"event_type": "query", "note": "x" * 1_000_000}] * 60)
    tracemalloc.start()
    try:
        assert store.audit.verify().checked == 60
        assert tracemalloc.get_traced_memory()[1] < 25_000_000
    finally:
        tracemalloc.stop()


def test_the_example_tells_its_story():
    import pathlib

    example = pathlib.Path(__file__).parents[1] / "examples" / "audit_trail.py"
    done = subprocess.run([sys.executable, "-W", "error", str(example)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok=True" in done.stdout and "ok=False" in done.stdout and "truncated" in done.stdout


def test_a_store_begun_with_a_key_is_keyed_before_its_first_event(tmp_path):
    open_store(tmp_path / "agent.db", audit_key="secret").close()
    with open_store(tmp_path / "agent.db") as store:
        with pytest.raises(Invalid, match="audit_key"):
            store.audit.append("query")
        assert store.audit.find() == []
    with open_store(tmp_path / "agent.db", audit_key="secret") as store:
        assert store.audit.append("query").seq == 1
        assert store.audit.verify().ok


@pytest.mark.damage  # the key contradicts the log, and check() says so
def test_a_key_comes_too_late_for_a_log_that_has_begun_without(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        store.audit.append("query")
    with open_store(tmp_path / "agent.db", audit_key="secret") as store:
        with pytest.raises(Invalid, match="begun without a key"):
            store.audit.append("query")
