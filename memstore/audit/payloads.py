"""Payloads in the file: JSON text, or under a codec bytes that are bound to their table and row.

`history` is the key of the imported log that an event is of, None where it is of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..kernel import Cipher


def sealed(cipher: Cipher | None, payload: str | None, seq: int, history: int | None = None) -> str | bytes | None:
    """A payload as the table has it."""
    if cipher is None or payload is None:
        return payload
    return cipher.seal_bytes(*_place(seq, history), payload.encode())


def unsealed(cipher: Cipher | None, stored: Any, seq: int, history: int | None = None) -> Any:
    """A payload out of the table, what is no text there as it is."""
    if cipher is None or stored is None:
        return stored
    return cipher.unseal_bytes(*_place(seq, history), stored).decode()


def _place(seq: int, history: int | None) -> tuple[str, tuple[int, ...]]:
    return ("audit_log.payload", (seq,)) if history is None else ("audit_imported.payload", (history, seq))
