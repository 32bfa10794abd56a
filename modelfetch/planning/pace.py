"""How fast bytes may come: a token bucket, given the clock as an argument."""

from __future__ import annotations


class Pace:
    """`--limit-rate`: at most `bytes_per_s` over time, in bursts of a quarter of a second.

    The bucket may go into debt: whoever took too much waits longer afterwards, so that no read has to be cut small.
    """

    def __init__(self, bytes_per_s: int, now: float) -> None:
        if bytes_per_s <= 0:
            raise ValueError("a rate is positive")
        self._rate = float(bytes_per_s)
        self._burst = self._rate / 4
        self._level = self._burst
        self._seen = now

    def take(self, count: int, now: float) -> float:
        """Account for `count` bytes that arrived; returns how many seconds to wait before reading on."""
        self._level = min(self._burst, self._level + (now - self._seen) * self._rate)
        self._seen = now
        self._level -= count
        return max(0.0, -self._level / self._rate)
