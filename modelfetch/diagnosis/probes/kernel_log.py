"""What the kernel's log says about NVIDIA GPUs, where this user may read it.

- It is read from `/dev/kmsg`, a record at a time and without waiting for the next one; containers have no `dmesg`.
- A log that is overwritten while it is read goes on with what is left of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine

# The kernel gives no longer record than this.
_RECORD_BYTES = 8192
# The kernel's buffer is a few megabytes; somebody may be writing into it faster than it is read.
_MOST_RECORDS = 100_000
_XID = re.compile(rb"NVRM: Xid \(([^)]*)\): (\d+)")


@dataclass(frozen=True)
class Xid:
    """An error that the driver reported: the GPU's address, and NVIDIA's number for it."""

    address: str
    code: int


@dataclass(frozen=True)
class KernelLogFacts:
    """The different errors, in the order in which they came; none where nobody may look."""

    xids: tuple[Xid, ...] = ()


def read_kernel_log(machine: Machine, _settings: Settings) -> KernelLogFacts:
    found = (
        Xid(match[1].decode(errors="replace").removeprefix("PCI:"), int(match[2]))
        for record in _records(machine.root / "dev/kmsg")
        for match in _XID.finditer(record)
    )
    return KernelLogFacts(tuple(dict.fromkeys(found)))


def _records(log: Path) -> Iterator[bytes]:
    try:
        descriptor = os.open(log, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return
    try:
        for _ in range(_MOST_RECORDS):
            try:
                record = os.read(descriptor, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # the record was overwritten meanwhile; the next read gives the oldest that is left
            except OSError:
                return
            if not record:
                return
            yield record
    finally:
        os.close(descriptor)
