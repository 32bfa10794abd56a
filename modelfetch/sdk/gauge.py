"""Reads progress off the size of a folder that somebody else writes to. Decides only.

- Any growth shows life, also of a file that is begun anew.
- Each byte counts as progress once, and no more bytes count than there are to come: a client writes notes of its own,
  too.
"""

from __future__ import annotations

# A client reads what it goes on with, and writes nothing meanwhile. A slow disk gives this many bytes a second.
_READ_AGAIN_PER_S = 50e6


def patience_s(stall_s: float, resumed_bytes: int) -> float:
    """For how long a client may stand still that finds so much of its files begun."""
    return stall_s + resumed_bytes / _READ_AGAIN_PER_S


class Gauge:
    """Of a folder with `size` bytes at the moment `now`, to which `wanted` bytes are to come."""

    def __init__(self, size: int, wanted: int, now: float) -> None:
        self._first = self._last = size
        self._wanted = wanted
        self._counted = 0
        self._grew_at = now

    def observe(self, size: int, now: float) -> int:
        """How many bytes are new, now that the folder has `size`."""
        if size > self._last:
            self._grew_at = now
        self._last = size
        new = max(0, min(size - self._first, self._wanted) - self._counted)
        self._counted += new
        return new

    def still_for(self, now: float) -> float:
        """For how many seconds nothing has grown."""
        return now - self._grew_at

    @property
    def uncounted(self) -> int:
        """How much of what was wanted has not been seen to come."""
        return self._wanted - self._counted
