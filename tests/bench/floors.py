"""First figures: what memstore costs over raw sqlite3 doing the same work in the same run.

    python tests/bench/floors.py [SCALE]

Each row is the median of interleaved rounds, ours divided by the floor: absolute times of one machine mean little, and
interleaving gives both sides the same noise. The floor is plain sqlite3 with integer keys, hand-written SQL, WAL and
synchronous=NORMAL, which is how a store runs by default.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import sqlite3
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from memstore import open_store  # noqa: E402

ROUNDS = 5
STEMS = ("form", "act", "port", "solve", "turn")
WORDS = [f"{a}{b}{c}" for a in ("re", "un", "pre", "co", "in") for b in STEMS for c in ("", "ed", "ing", "able")]


def text(number):
    return " ".join(WORDS[(number * 7 + step * 13) % len(WORDS)] for step in range(24)) + f" case{number}"


def raw_database(path, ddl):
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for statement in ddl:
        connection.execute(statement)
    return connection


MESSAGES = ["CREATE TABLE messages(id INTEGER PRIMARY KEY, conversation INTEGER, role TEXT, content TEXT, created_at REAL)"]
INSERT = "INSERT INTO messages(conversation, role, content, created_at) VALUES (?, ?, ?, ?)"


class Append:
    name = "append one message, one commit"

    def __init__(self, folder, scale):
        self.count = 500 * scale
        self.store = open_store(folder / "ours.db")
        self.chat = self.store.chat.create_conversation().id
        self.raw = raw_database(folder / "raw.db", MESSAGES)

    def ours(self):
        append, chat = self.store.chat.append, self.chat
        for number in range(self.count):
            append(chat, "user", text(number))

    def floor(self):
        for number in range(self.count):
            self.raw.execute("BEGIN IMMEDIATE")
            self.raw.execute(INSERT, (1, "user", text(number), time.time()))
            self.raw.execute("COMMIT")


class AppendMany(Append):
    name = "append_many, 5,000 a commit"

    def __init__(self, folder, scale):
        super().__init__(folder, scale)
        self.batch = [{"role": "user", "content": text(number)} for number in range(5000)]

    def ours(self):
        self.store.chat.append_many(self.chat, self.batch)

    def floor(self):
        self.raw.execute("BEGIN IMMEDIATE")
        self.raw.executemany(INSERT, [(1, item["role"], item["content"], time.time()) for item in self.batch])
        self.raw.execute("COMMIT")


class AppendManyPlain(AppendMany):
    name = "append_many, 5,000 a commit, keyword index left for later"

    def __init__(self, folder, scale):
        super().__init__(folder, scale)
        self.store.keywords.catch_up = lambda: None


class ReadPage:
    name = "last 50 of one of many conversations, as records"

    def __init__(self, folder, scale):
        self.store = open_store(folder / "ours.db")
        self.raw = raw_database(folder / "raw.db", MESSAGES)
        self.chats = [self.store.chat.create_conversation().id for _ in range(100)]
        page = [{"role": "user", "content": text(number)} for number in range(200 * scale)]
        for position, chat in enumerate(self.chats):
            self.store.chat.append_many(chat, page)
            rows = [(position << 32 | number, position, "user", item["content"], 0.0) for number, item in enumerate(page)]
            self.raw.execute("BEGIN")
            self.raw.executemany("INSERT INTO messages(id, conversation, role, content, created_at) VALUES (?, ?, ?, ?, ?)", rows)
            self.raw.execute("COMMIT")

    def ours(self):
        for chat in self.chats:
            self.store.chat.messages(chat, limit=50)

    def floor(self):
        sql = "SELECT id, conversation, role, content, created_at FROM messages WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 50"
        for position in range(len(self.chats)):
            self.raw.execute(sql, (position << 32, (position + 1) << 32)).fetchall()[::-1]


class AuditAppend:
    name = "audit append, chain only"
    extra: dict[str, object] = {}

    def __init__(self, folder, scale):
        self.count = 500 * scale
        self.store = open_store(folder / "ours.db")
        self.raw = raw_database(folder / "raw.db", ["CREATE TABLE log(seq INTEGER PRIMARY KEY, body TEXT, hash BLOB)"])
        self.seq, self.head = 0, b"\0" * 32

    def ours(self):
        append = self.store.audit.append
        for _ in range(self.count):
            append("query", **self.extra)

    def floor(self):
        for _ in range(self.count):
            self.raw.execute("BEGIN IMMEDIATE")
            self.seq += 1
            body = f'{{"seq":{self.seq},"at":{time.time()},"event_type":"query"}}'
            self.head = hashlib.sha256(self.head + body.encode()).digest()
            self.raw.execute("INSERT INTO log(seq, body, hash) VALUES (?, ?, ?)", (self.seq, body, self.head))
            self.raw.execute("COMMIT")


class AuditAppendFull(AuditAppend):
    name = "audit append, findable session and entity, payload"
    extra = {"session_id": "s-42", "entity_kind": "correction", "entity_id": "c-1", "details": {"tokens": 812, "model": "m"}}


class AuditBulk(AuditAppend):
    name = "audit append_many, 5,000 a commit, chain only"

    def __init__(self, folder, scale):
        super().__init__(folder, scale)
        self.events = [{"event_type": "query", **self.extra}] * 5000

    def ours(self):
        self.store.audit.append_many(self.events)

    def floor(self):
        rows = []
        for _ in self.events:
            self.seq += 1
            body = f'{{"seq":{self.seq},"at":{time.time()},"event_type":"query"}}'
            self.head = hashlib.sha256(self.head + body.encode()).digest()
            rows.append((self.seq, body, self.head))
        self.raw.execute("BEGIN IMMEDIATE")
        self.raw.executemany("INSERT INTO log(seq, body, hash) VALUES (?, ?, ?)", rows)
        self.raw.execute("COMMIT")


class AuditBulkFull(AuditBulk):
    name = "audit append_many, findable session and entity, payload"
    extra = AuditAppendFull.extra


class AuditVerify:
    name = "audit verify with payload digests"

    def __init__(self, folder, scale):
        self.store = open_store(folder / "ours.db")
        self.raw = raw_database(folder / "raw.db", ["CREATE TABLE log(seq INTEGER PRIMARY KEY, body TEXT, hash BLOB)"])
        self.store.audit.append_many({"event_type": "query", **AuditAppendFull.extra} for _ in range(10_000 * scale))
        bodies = self.store.query("SELECT seq, body, hash FROM audit_log")
        self.raw.execute("BEGIN")
        self.raw.executemany("INSERT INTO log VALUES (?, ?, ?)", [(row["seq"], row["body"], row["hash"]) for row in bodies])
        self.raw.execute("COMMIT")

    def ours(self):
        assert self.store.audit.verify().ok

    def floor(self):
        head = b"\0" * 32
        for _, body, _ in self.raw.execute("SELECT seq, body, hash FROM log ORDER BY seq"):
            head = hashlib.sha256(head + body.encode()).digest()


class Search:
    name = "search by 3-letter prefix, 20 newest, against FTS5 prefix='2 3 4'"

    def __init__(self, folder, scale):
        self.store = open_store(folder / "ours.db")
        self.raw = raw_database(folder / "raw.db", [*MESSAGES, "CREATE VIRTUAL TABLE found USING fts5(content, prefix='2 3 4')"])
        chat = self.store.chat.create_conversation().id
        texts = [text(number) for number in range(10_000 * scale)]
        self.store.chat.append_many(chat, [{"role": "user", "content": item} for item in texts])
        self.raw.execute("BEGIN")
        self.raw.executemany(INSERT, [(1, "user", item, 0.0) for item in texts])
        self.raw.executemany("INSERT INTO found(content) VALUES (?)", [(item,) for item in texts])
        self.raw.execute("COMMIT")
        self.prefixes = [word[:3] for word in WORDS[::7]]
        self.store.optimize()

    def ours(self):
        for prefix in self.prefixes:
            assert self.store.keywords.search(prefix, limit=20)

    def floor(self):
        sql = """
            SELECT m.id, m.role, m.created_at
            FROM found JOIN messages m ON m.id = found.rowid
            WHERE found MATCH ?
            ORDER BY found.rowid DESC LIMIT 20
        """
        for prefix in self.prefixes:
            assert self.raw.execute(sql, (f'"{prefix}"*',)).fetchall()


CASES = (Append, AppendMany, AppendManyPlain, ReadPage, AuditAppend, AuditAppendFull, AuditBulk, AuditBulkFull, AuditVerify, Search)


def measure(case, scale):
    with tempfile.TemporaryDirectory(prefix="memstore-bench-") as name:
        work = case(pathlib.Path(name), scale)
        times = {"ours": [], "floor": []}
        for turn in range(ROUNDS + 1):
            for side in ("ours", "floor") if turn % 2 else ("floor", "ours"):
                begin = time.perf_counter()
                getattr(work, side)()
                times[side].append(time.perf_counter() - begin)
        work.store.close()
        work.raw.close()
    ours, floor = (statistics.median(times[side][1:]) for side in ("ours", "floor"))  # the first round warms up
    return ours, floor


def main():
    scale = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores, median of {ROUNDS} rounds")
    print(f"{'work':<68} {'ours':>9} {'floor':>9} {'ratio':>6}")
    for case in CASES:
        ours, floor = measure(case, scale)
        print(f"{case.name:<68} {ours * 1e3:>6.1f} ms {floor * 1e3:>6.1f} ms {ours / floor:>6.2f}")


if __name__ == "__main__":
    main()
