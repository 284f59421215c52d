"""Calling a caller's model, and checking what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .errors import Invalid
from .values import shorten

Fn = Callable[[Sequence[str]], Sequence[Any]]  # a model: texts to as many vectors


def embedded(fn: Fn, texts: Sequence[str]) -> list[Any]:
    """What a model returns for some texts, or Invalid unless that is a list of as many; the vectors themselves are not checked."""
    found = fn(texts) if texts else []
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise Invalid(f"fn returned {shorten(found)} for {len(texts)} texts; it must return a list of vectors, one for each")
    vectors = list(found)
    if len(vectors) != len(texts):
        raise Invalid(f"fn returned {len(vectors)} vectors for {len(texts)} texts; it must return one for each, in their order")
    return vectors
