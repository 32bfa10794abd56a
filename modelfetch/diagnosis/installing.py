"""The commands of findings, for this machine: which Python they install into, and from where. Pure.

- A command installs into the Python that was looked at, and proves it of that one; where it has no pip, uv does it.
- Where the index that is set does not answer, a command names one that does; where PyTorch's own does not, a mirror of
  it. What nobody has asked is taken to answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelfetch.diagnosis.finding import Finding

_PIP = "python -m pip "
_UV = "uv pip install "
_PYTORCH = "https://download.pytorch.org/whl"
_PYTORCH_BUILD = re.compile(rf"--index-url {re.escape(_PYTORCH)}/(\S+)")


@dataclass(frozen=True)
class Installer:
    """How packages get into the Python that was looked at: `python` is None for the one that `python` means.

    Without pip, uv does it; without uv as well, pip is brought first, which Python can do by itself.
    """

    python: str | None = None
    has_pip: bool = True
    has_uv: bool = True

    def command(self, line: str) -> str:
        """`line`, which is written for a `python` with pip, for this one."""
        if self.python is None and self.has_pip:
            return line
        if line.startswith("modelfetch doctor") and "--python" not in line:
            return f'{line} --python "{self.python}"' if self.python else line
        if line.startswith(_UV):
            return line.replace(_UV, f'{_UV}--python "{self.python}" ') if self.python else line
        if self.has_pip or not self.has_uv:
            python = f'"{self.python}"' if self.python else "python"
            first = f"{python} -m ensurepip && " if _PIP in line and not self.has_pip else ""
            return first + line.replace(_PIP, f"{python} -m pip ")
        target = f' --python "{self.python}"' if self.python else ""
        line = re.sub(rf"{_PIP}(install|uninstall)", rf"uv pip \1{target}", line)
        # uv has other words for the same things, and never asks.
        return line.replace("--force-reinstall", "--reinstall").replace("uninstall -y", "uninstall")


def for_installer(findings: Iterable[Finding], installer: Installer) -> list[Finding]:
    """The findings, their commands for the Python that was looked at."""
    return [
        replace(finding, fix=tuple(map(installer.command, finding.fix)), verify=installer.command(finding.verify))
        for finding in findings
    ]


def for_indexes(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, their commands with indexes that answer, as far as some of the findings tell which do."""
    found = list(findings)
    instead = {finding.name: finding.evidence for finding in found if "reachable" in finding.evidence}
    pypi = str(instead.get("pip.unreachable", {}).get("reachable", ""))
    torch = instead.get("torch.index", {})
    return [
        finding
        if finding.name == "pip.unreachable"
        else replace(finding, fix=tuple(_reachable(line, pypi, torch) for line in finding.fix))
        for finding in found
    ]


def _reachable(line: str, pypi: str, torch: object) -> str:
    is_install = " pip install " in line or line.startswith(_UV)
    if isinstance(torch, dict) and torch:
        option = "--index-url" if torch["kind"] == "torch" else "--find-links"
        line = _PYTORCH_BUILD.sub(rf"{option} {torch['reachable']}/\1", line)
    if pypi and is_install and "--index-url" not in line:
        line = f"{line} --index-url {pypi}"
    return line
