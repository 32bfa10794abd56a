"""Who may write a partial: one process at a time, on any file system, without flock.

- Owners are numbered: to own is to have created `owner.N` exclusively, and to see nobody else's that lives.
- A dead owner is followed, not removed in place: his successor takes the next number, so that two successors cannot
  both win.
- An owner of this machine lives while his process does (pid and start time, within one boot and one pid namespace).
  An owner elsewhere, or one whose process this user may not see, lives while his file's time moves; whether it moves
  is measured by our own clock.
- Who was taken for dead has lost, also when a later owner has the same number: a file is its owner's by what it says.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from functools import cache
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
        return f"process {self.pid} on {self.host}" if self.pid else "an unknown process"


_UNKNOWN = Identity("", "", 0, "")


@cache
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

    def __init__(self, file: Path, identity: Identity) -> None:
        self._file = file
        self._identity = identity
        self._released = False

    def beat(self) -> bool:
        """Show that we live; False when the claim is lost (somebody took us for dead). Released is not lost."""
        if not self._is_ours():
            return self._released
        try:
            os.utime(self._file)
        except OSError:
            return self._released
        return True

    def release(self) -> None:
        self._released = True  # before the file goes: another thread may be about to beat
        if self._is_ours():
            self._file.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        return _read(self._file) == self._identity


class Watch:
    """Watches owners whose life shows only in their file's time: those of other machines, above all."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def lives(self, file: Path, identity: Identity | None) -> bool:
        """Whether the owner of `file` is to be respected."""
        if (known := _lives_here(identity)) is not None:
            return known
        try:
            beat = file.stat().st_mtime_ns
        except OSError:
            return False
        last, since = self._seen.get(file, (None, 0.0))
        if beat != last:
            self._seen[file] = (beat, time.monotonic())
            return True
        return time.monotonic() - since < PRESUMED_DEAD_S


class OneLook(Watch):
    """Judges by one look, for whoever cannot wait: who shows only in his file's time is dead after `silent_s`."""

    def __init__(self, now: float, silent_s: float) -> None:
        super().__init__()
        self._silent_since = now - silent_s

    def lives(self, file: Path, identity: Identity | None) -> bool:
        if (known := _lives_here(identity)) is not None:
            return known
        try:
            return file.stat().st_mtime > self._silent_since
        except OSError:
            return False


def living_owner(folder: Path, watch: Watch) -> Identity | None:
    """Who owns `folder`, None when nobody who lives does."""
    for file in _owner_files(folder):
        identity = _read(file)
        if watch.lives(file, identity):
            return identity or _UNKNOWN
    return None


def claim(folder: Path, watch: Watch) -> Claim | Identity:
    """Become the owner of `folder`, or learn who is."""
    folder.mkdir(parents=True, exist_ok=True)
    highest = 0
    for file in _owner_files(folder):
        identity = _read(file)
        if watch.lives(file, identity):
            return identity or _UNKNOWN
        highest = max(highest, _number(file))
    mine = folder / f"{_PREFIX}{highest + 1}"
    try:
        descriptor = os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return _read(mine) or _UNKNOWN
    except FileNotFoundError:
        return claim(folder, watch)  # the last owner just removed the folder: it is done, or free
    try:
        identity = this_process()
        with os.fdopen(descriptor, "w") as stream:
            json.dump(asdict(identity), stream)
        return _sole_owner(mine, identity, watch)
    except BaseException:
        mine.unlink(missing_ok=True)  # on a full disk, say: whoever lives and owns nothing must not be in the way
        raise


def _sole_owner(mine: Path, identity: Identity, watch: Watch) -> Claim | Identity:
    """Whoever created a file looks once more: of two that did so at the same time, at least one sees the other."""
    for file in _owner_files(mine.parent):
        if file != mine:
            other = _read(file)
            if watch.lives(file, other):
                mine.unlink(missing_ok=True)
                return other or _UNKNOWN
            file.unlink(missing_ok=True)
    return Claim(mine, identity)


def _lives_here(identity: Identity | None) -> bool | None:
    """Whether the process lives, None where that shows only in its file's time."""
    if identity is None or not identity.place or identity.place != _place():
        return None
    started = _started(identity.pid)
    if not started and _is_hidden(identity.pid):
        return None
    return started != "" and started == identity.started


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
        identity = Identity(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    texts = (identity.place, identity.host, identity.started)
    return identity if isinstance(identity.pid, int) and all(isinstance(text, str) for text in texts) else None


def _place() -> str:
    boot = boot_id()
    if not boot:
        return ""
    with contextlib.suppress(OSError):
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return boot


def _is_hidden(pid: int) -> bool:
    """Whether there is a process `pid` of another user, which /proc does not show where it is mounted with hidepid."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False


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
