"""The tables of the conflicts room and the records that are read from them."""

from __future__ import annotations

from ..kernel import Schema

SCHEMA = Schema(
    "conflicts",
    version=1,
    ddl="""
CREATE TABLE conflicts(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;
""",
)
