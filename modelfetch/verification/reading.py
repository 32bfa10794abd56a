"""Reads files with every core and says of each whether it holds the bytes of its sha256.

- The biggest file is begun first: the last core to finish is then not the one that just began a big one.
- One unreadable file is a finding about that file; the others are read all the same.
- An interruption ends every reader within a block.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from modelfetch.hashing import Hasher, Pieces
from modelfetch.store.hashing import blocks
from modelfetch.verification.report import Problem

_WAKE_EVERY_S = 0.2


@dataclass(frozen=True)
class Target:
    """A file and what it must hold."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Reading:
    """What a file was found to hold; `problem` is None when that is right. `status` is from before it was read.

    `pieces` are those of the bytes that were read, right or wrong; None of a small file, and where not all was read.
    """

    target: Target
    problem: Problem | None
    expected: str | None = None
    got: str | None = None
    status: os.stat_result | None = None
    read_bytes: int = 0
    pieces: Pieces | None = None


def read_all(targets: Sequence[Target], jobs: int, advanced: Callable[[Target, int], None]) -> list[Reading]:
    """Read every target, `jobs` at a time. `advanced` is called from the readers' threads."""
    stop = threading.Event()
    biggest_first = sorted(targets, key=lambda target: target.size, reverse=True)
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="verify") as pool:
        try:
            futures = [pool.submit(_read, target, advanced, stop) for target in biggest_first]
            return [_result(future) for future in futures]
        finally:
            # Who reads ends at its next block; who has not begun never does.
            stop.set()
            pool.shutdown(cancel_futures=True)


def _result(future: Future[Reading]) -> Reading:
    while True:
        # A signal that another thread caught is heard of only when this one wakes up.
        done, _ = wait([future], timeout=_WAKE_EVERY_S)
        if done:
            return future.result()


def _read(target: Target, advanced: Callable[[Target, int], None], stop: threading.Event) -> Reading:
    read_bytes = 0
    try:
        status = target.path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Reading(target, Problem.UNREADABLE, got="not a file")
        if wrong := _wrong_size(status.st_size, target.size):
            return Reading(target, wrong, f"{target.size} bytes", f"{status.st_size} bytes", status)
        hasher = Hasher(target.size, with_git_sha1=False)
        with target.path.open("rb", buffering=0) as file:
            for block in blocks(file):
                if stop.is_set():
                    break
                hasher.update(block)
                read_bytes += len(block)
                advanced(target, len(block))
    except FileNotFoundError:
        return Reading(target, Problem.MISSING, expected=f"{target.size} bytes", got="no file")
    except OSError as error:
        return Reading(target, Problem.UNREADABLE, got=error.strerror or str(error), read_bytes=read_bytes)
    got, pieces = hasher.digests().sha256, hasher.pieces()
    if got != target.sha256:
        return Reading(target, Problem.CHANGED, target.sha256, got, status, read_bytes, pieces)
    return Reading(target, None, status=status, read_bytes=read_bytes, pieces=pieces)


def _wrong_size(size: int, expected: int) -> Problem | None:
    if size == expected:
        return None
    return Problem.SHORT if size < expected else Problem.LONG
