"""Files that were found damaged and taken out of their names: what is left of them is good but for a piece or two.

- A damaged file leaves its name by one rename, before anything is done about it. Nothing is ever mended in place.
- Whoever mends it writes to it, so it must be nobody else's: one that has other names, or another owner, is copied.
- What cannot be read whole then is left where it is.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.store.files import WRITABLE, drop, make_folder, remove, temporary_in
from modelfetch.store.links import copy_as_it_is


class Damaged:
    """The damaged files under one folder, named by the sha256 that they should have."""

    def __init__(self, folder: Path, temporaries: Path) -> None:
        self._folder = folder
        self._temporaries = temporaries

    def set_aside(self, path: Path, sha256: str) -> Path | None:
        """Take the file at `path` out of its name; where it went, None when there is none.

        Raises:
            StoreError: its folder cannot be written to.
        """
        aside = self._folder / sha256
        with translated(path, "moved aside"):
            make_folder(self._folder)
            try:
                path.rename(aside)
            except FileNotFoundError:
                return None
        return aside

    def salvage(self, sha256: str, *, beyond: int) -> Path | None:
        """The file that was set aside, made writable and nobody else's; None where there is none that can be read, or
        not more than `beyond` bytes of it.

        Raises:
            DiskFullError: there is no room for a copy of one that others use.
            StoreError: the folder cannot be written to.
        """
        aside = self._folder / sha256
        if readable_bytes(aside) <= beyond:
            return None
        with translated(aside, "made a file of its own"):
            if not _is_private(aside) and not self._copy(aside):
                return None
            aside.chmod(WRITABLE)
        return aside

    def drop(self, sha256: str) -> None:
        """Forget what was set aside, once there is a whole file again."""
        with translated(self._folder, "cleaned"):
            remove(self._folder / sha256)

    def _copy(self, aside: Path) -> bool:
        """Replace a file that others use by a copy; returns whether all of it could be read."""
        temporary = temporary_in(self._temporaries)
        try:
            copy_as_it_is(aside, temporary)
            temporary.replace(aside)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        finally:
            drop(temporary)
        return True


def readable_bytes(path: Path) -> int:
    """The size of the file at `path`; 0 where it is none, or this user may not read it."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK) else 0


def _is_private(path: Path) -> bool:
    """Whether the file has one name, and this user may change its mode."""
    status = path.lstat()
    return status.st_nlink == 1 and (not hasattr(os, "geteuid") or os.geteuid() in {0, status.st_uid})
