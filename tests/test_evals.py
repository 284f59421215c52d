"""Runs, assertions, promotions: every column, the percentiles, and what a rollback undoes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from memstore import Exists, Invalid, NotFound, ReadOnly, open_store


@pytest.fixture
def evals(store):
    return store.evals


def tables(store):
    present = {row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    names = ("model_runs", "assertion_events", "promotions", "audit_log")
    return {name: store.query(f"SELECT * FROM {name}") for name in names if name in present}


# -- runs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"), [(None, None), ("", 0.0), ("é\u0301 漢 🙂", 1.5)]
)  # NULL, empty and zero, non-ASCII
def test_every_column_of_a_run_goes_in_and_comes_out(evals, text, number):
    given = {
        "query_id": text, "round": "peer_review", "utility_score": number, "confidence_score": number, "vcg_welfare_score": number,
        "vcg_winner": True, "corrections_applied": ["a", text or "b"], "latency_ms": number, "domain": text, "domain_l0": text,
        "domain_path": text, "id": "run-1", "created_at": 0.0,
    }  # fmt: skip
    run = evals.record_run(text or "", text or "", **given)
    (stored,) = evals.runs()
    assert stored == run
    assert {name: getattr(stored, name) for name in given} == given
    assert (stored.run_id, stored.conversation_id, stored.specialist) == ("run-1", text or "", text or "")


def test_what_is_not_given_of_a_run_has_its_default(evals, store_clock):
    run = evals.record_run("c", "swe")
    assert evals.runs() == [run]
    assert (run.round, run.vcg_winner, run.corrections_applied, run.created_at) == ("answer", False, [], store_clock.now)
    assert (run.utility_score, run.latency_ms, run.domain, run.query_id) == (None, None, None, None)


def test_runs_are_newest_first_and_filtered(evals, store_clock):
    made = [evals.record_run(f"c{n % 2}", f"s{n % 3}", query_id=f"q{n // 3}").id for n in range(6)]
    late = evals.record_run("c0", "s0", created_at=store_clock.now - 1).id
    assert [run.id for run in evals.runs()] == [*reversed(made), late]
    assert [run.id for run in evals.runs(conversation_id="c0", specialist="s0")] == [made[0], late]
    assert [run.id for run in evals.runs(query_id="q1", limit=2)] == [made[5], made[4]]
    assert evals.runs(limit=0) == [] and evals.runs(specialist="") == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"conversation_id": None}, "conversation_id must be str"), ({"specialist": None}, "specialist must be str"),
        ({"round": "Answer"}, "none of answer, peer_review"), ({"latency_ms": -1}, "at least 0"),
        ({"utility_score": math.nan}, "finite"), ({"vcg_winner": 2}, "True or False"), ({"vcg_winner": None}, "True or False"),
        ({"corrections_applied": "abc"}, "list of str"), ({"corrections_applied": [1]}, "must be str"),
        ({"domain": "a\0"}, "NUL"), ({"created_at": datetime(2020, 1, 1)}, "time zone"), ({"id": " "}, "blank"),
    ],
)  # fmt: skip
def test_a_bad_run_is_refused_and_nothing_is_written(evals, store, bad, message):
    before = tables(store)
    with pytest.raises(Invalid, match=message):
        evals.record_run(**{"conversation_id": "c", "specialist": "s", **bad})
    assert tables(store) == before


def test_a_taken_id_raises_exists(evals, store):
    evals.record_run("c", "s", id="x")
    evals.record_assertion("a", "soft", True, id="x")
    evals.promote("s", None, "m", id="x")
    before = tables(store)
    calls = (
        lambda: evals.record_run("c", "s", id="x"),
        lambda: evals.record_assertion("a", "soft", True, id="x"),
        lambda: evals.promote("s", None, "m", id="x"),
    )
    for call in calls:
        with pytest.raises(Exists, match="'x'"):
            call()
    assert tables(store) == before


# -- reliability ----------------------------------------------------------------------------------------------------------


def test_reliability_by_hand(evals):
    for n in range(20):
        evals.record_run("c", "swe", vcg_winner=n < 5, latency_ms=float(20 - n), vcg_welfare_score=0.0 if n % 2 else None)
    evals.record_run("c", "art")
    art, swe = evals.reliability()
    assert (swe.specialist, swe.runs, swe.wins, swe.win_rate, swe.mean_welfare) == ("swe", 20, 5, 0.25, 0.0)
    assert (swe.latency_p50, swe.latency_p95, swe.latency_p99) == (10.0, 19.0, 20.0)
    assert (art.runs, art.wins, art.win_rate) == (1, 0, 0.0)
    assert (art.mean_welfare, art.latency_p50, art.latency_p95, art.latency_p99) == (None, None, None, None)


def test_percentiles_are_the_nearest_rank(evals, rng):
    for count in (1, 2, 3, 7, 99, 100, 101):
        latencies = [float(rng.randrange(50)) for _ in range(count)]
        for latency in latencies:
            evals.record_run("c", f"s{count}", latency_ms=latency)
        evals.record_run("c", f"s{count}")
        (found,) = evals.reliability(specialist=f"s{count}")
        expected = [sorted(latencies)[-(-count * p // 100) - 1] for p in (50, 95, 99)]
        assert [found.latency_p50, found.latency_p95, found.latency_p99] == expected
        assert found.runs == count + 1


def test_reliability_since_is_inclusive_and_unknown_is_empty(evals, store_clock):
    evals.record_run("c", "s", created_at=10.0)
    evals.record_run("c", "s", created_at=20.0, vcg_winner=True)
    assert evals.reliability(since=20.0)[0].runs == 1
    assert evals.reliability(since=datetime.fromtimestamp(10, UTC))[0].runs == 2
    assert evals.reliability(since=20.5) == []
    assert evals.reliability(specialist="nobody") == []
    assert evals.reliability(specialist="s")[0].win_rate == 0.5


# -- assertions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "number"), [(None, None), ("", 0.0), ("漢字", 2.5)])
def test_every_column_of_an_assertion_goes_in_and_comes_out(evals, text, number):
    given = {
        "session_id": text, "bonus_applied": -0.15, "retries_used": 3, "latency_ms": number, "domain": text, "policy_name": text,
        "id": "a1", "created_at": 0.0,
    }  # fmt: skip
    event = evals.record_assertion(text or "", "blocking", False, **given)
    (stored,) = evals.assertions()
    assert stored == event
    assert {name: getattr(stored, name) for name in given} == given
    assert (stored.assertion_name, stored.level, stored.passed) == (text or "", "blocking", False)


def test_assertions_are_newest_first_and_filtered(evals):
    made = [evals.record_assertion(f"a{n % 2}", ("blocking", "soft", "info")[n % 3], n < 3, session_id="s").id for n in range(6)]
    assert [event.id for event in evals.assertions()] == made[::-1]
    assert [event.id for event in evals.assertions(assertion_name="a1", passed=False)] == [made[5], made[3]]
    assert [event.id for event in evals.assertions(level="info", session_id="s", limit=1)] == [made[5]]
    assert evals.assertions(session_id="t") == []
    with pytest.raises(Invalid, match="none of blocking, soft, info"):
        evals.assertions(level="hard")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"level": "hard"}, "none of blocking, soft, info"), ({"passed": None}, "True or False"), ({"passed": "yes"}, "True or False"),
        ({"retries_used": -1}, "at least 0"), ({"retries_used": 1.0}, "int"), ({"retries_used": 2**63}, "64 bits"),
        ({"bonus_applied": math.inf}, "finite"), ({"bonus_applied": None}, "number"), ({"assertion_name": None}, "must be str"),
    ],
)  # fmt: skip
def test_a_bad_assertion_is_refused_and_nothing_is_written(evals, store, bad, message):
    before = tables(store)
    with pytest.raises(Invalid, match=message):
        evals.record_assertion(**{"assertion_name": "a", "level": "soft", "passed": True, **bad})
    assert tables(store) == before


# -- promotions -----------------------------------------------------------------------------------------------------------


def test_every_column_of_a_promotion_goes_in_and_comes_out(evals):
    promotion = evals.promote("ü", None, "m1", metadata={"u_delta": 0, "é": [None]}, id="p1", created_at=5.0, note="n")
    (stored,) = evals.promotions()
    assert stored == promotion
    assert (stored.id, stored.created_at, stored.specialist, stored.event) == ("p1", 5.0, "ü", "promote")
    assert (stored.from_model, stored.to_model, stored.reverted, stored.reverted_at) == (None, "m1", False, None)
    assert (stored.reverts, stored.reason, stored.metadata) == (None, "n", {"u_delta": 0, "é": [None]})


def test_rollbacks_go_back_one_promotion_at_a_time(evals, store_clock):
    first, second = evals.promote("swe", "m0", "m1"), evals.promote("swe", "m1", "m2")
    other = evals.promote("law", None, "x")
    store_clock.advance(-100)
    undone = evals.rollback("swe", reason="worse", metadata={"delta": -1})
    assert (undone.event, undone.from_model, undone.to_model, undone.reverts) == ("rollback", "m2", "m1", second.id)
    assert (undone.reason, undone.metadata) == ("worse", {"delta": -1})
    assert evals.active_model("swe") == "m1"
    assert evals.rollback("swe").reverts == first.id
    assert evals.active_model("swe") == "m0"
    with pytest.raises(NotFound, match="no promotion that stands"):
        evals.rollback("swe")
    assert evals.active_model("law") == "x"
    marked = {item.id: (item.reverted, item.reverted_at) for item in evals.promotions(event="promote")}
    assert marked == {first.id: (True, store_clock.now), second.id: (True, store_clock.now), other.id: (False, None)}
    evals.promote("swe", "m0", "m3")
    assert evals.active_model("swe") == "m3"


def test_a_rollback_to_before_the_first_model_leaves_none(evals):
    evals.promote("swe", None, "m1")
    evals.rollback("swe")
    assert evals.active_model("swe") is None
    assert evals.active_model("nobody") is None


def test_promotions_are_listed_by_arrival_and_filtered(evals):
    one, two = evals.promote("a", None, "1", created_at=9.0), evals.promote("b", None, "2", created_at=1.0)
    back = evals.rollback("b")
    assert [item.id for item in evals.promotions()] == [back.id, two.id, one.id]
    assert [item.id for item in evals.promotions(include_reverted=False)] == [back.id, one.id]
    assert [item.id for item in evals.promotions(specialist="b", event="promote")] == [two.id]
    assert [item.id for item in evals.promotions(limit=1)] == [back.id]
    with pytest.raises(Invalid, match="none of promote, rollback"):
        evals.promotions(event="undo")


def test_promotions_and_rollbacks_are_audited_once_each(evals, store):
    evals.promote("swe", "m0", "m1", actor="ann", note="better")
    evals.rollback("swe", reason="worse", actor="bob")
    evals.record_run("c", "swe")
    evals.record_assertion("a", "soft", True)
    back, made = store.audit.find()
    assert (made.event_type, made.actor, made.note, made.entity_kind) == ("promotion.promote", "ann", "better", "promotion")
    assert (made.before, made.after) == ({"model": "m0"}, {"model": "m1"})
    assert (back.event_type, back.actor, back.note) == ("promotion.rollback", "bob", "worse")
    assert (back.before, back.after, back.entity_id) == ({"model": "m1"}, {"model": "m0"}, evals.promotions(event="rollback")[0].id)


def test_a_failed_rollback_or_promotion_leaves_nothing(evals, store):
    evals.promote("swe-8b", None, "m")
    before = tables(store)
    with pytest.raises(NotFound, match="nearest: 'swe-8b'"):
        evals.rollback("swe-8")
    for bad in (
        {"to_model": None}, {"specialist": 1}, {"metadata": {"x": {1}}}, {"metadata": "x"}, {"from_model": "\ud800"}, {"note": None},
    ):  # fmt: skip
        with pytest.raises(Invalid):
            evals.promote(**{"specialist": "s", "from_model": "a", "to_model": "b", **bad})
    with pytest.raises(ZeroDivisionError), store.transaction():
        evals.rollback("swe-8b")
        assert evals.active_model("swe-8b") is None
        raise ZeroDivisionError
    assert tables(store) == before
    assert evals.active_model("swe-8b") == "m"


# -- the file -------------------------------------------------------------------------------------------------------------


def test_a_read_only_store_reads_and_refuses_to_write(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as writer:
        writer.evals.record_run("c", "s", latency_ms=0)
    with open_store(path, read_only=True) as reader:
        assert reader.evals.reliability()[0].latency_p99 == 0.0
        assert reader.evals.active_model("s") is None
        with pytest.raises(ReadOnly):
            reader.evals.record_run("c", "s")


@pytest.mark.damage
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE promotions SET reverted = 0, reverted_at = NULL WHERE event = 'promote'",
        "UPDATE promotions SET reverted = 1, reverted_at = 1.0 WHERE to_model = 'm2'",
        "UPDATE promotions SET reverts = NULL WHERE event = 'rollback'",
    ],
)
def test_check_finds_a_rollback_that_does_not_agree(evals, store, damage):
    evals.promote("s", None, "m1")
    evals.rollback("s")
    evals.promote("s", None, "m2")
    assert evals.check() == []
    with evals.db.write() as connection:
        connection.run(damage)
    assert [finding.kind for finding in evals.check()] != []
    assert not store.check().ok
