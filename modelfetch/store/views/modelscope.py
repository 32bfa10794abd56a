"""ModelScope's cache, current layout: `models/O--N/snapshots/<revision>/<path>`, real files.

- The folder is named by the revision as that client names it: the branch, `master` for the default one.
- A file of another content in the way is the client's, which replaces it itself; it is replaced, not saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.store.files import files_below, make_folder
from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store
from modelfetch.store.tree import Tree
from modelfetch.store.views import View, take_place
from modelfetch.store.views.real_files import put_files, stale_files

KIND = "modelscope"
_DEFAULT_BRANCH = "master"


def link(store: Store, snapshot: Snapshot, cache: Path) -> View:
    """Show the snapshot in the ModelScope cache at `cache` (its MODELSCOPE_CACHE).

    Raises:
        DigestMismatchError: a file is damaged.
        DiskFullError: there is no room.
        StoreError: a file is missing, or the cache cannot be written to.
    """
    with translated(cache, "written to"):
        make_folder(cache.absolute())
    place = ViewPlace(KIND, cache.resolve())
    take_place(store, snapshot, place, same_folder=lambda other: _below(other) == _below(snapshot))
    tree = Tree(_repository(place.root, snapshot))
    counts = put_files(store, snapshot, tree, below=_below(snapshot), keep=False)
    tree.tidy()
    notes = []
    if older := _older_layout(place.root, snapshot):
        notes.append(
            f"the client goes on using the older layout in `{older}`; remove that folder to let it see this one"
        )
    if counts.large_copies:
        notes.append(f"no links are possible between the store and `{place.root}`: the files there are copies")
    folder = tree.root / _below(snapshot)
    return View(place, folder, counts.linked, counts.copied, counts.copied_bytes, notes=tuple(notes))


def owned(store: Store, snapshot: Snapshot, root: Path, going: Sequence[Snapshot]) -> list[Path]:  # noqa: ARG001 - as every view answers
    """The files that are still what was put there, by this commit or by those that had the folder before."""
    tree = Tree(_repository(root, snapshot))
    ours = tree.ours(below=_below(snapshot))
    if set(files_below(tree.root / "snapshots")) <= set(ours):
        ours.append(tree.log)
    return ours


def missing(snapshot: Snapshot, root: Path) -> list[str]:
    """The files that are no longer in the view."""
    folder = _repository(root, snapshot) / _below(snapshot)
    return [entry.path for entry in snapshot.entries if not (folder / entry.path).exists()]


def stale(store: Store, snapshot: Snapshot, root: Path) -> list[str]:
    """The files in the view that have other bytes: links of a payload that was mended since."""
    return stale_files(store, snapshot, Tree(_repository(root, snapshot)), below=_below(snapshot))


def _repository(root: Path, snapshot: Snapshot) -> Path:
    return root / "models" / snapshot.manifest.repo.replace("/", "--")


def _below(snapshot: Snapshot) -> str:
    return f"snapshots/{snapshot.manifest.revision or _DEFAULT_BRANCH}/"


def _older_layout(root: Path, snapshot: Snapshot) -> Path | None:
    """The folder of an older client, which the current one prefers when anything is in it."""
    owner, _, name = snapshot.manifest.repo.partition("/")
    for folder in (root / "models", root / "hub" / "models"):
        older = folder / owner / name.replace(".", "___")
        if older.is_dir() and any(older.iterdir()):
            return older
    return None
