"""The locks in Hugging Face's cache: how many there are, and which processes hold some, as the kernel tells.

Its client leaves a lock's file behind when it is done: the file alone keeps nobody waiting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modelfetch.config.values import Settings
from modelfetch.diagnosis.machine import Machine

# More than a cache of thousands of models has.
_MOST_LOCKS = 20_000
# `1: FLOCK  ADVISORY  WRITE 4711 08:01:131075 0 EOF`: who holds it, and the file's device and inode.
_HELD = re.compile(r"^\d+: FLOCK\s+\S+\s+\S+\s+(\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s", re.MULTILINE)


@dataclass(frozen=True)
class LockFacts:
    """`files` locks lie in the cache; `holders` are the processes that hold one of them now."""

    files: int = 0
    holders: tuple[int, ...] = ()


def read_locks(machine: Machine, settings: Settings) -> LockFacts:
    held = {
        (int(major, 16), int(minor, 16), int(inode)): int(process)
        for process, major, minor, inode in _HELD.findall(machine.read("proc/locks") or "")
    }
    files, holders = 0, set[int]()
    for file in islice(_locks(settings.hf_cache / ".locks"), _MOST_LOCKS):
        try:
            status = file.stat()
        except OSError:
            continue  # released and removed meanwhile
        files += 1
        # Asked only where a kernel tells: elsewhere devices may have no such numbers.
        if held and (holder := held.get((os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))):
            holders.add(holder)
    return LockFacts(files, tuple(sorted(holders)))


def _locks(folder: Path) -> Iterator[Path]:
    # os.walk passes over what this user may not enter, which rglob does not.
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names if name.endswith(".lock"))
