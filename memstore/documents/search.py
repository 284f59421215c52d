"""Search: by words with BM25, by meaning with vectors, and both fused into one list.

1. Hidden documents, and those that conditions exclude, are left out before anything is ranked or cut: a narrowed search still fills its
   limit.
2. BM25 is divided by that of the best match, so that it lies between 0 and 1; the cosine is taken as it is. What only one side has found
   is scored by the other too, and counts 0 there only if it has none of the words, or no vector.
3. Where no vectors are stored, or only those of another model, words alone decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ..kernel import Corrupt, Invalid, ModelMismatch, values
from ..kernel.embedding import embedded
from ..kernel.excerpts import densest
from ..kernel.rows import AMONG, Term, joined, listed
from ..kernel.words import words
from .embedding import Embedding
from .filters import Filters, checked, conditions
from .selection import concerning, wanted
from .tables import CHUNKS, DOCUMENTS, ChunkHit
from .texts import ChunkTexts

if TYPE_CHECKING:
    from ..kernel import Connection
    from ..kernel.bm25 import Sought

Fusion = Literal["weighted", "rrf"]
FUSIONS: tuple[str, ...] = get_args(Fusion)
MANY = 1 << 40  # more chunks than any store has; a multiple of it still fits into SQLite's integers
POOL = 50  # chunks that each side finds at least, so that the limit does not decide which come first
FURTHER = 4  # times as many near ones are looked at where conditions may exclude some
RANK = 60  # of reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009): the higher, the less the first ranks stand out
LOOK_AT = 100_000  # characters of a question that are used

Scores = dict[str, float]  # of chunks, by id


class QueryVector(NamedTuple):
    """The vector of a question, and its model."""

    numbers: Any
    model: str


class Search(Embedding):
    """The part of the documents room that finds."""

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
        keywords: str | Iterable[str | Iterable[str]] | None = None,
        limit: int | None = 10,
        project: str | None = None,
        conversation_id: str | None = None,
        user_id: str | None = None,
        filters: Filters | None = None,
        lexical_weight: float = 0.3,
        fusion: Fusion = "weighted",
    ) -> list[ChunkHit]:
        """Find chunks by the words of a question and by its vector, best first; any text that can be stored is a legal question.

        `embedding` is the question's vector, by the store's embedder unless `model` names another; without it the embedder is asked.
        `keywords`, if given, are looked for in place of the question's words; a list of forms among them counts as one word. Blank ones
        look for none. With a `project`, documents of no project are found too; what `user_id` or `conversation_id` have deselected
        is not. "weighted" adds cosine and
        BM25 by `lexical_weight`, "rrf" adds 1 / (60 + rank). Without vectors of the model words alone decide, and `semantic` is None;
        with weight 0 the vector alone does. Of equal scores those found by words come first, by BM25 and arrival, then the others by id.
        """
        query = values.text("query", query)[:LOOK_AT]
        sought = [[query]] if keywords is None else _keywords(keywords)
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
            terms = [*self._terms(connection, project, conversation_id, user_id), *conditions(connection, groups)]
            most = max(POOL, 2 * count) if count > 0 else count  # a chunk that both sides find may overtake what one finds
            semantic = None if vector is None else self._by_vectors(connection, vector, terms, most)
            lexical = None
            if semantic is None or ranks or weight > 0:
                lexical = self._by_words(connection, sought, terms, count if semantic is None else most)
            if vector is not None and lexical and semantic:
                lexical, semantic = self._scored_by_both(connection, sought, vector, lexical, semantic, most)
            best = max((lexical or {}).values(), default=1.0)
            lexical = None if lexical is None else {id: score / best for id, score in lexical.items()}
            ranked = fused(lexical, semantic, 1.0 if semantic is None else 0.0 if lexical is None else weight, ranks)
            shown = words(query).union(*[_beginnings(forms) for forms in sought if keywords is not None])
            return _hits(connection, shown, ranked[: count if count > 0 else None], lexical, semantic)

    def rebuild(self) -> None:
        """Make the index of words anew from the chunks, in one transaction."""
        with self.db.write() as connection:
            self._index.rebuild(connection)

    def compact(self) -> None:
        """Merge the segments of the index of words, which drops words that no chunk has any more."""
        self._index.compact()

    def _terms(self, connection: Connection, project: str | None, conversation_id: str | None, user_id: str | None) -> list[Term]:
        """The conditions on documents for a project, a conversation and a user."""
        terms = concerning(self._canonical, project, user_id)
        # Mostly nothing is deselected, and to find that out takes less time than to ask it of each document.
        unwanted = "SELECT 1 FROM selections WHERE enabled = 0 AND (user_id = ? OR conversation_id = ?)"
        if connection.value(unwanted, (user_id, conversation_id)) is not None:
            terms.append(wanted(user_id, conversation_id))
        return terms

    # -- by meaning -------------------------------------------------------------------------------------------------

    def _vector(self, query: str, embedding: Any, model: str | None, *, needed: bool) -> QueryVector | None:
        """The vector to compare with those of chunks, None without any; only if there are some the embedder is asked."""
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
        if self._embedder is None or not needed or not query.strip():
            return None
        if not dims:
            if self.db.value("SELECT 1 FROM chunks") is not None and self._allowed(self._embedder.model):
                self._warn_of_words("no chunk has a vector yet", self._embedder.model)
            return None
        numbers, model = embedded(self._embedder.fn, [query])[0], self._embedder.model
        points = self._dimensions("the vector of the question", numbers, model, dims.get(model))
        return QueryVector(numbers, model) if points else None

    def _only(self, models: list[str]) -> str:
        """The one model of the vectors of chunks; Invalid where those of visible chunks are of several."""
        if len(models) > 1:
            with self.db.read(snapshot=True) as connection:
                ids = _visible(connection, [])
                models = [model for model in models if len(self._vectors().lacking(ids, model=model)) < len(ids)]
        if len(models) > 1:
            raise Invalid(f"chunks have vectors of several models ({', '.join(models)}); name that of the embedding with model=")
        return models[0] if models else "none"

    def _by_vectors(self, connection: Connection, vector: QueryVector, terms: Sequence[Term], most: int) -> Scores | None:
        """The cosines of the nearest chunks; None where nothing can be compared."""
        try:
            found = self._nearest_of_all(connection, vector, terms, most)
            if found is None:
                found = self._nearest(vector, _visible(connection, terms), most)
        except ModelMismatch as error:
            self._warn_of_words(error.found, vector.model)
            return None
        return found or None

    def _nearest_of_all(self, connection: Connection, vector: QueryVector, terms: Sequence[Term], most: int) -> Scores | None:
        """The nearest chunks that meet the conditions, if there are enough among the nearest of all; None where there are not."""
        if most < 0:
            return None
        for wide in (FURTHER * most,) if terms else (most, FURTHER * most):
            try:
                found = self._nearest(vector, None, wide)
            except ModelMismatch:
                return None  # perhaps only vectors that the conditions exclude are of another model
            there = _allowed(connection, found, terms)
            if len(there) >= most or len(found) < wide:
                return dict(list(there.items())[:most])
        return None

    def _nearest(self, vector: QueryVector, ids: list[str] | None, most: int) -> Scores:
        limit = None if most < 0 else most
        hits = self._vectors().nearest(vector.numbers, model=vector.model, kind="chunk", only=ids, limit=limit)
        return {hit.id: hit.score for hit in hits}

    def _scored_by_both(
        self, connection: Connection, sought: Sought, vector: QueryVector, lexical: Scores, semantic: Scores, most: int
    ) -> tuple[Scores, Scores]:
        """Both sides, each with its scores for what only the other has found; a side with fewer than `most` has found all it can."""
        only_semantic, only_lexical = [id for id in semantic if id not in lexical], [id for id in lexical if id not in semantic]
        more: Scores = {}
        if only_semantic and len(lexical) == most:
            ids: dict[int, str] = dict(connection.rows(f"SELECT pk, id FROM chunks WHERE id {AMONG}", (listed(only_semantic),)))
            more = {ids[pk]: score for pk, score in self._index.scores(connection, sought, list(ids))}
        return lexical | more, semantic | (self._nearest(vector, only_lexical, -1) if only_lexical and len(semantic) == most else {})

    def _warn_of_words(self, why: str, model: str) -> None:
        way = f"store.documents.reembed(fn, model={model!r}) makes those of that model"
        self._warn_once("words", f"chunks are found by their words alone: {why}; {way}")

    # -- by words ---------------------------------------------------------------------------------------------------

    def _by_words(self, connection: Connection, sought: Sought, terms: Sequence[Term], count: int) -> Scores | None:
        """BM25 of the chunks that have any of the words that are looked for, best first; None where there are no words."""
        best = self._index.best(connection, sought, terms, count)
        if not best:
            return {} if any(map(str.isalnum, chain.from_iterable(chain.from_iterable(sought)))) else None
        rows = connection.rows(f"SELECT pk, id FROM chunks WHERE pk {AMONG}", (listed(pk for pk, _ in best),))
        ids: dict[int, str] = dict(rows)
        return {ids[pk]: score for pk, score in best if pk in ids}


def _keywords(given: Any) -> list[list[str]]:
    """What to look for, each by its forms."""
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise Invalid(f"keywords must be str, or a list of words and of lists of their forms, not {values.shorten(given)}")
    return [
        values.strings(f"keywords[{place}]", [each] if isinstance(each, str) else each)
        for place, each in enumerate([given] if isinstance(given, str) else given)
    ]


def _beginnings(forms: Iterable[str]) -> set[str]:
    """The words that some forms begin with: the longer ones are found with the shorter."""
    found: list[str] = []
    for word in sorted(word for form in forms for word in form.casefold().split()):
        if not found or not word.startswith(found[-1]):  # words that begin alike are next to each other
            found.append(word)
    return set(found)


def fused(told: Scores | None, near: Scores | None, weight: float, ranks: bool) -> list[tuple[str, float]]:
    """The chunks that either side has found, with their combined scores, best first; ties stay in the order in which they were found."""
    told, near = told or {}, near or {}
    if ranks:
        parts = [told, near]
        places = [{id: 1 / (RANK + place) for place, id in enumerate(sorted(part, key=lambda id: -part[id]), 1)} for part in parts]
        scores = {id: sum(each.get(id, 0.0) for each in places) for id in {**told, **near}}
    else:
        scores = {id: weight * told.get(id, 0.0) + (1 - weight) * near.get(id, 0.0) for id in {**told, **near}}
    return sorted(scores.items(), key=lambda item: -item[1])


def _visible(connection: Connection, terms: Sequence[Term]) -> list[str]:
    """The ids of chunks whose documents are not hidden and meet the conditions."""
    clause, params = joined([("documents.is_deleted = 0",), *terms])
    rows = connection.rows(f"SELECT chunks.id FROM documents CROSS JOIN chunks ON chunks.document = documents.pk WHERE {clause}", params)
    return [id for (id,) in rows]


def _allowed(connection: Connection, found: Scores, terms: Sequence[Term]) -> Scores:
    """Those of some chunks whose documents are not hidden and meet the conditions."""
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
    """The same ids, if all are texts: a damaged page can give them any type."""
    found = list(ids)
    for id in found:
        if type(id) is not str:
            raise Corrupt(f"the id of a chunk or its document is damaged, it is {values.shorten(id)}; check() lists what else is")
    return found


def _hits(
    connection: Connection, shown: set[str], ranked: list[tuple[str, float]], lexical: Scores | None, semantic: Scores | None
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
            None if lexical is None else lexical.get(id, 0.0),
            None if semantic is None else semantic.get(id, 0.0),
            densest(chunk.content, shown),
        )
        for id, score in ranked
    ]
