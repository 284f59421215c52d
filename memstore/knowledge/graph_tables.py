"""The tables of the graph: entities, their relationships, observations."""

from __future__ import annotations

from ..kernel import Carried

DDL = """
CREATE TABLE entities(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE relationships(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE
) STRICT;
"""
CARRIED: tuple[Carried, ...] = ()
