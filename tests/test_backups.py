"""Token counters, when a backup is due, saving and finding backups."""

from __future__ import annotations

import json
import multiprocessing
import threading

import pytest

from memstore import Exists, HandoffNote, Invalid, NotFound, ReadOnly, open_store
from memstore.backups import TRIGGERS, ContextBackup, TokenCounter

NOTE = HandoffNote("mend the rounding", "round, not int()", "one test fails", "src/time.py", "be brief", "run the tests")
DAY = 86400.0


def talk(store, id, *texts, role="user"):
    store.chat.create_conversation(id=id, exist_ok=True)
    return [store.chat.append(id, role, text) for text in texts]


def track(store, times, id="c", specialist="coder", **options):
    for _ in range(times):
        store.backups.track(id, specialist, **options)


def rows(store):
    return [store.query(f"SELECT * FROM {table}") for table in ("token_counters", "context_backups")]


# -- counting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("abc", 1), ("a" * 7, 1), ("a" * 8, 2), ("日" * 400, 100), ("a\0" * 4, 2)])
def test_a_text_counts_a_quarter_of_its_characters_and_at_least_one(store, text, tokens):
    counter = store.backups.track("c", "coder", text)
    assert (counter.token_estimate, counter.message_count) == (tokens, 1)


def test_given_tokens_are_taken_as_they_are_and_zero_is_zero(store):
    store.backups.track("c", "coder", "a" * 400, tokens=0)
    counter = store.backups.track("c", "coder", tokens=7)
    assert (counter.token_estimate, counter.message_count, counter.thread_number) == (7, 2, 1)


def test_a_counter_has_every_name_of_auas_table(store, store_clock):
    counter = store.backups.track("Gespräch 日本", "Prüfer", "x" * 40)
    assert isinstance(counter, TokenCounter)
    assert counter.counter_id == counter.id
    assert (counter.specialist, counter.conversation_id) == ("Prüfer", "Gespräch 日本")
    assert (counter.token_estimate, counter.message_count, counter.thread_number) == (10, 1, 1)
    assert counter.updated_at == store_clock.now
    assert counter.last_backup_at is None
    assert store.backups.counter("Gespräch 日本", "Prüfer") == counter
    assert json.loads(json.dumps(counter.to_dict()))["specialist"] == "Prüfer"


def test_each_pair_counts_for_itself(store):
    track(store, 2, "c", "coder", tokens=5)
    track(store, 1, "c", "critic", tokens=5)
    track(store, 1, "d", "coder", tokens=5)
    counted = [store.backups.counter(*pair).token_estimate for pair in (("c", "coder"), ("c", "critic"), ("d", "coder"))]
    assert counted == [10, 5, 5]
    assert store.backups.counter("d", "critic") is None


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        (("", "coder"), {}, "conversation_id"),
        (("c\0", "coder"), {}, "conversation_id"),
        (("c" * 1001, "coder"), {}, "conversation_id"),
        (("c", " "), {}, "specialist"),
        (("c", ""), {}, "specialist"),
        (("c", None), {}, "specialist"),
        (("c", "coder", None), {}, "text"),
        (("c", "coder", "\ud800"), {}, "surrogate"),
        (("c", "coder"), {"tokens": -1}, "tokens"),
        (("c", "coder"), {"tokens": 2**63}, "tokens"),
        (("c", "coder"), {"tokens": 1.5}, "tokens"),
        (("c", "coder"), {"tokens": True}, "tokens"),
    ],
)
def test_a_bad_track_is_refused_by_name_and_counts_nothing(store, arguments, options, named):
    store.backups.track("c", "coder", tokens=3)
    before = rows(store)
    with pytest.raises(Invalid, match=named):
        store.backups.track(*arguments, **options)
    assert rows(store) == before


def test_a_sum_beyond_64_bits_is_refused_and_the_counter_stays(store):
    store.backups.track("c", "coder", tokens=2**63 - 1)
    with pytest.raises(Invalid):
        store.backups.track("c", "coder", tokens=1)
    counter = store.backups.counter("c", "coder")
    assert (counter.token_estimate, counter.message_count) == (2**63 - 1, 1)


def count_from_threads(path, times):
    with open_store(path, timeout=60.0) as store:
        workers = [threading.Thread(target=track, args=(store, times), kwargs={"tokens": 2}) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def test_eight_threads_in_four_processes_lose_no_count(tmp_path):
    path = str(tmp_path / "agent.db")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=count_from_threads, args=(path, 10)) for _ in range(4)]
    with open_store(path) as store:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 4
        counter = store.backups.counter("c", "coder")
        assert (counter.message_count, counter.token_estimate) == (320, 640)
        assert store.query("SELECT count(*) AS n FROM token_counters") == [{"n": 1}]


# -- when a backup is due -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "least"), [(100, 70), (90, 63), (10, 7), (7, 4), (2, 1), (8000, 5600), (128_000, 89_600), (10**15, 7 * 10**14)]
)
def test_seventy_percent_of_the_window_is_exact(store, window, least):
    store.backups.track("c", "coder", tokens=least - 1)
    assert store.backups.due("c", "coder", window=window) is None
    store.backups.track("c", "coder", tokens=1)
    assert store.backups.due("c", "coder", window=window) == "token_threshold"


def test_thirty_messages_or_more_are_due(store):
    track(store, 29, tokens=0)
    assert store.backups.due("c", "coder", window=1000) is None
    for _ in range(3):
        track(store, 1, tokens=0)
        assert store.backups.due("c", "coder", window=1000) == "message_count"


def test_a_day_of_rest_with_five_messages_is_due(store, store_clock):
    track(store, 4)
    store_clock.advance(2 * DAY)
    assert store.backups.due("c", "coder", window=1000) is None
    track(store, 1)
    store_clock.advance(DAY - 1)
    assert store.backups.due("c", "coder", window=1000) is None
    store_clock.advance(1)
    assert store.backups.due("c", "coder", window=1000) == "time_gap"
    store_clock.advance(-10 * DAY)
    assert store.backups.due("c", "coder", window=1000) is None


def test_the_first_reason_wins(store, store_clock):
    track(store, 30, tokens=10)
    store_clock.advance(DAY)
    assert store.backups.due("c", "coder", window=300) == "token_threshold"
    assert store.backups.due("c", "coder", window=3000) == "message_count"
    assert store.backups.due("c", "coder", window=3000, max_messages=31) == "time_gap"
    assert store.backups.due("c", "coder", window=3000, max_messages=31, gap_hours=24.5) is None
    assert store.backups.due("c", "coder", window=3000, max_messages=31, gap_messages=31) is None
    assert store.backups.due("c", "coder", window=3000, threshold=0.1) == "token_threshold"


def test_nothing_is_due_before_anything_was_tracked_and_after_a_save(store):
    assert store.backups.due("c", "coder", window=1) is None
    track(store, 40, tokens=100)
    store.backups.save("c", "coder", NOTE)
    assert store.backups.due("c", "coder", window=1) is None


@pytest.mark.parametrize(
    "options",
    [
        *({"window": window} for window in (0, -5, None, 1.5, True, "8000")),
        *({"window": 9, name: -1} for name in ("threshold", "max_messages", "gap_hours", "gap_messages")),
        *({"window": 9, name: float("nan")} for name in ("threshold", "max_messages", "gap_hours", "gap_messages")),
    ],
)
def test_a_bad_window_or_limit_is_invalid(store, options):
    with pytest.raises(Invalid, match=list(options)[-1]):
        store.backups.due("c", "coder", **options)


# -- saving -------------------------------------------------------------------------------------------------------------


def test_a_save_closes_a_thread_and_empties_the_counter(store, store_clock):
    track(store, 3, tokens=50)
    store_clock.advance(5)
    first = store.backups.save("c", "coder", NOTE, trigger="token_threshold")
    counter = store.backups.counter("c", "coder")
    assert (first.thread_number, counter.thread_number) == (1, 2)
    assert (counter.token_estimate, counter.message_count, counter.last_backup_at) == (0, 0, store_clock.now)
    for closed, trigger in enumerate(TRIGGERS, start=2):
        assert store.backups.save("c", "coder", NOTE, trigger=trigger).thread_number == closed
    assert store.backups.counter("c", "coder").thread_number == 8
    assert store.backups.save("c", "critic", NOTE).thread_number == 1


def test_a_backup_has_every_name_of_auas_table(store, store_clock):
    backup = store.backups.save("Gespräch", "Prüfer", NOTE, metadata={"cwd": "/tmp/ü", "dirty": False})
    assert isinstance(backup, ContextBackup)
    assert backup.backup_id == backup.id
    assert (backup.conversation_id, backup.specialist, backup.trigger, backup.thread_number) == ("Gespräch", "Prüfer", "manual", 1)
    assert (backup.backup_text, backup.token_estimate, backup.created_at) == (NOTE.text, len(NOTE.text) // 4, store_clock.now)
    assert backup.position is None
    assert backup.note == NOTE
    assert store.backups.get(backup.id) == backup == store.backups.latest("Gespräch", "Prüfer")
    assert store.backups.get(backup.id).metadata == {"cwd": "/tmp/ü", "dirty": False}


def test_what_an_import_brings_is_kept(store, store_clock):
    backup = store.backups.save("c", "", "just text", id="b-1", created_at=0, token_estimate=0)
    assert store.backups.get("b-1") == backup
    assert (backup.created_at, backup.token_estimate, backup.specialist, backup.backup_text) == (0.0, 0, "", "just text")
    counter = store.backups.counter("c", "")
    assert (counter.last_backup_at, counter.updated_at) == (0.0, store_clock.now)
    with pytest.raises(Invalid, match="no section"):
        assert backup.note


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        (("c", "coder", ""), {}, "note"),
        (("c", "coder", " \n"), {}, "note"),
        (("c", "coder", None), {}, "note"),
        (("c", "coder", {"goal": "x"}), {}, "note"),
        (("c", "coder", HandoffNote(goal="\ud800")), {}, "surrogate"),
        (("c", "coder", NOTE), {"trigger": "manuell"}, "nearest: 'manual'"),
        (("c", "coder", NOTE), {"trigger": None}, "trigger"),
        (("c", " ", NOTE), {}, "specialist"),
        (("c", None, NOTE), {}, "specialist"),
        ((" ", "coder", NOTE), {}, "conversation_id"),
        (("c", "coder", NOTE), {"id": ""}, "id"),
        (("c", "coder", NOTE), {"created_at": float("nan")}, "created_at"),
        (("c", "coder", NOTE), {"token_estimate": -1}, "token_estimate"),
        (("c", "coder", NOTE), {"metadata": {"a": {1, 2}}}, "metadata"),
        (("c", "coder", NOTE), {"metadata": [1]}, "metadata"),
        (("c", "coder", NOTE), {"position": -1}, "position"),
        (("c", "coder", NOTE), {"position": 1}, "chat has no conversation"),
        (("known", "coder", NOTE), {"position": 3}, "newest message of 'known' is 2"),
    ],
)
def test_a_bad_save_is_refused_by_name_and_leaves_nothing(store, arguments, options, named):
    talk(store, "known", "one", "two")
    store.backups.track("c", "coder", tokens=3)
    before = rows(store)
    with pytest.raises(Invalid, match=named):
        store.backups.save(*arguments, **options)
    assert rows(store) == before


def test_a_taken_id_is_refused_and_the_counter_stays(store):
    store.backups.save("c", "coder", NOTE, id="b-1")
    track(store, 2)
    before = rows(store)
    with pytest.raises(Exists, match="b-1"):
        store.backups.save("d", "critic", NOTE, id="b-1")
    with pytest.raises(Exists):
        store.backups.save("c", "coder", NOTE, id="b-1")
    assert rows(store) == before


def test_a_rolled_back_transaction_takes_counter_and_backup_with_it(store):
    store.backups.track("c", "coder", tokens=3)
    before = rows(store)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.backups.track("c", "coder", tokens=3)
        store.backups.save("c", "coder", NOTE)
        assert store.backups.is_valid("c", "coder")
        assert store.backups.counter("c", "coder").thread_number == 2
        raise ZeroDivisionError
    assert rows(store) == before


def test_nothing_but_an_erasure_changes_or_removes_a_backup():
    import memstore.backups

    verbs = {name for name in vars(memstore.backups.BackupStore) if not name.startswith("_")}
    reads = {"counter", "due", "position", "is_valid", "coverage", "get", "latest", "find", "resume", "check"}
    assert verbs == {"track", "save", "cover", "add_counter"} | reads | {"erase", "unplace"}, "they are for Store.erase and prune alone"


# -- finding ------------------------------------------------------------------------------------------------------------


def test_backups_are_found_newest_first_whatever_the_clock_says(store, store_clock):
    made = []
    for place in range(7):
        made.append(store.backups.save("c" if place % 2 else "d", "coder", f"note {place}", trigger=TRIGGERS[place % 3]))
        store_clock.advance(-100)
    find = store.backups.find
    assert find() == made[::-1]
    assert find(conversation_id="c") == [made[5], made[3], made[1]]
    assert find(trigger=TRIGGERS[0]) == [made[6], made[3], made[0]]
    assert find(conversation_id="c", specialist="coder", trigger=TRIGGERS[0]) == [made[3]]
    assert find(specialist="critic") == []
    assert find(limit=2) == [made[6], made[5]]
    assert find(limit=3, before=made[5].id) == [made[4], made[3], made[2]]
    assert find(limit=0) == []
    assert len(find(limit=None)) == 7
    assert store.backups.latest("c") == made[5]
    assert store.backups.latest("c", "critic") is None
    assert store.backups.latest("nowhere") is None


def test_the_latest_of_anybody_and_of_one_specialist(store):
    coder = store.backups.save("c", "coder", "by coder")
    critic = store.backups.save("c", "critic", "by critic")
    nobody = store.backups.save("c", "", "by nobody")
    assert store.backups.latest("c") == nobody
    assert [store.backups.latest("c", name) for name in ("coder", "critic", "")] == [coder, critic, nobody]


def test_bad_searches_are_refused_by_name(store):
    backup = store.backups.save("c", "coder", NOTE, id="backup-42")
    with pytest.raises(NotFound, match="no backup 'backup-24' .nearest: 'backup-42'.; store.backups.find"):
        store.backups.get("backup-24")
    with pytest.raises(NotFound, match="no backup 'x'"):
        store.backups.get("x")
    with pytest.raises(NotFound, match="no backup 'x'"):
        store.backups.find(before="x")
    with pytest.raises(Invalid, match="conversation_id 'c', not 'd'"):
        store.backups.find(conversation_id="d", before=backup.id)
    for options in ({"limit": -1}, {"trigger": "x"}, {"conversation_id": ""}, {"before": 5}, {"specialist": 5}, {"limit": True}):
        with pytest.raises(Invalid, match=next(iter(options))):
            store.backups.find(**options)


# -- files --------------------------------------------------------------------------------------------------------------


def test_a_read_only_store_answers_and_refuses_to_write(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        talk(store, "c", *"abcde")
        store.backups.save("c", "coder", NOTE)
        talk(store, "c", "more")
    with open_store(path, read_only=True) as store:
        assert store.backups.latest("c").note == NOTE
        assert not store.backups.is_valid("c", "coder")
        assert [gap.trigger for gap in store.backups.coverage()] == ["coverage_job_stale"]
        assert store.backups.resume("c", "coder", max_tokens=1000)[-1]["content"] == "more"
        for attempt in (lambda: store.backups.track("c", "coder"), lambda: store.backups.save("c", "coder", NOTE), store.backups.cover):
            with pytest.raises(ReadOnly):
                attempt()


def test_a_read_only_store_without_the_room_is_empty(tmp_path):
    path = tmp_path / "agent.db"
    open_store(path).close()
    with open_store(path, read_only=True) as store:
        assert store.backups.find() == []
        assert store.backups.latest("c") is None
        assert store.backups.coverage() == []
        assert not store.backups.is_valid("c", "coder")
        assert store.backups.due("c", "coder", window=10) is None
        assert store.backups.check() == []


@pytest.mark.damage
def test_check_names_what_does_not_fit(tmp_path):
    import sqlite3

    path = tmp_path / "agent.db"
    with open_store(path) as store:
        talk(store, "c", "one")
        store.backups.save("c", "coder", NOTE)
        store.backups.save("gone", "coder", NOTE)
        assert store.backups.check() == []
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("UPDATE context_backups SET position = 9")
        raw.execute("DELETE FROM token_counters WHERE conversation_id = 'c'")
        raw.execute("UPDATE token_counters SET thread_number = 1")
    raw.close()
    with open_store(path) as store:
        found = [(finding.kind, finding.seq) for finding in store.backups.check()]
        assert found == [("counter", 1), ("counter", 2), ("position", 1), ("dangling", 2)]
