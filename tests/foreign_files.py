"""Files of other applications, as their own code made them: the SQL text of each lies in `foreign/`."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3

FOLDER = pathlib.Path(__file__).parent / "foreign"


def made(name, path, *more):
    """The file with this name, at a path; `more` are statements to run at the end."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript((FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
        for statement in more:
            raw.execute(*statement) if isinstance(statement, tuple) else raw.execute(statement)
        raw.commit()
    return path


def forms(store, conversation_id):
    """The messages of a conversation as they came in."""
    return [message.to_openai() for message in store.chat.messages(conversation_id, limit=None)]


def outcome(report):
    """What became of the rows of each table."""
    return {table.table: (table.new, table.known, table.refused) for table in report.tables}
