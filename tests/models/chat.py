"""The chat room in plain Python: conversations with lists of messages, projects with their names, sessions of queries."""

from __future__ import annotations

from contextlib import suppress

from memstore import Exists, Invalid, Message, NotFound, VersionConflict

from .harness import (
    FLAGS,
    LIMITS,
    NO_DICT,
    NO_FLAG,
    NO_KEY,
    NO_LIMIT,
    NO_MOMENT,
    NO_TEXT,
    Model,
    Refused,
    cut,
    moments,
    one_of,
    plain,
    refuse_unless,
)  # fmt: skip

USERS = one_of("local", "ann", "bob")
CHATS = ("c-1", "c-2", "c-3", "c-4")
NAMES = ("p-1", "p-2", "Invoices", "bills", "paper")
WORDS = ("round", "rounding", "roundabout", "time", "timer", "cache", "cash")
CALLS = tuple([{"id": f"call-{one}", "type": "function", "function": {"name": "timer", "arguments": "cash"}}] for one in (1, 2))
SYSTEM = ("system", "developer")


def tokens(text):
    return max(1, len(text) // 4)


def texts(form):
    """All texts of a message: its content or each part, an item's output, each call's name and arguments."""
    content = form.get("content")
    said = [content] if isinstance(content, str) else [part["text"] for part in content or () if "text" in part]
    called = [call["function"] for call in form.get("tool_calls") or ()]
    return [*said, *(call[name] for call in called for name in ("name", "arguments"))]


def blank(content):
    return content is None or not "".join(texts({"content": content})).strip()


class Chat(Model):
    """What was said, in which project, by whom, in the order in which it arrived."""

    room = "chat"
    reads = frozenset({
        "get_conversation", "conversations", "get_message", "messages", "window", "search", "export_sft", "projects", "get_project",
        "active_project", "canonical", "position", "positions", "get_session", "sessions", "session__get_items",
    })  # fmt: skip
    beyond = frozenset({"check", "erase", "session"})  # what a session does stands here as session__...
    often = {"append": 8, "append_many": 4, "pop": 3, "create_conversation": 3, "fork": 2}

    def __init__(self):
        super().__init__()
        self.chats = {}  # id -> columns; _said are its messages, _last the last position, _active orders the list
        self.owned = {}  # id -> project
        self.active = {}  # user -> id of a project
        self.queries = {}  # id -> session of queries
        self.arrivals = 0
        self.ids_of = None

    def learn(self, store):
        def ids_of(conversation_id):
            with suppress(NotFound):
                return [message.id for message in store.chat.messages(conversation_id, limit=None)]
            return []

        self.ids_of = ids_of

    def _chat(self, id):
        refuse_unless(id in self.chats, NotFound)
        return self.chats[id]

    def _arrival(self):
        self.arrivals += 1
        return self.arrivals

    @staticmethod
    def _show(row):
        return {name: value for name, value in row.items() if not name.startswith("_")}

    # -- conversations ------------------------------------------------------------------------------------------------

    def create_conversation(
        self, *, id=None, exist_ok=False, title="", project=None, user_id="local", metadata=None, created_at=None, updated_at=None
    ):
        if id in self.chats:
            refuse_unless(exist_ok, Exists)
            return self._show(self.chats[id])
        id = self.new_id(self.chats) if id is None else id
        born = self.now if created_at is None else created_at
        self.chats[id] = {
            "id": id, "user_id": user_id, "title": title,
            "project_id": self.active.get(user_id) if project is None else self.canonical(project, user_id),
            "created_at": born, "updated_at": born if updated_at is None else updated_at, "archived_at": None, "forked_from": None,
            "forked_at": None, "metadata": metadata, "_said": [], "_last": 0, "_active": self._arrival(),
        }  # fmt: skip
        return self._show(self.chats[id])

    def rename(self, conversation_id, title):
        chat = self._chat(conversation_id)
        chat.update(title=title, updated_at=self.now, _active=self._arrival())
        return self._show(chat)

    def move(self, conversation_id, project):
        chat = self._chat(conversation_id)
        chat["project_id"] = self.canonical(project, chat["user_id"])
        return self._show(chat)

    def archive(self, conversation_id, *, archived=True):
        chat = self._chat(conversation_id)
        chat["archived_at"] = self.now if archived else None
        return self._show(chat)

    def fork(self, conversation_id, *, at):
        chat = self._chat(conversation_id)
        last = self._cursor(at, conversation_id)
        copied = [message for message in chat["_said"] if message["_place"] <= last]
        made = self.create_conversation(title=chat["title"], user_id=chat["user_id"], metadata=chat["metadata"])["id"]
        copy = self.chats[made]
        copy.update(project_id=chat["project_id"], forked_from=conversation_id, forked_at=at, updated_at=self.now)
        for message, id in zip(copied, self.ids_of(made)):
            self._add(copy, {**message, "id": id, "conversation_id": made})
        return self._show(copy)

    def get_conversation(self, conversation_id):
        return self._show(self._chat(conversation_id))

    def _by_activity(self):
        return sorted(self.chats.values(), key=lambda chat: (chat["updated_at"], chat["_active"]), reverse=True)

    def conversations(self, *, project=None, user_id=None, archived=False, limit=50, before=None):
        chats = self._by_activity()
        if before is not None:
            chats = chats[chats.index(self._chat(before)) + 1 :]
        wanted = self.canonical(project, user_id)
        shown = [
            self._show(chat) for chat in chats
            if (archived or chat["archived_at"] is None) and user_id in (None, chat["user_id"])
            and chat["project_id"] == (wanted if project is not None else self.active.get(chat["user_id"], chat["project_id"]))
        ]  # fmt: skip
        return cut(shown, limit)

    # -- messages -----------------------------------------------------------------------------------------------------

    def _everything(self):
        return [message for chat in self.chats.values() for message in chat["_said"]]

    def _message(self, id):
        found = [message for message in self._everything() if message["id"] == id]
        refuse_unless(found, NotFound)
        return found[0]

    def _cursor(self, id, conversation_id):
        """The place of a message that a page of a conversation goes on from."""
        message = self._message(id)
        refuse_unless(conversation_id in (None, message["conversation_id"]), Invalid)
        return message["_place"]

    def _add(self, chat, message):
        chat["_last"] += 1
        chat["_active"] = self._arrival()
        message.update(_place=chat["_last"], _arrival=chat["_active"])
        chat["_said"].append(message)
        return self._show(message)

    def _made(
        self, conversation_id, form, id, *, created_at=None, callout_type=None, models_used=(), accuracy_level=None, confidence=None,
        metadata=None,
    ):  # fmt: skip
        """A message: its form as it came in, and what is kept beside it."""
        return {
            "id": id, "conversation_id": conversation_id, "role": form.get("role", "item"),
            "content": "\n".join(texts({"content": form.get("content")})),
            "created_at": self.now if created_at is None else created_at, "callout_type": callout_type, "models_used": list(models_used),
            "accuracy_level": accuracy_level, "confidence": confidence, "tool_calls": form.get("tool_calls"),
            "tool_call_id": form.get("tool_call_id"), "name": form.get("name"), "extra": ..., "metadata": metadata, "openai": form,
        }  # fmt: skip

    def append(
        self, conversation_id, role, content, *, id=None, created_at=None, callout_type=None, models_used=(), accuracy_level=None,
        confidence=None, tool_calls=None, tool_call_id=None, name=None, metadata=None,
    ):  # fmt: skip
        refuse_unless(role != "user" or not blank(content), Invalid)
        chat = self._chat(conversation_id)
        known = [message["id"] for message in self._everything()]
        refuse_unless(id not in known, Exists)
        beside = {"tool_calls": tool_calls, "tool_call_id": tool_call_id, "name": name}
        form = {"role": role, "content": content, **{key: value for key, value in beside.items() if value is not None}}
        chat["updated_at"] = self.now
        message = self._made(
            conversation_id, form, self.new_id(known) if id is None else id, created_at=created_at, callout_type=callout_type,
            models_used=models_used, accuracy_level=accuracy_level, confidence=confidence, metadata=metadata,
        )  # fmt: skip
        return self._add(chat, message)

    def append_message(self, conversation_id, message):
        return self._append_all(conversation_id, [message], [getattr(self.told, "id", None)], None)[0]

    def append_many(self, conversation_id, messages, *, updated_at=None):
        return self._append_all(conversation_id, messages, [message.id for message in self.told or ()], updated_at)

    def _append_all(self, conversation_id, messages, told, updated_at):
        """Records bring their id, time and columns; of mappings all keys are the sender's."""
        chat = self._chat(conversation_id)
        taken = [message["id"] for message in self._everything()]
        given = [message.id for message in messages if isinstance(message, Message)]
        refuse_unless(len({*taken, *given}) == len(taken) + len(given), Exists)
        if messages:
            chat["updated_at"] = self.now if updated_at is None else updated_at
        shown = []
        for message, id in zip(messages, told):
            assert id not in taken
            if isinstance(message, Message):
                beside = {"created_at": message.created_at, "callout_type": message.callout_type, "models_used": message.models_used}
                made = self._made(conversation_id, message.to_openai(), message.id, **beside)
            else:
                made = self._made(conversation_id, message, id)
            shown.append(self._add(chat, made))
        return shown

    def pop(self, conversation_id):
        chat = self._chat(conversation_id)
        return self._show(chat["_said"].pop()) if chat["_said"] else None

    def clear(self, conversation_id, *, actor="", note=""):
        chat = self._chat(conversation_id)
        gone = len(chat["_said"])
        if gone:
            chat["_said"] = []
            self.log("conversation.clear", conversation_id, actor, note)
        return gone

    def get_message(self, id):
        return self._show(self._message(id))

    def messages(self, conversation_id, *, limit=50, before=None, after=None):
        said = self._chat(conversation_id)["_said"]
        end = None if before is None else self._cursor(before, conversation_id)
        first = 0 if after is None else self._cursor(after, conversation_id)
        page = [self._show(one) for one in said if one["_place"] > first and (end is None or one["_place"] < end)]
        return cut(page, limit) if after is not None else cut(page[::-1], limit)[::-1]

    def window(self, conversation_id, *, max_tokens, count=tokens, since=0):
        """System messages, and the longest newest run of whole groups that fits; a call and its results are one group."""
        said = self._chat(conversation_id)["_said"]
        taken = [message for message in said if message["role"] in SYSTEM]
        left = max_tokens - sum(_cost(message, count) for message in taken)
        refuse_unless(left >= 0, Invalid)
        groups = []
        for message in said:
            if message["role"] == "tool":  # of the nearest call before it; without one nobody sees it
                asked = [group for group in groups if message["tool_call_id"] in _calls(group[0])]
                for group in asked[-1:]:
                    group.append(message)
            elif message["role"] not in SYSTEM:
                groups.append([message])
        for group in groups[::-1]:
            if group[-1]["_place"] > since:
                left -= sum(_cost(message, count) for message in group)
                if left < 0:
                    break
                taken += group
        return [self._show(message) for message in sorted(taken, key=lambda message: message["_place"])]

    def search(self, query, *, conversation_id=None, project=None, role=None, user_id=None, limit=20, before=None):
        if conversation_id is not None:
            self._chat(conversation_id)
        project = self.canonical(project, user_id)
        found = sorted(self._everything(), key=lambda message: (message["created_at"], message["_arrival"]), reverse=True)
        if before is not None:
            self._cursor(before, conversation_id)
            found = found[found.index(self._message(before)) + 1 :]
        hits = []
        for message in found:
            chat = self.chats[message["conversation_id"]]
            has = " ".join(texts(message["openai"])).split()
            wanted = ((conversation_id, chat["id"]), (project, chat["project_id"]), (role, message["role"]), (user_id, chat["user_id"]))
            said = query.split() and all(any(word.startswith(part) for word in has) for part in query.split())
            if said and all(one in (None, other) for one, other in wanted):
                hits.append({"message": self._show(message), "snippet": ...})
        return cut(hits, limit)

    def export_sft(self, path, *, project=None, user_id=None, conversation_id=None, since=None):
        chosen = list(self.chats.values()) if conversation_id is None else [self._chat(conversation_id)]
        project = self.canonical(project, user_id)
        return sum(
            any(message["role"] == "assistant" for message in chat["_said"]) and project in (None, chat["project_id"])
            and user_id in (None, chat["user_id"]) and (since is None or chat["updated_at"] >= since)
            for chat in chosen
        )  # fmt: skip

    def position(self, conversation_id, *, before=None):
        chat = self.chats.get(conversation_id)
        later = [one["_place"] - 1 for one in chat["_said"] if before is not None and one["created_at"] >= before] if chat else []
        return later[0] if later else chat and chat["_last"]

    def positions(self):
        return [[chat["id"], chat["_last"], len(chat["_said"])] for chat in self._by_activity()]

    # -- the Agents SDK's session -------------------------------------------------------------------------------------

    def session__get_items(self, session_id, limit=None):
        said = self.chats[session_id]["_said"] if session_id in self.chats else []
        return [message["openai"] for message in (said if limit is None else said[max(0, len(said) - max(0, limit)) :])]

    def session__add_items(self, session_id, items):
        if items:
            self.create_conversation(id=session_id, exist_ok=True)
            self._append_all(session_id, items, self.ids_of(session_id)[-len(items) :], None)

    def session__pop_item(self, session_id):
        gone = self.pop(session_id) if session_id in self.chats else None
        return None if gone is None else gone["openai"]

    def session__clear_session(self, session_id):
        if session_id in self.chats:
            self.clear(session_id)

    # -- projects -----------------------------------------------------------------------------------------------------

    def canonical(self, project, user_id=None):
        """The id behind an id, name or alias: an id first, then the user's own names, then the oldest of the others."""
        named = [one for one in self.owned.values() if project in (one["name"], *one["aliases"])]
        own = [one for one in named if one["user_id"] == ("local" if user_id is None else user_id)]
        found = [*(one for one in self.owned.values() if one["id"] == project), *own, *named]
        return found[0]["id"] if found else project

    def _project(self, project, user_id):
        id = self.canonical(project, user_id)
        refuse_unless(id in self.owned, NotFound)
        return self.owned[id]

    def _refuse_taken(self, name, user_id):
        names = [one for project in self.owned.values() if project["user_id"] == user_id for one in (project["name"], *project["aliases"])]
        refuse_unless(name not in self.owned and name not in names, Exists)

    def _adopt(self, project, name):
        """The owner's conversations that carried the name before it meant something belong to the project now."""
        for chat in self.chats.values():
            if (chat["project_id"], chat["user_id"]) == (name, project["user_id"]):
                chat["project_id"] = project["id"]

    def create_project(
        self, name, *, exist_ok=False, user_id="local", id=None, description="", status="active", metadata=None, created_at=None,
        updated_at=None,
    ):  # fmt: skip
        own = [each for each in self.owned.values() if each["user_id"] == user_id and name in (each["name"], *each["aliases"])]
        if own and exist_ok:
            return plain(own[0])
        self._refuse_taken(name, user_id)
        if id is not None:
            self._refuse_taken(id, user_id)
        born = self.now if created_at is None else created_at
        project = {
            "id": self.new_id(self.owned) if id is None else id, "user_id": user_id, "name": name, "description": description,
            "status": status, "aliases": [], "metadata": metadata, "version": 1, "created_at": born,
            "updated_at": born if updated_at is None else updated_at,
        }  # fmt: skip
        self.owned[project["id"]] = project
        self._adopt(project, name)
        return plain(project)

    def update_project(
        self, project, *, name=None, description=None, status=None, metadata=None, user_id="local", expected_version=None, actor="",
        note="",
    ):  # fmt: skip
        found = self._project(project, user_id)
        if expected_version not in (None, found["version"]):
            raise Refused(VersionConflict, found)
        if name not in (None, found["name"]):
            self._refuse_taken(name, found["user_id"])
        given = {"name": name, "description": description, "status": status, "metadata": metadata}
        found.update({key: value for key, value in given.items() if value is not None})
        found.update(version=found["version"] + 1, updated_at=self.now)
        self._adopt(found, found["name"])
        self.log("project.update", found["id"], actor, note)
        return plain(found)

    def alias(self, project, *names, user_id="local"):
        found = self._project(project, user_id)
        new = [name for name in dict.fromkeys(names) if name not in (found["id"], found["name"], *found["aliases"])]
        for name in new:
            self._refuse_taken(name, found["user_id"])
        for name in new:
            found["aliases"] = sorted([*found["aliases"], name])
            self._adopt(found, name)
        return plain(found)

    def activate(self, project, *, user_id="local"):
        found = None if project is None else self._project(project, user_id)
        self.active.pop(user_id, None)
        if found is not None:
            self.active[user_id] = found["id"]
        return plain(found)

    def projects(self, *, user_id=None):
        return plain(sorted((one for one in self.owned.values() if user_id in (None, one["user_id"])), key=lambda one: one["name"]))

    def get_project(self, project, *, user_id="local"):
        return plain(self._project(project, user_id))

    def active_project(self, user_id="local"):
        return plain(self.owned[self.active[user_id]]) if user_id in self.active else None

    # -- sessions of queries ------------------------------------------------------------------------------------------

    def touch_session(
        self, session_id=None, *, domain=None, user_id="local", metadata=None, query_count=1, created_at=None, updated_at=None
    ):
        id = self.new_id(self.queries) if session_id is None else session_id
        used = self.now if updated_at is None else updated_at
        born = used if created_at is None else created_at
        new = {"id": id, "user_id": user_id, "created_at": born, "domain": None, "query_count": 0, "metadata": None}
        row = self.queries.setdefault(id, new)
        row["updated_at"] = used
        row["query_count"] += query_count
        row.update({key: value for key, value in (("domain", domain), ("metadata", metadata)) if value is not None})
        return dict(row)

    def get_session(self, session_id):
        refuse_unless(session_id in self.queries, NotFound)
        return dict(self.queries[session_id])

    def sessions(self, *, user_id=None, domain=None, limit=50):
        rows = [dict(row) for row in self.queries.values() if user_id in (None, row["user_id"]) and domain in (None, row["domain"])]
        return cut(sorted(rows, key=lambda row: row["updated_at"])[::-1], limit)

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "conversation_id": lambda model, rng: rng.choice([*CHATS, *[*model.chats][-4:]]),
        "session_id": one_of(*CHATS[2:], "sdk"),
        "touch_session.session_id": one_of(None, "s-1", "s-2"),
        "get_session.session_id": one_of("s-1", "s-2", "s-3"),
        "create_conversation.id": one_of(None, *CHATS, *CHATS),
        "create_project.id": one_of(None, "p-1", "p-2", "bills"),
        "append.id": lambda model, rng: rng.choice([None, f"m-{rng.randrange(150)}"]),
        "get_message.id": lambda model, rng: _some_message(model, rng),
        "at": lambda model, rng: _some_message(model, rng),
        "before": lambda model, rng: _some_message(model, rng),
        "after": lambda model, rng: _some_message(model, rng),
        "conversations.before": one_of(None, *CHATS),
        "position.before": moments,
        "exist_ok": FLAGS,
        "archived": FLAGS,
        "title": one_of("", "Fix it", "Plan"),
        "project": one_of(*NAMES),
        "activate.project": one_of(None, *NAMES),
        "move.project": one_of(None, *NAMES),
        "create_conversation.project": one_of(None, *NAMES),
        "conversations.project": one_of(None, *NAMES),
        "names": lambda model, rng: tuple(rng.choices(NAMES, k=rng.randrange(3))),
        "name": one_of(*NAMES),
        "append.name": one_of("helper", None),
        "user_id": USERS,
        "metadata": one_of(None, {"a": [1, None]}),
        "description": one_of("", "of this year"),
        "status": one_of("active", "done"),
        "expected_version": one_of(None, 1, 2),
        "actor": one_of("", "ann"),
        "note": one_of("", "asked for"),
        "created_at": moments,
        "updated_at": moments,
        "since": moments,
        "window.since": one_of(0, 1, 4),
        "role": one_of("user", "user", "assistant", "assistant", "tool", "system"),
        "content": lambda model, rng: _content(rng),
        "callout_type": one_of("tip", None),
        "models_used": one_of((), ["m-1", "m-2"]),
        "accuracy_level": one_of("fast", "maximum"),
        "confidence": one_of("High", "Uncertain"),
        "tool_calls": one_of(*CALLS),
        "tool_call_id": one_of("call-1", "call-2"),
        "message": lambda model, rng: _form(rng),
        "messages": lambda model, rng: [_form(rng) if rng.random() < 0.85 else _record(rng) for _ in range(rng.randrange(5))],
        "items": lambda model, rng: [_form(rng) for _ in range(rng.randrange(3))],
        "query": one_of("", "r", "round", "ti ca", "cas", "timer", "zebra", "rounding cach"),
        "limit": LIMITS,
        "session__get_items.limit": one_of(None, -1, 0, 1, 3),
        "max_tokens": one_of(0, 4, 12, 40, 5000),
        "count": one_of(tokens, len),
        "path": lambda model, rng: model.folder / "rows.jsonl",
        "domain": one_of("code", "law"),
        "query_count": one_of(0, 1, 7),
    }
    wrong = {
        "conversation_id": NO_KEY, "id": NO_KEY, "at": NO_KEY, "before": NO_KEY, "position.before": NO_MOMENT, "after": NO_KEY,
        "exist_ok": NO_FLAG, "archived": NO_FLAG, "title": NO_TEXT, "name": NO_KEY, "append.name": (7,), "user_id": NO_KEY,
        "names": (("bills", 7), ("",)), "metadata": NO_DICT, "description": (7,), "status": ("Done!", ""),
        "expected_version": ("1", True), "created_at": NO_MOMENT, "updated_at": NO_MOMENT, "since": NO_MOMENT, "window.since": (-1, "1"),
        "role": ("robot", 7, None), "search.role": ("robot", 7), "content": (7, b"x"), "callout_type": ("Tip!",),
        "models_used": ("m-1", [7]), "accuracy_level": ("best",), "confidence": (0.9,), "tool_calls": ("call", [7]),
        "tool_call_id": NO_KEY, "message": ("text", {"role": "robot"}), "items": ("text", [7]),
        "messages": ("text", [{"role": "user", "content": "time"}, 7]), "query": NO_TEXT, "limit": NO_LIMIT,
        "session__get_items.limit": ("3",), "max_tokens": (-1, None), "count": (7,), "domain": (7,),
        "query_count": (-1, "1"), "project": NO_KEY, "session_id": NO_KEY,
    }  # fmt: skip


def _cost(message, count):
    return sum(count(text) for text in texts(message["openai"]) or [""])


def _calls(message):
    return [call["id"] for call in message["tool_calls"] or ()]


def _some_message(model, rng):
    """Mostly one of the conversation that was drawn, sometimes one of another or none at all."""
    near = model.chats.get(model.drawn.get("conversation_id"), {"_said": []})["_said"]
    known = [message["id"] for message in (near if rng.random() < 0.8 else model._everything())]
    return rng.choice(["m-1", *known])


def _text(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))


def _content(rng):
    parts = [{"type": "text", "text": _text(rng)}, {"type": "text", "text": "cash"}]
    return rng.choice([_text(rng), _text(rng), _text(rng), "", " ", None, parts])


def _form(rng):
    """A message as somebody else sends it."""
    chance = rng.random()
    if chance < 0.1:
        return {"type": "memo", "content": _text(rng)}
    if chance < 0.25:
        return {"role": "tool", "tool_call_id": rng.choice(("call-1", "call-2", "call-3")), "content": _text(rng)}
    if chance < 0.4:
        return {"role": "assistant", "content": None, "tool_calls": rng.choice(CALLS), "more": 1}
    form = {"role": rng.choice(("user", "assistant", "system")), "content": _content(rng)}
    return {**form, "id": "theirs", "created_at": 3} if rng.random() < 0.2 else form


def _record(rng):
    return Message(f"m-{rng.randrange(150)}", "elsewhere", "user", _text(rng), moments(None, rng), "tip", ["m-1"])
