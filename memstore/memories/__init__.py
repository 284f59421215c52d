"""What an agent believes."""

from __future__ import annotations

from .reflection import Reflection
from .state import ProjectStates
from .tables import SCHEMA, Interaction, Memory, ProjectState

__all__ = ["SCHEMA", "Interaction", "Memory", "MemoryStore", "ProjectState"]


class MemoryStore(Reflection, ProjectStates):
    """Memories, interactions and project state."""
