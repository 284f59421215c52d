"""What happens to files in the field: rights, journals, copies, second names, and no descriptors left."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile

import pytest
from kernel.things import Things, finish, run, start

from memstore import Exists, ReadOnly, StoreError, open_store

from . import work

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


# -- rights -------------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from memstore import open_store
from kernel.things import Things
store = open_store(sys.argv[1])
Things(store).add("newest")
os.kill(os.getpid(), signal.SIGKILL)
"""

UNPRIVILEGED = """
import json, os, sys
import memstore.audit, memstore.chat, memstore.keywords, memstore.store
from memstore import ReadOnly, open_store
from kernel.things import Things

if os.geteuid() == 0:  # root may do everything, which is not what is tried here
    os.setgid(65534)
    os.setuid(65534)
for line in sys.stdin:
    path, read_only = json.loads(line)
    found = {"words": None, "added": False, "said": ""}
    try:
        with open_store(path, read_only=read_only) as store:
            found["words"] = Things(store).words()
            assert store.check().ok and store.stats().bytes and repr(store)
            Things(store).add("added")
            found["added"] = True
    except ReadOnly as error:
        found["said"] = str(error)
    print(json.dumps(found), flush=True)
"""


@pytest.fixture
def shared():
    """A folder that another user may enter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memstore-test-"))
    folder.chmod(0o777)
    yield folder
    for entry in (folder, *folder.rglob("*")):
        entry.chmod(0o777)
    shutil.rmtree(folder)


def left_behind(folder, how):
    """A store with two words, the newer one in a log that nobody has copied unless it was closed."""
    folder.mkdir()
    path = folder / "agent.db"
    with open_store(path) as store:
        Things(store).add("older")
        if how == "closed":
            Things(store).add("newest")
    if how != "closed":
        finish(start(KILLED, path), code=-9)
    if how == "killed, its shared memory gone":
        (folder / "agent.db-shm").unlink()
    return path


@POSIX
def test_whatever_a_user_may_do_he_sees_the_newest_state_or_is_told_why_not(shared):
    """Twenty-four cases: who may write the folder and the file, how it was left, and how it is opened."""
    cases = [
        (folder, file, left, read_only)
        for left in ("closed", "killed", "killed, its shared memory gone")
        for folder in (0o777, 0o555)
        for file in (0o666, 0o444)
        for read_only in (False, True)
    ]
    child, seen = start(UNPRIVILEGED), {}
    for number, (folder, file, left, read_only) in enumerate(cases):
        path = left_behind(shared / str(number), left)
        for entry in path.parent.iterdir():
            entry.chmod(file)
        path.parent.chmod(folder)
        before = sorted((entry.name, entry.stat().st_size) for entry in path.parent.iterdir() if not entry.name.endswith("-shm"))
        child.stdin.write(json.dumps([str(path), read_only]) + "\n")
        child.stdin.flush()
        seen[folder, file, left, read_only] = found = json.loads(child.stdout.readline())
        assert found["words"] in (["older", "newest"], None), (folder, file, left, read_only)
        assert found["added"] or found["said"]
        if not found["added"] and (folder, file) != (0o777, 0o666):  # there the open itself takes the log in
            after = sorted((entry.name, entry.stat().st_size) for entry in path.parent.iterdir() if not entry.name.endswith("-shm"))
            assert [line for line in after if not line[0].endswith("-wal") or line[1]] == before, "nothing was changed"
    finish(child)
    for (folder, file, left, read_only), found in seen.items():
        beside = folder == 0o777 or left == "killed"  # the log and the shared memory can be made, or are there
        assert found["added"] == (file == 0o666 and beside and not read_only), (folder, file, left, read_only)
        if left == "closed" and read_only:
            assert found["words"] is not None, "what was closed can always be read"


# -- files that belong together -------------------------------------------------------------------------------------------

TORN = """
import os, signal, sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("PRAGMA cache_size = 2")
raw.execute("BEGIN IMMEDIATE")
raw.execute("UPDATE messages SET content = 'torn'")
raw.executemany("INSERT INTO keyword_items(kind, item_id, text) VALUES ('torn', ?, ?)", [(str(n), "y" * 4000) for n in range(50)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def with_journal(tmp_path):
    """A snapshot that another tool has half changed when it was killed, and what it held before."""
    path = tmp_path / "snapshot.db"
    with open_store(tmp_path / "agent.db") as store:
        work.fill(store)
        store.snapshot(path)
    held = work.look(path)
    finish(start(TORN, path), code=-9)
    assert os.stat(f"{path}-journal").st_size > 0
    return path, held


@POSIX
def test_half_a_change_of_another_tool_is_rolled_back(with_journal):
    path, held = with_journal
    with open_store(path) as store:
        work.assert_sound(store)
        assert work.look(path) == held


@POSIX
@pytest.mark.damage
def test_half_a_change_is_never_shown_as_a_whole_one(with_journal):
    path, held = with_journal
    with pytest.raises(ReadOnly, match="-journal file"):
        open_store(path, read_only=True)
    with open_store(path) as store:
        assert work.look(path) == held
        assert store.check().ok


@POSIX
def test_a_snapshot_does_not_replace_a_file_whose_journal_would_be_rolled_back_into_it(with_journal):
    path, held = with_journal
    with open_store(path.with_name("agent.db")) as store:
        with pytest.raises(Exists, match="in use"):
            store.snapshot(path)
    with open_store(path):
        assert work.look(path) == held


@pytest.mark.damage
def test_a_file_copied_without_its_log_is_known_as_the_same_store_and_an_anchor_tells_what_is_missing(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        work.fill(store)
        head, store_id = store.audit.head(), store.store_id
        shutil.copy(tmp_path / "agent.db", tmp_path / "copy.db")
    with open_store(tmp_path / "copy.db", create=False) as copy:
        assert copy.store_id == store_id
        assert copy.check().ok
        assert copy.chat.conversations() == []
        verified = copy.audit.verify(anchors=[head])
        assert [finding.kind for finding in verified.findings if finding.kind == "truncated"], verified.findings


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs hard links")
def test_a_second_name_that_a_file_is_given_while_open_is_refused_at_the_next_open(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        Things(store).add("a")
        os.link(tmp_path / "agent.db", tmp_path / "other.db")
        for name in ("agent.db", "other.db"):
            with pytest.raises(StoreError, match="2 hard links"):
                open_store(tmp_path / name)
        Things(store).add("b")
        os.unlink(tmp_path / "other.db")
    with open_store(tmp_path / "agent.db") as store:
        assert Things(store).words() == ["a", "b"]


# -- readers and descriptors ----------------------------------------------------------------------------------------------


def test_no_answer_keeps_the_log_from_being_copied(file_store):
    work.fill(file_store)
    questions = (
        lambda: file_store.chat.messages("talk", limit=2),
        lambda: file_store.chat.search("word", limit=1),
        lambda: file_store.keywords.search("note", limit=1),
        lambda: file_store.keywords.complete("w", limit=1),
        lambda: file_store.corrections.find(limit=1),
        lambda: file_store.corrections.relevant("subject 3", limit=1),
        lambda: file_store.audit.find(limit=1),
        lambda: file_store.query("SELECT pk FROM messages LIMIT 1"),
        lambda: file_store.backups.coverage(),
        lambda: file_store.evals.reliability(),
    )
    for number, question in enumerate(questions):
        answer = question()
        work.append(file_store, f"m{number}")
        database = file_store._database
        frames, copied = database.wal.copy(database.writer)
        assert frames == copied > 0, number
        del answer


EXHAUSTED = """
import os, resource, sys
from memstore import StoreError, open_store
from kernel.things import Things

def told(call):
    try:
        call()
        return "returned"
    except StoreError as error:
        return f"{type(error).__name__}: {error}"

with open_store(sys.argv[1]) as store:
    things = Things(store)
    things.add("before")
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    print(told(lambda: things.add("during")))
    print(told(things.words))
    with things.room.read():
        print(told(things.words))
    print(told(lambda: open_store(sys.argv[1])))
    print(told(lambda: open_store(sys.argv[1] + ".new")))
    print(told(lambda: store.snapshot(sys.argv[1] + ".copy")))
    for descriptor in taken:
        os.close(descriptor)
    things.add("after")
    open_store(sys.argv[1] + ".new").close()
    print(things.words(), store.check().ok)
"""


@POSIX
def test_without_descriptors_an_open_store_serves_on_and_a_new_one_says_so(tmp_path):
    lines = run(EXHAUSTED, tmp_path / "agent.db").splitlines()
    writing, reading, second_reader, opening, beginning, copying, last = lines
    assert (writing, reading) == ("returned", "returned")
    for said in (second_reader, opening):
        assert "too many open files" in said.lower(), said
    for said in (beginning, copying):
        assert "open files" in said.lower(), said
    assert last == "['before', 'during', 'after'] True"
    assert sorted(os.listdir(tmp_path)) == ["agent.db", "agent.db.new"]
