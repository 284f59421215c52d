"""An audit trail that can be checked: written, forgotten in part, anchored elsewhere, verified, tampered with, found out.

    python examples/audit_trail.py
"""

import pathlib
import sqlite3
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # from a checkout, without installing

from memstore import open_store


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="memstore-") as name:
        folder = pathlib.Path(name)
        anchor = folder / "elsewhere" / "anchor.txt"  # in life: another machine, a git repository, a ticket
        anchor.parent.mkdir()

        with open_store(folder / "agent.db") as store:
            print("1. Three things happen")
            log = store.audit
            log.append("query", session_id="s-1", specialist="coder-7b", u_score=0.82, details={"question": "why 344 ms?"})
            log.append("tool.call", session_id="s-1", user_id="ada@example.org", details={"command": "pytest -x"})
            log.append("promote", actor="nightly", specialist="coder-7b", details={"to": "coder-7b-v2"})
            for event in log.find(ascending=True):
                print(f"   {event.seq}  {event.event_type:<10} {event.user_id or event.actor or '-':<16} {event.curr_hash[:16]}...")

            print("2. Ada asks to be forgotten")
            log.redact(2, reason="request of the person", actor="privacy desk")
            event = log.get(2)
            print(f"   event 2 is still a {event.event_type!r}, its user is {event.user_id}, its details are {event.details}")

            print("3. The head is kept elsewhere")
            anchor.write_text(str(log.head()))
            print("   " + anchor.read_text().replace("\n", "\n   "))

            report = log.verify(anchors=[anchor.read_text()])
            print(f"4. Verified: ok={report.ok}, {report.checked} events, anchored to event {report.anchored_to.seq}")
            copy = store.snapshot(folder / "copy.db")

        print("5. Somebody edits a copy with plain sqlite3: no promotion, no redaction")
        with sqlite3.connect(copy) as intruder:
            for (trigger,) in intruder.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
                intruder.execute(f"DROP TRIGGER {trigger}")
            intruder.execute("UPDATE audit_log SET body = replace(body, 'promote', 'suggest') WHERE seq = 3")
            intruder.execute("DELETE FROM audit_log WHERE seq = 4")
        intruder.close()

        with open_store(copy) as store:
            report = store.audit.verify(anchors=[anchor.read_text()])
            print(f"   ok={report.ok}")
            for kind, seq, detail in report.findings:
                print(f"   {kind:<10} {'' if seq is None else seq:>2}  {detail}")


if __name__ == "__main__":
    main()
