"""The store: blobs named by their sha256, and snapshots made of links to them. docs/store.md is its format.

Raises StoreError or DiskFullError where the disk refuses. Talks to no network and trusts no lock.

- A snapshot is listed only after its links are made; its reference is written last.
- After the record is written every blob is looked for once more: a removal at the same moment is noticed here.
- Two processes that save different files of one commit both keep theirs.
- Opening for reading (`create=False`) writes nothing and needs no permission to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelfetch.diskfaults import fault, translated
from modelfetch.errors import DiskFullError, StoreError
from modelfetch.hashing import Pieces
from modelfetch.manifest import Digests, Manifest, check_digest
from modelfetch.reference import Reference
from modelfetch.store.blobs import Blobs
from modelfetch.store.files import make_folder, sweep, write_durably
from modelfetch.store.linking import linked_entries, make_links
from modelfetch.store.records import DamagedRecord, Records
from modelfetch.store.removal import Removal, payloads
from modelfetch.store.snapshot import Snapshot, ViewPlace, add_present, merged
from modelfetch.store.tree import Tree

VERSION_FILE = "store-version"
_VERSION = "modelfetch store 1"
_PARTIALS = "partial-v1"


@dataclass(frozen=True)
class Usage:
    """What the store takes on its disk; a payload counts once. `unreferenced_bytes` belong to no snapshot."""

    snapshots: int
    blobs: int
    blob_bytes: int
    unreferenced_bytes: int


class Store:
    """Everything under one MODELFETCH_HOME. Make one with `Store.open`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.blobs = Blobs(home)
        self.records = Records(home)

    @classmethod
    def open(cls, home: Path, *, create: bool = True) -> Store:
        """Open the store at `home`; with `create` it is made where it is not there, and must be writable.

        Raises:
            DiskFullError: there is no room to make it.
            StoreError: it was written by another version, or cannot be used.
        """
        marker = home / VERSION_FILE
        version = _version_in(marker)
        if version not in {None, _VERSION}:
            raise StoreError(
                f"`{home}` is a store of another version",
                facts={"expected": _VERSION, "got": version},
                hint="use the modelfetch that wrote it, or set MODELFETCH_HOME to another folder",
            )
        store = cls(home.absolute())
        if create:
            with translated(home, "used as the store"):
                make_folder(home)
                if version is None:
                    write_durably(f"{_VERSION}\n", marker, home / ".temporary")
                elif not os.access(home, os.W_OK | os.X_OK):
                    raise PermissionError(13, os.strerror(13), str(home))
            store.put_back()
            sweep(home / ".temporary")
            store.blobs.sweep()
            store.records.sweep()
        return store

    def find(self, digests: Digests, size: int) -> Digests | None:
        """The digests of a blob that is here whole, or None. See `Blobs.find`."""
        return self.blobs.find(digests, size)

    def blob(self, sha256: str) -> Path:
        """Where the blob is, or would be."""
        return self.blobs.path(sha256)

    def pieces(self, sha256: str) -> Pieces | None:
        """What is known of the pieces of a file that is here, or in the plain folder of a snapshot."""
        if known := self.blobs.pieces.read(sha256):
            return known
        plain = (Tree(snapshot.folder).pieces.read(sha256) for snapshot in self.snapshots() if snapshot.plain)
        return next(filter(None, plain), None)

    @property
    def partials(self) -> Path:
        """The folder of all unfinished downloads. Not made here."""
        return self.home / _PARTIALS

    def partial(self, digests: Digests) -> Path:
        """The folder for the unfinished download of a blob. Not made here."""
        return self.partials / digests.strongest

    def publish(self, data: Path, digests: Digests, pieces: Pieces | None = None) -> Path:
        """Move a verified file in, or drop it when the blob is here already. See `Blobs.publish`."""
        return self.blobs.publish(data, digests, pieces)

    def publish_bytes(self, content: bytes | memoryview, digests: Digests) -> Path:
        """`publish` for verified bytes in memory."""
        return self.blobs.publish_bytes(content, digests)

    def save(
        self, manifest: Manifest, paths: frozenset[str], *, folder: Path | None = None, whole_listing: bool = True
    ) -> Snapshot:
        """Make the snapshot of the files that are here: links, record, reference. Adds to what the commit had before.

        `paths` name entries that have their sha256 and whose blobs are published, or which lie verified in `folder`.
        `whole_listing` is false where the model may have files that `manifest` does not list.

        Raises:
            DiskFullError: there is no room.
            StoreError: the store cannot be written to, or a file of `paths` has gone meanwhile.
        """
        _check(manifest, paths)
        place = self.records.links(manifest) if folder is None else folder.resolve()
        snapshot = Snapshot(manifest, paths, place, _now(), plain=folder is not None, whole_listing=whole_listing)
        snapshot = merged(self.records.current(snapshot), snapshot)
        if not snapshot.plain:
            make_links(place, snapshot.entries, self.blobs, self.records.temporaries)
        snapshot = self._settle(snapshot)
        self._check_present(snapshot, paths)
        if snapshot.plain:
            self.records.supersede(snapshot)
        self.records.write_reference(manifest)
        return snapshot

    def relink(self, snapshot: Snapshot) -> None:
        """Make again those of the snapshot's links that another program removed or turned elsewhere.

        Raises:
            StoreError: the store cannot be written to.
        """
        if not snapshot.plain:
            make_links(snapshot.folder, snapshot.entries, self.blobs, self.records.temporaries)

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot, newest pull first, also of a plain folder that is gone: a disk may come back."""
        return list(self.records.scan().snapshots)

    def damaged_records(self) -> tuple[DamagedRecord, ...]:
        """Records that cannot be read."""
        return self.records.scan().damaged

    def lookup(self, reference: Reference) -> Snapshot | None:
        """The snapshot that `reference` names, or None. Without a hub any hub's, the newest pull first.

        A revision is a branch, a tag, a commit, or the first seven or more digits of one commit; no revision is the
        default branch. Whoever looks one up is about to use it: that is remembered, for `prune`.
        """
        found = next((found for found in self.records.matching(reference) if found.folder.is_dir()), None)
        if found is None:
            return None
        self.records.note_used(found)
        return replace(found, quant=reference.quant)

    def matching(self, reference: Reference) -> list[Snapshot]:
        """Every snapshot that `reference` names; without a revision, all revisions of the repository."""
        if reference.revision is not None:
            return self.records.matching(reference)
        return [
            snapshot
            for snapshot in self.snapshots()
            if snapshot.manifest.repo == reference.repo and reference.hub in {None, snapshot.manifest.hub}
        ]

    def remove(
        self, *snapshots: Snapshot, dry_run: bool, in_use: Callable[[], Mapping[str, str]] = dict[str, str]
    ) -> Removal:
        """Remove snapshots, their references and views, and the blobs that nobody needs then.

        `in_use` says which blobs running pulls count on, and whose these are.

        Raises:
            StoreError: the store cannot be written to.
        """
        # Here, because a removal knows the views and a view knows the store.
        from modelfetch.store.removing import remove

        return remove(self, snapshots, in_use=in_use, dry_run=dry_run)

    def put_back(self) -> None:
        """Give the payloads that a killed removal has moved aside their names again, where a record needs them.

        Raises:
            StoreError: the store cannot be written to.
        """
        if asides := self.blobs.asides():
            needed = payloads(self.snapshots())
            for sha256 in asides.keys() & needed.keys():
                self.blobs.move_back(asides[sha256], sha256)

    def note_verified(self, snapshot: Snapshot) -> Snapshot:
        """Remember that every byte was read again and was right. A read-only or full store does not."""
        try:
            return self._update(snapshot, lambda current: replace(current, verified_at=_now()))
        except (StoreError, DiskFullError):
            return snapshot

    def note_smoke(self, snapshot: Snapshot, summary: Mapping[str, Any]) -> Snapshot:
        """Remember what a smoke test said.

        Raises:
            StoreError: the store cannot be written to.
        """
        return self._update(snapshot, lambda current: replace(current, smoke=dict(summary)))

    def note_view(self, snapshot: Snapshot, place: ViewPlace) -> Snapshot:
        """Remember where a view is being made, so that `remove` finds it.

        A read-only store does not: it is another user who removes from it, and not from this one's caches.
        """
        return self._update_views(snapshot, lambda views: dict.fromkeys((*views, place)))

    def drop_view(self, snapshot: Snapshot, place: ViewPlace) -> Snapshot:
        """Forget a view that shows something else by now; a read-only store does not."""
        return self._update_views(snapshot, lambda views: (view for view in views if view != place))

    def usage(self) -> Usage:
        """How much the store takes, and how much of it nothing names."""
        snapshots = self.snapshots()
        needed = payloads(snapshots)
        sizes = dict(self.blobs.sizes())
        unreferenced = sum(size for sha256, size in sizes.items() if sha256 not in needed)
        return Usage(len(snapshots), len(sizes), sum(sizes.values()), unreferenced)

    def _update_views(
        self, snapshot: Snapshot, change: Callable[[tuple[ViewPlace, ...]], Iterable[ViewPlace]]
    ) -> Snapshot:
        if tuple(change(snapshot.views)) == snapshot.views:
            return snapshot
        try:
            return self._update(snapshot, lambda current: replace(current, views=tuple(change(current.views))))
        except StoreError:
            return snapshot

    def _update(self, snapshot: Snapshot, change: Callable[[Snapshot], Snapshot]) -> Snapshot:
        current = self.records.current(snapshot)
        if current is None:
            # Removed meanwhile: writing it again would bring it back from the dead.
            return change(snapshot)
        return self._settle(change(current))

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        """Write the record until it names everything that is linked, by whomever."""
        while True:
            self.records.write(snapshot)
            if snapshot.plain:
                return snapshot
            found = linked_entries(snapshot.folder, snapshot.manifest, snapshot.paths, self.blobs)
            grown = add_present(snapshot, found)
            if grown.paths == snapshot.paths:
                return snapshot
            snapshot = grown

    def _check_present(self, snapshot: Snapshot, paths: frozenset[str]) -> None:
        for entry in snapshot.entries:
            here = (
                (snapshot.folder / entry.path).is_file()
                if snapshot.plain
                else self.find(entry.digests, entry.size) is not None
            )
            if entry.path in paths and not here:
                raise StoreError(
                    f"`{entry.path}` of `{snapshot.reference}` was removed while the snapshot was being made",
                    hint=f"modelfetch pull {snapshot.reference}",
                )


def _now() -> datetime:
    """Now, as exact as a record keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _check(manifest: Manifest, paths: frozenset[str]) -> None:
    if check_digest(manifest.commit, kind="git_sha1") != manifest.commit:
        raise ValueError(f"{manifest.commit!r} is no commit")
    whole = {entry.path for entry in manifest.entries if entry.digests.sha256}
    if not paths <= whole:
        raise ValueError(f"without a sha256 in the manifest: {sorted(paths - whole)[:3]}")


def _version_in(marker: Path) -> str | None:
    try:
        return marker.read_text("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fault(error, marker, "read") from error
