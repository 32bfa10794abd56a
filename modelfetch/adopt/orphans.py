"""What other tools left behind on a disk: half files, and bytes that none of their names lead to. Never removes one.

- A half file is one that its tool called so: it is either being written at this moment, or nobody will ever read it.
- Bytes are an orphan when they lie where only links lead to, and none does.
- What was written, linked or renamed lately is young: whoever removes orphans leaves those alone.
- While the names that lead to bytes cannot all be read, none of those bytes is an orphan.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelfetch.adopt.places import MODELSCOPE_TEMPORARIES, Place, Tool, is_huggingface_repository
from modelfetch.adopt.real_paths import RealPaths

_OLLAMA_PARTIAL = re.compile(r"sha256-[0-9a-f]{64}-partial(-\d+)?")
# One connection's share of a file, as ModelScope's client names it: the first and the last of its bytes.
_PART = re.compile(r".+_(?P<start>\d+)_(?P<stop>\d+)")
_PART_UNIT = 1 << 20
_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Orphan:
    """A file that its owner, a tool, does not need any more. `age_s` counts from the last change of any kind."""

    path: Path
    size_bytes: int
    age_s: float
    owner: Tool
    why: str


def orphans(places: Iterable[Place], *, now: float | None = None) -> list[Orphan]:
    """Every orphan in `places`, the biggest first; `now` is in seconds since the epoch."""
    moment = time.time() if now is None else now
    found: dict[Path, Orphan] = {}
    for place in places:
        for path, why in _FINDERS[place.tool](place):
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                age_s = max(0.0, moment - max(status.st_mtime, status.st_ctime))
                found.setdefault(path, Orphan(path, status.st_size, age_s, place.tool, why))
    return sorted(found.values(), key=lambda orphan: (-orphan.size_bytes, orphan.path))


def is_part(name: str, size_bytes: int) -> bool:
    """Whether a file is one connection's share of another, by ModelScope's client."""
    match = _PART.fullmatch(name)
    if match is None:
        return False
    start, stop = int(match["start"]), int(match["stop"])
    # Only the last part of a file ends where no other could begin.
    is_whole_or_last = (stop + 1) % _PART_UNIT == 0 or start > 0
    return start % _PART_UNIT == 0 and is_whole_or_last and size_bytes <= stop - start + 1


def _huggingface(place: Place) -> Iterator[tuple[Path, str]]:
    for repository in _folders(place.root):
        if is_huggingface_repository(repository.name) and place.only in {None, repository}:
            yield from _huggingface_blobs(repository)
    # lexists is content with a folder that may not be entered, which is_file is not.
    if place.only is None and os.path.lexists(place.root / "blobs" / ".huggingface-shared-blobs"):
        blobs = [path for shard in _folders(place.root / "blobs") for path in _names(shard) if not path.suffix]
        names = [path for folder in _folders(place.root) for path in _names(folder / "blobs") if path.is_symlink()]
        yield from ((blob, "no repository leads to it") for blob in _not_led_to(blobs, names))


def _huggingface_blobs(repository: Path) -> Iterator[tuple[Path, str]]:
    blobs = []
    for path in _names(repository / "blobs"):
        if path.name.endswith(".incomplete"):
            yield path, "a download that was cut off"
        else:
            blobs.append(path)
    names = _all_files(repository / "snapshots")
    if names is not None:
        yield from ((blob, "no snapshot leads to it") for blob in _not_led_to(blobs, names))


def _not_led_to(blobs: Iterable[Path], names: Iterable[Path]) -> Iterator[Path]:
    """Those of `blobs` that none of `names` leads to."""
    real_paths = RealPaths()
    led_to = {_behind(real_paths, name) for name in names}
    for blob in blobs:
        if (file := _behind(real_paths, blob)) is not None and file not in led_to:
            yield blob


def _behind(real_paths: RealPaths, name: Path) -> Path | None:
    try:
        return real_paths.behind(name).path
    except OSError:
        return None


def _modelscope(place: Place) -> Iterator[tuple[Path, str]]:
    for file in _files(place.path):
        if MODELSCOPE_TEMPORARIES in file.relative_to(place.path).parts:
            yield file, "a download that was cut off"
        elif file.suffix in {".incomplete", ".parallel_tmp"} or is_part(file.name, _size(file)):
            yield file, "part of a download that was cut off"


def _ollama(place: Place) -> Iterator[tuple[Path, str]]:
    if place.only is not None:
        # One model's manifest says nothing of what others need.
        return
    named = _named_by_manifests(place.root / "manifests")
    for blob in _names(place.root / "blobs"):
        if _OLLAMA_PARTIAL.fullmatch(blob.name):
            yield blob, "a download that was cut off"
        elif blob.name.startswith("sha256-") and named is not None and blob.name not in named:
            yield blob, "no model names it"


def _folder(place: Place) -> Iterator[tuple[Path, str]]:
    yield from _modelscope(place)
    for file in _files(place.path / ".cache" / "huggingface" / "download"):
        if file.suffix == ".incomplete":
            yield file, "a download that was cut off"


def _named_by_manifests(folder: Path) -> set[str] | None:
    """The names of the blobs that manifests need, None while one of them cannot be read."""
    manifests = _all_files(folder)
    if manifests is None:
        return None
    named = set()
    for file in manifests:
        try:
            if file.stat().st_size > _MANIFEST_BYTES:
                return None
            document = json.loads(file.read_bytes())
            layers = [*document["layers"], document["config"]]
            named |= {layer["digest"].replace(":", "-") for layer in layers}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
    return named


def _all_files(folder: Path) -> list[Path] | None:
    """`_files`, None where a folder cannot be read or is not there."""
    unreadable: list[OSError] = []
    files = list(_files(folder, unreadable.append))
    return None if unreadable else files


def _files(folder: Path, fail: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Every name below `folder` that is no folder; links are not followed."""
    for parent, folders, files in os.walk(folder, onerror=fail):
        for name in (*files, *(name for name in folders if (Path(parent) / name).is_symlink())):
            yield Path(parent) / name


def _names(folder: Path) -> list[Path]:
    """What is in `folder`, but for folders."""
    return [path for path in _listed(folder) if path.is_symlink() or not path.is_dir()]


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_dir()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


_FINDERS: dict[Tool, Callable[[Place], Iterator[tuple[Path, str]]]] = {
    Tool.HUGGINGFACE: _huggingface,
    Tool.MODELSCOPE: _modelscope,
    Tool.OLLAMA: _ollama,
    Tool.FOLDER: _folder,
}
