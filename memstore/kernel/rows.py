"""What rooms do alike with the rows of their tables: begin one, find one by its id, some by conditions, all a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import values
from .errors import Exists, NotFound

if TYPE_CHECKING:
    from .connection import Connection
    from .room import Canonical
    from .table import Reader, Table

R = TypeVar("R")
Term = tuple[str, *tuple[Any, ...]]  # a condition, and what it is asked with
Span = tuple[int, int]  # the first and the last integer key of a page

AMONG = "IN (SELECT value FROM json_each(?))"  # what `listed` makes is bound to it
THEIRS = f"(user_id IS NULL OR user_id {AMONG})"  # and what `followers` finds to this
JOINER = "project-join"  # the actor of what happens when rows follow a name to its project


def listed(items: Iterable[object]) -> str:
    """Several values as one that can be bound."""
    return json.dumps(list(items), ensure_ascii=False)


def filled(connection: Connection, table: Table[Any], kind: str, columns: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The columns of a new row, with an id that no other has, and with the time."""
    id, born = columns["id"], columns["created_at"]
    if id is not None:
        refuse_taken(connection, table, kind, id, "give another id, or none")
    return {**columns, "id": values.new_id() if id is None else id, "created_at": now if born is None else born}


def refuse_taken(connection: Connection, table: Table[Any], kind: str, id: str, hint: str) -> None:
    """Raise Exists where a row has the id already; `kind` has its article."""
    if connection.value(f"SELECT 1 FROM {table.name} WHERE id = ?", (id,)):
        raise Exists(f"there is {kind} {values.shorten(id)} already; {hint}")


def known(reader: Reader, table: Table[R], kind: str, id: str, where: str) -> R:
    """The row with an id, or NotFound, which says `where` to look."""
    found = table.first(reader, "WHERE id = ?", (id,))
    if found is None:
        near = values.suggest(id, [row[0] for row in reader.rows(f"SELECT id FROM {table.name} ORDER BY pk DESC LIMIT 1000")])
        raise NotFound(f"no {kind} {values.shorten(id)}{near}; {where} lists them")
    return found


# -- by conditions ------------------------------------------------------------------------------------------------------


def filters(*terms: Term) -> list[Term]:
    """Those of the conditions that somebody has given something for; None is nothing."""
    return [term for term in terms if term[1] is not None]


def scope(canonical: Canonical, project: str | None, user_id: str | None) -> list[Term]:
    """What rows of a project must meet, and those of a user and everybody."""
    project, user_id = values.optional(values.key, "project", project), values.optional(values.key, "user_id", user_id)
    return filters(("(user_id IS NULL OR user_id = ?)", user_id), ("project_id = ?", canonical(project, user_id)))


def followers(
    connection: Connection, canonical: Canonical, tables: Iterable[str], name: str, project_id: str, user_id: str
) -> str:
    """Whose rows follow a name to the project that it means from now on, beside nobody's.

    Those of `user_id`, who gave it the name, and of others those to whom it means that project too.
    """
    said = (connection.rows(f"SELECT DISTINCT user_id FROM {table} WHERE project_id = ?", (name,)) for table in tables)
    owners = {owner for rows in said for (owner,) in rows if owner is not None}
    return json.dumps([owner for owner in sorted(owners) if owner == user_id or canonical(name, owner) == project_id])


def joined(terms: Iterable[Term]) -> tuple[str, list[Any]]:
    """The conditions as one, and all that it is asked with."""
    terms = list(terms)
    return " AND ".join(term for term, *_ in terms) or "1", [value for _, *params in terms for value in params]


def counted(reader: Reader, table: Table[Any], terms: Iterable[Term]) -> int:
    """How many rows meet all conditions."""
    clause, params = joined(terms)
    return int(reader.rows(f"SELECT count(*) FROM {table.name} WHERE {clause}", params)[0][0])


def newest(
    reader: Reader, table: Table[R], kind: str, terms: Iterable[Term], limit: int, before: str | None, where: str
) -> list[R]:
    """The rows that meet all conditions, newest first by (created_at, arrival); `before` is the id of the last one of the page before."""
    clause, params = joined([*terms, *page_after(reader, table, kind, before, where)])
    return table.find(reader, f"WHERE {clause} ORDER BY created_at DESC, pk DESC LIMIT ?", (*params, limit))


def page_after(reader: Reader, table: Table[Any], kind: str, before: str | None, where: str) -> list[Term]:
    """The condition of the page that follows on the row with an id, which must be there."""
    if before is None:
        return []
    known(reader, table, kind, values.key("before", before), where)
    return [(f"(created_at, pk) < (SELECT created_at, pk FROM {table.name} WHERE id = ?)", before)]


def arrived(reader: Reader, table: Table[R], terms: Iterable[Term], limit: int | None) -> list[R]:
    """The rows that meet all conditions in order of arrival, oldest first."""
    clause, params = joined(terms)
    return table.find(reader, f"WHERE {clause} ORDER BY pk LIMIT ?", (*params, values.limit(limit)))


def spans(reader: Reader, table: Table[Any]) -> Iterator[Span]:
    """All rows in pages that are small enough to be held at once."""
    last = 0
    while page := reader.rows(f"SELECT pk FROM {table.name} WHERE pk > ? ORDER BY pk LIMIT 1000", (last,)):
        first, last = page[0][0], values.onward(last, page[-1][0])
        yield first, last
