"""Windows: never over budget, whole groups only, nothing that starts on a result without its call."""

from __future__ import annotations

import json

import pytest

from memstore import Invalid
from memstore.kernel import estimate_tokens
from memstore.testing import recorded_statements


def said(role, text):
    return {"role": role, "content": text}


def calls(*call_ids, content=None):
    made = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in call_ids]
    return {"role": "assistant", "content": content, "tool_calls": made}


def result(call_id, text="out"):
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def call_item(call_id):
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def output_item(call_id, text="out"):
    return {"type": "function_call_output", "call_id": call_id, "output": text}


REASONING = {"type": "reasoning", "id": "rs", "summary": []}


@pytest.fixture
def window(store):
    """Store messages and return the forms of a window over them; each message costs 1 by default."""

    def cut(messages, max_tokens, count=None):
        talk = store.chat.create_conversation()
        store.chat.append_many(talk.id, messages)
        options = {} if count is None else {"count": count}
        return [message.to_openai() for message in store.chat.window(talk.id, max_tokens=max_tokens, **options)]

    return cut


def test_the_newest_messages_that_fit_oldest_first(window):
    talk = [said("user", "aaaa"), said("assistant", "bbbb"), said("user", "cccc")]
    assert window(talk, 8, len) == talk[1:]
    assert window(talk, 11, len) == talk[1:]
    assert window(talk, 12, len) == talk
    assert window(talk, 3, len) == window(talk, 0, len) == window([], 10) == []


def test_a_message_that_does_not_fit_ends_the_window_though_older_ones_would(window):
    talk = [said("user", "a"), said("assistant", "b" * 50), said("user", "c")]
    assert window(talk, 10, len) == talk[2:]


def test_system_and_developer_messages_are_in_whatever_their_age(window):
    talk = [said("system", "ss"), said("user", "u" * 9), said("developer", "dd"), said("user", "uu")]
    assert window(talk, 6, len) == [talk[0], talk[2], talk[3]]
    assert window(talk, 4, len) == [talk[0], talk[2]]
    assert window(talk, 100, len) == talk


def test_system_messages_that_do_not_fit_say_how_much_they_need(window):
    with pytest.raises(Invalid, match="need 12 tokens, max_tokens is 11"):
        window([said("system", "s" * 12), said("user", "u")], 11, len)


def test_a_call_is_never_parted_from_its_results(window):
    talk = [said("user", "go"), calls("1", "2"), result("2"), result("1"), said("assistant", "done")]
    # the group costs "f" and "{}" twice, and "out" twice
    assert window(talk, 15, len) == talk[4:]
    assert window(talk, 16, len) == talk[1:]
    assert window(talk, 18, len) == talk


def test_results_without_their_call_are_left_out_and_cost_nothing(window):
    talk = [result("lost", "x" * 500), said("user", "u"), output_item("gone", "y" * 500), said("assistant", "a")]
    assert window(talk, 2, len) == [talk[1], talk[3]]
    assert window(talk[:1], 1000, len) == []


def test_a_call_that_still_waits_for_its_result_is_kept(window):
    talk = [said("user", "u"), calls("1")]
    assert window(talk, 100) == talk
    assert window([call_item("1")], 100) == [call_item("1")]


def test_call_ids_that_repeat_belong_to_the_nearest_call_before(window):
    talk = [calls("0"), result("0", "first"), calls("0"), result("0", "second")]
    assert window(talk, 9, len) == talk[2:]
    assert window(talk, 9 + 8, len) == talk


def test_transcripts_without_call_ids_keep_their_groups(window):
    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]}
    answer = {"role": "tool", "name": "f", "content": "out"}
    talk = [said("user", "u"), call, answer, said("assistant", "a")]
    assert window(talk, 5, len) == talk[3:]
    assert window(talk, 12, len) == talk[1:]  # "f", '{"a":1}', "out", "a"


def one_each(_text):
    return 1


def test_items_called_in_parallel_and_their_reasoning_are_one_group(window):
    talk = [said("user", "u"), REASONING, call_item("1"), call_item("2"), output_item("1"), output_item("2"), said("assistant", "a")]
    # reasoning has no text and costs count(""), a call has two texts
    assert window(talk, 7, one_each) == talk[6:]
    assert window(talk, 8, one_each) == talk[1:]
    assert window(talk, 9, one_each) == talk


def test_calls_one_after_the_other_are_groups_of_their_own(window):
    talk = [call_item("1"), output_item("1"), call_item("2"), output_item("2")]
    assert window(talk, 5, one_each) == talk[2:]
    assert window(talk, 6, one_each) == talk
    thought = [REASONING, *talk[:2], REASONING, *talk[2:]]
    assert window(thought, 7, one_each) == thought[3:]
    assert window(thought, 8, one_each) == thought


def test_reasoning_before_an_answer_is_a_group_of_its_own(window):
    talk = [REASONING, said("assistant", "a")]
    assert window(talk, 1, one_each) == talk[1:]
    assert window(talk, 2, one_each) == talk


def test_a_result_that_came_late_stays_with_its_call(window):
    talk = [calls("slow"), said("user", "uuuu"), result("slow"), said("assistant", "a")]
    assert window(talk, 5, len) == [talk[1], talk[3]]
    assert window(talk, 11, len) == talk


@pytest.mark.parametrize("output", ["out", [{"type": "input_text", "text": "out"}, {"type": "input_image"}]])
def test_every_text_of_a_message_is_counted(window, output):
    counted = []

    def count(text):
        counted.append(text)
        return 1

    parts = [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    window([said("user", parts), REASONING, call_item("1"), output_item("1", output)], 100, count)
    assert sorted(counted) == sorted(["one", "two", "", "f", "{}", "out"])


def test_the_default_count_is_a_quarter_of_the_characters(window):
    talk = [said("user", "x" * 400), said("assistant", "x" * 40)]
    assert window(talk, 109) == talk[1:]
    assert window(talk, 110) == talk


def test_only_groups_that_reach_beyond_a_position_are_taken(store):
    talk = store.chat.create_conversation()
    history = [said("system", "s"), said("user", "u"), calls("1"), result("1"), said("assistant", "a")]
    store.chat.append_many(talk.id, history)
    windows = [store.chat.window(talk.id, max_tokens=100, since=since) for since in range(6)]
    expected = [history, history, [history[0], *history[2:]], [history[0], *history[2:]], [history[0], history[4]], history[:1]]
    assert [[message.to_openai() for message in cut] for cut in windows] == expected


@pytest.mark.parametrize(
    "wrong",
    [{"max_tokens": -1}, {"max_tokens": 1.5}, {"max_tokens": None}, {"max_tokens": 5, "count": 7}, {"max_tokens": 5, "since": -1}],
)
def test_wrong_budgets_are_refused(store, wrong):
    talk = store.chat.create_conversation()
    with pytest.raises(Invalid, match="max_tokens|count|since"):
        store.chat.window(talk.id, **wrong)


@pytest.mark.parametrize("cost", [-1, float("nan"), 1.5, "1", None])
def test_a_count_that_gives_no_number_of_tokens_is_refused(store, cost):
    talk = store.chat.create_conversation()
    store.chat.append(talk.id, "user", "x")
    with pytest.raises(Invalid, match=r"count\(text\)"):
        store.chat.window(talk.id, max_tokens=5, count=lambda text: cost)


def test_a_small_window_does_not_read_a_long_conversation(file_store):
    talk = file_store.chat.create_conversation()
    file_store.chat.append_many(talk.id, [said("system", "s"), *[said("user", "word " * 10)] * 5000])
    file_store.chat.window(talk.id, max_tokens=500)
    counted = []
    with recorded_statements(file_store) as seen:
        cut = file_store.chat.window(talk.id, max_tokens=500, count=lambda text: counted.append(text) or estimate_tokens(text))
    assert len(cut) > 30 and len(counted) < 100 and len(seen) < 8


def test_any_history_gives_a_sound_window(store, rng):
    for _ in range(150):
        history = random_history(rng)
        talk = store.chat.create_conversation()
        store.chat.append_many(talk.id, history)
        budget = rng.randrange(60)
        required = sum(len(message["content"]) for message in history if message.get("role") == "system")
        if required > budget:
            with pytest.raises(Invalid):
                store.chat.window(talk.id, max_tokens=budget, count=len)
            continue
        cut = [message.to_openai() for message in store.chat.window(talk.id, max_tokens=budget, count=len)]
        check_sound(history, cut, budget)


def random_history(rng):
    history = []
    for number in range(rng.randrange(12)):
        name = f"c{number}"
        history += rng.choice(
            (
                [said("user", "u" * rng.randrange(9) + f"#{number}")],
                [said("assistant", f"#{number}")],
                [said("system", f"#{number}")],
                [calls(name, name + "b"), result(name, f"r{number}"), result(name + "b", f"s{number}")],
                [REASONING, call_item(name), call_item(name + "b"), output_item(name + "b", "o"), output_item(name, f"o{number}")],
                [result(f"lost{number}")],
                [output_item(f"lost{number}")],
            )
        )
    return history


def check_sound(history, cut, budget):
    keys = [json.dumps(message, sort_keys=True) for message in cut]
    assert cost(cut) <= budget
    assert [message for message in history if message.get("role") == "system"] == [one for one in cut if one.get("role") == "system"]
    asked = {call["id"] for one in cut for call in one.get("tool_calls", ())} | {one["call_id"] for one in cut if "name" in one}
    answered = {one.get("tool_call_id", one.get("call_id")) for one in cut if is_result(one)}
    assert asked == answered
    # everything from the first message on is there, orphans apart, and the next older group would not have fitted
    rest = [one for one in history if one.get("role") != "system" and not is_orphan(history, one)]
    taken = [one for one in cut if one.get("role") != "system"]
    assert rest[len(rest) - len(taken) :] == taken
    older = rest[: len(rest) - len(taken)]
    if older:
        group = older[-1:]
        while is_result(group[0]) or (group[0].get("type") == "function_call"):
            group.insert(0, older[len(older) - len(group) - 1])
        assert cost(cut) + cost(group) > budget, keys


def cost(messages):
    total = 0
    for one in messages:
        total += len(one.get("content") or one.get("output") or "")
        total += sum(len(call["function"]["name"] + call["function"]["arguments"]) for call in one.get("tool_calls", ()))
        total += len(one["name"] + one["arguments"]) if one.get("type") == "function_call" else 0
    return total


def is_result(message):
    return message.get("role") == "tool" or message.get("type") == "function_call_output"


def is_orphan(history, message):
    return is_result(message) and message.get("tool_call_id", message.get("call_id", "")).startswith("lost")
