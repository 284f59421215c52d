"""Search: words by BM25, meaning by vectors, and both as one list.

1. What restricts a search, and what is hidden, is left out before anything is ranked or cut: a search that is narrowed still fills
   its limit.
2. Both sides are brought between 0 and 1: BM25 is divided by that of the best match, the cosine is as it is. What one side has found
   is asked of the other too, and counts 0 there only where it has none of the words, or no vector.
3. Where there is nothing to compare vectors with, or they are of another model, the words decide alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ..kernel import Corrupt, Invalid, ModelMismatch, values
from ..kernel.embedding import embedded
from ..kernel.excerpts import densest
from ..kernel.rows import AMONG, Term, joined, listed
from ..kernel.words import words
from .embedding import Embedding
from .filters import Filters, asked, checked
from .selection import heard, wanted
from .tables import CHUNKS, DOCUMENTS, ChunkHit
from .texts import ChunkTexts

if TYPE_CHECKING:
    from ..kernel import Connection

Fusion = Literal["weighted", "rrf"]
FUSIONS: tuple[str, ...] = get_args(Fusion)
MANY = 1 << 40  # chunks that no store has; a multiple of so many is still a number to SQLite
POOL = 50  # chunks that each side finds at least, so that how many are asked for does not decide which come first
FURTHER = 4  # times as many near ones are looked at, where some of them may not be heard of
RANK = 60  # of reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009): how little the first ranks tower over the next
LOOK_AT = 100_000  # characters of a question that are looked at

Scores = dict[str, float]  # of chunks, by id


class QueryVector(NamedTuple):
    """What is compared with the vectors of chunks."""

    numbers: Any
    model: str


class Search(Embedding):
    """The part of the documents room that finds."""

    _told_mismatch = False

    @property
    def texts(self) -> ChunkTexts:
        """The chunks as the keyword index reads them."""
        return self._index.texts

    def search(
        self,
        query: str,
        *,
        embedding: Any = None,
        model: str | None = None,
        keywords: str | None = None,
        limit: int | None = 10,
        project: str | None = None,
        conversation_id: str | None = None,
        user_id: str | None = None,
        filters: Filters | None = None,
        lexical_weight: float = 0.3,
        fusion: Fusion = "weighted",
    ) -> list[ChunkHit]:
        """Find chunks by the words of a question and by its vector, best first; any text that can be stored is a legal question.

        `embedding` is the question's vector, of the store's embedder unless `model` names another; without it the embedder is asked.
        `keywords` has the words that are looked for in place of the question's own; a blank one looks for none.
        Of a project those that are nobody's are found too; `user_id` and `conversation_id` also leave out what they do not want to
        hear from. "weighted" adds cosine and BM25 by `lexical_weight`, "rrf" adds 1 / (60 + rank). Without vectors of that model
        words decide alone, as `semantic` tells by being None, and so does the vector where the weight of words is 0. Of those that score
        alike the words' come first, in order of arrival, then the vectors', by id.
        """
        query = values.text("query", query)[:LOOK_AT]
        sought = query if keywords is None else values.text("keywords", keywords)[:LOOK_AT]
        count = min(values.limit(limit), MANY)
        weight = values.real("lexical_weight", lexical_weight, low=0.0, high=1.0)
        ranks = values.one_of("fusion", fusion, FUSIONS) == "rrf"
        groups = checked(filters)
        project = values.optional(values.key, "project", project)
        conversation_id = values.optional(values.key, "conversation_id", conversation_id)
        user_id = values.optional(values.key, "user_id", user_id)
        vector = self._vector(query, embedding, model, needed=ranks or weight < 1)
        if not count:
            return []
        with self.db.read(snapshot=True) as connection:
            terms = [*self._terms(connection, project, conversation_id, user_id), *asked(connection, groups)]
            most = max(POOL, 2 * count) if count > 0 else count  # what both sides have may overtake what one has
            near = None if vector is None else self._near(connection, vector, terms, most)
            told = None
            if near is None or ranks or weight > 0:
                told = self._told(connection, sought, terms, count if near is None else most)
            if vector is not None and told and near:
                told, near = self._asked_of_both(connection, sought, vector, told, near, most)
            best = max((told or {}).values(), default=1.0)
            told = None if told is None else {id: score / best for id, score in told.items()}
            ranked = fused(told, near, 1.0 if near is None else 0.0 if told is None else weight, ranks)
            shown = words(query) if keywords is None else {*words(query), *sought.casefold().split()}
            return _hits(connection, shown, ranked[: count if count > 0 else None], told, near)

    def rebuild(self) -> None:
        """Make the index of words new from the chunks, in one transaction."""
        with self.db.write() as connection:
            self._index.rebuild(connection)

    def compact(self) -> None:
        """Merge the parts of the index of words, so that no word is left in it that no chunk has any more."""
        self._index.compact()

    def _terms(self, connection: Connection, project: str | None, conversation_id: str | None, user_id: str | None) -> list[Term]:
        """What a document must meet to be heard of."""
        terms = heard(self._canonical, project, user_id)
        # Mostly nobody has said no, and to ask of each document whether somebody has takes longer than to find that out.
        unwanted = "SELECT 1 FROM selections WHERE enabled = 0 AND (user_id = ? OR conversation_id = ?)"
        if connection.value(unwanted, (user_id, conversation_id)) is not None:
            terms.append(wanted(user_id, conversation_id))
        return terms

    # -- by meaning -------------------------------------------------------------------------------------------------

    def _vector(self, query: str, embedding: Any, model: str | None, *, needed: bool) -> QueryVector | None:
        """What vectors are compared with; the embedder is asked only where there are some."""
        model = values.optional(values.key, "model", model)
        if embedding is None and model not in (None, self._model):
            raise Invalid(f"model={values.shorten(model)} is that of embedding=, the vector of the question: give both")
        if embedding is not None:
            self._vectors().packed("embedding", embedding)
        here = self._vectors().models() if self.db.present("vectors") else []
        dims = {each.model: each.dims for each in here if each.kinds.get("chunk")}
        if embedding is not None:
            model = model or self._model or self._only([*dims])
            self._dimensions("embedding", embedding, model, dims.get(model))
            return QueryVector(embedding, model) if needed and dims else None
        if self._embedder is None or not dims or not needed or not query.strip():
            return None
        numbers, model = embedded(self._embedder.fn, [query])[0], self._embedder.model
        points = self._dimensions("the vector of the question", numbers, model, dims.get(model))
        return QueryVector(numbers, model) if points else None

    def _only(self, models: list[str]) -> str:
        """The model of all chunks that are not hidden, one of some."""
        if len(models) > 1:
            with self.db.read(snapshot=True) as connection:
                ids = _visible(connection, [])
                models = [model for model in models if len(self._vectors().lacking(ids, model=model)) < len(ids)]
        if len(models) > 1:
            raise Invalid(f"chunks have vectors of several models ({', '.join(models)}); name that of the embedding with model=")
        return models[0] if models else "none"

    def _near(self, connection: Connection, vector: QueryVector, terms: Sequence[Term], most: int) -> Scores | None:
        """The cosines of the chunks whose vectors are nearest; None where nothing can be compared."""
        try:
            found = self._nearest_of_all(connection, vector, terms, most)
            if found is None:
                found = self._nearest(vector, _visible(connection, terms), most)
        except ModelMismatch as error:
            self._tell_mismatch(vector.model, error)
            return None
        return found or None

    def _nearest_of_all(self, connection: Connection, vector: QueryVector, terms: Sequence[Term], most: int) -> Scores | None:
        """The nearest that are heard of, from among the nearest of all; None where it is better to look among those that are heard of."""
        if most < 0:
            return None
        for wide in (FURTHER * most,) if terms else (most, FURTHER * most):
            try:
                found = self._nearest(vector, None, wide)
            except ModelMismatch:
                return None  # perhaps only those that are not heard of are of another model
            there = _heard(connection, found, terms)
            if len(there) >= most or len(found) < wide:
                return dict(list(there.items())[:most])
        return None

    def _nearest(self, vector: QueryVector, ids: list[str] | None, most: int) -> Scores:
        limit = None if most < 0 else most
        hits = self._vectors().nearest(vector.numbers, model=vector.model, kind="chunk", only=ids, limit=limit)
        return {hit.id: hit.score for hit in hits}

    def _asked_of_both(
        self, connection: Connection, query: str, vector: QueryVector, told: Scores, near: Scores, most: int
    ) -> tuple[Scores, Scores]:
        """Both sides, each with its scores for what only the other has found; a side that has found fewer than most has no others."""
        untold, far = [id for id in near if id not in told], [id for id in told if id not in near]
        more: Scores = {}
        if untold and len(told) == most:
            ids: dict[int, str] = dict(connection.rows(f"SELECT pk, id FROM chunks WHERE id {AMONG}", (listed(untold),)))
            more = {ids[pk]: score for pk, score in self._index.scores(connection, query, list(ids))}
        return told | more, near | (self._nearest(vector, far, -1) if far and len(near) == most else {})

    def _tell_mismatch(self, model: str, error: ModelMismatch) -> None:
        if not self._told_mismatch:
            self._told_mismatch = True
            warnings.warn(
                f"chunks are found by their words alone: {error}; store.documents.reembed(fn, model={model!r}) brings them to that model",
                stacklevel=4,
            )

    # -- by words ---------------------------------------------------------------------------------------------------

    def _told(self, connection: Connection, query: str, terms: Sequence[Term], count: int) -> Scores | None:
        """BM25 of the chunks that have the question's words, best first; None where it has no words."""
        best = self._index.best(connection, query, terms, count)
        if not best:
            return {} if any(map(str.isalnum, query)) else None
        rows = connection.rows(f"SELECT pk, id FROM chunks WHERE pk {AMONG}", (listed(pk for pk, _ in best),))
        ids: dict[int, str] = dict(rows)
        return {ids[pk]: score for pk, score in best if pk in ids}


def fused(told: Scores | None, near: Scores | None, weight: float, ranks: bool) -> list[tuple[str, float]]:
    """The chunks that either side has found with their scores, best first, ties as they were found."""
    told, near = told or {}, near or {}
    if ranks:
        parts = [told, near]
        places = [{id: 1 / (RANK + place) for place, id in enumerate(sorted(part, key=lambda id: -part[id]), 1)} for part in parts]
        scores = {id: sum(each.get(id, 0.0) for each in places) for id in {**told, **near}}
    else:
        scores = {id: weight * told.get(id, 0.0) + (1 - weight) * near.get(id, 0.0) for id in {**told, **near}}
    return sorted(scores.items(), key=lambda item: -item[1])


def _visible(connection: Connection, terms: Sequence[Term]) -> list[str]:
    """Ids of the chunks whose documents are not hidden and meet the conditions."""
    clause, params = joined([("documents.is_deleted = 0",), *terms])
    rows = connection.rows(f"SELECT chunks.id FROM documents CROSS JOIN chunks ON chunks.document = documents.pk WHERE {clause}", params)
    return [id for (id,) in rows]


def _heard(connection: Connection, found: Scores, terms: Sequence[Term]) -> Scores:
    """What of some chunks is there, not hidden, and meets the conditions."""
    clause, params = joined([("documents.is_deleted = 0",), *terms])
    rows = connection.rows(
        f"""
        SELECT chunks.id FROM chunks CROSS JOIN documents ON documents.pk = chunks.document
        WHERE chunks.id {AMONG} AND {clause}
        """,
        (listed(found), *params),
    )
    there = {id for (id,) in rows}
    return {id: score for id, score in found.items() if id in there}


def _sound(ids: Iterable[Any]) -> list[str]:
    """Ids that a query can take; a damaged page can give them any type."""
    found = list(ids)
    damaged = next((id for id in found if type(id) is not str), "")
    if damaged != "":
        raise Corrupt(f"the id of a chunk or its document is damaged, it is {values.shorten(damaged)}; check() lists what else is")
    return found


def _hits(
    connection: Connection, shown: set[str], ranked: list[tuple[str, float]], told: Scores | None, near: Scores | None
) -> list[ChunkHit]:
    found = CHUNKS.find(connection, f"WHERE id {AMONG}", (listed(_sound(id for id, _ in ranked)),))
    chunks = {chunk.id: chunk for chunk in found}
    owners = DOCUMENTS.find(connection, f"WHERE id {AMONG}", (listed(_sound({chunk.document_id for chunk in found})),))
    documents = {document.id: document for document in owners}
    lost = next((id for id, _ in ranked if id not in chunks or chunks[id].document_id not in documents), None)
    if lost is not None:
        raise Corrupt(f"chunk {values.shorten(lost)} stands in an index of the file and not in its tables; check() lists what is damaged")
    return [
        ChunkHit(
            chunk := chunks[id],
            documents[chunk.document_id],
            score,
            None if told is None else told.get(id, 0.0),
            None if near is None else near.get(id, 0.0),
            densest(chunk.content, shown),
        )
        for id, score in ranked
    ]
