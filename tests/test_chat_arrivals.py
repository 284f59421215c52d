"""Where the message with a number is: runs of numbers and keys that rise together, however conversations take turns."""

from __future__ import annotations

import random
from collections import UserDict

import pytest

from memstore import Invalid, NotFound, open_store
from memstore.chat.places import arrival_in, last_arrival, new_message_ids

RUNS = "SELECT first, pk FROM arrivals ORDER BY first"


@pytest.fixture
def two(store):
    return [store.chat.create_conversation(id=name).id for name in ("a", "b")]


def runs(store):
    return [(row["first"], row["pk"]) for row in store.query(RUNS)]


def test_only_the_first_message_of_a_run_writes_where_it_is(store, two):
    store.chat.append("a", "user", "one")
    before = runs(store)
    store.chat.append("a", "user", "two")
    store.chat.append_many("a", [{"role": "user", "content": str(number)} for number in range(500)])
    assert runs(store) == before
    store.chat.append("b", "user", "there")
    store.chat.append("a", "user", "and back")
    assert len(runs(store)) == len(before) + 2


def test_a_new_title_ends_a_run_and_takes_a_number(store, two):
    first = store.chat.append("a", "user", "one").id
    store.chat.rename("a", "x")
    store.chat.rename("a", "y")
    second = store.chat.append("a", "user", "two").id
    assert arrival_in(second) == arrival_in(first) + 3
    assert store.chat.get_message(second).content == "two"
    assert store.chat.check() == []


def test_what_was_popped_leaves_no_number_for_others(store, two):
    given = [store.chat.append("a", "user", str(number)).id for number in range(3)]
    store.chat.pop("a")
    after = store.chat.append("b", "user", "x").id
    assert arrival_in(after) == arrival_in(given[-1]) + 1
    store.chat.pop("b")
    assert arrival_in(store.chat.append("a", "user", "y").id) == arrival_in(after) + 1
    with pytest.raises(NotFound):
        store.chat.get_message(given[-1])


def test_a_number_that_is_no_message_leads_to_none(store, two):
    """It lies behind the end of a run, whose next key is taken later by a message with another number."""
    first = store.chat.append("a", "user", "one").id
    store.chat.rename("b", "takes a number")
    second = store.chat.append("a", "user", "two").id
    numbers = range(arrival_in(first), arrival_in(second) + 2)
    wanted = [(numbers[0], first), (numbers[2], second)]
    with store.chat.db.read() as conn:
        assert [item[:2] for item in store.chat.texts.items(conn, list(numbers))] == wanted
        assert store.chat.texts.texts(conn, 0, numbers[-1], 10) == [(numbers[0], "one"), (numbers[2], "two")]


@pytest.mark.parametrize("first", [1, (1 << 16) - 3, (1 << 30) - 3, 5 * (1 << 30) + (1 << 16) - 1])
def test_made_ids_hold_their_numbers_and_sort_by_them(first):
    made = new_message_ids(1_700_000_000.5, first, 70_000, 7)
    assert [arrival_in(message_id) for message_id in made] == list(range(first, first + 70_000))
    assert made == sorted(set(made))
    assert {(len(message_id), message_id[14], message_id[19] in "89ab") for message_id in made} == {(36, "7", True)}


def test_an_id_that_a_rollback_gave_up_is_not_made_again(store, two, store_clock):
    given = []
    for _ in range(3):
        with pytest.raises(Invalid), store.transaction():
            given.append(store.chat.append("a", "user", "x").id)
            raise Invalid("on purpose")
    given.append(store.chat.append("a", "user", "x").id)
    assert {arrival_in(message_id) for message_id in given} == {arrival_in(given[0])}
    assert len(set(given)) == 4


class Model:
    """Every message that was stored, in order of arrival, and what is left of each conversation."""

    def __init__(self):
        self.arrived = []  # (number, message)
        self.left = {}

    def add(self, conn, messages):
        for back, message in enumerate(reversed(messages)):
            self.arrived.append((last_arrival(conn) - back, message))
            self.left.setdefault(message.conversation_id, []).append(message)
        count = len(messages)
        for held in (self.arrived, self.left[messages[0].conversation_id]):
            held[-count:] = reversed(held[-count:])

    def remove(self, gone):
        self.arrived = [(number, message) for number, message in self.arrived if message.id not in gone]
        for name, held in self.left.items():
            self.left[name] = [message for message in held if message.id not in gone]


def turn(rng, store, model, step):
    chat = store.chat
    name = rng.choice(list(model.left))
    kind = rng.randrange(12)
    if kind < 4:
        messages = [chat.append(name, "user", f"s{step}", id=f"given-{step}" if kind == 0 else None)]
    elif kind < 7:
        said = [{"role": "user", "content": f"m{step}.{place}"} for place in range(rng.randint(1, 9))]
        if kind == 6:
            said[0]["name"] = "somebody"
        messages = chat.append_many(name, said)
    elif kind == 7:
        newest = chat.pop(name)
        return model.remove([] if newest is None else [newest.id])
    elif kind == 8:
        model.left[chat.create_conversation().id] = []
        return None
    elif kind == 9:
        chat.rename(name, f"t{step}")
        return None
    elif kind == 10 and rng.random() < 0.2:
        chat.clear(name)
        return model.remove([message.id for message in model.left[name]])
    else:
        with pytest.raises(Invalid), store.transaction():
            chat.append(name, "user", "rolled back")
            chat.append(rng.choice(list(model.left)), "user", "rolled back too")
            raise Invalid("on purpose")
        return None
    with chat.db.read() as conn:
        model.add(conn, messages)
    return None


def test_numbers_places_and_ids_agree_with_a_model(tmp_path, rng):
    path, model = tmp_path / "a.db", Model()
    for _ in range(3):
        with open_store(path) as store:
            model.left.setdefault(store.chat.create_conversation().id, [])
            for step in range(100):
                turn(rng, store, model, f"{len(model.left)}-{len(model.arrived)}-{step}-{rng.random()}")
            compare(rng, store, model)


def compare(rng: random.Random, store, model):
    chat = store.chat
    for name, held in model.left.items():
        assert chat.messages(name, limit=None) == held
    with chat.db.read() as conn:
        for _ in range(50):
            after, upto = sorted(rng.randint(0, last_arrival(conn)) for _ in range(2))
            wanted = [(number, message.content) for number, message in model.arrived if after < number <= upto]
            assert chat.texts.texts(conn, after, upto, 10_000) == wanted
            assert chat.texts.texts(conn, after, upto, 3) == wanted[:3]
        found = {item[0]: item[1] for item in chat.texts.items(conn, list(range(last_arrival(conn) + 3)))}
        assert found == {number: message.id for number, message in model.arrived}
        assert [chat.texts.number(conn, message.id) for _, message in model.arrived] == [number for number, _ in model.arrived]
    assert chat.check() == []


# -- checked all at once ------------------------------------------------------------------------------------------------


class Loud(str):
    __slots__ = ()


PLAIN = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "item", "content": "x"},
        {"role": Loud("user"), "content": Loud("x")},
        {"role": "assistant", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "y"}]},
        {"role": "user", "name": "n"},
        {"content": "no role", "type": "message"},
        {"role": "user", "content": "x", "name": "n"},
        UserDict(PLAIN),
        {},
    ],
)
def test_one_odd_message_among_plain_ones_is_kept_as_it_came_in(store, two, odd):
    said = [PLAIN, odd, PLAIN]
    stored = store.chat.append_many("a", said)
    assert [message.to_openai() for message in stored] == [dict(message) for message in said]
    assert store.chat.messages("a") == stored
    assert {type(message.content) for message in stored} == {str}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"role": "user", "content": "x\ud800"}, "content holds a lone surrogate at character 1"),
        ({"role": "nobody", "content": "x"}, "role 'nobody' is none of"),
        ({"role": [], "content": "x"}, "role"),
        ("text", "message must be a mapping"),
        (None, "message must be a mapping"),
        (7, "message must be a mapping"),
    ],
)
def test_one_wrong_message_among_plain_ones_is_named_and_nothing_is_stored(store, two, wrong, said):
    with pytest.raises(Invalid, match=said):
        store.chat.append_many("a", [PLAIN, wrong, PLAIN])
    assert store.chat.messages("a") == []
