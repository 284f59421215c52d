"""AUA's state file on its way in: every column of every row arrives, or the report says which did not and why."""

from __future__ import annotations

import json
import sqlite3

import pytest
from aua_files import CORE, KEYS, ONE_OF_EACH, ROWS, TABLES, insert, later_file, make, with_change

from memstore import Exists, Invalid, NotFound, open_store
from memstore.imports import import_aua


@pytest.fixture
def store(store_clock):
    """In memory: what a file adds is tried where it matters."""
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def aua(tmp_path):
    return make(tmp_path / "aua.db", ROWS)


@pytest.fixture
def take(tmp_path, store):
    """Import rows into the store and return the report."""
    numbers = iter(range(100))

    def import_rows(rows, **options):
        return import_aua(store, make(tmp_path / f"aua{next(numbers)}.db", rows, **options))

    return import_rows


def table_of(report, name):
    return next(table for table in report.tables if table.table == name)


def everything(store):
    """All rows of all tables that are not kernel's."""
    names = [row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    kept = [name for name in names if name not in ("maintenance", "meta") and not name.startswith("sqlite_")]
    return {name: sorted(store.query(f"SELECT * FROM {name}"), key=repr) for name in kept}


def records(store):
    """What came in, by table and id."""
    return {
        "projects": {item.id: item for item in store.chat.projects()},
        "conversations": {item.id: item for item in store.chat.conversations(limit=None, archived=True)},
        "messages": {item.id: item for talk in store.chat.conversations() for item in store.chat.messages(talk.id, limit=None)},
        "sessions": {item.id: item for item in store.chat.sessions(limit=None)},
        "corrections": {item.id: item for item in store.corrections.find(include_superseded=True)},
        "promotions": {item.id: item for item in store.evals.promotions()},
        "assertion_events": {item.id: item for item in store.evals.assertions()},
        "model_runs": {item.id: item for item in store.evals.runs()},
        "token_counters": {item.id: item for item in [store.backups.counter("c1", "swe")] if item},
        "context_backups": {item.id: item for item in store.backups.find(limit=None)},
        "audit_log": {item.id: item for item in store.audit.find(stream="aua", limit=None)},
    }


# -- what comes in ------------------------------------------------------------------------------------------------------

#: What a NULL becomes where our column has none, and where AUA's value is not ours to keep.
INSTEAD = {
    ("conversations", "user_id"): "local", ("conversations", "title"): "", ("messages", "models_used"): [],
    ("model_runs", "corrections_applied"): [],
}  # fmt: skip
JSON = ("metadata", "models_used", "corrections_applied", "details")


def test_every_column_of_every_row_is_an_attribute_under_its_own_name(store, aua):
    report = import_aua(store, aua)
    assert report.ok
    found = records(store)
    for table, rows in ROWS.items():
        if table == "message_keywords":
            continue
        assert set(found[table]) == {row[KEYS[table]] for row in rows}
        for row in rows:
            item = found[table][row[KEYS[table]]]
            for column, value in row.items():
                if table == "audit_log" and column in ("created_at", "prev_hash", "curr_hash", "details"):
                    continue
                if column == "effective_confidence":
                    continue
                expected = INSTEAD.get((table, column)) if value is None else json.loads(value) if column in JSON else value
                assert getattr(item, column) == expected, (table, column)


def test_the_report_counts_every_row_of_every_table(store, aua):
    report = import_aua(store, aua)
    assert {table.table: table.new for table in report.tables} == {
        table: len(rows) for table, rows in ROWS.items() if table != "message_keywords"
    }
    assert all(table.rows == table.new + table.known + table.refused for table in report.tables)
    assert (report.ok, report.refused, report.path) == (True, [], str(aua))
    assert report.new == sum(table.new for table in report.tables)
    assert [note for note in report.notes if "message_keywords" in note] == [
        "message_keywords: derived and not taken, the index is made of the messages (rows: 1)"
    ]
    assert json.loads(json.dumps(report.to_dict()))["tables"][0]["new"] == 1


def test_what_came_in_can_be_searched_listed_and_used(store, aua):
    import_aua(store, aua)
    assert [message.id for message in store.chat.messages("c1")] == ["m1", "m2", "m3"]
    assert [hit.message.id for hit in store.chat.search("数える")] == ["m1"]
    assert [item.id for item in store.chat.conversations()] == ["c1", "c0"]
    assert store.chat.get_project("Straße", user_id="ana").id == "p1"
    assert [hit.correction.id for hit in store.corrections.relevant("rounding", min_effective=0)] == ["k1", "k2"]
    assert store.evals.active_model("swe") == "m1"
    assert store.check().ok


def test_one_event_says_that_there_was_an_import(store, aua):
    import_aua(store, aua)
    own = [event for event in store.audit.find(limit=None) if event.stream != "aua"]
    assert [event.event_type for event in own] == ["store.import"]
    assert own[0].details["tables"]["messages"] == {"new": 3, "known": 0, "refused": 0}
    assert own[0].details["from"] == "aua"
    assert own[0].seq == store.audit.head().seq


def test_a_second_run_changes_nothing_and_says_so(file_store, aua, store_clock):
    store = file_store
    first = import_aua(store, aua)
    before = everything(store)
    store_clock.advance(1000)
    again = import_aua(store, aua)
    assert (again.ok, again.new) == (True, 0)
    assert {table.table: table.known for table in again.tables} == {table.table: table.rows for table in first.tables}
    assert everything(store) == before


def test_a_second_run_takes_what_came_since(store, aua, store_clock):
    import_aua(store, aua)
    raw = sqlite3.connect(aua, isolation_level=None)
    insert(raw, "messages", {**ROWS["messages"][0], "message_id": "m4"})
    insert(raw, "audit_log", {**ROWS["audit_log"][0], "id": "e2"})
    raw.close()
    store_clock.advance(5)
    report = import_aua(store, aua)
    assert {table.table: table.new for table in report.tables if table.new} == {"messages": 1, "audit_log": 1}
    assert [message.id for message in store.chat.messages("c1")][-1] == "m4"
    assert store.chat.get_conversation("c1").updated_at == store_clock.now


def test_what_was_changed_here_since_stays_changed(store, aua):
    import_aua(store, aua)
    store.corrections.update("k1", claim="round half to even")
    store.chat.rename("c1", "Renamed")
    store.corrections.supersede("k2")
    assert import_aua(store, aua).new == 0
    assert store.corrections.get("k1").claim == "round half to even"
    assert store.chat.get_conversation("c1").title == "Renamed"


def test_many_rows_keep_their_order_over_pages(store, take):
    count = 1203
    rows = {
        "conversations": [{"conversation_id": f"c{number}", "created_at": 1, "updated_at": 2} for number in range(2)],
        "messages": [
            {"message_id": f"m{number}", "conversation_id": f"c{number % 2}", "role": "user", "content": f"w{number}", "created_at": 5}
            for number in range(count)
        ],
        "audit_log": [{"id": f"e{number}", "created_at": -number, "event_type": "query"} for number in range(count)],
    }
    report = take(rows)
    assert (report.ok, report.new) == (True, 2 * count + 2)
    assert [item.id for item in store.chat.messages("c1", limit=None)] == [f"m{number}" for number in range(1, count, 2)]
    events = store.audit.find(stream="aua", ascending=True, limit=None)
    assert [event.id for event in events] == [f"e{number}" for number in range(count)]
    assert store.chat.get_conversation("c0").updated_at == 2
    assert store.audit.verify().ok


# -- files of other versions --------------------------------------------------------------------------------------------


def test_a_file_from_before_the_chat_tables_comes_in(store, take):
    report = take(ROWS, tables={name: TABLES[name] for name in CORE})
    assert report.ok
    assert {table.table for table in report.tables} == set(CORE)
    assert len(store.audit.find(stream="aua")) == 2
    assert store.check().ok


def test_rooms_that_get_nothing_are_not_made(tmp_path):
    path = make(tmp_path / "aua.db", {"promotions": ROWS["promotions"]})
    with open_store(":memory:") as store:
        import_aua(store, path)
        assert set(store.stats().rooms) == {"evals", "audit"}


def test_columns_that_an_older_version_lacks_are_not_missed(store, take, store_clock):
    narrow = {
        "promotions": "id TEXT PRIMARY KEY, specialist TEXT, event TEXT, from_model TEXT, to_model TEXT",
        "corrections": "id TEXT PRIMARY KEY, subject TEXT, domain TEXT, claim TEXT",
        "sessions": "id TEXT PRIMARY KEY",
        "audit_log": "id TEXT PRIMARY KEY, event_type TEXT",
        "assertion_events": "id TEXT PRIMARY KEY, assertion_name TEXT, level TEXT, passed INTEGER",
        "conversations": "conversation_id TEXT PRIMARY KEY",
        "messages": "message_id TEXT PRIMARY KEY, conversation_id TEXT, role TEXT, content TEXT",
        "model_runs": "run_id TEXT PRIMARY KEY, conversation_id TEXT, specialist TEXT",
        "token_counters": "counter_id TEXT PRIMARY KEY, conversation_id TEXT, specialist TEXT",
        "context_backups": "backup_id TEXT PRIMARY KEY, conversation_id TEXT, specialist TEXT, backup_text TEXT",
        "projects": "project_id TEXT PRIMARY KEY, name TEXT",
    }
    rows = {
        table: [{name: value for name, value in ROWS[table][0].items() if name in columns}] for table, columns in narrow.items()
    }
    report = take(rows, tables=narrow)
    assert (report.ok, report.new) == (True, len(narrow))
    assert store.corrections.get("k1").created_at == store_clock.now
    assert "messages: without created_at, got the time of the import (rows: 1)" in report.notes
    assert not [note for note in report.notes if note.startswith("audit_log")], "an event has the time of the chain anyway"


def test_columns_that_a_later_version_has_are_kept_or_counted(store, take):
    rows, tables = later_file()
    report = take(rows, tables=tables)
    assert report.ok
    found = {table: next(iter(items.values())) for table, items in records(store).items()}
    assert (found["corrections"].scope, found["corrections"].user_id) == ("project", "ana")
    assert found["corrections"].metadata == {"trace_id": "x", "aua": {"tenant_id": "t1"}}
    assert found["promotions"].metadata == {"score": 0.5, "aua": {"tenant_id": "t1"}}
    assert found["conversations"].metadata == {"aua": {"tenant_id": "t1", "deleted": 0}}
    assert (found["messages"].name, found["messages"].metadata) == ("tool-1", {"aua": {"tenant_id": "t1"}})
    assert found["sessions"].metadata["aua"] == {"tenant_id": "t1"}
    assert found["context_backups"].metadata == {"aua": {"tenant_id": "t1"}}
    assert found["token_counters"].last_backup_at == 59.5
    event = found["audit_log"]
    assert event.user_id == "ana"
    assert event.details["aua"] == {
        "request_id": "q1", "routing_mode": "single", "tenant_id": "t1",
        "created_at": 70.5, "prev_hash": "genesis", "curr_hash": "ab" * 32,
    }  # fmt: skip
    left_out = {table.table: table.left_out for table in report.tables if table.left_out}
    assert left_out == {"token_counters": {"user_id": 1}, "model_runs": {"raw_response": 1}, "assertion_events": {"message": 1}}


def test_tables_that_are_none_of_the_twelve_are_named(take):
    report = take(
        ONE_OF_EACH, more=["CREATE TABLE app_meta(key, value)", "INSERT INTO app_meta VALUES (1, 2), (3, 4)", "CREATE TABLE idle(x)"]
    )
    assert "app_meta: has no home here and was left out (rows: 2)" in report.notes
    assert not [note for note in report.notes if "idle" in note]


def test_metadata_that_is_no_object_or_in_the_way_is_kept_whole(store, take):
    sessions = [
        {"id": "list", "metadata": "[1, 2]"}, {"id": "taken", "metadata": '{"aua": 1}'}, {"id": "null", "metadata": "null"},
        {"id": "empty", "metadata": "{}"}, {"id": "zero", "metadata": "0"},
    ]  # fmt: skip
    assert take({"sessions": [{**item, "created_at": 1, "updated_at": 1} for item in sessions]}).ok
    assert {item.id: item.metadata for item in store.chat.sessions()} == {
        "list": {"aua": {"metadata": [1, 2]}}, "taken": {"aua": {"metadata": {"aua": 1}}}, "null": None,
        "empty": {}, "zero": {"aua": {"metadata": 0}},
    }  # fmt: skip


# -- rows that cannot be taken ------------------------------------------------------------------------------------------

BAD = [
    ("projects", {"name": None}, "name is missing"),
    ("projects", {"created_at": "2026-01-02T03:04:05Z"}, "created_at must be Unix seconds"),
    ("conversations", {"updated_at": "2026-01-02 03:04:05"}, "updated_at must be Unix seconds"),
    ("conversations", {"user_id": ""}, "user_id is blank"),
    ("messages", {"role": "robot"}, "role 'robot' is none of"),
    ("messages", {"role": None}, "role is missing"),
    ("messages", {"conversation_id": "c9"}, "its conversation 'c9' is not in the store"),
    ("messages", {"conversation_id": None}, "conversation_id is missing"),
    ("messages", {"conversation_id": b"\xff"}, "conversation_id must be str"),
    ("messages", {"models_used": "swe, ops"}, "models_used 'swe, ops' is not JSON"),
    ("messages", {"models_used": '{"swe": 1}'}, "not a JSON list"),
    ("messages", {"models_used": "[1]"}, "models_used[0] must be str"),
    ("messages", {"accuracy_level": "turbo"}, "accuracy_level 'turbo' is none of"),
    ("messages", {"confidence": "Low"}, "confidence 'Low' is none of"),
    ("messages", {"callout_type": "Two Words"}, "callout_type"),
    ("messages", {"content": b"\x00\xff"}, "bytes"),
    ("messages", {"created_at": "today"}, "created_at must be"),
    ("sessions", {"metadata": "{broken"}, "metadata '{broken' is not JSON"),
    ("sessions", {"metadata": '{"x": NaN}'}, "metadata.x is nan"),
    ("sessions", {"metadata": "[" * 100_000}, "is not JSON"),
    ("sessions", {"query_count": -1}, "query_count is -1"),
    ("sessions", {"query_count": "many"}, "query_count must be an int"),
    ("corrections", {"claim": " "}, "claim is blank"),
    ("corrections", {"subject": None}, "subject is missing"),
    ("corrections", {"confidence": 1.5}, "confidence is 1.5"),
    ("corrections", {"confidence": float("inf")}, "confidence is inf"),
    ("corrections", {"decay_class": "E"}, "decay_class 'E' is none of"),
    ("corrections", {"metadata": b"{}"}, "metadata must be str"),
    ("promotions", {"event": "demote"}, "event 'demote' is none of"),
    ("promotions", {"specialist": None}, "specialist is missing"),
    ("promotions", {"reverted": 2}, "reverted must be"),
    ("assertion_events", {"level": "fatal"}, "level 'fatal' is none of"),
    ("assertion_events", {"passed": None}, "passed is missing"),
    ("assertion_events", {"latency_ms": -1.0}, "latency_ms is -1.0"),
    ("model_runs", {"round": "final"}, "round 'final' is none of"),
    ("model_runs", {"conversation_id": None}, "conversation_id is missing"),
    ("model_runs", {"corrections_applied": "nope"}, "corrections_applied 'nope' is not JSON"),
    ("token_counters", {"message_count": -3}, "message_count is -3"),
    ("token_counters", {"specialist": None}, "specialist is missing"),
    ("context_backups", {"trigger": "mood"}, "trigger 'mood' is none of"),
    ("context_backups", {"backup_text": ""}, "note is blank"),
    ("context_backups", {"created_at": "later"}, "must be Unix seconds"),
    ("audit_log", {"u_score": "high"}, "u_score must be a number"),
    ("audit_log", {"details": '{"x": Infinity}'}, "inf"),
    ("audit_log", {"session_id": "a\0b"}, "NUL"),
    ("audit_log", {"curr_hash": b"\x01"}, "bytes"),
]


@pytest.mark.parametrize(("table", "change", "reason"), BAD, ids=[f"{table}-{next(iter(change))}" for table, change, _ in BAD])
def test_a_bad_row_is_named_with_its_reason_and_the_others_come_in(store, take, table, change, reason):
    good = {**ROWS[table][0], KEYS[table]: "good"}
    if table == "projects":
        good["name"] = "another"
    if table == "corrections":
        good["claim"] = "another"
    if table == "token_counters":
        good["specialist"] = "ops"
    report = take({**ONE_OF_EACH, table: [{**ROWS[table][0], KEYS[table]: "bad", **change}, good]})
    own = [row for row in report.refused if row.table == table]
    assert [(row.id, reason in row.reason) for row in own] == [("bad", True)], own
    assert (table_of(report, table).new, table_of(report, table).refused) == (1, 1)
    assert not report.ok
    assert store.check().ok


def test_a_row_without_an_id_is_named_by_its_place(store, take):
    rows = [{**ROWS["sessions"][0], "id": id} for id in ("a", None, "", "b", b"\xff", "x\0y")]
    report = take({"sessions": rows})
    assert [row.id for row in report.refused] == ["row 2", "row 3", "row 5", "row 6"]
    assert "id is blank" in report.refused[1].reason
    assert sorted(item.id for item in store.chat.sessions()) == ["a", "b"]


def test_text_that_is_no_utf8_is_refused_and_stops_nothing(store, take):
    report = take(ONE_OF_EACH, more=["UPDATE sessions SET domain = CAST(x'61ff' AS TEXT)"])
    assert [(row.table, row.id) for row in report.refused] == [("sessions", "s1")]
    assert "surrogate" in report.refused[0].reason
    assert store.chat.get_message("m1").content == "何を\0数える"


def test_a_table_without_the_column_of_its_ids_is_refused_row_by_row(store, take):
    report = take({"promotions": ROWS["promotions"], "sessions": [{"token": "t"}]}, tables={**TABLES, "sessions": "token TEXT"})
    assert [(row.table, row.id) for row in report.refused] == [("sessions", "row 1")]
    assert store.evals.active_model("swe") == "m1"


def test_messages_of_a_refused_conversation_are_refused_too(store, take):
    report = take(with_change("conversations", created_at="yesterday"))
    assert [(row.table, row.id) for row in report.refused] == [("conversations", "c1"), ("messages", "m1")]
    assert store.chat.conversations() == []
    assert store.backups.find()[0].position is None


def test_a_second_run_names_the_bad_rows_again_and_writes_nothing(store, take):
    rows = with_change("sessions", metadata="{broken")
    take(rows)
    before = everything(store)
    again = take(rows)
    assert (again.new, [row.id for row in again.refused]) == (0, ["s1"])
    assert everything(store) == before


# -- chat ---------------------------------------------------------------------------------------------------------------


def test_an_active_project_here_does_not_swallow_conversations(store, take):
    store.chat.create_project("mine")
    store.chat.activate("mine")
    take({"conversations": [{"conversation_id": "c1", "user_id": "local", "created_at": 1, "updated_at": 1}]})
    assert store.chat.get_conversation("c1").project_id is None


def test_a_project_of_a_name_that_is_taken_is_refused_and_its_conversations_keep_its_id(store, take):
    store.chat.create_project("Straße", user_id="ana")
    report = take(ONE_OF_EACH)
    assert [(row.table, row.id) for row in report.refused] == [("projects", "p1")]
    assert "means the project 'Straße'" in report.refused[0].reason
    assert store.chat.get_conversation("c1").project_id == "p1"


def test_an_empty_project_id_means_none_and_is_remembered(store, take):
    assert take(with_change("conversations", project_id="")).ok
    found = store.chat.get_conversation("c1")
    assert (found.project_id, found.metadata) == (None, {"aua": {"project_id": ""}})


def test_a_message_without_content_comes_in_as_one(store, take):
    assert take(with_change("messages", role="assistant", content=None)).ok
    assert store.chat.get_message("m1").to_openai() == {"role": "assistant", "content": None}


def test_one_bad_message_among_many_costs_only_itself(store, take):
    messages = [{**ROWS["messages"][0], "message_id": f"m{n}", "role": "robot" if n == 3 else "user"} for n in range(6)]
    report = take({**ONE_OF_EACH, "messages": messages})
    assert [row.id for row in report.refused] == ["m3"]
    assert [item.id for item in store.chat.messages("c1")] == ["m0", "m1", "m2", "m4", "m5"]
    assert store.chat.get_conversation("c1").updated_at == 400.125


# -- corrections --------------------------------------------------------------------------------------------------------


def correction(id, **changes):
    return {**ROWS["corrections"][1], "id": id, "confidence": 0.5, "effective_confidence": 0.5, **changes}


def test_a_superseded_correction_stays_hidden(store, take, store_clock):
    wide = {**TABLES, "corrections": TABLES["corrections"] + ", scope TEXT"}
    report = take({"corrections": [correction("k1", scope="superseded", rejected="no"), correction("k2", scope="global")]}, tables=wide)
    assert [item.id for item in store.corrections.find()] == ["k2"]
    hidden = store.corrections.get("k1")
    assert (hidden.scope, hidden.superseded_at, hidden.superseded_by) == ("superseded", store_clock.now, None)
    assert store.corrections.relevant("rounding truncate", min_effective=0)[0].correction.id == "k2"
    assert [note for note in report.notes if "superseded" in note] == [
        "corrections: superseded nobody knows when, counts as superseded at the import (rows: 1)"
    ]


def test_corrections_that_say_the_same_are_all_kept_and_one_is_live(store, take):
    twins = [
        correction("k1", metadata='{"n": 1}', source="manual"),
        correction("k2", claim=" TRUNCATE ", rejected="round", confidence=0.75, effective_confidence=0.75, created_at=90.0,
                   metadata='{"n": 2}'),
        correction("k3", rejected="floor", confidence=0.25),
    ]  # fmt: skip
    report = take({"corrections": twins})
    assert (report.ok, report.new) == (True, 3)
    live = store.corrections.get("k1")
    assert [item.id for item in store.corrections.find()] == ["k1"]
    assert (live.confidence, live.confirmed_at, live.metadata, live.source, live.created_at) == (0.75, 90.0, {"n": 1}, "manual", 21.5)
    assert store.corrections.rejections("k1") == ["round", "floor"]
    second = store.corrections.get("k2")
    assert (second.superseded_by, second.claim, second.rejected, second.metadata) == ("k1", " TRUNCATE ", "round", {"n": 2})
    assert [note for note in report.notes if note.startswith("corrections: says what another one says") and "(rows: 2)" in note]
    before = everything(store)
    assert take({"corrections": twins}).new == 0
    assert everything(store) == before
    assert store.check().ok


def test_claims_that_another_correction_rejects_come_in_all_the_same(store, take):
    store.corrections.add("rounding", "round", rejected="truncate")
    assert take({"corrections": [correction("k2")]}).ok
    assert store.corrections.get("k2").superseded_at is None


def test_a_stored_effective_confidence_is_kept_where_it_says_something_else(store, take):
    take({"corrections": [correction("k1", effective_confidence=0.125)]})
    item = store.corrections.get("k1")
    assert item.metadata == {"aua": {"effective_confidence": 0.125}}
    assert item.effective_confidence == 0.5, "class A does not fade"


# -- promotions ---------------------------------------------------------------------------------------------------------


def promotion(id, event, at, reverted=0, specialist="swe"):
    return {"id": id, "created_at": at, "specialist": specialist, "event": event, "from_model": "a", "to_model": "b", "reverted": reverted}


def test_a_rollback_is_joined_to_what_it_undid(store, take):
    take({"promotions": [promotion("p1", "promote", 1.0, 1), promotion("p2", "promote", 2.0, 1), promotion("x", "promote", 2.5, 0, "ops"),
                         promotion("b2", "rollback", 3.0), promotion("b1", "rollback", 4.0)]})  # fmt: skip
    found = {item.id: item for item in store.evals.promotions()}
    assert (found["b2"].reverts, found["b1"].reverts, found["p1"].reverts) == ("p2", "p1", None)
    assert (found["p2"].reverted_at, found["p1"].reverted_at) == (3.0, 4.0)
    assert store.evals.active_model("ops") == "b"
    with pytest.raises(NotFound):
        store.evals.rollback("swe")
    store.evals.rollback("ops")
    assert store.check().ok


def test_half_a_rollback_comes_in_as_it_is(store, take):
    report = take({"promotions": [promotion("p1", "promote", 1.0, 1), promotion("b9", "rollback", 3.0, 1, "ops")]})
    assert report.ok
    found = {item.id: item for item in store.evals.promotions()}
    assert (found["p1"].reverted, found["p1"].reverted_at) == (True, 1.0)
    assert (found["b9"].reverts, found["b9"].reverted) == (None, True)
    assert store.check().ok


@pytest.mark.damage
def test_check_still_finds_half_a_rollback_of_our_own(store):
    store.evals.promote("swe", None, "m1")
    store.evals.rollback("swe")
    with store.evals.db.write() as connection:
        connection.run("UPDATE promotions SET reverts = NULL")
    assert len(store.evals.check()) == 2


# -- backups ------------------------------------------------------------------------------------------------------------


def test_a_backup_covers_what_is_older_than_itself(store, aua):
    import_aua(store, aua)
    found = {item.id: item for item in store.backups.find()}
    assert (found["b1"].position, found["b2"].position) == (0, 3)
    assert store.backups.is_valid("c1", "swe"), "the newest row is b2, which is younger than every message"
    store.chat.append("c1", "user", "more")
    assert not store.backups.is_valid("c1", "swe")
    assert store.backups.counter("c1", "swe").thread_number == 2
    assert store.backups.save("c1", "swe", "GOAL: on").thread_number == 2
    assert store.backups.counter("c1", "swe").thread_number == 3


@pytest.mark.parametrize(("counted", "expected"), [(None, 5), (1, 4), (9, 9)])
def test_a_counter_is_never_behind_a_backup(store, take, counted, expected):
    counters = [] if counted is None else [{**ROWS["token_counters"][0], "thread_number": counted}]
    report = take({"token_counters": counters, "context_backups": [{**ROWS["context_backups"][0], "thread_number": 4}]})
    assert report.ok
    assert store.backups.counter("c1", "swe").thread_number == expected
    assert store.backups.find()[0].thread_number == 4
    assert store.check().ok


def test_of_two_counters_for_one_pair_the_first_is_taken(store, take):
    counters = [ROWS["token_counters"][0], {**ROWS["token_counters"][0], "counter_id": "n2"}]
    report = take({"token_counters": counters})
    assert [(row.id, "counter 'n1'" in row.reason) for row in report.refused] == [("n2", True)]


# -- audit --------------------------------------------------------------------------------------------------------------


def test_audit_events_are_history_that_says_so(store, aua, store_clock):
    import_aua(store, aua)
    first, second = store.audit.find(stream="aua", ascending=True)
    assert (first.id, second.id) == ("e1", "e0"), "in the order of the file, whatever the clock said"
    assert first.note == "imported from AUA; its own hash chain cannot be re-verified"
    assert first.details == {
        "aua": {"created_at": 70.5, "prev_hash": "genesis", "curr_hash": "ab" * 32}, "details": {"tokens": 812}
    }  # fmt: skip
    assert first.created_at == store_clock.now
    assert second.details["details"] is None
    assert store.audit.verify().ok


@pytest.mark.parametrize(
    ("said", "kept", "original"),
    [
        ("config_reload", "config_reload", None), ("Auth Failure!", "auth_failure", "Auth Failure!"), ("", "aua", ""),
        ("2fa", "aua.2fa", "2fa"), ("audit.prune", "aua.audit.prune", "audit.prune"), ("ошибка", "aua", "ошибка"),
        (None, "aua", None), ("X" * 500, "x" * 190, "X" * 500),
    ],
)  # fmt: skip
def test_an_event_type_is_made_a_word_and_kept_as_it_was(store, take, said, kept, original):
    assert take(with_change("audit_log", event_type=said)).ok
    (event,) = store.audit.find(stream="aua")
    assert (event.event_type, event.details["aua"].get("event_type")) == (kept, original)


@pytest.mark.parametrize(("said", "kept"), [("not json", "not json"), ("[1]", [1]), ('"text"', "text"), ("{", "{"), ("", "")])
def test_details_of_any_form_are_kept(store, take, said, kept):
    assert take(with_change("audit_log", details=said)).ok
    (event,) = store.audit.find(stream="aua")
    assert event.details["details"] == kept


def test_a_keyed_log_needs_its_key_before_anything_comes_in(tmp_path, aua):
    path = tmp_path / "agent.db"
    with open_store(path, audit_key="k") as store:
        store.audit.append("begin")
    with open_store(path, audit_key="k") as store:
        assert import_aua(store, make(tmp_path / "other.db", {"sessions": ROWS["sessions"]})).new == 2
    raw_rows = {"promotions": ROWS["promotions"]}
    with open_store(path) as store:
        with pytest.raises(Invalid, match="audit_key"):
            import_aua(store, make(tmp_path / "third.db", raw_rows))
        assert store.evals.promotions() == []
        store._audit_key = b"k"  # so that the check after the test can verify


# -- what the rooms offer to it -----------------------------------------------------------------------------------------


def test_a_promotion_from_elsewhere_is_not_an_event_and_marks_what_it_reverts(store):
    evals = store.evals
    evals.record_promotion("swe", "promote", None, "m1", id="p1", created_at=1.0)
    evals.record_promotion("swe", "promote", "m1", "m2", id="p2", created_at=2.0, reverted=True, reverted_at=2.5)
    evals.record_promotion("swe", "rollback", "m2", "m1", reverts="p2", created_at=3.0, reason="worse")
    evals.record_promotion("swe", "rollback", "m1", None, reverts="p1", created_at=4.0)
    found = {item.id: (item.reverted, item.reverted_at) for item in evals.promotions(event="promote")}
    assert found == {"p1": (True, 4.0), "p2": (True, 2.5)}
    assert (evals.active_model("swe"), store.audit.find()) == (None, [])
    for wrong, error in (
        ({"event": "promote", "reverts": "p1"}, Invalid), ({"event": "rollback", "reverts": "p2"}, Exists),
        ({"event": "rollback", "reverts": "p9"}, NotFound), ({"event": "promote", "reverted_at": 1.0}, Invalid),
        ({"event": "promote", "id": "p1"}, Exists), ({"event": "demote"}, Invalid),
    ):  # fmt: skip
        with pytest.raises(error):
            evals.record_promotion("swe", from_model="a", to_model="b", **wrong)
    assert len(evals.promotions()) == 4


def test_a_retired_correction_strengthens_and_refuses_nothing(store):
    live = store.corrections.add("s", "c", confidence=0.5)
    old = store.corrections.add("s", "C", rejected="d", confidence=0.9, id="old", superseded_at=5.0, superseded_by=live.id)
    assert (old.superseded_at, old.superseded_by, old.claim) == (5.0, live.id, "C")
    assert store.corrections.get(live.id) == live
    assert store.corrections.add("s", "d").claim == "d"
    with pytest.raises(Invalid, match="needs superseded_at"):
        store.corrections.add("s", "e", superseded_by=live.id)
    with pytest.raises(Exists):
        store.corrections.add("s", "c", id="old", superseded_at=5.0)
    assert store.corrections.count(include_superseded=True) == 3


def test_times_and_counts_of_elsewhere_are_kept(store, store_clock):
    chat = store.chat
    assert chat.create_conversation(id="c", created_at=1.0).updated_at == 1.0
    chat.append_many("c", [{"role": "user", "content": "x"}], updated_at=2.0)
    assert (chat.get_conversation("c").created_at, chat.get_conversation("c").updated_at) == (1.0, 2.0)
    chat.append("c", "user", "y")
    assert chat.get_conversation("c").updated_at == store_clock.now
    assert (chat.create_project("p", created_at=3.0).created_at, chat.get_project("p").updated_at) == (3.0, 3.0)
    session = chat.touch_session("s", query_count=7, created_at=4.0, updated_at=5.0)
    assert (session.query_count, session.created_at, session.updated_at) == (7, 4.0, 5.0)
    assert chat.touch_session("s").query_count == 8
    for wrong in (
        lambda: chat.create_conversation(id="d", created_at="now"), lambda: chat.create_conversation(id="d", updated_at=float("nan")),
        lambda: chat.append_many("c", [], updated_at="now"), lambda: chat.touch_session("t", query_count=-1),
        lambda: chat.touch_session("t", updated_at=True), lambda: chat.create_project("q", created_at=[]),
    ):  # fmt: skip
        with pytest.raises(Invalid):
            wrong()
    assert (len(chat.conversations()), len(chat.sessions()), len(chat.projects())) == (1, 1, 1)


def test_how_far_a_conversation_had_come_by_a_time(store):
    chat = store.chat
    chat.create_conversation(id="c")
    for at in (1.0, 3.0, 2.0, 5.0):
        chat.append("c", "user", "x", created_at=at)
    chat.create_conversation(id="d")
    chat.append("d", "user", "x", created_at=0.0)
    assert [chat.position("c", before=at) for at in (0.5, 1.0, 2.0, 3.0, 4.0, 5.5)] == [0, 0, 1, 1, 3, 4]
    assert (chat.position("c"), store.backups.position("c", before=3.0), chat.position("no", before=1.0)) == (4, 1, None)
    with pytest.raises(Invalid):
        chat.position("c", before="now")


def test_a_counter_from_elsewhere_is_the_only_one_of_its_pair(store, store_clock):
    made = store.backups.add_counter("c", "swe", token_estimate=5, message_count=2, thread_number=3, last_backup_at=1.0, id="n1")
    assert made == store.backups.counter("c", "swe")
    assert (made.total_messages, made.updated_at) == (2, store_clock.now)
    for wrong in ({"conversation_id": "c", "specialist": "swe"}, {"conversation_id": "d", "specialist": "swe", "id": "n1"}):
        with pytest.raises(Exists):
            store.backups.add_counter(**wrong)
    for wrong in ({"thread_number": -1}, {"token_estimate": 0.5}, {"message_count": True}, {"last_backup_at": "now"}, {"id": ""}):
        with pytest.raises(Invalid):
            store.backups.add_counter("c", "ops", **wrong)
    assert store.backups.counter("c", "ops") is None
    assert store.backups.save("c", "swe", "GOAL").thread_number == 3
