"""The handoff note: its text form, and drafting one from messages without a model."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from memstore import HandoffNote, Invalid
from memstore.kernel import estimate_tokens

FIELDS = ("goal", "decisions", "status", "active_file", "preferences", "resume")
OURS = ("GOAL", "DECISIONS", "STATUS", "ACTIVE FILE", "PREFERENCES", "RESUME")
AUA = ("GOAL", "DECISIONS MADE", "CURRENT STATUS", "ACTIVE FILE / CODE CONTEXT", "USER PREFERENCES LEARNED", "RESUME INSTRUCTION")
NASTY = (
    *("## GOAL", "## STATUS", "\\## GOAL", "\\\\## RESUME", "## Goal", "# status: x", "Goal", "GOAL:", "STATUS: fine", "**RESUME**"),
    *("1. GOAL", "# DECISIONS MADE"),
    *(" ## GOAL ", "\r## GOAL"),
    *("", " ", "\n", "\n\n", "\r\n", "\r", "\t", "\\", "\\\\", "\\ ", " \\", "\\\n", "\n\\"),
    *("\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\xa0", "\0"),
    *("goal", "none", "- a bullet", "Grüße, 日本語", "🙂", "```\n## GOAL\n```", "#", "##", ":", "*", "\ufeff", "e\u0301"),
)


def note_of(*fields):
    return HandoffNote(*fields)


@pytest.mark.parametrize("body", NASTY)
@pytest.mark.parametrize("place", range(6))
def test_a_note_with_one_nasty_field_is_read_back(body, place):
    fields = ["plain"] * 6
    fields[place] = body
    note = note_of(*fields)
    assert HandoffNote.parse(note.text) == note


def test_random_notes_of_nasty_pieces_are_read_back(rng):
    for _ in range(3000):
        note = note_of(*("".join(rng.choices(NASTY, k=rng.randrange(6))) for _ in FIELDS))
        assert HandoffNote.parse(note.text) == note, note.to_dict()


def test_every_short_field_of_frame_characters_is_read_back():
    for length in range(6):
        for letters in itertools.product("\\ \nG", repeat=length):
            body = "".join(letters).replace("G", "## GOAL")
            note = HandoffNote(goal=body, resume=body)
            assert HandoffNote.parse(note.text) == note, repr(body)


def test_the_text_has_six_headings_in_a_fixed_order_and_plain_words_unchanged():
    note = note_of("mend it", "- round\n- test", "done", "a.py", "none", "ship it")
    assert note.text == (
        "## GOAL\nmend it\n\n## DECISIONS\n- round\n- test\n\n## STATUS\ndone\n\n"
        "## ACTIVE FILE\na.py\n\n## PREFERENCES\nnone\n\n## RESUME\nship it"
    )


@pytest.mark.parametrize("headings", [OURS, AUA])
@pytest.mark.parametrize(
    "form", ["## {}\n\n{}\n\n", "**{}**\n{}\n", "{}:\n{}\n", "{}: {}\n", "### {}:\r\n{}\r\n", "**{}:** {}\n", "{}\n{}\n"]
)
def test_headings_of_models_and_of_aua_are_read(headings, form):
    text = "Here is the note.\n\n" + "".join(form.format(heading, f"about {place}") for place, heading in enumerate(headings))
    assert HandoffNote.parse(text) == note_of(*(f"about {place}" for place in range(6)))


def test_sections_may_come_in_any_order():
    note = note_of(*"abcdef")
    pieces = note.text.split("\n\n")
    assert HandoffNote.parse("\n\n".join(reversed(pieces))) == note


def test_headings_marked_as_such_may_be_in_lower_case():
    text = "".join(f"## {heading.title()}\nStatus: {place}\n" for place, heading in enumerate(AUA))
    assert HandoffNote.parse(text) == note_of(*(f"Status: {place}" for place in range(6)))


@pytest.mark.parametrize("missing", range(6))
def test_a_missing_section_is_named(missing):
    text = "\n".join(f"## {heading}\nx" for place, heading in enumerate(OURS) if place != missing)
    with pytest.raises(Invalid, match=OURS[missing]):
        HandoffNote.parse(text)


@pytest.mark.parametrize("text", ["", "no note at all", "## GOAL", "goal decisions status", None, 5, b"## GOAL"])
def test_what_is_no_note_is_invalid(text):
    with pytest.raises(Invalid):
        HandoffNote.parse(text)


def test_a_doubled_section_is_invalid():
    with pytest.raises(Invalid, match="two sections STATUS"):
        HandoffNote.parse(note_of(*"abcdef").text + "\n## CURRENT STATUS\nagain")


@pytest.mark.parametrize("value", [None, 3, ["a"], b"x"])
def test_a_field_that_is_no_text_is_invalid(value):
    with pytest.raises(Invalid, match="goal"):
        HandoffNote(goal=value)


# -- drafting -----------------------------------------------------------------------------------------------------------


def call(id, name, **arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


SESSION = [
    {"role": "system", "content": "You are a careful agent. Always be brief."},
    {"role": "user", "content": "Hi there!\nThe invoice rounds 345 ms to 344. Please keep the public names.\nNever touch `legacy.py`."},
    {"role": "assistant", "content": "I'll look at the code first.", "tool_calls": [call("c1", "read_file", path="src/time.py")]},
    {"role": "tool", "tool_call_id": "c1", "content": "1: return int(value / unit)\n"},
    {"role": "assistant", "content": "The cause is truncation. I decided to use round() instead of int().", "tool_calls": [
        call("c2", "edit_file", path="src/time.py", old="int(", new="round("),
        call("c3", "run", command="python -m pytest tests/test_time.py")]},
    {"role": "tool", "tool_call_id": "c2", "content": "1 replacement"},
    {"role": "tool", "tool_call_id": "c3", "content": "collected 7 items\n\n....F..\n1 failed, 6 passed in 0.1s"},
    {"role": "assistant", "content": "One test still fails: the negative case. Next I will handle negative durations."},
]


def test_each_section_quotes_its_evidence():
    note = HandoffNote.draft(SESSION)
    assert "The invoice rounds 345 ms to 344." in note.goal
    assert "Hi there" not in note.goal
    assert "I decided to use round() instead of int()." in note.decisions
    assert "1 failed, 6 passed" in note.status
    assert note.active_file.startswith("- src/time.py: edit_file(")
    assert "tests/test_time.py" in note.active_file
    assert "Never touch `legacy.py`." in note.preferences
    assert "Always be brief" not in note.text
    assert "Next I will handle negative durations." in note.resume


def test_without_evidence_a_section_says_none():
    assert HandoffNote.draft([]) == note_of(*["none"] * 6)
    note = HandoffNote.draft([{"role": "user", "content": "What is the capital of France?"}])
    assert note == HandoffNote(
        goal="What is the capital of France?",
        decisions="none",
        status="none",
        active_file="none",
        preferences="none",
        resume="- Unanswered request: What is the capital of France?",
    )


def test_an_open_call_is_what_comes_next():
    note = HandoffNote.draft(SESSION[:3])
    assert note.resume.splitlines()[0] == "- Open call: read_file(src/time.py)"


def test_a_result_nobody_spoke_of_is_said_so():
    assert "Nothing was said yet about the result of run(python -m pytest tests/test_time.py)" in HandoffNote.draft(SESSION[:7]).resume


def test_a_draft_is_the_same_twice_and_never_over_its_budget(rng):
    words = ["we decided to use", "please never", "the fix is", "日本語。", "GOAL:", "## STATUS", "a/b.py", "x" * 500, "error"]
    words += ["\n", "\n\n", ".", "```", "\u2028"]
    for _ in range(60):
        messages = [
            {"role": rng.choice(["system", "user", "assistant", "tool"]), "content": " ".join(rng.choices(words, k=rng.randrange(30)))}
            for _ in range(rng.randrange(12))
        ]
        budget = rng.choice([26, 40, 64, 100, 300, 900, 5000])
        note = HandoffNote.draft(messages, max_tokens=budget)
        assert estimate_tokens(note.text) <= budget
        assert note == HandoffNote.draft(messages, max_tokens=budget)
        assert HandoffNote.parse(note.text) == note


def test_a_budget_below_an_empty_note_says_what_is_needed():
    least = estimate_tokens(note_of(*["none"] * 6).text)
    with pytest.raises(Invalid, match=f"needs {least}"):
        HandoffNote.draft(SESSION, max_tokens=least - 1)
    assert estimate_tokens(HandoffNote.draft(SESSION, max_tokens=least).text) == least


@pytest.mark.parametrize("budget", [0, -1, None, 1.5, True, "900"])
def test_a_budget_that_is_no_positive_int_is_invalid(budget):
    with pytest.raises(Invalid, match="max_tokens"):
        HandoffNote.draft(SESSION, max_tokens=budget)


@pytest.mark.parametrize("message", [None, "text", 5, ["role", "user"]])
def test_what_is_no_message_is_invalid(message):
    with pytest.raises(Invalid, match="OpenAI form"):
        HandoffNote.draft([message])
    for messages in (None, 5, "text", {"role": "user", "content": "one alone"}):
        with pytest.raises(Invalid, match="message"):
            HandoffNote.draft(messages)


def test_odd_shapes_of_messages_do_not_stop_a_draft():
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Mend the clock."}, {"type": "image_url", "image_url": {"url": "x"}}, 7]},
        {"role": "assistant", "content": None, "tool_calls": None},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "edit", "arguments": "{broken"}}, "x", {"function": None}]},
        {"role": "assistant", "tool_calls": "odd"},
        {"role": "tool", "tool_call_id": "unknown", "content": "an orphan"},
        {"type": "reasoning", "summary": []},
        {},
    ]
    assert HandoffNote.draft(messages).goal == "Mend the clock."


def test_items_of_the_responses_form_are_read():
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Mend clock.py."}]},
        {"type": "function_call", "call_id": "f1", "name": "write_file", "arguments": '{"path": "clock.py", "content": "import other.py"}'},
        {"type": "function_call_output", "call_id": "f1", "output": "ok, 1 file written"},
        {"type": "function_call", "call_id": "f2", "name": "run", "arguments": '{"command": "make"}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I will run it now."}]},
    ]
    note = HandoffNote.draft(items)
    assert note.goal == "Mend clock.py."
    assert note.active_file.startswith("- clock.py: write_file(")
    assert "ok, 1 file written" in note.status
    assert "Open call: run(make)" in note.resume
    assert "other.py:" not in note.active_file


def test_a_long_task_prompt_is_reduced_to_the_issue_it_states():
    prompt = "We work on a repository.\nISSUE:\nClock is late\nIt shows 344.\n\nINSTRUCTIONS:\nUse one command at a time.\n"
    prompt += "More advice. " * 50
    assert HandoffNote.draft([{"role": "user", "content": prompt}]).goal == "Clock is late\nIt shows 344."


def test_quotes_keep_their_signs_and_the_shortest_answers_count():
    said = {"role": "assistant", "content": "-525 + 0.5 is cut, that is the cause.\n\n- * 7 files were updated."}
    note = HandoffNote.draft([{"role": "user", "content": "Go."}, said, {"role": "user", "content": "👍"}])
    assert note.decisions == "- -525 + 0.5 is cut, that is the cause."
    assert "- 7 files were updated." in note.status
    assert "- Unanswered request: 👍" in note.resume


def test_a_removed_file_is_not_shown_as_created():
    messages = [
        {"role": "assistant", "tool_calls": [call("1", "create", filename="tmp.py")]},
        {"role": "tool", "tool_call_id": "1", "content": "created"},
        {"role": "assistant", "tool_calls": [call("1", "bash", command="rm tmp.py")]},
        {"role": "tool", "tool_call_id": "1", "content": ""},
    ]
    note = HandoffNote.draft(messages)
    assert note.active_file == "- tmp.py: bash(rm tmp.py)"
    assert "bash(rm tmp.py) gave: nothing" in note.status


@pytest.mark.parametrize(
    "piece", ["a b. ", "\\ ", "a+a@", "a/", "a.", "\n ", "```", ". ", "## ", "x", "'", "\n", "\t", "AB ", "error", "1:", "日"]
)
def test_a_huge_message_of_any_kind_is_drafted_from_without_delay(piece):
    text = piece * (400_000 // len(piece))
    began = time.process_time()
    note = HandoffNote.draft([
        {"role": "user", "content": text},
        {"role": "assistant", "content": text, "tool_calls": [call("1", "run", command=text, path=text)]},
        {"role": "tool", "tool_call_id": "1", "content": text},
    ])
    assert time.process_time() - began < 2.0
    assert estimate_tokens(note.text) <= 900
    assert HandoffNote.parse(note.text) == note


def test_the_draft_of_a_real_session_says_what_a_successor_needs(real_data):
    lines = (real_data / "transcript-marshmallow-1867.jsonl").read_text(encoding="utf-8").splitlines()
    note = HandoffNote.draft([json.loads(line) for line in lines])
    assert note.goal.splitlines()[0] == "TimeDelta serialization precision"
    assert "`345` is correct" in note.goal
    assert "round the result to the nearest integer" in note.decisions
    assert "has changed from 344 to 345" in note.status
    assert note.active_file.startswith("- src/marshmallow/fields.py: edit(")
    assert "reproduce.py: bash(rm reproduce.py)" in note.active_file
    assert "submit" in note.resume
    assert estimate_tokens(note.text) <= 900
