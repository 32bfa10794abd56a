"""Looks at another Python than the one that doctor runs in: the one that is asked for, or the user's project's.

- It is started once, in a child, with a script of the standard library: it needs no modelfetch, and may be broken.
- One that does not start, or hangs, is told by its files: packages lie where they always lie.
- Doctor that pipx or uvx runs lives in an environment of its own, in which nobody runs models: it then looks at the
  environment that is active, at the project's (see `projects`), or at the first Python on PATH.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelfetch.diagnosis.children import Answer, ask
from modelfetch.diagnosis.machine import Interpreter, Machine, existing, is_folder
from modelfetch.diagnosis.projects import environments_of
from modelfetch.errors import UsageError

# Starting Python reads some hundred files, from a network disk at worst.
INTERPRETER_LIMIT_S = 5.0

_MARKS_OF_TOOLS = ("pipx_metadata.json", "uv-receipt.toml")
# Where uv keeps the environments that `uvx` and `uv run --with` make and forget.
_FLEETING = ("archive-v0", "builds-v0", "environments-v2")


def machine_of(python: Path, environment: Mapping[str, str], *, limit_s: float = INTERPRETER_LIMIT_S) -> Machine:
    """This machine, seen from `python`: an interpreter, or the folder of an environment.

    Raises:
        UsageError: there is nothing at `python`.
    """
    python = executable_in(python)
    try:
        python.lstat()
    except OSError as error:
        raise UsageError(
            f"there is no Python at `{python}`",
            facts={"expected": "an interpreter, or the folder of an environment", "got": error.strerror or str(error)},
            hint="modelfetch doctor --python .venv",
        ) from error
    if problem := _dead_end(python):
        return _from_files(python, environment, problem)
    try:
        answer = ask("interpreter", python, environment, limit_s=limit_s, isolated=False)
    except OSError as error:
        return _from_files(python, environment, f"it cannot be started ({error.strerror})")
    release, prefix, folders = (answer.said.get(name) for name in ("release", "prefix", "folders"))
    if not isinstance(release, str) or not isinstance(prefix, str) or not isinstance(folders, list):
        return _from_files(python, environment, _why(answer))
    user_site = answer.said.get("user_site")
    return Machine(
        environment=environment,
        import_folders=existing(str(folder) for folder in folders),
        python=python,
        architecture=str(answer.said.get("architecture")),
        interpreter=Interpreter(
            release=release,
            prefix=Path(prefix),
            cache_tag=str(answer.said.get("cache_tag")),
            implementation=str(answer.said.get("implementation")),
            user_site=Path(user_site) if isinstance(user_site, str) else None,
        ),
    )


def machine_for(python: Path | None, environment: Mapping[str, str], folder: Path) -> Machine:
    """This machine as seen from `python`, or, without one, from the Python that a user in `folder` means.

    Raises:
        UsageError: there is nothing at `python`.
    """
    python = python or project_python(environment, folder, Path(sys.prefix))
    return Machine(environment=environment) if python is None else machine_of(python, environment)


def executable_in(path: Path) -> Path:
    """The interpreter of the environment in the folder `path`; `path` itself where it is none. Links stay as they are:
    an environment is what its own name for Python is."""
    path = path.expanduser().absolute()
    candidates = (path / "bin/python", path / "bin/python3", path / "Scripts/python.exe", path / "python.exe")
    found = next(filter(_stands, candidates), None)
    return found or (path / "bin/python" if is_folder(path) else path)


def _stands(path: Path) -> bool:
    """Whether anything is at `path`, be it a link that leads nowhere. What cannot be reached is not there."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _dead_end(python: Path) -> str | None:
    """Why there is nothing behind a link that can be started; None where there is something."""
    try:
        python.stat()
    except FileNotFoundError:
        return f"it leads to `{python.readlink()}`, which is not there"
    except OSError as error:
        # uv keeps the Pythons of root in root's own folder, which nobody else may enter.
        return f"it leads to `{python.resolve()}`, which this user cannot reach ({error.strerror})"
    return None


def project_python(environment: Mapping[str, str], folder: Path, own_prefix: Path) -> Path | None:
    """The Python of the user's own work, where doctor runs in an environment that is only a tool's; None elsewhere."""
    if not _is_tools_own(own_prefix):
        return None
    return next((each for each in _candidates(environment, folder) if _prefix(each) != own_prefix.resolve()), None)


def _is_tools_own(prefix: Path) -> bool:
    return any((prefix / mark).is_file() for mark in _MARKS_OF_TOOLS) or bool(set(_FLEETING) & set(prefix.parts))


def _candidates(environment: Mapping[str, str], folder: Path) -> Iterator[Path]:
    named = [Path(environment[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if environment.get(name)]
    pythons = (executable_in(each) for each in (*named, *environments_of(folder, environment)))
    yield from (python for python in pythons if _stands(python) and _dead_end(python) is None)
    for entry in environment.get("PATH", "").split(os.pathsep):
        if found := shutil.which("python3", path=entry) or shutil.which("python", path=entry):
            yield Path(found).absolute()


def _prefix(python: Path) -> Path:
    return python.parent.parent.resolve()


def _why(answer: Answer) -> str:
    if answer.ended == "hung":
        return "it does not answer"
    said = f" ({answer.last_words})" if answer.last_words else ""
    return f"it died with {answer.ended}{said}" if answer.ended != "well" else f"it does not say what it is{said}"


def _from_files(python: Path, environment: Mapping[str, str], problem: str) -> Machine:
    prefix = python.parent.parent
    folders = [
        folder for pattern in ("lib/python3*/site-packages", "Lib/site-packages") for folder in prefix.glob(pattern)
    ]
    release = next((folder.parent.name.removeprefix("python") for folder in folders if folder.parent.name != "Lib"), "")
    return Machine(
        environment=environment,
        import_folders=existing(map(str, folders)),
        python=python,
        interpreter=Interpreter(release=release, prefix=prefix, problem=problem),
    )
