"""What a verification found, as values and as the document of `--json`. Decides only.

- An error is a file that is not as it was pulled, or that is and cannot be loaded; it fails the verification until it
  is repaired. A warning and an info are told and fail nothing.
- Nothing that was found is left out of the report because something else was found before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from modelfetch.errors import ModelfetchError


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Problem(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    SHORT = "short"
    LONG = "long"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    BROKEN_LINK = "broken link"
    UNREADABLE_RECORD = "unreadable record"
    ORPHANS = "orphans"
    BAD_SAFETENSORS = "bad safetensors"
    BAD_GGUF = "bad gguf"
    MISSING_SHARD = "missing shard"
    WRONG_INDEX = "wrong index"
    MISSING_CONFIG = "missing config"
    MISSING_TOKENIZER = "missing tokenizer"
    BAD_JSON = "bad json"
    LEFT_OUT = "left out"
    PICKLE = "pickle"
    MISSING_MODEL = "missing model"
    NOT_PULLED = "not pulled"
    NOT_AS_LOCKED = "not as locked"
    GONE_FROM_VIEW = "gone from view"
    STALE_VIEW = "stale view"


# What fetching the file again mends, or linking it. The rest is as the hub has it.
_MENDABLE = frozenset(
    {
        Problem.MISSING,
        Problem.SHORT,
        Problem.LONG,
        Problem.CHANGED,
        Problem.UNREADABLE,
        Problem.BROKEN_LINK,
        Problem.STALE_VIEW,
    }
)


@dataclass(frozen=True)
class Finding:
    """One thing that was seen. `repaired` is true when it is no longer so.

    `where` tells in which bytes a changed file first differs, as far as that is known.
    """

    repo: str
    path: str
    problem: Problem
    severity: Severity = Severity.ERROR
    expected: str | None = None
    got: str | None = None
    hint: str | None = None
    repaired: bool = False
    where: str | None = None

    @property
    def remains(self) -> bool:
        """Whether this fails the verification."""
        return self.severity is Severity.ERROR and not self.repaired

    @property
    def can_be_repaired(self) -> bool:
        """Whether `--repair` helps."""
        return self.remains and self.problem in _MENDABLE


@dataclass(frozen=True)
class VerifyReport:
    """The end of a verification. `known_bytes` were not read: they are as they were when they were last read.

    `repair_errors` are why something could not be mended.
    """

    checked_bytes: int
    known_bytes: int
    findings: tuple[Finding, ...]
    repair_errors: tuple[ModelfetchError, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(finding.remains for finding in self.findings)

    def with_findings(self, findings: Iterable[Finding]) -> VerifyReport:
        """This report with what was found otherwise."""
        return replace(self, findings=ordered((*self.findings, *findings)))

    def to_json(self) -> dict[str, Any]:
        """The document of `modelfetch verify --json`."""
        return {
            "ok": self.ok,
            "checked_bytes": self.checked_bytes,
            "known_bytes": self.known_bytes,
            "findings": [
                {
                    "repo": finding.repo,
                    "path": finding.path,
                    "problem": finding.problem.value,
                    "severity": finding.severity.value,
                    "expected": finding.expected,
                    "got": finding.got,
                    "repaired": finding.repaired,
                    "where": finding.where,
                }
                for finding in self.findings
            ],
        }


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then by repository and path."""
    rank = list(Severity)
    return tuple(sorted(findings, key=lambda finding: (rank.index(finding.severity), finding.repo, finding.path)))
