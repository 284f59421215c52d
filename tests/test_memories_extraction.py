"""What is found in what was said, and which of it becomes a candidate."""

from __future__ import annotations

import json
import time

import pytest

from memstore import Invalid, NotFound
from memstore.memories.extraction import EXTRACTOR, extract


@pytest.fixture
def memories(store):
    return store.memories


def found(text):
    return [(item.memory_type, item.content) for item in extract(text)]


def contents(text):
    return [content for _, content in found(text)]


# -- the rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "memory_type", "content", "rule"),
    [
        ("## Decision\nUse WAL mode.", "adaptation", "Use WAL mode", "decision_heading"),
        ("## Decision: use WAL mode", "adaptation", "use WAL mode", "decision_heading"),
        ("### Decision 3 - use WAL mode ###", "adaptation", "use WAL mode", "decision_heading"),
        ("Decision: use WAL mode", "adaptation", "use WAL mode", "decision_heading"),
        ("- **Decision:** use WAL mode", "adaptation", "use WAL mode", "decision_heading"),
        ("**Decisions**\n\n1. use WAL mode", "adaptation", "use WAL mode", "decision_heading"),
        ("# Constraints\n* two cores at most", "project", "two cores at most", "constraint_heading"),
        ("# REQUIREMENT\n- [x] works offline", "project", "works offline", "requirement_heading"),
        ("Facts:\n- water boils at 100 °C", "knowledge", "water boils at 100 °C", "fact_heading"),
        ("Well. I prefer tabs, e.g. in C. Right?", "preference", "I prefer tabs, e.g. in C", "preference_sentence"),
        ("So the user strongly prefers short answers!", "preference", "So the user strongly prefers short answers", "preference_sentence"),
        ("We decided to ship  on\nMonday.", "adaptation", "We decided to ship on Monday", "decided_to_sentence"),
        ("They decided not to ship it;", "adaptation", "They decided not to ship it", "decided_to_sentence"),
        ("The requirement is that it works offline.", "project", "The requirement is that it works offline", "requirement_sentence"),
        ("## 決定\nDecision: 毎週月曜日に出荷する。", "adaptation", "毎週月曜日に出荷する", "decision_heading"),
    ],
)
def test_each_rule_finds_what_it_is_for(text, memory_type, content, rule):
    assert extract(text) == [(memory_type, content, rule)]


@pytest.mark.parametrize(
    "text",
    [
        "We have not decided to ship.",
        "We haven't decided to ship it.",
        "They never decided to ship it.",
        "Should I prefer tabs over spaces?",
        "If you decided to go, call me.",
        "Well. *When* we decided to go, it rained.",
        "Unless the user prefers tea, order coffee.",
        "## Decision\nWhich of the two?",
        "```\n# Decision\nuse WAL mode\n```",
        "~~~ md\nDecision: use WAL mode",
        "> Decision: use WAL mode",
        "| Decision: use WAL mode |",
        "## Decision log of the team\nuse WAL mode",
        "## Decision\n---\n## Notes\nuse WAL mode",
        "The decision: use WAL mode",
        "Decision\nuse WAL mode",
        "the facts are these",
        "# I prefer headings",
        "",
    ],
)
def test_what_is_no_statement_is_not_found(text):
    assert extract(text) == []


def test_what_is_found_has_8_to_280_characters():
    assert contents("Fact: 1234567.") == []
    assert contents("Fact: 12345678.") == ["12345678"]
    assert contents(f"Fact: {'x' * 280}!") == ["x" * 280]
    assert contents(f"Fact: {'x' * 281}") == [], "it is left, not cut"


def test_a_heading_holds_up_to_the_next_one():
    text = "## Decision\nUse WAL mode for\n  all stores.\n\n- one writer at a time\n  per process\n\nReaders never block.\n# Why\nWait."
    assert contents(text) == ["Use WAL mode for all stores", "one writer at a time per process", "Readers never block"]


def test_a_label_holds_for_the_paragraph_or_the_list_that_follows_it():
    assert contents("Decision:\n\nUse WAL mode.\n\nThis is something else.") == ["Use WAL mode"]
    assert contents("**Decisions:**\n- use WAL mode\n\n- one writer only\n\nThis is something else.") == ["use WAL mode", "one writer only"]
    assert contents("Decision:\nUse WAL mode.\nFact: water is wet\n\nThis is something else.") == ["Use WAL mode", "water is wet"]


def test_what_follows_a_heading_that_says_it_all_explains_it():
    assert contents("## Decision: use WAL mode\nReaders would block.\n- and writers too") == ["use WAL mode"]
    assert contents("## Facts\n- Decision: use WAL mode\n- water is wet") == ["use WAL mode", "water is wet"]


def test_a_sentence_under_a_heading_of_its_own_type_is_found_once():
    assert found("## Decision\nWe decided to use WAL mode. It is faster.") == [
        ("adaptation", "We decided to use WAL mode. It is faster")
    ]
    assert found("## Decision\nI prefer WAL mode.") == [("adaptation", "I prefer WAL mode")]


def test_a_sentence_is_one_find_by_the_first_rule_that_fits():
    assert found("I prefer what we decided to do. The requirement is tea.") == [
        ("preference", "I prefer what we decided to do"),
        ("project", "The requirement is tea"),
    ]
    assert found(f"# Facts\n{'x' * 300}. I prefer tea.") == [("preference", "I prefer tea")], "what no heading takes is read by sentences"


def test_a_label_with_its_text_takes_its_own_line():
    assert contents("Decision: use drip\nReason: it saves water") == ["use drip"]
    assert contents("- Decision: use drip\n  on all beds\nIt saves water.") == ["use drip on all beds"]
    assert contents("Decision: use drip\n  on all beds\nIt saves water, so I prefer it.") == [
        "use drip on all beds", "It saves water, so I prefer it"
    ]  # fmt: skip
    assert contents("Decision:\nuse drip on\nall beds") == ["use drip on all beds"]
    assert contents("# Facts\nDecision: use drip\nwater is wet") == ["use drip", "water is wet"]


def test_a_condition_under_a_heading_is_a_statement():
    assert contents("# Requirements\n- When the door is open, the motor stops.") == ["When the door is open, the motor stops"]


def test_the_same_is_found_once_whatever_its_case_and_spaces():
    assert contents("Decision: use WAL  mode\n\ndecision: Use WAL mode!\n\nFact: use WAL mode") == ["use WAL mode", "use WAL mode"]


def test_the_summary_is_read_like_the_response_and_the_prompt_for_its_authors_own_wishes_only():
    text = "Decision: use WAL mode\n\nI prefer tabs. The user prefers tea. We decided to go."
    response = [content for _, content in found(text)]
    assert [item.content for item in extract("", text)] == response
    assert [item.content for item in extract("", "", text)] == ["I prefer tabs"]
    assert [item.content for item in extract(text, text, text)] == response


@pytest.mark.parametrize("unit", ["# ", "- ", "I ", "decision ", "* * ", "a. ", "**", "```\n", "I prefer", "\n", "x"])
def test_a_long_text_of_anything_takes_no_time(unit):
    text = unit * (100_000 // len(unit)) + "\x00?"
    start = time.process_time()
    extract(text)
    assert time.process_time() - start < 1


# -- candidates ---------------------------------------------------------------------------------------------------------

RESPONSE = "## Decision\n- use WAL mode\n- one writer only\n\nI prefer tabs."


def test_candidates_say_where_they_come_from(store):
    memories = store.memories
    project = store.chat.create_project("Apollo", user_id="ann")
    given = {"project": "Apollo", "user_id": "ann", "conversation_id": "c1"}
    source = memories.capture("how?", "## Decision\n- use WAL mode\n- one writer only", **given)
    first, second = memories.extract_candidates(source.id, actor="ann", note="by hand")
    assert [first.content, second.content] == ["use WAL mode", "one writer only"]
    for item in (first, second):
        assert (item.status, item.memory_type, item.rule) == ("candidate", "adaptation", "decision_heading")
        assert (item.extractor_version, item.interaction_id) == (EXTRACTOR, source.id)
        assert (item.project_id, item.user_id, item.conversation_id) == (project.id, "ann", "c1")
        assert memories.get(item.id) == item
    (event,) = store.audit.find(event_type="interaction.extract")
    assert (event.entity_id, event.actor, event.note, event.user_id) == (source.id, "ann", "by hand", "ann")
    assert event.details == {"candidates": [first.id, second.id], "extractor_version": EXTRACTOR}


def test_a_second_time_returns_the_same_and_writes_nothing(store):
    source = store.memories.capture("how?", RESPONSE)
    once = store.memories.extract_candidates(source.id)
    rows = store.query("SELECT * FROM memories"), store.query("SELECT * FROM audit_log")
    assert store.memories.extract_candidates(source.id) == once
    assert (store.query("SELECT * FROM memories"), store.query("SELECT * FROM audit_log")) == rows
    other = store.memories.capture("and now?", RESPONSE)
    assert store.memories.extract_candidates(other.id) == once, "said again it is the same candidate"


def test_what_is_believed_is_not_found_again(memories):
    memories.add("adaptation", "Use WAL  mode.")
    memories.add("knowledge", "one writer only")
    source = memories.capture("how?", RESPONSE)
    assert [item.content for item in memories.extract_candidates(source.id)] == ["one writer only", "I prefer tabs"]


def test_what_another_user_or_project_believes_may_be_found(memories):
    memories.add("adaptation", "use WAL mode", user_id="bob")
    memories.add("adaptation", "one writer only", project="p")
    source = memories.capture("how?", RESPONSE, user_id="ann")
    assert len(memories.extract_candidates(source.id)) == 3
    source = memories.capture("how?", RESPONSE, project="p")
    assert "one writer only" not in [item.content for item in memories.extract_candidates(source.id)]


def test_what_was_promoted_rejected_or_became_an_entity_is_not_found_again(memories):
    source = memories.capture("how?", RESPONSE)
    wal, writer, *tabs = memories.extract_candidates(source.id)
    memories.promote(wal.id)
    memories.reject(writer.id)
    assert memories.extract_candidates(source.id) == tabs
    memories.graduate(wal.id, "e-1")
    assert memories.extract_candidates(source.id) == tabs
    again = memories.capture("how?", "Constraint: One  writer only.")
    assert memories.extract_candidates(again.id) == [], "rejected it was, whatever its type"


def test_what_an_interaction_gave_once_it_does_not_give_again_whatever_has_become_of_it(memories):
    source = memories.capture("how?", "## Facts\n- the port is 8080\n- the lid is blue\n- the arm is long\n- the box is red")
    edited, retired, one, other = memories.extract_candidates(source.id)
    edited = memories.update(edited.id, content="the port is 8081")
    for item in (retired, one, other):
        memories.promote(item.id)
    memories.supersede(retired.id)
    memories.merge([one.id, other.id], "a long arm and a red box")
    before = memories.find()
    assert memories.extract_candidates(source.id) == [edited]
    assert memories.find() == before


def test_what_was_superseded_may_be_found_in_another_interaction(memories):
    (item,) = memories.extract_candidates(memories.capture("how?", "Decision: use WAL mode").id)
    memories.promote(item.id)
    memories.supersede(item.id)
    (again,) = memories.extract_candidates(memories.capture("how?", "Decision: use WAL mode").id)
    assert again.id != item.id


def test_a_response_that_repeats_what_it_was_told_is_no_evidence(memories):
    told = memories.add("preference", "use WAL mode")
    by_id = memories.capture("how?", "Decision: use WAL mode.", memories_used=[told.id])
    by_context = memories.capture("how?", "Decision: use WAL mode.", context={"pieces": [{"kind": "memory", "id": told.id}]})
    untold = memories.capture("how?", "Decision: use WAL mode.")
    assert memories.extract_candidates(by_id.id) == memories.extract_candidates(by_context.id) == []
    assert len(memories.extract_candidates(untold.id)) == 1


def test_the_opposite_of_what_is_believed_is_found(memories):
    memories.add("adaptation", "use tabs, not spaces")
    source = memories.capture("how?", "Decision: use spaces, not tabs")
    assert [item.content for item in memories.extract_candidates(source.id)] == ["use spaces, not tabs"]


def test_a_pass_makes_50_candidates_at_most(store):
    source = store.memories.capture("how?", "## Facts\n" + "".join(f"- fact number {number}\n" for number in range(60)))
    made = store.memories.extract_candidates(source.id)
    assert [item.content for item in made] == [f"fact number {number}" for number in range(50)]
    assert store.memories.extract_candidates(source.id) == made
    store.memories.promote(made[0].id)
    assert [item.content for item in store.memories.extract_candidates(source.id)][-1] == "fact number 50"


def test_an_interaction_without_statements_gives_nothing_and_leaves_no_event(store):
    source = store.memories.capture("how?", "like this")
    assert store.memories.extract_candidates(source.id) == []
    assert store.query("SELECT name FROM sqlite_schema WHERE name = 'audit_log'") == [] or store.audit.find() == []


def test_an_unknown_interaction_is_refused_with_the_nearest(memories):
    memories.capture("how?", id="interaction-1")
    with pytest.raises(NotFound, match="no interaction 'interaction-2' \\(nearest: 'interaction-1'\\); store.memories.interactions"):
        memories.extract_candidates("interaction-2")
    with pytest.raises(Invalid, match="interaction_id"):
        memories.extract_candidates("")


def test_real_commit_messages_read_as_decisions_give_clean_candidates_that_their_own_words_reinforce(real_data, store):
    lines = (real_data / "commits-langgraph.jsonl").read_text(encoding="utf-8").splitlines()[2000:2120]
    made = {}
    with store.transaction():
        for line in map(json.loads, lines):
            source = store.memories.capture("what changed?", f"## Decision\n{line['text']}", created_at=line["created_at"], project="lg")
            candidates = store.memories.extract_candidates(source.id)
            assert store.memories.extract_candidates(source.id) == candidates
            made |= {item.id: item for item in candidates}
        assert len(made) > 100
        for item in made.values():
            assert 8 <= len(item.content) <= 280
            assert item.content == " ".join(item.content.split())
            assert "```" not in item.content
            store.memories.promote(item.id)
        said = store.memories.reinforce(" ".join(item.content for item in made.values()), project="lg")
    assert {item.id for item in said} == {item.id for item in made.values() if len(item.content) >= 12}
