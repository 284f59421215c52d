"""Logs that come with an import: kept whole beside the store's own, taken further, and verified with their own anchors and keys."""

from __future__ import annotations

import exports
import pytest
from exports import rows_of

from memstore import Invalid, NotFound, open_store
from memstore.testing import FakeClock

source, exported, other = exports.source, exports.exported, exports.other


def test_a_foreign_log_is_kept_whole_and_verifies_by_itself(source, exported, other):
    own = other.audit.head()
    other.import_(exported)
    report = other.audit.verify(store_id=source.store_id, anchors=[source.audit.head()])
    assert (report.findings, report.head, report.checked) == ([], source.audit.head(), source.audit.head().seq)
    assert other.audit.verify(anchors=[own]).ok
    with pytest.raises(NotFound, match=source.store_id):
        other.audit.verify(store_id="0" * 32)


@pytest.mark.damage
@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("UPDATE audit_imported SET body = body || ' ' WHERE seq = 4", "hash"),
        ("DELETE FROM audit_imported WHERE seq = 4", "gap"),
        ("DELETE FROM audit_imported WHERE seq > 8", "truncated"),
        ("UPDATE audit_imported SET refs = '', payload = NULL WHERE seq = 4", "hash"),
        ("UPDATE audit_imported_projects SET last_seq = 99", "gap"),
    ],
)
def test_what_is_changed_in_a_foreign_log_is_found(source, exported, other, sql, kind):
    other.import_(exported)
    with other.audit.db.write() as connection:
        connection.run("INSERT INTO audit_permit(reason) VALUES ('by hand')")
        connection.run(sql)
        connection.run("DELETE FROM audit_permit")
    report = other.audit.verify(store_id=source.store_id, anchors=[source.audit.head()])
    assert not report.ok
    assert kind in {finding.kind for finding in report.findings}
    if kind != "truncated":
        assert any(source.store_id in finding.detail for finding in other.check().findings)


def test_a_log_that_has_grown_is_taken_further_and_one_that_is_known_not_again(source, exported, other, tmp_path):
    other.import_(exported)
    source.audit.append("query", details={"later": 1})
    source.audit.redact(4, reason="asked for")
    source.audit.prune(3, reason="old")
    source.export(tmp_path / "later")
    report = other.import_(tmp_path / "later", on_conflict="skip")
    assert report.added["audit_imported"] == 3
    verified = other.audit.verify(store_id=source.store_id, anchors=[source.audit.head()])
    assert verified.ok and verified.anchored_to == source.audit.head()
    assert other.query("SELECT refs FROM audit_imported WHERE seq = 4") == [{"refs": ""}]
    assert other.query("SELECT min(seq) AS n FROM audit_imported") == [{"n": 3}]
    for folder in (exported, tmp_path / "later"):
        assert other.import_(folder, on_conflict="skip").audit_seq is None
    assert other.check().findings == []


def test_a_keyed_foreign_log_verifies_with_its_key_only(tmp_path):
    with open_store(tmp_path / "a.db", audit_key="one") as source:
        source.audit.append("query")
        source.export(tmp_path / "keyed")
        anchor = source.audit.head()
    for number, (key, fits) in enumerate([("one", True), ("two", False), (None, False)]):
        with open_store(tmp_path / f"b{number}.db", audit_key=key) as store:
            store.audit.append("query")
            store.import_(tmp_path / "keyed")
            if fits:
                assert store.audit.verify(store_id=anchor.store_id, anchors=[anchor]).findings == []
            else:
                with pytest.raises(Invalid, match="key"):
                    store.audit.verify(store_id=anchor.store_id)
            assert store.check().ok


def test_histories_within_an_export_come_along(source, exported, other, tmp_path):
    other.import_(exported)
    other.export(tmp_path / "both")
    with open_store(tmp_path / "third.db", clock=FakeClock()) as third:
        third.audit.append("query")
        third.import_(tmp_path / "both")
        for store in (source, other):
            report = third.audit.verify(store_id=store.store_id)
            assert report.ok and report.head.seq >= store.audit.head().seq - 1
        assert third.check().findings == []


def test_a_restored_snapshot_goes_on_with_the_events_of_the_export(source, tmp_path):
    source.snapshot(tmp_path / "earlier.db")
    source.audit.append("query", actor="ann", id="later")
    source.audit.redact(4, reason="asked for")
    source.export(tmp_path / "later")
    with open_store(tmp_path / "earlier.db", clock=FakeClock()) as store:
        report = store.import_(tmp_path / "later", on_conflict="skip")
        assert report.added["audit_log"] == 2
        assert report.audit_seq == source.audit.head().seq + 1
        assert store.audit.get("later").actor == "ann"
        assert store.audit.get(4).redacted
        verified = store.audit.verify(anchors=[source.audit.head()])
        assert verified.ok and verified.anchored_to == source.audit.head()
        assert store.check().findings == []


def test_logs_that_went_different_ways_are_refused_with_the_place(source, exported, other, tmp_path):
    source.snapshot(tmp_path / "twin.db")
    last = source.audit.head().seq
    source.audit.append("query", details={"one": 1})
    source.export(tmp_path / "one")
    with open_store(tmp_path / "twin.db", clock=FakeClock()) as twin:
        twin.audit.append("query", details={"two": 2})
        with pytest.raises(Invalid, match=f"different ways after event {last}.*import it into a new store"):
            twin.import_(tmp_path / "one", on_conflict="skip")
        twin.export(tmp_path / "two")
    other.import_(tmp_path / "one")
    before = rows_of(other)
    with pytest.raises(Invalid, match=f"different ways after event {last}"):
        other.import_(tmp_path / "two", on_conflict="skip")
    assert rows_of(other) == before


def test_a_handle_that_waited_while_another_one_became_the_exported_store_takes_no_log_for_a_foreign_one(exported, tmp_path):
    with open_store(tmp_path / "new.db") as store, open_store(tmp_path / "new.db") as beside:
        assert beside.audit.head().seq == 0
        store.import_(exported)
        report = beside.import_(exported, on_conflict="skip")
        assert (report.added, report.audit_seq) == ({}, None)
        assert beside.query("SELECT * FROM audit_histories") == []
