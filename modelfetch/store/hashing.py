"""Both digests of bytes on disk, read once, through a buffer that is kept.

- sha256 is the identity; git-sha1 is sha1 over `blob <size>`, a NUL and the bytes, so the size must be known before.
- A file that is shorter or longer than the size its hashing began with has no digests: it is being written to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

from modelfetch.manifest import Digests

# Big enough that Python's share of the time disappears, small enough for the second-level cache.
BUFFER_BYTES = 1 << 20


class Hasher:
    """Both digests of a stream whose size is known."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._sha256 = hashlib.sha256()
        # Git's name for a blob, not a protection: the flag lets a system in FIPS mode compute it.
        self._git_sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def update(self, data: memoryview | bytes) -> None:
        self._left -= len(data)
        self._sha256.update(data)
        self._git_sha1.update(data)

    def digests(self) -> Digests | None:
        """None when the stream was not as long as was said."""
        if self._left != 0:
            return None
        return Digests(self._sha256.hexdigest(), self._git_sha1.hexdigest())


def digests_of(content: bytes) -> Digests:
    """Both digests of bytes in memory."""
    hasher = Hasher(len(content))
    hasher.update(content)
    digests = hasher.digests()
    assert digests is not None
    return digests


def hash_file(path: Path) -> Digests | None:
    """Both digests of a file, None when its length changes meanwhile.

    Raises:
        OSError: it cannot be opened or read.
    """
    with path.open("rb", buffering=0) as file:
        hasher = Hasher(os.fstat(file.fileno()).st_size)
        for block in blocks(file):
            hasher.update(block)
    return hasher.digests()


def copy_hashing(source: Path, target: Path) -> Digests | None:
    """Copy `source` to the new file `target`, fsynced, and say what was copied; None when `source` changed meanwhile.

    Raises:
        OSError: either cannot be used, or `target` is there.
    """
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        hasher = Hasher(os.fstat(reader.fileno()).st_size)
        for block in blocks(reader):
            hasher.update(block)
            _write_all(writer.write, block)
        os.fsync(writer.fileno())
    return hasher.digests()


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
