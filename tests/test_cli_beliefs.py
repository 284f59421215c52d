"""`memories`, `entities` and `conflicts` from the command line."""

from __future__ import annotations

import json
import shutil

import pytest
from atocore_files import make as make_atocore
from test_cli import on_a_terminal, on_terminal

from memstore import open_store
from memstore.cli import main
from memstore.cli.terminal import moment
from memstore.testing import FakeClock

OURS = ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "MEMSTORE_CODEC", "NO_COLOR")


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch):
    for name in OURS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Memories and entities of a shop, in a file to copy."""
    path, clock = tmp_path_factory.mktemp("shop") / "agent.db", FakeClock()
    with open_store(path, clock=clock) as store:
        store.chat.create_project("shop", id="p-1")
        store.memories.add("preference", "prefers short answers,\nfigures first", id="m-short-0001", status="candidate", confidence=0.6)
        clock.advance(1)
        store.memories.add("project", "prices are rounded half away from zero " * 4, id="m-round-0002", project="shop")
        clock.advance(1)
        store.memories.add("knowledge", "ann has a key\x1b[31m", id="m-key-0003", user_id="ann")
        store.memories.update("m-round-0002", confidence=0.9, actor="zoë", note="was too sure")
        store.memories.set_state("shop", "till.weight", "12 kg", actor="ann")
        store.knowledge.add_entity("Material", "steel", id="e-steel-01")
        clock.advance(1)
        store.knowledge.add_entity(
            "Component", "till", id="e-till-02", description="rings", project="shop", status="candidate", properties={"weight": "14 kg"}
        )
        store.knowledge.relate("e-till-02", "uses_material", "e-steel-01")
        store.knowledge.observe("e-till-02", "is loud")
    return path


@pytest.fixture
def db(shop, tmp_path):
    return str(shutil.copy(shop, tmp_path))


@pytest.fixture
def clash(db):
    """The store after a promotion that contradicts what was set by hand, and the conflict."""
    with open_store(db) as store:
        store.knowledge.promote("e-till-02", actor="agent")
        return db, store.conflicts.find()[0].id, store.memories.states()[0].id


def call(capsys, *words):
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def told(capsys, *words):
    status, out, err = call(capsys, *words, "--json")
    assert err == ""
    return status, json.loads(out)


# -- list ---------------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_every_row_whole_newest_first(capsys, db):
    status, out, err = call(capsys, "memories", "--db", db)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "m-key-0003    active     knowledge         ann  ann has a key�[31m",
        "m-round-0002  active     project     shop       " + ("prices are rounded half away from zero " * 4).strip(),
        "m-short-0001  candidate  preference             prefers short answers, figures first",
    ]
    status, out, _ = call(capsys, "entities", "--db", db)
    assert out.splitlines() == ["e-till-02   candidate  Component  shop  till: rings", "e-steel-01  active     Material         steel"]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--status", "candidate"], ["m-short-0001"]),
        (["--type", "project"], ["m-round-0002"]),
        (["--project", "shop"], ["m-round-0002"]),
        (["--user", "bob"], ["m-round-0002", "m-short-0001"]),
        (["--limit", "2"], ["m-key-0003", "m-round-0002"]),
        (["--limit", "0"], []),
    ],
)
def test_filters_leave_what_they_say(capsys, db, words, ids):
    status, out, _ = call(capsys, "memories", "--db", db, *words, "--json")
    assert (status, [memory["id"] for memory in json.loads(out)["memories"]]) == (0, ids)


def test_it_says_when_there_are_more_or_none(capsys, db, tmp_path):
    assert call(capsys, "memories", "--db", db, "--limit", "2")[2] == "there are more than 2; --limit N shows up to N\n"
    assert call(capsys, "memories", "--db", db, "--status", "graduated") == (0, "", "no memory is left by these filters\n")
    assert call(capsys, "conflicts", "--db", db) == (0, "", "there are no conflicts\n")
    open_store(tmp_path / "empty.db").close()
    for things in ("memories", "entities", "conflicts"):
        assert call(capsys, things, "--db", str(tmp_path / "empty.db")) == (0, "", f"there are no {things}\n")
        assert call(capsys, things, "show", "nobody", "--db", str(tmp_path / "empty.db"))[0] == 2


@on_a_terminal
def test_a_terminal_shows_the_end_of_an_id_and_cuts_to_its_width(db):
    with open_store(db) as store:
        long = store.memories.add("knowledge", "x" * 200).id
    seen, status = on_terminal("memories", "--db", db, columns=60, NO_COLOR="1")
    lines = seen.splitlines()
    assert status == 0
    assert lines[0].startswith(f"…{long[-8:]}  active     knowledge  ")
    assert lines[0].endswith("…") and all(len(line) <= 60 for line in lines)


def test_a_project_that_is_only_a_name_is_known_by_what_names_it(capsys, db):
    with open_store(db) as store:
        store.memories.add("knowledge", "from a namespace", project="memories.alice")
    assert call(capsys, "memories", "--db", db, "--project", "memories.alice", "--status", "candidate")[0] == 0
    assert call(capsys, "memories", "--db", db, "--project", "memories.alise")[0] == 2


def test_memories_are_searched_by_words_best_first(capsys, db):
    _, out, err = call(capsys, "memories", "search", "rounded", "prices", "--db", db)
    (line,) = out.splitlines()
    assert (line.split()[:3], err) == (["m-round-0002", "0.40", "project"], "")
    status, document = told(capsys, "memories", "search", "rounded", "--db", db)
    assert (status, document["query"], [hit["memory"]["id"] for hit in document["hits"]]) == (0, "rounded", ["m-round-0002"])
    assert call(capsys, "memories", "search", "figures", "--db", db) == (0, "", "no memory shares a word with 'figures'\n")
    assert "m-short-0001" in call(capsys, "memories", "--status", "candidate", "search", "figures", "--db", db)[1]


# -- one ----------------------------------------------------------------------------------------------------------------


def test_one_is_shown_whole_with_its_history(capsys, db):
    status, out, err = call(capsys, "memories", "show", "m-round-0002", "--db", db)
    lines = out.splitlines()
    assert (status, err, lines[0]) == (0, "", "memory m-round-0002 is active")
    assert lines[1] == "  " + ("prices are rounded half away from zero " * 4).strip()
    assert {"project_id shop (p-1)", f"created_at {moment(1_700_000_001)}"} <= {" ".join(line.split()) for line in lines}
    (event,) = [line for line in lines if "memory.update" in line]
    assert event.split("zoë")[1].strip() == "confidence: 1.0 -> 0.9; was too sure"
    _, out, _ = call(capsys, "memories", "show", "m-short-0001", "--db", db)
    assert out.splitlines()[1:3] == ["  prefers short answers,", "  figures first"]


def test_an_entity_comes_with_what_it_is_connected_to(capsys, db):
    _, out, _ = call(capsys, "entities", "show", "e-till-02", "--db", db)
    assert "relationships\n  till  uses_material  steel\n" in out
    assert f"observations\n  {moment(1_700_000_003)}  is loud\n" in out
    status, document = told(capsys, "entities", "show", "e-till-02", "--db", db)
    assert (status, document["entity"]["canonical_name"], document["relationships"][0]["to"]) == (0, "till", "steel")
    assert document["observations"][0]["content"] == "is loud"


def test_an_id_may_be_typed_by_its_end(capsys, db):
    assert call(capsys, "memories", "show", "0002", "--db", db)[1].startswith("memory m-round-0002 ")
    with open_store(db) as store:
        store.memories.add("knowledge", "another", id="n-0002")
    status, out, err = call(capsys, "memories", "show", "0002", "--db", db)
    assert (status, out) == (2, "")
    assert err == "memstore: '0002' ends the id of more than one memory: m-round-0002, n-0002; type more of it\n"
    assert call(capsys, "memories", "show", "d-0002", "--db", db)[1].startswith("memory m-round-0002 ")
    _, _, err = call(capsys, "memories", "show", "002", "--db", db)
    assert err == "memstore: no memory '002': the end of an id stands for it from 4 characters on; type more of it\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["memories", "show", "m-rund-0002"], "no memory 'm-rund-0002' (nearest: 'm-round-0002'); memories lists the newest"),
        (["entities", "promote", "e-tell-02"], "no entity 'e-tell-02' (nearest: 'e-till-02'); entities lists the newest"),
        (["conflicts", "show", "nothing"], "no conflict 'nothing'; conflicts lists the newest"),
        (["memories", "shwo", "x"], "there is no command 'shwo' (nearest: 'show')"),
        (["memories", "agent.db"], "there is no command 'agent.db'; to name the store: memstore memories --db agent.db"),
        (["conflicts", "no such/store"], "to name the store: memstore conflicts --db 'no such/store'"),
        (["memories", "show"], "ID"),
        (["memories", "search"], "WORD"),
        (["memories", "--project", "shpo", "search", "price"], "no project 'shpo' (nearest: 'shop')"),
        (["memories", "--status", "activ"], "status 'activ' is none of candidate, active"),
        (["memories", "--type", "projekt"], "memory_type 'projekt' is none of"),
        (["memories", "--project", "shpo"], "no project 'shpo' (nearest: 'shop')"),
        (["conflicts", "--status", "opn"], "status 'opn' is none of open, resolved, dismissed"),
        (["entities", "resolve", "x", "dismiss"], "there is no command 'resolve'"),
        (["memories", "--limit", "-1"], "limit is -1"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(capsys, db, words, why):
    status, out, err = call(capsys, *words, "--db", db)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert why in err


def test_what_came_from_elsewhere_shows_when_it_was(capsys, tmp_path):
    target = str(tmp_path / "agent.db")
    assert call(capsys, "import", "--from", "atocore", str(make_atocore(tmp_path / "atocore.db")), "--db", target)[0] == 0
    _, out, _ = call(capsys, "memories", "show", "m3", "--db", target)
    assert "human-triage  (atocore, 2026-02-05 00:00:00); status: active -> graduated; ripe" in out


# -- decide -------------------------------------------------------------------------------------------------------------


def test_a_candidate_is_promoted_or_rejected_by_somebody(capsys, db):
    status, out, err = call(capsys, "memories", "promote", "0001", "--db", db, "--actor", "ann", "--note", "she said so")
    assert (status, out, err) == (0, "memory m-short-0001 is active now\n", "")
    with open_store(db) as store:
        (event,) = store.memories.history("m-short-0001")
    assert (event.event_type, event.actor, event.note) == ("memory.promote", "ann", "she said so")
    assert call(capsys, "entities", "reject", "e-till-02", "--db", db)[1] == "entity e-till-02 is invalid now\n"


def test_what_is_no_candidate_stays_as_it_is_and_the_status_is_1(capsys, db):
    status, out, err = call(capsys, "memories", "promote", "m-round-0002", "--db", db)
    assert (status, out) == (1, "")
    assert err == "memory m-round-0002 is active: only a candidate can be promoted; nothing was changed\n"
    status, document = told(capsys, "memories", "reject", "m-round-0002", "--db", db)
    assert (status, document["done"], document["memory"]["status"]) == (1, False, "active")


def test_a_promotion_says_what_it_contradicts(capsys, db):
    status, out, err = call(capsys, "entities", "promote", "e-till-02", "--db", db)
    assert (status, out) == (0, "entity e-till-02 is active now\n")
    with open_store(db) as store:
        (conflict,) = store.conflicts.find(status="open")
    assert err.startswith("it contradicts something: ") and err.endswith(f"conflicts --db {db} show {conflict.id}\n")


def test_a_promotion_that_makes_others_clash_says_so_too(capsys, db):
    with open_store(db) as store:
        store.knowledge.add_entity("Material", "brass", id="e-brass-01")
        store.knowledge.relate("e-till-02", "uses_material", "e-brass-01")
    status, document = told(capsys, "entities", "promote", "e-till-02", "--db", db)
    assert (status, document["done"]) == (0, True)
    assert {conflict["slot_kind"] for conflict in document["conflicts"]} == {"component.material", "project_state.entity"}


def test_a_conflict_is_listed_and_shown_with_a_suggestion(capsys, clash):
    db, id, state = clash
    assert call(capsys, "conflicts", "--db", db)[1] == f"{id}  open  project_state.entity  shop  12 kg / 14 kg\n"
    _, out, _ = call(capsys, "conflicts", "show", id, "--db", db)
    assert f"members\n  project_state  {state}" in out
    assert "suggestion\n  project_state is trusted more than entity\n" in out
    assert f"conflicts --db {db} resolve {id} supersede_others --winner {state}\n" in out
    _, document = told(capsys, "conflicts", "--db", db, "show", id[-8:])
    assert document["suggestion"]["winner_id"] == state
    assert [member["value_snapshot"] for member in document["conflict"]["members"]] == ["12 kg", "14 kg"]


def test_a_conflict_shows_what_its_members_say_now(capsys, clash):
    db, id, state = clash
    with open_store(db) as store:
        store.memories.set_state("shop", "till.weight", "14 kg")
    assert call(capsys, "conflicts", "--db", db)[1] == f"{id}  open  project_state.entity  shop  14 kg / 14 kg\n"
    _, out, _ = call(capsys, "conflicts", "show", id, "--db", db)
    assert f"members\n  project_state  {state}  trust 3  14 kg (it said: 12 kg)\n  entity         e-till-02" in out
    assert "suggestion\n  they say the same now: dismiss closes it\n" in out
    assert f"conflicts --db {db} resolve {id} dismiss\n" in out
    with open_store(db) as store:
        store.knowledge.update("e-till-02", properties={})
    assert "trust 2  14 kg (claims it no longer)\n" in call(capsys, "conflicts", "show", id, "--db", db)[1]
    call(capsys, "conflicts", "resolve", id, "no_action", "--db", db)
    assert "trust 2  14 kg\n" in call(capsys, "conflicts", "show", id, "--db", db)[1]


def test_a_conflict_names_the_component_that_it_is_about(capsys, clash):
    db, *_ = clash
    with open_store(db) as store:
        store.knowledge.add_entity("Material", "brass", id="e-brass-01")
        store.knowledge.relate("e-till-02", "uses_material", "e-brass-01")
        (item,) = store.conflicts.find(slot_kind="component.material")
    _, out, _ = call(capsys, "conflicts", "--type", "component.material", "--db", db)
    assert out == f"{item.id}  open  component.material  shop  till: steel / brass\n"
    assert "slot_key    till (e-till-02)\n" in call(capsys, "conflicts", "show", item.id, "--db", db)[1]
    assert told(capsys, "conflicts", "show", item.id, "--db", db)[1]["conflict"]["slot_key"] == "e-till-02"


def test_a_conflict_is_resolved_by_a_word(capsys, clash):
    db, id, state = clash
    words = ["conflicts", "resolve", id[-8:], "supersede-others", "--winner", state[-8:], "--actor", "ann", "--note", "weighed"]
    assert call(capsys, *words, "--db", db) == (0, f"conflict {id} is resolved now (supersede_others)\n", "")
    with open_store(db) as store:
        assert store.knowledge.get("e-till-02").status == "superseded"
        assert store.conflicts.history(id)[-1].actor == "ann"
    _, out, _ = call(capsys, "conflicts", "show", id, "--db", db)
    assert "suggestion" not in out and "weighed" in out
    status, out, err = call(capsys, *words, "--db", db)
    assert (status, out) == (2, "") and "is closed" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["supersede_others"], "supersede_others needs a winner"),
        (["supersede"], "action 'supersede' is none of dismiss, supersede_others, no_action (nearest: 'supersede_others')"),
        (["supersede_others", "--winner", "nobody"], "nobody"),
        (["dismiss", "--winner", "till-02"], "has no winner"),
    ],
)
def test_a_wrong_word_resolves_nothing(capsys, clash, words, why):
    db, id, _ = clash
    status, out, err = call(capsys, "conflicts", "resolve", id, *words, "--db", db)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert why in err
    with open_store(db) as store:
        assert store.conflicts.get(id).status == "open"


def test_dismissing_gives_the_closed_conflict(capsys, clash):
    db, id, _ = clash
    status, document = told(capsys, "conflicts", "--json", "resolve", id, "dismiss", "--db", db)
    assert (status, document["conflict"]["status"]) == (0, "dismissed")
