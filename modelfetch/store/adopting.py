"""Takes a file that somebody else keeps into the store, by a second name for its bytes where the disk allows one.

Raises StoreError or DiskFullError where the store's disk refuses. What is wrong with the file itself is the answer.

- The second name is made first, then the bytes behind it are hashed, then they are published under that name's inode.
- The file is never written to. A hard link takes away the permission to write to it, and gives none to read it.
- A file that changed since it was looked at, or while it was hashed, is not taken.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from io import FileIO
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.hashing import Hasher, wants_git_sha1
from modelfetch.manifest import Digests
from modelfetch.store.files import READ_ONLY, drop, fsync_file, publish, temporary_in, write_temporary
from modelfetch.store.hashing import blocks
from modelfetch.store.links import Method, hard_link, reflink
from modelfetch.store.store import Store

# Of two files with the same bytes that are taken at the same time one must find the other here, and say so.
_PUBLISHING = threading.Lock()


class Obstacle(StrEnum):
    """Why a file was not taken."""

    UNREADABLE = "unreadable"
    CHANGED = "changed meanwhile"
    OTHER_BYTES = "other bytes"
    NO_LINK = "no link"


@dataclass(frozen=True)
class Taken:
    """The bytes are in the store. `method` is None when they were there before: the file is one more copy of them."""

    digests: Digests
    method: Method | None


@dataclass(frozen=True)
class NotTaken:
    """The store is as it was."""

    obstacle: Obstacle
    expected: str | None = None
    got: str | None = None


@dataclass(frozen=True)
class Source:
    """Somebody's file, its status when it was found, and what it is said to hold."""

    file: Path
    status: os.stat_result
    claim: Digests

    def is_as_found(self, status: os.stat_result) -> bool:
        """Whether `status` is of the same file with, as far as a status tells, the same bytes."""
        found = self.status
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )


@dataclass(frozen=True)
class Hears:
    """Who is told of a blob before it is looked for or published, and of every block that was hashed.

    What `advanced` raises ends the work, and the store is as it was.
    """

    announce: Callable[[str], object]
    advanced: Callable[[int], None]


class _UnreadableError(Exception):
    """The source cannot be read: its disk, or its owner, does not let us."""


def payload_identities(store: Store) -> dict[tuple[int, int], str]:
    """The sha256 of every payload by its device and inode: what is found there elsewhere is in the store already."""
    identities = {}
    for sha256, _ in store.blobs.sizes():
        try:
            status = store.blob(sha256).lstat()
        except OSError:
            continue
        identities[status.st_dev, status.st_ino] = sha256
    return identities


def device_of(store: Store) -> int:
    """The file system that the payloads are on, or will be."""
    folder = store.blobs.root
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev


def makes_reflinks(store: Store) -> bool:
    """Whether the store's file system lets two files share blocks. Tried there; what cannot be tried is a no."""
    folder = store.blobs.root / ".temporary"
    with suppress(OSError):
        source, target = temporary_in(folder), temporary_in(folder)
        try:
            write_temporary(b"x", source)
            return reflink(source, target)
        finally:
            drop(source)
            drop(target)
    return False


def may_hard_link(status: os.stat_result) -> bool:
    """Whether the file is this user's own."""
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def take_in(store: Store, source: Source, methods: tuple[Method, ...], hears: Hears) -> Taken | NotTaken:
    """Take `source` by the first of `methods` that works here.

    Raises:
        DiskFullError: there is no room for a copy.
        StoreError: the store cannot be written to.
    """
    with translated(store.blobs.root, "written to"):
        temporary = temporary_in(store.blobs.root / ".temporary")
        try:
            return _take(store, source, temporary, methods, hears)
        except _UnreadableError as error:
            return NotTaken(Obstacle.UNREADABLE, got=str(error))
        finally:
            drop(temporary)


def _take(store: Store, source: Source, temporary: Path, methods: tuple[Method, ...], hears: Hears) -> Taken | NotTaken:
    with _opened(source.file) as reader:
        method = _second_name(source, temporary, methods)
        if method is None:
            return NotTaken(Obstacle.NO_LINK)
        if method is Method.COPY:
            hasher = _copy(reader, temporary, _hasher(source), hears.advanced)
        else:
            hasher = _hash(temporary, _hasher(source), hears.advanced)
        # Also where a hard link was hashed: its size and time are the file's own, and tell who wrote to it meanwhile.
        if hasher.position != hasher.size or not source.is_as_found(os.fstat(reader.fileno())):
            return NotTaken(Obstacle.CHANGED)
    digests = hasher.digests()
    if digests.agree(source.claim) is False:
        return _other_bytes(source.claim, digests)
    assert digests.sha256 is not None
    hears.announce(digests.sha256)
    taken = _publish(store, temporary, digests, source.status, method)
    store.blobs.pieces.keep(hasher.pieces())
    return taken


def _hasher(source: Source) -> Hasher:
    size = source.status.st_size
    return Hasher(size, with_git_sha1=wants_git_sha1(source.claim, size))


def _second_name(source: Source, temporary: Path, methods: tuple[Method, ...]) -> Method | None:
    """Make `temporary` by the first of `methods` that works; a copy is left to be made while it is hashed."""
    for method in methods:
        if method is Method.COPY:
            return method
        if method is Method.REFLINK and reflink(source.file, temporary):
            return method
        if method is Method.HARD_LINK and hard_link(source.file, temporary):
            if source.is_as_found(temporary.lstat()):
                return method
            temporary.unlink()
    return None


def _publish(store: Store, temporary: Path, digests: Digests, status: os.stat_result, method: Method) -> Taken:
    assert digests.sha256 is not None
    final = store.blob(digests.sha256)
    with _PUBLISHING:
        if store.find(digests, status.st_size) is not None:
            return Taken(digests, None)
        readable_by = stat.S_IMODE(status.st_mode) if method is Method.HARD_LINK else READ_ONLY
        fsync_file(temporary, mode=readable_by & READ_ONLY)
        publish(temporary, final)
        store.blobs.stamp(digests, final.lstat())
    return Taken(digests, method)


def _other_bytes(claim: Digests, digests: Digests) -> NotTaken:
    if claim.sha256:
        return NotTaken(Obstacle.OTHER_BYTES, claim.sha256, digests.sha256)
    return NotTaken(Obstacle.OTHER_BYTES, claim.git_sha1, digests.git_sha1)


def _opened(file: Path) -> FileIO:
    try:
        return file.open("rb", buffering=0)
    except OSError as error:
        raise _UnreadableError(error.strerror) from error


def _read(reader: FileIO, size: int) -> Iterator[memoryview]:
    """The file in blocks, and none after more than `size` bytes: somebody may be adding to it for ever."""
    try:
        for block in blocks(reader):
            yield block
            size -= len(block)
            if size < 0:
                return
    except OSError as error:
        raise _UnreadableError(error.strerror) from error


def _hash(file: Path, hasher: Hasher, advanced: Callable[[int], None]) -> Hasher:
    with _opened(file) as reader:
        for block in _read(reader, hasher.size):
            hasher.update(block)
            advanced(len(block))
    return hasher


def _copy(reader: FileIO, target: Path, hasher: Hasher, advanced: Callable[[int], None]) -> Hasher:
    """Hash what is written, so that the digests are those of the copy."""
    with target.open("xb") as writer:
        for block in _read(reader, hasher.size):
            hasher.update(block)
            writer.write(block)
            advanced(len(block))
    return hasher
