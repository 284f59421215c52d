"""Two truths written by hand, the DDL and the record, held equal; and every public name in its one place."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sqlite3
import types
import typing

import pytest

import memstore
from memstore.kernel import Record, errors
from memstore.kernel import schema as schemas
from memstore.store import ROOMS

from .rooms import PACKAGE, classes, exported, public_classes, schema, table_constants

TABLES = table_constants()
AFFINITY = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "INTEGER", dict: "TEXT", list: "TEXT", bytes: "BLOB"}


@pytest.fixture(scope="module")
def executed():
    """Columns of every table as SQLite describes them: {table: {column: (type, may be NULL, key, hidden)}}."""
    found = {}
    for room in ROOMS:
        raw = sqlite3.connect(":memory:")
        for statement in schemas.statements(schema(room).ddl):
            raw.execute(statement)
        for table in schemas.tables(schema(room)):
            columns = raw.execute(f"PRAGMA table_xinfo({table})").fetchall()
            found[table] = {name: (kind, not needed and not key, key, hidden) for _, name, kind, needed, _, key, hidden in columns}
        raw.close()
    return found


def hints(record):
    return typing.get_type_hints(record, vars(importlib.import_module(record.__module__)))


def taken_apart(hint):
    """(the type itself, whether None is allowed)."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    (kind,) = [part for part in parts if part is not type(None)]
    if typing.get_origin(kind) is typing.Literal:
        kind = str
    return typing.get_origin(kind) or kind, type(None) in parts


@pytest.mark.parametrize(("room", "name", "table"), TABLES, ids=[f"{room}.{name}" for room, name, _ in TABLES])
class TestTable:
    def test_its_fields_are_the_columns(self, room, name, table, executed):
        columns = executed[table.name]
        fields = list(hints(table.record))
        assert set(table.computed) <= set(fields)
        assert set(fields) - set(table.computed) | set(table.hidden) == set(columns)
        assert not set(fields) & set(table.hidden)
        assert set(table.json) | set(table.flags) <= set(fields)

    def test_what_may_be_null_may_be_none(self, room, name, table, executed):
        columns = executed[table.name]
        for field, hint in hints(table.record).items():
            if field not in table.computed:
                assert taken_apart(hint)[1] == columns[field][1], f"{table.record.__name__}.{field} is {hint}, the column {columns[field]}"

    def test_its_types_are_the_columns_types(self, room, name, table, executed):
        columns = executed[table.name]
        for field, hint in hints(table.record).items():
            kind = taken_apart(hint)[0]
            assert (kind is bool) == (field in table.flags), f"{field}: a bool is a flag, nothing else is"
            assert (kind in (dict, list)) == (field in table.json), f"{field}: dict and list are JSON, nothing else is"
            if field not in table.computed:
                assert columns[field][0] == AFFINITY[kind], f"{table.record.__name__}.{field}"

    def test_its_json_is_checked_and_its_flags_are_two_values(self, room, name, table, executed):
        definition = schemas.define(schemas.target(schema(room))["table", table.name][1]).columns
        for field in set(table.json) - set(table.computed):
            assert f"json_valid({field})" in definition[field]
        for field in set(table.flags) - set(table.computed):
            assert f"CHECK ({field} IN (0, 1))" in definition[field]

    def test_it_reads_and_writes_what_it_says(self, room, name, table, executed):
        raw = sqlite3.connect(":memory:")
        for statement in schemas.statements(schema(room).ddl):
            raw.execute(statement)
        assert len(raw.execute(table.select).description) == len(hints(table.record))
        raw.close()


def test_there_are_tables_to_test():
    assert len(TABLES) >= 8
    assert {room for room, _, _ in TABLES} >= {"chat", "corrections", "backups", "evals"}


# -- the DDL ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_all_tables_are_strict_and_all_names_say_their_table(room):
    for (kind, name), (table, sql) in schemas.target(schema(room)).items():
        if kind == "table":
            assert "strict" in schemas.normal(schemas.define(sql).options).split(" , "), f"{name} is not STRICT"
        elif kind in ("index", "trigger"):
            assert re.fullmatch(rf"{table}__[a-z_]+", name), f"{kind} {name} on {table}"


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_in_a_schema_needs_a_newer_sqlite_than_the_floor(room):
    words = schemas.normal(schema(room).ddl)
    for newer in ("unixepoch (", "right join", "stored", "jsonb", "- >", "returning"):
        assert newer not in words, newer


@pytest.mark.parametrize("room", ROOMS)
def test_a_schema_reaches_into_no_other_room(room):
    others = {table for other in ROOMS if other != room for table in schemas.tables(schema(other))}
    for (kind, name), (_, sql) in schemas.target(schema(room)).items():
        assert name not in others
        assert not set(schemas.normal(sql).split()) & others, f"{kind} {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_its_schema_under_its_own_name(room):
    assert schema(room).name == room
    assert schema(room).version >= 1
    assert set(ROOMS[room]) <= set(schemas.tables(schema(room)))


def test_names_of_tables_indexes_triggers_and_views_are_unique_across_rooms():
    names = [name for room in ROOMS for _, name in schemas.target(schema(room))] + [name for _, name in schemas.target(schemas.KERNEL)]
    assert sorted(names) == sorted(set(names))


# -- public names -------------------------------------------------------------------------------------------------------


def test_records_have_names_of_their_own():
    homes = {}
    for room in ROOMS:
        for item in classes(room):
            if issubclass(item, Record):
                homes.setdefault(item.__name__, set()).add(f"{item.__module__}")
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_public_names_mean_one_thing_in_all_rooms():
    meanings = {}
    for room in ROOMS:
        names = exported(room)
        assert names.pop("SCHEMA") is schema(room)
        for name, value in names.items():
            meanings.setdefault(name, []).append(value)
    assert [name for name, found in meanings.items() if any(item is not found[0] for item in found)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_the_records_that_it_hands_out(room):
    head = importlib.import_module(f"memstore.{room}")
    records = {item.__name__ for item in public_classes(room) if issubclass(item, Record)}
    assert records <= set(vars(head)), "records are found where their room is"
    assert {table.record.__name__ for owner, _, table in TABLES if owner == room} <= set(exported(room))


def test_the_package_offers_what_it_lists_and_lists_what_it_offers():
    assert sorted(memstore.__all__) == memstore.__all__
    assert set(memstore.__all__) == set(memstore._HOMES)
    for name in memstore.__all__:
        assert getattr(memstore, name).__name__ == name
    assert set(memstore.__all__) <= set(dir(memstore))
    with pytest.raises(AttributeError, match="module 'memstore' has no attribute 'Missing'"):
        _ = memstore.Missing


def test_type_checkers_see_the_same_names_from_the_same_homes():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for alias in node.names}
    assert seen == memstore._HOMES


def test_every_error_and_every_store_class_is_public():
    own = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.StoreError)}
    stores = {"AuditLog", "ChatStore", "CorrectionStore", "BackupStore", "EvalStore", "KeywordIndex"}
    assert own | stores | {"open_store", "Store", "HandoffNote", "AuditHead", "Message", "Embedder"} <= set(memstore.__all__)
