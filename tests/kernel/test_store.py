"""The store as a whole: opening, asking, copying, tidying, and what it leaves behind."""

from __future__ import annotations

import ast
import gc
import os
import pathlib
import sqlite3
import warnings

import pytest

import memstore
from memstore import Closed, Corrupt, Embedder, Exists, Invalid, ReadOnly, StoreError, open_store
from memstore.kernel import upkeep
from memstore.testing import FakeClock, temporary_store

from .things import INSERT, ROOT, Things, at_rest, finish, run, start

# -- opening ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"codec": object()}, Invalid, "codec must have encrypt"),
        ({"clock": None}, Invalid, "clock must be callable"),
        ({"clock": 5}, Invalid, "clock must be callable"),
        ({"audit_key": ""}, Invalid, "audit_key"),
        ({"audit_key": b""}, Invalid, "audit_key"),
        ({"audit_key": 5}, Invalid, "audit_key"),
        ({"embedder": object()}, Invalid, "embedder must be an Embedder"),
        ({"timeout": -1}, Invalid, "timeout is -1"),
        ({"timeout": float("nan")}, Invalid, "timeout is nan"),
        ({"timeout": float("inf")}, Invalid, "timeout is inf"),
        ({"timeout": "10"}, Invalid, "timeout must be a number"),
        ({"timeout": None}, Invalid, "timeout must be a number"),
        ({"timeout": True}, Invalid, "timeout must be a number"),
        ({"durability": "ful"}, Invalid, "durability 'ful' is none of normal, full .nearest: 'full'."),
        ({"durability": None}, Invalid, "durability None"),
        ({"read_only": "no"}, Invalid, "read_only must be True or False"),
        ({"create": None}, Invalid, "create must be True or False"),
    ],
)
def test_wrong_arguments_are_named_and_make_no_file(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        open_store(tmp_path / "agent.db", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_may_be_given_is_taken(tmp_path):
    with open_store(
        tmp_path / "agent.db",
        durability="full",
        timeout=0.5,
        audit_key="key",
        embedder=Embedder("m", lambda texts: []),
        clock=FakeClock(5.0),
    ) as store:
        assert store.embedder.model == "m"
        Things(store).add("a")
    with open_store(os.fspath(tmp_path / "agent.db"), create=False) as store:
        assert Things(store).words() == ["a"]


def test_a_clock_that_is_no_clock_makes_no_store(tmp_path):
    with pytest.raises(Invalid, match="clock= of this store returned is nan"):
        open_store(tmp_path / "agent.db", clock=lambda: float("nan"))
    with open_store(tmp_path / "agent.db") as store:
        assert store.check().ok


def test_a_very_long_timeout_is_no_overflow(store):
    with open_store(timeout=1e300) as patient:
        Things(patient).add("a")


def test_an_identity_is_kept_for_life_and_shared_by_no_other(tmp_path):
    with open_store(tmp_path / "a.db") as first, open_store(tmp_path / "b.db") as second, open_store() as third:
        assert len({first.store_id, second.store_id, third.store_id}) == 3
        assert len(first.store_id) == 32
        assert int(first.store_id, 16)
        born = first.store_id
    with open_store(tmp_path / "a.db") as again, open_store(tmp_path / "a.db", read_only=True) as reading:
        assert again.store_id == reading.store_id == born
        assert again.query("SELECT value FROM meta WHERE key = 'secure_delete'") == [{"value": "from birth"}]


def test_memory_stores_are_each_their_own():
    with open_store() as first, open_store(":memory:") as second:
        Things(first).add("a")
        assert Things(second).words() == []
        assert first.path == ":memory:"


# -- asking -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def things(store):
    """Three words."""
    room = Things(store)
    for word in "abc":
        room.add(word)
    return room


def test_a_question_in_sql_is_answered_with_dicts(store, things):
    assert store.query("SELECT word, part FROM things WHERE pk > ? ORDER BY pk", [1]) == [
        {"word": "b", "part": 0},
        {"word": "c", "part": 0},
    ]
    assert store.query("SELECT :n AS n, :t AS t", {"n": None, "t": "é"}) == [{"n": None, "t": "é"}]
    assert store.query("  -- why\n /* not */ WITH x(n) AS (VALUES (1)) SELECT n FROM x;") == [{"n": 1}]
    assert store.query("VALUES (1, 'x')") == [{"column1": 1, "column2": "x"}]
    assert store.query("select count(*) AS n from things where word = 'z'") == [{"n": 0}]
    assert store.query("SELECT word FROM things WHERE 0") == []
    assert store.query("EXPLAIN QUERY PLAN SELECT word FROM things")


WRITES = [
    "INSERT INTO things(word) VALUES ('x')",
    "UPDATE things SET word = 'x'",
    "DELETE FROM things",
    "REPLACE INTO things(pk, word) VALUES (1, 'x')",
    "WITH x(w) AS (VALUES ('x')) INSERT INTO things(word) SELECT w FROM x",
    "WITH x(w) AS (VALUES ('x')) DELETE FROM things WHERE word IN (SELECT w FROM x)",
    "DROP TABLE things",
    "CREATE TABLE other(x)",
    "CREATE TEMP TABLE other(x)",
    "ALTER TABLE things ADD COLUMN x",
    "PRAGMA user_version = 5",
    "PRAGMA query_only = OFF",
    "ATTACH 'other.db' AS other",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'other.db'",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE level1",
    "REINDEX",
    "ANALYZE",
    "SELECT 1; DELETE FROM things",
    "/* SELECT */ DELETE FROM things",
    "-- SELECT\nDELETE FROM things",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_question_that_would_write_is_refused_everywhere(store, things, sql, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(Invalid):
        store.query(sql)
    with store.transaction():
        things.add("d")
        with pytest.raises(Invalid):
            store.query(sql)
        things.add("e")
    assert things.words() == ["a", "b", "c", "d", "e"]
    assert store.query("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'other'") == [{"n": 0}]
    assert sorted(os.listdir(tmp_path)) == before
    assert at_rest(store)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("", ()),
        ("   ", ()),
        (None, ()),
        (5, ()),
        ("SELECT", ()),
        ("SELECT nonsense FROM things", ()),
        ("SELECT 1 FROM nothing", ()),
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT ?", (object(),)),
        ("SELECT ?", (2**63,)),
        ("SELECT ?", ("\ud800",)),
        ("SELECT ?", 5),
        ("SELECT ?", None),
        ("SELECT :a", {"b": 1}),
        ("SELECT '\ud800'", ()),
        ("SELECT 1\0", ()),
        ("SELECT randomblob(2000000000)", ()),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_by_name(store, things, sql, params):
    with pytest.raises(Invalid):
        store.query(sql, params)
    assert things.words() == ["a", "b", "c"]
    things.add("d")
    assert at_rest(store)


# -- copying ------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_a_store_in_one_file(store, things, tmp_path):
    seen = []
    with things.room.write() as connection:
        connection.many(INSERT, [("x" * 500, part) for part in range(30_000)])
    target = tmp_path / "copy.db"
    assert store.snapshot(target, progress=lambda done, total: seen.append((done, total))) == str(target)
    assert len(seen) > 1
    assert seen[-1][0] == seen[-1][1] == os.stat(target).st_size // 4096
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("copy")] == ["copy.db"]
    with open_store(target) as copy:
        assert copy.store_id == store.store_id
        assert len(Things(copy).words()) == 30_003
        assert copy.check().ok
    assert target.stat().st_size > 10_000_000


def test_a_snapshot_holds_what_is_committed(file_store, tmp_path):
    things = Things(file_store)
    things.add("a")
    with file_store.transaction():
        things.add("b")
        file_store.snapshot(tmp_path / "copy.db")
    with open_store(tmp_path / "copy.db", read_only=True) as copy:
        assert Things(copy).words() == ["a"]


def test_a_memory_store_in_a_transaction_is_not_copied_by_half(tmp_path):
    with open_store() as store:
        Things(store).add("a")
        with store.transaction(), pytest.raises(Invalid, match="leave the block first"):
            store.snapshot(tmp_path / "copy.db")
        assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from memstore import open_store
from kernel.things import Things

with open_store(sys.argv[1]) as store:
    things = Things(store)
    print("writing", flush=True)
    for number in range(10_000):
        with store.transaction():
            things.add(f"{number}", 1)
            things.add("x" * 2000)
            things.add(f"{number}", 2)
        if number % 10 == 0:
            print(number, flush=True)
"""


def test_a_snapshot_while_another_process_writes_is_one_state(file_store, tmp_path):
    things = Things(file_store)
    with things.room.write() as connection:
        connection.many(INSERT, [("x" * 2000, part) for part in range(5000)])
    child = start(WRITER, file_store.path)
    with child:
        child.stdout.readline()
        try:
            for number in range(3):
                child.stdout.readline()
                steps = []
                file_store.snapshot(
                    tmp_path / f"{number}.db", progress=lambda done, total, steps=steps: steps.append(child.stdout.readline())
                )
                assert len(steps) > 1, "the other has gone on writing between the steps"
        finally:
            child.kill()
    for number in range(3):
        with open_store(tmp_path / f"{number}.db", read_only=True) as copy:
            assert copy.check().ok
            marks = [word for word in Things(copy).words() if not word.startswith("x")]
            assert len(marks) > 0
            assert marks[::2] == marks[1::2]


def test_an_earlier_snapshot_is_replaced_and_nothing_else_is(store, things, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    target = folder / "copy.db"
    store.snapshot(target)
    things.add("d")
    store.snapshot(target)
    with open_store(target, read_only=True) as copy:
        assert len(Things(copy).words()) == 4
    with open_store(folder / "another.db") as another:
        Things(another).add("precious")
    sqlite3.connect(folder / "foreign.db").close()
    raw = sqlite3.connect(folder / "foreign.db")
    raw.execute("CREATE TABLE users(id)")
    raw.close()
    (folder / "empty").touch()
    (folder / "notes.txt").write_text("notes")
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    for name in ("another.db", "foreign.db", "empty", "notes.txt"):
        with pytest.raises(Exists, match="no snapshot of this store"):
            store.snapshot(folder / name)
    with open_store(folder / "another.db") as another:
        with pytest.raises(Exists):
            store.snapshot(folder / "another.db")
        assert Things(another).words() == ["precious"]
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before


def test_a_store_is_not_copied_onto_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store("agent.db") as store:
        Things(store).add("a")
        (tmp_path / "link").symlink_to("agent.db")
        for name in ("agent.db", tmp_path / "agent.db", "link", "./agent.db"):
            with pytest.raises(Exists, match="this store itself"):
                store.snapshot(name)
    with open_store("agent.db", read_only=True) as store, pytest.raises(Exists, match="this store itself"):
        store.snapshot("agent.db")
    with open_store("agent.db") as store:
        assert Things(store).words() == ["a"]


def test_a_store_that_was_written_to_is_no_snapshot_that_may_be_replaced(tmp_path):
    with open_store(tmp_path / "live.db") as store:
        Things(store).add("old")
        store.snapshot(tmp_path / "copy.db")
        store.snapshot(tmp_path / "copy.db")  # nobody has written to it
        Things(store).add("new")
    with open_store(tmp_path / "copy.db") as copy:
        with pytest.raises(Exists, match="this store itself, or a snapshot that was written to since"):
            copy.snapshot(tmp_path / "live.db")
        with pytest.raises(KeyError), copy.transaction():
            Things(copy).add("undone")
            raise KeyError
    with open_store(tmp_path / "live.db") as store:
        assert Things(store).words() == ["old", "new"]
        store.snapshot(tmp_path / "copy.db")
    with open_store(tmp_path / "copy.db") as copy:
        Things(copy).add("mine")
    with open_store(tmp_path / "live.db") as store:
        with pytest.raises(Exists, match="written to since"):
            store.snapshot(tmp_path / "copy.db")


@pytest.mark.damage
def test_a_damaged_store_does_not_replace_its_last_good_snapshot(tmp_path):
    path, copy = tmp_path / "agent.db", tmp_path / "copy.db"
    with open_store(path) as store:
        for number in range(200):
            Things(store).add(f"{number} " + "x" * 500)
        store.snapshot(copy)
    good = copy.read_bytes()
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size - 3 * 4096)
        file.write(bytes(4096))
    with open_store(path) as store:
        with pytest.raises(Corrupt, match="this store is damaged .* what was there is as it was"):
            store.snapshot(copy)
    assert copy.read_bytes() == good
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["agent.db", "copy.db"]


@pytest.mark.parametrize("wrong", [None, 5, "", "a\0b", "missing/copy.db", "."])
def test_a_snapshot_needs_a_name_it_can_have(store, things, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(Invalid):
        store.snapshot(wrong)
    assert sorted(os.listdir(tmp_path)) == before
    assert at_rest(store)


def test_a_snapshot_that_is_stopped_leaves_nothing(store, things, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()

    def stop(done, total):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.snapshot(folder / "copy.db", progress=stop)
    assert list(folder.iterdir()) == []
    assert at_rest(store)
    store.snapshot(folder / "copy.db")
    kept = (folder / "copy.db").read_bytes()
    with pytest.raises(ZeroDivisionError):
        store.snapshot(folder / "copy.db", progress=stop)
    assert [(entry.name, entry.read_bytes()) for entry in folder.iterdir()] == [("copy.db", kept)]


# -- counting, checking, tidying ----------------------------------------------------------------------------------------


def test_stats_tell_what_there_is(store, things):
    store.chat.create_conversation(title="t")
    stats = store.stats()
    assert (stats.path, stats.store_id) == (store.path, store.store_id)
    assert set(stats.rooms) == {"things", "chat", "keywords"} or set(stats.rooms) == {"things", "chat"}
    assert {line.table: line.rows for line in stats.tables}["conversations"] == 1
    assert stats.bytes > 0
    assert (stats.wal_bytes == 0) == (store.path == ":memory:")
    assert not stats.scrub_owed
    assert stats.sqlite_version == sqlite3.sqlite_version
    assert stats.to_dict()["tables"][0]["room"] == "chat"


def test_stats_and_check_work_inside_a_transaction(store, things):
    with store.transaction():
        store.chat.create_conversation(title="t")
        assert {line.table: line.rows for line in store.stats().tables}["conversations"] == 1
        assert store.check().ok
    assert store.check().ok


@pytest.mark.damage
def test_damage_is_found_and_never_raised(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.chat.create_conversation(title="t")
        for number in range(500):
            Things(store).add(f"{number} " + "x" * 300)
    content = bytearray(path.read_bytes())
    for page in range(len(content) // 8192, len(content) // 4096):
        content[page * 4096 : page * 4096 + 8] = b"\xaa" * 8
    path.write_bytes(content)
    with open_store(path) as store:
        report = store.check()
        assert not report.ok
        assert report.findings
        assert repr(store).startswith("<Store agent.db")


def test_deep_check_tells_of_an_sqlite_that_others_may_lose_commits_with(store, monkeypatch):
    monkeypatch.setattr(upkeep.sqlite3, "sqlite_version_info", (3, 45, 0))
    report = store.check(deep=True)
    assert report.ok
    assert [finding.kind for finding in report.findings] == ["sqlite"]
    monkeypatch.setattr(upkeep.sqlite3, "sqlite_version_info", (3, 52, 0))
    assert store.check(deep=True).findings == []
    with pytest.raises(Invalid, match="deep"):
        store.check(deep="yes")


def test_optimize_gives_space_back_and_keeps_books(file_store, store_clock):
    things = Things(file_store)
    with things.room.write() as connection:
        connection.many(INSERT, [("x" * 3000, part) for part in range(2000)])
    full = file_store.optimize()
    with things.room.write() as connection:
        connection.run("DELETE FROM things WHERE part > 10")
    store_clock.advance(60)
    stats = file_store.optimize()
    assert stats.bytes < full.bytes / 10
    assert os.stat(file_store.path).st_size == stats.bytes
    assert (stats.operation_count, stats.total_vacuums, stats.total_analyzes) == (2, 1, 2)
    assert stats.last_vacuum_at == stats.last_analyze_at == store_clock.now
    assert len(things.words()) == 11


def test_optimize_of_a_read_only_store_is_refused(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        things = Things(store)
        with things.room.write() as connection:
            connection.many(INSERT, [("x" * 3000, part) for part in range(200)])
        with things.room.write() as connection:
            connection.run("DELETE FROM things")
    before = (tmp_path / "agent.db").read_bytes()
    with open_store(tmp_path / "agent.db", read_only=True) as store, pytest.raises(ReadOnly):
        store.optimize()
    assert (tmp_path / "agent.db").read_bytes() == before


# -- looks --------------------------------------------------------------------------------------------------------------


def test_a_store_shows_the_rooms_that_have_rows(store):
    name = store._database.name
    assert repr(store) == f"<Store {name} (empty)>"
    assert "empty" in store._repr_html_()
    store.chat.create_conversation(title="<b>bold</b>")
    assert repr(store).startswith(f"<Store {name} (chat: ")
    assert "1 conversation)" in repr(store)
    assert "store.chat" in store._repr_html_()


@pytest.mark.skipif(os.name != "posix", reason="such names need POSIX")
def test_html_is_escaped(tmp_path):
    with open_store(tmp_path / "<script>.db") as store:
        assert "<script>" not in store._repr_html_()
        assert "&lt;script&gt;" in store._repr_html_()


# -- what it leaves behind ----------------------------------------------------------------------------------------------


def test_a_store_that_is_dropped_unclosed_is_closed_and_told(tmp_path):
    store = open_store(tmp_path / "agent.db")
    Things(store).add("a")
    database = store._database
    with pytest.warns(ResourceWarning, match=r"unclosed store .*agent\.db; use it in a with block"):
        del store
        gc.collect()
    assert database.unusable is not None
    assert os.listdir(tmp_path) == ["agent.db"]


def test_a_memory_store_that_is_dropped_and_a_store_that_is_closed_say_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = open_store()
        store.chat.create_conversation(title="t")
        del store
        store = open_store(tmp_path / "agent.db")
        store.chat.create_conversation(title="t")
        store.close()
        del store
        gc.collect()


LEFT_OPEN = """
import sys
from memstore import open_store
from kernel.things import Things
store = open_store(sys.argv[1])
Things(store).add("a")
print("end")
"""


def test_a_store_left_open_when_the_interpreter_ends_is_closed_quietly(tmp_path):
    assert run(LEFT_OPEN, tmp_path / "agent.db") == "end\n"
    assert os.listdir(tmp_path) == ["agent.db"]


def test_a_daemon_thread_that_writes_while_the_interpreter_ends_breaks_nothing(tmp_path):
    code = """
import sys, threading
from memstore import StoreError, open_store
from kernel.things import Things
store = open_store(sys.argv[1])
things = Things(store)
begun = threading.Event()

def write():
    while True:
        try:
            things.add("x")
        except StoreError:
            return
        begun.set()

threading.Thread(target=write, daemon=True).start()
begun.wait()
"""
    for _ in range(3):
        finish(start(code, tmp_path / "agent.db"))
        with open_store(tmp_path / "agent.db") as store:
            assert set(Things(store).words()) == {"x"}
            assert store.check().ok


def test_using_a_store_starts_no_thread_and_opens_no_socket(tmp_path):
    code = """
import os, socket, sys, threading
sys.modules["socket"].socket = None  # whoever made one would fail
from memstore import open_store
with open_store(sys.argv[1]) as store:
    chat = store.chat.create_conversation(title="t")
    store.chat.append(chat.id, "user", "hello")
    store.chat.search("hello")
    print(threading.active_count(), [name for name in ("asyncio", "concurrent.futures", "ssl", "urllib.request") if name in sys.modules])
    if os.path.isdir("/proc/self/fd"):
        descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        assert not any(os.readlink(path).startswith("socket") for path in descriptors if os.path.islink(path))
"""
    assert run(code, tmp_path / "agent.db") == "1 []\n"


IMPORTED = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import memstore
print(sorted(set(sys.modules) - before))
assert dir(memstore)
print(sorted(set(sys.modules) - before))
"""


def test_importing_memstore_imports_nothing_else():
    assert finish(start(IMPORTED, ROOT, flags=("-S", "-I", "-W", "error"))) == "['memstore']\n['memstore']\n"


def test_the_public_names_are_the_same_in_all_three_lists():
    tree = ast.parse(pathlib.Path(memstore.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in branch.body
        for alias in node.names
    }
    assert typed == memstore._HOMES
    assert sorted(memstore.__all__) == memstore.__all__ == sorted(memstore._HOMES)


def test_every_public_name_arrives_and_an_unknown_one_does_not():
    for name in memstore.__all__:
        assert getattr(memstore, name).__name__ == name
    assert set(memstore.__all__) < set(dir(memstore))
    with pytest.raises(AttributeError, match="no attribute 'open_stor'"):
        memstore.open_stor  # noqa: B018
    scope = {}
    exec("from memstore import *", scope)
    assert set(memstore.__all__) <= set(scope)


def test_every_error_is_a_store_error():
    from memstore.kernel import errors

    found = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert len(found) > 15
    for error in found:
        assert issubclass(error, StoreError)
        assert getattr(memstore, error.__name__) is error
        assert error.__doc__


def test_temporary_stores_are_gone_after_the_block():
    with temporary_store(timeout=1.0) as store:
        path = store.path
        Things(store).add("a")
        assert os.path.exists(path)
    assert not os.path.exists(os.path.dirname(path))
    with pytest.raises(Closed):
        store.stats()
