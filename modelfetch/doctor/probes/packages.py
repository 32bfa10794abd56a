"""The installed packages that matter, and the interpreter they belong to. From their metadata: nothing is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.doctor.machine import Machine

# What pulling, checking and running a model goes through, in the order in which it is shown.
SHOWN = (
    "torch",
    "transformers",
    "accelerate",
    "safetensors",
    "tokenizers",
    "huggingface-hub",
    "modelscope-hub",
    "modelscope",
)

# Not shown, but wrong often enough: built for one torch each, or standing in another package's way.
WATCHED = (*SHOWN, "torchvision", "torchaudio", "hf-xet", "pynvml", "numpy")

_COMPILED = ("torch", "transformers")


@dataclass(frozen=True)
class PackageFacts:
    """`versions` holds each installed package's version, `duplicates` what one folder holds twice, and where.

    `requirements` are those of the watched packages, as written in their metadata; `uncompiled` the packages without
    byte code, with whether it could be written beside them.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uncompiled: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class InterpreterFacts:
    """`active` is the environment that VIRTUAL_ENV or CONDA_PREFIX names, and `is_active` whether `prefix` is it."""

    executable: str
    release: str
    prefix: str
    active: str | None
    is_active: bool


def read_packages(machine: Machine, _settings: Settings) -> PackageFacts:
    versions: dict[str, str] = {}
    duplicates: dict[str, tuple[str, ...]] = {}
    requirements: dict[str, tuple[str, ...]] = {}
    for folder in machine.import_folders:
        for name, found in _installed_in(folder).items():
            if name in versions:
                continue  # an earlier folder's is the one that is imported
            versions[name] = _version_of(found[0])
            if len(found) > 1:
                duplicates[name] = tuple(_version_of(each) for each in found)
            if name in WATCHED:
                requirements[name] = tuple(Distribution.at(found[0]).requires or ())
    return PackageFacts(versions, duplicates, requirements, _uncompiled(machine))


def read_interpreter(machine: Machine, _settings: Settings) -> InterpreterFacts:
    active = machine.environment.get("VIRTUAL_ENV") or machine.environment.get("CONDA_PREFIX") or None
    return InterpreterFacts(
        executable=str(machine.python),
        release=".".join(str(number) for number in sys.version_info[:3]),
        prefix=sys.prefix,
        active=active,
        is_active=active is None or Path(active).resolve() == Path(sys.prefix).resolve(),
    )


def _installed_in(folder: Path) -> dict[str, list[Path]]:
    """The metadata folders by package. Their own names tell name and version: reading hundreds of files takes time."""
    installed: dict[str, list[Path]] = {}
    for entry in sorted(folder.glob("*.dist-info")):
        # An uninstall that was cut short leaves a folder without this file.
        if (entry / "METADATA").is_file():
            name = re.sub(r"[-_.]+", "-", entry.name.partition("-")[0]).lower()
            installed.setdefault(name, []).append(entry)
    return installed


def _version_of(metadata_folder: Path) -> str:
    return metadata_folder.name.removesuffix(".dist-info").partition("-")[2]


def _uncompiled(machine: Machine) -> dict[str, bool]:
    if machine.environment.get("PYTHONPYCACHEPREFIX"):
        return {}
    uncompiled = {}
    for name in _COMPILED:
        package = next(
            (path / name for path in machine.import_folders if (path / name / "__init__.py").is_file()), None
        )
        compiled = f"__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
        if package is not None and not (package / compiled).is_file():
            uncompiled[name] = os.access(package, os.W_OK)
    return uncompiled
