"""From many findings to one cause: which finding explains which, and which is mended first. Pure.

- A finding that an error explains is its consequence; it stays in the list and is not mended by itself.
- The primary cause is the error of the lowest rank that nothing explains; of equals the one that was found first.
- A warning is never a primary cause: nothing is broken by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from modelfetch.diagnosis.finding import Finding, Severity

_NO_ACCESS = frozenset(
    {
        "gpu.nvidia-visible",
        "ctr.runtime",
        "ctr.lost-gpu",
        "gpu.pci-no-driver",
        "gpu.no-devnodes",
        "gpu.no-uvm",
        "gpu.dev-perm",
        "wsl.driver",
        "drv.no-library",
    }
)
_NO_START = _NO_ACCESS | {"gpu.lost", "gpu.exclusive", "drv.mismatch", "drv.compat-lib", "drv.nvml", "gpu.visible"}
_NO_CUDA = _NO_START | {
    "gpu.mig",
    "gpu.fabric",
    "drv.cuda-init",
    "drv.too-old",
    "gpu.capability",
    "torch.cpu-build",
    "torch.rocm",
    "torch.broken",
}

_NO_NETWORK = frozenset({"net.ca", "net.clock", "net.dns", "net.portal", "net.proxy-refuses", "net.tls"})

# What a finding can be the consequence of.
_EXPLAINED_BY: Mapping[str, frozenset[str]] = {
    "gpu.no-devnodes": frozenset({"gpu.nvidia-visible", "ctr.runtime"}),
    "ctr.runtime": frozenset({"gpu.nvidia-visible"}),
    "drv.no-library": frozenset({"gpu.pci-no-driver"}),
    "drv.nvml": _NO_ACCESS,
    "drv.cuda-init": _NO_START | {"gpu.mig", "gpu.fabric"},
    "torch.cuda": _NO_CUDA | {"torch.import"},
    "torch.trial": _NO_CUDA,
    "torch.import": frozenset({"torch.nvidia-libs", "torch.vision-mismatch", "cuda.ldpath", "py.dup", "py.broken"}),
    "fs.writable": frozenset({"disk.low", "disk.inodes"}),
    "store.unusable": frozenset({"fs.writable", "disk.low", "disk.inodes"}),
    "net.endpoint": frozenset({"net.ca", "net.clock"}),
    "drv.eol": frozenset({"drv.too-old"}),
    "disk.queue": frozenset({"disk.low"}),
    "tf.deps": frozenset({"py.dup", "py.half"}),
    # Another torch brings its own libraries.
    "torch.nvidia-libs": frozenset({"py.half", "drv.too-old", "gpu.capability"}),
    "pip.unreachable": _NO_NETWORK,
    "conda.unreachable": _NO_NETWORK,
    "net.tls": frozenset({"net.ca", "net.clock"}),
}


@dataclass(frozen=True)
class Conclusion:
    """How it stands, as a sentence; `primary` is the error to mend first, None where there is none."""

    sentence: str
    primary: Finding | None = None


def with_causes(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, each consequence marked with the error that explains it."""
    found = list(findings)
    errors = [finding for finding in found if finding.severity.is_error]
    return [replace(finding, consequence_of=_cause(finding, errors)) for finding in found]


def _cause(finding: Finding, errors: Iterable[Finding]) -> str | None:
    if finding.severity in {Severity.OK, Severity.INFO}:
        return None
    causes = [error for error in errors if error.name in _EXPLAINED_BY.get(finding.name, frozenset())]
    return min(causes, key=lambda cause: cause.rank).name if causes else None


def conclude(findings: Iterable[Finding]) -> Conclusion:
    """The one cause to mend first, or that there is none. Takes findings with their causes marked."""
    found = list(findings)
    errors = [finding for finding in found if finding.severity.is_error]
    if errors:
        primary = min(errors, key=lambda error: (error.consequence_of is not None, error.rank))
        because = f"{primary.effect} because {primary.title}" if primary.effect else primary.title
        return Conclusion(_sentence(because), primary)
    warnings = sum(finding.severity is Severity.WARNING for finding in found)
    state = (
        "Nothing is wrong" if not warnings else f"Nothing is broken; {warnings} warning{'' if warnings == 1 else 's'}"
    )
    if any(finding.name == "gpu.none" for finding in found):
        state += "; models run on the CPU, because no NVIDIA GPU is there"
    return Conclusion(f"{state}.")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
