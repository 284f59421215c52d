"""What becomes of a belief: the states that a memory, an entity or an atom can be in, and the ways between them.

1. A belief begins as a candidate, which nothing goes by, or active. From active it may be superseded by another, found invalid, or
   graduate into an entity; there is no way back, and no row is deleted.
2. The verb follows from the two states. A way that does not exist is no error: the call returns False and nothing is written.
3. Row and audit event are written by one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from . import values
from .connection import Connection
from .errors import RejectedClaim, VersionConflict
from .rows import joined
from .table import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .room import Recorder
    from .rows import Term
    from .table import Reader, Table

Believed = Callable[[Connection, Record], object]  # told of what has begun to hold, inside the transaction in which it did
History = Callable[[str, str], list[Any]]  # the audit events of a kind and an id, oldest first

Status = Literal["candidate", "active", "superseded", "invalid", "graduated"]
STATUSES: tuple[str, ...] = get_args(Status)
LIVE = ("candidate", "active")  # what may yet be changed, and is told apart by what it says

#: The ways that there are, and the verb of each.
WAYS: dict[tuple[str, str], str] = {
    ("candidate", "active"): "promote",
    ("candidate", "invalid"): "reject",
    ("active", "superseded"): "supersede",
    ("active", "invalid"): "invalidate",
    ("active", "graduated"): "graduate",
}


#: Of one project and one user, where both sides have one; asked with each of the two twice.
THEIRS = "(? IS NULL OR project_id IS NULL OR project_id = ?) AND (? IS NULL OR user_id IS NULL OR user_id = ?)"


class Versioned(Protocol):
    """What tells whether a row has changed since it was read."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...


class Owned(Protocol):
    """What an event says of the row that it is about."""

    @property
    def id(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def project_id(self) -> str | None: ...
    @property
    def conversation_id(self) -> str | None: ...


class Belief(Owned, Versioned, Protocol):
    """What a record needs for a life."""

    @property
    def status(self) -> str: ...


B = TypeVar("B", bound=Belief)


def confirm_version(what: str, item: Versioned | None, expected: int | None) -> None:
    """Raise VersionConflict where somebody else has changed the row since it was read; what is not there is at version 0."""
    version = 0 if item is None else item.version
    if expected is not None and values.integer("expected_version", expected) != version:
        raise VersionConflict(f"{what} is at version {version}, not {expected}; look at .current, then retry", item)


def refuse_rejected(
    reader: Reader, table: Table[B], kind: str, said: str, terms: Iterable[Term], project_id: str | None, user_id: str | None, history: str
) -> None:
    """Raise RejectedClaim where a person has said no to what rows that meet the conditions say; `history` tells why."""
    where, params = joined([*terms, ("status = 'invalid'",), (THEIRS, project_id, project_id, user_id, user_id)])
    found = table.first(reader, f"WHERE {where} ORDER BY pk DESC LIMIT 1", params)
    if found is not None:
        raise RejectedClaim(
            f"{values.shorten(said)} was rejected before, as {kind} {found.id}, whose {history} says why;"
            " pass override=True to store it all the same",
            found,
        )


def turn(
    connection: Connection,
    audit: Recorder,
    table: Table[B],
    kind: str,
    old: B,
    status: Status,
    now: float,
    *,
    actor: str = "",
    note: str = "",
    verb: str | None = None,
    **columns: Any,
) -> bool:
    """Bring a row into another state, with further columns where they go with it, and log it; False where no way leads there.

    `verb` takes the place of the one that follows from the states.
    """
    way = WAYS.get((old.status, status))
    if way is None:
        return False
    changes = {"status": status, **columns}
    assigned = ", ".join(f"{name} = ?" for name in changes)
    connection.run(
        f"UPDATE {table.name} SET {assigned}, updated_at = ?, version = version + 1 WHERE id = ?", (*changes.values(), now, old.id)
    )
    log(audit, kind, verb or way, old, shown(old, changes), changes, actor=actor, note=note)
    return True


def retire(connection: Connection, table: Table[B], old: B, by: str | None, now: float) -> None:
    """Supersede a row within an event that tells more than that."""
    connection.run(
        f"UPDATE {table.name} SET status = 'superseded', superseded_by = ?, updated_at = ?, version = version + 1 WHERE id = ?",
        (by, now, old.id),
    )


def log(
    audit: Recorder, kind: str, verb: str, item: Owned, before: Any, after: Any, *, actor: str = "", note: str = "", **more: Any
) -> None:
    """Write the one audit event of a change of belief."""
    audit(
        f"{kind}.{verb}", entity_kind=kind, entity_id=item.id, before=before, after=after, actor=actor, note=note,
        user_id=item.user_id, project=item.project_id, conversation_id=item.conversation_id, **more,
    )  # fmt: skip


def shown(item: object, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a record, as an event tells of them."""
    return {name: getattr(item, name) for name in names}
