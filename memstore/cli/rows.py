"""Rows of a room on a page: listed, found by the end of an id, and one of them whole, with what has become of it.

An id may be typed by its end, which is what a terminal shows of it: its beginning is the time, which neighbours share.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, values
from .terminal import Page, moment, one_line
from .views import SHOWN_OF_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..audit import AuditEvent
    from ..store import Store

LEAST_OF_ID = 4  # typed characters that may stand for an id
TIMES = ("_at", "_until", "_from")
NOTHING: tuple[Any, ...] = (None, "", [], {})
#: What is said in the first line, and what only programs need.
SAID = {"id", "status", "content", "canonical_name", "members", "version", "hand_authored", "decayed_at"}


@dataclass(frozen=True)
class Kind:
    """One kind of row, and where it lives."""

    noun: str
    room: str
    ending: str  # what finds ids by their end


# -- some ---------------------------------------------------------------------------------------------------------------


def one_more(limit: int) -> int:
    """As many as tell whether there are more."""
    return limit + 1 if 0 <= limit < sys.maxsize else limit


def projects_by_id(store: Store) -> dict[str | None, str]:
    """What the projects are called."""
    return {project.id: project.name for project in store.chat.projects()}


def print_list(found: Sequence[tuple[Any, Sequence[str], str]], projects: dict[str | None, str]) -> None:
    """A line for each row: its id, some words, its project and user where any has one, and what it says."""
    page = Page()
    homes = [projects.get(item.project_id, item.project_id) or "" for item, _, _ in found]
    users = [item.user_id or "" for item, _, _ in found]
    told = [column for column in (homes, users) if any(column)]
    rows = [
        (shown_id(item.id, page), *map(one_line, [*words, *(column[place] for column in told), text]))
        for place, (item, words, text) in enumerate(found)
    ]
    for line in page.table(rows, (page.dim, page.bold)):
        print(line)


def tell_of_others(found: int, options: Namespace, kind: Kind) -> None:
    """Say that there are more than were listed, or none."""
    if found > options.limit:
        print(f"there are more than {options.limit:,}; --limit N shows up to N", file=sys.stderr)
    elif not found:
        filtered = any(getattr(options, name, None) is not None for name in ("status", "type", "project", "user"))
        print(f"no {kind.noun} is left by these filters" if filtered else f"there are no {options.command}", file=sys.stderr)


def shown_id(id: str, page: Page) -> str:
    """As much of an id as is needed to type it; a pipe gets all of it."""
    short = page.width is not None and len(id) > SHOWN_OF_ID + 1
    return f"…{id[-SHOWN_OF_ID:]}" if short else one_line(id)


# -- one ----------------------------------------------------------------------------------------------------------------


def one(store: Store, kind: Kind, typed: str) -> Any:
    """The row with an id, or the one whose id ends like that."""
    room = getattr(store, kind.room)
    try:
        return room.get(typed)
    except NotFound:
        if len(typed) < LEAST_OF_ID:
            raise NotFound(
                f"no {kind.noun} {typed!r}: the end of an id stands for it from {LEAST_OF_ID} characters on; type more of it"
            ) from None
        ends = ending(store, kind, typed)
        if len(ends) > 1:
            raise Invalid(f"{typed!r} ends the id of more than one {kind.noun}: {', '.join(ends)}; type more of it") from None
        if not ends:
            raise
    return room.get(ends[0])


def ending(store: Store, kind: Kind, typed: str) -> list[str]:
    """The ids that end like that, some of them where they are many."""
    if not getattr(store, kind.room).db.present(kind.room):
        return []
    return [row["id"] for row in store.query(kind.ending, (typed, typed))]


def print_fields(page: Page, item: Any, names: dict[str, dict[Any, str]]) -> None:
    """Its other columns that say anything; what some of them name stands before the id."""
    fields = {name: value for name, value in item.to_dict().items() if name not in SAID and value not in NOTHING}
    for name, known in names.items():
        if fields.get(name) in known:
            fields[name] = f"{known[fields[name]]} ({fields[name]})"
    print()
    print_whole(page, [(name, _value(name, value)) for name, value in fields.items()])


def _value(name: str, value: Any) -> str:
    if name.endswith(TIMES) and isinstance(value, (int, float)):
        return moment(value)
    return one_line(value if isinstance(value, str) else values.to_json(name, value))


def print_section(page: Page, name: str, rows: Sequence[tuple[str, ...]]) -> None:
    """Rows under a name, if there are any."""
    if rows:
        print("", page.dim(name), sep="\n")
        print_whole(page, rows)


def print_whole(page: Page, rows: Sequence[tuple[str, ...]]) -> None:
    """Rows with all of their text, on more than one line where one does not hold it."""
    for lines in page.whole(rows, indent="  "):
        print(*lines, sep="\n")


def print_history(page: Page, history: Sequence[AuditEvent]) -> None:
    """What has become of a row, by the audit log."""
    rows = [
        (f"#{event.seq}", moment(event.created_at), event.event_type, one_line(event.actor), _change(event)) for event in history
    ]
    print_section(page, "history", rows)


def _step(name: str, before: Any, after: Any) -> str:
    """What became of one column; the whole of a long value is in --json."""
    old, new = (values.one_line(said if isinstance(said, str) else values.to_json(name, said)) for said in (before, after))
    return f"{name}: {new}" if before in NOTHING else f"{name}: {old} -> {new}"


def _change(event: AuditEvent) -> str:
    """What an event changed, and why."""
    if event.redacted:
        return "(redacted)"
    there = event.details.get(event.stream) if isinstance(event.details, dict) else None  # of what an import has brought
    when = [f"({event.stream}, {there['timestamp']})"] if isinstance(there, dict) and "timestamp" in there else []
    old, new = (said if isinstance(said, dict) else {} for said in (event.before, event.after))
    changes = [_step(name, old.get(name), value) for name, value in new.items() if old.get(name) != value]
    return one_line("; ".join([*when, *changes, *([event.note] if event.note else [])]))
