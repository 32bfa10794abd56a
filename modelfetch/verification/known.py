"""Whether a file is as it was when it was last known to be whole: by its stamp, never by reading it.

- A payload has its stamp in the store, a file of a plain folder in that folder.
- A copy that stands where no link could be made has none: it is always read.
"""

from __future__ import annotations

import os
from pathlib import Path

from modelfetch.manifest import Entry
from modelfetch.store import Snapshot, Store
from modelfetch.store.tree import Tree


class Known:
    """Looks up stamps; reads those of a plain folder once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trees: dict[Path, Tree] = {}

    def is_known(self, snapshot: Snapshot, entry: Entry, file: Path) -> bool:
        """Whether `file`, which holds the entry's bytes for the snapshot, fits its stamp and can be read."""
        if not os.access(file, os.R_OK):
            return False
        if snapshot.plain:
            return self._tree(snapshot.folder).is_known(entry.path, entry)
        sha256 = str(entry.digests.sha256)
        return file == self._store.blob(sha256) and self._store.blobs.is_known(sha256, entry.size)

    def _tree(self, folder: Path) -> Tree:
        if folder not in self._trees:
            self._trees[folder] = Tree(folder)
        return self._trees[folder]
