"""The embedding model that a caller gives to `open_store`."""

from __future__ import annotations

from .kernel import Invalid, record, values
from .kernel.embedding import Fn


@record
class Embedder:
    """A model that turns texts into vectors: its name, a function from texts to as many vectors, and their dimensions if known."""

    model: str
    fn: Fn
    dims: int | None = None

    def __post_init__(self) -> None:
        values.key("model", self.model)
        if not callable(self.fn):
            raise Invalid(f"fn must be a function from a list of texts to a list of vectors, not {values.shorten(self.fn)}")
        values.optional(values.integer, "dims", self.dims, low=1)
