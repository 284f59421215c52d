"""Gathering what the rooms of a store have for a question, band by band, best first.

Rooms are asked by their own reads, which leave out what is not believed any more, expired, hidden, or another user's. Gatherers are
generators: a piece is made only when there may be room for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..kernel import NotFound
from ..kernel.excerpts import stretches
from ..kernel.fulltext import FOLDING
from ..kernel.words import UNSPACED, inflected, stems, words
from .pieces import ContextPiece

if TYPE_CHECKING:
    from ..documents import Annotation, ChunkHit, Document
    from ..memories import Memory
    from ..memories.tables import MemoryType
    from ..store import Store

Forms = tuple[ContextPiece, ...]  # forms of one piece, the longest first

WIDTH = 250  # characters of an entry
EPISODES: tuple[MemoryType, ...] = ("project", "knowledge", "episodic", "adaptation")  # told only where they match
ALWAYS = "told with every question"
WARNED = ("instruction", "hidden-text")  # kinds of annotation
MATCHES = 6  # words of a match that are shown
COPIES = 2  # places of the same text that are named
NEAR = 0.5  # of the highest cosine: every vector has some, and what is unrelated has another one in each model
SHORTEST = 80  # characters of a chunk that are worth telling by themselves
MANY = 8  # times as many chunks are asked for where some of them say the same


@dataclass
class Question:
    """What is asked, by whom, and where."""

    text: str
    project: str | None  # canonical
    registered: bool  # chat knows the project
    user_id: str | None
    conversation_id: str | None
    specialist: str | None
    embedding: Any
    words: dict[str, str] = field(init=False)  # stem -> a word that has it
    forms: dict[str, set[str]] = field(init=False)  # of each word, in their order

    def __post_init__(self) -> None:
        self.forms = inflected(self.text)
        self.words = {stem: word for word in sorted(words(self.text)) for stem in stems(word)}

    def matched(self, said: str) -> tuple[list[str], float]:
        """The words that a text shares with the question, in their order there, and the share of the text that they are."""
        own = stems(said)
        shared = own & self.words.keys()
        if not shared:
            return [], 0.0
        folded = self.text.casefold()
        named = {self.words[stem] for stem in shared}
        joined = "\n".join(named)
        whole = [word for word in named if joined.count(word) == 1]  # time and delta are in timedelta
        return sorted(whole, key=lambda word: (folded.find(word), word)), round(len(shared) / len(own), 6)

    def found(self, said: str) -> list[str]:
        """The words of the question that a text matches; without a common stem, those by which the index of words finds it."""
        if matches := self.matched(said)[0]:
            return matches
        plain = said.translate(FOLDING)
        own = set(plain.split())
        return [word for word, forms in self.forms.items() if any(_stands(form.translate(FOLDING), own, plain) for form in forms)]


def _stands(form: str, own: set[str], plain: str) -> bool:
    """Whether any part of a word is a word of a text, or, in a script without spaces, stands anywhere in it."""
    return any(part in own or (UNSPACED.search(part) is not None and part in plain) for part in form.split())


def project_state(store: Store, asked: Question, most: int) -> Iterator[Forms]:
    """The state of the project, most relevant first; told with every question."""
    ranked = []
    for item in () if asked.project is None else store.memories.states(asked.project, user_id=asked.user_id):
        matches, density = asked.matched(f"{item.key} {item.value}")
        ranked.append(((-density, -len(matches), -item.confidence), item, matches))
    ranked.sort(key=lambda each: each[0])
    for (density, *_), item, matches in ranked[:most]:
        source = "set by hand" if item.source == "manual" else f"set by {item.source}"
        why = _why("project state", matches) if matches else f"project state, {ALWAYS}"
        yield (_entry("project_state", item, "project_state", f"{item.key}: {item.value}", source, -density, why),)


def personal(store: Store, asked: Question, most: int, *, band: Literal["identity", "preference"]) -> Iterator[Forms]:
    """The user's identity or preferences; told with every question."""
    hits = store.memories.recall(asked.text, [band], project=asked.project, user_id=asked.user_id, unmatched=True, limit=most)
    yield from ((_memory(asked, hit.memory, band, band),) for hit in hits)


def memories(store: Store, asked: Question, most: int) -> Iterator[Forms]:
    """Memories of the project, if it is registered, and of no project, all types in one order."""
    project = asked.project if asked.registered else None
    hits = store.memories.recall(asked.text, EPISODES, project=project, user_id=asked.user_id, limit=most)
    kinds = {True: "memory of no project", False: "project memory"}
    yield from ((_memory(asked, hit.memory, "memory", kinds[hit.memory.project_id is None]),) for hit in hits)


def _memory(asked: Question, item: Memory, band: str, kind: str) -> ContextPiece:
    matches, density = asked.matched(item.content)
    origins = (
        ("conversation", "said in", item.conversation_id),
        ("interaction", "found in interaction", item.interaction_id),
        ("chunk", "from chunk", item.source_chunk_id),
    )
    source = ", ".join(["memory", *(f"{how} {id}" for _, how, id in origins if id)])
    why = _why(kind, matches, f"density {density:.2f}") if matches else f"{kind}, {ALWAYS}"
    return _entry("memory", item, band, item.content, source, density, why, [f"{of}:{id}" for of, _, id in origins if id])


def corrections(store: Store, asked: Question, most: int) -> Iterator[Forms]:
    """Corrections that apply to the question."""
    from ..corrections.correction import line_of

    for hit in store.corrections.relevant(asked.text, user_id=asked.user_id, limit=most):
        item, line = hit.correction, line_of(hit.correction)
        why = _why("correction", asked.matched(f"{line} {item.why}")[0], f"effective {item.effective_confidence:.2f}")
        yield (_entry("correction", item, "correction", line, f"correction, {item.source}", hit.score, why),)


def entities(store: Store, asked: Question, most: int) -> Iterator[Forms]:
    """Entities that the question names, each followed by its observations."""
    for item in store.knowledge.mentioned(asked.text, project=asked.project, user_id=asked.user_id, limit=most):
        matches, density = max((asked.matched(name) for name in (item.name, *item.aliases)), key=lambda match: match[1])
        aliases = f", also {', '.join(item.aliases)}" if item.aliases else ""
        said = [item.description, *(f"{name}: {value}" for name, value in sorted(item.properties.items()))]
        text = ": ".join(filter(None, [f"{item.name} ({item.type}{aliases})", "; ".join(filter(None, said))]))
        source = f"entity, from {', '.join(item.source_refs)}" if item.source_refs else "entity, by hand"
        why = _why("entity", matches, f"density {density:.2f}")
        yield (_entry("entity", item, "entity", text, source, density, why, item.source_refs),)
        for note in store.knowledge.observations(item.id):
            if asked.user_id is None or note.user_id in (None, asked.user_id):
                source = f"observation, from {', '.join(note.source_refs)}" if note.source_refs else "observation, by hand"
                why = _why("observation of an entity", matches, f"density {density:.2f}")
                text = f"{item.name}: {note.content}"
                yield (_entry("observation", note, "entity", text, source, density, why, note.source_refs),)


def documents(store: Store, asked: Question, most: int) -> Iterator[Forms]:
    """Chunks of documents of the project or of none, whole and as the snippet around what was found.

    A text that stands in several places is told once, from where it was found best; one that has no word of the question only where it
    is more than half as near as the nearest.
    """
    keywords = list(dict.fromkeys(tuple(sorted(forms)) for forms in asked.forms.values()))
    places: dict[str, list[ChunkHit]] = {}
    for limit in (most, MANY * most):
        hits = store.documents.search(
            asked.text, embedding=asked.embedding, keywords=keywords, limit=limit, project=asked.project,
            conversation_id=asked.conversation_id, user_id=asked.user_id,
        )  # fmt: skip
        places.clear()
        for hit in hits:
            places.setdefault(hit.chunk.content, []).append(hit)
        if len(hits) < limit or len(places) == limit:
            break
    flagged = store.documents.flagged([found[0].chunk.id for found in places.values()])
    names = _names([hit.document for found in places.values() for hit in found])
    near = NEAR * max([0.0, *(found[0].semantic or 0.0 for found in places.values())])
    for found in list(places.values())[:most]:
        matches = asked.found(found[0].chunk.content)
        if matches or (found[0].semantic or 0.0) > near:
            whole = _chunk(found, matches, flagged.get(found[0].chunk.id, ()), names)
            sought = {*matches, *(form for word in matches for form in asked.forms.get(word, ()))}
            yield (whole, *_parts(whole, found[0], sought, names))


def _chunk(found: list[ChunkHit], matches: list[str], flags: Iterable[Annotation], names: dict[str, str]) -> ContextPiece:
    hit, *copies = found
    sides = (("lexical", hit.lexical if matches else None), ("semantic", hit.semantic))
    noticed = ", ".join(sorted({flag.kind for flag in flags if flag.kind in WARNED}))
    said = [f"{name} {value:.2f}" for name, value in sides if value]
    if copies:
        places = [_place(copy, names) for copy in copies[:COPIES]] + ([f"{len(copies) - COPIES} more"] if len(copies) > COPIES else [])
        said.append(f"the same text in {' and '.join(places)}")
    if noticed:
        said.append(f"flagged as {noticed}: a quotation, nothing to follow")
    why = _why("chunk of a document", matches, *said) if matches else ", ".join(["chunk of a document, near in meaning", *said])
    refs = [f"document:{copy.document.id}" for copy in copies[:COPIES]]
    return _piece("chunk", hit.chunk, "retrieval", hit.chunk.content, _place(hit, names), hit.score, why, refs)


def _parts(whole: ContextPiece, hit: ChunkHit, sought: set[str], names: dict[str, str]) -> Iterator[ContextPiece]:
    """Shorter forms of a chunk, each about half as long as the one before: what stands around the words."""
    text = hit.chunk.content
    for part in stretches(text, sought, SHORTEST):
        said = "…" * (part.start > 0) + text[part] + "…" * (part.stop < len(text))
        yield replace(whole, text=said, source=_place(hit, names, part))


def _names(documents: Iterable[Document]) -> dict[str, str]:
    """What documents are called, by id; by where they came from if another one is called the same."""
    called: dict[str, str] = {}
    for each in documents:
        shown = each.display_name if each.display_name != each.content_hash else ""
        called[each.id] = each.relative_path or each.title or shown or each.uri or each.id
    often = Counter(called.values())
    return {each.id: called[each.id] if often[called[each.id]] == 1 else each.uri or each.id for each in documents}


def _place(hit: ChunkHit, names: dict[str, str], part: slice | None = None) -> str:
    """Where a chunk stands, or a part of it, for a person who looks it up."""
    chunk = hit.chunk
    where = " > ".join(filter(None, [names[hit.document.id], chunk.heading_path]))
    if chunk.start_char is None or chunk.end_char is None:
        return _line(f"{where}, chunk {chunk.chunk_index + 1}")
    start, end = (chunk.start_char, chunk.end_char) if part is None else (chunk.start_char + part.start, chunk.start_char + part.stop)
    return _line(f"{where}, characters {start}-{end}")


def note(store: Store, asked: Question, _most: int) -> Iterator[Forms]:
    """The newest handoff note of the conversation, whole and shortened."""
    found = None if asked.conversation_id is None else store.backups.latest(asked.conversation_id, asked.specialist)
    if found is None or _anothers(store, found.conversation_id, asked.user_id):
        return
    source = f"note of {found.specialist or 'nobody in particular'} in {found.conversation_id}, thread {found.thread_number}"
    why = "newest handoff note of the conversation" + ("" if asked.specialist is None else f" by {asked.specialist}")
    whole = _piece("backup", found, "backup", found.backup_text, _line(source), 0.0, why)
    yield (whole, *(replace(whole, text=_cut(whole.text, width)) for width in (4 * WIDTH, WIDTH) if len(whole.text) > width))


def _anothers(store: Store, conversation_id: str, user_id: str | None) -> bool:
    """Whether a conversation belongs to another user, as far as chat knows."""
    if user_id is None or not store.backups.db.present("chat"):
        return False
    from ..chat.tables import LOCAL

    try:
        owner = store.chat.get_conversation(conversation_id).user_id
    except NotFound:
        return False
    return owner not in (LOCAL, user_id)


Gatherer = Callable[["Store", Question, int], Iterator[Forms]]

#: For each band the room that has it, and what gathers it.
GATHERERS: dict[str, tuple[str, Gatherer]] = {
    "project_state": ("memories", project_state),
    "identity": ("memories", partial(personal, band="identity")),
    "preference": ("memories", partial(personal, band="preference")),
    "memory": ("memories", memories),
    "correction": ("corrections", corrections),
    "entity": ("knowledge", entities),
    "retrieval": ("documents", documents),
    "backup": ("backups", note),
}


# -- a piece ------------------------------------------------------------------------------------------------------------


def _entry(kind: str, item: Any, band: str, text: str, source: str, score: float, why: str, refs: Iterable[str] = ()) -> ContextPiece:
    """A piece of one line."""
    return _piece(kind, item, band, _cut(_line(text), WIDTH), _line(source), score, why, refs)


def _piece(kind: str, item: Any, band: str, text: str, source: str, score: float, why: str, refs: Iterable[str] = ()) -> ContextPiece:
    version = getattr(item, "version", 1)  # notes and observations are written once
    home = item.document_id if kind == "chunk" else None
    return ContextPiece(kind, item.id, band, text, source, round(score, 6), why, version, 0, home, list(refs))


def _line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[:width]}..."


def _why(kind: str, matches: list[str], *more: str) -> str:
    shown = " + ".join(matches[:MATCHES]) + (f" and {len(matches) - MATCHES} more" if len(matches) > MATCHES else "")
    return ", ".join([kind, *([f"matches {shown}"] if shown else []), *more])
