"""Which files processes have open or mapped right now, by what makes two names the same file.

- A model that was loaded is mapped and not open any more; both count, also in a container.
- Processes of other users are not seen, nor any where there is no /proc.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
# Of a line of `maps`: addresses, permissions, offset, device, inode, and then the file's name with its spaces.
_FIELDS_BEFORE_NAME = 5

# Device and number of a file.
Inode = tuple[int, int]
_NONE: Inode = (0, 0)


def open_files() -> dict[Inode, str]:
    """The files, and of each one process that has it."""
    found: dict[Inode, str] = {}
    # Every process maps the same libraries: each is looked at once for all that see the same files.
    mapped: dict[tuple[str, str], Inode] = {}
    for process in _listed(_PROCESSES):
        if not process.name.isdecimal():
            continue
        sees = _mounts_of(process)
        for name in _mapped(process):
            if (sees, name) not in mapped:
                # As the process sees it: in a container the same name is another file.
                mapped[sees, name] = inode_of(Path(f"{process}/root{name}"))
            found[mapped[sees, name]] = f"process {process.name}"
        found |= dict.fromkeys(map(inode_of, _listed(process / "fd")), f"process {process.name}")
    found.pop(_NONE, None)
    return found


def inode_of(file: Path) -> Inode:
    """What `file`, or what it leads to, is on the disk; nothing that any file is where it is not there."""
    try:
        status = file.stat()
    except OSError:
        return _NONE
    return status.st_dev, status.st_ino


def _mounts_of(process: Path) -> str:
    """What tells whether two processes see the same files under the same names."""
    try:
        return str((process / "ns" / "mnt").readlink())
    except OSError:
        return process.name


def _mapped(process: Path) -> Iterator[str]:
    try:
        lines = (process / "maps").read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(None, _FIELDS_BEFORE_NAME)
        if len(fields) > _FIELDS_BEFORE_NAME and fields[_FIELDS_BEFORE_NAME].startswith(b"/"):
            yield os.fsdecode(fields[_FIELDS_BEFORE_NAME])


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
