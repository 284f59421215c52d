"""The codes of vectors in memory: by them the best are found, and they follow what is committed, whoever has written it."""

from __future__ import annotations

import os
import random
import threading
from array import array

import pytest
from toy_vectors import ids, ranked, some

from memstore import ReadOnly, open_store
from memstore.vectors.memory import LONG, WORTH


def agreeing(hits, items, vector):
    """How many of the hits are among the best; all of them are there."""
    assert len(hits) == 10 and {hit.id for hit in hits} <= set(items)
    return len({hit.id for hit in hits} & set(ranked(items, vector)))


def test_many_are_found_by_codes_as_by_comparing_all(store, rng):
    items = dict(some(rng, WORTH * 4, dims=24))
    store.vectors.add(items.items(), model="toy")
    hits = 0
    for _ in range(10):
        wanted = [rng.gauss(0.0, 1.0) for _ in range(24)]
        exact = store.vectors.nearest(wanted, model="toy", exact=True)
        assert ids(exact) == ranked(items, wanted)
        found = store.vectors.nearest(wanted, model="toy")
        assert [hit for hit in found if hit in exact] == [hit for hit in exact if hit in found], "one score, however found"
        hits += len(set(ids(found)) & set(ids(exact)))
    assert hits >= 90
    assert store.vectors.nearest(wanted, model="toy", limit=0) == []
    stats = store.vectors.stats()
    assert (stats.vectors, stats.indexed, stats.blocks) == (WORTH * 4, WORTH * 4, 1)
    assert 0 < stats.bytes < WORTH * 4 * 24


def around(rng, times, spread, dims=48):
    """Vectors of topics that have much in common."""
    shared = [times * rng.gauss(0.0, 1.0) for _ in range(dims)]
    topics = [[spread * rng.gauss(0.0, 1.0) for _ in range(dims)] for _ in range(12)]
    while True:
        yield [mean + middle + rng.gauss(0.0, 0.5) for mean, middle in zip(shared, rng.choice(topics), strict=True)]


def each(draw):
    while True:
        yield [draw() for _ in range(48)]


@pytest.mark.parametrize(
    "drawn",
    [
        lambda rng: around(rng, 0, 1),
        lambda rng: around(rng, 3, 1),
        lambda rng: around(rng, 3, 0),
        lambda rng: around(rng, 50, 0),
        lambda rng: each(lambda: float(rng.random() < 0.5)),
        lambda rng: each(lambda: float(rng.random() < 0.2) + 0.01),
        lambda rng: each(lambda: rng.expovariate(1.0)),
    ],
    ids=["clusters", "clusters around a mean", "around a mean", "hardly apart", "binary", "sparse", "histograms"],
)
def test_whatever_vectors_are_like_the_best_are_found(store, drawn):
    for seed in range(2):
        made, kind = drawn(random.Random(seed)), f"seed {seed}"
        store.vectors.add([(str(number), next(made)) for number in range(1200)], model="toy", kind=kind)
        found = 0
        for _ in range(10):
            query = next(made)
            least = store.vectors.nearest(query, model="toy", kind=kind, exact=True)[-1].score
            found += sum(hit.score >= least - 1e-9 for hit in store.vectors.nearest(query, model="toy", kind=kind))
        assert found >= 95
        assert store.vectors.check() == []


def test_the_single_best_is_found_as_surely_as_ten_are(store):
    rng = random.Random(0)
    made = each(lambda: rng.choice((-1, 1)) / (0.01 + rng.random()))
    store.vectors.add([(str(number), next(made)) for number in range(1200)], model="toy")
    for query in [next(made) for _ in range(20)]:
        best = store.vectors.nearest(query, model="toy", limit=1, exact=True)
        assert store.vectors.nearest(query, model="toy", limit=1) == best


def test_where_codes_tell_nothing_all_are_compared(store, monkeypatch):
    monkeypatch.setattr("memstore.vectors.memory.WORTH", 8)
    dims = 3072
    store.vectors.add([(str(number), array("f", [1.0] + [0.0] * (dims - 1))) for number in range(8)], model="toy")
    hits = store.vectors.nearest(array("f", [1.0] * dims), model="toy", limit=2)
    assert [(hit.id, hit.score) for hit in hits] == [(id, pytest.approx(dims**-0.5)) for id in ("0", "1")]
    assert store.vectors.stats().indexed == 8


def test_codes_follow_what_is_added_replaced_and_removed(store, rng):
    items = dict(some(rng, WORTH + 50))
    store.vectors.add(items.items(), model="toy")
    aim = items["v7"]
    store.vectors.nearest(aim, model="toy")
    agreed = 0
    for turn in range(6):
        more = dict(some(rng, LONG // 2 + 9, start=1000 * (turn + 1)))
        more["v7"] = [value + 0.01 * turn for value in aim]
        store.vectors.add(more.items(), model="toy")
        items |= more
        for id in rng.sample(sorted(set(items) - {"v7"}), 20):
            assert store.vectors.remove(id)
            del items[id]
        assert ids(store.vectors.nearest(aim, model="toy"))[0] == ranked(items, aim)[0] == "v7"
        agreed += agreeing(store.vectors.nearest(aim, model="toy"), items, aim)
        assert store.vectors.check() == []
    assert agreed >= 42, "of 60; vectors without structure, of which the worst draw of 500 gave 47"
    assert store.vectors.stats().vectors == len(items)


def test_when_most_are_gone_the_rest_are_found_and_codes_are_made_anew(store, rng):
    items = dict(some(rng, WORTH * 4))
    store.vectors.add(items.items(), model="toy")
    aim = items["v9"]
    gone = rng.sample(sorted(items), WORTH * 5 // 2)
    store.vectors.nearest(aim, model="toy")
    with store.transaction():
        store.vectors.discard(store._database.writer, "chunk", gone)
        left = {id: vector for id, vector in items.items() if id not in gone}
        assert agreeing(store.vectors.nearest(aim, model="toy"), left, aim) >= 8, "inside the transaction, by the old codes"
        assert store.vectors.stats().indexed == WORTH * 4
    assert agreeing(store.vectors.nearest(aim, model="toy"), left, aim) >= 8
    assert store.vectors.stats().indexed == len(left)


def test_what_a_rollback_takes_back_is_found_nowhere(store, rng):
    store.vectors.add(some(rng, WORTH), model="toy")
    aim = [100.0, *[0.0] * 7]
    before = store.vectors.nearest(aim, model="toy")
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.vectors.add([(f"w{number}", aim) for number in range(LONG * 2)], model="toy")
        store.vectors.remove(before[0].id)
        assert store.vectors.nearest(aim, model="toy", limit=1)[0].id == "w0"
        raise ZeroDivisionError
    assert store.vectors.nearest(aim, model="toy") == before
    store.vectors.add([("other", [value + 1.0 for value in aim])], model="toy")  # under a key that the rolled back one had
    assert store.vectors.nearest(aim, model="toy", limit=1)[0].id == "other"


def test_other_handles_and_readers_see_commits_at_once(tmp_path, rng):
    path, items = tmp_path / "agent.db", dict(some(rng, WORTH + LONG))
    aim = items["v3"]
    with open_store(path) as one, open_store(path) as other:
        one.vectors.add(items.items(), model="toy")
        with open_store(path, read_only=True) as reader:
            for store in (one, other, reader):
                assert ids(store.vectors.nearest(aim, model="toy", limit=2))[0] == "v3"
            other.vectors.add([("new", aim)], model="toy")
            one.vectors.remove("v3")
            for store in (one, other, reader):
                assert ids(store.vectors.nearest(aim, model="toy", limit=1)) == ["new"]
            with pytest.raises(ReadOnly):
                reader.vectors.add([("a", aim)], model="toy")


def test_a_reader_that_is_behind_strikes_nothing_out(file_store, rng):
    items = dict(some(rng, WORTH))
    file_store.vectors.add(items.items(), model="toy")
    aim = [9.0] * 8
    with file_store.vectors.db.read(snapshot=True) as connection:
        connection.value("SELECT count(*) FROM vectors")  # the snapshot begins

        def meanwhile():
            file_store.vectors.add([(f"w{number}", aim) for number in range(LONG)], model="toy")
            file_store.vectors.nearest(aim, model="toy")

        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join(20)
        index = file_store.vectors
        from memstore.vectors.floats import Query, packed
        from memstore.vectors.memory import Space

        query = Query(packed("aim", aim))
        found = index._nearest(Space(connection, "toy", "chunk", 8, WORTH), query, None, 5, False)
        assert not any(id.startswith("w") for _, id in found)
    assert ids(file_store.vectors.nearest(aim, model="toy", limit=LONG))[0].startswith("w")
    assert file_store.vectors.stats().indexed == WORTH + LONG


def test_threads_search_at_once(file_store, rng):
    items = dict(some(rng, WORTH * 2))
    file_store.vectors.add(items.items(), model="toy")
    wrong = []

    def search(id):
        for _ in range(5):
            if ids(file_store.vectors.nearest(items[id], model="toy", limit=1)) != [id]:
                wrong.append(id)

    threads = [threading.Thread(target=search, args=(f"v{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_the_child_of_a_fork_goes_on_with_the_codes(file_store, rng):
    items = dict(some(rng, WORTH))
    file_store.vectors.add(items.items(), model="toy")
    file_store.vectors.nearest(items["v5"], model="toy")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            file_store.vectors.add([("child", items["v5"])], model="toy")
            code = 0 if ids(file_store.vectors.nearest(items["v5"], model="toy", limit=1)) == ["child"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ids(file_store.vectors.nearest(items["v5"], model="toy", limit=1)) == ["child"]
