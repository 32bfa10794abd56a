"""The installed torch, read from its files: importing it takes seconds, and a broken one cannot be imported.

- Python files are parsed and never run.
- The capabilities come from torch's own table where it ships one for its CUDA build, otherwise from `tables`. Either
  tells of PyTorch's own builds alone: what conda-forge, NVIDIA or the user built holds what its maker chose.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.source_files import assignments
from modelfetch.diagnosis.tables import Version, build_capabilities, version

_TABLE = "PYTORCH_RELEASES_CODE_CC"
# How PyTorch's own builds end: `2.14.0+cu130`.
_OF_PYTORCH = "+cu"


@dataclass(frozen=True)
class TorchFacts:
    """`folder` is None where there is no torch. `cuda`, `hip` and `xpu` are what it was built for."""

    folder: Path | None = None
    release: str = ""
    cuda: str | None = None
    hip: str | None = None
    xpu: str | None = None
    has_cuda_library: bool = False
    capabilities: tuple[int, ...] = ()

    @property
    def cuda_version(self) -> Version:
        return version(self.cuda or "")


def read_torch(machine: Machine, _settings: Settings) -> TorchFacts:
    folder = next((path / "torch" for path in machine.import_folders if _has_version(path / "torch")), None)
    if folder is None:
        return TorchFacts()
    constants = _constants(folder / "version.py")
    cuda, release = constants.get("cuda"), constants.get("__version__") or ""
    return TorchFacts(
        folder=folder,
        release=release,
        cuda=cuda,
        hip=constants.get("hip"),
        xpu=constants.get("xpu"),
        has_cuda_library=(folder / "lib/libtorch_cuda.so").exists(),
        capabilities=(
            _capabilities(folder / "cuda/__init__.py", cuda, machine.architecture)
            if cuda and _OF_PYTORCH in release
            else ()
        ),
    )


def _has_version(folder: Path) -> bool:
    try:
        return (folder / "version.py").is_file()
    except OSError:  # closed to this user
        return False


def _constants(file: Path) -> dict[str, str | None]:
    """The names that a module sets to a text or to None."""
    constants: dict[str, str | None] = {}
    for name, value in assignments(file):
        if isinstance(value, ast.Constant) and (value.value is None or isinstance(value.value, str)):
            constants[name] = value.value
    return constants


def _capabilities(file: Path, cuda: str, architecture: str) -> tuple[int, ...]:
    known = build_capabilities(version(cuda), architecture)
    table = next((value for name, value in assignments(file) if name == _TABLE), None)
    if table is None:
        return known
    try:
        shipped = ast.literal_eval(table)
        return tuple(sorted(shipped[cuda][architecture]))
    except (ValueError, KeyError, TypeError):
        return known
