"""What a store is given at open that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .table import record


@record
class Embedder:
    """A model that turns texts into vectors: its name, a function from texts to vectors, and their length."""

    model: str
    fn: Callable[[Sequence[str]], Sequence[Sequence[float]]]
    dims: int | None = None
