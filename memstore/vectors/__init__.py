"""Vectors: the one place for embeddings of chunks, memories and anything else with an id, and for finding the nearest ones.

1. An item is (kind, id) and has one vector; adding another replaces it. To which user or project it belongs only its own room knows.
2. A vector is kept as float32, exactly as given. All vectors of a model have the same number of dimensions.
3. Only vectors of one model are compared: a search that meets others raises ModelMismatch, also half-way through a `reembed`.
4. The table is the truth; memory caches codes of committed rows, about two bits for each number (memory.py, planes.py). Codes choose
   candidates; scores are always computed from the vectors themselves (nearest.py).
5. Vectors give texts away. An encrypted store takes only those of models that `allow` has named.

The trap: a key may be handed out again after a rollback, so nothing read inside an open transaction may stay in memory.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..kernel import Corrupt, Finding, Invalid, ModelMismatch, NotFound, NotSupported, Prunable, Recorder, Room, values
from ..kernel.embedding import embedded
from ..kernel.rows import AMONG, filters, joined, listed
from .floats import WIDTH, Query, dimensions, norm, packed, unpacked
from .memory import LAST, WORTH, Memory, Space
from .nearest import Search
from .tables import PERMITS, SCHEMA, Reembedded, Vector, VectorHit, VectorModel, VectorPermit, VectorStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ..kernel import Connection
    from ..kernel.embedding import Fn
    from ..kernel.subject import Subject

    TextOf = Callable[[str, Sequence[str]], dict[str, str]]  # the texts of items of a kind, by id, those without one left out
    Counted = tuple[str, str, int, int]  # model, kind, dims, vectors

__all__ = ["SCHEMA", "Reembedded", "Vector", "VectorHit", "VectorIndex", "VectorModel", "VectorPermit", "VectorStats"]

MISCOUNTED = "the counts of vectors are damaged: store.vectors.rebuild() makes them new"


class VectorIndex:
    """Finds the items whose vectors are nearest.

    >>> from memstore import open_store
    >>> with open_store(":memory:") as store:
    ...     added = store.vectors.add([("n1", [1.0, 0.0]), ("n2", [0.6, 0.8])], model="toy", kind="note")
    ...     [(hit.id, round(hit.score, 3)) for hit in store.vectors.nearest([2.0, 0.0], model="toy")]
    [('n1', 1.0), ('n2', 0.6)]
    """

    def __init__(self, db: Room, audit: Recorder, text_of: TextOf) -> None:
        self.db = db
        self._audit = audit
        self._text_of = text_of
        self._memory = Memory()

    # -- write ------------------------------------------------------------------------------------------------------

    def add(
        self, items: Iterable[tuple[str, Any]], *, model: str, kind: str = "chunk", created_at: float | datetime | None = None
    ) -> int:
        """Store the vectors of some items, all or none, in place of those they have, and return how many items these are.

        A vector is a sequence of numbers, or an array of float32 or float64 with a buffer, such as numpy's; bytes are refused, since
        they do not tell what they hold. Where an item comes twice, its last vector counts. Kind "chunk" is for chunks of documents:
        `documents.reembed` removes what else has it, so ids of your own want a kind of their own.
        """
        model, kind = values.key("model", model), values.key("kind", kind)
        moment = values.optional(values.moment, "created_at", created_at)
        vectors = _vectors(items)
        dims = {len(vector) // WIDTH for vector in vectors.values()}
        if len(dims) > 1:
            raise Invalid(f"items hold vectors of {min(dims):,} and of {max(dims):,} dimensions; those of one model have the same number")
        if vectors:
            self._put(vectors, model, kind, dims.pop(), moment)
        return len(vectors)

    def _put(self, vectors: dict[str, bytes], model: str, kind: str, dims: int, moment: float | None) -> None:
        rows = [(id, norm(vector), vector) for id, vector in vectors.items()]
        with self.db.write() as connection:
            self._refuse_forbidden(model)
            self.discard(connection, kind, vectors)
            _refuse_other_dims(connection, model, dims)
            now = self.db.now if moment is None else moment
            connection.many(
                "INSERT INTO vectors(id, kind, model, dims, created_at, norm, vector) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(id, kind, model, dims, now, length, vector) for id, length, vector in rows],
            )
            _recount(connection, [(model, kind, dims, len(rows))])

    # -- read -------------------------------------------------------------------------------------------------------

    def get(self, id: str, *, kind: str = "chunk") -> Vector:
        """Return the vector of an item."""
        id, kind = values.key("id", id), values.key("kind", kind)
        select = "SELECT id, kind, model, dims, created_at, norm, vector FROM vectors WHERE id = ? AND kind = ?"
        row = self.db.row(select, (id, kind))
        if row is None:
            raise NotFound(f"{values.shorten(id)} of kind {values.shorten(kind)} has no vector; models() says what is here")
        id, kind, model, dims, created_at, length, vector = row
        if type(vector) is not bytes or len(vector) != WIDTH * dims:
            raise Corrupt(f"the vector of {values.shorten(id)} ({values.shorten(kind)}) is damaged; check() lists what else is")
        return Vector(id, kind, model, dims, created_at, length, list(unpacked(vector)))

    @staticmethod
    def packed(name: str, vector: Any) -> bytes:
        """A vector as it is stored, or Invalid that names it; the file is not read."""
        return packed(name, vector)

    @staticmethod
    def dimensions(name: str, vector: Any) -> int:
        """How many dimensions a vector has, 0 if it is zero in all; what is no vector raises Invalid that names it."""
        return dimensions(name, vector)

    def nearest(
        self,
        vector: Any,
        *,
        model: str,
        kind: str | None = None,
        only: Iterable[str] | None = None,
        limit: int | None = 10,
        exact: bool = False,
    ) -> list[VectorHit]:
        """Return the items whose vectors have the highest cosine to a vector, best first, equal ones by id and kind.

        Among many vectors one in a hundred of the best may be missed, more where few numbers decide, as in vectors that are mostly 0;
        `exact` compares all of them.
        `only` restricts the search to some ids. Raises ModelMismatch where what is searched holds vectors of another model.
        """
        query, model = Query(packed("vector", vector)), values.key("model", model)
        kind, exact = values.optional(values.key, "kind", kind), values.flag("exact", exact)
        ids = None if only is None else list(dict.fromkeys(values.strings("only", only)))
        count = values.limit(limit)
        found: list[tuple[float, str, str]] = []
        with self.db.read(snapshot=True) as connection:
            spaces = self._spaces(connection, query, model, kind, ids)
            for space in spaces if count else ():
                hits = self._nearest(space, query, ids, LAST if count < 0 else count, exact)
                found += [(score, id, space.kind) for score, id in hits]
        best = sorted(found) if count < 0 else heapq.nsmallest(count, found)
        return [VectorHit(id, -score, kind) for score, id, kind in best]

    def _nearest(self, space: Space, query: Query, ids: list[str] | None, most: int, exact: bool) -> list[tuple[float, str]]:
        if most == 0:
            return []
        search = Search(space, query, most)
        keys = None if ids is None else space.keys(ids)
        known = None if exact or most * 4 > space.vectors else self._memory.of(space, self._may_keep(space))
        if keys is not None and (known is None or len(keys) < WORTH):
            search.exactly(space.chosen(keys))
        elif known is None:
            search.exactly(space.all())
        else:
            search.among(known, None if keys is None else set(keys))
            if search.gone and self._may_keep(space):
                self._memory.strike(space, known, search.gone)
        return search.hits[:most]

    def _may_keep(self, space: Space) -> bool:
        """Whether memory may keep what is read: only committed rows, and not the empty tables of a read-only store without the room."""
        return not self.db.in_transaction and "vectors" not in space.connection.shadows

    def _spaces(self, connection: Connection, query: Query, model: str, kind: str | None, ids: list[str] | None) -> list[Space]:
        """The vectors to search, by kind; ModelMismatch unless all are of one model."""
        dims = len(query.numbers)
        rows = [row for row in _counts(connection) if kind in (None, row[1])]
        if any(row[0] != model or row[2] != dims for row in rows):
            _refuse_mixed(rows if ids is None else _counts_among(connection, kind, ids), model, dims)
        uncounted = "SELECT 1 FROM vectors WHERE model = ? AND (? IS NULL OR kind = ?) LIMIT 1"
        if not rows and connection.value(uncounted, (model, kind, kind)) is not None:
            raise Corrupt(MISCOUNTED)
        return [Space(connection, *row) for row in rows if row[0] == model]

    def count(self, *, model: str | None = None, kind: str | None = None) -> int:
        """Count vectors, of a model and of a kind if given."""
        model, kind = values.optional(values.key, "model", model), values.optional(values.key, "kind", kind)
        clause, params = joined(filters(("model = ?", model), ("kind = ?", kind)))
        return int(self.db.value(f"SELECT coalesce(sum(vectors), 0) FROM vector_spaces WHERE {clause}", params))

    def models(self) -> list[VectorModel]:
        """Return the models that have vectors here, by name."""
        found: dict[str, VectorModel] = {}
        for model, kind, dims, vectors in _counts(self.db):
            before = found.get(model)
            total, kinds = (before.vectors, before.kinds) if before is not None else (0, {})
            found[model] = VectorModel(model, dims, total + vectors, {**kinds, kind: vectors})
        return list(found.values())

    def lacking(self, ids: Sequence[str], *, model: str, kind: str = "chunk") -> list[str]:
        """Return the ids of those of some items that have no vector of a model, in the same order."""
        model, kind = values.key("model", model), values.key("kind", kind)
        wanted = values.strings("ids", ids)
        having = f"SELECT id FROM vectors WHERE id {AMONG} AND kind = ? AND model = ?"
        found = {id for (id,) in self.db.rows(having, (listed(wanted), kind, model))}
        return [id for id in wanted if id not in found]

    def permits(self, model: str) -> bool:
        """Return whether vectors of a model may be stored, for which an encrypted store needs `allow`."""
        model = values.key("model", model)
        return self.db.cipher is None or self.db.value("SELECT 1 FROM vector_permits WHERE model = ?", (model,)) is not None

    def stats(self) -> VectorStats:
        """Return how many vectors there are, and what this process keeps of them in memory, from the first `nearest` on."""
        known = list(self._memory.known.values())
        blocks = [block for each in known for block in each.blocks]
        return VectorStats(self.count(), sum([each.living for each in known]), len(blocks), sum([block.size for block in blocks]))

    # -- change -----------------------------------------------------------------------------------------------------

    def allow(self, model: str, *, actor: str = "", note: str = "") -> None:
        """Let vectors of a model be stored unencrypted in this encrypted store; they tell which texts are alike."""
        model = values.key("model", model)
        with self.db.write() as connection:
            if PERMITS.first(connection, "WHERE model = ?", (model,)) is None:
                PERMITS.insert(connection, VectorPermit(model, self.db.now))
                self._audit("vectors.allow", entity_kind="vectors", entity_id=model, after={"model": model}, actor=actor, note=note)

    def reembed(self, fn: Fn, *, model: str, kind: str | None = None, batch: int = 64) -> Reembedded:
        """Replace the vectors of other models by vectors of this one, which `fn` makes from texts, `batch` at a time.

        Each batch is a transaction of its own, so an interrupted call is finished by calling it again; until then `nearest` raises
        ModelMismatch. An item without a text keeps its vector and is named in `left`: `remove` it, or `add` another. Items whose text is
        blank, or of which `fn` makes only zeros, lose their vectors. `documents.reembed` also gives chunks one that have none.
        """
        if not callable(fn):
            raise Invalid(f"fn must be a function from a list of texts to a list of vectors, not {values.shorten(fn)}")
        model, kind = values.key("model", model), values.optional(values.key, "kind", kind)
        batch = values.integer("batch", batch, low=1)
        with self.db.read():
            self._refuse_forbidden(model)
        done, left, last = 0, list[tuple[str, str]](), 0
        end = self.db.value("SELECT coalesce(max(pk), 0) FROM vectors")  # rows that are added meanwhile must not keep this going for ever
        other = "SELECT pk, kind, id FROM vectors WHERE pk > ? AND pk <= ? AND model <> ? AND (? IS NULL OR kind = ?) ORDER BY pk LIMIT ?"
        while rows := self.db.rows(other, (last, end, model, kind, kind, batch)):
            for each in dict.fromkeys(kind for _, kind, _ in rows):
                items = {id: pk for pk, whose, id in rows if whose == each}
                texts = self._text_of(each, list(items))
                left += [(each, id) for id in items if id not in texts]
                done += self._replace(each, items, texts, model, fn)
            last = values.onward(last, rows[-1][0])
        return Reembedded(done, left)

    def _replace(self, kind: str, keys: dict[str, int], texts: dict[str, str], model: str, fn: Fn) -> int:
        """Embed texts, and replace the vectors of items that still have the same one; return how many were replaced."""
        said = {id: text for id, text in texts.items() if text.strip()}
        made = dict(zip(said, embedded(fn, list(said.values()))))
        made = {id: vector for id, vector in made.items() if dimensions(f"the vector of {kind} {values.shorten(id)}", vector)}
        with self.db.write() as connection:
            there = connection.rows(f"SELECT pk FROM vectors WHERE pk {AMONG}", (listed(keys[id] for id in texts),))
            still = {pk for (pk,) in there}
            ids = [id for id in texts if keys[id] in still]
            self.discard(connection, kind, [id for id in ids if id not in made])
            return self.add([(id, made[id]) for id in ids if id in made], model=model, kind=kind)

    # -- remove -----------------------------------------------------------------------------------------------------

    def remove(self, id: str, *, kind: str = "chunk", actor: str = "", note: str = "") -> bool:
        """Remove the vector of an item, and return whether it had one."""
        id, kind = values.key("id", id), values.key("kind", kind)
        with self.db.write() as connection:
            row = connection.row("SELECT model, dims FROM vectors WHERE id = ? AND kind = ?", (id, kind))
            if row is not None:
                self.discard(connection, kind, [id])
                before = {"kind": kind, "model": row[0], "dims": row[1]}
                self._audit("vector.remove", entity_kind="vector", entity_id=id, before=before, actor=actor, note=note)
        return row is not None

    def discard(self, connection: Connection, kind: str, ids: Iterable[str]) -> int:
        """Remove the vectors of items, in the transaction that removes the items."""
        if not self.db.present("vectors"):
            return 0
        return _taken_out(connection, [(kind, id) for id in ids])

    def erase(self, connection: Connection, subject: Subject) -> None:
        """Remove the vectors of what other rooms have removed, for `Store.erase`."""
        subject.count("vectors", _taken_out(connection, subject.gone))

    @property
    def prunable(self) -> list[Prunable]:
        """What `Store.prune` may remove: nothing, since vectors go with their items."""
        return []

    # -- check ------------------------------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Make the counts anew from the vectors, in one transaction."""
        from .derived import recount

        with self.db.write() as connection:
            mixed = recount(connection)
            if mixed:
                raise Corrupt(f"there are vectors of {mixed}; check() lists what is damaged")

    def check(self) -> list[Finding]:
        """Recompute lengths and counts, and compare memory with the table."""
        from .derived import differences

        with self.db.read(snapshot=True) as connection:
            return list(differences(connection, self._memory, self._text_of))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _refuse_forbidden(self, model: str) -> None:
        if not self.permits(model):
            way = f"store.vectors.allow({values.shorten(model)}) lets those of this model in"
            raise NotSupported(f"vectors give texts away, and this store is encrypted; {way}")


def _vectors(items: Any) -> dict[str, bytes]:
    """Vectors by id, ready to store."""
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise Invalid(f"items must be pairs of an id and a vector, not {type(items).__name__} {values.shorten(items)}")
    found: dict[str, bytes] = {}
    for place, pair in enumerate(items):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise Invalid(f"items[{place}] must be a pair of an id and a vector, not {values.shorten(pair)}")
        found[values.key(f"items[{place}][0]", pair[0])] = packed(f"items[{place}][1]", pair[1])
    return found


def _counts(reader: Room | Connection) -> list[Counted]:
    """How many vectors there are of each model and kind."""
    rows = reader.rows("SELECT model, kind, dims, vectors FROM vector_spaces ORDER BY model, kind")
    if any(list(map(type, row)) != [str, str, int, int] for row in rows):
        raise Corrupt(MISCOUNTED)
    return rows


def _recount(connection: Connection, changes: Iterable[Counted]) -> None:
    """Add to the counts what was stored, or with a minus removed."""
    connection.many(
        """
        INSERT INTO vector_spaces(model, kind, dims, vectors) VALUES (?, ?, ?, ?)
        ON CONFLICT (model, kind) DO UPDATE SET vectors = vectors + excluded.vectors, dims = excluded.dims
        """,
        changes,
    )
    connection.run("DELETE FROM vector_spaces WHERE vectors = 0")


GONE = """
    SELECT item.pk, item.model, item.kind, item.dims
    FROM json_each(?) AS gone CROSS JOIN vectors AS item
        ON item.id = json_extract(gone.value, '$[1]') AND item.kind = json_extract(gone.value, '$[0]')
"""


def _taken_out(connection: Connection, items: Sequence[tuple[str, str]]) -> int:
    """Delete the vectors of items, each a kind and an id, and return how many there were."""
    rows = {pk: space for pk, *space in connection.rows(GONE, (listed(items),))}
    if rows:
        connection.many("DELETE FROM vectors WHERE pk = ?", [(pk,) for pk in rows])
        _recount(connection, [(*space, -many) for space, many in Counter(map(tuple, rows.values())).items()])
    return len(rows)


def _refuse_other_dims(connection: Connection, model: str, dims: int) -> None:
    here = next((row[2] for row in _counts(connection) if row[0] == model and row[2] != dims), None)
    if here is not None:
        shown = values.shorten(model)
        raise ModelMismatch(f"vectors of {shown} have {here:,} dimensions here, and not {dims:,}; give those of another model its own name")


def _counts_among(connection: Connection, kind: str | None, ids: list[str]) -> list[Counted]:
    """How many vectors some items have of each model and kind."""
    clause, params = joined([(f"id {AMONG}", listed(ids)), *filters(("kind = ?", kind))])
    return connection.rows(f"SELECT model, kind, dims, count(*) FROM vectors WHERE {clause} GROUP BY model, kind, dims", params)


def _refuse_mixed(rows: Sequence[Counted], model: str, dims: int) -> None:
    other = [row for row in rows if row[0] != model or row[2] != dims]
    if not other:
        return
    shown = ((vectors, values.shorten(name), size, values.shorten(kind)) for name, kind, size, vectors in other[:3])
    here = ", ".join(f"{vectors:,} of {name} ({size:,} dimensions, kind {kind})" for vectors, name, size, kind in shown)
    own = sum(row[3] for row in rows if row[0] == model and row[2] == dims)
    asked = f"{values.shorten(model)} ({dims:,} dimensions), which has {own:,} vectors here"
    way = f"reembed(fn, model={values.shorten(model)}) makes all of one model"
    if any(row[0] == model for row in other):
        way = "give a model whose dimensions have changed another name, and reembed with that"
    found = f"asked with a vector of {asked}, of what is looked through there are {here}"
    raise ModelMismatch(found, f"{way}, kind= and only= look through less")
