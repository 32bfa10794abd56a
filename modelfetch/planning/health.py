"""How often an endpoint failed for a file since it last made progress.

- Sixteen lanes that break in the same moment are one incident: only a try that began after the last failure counts
  anew.
- Wrong digests are counted by themselves: a connection that broke says nothing about the bytes.
- An endpoint that says it is asked too much is left alone as a whole, for as long as is waited for the file. That, too,
  it says once of all that it was asked before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from modelfetch.planning.retry import PROGRESS_BYTES, Decision, Fault, Kind, decide, throttles


@dataclass
class _Record:
    attempts: int = 0
    wrong: int = 0
    failed_at: float = float("-inf")
    came_since: int = 0


@dataclass
class Health:
    """The failures of every (endpoint, file), and until when an endpoint as a whole asked to be left alone.

    `throttled` tells how often an endpoint did so.
    """

    _records: dict[tuple[str, str], _Record] = field(default_factory=dict)
    _paused_until: dict[str, float] = field(default_factory=dict)
    _throttled_at: dict[str, float] = field(default_factory=dict)
    throttled: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    last: dict[str, dict[str, Fault]] = field(default_factory=dict)

    def progressed(self, endpoint: str, key: str, count: int) -> None:
        """`count` bytes came; after enough of them the next failure is the first again."""
        record = self._records.get((endpoint, key))
        if record is None:
            return
        record.came_since += count
        if record.came_since >= PROGRESS_BYTES:
            del self._records[endpoint, key]

    def failed(self, endpoint: str, key: str, fault: Fault, *, began: float, now: float, jitter: float) -> Decision:
        """Take note of a failure of a try that began at `began`; returns what to do."""
        self.failures[endpoint] = self.failures.get(endpoint, 0) + 1
        self.last.setdefault(key, {})[endpoint] = fault
        record = self._records.setdefault((endpoint, key), _Record())
        if fault.kind is Kind.DIGEST:
            record.wrong += 1
        elif began >= record.failed_at:
            record.attempts += 1
            record.failed_at, record.came_since = now, 0
        decision = decide(fault, record.wrong if fault.kind is Kind.DIGEST else record.attempts, jitter)
        if throttles(fault):
            until = now + decision.wait_s
            self._paused_until[endpoint] = max(until, self._paused_until.get(endpoint, 0.0))
            if began >= self._throttled_at.get(endpoint, float("-inf")):
                self._throttled_at[endpoint] = now
                self.throttled[endpoint] = self.throttled.get(endpoint, 0) + 1
        return decision

    def pause_s(self, endpoint: str, now: float) -> float:
        """How long the endpoint wants to be left alone."""
        return max(0.0, self._paused_until.get(endpoint, 0.0) - now)
