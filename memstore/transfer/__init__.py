"""A store leaves its file as lines of JSON and comes back from them without loss.

1. An export is one state of the store, the same bytes whenever that state is exported, and complete: `manifest.json` names every
   file with its rows and digest, so that nothing damaged and nothing partial is ever taken in.
2. An import happens whole or not at all. An empty store becomes the exported one; a store with a history keeps its own and takes
   in what it does not have, the foreign log beside its own.
3. What belongs to somebody or something that was erased here does not come back.

`folder.py` knows the format, `lines.py` one line of it; what is told apart by more than an id, each room takes in by itself.
"""

from __future__ import annotations

from .into import ImportReport, import_store
from .out import ExportReceipt, export_store

__all__ = ["ExportReceipt", "ImportReport", "export_store", "import_store"]
