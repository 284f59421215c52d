"""Words of chunks in FTS5: a table without content of its own, filled from Python, and a search that common words do not slow.

1. It ranks as a plain FTS5 table with `ORDER BY bm25()` does. Such a table scores every text that has any of the words; here the
   rare ones choose the texts, the others only add to their scores, and a bound proves that nothing better was missed: a text
   without a rare word cannot have more than the common ones give together.
2. A text without scripts that know no spaces is indexed as it is. Runs of those are indexed character by character and pair by
   pair, so that a part of a run is found; a question asks for the pairs.
3. A text is taken out with the very text that it was put in with: FTS5 is told, it does not look.

The trap: within a transaction the table `_data` is behind until a cursor on the vocabulary makes FTS5 write what it holds back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel import Corrupt, bm25
from ..kernel.fulltext import FOLDING
from ..kernel.rows import AMONG, Term, joined, listed
from ..kernel.words import UNSPACED

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.bm25 import Scored

Text = tuple[int, str]  # the integer key of a chunk, and its content

LONGEST = 1 << 15  # bytes of a word that FTS5 indexes; what is longer is cut, and not asked for here
MOST_WORDS = 1000  # of a question that are looked at: nobody asks more, and each is looked up
SAMPLE = 5  # words of each text that are looked up by a check
SHARE = 32  # words choose as long as what they choose is no more than one text in so many
REMEMBERED = 10_000  # words of which it is remembered how many texts have them
FIRST = 128  # texts that may be read, best by the words that choose
WIDER = 2  # times as many are ranked first where something restricts the search: mostly it leaves out little
WORTH = 0.5  # of what it takes to rank by all words: how much may be spent on doing without
CLEAR = 0.3  # what the other words may add, of the worst score that counts, for the words that choose to tell texts well apart

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
    """Take all words out at once, which SQLite can do without FTS5 too."""
    for statement in (*WHOLE, *EMPTY):
        connection.run(statement)


def put(connection: Connection, texts: Iterable[Text]) -> None:
    """Index texts under their numbers."""
    rows = [(number, indexed(text)) for number, text in texts]
    connection.many("INSERT INTO chunk_index__words(rowid, content) VALUES (?, ?)", rows)


def take(connection: Connection, texts: Iterable[Text]) -> None:
    """Take texts out."""
    rows = [(number, indexed(text)) for number, text in texts]
    connection.many("INSERT INTO chunk_index__words(chunk_index__words, rowid, content) VALUES ('delete', ?, ?)", rows)


def flush(connection: Connection) -> None:
    """Have written now what FTS5 holds back until the commit, which could not say of damage what it is."""
    connection.value("SELECT 1 FROM chunk_index__terms LIMIT 1")


def merge(connection: Connection) -> None:
    """Leave of the index one part, in which no word is that no text has."""
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
    found = dict.fromkeys(word for word in spread.translate(FOLDING).split() if len(word) * 4 <= LONGEST)
    return list(found)[:MOST_WORDS]


# -- search -------------------------------------------------------------------------------------------------------------


class Vocabulary:
    """How many texts have a word, remembered as long as the index is as it was: FTS5 counts through all that have it.

    Threads share it without a lock: of one version they can only add what is so.
    """

    def __init__(self) -> None:
        self._known: tuple[object, dict[str, int]] = (None, {})

    def holders(self, connection: Connection, words: Sequence[str], version: object) -> dict[str, int]:
        """The words that texts have, with how many; nothing is remembered where there is no version."""
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
    """The words of one question in one snapshot, with how rare they are."""

    def __init__(self, connection: Connection, query: str, terms: Sequence[Term], vocabulary: Vocabulary, made: int | None) -> None:
        self.connection = connection
        self.clause, self.params = joined(terms) if terms else ("", [])
        before = None if made is None else _state(connection)
        self.holders = vocabulary.holders(connection, asked(query), None if before is None else (made, *before))
        self.words = list(self.holders)
        self.texts, self.length = _totals(before or _state(connection))
        if max(self.holders.values(), default=0) > min(self.texts, self.length):
            raise Corrupt("it has a word in more texts than there are")
        self.rarities = {word: bm25.rarity(self.texts, held) for word, held in self.holders.items()}
        self._read: dict[int, float] = {}  # scores of texts that have been read

    def best(self, count: int) -> list[Scored]:
        """The chunks that score highest, best first; all for a negative count."""
        if not self.words or count == 0:
            return []
        if count < 0 or self._held(self.words) <= self.texts // SHARE:
            return self._ranked(self.words, count)
        by_rarity = sorted(self.words, key=self.holders.__getitem__)
        chosen, spent, least = self._choosers(by_rarity, count), 0, 0.0
        size = max(FIRST, 4 * count)
        while chosen < len(by_rarity):
            rest = self._most(by_rarity[chosen:])
            if self._most(by_rarity[:chosen]) > rest:  # else no text has enough by these words
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
        return self._ranked(self.words, count)

    def _held(self, words: Sequence[str]) -> int:
        """How much FTS5 has to go through for some words."""
        return sum(self.holders[word] for word in words)

    def _choosers(self, by_rarity: Sequence[str], count: int) -> int:
        """How many of the rarest words choose the texts at first."""
        chosen = found = 0
        for word in by_rarity:
            if found >= count and found + self.holders[word] > self.texts // SHARE:
                break
            chosen, found = chosen + 1, found + self.holders[word]
        return chosen

    def _most(self, words: Sequence[str]) -> float:
        """What a text could score at most by some words."""
        return sum(bm25.MOST * self.rarities[word] for word in words)

    def _ranked(self, words: Sequence[str], count: int) -> list[Scored]:
        """What has any of some words, by their scores, as FTS5 computes them."""
        match = " OR ".join(f'"{word}"' for word in self.words if word in words)
        if not self.clause:
            return self._matching(match, count)
        if count > 0:
            found = self._matching(match, WIDER * count)
            heard = self._heard(found)
            if len(heard) >= count or len(found) < WIDER * count:
                return heard[:count]
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
        """What matches, by its scores, whosever it is."""
        return self.connection.rows(
            """
            SELECT rowid, -bm25(chunk_index__words) AS score
            FROM chunk_index__words WHERE chunk_index__words MATCH ? ORDER BY score DESC, rowid LIMIT ?
            """,
            (match, count),
        )

    def _heard(self, found: list[Scored]) -> list[Scored]:
        """Those of some chunks whose documents meet the conditions."""
        rows = self.connection.rows(
            f"""
            SELECT chunks.pk FROM chunks CROSS JOIN documents ON documents.pk = chunks.document
            WHERE chunks.pk {AMONG} AND {self.clause}
            """,
            (listed(number for number, _ in found), *self.params),
        )
        heard = {number for (number,) in rows}
        return [(number, score) for number, score in found if number in heard]

    def scores(self, numbers: list[int]) -> list[Scored]:
        """What some chunks score by all words of the question."""
        unread = [number for number in numbers if number not in self._read]
        rows = self.connection.rows(f"SELECT pk, content FROM chunks WHERE pk {AMONG}", (listed(unread),))
        average, weights = self.length / max(1, self.texts), list(self.rarities.values())
        for number, text in rows:
            said = tokens(text) if isinstance(text, str) else []  # of a damaged one says who reads the chunk
            sought = list(filter(self.rarities.__contains__, said))  # counting goes through all of a list, for each word
            self._read[number] = bm25.score(list(map(sought.count, self.words)), weights, len(said), average)
        return [(number, self._read[number]) for number in numbers if number in self._read]


def totals(connection: Connection) -> tuple[int, int]:
    """How many texts the index has, and how many words all of them."""
    return _totals(_state(connection))


def _totals(state: Sequence[bytes]) -> tuple[int, int]:
    texts, length, *_ = [*_varints(state[0]), 0, 0]
    return texts, length


def _state(connection: Connection) -> tuple[bytes, ...]:
    """What FTS5 keeps of the whole index: the totals, and a list of its parts, which every commit changes."""
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
    """Numbers as SQLite packs them: seven bits a byte, of a ninth byte all eight."""
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
    """How many words each text has, by its number."""
    return {number: next(_varints(size), 0) for number, size in connection.rows("SELECT id, sz FROM chunk_index__words_docsize")}


def counted(connection: Connection) -> int:
    """How many words all texts have, by the lists of who has them."""
    return int(connection.value("SELECT ifnull(sum(cnt), 0) FROM chunk_index__terms"))


def has(connection: Connection, number: int, words: Sequence[str]) -> bool:
    """Whether a text is found by its words; of a long one by the first of them."""
    some = " ".join(f'"{word}"' for word in dict.fromkeys(words[:SAMPLE]) if len(word) * 4 <= LONGEST)
    if not some:
        return True
    match = "SELECT 1 FROM chunk_index__words WHERE chunk_index__words MATCH ? AND rowid = ?"
    return connection.value(match, (some, number)) is not None
