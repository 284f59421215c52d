"""What time does to memories: those that nobody refers to fade, and candidates that nobody wants expire."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from memstore import Invalid, open_store
from memstore.kernel.values import DAY
from memstore.memories.fading import FREE_DAYS, KEPT, THRESHOLD, faded
from memstore.testing import FakeClock


@pytest.fixture
def memories(store):
    return store.memories


def state(memories):
    """What fading may touch, of all memories."""
    return [(item.id, item.content, item.status, item.confidence, item.decayed_at) for item in memories.find(include_expired=True)]


# -- fading -------------------------------------------------------------------------------------------------------------


def test_full_confidence_falls_below_on_the_40th_day_after_30(store, store_clock):
    memory = store.memories.add("knowledge", "water is wet")
    store_clock.advance(70 * DAY - 1)
    assert store.memories.decay() == []
    assert store.memories.get(memory.id).confidence == pytest.approx(KEPT**39)
    store_clock.advance(1)
    (lapsed,) = store.memories.decay()
    assert lapsed == store.memories.get(memory.id)
    assert (lapsed.status, lapsed.version, lapsed.updated_at) == ("superseded", 2, store_clock.now)
    assert lapsed.confidence == pytest.approx(KEPT**40)
    assert lapsed.confidence < THRESHOLD
    assert store.memories.decay() == []


def test_a_step_is_not_audited_and_the_end_is(store, store_clock):
    memory = store.memories.add("knowledge", "water is wet", user_id="ann", project="p")
    store_clock.advance(69 * DAY)
    store.memories.decay(note="nightly")
    before = store.memories.get(memory.id)
    assert store.memories.history(memory.id) == []
    store_clock.advance(DAY)
    store.memories.decay(note="nightly")
    (event,) = store.memories.history(memory.id)
    assert (event.event_type, event.actor, event.note) == ("memory.supersede", "confidence-decay", "nightly")
    assert (event.user_id, event.project) == ("ann", "p")
    after = store.memories.get(memory.id)
    for told, item in ((event.before, before), (event.after, after)):
        assert told == {"status": item.status, "confidence": item.confidence, "decayed_at": item.decayed_at}
    assert store.memories.search("water") == [], "what is superseded is not found by its words"


def test_a_step_leaves_version_and_the_time_of_the_last_change(memories, store_clock):
    memory = memories.add("knowledge", "water is wet")
    store_clock.advance(33.5 * DAY)
    memories.decay()
    faint = memories.get(memory.id)
    assert (faint.version, faint.updated_at, faint.decayed_at) == (1, memory.updated_at, memory.updated_at + 33 * DAY)
    assert faint.confidence == pytest.approx(KEPT**3)
    assert memories.update(memory.id, content="water is very wet", expected_version=1).confidence == faint.confidence


def test_no_day_up_to_decayed_at_is_taken_off(memories, store_clock):
    old = memories.add("knowledge", "water is wet", created_at=1.0, decayed_at=store_clock.now)
    store_clock.advance(DAY / 4)
    assert memories.decay() == []
    assert memories.get(old.id) == old
    store_clock.advance(DAY)
    assert memories.decay() == []
    assert memories.get(old.id).confidence == pytest.approx(KEPT)


def test_a_change_starts_the_idle_time_anew(memories, store_clock):
    changed = memories.add("knowledge", "water is wet")
    promoted = memories.add("knowledge", "fire is hot", status="candidate")
    store_clock.advance(60 * DAY)
    memories.decay(store_clock.now + 5 * DAY)  # somebody looked ahead
    memories.update(changed.id, confidence=1.0)
    memories.promote(promoted.id)
    store_clock.advance(31 * DAY - 1)
    assert memories.decay() == []
    assert [item.confidence for item in memories.find()] == [1.0, 1.0]
    store_clock.advance(1)
    memories.decay()
    assert [item.confidence for item in memories.find()] == [KEPT, KEPT]


def test_only_active_memories_without_a_reference_fade(memories, store_clock):
    memories.add("knowledge", "referred to once", reference_count=1, confidence=0.5)
    memories.add("knowledge", "said again just now", confidence=0.5)
    memories.add("knowledge", "a mere candidate", status="candidate", confidence=0.5)
    for status in ("superseded", "invalid", "graduated"):
        memories.add("knowledge", f"history: {status}", status=status, confidence=0.5)
    memories.reinforce("it was said again just now")
    before = state(memories)
    store_clock.advance(1000 * DAY)
    assert memories.decay() == []
    assert state(memories) == before


def test_what_has_expired_is_active_still_and_fades(memories, store_clock):
    memories.add("knowledge", "water is wet", valid_until=store_clock.now + 1)
    store_clock.advance(100 * DAY)
    assert [item.status for item in memories.decay()] == ["superseded"]


def test_what_was_faint_from_the_start_goes_on_the_first_day(memories, store_clock):
    memories.add("knowledge", "hardly believed", confidence=0.0)
    memories.add("knowledge", "at the threshold", confidence=0.3)
    store_clock.advance(31 * DAY - 1)
    assert memories.decay() == []
    store_clock.advance(1)
    assert [item.content for item in memories.decay()] == ["hardly believed", "at the threshold"]


def test_a_time_in_the_past_does_nothing_and_one_to_come_is_not_taken_off_twice(memories, store_clock):
    memories.add("knowledge", "water is wet")
    before = state(memories)
    assert memories.decay(store_clock.now - 1000 * DAY) == []
    assert memories.decay(datetime(1970, 1, 1, tzinfo=UTC)) == []
    assert state(memories) == before
    memories.decay(store_clock.now + 40 * DAY)
    ahead = state(memories)
    assert ahead != before
    store_clock.advance(35 * DAY)
    memories.decay()
    assert state(memories) == ahead
    with pytest.raises(Invalid, match="now must be Unix seconds"):
        memories.decay("tomorrow")


@pytest.mark.parametrize("begin", [0.0, 1.7e9 + 1 / 3, 2**31 - 35 * DAY + 0.1, -1e9 / 7])
def test_any_calls_at_any_times_are_as_one_at_the_end(begin, rng):
    for _ in range(100):
        end = begin + rng.uniform(0, 80) * DAY
        times = sorted([*(rng.uniform(begin, end) for _ in range(rng.randrange(12))), *(begin + n * DAY for n in range(rng.randrange(80)))])
        confidence, since = rng.choice([1.0, rng.random(), THRESHOLD]), None
        once = faded(confidence, begin, None, end) or (confidence, None)
        for at in [*(time for time in times if time <= end), end, end]:
            if since is None or confidence >= THRESHOLD:
                confidence, since = faded(confidence, begin, since, at) or (confidence, since)
        assert (confidence, since) == once


def test_days_count_one_by_one():
    assert faded(1.0, 0.0, None, FREE_DAYS * DAY) is None
    assert faded(1.0, 0.0, None, (FREE_DAYS + 1) * DAY) == (KEPT, (FREE_DAYS + 1) * DAY)
    assert faded(KEPT, 0.0, (FREE_DAYS + 1) * DAY, (FREE_DAYS + 1.99) * DAY) is None
    assert faded(1.0, 0.0, None, 1e300) == faded(1.0, 0.0, None, 70 * DAY)


def test_daily_weekly_or_once_all_stores_end_alike(rng):
    born = [(1.0, 0.0), (0.2, 0.0), *((rng.random(), rng.uniform(0, 90) * DAY) for _ in range(20))]
    ends = []
    for step in (1.0, 0.5, 7.3, 60.0):
        clock = FakeClock()
        with open_store(clock=clock) as store:
            for number, (confidence, age) in enumerate(born):
                store.memories.add("knowledge", f"fact {number}", id=f"m-{number}", confidence=confidence, created_at=clock.now - age)
            begin = clock.now
            while clock.now < begin + 60 * DAY:
                clock.now = min(clock.now + step * DAY, begin + 60 * DAY)
                with store.transaction():
                    store.memories.decay()
            ends.append(sorted(state(store.memories)))
    assert ends == [ends[0]] * 4
    assert {status for _, _, status, _, _ in ends[0]} == {"active", "superseded"}


def test_many_memories_fade_in_pages(memories, store, store_clock, monkeypatch):
    monkeypatch.setattr("memstore.memories.reflection.PAGE", 3)
    with store.transaction():
        for number in range(10):
            memories.add("knowledge", f"fact {number}", confidence=1.0 if number % 3 else 0.2)
    store_clock.advance(31 * DAY)
    assert [item.content for item in memories.decay()] == ["fact 0", "fact 3", "fact 6", "fact 9"]
    assert {item.confidence for item in memories.find(status="active")} == {KEPT}


# -- expiry -------------------------------------------------------------------------------------------------------------


def test_a_candidate_that_nobody_wanted_expires(store, store_clock):
    memories = store.memories
    old = memories.add("knowledge", "water is wet", status="candidate", user_id="ann")
    store_clock.advance(DAY)
    young = memories.add("knowledge", "fire is hot", status="candidate")
    memories.add("knowledge", "earth is round")
    store_clock.advance(13 * DAY - 1)
    assert memories.expire() == []
    store_clock.advance(1)
    (expired,) = memories.expire(note="nightly")
    assert expired == memories.get(old.id)
    assert (expired.status, expired.expired_at, expired.version) == ("invalid", store_clock.now, 2)
    assert memories.find(status="candidate") == [young]
    (event,) = memories.history(old.id)
    assert (event.event_type, event.actor, event.note, event.user_id) == ("memory.expire", "candidate-expiry", "nightly", "ann")
    assert event.before == {"status": "candidate", "expired_at": None}
    assert event.after == {"status": "invalid", "expired_at": store_clock.now}
    assert memories.search("water", status=None) == []


def test_what_expired_may_come_back_and_what_was_rejected_may_not(memories, store_clock):
    source = memories.capture("how?", "Fact: water is wet\n\nFact: fire is hot")
    first, second = memories.extract_candidates(source.id)
    memories.reject(second.id)
    store_clock.advance(14 * DAY)
    assert [item.id for item in memories.expire()] == [first.id]
    assert memories.extract_candidates(source.id) == [], "what an interaction gave once it does not give again"
    (again,) = memories.extract_candidates(memories.capture("how?", source.response).id)
    assert (again.content, again.status) == ("water is wet", "candidate")
    assert again.id != first.id


def test_a_change_keeps_a_candidate_waiting(memories, store_clock):
    item = memories.add("knowledge", "water is wet", status="candidate")
    store_clock.advance(13 * DAY)
    memories.update(item.id, confidence=0.4)
    store_clock.advance(13 * DAY)
    assert memories.expire() == []


def test_the_days_and_the_time_may_be_given(memories, store_clock):
    memories.add("knowledge", "water is wet", status="candidate", id="m-1")
    assert memories.expire(store_clock.now - 1, idle_days=0) == []
    assert memories.expire(store_clock.now + 2 * DAY, idle_days=2.5) == []
    (expired,) = memories.expire(datetime.fromtimestamp(store_clock.now + 2 * DAY, UTC), idle_days=2)
    assert expired.expired_at == store_clock.now + 2 * DAY
    with pytest.raises(Invalid, match="idle_days is -1"):
        memories.expire(idle_days=-1)
