"""An agent loop whose whole memory is a store: it can be stopped at any message and goes on from the file.

    python examples/agent_loop.py [agent.db]

Without a key it replays the recorded session in examples/data. With OPENAI_BASE_URL (any OpenAI-compatible endpoint, such as
http://localhost:11434/v1) and OPENAI_API_KEY in the environment it asks the model named by OPENAI_MODEL what you type.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from memstore import Store, StoreError, open_store  # noqa: E402

SPECIALIST = os.environ.get("OPENAI_MODEL", "recorded")
WINDOW = 6000  # tokens that the model may be given; small, so that a backup falls due soon


def turn(store: Store, conversation: str, incoming: list[dict], complete: Callable[[list[dict]], dict]) -> dict:
    """Record what came in, build the prompt from memory, record what came out."""
    store.chat.append_many(conversation, incoming)
    prompt = store.backups.resume(conversation, SPECIALIST, max_tokens=WINDOW)
    advice = store.corrections.prompt(str(incoming[-1].get("content") or ""), max_tokens=400)
    if advice:
        prompt.insert(0, {"role": "system", "content": advice})
    begin = time.perf_counter()
    answer = complete(prompt)
    with store.transaction():  # the answer and what is known about it appear together or not at all
        store.chat.append_message(conversation, answer)
        store.backups.track(conversation, SPECIALIST, json.dumps([*incoming, answer], ensure_ascii=False))
        store.evals.record_run(conversation, SPECIALIST, latency_ms=(time.perf_counter() - begin) * 1000)
        store.audit.append("query", conversation_id=conversation, specialist=SPECIALIST, details={"prompt_messages": len(prompt)})
    if store.backups.due(conversation, SPECIALIST, window=WINDOW) is not None:
        store.backups.cover(min_messages=1)
    return answer


def recorded_turns() -> Iterator[tuple[list[dict], dict]]:
    """The messages that reached the model and the answer that it gave, turn by turn, from the recorded session."""
    incoming: list[dict] = []
    for line in (HERE / "data" / "session.jsonl").read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        if message.get("role") == "assistant":
            yield incoming, message
            incoming = []
        elif "role" in message:
            incoming.append(message)


def replay(store: Store, conversation: str) -> None:
    """Run the loop on the recorded session, the recording standing in for the model."""
    for incoming, answer in recorded_turns():
        turn(store, conversation, incoming, lambda prompt, answer=answer: answer)


def ask(prompt: list[dict]) -> dict:
    """Ask an OpenAI-compatible endpoint."""
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"].rstrip("/") + "/chat/completions",
        data=json.dumps({"model": SPECIALIST, "messages": prompt}).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)["choices"][0]["message"]


def talk(store: Store, conversation: str) -> None:
    """Ask for lines until there are no more, and answer each."""
    for line in iter(lambda: input("you> "), ""):
        print(turn(store, conversation, [{"role": "user", "content": line}], ask).get("content"))


def main() -> None:
    live = "OPENAI_BASE_URL" in os.environ and "OPENAI_API_KEY" in os.environ
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tempfile.mkdtemp(prefix="memstore-"), "agent.db")
    with open_store(path) as store:
        conversation = store.chat.create_conversation(id="loop", exist_ok=True, title="agent loop").id
        (talk if live else replay)(store, conversation)
        runs = store.evals.reliability(specialist=SPECIALIST)
        backup = store.backups.latest(conversation, SPECIALIST)
        print(store)
        kept = "no backup yet" if backup is None else f"the newest backup closes thread {backup.thread_number}"
        print(f"{runs[0].runs if runs else 0} turns; {kept}")
        print(f"the log verifies: {store.audit.verify().ok}; the file is {path}")


if __name__ == "__main__":
    try:
        main()
    except StoreError as error:
        print(f"agent_loop: {error}", file=sys.stderr)
        sys.exit(2)
