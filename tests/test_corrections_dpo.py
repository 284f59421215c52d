"""Preference pairs out of the corrections and into them."""

from __future__ import annotations

import json
import os

import pytest

from memstore import Invalid, open_store
from memstore.corrections.decay import YEAR


@pytest.fixture
def corrections(store):
    return store.corrections


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def everything(store):
    return [item.to_dict() for item in store.corrections.find(include_superseded=True)]


# -- export -------------------------------------------------------------------------------------------------------------


def test_export_has_the_keys_that_trainers_want_and_no_other(corrections, tmp_path):
    corrections.add("Größe", "runden", rejected="abschneiden", why="w", metadata={"a": 1})
    corrections.add("subject", "right", rejected="wrong", prompt="the whole question")
    path = tmp_path / "pairs.jsonl"
    assert corrections.export_dpo(path) == 2
    assert lines(path) == [
        {"prompt": "Größe", "chosen": "runden", "rejected": "abschneiden"},
        {"prompt": "the whole question", "chosen": "right", "rejected": "wrong"},
    ]
    assert "Größe" in path.read_text("utf-8")


def test_export_can_be_conversational(corrections, tmp_path):
    corrections.add("s", "c", rejected="r")
    path = tmp_path / "pairs.jsonl"
    corrections.export_dpo(str(path), conversational=True)
    assert lines(path) == [
        {
            "prompt": [{"role": "user", "content": "s"}],
            "chosen": [{"role": "assistant", "content": "c"}],
            "rejected": [{"role": "assistant", "content": "r"}],
        }
    ]


def test_export_leaves_out_what_is_no_pair_or_too_weak(corrections, tmp_path, store_clock):
    corrections.add("s", "no rejection")
    corrections.add("s", "blank", rejected=" \n")
    corrections.add("s", "same", rejected="same")
    corrections.add("s", "weak", rejected="r", confidence=0.69)
    gone = corrections.add("s", "gone", rejected="r")
    corrections.supersede(gone.id)
    corrections.add("s", "at the threshold", rejected="r", confidence=0.7, decay_class="A")
    corrections.add("s", "fades", rejected="r", confidence=0.71, decay_class="D")
    path = tmp_path / "pairs.jsonl"
    assert corrections.export_dpo(path) == 2
    store_clock.advance(YEAR)
    assert corrections.export_dpo(path) == 1
    assert lines(path)[0]["chosen"] == "at the threshold"
    assert corrections.export_dpo(path, min_effective=0) == 3


def test_export_goes_by_created_at_then_id_and_gives_the_same_bytes(corrections, tmp_path, store_clock):
    for name, at in (("z", 5.0), ("b", 1.0), ("a", 1.0), ("m", 3.0)):
        corrections.add("s", f"claim {name}", rejected="r", id=name, created_at=store_clock.now - 10 + at)
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    corrections.export_dpo(one, meta=True)
    corrections.export_dpo(two, meta=True)
    assert [row["id"] for row in lines(one)] == ["a", "b", "m", "z"]
    assert one.read_bytes() == two.read_bytes()


def test_export_filters_by_domain_source_and_time(corrections, tmp_path, store_clock):
    now = store_clock.now
    corrections.add("s", "one", rejected="r", domain="web", created_at=now - 2)
    corrections.add("s", "two", rejected="r", source="arbiter", created_at=now - 1)
    path = tmp_path / "pairs.jsonl"
    for given, chosen in (({"domain": "web"}, "one"), ({"source": "arbiter"}, "two"), ({"since": now - 1}, "two")):
        assert corrections.export_dpo(path, **given) == 1
        assert lines(path)[0]["chosen"] == chosen
    assert corrections.export_dpo(path, since=now) == 0
    assert path.read_bytes() == b""


def test_every_rejected_text_gives_a_pair(corrections, tmp_path):
    corrections.add("s", "c", rejected="r1")
    corrections.add("s", "c", rejected="r2")
    path = tmp_path / "pairs.jsonl"
    assert corrections.export_dpo(path) == 2
    assert [row["rejected"] for row in lines(path)] == ["r1", "r2"]


def test_export_replaces_whole_and_leaves_no_other_file(corrections, tmp_path):
    corrections.add("s", "c", rejected="r")
    path = tmp_path / "pairs.jsonl"
    path.write_text("old")
    corrections.export_dpo(path)
    assert len(lines(path)) == 1
    assert [name for name in os.listdir(tmp_path) if not name.startswith("agent.db")] == ["pairs.jsonl"]


@pytest.mark.parametrize("place", ["", "missing/pairs.jsonl", "folder", "nul\0"])
def test_export_to_no_place_is_refused(corrections, tmp_path, place):
    (tmp_path / "folder").mkdir()
    corrections.add("s", "c", rejected="r")
    with pytest.raises(Invalid):
        corrections.export_dpo(f"{tmp_path}/{place}" if place else "")
    assert sorted(name for name in os.listdir(tmp_path) if not name.startswith("agent.db")) == ["folder"]


def test_the_store_itself_is_neither_written_over_nor_read(file_store):
    file_store.corrections.add("s", "c", rejected="r")
    for call in (file_store.corrections.export_dpo, file_store.corrections.import_dpo):
        with pytest.raises(Invalid, match="database in use"):
            call(file_store.path)
    assert file_store.corrections.count() == 1


# -- import -------------------------------------------------------------------------------------------------------------


def test_a_second_import_stores_nothing_and_changes_nothing(corrections, store, tmp_path):
    path = write(
        tmp_path / "pairs.jsonl",
        {"prompt": "p", "chosen": "c", "rejected": "r"},
        {"subject": "s", "claim": "k", "rejected": "", "domain": "web", "confidence": 0, "source": "manual"},
        {"prompt": "ü", "chosen": "漢"},
    )
    assert corrections.import_dpo(path) == 3
    before = everything(store)
    assert corrections.import_dpo(path) == 0
    assert everything(store) == before
    (event,) = store.audit.find(event_type="correction.import")
    assert event.details == {"count": 3}


def test_import_maps_the_columns_and_knows_their_defaults(corrections, tmp_path):
    path = write(
        tmp_path / "pairs.jsonl",
        {"prompt": "p", "chosen": "c", "rejected": "r", "domain": None},
        {"subject": "s", "prompt": "the whole question", "claim": "k", "confidence": 0, "source": "", "domain": "web", "unknown": 1},
    )
    corrections.import_dpo(path)
    (two, one) = corrections.find()
    assert (one.subject, one.claim, one.rejected, one.domain, one.confidence, one.source) == ("p", "c", "r", "general", 0.7, "arbiter")
    assert one.prompt is None
    assert (two.subject, two.prompt, two.claim, two.confidence, two.source) == ("s", "the whole question", "k", 0.0, "")


def test_keys_of_somebody_else_are_left(corrections, tmp_path):
    row = {"prompt": "p", "chosen": "c", "id": 17, "created_at": "2024-01-01T00:00:00", "scope": ["x"], "why": 1, "decay_class": "fast"}
    assert corrections.import_dpo(write(tmp_path / "pairs.jsonl", row)) == 1
    (stored,) = corrections.find()
    assert (stored.scope, stored.why, stored.decay_class) == ("global", "", "C") and stored.id.startswith("dpo-")


def test_import_reads_conversations(corrections, tmp_path):
    path = write(
        tmp_path / "pairs.jsonl",
        {
            "prompt": [{"role": "system", "content": "be kind"}, {"role": "user", "content": [{"type": "text", "text": "how?"}]}],
            "chosen": [{"role": "assistant", "content": "so"}],
            "rejected": [{"role": "assistant", "content": "thus"}],
        },
    )
    assert corrections.import_dpo(path) == 1
    (stored,) = corrections.find()
    assert (stored.subject, stored.prompt, stored.claim, stored.rejected) == ("how?", "be kind\nhow?", "so", "thus")


def test_import_keeps_every_rejection_of_one_claim_and_never_raises_for_a_rejected_one(corrections, tmp_path):
    rows = [{"prompt": "p", "chosen": "c", "rejected": rejected} for rejected in ("r1", "r2", "R1 ")]
    path = write(tmp_path / "pairs.jsonl", *rows, {"prompt": "p", "chosen": "r1", "rejected": "c"})
    assert corrections.import_dpo(path) == 3
    assert corrections.import_dpo(path) == 0
    assert {item.claim: corrections.rejections(item.id) for item in corrections.find()} == {"c": ["r1", "r2"], "r1": ["c"]}


def test_an_import_does_not_bring_back_what_was_superseded(corrections, tmp_path):
    path = write(tmp_path / "pairs.jsonl", *[{"prompt": "p", "chosen": "c", "rejected": r} for r in ("r1", "r2")])
    corrections.import_dpo(path)
    corrections.supersede(corrections.find()[0].id)
    assert corrections.import_dpo(path) == 0
    assert corrections.find() == []


def test_an_import_leaves_a_correction_that_says_the_same_as_it_is(corrections, tmp_path, store_clock):
    added = corrections.add("p", "c", confidence=0.3, why="mine")
    store_clock.advance(5)
    assert corrections.import_dpo(write(tmp_path / "a.jsonl", {"prompt": "P", "chosen": "C", "rejected": "r"})) == 1
    merged = corrections.get(added.id)
    assert (merged.claim, merged.confidence, merged.why, merged.rejected) == ("c", 0.3, "mine", "r")
    assert merged.confirmed_at == added.confirmed_at


def test_a_folder_is_read_by_name(corrections, tmp_path):
    folder = tmp_path / "dpo_pairs"
    folder.mkdir()
    for name in ("b.jsonl", "a.jsonl", "ignored.txt"):
        write(folder / name, {"prompt": name, "chosen": "c", "rejected": "r"})
    assert corrections.import_dpo(folder) == 2
    assert [item.subject for item in corrections.find()] == ["b.jsonl", "a.jsonl"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert corrections.import_dpo(empty) == 0


BAD = [
    "not json",
    "",
    "[]",
    '{"chosen": "c"}',
    '{"prompt": "p"}',
    '{"prompt": " ", "chosen": "c"}',
    '{"prompt": "p", "chosen": ""}',
    '{"prompt": 1, "chosen": "c"}',
    '{"prompt": "p", "chosen": ["c"]}',
    '{"prompt": "p", "chosen": [{"role": "assistant", "content": null}]}',
    '{"prompt": "p", "chosen": "c", "confidence": 2}',
    '{"prompt": "p", "chosen": "c", "confidence": NaN}',
    '{"prompt": "p", "chosen": "c", "confidence": "0.7"}',
    '{"prompt": "\\ud800", "chosen": "c"}',
    '{"prompt": "p", "chosen": "c", "domain": "a\\u0000"}',
    "[" * 100_000,
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_line_is_named_and_nothing_is_stored(corrections, store, tmp_path, bad):
    path = write(tmp_path / "pairs.jsonl", {"prompt": "p", "chosen": "c"}, bad, {"prompt": "q", "chosen": "c"})
    with pytest.raises(Invalid, match=r"pairs\.jsonl line 2"):
        corrections.import_dpo(path)
    assert everything(store) == [] and store.audit.find() == []
    assert corrections.import_dpo(path, skip_invalid=True) == 2


def test_bytes_that_are_no_utf8_are_a_bad_line(corrections, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "p", "chosen": "c"}\r\n\xff\n')
    with pytest.raises(Invalid, match="line 2"):
        corrections.import_dpo(path)
    assert corrections.import_dpo(path, skip_invalid=True) == 1


@pytest.mark.parametrize("path", ["", "nowhere.jsonl", 7, None])
def test_a_path_that_is_none_is_refused(corrections, path):
    with pytest.raises(Invalid):
        corrections.import_dpo(path)


@pytest.mark.parametrize("conversational", [False, True])
def test_what_is_exported_comes_back(corrections, tmp_path, conversational):
    for n in range(5):
        corrections.add(f"s{n}", f"ü\nc{n}", rejected="r", domain="web", scope="x", confidence=0.8, decay_class="B", why="w", created_at=n)
    path = tmp_path / "pairs.jsonl"
    assert corrections.export_dpo(path, meta=True, min_effective=0, conversational=conversational) == 5
    assert corrections.import_dpo(path) == 0
    with open_store() as other:
        assert other.corrections.import_dpo(path) == 5
        columns = ("id", "subject", "claim", "rejected", "domain", "scope", "confidence", "source", "decay_class", "why", "created_at")
        mine, theirs = ([[getattr(item, c) for c in columns] for item in room.find()] for room in (corrections, other.corrections))
        assert mine == theirs
        again = tmp_path / "again.jsonl"
        other.corrections.export_dpo(again, meta=True, min_effective=0, conversational=conversational)
    assert again.read_bytes() == path.read_bytes()
