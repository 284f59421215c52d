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
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Invalid, values
from ..kernel.foreign import ForeignFile
from .intake import Part, database, digest, parsed
from .remembered import keep, memory_type, renew, unfaded, until

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


class Item(NamedTuple):
    """What an item says."""

    prefix: str
    value: dict[str, Any]
    content: str
    metadata: dict[str, Any]
    valid_until: Any


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
        return [Part("store", "memories", _id, take, into="memories", again=self._again, owners=_owners)]

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def _item(self, row: Row) -> None:
        item = _said(row)
        keep(
            self._store,
            row,
            memory_type(item.value.get(name) for name in KINDS),
            item.content,
            project=item.prefix,
            metadata=item.metadata,
            valid_until=item.valid_until,
            decayed_at=unfaded(self._store),
            **row.moments("created_at", "updated_at"),
        )

    def _again(self, row: Row) -> None:
        item = _said(row)
        renew(self._store, row, ORIGIN, item.content, item.metadata, item.valid_until)


def _id(columns: dict[str, Any]) -> str:
    return digest(ORIGIN, values.text("prefix", columns.get("prefix")), values.text("key", columns.get("key")))


def _owners(row: Row) -> list[tuple[str, str]]:
    return [("project", row.columns["prefix"])]


def _said(row: Row) -> Item:
    """Take an item out of its row."""
    prefix, key, source = row.need("prefix"), row.need("key"), row.need("value")
    value = parsed("value", _decoded(source))
    if not isinstance(value, dict):
        raise Invalid(f"value is not a JSON object but {values.shorten(value)}")
    told: dict[str, Any] = {"value": value, **row.given("ttl_minutes", "expires_at")}
    ends = None if "expires_at" not in told else until("expires_at", told["expires_at"])
    metadata = {"namespace": prefix.split("."), "key": key, ORIGIN: told}
    return Item(prefix, value, _text(value) or json.dumps(value, ensure_ascii=False), metadata, ends)


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
