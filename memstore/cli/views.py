"""What the commands other than `demo` show."""

from __future__ import annotations

import contextlib
import os
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..audit import AuditHead
from ..kernel import ADVICE, Corrupt, Finding, Invalid, values
from ..keywords.words import prefixes
from ..reports import Report
from ..store import ROOMS
from . import command, open_for, store_path
from .terminal import Page, cells, count, cut, excerpt, moment, one_line, print_json, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from ..audit import AuditEvent, Verification
    from ..chat import Conversation, MessageHit
    from ..reports import Stats
    from ..store import Store

NEWEST_SHOWN = 5
SHOWN_OF_ID = 8  # the end of an id: its beginning is the time, which neighbours share

# -- info ---------------------------------------------------------------------------------------------------------------


def info(options: argparse.Namespace) -> int:
    """Show what a store holds."""
    with open_for(options) as store:
        stats = store.stats()
        newest = store.chat.conversations(limit=NEWEST_SHOWN)
        head = store.audit.head()
    if options.json:
        print_json({**stats.to_dict(), "audit_head": head.to_dict(), "conversations": [chat.to_dict() for chat in newest]})
    else:
        _print_info(stats, newest, head)
    return 0


def _print_info(stats: Stats, newest: list[Conversation], head: AuditHead) -> None:
    page = Page()
    print(page.bold(stats.path))
    log = f", {size(stats.wal_bytes)} more in its write-ahead log" if stats.wal_bytes else ""
    free = f", {size(stats.free_bytes)} of it free" if stats.free_bytes else ""
    print(f"{size(stats.bytes)}{free}{log} · store {stats.store_id}")
    rooms = _rooms(stats)
    print("", *page.table(rooms, (page.bold, page.dim)) if rooms else ["empty"], sep="\n")
    if newest:
        print(f"\n{page.dim('newest conversations')}")
        rows = [(moment(chat.updated_at), one_line(chat.title) or one_line(chat.id)) for chat in newest]
        for chat, line in zip(newest, page.table(rows, indent="  ")):
            print(line, *([page.dim(f"    {one_line(chat.id)}")] if one_line(chat.title) else []), sep="\n")
    if head.seq:
        print(f"\n{page.dim('newest audit event')}\n  #{head.seq}  {head.hash}")
    for line in stats.advice:
        print(f"\n{line}")


def _rooms(stats: Stats) -> list[tuple[str, str, str]]:
    """Name, bytes and content of each room that holds anything."""
    lines = []
    for room, shown in ROOMS.items():
        tables = {table.table: table for table in stats.tables if table.room == room}
        content = ", ".join(_content(name, tables[name].rows) for name in shown if name in tables and tables[name].rows)
        sizes = [table.bytes for table in tables.values() if table.bytes is not None]
        if content:
            lines.append((room, size(sum(sizes)).rjust(7) if sizes else "", content))
    return lines


def _content(table: str, rows: int) -> str:
    return count(rows, "event") if table == "audit_log" else count(rows, values.singular(table).replace("_", " "))


# -- check --------------------------------------------------------------------------------------------------------------


def check(options: argparse.Namespace) -> int:
    """Look for damage."""
    path = store_path(options)
    anchors = [] if options.anchor is None else _anchors(options.anchor)
    try:
        with open_for(options) as store:
            report = store.check(options.deep)
            if anchors:
                report = _anchored(report, store.audit.verify(anchors=anchors))
    except Corrupt as error:  # too damaged to be opened is what was asked about, not a mistake in asking
        report = Report(False, [Finding("corrupt", None, str(error))])
    if options.json:
        print_json({"path": path, "ok": report.ok, "findings": _plain(report.findings)})
    else:
        _print_report(path, report.ok, report.findings, path)
    return 0 if report.ok else 1


def _anchored(report: Report, verified: Verification) -> Report:
    """The report with the log's part of it replaced by what the anchors add."""
    other = [finding for finding in report.findings if finding.kind != "unanchored" and finding not in verified.findings]
    return Report(report.ok and verified.ok, [*other, *verified.findings])


def _plain(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [{**finding._asdict(), "advice": finding.kind in ADVICE} for finding in findings]


def _print_report(what: str, ok: bool, findings: Sequence[Finding], path: str) -> None:
    page = Page()
    wrong = sum(finding.kind not in ADVICE for finding in findings)
    print(f"{page.good('ok')}  {what}" if ok else f"{page.bad(count(wrong, 'finding'))}  {what}")
    rows = [(finding.kind, "" if finding.seq is None else f"#{finding.seq}", _detail(finding, path)) for finding in findings]
    for finding, lines in zip(findings, page.whole(rows, indent="  ")):
        print(*(page.dim(line) if finding.kind in ADVICE else line for line in lines), sep="\n")


def _detail(finding: Finding, path: str) -> str:
    """What a finding says, with a command where the library names a method."""
    here = f"{command('log', '--head', path)} > anchor.txt makes one to keep elsewhere"
    detail = one_line(finding.detail).replace("keep str(head()) elsewhere", here)
    return f"{detail}  (advice)" if finding.kind in ADVICE else detail


def _anchors(path: str) -> list[AuditHead]:
    """The anchors of a file: three lines each, any number of them."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    if not lines:
        raise Invalid(f"{path} holds no anchor; log --head prints one")
    if lines[0].startswith("SQLite format 3"):
        raise Invalid(f"{path} is a store where a file of anchors is looked for; the store comes first: {command('log', path, '--verify')}")
    try:
        return [AuditHead.parse("\n".join(lines[start : start + 3])) for start in range(0, len(lines), 3)]
    except Invalid as error:
        raise Invalid(f"{path}: {error}") from None


# -- search -------------------------------------------------------------------------------------------------------------


def search(options: argparse.Namespace) -> int:
    """Find messages."""
    query = " ".join(options.query)
    limit = options.limit
    with open_for(options) as store:
        hits = store.chat.search(
            query,
            conversation_id=options.conversation,
            project=options.project,
            role=options.role,
            limit=limit + 1 if 0 <= limit < sys.maxsize else limit,  # one more tells whether there are more
        )
        if not hits and options.project is not None:
            _refuse_unknown(store, options.project)
        more = len(hits) > limit
        hits = hits[:limit]
        titles = {hit.message.conversation_id: "" for hit in hits}
        titles = {id: store.chat.get_conversation(id).title for id in titles}
        beside = store.documents.db.present("documents")
    if options.json:
        found = [{"title": titles[hit.message.conversation_id], **hit.to_dict()} for hit in hits]
        print_json({"query": query, "hits": found})
        return 0
    asked = prefixes(query)
    _print_hits(hits, titles, asked)
    if more:
        print(f"there are more than {limit:,}; --limit N shows up to N", file=sys.stderr)
    elif not asked:
        print(f"nothing to search for: {one_line(query)!r} holds no word", file=sys.stderr)
    elif not hits:
        further = f"; in documents: {command('documents', 'search', '--db', store_path(options), *options.query)}" if beside else ""
        print(f"no message has words that begin with {', '.join(asked)!r}{further}", file=sys.stderr)
    return 0


def _refuse_unknown(store: Store, project: str) -> None:
    """Refuse a project that nobody has registered and that no conversation names."""
    if not any(store.chat.conversations(project=project, archived=old, limit=1) for old in (False, True)):
        store.chat.get_project(project)


def _print_hits(hits: Sequence[MessageHit], titles: dict[str, str], asked: Sequence[str]) -> None:
    page = Page()
    rows = [(moment(hit.message.created_at), hit.message.role, excerpt(hit)) for hit in hits]
    lines = zip(hits, page.table(rows, (page.dim,), indent="  ", found=asked))
    for id, group in groupby(lines, lambda pair: pair[0].message.conversation_id):
        shown = one_line(id)
        title = cut(one_line(titles[id]), None if page.width is None else max(10, page.width - 2 - cells(shown)))
        print("  ".join(part for part in (page.bold(title), page.dim(shown)) if part))
        print(*(line for _, line in group), sep="\n", flush=True)


# -- log ----------------------------------------------------------------------------------------------------------------


def log(options: argparse.Namespace) -> int:
    """Show the audit log, its newest anchor, or whether it verifies."""
    if options.verify is not None:
        return _verify(options)
    with open_for(options) as store:
        if options.head:
            head = store.audit.head()
            print_json(head.to_dict()) if options.json else print(head)
            return 0
        events = store.audit.find(
            event_type=options.type,
            actor=options.actor,
            session_id=options.session,
            conversation_id=options.conversation,
            limit=options.limit,
        )
    if options.json:
        print_json({"events": [event.to_dict() for event in events]})
        return 0
    if not events:
        print("no events", file=sys.stderr)
    _print_events(events)
    return 0


def _print_events(events: Sequence[AuditEvent]) -> None:
    """A row for each; on a terminal its day stands above it, for a pipe every row is whole."""
    page = Page()
    whole = page.width is None
    named = any(event.actor for event in events)
    times = [("", "", moment(event.created_at)) if whole else moment(event.created_at).rpartition(" ") for event in events]
    rows = [
        (f"#{event.seq}", time, event.event_type, *([one_line(event.actor)] if named else []), _about(event, whole))
        for event, (_, _, time) in zip(events, times)
    ]
    lines = zip(times, page.table(rows, (page.dim, page.dim, page.bold), indent="" if whole else "  "))
    for day, group in groupby(lines, lambda pair: pair[0][0]):
        print(*([page.dim(day)] if day else []), *(line for _, line in group), sep="\n")


def _about(event: AuditEvent, whole: bool) -> str:
    """What an event is about, on one line: the note, the details, the thing."""
    if event.redacted:
        return "(redacted)"
    id = event.entity_id
    if id is not None and not whole and len(id) > SHOWN_OF_ID + 1:
        id = f"…{id[-SHOWN_OF_ID:]}"
    thing = " ".join(part for part in (event.entity_kind, id) if part is not None)
    details = "" if event.details is None else values.to_json("details", event.details)
    return "  ".join(one_line(part) for part in (event.note, details, thing) if part)


def _verify(options: argparse.Namespace) -> int:
    anchors = _anchors(options.verify) if options.verify else []
    with open_for(options) as store:
        verified = store.audit.verify(anchors=anchors)
    if options.json:
        print_json({**verified.to_dict(), "findings": _plain(verified.findings)})
    else:
        held = "" if verified.anchored_to is None else f", complete up to the anchor at #{verified.anchored_to.seq}"
        _print_report(f"{count(verified.checked, 'event')} verified{held}", verified.ok, verified.findings, store_path(options))
    return 0 if verified.ok else 1


# -- snapshot -----------------------------------------------------------------------------------------------------------


def snapshot(options: argparse.Namespace) -> int:
    """Copy the store."""
    with open_for(options) as store:
        with shown_progress() as progress:
            place = store.snapshot(options.target, progress=progress)
    print(f"{place}  {size(os.stat(place).st_size)}")
    return 0


@contextlib.contextmanager
def shown_progress() -> Iterator[Callable[[int, int], object] | None]:
    """What shows progress on a terminal and wipes it away at the end; None where nobody looks."""

    def show(done: int, total: int) -> None:
        print(f"\r{done * 100 // max(1, total)} %", end="", file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield show
    finally:
        print(end="\r\033[K", file=sys.stderr)


# -- shell --------------------------------------------------------------------------------------------------------------


def shell(options: argparse.Namespace) -> int:
    """Open a console, or run the statements that are piped in, showing the values of expressions as a console does."""
    with open_for(options, read_only=False) as store:
        names: dict[str, Any] = {"__name__": "__console__", "store": store}
        try:
            return _interact(store, names) if sys.stdin.isatty() else _execute(sys.stdin.read(), names)
        except SystemExit as end:  # somebody typed exit()
            return end.code if isinstance(end.code, int) else int(end.code is not None)


def _interact(store: Store, names: dict[str, Any]) -> int:
    import code

    with contextlib.suppress(ImportError):
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    rooms = ", ".join(f"store.{room}" for room in ROOMS)
    code.interact(banner=f"{store!r}\nrooms: {rooms}\nCtrl-D ends.", local=names, exitmsg="")
    return 0


def _execute(source: str, names: dict[str, Any]) -> int:
    import ast
    import traceback

    try:
        for statement in ast.parse(source, "<stdin>").body:
            exec(compile(ast.Interactive([statement]), "<stdin>", "single", dont_inherit=True), names)
    except Exception:
        traceback.print_exc()
        return 1
    return 0
