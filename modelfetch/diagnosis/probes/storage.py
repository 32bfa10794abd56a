"""The places that models are kept in: room, inodes, file system, owner, and what the file system can do when tried.

- A place that does not exist yet is judged by the nearest folder above it that does.
- Trying needs a temporary folder; it is made in that folder and removed, and nothing else is written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelfetch.config.values import Settings
from modelfetch.diagnosis.machine import Machine
from modelfetch.errors import ModelfetchError

_CLONE = 0x40049409  # FICLONE: the second file shares the first one's blocks
_SPARSE_BYTES = 1 << 20


@dataclass(frozen=True)
class Place:
    """A folder that models are kept in. `problem` says why nothing can be written there, `error` is its number where it
    has one; `features` is what was tried.

    `obstacle` is a file, or a link that leads nowhere, where the folder should be; `is_closed` says that a folder above
    may not be entered. `mounted_at` is where its file system begins.

    `foreign` is the first path there that belongs to another user, which is what a `sudo` once leaves behind.
    """

    role: str
    path: Path
    exists: bool
    device: int
    free_bytes: int
    free_inodes: int | None = None
    file_system: str | None = None
    problem: str | None = None
    error: int | None = None
    obstacle: Path | None = None
    is_closed: bool = False
    mounted_at: Path | None = None
    foreign: Path | None = None
    features: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class StorageFacts:
    """The places, the store first; the names in the store's folder; and why it cannot be opened, if it cannot."""

    places: tuple[Place, ...]
    store_names: tuple[str, ...] = ()
    store_error: ModelfetchError | None = None


def read_storage(machine: Machine, settings: Settings) -> StorageFacts:
    mounts = _mounts(machine)
    roles = {
        "store": settings.home,
        "Hugging Face cache": settings.hf_cache,
        "ModelScope cache": settings.modelscope_cache,
    }
    places = tuple(_look_at(role, path, mounts) for role, path in roles.items())
    names = tuple(entry.name for entry in _entries(settings.home))
    return StorageFacts(places, names, _store_error(settings.home))


def _store_error(home: Path) -> ModelfetchError | None:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.store import Store

    try:
        Store.open(home, create=False)
    except ModelfetchError as error:
        return error
    return None


def _look_at(role: str, path: Path, mounts: Mapping[Path, str]) -> Place:
    there = next(folder for folder in (path, *path.parents) if _is_there(folder))
    is_closed = there != path and not os.access(there, os.X_OK)
    obstacle = None if is_closed else _obstacle(path, there)
    features: dict[str, bool] = {}
    problem, number = None, None
    try:
        if is_closed:
            problem = f"`{there}` may not be entered"
        elif obstacle is None:
            with tempfile.TemporaryDirectory(prefix=".modelfetch-doctor-", dir=there) as folder:
                features = {name: _works(attempt, Path(folder)) for name, attempt in _ATTEMPTS.items()}
        elif obstacle.is_symlink():
            problem = f"`{obstacle}` is a link to `{obstacle.readlink()}`, which is not there"
        else:
            problem = f"`{obstacle}` is a file"
    except OSError as error:
        problem, number = f"{error.strerror or error} (in `{there}`)", error.errno
    mounted_at = _mount_of(there, mounts)
    return Place(
        role=role,
        path=path,
        exists=there == path,
        device=there.stat().st_dev,
        free_bytes=shutil.disk_usage(there).free,
        free_inodes=_free_inodes(there),
        file_system=mounts[mounted_at] if mounted_at else None,
        problem=problem,
        error=number,
        obstacle=obstacle,
        is_closed=is_closed,
        mounted_at=mounted_at,
        foreign=_foreign(path),
        features=features,
    )


def _obstacle(path: Path, there: Path) -> Path | None:
    """What stands in the way of making `path`, of which `there` is what can be reached."""
    if not there.is_dir():
        return there
    if there == path:
        return None
    below = there / path.relative_to(there).parts[0]
    return below if below.is_symlink() else None


def _free_inodes(folder: Path) -> int | None:
    if not hasattr(os, "statvfs"):
        return None
    numbers = os.statvfs(folder)
    # btrfs and others have no fixed number of inodes and say 0 of 0.
    return numbers.f_favail if numbers.f_files else None


def _mounts(machine: Machine) -> dict[Path, str]:
    """Where each file system is mounted, and its type."""
    mounts = {}
    for line in (machine.read("proc/self/mountinfo") or "").splitlines():
        before, separator, after = line.partition(" - ")
        if separator and len(before.split()) > 4:
            # Spaces and tabs in a path are written in octal.
            mounts[Path(before.split()[4].replace("\\040", " ").replace("\\011", "\t"))] = after.split()[0]
    return mounts


def _mount_of(folder: Path, mounts: Mapping[Path, str]) -> Path | None:
    resolved = folder.resolve()
    return next((above for above in (resolved, *resolved.parents) if above in mounts), None)


def _foreign(path: Path) -> Path | None:
    if not hasattr(os, "geteuid") or os.geteuid() == 0 or not _is_there(path):
        return None
    return next((entry for entry in (path, *_entries(path)) if entry.lstat().st_uid != os.geteuid()), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder above it may not be entered
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _works(attempt: Callable[[Path], bool], folder: Path) -> bool:
    try:
        return attempt(folder)
    except (OSError, ImportError):
        return False


def _symlink(folder: Path) -> bool:
    (folder / "symlink").symlink_to("target")
    return (folder / "symlink").is_symlink()


def _hardlink(folder: Path) -> bool:
    (folder / "first").write_bytes(b"x")
    (folder / "second").hardlink_to(folder / "first")
    return (folder / "first").samefile(folder / "second")


def _lock(folder: Path) -> bool:
    import fcntl

    with (folder / "lock").open("wb") as first, (folder / "lock").open("wb") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    # Given to two at once, as some network file systems do.
    return False


def _reflink(folder: Path) -> bool:
    import fcntl

    (folder / "source").write_bytes(b"x" * 4096)
    with (folder / "source").open("rb") as source, (folder / "clone").open("wb") as clone:
        fcntl.ioctl(clone, _CLONE, source.fileno())
    return True


def _sparse(folder: Path) -> bool:
    with (folder / "sparse").open("wb") as stream:
        stream.truncate(_SPARSE_BYTES)
        stream.flush()
        return os.fstat(stream.fileno()).st_blocks * 512 < _SPARSE_BYTES


def _case(folder: Path) -> bool:
    (folder / "case").write_bytes(b"")
    return not (folder / "CASE").exists()


_ATTEMPTS: Mapping[str, Callable[[Path], bool]] = {
    "symlinks": _symlink,
    "hard links": _hardlink,
    "locks": _lock,
    "reflinks": _reflink,
    "sparse files": _sparse,
    "case-sensitive names": _case,
}
