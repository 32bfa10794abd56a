"""Runs the checks: probes all at once, checks one after the other as their facts arrive.

- A check that raises, and a probe that raises or hangs, becomes a finding with severity `crashed` that names it.
- Settings that cannot be read are a finding; the examination goes on with the built-in ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator

from modelfetch.config.load import load, load_built_in
from modelfetch.config.values import Settings
from modelfetch.diagnosis.checks import chosen
from modelfetch.diagnosis.checks.check import Check
from modelfetch.diagnosis.checks.setup import SettingsFacts
from modelfetch.diagnosis.conclusion import with_causes
from modelfetch.diagnosis.facts import Facts, NotKnown
from modelfetch.diagnosis.finding import Finding, Severity
from modelfetch.diagnosis.installing import Installer, for_indexes, for_installer
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes import PROBES
from modelfetch.errors import ConfigError


def doctor(
    *,
    settings: Settings | None = None,
    offline: bool = False,
    deep: bool = False,
    names: Iterable[str] = (),
    machine: Machine | None = None,
) -> list[Finding]:
    """Everything that was found, in a fixed order, each consequence with its cause.

    `offline` asks no endpoint, `deep` imports torch in a child and uses every GPU; `names` are of checks, groups or
    findings.

    Raises:
        UsageError: a name that no check has.
    """
    examined = examine(settings=settings, offline=offline, deep=deep, names=names, machine=machine)
    return for_indexes(with_causes(finding for _, findings in examined for finding in findings))


def examine(
    *,
    settings: Settings | None = None,
    offline: bool = False,
    deep: bool = False,
    names: Iterable[str] = (),
    machine: Machine | None = None,
) -> Iterator[tuple[str, list[Finding]]]:
    """As `doctor`, group by group, each as soon as it is known. Causes are not marked yet, nor indexes chosen."""
    machine = machine or Machine()
    installer = _installer(machine)
    error = None
    if settings is None:
        settings, error = _settings(machine)
    checks = chosen(names, offline=offline or settings.offline, deep=deep)
    facts = Facts((machine, settings, SettingsFacts(error)))
    unread: set[type] = set()
    # What the first group needs is read first and alone, so that its lines are there at once; then all the rest.
    waiting = list(PROBES)
    for group in dict.fromkeys(check.group for check in checks):
        members = [check for check in checks if check.group == group]
        needed = {kind for check in (members if len(waiting) == len(PROBES) else checks) for kind in check.needs}
        for probe in [probe for probe in waiting if probe.kind in needed]:
            waiting.remove(probe)
            facts.start(probe, machine, settings)
        found = (finding for check in members for finding in _run(check, facts, unread, checks))
        yield group, for_installer(found, installer)


def _installer(machine: Machine) -> Installer:
    has_uv = shutil.which("uv", path=machine.environment.get("PATH", "")) is not None
    return Installer(None if machine.is_ours else str(machine.python), machine.module("pip") is not None, has_uv)


def _settings(machine: Machine) -> tuple[Settings, ConfigError | None]:
    try:
        return load(machine.environment), None
    except ConfigError as error:
        return load_built_in(machine.environment), error


def _run(check: Check, facts: Facts, unread: set[type], checks: Iterable[Check]) -> list[Finding]:
    """What the check finds. Facts that could not be read are told about once, and put into `unread`."""
    try:
        return check.run(facts)
    except NotKnown as unknown:
        if unknown.kind in unread:
            return []
        unread.add(unknown.kind)
        skipped = ", ".join(other.name for other in checks if unknown.kind in other.needs)
        title = f"{unknown}, so these checks are left out: {skipped}"
        return [Finding(check.name, Severity.CRASHED, title, {"reason": unknown.reason})]
    except Exception as error:  # noqa: BLE001 - a check that fails must not take the others with it
        title = f"the check `{check.name}` failed: {type(error).__name__}: {error}"
        return [Finding(check.name, Severity.CRASHED, title)]
