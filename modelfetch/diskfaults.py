"""Says of an operating system's error what a user can do about it. Decides only.

- No room, a quota or a file-size limit is DiskFullError: what was fetched is kept.
- No permission, or a file system mounted read-only, is StoreError with the owner's name and the command that mends it.
- Too many open files is StoreError with what allows more.
- Anything else is StoreError with what the system said.
- What only a disk says is the disk's doing wherever it comes up, also where nobody expected it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelfetch.errors import DiskFullError, ModelfetchError, StoreError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OF_DISKS_ALONE = _NO_ROOM | {errno.EIO, errno.EROFS, errno.ESTALE}
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Raise an OSError from inside as the error a user understands; `doing` completes "`path` cannot be …".

    Raises:
        DiskFullError: there is no room.
        StoreError: anything else that the system refused.
    """
    try:
        yield
    except OSError as error:
        raise fault(error, path, doing) from error


def fault(error: OSError, path: Path, doing: str) -> ModelfetchError:
    """The error to raise for `error`, which came up when `path` was to be `doing`."""
    message = f"`{path}` cannot be {doing}"
    facts: dict[str, object] = {"why": error.strerror or str(error)}
    if isinstance(error.filename, str) and error.filename != str(path):
        facts["at"] = error.filename
    if is_no_room(error):
        return DiskFullError(
            message,
            facts=facts,
            hint="make room, or choose a bigger disk with MODELFETCH_HOME, and run it again: what was fetched is kept",
        )
    if error.errno == errno.EROFS:
        return StoreError(message, facts=facts, hint="set MODELFETCH_HOME to a folder on a disk that can be written to")
    if error.errno == errno.EMFILE:
        return StoreError(message, facts=facts, hint="ulimit -n 1024 allows more; --connections 2 needs fewer")
    if error.errno in _NOT_ALLOWED:
        held = _nearest_existing(path)
        return StoreError(message, facts=facts | {"owner": _owner(held)}, hint=f'sudo chown -R "$(id -un)" "{held}"')
    return StoreError(message, facts=facts)


def is_no_room(error: OSError) -> bool:
    """Whether there was no room for what was to be written."""
    return error.errno in _NO_ROOM


def is_of_the_disk(error: OSError) -> bool:
    """Whether this is said of a disk that fails or is full, and of nothing else."""
    return error.errno in _OF_DISKS_ALONE


def unexpected(error: OSError) -> ModelfetchError | None:
    """The error to raise for one that came up where no file was expected to fail; None where no disk is to blame."""
    if not is_of_the_disk(error):
        return None
    if error.filename is not None:
        return fault(error, Path(os.fsdecode(error.filename)), "used")
    failure = DiskFullError if is_no_room(error) else StoreError
    return failure(
        "a disk failed in the middle of this",
        facts={"why": error.strerror},
        hint="the same command goes on from here once the disk works; `dmesg` may say which one it is",
    )


def _nearest_existing(path: Path) -> Path:
    """`path`, or the closest folder above it that is there and can be seen."""
    for candidate in (path, *path.parents):
        try:
            candidate.lstat()
        except OSError:
            continue
        return candidate
    return path


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError, NotImplementedError):
        return "unknown"
