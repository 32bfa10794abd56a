"""The kinds of promises of design.md's speed table, as ratios of medians. Pure: no clock, no process, no path.

- A promise about time is kept only by a run that delivered, whatever its time.
- A rival that did not deliver is not compared with; where none did, there is nothing to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.values import Case, State, Summary, Verdict
from modelfetch.units import format_bytes

OURS = "modelfetch"


@dataclass(frozen=True)
class Finishes:
    """The model is there, whole."""

    def judge(self, case: Case) -> Verdict:
        return _judged(case, "finishes", lambda ours: Verdict("finishes", ours.ending, met=True))


@dataclass(frozen=True)
class Notices:
    """Wrong bytes are never left under exit status 0."""

    def judge(self, case: Case) -> Verdict:
        ours = case.summaries[OURS]
        wrong = any(run.state is State.WRONG for run in ours.runs)
        return Verdict("the wrong byte is noticed", ours.ending, met=not wrong)


@dataclass(frozen=True)
class WallAtMost:
    """`factor` times the fastest of `rivals` that delivered."""

    factor: float
    rivals: tuple[str, ...]

    def judge(self, case: Case) -> Verdict:
        promise = f"wall ≤ {self.factor:.3g} × {_named(self.rivals)}"
        right = case.right(self.rivals)

        def compare(ours: Summary) -> Verdict:
            if not right:
                return Verdict(promise, f"{_named(self.rivals)}: none delivered")
            rival = min(right, key=lambda client: right[client].wall_s)
            ratio = ours.wall_s / right[rival].wall_s
            return Verdict(promise, f"{ratio:.2f} × {rival}", ratio <= self.factor)

        return _judged(case, promise, compare)


@dataclass(frozen=True)
class CpuAtMost:
    """`factor` times the rival's, and all of `extra`'s."""

    factor: float
    rival: str
    extra: str

    def judge(self, case: Case) -> Verdict:
        promise = f"CPU ≤ {self.factor:.3g} × {self.rival} + {self.extra}"
        right = case.right((self.rival, self.extra))

        def compare(ours: Summary) -> Verdict:
            if len(right) < 2:
                return Verdict(promise, f"{self.rival} or {self.extra} did not deliver")
            allowed_s = self.factor * right[self.rival].cpu_s + right[self.extra].cpu_s
            ratio = ours.cpu_s / allowed_s
            return Verdict(promise, f"{ours.cpu_s:.2f} s of {allowed_s:.2f} s allowed ({ratio:.2f} ×)", ratio <= 1)

        return _judged(case, promise, compare)


@dataclass(frozen=True)
class RateAtLeast:
    """The whole command, its start included, as fast as `share` of what the links allow."""

    share: float
    bytes_per_s: float

    def judge(self, case: Case) -> Verdict:
        promise = f"≥ {self.share} × {format_bytes(self.bytes_per_s)}/s"

        def compare(ours: Summary) -> Verdict:
            ratio = case.model.size_bytes / ours.wall_s / self.bytes_per_s
            return Verdict(promise, f"{ratio:.2f} ×", ratio >= self.share)

        return _judged(case, promise, compare)


@dataclass(frozen=True)
class SentAtMost:
    """`factor` times the model's bytes, and `extra_bytes`."""

    factor: float = 1.0
    extra_bytes: int = 0

    def judge(self, case: Case) -> Verdict:
        extra = f" + {format_bytes(self.extra_bytes)}" if self.extra_bytes else ""
        promise = f"sent ≤ {self.factor:.3g} × the bytes{extra}"

        def compare(ours: Summary) -> Verdict:
            allowed = self.factor * case.model.size_bytes + self.extra_bytes
            measured = f"{ours.sent_bytes / case.model.size_bytes:.3f} × the bytes"
            return Verdict(promise, measured, ours.sent_bytes <= allowed)

        return _judged(case, promise, compare)


@dataclass(frozen=True)
class OneRequestAFile:
    """And one more for the listing."""

    def judge(self, case: Case) -> Verdict:
        promise, files = "one request a file and one for the listing", len(case.model.files)

        def compare(ours: Summary) -> Verdict:
            return Verdict(promise, f"{ours.requests} for {files} files", ours.requests <= files + 1)

        return _judged(case, promise, compare)


@dataclass(frozen=True)
class PeakAtMost:
    """The most memory in any run."""

    limit_bytes: int

    def judge(self, case: Case) -> Verdict:
        promise = f"memory ≤ {format_bytes(self.limit_bytes)}"

        def compare(ours: Summary) -> Verdict:
            return Verdict(promise, format_bytes(ours.peak_bytes), ours.peak_bytes <= self.limit_bytes)

        return _judged(case, promise, compare)


def _judged(case: Case, promise: str, compare: Callable[[Summary], Verdict]) -> Verdict:
    ours = case.summaries[OURS]
    return compare(ours) if ours.is_right else Verdict(promise, ours.ending, met=False)


def _named(clients: tuple[str, ...]) -> str:
    return clients[0] if len(clients) == 1 else f"the fastest of {', '.join(clients)}"
