"""What many links lead to, when they lead to few folders: each folder is resolved once.

- As `Path.resolve(strict=True)` says, which asks the disk about every folder above every file.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

# As many links in a row as Linux follows.
_MOST_LINKS = 40


@dataclass(frozen=True)
class RealFile:
    """What a name leads to, which is no link itself."""

    path: Path
    status: os.stat_result


class RealPaths:
    """Remembers the folders that it has resolved."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def behind(self, path: Path) -> RealFile:
        """What `path` is or leads to.

        Raises:
            OSError: nothing is there, it cannot be seen, or links lead in a circle.
        """
        for _ in range(_MOST_LINKS):
            real = self.folder(path.parent) / path.name
            status = real.lstat()
            if not stat.S_ISLNK(status.st_mode):
                return RealFile(real, status)
            path = real.parent / real.readlink()
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))

    def folder(self, folder: Path) -> Path:
        """`folder` without links, as far as it is there."""
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = Path(os.path.realpath(folder))
        return real
