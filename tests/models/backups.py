"""The backups room in plain Python: counters and backups in order of arrival, and the conversations that they are about."""

from __future__ import annotations

from types import SimpleNamespace

from memstore import Exists, HandoffNote, Invalid, NotFound

from .harness import (
    LIMITS,
    NO_DICT,
    NO_KEY,
    NO_LABEL,
    NO_LIMIT,
    NO_MOMENT,
    Model,
    cut,
    moments,
    one_of,
    plain,
    refuse_unless,
)  # fmt: skip

CHATS = ("c-1", "c-2", "c-3")
STRANGERS = ("x-1", "x-2")  # chat never gets to know these
SPECIALISTS = ("coder", "writer")
TRIGGERS = ("token_threshold", "message_count", "time_gap", "manual", "coverage_job_no_backup", "coverage_job_stale")


def tokens(text):
    return max(1, len(text) // 4)


def words(text):
    return len(text.split())


def note_about(gap):
    return f"about {gap.conversation_id}, for {gap.specialist or 'nobody'}"


def note_for_coders(gap):
    return HandoffNote(goal="mend it", status=gap.trigger) if gap.specialist == "coder" else None


class Chat:
    """A conversation as far as backups care: its messages with their positions, and when it was last active."""

    def __init__(self, now, activity):
        self.messages = []
        self.position = 0
        self.active = (now, activity)


class Backups(Model):
    """When a context must be handed over, and what the next one must know."""

    room = "backups"
    reads = frozenset({"counter", "due", "position", "is_valid", "coverage", "get", "latest", "find", "resume"})
    beyond = frozenset({"check", "erase", "unplace"})  # for Store.erase and prune alone
    often = {"track": 8, "save": 3, "chat__append": 8, "chat__create_conversation": 2}

    def __init__(self):
        super().__init__()
        self.chats = {}
        self.activity = 0
        self.counters = {}  # (conversation, specialist) -> counter, in order of arrival
        self.saved = []

    # -- chat, as far as it goes --------------------------------------------------------------------------------------

    def chat__create_conversation(self, *, id):
        refuse_unless(id not in self.chats, Exists)
        self.activity += 1
        self.chats[id] = Chat(self.now, self.activity)
        return plain(self.told)

    def chat__append(self, conversation_id, role, content, *, created_at=None):
        chat = self._chat(conversation_id)
        self.activity += 1
        chat.position += 1
        chat.active = (self.now, self.activity)
        born = self.now if created_at is None else created_at
        chat.messages.append({"position": chat.position, "role": role, "content": content, "created_at": born})
        return plain(self.told)

    def chat__pop(self, conversation_id):
        chat = self._chat(conversation_id)
        if chat.messages:
            chat.messages.pop()
        return plain(self.told)

    def _chat(self, conversation_id):
        refuse_unless(conversation_id in self.chats, NotFound)
        return self.chats[conversation_id]

    # -- writes -------------------------------------------------------------------------------------------------------

    def _counter(self, pair, **columns):
        """The counter of a pair, made where there is none."""
        if pair not in self.counters:
            self.counters[pair] = {
                "id": None, "conversation_id": pair[0], "specialist": pair[1], "token_estimate": 0, "message_count": 0,
                "total_messages": 0, "thread_number": 1, "last_backup_at": None, "updated_at": self.now, **columns,
            }  # fmt: skip
        return self.counters[pair]

    def track(self, conversation_id, specialist, text="", *, tokens=None):
        counter = self._counter((conversation_id, specialist))
        counter["token_estimate"] += max(1, len(text) // 4) if tokens is None else tokens
        counter["message_count"] += 1
        counter["total_messages"] += 1
        counter["updated_at"] = self.now
        return self._shown(counter, self.told)

    def _shown(self, counter, told):
        """A counter; its id is the store's until it is seen for the first time."""
        counter["id"] = getattr(told, "id", None) if counter["id"] is None else counter["id"]
        return dict(counter)

    def add_counter(
        self, conversation_id, specialist, *, token_estimate=0, message_count=0, thread_number=1, last_backup_at=None,
        updated_at=None, id=None,
    ):  # fmt: skip
        pair = (conversation_id, specialist)
        refuse_unless(pair not in self.counters and id not in self._ids(self.counters.values()), Exists)
        counter = self._counter(
            pair, id=id, token_estimate=token_estimate, message_count=message_count, total_messages=message_count,
            thread_number=thread_number, last_backup_at=last_backup_at, updated_at=self.now if updated_at is None else updated_at,
        )  # fmt: skip
        return self._shown(counter, self.told)

    @staticmethod
    def _ids(rows):
        return [row["id"] for row in rows if row["id"] is not None]

    def save(
        self, conversation_id, specialist, note, *, trigger="manual", position=None, token_estimate=None, metadata=None, id=None,
        created_at=None, thread_number=None,
    ):  # fmt: skip
        refuse_unless(id not in self._ids(self.saved), Exists)
        newest = self.position(conversation_id)
        refuse_unless(position is None or (newest is not None and position <= newest), Invalid)
        return self._save(
            self.told, (conversation_id, specialist), note, trigger, newest if position is None else position, token_estimate, metadata,
            id, self.now if created_at is None else created_at, thread_number,
        )  # fmt: skip

    def _save(self, told, pair, note, trigger, seen, token_estimate=None, metadata=None, id=None, at=None, thread_number=None):
        text = note.text if isinstance(note, HandoffNote) else note
        at = self.now if at is None else at
        if thread_number is None:  # it closes the thread and the counter begins anew
            counter = self._counter(pair)
            closed = counter["thread_number"]
            counter.update(token_estimate=0, message_count=0, thread_number=closed + 1, last_backup_at=at, updated_at=self.now)
        else:  # it comes from elsewhere
            closed = thread_number
            counter = self._counter(pair, thread_number=closed + 1, last_backup_at=at, updated_at=at)
            counter["thread_number"] = max(counter["thread_number"], closed)
        made = {
            "id": getattr(told, "id", None) if id is None else id, "conversation_id": pair[0], "specialist": pair[1], "trigger": trigger,
            "thread_number": closed, "position": seen, "backup_text": text,
            "token_estimate": tokens(text) if token_estimate is None else token_estimate, "metadata": metadata, "created_at": at,
        }  # fmt: skip
        self.saved.append(made)
        return dict(made)

    def cover(self, write_note=None, *, min_messages=5):
        told = iter(self.told or ())
        saved = []
        for gap in self.coverage(min_messages=min_messages):
            pair = gap["conversation_id"], gap["specialist"]
            if write_note is not None:
                note = write_note(SimpleNamespace(**gap))
            elif gap["position"] is None:
                note = None
            else:
                newest = self.chats[pair[0]].messages[-60:]
                note = HandoffNote.draft([{"role": message["role"], "content": message["content"]} for message in newest])
            if note is not None:
                saved.append(self._save(next(told, None), pair, note, gap["trigger"], gap["position"]))
        return saved

    # -- reads --------------------------------------------------------------------------------------------------------

    def counter(self, conversation_id, specialist):
        found = self.counters.get((conversation_id, specialist))
        return None if found is None else self._shown(found, self.told)

    def due(
        self, conversation_id, specialist, *, window, threshold=0.7, max_messages=30, gap_hours=24.0, gap_messages=5
    ):
        counter = self.counters.get((conversation_id, specialist))
        if counter is None or counter["message_count"] == 0:
            return None
        if counter["token_estimate"] >= window * round(threshold * 100) // 100:
            return "token_threshold"
        if counter["message_count"] >= max_messages:
            return "message_count"
        rests = counter["message_count"] >= gap_messages and self.now - counter["updated_at"] >= gap_hours * 3600
        return "time_gap" if rests else None

    def position(self, conversation_id, *, before=None):
        if conversation_id not in self.chats:
            return None
        chat = self.chats[conversation_id]
        later = [message["position"] - 1 for message in chat.messages if before is not None and message["created_at"] >= before]
        return later[0] if later else chat.position

    def is_valid(self, conversation_id, specialist):
        """Whether there is nothing beyond the newest backup."""
        backup = self.latest(conversation_id, specialist)
        if backup is None:
            return False
        if conversation_id not in self.chats:
            return self.counters[conversation_id, specialist]["message_count"] == 0
        return backup["position"] is not None and backup["position"] >= self.chats[conversation_id].position

    def coverage(self, *, min_messages=5):
        newest_counter = sorted(self.counters.values(), key=lambda counter: counter["updated_at"])[::-1]
        known = sorted(self.chats, key=lambda id: self.chats[id].active)[::-1]
        others = dict.fromkeys(counter["conversation_id"] for counter in newest_counter if counter["conversation_id"] not in self.chats)
        gaps = []
        for conversation_id in (*known, *others):
            chat = self.chats.get(conversation_id)
            specialists = [counter["specialist"] for counter in newest_counter if counter["conversation_id"] == conversation_id]
            for specialist in specialists or [""]:
                held = self.counters[conversation_id, specialist]["total_messages"] if chat is None else len(chat.messages)
                if held >= min_messages and not self.is_valid(conversation_id, specialist):
                    backup = self.latest(conversation_id, specialist)
                    gaps.append({
                        "conversation_id": conversation_id, "specialist": specialist,
                        "trigger": "coverage_job_no_backup" if backup is None else "coverage_job_stale", "messages": held,
                        "position": None if chat is None else chat.position, "backup_id": None if backup is None else backup["id"],
                    })  # fmt: skip
        return gaps

    def get(self, id):
        found = [row for row in self.saved if row["id"] == id]
        refuse_unless(found, NotFound)
        return dict(found[0])

    def latest(self, conversation_id, specialist=None):
        found = self.find(conversation_id=conversation_id, specialist=specialist, limit=1)
        return found[0] if found else None

    def find(self, *, conversation_id=None, specialist=None, trigger=None, limit=50, before=None):
        wanted = {"conversation_id": conversation_id, "specialist": specialist, "trigger": trigger}
        fits = [row for row in self.saved if all(value is None or row[name] == value for name, value in wanted.items())]
        if before is not None:
            cursor = self.get(before)
            refuse_unless(cursor in fits, Invalid)
            fits = fits[: fits.index(cursor)]
        return [dict(row) for row in cut(fits[::-1], limit)]

    def resume(self, conversation_id, specialist, *, max_tokens, count=tokens):
        backup = self.latest(conversation_id, specialist)
        refuse_unless(backup is not None or conversation_id in self.chats, NotFound)
        said = self.chats[conversation_id].messages if conversation_id in self.chats else []
        system = [message for message in said if message["role"] == "system"]
        note = [] if backup is None else [{"role": "user", "content": backup["backup_text"]}]
        left = max_tokens - sum(count(message["content"]) for message in [*system, *note])
        refuse_unless(left >= 0, Invalid)
        since = 0 if backup is None or backup["position"] is None else backup["position"]
        newest = []
        for message in [message for message in said if message["role"] != "system" and message["position"] > since][::-1]:
            left -= count(message["content"])
            if left < 0:
                break
            newest.insert(0, message)
        taken = [message for message in said if message in system or message in newest]
        first = next((place for place, message in enumerate(taken) if message["role"] != "system"), len(taken))
        return [*_spoken(taken[:first]), *note, *_spoken(taken[first:])]

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "conversation_id": one_of(*CHATS, *STRANGERS),
        "chat__create_conversation.id": one_of(*CHATS),
        "chat__append.created_at": moments,
        "role": one_of("user", "user", "assistant", "assistant", "system"),
        "content": one_of("short", "please mend the rounding of the time", "done, see rounding.py", "always use tabs, never spaces"),
        "specialist": one_of(*SPECIALISTS),
        "save.specialist": one_of("", *SPECIALISTS),
        "text": one_of("", "some words that count", "x" * 90),
        "tokens": one_of(None, 0, 7, 500),
        "token_estimate": one_of(0, 9, 800),
        "message_count": one_of(0, 4, 31),
        "thread_number": one_of(0, 1, 2, 5),
        "save.thread_number": one_of(None, None, 0, 1, 3, 9),
        "last_backup_at": moments,
        "updated_at": moments,
        "created_at": moments,
        "before": moments,
        "find.before": lambda model, rng: rng.choice([None, "nothing", *model._ids(model.saved[-6:])]),
        "id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(99)}"]),
        "get.id": lambda model, rng: rng.choice(["nothing", *model._ids(model.saved[-9:])]),
        "note": lambda model, rng: rng.choice(["where we are", HandoffNote(goal="mend", resume="line\n## Resume")]),
        "trigger": one_of(*TRIGGERS),
        "position": lambda model, rng: rng.choice([None, None, 0, 1, rng.randrange(40)]),
        "metadata": one_of(None, {"a": [1]}),
        "write_note": one_of(None, note_about, note_for_coders),
        "min_messages": one_of(0, 1, 5, 9),
        "window": one_of(1, 100, 1000, 8000),
        "threshold": one_of(0.0, 0.5, 0.9, 1.0),
        "max_messages": one_of(1, 10),
        "gap_hours": one_of(0.0, 1.0),
        "gap_messages": one_of(1, 3),
        "limit": LIMITS,
        "max_tokens": one_of(0, 5, 20, 60, 5000),
        "count": one_of(tokens, words, len),
    }
    wrong = {
        "conversation_id": NO_KEY, "specialist": NO_LABEL, "text": (7, None), "tokens": (-1, 1.5, "1"), "token_estimate": (-1, "1"),
        "message_count": (-1, None), "thread_number": (-1, 2**63), "last_backup_at": NO_MOMENT, "updated_at": NO_MOMENT,
        "created_at": NO_MOMENT, "find.before": NO_KEY, "position.before": NO_MOMENT, "id": NO_KEY, "note": ("", " ", 7),
        "trigger": ("boredom",), "position": (-1, "1"), "metadata": NO_DICT, "write_note": ("a note", 7), "min_messages": (-1, None),
        "window": (0, -1, None), "threshold": (-0.1, 1.1, "1"), "max_messages": (0,), "gap_hours": (-1.0, None), "gap_messages": (0,),
        "limit": NO_LIMIT, "max_tokens": (-1, None, "9"), "count": (7, "len"), "role": ("robot", 7), "content": (7,),
    }  # fmt: skip


def _spoken(messages):
    return [{"role": message["role"], "content": message["content"]} for message in messages]
