"""Verify the audit log of a memstore file without memstore, from the format in memstore/audit/chain.py; exit 1 on any finding.

    python verify_without_memstore.py agent.db [--key KEY] [ANCHOR ...]      an anchor is a file, or its three lines as text"""

import json
import sqlite3
import sys
from hashlib import sha256
from pathlib import Path

def verify(db, anchors=(), key=None):
    def h(data):  # SHA-256, or HMAC-SHA256 spelled out
        if key is None:
            return sha256(data).digest()
        pad = (sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        return sha256(bytes(b ^ 0x5C for b in pad) + sha256(bytes(b ^ 0x36 for b in pad) + data).digest()).digest()
    db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit_log' AND type = 'table'").fetchone() is None:
        return [("missing", None, "there is no table audit_log")]
    triggers = db.execute("SELECT 1 FROM sqlite_schema WHERE tbl_name = 'audit_log' AND sql LIKE 'CREATE TRIGGER %RAISE(ABORT%'")
    found = [] if len(triggers.fetchall()) == 3 else [("schema", None, "the three append-only triggers are not what they were")]
    (store,) = db.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
    born, keyed, began, sealer = db.execute("SELECT store_id, keyed, genesis, sealed_by FROM audit_state").fetchone() or (store, 0, None, 0)
    if bool(keyed) != (key is not None):
        return [*found, ("mac", None, "this log needs its --key" if keyed else "this log was begun without a key")]
    genesis = h(b"memstore audit 1 genesis\0" + (b"hmac-sha256" if keyed else b"sha256") + b"\0" + store.encode())
    if began != genesis:
        found.append(("wrong_store" if born != store else "mac" if began else "store_id", None, "the log was not begun here, or not so"))
    (seal_text,) = db.execute("SELECT body FROM audit_log WHERE seq = ?", (sealer,)).fetchone() or ("{}",)
    seal = json.loads(seal_text).get("seal") or {"upto": 0, "hash": genesis.hex()}
    last, before = seal["upto"], bytes.fromhex(seal["hash"])
    hashes, emptied, redacted, projects = {0: genesis.hex(), last: seal["hash"]}, set(), set(), {}
    for seq, body, stored, refs, payload in db.execute("SELECT seq, body, hash, refs, payload FROM audit_log ORDER BY seq"):
        raw = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else b""
        if seq != last + 1:
            found.append(("unsealed_prune" if last == seal["upto"] else "gap", seq, f"{seq} follows {last}"))
        elif not isinstance(stored, bytes) or h(b"memstore audit 1 link\0" + before + raw) != stored:
            found.append(("hash", seq, "the event or its link was changed"))
        last, before = seq, stored if isinstance(stored, bytes) else b""
        hashes[seq] = before.hex()
        said = raw[-66:-2].decode(errors="replace") if raw[-76:-66] == b'"digest":"' else None
        part = f"{refs}\n{'' if payload is None else payload}".encode("utf-8", "surrogateescape")
        if refs == "" and payload is None:
            emptied.add(seq)
        elif (said, payload) != (None, None) if not refs else said != sha256(part).hexdigest() or payload == "":
            found.append(("hash", seq, "references or payload were changed"))
        try:
            event = json.loads(body) if body.startswith(f'{{"seq":{seq},') else None
            redacted.update(event.get("redacts", ()))
        except (ValueError, AttributeError, RecursionError):
            found.append(("hash", seq, "the text is no event, or that of another one"))
            continue
        if "project" in event:
            name, number = event["project"], event["project_seq"]
            if number != projects.get(name, number - 1 if seal["upto"] else 0) + 1:
                found.append(("gap", seq, f"number {number} of project {name!r} was not due"))
            projects[name] = number
    found += [("hash", seq, "empty, and no redaction names it") for seq in sorted(emptied - redacted)]
    marks = dict(db.execute("SELECT project_id, last_seq FROM audit_projects"))
    found += [("gap", None, f"project {name!r} lost count") for name, count in projects.items() if count != marks.get(name)]
    found += [("permit", None, "a permit was left behind") for _ in db.execute("SELECT 1 FROM audit_permit")]
    for origin, seq, known in (anchor.split() for anchor in anchors):
        there = hashes.get(int(seq), known if int(seq) < seal["upto"] else None)
        kind = "wrong_store" if origin != f"memstore/{store}" else "truncated" if int(seq) > last else "rewritten"
        found += [(kind, int(seq), f"an anchor knows another event {seq}")] if kind != "rewritten" or there != known else []
    return found

if __name__ == "__main__":
    path, *rest = sys.argv[1:] or sys.exit(__doc__)
    secret = rest.pop(rest.index("--key") + 1).encode() if "--key" in rest else None
    try:
        anchors = [a if "\n" in a else Path(a).read_text() for a in rest if a != "--key"]
        findings = verify(sqlite3.connect(Path(path).resolve(strict=True).as_uri() + "?mode=ro", uri=True), anchors, secret)
    except OSError as error:
        sys.exit(print(f"{error.filename}: {error.strerror}", file=sys.stderr) or 2)
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, RecursionError) as error:
        findings = [("corrupt", None, str(error))]
    print("\n".join(f"{kind:15} {seq or '-':>6}  {detail}" for kind, seq, detail in findings) or "no findings")
    sys.exit(bool(findings))
