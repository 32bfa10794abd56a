"""The installed packages that matter. From their metadata: nothing is imported."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine, is_folder
from modelfetch.diagnosis.probes.source_files import assignments

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

# Installs nothing of its own: what torch wants of it is in its extras.
_ONLY_EXTRAS = ("cuda-toolkit",)

# Used by transformers where they are there, each within a range that only this table of its own tells.
_OPTIONAL = ("accelerate", "kernels", "safetensors", "tokenizers", "sentencepiece", "tiktoken", "timm", "hf_xet")
_OPTIONAL_TABLE = "dependency_versions_table.py"

_COMPILED = ("torch", "transformers")


@dataclass(frozen=True)
class PackageFacts:
    """`versions` holds each installed package's version, `duplicates` what one folder holds twice, and where.

    `requirements` are those of the watched packages, as written in their metadata; `optional` what transformers wants
    of packages that it uses where they are there; `uncompiled` the packages without byte code, with whether it could be
    written beside them; `conda` the versions of those that conda installed and something else replaced, `of_conda` the
    names of those that are still conda's.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    uncompiled: Mapping[str, bool] = field(default_factory=dict)
    conda: Mapping[str, str] = field(default_factory=dict)
    of_conda: frozenset[str] = frozenset()


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
            if name in WATCHED or name in _ONLY_EXTRAS:
                requirements[name] = tuple(Distribution.at(found[0]).requires or ())
    of_conda = {name: release for name, release in _of_conda(machine).items() if name in versions}
    replaced = {name: each for name, each in of_conda.items() if each != versions[name].partition("+")[0]}
    return PackageFacts(
        versions,
        duplicates,
        requirements,
        _optional(machine),
        _uncompiled(machine),
        replaced,
        frozenset(of_conda.keys() - replaced.keys()),
    )


def _installed_in(folder: Path) -> dict[str, list[Path]]:
    """The metadata folders by package. Their own names tell name and version: reading hundreds of files takes time."""
    installed: dict[str, list[Path]] = {}
    for entry in sorted((*folder.glob("*.dist-info"), *folder.glob("*.egg-info"))):
        # An uninstall that was cut short leaves a folder without this file. conda's packages may have the older form.
        if (entry / ("METADATA" if entry.suffix == ".dist-info" else "PKG-INFO")).is_file():
            name = re.sub(r"[-_.]+", "-", entry.name.partition("-")[0]).lower()
            installed.setdefault(name, []).append(entry)
    return installed


def _version_of(metadata_folder: Path) -> str:
    # `torch-2.5.1-py3.11.egg-info` names a Python, too.
    return re.sub(r"-py\d[\d.]*$", "", metadata_folder.stem).partition("-")[2]


def _optional(machine: Machine) -> tuple[str, ...]:
    """What the table in transformers says of the packages that it uses where they are there."""
    table = next(
        (value for name, value in assignments(_file_of(machine, "transformers", _OPTIONAL_TABLE)) if name == "deps"),
        None,
    )
    try:
        ranges = ast.literal_eval(table) if table else {}
        return tuple(str(ranges[name]) for name in _OPTIONAL if name in ranges)
    except (ValueError, TypeError):
        return ()


def _file_of(machine: Machine, package: str, name: str) -> Path:
    found = (folder / package / name for folder in machine.import_folders if (folder / package / name).is_file())
    return next(found, Path(os.devnull))


def _of_conda(machine: Machine) -> dict[str, str]:
    """What conda says is here, and in which version."""
    installed = {}
    for entry in sorted((machine.interpreter.prefix / "conda-meta").glob("*.json")):
        name, _, release = entry.stem.rpartition("-")[0].rpartition("-")
        installed[{"pytorch": "torch"}.get(name, name).replace("_", "-")] = release
    return {name: release for name, release in installed.items() if name in WATCHED}


def _uncompiled(machine: Machine) -> dict[str, bool]:
    if machine.environment.get("PYTHONPYCACHEPREFIX") or machine.interpreter.cache_tag is None:
        return {}
    uncompiled = {}
    for name in _COMPILED:
        package = next((found for path in machine.import_folders if is_folder(found := path / name)), None)
        compiled = f"__pycache__/__init__.{machine.interpreter.cache_tag}.pyc"
        # One that may not be entered is for others to tell about.
        if package is not None and os.access(package, os.X_OK) and _is_uncompiled(package, compiled):
            uncompiled[name] = os.access(package, os.W_OK)
    return uncompiled


def _is_uncompiled(package: Path, compiled: str) -> bool:
    return (package / "__init__.py").is_file() and not (package / compiled).is_file()
