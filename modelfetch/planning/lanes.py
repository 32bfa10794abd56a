"""How many lanes an endpoint gets: as many as make it faster, fewer when it asks for fewer.

- Start with a handful, double while the last step raised the throughput by a tenth, never above the cap.
- The first step is made at once, and is twice as large, where a lane brings so little that more of them are sure to
  help. Where one brings much, the machine is at its limit, and more of them are in each other's way.
- What a step has brought is judged once its lanes bring something: on a long way that takes a while.
- Small files wait for answers and not for bytes: each may have a lane at once, up to the cap.
- One that was slower before than another begins with fewer, and takes so many fewer small files at once.
- An endpoint that answers 429 or 503 gets half as many, and none is added again for a while. A handful stays, unless it
  answers so again meanwhile.
- A step that did not help is taken back, and the next try is made later each time.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 4
FIRST_STEP = 4
# Long enough for a rate that means something, short enough to be at full speed within a second or two.
LOOK_FOR_S = 0.5
GLANCE_S = 0.25
# A lane that brings this many bytes a second is held back by little but this machine.
FAST_LANE = 50e6
# A lane that brings nothing by then is not waited for any more.
SETTLED_WITHIN_S = 3.0
WORTH_IT = 1.10
PLAINLY_WORTH_IT = 1.25
CALM_AFTER_THROTTLE_S = 10.0


@dataclass
class _Window:
    """Since when, and after how many bytes."""

    since: float
    received: int

    def rate(self, received: int, now: float) -> float:
        return (received - self.received) / max(now - self.since, 1e-6)


@dataclass
class LaneBudget:
    """The number of lanes that one endpoint may have now. `cap` comes from mirrors.yaml or `--connections`."""

    cap: int
    start: int = START
    limit: int = 0
    _previous_limit: int = 0
    _rate_before: float | None = None
    _stepped_at: float | None = None
    _glance: _Window | None = None
    _look: _Window | None = None
    _next_look: float = 0.0
    _patience_s: float = 2.0
    _calm_until: float = 0.0

    def __post_init__(self) -> None:
        self.limit = min(self.start, self.cap)
        self._previous_limit = self.limit

    def observe(self, received: int, running: int, bringing: int, now: float) -> None:
        """Take a look: the endpoint has sent `received` bytes so far, `running` lanes are at work, and `bringing` of
        them have brought something yet. May change `limit`.
        """
        if running < self.limit or now < self._next_look:
            self._look_anew()
            return
        if self._stepped_at is None:
            self._stepped_at = now
        if self._rate_before is None or bringing >= self._previous_limit:
            self._glance = self._glance or _Window(now, received)
        if bringing >= self.limit or now >= self._stepped_at + SETTLED_WITHIN_S:
            self._look = self._look or _Window(now, received)
        if self._look and now - self._look.since >= LOOK_FOR_S:
            self._judge(self._look.rate(received, now), now)
        elif self._glance and now - self._glance.since >= GLANCE_S:
            self._glance_at(self._glance.rate(received, now))
            self._glance = self._glance and _Window(now, received)

    def _glance_at(self, rate: float) -> None:
        """Make a step where it is plain that it helps, without waiting for all lanes of the last one."""
        if self._rate_before is None:
            self._rate_before = 0.0
            if rate < FAST_LANE * self.limit:
                self._step(rate, FIRST_STEP)
        elif self.limit > self._previous_limit and rate > self._rate_before * PLAINLY_WORTH_IT:
            self._step(rate)

    def _judge(self, rate: float, now: float) -> None:
        if self.limit > self._previous_limit and rate <= (self._rate_before or 0.0) * WORTH_IT:
            self._look_anew()
            self.limit = self._previous_limit
            self._next_look = now + self._patience_s
            self._patience_s *= 2
        else:
            self._step(rate)

    def _step(self, rate: float, times: int = 2) -> None:
        self._look_anew()
        if self.limit < self.cap:
            self._previous_limit = self.limit
            self._rate_before = rate
            self.limit = min(self.cap, self.limit * times)

    def _look_anew(self) -> None:
        self._glance = self._look = self._stepped_at = None

    def lanes(self, small: int, now: float) -> int:
        """How many lanes may run now, when `small` files are left that one answer brings each."""
        at_once = self.cap * self.start // START
        return self.limit if now < self._calm_until else max(self.limit, min(small, at_once))

    def throttled(self, now: float) -> None:
        """The endpoint asked for patience: 429, or 503."""
        fewest = 1 if now < self._calm_until else START
        self.limit = max(min(self.limit, fewest), self.limit // 2)
        self._previous_limit = self.limit
        self._look_anew()
        self._rate_before = self._rate_before or 0.0
        self._next_look = self._calm_until = now + CALM_AFTER_THROTTLE_S
