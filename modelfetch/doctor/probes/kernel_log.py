"""What the kernel's log says about NVIDIA GPUs, where this user may read it.

The log is asked for in a child with a limit: on a machine in trouble it is long, and reading it may be forbidden.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from modelfetch.config import Settings
from modelfetch.doctor.machine import Machine

_LIMIT_S = 2.0
_LONGEST_LOG = 4 << 20
_XID = re.compile(r"NVRM: Xid \(([^)]*)\): (\d+)")


@dataclass(frozen=True)
class Xid:
    """An error that the driver reported: the GPU's address, and NVIDIA's number for it."""

    address: str
    code: int


@dataclass(frozen=True)
class KernelLogFacts:
    """`xids` are the different ones, in the order in which they came; `is_readable` is false where nobody may look."""

    xids: tuple[Xid, ...] = ()
    is_readable: bool = False


def read_kernel_log(machine: Machine, _settings: Settings) -> KernelLogFacts:
    text = machine.read("var/log/dmesg") or _asked(machine)
    if text is None:
        return KernelLogFacts()
    found = (Xid(match[1].removeprefix("PCI:"), int(match[2])) for match in _XID.finditer(text[-_LONGEST_LOG:]))
    return KernelLogFacts(tuple(dict.fromkeys(found)), is_readable=True)


def _asked(machine: Machine) -> str | None:
    dmesg = shutil.which("dmesg", path=machine.environment.get("PATH", ""))
    if dmesg is None:
        return None
    try:
        answer = subprocess.run(
            [dmesg, "--level=err,warn,crit,alert,emerg"],
            env=dict(machine.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode(errors="replace") if answer.returncode == 0 else None
