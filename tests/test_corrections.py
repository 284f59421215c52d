"""Corrections: repeats, rejections, decay, what is relevant, and what is left when a call fails."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from memstore import Exists, Invalid, NotFound, ReadOnly, RejectedClaim, VersionConflict, open_store
from memstore.corrections.decay import YEAR
from memstore.kernel.words import words


@pytest.fixture
def corrections(store):
    return store.corrections


def texts(hits):
    return [hit.correction.claim for hit in hits]


def tables(store):
    """All rows of the room, to see that a failed call left nothing."""
    names = ("corrections", "correction_rejections", "correction_words", "correction_applications", "audit_log")
    present = {row["name"] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return {name: store.query(f"SELECT * FROM {name}") for name in names if name in present}


# -- add ----------------------------------------------------------------------------------------------------------------


def test_every_column_goes_in_and_comes_out(corrections, store_clock):
    given = {
        "subject": "Größe von TimeDelta", "claim": "runden", "rejected": "abschneiden", "domain": "软件", "scope": "project:x",
        "confidence": 0.25, "source": "arbiter", "decay_class": "B", "why": "weil\nes so ist", "prompt": "wie?", "user_id": "ann",
        "conversation_id": "c1", "metadata": {"b": [1, None, "ü"]}, "id": "my id", "created_at": 12.5,
    }  # fmt: skip
    corrections.add(**given)
    stored = corrections.get("my id")
    assert {name: getattr(stored, name) for name in given} == given
    assert (stored.confirmed_at, stored.updated_at, stored.version) == (12.5, store_clock.now, 1)
    assert (stored.application_count, stored.last_applied_at, stored.superseded_at, stored.superseded_by) == (0, None, None, None)


@pytest.mark.parametrize("value", ["", "é\u0301 漢 🙂"])
def test_labels_may_be_empty_or_not_ascii(corrections, value):
    added = corrections.add("s", "c", rejected=value, domain=value, scope=value, source=value, why=value, prompt=value, confidence=0)
    assert corrections.get(added.id) == added
    assert (added.rejected, added.domain, added.scope, added.source, added.why, added.prompt) == (value,) * 6
    assert (added.confidence, added.effective_confidence) == (0.0, 0.0)
    assert corrections.find(domain=value, scope=value, source=value, min_effective=0.0) == [added]


def test_long_texts_and_nul_are_kept(corrections):
    long = "word " * 40_000 + "\0end"
    added = corrections.add(long, long, rejected=long)
    assert corrections.get(added.id).claim == long
    assert corrections.add(long, long).id == added.id


def test_created_at_takes_an_aware_datetime(corrections):
    assert corrections.add("s", "c", created_at=datetime(2020, 1, 1, tzinfo=UTC)).created_at == 1577836800.0


def test_a_repeat_strengthens_the_one_row(corrections, store_clock):
    first = corrections.add("Time  Delta", "Round it", confidence=0.6, why="because", metadata={"a": 1}, conversation_id="c")
    store_clock.advance(60)
    again = corrections.add("ｔｉｍｅ\tDELTA ", " round\u00a0IT", confidence=0.7)
    assert corrections.count() == 1
    assert (again.id, again.confidence, again.version, again.confirmed_at) == (first.id, 0.7, 2, store_clock.now)
    assert (again.subject, again.claim, again.created_at) == (first.subject, first.claim, first.created_at)
    assert (again.why, again.metadata, again.conversation_id) == ("because", {"a": 1}, "c")


def test_a_repeat_never_lowers_confidence_and_keeps_what_is_not_given(corrections):
    given = {"rejected": "r", "source": "arbiter", "decay_class": "A", "why": "w", "prompt": "p", "user_id": "u", "conversation_id": "c"}
    first = corrections.add("s", "c", confidence=0.95, metadata={"k": 0}, **given)
    again = corrections.add("s", "c", confidence=0.1)
    assert again.confidence == 0.95
    assert {name: getattr(again, name) for name in (*given, "metadata")} == {**given, "metadata": {"k": 0}}
    assert again.id == first.id


def test_a_repeat_takes_what_is_given(corrections):
    corrections.add("s", "c", rejected="r", why="w", metadata={"k": 0})
    given = {"rejected": "r2", "source": "arbiter", "decay_class": "A", "why": "w2", "prompt": "p", "conversation_id": "c"}
    again = corrections.add("s", "c", metadata={}, **given)
    assert {name: getattr(again, name) for name in given} == given
    assert again.metadata == {}


@pytest.mark.parametrize("other", [{"domain": "web"}, {"scope": "project:x"}, {"claim": "d"}, {"subject": "t"}])
def test_another_subject_domain_scope_or_claim_is_another_row(corrections, other):
    corrections.add("s", "c")
    corrections.add(**{"subject": "s", "claim": "c", **other})
    assert corrections.count() == 2


def test_a_user_strengthens_what_is_everybodys_but_not_what_is_another_users(corrections):
    shared = corrections.add("s", "shared")
    assert corrections.add("s", "shared", user_id="ann").id == shared.id
    assert corrections.get(shared.id).user_id is None
    ann = corrections.add("s", "private", user_id="ann", why="a secret of Ann's")
    bob = corrections.add("s", "private", user_id="bob")
    assert bob.id != ann.id and bob.why == ""
    assert [item.id for item in corrections.find(user_id="bob")] == [bob.id, shared.id]


def test_a_superseded_row_is_not_strengthened(corrections):
    old = corrections.add("s", "c")
    corrections.supersede(old.id)
    assert corrections.add("s", "c").id != old.id


def test_a_taken_id_raises_exists(corrections, store):
    corrections.add("s", "c", id="x")
    before = tables(store)
    with pytest.raises(Exists, match="'x'"):
        corrections.add("s", "other", id="x")
    assert tables(store) == before


BAD = [
    ({"subject": " \n"}, "subject is blank"),
    ({"claim": ""}, "claim is blank"),
    ({"claim": None}, "claim must be str"),
    ({"subject": "\ud800"}, "lone surrogate"),
    ({"why": "\udfff"}, "lone surrogate"),
    ({"domain": "a\0b"}, "NUL"),
    ({"domain": None}, "domain must be str"),
    ({"confidence": 1.01}, "at most 1"),
    ({"confidence": -0.1}, "at least 0"),
    ({"confidence": math.nan}, "finite"),
    ({"confidence": True}, "number"),
    ({"decay_class": "E"}, "none of A, B, C, D"),
    ({"metadata": {"x": {1}}}, "set"),
    ({"metadata": [1]}, "dict"),
    ({"metadata": {"x": math.inf}}, "finite"),
    ({"created_at": datetime(2020, 1, 1)}, "time zone"),
    ({"created_at": math.inf}, "finite"),
    ({"id": ""}, "id is blank"),
    ({"override": "yes"}, "True or False"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_bad_input_is_refused_and_nothing_is_written(corrections, store, bad, message):
    before = tables(store)
    with pytest.raises(Invalid, match=message):
        corrections.add(**{"subject": "s", "claim": "c", **bad})
    assert tables(store) == before


# -- rejected claims ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [{}, {"domain": "other"}, {"scope": "session:1"}])
def test_a_rejected_claim_stays_rejected_in_every_domain_and_scope(corrections, where):
    first = corrections.add("Rounding", "round half even", rejected="int() is  enough")
    with pytest.raises(RejectedClaim, match="'INT.. is enough' was rejected") as caught:
        corrections.add(" ROUNDING", "INT() is enough", **where)
    assert caught.value.correction.id == first.id
    assert corrections.count() == 1
    assert corrections.add("rounding", "int() is enough", override=True, **where).claim == "int() is enough"
    assert corrections.add("other subject", "int() is enough").subject == "other subject"


def test_a_repeat_is_recognised_before_a_rejection(corrections):
    live = corrections.add("s", "old way")
    corrections.add("s", "new way", rejected="old way")
    assert corrections.add("s", "old way", confidence=1.0).id == live.id


def test_every_text_ever_rejected_stays_rejected(corrections):
    added = corrections.add("s", "c", rejected="first wrong")
    corrections.add("s", "c", rejected="second wrong")
    assert corrections.get(added.id).rejected == "second wrong"
    assert corrections.rejections(added.id) == ["first wrong", "second wrong"]
    for claim in ("first wrong", "Second  Wrong"):
        with pytest.raises(RejectedClaim):
            corrections.add("s", claim)


def test_a_superseded_correction_no_longer_blocks(corrections):
    first = corrections.add("s", "c", rejected="wrong")
    corrections.supersede(first.id)
    assert corrections.add("s", "wrong").claim == "wrong"


def test_what_a_user_rejected_does_not_bind_another_user(corrections):
    corrections.add("s", "c", rejected="wrong", user_id="ann")
    assert corrections.add("s", "wrong", user_id="bob").claim == "wrong"
    with pytest.raises(RejectedClaim):
        corrections.add("s", "wrong", user_id="ann")


def test_a_pair_that_differs_in_case_does_not_reject_its_own_claim(corrections):
    corrections.add("name of the class", "TimeDelta", rejected="timedelta")
    assert corrections.add("name of the class", "TimeDelta", domain="docs").domain == "docs"


def test_a_blank_rejection_rejects_nothing(corrections):
    added = corrections.add("s", "c", rejected="  ")
    assert (added.rejected, corrections.rejections(added.id)) == ("  ", [])


# -- decay --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decay_class", "tau"), [("A", math.inf), ("B", 10), ("C", 3), ("D", 0.5)])
def test_confidence_falls_to_one_eth_in_tau_years(corrections, store_clock, decay_class, tau):
    added = corrections.add("s", "c", confidence=0.8, decay_class=decay_class)
    assert added.effective_confidence == 0.8
    store_clock.advance(2 * YEAR)
    assert corrections.get(added.id).effective_confidence == pytest.approx(0.8 * math.exp(-2 / tau), rel=1e-12)
    assert corrections.get(added.id).confidence == 0.8


def test_a_time_in_the_future_counts_as_now(corrections, store_clock):
    assert corrections.add("s", "c", created_at=store_clock.now + YEAR).effective_confidence == 0.9


@pytest.mark.parametrize(
    ("subject", "domain", "expected"),
    [
        ("Time_Complexity of sort", "software_engineering", "A"), ("the CVE list", "mathematics", "D"), ("s", "mathematics", "A"),
        ("s", "pure_physics", "A"), ("s", "structural_engineering", "B"), ("s", "software_engineering", "D"),
        ("s", "stem_research", "D"), ("s", "aviation", "C"), ("s", "general", "C"), ("s", "", "C"),
    ],
)  # fmt: skip
def test_the_decay_class_follows_the_subject_then_the_domain(corrections, subject, domain, expected):
    assert corrections.add(subject, "c", domain=domain).decay_class == expected
    assert corrections.add(subject, "d", domain=domain, decay_class="B").decay_class == "B"


def test_decay_counts_from_the_last_confirmation_and_nothing_else_confirms(corrections, store_clock):
    added = corrections.add("s", "c", decay_class="D")
    born = added.confirmed_at
    store_clock.advance(YEAR)
    corrections.update(added.id, why="w", domain="web")
    corrections.applied(added.id)
    assert corrections.get(added.id).confirmed_at == born
    assert corrections.update(added.id, confidence=0.9).confirmed_at == store_clock.now
    store_clock.advance(YEAR)
    assert corrections.update(added.id, claim="c2").effective_confidence == 0.9
    store_clock.advance(YEAR)
    assert corrections.add("s", "c2", domain="web").confirmed_at == store_clock.now


def test_a_threshold_of_zero_is_a_threshold(corrections, store_clock):
    faded = corrections.add("s", "c", confidence=0.5, decay_class="D")
    store_clock.advance(50 * YEAR)
    for zero in (0, 0.0):
        assert [hit.correction.id for hit in corrections.relevant("s", min_effective=zero)] == [faded.id]
        assert corrections.count(min_effective=zero) == 1
    assert corrections.relevant("s") == []
    assert corrections.find(min_effective=1e-30) == []


# -- find ---------------------------------------------------------------------------------------------------------------


def test_find_lists_newest_first_and_filters_exactly(corrections, store_clock):
    ids = [corrections.add("s", f"c{n}", domain=f"d{n % 2}", source="arbiter" if n == 3 else "manual").id for n in range(4)]
    late = corrections.add("s", "from before", created_at=store_clock.now - 5).id
    assert [item.id for item in corrections.find()] == [*reversed(ids), late]
    assert [item.id for item in corrections.find(domain="d1", limit=1)] == [ids[3]]
    assert [item.id for item in corrections.find(source="arbiter")] == [ids[3]]
    assert corrections.find(limit=0) == [] and corrections.find(scope="Global") == []
    assert corrections.count(domain="d0") == 2


def test_the_limit_counts_what_passes_the_threshold(corrections):
    strong = corrections.add("s", "strong", confidence=0.9)
    corrections.add("s", "weak", confidence=0.2)
    assert corrections.find(min_effective=0.5, limit=1) == [strong]


def test_unknown_ids_are_not_found_and_the_nearest_is_offered(corrections):
    corrections.add("s", "c", id="timedelta-1")
    for call in (corrections.get, corrections.update, corrections.supersede, corrections.applied, corrections.rejections):
        with pytest.raises(NotFound, match="nearest: 'timedelta-1'"):
            call("timedelta-2")


# -- relevant -----------------------------------------------------------------------------------------------------------


def test_a_long_question_finds_a_short_subject_and_a_short_one_a_long_claim(corrections):
    corrections.add("rounding of TimeDelta", "round, do not truncate the milliseconds")
    corrections.add("bread", "flour first")
    for text in ("why is TimeDelta off by one when I serialise 345 ms?", "truncate"):
        assert texts(corrections.relevant(text)) == ["round, do not truncate the milliseconds"]


@pytest.mark.parametrize("text", ["", "  ", "what is it, and why of the?", "completely", "?!…", "round_trip's"])
def test_function_words_and_mere_prefixes_find_nothing(corrections, text):
    corrections.add("complexity of sorting", "what is it and why: n log n")
    assert corrections.relevant(text) == []
    assert corrections.prompt(text) == ""


@pytest.mark.parametrize(
    "text", ["timeDelta", "time_delta", "TIME_DELTA", "timedelta", "a.time.delta()", "ＴｉｍｅＤｅｌｔａ", "TimeDeltas", "TimeDelta's"]
)
def test_identifiers_are_found_by_whole_and_part_in_any_spelling(corrections, text):
    corrections.add("TimeDelta", "round")
    assert texts(corrections.relevant(text)) == ["round"]


def test_scripts_without_spaces_are_found_inside_a_sentence(corrections):
    corrections.add("舍入错误", "四舍五入")
    corrections.add("การปัดเศษ", "ปัด")
    assert texts(corrections.relevant("为什么这里有舍入错误？")) == ["四舍五入"]
    assert texts(corrections.relevant("ทำไมการปัดเศษผิด")) == ["ปัด"]


def test_only_regular_plurals_are_folded():
    assert words("classes queries boxes tokens") == {"class", "query", "box", "token"}
    assert words("status class analysis bus") == {"status", "class", "analysis", "bus"}


def test_the_domain_raises_and_never_hides(corrections):
    corrections.add("parser of dates", "use strptime", domain="python")
    corrections.add("parser of dates", "use Temporal", domain="web")
    assert texts(corrections.relevant("parser dates", domain="python")) == ["use strptime", "use Temporal"]
    assert texts(corrections.relevant("parser dates", domain="web")) == ["use Temporal", "use strptime"]
    assert len(corrections.relevant("parser dates", domain="cooking")) == 2


def test_a_scope_finds_itself_and_global(corrections):
    for scope in ("global", "project:a", "project:b"):
        corrections.add("tabs", f"for {scope}", scope=scope)
    assert set(texts(corrections.relevant("tabs", scope="project:a"))) == {"for global", "for project:a"}
    assert len(corrections.relevant("tabs")) == 3


def test_a_user_finds_their_own_and_everybodys(corrections):
    for user in (None, "ann", "bob"):
        corrections.add("tabs", f"says {user}", user_id=user)
    assert set(texts(corrections.relevant("tabs", user_id="ann"))) == {"says None", "says ann"}
    assert len(corrections.relevant("tabs")) == 3


def test_scores_lie_between_0_and_1_and_ties_go_to_confidence_then_to_the_newest(corrections):
    corrections.add("tabs", "one", confidence=0.8)
    corrections.add("tabs", "two", confidence=0.9)
    corrections.add("tabs", "three", confidence=0.9)
    hits = corrections.relevant("tabs", domain="general")
    assert texts(hits) == ["three", "two", "one"]
    assert [hit.score for hit in hits] == [1.0, 1.0, 1.0]
    assert texts(corrections.relevant("tabs", limit=2)) == ["three", "two"]
    assert corrections.relevant("tabs", limit=0) == []
    assert len(corrections.relevant("tabs", limit=None)) == 3


def test_the_words_follow_an_update_and_a_supersession(corrections):
    added = corrections.add("apples", "are red", why="chlorophyll")
    assert len(corrections.relevant("chlorophyll")) == 1
    corrections.update(added.id, subject="pears", why="")
    assert corrections.relevant("apples chlorophyll") == []
    assert len(corrections.relevant("pears")) == 1
    corrections.supersede(added.id)
    assert corrections.relevant("pears") == []


def test_a_rolled_back_transaction_leaves_no_word(corrections, store):
    with pytest.raises(ZeroDivisionError), store.transaction():
        corrections.add("apples", "are red", rejected="blue")
        assert len(corrections.relevant("apples")) == 1
        raise ZeroDivisionError
    assert corrections.relevant("apples") == []
    assert corrections.add("apples", "blue").claim == "blue"


# -- prompt -------------------------------------------------------------------------------------------------------------


def test_the_prompt_has_one_line_each_whatever_the_texts_hold(corrections):
    corrections.add("tabs\nor spaces", "four\n\nspaces", rejected="tabs", why="the\tlinter")
    assert corrections.prompt("tabs") == "- tabs or spaces: four spaces (not: tabs) Why: the linter"


def test_the_prompt_never_exceeds_its_budget_and_cuts_no_line(corrections):
    for n in range(6):
        corrections.add(f"tabs {n}", "x " * (n * 9) + "end")
    whole = corrections.prompt("tabs", limit=None).split("\n")
    assert len(whole) == 6
    for budget in range(80):
        text = corrections.prompt("tabs", limit=None, max_tokens=budget)
        assert text == "" or max(1, len(text) // 4) <= budget
        assert text == "" or set(text.split("\n")) <= set(whole)
    assert corrections.prompt("tabs", max_tokens=0) == ""
    with pytest.raises(Invalid, match="max_tokens"):
        corrections.prompt("tabs", max_tokens=-1)


# -- update, supersede, applied, prune ------------------------------------------------------------------------------------


def test_an_update_changes_what_is_given_and_logs_only_that(corrections, store, store_clock):
    added = corrections.add("s", "c", prompt="p", user_id="u", metadata={"a": 1}, conversation_id="c")
    store_clock.advance(1)
    changed = corrections.update(added.id, why="w", source="manual", prompt=None, metadata=None, actor="ann", note="n")
    assert (changed.why, changed.prompt, changed.metadata, changed.user_id) == ("w", None, None, "u")
    assert (changed.version, changed.updated_at, changed.confirmed_at) == (2, store_clock.now, added.confirmed_at)
    (event,) = store.audit.find(event_type="correction.update")
    assert (event.entity_kind, event.entity_id, event.actor, event.note) == ("correction", added.id, "ann", "n")
    assert event.before == {"why": "", "prompt": "p", "metadata": {"a": 1}}
    assert event.after == {"why": "w", "prompt": None, "metadata": None}


def test_an_update_without_a_difference_writes_nothing(corrections, store):
    added = corrections.add("s", "c", why="w")
    before = tables(store)
    assert corrections.update(added.id, why="w", rejected="", claim="c") == added
    assert corrections.update(added.id) == added
    assert tables(store) == before


def test_an_outdated_version_conflicts_and_shows_the_current_row(corrections):
    added = corrections.add("s", "c")
    current = corrections.update(added.id, why="1", expected_version=1)
    with pytest.raises(VersionConflict, match="version 2, not 1") as caught:
        corrections.update(added.id, why="2", expected_version=1)
    assert caught.value.current == current == corrections.get(added.id)


def test_an_update_cannot_say_what_another_row_says_or_what_was_rejected(corrections, store):
    other = corrections.add("s", "right", rejected="wrong")
    added = corrections.add("s", "maybe", rejected="never")
    before = tables(store)
    with pytest.raises(Exists, match=other.id):
        corrections.update(added.id, claim=" RIGHT")
    with pytest.raises(RejectedClaim) as caught:
        corrections.update(added.id, claim="wrong")
    assert caught.value.correction.id == other.id
    with pytest.raises(RejectedClaim):
        corrections.update(added.id, claim="never")
    assert tables(store) == before
    assert corrections.update(added.id, claim="wrong", override=True).claim == "wrong"


def test_nobody_and_the_user_without_a_name_are_one_owner(corrections):
    everybodys = corrections.add("s", "c")
    bobs = corrections.add("s", "other", user_id="bob")
    with pytest.raises(Exists, match=everybodys.id):
        corrections.update(bobs.id, claim="c", user_id="")


def test_an_update_can_turn_a_pair_round(corrections):
    added = corrections.add("s", "a", rejected="b")
    corrections.update(added.id, claim="b", rejected="a")
    assert corrections.rejections(added.id) == ["a"]
    with pytest.raises(RejectedClaim):
        corrections.add("s", "a")


def test_what_was_rejected_moves_with_the_subject(corrections):
    added = corrections.add("s", "c", rejected="wrong")
    corrections.update(added.id, subject="t")
    assert corrections.add("s", "wrong").claim == "wrong"
    with pytest.raises(RejectedClaim):
        corrections.add("t", "wrong")


def test_the_owner_of_a_repeat_is_found_again_after_an_update(corrections):
    shared, ann = corrections.add("s", "c"), corrections.add("s", "d", user_id="ann")
    with pytest.raises(Exists):
        corrections.update(ann.id, claim="c", user_id=None)
    assert corrections.update(ann.id, claim="c").user_id == "ann"
    assert corrections.add("s", "c", user_id="ann").id == ann.id
    assert corrections.add("s", "c").id == shared.id


def test_supersede_hides_keeps_and_logs(corrections, store, store_clock):
    old, new = corrections.add("s", "old", scope="project:x"), corrections.add("s", "new")
    gone = corrections.supersede(old.id, by=new.id, reason="outdated", actor="ann")
    assert (gone.superseded_at, gone.superseded_by, gone.scope, gone.version) == (store_clock.now, new.id, "project:x", 2)
    assert [item.id for item in corrections.find()] == [new.id]
    assert {item.id for item in corrections.find(include_superseded=True)} == {old.id, new.id}
    assert (corrections.count(), corrections.count(include_superseded=True)) == (1, 2)
    (event,) = store.audit.find(event_type="correction.supersede")
    assert (event.entity_id, event.note, event.actor) == (old.id, "outdated", "ann")
    assert event.after["superseded_by"] == new.id


def test_supersede_refuses_itself_the_unknown_and_the_gone(corrections, store):
    one, two = corrections.add("s", "one"), corrections.add("s", "two")
    corrections.supersede(two.id)
    before = tables(store)
    with pytest.raises(Invalid, match="itself"):
        corrections.supersede(one.id, by=one.id)
    for call in (lambda: corrections.supersede(one.id, reason=5), lambda: corrections.prune(reason=5)):
        with pytest.raises(Invalid, match="reason must be str"):
            call()
    with pytest.raises(NotFound):
        corrections.supersede(one.id, by="nobody")
    with pytest.raises(Invalid, match="was superseded"):
        corrections.supersede(one.id, by=two.id)
    with pytest.raises(Invalid, match="was superseded"):
        corrections.supersede(two.id)
    with pytest.raises(Invalid, match="was superseded"):
        corrections.update(two.id, why="w")
    assert tables(store) == before


def test_applications_are_counted_and_kept(corrections, store, store_clock):
    added = corrections.add("s", "c")
    corrections.applied(added.id, conversation_id="c1")
    store_clock.advance(1)
    twice = corrections.applied(added.id)
    assert (twice.application_count, twice.last_applied_at, twice.version) == (2, store_clock.now, 1)
    assert [(use.conversation_id, use.applied_at) for use in corrections.applications(added.id)] == [
        (None, store_clock.now), ("c1", store_clock.now - 1),
    ]  # fmt: skip
    assert len(corrections.applications(added.id, limit=1)) == 1


def test_prune_removes_what_faded_and_says_so_once(corrections, store, store_clock):
    faded = corrections.add("apples", "c", decay_class="D", rejected="no")
    kept = corrections.add("pears", "c", decay_class="A")
    corrections.applied(faded.id)
    assert corrections.prune() == 0
    store_clock.advance(2 * YEAR)
    assert corrections.prune(dry_run=True) == 1
    assert corrections.count() == 2
    assert corrections.prune(actor="cron", reason="yearly") == 1
    assert [item.id for item in corrections.find(include_superseded=True)] == [kept.id]
    (event,) = store.audit.find(event_type="correction.prune")
    assert (event.details, event.actor, event.note) == ({"below": 0.05, "count": 1, "ids": [faded.id]}, "cron", "yearly")
    assert {name: len(rows) for name, rows in tables(store).items() if name != "audit_log"} == {
        "corrections": 1, "correction_rejections": 0, "correction_words": 1 + 1, "correction_applications": 0,
    }  # fmt: skip


def test_prune_keeps_what_is_exactly_at_the_threshold_and_checks_it(corrections):
    corrections.add("s", "c", confidence=0.05, decay_class="A")
    assert corrections.prune() == 0
    assert corrections.prune(below=0) == 0
    for bad in (-0.1, 1.5, math.nan, "0.05"):
        with pytest.raises(Invalid, match="below"):
            corrections.prune(below=bad)
    assert corrections.prune(0.06) == 1


# -- the file -------------------------------------------------------------------------------------------------------------


def test_all_is_there_after_reopening_and_two_handles_agree(tmp_path, store_clock):
    path = tmp_path / "a.db"
    with open_store(path, clock=store_clock) as first, open_store(path, clock=store_clock) as second:
        added = first.corrections.add("tabs", "spaces", rejected="tabs are fine")
        assert second.corrections.add("tabs", "spaces").id == added.id
        assert texts(first.corrections.relevant("tabs")) == ["spaces"]
    with open_store(path, read_only=True, clock=store_clock) as reader:
        assert reader.corrections.get(added.id).version == 2
        assert reader.corrections.prompt("tabs") == "- tabs: spaces (not: tabs are fine)"
        assert reader.corrections.prune(0.01, dry_run=True) == 0
        with pytest.raises(ReadOnly):
            reader.corrections.add("s", "c")


def test_a_read_only_store_without_the_room_reads_as_empty(tmp_path):
    path = tmp_path / "a.db"
    open_store(path).close()
    with open_store(path, read_only=True) as reader:
        assert reader.corrections.find() == [] and reader.corrections.count() == 0
        assert reader.corrections.relevant("x") == [] and reader.corrections.check() == []


@pytest.mark.damage
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE corrections SET claim = 'other words'",
        "UPDATE corrections SET subject_key = 'x'",
        "DELETE FROM correction_words WHERE word = 'tab'",
        "INSERT INTO correction_words(word, correction, in_subject) VALUES ('stray', 1, 0)",
        "DELETE FROM correction_rejections",
        "UPDATE correction_rejections SET rejected_key = 'x'",
        "UPDATE correction_rejections SET subject_key = 'x'",
        "UPDATE corrections SET application_count = 7",
    ],
)
def test_check_finds_what_does_not_agree(store, damage):
    added = store.corrections.add("tabs", "spaces", rejected="tabs are fine")
    assert store.corrections.check() == []
    with store.corrections.db.write() as connection:
        connection.run(damage)
    findings = store.corrections.check()
    assert findings and all(finding.kind == "derived" and added.id in finding.detail for finding in findings)
    assert not store.check().ok


def test_random_histories_agree_with_a_simple_model(corrections, rng):
    model: dict[tuple[str, str, str], float] = {}
    for _ in range(120):
        key = (rng.choice("stu"), rng.choice("abcd"), rng.choice(["general", "web"]))
        confidence = rng.random()
        corrections.add(key[0].upper() if rng.random() < 0.5 else key[0], key[1], domain=key[2], confidence=confidence)
        model[key] = max(model.get(key, 0.0), confidence)
    stored = {(item.subject.lower(), item.claim, item.domain): item.confidence for item in corrections.find()}
    assert stored == model


def test_a_document_is_compared_as_json_where_true_is_not_1(corrections):
    item = corrections.add("tea", "is green", metadata={"done": 1})
    assert corrections.update(item.id, metadata={"done": True}).metadata["done"] is True
    assert corrections.get(item.id).metadata["done"] is True
