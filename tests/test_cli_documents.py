"""`ingest`, `documents` and `ask` from the command line."""

from __future__ import annotations

import os
import shutil
import sys
import warnings

import pytest
from test_cli import on_a_terminal, on_terminal
from test_cli_beliefs import call, told

from memstore import open_store
from memstore.testing import FakeClock

OURS = ("MEMSTORE_DB", "MEMSTORE_AUDIT_KEY", "MEMSTORE_CODEC", "MEMSTORE_EMBEDDER", "NO_COLOR")
ROUNDING = "# Prices\n\n## Rounding\n\nPrices are rounded half away from zero, never truncated.\n"
CODE = 'def till(prices):\n    """Add up."""\n    return sum(prices)\n'


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch):
    for name in OURS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shop(tmp_path):
    """A folder with two texts and a picture."""
    folder = tmp_path / "shop"
    (folder / "code").mkdir(parents=True)
    (folder / "prices.md").write_text(ROUNDING, encoding="utf-8")
    (folder / "code" / "till.py").write_text(CODE, encoding="utf-8")
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\xff")
    return folder


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A store that has a document and knows more about the shop, to copy."""
    path = tmp_path_factory.mktemp("known") / "agent.db"
    with open_store(path, clock=FakeClock()) as store:
        store.chat.create_project("shop", id="p-1")
        store.documents.add_text(ROUNDING, uri="prices.md", title="Prices", project="shop", id="d-prices-01", source_type="markdown")
        store.documents.add_text("Nothing to see\x1b[31m here.", title="Other", id="d-other-02")
        store.documents.add_text("Once it was so.", title="Gone", id="d-gone-03")
        store.documents.remove("d-gone-03", actor="ann", note="is no longer so")
        store.memories.set_state("shop", "till.weight", "12 kg", actor="ann")
        store.corrections.add("rounding of prices", "round half away from zero", rejected="int() is enough", decay_class="A")
    return path


@pytest.fixture
def db(known, tmp_path):
    return str(shutil.copy(known, tmp_path))


# -- ingest -------------------------------------------------------------------------------------------------------------


def test_a_folder_comes_in_and_nothing_the_second_time(capsys, shop, tmp_path):
    db = str(tmp_path / "new.db")
    status, out, err = call(capsys, "ingest", str(shop), "--db", db)
    assert (status, err) == (0, "")
    first, *skipped = out.splitlines()
    assert first == f"2 added, 1 skipped  {db}"
    assert skipped[:2] == ["", "skipped"] and skipped[2].startswith(f"  {shop / 'logo.png'}  ")
    status, again = told(capsys, "ingest", str(shop), "--db", db)
    assert (status, again["added"], again["changed"], again["unchanged"], again["skipped"]) == (0, 0, 0, 2, 1)
    assert (again["store"], list(again["reasons"])) == (db, [str(shop / "logo.png")])
    with open_store(db) as store:
        assert store.documents.count() == 2


def test_what_comes_in_for_a_user_is_listed_as_theirs_and_told_to_nobody_else(capsys, shop, db):
    assert call(capsys, "ingest", str(shop), "--db", db, "--user", "ann")[0] == 0
    listed = [line.split()[-2:] for line in call(capsys, "documents", "--db", db)[1].splitlines()[:2]]
    assert sorted(listed) == [["ann", "code/till.py"], ["ann", "prices.md"]]
    asked = {user: call(capsys, "ask", "--db", db, "--user", user, "what does the till add up?")[1] for user in ("ann", "bob")}
    assert "till.py" in asked["ann"] and "till.py" not in asked["bob"]


def test_what_was_named_and_not_taken_is_status_1(capsys, shop, tmp_path):
    db = str(tmp_path / "new.db")
    assert call(capsys, "ingest", str(shop / "logo.png"), str(shop / "prices.md"), "--db", db)[0] == 1
    assert call(capsys, "ingest", str(shop), "--db", db)[0] == 0
    (tmp_path / "link").symlink_to(shop / "logo.png")
    assert call(capsys, "ingest", str(tmp_path / "link"), "--db", db)[0] == 1


def test_what_is_no_text_begins_no_store(capsys, shop, tmp_path):
    db = tmp_path / "new.db"
    (shop / "old.txt").write_bytes("größe".encode("latin-1"))
    status, out, err = call(capsys, "ingest", str(shop / "logo.png"), str(shop / "old.txt"), "--db", str(db))
    assert (status, out, db.exists()) == (2, "", False)
    assert err == f"memstore: {shop / 'logo.png'} is left out, for it is no text: it holds NUL bytes; no store was begun\n"
    assert call(capsys, "ingest", str(shop / "old.txt"), "--db", str(db))[0] == 2 and not db.exists()


@pytest.mark.parametrize("owner", ["--user", "--project"])
def test_what_is_to_be_nobodys_begins_no_store(capsys, shop, tmp_path, owner):
    told = (2, "", f"memstore: {owner} is blank; it needs some text\n")
    assert call(capsys, "ingest", str(shop), owner, " ", "--db", str(tmp_path / "new.db")) == told
    assert not (tmp_path / "new.db").exists()


def test_files_that_are_gone_are_hidden_where_that_is_asked_for(capsys, shop, tmp_path):
    db = str(tmp_path / "new.db")
    call(capsys, "ingest", str(shop), "--db", db, "--project", "shop")
    (shop / "prices.md").unlink()
    assert call(capsys, "ingest", str(shop), "--db", db, "--project", "shop")[1].startswith("1 unchanged, 1 skipped")
    assert call(capsys, "ingest", str(shop), "--db", db, "--project", "shop", "--prune")[1].startswith("1 unchanged, 1 removed, 1 skipped")
    assert call(capsys, "documents", "search", "rounded", "--db", db)[1] == ""


def test_a_path_that_is_not_there_begins_no_store(capsys, shop, tmp_path):
    db = tmp_path / "new.db"
    status, out, err = call(capsys, "ingest", str(shop), str(tmp_path / "nope"), "--db", str(db))
    assert (status, out, err) == (2, "", f"memstore: {tmp_path / 'nope'}: No such file or directory\n")
    assert not db.exists()
    status, _, err = call(capsys, "ingest", str(shop))
    assert status == 2 and "no store is named; give --db PATH" in err


def test_the_store_may_lie_in_the_folder_that_comes_in(capsys, shop):
    db = str(shop / "agent.db")
    with open_store(db) as held:  # whoever opens and closes the file of a store in this process drops its locks
        held.chat.create_conversation()
        status, report = told(capsys, "ingest", str(shop), "--db", db)
        assert (status, report["added"]) == (0, 2)
        why = {os.path.basename(path): reason for path, reason in report["reasons"].items()}
        assert "is a database in use" in why["agent.db"]
        assert all("is part of a database" in why[f"agent.db{side}"] for side in ("-wal", "-shm"))


# -- documents ----------------------------------------------------------------------------------------------------------


def test_documents_are_listed_newest_first_and_those_removed_on_demand(capsys, db):
    status, out, err = call(capsys, "documents", "--db", db)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["d-other-02   unknown         Other", "d-prices-01  markdown  shop  Prices"]
    assert call(capsys, "documents", "--db", db, "--hidden")[1].splitlines()[0] == "d-gone-03    unknown         Gone (hidden)"
    _, listed = told(capsys, "documents", "--db", db, "--project", "shop")
    assert [document["id"] for document in listed["documents"]] == ["d-prices-01"]
    assert call(capsys, "documents", "--db", db, "--limit", "1")[2] == "there are more than 1; --limit N shows up to N\n"
    assert call(capsys, "documents", "--db", db, "--type", "git") == (0, "", "no document is left by these filters\n")
    status, _, err = call(capsys, "documents", "--db", db, "--project", "shpo")
    assert status == 2 and "no project 'shpo' (nearest: 'shop')" in err


def test_chunks_are_searched_by_their_words(capsys, db):
    status, out, err = call(capsys, "documents", "search", "truncated", "prices", "--db", db)
    assert (status, err) == (0, "")
    place, line = out.splitlines()
    assert place.startswith("Prices > Prices > Rounding  ") and "rounded half away from zero, never truncated." in line
    _, document = told(capsys, "documents", "--type", "markdown", "search", "truncated", "--db", db)
    assert [hit["document"]["id"] for hit in document["hits"]] == ["d-prices-01"]
    assert call(capsys, "documents", "search", "once", "--db", db) == (0, "", "no document shares a word with 'once'\n")
    status, _, err = call(capsys, "documents", "search", "see", "--project", "shpo", "--db", db)
    assert status == 2 and "no project 'shpo' (nearest: 'shop')" in err


def test_what_narrows_a_search_may_stand_before_the_verb_and_behind_it(capsys, db):
    with open_store(db) as store:
        store.documents.add_text("nothing else", project="shop", user_id="ann", id="d-anns-04", source_type="web")
    for narrowed, ids in (
        (["--limit", "1"], ["d-anns-04"]), (["--type", "web"], ["d-anns-04"]), (["--user", "bob"], ["d-other-02"]),
        (["--project", "shop", "--limit", "5"], ["d-anns-04", "d-other-02"]),
    ):  # fmt: skip
        for words in (["search", "nothing", *narrowed], [*narrowed, "search", "nothing"]):
            assert [hit["document"]["id"] for hit in told(capsys, "documents", *words, "--db", db)[1]["hits"]] == ids
    assert told(capsys, "memories", "search", "price", "--status", "candidate", "--limit", "1", "--db", db)[1]["hits"] == []


def test_a_search_of_messages_that_finds_none_tells_of_documents(capsys, db, tmp_path):
    _, _, err = call(capsys, "search", "rounded", "--db", db)
    assert err.startswith("no message has words that begin with 'rounded'; in documents: ")
    assert err.endswith(f"documents search --db {db} rounded\n")
    open_store(tmp_path / "empty.db").close()
    said = "no message has words that begin with 'rounded'\n"
    assert call(capsys, "search", "rounded", "--db", str(tmp_path / "empty.db")) == (0, "", said)


def test_a_document_is_shown_with_its_chunks_and_history(capsys, db):
    status, out, err = call(capsys, "documents", "show", "s-01", "--db", db)
    assert (status, err, out.splitlines()[0]) == (0, "", "document d-prices-01 has 1 chunk")
    assert "project_id" in out and "shop (p-1)" in out and "never truncated." in out
    status, document = told(capsys, "documents", "show", "d-gone-03", "--db", db)
    assert (status, document["document"]["is_deleted"]) == (0, True)
    assert [(event["event_type"], event["actor"]) for event in document["history"]] == [("document.remove", "ann")]
    status, _, err = call(capsys, "documents", "show", "d-prices-99", "--db", db)
    assert (status, "d-prices-01" in err, "documents lists the newest" in err) == (2, True, True)


def test_a_document_is_removed_with_a_word_for_the_log(capsys, db):
    words = ("documents", "remove", "d-prices-01", "--db", db, "--actor", "bob", "--note", "old")
    assert call(capsys, *words) == (0, "document d-prices-01 is hidden now: it comes back when it is added again\n", "")
    assert call(capsys, *words)[1].startswith("document d-prices-01 was hidden already")
    with open_store(db) as store:
        (event,) = store.audit.history("document", "d-prices-01")
        assert (event.event_type, event.actor, event.note) == ("document.remove", "bob", "old")


def test_a_document_is_named_by_its_uri_or_the_path_of_its_file_too(capsys, monkeypatch, shop, db):
    assert told(capsys, "documents", "show", "prices.md", "--db", db)[1]["document"]["id"] == "d-prices-01"
    call(capsys, "ingest", str(shop), "--db", db)
    monkeypatch.chdir(shop)
    assert told(capsys, "documents", "show", "code/till.py", "--db", db)[1]["document"]["title"] == "code/till.py"
    status, _, err = call(capsys, "documents", "remove", "prices.md", "--db", db)
    assert (status, "'prices.md' is the uri of more than one document: " in err, "d-prices-01" in err) == (2, True, True)
    assert call(capsys, "documents", "remove", "code/till.py", "--db", db)[1].split()[2:5] == ["is", "hidden", "now:"]
    assert call(capsys, "documents", "show", "nope.md", "--db", db)[0] == 2


def test_pending_does_not_look_like_a_failure(capsys, db):
    assert "words find it; not all of its chunks have vectors (pending)" in call(capsys, "documents", "show", "d-prices-01", "--db", db)[1]


@pytest.mark.parametrize("option", ["--document", "--memory"])
def test_who_erases_by_the_end_of_an_id_is_told_the_whole(capsys, db, option):
    with open_store(db) as store:
        store.memories.add("project", "weighs 12 kg", id="d-prices-01", project="shop")
    status, _, err = call(capsys, "erase", option, "s-01", "--db", db, "--yes")
    assert status == 2 and err.endswith("to erase takes the whole id, of which this is the end: d-prices-01\n")
    assert call(capsys, "erase", option, "d-prices-01", "--db", db, "--yes")[0] == 0


# -- an embedder --------------------------------------------------------------------------------------------------------

MODEL = """
from memstore import Embedder
def fn(texts): return [[float(text.count(word)) for word in ("price", "till", "round", "add")] for text in texts]
def make(): return Embedder("words", fn)
plain = Embedder("words", fn)
second = Embedder("others", fn)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy_models.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    yield "toy_models:make"
    sys.modules.pop("toy_models", None)


def test_an_embedder_is_named_and_what_came_in_without_one_is_made_up_for(capsys, monkeypatch, shop, tmp_path, toy):
    db = str(tmp_path / "new.db")
    status, out, err = call(capsys, "ingest", str(shop / "code"), "--db", db, "--embedder", "toy_models:plain")
    assert (status, out.split("  ")[0], err) == (0, "1 added", "")
    assert call(capsys, "ingest", str(shop / "code"), "--db", db)[2] == ""
    status, _, err = call(capsys, "ingest", str(shop), "--db", db)
    assert err.startswith("what came in has no vectors yet, and others here have those of 'words': ")
    assert (status, err.count("\n"), f"documents reembed --db {db} --embedder MODULE:NAME\n" in err) == (0, 1, True)
    assert call(capsys, "documents", "reembed", "--db", db)[2].startswith("memstore: nothing says what makes vectors; give --embedder")
    status, out, _ = call(capsys, "documents", "reembed", "--db", db, "--embedder", toy)
    assert (status, out) == (0, f"1 chunk embedded, 2 vectors of 'words' now  {db}\n")
    monkeypatch.setenv("MEMSTORE_EMBEDDER", toy)
    assert told(capsys, "documents", "reembed", "--db", db)[1]["embedded"] == 0
    assert told(capsys, "documents", "search", "till", "--db", db)[1]["hits"][0]["semantic"] is not None
    assert call(capsys, "ask", "what does the till add up?", "--db", db)[0] == 0


def test_vectors_of_a_second_model_are_told_when_they_come_in_and_when_they_are_in_the_way(capsys, shop, tmp_path, toy):
    db = str(tmp_path / "new.db")
    call(capsys, "ingest", str(shop / "code"), "--db", db, "--embedder", toy)
    status, _, err = call(capsys, "ingest", str(shop), "--db", db, "--embedder", "toy_models:second")
    assert status == 0 and err.startswith("what came in has vectors of 'others', and others here have those of 'words': ")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, _, err = call(capsys, "ask", "prices", "--db", db, "--embedder", toy)
    assert (status, err.count("\n"), err.count("reembed")) == (0, 1, 1)
    assert err.startswith("memstore: chunks are found by their words alone: asked with a vector of 'words'")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("toy", "names no embedder; write MODULE:NAME, such as mymodel:embedder"), ("no_such_module:x", "PYTHONPATH must lead to it"),
        ("math:pi", "is a float; an embedder is an Embedder(model, fn)"), ("json:dumps", "gives no embedder: TypeError"),
    ],
)  # fmt: skip
def test_what_is_no_embedder_is_refused(capsys, db, name, why):
    status, _, err = call(capsys, "ask", "prices", "--db", db, "--embedder", name)
    assert (status, f"--embedder {name!r}" in err, why in err) == (2, True, True)


# -- ask ----------------------------------------------------------------------------------------------------------------


def test_a_question_is_answered_with_sources_and_reasons(capsys, db):
    status, out, err = call(capsys, "ask", "how", "does", "rounding", "of", "prices", "go?", "--db", db, "--project", "shop")
    assert (status, err) == (0, "")
    assert "12 kg" in out and "round half away from zero" in out and "never truncated." in out
    status, pack = told(capsys, "ask", "how does rounding of prices go?", "--db", db, "--project", "shop")
    assert status == 0 and pack["tokens"] <= pack["max_tokens"] == 2000
    headings = [line.removeprefix("## ") for line in pack["text"].splitlines() if line.startswith("## ")]
    assert [line for line in out.splitlines() if line in headings] == headings != []
    for piece in pack["pieces"]:
        assert piece["id"] in out and piece["why"] in out and piece["source"] in out
    assert out.splitlines()[-1] == f"{len(pack['pieces'])} pieces, {pack['tokens']} of 2,000 tokens"


def test_a_question_begins_no_store_and_writes_nothing(capsys, db, tmp_path):
    missing = str(tmp_path / "nope.db")
    status, _, err = call(capsys, "ask", "prices", "--db", missing)
    assert (status, f"there is no store at {missing}" in err, os.path.exists(missing)) == (2, True, False)
    with open_store(db) as store:
        before = store.stats().rooms
    call(capsys, "ask", "prices", "--db", db)
    with open_store(db) as store:
        assert store.stats().rooms == before


def test_what_is_not_known_is_said(capsys, db):
    said = "nothing here has to do with 'zebras', or it does not fit into 2,000 tokens\n"
    assert call(capsys, "ask", "zebras", "--db", db) == (0, "", said)
    assert call(capsys, "ask", "prices", "--db", db, "--max-tokens", "1")[1] == ""
    status, _, err = call(capsys, "ask", "prices", "--db", db, "--project", "shpo")
    assert status == 2 and "no project 'shpo' (nearest: 'shop')" in err
    assert call(capsys, "ask", "prices", "--db", db, "--max-tokens", "-1")[0] == 2


def test_what_was_edited_is_found_nowhere(capsys, shop, tmp_path):
    db = str(tmp_path / "new.db")
    call(capsys, "ingest", str(shop), "--db", db)
    (shop / "prices.md").write_text(ROUNDING.replace("never truncated", "nor cut"), encoding="utf-8")
    assert call(capsys, "ingest", str(shop), "--db", db)[1].startswith("1 changed, 1 unchanged, 1 skipped")
    for words in (["ask"], ["documents", "search"]):
        assert call(capsys, *words, "truncated", "--db", db)[1] == ""
        assert "nor cut" in call(capsys, *words, "rounded", "--db", db)[1]


@on_a_terminal
def test_a_terminal_gets_whole_pieces_in_its_width(shop, tmp_path):
    db = str(tmp_path / "new.db")
    on_terminal("ingest", str(shop), "--db", db)
    seen, status = on_terminal("ask", "what does the till return of its prices?", "--db", db, columns=50, NO_COLOR="1")
    lines = seen.splitlines()
    assert status == 0
    assert "        return sum(prices)" in lines  # as deep as it stands there
    assert all(len(line) <= 50 for line in lines)
    assert "\x1b[2m" in on_terminal("ask", "prices", "--db", db)[0]
