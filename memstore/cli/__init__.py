"""The command line: `python -m memstore`, or `memstore` where it is installed.

1. A reading command opens the store read-only and never creates a file but the copy or export that it is asked for.
2. Status: 0 fine, 1 findings (of `check` and `log --verify`, what `import --from` and `dpo --import` could not take, an erasure that
   was answered with no or whose last bytes are yet to go, a decision about what is no candidate), 2 a usage error or an error of the
   store, in one line on standard error, 130 after Ctrl-C. A search without a hit, or without a word to search for, is fine: the
   question was answered. So is an import that leaves out what was erased here: that is what erasing promises.
3. What is printed for a pipe is never cut or coloured, and a reader that stops reading ends the command quietly.
4. Importing this module imports no room.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from .. import __version__
from ..kernel import Invalid, NotFound, StoreError
from .arguments import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..store import Store

INTERRUPTED = 130
#: What errors tell a caller in Python, and what that is here.
SPOKEN = {
    "store.chat.conversations() lists them": "info lists the newest",
    "; store.chat.projects() lists them": "",
    "store.memories.find() lists them": "memories lists the newest",
    "store.knowledge.entities() lists them": "entities lists the newest",
    "store.conflicts.find() lists them": "conflicts lists the newest",
    "store.documents.find() lists them": "documents lists the newest",
    'on_conflict="skip"': "--on-conflict skip",
    '"replace"': "--on-conflict replace",
    "pass skip_invalid=True": "give --skip-invalid",
    "open it with open_store(..., codec=...)": "give --codec MODULE:NAME, or set MEMSTORE_CODEC",
    "open it again with the new one as codec=": "give the new one as --codec",
    "export it, and import that into a new store opened with codec=": "export it, and import that with --codec into a new store",
    "that of codec=": "that of --codec",
    "open_store(..., audit_key=...)": "set MEMSTORE_AUDIT_KEY",
    "erase(conversation_id=...)": "erase --conversation ID",
    "corrections.prune()": "store.corrections.prune() in the shell",
    "until the next prune() or optimize()": "until the next prune",
    "nothing is left in it that prune() removes": "nothing is left in it that prune removes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # something else may stand in the place of the real stream
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = _run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_output()
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except (StoreError, OSError) as error:
        print(f"memstore: {_sentence(error)}", file=sys.stderr)
        return 2
    return status


def _show_warning(message: Warning | str, *_where: object, **_how: object) -> None:
    print(f"memstore: {message}", file=sys.stderr)


def _run(argv: list[str]) -> int:
    parser = command_line()
    try:
        options, unknown = parser.parse_known_args(argv)
        if unknown:
            parser.refuse(unknown, options.command)
    except SystemExit as end:  # argparse has said what it had to say
        return int(end.code or 0)
    if options.command is None:
        print(_greeting())
        return 0
    module, name = options.run
    status: int = getattr(import_module(f"{__name__}.{module}"), name)(options)
    return status


def _greeting() -> str:
    return f"""\
memstore {__version__}: the memory of an AI agent in one SQLite file.
Conversations, search, corrections, handoff notes, model runs, a tamper-evident log.

  {command("demo")}
  {command("info", "agent.db")}
  {command("search", "--db", "agent.db", "WORD")}

The first tells a short story and leaves a file to look at; --help lists every command."""


def _sentence(error: StoreError | OSError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return spoken(" ".join(str(error).split()))


def spoken(said: str) -> str:
    """A sentence for a caller in Python as one for a shell."""
    for python, shell in SPOKEN.items():
        said = said.replace(python, shell)
    return said


def _let_go_of_output() -> None:
    """Send what is still buffered nowhere, or Python complains about the closed pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


# -- what the commands share --------------------------------------------------------------------------------------------


def open_for(options: argparse.Namespace, *, read_only: bool = True) -> Store:
    """Open the store that the command line names."""
    from ..store import open_store
    from .keys import keys

    return open_store(store_path(options), read_only=read_only, create=False, **keys(options))


def store_path(options: argparse.Namespace) -> str:
    """The existing file that the arguments or $MEMSTORE_DB name."""
    named = [path for path in (getattr(options, "path", None), options.db) if path is not None]
    if len(set(named)) > 1:
        raise Invalid(f"two stores are named, {named[0]} and {named[1]}; leave one out")
    path: str = named[0] if named else os.environ.get("MEMSTORE_DB", "")
    if not path and hasattr(options, "target"):
        raise Invalid(_one_path(options.command, options.target))
    if not path:
        raise Invalid(f"no store is named; give --db PATH or set MEMSTORE_DB ({command('demo')} makes one to look at)")
    try:
        os.stat(path)
    except FileNotFoundError:
        if not os.path.exists(path + "-wal"):  # else the store is gone and its log is not, which opening it says
            begun = command("ingest", "FOLDER", "--db", path)
            raise NotFound(f"there is no store at {path}; check the path, or begin one there: {begun}") from None
    except (OSError, ValueError):
        pass  # opening it says why
    return path


def _one_path(name: str, target: str) -> str:
    """What to say where two paths are needed and one is given."""
    if os.path.isfile(target):
        return f"no store is named before {target}, which would be written; to {name} it: {command(name, target, 'NEW')}"
    return f"no store is named, only what to write, {target}; give both: {command(name, 'STORE', target)}"


def command(*words: str) -> str:
    """A line to paste that runs this program again with these words, called the way it was called now."""
    called = sys.argv[0]
    name = os.path.basename(called)
    if name == "__main__.py":
        program = [_python(), "-m", "memstore"]
    elif os.path.isdir(called):
        program = [_python(), called]
    elif name in ("memstore", "memstore.exe"):
        program = ["memstore" if shutil.which("memstore") == called else called]
    else:  # another program called main()
        program = [sys.executable, "-m", "memstore"]
    if os.name == "nt":
        from subprocess import list2cmdline

        return list2cmdline([*program, *words])
    return shlex.join([*program, *words])


def _python() -> str:
    """The interpreter as it was called, by its bare name where that finds the same one (never a link to it: a venv is one)."""
    called = sys.orig_argv[0]
    name = os.path.basename(called)
    return name if shutil.which(name) == called else called
