"""The README tells the truth: its programs and commands are run as they stand."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)
PROGRAMS = [source for kind, source in BLOCKS if kind == "python"]
COMMANDS = [line for kind, source in BLOCKS if kind == "console" for line in source.splitlines()]
MAIN_JOB = "python3 -m memstore demo"
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install --quiet pytest && .venv/bin/python -m pytest"


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MEMSTORE", "PYTEST"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def shell(command, cwd):
    words = shlex.split(command)
    assert words[0] == "python3"
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=cwd, env=environment(), capture_output=True, text=True, encoding="utf-8", timeout=60
    )  # fmt: skip


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda source: source.splitlines()[-1][:30])
def test_a_program_runs_as_printed(source, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_program_is_short_and_says_what_its_comments_say(tmp_path):
    assert len(PROGRAMS[0].splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", PROGRAMS[0]], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert lines[0] == "TimeDelta serialises 345 ms as 344"
    assert any("round, do not truncate" in line for line in lines)
    assert "True" in lines
    assert "chat" in lines[-1]


def test_the_program_about_beliefs_runs_again_on_what_it_left(tmp_path):
    (source,) = [program for program in PROGRAMS if "store.memories.promote" in program]
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", source], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
        )  # fmt: skip
        for _ in range(2)
    ]
    assert [(done.returncode, done.stderr) for done in said] == [(0, "")] * 2
    assert said[0].stdout == said[1].stdout != ""


def test_the_program_that_asks_tells_what_has_become_of_what_it_was_told(tmp_path):
    (source,) = [program for program in PROGRAMS if "store.context" in program]
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    text, _, last = done.stdout.rpartition("\n[")
    assert text.startswith("## Preferences\n[1] prefers short answers\n\n## Documents") and "> Amounts are rounded half up" in text
    assert "('chunk', 'changed')" in last and "('memory', 'unchanged')" in last


def test_every_memstore_command_works(tmp_path):
    for program in PROGRAMS:  # as somebody would who reads from the beginning
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=60)
    (tmp_path / "talk.jsonl").write_text('{"role": "user", "content": "Invoice R-117 is two cents short."}\n', encoding="utf-8")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "rounding.md").write_text("# Rounding\n\nAmounts are rounded half up.\n", encoding="utf-8")
    for command in COMMANDS:
        if command.startswith("python3 -m memstore") and command != MAIN_JOB:
            done = shell(command, tmp_path)
            assert done.returncode == 0, (command, done.stderr)
            assert done.stdout.strip(), command


def test_the_main_job_is_the_first_command():
    assert COMMANDS[1] == MAIN_JOB


def test_the_test_command_is_the_one_that_ci_runs():
    assert TEST_COMMAND in COMMANDS
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_session_line_is_what_the_agents_sdk_asks_for():
    assert any('store.chat.session("support-42")' in program for program in PROGRAMS)


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_nobody_is_told_to_install_somebody_elses_package(name):
    assert not re.search(r"pip3? install\s+(-\S+\s+)*memstore\b", (ROOT / name).read_text(encoding="utf-8"))


def test_the_folder_alone_is_enough(tmp_path):
    shutil.copytree(ROOT / "memstore", tmp_path / "memstore", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "examples" / "data" / "session.jsonl", tmp_path / "talk.jsonl")
    done = subprocess.run(
        [sys.executable, "-m", "memstore", "demo", "talk.jsonl", "--db", "agent.db"],
        cwd=tmp_path, env=environment(PYTHONPATH=""), capture_output=True, text=True, encoding="utf-8", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "agent.db").exists()


def test_the_tests_that_hold_a_promise_are_there():
    named = set(re.findall(r"`(tests/[\w/.]+)`", README))
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
