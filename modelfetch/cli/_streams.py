"""The standard streams, as every command may count on them, however it was started.

- One that is not there (`2>&-`) leads nowhere. Otherwise a file of the store would get its number, and whoever writes
  to it would write into that file.
- A sign that stdout's encoding lacks is escaped, as stderr does by itself; it ends nothing. (ASCII is what a locale
  says that nobody has set; click writes UTF-8 then.)
- What stdout refuses is said of stdout, and not taken for the disk that the store is on.
- A reader of a pipe that goes away, as `head` does, is a `ReaderGoneError`: the command ends quietly.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from modelfetch.diskfaults import is_no_room
from modelfetch.errors import DiskFullError, ModelfetchError, UsageError


class ReaderGoneError(Exception):
    """Nobody reads stdout any more. No error of the system's: click would take it for its own to handle."""


class _Stdout(io.FileIO):
    """What stands below stdout's buffer. After it refused something, the rest leads nowhere: Python would try again
    when it ends, and complain.
    """

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            lead_nowhere(self.fileno())
            raise ReaderGoneError from error
        except OSError as error:
            lead_nowhere(self.fileno())
            raise _refused(error) from error


def open_standard_streams() -> None:
    """Put stdin, stdout and stderr in order. Once, before anything is read or printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Stdout(1, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=os.isatty(1),
    )
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above


def lead_nowhere(descriptor: int) -> None:
    """Let what is written to `descriptor` from now on be lost."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _refused(error: OSError) -> ModelfetchError:
    message, facts = "what is printed cannot be written to stdout", {"why": error.strerror}
    if is_no_room(error):
        return DiskFullError(message, facts=facts, hint="make room where it leads; what was done before is done")
    return UsageError(message, facts=facts, hint="redirect it to a file or a pipe that can be written to: > FILE")
