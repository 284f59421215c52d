"""The keyword index: what it finds, in which order, and what it refuses."""

from __future__ import annotations

import pytest
from notes import ids

from memstore import Invalid, KeywordIndex, NotFound
from memstore.keywords import KeywordHit
from memstore.keywords.words import tokens

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
