"""Who may write a partial: one process at a time, on any file system, without flock.

- Owners are numbered: to own is to have created `owner.N` exclusively, and to see nobody else's that lives.
- A dead owner is followed, not removed in place: his successor takes the next number, so that two successors cannot
  both win.
- An owner of this machine lives while his process does (pid and start time, within one boot and one pid namespace).
  An owner elsewhere lives while his file's time moves; whether it moves is measured by our own clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PRESUMED_DEAD_S = 30.0
BEAT_EVERY_S = 2.0
_PREFIX = "owner."


@dataclass(frozen=True)
class Identity:
    """A process, so that it is not mistaken for another: `place` is the boot and the pid namespace, `started` its
    start.
    """

    place: str
    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def boot_id() -> str:
    """What changes when this machine is restarted; empty where the system does not tell (then nothing unsynced is
    trusted).
    """
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def this_process() -> Identity:
    """The identity of the calling process."""
    return Identity(_place(), os.uname().nodename if hasattr(os, "uname") else "", os.getpid(), _started(os.getpid()))


class Claim:
    """A held ownership of `folder`. `beat` it every `BEAT_EVERY_S`; `release` it in the end."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def beat(self) -> bool:
        """Show that we live; False when the claim is lost (somebody took us for dead)."""
        try:
            os.utime(self._file)
        except OSError:
            return False
        number = _number(self._file)
        return all(_number(other) <= number for other in _owner_files(self._file.parent))

    def release(self) -> None:
        self._file.unlink(missing_ok=True)


class Watch:
    """Watches owners of other machines, whose life shows only in their file's time."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def lives(self, file: Path, identity: Identity | None) -> bool:
        """Whether the owner of `file` is to be respected."""
        if identity is not None and identity.place and identity.place == _place():
            return identity.started != "" and _started(identity.pid) == identity.started
        try:
            beat = file.stat().st_mtime_ns
        except OSError:
            return False
        last, since = self._seen.get(file, (None, 0.0))
        if beat != last:
            self._seen[file] = (beat, time.monotonic())
            return True
        return time.monotonic() - since < PRESUMED_DEAD_S


def claim(folder: Path, watch: Watch) -> Claim | Identity:
    """Become the owner of `folder`, or learn who is."""
    folder.mkdir(parents=True, exist_ok=True)
    highest = 0
    for file in _owner_files(folder):
        identity = _read(file)
        if watch.lives(file, identity):
            return identity or Identity("", "an unknown machine", 0, "")
        highest = max(highest, _number(file))
    mine = folder / f"{_PREFIX}{highest + 1}"
    try:
        descriptor = os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return _read(mine) or this_process()
    except FileNotFoundError:
        return claim(folder, watch)  # the last owner just removed the folder: it is done, or free
    with os.fdopen(descriptor, "w") as stream:
        json.dump(asdict(this_process()), stream)
    return _sole_owner(mine, watch)


def _sole_owner(mine: Path, watch: Watch) -> Claim | Identity:
    """Whoever created a file looks once more: of two that did so at the same time, at least one sees the other."""
    for file in _owner_files(mine.parent):
        if file != mine:
            identity = _read(file)
            if watch.lives(file, identity):
                mine.unlink(missing_ok=True)
                return identity or this_process()
            file.unlink(missing_ok=True)
    return Claim(mine)


def _owner_files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.name.startswith(_PREFIX) and _number(file)]
    except FileNotFoundError:
        return []


def _number(file: Path) -> int:
    digits = file.name.removeprefix(_PREFIX)
    return int(digits) if digits.isdecimal() else 0


def _read(file: Path) -> Identity | None:
    try:
        return Identity(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _place() -> str:
    boot = boot_id()
    if not boot:
        return ""
    with contextlib.suppress(OSError):
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return boot


def _started(pid: int) -> str:
    """When the process `pid` started, as its system counts; empty when no such process lives."""
    if Path("/proc/self/stat").exists():
        with contextlib.suppress(OSError, IndexError):
            # The second field is the program's name in brackets and may hold anything. Of what follows, the first is
            # the state (a killed process that nobody waited for is a Z and writes no more), the twentieth the start
            # time.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]
        return ""
    import psutil

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return ""
