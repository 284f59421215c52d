"""What was erased, remembered without saying it: so that no import brings it back.

A digest is SHA-256 of a salt, a kind ("user", "conversation", "message", ...) and an id, each ended by a NUL, which no id holds.
The salt is the store's own and stands beside the digest: it keeps digests of two stores apart and cannot keep somebody who has the
file and guesses an id from seeing that the guess is right. What came with an import keeps the salt of the store that it came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..kernel import Connection

Erased = tuple[str, str]  # kind and id
RETIRED = "retired memory"  # the kind of those that a prune removed, which would be believed again if they came in again


def subject_digest(salt: bytes, kind: str, id: str) -> bytes:
    """The digest by which something erased is known."""
    return sha256(salt + f"{kind}\0{id}\0".encode()).digest()


def own_salt(connection: Connection) -> bytes:
    """The salt of what is erased from now on."""
    salt: bytes | None = connection.value("SELECT salt FROM audit_erased LIMIT 1")
    return os.urandom(16) if salt is None else salt


def remember(connection: Connection, salt: bytes, erased: Iterable[Erased]) -> None:
    """Write down what is being erased."""
    connection.many(
        "INSERT INTO audit_erased(salt, digest) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(salt, subject_digest(salt, kind, id)) for kind, id in erased],
    )


def were_erased(connection: Connection, asked: Iterable[Erased]) -> set[Erased]:
    """Which of these were erased once."""
    salts = [row[0] for row in connection.rows("SELECT DISTINCT salt FROM audit_erased")]
    known = "SELECT 1 FROM audit_erased WHERE salt = ? AND digest = ?"
    return {
        (kind, id)
        for kind, id in asked
        if any(connection.value(known, (salt, subject_digest(salt, kind, id))) is not None for salt in salts)
    }
