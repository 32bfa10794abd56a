"""What doctor may mend itself: only what is safe, is in the user's own folders, and can be undone.

- A mending says what it would do before it does it; one that has nothing to do says so.
- Byte code is compiled beside the packages; removing it again changes nothing.
- pip's own file is kept beside the new one. A variable that would win over the file is named instead.
- Of our own locks only those of pulls that are dead go, as `prune` decides it.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch.config.values import Settings
from modelfetch.diagnosis.checks.indexes import fastest
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.index_answers import read_index_answers
from modelfetch.diagnosis.probes.index_settings import pip_user_file
from modelfetch.diagnosis.probes.packages import read_packages
from modelfetch.errors import ConfigError, UsageError
from modelfetch.processes import Group
from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.prune.picture import Kind
from modelfetch.store import Store

# Torch and transformers were measured at 82 s on two busy cores.
_COMPILE_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Step:
    """One thing that would be done, as somebody who is asked wants to read it, and how it is undone."""

    does: str
    undo: str
    carry_out: Callable[[], None]


def plan(name: str, machine: Machine, settings: Settings) -> list[Step]:
    """What mending `name` would do here. Changes nothing.

    Raises:
        UsageError: nothing of this name can be mended by doctor.
        ConfigError: it cannot be mended from here.
    """
    if name not in MENDINGS:
        raise UsageError(
            f"doctor does not mend `{name}` by itself",
            facts={"expected": "one of " + ", ".join(f"`{each}`" for each in MENDINGS)},
            hint="modelfetch doctor",
        )
    return MENDINGS[name](machine, settings)


def _byte_code(machine: Machine, settings: Settings) -> list[Step]:
    steps = []
    for name, is_writable in read_packages(machine, settings).uncompiled.items():
        folder = next(path / name for path in machine.import_folders if (path / name / "__init__.py").is_file())
        if not is_writable:
            raise ConfigError(f"`{folder}` cannot be written", hint="export PYTHONPYCACHEPREFIX=~/.cache/python")
        # -I: a file of the current folder must not be taken for a module.
        command = [str(machine.python), "-I", "-m", "compileall", "-q", "-j0", str(folder)]
        undo = f'find "{folder}" -name __pycache__ -prune -exec rm -r {{}} +'
        steps.append(Step(shlex.join(command), undo, _runner(command, machine.environment)))
    return steps


def _runner(command: list[str], environment: Mapping[str, str]) -> Callable[[], None]:
    def run() -> None:
        child = Group(command, environment=environment)
        try:
            # Status 1 says that a file is no Python of this version, as some tests in packages are not.
            child.wait(_COMPILE_LIMIT_S)
        finally:
            child.end()

    return run


def _index(machine: Machine, settings: Settings) -> list[Step]:
    answers = read_index_answers(machine, settings).answers
    if all(answer.problem is None for answer in answers if answer.is_set):
        return []
    best = fastest(answers, "pypi")
    if best is None:
        raise ConfigError("no package index that is known answers", hint="modelfetch doctor network")
    variable = next((name for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE") if machine.environment.get(name)), None)
    if variable:
        raise ConfigError(f"`{variable}` is set, and wins over pip's file", hint=f"unset {variable}")
    file = pip_user_file(machine)
    kept = file.with_name(f"{file.name}.before-modelfetch")
    undo = f'mv "{kept}" "{file}"' if file.exists() else f'rm "{file}"'
    does = f"write index-url = {best.index.url} into {file}" + (f", and keep it as {kept}" if file.exists() else "")
    return [Step(does, undo, lambda: _set_index(file, kept, best.index.url))]


def _set_index(file: Path, kept: Path, url: str) -> None:
    parser = configparser.RawConfigParser()
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    parser.read_string(text)
    if not parser.has_section("global"):
        parser.add_section("global")
    parser.set("global", "index-url", url)
    file.parent.mkdir(parents=True, exist_ok=True)
    if text:
        kept.write_text(text, encoding="utf-8")
    new = file.with_name(f"{file.name}.new")
    with new.open("w", encoding="utf-8") as stream:
        parser.write(stream)
    new.replace(file)


def _locks(_machine: Machine, settings: Settings) -> list[Step]:
    store, wishes = Store.open(settings.home, create=False), Wishes()
    found = look_and_plan(store, wishes)
    dead = [item for item in found.goes if item.what == Kind.PULL]
    if not dead:
        return []
    shown = replace(found, goes=tuple(dead))

    def remove() -> None:
        carry_out(store, shown, wishes)

    names = ", ".join(str(item.path) for item in dead)
    return [Step(f"remove what dead pulls left behind: {names}", "nothing: the next pull makes its own", remove)]


MENDINGS: dict[str, Callable[[Machine, Settings], list[Step]]] = {
    "byte-code": _byte_code,
    "indexes": _index,
    "locks": _locks,
}
