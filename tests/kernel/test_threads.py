"""Many threads, one handle; and waiting that ends."""

from __future__ import annotations

import threading
import time

import pytest

from memstore import Busy, Closed, StoreError, open_store

from .things import INSERT, Holder, Things, at_rest

HELD = r"^agent.db is held by another writer \(0\.2 s\); raise timeout= or look for a long transaction\(\)$"


def together(*functions):
    """Run functions in threads of their own and raise what they raise."""
    problems = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for error in problems:
        raise error


@pytest.fixture
def impatient(tmp_path):
    """A store that waits 0.2 s at most."""
    with open_store(tmp_path / "agent.db", timeout=0.2) as store:
        Things(store).add("first")
        yield store


def busy_after(store, call):
    """How long a call was busy."""
    begun = time.monotonic()
    with pytest.raises(Busy, match=HELD):
        call()
    return time.monotonic() - begun


# -- one handle ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [30, pytest.param(2000, marks=pytest.mark.nightly)])
def test_eight_threads_on_one_handle_lose_nothing_and_see_no_wrong_row(store, each):
    things = Things(store)
    things.add("first")

    def work(number):
        for turn in range(each):
            word = f"{number} {turn}"
            with store.transaction():
                key = things.add(word, 1)
                things.add(word, 2)
                assert things.room.value("SELECT count(*) FROM things WHERE word = ?", (word,)) == 2
            assert things.room.row("SELECT word, part FROM things WHERE pk = ?", (key,)) == (word, 1)
            with things.room.read(snapshot=True) as connection:
                ones = connection.value("SELECT count(*) FROM things WHERE part = 1")
                assert connection.value("SELECT count(*) FROM things WHERE part = 2") == ones

    together(*(lambda number=number: work(number) for number in range(8)))
    assert at_rest(store)
    assert sorted(things.words()[1:]) == sorted(f"{number} {turn}" for number in range(8) for turn in range(each) for _ in range(2))
    assert [key for (key,) in things.room.rows("SELECT pk FROM things ORDER BY pk")] == list(range(1, 16 * each + 2))


def test_threads_that_touch_a_room_for_the_first_time_at_once_make_it_once(store):
    gate = threading.Barrier(8)

    def work(number):
        gate.wait(10)
        Things(store).add(f"{number}")

    together(*(lambda number=number: work(number) for number in range(8)))
    assert sorted(Things(store).words()) == sorted(f"{number}" for number in range(8))


def test_readers_of_a_file_see_the_last_commit_while_another_thread_writes(file_store):
    things = Things(file_store)
    things.add("committed")
    with file_store.transaction():
        things.add("not yet")
        seen = []
        together(lambda: seen.append(things.words()))
        assert seen == [["committed"]]
    assert things.words() == ["committed", "not yet"]


def test_a_snapshot_read_shows_one_state(file_store):
    things = Things(file_store)
    things.add("a")
    with things.room.read(snapshot=True) as connection:
        assert connection.value("SELECT count(*) FROM things") == 1
        together(lambda: things.add("b"))
        assert connection.value("SELECT count(*) FROM things") == 1
    assert len(things.words()) == 2


def test_a_read_inside_ones_own_transaction_sees_what_it_has_written(store):
    things = Things(store)
    with store.transaction():
        things.add("a")
        with things.room.read(snapshot=True) as connection:
            assert connection.rows("SELECT word FROM things") == [("a",)]
        assert store.query("SELECT word FROM things") == [{"word": "a"}]


# -- waiting ------------------------------------------------------------------------------------------------------------


def test_waiting_for_another_thread_ends_at_the_timeout(impatient):
    things = Things(impatient)
    with impatient.transaction():
        waited = []
        together(lambda: waited.append(busy_after(impatient, lambda: things.add("b"))))
    assert 0.2 <= waited[0] < 5
    assert things.words() == ["first"]


def test_waiting_for_another_process_ends_at_the_timeout_and_reading_goes_on(impatient):
    things = Things(impatient)
    with Holder(impatient.path):
        assert 0.2 <= busy_after(impatient, lambda: things.add("b")) < 5
        assert things.words() == ["first"]
        assert at_rest(impatient)
    things.add("c")
    assert things.words() == ["first", "c"]


def test_the_waits_for_thread_and_file_do_not_add_up(impatient):
    things = Things(impatient)
    waited = []
    with Holder(impatient.path):
        together(*[lambda: waited.append(busy_after(impatient, lambda: things.add("b")))] * 6)
    # One thread waits for the file with the lock in its hands, the others for that lock: all of them for 0.2 s.
    assert len(waited) == 6
    assert max(waited) < 1
    assert things.words() == ["first"]


def test_no_timeout_means_no_waiting(tmp_path):
    with open_store(tmp_path / "agent.db", timeout=0) as store:
        things = Things(store)
        things.add("a")
        with Holder(store.path), pytest.raises(Busy, match=r"held by another writer \(0\.0 s\)"):
            things.add("b")
        things.add("c")
        assert things.words() == ["a", "c"]


def test_a_memory_store_that_is_read_makes_a_writer_wait(tmp_path):
    with open_store(timeout=0.1) as store:
        things = Things(store)
        things.add("a")
        with things.room.read() as connection:
            with pytest.raises(Busy, match=r"^:memory: is held by another writer \(0\.1 s\)"):
                together(lambda: things.add("b"))
            assert connection.value("SELECT count(*) FROM things") == 1
        together(lambda: things.add("c"))
        assert things.words() == ["a", "c"]


def test_opening_and_optimizing_wait_for_no_longer_than_the_timeout(impatient):
    with Holder(impatient.path):
        with open_store(impatient.path, timeout=0.2) as other:
            assert Things(other).words() == ["first"]
            assert 0.2 <= busy_after(other, other.optimize) < 5


# -- closing ------------------------------------------------------------------------------------------------------------


def test_a_reader_at_work_ends_well_when_another_thread_closes(file_store):
    things = Things(file_store)
    things.add("a")
    with things.room.read(snapshot=True) as connection:
        together(file_store.close)
        assert connection.rows("SELECT word FROM things") == [("a",)]
        with pytest.raises(Closed):
            things.words()
    assert file_store._database.lent == {}
    assert file_store._database.idle == {}
    with open_store(file_store.path) as again:
        assert Things(again).words() == ["a"]


def test_close_waits_for_a_writer(store):
    things = Things(store)
    inside, go_on = threading.Event(), threading.Event()

    def write():
        with store.transaction():
            things.add("a")
            inside.set()
            go_on.wait(10)
            things.add("b")

    def close():
        inside.wait(10)
        go_on.set()
        assert things.words() == ["a", "b"] or store.path == ":memory:"
        store.close()

    if store.path == ":memory:":
        together(write, close)
    else:
        together(write, lambda: (inside.wait(10), go_on.set(), store.close()))
        with open_store(store.path) as again:
            assert Things(again).words() == ["a", "b"]
    with pytest.raises(Closed):
        things.words()


def test_close_gives_up_on_a_writer_that_does_not_end(impatient):
    things = Things(impatient)
    with impatient.transaction():
        things.add("b")
        with pytest.raises(Busy, match=HELD):
            together(impatient._database.close)
    assert things.words() == ["first", "b"]


def test_threads_that_use_a_store_while_it_closes_finish_or_are_told(tmp_path):
    for turn in range(5):
        store = open_store(tmp_path / f"{turn}.db")
        things = Things(store)
        things.add("first")
        acknowledged, gate = [], threading.Barrier(5)

        def work(number, store=store, things=things, acknowledged=acknowledged, gate=gate):
            gate.wait(10)
            for word in range(10_000):
                try:
                    things.add(f"{number} {word}")
                    acknowledged.append(f"{number} {word}")
                    assert things.words()[0] == "first"
                except Closed:
                    return

        def close(store=store, gate=gate, acknowledged=acknowledged):
            gate.wait(10)
            while len(acknowledged) < 20:
                time.sleep(0)
            store._database.close()

        together(close, *(lambda number=number: work(number) for number in range(4)))
        with open_store(store.path) as again:
            assert set(acknowledged) <= set(Things(again).words())
        assert [entry.name for entry in tmp_path.glob(f"{turn}.db*")] == [f"{turn}.db"]


def test_a_closed_store_answers_nothing_and_closes_again(store, tmp_path):
    things = Things(store)
    things.add("a")
    store.chat, store.audit  # noqa: B018
    store.close()
    store.close()
    calls = [
        things.words,
        lambda: things.add("b"),
        lambda: store.transaction().__enter__(),
        lambda: store.query("SELECT 1"),
        lambda: store.snapshot(tmp_path / "copy.db"),
        lambda: store.chat.create_conversation(title="late"),
        lambda: store.audit.verify(),
        store.check,
        store.stats,
        store.optimize,
    ]
    for call in calls:
        with pytest.raises(Closed, match="is closed; open it again"):
            call()
    assert "closed" in repr(store)
    assert "closed" in store._repr_html_()
    assert not (tmp_path / "copy.db").exists()


def test_every_error_of_a_busy_store_is_one_of_ours(impatient):
    with Holder(impatient.path, "BEGIN EXCLUSIVE"):
        for call in (impatient.check, impatient.stats, lambda: Things(impatient).words(), impatient.optimize):
            try:
                call()
            except StoreError as error:
                assert isinstance(error, Busy), error


def test_rows_given_by_one_call_may_be_many(store):
    things = Things(store)
    with things.room.write() as connection:
        assert connection.many(INSERT, (("w", part) for part in range(5000))) == 5000
    assert things.room.value("SELECT sum(part) FROM things") == 5000 * 4999 // 2
