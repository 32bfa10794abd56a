"""Every check, in the order in which it is told: quick and basic first, slow ones last."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from modelfetch.diagnosis.checks import (
    caches,
    cuda,
    delivery,
    disk,
    gpu,
    gpu_health,
    indexes,
    interpreter,
    models,
    network,
    packages,
    setup,
    system,
    torch,
    wholeness,
)
from modelfetch.diagnosis.checks.check import Check
from modelfetch.diagnosis.probes.addresses import AddressFacts
from modelfetch.diagnosis.probes.delivery import DeliveryFacts
from modelfetch.diagnosis.probes.endpoints import EndpointFacts
from modelfetch.diagnosis.probes.index_answers import IndexAnswers
from modelfetch.diagnosis.probes.native import TrialFacts
from modelfetch.diagnosis.probes.token import TokenFacts
from modelfetch.errors import UsageError

CHECKS: tuple[Check, ...] = (
    *system.CHECKS,
    *disk.CHECKS,
    *setup.CHECKS,
    *indexes.CHECKS,
    *gpu.CHECKS,
    *gpu_health.CHECKS,
    *cuda.CHECKS,
    *interpreter.CHECKS,
    *packages.CHECKS,
    *wholeness.CHECKS,
    *torch.CHECKS,
    *models.CHECKS,
    *caches.CHECKS,
    *network.CHECKS,
    *delivery.CHECKS,
    *indexes.NETWORK_CHECKS,
    *torch.DEEP_CHECKS,
)

# What asks somebody else than this machine.
_ASKING = (AddressFacts, DeliveryFacts, EndpointFacts, IndexAnswers, TokenFacts)


def chosen(names: Iterable[str], *, offline: bool, deep: bool) -> tuple[Check, ...]:
    """The checks that these names stand for: of a check, of a group, or of a finding; all of them where none is given.

    Raises:
        UsageError: nothing is called so.
    """
    wanted = set(names)
    known = {name for check in CHECKS for name in _answers_to(check)}
    if unknown := wanted - known:
        raise _unknown(min(unknown), known)
    left_out: set[type] = set(_ASKING) if offline else set()
    # A trial that is asked for by name is wanted.
    left_out |= set() if deep or wanted else {TrialFacts}
    return tuple(
        check for check in CHECKS if not left_out & set(check.needs) and (not wanted or wanted & _answers_to(check))
    )


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    groups = dict.fromkeys(check.group for check in CHECKS)
    facts = {"expected": "a group (" + ", ".join(groups) + "), a check, or a finding"}
    if near := get_close_matches(name.lower(), sorted(known)):
        facts["similar"] = ", ".join(f"`{each}`" for each in near)
    return UsageError(f"doctor has no check `{name}`", facts=facts, hint="modelfetch doctor --list")


def _answers_to(check: Check) -> set[str]:
    return {check.name, check.group, *check.finds}
