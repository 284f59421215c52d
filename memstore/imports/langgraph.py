"""Where the items of a LangGraph SqliteStore go: an item is a memory, and the namespace is its scope.

1. Namespace and key are what identifies an item: they make the id and stand in `metadata`, with the whole value beside.
2. A namespace is kept as `project` too, its labels joined by dots as LangGraph joins them, because the same sentence in two
   namespaces is about two people. `alias` or `create_project` give such a project a better name.
3. The content is the text that the value holds, or the value as JSON. `expires_at` becomes `valid_until`.
4. Put again over there, with another value, an item changes its memory here. An item that was deleted there is no row any more,
   so nobody can tell; its memory stays.

The trap: LangGraph stores the JSON of a value as bytes in a column declared TEXT.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.foreign import ForeignFile
from .intake import Part, database, digest, parsed
from .remembered import keep, memory_type, renew, settle, unfaded, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .intake import Intake, Row

ORIGIN = "langgraph"
_DERIVED = "derived and not taken"
BESIDE = {
    "store_migrations": _DERIVED,
    "store_vectors": _DERIVED,
    **dict.fromkeys(("checkpoints", "writes"), "states of a graph, which are no memories, were left out"),
}
MARKS = {"prefix", "key", "value"}
TEXTS = ("memory", "content", "text", "data", "fact", "value")  # where a value keeps its text, by the habits of those who put it
KINDS = ("memory_type", "type", "kind", "category")


def open_source(path: Any, *, shared: bool = False) -> ForeignFile:
    """Open a SqliteStore file."""
    return database(path, "a SqliteStore file of LangGraph", lambda tables: MARKS.issubset(tables.get("store", ())), ForeignFile, shared)


class Tables:
    """Takes items to the memories."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._store = intake.store

    def parts(self) -> list[Part]:
        """The one table of items."""
        take = self._intake.each(self._item)
        return [Part("store", "memories", _id, take, into="memories", again=self._again, last=self._last, owners=_owners)]

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def _item(self, row: Row) -> None:
        keep(self._store, row, **self._said(row))

    def _again(self, row: Row) -> bool:
        return renew(self._store, row, ORIGIN, self._said(row), lambda told: {**_meant(told), "metadata": _named(row, told)})

    def _last(self, row: Row) -> None:
        settle(self._store, row, ORIGIN, self._said(row))

    def _said(self, row: Row) -> dict[str, Any]:
        """The columns of the memory that a row is."""
        value = parsed("value", _decoded(row.need("value")))
        if not isinstance(value, dict):
            raise Invalid(f"value is not a JSON object but {values.shorten(value)}")
        values.to_json("value", value)  # before somebody looks into it: it may nest deeper than Python goes
        told = {"value": value, **row.given("ttl_minutes", "expires_at")}
        row.need("key")  # of which, as of all the rest, the metadata tell
        return {
            **_meant(told), "project": row.need("prefix"), "metadata": _named(row, told), "decayed_at": unfaded(self._store),
            **row.moments("created_at", "updated_at"),
        }  # fmt: skip


def _id(columns: dict[str, Any]) -> str:
    return digest(ORIGIN, values.text("prefix", columns.get("prefix")), values.text("key", columns.get("key")))


def _owners(row: Row) -> list[tuple[str, str]]:
    return [("project", row.columns["prefix"])]


def _named(row: Row, told: dict[str, Any]) -> dict[str, Any]:
    """What an item says, and by what it is known."""
    return {"namespace": row.columns["prefix"].split("."), "key": row.columns["key"], ORIGIN: told}


def _meant(told: dict[str, Any]) -> dict[str, Any]:
    """What an item says, in our terms."""
    value, ends = told["value"], told.get("expires_at")
    return {
        "memory_type": memory_type(value.get(name) for name in KINDS),
        "content": _text(value) or json.dumps(value, ensure_ascii=False),
        "valid_until": None if ends is None else until("expires_at", ends),
    }


def _decoded(source: Any) -> Any:
    try:
        return source.decode() if isinstance(source, bytes) else source
    except UnicodeDecodeError as error:
        raise Invalid(f"value is not UTF-8 at byte {error.start + 1}") from None


def _text(value: dict[str, Any]) -> str:
    """The text of a value, which may lie one object deeper; "" where it has none."""
    for name in TEXTS:
        found = value.get(name)
        if isinstance(found, str) and found.strip():
            return found
        if isinstance(found, dict) and (inner := _text(found)):
            return inner
    return ""
