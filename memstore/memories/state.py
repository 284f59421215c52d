"""Project state: the most trusted layer, set by hand only.

Nothing in the library fades, merges or promotes anything into it; `set_state` is somebody's word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel import Exists, new_id, values
from ..kernel.lifecycle import confirm_version, shown
from ..kernel.rows import known
from .beliefs import Beliefs
from .tables import STATE_CHECKS, STATES, ProjectState, StateStatus

if TYPE_CHECKING:
    from datetime import datetime

    from ..audit import AuditEvent
    from ..kernel import Connection

_SAID = ("value", "source", "confidence", "status")  # what events tell of an entry


class ProjectStates(Beliefs):
    """The part of the memories room that keeps what people have set."""

    def set_state(
        self,
        project: str,
        key: str,
        value: str,
        *,
        source: str = "manual",
        confidence: float = 1.0,
        expected_version: int | None = None,
        user_id: str | None = None,
        actor: str = "",
        note: str = "",
    ) -> ProjectState:
        """Say what holds in a project under a key, and return the entry; saying the same again writes nothing.

        Each change raises `version`; where there is no entry, or it was cleared, that counts as version 0. State is a project's and
        nobody's: `user_id`, here and in what follows, says whose name `project` is where several users have one of that name.
        """
        given = values.checked(STATE_CHECKS, {"project": project, "key": key, "value": value, "source": source, "confidence": confidence})
        expected = values.optional(values.integer, "expected_version", expected_version)
        user_id = values.optional(values.key, "user_id", user_id)
        with self.db.write() as connection:
            given["project_id"] = self._scope(given.pop("project"), user_id)
            old = self._entry(connection, given["project_id"], given["key"])
            confirm_version(f"{values.shorten(key)} of project {values.shorten(project)}", old, expected)
            changes = {name: given[name] for name in ("value", "source", "confidence")}
            if old is not None and all(getattr(old, name) == said for name, said in changes.items()):
                return old
            now = self.db.now
            if old is None:
                new = self._begin(connection, **given, status="active", version=1, id=None, created_at=now, updated_at=now)
            else:
                new = replace(old, **changes, updated_at=now, version=old.version + 1)
                (sealed,) = STATES.sealed(connection, old.id, value=new.value)
                connection.run(
                    "UPDATE project_state SET updated_at = ?, value = ?, source = ?, confidence = ?, version = ? WHERE id = ?",
                    (now, sealed, new.source, new.confidence, new.version, new.id),
                )
            self._log_state("set", old, new, actor, note)
            self._believed(connection, new)
            return new

    def add_state(
        self,
        project: str,
        key: str,
        value: str,
        *,
        source: str = "manual",
        confidence: float = 1.0,
        status: StateStatus = "active",
        version: int = 1,
        id: str | None = None,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
        user_id: str | None = None,
    ) -> ProjectState:
        """Store an entry that was set elsewhere, as it is, and return it; no audit event is written.

        Where the project has an active one under that key, another active one raises Exists.
        """
        given = values.checked(
            STATE_CHECKS,
            {"project": project, "key": key, "value": value, "source": source, "confidence": confidence, "status": status,
             "version": version, "id": id, "created_at": created_at, "updated_at": updated_at},
        )  # fmt: skip
        user_id = values.optional(values.key, "user_id", user_id)
        with self.db.write() as connection:
            given["project_id"] = self._scope(given.pop("project"), user_id)
            old = self._entry(connection, given["project_id"], given["key"]) if given["status"] == "active" else None
            if old is not None:
                told = f"{values.shorten(key)} of project {values.shorten(project)} is {values.shorten(old.value)}"
                raise Exists(f"{told} already; set_state() changes it")
            if connection.value("SELECT 1 FROM project_state WHERE id = ?", (given["id"],)):
                raise Exists(f"there is an entry {values.shorten(given['id'])} of project state already; set_state() changes it")
            new = self._begin(connection, **given)
            if new.status == "active":
                self._believed(connection, new)
            return new

    def _begin(
        self, connection: Connection, *, id: str | None, created_at: float | None, updated_at: float | None, **columns: Any
    ) -> ProjectState:
        born = self.db.now if created_at is None else created_at
        new = ProjectState(
            id=new_id() if id is None else id,
            created_at=born,
            updated_at=born if updated_at is None else updated_at,
            **columns,
        )
        STATES.insert(connection, new)
        return new

    def state(self, project: str, *, user_id: str | None = None) -> dict[str, str]:
        """Return what holds in a project, by key in alphabetical order."""
        return {item.key: item.value for item in self.states(project, user_id=user_id)}

    def states(self, project: str | None = None, *, include_cleared: bool = False, user_id: str | None = None) -> list[ProjectState]:
        """Return the entries of a project, or of all, by project, key and arrival.

        With `include_cleared` also those that were cleared or superseded.
        """
        user_id = values.optional(values.key, "user_id", user_id)
        project = None if project is None else self._scope(values.key("project", project), user_id)
        everything = values.flag("include_cleared", include_cleared)
        return STATES.find(
            self.db,
            "WHERE (? IS NULL OR project_id = ?) AND (? OR status = 'active') ORDER BY project_id, key, pk",
            (project, project, everything),
        )

    def get_state(self, id: str) -> ProjectState:
        """Return an entry of project state, cleared or not."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return known(connection, STATES, "entry of project state", id, "store.memories.states()")

    def clear_state(self, project: str, key: str, *, user_id: str | None = None, actor: str = "", note: str = "") -> bool:
        """Let what a project has under a key hold no longer; False where it has nothing there."""
        project, key, user_id = values.key("project", project), values.key("key", key), values.optional(values.key, "user_id", user_id)
        with self.db.write() as connection:
            old = self._entry(connection, self._scope(project, user_id), key)
            if old is None:
                return False
            new = replace(old, status="invalid", updated_at=self.db.now, version=old.version + 1)
            self._turn_state(connection, new)
            self._log_state("clear", old, new, actor, note)
            return True

    def state_history(self, project: str, key: str, *, user_id: str | None = None) -> list[AuditEvent]:
        """Return the audit events of all that a project ever had under a key, oldest first."""
        user_id = values.optional(values.key, "user_id", user_id)
        project, key = self._scope(values.key("project", project), user_id), values.key("key", key)
        ids = [id for (id,) in self.db.rows("SELECT id FROM project_state WHERE project_id = ? AND key = ?", (project, key))]
        return sorted((event for id in ids for event in self._history("project_state", id)), key=lambda event: event.seq)

    def _scope(self, project: str, user_id: str | None) -> str:
        return self._canonical(project, user_id) or project

    def _entry(self, connection: Connection, project_id: str, key: str) -> ProjectState | None:
        """What holds now."""
        return STATES.first(connection, "WHERE project_id = ? AND key = ? AND status = 'active'", (project_id, key))

    def _turn_state(self, connection: Connection, new: ProjectState) -> None:
        connection.run(
            "UPDATE project_state SET status = ?, updated_at = ?, version = ? WHERE id = ?",
            (new.status, new.updated_at, new.version, new.id),
        )

    def _log_state(self, verb: str, old: ProjectState | None, new: ProjectState, actor: str, note: str) -> None:
        before, after = (None if item is None else shown(item, _SAID) for item in (old, new))
        self._audit(
            f"project_state.{verb}", entity_kind="project_state", entity_id=new.id, before=before, after=after,
            actor=actor, note=note, project=new.project_id,
        )  # fmt: skip
