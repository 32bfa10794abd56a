"""What is in the wheel, and that it works by itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from zipfile import ZipFile

import modelfetch
from modelfetch.cli import COMMANDS
from tests.installed import scripts, wheel
from tests.meta.source import PACKAGE


def test_it_has_every_module_the_mirrors_and_the_marker_of_types_and_nothing_else() -> None:
    names = set(ZipFile(wheel()).namelist())
    modules = {f"modelfetch/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")}
    packaged = {name for name in names if ".dist-info/" not in name}
    assert packaged == modules | {"modelfetch/mirrors.yaml", "modelfetch/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_it_is_pure_python_of_this_version() -> None:
    assert wheel().name == f"modelfetch-{modelfetch.__version__}-py3-none-any.whl"


def test_installed_it_answers_with_its_own_files(tmp_path: Path) -> None:
    assert _modelfetch("--version", cwd=tmp_path) == f"modelfetch {modelfetch.__version__}\n"
    assert all(name in _modelfetch("--help", cwd=tmp_path) for name in COMMANDS)
    # The endpoints are in mirrors.yaml, the dialects behind entry points.
    assert "huggingface.co" in _modelfetch("mirrors", cwd=tmp_path)


def _modelfetch(*arguments: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(scripts() / "modelfetch"), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
