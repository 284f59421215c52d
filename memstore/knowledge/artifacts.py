"""What is made from atoms: artifacts, their sections and citations, and the state of a project."""

from __future__ import annotations

from .view import Knowing


class Artifacts(Knowing):
    """The part of the knowledge room that deals with what is derived."""
