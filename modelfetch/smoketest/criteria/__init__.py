"""The criteria by which a model is judged. Decides only.

A criterion looks at a `Case` and yields findings; it knows nothing of the other criteria. `CHECKS` names every finding
that any of them can yield, and docs/smoke.md is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from modelfetch.smoketest.criteria import outputs, process, text, weights
from modelfetch.smoketest.verdict import Case, Finding, Verdict, decide

Criterion = Callable[[Case], Iterable[Finding]]

CRITERIA: tuple[Criterion, ...] = (*process.CRITERIA, *weights.CRITERIA, *text.CRITERIA, *outputs.CRITERIA)
CHECKS: Mapping[str, str] = {**process.CHECKS, **weights.CHECKS, **text.CHECKS, **outputs.CHECKS}


def judge(case: Case) -> tuple[Finding, ...]:
    """Every finding of every criterion, in the order of the criteria."""
    findings = [finding for criterion in CRITERIA for finding in criterion(case)]
    if decide(findings) in {Verdict.PASS, Verdict.WARN}:
        findings += process.unfinished(case)
    return tuple(findings)
