"""What is believed, and what a person decides about it: `memories`, `entities`, `conflicts`."""

from __future__ import annotations

import contextlib
import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound
from . import command, open_for, store_path
from .rows import (
    LEAST_OF_ID,
    Kind,
    one,
    one_more,
    print_fields,
    print_history,
    print_list,
    print_section,
    print_whole,
    projects_by_id,
    shown_id,
    tell_of_others,
)
from .terminal import Page, moment, one_line, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..conflicts import Conflict, ConflictMember
    from ..knowledge import Entity
    from ..memories import Memory
    from ..store import Store


@dataclass(frozen=True)
class Belief(Kind):
    """One of the three: how it is listed, and how one of it reads."""

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
    "memories": Belief(
        "memory",
        "memories",
        "SELECT id FROM memories WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10",
        _find_memories,
        lambda item: (item.memory_type, item.content),
        lambda item: item.content,
    ),
    "entities": Belief(
        "entity",
        "knowledge",
        "SELECT id FROM entities WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10",
        _find_entities,
        lambda item: (item.type, _named(item)),
        lambda item: item.name,
    ),
    "conflicts": Belief(
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
        found = kind.find(store, options, one_more(limit))
        projects = projects_by_id(store)
        subjects = _subjects(store, found[:limit])
        if not found and options.project is not None:
            _refuse_unknown(store, kind, options)
    if options.json:
        print_json({options.command: [item.to_dict() for item in found[:limit]]})
        return 0
    print_list([_told(kind, item, subjects) for item in found[:limit]], projects)
    tell_of_others(len(found), options, kind)
    return 0


def _refuse_unknown(store: Store, kind: Belief, options: Namespace) -> None:
    """Refuse a project that nobody has registered and that nothing of this kind names: a misspelt one is no empty one."""
    if not kind.find(store, Namespace(type=None, status=None, user=None, project=options.project), 1):
        store.chat.get_project(options.project)


def _subjects(store: Store, found: Sequence[Any]) -> dict[str, str]:
    """The names of the entities whose ids are the keys of slots, by those keys."""
    names = {}
    for key in {item.slot_key for item in found if getattr(item, "slot_key", "")}:
        with contextlib.suppress(NotFound, Invalid):  # a key may be anything
            names[key] = store.knowledge.get(key).name
    return names


def _told(kind: Belief, item: Any, subjects: dict[str, str]) -> tuple[Any, tuple[str, str], str]:
    """A row with what is printed of it."""
    word, text = kind.columns(item)
    subject = subjects.get(getattr(item, "slot_key", ""))
    return item, (item.status, word), text if subject is None else f"{subject}: {text}"


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


def _about(store: Store, kind: Belief, item: Any) -> dict[str, Any]:
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
