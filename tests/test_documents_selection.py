"""Selection: what a conversation says goes before what its user says, and saying nothing is not saying no."""

from __future__ import annotations

import pytest
from toy_codec import Toy

from memstore import Invalid, NotFound, open_store
from memstore.testing import FakeClock

NAMES = ("delta", "amber", "cedar", "basalt")


@pytest.fixture
def room(store):
    """The documents d1 to d4, and h, which is hidden."""
    for number, name in enumerate(NAMES, 1):
        store.documents.add_text(f"the text of {name}", uri=f"file:/{number}", display_name=name, id=f"d{number}")
    store.documents.remove(store.documents.add_text("gone", uri="file:/h", display_name="all", id="h").id)
    return store.documents


def ids(documents):
    return [document.id for document in documents]


def test_where_nobody_has_said_anything_all_that_is_not_hidden_is_wanted_by_name(room):
    for whose in ({}, {"user_id": "ann"}, {"conversation_id": "c"}, {"user_id": "ann", "conversation_id": "c"}):
        assert ids(room.selected(**whose)) == ["d2", "d4", "d3", "d1"]
    assert ids(room.selected(limit=2)) == ["d2", "d4"] and room.selected(limit=0) == []


def test_a_conversation_goes_before_its_user_and_a_user_before_the_rest(room):
    assert room.select(["d1", "d2"], False, user_id="ann") == 2
    assert room.select(["d1"], True, conversation_id="c") == 1
    assert room.select(["d3"], False, conversation_id="c") == 1
    assert ids(room.selected()) == ids(room.selected(user_id="bob")) == ["d2", "d4", "d3", "d1"]
    assert ids(room.selected(user_id="ann")) == ["d4", "d3"]
    assert ids(room.selected(conversation_id="c")) == ["d2", "d4", "d1"]
    assert ids(room.selected(user_id="ann", conversation_id="c")) == ["d4", "d1"]
    assert ids(room.selected(user_id="ann", conversation_id="another")) == ["d4", "d3"]


def test_to_clear_is_not_to_say_no(room):
    room.select("d1", False, user_id="ann")
    room.select("d1", True, conversation_id="c")
    assert room.is_selected("d1", user_id="ann", conversation_id="c")
    assert room.select("d1", None, conversation_id="c") == 1
    assert not room.is_selected("d1", user_id="ann", conversation_id="c")
    assert room.select("d1", None, user_id="ann") == 1
    assert room.is_selected("d1", user_id="ann", conversation_id="c") and room.selections() == []


def test_bad_and_hidden_documents_are_refused_by_name_before_anything_is_written(room):
    room.select(["d1"], True, user_id="ann")
    for enabled in (False, None):
        with pytest.raises(NotFound, match="no document 'nope', 'neither'; hidden until added again: 'h'"):
            room.select(["d1", "nope", "h", "d2", "neither"], enabled, user_id="ann")
    assert [(item.document_id, item.enabled) for item in room.selections()] == [("d1", True)]
    with pytest.raises(NotFound, match="and 5 more"):
        room.select([f"nope-{number}" for number in range(25)], True, user_id="ann")


def test_a_choice_is_of_one_user_or_of_one_conversation(room):
    for whose in ({}, {"user_id": "ann", "conversation_id": "c"}):
        with pytest.raises(Invalid, match="either user_id or conversation_id"):
            room.select(["d1"], True, **whose)
    assert room.selections() == []


def test_it_counts_what_is_news_and_one_event_tells_of_it(store, room):
    assert room.select(["d1", "d2", "d1"], True, user_id="ann", actor="ann", note="mine") == 2
    assert room.select(["d1", "d2"], True, user_id="ann") == 0
    assert room.select(["d1", "d2", "d3"], False, user_id="ann") == 3
    assert room.select(["d1", "d4"], None, user_id="ann") == 1
    assert room.select([], True, user_id="ann") == 0
    told = [(event.event_type, event.before, event.after) for event in store.audit.history("selection", "ann")]
    assert told == [
        ("selection.set", {"d1": None, "d2": None}, {"d1": True, "d2": True}),
        ("selection.set", {"d1": True, "d2": True, "d3": None}, {"d1": False, "d2": False, "d3": False}),
        ("selection.clear", {"d1": False}, {"d1": None}),
    ]
    first = store.audit.history("selection", "ann")[0]
    assert (first.actor, first.note, first.user_id, first.conversation_id) == ("ann", "mine", "ann", None)


def test_what_was_said_is_listed_newest_first_and_by_page(room, store_clock):
    room.select(["d1", "d2"], False, user_id="ann")
    store_clock.advance(1)
    room.select("d3", True, conversation_id="c")
    room.select("d3", True, user_id="bob")
    pages = room.selections(limit=2)
    pages += room.selections(limit=2, before=pages[-1].id)
    assert [(item.document_id, item.user_id, item.conversation_id) for item in pages] == [
        ("d3", "bob", None), ("d3", None, "c"), ("d2", "ann", None), ("d1", "ann", None),
    ]  # fmt: skip
    assert room.selections(user_id="ann", conversation_id="c") == pages[1:2] + pages[2:]
    assert room.selections(user_id="ann") == pages[2:] and room.selections(conversation_id="c") == pages[1:2]
    with pytest.raises(NotFound, match="nope"):
        room.selections(before="nope")


def test_a_change_of_mind_keeps_the_choice_and_says_when(room, store_clock):
    room.select("d1", False, user_id="ann")
    (first,) = room.selections()
    store_clock.advance(5)
    room.select("d1", True, user_id="ann")
    (second,) = room.selections()
    assert (second.id, second.created_at, second.updated_at) == (first.id, first.created_at, first.updated_at + 5)


def test_hidden_documents_and_those_of_others_are_not_selected(store, room):
    store.chat.create_project("Apollo", id="p1")
    room.add_text("of Ann", user_id="ann", display_name="a", id="a")
    room.add_text("of Apollo", project="Apollo", display_name="b", id="b")
    room.select(["a", "d1"], True, user_id="bob")
    assert "a" in ids(room.selected(user_id="ann")) and room.is_selected("a", user_id="ann")
    assert "a" not in ids(room.selected(user_id="bob")) and not room.is_selected("a", user_id="bob")
    room.add_text("of another", project="moon", id="m")
    assert ids(room.selected(project="Apollo", user_id="bob")) == ["d2", "b", "d4", "d3", "d1"]
    room.remove("d1")
    assert not room.is_selected("d1", user_id="bob") and "d1" not in ids(room.selected(user_id="bob"))
    with pytest.raises(NotFound):
        room.is_selected("nope")


def test_a_search_goes_by_it(room):
    room.select(["d1", "d2"], False, user_id="ann")
    room.select("d1", True, conversation_id="c")
    assert {hit.document.id for hit in room.search("text", user_id="ann")} == {"d3", "d4"}
    assert {hit.document.id for hit in room.search("text", user_id="ann", conversation_id="c")} == {"d1", "d3", "d4"}


def test_under_a_codec_they_come_by_name_too():
    with open_store(codec=Toy(), clock=FakeClock()) as store:
        for name in NAMES:
            store.documents.add_text(name, display_name=name)
        assert [document.display_name for document in store.documents.selected()] == sorted(NAMES)


# -- the tables that this comes from ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["user_id", "conversation_id"])
def test_every_column_of_the_two_tables_is_kept(store, room, tmp_path, tier):
    """user_document_defaults and conversation_document_overrides."""
    row = {tier: "17", "document_id": "d1", "enabled": False, "updated_at": 1_700_000_000.0}
    room.select(row["document_id"], row["enabled"], updated_at=row["updated_at"], **{tier: row[tier]})
    store.export(tmp_path / "out")
    with open_store(clock=FakeClock()) as copy:
        copy.import_(tmp_path / "out")
        for found in (room.selections(), copy.documents.selections()):
            assert [{name: getattr(item, name) for name in row} for item in found] == [row]


# -- a plain twin -------------------------------------------------------------------------------------------------------


class Twin:
    """What is wanted, in plain dicts."""

    def __init__(self, documents):
        self.documents, self.hidden, self.users, self.conversations = dict(documents), set(), {}, {}

    def select(self, ids, enabled, user, conversation):
        if any(id in self.hidden or id not in self.documents for id in ids):
            return None
        said, whose = (self.users, user) if conversation is None else (self.conversations, conversation)
        news = {id for id in ids if said.get((whose, id)) is not enabled}
        for id in news:
            said.pop((whose, id), None) if enabled is None else said.update({(whose, id): enabled})
        return len(news)

    def selected(self, user, conversation):
        found = [id for id in self.documents if id not in self.hidden]
        found = [id for id in found if self.conversations.get((conversation, id), self.users.get((user, id), True))]
        return sorted(found, key=self.documents.__getitem__)


def test_it_is_what_a_plain_dict_says(rng, file_store):
    room = file_store.documents
    names = {f"d{number}": f"name {number * 7 % 10}" for number in range(8)}
    for id, name in names.items():
        room.add_text(f"text of {id}", uri=id, display_name=name, id=id)
    twin = Twin(names)
    with file_store.transaction():
        for _ in range(150):
            if rng.random() < 0.1:
                id = rng.choice([*names])
                if id in twin.hidden:
                    room.add_text(f"text of {id}", uri=id)
                    twin.hidden.discard(id)
                else:
                    room.remove(id)
                    twin.hidden.add(id)
                continue
            ids_ = [rng.choice([*names, *names, "nope"]) for _ in range(rng.randrange(4))]
            user, conversation = rng.choice([("ann", None), ("bob", None), (None, "c"), (None, "e")])
            enabled = rng.choice([True, False, None])
            try:
                got = room.select(ids_, enabled, user_id=user, conversation_id=conversation)
            except NotFound:
                got = None
            assert got == twin.select(ids_, enabled, user, conversation)
            whose = rng.choice([None, "ann", "bob"]), rng.choice([None, "c", "e"])
            wanted = twin.selected(*whose)
            assert ids(room.selected(user_id=whose[0], conversation_id=whose[1])) == wanted
            one = rng.choice([*names])
            assert room.is_selected(one, user_id=whose[0], conversation_id=whose[1]) is (one in wanted)
