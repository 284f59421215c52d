"""Filters on the columns of documents: groups of which one must hold, each with conditions that must all hold.

1. A filter becomes an SQL condition on `documents`, so it narrows a search before anything is ranked or cut to a limit.
2. Columns that are encrypted in the file are decrypted and compared here; the condition then lists the documents that match.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.rows import AMONG, Term, joined, listed
from ..kernel.words import normal
from .tables import CHECKS, SCHEMA

if TYPE_CHECKING:
    from ..kernel.table import Reader

Filters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Group = list[tuple[str, list[Any]]]  # columns or members, each with the values that it may have

CARRIED = SCHEMA.carried[0]
SEALED = (*CARRIED.sealed, *CARRIED.documents)
#: JSON columns, whose members are named as "metadata.team".
_OBJECTS = ("metadata", "extra_json")
_COLUMNS = tuple(name for name in CHECKS if name not in (*_OBJECTS, "user_id"))
MOST = 500  # conditions of one filter: SQLite allows expressions to be a thousand deep
#: The columns that describe a document to people, in which `find(query=...)` looks.
DESCRIPTIVE = ("title", "display_name", "uri", "file_path", "url", "ticket_id", "git_repo", "extra_text")


def checked(filters: Filters | None) -> list[Group] | None:
    """A filter in groups, or Invalid; None where it lets everything through."""
    if filters is None:
        return None
    groups = [filters] if isinstance(filters, Mapping) else filters
    if isinstance(groups, (str, bytes)) or not isinstance(groups, Sequence):
        raise Invalid(f"filters must be a dict or a list of dicts, not {type(filters).__name__}")
    found = [_group(group) for group in groups]
    asked_for = sum(map(len, found))
    if asked_for > MOST:
        hint = "a column may have a list of values"
        raise Invalid(f"filters asks for {asked_for:,} columns in {len(found):,} dicts, and may for {MOST} in all; {hint}")
    return found if all(found) and found else None  # an empty group lets everything through


def _group(group: Any) -> Group:
    if not isinstance(group, Mapping):
        raise Invalid(f"filters must hold dicts such as {{'source_type': 'git'}}, not {values.shorten(group)}")
    return [(_name(name), _choices(name, value)) for name, value in group.items()]


def _name(name: Any) -> str:
    column, _, member = name.partition(".") if isinstance(name, str) else ("", "", "")
    if member and column in _OBJECTS:
        return values.key("filters", name)
    return values.one_of("filters: column", name, _COLUMNS)


def _choices(name: str, value: Any) -> list[Any]:
    """The values that a column may have: those of a list, or the one."""
    several = isinstance(value, (list, tuple, set, frozenset))
    return [_value(name, item) for item in (value if several else [value])]


def _value(name: str, value: Any) -> Any:
    where = f"filters[{values.shorten(name)}]"
    if name == "tags":
        return values.key(where, value).strip().lower()
    if name in CHECKS:
        found = CHECKS[name](where, value)
    elif value is not None and not isinstance(value, (str, bool, int, float)):
        raise Invalid(f"{where} must be a str, a number, True, False or None, not {type(value).__name__}")
    elif isinstance(value, int):
        found = values.integer(where, int(value))
    else:
        found = json.loads(values.to_json(where, value))
    return int(found) if isinstance(found, bool) else found


def conditions(reader: Reader, filters: list[Group] | None) -> list[Term]:
    """The conditions on `documents` that make a filter which was `checked`."""
    if filters is None:
        return []
    groups = [joined([_condition(reader, name, choices) for name, choices in group]) for group in filters]
    return [("(" + " OR ".join(f"({clause})" for clause, _ in groups) + ")", *[value for _, params in groups for value in params])]


def _condition(reader: Reader, name: str, choices: list[Any]) -> Term:
    column, _, member = name.partition(".")
    if reader.cipher is not None and column in SEALED:
        return among([id for id, (found,) in opened(reader, (column,), []) if _holds(column, member, found, choices)])
    if column == "tags":
        return f"EXISTS (SELECT 1 FROM json_each(documents.tags) WHERE value {AMONG})", listed(choices)
    if member:
        clause, *params = _any_of("value", choices)
        inside = f"SELECT 1 FROM json_each(documents.{column}) WHERE key = ? AND type NOT IN ('array', 'object') AND {clause}"
        return f"EXISTS ({inside})", member, *params
    return _any_of(f"documents.{column}", choices)


def _any_of(column: str, choices: list[Any]) -> Term:
    """The condition that a column has one of some values, of which None may be one."""
    if len(choices) == 1:
        return f"{column} IS ?", choices[0]
    missing = f" OR {column} IS NULL" if None in choices else ""
    return f"({column} {AMONG}{missing})", listed(choices)


def _holds(column: str, member: str, found: Any, choices: list[Any]) -> bool:
    """What the SQL conditions decide, for a value that was encrypted in the file."""
    if column == "tags":
        return not {*choices}.isdisjoint(values.from_json(found))
    if not member:
        return found in choices
    inside = {} if found is None else values.from_json(found)
    return member in inside and not isinstance(inside[member], (list, dict)) and inside[member] in choices


def described(reader: Reader, query: str, terms: Sequence[Term]) -> Term:
    """The condition that one of the DESCRIPTIVE columns contains a text, whatever its case."""
    sought = normal(query)
    found = opened(reader, DESCRIPTIVE, terms)
    return among([id for id, fields in found if sought in normal("\0".join([field for field in fields if field is not None]))])


def among(ids: list[str]) -> Term:
    """The condition that a document has one of some ids."""
    return f"documents.id {AMONG}", listed(ids)


def opened(reader: Reader, columns: Sequence[str], terms: Sequence[Term]) -> Iterator[tuple[str, list[Any]]]:
    """The id of each document that meets the conditions, and columns of it, decrypted."""
    clause, params = joined(terms)
    cipher = reader.cipher
    for id, *found in reader.rows(f"SELECT id, {', '.join(columns)} FROM documents WHERE {clause}", params):
        if cipher is not None:
            found = [
                cipher.unseal_column(CARRIED, name, (id,), value) if name in SEALED else value
                for name, value in zip(columns, found, strict=True)
            ]
        yield id, found
