"""The log of an export on its way in: as it is into an empty store, beside our own into one with a history.

1. A log is taken whole or not at all: what is known of it already must be its beginning, what is more is added.
2. Where an export is of this very store and further on, as after a snapshot was put back, our own log goes on with its events.
3. Events that name what was erased here come without their references and payload; our event about the import says which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import ADVICE, Corrupt, Invalid, values
from .chain import Chain, Verifier, members
from .erasing import SAYING
from .events import draft, quoted
from .histories import redaction_member, verifier_of
from .tables import SCHEMA

if TYPE_CHECKING:
    from ..kernel.carrying import Intake, Row
    from . import AuditLog

NAMING = ("user", "conversation", "message", "session", "project", "correction", "memory")  # kinds that a text of an event may name
KEYED = "SELECT keyed FROM audit_state WHERE store_id = ? UNION ALL SELECT keyed FROM audit_histories WHERE store_id = ?"
ADD_PLACES = "INSERT INTO audit_places(reference, page) VALUES (?, ?) ON CONFLICT DO NOTHING"


class Story(NamedTuple):
    """A log in an export."""

    state: Row
    events: Iterable[list[Row]]
    projects: list[Row]


class Target(NamedTuple):
    """Where a log goes: our own, or a history beside it."""

    name: str
    table: str
    own: dict[str, int]  # columns that all its rows have

    @property
    def chosen(self) -> str:
        """What picks its rows."""
        return " AND ".join(f"{column} = {value}" for column, value in self.own.items()) or "1"


# -- into an empty store ------------------------------------------------------------------------------------------------


def adopt(intake: Intake, store_id: str, key: bytes | None) -> None:
    """Make the log of an export our own."""
    connection = intake.connection
    begun = connection.row("SELECT keyed FROM audit_state")
    state = next((row for page in intake.pages("audit_state") for row in page), None)
    if state is not None:
        if state["store_id"] != store_id:
            of = values.shorten(state["store_id"])
            raise Corrupt(f"the log of the export is of store {of}, and its manifest of {store_id}; nothing was imported")
        _refuse_key(state, begun is not None and begun[0] == 1, Chain(store_id, key))
        connection.run("DELETE FROM audit_state")
    elif begun is not None:  # begun by audit_key= with nothing in it: it goes on under its new name
        chain = Chain(store_id, key)
        if begun[0] and key is None:
            raise Invalid("the log of this store is keyed: open_store(..., audit_key=...) to import into it")
        connection.run("UPDATE audit_state SET store_id = ?, genesis = ?", (store_id, chain.genesis))
    for table in ("audit_state", "audit_projects", "audit_erased", "audit_histories", "audit_imported", "audit_imported_projects"):
        intake.adopt(table)
    for page in intake.pages("audit_log"):
        intake.insert("audit_log", page)
        connection.many(ADD_PLACES, _places(page))
    if intake.added["audit_log"] or state is not None:
        own = Chain(store_id, key)
        for each in (store_id, *[row[0] for row in connection.rows("SELECT store_id FROM audit_histories ORDER BY pk")]):
            _note_findings(intake, own, each)


def _refuse_key(state: Row, keyed: bool, chain: Chain) -> None:
    if state["keyed"] and chain.key is not None and state["genesis"] != chain.genesis:
        raise Invalid("audit_key is not the key that the audit log of the export was begun with; nothing was imported")
    if not state["keyed"] and (chain.key is not None or keyed):
        raise Invalid("audit_key was given, but the audit log of the export was begun without a key; import into a store opened without")


def _places(rows: list[Row]) -> set[tuple[str, int]]:
    """What leads to events: their references, and the ids that callers gave them."""
    found: set[tuple[str, int]] = set()
    for row in rows:
        page = row["seq"] >> 6
        found.update((member, page) for member in members((row["refs"] or "")[42:-1]))
        if ',"id":"' in row["body"]:
            with suppress(ValueError, KeyError, TypeError):  # verify() says that it is no event
                found.add((f',"id":{quoted(json.loads(row["body"])["id"])}', page))
    return found


# -- into a store with a history ----------------------------------------------------------------------------------------


def merge(log: AuditLog, intake: Intake, store_id: str, user_id: str | None, actor: str, note: str) -> int | None:
    """Take in the logs of an export, and write one event about the import unless nothing was written."""
    log._bind(intake.connection)  # another handle may have made the store another one since
    taken = _Merge(log, intake)
    for story in _stories(intake):
        taken.take(story)
    for page in intake.pages("audit_erased"):
        added = intake.connection.many(
            "INSERT INTO audit_erased(salt, digest) VALUES (?, ?) ON CONFLICT DO NOTHING", [(row["salt"], row["digest"]) for row in page]
        )
        intake.added.update({"audit_erased": added} if added else {})
    if not intake.wrote:
        return None
    counts = {name: dict(+getattr(intake, name)) for name in ("added", "replaced", "skipped", "erased")}
    given = {
        "entity_kind": "store",
        "details": {"from": "memstore", "store_id": store_id, **{name: told for name, told in counts.items() if told}},
        "user_id": user_id,
        "actor": actor,
        "note": note,
    }
    event = draft(given, log._write, f',"event_type":"store.import"{taken.member()}')
    seq = log._append(intake.connection, event).seq
    for grown in taken.grown:
        _note_findings(intake, log._chain, grown)
    return seq


def _note_findings(intake: Intake, own: Chain, store_id: str) -> None:
    """Say where a log that came does not verify; it comes all the same, being what there is."""
    if own.key is None and intake.connection.value(KEYED, (store_id, store_id)):
        return  # only its key can tell
    try:
        verifier = Verifier(own, (), None) if store_id == own.store_id else verifier_of(intake.connection, store_id, own, (), None)
    except Invalid:
        return  # it has another key
    verifier.run(intake.connection, SCHEMA)
    wrong = [finding for finding in verifier.verdict().findings if finding.kind not in ADVICE]
    if wrong:
        intake.notes.append(f"the log of the export does not verify: {wrong[0].detail} (store {store_id}, {len(wrong):,} finding(s))")


def _stories(intake: Intake) -> Iterator[Story]:
    """The logs of an export: its own, and the histories that it holds."""
    for state in [row for page in intake.pages("audit_state") for row in page]:
        projects = [row for page in intake.pages("audit_projects") for row in page]
        yield Story(state, intake.pages("audit_log"), projects)
    for state in [row for page in intake.pages("audit_histories") for row in page]:
        yield Story(state, _of(intake, "audit_imported", state["pk"]), [
            row for page in _of(intake, "audit_imported_projects", state["pk"]) for row in page
        ])  # fmt: skip


def _of(intake: Intake, table: str, history: int) -> Iterator[list[Row]]:
    for page in intake.pages(table):
        if rows := [row for row in page if row["history"] == history]:
            yield rows


class _Merge:
    """The logs of one export on their way in."""

    def __init__(self, log: AuditLog, intake: Intake) -> None:
        self.log = log
        self.intake = intake
        self.connection = intake.connection
        self.emptied: dict[str, list[int]] = {}  # by store, what came without its redactable part
        self.grown: list[str] = []  # stores whose logs are known further now

    def member(self) -> str:
        """What our event says of it in its body."""
        others = dict(self.emptied)
        own = others.pop(self.log._chain.store_id, [])
        return (f',"redacts":{json.dumps(own, separators=(",", ":"))}' if own else "") + redaction_member(others)

    def take(self, story: Story) -> None:
        """Take in a log, or what of it is not known yet."""
        target, last = self._target(story.state)
        lost: list[int] = []
        first, reached = None, last
        for page in story.events:
            first = page[0]["seq"] if first is None else first
            known = self._known(target, page[0]["seq"], page[-1]["seq"])
            lost += [row["seq"] for row in page if self._same(story, row, known) and row["refs"] == "" and known[row["seq"]][2] != ""]
            fresh = [row for row in page if row["seq"] > last]
            if fresh and reached == last and last and fresh[0]["seq"] != last + 1:
                raise Invalid(
                    f"the log of store {story.state['store_id']} is known here up to event {last}, and the export's begins at"
                    f" {fresh[0]['seq']}, for it was pruned: the two cannot be joined; nothing was imported"
                )
            if fresh:
                self._add(story, target, fresh)
                reached = fresh[-1]["seq"]
            self.intake.skipped[target.table] += len(page) - len(fresh)
        if reached > last:
            self._follow(story, target, first or 0, lost if last else [])
            self.grown.append(target.name)

    def _target(self, state: Row) -> tuple[Target, int]:
        """Where a log goes, and how far it is known there."""
        if state["store_id"] == self.log._chain.store_id:
            target = Target(state["store_id"], "audit_log", {})
        else:
            pk = self.connection.value("SELECT pk FROM audit_histories WHERE store_id = ?", (state["store_id"],))
            if pk is None:
                pk = self.connection.insert(
                    "INSERT INTO audit_histories(store_id, keyed, genesis) VALUES (?, ?, ?)",
                    (state["store_id"], state["keyed"], state["genesis"]),
                )
                self.intake.added["audit_histories"] += 1
            target = Target(state["store_id"], "audit_imported", {"history": int(pk)})
        return target, self.connection.value(f"SELECT max(seq) FROM {target.table} WHERE {target.chosen}") or 0

    def _known(self, target: Target, low: int, high: int) -> dict[int, tuple[str, bytes, str | None]]:
        rows = self.connection.rows(
            f"SELECT seq, body, hash, refs FROM {target.table} WHERE {target.chosen} AND seq >= ? AND seq <= ?", (low, high)
        )
        return {seq: (body, link, refs) for seq, body, link, refs in rows}

    def _same(self, story: Story, row: Row, known: dict[int, tuple[str, bytes, str | None]]) -> bool:
        """Whether an event is known; another one under its number is a contradiction."""
        seq = row["seq"]
        if seq in known and known[seq][:2] != (row["body"], row["hash"]):
            raise Invalid(
                f"the log of store {story.state['store_id']} in the export and the one known here went different ways"
                f" after event {seq - 1}, as after a restored snapshot or an erasure: to have what the export holds, import it into a"
                " new store; nothing was imported"
            )
        return seq in known

    def _add(self, story: Story, target: Target, rows: list[Row]) -> None:
        rows = self._emptied(story.state["store_id"], rows)
        self.intake.insert(target.table, [{**row, **target.own} for row in rows])
        if not target.own:
            self.log._begun(self.connection)
            self.connection.many(ADD_PLACES, _places(rows))

    def _emptied(self, store_id: str, rows: list[Row]) -> list[Row]:
        """The events, those that name something erased without what names it."""
        named = {row["seq"]: _named(row) for row in rows if row["refs"]}
        gone = self.intake.gone(pair for pairs in named.values() for pair in pairs)
        hit = {seq for seq, pairs in named.items() if not gone.isdisjoint(pairs)} if gone else set()
        if not hit:
            return rows
        self.emptied.setdefault(store_id, []).extend(sorted(hit))
        self.intake.erased["audit_log"] += len(hit)
        return [{**row, "refs": "", "payload": None} if row["seq"] in hit else row for row in rows]

    def _follow(self, story: Story, target: Target, first: int, lost: list[int]) -> None:
        """After a log grew: what it has redacted and pruned at home goes here too, and its counts are the new ones."""
        self._permitted(f"UPDATE {target.table} SET refs = '', payload = NULL WHERE {target.chosen} AND seq = ?", lost)
        pruned = self.connection.value(f"SELECT 1 FROM {target.table} WHERE {target.chosen} AND seq < ? LIMIT 1", (first,))
        self._permitted(f"DELETE FROM {target.table} WHERE {target.chosen} AND seq < ?", [] if pruned is None else [first])
        counts = [(row["project_id"], row["last_seq"]) for row in story.projects]
        if target.own:
            history = target.own["history"]
            self.connection.run("UPDATE audit_histories SET sealed_by = ? WHERE pk = ?", (story.state["sealed_by"], history))
            self.connection.many(
                "INSERT OR REPLACE INTO audit_imported_projects(history, project_id, last_seq) VALUES (?, ?, ?)",
                [(history, *count) for count in counts],
            )
        else:
            self.connection.run("UPDATE audit_state SET sealed_by = ?", (story.state["sealed_by"],))
            self.connection.many("INSERT OR REPLACE INTO audit_projects(project_id, last_seq) VALUES (?, ?)", counts)
            if lost or pruned is not None:
                self._place_anew()

    def _permitted(self, sql: str, numbers: list[int]) -> None:
        if numbers:
            self.connection.run("INSERT INTO audit_permit(reason) VALUES ('IMPORT')")
            self.connection.many(sql, [(number,) for number in numbers])
            self.connection.run("DELETE FROM audit_permit")
            self.log.db.scrub()

    def _place_anew(self) -> None:
        self.connection.run("DELETE FROM audit_places")
        last = 0
        while rows := self.connection.rows("SELECT seq, body, refs FROM audit_log WHERE seq > ? ORDER BY seq LIMIT 1000", (last,)):
            self.connection.many(ADD_PLACES, _places([dict(zip(("seq", "body", "refs"), row)) for row in rows]))
            last = values.onward(last, rows[-1][0])


def _named(row: Row) -> set[tuple[str, str]]:
    """What an event may name: every text of its references and payload, as each kind of thing."""
    try:
        refs = json.loads(row["refs"])
        payload = json.loads(row["payload"] or "{}")
        texts = {*_texts({name: value for name, value in refs.items() if name != "salt"}), *_texts(payload)}
        kind = json.loads(row["body"]).get("entity_kind")
    except (ValueError, AttributeError, RecursionError):
        return set()  # verify() says that it is no event
    pairs = {(each, text) for text in texts if len(text) <= values.KEY_LENGTH for each in NAMING}
    pairs |= {("entity", text) for said in _changes(payload) for name in SAYING["entity"] for text in _texts(said.get(name))}
    return pairs | ({(str(kind), refs["entity_id"])} if "entity_id" in refs else set())


def _changes(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """What an event says that something was and is."""
    return [said for said in (payload.get("before"), payload.get("after")) if isinstance(said, dict)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
