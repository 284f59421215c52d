"""Many threads of many processes on one file: nothing lost, nothing twice, nothing out of order."""

from __future__ import annotations

import pytest

from memstore import open_store

from .crew import Crew
from .history import History, assert_sound

WORKER = "import sys; from processes.history import main; main(*sys.argv[1:4], *map(int, sys.argv[4:]))"


@pytest.mark.parametrize("turns", [60, pytest.param(500, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("killed", [False, True])
def test_eight_threads_of_four_processes_in_all_rooms_of_a_fresh_file_keep_their_word(tmp_path, rng, killed, turns):
    path, seed, threads = tmp_path / "agent.db", rng.randrange(2**32), 8
    notes = [tmp_path / f"{process}.notes" for process in range(4)]
    with Crew(WORKER, [(path, file, process, threads, turns, seed) for process, file in enumerate(notes)]) as crew:
        crew.tell()
        crew.hear("half")
        if killed:
            crew.kill(0)
        checkpoints = [int(said.split()[-1]) for said in crew.end()]
    assert sum(checkpoints) > 0
    history = History(notes)
    assert any(history.unknown.values()) <= killed
    with open_store(path) as store:
        assert_sound(store, history)
    assert [file.name for file in tmp_path.glob("agent.db*")] == [path.name]


FIRST = """
import sys
from memstore import HandoffNote, open_store

print("ready", flush=True)
for line in sys.stdin:
    with open_store(line.rstrip("\\n"), timeout=60) as store:
        chat = store.chat.create_conversation(title=sys.argv[1])
        store.chat.append(chat.id, "user", f"hello from {sys.argv[1]}")
        store.corrections.add(sys.argv[1], "came first")
        store.audit.append("storm.came", entity_kind="process", entity_id=sys.argv[1])
        store.backups.track("counted", "coder", tokens=1)
        store.evals.record_run(chat.id, "coder")
        assert len(store.chat.search(f"hello {sys.argv[1]}")) == 1
    print("closed", flush=True)
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.nightly)])
def test_sixteen_processes_that_begin_one_file_and_all_its_rooms_at_once_all_succeed(tmp_path, rounds):
    names = [f"child{number:02}" for number in range(16)]
    with Crew(FIRST, [(name,) for name in names]) as crew:
        for turn in range(rounds):
            path = tmp_path / f"{turn}.db"
            crew.tell(path)
            crew.hear("closed")
            with open_store(path) as store:
                assert sorted(item.subject for item in store.corrections.find()) == names
                assert sorted(event.entity_id for event in store.audit.find()) == names
                assert store.audit.verify().checked == store.backups.counter("counted", "coder").total_messages == len(names)
                assert len(store.evals.runs()) == len(store.chat.conversations()) == len(store.chat.search("hello")) == len(names)
            # Two processes that close at the same instant take each other for a user, and leave the log to the next one to close.
            assert [file.name for file in tmp_path.glob(f"{turn}.db*")] == [path.name]
        for child in crew.children:
            child.stdin.close()
            assert child.wait(60) == 0


OPEN_AND_CLOSE = """
import sys
from memstore import open_store

print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[3])):
    with open_store(sys.argv[1], timeout=60) as store:
        store.chat.append("shared", "user", f"{sys.argv[2]} {turn}")
"""


@pytest.mark.parametrize("turns", [60, pytest.param(1000, marks=pytest.mark.nightly)])
def test_eight_processes_that_open_append_and_close_lose_nothing_to_the_last_one_to_leave(tmp_path, turns):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.chat.create_conversation(id="shared")
    with Crew(OPEN_AND_CLOSE, [(path, number, turns) for number in range(8)]) as crew:
        crew.tell()
        crew.end()
    with open_store(path) as store:
        found = [message.content for message in store.chat.messages("shared", limit=None)]
    assert [[word for word in found if word.split()[0] == str(number)] for number in range(8)] == [
        [f"{number} {turn}" for turn in range(turns)] for number in range(8)
    ]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
