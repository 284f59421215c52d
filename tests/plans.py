"""How SQLite goes about a question."""

from __future__ import annotations

from memstore.testing import recorded_statements


def ways(store, table, ask):
    """How a table is read while something is asked."""
    with recorded_statements(store) as seen:
        ask()
    statements = {sql.replace("Inf", "9e999") for sql in seen if sql.lstrip().startswith("SELECT")}
    plans = [row["detail"] for sql in statements for row in store.query(f"EXPLAIN QUERY PLAN {sql}")]
    assert plans
    return {plan.partition(" (")[0].replace("COVERING ", "") for plan in plans if f" {table}" in plan}
