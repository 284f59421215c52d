"""Vectors: what is added is found by how near it is, exactly as given, and never compared with another model's."""

from __future__ import annotations

import math
import struct
from array import array
from contextlib import closing

import pytest
from toy_codec import Toy
from toy_vectors import BETWEEN, EAST, NORTH, ids, ranked, some, told

from memstore import Corrupt, Invalid, ModelMismatch, NotFound, NotSupported, open_store
from memstore.vectors import Reembedded, VectorHit, VectorModel
from memstore.vectors.memory import WORTH


@pytest.fixture
def three(store):
    store.vectors.add([("e", EAST), ("n", NORTH), ("b", BETWEEN)], model="toy", kind="note")
    return store


# -- add and get --------------------------------------------------------------------------------------------------------


def test_a_vector_comes_back_as_it_was_given(store):
    assert store.vectors.add([("a", [1, 2.5, -0.0])], model="toy", kind="note", created_at=7.0) == 1
    found = store.vectors.get("a", kind="note")
    assert (found.id, found.kind, found.model, found.dims, found.created_at) == ("a", "note", "toy", 3, 7.0)
    assert [repr(value) for value in found.values] == ["1.0", "2.5", "-0.0"]
    assert found.norm == math.hypot(1, 2.5)


@pytest.mark.parametrize("given", [(0.5, 2), [0.5, 2], array("f", [0.5, 2]), array("d", [0.5, 2]), memoryview(array("d", [0.5, 2]))])
def test_any_sequence_of_numbers_and_any_array_of_floats_is_a_vector(store, given):
    store.vectors.add([("a", given)], model="toy")
    assert store.vectors.get("a").values == [0.5, 2.0]
    assert store.vectors.nearest(given, model="toy") == [VectorHit("a", 1.0, "chunk")]


def test_arrays_of_numpy_are_vectors(store):
    numpy = pytest.importorskip("numpy")
    rows = numpy.array([[1, 2], [3, 4]], dtype="float32")
    assert store.vectors.add(zip("ab", rows), model="toy") == 2
    store.vectors.add([("c", rows[0].astype("float64")), ("d", list(rows[1]))], model="toy")
    assert [store.vectors.get(id).values for id in "abcd"] == [[1, 2], [3, 4], [1, 2], [3, 4]]
    for bad in (rows, rows[:, 0], rows[0].astype("float16"), rows[0].astype("int64")):
        with pytest.raises(Invalid, match="vector must be"):
            store.vectors.nearest(bad, model="toy")


def test_a_float_is_rounded_to_the_nearest_float32(store):
    store.vectors.add([("a", [0.1, 1.0])], model="toy")
    assert store.vectors.get("a").values[0] == struct.unpack("<f", struct.pack("<f", 0.1))[0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([], "0 dimensions"),
        ([1.0] * 65_537, "65,537 dimensions"),
        ([0.0, 0.0], "no direction"),
        ([1e-60, 0.0], "no direction"),
        ([1.0, math.nan], r"\[1\] is nan"),
        ([math.inf, 1.0], r"\[0\] is inf"),
        ([1.0, 1e39], r"\[1\] is 1e\+39, beyond the range of a float32"),
        ([1.0, -(2.0**128 - 2.0**103)], r"\[1\] is -3\.40\d+e\+38, beyond the range of a float32"),  # the smallest that is
        ([1.0, True], r"\[1\] must be a number, not bool"),
        (b"\0\0\x80?", "must be one contiguous row of float32 or float64"),
        (array("i", [1, 2]), "must be one contiguous row"),
        (memoryview(array("d", [1, 2, 3]))[::2], "not contiguous"),
        ("text", "must be a sequence of numbers"),
        ({1.0, 2.0}, "must be a sequence of numbers"),
    ],
)
def test_what_has_no_direction_or_cannot_be_held_is_invalid(store, bad, said):
    with pytest.raises(Invalid, match=said):
        store.vectors.add([("a", [1.0, 2.0]), ("b", bad)], model="toy")
    with pytest.raises(Invalid, match=said):
        store.vectors.nearest(bad, model="toy")
    assert store.vectors.count() == 0


def test_another_vector_takes_the_place_of_the_first_and_the_last_of_two_counts(three):
    assert three.vectors.add([("e", NORTH), ("e", BETWEEN)], model="toy", kind="note") == 1
    assert three.vectors.get("e", kind="note").values == BETWEEN
    assert three.vectors.count() == 3
    assert ids(three.vectors.nearest(EAST, model="toy")) == ["b", "e", "n"]


def test_the_same_id_of_two_kinds_is_two_items(three):
    three.vectors.add([("e", NORTH)], model="toy", kind="memory")
    assert three.vectors.get("e", kind="note").values == EAST
    assert three.vectors.nearest(NORTH, model="toy", limit=2) == [VectorHit("e", 1.0, "memory"), VectorHit("n", 1.0, "note")]
    assert ids(three.vectors.nearest(NORTH, model="toy", kind="note", limit=1)) == ["n"]


def test_all_or_none_are_added(three):
    with pytest.raises(Invalid, match="of 2 and of 3 dimensions"):
        three.vectors.add([("x", EAST), ("y", [1, 2, 3])], model="toy")
    with pytest.raises(ModelMismatch, match="have 2 dimensions here, and not 3"):
        three.vectors.add([("x", [1, 2, 3])], model="toy")
    assert three.vectors.count() == 3
    assert three.vectors.add([], model="toy") == 0


def test_a_model_may_have_other_dimensions_once_all_its_vectors_are_replaced(three):
    three.vectors.add([("e", [1, 2, 3]), ("n", [1, 2, 3]), ("b", [3, 2, 1])], model="toy", kind="note")
    assert three.vectors.models() == [VectorModel("toy", 3, 3, {"note": 3})]


def test_what_is_not_there_is_not_found(three):
    with pytest.raises(NotFound, match="'e' of kind 'chunk' has no vector"):
        three.vectors.get("e")


# -- nearest ------------------------------------------------------------------------------------------------------------


def test_the_nearest_come_first_by_their_cosine(three):
    hits = three.vectors.nearest(EAST, model="toy")
    assert [(hit.id, hit.kind) for hit in hits] == [("e", "note"), ("b", "note"), ("n", "note")]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.6, 0.0], abs=1e-15)
    assert three.vectors.nearest(EAST, model="toy", limit=1) == hits[:1]
    assert three.vectors.nearest(EAST, model="toy", limit=None) == hits
    assert three.vectors.nearest(EAST, model="toy", limit=0) == []


def test_of_equal_ones_the_smaller_id_comes_first_however_they_are_found(store, rng):
    store.vectors.add([(f"{number:03}", EAST) for number in rng.sample(range(WORTH + 40), WORTH + 40)], model="toy")
    for exact in (True, False):
        assert ids(store.vectors.nearest(EAST, model="toy", limit=3, exact=exact)) == ["000", "001", "002"]
        assert store.vectors.nearest(EAST, model="toy", limit=0, exact=exact) == []


def test_only_the_named_ones_are_looked_among(store, rng):
    items = dict(some(rng, WORTH * 3))
    store.vectors.add(items.items(), model="toy")
    for many in (5, WORTH * 2):
        chosen = rng.sample(sorted(items), many)
        expected = ranked({id: items[id] for id in chosen}, items["v0"])
        assert ids(store.vectors.nearest(items["v0"], model="toy", only=[*chosen, "nobody"], exact=True)) == expected
        found = ids(store.vectors.nearest(items["v0"], model="toy", only=iter([*chosen, "nobody"])))
        assert set(found) <= set(chosen) and found[0] == expected[0] and len(found) == min(10, many)
    assert store.vectors.nearest(items["v0"], model="toy", only=[]) == []


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_lengths_change_no_score(store, scale):
    store.vectors.add([("a", [3 * scale, 4 * scale]), ("b", [3.0, 4.0]), ("c", [-4e3, 3e3])], model="toy")
    scores = [hit.score for hit in store.vectors.nearest([1.0, 0.0], model="toy")]
    assert scores == pytest.approx([0.6, 0.6, -0.8], abs=1e-6)


def test_without_vectors_nothing_is_near(store):
    assert store.vectors.nearest(EAST, model="toy") == []


# -- models -------------------------------------------------------------------------------------------------------------


def test_vectors_of_another_model_are_never_compared(three):
    three.vectors.add([("x", [1, 2, 3])], model="other", kind="memory")
    with pytest.raises(ModelMismatch, match=r"'toy' \(2 dimensions\), which has 3 vectors here.*1 of 'other' \(3 dimensions.*reembed"):
        three.vectors.nearest(EAST, model="toy")
    with pytest.raises(ModelMismatch):
        three.vectors.nearest(EAST, model="new")
    with pytest.raises(ModelMismatch, match="3 dimensions"):
        three.vectors.nearest([1, 2, 3], model="toy", kind="note")
    assert len(three.vectors.nearest(EAST, model="toy", kind="note")) == 3
    assert ids(three.vectors.nearest(EAST, model="toy", only=["e", "n"])) == ["e", "n"]
    with pytest.raises(ModelMismatch):
        three.vectors.nearest(EAST, model="toy", only=["e", "x"])


def test_a_model_whose_dimensions_have_changed_needs_another_name(three):
    with pytest.raises(ModelMismatch, match="3 of 'toy'.*give a model whose dimensions have changed another name"):
        three.vectors.nearest([1, 2, 3], model="toy")


def test_models_kinds_and_what_lacks_a_vector_are_counted(three):
    three.vectors.add([("e", EAST), ("x", EAST)], model="toy", kind="memory")
    three.vectors.add([("y", [1, 2, 3])], model="other")
    assert three.vectors.models() == [VectorModel("other", 3, 1, {"chunk": 1}), VectorModel("toy", 2, 5, {"memory": 2, "note": 3})]
    counts = [three.vectors.count(**given) for given in ({}, {"model": "toy"}, {"kind": "note"}, {"model": "toy", "kind": "chunk"})]
    assert counts == [6, 5, 3, 0]
    assert three.vectors.lacking(["z", "x", "y", "e"], model="toy", kind="memory") == ["z", "y"]


def embed(texts):
    return [[float(len(text)), 1.0, 0.0] for text in texts]


def test_reembed_gives_every_item_a_vector_of_the_new_model(store):
    made = told(store)
    asked = []
    assert store.vectors.reembed(lambda texts: asked.append(len(texts)) or embed(texts), model="new", batch=2) == Reembedded(5, [])
    assert asked == [2, 2, 1]
    assert store.vectors.models() == [VectorModel("new", 3, 5, {"memory": 5})]
    assert store.vectors.get(made[1], kind="memory").values == [float(len("belief number x")), 1.0, 0.0]
    assert store.vectors.reembed(embed, model="new") == Reembedded(0, [])


def test_reembed_that_was_interrupted_goes_on_where_it_was(store):
    told(store)

    def tired(texts):
        if store.vectors.count(model="new") >= 2:
            raise KeyboardInterrupt
        return embed(texts)

    with pytest.raises(KeyboardInterrupt):
        store.vectors.reembed(tired, model="new", batch=2)
    assert store.vectors.count(model="new") == 2
    with pytest.raises(ModelMismatch):
        store.vectors.nearest([1, 2, 3], model="new")
    assert store.vectors.reembed(embed, model="new").vectors == 3
    assert len(store.vectors.nearest([1, 2, 3], model="new")) == 5


def test_reembed_names_what_has_no_text_and_leaves_it(store):
    told(store, 2)
    store.vectors.add([("n", NORTH)], model="old", kind="note")
    assert store.vectors.reembed(embed, model="new") == Reembedded(2, [("note", "n")])
    assert store.vectors.get("n", kind="note").model == "old"
    assert store.vectors.reembed(embed, model="newer", kind="memory").vectors == 2


def test_reembed_leaves_alone_what_got_another_vector_meanwhile(store):
    told(store, 2)

    def slow(texts):
        store.vectors.add([("m0", NORTH)], model="old", kind="memory")
        return embed(texts)

    assert store.vectors.reembed(slow, model="new").vectors == 1
    assert store.vectors.get("m0", kind="memory").values == NORTH


def test_reembed_refuses_a_function_that_answers_something_else(store):
    told(store, 2)
    with pytest.raises(Invalid, match="fn returned 1 vectors for 2 texts"):
        store.vectors.reembed(lambda texts: embed(texts)[:1], model="new")
    with pytest.raises(Invalid, match="fn must be a function"):
        store.vectors.reembed("embed", model="new")
    assert store.vectors.count(model="old") == 2


# -- remove -------------------------------------------------------------------------------------------------------------


def test_remove_takes_a_vector_out_and_leaves_one_event(three):
    assert three.vectors.remove("e", kind="note", actor="ann", note="wrong") is True
    assert ids(three.vectors.nearest(EAST, model="toy")) == ["b", "n"]
    (event,) = three.audit.find()
    assert (event.event_type, event.entity_kind, event.entity_id) == ("vector.remove", "vector", "e")
    assert (event.actor, event.note) == ("ann", "wrong")
    assert event.before == {"kind": "note", "model": "toy", "dims": 2}
    assert three.vectors.remove("e", kind="note") is False
    assert three.vectors.remove("n") is False, "of another kind"
    assert three.audit.head().seq == 1


def test_discard_takes_what_is_gone_out_inside_the_write_of_its_room(three):
    with three.transaction():
        assert three.vectors.discard(three._database.writer, "note", ["e", "n", "nobody"]) == 2
        assert three.vectors.discard(three._database.writer, "memory", ["b"]) == 0
    assert ids(three.vectors.nearest(EAST, model="toy")) == ["b"]


def test_discard_makes_no_room_where_there_is_none(store):
    with store.transaction():
        store.chat.create_conversation()
        assert store.vectors.discard(store._database.writer, "chunk", ["a"]) == 0
    assert "vectors" not in store.stats().rooms


def test_what_is_erased_takes_its_vector_along(store):
    told(store)
    receipt = store.erase(memory_id="m2")
    assert receipt.counts["vectors"] == 1
    assert store.vectors.lacking(["m1", "m2"], model="old", kind="memory") == ["m2"]
    assert store.vectors.count() == 4


# -- an encrypted store -------------------------------------------------------------------------------------------------


def test_an_encrypted_store_takes_vectors_of_allowed_models_alone(tmp_path):
    with open_store(tmp_path / "agent.db", codec=Toy()) as store:
        for refused in (
            lambda: store.vectors.add([("a", EAST)], model="toy"),
            lambda: store.vectors.reembed(embed, model="toy"),
        ):
            with pytest.raises(NotSupported, match=r"store\.vectors\.allow\('toy'\)"):
                refused()
        assert not store.vectors.permits("toy")
        store.vectors.allow("toy", actor="ann", note="agreed")
        store.vectors.allow("toy")
        (event,) = store.audit.find()
        assert (event.event_type, event.entity_id, event.actor, event.note) == ("vectors.allow", "toy", "ann", "agreed")
        store.vectors.add([("a", EAST)], model="toy")
        assert store.vectors.permits("toy") and not store.vectors.permits("other")
    with open_store(tmp_path / "agent.db", codec=Toy()) as store:
        assert store.vectors.nearest(EAST, model="toy") == [VectorHit("a", 1.0, "chunk")]


def test_a_plain_store_permits_all(store):
    assert store.vectors.permits("toy")


# -- check --------------------------------------------------------------------------------------------------------------


@pytest.mark.damage
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE vectors SET norm = norm * 2 WHERE id = 'v3'", "vector_damaged"),
        ("UPDATE vectors SET dims = 3 WHERE id = 'v3'", "vector_damaged"),
        ("UPDATE vectors SET vector = CAST(x'0000c07f' || substr(vector, 5) AS BLOB) WHERE id = 'v3'", "vector_damaged"),
        ("UPDATE vectors SET vector = zeroblob(32) WHERE id = 'v3'", "vector_damaged"),
        ("UPDATE vectors SET vector = substr(vector, 2) WHERE id = 'v3'", "vector_damaged"),
        ("UPDATE vector_spaces SET vectors = vectors + 1", "vector_count"),
        ("DELETE FROM vector_spaces", "vector_count"),
    ],
)
def test_damage_is_found(file_store, rng, change, kind):
    store = file_store
    store.vectors.add(some(rng, 10), model="toy")
    with store.transaction():
        store._database.writer.run(change)
    assert {finding.kind for finding in store.vectors.check()} >= {kind}


@pytest.mark.damage
@pytest.mark.parametrize(
    "change", ["DELETE FROM vector_spaces", "UPDATE vector_spaces SET vectors = 1", "UPDATE vector_spaces SET kind = 'x'"]
)
def test_wrong_counts_are_made_new_and_hide_nothing(file_store, rng, change):
    store = file_store
    store.vectors.add(some(rng, 10), model="toy")
    with store.transaction():
        store._database.writer.run(change)
    try:
        assert len(store.vectors.nearest([1.0] * 8, model="toy", kind="chunk")) == 10
    except Corrupt as error:
        assert "rebuild()" in str(error)
    assert all("rebuild()" in finding.detail for finding in store.vectors.check())
    store.vectors.rebuild()
    assert store.vectors.check() == []
    assert (store.vectors.count(), len(store.vectors.nearest([1.0] * 8, model="toy"))) == (10, 10)


@pytest.mark.damage
def test_counts_of_damaged_rows_are_not_made(three):
    with three.transaction():
        three._database.writer.run("UPDATE vectors SET dims = 3 WHERE id = 'e'")
    with pytest.raises(Corrupt, match="of 2 and of 3 dimensions"):
        three.vectors.rebuild()
    assert three.vectors.count() == 3


@pytest.mark.damage
def test_a_damaged_vector_is_corrupt_wherever_it_is_read(file_store, rng):
    file_store.vectors.add(some(rng, WORTH), model="toy")
    with file_store.transaction():
        file_store._database.writer.run("UPDATE vectors SET vector = substr(vector, 2) WHERE id = 'v3'")
    for read in (
        lambda: file_store.vectors.get("v3"),
        lambda: file_store.vectors.nearest([1.0] * 8, model="toy"),
        lambda: file_store.vectors.nearest([1.0] * 8, model="toy", exact=True),
    ):
        with pytest.raises(Corrupt, match="damaged"):
            read()


@pytest.mark.damage
def test_codes_that_are_not_those_of_the_rows_are_found(file_store, rng):
    file_store.vectors.add(some(rng, WORTH), model="toy")
    file_store.vectors.nearest([1.0] * 8, model="toy")
    (known,) = file_store.vectors._memory.known.values()
    known.blocks[0].highs[3] ^= 1 << 9
    (found,) = file_store.vectors.check()
    assert (found.kind, found.seq) == ("vector_memory", known.blocks[0].keys[9])


def test_a_vector_of_a_memory_that_is_gone_is_advice(store):
    store.vectors.add([("nobody", EAST)], model="toy", kind="memory")
    (found,) = store.vectors.check()
    assert found.kind == "dangling" and "nobody" in found.detail
    assert store.check().ok


def test_read_only_without_the_room_nothing_is_near(tmp_path):
    open_store(tmp_path / "agent.db").close()
    with closing(open_store(tmp_path / "agent.db", read_only=True)) as store:
        assert store.vectors.nearest(EAST, model="toy") == []
        assert (store.vectors.count(), store.vectors.models(), store.vectors.check()) == (0, [], [])


# -- beside a plain twin ------------------------------------------------------------------------------------------------


def test_whatever_is_done_a_dict_would_answer_alike(file_store, rng):
    """Random work in and out of transactions, some of them undone, by two handles on one file."""
    room, twin = file_store.vectors, {}
    with open_store(file_store.path) as other:
        for _ in range(60):
            undone = dict(twin)
            work = rng.choice(("add", "add", "many", "remove", "undo"))
            store = rng.choice((file_store, other))
            with store.transaction() if work != "undo" else pytest.raises(ZeroDivisionError):
                with store.transaction():
                    if work == "remove" and twin:
                        id = rng.choice(sorted(twin))
                        assert store.vectors.remove(id) and twin.pop(id)
                    else:
                        new = {f"v{rng.randrange(900)}": vector for _, vector in some(rng, 90 if work == "many" else 3)}
                        store.vectors.add(new.items(), model="toy")
                        twin |= new
                    aim = rng.choice(sorted(twin) or [None])
                    if aim is not None:
                        assert ids(store.vectors.nearest(twin[aim], model="toy", limit=1)) == [aim]
                    if work == "undo":
                        twin = undone
                        raise ZeroDivisionError
            assert room.count() == len(twin)
            if twin:
                aim = [rng.gauss(0.0, 1.0) for _ in range(8)]
                assert ids(room.nearest(aim, model="toy", exact=True, limit=5)) == ranked(twin, aim, 5)
                assert ids(room.nearest(aim, model="toy", limit=1))[0] in ranked(twin, aim, 5)
