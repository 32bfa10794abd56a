"""How a child that touches a model is started: its command and its environment.

- It knows no token, is told to stay offline, and keeps caches of its own.
- It imports this package from where it is now, and nothing from the folder it works in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import modelfetch
from modelfetch.model import bytecode
from modelfetch.processes import cores

_SECRET = re.compile(r"token|secret|passw|credential|api_?key|access_?key|proxy", re.IGNORECASE)
# `-P` keeps the working folder off the path, where a model's own torch.py could lie; the last place is for ourselves.
_BOOT = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"

# What Python's faulthandler writes after the words that name a crash: frames, threads, and all that was imported.
_OF_A_STACK = (" ", "Current thread ", "Thread ", "Extension modules: ")


def child_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` of this package in a fresh interpreter."""
    ours = str(Path(modelfetch.__file__).parent.parent)
    return [sys.executable, "-P", "-X", "faulthandler", "-c", _BOOT, ours, module, *arguments]


def child_environment(
    environment: Mapping[str, str], scratch: Path, *, runs_foreign_code: bool = False
) -> dict[str, str]:
    """`environment` without secrets, offline, with caches of its own, and with as many threads as there are cores.

    A child that runs a model's own code, with consent, is given no folder for byte code: later children would run what
    it leaves there.
    """
    kept = {name: value for name, value in environment.items() if not _SECRET.search(name)}
    if not runs_foreign_code and (folder := bytecode.folder_for(environment)):
        kept.pop(bytecode.NONE_WRITTEN, None)
        kept[bytecode.PREFIX] = str(folder)
    return {
        "OMP_NUM_THREADS": str(usable_cores()),
        # Spinning at a barrier stands still where cores are shared: a factor of ten was measured.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        **kept,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HOME": str(scratch / "hf"),
        "HF_MODULES_CACHE": str(scratch / "modules"),
        "NO_COLOR": "1",
    }


def usable_cores() -> int:
    """The cores this process may use: those of its affinity, and no more than its container's share."""
    here = cores()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return here
    return here if quota == "max" else max(1, min(here, round(int(quota) / int(period))))


def last_words(log: str) -> str:
    """The last lines of a child's noise that say something: of a crash what names it."""
    return "\n".join([line for line in log.splitlines() if line.strip() and not line.startswith(_OF_A_STACK)][-3:])
