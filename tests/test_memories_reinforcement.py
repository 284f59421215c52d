"""What is said again: which memories a text reinforces, and by how much."""

from __future__ import annotations

import pytest
from toy_codec import Toy

from memstore import Invalid, open_store
from memstore.kernel.words import stems
from memstore.testing import FakeClock, recorded_statements


@pytest.fixture
def memories(store):
    return store.memories


def contents(found):
    return [item.content for item in found]


def test_a_memory_said_again_gains_a_little_and_the_event_says_so(store, store_clock):
    memories = store.memories
    memory = memories.add("preference", "prefers short answers", confidence=0.5, user_id="ann", conversation_id="c-1", project=None)
    store_clock.advance(60)
    (found,) = memories.reinforce("she preferred a short answer", actor="bot", note="turn 3")
    assert found == memories.get(memory.id)
    assert (found.confidence, found.reference_count, found.last_referenced_at) == (0.52, 1, store_clock.now)
    assert (found.version, found.updated_at) == (memory.version, memory.updated_at), "who has read it may still change it"
    (event,) = memories.history(memory.id)
    assert (event.event_type, event.actor, event.note, event.user_id, event.conversation_id) == (
        "memory.reinforce", "bot", "turn 3", "ann", "c-1",
    )  # fmt: skip
    assert event.before == {"confidence": 0.5, "reference_count": 0, "last_referenced_at": None}
    assert event.after == {"confidence": 0.52, "reference_count": 1, "last_referenced_at": store_clock.now}


def test_confidence_ends_at_one(memories):
    memories.add("preference", "prefers short answers", confidence=0.99)
    for count in (1, 2):
        (found,) = memories.reinforce("prefers short answers")
        assert (found.confidence, found.reference_count) == (1.0, count)


def test_70_percent_of_the_stems_are_enough_and_less_is_not(memories):
    memories.add("knowledge", "alpha bravo charlie delta echo foxtrot golf hotel india juliet")
    assert memories.reinforce("alpha bravo charlie delta echo foxtrot") == []
    assert len(memories.reinforce("golf alpha, bravo! charlie delta echo foxtrot")) == 1


LONG = [f"word{number}x" for number in range(40)]


@pytest.mark.parametrize(
    ("stems_in_all", "said", "matches"),
    [(15, 10, False), (15, 11, True), (16, 11, False), (16, 12, True), (34, 12, True), (35, 12, False), (35, 13, True), (40, 14, True)],
)
def test_of_a_long_memory_12_stems_and_35_percent_are_enough(memories, stems_in_all, said, matches):
    words = [word for word in LONG if len(stems(word)) == 1][:stems_in_all]
    assert len(stems(" ".join(words))) == stems_in_all
    memories.add("knowledge", " ".join(words))
    assert bool(memories.reinforce(" ".join(words[:said]))) is matches


def test_a_short_memory_or_one_without_a_word_is_never_recognised(memories):
    memories.add("knowledge", "use tabs now")
    memories.add("knowledge", "use tabs no")
    memories.add("knowledge", "that is how it was and will be")
    assert contents(memories.reinforce("use tabs now, use tabs no, that is how it was and will be")) == ["use tabs now"]
    assert memories.reinforce("") == memories.reinforce(" \n\0") == memories.reinforce("the") == []


def test_only_what_is_active_and_has_not_expired_is_reinforced(memories, store_clock):
    for status in ("candidate", "superseded", "invalid", "graduated"):
        memories.add("knowledge", "water is wet and cold", status=status)
    memories.add("knowledge", "water is cold and wet", valid_until=store_clock.now)
    before = memories.find(include_expired=True)
    assert memories.reinforce("water is wet and cold") == []
    assert memories.find(include_expired=True) == before
    memories.promote(memories.find(status="candidate")[0].id, override=True)
    assert len(memories.reinforce("water is wet and cold")) == 1


def test_a_project_reinforces_its_own_and_what_is_preferred_everywhere(store):
    memories = store.memories
    project = store.chat.create_project("Apollo")
    for memory_type in ("identity", "preference", "project", "episodic", "knowledge", "adaptation"):
        memories.add(memory_type, f"{memory_type} of everywhere")
        memories.add(memory_type, f"{memory_type} of apollo", project="Apollo")
        memories.add(memory_type, f"{memory_type} of gemini", project="Gemini")
    text = "identity preference project episodic knowledge adaptation everywhere apollo gemini"
    everywhere = {"identity", "preference"}
    types = ("identity", "preference", "project", "episodic", "knowledge", "adaptation")
    expected = {f"{name} of apollo" for name in types} | {f"{name} of everywhere" for name in everywhere}
    assert set(contents(memories.reinforce(text, project="Apollo"))) == expected
    assert set(contents(memories.reinforce(text, project=project.id))) == expected
    assert set(contents(memories.reinforce(text))) == {f"{name} of everywhere" for name in types}


def test_a_user_reinforces_his_own_and_what_is_nobodys(memories):
    for user in ("ann", "bob", None):
        memories.add("preference", f"prefers what {user} prefers too", user_id=user)
    text = "prefers ann bob none"
    assert contents(memories.reinforce(text, user_id="ann")) == ["prefers what None prefers too", "prefers what ann prefers too"]
    assert len(memories.reinforce(text)) == 3


def test_the_newest_come_first(memories):
    memories.add("knowledge", "water is wet and cold", created_at=5.0)
    memories.add("knowledge", "water is cold and wet", created_at=9.0)
    memories.add("knowledge", "wet and cold is water", created_at=5.0)
    assert contents(memories.reinforce("wet cold water")) == ["water is cold and wet", "wet and cold is water", "water is wet and cold"]


def test_nothing_is_written_where_nothing_matches(store):
    store.memories.add("knowledge", "water is wet and cold")
    rows = store.query("SELECT * FROM memories")
    assert store.memories.reinforce("fire") == []
    assert store.query("SELECT * FROM memories") == rows
    for given in ({"text": None}, {"text": "a", "project": ""}, {"text": "a", "user_id": ""}):
        with pytest.raises(Invalid):
            store.memories.reinforce(**given)


def test_it_reads_the_words_of_the_text_and_not_all_memories(file_store):
    memories = file_store.memories
    with file_store.transaction():
        for number in range(300):
            memories.add("knowledge", f"subject{number}q has property{number}q of colour{number}q")
    with recorded_statements(file_store) as seen:
        (found,) = memories.reinforce("subject7q: property7q, colour7q")
    (asked,) = [sql for sql in seen if "memory_words" in sql]
    plan = [row["detail"] for row in file_store.query(f"EXPLAIN QUERY PLAN {asked}")]
    assert found.content.startswith("subject7q")
    assert not any(detail.startswith(("SCAN memories", "SCAN memory_words")) for detail in plan), plan


WORDS = ("round", "rounding", "rounded", "half", "up", "cache", "caches", "clear", "the", "of", "日本語", "price", "net", "tabs", "x")


def said_again(content, text):
    """Whether a text says a content again, in plain Python."""
    own, said = stems(content), stems(text)
    shared = len(own & said)
    if len(content) < 12 or not shared:
        return False
    return shared >= 12 and shared / len(own) >= 0.35 if len(own) > 15 else shared * 10 >= len(own) * 7


def model(rows, text, project, user, now):
    """Ids that a text reinforces, by looking at each row."""
    for item in rows:
        everywhere = item.project_id is None and (project is None or item.memory_type in ("identity", "preference"))
        if (
            item.status == "active"
            and (item.valid_until is None or item.valid_until > now)
            and (everywhere or (project is not None and item.project_id == project))
            and (user is None or item.user_id in (None, user))
            and said_again(item.content, text)
        ):
            yield item.id


@pytest.mark.parametrize("codec", [None, Toy()])
def test_it_reinforces_what_a_plain_loop_over_all_memories_would(rng, codec):
    clock = FakeClock()
    vocabulary = [*WORDS, *(f"term{number}" for number in range(25))]
    with open_store(clock=clock, codec=codec) as store, store.transaction():
        for number in range(50):
            store.memories.add(
                rng.choice(["identity", "preference", "knowledge", "project"]),
                " ".join([*rng.choices(vocabulary, k=rng.choice([1, 2, 3, 5, 8, 20, 40])), str(number % 7)]),
                project=rng.choice([None, "p", "q"]),
                user_id=rng.choice([None, "ann", "bob"]),
                status=rng.choice(["active", "active", "candidate", "invalid"]),
                valid_until=rng.choice([None, clock.now, clock.now + 1]),
                confidence=rng.random(),
                override=True,
            )
        for _ in range(8):
            before = store.memories.find(include_expired=True)
            text = " ".join([*rng.choices(vocabulary, k=rng.choice([0, 3, 10, 25])), rng.choice(before).content])
            project, user = rng.choice([None, "p", "q"]), rng.choice([None, "ann", "bob"])
            expected = [item.id for item in before if item.id in set(model(before, text, project, user, clock.now))]
            found = store.memories.reinforce(text, project=project, user_id=user)
            assert [item.id for item in found] == expected
            after = {item.id: item for item in store.memories.find(include_expired=True)}
            for item in before:
                gain = item.id in expected
                assert after[item.id].confidence == (min(1.0, item.confidence + 0.02) if gain else item.confidence)
                assert after[item.id].reference_count == item.reference_count + gain
