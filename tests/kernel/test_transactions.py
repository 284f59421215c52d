"""A transaction is whole or did not happen."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest

from memstore import Busy, Closed, DiskFull, Exists, Invalid, OutcomeUnknown, ReadOnly, StoreError, TransactionAborted, open_store
from memstore.kernel import Room, Schema
from memstore.testing import stop_at_step

from .things import INSERT, Things, at_rest, run

BIG = "x" * 20_000


@pytest.fixture
def things(store):
    """An empty room."""
    room = Things(store)
    assert room.words() == []
    return room


@pytest.fixture
def narrow(store, things):
    """A store whose file cannot grow."""
    with store.transaction():
        connection = store._database.writer
    pages = connection.value("PRAGMA page_count")
    connection.run(f"PRAGMA max_page_count = {pages + 2}")
    yield connection
    connection.run("PRAGMA max_page_count = 1000000")


class Faulty:
    """A connection whose COMMIT fails as told, n times; with `after` it fails although it has happened."""

    def __init__(self, raw, code, times=1, after=False):
        self.raw, self.code, self.times, self.after = raw, code, times, after

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def execute(self, sql, *params):
        if sql == "COMMIT" and self.times > 0:
            self.times -= 1
            if self.after:
                self.raw.execute(sql)
            error = sqlite3.OperationalError("this disk is a test")
            error.sqlite_errorcode = self.code
            raise error
        return self.raw.execute(sql, *params)


# -- nesting ------------------------------------------------------------------------------------------------------------


def test_a_block_commits_as_one(store, things):
    with store.transaction() as inside:
        assert inside is store
        things.add("a")
        things.add("b")
        assert things.words() == ["a", "b"]
    assert things.words() == ["a", "b"]
    assert at_rest(store)


def test_a_failed_inner_block_takes_only_its_own_work_with_it(store, things):
    with store.transaction():
        things.add("a")
        with contextlib.suppress(KeyError), store.transaction():
            things.add("b")
            with store.transaction():
                things.add("c")
            raise KeyError
        assert things.words() == ["a"]
        things.add("d")
    assert things.words() == ["a", "d"]


def test_a_failed_outer_block_takes_everything_with_it(store, things):
    with pytest.raises(KeyError), store.transaction():
        things.add("a")
        with store.transaction():
            things.add("b")
        raise KeyError
    assert things.words() == []
    assert at_rest(store)


def test_the_error_of_the_body_is_the_error_that_arrives(store, things):
    with pytest.raises(ZeroDivisionError), store.transaction(), store.transaction():
        things.add("a")
        raise ZeroDivisionError
    assert things.words() == []


def test_random_nesting_does_what_a_model_of_it_does(store, things, rng):
    def level(depth):
        kept = []
        for _ in range(rng.randrange(5)):
            if depth < 4 and rng.random() < 0.5:
                with contextlib.suppress(KeyError), store.transaction():
                    inner = level(depth + 1)
                    if rng.random() < 0.4:
                        raise KeyError
                    kept += inner
            else:
                word = f"{rng.getrandbits(40):x}"
                things.add(word)
                kept.append(word)
        return kept

    expected = []
    for _ in range(60):
        with contextlib.suppress(KeyError), store.transaction():
            kept = level(0)
            if rng.random() < 0.3:
                raise KeyError
            expected += kept
        assert things.words() == expected
        assert at_rest(store)


def test_an_exit_stack_can_hold_a_transaction(store, things):
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.transaction())
        things.add("a")
    with pytest.raises(KeyError), contextlib.ExitStack() as stack:
        stack.enter_context(store.transaction())
        things.add("b")
        raise KeyError
    assert things.words() == ["a"]
    assert at_rest(store)


def test_a_transaction_object_serves_one_block_after_another_but_not_inside_itself(store, things):
    transaction, seen = store.transaction(), []
    with transaction:
        things.add("a")
        things.room.after_commit(lambda: seen.append("first"))
        with pytest.raises(Invalid, match="entered already"), transaction:
            raise AssertionError("never entered")
        things.add("b")
    with pytest.raises(KeyError), transaction:
        things.add("c")
        raise KeyError
    with transaction:
        things.add("d")
    assert things.words() == ["a", "b", "d"]
    assert seen == ["first"]
    assert at_rest(store)


def test_looking_at_a_transaction_does_not_end_it(store, things):
    transaction = store.transaction()
    assert hasattr(transaction, "__exit__")
    with transaction:
        things.add("a")
        assert callable(transaction.__exit__)
        for name in dir(transaction):
            getattr(transaction, name, None)
        things.add("b")
    assert things.words() == ["a", "b"]


def test_inner_blocks_that_nobody_left_end_with_the_outer_one(store, things):
    with store.transaction():
        things.add("a")
        store.transaction().__enter__()
        things.add("b")
    assert things.words() == ["a"]
    assert at_rest(store)


def test_a_generator_that_is_dropped_inside_a_transaction_rolls_back(store, things):
    def half():
        with store.transaction():
            things.add("a")
            yield

    generator = half()
    next(generator)
    del generator
    assert things.words() == []
    assert at_rest(store)


# -- what runs after COMMIT and ROLLBACK --------------------------------------------------------------------------------


def test_actions_run_once_after_the_outermost_commit_without_the_lock(store, things):
    seen = []

    def note():
        seen.append((things.words(), at_rest(store)))

    with store.transaction():
        with things.room.write():
            things.room.after_commit(note)
            things.room.after_commit(note)
            things.add("a")
        assert seen == []
    assert seen == [(["a"], True)]


def test_actions_of_a_level_that_rolls_back_are_forgotten_and_undone(store, things):
    seen = []
    with store.transaction():
        with contextlib.suppress(KeyError), things.room.write():
            things.room.after_commit(lambda: seen.append("after inner"))
            things.room.on_rollback(lambda: seen.append("first undo"))
            things.room.on_rollback(lambda: seen.append("second undo"))
            raise KeyError
        assert seen == ["second undo", "first undo"]
        things.room.after_commit(lambda: seen.append("after outer"))
        things.room.on_rollback(lambda: seen.append("undo outer"))
    assert seen == ["second undo", "first undo", "after outer"]


def test_a_released_level_is_undone_with_its_outer_one(store, things):
    seen = []
    with pytest.raises(KeyError), store.transaction():
        with things.room.write():
            things.room.on_rollback(lambda: seen.append("undo"))
            things.room.after_commit(lambda: seen.append("after"))
        raise KeyError
    assert seen == ["undo"]


def test_an_action_that_fails_does_not_deny_the_commit(store, things):
    def fail():
        raise DiskFull("no room")

    seen = []
    with things.room.write():
        things.room.after_commit(fail)
        things.room.after_commit(lambda: seen.append("next"))
        things.add("a")
    assert (things.words(), seen) == (["a"], ["next"])


# -- transactions that die under us -------------------------------------------------------------------------------------


def test_after_a_full_disk_nothing_commits_alone(store, things, narrow):
    things.add("before")
    with pytest.raises(TransactionAborted), store.transaction():
        things.add("a")
        with pytest.raises(DiskFull), store.transaction():
            things.add(BIG)
        with pytest.raises(TransactionAborted):
            things.add("alone")
        with pytest.raises(TransactionAborted):
            things.words()
        with pytest.raises(TransactionAborted):
            store.query("SELECT word FROM things")
        with pytest.raises(TransactionAborted), store.transaction():
            pass
    assert things.words() == ["before"]
    assert at_rest(store)


def test_a_full_disk_that_the_caller_swallowed_is_told_at_the_end(store, things, narrow):
    with pytest.raises(TransactionAborted), store.transaction():
        things.add("a")
        with contextlib.suppress(DiskFull):
            things.add(BIG)
    assert things.words() == []
    narrow.run("PRAGMA max_page_count = 1000000")
    things.add(BIG)
    assert things.words() == [BIG]


def test_many_rows_and_savepoints_stop_at_a_full_disk_too(store, things, narrow):
    with pytest.raises(DiskFull), things.room.write() as connection:
        connection.many(INSERT, [(BIG, part) for part in range(100)])
    with pytest.raises(TransactionAborted), things.room.write() as connection:
        with contextlib.suppress(DiskFull):
            connection.many(INSERT, [(BIG, part) for part in range(100)])
        connection.many(INSERT, [("alone", 0)])
    assert things.words() == []


def test_a_trigger_that_rolls_back_kills_the_whole_transaction(store):
    room = Room(
        store._database,
        Schema(
            "things",
            version=1,
            ddl="""
            CREATE TABLE things(pk INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT NOT NULL) STRICT;
            CREATE TRIGGER things__no AFTER INSERT ON things WHEN NEW.word = 'no' BEGIN SELECT RAISE(ROLLBACK, 'no'); END;
            """,
        ),
    )
    with pytest.raises(TransactionAborted), room.write() as connection:
        connection.run("INSERT INTO things(word) VALUES ('yes')")
        with pytest.raises(Invalid):
            connection.run("INSERT INTO things(word) VALUES ('no')")
        connection.run("INSERT INTO things(word) VALUES ('alone')")
    assert room.rows("SELECT word FROM things") == []


def test_an_interrupted_statement_leaves_all_or_nothing(store, things):
    def work():
        with store.transaction():
            things.add("a")
            with contextlib.suppress(KeyError), store.transaction():
                things.add("lost")
                raise KeyError
            with things.room.write() as connection:
                connection.many(INSERT, [(f"{part}", part) for part in range(30)])
            things.add("z")

    interrupted = 0
    for step in range(1, 10_000):
        before = things.words()
        with stop_at_step(store, step) as count:
            try:
                work()
            except TransactionAborted:
                interrupted += 1
                assert things.words() == before
            else:
                break
        assert at_rest(store)
    assert count[0] < step, "the loop ends only when the work was never interrupted"
    assert interrupted > 3
    assert things.words() == ["a", *map(str, range(30)), "z"]


LIMITED = """
import resource, signal, sys
from memstore import DiskFull, open_store
from kernel.things import Things, at_rest

store = open_store(sys.argv[1])
things = Things(store)
things.add("before")
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
for attempt in range(3):
    try:
        with store.transaction():
            things.add("a")
            for _ in range(100):
                things.add("x" * 20_000)
    except DiskFull as error:
        print(type(error).__name__, things.words(), at_rest(store))
things.add("after")
print(things.words(), store.check().ok)
store.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
def test_a_file_that_may_not_grow_fails_by_name_and_serves_on(tmp_path):
    lines = run(LIMITED, tmp_path / "agent.db").splitlines()
    assert lines == ["DiskFull ['before'] True"] * 3 + ["['before', 'after'] True"]


# -- COMMIT that fails --------------------------------------------------------------------------------------------------


def test_a_commit_that_the_rules_of_the_file_refuse_did_not_happen(store):
    schema = Schema(
        "pairs",
        version=1,
        ddl="""
        CREATE TABLE pairs(pk INTEGER PRIMARY KEY AUTOINCREMENT, other INTEGER REFERENCES pairs(pk) DEFERRABLE INITIALLY DEFERRED) STRICT;
        """,
    )
    room = Room(store._database, schema)
    with pytest.raises(Invalid, match="FOREIGN KEY"), room.write() as connection:
        connection.insert("INSERT INTO pairs(other) VALUES (77)")
    assert room.rows("SELECT other FROM pairs") == []
    assert at_rest(store)
    with room.write() as connection:
        connection.insert("INSERT INTO pairs(pk, other) VALUES (77, 77)")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(sqlite3.SQLITE_FULL, DiskFull), (778, DiskFull), (sqlite3.SQLITE_CORRUPT, StoreError), (sqlite3.SQLITE_READONLY, ReadOnly)],
)
def test_a_commit_that_fails_did_not_happen(file_store, code, expected):
    things = Things(file_store)
    things.add("a")
    writer = file_store._database.writer
    writer.raw = Faulty(writer.raw, code)
    with pytest.raises(expected):
        things.add("b")
    assert things.words() == ["a"]
    things.add("c")
    assert things.words() == ["a", "c"]
    assert at_rest(file_store)


@pytest.mark.parametrize("happened", [False, True])
def test_a_disk_that_fails_while_committing_leaves_the_outcome_unknown_and_the_store_usable(file_store, happened):
    things = Things(file_store)
    writer = file_store._database.writer
    things.add("a")
    writer.raw = Faulty(writer.raw, 1034, after=happened)  # SQLITE_IOERR_FSYNC
    with pytest.raises(OutcomeUnknown, match="read before retrying"):
        things.add("b")
    assert file_store._database.writer is None, "the cache of that connection may differ from the disk"
    assert things.words() == ["a", *(["b"] if happened else [])]
    things.add("c")
    assert things.words()[-1] == "c"


def test_a_busy_commit_is_tried_again_until_the_timeout(tmp_path):
    with open_store(tmp_path / "agent.db", timeout=0.05) as store:
        things = Things(store)
        things.add("a")
        writer = store._database.writer
        writer.raw = Faulty(writer.raw, sqlite3.SQLITE_BUSY, times=3)
        things.add("b")
        writer.raw.times = 10**9
        with pytest.raises(Busy):
            things.add("c")
        writer.raw = writer.raw.raw
        assert things.words() == ["a", "b"]
        assert at_rest(store)


# -- bad calls ----------------------------------------------------------------------------------------------------------


def test_close_inside_a_transaction_is_refused(store, things):
    with store.transaction():
        things.add("a")
        with pytest.raises(Invalid, match="leave the block first"):
            store.close()
    assert things.words() == ["a"]


def test_optimize_inside_a_transaction_is_refused(store, things):
    with store.transaction(), pytest.raises(Invalid, match="leave the block first"):
        store.optimize()


def test_a_transaction_of_a_closed_store_is_refused(store):
    store.close()
    with pytest.raises(Closed, match="open it again"), store.transaction():
        raise AssertionError("never entered")


def test_a_key_that_is_taken_and_a_value_that_does_not_fit_have_names(store, things):
    things.add("a")
    with pytest.raises(Exists), things.room.write() as connection:
        connection.insert("INSERT INTO things(pk, word) VALUES (1, 'b')")
    with pytest.raises(Invalid), things.room.write() as connection:
        connection.insert(INSERT, (None, 0))
    with pytest.raises(Invalid), things.room.write() as connection:
        connection.insert(INSERT, ("b", "not a number"))
    with pytest.raises(Invalid), things.room.write() as connection:
        connection.insert(INSERT, ("b", 2**63))
    with pytest.raises(Invalid), things.room.write() as connection:
        connection.insert(INSERT, ("\ud800", 0))
    with pytest.raises(Invalid), things.room.write() as connection:
        connection.insert(INSERT, ("b", object()))
    assert things.words() == ["a"]
    assert at_rest(store)


# -- time ---------------------------------------------------------------------------------------------------------------


def test_time_stands_still_inside_a_transaction(store, things, store_clock):
    with store.transaction():
        first = things.room.now
        store_clock.advance(60)
        with store.transaction():
            assert things.room.now == first
    assert things.room.now == first + 60
    with store.transaction():
        assert things.room.now == first + 60


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_clock_that_is_no_clock_is_named(store, things, store_clock, wrong):
    store_clock.now = wrong
    with pytest.raises(Invalid, match="clock="), store.transaction():
        things.room.now  # noqa: B018
    assert at_rest(store)
    store_clock.now = 0.0
