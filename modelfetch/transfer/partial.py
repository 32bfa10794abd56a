"""A file on its way: `data`, `journal` and `owner.N` in one folder. Written by one process at a time (owner).

- What the journal vouches for is on disk; bytes it does not know are fetched again. Whether they are right is for the
  digest to say: what is left of a damaged file is taken over as if it had been fetched.
- A journal without data vouches for nothing, and never will.
- `data` is handed over for publishing only after it was closed here.
- Nothing here is ever a final name.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from modelfetch.planning.spans import Span, SpanSet
from modelfetch.transfer import journal
from modelfetch.transfer.mapping import mapped
from modelfetch.transfer.owner import Claim, boot_id

_DATA, _JOURNAL = "data", "journal"
# File systems take memory for a large write in large blocks. Those may be the ones that a virtual machine gave back to
# its host, and getting them again was seen to take three times as long as the write.
_WRITE_BYTES = 64 << 10


class Partial:
    """An open partial. `write` may be called from several threads for bytes that do not overlap."""

    def __init__(self, folder: Path, size: int, claim: Claim) -> None:
        """Open or begin the partial in `folder`, which `claim` owns.

        Raises:
            StoreError: its journal is of another version.
            OSError: as the file system says.
        """
        self.folder = folder
        self.claim = claim
        boot = boot_id()
        self.found = _vouched(folder, size, boot)
        if not self.found:
            # Of data that is gone, say: what is made in its place is not what the journal tells of.
            (folder / _JOURNAL).unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._data = os.open(folder / _DATA, flags, 0o644)
        try:
            _reserve(self._data, size)
            os.ftruncate(self._data, size)
            self._journal = _open_journal(folder / _JOURNAL, boot)
        except OSError:
            os.close(self._data)
            raise
        self._unsynced = False
        # Guards the descriptors against being closed while `sync` uses them.
        self._closing = threading.Lock()
        # File systems let one at a time write to a file. Who waits for his turn here sleeps; there he may spin.
        self._writing = threading.Lock()
        self._closed = False

    @property
    def data(self) -> Path:
        return self.folder / _DATA

    def write(self, view: memoryview, offset: int) -> None:
        """Write all of `view` at `offset`."""
        with self._writing:
            while view:
                written = os.pwrite(self._data, view[:_WRITE_BYTES], offset)
                view, offset = view[written:], offset + written

    def readinto(self, view: memoryview, offset: int) -> int:
        """Read bytes at `offset` back."""
        return os.preadv(self._data, [view], offset)

    @contextlib.contextmanager
    def reading(self, span: Span, buffer: memoryview) -> Iterator[memoryview]:
        """The first bytes of `span`, as many as are had at once; none where the file ends. May be those of `buffer`.

        What this run wrote is in memory still, and read there. What it found may be on the disk only.
        """
        if not self.found.common(span):
            with mapped(self._data, span) as view:
                if view is not None:
                    yield view
                    return
        wanted = buffer[: len(span)]
        yield wanted[: self.readinto(wanted, span.start)]

    def differs(self, view: memoryview, offset: int) -> bool:
        """Whether the bytes at `offset` are others than `view`'s."""
        there = memoryview(bytearray(len(view)))
        return self.readinto(there, offset) != len(view) or bytes(there) != bytes(view)

    def note(self, span: Span) -> None:
        """The bytes of `span` were written."""
        journal.append(self._journal, journal.line(journal.WRITTEN, span))
        self._unsynced = True

    def forget(self, span: Span) -> None:
        """The bytes of `span` are wrong."""
        journal.append(self._journal, journal.line(journal.GONE, span))

    def sync(self, done: SpanSet) -> None:
        """Make `done`, which was written before the call, safe against a power cut, and say so in the journal."""
        with self._closing:
            if self._closed or not self._unsynced:
                return
            self._unsynced = False
            _datasync(self._data)
            journal.append(self._journal, b"".join(journal.line(journal.DURABLE, span) for span in done))
            _datasync(self._journal)

    def close(self) -> None:
        """Close the files. The partial stays and can be opened again."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._data)
                os.close(self._journal)

    def discard(self) -> None:
        """Remove what is left of the partial, after its data was published or is not wanted."""
        self.close()
        for name in (_JOURNAL, _DATA):
            (self.folder / name).unlink(missing_ok=True)
        self.claim.release()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # not empty when another process claimed it meanwhile


def take_over(salvaged: Path, folder: Path, size: int) -> None:
    """Begin the partial in `folder` anew, with a file that has more of the right bytes than it.

    The journal goes first: the file's old name is the only one that leads to these bytes until they are vouched for.
    A file on another disk stays where it is, and is of no use.

    Raises:
        OSError: as the file system says.
    """
    for name in (_JOURNAL, _DATA):
        (folder / name).unlink(missing_ok=True)
    length = min(size, salvaged.stat().st_size)
    if not length:
        return
    with salvaged.open("rb") as file:
        _datasync(file.fileno())
    descriptor = _open_journal(folder / _JOURNAL, boot_id())
    try:
        journal.append(descriptor, journal.line(journal.DURABLE, Span(0, length)))
        _datasync(descriptor)
    finally:
        os.close(descriptor)
    try:
        salvaged.rename(folder / _DATA)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise


def resumable_bytes(folder: Path, size: int) -> int:
    """How many bytes of a file of `size` the partial in `folder` already has. Takes nothing and changes nothing."""
    return len(_vouched(folder, size, boot_id()))


def _vouched(folder: Path, size: int, boot: str) -> SpanSet:
    """What the journal vouches for and the data file is long enough to hold."""
    try:
        content = (folder / _JOURNAL).read_bytes()
        length = (folder / _DATA).stat().st_size
    except FileNotFoundError:
        return SpanSet()
    spans = journal.read(content, size=size, boot=boot, where=str(folder / _JOURNAL))
    if length < size:
        spans.discard(Span(length, size))
    return spans


def _open_journal(path: Path, boot: str) -> int:
    """Begin a session in the journal, or the journal itself where it was not begun or did not survive a power cut."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if os.pread(descriptor, len(journal.HEADER), 0) != journal.HEADER:
            os.ftruncate(descriptor, 0)
            journal.append(descriptor, journal.HEADER)
        journal.append(descriptor, journal.session(boot))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _reserve(descriptor: int, size: int) -> None:
    """Take the room for the whole file now, where the file system can do that without writing.

    Not `posix_fallocate`: where the file system cannot, that writes the file full of zeros.
    """
    if not sys.platform.startswith("linux"):
        return
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
    if fallocate(descriptor, 0, 0, size) and ctypes.get_errno() in {errno.ENOSPC, errno.EDQUOT}:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _datasync(descriptor: int) -> None:
    # macOS has no fdatasync; its fsync is no worse.
    getattr(os, "fdatasync", os.fsync)(descriptor)
