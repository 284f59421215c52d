"""What an entity is called, and which names are like one another.

1. Every name that an entity has or ever had is in `entity_names` by its key, so that a look-up is one step whatever the time that
   is asked about; whether it bore the name then, its state says.
2. For names that are merely alike, `entity_words` has their words, also with any one letter left out: two words that differ in a
   letter more, less, other or swapped share one of those. It holds no piece shorter than a word less a letter, which encrypted
   would give a name away by how often each piece occurs.
3. Another number is another thing: "pump 12" is never taken for "pump 13", however alike they look.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from ..kernel.words import key_of, tagged, words
from .graph_tables import Entity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..kernel import Cipher, Connection

ALIKE = 0.75  # of difflib's ratio: below it two names are two names
NOT = 2  # a rank
COMMON = 2000  # entities that share a piece of a word: it tells them apart no more
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")
_LONG = 24  # letters: longer words, and those beyond the first _MANY, are found whole only
_MANY = 16
_COMPARED = 200  # letters of a name
_PAGE = 5000
_POSTED = """
SELECT value, (SELECT count(*) FROM (SELECT 1 FROM entity_words WHERE word = asked.value LIMIT ?))
FROM json_each(?) AS asked ORDER BY value
"""
_HAVING = """
SELECT one.entity, ? FROM entity_words AS one
WHERE one.word = ? AND NOT EXISTS (
    SELECT 1 FROM json_each(?) AS asked
    WHERE NOT EXISTS (SELECT 1 FROM entity_words AS other WHERE other.word = asked.value AND other.entity = one.entity)
)
ORDER BY one.entity DESC LIMIT ? OFFSET ?
"""
_SHARING = """
SELECT one.entity, count(*) + (
    SELECT count(*) FROM json_each(?) AS asked CROSS JOIN entity_words AS other ON other.word = asked.value AND other.entity = one.entity
) AS shared
FROM entity_words AS one WHERE one.word IN (SELECT value FROM json_each(?))
GROUP BY one.entity ORDER BY shared DESC, one.entity DESC LIMIT ? OFFSET ?
"""


def texts(entity: Entity) -> list[str]:
    """All by which an entity is found, the canonical name first, external ids last."""
    return [entity.canonical_name, *entity.aliases, *(str(value) for value in entity.external_ids.values() if _scalar(value))]


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def name_keys(entity: Entity, cipher: Cipher | None) -> set[str]:
    """What `entity_names` has of an entity."""
    return {key_of(text, cipher) for text in texts(entity)} - {""}


def word_keys(found: Iterable[str], cipher: Cipher | None) -> set[str]:
    """What `entity_words` has of some names, or is asked for them."""
    pieces: set[str] = set()
    for name in found:
        whole = _whole(name)
        pieces.update(whole)
        for word in [word for word in whole if 4 <= len(word) <= _LONG][:_MANY]:
            pieces.update(word[:place] + word[place + 1 :] for place in range(len(word)))
    return set(tagged(pieces, cipher))


def _whole(name: str) -> list[str]:
    return sorted({*_WORD.findall(_folded(name)), *words(name)})


def post(connection: Connection, pk: int, entity: Entity) -> None:
    """Write by what an entity is found; what it was called before stays."""
    names = [(key, pk) for key in sorted(name_keys(entity, connection.cipher))]
    connection.many("INSERT OR IGNORE INTO entity_names(name_key, entity) VALUES (?, ?)", names)
    pieces = [(word, pk) for word in sorted(word_keys([entity.canonical_name, *entity.aliases], connection.cipher))]
    connection.many("INSERT OR IGNORE INTO entity_words(word, entity) VALUES (?, ?)", pieces)


def sharing(connection: Connection, name: str) -> Iterator[dict[int, int]]:
    """Keys of the entities that share pieces of words with a name, and how many each; the most first, page by page.

    What shares none but common pieces is met only where the name has no others.
    """
    cipher = connection.cipher
    asked = json.dumps(sorted(word_keys([name], cipher)))
    posted = {word: count for word, count in connection.rows(_POSTED, (COMMON, asked)) if count}
    common = [word for word, count in posted.items() if count == COMMON]
    rare = [word for word in posted if word not in common]
    known = [] if rare else [word for word in _whole(name) if tagged([word], cipher)[0] in posted]
    if known and posted.keys() <= word_keys(known, cipher):  # none shares more than what has all these words
        yield from _paged(connection, _HAVING, (len(posted), *tagged(known[:1], cipher), json.dumps(tagged(known[1:], cipher))))
    yield from _paged(connection, _SHARING, (json.dumps(common if rare else []), json.dumps(rare or common)))


def _paged(connection: Connection, sql: str, params: Sequence[Any]) -> Iterator[dict[int, int]]:
    place, page, found = 0, 0, dict[int, int]()
    while len(found) == page:
        place, page = place + page, 10 * page or _PAGE  # each page is counted anew
        found = dict(connection.rows(sql, (*params, page, place)))
        yield found


def telling(connection: Connection, text: str) -> str:
    """Words of a text as they are looked up in `entity_words`, without those that tell nothing apart."""
    posted = connection.rows(_POSTED, (COMMON, json.dumps(tagged(words(text), connection.cipher))))
    return json.dumps([word for word, count in posted if count < COMMON])


def named(said: set[str], entity: Entity) -> tuple[float, int]:
    """The share of an entity's name that is among some words, and how many words that are: of the name of which most is."""
    found = [(len(own & said) / len(own), len(own & said)) for own in map(words, (entity.canonical_name, *entity.aliases)) if own]
    return max(found, default=(0.0, 0))


def rank(entity: Entity, key: str, cipher: Cipher | None) -> int:
    """0 where an entity is called so, 1 where an alias or external id of it is, NOT where it was called so at another time."""
    keys = [key_of(text, cipher) for text in texts(entity)]
    return min(keys.index(key), 1) if key in keys else NOT


def most_alike(name: str, candidates: list[Entity]) -> Entity | None:
    """The candidate that is most like a name, the first of equals; None where none is like it at all."""
    liked = [likeness(name, item) for item in candidates]
    return candidates[liked.index(max(liked))] if max(liked, default=0.0) >= ALIKE else None


def likeness(name: str, entity: Entity) -> float:
    """How much like a name the most alike name of an entity is, in any order of its words; 0 where the numbers differ."""
    return max(_ratio(_folded(name), _folded(other)) for other in (entity.canonical_name, *entity.aliases))


def _ratio(one: str, other: str) -> float:
    if sorted(_NUMBER.findall(one)) != sorted(_NUMBER.findall(other)):
        return 0.0
    sides = [(one, other), (_sorted(one), _sorted(other))]
    return max(difflib.SequenceMatcher(None, *side, autojunk=False).ratio() for side in sides)


def _sorted(name: str) -> str:
    return " ".join(sorted(_WORD.findall(name)))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name[:_COMPARED]).casefold()
