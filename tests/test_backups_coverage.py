"""What is covered by a backup, closing the gaps, and resuming from a note."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

from memstore import HandoffNote, Invalid, NotFound, open_store
from memstore.backups import Gap
from memstore.kernel import estimate_tokens

NOTE = HandoffNote("mend the rounding", "round, not int()", "one test fails", "src/time.py", "be brief", "run the tests")


def talk(store, id, *texts, role="user"):
    store.chat.create_conversation(id=id, exist_ok=True)
    return [store.chat.append(id, role, text) for text in texts]


def track(store, times, id="c", specialist="coder", **options):
    for _ in range(times):
        store.backups.track(id, specialist, **options)


# -- what is covered ----------------------------------------------------------------------------------------------------


def test_a_backup_is_valid_until_something_is_said(store):
    talk(store, "c", "one")
    assert not store.backups.is_valid("c", "coder")
    backup = store.backups.save("c", "coder", NOTE)
    assert backup.position == store.backups.position("c")
    assert store.backups.is_valid("c", "coder")
    assert not store.backups.is_valid("c", "critic")
    talk(store, "c", "two")
    assert not store.backups.is_valid("c", "coder")
    store.backups.save("c", "coder", NOTE)
    assert store.backups.is_valid("c", "coder")


def test_equal_times_and_a_clock_that_goes_back_change_nothing(store, store_clock):
    talk(store, "c", *"abcde")
    store_clock.advance(-5000)
    store.backups.save("c", "coder", NOTE)
    assert store.backups.is_valid("c", "coder")
    assert store.backups.coverage() == []
    talk(store, "c", "said at the very same time")
    assert not store.backups.is_valid("c", "coder")
    assert [gap.trigger for gap in store.backups.coverage()] == ["coverage_job_stale"]


def test_what_chat_does_not_know_is_valid_while_nothing_is_tracked(store):
    assert not store.backups.is_valid("c", "coder")
    track(store, 5)
    assert store.backups.coverage() == [Gap("c", "coder", "coverage_job_no_backup", 5, None, None)]
    backup = store.backups.save("c", "coder", NOTE)
    assert backup.position is None
    assert store.backups.is_valid("c", "coder")
    track(store, 1)
    assert not store.backups.is_valid("c", "coder")
    assert store.backups.coverage() == [Gap("c", "coder", "coverage_job_stale", 6, None, backup.id)]
    assert store.backups.coverage(min_messages=7) == []


def test_counting_and_saving_alone_make_no_chat_tables(file_store):
    track(file_store, 6)
    file_store.backups.coverage()
    file_store.backups.save("c", "coder", NOTE)
    file_store.backups.is_valid("c", "coder")
    file_store.backups.resume("c", "coder", max_tokens=1000)
    with pytest.raises(NotFound):
        file_store.backups.resume("d", "coder", max_tokens=1000)
    file_store.backups.check()
    tables = {row["name"] for row in file_store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert "token_counters" in tables
    assert "conversations" not in tables


def test_one_gap_for_each_specialist_or_one_for_nobody(store):
    talk(store, "alone", *"abcde")
    talk(store, "shared", *"abcde")
    talk(store, "short", *"abcd")
    store.backups.track("shared", "critic")
    store.backups.track("shared", "coder")
    store.backups.track("short", "coder")
    backup = store.backups.save("shared", "coder", NOTE)
    assert [(gap.conversation_id, gap.specialist) for gap in store.backups.coverage()] == [("shared", "critic"), ("alone", "")]
    talk(store, "shared", "more")
    gaps = store.backups.coverage()
    assert {(gap.specialist, gap.trigger, gap.messages, gap.backup_id) for gap in gaps if gap.conversation_id == "shared"} == {
        ("coder", "coverage_job_stale", 6, backup.id),
        ("critic", "coverage_job_no_backup", 6, None),
    }
    assert {gap.conversation_id for gap in store.backups.coverage(min_messages=4)} == {"alone", "shared", "short"}
    assert store.backups.coverage(min_messages=7) == []


def test_one_new_message_after_a_backup_is_a_gap_since_all_messages_count(store):
    talk(store, "c", *"abcdef")
    store.backups.save("c", "coder", NOTE)
    talk(store, "c", "one more")
    assert [(gap.messages, gap.position) for gap in store.backups.coverage()] == [(7, store.backups.position("c"))]


def test_gaps_come_by_newest_activity_then_those_chat_does_not_know(store, store_clock):
    for id in ("first", "second", "third"):
        talk(store, id, *"abcde")
        store_clock.advance(10)
    talk(store, "first", "again")
    track(store, 5, "old ghost")
    store_clock.advance(10)
    track(store, 5, "ghost")
    assert [gap.conversation_id for gap in store.backups.coverage()] == ["first", "third", "second", "ghost", "old ghost"]


@pytest.mark.parametrize("value", [-1, None, 1.5, True, "5"])
def test_a_bad_minimum_is_invalid(store, value):
    for method in (store.backups.coverage, store.backups.cover):
        with pytest.raises(Invalid, match="min_messages"):
            method(min_messages=value)


def test_random_histories_keep_valid_and_gap_opposite(store, rng):
    pairs = [(id, name) for id in ("a", "b", "ghost") for name in ("coder", "critic")]
    for _ in range(150):
        id, name = rng.choice(pairs)
        action = rng.choice(["say", "track", "save", "stale save"])
        if action == "say" and id != "ghost":
            talk(store, id, "words")
        elif action == "track":
            store.backups.track(id, name)
        elif action == "save":
            store.backups.save(id, name, NOTE)
        elif store.backups.position(id):
            store.backups.save(id, name, NOTE, position=rng.randrange(store.backups.position(id) + 1))
        gaps = {(gap.conversation_id, gap.specialist) for gap in store.backups.coverage(min_messages=0)}
        for pair in pairs:
            if store.backups.counter(*pair) is not None:
                assert store.backups.is_valid(*pair) == (pair not in gaps), pair


# -- covering -----------------------------------------------------------------------------------------------------------


def test_cover_drafts_a_note_for_each_gap(store):
    talk(store, "c", "The clock is late.", "Please mend it.")
    talk(store, "c", "I decided to round instead of truncating.", role="assistant")
    talk(store, "c", *"de")
    store.backups.track("c", "coder", tokens=99)
    [backup] = store.backups.cover()
    assert (backup.conversation_id, backup.specialist, backup.trigger) == ("c", "coder", "coverage_job_no_backup")
    assert backup.note.goal == "The clock is late."
    assert "round instead of truncating" in backup.note.decisions
    assert backup.token_estimate <= 900
    assert store.backups.counter("c", "coder").token_estimate == 0
    assert store.backups.coverage() == []
    assert store.backups.cover() == []
    talk(store, "c", "more")
    assert [again.trigger for again in store.backups.cover()] == ["coverage_job_stale"]
    assert store.backups.is_valid("c", "coder")


def test_a_writer_gets_the_gap_outside_of_any_transaction(store):
    talk(store, "c", *"abcde")
    seen = []

    def write_note(gap):
        seen.append((gap, store.backups.db.in_transaction))
        return NOTE

    [backup] = store.backups.cover(write_note)
    assert seen == [(Gap("c", "", "coverage_job_no_backup", 5, backup.position, None), False)]
    assert backup.note == NOTE


def test_a_message_that_arrives_while_the_note_is_written_leaves_it_stale(store):
    talk(store, "c", *"abcde")
    seen = store.backups.position("c")

    def slow(gap):
        talk(store, "c", "came in between")
        return NOTE

    [backup] = store.backups.cover(slow)
    assert backup.position == seen < store.backups.position("c")
    assert not store.backups.is_valid("c", "")
    assert [gap.trigger for gap in store.backups.coverage()] == ["coverage_job_stale"]


def test_a_note_saved_while_another_is_written_stays_the_newest(store):
    talk(store, "c", *"abcde")
    store.backups.track("c", "coder")

    def overtaken(gap):
        store.backups.save("c", "coder", "the agent's own")
        return NOTE

    assert store.backups.cover(overtaken) == []
    assert store.backups.latest("c").backup_text == "the agent's own"


def test_what_is_tracked_while_a_note_is_written_is_not_lost(store):
    track(store, 5)

    def slow(gap):
        store.backups.track("c", "coder", tokens=9)
        return NOTE

    assert store.backups.cover(slow) == []
    assert store.backups.counter("c", "coder").message_count == 6
    assert [gap.messages for gap in store.backups.coverage()] == [6]
    assert len(store.backups.cover(lambda gap: NOTE)) == 1


def test_a_writer_that_fails_keeps_what_was_saved_before(store, store_clock):
    for id in ("a", "b", "c"):
        talk(store, id, *"abcde")
        store_clock.advance(1)

    def write_note(gap):
        if gap.conversation_id == "b":
            raise TimeoutError("the model is gone")
        return NOTE

    with pytest.raises(TimeoutError):
        store.backups.cover(write_note)
    assert [backup.conversation_id for backup in store.backups.find()] == ["c"]
    assert [gap.conversation_id for gap in store.backups.coverage()] == ["b", "a"]


def test_a_writer_that_is_no_function_is_invalid(store):
    talk(store, "c", *"abcde")
    with pytest.raises(Invalid, match="write_note must be a function"):
        store.backups.cover("a note")
    assert store.backups.find() == []


def test_a_gap_without_a_note_stays_open(store):
    talk(store, "c", *"abcde")
    track(store, 5, "ghost")
    assert store.backups.cover(lambda gap: None) == []
    assert [backup.conversation_id for backup in store.backups.cover()] == ["c"]
    assert [gap.conversation_id for gap in store.backups.coverage()] == ["ghost"]
    assert [backup.conversation_id for backup in store.backups.cover(lambda gap: "by hand")] == ["ghost"]
    assert store.backups.coverage() == []


# -- resuming -----------------------------------------------------------------------------------------------------------


def call(id):
    return {"id": id, "type": "function", "function": {"name": "run", "arguments": "{}"}}


def cost(messages):
    texts = []
    for message in messages:
        found = [message["content"]] if isinstance(message.get("content"), str) else []
        for made in message.get("tool_calls") or ():
            found += [made["function"]["name"], made["function"]["arguments"]]
        texts += found or [""]
    return sum(map(estimate_tokens, texts))


def start(store):
    store.chat.create_conversation(id="c")
    store.chat.append_many("c", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "old request"}])


def test_resuming_gives_system_note_and_what_came_after(store):
    start(store)
    store.backups.save("c", "coder", NOTE)
    after = [{"role": "assistant", "content": "I go on."}, {"role": "user", "content": "fine"}]
    store.chat.append_many("c", after)
    note = {"role": "user", "content": NOTE.text}
    assert store.backups.resume("c", "coder", max_tokens=1000) == [{"role": "system", "content": "Be brief."}, note, *after]


def test_without_a_backup_of_this_specialist_resuming_is_the_window(store):
    start(store)
    store.backups.save("c", "critic", NOTE)
    window = [message.to_openai() for message in store.chat.window("c", max_tokens=50)]
    assert store.backups.resume("c", "coder", max_tokens=50) == window != []
    with pytest.raises(NotFound, match="nowhere"):
        store.backups.resume("nowhere", "coder", max_tokens=50)


def test_the_newest_note_is_taken_and_messages_it_has_seen_are_not(store):
    start(store)
    seen = store.backups.position("c")
    store.backups.save("c", "coder", "an older note")
    store.chat.append("c", "user", "in between")
    store.backups.save("c", "coder", "the newer note", position=seen)
    got = store.backups.resume("c", "coder", max_tokens=99)
    assert [message["content"] for message in got] == ["Be brief.", "the newer note", "in between"]


def test_resuming_never_parts_a_call_from_its_results_and_never_costs_more(store):
    start(store)
    store.backups.save("c", "coder", "the note")
    for turn in range(6):
        store.chat.append_many("c", [
            {"role": "user", "content": f"request {turn} " + "x" * 40},
            {"role": "assistant", "content": None, "tool_calls": [call("same"), call("other")]},
            {"role": "tool", "tool_call_id": "same", "content": "y" * 60},
            {"role": "tool", "tool_call_id": "other", "content": "z" * 60},
        ])
    whole = store.backups.resume("c", "coder", max_tokens=10_000)
    assert len(whole) == 26
    for budget in range(cost(whole[:2]), cost(whole) + 2):
        got = store.backups.resume("c", "coder", max_tokens=budget)
        assert cost(got) <= budget
        assert got[:2] == whole[:2]
        assert got[2:] == whole[len(whole) - len(got) + 2 :]
        assert got[2:3] == [] or "tool_call_id" not in got[2]


def test_a_call_whose_result_came_after_the_note_comes_with_it(store):
    start(store)
    asked = {"role": "assistant", "content": "I look.", "tool_calls": [call("k")]}
    answered = {"role": "tool", "tool_call_id": "k", "content": "found"}
    store.chat.append_many("c", [asked])
    store.backups.save("c", "coder", "the note")
    store.chat.append_many("c", [answered])
    assert store.backups.resume("c", "coder", max_tokens=1000)[2:] == [asked, answered]


def test_a_call_before_the_note_is_found_behind_other_messages(store):
    start(store)
    asked = {"role": "assistant", "content": "I look.", "tool_calls": [call("k"), call("j")]}
    results = [{"role": "tool", "tool_call_id": id, "content": "found"} for id in "kj"]
    store.chat.append_many("c", [asked, results[0], {"role": "user", "content": "seen by the note"}])
    store.backups.save("c", "coder", "the note")
    store.chat.append_many("c", [{"role": "user", "content": "new"}, results[1], {"role": "developer", "content": "new rule"}])
    got = store.backups.resume("c", "coder", max_tokens=1000)
    assert got[2:] == [asked, *results[:1], {"role": "user", "content": "new"}, results[1], {"role": "developer", "content": "new rule"}]


def test_an_orphan_result_is_left_out(store):
    start(store)
    store.backups.save("c", "coder", "the note")
    store.chat.append_many("c", [{"role": "tool", "tool_call_id": "never made", "content": "?"}, {"role": "user", "content": "hm"}])
    assert [message["content"] for message in store.backups.resume("c", "coder", max_tokens=1000)] == ["Be brief.", "the note", "hm"]


def test_items_of_the_agents_sdk_come_back_as_they_went_in(store):
    start(store)
    store.backups.save("c", "coder", "the note")
    items = [
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "f", "name": "run", "arguments": "{}", "unknown": 1},
        {"type": "function_call_output", "call_id": "f", "output": "ok"},
    ]
    store.chat.append_many("c", items)
    assert store.backups.resume("c", "coder", max_tokens=1000)[2:] == items


def test_positions_rise_only(store):
    assert store.backups.position("c") is None
    talk(store, "c")
    assert store.backups.position("c") == 0
    talk(store, "c", "one", "two")
    store.backups.save("c", "coder", NOTE)
    assert store.backups.position("c") == 2
    store.chat.pop("c")
    assert store.backups.position("c") == 2
    assert store.chat.positions() == [("c", 2, 1)]
    assert store.backups.is_valid("c", "coder")
    talk(store, "c", "another")
    assert store.backups.position("c") == 3
    assert not store.backups.is_valid("c", "coder")


def test_a_budget_too_small_for_system_and_note_says_what_they_need(store):
    start(store)
    store.backups.save("c", "coder", NOTE)
    needed = cost([{"content": "Be brief."}, {"content": NOTE.text}])
    for budget in (0, 1, needed - 1):
        with pytest.raises(Invalid, match=f"{needed}"):
            store.backups.resume("c", "coder", max_tokens=budget)
    assert len(store.backups.resume("c", "coder", max_tokens=needed)) == 2


def test_tokens_are_counted_by_the_callers_function(store):
    start(store)
    store.backups.save("c", "coder", "the note")
    store.chat.append("c", "user", "one two three")
    words = [message["content"] for message in store.backups.resume("c", "coder", max_tokens=7, count=lambda text: len(text.split()))]
    assert words == ["Be brief.", "the note", "one two three"]
    words = store.backups.resume("c", "coder", max_tokens=6, count=lambda text: len(text.split()))
    assert [message["content"] for message in words] == ["Be brief.", "the note"]


def test_a_conversation_that_chat_does_not_know_resumes_with_its_note_alone(store):
    store.backups.save("ghost", "coder", "the note")
    assert store.backups.resume("ghost", "coder", max_tokens=2) == [{"role": "user", "content": "the note"}]
    with pytest.raises(Invalid, match="2"):
        store.backups.resume("ghost", "coder", max_tokens=1)


@pytest.mark.parametrize("budget", [-1, None, 1.5, True])
def test_a_bad_budget_is_invalid(store, budget):
    start(store)
    store.backups.save("c", "coder", "the note")
    with pytest.raises(Invalid, match="max_tokens"):
        store.backups.resume("c", "coder", max_tokens=budget)


@pytest.mark.parametrize("count", [5, lambda text: "1", lambda text: -1])
def test_a_count_that_gives_no_number_of_tokens_is_invalid(store, count):
    start(store)
    store.backups.save("c", "coder", "the note")
    with pytest.raises(Invalid, match="count"):
        store.backups.resume("c", "coder", max_tokens=100, count=count)


# -- the job ------------------------------------------------------------------------------------------------------------


def coverage_job():
    path = pathlib.Path(__file__).resolve().parents[1] / "examples" / "coverage_job.py"
    spec = importlib.util.spec_from_file_location("coverage_job", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_job_closes_gaps_and_prints_one_line_each(tmp_path, capsys):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        talk(store, "c", *"abcde")
        talk(store, "d", *"abcde")
    assert coverage_job().main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("d ")
    assert coverage_job().main([str(path)]) == 0
    assert capsys.readouterr().out == ""
    with open_store(path) as store:
        assert store.backups.coverage() == []


def test_the_job_shows_itself_without_a_path(capsys):
    assert coverage_job().main([]) == 0
    assert "coverage_job_no_backup" in capsys.readouterr().out


def test_the_job_refuses_a_path_that_is_no_store(tmp_path, capsys):
    assert coverage_job().main([str(tmp_path / "missing.db")]) == 2
    assert "missing.db" in capsys.readouterr().err
    assert not (tmp_path / "missing.db").exists()
