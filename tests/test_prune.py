"""Pruning: what is old goes whole and from everywhere, what must stay stays, and the file gets shorter."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import pytest

import memstore
from memstore import Busy, Invalid, NotSupported, ReadOnly, SchemaTooNew, open_store
from memstore.kernel import upkeep
from memstore.testing import FakeClock

DAY = 86_400.0


def fill(store, clock, conversations=6, messages=20, size=400):
    """Conversations c0, c1, ... a day apart, with runs, events and the rest."""
    for number in range(conversations):
        clock.advance(DAY)
        name = f"c{number}"
        store.chat.create_conversation(id=name, title=f"title {number}")
        store.chat.touch_session(name)
        store.chat.append_many(name, [{"role": "user", "content": f"word{number} {place} " + "x" * size} for place in range(messages)])
        store.evals.record_run(name, "coder", id=f"r{number}")
        store.evals.record_assertion("polite", "info", True, session_id=name, id=f"a{number}")
        store.keywords.add(f"n{number}", f"note{number} by hand", kind="note")
        store.audit.append("query", conversation_id=name, details={"number": number})


def ids(items):
    return [item.id for item in items]


def dump(store):
    """All rows of all tables."""
    with closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as raw:
        return list(raw.iterdump())


def used(report, *tables):
    return {name: report.removed.get(name, 0) for name in tables}


# -- what is asked for --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give keep_last=, max_age= in seconds or max_bytes="),
        ({"keep_last": -1}, "keep_last is -1; it must be at least 0"),
        ({"max_age": -0.5}, "max_age is -0.5"),
        ({"max_age": timedelta(days=-1)}, "max_age is -86400.0"),
        ({"max_bytes": -1}, "max_bytes is -1"),
        ({"keep_last": 1, "room": "evasl"}, r"there is no room 'evasl' \(nearest: 'evals'\)"),
        ({"keep_last": 1, "room": "backups"}, "backups cannot be pruned: context_backups is only ever appended to"),
    ],
)
def test_what_makes_no_sense_is_refused(store, store_clock, given, said):
    fill(store, store_clock, 2)
    with pytest.raises(Invalid, match=said):
        store.prune(**given)
    assert len(store.chat.conversations()) == 2


def test_it_cannot_be_part_of_a_transaction_nor_of_a_read_only_store(file_store, store_clock):
    fill(file_store, store_clock, 2)
    with file_store.transaction(), pytest.raises(Invalid, match="leave the block first"):
        file_store.prune(keep_last=0, dry_run=True)
    with open_store(file_store.path, read_only=True) as reading, pytest.raises(ReadOnly):
        reading.prune(keep_last=0)


def test_a_room_of_a_newer_version_stops_it_before_anything_goes(file_store, store_clock):
    fill(file_store, store_clock, 2)
    with closing(sqlite3.connect(file_store.path)) as raw:
        raw.execute("INSERT INTO schema_version(room, version, digest) VALUES ('dreams', 1, '')")
        raw.commit()
    with pytest.raises(SchemaTooNew, match="dreams was made by a newer memstore"):
        file_store.prune(keep_last=0)
    assert len(file_store.chat.conversations()) == 2


@pytest.mark.parametrize(
    "limits", [{"keep_last": 6}, {"max_age": 7 * DAY}, {"max_bytes": 1 << 30}, {"keep_last": 0, "room": "corrections"}]
)
def test_where_nothing_is_too_old_nothing_is_written(file_store, store_clock, limits):
    fill(file_store, store_clock)
    before, head = dump(file_store), file_store.audit.head()
    report = file_store.prune(**limits)
    assert (report.removed, report.audit_seq) == ({}, None)
    assert (dump(file_store), file_store.audit.head()) == (before, head)


# -- what goes ----------------------------------------------------------------------------------------------------------


def test_the_newest_of_each_kind_stay(store, store_clock):
    fill(store, store_clock)
    head = store.audit.head()
    report = store.prune(keep_last=2, reason="a small disk", actor="ann")
    assert report.removed == {
        "conversations": 4, "messages": 80, "sessions": 4, "model_runs": 4, "assertion_events": 4, "keyword_items": 4, "audit_log": 4,
    }  # fmt: skip
    assert ids(store.chat.conversations()) == ids(store.chat.sessions()) == ["c5", "c4"]
    assert (ids(store.evals.runs()), ids(store.evals.assertions())) == (["r5", "r4"], ["a5", "a4"])
    assert [hit.item_id for hit in store.keywords.search("by hand")] == ["n5", "n4"]
    assert [event.event_type for event in store.audit.find()] == ["store.prune", "audit.prune", "query", "query"]
    assert store.audit.verify(anchors=[head]).ok
    told = store.audit.get(report.audit_seq)
    assert (told.event_type, told.entity_kind, told.actor, told.note) == ("store.prune", "store", "ann", "a small disk")
    assert told.details == {"removed": report.removed, "room": None, "keep_last": 2}


def test_a_second_time_there_is_nothing_to_do(store, store_clock):
    fill(store, store_clock)
    for limits in ({"keep_last": 4}, {"max_age": 2.5 * DAY}, {"max_bytes": 0}):
        assert store.prune(**limits).removed
        assert store.prune(**limits).removed == {}


@pytest.mark.parametrize("age", [2.5 * DAY, timedelta(days=2, hours=12)])
def test_what_rests_for_longer_goes_and_talking_again_keeps_a_conversation_whole(store, store_clock, age):
    fill(store, store_clock)
    store.chat.append("c0", "user", "once more")
    store.chat.archive("c2")
    report = store.prune(max_age=age, room="chat")
    assert used(report, "conversations", "messages", "model_runs") == {"conversations": 2, "messages": 40, "model_runs": 0}
    assert ids(store.chat.conversations()) == ["c0", "c5", "c4", "c3"]
    assert len(store.chat.messages("c0", limit=None)) == 21
    assert store.prune(max_age=age).removed["model_runs"] == 3


def test_of_corrections_only_superseded_ones_go(store, store_clock):
    for number in range(4):
        store.corrections.add(f"subject {number}", "right", rejected="wrong", id=f"k{number}", confidence=0.1)
        store.corrections.applied(f"k{number}")
    for name in ("k2", "k0"):
        store_clock.advance(DAY)
        store.corrections.supersede(name)
    report = store.prune(keep_last=1, room="corrections")
    assert report.removed == {"corrections": 1, "correction_rejections": 1, "correction_applications": 1}
    assert sorted(ids(store.corrections.find(include_superseded=True))) == ["k0", "k1", "k3"]
    assert report.kept == ["corrections: 2 live, which stay and fade: corrections.prune() removes what has faded"]


def test_promotions_and_backups_stay_and_are_named(store, store_clock):
    fill(store, store_clock, 2)
    store.evals.promote("coder", None, "model-1")
    store.backups.track("c0", "coder", "text")
    store.backups.save("c0", "coder", "what was said")
    report = store.prune(keep_last=0)
    assert [line.partition(":")[0] for line in report.kept] == ["context_backups", "promotions"]
    assert store.evals.active_model("coder") == "model-1"
    assert len(store.backups.find()) == 1


def test_a_note_on_a_pruned_conversation_covers_nothing_of_one_that_gets_its_id(store, store_clock):
    fill(store, store_clock, 2)
    store.backups.save("c0", "coder", "what was said")
    store.prune(room="chat", keep_last=0)
    store.chat.create_conversation(id="c0")
    store.chat.append("c0", "user", "something new")
    assert not store.backups.is_valid("c0", "coder")
    assert [gap.conversation_id for gap in store.backups.coverage(min_messages=1)] == ["c0"]
    assert [message["content"] for message in store.backups.resume("c0", "coder", max_tokens=1000)] == ["what was said", "something new"]


def test_a_room_that_the_file_does_not_have_is_not_made(store):
    store.chat.create_conversation(id="c")
    assert store.prune(keep_last=0, room="evals").removed == {}
    assert store.prune(keep_last=0).removed == {"conversations": 1}
    assert set(store.stats().rooms) == {"chat", "audit"}


def test_a_log_that_began_before_a_clock_was_set_back_goes_from_its_front(store, store_clock):
    store_clock.advance(10 * DAY)
    store.audit.append("query")
    store_clock.advance(-10 * DAY)
    store.audit.append("query")
    store_clock.advance(11 * DAY)
    store.audit.append("query")
    assert store.prune(max_age=5 * DAY).removed == {}, "the first is young, and what follows it cannot go before it"
    store_clock.advance(5 * DAY)
    assert store.prune(max_age=5 * DAY).removed == {"audit_log": 2}
    assert store.audit.verify().ok


# -- what is left -------------------------------------------------------------------------------------------------------


def test_search_and_completion_forget_what_went_and_find_what_stayed(store, store_clock):
    fill(store, store_clock)
    store.keywords.compact()
    store.keywords.add(store.chat.messages("c5")[0].id, "overridden by hand")
    store.prune(keep_last=2)
    assert store.chat.search("word1") == store.keywords.search("note1") == []
    assert [word for word, _ in store.keywords.complete("word", limit=None)] == ["word4", "word5"]
    assert len(store.chat.search("word4", limit=None)) == 20
    kept = {word for row in store.query("SELECT words FROM keyword_segments") for word in row["words"].decode().split("\n")}
    assert "word5" in kept and kept.isdisjoint({"word1", "note1", "note3"})


def test_numbers_are_never_given_again(store, store_clock):
    fill(store, store_clock)
    gone = {message.id for number in range(6) for message in store.chat.messages(f"c{number}", limit=None)}
    last = store.query("SELECT max(arrival) AS last FROM messages")[0]["last"]
    store.prune(keep_last=0)
    assert store.query("SELECT count(*) AS runs FROM arrivals")[0] == {"runs": 1}
    store.chat.create_conversation(id="next")
    said = store.chat.append_many("next", [{"role": "user", "content": f"fresh {place}"} for place in range(30)])
    assert store.query("SELECT min(arrival) > ? AS later FROM messages", [last])[0]["later"]
    assert gone.isdisjoint(message.id for message in said)
    assert {hit.message.id for hit in store.chat.search("fresh", limit=None)} == {message.id for message in said}
    assert [store.chat.get_message(message.id).content for message in said] == [message.content for message in said]


def test_any_history_keeps_exactly_the_newest(store, store_clock, rng):
    said, resting = {}, []  # texts by conversation; the conversations, longest at rest first
    for turn in range(60):
        store_clock.advance(rng.choice((0.0, 1.0, 50.0)))
        choice = rng.random()
        if choice < 0.25 or not said:
            name = f"c{turn}"
            store.chat.create_conversation(id=name)
            said[name] = []
            resting.append(name)
        elif choice < 0.85:
            name = rng.choice(resting)
            texts = [f"w{rng.randrange(9)} {rng.random()}" for _ in range(rng.randint(1, 4))]
            store.chat.append_many(name, [{"role": "user", "content": text} for text in texts])
            said[name] += texts
            resting.remove(name)
            resting.append(name)
        elif choice < 0.92:
            store.keywords.compact()
        else:
            stay = rng.randrange(5)
            gone, resting = resting[: max(0, len(resting) - stay)], resting[max(0, len(resting) - stay) :]
            report = store.prune(room="chat", keep_last=stay)
            messages = sum(len(said.pop(name)) for name in gone)
            assert used(report, "conversations", "messages") == {"conversations": len(gone), "messages": messages}
        assert store.check().ok
    assert ids(store.chat.conversations(limit=None)) == resting[::-1]
    for name, texts in said.items():
        assert [message.content for message in store.chat.messages(name, limit=None)] == texts
    for word in range(9):
        found = {hit.message.content for hit in store.chat.search(f"w{word}", limit=None)}
        assert found == {text for texts in said.values() for text in texts if text.startswith(f"w{word} ")}


# -- bytes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.8, 0.6, 0.5])
def test_the_file_gets_as_short_as_it_was_asked_to_be_while_it_is_open(file_store, store_clock, share):
    fill(file_store, store_clock, 30, 40)
    file_store.optimize()
    before = os.stat(file_store.path).st_size
    wanted = int(before * share)
    report = file_store.prune(max_bytes=wanted)
    size = os.stat(file_store.path).st_size
    assert (report.bytes_before, report.bytes_after) == (before, size)
    assert wanted * 0.7 < size <= wanted, "and not much shorter"
    assert os.stat(file_store.path + "-wal").st_size < 20_000
    left = ids(file_store.chat.conversations())
    assert left and left == [f"c{number}" for number in range(29, 29 - len(left), -1)]
    assert abs(len(left) - len(file_store.evals.runs())) <= 1, "the oldest of all rooms go first"


def test_a_room_gets_as_small_as_it_was_asked_to_be(file_store, store_clock):
    fill(file_store, store_clock, 30, 40)
    tables = file_store.stats().tables
    if tables[0].bytes is None:
        pytest.skip("this SQLite was built without dbstat")
    wanted = sum(table.bytes for table in tables if table.room == "chat") // 2
    report = file_store.prune(max_bytes=wanted, room="chat")
    assert set(report.removed) == {"conversations", "messages", "sessions"}
    assert wanted * 0.6 < sum(table.bytes for table in file_store.stats().tables if table.room == "chat") <= wanted


def test_without_the_means_to_tell_the_bytes_of_a_room_that_is_said(store, store_clock, monkeypatch):
    fill(store, store_clock, 2)
    monkeypatch.setattr(upkeep, "table_bytes", lambda database: None)
    with pytest.raises(NotSupported, match="without dbstat"):
        store.prune(max_bytes=1, room="chat")
    assert store.prune(max_bytes=1).removed["conversations"] == 2


def test_where_even_all_is_not_enough_that_is_said(file_store, store_clock):
    fill(file_store, store_clock)
    report = file_store.prune(max_bytes=1)
    assert report.removed["messages"] == 120
    assert report.kept == [f"the file takes {report.bytes_after:,} bytes, more than max_bytes: nothing is left in it that prune() removes"]


def test_free_pages_go_back_even_where_nothing_has_to_go(file_store, store_clock):
    fill(file_store, store_clock, 30, 40)
    file_store.chat.clear("c0")
    free = file_store.stats().free_bytes
    assert free > 0
    report = file_store.prune(max_bytes=file_store.stats().bytes - free)
    assert report.removed == {}
    assert os.stat(file_store.path).st_size == report.bytes_after <= report.bytes_before - free


@pytest.mark.parametrize(
    "limits", [{"keep_last": 3}, {"max_age": 2.5 * DAY}, {"max_bytes": 350_000}, {"max_bytes": 0}, {"keep_last": 0, "room": "audit"}]
)
def test_a_trial_gives_the_same_figures_and_writes_nothing(file_store, store_clock, limits):
    fill(file_store, store_clock, 10, 30)
    file_store.keywords.compact()
    before = dump(file_store)
    trial = file_store.prune(**limits, dry_run=True)
    assert dump(file_store) == before
    done = file_store.prune(**limits)
    assert trial.dry_run and trial.audit_seq is None and trial.removed
    assert (trial.removed, trial.kept, trial.bytes_before, trial.bytes_after) == (
        done.removed, done.kept, done.bytes_before, done.bytes_after,
    )  # fmt: skip


def test_a_reader_of_an_older_state_delays_the_space_and_loses_nothing(tmp_path, store_clock):
    with open_store(tmp_path / "agent.db", clock=store_clock, timeout=0.2) as store:
        fill(store, store_clock, 20, 40)
        store.optimize()
        long = os.stat(store.path).st_size
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM messages").fetchone() == (800,)
            report = store.prune(keep_last=1)
            assert any("until whoever reads an older state has ended" in line for line in report.kept)
            assert os.stat(store.path).st_size == long
            assert other.execute("SELECT count(*) FROM messages").fetchone() == (800,)
            other.execute("ROLLBACK")
    assert os.stat(tmp_path / "agent.db").st_size == report.bytes_after < long / 2


def test_space_that_cannot_be_given_back_now_takes_nothing_of_the_prune_back(file_store, store_clock, monkeypatch):
    fill(file_store, store_clock, 10, 30)

    def busy(database, sql):
        raise Busy("somebody else writes")

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "_outside_transaction", busy)
        report = file_store.prune(keep_last=1)
    assert report.kept == ["free pages stay in the file until the next prune() or optimize(): somebody else writes"]
    assert ids(file_store.chat.conversations()) == ["c9"]
    assert file_store.prune(max_bytes=1 << 30).bytes_after < report.bytes_after


# -- others -------------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from memstore import open_store
with open_store(sys.argv[1]) as store:
    store.chat.create_conversation(id="busy")
    print("ready", flush=True)
    for number in range(300):
        store.chat.append("busy", "user", f"said {number}")
        store.audit.append("query", conversation_id="busy")
"""


def test_another_process_goes_on_writing_meanwhile(file_store, store_clock):
    fill(file_store, store_clock, 30, 40)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(memstore.__file__).parents[1])}
    writing = [sys.executable, "-c", WRITER, file_store.path]
    with subprocess.Popen(writing, stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout.readline() == "ready\n"
        for stay in (25, 10, 5, 1):
            file_store.prune(keep_last=stay, room="chat")
        assert other.wait(60) == 0
    assert ids(file_store.chat.conversations()) == ["busy"]
    assert [message.content for message in file_store.chat.messages("busy", limit=None)] == [f"said {number}" for number in range(300)]
    assert len(file_store.chat.search("said", limit=None)) == 300
    assert file_store.audit.verify().ok


def test_two_handles_see_the_same_index_after_a_prune(tmp_path):
    clock = FakeClock()
    with open_store(tmp_path / "agent.db", clock=clock) as one, open_store(tmp_path / "agent.db", clock=clock) as two:
        fill(one, clock)
        two.keywords.compact()
        assert len(two.chat.search("word0", limit=None)) == len(one.chat.search("word0", limit=None)) == 20
        one.prune(keep_last=1)
        assert two.chat.search("word0") == [] and len(two.chat.search("word5", limit=None)) == 20
        two.chat.append("c5", "user", "word0 again")
        assert len(one.chat.search("word0")) == 1
