"""What all attempts have in common: requests without a credential, an end from outside, what was found until then.

- No token is sent, whoever is tried: no credential is ever handed to a request.
- Everything is asked once. What is learned is there at once, in `trial`, so that an attempt which is cut short shows
  what it found.
- Attempts run at once. Whoever is not done in time is left: what it showed until then counts, and if it showed
  nothing, that does.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from modelfetch.errors import ModelfetchError
from modelfetch.http import Network, Response, Session
from modelfetch.http.client import follow
from modelfetch.mirrors.trial import Shown, limits_of, skew_of
from modelfetch.planning.retry import FaultError

SAMPLE_S = 2.5
_BUFFER_BYTES = 256 << 10
# Measuring ends early enough for its result to count.
_IN_HAND_S = 0.5
_LEAVE_WITHIN_S = 0.5

S = TypeVar("S", bound=Shown)


class Attempt(ABC, Generic[S]):
    """One trial of one place. `run` blocks; another thread may call `abort`, and read `trial` at any time."""

    def __init__(self, trial: S, network: Network, limit_s: float) -> None:
        self.trial = trial
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        # Who asks ends it first, and says more than that nothing came.
        self._session = Session(network, stall_s=2 * limit_s)

    @abstractmethod
    def _run(self) -> None:
        """Find out everything.

        Raises:
            FaultError, ModelfetchError: what keeps bytes from being had.
        """

    def run(self) -> None:
        """Find out everything; what goes wrong is the trial's problem."""
        try:
            self._run()
        except FaultError as error:
            self._learn(problem=str(error.fault))
        except ModelfetchError as error:
            self._learn(problem=error.message)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the others' results are not lost with this one
            self._learn(problem=f"trying it failed: {error!r}")
        finally:
            self._session.forget()

    def abort(self) -> S:
        """End what `run` waits for; returns what was found out until now."""
        trial = self.trial
        self._session.abort()
        if trial.sample_bytes:
            return trial
        missing = "answer" if trial.latency_s is None else "bytes of a file"
        return replace(trial, problem=trial.problem or f"no {missing} within {self._limit_s:g} s")

    def _learn(self, **found: Any) -> None:
        self.trial = replace(self.trial, **found)

    def _ask(self, url: str, headers: Mapping[str, str]) -> Response:
        """One request for `url`, redirects followed."""
        response = follow(self._session, url, headers, None)
        self._hear(response.headers)
        return response

    def _hear(self, headers: Mapping[str, str]) -> None:
        skew_s = skew_of(headers, datetime.now(UTC)) if self.trial.skew_s is None else self.trial.skew_s
        self._learn(limits={**self.trial.limits, **limits_of(headers)}, skew_s=skew_s)

    def _measure(self, response: Response, most: int) -> bytes:
        """Read the body's first bytes, at most so many and those that come in time, and learn how fast they came."""
        began = time.monotonic()
        deadline = min(began + SAMPLE_S, self._deadline - _IN_HAND_S)
        content = bytearray()
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while len(content) < most and time.monotonic() < deadline:
            count = response.readinto(buffer[: most - len(content)])
            if count == 0:
                break
            content += buffer[:count]
        elapsed = time.monotonic() - began
        self._learn(sample_bytes=len(content), bytes_per_s=len(content) / elapsed if elapsed and content else None)
        return bytes(content)


def try_all(attempts: Mapping[str, Attempt[S]], limit_s: float) -> dict[str, S]:
    """Run them at once; what each showed, by its name. Blocks for `limit_s` and a little."""
    # Daemons: a place that never answers must not keep the process from ending.
    threads = {name: threading.Thread(target=attempt.run, daemon=True) for name, attempt in attempts.items()}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {name: attempts[name].abort() for name, thread in threads.items() if thread.is_alive()}
    for name in late:
        threads[name].join(_LEAVE_WITHIN_S)
    return {name: late.get(name, attempt.trial) for name, attempt in attempts.items()}
