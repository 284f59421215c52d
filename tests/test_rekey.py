"""`rekey`: all of a store is under one key at every instant, and comes under another one without losing a word."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading

import pytest
from kernel.things import run
from processes.failpoints import copied, kill_at, steps_of
from test_codec import READ, answers, fernet, furnish, leaked, live, opened
from toy_codec import Toy

from memstore import Busy, Invalid, ReadOnly, SchemaTooNew, StoreError, WrongKey
from memstore.kernel import sealed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


class Stop(Exception):
    """What a progress raises to interrupt."""


def stopping(after):
    """A progress that interrupts once so many rows are done."""

    def progress(done, total):
        if done >= after:
            raise Stop

    return progress


def test_all_answers_hashes_and_tags_stay_and_every_ciphertext_changes(tmp_path, path):
    new = fernet()
    with opened(path, Toy()) as store:
        words = live(store, 3)
        store.keywords.compact()
        before, head = answers(store, words, tmp_path / "before"), store.audit.head()
        kept = store.query("SELECT subject_key, claim_key FROM corrections ORDER BY pk")
        hashes = store.query("SELECT seq, body, hash, refs FROM audit_log ORDER BY seq")
        ciphertexts = {row["content"] for row in store.query("SELECT content FROM messages")}
        seen = []
        changed = store.rekey(new, actor="ann", note="every year", progress=lambda done, total: seen.append((done, total)))
        assert changed > 300
        assert seen[-1][0] == seen[-1][1]
        assert store.query("SELECT subject_key, claim_key FROM corrections ORDER BY pk") == kept
        assert store.query("SELECT seq, body, hash, refs FROM audit_log ORDER BY seq")[:-1] == hashes
        assert ciphertexts.isdisjoint(row["content"] for row in store.query("SELECT content FROM messages"))
        (event,) = store.audit.find(event_type="store.rekey")
        assert (event.actor, event.note, event.details) == ("ann", "every year", {"values": changed})
        assert store.audit.verify(anchors=[head]).ok
        after = answers(store, words, tmp_path / "after")
        assert {**after, "audit": after["audit"][1:], "verified": before["verified"]} == before
        assert store.query("SELECT name FROM sqlite_schema WHERE name = 'rekeyed'") == []
        assert store.query("SELECT key FROM meta WHERE key IN ('rekey', 'scrub_owed')") == []
    with pytest.raises(WrongKey):
        opened(path, Toy())
    with opened(path, new) as store:
        assert answers(store, words, tmp_path / "again") == after
        store.rekey(Toy(b"third"))
        assert store.rekey(Toy(b"third")) > 0, "the same key again gives fresh ciphertext"


def test_nothing_under_the_old_key_is_left_in_the_files(path):
    old = Toy()
    with opened(path, old) as store:
        furnish(store)
        texts = [row["content"] for row in store.query("SELECT content FROM messages")]
        store.rekey(Toy(b"second"))
        assert run(READ, path, *texts).strip() == "[]"
        assert leaked(path) == []


def test_other_handles_with_the_old_codec_are_told(path):
    with opened(path, Toy()) as store, opened(path, Toy()) as other:
        furnish(store)
        assert other.chat.get_message("m3").content == "seven contentquagga"
        store.rekey(Toy(b"second"))
        for call in (
            lambda: other.chat.get_message("m3"),
            lambda: other.chat.append("c1", "user", "under the old key"),
            lambda: other.corrections.relevant("lanterns"),
            lambda: other.rekey(Toy(b"third")),
            other.check,
        ):
            with pytest.raises(WrongKey, match="was given another key since it was opened"):
                call()
        other._database.close()
        store.chat.append("c1", "user", "under the new key", id="m9")
        assert store.chat.get_message("m9").content == "under the new key"


def test_a_snapshot_begun_before_is_read_to_its_end_by_the_same_handle(path):
    with opened(path, Toy(), timeout=0.5) as store:
        furnish(store)
        with store.chat.db.read(snapshot=True) as connection:
            stored = connection.value("SELECT content FROM messages WHERE id = 'm3'")
            thread = threading.Thread(target=store.rekey, args=(Toy(b"second"),))
            thread.start()
            thread.join()
            assert connection.value("SELECT content FROM messages WHERE id = 'm3'") == stored
            assert connection.cipher.unseal("messages.content", ("m3",), stored) == "seven contentquagga"
        assert store.chat.get_message("m3").content == "seven contentquagga"


def test_interrupted_it_goes_on_with_the_same_codec_and_begins_anew_with_another(path):
    with opened(path, Toy()) as store:
        furnish(store)
        store.chat.append_many("c1", [{"role": "user", "content": f"amber {number}"} for number in range(600)])
        new = Toy(b"second")
        with pytest.raises(Stop):
            store.rekey(new, progress=stopping(550))
        assert store.check().ok, "the old key is in force"
        assert any("rekey() has not come through" in line for line in store.stats().advice)
        made = store.query("SELECT count(*) AS made FROM rekeyed")[0]["made"]
        assert made > 500
        with pytest.raises(Stop):
            store.rekey(Toy(b"third"), progress=stopping(1))
        assert 0 < store.query("SELECT count(*) AS made FROM rekeyed")[0]["made"] < made
        with pytest.raises(Stop):
            store.rekey(new, progress=stopping(550))
    with opened(path, Toy()) as store:
        before = new.made
        store.rekey(new)
        assert store.stats().advice == []
        assert new.made - before < 250, "what was made before is not made again"
        assert len(store.chat.search("amber", limit=None)) == 601
    with opened(path, new) as store:
        assert store.check().ok


@pytest.mark.parametrize("late", [False, True], ids=["while values are made", "when all are made"])
def test_what_is_written_meanwhile_comes_along(path, late):
    with opened(path, Toy()) as store, opened(path, Toy()) as other:
        furnish(store)

        def meanwhile(done, total):
            if not seen and done >= late * total:
                seen.append(done)
                other.chat.append("c1", "user", "written meanwhile", id="late")
                other.chat.rename("c1", "changed meanwhile")
                other.corrections.update("k1", claim="claimed meanwhile", why="because")
                other.keywords.add("n1", "noted meanwhile", kind="note")
                other.chat.pop("c1")
                other.chat.append("c1", "user", "written last", id="last")
                other.audit.append("query", details={"text": "meanwhile"})
                other.keywords.compact()

        seen = []
        store.rekey(Toy(b"second"), progress=meanwhile)
        other._database.close()
        assert seen
    with opened(path, Toy(b"second")) as store:
        assert store.check().ok
        assert store.chat.get_conversation("c1").title == "changed meanwhile"
        assert store.chat.get_message("last").content == "written last"
        assert store.corrections.get("k1").claim == "claimed meanwhile"
        assert store.keywords.keywords("n1", kind="note") == ["meanwhile", "noted"]
        assert [hit.message.id for hit in store.chat.search("written")] == ["last"]


def test_what_is_deleted_meanwhile_is_not_kept_beside(path):
    with opened(path, Toy()) as store:
        furnish(store)
        with pytest.raises(Stop):
            store.rekey(Toy(b"second"), progress=stopping(8))
        assert store.query("SELECT count(*) AS made FROM rekeyed")[0]["made"] > 0
        store.chat.clear("c1")
        assert store.query("SELECT count(*) AS made FROM rekeyed")[0]["made"] == 0
        store.rekey(Toy(b"second"))
        assert store.chat.messages("c1") == []


def test_of_two_at_once_the_one_that_began_first_gives_way(path):
    with opened(path, Toy()) as store, opened(path, Toy()) as other:
        furnish(store)

        def meanwhile(done, total):
            with contextlib.suppress(Stop):
                other.rekey(Toy(b"third"), progress=stopping(1))

        with pytest.raises(Busy, match="one at a time"):
            store.rekey(Toy(b"second"), progress=meanwhile)
        assert store.check().ok


def test_where_it_makes_no_sense_it_is_refused(path):
    with opened(path) as store:
        store.chat.create_conversation(id="c1")
        with pytest.raises(Invalid, match="is not encrypted, so there is no codec to replace; export it, and import"):
            store.rekey(Toy())
    other = path.with_name("other.db")
    with opened(other, Toy()) as store:
        furnish(store)
        with pytest.raises(Invalid, match="to have the store unencrypted, export it, and import"):
            store.rekey(None)
        with pytest.raises(Invalid, match="encrypt"):
            store.rekey(object())
        with store.transaction(), pytest.raises(Invalid, match=r"inside transaction\(\)"):
            store.rekey(Toy(b"second"))
        for wrong in ({"actor": 7}, {"note": None}, {"progress": 1}, {"actor": "a\0b"}, {"note": "\ud800"}):
            with pytest.raises(Invalid, match=next(iter(wrong))):
                store.rekey(Toy(b"second"), **wrong)
        assert store.query("SELECT key FROM meta WHERE key = 'rekey'") == []
        store._database.writer.run("INSERT INTO schema_version(room, version, digest) VALUES ('dreams', 1, '')")
        with pytest.raises(SchemaTooNew, match="dreams"):
            store.rekey(Toy(b"second"))
        store._database.writer.run("DELETE FROM schema_version WHERE room = 'dreams'")
    with opened(other, Toy(), read_only=True) as store, pytest.raises(ReadOnly):
        store.rekey(Toy(b"second"))


@pytest.mark.damage
def test_what_does_not_open_stops_it_by_name_and_leaves_the_old_key(path):
    with opened(path, Toy()) as store:
        furnish(store)
    raw = sqlite3.connect(path)
    raw.execute("UPDATE messages SET content = 'nonsense' WHERE id = 'm3'")
    raw.commit()
    raw.close()
    with opened(path, Toy()) as store:
        with pytest.raises(StoreError, match="content of 'm3' in messages"):
            store.rekey(Toy(b"second"))
        assert store.chat.get_message("m1").content.startswith("the contentquagga")


# -- death at every step ------------------------------------------------------------------------------------------------


def rekeyed(path, count):
    sealed.PAGE = 8  # so that there are several batches of small rooms
    with opened(path, Toy()) as store:
        for room in store.stats().rooms:
            getattr(store, room).db.value("SELECT 1")
        with count():
            store.rekey(Toy(b"second"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "agent.db"
    with opened(path, Toy()) as store:
        furnish(store)
        store.chat.append_many("c1", [{"role": "user", "content": f"amber {number}"} for number in range(20)])
        store.keywords.compact()
    return path


def seen(store):
    return {
        "messages": [message.to_dict() for message in store.chat.messages("c1", limit=None)],
        "correction": store.corrections.get("k1").to_dict(),
        "found": [hit.message.id for hit in store.chat.search("amber", limit=None)],
        "relevant": [hit.correction.id for hit in store.corrections.relevant("wombat lanterns of subjectwombat")],
        "titles": [chat.title for chat in store.chat.conversations()],
        "complete": store.keywords.complete("am"),
    }


def survived(path, expected, tmp_path):
    """Open a file after a death: one of the two keys opens it, all is there, and rekey comes through when it is called again."""
    keys = []
    for key in (b"first", b"second"):
        with contextlib.suppress(WrongKey), opened(path, Toy(key)) as store:
            keys.append(key)
            assert store.check().ok, store.check().findings
            assert seen(store) == expected
            assert store.query("SELECT reason FROM audit_permit") == []
            assert not store.stats().scrub_owed
    assert len(keys) == 1, "it is under one key"
    with opened(path, Toy(keys[0])) as store:
        store.rekey(Toy(b"second"))
        assert seen(store) == expected
    with opened(path, Toy(b"second")) as store:
        assert store.check().ok
        assert store.query("SELECT name FROM sqlite_schema WHERE name = 'rekeyed'") == []
    return keys[0]


def killed(base, tmp_path, choose):
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    with opened(base, Toy()) as store:
        expected = seen(store)
    names = steps_of(rekeyed, copied(base, tmp_path / "whole"))
    commits = [number for number, name in enumerate(names, 1) if name == "after COMMIT"]
    assert len(commits) > 8, "it works in batches"
    keys = []
    for number in choose(names):
        kill_at(number, rekeyed, path := copied(base, tmp_path / "killed"))
        keys.append(survived(path, expected, tmp_path))
    assert keys == sorted(keys), "first the old key, then the new one"
    assert set(keys) == {b"first", b"second"}


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


def test_killed_at_some_step_it_is_under_one_key_and_goes_on(base, tmp_path):
    def some(names):
        last = len(names) - names[::-1].index("after COMMIT")
        put = len(names) - names[::-1].index("before UPDATE meta SET value = ? WHERE key = 'codec'")
        around = [number for number, name in enumerate(names, 1) if "COMMIT" in name][-8:]
        return sorted({*range(1, len(names), len(names) // 9), put, last, *around, len(names)})

    killed(base, tmp_path, some)


@pytest.mark.nightly
def test_killed_at_any_step_it_is_under_one_key_and_goes_on(base, tmp_path):
    killed(base, tmp_path, lambda names: range(1, len(names) + 1))


class Garbling(Toy):
    """A codec whose ciphertext is garbage for a while."""

    def encrypt(self, data):
        made = super().encrypt(data)
        return b"garbage" * 9 if 5 <= self.made < 8 else made


def test_a_codec_that_writes_garbage_midway_changes_nothing(path):
    with opened(path, Toy()) as store:
        furnish(store)
        with pytest.raises(Invalid, match="does not open what it has just encrypted"):
            store.rekey(Garbling(b"second"))
        assert store.check().ok
        assert store.rekey(Toy(b"second")) > 0
        assert store.check().ok
