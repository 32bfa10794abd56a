"""A program on a terminal of its own, as somebody has it who types and reads."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import selectors
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

# A model is loaded in ten seconds, and in several times that on a machine with much else to do.
WAIT_S = 240.0
# Wide enough that no line of ours is broken.
SIZE = (50, 250)
CTRL_C = "\x03"
CTRL_D = "\x04"
# Makes the terminal the program's own, so that Ctrl-C reaches it.
_OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """Leave the `with` and the program is gone, whatever it was doing."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = SIZE) -> None:
        self.raw = ""
        self._seen = 0
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _OWN, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def enter(self, line: str) -> None:
        self.type(f"{line}\r")

    def wait_for(self, text: str) -> str:
        """What was shown since the last wait, up to and with `text`, which a line may end in."""
        return self._wait(re.compile(r"\s+".join(map(re.escape, text.split(" ")))))

    def wait_for_end(self) -> int:
        """The exit status, once all is read."""
        while self._read():
            pass
        return self._process.wait(WAIT_S)

    def _wait(self, pattern: re.Pattern[str]) -> str:
        while (found := pattern.search(self._shown, self._seen)) is None:
            assert self._read(), f"it ended, and had shown: {self._shown}"
        passed = self._shown[self._seen : found.end()]
        self._seen = found.end()
        return passed

    @property
    def _shown(self) -> str:
        return _STYLE.sub("", self.raw)

    def _read(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ours, selectors.EVENT_READ)
            deadline = time.monotonic() + WAIT_S
            assert selector.select(deadline - time.monotonic()), f"nothing more came after: {self._shown}"
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            # Nobody has the other end any more.
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
