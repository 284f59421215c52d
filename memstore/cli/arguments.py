"""What may be typed after `memstore`: every command with its arguments and its help."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from .. import __version__
from ..kernel import values

if TYPE_CHECKING:
    from collections.abc import Sequence

CODEC = "what encrypts the store: an object with encrypt and decrypt, or a function that returns one (default: $MEMSTORE_CODEC)"


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, which name the nearest command for a misspelt one."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")

    def refuse(self, unknown: Sequence[str], command: str | None) -> NoReturn:
        """Refuse arguments that nothing takes, and say where to read what is taken."""
        called = self.prog if command is None else f"{self.prog} {command}"
        self.exit(2, f"{called}: unrecognized arguments: {' '.join(unknown)} ({called} --help; --db PATH names the store)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            named = action.dest == "verb" and ("." in value or os.sep in value)  # no verb has either
            near = f"; to name the store: {self.prog} --db {shlex.quote(value)}" if named else values.suggest(value, action.choices)
            self.error(f"there is no command {value!r}{near}")
        super()._check_value(action, value)


def command_line() -> Parser:
    """The parser of all commands, each with the module and the function that `run` it."""
    parser = Parser(
        prog="memstore",
        description="The memory of an AI agent in one SQLite file.",
        epilog="Status: 0 fine (a search without a hit too), 1 findings, 2 an error of usage or store, 130 Ctrl-C. "
        "Environment: MEMSTORE_DB names the store where --db does not; MEMSTORE_CODEC names what encrypts it where --codec does not, "
        "MEMSTORE_EMBEDDER what makes vectors where --embedder does not; "
        "MEMSTORE_AUDIT_KEY holds the key of a keyed log; "
        "NO_COLOR switches colour off.",
    )
    parser.add_argument("--version", action="version", version=f"memstore {__version__}")
    parser.add_argument("--db", metavar="PATH", help="the store (default: $MEMSTORE_DB); also allowed after the command")
    parser.add_argument("--codec", metavar="MODULE:NAME", help=f"{CODEC}; also allowed after the command")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_demo(commands)
    _add_info(commands)
    _add_check(commands)
    _add_search(commands)
    _add_log(commands)
    _add_snapshot(commands)
    _add_export(commands)
    _add_import(commands)
    _add_erase(commands)
    _add_prune(commands)
    _add_rekey(commands)
    _add_dpo(commands)
    _add_sft(commands)
    _add_memories(commands)
    _add_entities(commands)
    _add_conflicts(commands)
    _add_ingest(commands)
    _add_documents(commands)
    _add_ask(commands)
    _add_path(_command(commands, "shell", "open a Python console that has `store`, for writing too; or run what is piped in"))
    return parser


def _command(
    commands: Any,
    name: str,
    purpose: str,
    *,
    module: str = "views",
    aliases: Sequence[str] = (),
    db: str = "the store (default: $MEMSTORE_DB)",
    more: str | None = None,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", aliases=aliases, epilog=more
    )
    # Without a default: what stood before the command must not be overwritten by what does not stand after it.
    parser.add_argument("--db", metavar="PATH", default=argparse.SUPPRESS, help=db)
    parser.add_argument("--codec", metavar="MODULE:NAME", default=argparse.SUPPRESS, help=CODEC)
    parser.set_defaults(run=(module, name))
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        "record an agent's session, and let another process resume it",
        module="demo",
        db="a path where nothing is yet (default: in a new temporary folder, whatever $MEMSTORE_DB says)",
    )
    parser.add_argument("transcript", nargs="?", metavar="TRANSCRIPT", help="a file of OpenAI-format messages, one a line (default: ours)")
    parser.add_argument(
        "--correction", nargs=3, metavar=("SUBJECT", "CLAIM", "REJECTED"), help="what the user taught the agent in that session"
    )
    parser.add_argument("--resume-from", metavar="PATH", help=argparse.SUPPRESS)


def _add_info(commands: Any) -> None:
    parser = _command(
        commands,
        "info",
        "show what a store holds",
        more="Reading a closed store, with this or any command, may leave an empty -wal and a -shm beside it: SQLite's own, and harmless "
        "where they belong to the store's owner. Look at another user's store in a snapshot of it.",
    )
    _add_path(parser)
    _add_json(parser)


def _add_check(commands: Any) -> None:
    parser = _command(commands, "check", "look for damage; status 1 if there is any", aliases=["doctor"])
    _add_path(parser)
    parser.add_argument("--deep", action="store_true", help="also look for what is merely risky")
    parser.add_argument("--anchor", metavar="FILE", help="anchors that the log must still hold, as log --head prints them")
    _add_json(parser)


def _add_search(commands: Any) -> None:
    parser = _command(
        commands,
        "search",
        "find messages by the beginnings of their words, newest first",
        more="Status 0 also where nothing is found, or the words hold nothing to search for.",
    )
    parser.add_argument("query", nargs="+", metavar="WORD", help="every one must begin some word of the message")
    parser.add_argument("--conversation", metavar="ID")
    parser.add_argument("--project", metavar="NAME", help="its id, name or alias")
    parser.add_argument("--role", metavar="ROLE", help="user, assistant, tool, ...")
    _add_limit(parser)
    _add_json(parser)


def _add_log(commands: Any) -> None:
    parser = _command(
        commands,
        "log",
        "show the audit log, newest event first, or verify it",
        more="A terminal shows the day once and the last 8 characters of an id; a pipe, and --json, show all of both.",
    )
    _add_path(parser)
    parser.add_argument("--type", metavar="TYPE", help="of the events, such as correction.update")
    parser.add_argument("--actor", metavar="NAME")
    parser.add_argument("--session", metavar="ID")
    parser.add_argument("--conversation", metavar="ID")
    _add_limit(parser)
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--verify", nargs="?", const="", metavar="ANCHOR_FILE", help="verify the log instead, against anchors if given; 1 if it fails"
    )
    other.add_argument("--head", action="store_true", help="print the anchor of the newest event instead; keep it outside of the store")
    _add_json(parser)


def _add_snapshot(commands: Any) -> None:
    parser = _command(commands, "snapshot", "copy the store into one file, while others use it")
    _add_path(parser, "SOURCE")
    parser.add_argument("target", metavar="TARGET", help="the copy")


def _add_export(commands: Any) -> None:
    parser = _command(
        commands,
        "export",
        "write the store as lines of JSON into a new folder",
        module="moving",
        more="The folder appears whole or not at all; the same state gives the same bytes. What a codec encrypts is plain text there.",
    )
    _add_path(parser, "STORE")
    parser.add_argument("target", metavar="FOLDER", help="where nothing is yet")
    parser.add_argument("--user", metavar="ID", help="only what belongs to this user")
    _add_json(parser)


def _add_import(commands: Any) -> None:
    parser = _command(
        commands,
        "import",
        "take in what export wrote, or what another application has kept; status 1 if a row could not be taken",
        more="An export comes in whole or not at all. An empty store becomes the exported one.",
    )
    parser.add_argument(
        "--from", dest="origin", choices=["aua", "openai-sessions", "llm", "chat", "atocore", "mem0", "langgraph"],
        help="whose file it is: AUA's (aua.db, its older flat files or their folder), the OpenAI Agents SDK's, llm's (logs.db), "
        "lines of OpenAI messages, AtoCore's database, what mem0's get_all() gave (JSON), LangGraph's SqliteStore",
    )  # fmt: skip
    parser.add_argument(
        "path", metavar="PATH", help="the folder that export wrote, or the file; it is only read (without --db: into NAME.memstore.db "
        "beside it)",
    )  # fmt: skip
    parser.add_argument(
        "--on-conflict", choices=["error", "skip", "replace"], help="of an export: what to do with rows that the store has (default: error)"
    )
    parser.add_argument("--conversation", metavar="ID", help="of chat: the one that loose messages go to (default: the file's name)")
    parser.add_argument("--dry-run", action="store_true", help="do everything and undo it: show what would come in")
    parser.set_defaults(run=("moving", "take_in"))
    _add_json(parser)


def _add_erase(commands: Any) -> None:
    parser = _command(
        commands,
        "erase",
        "forget a conversation, user, project, message, memory or document, to the last byte; status 1 if bytes are left for now",
        module="upkeep",
    )
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--conversation", metavar="ID", help="with its messages, notes, runs and corrections")
    subject.add_argument("--user", metavar="ID", help="with all conversations and projects")
    subject.add_argument("--project", metavar="NAME", help="its id, name or alias; with its conversations")
    subject.add_argument("--message", metavar="ID")
    subject.add_argument("--memory", metavar="ID")
    subject.add_argument("--document", metavar="ID", help="with its chunks and their vectors")
    parser.add_argument("--dry-run", action="store_true", help="show what would go, and what stays")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_why(parser)
    _add_json(parser)


def _add_rekey(commands: Any) -> None:
    parser = _command(
        commands,
        "rekey",
        "bring what is encrypted under another codec; interrupted, it goes on when called again",
        module="upkeep",
    )
    _add_path(parser)
    parser.add_argument("--to", required=True, metavar="MODULE:NAME", help="the new codec; --codec names the one it has")
    _add_why(parser)
    _add_json(parser)


def _add_prune(commands: Any) -> None:
    parser = _command(
        commands,
        "prune",
        "remove what is old and give its space back to the disk",
        module="upkeep",
        more="What any of the limits says goes, oldest first: whole conversations by their last activity, runs, assertions, superseded "
        "corrections, memories and artifacts, interactions, what the graph was once, closed conflicts, keyword items added by hand, events "
        "from the front of the log. Backups, promotions and what was rejected stay.",
    )
    _add_path(parser)
    parser.add_argument("--room", metavar="ROOM", help="of this room only: chat, corrections, memories, knowledge, ...")
    parser.add_argument("--keep-last", type=int, metavar="N", help="of each kind the newest N stay")
    parser.add_argument("--max-age", metavar="AGE", help="what has rested for longer goes: 90d, 12h, 8w")
    parser.add_argument("--max-bytes", metavar="SIZE", help="what is oldest goes until the file, or the room, is no larger: 50MB")
    parser.add_argument("--dry-run", action="store_true", help="do it and undo it: show what would go")
    _add_why(parser)
    _add_json(parser)


def _add_dpo(commands: Any) -> None:
    parser = _command(
        commands,
        "dpo",
        "write corrections as preference pairs for a trainer, or take such pairs in",
        module="training",
        more="A row has the keys prompt, chosen and rejected, as TRL reads them; those of --meta come beside. "
        "An import knows what the store has, so that a second one adds nothing; it begins a store where there is none.",
    )
    _add_out(parser)
    parser.add_argument("--min-effective", type=float, metavar="X", help="leave out what is less sure today (default: 0.7)")
    parser.add_argument("--domain", metavar="NAME")
    parser.add_argument("--source", metavar="NAME", help="who said so: manual, arbiter, ...")
    _add_since(parser, "of the correction")
    parser.add_argument("--conversational", action="store_true", help="write lists of messages in place of texts")
    parser.add_argument("--meta", action="store_true", help="add columns of the correction; an import takes them back")
    parser.add_argument("--import", dest="taken", metavar="FILE", help="take in the pairs of a file, or of every .jsonl of a folder")
    parser.add_argument("--skip-invalid", action="store_true", help="take in the rest where lines are no pairs; name those, status 1")
    _add_json(parser)


def _add_sft(commands: Any) -> None:
    parser = _command(
        commands,
        "sft",
        "write conversations as training rows, oldest first",
        module="training",
        more="A row has the key messages, and tools where a message names them, as TRL reads them; "
        "conversations in which no assistant speaks are left out.",
    )
    _add_out(parser)
    parser.add_argument("--conversation", metavar="ID")
    parser.add_argument("--project", metavar="NAME", help="its id, name or alias")
    parser.add_argument("--user", metavar="ID", help="whose conversations")
    _add_since(parser, "of the last activity")
    _add_json(parser)


def _add_memories(commands: Any) -> None:
    types = "identity, preference, project, ..."
    verbs = _add_listing(commands, "memories", "search, show, promote or reject", types)
    _add_status(_finding(verbs, "memories", types, module="beliefs"), default=argparse.SUPPRESS)
    _add_candidates(verbs, "memory")


def _add_entities(commands: Any) -> None:
    _add_candidates(_add_listing(commands, "entities", "show, promote or reject", "such as Component or Requirement"), "entity")


def _add_candidates(verbs: Any, thing: str) -> None:
    _verb(verbs, "show", f"show one {thing} with its history")
    _add_decision(_verb(verbs, "promote", f"let a candidate hold: the {thing} becomes active; status 1 if it is no candidate"))
    _add_decision(_verb(verbs, "reject", f"let a candidate never hold: the {thing} becomes invalid; status 1 if it is no candidate"))


def _add_conflicts(commands: Any) -> None:
    verbs = _add_listing(commands, "conflicts", "show or resolve", "of the slot, such as component.material")
    _verb(verbs, "show", "show one conflict with its members, a suggestion and its history")
    resolve = _verb(verbs, "resolve", "close a conflict by your word")
    resolve.add_argument("action", metavar="ACTION", help="dismiss (it is none), supersede_others (needs --winner), no_action")
    resolve.add_argument("--winner", metavar="ID", help="the member that holds; its claim stays, those of the others are superseded")
    _add_decision(resolve)


def _add_ingest(commands: Any) -> None:
    parser = _command(
        commands,
        "ingest",
        "take in text, Markdown and source files to look things up in; status 1 if one that is named here could not be taken",
        module="documents",
        db="the store (default: $MEMSTORE_DB); it is begun where there is none",
        more="Of a folder everything that is text comes in; what has not changed since costs nothing the next time.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder with all that is in it")
    parser.add_argument("--project", metavar="NAME", help="its id, name or alias")
    parser.add_argument("--user", metavar="ID", help="whose documents they are to be; everybody's if left out")
    parser.add_argument("--prune", action="store_true", help="hide what came from these folders and is no longer there")
    _add_embedder(parser)
    _add_json(parser)


def _add_documents(commands: Any) -> None:
    types = "local_files, web, ticket, git, ..."
    verbs, parser = _add_rows(commands, "documents", "search, show or remove", types, module="documents")
    parser.add_argument("--hidden", action="store_true", help="also those that were removed")
    _add_embedder(_finding(verbs, "chunks", types, module="documents"))
    named = "its id, or the end of it, or its uri, or the path of its file"
    _verb(verbs, "show", "show one document with its chunks and its history", module="documents", named=named)
    _add_decision(_verb(verbs, "remove", "hide a document until it is added again", module="documents", named=named))
    reembed = _command(
        verbs, "reembed", "get vectors for all chunks that have none of the embedder's; interrupted, it goes on when called again",
        module="documents",
    )  # fmt: skip
    _add_embedder(reembed)
    _add_json(reembed, default=argparse.SUPPRESS)


def _add_ask(commands: Any) -> None:
    parser = _command(
        commands,
        "ask",
        "show what an agent should know for a question: from where, and why",
        module="documents",
        more="Status 0 also where nothing has to do with the question.",
    )
    parser.add_argument("query", nargs="+", metavar="WORD", help="of the question")
    parser.add_argument("--project", metavar="NAME", help="its id, name or alias")
    parser.add_argument("--user", metavar="ID", help="what is this user's, and everybody's")
    parser.add_argument("--conversation", metavar="ID", help="where it is asked: its choice of documents, and its newest note")
    parser.add_argument("--specialist", metavar="NAME", help="whose note")
    parser.add_argument("--max-tokens", type=int, default=2000, metavar="N", help="never more than so many (default: 2000)")
    _add_embedder(parser)
    _add_json(parser)


def _add_listing(commands: Any, things: str, verbs: str, types: str) -> Any:
    listing, parser = _add_rows(commands, things, verbs, types, module="beliefs")
    _add_status(parser)
    return listing


def _add_status(parser: argparse.ArgumentParser, default: Any = None) -> None:
    told = "candidate, active, superseded, ...; of conflicts open, resolved, dismissed"
    parser.add_argument("--status", metavar="STATUS", default=default, help=told)


def _add_rows(commands: Any, things: str, verbs: str, types: str, *, module: str) -> tuple[Any, argparse.ArgumentParser]:
    """A command that lists things, and what its verbs are added to."""
    parser = _command(
        commands,
        things,
        f"list {things}, newest first; {verbs} one",
        module=module,
        more="A terminal shows the last 8 characters of an id, which are enough to type; a pipe, and --json, show all of it.",
    )
    parser.set_defaults(run=(module, "listed"))
    _add_narrowing(parser, types)
    _add_limit(parser)
    _add_json(parser)
    return parser.add_subparsers(dest="verb", metavar="VERB", title="verbs"), parser


def _add_narrowing(parser: argparse.ArgumentParser, types: str, default: Any = None) -> None:
    parser.add_argument("--type", metavar="TYPE", default=default, help=types)
    parser.add_argument("--project", metavar="NAME", default=default, help="its id, name or alias")
    parser.add_argument("--user", metavar="ID", default=default, help="this user's, and everybody's")


def _finding(verbs: Any, things: str, types: str, *, module: str) -> argparse.ArgumentParser:
    """The verb that finds things by words; what narrows it may stand before it as well."""
    parser = _command(verbs, "search", f"find {things} by the words that they share with a text, best first", module=module)
    parser.add_argument("query", nargs="+", metavar="WORD", help="of the text")
    _add_narrowing(parser, types, default=argparse.SUPPRESS)
    _add_limit(parser, default=argparse.SUPPRESS)
    _add_json(parser, default=argparse.SUPPRESS)
    return parser


def _verb(
    verbs: Any, name: str, purpose: str, *, module: str = "beliefs", named: str = "its id, or the end of it"
) -> argparse.ArgumentParser:
    parser = _command(verbs, name, purpose, module=module)
    parser.add_argument("id", metavar="ID", help=named)
    _add_json(parser, default=argparse.SUPPRESS)  # or it would overwrite what stood before the verb
    return parser


def _add_decision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--note", default="", metavar="TEXT", help="why, for the audit log")
    parser.add_argument("--actor", default="", metavar="NAME", help="who, for the audit log")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", nargs="?", metavar="OUT", help="the file, replaced whole (default: -, standard output)")


def _add_since(parser: argparse.ArgumentParser, whose: str) -> None:
    parser.add_argument("--since", metavar="TIME", help=f"the earliest time {whose}: 2026-07-31, '2026-07-31 18:00', Unix seconds")


def _add_path(parser: argparse.ArgumentParser, metavar: str = "PATH") -> None:
    parser.add_argument("path", nargs="?", metavar=metavar, help="the store, in place of --db")


def _add_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit log")
    parser.add_argument("--actor", default="", metavar="NAME", help="who, for the audit log")


def _add_embedder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--embedder", metavar="MODULE:NAME",
        help="what makes vectors of texts: an Embedder, or a function that returns one (default: $MEMSTORE_EMBEDDER)",
    )  # fmt: skip


def _add_json(parser: argparse.ArgumentParser, default: Any = False) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="print one JSON document")


def _add_limit(parser: argparse.ArgumentParser, default: Any = 20) -> None:
    parser.add_argument("--limit", type=int, default=default, metavar="N", help="at most so many (default: 20)")
