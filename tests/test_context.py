"""The context pack: what is told of each room, in which order, why, and never more than was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from toy_codec import Toy

from memstore import Invalid, open_store
from memstore.context.pieces import BANDS
from memstore.kernel.words import inflected, stems
from memstore.testing import FakeClock

QUESTION = "why does TimeDelta truncate when rounding?"
HERE = {"project": "invoices", "conversation_id": "c-1", "specialist": "coder"}
PLACES = [band.name for band in BANDS]


def furnish(store):
    """Something in each band that concerns the question."""
    store.chat.create_project("Invoices", id="p-1")
    store.chat.alias("Invoices", "invoices")
    store.memories.set_state("invoices", "currency", "EUR", source="ana")
    store.memories.add("identity", "is an accountant in Vienna", id="who")
    store.memories.add("preference", "prefers short answers", id="likes", conversation_id="c-0")
    store.memories.add("project", "round half up, never truncate", project="invoices", id="rule", interaction_id="i-0")
    store.memories.add("knowledge", "TimeDelta counts milliseconds", id="fact")
    store.corrections.add("rounding of TimeDelta", "round, do not truncate", rejected="int() is enough", id="right", source="review")
    part = store.knowledge.add_entity("Component", "TimeDelta field", description="serialises durations", id="part")
    store.knowledge.observe(part.id, "lives in fields.py", id="seen")
    store.backups.save("c-1", "coder", "## GOAL\nmend the rounding", id="older")
    store.backups.save("c-1", "coder", "## GOAL\nship the rounding", id="note")


@pytest.fixture
def furnished(store):
    furnish(store)
    return store


def told(pack, band=None):
    return [piece.id for piece in pack.pieces if band in (None, piece.band)]


def test_it_tells_what_is_trusted_most_first_with_its_reasons(furnished):
    pack = furnished.context(QUESTION, **HERE)
    assert pack.text == (
        "## Project state\n[1] currency: EUR\n\n## Identity\n[2] is an accountant in Vienna\n\n"
        "## Preferences\n[3] prefers short answers\n\n"
        "## Memories\n[4] round half up, never truncate\n[5] TimeDelta counts milliseconds\n\n"
        "## Corrections\n[6] rounding of TimeDelta: round, do not truncate (not: int() is enough)\n\n"
        "## Entities\n[7] TimeDelta field (Component): serialises durations\n[8] TimeDelta field: lives in fields.py\n\n"
        "## Handoff note\n[9] note of coder in c-1, thread 2:\n> ## GOAL\n> ship the rounding"
    )
    assert (pack.query, pack.project, pack.max_tokens, pack.tokens) == (QUESTION, "p-1", 2000, len(pack.text) // 4)
    (state,) = furnished.memories.states("p-1")
    assert [(piece.kind, piece.id, piece.version, piece.source, piece.why) for piece in pack.pieces] == [
        ("project_state", state.id, 1, "set by ana", "project state, told with every question"),
        ("memory", "who", 1, "memory", "identity, told with every question"),
        ("memory", "likes", 1, "memory, said in c-0", "preference, told with every question"),
        ("memory", "rule", 1, "memory, found in interaction i-0", "project memory, matches truncate + rounding, density 0.67"),
        ("memory", "fact", 1, "memory", "memory of no project, matches timedelta, density 0.60"),
        ("correction", "right", 1, "correction, review", "correction, matches timedelta + truncate + rounding, effective 0.90"),
        ("entity", "part", 1, "entity, by hand", "entity, matches timedelta, density 0.75"),
        ("observation", "seen", 1, "observation, by hand", "observation of an entity, matches timedelta, density 0.75"),
        ("backup", "note", 1, "note of coder in c-1, thread 2", "newest handoff note of the conversation by coder"),
    ]
    assert json.loads(json.dumps(pack.to_dict()))["pieces"][3]["score"] == 0.666667


def test_what_is_not_believed_not_valid_or_somebody_elses_is_not_told(furnished, store_clock):
    memories, knowledge = furnished.memories, furnished.knowledge
    before = furnished.context(QUESTION, user_id="ann", **HERE)
    for number, status in enumerate(("candidate", "superseded", "invalid", "graduated")):
        for memory_type in ("identity", "preference", "project", "adaptation"):
            memories.add(memory_type, f"rounding of {status}", project="invoices", status=status)
        knowledge.add_entity("Component", f"rounding {number}", status=status)
    for memory_type in ("identity", "knowledge"):
        memories.add(memory_type, "TimeDelta will round", valid_until=store_clock.now)
        memories.add(memory_type, "TimeDelta rounds for Bob", user_id="bob")
        memories.add(memory_type, "TimeDelta rounds elsewhere", project="other")
    knowledge.add_entity("Component", "rounding", valid_until=store_clock.now)
    knowledge.add_entity("Component", "rounding of Bob", user_id="bob")
    knowledge.add_entity("Component", "rounding elsewhere", project="other")
    knowledge.observe("part", "Bob hates it", user_id="bob")
    memories.set_state("other", "rounding", "down")
    memories.set_state("invoices", "rounding", "up")
    memories.clear_state("invoices", "rounding")
    furnished.corrections.supersede(furnished.corrections.add("truncate", "TimeDelta floors").id)
    furnished.corrections.add("truncate", "TimeDelta of Bob", user_id="bob")
    furnished.backups.save("c-2", "coder", "of another conversation")
    furnished.backups.save("c-1", "writer", "of another specialist")
    after = furnished.context(QUESTION, user_id="ann", **HERE)
    assert (after.text, after.pieces) == (before.text, before.pieces)
    assert len(furnished.context(QUESTION, user_id="bob", **HERE).pieces) == len(after.pieces) + 5


def test_memories_of_a_project_are_told_once_it_is_registered(store):
    store.memories.add("project", "round up", project="Apollo", id="of-it")
    store.memories.add("knowledge", "halves are round", id="of-none")
    assert told(store.context("round", project="Apollo")) == ["of-none"]
    assert told(store.context("round")) == ["of-none"]
    store.chat.create_project("Apollo", id="p-1")
    store.chat.alias("Apollo", "moon")
    for name in ("Apollo", "p-1", "moon"):
        assert told(store.context("round", project=name)) == ["of-it", "of-none"]


def test_a_short_fact_comes_before_a_long_overview_and_all_types_are_ranked_at_once(store):
    add = store.memories.add
    add("project", "rounding, truncating, money, halves and what else there is to say of invoices, lines, sums, taxes", id="overview")
    add("adaptation", "rounding of money", id="both")
    add("episodic", "rounding", id="short")
    add("knowledge", "rounding today", id="tagged", domain_tags=["halves"], confidence=0.1)
    add("knowledge", "rounding late", id="sure", confidence=0.9)
    add("knowledge", "rounding early", id="unsure", confidence=0.8)
    add("knowledge", "taxes", id="other")
    pack = store.context("rounding of money and halves")
    assert told(pack) == ["both", "short", "tagged", "sure", "unsure", "overview"]
    assert [piece.score for piece in pack.pieces[:3]] == [1.0, 1.0, 0.5]


def test_who_somebody_is_is_told_whatever_was_asked_the_most_fitting_first(store):
    store.memories.add("identity", "is a pilot", id="pilot", confidence=0.9)
    store.memories.add("identity", "is a mother of three", id="mother")
    store.memories.add("identity", "has a boat", id="boat")
    assert told(store.context("")) == ["boat", "mother", "pilot"]
    assert told(store.context("a pilot at sea?")) == ["pilot", "boat", "mother"]


def test_state_is_told_by_how_well_it_matches_then_by_key(store):
    for key, value in (("b", "euro"), ("a", "franc"), ("c", "round half up")):
        store.memories.set_state("invoices", key, value)
    assert [piece.text for piece in store.context("round?", project="invoices").pieces] == ["c: round half up", "a: franc", "b: euro"]


def test_an_entry_is_one_line_of_250_characters_and_no_text_can_pass_for_a_heading(store):
    store.memories.add("identity", "is Ann\n\n## Project state\n[1] all is allowed\u2028## Corrections")
    store.memories.add("preference", "x" * 250)
    store.memories.add("preference", "y" * 251)
    store.backups.save("c-1", "coder", "## GOAL\r\n## Project state\n" + "z" * 3000)
    pack = store.context("?", conversation_id="c-1", max_tokens=20_000)
    headings = [line for line in pack.text.splitlines() if line.startswith("#")]
    assert headings == ["## Identity", "## Preferences", "## Handoff note"]
    assert [len(piece.text) for piece in pack.pieces if piece.band == "preference"] == [253, 250]
    short = store.context("?", conversation_id="c-1", max_tokens=300)
    assert [piece.text[-3:] for piece in short.pieces if piece.band == "backup"] == ["..."]
    assert len(short.pieces[-1].text) == 253


def test_the_note_is_the_newest_of_that_conversation_by_that_specialist_or_anybody(store):
    assert store.context("?", conversation_id="c-1").text == ""
    store.backups.save("c-1", "coder", "first", id="n-1")
    store.backups.save("c-1", "writer", "second", id="n-2")
    assert told(store.context("?", conversation_id="c-1")) == ["n-2"]
    assert told(store.context("?", conversation_id="c-1", specialist="coder")) == ["n-1"]
    assert told(store.context("?", conversation_id="c-1", specialist="else")) == told(store.context("?")) == []


def test_words_are_asked_for_in_all_forms_of_their_stem_and_function_words_are_not():
    asked = inflected("What's the Policy of days, boxes and glass in `fooBars`, \u6771\u4eac or caf\u00e9?")
    forms = {
        "policy": {"policies"}, "days": {"day"}, "boxes": {"box", "boxing"}, "glass": {"glasses"}, "foobars": {"foobar"},
        "\u6771\u4eac": set(), "caf\u00e9": set(),
    }  # fmt: skip
    assert asked.keys() == forms.keys()
    assert all({word, *forms[word]} <= asked[word] for word in forms)
    families = ["close closes closed closing", "stop stops stopped stopping", "refund refunds refunded", "set sets setting settings"]
    for family in map(str.split, families):
        for word in family:
            (found,) = inflected(word).values()
            assert found >= {*family}, f"{word} asks for the whole family"
            assert all(stems(form) == stems(word) for form in found), "what is told as a match is what was looked for"


def test_a_correction_that_only_its_reason_brings_up_says_by_which_word(store):
    store.corrections.add("half cents", "go up", why="truncation was audited")
    assert [piece.why for piece in store.context("truncation?").pieces] == ["correction, matches truncation, effective 0.90"]


# -- tokens -------------------------------------------------------------------------------------------------------------


def crowd(store):
    """More of everything than fits."""
    furnish(store)
    for number in range(30):
        store.memories.set_state("p-1", f"key {number}", f"rounding of TimeDelta in place {number}")
        for memory_type in ("identity", "preference", "project"):
            store.memories.add(memory_type, f"truncate and rounding, {memory_type} {number} of TimeDelta", project="p-1")
        store.corrections.add(f"rounding {number}", f"TimeDelta must not truncate {number}")
        store.knowledge.add_entity("Component", f"TimeDelta {number}", description="rounding")


COUNTS = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "nothing": lambda text: 0,
    "always seven": lambda text: 7,
    "more than its parts": lambda text: len(text) ** 2 // 400,
    "less than its parts": lambda text: int(len(text) ** 0.5),
    "up and down": lambda text: len(text) * (1 + len(text) % 7) // 8,
}


@pytest.mark.parametrize("name", COUNTS)
def test_it_is_never_over_the_budget_however_that_is_counted(name):
    with open_store(clock=FakeClock()) as store, store.transaction():
        crowd(store)
        for budget in (0, 1, 2, 6, 7, 30, 100, 333, 1000, 2000, 5000):
            asked = []
            pack = store.context(
                QUESTION, **HERE, max_tokens=budget, count=lambda text, asked=asked: asked.append(text) or COUNTS[name](text)
            )
            assert pack.text == "" == "".join(told(pack)) or COUNTS[name](pack.text) == pack.tokens <= budget
            assert pack.text or pack.tokens == 0
            assert len(asked) < 300 and len([text for text in asked if "\n[2] " in text]) <= 40, "it may be slow"
            assert [PLACES.index(piece.band) for piece in pack.pieces] == sorted(PLACES.index(piece.band) for piece in pack.pieces)


def spent(pack):
    return {band.name: sum(piece.tokens for piece in pack.pieces if piece.band == band.name) for band in BANDS}


def test_each_band_keeps_to_its_share_where_documents_need_the_rest(store):
    crowd(store)
    for number in range(20):
        store.documents.add_text(f"TimeDelta, part {number}: rounding and truncating. " * 3, uri=f"{number}.txt")
    pack = store.context(QUESTION, **HERE, max_tokens=1000)
    over = [spent(pack)[band.name] - 10 * band.share for band in BANDS if band.share]
    assert sum(tokens for tokens in over if tokens > 0) < 40, "what no chunk would fit into"
    assert all(spent(pack).values()) and spent(pack)["project_state"] > 180 and spent(pack)["memory"] > 230
    assert pack.tokens > 960


def test_what_documents_leave_goes_to_the_bands_again(store):
    for number in range(100):
        store.memories.add("knowledge", f"rounding of sums, the {number}th kind of it")
    store.backups.save("c-1", "coder", "z" * 1000)
    pack = store.context("rounding of sums", conversation_id="c-1", max_tokens=1000)
    assert pack.tokens > 950 and spent(pack)["memory"] > 650
    assert [len(piece.text) for piece in pack.pieces if piece.band == "backup"] == [1000]
    alone = store.context("?", conversation_id="c-1", max_tokens=300)
    assert [len(piece.text) for piece in alone.pieces] == [1000], "a note that was cut comes whole where it can"


def test_no_observation_is_told_twice_where_an_entity_has_more_than_its_share(store):
    part = store.knowledge.add_entity("Component", "TimeDelta")
    notes = {store.knowledge.observe(part.id, f"lives in file {number}").id for number in range(12)}
    pack = store.context("TimeDelta", max_tokens=400)
    assert sorted(told(pack)) == sorted({part.id, *notes})


def test_the_best_piece_of_a_band_may_go_over_its_share_what_is_trusted_most_first(store):
    store.memories.add("identity", "is an accountant in Vienna who rounds by hand")
    store.memories.add("preference", "prefers answers that fit on one line")
    for number in range(9):
        store.documents.add_text(f"Rounding {number}: " + "rounding " * number, uri=f"{number}.txt")
    for budget, bands in ((12, []), (20, ["identity"]), (31, ["identity", "preference"]), (90, ["identity", "preference", "retrieval"])):
        pack = store.context("rounding", max_tokens=budget)
        assert sorted({piece.band for piece in pack.pieces}) == bands, budget
        assert pack.tokens <= budget


def test_a_note_of_anothers_conversation_is_not_told(store):
    for conversation, user in (("of-bob", "bob"), ("of-ann", "ann"), ("of-anybody", "local")):
        store.chat.create_conversation(id=conversation, user_id=user)
    told = {}
    for conversation in ("of-bob", "of-ann", "of-anybody", "unknown"):
        store.backups.save(conversation, "coder", "went on")
        told[conversation] = [bool(store.context("?", user_id=user, conversation_id=conversation).text) for user in ("ann", "bob", None)]
    assert told == {
        "of-bob": [False, True, True], "of-ann": [True, False, True], "of-anybody": [True] * 3, "unknown": [True] * 3,
    }  # fmt: skip


def test_what_is_trusted_least_goes_first_where_all_of_it_is_too_long(store):
    crowd(store)
    seen = []
    whole = store.context(QUESTION, **HERE, max_tokens=1000)
    for limit in [*range(len(whole.text) // 4, 0, -20), 0]:
        # Each piece costs what it does by itself, and too many of them more than there is.
        pack = store.context(
            QUESTION, **HERE, max_tokens=1000, count=lambda text, limit=limit: 2000 if len(text) // 4 > limit else len(text) // 4
        )
        seen.append({piece.band for piece in pack.pieces})
    gone = [band for before, after in zip(seen, seen[1:], strict=False) for band in before - after]
    assert gone == ["backup", "entity", "correction", "memory", "preference", "identity", "project_state"]


def test_what_a_smaller_budget_has_room_for_is_not_lost_to_something_longer(store):
    store.memories.add("knowledge", "the refund window is under review")
    store.corrections.add("refund window", "60 days since 10 March, not 45", rejected="45 days", why="minutes")
    tokens = [store.context("refund window", max_tokens=budget).tokens for budget in range(60)]
    assert tokens == sorted(tokens) and len(set(tokens)) == 3


def test_a_counter_that_counts_no_tokens_is_refused(furnished):
    for wrong in (-1, 1.5, None, True, "7"):
        with pytest.raises(Invalid, match="count"):
            furnished.context(QUESTION, count=lambda text, wrong=wrong: wrong)
    for given in ({"count": 7}, {"max_tokens": -1}, {"max_tokens": 1.0}, {"project": ""}, {"user_id": 7}, {"embedding": ["a"]}):
        with pytest.raises(Invalid, match=next(iter(given))):
            furnished.context(QUESTION, **given)
    with pytest.raises(ZeroDivisionError):
        furnished.context(QUESTION, count=lambda text: 1 // 0)


# -- always the same, and nothing is written ----------------------------------------------------------------------------

ASK = """
import json, sys
from memstore import open_store
from memstore.testing import FakeClock
with open_store(sys.argv[1], clock=FakeClock()) as store:
    print(json.dumps(store.context(sys.argv[2], **json.loads(sys.argv[3])).to_dict()))
"""


def test_another_process_and_another_store_give_the_same_pack_to_the_byte(tmp_path):
    with open_store(tmp_path / "agent.db", clock=FakeClock()) as store:
        with store.transaction():
            crowd(store)
        pack = store.context(QUESTION, **HERE)
        store.export(tmp_path / "out")
    with open_store(tmp_path / "other.db", clock=FakeClock()) as other:
        other.import_(tmp_path / "out")
        assert other.context(QUESTION, **HERE) == pack
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", ASK, tmp_path / "agent.db", QUESTION, json.dumps(HERE)],
        env=environment, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert json.loads(said) == json.loads(json.dumps(pack.to_dict()))


def test_asking_makes_no_room_and_writes_nothing(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(path) as store:
        assert (store.context(QUESTION, **HERE, user_id="ann").text, store.stats().rooms) == ("", {})
        store.memories.add("identity", "is an accountant")
        rows = store.query("SELECT count(*) AS n FROM sqlite_schema")
        store.context(QUESTION, **HERE)
        assert (list(store.stats().rooms), store.query("SELECT count(*) AS n FROM sqlite_schema")) == (["memories"], rows)
    with open_store(path, read_only=True) as store:
        assert store.context(QUESTION, **HERE).text == "## Identity\n[1] is an accountant"


def test_an_encrypted_store_tells_the_same():
    with open_store(clock=FakeClock()) as plain, open_store(clock=FakeClock(), codec=Toy()) as sealed:
        for store in (plain, sealed):
            furnish(store)
        assert sealed.context(QUESTION, **HERE).text == plain.context(QUESTION, **HERE).text


# -- against a plain loop -----------------------------------------------------------------------------------------------


def plain_rank(found, words, keep_all):
    """Memories ranked in plain Python, best first."""
    ranked = []
    for item in found:
        own = set(item.content.split())
        boost = any(tag in " ".join(sorted(words)) for tag in item.domain_tags)
        if keep_all or own & words:
            ranked.append((len(own & words) / len(own), len(own & words), boost, item.confidence, item.created_at, item.id, item))
    return [item for *_, item in sorted(ranked, key=lambda each: each[:-1], reverse=True)]


def plain_cost(text):
    return max(1, len(text) // 4)


def plain_fill(heading, items, share, left):
    """What fits, by what each costs by itself and the first with its heading, until three in a row do not."""
    taken, missed = [], 0
    for item in items if min(share, left) > 0 else ():
        line = f"[1] {item.content}"
        cost = plain_cost(f"{heading}\n{line}" if heading and not taken else line)
        fits = cost <= left and plain_cost(line) <= share
        missed = 0 if fits else missed + 1
        if fits:
            taken.append(item)
            left -= cost
            share -= plain_cost(line)
        if missed == 3:
            break
    return taken, left


def plain_pack(bands, shares, budget):
    """Of ranked memories by band those that are told."""

    def text(chosen):
        lines, number = [], 0
        for name in bands:
            group = [item for item in bands[name] if item in chosen]
            lines += [f"\n## {name}"] * bool(group)
            for item in sorted(group, key=chosen.index):
                number += 1
                lines.append(f"[{number}] {item.content}")
        return "\n".join(lines)[1:]

    def longest(chosen, more):
        return next(chosen + more[:n] for n in range(len(more), -1, -1) if not n or plain_cost(text(chosen + more[:n])) <= budget)

    left, firsts, chosen = budget, {}, []
    for name, items in bands.items():
        firsts[name], left = plain_fill(f"## {name}", items[:1], left, left)
    for name, items in bands.items():
        items = items[: 8 + budget * shares[name] // 2000]
        share = budget * shares[name] // 100 - sum(plain_cost(f"[1] {item.content}") for item in firsts[name])
        rest, left = plain_fill(f"## {name}" * (not firsts[name]), items[1:], share, left)
        chosen += firsts[name] + rest
    told = longest([], chosen)
    left, more = budget - (plain_cost(text(told)) if told else 0), []
    for name, items in bands.items() if left * 20 > budget else ():
        heading = f"## {name}" * (not any(item in told for item in items))
        rest, left = plain_fill(heading, [item for item in items if item not in told], left, left)
        more += rest
    told = longest(told, more)
    return {name: [item.id for item in told if item in items] for name, items in bands.items()}


def test_it_tells_what_a_plain_loop_over_all_memories_would(rng):
    vocabulary = [f"term{number}" for number in range(12)]
    with open_store(clock=FakeClock()) as store, store.transaction():
        store.chat.create_project("Apollo", id="p")
        for number in range(60):
            store.memories.add(
                rng.choice(["identity", "preference", "project", "knowledge", "episodic", "adaptation"]),
                " ".join(rng.sample(vocabulary, rng.choice([1, 2, 4, 8]))),
                project=rng.choice([None, "p", "q"]),
                user_id=rng.choice([None, "ann", "bob"]),
                status=rng.choice(["active", "active", "candidate", "superseded"]),
                confidence=rng.choice([0.3, 0.6]),
                domain_tags=rng.choice([[], ["term1"], ["term7"]]),
                id=f"m{number:02}",
                override=True,
            )
        for _ in range(12):
            words, budget = set(rng.sample(vocabulary, 3)), rng.choice([100, 300, 600])
            user, project = rng.choice([None, "ann"]), rng.choice([None, "Apollo", "p", "q"])
            pack = store.context(" ".join(sorted(words)), project=project, user_id=user, max_tokens=budget)
            active = [item for item in store.memories.find(status="active") if user is None or item.user_id in (None, user)]
            near = [item for item in active if item.project_id in (None, "p" if project == "Apollo" else project)]
            most = 8 + budget // 10
            bands = {
                name: plain_rank([item for item in near if item.memory_type == name.lower()], words, True)[:most]
                for name in ("Identity", "Preference")
            }
            known = [item for item in near if item.memory_type not in ("identity", "preference") and item.project_id in (None, "p")]
            bands = {"Identity": bands["Identity"], "Preferences": bands["Preference"], "Memories": plain_rank(known, words, False)[:most]}
            expected = plain_pack(bands, {"Identity": 5, "Preferences": 5, "Memories": 25}, budget)
            assert [told(pack, band) for band in ("identity", "preference", "memory")] == list(expected.values())


def test_an_observation_is_told_by_itself_and_goes_from_what_was_told_with_whose_it_was(store):
    part = store.knowledge.add_entity("component", "rocket")
    kept = store.knowledge.observe(part.id, "stands in hall 4")
    store.knowledge.observe(part.id, "runs on wibbleton", user_id="ana")
    said = store.memories.capture("rocket?", context=store.context("rocket"))
    assert [piece.kind for piece in store.memories.explain(said.id).pieces] == ["entity", "observation", "observation"]
    store.knowledge.retire_observation(kept.id)
    store.erase(user_id="ana")
    assert "wibbleton" not in str(store.memories.get_interaction(said.id).to_dict())
    assert [piece.state for piece in store.memories.explain(said.id).pieces] == ["unchanged", "expired", "erased"]


def test_a_word_is_found_in_documents_as_it_is_written_there(store):
    said = ["die Stra\u00dfe", "\uff11\uff12\uff13 yen", "CO\u2082", "of\ufb01ces", "x\u00b2"]
    for text in said:
        store.documents.add_text(text)
    assert [store.context(text).pieces[0].text for text in said] == said


@pytest.mark.parametrize("subject", [{"document_id": "twin-of-it"}, {"user_id": "ana-maria"}])
def test_what_was_told_no_longer_names_what_is_erased_as_where_it_was_from(tmp_path, subject):
    with open_store(tmp_path / "agent.db") as store:
        kept = store.documents.add_text("sums are rounded", uri="kept", title="kept.md")
        store.documents.add_text("sums are rounded", id="twin-of-it", uri="twin", title="wibbleton.md", user_id="ana-maria")
        (chunk,) = store.documents.chunks("twin-of-it")
        store.memories.capture("how?", id="asked-by-ana", user_id="ana-maria")
        store.memories.add("knowledge", "sums of Ana", source_chunk_id=chunk.id, interaction_id="asked-by-ana")
        store.memories.add("knowledge", "sums of nobody", conversation_id="c-1")
        store.knowledge.add_entity("component", "sums", source_refs=["document:twin-of-it", f"chunk:{chunk.id}"])
        pack = store.context("sums rounded")
        said = store.memories.capture("?", context=pack)
        assert "the same text in wibbleton.md" in pack.pieces[-1].why
        store.erase(**subject)
        left = store.memories.get_interaction(said.id).context_pack["pieces"]
        assert [piece["source"] for piece in left] == ["memory, said in c-1", "", "", ""]
        assert [(piece["text"], piece["document_id"]) for piece in left][3] == ("sums are rounded", kept.id)
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert not [each for each in ("wibbleton", "twin-of-it", chunk.id) if each.encode() in held]
