"""Project state: the most trusted layer, set by hand only."""

from __future__ import annotations

from .beliefs import Beliefs


class ProjectStates(Beliefs):
    """The part of the memories room that keeps what people have set."""
