"""Which endpoint is likely to be the fastest from here, judged by what each showed before. Decides only; a hint.

- The score of an endpoint is the time that a gigabyte from it takes: its first answer, and the bytes at the best rate
  it showed. What it brought in a pull is the least it can do, so it never lowers a score.
- What was seen is believed for a week, a problem for six hours: networks change, and what was down comes back.
- A pull that brought bytes since refutes a problem.
- Known ones come first, the fastest foremost; then those of which nothing is known, then those with a problem. Equals
  stay in the order they were given in, which is that of mirrors.yaml.
- It says how many lanes an endpoint begins with, and which begins first: never whose listing is believed, nor whether
  an endpoint is used. What is remembered wrongly costs time only, and lanes that help are added whatever was
  remembered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from modelfetch.planning.lanes import START
from modelfetch.units import format_ago, format_bytes, format_duration

GIGABYTE = 1_000_000_000
BELIEVED_FOR_S = 7 * 86400.0
PROBLEM_HOLDS_S = 6 * 3600.0
# One is enough to see that more would help.
FEWEST_LANES = 1


@dataclass(frozen=True)
class Tried:
    """What an endpoint showed when it was tried: `problem` is None where it can be used, the rate is one connection's.

    `at` is a time in seconds since the epoch.
    """

    at: float
    problem: str | None = None
    latency_s: float | None = None
    bytes_per_s: float | None = None


@dataclass(frozen=True)
class Brought:
    """What an endpoint brought in a pull, all its lanes together."""

    at: float
    bytes_per_s: float


@dataclass(frozen=True)
class Experience:
    """All that is known of one endpoint on one network."""

    tried: Tried | None = None
    brought: Brought | None = None


class Standing(IntEnum):
    """What an endpoint is worth before its speed is looked at."""

    KNOWN = 0
    UNKNOWN = 1
    TROUBLED = 2


@dataclass(frozen=True, order=True)
class Score:
    """The smaller, the better. `seconds` are for a gigabyte, infinite where nothing is known; `why` is for a person.

    `bytes_per_s` is the best rate it showed, `seen_at` when it last showed anything.
    """

    standing: Standing
    seconds: float
    why: str = field(compare=False)
    seen_at: float | None = field(default=None, compare=False)
    bytes_per_s: float | None = field(default=None, compare=False)


def score(experience: Experience, now: float) -> Score:
    """What the endpoint is worth now."""
    tried, brought = _tried(experience, now), _brought(experience, now)
    if tried and tried.problem:
        return Score(Standing.TROUBLED, math.inf, tried.problem, tried.at)
    rates = [rate for seen in (tried, brought) if seen and (rate := seen.bytes_per_s or 0.0) >= 1]
    if not rates:
        why = "not tried from here" if tried is None else "it answers, and no bytes of it were measured"
        return Score(Standing.UNKNOWN, math.inf, why, tried.at if tried else None)
    latency_s = tried.latency_s if tried and tried.latency_s else 0.0
    seconds = latency_s + GIGABYTE / max(rates)
    parts = [f"{format_bytes(max(rates))}/s"]
    if latency_s:
        parts.append(f"first answer after {latency_s:.2f} s")
    why = f"1 GB in about {format_duration(seconds)} ({', '.join(parts)})"
    return Score(Standing.KNOWN, seconds, why, max(seen.at for seen in (tried, brought) if seen), max(rates))


def ranked(names: Sequence[str], scores: Mapping[str, Score]) -> tuple[str, ...]:
    """`names`, the most promising first."""
    return tuple(sorted(names, key=lambda name: scores[name]))


def lanes_to_begin_with(names: Sequence[str], scores: Mapping[str, Score]) -> dict[str, int]:
    """How many lanes each endpoint begins with, the one that begins first foremost; nothing where none is known."""
    order = ranked(names, scores)
    if not order or scores[order[0]].standing is not Standing.KNOWN:
        return {}
    return {name: _begin(scores[name], scores[order[0]]) for name in order}


def reason(names: Sequence[str], scores: Mapping[str, Score]) -> str | None:
    """Why the first of `names`, which are ranked, comes first; None where none of them is known."""
    known = [name for name in names if scores[name].standing is Standing.KNOWN]
    if not known:
        return None
    first, *others = known
    text = f"{first} begins: {scores[first].why}"
    return f"{text}, against {format_duration(scores[others[0]].seconds)} from {others[0]}" if others else text


def clause(names: Sequence[str], scores: Mapping[str, Score], now: float) -> str | None:
    """Why a pull begins with one of `names`, in a few words; None where it does not, or there is nobody else."""
    first, *others = ranked(names, scores)
    best = scores[first]
    if not others or best.bytes_per_s is None or best.seen_at is None:
        return None
    text = f"{first} first: {format_bytes(best.bytes_per_s)}/s here {format_ago(now - best.seen_at)}"
    # Of those about which something is known: it, too, is what the order is from.
    other = next((name for name in others if scores[name].seen_at is not None), None)
    if other is None:
        return text
    if scores[other].standing is Standing.TROUBLED:
        return f"{text}, {other} could not be used"
    rate = scores[other].bytes_per_s
    return f"{text}, {other} {format_bytes(rate)}/s" if rate else text


def _begin(score: Score, best: Score) -> int:
    if score.standing is Standing.KNOWN:
        return max(FEWEST_LANES, math.ceil(START * best.seconds / score.seconds))
    return START if score.standing is Standing.UNKNOWN else FEWEST_LANES


def _tried(experience: Experience, now: float) -> Tried | None:
    """What was tried, as far as it is still believed."""
    tried, brought = experience.tried, experience.brought
    if tried is None or (tried.problem and brought and brought.at > tried.at):
        return None
    return tried if _holds(tried.at, PROBLEM_HOLDS_S if tried.problem else BELIEVED_FOR_S, now) else None


def _brought(experience: Experience, now: float) -> Brought | None:
    brought = experience.brought
    return brought if brought and _holds(brought.at, BELIEVED_FOR_S, now) else None


def _holds(at: float, for_s: float, now: float) -> bool:
    # What is from the future was written by a clock that went wrong.
    return 0 <= now - at <= for_s
