"""The index of words of chunks: it ranks as FTS5 does, forgets to the last byte, and serves whoever opens the file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from itertools import accumulate
from math import log

import pytest
from toy_codec import Toy

from memstore import Corrupt, NotSupported, open_store
from memstore.documents import fulltext
from memstore.kernel import bm25
from memstore.kernel.fulltext import FOLDING

WITHOUT = "memstore.documents.lexical.has_fts5"


def best(store, query, count=10, terms=()):
    with store.documents.db.read(snapshot=True) as connection:
        sought = [[query]] if isinstance(query, str) else query
        return store.documents._index.best(connection, sought, list(terms), count)


def uris(hits):
    return [hit.document.uri for hit in hits]


def served(store):
    return store.query("SELECT kind, stale, made FROM chunk_index")[0]


def kinds(store):
    return {finding.kind for finding in store.check().findings}


@pytest.fixture
def without(monkeypatch):
    """Stores opened from then on find no FTS5; called with False they do again."""
    present = monkeypatch.setattr

    def switch(gone=True):
        if gone:
            present(WITHOUT, lambda connection: False)
        else:
            monkeypatch.undo()

    return switch


# -- ranking ------------------------------------------------------------------------------------------------------------


def running(rng, words, weights, length):
    return " ".join(rng.choices(words, cum_weights=weights, k=length))


@pytest.fixture
def library(rng):
    """Texts whose words are as unequal as those of a language, in a store and in a plain FTS5 table."""
    words = [f"{chr(97 + number % 26)}{number}" for number in range(400)]
    weights = list(accumulate(1 / (rank + 2) for rank in range(len(words))))
    texts = [running(rng, words, weights, rng.randint(5, 60)) for _ in range(700)]
    plain = sqlite3.connect(":memory:")
    plain.execute("CREATE VIRTUAL TABLE plain USING fts5(content)")
    plain.executemany("INSERT INTO plain(rowid, content) VALUES (?, ?)", enumerate(texts, 1))
    with open_store() as store:
        first, second = (store.documents.add_text("", uri=uri, id=uri, user_id=uri) for uri in ("even", "odd"))
        with store.documents.db.write() as connection:
            rows = [(f"c{number}", number % 2 + 1, number, text) for number, text in enumerate(texts, 1)]
            sql = "INSERT INTO chunks(pk, id, document, chunk_index, content) VALUES (?, ?, ?, ?, ?)"
            connection.many(sql, [(number, id, document, number, text) for id, document, number, text in rows])
            store.documents._index.add(connection, [(number, text) for _, _, number, text in rows])
        yield store, plain, lambda length: running(rng, words, weights, length)
        with store.documents.db.write() as connection:
            connection.run("DELETE FROM chunks")
            store.documents._index.rebuild(connection)
    plain.close()


def test_it_ranks_as_a_plain_fts5_table_does_to_the_last_digit(library, rng):
    store, plain, question = library
    for _ in range(60):
        query, count = question(rng.randint(1, 20)), rng.choice([1, 3, 10, 10, 50])
        match = " OR ".join(dict.fromkeys(query.split()))
        sql = "SELECT rowid, -bm25(plain) FROM plain WHERE plain MATCH ? {} ORDER BY bm25(plain), rowid LIMIT ?"
        assert best(store, query, count) == plain.execute(sql.format(""), (match, count)).fetchall()
        odd = plain.execute(sql.format("AND rowid % 2 = 1"), (match, count)).fetchall()
        assert best(store, query, count, [("documents.user_id = ?", "odd")]) == odd


def test_forms_of_a_word_count_as_one(library, rng):
    store, _, question = library
    counts = {row["pk"]: Counter(row["content"].split()) for row in store.query("SELECT pk, content FROM chunks")}
    average = sum(map(Counter.total, counts.values())) / len(counts)
    for _ in range(10):
        terms = bm25.terms([question(rng.randint(1, 3)).split() for _ in range(4)], str.split, 99)
        held = {word: sum(word in each for each in counts.values()) for term in terms for word in term}
        weights = [bm25.rarity(len(counts), max(held[word] for word in term)) for term in terms]
        expected = {}
        for number, each in counts.items():
            if any(found := [sum(each[word] for word in term) for term in terms]):
                expected[number] = bm25.score(found, weights, each.total(), average)
        ranked = sorted(expected.items(), key=lambda each: (-each[1], each[0]))
        assert best(store, terms, -1) == ranked and best(store, terms, 50) == ranked[:50]
        few = best(store, terms, 5)  # chosen among those that score highest by single forms
        assert few == sorted(((number, expected[number]) for number, _ in few), key=lambda each: (-each[1], each[0]))


def test_what_has_several_forms_of_a_word_is_not_found_before_what_has_the_others_too(without):
    for gone in (False, True):
        without(gone)
        with open_store() as store:
            for number in range(12):
                store.documents.add_text(f"A conflict joins other conflicts in list {number}.", uri=str(number))
                store.documents.add_text(f"Weather {number}, wind and water, and the colour of flags.", uri=f"flags {number}")
            store.documents.add_text("In a conflict the rows are replaced.", uri="right")
            keywords = ["where", ["conflict", "conflicts"], ["replace", "replaced"]]
            assert uris(store.documents.search("conflict?", keywords=keywords, limit=1)) == ["right"]
            assert store.documents.search("conflict?", keywords=[" ", []]) == []


def test_few_words_choose_and_few_texts_are_read(library, monkeypatch):
    store, _, question = library
    read = []
    monkeypatch.setattr(bm25, "score", lambda *given, score=bm25.score: read.append(1) or score(*given))
    for _ in range(20):
        best(store, question(12))
    assert 0 < len(read) < 20 * 2 * fulltext.FIRST, "else the bounds are never used"


def test_bounds_only_ever_skip_what_is_worse(rng):
    for _ in range(200):
        true = {number: rng.choice([0.5, 1.0, rng.random()]) for number in range(rng.randint(0, 80))}
        bounds = sorted(((number, score + rng.random() / 4) for number, score in true.items()), key=lambda each: -each[1])
        count = rng.choice([-1, 0, 1, 5, 100])
        expected = sorted(true.items(), key=lambda each: (-each[1], each[0]))
        asked = bm25.best(bounds, lambda numbers, true=true: [(number, true[number]) for number in numbers], count)
        assert asked == expected[: None if count < 0 else count]


def test_the_formula_is_that_of_robertson():
    assert bm25.rarity(100, 3) == log(97.5 / 3.5) and bm25.rarity(10, 9) == 1e-6
    assert bm25.score([2, 0], [1.5, 9.0], 10, 10) == 1.5 * 2 * 2.2 / (2 + 1.2)
    assert bm25.score([10**9], [1.0], 1, 10**6) < bm25.MOST


def test_words_are_those_that_fts5_makes(rng):
    some = (chr(rng.randrange(0xE000, 0x30000)) for _ in range(40))
    signs = [*map(chr, range(1, 0x250)), *some, *"aZ09 _-.\u0301\u0345\u200bßİǅΣςﬁ①Ⅷ今ひ한\U0002f800ไ"]
    texts = ["".join(rng.choices(signs, k=30)) for _ in range(300)]
    found = {number: [] for number in range(len(texts))}
    with contextlib.closing(sqlite3.connect(":memory:")) as scratch:
        scratch.execute("CREATE VIRTUAL TABLE plain USING fts5(content)")
        scratch.execute("CREATE VIRTUAL TABLE words USING fts5vocab(plain, 'instance')")
        scratch.executemany("INSERT INTO plain(rowid, content) VALUES (?, ?)", enumerate(texts))
        for word, number in scratch.execute("SELECT term, doc FROM words ORDER BY doc, offset"):
            found[number].append(word)
    for number, text in enumerate(texts):
        words = text.translate(FOLDING).split()
        assert words == found[number]
        assert [word.translate(FOLDING) for word in words] == words, "FTS5 reads them once more in a question"


def test_how_rare_words_are_is_remembered_until_anything_changes(file_store):
    room = file_store.documents
    room.add_text("lamp oil", uri="a")
    with open_store(file_store.path) as other:
        assert [len(best(each, "lamp wick")) for each in (file_store, other)] == [1, 1]
        other.documents.add_text("wick of a lamp", uri="b")
        assert [len(best(each, "lamp wick")) for each in (file_store, other)] == [2, 2]
        assert best(file_store, "lamp wick") == best(other, "lamp wick")
        other.documents.remove(other.documents.first(uri="a").id)
        assert [len(best(each, "oil lamp")) for each in (file_store, other)] == [1, 1]


# -- against a plain twin -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fts5", "sealed", "no FTS5"])
def test_it_finds_what_a_plain_twin_finds_through_all_changes(kind, rng, without):
    if kind == "no FTS5":
        without()
    words = [f"w{number}" for number in range(12)]
    with open_store(codec=Toy() if kind == "sealed" else None) as store:
        room, shown, hidden = store.documents, {}, {}
        for step in range(120):
            uri = f"u{rng.randrange(8)}"
            act = rng.random()
            if act < 0.5:
                text = " ".join(rng.choices(words, k=rng.randint(1, 6)))
                room.add_text(text, uri=uri)
                hidden.pop(uri, None)
                shown[uri] = text
            elif act < 0.7 and uri in shown:
                room.remove(room.first(uri=uri).id)
                hidden[uri] = shown.pop(uri)
            elif act < 0.8 and uri in hidden:
                shown[uri] = hidden.pop(uri)
                room.add_text(shown[uri], uri=uri)
            elif act < 0.85:
                store.keywords.compact() if rng.random() < 0.5 else store.optimize()
            query = rng.sample(words, rng.randint(1, 3))
            expected = sorted(uri for uri, text in shown.items() if set(query) & set(text.split()))
            assert sorted(uris(room.search(" ".join(query), limit=None))) == expected, step
            if step % 10 == 0:
                assert store.check().ok, store.check().findings
                by_keyword = {hit.item_id for hit in store.keywords.search("w", kind="chunk", limit=None)}
                there = {hit.chunk.id for hit in room.search(" ".join(words), limit=None)}
                assert by_keyword == (set() if kind == "fts5" else there)


@pytest.mark.parametrize("kind", ["sealed", "no FTS5"])
def test_the_fallback_ranks_by_the_same_formula(kind, rng, without):
    if kind == "no FTS5":
        without()
    words = [f"w{number}" for number in range(30)]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 20))) for _ in range(60)]
    with open_store(codec=Toy() if kind == "sealed" else None) as store:
        for number, text in enumerate(texts):
            store.documents.add_text(text, uri=str(number))
        texts = dict(enumerate(texts, 1))
        average = sum(map(len, texts.values())) / len(texts)
        for _ in range(20):
            query = rng.sample(words, 3)
            held = {word: sum(word in text.split() for text in texts.values()) for word in query}
            query = [word for word in query if held[word]]
            rarities = [bm25.rarity(len(texts), held[word]) for word in query]
            bags = {number: Counter(text.split()) for number, text in texts.items()}
            scores = {
                number: bm25.score([bag[word] for word in query], rarities, len(texts[number]), average)
                for number, bag in bags.items() if any(bag[word] for word in query)
            }
            expected = sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:5]
            assert [number for number, _ in best(store, " ".join(query), 5)] == [number for number, _ in expected]


# -- the last byte ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [False, True])
def test_no_word_of_what_is_erased_stays_in_the_file(tmp_path, within):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.documents.add_text("common words stay", uri="a")
        if within:
            with store.transaction():
                store.documents.add_text("ambergris common", uri="b", user_id="ann")
                store.erase(user_id="ann")
        else:
            store.documents.add_text("ambergris common", uri="b", user_id="ann")
            store.erase(user_id="ann")
        assert uris(store.documents.search("common")) == ["a"]
    assert b"ambergris" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_no_word_of_what_is_pruned_or_was_changed_stays_after_optimize(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.documents.add_text("# One\n\nambergris here\n\n# Two\n\nstays", uri="a")
        store.documents.add_text("cobalt", uri="b")
        store.documents.add_text("# One\n\nother words\n\n# Two\n\nstays", uri="a")
        store.documents.remove(store.documents.first(uri="b").id)
        store.prune(room="documents", keep_last=0)
        store.optimize()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ambergris" not in kept and b"cobalt" not in kept and b"stays" in kept


# -- whoever opens it ---------------------------------------------------------------------------------------------------


def test_a_python_without_fts5_reads_and_writes_a_file_that_has_it_and_another_mends_it(tmp_path, without):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.documents.add_text("the lamp", uri="a")
        store.documents.add_text("the sail", uri="b")
        assert served(store) == {"kind": "fts5", "stale": 0, "made": 1}
    without()
    with open_store(path) as store:
        assert uris(store.documents.search("lamp")) == ["a"] and served(store)["stale"] == 0
        store.documents.remove(store.documents.first(uri="a").id)
        store.documents.add_text("another lamp", uri="c")
        assert uris(store.documents.search("lamp")) == ["c"] and served(store)["stale"] == 1
        with pytest.raises(NotSupported, match="FTS5"):
            store.documents.rebuild()
        store.optimize()
        assert served(store)["stale"] == 1
    without(False)
    with open_store(path, read_only=True) as store:
        assert uris(store.documents.search("lamp")) == ["c"]
    with open_store(path) as store:
        assert uris(store.documents.search("lamp")) == ["c"] and served(store)["stale"] == 1
        store.documents.add_text("third lamp", uri="d")
        assert served(store) == {"kind": "fts5", "stale": 0, "made": 2}
        assert sorted(uris(store.documents.search("lamp"))) == ["c", "d"]


def test_optimize_mends_it_too(tmp_path, without):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.documents.add_text("the lamp", uri="a")
    without()
    with open_store(path) as store:
        store.documents.add_text("the sail", uri="b")
    without(False)
    with open_store(path) as store:
        store.optimize()
        assert served(store)["stale"] == 0 and uris(store.documents.search("sail")) == ["b"]


@pytest.mark.parametrize("mends", [True, False])
def test_what_a_python_without_fts5_hid_is_erased_from_the_index_by_either(tmp_path, without, searcher, mends):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        for word in ("zirconium", "ytterbium"):
            store.documents.add_text(f"the {word}", uri=word, id=f"d-{word}")
    without()
    with open_store(path) as store:
        store.documents.remove("d-zirconium")
        assert served(store)["stale"] == 1
    without(not mends)
    with open_store(path) as store:
        assert searcher(store, "zirconium")
        assert store.erase(document_id="d-zirconium").scrubbed
        assert searcher(store, "zirconium") == []
        assert served(store)["stale"] == (not mends) and uris(store.documents.search("ytterbium")) == ["ytterbium"]
    without(False)
    with open_store(path) as store:
        store.optimize()
        assert served(store)["stale"] == 0 and uris(store.documents.search("ytterbium")) == ["ytterbium"]


def test_a_file_begun_without_fts5_is_served_by_the_keyword_index_for_good(tmp_path, without):
    path = tmp_path / "agent.db"
    without()
    with open_store(path) as store:
        store.documents.add_text("the lamp", uri="a")
        assert served(store)["kind"] == "keywords"
    without(False)
    with open_store(path) as store:
        store.documents.add_text("a lamplighter", uri="b")
        assert len(store.keywords.search("lamp", kind="chunk")) == 2 and uris(store.documents.search("lamp")) == ["a"]
        store.documents.rebuild()
        assert len(store.keywords.search("lamp", kind="chunk")) == 2


def test_nothing_of_a_text_lies_readable_in_an_encrypted_file(tmp_path):
    with open_store(tmp_path / "agent.db", codec=Toy()) as store:
        store.documents.add_text("ambergris lamp", uri="a")
        store.keywords.compact()
        assert uris(store.documents.search("ambergris")) == ["a"]
        assert store.query("SELECT count(*) AS n FROM sqlite_schema WHERE sql LIKE '%USING fts5%'") == [{"n": 0}]
    assert b"ambergris" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["fts5", "sealed"])
def test_snapshots_and_read_only_stores_search_too(kind, tmp_path):
    codec = Toy() if kind == "sealed" else None
    with open_store(tmp_path / "agent.db", codec=codec) as store:
        assert store.documents.search("lamp") == []
        store.documents.add_text("the lamp", uri="a")
        store.snapshot(tmp_path / "copy.db")
        store.documents.add_text("a lamp", uri="b")
    with open_store(tmp_path / "copy.db", codec=codec, read_only=True) as copy:
        assert uris(copy.documents.search("lamp")) == ["a"]


def test_a_read_only_store_without_documents_finds_none(tmp_path):
    open_store(tmp_path / "agent.db").close()
    with open_store(tmp_path / "agent.db", read_only=True) as store:
        assert store.documents.search("lamp") == []


def test_its_bytes_count_as_the_rooms(store):
    before = {line.table: line.bytes for line in store.stats().tables}
    store.documents.add_text(" ".join(f"word{number}" for number in range(5000)), uri="a")
    (counted,) = [line for line in store.stats().tables if line.table == "chunk_index"]
    assert counted.rows == 1 and (counted.bytes is None or counted.bytes > 20_000) and "chunk_index" not in before


# -- damage -------------------------------------------------------------------------------------------------------------

DAMAGE = {
    "the table": ["DROP TABLE chunk_index__words"],
    "both tables": ["DROP TABLE chunk_index__words", "DROP TABLE chunk_index__terms"],
    "its data": ["DELETE FROM chunk_index__words_data"],
    "its totals": ["DELETE FROM chunk_index__words_data WHERE id = 1"],
    "garbage": ["UPDATE chunk_index__words_data SET block = x'00ff' WHERE id > 10"],
    "nonsense": ["UPDATE chunk_index__words_data SET block = 7 WHERE id = 1"],
    "its sizes": ["DELETE FROM chunk_index__words_docsize"],
    "other sizes": ["UPDATE chunk_index__words_docsize SET sz = x'05'"],
    "a part": ["DROP TABLE chunk_index__words_config"],
    "the data's table": ["DROP TABLE chunk_index__words_data"],
    "what serves": ["DELETE FROM chunk_index"],
    "a text out of it": ["INSERT INTO chunk_index__words(chunk_index__words, rowid, content) VALUES ('delete', 1, 'the brass lamp')"],
    "a text too much": ["INSERT INTO chunk_index__words(rowid, content) VALUES (99, 'lamp')"],
    "other words": [
        "INSERT INTO chunk_index__words(chunk_index__words, rowid, content) VALUES ('delete', 1, 'the brass lamp')",
        "INSERT INTO chunk_index__words(rowid, content) VALUES (1, 'an iron foot')",
    ],
}


@pytest.mark.damage
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_named_and_mended(what, tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.documents.add_text("the brass lamp", uri="a")
        store.documents.add_text("the sail", uri="b")
    damaged = sqlite3.connect(path)
    for statement in DAMAGE[what]:
        damaged.execute(statement)
    damaged.commit()
    damaged.close()
    with open_store(path) as store:
        assert "chunk_index" in kinds(store)
        try:
            found = uris(store.documents.search("lamp"))
        except Corrupt as error:
            assert "documents.rebuild() makes a new one" in str(error)
        else:
            assert found in (["a"], [])
        store.documents.rebuild()
        assert uris(store.documents.search("lamp")) == ["a"] and store.check().ok, store.check().findings
        store.documents.add_text("a lamp", uri="c")
        assert sorted(uris(store.documents.search("lamp"))) == ["a", "c"]


@pytest.mark.damage
def test_a_trigger_on_the_tables_of_the_index_is_reported(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        store.documents.add_text("the lamp", uri="a")
    hostile = sqlite3.connect(path)
    hostile.execute("CREATE TRIGGER spy AFTER INSERT ON chunk_index__words_docsize BEGIN SELECT 1; END")
    hostile.close()
    with open_store(path) as store:
        assert any("trigger spy" in finding.detail for finding in store.check().findings)


@pytest.mark.damage
def test_an_index_that_nothing_tells_of_is_made_anew_by_whoever_writes(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        for uri in ("a", "b", "c"):
            store.documents.add_text(f"the lamp of {uri}", uri=uri, id=uri)
        store.documents.remove("b")
    for write in (
        lambda room: room.add_text("one more lamp", uri="d"),
        lambda room: room.add_text("the lamp of b", uri="b"),
        lambda room: room.remove("a"),
        lambda room: room.rebuild(),
    ):
        with sqlite3.connect(path) as damaged:
            damaged.execute("DELETE FROM chunk_index")
        damaged.close()
        with open_store(path) as store:
            with pytest.raises(Corrupt, match=r"documents\.rebuild\(\) makes a new one"):
                store.documents.search("lamp")
            write(store.documents)
            assert store.check().ok
            assert sorted(uris(store.documents.search("lamp"))) == sorted(item.uri for item in store.documents.find())


def test_where_all_words_are_common_they_are_ranked_once(library, monkeypatch):
    store, plain, _ = library
    common = " ".join(row["term"] for row in store.query("SELECT term FROM chunk_index__terms ORDER BY doc DESC LIMIT 3"))
    asked = []
    ask = fulltext.Question._matching
    monkeypatch.setattr(fulltext.Question, "_matching", lambda self, *given: asked.append(1) or ask(self, *given))
    match = " OR ".join(common.split())
    sql = "SELECT rowid, -bm25(plain) FROM plain WHERE plain MATCH ? ORDER BY bm25(plain), rowid LIMIT 10"
    assert best(store, common) == plain.execute(sql, (match,)).fetchall()
    assert len(asked) == 1


@pytest.mark.damage
@pytest.mark.parametrize("block", ["x'ff0203'", "'text'"])
def test_whoever_meets_damage_only_while_writing_is_told_what_mends_it(block, tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        store.documents.add_text("the brass lamp", uri="a")
        with sqlite3.connect(tmp_path / "agent.db") as damaged:
            damaged.execute(f"UPDATE chunk_index__words_data SET block = {block}")
        damaged.close()
        with pytest.raises(Corrupt, match=r"documents\.rebuild\(\) makes a new one"):
            store.documents.add_text("the sail", uri="b")
        store.documents.rebuild()
        assert store.documents.add_text("the sail", uri="b").uri == "b" and store.check().ok
