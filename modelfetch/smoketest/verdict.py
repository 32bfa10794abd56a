"""PASS, WARN, FAIL or SKIP: a pure function of what was observed.

- FAIL needs one finding that fails, WARN one that warns, SKIP a reason why nothing was run.
- PASS needs evidence, not the absence of complaints: every level that was asked for was reached, the last one with the
  model loaded, every weight looked at, its exercise done and the child ended well. What is missing is a failure.
- Nothing is judged by its speed, and no answer by its content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from modelfetch.smoketest.level import Level
from modelfetch.smoketest.observations import Observation

Seen = TypeVar("Seen", bound=Observation)


class Verdict(StrEnum):
    """The first word of a result."""

    PASS = "PASS"  # noqa: S105 - a verdict, no password
    WARN = "WARN"
    FAIL = "FAIL"
    SKIP = "SKIP"


class Severity(StrEnum):
    """What a finding does to the verdict; a note does nothing."""

    FAIL = "fail"
    WARN = "warn"
    SKIP = "skip"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was seen: `check` names the criterion (docs/smoke.md), `hint` says what to do."""

    check: str
    severity: Severity
    title: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    hint: str | None = None


@dataclass(frozen=True)
class Case:
    """Everything that was observed of one model, what the user allows, what mends damaged files, and how far it was to
    go.
    """

    observations: tuple[Observation, ...]
    allow_random: bool = False
    repair: str = "modelfetch verify --deep --repair"
    level: Level = Level.EXERCISE

    def last(self, kind: type[Seen]) -> Seen | None:
        """The last observation of a kind."""
        return next((each for each in reversed(self.observations) if isinstance(each, kind)), None)

    def every(self, kind: type[Seen]) -> list[Seen]:
        """All observations of a kind, in their order."""
        return [each for each in self.observations if isinstance(each, kind)]


def decide(findings: Iterable[Finding]) -> Verdict:
    """The word that the findings make together."""
    severities = {finding.severity for finding in findings}
    if Severity.FAIL in severities:
        return Verdict.FAIL
    if Severity.SKIP in severities:
        return Verdict.SKIP
    return Verdict.WARN if Severity.WARN in severities else Verdict.PASS
