"""The keyword index: what it finds, in which order, and what it refuses."""

from __future__ import annotations

import threading

import pytest

from memstore import Corrupt, Invalid, KeywordIndex, NotFound, ReadOnly, open_store
from memstore.kernel import Schema
from memstore.keywords import KeywordHit
from memstore.keywords.spaces import BATCH
from memstore.keywords.words import tokens

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


@pytest.fixture
def notes(store):
    return Notes(store)


def ids(hits):
    return [hit.item_id for hit in hits]


# -- what is found ------------------------------------------------------------------------------------------------------


def test_every_word_of_the_query_must_begin_a_word_of_the_item(store):
    store.keywords.add("a", "TimeDelta should round, not truncate")
    store.keywords.add("b", "the delta of a river is round")
    assert ids(store.keywords.search("round")) == ["b", "a"]
    assert ids(store.keywords.search("timed ROU")) == ["a"]
    assert ids(store.keywords.search("round river truncate")) == []
    assert store.keywords.search("ound") == []


@pytest.mark.parametrize("query", ["foo", "bar", "foobar", "fooBar", "FOOB", "ba"])
def test_a_camel_case_name_is_found_by_each_part_and_whole(store, query):
    store.keywords.add("x", "see fooBar()")
    assert ids(store.keywords.search(query)) == ["x"]


@pytest.mark.parametrize("query", ["foo", "bar", "foo_bar", "foo_", "FOO_B"])
def test_a_snake_case_name_is_found_by_each_part_and_whole(store, query):
    store.keywords.add("x", "see foo_bar.")
    assert ids(store.keywords.search(query)) == ["x"]


@pytest.mark.parametrize("query", ["foo", "bar", "baz", "foo-bar", "bar.baz", "foo-bar.baz", "Foo-Bar.B"])
def test_a_dashed_and_dotted_name_is_found_by_each_part_each_neighbourhood_and_whole(store, query):
    store.keywords.add("x", "see (foo-bar.baz)!")
    assert ids(store.keywords.search(query)) == ["x"]


def test_an_identifier_in_the_query_stays_one_word(store):
    store.keywords.add("apart", "bar foo baz")
    store.keywords.add("snake", "foo_bar")
    store.keywords.add("tail", "getFooBar")
    assert ids(store.keywords.search("foo_bar")) == ["snake"]
    assert ids(store.keywords.search("fooBar")) == ["tail"]
    assert ids(store.keywords.search("foo-bar")) == []


@pytest.mark.parametrize("query", ["cafe", "CAFÉ", "Café", "Cafe\u0301", "caf"])
@pytest.mark.parametrize("text", ["Café", "Cafe\u0301", "cafe", "ＣＡＦÉ"])
def test_case_and_accents_are_folded_in_either_normal_form(store, query, text):
    store.keywords.add("x", f"un {text} noir")
    assert ids(store.keywords.search(query)) == ["x"]


@pytest.mark.parametrize("text", ["東京都庁は新宿", "한국어를배우다", "ภาษาไทยง่าย", "データベース", "ພາສາລາວ", "မြန်မာ"])
def test_every_substring_of_one_to_three_characters_is_found_in_scripts_without_spaces(store, text):
    store.keywords.add("x", f"mixed{text}words")
    for length in (1, 2, 3):
        for start in range(len(text) - length + 1):
            query = text[start : start + length]
            assert ids(store.keywords.search(query)) == ["x"], query
    assert ids(store.keywords.search(f"mixed {text} wor")) == ["x"]


def test_characters_that_are_not_neighbours_are_not_found_together(store):
    store.keywords.add("x", "東京都")
    assert store.keywords.search("東都") == []
    assert store.keywords.search("京東") == []


def test_voiced_kana_and_vowel_signs_are_letters_of_their_own(store):
    store.keywords.add("x", "がく कुल")
    assert store.keywords.search("か") == []
    assert store.keywords.search("कल") == []
    assert ids(store.keywords.search("कु")) == ["x"]


@pytest.mark.parametrize(
    "word", ["the", "a", "2024", "7", "3.14", "v1.2.3", "🎉", "ß", "__init__", "x" * 5000, "İstanbul", "привет", "שלום"]
)
def test_no_word_is_too_common_too_short_too_long_or_too_odd(store, word):
    store.keywords.add("x", f"before {word} after")
    assert ids(store.keywords.search(word)) == ["x"]
    assert ids(store.keywords.search(word.upper())) == ["x"]
    assert store.keywords.search(word + "q") == []


def test_a_text_of_many_thousand_words_is_indexed_whole(store):
    store.keywords.add("x", " ".join(f"w{number}" for number in range(20_000)))
    assert ids(store.keywords.search("w19999 w0 w777")) == ["x"]


@pytest.mark.parametrize(
    "query", ["", " ", "\0", "'", '"', "*", "-", ".", "_", "__", "() AND OR", "%_\\", "\u0301", "\u200d", "\ufeff"]
)
def test_a_query_without_a_word_finds_nothing_and_one_of_any_text_is_legal(store, query):
    store.keywords.add("x", f"and or {query} text")
    assert isinstance(store.keywords.search(query), list)
    if not any(sign.isalnum() for sign in query):
        assert store.keywords.search(query) == []
        assert store.keywords.complete(query) == []


@pytest.mark.parametrize("query", [sign * 50_000 for sign in ("aa", "東", "a b ", "aB", "a-", "-.", "'\"\0")])
def test_a_huge_query_is_legal(store, query):
    store.keywords.add("x", "a b c")
    store.keywords.add("y", query)
    assert "y" in ids(store.keywords.search(query)) or not any(sign.isalnum() for sign in query)


def test_random_unicode_is_found_by_itself(store, rng):
    for _ in range(300):
        codes = [rng.randrange(rng.choice([0x250, 0x3000, 0x20000])) for _ in range(12)]
        text = "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)
        store.keywords.add("x", f"{text} anchor")
        assert ids(store.keywords.search(f"{text} anchor")) == ["x"], repr(text)


@pytest.mark.parametrize("odd", ["plain", "no\x1ebreak", "\x1e", "caf\u00e9", "", "東京\x1e"])
def test_texts_read_together_keep_their_words_apart(odd):
    texts = ["one two", odd, "Three.", "", "four\x00five"]
    assert list(tokens(texts)) == [found for text in texts for found in tokens([text])]
    assert list(tokens([])) == []


def test_a_hit_tells_the_word_that_answered_each_word_of_the_query(store):
    store.keywords.add("n1", "TimeDelta truncates", kind="note", conversation_id="c", role="user", created_at=5)
    hit = store.keywords.search("trunc timed")[0]
    assert hit == KeywordHit("n1", "note", "c", "user", 5.0, ["truncates", "timedelta"])
    assert (hit.keyword, hit.message_id) == ("truncates", None)
    assert hit.to_dict()["keywords"] == ["truncates", "timedelta"]


def test_a_message_hit_has_every_column_of_message_keywords(store):
    chat = store.chat.create_conversation()
    message = store.chat.append(chat.id, "user", "TimeDelta")
    hit = store.keywords.search("timed")[0]
    assert (hit.keyword, hit.message_id, hit.conversation_id) == ("timedelta", message.id, chat.id)
    assert (hit.role, hit.created_at) == ("user", message.created_at)
    assert store.keywords.keywords(message.id) == ["delta", "time", "timedelta"]


# -- order, pages and filters -------------------------------------------------------------------------------------------


def test_newest_first_also_when_histories_arrive_out_of_order(notes):
    for moment in (5.0, 1.0, 9.0, 3.0, 3.0):
        notes.append("word", created_at=moment)
    assert ids(notes.index.search("word")) == ["m3", "m1", "m5", "m4", "m2"]
    notes.index.compact()
    for moment in (4.0, 20.0, 0.0):
        notes.append("word", created_at=moment)
    assert ids(notes.index.search("word")) == ["m7", "m3", "m1", "m6", "m5", "m4", "m2", "m8"]


def test_equal_times_fall_in_order_of_arrival_across_kinds(store, notes):
    for number in range(3):
        notes.append("word", created_at=1.0)
        notes.index.add(f"n{number}", "word", kind="note", created_at=1.0)
    assert ids(notes.index.search("word")) == ["n2", "m3", "n1", "m2", "n0", "m1"]
    notes.index.compact()
    assert ids(notes.index.search("word")) == ["n2", "m3", "n1", "m2", "n0", "m1"]


@pytest.mark.parametrize("compact", [False, True])
def test_pages_follow_each_other_without_loss_at_equal_times(notes, compact):
    for number in range(7):
        notes.append("word", created_at=number // 4)
        notes.index.add(f"n{number}", "word", kind="note", created_at=number // 4)
    if compact:
        notes.index.compact()
    whole = ids(notes.index.search("word", limit=None))
    assert len(whole) == 14
    for size in (1, 3, 5):
        pages, before = [], None
        while page := ids(notes.index.search("word", limit=size, before=before)):
            pages += page
            before = page[-1]
        assert pages == whole


def test_before_an_id_that_two_kinds_share_needs_the_kind(store):
    for kind in ("note", "memo"):
        store.keywords.add("same", "word", kind=kind, created_at=2)
        store.keywords.add(f"older {kind}", "word", kind=kind, created_at=1)
    with pytest.raises(Invalid, match="several kinds .memo, note.; name one with kind="):
        store.keywords.search("word", before="same")
    assert ids(store.keywords.search("word", before="same", kind="note")) == ["older note"]
    with pytest.raises(NotFound, match="'nobody'"):
        store.keywords.search("word", before="nobody")
    with pytest.raises(NotFound, match="of kind 'memo'"):
        store.keywords.search("word", before="older note", kind="memo")


def test_filters_by_kind_conversation_and_role(store):
    add, search = store.keywords.add, store.keywords.search
    add("1", "word", kind="note", conversation_id="c", role="user", created_at=1)
    add("2", "word", kind="note", conversation_id="d", role="tool", created_at=2)
    add("3", "word", kind="memo", created_at=3)
    assert ids(search("word")) == ["3", "2", "1"]
    assert ids(search("word", kind="note")) == ["2", "1"]
    assert ids(search("word", conversation_id="c")) == ["1"]
    assert ids(search("word", role="tool")) == ["2"]
    assert ids(search("word", role="tool", conversation_id="c")) == []
    assert ids(search("word", kind="message")) == []


def test_a_filter_looks_past_any_number_of_others(notes):
    notes.append("needle in c1")
    notes.append(*["needle"] * 2000)
    wanted = [f"m{number}" for number in range(2001, 0, -1) if number % 3 == 1]
    assert ids(notes.index.search("needle", conversation_id="c1", limit=None)) == wanted
    assert ids(notes.index.search("needle in", conversation_id="c1")) == ["m1"]


def test_a_filter_by_a_rare_role_asks_the_room_for_nothing(notes, monkeypatch):
    notes.append(*["word"] * 3000)
    notes.index.compact()
    monkeypatch.setattr(notes, "items", None)
    assert notes.index.search("word", role="tool") == []
    assert ids(notes.index.search("word", conversation_id="c0", role="user", limit=2)) == ["m3000", "m2997"]


def test_limits(store):
    for number in range(30):
        store.keywords.add(f"{number}", "word")
    assert len(store.keywords.search("word")) == 20
    assert store.keywords.search("word", limit=0) == []
    assert len(store.keywords.search("word", limit=None)) == 30
    assert store.keywords.complete("w", limit=0) == []


# -- completion ---------------------------------------------------------------------------------------------------------


def test_completion_gives_words_with_most_items_first_then_alphabetical(store):
    for number, text in enumerate(["delta data", "data deal", "data Deal deal", "other"]):
        store.keywords.add(str(number), text)
    assert store.keywords.complete("d") == [("data", 3), ("deal", 2), ("delta", 1)]
    assert store.keywords.complete("DE", limit=1) == [("deal", 2)]
    assert store.keywords.complete("") == []
    assert store.keywords.complete("zz") == []
    assert store.keywords.complete("data deal") == []


def test_completion_counts_what_is_there_in_segments_and_behind_them(notes):
    notes.append("alpha beta", "alpha", "alpha gamma")
    notes.index.compact()
    notes.append("alpha", "beta")
    notes.index.add("h", "alpha", kind="note")
    assert notes.index.complete("a") == [("alpha", 5)]
    notes.pop("m2")
    notes.pop("m4")
    notes.index.remove("m3")
    assert notes.index.complete("a") == [("alpha", 2)]
    assert notes.index.complete("g") == []
    notes.index.compact()
    assert notes.index.complete("a") == [("alpha", 2)]


# -- items added by hand ------------------------------------------------------------------------------------------------


def test_add_returns_the_number_of_distinct_words_and_replaces_a_known_item(store):
    assert store.keywords.add("x", "one two two One", kind="note") == 2
    assert store.keywords.add("x", "three", kind="note") == 1
    assert store.keywords.add("x", "four", kind="memo") == 1
    assert store.keywords.search("one") == []
    assert [(hit.item_id, hit.kind) for hit in store.keywords.search("three")] == [("x", "note")]
    assert store.keywords.keywords("x", kind="note") == ["three"]
    assert store.keywords.add("x", "", kind="note") == 0
    assert store.keywords.keywords("x", kind="note") == []


def test_a_message_whose_text_is_added_by_hand_is_found_by_that_text_only(notes):
    notes.append("its own words", "another")
    notes.index.add("m1", "tags by hand", created_at=7)
    assert notes.index.search("own") == []
    assert [(hit.item_id, hit.created_at) for hit in notes.index.search("tags")] == [("m1", 7.0)]
    with notes.db.read(snapshot=True) as conn:
        assert list(notes.index.numbers(conn, "tags", kind="message")) == [(1.0, 1, ("tags",))]
    notes.index.rebuild()
    assert notes.index.search("own") == []
    assert ids(notes.index.search("tags")) == ["m1"]
    notes.index.remove("m1")
    assert notes.index.search("tags") == notes.index.search("own") == []
    notes.index.rebuild()
    assert ids(notes.index.search("own")) == ["m1"]


def test_an_id_added_by_hand_before_the_message_came_stays_one_item(notes):
    notes.index.add("later", "by hand", created_at=3)
    notes.append("from chat by itself", id="later")
    assert ids(notes.index.search("by")) == ["later"]
    assert notes.index.search("chat") == []


def test_added_items_have_the_time_of_the_store_unless_given(store, store_clock):
    store.keywords.add("x", "word")
    assert store.keywords.search("word")[0].created_at == store_clock.now
    store.keywords.add("x", "word", created_at=0)
    assert store.keywords.search("word")[0].created_at == 0.0


# -- remove, discard, rebuild -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compact", [False, True])
def test_a_removed_message_stays_away_until_rebuild(notes, compact):
    notes.append("word one", "word two")
    if compact:
        notes.index.compact()
    notes.index.remove("m1")
    assert ids(notes.index.search("word")) == ["m2"]
    for method in (notes.index.remove, notes.index.keywords):
        with pytest.raises(NotFound, match="no message 'm1'"):
            method("m1")
    notes.index.compact()
    assert ids(notes.index.search("word")) == ["m2"]
    with pytest.raises(NotFound):
        notes.index.remove("m1")
    notes.index.rebuild()
    assert ids(notes.index.search("word")) == ["m2", "m1"]


def test_remove_of_what_is_not_there_names_the_nearest(store):
    store.keywords.add("note-42", "word", kind="note")
    with pytest.raises(NotFound, match="no note 'note-24' .nearest: 'note-42'"):
        store.keywords.remove("note-24", kind="note")
    with pytest.raises(NotFound, match="no message 'note-42'"):
        store.keywords.remove("note-42")
    store.keywords.remove("note-42", kind="note")
    assert store.keywords.search("word") == []


@pytest.mark.parametrize("compact", [False, True])
def test_discarded_items_are_gone_also_after_rebuild(notes, compact):
    notes.append("word one", "word two", "word three")
    assert len(notes.index.search("word")) == 3
    if compact:
        notes.index.compact()
    notes.pop("m2")
    assert ids(notes.index.search("word")) == ["m3", "m1"]
    notes.append("word four")
    assert ids(notes.index.search("word")) == ["m4", "m3", "m1"]
    notes.index.compact()
    notes.index.rebuild()
    assert ids(notes.index.search("word")) == ["m4", "m3", "m1"]


def test_compact_leaves_no_mark_and_no_word_of_what_is_gone(notes):
    notes.append("secretive one", "public two")
    notes.index.compact()
    notes.pop("m1")
    assert b"secretive" in notes.db.value("SELECT words FROM keyword_segments")
    notes.index.compact()
    assert b"secretive" not in notes.db.value("SELECT words FROM keyword_segments")
    assert notes.db.value("SELECT count(*) FROM keyword_gone") == 0


def test_wipe_takes_the_words_out_in_the_same_transaction(notes):
    notes.append("secretive one", "public two")
    notes.index.compact()
    notes.pop("m1", wipe=True)
    assert [row[0] for row in notes.db.rows("SELECT words FROM keyword_segments")] == [b"public\ntwo"]
    assert ids(notes.index.search("two")) == ["m2"]


def test_rebuild_tells_its_progress_and_mends_what_was_damaged(notes):
    notes.append("word one", "word two")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run("UPDATE keyword_segments SET words = ?", (b"one\ntwo\nworm",))
    fresh = KeywordIndex(notes.index.db, lambda *_, **__: None, lambda: [notes])
    assert {finding.kind for finding in fresh.check()} == {"keyword_differs"}
    assert fresh.search("word") == []
    seen = []
    notes.index.rebuild(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]
    assert ids(notes.index.search("word")) == ["m2", "m1"]
    assert notes.index.check() == []


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"item_id": ""},
        {"item_id": None},
        {"item_id": "a\0b"},
        {"text": None},
        {"text": "\ud800"},
        {"text": b"bytes"},
        {"kind": ""},
        {"kind": None},
        {"role": " "},
        {"conversation_id": ""},
        {"created_at": float("nan")},
        {"created_at": "yesterday"},
    ],
)
def test_wrong_values_are_refused_and_leave_nothing(store, wrong):
    store.keywords.search("makes the tables")
    values = {"item_id": "x", "text": "word", "kind": "note", **wrong}
    with pytest.raises(Invalid, match=next(iter(wrong))):
        store.keywords.add(values.pop("item_id"), values.pop("text"), **values)
    assert store.query("SELECT count(*) AS n FROM keyword_items")[0]["n"] == 0
    assert store.query("SELECT count(*) AS n FROM keyword_gone")[0]["n"] == 0


@pytest.mark.parametrize(
    "wrong", [{"limit": -1}, {"limit": True}, {"limit": 1.5}, {"query": None}, {"query": "\udfff"}, {"kind": ""}, {"before": ""}]
)
def test_wrong_questions_are_refused(store, wrong):
    with pytest.raises(Invalid, match=next(iter(wrong))):
        store.keywords.search(**{"query": "word", **wrong})


def test_a_cursor_of_another_conversation_and_a_progress_that_is_no_function_are_refused(store):
    store.keywords.add("a", "word", conversation_id="one")
    with pytest.raises(Invalid, match="before='a' is in conversation 'one', not in 'two'"):
        store.keywords.search("word", conversation_id="two", before="a")
    assert store.keywords.search("word", conversation_id="one", before="a") == []
    with pytest.raises(Invalid, match="progress"):
        store.keywords.rebuild(progress="yes")


# -- transactions, handles, threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True])
def test_a_transaction_sees_its_own_items_and_a_rollback_leaves_no_phantom(store, notes, warm):
    notes.append("word one")
    if warm:
        notes.index.search("word")
    with pytest.raises(KeyError), store.transaction():
        notes.append("word phantom")
        notes.index.add("h", "word phantom", kind="note")
        notes.index.remove("m1")
        assert ids(notes.index.search("phantom")) == ["h", "m2"]
        assert ids(notes.index.search("one")) == []
        notes.index.compact()
        assert ids(notes.index.search("phantom")) == ["h", "m2"]
        raise KeyError
    notes.added = 1
    assert ids(notes.index.search("word")) == ["m1"]
    notes.append("word real")
    assert ids(notes.index.search("word")) == ["m2", "m1"]
    assert notes.index.search("phantom") == []
    notes.index.compact()
    assert notes.index.complete("p") == []


def test_a_rolled_back_savepoint_leaves_no_phantom(store, notes):
    with store.transaction():
        notes.append("outer")
        with pytest.raises(KeyError), store.transaction():
            notes.append("phantom")
            assert ids(notes.index.search("phantom")) == ["m2"]
            raise KeyError
        notes.added = 1
        notes.append("real")
        assert notes.index.search("phantom") == []
        assert ids(notes.index.search("real")) == ["m2"]
    assert ids(notes.index.search("real")) == ["m2"]


def test_what_another_handle_commits_is_seen_at_once(tmp_path):
    with open_store(tmp_path / "a.db") as one, open_store(tmp_path / "a.db") as two:
        first, second = Notes(one), Notes(two)
        first.append("word one")
        assert ids(second.index.search("word")) == ["m1"]
        first.append("word two")
        first.index.compact()
        assert ids(second.index.search("word")) == ["m2", "m1"]
        second.pop("m1")
        assert ids(first.index.search("word")) == ["m2"]
        second.index.add("m2", "other", created_at=1)
        assert first.index.search("word") == []
        assert first.index.complete("o") == [("other", 1)]


def test_a_snapshot_goes_on_seeing_its_own_state(file_store):
    notes = Notes(file_store)
    notes.append("word one", "word two")
    notes.index.search("word")
    with notes.db.read(snapshot=True) as conn:
        assert notes.last(conn) == 2
        hits = notes.index.numbers(conn, "word", kind="message")
        done = threading.Event()

        def meanwhile():
            notes.append("word three")
            notes.pop("m1")
            notes.index.compact()
            assert ids(notes.index.search("word")) == ["m3", "m2"]
            done.set()

        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()
        assert done.is_set()
        assert [number for _, number, _ in hits] == [2, 1]
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message")] == [2, 1]
    assert ids(notes.index.search("word")) == ["m3", "m2"]


def test_numbers_answers_in_a_snapshot_older_than_the_index_itself(file_store):
    notes = Notes(file_store)
    notes.append("word")
    with notes.db.read(snapshot=True) as conn:
        assert notes.last(conn) == 1
        assert not notes.db.present("keywords")
        assert list(notes.index.numbers(conn, "wo", kind="message")) == [(1.0, 1, ("word",))]
    assert list(notes.index.search("wo"))


def test_numbers_before_a_place(notes):
    notes.append("word a", "word b", "word c", created_at=1.0)
    with notes.db.read(snapshot=True) as conn:
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message", before=(1.0, 3))] == [2, 1]
    notes.index.compact()
    with notes.db.read(snapshot=True) as conn:
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message", before=(1.0, 3))] == [2, 1]
        assert [number for _, number, _ in notes.index.numbers(conn, "word", kind="message", before=(0.5, 9))] == []


def test_a_read_only_store_searches_completely_with_and_without_an_index(tmp_path):
    path = tmp_path / "a.db"
    with open_store(path) as store:
        Notes(store).append("word one")
    with open_store(path, read_only=True) as store:
        notes = Notes(store)
        assert ids(notes.index.search("word")) == ["m1"]
        assert notes.index.complete("w") == [("word", 1)]
        notes.index.catch_up()
        with pytest.raises(ReadOnly):
            notes.index.add("x", "word")
    with open_store(path) as store:
        notes = Notes(store)
        notes.index.compact()
        notes.added = 1
        notes.append("word two")
    with open_store(path, read_only=True) as store:
        assert ids(Notes(store).index.search("word")) == ["m2", "m1"]


def test_threads_search_while_others_append_and_compact(file_store):
    notes = Notes(file_store)
    notes.append("word")
    failures = []

    def search():
        try:
            seen = 0
            for _ in range(40):
                found = len(notes.index.search("word", limit=None))
                assert found >= seen
                seen = found
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        notes.append("word")
        notes.index.compact()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(notes.index.search("word", limit=None)) == 31


# -- segments -----------------------------------------------------------------------------------------------------------


def test_a_backlog_is_indexed_by_the_search_that_meets_it(file_store):
    notes = Notes(file_store)
    notes.append(*[f"word w{number % 7}" for number in range(BATCH - 1)])
    notes.index.search("w3")
    assert notes.db.value("SELECT count(*) FROM keyword_segments") == 0
    notes.append("word w0")
    assert ids(notes.index.search("w0 word", limit=1)) == [f"m{BATCH}"]
    assert notes.db.rows("SELECT items FROM keyword_segments") == [(BATCH,)]
    assert notes.index.complete("word") == [("word", BATCH)]


def test_segments_of_like_size_become_one(file_store):
    notes = Notes(file_store)
    for _ in range(4):
        notes.append(*["word"] * BATCH)
        notes.index.catch_up()
    assert notes.db.rows("SELECT items FROM keyword_segments") == [(4 * BATCH,)]
    assert len(notes.index.search("word", limit=None)) == 4 * BATCH


def left_unmerged(notes, monkeypatch):
    """Four segments that should be one, as appends leave them."""
    monkeypatch.setattr("memstore.keywords.BRIEF", 0)
    for _ in range(4):
        notes.append(*["word"] * BATCH)
        notes.index.keep_up()
    notes.index.keep_up()
    return notes.db.rows("SELECT items FROM keyword_segments")


def test_who_keeps_up_leaves_large_merges_to_whoever_searches(file_store, monkeypatch):
    notes = Notes(file_store)
    assert left_unmerged(notes, monkeypatch) == [(BATCH,)] * 4
    assert len(notes.index.search("word", limit=None)) == 4 * BATCH
    assert notes.db.rows("SELECT items FROM keyword_segments") == [(4 * BATCH,)]


def test_who_keeps_up_does_one_step(file_store, monkeypatch):
    notes = Notes(file_store)
    left_unmerged(notes, monkeypatch)
    monkeypatch.undo()
    notes.append(*["word"] * BATCH)
    notes.index.keep_up()
    assert notes.db.rows("SELECT items FROM keyword_segments ORDER BY pk") == [(4 * BATCH,)]
    notes.index.keep_up()
    assert notes.db.rows("SELECT items FROM keyword_segments ORDER BY pk") == [(4 * BATCH,), (BATCH,)]


def test_catch_up_inside_a_transaction_waits(store, notes):
    notes.index.search("makes the tables")
    with store.transaction():
        notes.append(*["word"] * BATCH)
        notes.index.catch_up()
        assert notes.db.value("SELECT count(*) FROM keyword_segments") == 0
        assert len(notes.index.search("word", limit=None)) == BATCH


@pytest.mark.damage
def test_a_damaged_segment_is_named_and_the_way_out_too(file_store):
    notes = Notes(file_store)
    notes.append("word one")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run("UPDATE keyword_segments SET places = x'00'")
    fresh = KeywordIndex(notes.index.db, lambda *_, **__: None, lambda: [notes])
    with pytest.raises(Corrupt, match="rebuild"):
        fresh.search("word")
    assert [finding.kind for finding in fresh.check()] == ["keyword_damaged", "keyword_missing"]
    fresh.rebuild()
    assert ids(fresh.search("word")) == ["m1"]
    assert fresh.check() == []


@pytest.mark.damage
@pytest.mark.parametrize(
    "damage",
    ["ids = x''", "bounds = x'00'", "whence = x'ffffff7fffffff7f'", "origins = '[[1]]'", "ids = x'ff31ff32'", "words = x'ff'"],
)
def test_damaged_columns_of_items_are_named_too(file_store, damage):
    notes = Notes(file_store)
    notes.append("word one", "word two")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run(f"UPDATE keyword_segments SET {damage}")
    fresh = KeywordIndex(notes.index.db, lambda *_, **__: None, lambda: [notes])
    with pytest.raises(Corrupt, match="rebuild"):
        fresh.search("word")
    assert "keyword_damaged" in {finding.kind for finding in fresh.check()}
    fresh.rebuild()
    assert ids(fresh.search("word")) == ["m2", "m1"]
    assert fresh.check() == []


@pytest.mark.damage
def test_check_names_what_is_missing_and_what_is_too_much(file_store):
    notes = Notes(file_store)
    notes.append("word one", "word two", "word three")
    notes.index.compact()
    with notes.db.write() as conn:
        conn.run("DELETE FROM test_notes WHERE pk = 2")
        conn.run("UPDATE test_notes SET text = 'changed' WHERE pk = 3")
        conn.run("UPDATE keyword_state SET upto = 4")
        conn.run("INSERT INTO test_notes(id, text, created_at) VALUES ('m4', 'word', 1)")
    assert sorted((finding.kind, finding.seq) for finding in notes.index.check()) == [
        ("keyword_differs", 3),
        ("keyword_extra", 2),
        ("keyword_missing", 4),
    ]


def test_a_read_only_store_without_an_index_forgets_what_others_take_away(tmp_path):
    with open_store(tmp_path / "agent.db") as writing:
        chat = writing.chat.create_conversation(id="c").id
        writing.chat.append(chat, "user", "hello first")
        writing.chat.append(chat, "user", "hello second")
        with open_store(tmp_path / "agent.db", read_only=True) as reading:
            assert len(reading.keywords.search("hello")) == 2
            writing.chat.clear(chat)
            assert reading.keywords.search("hello") == []
            assert reading.keywords.complete("sec") == []


@pytest.mark.parametrize("first", ["message", "by hand"])
def test_removing_an_item_hides_the_message_of_its_id_whichever_came_first(store, first):
    chat = store.chat.create_conversation(id="c").id
    by_hand = lambda: store.keywords.add("m1", "gamma by hand")
    message = lambda: store.chat.append(chat, "user", "gamma said", id="m1")
    for act in (message, by_hand) if first == "message" else (by_hand, message):
        act()
    store.keywords.remove("m1")
    assert store.keywords.search("gamma") == []
    with pytest.raises(NotFound):
        store.keywords.remove("m1")
