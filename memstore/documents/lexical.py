"""The index of words of chunks: FTS5 where SQLite has it and the file is not encrypted, else the keyword index.

1. Which of the two a file uses is decided by its first chunk and stands in `chunk_index`. Hidden documents are in neither.
2. Search is complete whoever opens the file. Where the file uses FTS5 and this Python's SQLite lacks it, searches read all chunks, and
   writes mark the index as `stale`: until a Python with FTS5 writes or optimizes and so rebuilds it, that one reads all chunks too.
   Both rank by BM25; the length of a text is in words for FTS5, in characters for the keyword index, which does not count words.
3. The index is derived: `rebuild` makes it from the chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..kernel import Corrupt, Finding, Invalid, NotSupported, Room, StoreError, values
from ..kernel.fulltext import has_fts5
from ..kernel.rows import Term, joined
from . import fulltext
from .fulltext import Text
from .texts import ChunkTexts

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.bm25 import Scored, Sought
    from ..keywords import KeywordIndex

PAGE = 500  # chunks that are indexed at a time
SAMPLE = 1000  # chunks that a check looks up by their words
INDEX_EVERY = 4096  # chunks after which the keyword index is asked to catch up


class ChunkIndex:
    """Finds chunks by their words."""

    def __init__(self, db: Room, keywords: Callable[[], KeywordIndex]) -> None:
        self.db = db
        self.texts = ChunkTexts(db)
        self._keywords = keywords
        self._able: bool | None = None
        self._vocabulary = fulltext.Vocabulary()

    # -- write ------------------------------------------------------------------------------------------------------

    def add(self, connection: Connection, texts: Sequence[Text], *, again: bool = False) -> None:
        """Index new chunks of documents that are not hidden, in the transaction that writes them; `again`, those of one that was."""
        serving = self._serving(connection, {number for number, _ in texts}) if texts else ""
        if serving == "fts5":
            with mending():
                fulltext.put(connection, texts)
                fulltext.flush(connection)
        elif serving == "keywords":
            index = self._keywords()
            index.restore(connection, self.texts.kind, dict(texts), hidden=again)
            first, last = texts[0][0], texts[-1][0]
            if (first - 1) // INDEX_EVERY < last // INDEX_EVERY:
                self.db.after_commit(lambda: index.catch_up())  # a new function each time: one transaction may ask for it often

    def remove(self, connection: Connection, texts: Sequence[Text]) -> None:
        """Remove chunks, given with the texts that were indexed."""
        serving = self._serving(connection) if texts else ""
        if serving == "fts5":
            with mending():
                fulltext.take(connection, texts)
        elif serving == "keywords":
            self._keywords().discard(connection, self.texts.kind, [number for number, _ in texts])

    def wipe(self, connection: Connection) -> None:
        """Leave no byte of what was removed, for `Store.erase`."""
        serving, stale, _ = self._state(connection)
        if serving == "fts5" and not self._has_fts5(connection):
            connection.run("UPDATE chunk_index SET stale = 1")
            fulltext.empty(connection)
        elif serving == "fts5":
            with mending():
                (self.rebuild if stale else fulltext.merge)(connection)
        elif serving == "keywords":
            self._keywords().discard(connection, self.texts.kind, (), wipe=True)

    def rebuild(self, connection: Connection) -> None:
        """Make the index anew from all chunks of documents that are not hidden."""
        self._serving(connection)
        if self._state(connection)[0] == "keywords":
            self._keywords().rebuild()
            return
        if not self._has_fts5(connection):
            raise NotSupported("this file keeps the words of chunks in FTS5, which the SQLite of this Python does not have")
        fulltext.drop(connection)
        fulltext.create(connection)
        self._put_all(connection)
        connection.run("UPDATE chunk_index SET stale = 0, made = made + 1")

    def _put_all(self, connection: Connection, but: Container[int] = ()) -> None:
        last = 0
        while page := self.texts.texts(connection, last, self.texts.last(connection), PAGE):
            fulltext.put(connection, [(number, text) for number, text in page if number not in but])
            last = values.onward(last, page[-1][0])

    def compact(self) -> None:
        """Rebuild the FTS5 index if it is stale, else merge its segments; the keyword index has a `compact` of its own."""
        with self.db.read() as connection:
            serving, stale, _ = self._state(connection)
            able = serving == "fts5" and self._has_fts5(connection)
        if able:
            with self.db.write() as connection, mending():
                (self.rebuild if stale else fulltext.merge)(connection)

    # -- read -------------------------------------------------------------------------------------------------------

    def best(self, connection: Connection, sought: Sought, terms: Sequence[Term], count: int) -> list[Scored]:
        """The chunks that score highest by BM25 among those whose documents meet some conditions, best first.

        A negative count asks for all chunks that have any of the words.
        """
        serving, stale, made = self._state(connection)
        if not serving:
            self._confirm_empty(connection)
            return []
        if self._asks_fts5(connection, serving, stale):
            with mending():
                return self._question(connection, sought, terms, made).best(count)
        allowed = self._allowed(connection, terms) if terms else None
        return self._keywords().best(connection, sought, self.texts, allowed=allowed, count=count, scan=serving == "fts5")

    def scores(self, connection: Connection, sought: Sought, numbers: list[int]) -> list[Scored]:
        """The scores of those of some chunks that have any of the words."""
        serving, stale, made = self._state(connection)
        if self._asks_fts5(connection, serving, stale):
            with mending():
                found = self._question(connection, sought, (), made).scores(numbers)
        else:
            allowed, scan = set(numbers), serving == "fts5"
            found = self._keywords().best(connection, sought, self.texts, allowed=allowed, count=-1, scan=scan)
        return [(number, score) for number, score in found if score > 0]

    def _asks_fts5(self, connection: Connection, serving: str, stale: int) -> bool:
        return serving == "fts5" and not stale and self._has_fts5(connection)

    def _question(self, connection: Connection, sought: Sought, terms: Sequence[Term], made: int) -> fulltext.Question:
        kept = None if self.db.in_transaction else made  # nothing that may be rolled back is remembered
        return fulltext.Question(connection, sought, terms, self._vocabulary, kept)

    def _confirm_empty(self, connection: Connection) -> None:
        """Raise Corrupt where there are chunks to find, but no row says by which index."""
        visible = "SELECT 1 FROM chunks CROSS JOIN documents ON documents.pk = chunks.document WHERE documents.is_deleted = 0"
        if connection.value(visible) is not None:
            raise Corrupt("the file does not say which index of words serves its chunks; store.documents.rebuild() makes a new one")

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Compare the index with the chunks."""
        with self.db.read(snapshot=True) as connection:
            serving, stale, _ = self._state(connection)
            if not serving and self.texts.extent(connection)[0]:
                return [_finding(None, "the file does not say what serves the words of chunks")]
            if serving != "fts5" or stale or not self._has_fts5(connection):
                return []  # the keyword index has its own check, and a stale index is not used
            return list(differences(connection, self.texts))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _has_fts5(self, connection: Connection) -> bool:
        if self._able is None:
            self._able = has_fts5(connection)
        return self._able

    def _state(self, connection: Connection) -> tuple[str, int, int]:
        """Which index the file uses ("" before the first chunk), whether it is stale, and how often it was made."""
        found: tuple[str, int, int] | None = connection.row("SELECT kind, stale, made FROM chunk_index")
        return found or ("", 0, 0)

    def _serving(self, connection: Connection, coming: Container[int] = ()) -> str:
        """The index to write to, "" where it is or becomes stale; chosen and made if need be, of all chunks but those `coming`."""
        serving, stale, _ = self._state(connection)
        if not serving:
            serving = "fts5" if connection.cipher is None and self._has_fts5(connection) else "keywords"
            connection.run("INSERT INTO chunk_index(id, kind) VALUES (1, ?)", (serving,))
            if serving == "fts5":
                lost = fulltext.exists(connection)  # then the row that said so was lost, not the first chunk written
                fulltext.drop(connection)
                fulltext.create(connection)
                if lost:
                    self._put_all(connection, coming)
        elif serving == "fts5" and not self._has_fts5(connection):
            connection.run("UPDATE chunk_index SET stale = 1")
            return ""
        elif stale:
            self.db.after_commit(lambda: self._try_to_mend())
            return ""
        return serving

    def _try_to_mend(self) -> None:
        with suppress(StoreError):  # search is complete without it, and the next write tries again
            self.compact()

    def _allowed(self, connection: Connection, terms: Sequence[Term]) -> set[int]:
        clause, params = joined(terms)
        rows = connection.rows(
            f"SELECT chunks.pk FROM documents CROSS JOIN chunks ON chunks.document = documents.pk WHERE {clause}", params
        )
        return {pk for (pk,) in rows}


@contextmanager
def mending() -> Iterator[None]:
    """Raise damage to the index as Corrupt that names the way to mend it."""
    try:
        yield
    except (Corrupt, Invalid) as error:  # FTS5 reports some damage as a violated constraint
        raise Corrupt(f"the index of words of chunks is damaged ({error}); store.documents.rebuild() makes a new one") from error


def differences(connection: Connection, texts: ChunkTexts) -> Iterator[Finding]:
    """Findings where the FTS5 index differs from the chunks."""
    try:
        sizes, held = fulltext.sizes(connection), fulltext.totals(connection)
        counted = fulltext.counted(connection)
    except Corrupt as error:
        yield _finding(None, f"the index of words of chunks is damaged ({error})")
        return
    if held != (len(sizes), sum(sizes.values())) or held[1] != counted:
        yield _finding(None, "the index of words of chunks does not count the words that it has")
    last, stride = 0, len(sizes) // SAMPLE + 1
    while page := texts.texts(connection, last, texts.last(connection), PAGE):
        last = values.onward(last, page[-1][0])
        for number, text in page:
            words = fulltext.tokens(text)
            found = sizes.pop(number, None)
            if found is None:
                yield _finding(number, f"chunk {number} is not in the index of words")
            elif found != len(words) or (number % stride == 0 and not fulltext.has(connection, number, words)):
                yield _finding(number, f"chunk {number} is indexed under other words than it has")
    for number in sizes:
        yield _finding(number, f"the index of words has chunk {number}, which no search may find")


def _finding(number: int | None, what: str) -> Finding:
    return Finding("chunk_index", number, f"{what}; documents.rebuild() makes a new one")
