"""Exports: all of a store as lines in a folder, the same bytes for the same state, there whole or not at all."""

from __future__ import annotations

import base64
import errno
import json
import os
import pathlib
import sqlite3
import stat
import subprocess
import sys

import pytest
from exports import bytes_of, fill

from memstore import DiskFull, Exists, ExportReceipt, Invalid, NeedsUpgrade, SchemaTooNew, open_store
from memstore.chat.tables import SCHEMA
from memstore.testing import FakeClock
from memstore.transfer import out

PACKAGE = pathlib.Path(out.__file__).resolve().parents[2]


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_export_is_a_folder_of_lines_and_a_manifest_that_names_them(store, tmp_path):
    fill(store)
    receipt = store.export(tmp_path / "out")
    assert isinstance(receipt, ExportReceipt)
    assert (receipt.path, receipt.store_id) == (str(tmp_path / "out"), store.store_id)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    entries = [entry for room in manifest["rooms"].values() for entry in room["tables"].values()]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(["manifest.json", *(entry["file"] for entry in entries)])
    assert receipt.rows == {table: entry["rows"] for room in manifest["rooms"].values() for table, entry in room["tables"].items()}
    assert receipt.bytes == sum(len(data) for data in bytes_of(tmp_path / "out").values())
    assert (manifest["format"], manifest["store_id"]) == (1, store.store_id)
    assert manifest["rooms"]["chat"]["schema"] == SCHEMA.version
    for entry in entries:
        data = bytes_of(tmp_path / "out")[entry["file"]]
        assert data.count(b"\n") == entry["rows"] > 0


def test_a_line_is_canonical_and_says_every_value_exactly(file_store, tmp_path):
    fill(file_store)
    file_store.export(tmp_path / "out")
    for name, data in bytes_of(tmp_path / "out").items():
        for line in data.decode().splitlines() if name != "manifest.json" else ():
            row = json.loads(line)
            assert line == json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (run,) = lines_of(tmp_path / "out" / "evals.model_runs.jsonl")
    assert run["utility_score"] == 0.1 + 0.2
    assert "日本語" in (tmp_path / "out" / "chat.messages.jsonl").read_text(encoding="utf-8")
    (state,) = lines_of(tmp_path / "out" / "audit.audit_state.jsonl")
    genesis = file_store.query("SELECT genesis FROM audit_state")[0]["genesis"]
    assert base64.b64decode(state["genesis"]["$base64"]) == genesis


def test_rows_come_in_the_order_of_their_keys_and_derived_ones_stay_behind(file_store, tmp_path):
    fill(file_store)
    file_store.export(tmp_path / "out")
    for table in ("chat.messages", "corrections.corrections", "audit.audit_log"):
        key = "seq" if table == "audit.audit_log" else "pk"
        keys = [row[key] for row in lines_of(tmp_path / "out" / f"{table}.jsonl")]
        assert keys == sorted(keys)
    names = set(os.listdir(tmp_path / "out"))
    derived = ("corrections.correction_words", "audit.audit_places", "keywords.keyword_segments", "keywords.keyword_state")
    assert not names & {f"{table}.jsonl" for table in derived}
    assert "subject_key" not in lines_of(tmp_path / "out" / "corrections.corrections.jsonl")[0]
    assert all(row["removed"] == 1 for row in lines_of(tmp_path / "out" / "keywords.keyword_gone.jsonl"))


def test_a_table_without_rows_has_no_file_and_an_empty_store_only_a_manifest(store, tmp_path):
    store.export(tmp_path / "nothing")
    assert os.listdir(tmp_path / "nothing") == ["manifest.json"]
    store.chat.create_conversation(id="c1")
    store.export(tmp_path / "one")
    assert sorted(os.listdir(tmp_path / "one")) == ["chat.arrivals.jsonl", "chat.conversations.jsonl", "manifest.json"]


def test_the_same_state_gives_the_same_bytes_wherever_and_whenever(tmp_path, store_clock):
    with open_store(tmp_path / "a.db", clock=store_clock) as store:
        fill(store)
        store.export(tmp_path / "one")
        store.snapshot(tmp_path / "b.db")
        store_clock.advance(1000.0)
        store.keywords.compact()
        store.optimize()
        store.export(tmp_path / "two")
    with open_store(tmp_path / "b.db", read_only=True) as copy:
        copy.export(tmp_path / "three")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") == bytes_of(tmp_path / "three")
    everything = b"".join(bytes_of(tmp_path / "one").values())
    assert str(tmp_path).encode() not in everything
    assert os.uname().nodename.encode() not in (tmp_path / "one" / "manifest.json").read_bytes()


def test_only_the_owner_may_read_an_export(file_store, tmp_path):
    fill(file_store)
    file_store.export(tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o600}


def test_it_takes_one_state_however_much_is_written_meanwhile(file_store, tmp_path, monkeypatch):
    monkeypatch.setattr(out, "PAGE_ROWS", 2)
    fill(file_store)
    file_store.export(tmp_path / "before")
    with open_store(file_store.path) as other:

        def write(done, total):
            other.chat.append("c1", "user", f"while {done} of {total} rows are out")
            other.audit.append("query")

        file_store.export(tmp_path / "during", progress=write)
    assert bytes_of(tmp_path / "before") == bytes_of(tmp_path / "during")


def test_progress_ends_with_all_rows(file_store, tmp_path):
    fill(file_store)
    told = []
    receipt = file_store.export(tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (sum(receipt.rows.values()),) * 2
    assert told == sorted(told)


@pytest.mark.parametrize("make", ["folder", "file", "link"])
def test_what_is_there_is_never_replaced(file_store, tmp_path, make):
    place = tmp_path / "out"
    {"folder": place.mkdir, "file": place.touch, "link": lambda: place.symlink_to("nowhere")}[make]()
    with pytest.raises(Exists, match="exists already"):
        file_store.export(place)


def test_a_missing_folder_and_a_transaction_are_refused(store, tmp_path):
    with pytest.raises(Invalid, match="folder that does not exist"):
        store.export(tmp_path / "no" / "out")
    with store.transaction(), pytest.raises(Invalid, match=r"transaction\(\)"):
        store.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_between_pages_leaves_nothing(file_store, tmp_path):
    fill(file_store)
    left = sorted(os.listdir(tmp_path))

    def strike(done, total):
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file_store.export(tmp_path / "out", progress=strike)
    assert sorted(os.listdir(tmp_path)) == left


def test_a_full_disk_is_said_and_leaves_nothing(file_store, tmp_path, monkeypatch):
    fill(file_store)
    left = sorted(os.listdir(tmp_path))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="out"):
        file_store.export(tmp_path / "out")
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == left
    file_store.export(tmp_path / "out")


@pytest.mark.damage
def test_a_room_of_a_newer_memstore_is_not_left_out_unseen(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        store.chat.create_conversation(id="c1")
    raw = sqlite3.connect(tmp_path / "agent.db")
    with raw:
        raw.execute("INSERT INTO schema_version(room, version, digest) VALUES ('dreams', 1, 'x')")
    raw.close()
    with open_store(tmp_path / "agent.db") as store, pytest.raises(SchemaTooNew, match="dreams"):
        store.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.damage
def test_a_room_of_an_older_memstore_in_a_read_only_store_is_said_to_be_one(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        store.chat.create_conversation(id="c1")
    raw = sqlite3.connect(tmp_path / "agent.db")
    with raw:
        raw.execute("UPDATE schema_version SET version = version - 1, digest = 'x' WHERE room = 'chat'")
    raw.close()
    with open_store(tmp_path / "agent.db", read_only=True) as store, pytest.raises(NeedsUpgrade, match="read-only"):
        store.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- what belongs to one user -------------------------------------------------------------------------------------------


def test_an_export_of_a_user_has_what_belongs_to_that_user_and_nothing_of_others(store, tmp_path):
    fill(store)
    store.export(tmp_path / "out", user_id="ann")
    folder = tmp_path / "out"
    assert json.loads((folder / "manifest.json").read_text())["user_id"] == "ann"
    assert {row["user_id"] for row in lines_of(folder / "chat.conversations.jsonl")} == {"ann"}
    assert [row["id"] for row in lines_of(folder / "corrections.corrections.jsonl")] == ["k1"]
    assert [row["rejected"] for row in lines_of(folder / "corrections.correction_rejections.jsonl")] == ["floor"]
    assert [row["id"] for row in lines_of(folder / "backups.context_backups.jsonl")] == ["b1"]
    assert [row["id"] for row in lines_of(folder / "evals.assertion_events.jsonl")] == ["a1"]
    assert [row["item_id"] for row in lines_of(folder / "keywords.keyword_items.jsonl")] == ["n1", "m1"]
    everything = b"".join(bytes_of(folder).values()).decode()
    for of_others in ("bob", "basalt", "snake case", "sécond", "his own"):
        assert of_others not in everything, of_others


def test_the_events_that_name_a_user_come_as_an_excerpt_to_be_read(store, tmp_path):
    fill(store)
    store.export(tmp_path / "out", user_id="bob")
    (event,) = lines_of(tmp_path / "out" / "audit.excerpt.jsonl")
    assert (event["event_type"], event["actor"], event["note"]) == ("query", "bob", "his own")
    assert not any(name.startswith("audit.audit") for name in os.listdir(tmp_path / "out"))


def test_an_export_of_a_user_without_a_chat_or_without_anything(store, tmp_path):
    store.corrections.add("rounding", "half even", user_id="ann", id="k1")
    store.backups.track("c1", "coder", "text")
    assert store.export(tmp_path / "ann", user_id="ann").rows == {"corrections": 1}
    assert store.export(tmp_path / "eve", user_id="eve").rows == {}


# -- size ---------------------------------------------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of a process is read from /proc")
def test_a_million_rows_take_no_more_memory_than_a_thousand(tmp_path):
    with open_store(tmp_path / "agent.db", clock=FakeClock()) as store:
        for number in range(100):
            store.chat.create_conversation(id=f"c{number}")
            store.chat.append_many(f"c{number}", [{"role": "user", "content": f"message {each} of {number}"} for each in range(10_000)])

    def peak(work):
        """Kilobytes that a process has held at most."""
        script = f"""
import re
from memstore import open_store
from memstore.keywords import KeywordIndex
KeywordIndex.catch_up = lambda self: None  # it merges segments in memory, as after every append
{work}
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""
        where = {"cwd": tmp_path, "env": {"PYTHONPATH": str(PACKAGE)}}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, **where)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert peak("with open_store('agent.db') as store: store.export('out')") < 60_000
    assert peak("with open_store('again.db') as store: assert store.import_('out').added['messages'] == 1_000_000") < 60_000
