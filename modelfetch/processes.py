"""Child processes: each starts as the head of a group of its own, and with it ends everything it has started.

- A terminal's Ctrl-C does not reach a group; whoever started it ends it, however they come to leave.
- Asking whether a child is over does not reap it: its number stays its own until its group is killed.
- A killed child is gone at once, unless the kernel holds it inside a driver or a file system. Nobody waits for that
  longer than they say.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.01


@dataclass(frozen=True)
class Streams:
    """What a child reads and writes, as `subprocess` wants it; `kept` are descriptors that it inherits besides."""

    stdin: int = subprocess.DEVNULL
    stdout: int = subprocess.DEVNULL
    stderr: int = subprocess.DEVNULL
    kept: tuple[int, ...] = ()


def cores() -> int:
    """The cores that this process may use, by its affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Group(subprocess.Popen[bytes]):
    """A child process and everything that it starts."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        streams: Streams = Streams(),
        folder: Path | None = None,
    ) -> None:
        super().__init__(
            list(command),
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            pass_fds=streams.kept,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )

    def has_ended(self) -> bool:
        """Whether the child is over. What it has started may not be."""
        if self.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def ends_within(self, wait_s: float) -> bool:
        """Whether the child is over, or is so soon."""
        deadline = time.monotonic() + wait_s
        while not (over := self.has_ended()) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return over

    def kill_all(self) -> None:
        """Kill what is left of the group. Not after the child was waited for: its number may be another's by then."""
        if self.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self, burial_s: float | None = None) -> None:
        """Kill what is left of the group and wait for the child, for `burial_s` at most."""
        self.kill_all()
        with suppress(subprocess.TimeoutExpired):
            self.wait(burial_s)


def signal_of(status: int) -> str | None:
    """The name of the signal that killed a process with this return code; None where it ended by itself."""
    if status >= 0:
        return None
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def oom_kills() -> int:
    """How many processes the kernel has killed for memory on this machine."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def die_with_parent() -> None:
    """In a child: a parent that is killed must not leave behind what computes for hours. Linux can; elsewhere the
    child must notice that its pipes have no other end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
