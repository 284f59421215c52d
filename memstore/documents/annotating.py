"""Annotations: what was noticed about a chunk, by a rule or by somebody."""

from __future__ import annotations

from .library import Library


class Annotations(Library):
    """The part of the documents room that keeps what was noticed."""
