"""What is done about a fault: the one place where retrying is decided, for metadata and data alike.

- A fault of the transport (no name, no connection, no way through the proxy, a cut, a stall, a trickle, a short body,
  another range, an encoding), 408, 425, 429 and 5xx may pass: wait, try again.
- An expired link (400, 401, 403, 404 or 410 from where a redirect led) is asked for again at its hub, at once.
- 401, 403 and 404 from the hub itself are answers. They are never tried again and never got round.
- A connection that breaks off after progress is replaced at once; without progress, waits grow.
- Bytes with a wrong digest are fetched once more, then never again from there.
- What the endpoint asks for (Retry-After in seconds or as a date, RateLimit) is honoured up to `MAX_WAIT_S`; beyond
  it, the endpoint is given up instead of waited for. Who asks for no wait at all gets the usual one.
- Attempts are counted since the last progress: a link that breaks every few megabytes is slow, not dead. A few bytes
  are no progress.
- A connection is given up over what it brings, never over how long it takes in all: nothing within `STALL_S`, less than
  `TRICKLE_BYTES` within `TRICKLE_S`, or no whole head, which is never long, within the same time. Only time spent
  waiting counts, so that a slow disk or `--limit-rate` is nobody's trickle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from modelfetch.units import format_duration

MAX_ATTEMPTS = 6
FIRST_WAIT_S = 0.25
# Hugging Face counts in windows of five minutes: a longer wish than this is a refusal.
MAX_WAIT_S = 330.0
# A longer wish is told as this one: what is written in a header may be no number of years at all.
_CENTURY_S = 100 * 365 * 86400.0

STALL_S = 10.0
# Many lanes share a link: one of some kB/s leaves each of them a few dozen bytes a second, and must go on.
TRICKLE_S = 30.0
TRICKLE_BYTES = 1024
# More than all lanes of an endpoint together bring in that time when each of them is at the edge of a trickle.
PROGRESS_BYTES = 64 * TRICKLE_BYTES

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_RATELIMIT_RESET = re.compile(r"(?:^|[;\s])t\s*=\s*([0-9]+(?:\.[0-9]+)?)")
_NOTHING_LEFT = re.compile(r"(?:^|[;\s])r\s*=\s*0+(?![0-9])")


class Kind(Enum):
    """What can go wrong between us and a source."""

    DNS = "the name does not resolve"
    CONNECT = "no connection"
    PROXY = "the proxy refuses"
    TLS = "the certificate or the TLS handshake is not accepted"
    CUT = "the connection was cut"
    SHORT = "the body ended early"
    STALL = "no byte came for a while"
    TRICKLE = "next to nothing came for a while"
    STATUS = "an error status"
    RANGE = "the answer is not the range that was asked for"
    CHANGED = "the file has another size here"
    ENCODED = "the body is encoded though none was asked for"
    PORTAL = "a web page came instead of the file"
    MALFORMED = "the answer is not what this hub speaks"
    REDIRECT = "the redirect cannot be followed"
    DIGEST = "the bytes do not have the digest that was listed"


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong. `redirected` tells that the answer came from where a redirect led, not from the
    hub.
    """

    kind: Kind
    detail: str = ""
    status: int | None = None
    wait_s: float | None = None
    redirected: bool = False

    def __str__(self) -> str:
        what = f"status {self.status}" if self.kind is Kind.STATUS else self.kind.value
        details = [self.detail] if self.detail else []
        if (self.wait_s or 0.0) > MAX_WAIT_S:
            asked = format_duration(min(self.wait_s or 0.0, _CENTURY_S))
            details.append(
                f"it asks to be left alone for {asked}, and {format_duration(MAX_WAIT_S)} are waited at most"
            )
        return f"{what} ({'; '.join(details)})" if details else what


class FaultError(Exception):
    """A fault on its way to whoever decides about it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Patience:
    """Whether an answer is worth waiting for. It is told of every wait and of what came of it, and sees no clock."""

    def __init__(self, limit_s: float = TRICKLE_S) -> None:
        self._limit_s = limit_s
        self._waited_s = 0.0
        self._came = 0
        self._in_body = False

    def begin_body(self) -> None:
        """The head is there, or enough of the body: the next `TRICKLE_BYTES` may take their time."""
        self._in_body, self._waited_s, self._came = True, 0.0, 0

    def ends(self, count: int, waited_s: float) -> Fault | None:
        """Account for `count` bytes that took `waited_s`; returns the fault when that was too little for too long."""
        self._waited_s += waited_s
        self._came += count
        if self._in_body and self._came >= TRICKLE_BYTES:
            self.begin_body()
        if self._waited_s < self._limit_s:
            return None
        whole = "" if self._in_body else ", and the head is not whole"
        return Fault(Kind.TRICKLE, f"{self._came} bytes in {self._waited_s:.0f} s{whole}")


class Action(Enum):
    """What to do next with the source that failed."""

    AGAIN = "tried again"
    ASK_HUB_AGAIN = "asked the hub for a fresh link"
    GIVE_UP = "not used any more for this file"


@dataclass(frozen=True)
class Decision:
    action: Action
    wait_s: float = 0.0


_PASSING = frozenset(
    {
        Kind.DNS,
        Kind.CONNECT,
        Kind.PROXY,
        Kind.CUT,
        Kind.SHORT,
        Kind.STALL,
        Kind.TRICKLE,
        Kind.RANGE,
        Kind.ENCODED,
    }
)
_BROKEN_OFF = frozenset({Kind.CUT, Kind.SHORT})
_PASSING_STATUS = frozenset({408, 425, 429})
_EXPIRED_STATUS = frozenset({400, 401, 403, 404, 410})


def decide(fault: Fault, attempt: int, jitter: float) -> Decision:
    """What to do about `fault`, the `attempt`-th (from 1) since the last progress; `jitter` in [0, 1) spreads the
    waits.
    """
    if attempt >= MAX_ATTEMPTS:
        return Decision(Action.GIVE_UP)
    backoff = FIRST_WAIT_S * 2 ** (attempt - 1) * (0.5 + jitter / 2)
    if fault.kind is Kind.STATUS and fault.status is not None:
        return _decide_status(fault, fault.status, attempt, backoff)
    if fault.kind is Kind.DIGEST:
        return Decision(Action.AGAIN if attempt == 1 else Action.GIVE_UP)
    if fault.kind in _BROKEN_OFF and attempt == 1:
        return Decision(Action.AGAIN)
    return Decision(Action.AGAIN, backoff) if fault.kind in _PASSING else Decision(Action.GIVE_UP)


def _decide_status(fault: Fault, status: int, attempt: int, backoff: float) -> Decision:
    if fault.redirected and status in _EXPIRED_STATUS:
        return Decision(Action.ASK_HUB_AGAIN, 0.0 if attempt == 1 else backoff)
    asked_s = fault.wait_s or 0.0
    if not may_pass(status) or asked_s > MAX_WAIT_S:
        return Decision(Action.GIVE_UP)
    return Decision(Action.AGAIN, max(asked_s, backoff))


def may_pass(status: int) -> bool:
    """Whether an error status speaks of the moment, not of what was asked for."""
    return status in _PASSING_STATUS or status >= 500


def throttles(fault: Fault) -> bool:
    """Whether the endpoint said that it is asked too much."""
    return fault.kind is Kind.STATUS and fault.status in {429, 503}


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long the endpoint asks to wait, in seconds; None when it does not say, or nothing that can be understood.

    `headers` are in lower case. Retry-After (seconds, or an HTTP date against `now`) comes before RateLimit, whose `t`
    counts for a quota of which nothing is left.
    """
    wait_s = _retry_after(headers.get("retry-after", "").strip(), now)
    if wait_s is not None:
        return wait_s
    waits = [
        float(reset.group(1)) + 1.0
        for quota in headers.get("ratelimit", "").split(",")
        if (reset := _RATELIMIT_RESET.search(quota)) and _NOTHING_LEFT.search(quota)
    ]
    return max(waits, default=None)


def _retry_after(text: str, now: datetime) -> float | None:
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        # OverflowError: an offset from UTC of more digits than a number in C has.
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
