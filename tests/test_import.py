"""Imports: an empty store becomes the exported one, a store with a history takes in what it does not have and nothing erased."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import exports
import pytest
from exports import answers, bytes_of, rewrite, rows_of

from memstore import Exists, ImportReport, Invalid, open_store
from memstore.audit.erased import own_salt, remember
from memstore.audit.histories import redactions
from memstore.corrections import SCHEMA as CORRECTIONS
from memstore.testing import FakeClock
from memstore.transfer import folder as folders
from memstore.transfer import into
from memstore.transfer.out import schema_of

source, exported, other = exports.source, exports.exported, exports.other


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


def test_progress_ends_with_all_and_pages_are_small(exported, other, monkeypatch):
    monkeypatch.setattr(folders, "PAGE_ROWS", 2)
    told = []
    other.import_(exported, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] and told == sorted(told)
    assert other.check().ok


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
