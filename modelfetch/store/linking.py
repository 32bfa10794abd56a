"""The folder of a snapshot in the store: a link for each present file, and reading back what is linked.

Raises StoreError or DiskFullError where the disk refuses.

- A link appears by rename, over an older one where there is one; nothing is ever missing in between.
- Where symbolic links cannot be made the name is a hard link of the payload, else a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.manifest import Digests, Entry, Manifest, check_digest
from modelfetch.store.blobs import Blobs
from modelfetch.store.files import READ_ONLY, fsync_folder, make_folder, temporary_in
from modelfetch.store.links import Method, RelativeLinks, link_or_copy, symbolic_link


def make_links(folder: Path, entries: Iterable[Entry], blobs: Blobs, temporaries: Path) -> None:
    """Let every entry's path below `folder` lead to its payload.

    Raises:
        DiskFullError: there is no room.
        StoreError: the store cannot be written to.
    """
    by_folder: dict[Path, list[Entry]] = {folder: []}
    for entry in entries:
        by_folder.setdefault((folder / entry.path).parent, []).append(entry)
    relative = RelativeLinks()
    with translated(folder, "linked"):
        for parent, inside in by_folder.items():
            make_folder(parent)
            changed = [_link(folder / entry.path, entry, blobs, temporaries, relative) for entry in inside]
            if any(changed):
                fsync_folder(parent)


def _link(link: Path, entry: Entry, blobs: Blobs, temporaries: Path, relative: RelativeLinks) -> bool:
    """Let `link` lead to the entry's payload; returns whether it did not before."""
    assert entry.digests.sha256 is not None
    payload = blobs.path(entry.digests.sha256)
    if leads_to(link, payload):
        return False
    temporary = temporary_in(temporaries)
    if not symbolic_link(relative.target(payload, link), temporary):
        link_or_copy(payload, temporary, entry.digests.sha256, methods=(Method.HARD_LINK,))
        temporary.chmod(READ_ONLY)
    temporary.replace(link)
    return True


def leads_to(link: Path, payload: Path) -> bool:
    """Whether `link` is the payload under a second name (a copy is not)."""
    try:
        return link.samefile(payload)
    except OSError:
        return False


def linked_entries(folder: Path, manifest: Manifest, paths: frozenset[str], blobs: Blobs) -> list[Entry]:
    """Entries outside `paths` that are linked all the same: another process has saved them meanwhile."""
    found = []
    for entry in manifest.entries:
        if entry.path in paths:
            continue
        try:
            target = (folder / entry.path).readlink()
        except OSError:
            continue
        sha256 = check_digest(target.name, kind="sha256")
        digests = blobs.find(Digests(sha256), entry.size) if sha256 else None
        if digests is not None:
            found.append(replace(entry, digests=digests))
    return found
