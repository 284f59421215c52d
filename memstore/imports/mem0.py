"""Where the memories of mem0 go: the JSON that `Memory.get_all()` gives, saved to a file.

1. Of `{"results": [...]}`, the older bare list, or lines of JSON each entry is an active memory of its `user_id`, under its own id.
2. Its type is the first of its categories that means one of ours, else knowledge; the categories become tags.
3. What is mem0's own (agent_id, run_id, hash, ...) stands in `metadata["mem0"]`. Changed over there, a memory changes here too.

The relations of mem0's graph are counted and left out: their ends have no ids to know them by.
"""

from __future__ import annotations

import os
from hashlib import md5
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from .intake import Part
from .lines import LineFiles, existing
from .remembered import keep, memory_type, renew, settle, unfaded, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .intake import Intake, Row

ORIGIN = "mem0"
BESIDE: dict[str, str] = {}
TEXTS = ("memory", "text", "data")  # newest name first
LISTS = {"memories": ("results", "memories"), "relations": ("relations",)}
TAGS = 10


class Document(LineFiles):
    """What get_all() gave."""

    def items(self, table: str, path: str, said: Any) -> list[Any]:
        """The memories, or the relations of the graph."""
        if isinstance(said, list):
            return said if table == "memories" else []
        found = next((said[name] for name in LISTS[table] if name in said), None) if isinstance(said, dict) else None
        if not isinstance(found, list) and table == "memories":
            raise Invalid(f"{path} is not what mem0's get_all() gives: neither a list of memories nor an object with results")
        return found if isinstance(found, list) else []


def open_source(path: Any, *, shared: bool = False) -> Document:
    """Open a file of memories."""
    place = existing(path)
    if not os.path.isfile(place):
        raise Invalid(f"{place} is a folder; name the file that holds what get_all() gave")
    source = Document(place, dict.fromkeys(LISTS if place.endswith(".json") else ("memories",), place))
    source.count("memories")  # so that another document is refused before a store is begun
    return source


class Tables:
    """Takes entries to the memories."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._store = intake.store

    def parts(self) -> list[Part]:
        """The one list of memories."""
        return [Part("memories", "memories", "id", self._intake.each(self._memory), again=self._again, last=self._last)]

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def _memory(self, row: Row) -> None:
        keep(self._store, row, **self._said(row))

    def _again(self, row: Row) -> bool:
        now = self._said(row)

        def said(told: dict[str, Any]) -> dict[str, Any]:
            same = told.get("hash") == now["metadata"][ORIGIN]["hash"]
            return {**_meant(told), "content": now["content"] if same else None}

        return renew(self._store, row, ORIGIN, now, said)

    def _last(self, row: Row) -> None:
        settle(self._store, row, ORIGIN, self._said(row))

    def _said(self, row: Row) -> dict[str, Any]:
        """The columns of the memory that a row is; what mem0 changes whenever it writes one anew stands in `metadata`."""
        content = values.text("memory", row.need(next((name for name in TEXTS if name in row.left), TEXTS[0])))
        user, times = row.left.pop("user_id", None), row.moments("created_at", "updated_at")
        row.left.pop("score", None)
        row.left.setdefault("hash", md5(content.encode(), usedforsecurity=False).hexdigest())  # as mem0 makes it, which did not always
        if row.columns.get("updated_at") is not None:
            row.left["updated_at"] = row.columns["updated_at"]
        told, row.left = row.left, {}  # all of it has a home in the metadata
        return {
            **_meant(told), "content": content, "user_id": user or None, "decayed_at": unfaded(self._store), **times,
        }  # fmt: skip


def _meant(told: dict[str, Any]) -> dict[str, Any]:
    """What mem0 says beside the text, in our terms."""
    own = told.get("metadata")
    own = {name: value for name, value in own.items() if name != ORIGIN} if isinstance(own, dict) else {}
    labels = [word for source in (own, told) for name in ("category", "categories") for word in _listed(source.get(name))]
    return {
        "memory_type": memory_type([own.get("memory_type"), *labels]),
        "domain_tags": list(dict.fromkeys(word.strip().lower() for word in labels if word.strip()))[:TAGS],
        "valid_until": until("expiration_date", told["expiration_date"]) if told.get("expiration_date") is not None else None,
        "metadata": {**own, ORIGIN: told},
    }


def _listed(said: Any) -> list[str]:
    """A word or a list of words as a list."""
    return [word for word in (said if isinstance(said, list) else [said]) if isinstance(word, str)]
