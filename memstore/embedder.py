"""What turns texts into vectors, as a caller gives it to `open_store`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .kernel import record


@record
class Embedder:
    """A model that turns texts into vectors: its name, a function from texts to as many vectors, and their length if that is fixed."""

    model: str
    fn: Callable[[Sequence[str]], Sequence[Any]]
    dims: int | None = None
