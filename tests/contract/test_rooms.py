"""What holds for every room, whatever it is about."""

from __future__ import annotations

import contextlib
import doctest
import gc
import importlib
import inspect
import re
import sqlite3
import warnings

import pytest

import memstore
from memstore import Closed, Corrupt, ReadOnly, SchemaTooNew, open_store
from memstore.kernel import schema as schemas
from memstore.kernel.room import rooms_in_file
from memstore.store import ROOMS, Store
from memstore.testing import FakeClock

from .rooms import PACKAGE, ROOT, lone_calls, public_classes, schema

every_room = pytest.mark.parametrize("room", ROOMS)


def touched(store, room):
    """The room, its tables made."""
    found = getattr(store, room)
    found.db.value("SELECT 1")
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


# -- life of a room -----------------------------------------------------------------------------------------------------


@every_room
def test_it_is_made_on_first_use_and_found_ever_after(store, room):
    assert rooms_in_file(store._database) == {}
    assert getattr(store, room) is getattr(store, room)
    assert rooms_in_file(store._database) == {}, "its attribute alone makes nothing"
    assert touched(store, room).check() == []
    assert room in rooms_in_file(store._database)
    assert store.check().ok
    assert store.stats().rooms[room] == schema(room).version


@every_room
def test_it_is_the_same_after_reopening(path, room):
    with open_store(path, clock=FakeClock()) as store:
        touched(store, room)
        before = store.query("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
    with open_store(path, clock=FakeClock()) as store:
        assert store.check().ok
        touched(store, room)
        assert store.query("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name") == before
        tables = {row["name"] for row in before if row["type"] == "table"}
        assert set(schemas.tables(schema(room))) <= tables


@every_room
def test_its_making_is_undone_with_the_transaction_around_it(store, room):
    with pytest.raises(ZeroDivisionError), store.transaction():
        touched(store, room)
        assert room in rooms_in_file(store._database)
        raise ZeroDivisionError
    assert rooms_in_file(store._database) == {}
    with store.transaction():
        with pytest.raises(ZeroDivisionError), store.transaction():
            touched(store, room)
            raise ZeroDivisionError
        assert room not in rooms_in_file(store._database)
    assert touched(store, room).check() == []


@every_room
def test_two_handles_use_it_at_once(path, room):
    with open_store(path) as one, open_store(path) as other:
        assert touched(one, room).check() == []
        assert touched(other, room).check() == []


@every_room
def test_once_the_store_is_closed_every_method_says_so(store, room):
    found = touched(store, room)
    calls = lone_calls(type(found))
    assert "check" in calls
    store.close()
    store.close()
    for name in calls:
        if name not in ("catch_up", "keep_up"):  # which do what they can and never say what they could not
            with pytest.raises(Closed, match="is closed; open it again"):
                getattr(found, name)()


@every_room
def test_read_only_it_reads_as_empty_where_it_is_not_and_writes_nothing(path, room):
    open_store(path).close()
    image = path.read_bytes()
    with open_store(path, read_only=True) as store:
        found = getattr(store, room)
        assert found.check() == []
        for name in lone_calls(type(found)):
            with contextlib.suppress(ReadOnly):
                answer = getattr(found, name)()
                assert not isinstance(answer, list) or answer == [], name
        assert store.check().ok
        assert rooms_in_file(store._database) == {}
    assert path.read_bytes() == image


@every_room
def test_read_only_it_reads_what_is_there(path, room):
    with open_store(path) as store:
        touched(store, room)
    with open_store(path, read_only=True) as store:
        found = getattr(store, room)
        assert found.check() == []
        for name in lone_calls(type(found)):
            with contextlib.suppress(ReadOnly):
                getattr(found, name)()


# -- damage -------------------------------------------------------------------------------------------------------------


LOST = [(room, table) for room in ROOMS for table in schemas.tables(schema(room))]


@pytest.mark.damage
@pytest.mark.parametrize(("room", "table"), LOST)
def test_a_table_that_is_gone_is_named_and_never_made_again(path, room, table):
    with open_store(path) as store:
        touched(store, room)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute(f"DROP TABLE {table}")
    with open_store(path) as store:
        with pytest.raises(Corrupt, match=f"{room} has lost its table {table}"):
            touched(store, room)
        report = store.check()
        assert not report.ok
        assert ("missing", None, f"table {table} is gone ({room})") in report.findings
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (table,)).fetchone() == (0,)


OBJECTS = [(room, kind, name) for room in ROOMS for kind, name in schemas.target(schema(room)) if kind != "table"]


@pytest.mark.damage
@pytest.mark.parametrize(("room", "kind", "name"), OBJECTS)
def test_an_index_trigger_or_view_that_is_gone_or_another_is_a_finding(path, room, kind, name):
    with open_store(path) as store:
        touched(store, room)
    table = schemas.target(schema(room))[kind, name][0]
    another = {
        "index": f"CREATE INDEX {name} ON {table}(1)",
        "trigger": f"CREATE TRIGGER {name} BEFORE DELETE ON {table} BEGIN SELECT 1; END",
        "view": f"CREATE VIEW {name} AS SELECT 1",
    }
    for change in (f"DROP {kind} {name}", another[kind]):
        with contextlib.closing(sqlite3.connect(path)) as raw:
            raw.execute(change)
        with open_store(path) as store:
            found = [finding for finding in store.check().findings if finding.kind == "schema"]
        assert found, change
        assert all(name in finding.detail and room in finding.detail for finding in found)


@pytest.mark.damage
@every_room
def test_a_room_of_a_newer_memstore_is_left_alone(path, room):
    with open_store(path) as store:
        touched(store, room)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("UPDATE schema_version SET version = version + 1, digest = 'newer' WHERE room = ?", (room,))
        raw.execute(f"ALTER TABLE {ROOMS[room][0]} ADD COLUMN from_the_future TEXT")
    image = path.read_bytes()
    with open_store(path) as store:
        with pytest.raises(SchemaTooNew, match=f"{room} in this file has schema .* upgrade memstore; nothing was touched"):
            touched(store, room)
        report = store.check()
        assert not report.ok, "a room that cannot be used is not in order"
        assert [finding for finding in report.findings if finding.kind in ("schema", "missing", "corrupt")] == [], "newer is not damaged"
        assert any(finding.kind == "other_version" and "upgrade memstore" in finding.detail for finding in report.findings)
    assert path.read_bytes() == image


# -- what is written about it -------------------------------------------------------------------------------------------


def documented():
    """(name, docstring) of every public class, function and method."""
    public = [item for room in ROOMS for item in public_classes(room)] + [getattr(memstore, name) for name in memstore.__all__]
    for item in {f"{value.__module__}.{value.__qualname__}": value for value in public}.items():
        yield item[0], item[1].__doc__
        for name, member in vars(item[1]).items() if inspect.isclass(item[1]) else ():
            plain = member.func if hasattr(member, "func") else member.fget if isinstance(member, property) else member
            plain = plain.__func__ if isinstance(plain, (classmethod, staticmethod)) else plain
            if not name.startswith("_") and inspect.isfunction(plain):
                yield f"{item[0]}.{name}", plain.__doc__


DOCUMENTED = list(documented())  # while nothing is replaced by a fixture


def test_everything_public_says_in_one_sentence_what_it_is():
    bad = {}
    for name, text in DOCUMENTED:
        first = (text or "").strip().split("\n\n")[0]
        if "\n" in first or not first.endswith(".") or re.search(r"[.!?] [A-Z]", first):
            bad[name] = first
    assert bad == {}


@every_room
def test_its_store_class_ends_its_description_in_an_example_that_shows_something(store, room):
    text = inspect.cleandoc(type(getattr(store, room)).__doc__)
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, "no example"
    assert any(example.want for example in examples)
    assert 3 <= sum(len(example.source.splitlines()) + len(example.want.splitlines()) for example in examples) <= 12
    tail = text.rsplit(">>>", 1)[1]
    assert "\n\n" not in tail.rstrip(), "the example comes last"


MODULES = sorted(
    ".".join(("memstore", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if file.name != "__main__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run_as_they_stand(name):
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for test in doctest.DocTestFinder(exclude_empty=True).find(module):
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            if test.examples:
                runner.run(test)
                assert runner.failures == 0, test.name
                gc.collect()  # what an example leaves open is warned of here


def test_the_store_has_an_example():
    assert ">>>" in Store.__doc__


@every_room
def test_the_readme_shows_it(room):
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README yet")
    assert f"store.{room}" in readme.read_text(encoding="utf-8")
