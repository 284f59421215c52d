"""What was said and what stood behind it: captured, found again, explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from toy_codec import Toy

from memstore import Exists, Invalid, NotFound, open_store
from memstore.kernel import values
from memstore.testing import FakeClock


@pytest.fixture
def memories(store):
    return store.memories


def ids(found):
    return [item.id for item in found]


# -- capture ------------------------------------------------------------------------------------------------------------


def test_every_column_goes_in_and_comes_out(store):
    project = store.chat.create_project("Apollo")
    given = {
        "prompt": "wie?", "response": "so\0", "response_summary": "漢字", "memories_used": ["m-1", "m-2"], "chunks_used": ["c-1"],
        "client": "cli", "session_id": "s-1", "user_id": "ann", "conversation_id": "k-1", "metadata": {"b": [1, None, "ü"]}, "id": "i-1",
        "created_at": 12.5,
    }  # fmt: skip
    captured = store.memories.capture(project="Apollo", context={"pieces": [], "budget": 100}, **{**given, "user_id": None})
    stored = store.memories.get_interaction("i-1")
    assert stored == captured
    assert {name: getattr(stored, name) for name in given} == {**given, "user_id": None}
    assert (stored.context_pack, stored.project, stored.project_id) == ({"pieces": [], "budget": 100}, "Apollo", project.id)


def test_every_column_is_the_same_after_an_export_and_an_import(file_store, tmp_path):
    file_store.memories.capture(
        "wie?", "so", response_summary="kurz", context={"pieces": [{"kind": "memory", "id": "m-1", "version": 3}]}, memories_used=["m-2"],
        chunks_used=["c-1"], client="cli", session_id="s-1", project="Apollo", user_id="ann", conversation_id="k-1", metadata={"a": [1]},
        id="i-1", created_at=12.5,
    )  # fmt: skip
    file_store.export(tmp_path / "out")
    with open_store() as copy:
        copy.import_(tmp_path / "out")
        assert copy.memories.interactions() == file_store.memories.interactions() != []
        assert copy.memories.explain("i-1") == file_store.memories.explain("i-1")


def test_with_a_codec_all_goes_on_as_without():
    answers = []
    for codec in (None, Toy()):
        clock = FakeClock()
        with open_store(clock=clock, codec=codec) as store:
            memories = store.memories
            memories.add("preference", "prefers short answers", id="m-1", confidence=0.5)
            source = memories.capture("how?", "Decision: Prefers short answers\n\nFact: water is wet", memories_used=["m-1"], id="i-1")
            found = [item.content for item in memories.extract_candidates("i-1")]
            said = [item.confidence for item in memories.reinforce("short answers preferred")]
            clock.advance(100 * 86_400.0)
            gone = [item.content for item in memories.expire()]
            answers.append((source, found, said, gone, memories.explain("i-1"), memories.interactions(), memories.decay()))
    assert answers[0] == answers[1]
    assert answers[0][1:4] == (["water is wet"], [0.52], ["water is wet"])


def test_all_but_the_prompt_has_a_default(memories, store_clock):
    captured = memories.capture("how?")
    assert (captured.response, captured.response_summary, captured.client, captured.session_id, captured.project) == ("",) * 5
    assert (captured.project_id, captured.user_id, captured.conversation_id, captured.metadata) == (None,) * 4
    assert (captured.context_pack, captured.memories_used, captured.chunks_used) == ({}, [], [])
    assert captured.created_at == store_clock.now
    assert memories.capture("how?", project="").project_id is None
    assert memories.capture("how?", project="nobody's").project_id == "nobody's"


def test_capturing_changes_no_memory_and_leaves_no_event(store):
    memory = store.memories.add("preference", "I prefer tabs over spaces")
    store.memories.capture("how?", "I prefer tabs over spaces. Decision: use tabs", memories_used=[memory.id])
    assert store.memories.find() == [memory]
    assert store.audit.find(entity_kind="memory") == store.audit.find(entity_kind="interaction") == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt": " \n"}, "prompt is blank"),
        ({"context": "text"}, "context must be a dict"),
        ({"context": {"a": float("nan")}}, "context.a is nan"),
        ({"context": {"pieces": {"kind": "memory"}}}, '"pieces" of context must be a list of objects with "kind" and "id"'),
        ({"context": {"pieces": ["m-1"]}}, r"context.pieces\[0\] must be an object"),
        ({"context": {"pieces": [{"kind": "memory", "id": 7}]}}, r"context.pieces\[0\].id must be str"),
        ({"context": {"pieces": [{"id": "m-1"}]}}, r"context.pieces\[0\].kind must be str, not None"),
        ({"context": {"pieces": [{"kind": "memory", "id": "m", "version": "1"}]}}, r"context.pieces\[0\].version must be an int"),
        ({"memories_used": "m-1"}, "memories_used must be a list of str"),
        ({"chunks_used": ["c-1", ""]}, r"chunks_used\[1\] is blank"),
        ({"created_at": datetime(2026, 1, 1)}, "created_at .* has no time zone"),
        ({"metadata": []}, "metadata must be a dict"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_left(store, given, message):
    with pytest.raises(Invalid, match=message):
        store.memories.capture(**{"prompt": "how?", **given})
    assert store.memories.interactions() == []


def test_an_id_that_is_taken_is_refused_and_nothing_is_left(store):
    first = store.memories.capture("how?", id="i-1")
    with pytest.raises(Exists, match="there is an interaction 'i-1' already"):
        store.memories.capture("other", id="i-1", memories_used=["m-1"])
    assert store.memories.interactions() == [first]
    assert store.query("SELECT * FROM interaction_pieces") == []


def test_the_context_may_be_an_object_that_gives_a_dict(memories):
    pack = SimpleNamespace(to_dict=lambda: {"pieces": [{"kind": "memory", "id": "m-1", "text": "as it was told"}]})
    captured = memories.capture("how?", context=pack)
    assert captured.context_pack == pack.to_dict()
    assert [(piece.kind, piece.id) for piece in memories.explain(captured.id).pieces] == [("memory", "m-1")]


# -- finding ------------------------------------------------------------------------------------------------------------


def test_the_newest_come_first_whatever_order_they_came_in(memories):
    for number, at in enumerate([5.0, 9.0, 5.0, 1.0]):
        memories.capture("how?", id=f"i-{number}", created_at=at)
    assert ids(memories.interactions()) == ["i-1", "i-2", "i-0", "i-3"]
    assert ids(memories.interactions(limit=2)) == ["i-1", "i-2"]
    assert ids(memories.interactions(before="i-2")) == ["i-0", "i-3"]
    assert ids(memories.interactions(before="i-2", limit=1)) == ["i-0"]
    assert memories.interactions(limit=0) == memories.interactions(before="i-3") == []


def test_50_are_found_unless_more_are_asked_for(store):
    with store.transaction():
        for _ in range(53):
            store.memories.capture("how?")
    assert len(store.memories.interactions()) == 50
    assert len(store.memories.interactions(limit=None)) == 53


def test_each_filter_is_exact_but_a_user_also_finds_what_is_nobodys(store):
    store.chat.create_project("Apollo", id="p-1", user_id="ann")
    one = store.memories.capture("how?", project="Apollo", client="cli", session_id="s-1", user_id="ann", conversation_id="c-1")
    two = store.memories.capture("how?", project="Gemini", client="", user_id="bob")
    three = store.memories.capture("how?")
    find = store.memories.interactions
    assert find(project="p-1") == find(project="Apollo", user_id="ann") == find(session_id="s-1") == find(client="cli") == [one]
    assert find(conversation_id="c-1") == [one]
    assert find(project="Gemini") == [two]
    assert find(client="") == find(session_id="") == [three, two]
    assert find(user_id="ann") == [three, one]
    assert find(user_id="ann", project="p-1") == [one]
    assert find(project="unknown") == []


def test_times_are_moments_whatever_their_form(memories):
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    for hours in range(3):
        memories.capture("how?", id=f"i-{hours}", created_at=noon + timedelta(hours=hours))
    elsewhere = (noon + timedelta(hours=1)).astimezone(timezone(timedelta(hours=9)))
    assert ids(memories.interactions(since=elsewhere)) == ["i-2", "i-1"], "since is inclusive"
    assert ids(memories.interactions(until=elsewhere)) == ["i-0"], "until is exclusive"
    assert ids(memories.interactions(since=noon.timestamp(), until=elsewhere.timestamp())) == ["i-0"]
    with pytest.raises(Invalid, match="since .* has no time zone"):
        memories.interactions(since=datetime(2026, 7, 1))


def test_what_is_not_there_is_named_with_the_nearest(memories):
    memories.capture("how?", id="interaction-1")
    for call in (memories.get_interaction, memories.explain, lambda id: memories.interactions(before=id)):
        with pytest.raises(NotFound, match="no interaction 'interaction-2' \\(nearest: 'interaction-1'\\); store.memories.interactions"):
            call("interaction-2")


def test_a_name_that_comes_to_mean_a_project_takes_its_interactions_along(store):
    captured = store.memories.capture("how?", project="Apollo")
    project = store.chat.create_project("Apollo")
    (moved,) = store.memories.interactions(project=project.id)
    assert (moved.id, moved.project_id, moved.project) == (captured.id, project.id, "Apollo")


# -- explaining ---------------------------------------------------------------------------------------------------------


def states(store, interaction):
    return {piece.id: piece.state for piece in store.memories.explain(interaction.id).pieces}


def test_each_piece_is_told_with_its_state_now(store, store_clock):
    memories = store.memories
    names = ("kept", "changed", "superseded", "invalid", "graduated", "expired", "reinforced")
    for name in names:
        memories.add("knowledge", f"what is said of {name}", id=name, valid_until=store_clock.now + 60 if name == "expired" else None)
    memories.add("knowledge", "a mere candidate", id="candidate", status="candidate")
    told = memories.capture("how?", memories_used=[*names, "candidate"])
    before = [(piece.kind, piece.id, piece.version_then, piece.version_now) for piece in memories.explain(told.id).pieces]
    assert before == [("memory", name, 1, 1) for name in (*names, "candidate")]
    assert set(states(store, told).values()) == {"unchanged", "candidate"}
    memories.update("changed", content="another thing")
    memories.supersede("superseded", by="kept")
    memories.invalidate("invalid")
    memories.graduate("graduated", "e-1")
    memories.reinforce("what is said of reinforced")
    store_clock.advance(60)
    assert states(store, told) == {name: name for name in (*names, "candidate")} | {"kept": "unchanged", "reinforced": "unchanged"}
    explained = {piece.id: piece for piece in memories.explain(told.id).pieces}
    assert explained["changed"].now == memories.get("changed")
    assert (explained["changed"].version_then, explained["changed"].version_now) == (1, 2)
    memories.promote("candidate")
    assert states(store, told)["candidate"] == "changed"


def test_pieces_of_other_rooms_are_explained_too(store):
    correction = store.corrections.add("rounding", "round half up")
    retired = store.corrections.add("naming", "snake case")
    state = store.memories.set_state("Apollo", "unit", "metre")
    chat = store.chat.create_conversation()
    message = store.chat.append(chat.id, "user", "hello")
    pieces = [("correction", correction), ("correction", retired), ("project_state", state), ("message", message)]
    context = {"pieces": [{"kind": kind, "id": item.id} for kind, item in pieces]}
    told = store.memories.capture("how?", context=context, chunks_used=["c-1"])
    assert set(states(store, told).values()) == {"unchanged", "unknown"}
    store.corrections.supersede(retired.id)
    store.memories.set_state("Apollo", "unit", "foot")
    explained = store.memories.explain(told.id)
    assert [piece.state for piece in explained.pieces] == ["unchanged", "superseded", "changed", "unchanged", "unknown"]
    assert [piece.now for piece in explained.pieces][0] == store.corrections.get(correction.id)
    assert explained.pieces[-1].now is None
    assert explained.interaction == told
    assert explained.to_dict()["pieces"][0]["now"]["claim"] == "round half up"


def test_what_is_gone_is_told_as_gone(store):
    item = store.corrections.add("rounding", "round half up", confidence=0.1)
    told = store.memories.capture("how?", context={"pieces": [{"kind": "correction", "id": item.id, "text": "round half up"}]})
    store.corrections.prune(0.5)
    (piece,) = store.memories.explain(told.id).pieces
    assert (piece.id, piece.state, piece.version_then, piece.version_now, piece.now) == (item.id, "erased", 1, None, None)
    assert told.context_pack["pieces"][0]["text"] == "round half up"


def test_a_piece_told_several_times_is_one_and_keeps_the_version_that_it_was_told_with(memories):
    item = memories.add("knowledge", "water is wet", id="m-1")
    memories.update("m-1", content="water is wet indeed")
    context = {"pieces": [{"kind": "memory", "id": "m-1", "version": 1}, {"kind": "memory", "id": "m-1"}, {"kind": "chunk", "id": "m-1"}]}
    told = memories.capture("how?", context=context, memories_used=["m-1", "m-1"])
    assert told.memories_used == ["m-1", "m-1"]
    explained = [(piece.kind, piece.state, piece.version_then) for piece in memories.explain(told.id).pieces]
    assert explained == [("memory", "changed", 1), ("chunk", "unknown", None)]
    assert item.version == 1


def test_ids_that_are_not_here_are_not_compared_with_those_that_are(store, monkeypatch):
    store.memories.add("knowledge", "tea")
    monkeypatch.setattr(values, "suggest", lambda *_: pytest.fail("nobody reads the suggestion"))
    source = store.memories.capture("q", "a", memories_used=["gone"], context={"pieces": [{"kind": "entity", "id": "no"}]})
    assert {piece.state for piece in store.memories.explain(source.id).pieces} == {"unknown"}
