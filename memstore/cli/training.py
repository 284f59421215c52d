"""What `dpo` and `sft` write for trainers, and what `dpo --import` takes in."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..corrections import dpo as pairs
from ..corrections.correction import checked_pair
from ..kernel import Invalid
from ..store import open_store
from . import open_for, store_path
from .keys import keys
from .terminal import JOINERS, Page, count, one_line, print_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

CHOICES = ("out", "min_effective", "domain", "source", "since", "conversational", "meta")


def dpo(options: argparse.Namespace) -> int:
    """Write the corrections as preference pairs, or take such pairs in."""
    chosen = {name: getattr(options, name) for name in CHOICES}
    chosen = {name: value for name, value in chosen.items() if value is not None and value is not False}
    if options.taken is not None:
        if chosen:
            raise Invalid(f"--import only takes pairs in; leave out {', '.join(map(_shown, chosen))}")
        return _take_in(options)
    if options.skip_invalid:
        raise Invalid("--skip-invalid belongs to --import FILE; an export has no line to skip")
    chosen.pop("out", None)
    since = _moment(chosen.pop("since", None))
    with open_for(options) as store:
        written = _write(options, "pair", lambda place: store.corrections.export_dpo(place, since=since, **chosen))
    if not written:
        print("no live correction that these options leave has a rejected text; --min-effective 0 leaves faded ones too", file=sys.stderr)
    return 0


def sft(options: argparse.Namespace) -> int:
    """Write the conversations in which an assistant speaks."""
    chosen = {"project": options.project, "user_id": options.user, "conversation_id": options.conversation}
    since = _moment(options.since)
    with open_for(options) as store:
        written = _write(options, "conversation", lambda place: store.chat.export_sft(place, since=since, **chosen))
    if not written:
        print("in no conversation that these options leave does an assistant speak", file=sys.stderr)
    return 0


def _shown(name: str) -> str:
    return "OUT" if name == "out" else f"--{name.replace('_', '-')}"


def _moment(text: str | None) -> float | None:
    """A time as people write it, in their own zone unless it names one, or Unix seconds as --json shows them."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return float(text)
    except ValueError:
        raise Invalid(f"--since {text!r} is no time; write it as 2026-07-31, '2026-07-31 18:00' or in Unix seconds") from None


# -- out ----------------------------------------------------------------------------------------------------------------


def _write(options: argparse.Namespace, thing: str, export: Callable[[str], int]) -> int:
    """Export into the file that is named, or to standard output, and say how much it was."""
    if options.out in (None, "-"):
        return _pour(options, thing, export)
    written = export(options.out)
    if options.json:
        print_json({"path": options.out, f"{thing}s": written})
    else:
        print(f"{count(written, thing)}  {one_line(options.out)}")
    return written


def _pour(options: argparse.Namespace, thing: str, export: Callable[[str], int]) -> int:
    """To standard output by way of a file, so that it too gets all rows or none."""
    if options.json:
        raise Invalid("--json tells about a file that is written; name OUT, or leave --json out to get the rows")
    with TemporaryDirectory(prefix="memstore-") as folder:
        place = os.path.join(folder, "rows.jsonl")
        written = export(place)
        binary = getattr(sys.stdout, "buffer", None)
        if binary is None or sys.stdout.isatty():
            with open(place, encoding="utf-8", newline="\n") as text:
                print(*(_harmless(line[:-1]) for line in text), sep="\n")
        else:  # JSON lines are UTF-8 whatever this pipe thinks it is
            with open(place, "rb") as rows:
                shutil.copyfileobj(rows, binary)
    print(count(written, thing), file=sys.stderr)
    return written


def _harmless(line: str) -> str:
    """The same JSON, with escapes for what could control a terminal."""
    return "".join(sign if sign.isprintable() or sign in JOINERS else json.dumps(sign)[1:-1] for sign in line)


# -- in -----------------------------------------------------------------------------------------------------------------


def _take_in(options: argparse.Namespace) -> int:
    refused: list[str] = []
    # Read before the store is opened: a file that cannot be taken in must not leave an empty store.
    read = len(pairs.read(options.taken, checked_pair, refused=refused if options.skip_invalid else None))
    target = options.db or os.environ.get("MEMSTORE_DB") or store_path(options)
    with open_store(target, **keys(options)) as store:
        new = store.corrections.import_dpo(options.taken, skip_invalid=options.skip_invalid)
        place = store.path
    summary: dict[str, Any] = {"path": options.taken, "store": place, "new": new, "known": read - new, "refused": refused}
    if options.json:
        print_json(summary)
    else:
        _print_taken(summary)
    return 1 if refused else 0


def _print_taken(summary: dict[str, Any]) -> None:
    page = Page()
    refused = summary["refused"]
    not_taken = f", {count(len(refused), 'line')} not taken" if refused else ""
    print(f"{count(summary['new'], 'new pair')}, {summary['known']:,} known{not_taken}  {one_line(summary['store'])}")
    if refused:
        print(page.bad("not taken"), *(f"  {one_line(line)}" for line in refused), sep="\n")
