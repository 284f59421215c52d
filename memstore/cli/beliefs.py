"""What is believed, and what a person decides about it: `memories`, `entities`, `conflicts`.

An id may be typed by its end, which is what a terminal shows of it: its beginning is the time, which neighbours share.
"""

from __future__ import annotations

import contextlib
import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, values
from . import command, open_for, store_path
from .terminal import Page, moment, one_line, print_json
from .views import SHOWN_OF_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..audit import AuditEvent
    from ..conflicts import Conflict, ConflictMember
    from ..knowledge import Entity
    from ..memories import Memory
    from ..store import Store

LEAST_OF_ID = 4  # typed characters that may stand for an id
TIMES = ("_at", "_until", "_from")
NOTHING: tuple[Any, ...] = (None, "", [], {})
#: What is said in the first line, and what only programs need.
SAID = {"id", "status", "content", "canonical_name", "members", "version", "hand_authored", "decayed_at"}


@dataclass(frozen=True)
class Kind:
    """One of the three: where it lives, how it is listed, and how one of it reads."""

    noun: str
    room: str
    ending: str  # what finds ids by their end
    find: Callable[[Store, Namespace, int | None], Sequence[Any]]
    columns: Callable[[Any], tuple[str, str]]  # the middle one of a row, and the last
    head: Callable[[Any], str]


def _find_memories(store: Store, options: Namespace, limit: int | None) -> Sequence[Memory]:
    chosen = {"memory_type": options.type, "status": options.status, "project": options.project, "user_id": options.user}
    return store.memories.find(**chosen, include_expired=True, limit=limit)


def _find_entities(store: Store, options: Namespace, limit: int | None) -> Sequence[Entity]:
    chosen = {"type": options.type, "status": options.status, "project": options.project, "user_id": options.user}
    return store.knowledge.entities(**chosen, limit=limit)


def _find_conflicts(store: Store, options: Namespace, limit: int | None) -> Sequence[Conflict]:
    chosen = {"slot_kind": options.type, "status": options.status, "project": options.project, "user_id": options.user}
    return store.conflicts.find(**chosen, limit=limit)


def _named(entity: Entity) -> str:
    return f"{entity.name}: {entity.description}" if entity.description.strip() else entity.name


def _claims(conflict: Conflict) -> str:
    """What its members say: of an open one what they say now."""
    return " / ".join(_said(member) or member.member_id for member in conflict.members)


def _said(member: ConflictMember) -> str:
    return member.value_snapshot if member.value_now is None else member.value_now


KINDS = {
    "memories": Kind(
        "memory",
        "memories",
        "SELECT id FROM memories WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10",
        _find_memories,
        lambda item: (item.memory_type, item.content),
        lambda item: item.content,
    ),
    "entities": Kind(
        "entity",
        "knowledge",
        "SELECT id FROM entities WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10",
        _find_entities,
        lambda item: (item.type, _named(item)),
        lambda item: item.name,
    ),
    "conflicts": Kind(
        "conflict",
        "conflicts",
        "SELECT id FROM conflicts WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10",
        _find_conflicts,
        lambda item: (item.slot_kind or item.kind, _claims(item)),
        _claims,
    ),
}


# -- list ---------------------------------------------------------------------------------------------------------------


def listed(options: Namespace) -> int:
    """List what the filters leave, newest first."""
    kind, limit = KINDS[options.command], options.limit
    with open_for(options) as store:
        found = kind.find(store, options, limit + 1 if 0 <= limit < sys.maxsize else limit)  # one more tells whether there are more
        projects = projects_by_id(store)
        subjects = _subjects(store, found[:limit])
        if not found and options.project is not None:
            _refuse_unknown(store, kind, options)
    if options.json:
        print_json({options.command: [item.to_dict() for item in found[:limit]]})
        return 0
    _print_list(kind, found[:limit], projects, subjects)
    if len(found) > limit:
        print(f"there are more than {limit:,}; --limit N shows up to N", file=sys.stderr)
    elif not found:
        print(f"no {kind.noun} is left by these filters" if _filtered(options) else f"there are no {options.command}", file=sys.stderr)
    return 0


def _refuse_unknown(store: Store, kind: Kind, options: Namespace) -> None:
    """Refuse a project that nobody has registered and that nothing of this kind names: a misspelt one is no empty one."""
    if not kind.find(store, Namespace(type=None, status=None, user=None, project=options.project), 1):
        store.chat.get_project(options.project)


def _filtered(options: Namespace) -> bool:
    return any(getattr(options, name, None) is not None for name in ("status", "type", "project", "user"))


def projects_by_id(store: Store) -> dict[str | None, str]:
    return {project.id: project.name for project in store.chat.projects()}


def _subjects(store: Store, found: Sequence[Any]) -> dict[str, str]:
    """The names of the entities whose ids are the keys of slots, by those keys."""
    names = {}
    for key in {item.slot_key for item in found if getattr(item, "slot_key", "")}:
        with contextlib.suppress(NotFound, Invalid):  # a key may be anything
            names[key] = store.knowledge.get(key).name
    return names


def _print_list(kind: Kind, found: Sequence[Any], projects: dict[str | None, str], subjects: dict[str, str]) -> None:
    page = Page()
    named = any(item.project_id is not None for item in found)
    rows = []
    for item in found:
        word, text = kind.columns(item)
        subject = subjects.get(getattr(item, "slot_key", ""))
        text = text if subject is None else f"{subject}: {text}"
        project = projects.get(item.project_id, item.project_id) or ""
        told = [item.status, one_line(word), *([one_line(project)] if named else []), one_line(text)]
        rows.append((shown_id(item.id, page), *told))
    for line in page.table(rows, (page.dim, page.bold)):
        print(line)


def shown_id(id: str, page: Page) -> str:
    """As much of an id as is needed to type it; a pipe gets all of it."""
    short = page.width is not None and len(id) > SHOWN_OF_ID + 1
    return f"…{id[-SHOWN_OF_ID:]}" if short else one_line(id)


def search(options: Namespace) -> int:
    """List the memories that share words with a text, best first, each with the share of its words."""
    kind, query, limit = KINDS["memories"], " ".join(options.query), options.limit
    with open_for(options) as store:
        chosen = {"memory_type": options.type, "status": options.status or "active", "project": options.project}
        hits = store.memories.search(query, **chosen, user_id=options.user, limit=limit)
        if not hits and options.project is not None:
            _refuse_unknown(store, kind, options)
    if options.json:
        print_json({"query": query, "hits": [hit.to_dict() for hit in hits]})
        return 0
    page = Page()
    rows = [(shown_id(hit.memory.id, page), f"{hit.score:.2f}", *map(one_line, kind.columns(hit.memory))) for hit in hits]
    for line in page.table(rows, (page.dim, page.bold)):
        print(line)
    if not hits:
        print(f"no memory shares a word with {one_line(query)!r}", file=sys.stderr)
    return 0


# -- one ----------------------------------------------------------------------------------------------------------------


def show(options: Namespace) -> int:
    """Show one, what it is connected with, and what has become of it."""
    kind = KINDS[options.command]
    with open_for(options) as store:
        item = one(store, kind, options.id)
        history = getattr(store, kind.room).history(item.id)
        about = _about(store, kind, item)
        projects, subjects = projects_by_id(store), _subjects(store, [item])
    if options.json:
        print_json({kind.noun: item.to_dict(), **about, "history": [event.to_dict() for event in history]})
        return 0
    page = Page()
    print(page.bold(f"{kind.noun} {one_line(item.id)}"), f"is {item.status}")
    print_whole(page, [(one_line(line),) for line in kind.head(item).splitlines()])
    print_fields(page, item, {"project_id": projects, "slot_key": subjects})
    if kind.noun == "conflict":
        _print_members(page, item)
    _print_about(page, about)
    if "suggestion" in about:
        winner, reason = about["suggestion"]["winner_id"], about["suggestion"]["reason"]
        left = ["dismiss" if "dismiss" in reason else "no_action"]
        told = left if winner is None else ["supersede_others", "--winner", winner]
        print(f"  {command('conflicts', '--db', store_path(options), 'resolve', item.id, *told)}")
    print_history(page, history)
    return 0


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
        ends = _ending(store, kind, typed)
        if len(ends) > 1:
            raise Invalid(f"{typed!r} ends the id of more than one {kind.noun}: {', '.join(ends)}; type more of it") from None
        if not ends:
            raise
    return room.get(ends[0])


def _ending(store: Store, kind: Kind, typed: str) -> list[str]:
    if not getattr(store, kind.room).db.present(kind.room):
        return []
    return [row["id"] for row in store.query(kind.ending, (typed, typed))]


def _about(store: Store, kind: Kind, item: Any) -> dict[str, Any]:
    """What belongs to the answer beside the row itself, JSON-ready."""
    if kind.noun == "entity":
        relationships = store.knowledge.relationships(item.id)
        names = {id: store.knowledge.get(id).name for edge in relationships for id in (edge.from_id, edge.to_id)}
        return {
            "relationships": [{**edge.to_dict(), "from": names[edge.from_id], "to": names[edge.to_id]} for edge in relationships],
            "observations": [note.to_dict() for note in store.knowledge.observations(item.id)],
        }
    if kind.noun == "conflict":
        told = {"assessments": [each.to_dict() for each in store.conflicts.assessments(item.id)]}
        return {**told, "suggestion": store.conflicts.suggest(item.id).to_dict()} if item.status == "open" else told
    return {}


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


def _print_about(page: Page, about: dict[str, Any]) -> None:
    edges = [(one_line(edge["from"]), edge["kind"], one_line(edge["to"])) for edge in about.get("relationships", ())]
    print_section(page, "relationships", edges)
    print_section(page, "observations", [(moment(note["created_at"]), one_line(note["content"])) for note in about.get("observations", ())])
    judged = [(moment(each["created_at"]), each["assessor"], each["decision"], each["note"]) for each in about.get("assessments", ())]
    print_section(page, "assessments", [tuple(map(one_line, row)) for row in judged])
    if "suggestion" in about:
        print_section(page, "suggestion", [(one_line(about["suggestion"]["reason"]),)])


def _print_members(page: Page, conflict: Conflict) -> None:
    rows = [
        (member.member_kind, one_line(member.member_id), f"trust {member.member_layer_trust}", one_line(_since(conflict, member)))
        for member in conflict.members
    ]
    print_section(page, "members", rows)


def _since(conflict: Conflict, member: ConflictMember) -> str:
    """What a member said when it was noticed and, where that has changed, what it says now."""
    then, now = member.value_snapshot, member.value_now
    if conflict.status != "open" or now == then:
        return then
    return f"{then} (claims it no longer)" if now is None else f"{now} (it said: {then})"


def print_section(page: Page, name: str, rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        print("", page.dim(name), sep="\n")
        print_whole(page, rows)


def print_whole(page: Page, rows: Sequence[tuple[str, ...]]) -> None:
    for lines in page.whole(rows, indent="  "):
        print(*lines, sep="\n")


def print_history(page: Page, history: Sequence[AuditEvent]) -> None:
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


# -- decide -------------------------------------------------------------------------------------------------------------


def promote(options: Namespace) -> int:
    """Let a candidate hold."""
    return _turn(options, "promote", "promoted")


def reject(options: Namespace) -> int:
    """Let a candidate never hold."""
    return _turn(options, "reject", "rejected")


def _turn(options: Namespace, verb: str, done_so: str) -> int:
    kind = KINDS[options.command]
    with open_for(options, read_only=False) as store:
        room, place = getattr(store, kind.room), store.path
        id = one(store, kind, options.id).id
        with store.transaction():
            before = _open_conflicts(store)
            done = getattr(room, verb)(id, actor=options.actor, note=options.note)
            opened = [conflict for id, conflict in _open_conflicts(store).items() if conflict != before.get(id)]
        item = room.get(id)
    if options.json:
        print_json({kind.noun: item.to_dict(), "done": done, "conflicts": [conflict.to_dict() for conflict in opened]})
        return 0 if done else 1
    if not done:
        print(f"{kind.noun} {one_line(item.id)} is {item.status}: only a candidate can be {done_so}; nothing was changed", file=sys.stderr)
        return 1
    print(f"{kind.noun} {one_line(item.id)} is {item.status} now")
    for conflict in opened:
        print(f"it contradicts something: {command('conflicts', '--db', place, 'show', conflict.id)}", file=sys.stderr)
    return 0


def _open_conflicts(store: Store) -> dict[str, Conflict]:
    return {conflict.id: conflict for conflict in store.conflicts.find(status="open")}


def resolve(options: Namespace) -> int:
    """Close a conflict by a person's word."""
    kind = KINDS["conflicts"]
    with open_for(options, read_only=False) as store:
        item = one(store, kind, options.id)
        winner = None if options.winner is None else _member(item, options.winner)
        done = store.conflicts.resolve(
            item.id, options.action.replace("-", "_"), winner=winner, actor=options.actor, note=options.note
        )
    if options.json:
        print_json({"conflict": done.to_dict()})
    else:
        print(f"conflict {one_line(done.id)} is {done.status} now ({done.resolution})")
    return 0


def _member(conflict: Conflict, typed: str) -> str:
    """The member whose id is, or ends, like that."""
    ids = [member.member_id for member in conflict.members]
    ends = [id for id in ids if len(typed) >= LEAST_OF_ID and id.endswith(typed)]
    return ends[0] if typed not in ids and len(ends) == 1 else typed
