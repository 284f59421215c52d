"""Files that somebody has cut, exchanged or prepared: each gives its named error or a finding, and what cannot be seen is said here.

The log of a store (`-wal`) is checksummed from its beginning, so what is left of it after a cut or a flipped bit is a run of whole
transactions. That the newest are missing is the one thing that nothing inside the file can show; an anchor of the audit log does.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from importlib import import_module

import pytest
from kernel.things import finish, start
from test_damage import changes, fill, survives, uses

from memstore import Corrupt, Exists, Invalid, NotAStore, SchemaTooNew, StoreError, open_store
from memstore.kernel import schema as schemas
from memstore.kernel.schema import KERNEL, tables
from memstore.store import ROOMS

pytestmark = pytest.mark.damage

TURNS = 12

#: Fills a store in every room, then writes a message and its event in one transaction, turn by turn, and dies without closing.
CRASH = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from memstore import open_store
from test_damage import fill

fill(sys.argv[1])
store = open_store(sys.argv[1])
chat = store.query("SELECT id FROM conversations ORDER BY pk LIMIT 1")[0]["id"]
for turn in range(int(sys.argv[3])):
    with store.transaction():
        store.chat.append(chat, "user", f"turn {turn}", id=f"turn-{turn}")
        store.audit.append("turn", entity_id=f"turn-{turn}")
print(str(store.audit.head()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Crashed:
    """A store whose last process died: the main file, its log, and the anchor that was kept elsewhere."""

    def __init__(self, folder):
        self.folder = folder
        child = start(CRASH, folder / "agent.db", os.path.dirname(os.path.dirname(__file__)), TURNS)
        self.anchor = finish(child, code=-9)
        self.main = (folder / "agent.db").read_bytes()
        self.wal = (folder / "agent.db-wal").read_bytes()
        assert len(self.wal) > 32

    def laid_out(self, path, *, main=None, wal=None, shm=None):
        """Write the files as somebody has left them; what is not given is as it was."""
        path.write_bytes(self.main if main is None else main)
        side = {"-wal": self.wal if wal is None else wal, "-shm": shm}
        for name, content in side.items():
            if content is None:
                path.with_name(path.name + name).unlink(missing_ok=True)
            else:
                path.with_name(path.name + name).write_bytes(content)
        return path


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    return Crashed(tmp_path_factory.mktemp("crashed"))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The bytes of a whole store."""
    folder = tmp_path_factory.mktemp("whole")
    fill(folder / "agent.db")
    return (folder / "agent.db").read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def whole(path, image):
    path.write_bytes(image)
    return path


def turns(store):
    """The turns that a store still has, by its messages and by its log: a transaction is there with both or not at all."""
    said = [row["id"] for row in store.query("SELECT id FROM messages WHERE id LIKE 'turn-%' ORDER BY arrival")]
    logged = [event.entity_id for event in store.audit.find(event_type="turn", ascending=True, limit=None)]
    assert said == logged == [f"turn-{turn}" for turn in range(len(said))], "the oldest ones, and all of each"
    return len(said)


def kinds(report):
    return {finding.kind for finding in report.findings}


def details(store):
    return " | ".join(finding.detail for finding in store.check().findings)


def by_hand(path, *statements, **pragmas):
    """What somebody does with another tool."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for name, value in pragmas.items():
            raw.execute(f"PRAGMA {name} = {value}")
        for statement in statements:
            raw.execute(statement)


def told(path, *, read_only=False):
    """That something is wrong is said: by an error with a name, or by a finding."""
    try:
        store = open_store(path, read_only=read_only, timeout=1.0)
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore)), repr(error)
        return str(error)
    with store:
        report = store.check()
        assert not report.ok, "in silence"
        return str(report.findings)


# -- the main file cut --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("part", range(20))
def test_a_file_cut_anywhere_is_told(path, image, part, read_only):
    kept = len(image) * part // 20 + (0 if part % 2 else 37)  # at a page's end and within one
    path.write_bytes(image[:kept])
    if kept == 0:
        pytest.skip("an empty file is where a store may begin")
    assert told(path, read_only=read_only)
    path.write_bytes(image[:kept])
    survives(path, read_only)


@pytest.mark.parametrize("part", range(1, 20))
def test_a_main_file_cut_beside_its_log_is_told_or_made_whole_by_it(path, crashed, part):
    """The log holds the newest version of many pages, so a cut may have hit nothing that counts."""
    crashed.laid_out(path, main=crashed.main[: len(crashed.main) * part // 20])
    try:
        store = open_store(path, timeout=1.0)
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore)), repr(error)
        return
    with store:
        if store.check().ok:
            assert turns(store) == TURNS
            assert store.audit.verify(anchors=[crashed.anchor]).ok


# -- the log ------------------------------------------------------------------------------------------------------------


def test_a_log_left_by_a_crash_is_all_there(path, crashed):
    with open_store(crashed.laid_out(path)) as store:
        assert turns(store) == TURNS
        assert store.check().ok
        assert store.audit.verify(anchors=[crashed.anchor]).ok


def after(path, crashed):
    """How many turns a store has kept; that the rest is missing is seen by the anchor alone."""
    try:
        store = open_store(path, timeout=1.0)
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore)), repr(error)
        return -1
    with store:
        report = store.check()
        seen = store.audit.verify(anchors=[crashed.anchor])
        if not report.ok:
            return -1
        if store.store_id != crashed.anchor.split("\n")[0].removeprefix("memstore/"):
            assert not seen.ok, "the log was all there was, so a new store has begun in its place"
            return -2
        kept = turns(store)
        assert seen.ok == (kept == TURNS), seen.findings
        assert seen.ok or kinds(seen) & {"truncated", "anchor"}, seen.findings
        return kept


def test_a_deleted_log_is_unseen_from_within_and_seen_by_an_anchor(path, crashed):
    crashed.laid_out(path).with_name("agent.db-wal").unlink()
    with open_store(path) as store:
        assert store.check().ok, "nothing in the file can tell"
        assert not store.audit.verify(anchors=[crashed.anchor]).ok
    assert after(path, crashed) < TURNS


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.nightly)])
def test_a_cut_log_loses_its_newest_transactions_whole(path, crashed, rng, count):
    kept = set()
    for _ in range(count):
        left = rng.randrange(len(crashed.wal))
        kept.add(after(crashed.laid_out(path, wal=crashed.wal[:left]), crashed))
    assert len(kept) > 2, "cuts in different places"


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.nightly)])
def test_a_flipped_bit_in_the_log_costs_what_comes_after_it(path, crashed, rng, count):
    for _ in range(count):
        at = rng.randrange(len(crashed.wal))
        print(f"bit in byte {at}")
        flipped = bytearray(crashed.wal)
        flipped[at] ^= 1 << rng.randrange(8)
        assert after(crashed.laid_out(path, wal=bytes(flipped)), crashed) <= TURNS


@pytest.mark.parametrize(
    "wal", [b"", b"x", b"\0" * 32, b"\xff" * 5000, b"SQLite format 3\0" * 400], ids=lambda wal: f"{wal[:3]}x{len(wal)}"
)
def test_garbage_in_place_of_the_log_is_no_log(path, crashed, wal):
    assert after(crashed.laid_out(path, wal=wal), crashed) < TURNS


@pytest.mark.parametrize(
    "shm", [b"", b"x", b"\0" * 32768, b"\xff" * 32768, b"\x18\xe2\x2d\0" * 8192], ids=lambda shm: f"{shm[:3]}x{len(shm)}"
)
@pytest.mark.parametrize("read_only", [True, False])
def test_garbage_in_place_of_the_shared_memory_costs_nothing(path, crashed, shm, read_only):
    """It is made anew by whoever comes first."""
    crashed.laid_out(path, shm=shm)
    with open_store(path, read_only=read_only) as store:
        assert turns(store) == TURNS
        assert store.check().ok


def test_the_log_of_an_older_copy_of_the_same_store_is_seen(path, crashed):
    """Old pages over newer ones: the anchor tells, and mostly check() too."""
    with open_store(crashed.laid_out(path)) as store:
        for turn in range(200):
            with store.transaction():
                store.chat.append(store.query("SELECT id FROM conversations LIMIT 1")[0]["id"], "user", f"later {turn}" * 50)
                store.audit.append("later", note="x" * 500)
        anchor = str(store.audit.head())
    path.with_name("agent.db-wal").write_bytes(crashed.wal)
    try:
        with open_store(path) as store:
            assert not store.audit.verify(anchors=[anchor]).ok
            survives(path, read_only=True)
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore)), repr(error)


def test_a_log_over_the_main_file_of_another_store_is_seen(path, crashed, image):
    crashed.laid_out(path, main=image)
    try:
        with open_store(path) as store:
            mine = store.audit.head()
            ours = mine.store_id == crashed.anchor.split("\n")[0].removeprefix("memstore/")
            assert not store.check().ok or (ours and store.audit.verify(anchors=[crashed.anchor]).ok)
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore)), repr(error)
    survives(crashed.laid_out(path, main=image), read_only=False)


# -- under an open store ------------------------------------------------------------------------------------------------

OVERWRITE = """
import sys
with open(sys.argv[1], "r+b") as file:
    if sys.argv[2] == "cut":
        file.truncate(int(sys.argv[3]))
    else:
        file.seek(int(sys.argv[3]))
        file.write(b"\\xa5" * 4096 * 4)
"""


@pytest.mark.parametrize("how", ["cut", "garbage"])
@pytest.mark.parametrize("at", [0, 4096, 40960])
def test_a_file_that_is_overwritten_while_open_gives_named_errors(whole, how, at):
    """By another process: our own would drop its locks. The file is the same one, so it does not count as replaced."""
    with open_store(whole, timeout=1.0) as store:
        assert store.chat.conversations()
        finish(start(OVERWRITE, whole, how, at))
        for use in (*uses(store), *changes(store)):
            try:
                use()
            except StoreError as error:
                assert str(error).isprintable()
        try:
            assert not store.check().ok, "in silence"
        except StoreError as error:
            assert isinstance(error, (Corrupt, NotAStore)), repr(error)


def test_a_log_that_is_deleted_under_an_open_store_is_copied_when_it_closes(whole):
    """It lives on without a name; another process would begin one of its own, which nobody can see."""
    with open_store(whole) as store:
        store.corrections.add("before", "the log is deleted")
        whole.with_name("agent.db-wal").unlink()
        store.corrections.add("after", "it was deleted")
        anchor = store.audit.head()
        assert store.check().ok
    with open_store(whole) as store:
        assert {"before", "after"} <= {item.subject for item in store.corrections.find()}
        assert store.audit.verify(anchors=[anchor]).ok
        assert store.check().ok


# -- what says that it is newer, or another's ---------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_a_newer_memstore_is_refused_and_the_others_work(whole, room):
    by_hand(whole, f"UPDATE schema_version SET version = 99 WHERE room = '{room}'")
    with open_store(whole) as store:
        with pytest.raises(SchemaTooNew, match=f"{room} in this file has schema 99, this memstore knows .*: upgrade memstore"):
            getattr(store, room).db.value("SELECT 1")
        assert f"{room} in this file has schema 99" in details(store)
        for other in set(ROOMS) - {room}:
            assert getattr(store, other).db.value("SELECT 1") == 1


@pytest.mark.parametrize("read_only", [True, False])
def test_a_kernel_of_a_newer_memstore_is_refused_at_once(whole, read_only):
    by_hand(whole, "UPDATE schema_version SET version = 99 WHERE room = 'kernel'")
    before = whole.read_bytes()
    with pytest.raises(SchemaTooNew, match="kernel in this file has schema 99"):
        open_store(whole, read_only=read_only)
    assert whole.read_bytes() == before


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("mark", [0, 1, 0x6D656D74, -1])
def test_a_store_that_is_marked_as_somebody_elses_is_refused(whole, mark, read_only):
    by_hand(whole, application_id=mark, journal_mode="DELETE")
    before = whole.read_bytes()
    with pytest.raises(NotAStore, match="has the tables of a store and the mark of another application"):
        open_store(whole, read_only=read_only)
    assert whole.read_bytes() == before


@pytest.mark.parametrize("change", ["version = 'new'", "version = x'00'", "version = NULL", "tables = '{'", "tables = '7'", "digest = ''"])
def test_a_damaged_list_of_rooms_is_told(whole, change):
    loose = "replace(replace(sql, ') STRICT, WITHOUT', ') WITHOUT'), 'NOT NULL', '')"
    by_hand(whole, f"UPDATE sqlite_schema SET sql = {loose} WHERE name = 'schema_version'", writable_schema="ON")
    by_hand(whole, f"UPDATE schema_version SET {change} WHERE room = 'evals'", ignore_check_constraints="ON")
    try:
        with open_store(whole) as store:
            for use in (*uses(store), *changes(store)):
                try:
                    use()
                except StoreError as error:
                    assert str(error).isprintable()
            assert not store.check().ok
    except StoreError as error:
        assert isinstance(error, (Corrupt, NotAStore, SchemaTooNew)), repr(error)


# -- a prepared schema --------------------------------------------------------------------------------------------------

TABLES = [(room, table) for room in ROOMS for table in tables(import_module(f"memstore.{room}").SCHEMA)]
TABLES += [("kernel", table) for table in tables(KERNEL)]
every_table = pytest.mark.parametrize(("room", "table"), TABLES, ids=[table for _, table in TABLES])
DOING = "BEGIN SELECT 1; END"


@pytest.mark.parametrize("name", ["evil_{table}", "{table}__evil", '"sqlite_evil_{table}"'])
def test_a_trigger_that_is_not_ours_is_a_finding_on_every_table(whole, name):
    names = {name.format(table=table): table for _, table in TABLES}
    triggers = {name: f"CREATE TRIGGER {name} AFTER INSERT ON {table} {DOING}" for name, table in names.items()}
    if "sqlite_" in name:  # SQLite refuses the name, unless it is written into its own table
        rows = (f"('trigger', {name.replace(chr(34), chr(39))}, '{table}', 0, '{triggers[name]}')" for name, table in names.items())
        by_hand(whole, f"INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES {', '.join(rows)}", writable_schema="ON")
    else:
        by_hand(whole, *triggers.values())
    with open_store(whole) as store:
        findings = store.check().findings
    for name, table in names.items():
        named = [finding for finding in findings if f"trigger {name.strip(chr(34))} " in finding.detail]
        assert [finding.kind for finding in named] == ["schema"], (table, findings)


def test_a_trigger_that_rewrites_what_is_said_is_a_finding_and_the_log_shows_what_it_did(whole):
    by_hand(
        whole,
        "CREATE TRIGGER evil AFTER INSERT ON messages BEGIN UPDATE messages SET content = 'bought' WHERE pk = NEW.pk; END",
        "CREATE TRIGGER worse AFTER INSERT ON audit_log BEGIN INSERT INTO audit_permit VALUES ('me');"
        " UPDATE audit_log SET payload = NULL WHERE seq = NEW.seq; DELETE FROM audit_permit; END",
    )
    with open_store(whole) as store:
        chat = store.chat.create_conversation()
        store.chat.append(chat.id, "user", "not for sale")
        store.audit.append("query", note="what was asked")
        said = details(store)
        assert "trigger evil on messages is not ours" in said
        assert "trigger worse on audit_log is not ours" in said
        assert not store.audit.verify().ok
        assert any(finding.kind != "schema" for finding in store.audit.verify().findings if finding.seq is not None)


@pytest.mark.parametrize("action", ["ABORT", "FAIL", "ROLLBACK"])
def test_a_trigger_that_refuses_or_ends_the_transaction_gives_a_named_error_and_leaves_nothing(whole, action):
    by_hand(whole, f"CREATE TRIGGER evil BEFORE INSERT ON messages BEGIN SELECT RAISE({action}, 'not here'); END")
    with open_store(whole) as store:
        chat = store.chat.create_conversation()
        with pytest.raises(Invalid, match="the file's own rules refuse this: not here"):
            store.chat.append(chat.id, "user", "hello")
        with pytest.raises(StoreError), store.transaction():
            store.corrections.add("undone", "with the rest")
            store.chat.append(chat.id, "user", "hello")
        with pytest.raises(StoreError), store.transaction():
            with pytest.raises(Invalid):
                store.chat.append(chat.id, "user", "hello")
            store.corrections.add("undone", "if the trigger has ended the transaction")
            assert action != "ROLLBACK", "or this would have been written alone"
            raise Invalid("else by us")
        assert "undone" not in {item.subject for item in store.corrections.find()}
        assert store.chat.messages(chat.id) == []
        assert "trigger evil" in details(store)


def test_a_trigger_that_swallows_rows_is_a_finding_and_mostly_an_error(whole):
    """A write that reads its row back notices; chat.append() does not, so check() is where this is seen."""
    swallow = "BEGIN SELECT RAISE(IGNORE); END"
    by_hand(whole, *(f"CREATE TRIGGER evil_{table} BEFORE INSERT ON {table} {swallow}" for table in ("corrections", "messages")))
    with open_store(whole) as store:
        with pytest.raises(StoreError):
            store.corrections.add("swallowed", "by a trigger")
        store.chat.append(store.chat.create_conversation().id, "user", "swallowed")
        said = details(store)
        assert "trigger evil_corrections" in said and "trigger evil_messages" in said


@pytest.mark.drawn(2)
@every_table
def test_a_table_that_was_renamed_is_missing_and_is_not_made_again(whole, room, table):
    by_hand(whole, f"ALTER TABLE {table} RENAME TO hidden")
    if room == "kernel":
        assert table in told(whole) or "meta" in told(whole) or "schema_version" in told(whole)
    else:
        with open_store(whole) as store:
            with pytest.raises(Corrupt, match=f"{room} has lost its table {table}"):
                getattr(store, room).db.value("SELECT 1")
            assert f"table {table} is gone ({room})" in details(store)
    with closing(sqlite3.connect(whole)) as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert "hidden" in names and table not in names


@pytest.mark.drawn(2)
@every_table
def test_a_view_in_place_of_a_table_is_told(whole, room, table):
    by_hand(whole, f"ALTER TABLE {table} RENAME TO hidden", f"CREATE VIEW {table} AS SELECT * FROM hidden")
    said = told(whole)
    assert table in said or room == "kernel", said


FIRST = dict(reversed(TABLES))


@pytest.mark.parametrize(
    "table", [pytest.param(table, marks=() if FIRST[room] == table else pytest.mark.nightly) for room, table in TABLES]
)
def test_a_view_in_place_of_a_table_gives_nothing_but_store_errors(whole, table):
    by_hand(whole, f"ALTER TABLE {table} RENAME TO hidden", f"CREATE VIEW {table} AS SELECT * FROM hidden")
    survives(whole, read_only=True)
    survives(whole, read_only=False)


def test_a_view_of_ours_that_shows_something_else_is_a_finding(whole):
    by_hand(whole, "DROP VIEW audit_events", "CREATE VIEW audit_events AS SELECT 1 AS seq, 'nothing' AS event_type")
    with open_store(whole) as store:
        assert "view audit_events is not as it was made (audit)" in details(store)
        assert not store.audit.verify().ok


def test_a_view_of_ours_that_takes_writes_is_a_finding(whole):
    by_hand(whole, f"CREATE TRIGGER evil INSTEAD OF INSERT ON audit_events {DOING}")
    with open_store(whole) as store:
        assert "trigger evil on audit_events is not ours (audit)" in details(store)


INDEXES = [
    (index, table)
    for room in ROOMS
    for (kind, index), (table, _) in schemas.target(import_module(f"memstore.{room}").SCHEMA).items()
    if kind == "index"
]


def test_each_index_of_ours_that_is_another_or_gone_is_a_finding(whole):
    by_hand(whole, *(f"DROP INDEX {index}" for index, _ in INDEXES))
    with open_store(whole) as store:
        said = details(store)
        assert [index for index, _ in INDEXES if f"index {index} is gone" not in said] == []
    by_hand(whole, *(f"CREATE INDEX {index} ON {table}(0)" for index, table in INDEXES))
    with open_store(whole) as store:
        said = details(store)
        assert [index for index, _ in INDEXES if f"index {index} is not as it was made" not in said] == []


def test_an_index_that_is_not_ours_stays_and_one_that_refuses_rows_is_a_finding(whole):
    """A second UNIQUE on the log would let INSERT OR REPLACE remove rows without a trigger noticing."""
    by_hand(whole, "CREATE INDEX somebodys ON messages(role)", "CREATE UNIQUE INDEX evil ON audit_log(hash)")
    with open_store(whole) as store:
        said = details(store)
        assert "somebodys" not in said
        assert "index evil on audit_log is not ours" in said
        assert not store.audit.verify().ok


HOSTILE_COLUMNS = [
    "evil TEXT GENERATED ALWAYS AS (upper(content)) VIRTUAL",
    "evil TEXT GENERATED ALWAYS AS (json(content)) VIRTUAL",
    "evil TEXT GENERATED ALWAYS AS (NULL) VIRTUAL NOT NULL",
    "evil TEXT CHECK (evil IS NOT NULL)",
    "evil TEXT REFERENCES nowhere(id) DEFAULT NULL",
]


@pytest.mark.parametrize("column", HOSTILE_COLUMNS)
def test_a_column_that_is_not_ours_is_kept_and_what_it_refuses_is_refused_by_name(whole, column):
    with closing(sqlite3.connect(whole, isolation_level=None)) as raw:
        try:
            raw.execute(f"ALTER TABLE messages ADD COLUMN {column}")
        except sqlite3.DatabaseError:
            raw.execute("PRAGMA writable_schema = ON")
            raw.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ?) WHERE name = 'messages'", (f", {column}) STRICT",))
    with open_store(whole) as store:
        chat = store.chat.create_conversation()
        try:
            message = store.chat.append(chat.id, "user", "hello")
        except StoreError as error:
            # Somebody's column is no finding; where it stops us, the error says which rule or table it is.
            assert isinstance(error, (Invalid, Corrupt)) and any(said in str(error) for said in ("own rules", "nowhere", "malformed")), (
                error
            )
            assert store.chat.messages(chat.id) == []
        else:
            assert store.chat.get_message(message.id).content == "hello"
            assert store.chat.search("hello")
    survives(whole, read_only=True)


def test_a_constraint_that_is_gone_from_any_table_is_a_finding(whole):
    """With STRICT or a CHECK out of the way, anything could be written later."""
    with closing(sqlite3.connect(whole, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        loose = "replace(replace(sql, 'STRICT, WITHOUT', 'WITHOUT'), ') STRICT', ')')"
        for _, table in TABLES:
            assert raw.execute(f"UPDATE sqlite_schema SET sql = {loose} WHERE name = '{table}'").rowcount == 1
    with open_store(whole) as store:
        said = details(store)
        assert [table for room, table in TABLES if f"table {table} is not as it was made ({room})" not in said] == []


def test_a_table_of_somebody_else_is_never_taken_over(path):
    open_store(path).close()
    by_hand(path, "CREATE TABLE messages(id INTEGER PRIMARY KEY, body TEXT)", "INSERT INTO messages VALUES (1, 'theirs')")
    with open_store(path) as store:
        with pytest.raises(Exists, match="has a table messages that chat did not make"):
            store.chat.create_conversation()
        assert store.query("SELECT body FROM messages") == [{"body": "theirs"}]
        assert "chat has tables in the file but is missing from its list of rooms" in details(store)


def test_a_name_in_the_schema_table_is_compared_as_sqlite_compares_it(whole):
    by_hand(whole, f"CREATE TRIGGER EVIL AFTER INSERT ON MESSAGES {DOING}")
    with open_store(whole) as store:
        assert "trigger evil on messages is not ours (chat)" in details(store)


def test_every_room_has_tables_here():
    assert {room for room, _ in TABLES} == {*ROOMS, "kernel"}
    assert len(TABLES) >= 20 and all(schemas.tables(KERNEL))
