"""AtoCore's database on its way in: every column of every row arrives, from files of every age, or the report says what did not."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime

import pytest
from atocore_files import ROWS, TABLES, make, with_change
from aua_files import ROWS as AUA_ROWS
from aua_files import make as make_aua
from foreign_files import outcome

from memstore import Corrupt, Invalid, open_store
from memstore.imports import import_from

DAY = 86_400.0


@pytest.fixture
def store(store_clock):
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def take(store, tmp_path):
    """Import rows into the store and return the report."""
    numbers = iter(range(100))

    def import_rows(rows=ROWS, *, dry_run=False, **options):
        return import_from(store, "atocore", make(tmp_path / f"atocore{next(numbers)}.db", rows, **options), dry_run=dry_run)

    return import_rows


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def records(store):
    """What came in, by table and id."""
    documents = store.documents.find(limit=None)
    return {
        "projects": {item.id: item for item in store.chat.projects()},
        "interactions": {item.id: item for item in store.memories.interactions(limit=None)},
        "memories": {item.id: item for item in store.memories.find(include_expired=True)},
        "entities": {item.id: item for item in store.knowledge.entities()},
        "relationships": {item.id: item for item in store.knowledge.relationships()},
        "project_state": {item.id: item for item in store.memories.states(include_cleared=True)},
        "source_documents": {item.id: item for item in documents},
        "source_chunks": {chunk.id: chunk for item in documents for chunk in store.documents.chunks(item.id)},
        "conflicts": {item.id: item for item in store.conflicts.find()},
        "memory_audit": {item.id: item for item in store.audit.find(stream="atocore", limit=None)},
    }


# -- what comes in ------------------------------------------------------------------------------------------------------

#: What a column is called here.
NAMES = {
    "source_documents": {"file_path": "uri", "file_hash": "content_hash", "doc_type": "source_type"},
    "entities": {"entity_type": "type"},
    "relationships": {"source_entity_id": "from_id", "target_entity_id": "to_id", "relationship_type": "kind"},
    "memory_audit": {"memory_id": "entity_id", "before_json": "before", "after_json": "after"},
}
JSON = {"tags", "metadata", "context_pack", "memories_used", "chunks_used", "domain_tags", "properties", "source_refs", "before_json",
        "after_json"}  # fmt: skip
TIMES = {"ingested_at", "created_at", "updated_at", "last_referenced_at", "detected_at", "resolved_at"}
ELSEWHERE = {  # and tried below
    "memory_audit": {"timestamp", "action"}, "entities": {"canonical_home", "source_refs", "project"}, "memories": {"valid_until"},
    "project_state": {"category", "key"},
}  # fmt: skip
PROJECTS = {"p04": "p-1", "p04-gigabit": "p-1"}


def expected(table, column, value):
    """What a value of AtoCore's is as an attribute."""
    if column == "project" and table != "interactions":
        return PROJECTS.get(value, value)
    if column in TIMES and value is not None:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()
    if column == "title":
        return value or ""
    if column in JSON:
        try:
            return json.loads(value or "{}")
        except ValueError:
            return value
    return value


def test_every_column_of_every_row_is_an_attribute(store, take):
    report = take()
    assert (report.ok, report.refused) == (True, [])
    found = records(store)
    for table, kept in found.items():
        assert set(kept) == {row["id"] for row in ROWS[table]}, table
        for row in ROWS[table]:
            for column, value in row.items():
                if column not in ELSEWHERE.get(table, ()):
                    attribute = NAMES.get(table, {}).get(column, column)
                    assert getattr(kept[row["id"]], attribute) == expected(table, column, value), (table, row["id"], column)


def test_the_rest_is_where_it_belongs(store, take):
    report = take()
    cell = store.knowledge.get("e1")
    assert cell.source_refs == ["memory:m3"]
    assert cell.metadata == {"atocore": {"canonical_home": "entity", "source_refs": ["loose"]}}
    assert cell.project_id == "p-1"
    assert store.memories.state("p04") == {"status.phase": "build"}
    assert [event.event_type for event in store.audit.find(stream="atocore")] == ["entity.created", "memory.expired", "memory.graduated"]
    (graduated,) = [event for event in store.memories.history("m3") if event.stream == "atocore"]
    assert (graduated.actor, graduated.note) == ("human-triage", "ripe")
    assert graduated.details == {"atocore": {"timestamp": "2026-02-05 00:00:00"}}
    assert store.audit.get("a3").details["atocore"]["action"] == "Created!"
    members = {(member.id, member.member_kind, member.member_id, member.member_layer_trust, member.value_snapshot)
               for member in store.conflicts.get("c1").members}  # fmt: skip
    assert members == {("cm1", "entity", "e2", 2, "Stahl"), ("cm2", "memory", "m3", 1, "the cell is steel")}
    assert report.notes == [
        "project_state: its category became the beginning of its key (rows: 1)",
        "conflict_members: taken with their conflicts (rows: 2)",
        "project_aliases: taken with their projects (rows: 1)",
    ]


def test_documents_are_found_and_memories_lead_to_their_chunks(store, take):
    take()
    (hit,) = store.documents.search("how wide is the mirror?")
    assert (hit.chunk.id, hit.document.id, hit.chunk.heading_path) == ("k1", "d1", "A > B")
    assert store.documents.get_chunk(store.memories.get("m1").source_chunk_id).content == store.memories.get("m1").content
    assert (store.documents.get("d1").file_path, store.documents.get("d1").created_at) == ("/p04/größe.md", at("2026-01-02 03:04:05"))
    assert [chunk.id for chunk in store.documents.chunks("d1")] == ["k1", "k2"]
    assert store.audit.find(entity_kind="document", limit=None) == []


def test_a_day_of_atocores_counts_whole(store, take):
    for said, ends in [("2036-12-31 00:00:00", "2037-01-01"), ("2036-12-31", "2037-01-01"), ("2036-12-31T18:00:00Z", "2037-01-01"),
                       ("2036-12-31T23:00:00-05:00", "2037-01-02")]:  # fmt: skip
        take({**with_change("memories", id=said, content=said, valid_until=said)})
        assert store.memories.get(said).valid_until == at(ends)


def test_what_merely_expired_was_not_rejected(store, take):
    take()
    assert store.memories.get("m5").expired_at == at("2026-02-20")
    assert store.memories.add("episodic", "the pump failed on Monday", project="p04").status == "active"
    with pytest.raises(Exception, match="was rejected before"):
        store.memories.add("adaptation", "answer in verse", project="elsewhere")


def test_names_and_aliases_mean_their_projects(store, take):
    take()
    assert store.chat.get_project("p04").aliases == ["p04"]
    assert {memory.id for memory in store.memories.find(project="p04")} == {"m1", "m3", "m5"}
    assert [memory.id for memory in store.memories.find(project="elsewhere")] == ["m4"]
    assert store.memories.get("m2").project_id is None
    assert [talk.id for talk in store.memories.interactions(project="p04-gigabit")] == ["i1"]


def test_a_project_that_is_here_by_that_name_is_taken_for_the_same(store, take):
    here = store.chat.create_project("p04-gigabit")
    report = take()
    assert (report.ok, outcome(report)["projects"]) == (True, (1, 0, 0))
    assert {memory.project_id for memory in store.memories.find(project="p04")} == {here.id}
    assert store.memories.state("p-1") == {"status.phase": "build"}
    assert outcome(take())["projects"] == (0, 1, 0)


def test_what_an_interaction_was_told_is_not_said_to_be_unchanged_since(store, take):
    take()
    assert [(piece.kind, piece.id, piece.version_then) for piece in store.memories.explain("i1").pieces] == [
        ("memory", "m1", None), ("chunk", "k1", None),
    ]  # fmt: skip


def test_what_came_in_is_used_like_what_was_made_here(store, take):
    take()
    assert [hit.memory.id for hit in store.memories.search("how wide is the mirror?", project="p04")] == ["m1"]
    assert store.memories.promote("m2", actor="ann")
    assert [edge.id for edge in store.knowledge.relationships("e1")] == ["r1"]
    assert store.check().ok


# -- again --------------------------------------------------------------------------------------------------------------


def test_a_second_run_adds_nothing(store, take):
    first = take()
    before = records(store)
    second = take()
    assert (second.ok, second.new) == (True, 0)
    assert {table.table: table.known for table in second.tables} == {table.table: table.new for table in first.tables}
    assert records(store) == before
    assert len(store.audit.find(event_type="store.import")) == 1


def test_a_file_that_has_grown_brings_what_is_new(store, take):
    take()
    more = {**ROWS["memories"][1], "id": "m9", "content": "new", "created_at": "2026-03-01 00:00:00"}
    report = take({**ROWS, "memories": [*ROWS["memories"], more], "project_aliases": [{"project_id": "p-1", "alias": "giga"}]})
    assert (report.new, store.memories.get("m9").content) == (1, "new")
    assert "giga" in store.chat.get_project("p04").aliases


AGAIN = {"id": "k9", "document_id": "d1", "chunk_index": 1, "content": "said later", "heading_path": "", "char_count": 10,
         "metadata": "{}", "created_at": "2026-03-01 00:00:00"}  # fmt: skip


def test_chunks_of_a_document_that_is_here_stay_out(store, take):
    take()
    report = take({**ROWS, "source_chunks": [ROWS["source_chunks"][1], AGAIN]})
    assert (report.ok, outcome(report)["source_chunks"]) == (True, (0, 2, 0))
    assert "source_chunks: belongs to a document that was here before: left out (rows: 1)" in report.notes
    assert [chunk.id for chunk in store.documents.chunks("d1")] == ["k1", "k2"]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_document_of_that_path_stays_as_it_is_here(store, take, hidden):
    mine = store.documents.add_text("what we say of it", uri="/p04/größe.md")
    if hidden:
        store.documents.remove(mine.id)
    before = store.documents.get(mine.id)
    report = take()
    assert outcome(report)["source_documents"] == (1, 1, 0)
    assert "source_documents: there is a document of that path here already: left as it is (rows: 1)" in report.notes
    assert store.documents.get(mine.id) == before
    assert (report.ok, outcome(report)["source_chunks"]) == (True, (1, 2, 0))


def test_chunks_of_a_document_come_in_whatever_page_they_stand_on(store, take, monkeypatch):
    monkeypatch.setattr("memstore.kernel.foreign.PAGE", 2)
    many = [{**AGAIN, "id": f"n{place}", "chunk_index": 2 + place, "content": f"part {place}"} for place in range(7)]
    assert take({**ROWS, "source_chunks": [*many, *ROWS["source_chunks"]]}).ok
    assert [chunk.id for chunk in store.documents.chunks("d1")] == ["k1", "k2", *(f"n{place}" for place in range(7))]


def test_a_long_document_is_written_once_and_leaves_no_event(store, take, monkeypatch):
    monkeypatch.setattr("memstore.kernel.foreign.PAGE", 2)
    written, write = [], type(store.documents).set_chunks
    monkeypatch.setattr(type(store.documents), "set_chunks", lambda *given, **more: written.append(given[1]) or write(*given, **more))
    many = [{**AGAIN, "id": f"n{place}", "document_id": f"d{1 + place % 2}", "chunk_index": 2 + place, "content": f"part {place}"}
            for place in range(7)]  # fmt: skip
    bad = {**AGAIN, "id": "bad", "content": b"x"}
    report = take({**ROWS, "source_chunks": [*many, bad, *ROWS["source_chunks"]]})
    assert [(row.table, row.id) for row in report.refused] == [("source_chunks", "bad")]
    assert written == ["d1", "d2"] and len(store.documents.chunks("d1")) == 6
    assert store.audit.find(entity_kind="document") == []


def test_nothing_of_an_erased_document_comes_back(store, take):
    take()
    store.erase(document_id="d1")
    refused = {(row.table, row.id) for row in take().refused}
    assert {("source_documents", "d1"), ("source_chunks", "k1"), ("source_chunks", "k2")} <= refused
    assert [item.id for item in store.documents.find()] == ["d2"]


def test_what_was_changed_here_stays(store, take):
    take()
    store.memories.update("m1", content="the mirror is 1.25 m wide", actor="ann")
    take()
    assert store.memories.get("m1").content == "the mirror is 1.25 m wide"


def test_two_rows_that_say_the_same_are_one_belief_and_both_are_kept(store, take):
    twin = {**ROWS["memories"][0], "id": "m1b", "project": "p04-gigabit"}  # by its alias the other one
    report = take({**ROWS, "memories": [*ROWS["memories"], twin]})
    assert report.ok
    assert (store.memories.get("m1b").status, store.memories.get("m1b").superseded_by) == ("superseded", "m1")


def test_two_rows_of_one_relationship_are_one(store, take):
    twice = {**ROWS, "relationships": [*ROWS["relationships"], {**ROWS["relationships"][0], "id": "r1b"}]}
    assert outcome(take(twice))["relationships"] == (1, 1, 0)
    assert outcome(take(twice))["relationships"] == (0, 2, 0)


BRASS = {**ROWS["entities"][1], "id": "e3", "name": "Messing", "status": "active"}
CLASHING = {
    **ROWS,
    "entities": [ROWS["entities"][0], {**ROWS["entities"][1], "status": "active"}, BRASS],
    "relationships": [*ROWS["relationships"], {**ROWS["relationships"][0], "id": "r2", "target_entity_id": "e3"}],
    "conflicts": [{**ROWS["conflicts"][0], "status": "open", "resolution": "", "resolved_at": None}],
}


def test_an_open_conflict_of_theirs_is_the_one_that_our_rules_find(store, take):
    report = take(CLASHING)
    assert (report.ok, outcome(report)["conflicts"]) == (True, (1, 0, 0))
    (conflict,) = store.conflicts.find(status="open")
    assert (conflict.id, conflict.detected_at) == ("c1", at("2026-02-08"))
    assert {member.member_id for member in conflict.members} == {"e2", "e3", "m3"}
    store.conflicts.resolve("c1", "no_action", actor="ann")
    assert outcome(take(CLASHING))["conflicts"] == (0, 1, 0)
    assert store.conflicts.get("c1").resolution == "no_action"


def test_a_slot_that_is_in_conflict_here_stays_so(store, take):
    take({**CLASHING, "conflicts": []})
    (mine,) = store.conflicts.find(status="open")
    report = take(CLASHING)
    assert outcome(report)["conflicts"] == (0, 1, 0)
    assert "conflicts: its slot is in conflict here already (rows: 1)" in report.notes
    assert store.conflicts.find() == [mine]


def test_what_was_rejected_here_comes_in_and_is_said(store, take):
    found = store.memories.add("preference", "prefers short answers", status="candidate")
    store.memories.reject(found.id)
    report = take()
    assert report.ok
    assert "memories: had been rejected here, and came in all the same: it is active or a candidate over there (rows: 1)" in report.notes
    assert store.memories.get("m2").status == "candidate"


def test_nothing_of_an_erased_project_comes_back(store, take):
    take()
    store.erase(project="p04")
    report = take()
    refused = {(row.table, row.id) for row in report.refused}
    assert {("projects", "p-1"), ("interactions", "i1"), ("memories", "m1"), ("memories", "m3"), ("entities", "e1"),
            ("project_state", "s1"), ("conflicts", "c1")} <= refused  # fmt: skip
    assert store.chat.projects() == []
    assert store.memories.find(project="p04") == store.memories.find(project="p-1") == []


def test_a_project_that_only_this_store_has_registered_does_not_come_back_by_its_name(store, take):
    store.chat.create_project("p04-gigabit")
    store.chat.alias("p04-gigabit", "p04")
    unregistered = {table: items for table, items in ROWS.items() if not table.startswith("project")}
    assert take(unregistered).ok
    store.erase(project="p04")
    report = take(unregistered)
    assert {"m1", "m3", "m5", "i1", "e1", "c1"} <= {row.id for row in report.refused}
    assert {memory.id for memory in store.memories.find()} == {"m2", "m4"}


def test_neither_the_audit_nor_a_conflict_tells_what_was_erased(store, take):
    take({"projects": ROWS["projects"]})
    store.erase(project="p-1")
    loose = {**ROWS["conflicts"][0], "project": ""}
    report = take({**ROWS, "conflicts": [loose]})
    refused = {(row.table, row.id) for row in report.refused}
    assert {("memory_audit", "a1"), ("memory_audit", "a2"), ("memory_audit", "a3"), ("conflicts", "c1")} <= refused
    assert store.conflicts.find() == store.audit.find(stream="atocore") == []


# -- files of every age -------------------------------------------------------------------------------------------------

#: Columns and tables in the order in which AtoCore added them, the newest first.
STAGES = [
    ("memory_audit", "entity_kind"), ("memories", "graduated_to_entity_id"), ("memories", "valid_until"), ("memories", "domain_tags"),
    ("memories", "reference_count"), ("memories", "last_referenced_at"), ("interactions", "project"), ("interactions", "session_id"),
    ("interactions", "client"), ("interactions", "chunks_used"), ("interactions", "memories_used"), ("interactions", "response"),
    ("memories", "project"),
]  # fmt: skip
FIRST = ("source_documents", "source_chunks", "memories", "projects", "interactions")


def test_files_of_every_age_come_in(store, take):
    tables, rows = dict(TABLES), {table: [dict(row) for row in items] for table, items in ROWS.items()}
    rows["memories"][2]["status"] = "superseded"  # graduated came last
    for stage, (table, column) in enumerate(STAGES):
        tables[table] = ",".join(part for part in tables[table].split(",") if part.split()[0] != column)
        for row in rows[table]:
            del row[column]
        for items in rows.values():
            for row in items:
                row["id" if "id" in row else "alias"] = f"{stage}-{row.get('id', row.get('alias'))}"
                row.update({"name": f"{stage}-{row['name']}"} if items is rows["projects"] else {})
                row.update({"content": f"{stage}: {row['content']}"} if items is rows["memories"] else {})
        report = import_old(store, take, rows, tables)
        assert report.ok, (table, column, report.refused)
    report = import_old(store, take, {table: ROWS_OF_THE_FIRST[table] for table in FIRST}, {table: tables[table] for table in FIRST})
    assert (report.ok, report.new) == (True, 8)


ROWS_OF_THE_FIRST = {
    **{table: ROWS[table] for table in ("source_documents", "source_chunks", "projects")},
    "memories": [{"id": row["id"], "memory_type": row["memory_type"], "content": row["content"]} for row in ROWS["memories"]],
    "interactions": [{"id": row["id"], "prompt": row["prompt"]} for row in ROWS["interactions"]],
}


def import_old(store, take, rows, tables):
    """Without the tables that stand for themselves: their ids were changed, and those that they name were not."""
    apart = ("entities", "relationships", "project_state", "conflicts", "conflict_members", "source_chunks", "project_aliases")
    return take({table: items for table, items in rows.items() if table not in apart}, tables=tables)


def test_a_null_is_what_is_not_there(store, take):
    nothing = {"project": None, "source_chunk_id": None, "confidence": None, "status": None, "reference_count": None,
               "domain_tags": None, "created_at": None, "updated_at": None}  # fmt: skip
    report = take(with_change("memories", **nothing))
    assert report.ok
    memory = store.memories.get("m1")
    assert (memory.status, memory.confidence, memory.reference_count, memory.domain_tags) == ("active", 1.0, 0, [])
    assert "memories: without created_at, got the time of the import (rows: 1)" in report.notes


def test_a_blank_column_of_a_document_or_chunk_is_what_is_not_there(store, take):
    document, chunk = ROWS["source_documents"][0], ROWS["source_chunks"][0]
    blank = {"doc_type": "", "tags": "", "ingested_at": "", "updated_at": ""}
    assert take({"source_documents": [{**document, **blank}], "source_chunks": [{**chunk, "metadata": "", "created_at": ""}]}).ok
    came = store.documents.get(document["id"])
    assert (came.source_type, came.tags, came.content_hash) == ("unknown", [], document["file_hash"])
    assert [each.id for each in store.documents.chunks(document["id"])] == [chunk["id"]]


def test_tables_that_are_not_public_go_by_their_columns(store, tmp_path):
    tables = {
        **TABLES,
        "entities": "id TEXT PRIMARY KEY, type TEXT, canonical_name TEXT, aliases TEXT, shoe_size INTEGER",
        "relationships": "id TEXT PRIMARY KEY, from_id TEXT, kind TEXT, to_id TEXT, shoe_size INTEGER",
        "project_state": "id TEXT PRIMARY KEY, project TEXT, state_key TEXT, value TEXT, shoe_size INTEGER",
        "project_aliases": "project TEXT, name TEXT",
    }
    rows = {
        **{table: ROWS[table] for table in ("projects", "memories")},
        "entities": [{"id": "e1", "type": "Component", "canonical_name": "cell", "aliases": '["zelle"]', "shoe_size": 43},
                     {"id": "e2", "type": "Material", "canonical_name": "steel", "aliases": "", "shoe_size": None}],
        "relationships": [{"id": "r1", "from_id": "e1", "kind": "uses_material", "to_id": "e2", "shoe_size": 44}],
        "project_state": [{"id": "s1", "project": "p04-gigabit", "state_key": "phase", "value": "build", "shoe_size": 45}],
        "project_aliases": [{"project": "p04-gigabit", "name": "p04"}],
    }  # fmt: skip
    report = import_from(store, "atocore", make(tmp_path / "a.db", rows, tables=tables))
    assert report.ok, report.refused
    assert store.knowledge.find_entity("zelle").metadata == {"atocore": {"shoe_size": 43}}
    assert store.memories.state("p04") == {"phase": "build"}
    assert {table.table: table.left_out for table in report.tables if table.left_out} == {
        "relationships": {"shoe_size": 1}, "project_state": {"shoe_size": 1},
    }  # fmt: skip


# -- what does not come in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "change", "why"),
    [
        ("memories", {"status": "rejected"}, "status 'rejected' is none of candidate, active"),
        ("memories", {"memory_type": "fact"}, "memory_type 'fact' is none of identity"),
        ("memories", {"confidence": 1.5}, "confidence is 1.5"),
        ("memories", {"content": " "}, "blank"),
        ("memories", {"created_at": "soon"}, "created_at 'soon' is not a date"),
        ("memories", {"valid_until": "never"}, "valid_until 'never' is not a date"),
        ("memories", {"domain_tags": "{}"}, "domain_tags {} is not a JSON list"),
        ("interactions", {"prompt": ""}, "prompt is blank"),
        ("interactions", {"context_pack": "[1]"}, "context"),
        ("entities", {"status": "lost"}, "status 'lost' is none of"),
        ("relationships", {"relationship_type": "uses_materials"}, "uses_material"),
        ("relationships", {"target_entity_id": "nobody"}, "nobody"),
        ("project_state", {"value": None}, "value is missing"),
        ("conflicts", {"status": "ignored"}, "status 'ignored' is none of"),
        ("memory_audit", {"action": None}, "action is missing"),
        ("source_documents", {"file_path": ""}, "uri is blank"),
        ("source_documents", {"tags": "{}"}, "tags {} is not a JSON list"),
        ("source_documents", {"ingested_at": "soon"}, "ingested_at 'soon' is not a date"),
        ("source_chunks", {"content": None}, "content is missing"),
        ("source_chunks", {"chunk_index": None}, "chunk_index is missing"),
        ("source_chunks", {"metadata": "[1"}, "metadata '[1' is not JSON"),
        ("source_chunks", {"document_id": "d9"}, "no document 'd9'"),
    ],
)
def test_a_row_that_cannot_be_taken_is_named_and_the_others_come_in(take, table, change, why):
    loose = {name: columns.replace(" NOT NULL", "") for name, columns in TABLES.items()}
    report = take(with_change(table, **change), tables=loose)
    assert not report.ok
    (refused,) = [row for row in report.refused if row.table == table]
    assert (refused.id, why in refused.reason) == (ROWS[table][0]["id"], True), refused
    assert outcome(report)[table][2] == 1


def test_a_trial_writes_nothing(store, take):
    trial = take(dry_run=True)
    assert trial.new == sum(len(ROWS[table]) for table in records(store))
    assert all(found == {} for found in records(store).values())


def test_another_table_is_counted(take):
    report = take(more=["CREATE TABLE queue(id INTEGER)", "INSERT INTO queue VALUES (1), (2)"])
    assert "queue: has no home here and was left out (rows: 2)" in report.notes


def test_another_file_is_told_apart(store, tmp_path):
    with pytest.raises(Invalid, match="is not a database of AtoCore's"):
        import_from(store, "atocore", make_aua(tmp_path / "aua.db", AUA_ROWS))
    with pytest.raises(Invalid, match="is not an AUA state file"):
        import_from(store, "aua", make(tmp_path / "atocore.db"))
    with contextlib.closing(sqlite3.connect(tmp_path / "empty.db")) as raw:
        raw.execute("VACUUM")
    with pytest.raises(Invalid, match="tables: none"):
        import_from(store, "atocore", tmp_path / "empty.db")


def test_members_that_lack_a_snapshot_or_have_more_columns_do_not_refuse_their_conflict(store, take):
    first, second = ROWS["conflict_members"]
    report = take(
        {**ROWS, "conflict_members": [{**first, "value_snapshot": None, "member_layer_trust": None}, {**second, "extra": "x"}]},
        tables={**TABLES, "conflict_members": TABLES["conflict_members"] + ", extra TEXT"},
    )
    assert outcome(report)["conflicts"] == (1, 0, 0)
    assert [table.left_out for table in report.tables if table.table == "conflicts"] == [{"conflict_members.extra": 1}]
    assert {member.member_id: member.value_snapshot for member in store.conflicts.get("c1").members}["e2"] == ""


def test_a_damaged_file_is_named_and_is_not_taken_for_the_store(store, tmp_path):
    long = [{**ROWS["memories"][0], "id": f"m{number}", "content": f"{number} " * 300} for number in range(40)]
    path = make(tmp_path / "atocore.db", {"memories": long})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Corrupt, match=r"atocore\.db is damaged .* another copy") as caught:
        import_from(store, "atocore", path)
    assert "snapshot" not in str(caught.value)
