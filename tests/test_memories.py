"""Memories: identity, life, rejection, merging, search, and what is left when a call fails."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from memstore import Exists, Invalid, NotFound, ReadOnly, RejectedClaim, VersionConflict, open_store
from memstore.kernel.lifecycle import STATUSES, WAYS

DAY = 86_400.0
TYPES = ("identity", "preference", "project", "episodic", "knowledge", "adaptation")


@pytest.fixture
def memories(store):
    return store.memories


def said(items):
    return [item.content for item in items]


def events(store, id, kind="memory"):
    return [(event.event_type, event.actor, event.note) for event in store.audit.history(kind, id)]


def tables(store):
    """All rows of the room and the log, to see that a failed call left nothing."""
    present = {row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    names = ("memories", "memory_words", "interactions", "interaction_pieces", "project_state", "audit_log")
    return {name: store.query(f"SELECT * FROM {name}") for name in names if name in present}


# -- add ----------------------------------------------------------------------------------------------------------------

#: Every column that a caller can give, with a value that is not its default.
GIVEN = {
    "memory_type": "episodic", "content": "Größe 測る", "user_id": "ann", "conversation_id": "c1", "confidence": 0.25,
    "status": "candidate", "domain_tags": ["optics", "軟件"], "valid_until": 2e9, "source_chunk_id": "chunk-1", "interaction_id": "i1",
    "rule": "heading", "extractor_version": "rules-1", "metadata": {"b": [1, None, "ü"]}, "id": "my id", "created_at": 12.5,
    "updated_at": 13.5, "reference_count": 3, "last_referenced_at": 14.5, "decayed_at": 16.5,
}  # fmt: skip
HISTORY = (
    {"status": "superseded", "superseded_by": "another"},
    {"status": "graduated", "graduated_to_entity_id": "entity"},
    {"status": "invalid", "expired_at": 15.5},
)
#: The columns of AtoCore's table, by their own names.
SEED = {
    "id", "memory_type", "content", "project", "source_chunk_id", "confidence", "status", "last_referenced_at", "reference_count",
    "created_at", "updated_at", "domain_tags", "valid_until", "graduated_to_entity_id",
}  # fmt: skip


def test_every_column_goes_in_and_comes_out_also_of_an_export(store, tmp_path):
    added = [store.memories.add(**{**GIVEN, **more, "id": f"m{n}"}, project="apollo") for n, more in enumerate(({}, *HISTORY))]
    store.export(tmp_path / "out")
    with open_store() as copy:
        copy.import_(tmp_path / "out")
        for where in (store, copy):
            for number, more in enumerate(({}, *HISTORY)):
                stored = where.memories.get(f"m{number}")
                given = {**GIVEN, **more, "id": f"m{number}", "project": "apollo", "project_id": "apollo"}
                assert {name: getattr(stored, name) for name in given} == given
                assert stored == added[number]
                assert all(hasattr(stored, name) for name in SEED)


def test_what_is_not_given_has_the_defaults_of_the_seed(memories, store_clock):
    added = memories.add("knowledge", "water is wet")
    assert memories.get(added.id) == added
    assert (added.confidence, added.status, added.project, added.reference_count, added.domain_tags) == (1.0, "active", "", 0, [])
    assert (added.created_at, added.updated_at, added.version) == (store_clock.now, store_clock.now, 1)


@pytest.mark.parametrize("memory_type", TYPES)
def test_each_type_is_kept_and_found(memories, memory_type):
    added = memories.add(memory_type, "c")
    memories.add(TYPES[TYPES.index(memory_type) - 1], "c")
    assert memories.find(memory_type=memory_type) == [added]


def test_the_same_in_the_same_state_is_returned_as_it_is(memories, store):
    first = memories.add("preference", "Short  ANSWERS", confidence=0.5, project="p", user_id="ann")
    before = tables(store)
    assert memories.add("preference", " short answers\n", confidence=0.9, project="p", user_id="ann", id="other") == first
    assert tables(store) == before
    for other in ({"project": "q"}, {"project": None}, {"user_id": "bob"}, {"user_id": None}, {"memory_type": "adaptation"}):
        assert memories.add(**{"memory_type": "preference", "content": "short answers", "project": "p", "user_id": "ann", **other}) != first
    candidate = memories.add("preference", "short answers", project="p", user_id="ann", status="candidate")
    assert (candidate.id != first.id, candidate.status) == (True, "candidate")
    assert memories.count() == 7


def test_history_from_elsewhere_is_stored_as_it_is(memories, store):
    memories.add("knowledge", "a fact", status="invalid")
    for status in ("superseded", "invalid", "graduated"):
        for _ in range(2):
            memories.add("knowledge", "a fact", status=status)
    assert memories.count() == 7
    assert store.query("SELECT * FROM memory_words") == []
    with pytest.raises(Invalid, match="superseded_by is of memories with status 'superseded', and this one is 'active'"):
        memories.add("knowledge", "b", superseded_by="x")
    with pytest.raises(Invalid, match="expired_at is of memories with status 'invalid'"):
        memories.add("knowledge", "b", status="candidate", expired_at=1.0)


def test_tags_are_lower_case_trimmed_and_once_each(memories):
    assert memories.add("project", "c", domain_tags=(" Optics", "optics ", "Firmware")).domain_tags == ["optics", "firmware"]
    assert memories.add("project", "d", domain_tags=[f"T{n % 10}" for n in range(30)]).domain_tags == [f"t{n}" for n in range(10)]
    with pytest.raises(Invalid, match="domain_tags has 11 tags; at most 10"):
        memories.add("project", "e", domain_tags=map(str, range(11)))
    with pytest.raises(Invalid, match=r"domain_tags\[1\] is blank"):
        memories.add("project", "e", domain_tags=["a", " "])


def test_a_name_an_alias_and_an_id_of_a_project_are_one(store, memories):
    store.chat.create_project("Apollo", id="p1")
    store.chat.alias("Apollo", "moon")
    added = [memories.add("project", "c", project=name) for name in ("Apollo", "moon", "p1")]
    assert {item.id for item in added} == {added[0].id}
    assert (added[0].project_id, added[0].project) == ("p1", "p1")
    assert memories.find(project="moon") == [added[0]]
    assert memories.count(project="nobody's") == 0


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ("2026-07-01", datetime(2026, 7, 2, tzinfo=UTC).timestamp()),
        (date(2026, 7, 1), datetime(2026, 7, 2, tzinfo=UTC).timestamp()),
        (datetime(2026, 7, 1, 6, tzinfo=UTC), datetime(2026, 7, 1, 6, tzinfo=UTC).timestamp()),
        (1.5, 1.5),
        ("9999-12-31", 253_402_300_800.0),
        ("1969-12-31", 0.0),
    ],
)
def test_a_day_counts_whole_and_a_moment_as_it_is(memories, given, ends):
    assert memories.add("episodic", "c", valid_until=given).valid_until == ends


@pytest.mark.parametrize("given", ["2026-7-1", "20260701", "2026-02-30", "tomorrow", "", "2026-07-01T00:00:00", "२०२६-०७-०१"])
def test_what_is_no_day_is_refused(memories, given):
    with pytest.raises(Invalid, match="valid_until .* is no day; write it as YYYY-MM-DD"):
        memories.add("episodic", "c", valid_until=given)


# -- what was rejected --------------------------------------------------------------------------------------------------


def test_what_a_person_rejected_does_not_come_back_unnoticed(memories, store):
    for number, end in enumerate(("reject", "invalidate")):
        content = f"the earth is flat {number}"
        item = memories.add("knowledge", content, status="candidate" if end == "reject" else "active")
        assert getattr(memories, end)(item.id)
        before = tables(store)
        for status in ("candidate", "active"):
            with pytest.raises(RejectedClaim, match=f"rejected before, as memory {item.id}") as caught:
                memories.add("preference", content.upper(), status=status)
            assert caught.value.correction == memories.get(item.id)
        assert tables(store) == before
        again = memories.add("knowledge", content, override=True)
        assert memories.add("knowledge", content) == again, "a repeat is recognised first"


@pytest.mark.parametrize(
    "again", ["never use peat", "Never use peat.", "Never use peat…", "Never use peat !?", "Ｎever use peat。", "Never use peat:\n"]
)
def test_what_was_rejected_does_not_come_back_with_another_full_stop(memories, again):
    memories.invalidate(memories.add("preference", "Never use peat;").id)
    with pytest.raises(RejectedClaim):
        memories.add("knowledge", again)
    assert memories.check() == []


def test_what_says_the_same_but_for_the_punctuation_at_its_end_is_one_memory(memories):
    item = memories.add("knowledge", "version 1.5")
    assert memories.add("knowledge", "Version 1.5.") == item
    assert memories.update(item.id, content="version 1.5!").content == "version 1.5!"
    others = ("version 15", "version 1-5", "version 1 5", "(version 1.5)", "version 1.5%", "...", "?!", "。")
    assert len({memories.add("knowledge", text).id for text in (*others, "version 1.5")}) == len(others) + 1


def test_a_rejection_holds_where_project_and_user_agree_or_one_side_has_none(memories):
    item = memories.add("knowledge", "c", project="p", user_id="ann", status="candidate")
    memories.reject(item.id)
    for scope in ({"project": "p", "user_id": "ann"}, {"project": "p"}, {"user_id": "ann"}, {}):
        with pytest.raises(RejectedClaim):
            memories.add("knowledge", "c", **scope)
    for scope in ({"project": "q", "user_id": "ann"}, {"project": "p", "user_id": "bob"}):
        memories.add("knowledge", "c", **scope)


def test_what_only_expired_or_was_superseded_may_come_back(memories):
    memories.add("knowledge", "c", status="invalid", expired_at=1.0)
    assert memories.add("knowledge", "c", status="candidate").status == "candidate"
    item = memories.add("knowledge", "d")
    memories.supersede(item.id)
    assert memories.add("knowledge", "d").id != item.id


def test_an_update_and_a_merge_cannot_bring_it_back_either(memories):
    memories.invalidate(memories.add("knowledge", "flat").id)
    one, two = memories.add("knowledge", "round"), memories.add("knowledge", "oblate")
    with pytest.raises(RejectedClaim):
        memories.update(one.id, content="FLAT")
    with pytest.raises(RejectedClaim):
        memories.merge([one.id, two.id], "flat")
    assert memories.update(one.id, content="flat", override=True).content == "flat"
    assert memories.merge([one.id, two.id], "flat", override=True).content == "flat"


# -- life ---------------------------------------------------------------------------------------------------------------

VERBS = {
    "promote": lambda memories, id, **said: memories.promote(id, **said),
    "reject": lambda memories, id, **said: memories.reject(id, **said),
    "supersede": lambda memories, id, **said: memories.supersede(id, **said),
    "invalidate": lambda memories, id, **said: memories.invalidate(id, **said),
    "graduate": lambda memories, id, **said: memories.graduate(id, "entity-1", **said),
}


@pytest.mark.parametrize("start", STATUSES)
@pytest.mark.parametrize("verb", VERBS)
def test_each_way_is_gone_once_and_logged_and_no_other_is(store, memories, store_clock, verb, start):
    item = memories.add("knowledge", "c", status=start, user_id="ann", project="p", conversation_id="c1")
    ends = {name: (begin, end) for (begin, end), name in WAYS.items()}[verb]
    store_clock.advance(5)
    before = tables(store)
    done = VERBS[verb](memories, item.id, actor="eve", note="why not")
    assert done == (start == ends[0])
    if not done:
        assert tables(store) == before
        return
    after = memories.get(item.id)
    assert (after.status, after.updated_at, after.version) == (ends[1], store_clock.now, 2)
    (event,) = memories.history(item.id)
    assert (event.event_type, event.actor, event.note) == (f"memory.{verb}", "eve", "why not")
    assert (event.user_id, event.project, event.conversation_id) == ("ann", "p", "c1")
    assert (event.before["status"], event.after["status"]) == ends
    assert VERBS[verb](memories, item.id) is False


@pytest.mark.parametrize("verb", VERBS)
def test_a_memory_that_is_not_there_is_not_found(memories, verb):
    near = memories.add("knowledge", "c", id="memory-1").id
    with pytest.raises(NotFound, match=f"no memory 'memory-2' .nearest: '{near}'.; store.memories.find.. lists them"):
        VERBS[verb](memories, "memory-2")


def test_a_candidate_that_is_active_already_is_not_promoted(memories, store):
    active, candidate = memories.add("knowledge", "c"), memories.add("knowledge", "C", status="candidate")
    before = tables(store)
    with pytest.raises(Exists, match=f"memory {active.id} says that already and is active"):
        memories.promote(candidate.id)
    assert tables(store) == before


def test_only_another_active_memory_takes_a_place(memories):
    one, two = memories.add("knowledge", "c"), memories.add("knowledge", "d", status="candidate")
    with pytest.raises(Invalid, match="cannot supersede itself"):
        memories.supersede(one.id, by=one.id)
    with pytest.raises(Invalid, match="is a memory that is candidate; only an active one"):
        memories.supersede(one.id, by=two.id)
    with pytest.raises(NotFound):
        memories.supersede(one.id, by="nobody")
    memories.promote(two.id)
    assert memories.supersede(one.id, by=two.id)
    assert memories.get(one.id).superseded_by == two.id
    assert memories.history(one.id)[-1].after == {"status": "superseded", "superseded_by": two.id}


def test_a_graduate_leads_to_its_entity(memories):
    item = memories.add("knowledge", "c")
    assert memories.graduate(item.id, "entity-1")
    assert memories.get(item.id).graduated_to_entity_id == "entity-1"
    assert [finding.kind for finding in memories.check()] == ["dangling"], "no such entity is here, which is advice"


def test_words_are_there_while_a_memory_is_live(memories, store):
    item = memories.add("knowledge", "preferred colours", status="candidate")
    words = "SELECT word FROM memory_words ORDER BY word"
    live = [{"word": "colour"}, {"word": "prefer"}]
    assert store.query(words) == live
    memories.promote(item.id)
    assert store.query(words) == live
    memories.supersede(item.id)
    assert store.query(words) == []


# -- update -------------------------------------------------------------------------------------------------------------


def test_an_update_changes_what_is_given_and_says_so(memories, store, store_clock):
    item = memories.add("knowledge", "c", user_id="ann")
    store_clock.advance(5)
    new = memories.update(
        item.id, content="d", confidence=0.5, domain_tags=["A"], valid_until="2999-01-01", metadata={"a": 1}, actor="eve", note="so"
    )
    assert memories.get(item.id) == new
    assert (new.content, new.confidence, new.domain_tags, new.metadata) == ("d", 0.5, ["a"], {"a": 1})
    assert (new.updated_at, new.version, new.created_at) == (store_clock.now, 2, item.created_at)
    assert said(hit.memory for hit in memories.search("d")) == ["d"] and memories.search("c") == []
    cleared = memories.update(item.id, valid_until=None, metadata=None, domain_tags=[])
    assert (cleared.valid_until, cleared.metadata, cleared.domain_tags, cleared.version) == (None, None, [], 3)
    first, second = memories.history(item.id)
    assert (first.event_type, first.actor, first.note, first.user_id) == ("memory.update", "eve", "so", "ann")
    assert (first.before["content"], first.after["content"]) == ("c", "d")
    assert second.before == {"valid_until": new.valid_until, "metadata": {"a": 1}, "domain_tags": ["a"]}


def test_where_nothing_differs_nothing_is_written(memories, store):
    item = memories.add("knowledge", "c", confidence=0.5, domain_tags=["a"])
    before = tables(store)
    assert memories.update(item.id) == memories.update(item.id, content="c", confidence=0.5, domain_tags=["A "]) == item
    assert tables(store) == before


def test_only_live_memories_change(memories):
    for status in ("superseded", "invalid", "graduated"):
        item = memories.add("knowledge", status, status=status)
        with pytest.raises(Invalid, match=f"is {status} and kept as it was"):
            memories.update(item.id, confidence=0.5)


def test_a_version_that_is_not_current_is_refused(memories):
    item = memories.add("knowledge", "c")
    memories.update(item.id, confidence=0.5, expected_version=1)
    with pytest.raises(VersionConflict, match="at version 2, not 1") as caught:
        memories.update(item.id, confidence=0.6, expected_version=1)
    assert caught.value.current == memories.get(item.id)


def test_an_update_cannot_say_what_another_memory_says(memories):
    one, two = memories.add("knowledge", "c"), memories.add("knowledge", "d")
    with pytest.raises(Exists, match=f"memory {one.id} says that already"):
        memories.update(two.id, content="C")
    assert memories.update(two.id, content="D").content == "D", "its own text in other letters"


# -- merge --------------------------------------------------------------------------------------------------------------


def test_a_merge_takes_the_place_of_its_sources(memories, store):
    common = {"project": "p", "user_id": "ann", "source_chunk_id": "chunk"}
    one = memories.add("knowledge", "amber", confidence=0.4, domain_tags=["x", "y"], reference_count=2, last_referenced_at=5.0, **common)
    two = memories.add("knowledge", "basalt", confidence=0.7, domain_tags=["z", "y"], reference_count=3, last_referenced_at=4.0, **common)
    new = memories.merge((two.id, one.id, two.id), "amber", metadata={"k": 1}, id="merged", created_at=7.0, actor="eve", note="alike")
    assert memories.get("merged") == new
    assert (new.memory_type, new.project_id, new.user_id, new.source_chunk_id) == ("knowledge", "p", "ann", "chunk")
    assert (new.confidence, new.reference_count, new.last_referenced_at, new.created_at) == (0.7, 5, 5.0, 7.0)
    assert new.domain_tags == ["y", "x", "z"], "the most common first"
    assert new.merged_from == sorted([one.id, two.id])
    assert [(item.status, item.superseded_by) for item in map(memories.get, (one.id, two.id))] == [("superseded", "merged")] * 2
    assert [hit.memory.id for hit in memories.search("amber basalt")] == ["merged"]
    (event,) = memories.history("merged")
    assert (event.event_type, event.actor, event.note) == ("memory.merge", "eve", "alike")
    assert event.details == {"merged_from": new.merged_from}
    assert memories.history(one.id) == memories.history(two.id) == [event]
    before = tables(store)
    assert memories.merge([one.id, two.id], "something else") == new, "the same merge is made once"
    assert tables(store) == before


def test_a_merge_holds_as_long_as_one_of_its_sources_does(memories):
    ends = [memories.add("knowledge", f"a{end}", valid_until=end).id for end in (1e10, 2e10)]
    assert memories.merge(ends, "b").valid_until == 2e10
    forever = [memories.add("knowledge", f"c{end}", valid_until=end).id for end in (1e10, None)]
    assert memories.merge(forever, "d").valid_until is None


def test_what_differs_is_not_merged_and_the_message_names_it(memories, store):
    one = memories.add("knowledge", "a", project="p").id
    others = {
        "type": memories.add("project", "a", project="p").id,
        "project": memories.add("knowledge", "b").id,
        "user": memories.add("knowledge", "c", project="p", user_id="ann").id,
        "status": memories.add("knowledge", "d", project="p", status="candidate").id,
    }
    before = tables(store)
    for what, other in others.items():
        with pytest.raises(Invalid, match=f"must be of one {what}"):
            memories.merge([one, other], "x")
    for few in ([], [one], [one, one]):
        with pytest.raises(Invalid, match="a merge needs two or more"):
            memories.merge(few, "x")
    with pytest.raises(NotFound):
        memories.merge([one, "nobody"], "x")
    with pytest.raises(Exists, match="says that already"):
        memories.merge([one, memories.add("knowledge", "e", project="p").id], memories.add("knowledge", "f", project="p").content)
    memories.supersede(memories.find(project="p")[0].id)
    assert tables(store)["memories"][:5] == before["memories"]


# -- find and search ----------------------------------------------------------------------------------------------------


def test_find_is_newest_first_and_pages_by_id(memories):
    ids = [memories.add("knowledge", f"c{n}", created_at=at).id for n, at in enumerate((5.0, 1.0, 5.0, 3.0, 5.0))]
    order = [ids[4], ids[2], ids[0], ids[3], ids[1]]
    assert [item.id for item in memories.find()] == order
    page, pages = memories.find(limit=2), []
    while page:
        pages.append([item.id for item in page])
        page = memories.find(limit=2, before=page[-1].id)
    assert pages == [order[:2], order[2:4], order[4:]]
    assert memories.find(limit=0) == []
    with pytest.raises(NotFound, match="no memory 'nobody'"):
        memories.find(before="nobody")


def test_every_filter_filters_and_count_agrees(memories, store_clock):
    memories.add("knowledge", "everybody's", domain_tags=["a"])
    memories.add("knowledge", "ann's", user_id="ann", project="p")
    memories.add("preference", "bob's", user_id="bob", status="candidate", domain_tags=["A", "b"])
    memories.add("episodic", "over", valid_until=store_clock.now)
    found = {
        "everybody's": {"tag": "a", "memory_type": "knowledge"}, "ann's": {"project": "p"}, "bob's": {"status": "candidate"},
    }  # fmt: skip
    for content, filters in found.items():
        assert said(memories.find(**filters)) == [content]
        assert memories.count(**filters) == 1
    assert said(memories.find(user_id="ann")) == ["ann's", "everybody's"]
    assert said(memories.find(tag=" A")) == ["bob's", "everybody's"]
    assert (memories.count(), memories.count(include_expired=True)) == (3, 4)
    for wrong in ({"status": "gone"}, {"memory_type": "fact"}, {"tag": " "}, {"project": ""}, {"limit": -1}):
        with pytest.raises(Invalid):
            memories.find(**wrong)


def test_what_is_valid_until_a_day_holds_through_that_day(memories, store_clock):
    store_clock.now = datetime(2026, 7, 1, 23, 59, 59, tzinfo=UTC).timestamp()
    item = memories.add("episodic", "the build is red", valid_until="2026-07-01")
    assert memories.find() == [item] and memories.search("build")
    store_clock.advance(1)
    assert memories.find() == [] and memories.search("build") == []
    assert memories.get(item.id) == item, "the row stays as it is"


def test_the_best_share_of_words_comes_first_then_more_words_tags_confidence_and_the_newest(memories):
    def add(content, **more):
        return memories.add("knowledge", content, **more).id

    whole, half = add("lens coating"), add("lens mount torque screws")
    more_words = add("lens coating alpha beta", confidence=0.1)
    tagged = add("mirror one", domain_tags=["optics"], confidence=0.2)
    sure, first, second = add("mirror two", confidence=0.9), add("mirror three", confidence=0.5), add("mirror four", confidence=0.5)
    assert [hit.memory.id for hit in memories.search("the coating of a LENS")] == [whole, more_words, half]
    assert [hit.score for hit in memories.search("the coating of a LENS")] == [1.0, 0.5, 0.25]
    assert [hit.memory.id for hit in memories.search("mirror in Optics")] == [tagged, sure, second, first]
    assert [hit.memory.id for hit in memories.search("mirror", limit=1)] == [sure]
    assert memories.search("mirror", limit=0) == []


def test_a_search_is_of_a_project_and_of_none_and_of_a_user_and_everybody(memories):
    owners = {"ann": {"user_id": "ann"}, "bob": {"user_id": "bob"}}
    for content, scope in {"all": {}, "p": {"project": "p"}, "q": {"project": "q"}, **owners}.items():
        memories.add("knowledge", f"shared {content}", **scope)
    memories.add("preference", "shared candidate", status="candidate")
    memories.supersede(memories.add("knowledge", "shared past").id)

    def found(**filters):
        return {hit.memory.content.split()[1] for hit in memories.search("shared", **filters)}

    assert found() == {"all", "p", "q", "ann", "bob"}
    assert found(project="p") == {"all", "p", "ann", "bob"}
    assert found(user_id="ann") == {"all", "p", "q", "ann"}
    assert found(memory_type="preference") == set()
    assert found(status="candidate") == found(status=None, memory_type="preference") == {"candidate"}
    with pytest.raises(Invalid, match="status 'superseded' is none of candidate, active"):
        memories.search("shared", status="superseded")


@pytest.mark.parametrize("query", ["", "   ", "the of and", '"', "%", "a'b", "\0", "\\", "🙂", "NEAR(", "*"])
def test_any_text_is_a_query_and_one_without_words_finds_nothing(memories, query):
    memories.add("knowledge", "something else")
    assert memories.search(query) == []


def test_scripts_without_spaces_are_found(memories):
    memories.add("knowledge", "光学設計は重要です")
    assert said(hit.memory for hit in memories.search("設計")) == ["光学設計は重要です"]


# -- what a failed call leaves ------------------------------------------------------------------------------------------


def test_an_id_is_taken_once(memories, store):
    memories.add("knowledge", "c", id="x")
    before = tables(store)
    with pytest.raises(Exists, match="there is a memory 'x' already"):
        memories.add("knowledge", "d", id="x")
    assert tables(store) == before


def test_a_rollback_takes_everything_back(store, memories):
    item = memories.add("knowledge", "c")
    before = tables(store)
    with pytest.raises(ZeroDivisionError), store.transaction():
        memories.add("knowledge", "d")
        memories.update(item.id, content="e")
        memories.merge([memories.add("knowledge", n).id for n in "fg"], "h")
        memories.invalidate(item.id)
        raise ZeroDivisionError
    assert tables(store) == before


def test_what_begins_to_hold_is_noticed_in_the_same_transaction(store, memories, monkeypatch):
    noticed = []
    monkeypatch.setattr(store.conflicts, "notice", lambda connection, item: noticed.append(item))
    candidate = memories.add("knowledge", "c", status="candidate")
    memories.update(candidate.id, confidence=0.5)
    memories.add("knowledge", "past", status="superseded")
    assert noticed == []
    memories.promote(candidate.id)
    memories.update(candidate.id, content="d")
    other = memories.add("knowledge", "e")
    merged = memories.merge([candidate.id, other.id], "f")
    entry = store.memories.set_state("p", "k", "v")
    assert [(item.id, getattr(item, "content", None)) for item in noticed] == [
        (candidate.id, "c"), (candidate.id, "d"), (other.id, "e"), (merged.id, "f"), (entry.id, None)
    ]  # fmt: skip


def test_read_only_nothing_is_written(tmp_path):
    with open_store(tmp_path / "agent.db") as store:
        store.memories.add("knowledge", "c", id="x")
    with open_store(tmp_path / "agent.db", read_only=True) as store:
        assert said(store.memories.find()) == ["c"]
        with pytest.raises(ReadOnly):
            store.memories.add("knowledge", "d")


# -- joining a project --------------------------------------------------------------------------------------------------


def test_a_name_that_comes_to_mean_a_project_brings_its_memories_along(store, memories):
    item = memories.add("project", "c", project="moon")
    anns = memories.add("project", "d", project="moon", user_id="ann")
    store.chat.create_project("Apollo", id="p1")
    store.chat.alias("Apollo", "moon")
    assert memories.get(item.id).project_id == memories.get(anns.id).project_id == "p1"
    assert memories.find(project="moon", user_id="ann") == [memories.get(anns.id), memories.get(item.id)], "it is the only moon there is"


def test_what_belongs_to_a_user_with_a_project_of_that_name_stays_in_that(store, memories):
    store.chat.create_project("moon", id="ann's moon", user_id="ann")
    anns = memories.add("project", "d", project="moon", user_id="ann")
    store.chat.create_project("Apollo", id="p1")
    store.chat.alias("Apollo", "moon")
    assert memories.get(anns.id).project_id == "ann's moon"
    assert memories.find(project="moon", user_id="ann") == [anns]
    assert memories.find(project="moon") == []


def test_of_two_that_say_the_same_then_the_one_changed_last_wins(store, memories, store_clock):
    store.chat.create_project("Apollo", id="p1")
    older, newest = memories.add("project", "one", project="p1"), memories.add("project", "two", project="moon")
    for status in ("active", "candidate"):
        memories.add("project", "three", project="moon", status=status, id=f"moon-{status}")
        store_clock.advance(1)
        memories.add("project", "three", project="p1", status=status, id=f"p1-{status}")
    memories.add("project", "one", project="moon", id="later")
    memories.add("project", "two", project="p1", id="earlier", created_at=0.0)
    store.chat.alias("Apollo", "moon")
    lost = {old: memories.get(old) for old in (older.id, "earlier", "moon-active", "moon-candidate")}
    won = dict(zip(lost, ("later", newest.id, "p1-active", "p1-candidate"), strict=True))
    assert {id: item.superseded_by for id, item in lost.items()} == won
    assert {item.status for item in lost.values()} == {"superseded"}
    assert all(events(store, id) == [("memory.supersede", "project-join", "")] for id in lost)
    assert {memories.get(id).project_id for id in won.values()} == {"p1"}
    assert [event for id in won.values() for event in events(store, id)] == []


def test_what_was_found_invalid_meanwhile_is_promoted_only_with_override(store, memories):
    candidate, active = memories.add("knowledge", "flat", status="candidate"), memories.add("knowledge", "flat")
    memories.invalidate(active.id)
    with pytest.raises(RejectedClaim, match=active.id):
        memories.promote(candidate.id)
    assert memories.get(candidate.id).status == "candidate"
    assert memories.promote(candidate.id, override=True) is True


def test_what_was_rejected_in_a_project_does_not_hold_there_under_another_name(store, memories):
    store.chat.create_project("Apollo")
    no = memories.add("knowledge", "flat", project="Apollo")
    memories.invalidate(no.id)
    other = memories.add("knowledge", "flat", project="moon")
    store.chat.alias("Apollo", "moon")
    assert memories.get(other.id).status == "invalid"
    (event,) = memories.history(other.id)
    assert (event.event_type, event.actor) == ("memory.invalidate", "project-join")
    assert no.id in event.note


def test_the_type_of_a_memory_may_be_put_right(memories):
    item, other = memories.add("knowledge", "prefers tea"), memories.add("preference", "prefers milk")
    assert memories.update(item.id, memory_type="preference") == memories.get(item.id)
    assert memories.get(item.id).memory_type == "preference"
    memories.add("knowledge", "prefers milk")
    with pytest.raises(Exists):
        memories.update(other.id, memory_type="knowledge")


def test_a_document_is_compared_as_json_where_true_is_not_1(memories):
    item = memories.add("knowledge", "tea", metadata={"done": 1})
    assert memories.update(item.id, metadata={"done": True}).version == 2
    assert memories.get(item.id).metadata["done"] is True
    assert memories.update(item.id, metadata={"done": True}).version == 2
