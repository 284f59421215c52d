"""A source of texts that the keyword index is tried with."""

from __future__ import annotations

from memstore import KeywordIndex
from memstore.kernel import Schema

NOTES = Schema(
    "test_notes",
    version=1,
    ddl="""
CREATE TABLE test_notes(
    pk INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, text TEXT NOT NULL, place TEXT, created_at REAL NOT NULL
) STRICT;
""",
)


class Notes:
    """A source over a plain table, as chat is one."""

    kind = "message"

    def __init__(self, store):
        self.db = store._room(NOTES)
        self.index = KeywordIndex(store.keywords.db, store.audit.append, lambda: [self])
        self.added = 0

    def append(self, *texts, created_at=None, id=None):
        with self.db.write() as conn:
            for text in texts:
                self.added += 1
                name = f"m{self.added}" if id is None else id
                conn.run(
                    "INSERT INTO test_notes(id, text, place, created_at) VALUES (?, ?, ?, ?)",
                    (name, text, f"c{self.added % 3}", float(self.added) if created_at is None else created_at),
                )
        return name

    def pop(self, item_id, *, wipe=False):
        with self.db.write() as conn:
            number = self.number(conn, item_id)
            conn.run("DELETE FROM test_notes WHERE pk = ?", (number,))
            self.index.discard(conn, "message", [number], wipe=wipe)

    def present(self):
        return self.db.present("test_notes")

    def last(self, conn):
        self.db.attach(conn)
        return conn.value("SELECT coalesce((SELECT seq FROM main.sqlite_sequence WHERE name = 'test_notes'), 0)")

    def texts(self, conn, after, upto, limit):
        return conn.rows("SELECT pk, text FROM test_notes WHERE pk > ? AND pk <= ? ORDER BY pk LIMIT ?", (after, upto, limit))

    def items(self, conn, numbers):
        found = []
        for number in numbers:
            found += conn.rows("SELECT pk, id, place, 'user', created_at FROM test_notes WHERE pk = ?", (number,))
        return found

    def number(self, conn, item_id):
        self.db.attach(conn)
        return conn.value("SELECT pk FROM test_notes WHERE id = ?", (item_id,))


def ids(hits):
    return [hit.item_id for hit in hits]
