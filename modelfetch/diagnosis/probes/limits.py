"""How much of the machine this process may use: processors, memory, shared and locked memory, open files.

- A container sees the whole machine's numbers; what it may use stands in its control group, in the old or the new form.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine

# The old control groups say "no limit" with a number near 2^63.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class LimitFacts:
    """`cpu_limit` and `memory_limit_bytes` are what a control group or an affinity allows; None where nothing does.

    `locked_bytes` is how much memory may be kept from being swapped out, None for any; `has_rdma` whether there is a
    network card that reads memory by itself, and so wants it locked.
    """

    cpus: int
    cpu_limit: float | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    shared_memory_bytes: int | None = None
    temporary_bytes: int | None = None
    open_files: int | None = None
    locked_bytes: int | None = None
    has_rdma: bool = False


def read_limits(machine: Machine, _settings: Settings) -> LimitFacts:
    memory = machine.read("proc/meminfo") or ""
    return LimitFacts(
        cpus=os.cpu_count() or 1,
        cpu_limit=_cpu_limit(machine),
        memory_bytes=_kilobytes(memory, "MemTotal"),
        memory_available_bytes=_kilobytes(memory, "MemAvailable"),
        memory_limit_bytes=_memory_limit(machine),
        shared_memory_bytes=_size_of(machine, "dev/shm"),
        temporary_bytes=_size_of(machine, machine.environment.get("TMPDIR", "tmp").lstrip("/")),
        open_files=_soft_limit("RLIMIT_NOFILE"),
        locked_bytes=_soft_limit("RLIMIT_MEMLOCK"),
        has_rdma=any((machine.root / "sys/class/infiniband").glob("*")),
    )


def _kilobytes(text: str, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _control_groups(machine: Machine) -> list[str]:
    """The folders of this process's control group and of every one above it, under the new hierarchy."""
    match = re.search(r"^0::(/.*)$", machine.read("proc/self/cgroup") or "", re.MULTILINE)
    group = PurePosixPath(match.group(1) if match else "/")
    return [f"sys/fs/cgroup{folder}" for folder in (group, *group.parents)]


def _memory_limit(machine: Machine) -> int | None:
    texts = [machine.read(f"{folder}/memory.max") for folder in _control_groups(machine)]
    texts.append(machine.read("sys/fs/cgroup/memory/memory.limit_in_bytes"))
    limits = [int(text) for text in texts if text and text.isdecimal()]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _cpu_limit(machine: Machine) -> float | None:
    limits: list[float] = []
    for folder in _control_groups(machine):
        quota, _, period = (machine.read(f"{folder}/cpu.max") or "").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            limits.append(int(quota) / int(period))
    old_quota = machine.read("sys/fs/cgroup/cpu/cpu.cfs_quota_us") or ""
    old_period = machine.read("sys/fs/cgroup/cpu/cpu.cfs_period_us") or ""
    if old_quota.isdecimal() and old_period.isdecimal():
        limits.append(int(old_quota) / int(old_period))
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
        limits.append(len(os.sched_getaffinity(0)))
    return min(limits, default=None)


def _size_of(machine: Machine, path: str) -> int | None:
    folder = machine.root / path
    return shutil.disk_usage(folder).total if folder.is_dir() else None


def _soft_limit(name: str) -> int | None:
    try:
        import resource
    except ImportError:  # there is no such module on Windows
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft
