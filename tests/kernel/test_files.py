"""Files, paths and permissions: what is opened, what is refused, and by which name."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import socket
import sqlite3
import stat
import tempfile

import pytest

from memstore import Closed, Corrupt, Invalid, NotAStore, NotFound, ReadOnly, Replaced, SchemaTooNew, StoreError, open_store
from memstore.kernel import files

from .things import Things, finish, run, start

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def entries(folder):
    """Every file of a folder with its bytes, so that 'nothing was touched' means nothing."""
    return {entry.name: entry.read_bytes() for entry in sorted(folder.iterdir()) if entry.is_file()}


def refused(error, path, said, **options):
    """The message of a refusal to open; nothing beside the path may have changed."""
    with pytest.raises(error, match=said) as caught:
        open_store(path, **options)
    return str(caught.value)


def made(path, *words):
    """A store that was written and closed."""
    with open_store(path) as store:
        for word in words or ("a",):
            Things(store).add(word)
    return path


def foreign(path, *statements):
    """An SQLite file of somebody else."""
    raw = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        raw.execute(statement)
    raw.close()
    return path


# -- what is no store ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"create": False}], ids=str)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x", "1 bytes, too few"),
        (b"SQLite format 3\0", "too few"),
        (b"just some notes\n" * 100, "not an SQLite file"),
        (b"\0" * 4096, "not a"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "not an SQLite file|malformed"),
    ],
)
def test_files_that_are_no_database_are_refused_and_left_alone(tmp_path, content, said, options):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    refused((NotAStore, Corrupt), path, said, **options)
    assert entries(tmp_path) == {"notes.txt": content}


def test_a_database_of_another_application_is_refused_and_left_alone(tmp_path):
    path = foreign(tmp_path / "other.db", "CREATE TABLE users(id INTEGER PRIMARY KEY)", "INSERT INTO users VALUES (1)")
    before = entries(tmp_path)
    for options in ({}, {"read_only": True}, {"create": False}):
        refused(NotAStore, path, r"belongs to another application \(tables: users\)", **options)
        assert entries(tmp_path) == before


def test_another_application_in_wal_mode_is_left_in_it(tmp_path):
    path = foreign(tmp_path / "other.db", "PRAGMA journal_mode = WAL", "CREATE TABLE users(id INTEGER PRIMARY KEY)")
    before = entries(tmp_path)
    refused(NotAStore, path, "another application")
    assert entries(tmp_path) == before


def test_an_aua_state_file_is_told_how_to_come_in(tmp_path):
    tables = ("audit_log", "promotions", "corrections", "sessions", "assertion_events", "conversations", "messages")
    path = foreign(tmp_path / "aua.db", *(f"CREATE TABLE {name}(id TEXT PRIMARY KEY)" for name in tables))
    before = entries(tmp_path)
    said = refused(NotAStore, path, "AUA state file")
    assert f"python -m memstore import --from aua {path}" in said
    assert entries(tmp_path) == before


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    path = made(tmp_path / "agent.db")
    foreign(path, "PRAGMA user_version = 99", "PRAGMA journal_mode = DELETE")
    before = entries(tmp_path)
    for options in ({}, {"read_only": True}, {"create": False}):
        refused(SchemaTooNew, path, "file format 99.*nothing was touched", **options)
        assert entries(tmp_path) == before


@pytest.mark.damage
def test_an_empty_file_beside_a_full_log_is_a_lost_main_file(tmp_path):
    path = tmp_path / "agent.db"
    path.touch()
    (tmp_path / "agent.db-wal").write_bytes(b"the only copy of somebody's work")
    before = entries(tmp_path)
    for options in ({}, {"read_only": True}):
        refused(Corrupt, path, "is empty but .*-wal is not", **options)
        assert entries(tmp_path) == before


def test_a_store_that_another_begins_at_this_moment_is_no_lost_one(tmp_path, monkeypatch):
    path, begun = tmp_path / "agent.db", made(tmp_path / "other.db").read_bytes()
    path.touch()

    def log_of_the_other(place):
        path.write_bytes(begun)
        return 4096

    monkeypatch.setattr(files, "wal_size", log_of_the_other)
    assert files.locate(path, create=True, read_only=False) == str(path)


def test_an_empty_file_becomes_a_store_only_where_one_may_be_made(tmp_path):
    path = tmp_path / "agent.db"
    path.touch()
    refused(NotAStore, path, "empty", create=False)
    refused(NotAStore, path, "empty", read_only=True)
    assert entries(tmp_path) == {"agent.db": b""}
    made(path)


@pytest.mark.damage
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_truncated_store_has_a_name(tmp_path, kept):
    path = made(tmp_path / "agent.db", *("x" * 5000 for _ in range(50)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    try:
        with open_store(path) as store:
            assert not store.check().ok
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore)), error


# -- paths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["", "a\0b", "\0", b"", "\ud800"])
def test_names_that_name_no_file_are_refused(wrong):
    with pytest.raises(Invalid, match="path"):
        open_store(wrong)


@pytest.mark.parametrize("wrong", [None, 5, 1.5, [], object(), True])
def test_a_path_must_be_a_path(wrong):
    with pytest.raises(Invalid, match=f"path must be str or os.PathLike, not {type(wrong).__name__}"):
        open_store(wrong)


def test_folders_and_missing_folders_are_named(tmp_path):
    (tmp_path / "file").touch()
    cases = [
        (tmp_path, "is a folder; name a file in it"),
        (str(tmp_path) + os.sep, "is a folder"),
        (str(tmp_path / "agent.db") + os.sep, "folder"),
        (tmp_path / "missing" / "agent.db", f"folder {re.escape(str(tmp_path / 'missing'))} does not exist"),
        (tmp_path / "missing" / "deeper" / "agent.db", "does not exist"),
        (tmp_path / "file" / "agent.db", "does not exist"),
    ]
    for path, said in cases:
        for options in ({}, {"create": False}, {"read_only": True}):
            refused(Invalid, path, said, **options)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_is_not_there_is_not_made_unless_asked(tmp_path):
    refused(NotFound, tmp_path / "agent.db", "no store at", create=False)
    refused(NotFound, tmp_path / "agent.db", "no store at", read_only=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Invalid, match=":memory:"):
        open_store(read_only=True)


WEIRD = [
    "a?b=c",
    "a#b",
    "100%",
    "%41",
    "a\nb",
    "é",
    "e\u0301",
    "日本語",
    "file:x",
    "file:x?mode=memory",
    " ",
    "a b",
    "a;b",
    "'quoted\"",
    "-wal",
    "a\\b",
    "*",
    ".hidden",
]


@POSIX
@pytest.mark.parametrize("name", WEIRD)
def test_weird_names_are_just_names(tmp_path, name, monkeypatch):
    made(tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    monkeypatch.chdir(tmp_path)
    with open_store(name) as store:
        assert store.path == str(tmp_path / name)
        assert Things(store).words() == ["a"]
        with open_store(os.fsencode(name), read_only=True) as reading:
            assert Things(reading).words() == ["a"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@POSIX
def test_a_name_that_is_no_utf8_is_just_a_name(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.db"
    made(path)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe.db"]
    with open_store(os.fsdecode(path)) as store:
        assert Things(store).words() == ["a"]
        assert store.check().ok
        assert repr(store)


def test_long_paths_open_up_to_a_length_and_are_explained_beyond(tmp_path):
    folder = tmp_path
    while len(str(folder)) < files.PATH_LIMIT - 150:
        folder = folder / ("d" * 100)
    folder.mkdir(parents=True)
    fits = folder / ("f" * (files.PATH_LIMIT - len(str(folder)) - 1))
    assert len(str(fits)) == files.PATH_LIMIT
    made(fits)
    with open_store(fits) as store:
        store.snapshot(folder / "copy.db")
    refused(Invalid, folder / (fits.name + "f"), "501 bytes, SQLite takes at most 500")
    refused(StoreError, tmp_path / ("n" * 300), "long|name")


@POSIX
def test_a_symlink_opens_what_it_points_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "agent.db"
    link.symlink_to(tmp_path / "real" / "data.db")
    with open_store(link) as store:  # dangling as yet
        Things(store).add("a")
        assert store.path == str(tmp_path / "real" / "data.db")
        assert {entry.name for entry in (tmp_path / "real").iterdir()} == {"data.db", "data.db-wal", "data.db-shm"}
        with open_store(tmp_path / "real" / "data.db") as other:
            Things(other).add("b")
            assert Things(store).words() == ["a", "b"]
    assert [entry.name for entry in (tmp_path / "links").iterdir()] == ["agent.db"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(StoreError, tmp_path / "loop", "loop")


@POSIX
def test_a_file_of_two_names_is_refused(tmp_path):
    path = made(tmp_path / "agent.db")
    os.link(path, tmp_path / "second.db")
    for name in ("agent.db", "second.db"):
        refused(Invalid, tmp_path / name, "2 hard links")
    (tmp_path / "second.db").unlink()
    made(path)


@POSIX
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    for path in (tmp_path / "fifo", tmp_path / "socket", "/dev/null", "/dev/zero"):
        for options in ({}, {"read_only": True}):
            refused(NotAStore, path, "not a regular file", **options)


# -- permissions --------------------------------------------------------------------------------------------------------


@POSIX
def test_a_new_store_is_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        with open_store(tmp_path / "agent.db") as store:
            Things(store).add("a")
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
            assert modes == {"agent.db": 0o600, "agent.db-wal": 0o600, "agent.db-shm": 0o600}
            store.snapshot(tmp_path / "copy.db")
            assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@POSIX
def test_permissions_that_somebody_gave_are_kept(tmp_path):
    path = made(tmp_path / "agent.db")
    path.chmod(0o640)
    with open_store(path) as store:
        Things(store).add("b")
        assert stat.S_IMODE((tmp_path / "agent.db-wal").stat().st_mode) == 0o640
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


NOBODY = """
import os, sys
import memstore.audit, memstore.chat, memstore.keywords, memstore.store, encodings.idna
from memstore import *
from kernel.things import Things

path = sys.argv[1]
if os.geteuid() == 0:  # root may do everything, which is not what is tried here
    os.setgid(65534)
    os.setuid(65534)


def told(call):
    try:
        return call()
    except StoreError as error:
        return f"{type(error).__name__}: {error}"


def use(**options):
    with open_store(path, **options) as store:
        found = [Things(store).words(), told(lambda: Things(store).add("b"))]
        assert store.check().ok and repr(store) and store.stats().bytes
        return found

def show(*results):
    for result in results:
        print(repr(result))
"""


@pytest.fixture
def shared():
    """A folder that another user may enter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memstore-test-"))
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


def as_nobody(path, code):
    """What a user without rights is told, a line each."""
    return [eval(line) for line in run(NOBODY + code, path).splitlines()]


@POSIX
def test_a_read_only_file_is_read_and_not_written(shared):
    path = made(shared / "agent.db")
    path.chmod(0o444)
    (words, said), (words_only, said_only) = as_nobody(path, "show(use(), use(read_only=True))")
    assert words == words_only == ["a"]
    assert said.startswith("ReadOnly:")
    assert said_only == "ReadOnly: agent.db was opened with read_only=True"


@POSIX
def test_a_read_only_folder_is_read_as_it_was_closed(shared):
    path = made(shared / "agent.db")
    path.chmod(0o666)
    shared.chmod(0o555)
    writing, new, (words, said) = as_nobody(path, "show(told(use), told(lambda: open_store(path + '.new')), use(read_only=True))")
    assert writing.startswith("ReadOnly:")
    assert new.startswith("ReadOnly: cannot create")
    assert words == ["a"]
    assert said.startswith("ReadOnly:")
    assert [entry.name for entry in shared.iterdir()] == ["agent.db"]


KILLED = """
import os, signal, sys
from memstore import open_store
from kernel.things import Things
store = open_store(sys.argv[1])
Things(store).add("in the log only")
os.kill(os.getpid(), signal.SIGKILL)
"""


@POSIX
def test_a_log_that_cannot_be_read_in_a_read_only_folder_is_not_ignored(shared):
    path = made(shared / "agent.db")
    finish(start(KILLED, path), code=-9)
    (shared / "agent.db-shm").unlink()
    for entry in shared.iterdir():
        entry.chmod(0o644)
    shared.chmod(0o555)
    (said,) = as_nobody(path, "show(told(lambda: use(read_only=True)))")
    assert said.startswith("ReadOnly:")
    assert "-wal" in said


@POSIX
def test_a_file_that_may_not_be_read_is_named(shared):
    path = made(shared / "agent.db")
    path.chmod(0o000)
    for said in as_nobody(path, "show(told(use), told(lambda: use(read_only=True)))"):
        assert said.startswith("ReadOnly:")
        assert "may not be read" in said


# -- files that change while open ---------------------------------------------------------------------------------------


@POSIX
@pytest.mark.damage
@pytest.mark.parametrize("what", ["replaced", "deleted", "moved", "folder gone"])
def test_a_file_that_is_another_one_now_is_noticed(tmp_path, what):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "agent.db"
    other = made(tmp_path / "other.db", "other")
    store = open_store(path)
    things = Things(store)
    things.add("a")
    if what == "replaced":
        os.replace(other, path)
    elif what == "deleted":
        path.unlink()
    elif what == "moved":
        path.rename(tmp_path / "moved.db")
    else:
        folder.rename(tmp_path / "elsewhere")
    calls = [things.words, lambda: things.add("b"), store.check, store.stats, lambda: store.query("SELECT 1"), store.optimize]
    for call in calls:
        with pytest.raises(Replaced, match="moved, deleted or replaced"):
            call()
    assert "replaced" in repr(store)
    store.close()
    with pytest.raises(Closed):
        things.words()


# -- read-only stores ---------------------------------------------------------------------------------------------------


def test_a_read_only_store_reads_what_others_write_and_writes_nothing(tmp_path):
    path = made(tmp_path / "agent.db")
    with open_store(path) as writing, open_store(path, read_only=True) as store:
        assert store.read_only
        things = Things(store)
        assert things.words() == ["a"]
        Things(writing).add("b")
        assert things.words() == ["a", "b"]
        for call in (
            lambda: things.add("c"),
            lambda: store.transaction().__enter__(),
            store.optimize,
            lambda: store.chat.create_conversation(title="no"),
            lambda: store.audit.append("query"),
            lambda: store.corrections.add("subject", "claim"),
        ):
            with pytest.raises(ReadOnly, match=r"agent\.db was opened with read_only=True"):
                call()
        with pytest.raises(Invalid):
            store.query("DELETE FROM things")
        assert store.check().ok
    with open_store(path) as store:
        assert set(store.stats().rooms) == {"things"}


def test_a_read_only_store_changes_no_byte_of_the_file(tmp_path):
    path = made(tmp_path / "agent.db")
    before = path.read_bytes()
    with open_store(path, read_only=True) as store:
        assert Things(store).words() == ["a"]
        assert store.stats().rooms == {"things": 1}
        store.snapshot(tmp_path / "copy.db")
    assert path.read_bytes() == before
