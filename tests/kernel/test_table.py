"""Records and tables."""

from __future__ import annotations

import dataclasses

import pytest

from memstore import Exists, Invalid
from memstore.kernel import Record, Room, Schema, Table, record

SCHEMA = Schema(
    "notes",
    version=1,
    ddl="""
    CREATE TABLE notes(
        pk       INTEGER PRIMARY KEY AUTOINCREMENT,
        id       TEXT NOT NULL UNIQUE,
        title    TEXT NOT NULL DEFAULT '',
        score    REAL,
        count    INTEGER,
        done     INTEGER,
        metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
        tags     TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
        owner    TEXT
    ) STRICT;
    """,
)


@record
class Note(Record):
    id: str
    title: str
    score: float | None
    count: int | None
    done: bool | None
    metadata: dict | None
    tags: list
    length: int | None


@record
class Title(Record):
    title: str


NOTES = Table(Note, "notes", json=("metadata", "tags"), flags=("done",), hidden=("pk", "owner"), computed={"length": "length(notes.title)"})
TITLES = Table(Title, "notes", hidden=("pk", "id", "score", "count", "done", "metadata", "tags", "owner"))


@pytest.fixture
def notes(store):
    return Room(store._database, SCHEMA)


def note(id, **given):
    return Note(
        **{"id": id, "title": "", "score": None, "count": None, "done": None, "metadata": None, "tags": [], "length": None, **given}
    )


def insert(room, item, **hidden):
    with room.write() as connection:
        return NOTES.insert(connection, item, **hidden)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"title": "", "score": 0.0, "count": 0, "done": False, "metadata": {}, "tags": []},
        {
            "title": "Café 日本語 \0 end",
            "score": -1.5,
            "count": -(2**63),
            "done": True,
            "metadata": {"é": [1, {"b": None}]},
            "tags": ["a", 1, None],
        },
        {"title": "'; DROP TABLE notes; --", "metadata": {"a": "\"'\\"}, "count": 2**63 - 1},
    ],
)
def test_what_is_inserted_is_found_again(notes, given):
    item = note("n1", **given)
    assert insert(notes, item) == 1
    found = NOTES.first(notes, "WHERE id = ?", ("n1",))
    assert found == dataclasses.replace(item, length=len(item.title.split("\0")[0]))
    assert [type(getattr(found, name)) for name in ("score", "count", "done")] == [
        type(getattr(item, name)) for name in ("score", "count", "done")
    ]


def test_an_insert_leaves_the_record_as_it_was(notes):
    item = note("n1", metadata={"a": 1}, tags=["x"], done=True)
    before = dataclasses.replace(item)
    insert(notes, item)
    assert item == before
    assert item.metadata == {"a": 1}


def test_a_row_is_rewritten_by_its_id_and_the_others_stay(notes):
    insert(notes, note("n1"), owner="ann")
    insert(notes, note("n2"), owner="ann")
    new = note("n1", title="new", done=True, metadata={"a": 1}, count=0)
    with notes.write() as connection:
        NOTES.rewrite(connection, new, owner="bob")
    assert NOTES.first(notes, "WHERE id = ?", ("n1",)) == dataclasses.replace(new, length=3)
    assert notes.rows("SELECT pk, id, owner FROM notes ORDER BY pk") == [(1, "n1", "bob"), (2, "n2", "ann")]


def test_hidden_columns_are_written_and_not_shown(notes):
    insert(notes, note("n1"), owner="somebody")
    assert notes.value("SELECT owner FROM notes") == "somebody"
    assert "owner" not in NOTES.first(notes).to_dict()


def test_find_takes_a_clause_and_gives_records_in_its_order(notes):
    for number in range(5):
        insert(notes, note(f"n{number}", count=number))
    assert [item.id for item in NOTES.find(notes, "WHERE count >= ? ORDER BY count DESC LIMIT ?", (1, 3))] == ["n4", "n3", "n2"]
    assert NOTES.find(notes, "WHERE count = ?", (77,)) == []
    assert NOTES.first(notes, "WHERE count = ?", (77,)) is None
    assert len(NOTES.find(notes)) == 5
    with notes.read() as connection:
        assert len(NOTES.find(connection)) == 5
    assert NOTES.records([]) == []


def test_a_record_of_one_field_works_too(notes):
    insert(notes, note("n1", title="only"))
    assert TITLES.find(notes) == [Title("only")]
    assert TITLES.values(Title("x")) == ["x"]


def test_statements_name_their_columns():
    assert "*" not in NOTES.select
    assert NOTES.select == f"SELECT {NOTES.columns} FROM notes"
    assert NOTES.stored == ("id", "title", "score", "count", "done", "metadata", "tags")


def test_a_taken_id_and_a_broken_value_write_nothing(notes):
    insert(notes, note("n1"))
    with pytest.raises(Exists):
        insert(notes, note("n1"))
    with pytest.raises(Invalid):
        insert(notes, note("n2", title=None))
    with pytest.raises(Invalid):
        insert(notes, note("n2", count="many"))
    assert [item.id for item in NOTES.find(notes)] == ["n1"]


def test_numbers_inside_are_never_used_again(notes):
    assert insert(notes, note("n1")) == 1
    with notes.write() as connection:
        connection.run("DELETE FROM notes")
    assert insert(notes, note("n2")) == 2


def test_a_record_is_readable_and_json_ready():
    item = note("n1", title="x" * 500, metadata={"a": (1, 2)}, tags=[Title("inner")])
    shown = repr(item)
    assert shown.startswith("Note(id='n1', title='xxx")
    assert "…" in shown
    assert "score" not in shown, "what is not there is not shown"
    assert len(shown) < 300
    assert item.to_dict()["metadata"] == {"a": [1, 2]}
    assert item.to_dict()["tags"] == [{"title": "inner"}]
    assert list(item.to_dict()) == ["id", "title", "score", "count", "done", "metadata", "tags", "length"]


def test_a_record_has_no_other_attributes():
    with pytest.raises(AttributeError):
        note("n1").titel = "misspelt"
