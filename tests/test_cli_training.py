"""`dpo` and `sft` at the command line: files for trainers, exactly in their shapes, and pairs taken in."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from datetime import datetime

import pytest

import memstore
from memstore import open_store
from memstore.cli import main
from memstore.testing import FakeClock

ROOT = pathlib.Path(memstore.__file__).resolve().parents[1]
PLAIN = {name: value for name, value in os.environ.items() if name not in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY")}
BEGUN = 1_700_000_000.0
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch):
    for name in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def db(tmp_path):
    """Three pairs and two conversations in which an assistant speaks."""
    path = tmp_path / "agent.db"
    clock = FakeClock(BEGUN)
    with open_store(path, clock=clock) as store:
        now = datetime.now().timestamp()  # the command line has the real clock: what is older has faded
        store.corrections.add("Größe", "runden\x9b", rejected="abschneiden", decay_class="A", created_at=BEGUN)
        store.corrections.add("tabs", "four spaces", rejected="a tab", domain="style", source="arbiter", created_at=now)
        store.corrections.add("mode", "strict", rejected="lax", confidence=0.5, prompt="which mode?", decay_class="A", created_at=now)
        store.corrections.add("no pair", "at all", created_at=now)
        project = store.chat.create_project("shop", user_id="ana")
        store.chat.create_conversation(id="one", user_id="ana", project=project.id)
        store.chat.append_many("one", [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "1", "content": "o"}])  # fmt: skip
        clock.advance(3600)
        store.chat.create_conversation(id="two")
        store.chat.append_many("two", [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}])
        store.chat.create_conversation(id="asked only")
        store.chat.append("asked only", "user", "anybody?")
    return str(path)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.jsonl"


def call(capsys, *words):
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


def pair_count(path):
    with open_store(path, read_only=True) as store:
        return store.corrections.count()


# -- out ----------------------------------------------------------------------------------------------------------------


def test_dpo_writes_pairs_and_says_how_many(capsys, db, out):
    assert call(capsys, "dpo", "--db", db, out) == (0, f"2 pairs  {out}\n", "")
    assert rows(out) == [
        {"prompt": "Größe", "chosen": "runden\x9b", "rejected": "abschneiden"},
        {"prompt": "tabs", "chosen": "four spaces", "rejected": "a tab"},
    ]
    assert call(capsys, "dpo", "--db", db, out, "--min-effective", "0.5")[1] == f"3 pairs  {out}\n"
    assert rows(out)[2]["prompt"] == "which mode?"


def test_dpo_can_be_conversational_and_have_more_columns(capsys, db, out):
    assert call(capsys, "dpo", "--db", db, out, "--conversational", "--domain", "style")[0] == 0
    assert rows(out) == [
        {
            "prompt": [{"role": "user", "content": "tabs"}],
            "chosen": [{"role": "assistant", "content": "four spaces"}],
            "rejected": [{"role": "assistant", "content": "a tab"}],
        }
    ]
    assert call(capsys, "dpo", "--db", db, out, "--meta")[0] == 0
    assert [row["source"] for row in rows(out)] == ["manual", "arbiter"]


def test_sft_writes_conversations_and_says_how_many(capsys, db, out):
    assert call(capsys, "sft", "--db", db, out) == (0, f"2 conversations  {out}\n", "")
    arguments = {"a": 1}
    call_row = {**CALL, "function": {"name": "f", "arguments": arguments}}
    assert rows(out) == [
        {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": None, "tool_calls": [call_row]},
                {"role": "tool", "tool_call_id": "1", "content": "o"},
            ]
        },
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
    ]


@pytest.mark.parametrize("name", ["dpo", "sft"])
def test_the_same_store_gives_the_same_bytes_wherever_they_go(capsysbinary, db, out, name):
    assert main([name, "--db", db, str(out)]) == 0
    capsysbinary.readouterr()
    written = out.read_bytes()
    for words in ([], ["-"]):
        assert main([name, "--db", db, *words]) == 0
        shown = capsysbinary.readouterr()
        assert shown.out == written
        assert shown.err in (b"2 pairs\n", b"2 conversations\n")
    assert main([name, "--db", db, str(out)]) == 0
    assert out.read_bytes() == written
    done = subprocess.run(
        [sys.executable, "-m", "memstore", name, "--db", db],
        capture_output=True, cwd=ROOT, env={**PLAIN, "PYTHONIOENCODING": "ascii"}, timeout=60,
    )  # fmt: skip
    assert done.stdout == written, "JSON lines are UTF-8 whatever the pipe is"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["dpo", "--domain", "style"], 1),
        (["dpo", "--source", "arbiter"], 1),
        (["dpo", "--since", "2024-01-01"], 1),
        (["dpo", "--since", str(BEGUN)], 2),
        (["dpo", "--since", str(BEGUN + 1)], 1),
        (["dpo", "--min-effective", "0"], 3),
        (["dpo", "--min-effective", "1"], 0),
        (["sft", "--conversation", "two"], 1),
        (["sft", "--conversation", "asked only"], 0),
        (["sft", "--user", "ana"], 1),
        (["sft", "--user", "ana", "--project", "shop"], 1),
        (["sft", "--project", "shop"], 1),
        (["sft", "--since", datetime.fromtimestamp(BEGUN + 3600).isoformat(" ")], 1),
        (["sft", "--since", "2023-11-14T22:13:20Z"], 2),
        (["sft", "--since", "2023-11-15T00:13:21+02:00"], 1),
        (["sft", "--since", "2100-01-01"], 0),
    ],
)
def test_what_is_written_is_chosen_by_options(capsys, db, out, words, found):
    status, shown, err = call(capsys, *words, "--db", db, out)
    assert (status, len(rows(out))) == (0, found)
    assert shown.startswith(f"{found} ")
    assert err.count("\n") == (0 if found else 1), "where nothing is left it says why, apart"


@pytest.mark.parametrize(("name", "thing"), [("dpo", "pairs"), ("sft", "conversations")])
def test_json_tells_what_was_written(capsys, db, out, name, thing):
    status, shown, err = call(capsys, name, "--db", db, out, "--json")
    assert (status, json.loads(shown), err) == (0, {"path": str(out), thing: 2}, "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["dpo", "{out}", "--since", "yesterday"], "--since 'yesterday' is no time"),
        (["sft", "{out}", "--since", "nan"], "since"),
        (["dpo", "{out}", "--min-effective", "2"], "min_effective is 2.0"),
        (["dpo", "{out}", "--min-effective", "much"], "much"),
        (["dpo", "--json"], "name OUT"),
        (["sft", "-", "--json"], "name OUT"),
        (["sft", "{out}", "--conversation", "three"], "no conversation 'three'; info lists the newest"),
        (["sft", "{out}", "--project", ""], "project"),
        (["dpo", "{folder}"], "is a folder"),
        (["dpo", "{folder}/no/out.jsonl"], "does not exist"),
        (["dpo", "{db}"], "is a database in use"),
        (["sft", "{other}"], "{other} is a database"),
        (["dpo", "{out}", "more"], "unrecognized arguments: more"),
        (["dpo", "{out}", "--skip-invalid"], "belongs to --import"),
        (["dpo", "{out}", "--import", "{pairs}"], "leave out OUT"),
        (["dpo", "--import", "{pairs}", "--meta", "--min-effective", "0"], "leave out --min-effective, --meta"),
        (["dpo", "--import", "{folder}/none.jsonl"], "no file or folder"),
        (["dpo", "--import", "{out}"], "out.jsonl line 1: Expecting value: line 1 column 1 (char 0); correct it or give --skip-invalid;"),
        (["dpo", "--import", "{db}"], "database in use"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_changes_no_file(capsys, tmp_path, db, out, words, why):
    out.write_text("old\n")
    other = tmp_path / "other.db"
    with open_store(other) as store:
        store.chat.create_conversation(id="kept")
    pairs = write(tmp_path / "pairs.jsonl", {"prompt": "p", "chosen": "c", "rejected": "r"})
    names = {"out": out, "db": db, "folder": tmp_path, "other": other, "pairs": pairs}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with open_store(db, read_only=True):  # somebody reads all the while, so that what SQLite keeps beside is there
        status, shown, err = call(capsys, "--db", db, *(word.format(**names) for word in words))
    assert (status, shown, err.count("\n")) == (2, "", 1)
    assert err.startswith("memstore")
    assert why.format(**names) in err
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if not path.name.startswith("agent.db-")}
    assert after == before


@pytest.mark.parametrize("name", ["dpo", "sft"])
def test_without_a_store_nothing_is_written(capsys, tmp_path, out, name):
    for words in ([], ["--db", tmp_path / "missing.db"]):
        status, shown, err = call(capsys, name, out, *words)
        assert (status, shown, err.count("\n")) == (2, "", 1)
    assert os.listdir(tmp_path) == []


def test_an_export_only_reads_the_store(capsys, db, out):
    before = pathlib.Path(db).read_bytes()
    for name in ("dpo", "sft"):
        assert call(capsys, name, "--db", db, out)[0] == 0
    assert pathlib.Path(db).read_bytes() == before


def test_an_empty_store_gives_an_empty_file(capsys, tmp_path, out):
    path = tmp_path / "empty.db"
    open_store(path).close()
    for name, summary in (("dpo", f"0 pairs  {out}\n"), ("sft", f"0 conversations  {out}\n")):
        status, shown, _ = call(capsys, name, "--db", path, out)
        assert (status, shown, out.read_bytes()) == (0, summary, b"")


def test_a_reader_that_stops_reading_ends_it_quietly(tmp_path):
    path = tmp_path / "big.db"
    with open_store(path) as store, store.transaction():
        for number in range(300):
            store.corrections.add(f"subject {number}", "c" * 1000, rejected="r")
    words = [sys.executable, "-m", "memstore", "dpo", "--db", str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=PLAIN) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
def test_a_terminal_gets_rows_that_cannot_control_it(db):
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "memstore", "dpo", "--db", db, "--min-effective", "0.8", "--source", "manual"]
    with subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, cwd=ROOT, env={**PLAIN, "PYTHONUTF8": "1"}) as process:
        os.close(theirs)
        assert process.wait(60) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "\x9b" not in shown
    assert json.loads(shown) == {"prompt": "Größe", "chosen": "runden\x9b", "rejected": "abschneiden"}
    assert "Größe" in shown


# -- in -----------------------------------------------------------------------------------------------------------------


def test_what_dpo_wrote_another_store_takes_in_once(capsys, tmp_path, db, out):
    other, again = tmp_path / "other.db", tmp_path / "again.jsonl"
    words = ("--meta", "--min-effective", "0")
    assert call(capsys, "dpo", "--db", db, out, *words)[0] == 0
    assert call(capsys, "dpo", "--import", out, "--db", other) == (0, f"3 new pairs, 0 known  {other}\n", "")
    assert call(capsys, "dpo", "--import", out, "--db", other) == (0, f"0 new pairs, 3 known  {other}\n", "")
    assert call(capsys, "dpo", "--db", other, again, *words)[0] == 0
    assert again.read_bytes() == out.read_bytes()


def test_an_import_takes_a_folder_and_the_store_of_the_environment(capsys, monkeypatch, tmp_path, db):
    folder = tmp_path / "dpo_pairs"
    folder.mkdir()
    for name in ("a", "b"):
        write(folder / f"{name}.jsonl", {"prompt": name, "chosen": "c", "rejected": "r"})
    monkeypatch.setenv("MEMSTORE_DB", db)
    status, shown, _ = call(capsys, "dpo", "--import", folder, "--json")
    assert (status, json.loads(shown)) == (0, {"path": str(folder), "store": db, "new": 2, "known": 0, "refused": []})


def test_lines_that_are_no_pairs_are_named_where_the_rest_is_taken(capsys, tmp_path):
    path = write(tmp_path / "pairs.jsonl", {"prompt": "p", "chosen": "c"}, {"prompt": 1, "chosen": "c"}, "", {"prompt": "q", "chosen": "c"})
    target = tmp_path / "new.db"
    status, shown, err = call(capsys, "dpo", "--import", path, "--db", target)
    assert (status, shown, err.count("\n")) == (2, "", 1)
    assert not target.exists(), "a file that cannot be taken in leaves no empty store"
    status, shown, err = call(capsys, "dpo", "--import", path, "--db", target, "--skip-invalid")
    assert (status, err) == (1, "")
    assert shown.splitlines() == [
        f"2 new pairs, 0 known, 2 lines not taken  {target}",
        "not taken",
        f"  {path} line 2: prompt must be a text or a list of messages, not 1",
        f"  {path} line 3: the line is blank",
    ]
    status, shown, _ = call(capsys, "dpo", "--import", path, "--db", target, "--skip-invalid", "--json")
    assert (status, len(json.loads(shown)["refused"])) == (1, 2)
    assert pair_count(target) == 2


def test_an_import_without_a_store_to_go_to_says_so(capsys, tmp_path):
    path = write(tmp_path / "pairs.jsonl", {"prompt": "p", "chosen": "c"})
    status, _, err = call(capsys, "dpo", "--import", path)
    assert status == 2
    assert "no store is named" in err
