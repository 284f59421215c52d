"""Two versions of the library on one file at once: today's, and one of tomorrow that has more in its schema.

Tomorrow's is a copy of the package with a few words changed, so that it is another library, in a process of its own or beside
today's under another name. What is promised: whoever has a room open goes on writing it while a newer version adds to its
tables; whoever comes to it afterwards with the older one is told SchemaTooNew and touches nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys

import pytest

import memstore
from memstore import Busy, Corrupt, SchemaTooNew, open_store

from .rooms import PACKAGE

pytestmark = pytest.mark.damage  # to today's check() a file of tomorrow's is a finding, as it should be

#: How tomorrow's version differs: file -> (what is there, what takes its place).
COLUMN = {
    "corrections/correction.py": (
        ('"corrections",\n    version=1,', '"corrections",\n    version=2,'),
        ("    version           INTEGER NOT NULL DEFAULT 1,\n",
         "    version           INTEGER NOT NULL DEFAULT 1,\n    mood              TEXT NOT NULL DEFAULT 'calm',\n"),
        ("    version: int\n", "    version: int\n    mood: str\n"),
    ),
    "corrections/__init__.py": (("            version=1,\n", '            version=1,\n            mood="lively",\n'),),
}  # fmt: skip
INDEX = {
    "corrections/correction.py": (
        ('"corrections",\n    version=1,', '"corrections",\n    version=2,'),
        (
            "CREATE INDEX corrections__created ON",
            "CREATE INDEX corrections__source ON corrections(source);\nCREATE INDEX corrections__created ON",
        ),
    ),
}
TABLE = {
    "corrections/correction.py": (
        ('"corrections",\n    version=1,', '"corrections",\n    version=2,'),
        ("CREATE INDEX corrections__created ON",
         "CREATE TABLE correction_moods(correction INTEGER PRIMARY KEY REFERENCES corrections(pk) ON DELETE CASCADE, mood TEXT) STRICT;\n"
         "CREATE INDEX corrections__created ON"),
    ),
}  # fmt: skip
CONSTRAINT = {
    "corrections/correction.py": (('"corrections",\n    version=1,', '"corrections",\n    version=2,'),),
    "corrections/decay.py": (('"C", "D")', '"C", "D", "E")'),),
}
ROOM = {
    "store.py": (
        ('    "keywords": ("keyword_items",),\n', '    "keywords": ("keyword_items",),\n    "moods": ("moods",),\n'),
        ("    def _room(self,", "    @cached_property\n    def moods(self) -> Any:\n        from .moods import SCHEMA, MoodStore\n\n"
         "        return MoodStore(self._room(SCHEMA))\n\n    def _room(self,"),
    ),
}  # fmt: skip
MOODS = '''"""Moods."""
from .kernel import Schema
SCHEMA = Schema("moods", version=1, ddl="CREATE TABLE moods(pk INTEGER PRIMARY KEY, mood TEXT NOT NULL) STRICT;")
class MoodStore:
    def __init__(self, db):
        self.db = db
    def add(self, mood):
        with self.db.write() as connection:
            connection.run("INSERT INTO moods(mood) VALUES (?)", (mood,))
    def check(self):
        return []
'''
ADDING = {"column": COLUMN, "index": INDEX, "table": TABLE, "constraint": CONSTRAINT}
every_addition = pytest.mark.parametrize("added", ADDING)


def tomorrow(folder, edits, name="memstore"):
    """Build tomorrow's version in a folder, under its own name or another one."""
    copy = folder / name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, pairs in edits.items():
        text = (copy / file).read_text(encoding="utf-8")
        for old, new in pairs:
            assert text.count(old) == 1, f"{file} has changed; {old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        (copy / file).write_text(text, encoding="utf-8")
    if edits is ROOM:
        (copy / "moods.py").write_text(MOODS)
    for file in ("__init__.py", "store.py"):  # which name modules by the package
        text = (copy / file).read_text(encoding="utf-8")
        assert 'import_module(f"memstore.' in text
        (copy / file).write_text(text.replace('import_module(f"memstore.', f'import_module(f"{name}.'), encoding="utf-8")
    return folder


# -- a process of each version ------------------------------------------------------------------------------------------

CHILD = """
import json, sys
import memstore
from memstore import StoreError, open_store

store = open_store(sys.argv[1], timeout=float(sys.argv[2]))


def add(name, count=1):
    for number in range(count):
        store.corrections.add(f"subject of {name}", f"claim {number} of {name}", id=f"{name}-{number}", metadata={"by": name})
    return count


def update(id, why):
    return store.corrections.update(id, why=why, note="because").version


def found():
    return {item.id: [item.claim, item.why, item.metadata["by"], getattr(item, "mood", None)] for item in store.corrections.find()}


def write(sql):
    with store.corrections.db.write() as connection:
        return connection.run(sql)


def check():
    report = store.check()
    return [report.ok, sorted({finding.kind for finding in report.findings})]


def both(name, count):
    "Rows of two rooms, which are there together or not at all."
    store.corrections.count()  # the newer one brings the file up here: inside a transaction it may not
    for number in range(count):
        with store.transaction():
            store.corrections.add(f"subject of {name}", f"claim {number} of {name}", id=f"{name}-{number}", metadata={"by": name})
            store.audit.append("query", actor=name, note=str(number))
    return count


calls = {
    "where": lambda: memstore.__file__, "add": add, "update": update, "found": found, "write": write, "check": check, "both": both,
    "query": lambda sql: store.query(sql), "events": lambda: len(store.audit.find(limit=None)), "mood": lambda word: store.moods.add(word),
    "begin": lambda: transaction.__enter__() and None, "commit": lambda: transaction.__exit__(None, None, None),
    "prune": lambda: store.corrections.prune(1.0), "optimize": lambda: store.optimize() and None, "stats": lambda: store.stats().rooms,
    "fresh": lambda: open_store(sys.argv[1]).close(), "moods": lambda: [row["mood"] for row in store.query("SELECT mood FROM moods")],
}
transaction = store.transaction()
for line in sys.stdin:
    name, *given = json.loads(line)
    try:
        print(json.dumps(["answer", calls[name](*given)]), flush=True)
    except StoreError as error:
        print(json.dumps([type(error).__name__, str(error)]), flush=True)
store.close()
"""


class Version:
    """A process that uses a store with one version of the library; ask it, or tell it and hear later."""

    def __init__(self, folder, path, timeout=30.0):
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", "-c", CHILD, str(path), str(timeout)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )  # fmt: skip

    def tell(self, *call):
        self.child.stdin.write(json.dumps(call) + "\n")
        self.child.stdin.flush()

    def hear(self):
        line = self.child.stdout.readline()
        assert line, self.child.stderr.read()
        return json.loads(line)

    def ask(self, *call):
        """The answer; an error fails the test."""
        self.tell(*call)
        kind, answer = self.hear()
        assert kind == "answer", f"{kind}: {answer}"
        return answer

    def refused(self, *call):
        self.tell(*call)
        return self.hear()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        out, err = self.child.communicate(timeout=60)
        assert failure[0] is not None or (self.child.returncode, out, err) == (0, "", "")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def newer(tmp_path):
    """Build tomorrow's version."""
    return lambda edits: tomorrow(tmp_path / "tomorrow", edits)


@every_addition
def test_both_go_on_writing_in_turns_and_nothing_is_lost(path, newer, added):
    with Version(PACKAGE.parent, path) as old:
        old.ask("add", "before")
        with Version(newer(ADDING[added]), path) as new:
            assert os.path.dirname(new.ask("where")) != os.path.dirname(old.ask("where"))
            assert new.ask("found") == {"before-0": ["claim 0 of before", "", "before", "calm" if added == "column" else None]}
            for turn in range(5):  # the newer one has brought the file up; the older one does not notice
                new.ask("add", f"new{turn}")
                old.ask("add", f"old{turn}")
                old.ask("update", f"new{turn}-0", f"said by the older in turn {turn}")
                new.ask("update", f"old{turn}-0", f"said by the newer in turn {turn}")
            seen, known = new.ask("found"), old.ask("found")
            assert {id: item[:3] for id, item in seen.items()} == {id: item[:3] for id, item in known.items()}
            assert len(seen) == 11
            for turn in range(5):
                lively = "lively" if added == "column" else None
                assert seen[f"new{turn}-0"] == [f"claim 0 of new{turn}", f"said by the older in turn {turn}", f"new{turn}", lively]
                calm = "calm" if added == "column" else None
                assert seen[f"old{turn}-0"] == [f"claim 0 of old{turn}", f"said by the newer in turn {turn}", f"old{turn}", calm]
            assert new.ask("check")[0] is True
            assert old.ask("check")[0] is False, "and it says why:"
            assert "other_version" in old.ask("check")[1]
            assert old.ask("stats")["corrections"] == 2


@every_addition
def test_both_write_at_the_same_time_and_no_row_is_half_there(path, newer, added):
    count = 60
    with Version(PACKAGE.parent, path) as old:
        old.ask("both", "before", 1)
        with Version(newer(ADDING[added]), path) as new:
            new.tell("both", "new", count)  # which brings the file up while the older one is at it
            old.tell("both", "old", count)
            assert new.hear() == old.hear() == ["answer", count]
            assert len(new.ask("found")) == 2 * count + 1
            assert new.ask("events") == 2 * count + 1
            assert new.ask("check")[0] is True


@every_addition
def test_who_comes_late_with_the_older_version_is_told_and_touches_nothing(path, newer, added):
    with Version(newer(ADDING[added]), path) as new:
        new.ask("add", "new")
        said = "corrections in this file has schema 2, this memstore knows 1: upgrade memstore; nothing was touched"
        with open_store(path) as old:
            before = new.ask("query", "SELECT sql FROM sqlite_schema ORDER BY name")
            for call in (
                lambda: old.corrections.add("subject", "claim"),
                lambda: old.corrections.find(),
                lambda: old.corrections.relevant("subject"),
                lambda: old.corrections.prune(),
            ):
                with pytest.raises(SchemaTooNew, match=said):
                    call()
            assert old.chat.create_conversation(title="other rooms work").title
            assert [finding.kind for finding in old.check().findings] == ["other_version"]
            assert old.stats().rooms["corrections"] == 2
            after = new.ask("query", "SELECT sql FROM sqlite_schema ORDER BY name")
            assert [row for row in before if row not in after] == []
        with open_store(path, read_only=True) as old:
            with pytest.raises(SchemaTooNew, match=said):
                old.corrections.find()
        with pytest.raises(SchemaTooNew, match=said), open_store(path) as old, old.transaction():
            old.chat.create_conversation(title="undone with the rest")
            old.corrections.add("subject", "claim")
        assert len(new.ask("found")) == 1
        assert new.ask("query", "SELECT title FROM conversations") == [{"title": "other rooms work"}]
        assert new.ask("check")[0] is True


def test_a_handle_that_has_not_touched_the_room_yet_is_a_late_one(path, newer):
    with open_store(path) as old:
        old.chat.create_conversation()
        with Version(newer(COLUMN), path) as new:
            new.ask("add", "new")
            with pytest.raises(SchemaTooNew):
                old.corrections.find()
            assert len(old.chat.conversations()) == 1


def test_a_file_is_brought_up_between_two_transactions_of_the_older_version_never_within_one(path, newer):
    with Version(PACKAGE.parent, path) as old:
        old.ask("add", "before")
        folder = newer(COLUMN)
        old.ask("begin")
        old.ask("add", "within")
        with Version(folder, path, timeout=0.3) as new:
            kind, said = new.refused("found")
            assert kind == "Busy", said
            assert new.ask("query", "SELECT count(*) AS mooded FROM pragma_table_info('corrections') WHERE name = 'mood'") == [
                {"mooded": 0}
            ]
            old.ask("add", "still within")
            old.ask("commit")
            assert {id: item[3] for id, item in new.ask("found").items()} == dict.fromkeys(
                ("before-0", "within-0", "still within-0"), "calm"
            )
            old.ask("add", "after")
            assert len(new.ask("found")) == 4


def test_an_added_table_keeps_its_rows_and_its_references(path, newer):
    with Version(PACKAGE.parent, path) as old:
        old.ask("add", "old", 3)
        with Version(newer(TABLE), path) as new:
            new.ask("add", "new")
            new.ask("write", "INSERT INTO correction_moods(correction, mood) SELECT pk, 'calm' FROM corrections")
            for id in ("old-0", "new-0"):
                old.ask("update", id, "changed by the older")
            moods = "SELECT c.id, m.mood FROM corrections AS c JOIN correction_moods AS m ON m.correction = c.pk ORDER BY c.id"
            assert [row["id"] for row in new.ask("query", moods)] == ["new-0", "old-0", "old-1", "old-2"]
            assert old.ask("prune") == 4, "who does not know the table still removes what hangs on its rows"
            assert new.ask("query", "SELECT count(*) AS left_over FROM correction_moods") == [{"left_over": 0}]
            assert new.ask("check")[0] is True


def test_a_room_that_only_the_newer_version_has_is_left_alone(path, newer):
    with Version(PACKAGE.parent, path) as old:
        old.ask("add", "old")
        with Version(newer(ROOM), path) as new:
            new.ask("mood", "calm")
            for turn in range(3):
                old.ask("add", f"old{turn}")
                new.ask("add", f"new{turn}")
                new.ask("mood", f"mood {turn}")
            assert len(old.ask("found")) == 7
            ok, kinds = old.ask("check")
            assert ok and "unknown_room" in kinds, "which is advice"
            assert old.ask("stats")["moods"] == 1
            old.ask("optimize")
            assert new.ask("moods") == ["calm", "mood 0", "mood 1", "mood 2"]
            assert new.ask("check")[0] is True
    with open_store(path) as late:
        assert len(late.corrections.find()) == 7, "a late one finds all the rooms that it knows"
        late.snapshot(path.with_name("copy.db"))
    with Version(path.parent / "tomorrow", path.with_name("copy.db")) as new:
        assert len(new.ask("moods")) == 4


def test_a_change_that_adds_nothing_stops_the_older_version_with_a_reason(path, newer):
    """A column that goes by another name is none of what may happen to an open handle; it is told to look again."""
    rename = "lambda connection: connection.run('ALTER TABLE corrections RENAME COLUMN source TO origin')"
    renaming = {
        "corrections/correction.py": (
            (
                '"corrections",\n    version=1,',
                f'"corrections",\n    steps=(Step("rename source", {rename}, before=True),),\n    version=2,',
            ),
            ("    source            TEXT NOT NULL", "    origin            TEXT NOT NULL"),
            ("from ..kernel import Carried, Cipher, Record,", "from ..kernel import Carried, Cipher, Step, Record,"),
        ),
    }
    with open_store(path) as old:
        old.corrections.add("rounding", "half up", source="user")
        with Version(newer(renaming), path) as new:
            assert new.ask("write", "UPDATE corrections SET origin = origin || '!'") == 1
            for call in (lambda: old.corrections.add("language", "English"), old.corrections.find):
                with pytest.raises(Corrupt, match="open the store again, a newer one may have changed"):
                    call()
            assert new.ask("query", "SELECT subject, origin FROM corrections") == [{"subject": "rounding", "origin": "user!"}]
        assert old.chat.create_conversation(title="goes on").title == "goes on"
        with pytest.raises(SchemaTooNew), open_store(path) as late:
            late.corrections.find()


# -- both in one process ------------------------------------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Import tomorrow's version beside today's, under another name."""

    def load(edits):
        monkeypatch.syspath_prepend(str(tomorrow(tmp_path / "beside", edits, name="memstore_tomorrow")))
        return importlib.import_module("memstore_tomorrow")

    yield load
    for name in [name for name in sys.modules if name.split(".")[0] == "memstore_tomorrow"]:
        del sys.modules[name]


@every_addition
def test_two_handles_in_one_process(path, beside, added):
    later = beside(ADDING[added])
    with open_store(path) as old, later.open_store(path) as new:
        assert not isinstance(new, memstore.Store)
        first = old.corrections.add("rounding", "half up", metadata={"by": "old"})
        mine = new.corrections.add("language", "English", metadata={"by": "new"})
        for turn in range(5):
            old.corrections.update(mine.id, why=f"turn {turn}")
            new.corrections.update(first.id, why=f"turn {turn}")
            old.corrections.add("turns", f"old {turn}")
            new.corrections.add("turns", f"new {turn}")
        assert {item.id for item in old.corrections.find()} == {item.id for item in new.corrections.find()}
        if added == "column":
            assert (new.corrections.get(first.id).mood, new.corrections.get(mine.id).mood) == ("calm", "lively")
        assert old.corrections.get(mine.id).why == new.corrections.get(first.id).why == "turn 4"
        report = new.check()
        assert report.ok, report.findings


def test_a_transaction_of_one_keeps_the_other_out_in_one_process_too(path, beside):
    later = beside(COLUMN)
    with open_store(path) as old, later.open_store(path, timeout=0.1) as new:
        old.corrections.add("rounding", "half up")
        with old.transaction():
            old.corrections.add("language", "English")
            with pytest.raises(later.Busy):
                new.corrections.add("tests", "first")
        assert len(new.corrections.find()) == 2
        with new.transaction(), pytest.raises(Busy), open_store(path, timeout=0.1) as late:
            late.chat.create_conversation()
