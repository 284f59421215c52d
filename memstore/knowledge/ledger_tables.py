"""The tables of the ledger: atoms, their evidence, and what is made from them."""

from __future__ import annotations

from ..kernel import Carried

DDL = """
CREATE TABLE atoms(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE artifacts(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;
"""
CARRIED: tuple[Carried, ...] = ()
