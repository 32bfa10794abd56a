"""A plain folder on another disk than the store's, as a destination: the bytes never pass the store's disk.

- Partials, temporaries and stamps are in the folder's own `.modelfetch/`.
- What the store has is copied, and hashed on the way, instead of being fetched.
- A file that the user put or edited is kept as `<name>.saved`; `saved` names those.
"""

from __future__ import annotations

from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.hashing import Pieces
from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.store.files import drop, make_folder, write_temporary
from modelfetch.store.links import copy_verified
from modelfetch.store.snapshot import Snapshot
from modelfetch.store.store import Store
from modelfetch.store.tree import Tree


class FolderDestination:
    """Files get their final names in `folder`; the store keeps only the record of where they are."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Make the folder where it is not there.

        Raises:
            StoreError: it cannot be made or written to.
        """
        self._store = store
        with translated(folder, "written to"):
            make_folder(folder.absolute())
        self._tree = Tree(folder.resolve())

    @property
    def filesystem(self) -> Path:
        return self._tree.root

    @property
    def saved(self) -> tuple[Path, ...]:
        """The files that were kept aside for the user."""
        return tuple(self._tree.saved)

    @property
    def partials(self) -> Path:
        return self._tree.state / "partial-v1"

    def find(self, entry: Entry) -> Digests | None:
        return self._tree.find(entry.path, entry) or self._store.find(entry.digests, entry.size)

    def partial(self, entry: Entry) -> Path:
        return self.partials / entry.digests.strongest

    def pieces(self, entry: Entry) -> Pieces | None:
        return self._tree.pieces.read(entry.digests.sha256) or self._store.blobs.pieces.read(entry.digests.sha256)

    def salvage(self, entry: Entry, *, beyond: int) -> Path | None:
        if entry.digests.sha256 is None:
            return None
        if self._tree.is_damaged(entry.path, entry.digests.sha256):
            self._tree.set_aside(entry.path, entry.digests.sha256)
        return self._tree.damaged.salvage(entry.digests.sha256, beyond=beyond)

    def publish(self, entry: Entry, data: Path, digests: Digests, pieces: Pieces | None = None) -> None:
        self._tree.put(entry.path, data, digests)
        self._tree.pieces.keep(pieces)

    def publish_bytes(self, entry: Entry, content: bytes | memoryview, digests: Digests) -> None:
        temporary = self._tree.temporary()
        try:
            with translated(self._tree.root / entry.path, "written"):
                write_temporary(content, temporary)
            self._tree.put(entry.path, temporary, digests)
        finally:
            drop(temporary)

    def finish(self, manifest: Manifest, paths: frozenset[str]) -> Snapshot:
        for entry in manifest.entries:
            if entry.path in paths and self._tree.find(entry.path, entry) is None:
                self._copy_from_store(entry)
        self._tree.tidy()
        return self._store.save(manifest, paths, folder=self._tree.root)

    def _copy_from_store(self, entry: Entry) -> None:
        assert entry.digests.sha256 is not None
        temporary = self._tree.temporary()
        try:
            with translated(self._tree.root / entry.path, "copied from the store"):
                copy_verified(self._store.blob(entry.digests.sha256), temporary, entry.digests.sha256)
            self._tree.put(entry.path, temporary, entry.digests)
        finally:
            drop(temporary)
