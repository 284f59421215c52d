"""The words of chunks: FTS5 where SQLite has it and the file is not encrypted, the keyword index elsewhere.

1. What serves a file is fixed by its first chunk and stands in `chunk_index`; what is hidden is in no index.
2. Search is complete whoever opens the file. A Python whose SQLite has no FTS5 reads through all chunks of a file that has it;
   if it writes there, the index is `stale` until one that has FTS5 writes or optimizes: until then that one reads through them too.
   Both rank by BM25; FTS5 takes the words of a text for its length, the keyword index, which does not count them, its characters.
3. The index is derived: whatever becomes of it, `rebuild` makes it from the chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..kernel import Corrupt, Finding, Invalid, NotSupported, Room, StoreError, values
from ..kernel.fulltext import has_fts5
from ..kernel.rows import Term, joined
from . import fulltext
from .texts import ChunkTexts

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.bm25 import Scored
    from ..keywords import KeywordIndex

Text = tuple[int, str]  # the integer key of a chunk, and its content
PAGE = 500  # chunks that are indexed at a time
SAMPLE = 1000  # chunks that a check looks up by their words
INDEX_EVERY = 4096  # chunks after which the keyword index may have a batch to write


class ChunkIndex:
    """What finds chunks by their words."""

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
        """Take chunks out, with the texts that they were indexed with."""
        serving = self._serving(connection) if texts else ""
        if serving == "fts5":
            with mending():
                fulltext.take(connection, texts)
        elif serving == "keywords":
            self._keywords().discard(connection, self.texts.kind, [number for number, _ in texts])

    def wipe(self, connection: Connection) -> None:
        """Leave no byte of what was taken out, for `Store.erase`."""
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
        """Index all chunks of documents that are not hidden anew."""
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
        """Rebuild the index if it is stale and this Python can, else merge its parts; the keyword index has its own `compact`."""
        with self.db.read() as connection:
            serving, stale, _ = self._state(connection)
            able = serving == "fts5" and self._has_fts5(connection)
        if able:
            with self.db.write() as connection, mending():
                (self.rebuild if stale else fulltext.merge)(connection)

    # -- read -------------------------------------------------------------------------------------------------------

    def best(self, connection: Connection, query: str, terms: Sequence[Term], count: int) -> list[Scored]:
        """The chunks that answer a question best by their words, with BM25, among those whose documents meet some conditions.

        Best first; all that have any of the words for a negative count.
        """
        serving, stale, made = self._state(connection)
        if not serving:
            self._confirm_empty(connection)
            return []
        if self._asks_fts5(connection, serving, stale):
            with mending():
                return self._question(connection, query, terms, made).best(count)
        allowed = self._allowed(connection, terms) if terms else None
        return self._keywords().best(connection, query, self.texts, allowed=allowed, count=count, scan=serving == "fts5")

    def scores(self, connection: Connection, query: str, numbers: list[int]) -> list[Scored]:
        """What some chunks score for a question, those that have any of its words."""
        serving, stale, made = self._state(connection)
        if self._asks_fts5(connection, serving, stale):
            with mending():
                found = self._question(connection, query, (), made).scores(numbers)
        else:
            allowed, scan = set(numbers), serving == "fts5"
            found = self._keywords().best(connection, query, self.texts, allowed=allowed, count=-1, scan=scan)
        return [(number, score) for number, score in found if score > 0]

    def _asks_fts5(self, connection: Connection, serving: str, stale: int) -> bool:
        return serving == "fts5" and not stale and self._has_fts5(connection)

    def _question(self, connection: Connection, query: str, terms: Sequence[Term], made: int) -> fulltext.Question:
        kept = None if self.db.in_transaction else made  # what may be rolled back is not remembered
        return fulltext.Question(connection, query, terms, self._vocabulary, kept)

    def _confirm_empty(self, connection: Connection) -> None:
        """Raise where there is something to find and nothing says what finds it."""
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
                return []  # the keyword index compares what it has by itself, and a stale one is not asked
            return list(differences(connection, self.texts))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _has_fts5(self, connection: Connection) -> bool:
        if self._able is None:
            self._able = has_fts5(connection)
        return self._able

    def _state(self, connection: Connection) -> tuple[str, int, int]:
        """What serves the file, whether it is stale, and how often it was made; nothing before the first chunk."""
        found: tuple[str, int, int] | None = connection.row("SELECT kind, stale, made FROM chunk_index")
        return found or ("", 0, 0)

    def _serving(self, connection: Connection, coming: Container[int] = ()) -> str:
        """What to write to; nothing where it must be rebuilt first, or by somebody else. What is `coming` is not in it yet."""
        serving, stale, _ = self._state(connection)
        if not serving:
            serving = "fts5" if connection.cipher is None and self._has_fts5(connection) else "keywords"
            connection.run("INSERT INTO chunk_index(id, kind) VALUES (1, ?)", (serving,))
            if serving == "fts5":
                lost = fulltext.exists(connection)  # what said so, for the first chunk finds no index
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
        try:
            self.compact()
        except StoreError:
            return  # what has been committed stands, search is complete without it, and the next write tries again

    def _allowed(self, connection: Connection, terms: Sequence[Term]) -> set[int]:
        clause, params = joined(terms)
        rows = connection.rows(
            f"SELECT chunks.pk FROM documents CROSS JOIN chunks ON chunks.document = documents.pk WHERE {clause}", params
        )
        return {pk for (pk,) in rows}


@contextmanager
def mending() -> Iterator[None]:
    """Say of damage to the index how it is mended."""
    try:
        yield
    except (Corrupt, Invalid) as error:  # FTS5 takes some damage for a constraint that was broken
        raise Corrupt(f"the index of words of chunks is damaged ({error}); store.documents.rebuild() makes a new one") from error


def differences(connection: Connection, texts: ChunkTexts) -> Iterator[Finding]:
    """What the index has differently than the chunks say."""
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
