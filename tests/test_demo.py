"""The demo: two processes, one file, and nothing said that is not in it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import memstore
from memstore import HandoffNote, open_store
from memstore.cli import demo as act_one
from memstore.cli import main
from memstore.cli.transcript import PACKAGED, read

ROOT = pathlib.Path(memstore.__file__).resolve().parents[1]
SHIPPED = ROOT / "examples" / "data" / "session.jsonl"
PLAIN = {name: value for name, value in os.environ.items() if name not in ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "PYTHONPATH")}


def run(*words, program=("-m", "memstore"), cwd=ROOT, **env):
    return subprocess.run(
        [sys.executable, "-W", "error", *program, *map(str, words)],
        capture_output=True, text=True, encoding="utf-8", cwd=cwd, env={**PLAIN, "PYTHONUTF8": "1", **env}, timeout=60,
    )  # fmt: skip


def write_lines(path, *entries):
    path.write_text("".join(f"{entry if isinstance(entry, str) else json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
    return path


def talk(count):
    for number in range(count):
        yield {"role": "user", "content": f"Please explain step {number} of the migration to me"}
        yield {"role": "assistant", "content": f"Step {number} copies the table called part_{number} and checks every row"}


@pytest.fixture
def told(tmp_path):
    """The demo of the shipped session: what it printed, and the file."""
    path = tmp_path / "agent.db"
    done = run("demo", "--db", path)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, path


def test_the_shipped_session_is_told_and_fits_a_terminal(told):
    story, path = told
    lines = story.splitlines()
    assert len(lines) <= 48
    assert r"\n" not in story
    assert all(len(line) <= 80 or str(path) in line for line in lines)
    assert "\033" not in story
    assert str(path) in story


def test_every_figure_of_the_story_is_in_the_file(told):
    story, path = told
    source = [json.loads(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]
    said = [entry for entry in source if "role" in entry]
    taught = [entry for entry in source if "role" not in entry]
    with open_store(path) as store:
        (chat,) = store.chat.conversations()
        kept = store.chat.messages(chat.id, limit=None)
        assert [message.to_openai() for message in kept] == said
        calls = sum(len(message.tool_calls or ()) for message in kept)
        assert f"{len(said)} messages, {calls} tool calls, {len(store.evals.runs())} model runs" in story
        backups = store.backups.find(limit=None)
        assert len(backups) >= 3
        assert f"nearly full {len(backups)} times" in story
        for backup in backups:
            assert f"after message {backup.position} " in story
            assert backup.trigger in ("token_threshold", "message_count", "time_gap")
            assert HandoffNote.parse(backup.backup_text) == backup.note
        (correction,) = store.corrections.find()
        assert (correction.claim, correction.rejected) == (taught[0]["claim"], taught[0]["rejected"])
        assert correction.application_count == 1
        anchor = memstore.AuditHead.parse(path.with_suffix(".anchor.txt").read_text())
        assert f"{anchor.seq} audit events; the hash of the last, {anchor.hash[:12]}" in story
        verified = store.audit.verify(anchors=[anchor])
        assert verified.ok
        assert verified.anchored_to == anchor
        assert verified.head.seq == anchor.seq + 1
        assert f"{verified.checked} events in an unbroken chain, up to #{anchor.seq}" in story
        assert store.check().ok
        projects = store.chat.projects()
        assert [project.name for project in projects] == ["session"]
        assert chat.project_id == projects[0].id


def test_notes_are_never_taken_between_a_call_and_its_result(told):
    with open_store(told[1]) as store:
        (chat,) = store.chat.conversations()
        messages = store.chat.messages(chat.id, limit=None)
        for backup in store.backups.find():
            assert backup.position == len(messages) or messages[backup.position].role != "tool"


def test_the_other_process_has_another_id_and_is_told_the_path_only(tmp_path, monkeypatch):
    path, calls = tmp_path / "agent.db", []
    original = subprocess.run

    def watch(command, **options):
        calls.append((command, options))
        return original(command, stdout=subprocess.DEVNULL, **options)

    monkeypatch.setattr(subprocess, "run", watch)
    assert main(["demo", "--db", str(path)]) == 0
    ((command, options),) = calls
    assert command == [sys.executable, str(ROOT / "memstore"), "demo", "--resume-from", str(path)]
    assert options == {}


@pytest.mark.damage
def test_the_changed_byte_is_found_in_the_copy_by_number_and_nothing_else_differs(told):
    story, path = told
    copy = path.with_suffix(".tampered.db")
    number = int(re.search(r"the time in event (\d+) turns from [\d:]{8} into [\d:]{8}\.", " ".join(story.split()))[1])
    assert f"✗ hash #{number}:" in story
    with open_store(path, read_only=True) as good, open_store(copy, read_only=True) as bad:
        rows = [
            {row["seq"]: row["body"] for row in store.query("SELECT seq, body FROM audit_log WHERE seq <= ?", (good.audit.head().seq,))}
            for store in (good, bad)
        ]
        assert rows[0].keys() == rows[1].keys()
        (changed,) = [seq for seq in rows[0] if rows[0][seq] != rows[1][seq]]
        assert changed == number
        assert len(rows[0][changed]) == len(rows[1][changed])
        assert sum(a != b for a, b in zip(*(row[changed] for row in rows))) == 1
        wrong = [finding for finding in bad.audit.verify().findings if finding.kind not in memstore.kernel.ADVICE]
        assert ("hash", number) in [(finding.kind, finding.seq) for finding in wrong]
        assert "schema" not in [finding.kind for finding in wrong]
        assert bad.query("SELECT count(*) AS n FROM audit_permit") == [{"n": 0}]


def test_the_three_commands_at_the_end_work_when_pasted(told):
    story, path = told
    commands = [line.strip() for line in story.splitlines() if f" {path}" in line and "-m memstore" in line]
    assert len(commands) == 3
    for line in commands:
        words = shlex.split(line)
        assert words[:3] == [sys.executable, "-m", "memstore"]
        done = run(*words[3:])
        assert (done.returncode, done.stderr) == (0, ""), line
        if words[3] == "log":
            assert "ok" in done.stdout


def test_the_default_file_is_kept_in_a_temporary_folder_and_named(tmp_path):
    done = run("demo", TMPDIR=str(tmp_path), TEMP=str(tmp_path), TMP=str(tmp_path))
    assert done.returncode == 0
    (folder,) = tmp_path.iterdir()
    assert str(folder / "agent.db") in done.stdout
    assert (folder / "agent.db").is_file()


@pytest.mark.parametrize("given", [True, False])
def test_a_copied_package_tells_the_story_without_the_checkout(tmp_path, given):
    shutil.copytree(ROOT / "memstore", tmp_path / "memstore", ignore=shutil.ignore_patterns("__pycache__"))
    done = run("demo", *([SHIPPED] if given else []), "--db", tmp_path / "agent.db", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "It verifies" in done.stdout


def test_the_package_runs_as_a_folder_from_anywhere_and_isolated(tmp_path):
    done = run("demo", "--db", tmp_path / "agent.db", program=("-I", str(ROOT / "memstore")), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{shlex.quote(str(ROOT / 'memstore'))} info {tmp_path / 'agent.db'}" in done.stdout


def test_the_packaged_session_is_the_one_of_the_examples():
    assert PACKAGED.read_bytes() == SHIPPED.read_bytes()


def test_nothing_of_the_session_is_written_in_the_code():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "memstore").rglob("*.py"))
    for word in ("R-117", "Müller", "half away from zero", "to_cents", "tally"):
        assert word not in code


@pytest.mark.parametrize("pairs", [1, 2, 5, 40, 300])
def test_backup_triggers_fire_whatever_the_size(tmp_path, pairs):
    path = write_lines(tmp_path / "t.jsonl", *talk(pairs))
    with open_store(tmp_path / "agent.db") as store:
        act_one.live(store, read(str(path), None))
        assert len(store.backups.find(limit=None)) >= min(3, 2 * pairs)


ODD = {
    "one word": [{"role": "user", "content": "hi"}],
    "a system prompt only": [{"role": "system", "content": "You are careful. " * 50}],
    "a heavy system prompt": [{"role": "system", "content": "You are careful. " * 500}, *talk(3)],
    "Responses items": [
        {"role": "user", "content": [{"type": "input_text", "text": "What is the weather in Köln?"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Rain."}]},
    ],
    "no spaces": [{"role": "user", "content": "時間の丸め誤差を直してください"}, {"role": "assistant", "content": "直しました。"}] * 3,
    "nothing said": [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "", "tool_call_id": "x"},
    ],
    "control characters": [{"role": "user", "content": "\x1b[31mred\x1b[0m \x07 bell\x00 round robin"}],
}


@pytest.mark.parametrize("name", ODD)
def test_any_file_of_messages_has_a_story(tmp_path, name):
    source = write_lines(tmp_path / "t.jsonl", *ODD[name])
    done = run("demo", source, "--db", tmp_path / "agent.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "It was taught no correction" in done.stdout
    with open_store(tmp_path / "agent.db") as store:
        (chat,) = store.chat.conversations()
        assert [message.to_openai() for message in store.chat.messages(chat.id, limit=None)] == ODD[name]


def test_an_array_of_messages_is_read_too(tmp_path):
    source = tmp_path / "t.json"
    source.write_text(json.dumps(list(talk(2)), indent=2), encoding="utf-8")
    assert read(str(source), None).messages == list(talk(2))


def test_a_byte_order_mark_blank_lines_and_carriage_returns_do_not_matter(tmp_path):
    source = tmp_path / "t.jsonl"
    source.write_bytes(b'\xef\xbb\xbf{"role": "user", "content": "one"}\r\n\r\n  \n{"role": "assistant", "content": "two"}')
    assert [message["content"] for message in read(str(source), None).messages] == ["one", "two"]


def test_a_correction_can_be_given_for_a_file_without_one(tmp_path):
    source = write_lines(tmp_path / "t.jsonl", *talk(4))
    done = run("demo", source, "--db", tmp_path / "agent.db", "--correction", "migration of tables", "copy first", "rename is enough")
    assert done.returncode == 0
    assert "✓ copy first" in done.stdout
    assert "✗ rename is enough" in done.stdout
    assert "migration of tables: copy first (not: rename is enough)" in " ".join(done.stdout.replace("│", "").split())
    with open_store(tmp_path / "agent.db") as store:
        assert [item.subject for item in store.corrections.find()] == ["migration of tables"]


@pytest.mark.parametrize("taken", ["agent.db", "agent.anchor.txt", "agent.tampered.db"])
def test_what_is_there_already_is_never_written_to(tmp_path, capsys, taken):
    with open_store(tmp_path / "real.db") as store:
        store.chat.create_conversation(title="mine")
    (tmp_path / "real.db").rename(tmp_path / taken)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["demo", "--db", str(tmp_path / "agent.db")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"memstore: {tmp_path / taken} exists; the demo wants a fresh path\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_demo_takes_no_store_from_the_environment_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MEMSTORE_DB", str(tmp_path / "real.db"))
    done = run("demo", MEMSTORE_DB=str(tmp_path / "real.db"), TMPDIR=str(tmp_path), TEMP=str(tmp_path), TMP=str(tmp_path))
    assert done.returncode == 0
    assert not (tmp_path / "real.db").exists()
    assert main(["demo", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "(default: in a new temporary folder, whatever $MEMSTORE_DB says)" in said
    assert "(default: $MEMSTORE_DB)" not in said


GOOD = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("line", "where", "why"),
    [
        ("{nope", "line 3", "no JSON"),
        ('"text"', "line 3", "JSON object"),
        ("{}", "line 3", "neither a role nor a type"),
        ('{"role": "robot", "content": "x"}', "line 3", "robot"),
        ('{"role": "user", "content": "\\ud800"}', "line 3", "surrogate"),
        ('{"role": "user", "content": "x", "temperature": NaN}', "line 3", "nan"),
        ('{"type": "correction", "claim": "x"}', "line 3", "no subject"),
        ('{"type": "correction", "subject": " ", "claim": "x"}', "line 3", "subject"),
        ('{"type": "correction", "subject": "a", "claim": "x", "colour": "red"}', "line 3", "'colour'"),
        ("[" * 100_000, "line 3", "no JSON"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_made(tmp_path, capsys, line, where, why):
    source = write_lines(tmp_path / "t.jsonl", GOOD, "", line)
    assert main(["demo", str(source), "--db", str(tmp_path / "agent.db")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{source}, {where}: " in captured.err
    assert why in captured.err
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1000
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.jsonl"]


def test_a_line_that_is_no_utf_8_is_named(tmp_path, capsys):
    source = tmp_path / "t.jsonl"
    source.write_bytes(b'{"role": "user", "content": "good"}\n{"role": "user", "content": "\xff"}\n')
    assert main(["demo", str(source), "--db", str(tmp_path / "agent.db")]) == 2
    assert f"{source}, line 2: no JSON" in capsys.readouterr().err
    assert not (tmp_path / "agent.db").exists()


@pytest.mark.parametrize("content", ["", "\n\n", "[]", '{"type": "correction", "subject": "a", "claim": "b"}'])
def test_a_file_without_a_message_is_refused(tmp_path, capsys, content):
    source = write_lines(tmp_path / "t.jsonl", content)
    assert main(["demo", str(source), "--db", str(tmp_path / "agent.db")]) == 2
    assert "holds no message" in capsys.readouterr().err
    assert not (tmp_path / "agent.db").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["missing.jsonl"], "missing.jsonl: No such file"),
        ([str(ROOT)], "directory"),
        ([str(SHIPPED), "--db", ":memory:"], ":memory:"),
        ([str(SHIPPED), "--db", "no/such/folder/agent.db"], "does not exist"),
        ([str(SHIPPED), "--db", str(SHIPPED)], "wants a fresh path"),
        ([str(SHIPPED), "--correction", " ", "b", "c"], "subject"),
    ],
)
def test_a_place_that_cannot_be_is_a_sentence(capsys, monkeypatch, tmp_path, words, why):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", *words]) == 2
    captured = capsys.readouterr()
    assert why in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_agents_whole_session_has_a_story(tmp_path, real_data):
    source = real_data / "transcript-marshmallow-1867.jsonl"
    done = run("demo", source, "--db", tmp_path / "agent.db", "--correction", "rounding of TimeDelta", "round", "int() is enough")
    assert (done.returncode, done.stderr) == (0, "")
    with open_store(tmp_path / "agent.db") as store:
        (chat,) = store.chat.conversations()
        said = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        assert [message.to_openai() for message in store.chat.messages(chat.id, limit=None)] == said
        assert len(store.backups.find()) >= 3
        assert store.backups.find()[0].position < len(said)
