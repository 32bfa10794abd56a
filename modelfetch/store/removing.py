"""Takes snapshots, their views and their blobs off the disk, in the order of docs/store.md. `removal` says what goes.

- References, then views, links, record, blobs: killed at any moment, what is still listed can be removed again.
- A blob is moved aside, all records are read again, and it is moved back if one needs it by now. So it is when a pull
  that runs counts on it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.store.files import remove_empty_folders
from modelfetch.store.removal import Holdings, Item, Removal, payloads, reasons_to_stay
from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store
from modelfetch.store.views import registry


@dataclass(frozen=True)
class _ViewFiles:
    """What goes from one view of one snapshot."""

    snapshot: Snapshot
    place: ViewPlace
    paths: list[Path]


# The blobs that running pulls count on, by their sha256, and whose pulls they are; asked anew before a blob is gone.
InUse = Callable[[], Mapping[str, str]]


def remove(store: Store, snapshots: Sequence[Snapshot], *, in_use: InUse, dry_run: bool) -> Removal:
    """Remove `snapshots`, or with `dry_run` say what that would do.

    Raises:
        StoreError: something cannot be removed.
    """
    others, unreadable = _others(store, snapshots)
    views = _view_files(store, snapshots)
    goes, stays = _snapshot_items(store, snapshots, views)
    if not dry_run:
        for snapshot in snapshots:
            _remove_snapshot(store, snapshot, [view for view in views if view.snapshot is snapshot], others)
    foreign_links = _foreign_links(store, snapshots, views)
    sizes = payloads(snapshots)
    reasons = dict.fromkeys(sizes) | reasons_to_stay(sizes, Holdings(others, foreign_links, unreadable, in_use()))
    if not dry_run:
        reasons |= remove_blobs(store, [sha256 for sha256, reason in reasons.items() if reason is None], in_use=in_use)
    for sha256, reason in reasons.items():
        item = Item("blob", store.blob(sha256), sizes[sha256], reason or "no other snapshot needs it")
        (goes if reason is None else stays).append(item)
    return Removal(tuple(snapshots), tuple(goes), tuple(stays), dry_run)


def _others(store: Store, snapshots: Sequence[Snapshot]) -> tuple[list[Snapshot], int]:
    """The snapshots that remain, and how many records cannot be read."""
    going = {store.records.record(snapshot) for snapshot in snapshots}
    listing = store.records.scan()
    others = [snapshot for snapshot in listing.snapshots if store.records.record(snapshot) not in going]
    return others, len(listing.damaged)


def _view_files(store: Store, snapshots: Sequence[Snapshot]) -> list[_ViewFiles]:
    return [
        _ViewFiles(snapshot, place, registry.owned(store, snapshot, place, snapshots))
        for snapshot in snapshots
        for place in snapshot.views
    ]


def _snapshot_items(
    store: Store, snapshots: Sequence[Snapshot], views: Sequence[_ViewFiles]
) -> tuple[list[Item], list[Item]]:
    goes = [Item("snapshot", store.records.record(snapshot), 0, "asked for", snapshot.name) for snapshot in snapshots]
    stays = [
        Item("folder", snapshot.folder, snapshot.size_bytes, "the files in a plain folder are yours", snapshot.name)
        for snapshot in snapshots
        if snapshot.plain
    ]
    for view in views:
        if view.paths:
            names = f"{len(view.paths)} names of ours"
            goes.append(Item(f"{view.place.kind} view", view.place.root, 0, names, view.snapshot.name))
        elif view.place.is_users_own and view.place.root.is_dir():
            yours = "the files in a plain folder are yours"
            stays.append(Item("folder", view.place.root, 0, yours, view.snapshot.name))
    return goes, stays


def _remove_snapshot(store: Store, snapshot: Snapshot, views: Sequence[_ViewFiles], others: Sequence[Snapshot]) -> None:
    if not any(_same_commit(other, snapshot) for other in others):
        for reference in store.records.references(snapshot.manifest):
            store.records.remove_reference(reference)
    for view in views:
        for path in view.paths:
            with translated(path, "removed"):
                path.unlink(missing_ok=True)
                remove_empty_folders(path.parent, up_to=view.place.root)
    if not snapshot.plain:
        store.records.remove_links(snapshot)
    store.records.remove_record(snapshot)


def _same_commit(one: Snapshot, other: Snapshot) -> bool:
    """Whether the two are of one commit of one repository: the same references lead to both."""
    first, second = one.manifest, other.manifest
    return (first.hub, first.repo, first.commit) == (second.hub, second.repo, second.commit)


def _foreign_links(store: Store, snapshots: Sequence[Snapshot], views: Sequence[_ViewFiles]) -> dict[str, int]:
    """For each payload the hard links that stay; names that go count only while they are there."""
    going: Counter[tuple[int, int]] = Counter()
    names = {path for view in views for path in view.paths}
    names |= {snapshot.folder / path for snapshot in snapshots if not snapshot.plain for path in snapshot.paths}
    for name in names:
        if identity := _identity(name):
            going[identity] += 1
    links = {}
    for sha256 in payloads(snapshots):
        try:
            status = store.blob(sha256).lstat()
        except OSError:
            continue
        links[sha256] = status.st_nlink - 1 - going[status.st_dev, status.st_ino]
    return links


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove_blobs(store: Store, digests: Sequence[str], *, in_use: InUse) -> dict[str, str]:
    """Remove blobs; the ones that a snapshot or a pull needs by then are put back, and returned with that reason.

    Raises:
        StoreError: the store cannot be written to.
    """
    asides = {sha256: aside for sha256 in digests if (aside := store.blobs.move_aside(sha256))}
    # In this order: of a pull that has ended by now, and is not in the first answer, the record is in the second.
    needed = in_use()
    listing = store.records.scan()
    reasons = reasons_to_stay(asides, Holdings(listing.snapshots, {}, len(listing.damaged), needed))
    for sha256, aside in asides.items():
        if sha256 in reasons:
            store.blobs.move_back(aside, sha256)
            continue
        with translated(aside, "removed"):
            aside.unlink(missing_ok=True)
        store.blobs.forget(sha256)
    return reasons
