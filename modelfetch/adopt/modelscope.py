"""Models in the cache of ModelScope's clients, in each of the layouts that they have had.

Reads names and small notes; no bytes. A pickle among the notes is read for its strings and never loaded.

- Today: `models/O--N/snapshots/<revision>/`. Before: `hub/models/O/N/`, `models/O/N/`, `hub/O/N/`, or `O/N/` where
  MODELSCOPE_CACHE was set; a dot in the name was written `___`.
- There is no commit: the digest of what is there is the commit, as it is of a listing.
- A repository that two names lead to, as those clients made links for names with dots, is found once.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator
from pathlib import Path

from modelfetch.adopt.candidate import Candidate, Found, Scan, is_revision, repository_name
from modelfetch.adopt.places import MODELSCOPE_MARKS, MODELSCOPE_TEMPORARIES, Place
from modelfetch.adopt.real_files import real_files

HUB = "modelscope"
_OLDER_TOPS = ("hub/models", "models", "hub", "")
# Folders of those caches, beside the owners' ones, that hold something else than models.
_NO_OWNERS = frozenset({"models", "hub", "datasets", "studios", "skills", "ast_indexer", MODELSCOPE_TEMPORARIES})
_REVISION = re.compile(r"Revision:([^,\s]+)")
_LARGEST_NOTE_BYTES = 4096


def scan_cache(place: Place, scan: Scan) -> None:
    """Every model in the cache, in whichever layout."""
    for folder, repo, label in _repositories(place.root):
        for snapshot in _folders(folder / "snapshots"):
            if place.only is None or place.only.is_relative_to(folder):
                files = real_files(snapshot, scan, within=place.root)
                scan.add(Candidate(label, snapshot, files, HUB, repo, _revision(snapshot.name)))
    for folder in _older_repositories(place.root):
        if place.only in {None, folder}:
            scan.add(_older_candidate(place.root, folder, scan))


def local_folder(folder: Path, files: tuple[Found, ...]) -> Candidate | None:
    """What an older client's notes in a folder that it downloaded into say, None where there are none."""
    if not any((folder / name).is_file() for name in MODELSCOPE_MARKS):
        return None
    owner, _, name = (_noted_id(folder) or "").partition("/")
    return Candidate(folder.name, folder, files, HUB, repository_name(owner, name), _noted_revision(folder))


def _older_candidate(root: Path, folder: Path, scan: Scan) -> Candidate:
    """The model in a folder of the cache, by the folder's name; its note says which underscores are dots."""
    owner, name = folder.parent.name, folder.name.replace("___", ".")
    noted = _noted_id(folder)
    if noted is not None and noted.replace(".", "___") == f"{owner}/{folder.name}".replace(".", "___"):
        owner, _, name = noted.partition("/")
    files = real_files(folder, scan, within=root)
    repo = repository_name(owner, name)
    return Candidate(f"{owner}/{name}", folder, files, HUB, repo, _noted_revision(folder))


def _noted_revision(folder: Path) -> str | None:
    match = _REVISION.search(_bytes(folder / ".mv").decode("utf-8", errors="replace"))
    return _revision(match.group(1)) if match else None


def _revision(name: str) -> str | None:
    """The revision that is called so, None for the default branch."""
    return name if is_revision(name) else None


def _repositories(root: Path) -> Iterator[tuple[Path, str | None, str]]:
    for folder in _folders(root / "models"):
        owner, dashes, name = folder.name.partition("--")
        if dashes:
            yield folder, repository_name(owner, name), f"{owner}/{name}"


def _older_repositories(root: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for top in _OLDER_TOPS:
        for owner in _folders(root / top):
            if owner.name in _NO_OWNERS or owner.name.startswith(".") or "--" in owner.name:
                continue
            for folder in _folders(owner):
                # Right below the cache any other program may have folders.
                marks = [path for path in _files(folder) if top or path.name in MODELSCOPE_MARKS]
                if marks and folder.resolve() not in seen:
                    seen.add(folder.resolve())
                    yield folder


def _noted_id(folder: Path) -> str | None:
    """The model's id in a pickle of `{"id": …}`, without loading it: a pickle may run anything."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(_bytes(folder / ".mdl")):
            if "UNICODE" in opcode.name and isinstance(argument, str):
                strings.append(argument)
    except ValueError:
        return None
    match strings:
        case [key, value] if key.lower() == "id" and value.count("/") == 1:
            return value
    return None


def _folders(folder: Path) -> list[Path]:
    """The folders in `folder`, real ones before links to them."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: (path.is_symlink(), path))


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _bytes(path: Path) -> bytes:
    """The first bytes of a small file; none where there is no such file."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_NOTE_BYTES)
    except OSError:
        return b""
