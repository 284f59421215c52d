"""Every example is run as a reader would run it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from memstore import open_store

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
#: Scripts that do something sensible without arguments, and a word that their output must hold.
SCRIPTS = {
    "agent_loop.py": "the log verifies: True",
    "ask_a_repo.py": "files unchanged, 0 read anew",
    "audit_trail.py": "hash",
    "coverage_job.py": "",
    "forget_me.py": "traces left, with the store still open: 0",
    "many_processes.py": "lost: 0",
    "project_memory.py": "the log verifies: True; the store checks: True",
}
NEED_ARGUMENTS = {"verify_without_memstore.py", "record_session.py"}  # these have tests of their own


def run(script, *arguments, cwd):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_an_example_runs_without_arguments(script, tmp_path):
    done = run(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert SCRIPTS[script] in done.stdout
    assert done.stderr == ""


def test_every_example_is_run_by_some_test():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SCRIPTS) | NEED_ARGUMENTS


def test_the_notebook_runs_from_top_to_bottom(capsys, monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["report"].ok
    shown = capsys.readouterr().out
    assert "GOAL" in shown.upper()
    assert "int() is enough" in shown


def test_the_notebook_says_what_it_needs_outside_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    with pytest.raises(FileNotFoundError, match="start the notebook inside it"):
        exec(compile(first, "first cell", "exec"), {})


@pytest.mark.parametrize(
    ("script", "arguments", "why"),
    [
        ("agent_loop.py", ["{folder}/nope/a.db"], "{folder}/nope does not exist"),
        ("agent_loop.py", ["{folder}"], "{folder} is a folder"),
        ("many_processes.py", ["abc"], "whole numbers above 0, not 'abc'"),
        ("many_processes.py", ["2", "-1"], "whole numbers above 0, not '2 -1'"),
        ("project_memory.py", ["0"], "a whole number above 0, not '0'"),
        ("verify_without_memstore.py", ["{folder}/nope.db"], "{folder}/nope.db: No such file"),
        ("verify_without_memstore.py", ["{folder}/agent.db", "{folder}/nope.txt"], "{folder}/nope.txt: No such file"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(tmp_path, script, arguments, why):
    open_store(tmp_path / "agent.db").close()
    done = run(script, *(argument.format(folder=tmp_path) for argument in arguments), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert why.format(folder=tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_agent_loop_goes_on_from_its_file(tmp_path):
    first = run("agent_loop.py", str(tmp_path / "agent.db"), cwd=tmp_path)
    second = run("agent_loop.py", str(tmp_path / "agent.db"), cwd=tmp_path)
    turns = [int(done.stdout.splitlines()[1].split()[0]) for done in (first, second)]
    assert turns[1] == 2 * turns[0] > 0


def test_the_memory_of_a_project_is_told_the_same_twice_and_without_git_too(tmp_path, monkeypatch):
    first, second = (run("project_memory.py", "40", cwd=tmp_path).stdout for _ in range(2))
    monkeypatch.setenv("PATH", str(tmp_path))
    told = run("project_memory.py", cwd=tmp_path).stdout
    assert re.sub("memory [0-9a-f-]{36}", "", first) == re.sub("memory [0-9a-f-]{36}", "", second)
    for output in (first, told):
        assert "memories that nobody referred to have faded" in output
        assert "suggested, not done: project_state is trusted more than entity" in output
        assert "conflict.resolve   maintainer" in output
    entries = (EXAMPLES.parent / "CHANGELOG.md").read_text(encoding="utf-8").count("\n- ")
    assert f"{entries} interactions" in told


def test_a_project_answers_questions_about_itself_without_git_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    first, *answers = run("ask_a_repo.py", cwd=tmp_path).stdout.split("\n\n")
    assert "files and 0 commits" in first
    answering = ("kernel/wal.py", "corrections/decay.py", "documents/chunking.py", "chat/__init__.py", "vectors/")
    for source, answer in zip(answering, answers):
        sources = [line.strip() for line in answer.splitlines()[1:] if line[3:4].strip()]
        assert any(told.startswith(source) for told in sources[:3]), answer
    own = run("ask_a_repo.py", "What erases a conversation to the last byte?", cwd=tmp_path).stdout
    assert own.count("\n1. What erases") == 1 and "2. " not in own
