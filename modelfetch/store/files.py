"""The few ways in which this room changes a disk: whole files under their final names, and nothing else.

Decides nothing about models. Raises OSError; callers translate.

- A final name appears by rename of a file that is complete and fsynced; it is never opened for writing.
- A folder is fsynced after a name in it changed, and its parents after they were made.
- A temporary that was not touched for a day is dead: nothing here holds one open without writing to it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

READ_ONLY = 0o444
WRITABLE = 0o644
_DAY_S = 24 * 60 * 60
# What a file system answers that knows no fsync of a folder (some network and FUSE ones).
_NO_FOLDER_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES})


def temporary_in(folder: Path) -> Path:
    """A new name in `folder`, which is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / secrets.token_hex(12)


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents so that they are still there after a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def fsync_folder(folder: Path) -> None:
    """Put the names in `folder` on the disk."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FSYNC:
            raise
    finally:
        os.close(descriptor)


def fsync_file(path: Path, *, mode: int | None = None) -> None:
    """Put what was written to `path`, and `mode` where it is given, on the disk. Also works on a read-only file."""
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        if mode is not None:
            path.chmod(mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(complete: Path, final: Path) -> None:
    """Give a complete and fsynced file its final name, over whatever has it."""
    make_folder(final.parent)
    complete.replace(final)
    fsync_folder(final.parent)


def write_temporary(content: bytes | memoryview, temporary: Path, *, mode: int = 0o666) -> None:
    """Write a file that nobody else has the name of; `mode` is cut down by the umask."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def drop(temporary: Path) -> None:
    """Remove a temporary that is not needed any more. One that stays does not matter: it is swept in a day."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def write_durably(content: str, final: Path, temporaries: Path) -> None:
    """Replace `final` by `content`, whole or not at all, also after a power cut."""
    temporary = temporary_in(temporaries)
    try:
        write_temporary(content.encode("utf-8"), temporary)
        fsync_file(temporary)
        publish(temporary, final)
    finally:
        drop(temporary)


def write_hint(content: str | bytes, final: Path, temporaries: Path) -> None:
    """Replace `final` by `content`, whole or not at all for every reader, but a power cut may lose it."""
    temporary = temporary_in(temporaries)
    try:
        write_temporary(content if isinstance(content, bytes) else content.encode("utf-8"), temporary)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(final)
    finally:
        drop(temporary)


def file_system_now(folder: Path) -> float:
    """The file system's own idea of now, in seconds since the epoch: the times of its files were taken from it."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime


def sweep(temporaries: Path) -> None:
    """Remove what was left behind in a folder of temporaries. Errors do not matter: the next sweep tries again."""
    try:
        names = list(os.scandir(temporaries))
        if not names:
            return
        now = file_system_now(temporaries)
    except OSError:
        return
    for name in names:
        try:
            status = name.stat(follow_symlinks=False)
            # A blob that is moved aside keeps its old mtime; the move itself is in its ctime.
            if now - max(status.st_mtime, status.st_ctime) > _DAY_S:
                remove(Path(name.path))
        except OSError:
            continue


def files_below(folder: Path) -> list[Path]:
    """Every name below `folder` that is no folder; links are not followed. What vanishes meanwhile is not listed."""
    found = []
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        found += [Path(parent) / name for name in (*files, *links)]
    return found


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_empty_folders(folder: Path, *, up_to: Path) -> None:
    """Remove `folder` and those above it that are empty by then, below `up_to`."""
    while folder != up_to and up_to in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
