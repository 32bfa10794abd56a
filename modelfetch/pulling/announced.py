"""A destination that lets others know what this pull counts on, so that nobody removes it before a record names it.

- A blob is announced before it is looked for, and before it is published.
- One that is found by its git-sha1 is looked for again once its sha256 was announced.
"""

from __future__ import annotations

from pathlib import Path

from modelfetch.hashing import Pieces
from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.store import Destination, Snapshot
from modelfetch.transfer.needs import Needs


class Announced:
    """`inner`, as long as `needs` is kept."""

    def __init__(self, inner: Destination, needs: Needs) -> None:
        self.inner = inner
        self._needs = needs

    @property
    def filesystem(self) -> Path:
        return self.inner.filesystem

    @property
    def partials(self) -> Path:
        return self.inner.partials

    def find(self, entry: Entry) -> Digests | None:
        if entry.digests.sha256:
            self._needs.add(entry.digests.sha256)
        found = self.inner.find(entry)
        if found is not None and found.sha256 and self._needs.add(found.sha256):
            return self.inner.find(entry)
        return found

    def partial(self, entry: Entry) -> Path:
        return self.inner.partial(entry)

    def pieces(self, entry: Entry) -> Pieces | None:
        return self.inner.pieces(entry)

    def salvage(self, entry: Entry, *, beyond: int) -> Path | None:
        return self.inner.salvage(entry, beyond=beyond)

    def publish(self, entry: Entry, data: Path, digests: Digests, pieces: Pieces | None = None) -> None:
        if digests.sha256:
            self._needs.add(digests.sha256)
        self.inner.publish(entry, data, digests, pieces)

    def publish_bytes(self, entry: Entry, content: bytes | memoryview, digests: Digests) -> None:
        if digests.sha256:
            self._needs.add(digests.sha256)
        self.inner.publish_bytes(entry, content, digests)

    def finish(self, manifest: Manifest, paths: frozenset[str]) -> Snapshot:
        return self.inner.finish(manifest, paths)
