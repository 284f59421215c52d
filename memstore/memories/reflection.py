"""What follows from interactions: candidates, reinforcement, fading."""

from __future__ import annotations

from .beliefs import Beliefs


class Reflection(Beliefs):
    """The part of the memories room that learns from what was said."""
