"""Entities, relationships and observations."""

from __future__ import annotations

from .view import Knowing


class Graph(Knowing):
    """The part of the knowledge room that deals with the graph."""
