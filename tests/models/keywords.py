"""The keyword index in plain Python: items with their words, found by asking each of them.

The tokenizer is not modelled: texts here are words of plain letters. tests/test_keywords_model.py has texts of all kinds, through
segments, merges and the tokenizer; here are the arguments, the errors and the transactions.
"""

from __future__ import annotations

from memstore import Exists, Invalid, NotFound

from .harness import LIMITS, NO_KEY, NO_LIMIT, NO_MOMENT, NO_TEXT, Model, cut, moments, one_of, plain, refuse_unless

WORDS = ("round", "rounding", "roundabout", "time", "timer", "cache", "cash")
CHATS = ("c-1", "c-2")


class Keywords(Model):
    """Find what has words that begin with what was asked, newest first."""

    room = "keywords"
    reads = frozenset({"search", "complete", "keywords"})
    #: All but the first take a connection, which rooms only have.
    beyond = frozenset({"check", "numbers", "best", "discard", "restore", "erase"})
    often = {"add": 4, "remove": 3, "chat__append": 6, "chat__create_conversation": 2, "chat__pop": 2}

    def __init__(self):
        super().__init__()
        self.chats = {}  # conversation -> ids of its messages
        self.messages = {}  # id -> item
        self.by_hand = {}  # (kind, id) -> item
        self.hidden = set()  # messages taken out of the index
        self.arrivals = 0

    # -- chat, as far as it goes --------------------------------------------------------------------------------------

    def chat__create_conversation(self, *, id):
        refuse_unless(id not in self.chats, Exists)
        self.chats[id] = []
        return plain(self.told)

    def chat__append(self, conversation_id, role, content, *, id=None, created_at=None):
        refuse_unless(conversation_id in self.chats, NotFound)
        made = self.new_id(self.messages)
        self.chats[conversation_id].append(made)
        self.messages[made] = self._item("message", made, content, conversation_id, role, created_at)
        return plain(self.told)

    def chat__pop(self, conversation_id):
        refuse_unless(conversation_id in self.chats, NotFound)
        if self.chats[conversation_id]:
            gone = self.chats[conversation_id].pop()
            del self.messages[gone]
            self.hidden.discard(gone)
        return plain(self.told)

    def chat__clear(self, conversation_id, *, actor=""):
        refuse_unless(conversation_id in self.chats, NotFound)
        gone = self.chats[conversation_id]
        if gone:
            self.log("conversation.clear", conversation_id, actor)
        for id in gone:
            del self.messages[id]
            self.hidden.discard(id)
        self.chats[conversation_id] = []
        return len(gone)

    def _item(self, kind, item_id, text, conversation_id, role, created_at):
        self.arrivals += 1
        return {
            "kind": kind, "item_id": item_id, "words": set(text.split()), "conversation_id": conversation_id, "role": role,
            "created_at": self.now if created_at is None else created_at, "arrival": self.arrivals,
        }  # fmt: skip

    # -- writes -------------------------------------------------------------------------------------------------------

    def add(self, item_id, text, *, kind="message", conversation_id=None, role=None, created_at=None):
        self.by_hand[kind, item_id] = self._item(kind, item_id, text, conversation_id, role, created_at)
        if kind == "message" and item_id in self.messages:
            self.hidden.add(item_id)
        return len(set(text.split()))

    def remove(self, item_id, *, kind="message", actor="", note=""):
        if self.by_hand.pop((kind, item_id), None) is None:
            refuse_unless(kind == "message" and item_id in self.messages and item_id not in self.hidden, NotFound)
            self.hidden.add(item_id)
        self.log("keyword.remove", item_id, actor, note)

    def rebuild(self, *, progress=None):
        self.hidden = {id for id in self.messages if ("message", id) in self.by_hand}

    def catch_up(self):
        pass

    def keep_up(self):
        pass

    def prepare(self):
        pass

    def compact(self):
        pass

    # -- reads --------------------------------------------------------------------------------------------------------

    def _items(self):
        """What the index has, newest first."""
        items = [*self.by_hand.values(), *(item for id, item in self.messages.items() if id not in self.hidden)]
        return sorted(items, key=lambda item: (item["created_at"], item["arrival"]), reverse=True)

    def search(self, query, *, kind=None, conversation_id=None, role=None, limit=20, before=None):
        items = self._items()
        if before is not None:
            known = [*self.by_hand.values(), *(item for id, item in self.messages.items() if ("message", id) not in self.by_hand)]
            named = [item for item in known if item["item_id"] == before and kind in (None, item["kind"])]
            refuse_unless(named, NotFound)
            refuse_unless(len(named) == 1 and conversation_id in (None, named[0]["conversation_id"]), Invalid)
            edge = named[0]["created_at"], named[0]["arrival"]
            items = [item for item in items if (item["created_at"], item["arrival"]) < edge]
        wanted = {"kind": kind, "conversation_id": conversation_id, "role": role}
        asked = dict.fromkeys(query.split())
        hits = []
        for item in items:
            matched = [min((word for word in item["words"] if word.startswith(prefix)), default=None) for prefix in asked]
            if matched and None not in matched and all(value is None or item[name] == value for name, value in wanted.items()):
                shown = {name: item[name] for name in ("item_id", "kind", "conversation_id", "role", "created_at")}
                hits.append({**shown, "keywords": matched})
        return cut(hits, limit)

    def complete(self, prefix, *, limit=10):
        counts = {}
        for item in self._items():
            for word in item["words"] if prefix else ():
                if word.startswith(prefix):
                    counts[word] = counts.get(word, 0) + 1
        return cut(sorted(([word, count] for word, count in counts.items()), key=lambda entry: (-entry[1], entry[0])), limit)

    def keywords(self, item_id, *, kind="message"):
        found = [item for item in self._items() if (item["item_id"], item["kind"]) == (item_id, kind)]
        refuse_unless(found, NotFound)
        return sorted(found[0]["words"])

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "item_id": lambda model, rng: rng.choice(["n-1", "n-2", "n-3", *[*model.messages][-6:]]),
        "before": lambda model, rng: rng.choice(["n-1", "n-2", *[*model.messages][-6:]]),
        "id": one_of(*CHATS),
        "chat__append.id": one_of(None),
        "conversation_id": one_of(*CHATS),
        "kind": one_of("note", "message", "note"),
        "role": one_of("user", "assistant"),
        "text": lambda model, rng: " ".join(rng.choices(WORDS, k=rng.randrange(5))),
        "content": lambda model, rng: " ".join(rng.choices(WORDS, k=rng.randint(1, 5))),
        "query": one_of("", "r", "round", "rounding ti", "ca", "cas tim", "time", "zebra", "round roundi round"),
        "prefix": one_of("", "r", "round", "ti", "c", "zebra"),
        "created_at": moments,
        "progress": one_of(None, lambda done, total: None),
        "limit": LIMITS,
        "actor": one_of("", "ann"),
        "note": one_of("", "wrong"),
    }
    wrong = {
        "item_id": NO_KEY, "kind": NO_KEY, "text": NO_TEXT, "query": NO_TEXT, "prefix": NO_TEXT, "conversation_id": NO_KEY,
        "add.role": NO_KEY, "search.role": NO_KEY, "created_at": NO_MOMENT, "before": NO_KEY, "limit": NO_LIMIT, "progress": (7,),
    }  # fmt: skip
