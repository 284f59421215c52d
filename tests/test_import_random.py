"""Stores that have lived a random life leave and come back the same, and any two of them can be brought together."""

from __future__ import annotations

import pytest
from exports import answers, bytes_of
from models.harness import Life
from models.test_models import MODELS

from memstore import Exists, open_store
from memstore.testing import FakeClock

each_room = pytest.mark.parametrize("model", MODELS, ids=[model.room for model in MODELS])


def lived(model, folder, seed, operations=150):
    """A store after a random life."""
    folder.mkdir()
    Life(model(), folder, seed).live(operations)
    return open_store(folder / "agent.db", clock=FakeClock())


def comes_back(model, tmp_path, seed):
    with lived(model, tmp_path / "one", seed) as store, open_store(tmp_path / "two.db", clock=FakeClock()) as copy:
        store.export(tmp_path / "out")
        if not copy.import_(tmp_path / "out").adopted:
            raise AssertionError("an empty store takes over an export")
        copy.export(tmp_path / "again")
        assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "again"), seed
        assert answers(store) == answers(copy), seed
        assert copy.audit.verify(anchors=[store.audit.head()]).anchored_to == store.audit.head()
        assert copy.check().ok, copy.check().findings


def come_together(model, tmp_path, seeds):
    ways = {}
    for number, seed in enumerate(seeds):
        with lived(model, tmp_path / f"life{number}", seed) as store:
            ways[number] = (store.store_id, store.audit.head(), store.export(tmp_path / f"out{number}").path)
    for mode in ("skip", "replace", "error"):
        with open_store(tmp_path / f"{mode}.db", clock=FakeClock()) as store:
            store.import_(ways[0][2])
            before = store.audit.head()
            try:
                first = store.import_(ways[1][2], on_conflict=mode)
            except Exists:
                assert mode != "skip"
                assert store.audit.head() == before
                continue
            assert store.check().ok, (mode, seeds, store.check().findings)
            assert store.audit.verify(anchors=[ways[0][1], before]).ok
            if first.audit_seq is not None and ways[1][1].seq:
                report = store.audit.verify(store_id=ways[1][0], anchors=[ways[1][1]])
                assert report.ok and report.anchored_to == ways[1][1], (mode, seeds, report.findings)
            store.export(tmp_path / f"{mode}-out")
            with open_store() as copy:
                copy.import_(tmp_path / f"{mode}-out")
                copy.export(tmp_path / f"{mode}-again")
                assert bytes_of(tmp_path / f"{mode}-out") == bytes_of(tmp_path / f"{mode}-again")
            if mode == "skip":
                again = store.import_(ways[1][2], on_conflict="skip")
                assert (again.added, again.replaced, again.audit_seq) == ({}, {}, None), seeds
            store.chat.create_conversation(id="after it")
            store.chat.append("after it", "user", "a word that comes last")
            assert store.chat.search("comes last")[0].message.conversation_id == "after it"


@each_room
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_life_leaves_and_comes_back(model, seed, tmp_path):
    comes_back(model, tmp_path, seed)


@each_room
def test_two_lives_come_together(model, tmp_path, rng):
    come_together(model, tmp_path, [rng.randrange(2**32), rng.randrange(2**32)])


@pytest.mark.nightly
@each_room
@pytest.mark.parametrize("which", range(15))
def test_many_lives_leave_come_back_and_come_together(model, which, tmp_path, rng):
    comes_back(model, tmp_path, rng.randrange(2**32))
    come_together(model, tmp_path, [rng.randrange(2**32), rng.randrange(2**32)])
