"""A project that answers questions about itself: from its source, its documents, and what its history says.

    python examples/ask_a_repo.py [QUESTION ...]

The files of this checkout and the messages of its commits (where it is no clone, its files alone) come into a store in a temporary
folder; then five questions are asked, or those of the command line. For each it prints what an agent would be told, from where, and why.
No model, no network.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # from a checkout, without installing

from memstore import Store, open_store  # noqa: E402
from memstore.context import ContextPiece  # noqa: E402

PROJECT = "memstore"
NEWEST = 300  # commits
SOURCES = ("memstore", "README.md", "CHANGELOG.md", "pyproject.toml")  # the examples would find these questions
QUESTIONS = (
    "Why can two connections that checkpoint the write-ahead log lose commits?",
    "How fast does a correction decay, and after which time is it believed half?",
    "How are Markdown headings and code fences cut into chunks?",
    "Which messages of a conversation fit into a window of tokens, without parting a tool call from its results?",
    "How do sign planes of vectors in big integers choose the candidates that are nearest?",
)


def take_in(store: Store) -> str:
    """Bring the project into a store, and say how much that was."""
    store.chat.create_project(PROJECT)
    report = store.documents.add_files([ROOT / name for name in SOURCES], project=PROJECT)
    history = commits()
    with store.transaction():
        for id, time, message in history:
            add_commit(store, id, float(time), message)
    return f"{report.added} files and {len(history)} commits: {store!r}"


def add_commit(store: Store, id: str, time: float, message: str) -> None:
    """What one step of the project did, and why."""
    title = message.partition("\n")[0]
    store.documents.add_text(
        message, uri=f"git:{id}", title=title, source_type="git", git_commit=id, created_at=time, project=PROJECT
    )


def commits() -> list[list[str]]:
    """Id, time and message of the newest commits; none outside of a clone."""
    command = ["git", "-C", str(ROOT), "log", f"--max-count={NEWEST}", "--no-merges", "--format=%H%x1f%ct%x1f%B%x1e"]
    try:
        if not (ROOT / ".git").exists():  # git would go on to a clone around this folder
            return []
        told = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [row.strip().split("\x1f") for row in told.split("\x1e") if row.strip()]


def show(piece: ContextPiece) -> None:
    """One thing that an agent would be told."""
    print(f"   {piece.source}")
    print(f"      {piece.why}")
    print(f"      {textwrap.shorten(piece.text, 100, placeholder=' …')!r}")


def main(questions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_store(pathlib.Path(folder, "project.db")) as store:
        print(take_in(store))
        for number, question in enumerate(questions, 1):
            pack = store.context(question, project=PROJECT, max_tokens=1500)
            print(f"\n{number}. {question}")
            for piece in pack.pieces[:3]:
                show(piece)
            print(f"   ({len(pack.pieces)} pieces, {pack.tokens} of {pack.max_tokens} tokens)")
        again = store.documents.add_files([ROOT / name for name in SOURCES], project=PROJECT)
        print(f"\nTaken in once more: {again.unchanged} files unchanged, {again.added + again.changed} read anew")


if __name__ == "__main__":
    main(sys.argv[1:] or list(QUESTIONS))
