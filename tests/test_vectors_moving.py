"""Vectors that are exported and taken in: what travels, what stays out, and what it is of afterwards."""

from __future__ import annotations

import pytest
from toy_codec import Toy
from toy_vectors import EAST, some, told

from memstore import ModelMismatch, open_store
from memstore.vectors.memory import WORTH


@pytest.fixture
def source(tmp_path, rng):
    with open_store(tmp_path / "source.db") as opened:
        told(opened)
        opened.vectors.add(some(rng, 20, dims=2), model="old")
        yield opened


def test_vectors_travel_exactly(source, tmp_path):
    source.export(tmp_path / "one")
    with open_store(tmp_path / "other.db") as other:
        other.import_(tmp_path / "one")
        assert [other.vectors.get(f"v{n}").to_dict() for n in range(20)] == [source.vectors.get(f"v{n}").to_dict() for n in range(20)]
        assert other.vectors.models() == source.vectors.models()
        other.export(tmp_path / "two")
    first, second = ((tmp_path / name / "vectors.vectors.jsonl").read_bytes() for name in ("one", "two"))
    assert first == second


@pytest.mark.parametrize("on_conflict", ["skip", "replace"])
def test_a_store_with_a_history_takes_in_what_it_does_not_have(source, tmp_path, on_conflict):
    source.export(tmp_path / "one")
    with open_store(tmp_path / "other.db") as other:
        other.vectors.add([("v1", EAST), ("mine", EAST)], model="old")
        report = other.import_(tmp_path / "one", on_conflict=on_conflict)
        assert report.added["vectors"] == 24
        kept = EAST if on_conflict == "skip" else source.vectors.get("v1").values
        assert other.vectors.get("v1").values == kept
        assert other.vectors.count() == 26


def test_a_vector_follows_what_it_is_of_to_the_one_here_that_says_the_same(source, tmp_path):
    source.export(tmp_path / "one")
    with open_store(tmp_path / "other.db") as other:
        mine = other.memories.add("knowledge", "belief number xx").id
        other.import_(tmp_path / "one", on_conflict="skip")
        assert other.vectors.lacking([mine, "m1", "m2"], model="old", kind="memory") == ["m2"]


def test_models_of_other_dimensions_do_not_come_in(source, tmp_path):
    source.export(tmp_path / "one")
    with open_store(tmp_path / "other.db") as other:
        other.vectors.add([("mine", [1, 2, 3])], model="old")
        with pytest.raises(ModelMismatch, match="nothing was imported"):
            other.import_(tmp_path / "one")
        assert other.vectors.count() == 1


def test_into_an_encrypted_store_come_vectors_that_the_export_allows(source, tmp_path):
    source.export(tmp_path / "one")
    source.vectors.allow("old")
    source.export(tmp_path / "two")
    for name, came in (("one", 0), ("two", 25)):
        with open_store(tmp_path / f"to-{name}.db", codec=Toy()) as other:
            report = other.import_(tmp_path / name)
            assert other.vectors.count() == came
            assert report.skipped.get("vectors", 0) == 25 - came


def test_what_was_erased_here_does_not_come_back(source, tmp_path):
    source.export(tmp_path / "one")
    source.erase(memory_id="m2")
    source.import_(tmp_path / "one", on_conflict="skip")
    assert source.vectors.lacking(["m1", "m2"], model="old", kind="memory") == ["m2"]


def test_codes_of_vectors_that_were_here_are_not_taken_for_those_that_come_in(source, tmp_path, rng):
    source.export(tmp_path / "one")
    with open_store(":memory:") as other:
        other.vectors.add(some(rng, WORTH), model="toy")
        other.vectors.nearest([1.0] * 8, model="toy")
        other.documents.reembed(lambda texts: [[1.0] * 8 for _ in texts], model="toy")  # removes them: they are of no chunks
        assert other.vectors.count() == 0 and other.import_(tmp_path / "one").adopted
        assert {finding.kind for finding in other.vectors.check()} <= {"dangling"}


def test_an_export_of_a_user_has_the_vectors_of_his_memories(store, tmp_path):
    for owner in ("ann", "bob"):
        store.memories.add("knowledge", f"belief of {owner}", user_id=owner, id=f"m-{owner}")
        store.vectors.add([(f"m-{owner}", EAST)], model="toy", kind="memory")
    store.vectors.add([("nobody's", EAST)], model="toy")
    assert store.export(tmp_path / "ann", user_id="ann").rows["vectors"] == 1
