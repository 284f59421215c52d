"""Keywords: find every item that has words beginning with what was asked, newest first.

1. The tables are the truth and memory is a cache: whatever is kept between calls was read from committed rows, and a revision
   inside the snapshot says whether it still holds. So other processes' commits are seen at once, rollbacks leave nothing.
2. Search is complete and need not write. What stands in segments was indexed; what is newer (numbers above `upto`) is read in
   the same snapshot, tokenised in memory and searched the same way. Read-only stores and open transactions miss nothing.
3. Segments are written behind, some thousand items in one short transaction, made ready before the write lock is taken.
4. The texts of a source (chat's messages) are never copied here; what a hit tells of them is, because it never changes. Items
   added by hand are rows of ours with numbers of their own.
5. An item is (kind, item_id); of its two possible origins the one added by hand counts.
6. Taking an item out leaves a mark in `keyword_gone`; its words leave the file when its segment is next rewritten.

The trap: a number may be handed out again after a rollback. Nothing seen inside an open transaction may outlive it in memory.
"""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING

from ..kernel import Carried, Finding, Invalid, NotFound, Prunable, Record, Room, Schema, StoreError, record, values
from . import relevance
from .derived import differences
from .segments import CAPACITY, LAST_NUMBER, PAGE, Asked, Draft, crowd, fill, merge
from .sources import TEXT, ByHand, TextSource
from .spaces import BATCH, DAMAGED, Memory, Space, damaged, grow, sealed
from .words import prefixes, words

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ..kernel import Connection, Recorder
    from ..kernel.bm25 import Scored, Sought
    from ..kernel.subject import Subject
    from .relevance import RankedSource
    from .segments import Hit, Segment

    Found = tuple[float, int, tuple[str, ...]]  # created_at, number, the word that answered each prefix
    Key = tuple[float, int, int]  # created_at, arrival, number among what was added by hand

__all__ = ["SCHEMA", "KeywordHit", "KeywordIndex", "TextSource"]

SCHEMA = Schema(
    "keywords",
    version=1,
    ddl="""
CREATE TABLE keyword_items(                 -- what was added by hand
    pk              INTEGER PRIMARY KEY AUTOINCREMENT,
    kind            TEXT NOT NULL,
    item_id         TEXT NOT NULL,
    text            TEXT NOT NULL DEFAULT '',
    conversation_id TEXT,
    role            TEXT,
    created_at      REAL NOT NULL DEFAULT 0,
    arrival         INTEGER NOT NULL DEFAULT 0  -- highest number of any source just then: among equal times it decides
) STRICT;
CREATE UNIQUE INDEX keyword_items__item ON keyword_items(item_id, kind);

CREATE TABLE keyword_state(
    source   TEXT PRIMARY KEY,              -- kind of the source, '' for what was added by hand
    upto     INTEGER NOT NULL DEFAULT 0,    -- numbers above it are in no segment yet
    revision INTEGER NOT NULL DEFAULT 0     -- rises with every change of segments or marks
) STRICT, WITHOUT ROWID;

CREATE TABLE keyword_gone(                  -- numbers that are never found again
    source  TEXT NOT NULL,
    number  INTEGER NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),  -- 1: the source still has it, so the mark stays
    PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE keyword_segments(              -- packed arrays, little-endian: see segments.py
    pk        INTEGER PRIMARY KEY AUTOINCREMENT,
    source    TEXT NOT NULL,
    items     INTEGER NOT NULL DEFAULT 0,
    newest_at REAL NOT NULL DEFAULT 0,
    numbers   BLOB NOT NULL DEFAULT x'',    -- int64: items in the order of (created_at, number)
    times     BLOB NOT NULL DEFAULT x'',    -- float64: their created_at
    ids       BLOB NOT NULL DEFAULT x'',    -- their item_id, one after the other
    bounds    BLOB NOT NULL DEFAULT x'',    -- uint32: where each of those begins, and the end
    origins   TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(origins)),  -- every [conversation_id, role] that occurs
    whence    BLOB NOT NULL DEFAULT x'',    -- uint32: which of those each item has
    words     BLOB NOT NULL DEFAULT x'',    -- sorted, one a line
    starts    BLOB NOT NULL DEFAULT x'',    -- uint32: where a word's places begin, and the end
    places    BLOB NOT NULL DEFAULT x''     -- uint16, of more than 65,536 items uint32: items of the first word, of the second, ...
) STRICT;
CREATE INDEX keyword_segments__source ON keyword_segments(source);
""",
    carried=(
        Carried("keyword_items", ("pk",), ("text",), owner=("kind", "item_id")),
        Carried("keyword_gone", ("source", "number"), where="removed = 1"),
    ),
    derived=(Carried("keyword_segments", ("pk",), ("words",), owner=("numbers",), blobs=("words",)),),
)


@record
class KeywordHit(Record):
    """An item that was found; `keywords` holds the word that answered each word of the query."""

    item_id: str
    kind: str
    conversation_id: str | None
    role: str | None
    created_at: float
    keywords: list[str]

    @property
    def message_id(self) -> str | None:
        """The id, where the item is a message."""
        return self.item_id if self.kind == "message" else None

    @property
    def keyword(self) -> str:
        """The word that answered the first word of the query."""
        return self.keywords[0]


BY_HAND = ByHand()
BRIEF = CAPACITY // 32  # bytes of a segment that is merged while somebody waits who has written one item: some 50 ms
FIRST = 20  # hits looked for at first where nobody says how many


class KeywordIndex:
    """Finds messages, and items added by hand, by the beginnings of their words.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     words = store.keywords.add("n1", "TimeDelta truncates, it should round", kind="note")
    ...     store.keywords.search("timed round")[0].keywords
    ['timedelta', 'round']
    """

    def __init__(self, db: Room, audit: Recorder, sources: Callable[[], Sequence[TextSource]]) -> None:
        self.db = db
        self._audit = audit
        self._rooms = sources
        self._memory = Memory(db)
        self._seen = False  # the tables, by a snapshot of another room

    # -- write ------------------------------------------------------------------------------------------------------

    def add(
        self,
        item_id: str,
        text: str,
        *,
        kind: str = "message",
        conversation_id: str | None = None,
        role: str | None = None,
        created_at: float | datetime | None = None,
    ) -> int:
        """Index an item by hand, in place of what the index has for this kind and id, and return its number of distinct words.

        A message of that id is from then on found by this text only.
        """
        kind, item_id, text = values.key("kind", kind), values.key("item_id", item_id), values.text("text", text)
        conversation_id = values.optional(values.key, "conversation_id", conversation_id)
        role = values.optional(values.key, "role", role)
        moment = values.optional(values.moment, "created_at", created_at)
        with self.db.write() as conn:
            self._drop_by_hand(conn, kind, item_id)
            rooms = self._sources()
            self._override(conn, kind, item_id)
            number = conn.insert(
                "INSERT INTO keyword_items(kind, item_id, text, conversation_id, role, created_at, arrival) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    kind,
                    item_id,
                    text if conn.cipher is None else conn.cipher.seal(TEXT, (kind, item_id), text),
                    conversation_id,
                    role,
                    self.db.now if moment is None else moment,
                    max((room.last(conn) for room in rooms), default=0),
                ),
            )
            if number % BATCH == 0:
                self.db.after_commit(self.catch_up)
        return len(words(text))

    # -- read -------------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        kind: str | None = None,
        conversation_id: str | None = None,
        role: str | None = None,
        limit: int | None = 20,
        before: str | None = None,
    ) -> list[KeywordHit]:
        """Items that have, for every word of the query, a word that begins with it; newest first.

        `before` is the item_id that a page goes on after. Among equal times the order of arrival decides. Chunks of documents are
        items of kind "chunk" where the file is encrypted or SQLite has no FTS5; elsewhere `documents.search` alone finds them.
        """
        wanted = prefixes(values.text("query", query))
        kind = values.optional(values.key, "kind", kind)
        conversation_id = values.optional(values.key, "conversation_id", conversation_id)
        role = values.optional(values.key, "role", role)
        before = values.optional(values.key, "before", before)
        count = values.limit(limit)
        asked = Asked(wanted, min(count, PAGE) if count > 0 else FIRST, conversation_id, role)
        with self._spaces() as (conn, spaces):
            bound = None if before is None else self._key_of(conn, before, kind, conversation_id)
            if not wanted or not count:
                return []
            by_hand = next(space for space in spaces if space.kind == "")
            streams = [chain.from_iterable(self._pages(by_hand, asked, bound, kind))] if by_hand.last else []
            streams += [
                chain.from_iterable(self._pages(space, asked, bound, kind, overridden=bool(by_hand.last)))
                for space in spaces
                if space.kind and space.last and kind in (None, space.kind)
            ]
            merged = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=itemgetter(0), reverse=True)
            return [hit for _, hit in islice(merged, count if count > 0 else None)]

    def complete(self, prefix: str, *, limit: int | None = 10) -> list[tuple[str, int]]:
        """Words that begin with the prefix and how many items have each, most items first, then alphabetical.

        No word begins with a prefix of several words, so that gives [].
        """
        asked = prefixes(values.text("prefix", prefix))
        count = values.limit(limit)
        if len(asked) != 1:
            return []
        found: dict[str, int] = {}
        with self._spaces() as (_, spaces):
            for space in spaces:
                for word, items in space.counts(asked[0]):
                    found[word] = found.get(word, 0) + items
        ranked = sorted((-items, word) for word, items in found.items() if items)
        return [(word, -items) for items, word in ranked[: count if count >= 0 else None]]

    def keywords(self, item_id: str, *, kind: str = "message") -> list[str]:
        """The words that an item is found by, sorted."""
        kind, item_id = values.key("kind", kind), values.key("item_id", item_id)
        with self.db.read(snapshot=True) as conn:
            own = BY_HAND.find(conn, kind, item_id)
            if own is not None:
                return sorted(words(own))
            room, number = self._locate(conn, kind, item_id)
            return sorted(word for _, text in room.texts(conn, number - 1, number, 1) for word in words(text))

    def numbers(
        self,
        conn: Connection,
        query: str,
        *,
        kind: str,
        conversation_id: str | None = None,
        role: str | None = None,
        before: tuple[float, int] | None = None,
    ) -> Iterator[Found]:
        """Yield (created_at, number, matched words) of one source, newest first, lazily, inside the caller's snapshot.

        For the room that owns the texts, which looks again where an item was added by hand: that may be of another conversation or role.
        """
        asked = Asked(prefixes(values.text("query", query)), FIRST, conversation_id, role)
        sources = [room for room in self._sources() if room.kind == kind]
        if not asked.prefixes or not sources:
            return iter(())
        self.db.attach(conn)
        if not self._has_tables(conn):
            return _numbers(self._memory.space(conn, sources[0]), asked, before)
        own, by_hand = self._memory.spaces(conn, [*sources, BY_HAND])
        stream = _numbers(own, asked, before)
        if not by_hand.last:
            return stream
        whoever = asked._replace(conversation_id=None, role=None)  # what was added by hand may say otherwise than the message
        overriding = sorted(self._overriding(own, by_hand, whoever, before), reverse=True)
        return heapq.merge(stream, overriding, reverse=True) if overriding else stream

    def best(
        self, conn: Connection, sought: Sought, source: RankedSource, *, allowed: Container[int] | None, count: int, scan: bool
    ) -> list[Scored]:
        """Texts of a source that answer a question best, with their scores, inside the snapshot of the room that owns them.

        `allowed`: numbers among which they must be. With `scan` all texts are read, for a source that is not indexed here.
        """
        terms = relevance.wanted(sought)
        words = list(chain.from_iterable(terms))
        if scan:
            return relevance.best(conn, source, terms, relevance.scanned(conn, source, words), allowed, count)
        self.db.attach(conn)
        known = self._has_tables(conn)
        space = self._memory.spaces(conn, [source])[0] if known else self._memory.space(conn, source)
        try:
            return relevance.best(conn, source, terms, relevance.indexed(space, words), allowed, count)
        except DAMAGED as error:
            raise damaged(source.kind, error) from None

    def prepare(self) -> None:
        """Catch up where a search would first, for the room that then asks for `numbers` in a snapshot of its own."""
        with self._spaces():
            pass

    # -- change -----------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Index what is behind, a batch a transaction; nothing where there is less than a batch, or where writing is impossible."""
        self._catch_up(CAPACITY, once=False)

    def keep_up(self) -> None:
        """One step of `catch_up`, for who has written one item: the larger merges are left to whoever searches or writes much."""
        self._catch_up(BRIEF, once=True)

    def _catch_up(self, room: int, *, once: bool) -> None:
        if self.db.read_only or self.db.in_transaction:
            return
        try:
            for source in (*self._sources(), BY_HAND):
                while self._merge_crowd(source, room) or self._index_batch(source, BATCH) or self._sweep(source, BATCH):
                    if once:
                        return
        except StoreError:
            # Derived data: a busy or full file must not fail the append or the search that happened to come by. Search is
            # complete without it, and a damaged segment is reported by whoever needs it.
            return

    def compact(self) -> None:
        """Index everything, merge the segments as far as they go, and drop every word that no item has any more."""
        for source in (*self._sources(), BY_HAND):
            while self._index_batch(source, 1) or self._merge_all(source) or self._sweep(source, 1):
                pass

    def rebuild(self, *, progress: Callable[[int, int], object] | None = None) -> None:
        """Make the index new from the texts; removed messages come back, items added by hand stay.

        `progress` is called with (numbers done, numbers in all).
        """
        values.listener("progress", progress)
        sources = [*self._sources(), BY_HAND]
        with self.db.read(snapshot=True) as conn:
            lasts = [source.last(conn) for source in sources]
        done = 0
        for source, last in zip(sources, lasts):
            while not self._rebuild(source, done, sum(lasts), progress):
                pass
            done += last

    # -- remove -----------------------------------------------------------------------------------------------------

    def remove(self, item_id: str, *, kind: str = "message", actor: str = "", note: str = "") -> None:
        """Take an item out of the index only, with an audit event; a message stays away until `rebuild`."""
        kind, item_id = values.key("kind", kind), values.key("item_id", item_id)
        with self.db.write() as conn:
            if self._drop_by_hand(conn, kind, item_id):
                self._override(conn, kind, item_id)  # a message that came after it
            else:
                _, number = self._locate(conn, kind, item_id)
                self._mark(conn, kind, [number], removed=True)
            self._audit("keyword.remove", entity_kind="keyword", entity_id=item_id, before={"kind": kind}, actor=actor, note=note)

    def _override(self, conn: Connection, kind: str, item_id: str) -> None:
        """Let the item of a room, if there is one, no longer be found by its own text."""
        for room in self._sources():
            number = room.number(conn, item_id) if room.kind == kind else None
            if number is not None:
                self._mark(conn, kind, [number], removed=True)

    def discard(self, conn: Connection, kind: str, numbers: Iterable[int], *, wipe: bool = False) -> None:
        """Forget items that their room takes away in this transaction; with `wipe` no word that only they had stays in the file."""
        gone = list(numbers)
        if not gone and not wipe:
            return
        with self.db.write():
            self._mark(conn, kind, gone, removed=False)
            for source in self._sources():
                while wipe and source.kind == kind and self._sweep(source, 1):
                    pass

    def restore(self, conn: Connection, kind: str, texts: Mapping[int, str], *, hidden: bool = False) -> None:
        """Let items be found again that their room had discarded and brings back in this transaction; new ones are found anyway.

        Of `hidden` ones none is new: what came in hidden is no more marked than it is indexed, and tails in memory go without it.
        """
        if not self.db.present("keywords"):
            return
        with self.db.write():
            for source in [each for each in self._sources() if each.kind == kind]:
                (space,) = self._memory.spaces(conn, [source])
                back = sorted(number for number in texts if hidden or number <= space.upto or number in space.gone)
                if back:
                    self._bring_back(conn, source, {number: texts[number] for number in back})

    def _bring_back(self, conn: Connection, source: TextSource, texts: Mapping[int, str]) -> None:
        # First all else is indexed and their old words leave the segments: an item must not stand in two of them.
        while self._index_batch(source, 1) or self._sweep(source, 1):
            pass
        conn.many("DELETE FROM keyword_gone WHERE source = ? AND number = ?", [(source.kind, number) for number in texts])
        self._raise_revision(conn, source.kind, 0)
        (space,) = self._memory.spaces(conn, [source])
        draft = Draft()
        items = source.items(conn, list(texts))
        draft.add(items, [texts[item[0]] for item in items])
        self._publish(space, [draft.segment()])

    def erase(self, conn: Connection, subject: Subject) -> None:
        """Remove what was added by hand, and every word that no item has any more, those of messages that went before included."""
        from .erasing import erase_items

        pks = erase_items(conn, subject)
        if pks:
            self._mark(conn, "", pks, removed=False)
        for source in (*self._sources(), BY_HAND):
            while self._sweep(source, 1):
                pass

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: items added by hand; the others go with what they are of."""
        return [
            Prunable(
                "keyword_items",
                "SELECT count(*) FROM keyword_items",
                """
                SELECT created_at, pk, 300 + length(text) * 2
                FROM keyword_items
                WHERE (created_at, pk) > (?, ?)
                ORDER BY created_at, pk
                LIMIT ?
                """,
                self._remove_oldest,
            )
        ]

    def _remove_oldest(self, conn: Connection, count: int, _why: Mapping[str, str]) -> dict[str, int]:
        items = conn.rows("SELECT kind, item_id FROM keyword_items ORDER BY created_at, pk LIMIT ?", (count,))
        for kind, item_id in items:
            self._drop_by_hand(conn, kind, item_id)
            self._override(conn, kind, item_id)  # a message that came after it
        while self._sweep(BY_HAND, 1):
            pass
        return {"keyword_items": len(items)}

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Compare segments and memory with the texts, tokenised afresh."""
        with self.db.read(snapshot=True) as conn:
            spaces = self._memory.spaces(conn, (*self._sources(), BY_HAND))
            return [finding for space in spaces for finding in differences(conn, space, self._memory)]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _sources(self) -> list[TextSource]:
        return [room for room in self._rooms() if room.present()]

    def _has_tables(self, conn: Connection) -> bool:
        """Whether a snapshot of another room has our tables; it may be older than they are."""
        if not self._seen and not self.db.in_transaction:
            self._seen = bool(conn.value("SELECT count(*) FROM sqlite_schema WHERE name = 'keyword_state'"))
            return self._seen
        return True

    @contextmanager
    def _spaces(self) -> Iterator[tuple[Connection, list[Space]]]:
        """All sources in one snapshot, after catching up where that is worth it."""
        with self.db.read(snapshot=True) as conn:
            spaces = self._memory.spaces(conn, (*self._sources(), BY_HAND))
            behind = any(space.last - space.upto >= BATCH for space in spaces)
            if not (behind or any(space.crowded for space in spaces)) or self.db.read_only or self.db.in_transaction:
                yield conn, spaces
                return
        self._catch_up(CAPACITY, once=not behind)  # merges that appends have left may be many: one a search
        with self.db.read(snapshot=True) as conn:
            yield conn, self._memory.spaces(conn, (*self._sources(), BY_HAND))

    def _pages(
        self, space: Space, asked: Asked, bound: Key | None, kind: str | None, overridden: bool = False
    ) -> Iterator[list[tuple[Key, KeywordHit]]]:
        """Hits of one source with the keys that order them among those of others."""
        before = None
        if bound is not None:
            before = (bound[0], bound[1] + 1 if space.kind else LAST_NUMBER)
        for page in space.newest(asked, before):
            hits = self._hits(space, page, overridden) if space.kind else self._hits_by_hand(space, page)
            if bound is not None:
                hits = [(key, hit) for key, hit in hits if key < bound]
            yield hits if space.kind else [(key, hit) for key, hit in hits if kind in (None, hit.kind)]

    def _hits(self, space: Space, page: list[Hit], overridden: bool) -> list[tuple[Key, KeywordHit]]:
        # A message may get an id that somebody had already used by hand.
        taken = BY_HAND.taken(space.conn, space.kind, [hit[3] for hit in page]) if overridden else ()
        return [
            ((created_at, number, 0), KeywordHit(item_id, space.kind, conversation_id, role, created_at, list(matched)))
            for created_at, number, matched, item_id, (conversation_id, role) in page
            if item_id not in taken
        ]

    def _hits_by_hand(self, space: Space, page: list[Hit]) -> list[tuple[Key, KeywordHit]]:
        items = {item[0]: item for item in BY_HAND.described(space.conn, [hit[1] for hit in page])}
        return [
            ((created_at, item[6], number), KeywordHit(item_id, item[5], *origin, created_at, list(matched)))
            for created_at, number, matched, item_id, origin in page
            if (item := items.get(number)) is not None
        ]

    def _overriding(self, own: Space, by_hand: Space, asked: Asked, before: tuple[float, int] | None) -> Iterator[Found]:
        """Items of the source that are found by what was added by hand, with the source's own time and number."""
        for _, pk, matched in _numbers(by_hand, asked):
            for _, item_id, _, _, _, kind, _ in BY_HAND.described(own.conn, [pk]):
                number = own.source.number(own.conn, item_id) if kind == own.kind else None
                for item in own.source.items(own.conn, [] if number is None else [number]):
                    if before is None or (item[4], item[0]) < before:
                        yield item[4], item[0], matched

    def _key_of(self, conn: Connection, item_id: str, kind: str | None, conversation_id: str | None) -> Key:
        """The place of an item in the order of a search."""
        found: dict[str, tuple[str | None, Key]] = {}
        for room in self._sources():
            number = room.number(conn, item_id)
            for item in room.items(conn, [] if number is None else [number]):
                found[room.kind] = item[2], (item[4], item[0], 0)
        rows = conn.rows("SELECT kind, conversation_id, created_at, arrival, pk FROM keyword_items WHERE item_id = ?", (item_id,))
        found.update((name, (owner, (created_at, arrival, pk))) for name, owner, created_at, arrival, pk in rows)
        kinds = [name for name in found if kind in (None, name)]
        if not kinds:
            raise NotFound(f"before={item_id!r} is no item{_of_kind(kind)}; give the item_id of a hit, as search() returned it")
        if len(kinds) > 1:
            raise Invalid(f"before={item_id!r} is the id of several kinds ({', '.join(sorted(kinds))}); name one with kind=")
        owner, key = found[kinds[0]]
        if conversation_id not in (None, owner):
            raise Invalid(f"before={item_id!r} is in conversation {owner!r}, not in {conversation_id!r}")
        return key

    def _locate(self, conn: Connection, kind: str, item_id: str) -> tuple[TextSource, int]:
        """The source and number of an item that the index has and that was not added by hand."""
        for room in self._sources():
            number = room.number(conn, item_id) if room.kind == kind else None
            marked = conn.value("SELECT 1 FROM keyword_gone WHERE source = ? AND number = ?", (kind, number))
            if number is not None and marked is None:
                return room, number
        known = [row[0] for row in conn.rows("SELECT item_id FROM keyword_items WHERE kind = ? ORDER BY pk DESC LIMIT 1000", (kind,))]
        nearest = values.suggest(item_id, known)
        raise NotFound(f"the keyword index has no {values.one_line(kind)} {item_id!r}{nearest}; search() finds what it has")

    def _drop_by_hand(self, conn: Connection, kind: str, item_id: str) -> bool:
        pk = conn.value("SELECT pk FROM keyword_items WHERE item_id = ? AND kind = ?", (item_id, kind))
        if pk is None:
            return False
        conn.run("DELETE FROM keyword_items WHERE pk = ?", (pk,))
        self._mark(conn, "", [pk], removed=False)
        return True

    def _mark(self, conn: Connection, source: str, numbers: Iterable[int], *, removed: bool) -> None:
        conn.many(
            "INSERT INTO keyword_gone(source, number, removed) VALUES (?, ?, ?)"
            " ON CONFLICT(source, number) DO UPDATE SET removed = excluded.removed",
            [(source, number, int(removed)) for number in numbers],
        )
        self._raise_revision(conn, source, 0)

    def _raise_revision(self, conn: Connection, source: str, upto: int) -> None:
        conn.run(
            "INSERT INTO keyword_state(source, upto, revision) VALUES (?, ?, 1)"
            " ON CONFLICT(source) DO UPDATE SET upto = max(upto, excluded.upto), revision = revision + 1",
            (source, upto),
        )

    # Each of the following makes its segment ready in a snapshot and takes the write lock only to publish it. True asks to be
    # called again: something was done, or somebody else was quicker and there may be more.

    def _index_batch(self, source: TextSource, least: int) -> bool:
        with self.db.read(snapshot=True) as conn:
            (space,) = self._memory.spaces(conn, [source])
            if space.last - space.upto < least:
                return False
            segment, reached = next(space.fresh(space.upto, without=space.gone))
        settled = [number for number in space.fading if space.upto < number <= reached]
        self._publish(space, [segment], upto=reached, settled=settled)
        return True

    def _merge_crowd(self, source: TextSource, room: int) -> bool:
        return self._merge(source, lambda sizes: crowd(sizes, room))

    def _merge_all(self, source: TextSource) -> bool:
        return self._merge(source, lambda sizes: fill(sizes, range(len(sizes))))

    def _merge(self, source: TextSource, choose: Callable[[list[int]], list[int]]) -> bool:
        with self.db.read(snapshot=True) as conn:
            (space,) = self._memory.spaces(conn, [source])
            chosen = choose([size for _, size, _ in space.rows])
            if len(chosen) < 2:
                return False
            retired = [space.rows[index][0] for index in chosen]
            segments = [space.segment(pk) for pk in retired]
        self._replace(space, retired, segments)
        return True

    def _sweep(self, source: TextSource, least: int) -> bool:
        """Rewrite one segment that has items which are gone; with none left, drop the marks that did their work."""
        with self.db.read(snapshot=True) as conn:
            (space,) = self._memory.spaces(conn, [source])
            if not space.gone or (least > 1 and len(space.fading) < least):
                return False
            for pk, _, _ in space.rows:
                segment = space.segment(pk)
                if not space.gone.isdisjoint(segment.items.numbers):
                    break
            else:
                settled = [number for number in space.fading if number <= space.upto]
                if settled:
                    self._publish(space, [], settled=settled)
                return bool(settled)
        self._replace(space, [pk], [segment])
        return True

    def _replace(self, space: Space, retired: list[int], segments: list[Segment]) -> None:
        settled = [number for segment in segments for number in space.fading.intersection(segment.items.numbers)]
        try:
            merged = merge(segments, space.gone)
        except DAMAGED as error:
            raise damaged(space.kind, error) from None
        self._publish(space, [merged], retired=retired, settled=settled)

    def _rebuild(self, source: TextSource, done: int, total: int, progress: Callable[[int, int], object] | None) -> bool:
        with self.db.read(snapshot=True) as conn:
            (space,) = self._memory.spaces(conn, [source])
            ids = [row[0] for row in conn.rows("SELECT item_id FROM keyword_items WHERE kind = ?", (source.kind,))]
            overridden = {number for item_id in ids if (number := source.number(conn, item_id)) is not None}
            segments: list[Segment] = []
            for segment, reached in space.fresh(0, without=overridden):
                grow(segments, segment)
                if progress is not None:
                    progress(done + reached, max(total, done + reached))
        with self.db.write() as conn:
            if not self._publish(space, segments, upto=space.last, retired=[row[0] for row in space.rows]):
                return False
            # Marks of newer numbers stay: another handle's memory may still hold what was taken out of there.
            conn.run("DELETE FROM keyword_gone WHERE source = ? AND number <= ?", (source.kind, space.last))
            self._mark(conn, source.kind, overridden, removed=True)
        return True

    def _publish(
        self, space: Space, segments: list[Segment], *, upto: int = 0, retired: Iterable[int] = (), settled: Iterable[int] = ()
    ) -> bool:
        """Put segments in place of others, unless the index moved on since the snapshot that they were made from."""
        with self.db.write() as conn:
            revision = conn.value("SELECT revision FROM keyword_state WHERE source = ?", (space.kind,))
            if (revision or 0) != space.revision:
                return False
            conn.many("DELETE FROM keyword_segments WHERE pk = ?", [(pk,) for pk in retired])
            conn.many(
                "INSERT INTO keyword_segments"
                "(source, items, newest_at, numbers, times, ids, bounds, origins, whence, words, starts, places)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(space.kind, len(each), each.items.times[-1], *sealed(conn.cipher, each.pack())) for each in segments if len(each)],
            )
            conn.many(
                "DELETE FROM keyword_gone WHERE source = ? AND number = ? AND removed = 0",
                [(space.kind, number) for number in settled],
            )
            self._raise_revision(conn, space.kind, upto)
        return True


def _numbers(space: Space, asked: Asked, before: tuple[float, int] | None = None) -> Iterator[Found]:
    return (hit[:3] for page in space.newest(asked, before) for hit in page)


def _of_kind(kind: str | None) -> str:
    return "" if kind is None else f" of kind {kind!r}"
