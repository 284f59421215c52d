"""Paths that lead elsewhere than they seem to: what SQLite, the shell or the file system would make of a name."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import sqlite3

import pytest

from memstore import Closed, Corrupt, Exists, Invalid, NotAStore, ReadOnly, Replaced, StoreError, open_store

from .test_files import POSIX, entries, made, refused
from .things import Things

URIS = [
    "file:agent.db",
    "file:agent.db?mode=memory",
    "file:agent.db?vfs=unix-none",
    "file:agent.db?nolock=1&immutable=1",
    "file::memory:",
    "file::memory:?cache=shared",
    "FILE:agent.db",
    "agent.db?mode=memory&cache=shared",
    "agent.db#fragment",
    "a%00b.db",
]
#: Names that mean memory, or nothing, to SQLite.
SHORTHANDS = [":MEMORY:", ":memory", " :memory:", "memory", "~", "NUL", "CON"]


def holds(path, *words):
    """Whether a file is a store of its own that plain sqlite3 can read there."""
    raw = sqlite3.connect("file:" + "".join(f"%{byte:02X}" for byte in os.fsencode(path)) + "?mode=ro", uri=True)
    try:
        return [word for (word,) in raw.execute("SELECT word FROM things ORDER BY pk")] == list(words)
    finally:
        raw.close()


# -- names that somebody would interpret --------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("name", [*URIS, *SHORTHANDS])
def test_a_name_is_a_file_of_that_name_and_nothing_else(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store(name) as store:
        Things(store).add("a")
        assert store.path == str(tmp_path / name)
        with open_store(name) as other:
            assert Things(other).words() == ["a"], "the same file, not a memory of its own"
            Things(other).add("b")
    assert os.listdir(tmp_path) == [name]
    assert holds(tmp_path / name, "a", "b")


@POSIX
@pytest.mark.parametrize("name", URIS)
def test_a_snapshot_goes_where_it_is_told(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store("source.db") as store:
        Things(store).add("a")
        assert store.snapshot(name) == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "source.db"])
    assert holds(tmp_path / name, "a")


def test_only_one_word_means_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store(":memory:") as store, open_store(":memory:") as other:
        Things(store).add("a")
        assert Things(other).words() == [], "each has its own"
    assert os.listdir(tmp_path) == []
    with open_store("./:memory:") as store:
        assert store.path == str(tmp_path / ":memory:")
    with open_store(pathlib.Path(":memory:")) as store:
        assert store.path == str(tmp_path / ":memory:"), "a path is a path"


def test_a_tilde_is_no_home_folder_and_the_message_says_what_makes_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "os.path.expanduser()" in refused(Invalid, "~/agent.db", "does not exist")


@pytest.mark.parametrize("name", [".", "..", "./", "a/..", "folder/.", "folder//"])
def test_what_resolves_to_a_folder_is_one(tmp_path, name, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    refused(Invalid, name, "is a folder; name a file in it")


def test_a_name_with_detours_is_the_file_at_their_end(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("folder/../agent.db", ".//agent.db", "folder/.././agent.db", b"agent.db", pathlib.Path("agent.db")):
        with open_store(name) as store:
            assert store.path == str(tmp_path / "agent.db")
            Things(store).add("a")
    assert holds(tmp_path / "agent.db", *["a"] * 5)


@pytest.mark.parametrize("name", ["agent.db", "./agent.db", "folder/../agent.db"])
def test_a_relative_name_is_resolved_once(tmp_path, name, monkeypatch):
    """Connections are opened later too; from another folder they must not begin another file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_store(name) as store:
        monkeypatch.chdir(tmp_path / "elsewhere")
        Things(store).add("a")
        assert Things(store).words() == ["a"]
        store._database.drop_connections()
        Things(store).add("b")
        assert Things(store).words() == ["a", "b"]
        assert store.check().ok
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_store_named_like_the_side_file_of_another_is_left_out_of_it(tmp_path):
    made(tmp_path / "agent.db-wal", "somebody's own")
    refused(Corrupt, tmp_path / "agent.db", "is gone but .*-wal is not")
    assert holds(tmp_path / "agent.db-wal", "somebody's own")


# -- length -------------------------------------------------------------------------------------------------------------


def test_a_long_path_is_refused_by_its_bytes_not_its_characters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ("é" * 120) / ("é" * 120)
    folder.mkdir(parents=True)
    said = refused(Invalid, folder / "agent.db", f"{len(os.fsencode(folder / 'agent.db'))} bytes, SQLite takes at most 500")
    assert len(said) < 250, "which need not repeat it all"
    monkeypatch.chdir(folder)
    refused(Invalid, "agent.db", "bytes, SQLite takes at most 500")
    assert os.listdir(folder) == []
    with open_store(tmp_path / "agent.db") as store:
        with pytest.raises(Invalid, match="at most 500"):
            store.snapshot(folder / "copy.db")


# -- targets of what is written beside the store ------------------------------------------------------------------------

WRITERS = {
    "snapshot": lambda store, path: store.snapshot(path),
    "export_sft": lambda store, path: store.chat.export_sft(path),
    "export_dpo": lambda store, path: store.corrections.export_dpo(path),
}
every_writer = pytest.mark.parametrize("writer", WRITERS)


@pytest.fixture
def told(tmp_path):
    """A store that has something to export, in a folder of its own."""
    (tmp_path / "home").mkdir()
    with open_store(tmp_path / "home" / "agent.db") as store:
        chat = store.chat.create_conversation()
        store.chat.append(chat.id, "user", "hello")
        store.chat.append(chat.id, "assistant", "how are you?")
        store.corrections.add("rounding", "half up", rejected="truncate")
        yield store


@every_writer
@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "missing/target", "folder", "folder/"])
def test_a_target_that_names_no_file_is_refused(told, tmp_path, writer, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises((Invalid, Exists)) as caught:
        WRITERS[writer](told, name)
    assert str(caught.value).encode(), "fit to be printed"
    assert sorted(os.listdir(tmp_path)) == ["folder", "home"]
    assert os.listdir(tmp_path / "folder") == []


@every_writer
@POSIX
def test_a_target_that_is_the_store_or_a_log_is_refused(told, tmp_path, writer):
    before = {name: len(content) for name, content in entries(tmp_path / "home").items()}
    (tmp_path / "link.db").symlink_to(tmp_path / "home" / "agent.db")
    made(tmp_path / "closed.db")
    parts = [name + side for name in (told.path, f"{tmp_path}/closed.db") for side in ("-wal", "-shm", "-journal")]
    for target in (told.path, tmp_path / "link.db", *parts):
        with pytest.raises((Invalid, Exists)):
            WRITERS[writer](told, target)
    assert {name: len(content) for name, content in entries(tmp_path / "home").items()} == before
    assert told.check().ok


@every_writer
@POSIX
def test_a_target_that_is_no_regular_file_is_left_alone(told, tmp_path, writer, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    for target in ("fifo", "socket"):
        kind = os.stat(target).st_mode
        with pytest.raises(StoreError):
            WRITERS[writer](told, target)
        assert os.stat(target).st_mode == kind, f"{target} was replaced by a file"


@every_writer
@POSIX
def test_a_target_behind_a_link_is_written_where_the_link_leads(told, tmp_path, writer):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    WRITERS[writer](told, tmp_path / "link")
    assert os.path.islink(tmp_path / "link")
    assert os.listdir(tmp_path / "folder") == ["target"]


@POSIX
def test_what_is_read_must_be_there_and_readable(told, tmp_path):
    for name, error in (("missing.jsonl", Invalid), ("a\0b", Invalid), ("", StoreError), (told.path, Invalid)):
        with pytest.raises(error):
            told.corrections.import_dpo(name)
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "one.jsonl").write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
    (tmp_path / "pairs" / "two.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Invalid, match=r"two\.jsonl cannot be read"):
        told.corrections.import_dpo(tmp_path / "pairs")
    assert told.corrections.count() == 1


# -- links --------------------------------------------------------------------------------------------------------------


@POSIX
def test_a_folder_behind_a_link_has_one_log(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "chain").symlink_to(tmp_path / "link")
    with open_store(tmp_path / "link" / "agent.db") as store, open_store(tmp_path / "chain" / "agent.db") as other:
        assert store.path == other.path == str(tmp_path / "real" / "agent.db")
        Things(store).add("a")
        Things(other).add("b")
        assert Things(store).words() == ["a", "b"]


@POSIX
def test_a_link_that_is_turned_elsewhere_does_not_move_an_open_store(tmp_path):
    other = made(tmp_path / "other.db", "other")
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "agent.db")
    with open_store(link) as store:
        Things(store).add("a")
        link.unlink()
        link.symlink_to(other)
        Things(store).add("b")
        assert Things(store).words() == ["a", "b"]
    assert holds(tmp_path / "agent.db", "a", "b")
    assert holds(other, "other")


@POSIX
@pytest.mark.damage
def test_a_folder_that_is_exchanged_is_a_replaced_file(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    made(tmp_path / "two" / "agent.db", "other")
    store = open_store(tmp_path / "one" / "agent.db")
    Things(store).add("a")
    (tmp_path / "one").rename(tmp_path / "away")
    (tmp_path / "two").rename(tmp_path / "one")
    with pytest.raises(Replaced, match=r"agent\.db was moved, deleted or replaced while open"):
        Things(store).add("b")
    store.close()
    with pytest.raises(Closed):
        Things(store).words()
    assert holds(tmp_path / "one" / "agent.db", "other"), "and nothing of ours went there"


@POSIX
def test_a_second_name_that_comes_while_the_store_is_open_lets_nobody_else_in(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        Things(store).add("a")
        os.link(path, tmp_path / "second.db")
        for name in ("agent.db", "second.db"):
            refused(Invalid, tmp_path / name, "2 hard links; each name would get its own -wal")
            refused(Invalid, tmp_path / name, "2 hard links", read_only=True)
        Things(store).add("b")
        assert Things(store).words() == ["a", "b"]
        (tmp_path / "second.db").unlink()
    assert holds(path, "a", "b")


@POSIX
def test_a_link_to_a_file_of_two_names_is_refused_too(tmp_path):
    path = made(tmp_path / "agent.db")
    os.link(path, tmp_path / "second.db")
    (tmp_path / "link.db").symlink_to(path)
    refused(Invalid, tmp_path / "link.db", "2 hard links")


# -- permissions and devices --------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/proc/version", "/sys/kernel/notes"])
def test_what_the_system_only_shows_as_a_file_is_no_store(path):
    if not os.path.exists(path):
        pytest.skip(f"no {path}")
    for options in ({}, {"read_only": True}, {"create": False}):
        with pytest.raises((NotAStore, ReadOnly, Corrupt)):
            open_store(path, **options)


@POSIX
def test_a_place_where_no_file_can_be_made_says_so():
    for path in ("/proc/agent.db", "/sys/agent.db"):
        refused(ReadOnly, path, f"cannot create {path}")


@POSIX
def test_side_files_and_copies_are_for_nobody_else_whatever_the_umask(tmp_path, told):
    before = os.umask(0)
    try:
        for name, write in WRITERS.items():
            write(told, tmp_path / name)
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600, name
    finally:
        os.umask(before)
