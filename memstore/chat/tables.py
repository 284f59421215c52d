"""The tables of chat, and the records read from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from itertools import repeat
from typing import Any, Literal

from ..kernel import Carried, Cipher, Corrupt, Record, Schema, Table, record, values
from . import forms

AccuracyLevel = Literal["fast", "balanced", "high", "maximum"]
ACCURACY_LEVELS = ("fast", "balanced", "high", "maximum")
Confidence = Literal["High", "Medium", "Uncertain"]
CONFIDENCES = ("High", "Medium", "Uncertain")
LOCAL = "local"  # the user of a store that has only one

SCHEMA = Schema(
    "chat",
    version=1,
    ddl=f"""
CREATE TABLE projects(
    pk          INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    user_id     TEXT NOT NULL DEFAULT 'local',
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    status      TEXT NOT NULL DEFAULT 'active',   -- open: [a-z][a-z0-9_.-]*
    metadata    TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    version     INTEGER NOT NULL DEFAULT 1,
    created_at  REAL NOT NULL DEFAULT 0,
    updated_at  REAL NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX projects__name ON projects(name, user_id);

CREATE TABLE project_aliases(
    alias      TEXT NOT NULL,
    user_id    TEXT NOT NULL DEFAULT 'local',     -- the project's: one user's names are one namespace
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    PRIMARY KEY (alias, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_aliases__project ON project_aliases(project_id);

CREATE TABLE active_projects(
    user_id    TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations(
    pk          INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    user_id     TEXT NOT NULL DEFAULT 'local',
    title       TEXT NOT NULL DEFAULT '',
    project_id  TEXT,                             -- no foreign key: an unregistered name may stand here
    created_at  REAL NOT NULL DEFAULT 0,
    updated_at  REAL NOT NULL DEFAULT 0,          -- of the newest message or the renaming
    activity    INTEGER NOT NULL DEFAULT 0,       -- the number of arrival of the same: tells equal times apart
    last_seq    INTEGER NOT NULL DEFAULT 0 CHECK (last_seq < 4294967296),   -- rises only
    archived_at REAL,
    forked_from TEXT,
    forked_at   TEXT,                             -- the message of `forked_from` that was the last one copied
    metadata    TEXT CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;
-- No index by updated_at: each append would write one more page, and sorting 100,000 conversations for a page takes 12 ms.

CREATE TABLE messages(
    pk             INTEGER PRIMARY KEY,           -- conversations.pk << 32 | seq: a page of a conversation is one clustered range
    arrival        INTEGER NOT NULL,              -- order of arrival over the whole store, never reused; found through `arrivals`
    id             TEXT NOT NULL,                 -- one that we made holds `arrival` and is found by it
    supplied       INTEGER NOT NULL DEFAULT 0 CHECK (supplied IN (0, 1)),   -- 1: the caller's id, found by messages__id
    plain          INTEGER NOT NULL DEFAULT 0 CHECK (plain IN (0, 1)),      -- 1: nothing behind created_at, and reading stops there
    role           TEXT NOT NULL DEFAULT 'user' CHECK ({values.among("role", forms.ROLES)}),
    content        TEXT NOT NULL DEFAULT '',      -- where it is plain text
    created_at     REAL NOT NULL DEFAULT 0,
    callout_type   TEXT,                          -- open: [a-z][a-z0-9_.-]*
    models_used    TEXT NOT NULL DEFAULT '[]' CHECK (models_used = '[]' OR json_valid(models_used)),
    accuracy_level TEXT CHECK ({values.among("accuracy_level", ACCURACY_LEVELS)}),
    confidence     TEXT CHECK ({values.among("confidence", CONFIDENCES)}),
    tool_calls     TEXT CHECK (tool_calls IS NULL OR json_valid(tool_calls)),
    tool_call_id   TEXT,
    name           TEXT,
    extra          TEXT CHECK (extra IS NULL OR json_valid(extra)),   -- all keys that no column holds, content in parts or null among them;
                                                  -- with a key "role": there was no content; an item is whole in here
    metadata       TEXT CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;
CREATE UNIQUE INDEX messages__id ON messages(id) WHERE supplied = 1;
CREATE INDEX messages__system ON messages(role) WHERE role IN ('system', 'developer');

CREATE TABLE arrivals(                            -- where the message with a number is: an index by `arrival` would cost each append a page
    first INTEGER PRIMARY KEY,                    -- from this number on, up to the next row's,
    pk    INTEGER NOT NULL DEFAULT 0              -- messages have the keys from this one on; 0: the number before was no message's
) STRICT;

CREATE TABLE sessions(
    pk          INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    user_id     TEXT NOT NULL DEFAULT 'local',
    created_at  REAL NOT NULL DEFAULT 0,
    updated_at  REAL NOT NULL DEFAULT 0,
    domain      TEXT,
    query_count INTEGER NOT NULL DEFAULT 0,
    metadata    TEXT CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;
""",
    carried=(
        Carried("projects", ("pk",), ("description",), ("metadata",)),
        Carried("project_aliases", ("alias", "user_id")),
        Carried("active_projects", ("user_id",)),
        Carried("conversations", ("pk",), ("title",), ("metadata",)),
        Carried("messages", ("pk",), ("content", "name"), ("tool_calls", "extra", "metadata")),
        Carried("arrivals", ("first",)),
        Carried("sessions", ("pk",), (), ("metadata",)),
    ),
)


@record
class Project(Record):
    """A scope for conversations and what is learned in them."""

    id: str
    user_id: str
    name: str
    description: str
    status: str
    aliases: list[str]
    metadata: dict[str, Any] | None
    version: int
    created_at: float
    updated_at: float

    @property
    def project_id(self) -> str:
        """The id, by its name elsewhere."""
        return self.id


@record
class Conversation(Record):
    """What users see as one chat."""

    id: str
    user_id: str
    title: str
    project_id: str | None
    created_at: float
    updated_at: float
    archived_at: float | None = None
    forked_from: str | None = None
    forked_at: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def conversation_id(self) -> str:
        """The id, by its name elsewhere."""
        return self.id


@record
class Message(Record):
    """One message; `content` is its text, `to_openai()` the whole as it came in."""

    id: str
    conversation_id: str
    role: str
    content: str
    created_at: float
    callout_type: str | None = None
    models_used: list[str] = field(default_factory=list)
    accuracy_level: str | None = None
    confidence: str | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    extra: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    @property
    def message_id(self) -> str:
        """The id, by its name elsewhere."""
        return self.id

    def to_openai(self) -> dict[str, Any]:
        """Return the message as it came in, unknown keys included."""
        return forms.join(self.role, self.content, self.tool_calls, self.tool_call_id, self.name, self.extra)


@record
class QuerySession(Record):
    """A group of queries; a conversation's id may be its id too."""

    id: str
    user_id: str
    created_at: float
    updated_at: float
    domain: str | None
    query_count: int
    metadata: dict[str, Any] | None


@record
class MessageHit(Record):
    """A message that a search found, and the words around what matched."""

    message: Message
    snippet: str


PROJECTS = Table(
    Project,
    "projects",
    json=("aliases", "metadata"),
    hidden=("pk",),
    computed={
        "aliases": """(
            SELECT json_group_array(alias)
            FROM (SELECT alias FROM project_aliases WHERE project_id = projects.id ORDER BY alias)
        )"""
    },
    schema=SCHEMA,
)
CONVERSATIONS = Table(Conversation, "conversations", json=("metadata",), hidden=("pk", "activity", "last_seq"), schema=SCHEMA)
SESSIONS = Table(QuerySession, "sessions", json=("metadata",), hidden=("pk",), schema=SCHEMA)

MESSAGES = Table(
    Message,
    "messages",
    json=("models_used", "tool_calls", "extra", "metadata"),
    hidden=("pk", "arrival", "supplied", "plain"),
    computed={"conversation_id": "(SELECT id FROM conversations WHERE pk = messages.pk >> 32)"},
    schema=SCHEMA,
)
BESIDE = MESSAGES.stored[4:]  # the columns beside id, role, content and time
CONTENT = "messages.content"  # as what is sealed is bound to it
NOTHING = (None, "[]", None, None, None, None, None, None, None)  # what most messages have in them
DOCUMENTS = [(place, name) for place, name in enumerate(BESIDE) if name in MESSAGES.json]
CARRIED = next(carried for carried in SCHEMA.carried if carried.table == "messages")
SEALED = [(place, name) for place, name in enumerate(BESIDE) if name in (*CARRIED.sealed, *CARRIED.documents)]


def _json(column: str) -> str:
    """A document within a document, or its text where it is damaged: json() alone would not say in which message."""
    return f"iif(json_valid({column}), json({column}), {column})"


#: A message without its owner, as `messages_from` takes it. Fetching nine columns of nothing would cost as much as the rest.
READ = f"""
messages.id, messages.role, messages.content, messages.created_at,
CASE plain WHEN 0 THEN json_array(
    callout_type, {_json("models_used")}, accuracy_level, confidence, {_json("tool_calls")}, tool_call_id, name,
    {_json("extra")}, {_json("messages.metadata")}
) END"""


def messages_from(owners: Iterable[str], rows: Sequence[Sequence[Any]], cipher: Cipher | None) -> list[Message]:
    """The records of rows of READ, each with the id of its conversation."""
    if not rows:
        return []
    ids, roles, contents, times, beside = zip(*rows)
    if cipher is not None:
        contents = tuple([cipher.unseal(CONTENT, (id,), content) for id, content in zip(ids, contents)])
    if {*map(type, roles), *map(type, contents), *map(type, times)} != {str, float}:
        wrong = next(row[0] for row in rows if tuple(map(type, row[1:4])) != (str, str, float))
        raise Corrupt(f"message {values.shorten(wrong)} is damaged, it holds a value of another type; check() lists what else is")
    messages = list(map(Message, ids, owners, roles, contents, times))
    if beside.count(None) == len(beside):
        return messages
    return [
        message if source is None else _with(message, _read(message.id, source, cipher)) for message, source in zip(messages, beside)
    ]


def _read(message_id: str, beside: str, cipher: Cipher | None) -> list[Any]:
    shown: list[Any] = values.from_json(beside)
    if cipher is not None:
        for place, name in SEALED:
            shown[place] = _unsealed(cipher, message_id, name, shown[place])
    for place, name in DOCUMENTS:
        MESSAGES.shaped(name, shown[place], message_id)
    return shown


def _unsealed(cipher: Cipher, message_id: str, name: str, found: Any) -> Any:
    """What a column beside the text held, from where `json_array` put it."""
    if found is None or name not in CARRIED.documents:
        return cipher.unseal_column(CARRIED, name, (message_id,), found)
    return MESSAGES.decode(name, cipher.unseal(f"messages.{name}", (message_id,), found), message_id)


def unsealed_beside(cipher: Cipher, message_id: str, beside: Sequence[Any]) -> tuple[Any, ...]:
    """The values of BESIDE as they were before they were sealed."""
    return _each(cipher.unseal_column, message_id, beside)


def sealed_beside(cipher: Cipher, message_id: str, beside: Sequence[Any]) -> tuple[Any, ...]:
    """The values of BESIDE as the file has them."""
    return _each(cipher.seal_column, message_id, beside)


def _each(change: Callable[..., Any], message_id: str, beside: Sequence[Any]) -> tuple[Any, ...]:
    result = list(beside)
    for place, name in SEALED:
        result[place] = change(CARRIED, name, (message_id,), result[place])
    return tuple(result)


def messages_of(
    conversation_id: str,
    ids: Sequence[str],
    roles: Sequence[str],
    contents: Sequence[str],
    times: Sequence[float],
    beside: Sequence[tuple[Any, ...]] | None,
) -> list[Message]:
    """The records of what was just stored."""
    messages = list(map(Message, ids, repeat(conversation_id), roles, contents, times))
    return messages if beside is None else list(map(whole, messages, beside))


def whole(message: Message, beside: tuple[Any, ...]) -> Message:
    """The record of what was just stored, with the values of BESIDE."""
    decoded = [values.from_json(value) if value is not None and name in MESSAGES.json else value for name, value in zip(BESIDE, beside)]
    return _with(message, decoded)


def _with(message: Message, beside: list[Any]) -> Message:
    """The message with what is beside its text; where its content lies in `extra`, with the text of that."""
    whole = Message(message.id, message.conversation_id, message.role, message.content, message.created_at, *beside)
    if whole.extra is not None and not whole.content:
        whole.content = forms.body(whole.to_openai())  # type: ignore[misc]
    return whole
