"""How the demo looks: chapters of few lines, on a page no wider than one reads comfortably."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .terminal import Page, cut, one_line

WIDEST = 96
USUAL = 80  # where no terminal says how wide it is


class Story:
    """Prints a story; quotes are excerpts everywhere, sentences are wrapped and never cut."""

    def __init__(self) -> None:
        self.page = Page()
        self.width = min(self.page.width or USUAL, WIDEST)

    def title(self, name: str, what: str) -> None:
        """What this is."""
        print(f"{self.page.bold(name)}  {what}")

    def chapter(self, name: str, about: str) -> None:
        """A heading, and in the background what it is about."""
        print(f"\n{self.page.bold(name)}  {self.page.dim(about)}")

    def turn(self, text: str) -> None:
        """Something that divides the story."""
        print(f"\n{self.page.dim(('── ' + text + ' ').ljust(self.width, '─'))}", flush=True)

    def say(self, text: str) -> None:
        """A sentence."""
        print(*textwrap.wrap(text, self.width, initial_indent="  ", subsequent_indent="  ", break_long_words=False), sep="\n")

    def line(self, text: str) -> None:
        """A line to paste, whatever its length."""
        print(f"  {text}")

    def quote(self, text: str) -> None:
        """Somebody's words, as many as fit."""
        print(f"  “{cut(one_line(text), self.width - 4)}”")

    def verdict(self, good: bool, text: str) -> None:
        """Right or wrong, and what."""
        sign = self.page.good("✓") if good else self.page.bad("✗")
        first, *more = textwrap.wrap(one_line(text), self.width - 6, break_long_words=False) or [""]
        print(f"    {sign} {first}", *(f"      {line}" for line in more), sep="\n")

    def note(self, text: str) -> None:
        """What is put before a model, line for line."""
        bar = self.page.dim("│")
        print(*(f"    {bar} {line}" for line in textwrap.wrap(one_line(text), self.width - 6) or [""]), sep="\n")

    def table(self, rows: Sequence[Sequence[str]], *, found: Sequence[str] | None = None) -> None:
        """Aligned lines, the last column as far as it fits."""
        whole, self.page.width = self.page.width, self.width
        safe = [[one_line(cell) for cell in row] for row in rows]
        print(*self.page.table(safe, (self.page.dim,), indent="    ", found=found), sep="\n")
        self.page.width = whole
