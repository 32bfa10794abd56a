"""Which Python is looked at, which one the shell would take, and what stands before its own packages."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.packages import WATCHED

_SHEBANG = re.compile(rb"#!\s*(?:/usr/bin/env\s+)?(\S+)")


@dataclass(frozen=True)
class InterpreterFacts:
    """`active` is the environment that VIRTUAL_ENV or CONDA_PREFIX names, and `is_active` whether `prefix` is it.

    `pip_prefix` is whose packages the command `pip` changes, where that is known; `shadowed` are packages that
    PYTHONPATH puts before the environment's own, each with its folder; `from_user_site` those that are imported from
    the user's own folder.
    """

    executable: str
    release: str
    prefix: str
    active: str | None
    is_active: bool
    is_doctors_own: bool = True
    problem: str | None = None
    has_pip: bool = True
    pip_prefix: str | None = None
    shadowed: tuple[tuple[str, str], ...] = ()
    from_user_site: tuple[str, ...] = ()


def read_interpreter(machine: Machine, _settings: Settings) -> InterpreterFacts:
    environment, interpreter = machine.environment, machine.interpreter
    active = environment.get("VIRTUAL_ENV") or environment.get("CONDA_PREFIX") or None
    return InterpreterFacts(
        executable=str(machine.python),
        release=interpreter.release,
        prefix=str(interpreter.prefix),
        active=active,
        is_active=active is None or Path(active).resolve() == interpreter.prefix.resolve(),
        is_doctors_own=machine.is_ours,
        problem=interpreter.problem,
        has_pip=machine.module("pip") is not None,
        pip_prefix=_pip_prefix(environment.get("PATH", "")),
        shadowed=_shadowed(machine),
        from_user_site=_from_user_site(machine),
    )


def _pip_prefix(path: str) -> str | None:
    """The environment that `pip` on PATH belongs to, told by the interpreter in its first line."""
    pip = shutil.which("pip", path=path)
    if pip is None:
        return None
    try:
        with Path(pip).open("rb") as stream:
            shebang = _SHEBANG.match(stream.read(512))
    except OSError:
        return None
    python = Path(os.fsdecode(shebang.group(1))) if shebang else None
    # `#!/bin/sh` begins a shim, or a shebang that is too long for the kernel: neither tells.
    return str(python.parent.parent) if python and python.is_absolute() and python.name.startswith("python") else None


def _shadowed(machine: Machine) -> tuple[tuple[str, str], ...]:
    entries = [Path(entry) for entry in machine.environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    own = {folder for folder in machine.import_folders if folder.name in {"site-packages", "dist-packages"}}
    return tuple(
        (name, str(entry))
        for entry in entries
        for name in (*_module_names(), *sorted(_of_pythons_own(entry)))
        if entry.resolve() not in own and _holds(entry, name)
    )


def _of_pythons_own(folder: Path) -> set[str]:
    """The modules of the standard library for which there is another one in `folder`."""
    try:
        return {file.stem for file in folder.glob("*.py")} & sys.stdlib_module_names
    except OSError:  # a folder above it may not be entered
        return set()


def _holds(folder: Path, name: str) -> bool:
    try:
        return (folder / name / "__init__.py").is_file() or (folder / f"{name}.py").is_file()
    except OSError:
        return False


def _from_user_site(machine: Machine) -> tuple[str, ...]:
    folder = machine.interpreter.user_site
    if folder is None:
        return ()
    return tuple(name for name in _module_names() if _holds(folder, name))


def _module_names() -> list[str]:
    return [name.replace("-", "_") for name in WATCHED]
