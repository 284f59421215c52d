"""Atoms, the evidence for them, and what connects them."""

from __future__ import annotations

from .view import Knowing


class Ledger(Knowing):
    """The part of the knowledge room that deals with atoms."""
