"""The shipped session is well-formed, tells the same story everywhere, and is what running it really gives."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RECORDER = EXAMPLES / "record_session.py"
SHIPPED = EXAMPLES / "data" / "session.jsonl"

# Strict, so that a lone surrogate or a broken byte in the file fails here and not in a reader.
LINES: list[dict[str, Any]] = [json.loads(line) for line in SHIPPED.read_bytes().decode("utf-8", "strict").splitlines()]
MESSAGES = [line for line in LINES if "role" in line]
CALLS = [call for message in MESSAGES for call in message.get("tool_calls", ())]
RESULTS = {message["tool_call_id"]: message["content"] for message in MESSAGES if message["role"] == "tool"}


@pytest.fixture(scope="module")
def recorder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record_session", RECORDER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-B", str(RECORDER), *arguments], env=os.environ | environment, capture_output=True, timeout=120, check=False
    )


def outputs_of(tool: str) -> list[tuple[dict[str, str], str]]:
    return [(json.loads(call["function"]["arguments"]), RESULTS[call["id"]]) for call in CALLS if call["function"]["name"] == tool]


def test_running_it_again_gives_the_shipped_file_whatever_the_environment(tmp_path: Path) -> None:
    """Another temporary folder, another encoding, another hash seed and a colour wish change no byte."""
    again = record(TMPDIR=str(tmp_path), PYTHONIOENCODING="latin-1", PYTHONHASHSEED="7", FORCE_COLOR="1")
    assert (again.returncode, again.stderr) == (0, b"")
    assert again.stdout.decode() == SHIPPED.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == []


def test_check_is_silent_for_the_shipped_file_and_shows_a_diff_for_another(
    recorder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # The recording itself is tried above; here only what is made of it.
    monkeypatch.setattr(recorder, "record", lambda folder: iter(LINES))
    assert recorder.main(["--check"]) == 0
    assert capfd.readouterr().out == ""
    monkeypatch.setattr(recorder, "SHIPPED", tmp_path / "session.jsonl")
    monkeypatch.setattr(recorder, "PACKAGED", tmp_path / "packaged.jsonl")
    assert recorder.main(["--check"]) == 1, "a missing file is not the recorded one"
    assert recorder.main(["--write"]) == 0
    assert (tmp_path / "session.jsonl").read_bytes() == (tmp_path / "packaged.jsonl").read_bytes() == SHIPPED.read_bytes()
    (tmp_path / "session.jsonl").write_bytes(SHIPPED.read_bytes().replace(b"1998 379 2377", b"1999 380 2379"))
    capfd.readouterr()
    assert recorder.main(["--check"]) == 1
    sys.stdout.flush()
    diff = capfd.readouterr().out
    assert [line[0] for line in diff.splitlines() if re.match(r"[-+]\{", line)] == ["-", "+"]


def test_it_is_long_enough_and_ends_with_the_one_line_that_is_no_message() -> None:
    assert 30 <= len(MESSAGES) <= 60
    assert LINES[:-1] == MESSAGES
    correction = LINES[-1]
    assert correction["type"] == "correction"
    assert all(correction[field].strip() for field in ("subject", "claim", "rejected", "why", "domain"))


def test_every_message_has_the_fields_of_its_role_and_no_other() -> None:
    for message in MESSAGES:
        fields = set(message) - {"role", "content"}
        if message["role"] == "assistant":
            assert fields <= {"tool_calls"}
            assert message["content"] or message["tool_calls"]
        else:
            assert isinstance(message["content"], str)
            assert fields == ({"tool_call_id"} if message["role"] == "tool" else set())
    assert [message["role"] for message in MESSAGES if message["role"] in ("system", "user")] == ["system", "user", "user", "user"]


def test_every_call_is_answered_once_in_order_before_anyone_speaks_again() -> None:
    waiting: list[str] = []
    for message in MESSAGES:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
        else:
            assert waiting == []
            waiting = [call["id"] for call in message.get("tool_calls", ())]
    assert waiting == []
    assert len({call["id"] for call in CALLS}) == len(CALLS) == len(RESULTS)


def test_arguments_are_json_strings_for_tools_that_exist(recorder: ModuleType) -> None:
    for call in CALLS:
        assert call["type"] == "function"
        assert call["function"]["name"] in recorder.TOOLS
        assert isinstance(call["function"]["arguments"], str)
        assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert {call["function"]["name"] for call in CALLS} == set(recorder.TOOLS)


def test_it_has_the_shapes_that_readers_trip_over() -> None:
    assert any(len(message.get("tool_calls", ())) > 1 for message in MESSAGES)
    assert any(message["content"] is None for message in MESSAGES)
    assert "" in RESULTS.values()
    assert any("€" in result for result in RESULTS.values())
    assert "\\u20ac" not in SHIPPED.read_text(encoding="utf-8")


def test_nothing_of_the_machine_it_was_recorded_on_is_in_it() -> None:
    # Decoded: in the file itself every quoted backslash of Python code would look like a Windows path.
    arguments = [value for call in CALLS for value in json.loads(call["function"]["arguments"]).values()]
    text = "\n".join([message["content"] or "" for message in MESSAGES] + arguments)
    assert re.findall(r"(?:^|[\s\"'(=])/\w+|\b[A-Za-z]:\\|\btmp|/usr|/home|site-packages", text) == []
    assert re.findall(r"\b\d\d:\d\d\b|\b20\d\d-\d\d-\d\d\b|\d\.\d+s\b|0x[0-9a-f]{6,}", text) == []


def test_the_story_is_borne_out_by_the_results() -> None:
    """Green without a test for the bug, red after the wrong fix, red on the new tests, green at the end."""
    suites = [output for arguments, output in outputs_of("run") if "unittest" in arguments["command"]]
    assert [output.splitlines()[-2:] for output in suites] == [
        ["", "OK"], ["FAILED (failures=1)", "[exit status 1]"], ["FAILED (failures=2)", "[exit status 1]"], ["", "OK"], ["", "OK"],
    ]
    assert "AssertionError: -524 != -525" in suites[1]
    sweeps = [output for arguments, output in outputs_of("run") if arguments["command"] == "python sweep.py"]
    assert [sweep.split(" of ")[0] for sweep in sweeps] == ["1396", "0"]
    assert all("nothing changed" not in output for _, output in outputs_of("edit_file"))


def test_the_last_answer_names_exactly_the_invoices_that_the_last_call_found() -> None:
    found = re.findall(r"^(R-\d+) .* billed (€ \S+) right (€ \S+)", list(RESULTS.values())[-1], re.MULTILINE)
    assert len(found) == 4
    assert found == re.findall(r"^- (R-\d+) .*: (€ \S+), right is (€ \S+)$", MESSAGES[-1]["content"], re.MULTILINE)


def test_the_invoices_bear_what_the_broken_code_billed(recorder: ModuleType, tmp_path: Path) -> None:
    for name, text in recorder.FILES.items():
        recorder.write_file(tmp_path, name, text)
    for row in csv.DictReader(recorder.FILES["invoices.csv"].splitlines()):
        program = f"from invoice import total; print(total([({row['quantity']}, {row['unit_price']})]))"
        assert recorder.run(tmp_path, f"python -c '{program}'") == f"{row['billed']}\n", row["number"]


def test_an_edit_that_is_not_unique_changes_nothing_and_says_so(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.write_file(tmp_path, "twice.py", "x = 1\nx = 1\n")
    assert recorder.edit_file(tmp_path, "twice.py", "x = 1", "x = 2") == "twice.py: the old text occurs 2 times, nothing changed\n"
    assert recorder.edit_file(tmp_path, "twice.py", "y", "z") == "twice.py: the old text occurs 0 times, nothing changed\n"
    assert (tmp_path / "twice.py").read_bytes() == b"x = 1\nx = 1\n"


def test_only_the_folder_and_the_duration_are_cut_from_an_output(recorder: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    recorder.write_file(folder, "said.py", "import os\nprint(os.path.abspath('a.py'))\nprint('Ran 1 test in 0.125s\\nRan in 0.125s')\n")
    assert recorder.run(folder, "python said.py") == "a.py\nRan 1 test\nRan in 0.125s\n"
    with pytest.raises(SystemExit, match="only python"):
        recorder.run(folder, "ls -l")
