"""What verify() says to each way of tampering with the log, unkeyed and keyed, with and without anchors kept elsewhere.

`db` is the tamperer's own connection; he knows the format, so he leaves the triggers alone and uses a permit. The same files
are given to the independent verifier in examples/.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib.util
import json
import pathlib
import shutil
import sqlite3

import pytest

from memstore import open_store
from memstore.kernel import ADVICE, Corrupt, Invalid
from memstore.testing import FakeClock

pytestmark = pytest.mark.damage
KEY = b"kept on another machine"
ROWS = 120
OUTSIDER = pathlib.Path(__file__).parents[1] / "examples" / "verify_without_memstore.py"
LINK = b"memstore audit 1 link\0"


def outsider(path, anchors, key):
    spec = importlib.util.spec_from_file_location("outsider", OUTSIDER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with contextlib.closing(sqlite3.connect(path)) as db:
        return module.verify(db, anchors, key)


def write(path, key, rows=ROWS):
    """A log of `rows` events a second apart, and its anchors at 40, 100 and the end."""
    anchors, clock = [], FakeClock()
    with open_store(path, audit_key=key, clock=clock) as store:
        for number in range(1, rows + 1):
            clock.advance(1.25)
            part = {"actor": "ada", "entity_id": f"e-{number}", "details": {"n": number, "café": 1}, "note": "fine"}
            store.audit.append("query", field=f"row-{number}-flip-me", stream="main", **(part if number % 4 else {}))
            if number in (40, 100, rows):
                anchors.append(str(store.audit.head()))
    return anchors


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Name -> (path, key, anchors)."""
    folder = tmp_path_factory.mktemp("originals")
    made = {}
    for name, key in (("H", None), ("K", KEY), ("other H", None), ("other K", KEY), ("older H", None), ("older K", KEY)):
        path = folder / f"{name}.db"
        made[name] = (path, key, write(path, key))
    for mode in "HK":  # the same store, 20 events earlier
        path, key, _ = made[f"older {mode}"]
        grown = folder / f"grown {mode}.db"
        shutil.copy(path, grown)
        with open_store(grown, audit_key=key) as store:
            store.audit.append_many([{"event_type": "later"}] * 20)
            made[f"grown {mode}"] = (grown, key, [str(store.audit.head())])
    return made


def allowed(change):
    """A change under a permit that is taken away again."""

    def tamper(db, store_id):
        db.execute("INSERT INTO audit_permit(reason) VALUES ('mine')")
        if isinstance(change, str):
            db.execute(change)
        else:
            change(db, store_id)
        db.execute("DELETE FROM audit_permit")

    return tamper


def rechain(db, store_id, start=1):
    """Compute the chain anew from a row on, as anybody can who has no key but the format."""
    genesis = hashlib.sha256(b"memstore audit 1 genesis\0sha256\0" + store_id.encode()).digest()
    row = db.execute("SELECT hash FROM audit_log WHERE seq = ?", (start - 1,)).fetchone()
    before = row[0] if row else genesis
    for seq, body in db.execute("SELECT seq, body FROM audit_log WHERE seq >= ? ORDER BY seq", (start,)).fetchall():
        event = json.loads(body)
        body = body.replace(f'{{"seq":{event["seq"]},', f'{{"seq":{seq},')
        before = hashlib.sha256(LINK + before + body.encode()).digest()
        db.execute("UPDATE audit_log SET body = ?, hash = ? WHERE seq = ?", (body, before, seq))


def renumber(db, first, by):
    order = "DESC" if by > 0 else "ASC"
    for (seq,) in db.execute(f"SELECT seq FROM audit_log WHERE seq >= ? ORDER BY seq {order}", (first,)).fetchall():
        db.execute("UPDATE audit_log SET seq = ? WHERE seq = ?", (seq + by, seq))


def swap(db, columns):
    one, two = (db.execute(f"SELECT {columns} FROM audit_log WHERE seq = ?", (seq,)).fetchone() for seq in (50, 51))
    marks = ", ".join(f"{name} = ?" for name in columns.split(", "))
    for seq, values in ((50, two), (51, one)):
        db.execute(f"UPDATE audit_log SET {marks} WHERE seq = ?", (*values, seq))


ALL = "body, hash, refs, payload"


def move_a_part(db, store_id):
    """From 51 to 52, which had none."""
    refs, payload = db.execute("SELECT refs, payload FROM audit_log WHERE seq = 51").fetchone()
    db.execute("UPDATE audit_log SET refs = NULL, payload = NULL WHERE seq = 51")
    db.execute("UPDATE audit_log SET refs = ?, payload = ? WHERE seq = 52", (refs, payload))


def join_parts(db, store_id):
    """Of 50 and 51 in 50, parted by the sign that parts them where pages are read as one text."""
    (first, second), (third, fourth) = db.execute("SELECT refs, payload FROM audit_log WHERE seq IN (50, 51)").fetchall()
    db.execute("UPDATE audit_log SET refs = ?, payload = ? WHERE seq = 50", (f"{first}\n{second}\x1e{third}", fourth))
    db.execute("UPDATE audit_log SET refs = NULL, payload = NULL WHERE seq = 51")


def shift_hashes(db, store_id):
    (one,), (two,) = db.execute("SELECT hash FROM audit_log WHERE seq IN (50, 51)").fetchall()
    for seq, hash in ((50, one[:-1]), (51, one[-1:] + two)):
        db.execute("UPDATE audit_log SET hash = ? WHERE seq = ?", (hash, seq))


def delete_and_renumber(db, store_id):
    db.execute("DELETE FROM audit_log WHERE seq = 60")
    renumber(db, 61, -1)


def cut_front_and_rebuild(db, store_id):
    db.execute("DELETE FROM audit_log WHERE seq <= 10")
    renumber(db, 11, -10)
    rechain(db, store_id)


def insert_in_the_middle(db, store_id):
    renumber(db, 60, 1)
    db.execute(f"INSERT INTO audit_log(seq, {ALL}) SELECT 60, {ALL} FROM audit_log WHERE seq = 10")


def append_garbage(db, store_id):
    body = '{"seq":121,"created_at":1800000000.0,"event_type":"forged"}'
    db.execute("INSERT INTO audit_log(seq, body, hash) VALUES (121, ?, zeroblob(32))", (body,))


def append_well(db, store_id):
    append_garbage(db, store_id)
    rechain(db, store_id, 121)


def swap_and_rebuild(db, store_id):
    swap(db, ALL)
    rechain(db, store_id, 50)


def edit_and_rebuild(db, store_id):
    db.execute("UPDATE audit_log SET body = replace(body, 'query', 'quest') WHERE seq = 30")
    rechain(db, store_id, 30)


def replay(db, store_id):
    db.execute(f"INSERT INTO audit_log(seq, {ALL}) SELECT 121, {ALL} FROM audit_log WHERE seq = 10")


def take_the_mac_off(db, store_id):
    body, before = db.execute("SELECT e.body, p.hash FROM audit_log e, audit_log p WHERE e.seq = 120 AND p.seq = 119").fetchone()
    db.execute("UPDATE audit_log SET hash = ? WHERE seq = 120", (hashlib.sha256(LINK + before + body.encode()).digest(),))


def forge_a_prune(db, store_id):
    (upto_hash,) = db.execute("SELECT hash FROM audit_log WHERE seq = 10").fetchone()
    seal = f'{{"first":1,"upto":10,"count":10,"hash":"{upto_hash.hex()}"}}'
    body = f'{{"seq":121,"created_at":1800000000.0,"event_type":"audit.prune","seal":{seal}}}'
    db.execute("INSERT INTO audit_log(seq, body, hash) VALUES (121, ?, zeroblob(32))", (body,))
    rechain(db, store_id, 121)
    db.execute("DELETE FROM audit_log WHERE seq <= 10")
    db.execute("UPDATE audit_state SET sealed_by = 121")


def replace_by_a_view(db, store_id):
    db.execute("DROP VIEW audit_events")
    db.execute("CREATE TABLE real_log AS SELECT * FROM audit_log")
    db.execute("DROP TABLE audit_log")
    db.execute("CREATE VIEW audit_log AS SELECT * FROM real_log WHERE seq <> 50")


def weaken_a_trigger(db, store_id):
    db.execute("DROP TRIGGER audit_log__no_update")
    db.execute("CREATE TRIGGER audit_log__no_update BEFORE UPDATE ON audit_log WHEN 0 BEGIN SELECT 1; END")


def drop_the_log(db, store_id):
    db.execute("DROP TABLE audit_log")


def reorder_keys(db, store_id):
    (body,) = db.execute("SELECT body FROM audit_log WHERE seq = 50").fetchone()
    reordered = dict(reversed(json.loads(body).items()))
    db.execute("UPDATE audit_log SET body = ? WHERE seq = 50", (json.dumps(reordered, separators=(",", ":")),))


def rebuild_all(db, store_id):
    db.execute("UPDATE audit_log SET body = replace(body, 'query', 'quest')")
    rechain(db, store_id)


def state(sql):
    return lambda db, store_id: db.execute(sql)


def at_50(assignment):
    return allowed(f"UPDATE audit_log SET {assignment} WHERE seq = 50")


# number and name: (tampering, findings unkeyed, findings keyed, what anchors add)
OK: set[str] = set()
CASES = {
    "1 nothing": (lambda db, store_id: None, OK, OK, OK),
    "2 payload edited": (at_50("payload = replace(payload, 'fine', 'bad!')"), {"hash"}, {"hash"}, OK),
    "2 body edited": (at_50("body = replace(body, 'query', 'quest')"), {"hash"}, {"hash"}, OK),
    "3 actor edited": (at_50("refs = replace(refs, 'ada', 'eve')"), {"hash"}, {"hash"}, OK),
    "4 time edited": (at_50("body = replace(body, '\"created_at\":17', '\"created_at\":18')"), {"hash"}, {"hash"}, OK),
    "5 absent made empty": (at_50("refs = replace(refs, '}', ',\"user_id\":\"\"}')"), {"hash"}, {"hash"}, OK),
    "5 NULL made empty": (at_50("payload = '', refs = refs || char(10) || payload"), {"hash"}, {"hash"}, OK),
    "6 payload made a blob": (at_50("payload = CAST(payload AS BLOB)"), {"type"}, {"type"}, OK),
    "6 body emptied": (at_50("body = ''"), {"hash"}, {"hash"}, OK),
    "7 a letter moved from type to actor": (
        at_50("body = replace(body, 'query', 'quer'), refs = replace(refs, 'ada', 'yada')"), {"hash"}, {"hash"}, OK,
    ),
    "8 text moved between references": (
        at_50("refs = replace(replace(refs, '\"ada\"', '\"adae\"'), '\"e-50\"', '\"-50\"')"), {"hash"}, {"hash"}, OK,
    ),
    "8 text moved from the payload": (at_50("refs = refs || '{', payload = substr(payload, 2)"), {"hash"}, {"hash"}, OK),
    "8 text moved to the payload": (at_50("payload = '}' || payload, refs = rtrim(refs, '}')"), {"hash"}, {"hash"}, OK),
    "8 the payload moved": (at_50("refs = refs || char(10) || payload, payload = NULL"), {"hash"}, {"hash"}, OK),
    "8 the references moved": (at_50("refs = '', payload = refs || char(10) || payload"), {"hash"}, {"hash"}, OK),
    "8 a part moved to the event beside it": (allowed(move_a_part), {"hash"}, {"hash"}, OK),
    "8 two parts made one": (allowed(join_parts), {"hash"}, {"hash"}, OK),
    "8 a byte moved between hashes": (allowed(shift_hashes), {"hash", "type"}, {"hash", "type"}, OK),
    "8 the payload moved, and a sign": (
        at_50("refs = refs || char(10) || payload || char(30), payload = NULL"), {"hash"}, {"hash"}, OK,
    ),
    "8 two events made one": (
        at_50("body = body || char(30) || (SELECT body FROM audit_log WHERE seq = 51), refs = refs || char(30) || payload"),
        {"hash"}, {"hash"}, OK,
    ),
    "9 homoglyph": (at_50("refs = replace(refs, 'ada', 'аda')"), {"hash"}, {"hash"}, OK),
    "9 other normal form": (at_50("payload = replace(payload, 'é', 'e' || char(769))"), {"hash"}, {"hash"}, OK),
    "10 NUL appended": (at_50("refs = refs || char(0)"), {"hash"}, {"hash"}, OK),
    "11 keys of the body reordered": (allowed(reorder_keys), {"hash"}, {"hash"}, OK),
    "12 white space in the payload": (at_50("payload = replace(payload, ':', ': ')"), {"hash"}, {"hash"}, OK),
    "13 a row deleted": (allowed("DELETE FROM audit_log WHERE seq = 50"), {"gap"}, {"gap"}, OK),
    "14 deleted and renumbered": (allowed(delete_and_renumber), {"hash"}, {"hash"}, {"rewritten", "truncated"}),
    "15 the first row deleted": (allowed("DELETE FROM audit_log WHERE seq = 1"), {"unsealed_prune"}, {"unsealed_prune"}, OK),
    "16 front cut, rebuilt": (allowed(cut_front_and_rebuild), OK, {"mac"}, {"rewritten", "truncated"}),
    "17 tail cut": (allowed("DELETE FROM audit_log WHERE seq > 115"), OK, OK, {"truncated"}),
    "18 tail cut below an anchor": (allowed("DELETE FROM audit_log WHERE seq > 90"), OK, OK, {"truncated"}),
    "19 emptied": (allowed("DELETE FROM audit_log"), OK, OK, {"truncated"}),
    "20 dropped": (drop_the_log, {"missing"}, {"missing"}, OK),
    "21 a row inserted": (allowed(insert_in_the_middle), {"hash"}, {"hash"}, {"rewritten"}),
    "22 a row appended badly": (append_garbage, {"hash"}, {"hash"}, OK),
    "23 a row appended well": (allowed(append_well), OK, {"mac"}, OK),
    "24 bodies swapped": (allowed(lambda db, store_id: swap(db, "body")), {"hash"}, {"hash"}, OK),
    "25 rows swapped": (allowed(lambda db, store_id: swap(db, ALL)), {"hash"}, {"hash"}, OK),
    "26 rows swapped, rebuilt": (allowed(swap_and_rebuild), {"clock"}, {"mac"}, {"rewritten"}),
    "27 edited, tail rebuilt": (allowed(edit_and_rebuild), OK, {"mac"}, {"rewritten"}),
    "28 all rebuilt": (allowed(rebuild_all), OK, {"mac"}, {"rewritten"}),
    "29 an old row replayed": (replay, {"hash"}, {"hash"}, OK),
    "33 store id edited": (
        state("UPDATE meta SET value = '00000000000000000000000000000000' WHERE key = 'store_id'"),
        {"hash", "wrong_store"},
        {"hash", "wrong_store"},
        OK,
    ),
    "34 state removed": (state("DELETE FROM audit_state"), {"store_id"}, {"store_id"}, OK),
    "34 genesis edited": (state("UPDATE audit_state SET genesis = zeroblob(32)"), {"hash"}, {"mac"}, OK),
    "35 moved to another stream": (at_50("body = replace(body, '\"stream\":\"main\"', '\"stream\":\"side\"')"), {"hash"}, {"hash"}, OK),
    "36 last hash zeroed": (allowed("UPDATE audit_log SET hash = zeroblob(32) WHERE seq = 120"), {"hash"}, {"hash"}, {"rewritten"}),
    "37 last hash cut": (allowed("UPDATE audit_log SET hash = substr(hash, 1, 31) WHERE seq = 120"), {"type"}, {"type"}, {"rewritten"}),
    "38 trigger dropped": (state("DROP TRIGGER audit_log__no_delete"), {"schema"}, {"schema"}, OK),
    "39 trigger weakened": (weaken_a_trigger, {"schema"}, {"schema"}, OK),
    "40 replaced by a view": (replace_by_a_view, {"missing"}, {"missing"}, OK),
    "41 front deleted": (allowed("DELETE FROM audit_log WHERE seq <= 10"), {"unsealed_prune"}, {"unsealed_prune"}, OK),
    "42 front deleted, seal forged": (allowed(forge_a_prune), {"prune_unanchored"}, {"mac"}, OK),
    "a permit left behind": (state("INSERT INTO audit_permit(reason) VALUES ('mine')"), {"permit"}, {"permit"}, OK),
    "digest and part wiped": (at_50("refs = NULL, payload = NULL"), {"hash"}, {"hash"}, OK),
    "redacted without an event": (at_50("refs = '', payload = NULL"), {"hash"}, {"hash"}, OK),
    "salt changed": (at_50("refs = replace(refs, substr(refs, 10, 32), hex(zeroblob(16)))"), {"hash"}, {"hash"}, OK),
    "the salt alone wiped": (at_50("refs = ''"), {"hash"}, {"hash"}, OK),
    "the digest itself as a payload": (at_50("payload = substr(body, -66, 64), refs = NULL"), {"hash"}, {"hash"}, OK),
    "references made a number": (at_50("refs = 5"), {"hash"}, {"hash"}, OK),
    "payload made a number": (at_50("payload = 5"), {"type"}, {"type"}, OK),
    "text that nests without end": (
        at_50("body = body || ',\"redacts\":[' || replace(hex(zeroblob(99999)), '0', '[')"), {"hash"}, {"hash"}, OK,
    ),
    "a number of 5,000 digits": (
        at_50("body = body || ',\"project\":\"p\",\"project_seq\":' || replace(hex(zeroblob(2500)), '0', '9')"), {"hash"}, {"hash"}, OK,
    ),
    "a row before the first": (state("INSERT INTO audit_log(seq, body, hash) VALUES (0, '{}', zeroblob(32))"), {"hash"}, {"hash"}, OK),
    "a row with a number below 0": (
        state("INSERT INTO audit_log(seq, body, hash) SELECT -7, body, hash FROM audit_log WHERE seq = 40"), {"hash"}, {"hash"}, OK,
    ),
    "key mark changed": (state("UPDATE audit_state SET keyed = 1 - keyed"), {"mac"}, {"mac"}, OK),
    "content added to a bare event": (allowed("UPDATE audit_log SET payload = '{}' WHERE seq = 40"), {"hash"}, {"hash"}, OK),
}


def tampered(originals, mode, tmp_path, tamper):
    """A copy of the log with something done to it."""
    path, key, anchors = originals[mode]
    target = tmp_path / "tampered.db"
    shutil.copy(path, target)
    store_id = anchors[0].split()[0].removeprefix("memstore/")
    db = sqlite3.connect(target)
    with db:
        tamper(db, store_id)
    db.close()
    return target, key, anchors


def kinds(path, key, anchors):
    """Findings of ours, all but the one that is always there without an anchor; the outsider must agree on the verdict."""
    with open_store(path, read_only=True, audit_key=key) as store:
        report = store.audit.verify(anchors=anchors)
    assert report.ok == all(finding.kind in ADVICE for finding in report.findings)
    found = {finding.kind for finding in report.findings}
    assert ("unanchored" in found) == (report.anchored_to is None)
    foreign = outsider(path, anchors, key)
    assert bool(foreign) == (not report.ok), (foreign, report.findings)
    return found - {"unanchored"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", ["H", "K"])
def test_each_way_of_tampering_has_its_verdict(originals, tmp_path, mode, name):
    tamper, unkeyed, keyed, more = CASES[name]
    path, key, anchors = tampered(originals, mode, tmp_path, tamper)
    expected = keyed if mode == "K" else unkeyed
    assert kinds(path, key, []) == expected
    if not expected & {"missing", "wrong_store"}:
        assert kinds(path, key, anchors) == expected | more
    elif "wrong_store" in expected:
        assert "wrong_store" in kinds(path, key, anchors)


@pytest.mark.parametrize("mode", ["H", "K"])
def test_30_a_row_of_another_store_with_the_same_key_is_found(originals, tmp_path, mode):
    def steal(db, store_id):
        db.execute("ATTACH ? AS other", (str(originals[f"other {mode}"][0]),))
        db.execute(f"INSERT INTO main.audit_log(seq, {ALL}) SELECT 121, {ALL} FROM other.audit_log WHERE seq = 120")

    path, key, anchors = tampered(originals, mode, tmp_path, steal)
    assert kinds(path, key, anchors) == {"hash"}


@pytest.mark.parametrize("mode", ["H", "K"])
def test_31_the_rows_of_another_store_are_found(originals, tmp_path, mode):
    @allowed
    def transplant(db, store_id):
        db.execute("DELETE FROM main.audit_log")
        with contextlib.closing(sqlite3.connect(originals[f"other {mode}"][0])) as other:
            for row in other.execute(f"SELECT seq, {ALL} FROM audit_log"):
                db.execute(f"INSERT INTO audit_log(seq, {ALL}) VALUES (?, ?, ?, ?, ?)", row)

    path, key, anchors = tampered(originals, mode, tmp_path, transplant)
    assert kinds(path, key, []) == {"hash"}
    assert kinds(path, key, anchors) == {"hash", "rewritten"}


@pytest.mark.parametrize("mode", ["H", "K"])
def test_32_the_file_of_another_store_is_known_by_the_anchors(originals, mode):
    path, key, _ = originals[f"other {mode}"]
    assert kinds(path, key, originals[mode][2]) == {"wrong_store"}


@pytest.mark.parametrize("mode", ["H", "K"])
@pytest.mark.parametrize("mask", [0x01, 0x80])
@pytest.mark.parametrize("needle", [b"row-50-flip-me", b'"details":{"caf', b"ada"])
def test_43_a_flipped_bit_in_the_file_is_found_by_number(originals, tmp_path, mode, mask, needle):
    path, key, anchors = originals[mode]
    raw = bytearray(path.read_bytes())
    at = raw.index(needle, raw.index(b"row-50-flip-me") if needle != b"ada" else raw.index(b'"e-50","actor":"ada"') + 15) + 1
    raw[at] ^= mask
    target = tmp_path / "flipped.db"
    target.write_bytes(raw)
    with open_store(target, read_only=True, audit_key=key) as store:
        findings = [finding for finding in store.audit.verify(anchors=anchors).findings if finding.kind not in ADVICE]
    assert [finding.kind for finding in findings] == ["hash"]
    assert 48 <= findings[0].seq <= 52
    assert outsider(target, anchors, key)


@pytest.mark.parametrize("mode", ["H", "K"])
def test_44_an_older_copy_is_fine_until_an_anchor_is_asked(originals, mode):
    path, key, _ = originals[f"older {mode}"]
    assert kinds(path, key, []) == OK
    assert kinds(path, key, originals[f"grown {mode}"][2]) == {"truncated"}


def test_45_a_link_made_without_the_key_is_a_mac_finding(originals, tmp_path):
    path, key, anchors = tampered(originals, "K", tmp_path, allowed(take_the_mac_off))
    assert kinds(path, key, []) == {"mac"}
    assert kinds(path, key, anchors) == {"mac", "rewritten"}


def test_46_the_wrong_key_is_one_mac_finding_and_cannot_append(originals, tmp_path):
    path, _, anchors = tampered(originals, "K", tmp_path, lambda db, store_id: None)
    with open_store(path, audit_key=b"another") as store:
        findings = [finding for finding in store.audit.verify().findings if finding.kind not in ADVICE]
        assert [(finding.kind, finding.seq) for finding in findings] == [("mac", None)]
        with pytest.raises(Invalid, match="audit_key"):
            store.audit.append("query")
        assert store.audit.head().seq == ROWS


@pytest.mark.parametrize("mode", ["H", "K"])
def test_50_a_real_prune_passes(originals, tmp_path, mode):
    path, key, anchors = tampered(originals, mode, tmp_path, lambda db, store_id: None)
    with open_store(path, audit_key=key) as store:
        assert store.audit.prune(101, reason="older than a year") == 100
        later = str(store.audit.head())
    advice = {"prune_unanchored"} if mode == "H" else OK
    assert kinds(path, key, []) == advice
    assert kinds(path, key, anchors) == advice | {"anchor_before_range"}  # 40 is gone, 100 is the cut itself, 120 is there
    assert kinds(path, key, [anchors[1]]) == advice
    assert kinds(path, key, [later]) == OK


@pytest.mark.parametrize("mode", ["H", "K"])
def test_52_to_54_copies_pass(originals, tmp_path, mode):
    path, key, anchors = originals[mode]
    with open_store(path, audit_key=key) as store:
        store.snapshot(tmp_path / "snapshot.db")
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(tmp_path / "vacuumed.db"),))
    loaded = sqlite3.connect(tmp_path / "loaded.db")
    loaded.executescript("\n".join(source.iterdump()))
    for pragma in ("application_id", "user_version"):
        loaded.execute(f"PRAGMA {pragma} = {source.execute(f'PRAGMA {pragma}').fetchone()[0]}")
    loaded.close()
    source.close()
    for copy in ("snapshot.db", "vacuumed.db", "loaded.db"):
        assert kinds(tmp_path / copy, key, anchors) == OK


def test_45_a_log_rebuilt_without_its_key_and_said_to_have_none_is_a_mac_finding(originals, tmp_path):
    def take_all_macs_off(db, store_id):
        rebuild_all(db, store_id)
        genesis = hashlib.sha256(b"memstore audit 1 genesis\0sha256\0" + store_id.encode()).digest()
        db.execute("UPDATE audit_state SET keyed = 0, genesis = ?", (genesis,))

    path, key, anchors = tampered(originals, "K", tmp_path, allowed(take_all_macs_off))
    assert kinds(path, key, []) == {"mac"}
    assert kinds(path, key, anchors) == {"mac", "rewritten"}
    with open_store(path, audit_key=key) as store, pytest.raises(Invalid, match="audit_key"):
        store.audit.append("query")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_log_that_schema_version_does_not_know_is_a_finding(originals, tmp_path, read_only):
    path, _, anchors = tampered(originals, "H", tmp_path, state("DELETE FROM schema_version WHERE room = 'audit'"))
    with open_store(path, read_only=read_only) as store:
        report = store.audit.verify(anchors=anchors)
        assert not report.ok
        assert report.findings[0].kind == "schema"


def test_a_damaged_seal_is_named_by_every_read_that_needs_it(originals, tmp_path):
    path, _, _ = tampered(originals, "H", tmp_path, lambda db, store_id: None)
    with open_store(path) as store:
        store.audit.prune(100, reason="retention")
    db = sqlite3.connect(path)
    with db:
        allowed("UPDATE audit_log SET body = replace(body, '\"hash\"', '\"hush\"') WHERE seq = 121")(db, "")
    db.close()
    with open_store(path, read_only=True) as store:
        assert store.audit.get(101).field == "row-101-flip-me"
        for call in (lambda: store.audit.get(100), lambda: store.audit.find(limit=None)):
            with pytest.raises(Corrupt, match="121"):
                call()


def test_content_put_back_after_a_redaction_is_found(originals, tmp_path):
    path, key, anchors = tampered(originals, "H", tmp_path, lambda db, store_id: None)
    with open_store(path) as store:
        store.audit.redact(50, reason="request")
    db = sqlite3.connect(path)
    db.execute("ATTACH ? AS old", (str(originals["H"][0]),))
    with db:
        db.execute("INSERT INTO audit_permit(reason) VALUES ('mine')")
        db.execute(
            """
            UPDATE main.audit_log SET (refs, payload) = (SELECT refs, payload FROM old.audit_log WHERE seq = 50) WHERE seq = 50
            """
        )
        db.execute("DELETE FROM audit_permit")
    db.close()
    with open_store(path) as store:
        assert [(f.kind, f.seq) for f in store.audit.verify(anchors=anchors).findings] == [("hash", 50)]


@pytest.mark.parametrize("seq", [3, 30])
def test_no_payload_is_not_an_empty_one(tmp_path, seq):
    path = tmp_path / "a.db"
    with open_store(path) as store:
        store.audit.append_many([{"event_type": "q", "session_id": "s"}] * 50)
    db = sqlite3.connect(path)
    with db:
        allowed(f"UPDATE audit_log SET payload = '' WHERE seq = {seq}")(db, "")
    db.close()
    with open_store(path) as store:
        assert [(f.kind, f.seq) for f in store.audit.check()] == [("hash", seq)]
    assert [finding[:2] for finding in outsider(path, [], None)] == [("hash", seq)]


def test_the_count_of_a_project_cannot_be_turned_back(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as store:
        store.audit.append_many([{"event_type": "q", "project": "p"}] * 5)
    db = sqlite3.connect(path)
    with db:
        db.execute("UPDATE audit_projects SET last_seq = 3")
    db.close()
    with open_store(path) as store:
        assert [f.kind for f in store.audit.check()] == ["gap"]


def test_a_hash_that_damage_made_a_number_is_named(originals, tmp_path):
    def without_strict(db, store_id):
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'audit_log'")

    path, _, _ = tampered(originals, "H", tmp_path, without_strict)
    db = sqlite3.connect(path)
    with db:
        allowed("UPDATE audit_log SET hash = 5 WHERE seq IN (60, 120)")(db, "")
    db.close()
    with open_store(path, read_only=True) as store:
        found = {(finding.kind, finding.seq) for finding in store.audit.verify().findings}
        assert {("type", 60), ("type", 120)} <= found
        assert (store.audit.head().seq, store.audit.get(61).seq) == (120, 61)
        with pytest.raises(Corrupt, match="event 60 is damaged"):
            store.audit.get(60)


def test_a_row_beyond_the_reach_of_the_driver_does_not_stop_the_reading(originals, tmp_path):
    def spoil(db, store_id):
        db.execute("INSERT INTO audit_permit(reason) VALUES ('mine')")
        for seq in (1, 60, 120):
            db.execute("UPDATE audit_log SET refs = CAST(x'ff41' AS TEXT) WHERE seq = ?", (seq,))
        db.execute("UPDATE audit_log SET body = replace(body, 'query', 'quest') WHERE seq = 90")
        db.execute("DELETE FROM audit_permit")

    path, key, anchors = tampered(originals, "H", tmp_path, spoil)
    with open_store(path) as store:
        findings = [f for f in store.audit.verify(anchors=anchors).findings if f.kind not in ADVICE]
        assert sorted((f.kind, f.seq) for f in findings) == [("hash", 1), ("hash", 60), ("hash", 90), ("hash", 120)]


def test_a_page_of_zeros_is_a_finding_not_an_error(originals, tmp_path):
    path, key, anchors = originals["H"]
    raw = bytearray(path.read_bytes())
    page = raw.index(b"row-50-flip-me") // 4096
    raw[page * 4096 : (page + 1) * 4096] = bytes(4096)
    target = tmp_path / "hole.db"
    target.write_bytes(raw)
    with open_store(target) as store:
        report = store.audit.verify(anchors=anchors)
        assert not report.ok
        assert {f.kind for f in report.findings} & {"corrupt", "gap", "hash"}
        assert not store.check().ok


def test_the_outsider_runs_as_a_program(originals, tmp_path):
    import subprocess
    import sys

    path, key, anchors = originals["K"]
    anchor = tmp_path / "anchor.txt"
    anchor.write_text(anchors[0] + "\n")

    def run(*arguments):
        return subprocess.run([sys.executable, "-I", str(OUTSIDER), *arguments], capture_output=True, text=True, check=False)

    fine = run(str(path), "--key", KEY.decode(), str(anchor), anchors[2])
    assert (fine.returncode, fine.stdout.strip(), fine.stderr) == (0, "no findings", "")
    bad = run(str(path), "--key", KEY.decode(), originals["H"][2][0])
    assert (bad.returncode, bad.stdout.split()[0]) == (1, "wrong_store")
    assert len(OUTSIDER.read_text().splitlines()) <= 80


def test_the_key_is_used_as_hmac_uses_it(originals):
    path, key, anchors = originals["K"]
    db = sqlite3.connect(path)
    body, stored, before = db.execute(
        "SELECT e.body, e.hash, p.hash FROM audit_log e JOIN audit_log p ON p.seq = e.seq - 1 WHERE e.seq = 77"
    ).fetchone()
    db.close()
    assert stored == hmac.digest(key, LINK + before + body.encode(), "sha256")
