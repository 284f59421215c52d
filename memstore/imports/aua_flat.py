"""The files that AUA kept before it had a database: `promotions.jsonl`, `aua_promotions.json`, `dpo_pairs/*.jsonl`.

Their rows need no id. One without gets that of what it says, in whatever file it says it; what AUA changes later is left out of it.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Any

from ..kernel import Invalid
from .lines import LineFiles, existing

if TYPE_CHECKING:
    from .intake import Digests

#: Where they lie in AUA's folder, in its state folder, and in theirs.
PLACES = (
    "promotions.jsonl", "state/promotions.jsonl", ".aua/state/promotions.jsonl", "aua_promotions.json", "results/aua_promotions.json",
    "dpo_pairs/*.jsonl",
)  # fmt: skip
SUFFIXES = (".jsonl", ".json")
CHANGING = {"reverted", "reverted_at"}  # of a promotion, once it is rolled back


def found(path: Any) -> LineFiles | None:
    """The flat files at a path, None for what must be a database."""
    place = existing(path)
    if os.path.isdir(place):
        places = ("*.jsonl",) if os.path.basename(place) == "dpo_pairs" else PLACES
        names = [name for pattern in places for name in sorted(glob.glob(pattern, root_dir=place))]
        names = [name for name in names if os.path.isfile(os.path.join(place, name))]  # a pipe would be waited for without end
        if not names:
            raise Invalid(f"{place} is a folder without AUA's flat files (looked for: {', '.join(places)}); name the file itself")
        return LineFiles(place, {name: os.path.join(place, name) for name in names})
    if place.endswith(SUFFIXES):
        return LineFiles(place, {os.path.basename(place): place})
    return None


def table_of(name: str) -> str:
    """Which of our tables a file has rows of, by its name."""
    return "promotions" if "promotions" in os.path.basename(name) else "corrections"


def id_of(digests: Digests, columns: dict[str, Any]) -> str:
    """The id that a row has, or the one of what it says."""
    said = columns.get("id")
    if isinstance(said, str) and said:
        return said
    return digests({name: value for name, value in columns.items() if name not in CHANGING})
