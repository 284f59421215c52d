"""Imports of what is damaged, edited, newer or no export at all: nothing comes in, or it is said what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil

import exports
import pytest
from exports import bytes_of, rewrite, rows_of, signed

from memstore import Corrupt, Invalid, ReadOnly, SchemaTooNew, open_store

source, exported, other = exports.source, exports.exported, exports.other


def refused(store, folder, error=Corrupt, match=None):
    before = rows_of(store)
    with pytest.raises(error, match=match) as caught:
        store.import_(folder, on_conflict="skip")
    assert rows_of(store) == before
    return str(caught.value)


def test_no_changed_byte_is_taken_in(exported, other, rng):
    for name, data in bytes_of(exported).items():
        for _ in range(3):
            at = rng.randrange(len(data))
            (exported / name).write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
            assert name in refused(other, exported, (Corrupt, SchemaTooNew)) or name == "manifest.json"
            (exported / name).write_bytes(data)
    other.import_(exported)


def test_no_file_may_be_cut_missing_or_more(exported, other):
    for name, data in bytes_of(exported).items():
        (exported / name).write_bytes(data[: len(data) // 2])
        refused(other, exported, match=name)
        (exported / name).unlink()
        refused(other, exported, match=f"{name} is missing")
        (exported / name).write_bytes(data)
    (exported / "chat.more.jsonl").write_text("{}\n")
    refused(other, exported, match="chat.more.jsonl")


def test_swapped_doubled_and_senseless_lines_are_named_even_where_the_manifest_agrees(exported, other, tmp_path):
    changes = {
        "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
        "doubled": lambda lines: [lines[0], lines[0], *lines[1:]],
        "not JSON": lambda lines: [lines[0], b"nonsense\n", *lines[1:]],
        "a list": lambda lines: [lines[0], b"[]\n", *lines[1:]],
        "a column more": lambda lines: [lines[0], lines[1].replace(b'{"activity"', b'{"absurd":1,"activity"'), *lines[2:]],
        "a column less": lambda lines: [lines[0], lines[1].replace(b'"title":"s\xc3\xa9cond",', b""), *lines[2:]],
        "of another type": lambda lines: [lines[0], lines[1].replace(b'"title":"s\xc3\xa9cond"', b'"title":7'), *lines[2:]],
        "true": lambda lines: [lines[0], lines[1].replace(b'"last_seq":6', b'"last_seq":true'), *lines[2:]],
        "too large": lambda lines: [lines[0], lines[1].replace(b'"last_seq":6', b'"last_seq":9223372036854775808'), *lines[2:]],
        "infinite": lambda lines: [lines[0], lines[1].replace(b'"updated_at":1', b'"updated_at":1e999,"x":1'), *lines[2:]],
        "no text": lambda lines: [lines[0], lines[1].replace(b"s\xc3\xa9cond", b"\xff"), *lines[2:]],
        "half a character": lambda lines: [lines[0], lines[1].replace(b"s\xc3\xa9cond", b"\\ud800"), *lines[2:]],
        "twice a column": lambda lines: [lines[0], lines[1].replace(b'"user_id":"bob"', b'"user_id":"bob","user_id":"eve"'), *lines[2:]],
    }
    for what, change in changes.items():
        folder = tmp_path / what
        shutil.copytree(exported, folder)
        rewrite(folder, "chat.conversations.jsonl", change)
        assert bytes_of(folder)["chat.conversations.jsonl"] != bytes_of(exported)["chat.conversations.jsonl"], what
        refused(other, folder, match=r"chat.conversations.jsonl, line 2")
        with open_store() as empty:
            refused(empty, folder, match=r"line 2")


def test_a_row_that_its_table_would_not_take_is_damage_too(exported, other):
    sure = b'"confidence":0.9', b'"confidence":7.5'
    rewrite(exported, "corrections.corrections.jsonl", lambda lines: [line.replace(*sure) for line in lines])
    refused(other, exported, match="corrections.*rules")
    with open_store() as empty:
        refused(empty, exported, match="corrections.*rules")


@pytest.mark.damage
def test_a_log_that_is_no_log_comes_in_and_is_found_out(exported, other):
    rewrite(exported, "audit.audit_log.jsonl", lambda lines: [line.replace(b'\\"event_type\\"', b'\\"event') for line in lines])
    with open_store() as store:
        report = store.import_(exported)
        assert not store.audit.verify().ok
        assert any("the log of the export does not verify" in note for note in report.notes)
    assert any("does not verify" in note for note in other.import_(exported).notes)


def test_rows_that_contradict_each_other_are_refused_whole(exported, other):
    rewrite(exported, "chat.messages.jsonl", lambda lines: [line.replace(b'"id":"m3"', b'"id":"m2"') for line in lines])
    with open_store() as empty:
        refused(empty, exported, match="two rows with one identity")
    rewrite(exported, "chat.conversations.jsonl", lambda lines: lines[1:])
    refused(other, exported, match="in no conversation")


@pytest.mark.parametrize("key", ["store_id", "memstore", "format", "rooms", "sha256"])
def test_a_manifest_that_was_edited_or_lacks_something_is_refused(exported, other, key):
    manifest = json.loads((exported / "manifest.json").read_text())
    (exported / "manifest.json").write_text(json.dumps({**manifest, key: "f" * 32}))
    refused(other, exported, (Corrupt, SchemaTooNew))
    del manifest[key]
    (exported / "manifest.json").write_text(signed(manifest) if key != "sha256" else json.dumps(manifest))
    refused(other, exported, match="manifest.json")


def test_a_manifest_of_other_types_is_damage(exported, tmp_path):
    entry = {"file": "audit.excerpt.jsonl", "rows": 1, "sha256": "0" * 64}
    changes = [
        *[{"store_id": id} for id in (0, None, "", "x" * 32, "a\nb")],
        *[{"user_id": id} for id in (5, None, "", " ", ["a"])],
        *[{"user_id": "ann", "excerpt": {**entry, **change}} for change in ({"file": "../live.db"}, {"file": 7}, {"file": "a\0b"})],
        *[{"memstore": 1}, {"format": True}, {"format": "1"}, {"excerpt": entry}],
        *[{"rooms": {"chat": {"schema": version, "tables": {}}}} for version in (0, True, "1", None, 1.5, [])],
    ]
    said = json.loads((exported / "manifest.json").read_text())
    for change in changes:
        (exported / "manifest.json").write_text(signed({**said, **change}))
        with open_store() as store:
            refused(store, exported, match="manifest.json")
    for change in ({"rows": 0}, {"rows": True}, {"sha256": "0"}, {"file": "evals.messages.jsonl"}):
        rooms = json.loads(json.dumps(said["rooms"]))
        rooms["chat"]["tables"]["messages"].update(change)
        (exported / "manifest.json").write_text(signed({**said, "rooms": rooms}))
        with open_store() as store:
            refused(store, exported, match="manifest.json")
    rooms = json.loads(json.dumps(said["rooms"]))
    rooms["evals"]["tables"]["messages"] = rooms["chat"]["tables"].pop("messages")
    for twice in (rooms, {**rooms, "chat": said["rooms"]["chat"]}):
        (exported / "manifest.json").write_text(signed({**said, "rooms": twice}))
        with open_store() as store:
            refused(store, exported, match="manifest.json")
    (exported / "manifest.json").write_text(signed({**said, "store_id": "0" * 32}))
    with open_store() as store:
        refused(store, exported, match="its manifest of 00000")


@pytest.mark.parametrize("column", ["arrival", "pk"])
@pytest.mark.parametrize("number", [-5, 0, 2**62, 2**63 - 1])
def test_messages_that_are_nowhere_are_refused(exported, other, column, number):
    def moved(lines):
        row = json.loads(lines[-1])
        return [*lines[:-1], json.dumps({**row, column: number}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"]

    rewrite(exported, "chat.messages.jsonl", moved)
    with open_store() as store:
        refused(store, exported)
    refused(other, exported)


@pytest.mark.parametrize("change", [{"last_seq": 1}, {"last_seq": -5}, {"activity": 2**62}, {"pk": 2**40}])
def test_conversations_that_contradict_their_messages_are_refused(exported, change):
    def edited(lines):
        rows = [{**json.loads(line), **(change if number == len(lines) - 1 else {})} for number, line in enumerate(lines)]
        return [json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows]

    rewrite(exported, "chat.conversations.jsonl", edited)
    with open_store() as store:
        refused(store, exported)


@pytest.mark.parametrize(("name", "column"), [("audit.audit_log", "seq"), ("backups.token_counters", "thread_number")])
def test_numbers_after_which_there_is_no_other_are_refused(exported, other, name, column):
    def last(lines):
        row = {**json.loads(lines[-1]), column: 2**63 - 1}
        return [*lines[:-1], json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"]

    rewrite(exported, f"{name}.jsonl", last)
    refused(other, exported, match=column)


def test_a_newer_export_is_said_to_be_newer(exported, other):
    manifest = json.loads((exported / "manifest.json").read_text())
    for change in ({"format": 2}, {"rooms": {**manifest["rooms"], "dreams": {"schema": 1, "tables": {}}}}):
        (exported / "manifest.json").write_text(signed({**manifest, **change}))
        refused(other, exported, SchemaTooNew, match="upgrade memstore")
    manifest["rooms"]["chat"]["schema"] += 1
    (exported / "manifest.json").write_text(signed(manifest))
    refused(other, exported, SchemaTooNew, match="chat")


def test_a_link_or_a_folder_in_the_place_of_a_file_is_not_followed(source, exported, other):
    place = exported / "chat.messages.jsonl"
    place.rename(exported.parent / "elsewhere")
    place.symlink_to(exported.parent / "elsewhere")
    refused(other, exported, match="no regular file")
    place.unlink()
    place.mkdir()
    refused(other, exported, match="no regular file")


def test_a_link_to_the_store_s_own_file_is_never_opened(exported, other):
    place = exported / "chat.messages.jsonl"
    for side in ("", "-wal", "-shm"):
        place.unlink()
        os.link(f"{other.path}{side}", place)
        with pytest.raises(Corrupt, match="a file of this store itself"):
            other.import_(exported)


def test_files_that_change_between_the_two_readings_undo_the_import(exported, other):
    place = exported / "chat.messages.jsonl"
    data = place.read_bytes()

    def meddle(done, total):
        if done > total // 2:
            place.write_bytes(data.replace(b"amber", b"umber"))

    before = rows_of(other)
    with pytest.raises(Corrupt, match="messages"):
        other.import_(exported, progress=meddle)
    assert rows_of(other) == before


def test_what_is_no_export_and_where_it_cannot_go(exported, other, tmp_path):
    with pytest.raises(Invalid, match="no folder"):
        other.import_(tmp_path / "nowhere")
    with pytest.raises(Corrupt, match="no whole export"):
        (tmp_path / "empty").mkdir()
        other.import_(tmp_path / "empty")
    with pytest.raises(Invalid, match="on_conflict"):
        other.import_(exported, on_conflict="merge")
    with other.transaction(), pytest.raises(Invalid, match=r"transaction\(\)"):
        other.import_(exported)
    with open_store(other.path, read_only=True) as reader, pytest.raises(ReadOnly):
        reader.import_(exported)
