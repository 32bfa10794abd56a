"""A catalogue of folders, to test the server without the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch.hashing import Hasher, Pieces
from modelfetch.manifest import Facts, Manifest
from modelfetch.reference import Reference
from tests.stored import manifest_of


@dataclass(frozen=True)
class FolderSnapshot:
    """A snapshot whose present files lie in `folder`."""

    manifest: Manifest
    paths: frozenset[str]
    folder: Path

    def file(self, path: str) -> Path:
        return self.folder / path


@dataclass(frozen=True)
class FolderCatalogue:
    """Finds snapshots by branch and by commit; the first that fits wins."""

    found: list[FolderSnapshot]

    def snapshots(self) -> Sequence[FolderSnapshot]:
        return self.found

    def lookup(self, reference: Reference) -> FolderSnapshot | None:
        for snapshot in self.found:
            manifest = snapshot.manifest
            if manifest.repo != reference.repo or reference.hub not in {None, manifest.hub}:
                continue
            if reference.revision in {manifest.revision, manifest.commit}:
                return snapshot
        return None

    def pieces(self, sha256: str) -> Pieces | None:
        for snapshot in self.found:
            for entry in snapshot.manifest.entries:
                if entry.digests.sha256 == sha256 and entry.path in snapshot.paths:
                    return pieces_of(snapshot.file(entry.path).read_bytes())
        return None


def pieces_of(content: bytes) -> Pieces | None:
    """The list of the pieces of a file; None where it is one piece."""
    hasher = Hasher(len(content), with_git_sha1=False)
    hasher.update(content)
    return hasher.pieces()


def write_snapshot(
    folder: Path,
    repo: str,
    files: Mapping[str, bytes],
    *,
    hub: str = "huggingface",
    revision: str | None = None,
    left_out: Mapping[str, bytes] | None = None,
    facts: Facts | None = None,
) -> FolderSnapshot:
    """Write `files` into `folder`; `left_out` are in the hub's listing and not here."""
    listed = {**files, **(left_out or {})}
    commit = hashlib.sha1(repr((hub, revision, listed)).encode()).hexdigest()
    manifest = manifest_of(listed, hub=hub, repo=repo, revision=revision, commit=commit)
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return FolderSnapshot(replace(manifest, facts=facts or Facts()), frozenset(files), folder)
