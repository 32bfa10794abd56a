"""What the system says of the processor and the GPUs, without torch: enough to notice that they are others."""

from __future__ import annotations

import platform
from pathlib import Path

_NVIDIA = Path("/proc/driver/nvidia")


def cpu_name() -> str:
    """The processor's name for people."""
    named = _values(Path("/proc/cpuinfo"), "model name")
    return named[0] if named else platform.processor() or platform.machine()


def gpu_names() -> tuple[str, ...]:
    """NVIDIA's GPUs as their driver lists them; none where there is no driver."""
    lists = sorted(_NVIDIA.glob("gpus/*/information"))
    return tuple(name for path in lists for name in _values(path, "Model"))


def driver() -> str | None:
    """NVIDIA's driver, with its version."""
    named = _values(_NVIDIA / "version", "NVRM version")
    return " ".join(named[0].split()) if named else None


def _values(path: Path, name: str) -> list[str]:
    """The values of the lines `name: value` of a file of the kernel's."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]
