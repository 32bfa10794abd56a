"""Puts models into a real store, as a pull would, with digests of hashlib's own making."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from modelfetch.manifest import Digests, Entry, Facts, Manifest
from modelfetch.store import Destination, Snapshot, Store, StoreDestination
from modelfetch.transfer.owner import this_process

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_THRESHOLD = 100_000


def digests_of(content: bytes) -> Digests:
    return Digests(hashlib.sha256(content).hexdigest(), git_sha1_of(content))


def git_sha1_of(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def manifest_of(
    files: Mapping[str, bytes],
    *,
    hub: str = "huggingface",
    repo: str = "owner/name",
    revision: str | None = None,
    commit: str = COMMIT,
) -> Manifest:
    """The manifest of a hub that lists `files`, with both digests of each."""
    entries = tuple(
        Entry(path, len(content), digests_of(content), lfs=len(content) > LFS_THRESHOLD)
        for path, content in files.items()
    )
    return Manifest(hub, repo, revision, commit, entries, Facts())


def bring(store: Store, files: Mapping[str, bytes], manifest: Manifest | None = None) -> Snapshot:
    """Publish `files` and save the snapshot; the manifest may list more than these."""
    return deliver(StoreDestination(store), files, manifest or manifest_of(files))


def deliver(destination: Destination, files: Mapping[str, bytes], manifest: Manifest) -> Snapshot:
    """What a pull does with a destination, without the network."""
    for path, content in files.items():
        entry = manifest.entry(path)
        assert entry is not None
        if destination.find(entry) is None:
            hand_over(destination, entry, content)
    return destination.finish(manifest, frozenset(files))


def hand_over(destination: Destination, entry: Entry, content: bytes) -> None:
    """Publish one file: a large one from its partial, a small one from memory."""
    if not entry.lfs:
        destination.publish_bytes(entry, content, digests_of(content))
        return
    data = write_data(destination.partial(entry), content)
    destination.publish(entry, data, digests_of(content))
    assert not data.exists()


def write_data(folder: Path, content: bytes) -> Path:
    """A verified file that is still to be published. Nobody else writes to it, as a partial's owner sees to."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"data-{secrets.token_hex(4)}"
    data.write_bytes(content)
    return data


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` that is not modelfetch's own state, by its path, read through links."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".modelfetch" not in path.parts
    }


def dead_partial(folder_path: Path, *, idle_s: float) -> Path:
    """A partial whose owner is dead, last written so long ago."""
    folder_path.mkdir(parents=True)
    (folder_path / "data").write_bytes(b"d" * 5000)
    (folder_path / "owner.1").write_text(json.dumps({**vars(this_process()), "pid": 2**22 - 1}))
    for path in (*folder_path.iterdir(), folder_path):
        os.utime(path, (time.time() - idle_s, time.time() - idle_s))
    return folder_path
