"""`export`, `import`, `erase` and `rekey` from the command line."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest
from test_cli import on_a_terminal, on_terminal

from memstore import open_store
from memstore.cli import main


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch):
    for name in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "MEMSTORE_CODEC"):
        monkeypatch.delenv(name, raising=False)


def fill(path, **options):
    with open_store(path, **options) as store:
        for user in ("ann", "bob"):
            store.chat.create_conversation(id=f"c-{user}", user_id=user)
            store.chat.append(f"c-{user}", "user", f"hello from {user}", id=f"m-{user}")
        store.audit.append("query", user_id="ann")
    return str(path)


@pytest.fixture
def db(tmp_path):
    return fill(tmp_path / "agent.db")


def call(capsys, *words):
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def chats(path, **options):
    with open_store(path, **options) as store:
        return sorted(chat.id for chat in store.chat.conversations())


def files(folder):
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


# -- export and import --------------------------------------------------------------------------------------------------


def test_a_store_leaves_and_comes_back_the_same(capsys, tmp_path, db):
    out, again, copy = tmp_path / "out", tmp_path / "again", str(tmp_path / "copy.db")
    status, told, err = call(capsys, "export", "--db", db, str(out))
    assert (status, err, told.count("\n")) == (0, "", 1)
    assert " rows, " in told and told.endswith(f"  {out}\n")
    status, told, err = call(capsys, "import", "--db", copy, str(out))
    assert (status, err) == (0, "the empty store takes over id and log of the exported one\n")
    assert told.endswith(f" added  {copy}\n")
    assert call(capsys, "export", str(again), "--db", copy, "--json")[0] == 0
    assert files(again) == files(out)
    status, told, _ = call(capsys, "import", "--db", copy, str(out), "--on-conflict", "skip")
    assert status == 0 and " skipped" in told and " added" not in told
    assert json.loads(call(capsys, "import", str(out), "--db", copy, "--on-conflict", "skip", "--json")[1])["store"] == copy


def test_a_trial_of_an_import_shows_the_same_and_writes_nothing(capsys, tmp_path, db):
    out, new = tmp_path / "out", tmp_path / "new.db"
    call(capsys, "export", "--db", db, str(out))
    status, told, err = call(capsys, "import", "--db", str(new), str(out), "--dry-run")
    assert (status, err) == (0, "the empty store takes over id and log of the exported one\n")
    assert told.endswith(f" added  {new} (a trial: nothing was written)\n")
    assert not new.exists()
    before = chats(db)
    assert " replaced" in call(capsys, "import", "--db", db, str(out), "--on-conflict", "replace", "--dry-run")[1]
    assert chats(db) == before


def test_without_a_store_an_import_begins_one_beside(capsys, tmp_path, db):
    call(capsys, "export", db, str(tmp_path / "out.1"))
    assert call(capsys, "import", str(tmp_path / "out.1"))[0] == 0
    assert chats(tmp_path / "out.1.memstore.db") == chats(db)


def test_the_export_of_one_user(capsys, tmp_path, db):
    assert call(capsys, "export", "--db", db, "--user", "ann", str(tmp_path / "ann"))[0] == 0
    assert call(capsys, "import", "--db", str(tmp_path / "ann.db"), str(tmp_path / "ann"))[0] == 0
    assert chats(tmp_path / "ann.db") == ["c-ann"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["import", "--db", "{new}", "{folder}"], "it has no manifest.json); if another application did, say whose it is: --from aua"),
        (["import", "--db", "{new}", "{out}", "--conversation", "c"], "--conversation belongs to --from"),
        (["import", "--db", "{new}", "{out}", "--from", "chat", "--on-conflict", "skip"], "--on-conflict belongs to a folder"),
        (["import", "--db", "{new}", "{out}", "--on-conflict", "merge"], "invalid choice: 'merge'"),
        (["import", "--db", "{new}", "{damaged}"], "manifest.json is damaged"),
        (["export", "--db", "{db}", "{out}"], "exists already"),
        (["export", "--db", "{new}", "{folder}/more"], "there is no store at {new}"),
    ],
)
def test_a_wrong_call_is_one_sentence_status_2_and_begins_no_store(capsys, tmp_path, db, words, why):
    names = {"db": db, "out": str(tmp_path / "out"), "folder": str(tmp_path), "new": str(tmp_path / "new.db")}
    names["damaged"] = str(tmp_path / "damaged")
    call(capsys, "export", "--db", db, names["out"])
    os.mkdir(names["damaged"])
    with open(os.path.join(names["damaged"], "manifest.json"), "w") as damaged:
        damaged.write("{}")
    status, out, err = call(capsys, *(word.format(**names) for word in words))
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert why.format(**names) in err
    assert not list(tmp_path.glob("new.db*"))


# -- erase --------------------------------------------------------------------------------------------------------------


def test_erase_forgets_one_subject_and_says_what_went(capsys, db):
    status, tried, err = call(capsys, "erase", "--db", db, "--user", "ann", "--dry-run")
    assert status == 0 and tried.startswith("would erase ") and "1 conversation" in tried and "1 message" in tried
    assert chats(db) == ["c-ann", "c-bob"]
    status, out, err = call(capsys, "erase", "--db", db, "--user", "ann", "--yes", "--reason", "asked for", "--actor", "clerk")
    assert status == 0 and out.startswith("erased ") and "; event #" in out and out.endswith(f"  {db}\n")
    assert "snapshot" in err
    assert chats(db) == ["c-bob"]
    with open_store(db) as store:
        (event,) = store.audit.find(event_type="user.erase")
    assert (event.actor, event.note) == ("clerk", "asked for")
    status, out, err = call(capsys, "erase", "--db", db, "--user", "ann", "--yes")
    assert (status, out) == (2, "") and "no room holds anything of a user 'ann'" in err
    status, out, err = call(capsys, "export", "--db", db, "--user", "ann", f"{db}-ann")
    assert status == 1 and out.startswith("0 rows") and "belongs to a user 'ann'" in err


def test_erase_of_a_memory(capsys, db):
    with open_store(db) as store:
        kept, gone = (store.memories.add("preference", f"prefers {drink}").id for drink in ("tea", "amber"))
    status, out, _ = call(capsys, "erase", "--db", db, "--memory", gone, "--yes", "--json")
    assert (status, json.loads(out)["counts"]["memories"]) == (0, 1)
    with open_store(db) as store:
        assert [item.id for item in store.memories.find()] == [kept]
    status, _, err = call(capsys, "erase", "--db", db, "--memory", gone, "--yes")
    assert status == 1
    assert f"no room holds anything of a memory '{gone}'" in err


@pytest.mark.parametrize("words", [["--conversation", "c-ann"], ["--message", "m-ann"]])
def test_erase_for_programs(capsys, db, words):
    status, out, _ = call(capsys, "erase", "--db", db, *words, "--yes", "--json")
    told = json.loads(out)
    assert (status, told["counts"]["messages"], told["scrubbed"], told["path"]) == (0, 1, True, db)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--user", "ann"], "give --yes to do it, or --dry-run to see what would go"),
        (["--user", "ann", "--message", "m-ann", "--yes"], "not allowed with"),
        (["--yes"], "is required"),
        (["--conversation", "c-anna", "--yes"], "c-ann"),
        (["--user", "ann", "--actor", "ann", "--yes"], "actor"),
    ],
)
def test_what_erase_cannot_do_it_says_and_does_not(capsys, monkeypatch, db, words, why):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    status, out, err = call(capsys, "erase", "--db", db, *words)
    assert (status, out) == (2, "") and why in err
    assert chats(db) == ["c-ann", "c-bob"]


@on_a_terminal
@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_on_a_terminal_erase_asks(db, typed, status):
    seen, ended = on_terminal("erase", "--db", db, "--conversation", "c-ann", typed=typed)
    assert "this erases for good: " in seen and "1 conversation" in seen and "erase? [y/N]" in seen
    assert (ended, chats(db)) == (status, ["c-ann", "c-bob"][1 - status :])


# -- rekey --------------------------------------------------------------------------------------------------------------

KEYS = """
class Mirror:
    def __init__(self, sign): self.sign = sign
    def encrypt(self, data): return bytes(byte ^ self.sign for byte in data)
    decrypt = encrypt
old, new = Mirror(85), Mirror(51)
"""


def test_rekey_brings_a_store_under_another_codec(capsys, tmp_path, monkeypatch):
    (tmp_path / "two_keys.py").write_text(KEYS)
    monkeypatch.syspath_prepend(tmp_path)
    import two_keys

    path = fill(tmp_path / "sealed.db", codec=two_keys.old)
    assert call(capsys, "info", path)[0] == 2
    assert call(capsys, "search", "--db", path, "hello", "--codec", "two_keys:old")[0] == 0
    status, out, err = call(capsys, "--codec", "two_keys:old", "rekey", path, "--to", "two_keys:new", "--reason", "old one is known")
    assert (status, err) == (0, "")
    assert out.endswith(f" values under two_keys:new  {path}\n")
    assert chats(path, codec=two_keys.new) == ["c-ann", "c-bob"]
    assert call(capsys, "search", "--db", path, "hello", "--codec", "two_keys:old")[0] == 2
    sys.modules.pop("two_keys")
