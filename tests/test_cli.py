"""The command line: what it prints for people, for pipes and for programs, and its status."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

import memstore
from memstore import AuditHead, open_store
from memstore.cli import main
from memstore.cli.terminal import Page, around, cells, count, cut, moment, one_line, size
from memstore.testing import FakeClock

ROOT = pathlib.Path(memstore.__file__).resolve().parents[1]
OURS = ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "MEMSTORE_CODEC", "NO_COLOR")
PLAIN = {name: value for name, value in os.environ.items() if name not in OURS}
COMMANDS = ("demo", "info", "check", "search", "log", "snapshot", "export", "import", "erase", "prune", "rekey", "dpo", "sft",
            "memories", "entities", "conflicts", "ingest", "documents", "ask", "shell")  # fmt: skip
pty = pytest.importorskip("pty") if os.name == "posix" else None
on_a_terminal = pytest.mark.skipif(pty is None, reason="needs a pseudo terminal")


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch):
    for name in OURS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def db(tmp_path):
    """A store with a little of everything."""
    path = tmp_path / "agent.db"
    clock = FakeClock()
    with open_store(path, clock=clock) as store:
        project = store.chat.create_project("shop")
        first = store.chat.create_conversation(title="Rounding", id="c1", project=project.id)
        second = store.chat.create_conversation(title="Weather", id="c2")
        store.chat.append(first.id, "user", "Please round the prices, do not truncate")
        store.chat.append(first.id, "assistant", "Rounded " + "and checked " * 40 + "every price")
        store.chat.append(second.id, "user", "Is the Café around the corner open?")
        clock.advance(60)
        fix = store.corrections.add("rounding", "round", rejected="truncate")
        store.corrections.update(fix.id, claim="round half away", actor="zoë", note="was vague")
        store.audit.append("query", actor="tim", session_id="s-1", conversation_id="c1", details={"tokens": 812})
        store.audit.append("query", session_id="s-2", note="a\x1b[31mred\nline")
    return str(path)


def call(capsys, *words):
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def run(*words, **options):
    env = {**PLAIN, "PYTHONUTF8": "1", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "memstore", *words],
        capture_output=True, text=True, encoding="utf-8", cwd=ROOT, env=env, timeout=60, **options,
    )  # fmt: skip


def on_terminal(*words, columns=80, typed="", **env):
    """What a person sees who runs the command on a terminal of that width, and the status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "memstore", *words],
                  {**PLAIN, "PYTHONUTF8": "1", "COLUMNS": str(columns), "TERM": "xterm", **env})  # fmt: skip
    os.write(terminal, typed.encode())
    seen = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        seen += piece
    os.close(terminal)
    return seen.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- as a whole ---------------------------------------------------------------------------------------------------------


def test_alone_it_prints_eight_lines_with_three_commands(capsys):
    status, out, err = call(capsys)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 8
    assert out.count("-m memstore ") == 3


def test_help_lists_the_commands_of_this_version_and_no_other(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("    ") and line[4] != " "]
    assert [word for word in listed if word != "COMMAND"] == list(COMMANDS)
    assert "doctor" in out


@pytest.mark.parametrize("name", [*COMMANDS, "doctor"])
def test_every_command_explains_itself(capsys, name):
    status, out, _ = call(capsys, name, "--help")
    assert status == 0
    assert "--db PATH" in out
    assert "resume-from" not in out


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"memstore {memstore.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["serch", "x"], "no command 'serch' (nearest: 'search')"),
        (["import", "--from", "aua", "{missing}"], "there is no file {missing}"),
        (["import", "--from", "aua", "{text}"], "{text} is not an SQLite file"),
        (["import", "--from", "aua", "{db}"], "{db} is a memstore store"),
        (["import", "--from", "auo", "{db}"], "invalid choice: 'auo'"),
        (["import", "{db}"], "--from"),
        (["export"], "FOLDER"),
        (["exprt"], "no command 'exprt' (nearest: 'export')"),
        (["snapshot", "{db}"], "no store is named before {db}, which would be written; to snapshot it"),
        (["export", "{db}"], "no store is named before {db}, which would be written; to export it"),
        (["search", "--db", "{db}", "x", "--project", "shpo"], "no project 'shpo' (nearest: 'shop')"),
        (["search"], "WORD"),
        (["search", "--db", "{db}", "x", "--limit", "many"], "many"),
        (["search", "--db", "{db}", "x", "--limit", "-1"], "limit is -1"),
        (["search", "--db", "{db}", "x", "--role", "robot"], "role 'robot' is none of"),
        (["search", "--db", "{db}", "x", "--conversation", "c3"], "no conversation 'c3'; info lists the newest"),
        (["search", "--db", "{db}", "x", "--limit", "x"], "memstore search --help"),
        (["check", "{db}", "{db}"], "memstore check: unrecognized arguments: {db} (memstore check --help; --db PATH names the store)"),
        (["--colour"], "memstore: unrecognized arguments: --colour (memstore --help"),
        (["log", "{missing}"], "there is no store at {missing}"),
        (["log", "{db}", "--db", "{missing}"], "two stores are named"),
        (["shell", "{missing}"], "there is no store at {missing}"),
        (["snapshot", "{missing}", "{folder}/copy.db"], "there is no store at {missing}"),
        (["snapshot"], "TARGET"),
        (["snapshot", "{folder}/copy.db"], "no store is named"),
        (["log", "--db", "{db}", "--head", "--verify"], "not allowed with"),
        (["log", "--db", "{db}", "--type", "No Such"], "event_type"),
        (["log", "--db", "{db}", "--verify", "{missing}"], "{missing}: No such file"),
        (["check", "{db}", "--anchor", "{db}.txt"], "{db}.txt: No such file"),
        (["info"], "no store is named; give --db PATH or set MEMSTORE_DB"),
        (["info", "{missing}"], "there is no store at {missing}"),
        (["check", "{missing}"], "there is no store at {missing}"),
        (["search", "--db", "{missing}", "x"], "there is no store at {missing}"),
        (["log", "--db", "{missing}"], "there is no store at {missing}"),
        (["snapshot", "--db", "{missing}", "x.db"], "there is no store at {missing}"),
        (["shell", "--db", "{missing}"], "there is no store at {missing}"),
        (["info", "--db", "{db}", "{missing}"], "two stores are named"),
        (["info", ":memory:"], "there is no store at :memory:"),
        (["info", "{folder}"], "is a folder"),
        (["info", "{text}"], "SQLite"),
        (["check", "{text}"], "SQLite"),
        (["snapshot", "--db", "{db}", "{text}"], "choose another name"),
        (["snapshot", "--db", "{db}", "{folder}/no/copy.db"], "does not exist"),
    ],
)
def test_a_wrong_call_is_one_sentence_status_2_and_makes_nothing(capsys, tmp_path, db, words, why):
    (tmp_path / "notes.txt").write_text("no store " * 200)
    names = {"db": db, "missing": str(tmp_path / "missing.db"), "folder": str(tmp_path), "text": str(tmp_path / "notes.txt")}
    before = {path.name for path in tmp_path.iterdir()} | {"agent.db-wal", "agent.db-shm"}
    status, out, err = call(capsys, *(word.format(**names) for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("memstore")
    assert why.format(**names) in err
    assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= before


def test_the_store_is_named_before_or_after_the_command_or_by_the_environment(capsys, monkeypatch, tmp_path, db):
    answers = [call(capsys, *words) for words in (["--db", db, "info"], ["info", "--db", db], ["info", db])]
    assert call(capsys, "log", db, "--limit", "2") == call(capsys, "--db", db, "log", "--limit", "2")
    assert call(capsys, "log", "--verify", "--db", db) == call(capsys, "log", db, "--verify")
    monkeypatch.setenv("MEMSTORE_DB", db)
    answers.append(call(capsys, "info"))
    assert answers[0][0] == 0
    assert all(answer == answers[0] for answer in answers)
    monkeypatch.setenv("MEMSTORE_DB", str(tmp_path / "missing.db"))
    assert call(capsys, "info", "--db", db) == answers[0]


@pytest.mark.parametrize(
    "words", [["info"], ["check"], ["check", "--deep"], ["search", "round"], ["log"], ["log", "--verify"], ["log", "--head"]]
)
def test_every_reading_command_prints_one_json_document_with_stable_keys(capsys, db, words):
    status, out, err = call(capsys, "--db", db, *words, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    keys = {
        "info": ["path", "store_id", "bytes", "rooms", "tables", "audit_head", "conversations"],
        "check": ["path", "ok", "findings"],
        "search": ["query", "hits"],
        "log": ["events"] if len(words) == 1 else ["head", "ok", "checked", "findings", "anchored_to"],
    }[words[0]]
    if "--head" in words:
        keys = ["store_id", "seq", "hash"]
    assert set(keys) <= set(document)


def test_json_is_whole_where_the_pipe_is_not_utf_8(db):
    done = subprocess.run(
        [sys.executable, "-m", "memstore", "search", "--db", db, "cafe", "--json"],
        capture_output=True, cwd=ROOT, env={**PLAIN, "PYTHONIOENCODING": "ascii"}, timeout=60,
    )  # fmt: skip
    assert "Café" in json.loads(done.stdout)["hits"][0]["message"]["content"]


def test_a_reader_that_stops_reading_ends_the_command_quietly(tmp_path):
    path = tmp_path / "big.db"
    with open_store(path) as store:
        chat = store.chat.create_conversation()
        store.chat.append_many(chat.id, [{"role": "user", "content": f"round {number} " + "x" * 100} for number in range(3000)])
    words = [sys.executable, "-m", "memstore", "search", "--db", str(path), "round", "--limit", "3000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=PLAIN) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@on_a_terminal
def test_ctrl_c_ends_with_130_and_without_a_word(db):
    words = [sys.executable, "-u", "-m", "memstore", "shell", "--db", db]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=PLAIN) as process:
        # Where the tests run in the background of a shell, Ctrl-C is ignored, and children inherit that.
        process.stdin.write(b"import signal, time\nh = signal.signal(signal.SIGINT, signal.default_int_handler)\n")
        process.stdin.write(b"print('up', flush=True)\nwhile True: time.sleep(0.01)\n")
        process.stdin.close()
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()
        assert process.stderr.read() == b""


def test_reading_works_while_the_store_is_open_for_writing(capsys, db):
    with open_store(db) as store, store.transaction():
        store.chat.append("c1", "user", "round and round, uncommitted")
        status, out, _ = call(capsys, "search", "--db", db, "uncommitted")
        assert (status, out) == (0, "")


def test_reading_does_not_change_the_file(capsys, db):
    before = pathlib.Path(db).read_bytes()
    for words in (["info"], ["check"], ["search", "round"], ["log"]):
        assert call(capsys, *words, "--db", db)[0] == 0
    assert pathlib.Path(db).read_bytes() == before


def test_reading_an_empty_store_is_fine(capsys, tmp_path):
    path = str(tmp_path / "empty.db")
    open_store(path).close()
    for words in (["info"], ["check"], ["search", "x"], ["log"], ["log", "--verify"], ["log", "--head"]):
        status, _, _ = call(capsys, *words, "--db", path)
        assert status == 0, words


# -- info ---------------------------------------------------------------------------------------------------------------


def test_info_counts_what_is_there(capsys, db):
    status, out, _ = call(capsys, "info", db)
    assert status == 0
    assert db in out.splitlines()[0]
    assert "1 project, 2 conversations, 3 messages" in out
    assert "1 correction" in out
    assert "3 events" in out
    assert out.index("Weather") < out.index("Rounding")
    with open_store(db) as store:
        assert store.audit.head().hash in out
        assert store.store_id in out


def test_info_shows_the_ids_that_other_commands_take(capsys, db):
    with open_store(db) as store:
        store.chat.create_conversation(id="untitled")
    lines = [line.strip() for line in call(capsys, "info", db)[1].splitlines()]
    for title, id in (("Weather", "c2"), ("Rounding", "c1")):
        assert lines[next(place for place, line in enumerate(lines) if line.endswith(title)) + 1] == id
    assert sum("untitled" in line for line in lines) == 1


def test_info_of_an_empty_store_says_so(capsys, tmp_path, db):
    open_store(tmp_path / "empty.db").close()
    assert "empty" in call(capsys, "info", str(tmp_path / "empty.db"))[1].split()
    assert "empty" not in call(capsys, "info", db)[1].split()


# -- check --------------------------------------------------------------------------------------------------------------


def damage(path, sql):
    """Somebody else's program changes the file."""
    code = f"import sqlite3; db = sqlite3.connect({path!r}); db.executescript({sql!r}); db.close()"
    subprocess.run([sys.executable, "-c", code], check=True)


FORGE = """INSERT INTO audit_permit(reason) VALUES ('x');
UPDATE audit_log SET body = replace(body, 'query', 'quern') WHERE seq = 2;
DELETE FROM audit_permit;"""


def test_check_says_ok(capsys, db):
    status, out, err = call(capsys, "check", db)
    assert (status, err) == (0, "")
    assert out.startswith(f"ok  {db}")
    assert call(capsys, "doctor", db)[:2] == (0, out)


@pytest.mark.damage
def test_check_names_what_is_wrong_and_ends_with_1(capsys, db):
    damage(db, FORGE)
    status, out, _ = call(capsys, "check", db)
    assert status == 1
    assert out.startswith("1 finding ")
    assert re.search(r"hash +#2  ", out)
    status, out, _ = call(capsys, "check", db, "--json")
    report = json.loads(out)
    assert (status, report["ok"]) == (1, False)
    assert [(found["kind"], found["seq"]) for found in report["findings"] if not found["advice"]] == [("hash", 2)]
    status, out, _ = call(capsys, "log", "--verify", "--db", db)
    assert status == 1
    assert re.search(r"hash +#2  ", out)


def test_a_finding_names_the_command_in_place_of_the_method(capsys, db):
    _, out, _ = call(capsys, "log", db, "--verify")
    assert "head()" not in out
    assert f"memstore log --head {db} > anchor.txt" in out
    assert len(out.splitlines()) == 2


@on_a_terminal
@pytest.mark.parametrize("columns", [60, 80])
def test_on_a_terminal_findings_are_wrapped_under_themselves_and_never_cut(capsys, db, columns):
    whole = call(capsys, "log", db, "--verify")[1].splitlines()[1]
    seen, status = on_terminal("log", db, "--verify", columns=columns, NO_COLOR="1")
    _, *lines = seen.splitlines()
    assert status == 0
    assert len(lines) > 1
    assert all(cells(line) <= columns for line in lines)
    assert {len(line) - len(line.lstrip()) for line in lines[1:]} == {lines[0].index("nothing kept")}
    ends = [" ".join(text.split()).partition("complete;")[0] for text in (whole, " ".join(lines))]
    assert ends[0] == ends[1]
    assert "(advice)" in seen


@pytest.mark.damage
def test_check_of_a_file_too_damaged_to_open_is_a_finding(capsys, tmp_path, db):
    content = bytearray(pathlib.Path(db).read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    (tmp_path / "bad.db").write_bytes(content)
    status, out, _ = call(capsys, "check", str(tmp_path / "bad.db"), "--json")
    assert status == 1
    assert "corrupt" in [found["kind"] for found in json.loads(out)["findings"]]


@pytest.mark.damage
def test_an_anchor_shows_a_cut_end_and_several_may_stand_in_one_file(capsys, tmp_path, db):
    anchors = tmp_path / "anchors.txt"
    _, head, _ = call(capsys, "log", "--head", "--db", db)
    with open_store(db) as store:
        assert AuditHead.parse(head) == store.audit.head()
        store.audit.append("later")
        anchors.write_text(f"{head}\n{store.audit.head()}\n")
    for words in (["check", db, "--anchor", str(anchors)], ["log", "--db", db, "--verify", str(anchors)]):
        status, out, _ = call(capsys, *words)
        assert status == 0, out
    assert "complete up to the anchor at #4" in out
    damage(db, "INSERT INTO audit_permit VALUES ('x'); DELETE FROM audit_log WHERE seq = 4; DELETE FROM audit_permit;")
    assert call(capsys, "log", "--db", db, "--verify")[0] == 0
    for words in (["check", db, "--anchor", str(anchors)], ["log", "--db", db, "--verify", str(anchors)]):
        status, out, _ = call(capsys, *words)
        assert status == 1, out
        assert "truncated" in out


@pytest.mark.parametrize("content", ["", "\n", "memstore/00\n1\nff\n", "\x00\xff" * 40])
def test_a_file_that_holds_no_anchor_is_refused_by_name(capsys, tmp_path, db, content):
    path = tmp_path / "anchors.txt"
    path.write_text(content, encoding="latin-1")
    status, _, err = call(capsys, "check", db, "--anchor", str(path))
    assert status == 2
    assert str(path) in err
    assert err.count("\n") == 1


def test_the_key_of_a_keyed_log_comes_by_the_environment(capsys, monkeypatch, tmp_path):
    path = str(tmp_path / "keyed.db")
    with open_store(path, audit_key="secret") as store:
        store.audit.append("query")
    assert call(capsys, "log", "--db", path)[0] == 0
    status, _, err = call(capsys, "log", "--db", path, "--verify")
    assert status == 2
    assert "MEMSTORE_AUDIT_KEY" in err
    monkeypatch.setenv("MEMSTORE_AUDIT_KEY", "secret")
    assert call(capsys, "log", "--db", path, "--verify")[0] == 0


# -- search -------------------------------------------------------------------------------------------------------------


def test_search_shows_title_time_role_and_the_words_around(capsys, db):
    status, out, err = call(capsys, "search", "--db", db, "pri", "round")
    assert (status, err) == (0, "")
    title, newest, oldest = out.splitlines()
    assert title == "Rounding  c1"
    assert "assistant" in newest
    assert "Please round the prices" in oldest
    assert moment(1_700_000_000.0) in oldest
    assert "\033" not in out


def test_search_filters(capsys, db):
    def found(*words):
        status, out, _ = call(capsys, "search", "--db", db, "--json", *words)
        assert status == 0
        return [hit["message"]["role"] for hit in json.loads(out)["hits"]]

    assert found("round") == ["assistant", "user"]
    assert found("round", "--role", "user") == ["user"]
    assert found("round", "--limit", "1") == ["assistant"]
    assert found("round", "--limit", "0") == []
    assert found("round", "--conversation", "c2") == []
    assert found("round", "--project", "shop") == ["assistant", "user"]
    assert found("cafe") == ["user"]
    assert found("--", "-") == []


def test_a_search_without_a_hit_says_so_apart_and_is_fine(capsys, db):
    assert call(capsys, "search", "--db", db, "zzz") == (0, "", "no message has words that begin with 'zzz'\n")


@pytest.mark.parametrize("query", ["", " ", "-"])
def test_a_search_for_no_word_says_so(capsys, db, query):
    assert call(capsys, "search", "--db", db, "--", query) == (0, "", f"nothing to search for: {query.strip()!r} holds no word\n")


def test_search_says_when_there_are_more_than_it_shows(capsys, db):
    for limit, rows, err in (("1", 1, "there are more than 1; --limit N shows up to N\n"), ("2", 2, ""), (str(sys.maxsize), 2, "")):
        status, out, said = call(capsys, "search", "--db", db, "round", "--limit", limit)
        assert (status, len(out.splitlines()), said) == (0, 1 + rows, err)
    assert call(capsys, "search", "--db", db, "round", "--limit", "0") == (0, "", "there are more than 0; --limit N shows up to N\n")
    assert len(json.loads(call(capsys, "search", "--db", db, "round", "--limit", "1", "--json")[1])["hits"]) == 1


def test_line_breaks_in_the_json_of_a_tool_call_are_spaces(capsys, db):
    written = json.dumps({"path": "C:\\new", "text": "needle\nand\tthread"})
    with open_store(db) as store:
        store.chat.append_message("c2", {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "write", "arguments": written}}]})  # fmt: skip
        store.chat.append("c2", "user", r"needle in C:\new and \n")
    _, out, _ = call(capsys, "search", "--db", db, "needle")
    assert "needle and thread" in out
    assert r"C:\\new" in out
    assert r"needle in C:\new and \n" in out


@on_a_terminal
@pytest.mark.parametrize("columns", [40, 80, 132])
def test_on_a_terminal_nothing_is_wider_and_the_match_stays_in_sight(db, columns):
    with open_store(db) as store:
        store.chat.append("c2", "user", "x" * 45 + " " + "filler " * 5 + "needle in 干し草 " + "filler " * 40)
    seen, status = on_terminal("search", "--db", db, "needl", columns=columns)
    assert status == 0
    assert "\033[1;33mneedl\033[0m" in seen
    assert all(cells(strip(line)) <= columns for line in seen.splitlines())


def strip(line):
    return re.sub(r"\033\[[0-9;]*m", "", line)


@on_a_terminal
def test_no_colour_where_it_is_not_wanted(db):
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\033" not in on_terminal("search", "--db", db, "round", **env)[0]
    assert "\033" in on_terminal("search", "--db", db, "round", NO_COLOR="")[0]


# -- log ----------------------------------------------------------------------------------------------------------------


def test_log_lists_events_newest_first_in_columns(capsys, db):
    status, out, _ = call(capsys, "log", "--db", db)
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["#3", "#2", "#1"]
    assert len({line.index(word) for line, word in zip(lines, ("query", "query", "correction.update"))}) == 1
    assert '{"tokens":812}' in lines[1]
    assert "was vague" in lines[2]
    assert "zoë" in lines[2]


def test_a_log_without_events_says_so_apart(capsys, db):
    assert call(capsys, "log", db, "--type", "nosuch") == (0, "", "no events\n")
    assert call(capsys, "log", db, "--limit", "0") == (0, "", "no events\n")
    assert json.loads(call(capsys, "log", db, "--type", "nosuch", "--json")[1]) == {"events": []}


@on_a_terminal
def test_on_a_terminal_the_log_shows_each_day_once_and_what_tells_rows_apart(db):
    first, second = "01a1fb74-b24d-7000-8000-0003d856136c", "01a1fb74-b24d-7000-8000-00047f9f1204"
    with open_store(db, clock=FakeClock(1_800_000_000.0)) as store:
        for id in (first, second):
            store.audit.append("tool.call", actor="agent", entity_kind="message", entity_id=id, details={"name": "run"})
    seen, status = on_terminal("log", db, NO_COLOR="1")
    lines = seen.splitlines()
    assert status == 0
    days = [moment(1_800_000_000.0)[:10], moment(1_700_000_060.0)[:10]]
    assert [line for line in lines if not line.startswith(" ")] == days
    assert [lines.index(day) for day in days] == [0, 3]
    assert lines[1].endswith('{"name":"run"}  message …7f9f1204')
    assert lines[2].endswith('{"name":"run"}  message …d856136c')
    assert all(cells(line) <= 80 for line in lines)
    assert [line for line in lines if re.search(r"\bc1\b", line)] == []


def test_for_a_pipe_every_row_of_the_log_has_its_day_and_whole_id(capsys, db):
    id = "01a1fb74-b24d-7000-8000-0003d856136c"
    with open_store(db) as store:
        event = store.audit.append("tool.call", entity_kind="message", entity_id=id)
    line = call(capsys, "log", db, "--limit", "1")[1]
    assert line.endswith(f"message {id}\n")
    assert moment(event.created_at) in line


def test_what_others_wrote_cannot_control_the_terminal(capsys, db):
    _, out, _ = call(capsys, "log", "--db", db, "--limit", "1")
    assert "\x1b" not in out
    assert out.count("\n") == 1
    assert "red line" in out


def test_log_filters(capsys, db):
    def found(*words):
        return [event["seq"] for event in json.loads(call(capsys, "log", "--db", db, "--json", *words)[1])["events"]]

    assert found() == [3, 2, 1]
    assert found("--type", "query") == [3, 2]
    assert found("--actor", "zoë") == [1]
    assert found("--session", "s-1") == [2]
    assert found("--conversation", "c1") == [2]
    assert found("--limit", "1") == [3]


def test_a_redacted_event_says_so(capsys, db):
    with open_store(db) as store:
        store.audit.redact(2, reason="asked for")
    _, out, _ = call(capsys, "log", "--db", db)
    assert "(redacted)" in next(line for line in out.splitlines() if line.startswith("#2"))


# -- snapshot and shell -------------------------------------------------------------------------------------------------


def test_snapshot_copies_and_names_the_copy(capsys, tmp_path, db):
    target = tmp_path / "copy.db"
    status, out, err = call(capsys, "snapshot", "--db", db, str(target))
    assert (status, err) == (0, "")
    assert out.startswith(str(target))
    with open_store(target, read_only=True) as copy:
        assert len(copy.chat.conversations()) == 2


def test_snapshot_takes_the_store_before_the_target(capsys, tmp_path, db):
    target = tmp_path / "copy.db"
    assert call(capsys, "snapshot", db, str(target))[0] == 0
    with open_store(target, read_only=True) as copy, open_store(db) as store:
        assert copy.store_id == store.store_id


def test_the_shell_runs_what_is_piped_in_and_can_write(db):
    done = run("shell", "--db", db, input="chats = store.chat.conversations()\nlen(chats)\nstore.chat.rename('c2', 'Sun')\nNone\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "2"
    with open_store(db) as store:
        assert store.chat.get_conversation("c2").title == "Sun"


@pytest.mark.parametrize(("source", "status"), [("1/0", 1), ("(", 1), ("exit(3)", 3), ("exit()", 0), ("exit('no')", 1), ("", 0)])
def test_the_shell_ends_with_the_status_of_what_it_ran(db, source, status):
    assert run("shell", "--db", db, input=source).returncode == status


@on_a_terminal
def test_the_shell_on_a_terminal_shows_the_rooms(db):
    seen, status = on_terminal("shell", "--db", db, typed="store.path\nexit()\n")
    assert status == 0
    assert "store.chat" in seen
    assert "store.evals" in seen
    assert db in seen


# -- text on a terminal -------------------------------------------------------------------------------------------------


def test_wide_and_combining_characters_are_measured_as_they_show():
    assert [cells(text) for text in ("abc", "時間", "e\u0301", "")] == [3, 4, 1, 0]
    assert cut("時間の丸め", 6) == "時間…"
    assert cut("plain", 5) == "plain"
    assert cut("plain text", None) == "plain text"


def test_control_characters_become_harmless():
    assert one_line("a\x1b[2Jb\n\tc\u202ed\x00") == "a\ufffd[2Jb c\ufffdd\ufffd"
    assert one_line("👩\u200d💻") == "👩\u200d💻"


def test_the_part_around_a_match_is_shown():
    text = "filler " * 20 + "needle " + "filler " * 20
    for width in (20, 40, 79):
        shown = around(text, ["needl"], width)
        assert "needle" in shown
        assert cells(shown) <= width
    assert around("short", ["x"], 20) == "short"


def test_matches_are_marked_at_the_beginnings_of_words_and_of_their_parts():
    class Terminal:
        def isatty(self):
            return True

    page = Page(Terminal())
    page.colour, page.width = True, 80
    (line,) = page.table([("x", "Round around toRound to_round Über unter")], found=["round", "u"])
    mark = page.found
    assert line == f"x  {mark('Round')} around to{mark('Round')} to_{mark('round')} {mark('Ü')}ber {mark('u')}nter"


def test_figures_read_well():
    assert [count(1, "message"), count(0, "message"), count(1200, "query")] == ["1 message", "0 messages", "1,200 queries"]
    assert [count(2, "entity"), count(2, "project alias"), count(1, "entity")] == ["2 entities", "2 project aliases", "1 entity"]
    figures = (0, 999, 1000, 9_940, 356_352, 999_600, 5e15)
    assert [size(number) for number in figures] == ["0 B", "999 B", "1.0 kB", "9.9 kB", "356 kB", "1.0 MB", "5000 TB"]
    assert moment(1e30) == f"{1e30:.0f}"


def test_the_command_line_imports_no_room_for_help():
    code = "import sys; from memstore.cli import main; main([]); print([name for name in sys.modules if name.startswith('memstore.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=PLAIN, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "memstore.cli" in loaded
    assert not any(room in loaded for room in ("memstore.chat", "memstore.audit", "memstore.store"))
