"""How many lanes an endpoint gets: as many as make it faster, fewer when it asks for fewer.

- Start with a handful, double while the last step raised the throughput by a tenth, never above the cap.
- Small files wait for answers and not for bytes: each may have a lane at once, up to the cap.
- One that was slower before than another begins with fewer, and takes so many fewer small files at once.
- An endpoint that answers 429 or 503 gets half as many, and none is added again for a while.
- A step that did not help is taken back, and the next try is made later each time.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 8
# Two looks a second: long enough for a rate that means something, short enough to be at full speed within a second.
LOOK_EVERY_S = 0.5
WORTH_IT = 1.10
CALM_AFTER_THROTTLE_S = 10.0


@dataclass
class LaneBudget:
    """The number of lanes that one endpoint may have now. `cap` comes from mirrors.yaml or `--connections`."""

    cap: int
    start: int = START
    limit: int = 0
    _before: float = 0.0
    _previous_limit: int = 0
    _next_look: float = 0.0
    _patience_s: float = 2.0
    _calm_until: float = 0.0

    def __post_init__(self) -> None:
        self.limit = min(self.start, self.cap)
        self._previous_limit = self.limit

    def observe(self, rate: float, busy: int, now: float) -> None:
        """Take a look at `rate` (bytes/s of this endpoint) with `busy` lanes at work; may change `limit`."""
        if now < self._next_look or busy < self.limit:
            return
        self._next_look = now + LOOK_EVERY_S
        if self.limit > self._previous_limit and rate <= self._before * WORTH_IT:
            self.limit = self._previous_limit
            self._next_look = now + self._patience_s
            self._patience_s *= 2
        elif self.limit < self.cap:
            self._previous_limit = self.limit
            self._before = rate
            self.limit = min(self.cap, self.limit * 2)

    def lanes(self, small: int, now: float) -> int:
        """How many lanes may run now, when `small` files are left that one answer brings each."""
        at_once = self.cap * self.start // START
        return self.limit if now < self._calm_until else max(self.limit, min(small, at_once))

    def throttled(self, now: float) -> None:
        """The endpoint asked for patience: 429, or 503."""
        self.limit = max(1, self.limit // 2)
        self._previous_limit = self.limit
        self._next_look = self._calm_until = now + CALM_AFTER_THROTTLE_S
