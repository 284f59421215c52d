"""A room's way to its schema in a file: created on first use, brought up once, never guessed at, whatever happens on the way."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import subprocess
import sys
import threading

import pytest

from memstore.kernel import (
    Busy,
    Corrupt,
    DiskFull,
    Invalid,
    NeedsUpgrade,
    NotAStore,
    SchemaTooNew,
    Step,
    StoreError,
    TransactionAborted,
    files,
)
from memstore.kernel import schema as schemas
from memstore.kernel.blocks import Read, Write
from memstore.kernel.room import check_schema, rooms_in_file

from .harness import NEW, OLD, ageing, environment, opened, plain, renaming, room, run, schema, shape

POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "things.db")


@pytest.fixture
def old(path):
    """A file with the old schema: 3 parents, 6 children, and a table and an index of the user's own."""
    with opened(path) as database, room(database, OLD).write() as connection:
        connection.many("INSERT INTO parents(id, kind) VALUES (?, ?)", [(1, "a"), (2, "b"), (9, "a")])
        connection.many("INSERT INTO children(parent) VALUES (?)", [(1,), (1,), (2,), (2,), (9,), (9,)])
        connection.run("CREATE TABLE mine(x TEXT)")
        connection.run("CREATE INDEX mine_too ON parents(kind)")
        connection.run("CREATE VIEW mine_seen AS SELECT kind FROM parents")
    return path


def version(database, name="things"):
    with Read(database, False) as connection:
        return connection.row("SELECT version, digest FROM schema_version WHERE room = ?", (name,))


# -- first use ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [":memory:", "file"])
def test_a_room_is_made_when_it_is_first_read_and_found_ever_after(place, path):
    with opened(place if place == ":memory:" else path) as database:
        things = room(database, OLD)
        assert not things.present("things")
        assert rooms_in_file(database) == {}, "asking does not make it"
        assert things.rows("SELECT id FROM parents") == []
        assert things.present("things")
        assert room(database, OLD).value("SELECT count(*) FROM children") == 0
        assert rooms_in_file(database) == {"things": 1}
        assert check_schema(database, schema(OLD, 1)) == []


def test_a_room_that_is_there_costs_one_question(old):
    with opened(old) as database:
        seen = []
        things = room(database, OLD)
        with Read(database, False) as connection:
            connection.raw.set_trace_callback(seen.append)
        assert things.value("SELECT count(*) FROM parents") == 3
        assert things.value("SELECT count(*) FROM parents") == 3
        assert [statement.split()[1] for statement in seen] == ["CAST(version", "count(*)", "count(*)"]
        assert database.writer.raw.total_changes == 0


@pytest.mark.parametrize("read_only", [False, True])
def test_a_room_that_was_found_is_not_looked_for_again(old, path, read_only):
    with opened(old, read_only=read_only) as database:
        seen = []
        assert room(database, OLD).value("SELECT count(*) FROM parents") == 3
        with Read(database, False) as connection:
            connection.raw.set_trace_callback(seen.append)
        assert room(database, OLD).value("SELECT count(*) FROM parents") == 3
        assert seen == ["SELECT count(*) FROM parents"]


def test_a_room_made_in_a_transaction_is_not_looked_for_again(path):
    with opened(path) as database:
        seen, things = [], room(database, OLD)
        with Write(database) as connection:
            things.value("SELECT count(*) FROM parents")
            connection.raw.set_trace_callback(seen.append)
            things.value("SELECT count(*) FROM parents")
            connection.raw.set_trace_callback(None)
        with Read(database, False) as connection:
            connection.raw.set_trace_callback(seen.append)
        things.value("SELECT count(*) FROM parents")
        assert seen == ["SELECT count(*) FROM parents"] * 2


def test_a_transaction_that_fails_takes_the_room_with_it(path):
    with opened(path) as database:
        things = room(database, OLD)
        with pytest.raises(ZeroDivisionError), Write(database):
            assert things.value("SELECT count(*) FROM parents") == 0
            with things.write() as connection:
                connection.run("INSERT INTO parents(kind) VALUES ('b')")
            raise ZeroDivisionError
        assert rooms_in_file(database) == {}
        assert things.value("SELECT count(*) FROM parents") == 0, "it is made again, empty"
        assert rooms_in_file(database) == {"things": 1}


def test_a_savepoint_that_fails_takes_the_room_with_it_and_the_transaction_goes_on(path):
    with opened(path) as database:
        things = room(database, OLD)
        with Write(database):
            with pytest.raises(ZeroDivisionError), Write(database):
                things.value("SELECT count(*) FROM parents")
                raise ZeroDivisionError
            assert not things.present("things")
            with things.write() as connection:
                connection.run("INSERT INTO parents(kind) VALUES ('b')")
            with pytest.raises(ZeroDivisionError), things.write():
                raise ZeroDivisionError
            assert things.value("SELECT count(*) FROM parents") == 1
        assert things.value("SELECT count(*) FROM parents") == 1
    with opened(path) as database:
        assert room(database, OLD).value("SELECT count(*) FROM parents") == 1


def test_a_room_that_is_not_committed_is_not_known_to_other_threads(path):
    answers = []

    def read():
        try:
            answers.append(things.rows("SELECT id FROM parents"))
        except StoreError as error:
            answers.append(type(error))

    with opened(path, timeout=0.0) as database:
        things = room(database, OLD)
        with pytest.raises(ZeroDivisionError), Write(database):
            things.value("SELECT count(*) FROM parents")
            other = threading.Thread(target=read)
            other.start()
            other.join()
            raise ZeroDivisionError
        read()
        assert answers == [Busy, []], "it waits for the transaction like any writer, and never meets half a room"


def test_a_name_that_somebody_else_has_taken_is_refused(path):
    with opened(path) as database, Write(database) as connection:
        connection.run("CREATE TABLE parents(mine TEXT)")
    with opened(path) as database:
        with pytest.raises(StoreError, match=r"the file has a table parents that things did not make; rename it"):
            room(database, OLD).read().__enter__()
        assert rooms_in_file(database) == {}
        with Write(database) as connection:
            connection.run("ALTER TABLE parents RENAME TO my_parents")
        assert room(database, OLD).rows("SELECT id FROM parents") == []


@pytest.mark.parametrize("first", [True, False])
def test_a_store_that_somebody_else_begins_while_we_look_is_not_foreign(path, monkeypatch, first):
    open(path, "w").close()
    look = schemas.objects

    def looking(raw):
        monkeypatch.setattr(schemas, "objects", look)
        before = look(raw)
        with opened(path) as other:
            room(other, OLD).value("SELECT 1")
        return before if first else look(raw)

    monkeypatch.setattr(schemas, "objects", looking)
    with opened(path) as database:
        assert rooms_in_file(database) == {"things": 1}


@pytest.mark.parametrize("theirs", ["CREATE TABLE t(x)", "CREATE VIEW v AS SELECT 1"])
def test_a_file_of_another_application_is_refused_and_not_touched(path, theirs):
    raw = sqlite3.connect(path)
    raw.execute(theirs)
    raw.close()
    image = pathlib.Path(path).read_bytes()
    for read_only in (False, True):
        with pytest.raises(NotAStore, match=r"belongs to another application \(tables: [tv]\)"), opened(path, read_only=read_only):
            pass
    assert pathlib.Path(path).read_bytes() == image
    assert not os.path.exists(path + "-wal")


# -- bringing a file up -------------------------------------------------------------------------------------------------


def test_an_old_file_is_brought_up_by_a_read_or_a_write_with_all_its_rows(old, tmp_path):
    with opened(tmp_path / "fresh.db") as database, room(database, NEW, 2).read() as connection:
        fresh = shape(connection)
    with opened(old) as database:
        things = room(database, NEW, 2)
        assert things.rows("SELECT id, kind, name FROM parents") == [(1, "a", ""), (2, "b", ""), (9, "a", "")]
        assert things.rows("SELECT parent, age FROM children") == [(1, 0.0), (1, 0.0), (2, 0.0), (2, 0.0), (9, 0.0), (9, 0.0)]
        with things.read() as connection:
            tables, others = shape(connection)
        assert "mine" in tables and ("index", "mine_too") in others
        assert tables["children"] == fresh[0]["children"]
        assert tables["parents"][0] == fresh[0]["parents"][0]
        assert fresh[1].items() <= others.items()
        assert check_schema(database, schema(NEW, 2)) == []
        assert version(database) == (2, schema(NEW, 2).digest)


def test_after_a_migration_foreign_keys_hold_in_the_same_handle(old):
    with opened(old) as database:
        things = room(database, NEW, 2)
        with things.write() as connection:
            assert connection.value("PRAGMA foreign_keys") == 1
            assert connection.value("PRAGMA legacy_alter_table") == 0
            assert connection.insert("INSERT INTO parents(kind) VALUES ('c')") == 10, "the mark of the rebuilt table stands"
            with pytest.raises(Invalid, match="FOREIGN KEY"):
                connection.run("INSERT INTO children(parent) VALUES (777)")
            connection.run("DELETE FROM parents WHERE id = 1")
        assert things.value("SELECT count(*) FROM children") == 4, "and the cascade works, which did not fire in the rebuild"


def test_a_view_of_the_users_that_is_broken_does_not_stop_a_migration(old):
    with opened(old) as database, Write(database) as connection:
        connection.run("CREATE VIEW mine_broken AS SELECT kind FROM a_table_that_is_gone")
    with opened(old) as database:
        assert room(database, NEW, 2).value("SELECT count(name) FROM parents") == 3
        assert room(database, NEW, 2).rows("SELECT kind FROM mine_seen ORDER BY kind") == [("a",), ("a",), ("b",)]


def test_a_migration_that_is_refused_changes_nothing_and_the_handle_goes_on(old):
    narrow = NEW.replace("('a', 'b', 'c')", "('a')")
    before = plain(old)
    with opened(old) as database:
        with pytest.raises(Invalid, match="parents does not fit schema 2 of things .*CHECK.* it needs a named Step"):
            room(database, narrow, 2).value("SELECT 1")
        assert plain(old) == before
        with room(database, OLD).write() as connection:
            assert connection.value("PRAGMA foreign_keys") == 1
            connection.run("UPDATE parents SET kind = 'a'")
        assert room(database, narrow, 2).value("SELECT count(*) FROM parents") == 3


def test_a_migration_that_finds_the_disk_full_changes_nothing(old, monkeypatch):
    before, connect = plain(old), files.connect

    def small(*arguments, **options):
        raw = connect(*arguments, **options)
        raw.execute("PRAGMA max_page_count = 1")
        return raw

    filler = Step("fill", lambda connection: connection.many("INSERT INTO parents(name) VALUES (?)", [("x" * 900,)] * 100), before=False)
    with opened(old) as database:
        monkeypatch.setattr(files, "connect", small)
        with pytest.raises(DiskFull):
            room(database, NEW, 2, [filler]).value("SELECT 1")
        monkeypatch.undo()
        assert plain(old) == before
        assert room(database, NEW, 2, [filler]).value("SELECT count(*) FROM parents") == 103


def overtaken(database, monkeypatch, by):
    """Let another handle do something to the file just before this one gets its turn to write."""
    begin = database.begin_immediate

    def late(*arguments):
        monkeypatch.setattr(database, "begin_immediate", begin)
        with opened(database.place) as other:
            by(other)
        return begin(*arguments)

    monkeypatch.setattr(database, "begin_immediate", late)


def test_a_room_that_another_process_makes_first_is_taken_as_it_is(path, monkeypatch):
    with opened(path) as database:
        overtaken(database, monkeypatch, lambda other: room(other, OLD).value("SELECT 1"))
        assert room(database, OLD).value("SELECT count(*) FROM parents") == 0


def test_a_room_that_another_process_makes_first_and_older_is_brought_up(path, monkeypatch):
    with opened(path) as database:
        overtaken(database, monkeypatch, lambda other: room(other, OLD).value("SELECT 1"))
        assert room(database, NEW, 2).value("SELECT count(name) FROM parents") == 0
        assert rooms_in_file(database) == {"things": 2}


def test_a_room_that_another_process_brings_further_first_is_left_alone(old, monkeypatch):
    with opened(old) as database:
        overtaken(database, monkeypatch, lambda other: room(other, NEW, 3).value("SELECT 1"))
        with pytest.raises(SchemaTooNew):
            room(database, NEW, 2).value("SELECT 1")
        assert rooms_in_file(database) == {"things": 3}


def test_a_migration_whose_transaction_sqlite_has_rolled_back_does_nothing_more(old):
    before = plain(old)
    lost = Step("as if the disk were full", lambda connection: connection.raw.execute("ROLLBACK"), before=True)
    with opened(old) as database:
        with pytest.raises(TransactionAborted):
            room(database, NEW, 2, [lost]).value("SELECT 1")
        assert plain(old) == before


def test_a_migration_waits_for_another_writer_no_longer_than_the_timeout(old):
    with opened(old) as holder, opened(old, timeout=0.0) as database:
        with Write(holder), pytest.raises(Busy):
            room(database, NEW, 2).value("SELECT 1")
        assert room(database, NEW, 2).value("SELECT count(*) FROM parents") == 3


def test_a_reader_in_its_snapshot_does_not_see_a_migration_happen(old):
    with opened(old) as watcher, opened(old) as database:
        with room(watcher, OLD).read(snapshot=True) as connection:
            before = connection.rows("SELECT name, sql FROM sqlite_schema")
            room(database, NEW, 2).value("SELECT 1")
            assert connection.rows("SELECT name, sql FROM sqlite_schema") == before
            assert connection.value("SELECT count(*) FROM children") == 6
        assert room(database, NEW, 2).value("SELECT count(*) FROM children") == 6


def test_inside_a_transaction_a_migration_is_refused_by_name(old):
    before = plain(old)
    with opened(old) as database:
        things = room(database, NEW, 2)
        with Write(database):
            for touch in (things.read, things.write):
                with pytest.raises(Invalid, match=r"things needs a migration, .*inside transaction\(\): touch store\.things first"):
                    touch().__enter__()
        assert plain(old) == before
        things.value("SELECT 1")
        with Write(database):
            assert things.value("SELECT count(name) FROM parents") == 3


def test_an_old_room_is_brought_up_by_a_check_and_not_reported(old):
    with opened(old) as database:
        assert check_schema(database, schema(NEW, 2)) == []
        assert rooms_in_file(database) == {"things": 2}


@pytest.mark.parametrize("ddl", [OLD, NEW])
def test_a_lost_table_is_never_made_again(old, ddl):
    raw = sqlite3.connect(old)
    raw.execute("DROP TABLE children")
    raw.commit()
    raw.close()
    before = plain(old)
    number = 1 if ddl is OLD else 2
    with opened(old) as database:
        things = room(database, ddl, number)
        for touch in (things.read, things.write):
            with pytest.raises(Corrupt, match="things has lost its table children; restore a snapshot"):
                touch().__enter__()
        with Write(database), pytest.raises(Corrupt, match="children"):
            things.value("SELECT 1")
        found = check_schema(database, schema(ddl, number))
        assert ("missing", None, "table children is gone (things)") in found
    assert plain(old) == before
    with opened(old, read_only=True) as database, pytest.raises(Corrupt, match="children"):
        room(database, ddl, number).value("SELECT 1")


def test_a_room_of_a_newer_memstore_is_left_alone(old):
    with opened(old) as database:
        room(database, NEW, 3).value("SELECT 1")
    before = plain(old)
    for read_only in (False, True):
        with opened(old, read_only=read_only) as database:
            things = room(database, OLD, 2)
            for touch in (things.read,) if read_only else (things.read, things.write):
                with pytest.raises(SchemaTooNew, match="things in this file has schema 3, this memstore knows 2: upgrade memstore"):
                    touch().__enter__()
    assert plain(old) == before


# -- read-only ----------------------------------------------------------------------------------------------------------


def test_read_only_a_room_that_is_not_there_reads_as_empty_and_appears_when_somebody_makes_it(path):
    views = OLD + "CREATE VIEW grown AS SELECT id FROM parents;"
    with opened(path):
        pass
    with opened(path, read_only=True) as database:
        things, more = room(database, views), room(database, "CREATE TABLE more(id INTEGER PRIMARY KEY) STRICT;", name="more")
        assert things.rows("SELECT id FROM parents") == []
        assert things.rows("SELECT id FROM grown") == []
        with things.read() as connection:
            more.attach(connection)
            assert connection.rows("SELECT parents.id FROM parents JOIN more ON more.id = parents.id") == []
        assert rooms_in_file(database) == {}
        with opened(path) as writer, room(writer, views).write() as connection:
            connection.run("INSERT INTO parents(kind) VALUES ('b')")
        assert things.rows("SELECT kind FROM parents") == [("b",)]
        assert things.rows("SELECT id FROM grown") == [(1,)]
        assert more.rows("SELECT id FROM more") == []
        with things.read() as connection:
            more.attach(connection)
            more.attach(connection)
            assert connection.rows("SELECT parents.id FROM parents LEFT JOIN more ON more.id = parents.id") == [(1,)]


def test_read_only_an_older_room_needs_an_upgrade(old):
    before = plain(old)
    with opened(old, read_only=True) as database:
        things = room(database, NEW, 2)
        for attempt in (lambda: things.rows("SELECT 1"), lambda: check_schema(database, schema(NEW, 2))):
            with pytest.raises(NeedsUpgrade, match="things has an older schema and the store is read-only; open it once for writing"):
                attempt()
        assert room(database, OLD).value("SELECT count(*) FROM parents") == 3
    assert plain(old) == before


def test_a_room_attached_to_a_snapshot_older_than_itself_reads_as_empty_there(path):
    with opened(path) as database:
        things, more = room(database, OLD), room(database, "CREATE TABLE more(id INTEGER PRIMARY KEY) STRICT;", name="more")
        with things.read(snapshot=True) as connection:
            assert connection.rows("SELECT id FROM parents") == []
            more.attach(connection)
            assert connection.rows("SELECT id FROM more") == []
        assert rooms_in_file(database) == {"more": 1, "things": 1}
        with more.write() as connection:
            connection.run("INSERT INTO more(id) VALUES (5)")
        assert more.rows("SELECT id FROM more") == [(5,)], "no reader goes on with the empty tables"


def test_a_room_brought_up_under_a_snapshot_asks_to_be_read_again(old):
    with opened(old) as database:
        other = room(database, "CREATE TABLE other(id INTEGER PRIMARY KEY) STRICT;", name="other")
        things = room(database, NEW, 2)
        with other.read(snapshot=True) as connection:
            assert connection.rows("SELECT id FROM other") == []
            with pytest.raises(Busy, match="do it again"):
                things.attach(connection)
        with other.read(snapshot=True) as connection:
            things.attach(connection)
            assert connection.value("SELECT count(name) FROM parents") == 3


# -- steps --------------------------------------------------------------------------------------------------------------


def test_steps_run_before_and_after_the_difference_and_once_only(old):
    seen = []
    sorts = NEW.replace("kind", "sort")
    with opened(old) as database:
        assert room(database, sorts, 2, renaming(seen)).rows("SELECT sort, name FROM parents") == [("a", "a1"), ("b", "b2"), ("a", "a9")]
    with opened(old) as database:
        later = (*renaming(seen), Step("the third", lambda connection: seen.append("third")))
        room(database, sorts, 3, later).value("SELECT 1")
        rows = room(database, sorts, 3, later).rows("SELECT description, version, applied_at, place FROM schema_steps ORDER BY description")
        assert rows == [("fill name", 2, 1.0, None), ("rename kind to sort", 2, 1.0, None), ("the third", 3, 1.0, None)]
    assert seen == ["before", "after", "third"]


def test_a_fresh_file_records_the_steps_and_does_not_run_them(path):
    seen = []
    with opened(path) as database:
        steps = (*renaming(seen), Step("batches", lambda *_: seen.append("batch"), batched=True))
        things = room(database, NEW.replace("kind", "sort"), 2, steps)
        assert things.rows("SELECT id FROM parents") == []
        names = things.rows("SELECT description FROM schema_steps WHERE applied_at IS NOT NULL ORDER BY description")
        assert names == [("batches",), ("fill name",), ("rename kind to sort",)]
    assert seen == []


def test_a_step_that_fails_takes_everything_back(old):
    before = plain(old)
    for when in (True, False):
        with opened(old) as database:
            broken = Step("break", lambda connection: connection.run("DELETE FROM parents") / 0, before=when)
            with pytest.raises(ZeroDivisionError):
                room(database, NEW, 2, [broken]).value("SELECT 1")
            assert plain(old) == before


def test_a_batched_step_goes_on_where_another_process_was_killed(old):
    run_child = """
import sys
from kernel.harness import NEW, ageing, opened, room
step, _ = ageing(stop_after=2)
with opened(sys.argv[1]) as database:
    room(database, NEW, 2, [step]).value("SELECT 1")
"""
    assert run(run_child, old).returncode == 9
    step, batches = ageing()
    digest = schema(NEW, 2, [step]).digest
    with opened(old) as database:
        assert version(database) == (2, ""), "the digest comes last"
        with Read(database, False) as connection:
            assert connection.rows("SELECT applied_at, place FROM schema_steps") == [(None, "2")]
            assert connection.rows("SELECT age FROM children ORDER BY id") == [(1,), (1,), (0,), (0,), (0,), (0,)], "whole batches only"
        things = room(database, NEW, 2, [step])
        with Write(database), pytest.raises(Invalid, match=r"touch store\.things first"):
            things.value("SELECT 1")
        assert things.rows("SELECT DISTINCT age FROM children") == [(1,)]
        assert batches == [[3, 4], [5, 6]]
        assert version(database) == (2, digest)
        assert things.rows("SELECT applied_at, place FROM schema_steps") == [(1.0, None)]
    with opened(old) as database:
        room(database, NEW, 2, [step]).value("SELECT 1")
    assert batches == [[3, 4], [5, 6]]


def test_two_handles_share_the_batches_of_a_step(old):
    other_step, other_batches = ageing()
    step, batches = ageing()

    def and_let_the_other_in(connection, place):
        place = step.run(connection, place)
        if len(batches) == 1:
            helper.start()
        return place

    def help_out():
        with opened(old) as second:
            room(second, NEW, 2, [other_step]).value("SELECT 1")

    helper = threading.Thread(target=help_out)
    with opened(old) as database:
        things = room(database, NEW, 2, [Step("age them", and_let_the_other_in, batched=True)])
        things.value("SELECT 1")
        helper.join()
        assert things.rows("SELECT DISTINCT age FROM children") == [(1,)]
        assert sorted(batches + other_batches) == [[1, 2], [3, 4], [5, 6]]


def test_a_batch_is_not_run_over_the_schema_of_a_newer_memstore(old):
    def overtaken(connection, place):
        connection.run("UPDATE schema_version SET version = 3, digest = 'newer' WHERE room = 'things'")
        return "somewhere"

    with opened(old) as database:
        with pytest.raises(SchemaTooNew):
            room(database, NEW, 2, [Step("slow", overtaken, batched=True)]).value("SELECT 1")
        assert version(database) == (3, "newer")


# -- killed, and many at once -------------------------------------------------------------------------------------------


KILLED = """
import os, shutil, sys
from kernel.harness import NEW, ageing, end_at_statement, opened, plain, renaming, room
old, work = sys.argv[1:]
steps = [*renaming([]), ageing()[0]]
ddl = NEW.replace("kind", "sort")
before = plain(old)
shutil.copy(old, work + ".new")
with opened(work + ".new") as database:
    room(database, ddl, 2, steps).value("SELECT 1")
after = plain(work + ".new")
outcomes = []
for number in range(1, 1000):
    copy = f"{work}.{number}"
    shutil.copy(old, copy)
    child = os.fork()
    if child == 0:
        count = end_at_statement(number)
        with opened(copy) as database:
            room(database, ddl, 2, steps).value("SELECT 1")
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = plain(copy)
    if found == before:
        outcomes.append("old")
    elif found[0] == after[0]:
        outcomes.append("new" if found == after else "batches")
    else:
        sys.exit(f"killed at statement {number} it is neither: {found}")
    with opened(copy) as database:
        room(database, ddl, 2, steps).value("SELECT 1")
    if plain(copy) != after:
        sys.exit(f"killed at statement {number} it cannot be brought up again: {plain(copy)}")
    for end in ("", "-wal", "-shm"):
        if os.path.exists(copy + end):
            os.unlink(copy + end)
    if ended == 0:
        break
print(*outcomes)
"""


@POSIX
def test_killed_at_any_statement_it_is_the_old_or_the_new_one_and_a_retry_works(old, tmp_path):
    done = run(KILLED, old, tmp_path / "copy")
    assert done.returncode == 0, done.stdout
    outcomes = done.stdout.split()
    assert outcomes == sorted(outcomes, key=["old", "batches", "new"].index), "never back again"
    assert outcomes.count("old") > 30 and outcomes.count("batches") > 3 and outcomes.count("new") > 0, outcomes


SIX = """
import sys
from kernel.harness import NEW, Step, ageing, opened, room
step, batches = ageing()
counting = Step("count", lambda connection: connection.run("INSERT INTO mine VALUES ('migrated')"))
print("ready", flush=True)
sys.stdin.readline()
with opened(sys.argv[1], timeout=60.0) as database:
    things = room(database, NEW, 2, [counting, step])
    assert things.value("SELECT count(name) FROM parents") == 3
    assert things.rows("SELECT DISTINCT age FROM children") == [(1.0,)]
"""


def test_six_processes_bring_one_file_up_at_once_and_it_happens_once(old):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", SIX, old], env=environment(), text=True, **pipes) for _ in range(6)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, failure = process.communicate(timeout=120)
        assert process.returncode == 0, failure
    with opened(old) as database:
        assert room(database, NEW, 2).rows("SELECT x FROM mine") == [("migrated",)]


def test_threads_of_one_handle_that_meet_an_old_room_bring_it_up_once(old):
    seen, failures = [], []
    step = Step("count", lambda connection: seen.append("ran"))
    gate = threading.Barrier(6)

    def touch(things):
        gate.wait()
        try:
            assert things.value("SELECT count(name) FROM parents") == 3
        except BaseException as error:
            failures.append(error)

    with opened(old) as database:
        threads = [threading.Thread(target=touch, args=(room(database, NEW, 2, [step]),)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert seen == ["ran"]
