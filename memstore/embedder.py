"""What turns texts into vectors, as a caller gives it to `open_store`."""

from __future__ import annotations

from .kernel import record
from .kernel.embedding import Fn


@record
class Embedder:
    """A model that turns texts into vectors: its name, a function from texts to as many vectors, and their length if that is fixed."""

    model: str
    fn: Fn
    dims: int | None = None
