"""What is sealed: its forms, what it is bound to, and how a table does it by itself."""

from __future__ import annotations

import base64
import json
import threading

import pytest
from toy_codec import Toy

from memstore import Corrupt, Invalid, Tampered
from memstore.kernel import Carried, Cipher, Record, Room, Schema, Table, record

from . import harness


class Token:
    """A codec whose ciphertext is readable, as Fernet's is."""

    def encrypt(self, data):
        return base64.urlsafe_b64encode(Toy().encrypt(data))

    def decrypt(self, data):
        return Toy().decrypt(base64.urlsafe_b64decode(data))


@pytest.fixture(params=[Toy, Token])
def cipher(request):
    return Cipher(request.param())


TEXTS = ["", "plain", 'quotes " and \\ and \n', "café 🙂", "\0", "x" * 10_000]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back_from_readable_ciphertext(cipher, text):
    stored = cipher.seal("things.word", ("t1",), text)
    assert stored.isascii()
    assert stored.isprintable()
    assert len(text) < 3 or text not in stored
    assert cipher.unseal("things.word", ("t1",), stored) == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_sealed_document_is_a_json_string(cipher, text):
    stored = cipher.seal_document("things.data", ("t1",), json.dumps({"a": text}))
    assert isinstance(json.loads(stored), str)
    assert json.loads(cipher.unseal_document("things.data", ("t1",), stored)) == {"a": text}


def test_a_readable_token_is_not_wrapped_again(cipher):
    marks = {Cipher(codec).seal("things.word", ("t1",), "text")[0] for codec in (Toy(), Token())}
    assert marks == {"b", "t"}


def test_bytes_come_back(cipher):
    stored = cipher.seal_bytes("things.raw", (b"\0numbers",), b"\0\xff")
    assert cipher.unseal_bytes("things.raw", (b"\0numbers",), stored) == b"\0\xff"
    with pytest.raises(Tampered):
        cipher.unseal_bytes("things.raw", (b"\0number",), stored)


@pytest.mark.parametrize(
    ("place", "owner"),
    [("things.word", ("t2",)), ("things.other", ("t1",)), ("other.word", ("t1",)), ("things.word", ("t1", "")), ("things.word", (1,))],
)
def test_what_is_read_at_another_place_is_tampered_with(cipher, place, owner):
    stored = cipher.seal("things.word", ("t1",), "text")
    with pytest.raises(Tampered, match="was written for another place"):
        cipher.unseal(place, owner, stored)


def test_nothing_can_be_moved_from_an_id_to_the_text(cipher):
    stored = cipher.seal("things.word", ('t1"]\n',), "text")
    for owner in (("t1",), ('t1"]',), ("t",)):
        with pytest.raises(Tampered):
            cipher.unseal("things.word", owner, stored)


@pytest.mark.parametrize("stored", ["", "t", "b", "b!", "plain text", "tcafé", 7, 1.5, b"", b"bytes", None, '"t"', "b" + "A" * 200])
def test_what_does_not_open_is_corrupt_and_named(cipher, stored):
    for unseal in (cipher.unseal, cipher.unseal_document, cipher.unseal_bytes):
        with pytest.raises(Corrupt, match="word of 't1' in things does not open"):
            unseal("things.word", ("t1",), stored)


def test_a_document_is_no_text_and_a_text_no_document(cipher):
    document, text = cipher.seal_document("a.b", (1,), "{}"), cipher.seal("a.b", (1,), "{}")
    for unseal, stored in ((cipher.unseal, document), (cipher.unseal_document, text)):
        with pytest.raises(Corrupt):
            unseal("a.b", (1,), stored)


def test_what_a_careless_codec_lets_through_is_corrupt_too():
    careless = type("Careless", (), {"encrypt": lambda self, data: data, "decrypt": lambda self, data: data})()
    cipher = Cipher(careless)
    with pytest.raises(Corrupt, match="is no text any more"):
        cipher.unseal_column(Carried("a", ("pk",), ("b",), blobs=("b",)), "b", (1,), cipher.seal_bytes("a.b", (1,), b"\xff"))


def test_a_codec_that_fails_or_gives_no_bytes_later_is_named():
    codec = Toy()
    cipher = Cipher(codec)
    codec.encrypt = lambda data: None
    with pytest.raises(Invalid, match="must return bytes, not NoneType"):
        cipher.seal("a.b", (1,), "text")
    codec.encrypt = lambda data: {}["key"]
    with pytest.raises(Invalid, match=r"codec.encrypt\(\) failed \(KeyError"):
        cipher.seal("a.b", (1,), "text")


def test_tags_tell_kinds_and_stores_apart_and_survive_another_codec(tmp_path):
    tags = []
    for name in ("a", "b"):
        with harness.opened(tmp_path / name, codec=Toy()) as database, harness.room(database, harness.OLD).write() as connection:
            cipher = connection.cipher
            tags += [cipher.tag("word", "amber"), cipher.tag("text", "amber"), cipher.tag("word", "ambe")]
            assert cipher.tag("word", "amber") == tags[-3] == cipher.successor(Token()).tag("word", "amber")
    assert len(set(tags)) == 6
    assert {len(tag) for tag in tags} == {32}


# -- tables -------------------------------------------------------------------------------------------------------------

SCHEMA = Schema(
    "leaves",
    version=1,
    ddl="""
CREATE TABLE leaves(
    pk   INTEGER PRIMARY KEY,
    id   TEXT NOT NULL UNIQUE,
    word TEXT NOT NULL,
    note TEXT,
    data TEXT CHECK (data IS NULL OR json_valid(data)),
    size INTEGER NOT NULL DEFAULT 0
) STRICT;
""",
    carried=(Carried("leaves", ("pk",), ("word", "note"), ("data",)),),
)


@record
class Leaf(Record):
    id: str
    word: str
    note: str | None
    data: dict[str, int] | None
    size: int


LEAVES = Table(Leaf, "leaves", json=("data",), hidden=("pk",), schema=SCHEMA)
BOTH = [Leaf("l1", "amber", None, None, 3), Leaf("l2", "", "a note", {"a": 1}, 4)]


def test_a_table_seals_what_its_schema_says(tmp_path):
    with harness.opened(tmp_path / "leaves.db", codec=Toy()) as database:
        room = Room(database, SCHEMA)
        with room.write() as connection:
            for leaf in BOTH:
                LEAVES.insert(connection, leaf)
            connection.run("UPDATE leaves SET note = ? WHERE id = ?", (*LEAVES.sealed(connection, "l1", note="changed"), "l1"))
        assert LEAVES.find(room, "ORDER BY pk") == [Leaf("l1", "amber", "changed", None, 3), BOTH[1]]
        assert "amber" not in str(room.rows("SELECT word, note, data FROM leaves"))
        assert room.rows("SELECT size, note IS NULL, data IS NULL FROM leaves") == [(3, 0, 1), (4, 0, 0)]


def test_without_a_codec_a_table_is_as_it_was(tmp_path):
    with harness.opened(tmp_path / "leaves.db") as database:
        room = Room(database, SCHEMA)
        with room.write() as connection:
            for leaf in BOTH:
                LEAVES.insert(connection, leaf)
            assert LEAVES.sealed(connection, "l1", word="a", data=None) == ["a", None]
        assert LEAVES.find(room, "ORDER BY pk") == BOTH
        assert room.rows("SELECT word FROM leaves") == [("amber",), ("",)]


def test_threads_may_seal_and_open_at_once(tmp_path):
    with harness.opened(tmp_path / "leaves.db", codec=Toy()) as database:
        room = Room(database, SCHEMA)

        def work(part):
            for number in range(20):
                with room.write() as connection:
                    LEAVES.insert(connection, Leaf(f"l{part}-{number}", f"word {part} {number}", None, None, 0))
                assert LEAVES.find(room, "WHERE id = ?", (f"l{part}-{number}",))[0].word == f"word {part} {number}"

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(LEAVES.find(room)) == 80
