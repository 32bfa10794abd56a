"""Real files for tools and people that want no links: copies where people edit, else the cheapest second name.

- Small files and texts are copied and writable; an edit of a copy or a reflink stays there.
- A hard link is the store's own file: it is made read-only, and only of payloads in the store.
- A file that is there already, unchanged, is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modelfetch.diskfaults import translated
from modelfetch.manifest import Entry
from modelfetch.store.files import drop
from modelfetch.store.links import Method, link_or_copy
from modelfetch.store.snapshot import Snapshot
from modelfetch.store.store import Store
from modelfetch.store.tree import Tree
from modelfetch.store.views import has_other_bytes, proven_files

SMALL_BYTES = 1 << 20
_TEXT_SUFFIXES = frozenset(
    {".cfg", ".csv", ".html", ".ini", ".ipynb", ".jinja", ".json", ".jsonl", ".md", ".py", ".rst"}
    | {".sh", ".svg", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml"}
)


@dataclass
class Counts:
    """What was made: files by link, files by copy, and the bytes of those copies that a link would have saved."""

    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    large_copies: list[str] = field(default_factory=list)


def is_edited_by_people(entry: Entry) -> bool:
    """Whether the file must be a writable copy."""
    return entry.size < SMALL_BYTES or PurePosixPath(entry.path).suffix.lower() in _TEXT_SUFFIXES


def put_files(store: Store, snapshot: Snapshot, tree: Tree, *, below: str, keep: bool) -> Counts:
    """Put every present file into `tree` under `below`; with `keep`, what the user edited there is saved aside.

    Raises:
        DigestMismatchError: a file is damaged.
        DiskFullError: there is no room.
        StoreError: a file is missing, or the folder cannot be written to.
    """
    counts = Counts()
    for entry, file in proven_files(store, snapshot):
        path = f"{below}{entry.path}"
        if tree.find(path, entry) is not None and not tree.is_stale_link(path, file):
            continue
        method = _put(tree, path, entry, file, methods=_methods(entry, snapshot), keep=keep)
        if method is not Method.COPY:
            counts.linked += 1
            continue
        counts.copied += 1
        counts.copied_bytes += entry.size
        if not is_edited_by_people(entry):
            counts.large_copies.append(entry.path)
    return counts


def stale_files(store: Store, snapshot: Snapshot, tree: Tree, *, below: str) -> list[str]:
    """The files that are still what was put there, and have other bytes: links of a payload that was mended since."""
    return [
        entry.path
        for entry in snapshot.entries
        if tree.is_ours(f"{below}{entry.path}")
        and tree.is_stale_link(f"{below}{entry.path}", payload := store.blob(str(entry.digests.sha256)))
        and has_other_bytes(tree.root / below / entry.path, entry, payload)
    ]


def _methods(entry: Entry, snapshot: Snapshot) -> tuple[Method, ...]:
    # Only payloads of the store are read-only and proven without reading them; a plain folder's files are neither.
    return () if is_edited_by_people(entry) or snapshot.plain else (Method.REFLINK, Method.HARD_LINK)


def _put(tree: Tree, path: str, entry: Entry, file: Path, *, methods: tuple[Method, ...], keep: bool) -> Method:
    sha256 = entry.digests.sha256
    assert sha256 is not None
    temporary = tree.temporary()
    try:
        with translated(tree.root / path, "written"):
            method = link_or_copy(file, temporary, sha256, methods=methods)
        tree.put(path, temporary, entry.digests, linked=method is Method.HARD_LINK, keep=keep)
    finally:
        drop(temporary)
    return method
