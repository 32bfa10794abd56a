"""Takes the picture of a store that `planning` decides over. Changes nothing.

- A snapshot was last used when it was pulled, when a command looked it up (its mark), or when the file system says that
  the biggest of its payloads was read: views are read without us.
- An owner that shows only in his file's time counts as dead when a partial's own time is over.
- What vanishes while it is looked at is not in the picture.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

from modelfetch.manifest import check_digest
from modelfetch.prune.open_files import Inode
from modelfetch.prune.picture import Blob, Kind, Leftover, Model, Picture
from modelfetch.prune.planning import KEPT_FOR_S
from modelfetch.store import Snapshot, Store
from modelfetch.store.files import files_below
from modelfetch.store.removal import payloads
from modelfetch.store.views import registry
from modelfetch.transfer import needs
from modelfetch.transfer.owner import OneLook, living_owner

_SCRATCH_PREFIX = "sdk-"
# What stat counts blocks in, whatever the file system's own blocks are.
_BLOCK_BYTES = 512


def look(store: Store, now: float, orphans: Sequence[Leftover], users: Mapping[Inode, str]) -> Picture:
    """The store as it is; `now` is in seconds since the epoch, `users` are the processes that have files open.

    Raises:
        StoreError: a folder of it cannot be listed.
    """
    # Before the blobs: of a pull that ends meanwhile, the record is then read, or the names are known.
    needed = needs.needed(store.partials, now)
    payload_stats = dict(_payloads(store))
    listing = store.records.scan()
    known_links = _known_links(store, listing.snapshots)
    blobs = {
        sha256: Blob(
            store.blob(sha256),
            status.st_size,
            now - max(status.st_mtime, status.st_ctime),
            status.st_nlink - 1 - known_links[status.st_dev, status.st_ino],
        )
        for sha256, status in payload_stats.items()
    }
    models = tuple(_model(store, snapshot, payload_stats, now) for snapshot in listing.snapshots)
    leftovers = (*_partials(store, now), *_temporaries(store, now), *_stale_hints(store, payload_stats), *orphans)
    opened = {
        sha256: user for sha256, status in payload_stats.items() if (user := users.get((status.st_dev, status.st_ino)))
    }
    return Picture(models, blobs, leftovers, needed, opened, len(listing.damaged))


def _payloads(store: Store) -> Iterator[tuple[str, os.stat_result]]:
    for shard in _scanned(store.blobs.root / "sha256"):
        for entry in _scanned(Path(shard.path)):
            if check_digest(entry.name, kind="sha256") and (status := _status(entry)):
                yield entry.name, status


def _known_links(store: Store, snapshots: Sequence[Snapshot]) -> Counter[tuple[int, int]]:
    """How many further names each payload has that go when all snapshots do: those in views, and where links fail."""
    names = {
        path
        for snapshot in snapshots
        for place in snapshot.views
        for path in registry.owned(store, snapshot, place, snapshots)
    }
    names |= {snapshot.folder / path for snapshot in snapshots if not snapshot.plain for path in snapshot.paths}
    links: Counter[tuple[int, int]] = Counter()
    for name in names:
        try:
            status = os.lstat(name)
        except OSError:
            continue
        links[status.st_dev, status.st_ino] += 1
    return links


def _model(store: Store, snapshot: Snapshot, payload_stats: Mapping[str, os.stat_result], now: float) -> Model:
    used = [snapshot.pulled_at.timestamp()]
    if marked := store.records.used_at(snapshot):
        used.append(marked.timestamp())
    sizes = payloads([snapshot])
    # The biggest alone: a licence or a tokenizer is shared by many models of which one is in use.
    biggest = max(sizes, key=lambda sha256: sizes[sha256], default="")
    if biggest in payload_stats:
        used.append(payload_stats[biggest].st_atime)
    shown = (place for place in snapshot.views if len(registry.missing(snapshot, place)) < len(snapshot.paths))
    return Model(snapshot, max(0.0, now - max(used)), tuple(shown))


def _partials(store: Store, now: float) -> Iterator[Leftover]:
    for entry in _scanned(store.partials):
        kind = _kind_of_partial(entry.name)
        if kind is None:
            continue
        folder = Path(entry.path)
        statuses = [status for path in (folder, *files_below(folder)) if (status := _lstat(path))]
        if not statuses:
            continue
        size = sum(getattr(status, "st_blocks", 0) * _BLOCK_BYTES for status in statuses[1:])
        idle_s = max(0.0, now - max(status.st_mtime for status in statuses))
        owner = living_owner(folder, OneLook(now, KEPT_FOR_S[kind]))
        yield Leftover(kind, folder, size, idle_s, str(owner) if owner else None)


def _kind_of_partial(name: str) -> Kind | None:
    if name.startswith(needs.PREFIX):
        return Kind.PULL
    if name.startswith(_SCRATCH_PREFIX):
        return Kind.SCRATCH
    is_digest = check_digest(name, kind="sha256") or check_digest(name, kind="git_sha1")
    return Kind.PARTIAL if is_digest else None


def _temporaries(store: Store, now: float) -> Iterator[Leftover]:
    folders = {
        store.home / ".temporary": Kind.TEMPORARY,
        store.blobs.root / ".temporary": Kind.TEMPORARY,
        store.records.temporaries: Kind.TEMPORARY,
        store.blobs.root / "damaged": Kind.DAMAGED,
    }
    for folder, kind in folders.items():
        for entry in _scanned(folder):
            if status := _status(entry):
                # A rename shows in the ctime alone.
                idle_s = now - max(status.st_mtime, status.st_ctime)
                yield Leftover(kind, Path(entry.path), status.st_size, max(0.0, idle_s))


def _stale_hints(store: Store, here: Container[str]) -> Iterator[Leftover]:
    mended = {entry.name for folder in (store.partials, store.blobs.root / "damaged") for entry in _scanned(folder)}
    for path in (*store.blobs.stale_hints(here, mended), *store.records.stale_marks()):
        if status := _lstat(path):
            yield Leftover(Kind.HINT, path, status.st_size, 0.0)


def _scanned(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
