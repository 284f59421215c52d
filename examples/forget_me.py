"""The right to be forgotten: one of two users asks, and no byte of her is left while the agent goes on; the log still verifies.

    python examples/forget_me.py
"""

import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # from a checkout, without installing

from memstore import Store, open_store

ADA, BOB = "ada@example.org", "bob@example.org"
SECRETS = (ADA, "Aldebaran", "allergic")  # her address, the name of her project, a word that only she has said
#: Another process looks: for this one to open files of a store in use would drop the locks that it holds on them.
SEARCH = """
import pathlib, sys
path, *words = sys.argv[1:]
files = [pathlib.Path(path + end) for end in ("", "-wal", "-shm")]
print(sum(file.read_bytes().count(word.encode()) for file in files if file.exists() for word in words))
"""


def traces(store: Store) -> int:
    """How often the bytes of the store's files hold one of her secrets."""
    return int(subprocess.run([sys.executable, "-c", SEARCH, store.path, *SECRETS], capture_output=True, check=True).stdout)


def remember(store: Store, user: str, project: str, said: str, learnt: tuple[str, str]) -> None:
    """A conversation as an agent has it: messages, a correction, a note, an event in the log."""
    store.chat.create_project(project, user_id=user)
    chat = store.chat.create_conversation(title=f"About {project}", project=project, user_id=user)
    store.chat.append(chat.id, "user", said)
    store.chat.append(chat.id, "assistant", f"I will remember it for {project}.")
    store.corrections.add(*learnt, user_id=user, conversation_id=chat.id)
    store.backups.track(chat.id, "cook", said)
    store.backups.save(chat.id, "cook", f"{user} said: {said}")
    store.audit.append("query", actor=user, conversation_id=chat.id, details={"said": said})


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="memstore-") as folder, open_store(pathlib.Path(folder) / "agent.db") as store:
        print("1. An agent remembers two people")
        remember(store, ADA, "Aldebaran", "I am allergic to nuts, plan the dinner without.", ("dinner", "no nuts"))
        remember(store, BOB, "Bellatrix", "I like everything with nuts in it.", ("dinner", "nuts are welcome"))
        store.optimize()
        anchor = str(store.audit.head())  # in life kept elsewhere: another machine, a git repository, a ticket
        print(f"   {store!r}")
        print(f"   {traces(store)} traces of Ada in the bytes of its files; the head of the log is kept elsewhere")

        print("2. Ada asks to be forgotten: what would go?")
        trial = store.erase(user_id=ADA, dry_run=True)
        print("   " + ", ".join(f"{table} {rows}" for table, rows in trial.counts.items()))

        print("3. She is forgotten")
        receipt = store.erase(user_id=ADA, reason="request of the person", actor="privacy desk")
        print(f"   receipt: event {receipt.audit_seq}, digest {receipt.subject_digest[:16]}..., scrubbed: {receipt.scrubbed}")
        for sentence in (*receipt.kept, receipt.out_of_reach):
            print(f"   note: {sentence}")
        print(f"   traces left, with the store still open: {traces(store)}")

        print("4. The log says that somebody was, not who, and is still the one that it was")
        for event in store.audit.find(ascending=True):
            about = "redacted" if event.redacted else event.actor
            print(f"   {event.seq}  {event.event_type:<10}  {about:<15}  {event.curr_hash[:16]}...")
        report = store.audit.verify(anchors=[anchor])
        print(f"   verified: {report.ok}, against the head from before: event {report.anchored_to.seq}")

        print("5. Bob's memory is as it was")
        print(f"   {store.chat.search('nuts', user_id=BOB)[0].message.content}")
        print(f"   {store.corrections.prompt('what about dinner?', user_id=BOB)}")
        print(f"   nothing of Ada: {store.chat.search('allergic') == [] and store.corrections.count(user_id=ADA) == 0}")


if __name__ == "__main__":
    main()
