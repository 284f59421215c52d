"""What one snapshot holds of one source, and what may be remembered of it until the next.

1. A `Space` is valid inside the read or transaction that it was made in, and is bound to its connection.
2. `Memory` keeps only what committed rows said: segments by key, marks by revision, the tail by the numbers that it covers.
   Everything in it is replaced whole, never changed, so threads share it without a lock (one held across a fork would hang
   the child); two that miss the same thing read it twice.
3. Inside a transaction Memory is read and not written: what a rollback takes back was never kept.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Corrupt, values
from .segments import Draft, Segment, crowd, merge, newest_first

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from ..kernel import Cipher, Connection, Room
    from .segments import Asked, Hit
    from .sources import TextSource

BATCH = 4096  # items for which a new segment in the file is worth writing
MOST = 1 << 15  # items that it has at most: a larger dict of words falls out of the cache of the processor
PAGE = 256  # texts read at a time
DAMAGED = (IndexError, UnicodeDecodeError)  # what a segment raises whose columns do not fit together after all
WORDS = 6  # which of the columns of a segment has its words
MOST_CHARACTERS = 1 << 24  # a segment ends here too: messages may be megabytes


class Known(NamedTuple):
    """Segments and marks of a source at one revision."""

    revision: int
    rows: list[tuple[int, int, float]]  # key, size and newest created_at of each segment
    gone: frozenset[int]  # numbers never to be found
    fading: frozenset[int]  # those whose mark goes with their words
    crowded: bool  # some of the segments should become one


class Tail(NamedTuple):
    """Items with after < number <= last, which no segment in the file has."""

    after: int
    last: int
    segments: tuple[Segment, ...]


NOTHING = Known(0, [], frozenset(), frozenset(), False)  # revision 0: before anything was indexed or marked


class Memory:
    """What is kept between calls, for one open store."""

    def __init__(self, db: Room) -> None:
        self.db = db
        self.known: dict[str, Known] = {}
        self.tails: dict[str, Tail] = {}
        self.loaded: dict[int, Segment] = {}

    def spaces(self, conn: Connection, sources: Iterable[TextSource]) -> list[Space]:
        """What the connection's snapshot holds of each source."""
        rows = conn.rows("SELECT source, upto, revision FROM keyword_state")
        state = {source: (upto, revision) for source, upto, revision in rows}
        return [self.space(conn, source, *state.get(source.kind, (0, 0))) for source in sources]

    def space(self, conn: Connection, source: TextSource, upto: int = 0, revision: int = 0) -> Space:
        """What a snapshot holds of a source; without more than that, of one that nothing is indexed of."""
        keep = not self.db.in_transaction and "keywords" not in conn.shadows  # without our tables nobody marks what he takes away
        return Space(self, conn, source, upto, revision, keep)

    def marks(self, conn: Connection, kind: str, revision: int, keep: bool) -> Known:
        """Segments and marks at a revision."""
        known = self.known.get(kind, NOTHING) if revision else NOTHING
        if known.revision == revision:
            return known
        rows = conn.rows(
            "SELECT pk, length(numbers) + length(places), newest_at FROM keyword_segments WHERE source = ? ORDER BY pk", (kind,)
        )
        marks = conn.rows("SELECT number, removed FROM keyword_gone WHERE source = ?", (kind,))
        gone, fading = frozenset(number for number, _ in marks), frozenset(number for number, removed in marks if not removed)
        known = Known(revision, rows, gone, fading, bool(crowd([size for _, size, _ in rows])))
        if keep:
            self.known = {**self.known, kind: known}
            live = {row[0] for each in self.known.values() for row in each.rows}
            self.loaded = {pk: segment for pk, segment in self.loaded.items() if pk in live}
        return known

    def segment(self, conn: Connection, pk: int, keep: bool) -> Segment:
        """One segment of the file."""
        segment = self.loaded.get(pk)
        if segment is None:
            segment = read_segment(conn, pk)
            if keep:
                self.loaded[pk] = segment
        return segment


class Space:
    """One source in one snapshot."""

    def __init__(self, memory: Memory, conn: Connection, source: TextSource, upto: int, revision: int, keep: bool) -> None:
        self.conn = conn
        self.source = source
        self.kind = source.kind
        self.upto = upto
        self.revision = revision
        self.last = max(upto, source.last(conn))
        _, self.rows, self.gone, self.fading, self.crowded = memory.marks(conn, self.kind, revision, keep)
        self._memory = memory
        self._keep = keep

    def newest(self, asked: Asked, before: tuple[float, int] | None = None) -> Iterator[list[Hit]]:
        """Items that have a word for every prefix, newest first, lazily: a page of the size asked for, then larger ones."""
        try:
            for page in newest_first(self._sorted_out(), asked, before):
                yield [hit for hit in page if hit[1] not in self.gone] if self.gone else page
        except DAMAGED as error:
            raise damaged(self.kind, error) from None

    def counts(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Words with the prefix and their items, a word as often as segments have it."""
        try:
            for segment in self.segments():
                yield from segment.counts(prefix, self.gone)
        except DAMAGED as error:
            raise damaged(self.kind, error) from None

    def segments(self) -> Iterator[Segment]:
        """All segments, those of the tail last."""
        for pk, _, _ in self.rows:
            yield self.segment(pk)
        yield from self.tail()

    def segment(self, pk: int) -> Segment:
        """One segment of the file."""
        return self._memory.segment(self.conn, pk, self._keep)

    def tail(self) -> tuple[Segment, ...]:
        """What is newer than the segments in the file, in memory."""
        tail = self._memory.tails.get(self.kind)
        if tail is None or tail.after != self.upto or tail.last > self.last:
            tail = Tail(self.upto, self.upto, ())
        if tail.last < self.last:
            segments = list(tail.segments)
            for segment, _ in self.fresh(tail.last):
                grow(segments, segment)
            tail = Tail(self.upto, self.last, tuple(segments))
            if self._keep:
                self._memory.tails[self.kind] = tail
        return tail.segments

    def fresh(self, after: int, without: Container[int] = ()) -> Iterator[tuple[Segment, int]]:
        """New segments of everything above a number, each with the number that it reaches."""
        while after < self.last:
            draft = Draft()
            while after < self.last and len(draft) < MOST and draft.characters < MOST_CHARACTERS:
                page = self.source.texts(self.conn, after, self.last, PAGE)
                after = values.onward(after, page[-1][0]) if len(page) == PAGE else self.last
                texts = {number: text for number, text in page if number not in without}
                items = sorted(self.source.items(self.conn, list(texts)), key=itemgetter(0))
                draft.add(items, [texts[item[0]] for item in items])
            yield draft.segment(), after

    def _sorted_out(self) -> list[tuple[float, Callable[[], Segment]]]:
        stored: list[tuple[float, Callable[[], Segment]]] = [(newest_at, partial(self.segment, pk)) for pk, _, newest_at in self.rows]
        return stored + [(segment.items.times[-1], partial(_same, segment)) for segment in self.tail()]


def grow(segments: list[Segment], segment: Segment) -> None:
    """Add a segment to some in memory, and merge those that became too many."""
    if len(segment):
        segments.append(segment)
    while chosen := crowd([each.size for each in segments]):
        merged = merge([segments[index] for index in chosen])
        segments[:] = [each for index, each in enumerate(segments) if index not in chosen] + [merged]


def read_segment(conn: Connection, pk: int) -> Segment:
    """Read a segment of the file, past anything remembered."""
    row = conn.row(
        "SELECT numbers, times, ids, bounds, origins, whence, words, starts, places FROM keyword_segments WHERE pk = ?", (pk,)
    )
    try:
        if row is None:
            raise ValueError("it is missing")
        return Segment.unpack(row[:-3], *_unsealed(conn.cipher, row)[-3:])
    except (ValueError, TypeError, IndexError) as error:
        raise Corrupt(f"segment {pk} of the keyword index is damaged ({error}); store.keywords.rebuild() makes a new one") from None


def sealed(cipher: Cipher | None, columns: tuple[Any, ...]) -> tuple[Any, ...]:
    """The columns of a segment as the file has them: its words are bound to the numbers of its items."""
    if cipher is None:
        return columns
    return (*columns[:WORDS], cipher.seal_bytes("keyword_segments.words", columns[:1], columns[WORDS]), *columns[WORDS + 1 :])


def _unsealed(cipher: Cipher | None, columns: tuple[Any, ...]) -> tuple[Any, ...]:
    if cipher is None:
        return columns
    return (*columns[:WORDS], cipher.unseal_bytes("keyword_segments.words", columns[:1], columns[WORDS]), *columns[WORDS + 1 :])


def damaged(kind: str, error: Exception) -> Corrupt:
    """What to raise where a segment names places that it does not have."""
    name = kind or "items added by hand"
    return Corrupt(f"the keyword index of {name} is damaged ({error}); store.keywords.rebuild() makes a new one")


def _same(segment: Segment) -> Segment:
    return segment
