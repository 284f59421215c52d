"""Finding audit events: by what is indexed, by what is not, by time; and the index itself."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from datetime import datetime, timedelta, timezone

import pytest
from test_audit import FULL, REFERENCES, kinds

from memstore import Invalid, open_store
from memstore.audit import PLACED


def test_find_is_newest_first_and_pages_by_number(store):
    store.audit.append_many([{"event_type": "query", "session_id": f"s{n % 2}"} for n in range(10)])
    assert [event.seq for event in store.audit.find(limit=3)] == [10, 9, 8]
    assert [event.seq for event in store.audit.find(before_seq=8, limit=3)] == [7, 6, 5]
    assert [event.seq for event in store.audit.find(after_seq=8)] == [10, 9]
    assert [event.seq for event in store.audit.find(after_seq=2, ascending=True, limit=2)] == [3, 4]
    assert [event.seq for event in store.audit.find(session_id="s1", before_seq=8, limit=2)] == [6, 4]
    assert store.audit.find(limit=0) == []
    assert len(store.audit.find(limit=None)) == 10
    with pytest.raises(Invalid, match="limit"):
        store.audit.find(limit=-1)


def test_find_combines_filters_and_takes_values_literally(store):
    store.audit.append("query", stream='x","field":"y', entity_kind="a%", entity_id="1")
    store.audit.append("query", stream="x", field="y", entity_kind="ab", entity_id="1")
    assert [event.seq for event in store.audit.find(stream="x")] == [2]
    assert [event.seq for event in store.audit.find(stream='x","field":"y')] == [1]
    assert [event.seq for event in store.audit.find(entity_kind="a%", entity_id="1")] == [1]
    assert [event.seq for event in store.audit.find(event_type="query", entity_id="1", entity_kind="ab")] == [2]
    assert store.audit.find(event_type="quer") == []
    with pytest.raises(Invalid, match="event_type"):
        store.audit.find(event_type="Query")


def test_since_is_inclusive_and_until_exclusive(store, store_clock):
    moments = []
    for _ in range(6):
        moments.append(store_clock.advance(0.1))
        store.audit.append("query")
    assert [event.seq for event in store.audit.find(since=moments[2], until=moments[4])] == [4, 3]
    assert [event.seq for event in store.audit.find(since=moments[1], limit=2, ascending=True)] == [2, 3]
    assert [event.seq for event in store.audit.find(until=moments[1])] == [1]
    aware = datetime.fromtimestamp(moments[5], timezone(timedelta(hours=5)))
    assert [event.seq for event in store.audit.find(since=aware.timestamp())] == [6]
    assert [event.seq for event in store.audit.find(since=aware + timedelta(seconds=1))] == []
    with pytest.raises(Invalid, match="time zone"):
        store.audit.find(since=datetime(2024, 1, 1))


def test_since_looks_on_when_a_page_held_nothing_that_fits(store, store_clock):
    for _ in range(5):
        store_clock.advance(0.01)
        store.audit.append("query")
    boundary = store.audit.get(2).created_at
    assert [event.seq for event in store.audit.find(until=boundary, limit=1)] == [1]
    assert [event.seq for event in store.audit.find(since=store.audit.get(5).created_at, limit=1, ascending=True)] == [5]


def test_times_of_any_float_are_compared_exactly(store, store_clock, rng):
    for _ in range(200):
        store_clock.now = rng.uniform(1e9, 2e9)
        store.audit.append("query")
    for event in store.audit.find(limit=50):
        assert event.seq in [found.seq for found in store.audit.find(since=event.created_at, limit=None)]
        assert event.seq not in [found.seq for found in store.audit.find(until=event.created_at, limit=None)]


def test_history_is_oldest_first_and_of_one_thing(store):
    for number in range(150):
        store.audit.append("correction.update", entity_kind="correction", entity_id="c", before={"n": number})
    store.audit.append("promotion.rollback", entity_kind="promotion", entity_id="c")
    assert [event.before["n"] for event in store.audit.history("correction", "c")] == list(range(150))
    for kind, id in ((None, "c"), ("correction", None), (5, "c")):
        with pytest.raises(Invalid, match="must be str"):
            store.audit.history(kind, id)


def test_references_and_ids_are_found_by_an_index_that_ends_at_the_limit(store):
    store.audit.append("query")
    for page_order, order in (("i.page DESC", "e.seq DESC"), ("i.page ASC", "e.seq ASC")):
        sql = f"EXPLAIN QUERY PLAN {PLACED} instr(e.refs, ?) > 0 AND e.seq > ? AND e.seq < ? ORDER BY {page_order}, {order}"
        plan = [row["detail"] for row in store.query(sql, ("x", "x", 0, 9))]
        assert "SEARCH i USING PRIMARY KEY (reference=?)" in plan[0] and "SEARCH e USING INTEGER PRIMARY KEY" in plan[1], plan
        assert len(plan) == 3 and "TEMP B-TREE" not in str(plan), plan


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_is_found_among_others_on_every_page(store, name):
    written = [{"event_type": "query", name: f"x-{number % 90}", "note": "n"} for number in range(300)]
    written[130] = {"event_type": "query", "stream": f'x","{name}":"x-7'}
    store.audit.append_many(written)
    found = store.audit.find(**{name: "x-7"})
    assert [event.seq for event in found] == [278, 188, 98, 8]
    assert [event.seq for event in store.audit.find(**{name: "x-7"}, before_seq=188, limit=1)] == [98]
    assert [event.seq for event in store.audit.find(**{name: "x-7"}, after_seq=98, ascending=True)] == [188, 278]
    assert store.audit.find(**{name: "x-"}) == store.audit.find(**{name: 'x-7"'}) == []


def test_what_is_forgotten_leaves_the_index_too(store):
    def places():
        return {(row["reference"], row["page"]) for row in store.query("SELECT reference, page FROM audit_places")}

    for number in range(1, 201):
        user, id = "u-1" if number in (3, 5, 70) else None, f"e-{number}" if number < 4 else None
        store.audit.append("query", user_id=user, session_id="s", id=id)
    assert {place for place in places() if "user" in place[0]} == {(',"user_id":"u-1"', 0), (',"user_id":"u-1"', 1)}
    store.audit.redact(3, reason="r")
    assert (',"user_id":"u-1"', 0) in places(), "event 5 has it still"
    store.audit.redact(5, reason="r")
    store.audit.redact(70, reason="r")
    assert not [place for place in places() if "user" in place[0]]
    assert store.audit.get("e-3").redacted
    assert len(store.audit.find(session_id="s", limit=None)) == 197
    assert store.audit.check() == []
    store.audit.prune(130, reason="r")
    assert places() == {(',"session_id":"s"', 2), (',"session_id":"s"', 3)}
    assert store.audit.check() == []


@pytest.mark.damage
def test_an_event_that_the_index_does_not_lead_to_is_a_finding(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        store.audit.append_many([{"event_type": "query", "session_id": f"s-{number // 100}"} for number in range(300)])
        store.audit.append("query", id="mine")
    for sql in ("DELETE FROM audit_places WHERE page = 1", "INSERT INTO audit_places VALUES (',\"user_id\":\"u\"', 2)"):
        copy = tmp_path / "copy.db"
        shutil.copy(tmp_path / "a.db", copy)
        with contextlib.closing(sqlite3.connect(copy)) as db, db:
            db.execute(sql)
        with open_store(copy) as store:
            assert store.audit.verify().ok, "the events are as they were written"
            assert [finding.kind for finding in store.audit.check()] == ["index"]
            assert not store.check().ok


def test_order_is_by_number_whatever_the_clock_says(store, store_clock):
    for step in (0, -3600, 0, 7200):
        store_clock.advance(step)
        store.audit.append("query")
    assert [event.seq for event in store.audit.find()] == [4, 3, 2, 1]
    report = store.audit.verify()
    assert (report.ok, kinds(report)) == (True, ["clock", "unanchored"])
    assert report.findings[0].seq == 2


def test_the_view_shows_events_to_people(store):
    store.audit.append("correction.update", **FULL)
    shown = store.query("SELECT * FROM audit_events")[0]
    assert (shown["event_type"], shown["actor"], shown["project_id"], shown["note"]) == ("correction.update", "ada", "p", "why not")
    assert json.loads(shown["details"]) == {"tokens": 812}
    assert shown["created_utc"] == "2023-11-14 22:13:20"


def test_a_reference_may_end_with_a_comma(store):
    for reference in ("x,", ",", ",,", 'x,"', 'x,\\', ',"y":"z'):
        seq = store.audit.append("query", user_id=reference, session_id=reference, actor=reference).seq
        assert [event.seq for event in store.audit.find(user_id=reference)] == [seq]
        assert [event.seq for event in store.audit.find(actor=reference)] == [seq]
    assert store.audit.check() == []
