"""The words of chunks in a contentless FTS5 table, filled from Python, and a search that common words do not slow down.

1. It ranks as `ORDER BY bm25()` on FTS5 does. That scores every text that has any of the words; here the rare words choose the texts,
   the others only add to their scores, and a bound proves that nothing better was missed: a text without a rare word cannot score
   more than all the common ones together.
2. Scripts that do not separate words by spaces are indexed by characters and pairs of them, so that a part of a run is found; a
   question asks for the pairs. All other text is indexed as it is.
3. A text is removed by the same text that was inserted: FTS5 takes it on trust.

The trap: within a transaction the table `_data` is behind until a cursor on the vocabulary makes FTS5 write what it holds back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..kernel import Corrupt, bm25
from ..kernel.fulltext import FOLDING
from ..kernel.rows import AMONG, Term, joined, listed
from ..kernel.words import UNSPACED

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.bm25 import Scored, Sought

Text = tuple[int, str]  # the integer key of a chunk, and its content

LONGEST = 1 << 15  # bytes of a word that FTS5 indexes; it cuts longer ones, which are not looked for here
MOST_TERMS = 1000  # terms of a question that are looked up
SAMPLE = 5  # words of each text that a check looks up
SHARE = 32  # rare words choose as long as no more than one text in so many has one of them
REMEMBERED = 10_000  # words whose counts are remembered
FIRST = 128  # texts, best by the rare words, that may be read
FORMS = 16  # times as many are ranked by single forms of words, of which those are chosen that score highest by whole words
WIDER = 2  # times as many are ranked first where conditions restrict the search: mostly they leave out little
WORTH = 0.5  # the share of the work of ranking by all words that may be spent on avoiding it
CLEAR = 0.3  # the share of the worst score that counts which the other words may add at most, for the rare ones to decide

# Names that begin with `chunk_index__` are the room's, and so are those that FTS5 makes of them.
CREATE = (
    "CREATE VIRTUAL TABLE chunk_index__words USING fts5(content, content = '')",
    "CREATE VIRTUAL TABLE chunk_index__terms USING fts5vocab(chunk_index__words, 'row')",
)
# FTS5 cannot even drop a table of which a part is gone.
WHOLE = (
    "CREATE TABLE IF NOT EXISTS chunk_index__words_data(id INTEGER PRIMARY KEY, block BLOB)",
    "CREATE TABLE IF NOT EXISTS chunk_index__words_idx(segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS chunk_index__words_docsize(id INTEGER PRIMARY KEY, sz BLOB)",
    "CREATE TABLE IF NOT EXISTS chunk_index__words_config(k PRIMARY KEY, v) WITHOUT ROWID",
    "INSERT OR REPLACE INTO chunk_index__words_config(k, v) VALUES ('version', 4)",
    "INSERT OR REPLACE INTO chunk_index__words_data(id, block) VALUES (1, x''), (10, x'00000000000000')",
)

EMPTY = (
    "DELETE FROM chunk_index__words_data WHERE id NOT IN (1, 10)",
    "DELETE FROM chunk_index__words_idx",
    "DELETE FROM chunk_index__words_docsize",
)


def create(connection: Connection) -> None:
    """Make the tables."""
    for statement in CREATE:
        connection.run(statement)


def exists(connection: Connection) -> bool:
    """Whether there is an index."""
    return connection.value("SELECT 1 FROM sqlite_schema WHERE name = 'chunk_index__words'") is not None


def drop(connection: Connection) -> None:
    """Take away what there is of the tables."""
    connection.run("DROP TABLE IF EXISTS chunk_index__terms")
    if exists(connection):
        for statement in WHOLE:
            connection.run(statement)
        connection.run("DROP TABLE chunk_index__words")


def empty(connection: Connection) -> None:
    """Remove all words, which SQLite can do without FTS5 too."""
    for statement in (*WHOLE, *EMPTY):
        connection.run(statement)


def put(connection: Connection, texts: Iterable[Text]) -> None:
    """Insert texts."""
    rows = [(number, indexed(text)) for number, text in texts]
    connection.many("INSERT INTO chunk_index__words(rowid, content) VALUES (?, ?)", rows)


def take(connection: Connection, texts: Iterable[Text]) -> None:
    """Remove texts."""
    rows = [(number, indexed(text)) for number, text in texts]
    connection.many("INSERT INTO chunk_index__words(chunk_index__words, rowid, content) VALUES ('delete', ?, ?)", rows)


def flush(connection: Connection) -> None:
    """Make FTS5 write what it would hold back until COMMIT, where an error could not say which table is damaged."""
    connection.value("SELECT 1 FROM chunk_index__terms LIMIT 1")


def merge(connection: Connection) -> None:
    """Merge the index into one segment, which drops words that no text has any more."""
    connection.run("INSERT INTO chunk_index__words(chunk_index__words) VALUES ('optimize')")


# -- words --------------------------------------------------------------------------------------------------------------


def indexed(text: str) -> str:
    """A text as FTS5 gets it."""
    return text if text.isascii() else UNSPACED.sub(_spread, text)


def _spread(run: Any) -> str:
    signs = run.group()
    return f" {' '.join([*signs, *_pairs(signs)])} "


def _pairs(signs: str) -> list[str]:
    return [signs[at : at + 2] for at in range(len(signs) - 1)]


def tokens(text: str) -> list[str]:
    """The words that a text is indexed by, in their order."""
    return indexed(text).translate(FOLDING).split()


def asked(query: str) -> list[str]:
    """The distinct words that a question asks for, in their order."""
    spread = query if query.isascii() else UNSPACED.sub(lambda run: f" {' '.join(_pairs(run.group()) or run.group())} ", query)
    return list(dict.fromkeys(word for word in spread.translate(FOLDING).split() if len(word) * 4 <= LONGEST))


# -- search -------------------------------------------------------------------------------------------------------------


class Vocabulary:
    """Remembers how many texts have a word while the index does not change: FTS5 walks through all of them to count.

    Threads share it without a lock: for one version, each can only add true counts.
    """

    def __init__(self) -> None:
        self._known: tuple[object, dict[str, int]] = (None, {})

    def holders(self, connection: Connection, words: Sequence[str], version: object) -> dict[str, int]:
        """How many texts have each of some words, those in none left out; without a version nothing is remembered."""
        remembered, known = self._known
        if version is None or remembered != version or len(known) > REMEMBERED:
            known = {}
        unknown = [word for word in words if word not in known]
        if unknown:
            sql = f"SELECT term, doc FROM chunk_index__terms WHERE term {AMONG}"
            found: dict[str, int] = dict(connection.rows(sql, (listed(unknown),)))
            known.update({word: found.get(word, 0) for word in unknown})
            if version is not None:
                self._known = version, known
        return {word: known[word] for word in words if known[word]}


class Question:
    """The words of one question in one snapshot.

    FTS5 scores each form of a term by itself; that adds up to no less than all count as one.
    """

    def __init__(self, connection: Connection, sought: Sought, terms: Sequence[Term], vocabulary: Vocabulary, made: int | None) -> None:
        self.connection = connection
        self.clause, self.params = joined(terms) if terms else ("", [])
        before = None if made is None else _state(connection)
        wanted = bm25.terms(sought, asked, MOST_TERMS)
        self.holders = vocabulary.holders(connection, list(chain.from_iterable(wanted)), None if before is None else (made, *before))
        self.words = list(self.holders)
        self.terms = [held for term in wanted if (held := [word for word in term if word in self.holders])]
        self.texts, self.length = _totals(before or _state(connection))
        if max(self.holders.values(), default=0) > min(self.texts, self.length):
            raise Corrupt("it has a word in more texts than there are")
        self._read: dict[int, float] = {}  # scores of texts that have been read

    @cached_property
    def _rarities(self) -> dict[str, float]:
        """By the first word of each term, for no two share one."""
        commonest = {term[0]: max([self.holders[word] for word in term]) for term in self.terms}
        return {first: bm25.rarity(self.texts, held) for first, held in commonest.items()}

    def best(self, count: int) -> list[Scored]:
        """The chunks that score highest, best first; all for a negative count."""
        if not self.words or count == 0:
            return []
        if count < 0 or self._held(self.terms) <= self.texts // SHARE:
            return self._by_all(count)
        by_rarity = sorted(self.terms, key=lambda term: self._held([term]))
        chosen, spent, least = self._choosers(by_rarity, count), 0, 0.0
        size = max(FIRST, 4 * count)
        while chosen < len(by_rarity):
            rest = self._most(by_rarity[chosen:])
            if self._most(by_rarity[:chosen]) > rest:  # else no text can score enough by the rare words
                spent += self._held(by_rarity[:chosen])
                if spent > self._held(by_rarity) * WORTH:
                    break
                ranked = self._ranked(by_rarity[:chosen], size)
                least = ranked[count - 1][1] if len(ranked) >= count else 0.0  # other words can only add to it
                if least > rest:
                    best = bm25.best([(number, score + rest) for number, score in ranked], self.scores, count)
                    least = best[-1][1] if len(best) == count else 0.0
                    if least > rest and (len(ranked) < size or least > rest + ranked[-1][1]):
                        return best
            chosen += 1
            while chosen < len(by_rarity) and 0 < least * CLEAR < self._most(by_rarity[chosen:]):
                chosen += 1
        return self._by_all(count)

    def _by_all(self, count: int) -> list[Scored]:
        """The chunks that score highest by all terms; where words have forms, chosen among those that do by single forms."""
        if len(self.terms) == len(self.words):
            return self._ranked(self.terms, count)
        return bm25.best(self._ranked(self.terms, FORMS * count), self.scores, count)

    def _held(self, terms: Sequence[Sequence[str]]) -> int:
        """How many entries FTS5 has to read for some terms."""
        return sum([self.holders[word] for term in terms for word in term])

    def _choosers(self, by_rarity: Sequence[Sequence[str]], count: int) -> int:
        """How many of the rarest terms choose texts in the first attempt."""
        chosen = found = 0
        for term in by_rarity:
            held = self._held([term])
            if found >= count and found + held > self.texts // SHARE:
                break
            chosen, found = chosen + 1, found + held
        return chosen

    def _most(self, terms: Sequence[Sequence[str]]) -> float:
        """The highest score that a text could get from some terms."""
        return sum([bm25.MOST * self._rarities[term[0]] for term in terms])

    def _ranked(self, terms: Sequence[Sequence[str]], count: int) -> list[Scored]:
        """The texts that have any of some terms and meet the conditions, with scores by these, form by form, from FTS5."""
        words = set(chain.from_iterable(terms))
        match = " OR ".join(f'"{word}"' for word in self.words if word in words)
        if not self.clause:
            return self._matching(match, count)
        if count > 0:
            found = self._matching(match, WIDER * count)
            allowed = self._allowed(found)
            if len(allowed) >= count or len(found) < WIDER * count:
                return allowed[:count]
        return self.connection.rows(
            f"""
            SELECT chunk_index__words.rowid, -bm25(chunk_index__words) AS score
            FROM chunk_index__words CROSS JOIN chunks ON chunks.pk = chunk_index__words.rowid
                CROSS JOIN documents ON documents.pk = chunks.document
            WHERE chunk_index__words MATCH ? AND {self.clause} ORDER BY score DESC, chunk_index__words.rowid LIMIT ?
            """,
            (match, *self.params, count),
        )

    def _matching(self, match: str, count: int) -> list[Scored]:
        """The texts that match, with their scores, without regard to the conditions."""
        return self.connection.rows(
            """
            SELECT rowid, -bm25(chunk_index__words) AS score
            FROM chunk_index__words WHERE chunk_index__words MATCH ? ORDER BY score DESC, rowid LIMIT ?
            """,
            (match, count),
        )

    def _allowed(self, found: list[Scored]) -> list[Scored]:
        """Those of some texts whose documents meet the conditions."""
        rows = self.connection.rows(
            f"""
            SELECT chunks.pk FROM chunks CROSS JOIN documents ON documents.pk = chunks.document
            WHERE chunks.pk {AMONG} AND {self.clause}
            """,
            (listed(number for number, _ in found), *self.params),
        )
        allowed = {number for (number,) in rows}
        return [(number, score) for number, score in found if number in allowed]

    def scores(self, numbers: list[int]) -> list[Scored]:
        """The scores of some texts by all terms."""
        unread = [number for number in numbers if number not in self._read]
        rows = self.connection.rows(f"SELECT pk, content FROM chunks WHERE pk {AMONG}", (listed(unread),))
        average, weights = self.length / max(1, self.texts), list(self._rarities.values())
        for number, text in rows:
            said = tokens(text) if isinstance(text, str) else []  # damage is reported by whoever reads the chunk
            sought = list(filter(self.holders.__contains__, said))  # counting goes through all of a list, for each word
            counts = [sum(map(sought.count, term)) for term in self.terms]
            self._read[number] = bm25.score(counts, weights, len(said), average)
        return [(number, self._read[number]) for number in numbers if number in self._read]


def totals(connection: Connection) -> tuple[int, int]:
    """How many texts the index has, and how many words all of them."""
    return _totals(_state(connection))


def _totals(state: Sequence[bytes]) -> tuple[int, int]:
    texts, length, *_ = [*_varints(state[0]), 0, 0]
    return texts, length


def _state(connection: Connection) -> tuple[bytes, ...]:
    """The totals that FTS5 keeps, and its list of segments, which changes with every commit."""
    blocks = connection.rows(
        """
        SELECT totals.block, parts.block FROM chunk_index__words_data AS totals, chunk_index__words_data AS parts
        WHERE totals.id = 1 AND parts.id = 10
        """
    )
    if not blocks or not all(isinstance(block, bytes) for block in blocks[0]):
        raise Corrupt("its totals are gone")
    return blocks[0]


def _varints(block: bytes) -> Iterator[int]:
    """The numbers in SQLite's packed form: seven bits in each byte, in a ninth byte all eight."""
    value = length = 0
    for byte in block:
        length += 1
        last = length == 9
        value = value << 8 | byte if last else value << 7 | byte & 0x7F
        if last or byte < 0x80:
            yield value
            value = length = 0


# -- what check() compares ----------------------------------------------------------------------------------------------


def sizes(connection: Connection) -> dict[int, int]:
    """How many words each text has, by number."""
    return {number: next(_varints(size), 0) for number, size in connection.rows("SELECT id, sz FROM chunk_index__words_docsize")}


def counted(connection: Connection) -> int:
    """How many words all texts have together, by the vocabulary."""
    return int(connection.value("SELECT ifnull(sum(cnt), 0) FROM chunk_index__terms"))


def has(connection: Connection, number: int, words: Sequence[str]) -> bool:
    """Whether a text is found by its first words."""
    some = " ".join(f'"{word}"' for word in dict.fromkeys(words[:SAMPLE]) if len(word) * 4 <= LONGEST)
    if not some:
        return True
    match = "SELECT 1 FROM chunk_index__words WHERE chunk_index__words MATCH ? AND rowid = ?"
    return connection.value(match, (some, number)) is not None
