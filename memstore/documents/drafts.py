"""Chunks before they are written: cut from a text or made by hand, and which of those that are there they are."""

from __future__ import annotations

import os.path
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, estimate_tokens, values
from ..kernel.words import text_key
from .chunking import kind_of, pieces
from .tables import CHUNK_CHECKS, Chunk

if TYPE_CHECKING:
    from ..kernel import Cipher


@dataclass(slots=True)
class Draft:
    """A chunk as it is to be."""

    content: str
    heading_path: str = ""
    start_char: int | None = None
    end_char: int | None = None
    anchor_type: str = "char"
    anchor_start: int | None = None
    anchor_end: int | None = None
    token_count: int | None = None
    sanitized_hash: str | None = None
    metadata: dict[str, Any] | None = None
    id: str | None = None
    created_at: float | None = None
    embedding: Any = None
    unembedded: bool = False  # for good: blank, or the model sees no direction in it

    def __post_init__(self) -> None:
        if self.anchor_type == "char" and self.anchor_start is None and self.anchor_end is None:
            self.anchor_start, self.anchor_end = self.start_char, self.end_char
        if self.token_count is None:
            self.token_count = estimate_tokens(self.content)

    @property
    def lacks(self) -> bool:
        """Whether it is yet to get a vector, if no chunk that is there has one for it."""
        return self.embedding is None and not self.unembedded


#: What an unchanged chunk may change when its document does: where it stands, and what was noted of it.
MOVING = (
    "heading_path", "start_char", "end_char", "anchor_type", "anchor_start", "anchor_end", "token_count", "sanitized_hash", "metadata",
)  # fmt: skip


def cut(text: str, columns: Mapping[str, Any], size: int, overlap: int) -> list[Draft]:
    """The chunks of a text, by what its document is said to be."""
    suffix = columns["suffix"] or os.path.splitext(columns["file_path"] or columns["uri"] or "")[1]
    found = pieces(text, size=size, overlap=overlap, kind=kind_of(suffix))
    return [Draft(text[start:end], path, start, end) for start, end, path in found]


def made(chunks: Iterable[str | Mapping[str, Any]]) -> list[Draft]:
    """Chunks that a caller has made, each a text or a dict of columns, or Invalid."""
    if isinstance(chunks, (str, bytes, Mapping)) or not isinstance(chunks, Iterable):
        raise Invalid(f"chunks must be a list of texts or dicts, not {type(chunks).__name__}")
    drafts = [_made(f"chunks[{place}]", chunk) for place, chunk in enumerate(chunks)]
    ids = Counter(draft.id for draft in drafts if draft.id is not None)
    if len(ids) < ids.total():
        ((twice, _),) = ids.most_common(1)
        raise Invalid(f"chunks has the id {values.shorten(twice)} twice; each chunk needs one of its own")
    return drafts


def _made(where: str, chunk: str | Mapping[str, Any]) -> Draft:
    given = {"content": chunk} if isinstance(chunk, str) else chunk
    if not isinstance(given, Mapping) or "content" not in given:
        raise Invalid(f"{where} must be a text, or a dict with 'content', not {values.shorten(chunk)}")
    for name in given:
        values.one_of(f"{where}: column", name, (*CHUNK_CHECKS, "embedding"))
    columns = {name: CHUNK_CHECKS[name](f"{where}[{name!r}]", value) for name, value in given.items() if name != "embedding"}
    draft = Draft(**columns, embedding=given.get("embedding"))
    for start, end in (("start_char", "end_char"), ("anchor_start", "anchor_end")):
        if (getattr(draft, start) is None) != (getattr(draft, end) is None):
            raise Invalid(f"{where} has only one of {start} and {end}; give both or none")
    if draft.start_char is not None and draft.end_char != draft.start_char + len(draft.content):
        told = f"from {draft.start_char} to {draft.end_char}"
        raise Invalid(f"{where} has {len(draft.content)} characters, which is not {told}; give the characters that it is of its text")
    return draft


def matched(old: Iterable[Chunk], drafts: Sequence[Draft], cipher: Cipher | None) -> list[Chunk | None]:
    """For each draft the chunk that says the same, in their order; one that was given an id is that chunk or none."""
    named = {draft.id for draft in drafts}
    own: dict[str, Chunk] = {}
    waiting: dict[str, deque[Chunk]] = {}
    for chunk in old:
        if chunk.id in named:
            own[chunk.id] = chunk
        else:
            waiting.setdefault(chunk.chunk_hash, deque()).append(chunk)
    return [_match(draft, text_key(draft.content, cipher), own, waiting) for draft in drafts]


def _match(draft: Draft, chunk_hash: str, own: Mapping[str, Chunk], waiting: Mapping[str, deque[Chunk]]) -> Chunk | None:
    if draft.id is not None:
        found = own.get(draft.id)
        return found if found is not None and found.chunk_hash == chunk_hash else None
    same = waiting.get(chunk_hash)
    return same.popleft() if same else None
