"""The file that is taken in: never changed, also in use; an import that is broken off; and the command that does it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shlex
import sqlite3
import subprocess
import sys

import pytest
from aua_files import ROWS, insert, later_file, make, with_change

import memstore
from memstore import Invalid, NotAStore, NotFound, ReadOnly, open_store
from memstore.cli import main
from memstore.imports import import_aua
from memstore.kernel.foreign import Changed, ForeignFile

ROOT = pathlib.Path(memstore.__file__).resolve().parents[1]


@pytest.fixture
def store(store_clock):
    """In memory: what a file adds is tried where it matters."""
    with open_store(":memory:", clock=store_clock) as opened:
        yield opened


@pytest.fixture
def aua(tmp_path):
    return make(tmp_path / "aua.db", ROWS)


# -- whole or not at all ------------------------------------------------------------------------------------------------


def test_an_import_that_is_broken_off_leaves_nothing(file_store, aua):
    before = file_store.stats().tables
    seen = []

    def interrupt(done, total):
        seen.append((done, total))
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_aua(file_store, aua, progress=interrupt)
    assert file_store.audit.find() == []
    assert file_store.chat.conversations() == []
    assert before == [table for table in file_store.stats().tables if table.rows] == []
    assert import_aua(file_store, aua).ok


def test_progress_counts_up_to_all_rows(store, aua):
    seen = []
    report = import_aua(store, aua, progress=lambda done, total: seen.append((done, total)))
    total = sum(table.rows for table in report.tables)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_inside_a_transaction_it_happens_if_that_does(store, aua):
    store.chat.conversations()
    with pytest.raises(ZeroDivisionError), store.transaction():
        assert import_aua(store, aua).ok
        raise ZeroDivisionError
    assert store.chat.conversations() == []
    with store.transaction():
        import_aua(store, aua)
    assert len(store.chat.conversations()) == 2


def test_a_read_only_store_takes_nothing(tmp_path, aua):
    open_store(tmp_path / "agent.db").close()
    with open_store(tmp_path / "agent.db", read_only=True) as store, pytest.raises(ReadOnly):
        import_aua(store, aua)


# -- the file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_the_file_and_its_folder_stay_as_they_were(store, tmp_path, journal):
    folder = tmp_path / "state"
    folder.mkdir()
    path = make(folder / "aua.db", ROWS, journal=journal)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert import_aua(store, path).ok
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(folder) == ["aua.db"]


def test_rows_that_are_still_in_the_log_of_a_file_in_use_come_in(store, aua):
    with contextlib.closing(sqlite3.connect(aua, isolation_level=None)) as raw:
        raw.execute("PRAGMA wal_autocheckpoint = 0")
        insert(raw, "sessions", {**ROWS["sessions"][0], "id": "fresh"})
        raw.execute("BEGIN IMMEDIATE")
        insert(raw, "sessions", {**ROWS["sessions"][0], "id": "uncommitted"})
        before = hashlib.sha256(aua.read_bytes()).digest()
        assert import_aua(store, aua).ok
        raw.execute("COMMIT")
        assert {item.id for item in store.chat.sessions()} == {"s1", "c1", "fresh"}
        assert hashlib.sha256(aua.read_bytes()).digest() == before
        assert [table.new for table in import_aua(store, aua).tables if table.new] == [1]


def test_a_process_that_works_with_the_file_does_not_mind(store, aua):
    code = (
        "import sqlite3, sys\nraw = sqlite3.connect(sys.argv[1], isolation_level=None)\nprint('up', flush=True)\n"
        "for line in sys.stdin:\n    raw.execute('INSERT INTO sessions(id, created_at, updated_at) VALUES (?, 1, 1)', (line.strip(),))\n"
        "    print('done', flush=True)\n"
    )
    words = [sys.executable, "-c", code, str(aua)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "up\n"

        def write(done, total):
            other.stdin.write(f"w{done}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "done\n"

        write(1000, 0)
        assert import_aua(store, aua, progress=write).ok
        other.stdin.close()
        assert other.wait(60) == 0
    assert {item.id for item in store.chat.sessions()} == {"s1", "c1", "w1000"}


def test_a_file_that_is_written_to_while_it_is_read_is_read_again_under_a_lock(store, aua):
    written = []

    def write(done, total):
        if not written:
            with contextlib.closing(sqlite3.connect(aua, isolation_level=None)) as raw:  # closing it checkpoints
                insert(raw, "sessions", {**ROWS["sessions"][0], "id": "meanwhile"})
            written.append(done)

    report = import_aua(store, aua, progress=write)
    assert report.ok
    assert "meanwhile" in {item.id for item in store.chat.sessions()}
    assert len(store.audit.find(event_type="store.import")) == 1


def test_reading_without_locks_notices_a_writer(aua):
    with ForeignFile(aua) as source:
        source.confirm()
        with contextlib.closing(sqlite3.connect(aua, isolation_level=None)) as raw:
            raw.execute("DELETE FROM sessions")
        with pytest.raises(Changed, match="do it again"):
            source.confirm()


def test_tables_of_any_shape_can_be_read(tmp_path):
    path = tmp_path / "odd.db"
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            """
            CREATE TABLE "select ""from"" me"("a b" TEXT PRIMARY KEY, rowid INT) WITHOUT ROWID;
            INSERT INTO "select ""from"" me" VALUES ('y', 1), ('x', NULL);
            CREATE TABLE big(n);
            INSERT INTO big WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1201) SELECT n FROM c;
            CREATE VIEW v AS SELECT 1;
            CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT);
            """
        )
    with ForeignFile(path) as source:
        assert source.tables() == {'select "from" me': ["a b", "rowid"], "big": ["n"], "counted": ["id"]}
        assert list(source.pages('select "from" me')) == [[{"a b": "x", "rowid": None}, {"a b": "y", "rowid": 1}]]
        assert [len(page) for page in source.pages("big")] == [500, 500, 201]
        assert source.count("big") == 1201
        assert list(source.pages("counted")) == []


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("missing.db", NotFound, "there is no file"), ("notes.txt", Invalid, "is not an SQLite file"),
        ("empty.db", Invalid, r"is not an AUA state file \(tables: none\)"), ("shop.db", Invalid, r"\(tables: messages, promotions\)"),
        ("agent.db", Invalid, "is a memstore store"), ("folder", Invalid, "is a folder"), ("", Invalid, "names no file"),
    ],
)  # fmt: skip
def test_what_is_no_aua_file_is_told_what_it_is(store, tmp_path, name, error, why):
    (tmp_path / "notes.txt").write_text("no database " * 500)
    (tmp_path / "empty.db").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    make(tmp_path / "shop.db", {}, tables={"promotions": "id TEXT, discount REAL", "messages": "id INTEGER, body TEXT"})
    open_store(tmp_path / "agent.db").close()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=why):
        import_aua(store, tmp_path / name if name else "")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_damaged_file_is_an_error_of_ours_and_leaves_nothing(store, tmp_path):
    path = make(tmp_path / "aua.db", {"sessions": [{**ROWS["sessions"][0], "id": f"s{n}" * 50} for n in range(400)]}, journal="delete")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3 : len(whole) // 3 + 9000] = b"\xa5" * 9000
    path.write_bytes(whole)
    with pytest.raises(memstore.StoreError):
        import_aua(store, path)
    assert store.chat.sessions() == []


# -- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch):
    for name in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def call(capsys, *words):
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_opening_an_aua_file_names_a_command_that_works_as_printed(tmp_path):
    folder = tmp_path / "two words"
    folder.mkdir()
    path = make(folder / "it's aua.db", ROWS)
    with pytest.raises(NotAStore) as caught:
        open_store(path)
    command = str(caught.value).split("take it in with: ")[1]
    assert shlex.split(command) == ["python", "-m", "memstore", "import", "--from", "aua", str(path)]
    done = subprocess.run(
        [sys.executable, "-W", "error", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    target = folder / "it's aua.memstore.db"
    assert str(target) in done.stdout
    with open_store(target) as store:
        assert store.chat.get_message("m2").confidence == "Uncertain"


def test_the_command_begins_a_store_and_goes_on_with_it(capsys, tmp_path, aua):
    target = tmp_path / "agent.db"
    status, out, err = call(capsys, "import", "--from", "aua", aua, "--db", target)
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == f"{aua} -> {target}"
    total = sum(len(rows) for table, rows in ROWS.items() if table != "message_keywords")
    assert f"{total} new, 0 known, 0 rows not taken" in out
    status, out, _ = call(capsys, "--db", target, "import", "--from", "aua", aua)
    assert (status, f"0 new, {total} known, 0 rows not taken" in out) == (0, True)


def test_the_store_may_be_named_by_the_environment(capsys, tmp_path, aua, monkeypatch):
    monkeypatch.setenv("MEMSTORE_DB", str(tmp_path / "env.db"))
    assert call(capsys, "import", "--from", "aua", aua)[0] == 0
    assert (tmp_path / "env.db").exists()
    assert not (tmp_path / "aua.memstore.db").exists()


def test_rows_that_were_not_taken_are_shown_whole_and_status_is_1(capsys, tmp_path):
    path = make(tmp_path / "aua.db", with_change("messages", role="ro\x1bbot"))
    status, out, _ = call(capsys, "import", "--from", "aua", path)
    assert status == 1
    assert "1 row not taken" in out
    assert "m1" in out
    assert "\x1b" not in out
    assert "is none of system, developer, user, assistant, tool, item" in out


def test_the_report_is_one_json_document(capsys, tmp_path):
    rows, tables = later_file()
    path = make(tmp_path / "aua.db", {**rows, "sessions": [{"id": "s", "metadata": "{"}]}, tables=tables)
    status, out, err = call(capsys, "import", "--from", "aua", path, "--json")
    document = json.loads(out)
    assert (status, err, document["ok"]) == (1, "", False)
    assert document["store"] == str(tmp_path / "aua.memstore.db")
    assert document["refused"][0]["id"] == "s"
    assert next(table for table in document["tables"] if table["table"] == "model_runs")["left_out"] == {"raw_response": 1}


def test_a_column_without_a_home_is_said(capsys, tmp_path):
    rows, tables = later_file()
    status, out, _ = call(capsys, "import", "--from", "aua", make(tmp_path / "aua.db", rows, tables=tables))
    assert status == 0
    assert "model_runs.raw_response: has no home here and was left out (rows: 1)" in out
    assert "message_keywords: derived and not taken" in out


@pytest.mark.parametrize("name", ["missing.db", "notes.txt", "shop.db"])
def test_a_file_that_cannot_be_taken_in_leaves_no_store_behind(capsys, tmp_path, name):
    (tmp_path / "notes.txt").write_text("no database " * 500)
    make(tmp_path / "shop.db", {}, tables={"orders": "id INTEGER"})
    before = sorted(os.listdir(tmp_path))
    status, out, err = call(capsys, "import", "--from", "aua", tmp_path / name, "--db", tmp_path / "new.db")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert sorted(os.listdir(tmp_path)) == before
