"""What opens a store that is keyed or encrypted."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid, values

if TYPE_CHECKING:
    import argparse


def keys(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `open_store` that hold keys; those of the log come by the environment: others can read a command line."""
    name = options.codec or os.environ.get("MEMSTORE_CODEC") or None
    return {
        "audit_key": os.environ.get("MEMSTORE_AUDIT_KEY") or None,
        "codec": None if name is None else named_codec("--codec" if options.codec else "MEMSTORE_CODEC", name),
    }


def named_codec(option: str, name: str) -> Any:
    """The object that MODULE:NAME names, or what a function of that name returns."""
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise Invalid(f"{option} {values.shorten(name)} names no codec; write MODULE:NAME, such as mykeys:fernet")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        if callable(found) and not _is_codec(found):
            found = found()
    except Exception as error:  # whatever somebody else's module does wrong, keys and traceback stay unseen
        why = "PYTHONPATH must lead to it" if isinstance(error, ModuleNotFoundError) else values.one_line(str(error))
        raise Invalid(f"{option} {values.shorten(name)} gives no codec: {type(error).__name__}: {why}") from error
    if not _is_codec(found):
        raise Invalid(f"{option} {values.shorten(name)} is a {type(found).__name__}; a codec has encrypt(bytes) and decrypt(bytes)")
    return found


def _is_codec(found: Any) -> bool:
    """Whether it can be used as it is; a class has the methods too and is yet to be called."""
    return not isinstance(found, type) and callable(getattr(found, "encrypt", None)) and callable(getattr(found, "decrypt", None))
