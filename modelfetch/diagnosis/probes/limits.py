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
class _Usage:
    total: int
    free: int


@dataclass(frozen=True)
class LimitFacts:
    """`cpu_limit` and `memory_limit_bytes` are what a control group or an affinity allows; None where nothing does.

    `chosen_temporary` is what TMPDIR names. `address_bytes` is what `ulimit -v` sets, which counts reserved memory too.
    What ends in `at_most` is how far this user can raise a limit.
    `locked_bytes` is how much memory may be kept from being swapped out, None for any; `has_rdma` whether there is a
    network card that reads memory by itself, and so wants it locked.
    """

    cpus: int
    cpu_limit: float | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    shared_memory_bytes: int | None = None
    shared_memory_free_bytes: int | None = None
    chosen_temporary: str = ""
    temporary_free_bytes: int | None = None
    address_bytes: int | None = None
    address_bytes_at_most: int | None = None
    open_files: int | None = None
    open_files_at_most: int | None = None
    locked_bytes: int | None = None
    has_rdma: bool = False


def read_limits(machine: Machine, _settings: Settings) -> LimitFacts:
    memory = machine.read("proc/meminfo") or ""
    chosen = machine.environment.get("TMPDIR", "")
    shared, temporary = _usage_of(machine, "dev/shm"), _usage_of(machine, chosen.lstrip("/") or "tmp")
    return LimitFacts(
        cpus=os.cpu_count() or 1,
        cpu_limit=_cpu_limit(machine),
        memory_bytes=_kilobytes(memory, "MemTotal"),
        memory_available_bytes=_kilobytes(memory, "MemAvailable"),
        memory_limit_bytes=_memory_limit(machine),
        shared_memory_bytes=shared.total if shared else None,
        shared_memory_free_bytes=shared.free if shared else None,
        chosen_temporary=chosen,
        temporary_free_bytes=temporary.free if temporary else None,
        address_bytes=_soft_limit("RLIMIT_AS"),
        address_bytes_at_most=_hard_limit("RLIMIT_AS"),
        open_files=_soft_limit("RLIMIT_NOFILE"),
        open_files_at_most=_hard_limit("RLIMIT_NOFILE"),
        locked_bytes=_soft_limit("RLIMIT_MEMLOCK"),
        has_rdma=any((machine.root / "sys/class/infiniband").glob("*")),
    )


def _kilobytes(text: str, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _control_groups(machine: Machine, controller: str = "") -> list[str]:
    """The folders of this process's control group and of every one above it: in the new hierarchy, or in the old one of
    a controller. A container that sees only its own has it at the top.
    """
    names = rf"(?:[^:]*,)?{controller}(?:,[^:]*)?" if controller else ""
    match = re.search(rf"^\d+:{names}:(/.*)$", machine.read("proc/self/cgroup") or "", re.MULTILINE)
    group = PurePosixPath(match.group(1) if match else "/")
    top = f"sys/fs/cgroup/{controller}".rstrip("/")
    return [f"{top}{folder}" for folder in (group, *group.parents)]


def _memory_limit(machine: Machine) -> int | None:
    texts = [machine.read(f"{folder}/memory.max") for folder in _control_groups(machine)]
    texts += [machine.read(f"{folder}/memory.limit_in_bytes") for folder in _control_groups(machine, "memory")]
    limits = [int(text) for text in texts if text and text.isdecimal()]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _cpu_limit(machine: Machine) -> float | None:
    limits: list[float] = []
    for folder in _control_groups(machine):
        quota, _, period = (machine.read(f"{folder}/cpu.max") or "").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            limits.append(int(quota) / int(period))
    for folder in _control_groups(machine, "cpu"):
        quota, period = (machine.read(f"{folder}/cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
        if quota.isdecimal() and period.isdecimal():
            limits.append(int(quota) / int(period))
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
        limits.append(len(os.sched_getaffinity(0)))
    return min(limits, default=None)


def _usage_of(machine: Machine, path: str) -> _Usage | None:
    try:
        usage = shutil.disk_usage(machine.root / path)
    except OSError:
        return None
    return _Usage(usage.total, usage.free)


def _soft_limit(name: str) -> int | None:
    return _limits(name)[0]


def _hard_limit(name: str) -> int | None:
    """What this user can raise the limit to."""
    return _limits(name)[1]


def _limits(name: str) -> tuple[int | None, int | None]:
    try:
        import resource
    except ImportError:  # there is no such module on Windows
        return None, None
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(getattr(resource, name))
    )
    return soft, hard
