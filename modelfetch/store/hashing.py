"""Hashes files on disk, read once, through a buffer that is kept.

- A file that is shorter or longer than the size its hashing began with has no digests: it is being written to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

from modelfetch.hashing import Hasher

# Big enough that Python's share of the time disappears, small enough for the second-level cache.
BUFFER_BYTES = 1 << 20


def hash_file(path: Path, *, with_git_sha1: bool = True) -> Hasher | None:
    """Hash a file to its end, None when its length changes meanwhile.

    Raises:
        OSError: it cannot be opened or read.
    """
    with path.open("rb", buffering=0) as file:
        hasher = Hasher(os.fstat(file.fileno()).st_size, with_git_sha1=with_git_sha1)
        for block in blocks(file):
            hasher.update(block)
    return hasher if hasher.position == hasher.size else None


def copy_hashing(source: Path, target: Path) -> Hasher | None:
    """Copy `source` to the new file `target`, fsynced, and hash what is copied; None when `source` changes meanwhile.

    Raises:
        OSError: either cannot be used, or `target` is there.
    """
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        hasher = Hasher(os.fstat(reader.fileno()).st_size, with_git_sha1=False)
        for block in blocks(reader):
            hasher.update(block)
            _write_all(writer.write, block)
        os.fsync(writer.fileno())
    return hasher if hasher.position == hasher.size else None


def blocks(file: FileIO) -> Iterator[memoryview]:
    """The file in blocks of one buffer; each is valid until the next is asked for."""
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    while count := file.readinto(buffer):
        yield view[:count]


def _write_all(write: Callable[[memoryview], int | None], block: memoryview) -> None:
    while block:
        written = write(block)
        block = block[written or 0 :]
