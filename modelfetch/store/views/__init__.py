"""A snapshot in another tool's layout. One module for each layout, each with `link`, `owned` and `missing`;
here is what they share.

- A view shows only what `Store.find` has just proven.
- What cannot be made is a StoreError that says why; nothing half-made has a final name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelfetch.errors import StoreError
from modelfetch.manifest import Entry
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
