"""What must hold of every store, whatever became of the processes that wrote it."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import pickle
import sqlite3
import traceback
import warnings

from memstore import open_store
from memstore.kernel import ADVICE
from memstore.kernel.room import rooms_in_file
from memstore.keywords.words import words


def assert_sound(path, **options):
    """Assert all that needs no knowledge of what was written, and return the digest of the file's contents.

    Nobody else may write meanwhile; of a store in use, check a snapshot. `options` are those of `open_store`.
    """
    path = os.fspath(path)
    with open_store(path, **options) as store:
        report = store.check(deep=True)
        assert report.ok, [finding for finding in report.findings if finding.kind not in ADVICE]
        stats = store.stats()
        assert not stats.scrub_owed, "nobody else is here, so opening it has emptied the log"
        if "audit" in stats.rooms:  # a question must not make the room
            verdict = store.audit.verify()
            assert verdict.ok, verdict.findings
        copy = store.snapshot(f"{path}.rebuilt")
        ours = digest(store)
    _assert_plainly_sound(path)
    assert elsewhere(_digest_of, path) == ours, "a second process sees another state"
    _assert_as_rebuilt(copy)
    os.unlink(copy)
    return ours


def elsewhere(function, *arguments):
    """Call a function in a process of its own and return what it returns."""
    code, told = lived(lambda pipe: os.write(pipe, pickle.dumps(function(*arguments))))
    assert code == 0, told.decode(errors="replace")
    return pickle.loads(told)


def lived(life):
    """Call `life(pipe)` in a forked child; how the child ended, and what it wrote into the pipe."""
    reader, pipe = os.pipe()
    child = fork()
    if child == 0:
        with ending(pipe):
            life(pipe)
    os.close(pipe)
    with open(reader, "rb") as heard:
        told = heard.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def fork():
    """Fork this process; idle threads of other tests do no harm to children that open stores of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        gc.freeze()  # the collector would touch, and so copy, every page that the child shares with a large parent
    return child


@contextlib.contextmanager
def ending(pipe):
    """The rest of a forked child's life: it ends with the block, never in pytest; an error is told through the pipe."""
    code = 1
    try:
        yield
        code = 0
    except BaseException:
        with contextlib.suppress(OSError):
            os.write(pipe, traceback.format_exc().encode()[-60_000:])
    finally:
        os._exit(code)


# -- contents -----------------------------------------------------------------------------------------------------------


def contents(raw):
    """All rows of all tables and all texts of the schema, by plain SQL."""
    schema = raw.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
    tables = [name for kind, name, _ in schema if kind == "table"]
    return schema, {name: sorted(raw.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}


def digest(store):
    """A hash of all rows that a store's own connections see."""
    names = [row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    seen = [(name, [tuple(row.values()) for row in store.query(f'SELECT * FROM "{name}"')]) for name in names]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _digest_of(path):
    with open_store(path, read_only=True) as store:
        return digest(store)


def findable(store):
    """For each word that is anywhere in the indexed texts: what a search for it finds, in order."""
    texts = list(_texts(store))
    vocabulary = sorted({word for _, _, text in texts for word in words(text)})
    return {word: [(hit.kind, hit.item_id) for hit in store.keywords.search(word, limit=None)] for word in vocabulary}


def _texts(store):
    there = rooms_in_file(store._database)
    if "keywords" in there:
        for row in store.query("SELECT kind, item_id, text FROM keyword_items"):
            yield row["kind"], row["item_id"], row["text"]
    if "chat" in there:
        for row in store.query("SELECT id, content FROM messages"):
            yield "message", row["id"], row["content"]


# -- what is derived ----------------------------------------------------------------------------------------------------


def _assert_as_rebuilt(copy):
    """Compare a search for every word with the index made anew, and with looking through all texts."""
    with open_store(copy) as store:
        found = findable(store)
        away = _away(store)
        texts = {(kind, item): words(text) for kind, item, text in reversed(list(_texts(store)))}
        store.keywords.rebuild()
        for word, hits in findable(store).items():
            anew = [hit for hit in hits if hit not in away]
            assert found.get(word, []) == anew, f"a search for {word!r} differs from one in the index made anew"
            scanned = {item for item, spoken in texts.items() if item not in away and any(other.startswith(word) for other in spoken)}
            assert set(anew) == scanned, f"a search for {word!r} differs from looking through all texts"


def _away(store):
    """Messages that were taken out of the index and have no text by hand; they come back when it is made anew."""
    if not {"chat", "keywords"} <= set(rooms_in_file(store._database)):
        return set()
    rows = store.query(
        """
        SELECT id FROM messages JOIN keyword_gone ON source = 'message' AND number = arrival AND removed = 1
        WHERE id NOT IN (SELECT item_id FROM keyword_items WHERE kind = 'message')
        """
    )
    return {("message", row["id"]) for row in rows}


#: What no row may ever show: a name for it, the tables it needs, and a query that finds it.
NEVER = (
    ("two files in one page", (), "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
    ("a row without the one it names", (), "SELECT * FROM pragma_foreign_key_check"),
    ("a permit to change the log", ("audit_permit",), "SELECT * FROM audit_permit"),
    (
        "a gap in the log",
        ("audit_log",),
        "SELECT * FROM (SELECT seq - lag(seq) OVER (ORDER BY seq) AS step FROM audit_log) WHERE step <> 1",
    ),
    (
        "a message out of the order of arrival",
        ("messages",),
        "SELECT * FROM (SELECT arrival - lag(arrival) OVER (PARTITION BY pk >> 32 ORDER BY pk) AS step FROM messages) WHERE step <= 0",
    ),
    (
        "a message beyond the last place of its conversation",
        ("messages", "conversations"),
        "SELECT * FROM messages AS m JOIN conversations AS c ON c.pk = m.pk >> 32 WHERE m.pk & 4294967295 > c.last_seq",
    ),
    (
        "a conversation with an activity that never was",
        ("messages", "conversations", "arrivals"),
        """
        SELECT * FROM conversations WHERE activity > (
            SELECT coalesce(newest.activity, run.first - 1)
            FROM arrivals AS run LEFT JOIN conversations AS newest ON newest.pk = run.pk >> 32
            ORDER BY run.first DESC LIMIT 1)
        """,
    ),
    (
        "a thread that was closed twice or left out",
        ("context_backups",),
        """
        SELECT * FROM (
            SELECT thread_number - row_number() OVER (PARTITION BY conversation_id, specialist ORDER BY pk) AS step
            FROM context_backups WHERE imported = 0
        ) WHERE step <> 0
        """,
    ),
    (
        "a counter that stands where no backup has brought it",
        ("context_backups", "token_counters"),
        """
        SELECT * FROM token_counters AS c WHERE thread_number <> 1 + (
            SELECT count(*) FROM context_backups AS b
            WHERE imported = 0 AND b.conversation_id = c.conversation_id AND b.specialist = c.specialist)
        AND NOT EXISTS (SELECT 1 FROM context_backups AS b WHERE imported = 1 AND b.conversation_id = c.conversation_id)
        AND (last_backup_at IS NOT NULL OR thread_number = 1)
        """,
    ),
    (
        "a count of applications that is not that of their rows",
        ("corrections", "correction_applications"),
        """
        SELECT * FROM corrections AS c
        WHERE application_count <> (SELECT count(*) FROM correction_applications WHERE correction = c.pk)
        """,
    ),
    (
        "a promotion without its one event",
        ("promotions", "audit_events"),
        """
        SELECT * FROM promotions AS p WHERE imported = 0 AND (
            SELECT count(*) FROM audit_events WHERE entity_id = p.id AND event_type = 'promotion.' || p.event) <> 1
        AND NOT EXISTS (SELECT 1 FROM audit_events WHERE event_type = 'audit.prune')
        """,
    ),
    (
        "a superseded correction without its one event",
        ("corrections", "audit_events"),
        """
        SELECT * FROM corrections AS c WHERE superseded_at IS NOT NULL AND (
            SELECT count(*) FROM audit_events WHERE entity_id = c.id AND event_type = 'correction.supersede') <> 1
        AND NOT EXISTS (SELECT 1 FROM audit_events WHERE event_type IN ('audit.prune', 'store.import'))
        """,
    ),
    (
        "an event of a change that has not happened",
        ("corrections", "audit_events"),
        """
        SELECT * FROM audit_events AS e JOIN corrections AS c ON c.id = e.entity_id
        WHERE (event_type = 'correction.supersede' AND superseded_at IS NULL)
        OR (event_type = 'correction.update' AND version < 2)
        """,
    ),
)


def _assert_plainly_sound(path):
    """Ask the questions above without any of our code."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        there = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema")}
        for what, needed, sql in NEVER:
            if there.issuperset(needed):
                assert raw.execute(sql).fetchall() == [], what
