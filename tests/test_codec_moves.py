"""Encrypted stores among the others: what leaves is plain text, what comes in is sealed, and what is erased is gone."""

from __future__ import annotations

import pytest
from erasing import ADA, Life
from exports import answers, bytes_of, fill
from toy_codec import Toy

from memstore import open_store
from memstore.testing import FakeClock


@pytest.fixture
def exported(tmp_path):
    """An export of a plain store with a little of everything."""
    with open_store(tmp_path / "plain.db", clock=FakeClock()) as plain:
        fill(plain)
        plain.export(tmp_path / "out")
        yield tmp_path / "out", answers(plain), str(plain.audit.head())


def test_a_plain_store_becomes_an_encrypted_one_and_back_and_no_byte_of_its_exports_changes(tmp_path, exported):
    out, said, anchor = exported
    with open_store(tmp_path / "sealed.db", clock=FakeClock(), codec=Toy()) as sealed:
        sealed.import_(out)
        assert answers(sealed) == said
        assert sealed.audit.verify(anchors=[anchor]).anchored_to is not None
        sealed.export(tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(out)
    with open_store(tmp_path / "sealed.db", codec=Toy()) as sealed:
        assert sealed.check().ok
        assert sealed.audit.append("query", details={"still": "ours"}).details == {"still": "ours"}
    with open_store(tmp_path / "back.db", clock=FakeClock()) as back:
        back.import_(tmp_path / "again")
        assert answers(back) == said


def test_nothing_of_an_import_is_readable_in_an_encrypted_file(tmp_path, exported, searcher):
    out, *_ = exported
    with open_store(tmp_path / "sealed.db", clock=FakeClock(), codec=Toy()) as sealed:
        sealed.import_(out)
        said = ("amber", "basalt", "to the moon", "round half even", "truncate", "what was said", "his own", "a fork")
        texts = (*said, "belief", "that is", "summer of")
        assert searcher(sealed, *texts) == []
        sealed.optimize()
        assert searcher(sealed, *texts) == []
        assert sealed.rekey(Toy(b"second")) > 0
        assert searcher(sealed, *texts) == []
        assert sealed.check().ok


@pytest.mark.parametrize("on_conflict", ["skip", "replace"])
def test_an_encrypted_store_with_a_history_takes_in_an_export_as_a_plain_one_does(tmp_path, exported, on_conflict):
    out, *_ = exported
    with open_store(tmp_path / "a.db", clock=FakeClock()) as plain, open_store(tmp_path / "b.db", clock=FakeClock(), codec=Toy()) as sealed:
        for store in (plain, sealed):
            store.chat.create_conversation(id="c1", title="ours", user_id="ann", created_at=1.0)
            store.chat.append("c1", "user", "amber of our own", id="m2", created_at=2.0)
            store.corrections.add("rounding", "ours", id="k1", created_at=3.0)
        reports = [store.import_(out, on_conflict=on_conflict) for store in (plain, sealed)]
        assert reports[0].added == reports[1].added
        assert reports[0].replaced == reports[1].replaced
        told = [answers(store) for store in (plain, sealed)]
        for each in told:  # times of the two stores differ
            for row in (*each["conversations"], *each["corrections"], *each["backups"]):
                row.pop("updated_at", None), row.pop("confirmed_at", None), row.pop("effective_confidence", None)
        assert told[0] == told[1]
        assert sealed.check().ok
        store_id = reports[1].store_id
        assert sealed.audit.verify(store_id=store_id).ok


def test_the_export_of_one_user_is_plain_text_too(tmp_path, exported):
    out, *_ = exported
    with open_store(tmp_path / "sealed.db", clock=FakeClock(), codec=Toy()) as sealed, open_store(tmp_path / "plain.db") as plain:
        sealed.import_(out)
        sealed.export(tmp_path / "ann", user_id="ann")
        plain.export(tmp_path / "same", user_id="ann")
    assert bytes_of(tmp_path / "ann") == bytes_of(tmp_path / "same")


def test_an_erasure_finds_in_ciphertext_what_it_finds_in_plain_text(tmp_path, searcher):
    receipts = []
    for name, codec in (("plain.db", None), ("sealed.db", Toy())):
        with open_store(tmp_path / name, codec=codec) as store:
            ada, bob = Life("ada", ADA), Life("bob", "bob@example.org")
            bob.live(store)
            ada.live(store)
            store.audit.append("mail.sent", user_id=bob.user_id, details={"to": ADA})
            store.chat.create_conversation(id="c-bob", user_id=bob.user_id)
            store.chat.append("c-bob", "user", f"ask {ADA} about it")
            receipts.append(store.erase(user_id=ADA))
            assert searcher(store, ADA) == ([("", ADA)] if codec is None else [])  # Bob's text about her is his
            assert store.check().ok
            assert store.audit.verify().ok
            assert not [hit for word in ada.words for hit in store.chat.search(word, limit=None) if hit.message.conversation_id != "c-bob"]
    assert receipts[0].counts == receipts[1].counts
    assert receipts[0].kept == receipts[1].kept


def test_an_id_with_quotes_is_found_in_ciphertext_too_and_for_a_message_no_text_is_opened(tmp_path):
    name, said = 'o"neill\\x@example.org', []
    for codec in (None, Toy()):
        with open_store(tmp_path / f"{codec is None}.db", codec=codec) as store:
            store.chat.create_conversation(id="b", title=f"on {name}", user_id="bob", metadata={"to": f"see {name}"})
            store.chat.append("b", "user", f"ask {name}", id="m-1815")
            store.audit.append("query", details=f"see {name}")
            said.append(store.erase(user_id=name).kept)
            opened = None if codec is None else codec.opened
            store.erase(message_id="m-1815")
            assert codec is None or codec.opened - opened <= 4, "the audit log is looked through, the texts are not"
    assert said[0] == said[1]
    assert [sentence.split()[2] for sentence in said[0]] == ["conversations", "messages", "audit_log"]
