"""Forgetting a user, a project, a conversation or a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..kernel import Invalid, Recorder, Room
from ..kernel.rows import AMONG, listed
from ..kernel.subject import Subject
from .places import find_message
from .positions import Positions
from .projects import Joined
from .removal import Forget, remove_conversations
from .texts import MessageTexts

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..keywords import KeywordIndex

EITHER = f"id {AMONG} OR user_id {AMONG}"
NAMES = "SELECT name FROM projects WHERE id = ? UNION SELECT alias FROM project_aliases WHERE project_id = ?"
OWN = {
    "conversation": "SELECT pk, id FROM conversations WHERE id = ?",
    "user": "SELECT pk, id FROM conversations WHERE user_id = ?",
    "project": "SELECT pk, id FROM conversations WHERE project_id = ?",
}


class Forgetting(Positions):
    """The part of the chat room that makes what goes be gone from the index too."""

    def __init__(self, db: Room, audit: Recorder, joined: Joined, keywords: Callable[[], KeywordIndex]) -> None:
        super().__init__(db, audit, joined)
        self._keywords = keywords

    def erase(self, conn: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`; the words leave the index when its turn comes."""
        if subject.kind == "message":
            _erase_message(conn, subject, self._forget)
        elif subject.kind in OWN:
            _erase(conn, subject, self._forget)
        taken = "SELECT 'conversation' FROM conversations WHERE id = ? UNION ALL SELECT 'session' FROM sessions WHERE id = ?"
        subject.others |= {row[0] for row in conn.rows(taken, (subject.id, subject.id))}

    def _forget(self, conn: Connection, numbers: list[int], *, wipe: bool = False) -> None:
        """Before messages go: the index must not lead to them, or with `wipe` hold their words."""
        if self.db.present("keywords"):
            self._keywords().discard(conn, MessageTexts.kind, numbers, wipe=wipe)


def _erase(conn: Connection, subject: Subject, forget: Forget) -> None:
    """Remove what is the subject's, and tell the rooms that follow which conversations and sessions those were."""
    if subject.kind == "project":
        _resolve(conn, subject)
    found = conn.rows(OWN[subject.kind], (subject.id,))
    ids = [id for _, id in found]
    subject.conversations = ids or subject.conversations  # one that only other rooms know stays what was asked for
    _part_from_forks(conn, subject, ids)
    messages = remove_conversations(conn, [pk for pk, _ in found], forget)
    subject.count("messages", len(messages))
    subject.count("conversations", len(found))
    subject.gone += [*(("conversation", id) for id in ids), *(("message", id) for id in messages)]
    owners = [subject.id] if subject.kind == "user" else []
    subject.remove(conn, "sessions", "session", EITHER, subject.conversations, owners)
    subject.sessions += [id for kind, id in subject.gone if kind == "session"]
    _erase_projects(conn, subject, [subject.id] if subject.kind == "project" else [], owners)


def _resolve(conn: Connection, subject: Subject) -> None:
    """Put the project's id in the place of a name or alias; a name that nobody registered stands for itself."""
    found = conn.rows("SELECT id FROM projects WHERE id = ?", (subject.id,)) or conn.rows(
        "SELECT id FROM projects WHERE name = ? UNION SELECT project_id FROM project_aliases WHERE alias = ?", (subject.id, subject.id)
    )
    if len(found) > 1:
        ids = ", ".join(repr(id) for (id,) in found)
        raise Invalid(f"{subject.id!r} is the name of {len(found)} projects; erase one by its id: {ids}")
    for (id,) in found:
        subject.id = id
        own, others = ({row[0] for row in conn.rows(sql, (id, id))} for sql in (NAMES, NAMES.replace("= ?", "<> ?")))
        subject.names |= own - others


def _erase_projects(conn: Connection, subject: Subject, ids: list[str], owners: list[str]) -> None:
    """Remove projects, chosen by id or owner; conversations of others live on in none."""
    going = listed(row[0] for row in conn.rows(f"SELECT id FROM projects WHERE {EITHER}", (listed(ids), listed(owners))))
    left = conn.run(f"UPDATE conversations SET project_id = NULL WHERE project_id {AMONG}", (going,))
    subject.keep(left, "conversations of other users in a project that went", "kept, in no project")
    subject.count("project_aliases", conn.run(f"DELETE FROM project_aliases WHERE project_id {AMONG}", (going,)))
    active = conn.run(f"DELETE FROM active_projects WHERE project_id {AMONG} OR user_id {AMONG}", (going, listed(owners)))
    subject.count("active_projects", active)
    subject.remove(conn, "projects", "project", EITHER, ids, owners)


def _part_from_forks(conn: Connection, subject: Subject, ids: list[str]) -> None:
    """Name the forks, and let those that stay no longer say where they came from."""
    subject.forks += _copies(conn, ids, [])
    conn.run(f"UPDATE conversations SET forked_from = NULL, forked_at = NULL WHERE forked_from {AMONG}", (listed(ids),))


def _copies(conn: Connection, origins: list[str], begun: list[str]) -> list[str]:
    """Conversations that were forked from some, or from such forks again; `begun` are forks known already."""
    forks: dict[str, list[str]] = {}
    erased = set(origins)
    for id, origin in conn.rows("SELECT id, forked_from FROM conversations WHERE forked_from IS NOT NULL ORDER BY pk"):
        forks.setdefault(origin, []).append(id)
    found, waiting = dict.fromkeys(begun), [*origins, *begun]
    while waiting:
        new = [id for id in forks.get(waiting.pop(), ()) if id not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return [id for id in found if id not in erased]


def _erase_message(conn: Connection, subject: Subject, forget: Forget) -> None:
    found = find_message(conn, subject.id)
    if found is None:
        return
    pk, number = found
    home = conn.value("SELECT id FROM conversations WHERE pk = ?", (pk >> 32,))
    forks = conn.rows("SELECT id, forked_at FROM conversations WHERE forked_from = ?", (home,))
    places = {id: find_message(conn, at) for id, at in forks if at is not None}
    begun = [id for id, _ in forks if (place := places.get(id)) is None or place[0] >= pk]  # where it began is gone: it may hold a copy
    subject.forks += _copies(conn, [], begun)
    conn.run("UPDATE conversations SET forked_at = NULL WHERE forked_at = ?", (subject.id,))
    forget(conn, [number])
    subject.count("messages", conn.run("DELETE FROM messages WHERE pk = ?", (pk,)))
    subject.gone.append(("message", subject.id))
    subject.home = home
