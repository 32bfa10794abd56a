"""The CUDA toolkit: which nvcc, of which version, and CUDA libraries that LD_LIBRARY_PATH puts before torch's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.tables import Version, version

_NVCC_LIMIT_S = 3.0
_COMPILERS = ("cc", "gcc", "clang")
_CUDA_LIBRARIES = re.compile(r"lib(cudart|cublas|cublasLt|cudnn|cufft|cusparse|nvJitLink|nccl)\.so.*")


@dataclass(frozen=True)
class ToolkitFacts:
    """`home` is CUDA_HOME or CUDA_PATH as it is set, `toolkits` are the names of those beside each other in /usr/local;
    `shadowing` the folders of LD_LIBRARY_PATH with CUDA libraries; `compiler` the first C compiler on PATH.
    """

    nvcc: str | None = None
    nvcc_version: Version = ()
    home: str | None = None
    home_exists: bool = True
    shadowing: tuple[str, ...] = ()
    toolkits: tuple[str, ...] = ()
    compiler: str | None = None


def read_toolkit(machine: Machine, _settings: Settings) -> ToolkitFacts:
    environment = machine.environment
    home = environment.get("CUDA_HOME") or environment.get("CUDA_PATH") or None
    nvcc = shutil.which("nvcc", path=environment.get("PATH", ""))
    beside = [Path(home) / "bin/nvcc"] if home else []
    beside.append(machine.root / "usr/local/cuda/bin/nvcc")
    nvcc = nvcc or next((str(path) for path in beside if path.is_file()), None)
    return ToolkitFacts(
        nvcc=nvcc,
        nvcc_version=_version_of(nvcc, machine) if nvcc else (),
        home=home,
        home_exists=home is None or Path(home).is_dir(),
        shadowing=tuple(folder for folder in environment.get("LD_LIBRARY_PATH", "").split(":") if _has_cuda(folder)),
        toolkits=tuple(sorted(path.name for path in (machine.root / "usr/local").glob("cuda-*") if _is_toolkit(path))),
        compiler=next(
            filter(None, (shutil.which(name, path=environment.get("PATH", "")) for name in _COMPILERS)), None
        ),
    )


def _is_toolkit(folder: Path) -> bool:
    # `cuda-12` is a link to `cuda-12.4`.
    return not folder.is_symlink() and (folder / "bin/nvcc").exists()


def _version_of(nvcc: str, machine: Machine) -> Version:
    try:
        answer = subprocess.run(
            [nvcc, "--version"],
            env=dict(machine.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_NVCC_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"release (\d+\.\d+)", answer.stdout.decode(errors="replace"))
    return version(match.group(1)) if match else ()


def _has_cuda(folder: str) -> bool:
    try:
        return bool(folder) and any(_CUDA_LIBRARIES.fullmatch(file.name) for file in Path(folder).iterdir())
    except OSError:
        return False
