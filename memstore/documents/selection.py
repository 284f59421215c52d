"""Selection: which documents a user, or one conversation, wants to hear from."""

from __future__ import annotations

from .library import Library


class Selections(Library):
    """The part of the documents room that knows what is wanted."""
