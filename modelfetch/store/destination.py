"""Where a pull's verified files get their final names: the interface, and the store as one such place."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from modelfetch.hashing import Pieces
from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.store.snapshot import Snapshot
from modelfetch.store.store import Store


class Destination(Protocol):
    """A place that a pull delivers to. Every method may be called from any thread; nothing here is tried again.

    Each raises DiskFullError where there is no room and StoreError where the place cannot be used.
    """

    @property
    def filesystem(self) -> Path:
        """An existing path on the disk that the bytes will need room on."""

    @property
    def partials(self) -> Path:
        """The folder of all unfinished downloads, on the disk of their final names. Not made here."""

    def find(self, entry: Entry) -> Digests | None:
        """The digests of the entry's bytes when they need not be fetched. Changes nothing; may read a file."""

    def partial(self, entry: Entry) -> Path:
        """The folder for the entry's unfinished download, on the disk of its final name. Not made here."""

    def pieces(self, entry: Entry) -> Pieces | None:
        """What is known of the entry's pieces, from when it was whole."""

    def salvage(self, entry: Entry, *, beyond: int) -> Path | None:
        """What is left of a damaged copy of the entry's bytes: a file to write to, on the disk of the partials, for the
        caller to take away by renaming it. None where there is none, or not more than `beyond` bytes.

        The caller owns the entry's partial, and has just not found the entry.
        """

    def publish(self, entry: Entry, data: Path, digests: Digests, pieces: Pieces | None = None) -> None:
        """Give `data` its final name; afterwards `data` is gone. Of two that publish one entry, both succeed.

        The caller has verified exactly these bytes, and nothing has `data` open for writing any more.
        """

    def publish_bytes(self, entry: Entry, content: bytes | memoryview, digests: Digests) -> None:
        """`publish` for verified bytes in memory."""

    def finish(self, manifest: Manifest, paths: frozenset[str]) -> Snapshot:
        """Make the snapshot, once every entry of `paths` was found or published and has its sha256 in `manifest`."""


class StoreDestination:
    """The store: files become blobs, and the snapshot's folder links to them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def filesystem(self) -> Path:
        return self._store.home

    @property
    def partials(self) -> Path:
        return self._store.partials

    def find(self, entry: Entry) -> Digests | None:
        return self._store.find(entry.digests, entry.size)

    def partial(self, entry: Entry) -> Path:
        return self._store.partial(entry.digests)

    def pieces(self, entry: Entry) -> Pieces | None:
        return self._store.blobs.pieces.read(entry.digests.sha256)

    def salvage(self, entry: Entry, *, beyond: int) -> Path | None:
        return self._store.blobs.salvage(entry.digests, entry.size, beyond=beyond)

    def publish(
        self,
        entry: Entry,  # noqa: ARG002 - a blob has no path
        data: Path,
        digests: Digests,
        pieces: Pieces | None = None,
    ) -> None:
        self._store.publish(data, digests, pieces)

    def publish_bytes(self, entry: Entry, content: bytes | memoryview, digests: Digests) -> None:  # noqa: ARG002 - a blob has no path
        self._store.publish_bytes(content, digests)

    def finish(self, manifest: Manifest, paths: frozenset[str]) -> Snapshot:
        return self._store.save(manifest, paths)
