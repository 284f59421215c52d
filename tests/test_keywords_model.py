"""The keyword index against a plain dict: random items and questions between merges, reopenings and a second handle."""

from __future__ import annotations

import pytest
from notes import Notes

from memstore import open_store
from memstore.keywords import segments, spaces
from memstore.keywords.segments import CAPACITY, Asked, Draft, Segment, crowd, merge, newest_first
from memstore.keywords.words import prefixes, words

PARTS = ["alpha", "alps", "beta", "be", "Gamma", "gam", "fooBar", "foo_bar", "foo-bar.baz", "café", "cafe\u0301", "東京都", "京都", "がく"]
PARTS += ["7", "x", "don't", "🎉"]
ASKED = [*PARTS, "a", "al", "b", "fo", "ba", "caf", "東", "都", "zz", "al be", "ga x", "京 7"]


class Model:
    """What should be in the index: (kind, id) -> (created_at, arrival, text)."""

    def __init__(self):
        self.items = {}
        self.hidden = {}
        self.arrival = 0

    def put(self, kind, item_id, created_at, text):
        self.arrival += 1
        self.items[kind, item_id] = (created_at, self.arrival, text)

    def search(self, query, kind=None):
        asked = prefixes(query)
        found = []
        for (item_kind, item_id), (created_at, arrival, text) in self.items.items():
            has = words(text)
            if asked and kind in (None, item_kind) and all(any(word.startswith(prefix) for word in has) for prefix in asked):
                found.append((created_at, arrival, item_kind, item_id))
        return [(kind, item_id) for _, _, kind, item_id in sorted(found, reverse=True)]

    def complete(self, prefix):
        counts = {}
        for _, _, text in self.items.values():
            for word in words(text):
                if word.startswith(prefix):
                    counts[word] = counts.get(word, 0) + 1
        return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Segments of 8 and more items, so that a few hundred make many."""
    monkeypatch.setattr(spaces, "BATCH", 8)
    monkeypatch.setattr(spaces, "MOST", 20)
    monkeypatch.setattr(spaces, "PAGE", 4)
    monkeypatch.setattr("memstore.keywords.BATCH", 8)


def act(rng, model, notes, other):
    """One random operation, done on the index and on the model."""
    choice = rng.randrange(12)
    text = " ".join(rng.choices(PARTS, k=rng.randrange(5)))
    moment = float(rng.randrange(10))
    messages = [item_id for kind, item_id in model.items if kind == "message"]
    if choice < 5:
        model.put("message", notes.append(text, created_at=moment), moment, text)
    elif choice == 5:
        item_id = f"n{rng.randrange(12)}"
        notes.index.add(item_id, text, kind="note", created_at=moment)
        model.put("note", item_id, moment, text)
    elif choice == 6 and messages:
        item_id = rng.choice(messages)
        model.items.pop(("message", item_id))
        model.hidden.pop(item_id, None)
        rng.choice([notes, other]).pop(item_id, wipe=rng.random() < 0.3)
    elif choice == 7 and messages:
        item_id = rng.choice(messages)
        model.hidden[item_id] = model.items.pop(("message", item_id))
        notes.index.remove(item_id)
    elif choice == 8 and any(kind == "note" for kind, _ in model.items):
        item_id = rng.choice([item_id for kind, item_id in model.items if kind == "note"])
        model.items.pop(("note", item_id))
        other.index.remove(item_id, kind="note")
    elif choice == 9:
        rng.choice([notes, other]).index.catch_up()
    elif choice == 10 and rng.random() < 0.3:
        rng.choice([notes, other]).index.compact()
    elif choice == 11 and rng.random() < 0.2:
        rng.choice([notes, other]).index.rebuild()
        model.items.update((("message", item_id), entry) for item_id, entry in model.hidden.items())
        model.hidden.clear()


def compare(rng, model, index):
    query = rng.choice(ASKED)
    kind = rng.choice([None, None, "message", "note"])
    expected = model.search(query, kind)
    found = [(hit.kind, hit.item_id) for hit in index.search(query, kind=kind, limit=None)]
    assert found == expected, query
    limit = rng.randrange(1, 6)
    assert [(hit.kind, hit.item_id) for hit in index.search(query, kind=kind, limit=limit)] == expected[:limit]
    prefix = rng.choice(["a", "b", "g", "foo", "東", "c", "foo-bar"])
    assert index.complete(prefix, limit=None) == model.complete(prefix)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_random_life_agrees_with_a_dict(tmp_path, rng, in_transaction):
    path = tmp_path / "a.db"
    model = Model()
    added = 0
    for _ in range(5):
        with open_store(path) as one, open_store(path) as two:
            notes, other = Notes(one), Notes(two)
            notes.added = added
            for step in range(120):
                if in_transaction and rng.random() < 0.2:
                    with one.transaction():
                        for _ in range(4):
                            act(rng, model, notes, notes)
                            compare(rng, model, notes.index)
                else:
                    act(rng, model, notes, other)
                compare(rng, model, rng.choice([notes, other]).index)
                if step % 40 == 0:
                    assert notes.index.check() == other.index.check() == []
            added = notes.added


def test_rolled_back_lives_leave_nothing(file_store, rng):
    model = Model()
    notes = Notes(file_store)
    for _ in range(60):
        act(rng, model, notes, notes)
        kept = (dict(model.items), dict(model.hidden), model.arrival, notes.added)
        with pytest.raises(KeyError), file_store.transaction():
            for _ in range(5):
                act(rng, model, notes, notes)
                compare(rng, model, notes.index)
            raise KeyError
        model.items, model.hidden, model.arrival, notes.added = kept
        compare(rng, model, notes.index)
    assert notes.index.check() == []


# -- segments alone -----------------------------------------------------------------------------------------------------


def naive(items, asked, before):
    found = []
    for created_at, number, text in items:
        has = sorted(words(text))
        matched = [next((word for word in has if word.startswith(prefix)), None) for prefix in asked]
        if None not in matched and (before is None or (created_at, number) < before):
            found.append((created_at, number, tuple(matched)))
    return sorted(found, reverse=True)


def built(items):
    draft = Draft()
    draft.add([(number, f"m{number}", f"c{number % 3}", None, at) for at, number, _ in items], [text for _, _, text in items])
    return draft.segment()


def hits(parts, asked, before=None, place=None):
    pages = newest_first([(part.items.times[-1], lambda part=part: part) for part in parts], Asked(asked, 3, place), before)
    found = [hit for page in pages for hit in page]
    assert all((name, origin) == (f"m{number}", (f"c{number % 3}", None)) for _, number, _, name, origin in found)
    return [hit[:3] for hit in found]


@pytest.mark.parametrize("narrow", [1 << 16, 200])
def test_segments_answer_like_a_scan_and_so_do_their_merges(rng, monkeypatch, narrow):
    monkeypatch.setattr(segments, "NARROW", narrow)
    vocabulary = ["".join(rng.choices("abc", k=rng.randrange(1, 5))) for _ in range(60)]
    for size in (1, 5, 300, 3000):
        spoken = [" ".join(rng.choices(vocabulary, k=rng.randrange(1, 9))) for _ in range(size)]
        items = [(float(rng.randrange(1 + size // 2)), number, text) for number, text in enumerate(spoken)]
        cuts = sorted(rng.choices(range(size + 1), k=4))
        pieces = [piece for begin, end in zip([0, *cuts], [*cuts, size]) if (piece := items[begin:end])]
        parts = [built(piece) for piece in pieces]
        whole = merge(parts)
        assert whole.places.typecode == ("H" if size <= narrow else "I")
        for part in (whole, *parts):
            assert Segment.unpack(part.pack()[:-3], *part.pack()[-3:]).pack() == part.pack()
        for _ in range(40):
            asked = list(dict.fromkeys(rng.choice(vocabulary)[: rng.randrange(1, 4)] for _ in range(rng.randrange(1, 4))))
            before = rng.choice([None, (float(rng.randrange(1 + size // 2)), rng.randrange(size + 1))])
            expected = naive(items, asked, before)
            assert hits([whole], asked, before) == expected
            assert hits(parts, asked, before) == expected
            only = [hit for hit in expected if hit[1] % 3 == 1]
            assert hits([whole], asked, before, "c1") == hits(parts, asked, before, "c1") == only
        gone = set(rng.choices(range(size), k=size // 3))
        alive = [item for item in items if item[1] not in gone]
        thinned = merge(parts, gone)
        assert hits([thinned] if len(thinned) else [], ["a"]) == naive(alive, ["a"], None)
        assert {word for _, _, text in alive for word in words(text)} == set(thinned.words)
        counted = dict(whole.counts("a", gone))
        assert {word: count for word, count in counted.items() if count} == dict(thinned.counts("a", ()))


def test_segments_stay_few_and_bounded():
    sizes = []
    for _ in range(500):
        sizes.append(4096 * 32)
        while chosen := crowd(sizes):
            together = sum(sizes[index] for index in chosen)
            sizes = [size for index, size in enumerate(sizes) if index not in chosen] + [together]
        assert max(sizes) <= CAPACITY
        assert len(sizes) <= sum(sizes) // CAPACITY + 12
