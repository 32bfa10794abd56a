"""What the CUDA driver and NVML say of themselves, asked in children because both may abort or hang."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from modelfetch.config import Settings
from modelfetch.diagnosis.children import Answer, ask
from modelfetch.diagnosis.machine import Machine

# Without persistence mode each GPU takes seconds to wake, and there may be sixteen of them.
NATIVE_LIMIT_S = 20.0

# The driver is the same for every Python, and the one that is looked at may be broken.
_OWN_PYTHON = Path(sys.executable)

# A cold import of torch that compiles its byte code was measured at 25 s on an idle machine.
TRIAL_LIMIT_S = 180.0


@dataclass(frozen=True)
class CudaDevice:
    """A GPU as the CUDA driver shows it; `capability` 90 is 9.0."""

    name: str
    capability: int
    memory_bytes: int


@dataclass(frozen=True)
class CudaFacts:
    """The driver's answers. `library` is the file that the loader took; `ended` is how the child ended.

    `named_by` is the folder of LD_LIBRARY_PATH in which the loader found it, as it stands there; None where none is.
    """

    ended: str = "well"
    library: str | None = None
    library_error: str | None = None
    driver_api: int | None = None
    init_code: int | None = None
    devices: tuple[CudaDevice, ...] = ()
    named_by: str | None = None


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a GPU; `name` is empty where the driver does not see into its namespace."""

    pid: int
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class NvmlDevice:
    """A GPU as NVML shows it; `health` has the numbers that this GPU and this driver have (see `child/nvml`).

    `parts` are the UUIDs of what MIG divides it into, `holders` the processes in its memory, the greatest first.
    """

    name: str
    memory_bytes: int
    memory_used_bytes: int
    compute_mode: int
    health: Mapping[str, int] = field(default_factory=dict)
    uuid: str = ""
    parts: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True)
class NvmlFacts:
    ended: str = "well"
    library_error: str | None = None
    init_code: int | None = None
    driver: str | None = None
    devices: tuple[NvmlDevice, ...] = ()


@dataclass(frozen=True)
class TrialFacts:
    """What torch did in a child: `trials` is a device, how far its product was from the CPU's or why it failed, and how
    many bytes in a second reach it from memory that is pinned and that is not.
    """

    ended: str = "well"
    last_words: str = ""
    import_error: str | None = None
    version: str | None = None
    import_s: float | None = None
    cuda_available: bool | None = None
    warnings: tuple[str, ...] = ()
    trials: tuple[Mapping[str, Any], ...] = ()


def read_cuda(machine: Machine, _settings: Settings, limit_s: float = NATIVE_LIMIT_S) -> CudaFacts:
    answer = ask("cuda_driver", _OWN_PYTHON, machine.environment, limit_s=limit_s)
    library = _said(answer, "library", str)
    return CudaFacts(
        ended=answer.ended,
        library=library,
        library_error=_said(answer, "library_error", str),
        driver_api=_said(answer, "driver_api", int),
        init_code=_said(answer, "init_code", int),
        devices=tuple(CudaDevice(**device) for device in _listed(answer, "devices")),
        named_by=_entry_of(library, machine.environment.get("LD_LIBRARY_PATH", "")) if library else None,
    )


def _entry_of(library: str, search_path: str) -> str | None:
    entries = (entry for entry in search_path.split(":") if entry)
    return next((entry for entry in entries if os.path.realpath(f"{entry}/libcuda.so.1") == library), None)


def read_nvml(machine: Machine, _settings: Settings, limit_s: float = NATIVE_LIMIT_S) -> NvmlFacts:
    answer = ask("nvml", _OWN_PYTHON, machine.environment, limit_s=limit_s)
    return NvmlFacts(
        ended=answer.ended,
        library_error=_said(answer, "library_error", str),
        init_code=_said(answer, "init_code", int),
        driver=_said(answer, "driver", str),
        devices=tuple(_nvml_device(device) for device in _listed(answer, "devices")),
    )


def _nvml_device(said: Mapping[str, Any]) -> NvmlDevice:
    holders = tuple(Holder(**holder) for holder in said["holders"])
    return NvmlDevice(**{**said, "parts": tuple(said["parts"]), "holders": holders})


def read_trial(machine: Machine, _settings: Settings) -> TrialFacts:
    if machine.interpreter.problem is not None:
        return TrialFacts()
    answer = ask("torch_trial", machine.python, machine.environment, limit_s=TRIAL_LIMIT_S, isolated=False)
    return TrialFacts(
        ended=answer.ended,
        last_words=answer.last_words,
        import_error=_said(answer, "import_error", str),
        version=_said(answer, "version", str),
        import_s=_said(answer, "import_s", float),
        cuda_available=_said(answer, "cuda_available", bool),
        warnings=tuple(str(warning) for warning in _listed(answer, "warnings")),
        trials=tuple(_listed(answer, "trials")),
    )


T = TypeVar("T")


def _said(answer: Answer, name: str, kind: type[T]) -> T | None:
    value = answer.said.get(name)
    return value if isinstance(value, kind) else None


def _listed(answer: Answer, name: str) -> list[Any]:
    return _said(answer, name, list) or []
