"""The schema of the knowledge room: its graph and its ledger."""

from __future__ import annotations

from ..kernel import Schema
from . import graph_tables, ledger_tables

SCHEMA = Schema(
    "knowledge",
    version=1,
    ddl=graph_tables.DDL + ledger_tables.DDL,
    carried=(*graph_tables.CARRIED, *ledger_tables.CARRIED),
)
