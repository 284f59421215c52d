"""A schema's text is the truth: what a file must become, what it must not lose, and what it must refuse to become."""

from __future__ import annotations

import pytest

from memstore.kernel import Corrupt, Exists, Invalid, Step, StoreError
from memstore.kernel import schema as schemas

from .harness import begun, close_all, dump, in_memory, migrated, schema, shape


@pytest.fixture(autouse=True)
def closing():
    yield
    close_all()


BASE = """
CREATE TABLE things(
    pk   INTEGER PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    size INTEGER CHECK (size IN (1, 2, 3))
) STRICT;
CREATE INDEX things__name ON things(name);
"""
ROWS = (
    "INSERT INTO things(pk, name, size) VALUES (3, 'three', 3), (7, 'seven', NULL), (9, 'ü ''quoted''', 1)",
    "INSERT INTO things(pk, name) VALUES (10, 'ten')",
)


def table(*parts, options="STRICT", name="things", rest=""):
    return f"CREATE TABLE {name}({', '.join(parts)}) {options}; {rest}"


PK, NAME, SIZE = "pk INTEGER PRIMARY KEY", "name TEXT NOT NULL DEFAULT ''", "size INTEGER CHECK (size IN (1, 2, 3))"
INDEX = "CREATE INDEX things__name ON things(name);"

KINDS = {
    "a column that may be NULL": table(PK, NAME, "note TEXT", SIZE, rest=INDEX),
    "a column NOT NULL with a default": table(PK, "kind TEXT NOT NULL DEFAULT 'x,)'", NAME, SIZE, rest=INDEX),
    "a column with a default that ALTER refuses": table(PK, NAME, SIZE, "at REAL NOT NULL DEFAULT (1 + 0.5)", rest=INDEX),
    "a column with a CHECK": table(PK, NAME, SIZE, "grade REAL CHECK (grade BETWEEN 0 AND 1)", rest=INDEX),
    "a column that REFERENCES": table(PK, NAME, SIZE, "parent INTEGER REFERENCES things(pk) ON DELETE CASCADE", rest=INDEX),
    "a column with COLLATE": table(PK, NAME, SIZE, "tag TEXT COLLATE NOCASE", rest=INDEX),
    "a UNIQUE column, which needs a rebuild": table(PK, NAME, SIZE, "token TEXT UNIQUE", rest=INDEX),
    "a generated column": table(PK, NAME, "loud TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL", SIZE, rest=INDEX),
    "a generated column in short": table(PK, NAME, SIZE, "loud TEXT AS (upper(name))", rest=INDEX),
    "three columns at once, one of them UNIQUE": table(PK, "a TEXT", NAME, "b TEXT UNIQUE", SIZE, "c REAL NOT NULL DEFAULT 0", rest=INDEX),
    "a wider CHECK": table(PK, NAME, "size INTEGER CHECK (size IN (1, 2, 3, 4))", rest=INDEX),
    "a narrower CHECK": table(PK, NAME, "size INTEGER CHECK (size IN (1, 3))", rest=INDEX),
    "no CHECK any more": table(PK, NAME, "size INTEGER", rest=INDEX),
    "another type": table(PK, NAME, "size REAL CHECK (size IN (1, 2, 3))", rest=INDEX),
    "another default": table(PK, "name TEXT NOT NULL DEFAULT 'nobody'", SIZE, rest=INDEX),
    "another collation": table(PK, "name TEXT COLLATE NOCASE NOT NULL DEFAULT ''", SIZE, rest=INDEX),
    "NOT NULL lifted": table(PK, "name TEXT DEFAULT ''", SIZE, rest=INDEX),
    "a new table": BASE + "CREATE TABLE others(id TEXT PRIMARY KEY, thing INTEGER REFERENCES things(pk)) STRICT, WITHOUT ROWID;",
    "a new index": BASE + "CREATE INDEX things__size ON things(size DESC, name);",
    "a new unique index": BASE + "CREATE UNIQUE INDEX things__once ON things(name, size);",
    "a partial index": BASE + "CREATE INDEX things__big ON things(name) WHERE size > 2;",
    "an index over an expression": BASE + "CREATE INDEX things__lower ON things(lower(name), size);",
    "a trigger": BASE + "CREATE TRIGGER things__fixed BEFORE DELETE ON things BEGIN SELECT RAISE(ABORT, 'no; never'); END;",
    "a view": BASE + "CREATE VIEW names AS SELECT name FROM things;",
    "a view with a trigger": BASE
    + """CREATE VIEW names AS SELECT name FROM things;
         CREATE TRIGGER names__add INSTEAD OF INSERT ON names BEGIN INSERT INTO things(name) VALUES (new.name); END;""",
    "a changed index": table(PK, NAME, SIZE, rest="CREATE INDEX things__name ON things(name, size);"),
    "a renamed index": table(PK, NAME, SIZE, rest="CREATE INDEX things__by_name ON things(name);"),
    "an index dropped": table(PK, NAME, SIZE),
    "AUTOINCREMENT": table("pk INTEGER PRIMARY KEY AUTOINCREMENT", NAME, SIZE, rest=INDEX),
    "not STRICT any more": table(PK, NAME, SIZE, options="", rest=INDEX),
    "WITHOUT ROWID": table(PK, NAME, SIZE, options="WITHOUT ROWID, STRICT", rest=INDEX),
    "a UNIQUE constraint of the table": table(PK, NAME, SIZE, "UNIQUE (name, size)", rest=INDEX),
    "a named CHECK of the table": table(PK, NAME, SIZE, "CONSTRAINT named CHECK (name <> 'a, b)' OR size IS NULL)", rest=INDEX),
    "a FOREIGN KEY of the table": table(PK, NAME, SIZE, "FOREIGN KEY (size) REFERENCES things(pk) ON UPDATE CASCADE", rest=INDEX),
    "everything at once": table(
        "pk INTEGER PRIMARY KEY AUTOINCREMENT",
        "b TEXT UNIQUE",
        "size INTEGER CHECK (size > 0)",
        "name TEXT NOT NULL DEFAULT '' COLLATE NOCASE",
        "UNIQUE (pk, size)",
        rest="CREATE INDEX things__size ON things(size); CREATE VIEW sizes AS SELECT size FROM things WHERE size IS NOT NULL;",
    ),
}
# Rows that the new constraint would refuse are another test's matter.
FITTING = {"a FOREIGN KEY of the table": ("UPDATE things SET size = NULL",)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_file_gets_the_structure_of_a_fresh_one_and_keeps_every_row(kind):
    old, fresh = begun(BASE, *ROWS, *FITTING.get(kind, ())), begun(KINDS[kind])
    before = old.rows("SELECT pk, name, size FROM things ORDER BY pk")
    assert len(before) == 4
    migrated(old, schema(KINDS[kind]))
    assert shape(old) == shape(fresh)
    assert old.rows("SELECT pk, name, size FROM things ORDER BY pk") == before
    assert schemas.differences(old.raw, schema(KINDS[kind])) == []
    assert schemas.state(old, schema(KINDS[kind])) == "current"
    assert old.row("SELECT version, digest, applied_at FROM schema_version WHERE room = 'things'") == (2, schema(KINDS[kind]).digest, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_structure_comes_back_too(kind):
    old, fresh = begun(KINDS[kind], *(ROWS if "FOREIGN" not in kind else ())), begun(BASE)
    migrated(old, schema(BASE))
    extra = [statement for statement in shape(old)[1] if statement not in shape(fresh)[1]]
    assert all(kind == "view" or name == "names__add" for kind, name in extra), "indexes and triggers of ours that the DDL dropped"
    assert schemas.differences(old.raw, schema(BASE)) == []


OWN = (
    "ALTER TABLE things ADD COLUMN stars INTEGER NOT NULL DEFAULT 0",
    'ALTER TABLE things ADD COLUMN "my note, really" TEXT COLLATE NOCASE',
    "ALTER TABLE things ADD COLUMN shout TEXT AS (upper(name) || '!')",
    "UPDATE things SET stars = pk * 10, \"my note, really\" = 'note ' || name",
    'CREATE INDEX my_stars ON things(stars, "my note, really") WHERE stars > 30',
    "CREATE TABLE my_table(thing INTEGER REFERENCES things(pk) ON DELETE CASCADE, what TEXT)",
    "INSERT INTO my_table VALUES (3, 'of three'), (7, NULL)",
    "CREATE TRIGGER my_trigger AFTER UPDATE OF name ON things BEGIN INSERT INTO my_table VALUES (new.pk, old.name); END",
    "CREATE VIEW my_view AS SELECT name, stars, what FROM things JOIN my_table ON thing = pk",
)
OWN_NAMES = ("my_stars", "my_table", "my_trigger", "my_view")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_user_added_survives_with_its_values(kind):
    old = begun(BASE, *ROWS, *FITTING.get(kind, ()), *OWN)
    columns = 'pk, stars, "my note, really", shout'
    before = [
        old.rows(f"SELECT {columns} FROM things ORDER BY pk"),
        old.rows("SELECT thing, what FROM my_table ORDER BY thing"),
        old.rows(f"SELECT type, name, sql FROM sqlite_schema WHERE name IN {OWN_NAMES} ORDER BY name"),
        old.rows("SELECT name, stars, what FROM my_view ORDER BY stars"),
    ]
    migrated(old, schema(KINDS[kind]))
    assert before == [
        old.rows(f"SELECT {columns} FROM things ORDER BY pk"),
        old.rows("SELECT thing, what FROM my_table ORDER BY thing"),
        old.rows(f"SELECT type, name, sql FROM sqlite_schema WHERE name IN {OWN_NAMES} ORDER BY name"),
        old.rows("SELECT name, stars, what FROM my_view ORDER BY stars"),
    ]
    old.run("UPDATE things SET name = 'changed' WHERE pk = 7")
    assert ("seven",) in old.rows("SELECT what FROM my_table"), "their trigger still works"
    old.run("INSERT INTO things(pk, name) VALUES (11, 'new')")
    assert old.value("SELECT stars FROM things WHERE name = 'new'") == 0, "and so does their default"


SPELLINGS = {
    "comments": BASE.replace("STRICT;", "STRICT; -- of all kinds").replace("name TEXT", "name /* a, comment; */ TEXT -- another, (one\n "),
    "a comment for a space": BASE.replace("name TEXT NOT NULL", "name/**/TEXT/* */NOT/**/NULL"),
    "white space": BASE.replace(" ", "\n\t  "),
    "case": BASE.replace("things", "Things").replace("INTEGER", "integer").replace("name", "NAME").replace("CHECK", "Check"),
    "quotes": BASE.replace("name TEXT", '"name" TEXT').replace("size INTEGER", "[size] INTEGER").replace("ON things", "ON `things`"),
    "the order of columns": table(SIZE, NAME, PK, rest=INDEX),
    "no semicolon at the end": BASE.strip().rstrip(";"),
    "a comment at the end": BASE + "-- the end; really",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_how_a_schema_is_written_does_not_matter(spelling):
    text = SPELLINGS[spelling]
    assert text != BASE
    old = begun(BASE, *ROWS)
    assert schemas.plan(schemas.objects(old.raw), schemas.target(schema(text))) == []
    before = dump(old)[0]
    migrated(old, schema(text))
    assert dump(old)[0] == before, "nothing was rebuilt"
    again = begun(text)
    assert schemas.plan(schemas.objects(again.raw), schemas.target(schema(BASE))) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CHECK (a IS NOT NULL)", 'CHECK (a IS NOT "NULL")'),
        ("CHECK (a = 'X')", "CHECK (a = 'x')"),
        ("CHECK (a > 1)", "CHECK (a >= 1)"),
        ("DEFAULT 'a b'", "DEFAULT 'a  b'"),
        ("DEFAULT '--x'", "DEFAULT ''"),
        ("DEFAULT TRUE", 'DEFAULT "true"'),
        ('CHECK ("a b" > 0)', "CHECK (a b > 0)"),
        ("a TEXT NOT NULL", "a TEXT"),
    ],
)
def test_a_difference_that_means_something_is_one(one, other):
    assert schemas.normal(one) != schemas.normal(other)


def test_a_table_is_taken_apart_at_its_commas_only():
    found = schemas.define(
        """CREATE TABLE "od(d" ( -- a, comment
            id INTEGER PRIMARY KEY, "Weird, name" TEXT DEFAULT 'a,b)' CHECK ("Weird, name" IN ('x', 'y')), [key] ANY, `check` REAL,
            'Ä"ä' BLOB, CONSTRAINT c UNIQUE (id, "key"), CHECK (id > (1 + 2)), FOREIGN KEY (id) REFERENCES other(a))
            WITHOUT ROWID, STRICT"""
    )
    assert list(found.columns) == ["id", "weird, name", "key", "check", 'Ä"ä'], "small letters as SQLite has them: only of ASCII"
    assert found.columns["weird, name"] == """"Weird, name" TEXT DEFAULT 'a,b)' CHECK ("Weird, name" IN ('x', 'y'))"""
    assert found.constraints == ['CONSTRAINT c UNIQUE (id, "key")', "CHECK (id > (1 + 2))", "FOREIGN KEY (id) REFERENCES other(a)"]
    assert found.options == "WITHOUT ROWID, STRICT"


def test_statements_are_split_where_sqlite_ends_them():
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT ';'; END;"
    found = schemas.statements(f"CREATE TABLE a(b DEFAULT ';'); -- x; y\n{trigger} CREATE VIEW v AS SELECT 1")
    assert [statement.split()[-1] for statement in found] == ["';');", "END;", "1"]
    assert schemas.statements("CREATE TABLE a(b); -- nothing; more") == ["CREATE TABLE a(b);"]
    assert schemas.statements(" \n") == []


def test_a_user_column_is_found_whatever_its_case_and_quotes():
    old = begun(table(PK, "Name TEXT NOT NULL DEFAULT ''", SIZE), *ROWS, "ALTER TABLE things ADD COLUMN [My Column] TEXT")
    old.run('UPDATE things SET "my column" = name')
    migrated(old, schema(table(PK, NAME, '"my column" TEXT', SIZE, "b TEXT UNIQUE")))
    assert old.value("SELECT count(*) FROM things WHERE [MY COLUMN] = name") == 4


# -- what is refused ----------------------------------------------------------------------------------------------------


REFUSED = {
    "a CHECK that rows break": (table(PK, NAME, "size INTEGER CHECK (size < 3)", rest=INDEX), "CHECK"),
    "a new CHECK of the table": (table(PK, NAME, SIZE, "CHECK (length(name) < 5)", rest=INDEX), "CHECK"),
    "a new column whose default breaks its CHECK": (table(PK, NAME, SIZE, "x INTEGER DEFAULT 0 CHECK (x > 0)", rest=INDEX), "CHECK"),
    "NOT NULL without a default": (table(PK, NAME, SIZE, "owner TEXT NOT NULL", rest=INDEX), "owner"),
    "NOT NULL where there is NULL": (table(PK, NAME, "size INTEGER NOT NULL DEFAULT 1", rest=INDEX), "size"),
    "UNIQUE over equal values": (table(PK, "name TEXT NOT NULL DEFAULT '' UNIQUE", SIZE), "UNIQUE"),
    "a unique index over equal values": (BASE + "CREATE UNIQUE INDEX things__once ON things(name);", "UNIQUE"),
    "a type that values do not have": (table(PK, "name INTEGER NOT NULL DEFAULT 0", SIZE, rest=INDEX), "name"),
    "values that would be computed away": (table(PK, "name TEXT AS (size || '')", SIZE, rest=INDEX), "name"),
    "a second primary key": (table("id TEXT PRIMARY KEY", NAME, SIZE, rest=INDEX), "primary key"),
    "a type that STRICT does not know": (table(PK, NAME, SIZE, "odd TEXT UNIQUE", rest=INDEX), "unknown datatype"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_do_not_fit_are_refused_by_name_and_nothing_changes(case):
    ddl, named = REFUSED[case]
    old = begun(BASE.replace(" STRICT", "") if "STRICT" in case else BASE, *ROWS, "INSERT INTO things(name) VALUES ('ten')")
    if "STRICT" in case:
        old.run("ALTER TABLE things ADD COLUMN mine VARCHAR(7)")
    before = dump(old)
    with pytest.raises(Invalid, match="things does not fit schema 2 of things .*it needs a named Step") as failure:
        migrated(old, schema(ddl))
    assert named in str(failure.value)
    assert dump(old) == before
    if "STRICT" not in case and "primary" not in case:
        old.run("DELETE FROM things")  # it was the rows, not the file
        migrated(old, schema(ddl))
        assert schemas.differences(old.raw, schema(ddl)) == []


def test_a_row_that_names_no_row_is_refused():
    ddl = table(PK, NAME, "size INTEGER REFERENCES things(pk)")
    old = begun(table(PK, NAME, "size INTEGER"), "INSERT INTO things(pk, size) VALUES (1, 1), (2, 77)")
    before = dump(old)
    with pytest.raises(Corrupt, match="row 2 of things names a row of things that does not exist"):
        migrated(old, schema(ddl))
    assert dump(old) == before
    old.run("UPDATE things SET size = NULL WHERE pk = 2")
    migrated(old, schema(ddl))


@pytest.mark.parametrize("mine", ["CREATE TABLE Others(mine TEXT)", "CREATE VIEW others AS SELECT 1 AS mine"])
def test_a_table_of_the_users_own_is_never_taken_over(mine):
    both = BASE + "CREATE TABLE others(id INTEGER PRIMARY KEY) STRICT;"
    old = begun(BASE, *ROWS, mine)
    before = dump(old)
    with pytest.raises(Exists, match=r"table others that things did not make; rename it before using store\.things"):
        migrated(old, schema(both))
    with pytest.raises(Exists, match="others"):
        schemas.create(old, schema("CREATE TABLE others(id INTEGER PRIMARY KEY) STRICT;", name="others"), 0.0)
    assert dump(old) == before


def test_a_virtual_table_needs_a_step():
    try:
        old = begun("CREATE VIRTUAL TABLE pages USING fts5(body);", "INSERT INTO pages VALUES ('some text')")
    except StoreError:
        pytest.skip("this SQLite has no FTS5")
    ddl = "CREATE VIRTUAL TABLE pages USING fts5(body, title);"
    before = dump(old)
    with pytest.raises(Invalid, match=r"pages does not fit .*virtual table.*Step"):
        migrated(old, schema(ddl))
    assert dump(old) == before
    with_plain = "CREATE VIRTUAL TABLE pages USING fts5(body); CREATE VIRTUAL TABLE more USING fts5(x); CREATE TABLE plain(a TEXT) STRICT;"
    migrated(old, schema(with_plain))
    assert old.rows("SELECT body FROM pages WHERE pages MATCH 'text'") == [("some text",)]
    assert schemas.differences(old.raw, schema(with_plain)) == []


# -- what a rebuild must not lose ---------------------------------------------------------------------------------------


def test_a_rebuild_keeps_the_autoincrement_mark_even_of_an_empty_table():
    numbered = BASE.replace("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT")
    for rows in ([], ["INSERT INTO things(pk) VALUES (5)"]):
        old = begun(numbered, *rows, "INSERT INTO things(pk) VALUES (40)", "DELETE FROM things WHERE pk = 40")
        migrated(old, schema(numbered.replace("(1, 2, 3)", "(1, 2, 3, 4)")))
        assert old.insert("INSERT INTO things(name) VALUES ('next')") == 41
        assert old.rows("SELECT name, count(*) FROM sqlite_sequence") == [("things", 1)]


def test_a_rebuild_keeps_the_order_of_rows_that_have_no_key():
    ddl = "CREATE TABLE things(a TEXT, b TEXT AS (a), c TEXT AS (a), d TEXT AS (a)) STRICT; CREATE INDEX things__a ON things(a);"
    old = begun(ddl, "INSERT INTO things VALUES ('z'), ('b'), ('y'), ('a')")
    migrated(old, schema(ddl.replace("a TEXT,", "a TEXT CHECK (a <> ''),")))
    assert old.rows("SELECT a FROM things ORDER BY rowid") == [("z",), ("b",), ("y",), ("a",)]


def test_a_rebuild_that_drops_autoincrement_leaves_no_mark():
    old = begun(BASE.replace("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT"), *ROWS)
    migrated(old, schema(BASE))
    assert old.rows("SELECT name FROM sqlite_sequence") == []


def test_a_rebuild_does_not_fire_what_others_hang_on_the_table():
    append_only = BASE + "CREATE TRIGGER things__fixed BEFORE DELETE ON things BEGIN SELECT RAISE(ABORT, 'fixed'); END;"
    old = begun(
        append_only,
        *ROWS,
        "CREATE TABLE seen(what TEXT)",
        "CREATE TRIGGER watch AFTER INSERT ON things BEGIN INSERT INTO seen VALUES (new.name); END",
        "CREATE TABLE children(thing INTEGER NOT NULL REFERENCES things(pk) ON DELETE CASCADE)",
        "INSERT INTO children SELECT pk FROM things",
    )
    migrated(old, schema(append_only.replace("(1, 2, 3)", "(1, 2, 3, 4)")))
    assert old.value("SELECT count(*) FROM children") == 4
    assert old.value("SELECT count(*) FROM seen") == 0
    assert "REFERENCES things(pk)" in old.value("SELECT sql FROM sqlite_schema WHERE name = 'children'")
    with pytest.raises(Invalid, match="fixed"):
        old.run("DELETE FROM things")


def test_a_column_that_was_computed_keeps_what_it_showed():
    old = begun(table(PK, NAME, SIZE, "loud TEXT AS (upper(name))"), *ROWS)
    migrated(old, schema(table(PK, NAME, SIZE, "loud TEXT")))
    assert old.value("SELECT count(*) FROM things WHERE loud = upper(name)") == 4


def test_a_changed_view_and_its_triggers_are_made_anew():
    trigger = "CREATE TRIGGER names__add INSTEAD OF INSERT ON names BEGIN INSERT INTO things(name) VALUES (new.name); END;"
    old = begun(BASE + "CREATE VIEW names AS SELECT name FROM things;" + trigger, *ROWS)
    ddl = BASE + "CREATE VIEW names AS SELECT name, size FROM things WHERE size > 0;" + trigger
    migrated(old, schema(ddl))
    old.run("INSERT INTO names(name) VALUES ('by view')")
    assert old.value("SELECT count(*) FROM things WHERE name = 'by view'") == 1
    assert schemas.differences(old.raw, schema(ddl)) == []


def test_a_step_that_leaves_the_schema_different_is_undone():
    old = begun(BASE, *ROWS)
    before = dump(old)
    step = Step("spoil it", lambda connection: connection.run("DROP INDEX things__name"))
    with pytest.raises(Corrupt, match="could not be brought to schema 2: index things__name is gone"):
        migrated(old, schema(BASE, steps=[step]))
    assert dump(old) == before


def test_a_change_that_does_not_take_is_not_tried_for_ever(monkeypatch):
    old = begun(BASE, *ROWS)
    monkeypatch.setattr(schemas, "_apply", lambda *_: None)
    with pytest.raises(Corrupt, match="could not be brought to schema 2: table others is gone"):
        migrated(old, schema(KINDS["a new table"]))


# -- interrupted --------------------------------------------------------------------------------------------------------


def test_interrupted_at_any_step_of_sqlite_it_is_the_old_or_the_new_one_and_a_retry_works():
    ddl = KINDS["everything at once"] + "CREATE TRIGGER things__fixed BEFORE DELETE ON things BEGIN SELECT RAISE(ABORT, 'x'); END;"
    old = begun(BASE, *ROWS, *OWN)
    image, before = bytes(old.raw.serialize()), dump(old)
    migrated(old, schema(ddl))
    after = dump(old)
    outcomes = {"old": 0, "new": 0}
    for stop in range(1, 100_000):
        connection, ticks = in_memory(), [0]
        raw = connection.raw
        raw.deserialize(image)

        def tick(ticks=ticks, stop=stop):
            ticks[0] += 1
            return ticks[0] == stop

        raw.set_progress_handler(tick, 5)
        try:
            migrated(connection, schema(ddl))
        except StoreError:
            raw.set_progress_handler(None, 0)
            assert dump(connection) == before
            outcomes["old"] += 1
            if stop % 10 == 0:
                migrated(connection, schema(ddl))
                assert dump(connection) == after
        else:
            raw.set_progress_handler(None, 0)
            assert dump(connection) == after
            outcomes["new"] += 1
        close_all()
        if ticks[0] < stop:
            break
    assert outcomes["old"] > 100, outcomes
    assert outcomes["new"] >= 1, outcomes


# -- any schema to any other --------------------------------------------------------------------------------------------


COLUMNS = {
    "a": ["a TEXT", "a TEXT NOT NULL DEFAULT ''", "a TEXT UNIQUE", "A text collate NOCASE", "a TEXT CHECK (a <> 'bad')"],
    "b": ["b INTEGER", "b INTEGER NOT NULL DEFAULT 7", "b INTEGER NOT NULL", "b REAL DEFAULT (1 + 1)", "b INTEGER CHECK (b < 50)"],
    "c": ["c TEXT AS (a || '!')", "c TEXT", "c TEXT NOT NULL DEFAULT 'c' CHECK (c IN ('c', 'd'))", "c BLOB"],
    "d": ["d INTEGER REFERENCES second(id)", "d INTEGER DEFAULT 1", '"d" INTEGER /* quoted */', "d TEXT DEFAULT 'x, y'"],
}
CONSTRAINTS = [
    "UNIQUE (a, b)",
    "CHECK (b IS NULL OR b > -100)",
    "CONSTRAINT n CHECK (length(a) < 9)",
    "FOREIGN KEY (b) REFERENCES second(id)",
]
INDEXES = [
    "CREATE INDEX first__a ON first(a);",
    "CREATE INDEX first__a ON first(a DESC, b);",
    "CREATE INDEX first__b ON first(b) WHERE b > 1;",
    "CREATE INDEX first__e ON first(lower(a));",
    "CREATE UNIQUE INDEX first__u ON first(a);",
]
OTHERS = [
    "CREATE VIEW seen AS SELECT a FROM first;",
    "CREATE VIEW seen AS SELECT a, b FROM first WHERE b > 2;",
    "CREATE TRIGGER first__t AFTER INSERT ON first BEGIN UPDATE second SET x = 1; END;",
    "CREATE TRIGGER first__t AFTER DELETE ON first BEGIN SELECT 1; SELECT 2; END;",
    "CREATE TABLE third(k TEXT PRIMARY KEY, v TEXT) STRICT, WITHOUT ROWID;",
]


def any_ddl(rng):
    """Some schema of two or three tables."""
    key = rng.choice(["id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT", "id INTEGER PRIMARY KEY"])
    parts = [rng.choice(COLUMNS["a"]), rng.choice(COLUMNS["b"])]
    parts += [rng.choice(COLUMNS[name]) for name in "cd" if rng.random() < 0.6]
    rng.shuffle(parts)
    parts += rng.sample(CONSTRAINTS, rng.choice([0, 0, 1, 2]))
    options = rng.choice(["STRICT", "STRICT", "", "STRICT, WITHOUT ROWID"])
    if "WITHOUT" in options:
        key = "id INTEGER PRIMARY KEY"
    others = {text.split(" ON ")[0].split(" A")[0]: text for text in [*rng.sample(INDEXES, 2), *rng.sample(OTHERS, 2)]}
    second = rng.choice(["x TEXT", "x TEXT, y REAL NOT NULL DEFAULT 0", "x TEXT CHECK (x IS NULL OR x <> 'q')"])
    return "\n".join(
        [
            f"CREATE TABLE first({key}, {', '.join(parts)}) {options};",
            f"CREATE TABLE second(id INTEGER PRIMARY KEY, {second}) STRICT;",
            *others.values(),
        ]
    )


def filled(rng, ddl):
    """A file of that schema with some rows, as far as it takes them."""
    connection = begun(ddl, "INSERT INTO second(id, x) VALUES (1, 'p'), (2, 'q2'), (7, NULL)")
    for number in range(rng.choice([0, 1, 8])):
        row = (number + 1, rng.choice(["", f"t{number}", "bad", None]), rng.choice([None, 1, 2, 7, 60]))
        try:
            connection.run("INSERT INTO first(id, a, b) VALUES (?, ?, ?)", row)
        except StoreError:
            continue  # this row breaks this schema's rules
    return connection


def test_any_schema_comes_to_any_other_or_is_refused_with_nothing_changed(rng):
    reached = refused = 0
    for _ in range(200):
        before, after = any_ddl(rng), any_ddl(rng)
        old = filled(rng, before)
        state, rows = dump(old), old.rows("SELECT id FROM first ORDER BY id")
        try:
            migrated(old, schema(after))
        except (Invalid, Exists, Corrupt) as error:
            refused += 1
            assert dump(old) == state, (before, after)
            assert "does not fit schema 2" in str(error) or "names a row" in str(error), (str(error), before, after)
            continue
        reached += 1
        assert old.rows("SELECT id FROM first ORDER BY id") == rows, (before, after)
        assert schemas.plan(schemas.objects(old.raw), schemas.target(schema(after))) == [], (before, after)
        old_shape, new_shape = shape(old), shape(begun(after))
        for name, parts in new_shape[0].items():
            columns, *rest = old_shape[0][name]
            assert {column: columns[column] for column in parts[0]} == parts[0], (before, after)
            assert rest == list(parts[1:]) or set(columns) > set(parts[0]), (before, after)
        assert new_shape[1].items() <= old_shape[1].items(), (before, after)
    assert reached > 50, (reached, refused)
    assert refused > 10, (reached, refused)


# -- what check() says --------------------------------------------------------------------------------------------------


WATCHED = BASE + """
CREATE VIEW names AS SELECT name FROM things;
CREATE TRIGGER things__fixed BEFORE DELETE ON things BEGIN SELECT RAISE(ABORT, 'fixed'); END;
"""
HOSTILE = {
    "a trigger dropped": ["DROP TRIGGER things__fixed"],
    "a trigger without effect": ["DROP TRIGGER things__fixed", "CREATE TRIGGER things__fixed BEFORE DELETE ON things BEGIN SELECT 1; END"],
    "a trigger that comes too late": [
        "DROP TRIGGER things__fixed",
        "CREATE TRIGGER things__fixed AFTER DELETE ON things BEGIN SELECT RAISE(ABORT, 'fixed'); END",
    ],
    "a trigger more": ["CREATE TRIGGER evil AFTER INSERT ON things BEGIN DELETE FROM things; END"],
    "a trigger more under a name like ours": ["CREATE TRIGGER things__evil AFTER INSERT ON things BEGIN SELECT 1; END"],
    "a trigger more in other letters": ["CREATE TRIGGER Evil AFTER INSERT ON THINGS BEGIN DELETE FROM things; END"],
    "a trigger on the view": ["CREATE TRIGGER evil INSTEAD OF INSERT ON names BEGIN SELECT 1; END"],
    "a view that hides": ["DROP VIEW names", "CREATE VIEW names AS SELECT name FROM things WHERE name <> 'secret'"],
    "a view gone": ["DROP VIEW names"],
    "an index gone": ["DROP INDEX things__name"],
    "an index over less": ["DROP INDEX things__name", "CREATE INDEX things__name ON things(name) WHERE size > 0"],
    "an index that is unique": ["DROP INDEX things__name", "CREATE UNIQUE INDEX things__name ON things(name)"],
    "a CHECK lifted": [
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '(1, 2, 3)', '(1, 2, 3, 4)') WHERE name = 'things'",
        "PRAGMA writable_schema = RESET",
    ],
    "a CHECK on a word in place of a value": [
        "PRAGMA writable_schema = ON",
        """UPDATE sqlite_schema SET sql = replace(sql, '(size IN (1, 2, 3))', '(size IS NOT "NULL")') WHERE name = 'things'""",
        "PRAGMA writable_schema = RESET",
    ],
    "a column gone": ["ALTER TABLE things DROP COLUMN size"],
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_schema_changed_behind_our_back_is_a_finding(attack):
    connection = begun(WATCHED)
    assert schemas.differences(connection.raw, schema(WATCHED)) == []
    for statement in HOSTILE[attack]:
        connection.run(statement)
    found = schemas.differences(connection.raw, schema(WATCHED))
    assert [finding.kind for finding in found] == ["schema"], found
    assert "things" in found[0].detail
    assert found[0].detail.startswith(("table ", "index ", "trigger ", "view "))


@pytest.mark.parametrize(
    "attack", [["DROP TABLE things"], ["ALTER TABLE things RENAME TO away", "CREATE VIEW things AS SELECT * FROM away WHERE 0"]]
)
def test_a_lost_table_is_missing(attack):
    connection = begun(BASE)
    for statement in attack:
        connection.run(statement)
    found = schemas.differences(connection.raw, schema(BASE))
    assert found[0] == ("missing", None, "table things is gone (things)")
    with pytest.raises(Corrupt, match=r"things has lost its table things; restore a snapshot, or see check\(\)"):
        schemas.state(connection, schema(BASE, 1))


def test_what_is_the_users_own_is_no_finding():
    connection = begun(WATCHED, *(statement for statement in OWN if "TRIGGER" not in statement))
    assert schemas.differences(connection.raw, schema(WATCHED)) == []


def test_a_file_that_cannot_be_read_is_corrupt_not_an_error_of_the_driver():
    connection = begun(BASE)
    connection.run("PRAGMA writable_schema = ON")
    connection.run("UPDATE sqlite_schema SET sql = 'nonsense' WHERE name = 'things'")
    damaged = in_memory().raw
    damaged.deserialize(connection.raw.serialize())
    with pytest.raises(Corrupt, match="malformed"):
        schemas.differences(damaged, schema(BASE))
