"""A snapshot in another tool's layout. One module for each layout, each with `link`, `owned`, `missing` and
`stale`; here is what they share.

- A view shows only what `Store.find` has just proven.
- What cannot be made is a StoreError that says why; nothing half-made has a final name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from modelfetch.errors import StoreError
from modelfetch.manifest import Entry
from modelfetch.store.hashing import hash_file
from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store


@dataclass(frozen=True)
class View:
    """A view that was made. `folder` is what the other tool reads; the counts are of files made by this call."""

    place: ViewPlace
    folder: Path
    linked: int
    copied: int
    copied_bytes: int
    saved: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def take_place(store: Store, snapshot: Snapshot, place: ViewPlace, *, same_folder: Callable[[Snapshot], bool]) -> None:
    """Remember the view of `snapshot` that is about to be made, and forget those whose folder it takes.

    Otherwise mending or removing an older commit would reach into what shows a newer one.
    """
    for other in store.snapshots():
        is_another = other.manifest.repo == snapshot.manifest.repo and other.manifest.commit != snapshot.manifest.commit
        if is_another and place in other.views and same_folder(other):
            store.drop_view(other, place)
    store.note_view(snapshot, place)


def has_other_bytes(file: Path, entry: Entry, payload: Path) -> bool:
    """Whether `file`, which may once have been a link of the entry's payload, is another file by now with other bytes.

    Reads it where it could have been: a payload that was mended is another file than its earlier links.
    """
    try:
        status, now = file.stat(), payload.stat()
        if status.st_dev != now.st_dev or os.path.samestat(status, now):
            return False
        hashed = hash_file(file, with_git_sha1=False)
    except OSError:
        return False
    return hashed is None or hashed.digests().sha256 != entry.digests.sha256


def proven_files(store: Store, snapshot: Snapshot) -> Iterable[tuple[Entry, Path]]:
    """Every present entry and the file with its bytes.

    Raises:
        StoreError: a file is missing or damaged.
    """
    for entry in snapshot.entries:
        assert entry.digests.sha256 is not None
        if snapshot.plain:
            file = snapshot.file(entry.path)
            here = file.is_file() and file.stat().st_size == entry.size
        else:
            file = store.blob(entry.digests.sha256)
            here = store.find(entry.digests, entry.size) is not None
        if not here:
            raise StoreError(
                f"`{entry.path}` of `{snapshot.reference}` is missing or damaged",
                facts={"file": file},
                hint=f"modelfetch verify {snapshot.reference} --repair",
            )
        yield entry, file
