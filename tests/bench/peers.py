"""The same work by other Python memories and storage layers, where they are installed; nothing else here imports them.

Each runs as it ships, and once more with WAL and synchronous=NORMAL where it ships otherwise. What a peer cannot do has no line.
Messages carry a role, a text and a time, and are read back as whatever the peer calls a message.
"""

from __future__ import annotations

import asyncio
import importlib
import pathlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from memstore import open_store

from .chat import PAGE, unindexed
from .harness import INSERT, MESSAGES, Bench, Row, as_messages, commit_many, connect, texts
from .keywords import FOUND_TEXT, FTS

CHATS = 20
BATCH = 5000
NORMAL = "WAL+NORMAL"


class Peer:
    """Conversations 0 to CHATS - 1 in a file of the peer's own; `append` commits each text, `extend` all at once."""

    module: str
    settings: Sequence[str] = ("as shipped",)
    exact = True  # whether what it returns is in a defined order
    searches = False

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        raise NotImplementedError

    def append(self, said: Sequence[str]) -> None:
        raise NotImplementedError

    def extend(self, chat: int, said: Sequence[str]) -> None:
        raise NotImplementedError

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        """The texts of the last 50 of each conversation, oldest first."""
        raise NotImplementedError

    def index(self) -> None:
        """Make what is stored searchable, where that takes a step of its own."""

    def search(self, prefixes: Sequence[str]) -> list[list[str]]:
        """The texts of the 20 newest for each prefix, newest first."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""


class Raw(Peer):
    """The floor."""

    searches = True

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        self.connection = connect(path)
        self.connection.execute(MESSAGES)
        self.seq = dict.fromkeys(range(CHATS), 0)

    def _rows(self, chat: int, said: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for text in said:
            self.seq[chat] += 1
            yield chat << 32 | self.seq[chat], chat, "user", text, time.time()

    def append(self, said: Sequence[str]) -> None:
        run = self.connection.execute
        for row in self._rows(0, said):
            run("BEGIN IMMEDIATE")
            run(INSERT, row)
            run("COMMIT")

    def extend(self, chat: int, said: Sequence[str]) -> None:
        commit_many(self.connection, INSERT, list(self._rows(chat, said)))

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        found = [self.connection.execute(PAGE, (chat << 32, (chat << 32) + 0xFFFFFFFF, 50)).fetchall() for chat in chats]
        return [[row[3] for row in reversed(rows)] for rows in found]

    def index(self) -> None:
        self.connection.execute(FTS)
        self.connection.execute("INSERT INTO found(found) VALUES ('rebuild')")

    def search(self, prefixes: Sequence[str]) -> list[list[str]]:
        return [[row[3] for row in self.connection.execute(FOUND_TEXT, (f'"{prefix}"*',)).fetchall()] for prefix in prefixes]

    def close(self) -> None:
        self.connection.close()


class Memstore(Peer):
    module = "memstore"
    settings = ("as shipped", "keyword index left for later")
    searches = True

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        self.store = open_store(path) if setting == self.settings[0] else unindexed(open_store(path))
        self.chats = [self.store.chat.create_conversation().id for _ in range(CHATS)]

    def append(self, said: Sequence[str]) -> None:
        for text in said:
            self.store.chat.append(self.chats[0], "user", text)

    def extend(self, chat: int, said: Sequence[str]) -> None:
        self.store.chat.append_many(self.chats[chat], as_messages(said))

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        return [[message.content for message in self.store.chat.messages(self.chats[chat], limit=50)] for chat in chats]

    def index(self) -> None:
        self.store.keywords.catch_up()

    def search(self, prefixes: Sequence[str]) -> list[list[str]]:
        return [[hit.message.content for hit in self.store.chat.search(prefix, limit=20)] for prefix in prefixes]

    def close(self) -> None:
        self.store.close()


class SqliteUtils(Peer):
    module = "sqlite_utils"
    settings = ("as shipped", NORMAL, f"{NORMAL}, searchable by FTS5 triggers")
    searches = True

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        self.connection = sqlite3.connect(path)
        self.database = importlib.import_module(self.module).Database(self.connection)
        if NORMAL in setting:
            self.database.enable_wal()
            self.connection.execute("PRAGMA synchronous = NORMAL")
        self.messages = self.database["messages"]
        self.messages.create({"id": int, "conversation": int, "role": str, "content": str, "created_at": float}, pk="id")
        self.messages.create_index(["conversation", "id"])
        if "FTS5" in setting:
            self.messages.enable_fts(["content"], create_triggers=True)

    def append(self, said: Sequence[str]) -> None:
        for text in said:
            self.messages.insert(self._row(0, text))

    def extend(self, chat: int, said: Sequence[str]) -> None:
        self.messages.insert_all([self._row(chat, text) for text in said], batch_size=BATCH)

    @staticmethod
    def _row(chat: int, text: str) -> dict[str, Any]:
        return {"conversation": chat, "role": "user", "content": text, "created_at": time.time()}

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        found = [list(self.messages.rows_where("conversation = ?", [chat], order_by="id desc", limit=50)) for chat in chats]
        return [[row["content"] for row in reversed(rows)] for rows in found]

    def index(self) -> None:
        self.messages.enable_fts(["content"])

    def search(self, prefixes: Sequence[str]) -> list[list[str]]:
        return [[row["content"] for row in self.messages.search(prefix + "*", order_by="id desc", limit=20)] for prefix in prefixes]

    def close(self) -> None:
        self.connection.close()


class Peewee(Peer):
    module = "peewee"
    settings = ("as shipped", NORMAL)
    searches = True

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        peewee, extension = importlib.import_module(self.module), importlib.import_module("playhouse.sqlite_ext")
        pragmas = {"journal_mode": "wal", "synchronous": "normal"} if setting == NORMAL else {}
        self.database = database = peewee.SqliteDatabase(str(path), pragmas=pragmas)

        class Message(peewee.Model):
            conversation = peewee.IntegerField()
            role = peewee.TextField()
            content = peewee.TextField()
            created_at = peewee.FloatField()

            class Meta:
                database = self.database
                indexes = ((("conversation", "id"), False),)

        class Found(extension.FTS5Model):
            content = extension.SearchField()

            class Meta:
                database = self.database
                options = {"content": Message, "content_rowid": "id", "prefix": "2 3 4"}

        self.message, self.found = Message, Found
        database.create_tables([Message])

    def append(self, said: Sequence[str]) -> None:
        for text in said:
            self.message.create(**SqliteUtils._row(0, text))

    def extend(self, chat: int, said: Sequence[str]) -> None:
        with self.database.atomic():
            for first in range(0, len(said), 1000):
                self.message.insert_many([SqliteUtils._row(chat, text) for text in said[first : first + 1000]]).execute()

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        every = self.message
        found = [list(every.select().where(every.conversation == chat).order_by(every.id.desc()).limit(50)) for chat in chats]
        return [[row.content for row in reversed(rows)] for rows in found]

    def index(self) -> None:
        self.database.create_tables([self.found])
        self.found.rebuild()

    def search(self, prefixes: Sequence[str]) -> list[list[str]]:
        joined = self.message.select().join(self.found, on=(self.message.id == self.found.rowid))
        found = [joined.where(self.found.match(prefix + "*")).order_by(self.found.rowid.desc()).limit(20) for prefix in prefixes]
        return [[row.content for row in rows] for rows in found]

    def close(self) -> None:
        self.database.close()


class DiskCache(Peer):
    """Ships with WAL and synchronous=NORMAL. Reading is 50 gets by key: it has no range."""

    module = "diskcache"

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        self.cache = importlib.import_module(self.module).Cache(str(path))
        self.keys: dict[int, list[str]] = {chat: [] for chat in range(CHATS)}

    def append(self, said: Sequence[str]) -> None:
        for text in said:
            self._push(0, text)

    def _push(self, chat: int, text: str) -> None:
        self.keys[chat].append(self.cache.push(SqliteUtils._row(chat, text), prefix=f"chat{chat}"))

    def extend(self, chat: int, said: Sequence[str]) -> None:
        with self.cache.transact():
            for text in said:
                self._push(chat, text)

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        return [[self.cache.get(key)["content"] for key in self.keys[chat][-50:]] for chat in chats]

    def close(self) -> None:
        self.cache.close()


class AgentsSession(Peer):
    """Ships with WAL and synchronous=FULL; NORMAL by its own hook, as it has no setting. Each call is awaited: it hops to a thread."""

    module = "agents"
    settings = ("as shipped", NORMAL)

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        kind = importlib.import_module(self.module).SQLiteSession
        if setting == NORMAL:

            class Normal(kind):
                def _get_connection(self) -> Any:
                    connection = super()._get_connection()
                    connection.execute("PRAGMA synchronous = NORMAL")
                    return connection

            kind = Normal
        self.sessions = [kind(f"chat{chat}", str(path)) for chat in range(CHATS)]
        self.runner = asyncio.Runner()

    def append(self, said: Sequence[str]) -> None:
        async def all_of_them() -> None:
            for text in said:
                await self.sessions[0].add_items([{"role": "user", "content": text}])

        self.runner.run(all_of_them())

    def extend(self, chat: int, said: Sequence[str]) -> None:
        self.runner.run(self.sessions[chat].add_items(as_messages(said)))

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        async def all_of_them() -> list[list[str]]:
            return [[item["content"] for item in await self.sessions[chat].get_items(limit=50)] for chat in chats]

        return self.runner.run(all_of_them())

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        self.runner.close()


class LangGraph(Peer):
    """Order is by a time in whole seconds, so which 50 are the last of a fast conversation is undefined."""

    module = "langgraph.store.sqlite"
    settings = ("as shipped", NORMAL)
    exact = False

    def __init__(self, path: pathlib.Path, setting: str) -> None:
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        if setting == NORMAL:
            self.connection.execute("PRAGMA journal_mode = WAL").fetchall()
            self.connection.execute("PRAGMA synchronous = NORMAL")
        self.store = importlib.import_module(self.module).SqliteStore(self.connection)
        self.store.setup()
        self.operation = importlib.import_module("langgraph.store.base").PutOp
        self.count = 0

    def append(self, said: Sequence[str]) -> None:
        for text in said:
            self.count += 1
            self.store.put(("messages", "chat0"), f"{self.count:012}", SqliteUtils._row(0, text))

    def extend(self, chat: int, said: Sequence[str]) -> None:
        space, first = ("messages", f"chat{chat}"), self.count
        self.count += len(said)
        self.store.batch(
            [self.operation(space, f"{number:012}", SqliteUtils._row(chat, text)) for number, text in enumerate(said, first + 1)]
        )

    def last(self, chats: Sequence[int]) -> list[list[str]]:
        found = [self.store.search(("messages", f"chat{chat}"), limit=50) for chat in chats]
        return [[item.value["content"] for item in reversed(items)] for items in found]

    def close(self) -> None:
        self.store.stop_ttl_sweeper()
        self.connection.close()


PEERS = (Memstore, SqliteUtils, Peewee, DiskCache, AgentsSession, LangGraph)
NAMES = {"sqlite_utils": "sqlite-utils", "agents": "openai-agents SQLiteSession", "langgraph.store.sqlite": "langgraph SqliteStore"}


class Entry(NamedTuple):
    """An installed peer in one of its settings."""

    peer: type[Peer]
    setting: str
    bench: Bench

    def __str__(self) -> str:
        return f"{NAMES.get(self.peer.module, self.peer.module)}, {self.setting}"

    def begin(self, work: str) -> Peer:
        """Begin a file for this work."""
        return self.peer(self.bench.path(f"{work}-{self.peer.__name__}-{self.peer.settings.index(self.setting)}"), self.setting)


def entries(bench: Bench) -> list[Entry]:
    """Installed peers in each of their settings."""
    return [Entry(peer, setting, bench) for peer in PEERS if installed(peer) for setting in peer.settings]


def installed(peer: type[Peer]) -> bool:
    try:
        importlib.import_module(peer.module)
    except ImportError:
        return False
    return True


def absent(bench: Bench) -> Iterator[str]:
    """Say which peers are not measured."""
    for peer in PEERS:
        if not installed(peer):
            yield f"{NAMES.get(peer.module, peer.module)} is not installed here: skipped"


def appended(bench: Bench) -> Iterator[Row]:
    said = texts(bench.size(200))
    yield from raced(bench, "append one message, one commit", lambda peer: peer.append(said), per=len(said), rounds=5)


def extended(bench: Bench) -> Iterator[Row]:
    said = texts(bench.size(BATCH))
    work = f"append {len(said):,} messages in one commit, a message"
    yield from raced(bench, work, lambda peer: peer.extend(0, said), per=len(said), rounds=3)


def raced(bench: Bench, work: str, act: Callable[[Peer], None], *, per: int, rounds: int) -> Iterator[Row]:
    """Each peer in turn against raw, both in files of their own."""
    for entry in entries(bench):
        file = work.split(",")[0]
        peer, raw = entry.begin(file), Raw(bench.path(f"{file}-against-{entry.peer.__name__}-{entry.setting}"), "")
        spent = bench.race(partial(act, peer), partial(act, raw), rounds=rounds, per=per)
        assert len(peer.last([0])[0]) == len(raw.last([0])[0])
        assert not peer.exact or peer.last([0]) == raw.last([0])
        peer.close()
        raw.close()
        yield Row(f"{work}: {entry}", *spent, None)


def read(bench: Bench) -> Iterator[Row | str]:
    """Reading and searching the same messages, each peer as it ships."""
    said = texts(bench.size(50_000, 60 * CHATS))
    raw = Raw(bench.path("raw-read"), "")
    fill(raw, said)
    rng = random.Random(2)
    chats = [rng.randrange(CHATS) for _ in range(bench.size(100))]
    asked = [word[:3] for text in rng.sample(said, 100) for word in text.split()[1:3]]
    searched: list[Row] = []
    for entry in entries(bench):
        if entry.setting != entry.peer.settings[0]:
            continue
        peer = entry.begin("read")
        fill(peer, said)
        assert not peer.exact or peer.last(chats[:5]) == raw.last(chats[:5])
        spent = bench.race(partial(peer.last, chats), partial(raw.last, chats), rounds=5, per=len(chats))
        yield Row(f"last 50 of one of {CHATS} conversations among {len(said):,} messages: {entry}", *spent, None)
        if peer.searches:
            assert peer.search(asked[:20]) == raw.search(asked[:20])
            spent = bench.race(partial(peer.search, asked), partial(raw.search, asked), rounds=5, per=len(asked))
            searched.append(Row(f"prefix search, 3 letters, 20 newest of {len(said):,} messages, with text: {entry}", *spent, None))
        peer.close()
    raw.close()
    yield from searched


def fill(peer: Peer, said: Sequence[str]) -> None:
    length = len(said) // CHATS
    for chat in range(CHATS):
        peer.extend(chat, said[chat * length : (chat + 1) * length])
    if peer.searches:
        peer.index()


CASES = (absent, appended, extended, read)
