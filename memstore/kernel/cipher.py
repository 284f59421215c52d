"""Encryption at rest, around the caller's codec: what `Schema.carried` names as sealed is ciphertext in the file.

1. We invent no cryptography. A codec has `encrypt(bytes) -> bytes` and `decrypt(bytes) -> bytes`, which must notice altered
   bytes and may be called from several threads; a `cryptography.fernet.Fernet` is one as it is.
2. What is sealed is bound to its place: the plaintext begins with a mark of the file, the column and the row's id, and all are
   compared when it is opened. So nobody can put the words of one row into another one, nor into another file of the same key.
3. The row 'codec' of `meta` is the key check, written by the first write into a file without rooms and never later: a file is
   encrypted from birth or not at all, and every write asks, once it has the lock, whether the key is still its own. It holds
   the secret of `tag` too, so a new key leaves all tags as they are.
4. Readers look at the key check in their own snapshot, so what does not open there is damage, and never somebody's `rekey`.

What still leaks to whoever has the file: how many rows there are, the length and time of each, ids and everything that rows are found by
(user, conversation, project with its name and aliases, role, domain, scope, source, specialist, model, tool call id, tag, state and type
of a belief, key of project state, kind, members and outcome of a conflict, audit references and bodies), numbers of tokens and words; of
the graph types, references and what stands in what relation to what, of the ledger also who reviewed a merge, sources, runs, chunks with
their hashes and anchors, keys of sections, and the open words (verification, strength, relation, type of an artifact); of documents type,
suffix and size, of their chunks places and lengths, what kind of thing was noticed in which, and who wants to hear from which document.
Equal tags show which rows of one kind have equal texts or share a word, though not which word, and which conflicts are of one slot. Of
the vocabulary of a keyword segment it shows how many items have the first, the second, ... word of its alphabet. The digest of an audit
event lets somebody confirm a guess of its payload, an id that `import_dpo` made one of subject and claim. A row can be removed, a value
that may be missing too, and a row or all of the file put back to an older state, unseen but by the log and an anchor of it. Copies made
before a `rekey` stay under the old key. Vectors lie plain, ids and models with them, and give away which texts are alike and to some
degree what they say: there are none but of models that `store.vectors.allow` has named. `Store.query` shows ciphertext.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import Corrupt, Invalid, StoreError, Tampered, WrongKey
from .values import shorten

if TYPE_CHECKING:
    from .connection import Connection, Database
    from .schema import Carried

BEGINNING = b"memstore codec 1\0"
SECRET = 32  # bytes
CHECK = "SELECT value FROM meta WHERE key = 'codec'"
ROOMS = "SELECT 1 FROM schema_version WHERE room <> 'kernel' LIMIT 1"
PLAIN = "export it, and import that into a new store opened with codec="
_AS_IT_IS = re.compile(rb"[!#-\[\]-~]+")  # printable, and nothing that JSON would escape

Owner = Sequence[Any]  # what identifies a row, from the columns that `Carried.owner` names


class Cipher:
    """A codec, and what is known of the file that it opens."""

    def __init__(self, codec: Any) -> None:
        self._codec = working(codec)  # of the file, as the newest write found it
        self._codecs: tuple[Any, ...] = (codec,)  # two after a rekey: a reader may be in a snapshot from before
        self._checks: dict[str, Any] = {}  # key check -> the codec that opens it
        self._secret = self._file = b""

    # -- whose file it is -------------------------------------------------------------------------------------------

    def confirm(self, connection: Connection, database: Database, *, write: bool) -> None:
        """Make sure, at the start of a read or write, that the file is encrypted, and with this key."""
        check = connection.value(CHECK)
        if check is None:
            if connection.value(ROOMS) is not None:
                raise Invalid(f"{database.name} is not encrypted; {PLAIN}")
            if write:
                self._begin(connection)
            return
        codec = self._checks.get(check)
        if codec is None:
            codec = self._meet(connection, check, database.name)
        if write:
            self._codec = codec

    def _begin(self, connection: Connection) -> None:
        self._keep(os.urandom(SECRET))
        check = self.check_of(connection)
        connection.run("INSERT INTO meta(key, value) VALUES ('codec', ?)", (check,))
        self._checks[check] = self._codec

    def _meet(self, connection: Connection, check: str, name: str) -> Any:
        for codec in self._codecs:
            secret = self._secret_in(connection, codec, check)
            if secret is not None:
                self._keep(secret)
                self._checks[check] = codec
                return codec
        if self._checks:
            raise WrongKey(f"{name} was given another key since it was opened; open it again with the new one as codec=")
        raise WrongKey(f"{name} is encrypted with another key than that of codec=; nothing was read or changed")

    def _keep(self, secret: bytes) -> None:
        self._secret = secret
        self._file = self.tag("file", "")[:16].encode()  # the store id would do, did an import into an empty store not change it

    def check_of(self, connection: Connection) -> str:
        """The key check of this file."""
        return _text(encrypted(self._codec, _beginning(connection) + self._secret))

    def opens(self, connection: Connection, check: str) -> bool:
        """Whether a key check is one of this file and codec."""
        return self._secret_in(connection, self._codec, check) == self._secret

    def _secret_in(self, connection: Connection, codec: Any, check: str) -> bytes | None:
        plain, beginning = _opened([codec], check), _beginning(connection)
        if plain is None or not plain.startswith(beginning) or len(plain) != len(beginning) + SECRET:
            return None
        return plain[len(beginning) :]

    def successor(self, codec: Any) -> Cipher:
        """The same with another codec; tags stay as they are."""
        new = Cipher(codec)
        new._keep(self._secret)
        return new

    def turn(self, codec: Any) -> None:
        """Seal with another codec, to which this write brings the file; the next write looks which one it has come to be."""
        self._codecs = (codec, self._codec)
        self._codec = codec

    def moved(self, connection: Connection) -> None:
        """Write the key check anew after the file took another store id."""
        check = self.check_of(connection)
        connection.run("UPDATE meta SET value = ? WHERE key = 'codec'", (check,))
        self._checks[check] = self._codec

    # -- values -----------------------------------------------------------------------------------------------------

    def seal(self, place: str, owner: Owner, text: str) -> str:
        """Encrypt a text of a row; `place` is table.column."""
        return _text(self.seal_bytes(place, owner, text.encode()))

    def unseal(self, place: str, owner: Owner, stored: Any) -> str:
        """Decrypt a text of a row."""
        return _legible(place, owner, self._unsealed(place, owner, stored))

    def seal_document(self, place: str, owner: Owner, source: str) -> str:
        """Encrypt a JSON text as a JSON string, for the CHECK of its column and the functions of SQLite."""
        return f'"{self.seal(place, owner, source)}"'

    def unseal_document(self, place: str, owner: Owner, stored: Any) -> str:
        """Decrypt a JSON text."""
        return self.unseal(place, owner, stored[1:-1] if isinstance(stored, str) and stored[:1] == stored[-1:] == '"' else None)

    def seal_bytes(self, place: str, owner: Owner, data: bytes) -> bytes:
        """Encrypt bytes of a row."""
        return encrypted(self._codec, self._bound(place, owner) + data)

    def unseal_bytes(self, place: str, owner: Owner, stored: Any) -> bytes:
        """Decrypt bytes of a row."""
        return self._unsealed(place, owner, stored if isinstance(stored, bytes) else None)

    def _bound(self, place: str, owner: Owner) -> bytes:
        """What a plaintext begins with: the file and the place; JSON has no line feed, so nothing moves from the id to the text or back."""
        return self._file + f"{place}{json.dumps([_short(value) for value in owner])}\n".encode()

    def _unsealed(self, place: str, owner: Owner, stored: Any) -> bytes:
        bound = self._bound(place, owner)
        codec = self._codec
        codecs = (codec, *(other for other in self._codecs if other is not codec))
        plain = _opened(codecs, stored)
        if plain is None or not plain.startswith(bound):
            self._try_codec()  # damage is told from a codec that fails for now: searches and the index go on without what is damaged
            plain = _opened(codecs, stored)
        if plain is None:
            raise Corrupt(f"{_named(place, owner)} does not open with the key of this file: it is damaged; check() lists what else is")
        if not plain.startswith(bound):
            raise Tampered(f"{_named(place, owner)} was written for another place and put here by somebody; check() lists what else is")
        return plain[len(bound) :]

    def _try_codec(self) -> None:
        """Refuse to go on with a codec that does not even open the key check that it has opened before."""
        for check, codec in self._checks.items():
            if (_opened([codec], check) or b"").endswith(self._secret):
                return
        if self._checks:
            raise WrongKey("codec.decrypt() fails even for the key check of this file, which it opened before; nothing was read or changed")

    def seal_column(self, carried: Carried, column: str, owner: Owner, value: str | None) -> str | bytes | None:
        """Encrypt a value of a sealed column as the table has it."""
        if value is None:
            return None
        place = f"{carried.table}.{column}"
        if column in carried.blobs:
            return self.seal_bytes(place, owner, value.encode())
        return self.seal_document(place, owner, value) if column in carried.documents else self.seal(place, owner, value)

    def unseal_column(self, carried: Carried, column: str, owner: Owner, stored: Any) -> str | None:
        """Decrypt a value of a sealed column."""
        if stored is None:
            return None
        place = f"{carried.table}.{column}"
        if column in carried.blobs:
            return _legible(place, owner, self.unseal_bytes(place, owner, stored))
        return self.unseal_document(place, owner, stored) if column in carried.documents else self.unseal(place, owner, stored)

    def tag(self, kind: str, text: str) -> str:
        """Digest by which equal texts of one kind are found without saying what they are; 32 hex digits."""
        import hmac  # only encrypted stores pay for it

        return hmac.digest(self._secret, f"{kind}\0{text}".encode(), "sha256").hex()[:32]


class Unencrypted:
    """What stands in the place of a cipher until a handle without codec has seen that its file is a plain one for good."""

    def confirm(self, connection: Connection, database: Database, *, write: bool) -> None:
        """Refuse an encrypted file; one with a room and no key check never becomes one."""
        row = connection.row(f"SELECT ({CHECK}), ({ROOMS})")  # in one statement, which sees one state
        check, rooms = (None, None) if row is None else row
        if check is not None:
            raise WrongKey(f"{database.name} is encrypted: open it with open_store(..., codec=...)")
        if rooms is not None:
            database.guard = None


def _beginning(connection: Connection) -> bytes:
    return BEGINNING + str(connection.value("SELECT value FROM meta WHERE key = 'store_id'")).encode()


def working(codec: Any) -> Any:
    """Refuse what is no codec, or does not give back what it was given."""
    if not callable(getattr(codec, "encrypt", None)) or not callable(getattr(codec, "decrypt", None)):
        needed = "encrypt(bytes) -> bytes and decrypt(bytes) -> bytes, as a Fernet has"
        raise Invalid(f"codec must have {needed}; {type(codec).__name__} has not")
    if _opened([codec], _text(encrypted(codec, BEGINNING))) != BEGINNING:
        raise Invalid("codec does not decrypt what it has encrypted: both must be of one key, and take and return bytes")
    return codec


def encrypted(codec: Any, data: bytes) -> bytes:
    """What a codec makes of some bytes."""
    try:
        result = codec.encrypt(data)
    except StoreError:
        raise
    except Exception as error:
        raise Invalid(f"codec.encrypt() failed ({type(error).__name__}: {shorten(str(error))}); nothing was written") from error
    if not isinstance(result, bytes):
        raise Invalid(f"codec.encrypt() must return bytes, not {type(result).__name__}")
    return result


def _opened(codecs: Sequence[Any], stored: Any) -> bytes | None:
    """What the first codec that opens it finds in a stored value; None where none does."""
    data = stored if isinstance(stored, bytes) else _ciphertext(stored)
    for codec in codecs if data is not None else ():
        try:
            plain = codec.decrypt(data)
        except Exception as error:  # each codec has errors of its own
            if isinstance(error, MemoryError):
                raise
            continue
        if isinstance(plain, bytes):
            return plain
    return None


def _text(ciphertext: bytes) -> str:
    """Ciphertext as a text column holds it: as it is where it is a readable token, else in base64."""
    if _AS_IT_IS.fullmatch(ciphertext):
        return "t" + ciphertext.decode("ascii")
    return "b" + base64.b64encode(ciphertext).decode("ascii")


def _ciphertext(stored: Any) -> bytes | None:
    if not isinstance(stored, str) or not stored.isascii():
        return None
    if stored[:1] == "t":
        return stored[1:].encode("ascii")
    try:
        return base64.b64decode(stored[1:], validate=True) if stored[:1] == "b" else None
    except ValueError:
        return None


def _legible(place: str, owner: Owner, plain: bytes) -> str:
    try:
        return plain.decode()
    except UnicodeDecodeError as error:  # a codec that does not notice altered bytes
        raise Corrupt(f"{_named(place, owner)} is no text any more ({error}); check() lists what else is damaged") from None


def _short(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def _named(place: str, owner: Owner) -> str:
    table, _, column = place.partition(".")
    return f"{column} of {', '.join(shorten(_short(value)) for value in owner)} in {table}"
