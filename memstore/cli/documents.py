"""The commands `ingest`, `documents` and `ask`: documents in, documents shown, and the context pack for a question."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING

from ..context.pieces import HEADINGS
from ..kernel import Invalid, NotFound, values
from ..keywords.words import prefixes
from ..store import open_store
from . import command, open_for, store_path
from .keys import keys
from .rows import (
    Kind,
    one,
    one_more,
    print_fields,
    print_history,
    print_list,
    print_section,
    print_whole,
    projects_by_id,
    shown_id,
    tell_of_others,
)
from .terminal import Page, count, one_line, print_json
from .views import shown_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..context import ContextPack, ContextPiece
    from ..documents import ChunkHit, Document, IngestReport
    from ..store import Store


# -- ingest -------------------------------------------------------------------------------------------------------------


def ingest(options: Namespace) -> int:
    """Add files and folders as documents, to a store that is created if need be."""
    for path in options.paths:
        os.stat(path)
    target = options.db or os.environ.get("MEMSTORE_DB") or store_path(options)
    if not os.path.exists(target):
        _refuse_to_begin(options)
    with open_store(target, **keys(options)) as store, shown_progress() as progress:
        report = store.documents.add_files(
            options.paths, project=options.project, user_id=options.user, prune=options.prune, progress=progress
        )
        place, bare = store.path, _bare(store, report)
    if options.json:
        print_json({**report.to_dict(), "store": place})
    else:
        _print_report(report, place)
    if bare:
        print(bare, file=sys.stderr)
    return 0 if report.reasons.keys().isdisjoint(map(os.path.realpath, options.paths)) else 1


def _refuse_to_begin(options: Namespace) -> None:
    """Raise Invalid where nothing that is named can be added, or for nobody, which must not leave an empty store behind."""
    from ..documents.files import refusal

    for name in ("project", "user"):
        values.optional(values.key, f"--{name}", getattr(options, name))
    reasons = [] if any(map(os.path.isdir, options.paths)) else [(path, refusal(path)) for path in options.paths]
    if reasons and all(reason is not None for _, reason in reasons):
        path, reason = reasons[0]
        raise Invalid(f"{path} is left out, for {reason}; no store was begun")


def _bare(store: Store, report: IngestReport) -> str:
    """A hint where other chunks have vectors and those just added have none, or those of another model."""
    if not report.added + report.changed or not store.documents.db.present("vectors"):
        return ""
    own = None if store.embedder is None else store.embedder.model
    models = [repr(each.model) for each in store.vectors.models() if each.kinds.get("chunk") and each.model != own]
    there = command("documents", "reembed", "--db", store.path, "--embedder", "MODULE:NAME")
    has = "no vectors yet" if own is None else f"vectors of {own!r}"
    return f"what came in has {has}, and others here have those of {', '.join(models)}: {there}" if models else ""


def _print_report(report: IngestReport, place: str) -> None:
    figures = {name: getattr(report, name) for name in ("added", "changed", "unchanged", "removed", "skipped")}
    told = ", ".join(f"{figure:,} {name}" for name, figure in figures.items() if figure)
    print(f"{told or 'no file to take in'}  {one_line(place)}")
    print_section(Page(), "skipped", [(one_line(path), one_line(reason)) for path, reason in report.reasons.items()])


# -- documents ----------------------------------------------------------------------------------------------------------


def _name(document: Document) -> str:
    """The title of a document, with its folders where it is the name of a file; or else where it is from."""
    path = document.relative_path or ""
    return (path if path.endswith(document.title) else document.title) or document.uri or document.display_name or document.id


DOCUMENT = Kind("document", "documents", "SELECT id FROM documents WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10")


def _typed(store: Store, typed: str) -> Document:
    """The document with an id, or else with a uri, which may be typed as the path of a file."""
    try:
        found: Document = one(store, DOCUMENT, typed)
    except NotFound:
        uris = [typed, PurePath(os.path.realpath(typed)).as_posix()]
        there = store.documents.find(filters={"uri": uris}, include_deleted=True, limit=10)
        if len(there) > 1:
            raise Invalid(f"{typed!r} is the uri of more than one document: {', '.join(item.id for item in there)}; type an id") from None
        if not there:
            raise
        return there[0]
    return found


def listed(options: Namespace) -> int:
    """List documents, newest first."""
    limit, chosen = options.limit, {"source_type": options.type, "project": options.project, "user_id": options.user}
    with open_for(options) as store:
        found = store.documents.find(**chosen, include_deleted=options.hidden, limit=one_more(limit))
        projects = projects_by_id(store)
        if not found and options.project is not None:
            _refuse_unknown(store, options.project)
    if options.json:
        print_json({"documents": [item.to_dict() for item in found[:limit]]})
        return 0
    names = [f"{_name(item)} (hidden)" if item.is_deleted else _name(item) for item in found[:limit]]
    print_list([(item, (item.source_type,), name) for item, name in zip(found, names)], projects)
    tell_of_others(len(found), options, DOCUMENT)
    return 0


def _refuse_unknown(store: Store, project: str) -> None:
    """Raise NotFound for a project that is neither registered nor named by any row: it may be misspelt."""
    documents, memories, knowledge = store.documents, store.memories, store.knowledge
    if not (
        documents.find(project=project, include_deleted=True, limit=1)
        or memories.find(project=project, include_expired=True, limit=1)
        or memories.states(project)
        or knowledge.entities(project=project, limit=1)
    ):
        store.chat.get_project(project)


def search(options: Namespace) -> int:
    """List the chunks that share words with a text, best first."""
    query = " ".join(options.query)
    filters = None if options.type is None else {"source_type": options.type}
    with open_for(options) as store:
        hits = store.documents.search(query, project=options.project, user_id=options.user, filters=filters, limit=options.limit)
        if options.project is not None:
            _refuse_unknown(store, options.project)
    if options.json:
        print_json({"query": query, "hits": [hit.to_dict() for hit in hits]})
        return 0
    _print_hits(hits, prefixes(query))
    if not hits:
        print(f"no document shares a word with {one_line(query)!r}", file=sys.stderr)
    return 0


def _print_hits(hits: Sequence[ChunkHit], asked: Sequence[str]) -> None:
    """A line for the place of each hit, and beneath it the snippet."""
    page = Page()
    for hit in hits:
        place = " > ".join(part for part in (_name(hit.document), hit.chunk.heading_path) if part)
        print(f"{page.bold(one_line(place))}  {page.dim(shown_id(hit.chunk.id, page))}")
        print(*page.table([(f"{hit.score:.2f}", one_line(hit.snippet))], (page.dim,), indent="  ", found=asked), sep="\n")


#: Explains what might look like a failure and is none.
STATES: dict[str | None, str] = {"pending": "words find it; not all of its chunks have vectors"}


def show(options: Namespace) -> int:
    """Show one document, its chunks, and its history."""
    with open_for(options) as store:
        item = _typed(store, options.id)
        chunks = store.documents.chunks(item.id)
        history = store.audit.history("document", item.id)
        projects = projects_by_id(store)
    if options.json:
        told = {"document": item.to_dict(), "chunks": [chunk.to_dict() for chunk in chunks]}
        print_json({**told, "history": [event.to_dict() for event in history]})
        return 0
    page = Page()
    print(page.bold(f"document {one_line(item.id)}"), "is hidden" if item.is_deleted else f"has {count(len(chunks), 'chunk')}")
    print_whole(page, [(one_line(_name(item)),)])
    print_fields(page, item, {"project_id": projects, "ingestion_status": STATES})
    if chunks:
        print("", page.dim("chunks"), sep="\n")
        rows = [(shown_id(chunk.id, page), one_line(chunk.heading_path), one_line(chunk.content)) for chunk in chunks]
        print(*page.table(rows, (page.dim, page.bold), indent="  "), sep="\n")
    print_history(page, history)
    return 0


def remove(options: Namespace) -> int:
    """Hide a document until it is added again."""
    with open_for(options, read_only=False) as store:
        id = _typed(store, options.id).id
        done = store.documents.remove(id, actor=options.actor, note=options.note)
        item = store.documents.get(id)
    if options.json:
        print_json({"document": item.to_dict(), "done": done})
    else:
        print(f"document {one_line(id)} {'is hidden now' if done else 'was hidden already'}: it comes back when it is added again")
    return 0


def reembed(options: Namespace) -> int:
    """Embed the chunks that have no vector of the embedder's model."""
    with open_for(options, read_only=False) as store, shown_progress() as progress:
        if store.embedder is None:
            raise Invalid("nothing says what makes vectors; give --embedder MODULE:NAME, or set MEMSTORE_EMBEDDER")
        given, model = store.documents.reembed(progress=progress), store.embedder.model
        total, place = store.vectors.count(model=model, kind="chunk"), store.path
    if options.json:
        print_json({"model": model, "embedded": given, "vectors": total, "store": place})
    else:
        print(f"{count(given, 'chunk')} embedded, {count(total, 'vector')} of {one_line(model)!r} now  {one_line(place)}")
    return 0


# -- ask ----------------------------------------------------------------------------------------------------------------


def ask(options: Namespace) -> int:
    """Show what an agent should know for a question, each piece with where it is from and why it is told."""
    with open_for(options) as store:
        pack = store.context(
            " ".join(options.query),
            project=options.project,
            user_id=options.user,
            conversation_id=options.conversation,
            specialist=options.specialist,
            max_tokens=options.max_tokens,
        )
        if options.project is not None:
            _refuse_unknown(store, options.project)
    if options.json:
        print_json(pack.to_dict())
        return 0
    _print_pack(pack)
    if not pack.pieces:
        about, room = one_line(pack.query), count(pack.max_tokens, "token")
        print(f"nothing here has to do with {about!r}, or it does not fit into {room}", file=sys.stderr)
    return 0


def _print_pack(pack: ContextPack) -> None:
    page = Page()
    numbered = enumerate(pack.pieces, 1)
    for band, group in groupby(numbered, lambda each: each[1].band):
        for lines in page.whole([(HEADINGS[band],)]):
            print(*map(page.bold, lines), sep="\n")
        for number, piece in group:
            _print_piece(page, number, piece)
    if pack.pieces:
        print(page.dim(f"{count(len(pack.pieces), 'piece')}, {pack.tokens:,} of {pack.max_tokens:,} tokens"))


def _print_piece(page: Page, number: int, piece: ContextPiece) -> None:
    """Print the number, source and reason of a piece, and then its text line by line."""
    for about in (f"[{number}] {one_line(piece.source)}  {piece.kind} {shown_id(piece.id, page)}", one_line(piece.why)):
        for lines in page.whole([(about,)], indent="  "):
            print(*map(page.dim, lines), sep="\n")
    for line in piece.text.strip("\n").rstrip().splitlines():
        deep = len(line) - len(line.lstrip())  # of code
        for lines in page.whole([(one_line(line),)], indent=" " * (4 + deep)):
            print(*lines, sep="\n")
    print()
