"""Erasing to the last byte: beside other processes, with readers and writers in the way, through deaths and random histories."""

from __future__ import annotations

import os
import sqlite3
import time

import pytest
from erasing import ADA, Life, rows, without
from kernel.things import Holder, finish, start

from memstore import Busy, open_store
from memstore.kernel import upkeep, wal

GO_ON = """
import sys
from memstore import open_store

with open_store(sys.argv[1]) as store:
    print("ready", flush=True)
    for n in range(150):
        message = store.chat.append("b", "user", f"theirs {n}")
        assert store.chat.search(f"theirs {n}")[0].message.id == message.id
        store.audit.append("query", actor="bob")
"""


def test_another_process_and_a_second_handle_go_on_reading_and_writing(tmp_path, searcher):
    path = tmp_path / "agent.db"
    with open_store(path) as store, open_store(path) as other:
        store.chat.create_conversation(id="b", user_id="bob")
        child = start(GO_ON, path)
        assert child.stdout.readline() == "ready\n"
        words = []
        for n in range(6):
            ada = Life(f"ada{n}", f"user{n}.{ADA}")
            ada.live(other)
            store.erase(user_id=ada.user_id)
            other.chat.append("b", "user", f"ours {n}")
            words += ada.words
        finish(child)
        assert len(other.chat.messages("b", limit=None)) == 156
        assert len(store.audit.find(actor="bob", limit=None)) == 150
        assert [hit.message.content for hit in other.chat.search("ours 5")] == ["ours 5"]
        store._database.wal.scrub()  # where the writer left no moment for it
        assert searcher(store, *words) == []


# -- what is owed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished_by", ["commits", "close", "open", "optimize", "the next erasure"])
@pytest.mark.parametrize("held", ["BEGIN", "BEGIN IMMEDIATE"])
def test_what_another_process_delays_is_owed_told_and_done_later(tmp_path, searcher, finished_by, held):
    path = tmp_path / "agent.db"
    ada = Life("ada", ADA)
    store = open_store(path, timeout=0.1)
    ada.live(store)
    store.chat.create_conversation(id="b", user_id="bob")
    undone = store._database.wal._restart
    if held == "BEGIN":
        with Holder(path, held):
            assert not store.erase(user_id=ADA).scrubbed
    else:  # somebody writes just after our COMMIT and does not stop

        def busy(writer):
            with sqlite3.connect(path, isolation_level=None, timeout=0) as raw:
                raw.execute(held)
                try:
                    return undone(writer)
                finally:
                    raw.execute("ROLLBACK")
                    raw.close()

        store._database.wal._restart = busy
        assert not store.erase(user_id=ADA).scrubbed
        assert "vacuum_owed" in {row["key"] for row in store.query("SELECT key FROM meta")}
        assert any("unused bytes" in line for line in store.stats().advice)
        store._database.wal._restart = undone
    assert store.stats().scrub_owed
    assert "scrub_owed" in {finding.kind for finding in store.check().findings}
    assert searcher(store, *ada.words) != []
    if finished_by == "commits":
        for _ in range(wal.LOOK_EVERY):
            store.chat.rename("b", "title")
    elif finished_by == "optimize":
        assert not store.optimize().scrub_owed
    elif finished_by == "the next erasure":
        assert store.erase(conversation_id="b").scrubbed
    else:
        store.close()
        if finished_by == "open":
            store = open_store(path)
    assert searcher(os.fspath(path), *ada.words) == []
    store.close()
    with open_store(path) as store:
        assert not store.stats().scrub_owed


def test_samples_of_an_analyze_go_where_there_are_any():
    """SQLite keeps some where it was built with STAT4."""

    class Connection:
        def __init__(self, found):
            self.found, self.ran = found, []

        def value(self, sql):
            return self.found

        def run(self, sql):
            self.ran.append(sql)

    for found, ran in ((None, []), (1, ["DELETE FROM sqlite_stat4"])):
        connection = Connection(found)
        upkeep.forget_samples(connection)
        assert connection.ran == ran


def test_the_mark_of_an_erasure_during_the_vacuum_stays(lives):
    store, ada, bob = lives
    database = store._database
    with store.audit.db.write() as connection:
        database.wal.owe(connection, vacuum=True)
        del database._levels[-1].after[:]

    class Raw:
        """The writer, and somebody who owes a VACUUM just after ours."""

        def execute(self, sql, *params):
            result = database.writer.raw.execute(sql, *params)
            if sql == "VACUUM":
                database.writer.raw.execute("UPDATE meta SET value = 'theirs' WHERE key = 'vacuum_owed'")
            return result

    class Writer:
        raw = Raw()

    database.wal.vacuum(Writer())
    assert store.query("SELECT value FROM meta WHERE key = 'vacuum_owed'") == [{"value": "theirs"}]
    database.wal.scrub()
    assert not store.stats().scrub_owed


ERASE_FOR_EVER = """
import itertools, os, sys
from erasing import Life
from memstore import open_store

with open_store(sys.argv[1]) as store:
    for n in itertools.count():
        life = Life(f"p{os.getpid()}n{n}", f"user{n}.{os.getpid()}@example.org")
        life.live(store)
        store.erase(user_id=life.user_id)
        print(*life.words, flush=True)
"""


def test_killed_at_any_moment_beside_a_writer_nothing_is_lost_and_nothing_left(tmp_path, searcher, rng):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.chat.create_conversation(id="b", user_id="bob")
        words, written = [], 0
        for _ in range(4):
            child = start(ERASE_FOR_EVER, path)
            for _ in range(rng.randrange(1, 8)):
                words += child.stdout.readline().split()
                for _ in range(rng.randrange(20)):
                    store.chat.append("b", "user", f"ours {written}")
                    written += 1
            time.sleep(rng.random() * 0.05)  # which decides where it dies
            child.kill()
            child.communicate()
            with open_store(path):  # finishes what is owed
                assert searcher(store, *words) == []
        assert words
        assert len(store.chat.messages("b", limit=None)) == written
        assert store.check().ok


ERASE_AND_DIE = """
import os, signal, sys
from memstore import open_store
from memstore.kernel.wal import WriteAheadLog

def die(self, *_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(WriteAheadLog, sys.argv[3], die)
open_store(sys.argv[1]).erase(user_id=sys.argv[2])
"""


@pytest.mark.parametrize("at", ["scrub", "vacuum", "copy", "_restart"])
def test_killed_after_its_commit_it_is_finished_by_the_next_open(tmp_path, searcher, at):
    path = tmp_path / "agent.db"
    ada = Life("ada", ADA)
    with open_store(path) as store:
        ada.live(store)
        finish(start(ERASE_AND_DIE, path, ADA, at), code=-9)
        assert searcher(store, *ada.words) != []
        with open_store(path):
            assert searcher(store, *ada.words) == []
        assert not store.stats().scrub_owed


def test_text_that_was_written_without_secure_delete_goes_too(tmp_path, searcher):
    """As by an SQLite that was built without it, or by another program."""
    path = os.fspath(tmp_path / "agent.db")
    ada = Life("ada", ADA)
    with open_store(path) as store:
        ada.live(store)
        for _ in range(30):
            store.chat.append(ada.chat, "user", ada.word("long") * 300)
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA secure_delete = OFF")
    raw.execute("UPDATE messages SET content = 'changed' WHERE length(content) > 500")
    raw.execute("UPDATE conversations SET title = 'changed'")
    raw.close()
    with open_store(path) as store:
        assert {end for end, _ in searcher(store, *ada.words)} == {""}
        assert "long" in "".join(word for _, word in searcher(store, *ada.words)), "in free pages"
        store.keywords.rebuild()
        store.erase(user_id=ADA)
        assert searcher(store, *ada.words) == []


def test_without_the_vacuum_copies_would_be_left(tmp_path, searcher, rng):
    """If this one fails, SQLite leaves no copies of moved rows any more, and the VACUUM could go."""
    left = []
    for attempt in range(20):
        path = tmp_path / f"{attempt}.db"
        with open_store(path) as store:
            store._database.wal.vacuum = lambda writer: writer.raw.execute("DELETE FROM meta WHERE key = 'vacuum_owed'")
            words = scatter(store, rng)
            store.erase(user_id="ada")
            left += searcher(store, *words)
        if left:
            break
    assert left


def scatter(store, rng):
    """Rows of two users side by side, in pages that split and fill; the words of one of them."""
    words = []
    for n in range(200):
        word = f"adaq{n}z"
        words.append(word)
        store.corrections.add(f"{word} {'s' * rng.randrange(200)}", "claim", user_id="ada")
        store.corrections.add(f"bob {n} {'b' * rng.randrange(200)}", "claim", user_id="bob")
    return words


def test_an_erasure_that_waits_for_a_writer_is_busy_and_has_not_happened(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path, timeout=0.05) as store:
        store.chat.create_conversation(id="c", user_id="ada")
        with Holder(path), pytest.raises(Busy):
            store.erase(user_id="ada")
        assert store.chat.get_conversation("c").user_id == "ada"


def test_a_failing_vacuum_leaves_it_owed(file_store, monkeypatch):
    """A full disk, say: the erasure stands."""

    def full(writer):
        raise sqlite3.OperationalError("database or disk is full")

    ada = Life("ada", ADA)
    ada.live(file_store)
    monkeypatch.setattr(file_store._database.wal, "vacuum", full)
    assert not file_store.erase(user_id=ADA).scrubbed
    assert file_store.stats().scrub_owed
    assert file_store.chat.conversations(user_id=ADA) == []
    monkeypatch.undo()
    assert not file_store.optimize().scrub_owed


# -- random histories ---------------------------------------------------------------------------------------------------


class History:
    """A random past of three users in two handles of one file; each text holds words of its user and conversation."""

    def __init__(self, path, rng):
        self.rng, self.path = rng, path
        self.stores = [open_store(path), open_store(path)]
        self.users = [f"{name}.{rng.randrange(10**6)}@example.org" for name in ("ada", "bob", "cid")]
        self.chats = {}  # id -> the user
        self.anchors = []
        self.number = 0

    @property
    def store(self):
        return self.rng.choice(self.stores)

    def text(self, user, chat):
        self.number += 1
        return f"{self.mark(user)} {chat}mark word{self.rng.randrange(50)} " + "fill" * self.rng.choice((0, 3, 30, 300, 1500))

    def mark(self, user):
        return f"{user.partition('.')[0]}mark{user[4:8]}"

    def live(self, steps):
        acts = [getattr(self, name) for name in dir(self) if name.startswith("do_")]
        for _ in range(steps):
            user = self.rng.choice(self.users)
            chats = [chat for chat, owner in self.chats.items() if owner == user]
            if not chats or self.rng.random() < 0.05:
                self.create(user)
            else:
                self.rng.choice(acts)(user, self.rng.choice(chats))

    def create(self, user):
        chat = f"c{len(self.chats)}x{self.rng.randrange(10**6)}"
        self.store.chat.create_conversation(id=chat, user_id=user, title=self.text(user, chat)[:60])
        self.chats[chat] = user

    def do_append(self, user, chat):
        self.store.chat.append(chat, "user", self.text(user, chat))

    def do_append_many(self, user, chat):
        self.store.chat.append_many(chat, [{"role": "user", "content": self.text(user, chat)} for _ in range(self.rng.randrange(30))])

    def do_pop(self, user, chat):
        self.store.chat.pop(chat)

    def do_clear(self, user, chat):
        if self.rng.random() < 0.2:
            self.store.chat.clear(chat, actor=user)

    def do_correct(self, user, chat):
        store = self.store
        found = store.corrections.find(user_id=user)
        if found and self.rng.random() < 0.5:
            chosen = self.rng.choice(found)
            store.corrections.update(chosen.id, why=self.text(user, chosen.conversation_id), actor=user)
        else:
            text = f"{self.number} {self.text(user, chat)}"
            store.corrections.add(text, text[:200], user_id=user, conversation_id=chat, rejected=text[:90])

    def do_back_up(self, user, chat):
        store = self.store
        store.backups.track(chat, "coder", "text")
        store.backups.save(chat, "coder", self.text(user, chat))

    def do_run(self, user, chat):
        self.store.evals.record_run(chat, self.mark(user))
        self.store.evals.record_assertion(self.mark(user), "info", True, session_id=chat)

    def do_index(self, user, chat):
        self.store.keywords.add(f"{self.mark(user)}{self.rng.randrange(9)}", self.text(user, chat), kind="note", conversation_id=chat)

    def do_log(self, user, chat):
        who = self.rng.choice(({"user_id": user}, {"actor": user}, {"token_id": user}, {"conversation_id": chat}))
        details = {"text": self.text(user, chat)} if "conversation_id" in who else {"text": self.mark(user)}
        self.store.audit.append("query", details=details, **who)

    def do_tidy(self, user, chat):
        store = self.store
        self.rng.choice((store.keywords.compact, store.keywords.catch_up, store.optimize, store._database.wal.flush))()

    def do_reopen(self, user, chat):
        turn = self.rng.randrange(2)
        self.anchors.append(self.stores[turn].audit.head())
        self.stores[turn].close()
        self.stores[turn] = open_store(self.path)

    def do_search(self, user, chat):
        self.store.chat.search(self.mark(user))


def erased_in_a_random_history(path, rng, searcher, steps):
    history = History(path, rng)
    history.live(steps)
    for _ in range(rng.randrange(1, 4)):
        store, user = history.store, rng.choice(history.users)
        chats = [chat for chat, owner in history.chats.items() if owner == user]
        if rng.random() < 0.5 or not chats:
            words = [user, history.mark(user), *chats]
            before = without(rows(store), words)
            receipt = store.erase(user_id=user)
        else:
            words = [chat := rng.choice(chats), f"{chat}mark"]
            chats = [chat]
            before = without(rows(store), words)
            receipt = store.erase(conversation_id=chat)
        assert receipt.scrubbed
        assert searcher(store, *words) == []
        assert rows(store) == before
        for chat in chats:
            del history.chats[chat]
        for each in history.stores:
            assert each.check().ok, each.check().findings
            assert each.audit.verify(anchors=history.anchors).ok
        history.live(steps // 5)
    for store in history.stores:
        store.close()


@pytest.mark.drawn(2)
@pytest.mark.parametrize("number", range(12))
def test_erased_in_a_random_history(tmp_path, rng, searcher, number):
    erased_in_a_random_history(tmp_path / "agent.db", rng, searcher, 60)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(150))
def test_erased_in_a_long_random_history(tmp_path, rng, searcher, number):
    erased_in_a_random_history(tmp_path / "agent.db", rng, searcher, 250)


@pytest.mark.nightly
def test_many_events_take_as_long_as_a_few_readings_of_the_log(file_store):
    details = {"text": "x" * 80, "who": ["somebody"]}
    file_store.audit.append_many([{"event_type": "query", "actor": f"u{n % 9}", "details": details} for n in range(60_000)])
    begun = time.process_time()
    assert file_store.audit.verify().ok
    floor = time.process_time() - begun
    begun = time.process_time()
    assert file_store.erase(user_id="u7").counts == {"audit_log": 6_666}
    assert time.process_time() - begun < 20 * floor
