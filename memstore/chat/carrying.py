"""Conversations of an export on their way in.

1. A project is one by its id, or by its name among those of its user; what carries its id follows where that is another one here.
   What is here already and carries a name that comes in follows it too, when all rooms are in.
2. A message keeps its place where that lies beyond what its conversation has here; else it is appended, in order. What is only
   here stays, and nothing is mixed into a conversation of another user.
3. Numbers of arrival go on from ours in the order that they had. Ids that hold a number would lie then, so they become supplied ones.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from ..kernel import Corrupt, Exists, values
from ..kernel.carrying import without
from .places import AT_WANTED, CHECKS, SPAN, arrival_in, begin_run, last_arrival
from .projects import named
from .rows import copied
from .tables import BESIDE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel import Connection
    from ..kernel.carrying import Intake, Row
    from . import ChatStore

PLACE = SPAN - 1
MOST = 1 << 30  # keys of conversations: places are counted in 32 bits behind them
LAST = 1 << 42  # numbers that ids hold
ERASED, ASIDE = "", "aside"  # what is noted of conversations of which nothing is taken
SAID = ("role", "content", "created_at", *BESIDE)
_NUMBERED = f"""
    SELECT messages.id, messages.pk, messages.arrival
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS value FROM json_each(?)) AS wanted {AT_WANTED}
    WHERE messages.id = wanted.id
    UNION ALL
    SELECT id, pk, arrival FROM messages WHERE supplied = 1 AND id IN (SELECT json_extract(value, '$[0]') FROM json_each(?))
"""
_RUNS = """
    INSERT OR REPLACE INTO arrivals(first, pk)
    SELECT arrival, pk
    FROM (SELECT pk, arrival, lag(pk - arrival) OVER (ORDER BY arrival) AS before FROM messages WHERE arrival > ?)
    WHERE before IS NULL OR before <> pk - arrival
"""
_UNSOUND = (
    *CHECKS,
    ("key", f"SELECT pk, printf('conversation %s has a key that leaves no room for more', id) FROM conversations WHERE pk >= {MOST}"),
    ("place", "SELECT arrival, printf('message %s is before the first place', id) FROM messages WHERE pk & 4294967295 = 0 OR pk < 0"),
)
_BEYOND = "SELECT id FROM messages WHERE arrival > ? LIMIT 1"


def take_in(chat: ChatStore, intake: Intake) -> None:
    """Take in the room."""
    if intake.mode == "adopt":
        for carried in SCHEMA.carried:
            intake.adopt(carried.table)
        _refuse_unsound(intake.connection)
        return
    _Merge(intake, chat).run()


def _refuse_unsound(conn: Connection) -> None:
    """Raise Corrupt for rows that go by the rules of their tables, but not by those of the room."""
    for _, sql in _UNSOUND:
        found = conn.row(sql)
        if found is not None:
            raise Corrupt(f"the chat of the export contradicts itself: {values.one_line(str(found[1]))}; nothing was imported")
    last = last_arrival(conn)
    beyond = conn.value(_BEYOND, (last,))
    if beyond is not None:
        raise Corrupt(f"message {values.shorten(beyond)} of the export has a number beyond the last one, {last}; nothing was imported")


class _Merge:
    """One export on its way into a room with a history."""

    def __init__(self, intake: Intake, chat: ChatStore) -> None:
        self.intake = intake
        self.conn = intake.connection
        self._chat = chat
        self._settled: set[str] = set()  # projects that take what goes with them from the export
        intake.base = last_arrival(self.conn)
        self._top = 0  # the last number of the export
        self._in = _Owner(0, 0, "", "", 0.0, 0)

    def run(self) -> None:
        """Take in everything."""
        self._take_projects()
        self._take_aliases()
        self._take_active()
        for page in self.intake.pages("conversations"):
            self._take_conversations(page)
        for page in self.intake.pages("messages"):
            self._take_messages(page)
        self._leave()
        if self.intake.base + self._top >= LAST:
            raise Corrupt(f"numbers of arrival in the export reach {self._top}, and beyond what can be counted; nothing was imported")
        written = self.intake.added + self.intake.replaced
        if written["conversations"] or written["messages"]:
            self.conn.run(_RUNS, (self.intake.base,))
            begin_run(self.conn, self.intake.base + self._top + 1, 0)
        self.intake.take("sessions", "session")

    # -- projects ---------------------------------------------------------------------------------------------------

    def _take_projects(self) -> None:
        for page in self.intake.pages("projects"):
            rows = self.intake.living("projects", page, "project")
            known = self.intake.ids("projects", [row["id"] for row in rows])
            for row in self.intake.same_users("projects", "project", rows):
                self._take_project(row, row["id"] in known)

    def _take_project(self, row: Row, known: bool) -> None:
        meant = named(self.conn, row["name"], row["user_id"])
        here = row["id"] if known else meant
        self.intake.projects[row["id"]] = here or row["id"]
        if here is not None and not known and self.intake.mode == "error":
            raise Exists(
                f"{row['name']!r} names the project {here!r} here and {row['id']!r} in the export; nothing was imported: on_conflict="
                '"skip" makes them one, as it is here, "replace" as it is in the export'
            )
        if here is None:
            here = row["id"]
            self.intake.insert("projects", [without(row, "pk")])
        elif self.intake.known("projects", row):
            if meant not in (None, here):
                raise Exists(f"{row['name']!r} names the project {meant!r} here and {row['id']!r} in the export: rename one of them first")
            name = row["name"] if known else self.conn.value("SELECT name FROM projects WHERE id = ?", (here,))  # theirs may be an alias
            self.intake.update("projects", self.intake.ids("projects", [here])[here], {**row, "name": name})
        else:
            return
        self._settled.add(here)
        self._join_later(here, row["user_id"], row["name"])

    def _take_aliases(self) -> None:
        for page in self.intake.pages("project_aliases"):
            for row in self.intake.living("project_aliases", page, owners={"user_id": ("user",), "project_id": ("project",)}):
                project = row["project_id"]
                meant = named(self.conn, row["alias"], row["user_id"])
                if project not in self._settled or meant == project:
                    self.intake.skipped["project_aliases"] += 1
                elif meant is None:
                    self.intake.insert("project_aliases", [row])
                    self._join_later(project, row["user_id"], row["alias"])
                elif self.intake.known("project_aliases", row):
                    moved = self.conn.run(
                        "UPDATE project_aliases SET project_id = ? WHERE alias = ? AND user_id = ?", (project, row["alias"], row["user_id"])
                    )
                    if not moved:
                        self.intake.notes.append(f"the alias {row['alias']!r} is the name of another project here, which keeps it")

    def _take_active(self) -> None:
        for page in self.intake.pages("active_projects"):
            for row in self.intake.living("active_projects", page, owners={"user_id": ("user",), "project_id": ("project",)}):
                project = row["project_id"]
                active = self.conn.value("SELECT project_id FROM active_projects WHERE user_id = ?", (row["user_id"],))
                if project not in self._settled or (active is not None and not self.intake.known("active_projects", row)):
                    continue
                self.conn.run("INSERT OR REPLACE INTO active_projects(user_id, project_id) VALUES (?, ?)", (row["user_id"], project))
                if active is None:
                    self.intake.added["active_projects"] += 1

    def _join_later(self, project_id: str, user_id: str, name: str) -> None:
        """Let what carries a name here follow it, after what the export has of the project: of two that collide the newer one stays."""
        self.intake.afterwards.append(partial(self._chat._adopt, self.conn, project_id, user_id, name))

    # -- conversations ----------------------------------------------------------------------------------------------

    def _take_conversations(self, page: list[Row]) -> None:
        self._top = max(self._top, *(row["activity"] for row in page))
        rows = self.intake.living("conversations", page, "conversation")
        named = {"forked_from": "conversation", "forked_at": "message", "project_id": "project"}
        kept = self.intake.same_users("conversations", "conversation", rows)
        pairs = [(kind, row[column]) for row in kept for column, kind in named.items()]
        gone = self.intake.gone(pairs) | self.intake.aside(pairs)
        known = self.intake.ids("conversations", [row["id"] for row in rows])
        noted = dict.fromkeys((row["pk"] for row in page), ERASED)
        noted.update(dict.fromkeys((row["pk"] for row in rows), ASIDE))
        for row in kept:
            for column, kind in named.items():
                if (kind, row[column]) in gone:
                    row[column] = None
            row["activity"] += self.intake.base
            pk, state = known.get(row["id"]), "new"
            if pk is None:
                self.intake.insert("conversations", [without(row, "pk")])
                pk = self.intake.ids("conversations", [row["id"]])[row["id"]]
            elif self.intake.known("conversations", row):
                state = "replaced"
                self.intake.update("conversations", pk, without(row, "pk", "id", "last_seq"))
            else:
                state = "kept"
            noted[row["pk"]] = json.dumps([pk, row["id"], state, row["updated_at"], row["activity"]])
        self.intake.remember("conversation", noted.items())

    # -- messages ---------------------------------------------------------------------------------------------------

    def _take_messages(self, page: list[Row]) -> None:
        self._top = max(self._top, *(row["arrival"] for row in page))
        owners = self.intake.recall("conversation", (row["pk"] >> 32 for row in page))
        rows = self._owned(page, owners)
        rows = self.intake.living("messages", rows, "message")
        self._note_numbers(page, rows)
        asked = json.dumps([[row["id"], arrival_in(row["id"])] for row in rows])
        known = {id: (pk, arrival) for id, pk, arrival in self.conn.rows(_NUMBERED, (asked, asked))}
        ours = self._said([pk for pk, _ in known.values()])
        fresh: list[Row] = []
        for row in rows:
            if row["pk"] >> 32 != self._in.old:
                self._leave()
                self._enter(row["pk"] >> 32, owners[row["pk"] >> 32])
            twin = known.get(row["id"])
            if twin is None:
                self._in.added = True
                fresh.append(self._placed(row, self._in.place(row["pk"] & PLACE)))
            elif self._replaces(row, *twin) and ours[twin[0]] != tuple(row[name] for name in SAID):
                self._chat._forget(self.conn, [twin[1]])
                self.conn.run("DELETE FROM messages WHERE pk = ?", (twin[0],))
                fresh.append(self._placed(row, twin[0]))
                self.intake.added["messages"] -= 1  # it counts as replaced
        self.intake.insert("messages", fresh)

    def _owned(self, page: list[Row], owners: dict[int, Any]) -> list[Row]:
        """Those whose conversation comes in or is there; one that the export does not have is damage."""
        for row in page:
            if row["pk"] >> 32 not in owners:
                raise Corrupt(f"message {values.shorten(row['id'])} of the export is in no conversation of it; nothing was imported")
        out = [row["id"] for row in page if owners[row["pk"] >> 32] == ERASED]
        aside = [row["id"] for row in page if owners[row["pk"] >> 32] == ASIDE]
        if out:
            self.intake.erased["messages"] += len(out)
            self.intake.leave_out("message", out)
        if aside:
            self.intake.skipped["messages"] += len(aside)
            self.intake.set_aside("message", aside)
        return [row for row in page if owners[row["pk"] >> 32] not in (ERASED, ASIDE)]

    def _note_numbers(self, page: list[Row], rows: list[Row]) -> None:
        """Note the numbers of messages that were erased, by which the keywords know them."""
        kept = {row["id"] for row in rows}
        gone = self.intake.gone(("message", row["id"]) for row in page if row["id"] not in kept)
        if gone:
            self.intake.remember("erased message", [(row["arrival"], 1) for row in page if ("message", row["id"]) in gone])

    def _said(self, keys: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """What messages say that are here."""
        if self.intake.mode != "replace" or not keys:
            return {}
        columns = ", ".join(SAID)
        rows = self.conn.rows(f"SELECT pk, id, {columns} FROM messages WHERE pk IN (SELECT value FROM json_each(?))", (json.dumps(keys),))
        said = [(pk, copied(self.conn.cipher, stored)) for pk, *stored in rows]
        return {pk: (*shown[1:4], *shown[4]) for pk, shown in said}

    def _replaces(self, row: Row, pk: int, arrival: int) -> bool:
        """Judge a message that is here; one in another conversation stays there."""
        if pk >> 32 != self._in.pk and self.intake.mode == "replace":
            self.intake.notes.append(f"message {values.shorten(row['id'])} is in another conversation here, and stays there")
            self.intake.skipped["messages"] += 1
            return False
        return self.intake.known("messages", row)

    def _placed(self, row: Row, pk: int) -> Row:
        return {**row, "pk": pk, "arrival": self.intake.base + row["arrival"], "supplied": 1}

    def _enter(self, old: int, noted: str) -> None:
        pk, id, state, updated_at, activity = json.loads(noted)
        reached = 0 if state == "new" else self.conn.value("SELECT last_seq FROM conversations WHERE pk = ?", (pk,))
        self._in = _Owner(old, pk, id, state, updated_at, activity, reached)

    def _leave(self) -> None:
        """Let a conversation know of the messages that have come."""
        owner = self._in
        if owner.shifted:
            self.intake.shifted.add(owner.id)
        if owner.added:
            self.conn.run("UPDATE conversations SET last_seq = max(last_seq, ?) WHERE pk = ?", (owner.reached, owner.pk))
        if owner.added and owner.state == "kept":
            self.conn.run(
                "UPDATE conversations SET updated_at = ?, activity = ? WHERE pk = ? AND updated_at <= ?",
                (owner.updated_at, owner.activity, owner.pk, owner.updated_at),
            )


class _Owner:
    """The conversation whose messages are being taken in."""

    def __init__(self, old: int, pk: int, id: str, state: str, updated_at: float, activity: int, reached: int = 0) -> None:
        self.old = old  # its key in the export
        self.pk = pk
        self.id = id
        self.state = state  # new, kept or replaced
        self.updated_at = updated_at
        self.activity = activity
        self.reached = reached  # the last place in use
        self.added = False
        self.shifted = False

    def place(self, wanted: int) -> int:
        """The key of the next message, at its place where that is free."""
        self.shifted = self.shifted or wanted <= self.reached
        self.reached = max(wanted, self.reached + 1)
        return self.pk << 32 | self.reached
