"""What the parts of the ledger do alike with their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..kernel import Exists, Record, Table, new_id, values
from ..kernel.words import key_of
from .view import Knowing

if TYPE_CHECKING:
    from ..kernel import Connection, Room

R = TypeVar("R")

OF_ATOM = "atom = (SELECT a.pk FROM atoms AS a WHERE a.id = ?)"


class Rows(Knowing):
    """What atoms and artifacts are found by."""

    def _text_key(self, text: str) -> str:
        """The key of a text as the file has it."""
        return key_of(text, self.db.cipher)

    def _scope(self, project: str | None, user_id: str | None) -> list[tuple[str, Any]]:
        """What rows of a project must meet, and those of a user and everybody, each with its one parameter."""
        terms: list[tuple[str, Any]] = []
        if user_id is not None:
            terms.append(("(user_id IS NULL OR user_id = ?)", values.key("user_id", user_id)))
        if project is not None:
            terms.append(("project_id = ?", self._canonical(values.key("project", project), user_id)))
        return terms


def filled(connection: Connection, table: Table[Any], kind: str, columns: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The columns of a new row, with an id that no other has, and with the time."""
    id, born = columns["id"], columns["created_at"]
    if id is not None and connection.value(f"SELECT 1 FROM {table.name} WHERE id = ?", (id,)):
        raise Exists(f"there is {kind} {values.shorten(id)} already; give another id, or none")
    return {**columns, "id": new_id() if id is None else id, "created_at": now if born is None else born}


def arrived(room: Room, table: Table[R], terms: list[tuple[str, str, str | None]], limit: int | None) -> list[R]:
    """The rows that meet the terms (SQL, argument, its value) whose value is given, oldest first."""
    given = [(term, values.key(name, value)) for term, name, value in terms if value is not None]
    clause = "".join(f" AND {term}" for term, _ in given)
    return table.find(room, f"WHERE 1{clause} ORDER BY pk LIMIT ?", (*[value for _, value in given], values.limit(limit)))


def shown(item: Record, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a record."""
    return {name: getattr(item, name) for name in names}
