"""Models in Hugging Face's cache, with symbolic links or without, and in the folders that its client downloads into.

Reads names, references and cached listings; no bytes.

- The repository is in its folder's name, the commit in the snapshot's, the branch in `refs/`.
- What a snapshot's link leads to is named by its digest: sha256 for a large file, git-sha1 for another one. That, or
  the cached listing, is the claim.
- A listing is the client's own of that commit; one that cannot be read is as good as none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelfetch.adopt.candidate import Candidate, Found, Scan, is_revision, name_problem, repository_name
from modelfetch.adopt.places import Place, is_huggingface_repository
from modelfetch.adopt.real_files import file_behind
from modelfetch.errors import HostileHubError
from modelfetch.manifest import MAX_FILES, Digests, Entry, check_digest, check_entries
from modelfetch.reference import DEFAULT_REVISIONS

HUB = "huggingface"
_TREE_FORMAT = 1
# A listing of as many files as a model may have, with long names.
_LARGEST_TREE_BYTES = 64 << 20
_LARGEST_NOTE_BYTES = 4096
# The client's own tolerance between a file's time and its note's.
_CLOCK_GRAIN_S = 1.0


@dataclass(frozen=True)
class _Branch:
    """A revision, None for the default branch, and when the client last wrote where it leads."""

    revision: str | None
    asked_at: float | None


def scan_cache(place: Place, scan: Scan) -> None:
    """Every snapshot of every model in the cache."""
    for repository in _folders(place.root):
        is_model = is_huggingface_repository(repository.name) and repository.name.startswith("models--")
        if is_model and place.only in {None, repository}:
            _scan_repository(place.root, repository, scan)


def local_folder(folder: Path, files: tuple[Found, ...]) -> Candidate | None:
    """What the client's notes in a folder that it downloaded into say, None where there are none.

    The files of the commit that most of them are of; which repository it is, the notes do not tell.
    """
    noted = {found.path: note for found in files if (note := _note(folder, found))}
    commits = [commit for commit, _ in noted.values()]
    if not commits:
        return None
    commit = max(sorted(set(commits)), key=commits.count)
    listing = _listing(folder / ".cache" / HUB / "trees" / f"{commit}.json")
    claimed = [
        replace(found, claim=noted[found.path][1]) for found in files if noted.get(found.path, ("",))[0] == commit
    ]
    of_commit = tuple(replace(found, lfs=found.claim.sha256 is not None) for found in claimed)
    return Candidate(folder.name, folder, of_commit, HUB, None, None, commit, listing)


def _scan_repository(root: Path, repository: Path, scan: Scan) -> None:
    owner, _, name = repository.name.removeprefix("models--").partition("--")
    repo = repository_name(owner, name)
    label = f"{owner}/{name}" if name else owner
    branches = _branches(repository / "refs")
    for folder in _folders(repository / "snapshots"):
        commit = check_digest(folder.name, kind="git_sha1")
        if commit != folder.name:
            scan.refuse(folder, "it is not named by a commit")
            continue
        listing = _listing(repository / "trees" / f"{commit}.json")
        files = _files(root, repository, folder, listing, scan)
        branch = branches.get(commit, _Branch(commit, None))
        scan.add(Candidate(label, folder, files, HUB, repo, branch.revision, commit, listing, branch.asked_at))


def _files(
    root: Path, repository: Path, folder: Path, listing: tuple[Entry, ...] | None, scan: Scan
) -> tuple[Found, ...]:
    listed = {entry.path: entry for entry in listing or ()}
    files: list[Found] = []
    for count, path in enumerate(_names(folder)):
        if count >= MAX_FILES:
            scan.refuse(folder, f"more than {MAX_FILES} files are in it")
            return ()
        relative = path.relative_to(folder).as_posix()
        if problem := name_problem(relative):
            scan.refuse(path, problem)
        elif found := file_behind(path, root, scan):
            claim, entry = _claim_in_name(path, repository / "blobs"), listed.get(relative)
            if listing is not None and (entry is None or claim.agree(entry.digests) is False):
                scan.refuse(path, "the listing that is kept of its commit has no such file")
                continue
            claim = claim or (entry.digests if entry else claim)
            lfs = entry.lfs if entry else bool(claim.sha256) if claim else None
            files.append(Found(relative, found.file, found.status, claim, lfs))
    return tuple(files)


def _claim_in_name(link: Path, blobs: Path) -> Digests:
    """The digest that the blob behind a snapshot's link is named by."""
    try:
        blob = Path(os.path.normpath(link.parent / link.readlink()))
    except OSError:
        return Digests()
    if blob.parent != blobs:
        return Digests()
    return Digests(check_digest(blob.name, kind="sha256"), check_digest(blob.name, kind="git_sha1"))


def _branches(refs: Path) -> dict[str, _Branch]:
    """The reference that leads to each commit. The default branch goes first, then by name."""
    branches: dict[str, _Branch] = {}
    for path in sorted(
        _names(refs), key=lambda path: (path.relative_to(refs).as_posix() not in DEFAULT_REVISIONS, path)
    ):
        name = path.relative_to(refs).as_posix()
        commit = check_digest(_text(path), kind="git_sha1")
        is_default = name in DEFAULT_REVISIONS
        # What a pull of ours wrote there keeps `hf cache prune` away, and is no branch.
        is_branch = is_default or (is_revision(name) and not name.startswith("modelfetch/"))
        if commit is not None and is_branch:
            branches.setdefault(commit, _Branch(None if is_default else name, path.lstat().st_mtime))
    return branches


def _note(folder: Path, found: Found) -> tuple[str, Digests] | None:
    """The commit and the digest that are noted of a file, unless it was changed after that."""
    lines = _text(folder / ".cache" / HUB / "download" / f"{found.path}.metadata").splitlines()
    try:
        commit, etag, noted_at = lines[0].strip(), lines[1].strip(), float(lines[2])
    except (IndexError, ValueError):
        return None
    digests = Digests(check_digest(etag, kind="sha256"), check_digest(etag, kind="git_sha1"))
    is_current = found.status.st_mtime <= noted_at + _CLOCK_GRAIN_S
    return (commit, digests) if is_current and digests and check_digest(commit, kind="git_sha1") == commit else None


def _listing(tree: Path) -> tuple[Entry, ...] | None:
    """The listing that the client keeps of a commit."""
    try:
        if tree.stat().st_size > _LARGEST_TREE_BYTES:
            return None
        document = json.loads(tree.read_bytes())
        if document["format_version"] != _TREE_FORMAT:
            return None
        entries = tuple(_listed(path, item) for path, item in document["files"].items())
        check_entries(entries, where=str(tree))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, HostileHubError):
        return None
    return entries


def _listed(path: str, item: Mapping[str, Any]) -> Entry:
    sha256 = check_digest(item.get("lfs_sha256"), kind="sha256")
    if sha256 is not None:
        return Entry(path, item.get("lfs_size", item["size"]), Digests(sha256=sha256), lfs=True)
    # Of a file that is in Xet the id in git is its pointer's, not its content's.
    git_sha1 = None if item.get("xet_hash") else check_digest(item.get("blob_id"), kind="git_sha1")
    return Entry(path, item["size"], Digests(git_sha1=git_sha1))


def _names(folder: Path) -> Iterator[Path]:
    """Every name below `folder` that is no folder; links are not followed."""
    for parent, folders, files in os.walk(folder):
        for name in sorted((*files, *(name for name in folders if (Path(parent) / name).is_symlink()))):
            yield Path(parent) / name


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _text(path: Path) -> str:
    """The first bytes of a small file; nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_NOTE_BYTES).decode("utf-8", errors="replace").strip()
    except OSError:
        return ""
