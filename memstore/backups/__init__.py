"""Token counters and handoff notes: when a context window is nearly full, what the next one must know.

1. There is one counter a (conversation, specialist); `track` loses no count between threads or processes.
2. Backups are only ever appended, and leave by `Store.erase` alone. One closes a thread: it carries the thread's number, the
   counter is emptied and stands one higher.
3. A backup records the position it covers, the number of the newest message it has seen. Valid means: nothing was said after it.
   `is_valid` and `coverage` ask the same predicate, so whatever is not valid is a gap and closing a gap makes it valid.
4. Order is by arrival, never by time.

The trap is the time between reading a conversation and saving the note about it: a model may take a minute to write, and a
message that arrives meanwhile is not in the note. So a note is saved with the position it was written from.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ..kernel import Carried, Connection, Exists, Finding, Invalid, NotFound, Record, Room, Schema, Table, estimate_tokens, record, values
from .note import HandoffNote

if TYPE_CHECKING:
    from datetime import datetime

    from ..chat import ChatStore
    from ..kernel.subject import Subject

__all__ = ["SCHEMA", "BackupStore", "ContextBackup", "Due", "Gap", "HandoffNote", "TokenCounter", "Trigger"]

Due = Literal["token_threshold", "message_count", "time_gap"]
Trigger = Literal["token_threshold", "message_count", "time_gap", "manual", "coverage_job_no_backup", "coverage_job_stale"]
TRIGGERS: tuple[str, ...] = get_args(Trigger)

SCHEMA = Schema(
    "backups",
    version=1,
    ddl=f"""
CREATE TABLE token_counters (
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL,
    specialist      TEXT NOT NULL,               -- '' stands for nobody in particular
    token_estimate  INTEGER NOT NULL DEFAULT 0,  -- since the last backup
    message_count   INTEGER NOT NULL DEFAULT 0,  -- since the last backup
    total_messages  INTEGER NOT NULL DEFAULT 0,  -- ever tracked: how coverage counts a conversation that chat does not know
    thread_number   INTEGER NOT NULL DEFAULT 1,  -- the one now open
    last_backup_at  REAL,
    updated_at      REAL NOT NULL DEFAULT 0,     -- of the last track or save
    UNIQUE (conversation_id, specialist)
) STRICT;
CREATE TABLE context_backups (
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL,
    specialist      TEXT NOT NULL,
    trigger         TEXT NOT NULL DEFAULT 'manual' CHECK ({values.among("trigger", TRIGGERS)}),
    thread_number   INTEGER NOT NULL DEFAULT 1,  -- the one it closes
    position        INTEGER,                     -- newest message the note has seen; NULL: chat did not know the conversation
    backup_text     TEXT NOT NULL DEFAULT '',
    token_estimate  INTEGER NOT NULL DEFAULT 1,  -- of backup_text
    metadata        TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    imported        INTEGER NOT NULL DEFAULT 0 CHECK (imported IN (0, 1)),   -- from elsewhere, where it need not close its thread
    created_at      REAL NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX context_backups__pair ON context_backups(conversation_id, specialist);
CREATE INDEX context_backups__trigger ON context_backups(trigger);
""",
    carried=(
        Carried("token_counters", ("pk",)),
        Carried("context_backups", ("pk",), ("backup_text",), ("metadata",)),
    ),
)


@record
class TokenCounter(Record):
    """What one specialist's context in one conversation holds since its last backup."""

    id: str
    conversation_id: str
    specialist: str
    token_estimate: int
    message_count: int
    total_messages: int
    thread_number: int
    last_backup_at: float | None
    updated_at: float

    @property
    def counter_id(self) -> str:
        """The id under AUA's name."""
        return self.id


@record
class ContextBackup(Record):
    """A saved note: whose it is, why it was written, and up to where it goes."""

    id: str
    conversation_id: str
    specialist: str
    trigger: str
    thread_number: int
    position: int | None
    backup_text: str
    token_estimate: int
    metadata: dict[str, Any] | None
    created_at: float

    @property
    def backup_id(self) -> str:
        """The id under AUA's name."""
        return self.id

    @property
    def note(self) -> HandoffNote:
        """The text read as a note; Invalid for a text of another form."""
        return HandoffNote.parse(self.backup_text)


@record
class Gap(Record):
    """A conversation that goes beyond what is backed up; `position` is its newest message when the gap was found."""

    conversation_id: str
    specialist: str
    trigger: str
    messages: int
    position: int | None
    backup_id: str | None


COUNTERS = Table(TokenCounter, "token_counters", hidden=("pk",))
BACKUPS = Table(ContextBackup, "context_backups", json=("metadata",), hidden=("pk", "imported"), schema=SCHEMA)


class _Pair(NamedTuple):
    """A (conversation, specialist) with its counter and its newest backup."""

    conversation_id: str
    specialist: str
    message_count: int
    total_messages: int
    backup_id: str | None
    position: int | None


_PAIRS = """
SELECT c.conversation_id, c.specialist, c.message_count, c.total_messages, b.id, b.position
FROM token_counters c
LEFT JOIN context_backups b ON b.pk = (
    SELECT max(pk) FROM context_backups WHERE conversation_id = c.conversation_id AND specialist = c.specialist
)"""


class BackupStore:
    """Counts what a specialist's context holds, says when to back it up, and keeps the notes.

    >>> from memstore import HandoffNote, open_store
    >>> with open_store(":memory:") as store:
    ...     counter = store.backups.track("support-42", "coder", tokens=5600)
    ...     why = store.backups.due("support-42", "coder", window=8000)
    ...     print(why, store.backups.save("support-42", "coder", HandoffNote(goal="mend the rounding"), trigger=why).thread_number)
    token_threshold 1
    """

    def __init__(self, db: Room, chat: Callable[[], ChatStore]) -> None:
        self.db = db
        self._chat = chat

    # -- writing ----------------------------------------------------------------------------------------------------

    def track(self, conversation_id: str, specialist: str, text: str = "", *, tokens: int | None = None) -> TokenCounter:
        """Count one message into a specialist's context and return the counter.

        Without `tokens` they are estimated from the text: a quarter of its characters, at least 1.
        """
        pair = values.key("conversation_id", conversation_id), values.key("specialist", specialist)
        spoken = values.text("text", text)
        amount = estimate_tokens(spoken) if tokens is None else values.integer("tokens", tokens, low=0)
        with self.db.write() as conn:
            conn.run(
                """INSERT INTO token_counters(id, conversation_id, specialist, token_estimate, message_count, total_messages, updated_at)
                VALUES (?, ?, ?, ?, 1, 1, ?)
                ON CONFLICT (conversation_id, specialist) DO UPDATE SET
                    token_estimate = token_estimate + excluded.token_estimate,
                    message_count = message_count + 1,
                    total_messages = total_messages + 1,
                    updated_at = excluded.updated_at""",
                (values.new_id(), *pair, amount, self.db.now),
            )
            # RETURNING would give times of whole seconds as int.
            return COUNTERS.find(conn, "WHERE conversation_id = ? AND specialist = ?", pair)[0]

    def add_counter(
        self,
        conversation_id: str,
        specialist: str,
        *,
        token_estimate: int = 0,
        message_count: int = 0,
        thread_number: int = 1,
        last_backup_at: float | datetime | None = None,
        updated_at: float | datetime | None = None,
        id: str | None = None,
    ) -> TokenCounter:
        """Store a counter that was kept elsewhere and return it; a pair has one counter."""
        pair = values.key("conversation_id", conversation_id), values.label("specialist", specialist)
        counter_id = values.new_id() if id is None else values.key("id", id)
        tokens = values.integer("token_estimate", token_estimate, low=0)
        messages = values.integer("message_count", message_count, low=0)
        thread = values.integer("thread_number", thread_number, low=0)
        backed_up_at = values.optional(values.moment, "last_backup_at", last_backup_at)
        at = values.optional(values.moment, "updated_at", updated_at)
        with self.db.write() as conn:
            twin = "SELECT id FROM token_counters WHERE id = ? OR (conversation_id = ? AND specialist = ?)"
            taken = conn.value(twin, (counter_id, *pair))
            if taken is not None:
                raise Exists(f"counter {taken!r} has that id, or counts for {specialist!r} in {conversation_id!r} already")
            at = self.db.now if at is None else at
            counter = TokenCounter(counter_id, *pair, tokens, messages, messages, thread, backed_up_at, at)
            COUNTERS.insert(conn, counter)
        return counter

    def save(
        self,
        conversation_id: str,
        specialist: str,
        note: HandoffNote | str,
        *,
        trigger: Trigger | str = "manual",
        position: int | None = None,
        token_estimate: int | None = None,
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: Any = None,
        thread_number: int | None = None,
    ) -> ContextBackup:
        """Append a backup, close the thread and empty the counter.

        `position` is the newest message the note was written from, as `position()` gave it before the writing began; without it
        the note counts as having seen everything there is now. An empty `specialist` saves it in nobody's name. With a
        `thread_number` it is one that was saved elsewhere: the counter stays as it is, unless it had not come that far.
        """
        text = values.text("note", note.text if isinstance(note, HandoffNote) else note, blank=False)
        pair = values.key("conversation_id", conversation_id), values.label("specialist", specialist)
        backup_id = values.new_id() if id is None else values.key("id", id)
        trigger = values.one_of("trigger", trigger, TRIGGERS)
        position = values.optional(values.integer, "position", position, low=0)
        tokens = estimate_tokens(text) if token_estimate is None else values.integer("token_estimate", token_estimate, low=0)
        metadata = values.optional(values.json_object, "metadata", metadata)
        made_at = values.optional(values.moment, "created_at", created_at)
        thread = values.optional(values.integer, "thread_number", thread_number, low=0, high=2**62)
        with self.db.write() as conn:
            if conn.value("SELECT 1 FROM context_backups WHERE id = ?", (backup_id,)) is not None:
                raise Exists(f"there is a backup {backup_id!r} already and backups are only appended; leave id= out to get a new one")
            at = self.db.now if made_at is None else made_at
            seen = self._seen(conversation_id, position)
            closed = self._close_thread(conn, pair, at) if thread is None else self._reach(conn, pair, thread, at)
            backup = ContextBackup(backup_id, *pair, trigger, closed, seen, text, tokens, metadata, at)
            BACKUPS.insert(conn, backup, imported=int(thread is not None))
        return backup

    def _seen(self, conversation_id: str, position: int | None) -> int | None:
        newest = self.position(conversation_id)
        if position is None:
            return newest
        if newest is None:
            raise Invalid(f"position is {position}, but chat has no conversation {conversation_id!r}; leave position= out")
        if position > newest:
            raise Invalid(f"position is {position}, but the newest message of {conversation_id!r} is {newest}; no note has seen more")
        return position

    def _close_thread(self, conn: Connection, pair: tuple[str, str], at: float) -> int:
        """Empty the counter, open the next thread and return the number of the one just closed."""
        rows = conn.rows(
            """INSERT INTO token_counters(id, conversation_id, specialist, thread_number, last_backup_at, updated_at)
            VALUES (?, ?, ?, 2, ?, ?)
            ON CONFLICT (conversation_id, specialist) DO UPDATE SET
                token_estimate = 0,
                message_count = 0,
                thread_number = thread_number + 1,
                last_backup_at = excluded.last_backup_at,
                updated_at = excluded.updated_at
            RETURNING thread_number - 1""",
            (values.new_id(), *pair, at, self.db.now),
        )
        return int(rows[0][0])

    def _reach(self, conn: Connection, pair: tuple[str, str], thread: int, at: float) -> int:
        """See to it that the counter has come as far as a backup from elsewhere, and return that one's thread."""
        conn.run(
            """INSERT INTO token_counters(id, conversation_id, specialist, thread_number, last_backup_at, updated_at)
            VALUES (?, ?, ?, ? + 1, ?, ?)
            ON CONFLICT (conversation_id, specialist) DO UPDATE SET thread_number = max(thread_number, excluded.thread_number - 1)""",
            (values.new_id(), *pair, thread, at, at),
        )
        return thread

    def cover(
        self, write_note: Callable[[Gap], HandoffNote | str | None] | None = None, *, min_messages: int = 5
    ) -> list[ContextBackup]:
        """Close every gap with a note and return the backups that were saved.

        The writer runs outside of any transaction of ours; without one, notes are drafted from the newest 60 messages, where chat
        has them. A gap for which it returns None stays open; a note that another one overtook meanwhile is dropped. When it
        raises, what was saved stays and the error passes on.
        """
        if write_note is not None and not callable(write_note):
            raise Invalid(f"write_note must be a function from a gap to its note, not {values.shorten(write_note)}")
        saved = []
        for gap in self.coverage(min_messages=min_messages):
            note = self._draft(gap) if write_note is None else write_note(gap)
            if note is None:
                continue
            with self.db.write():
                # Another job or the agent itself may have saved while this one wrote: an older note must not become the newest.
                if self._stands(gap):
                    saved.append(self.save(gap.conversation_id, gap.specialist, note, trigger=gap.trigger, position=gap.position))
        return saved

    def _stands(self, gap: Gap) -> bool:
        """Whether no newer backup was saved and, where no position can tell what a note has seen, nothing was tracked since."""
        row = self._pair(gap.conversation_id, gap.specialist)
        backup_id = None if row is None else row.backup_id
        if gap.position is not None and self.position(gap.conversation_id) is None:
            return False  # erased meanwhile, and a note would bring its words back
        return backup_id == gap.backup_id and (gap.position is not None or row is None or row.total_messages == gap.messages)

    def _draft(self, gap: Gap) -> HandoffNote | None:
        if gap.position is None:
            return None
        return HandoffNote.draft(self._chat().messages(gap.conversation_id, limit=60), max_tokens=900)

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove what is the subject's for `Store.erase`."""
        from ..kernel.rows import AMONG

        for table, kind in (("context_backups", "backup"), ("token_counters", "counter")):
            subject.remove(connection, table, kind, f"conversation_id {AMONG}", subject.conversations)
        quoting = connection.value("SELECT count(*) FROM context_backups WHERE conversation_id = ?", (subject.home,))
        subject.keep(quoting, "handoff notes about the conversation of the message", "kept, though they may quote it")

    # -- reading ----------------------------------------------------------------------------------------------------

    def counter(self, conversation_id: str, specialist: str) -> TokenCounter | None:
        """Return a specialist's counter, None before anything was tracked or saved."""
        pair = values.key("conversation_id", conversation_id), values.label("specialist", specialist)
        return COUNTERS.first(self.db, "WHERE conversation_id = ? AND specialist = ?", pair)

    def due(
        self,
        conversation_id: str,
        specialist: str,
        *,
        window: int,
        threshold: float = 0.70,
        max_messages: int = 30,
        gap_hours: float = 24.0,
        gap_messages: int = 5,
    ) -> Due | None:
        """Say why a backup is due, or None: the context fills its window, holds many messages, or rests since long.

        The first reason that holds is given, in the order token_threshold, message_count, time_gap.
        """
        window = values.integer("window", window, low=1)
        threshold = values.real("threshold", threshold, low=0.0, high=1.0)
        max_messages = values.integer("max_messages", max_messages, low=1)
        gap_hours = values.real("gap_hours", gap_hours, low=0.0)
        gap_messages = values.integer("gap_messages", gap_messages, low=1)
        counter = self.counter(conversation_id, specialist)
        if counter is None or counter.message_count == 0:
            return None
        # In whole millionths: as a float 90 * 0.7 is just under 63.
        if counter.token_estimate >= window * round(threshold * 1_000_000) // 1_000_000:
            return "token_threshold"
        if counter.message_count >= max_messages:
            return "message_count"
        if counter.message_count >= gap_messages and self.db.now - counter.updated_at >= gap_hours * 3600:
            return "time_gap"
        return None

    def position(self, conversation_id: str, *, before: float | datetime | None = None) -> int | None:
        """Return the number of the conversation's newest message, None where chat does not know it; pass it to `save`.

        `before` is a time: up to the first message that is not older.
        """
        conversation_id = values.key("conversation_id", conversation_id)
        end = values.optional(values.moment, "before", before)
        return self._chat().position(conversation_id, before=end) if self.db.present("chat") else None

    def is_valid(self, conversation_id: str, specialist: str) -> bool:
        """Tell whether the newest backup covers the newest message.

        For a conversation that chat does not know: whether nothing was tracked since.
        """
        pair = self._pair(values.key("conversation_id", conversation_id), values.label("specialist", specialist))
        return pair is not None and _covered(pair, self.position(conversation_id))

    def _pair(self, conversation_id: str, specialist: str) -> _Pair | None:
        row = self.db.row(f"{_PAIRS} WHERE c.conversation_id = ? AND c.specialist = ?", (conversation_id, specialist))
        return None if row is None else _Pair(*row)

    def coverage(self, *, min_messages: int = 5) -> list[Gap]:
        """List what is not backed up, conversations of chat by newest activity first, then the others, newest counter first.

        One gap a specialist that has a counter or a backup, else one with specialist ""; `min_messages` counts all messages of
        the conversation, for one that chat does not know those ever tracked.
        """
        least = values.integer("min_messages", min_messages, low=0)
        pairs: dict[str, list[_Pair]] = {}
        for row in self.db.rows(f"{_PAIRS} ORDER BY c.updated_at DESC, c.pk DESC"):
            pairs.setdefault(row[0], []).append(_Pair(*row))
        gaps = []
        for conversation_id, newest, messages in self._chat().positions() if self.db.present("chat") else ():
            untold = [_Pair(conversation_id, "", 0, 0, None, None)]
            for pair in pairs.pop(conversation_id, untold):
                if messages >= least and not _covered(pair, newest):
                    gaps.append(_gap(pair, messages, newest))
        for pair in (pair for others in pairs.values() for pair in others):
            if pair.total_messages >= least and not _covered(pair, None):
                gaps.append(_gap(pair, pair.total_messages, None))
        return gaps

    def get(self, id: str) -> ContextBackup:
        """Return a backup by its id."""
        found = BACKUPS.first(self.db, "WHERE id = ?", (values.key("id", id),))
        if found is None:
            known = [row[0] for row in self.db.rows("SELECT id FROM context_backups ORDER BY pk DESC LIMIT 1000")]
            raise NotFound(f"no backup {id!r}{values.suggest(id, known)}; store.backups.find() lists them")
        return found

    def latest(self, conversation_id: str, specialist: str | None = None) -> ContextBackup | None:
        """Return the newest backup of a specialist, or of anybody, in a conversation."""
        found = self.find(conversation_id=conversation_id, specialist=specialist, limit=1)
        return found[0] if found else None

    def find(
        self,
        *,
        conversation_id: str | None = None,
        specialist: str | None = None,
        trigger: Trigger | str | None = None,
        limit: int | None = 50,
        before: str | None = None,
    ) -> list[ContextBackup]:
        """List backups, newest first; `before` is the id of the last one of the page before."""
        wanted = {
            "conversation_id": values.optional(values.key, "conversation_id", conversation_id),
            "specialist": values.optional(values.label, "specialist", specialist),
            "trigger": values.optional(values.one_of, "trigger", trigger, legal=TRIGGERS),
        }
        params: list[Any] = [value for value in wanted.values() if value is not None]
        clauses = [f"{column} = ?" for column, value in wanted.items() if value is not None]
        if before is not None:
            clauses.append("pk < (SELECT pk FROM context_backups WHERE id = ?)")
            params.append(self._cursor(before, wanted))
        where = f"WHERE {' AND '.join(clauses)} " if clauses else ""
        return BACKUPS.find(self.db, f"{where}ORDER BY pk DESC LIMIT ?", (*params, values.limit(limit)))

    def _cursor(self, before: str, wanted: dict[str, str | None]) -> str:
        """Check that a cursor comes from a page of the same query."""
        cursor = self.get(values.key("before", before))
        for column, value in wanted.items():
            if value is not None and getattr(cursor, column) != value:
                raise Invalid(f"before={before!r} is a backup of {column} {getattr(cursor, column)!r}, not {value!r}")
        return cursor.id

    # -- resuming ---------------------------------------------------------------------------------------------------

    def resume(
        self, conversation_id: str, specialist: str, *, max_tokens: int, count: Callable[[str], int] = estimate_tokens
    ) -> list[dict[str, Any]]:
        """Return what a fresh context starts from, in OpenAI form: system messages, this specialist's newest note, what came after it.

        The note is a user's message: it quotes users and tools, whose words must not gain the authority of a system message. Of
        what came after, the newest groups that fit are taken, tool calls with their results, at the cost that `chat.window`
        counts. Without a backup it is that window. Invalid says what system messages and note need where they do not fit.
        """
        budget = values.integer("max_tokens", max_tokens, low=0)
        if not callable(count):
            raise Invalid(f"count must be a function from a text to its tokens, not {values.shorten(count)}")
        backup = self.latest(conversation_id, values.label("specialist", specialist))
        newest = self.position(conversation_id)
        if backup is None:
            if not self.db.present("chat"):
                raise NotFound(f"no conversation {conversation_id!r}; chat has none yet")
            return [message.to_openai() for message in self._chat().window(conversation_id, max_tokens=budget, count=count)]
        note = {"role": "user", "content": backup.backup_text}
        note_cost = values.integer("count(text)", count(backup.backup_text), low=0)
        needed = note_cost + (0 if newest is None else self._system_cost(conversation_id, newest, count))
        if needed > budget:
            raise Invalid(f"the system messages and the note need {needed} tokens, max_tokens is {budget}: raise it or save a shorter note")
        if newest is None:
            return [note]
        since = 0 if backup.position is None else backup.position
        rest = self._chat().window(conversation_id, max_tokens=budget - note_cost, count=count, since=since)
        system = list(takewhile(lambda message: message.role in ("system", "developer"), rest))
        return [*(message.to_openai() for message in system), note, *(message.to_openai() for message in rest[len(system) :])]

    def _system_cost(self, conversation_id: str, newest: int, count: Callable[[str], int]) -> int:
        costs: list[int] = []

        def counting(text: str) -> int:
            costs.append(count(text))
            return costs[-1]

        # Nothing lies beyond the newest message, so this window holds the system messages alone.
        self._chat().window(conversation_id, max_tokens=2**62, count=counting, since=newest)
        return sum(costs)

    def unplace(self) -> None:
        """Let notes on conversations that chat has no more cover no position, for one of the same id begins at 1 again."""
        with self.db.write() as conn:
            known = {row[0] for row in self._chat().positions()}
            placed = conn.rows("SELECT pk, conversation_id FROM context_backups WHERE position IS NOT NULL")
            conn.many("UPDATE context_backups SET position = NULL WHERE pk = ?", [(pk,) for pk, id in placed if id not in known])

    # -- checking ---------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Look for backups without a counter, thread numbers that a counter has not reached and positions beyond the newest message."""
        found = [
            Finding("counter", pk, f"backup {id!r} closes thread {closed}, but its counter {_standing(standing)}")
            for pk, id, closed, standing in self.db.rows(
                """SELECT b.pk, b.id, b.thread_number, c.thread_number
                FROM context_backups b
                LEFT JOIN token_counters c ON c.conversation_id = b.conversation_id AND c.specialist = b.specialist
                WHERE c.pk IS NULL OR b.thread_number >= c.thread_number + b.imported
                ORDER BY b.pk"""
            )
        ]
        covering = self.db.rows("SELECT pk, id, conversation_id, position FROM context_backups WHERE position IS NOT NULL ORDER BY pk")
        # Read after the backups: positions rise only, so what others write in between cannot look wrong.
        known = {row[0]: row[1] for row in self._chat().positions()} if self.db.present("chat") else {}
        for pk, id, conversation_id, position in covering:
            if conversation_id not in known:
                found.append(Finding("dangling", pk, f"backup {id!r} covers conversation {conversation_id!r}, which is gone"))
            elif position > known[conversation_id]:
                found.append(Finding("position", pk, f"backup {id!r} covers message {position}; the newest is {known[conversation_id]}"))
        return found


def _covered(pair: _Pair, newest: int | None) -> bool:
    """The one predicate: is there nothing beyond the newest backup?"""
    if pair.backup_id is None:
        return False
    if newest is None:
        return pair.message_count == 0
    return pair.position is not None and pair.position >= newest


def _gap(pair: _Pair, messages: int, newest: int | None) -> Gap:
    trigger = "coverage_job_no_backup" if pair.backup_id is None else "coverage_job_stale"
    return Gap(pair.conversation_id, pair.specialist, trigger, messages, newest, pair.backup_id)


def _standing(thread_number: int | None) -> str:
    return "is gone" if thread_number is None else f"stands at {thread_number}"
