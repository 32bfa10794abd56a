"""Packages that are there in parts: listed without their files, there without being listed, or closed to this user.

- Each is an error: whatever is installed on top of it looks for the half that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from modelfetch.diagnosis.checks.check import Check, well
from modelfetch.diagnosis.checks.interpreter import NO_MODELS
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.torch_files import TorchFacts
from modelfetch.diagnosis.probes.wholeness import WholenessFacts

_PROVE = "modelfetch doctor wholeness"
_OF_PYTORCH = re.compile(r"cpu|cu\d+")


def check_wholeness(facts: Facts) -> list[Finding]:
    wholeness = facts[WholenessFacts]
    findings = [
        _half(name, release, f"{name} {release} is listed as installed, and its files are not there")
        for name, release in wholeness.gone.items()
    ]
    findings += [
        _half(name, _release_of(name, facts), f"{name} in `{folder}` is no longer listed as installed")
        for name, folder in wholeness.unlisted.items()
    ]
    if wholeness.closed:
        findings.append(_closed(wholeness.closed))
    return findings or [well("wholeness", "the packages that run models are whole or not there")]


def _release_of(name: str, facts: Facts) -> str:
    return facts[TorchFacts].release if name == "torch" else ""


def _half(name: str, release: str, title: str) -> Finding:
    numbers, _, build = release.partition("+")
    wanted = f"{name}=={numbers}" if numbers else name
    index = f" --index-url https://download.pytorch.org/whl/{build}" if _OF_PYTORCH.fullmatch(build) else ""
    return Finding(
        "py.half",
        Severity.ERROR,
        title,
        {"package": name, "release": release},
        effect=NO_MODELS,
        rank=Rank.PACKAGES,
        advice="An installation or a removal was cut short.",
        fix=(f'python -m pip install --force-reinstall --no-deps "{wanted}"{index}',),
        verify=_PROVE,
    )


def _closed(closed: Mapping[str, Path]) -> Finding:
    name, folder = next(iter(closed.items()))
    return Finding(
        "py.closed",
        Severity.ERROR,
        f"this user may not read {name} in `{folder}`",
        {"packages": list(closed)},
        effect=NO_MODELS,
        rank=Rank.PACKAGES,
        advice="Another user installed it and shut the others out.",
        fix=(f'sudo chmod -R a+rX "{folder.parent}"',),
        verify=_PROVE,
    )


CHECKS = (
    Check(
        "wholeness",
        "python",
        "whether the packages that run models are there as a whole",
        (WholenessFacts, TorchFacts),
        ("py.half", "py.closed"),
        check_wholeness,
    ),
)
