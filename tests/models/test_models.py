"""Each room lives random lives beside its model: a store that differs from plain dicts in any answer fails here.

A failure shows the seed and the last calls. `pytest tests/models --seed N` replays a random life; fixed ones are the same every time.
"""

from __future__ import annotations

import inspect

import pytest

from memstore import open_store

from .audit import Audit
from .backups import Backups
from .chat import Chat
from .corrections import Corrections
from .evals import Evals
from .harness import Life, lookup, public, twins
from .keywords import Keywords
from .memories import Memories

MODELS = (Audit, Backups, Chat, Corrections, Evals, Keywords, Memories)

each_room = pytest.mark.parametrize("model", MODELS, ids=[model.room for model in MODELS])


@each_room
def test_each_public_method_has_a_twin_with_the_same_parameters(model):
    with open_store() as store:
        room = type(getattr(store, model.room))
    own = {name for name in twins(model()) if "__" not in name}
    assert own == public(room) - model.beyond
    for name in sorted(own):
        real, twin = (_parameters(getattr(cls, name)) for cls in (room, model))
        assert real == twin, name


@each_room
def test_each_parameter_is_drawn(model):
    for name in sorted(twins(model())):
        for parameter in _parameters(getattr(model, name)):
            assert parameter[0] in model.undrawn or lookup(model.pools, name, parameter[0]), f"{name}: {parameter[0]}"


def _parameters(method):
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [(parameter.name, parameter.kind, parameter.default is parameter.empty) for parameter in parameters]


@each_room
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_fixed_life_agrees_with_the_model(model, seed, tmp_path):
    Life(model(), tmp_path, seed).live(300)


@each_room
def test_a_random_life_agrees_with_the_model(model, tmp_path, rng):
    Life(model(), tmp_path, rng.randrange(2**32)).live(300)


#: What a room could forget without any error of its own.
FORGETFUL = (
    (Audit, "history", lambda self, kind, id: self.find(entity_kind=kind, entity_id=id, limit=None)),
    (Backups, "latest", lambda self, conversation_id, specialist=None: next(iter(self.find(conversation_id=conversation_id)), None)),
    (Chat, "_forget", lambda *_, **__: None),
    (Corrections, "_reject", lambda *_: 0),
    (Evals, "_log", lambda *_: None),
    (Keywords, "_mark", lambda *_, **__: None),
    (Memories, "_refuse_rejected", lambda *_: None),
)


@pytest.mark.damage
@pytest.mark.parametrize(("model", "method", "forgetful"), FORGETFUL, ids=[model.room for model, *_ in FORGETFUL])
def test_a_forgetful_room_is_found_out(model, method, forgetful, tmp_path, monkeypatch):
    with open_store() as store:
        monkeypatch.setattr(type(getattr(store, model.room)), method, forgetful)
    with pytest.raises(AssertionError, match="differ"):
        Life(model(), tmp_path, 1).live(300)


@pytest.mark.nightly
@each_room
@pytest.mark.parametrize("which", range(20))
def test_a_long_life_agrees_with_the_model(model, which, tmp_path, rng):
    Life(model(), tmp_path, f"{rng.randrange(2**32)} {which}").live(2_000)
