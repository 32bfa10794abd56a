"""What a benchmark ran on, and with which versions: told with the numbers, which mean nothing without it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench import clients

_VERSION_OPTIONS = {"hf": "version", "nginx": "-v"}
_NUMBER = re.compile(r"\d+\.\d+[\w.]*")


def describe(folder: Path) -> dict[str, str]:
    """The machine, the system, and the file system of `folder`."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory_bytes / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "files on": _file_system(folder),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def versions(programs: Iterable[str]) -> dict[str, str]:
    """The version of every program that is there."""
    return {program: _version(program) for program in programs if clients.find(program)}


def revision() -> str:
    """The commit that is checked out, and whether there is more than it."""
    root = Path(__file__).parent.parent
    commit = _output("git", "-C", str(root), "rev-parse", "--short", "HEAD")
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no", "modelfetch")
    return f"{commit or 'unknown'}{' and uncommitted changes' if changed else ''}"


def _version(program: str) -> str:
    text = _output(program, _VERSION_OPTIONS.get(program, "--version"))
    found = _NUMBER.search(text)
    return found.group() if found else "unknown"


def _output(*command: str) -> str:
    found = clients.find(command[0])
    if found is None:
        return ""
    done = subprocess.run([found, *command[1:]], capture_output=True, text=True, check=False, timeout=60)
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system, by the longest mount point that leads to `folder`."""
    best, kind = "", "unknown"
    for line in _lines(Path("/proc/mounts")):
        _, point, name, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    return kind


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
