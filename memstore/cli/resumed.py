"""The second half of the demo: everything here is found in the file, by a process that was told its path and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from ..audit import AuditHead
from ..chat import forms
from ..kernel import ADVICE, Invalid, estimate_tokens
from ..store import Store, open_store
from .story import Story
from .terminal import count, excerpt, moment

if TYPE_CHECKING:
    from ..audit import AuditEvent
    from ..backups import ContextBackup

HITS = 2

#: What somebody with the file and no memstore can do: one byte of one event, and nothing else, is different afterwards.
TAMPER = """
import sqlite3, sys
path, seq, place, byte = sys.argv[1:]
db = sqlite3.connect(path)
db.execute("INSERT INTO audit_permit(reason) VALUES ('mine')")
db.execute(
    "UPDATE audit_log SET body = substr(body, 1, ?) || ? || substr(body, ? + 2) WHERE seq = ?",
    (int(place), byte, int(place), int(seq)),
)
db.execute("DELETE FROM audit_permit")
db.commit()
db.close()
"""


def resume(path: str, opening: dict[str, Any]) -> int:
    """Go on from what the file holds."""
    from .demo import anchor_file, tampered_file

    anchor = AuditHead.parse(anchor_file(path).read_text(encoding="utf-8"))
    story = Story()
    with open_store(path, create=False, **opening) as store:
        newest = store.backups.find(limit=1)
        if not newest:
            raise Invalid(f"{path} holds no backup to resume from")
        _resume(story, store, newest[0])
        _search(story, store, newest[0])
        _apply(story, store, newest[0])
        good = _verify(story, store, anchor)
        copy = store.snapshot(tampered_file(path))
    return 0 if _tamper(story, copy, anchor, opening) and good else 1


def _resume(story: Story, store: Store, backup: ContextBackup) -> None:
    chat = store.chat.get_conversation(backup.conversation_id)
    said = len(store.chat.messages(chat.id, limit=None))
    budget = int((chat.metadata or {})["window"])
    context = None
    while context is None:
        try:
            context = store.backups.resume(backup.conversation_id, backup.specialist, max_tokens=budget)
        except Invalid:
            budget *= 2  # a transcript so short that its window has no room for a note
    store.audit.append("session.resume", actor=backup.specialist, entity_kind="backup", entity_id=backup.id, conversation_id=chat.id)
    tokens = sum(estimate_tokens(text) for message in context for text in forms.texts(message))
    story.chapter("It resumes", f"from note {backup.thread_number} and what came after message {backup.position}")
    story.say(
        f"{count(len(context), 'message')} in place of {said}, {count(tokens, 'token')} of {budget:,}. The note says:"
    )
    note = backup.note
    sections = (("goal", note.goal), ("decided", note.decisions), ("resume", note.resume))
    story.table([(name, text.split("\n")[0].removeprefix("- ")) for name, text in sections])


def _search(story: Story, store: Store, backup: ContextBackup) -> None:
    prefix = _asked(store, backup)
    hits = store.chat.search(prefix, conversation_id=backup.conversation_id, limit=None) if prefix else []
    if not hits:
        story.chapter("It searches", "but the session has no words")
        return
    words = ", ".join(f"{word} {items}" for word, items in store.keywords.complete(prefix, limit=3))
    story.chapter("It searches", f"for “{prefix}”, the beginning of a word")
    story.say(f"{count(len(hits), 'message')}{f' ({words})' if words else ''}, the newest first:")
    story.table([(hit.message.role, excerpt(hit)) for hit in hits[:HITS]], found=[prefix])


def _asked(store: Store, backup: ContextBackup) -> str:
    """The longest word of what was taught, else of what the session is about, less its ending."""
    taught = " ".join(item.subject for item in store.corrections.find() if item.conversation_id == backup.conversation_id)
    for text in (taught, store.chat.get_conversation(backup.conversation_id).title, backup.backup_text):
        for word in sorted(re.findall(r"\w+", text.casefold()), key=len, reverse=True):
            prefix: str = word[: max(3, len(word) * 2 // 3)]
            if store.chat.search(prefix, conversation_id=backup.conversation_id, limit=1):
                return prefix
    return ""


def _apply(story: Story, store: Store, backup: ContextBackup) -> None:
    """Put what was taught before the model, for the newest of the user's messages that it concerns."""
    for message in reversed(store.chat.messages(backup.conversation_id, limit=None)):
        applying = store.corrections.relevant(message.content) if message.role == "user" else []
        if applying:
            for hit in applying:
                store.corrections.applied(hit.correction.id, conversation_id=backup.conversation_id)
            story.chapter("It remembers", "what it was taught: when the user says this, the prompt gets that")
            story.quote(message.content)
            for line in store.corrections.prompt(message.content).split("\n"):
                story.note(line)
            return
    story.chapter("It remembers", "nothing: no correction concerns what the user said")


def _verify(story: Story, store: Store, anchor: AuditHead) -> bool:
    verified = store.audit.verify(anchors=[anchor])
    story.chapter("It verifies", f"the log against the hash noted outside, {anchor.hash[:12]}… of event {anchor.seq}")
    held = verified.anchored_to
    good = verified.ok and held is not None
    claim = f"{count(verified.checked, 'event')} in an unbroken chain"
    story.verdict(good, claim if held is None else f"{claim}, up to #{held.seq} as it was noted outside")
    return good


def _tamper(story: Story, copy: str, anchor: AuditHead, opening: dict[str, Any]) -> bool:
    """Change one byte in a copy, so that an event seems to have happened at another time, and see whether that is found."""
    seq = (anchor.seq + 1) // 2
    with open_store(copy, read_only=True, **opening) as store:
        before = _event(store, seq)
        body: str = store.query("SELECT body FROM audit_log WHERE seq = ?", (seq,))[0]["body"]
    whole_seconds = body.index('"created_at":') + len('"created_at":') + len(str(int(before.created_at)))
    place = whole_seconds - 4
    digit = str((int(body[place]) + 1) % 10)
    subprocess.run([sys.executable, "-I", "-c", TAMPER, copy, str(seq), str(place), digit], check=True)
    with open_store(copy, read_only=True, **opening) as store:
        after = _event(store, seq)
        verified = store.audit.verify(anchors=[anchor])
    wrong = [finding for finding in verified.findings if finding.kind not in ADVICE]
    story.say(
        f"In a copy, plain sqlite3 changes one byte: the time in event {seq} "
        f"turns from {moment(before.created_at)[-8:]} into {moment(after.created_at)[-8:]}."
    )
    for finding in wrong:
        story.verdict(False, f"{finding.kind} #{finding.seq}: {finding.detail}")
    return bool(wrong)


def _event(store: Store, seq: int) -> AuditEvent:
    return store.audit.find(after_seq=seq - 1, before_seq=seq + 1)[0]
