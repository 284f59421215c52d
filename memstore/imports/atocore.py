"""Where each table of AtoCore's goes.

1. Files of every age are read: a column that an older file lacks is as if it were NULL.
2. The tables whose layout is not public (entities, relationships, project_state, project_aliases) go by the names that their columns
   may have; a column that nothing here knows is kept in `metadata["atocore"]` where the record has one, else counted by the report.
3. A memory without a project holds everywhere. A name that the projects know means that project; any other stays a name.
4. Its audit rows are history in the stream "atocore", their times in the details: our chain says when they came in.
5. AtoCore compares days, so a `valid_until` counts through its day whatever time stands there.
6. A document has the chunks that it came in with: those of one that was here before stay out, or they would mix with what it has now.

The trap is the order. An interaction must come before the memories that it was told, or it would seem to have been told them as they
stand at the end; a conflict before its members, or they would be found to be in a new one; and of what an interaction was told, its
chunks would be said to be unchanged since, if they came before it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..documents.drafts import made
from ..kernel import Exists, Invalid, RejectedClaim, values
from ..kernel.foreign import ForeignFile
from .intake import Known, Part, Row, database, event_type, moment, parsed, read
from .remembered import keep, through

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .intake import Intake

ORIGIN = "atocore"
BESIDE = {
    "conflict_members": "taken with their conflicts",
    "project_aliases": "taken with their projects",
}
#: Tables, each with columns that together nobody else has; any of them makes a file AtoCore's.
MARKS = {
    "memories": {"memory_type", "content"},
    "interactions": {"prompt", "context_pack"},
    "memory_audit": {"memory_id", "action"},
    "source_chunks": {"document_id", "heading_path"},
    "conflicts": {"slot_kind", "slot_key"},
}
#: What columns may be called whose names are not public: ours, and theirs.
ENTITY = {"type": ("entity_type", "kind"), "name": ("canonical_name", "label")}
RELATIONSHIP = {
    "from_id": ("source_entity_id", "from_entity_id", "source_id"),
    "to_id": ("target_entity_id", "to_entity_id", "target_id"),
    "kind": ("relationship_type", "relation", "type"),
}
DOCUMENT = {"file_path": "uri", "file_hash": "content_hash", "doc_type": "source_type"}
CHUNK = ("id", "content", "heading_path", "created_at", "metadata")
STATE = {"project": ("project_id",), "key": ("state_key", "name"), "value": ("content",)}
MEMBER = ("id", "member_kind", "member_id", "member_layer_trust", "value_snapshot")
THINGS = {"memory": "memories", "entity": "entities", "project_state": "project_state"}  # where a kind has its rows
TIMES = ("created_at", "updated_at")
ALIAS = {"alias": ("name",), "project_id": ("project", "canonical_id")}


class _File(ForeignFile):
    TOGETHER = {"source_chunks": "document_id"}  # or each page would have all chunks of a long document written anew


def open_source(path: Any, *, shared: bool = False) -> ForeignFile:
    """Open AtoCore's database."""
    return database(path, "a database of AtoCore's", _is_ours, _File, shared)


def _is_ours(tables: dict[str, list[str]]) -> bool:
    return any(columns <= set(tables.get(table, ())) for table, columns in MARKS.items())


class Tables:
    """Takes the rows of each table to the room that keeps them."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._store = intake.store
        self._file: ForeignFile = intake.source  # type: ignore[assignment]
        self._ids = {columns.get("name"): columns.get("id") for columns in self._all("projects")}  # by name, and by further names
        self._further: dict[Any, list[Any]] = {}  # names, by the id of their project
        self._arrived: set[str] = set()  # the documents that came in just now,
        self._met: set[str] = set()  # and those that are here under another id
        self._places: dict[str, int] = {}  # of the chunks that came in, for they need not come in order
        for columns in self._all("project_aliases"):
            row = Row("", columns)
            _call(row, ALIAS)
            owner, alias = row.left.get("project_id"), row.left.get("alias")
            id = self._ids.get(owner, owner)
            self._ids.setdefault(alias, id)
            self._further.setdefault(id, []).append(alias)

    def _all(self, table: str) -> list[dict[str, Any]]:
        return [columns for page in self._file.pages(table) for columns in page] if table in self._file.tables() else []

    def notes(self) -> Sequence[str]:
        """Nothing more to be said."""
        return ()

    def parts(self) -> list[Part]:
        """The tables, in the order in which they need one another."""
        each = self._intake.each
        return [
            Part("projects", "chat", "id", each(self._project), again=self._add_aliases),
            Part("conflicts", "conflicts", "id", each(self._conflict), "detected_at", owners=self._sides),
            Part("interactions", "memories", "id", each(self._interaction), owners=self._owners),
            Part("source_documents", "documents", "id", each(self._document), "ingested_at", "documents"),
            Part("source_chunks", "documents", "id", self._chunks, into="chunks", owners=_document_of),
            Part("memories", "memories", "id", each(self._memory), owners=self._owners),
            Part("project_state", "memories", "id", each(self._state), owners=self._owners),
            Part("entities", "knowledge", "id", each(self._entity), owners=self._owners),
            Part("relationships", "knowledge", "id", each(self._relationship), owners=self._owners),
            Part("memory_audit", "audit", "id", self._events, "timestamp", owners=self._subject),
        ]

    def _owners(self, row: Row) -> list[tuple[str, str]]:
        return self._projects_of(row.columns)

    def _projects_of(self, columns: dict[str, Any]) -> list[tuple[str, str]]:
        """The project that columns name, by its id, by its name and by the id that its name has over there."""
        named = [columns.get("project"), columns.get("project_id")]
        return [("project", id) for name in named for id in (name, self._ids.get(name)) if isinstance(id, str)]

    def _thing(self, kind: Any, id: Any) -> list[tuple[str, str]]:
        """What another row names, and the project of that: its words must not come back where the thing itself does not."""
        rows = self._file.of(THINGS.get(kind, ""), "id", [id]).get(id, [])
        return [(kind, id), *(owner for columns in rows for owner in self._projects_of(columns))]

    def _sides(self, row: Row) -> list[tuple[str, str]]:
        members = self._members(row.id)
        things = [thing for each in members for thing in self._thing(each.get("member_kind"), each.get("member_id"))]
        return [*self._owners(row), *things]

    def _subject(self, row: Row) -> list[tuple[str, str]]:
        return self._thing(row.columns.get("entity_kind") or "memory", row.columns.get("memory_id"))

    # -- projects ---------------------------------------------------------------------------------------------------

    def _project(self, row: Row) -> None:
        chat, name = self._store.chat, row.need("name")
        aliases = row.listed("aliases")
        try:
            chat.create_project(
                name, id=row.id, **row.given("description", "status"), **row.moments(*TIMES), metadata=row.metadata(ORIGIN)
            )
        except Exists:
            self._join(row, name)
        self._name(row, aliases)

    def _join(self, row: Row, name: str) -> None:
        """There is a project of that name: its id over there becomes a further name of it."""
        found = self._store.chat.get_project(name)
        if row.id in found.aliases:
            raise Known
        self._store.chat.alias(found.id, row.id)
        row.remarks.append("goes by a name that a project has here, and is taken for that one")

    def _add_aliases(self, row: Row) -> None:
        self._name(row, ())

    def _name(self, row: Row, aliases: Sequence[Any]) -> None:
        """Let a project have the further names that it has over there; one that means something else here stays with that."""
        for name in [*aliases, *self._further.get(row.id, ())]:
            try:
                self._store.chat.alias(row.id, name)
            except (Exists, Invalid):
                row.remarks.append(f"its further name {values.shorten(name)} means something else here, or is none, and was left out")

    # -- documents --------------------------------------------------------------------------------------------------

    def _document(self, row: Row) -> None:
        row.rename(**DOCUMENT)
        _drop_blank(row, "content_hash", "source_type", "tags", "ingested_at", "updated_at")
        uri = row.need("uri")
        if self._store.documents.first(uri=uri, include_deleted=True) is not None:
            self._met.add(row.id)
            row.remarks.append("there is a document of that path here already: left as it is")
            raise Known
        columns = row.given("content_hash", "title", "source_type") | row.moments("ingested_at", "updated_at")
        self._store.documents.add_text(
            "",  # nobody has kept it whole
            uri=uri,
            file_path=uri,
            **columns,
            tags=row.listed("tags"),
            created_at=columns.get("ingested_at"),
            metadata=row.metadata(ORIGIN),
            id=row.id,
        )
        self._arrived.add(row.id)

    def _chunks(self, rows: list[Row]) -> None:
        """A page of chunks, those of each document together."""
        found: dict[Any, list[Row]] = {}
        for row in rows:
            found.setdefault(row.columns.get("document_id"), []).append(row)
        for document_id, group in found.items():
            self._intake.together(group, self._chunk, partial(self._append, document_id))

    def _chunk(self, row: Row) -> dict[str, Any]:
        _drop_blank(row, "metadata", "created_at")
        document_id, content = row.need("document_id"), row.need("content")
        if document_id not in self._arrived:
            if document_id not in self._met:
                self._store.documents.get(document_id)  # or NotFound
            row.remarks.append("belongs to a document that was here before: left out")
            raise Known
        row.left.pop("char_count", None)  # counted anew
        self._places[row.id] = values.integer("chunk_index", row.need("chunk_index"))
        columns = row.given("heading_path") | row.moments("created_at")
        chunk = {"id": row.id, "content": content, **columns, "metadata": row.metadata(ORIGIN)}
        made([chunk])  # or raises: where one of many is refused, all are tried one by one
        return chunk

    def _append(self, document_id: str, chunks: list[dict[str, Any]]) -> None:
        """Let a document have more chunks, in the order of their places."""
        documents = self._store.documents
        there = [{name: getattr(chunk, name) for name in CHUNK} for chunk in documents.chunks(document_id)]
        in_order = sorted([*there, *chunks], key=lambda chunk: self._places[chunk["id"]])
        documents.set_chunks(document_id, in_order, updated_at=documents.get(document_id).updated_at)

    # -- memories ---------------------------------------------------------------------------------------------------

    def _interaction(self, row: Row) -> None:
        _drop_blank(row, "project", "project_id", "context_pack")
        columns = row.given("response", "response_summary", "client", "session_id")
        if "context_pack" in row.left:
            columns["context"] = parsed("context_pack", row.left.pop("context_pack"))
        own, id = row.left.pop("project", None), row.left.pop("project_id", None)
        self._store.memories.capture(
            row.need("prompt"),
            **columns,
            memories_used=row.listed("memories_used"),
            chunks_used=row.listed("chunks_used"),
            project=id if own is None else own,
            **row.moments("created_at"),
            metadata=row.metadata(ORIGIN),
            id=row.id,
        )

    def _memory(self, row: Row) -> None:
        _drop_blank(row, "project", "source_chunk_id", "graduated_to_entity_id", "valid_until", "domain_tags", "last_referenced_at")
        kind, content = row.need("memory_type"), row.need("content")
        columns = row.given("confidence", "status", "project", "reference_count", "source_chunk_id")
        columns |= row.moments(*TIMES, "last_referenced_at")
        columns["domain_tags"] = row.listed("domain_tags")
        if "valid_until" in row.left:
            columns["valid_until"] = through("valid_until", row.left.pop("valid_until"))
        if columns.get("status") == "graduated":
            columns |= row.given("graduated_to_entity_id")
        if columns.get("status") == "invalid":
            columns["expired_at"] = self._expired(row.id)
        columns["metadata"] = row.metadata(ORIGIN)
        try:
            keep(self._store, row, kind, content, **columns)
        except RejectedClaim:
            keep(self._store, row, kind, content, **columns, override=True)
            row.remarks.append("had been rejected here, and came in all the same: it is active or a candidate over there")

    def _expired(self, id: str) -> Any:
        """When a candidate had waited too long: nobody has rejected it, and it may come back."""
        steps = self._file.of("memory_audit", "memory_id", [id]).get(id, ())
        moments = [step.get("timestamp") for step in steps if step.get("action") in ("expired", "expire")]
        return moment("timestamp", moments[-1]) if moments else None

    def _state(self, row: Row) -> None:
        _call(row, STATE)
        category = row.left.pop("category", "")
        key = row.need("key")
        self._store.memories.add_state(
            row.need("project"),
            f"{category}.{key}" if category else key,
            row.need("value"),
            **row.given("source", "confidence", "status", "version"),
            **row.moments(*TIMES),
            id=row.id,
        )
        if category:
            row.remarks.append("its category became the beginning of its key")

    # -- knowledge --------------------------------------------------------------------------------------------------

    def _entity(self, row: Row) -> None:
        _call(row, ENTITY)
        _drop_blank(row, "project", "aliases", "source_refs", "properties", "valid_from", "valid_until", "extractor_version")
        kind, name = row.need("type"), row.need("name")
        columns = row.given("description", "status", "confidence", "project", "hand_authored", "extractor_version")
        columns |= row.moments(*TIMES, "valid_from")
        if "valid_until" in row.left:
            columns["valid_until"] = through("valid_until", row.left.pop("valid_until"))
        if columns.get("status") == "superseded":
            columns |= row.given("superseded_by")
        self._store.knowledge.add_entity(
            kind,
            name,
            **columns,
            aliases=row.listed("aliases"),
            source_refs=_references(row),
            properties=parsed("properties", row.left.pop("properties", "{}")),
            metadata=row.metadata(ORIGIN),
            id=row.id,
        )

    def _relationship(self, row: Row) -> None:
        _call(row, RELATIONSHIP)
        _drop_blank(row, "project", "source_refs", "properties", "valid_from", "valid_until")
        columns = row.given("confidence", "project") | row.moments("created_at", "valid_from")
        if "valid_until" in row.left:
            columns["valid_until"] = through("valid_until", row.left.pop("valid_until"))
        made = self._store.knowledge.relate(
            row.need("from_id"),
            row.need("kind"),
            row.need("to_id"),
            **columns,
            source_refs=_references(row),
            properties=parsed("properties", row.left.pop("properties", "{}")),
            id=row.id,
        )
        if made.id != row.id:
            raise Known

    # -- conflicts --------------------------------------------------------------------------------------------------

    def _conflict(self, row: Row) -> None:
        _drop_blank(row, "project", "resolution", "resolved_at")
        slot_kind, slot_key, project = row.need("slot_kind"), row.need("slot_key"), row.left.pop("project", None)
        columns = row.given("status", "resolution", "note")
        if columns.get("status", "open") == "open" and self._is_open(slot_kind, slot_key, project):
            row.remarks.append("its slot is in conflict here already")
            raise Known
        members = self._members(row.id)
        self._store.conflicts.open(
            slot_kind,
            slot_key,
            members=[{"value_snapshot": "", **{name: member[name] for name in MEMBER if name in member}} for member in members],
            project=project,
            **columns,
            **row.moments("resolved_at"),
            created_at=moment("detected_at", row.left.pop("detected_at", None)),
            metadata=row.metadata(ORIGIN),
            id=row.id,
        )
        beside = {name: value for member in members for name, value in member.items() if name not in (*MEMBER, "conflict_id")}
        row.left |= {f"conflict_members.{name}": value for name, value in beside.items()}

    def _members(self, id: str) -> list[dict[str, Any]]:
        found = self._file.of("conflict_members", "conflict_id", [id]).get(id, [])
        return [{name: value for name, value in member.items() if value is not None} for member in found]

    def _is_open(self, slot_kind: str, slot_key: str, project: str | None) -> bool:
        found = self._store.conflicts.find(status="open", slot_kind=slot_kind, slot_key=slot_key, project=project)
        return any(item.user_id is None and bool(project) == bool(item.project) for item in found)

    # -- audit ------------------------------------------------------------------------------------------------------

    def _events(self, rows: list[Row]) -> None:
        self._intake.together(rows, _event, self._store.audit.append_many)


def _document_of(row: Row) -> list[tuple[str, Any]]:
    return [("document", row.columns.get("document_id"))]


def _event(row: Row) -> dict[str, Any]:
    """A change of AtoCore's as an event of ours: what our chain cannot vouch for, its time among it, stands in the details."""
    kind = row.left.pop("entity_kind", "memory")
    entity_id, action = row.need("memory_id"), row.need("action")
    said = {name: read(f"{name}_json", row.left.pop(f"{name}_json", None)) for name in ("before", "after")}
    given = row.given("actor", "note")
    word = event_type(ORIGIN, f"{kind}.{action}")
    rest, row.left = {**row.left, **({} if word == f"{kind}.{action}" else {"action": action})}, {}
    return {
        "event_type": word, "id": row.id, "stream": ORIGIN, "entity_kind": kind,
        "entity_id": entity_id, **said, **given, "details": {ORIGIN: rest},
    }  # fmt: skip


def _call(row: Row, names: Mapping[str, tuple[str, ...]]) -> None:
    """Call columns what we call them, by the first of their other names that is there."""
    for ours, theirs in names.items():
        for name in theirs:
            row.rename(**{name: ours})


def _references(row: Row) -> list[str]:
    """The source_refs that say what kind of thing they name; others stay in the row."""
    told = row.listed("source_refs")
    named = [each for each in told if isinstance(each, str) and all(part.strip() for part in each.partition(":"))]
    if len(named) < len(told):
        row.left["source_refs"] = [each for each in told if each not in named]
    return named


def _drop_blank(row: Row, *names: str) -> None:
    """Take out what AtoCore leaves blank where there is nothing."""
    for name in names:
        if row.left.get(name) == "":
            del row.left[name]
