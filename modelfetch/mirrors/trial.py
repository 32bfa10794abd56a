"""What one place showed when it was tried, as a value; and what a listing offers to try it with. Asks nobody.

- A problem is what keeps bytes from being had there: no answer, an answer that is no hub's, wrong bytes, a wrong range.
- Whole files where a range was asked for are no problem: a pull copes, with one lane at a time.
- That a sample is not there says nothing of the endpoint: a mirror need not have everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from modelfetch.config import Endpoint, Index
from modelfetch.manifest import Entry
from modelfetch.planning.preference import Tried
from modelfetch.redact import redact

# A configuration is a few kilobytes. What is larger may be kept elsewhere, and is not what this is to show.
SMALL_BYTES = 64 << 10

_COUNTING = ("ratelimit", "x-ratelimit", "x-rate-limit", "retry-after")
_LONGEST_HEADER = 120


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is found out of any place. What is None was not found out.

    `latency_s` is until the first answer: name, connection, TLS and document. `bytes_per_s` is of one connection.
    `digest_right` tells whether a whole file had its digest, `served_by` is the host that sent the bytes in the end.
    `skew_s` is how far its clock is ahead of ours. `limits` are the headers in which it counts requests.
    """

    problem: str | None = None
    latency_s: float | None = None
    bytes_per_s: float | None = None
    sample_bytes: int = 0
    digest_right: bool | None = None
    served_by: str | None = None
    skew_s: float | None = None
    limits: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it answered as it should."""
        return self.problem is None and self.latency_s is not None

    def tried(self, at: float) -> Tried:
        """What of it is remembered."""
        return Tried(at, self.problem, self.latency_s, self.bytes_per_s)


@dataclass(frozen=True)
class Trial(Shown):
    """What an endpoint showed.

    `ranges` tells whether a range comes when one is asked for. `asks_for_terms` tells whether files of a gated model
    are refused to whoever shows no token.
    """

    endpoint: Endpoint
    ranges: bool | None = None
    asks_for_terms: bool | None = None

    def to_json(self) -> dict[str, Any]:
        document = {name: value for name, value in asdict(self).items() if name != "endpoint"}
        return {"name": self.endpoint.name, "hub": self.endpoint.hub, "url": self.endpoint.url, **document}


@dataclass(frozen=True)
class IndexTrial(Shown):
    """What a package index showed.

    `newest` is the newest that it lists of what it was asked for: a version, or a day. `age` orders these, the newer
    the greater.
    """

    index: Index
    newest: str | None = None
    age: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        document = {name: value for name, value in asdict(self).items() if name not in {"index", "age"}}
        return {"name": self.index.name, "kind": self.index.kind, "url": self.index.url, **document}


def behind(trials: Iterable[IndexTrial]) -> dict[str, str]:
    """What another index of its kind lists that is newer, for each that is behind, by name."""
    told = [trial for trial in trials if trial.newest is not None]
    found = {}
    for trial in told:
        newest = max((other for other in told if other.index.kind == trial.index.kind), key=lambda other: other.age)
        # Lists of conda's are of the same day or of the day before, whenever one looks.
        late = newest.age[0] - trial.age[0] > 1 if trial.index.kind == "conda" else newest.age > trial.age
        if late:
            found[trial.index.name] = f"{newest.newest} at {newest.index.name}"
    return found


def small_entry(entries: Iterable[Entry]) -> Entry | None:
    """A file to fetch whole and to hold to its digest."""
    small = [entry for entry in entries if entry.digests and 0 < entry.size <= SMALL_BYTES]
    return max(small, key=lambda entry: (entry.path == "config.json", entry.size), default=None)


def large_entry(entries: Iterable[Entry]) -> Entry | None:
    """The file to fetch a part of: where the weights are is where a pull's bytes come from."""
    return max((entry for entry in entries if entry.size), key=lambda entry: entry.size, default=None)


def limits_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, which are in lower case, in which an endpoint says how often it may be asked."""
    return {name: redact(value)[:_LONGEST_HEADER] for name, value in headers.items() if name.startswith(_COUNTING)}


def skew_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """How far the clock of whoever sent these headers is ahead; None where they do not tell."""
    try:
        said = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return ((said if said.tzinfo else said.replace(tzinfo=UTC)) - now).total_seconds()
