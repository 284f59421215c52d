"""What removes for good, and what changes the key: `prune`, `erase`, `rekey`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, NotFound, values
from . import open_for, spoken
from .keys import named_codec
from .rows import Kind, ending
from .terminal import count, one_line, print_json, size
from .views import shown_progress

if TYPE_CHECKING:
    import argparse

    from ..erasure import EraseReceipt
    from ..pruning import PruneReport
    from ..store import Store

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
BYTES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
#: Of what is erased by its id, where that is found by its end.
ENDED = [
    Kind("conversation", "chat", "SELECT id FROM conversations WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10"),
    Kind("message", "chat", "SELECT id FROM messages WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10"),
    Kind("memory", "memories", "SELECT id FROM memories WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10"),
    Kind("document", "documents", "SELECT id FROM documents WHERE substr(id, -length(?)) = ? ORDER BY pk LIMIT 10"),
]


# -- prune --------------------------------------------------------------------------------------------------------------


def prune(options: argparse.Namespace) -> int:
    """Remove what is old."""
    age, most = _age(options.max_age), _bytes(options.max_bytes)
    if options.keep_last is None and age is None and most is None:
        raise Invalid("nothing says what may stay; give --keep-last N, --max-age 90d or --max-bytes 50MB")
    limits = {"room": options.room, "keep_last": options.keep_last, "max_age": age, "max_bytes": most}
    why = {"reason": options.reason, "actor": options.actor}
    with open_for(options, read_only=False) as store:
        if most is not None and options.room is None:
            _refuse_in_vain(store.prune(**limits, dry_run=True), most)
        report = store.prune(**limits, **why, dry_run=options.dry_run)
        place = store.path
    if options.json:
        print_json({**report.to_dict(), "path": place})
        return 0
    print(f"{_went(report)}  {one_line(place)}")
    for line in report.kept:
        print(one_line(spoken(line)), file=sys.stderr)
    return 0


def _refuse_in_vain(trial: PruneReport, most: int) -> None:
    """A limit out of reach, or a forgotten M, would take all there is and win nothing."""
    if trial.bytes_after > most:
        least = f"without all that prune may remove the file takes {size(trial.bytes_after)}"
        raise Invalid(f"--max-bytes is out of reach: {least}; nothing was removed")


def _went(report: PruneReport) -> str:
    sizes = f"{size(report.bytes_before)} -> {size(report.bytes_after)}"
    if not report.removed:
        return f"nothing to remove, {sizes}"
    return f"{'would remove' if report.dry_run else 'removed'} {rows(report.removed)}; {sizes}"


def rows(counts: dict[str, int]) -> str:
    """`3 conversations, 120 messages`."""
    return ", ".join(count(number, _thing(table)) for table, number in counts.items())


def _thing(table: str) -> str:
    events = {"audit_log": "event", "audit_imported": "imported event"}
    return events.get(table, values.singular(table).replace("_", " "))


def _age(text: str | None) -> float | None:
    """Seconds of an age as people write it."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if found is None:
        raise Invalid(f"--max-age {text!r} is no age; write it with its unit: 45s, 30m, 12h, 90d or 8w")
    return float(found[1]) * SECONDS[found[2]]


def _bytes(text: str | None) -> int | None:
    """Bytes of a size as people write it."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt]i?)b?|b)", text.strip().lower())
    if found is None:
        raise Invalid(f"--max-bytes {text!r} is no size; write it with its unit: 50MB, 1.5GB, 512KiB or 4096B")
    return int(float(found[1]) * BYTES[found[2] or ""])


# -- erase --------------------------------------------------------------------------------------------------------------


def erase(options: argparse.Namespace) -> int:
    """Forget one subject in every room, once somebody has said that it is meant."""
    if not (options.yes or options.dry_run or sys.stdin.isatty()):
        raise Invalid("erasing cannot be undone; give --yes to do it, or --dry-run to see what would go")
    given = {
        "conversation_id": options.conversation, "user_id": options.user, "project": options.project, "message_id": options.message,
        "memory_id": options.memory, "document_id": options.document, "reason": options.reason, "actor": options.actor,
    }  # fmt: skip
    with open_for(options, read_only=False) as store:
        trial = _trial(store, options, given)
        if not (options.yes or options.dry_run) and not _meant(trial):
            print("nothing was erased", file=sys.stderr)
            return 1
        receipt = store.erase(**given, dry_run=options.dry_run)
        place = store.path
    if options.json:
        print_json({**receipt.to_dict(), "path": place})
    else:
        _print_erased(receipt, place)
    return 0 if receipt.scrubbed or options.dry_run else 1


def _trial(store: Store, options: argparse.Namespace, given: dict[str, Any]) -> EraseReceipt:
    """What would go. An id is typed whole here, for what is erased by mistake does not come back."""
    try:
        trial = store.erase(**given, dry_run=True)
    except NotFound as error:
        for kind in ENDED:
            typed = getattr(options, kind.noun)
            ends = ending(store, kind, typed) if typed else []
            if ends:
                raise NotFound(f"{error}; to erase takes the whole id, of which this is the end: {', '.join(ends)}") from None
        raise
    if not trial.counts:
        raise NotFound(f"no room holds anything of a user {options.user!r}; nothing was erased")
    return trial


def _meant(trial: EraseReceipt) -> bool:
    """Ask a person who has been shown what would go."""
    print(f"this erases for good: {rows(trial.counts)}", file=sys.stderr)
    print("erase? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_erased(receipt: EraseReceipt, place: str) -> None:
    verb = "would erase" if receipt.dry_run else "erased"
    event = "" if receipt.audit_seq is None else f"; event #{receipt.audit_seq}"
    print(f"{verb} {rows(receipt.counts)}{event}  {one_line(place)}")
    said = [*receipt.kept, *(f"conversation {fork} holds copies of what was erased" for fork in receipt.forks)]
    if not receipt.dry_run and not receipt.scrubbed:
        said.append("bytes of it are still in the file or its log; the next open, commit or close that nobody holds up removes them")
    for line in (*said, receipt.out_of_reach):
        print(one_line(line), file=sys.stderr)


# -- rekey --------------------------------------------------------------------------------------------------------------


def rekey(options: argparse.Namespace) -> int:
    """Bring what is encrypted under another codec."""
    codec: Any = named_codec("--to", options.to)
    with open_for(options, read_only=False) as store, shown_progress() as progress:
        changed = store.rekey(codec, actor=options.actor, note=options.reason, progress=progress)
        place = store.path
    if options.json:
        print_json({"path": place, "values": changed})
    else:
        print(f"{count(changed, 'value')} under {one_line(options.to)}  {one_line(place)}")
    return 0
