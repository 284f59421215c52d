"""The audit log in plain Python: a list of events in order; redacting empties some fields, pruning cuts the list."""

from __future__ import annotations

from memstore import AuditHead, Exists, Invalid, NotFound

from .harness import (
    FLAGS,
    LIMITS,
    NO_FLAG,
    NO_KEY,
    NO_LABEL,
    NO_LIMIT,
    NO_MOMENT,
    NO_NUMBER,
    Model,
    Refused,
    cut,
    moments,
    one_of,
    refuse_unless,
)  # fmt: skip

#: What a redaction takes away, with what is there afterwards.
REDACTABLE = {
    "actor": "", "entity_id": None, "session_id": None, "conversation_id": None, "trace_id": None, "token_id": None, "user_id": None,
    "before": None, "after": None, "details": None, "note": "",
}  # fmt: skip
LASTING = (
    "actor_kind", "entity_kind", "project", "stream", "field", "specialist", "u_score", "confidence", "latency_ms",
)  # fmt: skip
DOCUMENTS = one_of(None, {"a": 1, "é": [None, "x"]}, [1, 2.5], "text", 0, False)


class Audit(Model):
    """Who did what, in an order that cannot be changed unseen."""

    room = "audit"
    reads = frozenset({"get", "find", "history", "head", "verify"})
    beyond = frozenset({"check", "begin"})  # begin is open_store's
    often = {"append": 8, "redact": 3}
    undrawn = frozenset({"resume", "store_id"})

    def __init__(self):
        super().__init__()
        self.events = None  # of these there is no second list here
        self.log_of = []
        self.last = 0
        self.numbers = {}  # project -> its last number
        self.heads = []
        self.store_id = None

    def learn(self, store):
        self.store_id = store.audit.head().store_id

    def log(self, event_type):
        self._append({"event_type": event_type})

    def _append(self, given, **own):
        self.last += 1
        project = given.get("project")
        if project is not None:
            self.numbers[project] = self.numbers.get(project, 0) + 1
        event = {
            "seq": self.last, "id": given.get("id") or f"{self.store_id}-{self.last}", "created_at": self.now,
            "event_type": given["event_type"],
            "project_seq": None if project is None else self.numbers[project], "redacts": [], "seal": None, "redacted": False,
            "prev_hash": ..., "curr_hash": ..., **{name: given.get(name) for name in LASTING},
            **{name: given.get(name, empty) for name, empty in REDACTABLE.items()}, **own,
        }  # fmt: skip
        self.log_of.append(event)
        return dict(event)

    def _taken(self, id):
        return id is not None and id in [event["id"] for event in self.log_of]

    # -- writes -------------------------------------------------------------------------------------------------------

    def append(
        self, event_type, *, actor="", actor_kind=None, entity_kind=None, entity_id=None, before=None, after=None, session_id=None,
        conversation_id=None, trace_id=None, token_id=None, user_id=None, project=None, stream=None, field=None, specialist=None,
        u_score=None, confidence=None, latency_ms=None, details=None, note="", id=None,
    ):  # fmt: skip
        given = {name: value for name, value in locals().items() if name != "self"}
        refuse_unless(not self._taken(id), Exists)
        return self._append(given)

    def append_many(self, events):
        ids = [event["id"] for event in events if "id" in event]
        refuse_unless(len(set(ids)) == len(ids) and not any(map(self._taken, ids)), Exists)
        for event in events:
            self._append(event)
        return len(events)

    def redact(self, seq, *, reason, actor=""):
        event = self._at(seq)
        refuse_unless(not event["redacted"], Invalid)
        event.update(REDACTABLE, redacted=True)
        return self._append({"event_type": "audit.redact", "actor": actor, "note": reason}, redacts=[seq])

    def prune(self, before_seq, *, reason, actor=""):
        refuse_unless(before_seq <= self.last + 1, Invalid)
        gone = [event for event in self.log_of if event["seq"] < before_seq]
        if gone:
            self.log_of = self.log_of[len(gone) :]
            seal = {"first": gone[0]["seq"], "upto": gone[-1]["seq"], "count": len(gone), "hash": ...}
            self._append({"event_type": "audit.prune", "actor": actor, "note": reason}, seal=seal)
        return len(gone)

    # -- reads --------------------------------------------------------------------------------------------------------

    def _at(self, seq):
        found = [event for event in self.log_of if seq in (event["seq"], event["id"])]
        if not found:
            raise Refused(NotFound)
        return found[0]

    def get(self, seq):
        return dict(self._at(seq))

    def find(
        self, *, event_type=None, actor=None, user_id=None, session_id=None, conversation_id=None, trace_id=None, token_id=None,
        project=None, stream=None, entity_kind=None, entity_id=None, since=None, until=None, after_seq=None, before_seq=None,
        ascending=False, limit=100,
    ):  # fmt: skip
        wanted = {
            "event_type": event_type, "actor": actor, "user_id": user_id, "session_id": session_id, "conversation_id": conversation_id,
            "trace_id": trace_id, "token_id": token_id, "project": project, "stream": stream, "entity_kind": entity_kind,
            "entity_id": entity_id,
        }  # fmt: skip
        found = [
            dict(event) for event in self.log_of
            if all(value is None or event[name] == value for name, value in wanted.items())
            and (since is None or event["created_at"] >= since) and (until is None or event["created_at"] < until)
            and (after_seq is None or event["seq"] > after_seq) and (before_seq is None or event["seq"] < before_seq)
        ]  # fmt: skip
        return cut(found if ascending else found[::-1], limit)

    def history(self, entity_kind, entity_id):
        return self.find(entity_kind=entity_kind, entity_id=entity_id, ascending=True, limit=None)

    def head(self):
        self.heads.append(str(self.told))
        return {"store_id": ..., "seq": self.last, "hash": ...}

    def verify(self, *, anchors=(), resume=None, store_id=None):
        """A log that only this model has touched is sound, and ends where any head that it ever had says."""
        held = [AuditHead.parse(anchor).seq for anchor in anchors]
        first = self.log_of[0]["seq"] if self.log_of else 1
        confirmed = [seq for seq in held if seq >= first - 1]
        anchored = {"store_id": ..., "seq": max(confirmed), "hash": ...} if confirmed else ...
        return {
            "ok": True, "checked": len(self.log_of), "head": {"store_id": ..., "seq": self.last, "hash": ...}, "findings": ...,
            "anchored_to": anchored,
        }  # fmt: skip

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "event_type": one_of("query", "answer", "tool.call"),
        "find.event_type": one_of("query", "answer", "audit.redact", "block"),
        "actor": one_of("", "ann", 'b"ob'),
        "actor_kind": one_of("human", "model"),
        "entity_kind": one_of("file", "file", "row"),
        "entity_id": one_of("e-1", "e-1", ',"user_id":"u-1"'),
        "before": DOCUMENTS,
        "after": DOCUMENTS,
        "details": DOCUMENTS,
        "session_id": one_of("s-1", "s-2"),
        "conversation_id": one_of("c-1", "c-2"),
        "trace_id": one_of("t-1", None),
        "token_id": one_of("k-1", "k-2"),
        "user_id": one_of("u-1", "u-2", None),
        "project": one_of("p-1", "p-2", None),
        "stream": one_of("main", "side"),
        "field": one_of("price", None),
        "specialist": one_of("coder", None),
        "u_score": one_of(0.0, 0.5, -1.0),
        "confidence": one_of(0.25, None),
        "latency_ms": one_of(12.5, 0.0),
        "note": one_of("", "seen"),
        "reason": one_of("asked for", "old"),
        "append.id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(80)}"]),
        "events": lambda model, rng: [_event(rng) for _ in range(rng.randrange(5))],
        "redact.seq": lambda model, rng: rng.randint(model.last - 30, model.last + 1),
        "get.seq": lambda model, rng: rng.choice([rng.randint(model.last - 30, model.last + 1), f"id-{rng.randrange(80)}"]),
        "before_seq": lambda model, rng: rng.randint(max(1, model.last - 60), model.last + 2),
        "prune.before_seq": lambda model, rng: rng.choice([model.last + 2, *[max(1, model.last - rng.randint(40, 90)) for _ in range(9)]]),
        "after_seq": lambda model, rng: rng.randint(-1, model.last + 1),
        "since": lambda model, rng: _time(model, rng),
        "until": lambda model, rng: _time(model, rng),
        "ascending": FLAGS,
        "limit": LIMITS,
        "anchors": lambda model, rng: rng.sample(model.heads, min(2, len(model.heads))),
    }
    wrong = {
        "event_type": ("Query", "", 7, None, "audit.prune", "a b"), "find.event_type": ("Query", 7), "actor": (7, "a\0b"),
        "actor_kind": NO_LABEL,
        "entity_id": NO_LABEL, "details": ({1: 2}, float("nan"), {"a": {1}}), "find.user_id": NO_LABEL, "project": NO_LABEL,
        "u_score": NO_NUMBER, "append.id": NO_KEY, "reason": ("", " ", 7),
        "prune.actor": (), "redact.seq": ("1", 1.0, True), "get.seq": (1.0, True, ""),
        "find.before_seq": ("1", 1.0), "prune.before_seq": (0, "1"), "after_seq": ("1", 1.5), "since": NO_MOMENT, "until": NO_MOMENT,
        "ascending": NO_FLAG, "limit": NO_LIMIT, "anchors": ("abc", ["abc"], 7),
        "events": (7, [7], [{"actor": "ann"}], [{"event_type": "query"}, {"event_type": "query", "actr": "ann"}]),
    }  # fmt: skip


def _time(model, rng):
    """That of an event, or any other."""
    return rng.choice([moments(model, rng), *[event["created_at"] for event in model.log_of[-20:]]])


def _event(rng):
    """One of append_many: a type and some of the other arguments."""
    given = {"event_type": rng.choice(("query", "answer"))}
    for name in ("actor", "user_id", "project", "entity_kind", "entity_id", "details", "u_score", "note"):
        value = Audit.pools[name](None, rng)
        if rng.random() < 0.3 and value is not None:
            given[name] = value
    if rng.random() < 0.15:
        given["id"] = f"id-{rng.randrange(80)}"
    return given
