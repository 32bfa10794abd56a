"""A disk that fails at its n-th call: no room, an error, half a write. For a child process, which has it for good.

- It stands between Python and the system: in the functions of `os` that take a path or a descriptor, and in `open`.
- Only calls below the folder that it is given fail, and only those count; everything else reaches the system untouched.
- FULL stays: once the disk was full, whatever needs room fails. WRITE, READ and SHORT happen once.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Fault(StrEnum):
    """What fails."""

    FULL = "full"
    WRITE = "write"
    READ = "read"
    SHORT = "short"


NEED_ROOM = ("link", "mkdir", "rename", "replace", "symlink", "fsync", "fdatasync", "ftruncate", "sendfile")
CHANGES = (*NEED_ROOM, "chmod", "remove", "rmdir", "unlink", "utime")
READS = ("access", "listdir", "lstat", "pread", "preadv", "readlink", "scandir", "stat")
WRITES = ("write", "pwrite")


@dataclass
class FailingDisk:
    """The disk below `folder`. `struck` is called when it has begun to fail."""

    folder: Path
    fault: Fault
    at: int
    struck: Callable[[], object]

    def __post_init__(self) -> None:
        self._below = f"{os.path.realpath(self.folder)}/"
        self._seen = 0
        self._lock = threading.Lock()
        # What looks at descriptors here must not count as a call.
        self._readlink = os.readlink

    def install(self) -> None:
        """From now on this process works on the failing disk."""
        for name in CHANGES:
            self._wrap(name, room=name in NEED_ROOM)
        for name in READS:
            self._wrap_read(name)
        for name in WRITES:
            self._wrap_write(name)
        self._wrap_open()
        self._wrap_files()

    def fails(self, path: Any = None, *, changes: bool, room: bool = False) -> None:
        """Count a call, and fail it when it is its turn."""
        wanted = {Fault.FULL: room, Fault.WRITE: changes, Fault.READ: not changes}.get(self.fault, False)
        if wanted and self._is_turn(stays=self.fault is Fault.FULL):
            number = errno.ENOSPC if self.fault is Fault.FULL else errno.EIO
            raise OSError(number, os.strerror(number), *([os.fspath(path)] if path else []))

    def shortened(self, content: Any) -> Any:
        """What of a write reaches the disk."""
        view = memoryview(content)
        if self.fault is Fault.SHORT and len(view) > 1 and self._is_turn(stays=False):
            return view[: len(view) // 2]
        return content

    def _is_turn(self, *, stays: bool) -> bool:
        with self._lock:
            self._seen += 1
            if self._seen == self.at:
                self.struck()
            return self._seen >= self.at if stays else self._seen == self.at

    def _is_here(self, *places: object) -> bool:
        for place in places:
            path = place
            if isinstance(place, int) and not isinstance(place, bool):
                try:
                    path = self._readlink(f"/proc/self/fd/{place}")
                except OSError:
                    continue
            if isinstance(path, str | os.PathLike) and f"{os.fspath(path)}/".startswith(self._below):
                return True
        return False

    def _wrap(self, name: str, *, room: bool) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if self._is_here(*arguments[:2]):
                self.fails(_named(arguments[0]), changes=True, room=room)
            return real(*arguments, **options)

        setattr(os, name, call)

    def _wrap_read(self, name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if self._is_here(*arguments[:1]):
                self.fails(_named(arguments[0]), changes=False)
            return real(*arguments, **options)

        setattr(os, name, call)

    def _wrap_write(self, name: str) -> None:
        real = getattr(os, name)

        def call(descriptor: int, content: Any, *rest: Any) -> Any:
            if self._is_here(descriptor):
                self.fails(changes=True, room=True)
                content = self.shortened(content)
            return real(descriptor, content, *rest)

        setattr(os, name, call)

    def _wrap_open(self) -> None:
        real = os.open

        def call(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if self._is_here(path):
                changes = bool(flags & (os.O_WRONLY | os.O_RDWR))
                self.fails(path, changes=changes, room=bool(flags & os.O_CREAT))
            return real(path, flags, *arguments, **options)

        os.open = call

    def _wrap_files(self) -> None:
        real = io.open

        def call(file: Any, mode: str = "r", buffering: int = -1, *texts: Any, **options: Any) -> Any:
            if not self._is_here(file):
                return real(file, mode, buffering, *texts, **options)
            changes = any(letter in mode for letter in "wax+")
            if not isinstance(file, int):
                self.fails(file, changes=changes, room=changes)
            raw = _FailingFile(self, file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered: Any = io.BufferedWriter(raw) if changes else io.BufferedReader(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *texts, **options)

        vars(io)["open"] = vars(builtins)["open"] = call


def _named(place: Any) -> Any:
    """A path, None for a descriptor: the system's errors name what they were asked about by name."""
    return None if isinstance(place, int) else place


class _FailingFile(io.FileIO):
    def __init__(self, disk: FailingDisk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self._disk = disk

    def write(self, content: Any) -> int:
        self._disk.fails(changes=True, room=True)
        return super().write(self._disk.shortened(content))

    def readinto(self, buffer: Any) -> int:
        self._disk.fails(changes=False)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._disk.fails(changes=False)
        return super().readall()

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        self._disk.fails(changes=False)
        return super().read(size)
