"""Back up every conversation that has gone on since its last handoff note; made for cron.

    0 */6 * * *  python examples/coverage_job.py /srv/agent.db

The notes are drafted without a model; give `cover` a function of your own to have one write them. One line a note, nothing
to say when nothing was to do. Without an argument it makes a small store of its own and shows what it does.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # run from a checkout, installed or not

from memstore import Store, StoreError, open_store


def close_gaps(store: Store) -> None:
    """Write the missing notes and report each."""
    for backup in store.backups.cover():
        pair = f"{backup.conversation_id} for {backup.specialist or 'nobody in particular'}"
        print(f"{pair}: {backup.trigger}, thread {backup.thread_number}, {backup.token_estimate} tokens")


def show() -> None:
    """The same on a conversation of six messages, and the note it gets."""
    with tempfile.TemporaryDirectory() as folder, open_store(pathlib.Path(folder) / "agent.db") as store:
        store.chat.create_conversation(id="fix-1867")
        store.chat.append("fix-1867", "user", "TimeDelta serialises 345 ms as 344. Please keep the public names.")
        store.chat.append("fix-1867", "assistant", "The cause is int(), which truncates. I will use round() instead.")
        store.chat.append("fix-1867", "user", "Go on.")
        store.chat.append("fix-1867", "assistant", "Done: all 12 tests pass now.")
        store.chat.append("fix-1867", "user", "What about negative durations?")
        store.backups.track("fix-1867", "coder")
        close_gaps(store)
        print()
        print(store.backups.find()[0].backup_text)


def main(arguments: list[str]) -> int:
    """Run on the named store, or show an example."""
    if not arguments:
        show()
        return 0
    try:
        with open_store(arguments[0], create=False) as store:
            close_gaps(store)
    except StoreError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
