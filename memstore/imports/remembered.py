"""What all origins of memories have in common on their way in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values
from ..kernel.lifecycle import LIVE
from ..memories.fading import FREE_DAYS
from ..memories.tables import MEMORY_TYPES
from .intake import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """Add a memory under the id of its row; one that says what a live one says comes in as superseded by that."""
    added = store.memories.add(memory_type, content, **columns, id=row.id)
    if added.id != row.id:
        store.memories.add(memory_type, content, **{**columns, "status": "superseded"}, id=row.id, superseded_by=added.id)
        row.remarks.append("says what another one says: that stays, this is kept as superseded by it")


def renew(store: Store, row: Row, origin: str, content: str, metadata: dict[str, Any], valid_until: Any) -> None:
    """Bring a memory up to date whose row has changed over there; what was changed only here stays."""
    here = store.memories.get(row.id)
    if (here.metadata or {}).get(origin) == metadata.get(origin):
        return
    if here.status not in LIVE:
        row.remarks.append(f"has changed in {origin}, and is no longer believed here: left as it is")
        return
    store.memories.update(
        row.id, content=content, metadata=metadata, valid_until=valid_until, note=f"changed in {origin}, found by an import"
    )
    row.remarks.append(f"has changed in {origin}, and was brought up to date")
