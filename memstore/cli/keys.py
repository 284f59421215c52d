"""What opens a store: keys, a codec, an embedder, and how an object of somebody's own module is named."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def keys(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `open_store` that hold keys, and the embedder of commands that ask one.

    The key of the log comes by the environment: others can read a command line.
    """
    codec, embedder = _given(options, "codec"), _given(options, "embedder")
    return {
        "audit_key": os.environ.get("MEMSTORE_AUDIT_KEY") or None,
        "codec": None if codec is None else named_codec(*codec),
        "embedder": None if embedder is None else named_embedder(*embedder),
    }


def _given(options: argparse.Namespace, name: str) -> tuple[str, str] | None:
    """What an option of the command says, or else the environment, and which of the two."""
    if name not in options:
        return None
    option, variable = f"--{name}", f"MEMSTORE_{name.upper()}"
    said = getattr(options, name)
    found = os.environ.get(variable)
    return (option, said) if said else (variable, found) if found else None


def named_codec(option: str, name: str) -> Any:
    """The codec that MODULE:NAME names, or that a function of that name returns."""
    return _named(option, name, "codec", "mykeys:fernet", _is_codec, "has encrypt(bytes) and decrypt(bytes)")


def named_embedder(option: str, name: str) -> Any:
    """The embedder that MODULE:NAME names, or that a function of that name returns."""
    from ..embedder import Embedder

    return _named(option, name, "embedder", "mymodel:embedder", lambda found: isinstance(found, Embedder), "is an Embedder(model, fn)")


def _named(option: str, name: str, thing: str, example: str, fits: Callable[[Any], bool], nature: str) -> Any:
    given, a = f"{option} {values.shorten(name)}", "an" if thing[0] in "aeiou" else "a"
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise Invalid(f"{given} names no {thing}; write MODULE:NAME, such as {example}")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        if callable(found) and not fits(found):
            found = found()
    except Exception as error:  # whatever somebody else's module does wrong, keys and traceback stay unseen
        why = "PYTHONPATH must lead to it" if isinstance(error, ModuleNotFoundError) else values.one_line(str(error))
        raise Invalid(f"{given} gives no {thing}: {type(error).__name__}: {why}") from error
    if not fits(found):
        raise Invalid(f"{given} is a {type(found).__name__}; {a} {thing} {nature}")
    return found


def _is_codec(found: Any) -> bool:
    """Whether it can be used as it is; a class has the methods too and is yet to be called."""
    return not isinstance(found, type) and callable(getattr(found, "encrypt", None)) and callable(getattr(found, "decrypt", None))
