"""Work in a thread of its own that may hang, and is then left behind.

Not a pool's thread: the interpreter waits for those when it ends, and a dead network disk may hold one for ever.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """`work`, begun when this is made."""

    def __init__(self, work: Callable[[], T], limit_s: float) -> None:
        self._work = work
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        self._outcome: queue.SimpleQueue[tuple[T] | Exception] = queue.SimpleQueue()
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError:
            # No room for a thread's stack (`ulimit -v`, `ulimit -u`): it is done here, one thing after the other.
            self._run()

    def _run(self) -> None:
        try:
            self._outcome.put((self._work(),))
        except Exception as error:  # noqa: BLE001 - the thread's edge: it is raised again where the result is asked for
            self._outcome.put(error)

    def result(self) -> T:
        """What the work returned. Blocks until the limit; ask once.

        Raises:
            TimeoutError: it is not done within the limit.
            Exception: whatever the work raised.
        """
        try:
            outcome = self._outcome.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"no answer within {self._limit_s:g} s") from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome[0]
