"""What a check is: a plain function of facts, with the names that it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Severity


@dataclass(frozen=True)
class Check:
    """`needs` are the kinds of facts it asks for; `finds` the names of its findings besides its own.

    A check that finds nothing wrong says so under its own name; one that does not apply says nothing.
    """

    name: str
    group: str
    about: str
    needs: tuple[type, ...]
    finds: tuple[str, ...]
    run: Callable[[Facts], list[Finding]]


def well(name: str, title: str, **evidence: object) -> Finding:
    """Nothing is wrong here. With figures as evidence it is worth telling."""
    return Finding(name, Severity.OK, title, evidence)


def note(name: str, title: str, *, advice: str = "", **evidence: object) -> Finding:
    """Worth knowing, and no fault."""
    return Finding(name, Severity.INFO, title, evidence, advice=advice)
