"""What the keyword index finds inside transactions and snapshots, through other handles, in threads and where it may only read."""

from __future__ import annotations

import threading

import pytest
from notes import Notes, ids

from memstore import ReadOnly, open_store


@pytest.mark.parametrize("warm", [False, True])
def test_a_transaction_sees_its_own_items_and_a_rollback_leaves_no_phantom(store, notes, warm):
    notes.append("word one")
    if warm:
        notes.index.search("word")
    with pytest.raises(KeyError), store.transaction():
        notes.append("word phantom")
        notes.index.add("h", "word phantom", kind="note")
        notes.index.remove("m1")
        assert ids(notes.index.search("phantom")) == ["h", "m2"]
        assert ids(notes.index.search("one")) == []
        notes.index.compact()
        assert ids(notes.index.search("phantom")) == ["h", "m2"]
        raise KeyError
    notes.added = 1
    assert ids(notes.index.search("word")) == ["m1"]
    notes.append("word real")
    assert ids(notes.index.search("word")) == ["m2", "m1"]
    assert notes.index.search("phantom") == []
    notes.index.compact()
    assert notes.index.complete("p") == []


def test_a_rolled_back_savepoint_leaves_no_phantom(store, notes):
    with store.transaction():
        notes.append("outer")
        with pytest.raises(KeyError), store.transaction():
            notes.append("phantom")
            assert ids(notes.index.search("phantom")) == ["m2"]
            raise KeyError
        notes.added = 1
        notes.append("real")
        assert notes.index.search("phantom") == []
        assert ids(notes.index.search("real")) == ["m2"]
    assert ids(notes.index.search("real")) == ["m2"]


def test_what_another_handle_commits_is_seen_at_once(tmp_path):
    with open_store(tmp_path / "a.db") as one, open_store(tmp_path / "a.db") as two:
        first, second = Notes(one), Notes(two)
        first.append("word one")
        assert ids(second.index.search("word")) == ["m1"]
        first.append("word two")
        first.index.compact()
        assert ids(second.index.search("word")) == ["m2", "m1"]
        second.pop("m1")
        assert ids(first.index.search("word")) == ["m2"]
        second.index.add("m2", "other", created_at=1)
        assert first.index.search("word") == []
        assert first.index.complete("o") == [("other", 1)]


def test_a_snapshot_goes_on_seeing_its_own_state(file_store):
    notes = Notes(file_store)
    notes.append("word one", "word two")
    notes.index.search("word")
    with notes.db.read(snapshot=True) as conn:
        assert notes.last(conn) == 2
        hits = notes.index.numbers(conn, "word", kind="message")
        done = threading.Event()

        def meanwhile():
            notes.append("word three")
            notes.pop("m1")
            notes.index.compact()
            assert ids(notes.index.search("word")) == ["m3", "m2"]
            done.set()

        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()
        assert done.is_set()
        assert [number for _, number, _ in hits] == [2, 1]
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message")] == [2, 1]
    assert ids(notes.index.search("word")) == ["m3", "m2"]


def test_numbers_answers_in_a_snapshot_older_than_the_index_itself(file_store):
    notes = Notes(file_store)
    notes.append("word")
    with notes.db.read(snapshot=True) as conn:
        assert notes.last(conn) == 1
        assert not notes.db.present("keywords")
        assert list(notes.index.numbers(conn, "wo", kind="message")) == [(1.0, 1, ("word",))]
    assert list(notes.index.search("wo"))


def test_numbers_before_a_place(notes):
    notes.append("word a", "word b", "word c", created_at=1.0)
    with notes.db.read(snapshot=True) as conn:
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message", before=(1.0, 3))] == [2, 1]
    notes.index.compact()
    with notes.db.read(snapshot=True) as conn:
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message", before=(1.0, 3))] == [2, 1]
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message", before=(0.5, 9))] == []


def test_a_read_only_store_searches_completely_with_and_without_an_index(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as store:
        Notes(store).append("word one")
    with open_store(path, read_only=True) as store:
        notes = Notes(store)
        assert ids(notes.index.search("word")) == ["m1"]
        assert notes.index.complete("w") == [("word", 1)]
        notes.index.catch_up()
        with pytest.raises(ReadOnly):
            notes.index.add("x", "word")
    with open_store(path) as store:
        notes = Notes(store)
        notes.index.compact()
        notes.added = 1
        notes.append("word two")
    with open_store(path, read_only=True) as store:
        assert ids(Notes(store).index.search("word")) == ["m2", "m1"]


def test_threads_search_while_others_append_and_compact(file_store):
    notes = Notes(file_store)
    notes.append("word")
    failures = []

    def search():
        try:
            seen = 0
            for _ in range(40):
                found = len(notes.index.search("word", limit=None))
                assert found >= seen
                seen = found
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        notes.append("word")
        notes.index.compact()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(notes.index.search("word", limit=None)) == 31


def test_a_read_only_store_without_an_index_forgets_what_others_take_away(tmp_path):
    with open_store(tmp_path / "agent.db") as writing:
        chat = writing.chat.create_conversation(id="c").id
        writing.chat.append(chat, "user", "hello first")
        writing.chat.append(chat, "user", "hello second")
        with open_store(tmp_path / "agent.db", read_only=True) as reading:
            assert len(reading.keywords.search("hello")) == 2
            writing.chat.clear(chat)
            assert reading.keywords.search("hello") == []
            assert reading.keywords.complete("sec") == []
