"""Starts the process of a hub's own client, asks how it went, and ends it.

- The request, the token in it, goes through a pipe: not into the arguments and not into the environment.
- The child has a process group of its own: a terminal's Ctrl-C does not reach it, and leaving the `with` kills it all.
- What it prints goes to the log, which only its owner may read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from modelfetch.processes import Group, Streams, signal_of

_SCRIPT = Path(__file__).with_name("child.py")
# A killed child is gone at once, unless the kernel holds it inside a file system; then it is left behind.
_BURIAL_S = 0.5


class Child:
    """The client, as long as `running` lasts."""

    def __init__(self, process: Group) -> None:
        self._process = process

    def has_ended(self, wait_s: float) -> bool:
        """Whether it is over, after waiting at most so long for it."""
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def answer(self) -> bytes:
        """What it said, once it has ended."""
        return _pipe(self._process.stdout).read()

    def ending(self) -> str:
        """How it ended: its exit status, or the signal that killed it."""
        status = self._process.returncode
        return signal_of(status) or f"exit status {status}"


@contextmanager
def running(request: Mapping[str, Any], *, environment: Mapping[str, str], folder: Path, log: Path) -> Iterator[Child]:
    """Give `request` to a child that works in `folder`; `log` is written anew.

    Raises:
        OSError: it cannot be started.
    """
    process = _start(environment, folder, log)
    try:
        # It may be dead already; then that is what there is to be told.
        with suppress(BrokenPipeError):
            stdin = _pipe(process.stdin)
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        yield Child(process)
    finally:
        _end(process)


def _start(environment: Mapping[str, str], folder: Path, log: Path) -> Group:
    noise = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return Group(
            # -P: the files beside the script are no modules of the client's.
            [sys.executable, "-P", str(_SCRIPT)],
            environment=environment,
            streams=Streams(subprocess.PIPE, subprocess.PIPE, noise),
            folder=folder,
        )
    finally:
        os.close(noise)


def _end(process: Group) -> None:
    process.end(_BURIAL_S)
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            _pipe(pipe).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
