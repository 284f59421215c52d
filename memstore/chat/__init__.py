"""Conversations: what was said, in which project, by whom, in the order in which it arrived.

1. A message is kept as it came in, unknown keys included: `to_openai()` gives it back. Common keys are columns, so that SQL can
   read them; nothing is stored twice.
2. The order of messages is the order of arrival, whatever their `created_at` says. `pk` holds the conversation and the place in
   it, so a page is one clustered range and page 1000 costs what page 1 does.
3. Every arrival (a message, a new or renamed conversation) takes a number from one counter of the whole store that never goes
   back, not even when messages are removed: the keyword index knows messages by it. A message id that we make holds the number
   and needs no index of its own.
4. A conversation's `updated_at` moves with its messages and its title; lists run by (updated_at, number of arrival).

The trap: a mapping's `id` and `created_at` are keys of somebody else's and only come out of `to_openai()`. Ids and times are
set by `append(id=, created_at=)` or by appending `Message` records.
"""

from __future__ import annotations

import math
import operator
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat, starmap
from typing import TYPE_CHECKING, Any

from ..kernel import Cipher, Connection, Exists, Finding, NotFound, Prunable, Recorder, Room, estimate_tokens, values, write_lines
from ..kernel.excerpts import excerpt
from . import forms, sft
from .erasing import Forgetting
from .places import (
    AT_WANTED,
    CHECKS,
    SPAN,
    begin_run,
    free_id,
    key_of,
    known_conversation,
    known_message,
    new_message_id,
    new_message_ids,
    next_arrival,
    no_conversation,
)
from .projects import Joined, json_text
from .removal import prunable_conversations
from .rows import Columns, Row, as_columns, check_said, columns_of, copied, row, row_of, sealed_columns, tool_calls_of
from .session import AgentSession
from .tables import (
    BESIDE,
    CONTENT,
    CONVERSATIONS,
    LOCAL,
    MESSAGES,
    NOTHING,
    PROJECTS,
    READ,
    SCHEMA,
    SESSIONS,
    AccuracyLevel,
    Confidence,
    Conversation,
    Message,
    MessageHit,
    Project,
    QuerySession,
    messages_from,
    messages_of,
    sealed_beside,
    whole,
)
from .texts import MessageTexts
from .unreadable import unreadable
from .window import Window

if TYPE_CHECKING:
    from datetime import datetime

    from ..keywords import KeywordIndex

__all__ = [
    "CONVERSATIONS",
    "MESSAGES",
    "PROJECTS",
    "SCHEMA",
    "SESSIONS",
    "AccuracyLevel",
    "AgentSession",
    "ChatStore",
    "Confidence",
    "Conversation",
    "Message",
    "MessageHit",
    "MessageTexts",
    "Project",
    "QuerySession",
]

INDEX_EVERY = 2048  # messages after which the keyword index is asked to write its backlog
CHUNK = 200

_INSERT = """
INSERT INTO messages(pk, arrival, supplied, id, role, content, created_at, plain)
VALUES (?, ?, ?, ?, ?, ?, ?, 1)
"""
_INSERT_WHOLE = f"""
INSERT INTO messages(pk, arrival, supplied, id, role, content, created_at, {", ".join(BESIDE)})
VALUES (?, ?, ?, ?, ?, ?, ?, {", ".join("?" * len(BESIDE))})
"""
_NEXT = """
SELECT own.pk, own.last_seq, coalesce(newest.activity, run.first - 1, 0), run.pk - run.first
FROM conversations AS own
    LEFT JOIN arrivals AS run ON run.first = (SELECT max(first) FROM arrivals)
    LEFT JOIN conversations AS newest ON newest.pk = run.pk >> 32
WHERE own.id = ?
"""
_ADVANCE = "UPDATE conversations SET last_seq = ?, updated_at = ?, activity = ? WHERE pk = ?"


class ChatStore(Forgetting):
    """Keep conversations, page through them, search them, cut them to a model's window.

    >>> from memstore import open_store
    >>> store = open_store(":memory:")
    >>> chat = store.chat.create_conversation(title="Fix #1867")
    >>> _ = store.chat.append(chat.id, "user", "TimeDelta serialises 345 ms as 344")
    >>> [message.content for message in store.chat.messages(chat.id)]
    ['TimeDelta serialises 345 ms as 344']
    """

    def __init__(
        self, db: Room, audit: Recorder, joined: Joined, keywords: Callable[[], KeywordIndex], run: Callable[..., Any]
    ) -> None:
        super().__init__(db, audit, joined, keywords)
        self.texts = MessageTexts(db)
        self._run = run
        self._chance = int.from_bytes(os.urandom(4), "big")

    # -- conversations ----------------------------------------------------------------------------------------------

    def create_conversation(
        self,
        *,
        id: str | None = None,
        exist_ok: bool = False,
        title: str = "",
        project: str | None = None,
        user_id: str = LOCAL,
        metadata: dict[str, Any] | None = None,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
    ) -> Conversation:
        """Create a conversation, in the user's active project unless one is named.

        An id that exists raises Exists; with `exist_ok` that conversation is returned as it is. `updated_at` is `created_at`
        unless given.
        """
        conversation_id = values.new_id() if id is None else values.key("id", id)
        values.flag("exist_ok", exist_ok)
        values.key("user_id", user_id)
        values.text("title", title)
        stored = json_text("metadata", metadata)
        given = values.optional(values.moment, "created_at", created_at)
        active_at = values.optional(values.moment, "updated_at", updated_at)
        project = self.canonical(project, user_id)
        with self.db.write() as conn:
            found = CONVERSATIONS.first(conn, "WHERE id = ?", (conversation_id,))
            if found is not None:
                if exist_ok:
                    return found
                raise Exists(f"conversation {conversation_id!r} exists; pass exist_ok=True to go on with it")
            if project is None:
                project = conn.value("SELECT project_id FROM active_projects WHERE user_id = ?", (user_id,))
            born = self.db.now if given is None else given
            active_at = born if active_at is None else active_at
            title, stored = CONVERSATIONS.sealed(conn, conversation_id, title=title, metadata=stored)
            conn.run(
                """
                INSERT INTO conversations(id, user_id, title, project_id, created_at, updated_at, activity, metadata)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (conversation_id, user_id, title, project, born, active_at, next_arrival(conn), stored),
            )
            return known_conversation(conn, conversation_id)

    def get_conversation(self, conversation_id: str) -> Conversation:
        """The conversation with this id."""
        with self.db.read() as conn:
            return known_conversation(conn, conversation_id)

    def conversations(
        self,
        *,
        project: str | None = None,
        user_id: str | None = None,
        archived: bool = False,
        limit: int | None = 50,
        before: str | None = None,
    ) -> list[Conversation]:
        """Conversations, newest activity first; `before` is the id of the last one of the page before.

        Of a user with an active project only its conversations are listed, unless `project` is given; `archived=True` lists
        archived ones too.
        """
        values.optional(values.key, "user_id", user_id)
        project = self.canonical(project, user_id)
        with self.db.read(snapshot=True) as conn:
            edge: Row = (math.inf, 0)
            if before is not None:
                edge = conn.rows("SELECT updated_at, activity FROM conversations WHERE pk = ?", (key_of(conn, before),))[0]
            return CONVERSATIONS.find(
                conn,
                """
                WHERE (updated_at, activity) < (?, ?)
                  AND (? OR archived_at IS NULL)
                  AND (? IS NULL OR user_id = ?)
                  AND CASE
                      WHEN ? IS NOT NULL THEN project_id = ?
                      ELSE project_id IS coalesce(
                          (SELECT active.project_id FROM active_projects AS active WHERE active.user_id = conversations.user_id),
                          project_id
                      )
                  END
                ORDER BY updated_at DESC, activity DESC
                LIMIT ?
                """,
                (*edge, values.flag("archived", archived), user_id, user_id, project, project, values.limit(limit)),
            )

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give a conversation another title; that counts as activity."""
        values.text("title", title)
        with self.db.write() as conn:
            (title,) = CONVERSATIONS.sealed(conn, conversation_id, title=title)
            conn.run(
                "UPDATE conversations SET title = ?, updated_at = ?, activity = ? WHERE pk = ?",
                (title, self.db.now, next_arrival(conn), key_of(conn, conversation_id)),
            )
            return known_conversation(conn, conversation_id)

    def move(self, conversation_id: str, project: str | None) -> Conversation:
        """Put a conversation into a project, or with None into none."""
        with self.db.write() as conn:
            owner = known_conversation(conn, conversation_id).user_id
            conn.run("UPDATE conversations SET project_id = ? WHERE id = ?", (self.canonical(project, owner), conversation_id))
            return known_conversation(conn, conversation_id)

    def archive(self, conversation_id: str, *, archived: bool = True) -> Conversation:
        """Take a conversation out of the list, or with `archived=False` back in; its messages stay searchable."""
        values.flag("archived", archived)
        with self.db.write() as conn:
            since = self.db.now if archived else None
            conn.run("UPDATE conversations SET archived_at = ? WHERE pk = ?", (since, key_of(conn, conversation_id)))
            return known_conversation(conn, conversation_id)

    def fork(self, conversation_id: str, *, at: str) -> Conversation:
        """Copy a conversation up to and including the message `at` into a new one.

        The copies get new ids and keep everything else.
        """
        with self.db.write() as conn:
            source = known_conversation(conn, conversation_id)
            owner = key_of(conn, conversation_id)
            last, _ = known_message(conn, at, owner)
            first = owner << 32
            copy = self.create_conversation(
                title=source.title, project=source.project_id, user_id=source.user_id, metadata=source.metadata
            )
            conn.run(
                "UPDATE conversations SET project_id = ?, forked_from = ?, forked_at = ? WHERE id = ?",
                (source.project_id, source.id, at, copy.id),
            )
            columns = ", ".join(BESIDE)
            while first < last:
                rows = conn.rows(
                    f"SELECT pk, id, role, content, created_at, {columns} FROM messages WHERE pk > ? AND pk <= ? ORDER BY pk LIMIT ?",
                    (first, last, CHUNK),
                )
                self._insert_many(conn, copy.id, as_columns([copied(conn.cipher, row[1:]) for row in rows]))
                first = values.onward(first, rows[-1][0] if rows else first)
            return known_conversation(conn, copy.id)

    # -- writing messages -------------------------------------------------------------------------------------------

    def append(
        self,
        conversation_id: str,
        role: str,
        content: str | list[Any] | None,
        *,
        id: str | None = None,
        created_at: float | None = None,
        callout_type: str | None = None,
        models_used: Iterable[str] = (),
        accuracy_level: str | None = None,
        confidence: str | None = None,
        tool_calls: Iterable[Any] | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Message:
        """Append one message and return it; a user's blank text is refused."""
        check_said(role, content)
        form: forms.Json = {"role": role, "content": content}
        if tool_calls is not None:
            form["tool_calls"] = tool_calls_of(tool_calls)
        if tool_call_id is not None:
            form["tool_call_id"] = values.key("tool_call_id", tool_call_id)
        if name is not None:
            form["name"] = values.text("name", name)
        said = row(form, id, created_at, callout_type, models_used, accuracy_level, confidence, metadata)
        with self.db.write() as conn:
            return self._insert(conn, conversation_id, said)

    def append_message(self, conversation_id: str, message: Any) -> Message:
        """Append a message in OpenAI form: a mapping, or an object with model_dump(); blank text is kept."""
        said = row_of(message)
        with self.db.write() as conn:
            return self._insert(conn, conversation_id, said)

    def append_many(
        self, conversation_id: str, messages: Iterable[Any], *, updated_at: float | datetime | None = None
    ) -> list[Message]:
        """Append messages in OpenAI form or `Message` records, all or none; blank text is kept.

        `updated_at` is the conversation's from then on: now, unless the messages come from elsewhere.
        """
        said = columns_of(messages)
        active_at = values.optional(values.moment, "updated_at", updated_at)
        with self.db.write() as conn:
            return self._insert_many(conn, conversation_id, said, active_at)

    def _insert(self, conn: Connection, conversation_id: str, said: Row) -> Message:
        """Store one message and return its record; as a list of one it would take 4 us more."""
        given, role, content, moment, beside = said
        now = self.db.now
        pk, number = self._claim(conn, conversation_id, 1, now)
        chosen = new_message_id(now, number, self._chance_now()) if given is None else free_id(conn, given)
        created_at = now if moment is None else moment
        stored = (pk, number, 0 if given is None else 1, chosen, role, content, created_at)
        message = Message(chosen, conversation_id, role, content, created_at)
        if conn.cipher is not None:
            stored = (*stored[:5], conn.cipher.seal(CONTENT, (chosen,), content), created_at)
        if beside == NOTHING:
            conn.run(_INSERT, stored)
            return message
        conn.run(_INSERT_WHOLE, stored + (beside if conn.cipher is None else sealed_beside(conn.cipher, chosen, beside)))
        return whole(message, beside)

    def _insert_many(self, conn: Connection, conversation_id: str, said: Columns, active_at: float | None = None) -> list[Message]:
        """Store messages, a column at a time, and return their records."""
        given, roles, contents, times, beside = said
        count, now = len(roles), self.db.now
        pk, number = self._claim(conn, conversation_id, count, now if active_at is None else active_at)
        supplied = [0 if name is None else 1 for name in given]  # a bool would take the driver's long way
        ids = new_message_ids(now, number, count, self._chance_now())
        if 1 in supplied:
            ids = [made if name is None else free_id(conn, name) for name, made in zip(given, ids)]
        shown = (ids, roles, contents, [now if time is None else time for time in times])
        stored, more = (shown, beside) if conn.cipher is None else sealed_columns(conn.cipher, shown, beside)
        rows: Iterable[Row] = zip(range(pk, pk + count), range(number, number + count), supplied, *stored)
        try:
            conn.many(*((_INSERT, rows) if more is None else (_INSERT_WHOLE, map(operator.add, rows, more))))
        except Exists:
            raise Exists("two of these messages have the same id; nothing was appended") from None
        return messages_of(conversation_id, *shown, beside)

    def _claim(self, conn: Connection, conversation_id: str, count: int, active_at: float) -> tuple[int, int]:
        """Take keys and numbers for the messages that come next into a conversation, and return the first of both."""
        found = conn.row(_NEXT, (values.key("conversation_id", conversation_id),))
        if found is None:
            raise no_conversation(conn, conversation_id)
        owner, place, arrival, run = found
        pk, number = (owner << 32) + place + 1, arrival + 1
        if count == 0:
            return pk, number
        if pk - number != run:
            begin_run(conn, number, pk)
        conn.run(_ADVANCE, (place + count, active_at, arrival + count, owner))
        every = INDEX_EVERY if 4 * count <= INDEX_EVERY else min(4 * count, INDEX_EVERY * 8)  # many at once: large segments serve best
        if arrival // every < (arrival + count) // every:
            index = self._keywords()  # a new function each time, for one transaction may ask for many steps
            self.db.after_commit(lambda: index.keep_up() if count == 1 else index.catch_up())
        return pk, number

    def _chance_now(self) -> int:
        """32 bits for an id: of the clock, so that what a rollback gave up is not made again, and it takes no system call."""
        return self._chance ^ time.perf_counter_ns() & 0xFFFF_FFFF

    # -- reading messages -------------------------------------------------------------------------------------------

    def get_message(self, id: str) -> Message:
        """The message with this id."""
        with self.db.read() as conn:
            key, _ = known_message(conn, id)
            owner = conn.value("SELECT id FROM conversations WHERE pk = ?", (key >> 32,))
            return messages_from(repeat(owner), conn.rows(f"SELECT {READ} FROM messages WHERE pk = ?", (key,)), conn.cipher)[0]

    def messages(
        self, conversation_id: str, *, limit: int | None = 50, before: str | None = None, after: str | None = None
    ) -> list[Message]:
        """Messages in order of arrival, oldest first: the newest `limit`, or those next to a cursor.

        Cursors are message ids: `before` pages back, `after` pages on. With both, the first ones between them.
        """
        count = values.limit(limit)
        with self.db.read() as conn:
            owner = key_of(conn, conversation_id)
            first = owner << 32
            end = first + SPAN
            if before is not None:
                end, _ = known_message(conn, before, owner)
            if after is not None:
                first, _ = known_message(conn, after, owner)
            rows = conn.rows(
                f"""
                SELECT {READ} FROM messages
                WHERE pk > ? AND pk < ?
                ORDER BY pk {"DESC" if after is None else "ASC"}
                LIMIT ?
                """,
                (first, end, count),
            )
        if after is None:
            rows.reverse()
        return messages_from(repeat(conversation_id), rows, self.db.cipher)

    def window(
        self, conversation_id: str, *, max_tokens: int, count: Callable[[str], int] = estimate_tokens, since: int = 0
    ) -> list[Message]:
        """The system messages and the newest whole groups that fit into `max_tokens`, in conversation order.

        A tool call is never parted from its results, and results without their call are left out. `count` is called for each
        text of a message. System messages that alone do not fit raise Invalid. Groups that end at or before the position `since`
        are left out.
        """
        window = Window(values.integer("max_tokens", max_tokens, low=0), count)
        with self.db.read(snapshot=True) as conn:
            first = key_of(conn, conversation_id) << 32
            system = conn.rows(
                f"""
                SELECT pk, {READ} FROM messages
                WHERE role IN ('system', 'developer') AND pk > ? AND pk < ?
                ORDER BY pk
                """,
                (first, first + SPAN),
            )
            window.require(_placed(conversation_id, system, conn.cipher))
            window.fill(_backwards(conn, conversation_id, first), first + values.integer("since", since, low=0))
        return window.messages()

    def search(
        self,
        query: str,
        *,
        conversation_id: str | None = None,
        project: str | None = None,
        role: str | None = None,
        user_id: str | None = None,
        limit: int | None = 20,
        before: str | None = None,
    ) -> list[MessageHit]:
        """Messages that hold a word beginning with each word of the query, newest first, with the text around it.

        `before` is the id of the last message of the page before.
        """
        values.text("query", query)
        wanted = values.limit(limit)
        if role is not None:
            values.one_of("role", role, forms.ROLES)
        values.optional(values.key, "user_id", user_id)
        project = self.canonical(project, user_id)
        hits: list[MessageHit] = []
        index, size = self._keywords(), min(wanted, CHUNK) if wanted > 0 else CHUNK
        index.prepare()
        with self.db.read(snapshot=True) as conn:
            owner = None if conversation_id is None else key_of(conn, conversation_id)
            edge = None if before is None else _edge(conn, before, owner)
            if not self.texts.present():
                return []
            numbers = index.numbers(conn, query, kind=MessageTexts.kind, conversation_id=conversation_id, role=role, before=edge)
            while len(hits) != wanted and (chunk := list(islice(numbers, size))):
                found = _matching(conn, [number for _, number, _ in chunk], (owner, project, role, user_id))
                matches = [(found[number], words) for _, number, words in chunk if number in found]
                hits += starmap(_hit, islice(matches, wanted - len(hits) if wanted >= 0 else None))
                size = min(2 * size, CHUNK)  # most may be of other projects
        return hits

    def session(self, session_id: str) -> AgentSession:
        """A conversation as the OpenAI Agents SDK takes it: `Runner.run(agent, text, session=store.chat.session("support-42"))`."""
        return AgentSession(self, session_id, self._run)

    def export_sft(
        self,
        path: str | os.PathLike[str],
        *,
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        since: float | None = None,
    ) -> int:
        """Write conversations as TRL rows `{"messages": [...]}` and return how many, oldest conversation first.

        `since` takes those with activity from then on; those in which no assistant speaks are left out. Items without a role
        become tool calls and their results.
        """
        since = values.optional(values.moment, "since", since)
        values.optional(values.key, "user_id", user_id)
        project = self.canonical(project, user_id)
        with self.db.read(snapshot=True) as conn:
            owner = None if conversation_id is None else key_of(conn, conversation_id)
            chosen = conn.rows(
                """
                SELECT pk, id
                FROM conversations
                WHERE (? IS NULL OR pk = ?)
                  AND (? IS NULL OR project_id = ?)
                  AND (? IS NULL OR user_id = ?)
                  AND (? IS NULL OR updated_at >= ?)
                ORDER BY pk
                """,
                (owner, owner, project, project, user_id, user_id, since, since),
            )
            rows = (sft.training_row(_all(conn, pk, name)) for pk, name in chosen)
            return write_lines(path, (values.to_json("row", row, stored=False) for row in rows if row is not None))

    # -- removing ---------------------------------------------------------------------------------------------------

    def pop(self, conversation_id: str) -> Message | None:
        """Remove the newest message of a conversation and return it; None if there is none."""
        with self.db.write() as conn:
            first = key_of(conn, conversation_id) << 32
            newest = conn.row(
                f"SELECT pk, arrival, {READ} FROM messages WHERE pk > ? AND pk < ? ORDER BY pk DESC LIMIT 1", (first, first + SPAN)
            )
            if newest is None:
                return None
            key, number, *shown = newest
            self._forget(conn, [number])
            conn.run("DELETE FROM messages WHERE pk = ?", (key,))
            return messages_from(repeat(conversation_id), [shown], conn.cipher)[0]

    def clear(self, conversation_id: str, *, actor: str = "", note: str = "") -> int:
        """Remove all messages of a conversation and return how many, with an audit event; the conversation stays.

        `Store.erase` removes the conversation too, and every trace of it.
        """
        with self.db.write() as conn:
            first = key_of(conn, conversation_id) << 32
            span = (first, first + SPAN)
            numbers = [row[0] for row in conn.rows("SELECT arrival FROM messages WHERE pk > ? AND pk < ?", span)]
            if not numbers:
                return 0
            self._forget(conn, numbers, wipe=True)
            conn.run("DELETE FROM messages WHERE pk > ? AND pk < ?", span)
            self._audit(
                "conversation.clear",
                entity_kind="conversation",
                entity_id=conversation_id,
                conversation_id=conversation_id,
                before={"messages": len(numbers)},
                after={"messages": 0},
                actor=actor,
                note=note,
            )
            self.db.scrub()
        return len(numbers)

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove."""
        return [prunable_conversations(partial(self._forget, wipe=True))]

    # -- sessions of queries ----------------------------------------------------------------------------------------

    def touch_session(
        self,
        session_id: str | None = None,
        *,
        domain: str | None = None,
        user_id: str = LOCAL,
        metadata: dict[str, Any] | None = None,
        query_count: int = 1,
        created_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
    ) -> QuerySession:
        """Count one more query in a session, begun if need be; domain and metadata change where given.

        `query_count`, `created_at` and `updated_at` are for queries that were counted elsewhere.
        """
        session_id = values.new_id() if session_id is None else values.key("session_id", session_id)
        values.optional(values.text, "domain", domain)
        stored = json_text("metadata", metadata)
        queries = values.integer("query_count", query_count, low=0)
        given = values.optional(values.moment, "created_at", created_at)
        used_at = values.optional(values.moment, "updated_at", updated_at)
        with self.db.write() as conn:
            used_at = self.db.now if used_at is None else used_at
            born = used_at if given is None else given
            (stored,) = SESSIONS.sealed(conn, session_id, metadata=stored)
            conn.run(
                """
                INSERT INTO sessions(id, user_id, created_at, updated_at, domain, query_count, metadata)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET
                    updated_at = excluded.updated_at,
                    domain = coalesce(excluded.domain, domain),
                    query_count = query_count + excluded.query_count,
                    metadata = coalesce(excluded.metadata, metadata)
                """,
                (session_id, values.key("user_id", user_id), born, used_at, domain, queries, stored),
            )
            return SESSIONS.find(conn, "WHERE id = ?", (session_id,))[0]

    def get_session(self, session_id: str) -> QuerySession:
        """The session of queries with this id."""
        found = SESSIONS.first(self.db, "WHERE id = ?", (values.key("session_id", session_id),))
        if found is None:
            known = [row[0] for row in self.db.rows("SELECT id FROM sessions ORDER BY pk DESC LIMIT 1000")]
            raise NotFound(f"no session {session_id!r}{values.suggest(session_id, known)}; store.chat.sessions() lists them")
        return found

    def sessions(self, *, user_id: str | None = None, domain: str | None = None, limit: int | None = 50) -> list[QuerySession]:
        """Sessions of queries, the last one used first."""
        values.optional(values.key, "user_id", user_id)
        values.optional(values.text, "domain", domain)
        return SESSIONS.find(
            self.db,
            "WHERE (? IS NULL OR user_id = ?) AND (? IS NULL OR domain = ?) ORDER BY updated_at DESC, pk DESC LIMIT ?",
            (user_id, user_id, domain, domain, values.limit(limit)),
        )

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Compare places, numbers and ids of messages with what they must be; no finding is fine."""
        with self.db.read(snapshot=True) as conn:
            found = [Finding(kind, seq, detail) for kind, sql in CHECKS for seq, detail in conn.rows(sql)]
            return [*found, *unreadable(conn)]


# -- private ------------------------------------------------------------------------------------------------------------


def _all(conn: Connection, pk: int, conversation_id: str) -> list[Message]:
    rows = conn.rows(f"SELECT {READ} FROM messages WHERE pk > ? AND pk < ? ORDER BY pk", (pk << 32, pk + 1 << 32))
    return messages_from(repeat(conversation_id), rows, conn.cipher)


def _backwards(conn: Connection, conversation_id: str, first: int) -> Iterator[tuple[int, Message]]:
    """Messages with their keys, newest first, read a page at a time."""
    end = first + SPAN
    while rows := conn.rows(
        f"SELECT pk, {READ} FROM messages WHERE pk > ? AND pk < ? ORDER BY pk DESC LIMIT ?", (first, end, CHUNK)
    ):
        yield from _placed(conversation_id, rows, conn.cipher)
        end = -values.onward(-end, -rows[-1][0])


def _placed(conversation_id: str, rows: list[Row], cipher: Cipher | None) -> list[tuple[int, Message]]:
    return list(zip((row[0] for row in rows), messages_from(repeat(conversation_id), [row[1:] for row in rows], cipher)))


def _edge(conn: Connection, message_id: str, owner: int | None) -> tuple[float, int]:
    """Where a page of a search ended."""
    key, number = known_message(conn, message_id, owner)
    return conn.value("SELECT created_at FROM messages WHERE pk = ?", (key,)), number


def _matching(conn: Connection, numbers: list[int], wanted: tuple[int | None, str | None, str | None, str | None]) -> dict[int, Message]:
    """Those of the numbered messages that exist and are of the wanted conversation, project, role and user."""
    rows = conn.rows(
        f"""
        SELECT messages.arrival, owner.id, {READ}
        FROM json_each(?) AS wanted {AT_WANTED} JOIN conversations AS owner ON owner.pk = messages.pk >> 32
        WHERE (? IS NULL OR owner.pk = ?)
          AND (? IS NULL OR owner.project_id = ?)
          AND (? IS NULL OR messages.role = ?)
          AND (? IS NULL OR owner.user_id = ?)
        """,
        (values.to_json("numbers", numbers), *(value for value in wanted for _ in range(2))),
    )
    return dict(zip((row[0] for row in rows), messages_from([row[1] for row in rows], [row[2:] for row in rows], conn.cipher)))


def _hit(message: Message, words: Iterable[str]) -> MessageHit:
    return MessageHit(message, excerpt("\n".join(forms.texts(message.to_openai())), words))
