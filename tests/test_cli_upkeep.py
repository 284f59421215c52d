"""The commands that make a store smaller, and how a codec is named on the command line."""

from __future__ import annotations

import json
import os
import sys

import pytest

from memstore import Invalid, open_store
from memstore.cli import main
from memstore.cli.keys import named_codec
from memstore.testing import FakeClock

DAY = 86_400.0


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch):
    for name in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "MEMSTORE_CODEC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def db(tmp_path):
    """Four conversations that were left long ago."""
    clock = FakeClock()
    with open_store(tmp_path / "agent.db", clock=clock) as store:
        for number in range(4):
            clock.advance(DAY)
            store.chat.create_conversation(id=f"c{number}")
            store.chat.append_many(f"c{number}", [{"role": "user", "content": f"word{number} " + "x" * 2000}] * 30)
        store.corrections.add("rounding", "round", rejected="truncate")
    return str(tmp_path / "agent.db")


def call(capsys, *words):
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def left(db):
    with open_store(db) as store:
        return [chat.id for chat in store.chat.conversations()]


def test_prune_says_in_one_line_what_went_and_what_stays_beside(capsys, db):
    before = os.stat(db).st_size
    status, out, err = call(capsys, "prune", "--db", db, "--keep-last", "1", "--reason", "a small disk", "--actor", "ann")
    assert status == 0
    assert out.startswith("removed 3 conversations, 90 messages; ") and out.endswith(f"  {db}\n") and out.count("\n") == 1
    assert err == "corrections: 1 live, which stay and fade: store.corrections.prune() in the shell removes what has faded\n"
    assert left(db) == ["c3"]
    assert os.stat(db).st_size < before * 0.6
    with open_store(db) as store:
        (event,) = store.audit.find(event_type="store.prune")
    assert (event.note, event.actor) == ("a small disk", "ann")


def test_a_trial_of_prune_shows_the_same_and_leaves_all(capsys, db):
    _, tried, _ = call(capsys, "prune", db, "--keep-last", "2", "--dry-run")
    assert tried.startswith("would remove 2 conversations, 60 messages; ")
    assert len(left(db)) == 4
    _, done, _ = call(capsys, "prune", db, "--keep-last", "2")
    assert done == tried.replace("would remove", "removed")
    assert call(capsys, "prune", db, "--keep-last", "2")[1].startswith("nothing to remove, ")


def test_prune_for_programs(capsys, db):
    status, out, err = call(capsys, "prune", db, "--room", "chat", "--max-age", "1d", "--json")
    told = json.loads(out)
    assert (status, err, told["removed"], told["path"]) == (0, "", {"conversations": 4, "messages": 120}, db)
    assert set(told) == {"removed", "kept", "bytes_before", "bytes_after", "dry_run", "audit_seq", "path"}


@pytest.mark.parametrize("size", ["400kB", "0.4MB", "400000B", "390.6 KiB", "400k"])
def test_prune_to_a_size(capsys, db, size):
    assert call(capsys, "prune", db, "--max-bytes", size)[0] == 0
    assert 200_000 < os.stat(db).st_size <= 400_000
    assert 0 < len(left(db)) < 4


@pytest.mark.parametrize("age", ["5000d", "9000w", "9e9s", "120000h", "99999999m"])
def test_prune_by_an_age(capsys, db, age):
    status, _, err = call(capsys, "prune", db, "--max-age", age)
    assert (status, len(left(db))) == ((2, 4) if "e" in age else (0, 4)), err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "nothing says what may stay; give --keep-last N, --max-age 90d or --max-bytes 50MB"),
        (["--max-age", "90"], "--max-age '90' is no age; write it with its unit"),
        (["--max-bytes", "large"], "--max-bytes 'large' is no size"),
        (["--max-bytes", "50"], "--max-bytes '50' is no size; write it with its unit"),
        (["--max-bytes", "50B"], "--max-bytes is out of reach: without all that prune may remove the file takes "),
        (["--keep-last", "-1"], "keep_last is -1"),
        (["--keep-last", "1", "--room", "chta"], "there is no room 'chta' (nearest: 'chat')"),
        (["--keep-last", "1", "--room", "backups"], "context_backups is only ever appended to"),
        (["--keep-last", "1", "--codec", "nothing"], "--codec 'nothing' names no codec; write MODULE:NAME"),
        (["--keep-last", "1", "--codec", "no_such_module:x"], "ModuleNotFoundError: PYTHONPATH must lead to it"),
        (["--keep-last", "1", "--codec", "json:dumps"], "--codec 'json:dumps' gives no codec: TypeError"),
        (["--keep-last", "1", "--codec", "json:loaded"], "AttributeError"),
        (["--keep-last", "1", "--codec", "math:pi"], "is a float; a codec has encrypt(bytes) and decrypt(bytes)"),
    ],
)
def test_a_wrong_call_is_one_sentence_status_2_and_removes_nothing(capsys, db, words, why):
    status, out, err = call(capsys, "prune", db, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("memstore: ") and why in err
    assert len(left(db)) == 4


# -- codecs -------------------------------------------------------------------------------------------------------------

KEYS = """
class Rot:
    def encrypt(self, data): return data[::-1]
    def decrypt(self, data): return data[::-1]
class Ring:
    inner = Rot()
rot = Rot()
def make(): return rot
def fail(): raise ValueError("the key\\nis not here")
"""


@pytest.fixture
def keyring(tmp_path, monkeypatch):
    (tmp_path / "some_keys.py").write_text(KEYS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("some_keys", None)


@pytest.mark.parametrize("name", ["rot", "make", "Rot", "Ring.inner"])
def test_a_codec_is_an_object_or_what_a_function_returns(keyring, name):
    found = named_codec("--codec", f"some_keys:{name}")
    assert found.decrypt(found.encrypt(b"text")) == b"text" != found.encrypt(b"text")


def test_what_a_function_does_wrong_is_said_on_one_line(keyring):
    with pytest.raises(Invalid, match="MEMSTORE_CODEC 'some_keys:fail' gives no codec: ValueError: the key is not here"):
        named_codec("MEMSTORE_CODEC", "some_keys:fail")


@pytest.mark.parametrize("words", [["--codec", "no_such:x", "info", "{db}"], ["info", "{db}", "--codec", "no_such:x"]])
def test_a_codec_is_named_before_or_after_the_command_or_by_the_environment(capsys, monkeypatch, db, words):
    status, _, err = call(capsys, *(word.format(db=db) for word in words))
    assert status == 2 and "--codec 'no_such:x'" in err
    monkeypatch.setenv("MEMSTORE_CODEC", "no_such:y")
    for command in (["info", db], ["search", "--db", db, "x"], ["dpo", "--db", db], ["prune", db, "--keep-last", "9"]):
        status, _, err = call(capsys, *command)
        assert status == 2 and "MEMSTORE_CODEC 'no_such:y'" in err
    monkeypatch.setenv("MEMSTORE_CODEC", "")
    assert call(capsys, "info", db)[0] == 0
