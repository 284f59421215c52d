"""Mixed work over all rooms by many writers, and a checker of what every call has said of itself.

1. A call is noted before it begins and again when it has ended, "ok" or "failed". One that has begun and never ended is unknown:
   it may have happened, whole, or not at all.
2. Every call carries a word of its own, `p<process>t<thread> <turn>`, by which the checker finds what it has left in the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import sys
import threading
from collections import defaultdict

from memstore import VersionConflict, open_store
from memstore.kernel import files, wal

CONVERSATIONS = ("c0", "c1", "c2")


class Undone(Exception):
    """What a block raises to be rolled back."""


# -- the work: each takes the store and its word, and returns what the checker wants to know ------------------------------


def conversation(word):
    return CONVERSATIONS[int(word.split()[1]) % len(CONVERSATIONS)]


def append(store, word):
    store.chat.append(conversation(word), "user", word)


def believe(store, word):
    store.corrections.add(word, f"what {word} says")


def correct(store, word):
    """Add the word to a list that all share, guarded by the version alone."""
    while True:
        shared = store.corrections.get("shared")
        seen = [*shared.metadata["seen"], word]
        try:
            return store.corrections.update("shared", metadata={"seen": seen}, expected_version=shared.version).version
        except VersionConflict as conflict:
            assert conflict.current.version > shared.version


def track(store, word):
    return store.backups.track("counted", "coder", word, tokens=1).total_messages


def save(store, word):
    return store.backups.save("saved", "coder", word).thread_number


def log(store, word):
    return store.audit.append("storm.logged", entity_kind="word", entity_id=word).seq


def index(store, word):
    store.keywords.add(word, f"indexed {word}", kind="note")


def run(store, word):
    store.evals.record_run("c0", "coder", id=word)


def whole(store, word):
    with store.transaction():
        store.chat.append(conversation(word), "user", word)
        store.corrections.add(word, "one of three")
        with store.transaction():
            return store.audit.append("storm.whole", entity_kind="word", entity_id=word).seq


def undone(store, word):
    with store.transaction():
        whole(store, word)
        store.backups.track("counted", "coder", word, tokens=1)
        raise Undone


def partly(store, word):
    with store.transaction():
        store.chat.append(conversation(word), "user", word)
        with contextlib.suppress(Undone):
            undone(store, word)


def look(store, word):
    """What a reader sees must be a beginning of what there is in the end, with all that it has written itself."""
    texts = [message.content for message in store.chat.messages(conversation(word), limit=None)]
    return len(texts), digest(texts), own(texts, word)


def search(store, word):
    hits = store.chat.search(word.split()[0], conversation_id=conversation(word), limit=None)
    return sorted(own([hit.message.content for hit in hits], word))


WRITES = (append, believe, correct, track, save, log, index, run, whole, partly)
WORK = {work.__name__: work for work in (*WRITES, undone, look, search)}


def own(texts, word):
    return [text for text in texts if text.split()[0] == word.split()[0]]


def digest(texts):
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def prepare(store):
    """What the work needs to be there, whoever comes first; everything else comes into being under it."""
    for name in CONVERSATIONS:
        store.chat.create_conversation(id=name, exist_ok=True)
    with store.transaction():
        if store.corrections.count() == 0:
            store.corrections.add("shared", "everybody's list", id="shared", metadata={"seen": []})


# -- one process ----------------------------------------------------------------------------------------------------------


def main(path, notes, process, threads, turns, seed):
    """Open the path when told to, work with all threads, and say "half" once half of the work is done."""
    files.LOG_KEPT = 1 << 17  # guarded checkpoints all the time, by every process
    checkpoints, checkpoint = [], wal.WriteAheadLog.checkpoint

    def counted(self, writer):
        checkpoints.append(checkpoint(self, writer))
        return checkpoints[-1]

    wal.WriteAheadLog.checkpoint = counted
    into = os.open(notes, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY)
    done, half = [], threading.Event()
    print("ready", flush=True)
    sys.stdin.readline()
    with open_store(path, timeout=60) as store:
        prepare(store)

        def note(*what):
            os.write(into, (json.dumps(what) + "\n").encode())

        def work(number):
            dice = random.Random(f"{seed} {process} {number}")
            for turn in range(turns):
                name, word = dice.choice(list(WORK)), f"p{process}t{number} {turn}"
                note("began", name, word, None)
                try:
                    note("ok", name, word, WORK[name](store, word))
                except Undone:
                    note("failed", name, word, None)
                done.append(word)
                if len(done) * 2 >= threads * turns:
                    half.set()

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        half.wait()
        print("half", flush=True)
        for worker in workers:
            worker.join()
    os.close(into)
    print("checkpoints", sum(found is not None for found in checkpoints), flush=True)


# -- the checker ----------------------------------------------------------------------------------------------------------

class History:
    """What all processes have noted."""

    def __init__(self, files):
        begun, self.ok = {}, defaultdict(dict)
        for file in files:
            for line in file.read_text().split("\n")[:-1]:
                outcome, name, word, told = json.loads(line)
                if outcome == "began":
                    begun[word] = name
                else:
                    assert begun.pop(word) == name
                if outcome == "ok":
                    self.ok[name][word] = told
        self.unknown = defaultdict(set)
        for word, name in begun.items():
            self.unknown[name].add(word)

    def assert_set(self, found, *names):
        """Every acknowledged word is there, once, and no word whose call had failed or was never made."""
        acknowledged = {word for name in names for word in self.ok[name]}
        unknown = set().union(*(self.unknown[name] for name in names))
        assert len(found) == len(set(found)), sorted(word for word in found if found.count(word) > 1)
        assert acknowledged <= set(found), sorted(acknowledged - set(found))
        assert set(found) <= acknowledged | unknown, sorted(set(found) - acknowledged - unknown)

    def assert_count(self, count, name):
        """A counter has gone up once a call, and no two calls were told the same number."""
        told = sorted(self.ok[name].values())
        assert len(told) == len(set(told))
        assert len(told) <= count <= len(told) + len(self.unknown[name]), (count, len(told))
        assert set(told) <= set(range(1, count + 1))




def assert_sound(store, history):
    """Compare the file with the history, room by room."""
    _assert_conversations(store, history)
    subjects = [item.subject for item in store.corrections.find() if item.id != "shared"]
    history.assert_set(subjects, "believe", "whole")
    shared = store.corrections.get("shared")
    history.assert_set(shared.metadata["seen"], "correct")
    _assert_in_order(shared.metadata["seen"])
    assert shared.version == 1 + len(shared.metadata["seen"])
    history.assert_count(store.backups.counter("counted", "coder").total_messages, "track")
    backups = store.backups.find(conversation_id="saved", limit=None)
    history.assert_set([backup.backup_text for backup in backups], "save")
    assert sorted(backup.thread_number for backup in backups) == list(range(1, len(backups) + 1))
    assert {backup.backup_text: backup.thread_number for backup in backups}.items() >= history.ok["save"].items()
    history.assert_set([hit.item_id for hit in store.keywords.search("indexed", kind="note", limit=None)], "index")
    history.assert_set([found.id for found in store.evals.runs(limit=None)], "run")
    _assert_log(store, history)
    report = store.check(deep=True)
    assert report.ok, report.findings


def _assert_conversations(store, history):
    final = {name: [message.content for message in store.chat.messages(name, limit=None)] for name in CONVERSATIONS}
    history.assert_set([text for texts in final.values() for text in texts], "append", "whole", "partly")
    for texts in final.values():
        _assert_in_order(texts)
    for word, (count, seen, mine) in history.ok["look"].items():
        assert digest(final[conversation(word)][:count]) == seen, f"{word} has seen what is no beginning of the conversation"
        assert mine == _earlier(own(final[conversation(word)], word), word)
    for word, mine in history.ok["search"].items():
        assert mine == sorted(_earlier(own(final[conversation(word)], word), word)), word


def _assert_in_order(words):
    """Nothing of one writer is out of order; the writers among each other may be."""
    last = {}
    for writer, turn in (word.split() for word in words):
        assert int(turn) > last.get(writer, -1), (writer, turn)
        last[writer] = int(turn)


def _earlier(words, word):
    return [text for text in words if int(text.split()[1]) < int(word.split()[1])]


def _assert_log(store, history):
    events = store.audit.find(ascending=True, limit=None)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for name in ("log", "whole"):
        kind = {"log": "storm.logged", "whole": "storm.whole"}[name]
        of_kind = {event.entity_id: event.seq for event in events if event.event_type == kind}
        history.assert_set([event.entity_id for event in events if event.event_type == kind], name)
        assert of_kind.items() >= history.ok[name].items()
    changes = sum(event.event_type == "correction.update" for event in events)
    assert changes == len(store.corrections.get("shared").metadata["seen"])
    verified = store.audit.verify()
    assert verified.ok and verified.checked == len(events), verified.findings
