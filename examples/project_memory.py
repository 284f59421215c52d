"""What an agent comes to believe about a project, from that project's own history: found, judged, said again, forgotten, contradicted.

    python examples/project_memory.py [NEWEST]

Every commit of this clone is captured as an interaction, at the time at which it was made (without git, or outside of a clone, the
entries of CHANGELOG.md take their place). What follows is deterministic: no model, no network, and the clock is moved by hand.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # from a checkout, without installing

from memstore import RejectedClaim, Store, open_store  # noqa: E402
from memstore.testing import FakeClock  # noqa: E402

DAY = 86_400.0
PROJECT = "memstore"
PERSON = "maintainer"
NEWEST = 150  # commits, unless the command line says otherwise


class Commit(NamedTuple):
    """One step of the project: an id, when it was made, what it did in a line, and why."""

    id: str
    time: float
    subject: str
    body: str


def commits(newest: int) -> list[Commit]:
    """The newest commits, oldest first; the entries of the changelog where there are none."""
    command = ["git", "-C", str(ROOT), "log", f"--max-count={newest}", "--no-merges", "--format=%H%x1f%ct%x1f%s%x1f%b%x1e"]
    try:
        if not (ROOT / ".git").exists():  # git would go on to a clone around this folder
            return list(changes())[-newest:]
        told = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return list(changes())[-newest:]
    rows = [row.strip("\n").split("\x1f") for row in told.split("\x1e") if row.strip("\n")]
    return sorted((Commit(id, float(time), subject, body.strip()) for id, time, subject, body in rows), key=lambda commit: commit.time)


def changes() -> Iterator[Commit]:
    """The entries of CHANGELOG.md, oldest first, an hour apart."""
    entries = re.findall(r"^- (.+(?:\n  .+)*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    for number, entry in enumerate(reversed(entries)):
        said = " ".join(entry.split())
        yield Commit(f"changelog-{number}", 1_700_000_000.0 + 3600 * number, textwrap.shorten(said, 100, placeholder=" …"), said)


def remember(store: Store, clock: FakeClock, history: list[Commit]) -> tuple[list[str], Counter[str]]:
    """Capture each commit as a question and its answer; return the candidates found, and how often a memory was said again."""
    found: list[str] = []
    again: Counter[str] = Counter()
    for commit in history:
        clock.now = max(clock.now, commit.time)
        answer = f"Decision: {commit.subject}\n\n{commit.body}"  # what was done was decided
        said = store.memories.capture("What was done, and why?", answer, client="git", session_id=commit.id, project=PROJECT)
        again.update(memory.id for memory in store.memories.reinforce(answer, project=PROJECT))
        for candidate in store.memories.extract_candidates(said.id):
            judge(store, len(found), candidate.id)
            found.append(candidate.id)
    return found, again


def judge(store: Store, place: int, id: str) -> None:
    """A person goes through the candidates: of each five he promotes three, rejects one, and does not get round to one."""
    if place % 5 < 3:
        store.memories.promote(id, actor=PERSON)
    elif place % 5 == 3:
        store.memories.reject(id, actor=PERSON, note="says what was done, not what holds")


def contradict(store: Store) -> str:
    """Somebody's old note says another Python than the project's own file, which a person has set as state: promoting it clashes."""
    floor = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    store.memories.set_state(PROJECT, f"{PROJECT}.python", floor[1] if floor else "3.11", source="pyproject.toml", actor=PERSON)
    note = store.knowledge.add_entity("Project", PROJECT, project=PROJECT, properties={"python": "3.8"}, status="candidate")
    store.knowledge.promote(note.id, actor="agent")
    (conflict,) = store.conflicts.find(status="open", project=PROJECT)
    return conflict.id


def main(newest: int) -> None:
    history = commits(newest)
    clock = FakeClock(history[0].time)
    with open_store(":memory:", clock=clock) as store:
        store.chat.create_project(PROJECT)
        memories = store.memories

        print("1. The history is captured; what it states outright becomes candidates, and a person judges them")
        found, again = remember(store, clock, history)
        shown = ", ".join(repr(memories.get(id).content) for id in found[:2])
        print(f"   {len(memories.interactions(limit=None))} interactions; found: {shown}, ...")
        print(f"   {told(store)}; nothing promotes itself")

        print("2. What was rejected does not come back unnoticed")
        for rejected in memories.find(status="invalid", limit=1):
            try:
                memories.add("adaptation", rejected.content, project=PROJECT)
            except RejectedClaim as error:
                print(f"   {error}")

        print("3. What the history said again is believed more firmly, and does not fade")
        for id, times in again.most_common(3):
            memory = memories.get(id)
            print(f"   {times} time{'s' if times > 1 else ''}, confidence {memory.confidence:.2f}: {memory.content!r}")
        if not again:
            print("   nothing was")

        print("4. Something asks, and is told what is believed")
        hits = memories.search("how are conversations stored and searched?", project=PROJECT, limit=5)
        asked = memories.capture("How are they stored?", "As rows.", memories_used=[hit.memory.id for hit in hits], project=PROJECT)
        print(f"   told: {'; '.join(repr(hit.memory.content) for hit in hits[:2]) or 'nothing'}")

        print("5. Four months pass")
        faded = []
        for _ in range(120):
            clock.advance(DAY)
            faded += memories.decay()
        expired = memories.expire()
        print(f"   {len(faded)} memories that nobody referred to have faded, {len(expired)} candidates have expired: {told(store)}")
        states = Counter(piece.state for piece in memories.explain(asked.id).pieces)
        print(f"   of what was told then: {', '.join(f'{count} {state}' for state, count in sorted(states.items())) or 'nothing'}")

        print("6. An old note is promoted, and contradicts what a person has set")
        conflict = store.conflicts.get(contradict(store))
        for member in conflict.members:
            print(f"   {member.member_kind:<14} trust {member.member_layer_trust}  says {member.value_snapshot!r}")
        advice = store.conflicts.suggest(conflict.id)
        print(f"   suggested, not done: {advice.reason}")

        print("7. A person's word closes it, and the log says whose")
        store.conflicts.resolve(conflict.id, "supersede_others", winner=advice.winner_id, actor=PERSON, note="the file is right")
        for event in store.audit.find(ascending=True, limit=None):
            if event.event_type in ("project_state.set", "entity.promote", "entity.supersede", "conflict.resolve"):
                print(f"   {event.event_type:<18} {event.actor}")
        print(f"   the log verifies: {store.audit.verify().ok}; the store checks: {store.check().ok}")


def told(store: Store) -> str:
    """How many memories are in which state."""
    states = ("candidate", "active", "superseded", "invalid")
    return ", ".join(f"{store.memories.count(status=state, include_expired=True)} {state}" for state in states)


if __name__ == "__main__":
    newest = sys.argv[1] if len(sys.argv) > 1 else str(NEWEST)
    if not newest.isdecimal() or newest == "0":
        print(f"project_memory: how many commits? a whole number above 0, not {newest!r}", file=sys.stderr)
        sys.exit(2)
    main(int(newest))
