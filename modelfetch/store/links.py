"""Second names for bytes that are there already: symbolic link, reflink, hard link; a copy where none can be made.

Raises OSError; callers translate. Whatever is made has a temporary name first, given by the caller.

- A symbolic link is relative, between real paths: the store and a cache may be moved together, or mounted elsewhere.
- A reflink shares blocks until one side writes; a hard link is the same file, and read-only as every payload is.
- A copy is hashed on the way and is refused when it is not what its digest says.
"""

from __future__ import annotations

import os
import shutil
import sys
from enum import Enum
from pathlib import Path

from modelfetch.diskfaults import is_of_the_disk
from modelfetch.errors import DigestMismatchError
from modelfetch.store.hashing import copy_hashing

# The request FICLONE of <linux/fs.h>: _IOW(0x94, 9, int).
_FICLONE = 0x40049409


class Method(Enum):
    """How a second name was made."""

    SYMLINK = "symlink"
    REFLINK = "reflink"
    HARD_LINK = "hard link"
    COPY = "copy"


class RelativeLinks:
    """What symbolic links must hold. Remembers where their folders really are, for the time of one change to the disk:
    to find that out costs more than to make a link.
    """

    def __init__(self) -> None:
        self._real: dict[Path, Path] = {}

    def target(self, target: Path, link: Path) -> str:
        """What a symbolic link at `link` must hold to lead to `target`, the folder of which is no link itself."""
        folder = link.parent
        if folder not in self._real:
            self._real[folder] = folder.resolve()
        return os.path.relpath(target, self._real[folder])


def reflink(source: Path, target: Path) -> bool:
    """Make the new file `target` share the blocks of `source`; False where this file system cannot."""
    if sys.platform != "linux":
        return False
    import fcntl

    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            target.unlink()
            return False
    return True


def hard_link(source: Path, target: Path) -> bool:
    """Give the file `source` the further name `target`; False where that cannot be done, as across file systems.

    Raises:
        OSError: the disk is full or fails: that is no property of the file system.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if is_of_the_disk(error):
            raise
        return False
    return True


def symbolic_link(pointing_to: str, link: Path) -> bool:
    """Make `link`; False where symbolic links cannot be made. Raises as `hard_link`."""
    try:
        link.symlink_to(pointing_to)
    except FileExistsError:
        raise
    except NotImplementedError:
        return False
    except OSError as error:
        if is_of_the_disk(error):
            raise
        return False
    return True


def copy_verified(source: Path, target: Path, sha256: str) -> None:
    """Copy to the new file `target`, fsynced; nothing stays when the bytes are not those of `sha256`.

    Raises:
        DigestMismatchError: `source` does not hold those bytes.
        OSError: either cannot be used.
    """
    try:
        copied = copy_hashing(source, target)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    got = copied.digests().sha256 if copied else "a file that changes while it is read"
    if got != sha256:
        target.unlink(missing_ok=True)
        raise DigestMismatchError(
            f"`{source}` is damaged",
            facts={"expected": sha256, "got": got},
            hint="modelfetch verify --deep --repair",
        )


def copy_as_it_is(source: Path, target: Path) -> None:
    """Copy what nobody says is right to the new file `target`, by sharing its blocks where that can be done."""
    if not reflink(source, target):
        shutil.copyfile(source, target)


def link_or_copy(source: Path, target: Path, sha256: str, *, methods: tuple[Method, ...]) -> Method:
    """Make the new file `target` by the first of `methods` (reflink, hard link) that works here, else by copying."""
    for method in methods:
        made = reflink(source, target) if method is Method.REFLINK else hard_link(source, target)
        if made:
            return method
    copy_verified(source, target, sha256)
    return Method.COPY
