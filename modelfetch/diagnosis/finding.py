"""What a check saw, as a value.

- A title is a clause that can stand behind "because": `the driver 535.183 serves CUDA 12.2`.
- Each command of `fix` mends it by itself; the first is the one to try. Steps that belong together are one command.
- `rank` orders causes: what stands lower in `Rank` carries what stands above it, so the lowest error is mended first.
- A token, a password or a signed URL is never part of a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Severity(StrEnum):
    """How bad it is. `crashed`: a check, or native code that it ran, died or hung; worse than a known error."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRASHED = "crashed"

    @property
    def is_error(self) -> bool:
        return self in {Severity.ERROR, Severity.CRASHED}


class Rank(IntEnum):
    """What stands on what, from the ground up."""

    SETTINGS = 0
    DISK = 1
    STORE = 2
    HARDWARE = 3
    DRIVER = 4
    VISIBILITY = 5
    CUDA = 6
    TORCH = 7
    PACKAGES = 8
    NETWORK = 9
    TRIAL = 10


@dataclass(frozen=True)
class Finding:
    """One thing that a check saw.

    `name` is stable and may be used in scripts; `effect` says what does not work because of it (`CUDA is not used`);
    `verify` is the command that proves it mended; `consequence_of` names the finding that explains this one.
    """

    name: str
    severity: Severity
    title: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    effect: str = ""
    rank: Rank = Rank.TRIAL
    advice: str = ""
    fix: tuple[str, ...] = ()
    verify: str = ""
    consequence_of: str | None = None


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity among them; ok where there are none."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.OK)
