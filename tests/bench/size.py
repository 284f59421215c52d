"""Size: what a file takes for each byte of what was said in it.

The turns have the lengths of a real agent's session, tool calls and results included, over and over. Their words are real where
this machine has real texts, else made up: then they are of a larger vocabulary, and the index is larger.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from memstore import HandoffNote, Store

from .harness import TESTS, Bench, Row, at_most, texts

DATA = TESTS.parents[1] / "shared" / "data"
TURNS = 10_000
WINDOW = 32_000  # tokens of the model that is being counted for

#: Role, characters of the text and of a call's arguments of each message of such a session.
SESSION = (
    ("system", 1658, 0), ("user", 3661, 0), ("assistant", 213, 31), ("tool", 112, 0), ("assistant", 51, 311), ("tool", 525, 0),
    ("assistant", 69, 35), ("tool", 75, 0), ("assistant", 395, 21), ("tool", 352, 0), ("assistant", 166, 49), ("tool", 156, 0),
    ("assistant", 252, 60), ("tool", 4222, 0), ("assistant", 569, 157), ("tool", 9063, 0), ("assistant", 128, 165), ("tool", 4449, 0),
    ("assistant", 346, 35), ("tool", 88, 0), ("assistant", 159, 31), ("tool", 146, 0), ("assistant", 27, 4), ("tool", 663, 0),
)  # fmt: skip


class Said(NamedTuple):
    """A store and the bytes of UTF-8 text and tool-call JSON that were put into it."""

    store: Store
    size: int


def words() -> list[str]:
    """A long run of words as people and programs write them."""
    if DATA.is_dir():
        lines = (DATA / "commits-langgraph.jsonl").read_text(encoding="utf-8").splitlines()
        return " ".join(json.loads(line)["text"] for line in lines).split()
    return " ".join(texts(20_000)).split()


def turns(count: int, source: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Sessions of messages, some `count` in all, cut out of a run of words at random places."""
    rng, ids = random.Random(11), itertools.count(1)
    for first in range(0, count, len(SESSION)):
        session: list[dict[str, Any]] = []
        call = ""
        for role, length, arguments in SESSION[: count - first]:
            message: dict[str, Any] = {"role": role, "content": cut_out(rng, source, length)}
            if role == "tool":
                message["tool_call_id"] = call
            if arguments:
                call = f"call_{next(ids):024x}"
                given = json.dumps({"command": cut_out(rng, source, arguments)}, ensure_ascii=False)
                message["tool_calls"] = [{"id": call, "type": "function", "function": {"name": "bash", "arguments": given}}]
            session.append(message)
        yield session


def cut_out(rng: random.Random, source: list[str], length: int) -> str:
    start = rng.randrange(len(source) - length)
    return " ".join(source[start : start + length])[:length]


def weight(message: dict[str, Any]) -> int:
    calls = json.dumps(message["tool_calls"], ensure_ascii=False, separators=(",", ":")) if "tool_calls" in message else ""
    return len(message["content"].encode()) + len(calls.encode())


def lived(store: Store, count: int, source: list[str]) -> Said:
    """Let an agent use every room: an event and a count a turn, a run an answer, a note when one is due, corrections now and then."""
    size = 0
    for place, session in enumerate(turns(count, source)):
        chat = store.chat.create_conversation(id=f"session-{place}", title=session[-1]["content"][:40]).id
        with store.transaction():
            for number, message in enumerate(session):
                store.chat.append_message(chat, message)
                live_a_turn(store, chat, number, message)
                size += weight(message)
    return Said(store, size)


def live_a_turn(store: Store, chat: str, number: int, message: dict[str, Any]) -> None:
    tokens = len(message["content"]) // 4
    store.audit.append("turn", actor="coder", session_id=chat, conversation_id=chat, details={"role": message["role"], "tokens": tokens})
    store.backups.track(chat, "coder", message["content"])
    if message["role"] == "assistant":
        store.evals.record_run(chat, "coder", utility_score=0.5, confidence_score=0.75, vcg_winner=True, latency_ms=840.0, domain="python")
    if store.backups.due(chat, "coder", window=WINDOW, max_messages=20) is not None:
        note = HandoffNote(*(message["content"][start : start + 120] for start in range(0, 720, 120)))
        store.backups.save(chat, "coder", note, trigger="message_count")
    if number == 5:
        said = message["content"]
        store.corrections.add(said[:40], said[40:160], rejected=said[160:240], conversation_id=chat)


def measured(said: Said) -> tuple[float, float]:
    """Bytes of messages and the keyword index, and of the whole file, for each byte that was said."""
    stats = said.store.optimize()
    searched = sum(table.bytes or 0 for table in stats.tables if table.table == "messages" or table.room == "keywords")
    return searched / said.size, stats.bytes / said.size


def sizes(bench: Bench) -> Iterator[Row]:
    count = bench.size(TURNS, 240)
    said = lived(bench.store("size"), count, words())
    searched, whole = measured(said)
    for work, ratio, limit in (("messages and their keyword index", searched, 2.0), ("the whole file, every room used", whole, 3.0)):
        target = None if bench.scale < 1 else at_most(limit)
        yield Row(f"bytes of {work}, {count:,} turns; raw: what was said, UTF-8", ratio * said.size / 1e6, said.size / 1e6, target, "MB")


CASES = (sizes,)
