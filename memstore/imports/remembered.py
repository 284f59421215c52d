"""What all origins of memories have in common on their way in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from ..kernel import Exists, Invalid, values
from ..kernel.lifecycle import LIVE, shown
from ..memories.fading import FREE_DAYS
from ..memories.tables import MEMORY_TYPES, Memory
from .intake import digest, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..store import Store
    from .intake import Row

#: Words of other vocabularies for our types; what means none of them is knowledge.
TYPES = {
    **{name: name for name in MEMORY_TYPES},
    "semantic": "knowledge",
    "procedural": "adaptation",
    "procedural_memory": "adaptation",
    "preferences": "preference",
    "user_preferences": "preference",
    "personal_details": "identity",
    "milestones": "episodic",
}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def memory_type(words: Iterable[Any]) -> str:
    """The type that the first word means which means one."""
    folded = (word.strip().lower() for word in words if isinstance(word, str))
    return next((TYPES[word] for word in folded if word in TYPES), "knowledge")


def until(name: str, said: Any) -> Any:
    """An end of validity: a day, which counts whole, or a moment."""
    if isinstance(said, str) and _DAY.fullmatch(said.strip()):
        return said.strip()
    return moment(name, said)


def through(name: str, said: Any) -> date:
    """The day on which an end of validity lies, for origins that go by the day whatever they write."""
    try:
        return datetime.fromtimestamp(moment(name, said), UTC).date()
    except (TypeError, ValueError, OverflowError, OSError):
        raise Invalid(f"{name} {said!r} is not a date in ISO 8601") from None


def unfaded(store: Store) -> float:
    """The `decayed_at` of what never faded where it comes from: the free days begin with the import, whenever it was written."""
    return store.memories.db.now + FREE_DAYS * values.DAY


def keep(store: Store, row: Row, memory_type: Any, content: str, **columns: Any) -> None:
    """Add a memory under the id of its row, or `id`; one that says what a live one says comes in as superseded by that."""
    said = {"id": row.id, **columns}
    added = store.memories.add(memory_type, content, **said)
    if added.id != said["id"]:
        store.memories.add(memory_type, content, **{**said, "status": "superseded"}, superseded_by=added.id)
        row.remarks.append("says what another one says: that stays, this is kept as superseded by it")


def renew(store: Store, row: Row, origin: str, now: dict[str, Any], said: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
    """Bring a memory up to date whose row has changed over there; what was changed only here stays.

    `now` is what the row says, `said` tells what it said before, from what `metadata` has of the origin. True where another memory
    says the same: whether it still does shows when all rows have been looked at, and `settle` asks.
    """
    here = _latest(store, row.id)
    if here is None:
        row.remarks.append("was superseded and pruned here: left out")
        return False
    if _is_twin(here):
        return True
    told = _told(here, origin)
    if told is None or values.same(told, now["metadata"][origin]):
        return False
    if here.status not in LIVE:
        row.remarks.append(f"has changed in {origin}, and is no longer believed here: left as it is")
        return False
    before = said(told)
    changes = {name: now[name] for name in before if not values.same(before[name], now[name])}
    changes["metadata"] = _merged(here.metadata or {}, before["metadata"], now["metadata"])
    try:
        store.memories.update(here.id, **changes, note=f"changed in {origin}, found by an import")
    except Exists:
        keep(store, row, **{**now, **shown(here, before), **changes, "id": _next(here.id)})
        kept = store.memories.get(_next(here.id))
        store.memories.supersede(here.id, by=kept.superseded_by, note=f"changed in {origin}, and another one says that already")
        return True
    row.remarks.append(f"has changed in {origin}, and was brought up to date")
    return False


def settle(store: Store, row: Row, origin: str, now: dict[str, Any]) -> None:
    """Believe what came in as a twin of another memory, where the one or the other says something else by now.

    It is added anew, under an id that follows from the last one: no state is left backwards. Where somebody here has retired the
    other one, that was said of both.
    """
    here = _latest(store, row.id)
    if here is None or not _is_twin(here):
        return
    if not values.same(_told(here, origin), now["metadata"][origin]):
        keep(store, row, **{**now, "id": _next(here.id)})
        row.remarks.append(f"has changed in {origin}, and was brought up to date")
    elif _gave_way(store, here.superseded_by) and store.memories.add(**{**now, "id": _next(here.id)}).id == _next(here.id):
        row.remarks.append("says what no other one says any more, and was added anew")


def _latest(store: Store, id: str) -> Memory | None:
    """The memory that a row has become; None where that is gone."""
    while store._piece("memory", _next(id)) is not None:
        id = _next(id)
    found = store._piece("memory", id)
    return found if isinstance(found, Memory) else None


def _next(id: str) -> str:
    return digest("again", id)


def _is_twin(here: Memory) -> bool:
    """Whether a memory came in as superseded: nothing has happened to it since."""
    return here.status == "superseded" and here.version == 1


def _gave_way(store: Store, id: str | None) -> bool:
    """Whether a memory may say something else by now, and not because somebody has retired it."""
    found = None if id is None else store._piece("memory", id)
    return isinstance(found, Memory) and (found.status in LIVE or store._piece("memory", _next(found.id)) is not None)


def _told(here: Memory, origin: str) -> dict[str, Any] | None:
    """What the row of a memory said when it was last looked at; None where somebody has taken that out."""
    told = (here.metadata or {}).get(origin)
    return told if isinstance(told, dict) else None


def _merged(here: dict[str, Any], before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Metadata with what has changed over there since."""
    gone = {name for name in before if name not in now and values.same(here.get(name), before[name])}
    new = {name: value for name, value in now.items() if name not in before or not values.same(before[name], value)}
    return {name: value for name, value in here.items() if name not in gone} | new
