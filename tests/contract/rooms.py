"""What the contract tests walk: the rooms that there are, their modules, and what is public in them."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import pkgutil

from memstore.kernel.table import Table
from memstore.store import ROOMS

PACKAGE = pathlib.Path(importlib.import_module("memstore").__file__).parent
ROOT = PACKAGE.parent


def modules(room):
    """All modules of a room: one file, or a package."""
    head = importlib.import_module(f"memstore.{room}")
    parts = pkgutil.iter_modules(getattr(head, "__path__", []), f"memstore.{room}.")
    return [head, *(importlib.import_module(part.name) for part in parts)]


def schema(room):
    return importlib.import_module(f"memstore.{room}").SCHEMA


def table_constants():
    """(room, name of the constant, table) of every Table constant."""
    found = {}
    for room in ROOMS:
        for module in modules(room):
            for name, value in vars(module).items():
                if isinstance(value, Table):
                    found.setdefault(id(value), (room, name, value))
    return list(found.values())


def classes(room):
    """All classes that a room defines, private ones too."""
    own = {}
    for module in modules(room):
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__.startswith(f"memstore.{room}"):
                own[name] = value
    return list(own.values())


def public_classes(room):
    return [item for item in classes(room) if not item.__name__.startswith("_")]


def exported(room):
    """The public names of a room and what they stand for; a room of one file exports what it defines."""
    head = importlib.import_module(f"memstore.{room}")
    names = getattr(head, "__all__", ["SCHEMA", *(item.__name__ for item in public_classes(room))])
    assert sorted(set(names)) == sorted(names)
    return {name: getattr(head, name) for name in names}


def lone_calls(store_class):
    """Names of the public methods that need no argument."""
    names = []
    for name, value in vars(store_class).items():
        if name.startswith("_") or not inspect.isfunction(value):
            continue
        parameters = list(inspect.signature(value).parameters.values())[1:]
        if all(item.default is not item.empty or item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD) for item in parameters):
            names.append(name)
    return names
