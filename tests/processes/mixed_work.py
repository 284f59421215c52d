"""Mixed work over all rooms, the same every time, and what a store then holds of it.

1. A worker's calls follow from its seed and touch what is its own, so that any number of workers share a file and each one's
   holdings depend on nothing but how many of its calls have happened.
2. What a file must hold is not written down here: it is what a store in memory holds after the same number of calls, none of
   which was disturbed. So `holdings` leaves out what differs between two such runs: ids that the store made, keys, hashes.
3. The first worker alone makes the few calls that reach into everybody's rows: prune, redact, rebuild.
"""

from __future__ import annotations

import copy
import os
import random
from dataclasses import dataclass, field
from functools import wraps

import memstore.chat
import memstore.keywords
from memstore import open_store
from memstore.kernel import files, wal
from memstore.testing import FakeClock

WORDS = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "harbour", "indigo", "juniper", "kelp", "larch")


class Undone(Exception):
    """What a block raises to be rolled back."""


@dataclass
class Known:
    """What a worker knows of its own rows; a block that is rolled back takes it back too."""

    made: int = 0  # for names that are used once
    chats: list = field(default_factory=list)
    messages: dict = field(default_factory=dict)  # chat -> ids
    hidden: set = field(default_factory=set)  # messages that were taken out of the index
    projects: list = field(default_factory=list)
    corrections: list = field(default_factory=list)  # live ones
    faint: int = 0  # corrections that a prune removes
    notes: list = field(default_factory=list)
    events: list = field(default_factory=list)  # that were appended by itself and not pruned
    redacted: set = field(default_factory=set)
    promoted: int = 0

    @property
    def told(self):
        """Chats in which something was said."""
        return [chat for chat in self.chats if self.messages[chat]]

    @property
    def shown(self):
        """Messages that the index has."""
        return [id for chat in self.chats for id in self.messages[chat] if id not in self.hidden]

    @property
    def readable(self):
        """Events that were not redacted."""
        return [id for id in self.events if id not in self.redacted]


class Worker:
    """`step` makes its next call; those of the same seed and number are the same."""

    def __init__(self, number, seed, folder=None):
        self.name = f"worker{number}"
        self.rng = random.Random(f"{seed} {number}")
        self.folder = folder  # for snapshots; none are made without
        self.known = Known()
        self.calls = 0
        self.mixed = MIXED + KEEPING if number == 0 else MIXED

    def step(self, store):
        """Make the next call, one that happens whole or not at all, and return its name."""
        self.calls += 1
        chance = self.rng.random()
        call = self.rng.choice(UPKEEP if chance < 0.06 else BLOCKS if chance < 0.2 else self.mixed)
        call(self, store)
        return call.__name__.replace("_", ".", 1)

    def any_call(self, store):
        self.rng.choice(self.mixed)(self, store)

    def new(self, kind):
        self.known.made += 1
        return f"{self.name}/{kind}{self.known.made}"

    def text(self):
        return f"{' '.join(self.rng.choices(WORDS, k=4))} {self.name}x{self.calls}"

    def pick(self, things):
        """One of the newest of them."""
        return self.rng.choice(things[-4:])


def needing(what, maker):
    """A call that needs something; where the worker has none yet, the call that makes one takes its place."""

    def decorate(call):
        @wraps(call)
        def either(worker, store):
            (call if getattr(worker.known, what) else maker)(worker, store)

        return either

    return decorate


# -- chat ---------------------------------------------------------------------------------------------------------------


def chat_create_conversation(worker, store):
    chat = store.chat.create_conversation(id=worker.new("chat"), title=worker.text(), user_id=worker.name, metadata={"calls": worker.calls})
    worker.known.chats.append(chat.id)
    worker.known.messages[chat.id] = []


@needing("chats", chat_create_conversation)
def chat_append(worker, store):
    chat = worker.pick(worker.known.chats)
    said = store.chat.append(chat, worker.rng.choice(("user", "assistant")), worker.text())
    worker.known.messages[chat].append(said.id)


@needing("chats", chat_create_conversation)
def chat_append_whole(worker, store):
    chat, id = worker.pick(worker.known.chats), worker.new("message")
    store.chat.append(chat, "assistant", worker.text(), id=id, models_used=["m"], confidence="High", metadata={"calls": worker.calls})
    worker.known.messages[chat].append(id)


@needing("chats", chat_create_conversation)
def chat_append_many(worker, store):
    chat = worker.pick(worker.known.chats)
    forms = [{"role": "user", "content": worker.text(), "place": place} for place in range(worker.rng.randint(2, 12))]
    worker.known.messages[chat] += [message.id for message in store.chat.append_many(chat, forms)]


@needing("chats", chat_create_conversation)
def chat_rename(worker, store):
    store.chat.rename(worker.pick(worker.known.chats), worker.text())


@needing("chats", chat_create_conversation)
def chat_move(worker, store):
    store.chat.move(worker.pick(worker.known.chats), worker.pick([None, "elsewhere", *worker.known.projects]))


@needing("chats", chat_create_conversation)
def chat_archive(worker, store):
    store.chat.archive(worker.pick(worker.known.chats), archived=worker.rng.random() < 0.5)


@needing("told", chat_append)
def chat_fork(worker, store):
    chat = worker.pick(worker.known.told)
    store.chat.fork(chat, at=worker.pick(worker.known.messages[chat]))


@needing("told", chat_append)
def chat_pop(worker, store):
    chat = worker.pick(worker.known.told)
    store.chat.pop(chat)
    del worker.known.messages[chat][-1]


@needing("told", chat_append)
def chat_clear(worker, store):
    chat = worker.pick(worker.known.told)
    store.chat.clear(chat, actor=worker.name, note=f"call {worker.calls}")
    worker.known.messages[chat] = []


def chat_touch_session(worker, store):
    store.chat.touch_session(f"{worker.name}/session{worker.rng.randint(1, 3)}", user_id=worker.name, domain=worker.pick(WORDS))


def chat_create_project(worker, store):
    id = worker.new("project")
    store.chat.create_project(f"{id} by name", id=id, user_id=worker.name)
    worker.known.projects.append(id)


@needing("projects", chat_create_project)
def chat_update_project(worker, store):
    store.chat.update_project(worker.pick(worker.known.projects), description=worker.text(), user_id=worker.name, actor=worker.name)


@needing("projects", chat_create_project)
def chat_alias(worker, store):
    store.chat.alias(worker.pick(worker.known.projects), worker.new("alias"), worker.new("alias"), user_id=worker.name)


@needing("projects", chat_create_project)
def chat_activate(worker, store):
    store.chat.activate(worker.pick([None, *worker.known.projects]), user_id=worker.name)


# -- corrections --------------------------------------------------------------------------------------------------------


def corrections_add(worker, store):
    id = worker.new("correction")
    store.corrections.add(
        f"subject of {id}", worker.text(), rejected=worker.text(), id=id, user_id=worker.name, confidence=worker.pick((0.6, 0.8))
    )
    worker.known.corrections.append(id)


@needing("corrections", corrections_add)
def corrections_repeat(worker, store):
    item = store.corrections.get(worker.pick(worker.known.corrections))
    store.corrections.add(item.subject, item.claim, user_id=worker.name, confidence=0.9, rejected=worker.text())


@needing("corrections", corrections_add)
def corrections_update(worker, store):
    store.corrections.update(worker.pick(worker.known.corrections), claim=worker.text(), why=worker.text(), actor=worker.name)


@needing("corrections", corrections_add)
def corrections_supersede(worker, store):
    id = worker.pick(worker.known.corrections)
    worker.known.corrections.remove(id)
    by = worker.pick([None, *worker.known.corrections])
    store.corrections.supersede(id, by=by, reason=f"call {worker.calls}", actor=worker.name)


@needing("corrections", corrections_add)
def corrections_applied(worker, store):
    store.corrections.applied(worker.pick(worker.known.corrections), conversation_id=f"{worker.name}/elsewhere")


def corrections_add_faint(worker, store):
    store.corrections.add(worker.new("subject"), worker.text(), id=worker.new("faint"), user_id=worker.name, confidence=0.01)
    worker.known.faint += 1


@needing("faint", corrections_add_faint)
def corrections_prune(worker, store):
    store.corrections.prune(reason=f"call {worker.calls}", actor=worker.name)
    worker.known.faint = 0


# -- backups and evals --------------------------------------------------------------------------------------------------


@needing("chats", chat_create_conversation)
def backups_track(worker, store):
    store.backups.track(worker.pick(worker.known.chats), "coder", worker.text())


@needing("chats", chat_create_conversation)
def backups_save(worker, store):
    store.backups.save(worker.pick(worker.known.chats), "coder", worker.text(), id=worker.new("backup"))


@needing("chats", chat_create_conversation)
def backups_cover(worker, store):
    chosen = (worker.pick(worker.known.chats), "coder")
    store.backups.cover(lambda gap: "what was said" if (gap.conversation_id, gap.specialist) == chosen else None)


def evals_record_run(worker, store):
    store.evals.record_run(f"{worker.name}/elsewhere", worker.name, id=worker.new("run"), latency_ms=worker.rng.random(), domain="d")


def evals_record_assertion(worker, store):
    store.evals.record_assertion(worker.name, "info", worker.rng.random() < 0.5, id=worker.new("assertion"))


def evals_promote(worker, store):
    store.evals.promote(worker.name, None, worker.text(), id=worker.new("promotion"), actor=worker.name)
    worker.known.promoted += 1


@needing("promoted", evals_promote)
def evals_rollback(worker, store):
    store.evals.rollback(worker.name, reason=f"call {worker.calls}", actor=worker.name)
    worker.known.promoted -= 1


# -- audit --------------------------------------------------------------------------------------------------------------


def _event(worker):
    id = worker.new("event")
    worker.known.events.append(id)
    return {"event_type": "query", "id": id, "actor": worker.name, "stream": worker.name, "details": {"text": worker.text()}}


def audit_append(worker, store):
    store.audit.append(**_event(worker), project=worker.pick((None, "elsewhere")))


def audit_append_many(worker, store):
    store.audit.append_many([_event(worker) for _ in range(worker.rng.randint(2, 8))])


@needing("readable", audit_append)
def audit_redact(worker, store):
    id = worker.pick(worker.known.readable)
    store.audit.redact(store.audit.get(id).seq, reason=f"call {worker.calls}", actor=worker.name)
    worker.known.redacted.add(id)


@needing("events", audit_append_many)
def audit_prune(worker, store):
    kept = worker.rng.randrange(len(worker.known.events))
    if kept:
        store.audit.prune(store.audit.get(worker.known.events[kept]).seq, reason=f"call {worker.calls}", actor=worker.name)
        del worker.known.events[:kept]


# -- keywords -----------------------------------------------------------------------------------------------------------


def keywords_add(worker, store):
    id = worker.new("note")
    store.keywords.add(id, worker.text(), kind=worker.name)
    worker.known.notes.append(id)


@needing("notes", keywords_add)
def keywords_replace(worker, store):
    store.keywords.add(worker.pick(worker.known.notes), worker.text(), kind=worker.name)


@needing("notes", keywords_add)
def keywords_remove(worker, store):
    id = worker.pick(worker.known.notes)
    worker.known.notes.remove(id)
    store.keywords.remove(id, kind=worker.name, actor=worker.name, note=f"call {worker.calls}")


@needing("shown", chat_append)
def keywords_hide(worker, store):
    id = worker.pick(worker.known.shown)
    store.keywords.remove(id, actor=worker.name)
    worker.known.hidden.add(id)


def keywords_compact(worker, store):
    store.keywords.compact()


def keywords_catch_up(worker, store):
    store.keywords.catch_up()


def keywords_rebuild(worker, store):
    store.keywords.rebuild()
    worker.known.hidden.clear()


# -- blocks and upkeep --------------------------------------------------------------------------------------------------


def store_transaction(worker, store):
    with store.transaction():
        for _ in range(worker.rng.randint(1, 4)):
            worker.any_call(store)


def store_nested(worker, store):
    """A block in which one inner block stands and another one is rolled back."""
    with store.transaction():
        worker.any_call(store)
        with store.transaction():
            worker.any_call(store)
        before = copy.deepcopy(worker.known)
        try:
            with store.transaction():
                worker.any_call(store)
                worker.any_call(store)
                raise Undone
        except Undone:
            worker.known = before
        worker.any_call(store)


def store_optimize(worker, store):
    store.optimize()


def store_snapshot(worker, store):
    if worker.folder is not None:
        store.snapshot(os.path.join(worker.folder, f"{worker.name}.snapshot"))


MIXED = (
    chat_create_conversation, *[chat_append] * 6, chat_append_whole, chat_append_many, chat_rename, chat_move, chat_archive, chat_fork,
    chat_pop, chat_clear, chat_touch_session, chat_create_project, chat_update_project, chat_alias, chat_activate,
    *[corrections_add] * 2, corrections_repeat, corrections_update, corrections_supersede, corrections_applied,
    *[backups_track] * 2, backups_save, evals_record_run, evals_record_assertion, evals_promote, evals_rollback,
    *[audit_append] * 2, audit_append_many, *[keywords_add] * 2, keywords_replace, keywords_remove,
)  # fmt: skip
KEEPING = (corrections_prune, audit_redact, audit_prune, keywords_hide, keywords_rebuild)
UPKEEP = (backups_cover, keywords_compact, keywords_catch_up, store_optimize, store_snapshot)
BLOCKS = (store_transaction, store_nested)


# -- what a store holds -------------------------------------------------------------------------------------------------


def holdings(store, worker):
    """All that a store shows of one worker, without what differs from run to run."""
    mine = (worker.name,)
    rooms = store.stats().rooms
    held = {}
    if "chat" in rooms:
        chats = store.query("SELECT id FROM conversations WHERE user_id = ? ORDER BY updated_at, activity", mine)
        held["chats"] = [_chat(store, chat["id"], worker.name) for chat in chats]
        held["projects"] = [project.to_dict() for project in store.chat.projects(user_id=worker.name)]
        held["active"] = getattr(store.chat.active_project(worker.name), "id", None)
        held["sessions"] = [session.to_dict() for session in store.chat.sessions(user_id=worker.name, limit=None)]
        held["found"] = {word: _said(store.chat.search(word, user_id=worker.name, limit=None)) for word in WORDS}
    if "corrections" in rooms:
        found = store.corrections.find(user_id=worker.name, include_superseded=True)
        held["corrections"] = [item.to_dict() | {"rejections": store.corrections.rejections(item.id)} for item in found if item.user_id]
        held["relevant"] = [hit.correction.id for hit in store.corrections.relevant(" ".join(WORDS), user_id=worker.name, limit=None)]
    if "backups" in rooms:
        pairs = [(id, "coder") for id in worker.known.chats]
        held["valid"] = [store.backups.is_valid(*pair) or None for pair in pairs]
        held["counters"] = [_without_ids(store.backups.counter(*pair)) for pair in pairs]
        held["backups"] = [[_without_ids(backup) for backup in store.backups.find(conversation_id=id, limit=None)] for id, _ in pairs]
    if "evals" in rooms:
        held["runs"] = [run.to_dict() for run in store.evals.runs(specialist=worker.name)]
        held["assertions"] = [item.to_dict() for item in store.evals.assertions(assertion_name=worker.name)]
        held["promotions"] = [_own(item.to_dict(), worker.name, "id") for item in store.evals.promotions(specialist=worker.name)]
        held["model"] = store.evals.active_model(worker.name)
    if "keywords" in rooms:
        held["notes"] = {word: [hit.item_id for hit in store.keywords.search(word, kind=worker.name, limit=None)] for word in WORDS}
    return {name: value for name, value in held.items() if _says_something(value)}


def events(store, worker):
    """A worker's events that are in the log, in order, redacted ones too."""
    if "audit" not in store.stats().rooms:
        return []
    found = [item for item in store.audit.find(ascending=True, limit=None) if worker.name in (item.actor, item.stream)]
    return [_own({name: getattr(item, name) for name in EVENT}, worker.name, "id", "entity_id") for item in found]


EVENT = ("id", "event_type", "actor", "entity_kind", "entity_id", "stream", "project", "before", "after", "details", "note", "redacted")


def _chat(store, id, owner):
    chat = store.chat.get_conversation(id)
    messages = [(message.to_openai(), message.metadata, message.models_used) for message in store.chat.messages(id, limit=None)]
    return _own(chat.to_dict() | {"forked_at": chat.forked_at is not None, "messages": messages}, owner, "id")


def _says_something(value):
    """False for what is empty through and through: a room that somebody else has made shows as much."""
    if isinstance(value, dict):
        return any(map(_says_something, value.values()))
    if isinstance(value, list):
        return any(map(_says_something, value))
    return value is not None


def _said(hits):
    return [hit.message.content for hit in hits]


def _without_ids(record):
    """A record without the id that the store has made for it, and without the number of arrival, which all share."""
    if record is None:
        return None
    return {name: value for name, value in record.to_dict().items() if name not in ("id", "position")}


def _own(row, owner, *names):
    """A row whose ids are only told where the worker chose them."""
    for name in names:
        if row[name] is not None and not row[name].startswith(f"{owner}/"):
            row[name] = "made by the store"
    return row


# -- a run without disturbance ------------------------------------------------------------------------------------------


def undisturbed(number, seed, calls):
    """A worker and a store in memory on which it has made its first calls."""
    store, worker = open_store(":memory:", clock=FakeClock()), Worker(number, seed)
    for _ in range(calls):
        worker.step(store)
    return store, worker


def hurry():
    """Let the work that is done behind (checkpoints, segments, merges) come after a few calls, not after thousands."""
    memstore.keywords.BATCH = 32
    memstore.chat.INDEX_EVERY = 16
    files.LOG_KEPT = 64 << 10
    wal.LOOK_EVERY = 2
