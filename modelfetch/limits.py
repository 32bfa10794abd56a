"""Says of memory and of threads that the system refuses what a user can do about it. Decides only.

- Neither is a bug, wherever it comes up: the limit is the shell's, the container's or the machine's.
"""

from __future__ import annotations

import errno

from modelfetch.errors import ConfigError

# The words of Python's own, in every version of it.
_NO_THREAD = "can't start new thread"


def no_thread(error: BaseException) -> bool:
    """Whether this is what `Thread.start` raises where there may be no more threads."""
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def refused(error: BaseException) -> ConfigError | None:
    """The error to raise for one that says that a limit was met, None for any other."""
    if no_thread(error):
        return ConfigError(
            "no thread can be started: this process may have no more of them, or no memory for one",
            hint="`ulimit -u`, `ulimit -v` or the container's own limit is too low; --connections 1 needs fewer",
        )
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return ConfigError(
            "this process may have no more memory",
            hint="`ulimit -v` or the container's own limit is too low; --connections 1 needs less",
        )
    return None
