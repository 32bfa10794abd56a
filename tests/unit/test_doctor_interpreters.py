"""Other Pythons: whole, old, broken, hanging, gone; and which one doctor looks at when a tool runner started it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.diagnosis import Finding, Machine, Severity, conclude, doctor
from modelfetch.diagnosis.interpreters import executable_in, machine_for, machine_of, project_python
from modelfetch.diagnosis.machine import Interpreter, existing
from modelfetch.diagnosis.projects import environments_of
from modelfetch.errors import UsageError
from tests.unit.doctor_machine import FakeMachine, found


def environment_with(folder: Path, script: str) -> Path:
    """An environment whose Python is the shell script `script`; its packages lie where they do in any environment."""
    site = folder / "lib/python3.8/site-packages/torch"
    site.mkdir(parents=True)
    (site / "version.py").write_text("__version__ = '2.4.1'\ncuda = None\n")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "bin").mkdir()
    python = folder / "bin/python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def told(machine: Machine, *names: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor(names=names, offline=True, machine=machine)}


def test_a_python_is_asked_what_it_is_and_where_it_imports_from(tmp_path: Path) -> None:
    machine = machine_of(Path(sys.executable), {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert machine.interpreter.problem is None
    assert (machine.interpreter.prefix, machine.is_ours) == (Path(sys.prefix), True)
    assert machine.import_folders[0] == tmp_path.resolve()
    assert not any(folder.name == "child" for folder in machine.import_folders)


def test_an_old_python_is_understood_and_said_to_be_old(tmp_path: Path) -> None:
    said = '{"release": "3.8.20", "prefix": "%s", "folders": ["%s"], "cache_tag": "cpython-38"}'
    site = tmp_path / "lib/python3.8/site-packages"
    python = environment_with(tmp_path, f"echo '{said % (tmp_path, site)}'")
    findings = told(machine_of(python, os.environ), "python")
    assert findings["interpreter"].title == f"the packages are those of `{python}`, python 3.8.20"
    assert findings["py.version"].fix[0] == "uv venv --python 3.11 .venv"
    assert findings["torch.cpu-build-nogpu"].title == "torch 2.4.1 was built for the CPU"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo it is broken >&2; exit 3", "it died with status 3 (it is broken)"),
        ("kill -ABRT $$", "it died with SIGABRT"),
        ("echo hello", "it does not say what it is"),
        ("sleep 60", "it does not answer"),
    ],
)
def test_a_python_that_says_nothing_is_an_error_and_its_packages_are_told_by_their_files(
    tmp_path: Path, script: str, problem: str
) -> None:
    python = environment_with(tmp_path, script)
    machine = machine_of(tmp_path, os.environ, limit_s=2.0 if "sleep" in script else 30.0)
    findings = told(machine, "python")
    assert findings["py.broken"].title == f"`{python}` cannot be used: {problem}"
    assert findings["torch.cpu-build-nogpu"].evidence["release"] == "2.4.1"
    primary = conclude(findings.values()).primary
    assert primary is not None
    assert (primary.name, primary.fix) == (
        "py.broken",
        (
            f'rm -f "{tmp_path}"/bin/python* && python3.8 -m venv "{tmp_path}"',
            f'uv venv --allow-existing --python 3.8 "{tmp_path}"',
        ),
    )


def test_an_environment_whose_python_was_removed_is_told_with_what_it_leads_to(tmp_path: Path) -> None:
    python = environment_with(tmp_path, "")
    python.unlink()
    python.symlink_to("/usr/bin/python3.0")
    findings = told(machine_of(tmp_path, os.environ), "interpreter")
    assert "it leads to `/usr/bin/python3.0`, which is not there" in findings["py.broken"].title


def test_the_command_gives_an_environment_a_python_and_leaves_its_packages(tmp_path: Path) -> None:
    folder = tmp_path / "with blanks"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    (site / "mine.py").write_text("")
    for name in folder.glob("bin/python*"):
        name.unlink()
        name.symlink_to("/gone/bin/python3")
    finding = told(machine_of(folder, os.environ), "interpreter")["py.broken"]
    # The environment that the tests run in has a Python of this very version, under this name.
    command = (
        finding.fix[0].replace("python3", f"{sys.prefix}/bin/python3", 1).replace("-m venv", "-m venv --without-pip")
    )
    assert command.startswith("rm -f ")
    subprocess.run(["sh", "-c", command], check=True)
    mended = machine_of(folder, os.environ)
    assert mended.interpreter.problem is None
    assert mended.module("mine") == site / "mine.py"


def test_a_file_that_cannot_be_started_is_broken_too(tmp_path: Path) -> None:
    python = environment_with(tmp_path, "")
    python.write_bytes(b"\0")
    assert "it cannot be started" in told(machine_of(tmp_path, os.environ), "interpreter")["py.broken"].title


def test_a_torch_in_a_broken_environment_is_not_tried(tmp_path: Path) -> None:
    environment_with(tmp_path, "exit 1")
    assert told(machine_of(tmp_path, os.environ), "trial") == {}


def test_a_place_without_a_python_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no Python at"):
        machine_of(tmp_path / "nothing", {})


def test_what_cannot_be_reached_is_told_and_no_bug(tmp_path: Path) -> None:
    # No file system has a name of this length: looking fails in the way of a folder that may not be entered, also for
    # the administrator.
    unreachable = tmp_path / ("x" * 300)
    with pytest.raises(UsageError, match="there is no Python at"):
        machine_of(unreachable, {})
    python = environment_with(tmp_path, "")
    python.unlink()
    python.symlink_to(unreachable)
    findings = told(machine_of(tmp_path, os.environ), "interpreter")
    assert "which this user cannot reach" in findings["py.broken"].title
    assert existing(["", str(unreachable), str(tmp_path), str(tmp_path)]) == (tmp_path.resolve(),)


def test_the_python_of_an_environment_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    assert executable_in(tmp_path) == tmp_path / "bin/python3"


@pytest.mark.parametrize("mark", ["uv-receipt.toml", "pipx_metadata.json", "archive-v0", "builds-v0"])
def test_doctor_in_a_tools_environment_looks_at_the_users_project(tmp_path: Path, mark: str) -> None:
    own = tmp_path / mark / "own"
    own.mkdir(parents=True)
    (own / mark).touch()
    project = environment_with(tmp_path / "project/.venv", "exit 1")
    active = environment_with(tmp_path / "active", "exit 1")
    folder = tmp_path / "project"
    assert project_python({}, folder, own) == project
    assert project_python({"VIRTUAL_ENV": str(tmp_path / "active")}, folder, own) == active
    assert project_python({"VIRTUAL_ENV": str(own), "PATH": ""}, tmp_path, own) is None
    (active.parent / "python3").symlink_to(active)
    assert project_python({"PATH": str(active.parent)}, tmp_path, own) == active.parent / "python3"


def test_a_projects_environment_is_looked_for_as_far_up_as_the_project_goes_and_no_further(tmp_path: Path) -> None:
    folder = tmp_path / "anybody/project/package/module"
    folder.mkdir(parents=True)
    assert list(environments_of(folder, {})) == [folder / ".venv"]
    (tmp_path / "anybody/project/pyproject.toml").touch()
    project = tmp_path / "anybody/project"
    assert list(environments_of(folder, {})) == [
        folder / ".venv",
        project / "package/.venv",
        project / ".venv",
    ]


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("HOME", ".cache/pypoetry/virtualenvs"),
        ("XDG_CACHE_HOME", "pypoetry/virtualenvs"),
        ("POETRY_CACHE_DIR", "virtualenvs"),
        ("POETRY_VIRTUALENVS_PATH", ""),
    ],
)
def test_poetrys_environment_is_found_by_the_digest_of_its_projects_folder(
    tmp_path: Path, variable: str, below: str
) -> None:
    # The digest that Poetry 2 gives a project in this folder.
    theirs = tmp_path / "kept" / below / "my-thing-t3UdgXQD-py3.11"
    theirs.mkdir(parents=True)
    (theirs.parent / "other-AAAAAAAA-py3.11").mkdir()
    assert theirs in environments_of(Path("/nowhere/my-thing"), {variable: str(tmp_path / "kept")})
    assert not list(environments_of(Path("/nowhere/other"), {variable: str(tmp_path / "kept")}))[1:]


def test_doctor_in_an_environment_of_the_users_looks_at_that(tmp_path: Path) -> None:
    environment_with(tmp_path / ".venv", "exit 1")
    assert machine_for(None, {"VIRTUAL_ENV": str(tmp_path / ".venv")}, tmp_path).is_ours


def test_an_active_environment_that_is_not_looked_at_is_told(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path)
    finding = found(fake, "interpreter", VIRTUAL_ENV="/home/me/venv", PATH="")["py.which"]
    assert (finding.severity, finding.fix) == (Severity.WARNING, ('modelfetch doctor --python "/home/me/venv"',))
    for well in ({}, {"VIRTUAL_ENV": sys.prefix}, {"CONDA_PREFIX": sys.prefix}):
        assert set(found(fake, "interpreter", PATH="", **well)) == {"interpreter"}


def test_a_pip_that_installs_elsewhere_is_a_warning(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path)
    pip = fake.home / "bin/pip"
    pip.parent.mkdir()
    pip.write_text("#!/opt/other/bin/python3\n")
    pip.chmod(0o755)
    variables = {"PATH": str(pip.parent), "VIRTUAL_ENV": sys.prefix}
    finding = found(fake, "interpreter", **variables)["py.pip"]
    assert (finding.severity, finding.fix) == (Severity.WARNING, ("alias pip='python -m pip'",))
    assert "`/opt/other`" in finding.title
    (fake.site / "pip").rmdir()
    assert found(fake, "interpreter", **variables)["py.pip"].fix == ("alias pip='uv pip'",)
    pip.write_text(f"#!{sys.prefix}/bin/python\n")
    assert set(found(fake, "interpreter", **variables)) == {"interpreter"}
    pip.write_text("#!/bin/sh\nexec something\n")
    assert set(found(fake, "interpreter", **variables)) == {"interpreter"}


def test_packages_that_stand_before_the_environments_own_are_warnings(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path)
    for folder in ("path/transformers", "user/torch"):
        (fake.home / folder).mkdir(parents=True)
        (fake.home / folder / "__init__.py").touch()
    machine = fake.machine(PYTHONPATH=str(fake.home / "path"), PATH="")
    user = Interpreter("3.11.7", Path(sys.prefix), user_site=fake.home / "user")
    findings = told(replace(machine, interpreter=user), "interpreter")
    assert findings["py.pythonpath"].fix == ("unset PYTHONPATH",)
    assert "the transformers in" in findings["py.pythonpath"].title
    assert findings["py.usersite"].evidence == {"packages": ["torch"]}
