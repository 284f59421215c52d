"""Imports: an empty store becomes the exported one, a store with a history takes in what it does not have, damage is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil

import pytest
from exports import answers, bytes_of, fill, rewrite, signed

from memstore import Corrupt, Exists, ImportReport, Invalid, NotFound, ReadOnly, SchemaTooNew, open_store
from memstore.audit.erased import own_salt, remember
from memstore.audit.histories import redactions
from memstore.corrections import SCHEMA as CORRECTIONS
from memstore.testing import FakeClock
from memstore.transfer import folder as folders
from memstore.transfer import into
from memstore.transfer.out import schema_of


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Files of two filled stores, to be copied: filling one takes longer than most of these tests."""
    paths = {tag: tmp_path_factory.mktemp("begun") / "agent.db" for tag in ("", "-b")}
    for tag, path in paths.items():
        with open_store(path, clock=FakeClock()) as store:
            fill(store, tag)
    return paths


@pytest.fixture
def source(tmp_path, begun):
    """A filled store."""
    with open_store(shutil.copy(begun[""], tmp_path / "source.db"), clock=FakeClock()) as opened:
        yield opened


@pytest.fixture
def exported(source, tmp_path):
    """Its export."""
    source.export(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def other(tmp_path, begun):
    """Another store with a history."""
    with open_store(shutil.copy(begun["-b"], tmp_path / "other.db"), clock=FakeClock()) as opened:
        yield opened


def rows_of(store):
    """All rows of all tables of users."""
    names = store.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'keyword_se%' ORDER BY name")
    return {row["name"]: store.query(f"SELECT * FROM {row['name']}") for row in names if row["name"] != "maintenance"}


def on_disk(path):
    return [pathlib.Path(f"{path}{side}").read_bytes() for side in ("", "-wal")]


def erase(store, *things):
    """Remember that something was erased."""
    with store.audit.db.write() as connection:
        remember(connection, own_salt(connection), things)


# -- into an empty store ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [":memory:", "new.db"])
def test_an_empty_store_becomes_the_exported_one(source, exported, tmp_path, place):
    with open_store(place if place == ":memory:" else tmp_path / place, clock=FakeClock()) as store:
        report = store.import_(exported)
        assert isinstance(report, ImportReport)
        assert (report.adopted, report.audit_seq, report.skipped, report.notes) == (True, None, {}, [])
        assert report.added["messages"] == source.query("SELECT count(*) AS n FROM messages")[0]["n"]
        assert store.store_id == source.store_id
        assert answers(store) == answers(source)
        store.export(tmp_path / "again")
        assert bytes_of(tmp_path / "again") == bytes_of(exported)
        assert store.check().findings == []


def test_it_goes_on_where_the_exported_one_stood(source, exported):
    anchor = source.audit.head()
    with open_store(clock=FakeClock()) as store:
        store.import_(exported)
        assert store.audit.head() == anchor
        assert store.audit.find(limit=None) == source.audit.find(limit=None)
        assert store.audit.find(user_id="ann", limit=None) == source.audit.find(user_id="ann", limit=None)
        assert store.audit.get("e2") == source.audit.get("e2")
        event = store.audit.append("query", project="p1")
        assert (event.seq, event.id, event.prev_hash) == (anchor.seq + 1, f"{source.store_id}-{anchor.seq + 1}", anchor.hash)
        assert store.audit.verify(anchors=[anchor]).findings == []
        assert store.corrections.add("rounding", "round half even", confidence=1.0, user_id="ann").id == "k1"
        assert store.chat.append("c1", "user", "one more").content == "one more"
        assert store.chat.search("one more")[0].message.conversation_id == "c1"


def test_other_handles_see_whose_store_it_is_now(exported, source, tmp_path):
    with open_store(tmp_path / "new.db") as store, open_store(tmp_path / "new.db") as beside:
        old = beside.store_id
        assert beside.audit.head().store_id == old
        assert beside.chat.search("amber") == []
        store.import_(exported)
        assert beside.store_id == source.store_id != old
        assert beside.audit.head() == source.audit.head()
        assert beside.audit.get(f"{source.store_id}-1").seq == 1
        assert beside.audit.append("query").seq == source.audit.head().seq + 1
        assert len(beside.chat.search("amber", limit=None)) == len(source.chat.search("amber", limit=None))
        assert store.audit.verify(anchors=[source.audit.head()]).ok


def test_a_handle_that_writes_first_after_another_has_imported_binds_its_log_to_the_new_id(tmp_path):
    with open_store(tmp_path / "a.db") as source:
        source.chat.create_conversation(id="c1")
        source.export(tmp_path / "out")
    with open_store(tmp_path / "b.db") as store, open_store(tmp_path / "b.db") as beside:
        assert beside.audit.find() == []
        store.import_(tmp_path / "out")
        assert beside.audit.append("query").id == f"{store.store_id}-1"
        assert store.audit.verify().ok


def test_a_rolled_back_import_leaves_the_store_its_own_id(exported, tmp_path, monkeypatch):
    with open_store(tmp_path / "new.db") as store:
        before = store.store_id
        seen = []

        def strike(done, total):
            seen.append(done)
            if done > total // 2 + 10:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.import_(exported, progress=strike)
        assert store.store_id == before
        store.audit.append("query")
        assert store.audit.verify().ok
        assert store.audit.head().store_id == before


def test_keyed_logs_need_their_key(tmp_path):
    with open_store(tmp_path / "a.db", audit_key="one") as source:
        source.audit.append("query")
        source.export(tmp_path / "keyed")
        anchor = source.audit.head()
    with open_store(tmp_path / "plain.db") as plain:
        plain.audit.append("query")
        plain.export(tmp_path / "plain")
    with open_store(tmp_path / "b.db", audit_key="one") as store:
        assert store.import_(tmp_path / "keyed").adopted
        store.export(tmp_path / "again")
        assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "keyed")
        store.audit.append("query")
        assert store.audit.verify(anchors=[anchor]).findings == []
    for folder in ("keyed", "plain"):
        with open_store(tmp_path / "c.db", audit_key="two") as store:
            before = rows_of(store)
            with pytest.raises(Invalid, match="audit_key"):
                store.import_(tmp_path / folder)
            assert rows_of(store) == before
    with open_store(tmp_path / "d.db") as store:
        assert store.import_(tmp_path / "keyed").adopted
        with pytest.raises(Invalid, match="audit_key"):
            store.audit.append("query")
    with open_store(tmp_path / "d.db", audit_key="one") as store:
        assert store.audit.verify(anchors=[anchor]).ok


# -- into a store with a history ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("filled", [False, True])
def test_a_trial_tells_what_an_import_would_do_and_leaves_the_store_as_it_was(exported, tmp_path, filled):
    with open_store(tmp_path / "trial.db") as store:
        if filled:
            store.audit.append("query", details={"n": 1})
        born, rows = store.store_id, store.stats().rooms
        trial = store.import_(exported, dry_run=True)
        assert trial.adopted is not filled
        assert store.store_id == born
        assert store.stats().rooms == rows
        assert store.audit.append("query").id.startswith(born)
        assert store.audit.verify().ok
    with open_store(tmp_path / "real.db") as store:
        if filled:
            store.audit.append("query", details={"n": 1})
        real = store.import_(exported)
    assert (trial.added, trial.notes, trial.audit_seq) == (real.added, real.notes, None)


def test_skip_of_the_same_writes_nothing(source, exported, tmp_path):
    source.export(tmp_path / "fresh")
    before = on_disk(source.path)
    report = source.import_(exported, on_conflict="skip")
    assert (report.adopted, report.added, report.replaced, report.audit_seq) == (False, {}, {}, None)
    assert report.skipped["conversations"] == 3
    assert on_disk(source.path) == before
    source.export(tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "fresh")


def test_a_row_that_is_there_is_an_error_that_writes_nothing(source, exported):
    before = rows_of(source)
    with pytest.raises(Exists, match="p1.*projects.*nothing was imported.*skip"):
        source.import_(exported)
    assert rows_of(source) == before


def test_what_is_new_comes_beside_what_is_there(source, exported, other):
    kept, came = answers(other), answers(source)
    report = other.import_(exported, actor="carol", note="moved house")
    assert (report.adopted, report.skipped, report.replaced) == (False, {}, {})
    now = answers(other)
    for name in ("projects", "sessions", "corrections", "backups", "runs", "assertions"):
        assert sorted(map(str, now[name])) == sorted(map(str, [*kept[name], *came[name]])), name
    assert now["messages"] == {**kept["messages"], **came["messages"]}
    assert sorted(now["hits"]) == sorted(kept["hits"] + came["hits"])
    assert sorted(map(str, now["keywords"])) == sorted(map(str, kept["keywords"] + came["keywords"]))
    event = other.audit.get(report.audit_seq)
    assert (event.event_type, event.entity_kind, event.actor, event.note) == ("store.import", "store", "carol", "moved house")
    assert event.details["store_id"] == source.store_id
    assert event.details["added"]["conversations"] == 3
    assert other.audit.head().seq == event.seq
    assert other.check().findings == []


def test_integer_keys_are_new_and_numbers_of_arrival_go_on(exported, other):
    last = other.query("SELECT max(arrival) AS n FROM messages")[0]["n"]
    known = {row["pk"] for row in other.query("SELECT pk FROM conversations")}
    other.import_(exported)
    came = other.query("SELECT messages.pk >> 32 AS owner, arrival, supplied FROM messages WHERE arrival > ?", [last])
    assert len(came) == 16 and {row["supplied"] for row in came} == {1}
    assert not known & {row["owner"] for row in came}
    assert other.chat.append("c1", "user", "next").id not in {row["owner"] for row in came}
    assert other.check().ok


def test_no_number_of_arrival_is_given_twice(source, other, tmp_path):
    source.chat.rename("c2", "the last thing that happened")
    source.export(tmp_path / "renamed")
    other.import_(tmp_path / "renamed")
    last = other.query("SELECT max(activity) AS n FROM conversations")[0]["n"]
    assert other.chat.conversations(limit=1)[0].id == "c2"
    stored = other.chat.append("c1", "user", "next")
    assert other.query("SELECT arrival FROM messages WHERE id = ?", [stored.id]) == [{"arrival": last + 1}]


def test_new_messages_of_a_known_conversation_keep_their_place_or_are_appended(source, exported, tmp_path):
    with open_store(tmp_path / "copy.db", clock=FakeClock()) as copy:
        copy.import_(exported)
        copy.chat.append("c1", "user", "theirs one", id="t1")
        copy.chat.append("c1", "user", "theirs two", id="t2")
        copy.backups.save("c1", "coder", "up to theirs two", id="b2")
        copy.export(tmp_path / "further")
    report = source.import_(tmp_path / "further", on_conflict="skip")
    assert (report.added["messages"], report.notes) == (2, [])
    assert [item.id for item in source.chat.messages("c1")][-2:] == ["t1", "t2"]
    assert source.backups.get("b2").position == source.chat.position("c1") == 9
    assert source.backups.is_valid("c1", "coder")
    with open_store(tmp_path / "third.db", clock=FakeClock()) as third:
        third.import_(exported)
        for number in range(3):
            third.chat.append("c1", "user", "ours", id=f"o{number}")
        report = third.import_(tmp_path / "further", on_conflict="skip")
        assert [item.id for item in third.chat.messages("c1")][-5:] == ["o0", "o1", "o2", "t1", "t2"]
        assert third.backups.get("b2").position is None
        assert any("conversation 'c1' could not keep their places, for this store has other messages" in note for note in report.notes)
        assert third.check().findings == []


def test_replace_takes_the_columns_of_the_export_and_what_goes_with_a_row(source, exported):
    wanted = answers(source)
    source.chat.rename("c1", "renamed here")
    source.chat.append("c1", "user", "only here", id="here")
    source.chat.append("c2", "user", "here too", id="too")
    source.corrections.update("k2", claim="kebab case", rejected="upper case")
    source.corrections.applied("k2")
    source.chat.alias("p1", "only-here")
    source.keywords.add("n1", "other words", kind="note")
    report = source.import_(exported, on_conflict="replace")
    assert report.replaced["conversations"] == 3
    now = answers(source)
    for id in ("here", "too"):
        message = source.chat.get_message(id)
        assert now["messages"][message.conversation_id].pop() == message.to_dict()
    assert now["projects"][0]["aliases"] == sorted([*wanted["projects"][0]["aliases"], "only-here"])
    for name in set(now) - {"backups", "hits", "projects"}:
        assert now[name] == wanted[name], name
    assert [hit.message.id for hit in source.chat.search("only here")] == ["here"]
    assert source.check().findings == []


def test_replacing_by_what_is_there_adds_nothing(source, exported):
    wanted = answers(source)
    report = source.import_(exported, on_conflict="replace")
    assert report.added == {}
    assert report.replaced["correction_rejections"] == 2 and report.replaced["correction_applications"] == 1
    assert answers(source) == wanted
    assert source.check().findings == []


def test_nothing_is_mixed_into_a_conversation_of_another_user(exported, tmp_path):
    with open_store(tmp_path / "eve.db", clock=FakeClock()) as store:
        store.chat.create_conversation(id="c1", user_id="eve")
        store.chat.append("c1", "user", "eve's own", id="own")
        store.chat.touch_session("s1", user_id="eve")
        with pytest.raises(Exists, match="'c1'.*belongs to another user here"):
            store.import_(exported, on_conflict="replace")
        report = store.import_(exported, on_conflict="skip")
        assert [item.id for item in store.chat.messages("c1")] == ["own"]
        assert [item.id for item in store.chat.conversations(user_id="bob")] == ["c2"]
        assert store.backups.find(limit=None) == [] and store.evals.runs() == [] and store.evals.assertions() == []
        assert "m1" not in [hit.item_id for hit in store.keywords.search("delta", limit=None)]
        assert report.skipped["messages"] == 7 and "messages" not in report.erased
        assert any("conversation 'c1' belongs to another user here" in note and "skipped" in note for note in report.notes)
        assert store.check().findings == []


def test_notes_name_the_first_of_many(tmp_path):
    with open_store(tmp_path / "ann.db") as ann, open_store(tmp_path / "eve.db") as eve:
        for number in range(5):
            ann.chat.create_conversation(id=f"c{number}", user_id="ann")
            eve.chat.create_conversation(id=f"c{number}", user_id="eve")
            ann.corrections.add(f"subject {number}", "claim", rejected="other", conversation_id=f"c{number}", user_id="ann")
        ann.export(tmp_path / "out")
        report = eve.import_(tmp_path / "out", on_conflict="skip")
        assert any("conversations 'c0', 'c1', 'c2' and 2 more belong to another user here" in note for note in report.notes)
        assert report.skipped["corrections"] == report.skipped["correction_rejections"] == 5
        assert eve.check().ok


def test_a_project_of_another_user_stays_that_one_s(exported, tmp_path):
    with open_store(tmp_path / "eve.db", clock=FakeClock()) as store:
        store.chat.create_project("Hermes", id="p1", user_id="eve")
        with pytest.raises(Exists, match="'p1'.*belongs to another user here"):
            store.import_(exported, on_conflict="replace")
        store.import_(exported, on_conflict="skip")
        assert store.chat.get_project("p1", user_id="eve").user_id == "eve"
        assert store.chat.get_conversation("c1").project_id is None
        assert len(store.chat.messages("c1", limit=None)) == 7


def test_a_message_of_which_the_words_were_replaced_is_found_by_the_new_ones(source, exported):
    rewrite(exported, "chat.messages.jsonl", lambda lines: [line.replace(b"amber question 3", b"zirconium") for line in lines])
    source.import_(exported, on_conflict="replace")
    assert [hit.message.id for hit in source.chat.search("zirconium")][-1] == "m3"
    assert "m3" not in [hit.message.id for hit in source.chat.search("amber")]
    assert source.keywords.check() == []


def test_a_correction_that_says_the_same_is_the_same(exported, other):
    other.corrections.add("Naming", "Snake  Case", id="mine")
    report = other.import_(exported, on_conflict="skip")
    assert report.skipped["corrections"] == 1
    assert [item.id for item in other.corrections.find() if item.subject.lower() == "naming"] == ["mine"]
    assert other.corrections.rejections("mine") == []
    other.import_(exported, on_conflict="replace")
    assert other.corrections.rejections("mine")[0] == "camel case"
    assert other.check().ok


def test_two_corrections_of_an_export_never_become_one(tmp_path):
    with open_store(tmp_path / "a.db") as source, open_store(tmp_path / "b.db") as store:
        source.corrections.add("tabs", "use spaces", id="k1")
        source.corrections.add("naming", "snake case", id="k2")
        source.corrections.supersede("k2", by="k1")
        source.corrections.applied("k1")
        store.corrections.add("tabs", "use spaces", id="k2")
        source.export(tmp_path / "out")
        before = rows_of(store)
        with pytest.raises(Exists, match="'k2' of corrections in the export says what another one says"):
            store.import_(tmp_path / "out", on_conflict="replace")
        assert rows_of(store) == before


def test_the_same_name_is_the_same_project(exported, other):
    other.chat.create_project("Apollo", id="mine", user_id="local")
    other.import_(exported, on_conflict="skip")
    assert other.chat.get_conversation("c1").project_id == "mine"
    assert [item.id for item in other.chat.projects()] == ["mine", "p1-b"]
    assert other.check().ok


def test_an_export_of_a_user_never_becomes_the_store(source, tmp_path):
    source.export(tmp_path / "ann", user_id="ann")
    with open_store(clock=FakeClock()) as store:
        before = store.store_id
        report = store.import_(tmp_path / "ann")
        assert (report.adopted, store.store_id, report.audit_seq) == (False, before, 1)
        assert any("excerpt" in note for note in report.notes)
        assert {item.user_id for item in store.chat.conversations(archived=True)} == {"ann"}
        assert [item.to_openai() for item in store.chat.messages("c1")] == [item.to_openai() for item in source.chat.messages("c1")]
        assert store.audit.get(1).user_id == "ann"
        assert "m2" not in [hit.message.id for hit in store.chat.search("amber")]
        assert store.check().findings == []


# -- logs of others -----------------------------------------------------------------------------------------------------


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


# -- what was erased ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["error", "skip", "replace"])
def test_what_was_erased_does_not_come_back(source, exported, other, mode):
    erase(other, ("user", "ann"), ("conversation", "c2"))
    report = other.import_(exported, on_conflict=mode)
    assert [item.id for item in other.chat.conversations(limit=None, archived=True)].count("c1") == 0
    assert {item.id for item in other.chat.conversations(limit=None)} == {"c1-b", "c2-b"} | {
        item.id for item in other.chat.conversations(user_id="ann-b")
    }
    assert report.erased["conversations"] == 3
    assert report.erased["correction_rejections"] and report.erased["correction_applications"] and report.erased["keyword_gone"]
    assert not {"correction_rejections", "correction_applications", "keyword_gone"} & report.skipped.keys()
    assert "messages" not in report.added
    assert [item.id for item in other.corrections.find(user_id=None) if not item.id.endswith("-b")] == ["k2"]
    assert any("erased" in note for note in report.notes)
    assert other.check().findings == []
    everything = json.dumps(rows_of(other), default=repr, ensure_ascii=False)
    assert '\\"ann\\"' not in everything and '"ann"' not in everything


def test_events_that_name_something_erased_come_without_it_and_still_verify(source, exported, other):
    erase(other, ("user", "ann"))
    report = other.import_(exported)
    named = [event.seq for event in source.audit.find(limit=None, ascending=True) if event.user_id == "ann"]
    with other.audit.db.read() as connection:
        emptied = redactions(connection)[source.store_id]
    assert named and set(named) <= set(emptied) and set(emptied.values()) == {report.audit_seq}
    assert other.audit.verify(store_id=source.store_id, anchors=[source.audit.head()]).findings == []
    assert other.query("SELECT count(*) AS n FROM audit_imported WHERE refs LIKE '%\"ann\"%' OR payload LIKE '%\"ann\"%'") == [{"n": 0}]
    other.audit.prune(other.audit.head().seq + 1, reason="old")
    assert other.audit.verify(store_id=source.store_id).ok, "a prune of our log keeps what it says of theirs"


def test_single_messages_and_the_names_of_what_was_erased(source, exported, other):
    erase(other, ("message", "m3"), ("project", "p1"))
    other.import_(exported)
    assert "m3" not in [item.id for item in other.chat.messages("c1", limit=None)]
    assert other.chat.get_conversation("c1").project_id is None
    assert {item.forked_at for item in other.chat.conversations(user_id="ann")} == {None}
    assert "p1" not in [item.id for item in other.chat.projects()]
    assert other.check().ok


def test_what_an_export_knows_to_be_erased_is_remembered(source, exported, other, tmp_path):
    erase(source, ("user", "zoe"))
    source.export(tmp_path / "knowing")
    other.import_(tmp_path / "knowing")
    with open_store(tmp_path / "zoe.db", clock=FakeClock()) as third:
        third.chat.create_conversation(id="z1", user_id="zoe")
        third.export(tmp_path / "zoe")
    assert other.import_(tmp_path / "zoe").erased == {"conversations": 1}


# -- damage -------------------------------------------------------------------------------------------------------------


def refused(store, folder, error=Corrupt, match=None):
    before = rows_of(store)
    with pytest.raises(error, match=match) as caught:
        store.import_(folder, on_conflict="skip")
    assert rows_of(store) == before
    return str(caught.value)


def test_no_changed_byte_is_taken_in(exported, other, rng):
    for name, data in bytes_of(exported).items():
        for _ in range(3):
            at = rng.randrange(len(data))
            (exported / name).write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
            assert name in refused(other, exported, (Corrupt, SchemaTooNew)) or name == "manifest.json"
            (exported / name).write_bytes(data)
    other.import_(exported)


def test_no_file_may_be_cut_missing_or_more(exported, other):
    for name, data in bytes_of(exported).items():
        (exported / name).write_bytes(data[: len(data) // 2])
        refused(other, exported, match=name)
        (exported / name).unlink()
        refused(other, exported, match=f"{name} is missing")
        (exported / name).write_bytes(data)
    (exported / "chat.more.jsonl").write_text("{}\n")
    refused(other, exported, match="chat.more.jsonl")


def test_swapped_doubled_and_senseless_lines_are_named_even_where_the_manifest_agrees(exported, other, tmp_path):
    changes = {
        "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
        "doubled": lambda lines: [lines[0], lines[0], *lines[1:]],
        "not JSON": lambda lines: [lines[0], b"nonsense\n", *lines[1:]],
        "a list": lambda lines: [lines[0], b"[]\n", *lines[1:]],
        "a column more": lambda lines: [lines[0], lines[1].replace(b'{"activity"', b'{"absurd":1,"activity"'), *lines[2:]],
        "a column less": lambda lines: [lines[0], lines[1].replace(b'"title":"s\xc3\xa9cond",', b""), *lines[2:]],
        "of another type": lambda lines: [lines[0], lines[1].replace(b'"title":"s\xc3\xa9cond"', b'"title":7'), *lines[2:]],
        "true": lambda lines: [lines[0], lines[1].replace(b'"last_seq":6', b'"last_seq":true'), *lines[2:]],
        "too large": lambda lines: [lines[0], lines[1].replace(b'"last_seq":6', b'"last_seq":9223372036854775808'), *lines[2:]],
        "infinite": lambda lines: [lines[0], lines[1].replace(b'"updated_at":1', b'"updated_at":1e999,"x":1'), *lines[2:]],
        "no text": lambda lines: [lines[0], lines[1].replace(b"s\xc3\xa9cond", b"\xff"), *lines[2:]],
        "half a character": lambda lines: [lines[0], lines[1].replace(b"s\xc3\xa9cond", b"\\ud800"), *lines[2:]],
        "twice a column": lambda lines: [lines[0], lines[1].replace(b'"user_id":"bob"', b'"user_id":"bob","user_id":"eve"'), *lines[2:]],
    }
    for what, change in changes.items():
        folder = tmp_path / what
        shutil.copytree(exported, folder)
        rewrite(folder, "chat.conversations.jsonl", change)
        assert bytes_of(folder)["chat.conversations.jsonl"] != bytes_of(exported)["chat.conversations.jsonl"], what
        refused(other, folder, match=r"chat.conversations.jsonl, line 2")
        with open_store() as empty:
            refused(empty, folder, match=r"line 2")


def test_a_row_that_its_table_would_not_take_is_damage_too(exported, other):
    sure = b'"confidence":0.9', b'"confidence":7.5'
    rewrite(exported, "corrections.corrections.jsonl", lambda lines: [line.replace(*sure) for line in lines])
    refused(other, exported, match="corrections.*rules")
    with open_store() as empty:
        refused(empty, exported, match="corrections.*rules")


@pytest.mark.damage
def test_a_log_that_is_no_log_comes_in_and_is_found_out(exported, other):
    rewrite(exported, "audit.audit_log.jsonl", lambda lines: [line.replace(b'\\"event_type\\"', b'\\"event') for line in lines])
    with open_store() as store:
        report = store.import_(exported)
        assert not store.audit.verify().ok
        assert any("the log of the export does not verify" in note for note in report.notes)
    assert any("does not verify" in note for note in other.import_(exported).notes)


def test_rows_that_contradict_each_other_are_refused_whole(exported, other):
    rewrite(exported, "chat.messages.jsonl", lambda lines: [line.replace(b'"id":"m3"', b'"id":"m2"') for line in lines])
    with open_store() as empty:
        refused(empty, exported, match="two rows with one identity")
    rewrite(exported, "chat.conversations.jsonl", lambda lines: lines[1:])
    refused(other, exported, match="in no conversation")


@pytest.mark.parametrize("key", ["store_id", "memstore", "format", "rooms", "sha256"])
def test_a_manifest_that_was_edited_or_lacks_something_is_refused(exported, other, key):
    manifest = json.loads((exported / "manifest.json").read_text())
    (exported / "manifest.json").write_text(json.dumps({**manifest, key: "f" * 32}))
    refused(other, exported, (Corrupt, SchemaTooNew))
    del manifest[key]
    (exported / "manifest.json").write_text(signed(manifest) if key != "sha256" else json.dumps(manifest))
    refused(other, exported, match="manifest.json")


def test_a_manifest_of_other_types_is_damage(exported, tmp_path):
    entry = {"file": "audit.excerpt.jsonl", "rows": 1, "sha256": "0" * 64}
    changes = [
        *[{"store_id": id} for id in (0, None, "", "x" * 32, "a\nb")],
        *[{"user_id": id} for id in (5, None, "", " ", ["a"])],
        *[{"user_id": "ann", "excerpt": {**entry, **change}} for change in ({"file": "../live.db"}, {"file": 7}, {"file": "a\0b"})],
        *[{"memstore": 1}, {"format": True}, {"format": "1"}, {"excerpt": entry}],
        *[{"rooms": {"chat": {"schema": version, "tables": {}}}} for version in (0, True, "1", None, 1.5, [])],
    ]
    said = json.loads((exported / "manifest.json").read_text())
    for change in changes:
        (exported / "manifest.json").write_text(signed({**said, **change}))
        with open_store() as store:
            refused(store, exported, match="manifest.json")
    for change in ({"rows": 0}, {"rows": True}, {"sha256": "0"}, {"file": "evals.messages.jsonl"}):
        rooms = json.loads(json.dumps(said["rooms"]))
        rooms["chat"]["tables"]["messages"].update(change)
        (exported / "manifest.json").write_text(signed({**said, "rooms": rooms}))
        with open_store() as store:
            refused(store, exported, match="manifest.json")
    rooms = json.loads(json.dumps(said["rooms"]))
    rooms["evals"]["tables"]["messages"] = rooms["chat"]["tables"].pop("messages")
    for twice in (rooms, {**rooms, "chat": said["rooms"]["chat"]}):
        (exported / "manifest.json").write_text(signed({**said, "rooms": twice}))
        with open_store() as store:
            refused(store, exported, match="manifest.json")
    (exported / "manifest.json").write_text(signed({**said, "store_id": "0" * 32}))
    with open_store() as store:
        refused(store, exported, match="its manifest of 00000")


@pytest.mark.parametrize("column", ["arrival", "pk"])
@pytest.mark.parametrize("number", [-5, 0, 2**62, 2**63 - 1])
def test_messages_that_are_nowhere_are_refused(exported, other, column, number):
    def moved(lines):
        row = json.loads(lines[-1])
        return [*lines[:-1], json.dumps({**row, column: number}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"]

    rewrite(exported, "chat.messages.jsonl", moved)
    with open_store() as store:
        refused(store, exported)
    refused(other, exported)


@pytest.mark.parametrize("change", [{"last_seq": 1}, {"last_seq": -5}, {"activity": 2**62}, {"pk": 2**40}])
def test_conversations_that_contradict_their_messages_are_refused(exported, change):
    def edited(lines):
        rows = [{**json.loads(line), **(change if number == len(lines) - 1 else {})} for number, line in enumerate(lines)]
        return [json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows]

    rewrite(exported, "chat.conversations.jsonl", edited)
    with open_store() as store:
        refused(store, exported)


@pytest.mark.parametrize(("name", "column"), [("audit.audit_log", "seq"), ("backups.token_counters", "thread_number")])
def test_numbers_after_which_there_is_no_other_are_refused(exported, other, name, column):
    def last(lines):
        row = {**json.loads(lines[-1]), column: 2**63 - 1}
        return [*lines[:-1], json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"]

    rewrite(exported, f"{name}.jsonl", last)
    refused(other, exported, match=column)


def test_a_handle_that_waited_while_another_one_became_the_exported_store_takes_no_log_for_a_foreign_one(exported, tmp_path):
    with open_store(tmp_path / "new.db") as store, open_store(tmp_path / "new.db") as beside:
        assert beside.audit.head().seq == 0
        store.import_(exported)
        report = beside.import_(exported, on_conflict="skip")
        assert (report.added, report.audit_seq) == ({}, None)
        assert beside.query("SELECT * FROM audit_histories") == []


def test_a_newer_export_is_said_to_be_newer(exported, other):
    manifest = json.loads((exported / "manifest.json").read_text())
    for change in ({"format": 2}, {"rooms": {**manifest["rooms"], "dreams": {"schema": 1, "tables": {}}}}):
        (exported / "manifest.json").write_text(signed({**manifest, **change}))
        refused(other, exported, SchemaTooNew, match="upgrade memstore")
    manifest["rooms"]["chat"]["schema"] += 1
    (exported / "manifest.json").write_text(signed(manifest))
    refused(other, exported, SchemaTooNew, match="chat")


def test_an_older_export_lacks_columns_and_gets_their_defaults(exported, tmp_path, monkeypatch):
    newer = dataclasses.replace(CORRECTIONS, version=CORRECTIONS.version + 1)
    monkeypatch.setattr(into, "schema_of", lambda room: newer if room == "corrections" else schema_of(room))

    def older(lines):
        rows = [{name: value for name, value in json.loads(line).items() if name != "why"} for line in lines]
        return [json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows]

    rewrite(exported, "corrections.corrections.jsonl", older)
    with open_store() as store:
        store.import_(exported)
        assert store.corrections.get("k1").why == ""
        assert store.check().ok


def test_a_link_or_a_folder_in_the_place_of_a_file_is_not_followed(source, exported, other):
    place = exported / "chat.messages.jsonl"
    place.rename(exported.parent / "elsewhere")
    place.symlink_to(exported.parent / "elsewhere")
    refused(other, exported, match="no regular file")
    place.unlink()
    place.mkdir()
    refused(other, exported, match="no regular file")


def test_a_link_to_the_store_s_own_file_is_never_opened(exported, other):
    place = exported / "chat.messages.jsonl"
    for side in ("", "-wal", "-shm"):
        place.unlink()
        os.link(f"{other.path}{side}", place)
        with pytest.raises(Corrupt, match="a file of this store itself"):
            other.import_(exported)


def test_files_that_change_between_the_two_readings_undo_the_import(exported, other):
    place = exported / "chat.messages.jsonl"
    data = place.read_bytes()

    def meddle(done, total):
        if done > total // 2:
            place.write_bytes(data.replace(b"amber", b"umber"))

    before = rows_of(other)
    with pytest.raises(Corrupt, match="messages"):
        other.import_(exported, progress=meddle)
    assert rows_of(other) == before


def test_what_is_no_export_and_where_it_cannot_go(exported, other, tmp_path):
    with pytest.raises(Invalid, match="no folder"):
        other.import_(tmp_path / "nowhere")
    with pytest.raises(Corrupt, match="no whole export"):
        (tmp_path / "empty").mkdir()
        other.import_(tmp_path / "empty")
    with pytest.raises(Invalid, match="on_conflict"):
        other.import_(exported, on_conflict="merge")
    with other.transaction(), pytest.raises(Invalid, match=r"transaction\(\)"):
        other.import_(exported)
    with open_store(other.path, read_only=True) as reader, pytest.raises(ReadOnly):
        reader.import_(exported)


def test_progress_ends_with_all_and_pages_are_small(exported, other, monkeypatch):
    monkeypatch.setattr(folders, "PAGE_ROWS", 2)
    told = []
    other.import_(exported, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] and told == sorted(told)
    assert other.check().ok
