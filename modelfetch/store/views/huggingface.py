"""Hugging Face's cache: `blobs/<etag>`, `snapshots/<commit>/` of links to them, `trees/`, and `refs/` last.

- A name in `blobs/` is ours: a hard link of the payload, else a link to it. That client removes its own names only.
- Readers go from `refs/` to `snapshots/`: a reference appears when everything it leads to is there.
- `trees/<commit>.json` is written only for a whole listing: offline, the client refuses one that lacks a listed file.
- Every snapshot gets a reference, or `hf cache prune` would take it for detached.
- The client's lock of a large file is taken as a courtesy, for a few seconds; what makes it safe is the rename.
- The client's own shared store, `<hub>/blobs/`, is not touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from modelfetch.diskfaults import translated
from modelfetch.errors import StoreError
from modelfetch.manifest import Entry, Manifest
from modelfetch.store.files import drop, files_below, fsync_file, fsync_folder, make_folder, write_temporary
from modelfetch.store.linking import leads_to
from modelfetch.store.links import Method, RelativeLinks, hard_link, link_or_copy, symbolic_link
from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store
from modelfetch.store.views import View, has_other_bytes, proven_files

KIND = "huggingface"
_TREE_FORMAT = 1
_LOCK_WAIT_S = 5
# The signature is fixed by the Cache Directory Tagging Specification: backups leave such a folder out.
_CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache. See https://bford.info/cachedir/\n"


def link(store: Store, snapshot: Snapshot, cache: Path) -> View:
    """Show the snapshot in the Hugging Face cache at `cache` (its HF_HUB_CACHE).

    Raises:
        DigestMismatchError: a file is damaged.
        DiskFullError: there is no room.
        StoreError: a file is missing, the bytes are in a plain folder, or the cache cannot be written to.
    """
    if snapshot.plain:
        raise StoreError(
            f"`{snapshot.reference}` is in a plain folder, and a cache must not change when somebody edits there",
            facts={"folder": snapshot.folder},
            hint=f"modelfetch pull {snapshot.reference}",
        )
    with translated(cache, "written to"):
        make_folder(cache.absolute())
    place = ViewPlace(KIND, cache.resolve())
    store.note_view(snapshot, place)
    repository = _Repository(place.root, snapshot.manifest)
    linked = copied = copied_bytes = 0
    with translated(repository.folder, "written to"):
        _tag(place.root)
        for entry, payload in proven_files(store, snapshot):
            method = repository.show(entry, payload)
            if method is Method.COPY:
                copied, copied_bytes = copied + 1, copied_bytes + entry.size
            elif method is not None:
                linked += 1
        for folder in {repository.blobs, *((repository.commit / path).parent for path in snapshot.paths)}:
            fsync_folder(folder)
        if snapshot.complete:
            repository.write_tree(snapshot.manifest)
        repository.write_reference(snapshot.manifest)
    notes = (f"no links are possible in `{place.root}`: the files there are copies",) if copied else ()
    return View(place, repository.commit, linked, copied, copied_bytes, notes=notes)


def owned(store: Store, snapshot: Snapshot, root: Path, going: Sequence[Snapshot]) -> list[Path]:
    """References, links, the tree and blobs, in this order: those of ours that nothing shows when `going` are gone."""
    repository = _Repository(root, snapshot.manifest)
    links = _links(store, snapshot, root)
    gone = {
        link for other in going if other.manifest.repo == snapshot.manifest.repo for link in _links(store, other, root)
    }
    staying = {_first_hop(path) for path in files_below(repository.folder / "snapshots") if path not in gone}
    # By their own names too: a removal that was killed may have taken the links that led there.
    blobs = ({_first_hop(link) for link in links} | set(_blobs(store, snapshot, repository))) - set(links) - staying
    heads = []
    tails = []
    if set(files_below(repository.commit)) <= set(links):
        heads = [path for path in files_below(repository.folder / "refs") if _text(path) == snapshot.manifest.commit]
        tails = [path for path in [repository.tree] if path.exists()]
    return [*heads, *links, *tails, *sorted(blobs)]


def missing(snapshot: Snapshot, root: Path) -> list[str]:
    """The files that are no longer in the view."""
    folder = _Repository(root, snapshot.manifest).commit
    return [entry.path for entry in snapshot.entries if not (folder / entry.path).exists()]


def stale(store: Store, snapshot: Snapshot, root: Path) -> list[str]:
    """The files whose name in `blobs/` has other bytes: links of a payload that was mended since."""
    blobs = _Repository(root, snapshot.manifest).blobs
    return [
        entry.path
        for entry in snapshot.entries
        if has_other_bytes(blobs / _etag(entry), entry, store.blob(str(entry.digests.sha256)))
    ]


class _Repository:
    """One repository's folder in the cache."""

    def __init__(self, cache: Path, manifest: Manifest) -> None:
        name = f"models--{manifest.repo.replace('/', '--')}"
        self.folder = (cache / name).resolve()
        self.blobs = self.folder / "blobs"
        self.commit = self.folder / "snapshots" / manifest.commit
        self.tree = self.folder / "trees" / f"{manifest.commit}.json"
        self._locks = cache / ".locks" / name
        self._relative = RelativeLinks()

    def show(self, entry: Entry, payload: Path) -> Method | None:
        """Let the entry's path in the snapshot lead to `payload`; how that was done, None when it did already."""
        link, blob = self.commit / entry.path, self.blobs / _etag(entry)
        if leads_to(link, payload) and _first_hop(link) in {link, blob}:
            return None
        make_folder(link.parent)
        make_folder(self.blobs)
        if not leads_to(blob, payload):
            # A small file comes sooner than a lock: that client's own download of it is not worth a wait.
            with self._locked(blob.name) if entry.shown_as_large else nullcontext():
                if not self._put_blob(blob, payload):
                    return self._put_file(link, payload, entry)
        with self._temporary(blob.name) as temporary:
            if not symbolic_link(self._relative.target(blob, link), temporary):
                return self._put_file(link, payload, entry)
            temporary.replace(link)
        return Method.SYMLINK

    def write_tree(self, manifest: Manifest) -> None:
        """The listing as that client caches it."""
        files = {entry.path: _tree_entry(entry) for entry in manifest.entries}
        document = {"format_version": _TREE_FORMAT, "files": dict(sorted(files.items()))}
        if not self.tree.exists():
            self._write(json.dumps(document, indent=1), self.tree)

    def write_reference(self, manifest: Manifest) -> None:
        """Let the revision lead to the commit."""
        pinned = manifest.revision == manifest.commit
        name = f"modelfetch/{manifest.commit}" if pinned else manifest.revision or "main"
        reference = self.folder / "refs" / name
        if _text(reference) != manifest.commit:
            self._write(manifest.commit, reference)

    def _put_blob(self, blob: Path, payload: Path) -> bool:
        with self._temporary(blob.name) as temporary:
            if not hard_link(payload, temporary) and not symbolic_link(self._relative.target(payload, blob), temporary):
                return False
            temporary.replace(blob)
        return True

    def _put_file(self, link: Path, payload: Path, entry: Entry) -> Method:
        """Where no symbolic links can be made that client, too, has the files themselves in `snapshots/`."""
        assert entry.digests.sha256 is not None
        with self._temporary(_etag(entry)) as temporary:
            method = link_or_copy(payload, temporary, entry.digests.sha256, methods=(Method.HARD_LINK,))
            temporary.replace(link)
        return method

    def _write(self, content: str, final: Path) -> None:
        make_folder(self.blobs)
        make_folder(final.parent)
        with self._temporary("modelfetch") as temporary:
            write_temporary(content.encode(), temporary)
            fsync_file(temporary)
            temporary.replace(final)
        fsync_folder(final.parent)

    @contextmanager
    def _temporary(self, etag: str) -> Iterator[Path]:
        # Named as that client names its own, so that `hf cache prune` clears away what a crash leaves.
        temporary = self.blobs / f"{etag}.{secrets.token_hex(4)}.incomplete"
        try:
            yield temporary
        finally:
            # Also after a rename: between two names of one file that does nothing, and leaves both.
            drop(temporary)

    @contextmanager
    def _locked(self, etag: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        make_folder(self._locks)
        # The mode that the client gives its locks: others of the group may wait for them.
        lock = FileLock(self._locks / f"{etag}.lock", timeout=_LOCK_WAIT_S, mode=0o664)
        try:
            lock.acquire()
        except (Timeout, NotImplementedError, OSError):
            yield
            return
        try:
            yield
        finally:
            lock.release()


def _etag(entry: Entry) -> str:
    etag = entry.digests.sha256 if entry.shown_as_large else entry.digests.git_sha1
    assert etag is not None
    return etag


def _tree_entry(entry: Entry) -> dict[str, Any]:
    if not entry.shown_as_large:
        return {"size": entry.size, "blob_id": entry.digests.git_sha1}
    return {
        "size": entry.size,
        "blob_id": _pointer_id(entry),
        "lfs_sha256": entry.digests.sha256,
        "lfs_size": entry.size,
    }


def _pointer_id(entry: Entry) -> str:
    """The git id of a large file as that hub lists it: of the pointer that git keeps in its place."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{entry.digests.sha256}\nsize {entry.size}\n"
    return hashlib.sha1(b"blob %d\0%s" % (len(pointer), pointer.encode()), usedforsecurity=False).hexdigest()


def _links(store: Store, snapshot: Snapshot, root: Path) -> list[Path]:
    """The names in the cache's snapshot that are still ours."""
    folder = _Repository(root, snapshot.manifest).commit
    ours = []
    for entry in snapshot.entries:
        assert entry.digests.sha256 is not None
        if _is_ours(folder / entry.path, store.blob(entry.digests.sha256)):
            ours.append(folder / entry.path)
    return ours


def _blobs(store: Store, snapshot: Snapshot, repository: _Repository) -> Iterator[Path]:
    """The names in the cache's `blobs/` that are still ours."""
    for entry in snapshot.entries:
        assert entry.digests.sha256 is not None
        blob = repository.blobs / _etag(entry)
        if _is_ours(blob, store.blob(entry.digests.sha256)):
            yield blob


def _is_ours(link: Path, payload: Path) -> bool:
    """Whether the name leads to the payload, also when the payload itself is gone by now."""
    return leads_to(link, payload) or (link.is_symlink() and link.resolve() == payload.resolve())


def _first_hop(link: Path) -> Path:
    """What a link names, without following that any further; the path itself where it is no link."""
    try:
        return Path(os.path.normpath(link.parent / link.readlink()))
    except OSError:
        return link


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _tag(cache: Path) -> None:
    tag = cache / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text(_CACHE_TAG, "utf-8")
