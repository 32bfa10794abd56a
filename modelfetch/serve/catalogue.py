"""What can be served: the store as seen from here, and how a client's words find a snapshot in it.

- Only files that are present are shown; the rest of a manifest does not exist for a client.
- A snapshot is served in both dialects. Where a repository is there from both hubs, the dialect's own hub wins.
- A revision that the store does not have is not found. Nothing else is served in its place.
- What is pulled or removed while the server runs shows within `REMEMBERED_S`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from modelfetch.errors import UsageError
from modelfetch.hashing import Pieces
from modelfetch.manifest import Entry, Manifest
from modelfetch.reference import Reference, parse

# A pull of many small files asks for the same snapshot hundreds of times a second.
REMEMBERED_S = 1.0


class Snapshot(Protocol):
    """A model of which at least some files are present."""

    @property
    def manifest(self) -> Manifest:
        """Everything that the hub lists; present files have their sha256."""

    @property
    def paths(self) -> frozenset[str]:
        """The files that are present."""

    def file(self, path: str) -> Path:
        """Where the bytes of a present file are."""


class Catalogue(Protocol):
    """Finds snapshots. Called from several threads at once; may read a disk."""

    def snapshots(self) -> Sequence[Snapshot]:
        """Everything there is."""

    def lookup(self, reference: Reference) -> Snapshot | None:
        """The snapshot at a branch, a tag or a commit; a reference without a hub means any hub's."""

    def pieces(self, sha256: str) -> Pieces | None:
        """What is known of the pieces of a file with these bytes; computes nothing."""


class Shelf:
    """A catalogue with a short memory."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: dict[tuple[str, str, str], tuple[float, Snapshot]] = {}

    def find(self, hub: str, repo: str, revision: str) -> Snapshot | None:
        """The snapshot that a client of `hub` means."""
        key = (hub, repo, revision)
        with self._lock:
            until, snapshot = self._remembered.get(key, (0.0, None))
            if snapshot is not None and self._clock() < until:
                return snapshot
        snapshot = self._look_up(hub, repo, revision)
        with self._lock:
            if snapshot is None:
                self._remembered.pop(key, None)
            else:
                self._remembered[key] = (self._clock() + REMEMBERED_S, snapshot)
        return snapshot

    def of_repo(self, repo: str) -> list[Snapshot]:
        """Every snapshot of `repo`, from whichever hub."""
        return [snapshot for snapshot in self._catalogue.snapshots() if snapshot.manifest.repo == repo]

    def snapshots(self) -> Sequence[Snapshot]:
        return self._catalogue.snapshots()

    def pieces(self, sha256: str) -> Pieces | None:
        return self._catalogue.pieces(sha256)

    def _look_up(self, hub: str, repo: str, revision: str) -> Snapshot | None:
        for prefix in (f"{hub}:", ""):
            try:
                reference = parse(f"{prefix}{repo}@{revision}")
            except UsageError:
                return None
            if reference.quant is not None:
                return None
            if snapshot := self._catalogue.lookup(reference):
                return snapshot
        return None


def branches(snapshots: Iterable[Snapshot], default: str) -> list[str]:
    """The names by which `snapshots` can be asked for; one that was pulled by its commit has none."""
    manifests = (snapshot.manifest for snapshot in snapshots)
    return list(dict.fromkeys(one.revision or default for one in manifests if one.revision != one.commit))


def present_entries(snapshot: Snapshot) -> list[Entry]:
    """The files that are there, by path."""
    entries = (entry for entry in snapshot.manifest.entries if entry.path in snapshot.paths)
    return sorted(entries, key=lambda entry: entry.path)


def present_entry(snapshot: Snapshot, path: str) -> Entry | None:
    return snapshot.manifest.entry(path) if path in snapshot.paths else None


def folders_of(path: str) -> list[str]:
    """The folders that a file is in, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
