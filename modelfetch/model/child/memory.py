"""How much memory this process has, had at most, and may have. Imports torch only where it is imported already."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import psutil

from modelfetch.model.placement import DoesNotFit

_NO_CPU_MEMORY = ("can't allocate memory", "unable to mmap", "Cannot allocate memory")


def available_bytes() -> int:
    """What this process can still take: of the machine, and of its container."""
    machine = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        cached = _cgroup_file_cache()
    except (OSError, ValueError):
        return machine
    return machine if limit == "max" else min(machine, int(limit) - used + cached)


def _cgroup_file_cache() -> int:
    """Cached files count as used memory of a container, and are given back when it is wanted."""
    lines = Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))


def data_bytes() -> int:
    """The private memory that RLIMIT_DATA counts, as it is now."""
    return _status_bytes("VmData") or int(psutil.Process().memory_info().rss)


def peak_process_bytes() -> int:
    """The most that was resident. ru_maxrss would not do: it begins with what the parent had before the exec."""
    return _status_bytes("VmHWM") or int(psutil.Process().memory_info().rss)


def _status_bytes(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def cap(size_bytes: int) -> None:
    """Make an allocation beyond `size_bytes` fail here instead of bringing the machine down. Never with CUDA, which
    reserves address space far beyond what it uses."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or size_bytes < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, hard))


def shortage(error: BaseException, device: str, needed_bytes: int, phase: str) -> DoesNotFit | None:
    """The observation that `error` is about memory; None where it is about something else."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        free, _ = torch.cuda.mem_get_info()
        return DoesNotFit(device, needed_bytes, int(free), phase)
    if "MPS backend out of memory" in str(error):
        return DoesNotFit(device, needed_bytes, available_bytes(), phase)
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_CPU_MEMORY):
        return DoesNotFit("cpu", needed_bytes, available_bytes(), phase)
    return None
