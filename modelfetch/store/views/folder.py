"""A plain folder on the store's own disk: `--local-dir`, and `link --to DIR`. Its files are the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.store.files import make_folder
from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store
from modelfetch.store.tree import Tree
from modelfetch.store.views import View, take_place
from modelfetch.store.views.real_files import put_files, stale_files

KIND = "folder"


def link(store: Store, snapshot: Snapshot, directory: Path) -> View:
    """Make the snapshot's files in `directory`. What the user edited there since is kept as `<name>.saved`.

    Raises:
        DigestMismatchError: a file is damaged.
        DiskFullError: there is no room.
        StoreError: a file is missing, or the folder cannot be written to.
    """
    with translated(directory, "written to"):
        make_folder(directory.absolute())
    place = ViewPlace(KIND, directory.resolve())
    take_place(store, snapshot, place, same_folder=lambda _: True)
    tree = Tree(place.root)
    counts = put_files(store, snapshot, tree, below="", keep=True)
    tree.tidy()
    notes = []
    if counts.large_copies:
        notes.append(f"no links are possible between the store and `{place.root}`: the files there are copies")
    return View(place, place.root, counts.linked, counts.copied, counts.copied_bytes, tuple(tree.saved), tuple(notes))


def owned(store: Store, snapshot: Snapshot, root: Path, going: Sequence[Snapshot]) -> list[Path]:  # noqa: ARG001 - as every view answers
    """Nothing: the folder is the user's."""
    return []


def missing(snapshot: Snapshot, root: Path) -> list[str]:
    """The files that are no longer in the view."""
    return [entry.path for entry in snapshot.entries if not (root / entry.path).exists()]


def stale(store: Store, snapshot: Snapshot, root: Path) -> list[str]:
    """The files in the view that have other bytes: links of a payload that was mended since."""
    return stale_files(store, snapshot, Tree(root), below="")
