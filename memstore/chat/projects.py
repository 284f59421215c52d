"""Projects: the scopes that conversations and beliefs belong to, by id, name or alias.

1. Within one user every name and alias means one project; ids mean one project for everybody.
2. Whoever takes a `project=` passes it through `canonical` first. What nobody registered passes unchanged, so a project may be
   registered later: then the conversations and beliefs that carry its name follow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..kernel import Connection, Exists, Invalid, NotFound, Recorder, Room, VersionConflict, values
from .tables import LOCAL, PROJECTS, Project

if TYPE_CHECKING:
    from datetime import datetime

Joined = Callable[[Connection, str, str, str], object]  # a name, the id of the project that it means from now on, and whose it is
_OPEN_WORD = re.compile(rf"[a-z][a-z0-9_.-]{{0,{values.KEY_LENGTH - 1}}}")


class Projects:
    """The part of the chat room that deals with projects."""

    def __init__(self, db: Room, audit: Recorder, joined: Joined) -> None:
        self.db = db
        self._audit = audit
        self._joined = joined

    def create_project(
        self,
        name: str,
        *,
        exist_ok: bool = False,
        user_id: str = LOCAL,
        id: str | None = None,
        description: str = "",
        status: str = "active",
        metadata: dict[str, Any] | None = None,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
    ) -> Project:
        """Create a project; its name must be free among the user's names and aliases.

        With `exist_ok` the user's project that has the name or alias is returned as it is, whatever else is given.
        """
        project_id = values.new_id() if id is None else values.key("id", id)
        values.key("name", name)
        values.key("user_id", user_id)
        values.text("description", description)
        stored = json_text("metadata", metadata)
        given = values.optional(values.moment, "created_at", created_at)
        changed = values.optional(values.moment, "updated_at", updated_at)
        open_word("status", status)
        values.flag("exist_ok", exist_ok)
        with self.db.write() as conn:
            there = named(conn, name, user_id)
            if there is not None and exist_ok:
                return _project(conn, there)
            _refuse_taken(conn, name, user_id, "choose another name" if there is None else "pass exist_ok=True to go on with it")
            if id is not None:
                _refuse_taken(conn, project_id, user_id)
            born = self.db.now if given is None else given
            description, stored = PROJECTS.sealed(conn, project_id, description=description, metadata=stored)
            conn.run(
                """
                INSERT INTO projects(id, user_id, name, description, status, metadata, created_at, updated_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (project_id, user_id, name, description, status, stored, born, born if changed is None else changed),
            )
            self._adopt(conn, project_id, user_id, name)
            return _project(conn, project_id)

    def projects(self, *, user_id: str | None = None) -> list[Project]:
        """All projects by name, or one user's."""
        values.optional(values.key, "user_id", user_id)
        return PROJECTS.find(self.db, "WHERE ? IS NULL OR user_id = ? ORDER BY name, pk", (user_id, user_id))

    def get_project(self, project: str, *, user_id: str = LOCAL) -> Project:
        """The project with this id, name or alias, the user's own first."""
        with self.db.read(snapshot=True) as conn:
            return _known(conn, project, user_id)

    def update_project(
        self,
        project: str,
        *,
        name: str | None = None,
        description: str | None = None,
        status: str | None = None,
        metadata: dict[str, Any] | None = None,
        user_id: str = LOCAL,
        expected_version: int | None = None,
        actor: str = "",
        note: str = "",
    ) -> Project:
        """Change what is given of a project, with an audit event."""
        values.optional(values.text, "description", description)
        stored = json_text("metadata", metadata)
        with self.db.write() as conn:
            old = _known(conn, project, user_id)
            if expected_version is not None and values.integer("expected_version", expected_version) != old.version:
                raise VersionConflict(f"project {old.name!r} has version {old.version}, not {expected_version}: read it again", current=old)
            if name is not None and values.key("name", name) != old.name:
                _refuse_taken(conn, name, old.user_id)
            description, stored = PROJECTS.sealed(conn, old.id, description=description, metadata=stored)
            conn.run(
                """
                UPDATE projects
                SET name = coalesce(?, name), description = coalesce(?, description), status = coalesce(?, status),
                    metadata = coalesce(?, metadata), version = version + 1, updated_at = ?
                WHERE id = ?
                """,
                (
                    name,
                    description,
                    values.optional(open_word, "status", status),
                    stored,
                    self.db.now,
                    old.id,
                ),
            )
            self._adopt(conn, old.id, old.user_id, old.name if name is None else name)
            new = _project(conn, old.id)
            self._audit(
                "project.update",
                entity_kind="project",
                entity_id=old.id,
                before=old.to_dict(),
                after=new.to_dict(),
                project=old.id,
                user_id=old.user_id,
                actor=actor,
                note=note,
            )
            return new

    def alias(self, project: str, *names: str, user_id: str = LOCAL) -> Project:
        """Let further names mean a project; one that means another project of its user raises Exists."""
        for name in names:
            values.key("alias", name)
        with self.db.write() as conn:
            found = _known(conn, project, user_id)
            for name in dict.fromkeys(names):
                if name in (found.id, found.name, *found.aliases):
                    continue
                _refuse_taken(conn, name, found.user_id)
                conn.run(
                    "INSERT INTO project_aliases(alias, user_id, project_id) VALUES (?, ?, ?)", (name, found.user_id, found.id)
                )
                self._adopt(conn, found.id, found.user_id, name)
            return _project(conn, found.id)

    def activate(self, project: str | None, *, user_id: str = LOCAL) -> Project | None:
        """Make a project the user's active one, or with None none.

        While one is active, `conversations()` lists only its conversations of that user, and new ones join it.
        """
        values.key("user_id", user_id)
        with self.db.write() as conn:
            conn.run("DELETE FROM active_projects WHERE user_id = ?", (user_id,))
            if project is None:
                return None
            found = _known(conn, project, user_id)
            conn.run("INSERT INTO active_projects(user_id, project_id) VALUES (?, ?)", (user_id, found.id))
            return found

    def active_project(self, user_id: str = LOCAL) -> Project | None:
        """The user's active project, or None."""
        values.key("user_id", user_id)
        return PROJECTS.first(self.db, "WHERE id = (SELECT project_id FROM active_projects WHERE user_id = ?)", (user_id,))

    def canonical(self, project: str | None, user_id: str | None = None) -> str | None:
        """The id of the project with this id, name or alias, that user's first; anything else passes unchanged."""
        if project is None:
            return None
        values.key("project", project)
        user_id = LOCAL if user_id is None else values.key("user_id", user_id)
        if not self.db.present("chat"):  # a question must not make the room
            return project
        with self.db.read() as conn:
            found = _lookup(conn, project, user_id)
        return project if found is None else found

    def _adopt(self, conn: Connection, project_id: str, user_id: str, name: str) -> None:
        """Take in what carries the name from before it was registered, in every room: it would vanish from view."""
        conn.run("UPDATE conversations SET project_id = ? WHERE project_id = ? AND user_id = ?", (project_id, name, user_id))
        self._joined(conn, name, project_id, user_id)


# -- private ------------------------------------------------------------------------------------------------------------


def open_word(name: str, value: str) -> str:
    """Check a word of an open vocabulary."""
    if isinstance(value, str) and _OPEN_WORD.fullmatch(value):
        return str.__str__(value)
    raise Invalid(f"{name} {values.shorten(value)} must be a word of a-z, 0-9, '_', '.' and '-' that begins with a letter")


def json_text(name: str, value: dict[str, Any] | None) -> str | None:
    """JSON text of an object, None for None."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be a dict, not {type(value).__name__} {values.shorten(value)}")
    return values.to_json(name, value)


def _project(conn: Connection, project_id: str) -> Project:
    """A project that is known to be there, as it is now."""
    return PROJECTS.find(conn, "WHERE id = ?", (project_id,))[0]


def _known(conn: Connection, project: str, user_id: str) -> Project:
    found = _lookup(conn, values.key("project", project), values.key("user_id", user_id))
    if found is None:
        names = [row[0] for row in conn.rows("SELECT name FROM projects UNION SELECT alias FROM project_aliases LIMIT 1000")]
        raise NotFound(f"no project {project!r}{values.suggest(project, names)}; store.chat.projects() lists them")
    return _project(conn, found)


def _lookup(conn: Connection, project: str, user_id: str) -> str | None:
    """The id behind an id, name or alias: an id first, then the user's own names, then the oldest of the others."""
    found: str | None = conn.value(
        """
        SELECT project_id
        FROM (
            SELECT id AS project_id, 0 AS rank, pk FROM projects WHERE id = ?
            UNION ALL
            SELECT id, 1 + (user_id <> ?), pk FROM projects WHERE name = ?
            UNION ALL
            SELECT projects.id, 1 + (projects.user_id <> ?), projects.pk
            FROM project_aliases JOIN projects ON projects.id = project_aliases.project_id
            WHERE alias = ?
        )
        ORDER BY rank, pk
        LIMIT 1
        """,
        (project, user_id, project, user_id, project),
    )
    return found


def named(conn: Connection, name: str, user_id: str) -> str | None:
    """The id of the user's own project that has a name or alias."""
    found: str | None = conn.value(
        """
        SELECT id FROM projects WHERE name = ? AND user_id = ?
        UNION ALL
        SELECT project_id FROM project_aliases WHERE alias = ? AND user_id = ?
        """,
        (name, user_id, name, user_id),
    )
    return found


def _refuse_taken(conn: Connection, name: str, user_id: str, remedy: str = "choose another name") -> None:
    """Raise Exists where an id, or a name or alias of the user, is this one already."""
    taken = conn.row(
        """
        SELECT id, name FROM projects WHERE id = ?
        UNION ALL
        SELECT id, name FROM projects WHERE name = ? AND user_id = ?
        UNION ALL
        SELECT projects.id, projects.name
        FROM project_aliases JOIN projects ON projects.id = project_aliases.project_id
        WHERE alias = ? AND project_aliases.user_id = ?
        """,
        (name, name, user_id, name, user_id),
    )
    if taken is not None:
        raise Exists(f"{name!r} means the project {taken[1]!r} (id {taken[0]!r}) already; {remedy}")
