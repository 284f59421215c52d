"""Conflicts that travel: taken in beside others, without what was erased or set aside, and under a codec."""

from __future__ import annotations

import pytest
from toy_codec import Toy

from memstore import Exists, open_store
from memstore.testing import FakeClock


def furnish(store, *contents, **more):
    """Memories by the ids a, b, c ..., and the pairs that name them."""
    ids = "abcdef"[: len(contents)]
    return [("memory", store.memories.add("preference", said, id=id, **more).id) for id, said in zip(ids, contents, strict=True)]


@pytest.fixture
def exported(tmp_path):
    """An export with a conflict of three sides that was assessed, and a contradiction."""
    with open_store(clock=FakeClock()) as store:
        pairs = furnish(store, "vim", "emacs", "nano")
        store.conflicts.open("editor", "hers", members=pairs, note="exported", id="z1")
        store.conflicts.assess("z1", "likely")
        store.conflicts.contradict("a", "b", kind="memory", note="exported", id="z2")
        store.export(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def other():
    """A store that has the same memories, an open conflict on the same slot and one of the same pair, under other ids."""
    with open_store(clock=FakeClock()) as store:
        pairs = furnish(store, "vim", "emacs", "nano")
        store.conflicts.open("editor", "hers", members=pairs[:2], note="ours", id="o1")
        store.conflicts.assess("o1", "unlikely")
        store.conflicts.contradict("b", "a", kind="memory", note="ours", id="o2")
        yield store


def told(store):
    return {item.id: (item.note, [member.member_id for member in item.members], item.state) for item in store.conflicts.find()}


def test_what_is_open_on_both_sides_is_one_conflict_and_ours_stays(exported, other):
    report = other.import_(exported, on_conflict="skip")
    assert told(other) == {"o1": ("ours", ["a", "b"], "unlikely"), "o2": ("ours", ["a", "b"], "detected")}
    skipped = {table: count for table, count in report.skipped.items() if table.startswith("conflict")}
    assert skipped == {"conflicts": 2, "conflict_members": 5, "conflict_assessments": 1}


def test_replaced_it_has_the_sides_and_assessments_of_the_export(exported, other):
    report = other.import_(exported, on_conflict="replace")
    assert told(other) == {"o1": ("exported", ["a", "b", "c"], "likely"), "o2": ("exported", ["a", "b"], "detected")}
    replaced = {table: count for table, count in report.replaced.items() if table.startswith("conflict")}
    assert replaced == {"conflicts": 2, "conflict_members": 5, "conflict_assessments": 1}
    assert not any(table.startswith("conflict") for table in report.added)
    assert [item.decision for item in other.conflicts.assessments("o1")] == ["likely"]


def test_as_an_error_it_changes_nothing(exported):
    with open_store(clock=FakeClock()) as other:
        pairs = [{"member_kind": "memory", "member_id": id, "value_snapshot": id} for id in "ab"]
        other.conflicts.open("editor", "hers", members=pairs, id="o1")
        with pytest.raises(Exists, match="the store has 'z1' in conflicts already"):
            other.import_(exported)
        assert set(told(other)) == {"o1"}
        assert other.memories.count() == 0


def test_an_open_one_of_the_export_cannot_take_the_place_of_two(exported, other):
    other.conflicts.open("editor", "his", members=[("memory", "a"), ("memory", "b")], id="z1")
    with pytest.raises(Exists, match="'z1' of conflicts in the export says what another one says here; supersede or close one"):
        other.import_(exported, on_conflict="replace")


def test_what_is_closed_here_or_there_comes_beside_it(exported, other):
    for id in ("o1", "o2"):
        other.conflicts.resolve(id, "dismiss")
    other.import_(exported, on_conflict="skip")
    assert set(told(other)) == {"o1", "o2", "z1", "z2"}
    assert other.conflicts.open("editor", "hers", members=[("memory", "a"), ("memory", "b")]).id == "z1", "its slot is known by its digest"


@pytest.mark.parametrize("kind", ["user", "project"])
def test_a_side_that_was_erased_stays_out_and_one_alone_is_no_conflict(tmp_path, kind):
    owner = "ann.lovelace@example.org"
    owned = {"user_id": owner} if kind == "user" else {"project": owner}
    with open_store(clock=FakeClock()) as store:
        if kind == "project":
            store.chat.create_project("Apollo", id=owner)
        mine = [("memory", store.memories.add("preference", "vim", id="mine", **owned).id)]
        pairs = furnish(store, "emacs", "nano")
        store.conflicts.open("editor", "two", members=[*mine, pairs[0]], id="two")
        store.conflicts.assess("two", "likely")
        store.conflicts.open("editor", "three", members=[*mine, *pairs], id="three")
        store.conflicts.open("editor", "own", members=pairs, id="own", **owned)
        store.export(tmp_path / "out")
        store.erase(**({"user_id": owner} if kind == "user" else {"project": owner}))
        assert set(told(store)) == {"three"}
        report = store.import_(tmp_path / "out", on_conflict="skip")
        assert told(store) == {"three": ("", ["a", "b"], "detected")}
        assert {name: report.erased[name] for name in ("conflicts", "conflict_members", "conflict_assessments")} == {
            "conflicts": 2, "conflict_members": 5, "conflict_assessments": 1,
        }  # fmt: skip
        assert report.skipped["conflict_members"] == 2
        assert not any(table.startswith("conflict") for table in report.added)
        assert store.check().findings == []


def test_a_user_s_export_has_the_conflicts_of_that_user(tmp_path):
    with open_store(clock=FakeClock()) as store, open_store(clock=FakeClock()) as copy:
        pairs = furnish(store, "vim", "emacs", user_id="ann")
        for user in ("ann", "bob", None):
            store.conflicts.open("editor", "hers", members=pairs, user_id=user, id=f"of {user}")
        store.export(tmp_path / "out", user_id="ann")
        copy.import_(tmp_path / "out")
        assert [(item.id, len(item.members)) for item in copy.conflicts.find()] == [("of ann", 2)]


# -- under a codec ------------------------------------------------------------------------------------------------------


def test_with_a_codec_no_word_of_a_conflict_is_in_the_file_and_slots_are_found_all_the_same(tmp_path, searcher):
    words = ("vimquagga", "emacsokapi", "slotaxolotl", "notenarwhal", "codeibex", "metacivet", "assessedlynx")
    rule = lambda memory: ("slotaxolotl", memory.content)  # noqa: E731
    path, clock = tmp_path / "agent.db", FakeClock()
    with open_store(path, codec=Toy(), clock=clock) as store:
        store.conflicts.rule("editor", rule, kinds=["memory"])
        first, second = (store.memories.add("preference", f"{word} is it") for word in words[:2])
        (clash,) = store.conflicts.find()
        assert (clash.slot_key, [member.claim_value for member in clash.members]) == (words[2], [first.content, second.content])
        pairs = [("memory", first.id), ("memory", second.id)]
        assert store.conflicts.open("editor", words[2], members=pairs).id == clash.id
        store.conflicts.open("shell", words[2], members=pairs, note=words[3], metadata={"a": words[5]})
        store.conflicts.assess(clash.id, "likely", reason_codes=[words[4]], note=words[6])
        store.conflicts.resolve(clash.id, "no_action", note=words[3])
        assert searcher(store, *words) == []
        hashes = store.query("SELECT slot_hash FROM conflicts ORDER BY pk")
        store.rekey(Toy(b"second"))
        assert store.query("SELECT slot_hash FROM conflicts ORDER BY pk") == hashes
        assert store.conflicts.detect() == [], "what was left is still known"
    with open_store(path, codec=Toy(b"second"), clock=clock) as store:
        store.conflicts.rule("editor", rule, kinds=["memory"])
        assert store.conflicts.detect() == []
        store.memories.update(first.id, content="vimquagga was it")
        assert [item.slot_key for item in store.conflicts.find(status="open", slot_kind="editor")] == [words[2]]
        assert searcher(store, *words) == []
