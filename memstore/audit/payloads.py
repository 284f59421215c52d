"""Payloads in the file: JSON text, or under a codec bytes that are bound to their table and row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..kernel import Cipher


def sealed(cipher: Cipher | None, payload: str | None, *owner: int, table: str = "audit_log") -> str | bytes | None:
    """A payload as the table has it; `owner` is the seq, in `audit_imported` the history and the seq."""
    if cipher is None or payload is None:
        return payload
    return cipher.seal_bytes(f"{table}.payload", owner, payload.encode())


def unsealed(cipher: Cipher | None, stored: Any, *owner: int, table: str = "audit_log") -> Any:
    """A payload out of the table, what is no text there as it is."""
    if cipher is None or stored is None:
        return stored
    return cipher.unseal_bytes(f"{table}.payload", owner, stored).decode()
