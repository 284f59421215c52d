"""The main job as a story: one process lives an agent's session and ends, another knows only the path and goes on.

1. Nothing of the story is written here: it is what the transcript says, and each figure is read back from the file.
2. What the second process needs and the file must not vouch for, the anchor of the log, lies beside the file.

The trap: a context window that suits one transcript never fills with another. So it is derived from the transcript's own size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backups import HandoffNote
from ..chat import forms
from ..kernel import Exists, Invalid, estimate_tokens
from ..store import Store, open_store
from . import command
from .keys import keys
from .story import Story
from .terminal import count, cut, one_line, size
from .transcript import Transcript, read

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from ..chat import Conversation

SPECIALIST = "agent"
BACKUPS = 3  # so often should the window fill up
NOTE_TOKENS = (120, 900)
TITLE = 72  # characters


def demo(options: argparse.Namespace) -> int:
    """Record a session, let another process resume it, and show what changing one byte does."""
    if options.resume_from is not None:
        from .resumed import resume

        return resume(options.resume_from, keys(options))
    transcript = read(options.transcript, options.correction)
    path, opening = _place(options.db), keys(options)
    with open_store(path, **opening) as store:
        conversation_id = live(store, transcript)
        anchor_file(path).write_text(f"{store.audit.head()}\n", encoding="utf-8")
    with open_store(path, read_only=True, **opening) as store:
        _tell(store, conversation_id)
    sys.stdout.flush()
    # By folder, not by module name: that works from a checkout, a copy and an installation, whatever the current folder is.
    again = ["demo", "--resume-from", path, *(["--codec", options.codec] if options.codec else [])]
    status = subprocess.run([sys.executable, str(Path(__file__).resolve().parents[1]), *again]).returncode
    if status == 0:
        _tell_what_next(path, opening)
    return status


def anchor_file(path: str) -> Path:
    """Where the anchor lies: beside the store here, on another machine in earnest."""
    return Path(path).with_suffix(".anchor.txt")


def tampered_file(path: str) -> Path:
    """The copy in which one byte is changed."""
    return Path(path).with_suffix(".tampered.db")


def _place(path: str | None) -> str:
    if path is None:
        return os.path.join(tempfile.mkdtemp(prefix="memstore-"), "agent.db")
    if path == ":memory:":
        raise Invalid("the second process could not open a :memory: store; give --db the path of a file, or leave it out")
    place = os.path.realpath(path)
    for taken in (place, anchor_file(place), tampered_file(place)):  # a store of somebody's, and what it is verified against
        if os.path.lexists(taken):
            raise Exists(f"{taken} exists; the demo wants a fresh path")
    return place


# -- living the session -------------------------------------------------------------------------------------------------


def live(store: Store, transcript: Transcript) -> str:
    """Record a session as an agent's loop would, step by step, and return the conversation's id."""
    name = Path(transcript.path).stem
    groups = list(_groups(transcript.messages))
    window = _window([_tokens(group) for group in groups])
    project = store.chat.create_project(name)
    goal = HandoffNote.draft(transcript.messages).goal.split("\n")[0]
    chat = store.chat.create_conversation(
        title=name if goal == "none" else cut(one_line(goal), TITLE),
        project=project.id,
        metadata={"window": window, "transcript": Path(transcript.path).name},
    )
    store.audit.append(
        "session.start", actor=SPECIALIST, conversation_id=chat.id, project=project.id, details={"sha256": transcript.sha256}
    )
    query_id = None
    for group in groups:
        for message in group:
            query_id = _record(store, chat, message, query_id)
        _back_up(store, chat, window)
    for correction in transcript.corrections:
        learned = store.corrections.add(**correction, conversation_id=chat.id)
        store.audit.append("correction.add", actor="user", entity_kind="correction", entity_id=learned.id, conversation_id=chat.id)
    store.audit.append("session.end", actor=SPECIALIST, conversation_id=chat.id, project=project.id)
    return chat.id


def _groups(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Messages with the results that follow them: between a call and its result no agent can stop."""
    group: list[dict[str, Any]] = []
    for message in messages:
        if group and not forms.is_result(message):
            yield group
            group = []
        group.append(message)
    yield group


def _tokens(messages: Sequence[dict[str, Any]]) -> int:
    return sum(estimate_tokens(text) for message in messages for text in forms.texts(message))


def _window(sizes: list[int]) -> int:
    """The largest window that fills up often enough, if possible with something left to say after the last note."""
    total = sum(sizes)
    enough = []
    for percent in range(100, 0, -2):
        window = max(1, total * percent // 100)
        times, rest = _filled(sizes, window)
        if times >= min(BACKUPS, len(sizes)):
            enough.append(window)
            if rest >= total // 20:
                return window
    return enough[0] if enough else 1


def _filled(sizes: list[int], window: int) -> tuple[int, int]:
    """How often messages of these sizes fill the window, and what it holds in the end."""
    times = held = 0
    for tokens in sizes:
        held += tokens
        if held >= window * 0.7:
            times, held = times + 1, 0
    return times, held


def _record(store: Store, chat: Conversation, message: dict[str, Any], query_id: str | None) -> str | None:
    """Record one message and what comes with it, and return the id of the query that is being answered."""
    with store.transaction():
        stored = store.chat.append_message(chat.id, message)
        store.backups.track(chat.id, SPECIALIST, tokens=_tokens([message]))
        if stored.role == "user":
            store.chat.touch_session(chat.id)
            store.audit.append("query", actor="user", entity_kind="message", entity_id=stored.id, conversation_id=chat.id)
            return stored.id
        if stored.role == "assistant":
            store.evals.record_run(chat.id, SPECIALIST, query_id=query_id)
        for call in stored.tool_calls or ():
            function = call.get("function") if isinstance(call, dict) else None
            store.audit.append(
                "tool.call",
                actor=SPECIALIST,
                entity_kind="message",
                entity_id=stored.id,
                conversation_id=chat.id,
                details={"name": function.get("name")} if isinstance(function, dict) else None,
            )
    return query_id


def _back_up(store: Store, chat: Conversation, window: int) -> None:
    """Save a note if the specialist's window is nearly full."""
    due = store.backups.due(chat.id, SPECIALIST, window=window)
    counter = store.backups.counter(chat.id, SPECIALIST)
    if due is None or counter is None:
        return
    low, high = NOTE_TOKENS
    note = HandoffNote.draft(store.chat.messages(chat.id, limit=None), max_tokens=min(high, max(low, window // 4)))
    with store.transaction():
        saved = store.backups.save(chat.id, SPECIALIST, note, trigger=due, metadata={"tokens": counter.token_estimate})
        store.audit.append("backup.save", actor=SPECIALIST, entity_kind="backup", entity_id=saved.id, conversation_id=chat.id)


# -- telling it ---------------------------------------------------------------------------------------------------------


def _tell(store: Store, conversation_id: str) -> None:
    story = Story()
    chat = store.chat.get_conversation(conversation_id)
    messages = [message.to_openai() for message in store.chat.messages(conversation_id, limit=None)]
    calls = sum(len(message.get("tool_calls") or ()) for message in messages)
    story.title("memstore", "an agent's session lived, recorded, searched and resumed from one file")
    story.chapter("It lives", f"a session, replayed from {one_line((chat.metadata or {})['transcript'])}")
    story.quote(chat.title)
    story.say(
        f"{count(len(messages), 'message')}, {count(calls, 'tool call')}, "
        f"{count(len(store.evals.runs(conversation_id=conversation_id)), 'model run')}: {count(_tokens(messages), 'token')}."
    )
    _tell_notes(story, store, chat)
    _tell_corrections(story, store, conversation_id)
    head = store.audit.head()
    story.say(f"{count(head.seq, 'audit event')}; the hash of the last, {head.hash[:12]}…, is noted outside.")
    story.turn("The process ends. Another one starts, and all it is given is the path.")


def _tell_notes(story: Story, store: Store, chat: Conversation) -> None:
    backups = store.backups.find(conversation_id=chat.id, limit=None)[::-1]
    window = (chat.metadata or {})["window"]
    newest = ", the newest" if len(backups) > BACKUPS else ""
    story.say(f"Its window of {count(window, 'token')} ran nearly full {count(len(backups), 'time')}; notes were saved{newest}:")
    story.table(
        [
            (
                f"after message {backup.position}",
                count((backup.metadata or {})["tokens"], "token").rjust(12),
                f"note of {backup.token_estimate}",
                backup.trigger.replace("_", " "),
            )
            for backup in backups[-BACKUPS:]
        ]
    )


def _tell_corrections(story: Story, store: Store, conversation_id: str) -> None:
    events = store.audit.find(event_type="correction.add", conversation_id=conversation_id, ascending=True)
    learned = [store.corrections.get(event.entity_id) for event in events if event.entity_id is not None]
    if not learned:
        story.say("It was taught no correction; --correction SUBJECT CLAIM REJECTED adds one.")
    for item in learned:
        story.say(f"It was taught, on {one_line(item.subject)}:")
        story.verdict(True, item.claim)
        if item.rejected:
            story.verdict(False, item.rejected)


def _tell_what_next(path: str, opening: dict[str, Any]) -> None:
    with open_store(path, read_only=True, **opening) as store:
        stats = store.stats()
    story = Story()
    story.chapter("It stays", f"{path}, {size(stats.bytes)}")
    for line in (command("info", path), command("log", "--db", path, "--verify", str(anchor_file(path))), command("shell", "--db", path)):
        story.line(line)
